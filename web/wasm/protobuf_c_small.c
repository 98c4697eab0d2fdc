/* protobuf_c_small.c -- the one function of protobuf-c's runtime that proto/ calls, for builds
 * where that runtime is not: protobuf_c_message_unpack.
 *
 *     bytes --wire_scan()--> known to be well-formed --here--> struct, as the descriptor says
 *
 * The structs are the generated ones of syncline.pb-c.h and the tables that drive this are the
 * generated descriptors, so proto/ is compiled unchanged.  A message type inside itself would need
 * recursion without bound; syncline.proto has none, and DEPTH says how deep it may ever be.
 *
 * Two passes over a message: the first counts the entries of every repeated field, so that each
 * gets one array of the right size; the second fills.  Unknown fields are skipped (proto/ never
 * writes them back); a singular message given twice is refused, not merged: wire_scan refuses it
 * before.  Memory comes from the allocator that is handed in and is not given back on failure: it
 * is an arena. */
#include <protobuf-c/protobuf-c.h>

#include <stdbool.h>
#include <string.h>

enum { DEPTH = 8, MAX_FIELDS = 64 };

struct reader {
    const uint8_t *at, *end;
    ProtobufCAllocator *allocator;
    unsigned depth;
};

struct value {
    uint64_t number; /* varint, fixed */
    const uint8_t *data;
    size_t len; /* length-delimited */
};

/* ---- The wire -------------------------------------------------------------------------------- */

static bool read_varint(struct reader *r, uint64_t *out)
{
    uint64_t v = 0;
    for (unsigned shift = 0; shift < 70; shift += 7) {
        if (r->at == r->end) return false;
        uint8_t byte = *r->at++;
        if (shift < 64) v |= (uint64_t)(byte & 0x7f) << shift;
        if (byte < 0x80) {
            *out = v;
            return true;
        }
    }
    return false;
}

static bool read_fixed(struct reader *r, unsigned bytes, uint64_t *out)
{
    if ((size_t)(r->end - r->at) < bytes) return false;
    uint64_t v = 0;
    for (unsigned i = 0; i < bytes; i++) v |= (uint64_t)r->at[i] << (8 * i);
    r->at += bytes;
    *out = v;
    return true;
}

static bool read_value(struct reader *r, unsigned wire, struct value *out)
{
    uint64_t len;
    switch (wire) {
    case PROTOBUF_C_WIRE_TYPE_VARINT:
        return read_varint(r, &out->number);
    case PROTOBUF_C_WIRE_TYPE_64BIT:
        return read_fixed(r, 8, &out->number);
    case PROTOBUF_C_WIRE_TYPE_32BIT:
        return read_fixed(r, 4, &out->number);
    case PROTOBUF_C_WIRE_TYPE_LENGTH_PREFIXED:
        if (!read_varint(r, &len) || len > (uint64_t)(r->end - r->at)) return false;
        out->data = r->at;
        out->len = (size_t)len;
        r->at += len;
        return true;
    default:
        return false; /* groups */
    }
}

/* ---- What a field takes in its struct -------------------------------------------------------- */

static size_t size_of(ProtobufCType type)
{
    switch (type) {
    case PROTOBUF_C_TYPE_INT64:
    case PROTOBUF_C_TYPE_SINT64:
    case PROTOBUF_C_TYPE_SFIXED64:
    case PROTOBUF_C_TYPE_UINT64:
    case PROTOBUF_C_TYPE_FIXED64:
    case PROTOBUF_C_TYPE_DOUBLE:
        return 8;
    case PROTOBUF_C_TYPE_BOOL:
        return sizeof(protobuf_c_boolean);
    case PROTOBUF_C_TYPE_STRING:
        return sizeof(char *);
    case PROTOBUF_C_TYPE_BYTES:
        return sizeof(ProtobufCBinaryData);
    case PROTOBUF_C_TYPE_MESSAGE:
        return sizeof(ProtobufCMessage *);
    default:
        return 4;
    }
}

static unsigned wire_of(ProtobufCType type)
{
    switch (type) {
    case PROTOBUF_C_TYPE_SFIXED64:
    case PROTOBUF_C_TYPE_FIXED64:
    case PROTOBUF_C_TYPE_DOUBLE:
        return PROTOBUF_C_WIRE_TYPE_64BIT;
    case PROTOBUF_C_TYPE_SFIXED32:
    case PROTOBUF_C_TYPE_FIXED32:
    case PROTOBUF_C_TYPE_FLOAT:
        return PROTOBUF_C_WIRE_TYPE_32BIT;
    case PROTOBUF_C_TYPE_STRING:
    case PROTOBUF_C_TYPE_BYTES:
    case PROTOBUF_C_TYPE_MESSAGE:
        return PROTOBUF_C_WIRE_TYPE_LENGTH_PREFIXED;
    default:
        return PROTOBUF_C_WIRE_TYPE_VARINT;
    }
}

