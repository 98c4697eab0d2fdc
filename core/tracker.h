/* tracker.h -- the CRDT state of one sequence over a stretch of history (eg-walker, FugueMax
 * order).
 *
 * A sequence of records.  Every element that exists in some version since the base has a place;
 * each is, in the *prepare* version, not yet inserted, visible, or deleted n times; and in the
 * *effect* version (everything fed so far) visible or deleted.  Feeding an operation at its own
 * parents' version answers where it acts in the effect version.
 *
 * Ids: 0 .. base_len-1 are the elements that stood there at the base version; above them the caller
 * chooses, with tracker_go_to, which ids what is fed next gets.  So an id can be an LV less a
 * constant, though events are fed in another order and some never: ids that were not fed are holes,
 * which a move passes over.
 * Order among concurrent inserts: FugueMax, ties by ascending peer (core: design 3.4).
 *
 * Any error leaves the tracker unusable: drop it with tracker_free or tracker_reset.  SYN_STRESS
 * makes leaf and fan-out 4. */
#ifndef SYN_CORE_TRACKER_H
#define SYN_CORE_TRACKER_H

#include "mem.h"

struct tracker;

/* What a fed operation does to the effect version: delete `removed` elements at `pos`, or insert
 * `len`; for a set, `pos` is where the item stands now. */
struct tracker_effect {
    uint32_t pos, len;
};
typedef ARRAY(struct tracker_effect) tracker_effects;

struct tracker *tracker_new(const syn_mem *mem); /* empty base; NULL: no memory */
void tracker_free(struct tracker *t);            /* NULL is fine */
/* Forgets everything; the base has base_len elements, all visible in both versions. */
syn_err tracker_reset(struct tracker *t, uint32_t base_len);

uint32_t tracker_prepare_len(const struct tracker *t); /* elements visible in the prepare version */
uint32_t tracker_effect_len(const struct tracker *t);
uint32_t tracker_next_id(const struct tracker *t);
/* At most so many records: what copying costs, or taking all of them out. */
uint32_t tracker_records(const struct tracker *t);

/* What is fed next gets ids from this on (>= base_len), none of which has been fed. */
syn_err tracker_go_to(struct tracker *t, uint32_t id);

/* Each feeds ids next_id .. next_id+len-1.  SYN_ERANGE: position beyond the prepare version.
 *
 * insert: `len` elements of `peer` at prepare position pos; effect->pos is where they land.
 * delete: forward, `len` elements from pos on; back, element i is at pos - i.  Appends the effects,
 *         each to be applied after the one before it; elements already gone in the effect version
 *         give none.
 * set:    `len` events, event i targets the element at pos + i, without changing anything; `where`
 *         gets, for each, its effect position, or UINT32_MAX when it is deleted there. */
syn_err tracker_insert(struct tracker *t, uint64_t peer, uint32_t pos, uint32_t len,
                       struct tracker_effect *effect);
syn_err tracker_delete(struct tracker *t, uint32_t pos, uint32_t len, bool back,
                       tracker_effects *effects);
syn_err tracker_set(struct tracker *t, uint32_t pos, uint32_t len, uint32_t *where);

/* Moves the prepare version: takes events [id, id+len) out, or back in.  The ids are >= base_len;
 * what they did (insert, delete, set, nothing) is known from feeding.  Any order within one move is
 * right, because states are counters. */
syn_err tracker_retreat(struct tracker *t, uint32_t id, uint32_t len);
syn_err tracker_advance(struct tracker *t, uint32_t id, uint32_t len);

/* ---- Two trackers of one sequence, at different versions (tracker_copy.c) */

/* The same, at the same prepare version.  NULL: no memory. */
struct tracker *tracker_copy(struct tracker *t);
/* Ids [id, id+len) have been fed to `fed`: they get their places in t, too, whose prepare version
 * stays without them.  Both have been fed the same before. */
syn_err tracker_follow(struct tracker *t, const struct tracker *fed, uint32_t id, uint32_t len);
/* Aborts unless both have the same elements in the same order, and the same of them are gone. */
void tracker_check_same(const struct tracker *a, const struct tracker *b);

/* Steps of work done since this was asked last: pieces moved, records passed or looked up. */
uint64_t tracker_take_work(struct tracker *t);

/* ---- Asking, which feeds and moves nothing (tracker_look.c) */

/* Elements id .. id+len-1, which stand one behind the other and share what became of them. */
struct tracker_place {
    uint32_t id, len;
    uint32_t pos;     /* of the first in the effect version; of deleted ones: where they stood */
    uint32_t deletes; /* that took them, of those in the prepare version */
    bool gone;        /* in the effect version */
};
/* The element at a position of the prepare version (len 1).  false: beyond its end. */
bool tracker_look(struct tracker *t, uint32_t pos, struct tracker_place *out);
/* Element id and those behind it, at most len in all. */
struct tracker_place tracker_place_of(struct tracker *t, uint32_t id, uint32_t len);
/* What event id (fed) inserted or took: an element; and how many events from there on, at most len,
 * have the elements behind it (*back: before it).  UINT32_MAX: nothing. */
uint32_t tracker_target(const struct tracker *t, uint32_t id, uint32_t *len, bool *back);
/* Does element a stand before element b? */
bool tracker_stands_before(const struct tracker *t, uint32_t a, uint32_t b);

size_t tracker_footprint(const struct tracker *t);
void tracker_check(struct tracker *t); /* aborts on a broken invariant */

#endif
