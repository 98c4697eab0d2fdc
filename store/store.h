/* store.h -- where changes and snapshots rest.  Two backends with the same promises: SQLite,
 * memory.
 *
 * The store keeps bytes and does not know what they mean.  A document's log is a row of pieces,
 * each covering positions [from, end) of the document's log (event numbers, from 0, without gaps):
 *
 *     chunks (folded, large, deflated by whoever folded them)     tail (one row per commit)
 *     [0 ...... 16384) [16384 ...... 31002)                       [31002, 31003) [31003, 31010) ...
 *
 * and a snapshot that stands for the events below one position.  Opening reads the snapshot and the
 * pieces above it; the rest is read when someone needs history.
 *
 * Writing goes through turns: filled on the caller's thread, submitted, committed by the store's
 * own thread together with whatever else waits (group commit, fdatasync before it counts), then
 * reported. Reading is done on the caller's thread and sees what has been committed.
 *
 * Threads: turns may be filled, submitted and committed, and documents read, on several threads at
 * once (store_error then tells of any of them); store_poll, store_on_wake and store_close belong to
 * one.  The memory twin is for one thread. */
#ifndef SYN_STORE_H
#define SYN_STORE_H

#include "syncline.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct syn_store syn_store;

#define STORE_ID_BYTES      16
#define STORE_LINEAGE_BYTES 16
#define STORE_MAX_NAME      255u                /* bytes of a document's name */
#define STORE_MAX_KEY       1024u               /* bytes of a note's key */
#define STORE_MAX_ROW       (64u * 1024 * 1024) /* bytes of one chunk, part, append or note */

typedef struct {
    const char *path; /* NULL: memory twin */
    const char
        *owner;  /* written to PATH.lock, told to whom comes second, e.g. "ws://127.0.0.1:7700" */
    bool create; /* make the file if it is not there */
    bool read_only;  /* takes no lock and writes nothing, marks of damage included */
    const char *vfs; /* SQLite VFS by name; NULL: the default.  Tests put faults there */
    const uint8_t
        *random_id;      /* 16 random bytes for a new file's store id: required when creating */
    uint32_t min_gap_us; /* least time between the starts of two commits; 0: 1,000 */
    syn_mem mem; /* all zero: malloc.  Used by the caller's threads at the same time: thread-safe */
} store_options;

/* On refusal *detail (at least 256 bytes) says what is wrong and what to do next.
 * SYN_ENOTFOUND: no such file and !create.  SYN_EBUSY: another process has it (detail: its URL).
 * SYN_EVERSION: not a Syncline file, or a newer schema.  SYN_EDAMAGED.  SYN_EIO.  SYN_EFULL.
 * SYN_ENOMEM. */
/* Of all stores of the process, and of SQLite: caches stay below an eighth, everything below a
 * quarter.  0: no limit. */
void store_limit_memory(uint64_t bytes);
syn_err store_open(syn_store **out, const store_options *options, char detail[256]);
/* Commits what was submitted, runs the `done` of all that was not polled yet, stops the thread,
 * gives the lock back.  NULL is fine. */
void store_close(syn_store *store);

void store_id(const syn_store *store, uint8_t out[STORE_ID_BYTES]);
/* Why the last refused call of this thread's side was refused; never NULL. */
const char *store_error(const syn_store *store);
/* The same, copied, where other threads read at the same time. */
void store_copy_error(syn_store *store, char *out, size_t size);

/* ---- Reading --------------------------------------------------------------------------------- */

struct store_doc {
    int64_t id; /* the store's number of the document */
    uint8_t lineage[STORE_LINEAGE_BYTES];
    bool has_lineage;         /* a client's copy that never met a server has none */
    uint32_t events;          /* log positions [0, events) are stored */
    uint64_t bytes;           /* of its log and snapshot */
    uint32_t snapshot_at;     /* the snapshot stands for positions below this */
    uint64_t snapshot_events; /* and for so many events; 0: there is no snapshot */
    bool damaged;             /* a load failed: nothing is stored over it until store_repaired */
};

/* SYN_ENOTFOUND: never was.  SYN_EDELETED: there is a tombstone (out->lineage, the latest) and no
 * document now.  A document whose own row is damaged is found, with damaged set and the other
 * fields as they may be. */
syn_err store_find(syn_store *store, syn_str name, struct store_doc *out);
/* Was this (name, lineage) deleted? */
syn_err store_was_deleted(syn_store *store, syn_str name,
                          const uint8_t lineage[STORE_LINEAGE_BYTES], bool *out);

