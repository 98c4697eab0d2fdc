/* documents.c -- how many documents there are that a user made, over restarts.
 *
 *     store, notes of a document:  "maker" -> "ann"
 *     store, notes of the file:    "documents ann" -> 17, in the same turn as creation or deletion
 *
 * The account has the number once it was needed, ahead of the disk by what is under way; when a
 * commit fails it is read anew.  Documents that nobody made (the embedder, or everybody where there
 * is no sign-in) count for nobody. */
#include "hub_impl.h"

#include <stdlib.h>
#include <string.h>

#define PREFIX       "documents "
#define KEY_BYTES    (sizeof PREFIX + LIMIT_USER_BYTES)
#define NUMBER_BYTES 8u

static syn_str key_of(const struct account *account, char key[KEY_BYTES])
{
    memcpy(key, PREFIX, sizeof PREFIX - 1);
    memcpy(key + sizeof PREFIX - 1, account->name, account->name_len);
    return (syn_str){key, sizeof PREFIX - 1 + account->name_len};
}

/* What cannot be read is none: nobody is kept out for a bad disk. */
static uint64_t count_of(hub *h, struct account *account)
{
    char key[KEY_BYTES];
    uint8_t number[NUMBER_BYTES];
    size_t len = 0;
    if (account->counted) return account->documents;
    account->documents = 0;
    syn_err err = store_read_note(h->store, 0, key_of(account, key), number, sizeof number, &len);
    for (unsigned i = 0; !err && len == sizeof number && i < NUMBER_BYTES; i++)
        account->documents |= (uint64_t)number[i] << (8 * i);
    account->counted = true;
    return account->documents;
}

bool documents_left(hub *h, struct account *account)
{
    uint64_t most = account->limits->of[LIM_USER_DOCUMENTS];
    return most == 0 || !account->shared || count_of(h, account) < most;
}

static syn_err put_count(store_turn *out, const struct account *account)
{
    char key[KEY_BYTES];
    uint8_t number[NUMBER_BYTES];
    for (unsigned i = 0; i < NUMBER_BYTES; i++)
        number[i] = (uint8_t)(account->documents >> (8 * i));
    syn_str value = {(const char *)number, sizeof number};
    return store_turn_note(out, 0, key_of(account, key), value);
}

syn_err documents_made(struct room *room, store_turn *out)
{
    hub *h = room->hub;
    if (room->maker == 0) return SYN_OK;
    syn_str name = syn_s(room->users[room->maker].name);
    struct account *account = account_of(h, name);
    if (account == NULL) return SYN_OK;
    account->documents = count_of(h, account) + 1;
    syn_err err = store_turn_note(out, room->id, syn_s("maker"), name);
    return err ? err : put_count(out, account);
}

syn_err documents_gone(struct room *room, store_turn *out)
{
    char name[LIMIT_USER_BYTES + 1];
    size_t len = 0;
    hub *h = room->hub;
    syn_err err = store_read_note(h->store, room->id, syn_s("maker"), name, sizeof name, &len);
    if (err || len == 0 || len > LIMIT_USER_BYTES) return SYN_OK;
    struct account *account = account_of(h, (syn_str){name, len});
    if (account == NULL || count_of(h, account) == 0) return SYN_OK;
    account->documents--;
    return put_count(out, account);
}

void documents_recount(hub *h)
{
    for (uint32_t i = 0; i < ACCOUNT_SLOTS; i++)
        for (struct account *a = h->accounts[i]; a != NULL; a = a->next) a->counted = false;
}
