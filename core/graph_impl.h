/* graph_impl.h -- what graph.c (building), version.c (asking) and graph_check.c share.
 *
 *     runs        lv 0  | lv 4  | lv 7  | lv 9    one entry more than there are runs: a run ends
 *                 par 0 | par 0 | par 1 | par 3   where the next begins, and so do its parents
 *     parents     [1] [3 6]                       pool of all runs' parents
 *     parent_run  [0] [0 1]                       the run that each is in, so that no walk
 *                                                 searches; and whether it was a head until then
 *     heads       ascending LVs                   the frontier; the last event always is one
 *     critical    [from, end) ...                 ascending, maximal; while there is one head the
 *                                                 last range is open (end LV_OPEN)
 *     cut         (from, end, by) ...             what the run at LV `by` made uncritical, latest
 *                                                 last; none of what fills an empty graph
 *     tip         the last run's agent and room   what a keystroke asks
 *
 * 24 bytes a run, 8 a parent and 4 in its agent's list.  A keystroke changes three numbers: where
 * the last run ends, the head, the tip's room.
 *
 * WAS_HEAD and cut are the undo record: with them a run can be taken back in time proportional to
 * itself and without memory, which is what lets graph_truncate be infallible.  The entry of a run
 * taken back is the one that now closes the array, just as it is. */
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

#define LV_OPEN  UINT32_MAX
#define WAS_HEAD 0x80000000u /* in parent_run: the parent was a head until its run came */

struct run {
    lv_t lv;
    lv_t shadow;
    uint32_t lamport;
    uint32_t agent;
    uint32_t seq : 31;
    uint32_t reached : 1; /* a mark of walks without memory, 0 between calls */
    uint32_t parents;     /* index of the first in the pool */
};

struct graph_cut {
    struct lv_range range;
    lv_t by;
};

/* What queries on a const graph use and move; never part of what the graph says. */
struct graph_scratch {
    uint32_t run, other;  /* indexes of the runs last found: two branches ask by turns */
    ARRAY(uint64_t) heap; /* version.c */
    uint64_t steps;       /* taken from it, in all */
    lv_set kept;
};

struct graph {
    const syn_mem *mem;
    struct graph_scratch *scratch; /* in the same block */
    struct agents agents;
    ARRAY(struct run) runs;
    lv_set parents;
    ARRAY(uint32_t) parent_run;
    lv_set heads;
    lv_ranges critical;
    ARRAY(struct graph_cut) cut;
    uint32_t tip_agent, tip_room; /* AGENT_NONE, 0: nothing can continue */
    bool has_base;
    bool fills; /* what is pushed is taken back by emptying the graph: no cuts are kept */
};

static inline lv_t run_end(const struct run *run)
{
    return run[1].lv;
}
static inline uint32_t run_len(const struct run *run)
{
    return run[1].lv - run->lv;
}
static inline uint32_t run_parent_count(const struct run *run)
{
    return run[1].parents - run->parents;
}
static inline uint32_t run_lamport(const struct run *run, lv_t lv)
{
    return run->lamport + (lv - run->lv);
}
static inline uint32_t parent_run(const struct graph *g, uint32_t parent)
{
    return g->parent_run.at[parent] & ~WAS_HEAD;
}

/* First index whose member is >= lv. */
uint32_t lv_lower_bound(const lv_t *at, uint32_t n, lv_t lv);
/* How many critical ranges begin at or before lv. */
uint32_t critical_up_to(const struct graph *g, lv_t lv);
/* Critical versions from here on do not survive a run with these parents. */
lv_t critical_floor(const lv_t *parents, uint32_t count);
/* An s such that all of [s, run->lv) are ancestors of the run, whose `count` parents stand in the
 * pool. */
lv_t shadow_of(const struct graph *g, const struct run *run, uint32_t count);
/* One more than the greatest lamport of those parents. */
uint64_t lamport_after(const struct graph *g, const struct run *run, uint32_t count);
/* The events that can still be appended to the last run; 0: to none. */
uint32_t room_of_last(const struct graph *g);

/* Turns the heads after `run` (the last one) into those before it.  Needs room for as many more as
 * it has parents. */
void heads_before(const struct graph *g, lv_set *heads, const struct run *run);

#endif
