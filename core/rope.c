/* rope.c -- edits at the cursor (layout: rope_impl.h). */
#include "rope_impl.h"

/* ---- The gap */

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

/* Puts the gap at the end, so that the text is one piece. */
static void close_gap(struct leaf *leaf)
{
    move_gap(leaf, leaf->scalars);
}

/* ---- The cursor */

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
    rope_settle(rope);
    descend(rope, pos);
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

/* Called when the cursor leaf has got thin: an empty one goes, a small one joins a neighbour. */
static void thin_out(struct rope *rope)
{
    struct leaf *leaf = rope->cursor;
    if (leaf->node.parent == NULL) return;
    if (leaf->bytes > 0) {
        struct leaf *into = roomy_neighbour(leaf);
        if (into == NULL) return;
        pour(into, leaf);
        rope_settle_leaf(into);
    }
    rope_settle(rope);
    rope_remove_leaf(rope, leaf);
    descend(rope, rope->cursor_start);
}

/* ---- Inserting */

static inline void count_in(struct rope *rope, struct leaf *leaf, struct sums more)
{
    leaf->bytes += more.bytes;
    leaf->scalars += more.scalars;
    leaf->fours += more.fours;
    rope->bytes += more.bytes;
    rope->scalars += more.scalars;
    rope->fours += more.fours;
}

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

void rope_lay_out(struct rope *rope, struct leaf *leaf, const struct parts *parts)
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
            rope_settle_leaf(leaf);
        } else {
            struct leaf *right = rope_take_leaf(rope);
            fill_leaf(right, parts, from, to);
            rope_insert_node(rope, &leaf->node, &right->node, leaf_sums(right));
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
    rope_settle(rope);
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
    rope_lay_out(rope, leaf, &parts);
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

bool rope_can_type(const struct rope *rope, size_t pos)
{
    const struct leaf *leaf = rope->cursor;
    return pos == (size_t)rope->cursor_start + leaf->gap_scalars && leaf->bytes < leaf->cap &&
           rope->bytes < UINT32_MAX;
}

void rope_type(struct rope *rope, char ascii)
{
    struct leaf *leaf = rope->cursor;
    assert(leaf->bytes < leaf->cap && (ascii & 0x80) == 0);
    leaf->text[leaf->gap++] = ascii;
    leaf->gap_scalars++;
    count_in(rope, leaf, (struct sums){1, 1, 0});
}

/* ---- Deleting */

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
