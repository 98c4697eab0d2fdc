/* ancestry.c -- of many events at once: does each have a given other one among its ancestors?
 *
 * One question is a walk down from the event (graph_contains).  A long history of many writers asks
 * it for nearly every run, and each walk passes much the same runs; so questions are put together,
 * 64 of them, and one sweep over the runs in between carries a bit for each:
 *
 *     asked[run]   those for whom some event of the run is an ancestor, and so all its parents are
 *     whole[run]   those for whom its last event is */
#include "graph_impl.h"

enum { TOGETHER = 64 };

/* What is known of a run. */
struct reach {
    uint64_t asked, whole;
};

struct sweep {
    uint32_t first, end; /* runs [first, end) */
    struct reach *runs;
};

static struct reach *reach_of(const struct sweep *s, uint32_t run)
{
    return &s->runs[run - s->first];
}

/* Hands what asks for the run on to its parents. */
static void pass_on(const struct graph *g, const struct sweep *s, uint32_t index)
{
    const struct run *run = &g->runs.at[index];
    uint64_t asked = reach_of(s, index)->asked;
    for (uint32_t i = run->parents; asked != 0 && i < run[1].parents; i++) {
        uint32_t parent = parent_run(g, i);
        if (parent < s->first) continue;
        reach_of(s, parent)->asked |= asked;
        if (g->parents.at[i] == run_end(&g->runs.at[parent]) - 1)
            reach_of(s, parent)->whole |= asked;
    }
}

/* How many of these questions, at most TOGETHER, are answered by yes before the first by no. */
static syn_err sweep_down(const struct graph *g, const struct graph_question *ask, uint32_t count,
                          uint32_t *yes)
{
    struct sweep s = {.first = ask[0].ancestor, .end = ask[count - 1].run + 1};
    for (uint32_t i = 0; i < count; i++)
        if (ask[i].ancestor < s.first) s.first = ask[i].ancestor;
    size_t size = (size_t)(s.end - s.first) * sizeof *s.runs;
    s.runs = mem_zalloc(g->mem, size);
    if (s.runs == NULL) return SYN_ENOMEM;
    for (uint32_t index = s.end, next = count; index-- > s.first;) {
        while (next > 0 && ask[next - 1].run == index)
            reach_of(&s, index)->asked |= UINT64_C(1) << --next;
        pass_on(g, &s, index);
    }
    *yes = 0;
    while (*yes < count && (reach_of(&s, ask[*yes].ancestor)->whole >> *yes & 1) != 0) ++*yes;
    mem_free(g->mem, s.runs, size);
    return SYN_OK;
}

syn_err graph_ask_many(const struct graph *g, const struct graph_question *ask, uint32_t count,
                       uint32_t *yes)
{
    syn_err err = SYN_OK;
    *yes = 0;
    while (err == SYN_OK && *yes < count) {
        uint32_t some = count - *yes < TOGETHER ? count - *yes : TOGETHER, here;
        err = sweep_down(g, ask + *yes, some, &here);
        if (err != SYN_OK || here == 0) return err;
        *yes += here;
        if (here < some) return SYN_OK;
    }
    return err;
}
