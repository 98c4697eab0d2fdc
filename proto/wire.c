/* wire.c -- protobuf's wire format, read strictly and in place.
 *
 * Every message here numbers its fields 1, 2, 3 ... without gaps, so that the descriptor of field n
 * is fields[n - 1].  The checks are those of rule 6 in syncline.proto. */
#include "wire.h"
#include "utf8.h"

#include <stdarg.h>
#include <stdio.h>

enum wire_type { WIRE_VARINT = 0, WIRE_FIXED64 = 1, WIRE_BYTES = 2, WIRE_FIXED32 = 5 };

/* ---- Faults ---------------------------------------------------------------------------------- */

syn_err(refuse)(struct proto_fault *fault, enum code code, const char *format, ...)
{
    if (fault != NULL) {
        fault->code = code;
        va_list args;
        va_start(args, format);
        (void)vsnprintf(fault->text, sizeof fault->text, format, args);
        va_end(args);
    }
    return error_of(code);
}

syn_err refuse_utf8(struct proto_fault *fault, const char *what)
{
    (void)refuse(fault, CODE_MALFORMED, "%s is not UTF-8", what);
    return SYN_EUTF8;
}

syn_err refuse_memory(const proto_arena *arena, struct proto_fault *fault)
{
    if (arena->over) return refuse(fault, CODE_LIMIT, "needs too much memory");
    (void)refuse(fault, CODE_BUSY, "out of memory");
    return SYN_ENOMEM;
}

/* ---- Numbers --------------------------------------------------------------------------------- */

/* One varint, as short as it can be.  False: cut off, too long or too wide. */
static bool read_any_varint(const uint8_t **p, const uint8_t *end, uint64_t *out)
{
    uint64_t v = 0;
    const uint8_t *at = *p;
    for (unsigned shift = 0; shift < 70; shift += 7) {
        if (at == end) return false;
        uint8_t byte = *at++;
        if (shift == 63 && byte > 1) return false;
        v |= (uint64_t)(byte & 0x7f) << shift;
        if (byte < 0x80) {
            if (byte == 0 && shift > 0) return false;
            *p = at;
            *out = v;
            return true;
        }
    }
    return false;
}

static inline bool read_varint(const uint8_t **p, const uint8_t *end, uint64_t *out)
{
    if (*p == end || **p >= 0x80) return read_any_varint(p, end, out);
    *out = *(*p)++;
    return true;
}

static uint64_t read_fixed64(const uint8_t *p)
{
    uint64_t v = 0;
    for (int i = 7; i >= 0; i--) v = v << 8 | p[i];
    return v;
}

/* ---- Splitting ------------------------------------------------------------------------------- */

struct split {
    const ProtobufCMessageDescriptor *type;
    const uint8_t *p, *end;
    struct proto_fault *fault;
};

static syn_err bad_wire(const struct split *s, const char *what)
{
    return refuse(s->fault, CODE_MALFORMED, "%s: %s", s->type->short_name, what);
}

static syn_err bad_field(const struct split *s, const ProtobufCFieldDescriptor *about,
                         const char *what)
{
    return refuse(s->fault, CODE_MALFORMED, "%s.%s: %s", s->type->short_name, about->name, what);
}

/* What a field's type asks of its bytes, looked up rather than reasoned out for each. */
struct rule {
    uint8_t wire;   /* of one entry that is not packed */
    bool is_number; /* so that a repeated one is packed */
    uint64_t max;
};

static const struct rule *rule_of(const ProtobufCFieldDescriptor *about)
{
    static const struct rule rules[] = {
        [PROTOBUF_C_TYPE_SINT32] = {WIRE_VARINT, true, UINT32_MAX},
        [PROTOBUF_C_TYPE_UINT32] = {WIRE_VARINT, true, UINT32_MAX},
        [PROTOBUF_C_TYPE_ENUM] = {WIRE_VARINT, true, INT32_MAX},
        [PROTOBUF_C_TYPE_BOOL] = {WIRE_VARINT, true, 1},
        [PROTOBUF_C_TYPE_SINT64] = {WIRE_VARINT, true, UINT64_MAX},
        [PROTOBUF_C_TYPE_UINT64] = {WIRE_VARINT, true, UINT64_MAX},
        [PROTOBUF_C_TYPE_FIXED64] = {WIRE_FIXED64, true, UINT64_MAX},
        [PROTOBUF_C_TYPE_DOUBLE] = {WIRE_FIXED64, true, UINT64_MAX},
        [PROTOBUF_C_TYPE_BYTES] = {WIRE_BYTES, false, 0},
        [PROTOBUF_C_TYPE_MESSAGE] = {WIRE_BYTES, false, 0},
    };
    assert(about->type < sizeof rules / sizeof *rules); /* the schema has no other types */
    return &rules[about->type];
}

static bool is_bytes(ProtobufCType type)
{
    return type == PROTOBUF_C_TYPE_BYTES || type == PROTOBUF_C_TYPE_MESSAGE;
}

