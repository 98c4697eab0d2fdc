/* rope_read.c -- reading: sizes, pieces of text, positions in three units. */
#include "rope_impl.h"

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
    rope_settle(rope);
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