/* One stored piece, its checksum verified.  Borrowed for the call of the visitor, whose non-zero
 * return stops the walk and is returned. */
struct store_piece {
    uint32_t from, end; /* log: positions.  Snapshot: part number, number of parts */
    bool packed; /* as given when written: bytes are a Packed (deflated), not a plain message */
    syn_str bytes;
    syn_str effects; /* chunks: what can be found out from the log up to here, kept to spare that
                        work; empty: not kept */
};
typedef syn_err (*store_visit)(void *user, const struct store_piece *piece);
/* SYN_EDAMAGED: a checksum or the row of positions is wrong; the document is marked damaged, here
 * at once and in the file as soon as may be.  SYN_EIO marks nothing.  No snapshot: no visit. */
syn_err store_read_snapshot(syn_store *store, int64_t doc, store_visit visit, void *user);
/* Pieces that touch [from, end), ascending, chunks and tail alike; `end` beyond the log is cut. */
syn_err store_read_log(syn_store *store, int64_t doc, uint32_t from, uint32_t end,
                       store_visit visit, void *user);

struct store_peer {
    uint64_t peer;
    uint32_t next;  /* first seq not stored */
    uint64_t chain; /* hash chain over the events below next */
    char user[256]; /* who answers for it; "" : bound to nobody */
};
syn_err store_read_peer(syn_store *store, int64_t doc, uint64_t peer,
                        struct store_peer *out); /* SYN_ENOTFOUND */
syn_err store_read_peers(syn_store *store, int64_t doc,
                         syn_err (*visit)(void *, const struct store_peer *), void *user);

/* Small facts kept beside a document (doc 0: the file): the client library's own peers, branches
 * and so on.  Copies up to cap; *len is the full length.  SYN_ENOTFOUND. */
syn_err store_read_note(syn_store *store, int64_t doc, syn_str key, void *out, size_t cap,
                        size_t *len);
syn_err store_read_notes(syn_store *store, int64_t doc, syn_str prefix,
                         syn_err (*visit)(void *, syn_str key, syn_str value), void *user);

/* Documents in ascending order of name. */
syn_err store_list(syn_store *store,
                   syn_err (*visit)(void *, syn_str name, const struct store_doc *), void *user);

/* How far a reader of the change feed has come.  Both numbers only grow and are never given out
 * twice. */
struct store_cursor {
    int64_t commit, deletion;
};
/* One entry of it: a deletion (doc 0), or that a document got events [from, end). */
struct store_news {
    struct store_cursor at; /* go on from here */
    int64_t doc;
    uint32_t from, end;
    syn_str name; /* borrowed for the call */
};
/* The change feed: what is above `after`, deletions first, both ascending, as of one moment.  That
 * order is right although it is not that of time: the changes of a deleted document went with it,
 * so those that are there are younger than every deletion of that name.  Folding joins what it
 * folds into one entry with the highest number, so that a reader who was behind still meets it. The
 * visitor's non-zero return stops the walk and is returned. */
syn_err store_feed(syn_store *store, struct store_cursor after,
                   syn_err (*visit)(void *, const struct store_news *), void *user);
/* The highest numbers given out so far and committed; 0: none. */
syn_err store_feed_end(syn_store *store, struct store_cursor *out);

/* ---- Writing --------------------------------------------------------------------------------- */

typedef struct store_turn store_turn;
/* A turn is filled (each call copies what it is given), then submitted once, which gives it away;
 * or dropped. */
syn_err store_turn_new(syn_store *store, store_turn **out);
void store_turn_drop(store_turn *turn);

/* Creates a document; its number is drawn now (unique also against turns not yet committed) and
 * valid from this call on in this and later turns.  lineage NULL: none yet. */
syn_err store_turn_create(store_turn *turn, syn_str name, const uint8_t *lineage, int64_t *doc);
syn_err store_turn_lineage(store_turn *turn, int64_t doc,
                           const uint8_t lineage[STORE_LINEAGE_BYTES]);
/* Appends positions [from, end); `from` must be where the log ends, else the document's savepoint
 * fails. */
syn_err store_turn_append(store_turn *turn, int64_t doc, uint32_t from, uint32_t end,
                          syn_str bytes);
syn_err store_turn_peer(store_turn *turn, int64_t doc, const struct store_peer *peer);
/* value.data NULL: removes the note. */
syn_err store_turn_note(store_turn *turn, int64_t doc, syn_str key, syn_str value);
/* Removes the document and leaves a tombstone (name, lineage); none without a lineage, for nobody
 * else ever had such a document. */
