/* protobuf_c_small.c -- the one function of protobuf-c's runtime that proto/ calls, for builds
 * where that runtime is not: protobuf_c_message_unpack.
 *
 *     bytes --wire_split()--> fields, checked --here--> struct, as the descriptor says
 *
 * The structs are the generated ones of syncline.pb-c.h, so proto/ is compiled unchanged; the
 * tables that drive this tell the types of their members, not where they lie: one behind the other
 * in the order of the fields' numbers, a repeated one behind its count (descriptors.mjs asserts
 * it). wire_split has found where each field of the message lies and how many entries it has, so
 * each is stored in one go.  All defaults are zeros (proto3), so the generated message_init is not
 * called.  Byte strings are not copied but lie where they lay.  Unknown fields are skipped: proto/
 * never writes them back.  A message type inside itself would need recursion without bound;
 * syncline.proto has none, and DEPTH says how deep it may ever be.  Memory comes from the allocator
 * that is handed in and is not given back on failure: it is an arena. */
#include "wire.h"

enum { DEPTH = 8 };

static size_t size_of(ProtobufCType type)
{
    switch (type) {
    case PROTOBUF_C_TYPE_SINT64:
    case PROTOBUF_C_TYPE_UINT64:
    case PROTOBUF_C_TYPE_FIXED64:
    case PROTOBUF_C_TYPE_DOUBLE:
        return sizeof(uint64_t);
    case PROTOBUF_C_TYPE_BYTES:
        return sizeof(ProtobufCBinaryData);
    case PROTOBUF_C_TYPE_MESSAGE:
        return sizeof(ProtobufCMessage *);
    default:
        return sizeof(uint32_t); /* BOOL too: protobuf_c_boolean is an int */
    }
}

/* The next member of that size: each lies at a multiple of its own size, or of its parts'. */
static char *place(ProtobufCMessage *message, char *behind, ProtobufCType type)
{
    size_t align = type == PROTOBUF_C_TYPE_BYTES ? sizeof(size_t) : size_of(type);
    size_t offset = (size_t)(behind - (char *)message);
    return (char *)message + ((offset + align - 1) & ~(align - 1));
}

static void store_number(ProtobufCType type, void *at, uint64_t v)
{
    uint32_t small = (uint32_t)v;
    if (type == PROTOBUF_C_TYPE_SINT32 || type == PROTOBUF_C_TYPE_SINT64) {
        v = (uint64_t)unzigzag(v);
        small = (uint32_t)v;
    }
    if (size_of(type) == sizeof v)
        memcpy(at, &v, sizeof v);
    else
        memcpy(at, &small, sizeof small);
}

static ProtobufCMessage *unpack(const ProtobufCMessageDescriptor *type,
                                ProtobufCAllocator *allocator, syn_str bytes, unsigned depth);

static bool store_entry(const ProtobufCFieldDescriptor *about, ProtobufCAllocator *allocator,
                        void *at, struct column *column, unsigned depth)
{
    if (about->type == PROTOBUF_C_TYPE_FIXED64 || about->type == PROTOBUF_C_TYPE_DOUBLE) {
        store_number(about->type, at, column_fixed64(column));
    } else if (about->type == PROTOBUF_C_TYPE_BYTES) {
        syn_str bytes = column_bytes(column);
        ProtobufCBinaryData data = {.len = bytes.len, .data = (uint8_t *)(uintptr_t)bytes.data};
        memcpy(at, &data, sizeof data);
    } else if (about->type == PROTOBUF_C_TYPE_MESSAGE) {
        ProtobufCMessage *inner =
            unpack(message_of(about), allocator, column_bytes(column), depth + 1);
        memcpy(at, &inner, sizeof inner);
        return inner != NULL;
    } else {
        store_number(about->type, at, column_varint(column));
    }
    return true;
}

/* Into the member behind `*behind`, which moves on. */
static bool store_field(const ProtobufCFieldDescriptor *about, ProtobufCAllocator *allocator,
                        ProtobufCMessage *message, char **behind, const struct field *field,
                        unsigned depth)
{
    struct column column = column_of(field);
    size_t size = size_of(about->type), count = field->count;
    char *at;
    if (about->label ==
        PROTOBUF_C_LABEL_REPEATED) { /* its count, then its array: pointers' sizes */
        char *n = place(message, *behind, PROTOBUF_C_TYPE_MESSAGE), *array = n + sizeof count;
        *behind = array + sizeof at;
        if (count == 0) return true;
        at = allocator->alloc(allocator->allocator_data, count * size);
        if (at == NULL) return false;
        memcpy(n, &count, sizeof count);
        memcpy(array, &at, sizeof at);
    } else {
        at = place(message, *behind, about->type);
        *behind = at + size;
        if (count == 0) {
            if (field->seen) store_number(about->type, at, field->value);
            return true;
        }
    }
    bool ok = true;
    for (; ok && column.left > 0; at += size)
        ok = store_entry(about, allocator, at, &column, depth);
    return ok;
}

static ProtobufCMessage *unpack(const ProtobufCMessageDescriptor *type,
                                ProtobufCAllocator *allocator, syn_str bytes, unsigned depth)
{
    struct field fields[WIRE_FIELDS];
    if (depth >= DEPTH) return NULL;
    ProtobufCMessage *message = allocator->alloc(allocator->allocator_data, type->sizeof_message);
    if (message == NULL ||
        wire_split(type, bytes.data, bytes.len, UNKNOWN_IGNORED, fields, NULL, NULL) != SYN_OK)
        return NULL;
    memset(message, 0, type->sizeof_message);
    message->descriptor = type;
    char *behind = (char *)(message + 1);
    for (unsigned i = 0; i < type->n_fields; i++)
        if (!store_field(&type->fields[i], allocator, message, &behind, &fields[i + 1], depth))
            return NULL;
    return message;
}

ProtobufCMessage *protobuf_c_message_unpack(const ProtobufCMessageDescriptor *descriptor,
                                            ProtobufCAllocator *allocator, size_t len,
                                            const uint8_t *data)
{
    return unpack(descriptor, allocator, (syn_str){(const char *)data, len}, 0);
}
