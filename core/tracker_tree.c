/* tracker_tree.c -- the B+ tree of records: cutting, splitting, finding. */
#include "tracker_impl.h"

/* Room for one step: two cuts and a new record, each of which may split its way up to the root and
 * start something in a page of its own.  After it the step cannot fail. */
syn_err tree_reserve(struct tracker *t)
{
    uint32_t levels = t->nodes.at[t->root].level + 2;
    syn_err err = array_reserve(t->mem, &t->leaves, 3);
    if (err == SYN_OK) err = array_reserve(t->mem, &t->nodes, 3 * levels + 3);
    if (err == SYN_OK) err = array_reserve(t->mem, &t->pages, 4);
    return err;
}

/* ---- Building */

static uint32_t slot_of(const struct node *node, uint32_t child)
{
    uint32_t i = index_in(node->child, FAN, child);
    assert(i < node->n && node->child[i] == child);
    return i;
}

static void slot_add(struct node *node, uint32_t slot, struct sums diff)
{
    node->prepare[slot] += diff.prepare;
    node->effect[slot] += diff.effect;
    node->known[slot] += diff.known;
}

/* Something in this leaf changed by diff. */
void tree_changed(struct tracker *t, uint32_t leaf, struct sums diff)
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
    memset(node->child, 0xff, sizeof node->child); /* NONE: see index_in */
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
    memset(b->id, 0xff, sizeof b->id); /* NONE: see index_in */
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
    for (uint32_t i = 0; i < n; i++) ids_moved(t, b->id[i], right);
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
struct at tree_room(struct tracker *t, struct at at, bool append)
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
void tree_put(struct tracker *t, struct at at, const struct record *r)
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
    ids_put_record(t, r->id, at.leaf);
}

/* Cuts the record before its element `off`, if that is inside it.  Returns where its first part is:
 * the second is then the next in the same leaf, even if the leaf was split exactly here. */
struct at tree_cut(struct tracker *t, struct at at, uint32_t off)
{
    assert(off > 0);
    assert(off <= t->leaves.at[at.leaf].len[at.idx]);
    if (off == t->leaves.at[at.leaf].len[at.idx]) return at;
    struct at second = tree_room(t, (struct at){at.leaf, at.idx + 1}, false);
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
    tree_put(t, second, &r); /* no sum changes */
    return (struct at){second.leaf, i};
}

/* Makes elements [off, off+len) of the record a record of their own, and returns it. */
struct at tree_isolate(struct tracker *t, struct at at, uint32_t off, uint32_t len)
{
    if (off > 0) {
        at = tree_cut(t, at, off);
        at.idx++;
    }
    return tree_cut(t, at, len);
}

/* ---- Searching */

/* The record that the element is in. */
struct at tree_locate(const struct tracker *t, uint32_t id)
{
    uint32_t start;
    const struct page *page = ids_start_before(t, id, &start);
    struct at at = tree_find_start(t, page->target[start % PAGE], start);
    assert(id - start < t->leaves.at[at.leaf].len[at.idx]);
    return at;
}

/* Where a gap is a record: the next one, which may be in the next leaf.  NONE: the end. */
struct at tree_record_at(const struct tracker *t, struct at gap)
{
    const struct leaf *leaf = &t->leaves.at[gap.leaf];
    if (gap.idx < leaf->n) return gap;
    return (struct at){leaf->next, 0};
}

void tree_cache_first(struct tracker *t)
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

/* The pos-th visible element (from 0). */
struct spot tree_find_visible(struct tracker *t, uint32_t pos)
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
bool tree_stands_before(const struct tracker *t, uint32_t a, uint32_t b)
{
    if (a == b || a == END || b == START) return false;
    if (a == START || b == END) return true;
    struct at at = tree_locate(t, a), bt = tree_locate(t, b);
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
uint32_t tree_known_after(const struct tracker *t, struct at at)
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

void tree_init(struct tracker *t)
{
    struct leaf *leaf = array_push(&t->leaves);
    leaf->n = 0;
    memset(leaf->id, 0xff, sizeof leaf->id);
    leaf->next = NONE;
    t->root = node_new(t, 0, NONE);
    node_put(t, t->root, 0, 0, (struct sums){0});
    tree_cache_first(t);
}
