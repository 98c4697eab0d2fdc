/* tracker_tree.c -- the B+ tree of records: cutting, splitting, finding (layout: tracker_impl.h).
 */
#include "tracker_impl.h"

#include "lanes.h"

/* ---- Room */

syn_err tree_reserve_more(struct tracker *t, uint32_t nodes)
{
    syn_err err = array_reserve(t->mem, &t->leaves, STEP_LEAVES);
    if (err == SYN_OK) err = array_reserve(t->mem, &t->due, t->leaves.n + STEP_LEAVES - t->due.n);
    if (err == SYN_OK) err = array_reserve(t->mem, &t->nodes, nodes);
    if (err == SYN_OK) err = array_reserve(t->mem, &t->pages, STEP_PAGES);
    return err;
}

/* ---- Sums */

static void slot_add(struct node *node, uint32_t slot, struct sums diff)
{
    node->prepare[slot] += diff.prepare;
    node->effect[slot] += diff.effect;
    node->known[slot] += diff.known;
}

static void settle_leaf(struct tracker *t, struct leaf *leaf)
{
    uint32_t slot = leaf->slot;
    for (uint32_t above = leaf->parent; above != NONE;) {
        struct node *node = &t->nodes.at[above];
        slot_add(node, slot, leaf->due);
        slot = node->slot;
        above = node->parent;
    }
    leaf->is_due = false;
}

void tree_settle(struct tracker *t)
{
    while (t->due.n > 0) settle_leaf(t, &t->leaves.at[t->due.at[--t->due.n]]);
}

/* ---- Nodes */

static uint32_t node_new(struct tracker *t, uint32_t level)
{
    struct node *node = array_push(&t->nodes);
    memset(node->prepare, 0, sizeof node->prepare); /* see cache_descend */
    node->n = node->slot = 0;
    node->level = level;
    node->parent = NONE;
    node->digest.made = false;
    return t->nodes.n - 1;
}

/* Tells the children from slot `from` on where they are. */
static void number_children(struct tracker *t, uint32_t at, uint32_t from)
{
    const struct node *node = &t->nodes.at[at];
    for (uint32_t i = from; i < node->n; i++) {
        uint32_t child = node->child[i];
        if (node->level == 0) {
            t->leaves.at[child].parent = at;
            t->leaves.at[child].slot = i;
        } else {
            t->nodes.at[child].parent = at;
            t->nodes.at[child].slot = i;
        }
    }
}

/* Puts a child into a node that has room. */
static void node_put(struct tracker *t, uint32_t at, uint32_t slot, uint32_t child, struct sums s)
{
    struct node *node = &t->nodes.at[at];
    assert(node->n < FAN && slot <= node->n);
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
    number_children(t, at, slot);
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
    memset(&a->prepare[keep], 0, bytes);
    a->n = keep;
    b->n = n;
    number_children(t, to, 0);
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
    uint32_t right = node_new(t, t->nodes.at[at].level);
    struct sums moved = node_move(t, at, right, keep);
    if (slot > keep || keep == FAN) {
        node_put(t, right, slot - keep, child, s);
        sums_add(&moved, s);
    } else {
        node_put(t, at, slot, child, s);
    }
    uint32_t above = t->nodes.at[at].parent;
    if (above == NONE) {
        above = t->root = node_new(t, t->nodes.at[at].level + 1);
        node_put(t, above, 0, at, node_sums(&t->nodes.at[at]));
    } else {
        /* `s` was part of `at` for those above, so what left is exactly what is in `right`. */
        slot_add(&t->nodes.at[above], t->nodes.at[at].slot, sums_minus((struct sums){0}, moved));
    }
    node_insert(t, above, t->nodes.at[at].slot + 1, right, moved);
}

/* ---- Leaves */

/* Moves records [keep, n) to a new leaf behind this one.  Sums that are due to the leaf stay due:
 * what moves is taken off its slot as it is now, and additions come in any order. */
static uint32_t leaf_split(struct tracker *t, uint32_t at, uint32_t keep)
{
    scan_spoil(t, at);
    struct leaf *b = array_push(&t->leaves), *a = &t->leaves.at[at];
    uint32_t right = t->leaves.n - 1, n = a->n - keep;
    memset(b->id, 0xff, sizeof b->id); /* NONE: see index_in */
    memset(b->len, 0, sizeof b->len);
    memcpy(b->id, &a->id[keep], n * sizeof a->id[0]);
    memcpy(b->len, &a->len[keep], n * sizeof a->len[0]);
    memcpy(b->state, &a->state[keep], n * sizeof a->state[0]);
    memcpy(b->origin, &a->origin[keep], n * sizeof a->origin[0]);
    memset(&a->len[keep], 0, n * sizeof a->len[0]);
    a->n = keep;
    b->n = n;
    b->digest.made = b->is_due = false;
    b->next = a->next;
    a->next = right;
    for (uint32_t i = 0; i < n; i++) ids_moved(t, b->id[i], (struct at){right, i});
    struct sums moved = leaf_sums(b);
    slot_add(&t->nodes.at[a->parent], a->slot, sums_minus((struct sums){0}, moved));
    if (t->cache.leaf == at) t->cache.len -= moved.prepare;
    node_insert(t, a->parent, a->slot + 1, right, moved);
    return right;
}

