/* exceptions.c -- limits of one user or of one document, beside everybody's.
 *
 *     store, notes of the file:   "limits user ann" -> "user_events=100000,user_work=0"
 *     hub:                        a table by kind and name; accounts and rooms point into it
 *
 * Each exception holds everybody's limits with its own on top, made anew when either changes, so
 * whoever charges looks in one place.  None is freed before the hub is: what has no limits of its
 * own any more stays as an empty one. */
#include "hub_impl.h"

#include "copy.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define PREFIX     "limits "
#define LIST_BYTES 2048u
#define KEY_BYTES  (sizeof PREFIX + 16 + LIMIT_NAME_BYTES)

struct exception {
    struct exception *next;
    enum exception_of kind;
    bool any;          /* has limits of its own */
    struct limits own; /* those that are set */
    struct limits all;
    size_t name_len;
    char name[];
};

static const char *const kinds[] = {[OF_USER] = "user ", [OF_DOCUMENT] = "document "};

static uint32_t slot_of(enum exception_of kind, syn_str name)
{
    uint64_t hash = 0xcbf29ce484222325u + (uint64_t)kind;
    for (size_t i = 0; i < name.len; i++)
        hash = (hash ^ (unsigned char)name.data[i]) * 0x100000001b3u;
    return (uint32_t)((hash ^ hash >> 29) % EXCEPTION_SLOTS);
}

static struct exception *find(const hub *h, enum exception_of kind, syn_str name)
{
    struct exception *at = h->exceptions[slot_of(kind, name)];
    for (; at != NULL; at = at->next)
        if (at->kind == kind && at->name_len == name.len &&
            memcmp(at->name, name.data, name.len) == 0)
            return at;
    return NULL;
}

const struct limits *exception_limits(const hub *h, enum exception_of kind, syn_str name)
{
    const struct exception *found = find(h, kind, name);
    return found != NULL && found->any ? &found->all : &h->limits;
}

static void make_all(const hub *h, struct exception *exception)
{
    exception->all = h->limits;
    for (unsigned i = 0; i < LIM_COUNT; i++)
        if (exception->own.set[i]) exception->all.of[i] = exception->own.of[i];
}

/* Everybody points to what holds for him now. */
static void point(hub *h)
{
    for (uint32_t i = 0; i < ACCOUNT_SLOTS; i++)
        for (struct account *a = h->accounts[i]; a != NULL; a = a->next)
            a->limits = exception_limits(h, OF_USER, (syn_str){a->name, a->name_len});
    for (uint32_t i = 0; i < h->room_slots; i++)
        for (struct room *room = h->rooms[i]; room != NULL; room = room->hash_next)
            room->limits = exception_limits(h, OF_DOCUMENT, (syn_str){room->name, room->name_len});
}

void exceptions_renew(hub *h)
{
    for (uint32_t i = 0; i < EXCEPTION_SLOTS; i++)
        for (struct exception *at = h->exceptions[i]; at != NULL; at = at->next) make_all(h, at);
}

void exceptions_free(hub *h)
{
    for (uint32_t i = 0; i < EXCEPTION_SLOTS; i++) {
        for (struct exception *next; h->exceptions[i] != NULL; h->exceptions[i] = next) {
            next = h->exceptions[i]->next;
            free(h->exceptions[i]);
        }
    }
}

/* ---- Which limits ---------------------------------------------------------------------------- */

bool exception_may_be(enum exception_of kind, enum limit limit)
{
    const char *prefix = kind == OF_USER ? "user_" : "document_";
    return strncmp(limits_info(limit)->name, prefix, strlen(prefix)) == 0;
}

static bool read_own(enum exception_of kind, const char *list, struct limits *own, char *why)
{
    limits_default(own);
    if (limits_read(own, list, why)) return false;
    for (unsigned i = 0; i < LIM_COUNT; i++) {
        if (!own->set[i] || exception_may_be(kind, (enum limit)i)) continue;
        snprintf(why, 200, "%s is no limit of a %s", limits_info((enum limit)i)->name, kinds[kind]);
        return false;
    }
    return true;
}

