/* tracker.c -- the record tree.
 *
 * Data first.  A *record* is a run of elements with consecutive ids, inserted one behind the other
 * by one peer, that share one state:
 *
 *     id, len      elements id .. id+len-1
 *     state        bit 31: deleted in the effect version; the rest counts for the prepare version:
 *                  0 not yet inserted (NYI), 1 visible, n+1 deleted n times
 *     left, right  FugueMax origins of the first element; element k > 0 has left origin id+k-1
 *     peer         breaks ties; of placeholders 0
 *
 * A counter, where a flag would look sufficient, because two concurrent deletes of one element must
 * both be taken out again, and because a range can then be retreated in any order.
 *
 * Records stand in document order in the leaves of a B+ tree.  A leaf keeps each field in an array
 * of its own: searches read one or two of them.  Nodes sum, per child, prepare length, effect
 * length and the number of elements that are not NYI (`known`; it finds a right origin behind
 * thousands of concurrent siblings in one climb).  Records are never removed, so nothing is ever
 * merged or rebalanced.  Leaves and nodes are indexes into two growing arrays, and a reset sets two
 * counters.
 *
 * From an id to its record: `pages` of 512 ids, made when an id in them first *starts* something,
 * hold a bit for each start and, for that id alone, a target: the leaf of the record that starts
 * there, or the first element that the delete starting there took.  A look-up goes back to the
 * previous start bit; two levels of summary bits over the page table skip what has no page, such as
 * a megabyte of placeholders.  (A second tree keyed by id cost 17 % of a long merge elsewhere.)
 * Reset forgets the pages one by one, hence never touches anything in proportion to base_len.
 *
 * `cache` is the leaf of the last search with the positions at its start, so that typing costs no
 * descent. */
#include "tracker.h"

#include <stdlib.h>

#ifdef SYN_STRESS
enum { LEAF = 4, FAN = 4 };
#else
enum { LEAF = 32, FAN = 16 };
#endif
enum { PAGE = 512, PAGE_WORDS = PAGE / 64 };

#define NONE    UINT32_MAX
#define START   (UINT32_MAX - 1) /* left origin of what has none */
#define END     UINT32_MAX       /* right origin of what has none */
#define MAX_IDS (UINT32_C(1) << 31)

#define NYI     0U
#define VISIBLE 1U
#define GONE    (UINT32_C(1) << 31)
#define COUNT   (~GONE)

struct record {
    uint32_t id, len, state, left, right;
    uint64_t peer;
};

struct leaf {
    uint32_t id[LEAF], len[LEAF], state[LEAF], left[LEAF], right[LEAF];
    uint64_t peer[LEAF];
    uint32_t n, next, parent;
};

struct node {
    uint32_t prepare[FAN], effect[FAN], known[FAN], child[FAN];
    uint32_t n, level, parent; /* level 0: the children are leaves */
};

/* Lengths of a stretch of records.  Also differences: they wrap. */
struct sums {
    uint32_t prepare, effect, known;
};

struct page {
    uint64_t start[PAGE_WORDS];   /* something starts here; the others are valid only there */
    uint64_t deletes[PAGE_WORDS]; /* a delete (or set), not a record */
    uint64_t back[PAGE_WORDS];    /* the delete goes from its target towards lower ids */
    uint32_t target[PAGE];        /* leaf; or element; NONE for a set */
    uint32_t number;
};

/* A place in the tree: a record, or the gap before it (then idx may be the leaf's n). */
struct at {
    uint32_t leaf, idx;
};

struct tracker {
    const syn_mem *mem;
    uint32_t base_len, next_id, root;
    struct sums total;
    ARRAY(struct leaf) leaves; /* leaves.at[0] is always the first in order: splits go right */
    ARRAY(struct node) nodes;
    ARRAY(struct page) pages;
    ARRAY(uint32_t) table; /* page number -> 1 + index in pages, 0: none */
    ARRAY(uint64_t) mid;   /* a bit per table entry: has a page */
    ARRAY(uint64_t) top;   /* a bit per word of mid: is not 0 */
    struct {
        uint32_t leaf, prepare, effect, len; /* NONE; positions at its start; its prepare length */
    } cache;
};

/* ---- Bits ----------------------------------------------------------------------------------- */

static uint64_t bit(uint32_t i)
{
    return UINT64_C(1) << (i % 64);
}

static uint32_t highest(uint64_t word)
{
    assert(word != 0);
    return 63 - (uint32_t)__builtin_clzll(word);
}

static uint32_t lowest(uint64_t word)
{
    assert(word != 0);
    return (uint32_t)__builtin_ctzll(word);
}

/* The last set bit at or before i in words, or NONE. */
static uint32_t bit_before(const uint64_t *words, uint32_t i)
{
    uint32_t w = i / 64;
    uint64_t word = words[w] & (bit(i) | (bit(i) - 1));
    while (word == 0) {
        if (w == 0) return NONE;
        word = words[--w];
    }
    return w * 64 + highest(word);
}

/* ---- Ids: pages of starts -------------------------------------------------------------------- */

/* The last page before page number p. */
static const struct page *page_before(const struct tracker *t, uint32_t p)
{
    uint32_t w = p / 64;
    uint64_t word = t->mid.at[w] & (bit(p) - 1);
    if (word == 0) {
        assert(w > 0);
        w = bit_before(t->top.at, w - 1);
        assert(w != NONE);
        word = t->mid.at[w];
    }
    return &t->pages.at[t->table.at[w * 64 + highest(word)] - 1];
}