static void *member(ProtobufCMessage *message, unsigned offset)
{
    return (char *)message + offset;
}

static void store_u32(void *at, uint32_t v)
{
    memcpy(at, &v, sizeof v);
}

static void store_u64(void *at, uint64_t v)
{
    memcpy(at, &v, sizeof v);
}

static bool store_number(ProtobufCType type, void *at, uint64_t v)
{
    protobuf_c_boolean flag = v != 0;
    switch (type) {
    case PROTOBUF_C_TYPE_SINT32:
        store_u32(at, (uint32_t)v >> 1 ^ (0u - ((uint32_t)v & 1)));
        return true;
    case PROTOBUF_C_TYPE_SINT64:
        store_u64(at, v >> 1 ^ (0u - (v & 1)));
        return true;
    case PROTOBUF_C_TYPE_BOOL:
        memcpy(at, &flag, sizeof flag);
        return true;
    default:
        if (size_of(type) == 8)
            store_u64(at, v);
        else
            store_u32(at, (uint32_t)v);
        return true;
    }
}

/* ---- One field ------------------------------------------------------------------------------- */

static void *take(struct reader *r, size_t size)
{
    return r->allocator->alloc(r->allocator->allocator_data, size != 0 ? size : 1);
}

static ProtobufCMessage *unpack(struct reader *r, const ProtobufCMessageDescriptor *type);

static bool store_blob(struct reader *r, const ProtobufCFieldDescriptor *field, void *at,
                       const struct value *value)
{
    if (field->type == PROTOBUF_C_TYPE_MESSAGE) {
        struct reader inner = {value->data, value->data + value->len, r->allocator, r->depth + 1};
        ProtobufCMessage *message = unpack(&inner, field->descriptor);
        memcpy(at, &message, sizeof message);
        return message != NULL;
    }
    bool string = field->type == PROTOBUF_C_TYPE_STRING;
    ProtobufCBinaryData bytes = {.len = value->len, .data = NULL};
    if (value->len != 0 || string) {
        bytes.data = take(r, value->len + string);
        if (bytes.data == NULL) return false;
        if (value->len != 0) memcpy(bytes.data, value->data, value->len);
    }
    if (string) {
        bytes.data[value->len] = '\0';
        memcpy(at, &bytes.data, sizeof bytes.data);
    } else {
        memcpy(at, &bytes, sizeof bytes);
    }
    return true;
}

static bool store_value(struct reader *r, const ProtobufCFieldDescriptor *field, void *at,
                        const struct value *value)
{
    if (wire_of(field->type) == PROTOBUF_C_WIRE_TYPE_LENGTH_PREFIXED)
        return store_blob(r, field, at, value);
    return store_number(field->type, at, value->number);
}

static bool store_packed(struct reader *r, const ProtobufCFieldDescriptor *field, char *array,
                         size_t *count, const struct value *value)
{
    struct reader inner = {value->data, value->data + value->len, r->allocator, r->depth};
    while (inner.at < inner.end) {
        struct value entry;
        if (!read_value(&inner, wire_of(field->type), &entry)) return false;
        store_number(field->type, array + *count * size_of(field->type), entry.number);
        ++*count;
    }
    return true;
}

static bool is_packed(const ProtobufCFieldDescriptor *field, unsigned wire)
{
    return wire == PROTOBUF_C_WIRE_TYPE_LENGTH_PREFIXED &&
           wire_of(field->type) != PROTOBUF_C_WIRE_TYPE_LENGTH_PREFIXED;
}

/* How many entries one occurrence of a repeated field brings. */
static bool count_entries(const struct reader *r, const ProtobufCFieldDescriptor *field,
                          unsigned wire, const struct value *value, size_t *count)
{
    if (!is_packed(field, wire)) {
        ++*count;
        return true;
    }
    struct reader inner = {value->data, value->data + value->len, r->allocator, r->depth};
    while (inner.at < inner.end) {
        struct value entry;
        if (!read_value(&inner, wire_of(field->type), &entry)) return false;
        ++*count;
    }
    return true;
}

/* ---- One message ----------------------------------------------------------------------------- */

static const ProtobufCFieldDescriptor *find_field(const ProtobufCMessageDescriptor *type,
                                                  uint64_t number)
{
    for (unsigned i = 0; i < type->n_fields; i++)
        if (type->fields[i].id == number) return &type->fields[i];
    return NULL;
}

