/* version.c -- questions about versions: contains, diff, dominators, the frontier of a prefix.
 *
 * All walk from the greatest LV down with a max-heap of lv << 2 | flags.  A parent's LV is below
 * its child's, so whatever reaches an event has been seen when the event comes out; one step covers
 * a whole run, and with the run's shadow often all below it.  A walk costs O(k log w), k runs
 * visited, w heads of the part walked; it never looks at runs that no path visits, which is why it
 * is not a plain sweep over the run array (that is the fallback of graph_contains). */
#include "graph_impl.h"

enum { FROM_A = 1, FROM_B = 2, FROM_BOTH = 3 };
enum { MEMBER = 0, COVERED = 1 }; /* covered sorts above member: it comes out first */

/* ---- the heap */

static uint64_t entry(lv_t lv, unsigned flags)
{
    return (uint64_t)lv << 2 | flags;
}

static lv_t entry_lv(uint64_t e)
{
    return (lv_t)(e >> 2);
}

static unsigned entry_flags(uint64_t e)
{
    return (unsigned)(e & 3);
}

static syn_err heap_reserve(const struct graph *g, uint32_t more)
{
    return array_reserve(g->mem, &g->scratch->heap, more);
}

/* Room is there. */
static inline void heap_push(const struct graph *g, uint64_t e)
{
    struct graph_scratch *s = g->scratch;
    assert(s->heap.n < s->heap.cap);
    uint64_t *heap = s->heap.at;
    uint32_t at = s->heap.n++;
    while (at > 0 && heap[(at - 1) / 2] < e) {
        heap[at] = heap[(at - 1) / 2];
        at = (at - 1) / 2;
    }
    heap[at] = e;
}

static inline uint64_t heap_pop(const struct graph *g)
{
    struct graph_scratch *s = g->scratch;
    assert(s->heap.n > 0);
    uint64_t top = s->heap.at[0], e = s->heap.at[--s->heap.n];
    uint32_t at = 0, n = s->heap.n;
    for (uint64_t child; (child = 2 * (uint64_t)at + 1) < n;) {
        if (child + 1 < n && s->heap.at[child + 1] > s->heap.at[child]) child++;
        if (s->heap.at[child] <= e) break;
        s->heap.at[at] = s->heap.at[child];
        at = (uint32_t)child;
    }
    if (n > 0) s->heap.at[at] = e;
    return top;
}

static bool heap_has(const struct graph *g, lv_t from)
{
    const struct graph_scratch *s = g->scratch;
    return s->heap.n > 0 && entry_lv(s->heap.at[0]) >= from;
}

static const struct graph_run *run_of(const struct graph *g, lv_t lv)
{
    return &g->runs.at[graph_run_of(g, lv)];
}

/* ---- contains */

/* Queues those LVs above the target; *found: one is the target or has it in its run or shadow. */
static syn_err queue_above(const struct graph *g, const lv_t *at, uint32_t count, lv_t target,
                           bool *found)
{
    syn_err err = heap_reserve(g, count);
    for (uint32_t i = 0; err == SYN_OK && i < count; i++) {
        if (at[i] < target) continue;
        *found = at[i] == target || run_of(g, at[i])->shadow <= target;
        if (*found) return SYN_OK;
        heap_push(g, entry(at[i], 0));
    }
    return err;
}

static syn_err contains_walk(const struct graph *g, const lv_t *version, uint32_t count,
                             lv_t target, bool *found)
{
    g->scratch->heap.n = 0;
    *found = false;
    syn_err err = queue_above(g, version, count, target, found);
    while (err == SYN_OK && !*found && g->scratch->heap.n > 0) {
        const struct graph_run *run = run_of(g, entry_lv(heap_pop(g)));
        while (heap_has(g, run->shadow)) (void)heap_pop(g);
        err = queue_above(g, graph_run_parents(g, run), run->parent_count, target, found);
    }
    return err;
}