/* The last start at or before id, and its page.  There is one: id 0 starts something. */
static const struct page *start_before(const struct tracker *t, uint32_t id, uint32_t *start)
{
    assert(id < t->next_id);
    uint32_t known = t->table.at[id / PAGE], s = NONE;
    const struct page *page = NULL;
    if (known != 0) {
        page = &t->pages.at[known - 1];
        s = bit_before(page->start, id % PAGE);
    }
    if (s == NONE) {
        page = page_before(t, id / PAGE);
        s = bit_before(page->start, PAGE - 1);
    }
    assert(s != NONE);
    *start = page->number * PAGE + s;
    return page;
}

/* The first start after id, but at most limit. */
static uint32_t start_after(const struct tracker *t, uint32_t id, uint32_t limit)
{
    for (uint32_t i = id + 1; i < limit;) {
        uint32_t known = t->table.at[i / PAGE];
        if (known == 0) {
            i = (i / PAGE + 1) * PAGE;
            continue;
        }
        uint64_t word = t->pages.at[known - 1].start[i % PAGE / 64] & ~(bit(i) - 1);
        if (word == 0) {
            i = (i / 64 + 1) * 64;
            continue;
        }
        i = i / 64 * 64 + lowest(word);
        return i < limit ? i : limit;
    }
    return limit;
}

static struct page *page_of(struct tracker *t, uint32_t id)
{
    uint32_t number = id / PAGE;
    if (t->table.at[number] == 0) {
        struct page *page = array_push(&t->pages);
        memset(page->start, 0, sizeof page->start);
        page->number = number;
        t->table.at[number] = t->pages.n;
        t->mid.at[number / 64] |= bit(number);
        t->top.at[number / 64 / 64] |= bit(number / 64);
    }
    return &t->pages.at[t->table.at[number] - 1];
}

static void start_record(struct tracker *t, uint32_t id, uint32_t leaf)
{
    struct page *page = page_of(t, id);
    uint32_t i = id % PAGE;
    page->start[i / 64] |= bit(i);
    page->deletes[i / 64] &= ~bit(i);
    page->target[i] = leaf;
}

static void start_delete(struct tracker *t, uint32_t id, uint32_t target, bool back)
{
    struct page *page = page_of(t, id);
    uint32_t i = id % PAGE;
    page->start[i / 64] |= bit(i);
    page->deletes[i / 64] |= bit(i);
    page->back[i / 64] = back ? page->back[i / 64] | bit(i) : page->back[i / 64] & ~bit(i);
    page->target[i] = target;
}

/* The record that moved to another leaf. */
static void start_moved(struct tracker *t, uint32_t id, uint32_t leaf)
{
    assert(t->table.at[id / PAGE] != 0);
    t->pages.at[t->table.at[id / PAGE] - 1].target[id % PAGE] = leaf;
}

/* Makes the array at least `count` long; the new entries are 0. */
#define zeroed_to(t, a, count, err)                                                                \
    do {                                                                                           \
        uint32_t zeroed_cap = (a)->cap;                                                            \
        if ((count) > (a)->n) (err) = array_reserve((t)->mem, (a), (count) - (a)->n);              \
        if ((err) == SYN_OK && (a)->cap > zeroed_cap)                                              \
            memset((a)->at + zeroed_cap, 0, ((a)->cap - zeroed_cap) * sizeof *(a)->at);            \
        if ((err) == SYN_OK && (count) > (a)->n) (a)->n = (count);                                 \
    } while (0)

/* Room in the id space for `more` ids from next_id on. */
static syn_err ids_reserve(struct tracker *t, uint32_t more)
{
    if (more > MAX_IDS - t->next_id) return SYN_ELIMIT;
    uint32_t count = (t->next_id + more) / PAGE + 1;
    if (count <= t->table.n) return SYN_OK;
    syn_err err = SYN_OK;
    zeroed_to(t, &t->table, count, err);
    if (err == SYN_OK) zeroed_to(t, &t->mid, count / 64 + 1, err);
    if (err == SYN_OK) zeroed_to(t, &t->top, count / 64 / 64 + 1, err);
    return err;
}

/* Room for one step: two cuts and a new record, each of which may split its way up to the root and
 * start something in a page of its own.  After it the step cannot fail. */
static syn_err step_reserve(struct tracker *t)
{
    uint32_t levels = t->nodes.at[t->root].level + 2;
    syn_err err = array_reserve(t->mem, &t->leaves, 3);
    if (err == SYN_OK) err = array_reserve(t->mem, &t->nodes, 3 * levels + 3);
    if (err == SYN_OK) err = array_reserve(t->mem, &t->pages, 4);
    return err;
}

/* ---- The tree ---------------------------------------------------------------------------------
 */

static struct sums record_sums(uint32_t len, uint32_t state)
{
    struct sums s = {.prepare = (state & COUNT) == VISIBLE ? len : 0,
                     .effect = (state & GONE) != 0 ? 0 : len,
                     .known = (state & COUNT) == NYI ? 0 : len};
    return s;
}

static void sums_add(struct sums *s, struct sums more)
{
    s->prepare += more.prepare;
    s->effect += more.effect;
    s->known += more.known;
}

static struct sums sums_minus(struct sums a, struct sums b)
{
    return (struct sums){a.prepare - b.prepare, a.effect - b.effect, a.known - b.known};
}

