/* version.c -- questions about versions: contains, diff, dominators, the frontier of a prefix.
 *
 * All walk from the greatest LV down with a max-heap.  An entry is an event and the run that it is
 * in, which the pool of parents knows, so that a walk never searches:
 *
 *      lv : 31 | flags : 2 | run : 31
 *
 * A parent's LV is below its child's, so whatever reaches an event has been seen when the event
 * comes out; one step covers a whole run, and with the run's shadow often all below it.  A walk
 * costs O(k log w), k runs visited, w heads of the part walked; it never looks at runs that no path
 * visits, which is why it is not a plain sweep over the run array (that is the fallback of
 * graph_contains).  Versions that differ in the last few runs are the exception: there nearly every
 * run is on a path, and a sweep with two numbers a run costs a fifth of the heap. */
#include "graph_impl.h"

enum { FROM_A = 1, FROM_B = 2, FROM_BOTH = 3 };
enum { MEMBER = 0, COVERED = 1 }; /* covered sorts above member: it comes out first */

/* ---- the heap */

static inline uint64_t entry(lv_t lv, unsigned flags, uint32_t run)
{
    return (uint64_t)lv << 33 | (uint64_t)flags << 31 | run;
}

static inline lv_t entry_lv(uint64_t e)
{
    return (lv_t)(e >> 33);
}

static inline unsigned entry_flags(uint64_t e)
{
    return (unsigned)(e >> 31 & 3);
}

static inline const struct run *entry_run(const struct graph *g, uint64_t e)
{
    return &g->runs.at[e & LV_MAX];
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
    s->steps++;
    for (uint64_t child; (child = 2 * (uint64_t)at + 1) < n;) {
        if (child + 1 < n && s->heap.at[child + 1] > s->heap.at[child]) child++;
        if (s->heap.at[child] <= e) break;
        s->heap.at[at] = s->heap.at[child];
        at = (uint32_t)child;
    }
    if (n > 0) s->heap.at[at] = e;
    return top;
}

uint64_t graph_steps(const struct graph *g)
{
    return g->scratch->steps;
}

static inline bool heap_has(const struct graph *g, lv_t from)
{
    const struct graph_scratch *s = g->scratch;
    return s->heap.n > 0 && entry_lv(s->heap.at[0]) >= from;
}

/* ---- contains */

struct search {
    const struct graph *g;
    lv_t target;
    uint32_t lamport; /* of the target; 0: not asked for yet */
    bool found;
};

/* Queues an event unless it shows at once what its parents would: that it has the target in its
 * run or shadow, or has not, because they lie below, or no lamport between is left. */
static inline syn_err consider(struct search *s, lv_t lv, uint32_t index)
{
    const struct graph *g = s->g;
    const struct run *run = &g->runs.at[index];
    if (lv < s->target || s->found) return SYN_OK;
    s->found = run->shadow <= s->target;
    if (s->found || run->parents == run[1].parents) return SYN_OK;
    if (g->parents.at[run[1].parents - 1] < s->target) return SYN_OK;
    if (s->lamport == 0) s->lamport = graph_lamport(g, s->target);
    if (run->lamport <= s->lamport) return SYN_OK;
    syn_err err = heap_reserve(g, 1);
    if (err == SYN_OK) heap_push(g, entry(lv, 0, index));
    return err;
}

static syn_err contains_walk(struct search *s, const lv_t *version, uint32_t count)
{
    const struct graph *g = s->g;
    syn_err err = SYN_OK;
    g->scratch->heap.n = 0;
    for (uint32_t i = count; err == SYN_OK && !s->found && i-- > 0 && version[i] >= s->target;)
        err = consider(s, version[i], graph_run_of(g, version[i]));
    while (err == SYN_OK && !s->found && g->scratch->heap.n > 0) {
        const struct run *run = entry_run(g, heap_pop(g));
        while (heap_has(g, run->shadow)) (void)heap_pop(g);
        for (uint32_t i = run->parents; err == SYN_OK && i < run[1].parents; i++)
            err = consider(s, g->parents.at[i], parent_run(g, i));
    }
    return err;
}

/* Marks the run of an event that is not below the target; gives the greater of it and `top`. */
static uint32_t mark_run(const struct graph *g, lv_t lv, uint32_t run, lv_t target, uint32_t top)
{
    if (lv < target) return top;
    g->runs.at[run].reached = 1;
    return run > top ? run : top;
}

