/* account.c -- users: what all connections of one name have spent together.
 *
 * A hash table by name.  Without sign-in everybody is "anonymous", and a limit for all of them
 * together would let one keep out the rest: there each connection is an account of its own, outside
 * the table.  An account stays after its last connection until its buckets are full again, or else
 * coming back would be a way to go faster. */
#include "hub_impl.h"

#include "copy.h"

#include <stdlib.h>
#include <string.h>

#define HOUR_MS 3600000u

static uint32_t slot_of(const hub *h, syn_str name)
{
    uint64_t hash = h->hash_key ^ 0xcbf29ce484222325u;
    for (size_t i = 0; i < name.len; i++) {
        hash = (hash ^ (unsigned char)name.data[i]) * 0x100000001b3u;
        hash ^= hash >> 29;
    }
    return (uint32_t)(hash % ACCOUNT_SLOTS);
}

static bool is_named(const struct account *account, syn_str name)
{
    return account->name_len == name.len && memcmp(account->name, name.data, name.len) == 0;
}

static bool is_nobody(syn_str name)
{
    syn_str nobody = syn_s(NOBODY_NAME);
    return name.len == nobody.len && memcmp(name.data, nobody.data, name.len) == 0;
}

struct account *account_find(hub *h, syn_str name)
{
    struct account *account = h->accounts[slot_of(h, name)];
    while (account != NULL && !is_named(account, name)) account = account->next;
    return account;
}

static struct account *account_make(hub *h, syn_str name)
{
    struct account *account = calloc(1, sizeof *account + name.len);
    if (account == NULL) return NULL;
    account->shared = !is_nobody(name);
    account->limits = &h->limits;
    if (account->shared) account->limits = exception_limits(h, OF_USER, name);
    account->name_len = name.len;
    copy_str(account->name, name);
    if (!account->shared) return account;
    struct account **at = &h->accounts[slot_of(h, name)];
    account->next = *at;
    *at = account;
    return account;
}

struct account *account_of(hub *h, syn_str name)
{
    if (is_nobody(name)) return NULL;
    struct account *account = account_find(h, name);
    return account != NULL ? account : account_make(h, name);
}

bool account_join(hub_conn *conn)
{
    hub *h = conn->hub;
    syn_str name = {conn->user, conn->user_len};
    struct account *account = is_nobody(name) ? NULL : account_find(h, name);
    if (account == NULL) account = account_make(h, name);
    if (account == NULL) {
        conn_error(conn, CODE_BUSY, false, RETRY_MS, "out of memory");
        return false;
    }
    uint64_t most = account->limits->of[LIM_USER_CONNECTIONS];
    if (most != 0 && account->connections >= most) {
        conn_limited(conn, LIM_USER_CONNECTIONS, RETRY_MS);
        return false;
    }
    account->connections++;
    conn->account = account;
    return true;
}

void account_leave(hub_conn *conn)
{
    struct account *account = conn->account;
    if (account == NULL) return;
    conn->account = NULL;
    account->connections--;
    if (!account->shared) free(account);
}

static bool at_rest(const hub *h, struct account *account)
{
    static const enum limit first[RATES] = {LIM_USER_FRAMES, LIM_USER_BYTES, LIM_USER_EVENTS,
                                            LIM_USER_WORK};
    if (account->connections != 0 || h->now - account->creates.since < HOUR_MS) return false;
    for (int k = 0; k < RATES; k++) {
        struct bucket *bucket = &account->meter.of[k];
        (void)bucket_look(bucket, limits_rate(account->limits, first[k]), h->now);
        if (bucket->spent != 0) return false;
    }
    return true;
}

/* A part of the table at a time: nobody waits for it. */
void accounts_sweep(hub *h)
{
    for (uint32_t i = 0; i < ACCOUNT_SLOTS / 16; i++) {
        struct account **at = &h->accounts[h->sweep_at++ % ACCOUNT_SLOTS];
        while (*at != NULL) {
            struct account *account = *at;
            if (!at_rest(h, account)) {
                at = &account->next;
                continue;
            }
            *at = account->next;
            free(account);
        }
    }
}

void accounts_free(hub *h)
{
    for (uint32_t i = 0; i < ACCOUNT_SLOTS; i++) {
        for (struct account *next; h->accounts[i] != NULL; h->accounts[i] = next) {
            next = h->accounts[i]->next;
            free(h->accounts[i]);
        }
    }
}

bool hourly_left(struct hourly *hourly, uint64_t most, uint64_t more, uint64_t now)
{
    if (hourly->since == 0 || now - hourly->since >= HOUR_MS)
        *hourly = (struct hourly){.since = now != 0 ? now : 1};
    return most == 0 || hourly->count + more <= most;
}

uint32_t hourly_wait(const struct hourly *hourly, uint64_t now)
{
    uint64_t ends = hourly->since + HOUR_MS;
    return ends > now ? (uint32_t)(ends - now) : 1;
}