static bool take(struct split *s, size_t len, const uint8_t **at)
{
    if ((size_t)(s->end - s->p) < len) return false;
    *at = s->p;
    s->p += len;
    return true;
}

static bool skip_unknown(struct split *s, uint32_t wire)
{
    uint64_t v;
    const uint8_t *at;
    switch (wire) {
    case WIRE_VARINT:
        return read_varint(&s->p, s->end, &v);
    case WIRE_FIXED64:
        return take(s, 8, &at);
    case WIRE_FIXED32:
        return take(s, 4, &at);
    case WIRE_BYTES:
        return read_varint(&s->p, s->end, &v) && v <= (size_t)(s->end - s->p) &&
               take(s, (size_t)v, &at);
    default:
        return false;
    }
}

#define EACH UINT64_C(0x0101010101010101)
#define HIGH (EACH * 0x80)
#define LOW  (EACH * 0x7f)

/* Eight bytes at once, as long as no entry has more than two: *p stops where one is longer, or
 * where fewer than eight bytes are left.  In a word, the high bits are the bytes that go on.  An
 * entry's second byte is one that does not go on behind one that does, and must not be 0. */
static bool check_short_varints(const uint8_t **p, const uint8_t *end, uint32_t *count)
{
    while (end - *p >= 8) {
        uint64_t word;
        memcpy(&word, *p, sizeof word);
#if __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
        word = __builtin_bswap64(word);
#endif
        uint64_t goes_on = word & HIGH, after = goes_on << 8;
        if (goes_on == 0) {
            *p += 8;
            *count += 8;
            continue;
        }
        uint64_t not_zero = (word & LOW) + LOW;
        if ((goes_on & after) != 0) return true;
        if ((after & ~not_zero & HIGH) != 0) return false;
        unsigned whole = (goes_on >> 63) != 0 ? 7 : 8; /* the last byte may be a first one */
        uint64_t ends = ~word & HIGH;
        *count += (uint32_t)(((ends >> 7) * EACH) >> 56);
        *p += whole;
    }
    return true;
}

/* The entries of one packed column: counted, and each checked. */
static syn_err check_packed(const struct split *s, const ProtobufCFieldDescriptor *about,
                            const struct rule *rule, struct field *f)
{
    if (rule->wire == WIRE_FIXED64) {
        if (f->len % 8 != 0) return bad_field(s, about, "cut off inside an entry");
        f->count = (uint32_t)(f->len / 8);
        return SYN_OK;
    }
    uint64_t v;
    const uint8_t *p = f->at, *end = f->at + f->len;
    while (p != end) {
        if (SHORT_CUTS && rule->max >= 1 << 14 && !check_short_varints(&p, end, &f->count))
            return bad_field(s, about, "not a shortest varint");
        if (p == end) break;
        if (!read_varint(&p, end, &v)) return bad_field(s, about, "not a shortest varint");
        if (v > rule->max) return bad_field(s, about, "number too large");
        f->count++;
    }
    return SYN_OK;
}

static syn_err read_singular(struct split *s, const ProtobufCFieldDescriptor *about,
                             const struct rule *rule, struct field *f)
{
    if (rule->wire == WIRE_FIXED64) {
        if (!take(s, 8, &f->at)) return bad_field(s, about, "cut off");
        f->value = read_fixed64(f->at);
        return SYN_OK;
    }
    if (!read_varint(&s->p, s->end, &f->value)) return bad_field(s, about, "not a shortest varint");
    if (f->value > rule->max) return bad_field(s, about, "number too large");
    return SYN_OK;
}

static syn_err read_delimited(struct split *s, const ProtobufCFieldDescriptor *about,
                              const struct rule *rule, struct field *f)
{
    uint64_t len;
    if (!read_varint(&s->p, s->end, &len)) return bad_field(s, about, "bad length");
    if (len > (size_t)(s->end - s->p)) return bad_field(s, about, "cut off");
    if (!f->seen) {
        f->at = s->p;
        f->len = (size_t)len;
    }
    s->p += len;
    if (rule->is_number) return check_packed(s, about, rule, f);
    f->count++;
    return SYN_OK;
}

static syn_err split_field(struct split *s, const ProtobufCFieldDescriptor *about, uint32_t wire,
                           struct field *f)
{
    const struct rule *rule = rule_of(about);
    bool repeated = about->label == PROTOBUF_C_LABEL_REPEATED;
    bool packed = repeated && rule->is_number;
    if (wire != (packed ? WIRE_BYTES : rule->wire)) return bad_field(s, about, "wrong wire type");
    if (f->seen && (packed || !repeated)) return bad_field(s, about, "twice");
    syn_err err =
        wire == WIRE_BYTES ? read_delimited(s, about, rule, f) : read_singular(s, about, rule, f);
    f->seen = true;
    f->number = (uint8_t)(about - s->type->fields + 1);
    return err;
}

