/* rope_impl.h -- a B+tree whose leaves are gap buffers: its data, and what its parts share.
 *
 *      inner   [ bytes... | scalars... | four-byte... | child... ]     sums of each child's subtree
 *      leaf    [ text before the gap |   free   | text behind it ]     at most LEAF_CAP bytes
 *
 * Every leaf keeps its gap where it was edited last, and how many scalars stand before it; so
 * typing and backspacing cost a few bytes each, in any script.  A plain array in the leaf would
 * move half of it at each key.
 *
 * The leaf edited last is the cursor.  Its own counters are exact at once; those above it are
 * brought up to date (settle) only when the cursor leaves it or when somebody asks for a position.
 *
 * A short text is one root leaf without a tree above it, whose block grows in steps of LEAF_STEP
 * up to ROOT_CAP: most documents are small, and most of what they take should be their text.  The
 * edit that would overflow it plants a tree, of leaves of LEAF_CAP each.
 *
 * Nodes come from a pool that rope_reserve() fills, and go back to it, so edits never allocate. The
 * last call of rope_reserve() counts, reservations do not add up. */
#ifndef SYN_CORE_ROPE_IMPL_H
#define SYN_CORE_ROPE_IMPL_H

#include "rope.h"
#include "utf8.h"

enum {
#ifdef SYN_STRESS
    LEAF_CAP = 8,
    LEAF_STEP = 4,
    FANOUT = 4,
#else
    LEAF_CAP = 1024,
    LEAF_STEP = 16,
    FANOUT = 32,
#endif
    ROOT_CAP = 2 * LEAF_CAP,             /* of a leaf without a tree */
    LEAF_FILL = LEAF_CAP - 3,            /* what a leaf surely takes of text cut between scalars */
    ONE_LEAF = 2 * LEAF_FILL - LEAF_CAP, /* what an insert that splits one leaf in two can bring */
    POOL_SLACK = 16                      /* spare nodes that are not worth giving back */
};

struct inner;

/* What both kinds of node begin with. */
struct node {
    struct inner *parent; /* in the pool: the next spare node */
    uint32_t slot;        /* index in the parent */
};

struct leaf {
    struct node node;
    uint32_t cap, bytes, scalars, fours;
    uint32_t gap;         /* bytes before the gap, which is cap - bytes wide */
    uint32_t gap_scalars; /* scalars before the gap */
    char text[];
};

struct inner {
    struct node node;
    uint32_t count;
    uint32_t bytes[FANOUT], scalars[FANOUT], fours[FANOUT];
    struct node *child[FANOUT];
};

struct rope {
    const syn_mem *mem;
    struct node *root; /* a leaf when height is 0 */
    struct leaf *cursor;
    struct node *spare_leaves, *spare_inners;
    uint32_t n_spare_leaves, n_spare_inners;
    uint32_t cursor_start; /* scalars before the cursor leaf */
    uint32_t bytes, scalars, fours;
    uint32_t height;         /* levels of inner nodes */
    uint32_t leaves, inners; /* in the tree */
};

/* Counters of a subtree; differences wrap, which unsigned arithmetic undoes. */
struct sums {
    uint32_t bytes, scalars, fours;
};

static inline struct leaf *as_leaf(struct node *node)
{
    return (struct leaf *)(void *)node;
}

static inline struct inner *as_inner(struct node *node)
{
    return (struct inner *)(void *)node;
}

/* ---- Leaves */

static inline const char *behind_gap(const struct leaf *leaf)
{
    return leaf->text + (leaf->gap + (leaf->cap - leaf->bytes));
}

static inline struct sums leaf_sums(const struct leaf *leaf)
{
    return (struct sums){leaf->bytes, leaf->scalars, leaf->fours};
}

/* Bytes before scalar `at` of the leaf. */
static inline uint32_t leaf_offset(const struct leaf *leaf, uint32_t at)
{
    if (leaf->bytes == leaf->scalars) return at; /* all ASCII */
    if (at == leaf->gap_scalars) return leaf->gap;
    if (at < leaf->gap_scalars) return (uint32_t)utf8_offset(leaf->text, leaf->gap, at);
    return leaf->gap +
           (uint32_t)utf8_offset(behind_gap(leaf), leaf->bytes - leaf->gap, at - leaf->gap_scalars);
}

/* Valid text of so many bytes and scalars cannot hold a four-byte one unless it is three longer. */
static inline uint32_t fours_in(const char *utf8, uint32_t bytes, uint32_t scalars)
{
    return bytes < scalars + 3 ? 0 : (uint32_t)utf8_count4(utf8, bytes);
}

/* The two pieces of text in the bytes [from, to) of the leaf; either may be empty. */
static inline void leaf_pieces(const struct leaf *leaf, uint32_t from, uint32_t to,
                               syn_str piece[2])
{
    uint32_t head_end = to < leaf->gap ? to : leaf->gap;
    uint32_t tail_start = from > leaf->gap ? from : leaf->gap;
    piece[0] = (syn_str){leaf->text + from, from < head_end ? head_end - from : 0};
    piece[1] = (syn_str){behind_gap(leaf) + (tail_start - leaf->gap),
                         tail_start < to ? to - tail_start : 0};
}

static inline size_t leaf_size(uint32_t cap)
{
    return sizeof(struct leaf) + cap;
}

static inline struct sums slot_sums(const struct inner *inner, uint32_t slot)
{
    return (struct sums){inner->bytes[slot], inner->scalars[slot], inner->fours[slot]};
}

static inline struct sums minus(struct sums a, struct sums b)
{
    return (struct sums){a.bytes - b.bytes, a.scalars - b.scalars, a.fours - b.fours};
}

static inline struct sums inner_sums(const struct inner *inner)
{
    struct sums all = {0, 0, 0};
    for (uint32_t i = 0; i < inner->count; i++) {
        all.bytes += inner->bytes[i];
        all.scalars += inner->scalars[i];
        all.fours += inner->fours[i];
    }
    return all;
}

/* ---- rope_pool.c: spare nodes */

struct leaf *rope_take_leaf(struct rope *rope);
struct inner *rope_take_inner(struct rope *rope);
void rope_put_spare(struct node **list, uint32_t *n, struct node *node);

/* ---- rope.c: text cut anew */

struct parts { /* text in up to three pieces */
    syn_str piece[3];
    size_t total;
};
/* Lays the parts out in `leaf`, which is empty, or in new leaves to the right of it when it is not:
 * as many as needed, filled alike. */
void rope_lay_out(struct rope *rope, struct leaf *leaf, const struct parts *parts);

/* ---- rope_tree.c: nodes in their order, and their counters */

void rope_settle_leaf(const struct leaf *leaf);
/* Brings the counters above the cursor up to date.  A cache, so readers may do it too. */
void rope_settle(const struct rope *rope);
/* Puts `node` to the right of `left`, on the same level, and counts it everywhere above. */
void rope_insert_node(struct rope *rope, struct node *left, struct node *node, struct sums sums);
/* Takes an empty leaf, counted as empty above, out of the tree. */
void rope_remove_leaf(struct rope *rope, struct leaf *leaf);

#endif