/* Opens `count` places before record i; there is room. */
static void leaf_open(struct leaf *leaf, uint32_t i, uint32_t count)
{
    size_t tail = leaf->n - i;
    assert(leaf->n + count <= LEAF);
    memmove(&leaf->id[i + count], &leaf->id[i], tail * sizeof leaf->id[0]);
    memmove(&leaf->len[i + count], &leaf->len[i], tail * sizeof leaf->len[0]);
    memmove(&leaf->state[i + count], &leaf->state[i], tail * sizeof leaf->state[0]);
    memmove(&leaf->origin[i + count], &leaf->origin[i], tail * sizeof leaf->origin[0]);
    leaf->n += count;
}

/* Writes a record into an open place. */
static void write_record(struct tracker *t, struct at at, const struct record *r)
{
    struct leaf *leaf = &t->leaves.at[at.leaf];
    leaf->id[at.idx] = r->id;
    leaf->len[at.idx] = r->len;
    leaf->state[at.idx] = r->state;
    leaf->origin[at.idx] = r->origin;
    ids_put_record(t, r->id, at);
}

/* The gap in a leaf with room for one more.  At the end of all, full leaves stay full. */
static struct at gap_with_room(struct tracker *t, struct at gap)
{
    const struct leaf *leaf = &t->leaves.at[gap.leaf];
    assert(gap.idx <= leaf->n);
    if (leaf->n < LEAF) return gap;
    if (gap.idx == LEAF && leaf->next == NONE) return (struct at){leaf_split(t, gap.leaf, LEAF), 0};
    uint32_t right = leaf_split(t, gap.leaf, LEAF / 2);
    return gap.idx <= LEAF / 2 ? gap : (struct at){right, gap.idx - LEAF / 2};
}

struct at tree_put(struct tracker *t, struct at gap, const struct record *r)
{
    gap = gap_with_room(t, gap);
    scan_spoil(t, gap.leaf);
    leaf_open(&t->leaves.at[gap.leaf], gap.idx, 1);
    write_record(t, gap, r);
    return gap;
}

bool tree_extend(struct tracker *t, struct at gap, const struct record *r)
{
    if (gap.idx == 0) return false;
    struct leaf *leaf = &t->leaves.at[gap.leaf];
    uint32_t i = gap.idx - 1;
    if (leaf->id[i] + leaf->len[i] != r->id || r->id == t->base_len) return false;
    if (r->origin.left != r->id - 1 || leaf->origin[i].right != r->origin.right) return false;
    if (leaf->state[i] != r->state || leaf->origin[i].peer != r->origin.peer) return false;
    leaf->len[i] += r->len;
    ids_no_start(t, r->id);
    return true;
}

/* ---- Cutting */

/* The record, in a leaf with room for `more` behind it. */
static struct at record_with_room(struct tracker *t, struct at at, uint32_t more)
{
    if (t->leaves.at[at.leaf].n + more <= LEAF) return at;
    uint32_t right = leaf_split(t, at.leaf, LEAF / 2);
    return at.idx < LEAF / 2 ? at : (struct at){right, at.idx - LEAF / 2};
}

/* Writes elements [off, off+len) of a record that is being cut. */
static void write_part(struct tracker *t, struct at at, const struct record *whole, uint32_t off,
                       uint32_t len)
{
    struct record part = *whole;
    part.id += off;
    part.len = len;
    part.origin.left = part.id - 1;
    write_record(t, at, &part);
}

struct at tree_isolate(struct tracker *t, struct at at, uint32_t off, uint32_t len)
{
    const struct leaf *leaf = &t->leaves.at[at.leaf];
    uint32_t end = off + len, whole_len = leaf->len[at.idx];
    uint32_t more = (off > 0 ? 1U : 0U) + (end < whole_len ? 1U : 0U);
    assert(len > 0 && end <= whole_len);
    if (more == 0) return at;
    at = record_with_room(t, at, more);
    leaf = &t->leaves.at[at.leaf];
    struct record whole = {leaf->id[at.idx], whole_len, leaf->state[at.idx], leaf->origin[at.idx]};
    leaf_open(&t->leaves.at[at.leaf], at.idx + 1, more); /* no sum changes */
    t->leaves.at[at.leaf].len[at.idx] = off > 0 ? off : end;
    if (off > 0) {
        at.idx++;
        write_part(t, at, &whole, off, len);
    }
    if (end < whole_len)
        write_part(t, (struct at){at.leaf, at.idx + 1}, &whole, end, whole_len - end);
    return at;
}

/* ---- Searching */

