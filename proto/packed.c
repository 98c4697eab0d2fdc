/* packed.c -- Packed: a Changes or Snapshot message under raw DEFLATE.
 *
 *     Changes   | peers run_ dep_ | op_kind      | op_len       | op_pos       | text         |
 *     DEFLATE   | block           | block        | block        | block        | block, block |
 *
 * A block of DEFLATE has one Huffman code, and columns have nothing in common but their message: a
 * position looks like no letter.  So a column of some size begins a block of its own, which takes 3
 * to 10 % off a history for no time.  Numbers are deflated by Z_FILTERED, which prefers a literal
 * to a short match: a match of three bytes, worth its place in text, costs more than three small
 * numbers.  It stays one ordinary stream.  Level 9 would save another 0.4 %, and takes twice the
 * time and more.
 *
 * Inflating is bounded three times before a byte is made: raw_size against the limit, raw_size
 * against what DEFLATE can make of so many bytes, and the output buffer is exactly raw_size. */
#include "wire.h"
#include "syncline.pb-c.h"

#include <zlib.h>

enum { RAW_DEFLATE = -15, LEVEL = 6, SOON_LEVEL = 2, MEM_LEVEL = 9 };

/* ---- zlib's memory --------------------------------------------------------------------------- */

static voidpf arena_calloc(voidpf arena, uInt items, uInt size)
{
    return arena_array(arena, items, size);
}

static void arena_ignore(voidpf arena, voidpf ptr)
{
    (void)arena;
    (void)ptr;
}

/* Z_OK: exactly one stream, exactly raw_size bytes. */
static int inflate_whole(proto_arena *arena, syn_str data, char *out, uint32_t raw_size)
{
    z_stream z = {.zalloc = arena_calloc, .zfree = arena_ignore, .opaque = arena};
    if (inflateInit2(&z, RAW_DEFLATE) != Z_OK) return Z_MEM_ERROR;
    z.next_in = (z_const Bytef *)(uintptr_t)data.data;
    z.avail_in = (uInt)data.len;
    z.next_out = (Bytef *)out;
    z.avail_out = raw_size;
    int end = inflate(&z, Z_FINISH);
    bool exact = end == Z_STREAM_END && z.avail_in == 0 && z.avail_out == 0;
    (void)inflateEnd(&z);
    if (end == Z_MEM_ERROR) return end;
    return exact ? Z_OK : Z_DATA_ERROR;
}

syn_err proto_inflate(proto_arena *arena, const struct msg_packed *packed, uint32_t max_raw,
                      syn_str *raw, struct proto_fault *fault)
{
    uint32_t max = max_raw != 0 ? max_raw : LIMIT_RAW_BYTES, size = packed->raw_size;
    if (packed->codec != 0) return refuse(fault, CODE_VERSION, "Packed: codec %u", packed->codec);
    if (size > max)
        return refuse(fault, CODE_LIMIT, "Packed: raw_size %u, more than %u", size, max);
    if (packed->data.len > UINT32_MAX || size / LIMIT_DEFLATE_RATIO > packed->data.len)
        return refuse(fault, CODE_MALFORMED, "Packed: raw_size is more than data can yield");
    arena->limit = LIMIT_CHUNK_MEMORY;
    char *out = arena_alloc(arena, size);
    if (out == NULL) return refuse_memory(arena, fault);
    int result = inflate_whole(arena, packed->data, out, size);
    if (result == Z_MEM_ERROR) return refuse_memory(arena, fault);
    if (result != Z_OK)
        return refuse(fault, CODE_MALFORMED, "Packed: data is not one stream of raw_size bytes");
    *raw = (syn_str){.data = out, .len = size};
    return SYN_OK;
}

/* ---- Deflating ------------------------------------------------------------------------------- */

enum {
    OWN_BLOCK = 256,    /* a column this long pays for a Huffman code */
    BLOCK_OVERHEAD = 16 /* of a block, beyond what deflateBound() knows of */
};

static bool is_numbers(const ProtobufCFieldDescriptor *about)
{
    switch (about->type) {
    case PROTOBUF_C_TYPE_BYTES:
    case PROTOBUF_C_TYPE_MESSAGE:
    case PROTOBUF_C_TYPE_FIXED64:
    case PROTOBUF_C_TYPE_DOUBLE:
        return false;
    default:
        return true;
    }
}

/* Where the tag of a column in one piece stands. */
static const uint8_t *tag_of(const struct field *column)
{
    const uint8_t *tag = column->at - (column->number < 16 ? 1 : 2);
    for (size_t len = column->len; len > 0; len >>= 7) tag--;
    return tag;
}

/* Deflates up to `end` and ends the block there. */
static int deflate_upto(z_stream *z, const uint8_t *end, int level, int strategy)
{
    size_t left = (size_t)(end - z->next_in);
    int err = deflateParams(z, level, strategy);
    z->avail_in = (uInt)left;
    if (err == Z_OK) err = deflate(z, Z_BLOCK);
    return err == Z_OK && z->avail_in != 0 ? Z_BUF_ERROR : err;
}

