/* visit.c -- depth first through the graph, smallest branch first (visit.h).
 *
 *     nodes   [at, next node's at)   the stretch, cut where a run begins and behind every parent:
 *                                    a node is visited whole, and only its last event has children
 *     edges   parent -> child        lists threaded through one array
 *     masks   bits per node          which of `bits` equal parts of the stretch its descendants
 *                                    lie in, itself included; their number is its weight
 *
 * A fork's lighter branches come first: what hangs on a branch is taken out of the prepare version
 * once for all that comes after, so it should be little.  Where they weigh about the same, as with
 * two people who always lag a little behind each other, the one comes first that brings the oldest
 * from elsewhere: it goes on with its branch as long as it can, while the lighter one would change
 * branches at every event.
 *
 * Weights are counted through merges, where adding up children's weights would count what they
 * share twice, and a deep ladder of merges without end; the masks are the price, and are narrower
 * where there are more nodes. */
#include "visit.h"

#include "sort.h"

#define NO_EDGE UINT32_MAX

struct node {
    lv_t at;
    uint32_t waits; /* parents that were not visited yet */
    uint32_t edge;  /* first of its children */
    uint32_t weight;
    uint32_t brings; /* 1 + the last of its parents but the one before it; 0: there is no other */
    bool light;      /* beside the other children of that one */
};

struct edge {
    uint32_t child, next;
};

struct visit {
    const struct graph *g;
    const syn_mem *mem;
    struct lv_range stretch;
    ARRAY(uint32_t) cuts;
    ARRAY(struct node) nodes;
    ARRAY(struct edge) edges;
    ARRAY(uint64_t) masks;
    uint32_t words; /* of one mask */
    ARRAY(uint32_t) stack;
};

/* ---- Cutting */

static bool less(const void *context, uint32_t a, uint32_t b)
{
    (void)context;
    return a < b;
}

/* Where nodes begin, ascending; repetitions stay. */
static syn_err find_cuts(struct visit *v)
{
    uint32_t last = graph_run_of(v->g, v->stretch.end - 1);
    for (uint32_t r = graph_run_of(v->g, v->stretch.from); r <= last; r++) {
        const struct graph_run run = graph_run_at(v->g, r);
        syn_err err = array_reserve(v->mem, &v->cuts, (uint64_t)run.parent_count + 1);
        if (err != SYN_OK) return err;
        *array_push(&v->cuts) = run.lv > v->stretch.from ? run.lv : v->stretch.from;
        for (uint32_t i = 0; i < run.parent_count; i++)
            if (run.parents[i] >= v->stretch.from && run.parents[i] + 1 < v->stretch.end)
                *array_push(&v->cuts) = run.parents[i] + 1;
    }
    sort_indexes(v->cuts.at, v->cuts.n, less, NULL);
    return SYN_OK;
}

static syn_err make_nodes(struct visit *v)
{
    syn_err err = find_cuts(v);
    if (err == SYN_OK) err = array_reserve(v->mem, &v->nodes, v->cuts.n);
    for (uint32_t i = 0; err == SYN_OK && i < v->cuts.n; i++)
        if (i == 0 || v->cuts.at[i] != v->cuts.at[i - 1])
            *array_push(&v->nodes) = (struct node){.at = v->cuts.at[i], .edge = NO_EDGE};
    return err;
}

static lv_t node_end(const struct visit *v, uint32_t node)
{
    return node + 1 < v->nodes.n ? v->nodes.at[node + 1].at : v->stretch.end;
}

/* The node whose last event that is. */
static uint32_t node_of(const struct visit *v, lv_t last)
{
    uint32_t low = 0, high = v->nodes.n;
    while (high - low > 1) {
        uint32_t middle = low + (high - low) / 2;
        if (v->nodes.at[middle].at <= last)
            low = middle;
        else
            high = middle;
    }
    assert(node_end(v, low) == last + 1);
    return low;
}

static syn_err make_edges(struct visit *v)
{
    for (uint32_t i = 0; i < v->nodes.n; i++) {
        const lv_t *parents;
        lv_t previous;
        struct node *node = &v->nodes.at[i];
        uint32_t count = graph_parents(v->g, node->at, &parents, &previous);
        syn_err err = array_reserve(v->mem, &v->edges, count);
        if (err != SYN_OK) return err;
        for (uint32_t k = 0; k < count; k++) {
            if (parents[k] < v->stretch.from) continue;
            struct node *parent = &v->nodes.at[node_of(v, parents[k])];
            *array_push(&v->edges) = (struct edge){.child = i, .next = parent->edge};
            parent->edge = v->edges.n - 1;
            node->waits++;
        }
    }
    return SYN_OK;
}

/* ---- Weighing */

static uint32_t bits_in(const uint64_t *mask, uint32_t words)
{
    uint32_t bits = 0;
    for (uint32_t w = 0; w < words; w++) bits += (uint32_t)__builtin_popcountll(mask[w]);
    return bits;
}