static struct exception *add(hub *h, enum exception_of kind, syn_str name)
{
    struct exception *found = find(h, kind, name);
    struct exception **at = &h->exceptions[slot_of(kind, name)];
    if (found != NULL) return found;
    found = calloc(1, sizeof *found + name.len);
    if (found == NULL) return NULL;
    found->kind = kind;
    found->name_len = name.len;
    copy_str(found->name, name);
    found->next = *at;
    *at = found;
    return found;
}

static void use(hub *h, struct exception *exception, const struct limits *own)
{
    exception->own = *own;
    exception->any = false;
    for (unsigned i = 0; i < LIM_COUNT; i++) exception->any |= own->set[i];
    make_all(h, exception);
}

/* ---- Kept in the store ----------------------------------------------------------------------- */

static syn_err keep(hub *h, enum exception_of kind, syn_str name, const char *list)
{
    char key[KEY_BYTES];
    store_turn *turn;
    int len = snprintf(key, sizeof key, PREFIX "%s", kinds[kind]);
    copy_str(key + len, name);
    syn_str value = list[0] != '\0' ? syn_s(list) : (syn_str){NULL, 0};
    syn_err err = store_turn_new(h->store, &turn);
    if (err) return err;
    err = store_turn_note(turn, 0, (syn_str){key, (size_t)len + name.len}, value);
    if (!err) return store_commit(turn);
    store_turn_drop(turn);
    return err;
}

static syn_err load_one(void *user, syn_str key, syn_str value)
{
    hub *h = user;
    char list[LIST_BYTES], why[200];
    struct limits own;
    size_t at = sizeof PREFIX - 1;
    for (unsigned kind = 0; kind < 2; kind++) {
        size_t len = strlen(kinds[kind]);
        if (key.len <= at + len || memcmp(key.data + at, kinds[kind], len) != 0) continue;
        if (key.len - at - len > LIMIT_NAME_BYTES || value.len >= sizeof list) continue;
        copy_str(list, value);
        list[value.len] = '\0';
        if (!read_own((enum exception_of)kind, list, &own, why)) {
            hub_log(h, "limits", "a stored one is not understood: %s", why);
            return SYN_OK;
        }
        struct exception *exception =
            add(h, (enum exception_of)kind, (syn_str){key.data + at + len, key.len - at - len});
        if (exception == NULL) return SYN_ENOMEM;
        use(h, exception, &own);
    }
    return SYN_OK;
}

syn_err exceptions_load(hub *h)
{
    return store_read_notes(h->store, 0, syn_s(PREFIX), load_one, h);
}

/* ---- Setting --------------------------------------------------------------------------------- */

static bool write_list(const struct limits *own, char list[LIST_BYTES])
{
    size_t at = 0;
    list[0] = '\0';
    for (unsigned i = 0; i < LIM_COUNT && at < LIST_BYTES; i++)
        if (own->set[i])
            at +=
                (size_t)snprintf(list + at, LIST_BYTES - at, "%s%s=%llu", at != 0 ? "," : "",
                                 limits_info((enum limit)i)->name, (unsigned long long)own->of[i]);
    return at < LIST_BYTES;
}

bool hub_own_limits(const hub *h, enum exception_of kind, syn_str name, struct limits *out)
{
    const struct exception *found = find(h, kind, name);
    limits_default(out);
    if (found == NULL || !found->any) return false;
    *out = found->own;
    return true;
}

syn_err hub_except(hub *h, enum exception_of kind, syn_str name, const struct limits *own)
{
    char list[LIST_BYTES], why[200];
    struct limits again;
    if (name.len == 0 || name.len > LIMIT_NAME_BYTES) return SYN_EMISUSE;
    if (!write_list(own, list) || !read_own(kind, list, &again, why)) return SYN_EMISUSE;
    struct exception *exception = add(h, kind, name);
    syn_err err = exception != NULL ? keep(h, kind, name, list) : SYN_ENOMEM;
    if (err) return err;
    use(h, exception, own);
    point(h);
    return SYN_OK;
}
