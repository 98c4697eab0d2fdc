/* store_impl.h -- what the two backends share: the turn in its plain form, and the base of a store.
 *
 * A turn is a list of operations and one block of bytes that they point into by offset, so that it
 * can be copied from, grown and handed to another thread as a whole:
 *
 *     ops    [APPEND doc 7 | PEER doc 7 | CREATE doc 9 | APPEND doc 9 | ...]
 *     bytes  [change of 7 .. | user .. | name of 9 .. | change of 9 .. ]
 *
 * Before it is applied the list is sorted by document (stable), because a document's operations
 * stand or fall together.  FOLD is followed by its CHUNKs, SNAPSHOT by its PARTs. */
#ifndef SYN_STORE_IMPL_H
#define SYN_STORE_IMPL_H

#include "store.h"

#include "mem.h"

#include <pthread.h>
#include <stdatomic.h>

enum turn_kind {
    TURN_CREATE,   /* key: name; bytes: lineage or nothing */
    TURN_LINEAGE,  /* bytes */
    TURN_APPEND,   /* from, end, bytes */
    TURN_PEER,     /* x: peer; from: next; y: chain; bytes: user */
    TURN_NOTE,     /* key, bytes */
    TURN_NO_NOTE,  /* key */
    TURN_DELETE,   /* - */
    TURN_CLEAR,    /* - */
    TURN_FOLD,     /* from, end; x: count of chunks */
    TURN_CHUNK,    /* from, end, packed, bytes; the last y of them are effects */
    TURN_SNAPSHOT, /* from: at; x: events; end: count of parts */
    TURN_PART,     /* from: part; end: count; packed, bytes */
    TURN_DAMAGED,  /* - */
    TURN_REPAIRED, /* - */
    TURN_PROBE,    /* document 0: a write for its own sake */
    TURN_VACUUM,   /* document 0, alone in its turn */
};

struct turn_span {
    uint32_t at, len;
};

struct turn_op {
    int64_t doc;
    uint64_t x, y;
    struct turn_span key, bytes;
    uint32_t from, end;
    uint32_t order; /* place in the turn as filled */
    uint8_t kind;
    bool packed;
};

struct store_turn {
    syn_store *store;
    store_turn *next; /* in the queue, then in the row of ended turns */
    ARRAY(struct turn_op) ops;
    ARRAY(char) bytes;
    ARRAY(int64_t) failed; /* room for every document is reserved while filling */
    store_done done;
    void *user;
    struct store_result result;
    syn_err doc_err; /* why the first document of `failed` failed */
    bool waited;     /* by store_commit, which takes it back */
    bool ended;
    char detail[160];
};

/* The documents' runs of operations, after turn_sort: [first, returned). */
uint32_t turn_run(const store_turn *turn, uint32_t first);
void turn_sort(store_turn *turn);
static inline syn_str turn_text(const store_turn *turn, struct turn_span span)
{
    return (syn_str){span.len == 0 ? "" : turn->bytes.at + span.at, span.len};
}
/* A document's part was rolled back.  Cannot fail: filling made the room. */
void turn_doc_failed(store_turn *turn, int64_t doc, syn_err err, const char *why);
syn_err turn_push(store_turn *turn, enum turn_kind kind, int64_t doc);

/* A backend's answers to store.h, under the same names. */
struct store_backend {
    void (*close)(syn_store *);
    void (*submit)(syn_store *, store_turn *);
    syn_err (*find)(syn_store *, syn_str name, struct store_doc *);
    syn_err (*was_deleted)(syn_store *, syn_str name, const uint8_t *lineage, bool *);
    syn_err (*read_snapshot)(syn_store *, int64_t doc, store_visit, void *);
    syn_err (*read_log)(syn_store *, int64_t doc, uint32_t from, uint32_t end, store_visit, void *);
    syn_err (*read_peer)(syn_store *, int64_t doc, uint64_t peer, struct store_peer *);
    syn_err (*read_peers)(syn_store *, int64_t doc, syn_err (*)(void *, const struct store_peer *),
                          void *);
    syn_err (*read_note)(syn_store *, int64_t doc, syn_str key, void *, size_t cap, size_t *len);
    syn_err (*read_notes)(syn_store *, int64_t doc, syn_str prefix,
                          syn_err (*)(void *, syn_str, syn_str), void *);
    syn_err (*list)(syn_store *, syn_err (*)(void *, syn_str, const struct store_doc *), void *);
    /* Of `at` only the number that the entry is about; `name` of deletions only. */
    syn_err (*feed)(syn_store *, struct store_cursor after,
                    syn_err (*)(void *, const struct store_news *), void *);
    syn_err (*feed_end)(syn_store *, struct store_cursor *out);
    syn_err (*name)(syn_store *, int64_t doc, char *name, size_t *len);
    syn_err (*fsck)(syn_store *, void (*)(void *, const char *), store_progress, void *);
};

/* The first member of both backends' stores. */
struct syn_store {
    const struct store_backend *backend;
    syn_mem mem;
    uint8_t id[STORE_ID_BYTES];
    atomic_llong next_doc;
    atomic_bool failing;
    bool read_only;
    pthread_mutex_t lock;     /* guards what follows, and the SQLite backend's queue */
    pthread_cond_t ended;     /* a waited turn has */
    store_turn *first, *last; /* ended turns, oldest first */
    void (*wake)(void *user);
    void *wake_user;
    struct store_stats stats;
    ARRAY(int64_t) damaged; /* documents found damaged by this process */
    char error[256];        /* the caller's side */
};

syn_err store_base_init(syn_store *store, const store_options *options,
                        const struct store_backend *backend);
void store_base_free(syn_store *store);
/* Hands an ended turn to store_poll or store_commit.  From any thread, without the lock. */
void store_ended(syn_store *store, store_turn *turn);
void store_count_commit(struct store_stats *stats, uint64_t took); /* with the lock */
syn_err store_refuse(syn_store *store, syn_err err, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* Damage found while reading.  Room first, because a mark must not fail when it is needed. */
syn_err store_damage_room(syn_store *store);
void store_damage_found(syn_store *store, int64_t doc);
bool store_is_damaged(syn_store *store, int64_t doc);

syn_err store_open_memory(syn_store **out, const store_options *options, char detail[256]);
syn_err store_open_sqlite(syn_store **out, const store_options *options, char detail[256]);

#endif
