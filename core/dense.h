/* dense.h -- differences of versions in a window with few writers.
 *
 * In a window after a critical version, a version is what it has of each writer: a prefix of his
 * events, so one number.  With at most DENSE_PEERS writers, two versions differ by a few
 * subtractions, where graph_diff walks the graph with a heap.  Two people who type at once pass
 * through such windows again and again.
 *
 *     runs   one row per graph run of the window, which ends where the next begins:
 *            lv         its first event in the window
 *            upto[w]    1 + LV of the last event of writer w that the run comes after; 0: none
 *            last[w]    the row of that event
 *            writer     whose run it is
 *            previous   his run before, or DENSE_NONE
 *
 * A row knows the version in front of each of its events, so a version is named by its place: a
 * row and an LV.  No list of parents is looked at after dense_begin. */
#ifndef SYN_CORE_DENSE_H
#define SYN_CORE_DENSE_H

#include "graph.h"

#define DENSE_PEERS 4
#define DENSE_NONE  UINT32_MAX
#define DENSE_CUTS  1024 /* events of windows whose cuts are noted */

struct dense_run {
    lv_t lv, upto[DENSE_PEERS];
    uint32_t last[DENSE_PEERS];
    uint32_t writer, previous;
};

struct dense {
    struct lv_range window;
    uint32_t first; /* index of the graph run that rows begin with */
    uint32_t writers;
    uint32_t agent[DENSE_PEERS];
    uint64_t peer[DENSE_PEERS];
    ARRAY(struct dense_run) runs;
    uint64_t cuts[DENSE_CUTS / 64]; /* a bit for each event of a short window: a run begins there,
                                       or goes on behind a parent */
};

/* The version of which event lv of the row's run is the next; lv may be the row's end.
 * Row DENSE_NONE: nothing of the window. */
struct dense_place {
    uint32_t row;
    lv_t lv;
};

/* Makes the rows of a window, whose first event comes after a critical version.  *fits: there are
 * few enough writers.  SYN_ENOMEM. */
syn_err dense_begin(struct dense *d, const struct graph *g, const syn_mem *mem,
                    struct lv_range window, bool *fits);

/* Are the parents of the runs that begin at or above `from` antichains, at least where there are
 * two, and do they come after their peer's previous event?  Otherwise *fault is the first event of
 * a run for which that is not so. */
enum dense_verdict { DENSE_SOUND, DENSE_NO_ANTICHAIN, DENSE_NO_PREVIOUS };
enum dense_verdict dense_check(const struct dense *d, const struct graph *g, lv_t from,
                               lv_t *fault);

static inline lv_t dense_end(const struct dense *d, uint32_t row)
{
    return row + 1 < d->runs.n ? d->runs.at[row + 1].lv : d->window.end;
}

/* Does some version of the window end right in front of the event? */
static inline bool dense_is_cut(const struct dense *d, lv_t lv)
{
    uint32_t i = lv - d->window.from;
    return (d->cuts[i / 64] >> (i % 64) & 1) != 0;
}
/* The first such event behind lv, or the window's end. */
static inline lv_t dense_cut_after(const struct dense *d, lv_t lv)
{
    uint32_t len = d->window.end - d->window.from, i = lv + 1 - d->window.from;
    while (i < len) {
        uint64_t word = d->cuts[i / 64] >> (i % 64);
        if (word != 0) {
            i += (uint32_t)__builtin_ctzll(word);
            break;
        }
        i = (i / 64 + 1) * 64;
    }
    return d->window.from + (i < len ? i : len);
}

/* As graph_diff, for versions of the window; what lies below it is in both.  The ranges come in
 * another order. */
syn_err dense_diff(const struct dense *d, const syn_mem *mem, struct dense_place a,
                   struct dense_place b, lv_ranges *only_a, lv_ranges *only_b);

#endif