static uint32_t mark_runs(const struct graph *g, const lv_t *at, uint32_t count, lv_t target)
{
    uint32_t top = 0;
    for (uint32_t i = 0; i < count; i++) {
        if (at[i] < target) continue;
        uint32_t k = graph_run_of(g, at[i]);
        g->scratch->reached.at[k] = 1;
        if (k > top) top = k;
    }
    return top;
}

/* Without memory for the heap: every run from the version down to the target, one mark each, in
 * the array that graph_push keeps as long as the runs. */
static bool contains_sweep(const struct graph *g, const lv_t *version, uint32_t count, lv_t target)
{
    uint8_t *reached = g->scratch->reached.at;
    uint32_t bottom = graph_run_of(g, target);
    for (uint32_t k = mark_runs(g, version, count, target); k > bottom; k--) {
        if (!reached[k]) continue;
        reached[k] = 0;
        const struct graph_run *run = &g->runs.at[k];
        (void)mark_runs(g, graph_run_parents(g, run), run->parent_count, target);
    }
    bool found = reached[bottom];
    reached[bottom] = 0;
    return found;
}

bool graph_contains(const struct graph *g, const lv_t *version, uint32_t count, lv_t lv)
{
    assert(lv < graph_len(g));
    bool found;
    if (contains_walk(g, version, count, lv, &found) == SYN_OK) return found;
    return contains_sweep(g, version, count, lv);
}

/* ---- diff */

struct diff {
    const struct graph *g;
    lv_ranges *only[2];
    uint32_t open; /* queued entries that are not of both: none, and the rest is shared */
};

static syn_err diff_queue(struct diff *d, const lv_t *at, uint32_t count, unsigned flags)
{
    syn_err err = heap_reserve(d->g, count);
    if (err != SYN_OK) return err;
    for (uint32_t i = 0; i < count; i++) heap_push(d->g, entry(at[i], flags));
    d->open += flags == FROM_BOTH ? 0 : count;
    return SYN_OK;
}

static uint64_t diff_pop(struct diff *d)
{
    uint64_t e = heap_pop(d->g);
    if (entry_flags(e) != FROM_BOTH) d->open--;
    return e;
}

/* [from, end), below all that was emitted before. */
static syn_err diff_emit(struct diff *d, lv_t from, lv_t end, unsigned flags)
{
    if (flags == FROM_BOTH || from == end) return SYN_OK;
    lv_ranges *out = d->only[flags == FROM_A ? 0 : 1];
    if (out->n > 0 && out->at[out->n - 1].from == end) {
        out->at[out->n - 1].from = from;
        return SYN_OK;
    }
    syn_err err = array_reserve(d->g->mem, out, 1);
    if (err == SYN_OK) *array_push(out) = (struct lv_range){from, end};
    return err;
}

/* One run: from its highest queued event down, changing flags where the other version joins. */
static syn_err diff_step(struct diff *d)
{
    uint64_t e = diff_pop(d);
    lv_t end = entry_lv(e) + 1;
    unsigned flags = entry_flags(e);
    const struct graph_run *run = run_of(d->g, end - 1);
    while (heap_has(d->g, run->lv)) {
        e = diff_pop(d);
        if ((entry_flags(e) | flags) == flags) continue;
        syn_err err = diff_emit(d, entry_lv(e) + 1, end, flags);
        if (err != SYN_OK) return err;
        end = entry_lv(e) + 1;
        flags = FROM_BOTH;
    }
    syn_err err = diff_emit(d, run->lv, end, flags);
    if (err != SYN_OK) return err;
    return diff_queue(d, graph_run_parents(d->g, run), run->parent_count, flags);
}

static void reverse(lv_ranges *ranges)
{
    for (uint32_t i = 0, k = ranges->n; i + 1 < k; i++) {
        struct lv_range range = ranges->at[i];
        ranges->at[i] = ranges->at[--k];
        ranges->at[k] = range;
    }
}

