/* graph_check.c -- everything that graph_impl.h says of the graph's arrays, from the runs alone. */
#include "graph_impl.h"

static void check_parents(const struct graph *g, const struct run *run)
{
    const lv_t *parents = g->parents.at + run->parents;
    for (uint32_t i = 0; i < run_parent_count(run); i++) {
        const struct run *in = &g->runs.at[parent_run(g, run->parents + i)];
        CHECK(parents[i] < run->lv);
        CHECK(in->lv <= parents[i] && parents[i] < run_end(in));
        CHECK(i == 0 || parents[i - 1] < parents[i]);
        CHECK(i == 0 || !graph_contains(g, parents + i, 1, parents[i - 1]));
    }
}

static void check_run(const struct graph *g, uint32_t index)
{
    const struct run *run = &g->runs.at[index];
    uint32_t count = run_parent_count(run);
    CHECK(run->lv < run_end(run));
    CHECK(run->parents <= run[1].parents);
    if (count > 0) check_parents(g, run);
    CHECK(run->shadow == shadow_of(g, run, count));
    CHECK((index == 0 && g->has_base) || run->lamport == lamport_after(g, run, count));
    CHECK(graph_find(g, run->agent, run->seq) == run->lv);
    CHECK(graph_find(g, run->agent, run->seq + (run_len(run) - 1)) == run_end(run) - 1);
    CHECK(!run->reached);
}

/* Heads are the last events of runs that nobody names as a parent. */
static void check_heads(const struct graph *g)
{
    for (uint32_t i = 0; i < g->parents.n; i++) { /* borrows the marks, and gives them back */
        struct run *in = &g->runs.at[parent_run(g, i)];
        if (run_end(in) - 1 == g->parents.at[i]) in->reached = 1;
    }
    uint32_t heads = 0;
    for (uint32_t k = 0; k < g->runs.n; k++) {
        struct run *run = &g->runs.at[k];
        if (!run->reached) {
            CHECK(heads < g->heads.n && g->heads.at[heads] == run_end(run) - 1);
            heads++;
        }
        run->reached = 0;
    }
    CHECK(heads == g->heads.n);
}

/* Critical LVs by the list, the open range ended. */
static uint64_t listed_critical(const struct graph *g)
{
    uint64_t listed = 0;
    for (uint32_t i = 0; i < g->critical.n; i++) {
        struct lv_range range = g->critical.at[i];
        bool open = i + 1 == g->critical.n && g->heads.n == 1;
        CHECK(open == (range.end == LV_OPEN));
        if (open) range.end = graph_len(g);
        CHECK(range.from < range.end);
        CHECK(i == 0 || g->critical.at[i - 1].end < range.from);
        listed += range.end - range.from;
    }
    return listed;
}

/* Backwards: the number of heads after each run follows from WAS_HEAD, and `floor` is what the
 * later runs leave critical. */
static void check_critical(const struct graph *g)
{
    uint64_t found = 0, heads = g->heads.n;
    lv_t floor = LV_NONE;
    for (uint32_t k = g->runs.n; k-- > 0;) {
        const struct run *run = &g->runs.at[k];
        lv_t end = run_end(run) < floor ? run_end(run) : floor;
        if (heads == 1 && end > run->lv) {
            uint32_t n = critical_up_to(g, run->lv);
            CHECK(n > 0 && g->critical.at[n - 1].end >= end);
            found += end - run->lv;
        }
        uint32_t count = run_parent_count(run);
        lv_t limit = count == 0 ? 0 : critical_floor(g->parents.at + run->parents, count);
        if (limit < floor) floor = limit;
        heads--;
        for (uint32_t i = 0; i < count; i++)
            heads += g->parent_run.at[run->parents + i] >= WAS_HEAD;
    }
    CHECK(heads == 0);
    CHECK(found == listed_critical(g));
}

static void check_tip(const struct graph *g)
{
    uint32_t room = room_of_last(g);
    CHECK(g->tip_room == room);
    CHECK(room == 0 ? g->tip_agent == AGENT_NONE : g->tip_agent == g->runs.at[g->runs.n - 1].agent);
}

void graph_check(const struct graph *g)
{
    agents_check(&g->agents, g->runs.n);
    CHECK(g->runs.n < g->runs.cap);
    CHECK(g->runs.at[0].lv == 0 && g->runs.at[0].parents == 0);
    CHECK(g->runs.at[g->runs.n].parents == g->parents.n);
    CHECK(g->parents.n == g->parent_run.n);
    CHECK(!g->has_base || (g->runs.n > 0 && run_end(&g->runs.at[0]) == 1));
    for (uint32_t k = 0; k < g->runs.n; k++) check_run(g, k);
    check_heads(g);
    check_critical(g);
    check_tip(g);
}
