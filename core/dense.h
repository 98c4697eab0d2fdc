/* dense.h -- differences of versions in a window with few writers.
 *
 * In a window after a critical version, a version is what it has of each writer: a prefix of his
 * events, so one number.  With at most DENSE_PEERS writers, two versions differ by a few
 * subtractions, where graph_diff walks the graph with a heap.  Two people who type at once pass
 * through such windows again and again.
 *
 *     runs   one row per graph run of the window:
 *            upto[w]    1 + LV of the last event of writer w that the run comes after; 0: none
 *            writer     whose run it is
 *            previous   his run before, or DENSE_NONE */
#ifndef SYN_CORE_DENSE_H
#define SYN_CORE_DENSE_H

#include "graph.h"

#define DENSE_PEERS 4
#define DENSE_NONE  UINT32_MAX

struct dense_run {
    lv_t upto[DENSE_PEERS];
    uint32_t writer, previous;
};

struct dense {
    struct lv_range window;
    uint32_t first; /* index of the graph run that rows begin with */
    ARRAY(struct dense_run) runs;
};

/* Makes the rows of a window, whose first event comes after a critical version.  *fits: there are
 * few enough writers.  SYN_ENOMEM. */
syn_err dense_begin(struct dense *d, const struct graph *g, const syn_mem *mem,
                    struct lv_range window, bool *fits);

/* As graph_diff, for versions of the window; what lies below it is in both.  The ranges come in
 * another order. */
syn_err dense_diff(const struct dense *d, const struct graph *g, const syn_mem *mem, const lv_t *a,
                   uint32_t na, const lv_t *b, uint32_t nb, lv_ranges *only_a, lv_ranges *only_b);

#endif
