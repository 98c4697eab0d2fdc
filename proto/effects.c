/* effects.c -- what merged events did, as the bytes that rest beside a stored chunk of Changes.
 *
 * A Packed (inside: PACKED_EFFECTS) around two columns of varints, which compress apart:
 *
 *     n    n x (events << 1 | gone)    for each that is not gone: how far, zigzag
 *
 * Never on the wire: whoever believes effects believes that they are his own (change.h).  Distances
 * are as they are; as differences to the one before, three traces of four grew. */
#include "wire.h"
#include "syncline.pb-c.h"

static void put_columns(struct writer *w, const struct change_effect *effects, uint32_t count)
{
    put_varint(w, count);
    for (uint32_t i = 0; i < count; i++)
        put_varint(w, (uint64_t)effects[i].len << 1 | (effects[i].by == EFFECT_GONE));
    for (uint32_t i = 0; i < count; i++)
        if (effects[i].by != EFFECT_GONE) put_varint(w, zigzag(effects[i].by));
}

syn_err proto_encode_effects(syn_buf *buf, const struct change_effect *effects, uint32_t count)
{
    syn_buf raw = {.mem = buf->mem};
    struct writer columns = writer_begin(&raw);
    put_columns(&columns, effects, count);
    syn_err err = writer_end(&columns);
    if (err == SYN_OK) {
        struct writer w = writer_begin(buf);
        err = put_packed(&w, PACKED_EFFECTS, raw.data, raw.len, true);
        if (err != SYN_OK)
            buf->len = w.start;
        else
            err = writer_end(&w);
    }
    syn_buf_free(&raw);
    return err;
}

/* ---- Reading --------------------------------------------------------------------------------- */

static bool take_varint(const uint8_t **p, const uint8_t *end, uint64_t *out)
{
    uint64_t v = 0;
    for (unsigned shift = 0; shift < 35 && *p < end; shift += 7) {
        uint8_t byte = *(*p)++;
        v |= (uint64_t)(byte & 0x7f) << shift;
        *out = v;
        if (byte < 0x80) return true;
    }
    return false;
}

/* EFFECT_GONE in `by` until the second column is read, for those that have a distance: 0. */
static bool take_columns(syn_str raw, struct change_effect *out, uint32_t count)
{
    const uint8_t *p = (const uint8_t *)raw.data, *end = p + raw.len;
    uint64_t v;
    if (!take_varint(&p, end, &v) || v != count) return false;
    for (uint32_t i = 0; i < count; i++) {
        if (!take_varint(&p, end, &v) || v >> 1 == 0 || v >> 1 > SEQ_MAX) return false;
        out[i] = (struct change_effect){(uint32_t)(v >> 1), (v & 1) != 0 ? EFFECT_GONE : 0};
    }
    for (uint32_t i = 0; i < count; i++) {
        if (out[i].by == EFFECT_GONE) continue;
        if (!take_varint(&p, end, &v) || v >> 1 > SEQ_MAX) return false;
        int64_t by = (int64_t)(v >> 1 ^ (~(v & 1) + 1));
        if (by == EFFECT_GONE) return false;
        out[i].by = (int32_t)by;
    }
    return p == end;
}

static syn_err inflate_effects(proto_arena *arena, syn_str bytes, syn_str *raw)
{
    struct field f[WIRE_FIELDS];
    syn_err err = wire_split(&syncline__v1__packed__descriptor, bytes.data, bytes.len,
                             UNKNOWN_REFUSED, f, NULL, NULL);
    if (err != SYN_OK) return err;
    if (f[1].value != PACKED_EFFECTS) return SYN_EMALFORMED;
    struct msg_packed packed = {
        .codec = (uint32_t)f[2].value, .raw_size = (uint32_t)f[3].value, .data = field_str(&f[4])};
    return proto_inflate(arena, &packed, 0, raw, NULL);
}

syn_err proto_decode_effects(proto_arena *arena, syn_str bytes, syn_changes *set)
{
    syn_str raw;
    uint64_t count;
    set->effects = NULL;
    set->effect_count = 0;
    syn_err err = inflate_effects(arena, bytes, &raw);
    if (err != SYN_OK) return err;
    const uint8_t *p = (const uint8_t *)raw.data;
    if (!take_varint(&p, p + raw.len, &count) || count > raw.len) return SYN_EMALFORMED;
    struct change_effect *effects = arena_array(arena, count, sizeof *effects);
    if (effects == NULL) return refuse_memory(arena, NULL);
    if (!take_columns(raw, effects, (uint32_t)count)) return SYN_EMALFORMED;
    set->effects = effects;
    set->effect_count = (uint32_t)count;
    return SYN_OK;
}