static struct sums leaf_sums(const struct leaf *leaf)
{
    struct sums s = {0};
    for (uint32_t i = 0; i < leaf->n; i++) sums_add(&s, record_sums(leaf->len[i], leaf->state[i]));
    return s;
}

static struct sums node_sums(const struct node *node)
{
    struct sums s = {0};
    for (uint32_t i = 0; i < node->n; i++)
        sums_add(&s, (struct sums){node->prepare[i], node->effect[i], node->known[i]});
    return s;
}

static uint32_t slot_of(const struct node *node, uint32_t child)
{
    uint32_t i = 0;
    while (node->child[i] != child) i++;
    assert(i < node->n);
    return i;
}

static void slot_add(struct node *node, uint32_t slot, struct sums diff)
{
    node->prepare[slot] += diff.prepare;
    node->effect[slot] += diff.effect;
    node->known[slot] += diff.known;
}

/* Something in this leaf changed by diff. */
static void leaf_changed(struct tracker *t, uint32_t leaf, struct sums diff)
{
    uint32_t child = leaf, above = t->leaves.at[leaf].parent;
    while (above != NONE) {
        struct node *node = &t->nodes.at[above];
        slot_add(node, slot_of(node, child), diff);
        child = above;
        above = node->parent;
    }
    sums_add(&t->total, diff);
    if (t->cache.leaf == leaf) t->cache.len += diff.prepare;
}

static uint32_t node_new(struct tracker *t, uint32_t level, uint32_t parent)
{
    struct node *node = array_push(&t->nodes);
    node->n = 0;
    node->level = level;
    node->parent = parent;
    return t->nodes.n - 1;
}

static void child_is_under(struct tracker *t, uint32_t level, uint32_t child, uint32_t parent)
{
    if (level == 0)
        t->leaves.at[child].parent = parent;
    else
        t->nodes.at[child].parent = parent;
}

/* Puts a child into a node that has room. */
static void node_put(struct tracker *t, uint32_t at, uint32_t slot, uint32_t child, struct sums s)
{
    struct node *node = &t->nodes.at[at];
    assert(node->n < FAN);
    assert(slot <= node->n);
    size_t tail = (node->n - slot) * sizeof node->child[0];
    memmove(&node->prepare[slot + 1], &node->prepare[slot], tail);
    memmove(&node->effect[slot + 1], &node->effect[slot], tail);
    memmove(&node->known[slot + 1], &node->known[slot], tail);
    memmove(&node->child[slot + 1], &node->child[slot], tail);
    node->prepare[slot] = s.prepare;
    node->effect[slot] = s.effect;
    node->known[slot] = s.known;
    node->child[slot] = child;
    node->n++;
    child_is_under(t, node->level, child, at);
}

/* Moves the children from `keep` on from one node to another, empty one. */
static struct sums node_move(struct tracker *t, uint32_t from, uint32_t to, uint32_t keep)
{
    struct node *a = &t->nodes.at[from], *b = &t->nodes.at[to];
    uint32_t n = a->n - keep;
    size_t bytes = n * sizeof a->child[0];
    memcpy(b->prepare, &a->prepare[keep], bytes);
    memcpy(b->effect, &a->effect[keep], bytes);
    memcpy(b->known, &a->known[keep], bytes);
    memcpy(b->child, &a->child[keep], bytes);
    a->n = keep;
    b->n = n;
    for (uint32_t i = 0; i < n; i++) child_is_under(t, b->level, b->child[i], to);
    return node_sums(b);
}

/* Puts a child into the node at `slot`, splitting nodes upwards as needed; the sums of what is
 * above are those of before.  The recursion is as deep as the tree is high. */
static void node_insert(struct tracker *t, uint32_t at, uint32_t slot, uint32_t child,
                        struct sums s)
{
    if (t->nodes.at[at].n < FAN) {
        node_put(t, at, slot, child, s);
        return;
    }
    uint32_t keep = slot == FAN ? FAN : FAN / 2; /* appending leaves full nodes behind */
    uint32_t level = t->nodes.at[at].level;
    uint32_t right = node_new(t, level, NONE);
    struct sums moved = node_move(t, at, right, keep);
    if (slot > keep || keep == FAN) {
        node_put(t, right, slot - keep, child, s);
        sums_add(&moved, s);
    } else {
        node_put(t, at, slot, child, s);
    }
    uint32_t above = t->nodes.at[at].parent;
    if (above == NONE) {
        above = t->root = node_new(t, level + 1, NONE);
        node_put(t, above, 0, at, node_sums(&t->nodes.at[at]));
    } else {
        /* `s` was part of `at` for those above, so what left is exactly what is in `right`. */
        struct node *node = &t->nodes.at[above];
        slot_add(node, slot_of(node, at), sums_minus((struct sums){0}, moved));
    }
    uint32_t behind = slot_of(&t->nodes.at[above], at) + 1;
    node_insert(t, above, behind, right, moved);
}

