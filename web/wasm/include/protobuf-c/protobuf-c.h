/* protobuf-c.h -- what proto/ and syncline.pb-c.h need of protobuf-c, for the browser's build.
 *
 * The generated structs are taken as they are; the generated descriptors, 60 bytes a field of which
 * most are names, are not: descriptors.mjs writes them once more in the form below, 2 bytes a
 * field. Where a field lies in its struct is not told, for it follows from the fields before it
 * (protobuf_c_small.c).  Names have no room here; only texts of errors would use them, and a small
 * build has none. */
#ifndef SYN_WASM_PROTOBUF_C_H
#define SYN_WASM_PROTOBUF_C_H

#include <stddef.h>
#include <stdint.h>

#define PROTOBUF_C_VERSION_NUMBER       1004001 /* whose generated structs these are */
#define PROTOBUF_C_MIN_COMPILER_VERSION 1000000
#define PROTOBUF_C__BEGIN_DECLS
#define PROTOBUF_C__END_DECLS
#define PROTOBUF_C__FORCE_ENUM_TO_BE_INT_SIZE(name) , _##name##_IS_INT_SIZE = INT32_MAX

typedef int protobuf_c_boolean;

typedef enum {
    PROTOBUF_C_TYPE_UINT32,
    PROTOBUF_C_TYPE_ENUM,
    PROTOBUF_C_TYPE_BOOL,
    PROTOBUF_C_TYPE_SINT32,
    PROTOBUF_C_TYPE_UINT64,
    PROTOBUF_C_TYPE_SINT64,
    PROTOBUF_C_TYPE_FIXED64,
    PROTOBUF_C_TYPE_DOUBLE,
    PROTOBUF_C_TYPE_BYTES,
    PROTOBUF_C_TYPE_MESSAGE,
} ProtobufCType;

enum { PROTOBUF_C_LABEL_NONE, PROTOBUF_C_LABEL_REPEATED };

typedef struct ProtobufCMessageDescriptor ProtobufCMessageDescriptor;
typedef struct ProtobufCEnumDescriptor ProtobufCEnumDescriptor;
typedef struct ProtobufCBuffer ProtobufCBuffer;

typedef struct {                 /* the number is the place in the table */
    uint8_t of;                  /* of a message's type: where that is in protobuf_c_nested */
    uint8_t label : 1, type : 7; /* ProtobufCType */
    const char name[0];
} ProtobufCFieldDescriptor;

struct ProtobufCMessageDescriptor {
    const ProtobufCFieldDescriptor *fields;
    uint8_t n_fields, sizeof_message;
    const char short_name[0];
};

extern const ProtobufCMessageDescriptor *const protobuf_c_nested[];

typedef struct {
    const ProtobufCMessageDescriptor *descriptor;
} ProtobufCMessage;

typedef struct {
    size_t len;
    uint8_t *data;
} ProtobufCBinaryData;

typedef struct {
    void *(*alloc)(void *allocator_data, size_t size);
    void (*free)(void *allocator_data, void *pointer);
    void *allocator_data;
} ProtobufCAllocator;

ProtobufCMessage *protobuf_c_message_unpack(const ProtobufCMessageDescriptor *descriptor,
                                            ProtobufCAllocator *allocator, size_t len,
                                            const uint8_t *data);

#endif
