/* writer.c -- protobuf's wire format, written: ascending fields, defaults left out, columns packed.
 *
 * A failed allocation is remembered and everything after it ignored, so that the code that writes a
 * message needs no check per field; writer_end() reports it and restores the buffer. */
#include "wire.h"

#include <stdlib.h>

void syn_buf_free(syn_buf *buf)
{
    syn_mem mem = proto_mem(&buf->mem);
    mem_free(&mem, buf->data, buf->cap);
    buf->data = NULL;
    buf->len = buf->cap = 0;
}

static syn_err reserve(syn_buf *buf, size_t more)
{
    if (more <= buf->cap - buf->len) return SYN_OK;
    if (more > SIZE_MAX / 2 - buf->len) return SYN_ENOMEM;
    size_t cap = buf->cap < 64 ? 64 : buf->cap * 2;
    if (cap < buf->len + more) cap = buf->len + more;
    syn_mem mem = proto_mem(&buf->mem);
    char *data = mem_resize(&mem, buf->data, buf->cap, cap);
    if (data == NULL) return SYN_ENOMEM;
    buf->data = data;
    buf->cap = cap;
    return SYN_OK;
}

syn_err syn_buf_append(syn_buf *buf, const void *data, size_t len)
{
    if (len == 0) return SYN_OK;
    syn_err err = reserve(buf, len);
    if (err != SYN_OK) return err;
    memcpy(buf->data + buf->len, data, len);
    buf->len += len;
    return SYN_OK;
}

struct writer writer_begin(syn_buf *buf)
{
    return (struct writer){.buf = buf, .start = buf->len};
}

syn_err writer_end(struct writer *w)
{
    if (!w->failed) return SYN_OK;
    w->buf->len = w->start;
    return SYN_ENOMEM;
}

static bool room(struct writer *w, size_t more)
{
    if (!w->failed && reserve(w->buf, more) != SYN_OK) w->failed = true;
    return !w->failed;
}

void put_raw(struct writer *w, const void *data, size_t len)
{
    if (!w->failed && syn_buf_append(w->buf, data, len) != SYN_OK) w->failed = true;
}

static size_t write_varint(char *at, uint64_t v)
{
    size_t n = 0;
    for (; v >= 0x80; v >>= 7) at[n++] = (char)(v | 0x80);
    at[n++] = (char)v;
    return n;
}

void put_varint(struct writer *w, uint64_t v)
{
    syn_buf *buf = w->buf;
    if ((buf->cap - buf->len < 10 || w->failed) && !room(w, 10)) return;
    if (v < 0x80) /* nearly always */
        buf->data[buf->len++] = (char)v;
    else
        buf->len += write_varint(buf->data + buf->len, v);
}

void put_fixed(struct writer *w, uint64_t v)
{
    if (!room(w, 8)) return;
    for (int i = 0; i < 8; i++) w->buf->data[w->buf->len++] = (char)(v >> (8 * i));
}

uint64_t zigzag(int64_t v)
{
    return (uint64_t)v << 1 ^ (v < 0 ? UINT64_MAX : 0);
}

static void put_tag(struct writer *w, uint32_t number, uint32_t wire)
{
    put_varint(w, (uint64_t)number << 3 | wire);
}

void put_uint(struct writer *w, uint32_t number, uint64_t v)
{
    if (v == 0) return;
    put_tag(w, number, 0);
    put_varint(w, v);
}

void put_sint(struct writer *w, uint32_t number, int64_t v)
{
    put_uint(w, number, zigzag(v));
}

void put_fixed64(struct writer *w, uint32_t number, uint64_t v)
{
    if (v != 0) put_fixed64_always(w, number, v);
}

void put_fixed64_always(struct writer *w, uint32_t number, uint64_t v)
{
    put_tag(w, number, 1);
    put_fixed(w, v);
}

void put_entry(struct writer *w, uint32_t number, syn_str bytes)
{
    put_tag(w, number, 2);
    put_varint(w, bytes.len);
    put_raw(w, bytes.data, bytes.len);
}

void put_bytes(struct writer *w, uint32_t number, syn_str bytes)
{
    if (bytes.len > 0) put_entry(w, number, bytes);
}

size_t field_begin(struct writer *w, uint32_t number)
{
    put_tag(w, number, 2);
    put_varint(w, 0);
    return w->buf->len;
}

void field_end(struct writer *w, size_t mark)
{
    if (w->failed) return;
    size_t len = w->buf->len - mark;
    char bytes[10];
    size_t n = write_varint(bytes, len);
    if (!room(w, n - 1)) return;
    char *at = w->buf->data + mark;
    if (n > 1) memmove(at + n - 1, at, len);
    memcpy(at - 1, bytes, n);
    w->buf->len += n - 1;
}

void field_drop(struct writer *w, size_t mark, uint32_t number)
{
    if (w->failed) return;
    char bytes[10];
    w->buf->len = mark - 1 - write_varint(bytes, (uint64_t)number << 3 | 2);
}

void column_end(struct writer *w, size_t mark, uint32_t number, bool any)
{
    if (any)
        field_end(w, mark);
    else
        field_drop(w, mark, number);
}

void put_peers(struct writer *w, uint32_t number, const uint64_t *peers, uint32_t count)
{
    if (count == 0) return;
    size_t mark = field_begin(w, number);
    for (uint32_t i = 0; i < count; i++) put_fixed(w, peers[i]);
    field_end(w, mark);
}

