/* store_sqlite.h -- the parts of an open SQLite store.
 *
 *     caller's threads              writer thread
 *     submit -> queue ------------> BEGIN .. turns .. COMMIT -> store_ended    (db: writer)
 *     read (a lock each) <- db: readers                                        PASSIVE checkpoints
 */
#ifndef SYN_STORE_SQLITE_H
#define SYN_STORE_SQLITE_H

#include "sqlite_db.h"

/* The server's loop, its workers, and one more thread. */
#define READERS 4

struct reader {
    struct db db;         /* but the first: opened when it is needed */
    pthread_mutex_t lock; /* recursive: a visitor may read */
    uint32_t depth;
};

struct sqlite_store {
    syn_store base;
    char *path, *vfs;
    size_t path_size, vfs_size;
    uint32_t min_gap_us;
    int lock_fd;

    struct reader readers[READERS];

    /* The writer thread's own. */
    struct db writer;
    uint64_t last_start; /* of a commit, monotonic microseconds */
    int64_t last_seq;
    bool wrote;        /* the transaction that just ended put pages into the WAL */
    bool unmoved;      /* ... some did since the last checkpoint */
    uint64_t moved_at; /* pages of the WAL at that one, if it goes on from there */

    /* Under base.lock. */
    pthread_t thread;
    bool threaded, stop;
    pthread_cond_t work;
    store_turn *queue, *queue_last;
};

static inline struct sqlite_store *sqlite_of(syn_store *store)
{
    return (struct sqlite_store *)(void *)store;
}

/* sqlite_read.c, sqlite_fsck.c: answers to store.h. */
syn_err sqlite_find(syn_store *store, syn_str name, struct store_doc *out);
syn_err sqlite_was_deleted(syn_store *store, syn_str name, const uint8_t *lineage, bool *out);
syn_err sqlite_read_snapshot(syn_store *store, int64_t doc, store_visit visit, void *user);
syn_err sqlite_read_log(syn_store *store, int64_t doc, uint32_t from, uint32_t end,
                        store_visit visit, void *user);
syn_err sqlite_read_peer(syn_store *store, int64_t doc, uint64_t peer, struct store_peer *out);
syn_err sqlite_read_peers(syn_store *store, int64_t doc,
                          syn_err (*visit)(void *, const struct store_peer *), void *user);
syn_err sqlite_read_note(syn_store *store, int64_t doc, syn_str key, void *out, size_t cap,
                         size_t *len);
syn_err sqlite_read_notes(syn_store *store, int64_t doc, syn_str prefix,
                          syn_err (*visit)(void *, syn_str, syn_str), void *user);
syn_err sqlite_list(syn_store *store, syn_err (*visit)(void *, syn_str, const struct store_doc *),
                    void *user);
syn_err sqlite_feed_end(syn_store *store, struct store_cursor *out);
syn_err sqlite_name(syn_store *store, int64_t doc, char *name, size_t *len);
syn_err sqlite_feed(syn_store *store, struct store_cursor after,
                    syn_err (*visit)(void *, const struct store_news *), void *user);
syn_err sqlite_fsck(syn_store *store, void (*problem)(void *, const char *),
                    store_progress progress, void *user);

/* One consistent look at the file from read_begin to read_end; nests. */
syn_err read_begin(struct sqlite_store *s, struct db **out);
/* The same, on the reader that is always there. */
syn_err read_begin_first(struct sqlite_store *s);
/* Notes damage of the document (0: none), keeps the words of the error, returns err. */
syn_err read_end(struct sqlite_store *s, struct db *db, int64_t doc, syn_err err);

#endif