/* Without memory both outputs are left empty. */
syn_err graph_diff(const struct graph *g, const lv_t *a, uint32_t na, const lv_t *b, uint32_t nb,
                   lv_ranges *only_a, lv_ranges *only_b)
{
    assert(only_a != only_b);
    struct diff d = {.g = g, .only = {only_a, only_b}};
    only_a->n = only_b->n = 0;
    g->scratch->heap.n = 0;
    if (na == nb && (na == 0 || memcmp(a, b, (size_t)na * sizeof *a) == 0)) return SYN_OK;
    syn_err err = diff_queue(&d, a, na, FROM_A);
    if (err == SYN_OK) err = diff_queue(&d, b, nb, FROM_B);
    while (err == SYN_OK && d.open > 0) err = diff_step(&d);
    if (err != SYN_OK) only_a->n = only_b->n = 0;
    reverse(only_a);
    reverse(only_b);
    return err;
}

/* ---- dominators */

/* Takes the highest entry and drops all that its run and shadow cover; how many members that were
 * is subtracted from *left.  A member that nothing covered is kept. */
static const struct graph_run *dominators_step(const struct graph *g, uint32_t *left)
{
    uint64_t e = heap_pop(g);
    const struct graph_run *run = run_of(g, entry_lv(e));
    if (entry_flags(e) == MEMBER) {
        *array_push(&g->scratch->kept) = entry_lv(e);
        --*left;
    }
    while (heap_has(g, run->shadow)) {
        if (entry_flags(heap_pop(g)) == MEMBER) --*left;
    }
    return run;
}

/* Fills scratch->kept, descending. */
static syn_err dominators_walk(const struct graph *g, const lv_t *set, uint32_t n)
{
    lv_t least = LV_NONE;
    syn_err err = heap_reserve(g, n);
    if (err != SYN_OK) return err;
    for (uint32_t i = 0; i < n; i++) {
        if (set[i] < least) least = set[i];
        heap_push(g, entry(set[i], MEMBER));
    }
    for (uint32_t left = n; left > 0;) {
        const struct graph_run *run = dominators_step(g, &left);
        const lv_t *parents = graph_run_parents(g, run);
        err = heap_reserve(g, run->parent_count);
        if (err != SYN_OK) return err;
        for (uint32_t i = run->parent_count; i-- > 0 && parents[i] >= least;)
            heap_push(g, entry(parents[i], COVERED));
    }
    return SYN_OK;
}

syn_err graph_dominators(const struct graph *g, lv_t *set, uint32_t *count)
{
    struct graph_scratch *s = g->scratch;
    if (*count <= 1) return SYN_OK;
    s->heap.n = s->kept.n = 0;
    syn_err err = array_reserve(g->mem, &s->kept, *count);
    if (err == SYN_OK) err = dominators_walk(g, set, *count);
    if (err != SYN_OK) return err;
    for (uint32_t i = 0; i < s->kept.n; i++) set[i] = s->kept.at[s->kept.n - 1 - i];
    *count = s->kept.n;
    return SYN_OK;
}

/* ---- frontier of a prefix */

syn_err graph_frontier_at(const struct graph *g, lv_t len, lv_set *out)
{
    assert(len <= graph_len(g));
    out->n = 0;
    if (len == 0) return SYN_OK;
    bool single = graph_critical_at_or_before(g, len - 1) == len - 1;
    syn_err err = array_reserve(g->mem, out, single ? 1 : g->heads.n);
    if (err != SYN_OK) return err;
    if (single) {
        *array_push(out) = len - 1;
        return SYN_OK;
    }
    memcpy(out->at, g->heads.at, (size_t)g->heads.n * sizeof *out->at);
    out->n = g->heads.n;
    for (uint32_t k = g->runs.n - 1; err == SYN_OK && g->runs.at[k].lv >= len; k--) {
        err = array_reserve(g->mem, out, g->runs.at[k].parent_count);
        if (err == SYN_OK) heads_before(g, out, &g->runs.at[k]);
    }
    if (err == SYN_OK)
        out->at[out->n - 1] = len - 1;
    else
        out->n = 0;
    return err;
}