/* Ends a block before and after every long column.  Not understood: no matter, it is one block. */
static int deflate_columns(z_stream *z, const void *raw, size_t len, int level)
{
    const ProtobufCMessageDescriptor *type = &syncline__v1__changes__descriptor;
    struct field columns[WIRE_FIELDS];
    int err = Z_OK;
    if (wire_split(type, raw, len, UNKNOWN_REFUSED, columns, NULL, NULL) != SYN_OK) return Z_OK;
    for (uint32_t i = 1; err == Z_OK && i <= type->n_fields; i++) {
        const struct field *column = &columns[i];
        if (column->count == 0 || column->len < OWN_BLOCK) continue;
        if (column->at < z->next_in) continue; /* fields need not ascend */
        bool numbers = is_numbers(&type->fields[i - 1]);
        const uint8_t *tag = tag_of(column);
        if (tag - z->next_in >= OWN_BLOCK) err = deflate_upto(z, tag, level, Z_DEFAULT_STRATEGY);
        if (err == Z_OK)
            err = deflate_upto(z, column->at + column->len, level,
                               numbers ? Z_FILTERED : Z_DEFAULT_STRATEGY);
    }
    return err == Z_OK ? deflateParams(z, level, Z_DEFAULT_STRATEGY) : err;
}

static int deflate_message(z_stream *z, enum packed_inside inside, const void *raw, size_t len,
                           int level)
{
    z->next_in = (z_const Bytef *)(uintptr_t)raw;
    int err = inside == PACKED_CHANGES ? deflate_columns(z, raw, len, level) : Z_OK;
    if (err != Z_OK) return err;
    z->avail_in = (uInt)(len - (size_t)(z->next_in - (const Bytef *)raw));
    return deflate(z, Z_FINISH);
}

static syn_err deflate_whole(proto_arena *arena, enum packed_inside inside, const void *raw,
                             size_t len, int level, syn_str *out)
{
    z_stream z = {.zalloc = arena_calloc, .zfree = arena_ignore, .opaque = arena};
    if (deflateInit2(&z, level, Z_DEFLATED, RAW_DEFLATE, MEM_LEVEL, Z_DEFAULT_STRATEGY) != Z_OK)
        return SYN_ENOMEM;
    uLong room = deflateBound(&z, (uLong)len) + 2 * WIRE_FIELDS * BLOCK_OVERHEAD;
    char *data = arena_alloc(arena, room);
    if (data == NULL) {
        (void)deflateEnd(&z);
        return SYN_ENOMEM;
    }
    z.next_out = (Bytef *)data;
    z.avail_out = (uInt)room;
    int end = deflate_message(&z, inside, raw, len, level);
    *out = (syn_str){.data = data, .len = room - z.avail_out};
    (void)deflateEnd(&z);
    return end == Z_STREAM_END ? SYN_OK : SYN_ENOMEM;
}

static syn_err put_deflated(struct writer *w, enum packed_inside inside, const void *raw,
                            size_t len, int level, bool even_larger)
{
    enum { OVERHEAD = 16 }; /* of Packed around data */
    if (len > LIMIT_RAW_BYTES) return SYN_ELIMIT;
    proto_arena *arena;
    syn_err err = proto_arena_new(&arena, &w->buf->mem);
    if (err != SYN_OK) return err;
    syn_str data = {0};
    err = deflate_whole(arena, inside, raw, len, level, &data);
    if (err == SYN_OK && !even_larger && data.len + OVERHEAD >= len) err = SYN_ENOTFOUND;
    if (err == SYN_OK) {
        put_uint(w, 1, inside);
        put_uint(w, 3, len);
        put_bytes(w, 4, data);
    }
    proto_arena_free(arena);
    return err;
}

syn_err put_packed(struct writer *w, enum packed_inside inside, const void *raw, size_t len,
                   bool even_larger)
{
    return put_deflated(w, inside, raw, len, LEVEL, even_larger);
}

static syn_err packed_body(syn_buf *buf, enum packed_inside inside, const void *raw, size_t len,
                           int level)
{
    struct writer w = writer_begin(buf);
    size_t mark = field_begin(&w, FRAME_PACKED);
    syn_err err = put_deflated(&w, inside, raw, len, level, false);
    field_end(&w, mark);
    if (err != SYN_OK) buf->len = w.start;
    return err != SYN_OK ? err : writer_end(&w);
}

syn_err proto_encode_packed_body(syn_buf *buf, enum packed_inside inside, const void *raw,
                                 size_t len)
{
    return packed_body(buf, inside, raw, len, LEVEL);
}

syn_err proto_encode_packed_soon(syn_buf *buf, enum packed_inside inside, const void *raw,
                                 size_t len)
{
    return packed_body(buf, inside, raw, len, SOON_LEVEL);
}