static void put_container_fields(struct writer *w, const struct change_container *c, bool peer)
{
    put_uint(w, 1, c->kind);
    switch (c->form) {
    case CONTAINER_ROOT:
        put_bytes(w, 2, c->name);
        break;
    case CONTAINER_BY_EVENT:
        if (peer) put_uint(w, 3, (uint64_t)c->peer + 1);
        put_uint(w, 4, c->seq);
        break;
    case CONTAINER_MERGEABLE:
        put_uint(w, 5, (uint64_t)c->parent + 1);
        put_bytes(w, 6, c->key);
        break;
    }
}

void put_container(struct writer *w, uint32_t number, const struct change_container *c)
{
    size_t mark = field_begin(w, number);
    put_container_fields(w, c, true);
    field_end(w, mark);
}

void put_container_id(struct writer *w, uint32_t number, const struct change_container *c)
{
    size_t mark = field_begin(w, number);
    put_container_fields(w, c, false);
    field_end(w, mark);
}

static bool is_root_text(const struct change_container *c)
{
    return c->form == CONTAINER_ROOT && c->kind == SYN_TEXT && c->name.len == 0;
}

/* Nothing when only the root (name "", TEXT) is there. */
void put_containers(struct writer *w, uint32_t number, const struct change_container *containers,
                    uint32_t count)
{
    if (count == 1 && is_root_text(&containers[0])) return;
    for (uint32_t i = 0; i < count; i++) put_container(w, number, &containers[i]);
}

static void put_version_columns(struct writer *w, uint32_t peer_number, const syn_id *ids,
                                uint32_t count)
{
    if (count == 0) return;
    size_t mark = field_begin(w, peer_number);
    for (uint32_t i = 0; i < count; i++) put_fixed(w, ids[i].peer);
    field_end(w, mark);
    mark = field_begin(w, peer_number + 1);
    uint32_t any = 0;
    for (uint32_t i = 0; i < count; i++) {
        put_varint(w, ids[i].seq);
        any |= ids[i].seq;
    }
    column_end(w, mark, peer_number + 1, any != 0);
}

void put_version(struct writer *w, uint32_t number, const struct msg_version *version)
{
    if (version->head_count == 0 && version->vector_count == 0) return;
    size_t mark = field_begin(w, number);
    put_version_columns(w, 1, version->heads, version->head_count);
    put_version_columns(w, 3, version->vector, version->vector_count);
    field_end(w, mark);
}

/* ---- Values ---------------------------------------------------------------------------------- */

enum value_column { COLUMN_KINDS, COLUMN_BLOBS, COLUMN_INTS, COLUMN_REALS };

static enum value_column column_of_kind(uint32_t kind)
{
    switch (kind) {
    case SYN_VALUE_NULL:
    case SYN_VALUE_FALSE:
    case SYN_VALUE_TRUE:
        return COLUMN_KINDS;
    case SYN_VALUE_INT:
    case SYN_VALUE_CHILD:
    case SYN_VALUE_MERGEABLE:
        return COLUMN_INTS;
    case SYN_VALUE_REAL:
        return COLUMN_REALS;
    default:
        return COLUMN_BLOBS;
    }
}

/* Blobs are entries of their own and cannot be rolled back in one piece: look first. */
static void put_blobs(struct writer *w, uint32_t number, value_at_fn at, void *from, uint32_t count)
{
    bool any = false, counter;
    for (uint32_t i = 0; i < count && !any; i++) {
        const struct change_value *v = at(from, i, &counter);
        any = column_of_kind(v->kind) == COLUMN_BLOBS && v->blob.len > 0;
    }
    for (uint32_t i = 0; i < count && any; i++) {
        const struct change_value *v = at(from, i, &counter);
        if (column_of_kind(v->kind) == COLUMN_BLOBS) put_entry(w, number, v->blob);
    }
}

static void put_numbers(struct writer *w, uint32_t number, enum value_column which, value_at_fn at,
                        void *from, uint32_t count)
{
    size_t mark = field_begin(w, number);
    uint64_t any = 0;
    bool counter = false;
    for (uint32_t i = 0; i < count; i++) {
        const struct change_value *v = at(from, i, &counter);
        uint64_t bits = v->kind;
        if (which != COLUMN_KINDS && column_of_kind(v->kind) != which) continue;
        if (which == COLUMN_KINDS && counter) continue;
        if (which == COLUMN_INTS) bits = zigzag(v->i);
        if (which == COLUMN_REALS) memcpy(&bits, &v->real, sizeof bits);
        if (which == COLUMN_REALS)
            put_fixed(w, bits);
        else
            put_varint(w, bits);
        any |= bits;
    }
    column_end(w, mark, number, any != 0);
}

static void put_value_column(struct writer *w, uint32_t number, enum value_column which,
                             value_at_fn at, void *from, uint32_t count)
{
    if (which == COLUMN_BLOBS)
        put_blobs(w, number, at, from, count);
    else
        put_numbers(w, number, which, at, from, count);
}

/* In ascending order of field numbers, which differs between Changes and Values. */
void put_values(struct writer *w, const uint32_t numbers[4], value_at_fn at, void *from,
                uint32_t count)
{
    static const enum value_column order[2][4] = {
        {COLUMN_KINDS, COLUMN_BLOBS, COLUMN_INTS, COLUMN_REALS},
        {COLUMN_BLOBS, COLUMN_KINDS, COLUMN_INTS, COLUMN_REALS},
    };
    if (count == 0) return;
    const enum value_column *columns = order[numbers[COLUMN_BLOBS] < numbers[COLUMN_KINDS]];
    for (int i = 0; i < 4; i++)
        put_value_column(w, numbers[columns[i]], columns[i], at, from, count);
}
