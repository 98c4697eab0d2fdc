/* merge.h -- where a concurrent operation on a sequence acts today (eg-walker's replay).
 *
 * One object per container that lately had concurrent operations.  It holds a tracker over the
 * *window*: the container's operations from LV `window` on, where window - 1 is a critical version.
 * All of them below `fed` are in the tracker, and perhaps some above, while a whole set is planned
 * in an order of its own (visit.h); the prepare version says of which its positions speak.
 *
 *     LV   ...critical |window ........ fed| new ...
 *     id               |base_len ......    | ...        so id = lv - window + base_len
 *
 * Events of other containers are holes in the tracker's ids.  (Dense ids need a map from LVs, which
 * is searched at every move, and sorted anew when events come in another order than their LVs'.)
 *
 * It is kept between changes, so that a long-lived branch costs each new event its own work, not a
 * replay.  An operation that is not concurrent with anything does not end it at once, because
 * histories with many short branches come back to an older version again and again; it goes when
 * some times as many such events have passed as its window is long (merge_is_stale), so that
 * building it anew is paid for.  Until then it follows them some dozens at a time (merge_follow),
 * for who comes back from a long branch should not wait until it has been fed all of the others. */
#ifndef SYN_CORE_MERGE_H
#define SYN_CORE_MERGE_H

#include "oplog.h"
#include "tracker.h"
#include "dense.h"
#include "stands.h"
#include "visit.h"

/* How much the change at hand may cost: steps of trackers and graph walks.  Beyond the limit it is
 * refused, so that no shape of history keeps anybody waiting. */
struct work {
    uint64_t done, limit;
};

struct sequence_merge {
    struct tracker *tracker;
    uint32_t base_len; /* of the sequence at window - 1 */
    lv_t window, fed;
    lv_t used;         /* as fed, but without what came since the window's first part was needed */
    bool needed;       /* it is, for what is fed now */
    uint32_t fed_runs; /* of the source, at least so many were fed */
    lv_set prepare;
    uint32_t row; /* prepare is what follows the event fed last, of this row of the dense versions
                     it was fed with; DENSE_NONE: nothing of the window was */
    lv_ranges retreat, advance, order; /* scratch */
    tracker_effects deletes;           /* scratch: the effects of the last delete */
    struct stands stands;              /* trackers at other versions */
    bool in_order;                     /* all is fed in the order of the log: stands pay */
};

struct sequence_merge *merge_new(const syn_mem *mem);
void merge_free(struct sequence_merge *merge, const syn_mem *mem);
size_t merge_footprint(const struct sequence_merge *merge);

/* The sequence that a merge speaks about. */
struct merge_source {
    const syn_mem *mem;
    const struct graph *graph;
    const struct oplog *log;
    const uint32_t *runs; /* indexes of the container's op runs */
    uint32_t run_count;
    uint32_t len; /* of the sequence now */
    struct work *work;
};

/* Whose event, and after which: what the graph says of the first event of a piece. */
struct event_origin {
    const lv_t *parents;
    uint32_t parent_count;
    uint64_t peer;
    /* The versions of the window that it lies in, and its run's row there: parents are not looked
     * at.  NULL: too many writers, or something of the window was there before. */
    const struct dense *dense;
    uint32_t row;
};

/* At event `now`, not concurrent with anything: is it time to let go? */
bool merge_is_stale(const struct sequence_merge *merge, lv_t now);

/* Feeds what came since, below `now` and concurrent with nothing, if it has become much.  After an
 * error: drop it. */
syn_err merge_follow(struct sequence_merge *merge, const struct merge_source *source, lv_t now);

/* Makes the merge ready for the events of a window that begins at `now`: everything below is fed.
 * After an error of this or the next seven the merge is half fed: drop it.  SYN_ELIMIT: too much
 * work. */
syn_err merge_begin(struct sequence_merge *merge, const struct merge_source *source, lv_t now);

/* What is fed next are events of one graph run, from `first` on, which has this origin. */
syn_err merge_enter(struct sequence_merge *merge, const struct merge_source *source, lv_t first,
                    const struct event_origin *origin);
/* Each feeds one piece of the run, which need not begin where the one before ended.
 * insert: *at_pos is where it lands.  delete: the effects are merge->deletes, each to be applied
 * after the one before it.  set: `where` as in tracker_set. */
syn_err merge_feed_insert(struct sequence_merge *merge, const struct merge_source *source,
                          const struct op_piece *piece, uint64_t peer, uint32_t *at_pos);
syn_err merge_feed_delete(struct sequence_merge *merge, const struct merge_source *source,
                          const struct op_piece *piece);
syn_err merge_feed_set(struct sequence_merge *merge, const struct merge_source *source,
                       const struct op_piece *piece, uint32_t *where);
/* The last piece of the run ended there; row: its origin's. */
void merge_leave(struct sequence_merge *merge, lv_t end, uint32_t row);

/* The three steps for a single piece. */
syn_err merge_insert(struct sequence_merge *merge, const struct merge_source *source,
                     const struct op_piece *piece, const struct event_origin *origin,
                     uint32_t *at_pos);
syn_err merge_delete(struct sequence_merge *merge, const struct merge_source *source,
                     const struct op_piece *piece, const struct event_origin *origin);
syn_err merge_set(struct sequence_merge *merge, const struct merge_source *source,
                  const struct op_piece *piece, const struct event_origin *origin, uint32_t *where);

/* ---- Asking about what was applied */

/* Index of the first of the source's runs that ends above lv. */
uint32_t merge_first_run_above(const struct merge_source *source, lv_t lv);
/* The length of the sequence at the critical version window - 1 (window 0: before everything). */
uint32_t merge_length_at(const struct merge_source *source, lv_t window);
/* Feeds all that there is, in a window that holds every event above `floor` (LV_NONE: all events),
 * and moves the prepare version to `version`, which is not below it.  Then the tracker can be asked
 * (tracker_look, tracker_place_of).  After an error: drop it. */
syn_err merge_ask(struct sequence_merge *merge, const struct merge_source *source, lv_t floor,
                  const lv_t *version, uint32_t count);
/* Tracker ids and LVs; of an element of the base there is only an id, below base_len. */
static inline uint32_t merge_id(const struct sequence_merge *merge, lv_t lv)
{
    return lv - merge->window + merge->base_len;
}
static inline lv_t merge_lv(const struct sequence_merge *merge, uint32_t id)
{
    return id - merge->base_len + merge->window;
}

#endif