/* Without memory for the heap: every run from the version down to the target, one mark each. */
static bool contains_sweep(const struct graph *g, const lv_t *version, uint32_t count, lv_t target)
{
    uint32_t bottom = graph_run_of(g, target), top = bottom;
    for (uint32_t i = 0; i < count; i++)
        top = mark_run(g, version[i], graph_run_of(g, version[i]), target, top);
    for (uint32_t k = top; k > bottom; k--) {
        struct run *run = &g->runs.at[k];
        for (uint32_t i = run->parents; run->reached && i < run[1].parents; i++)
            (void)mark_run(g, g->parents.at[i], parent_run(g, i), target, top);
        run->reached = 0;
    }
    bool found = g->runs.at[bottom].reached;
    g->runs.at[bottom].reached = 0;
    return found;
}

bool graph_contains(const struct graph *g, const lv_t *version, uint32_t count, lv_t lv)
{
    assert(lv < graph_len(g));
    struct search search = {.g = g, .target = lv};
    if (contains_walk(&search, version, count) == SYN_OK) return search.found;
    return contains_sweep(g, version, count, lv);
}

/* ---- diff */

struct diff {
    const struct graph *g;
    lv_ranges *only[2];
    uint32_t
        open; /* queued entries (marked runs) that are not of both: none, and the rest is shared */
};

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

/* How far into a run the two versions reach: 1 + the greatest LV, 0: not at all. */
struct reach {
    lv_t a, b;
};

#ifdef SYN_STRESS
enum { NEAR = 3 };
#else
enum { NEAR = 32 };
#endif

/* The last NEAR runs up to `top`, the reach of run top - i in at[i]. */
struct near {
    uint32_t top;
    struct reach at[NEAR];
};

/* A version reaches lv in that run.  false: too far off for a sweep. */
static inline bool near_mark(struct diff *d, struct near *near, lv_t lv, uint32_t run,
                             unsigned flags)
{
    if (near->top - run >= NEAR) return flags == FROM_BOTH; /* of no use to what is open here */
    struct reach *reach = &near->at[near->top - run];
    d->open -= reach->a != reach->b;
    if ((flags & FROM_A) && reach->a <= lv) reach->a = lv + 1;
    if ((flags & FROM_B) && reach->b <= lv) reach->b = lv + 1;
    d->open += reach->a != reach->b;
    return true;
}

/* One run, whose reach is final; its parents are reached whole. */
static inline syn_err near_step(struct diff *d, struct near *near, uint32_t index, bool *fits)
{
    const struct graph *g = d->g;
    const struct run *run = &g->runs.at[index];
    struct reach reach = near->at[near->top - index];
    unsigned flags = (reach.a > 0 ? FROM_A : 0) | (reach.b > 0 ? FROM_B : 0);
    syn_err err = SYN_OK;
    d->open -= reach.a != reach.b;
    if (reach.a > reach.b)
        err = diff_emit(d, reach.b > 0 ? reach.b : run->lv, reach.a, FROM_A);
    else if (reach.b > reach.a)
        err = diff_emit(d, reach.a > 0 ? reach.a : run->lv, reach.b, FROM_B);
    for (uint32_t i = run->parents; *fits && i < run[1].parents; i++)
        *fits = near_mark(d, near, g->parents.at[i], parent_run(g, i), flags);
    return err;
}

/* *fits: the difference lies in the last NEAR runs below the greatest. */
static syn_err diff_near(struct diff *d, const lv_t *a, uint32_t na, const lv_t *b, uint32_t nb,
                         bool *fits)
{
    struct near near = {0};
    lv_t greatest = 0;
    if (na > 0) greatest = a[na - 1];
    if (nb > 0 && b[nb - 1] > greatest) greatest = b[nb - 1];
    near.top = graph_run_of(d->g, greatest);
    *fits = true;
    for (uint32_t i = na; *fits && i-- > 0;)
        *fits = near_mark(d, &near, a[i], graph_run_of(d->g, a[i]), FROM_A);
    for (uint32_t i = nb; *fits && i-- > 0;)
        *fits = near_mark(d, &near, b[i], graph_run_of(d->g, b[i]), FROM_B);
    syn_err err = SYN_OK;
    for (uint32_t k = near.top; err == SYN_OK && *fits && d->open > 0; k--) {
        struct reach reach = near.at[near.top - k];
        if (reach.a + reach.b > 0) err = near_step(d, &near, k, fits);
    }
    return err;
}

static inline void diff_push(struct diff *d, lv_t lv, unsigned flags, uint32_t run)
{
    heap_push(d->g, entry(lv, flags, run));
    d->open += flags != FROM_BOTH;
}

