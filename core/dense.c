/* dense.c -- versions as one number per writer (dense.h). */
#include "dense.h"

#include "graph_impl.h"

/* ---- Rows */

struct writers {
    uint32_t last[DENSE_PEERS]; /* the run so far of each */
};

/* DENSE_PEERS: one too many. */
static uint32_t writer_of(struct dense *d, const struct graph *g, struct writers *writers,
                          uint32_t agent)
{
    uint32_t w = 0;
    while (w < d->writers && d->agent[w] != agent) w++;
    if (w == d->writers && w < DENSE_PEERS) {
        d->agent[w] = agent;
        d->peer[w] = graph_agent_peer(g, agent);
        writers->last[w] = DENSE_NONE;
        d->writers++;
    }
    return w;
}

/* Adds what is in front of `lv`, an event of run `from`, and that event itself. */
static inline void row_join(struct dense_run *row, const struct dense_run *from, uint32_t index,
                            lv_t lv, uint32_t writers)
{
    for (uint32_t w = 0; w < writers; w++) {
        if (from->upto[w] <= row->upto[w]) continue;
        row->upto[w] = from->upto[w];
        row->last[w] = from->last[w];
    }
    if (lv < row->upto[from->writer]) return;
    row->upto[from->writer] = lv + 1;
    row->last[from->writer] = index;
}

static inline void note_cut(struct dense *d, lv_t lv)
{
    uint32_t i = lv - d->window.from;
    if (i < DENSE_CUTS) d->cuts[i / 64] |= UINT64_C(1) << (i % 64);
}

/* What the run comes after, as far as it lies in the window, into its row. */
static inline void add_parents(struct dense *d, const struct graph *g, const struct run *run,
                               struct dense_run *row)
{
    for (uint32_t i = run->parents; i < run[1].parents; i++) {
        lv_t parent = g->parents.at[i];
        if (parent < d->window.from) continue;
        uint32_t index = parent_run(g, i) - d->first;
        row_join(row, &d->runs.at[index], index, parent, d->writers);
        note_cut(d, parent + 1);
    }
}

syn_err dense_begin(struct dense *d, const struct graph *g, const syn_mem *mem,
                    struct lv_range window, bool *fits)
{
    struct writers writers;
    d->window = window;
    d->runs.n = d->writers = 0;
    d->first = graph_run_of(g, window.from);
    *fits = true;
    memset(d->cuts, 0, sizeof d->cuts);
    for (uint32_t k = d->first; k < g->runs.n && g->runs.at[k].lv < window.end; k++) {
        const struct run *run = &g->runs.at[k];
        uint32_t w = writer_of(d, g, &writers, run->agent);
        *fits = w < DENSE_PEERS;
        if (!*fits) return SYN_OK;
        syn_err err = array_reserve(mem, &d->runs, 1);
        if (err != SYN_OK) return err;
        struct dense_run *row = array_push(&d->runs);
        *row = (struct dense_run){.lv = run->lv, .writer = w, .previous = writers.last[w]};
        if (row->lv < window.from) row->lv = window.from;
        note_cut(d, row->lv);
        add_parents(d, g, run, row);
        writers.last[w] = k - d->first;
    }
    return SYN_OK;
}

/* ---- Judging */

/* Is event a an ancestor of event b, which is above it, of row rb? */
static bool is_ancestor(const struct dense *d, const struct graph *g, uint32_t a_index, uint32_t rb)
{
    lv_t a = g->parents.at[a_index];
    if (a < d->window.from) return true; /* the critical version is after it, and before b */
    uint32_t writer = d->runs.at[parent_run(g, a_index) - d->first].writer;
    return writer == d->runs.at[rb].writer || a < d->runs.at[rb].upto[writer];
}

enum dense_verdict dense_check(const struct dense *d, const struct graph *g, lv_t from, lv_t *fault)
{
    if (from < d->window.from) from = d->window.from;
    for (uint32_t i = 0; i < d->runs.n; i++) {
        const struct dense_run *row = &d->runs.at[i];
        const struct run *run = &g->runs.at[d->first + i];
        if (run->lv < from) continue;
        *fault = run->lv;
        if (row->previous != DENSE_NONE && row->upto[row->writer] != dense_end(d, row->previous))
            return DENSE_NO_PREVIOUS;
        if (run_parent_count(run) != 2) continue;
        if (is_ancestor(d, g, run->parents, parent_run(g, run->parents + 1) - d->first))
            return DENSE_NO_ANTICHAIN;
    }
    return DENSE_SOUND;
}

/* ---- Differences */

/* How far a version reaches among one writer's events, and the row of the last of them. */
struct reach {
    lv_t upto;
    uint32_t row;
};

static struct reach reach_of(const struct dense *d, struct dense_place place, uint32_t w)
{
    if (place.row == DENSE_NONE) return (struct reach){0, DENSE_NONE};
    const struct dense_run *row = &d->runs.at[place.row];
    if (w == row->writer && place.lv > row->lv) return (struct reach){place.lv, place.row};
    return (struct reach){row->upto[w], row->last[w]};
}

/* One writer's events from `from` up to there, run by run downwards. */
static syn_err add_runs(const struct dense *d, const syn_mem *mem, lv_t from, struct reach to,
                        lv_ranges *out)
{
    while (to.upto > from) {
        const struct dense_run *row = &d->runs.at[to.row];
        syn_err err = array_reserve(mem, out, 1);
        if (err != SYN_OK) return err;
        *array_push(out) = (struct lv_range){row->lv > from ? row->lv : from, to.upto};
        to.row = row->previous;
        if (to.row == DENSE_NONE) break;
        to.upto = dense_end(d, to.row);
    }
    return SYN_OK;
}

syn_err dense_diff(const struct dense *d, const syn_mem *mem, struct dense_place a,
                   struct dense_place b, lv_ranges *only_a, lv_ranges *only_b)
{
    syn_err err = SYN_OK;
    only_a->n = only_b->n = 0;
    for (uint32_t w = 0; err == SYN_OK && w < d->writers; w++) {
        struct reach ra = reach_of(d, a, w), rb = reach_of(d, b, w);
        if (ra.upto > rb.upto)
            err = add_runs(d, mem, rb.upto, ra, only_a);
        else if (ra.upto < rb.upto)
            err = add_runs(d, mem, ra.upto, rb, only_b);
    }
    return err;
}
