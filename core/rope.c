/* rope.c -- a B+tree whose leaves are gap buffers.
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
 * A short text is one root leaf without a tree above it, whose block grows in steps of LEAF_STEP;
 * only a leaf under an inner node has the full LEAF_CAP.
 *
 * Nodes come from a pool that rope_reserve() fills, and go back to it, so edits never allocate. The
 * last call of rope_reserve() counts, reservations do not add up. */
#include "rope.h"
#include "utf8.h"

#include <stdio.h>
#include <stdlib.h>

enum {
#ifdef SYN_STRESS
    LEAF_CAP = 8,
    LEAF_STEP = 4,
    FANOUT = 4,
#else
    LEAF_CAP = 1024,
    LEAF_STEP = 64,
    FANOUT = 32,
#endif
    LEAF_FILL = LEAF_CAP - 3, /* what a leaf surely takes of text cut between scalars */
    POOL_SLACK = 16           /* spare nodes that are not worth giving back */
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

/* ---- Leaves ------------------------------------------------------------------------------------
 */

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

static inline void move_gap(struct leaf *leaf, uint32_t at)
{
    if (at == leaf->gap_scalars) return;
    uint32_t to = leaf_offset(leaf, at), width = leaf->cap - leaf->bytes;
    if (to < leaf->gap)
        memmove(leaf->text + to + width, leaf->text + to, leaf->gap - to);
    else
        memmove(leaf->text + leaf->gap, leaf->text + leaf->gap + width, to - leaf->gap);
    leaf->gap = to;
    leaf->gap_scalars = at;
}

/* Valid text of so many bytes and scalars cannot hold a four-byte one unless it is three longer. */
static inline uint32_t fours_in(const char *utf8, uint32_t bytes, uint32_t scalars)
{
    return bytes < scalars + 3 ? 0 : (uint32_t)utf8_count4(utf8, bytes);
}

/* The two pieces of text in the bytes [from, to) of the leaf; either may be empty. */
static void leaf_pieces(const struct leaf *leaf, uint32_t from, uint32_t to, syn_str piece[2])
{
    uint32_t head_end = to < leaf->gap ? to : leaf->gap;
    uint32_t tail_start = from > leaf->gap ? from : leaf->gap;
    piece[0] = (syn_str){leaf->text + from, from < head_end ? head_end - from : 0};
    piece[1] = (syn_str){behind_gap(leaf) + (tail_start - leaf->gap),
                         tail_start < to ? to - tail_start : 0};
}

/* Puts the gap at the end, so that the text is one piece. */
static void close_gap(struct leaf *leaf)
{
    move_gap(leaf, leaf->scalars);
}

/* ---- Nodes and counters ------------------------------------------------------------------------
 */

static size_t leaf_size(uint32_t cap)
{
    return sizeof(struct leaf) + cap;
}

static struct leaf *take_leaf(struct rope *rope)
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

static struct inner *take_inner(struct rope *rope)
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

static void push_spare(struct node **list, uint32_t *n, struct node *node)
{
    node->parent = (struct inner *)(void *)*list;
    *list = node;
    (*n)++;
}

static inline struct sums slot_sums(const struct inner *inner, uint32_t slot)
{
    return (struct sums){inner->bytes[slot], inner->scalars[slot], inner->fours[slot]};
}

static inline struct sums minus(struct sums a, struct sums b)
{
    return (struct sums){a.bytes - b.bytes, a.scalars - b.scalars, a.fours - b.fours};
}

/* Adds to what every ancestor knows about `node`. */
static void add_above(const struct node *node, struct sums more)
{
    for (; node->parent != NULL; node = &node->parent->node) {
        node->parent->bytes[node->slot] += more.bytes;
        node->parent->scalars[node->slot] += more.scalars;
        node->parent->fours[node->slot] += more.fours;
    }
}

static void settle_leaf(const struct leaf *leaf)
{
    if (leaf->node.parent == NULL) return;
    struct sums due = minus(leaf_sums(leaf), slot_sums(leaf->node.parent, leaf->node.slot));
    if ((due.bytes | due.scalars | due.fours) != 0) add_above(&leaf->node, due);
}

/* Brings the counters above the cursor up to date.  A cache, so readers may do it too. */
static void settle(const struct rope *rope)
{
    settle_leaf(rope->cursor);
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

/* ---- Growing ------------------------------------------------------------------------------------
 */

static struct sums inner_sums(const struct inner *inner)
{
    struct sums all = {0, 0, 0};
    for (uint32_t i = 0; i < inner->count; i++) {
        all.bytes += inner->bytes[i];
        all.scalars += inner->scalars[i];
        all.fours += inner->fours[i];
    }
    return all;
}

static void grow_root(struct rope *rope)
{
    struct inner *root = take_inner(rope);
    struct sums all =
        rope->height == 0 ? leaf_sums(as_leaf(rope->root)) : inner_sums(as_inner(rope->root));
    push_child(root, rope->root, all);
    rope->root = &root->node;
    rope->height++;
}

static void insert_node(struct rope *rope, struct node *left, struct node *node, struct sums sums);

static void split_inner(struct rope *rope, struct inner *inner)
{
    struct inner *right = take_inner(rope);
    if (inner->node.parent == NULL) grow_root(rope);
    struct sums moved = move_children(right, inner, FANOUT / 2);
    add_above(&inner->node, minus((struct sums){0, 0, 0}, moved));
    insert_node(rope, &inner->node, &right->node, moved);
}

/* Puts `node` to the right of `left`, on the same level, and counts it everywhere above. */
static void insert_node(struct rope *rope, struct node *left, struct node *node, struct sums sums)
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

/* ---- Shrinking ----------------------------------------------------------------------------------
 */

static void drop_inner(struct rope *rope, struct inner *inner)
{
    push_spare(&rope->spare_inners, &rope->n_spare_inners, &inner->node);
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
static void remove_leaf(struct rope *rope, struct leaf *leaf)
{
    struct inner *parent = leaf->node.parent;
    drop_slot(parent, leaf->node.slot);
    push_spare(&rope->spare_leaves, &rope->n_spare_leaves, &leaf->node);
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

/* The neighbour under the same parent that takes the leaf's text and stays half empty, or NULL. */
static struct leaf *roomy_neighbour(const struct leaf *leaf)
{
    const struct inner *parent = leaf->node.parent;
    uint32_t slot = leaf->node.slot;
    if (slot > 0 && parent->bytes[slot - 1] + leaf->bytes <= LEAF_CAP / 2)
        return as_leaf(parent->child[slot - 1]);
    if (slot + 1 < parent->count && parent->bytes[slot + 1] + leaf->bytes <= LEAF_CAP / 2)
        return as_leaf(parent->child[slot + 1]);
    return NULL;
}

static void pour(struct leaf *into, struct leaf *leaf)
{
    bool in_front = into->node.slot > leaf->node.slot;
    close_gap(leaf);
    move_gap(into, in_front ? 0 : into->scalars);
    memcpy(into->text + into->gap, leaf->text, leaf->bytes);
    into->gap += leaf->bytes;
    into->gap_scalars += leaf->scalars;
    into->bytes += leaf->bytes;
    into->scalars += leaf->scalars;
    into->fours += leaf->fours;
    leaf->bytes = leaf->scalars = leaf->fours = leaf->gap = leaf->gap_scalars = 0;
}

/* ---- The cursor ---------------------------------------------------------------------------------
 */

/* Makes the leaf of scalar pos the cursor (at the end of the text: the last leaf).  The counters
 * are settled. */
static void descend(struct rope *rope, uint32_t pos)
{
    struct node *node = rope->root;
    uint32_t left = pos;
    for (uint32_t level = rope->height; level > 0; level--) {
        const struct inner *inner = as_inner(node);
        uint32_t i = 0, last = inner->count - 1;
        while (i < last && left >= inner->scalars[i]) left -= inner->scalars[i++];
        node = inner->child[i];
    }
    rope->cursor = as_leaf(node);
    rope->cursor_start = pos - left;
}

static void seek(struct rope *rope, uint32_t pos)
{
    settle(rope);
    descend(rope, pos);
}

/* Called when the cursor leaf has got thin: an empty one goes, a small one joins a neighbour. */
static void thin_out(struct rope *rope)
{
    struct leaf *leaf = rope->cursor;
    if (leaf->node.parent == NULL) return;
    if (leaf->bytes > 0) {
        struct leaf *into = roomy_neighbour(leaf);
        if (into == NULL) return;
        pour(into, leaf);
        settle_leaf(into);
    }
    settle(rope);
    remove_leaf(rope, leaf);
    descend(rope, rope->cursor_start);
}

/* ---- Inserting ----------------------------------------------------------------------------------
 */

static inline void count_in(struct rope *rope, struct leaf *leaf, struct sums more)
{
    leaf->bytes += more.bytes;
    leaf->scalars += more.scalars;
    leaf->fours += more.fours;
    rope->bytes += more.bytes;
    rope->scalars += more.scalars;
    rope->fours += more.fours;
}

/* Text in up to three pieces, to be cut anew. */
struct parts {
    syn_str piece[3];
    size_t total;
};

static char byte_of(const struct parts *parts, size_t at)
{
    const syn_str *p = parts->piece;
    for (; at >= p->len; p++) at -= p->len;
    return p->data[at];
}

/* Fills an empty leaf with the bytes [from, to). */
static void fill_leaf(struct leaf *leaf, const struct parts *parts, size_t from, size_t to)
{
    uint32_t n = 0;
    for (int i = 0; i < 3; i++) {
        syn_str p = parts->piece[i];
        if (from < p.len && to > 0) {
            size_t end = to < p.len ? to : p.len;
            memcpy(leaf->text + n, p.data + from, end - from);
            n += (uint32_t)(end - from);
        }
        from = from > p.len ? from - p.len : 0;
        to = to > p.len ? to - p.len : 0;
    }
    leaf->bytes = leaf->gap = n;
    leaf->scalars = leaf->gap_scalars = (uint32_t)utf8_count(leaf->text, n);
    leaf->fours = fours_in(leaf->text, n, leaf->scalars);
}

/* Lays the parts out in `leaf`, which is empty, or in new leaves to the right of it when it is not:
 * as many as needed, filled alike. */
static void lay_out(struct rope *rope, struct leaf *leaf, const struct parts *parts)
{
    size_t count = (parts->total + LEAF_FILL - 1) / LEAF_FILL;
    size_t quota = (parts->total + count - 1) / count, from = 0;
    while (from < parts->total) {
        /* rounding down loses 3 bytes at most, so this is `count` leaves or fewer, none empty */
        size_t to = from + quota + 3;
        if (to >= parts->total)
            to = parts->total;
        else
            while (((unsigned char)byte_of(parts, to) & 0xC0) == 0x80) to--;
        if (leaf->bytes == 0) {
            fill_leaf(leaf, parts, from, to);
            settle_leaf(leaf);
        } else {
            struct leaf *right = take_leaf(rope);
            fill_leaf(right, parts, from, to);
            insert_node(rope, &leaf->node, &right->node, leaf_sums(right));
            leaf = right;
        }
        from = to;
    }
}

/* Inserts at the cursor leaf's gap what does not fit into the leaf. */
static void insert_and_split(struct rope *rope, const char *utf8, struct sums more)
{
    struct leaf *leaf = rope->cursor;
    char old[LEAF_CAP];
    struct parts parts = {.piece = {{0}}};
    settle(rope);
    uint32_t pos = rope->cursor_start + leaf->gap_scalars;
    bool append = pos == rope->scalars && leaf->bytes >= LEAF_CAP / 2;
    parts.piece[1] = (syn_str){utf8, more.bytes};
    parts.total = more.bytes;
    if (!append) {
        syn_str both[2];
        leaf_pieces(leaf, 0, leaf->bytes, both);
        parts.total += leaf->bytes;
        if (both[0].len > 0) memcpy(old, both[0].data, both[0].len);
        if (both[1].len > 0) memcpy(old + both[0].len, both[1].data, both[1].len);
        parts.piece[0] = (syn_str){old, both[0].len};
        parts.piece[2] = (syn_str){old + both[0].len, both[1].len};
        leaf->bytes = leaf->scalars = leaf->fours = leaf->gap = leaf->gap_scalars = 0;
    }
    lay_out(rope, leaf, &parts);
    rope->bytes += more.bytes;
    rope->scalars += more.scalars;
    rope->fours += more.fours;
    seek(rope, pos + more.scalars);
}

void rope_insert(struct rope *rope, size_t pos, const char *utf8, size_t bytes, size_t len)
{
    assert(pos <= rope->scalars && bytes >= len);
    if (bytes == 0) return;
    struct sums more = {(uint32_t)bytes, (uint32_t)len, 0};
    more.fours = fours_in(utf8, more.bytes, more.scalars);
    uint32_t at = (uint32_t)pos - rope->cursor_start;
    if (at > rope->cursor->scalars) { /* also when pos is before it: then `at` wrapped */
        seek(rope, (uint32_t)pos);
        at = (uint32_t)pos - rope->cursor_start;
    }
    struct leaf *leaf = rope->cursor;
    move_gap(leaf, at);
    if (bytes > leaf->cap - leaf->bytes) {
        insert_and_split(rope, utf8, more);
        return;
    }
    if (bytes == 1) /* a keystroke; not worth a call */
        leaf->text[leaf->gap] = utf8[0];
    else
        memcpy(leaf->text + leaf->gap, utf8, bytes);
    leaf->gap += more.bytes;
    leaf->gap_scalars += more.scalars;
    count_in(rope, leaf, more);
}

/* ---- Deleting -----------------------------------------------------------------------------------
 */

/* Removes `len` scalars at `at` from the leaf and says what went. */
static inline struct sums cut_leaf(struct leaf *leaf, uint32_t at, uint32_t len)
{
    struct sums gone = {0, len, 0};
    const char *text;
    if (at + len == leaf->gap_scalars) { /* backspace: the gap grows to the left */
        uint32_t from = leaf->gap - 1;
        if (len == 1)
            while (((unsigned char)leaf->text[from] & 0xC0) == 0x80) from--;
        else
            from = leaf_offset(leaf, at);
        text = leaf->text + from;
        gone.bytes = leaf->gap - from;
        leaf->gap = from;
        leaf->gap_scalars = at;
    } else { /* to the right */
        move_gap(leaf, at);
        text = behind_gap(leaf);
        gone.bytes = leaf->bytes == leaf->scalars
                         ? len
                         : (uint32_t)utf8_offset(text, leaf->bytes - leaf->gap, len);
    }
    if (leaf->fours > 0) gone.fours = fours_in(text, gone.bytes, len);
    return gone;
}

void rope_delete(struct rope *rope, size_t pos, size_t len)
{
    assert(pos <= rope->scalars && len <= rope->scalars - pos);
    uint32_t left = (uint32_t)len;
    while (left > 0) {
        uint32_t at = (uint32_t)pos - rope->cursor_start;
        if (at >= rope->cursor->scalars) {
            seek(rope, (uint32_t)pos);
            at = (uint32_t)pos - rope->cursor_start;
        }
        struct leaf *leaf = rope->cursor;
        uint32_t here = leaf->scalars - at < left ? leaf->scalars - at : left;
        struct sums gone = cut_leaf(leaf, at, here);
        count_in(rope, leaf, minus((struct sums){0, 0, 0}, gone));
        left -= here;
        if (leaf->bytes < LEAF_CAP / 4) thin_out(rope);
    }
}

/* ---- Reserving ----------------------------------------------------------------------------------
 */

/* Gives the root leaf of a short text room for `bytes` more, as far as a leaf goes. */
static syn_err widen_root(struct rope *rope, size_t bytes)
{
    struct leaf *leaf = as_leaf(rope->root);
    size_t want = leaf->bytes + bytes;
    want = want >= LEAF_CAP ? LEAF_CAP : (want + LEAF_STEP - 1) / LEAF_STEP * LEAF_STEP;
    uint32_t cap = (uint32_t)want, tail = leaf->bytes - leaf->gap;
    if (cap <= leaf->cap) return SYN_OK;
    leaf = mem_resize(rope->mem, leaf, leaf_size(leaf->cap), leaf_size(cap));
    if (leaf == NULL) return SYN_ENOMEM;
    memmove(leaf->text + cap - tail, leaf->text + leaf->cap - tail, tail);
    leaf->cap = cap;
    rope->root = &leaf->node;
    rope->cursor = leaf;
    return SYN_OK;
}

static syn_err fill_pool(const syn_mem *mem, struct node **list, uint32_t *n, size_t want,
                         size_t size)
{
    while (*n < want) {
        struct node *node = mem_alloc(mem, size);
        if (node == NULL) return SYN_ENOMEM;
        push_spare(list, n, node);
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
 * each may split a leaf that is full now, or else has to fill half of one before. */
static size_t leaves_needed(const struct rope *rope, size_t edits, size_t bytes)
{
    if (bytes == 0) return 0; /* deletes give back only */
    if (edits <= 1) return (LEAF_CAP + bytes + LEAF_FILL - 1) / LEAF_FILL - 1;
    size_t each = 2 * edits + bytes / LEAF_FILL;
#ifdef SYN_STRESS
    (void)rope; /* in leaves this small, rounding to whole scalars defeats the better bound */
    return each;
#else
    size_t together = bytes / (LEAF_CAP / 4) + rope->leaves + 2;
    return each < together ? each : together;
#endif
}

/* Inner nodes for so many new leaves: an edit may split one per level and the root, and half a node
 * of new children has to come in before the next. */
static size_t inners_needed(const struct rope *rope, size_t edits, size_t leaves)
{
    if (leaves == 0) return 0;
    size_t paths = edits < leaves ? edits : leaves;
    return paths * (rope->height + 1) + leaves / (FANOUT / 2 - 1) + (leaves > 2 ? 4 : 0);
}

syn_err rope_reserve(struct rope *rope, size_t edits, size_t bytes)
{
    if (bytes > UINT32_MAX - rope->bytes) return SYN_ELIMIT;
    if (rope->height == 0) {
        if (bytes <= as_leaf(rope->root)->cap - rope->bytes) return SYN_OK;
        if (widen_root(rope, bytes) != SYN_OK) return SYN_ENOMEM;
        if (rope->bytes + bytes <= LEAF_CAP) return SYN_OK;
    }
    if (edits > bytes) edits = bytes; /* the others insert nothing */
    size_t leaves = leaves_needed(rope, edits, bytes);
    size_t inners = inners_needed(rope, edits, leaves);
    if (rope->n_spare_leaves > leaves + rope->leaves + POOL_SLACK)
        drain_pool(rope->mem, &rope->spare_leaves, &rope->n_spare_leaves, leaves + POOL_SLACK,
                   leaf_size(LEAF_CAP));
    if (rope->n_spare_inners > inners + rope->inners + POOL_SLACK)
        drain_pool(rope->mem, &rope->spare_inners, &rope->n_spare_inners, inners + POOL_SLACK,
                   sizeof(struct inner));
    if (rope->n_spare_leaves >= leaves && rope->n_spare_inners >= inners) return SYN_OK;
    syn_err err = fill_pool(rope->mem, &rope->spare_leaves, &rope->n_spare_leaves, leaves,
                            leaf_size(LEAF_CAP));
    if (err != SYN_OK) return err;
    return fill_pool(rope->mem, &rope->spare_inners, &rope->n_spare_inners, inners,
                     sizeof(struct inner));
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
    drain_pool(rope->mem, &rope->spare_leaves, &rope->n_spare_leaves, 0, leaf_size(LEAF_CAP));
    drain_pool(rope->mem, &rope->spare_inners, &rope->n_spare_inners, 0, sizeof(struct inner));
    mem_free(rope->mem, rope, sizeof *rope);
}

/* ---- Reading ------------------------------------------------------------------------------------
 */

size_t rope_bytes(const struct rope *rope)
{
    return rope->bytes;
}

size_t rope_len(const struct rope *rope)
{
    return rope->scalars;
}

size_t rope_utf16(const struct rope *rope)
{
    return (size_t)rope->scalars + rope->fours;
}

enum unit { SCALAR, UTF16, BYTE };

static size_t measure(struct sums sums, enum unit unit)
{
    if (unit == BYTE) return sums.bytes;
    return sums.scalars + (unit == UTF16 ? (size_t)sums.fours : 0);
}

/* The leaf of that place (the last, at the end of the text); *at becomes the rest within the leaf,
 * *before what stands in front of it. */
static struct leaf *find(const struct rope *rope, enum unit unit, size_t *at, struct sums *before)
{
    settle(rope);
    *before = (struct sums){0, 0, 0};
    struct node *node = rope->root;
    for (uint32_t level = rope->height; level > 0; level--) {
        const struct inner *inner = as_inner(node);
        uint32_t i = 0;
        for (; i + 1 < inner->count; i++) {
            struct sums sums = slot_sums(inner, i);
            size_t size = measure(sums, unit);
            if (*at < size) break;
            *at -= size;
            before->bytes += sums.bytes;
            before->scalars += sums.scalars;
            before->fours += sums.fours;
        }
        node = inner->child[i];
    }
    return as_leaf(node);
}

static struct leaf *next_leaf(const struct leaf *leaf)
{
    const struct node *node = &leaf->node;
    uint32_t up = 0;
    while (node->parent != NULL && node->slot + 1 == node->parent->count) {
        node = &node->parent->node;
        up++;
    }
    if (node->parent == NULL) return NULL;
    struct node *down = node->parent->child[node->slot + 1];
    for (; up > 0; up--) down = as_inner(down)->child[0];
    return as_leaf(down);
}

void rope_visit(const struct rope *rope, size_t pos, size_t len,
                void (*visit)(void *user, const char *utf8, size_t bytes), void *user)
{
    assert(pos <= rope->scalars && len <= rope->scalars - pos);
    struct sums before;
    struct leaf *leaf = len > 0 ? find(rope, SCALAR, &pos, &before) : NULL;
    for (; len > 0; leaf = next_leaf(leaf), pos = 0) {
        size_t here = leaf->scalars - pos < len ? leaf->scalars - pos : len;
        syn_str piece[2];
        leaf_pieces(leaf, leaf_offset(leaf, (uint32_t)pos),
                    leaf_offset(leaf, (uint32_t)(pos + here)), piece);
        if (piece[0].len > 0) visit(user, piece[0].data, piece[0].len);
        if (piece[1].len > 0) visit(user, piece[1].data, piece[1].len);
        len -= here;
    }
}

size_t rope_to_byte(const struct rope *rope, size_t pos)
{
    if (pos >= rope->scalars) return rope->bytes;
    struct sums before;
    const struct leaf *leaf = find(rope, SCALAR, &pos, &before);
    return (size_t)before.bytes + leaf_offset(leaf, (uint32_t)pos);
}

size_t rope_to_utf16(const struct rope *rope, size_t pos)
{
    if (pos >= rope->scalars) return rope_utf16(rope);
    if (rope->fours == 0) return pos;
    struct sums before;
    const struct leaf *leaf = find(rope, SCALAR, &pos, &before);
    syn_str piece[2];
    leaf_pieces(leaf, 0, leaf_offset(leaf, (uint32_t)pos), piece);
    return (size_t)before.scalars + before.fours + pos + utf8_count4(piece[0].data, piece[0].len) +
           utf8_count4(piece[1].data, piece[1].len);
}

size_t rope_from_byte(const struct rope *rope, size_t byte)
{
    if (byte >= rope->bytes) return rope->scalars;
    if (rope->bytes == rope->scalars) return byte;
    struct sums before;
    const struct leaf *leaf = find(rope, BYTE, &byte, &before);
    /* with the byte itself, less one: counts its scalar wherever in it the byte is */
    syn_str piece[2];
    leaf_pieces(leaf, 0, (uint32_t)byte + 1, piece);
    return before.scalars + utf8_count(piece[0].data, piece[0].len) +
           utf8_count(piece[1].data, piece[1].len) - 1;
}

size_t rope_from_utf16(const struct rope *rope, size_t utf16)
{
    if (utf16 >= rope_utf16(rope)) return rope->scalars;
    if (rope->fours == 0) return utf16;
    struct sums before;
    const struct leaf *leaf = find(rope, UTF16, &utf16, &before);
    syn_str piece[2];
    leaf_pieces(leaf, 0, leaf->bytes, piece);
    size_t scalars = 0, units = 0;
    for (int i = 0; i < 2; i++)
        for (size_t b = 0; b < piece[i].len; b++) {
            unsigned char c = (unsigned char)piece[i].data[b];
            if ((c & 0xC0) == 0x80) continue;
            units += c >= 0xF0 ? 2 : 1;
            if (units > utf16) return before.scalars + scalars;
            scalars++;
        }
    return before.scalars + scalars;
}

size_t rope_footprint(const struct rope *rope)
{
    size_t leaves = rope->height == 0 ? leaf_size(as_leaf(rope->root)->cap)
                                      : rope->leaves * leaf_size(LEAF_CAP);
    return sizeof *rope + leaves + rope->n_spare_leaves * leaf_size(LEAF_CAP) +
           ((size_t)rope->inners + rope->n_spare_inners) * sizeof(struct inner);
}

/* ---- Checking -----------------------------------------------------------------------------------
 */

static void must(bool holds, const char *what)
{
    if (holds) return;
    (void)fprintf(stderr, "rope: broken invariant: %s\n", what);
    abort();
}

static void check_leaf(const struct rope *rope, const struct leaf *leaf)
{
    size_t head = 0, tail = 0;
    must(leaf->bytes <= leaf->cap && leaf->gap <= leaf->bytes, "leaf sizes");
    must(rope->height == 0 ? leaf->cap <= LEAF_CAP : leaf->cap == LEAF_CAP, "leaf capacity");
    must(rope->height == 0 || leaf->bytes > 0, "no empty leaf");
    const char *behind = behind_gap(leaf);
    must(utf8_valid(leaf->text, leaf->gap, &head), "valid UTF-8 before the gap");
    must(utf8_valid(behind, leaf->bytes - leaf->gap, &tail), "valid UTF-8 behind the gap");
    must(head == leaf->gap_scalars, "scalars before the gap");
    must(head + tail == leaf->scalars, "scalars in the leaf");
    must(utf8_count4(leaf->text, leaf->gap) + utf8_count4(behind, leaf->bytes - leaf->gap) ==
             leaf->fours,
         "four-byte scalars in the leaf");
}

struct census {
    uint32_t leaves, inners, scalars, cursor_start;
    bool cursor_seen;
};

static struct sums check_below(const struct rope *rope, struct node *node, uint32_t height,
                               struct census *census)
{
    if (height == 0) {
        const struct leaf *leaf = as_leaf(node);
        check_leaf(rope, leaf);
        if (leaf == rope->cursor) {
            census->cursor_seen = true;
            census->cursor_start = census->scalars;
        }
        census->leaves++;
        census->scalars += leaf->scalars;
        return leaf_sums(leaf);
    }
    const struct inner *inner = as_inner(node);
    must(inner->count > 0 && inner->count <= FANOUT, "fan-out");
    census->inners++;
    for (uint32_t i = 0; i < inner->count; i++) {
        must(inner->child[i]->parent == inner && inner->child[i]->slot == i, "link to the parent");
        struct sums is = check_below(rope, inner->child[i], height - 1, census);
        struct sums said = slot_sums(inner, i);
        must(is.bytes == said.bytes && is.scalars == said.scalars && is.fours == said.fours,
             "counters of a subtree");
    }
    return inner_sums(inner);
}

static uint32_t list_length(const struct node *node)
{
    uint32_t n = 0;
    for (; node != NULL; node = (const struct node *)(const void *)node->parent) n++;
    return n;
}

void rope_check(const struct rope *rope)
{
    settle(rope);
    struct census census = {0, 0, 0, 0, false};
    must(rope->root->parent == NULL, "the root has no parent");
    must(rope->height == 0 || as_inner(rope->root)->count > 1, "the root has two children");
    struct sums all = check_below(rope, rope->root, rope->height, &census);
    must(all.bytes == rope->bytes && all.scalars == rope->scalars && all.fours == rope->fours,
         "counters of the text");
    must(census.leaves == rope->leaves && census.inners == rope->inners, "number of nodes");
    must(census.cursor_seen && census.cursor_start == rope->cursor_start, "the cursor");
    must(list_length(rope->spare_leaves) == rope->n_spare_leaves &&
             list_length(rope->spare_inners) == rope->n_spare_inners,
         "the pools");
}
