/* graph_impl.h -- what graph.c (building) and version.c (asking) share.
 *
 *      runs      [lv, end) ...          ascending, without gaps: LV -> run by binary search
 *      parents   pool of all runs' parents;  was_head[i]: parents[i] was a head until its run came
 *      heads     ascending LVs          the frontier
 *      critical  [from, end) ...        ascending, maximal
 *      cut       (from, end, by) ...    what the run at LV `by` made uncritical, latest last
 *
 * was_head and cut are the undo record: with them a run can be taken back in time proportional to
 * itself and without memory, which is what lets graph_truncate be infallible. */
#ifndef SYN_CORE_GRAPH_IMPL_H
#define SYN_CORE_GRAPH_IMPL_H

#include "agent.h"

#include <stdio.h>
#include <stdlib.h>

/* Unlike an assert this stays in every build: a caller that asks for a check wants one. */
#define CHECK(condition)                                                                           \
    do {                                                                                           \
        if (!(condition)) {                                                                        \
            (void)fprintf(stderr, "%s:%d: broken: %s\n", __FILE__, __LINE__, #condition);          \
            abort();                                                                               \
        }                                                                                          \
    } while (0)

struct graph_cut {
    struct lv_range range;
    lv_t by;
};

/* Buffers that queries on a const graph use and move; never part of what the graph says. */
struct graph_scratch {
    uint32_t run;         /* index of the run last found */
    ARRAY(uint64_t) heap; /* max-heap of lv << 2 | flags */
    lv_set kept;
    ARRAY(uint8_t) reached; /* one per run, zero between calls */
};

struct graph {
    const syn_mem *mem;
    struct agents agents;
    ARRAY(struct graph_run) runs;
    lv_set parents;
    ARRAY(uint8_t) was_head;
    lv_set heads;
    lv_ranges critical;
    ARRAY(struct graph_cut) cut;
    bool has_base;
    struct graph_scratch *scratch;
};

/* First index whose member is >= lv. */
uint32_t lv_lower_bound(const lv_t *at, uint32_t n, lv_t lv);

/* Turns the heads after `run` (the last one) into those before it.  Needs room for
 * run->parent_count more. */
void heads_before(const struct graph *g, lv_set *heads, const struct graph_run *run);

#endif