/* Moves records [keep, n) to a new leaf behind this one. */
static uint32_t leaf_split(struct tracker *t, uint32_t at, uint32_t keep)
{
    struct leaf *b = array_push(&t->leaves), *a = &t->leaves.at[at];
    uint32_t right = t->leaves.n - 1, n = a->n - keep;
    memcpy(b->id, &a->id[keep], n * sizeof a->id[0]);
    memcpy(b->len, &a->len[keep], n * sizeof a->len[0]);
    memcpy(b->state, &a->state[keep], n * sizeof a->state[0]);
    memcpy(b->left, &a->left[keep], n * sizeof a->left[0]);
    memcpy(b->right, &a->right[keep], n * sizeof a->right[0]);
    memcpy(b->peer, &a->peer[keep], n * sizeof a->peer[0]);
    a->n = keep;
    b->n = n;
    b->next = a->next;
    a->next = right;
    for (uint32_t i = 0; i < n; i++) start_moved(t, b->id[i], right);
    struct sums moved = leaf_sums(b);
    struct node *above = &t->nodes.at[a->parent];
    uint32_t slot = slot_of(above, at);
    slot_add(above, slot, sums_minus((struct sums){0}, moved));
    if (t->cache.leaf == at) t->cache.len -= moved.prepare;
    node_insert(t, a->parent, slot + 1, right, moved);
    return right;
}

/* Makes the gap `at` one in a leaf with room.  With idx > 0 the record before it stays in the gap's
 * leaf, unless `append` allows a full last leaf to stay full. */
static struct at leaf_room(struct tracker *t, struct at at, bool append)
{
    const struct leaf *leaf = &t->leaves.at[at.leaf];
    assert(at.idx <= leaf->n);
    if (leaf->n < LEAF) return at;
    if (append && at.idx == LEAF && leaf->next == NONE)
        return (struct at){leaf_split(t, at.leaf, LEAF), 0};
    uint32_t right = leaf_split(t, at.leaf, LEAF / 2);
    return at.idx <= LEAF / 2 ? at : (struct at){right, at.idx - LEAF / 2};
}

/* Puts a record into the gap, in a leaf that has room.  The sums are the caller's. */
static void leaf_put(struct tracker *t, struct at at, const struct record *r)
{
    struct leaf *leaf = &t->leaves.at[at.leaf];
    uint32_t i = at.idx;
    assert(leaf->n < LEAF);
    size_t tail = leaf->n - i;
    memmove(&leaf->id[i + 1], &leaf->id[i], tail * sizeof leaf->id[0]);
    memmove(&leaf->len[i + 1], &leaf->len[i], tail * sizeof leaf->len[0]);
    memmove(&leaf->state[i + 1], &leaf->state[i], tail * sizeof leaf->state[0]);
    memmove(&leaf->left[i + 1], &leaf->left[i], tail * sizeof leaf->left[0]);
    memmove(&leaf->right[i + 1], &leaf->right[i], tail * sizeof leaf->right[0]);
    memmove(&leaf->peer[i + 1], &leaf->peer[i], tail * sizeof leaf->peer[0]);
    leaf->id[i] = r->id;
    leaf->len[i] = r->len;
    leaf->state[i] = r->state;
    leaf->left[i] = r->left;
    leaf->right[i] = r->right;
    leaf->peer[i] = r->peer;
    leaf->n++;
    start_record(t, r->id, at.leaf);
}

/* Cuts the record before its element `off`, if that is inside it.  Returns where its first part is:
 * the second is then the next in the same leaf, even if the leaf was split exactly here. */
static struct at record_cut(struct tracker *t, struct at at, uint32_t off)
{
    assert(off > 0);
    assert(off <= t->leaves.at[at.leaf].len[at.idx]);
    if (off == t->leaves.at[at.leaf].len[at.idx]) return at;
    struct at second = leaf_room(t, (struct at){at.leaf, at.idx + 1}, false);
    assert(second.idx > 0);
    struct leaf *leaf = &t->leaves.at[second.leaf];
    uint32_t i = second.idx - 1;
    struct record r = {.id = leaf->id[i] + off,
                       .len = leaf->len[i] - off,
                       .state = leaf->state[i],
                       .left = leaf->id[i] + off - 1,
                       .right = leaf->right[i],
                       .peer = leaf->peer[i]};
    leaf->len[i] = off;
    leaf_put(t, second, &r); /* no sum changes */
    return (struct at){second.leaf, i};
}

/* Makes elements [off, off+len) of the record a record of their own, and returns it. */
static struct at record_isolate(struct tracker *t, struct at at, uint32_t off, uint32_t len)
{
    if (off > 0) {
        at = record_cut(t, at, off);
        at.idx++;
    }
    return record_cut(t, at, len);
}

/* Returns what that changes in the leaf's sums, which the caller passes on to leaf_changed. */
static struct sums record_set_state(struct tracker *t, struct at at, uint32_t state)
{
    struct leaf *leaf = &t->leaves.at[at.leaf];
    uint32_t len = leaf->len[at.idx];
    struct sums before = record_sums(len, leaf->state[at.idx]);
    leaf->state[at.idx] = state;
    return sums_minus(record_sums(len, state), before);
}

/* ---- Searching --------------------------------------------------------------------------------
 */

/* The record that the element is in. */
static struct at locate(const struct tracker *t, uint32_t id)
{
    uint32_t start;
    const struct page *page = start_before(t, id, &start);
    uint32_t i = 0, at = page->target[start % PAGE];
    const struct leaf *leaf = &t->leaves.at[at];
    while (leaf->id[i] != start) i++;
    assert(i < leaf->n);
    assert(id - start < leaf->len[i]);
    return (struct at){at, i};
}

/* Where a gap is a record: the next one, which may be in the next leaf.  NONE: the end. */
static struct at record_at(const struct tracker *t, struct at gap)
{
    const struct leaf *leaf = &t->leaves.at[gap.leaf];
    if (gap.idx < leaf->n) return gap;
    return (struct at){leaf->next, 0};
}

