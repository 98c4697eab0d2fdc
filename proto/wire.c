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

syn_err refuse(struct proto_fault *fault, enum code code, const char *format, ...)
{
    if (fault != NULL) {
        fault->code = code;
        va_list args;
        va_start(args, format);
        (void)vsnprintf(fault->text, sizeof fault->text, format, args);
        va_end(args);
    }
    if (code == CODE_LIMIT) return SYN_ELIMIT;
    return code == CODE_VERSION ? SYN_EVERSION : SYN_EMALFORMED;
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
static bool read_varint(const uint8_t **p, const uint8_t *end, uint64_t *out)
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

static uint64_t read_checked(const uint8_t **p)
{
    const uint8_t *at = *p;
    uint64_t v = *at & 0x7f;
    for (unsigned shift = 7; *at++ >= 0x80; shift += 7) v |= (uint64_t)(*at & 0x7f) << shift;
    *p = at;
    return v;
}

static uint64_t read_fixed64(const uint8_t *p)
{
    uint64_t v = 0;
    for (int i = 7; i >= 0; i--) v = v << 8 | p[i];
    return v;
}

static int64_t unzigzag(uint64_t v)
{
    return (int64_t)(v >> 1 ^ (~(v & 1) + 1));
}

static uint64_t greatest(ProtobufCType type)
{
    switch (type) {
    case PROTOBUF_C_TYPE_BOOL:
        return 1;
    case PROTOBUF_C_TYPE_ENUM:
        return INT32_MAX;
    case PROTOBUF_C_TYPE_UINT64:
    case PROTOBUF_C_TYPE_SINT64:
        return UINT64_MAX;
    default:
        return UINT32_MAX;
    }
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

static bool is_fixed64(ProtobufCType type)
{
    return type == PROTOBUF_C_TYPE_FIXED64 || type == PROTOBUF_C_TYPE_DOUBLE;
}

static bool is_bytes(ProtobufCType type)
{
    return type == PROTOBUF_C_TYPE_BYTES || type == PROTOBUF_C_TYPE_MESSAGE;
}

static enum wire_type wanted_wire(const ProtobufCFieldDescriptor *about)
{
    if (is_bytes(about->type) || about->label == PROTOBUF_C_LABEL_REPEATED) return WIRE_BYTES;
    return is_fixed64(about->type) ? WIRE_FIXED64 : WIRE_VARINT;
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

/* The entries of one packed column: counted, and each checked. */
static syn_err check_packed(const struct split *s, const ProtobufCFieldDescriptor *about,
                            struct field *f)
{
    if (is_fixed64(about->type)) {
        if (f->len % 8 != 0) return bad_field(s, about, "cut off inside an entry");
        f->count = (uint32_t)(f->len / 8);
        return SYN_OK;
    }
    uint64_t max = greatest(about->type), v;
    const uint8_t *p = f->at, *end = f->at + f->len;
    while (p != end) {
        if (*p < 0x80 && max > 0x7f) {
            p++;
        } else {
            if (!read_varint(&p, end, &v)) return bad_field(s, about, "not a shortest varint");
            if (v > max) return bad_field(s, about, "number too large");
        }
        f->count++;
    }
    return SYN_OK;
}

static syn_err read_singular(struct split *s, const ProtobufCFieldDescriptor *about,
                             struct field *f)
{
    if (is_fixed64(about->type)) {
        if (!take(s, 8, &f->at)) return bad_field(s, about, "cut off");
        f->value = read_fixed64(f->at);
        return SYN_OK;
    }
    if (!read_varint(&s->p, s->end, &f->value)) return bad_field(s, about, "not a shortest varint");
    if (f->value > greatest(about->type)) return bad_field(s, about, "number too large");
    return SYN_OK;
}

static syn_err read_delimited(struct split *s, const ProtobufCFieldDescriptor *about,
                              struct field *f)
{
    uint64_t len;
    const uint8_t *at;
    if (!read_varint(&s->p, s->end, &len)) return bad_field(s, about, "bad length");
    if (len > (size_t)(s->end - s->p)) return bad_field(s, about, "cut off");
    (void)take(s, (size_t)len, &at);
    if (!f->seen) {
        f->at = at;
        f->len = (size_t)len;
    }
    if (is_bytes(about->type)) {
        f->count++;
        return SYN_OK;
    }
    return check_packed(s, about, f);
}

static syn_err split_field(struct split *s, const ProtobufCFieldDescriptor *about, uint32_t wire,
                           struct field *f)
{
    if (wire != wanted_wire(about)) return bad_field(s, about, "wrong wire type");
    bool many = about->label == PROTOBUF_C_LABEL_REPEATED && is_bytes(about->type);
    if (f->seen && !many) return bad_field(s, about, "twice");
    syn_err err = wire == WIRE_BYTES ? read_delimited(s, about, f) : read_singular(s, about, f);
    f->seen = true;
    f->number = about->id;
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
            err = wire_scan(d, about->descriptor, inner.data, inner.len, depth + 1);
        }
    }
    return err;
}

/* ---- Columns --------------------------------------------------------------------------------- */

syn_str field_str(const struct field *field)
{
    return (syn_str){.data = (const char *)field->at, .len = field->len};
}

struct column column_of(const struct field *field)
{
    return (struct column){.p = field->at,
                           .len = field->len,
                           .left = field->count,
                           .number = field->number,
                           .present = field->count > 0};
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
