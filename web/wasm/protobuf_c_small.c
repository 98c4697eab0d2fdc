/* protobuf_c_small.c -- the one function of protobuf-c's runtime that proto/ calls, for builds
 * where that runtime is not: protobuf_c_message_unpack.
 *
 *     bytes --wire_split()--> fields, checked --here--> struct, as the descriptor says
 *
 * The structs are the generated ones of syncline.pb-c.h and the tables that drive this are the
 * generated descriptors, so proto/ is compiled unchanged.  wire_split has found where each field
 * lies and how many entries it has, so each is stored in one go.  All defaults are zeros (proto3),
 * so the generated message_init is not called and left out of the build.  Byte strings are not
 * copied but lie where they lay.  Unknown fields are skipped: proto/ never writes them back.  A
 * message type inside itself would need recursion without bound; syncline.proto has none, and DEPTH
 * says how deep it may ever be.  Memory comes from the allocator that is handed in and is not given
 * back on failure: it is an arena. */
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

static void *member(ProtobufCMessage *message, unsigned offset)
{
    return (char *)message + offset;
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
            unpack(about->descriptor, allocator, column_bytes(column), depth + 1);
        memcpy(at, &inner, sizeof inner);
        return inner != NULL;
    } else {
        store_number(about->type, at, column_varint(column));
    }
    return true;
}

static bool store_field(const ProtobufCFieldDescriptor *about, ProtobufCAllocator *allocator,
                        ProtobufCMessage *message, const struct field *field, unsigned depth)
{
    char *at = member(message, about->offset);
    struct column column = column_of(field);
    bool repeated = about->label == PROTOBUF_C_LABEL_REPEATED;
    if (field->count == 0) {
        if (field->seen && !repeated) store_number(about->type, at, field->value);
        return true;
    }
    if (repeated) {
        size_t count = field->count;
        char *array = allocator->alloc(allocator->allocator_data, count * size_of(about->type));
        if (array == NULL) return false;
        memcpy(member(message, about->quantifier_offset), &count, sizeof count);
        memcpy(at, &array, sizeof array);
        at = array;
    }
    bool ok = true;
    for (; ok && column.left > 0; at += size_of(about->type))
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
    for (unsigned i = 0; i < type->n_fields; i++)
        if (!store_field(&type->fields[i], allocator, message, &fields[i + 1], depth)) return NULL;
    return message;
}

ProtobufCMessage *protobuf_c_message_unpack(const ProtobufCMessageDescriptor *descriptor,
                                            ProtobufCAllocator *allocator, size_t len,
                                            const uint8_t *data)
{
    return unpack(descriptor, allocator, (syn_str){(const char *)data, len}, 0);
}
