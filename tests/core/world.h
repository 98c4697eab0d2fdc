/* world.h -- some replicas, an archive that has all events, and the oracle, for random histories.
 *
 *     replica 0..n-1   edited; they meet each other by chance, lose history, get it back
 *     archive          gets every event when it is made, like a server
 *     oracle           the same, and says what must be
 */
#ifndef SYN_TESTS_WORLD_H
#define SYN_TESTS_WORLD_H

#include "mirror.h"
#include "proto.h"
#include "random.h"

enum { MAX_REPLICAS = 8, MAX_PARTS = 64 };

struct replica {
    syn_doc *doc;
    struct mirror mirror;
    syn_str base[MAX_PARTS]; /* encoded snapshot that it was loaded from */
    uint32_t base_parts;
    bool new_session; /* must draw a new peer before it edits */
};

struct world {
    struct random r;
    struct oracle *o;
    struct replica replica[MAX_REPLICAS];
    uint32_t replicas;
    struct replica archive;
    uint32_t peers; /* drawn so far */
    uint32_t max_events;
};

/* Sets of changes in a row, each a copy of its own. */
struct sets {
    syn_changes **at;
    uint32_t n, next;
};

void world_init(struct world *w, uint32_t seed, uint32_t replicas, uint32_t max_events);
void world_free(struct world *w);
void replica_free(struct replica *replica);
syn_doc *world_new_doc(void);

/* One to some edits of a replica, in a transaction or not, perhaps rolled back. (edits.c) */
void world_edit(struct world *w, struct replica *replica);
/* One edit of any container, in the transaction that is open, or none. */
void world_edit_one(struct random *r, syn_doc *doc);
/* Events of a later version: unknown operation and value kinds, and nothings. */
void world_foreign_edit(struct world *w, struct replica *replica);
/* Hands to archive and oracle what the replica has made from that log position on. */
void world_publish(struct world *w, syn_doc *doc, uint32_t from);

/* What `to` lacks, in random pieces, orders and repetitions; sometimes not all of it. */
void world_meet(struct world *w, struct replica *from, struct replica *to);
/* `to` gets all that the archive has. */
void world_complete(struct world *w, struct replica *to);
/* `to` becomes a copy of `from` without history, through the bytes of a snapshot. */
void world_load(struct world *w, struct replica *from, struct replica *to);
void world_backfill(struct world *w, struct replica *replica);
void world_without(struct world *w, struct replica *replica);

/* Invariants, event records, and (sometimes) the oracle. */
void world_look(struct world *w, struct replica *replica, bool always);

/* Log positions [from, end) in sets of at most max_events each. */
struct sets sets_of(syn_doc *doc, uint32_t from, uint32_t end, uint32_t max_events);
void sets_add(struct sets *sets, const syn_changes *set);
void sets_free(struct sets *sets);
/* Snapshot bytes, and the digest; parts are malloc'd. */
uint32_t snapshot_bytes(syn_doc *doc, syn_str *parts, uint64_t *digest);
void load_snapshot(syn_doc *doc, const syn_str *parts, uint32_t count);

#endif