static void cache_first_leaf(struct tracker *t)
{
    t->cache.leaf = 0;
    t->cache.prepare = t->cache.effect = 0;
    const struct node *above = &t->nodes.at[t->leaves.at[0].parent];
    t->cache.len = above->prepare[0];
}

/* Points the cache at the leaf with the pos-th visible element (from 0). */
static void cache_descend(struct tracker *t, uint32_t pos)
{
    assert(pos < t->total.prepare);
    uint32_t prepare = 0, effect = 0, at = t->root;
    for (;;) {
        const struct node *node = &t->nodes.at[at];
        uint32_t i = 0;
        for (; pos - prepare >= node->prepare[i]; i++) {
            prepare += node->prepare[i];
            effect += node->effect[i];
        }
        assert(i < node->n);
        at = node->child[i];
        if (node->level > 0) continue;
        t->cache.leaf = at;
        t->cache.prepare = prepare;
        t->cache.effect = effect;
        t->cache.len = node->prepare[i];
        return;
    }
}

/* An element: its record, which of it, and where it stands in the effect version. */
struct spot {
    struct at at;
    uint32_t off, effect;
};

/* The pos-th visible element (from 0). */
static struct spot find_visible(struct tracker *t, uint32_t pos)
{
    if (t->cache.leaf == NONE || pos - t->cache.prepare >= t->cache.len) cache_descend(t, pos);
    const struct leaf *leaf = &t->leaves.at[t->cache.leaf];
    uint32_t rest = pos - t->cache.prepare, effect = t->cache.effect, i = 0;
    for (;; i++) {
        struct sums s = record_sums(leaf->len[i], leaf->state[i]);
        if (rest < s.prepare) break;
        rest -= s.prepare;
        effect += s.effect;
    }
    assert(i < leaf->n);
    if ((leaf->state[i] & GONE) == 0) effect += rest;
    return (struct spot){{t->cache.leaf, i}, rest, effect};
}

/* Does element a stand before element b? */
static bool stands_before(const struct tracker *t, uint32_t a, uint32_t b)
{
    if (a == b || a == END || b == START) return false;
    if (a == START || b == END) return true;
    struct at at = locate(t, a), bt = locate(t, b);
    if (at.leaf == bt.leaf) return at.idx != bt.idx ? at.idx < bt.idx : a < b;
    uint32_t x = at.leaf, y = bt.leaf;
    uint32_t xs = t->leaves.at[x].parent, ys = t->leaves.at[y].parent;
    while (xs != ys) { /* all leaves are equally deep */
        x = xs;
        y = ys;
        xs = t->nodes.at[x].parent;
        ys = t->nodes.at[y].parent;
    }
    return slot_of(&t->nodes.at[xs], x) < slot_of(&t->nodes.at[xs], y);
}

/* The first id of the first known record in the leaf from idx on, or NONE. */
static uint32_t leaf_known(const struct leaf *leaf, uint32_t idx)
{
    for (uint32_t i = idx; i < leaf->n; i++)
        if ((leaf->state[i] & COUNT) != NYI) return leaf->id[i];
    return NONE;
}

/* The first child with something known from slot on, or n. */
static uint32_t node_known(const struct node *node, uint32_t slot)
{
    while (slot < node->n && node->known[slot] == 0) slot++;
    return slot;
}

/* The right origin of what is inserted before this record: the next element, deleted or not, that
 * is in the prepare version.  END: none. */
static uint32_t known_after(const struct tracker *t, struct at at)
{
    uint32_t id = leaf_known(&t->leaves.at[at.leaf], at.idx);
    if (id != NONE) return id;
    uint32_t child = at.leaf, above = t->leaves.at[child].parent;
    while (above != NONE) {
        const struct node *node = &t->nodes.at[above];
        uint32_t slot = node_known(node, slot_of(node, child) + 1);
        if (slot == node->n) {
            child = above;
            above = node->parent;
            continue;
        }
        while (node->level > 0) {
            node = &t->nodes.at[node->child[slot]];
            slot = node_known(node, 0);
        }
        return leaf_known(&t->leaves.at[node->child[slot]], 0);
    }
    return END;
}

/* ---- Inserting --------------------------------------------------------------------------------
 */

/* Where a record goes: the gap, and what stands before it in the effect version. */
struct gap {
    struct at at;
    uint32_t effect;
};

/* Does NYI record `at` have its right origin before `right`, the end of the NYI stretch it is in?
 * Typing backwards makes each record the right origin of the one before it, so look there first. */
static bool right_is_before(const struct tracker *t, struct at at, uint32_t right)
{
    const struct leaf *leaf = &t->leaves.at[at.leaf];
    uint32_t its = leaf->right[at.idx], i = at.idx + 1;
    if (i < leaf->n && leaf->id[i] == its) return (leaf->state[i] & COUNT) == NYI;
    return stands_before(t, its, right);
}

/* FugueMax (YjsMod's integrate): among the records concurrent with r that stand between its
 * origins, passes those that come first.  Only records not in the prepare version are met, because
 * r's right origin is the next one that is. */
