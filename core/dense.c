/* dense.c -- versions as one number per writer (dense.h). */
#include "dense.h"

struct version {
    lv_t upto[DENSE_PEERS];
};

static void version_join(struct version *v, const lv_t *upto)
{
    for (uint32_t w = 0; w < DENSE_PEERS; w++)
        if (upto[w] > v->upto[w]) v->upto[w] = upto[w];
}

/* Adds the event and what it comes after. */
static void version_add(const struct dense *d, const struct graph *g, struct version *v, lv_t lv)
{
    if (lv < d->window.from || lv == LV_NONE) return;
    const struct dense_run *run = &d->runs.at[graph_run_of(g, lv) - d->first];
    version_join(v, run->upto);
    if (lv >= v->upto[run->writer]) v->upto[run->writer] = lv + 1;
}

static struct version version_of(const struct dense *d, const struct graph *g, const lv_t *lvs,
                                 uint32_t count)
{
    struct version v = {{0}};
    for (uint32_t i = 0; i < count; i++) version_add(d, g, &v, lvs[i]);
    return v;
}

/* ---- Rows */

struct writers {
    uint32_t agent[DENSE_PEERS], last[DENSE_PEERS], count; /* last: his run so far */
};

/* DENSE_PEERS: one too many. */
static uint32_t writer_of(struct writers *writers, uint32_t agent)
{
    uint32_t w = 0;
    while (w < writers->count && writers->agent[w] != agent) w++;
    if (w == writers->count && w < DENSE_PEERS) {
        writers->agent[w] = agent;
        writers->last[w] = DENSE_NONE;
        writers->count++;
    }
    return w;
}

syn_err dense_begin(struct dense *d, const struct graph *g, const syn_mem *mem,
                    struct lv_range window, bool *fits)
{
    struct writers writers = {.count = 0};
    d->window = window;
    d->runs.n = 0;
    d->first = graph_run_of(g, window.from);
    *fits = true;
    for (uint32_t k = d->first; k < graph_run_count(g); k++) {
        const struct graph_run run = graph_run_at(g, k);
        if (run.lv >= window.end) break;
        uint32_t w = writer_of(&writers, run.agent);
        *fits = w < DENSE_PEERS;
        if (!*fits) return SYN_OK;
        syn_err err = array_reserve(mem, &d->runs, 1);
        if (err != SYN_OK) return err;
        struct version v = version_of(d, g, run.parents, run.parent_count);
        struct dense_run *row = array_push(&d->runs);
        memcpy(row->upto, v.upto, sizeof row->upto);
        row->writer = w;
        row->previous = writers.last[w];
        writers.last[w] = k - d->first;
    }
    return SYN_OK;
}

/* ---- Differences */

/* The events of one writer in [from, end), of which end - 1 is one, run by run downwards. */
static syn_err add_runs(const struct dense *d, const struct graph *g, const syn_mem *mem, lv_t from,
                        lv_t end, lv_ranges *out)
{
    uint32_t row = graph_run_of(g, end - 1) - d->first;
    if (from < d->window.from) from = d->window.from;
    while (end > from) {
        const struct graph_run run = graph_run_at(g, row + d->first);
        syn_err err = array_reserve(mem, out, 1);
        if (err != SYN_OK) return err;
        *array_push(out) = (struct lv_range){run.lv > from ? run.lv : from, end};
        row = d->runs.at[row].previous;
        if (row == DENSE_NONE) break;
        end = graph_run_at(g, row + d->first).end;
    }
    return SYN_OK;
}

syn_err dense_diff(const struct dense *d, const struct graph *g, const syn_mem *mem, const lv_t *a,
                   uint32_t na, const lv_t *b, uint32_t nb, lv_ranges *only_a, lv_ranges *only_b)
{
    struct version va = version_of(d, g, a, na), vb = version_of(d, g, b, nb);
    syn_err err = SYN_OK;
    only_a->n = only_b->n = 0;
    for (uint32_t w = 0; err == SYN_OK && w < DENSE_PEERS; w++) {
        if (va.upto[w] > vb.upto[w])
            err = add_runs(d, g, mem, vb.upto[w], va.upto[w], only_a);
        else if (va.upto[w] < vb.upto[w])
            err = add_runs(d, g, mem, va.upto[w], vb.upto[w], only_b);
    }
    return err;
}