syn_err wire_split(const ProtobufCMessageDescriptor *type, const void *bytes, size_t len,
                   enum unknown_fields rule, struct field *fields, bool *unknown,
                   struct proto_fault *fault)
{
    assert(type->n_fields < WIRE_FIELDS);
    if (bytes == NULL) bytes = ""; /* an absent message, and NULL + 0 is undefined */
    struct split s = {
        .type = type, .p = bytes, .end = (const uint8_t *)bytes + len, .fault = fault};
    memset(fields, 0, (type->n_fields + 1) * sizeof *fields);
    if (unknown != NULL) *unknown = false;
    while (s.p != s.end) {
        uint64_t tag;
        if (!read_varint(&s.p, s.end, &tag) || tag > UINT32_MAX || tag < 8)
            return bad_wire(&s, "bad field tag");
        uint32_t number = (uint32_t)(tag >> 3), wire = (uint32_t)(tag & 7);
        if (number <= type->n_fields) {
            syn_err err = split_field(&s, &type->fields[number - 1], wire, &fields[number]);
            if (err != SYN_OK) return err;
            continue;
        }
        if (rule == UNKNOWN_REFUSED)
            return refuse(fault, CODE_MALFORMED, "%s: unknown field %u", type->short_name, number);
        if (!skip_unknown(&s, wire)) return bad_wire(&s, "unknown field is cut off");
        if (unknown != NULL) *unknown = true;
    }
    return SYN_OK;
}

syn_err wire_scan(struct decoding *d, const ProtobufCMessageDescriptor *type, const void *bytes,
                  size_t len, int depth)
{
    assert(depth < 8); /* the schema has no message that contains itself */
    struct field fields[WIRE_FIELDS];
    syn_err err = wire_split(type, bytes, len, UNKNOWN_IGNORED, fields, NULL, d->fault);
    for (uint32_t i = 1; err == SYN_OK && i <= type->n_fields; i++) {
        const ProtobufCFieldDescriptor *about = &type->fields[i - 1];
        if (!is_bytes(about->type) || !fields[i].seen) continue;
        if (fields[i].count > LIMIT_FRAME_ENTRIES - d->entries)
            return refuse(d->fault, CODE_LIMIT, "more than %u entries", LIMIT_FRAME_ENTRIES);
        d->entries += fields[i].count;
        if (about->type != PROTOBUF_C_TYPE_MESSAGE) continue;
        struct column column = column_of(&fields[i]);
        while (err == SYN_OK && column.left > 0) {
            syn_str inner = column_bytes(&column);
            err = wire_scan(d, message_of(about), inner.data, inner.len, depth + 1);
        }
    }
    return err;
}

/* ---- Columns --------------------------------------------------------------------------------- */

syn_str field_str(const struct field *field)
{
    return (syn_str){.data = (const char *)field->at, .len = field->len};
}

syn_err numbers_differ(const struct field *field, uint64_t rows, const char *name,
                       struct proto_fault *fault)
{
    return refuse(fault, CODE_MALFORMED, "%s has too %s entries", name,
                  field->count < rows ? "few" : "many");
}

/* May another entry be read?  An absent column has as many defaults as are asked for. */
static bool more(struct column *column)
{
    if (column->left > 0) {
        column->left--;
        return true;
    }
    if (column->present) column->ran_out = true;
    return false;
}

uint64_t column_varint(struct column *column)
{
    return more(column) ? read_checked(&column->p) : 0;
}

int64_t column_zigzag(struct column *column)
{
    return unzigzag(column_varint(column));
}

uint64_t column_fixed64(struct column *column)
{
    if (!more(column)) return 0;
    uint64_t v = read_fixed64(column->p);
    column->p += 8;
    return v;
}

/* Over fields of other numbers (checked by wire_split) to the next one of this column. */
static void seek_entry(struct column *column)
{
    for (;;) {
        uint64_t tag = read_checked(&column->p);
        if (tag >> 3 == column->number) break;
        switch ((enum wire_type)(tag & 7)) {
        case WIRE_VARINT:
            (void)read_checked(&column->p);
            break;
        case WIRE_FIXED64:
            column->p += 8;
            break;
        case WIRE_FIXED32:
            column->p += 4;
            break;
        case WIRE_BYTES: {
            uint64_t len = read_checked(&column->p);
            column->p += len;
            break;
        }
        }
    }
    column->len = (size_t)read_checked(&column->p);
}

syn_str column_bytes(struct column *column)
{
    if (!more(column)) return (syn_str){0};
    if (column->started) seek_entry(column);
    column->started = true;
    syn_str entry = {.data = (const char *)column->p, .len = column->len};
    column->p += column->len;
    return entry;
}

bool column_used_up(const struct column *column)
{
    return column->left == 0 && !column->ran_out;
}

syn_err column_done(const struct column *column, const char *name, struct proto_fault *fault)
{
    if (column_used_up(column)) return SYN_OK;
    return refuse(fault, CODE_MALFORMED, "%s has too %s entries", name,
                  column->ran_out ? "few" : "many");
}

uint32_t column_rows(const struct field *fields, const uint8_t *numbers, uint32_t absent)
{
    for (; *numbers != 0; numbers++)
        if (fields[*numbers].count > 0) return fields[*numbers].count;
    return absent;
}