static syn_err diff_queue(struct diff *d, const lv_t *at, uint32_t count, unsigned flags)
{
    syn_err err = heap_reserve(d->g, count);
    if (err != SYN_OK) return err;
    for (uint32_t i = 0; i < count; i++) diff_push(d, at[i], flags, graph_run_of(d->g, at[i]));
    return SYN_OK;
}

static syn_err diff_queue_parents(struct diff *d, const struct run *run, unsigned flags)
{
    const struct graph *g = d->g;
    syn_err err = heap_reserve(g, run_parent_count(run));
    if (err != SYN_OK) return err;
    for (uint32_t i = run->parents; i < run[1].parents; i++)
        diff_push(d, g->parents.at[i], flags, parent_run(g, i));
    return SYN_OK;
}

static uint64_t diff_pop(struct diff *d)
{
    uint64_t e = heap_pop(d->g);
    if (entry_flags(e) != FROM_BOTH) d->open--;
    return e;
}

/* One run: from its highest queued event down, changing flags where the other version joins. */
static syn_err diff_step(struct diff *d)
{
    uint64_t e = diff_pop(d);
    lv_t end = entry_lv(e) + 1;
    unsigned flags = entry_flags(e);
    const struct run *run = entry_run(d->g, e);
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
    return diff_queue_parents(d, run, flags);
}

static syn_err diff_far(struct diff *d, const lv_t *a, uint32_t na, const lv_t *b, uint32_t nb)
{
    d->g->scratch->heap.n = d->open = 0;
    d->only[0]->n = d->only[1]->n = 0;
    syn_err err = diff_queue(d, a, na, FROM_A);
    if (err == SYN_OK) err = diff_queue(d, b, nb, FROM_B);
    while (err == SYN_OK && d->open > 0) err = diff_step(d);
    return err;
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
    bool fits;
    only_a->n = only_b->n = 0;
    if (na == nb && (na == 0 || memcmp(a, b, (size_t)na * sizeof *a) == 0)) return SYN_OK;
    syn_err err = diff_near(&d, a, na, b, nb, &fits);
    if (err == SYN_OK && !fits) err = diff_far(&d, a, na, b, nb);
    if (err != SYN_OK) only_a->n = only_b->n = 0;
    reverse(only_a);
    reverse(only_b);
    return err;
}

/* ---- dominators */

/* Takes the highest entry and drops all that its run and shadow cover; how many members that were
 * is subtracted from *left.  A member that nothing covered is kept. */
static const struct run *dominators_step(const struct graph *g, uint32_t *left)
{
    uint64_t e = heap_pop(g);
    const struct run *run = entry_run(g, e);
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
        heap_push(g, entry(set[i], MEMBER, graph_run_of(g, set[i])));
    }
    for (uint32_t left = n; left > 0;) {
        const struct run *run = dominators_step(g, &left);
        err = heap_reserve(g, run_parent_count(run));
        if (err != SYN_OK) return err;
        for (uint32_t i = run[1].parents; i-- > run->parents && g->parents.at[i] >= least;)
            heap_push(g, entry(g->parents.at[i], COVERED, parent_run(g, i)));
    }
    return SYN_OK;
}

static bool is_head(const struct graph *g, lv_t lv)
{
    uint32_t at = lv_lower_bound(g->heads.at, g->heads.n, lv);
    return at < g->heads.n && g->heads.at[at] == lv;
}

/* The usual merge of two branches, the lower of which mostly nothing stands on. */
static uint32_t dominators_of_two(const struct graph *g, lv_t set[2])
{
    lv_t low = set[0] < set[1] ? set[0] : set[1], high = set[0] < set[1] ? set[1] : set[0];
    bool covered = low == high || (!is_head(g, low) && graph_contains(g, &high, 1, low));
    set[0] = covered ? high : low;
    set[1] = high;
    return covered ? 1 : 2;
}

syn_err graph_dominators(const struct graph *g, lv_t *set, uint32_t *count)
{
    struct graph_scratch *s = g->scratch;
    if (*count <= 1) return SYN_OK;
    if (*count == 2) {
        *count = dominators_of_two(g, set);
        return SYN_OK;
    }
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
        err = array_reserve(g->mem, out, run_parent_count(&g->runs.at[k]));
        if (err == SYN_OK) heads_before(g, out, &g->runs.at[k]);
    }
    if (err == SYN_OK)
        out->at[out->n - 1] = len - 1;
    else
        out->n = 0;
    return err;
}
