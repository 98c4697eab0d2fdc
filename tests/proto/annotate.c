/* annotate.c -- bytes of a frame as commented hex, driven by protobuf-c's descriptors. */
#include "examples.h"
#include "wire.h"
#include "syncline.pb-c.h"

#include <stdarg.h>
#include <stdio.h>

static void print(syn_buf *out, const char *format, ...) __attribute__((format(printf, 2, 3)));
static void print(syn_buf *out, const char *format, ...)
{
    char line[512];
    va_list args;
    va_start(args, format);
    int n = vsnprintf(line, sizeof line, format, args);
    va_end(args);
    (void)syn_buf_append(out, line, n < (int)sizeof line ? (size_t)n : sizeof line - 1);
}

static uint64_t varint(const uint8_t **p)
{
    uint64_t v = 0;
    for (unsigned shift = 0;; shift += 7) {
        uint8_t byte = *(*p)++;
        v |= (uint64_t)(byte & 0x7f) << shift;
        if (byte < 0x80) return v;
    }
}

static uint64_t fixed(const uint8_t *p)
{
    uint64_t v = 0;
    for (int i = 7; i >= 0; i--) v = v << 8 | p[i];
    return v;
}

static void number(syn_buf *out, const ProtobufCFieldDescriptor *about, uint64_t v)
{
    switch (about->type) {
    case PROTOBUF_C_TYPE_SINT32:
    case PROTOBUF_C_TYPE_SINT64:
        print(out, " %lld", (long long)(int64_t)(v >> 1 ^ (~(v & 1) + 1)));
        break;
    case PROTOBUF_C_TYPE_ENUM: {
        const ProtobufCEnumValue *name =
            protobuf_c_enum_descriptor_get_value(about->descriptor, (int)v);
        print(out, " %s", name != NULL ? name->name : "(unknown)");
        break;
    }
    case PROTOBUF_C_TYPE_FIXED64:
        print(out, " 0x%llx", (unsigned long long)v);
        break;
    case PROTOBUF_C_TYPE_DOUBLE: {
        double d;
        memcpy(&d, &v, sizeof d);
        print(out, " %g", d);
        break;
    }
    default:
        print(out, " %llu", (unsigned long long)v);
    }
}

static void hex(syn_buf *out, int indent, const uint8_t *from, const uint8_t *to)
{
    size_t start = out->len;
    print(out, "%*s", indent * 2, "");
    for (; from < to; from++) print(out, "%02x ", *from);
    while (out->len < start + 32) print(out, " ");
    print(out, "# ");
}

static void quoted(syn_buf *out, const uint8_t *p, size_t len)
{
    bool plain = true;
    for (size_t i = 0; i < len; i++) plain = plain && p[i] >= 0x20 && p[i] < 0x7f;
    if (plain)
        print(out, " \"%.*s\"", (int)len, (const char *)p);
    else
        print(out, " %zu bytes", len);
}

static void message(syn_buf *out, const ProtobufCMessageDescriptor *type, const uint8_t *p,
                    const uint8_t *end, int indent);

static void delimited(syn_buf *out, const ProtobufCFieldDescriptor *about, const uint8_t *tag,
                      const uint8_t *p, size_t len, int indent)
{
    bool inner = about->type == PROTOBUF_C_TYPE_MESSAGE;
    hex(out, indent, tag, inner ? p : p + len);
    print(out, "%s:", about->name);
    if (inner) {
        print(out, " %zu bytes\n", len);
        message(out, about->descriptor, p, p + len, indent + 1);
        return;
    }
    if (about->type == PROTOBUF_C_TYPE_BYTES) {
        quoted(out, p, len);
    } else {
        for (const uint8_t *end = p + len; p < end;) {
            bool eight =
                about->type == PROTOBUF_C_TYPE_FIXED64 || about->type == PROTOBUF_C_TYPE_DOUBLE;
            number(out, about, eight ? fixed(p) : varint(&p));
            if (eight) p += 8;
        }
    }
    print(out, "\n");
}

static void message(syn_buf *out, const ProtobufCMessageDescriptor *type, const uint8_t *p,
                    const uint8_t *end, int indent)
{
    while (p < end) {
        const uint8_t *tag = p;
        uint64_t key = varint(&p);
        const ProtobufCFieldDescriptor *about = &type->fields[(key >> 3) - 1];
        if ((key & 7) == 2) {
            size_t len = (size_t)varint(&p);
            delimited(out, about, tag, p, len, indent);
            p += len;
            continue;
        }
        uint64_t v = (key & 7) == 1 ? fixed(p) : varint(&p);
        if ((key & 7) == 1) p += 8;
        hex(out, indent, tag, p);
        print(out, "%s:", about->name);
        number(out, about, v);
        print(out, "\n");
    }
}

void annotate_frame(syn_buf *out, const void *frame, size_t len)
{
    const uint8_t *p = frame;
    message(out, &syncline__v1__frame__descriptor, p, p + len, 0);
}

bool read_hex(syn_buf *out, const char *text, size_t len)
{
    int high = -1;
    bool comment = false;
    for (size_t i = 0; i < len; i++) {
        char c = text[i];
        if (c == '\n') comment = false;
        if (c == '#') comment = true;
        if (comment || c == '\n' || c == ' ' || c == '\r') continue;
        const char *digits = "0123456789abcdef", *at = strchr(digits, c);
        if (at == NULL || c == 0) return false;
        int digit = (int)(at - digits);
        char byte = (char)(high * 16 + digit);
        if (high >= 0 && syn_buf_append(out, &byte, 1) != SYN_OK) return false;
        high = high >= 0 ? -1 : digit;
    }
    return high < 0;
}