syn_err store_turn_delete(store_turn *turn, int64_t doc);
/* Replaces the whole log, the snapshot and the peers (doc rebuilt without a tail): gives positions
 * 0.. anew with the following append calls of this turn. */
syn_err store_turn_clear(store_turn *turn, int64_t doc);
/* Folding: pieces below `end` are replaced by these chunks (ascending, without gaps, covering
 * [first.from, end) where first.from is the start of an existing piece), and / or the snapshot by
 * these parts, at position `at` standing for `events` events. */
syn_err store_turn_fold(store_turn *turn, int64_t doc, const struct store_piece *chunks,
                        uint32_t count);
syn_err store_turn_snapshot(store_turn *turn, int64_t doc, uint32_t at, uint64_t events,
                            const syn_str *parts, uint32_t count, bool packed);

/* The outcome of a turn.  err != SYN_OK: the transaction's outcome is unknown (it may be there
 * after a restart): drop every document the turn touched from memory.  Else doc_failed lists the
 * documents whose own savepoint was rolled back (nothing of that document's part was stored). */
struct store_result {
    syn_err err;
    const char *detail;
    int64_t commit_seq; /* the highest number given out up to this turn */
    const int64_t *doc_failed;
    uint32_t doc_failed_count;
    uint64_t commit_us; /* how long the commit took */
};
typedef void (*store_done)(void *user, const struct store_result *result);
/* Gives the turn to the writer.  `done` (or NULL) runs once, inside store_poll or store_close on
 * the thread that calls it, in order of submission.  Memory twin: the same, with the commit done
 * inside submit.  One turn may build on another that is still under way: if that one fails, this
 * one's appends do not start where the log ends, and fail too. */
void store_submit(store_turn *turn, store_done done, void *user);
/* Runs the `done` of turns that have ended.  `wake` (set before the first submit; may be called
 * from the writer thread; must only signal) says that there is something to poll. */
void store_poll(syn_store *store);
void store_on_wake(syn_store *store, void (*wake)(void *user), void *user);
/* Submits and waits: for programs without a loop.  The turn's error, or else the first of a
 * document in it; SYN_EMISUSE: a name that is taken, or positions that do not fit. */
syn_err store_commit(store_turn *turn);
/* True while the last write failed for lack of space or an I/O error and no write has succeeded
 * since: the server is read-only.  store_probe submits a tiny write that clears it when the disk is
 * well again (the connection is reopened first). */
bool store_failing(const syn_store *store);
void store_probe(syn_store *store);

/* Commits by how long they took: up to 0.5, 1, 2, 5, 10, 20, 50, 100, 250, 500, 1000 ms, longer. */
#define STORE_BUCKETS 12
extern const uint32_t store_bucket_us[STORE_BUCKETS - 1];

struct store_stats {
    uint64_t commits, rows, bytes, failed, commit_us_total, commit_us_max;
    uint64_t wal_pages;
    uint64_t buckets[STORE_BUCKETS];
};
void store_read_stats(const syn_store *store, struct store_stats *out);

/* ---- Looking after a file -------------------------------------------------------------------- */

typedef void (*store_progress)(void *user, uint64_t done, uint64_t total);
/* Everything the store can check without knowing what bytes mean: SQLite's integrity, checksums,
 * positions without gaps, peers.  `problem` gets a sentence for each. SYN_EDAMAGED if there was
 * any. */
syn_err store_fsck(syn_store *store, void (*problem)(void *, const char *text),
                   store_progress progress, void *user);
/* A consistent copy of a file that may be in use, through SQLite's online backup. SYN_EBUSY: `to`
 * exists. */
syn_err store_backup(const char *from, const char *to, store_progress progress, void *user,
                     char detail[256]);
/* Puts a backup in the place of `file` (whose owner must be gone; what was there is kept as
 * FILE.before-restore), with a new store id, so that clients notice and bring what the backup
 * lacks.  commit_seq goes on from the backup's: a cursor on the feed belongs to a store id.
 * SYN_EBUSY: in use, or FILE.before-restore exists. */
syn_err store_restore(const char *file, const char *from, const uint8_t new_id[STORE_ID_BYTES],
                      char detail[256]);
/* Gives free pages back (VACUUM) and shortens the file; not while serving. */
syn_err store_vacuum(syn_store *store, store_progress progress, void *user);
/* A document that failed to load was repaired or given up: it may be written again.  Until then
 * every write of it, its deletion included, fails with SYN_EDAMAGED. */
syn_err store_repaired(syn_store *store, int64_t doc);
syn_err store_mark_damaged(syn_store *store, int64_t doc);

#ifdef __cplusplus
}
#endif
#endif
