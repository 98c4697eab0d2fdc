/* rope_tree.c -- the inner nodes: counters, growing, shrinking (layout: rope_impl.h). */
#include "rope_impl.h"

/* ---- Counters */

/* Adds to what every ancestor knows about `node`. */
static void add_above(const struct node *node, struct sums more)
{
    for (; node->parent != NULL; node = &node->parent->node) {
        node->parent->bytes[node->slot] += more.bytes;
        node->parent->scalars[node->slot] += more.scalars;
        node->parent->fours[node->slot] += more.fours;
    }
}

void rope_settle_leaf(const struct leaf *leaf)
{
    if (leaf->node.parent == NULL) return;
    struct sums due = minus(leaf_sums(leaf), slot_sums(leaf->node.parent, leaf->node.slot));
    if ((due.bytes | due.scalars | due.fours) != 0) add_above(&leaf->node, due);
}

/* Brings the counters above the cursor up to date.  A cache, so readers may do it too. */
void rope_settle(const struct rope *rope)
{
    rope_settle_leaf(rope->cursor);
}

static void set_slot(struct inner *inner, uint32_t slot, struct node *child, struct sums sums)
{
    inner->bytes[slot] = sums.bytes;
    inner->scalars[slot] = sums.scalars;
    inner->fours[slot] = sums.fours;
    inner->child[slot] = child;
    child->parent = inner;
    child->slot = slot;
}

/* Moves children [from, count) to index `to` of the same node, and sets its count accordingly. */
static void shift_children(struct inner *inner, uint32_t from, uint32_t to)
{
    size_t n = inner->count - from;
    memmove(inner->bytes + to, inner->bytes + from, n * sizeof *inner->bytes);
    memmove(inner->scalars + to, inner->scalars + from, n * sizeof *inner->scalars);
    memmove(inner->fours + to, inner->fours + from, n * sizeof *inner->fours);
    memmove(inner->child + to, inner->child + from, n * sizeof *inner->child);
    inner->count = to + (uint32_t)n;
    for (uint32_t i = to; i < inner->count; i++) inner->child[i]->slot = i;
}

static void push_child(struct inner *inner, struct node *child, struct sums sums)
{
    assert(inner->count < FANOUT);
    set_slot(inner, inner->count++, child, sums);
}

/* Appends the children [from, count) of `src` to `dst`; returns their sum. */
static struct sums move_children(struct inner *dst, struct inner *src, uint32_t from)
{
    struct sums all = {0, 0, 0};
    for (uint32_t i = from; i < src->count; i++) {
        struct sums one = slot_sums(src, i);
        push_child(dst, src->child[i], one);
        all.bytes += one.bytes;
        all.scalars += one.scalars;
        all.fours += one.fours;
    }
    src->count = from;
    return all;
}

/* ---- Growing */

static void grow_root(struct rope *rope)
{
    struct inner *root = rope_take_inner(rope);
    struct sums all =
        rope->height == 0 ? leaf_sums(as_leaf(rope->root)) : inner_sums(as_inner(rope->root));
    push_child(root, rope->root, all);
    rope->root = &root->node;
    rope->height++;
}

static void split_inner(struct rope *rope, struct inner *inner)
{
    struct inner *right = rope_take_inner(rope);
    if (inner->node.parent == NULL) grow_root(rope);
    struct sums moved = move_children(right, inner, FANOUT / 2);
    add_above(&inner->node, minus((struct sums){0, 0, 0}, moved));
    rope_insert_node(rope, &inner->node, &right->node, moved);
}

/* Puts `node` to the right of `left`, on the same level, and counts it everywhere above. */
void rope_insert_node(struct rope *rope, struct node *left, struct node *node, struct sums sums)
{
    if (left->parent == NULL) grow_root(rope);
    if (left->parent->count == FANOUT) split_inner(rope, left->parent);
    struct inner *parent = left->parent;
    uint32_t slot = left->slot + 1;
    assert(parent->count < FANOUT);
    shift_children(parent, slot, slot + 1);
    set_slot(parent, slot, node, sums);
    if (parent->node.parent != NULL) add_above(&parent->node, sums);
}

/* ---- Shrinking */

static void drop_inner(struct rope *rope, struct inner *inner)
{
    rope_put_spare(&rope->spare_inners, &rope->n_spare_inners, &inner->node);
    rope->inners--;
}

static void drop_slot(struct inner *inner, uint32_t slot)
{
    shift_children(inner, slot + 1, slot);
}

/* Joins a thin inner node with a neighbour, if the two then are half full at most: so that an
 * insert that follows does not split them again. */
static void join_inner(struct rope *rope, struct inner *inner)
{
    struct inner *parent = inner->node.parent;
    if (parent == NULL || inner->count > FANOUT / 4) return;
    for (uint32_t side = 0; side < 2; side++) {
        uint32_t slot = inner->node.slot - side; /* of the left one of the pair */
        if (slot >= parent->count - 1) continue; /* wraps when there is no left neighbour */
        struct inner *left = as_inner(parent->child[slot]);
        struct inner *right = as_inner(parent->child[slot + 1]);
        if (left->count + right->count > FANOUT / 2) continue;
        struct sums moved = move_children(left, right, 0);
        parent->bytes[slot] += moved.bytes;
        parent->scalars[slot] += moved.scalars;
        parent->fours[slot] += moved.fours;
        drop_slot(parent, slot + 1);
        drop_inner(rope, right);
        join_inner(rope, parent);
        return;
    }
}

static void lower_root(struct rope *rope)
{
    while (rope->height > 0 && as_inner(rope->root)->count == 1) {
        struct inner *old = as_inner(rope->root);
        rope->root = old->child[0];
        rope->root->parent = NULL;
        rope->root->slot = 0;
        rope->height--;
        drop_inner(rope, old);
    }
}

/* Takes an empty leaf, counted as empty above, out of the tree. */
void rope_remove_leaf(struct rope *rope, struct leaf *leaf)
{
    struct inner *parent = leaf->node.parent;
    drop_slot(parent, leaf->node.slot);
    rope_put_spare(&rope->spare_leaves, &rope->n_spare_leaves, &leaf->node);
    rope->leaves--;
    while (parent->count == 0) {
        struct inner *above = parent->node.parent;
        assert(above != NULL); /* the root keeps a child: some leaf is left */
        drop_slot(above, parent->node.slot);
        drop_inner(rope, parent);
        parent = above;
    }
    join_inner(rope, parent);
    lower_root(rope);
}