static struct gap integrate(const struct tracker *t, const struct record *r, struct gap gap)
{
    struct gap dest = gap;
    bool scanning = false; /* r goes before what we pass, unless a later sibling says otherwise */
    uint32_t prev_id = 0, prev_len = 0, i = gap.at.idx;
    for (uint32_t at = gap.at.leaf; at != NONE; at = t->leaves.at[at].next, i = 0) {
        const struct leaf *leaf = &t->leaves.at[at];
        for (; i < leaf->n; i++) {
            uint32_t left = leaf->left[i];
            if ((leaf->state[i] & COUNT) != NYI) return dest;
            if (left == r->left) {
                if (leaf->right[i] != r->right)
                    scanning = right_is_before(t, (struct at){at, i}, r->right);
                else if (r->peer < leaf->peer[i])
                    return dest;
                else
                    scanning = false;
            } else if (left - prev_id >= prev_len && !stands_before(t, r->left, left)) {
                return dest; /* hangs on something left of us; else on something we passed */
            }
            prev_id = leaf->id[i];
            prev_len = leaf->len[i];
            if ((leaf->state[i] & GONE) == 0) gap.effect += prev_len;
            if (!scanning) dest = (struct gap){{at, i + 1}, gap.effect};
        }
    }
    return dest;
}

/* Lengthens the record before the gap by r, if r continues it. */
static bool record_extend(struct tracker *t, struct at gap, const struct record *r)
{
    if (gap.idx == 0) return false;
    struct leaf *leaf = &t->leaves.at[gap.leaf];
    uint32_t i = gap.idx - 1;
    if (leaf->id[i] + leaf->len[i] != r->id || r->id == t->base_len) return false;
    if (r->left != r->id - 1 || leaf->right[i] != r->right) return false;
    if (leaf->state[i] != r->state || leaf->peer[i] != r->peer) return false;
    leaf->len[i] += r->len;
    return true;
}

/* The gap behind the pos-th visible element; its neighbours become r's origins. */
static struct gap gap_after(struct tracker *t, uint32_t pos, struct record *r)
{
    if (pos == 0) {
        cache_first_leaf(t);
        r->left = START;
        return (struct gap){{0, 0}, 0};
    }
    struct spot spot = find_visible(t, pos - 1);
    const struct leaf *leaf = &t->leaves.at[spot.at.leaf];
    r->left = leaf->id[spot.at.idx] + spot.off;
    bool gone = (leaf->state[spot.at.idx] & GONE) != 0;
    struct at at = record_cut(t, spot.at, spot.off + 1);
    return (struct gap){{at.leaf, at.idx + 1}, spot.effect + (gone ? 0 : 1)};
}

syn_err tracker_insert(struct tracker *t, uint64_t peer, uint32_t pos, uint32_t len,
                       struct tracker_effect *effect)
{
    if (pos > t->total.prepare) return SYN_ERANGE;
    syn_err err = ids_reserve(t, len);
    if (err == SYN_OK) err = step_reserve(t);
    if (err != SYN_OK) return err;

    struct record r = {.id = t->next_id, .len = len, .state = VISIBLE, .right = END, .peer = peer};
    struct gap gap = gap_after(t, pos, &r);
    *effect = (struct tracker_effect){gap.effect, len};
    if (len == 0) return SYN_OK;
    struct at next = record_at(t, gap.at);
    if (next.leaf != NONE) {
        r.right = known_after(t, next);
        gap = integrate(t, &r, gap);
        effect->pos = gap.effect;
    }
    if (!record_extend(t, gap.at, &r)) {
        gap.at = leaf_room(t, gap.at, true);
        leaf_put(t, gap.at, &r);
    }
    leaf_changed(t, gap.at.leaf, record_sums(len, VISIBLE));
    t->next_id += len;
    return SYN_OK;
}

/* ---- Deleting, setting ------------------------------------------------------------------------
 */

static syn_err effect_add(struct tracker *t, tracker_effects *effects, uint32_t pos, uint32_t len)
{
    syn_err err = array_reserve(t->mem, effects, 1);
    if (err == SYN_OK) *array_push(effects) = (struct tracker_effect){pos, len};
    return err;
}

/* Deletes at most len elements of one record: from the pos-th visible on, or (back) up to it.
 * *done: how many. */
static syn_err delete_piece(struct tracker *t, uint32_t pos, uint32_t len, bool back,
                            tracker_effects *effects, uint32_t *done)
{
    syn_err err = step_reserve(t);
    if (err != SYN_OK) return err;
    struct spot spot = find_visible(t, pos);
    const struct leaf *leaf = &t->leaves.at[spot.at.leaf];
    uint32_t i = spot.at.idx, target = leaf->id[i] + spot.off, first = spot.off;
    uint32_t room = back ? spot.off + 1 : leaf->len[i] - spot.off;
    uint32_t n = len < room ? len : room;
    if (back) first = spot.off + 1 - n;
    if ((leaf->state[i] & GONE) == 0)
        err = effect_add(t, effects, spot.effect - (spot.off - first), n);
    if (err != SYN_OK) return err;
    struct at at = record_isolate(t, spot.at, first, n);
    leaf_changed(t, at.leaf, record_set_state(t, at, (VISIBLE + 1) | GONE));
    start_delete(t, t->next_id, target, back);
    t->next_id += n;
    *done = n;
    return SYN_OK;
}

syn_err tracker_delete(struct tracker *t, uint32_t pos, uint32_t len, bool back,
                       tracker_effects *effects)
{
    if (len == 0) return SYN_OK;
    if (pos >= t->total.prepare) return SYN_ERANGE;
    if (len > (back ? pos + 1 : t->total.prepare - pos)) return SYN_ERANGE;
    syn_err err = ids_reserve(t, len);
    while (err == SYN_OK && len > 0) {
        uint32_t done = 0;
        err = delete_piece(t, pos, len, back, effects, &done);
        if (back) pos -= done;
        len -= done;
    }
    return err;
}

