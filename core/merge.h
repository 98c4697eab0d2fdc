/* merge.h -- where a concurrent operation on a sequence acts today (eg-walker's replay).
 *
 * One object per container that lately had concurrent operations.  It holds a tracker over the
 * *window*: the container's operations from LV `window` on, where window - 1 is a critical version.
 * Operations up to `fed` are in the tracker; the prepare version says which of them its positions
 * speak of.
 *
 *     LV   ...critical |window ........ fed| new ...
 *
 * It is kept between changes, so that a long-lived branch costs each new event its own work, not a
 * replay.  An operation that is not concurrent with anything does not end it at once, because
 * histories with many short branches come back to an older version again and again; it goes when
 * more such events have passed than its window is long (merge_is_stale), so that building it anew
 * is paid for. */
#ifndef SYN_CORE_MERGE_H
#define SYN_CORE_MERGE_H

#include "oplog.h"
#include "tracker.h"

struct fed_run { /* events [lv, lv + len) have tracker ids [id, id + len) */
    lv_t lv;
    uint32_t id, len;
};

struct sequence_merge {
    struct tracker *tracker;
    lv_t window, fed;
    lv_set prepare;
    ARRAY(struct fed_run) runs;
    lv_ranges retreat, advance; /* scratch */
    tracker_effects deletes;    /* scratch: the effects of the last delete */
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
};

/* At event `now`, not concurrent with anything: is it time to let go? */
bool merge_is_stale(const struct sequence_merge *merge, lv_t now);

/* Brings the merge to where the piece (already in graph and log) can be fed: chooses or rebuilds
 * the window, feeds what was applied since, moves the prepare version to the parents of the piece's
 * first event. On any error the merge must be freed. */
syn_err merge_prepare(struct sequence_merge *merge, const struct merge_source *source,
                      const struct op_piece *piece);

/* Feeds the piece.  SYN_ERANGE: its position does not exist at its parents.  The effects:
 * inserts: *at_pos; deletes: merge->deletes; sets: where[0..len) (room given by the caller). */
syn_err merge_insert(struct sequence_merge *merge, const struct merge_source *source,
                     const struct op_piece *piece, uint32_t *at_pos);
syn_err merge_delete(struct sequence_merge *merge, const struct merge_source *source,
                     const struct op_piece *piece);
syn_err merge_set(struct sequence_merge *merge, const struct merge_source *source,
                  const struct op_piece *piece, uint32_t *where);

#endif