struct at tree_locate(const struct tracker *t, uint32_t id)
{
    uint32_t start;
    const struct page *page = ids_start_before(t, id, &start);
    struct at at = tree_find_start(t, page->target[start % PAGE], start);
    assert(id - start < t->leaves.at[at.leaf].len[at.idx]);
    return at;
}

struct at tree_record_at(const struct tracker *t, struct at gap)
{
    const struct leaf *leaf = &t->leaves.at[gap.leaf];
    if (gap.idx < leaf->n) return gap;
    return (struct at){leaf->next, 0};
}

void tree_cache_first(struct tracker *t)
{
    if (t->cache.leaf == 0) return;
    tree_settle(t);
    t->cache.leaf = 0;
    t->cache.prepare = t->cache.effect = 0;
    t->cache.len = t->nodes.at[t->leaves.at[0].parent].prepare[0];
}

/* Points the cache at the leaf with the pos-th visible element (from 0). */
static void cache_descend(struct tracker *t, uint32_t pos)
{
    assert(pos < t->total.prepare);
    tree_settle(t);
    uint32_t rest = pos, effect = 0, at = t->root;
    for (;;) {
        const struct node *node = &t->nodes.at[at];
        struct lanes_search search = lanes_search(rest);
        for (uint32_t k = 0; k < FAN; k += LANES) /* behind the last they are empty */
            lanes_show(&search, lanes_at(node->prepare + k), lanes_at(node->effect + k));
        uint32_t i = lanes_sum(search.index);
        assert(i < node->n);
        rest -= lanes_sum(search.before);
        effect += lanes_sum(search.also);
        at = node->child[i];
        if (node->level > 0) continue;
        t->cache.leaf = at;
        t->cache.prepare = pos - rest;
        t->cache.effect = effect;
        t->cache.len = node->prepare[i];
        return;
    }
}

struct spot tree_find_visible(struct tracker *t, uint32_t pos)
{
    if (t->cache.leaf == NONE || pos - t->cache.prepare >= t->cache.len) cache_descend(t, pos);
    const struct leaf *leaf = &t->leaves.at[t->cache.leaf];
    struct lanes_search search = lanes_search(pos - t->cache.prepare);
    for (uint32_t k = 0; k < LEAF; k += LANES) {
        lanes len = lanes_at(leaf->len + k), state = lanes_at(leaf->state + k);
        lanes_show(&search, len & lanes_equal(state & COUNT, lanes_all(VISIBLE)),
                   len & ~lanes_less(state, lanes_all(0)));
    }
    uint32_t i = lanes_sum(search.index);
    assert(i < leaf->n);
    uint32_t off = pos - t->cache.prepare - lanes_sum(search.before);
    uint32_t effect = t->cache.effect + lanes_sum(search.also);
    if ((leaf->state[i] & GONE) == 0) effect += off;
    return (struct spot){{t->cache.leaf, i}, off, effect};
}

bool tree_stands_before(const struct tracker *t, uint32_t a, uint32_t b)
{
    if (a == b || a == END || b == START) return false;
    if (a == START || b == END) return true;
    struct at at = tree_locate(t, a), bt = tree_locate(t, b);
    if (at.leaf == bt.leaf) return at.idx != bt.idx ? at.idx < bt.idx : a < b;
    const struct leaf *la = &t->leaves.at[at.leaf], *lb = &t->leaves.at[bt.leaf];
    uint32_t slot_a = la->slot, slot_b = lb->slot, x = la->parent, y = lb->parent;
    while (x != y) { /* all leaves are equally deep */
        slot_a = t->nodes.at[x].slot;
        slot_b = t->nodes.at[y].slot;
        x = t->nodes.at[x].parent;
        y = t->nodes.at[y].parent;
    }
    return slot_a < slot_b;
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

uint32_t tree_known_after(struct tracker *t, struct at at)
{
    const struct leaf *leaf = &t->leaves.at[at.leaf];
    uint32_t id = leaf_known(leaf, at.idx);
    if (id != NONE) return id;
    tree_settle(t);
    uint32_t slot = leaf->slot, above = leaf->parent;
    while (above != NONE) {
        const struct node *node = &t->nodes.at[above];
        uint32_t next = node_known(node, slot + 1);
        if (next == node->n) {
            slot = node->slot;
            above = node->parent;
            continue;
        }
        while (node->level > 0) {
            node = &t->nodes.at[node->child[next]];
            next = node_known(node, 0);
        }
        return leaf_known(&t->leaves.at[node->child[next]], 0);
    }
    return END;
}

void tree_init(struct tracker *t)
{
    struct leaf *leaf = array_push(&t->leaves);
    leaf->n = 0;
    memset(leaf->id, 0xff, sizeof leaf->id);
    memset(leaf->len, 0, sizeof leaf->len);
    leaf->next = NONE;
    leaf->digest.made = leaf->is_due = false;
    t->root = node_new(t, 0);
    node_put(t, t->root, 0, 0, (struct sums){0});
    t->due.n = 0;
    t->cache.leaf = NONE;
    tree_cache_first(t);
}