syn_err tracker_set(struct tracker *t, uint32_t pos, uint32_t len, uint32_t *where)
{
    if (len == 0) return SYN_OK;
    if (pos > t->total.prepare || len > t->total.prepare - pos) return SYN_ERANGE;
    syn_err err = ids_reserve(t, len);
    if (err == SYN_OK) err = step_reserve(t);
    if (err != SYN_OK) return err;
    start_delete(t, t->next_id, NONE, false);
    t->next_id += len;
    while (len > 0) {
        struct spot spot = find_visible(t, pos);
        const struct leaf *leaf = &t->leaves.at[spot.at.leaf];
        bool gone = (leaf->state[spot.at.idx] & GONE) != 0;
        uint32_t n = leaf->len[spot.at.idx] - spot.off;
        if (n > len) n = len;
        for (uint32_t i = 0; i < n; i++) *where++ = gone ? UINT32_MAX : spot.effect + i;
        pos += n;
        len -= n;
    }
    return SYN_OK;
}

/* ---- Moving the prepare version ---------------------------------------------------------------
 */

/* What a move changed in the leaf it touched last: neighbours mostly share a leaf, and then the
 * climb to the root is made once.  A split in between is right with it, because it takes the sums
 * of what moves out from the leaf's sums above, and those are plain additions in any order. */
struct pending {
    uint32_t leaf;
    struct sums diff;
};

static void pending_add(struct tracker *t, struct pending *p, uint32_t leaf, struct sums diff)
{
    if (p->leaf != leaf) {
        if (p->leaf != NONE) leaf_changed(t, p->leaf, p->diff);
        *p = (struct pending){.leaf = leaf};
    }
    sums_add(&p->diff, diff);
}

/* Elements [id, id+len) count one step up or down. */
static syn_err shift_elements(struct tracker *t, struct pending *p, uint32_t id, uint32_t len,
                              bool up)
{
    while (len > 0) {
        syn_err err = step_reserve(t);
        if (err != SYN_OK) return err;
        struct at at = locate(t, id);
        const struct leaf *leaf = &t->leaves.at[at.leaf];
        uint32_t off = id - leaf->id[at.idx], room = leaf->len[at.idx] - off;
        uint32_t n = len < room ? len : room;
        at = record_isolate(t, at, off, n);
        uint32_t state = t->leaves.at[at.leaf].state[at.idx];
        assert(up || (state & COUNT) != NYI);
        pending_add(t, p, at.leaf, record_set_state(t, at, up ? state + 1 : state - 1));
        id += n;
        len -= n;
    }
    return SYN_OK;
}

static syn_err shift_events(struct tracker *t, uint32_t id, uint32_t len, bool up)
{
    assert(id >= t->base_len);
    assert(id <= t->next_id && len <= t->next_id - id);
    t->cache.leaf = NONE;
    uint32_t end = id + len;
    struct pending pending = {.leaf = NONE};
    syn_err err = SYN_OK;
    while (err == SYN_OK && id < end) {
        uint32_t start, next = start_after(t, id, end), n = next - id;
        const struct page *page = start_before(t, id, &start);
        uint32_t slot = start % PAGE, target = page->target[slot];
        if ((page->deletes[slot / 64] & bit(slot)) == 0)
            err = shift_elements(t, &pending, id, n, up);
        else if (target != NONE && (page->back[slot / 64] & bit(slot)) != 0)
            err = shift_elements(t, &pending, target - (next - 1 - start), n, up);
        else if (target != NONE)
            err = shift_elements(t, &pending, target + (id - start), n, up);
        id = next;
    }
    pending_add(t, &pending, NONE, (struct sums){0});
    return err;
}

syn_err tracker_retreat(struct tracker *t, uint32_t id, uint32_t len)
{
    return shift_events(t, id, len, false);
}

syn_err tracker_advance(struct tracker *t, uint32_t id, uint32_t len)
{
    return shift_events(t, id, len, true);
}

/* ---- Life -------------------------------------------------------------------------------------
 */

static void forget_pages(struct tracker *t)
{
    for (uint32_t i = 0; i < t->pages.n; i++) {
        uint32_t number = t->pages.at[i].number;
        t->table.at[number] = 0;
        t->mid.at[number / 64] = 0;
        t->top.at[number / 64 / 64] = 0;
    }
    t->pages.n = 0;
}

syn_err tracker_reset(struct tracker *t, uint32_t base_len)
{
    forget_pages(t);
    t->leaves.n = t->nodes.n = 0;
    t->base_len = t->next_id = 0;
    t->total = (struct sums){0};
    syn_err err = array_reserve(t->mem, &t->leaves, 1);
    if (err == SYN_OK) err = array_reserve(t->mem, &t->nodes, 1);
    if (err == SYN_OK) err = array_reserve(t->mem, &t->pages, 1);
    if (err == SYN_OK) err = ids_reserve(t, base_len);
    if (err != SYN_OK) return err;

    struct leaf *leaf = array_push(&t->leaves);
    leaf->n = 0;
    leaf->next = NONE;
    t->root = node_new(t, 0, NONE);
    node_put(t, t->root, 0, 0, (struct sums){0});
    cache_first_leaf(t);
    if (base_len > 0) {
        struct record r = {
            .id = 0, .len = base_len, .state = VISIBLE, .left = START, .right = END, .peer = 0};
        leaf_put(t, (struct at){0, 0}, &r);
        leaf_changed(t, 0, record_sums(base_len, VISIBLE));
    }
    t->base_len = t->next_id = base_len;
    return SYN_OK;
}