static void mark_own(const struct visit *v, uint32_t node, uint64_t *mask)
{
    uint64_t all = v->stretch.end - v->stretch.from, bits = (uint64_t)v->words * 64;
    uint64_t first = (v->nodes.at[node].at - v->stretch.from) * bits / all;
    uint64_t last = (node_end(v, node) - 1 - v->stretch.from) * bits / all;
    for (uint64_t b = first; b <= last; b++) mask[b / 64] |= UINT64_C(1) << (b % 64);
}

/* Children come after their parents, so backwards they are done first. */
static syn_err weigh(struct visit *v)
{
    enum { WIDEST = 8, MOST_WORDS = 1 << 19 };
    v->words = v->nodes.n * WIDEST <= MOST_WORDS ? WIDEST : 1;
    uint64_t count = (uint64_t)v->nodes.n * v->words;
    if (count > UINT32_MAX) return SYN_ENOMEM;
    syn_err err = array_reserve(v->mem, &v->masks, count);
    if (err != SYN_OK) return err;
    memset(v->masks.at, 0, (size_t)count * sizeof *v->masks.at);
    for (uint32_t i = v->nodes.n; i-- > 0;) {
        uint64_t *mask = v->masks.at + (size_t)i * v->words;
        mark_own(v, i, mask);
        for (uint32_t e = v->nodes.at[i].edge; e != NO_EDGE; e = v->edges.at[e].next) {
            const uint64_t *child = v->masks.at + (size_t)v->edges.at[e].child * v->words;
            for (uint32_t w = 0; w < v->words; w++) mask[w] |= child[w];
        }
        v->nodes.at[i].weight = bits_in(mask, v->words);
    }
    return SYN_OK;
}

/* ---- Walking */

/* What is visited last lies deepest in the stack. */
static bool later(const void *context, uint32_t a, uint32_t b)
{
    const struct node *nodes = context, *x = &nodes[a], *y = &nodes[b];
    if (x->light != y->light) return y->light;
    if (!x->light && x->brings != y->brings) return x->brings > y->brings;
    return x->weight != y->weight ? x->weight > y->weight : a > b;
}

static void order_from(struct visit *v, uint32_t first)
{
    struct node *nodes = v->nodes.at;
    uint32_t heaviest = 0;
    if (v->stack.n - first < 2) return;
    for (uint32_t i = first; i < v->stack.n; i++)
        if (nodes[v->stack.at[i]].weight > heaviest) heaviest = nodes[v->stack.at[i]].weight;
    for (uint32_t i = first; i < v->stack.n; i++)
        nodes[v->stack.at[i]].light = nodes[v->stack.at[i]].weight < heaviest / 2;
    sort_indexes(v->stack.at + first, v->stack.n - first, later, nodes);
}

static uint32_t brings(const struct visit *v, uint32_t child, uint32_t node)
{
    const lv_t *parents;
    lv_t previous, here = node_end(v, node) - 1;
    uint32_t last = 0, count = graph_parents(v->g, v->nodes.at[child].at, &parents, &previous);
    for (uint32_t k = 0; k < count; k++)
        if (parents[k] >= v->stretch.from && parents[k] != here && parents[k] >= last)
            last = parents[k] + 1;
    return last;
}

static void push_ready_children(struct visit *v, uint32_t node)
{
    uint32_t first = v->stack.n;
    for (uint32_t e = v->nodes.at[node].edge; e != NO_EDGE; e = v->edges.at[e].next) {
        uint32_t child = v->edges.at[e].child;
        if (--v->nodes.at[child].waits != 0) continue;
        v->nodes.at[child].brings = brings(v, child, node);
        *array_push(&v->stack) = child;
    }
    order_from(v, first);
}

static syn_err emit(struct visit *v, uint32_t node, lv_ranges *out)
{
    struct lv_range range = {v->nodes.at[node].at, node_end(v, node)};
    if (out->n > 0 && out->at[out->n - 1].end == range.from) {
        out->at[out->n - 1].end = range.end;
        return SYN_OK;
    }
    syn_err err = array_reserve(v->mem, out, 1);
    if (err == SYN_OK) *array_push(out) = range;
    return err;
}

static syn_err walk(struct visit *v, lv_ranges *out)
{
    syn_err err = array_reserve(v->mem, &v->stack, v->nodes.n);
    if (err != SYN_OK) return err;
    for (uint32_t i = 0; i < v->nodes.n; i++)
        if (v->nodes.at[i].waits == 0) *array_push(&v->stack) = i;
    order_from(v, 0);
    while (err == SYN_OK && v->stack.n > 0) {
        uint32_t node = v->stack.at[--v->stack.n];
        err = emit(v, node, out);
        push_ready_children(v, node);
    }
    return err;
}

syn_err visit_order(const struct graph *g, const syn_mem *mem, struct lv_range stretch,
                    lv_ranges *out)
{
    struct visit v = {.g = g, .mem = mem, .stretch = stretch};
    out->n = 0;
    assert(stretch.from < stretch.end);
    syn_err err = make_nodes(&v);
    if (err == SYN_OK) err = make_edges(&v);
    if (err == SYN_OK) err = weigh(&v);
    if (err == SYN_OK) err = walk(&v, out);
    array_free(mem, &v.cuts);
    array_free(mem, &v.nodes);
    array_free(mem, &v.edges);
    array_free(mem, &v.masks);
    array_free(mem, &v.stack);
    return err;
}