/* The next known field with a wire type that it may have; false at the end or on bad bytes. */
static bool next_field(struct reader *r, const ProtobufCMessageDescriptor *type,
                       const ProtobufCFieldDescriptor **field, unsigned *wire, struct value *value,
                       bool *bad)
{
    while (r->at < r->end) {
        uint64_t tag = 0;
        *bad = !read_varint(r, &tag) || tag >> 3 == 0;
        *wire = (unsigned)(tag & 7);
        *bad = *bad || !read_value(r, *wire, value);
        if (*bad) return false;
        *field = find_field(type, tag >> 3);
        if (*field == NULL) continue;
        bool repeated = (*field)->label == PROTOBUF_C_LABEL_REPEATED;
        if (*wire == wire_of((*field)->type) || (repeated && is_packed(*field, *wire))) return true;
        *bad = true;
        return false;
    }
    return false;
}

static bool count_all(const struct reader *from, const ProtobufCMessageDescriptor *type,
                      size_t counts[MAX_FIELDS])
{
    struct reader r = *from;
    const ProtobufCFieldDescriptor *field = NULL;
    struct value value = {0};
    unsigned wire = 0;
    bool bad = false;
    while (next_field(&r, type, &field, &wire, &value, &bad)) {
        if (field->label != PROTOBUF_C_LABEL_REPEATED) continue;
        if (!count_entries(&r, field, wire, &value, &counts[field - type->fields])) return false;
    }
    return !bad;
}

static bool make_arrays(struct reader *r, const ProtobufCMessageDescriptor *type,
                        ProtobufCMessage *message, const size_t counts[MAX_FIELDS])
{
    for (unsigned i = 0; i < type->n_fields; i++) {
        const ProtobufCFieldDescriptor *field = &type->fields[i];
        if (counts[i] == 0) continue;
        if (counts[i] > SIZE_MAX / sizeof(ProtobufCBinaryData)) return false;
        void *array = take(r, counts[i] * size_of(field->type));
        if (array == NULL) return false;
        memcpy(member(message, field->offset), &array, sizeof array);
    }
    return true;
}

static bool fill_repeated(struct reader *r, const ProtobufCFieldDescriptor *field, unsigned wire,
                          ProtobufCMessage *message, const struct value *value)
{
    size_t *count = member(message, field->quantifier_offset);
    char *array;
    memcpy(&array, member(message, field->offset), sizeof array);
    if (is_packed(field, wire)) return store_packed(r, field, array, count, value);
    if (!store_value(r, field, array + *count * size_of(field->type), value)) return false;
    ++*count;
    return true;
}

static bool fill_single(struct reader *r, const ProtobufCFieldDescriptor *field,
                        ProtobufCMessage *message, const struct value *value)
{
    bool oneof = (field->flags & PROTOBUF_C_FIELD_FLAG_ONEOF) != 0;
    if (oneof) {
        store_u32(member(message, field->quantifier_offset), field->id);
    } else if (field->type == PROTOBUF_C_TYPE_MESSAGE) {
        const void *there;
        memcpy(&there, member(message, field->offset), sizeof there);
        if (there != NULL) return false; /* given twice */
    } else if (field->label == PROTOBUF_C_LABEL_OPTIONAL && field->quantifier_offset != 0) {
        protobuf_c_boolean has = 1;
        memcpy(member(message, field->quantifier_offset), &has, sizeof has);
    }
    return store_value(r, field, member(message, field->offset), value);
}

static ProtobufCMessage *unpack(struct reader *r, const ProtobufCMessageDescriptor *type)
{
    size_t counts[MAX_FIELDS] = {0};
    const ProtobufCFieldDescriptor *field = NULL;
    struct value value = {0};
    unsigned wire = 0;
    bool bad = false;
    if (r->depth >= DEPTH || type->n_fields > MAX_FIELDS) return NULL;
    ProtobufCMessage *message = take(r, type->sizeof_message);
    if (message == NULL) return NULL;
    type->message_init(message);
    if (!count_all(r, type, counts) || !make_arrays(r, type, message, counts)) return NULL;
    while (next_field(r, type, &field, &wire, &value, &bad)) {
        bool ok = field->label == PROTOBUF_C_LABEL_REPEATED
                      ? fill_repeated(r, field, wire, message, &value)
                      : fill_single(r, field, message, &value);
        if (!ok) return NULL;
    }
    return bad ? NULL : message;
}

ProtobufCMessage *protobuf_c_message_unpack(const ProtobufCMessageDescriptor *descriptor,
                                            ProtobufCAllocator *allocator, size_t len,
                                            const uint8_t *data)
{
    struct reader r = {data, data + len, allocator, 0};
    return unpack(&r, descriptor);
}
