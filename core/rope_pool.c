/* rope_pool.c -- memory: the pool of spare nodes, what an edit may need, birth and end. */
#include "rope_impl.h"

struct leaf *rope_take_leaf(struct rope *rope)
{
    struct node *node = rope->spare_leaves;
    assert(node != NULL); /* else the caller did not reserve */
    rope->spare_leaves = (struct node *)(void *)node->parent;
    rope->n_spare_leaves--;
    rope->leaves++;
    struct leaf *leaf = as_leaf(node);
    memset(leaf, 0, sizeof *leaf);
    leaf->cap = LEAF_CAP;
    return leaf;
}

struct inner *rope_take_inner(struct rope *rope)
{
    struct node *node = rope->spare_inners;
    assert(node != NULL);
    rope->spare_inners = (struct node *)(void *)node->parent;
    rope->n_spare_inners--;
    struct inner *inner = as_inner(node);
    rope->inners++;
    inner->node = (struct node){NULL, 0};
    inner->count = 0;
    return inner;
}

void rope_put_spare(struct node **list, uint32_t *n, struct node *node)
{
    node->parent = (struct inner *)(void *)*list;
    *list = node;
    (*n)++;
}

/* ---- Reserving */

/* Moves the root leaf of a short text to a block for `cap` bytes of text. */
static syn_err resize_root(struct rope *rope, uint32_t cap)
{
    struct leaf *old = as_leaf(rope->root), *leaf = mem_alloc(rope->mem, leaf_size(cap));
    uint32_t tail = old->bytes - old->gap;
    if (leaf == NULL) return SYN_ENOMEM;
    memcpy(leaf, old, sizeof *old + old->gap);
    memcpy(leaf->text + cap - tail, behind_gap(old), tail);
    leaf->cap = cap;
    mem_free(rope->mem, old, leaf_size(old->cap));
    rope->root = &leaf->node;
    rope->cursor = leaf;
    return SYN_OK;
}

/* What the root leaf of a text of so many bytes should have room for. */
static uint32_t root_cap(size_t bytes)
{
    return (uint32_t)((bytes + LEAF_STEP - 1) / LEAF_STEP * LEAF_STEP);
}

static syn_err fill_pool(const syn_mem *mem, struct node **list, uint32_t *n, size_t want,
                         size_t size)
{
    while (*n < want) {
        struct node *node = mem_alloc(mem, size);
        if (node == NULL) return SYN_ENOMEM;
        rope_put_spare(list, n, node);
    }
    return SYN_OK;
}

static void drain_pool(const syn_mem *mem, struct node **list, uint32_t *n, size_t keep,
                       size_t size)
{
    while (*n > keep) {
        struct node *node = *list;
        *list = (struct node *)(void *)node->parent;
        (*n)--;
        mem_free(mem, node, size);
    }
}

/* Leaves that the edits can use up at most.  One insert: its leaf and its bytes cut anew.  Many:
 * each may split a leaf that is full now, but then has to fill half of one before the next: what
 * it holds beyond LEAF_CAP / 2 + 8 bytes pays for its split, and halves hold less. */
static size_t leaves_needed(const struct rope *rope, size_t edits, size_t bytes)
{
    if (bytes == 0) return 0; /* deletes give back only */
    if (edits <= 1) return (LEAF_CAP + bytes + LEAF_FILL - 1) / LEAF_FILL - 1;
    size_t each = 2 * edits + bytes / LEAF_FILL;
#ifdef SYN_STRESS
    (void)rope; /* in leaves this small, rounding to whole scalars defeats the better bound */
    return each;
#else
    size_t together = bytes / (LEAF_CAP / 2 - 8) + rope->leaves + 2;
    return each < together ? each : together;
#endif
}

/* Inner nodes for so many new leaves: an edit may split one per level and the root.  Many of them:
 * a node that is full now, or one that half a node of new children came to; and each split may
 * be one of the root, which takes a new one above it. */
static size_t inners_needed(const struct rope *rope, size_t edits, size_t leaves)
{
    if (leaves == 0) return 0;
    size_t paths = edits < leaves ? edits : leaves;
    size_t each = paths * (rope->height + 1) + leaves / (FANOUT / 2 - 1) + (leaves > 2 ? 4 : 0);
    size_t splits = rope->inners + (rope->inners + leaves) / (FANOUT / 2 - 1) + 1;
    return each < 2 * splits + 1 ? each : 2 * splits + 1;
}

static syn_err fill_pools(struct rope *rope, size_t leaves, size_t inners)
{
    syn_err err = fill_pool(rope->mem, &rope->spare_leaves, &rope->n_spare_leaves, leaves,
                            leaf_size(LEAF_CAP));
    if (err != SYN_OK) return err;
    return fill_pool(rope->mem, &rope->spare_inners, &rope->n_spare_inners, inners,
                     sizeof(struct inner));
}

/* Gives the spare nodes back beyond those that many. */
static void drain_pools(struct rope *rope, size_t leaves, size_t inners)
{
    drain_pool(rope->mem, &rope->spare_leaves, &rope->n_spare_leaves, leaves, leaf_size(LEAF_CAP));
    drain_pool(rope->mem, &rope->spare_inners, &rope->n_spare_inners, inners, sizeof(struct inner));
}