struct tracker *tracker_new(const syn_mem *mem)
{
    struct tracker *t = mem_zalloc(mem, sizeof *t);
    if (t == NULL) return NULL;
    t->mem = mem;
    if (tracker_reset(t, 0) == SYN_OK) return t;
    tracker_free(t);
    return NULL;
}

void tracker_free(struct tracker *t)
{
    if (t == NULL) return;
    const syn_mem *mem = t->mem;
    array_free(mem, &t->leaves);
    array_free(mem, &t->nodes);
    array_free(mem, &t->pages);
    array_free(mem, &t->table);
    array_free(mem, &t->mid);
    array_free(mem, &t->top);
    mem_free(mem, t, sizeof *t);
}

uint32_t tracker_prepare_len(const struct tracker *t)
{
    return t->total.prepare;
}

uint32_t tracker_effect_len(const struct tracker *t)
{
    return t->total.effect;
}

uint32_t tracker_next_id(const struct tracker *t)
{
    return t->next_id;
}

size_t tracker_footprint(const struct tracker *t)
{
    return sizeof *t + t->leaves.cap * sizeof *t->leaves.at + t->nodes.cap * sizeof *t->nodes.at +
           t->pages.cap * sizeof *t->pages.at + t->table.cap * sizeof *t->table.at +
           t->mid.cap * sizeof *t->mid.at + t->top.cap * sizeof *t->top.at;
}

/* ---- Checking ---------------------------------------------------------------------------------
 */

#define CHECK(invariant) ((invariant) ? (void)0 : abort())

static bool sums_equal(struct sums a, struct sums b)
{
    return a.prepare == b.prepare && a.effect == b.effect && a.known == b.known;
}

static void check_origin(const struct tracker *t, uint32_t id)
{
    CHECK(id < t->next_id || id == START || id == END);
}

static void check_leaf(const struct tracker *t, uint32_t at)
{
    const struct leaf *leaf = &t->leaves.at[at];
    CHECK(leaf->n <= LEAF);
    CHECK(leaf->n > 0 || t->leaves.n == 1);
    for (uint32_t i = 0; i < leaf->n; i++) {
        uint32_t id = leaf->id[i], start;
        CHECK(leaf->len[i] > 0);
        CHECK(leaf->len[i] <= t->next_id - id);
        const struct page *page = start_before(t, id + leaf->len[i] - 1, &start);
        CHECK(start == id);
        CHECK(page->target[id % PAGE] == at);
        CHECK((page->deletes[id % PAGE / 64] & bit(id % PAGE)) == 0);
        CHECK((leaf->state[i] & GONE) != 0 || (leaf->state[i] & COUNT) <= VISIBLE);
        check_origin(t, leaf->left[i]);
        check_origin(t, leaf->right[i]);
    }
}

/* The whole subtree; *next is the leaf that must come first in it. */
static struct sums check_node(const struct tracker *t, uint32_t at, uint32_t *next)
{
    const struct node *node = &t->nodes.at[at];
    CHECK(node->n > 0 && node->n <= FAN);
    for (uint32_t i = 0; i < node->n; i++) {
        uint32_t child = node->child[i];
        struct sums s;
        if (node->level == 0) {
            CHECK(child == *next);
            CHECK(t->leaves.at[child].parent == at);
            check_leaf(t, child);
            s = leaf_sums(&t->leaves.at[child]);
            *next = t->leaves.at[child].next;
        } else {
            CHECK(t->nodes.at[child].parent == at);
            CHECK(t->nodes.at[child].level + 1 == node->level);
            s = check_node(t, child, next);
        }
        CHECK(sums_equal(s, (struct sums){node->prepare[i], node->effect[i], node->known[i]}));
    }
    return node_sums(node);
}

/* Page table and its summaries say the same. */
static void check_pages(const struct tracker *t)
{
    uint32_t used = 0;
    for (uint32_t i = 0; i < t->table.n; i++) {
        uint32_t page = t->table.at[i];
        CHECK(page <= t->pages.n);
        CHECK(page == 0 || t->pages.at[page - 1].number == i);
        CHECK(((t->mid.at[i / 64] & bit(i)) != 0) == (page != 0));
        used += page != 0;
    }
    CHECK(used == t->pages.n);
    for (uint32_t i = 0; i < t->mid.n; i++)
        CHECK(((t->top.at[i / 64] & bit(i)) != 0) == (t->mid.at[i] != 0));
}

static void check_cache(const struct tracker *t)
{
    if (t->cache.leaf == NONE) return;
    struct sums before = {0};
    uint32_t at = 0;
    for (; at != t->cache.leaf; at = t->leaves.at[at].next) {
        CHECK(at != NONE);
        sums_add(&before, leaf_sums(&t->leaves.at[at]));
    }
    CHECK(t->cache.prepare == before.prepare);
    CHECK(t->cache.effect == before.effect);
    CHECK(t->cache.len == leaf_sums(&t->leaves.at[at]).prepare);
}

void tracker_check(const struct tracker *t)
{
    uint32_t next = 0;
    CHECK(t->nodes.at[t->root].parent == NONE);
    CHECK(sums_equal(check_node(t, t->root, &next), t->total));
    CHECK(next == NONE);
    check_pages(t);
    check_cache(t);
}