/* A text that its root leaf will not hold any more goes into leaves of LEAF_CAP: one, if that is
 * still enough, or some with a root above them. */
static syn_err plant(struct rope *rope)
{
    struct leaf *old = as_leaf(rope->root);
    struct parts parts = {.piece = {{0}}, .total = old->bytes};
    if (fill_pools(rope, old->bytes / LEAF_FILL + 1, 1) != SYN_OK) return SYN_ENOMEM;
    leaf_pieces(old, 0, old->bytes, parts.piece);
    struct leaf *leaf = rope_take_leaf(rope);
    rope->leaves--; /* instead of the old one */
    rope->root = &leaf->node;
    rope->cursor = leaf;
    rope->cursor_start = 0;
    if (parts.total > 0) rope_lay_out(rope, leaf, &parts);
    mem_free(rope->mem, old, leaf_size(old->cap));
    return SYN_OK;
}

static __attribute__((noinline)) syn_err reserve_nodes(struct rope *rope, size_t edits,
                                                       size_t bytes)
{
    if (rope->height == 0) {
        size_t want = rope->bytes + bytes;
        uint32_t cap = as_leaf(rope->root)->cap;
        if (want <= cap) return SYN_OK;
        if (want <= ROOT_CAP) return resize_root(rope, root_cap(want));
        if (cap != LEAF_CAP && plant(rope) != SYN_OK) return SYN_ENOMEM;
    }
    if (edits > bytes) edits = bytes; /* the others insert nothing */
    size_t leaves = leaves_needed(rope, edits, bytes);
    size_t inners = inners_needed(rope, edits, leaves);
    bool many_leaves = rope->n_spare_leaves > leaves + rope->leaves + POOL_SLACK;
    bool many_inners = rope->n_spare_inners > inners + rope->inners + POOL_SLACK;
    drain_pools(rope, many_leaves ? leaves + POOL_SLACK : SIZE_MAX,
                many_inners ? inners + POOL_SLACK : SIZE_MAX);
    return fill_pools(rope, leaves, inners);
}

/* Is it one edit that needs a leaf at most, and is that in the pool, which is not too full either?
 * So it is at nearly every keystroke. */
static inline bool keystroke_fits(const struct rope *rope, size_t edits, size_t bytes)
{
    return edits <= 1 && bytes <= ONE_LEAF && rope->height > 0 && rope->n_spare_leaves >= 1 &&
           rope->n_spare_leaves <= POOL_SLACK && rope->n_spare_inners <= POOL_SLACK &&
           rope->n_spare_inners >= rope->height + 1 + 1 / (FANOUT / 2 - 1);
}

syn_err rope_reserve(struct rope *rope, size_t edits, size_t bytes)
{
    if (bytes > UINT32_MAX - rope->bytes) return SYN_ELIMIT;
    return keystroke_fits(rope, edits, bytes) ? SYN_OK : reserve_nodes(rope, edits, bytes);
}

bool rope_is_tree(const struct rope *rope)
{
    return rope->height > 0;
}

struct rope *rope_new(const syn_mem *mem)
{
    struct rope *rope = mem_zalloc(mem, sizeof *rope);
    struct leaf *leaf = mem_zalloc(mem, leaf_size(0));
    if (rope == NULL || leaf == NULL) {
        mem_free(mem, rope, sizeof *rope);
        mem_free(mem, leaf, leaf_size(0));
        return NULL;
    }
    rope->mem = mem;
    rope->root = &leaf->node;
    rope->cursor = leaf;
    rope->leaves = 1;
    return rope;
}

static void free_below(const syn_mem *mem, struct node *node, uint32_t height)
{
    if (height == 0) {
        mem_free(mem, node, leaf_size(as_leaf(node)->cap));
        return;
    }
    struct inner *inner = as_inner(node);
    for (uint32_t i = 0; i < inner->count; i++) free_below(mem, inner->child[i], height - 1);
    mem_free(mem, inner, sizeof *inner);
}

void rope_free(struct rope *rope)
{
    if (rope == NULL) return;
    free_below(rope->mem, rope->root, rope->height);
    drain_pools(rope, 0, 0);
    mem_free(rope->mem, rope, sizeof *rope);
}

void rope_trim(struct rope *rope)
{
    drain_pools(rope, 0, 0);
    if (rope->height == 0 && root_cap(rope->bytes) < as_leaf(rope->root)->cap)
        (void)resize_root(rope, root_cap(rope->bytes));
}

size_t rope_footprint(const struct rope *rope)
{
    size_t leaves = rope->height == 0 ? leaf_size(as_leaf(rope->root)->cap)
                                      : rope->leaves * leaf_size(LEAF_CAP);
    return sizeof *rope + leaves + rope->n_spare_leaves * leaf_size(LEAF_CAP) +
           ((size_t)rope->inners + rope->n_spare_inners) * sizeof(struct inner);
}
