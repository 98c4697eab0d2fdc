/* small_unpack.c -- protobuf_c_small.c beside the real runtime: whatever wire_scan takes must be
 * read alike by both.
 *
 * Valid frames of every kind, then the same with bytes changed, cut, repeated and joined.  Alike:
 * written again by the real runtime, both structs give the same bytes. */
#define protobuf_c_message_unpack small_unpack
#include "../wasm/protobuf_c_small.c"
#undef protobuf_c_message_unpack

#include "samples.h"
#include "syncline.pb-c.h"
#include "wire.h"

#include <check.h>
#include <stdlib.h>

ProtobufCMessage *protobuf_c_message_unpack(const ProtobufCMessageDescriptor *,
                                            ProtobufCAllocator *, size_t, const uint8_t *);

enum { SEEDS = 400, MUTATIONS = 60 };

static uint32_t taken, refused_by_scan;

static bool scans(const ProtobufCMessageDescriptor *type, const void *bytes, size_t len)
{
    proto_arena *arena;
    struct proto_fault fault;
    ck_assert_int_eq(proto_arena_new(&arena, NULL), SYN_OK);
    struct decoding d = {.arena = arena,
                         .fault = &fault,
                         .max_events = LIMIT_CHUNK_EVENTS,
                         .max_value = LIMIT_VALUE_BYTES,
                         .max_parents = LIMIT_PARENTS};
    bool ok = wire_scan(&d, type, bytes, len, 1) == SYN_OK;
    proto_arena_free(arena);
    return ok;
}

/* Ours skips what the schema does not know; the real one keeps it. */
static void forget_unknown(ProtobufCMessage *message)
{
    for (unsigned i = 0; i < message->n_unknown_fields; i++) free(message->unknown_fields[i].data);
    free(message->unknown_fields);
    message->unknown_fields = NULL;
    message->n_unknown_fields = 0;
    for (unsigned i = 0; i < message->descriptor->n_fields; i++) {
        const ProtobufCFieldDescriptor *field = &message->descriptor->fields[i];
        char *member = (char *)message + field->offset;
        ProtobufCMessage **at = (void *)member;
        size_t count = 1;
        if (field->type != PROTOBUF_C_TYPE_MESSAGE) continue;
        if (field->label == PROTOBUF_C_LABEL_REPEATED) {
            memcpy(&count, (char *)message + field->quantifier_offset, sizeof count);
            memcpy(&at, member, sizeof at);
        }
        for (size_t k = 0; k < count; k++)
            if (at[k] != NULL) forget_unknown(at[k]);
    }
}

static void compare(const ProtobufCMessageDescriptor *type, const uint8_t *bytes, size_t len)
{
    proto_arena *arena;
    ck_assert_int_eq(proto_arena_new(&arena, NULL), SYN_OK);
    arena->limit = LIMIT_CHUNK_MEMORY;
    ProtobufCAllocator allocator = arena_allocator(arena);
    ProtobufCMessage *small = small_unpack(type, &allocator, len, bytes);
    if (!scans(type, bytes, len)) { /* it may say what it likes, but not fall */
        refused_by_scan++;
        proto_arena_free(arena);
        return;
    }
    ProtobufCMessage *real = protobuf_c_message_unpack(type, NULL, len, bytes);
    ck_assert_ptr_nonnull(real);
    ck_assert_ptr_nonnull(small);
    forget_unknown(real);
    size_t size = protobuf_c_message_get_packed_size(real);
    ck_assert_uint_eq(size, protobuf_c_message_get_packed_size(small));
    uint8_t *packed = malloc(2 * size + 2);
    ck_assert_ptr_nonnull(packed);
    protobuf_c_message_pack(real, packed);
    protobuf_c_message_pack(small, packed + size);
    ck_assert_mem_eq(packed, packed + size, size);
    free(packed);
    protobuf_c_message_free_unpacked(real, NULL);
    proto_arena_free(arena);
    taken++;
}

/* One byte another, a piece gone, or a piece twice. */
static size_t mutate(struct samples *s, uint8_t *to, const uint8_t *from, size_t len)
{
    if (len == 0) return 0;
    memcpy(to, from, len);
    size_t at = samples_below(s, (uint32_t)len), n = 1 + samples_below(s, (uint32_t)(len - at));
    switch (samples_below(s, 4)) {
    case 0:
        to[at] = (uint8_t)samples_random(s);
        return len;
    case 1:
        to[at] ^= (uint8_t)(1u << samples_below(s, 8));
        return len;
    case 2:
        memmove(to + at, to + at + n, len - at - n);
        return len - n;
    default:
        memcpy(to + len, from + at, n);
        return len + n;
    }
}

static void one_frame(uint64_t seed)
{
    struct samples s;
    struct frame frame = {0};
    syn_buf bytes = {0};
    struct field fields[WIRE_FIELDS];
    struct proto_fault fault;
    samples_begin(&s, seed, 30);
    sample_frame(&s, (enum frame_kind)(FRAME_CHANGES + seed % (FRAME_ERROR - FRAME_CHANGES + 1)),
                 &frame);
    bool made = proto_encode(&bytes, &frame) == SYN_OK;
    if (made && wire_split(&syncline__v1__frame__descriptor, bytes.data, bytes.len, UNKNOWN_IGNORED,
                           fields, &(bool){false}, &fault) == SYN_OK) {
        const ProtobufCMessageDescriptor *type =
            syncline__v1__frame__descriptor.fields[frame.kind - 1].descriptor;
        syn_str body = field_str(&fields[frame.kind]);
        uint8_t *changed = malloc(2 * body.len + 2);
        ck_assert_ptr_nonnull(changed);
        compare(type, (const uint8_t *)body.data, body.len);
        for (int i = 0; i < MUTATIONS; i++)
            compare(type, changed, mutate(&s, changed, (const uint8_t *)body.data, body.len));
        free(changed);
    }
    syn_buf_free(&bytes);
    samples_reset(&s);
}

START_TEST(both_read_alike)
{
    const char *times = getenv("SYN_SEEDS");
    uint64_t seeds = SEEDS * (times != NULL ? strtoull(times, NULL, 10) : 1);
    for (uint64_t seed = 1; seed <= seeds; seed++) one_frame(seed);
    ck_assert_uint_gt(taken, SEEDS);
    ck_assert_uint_gt(refused_by_scan, SEEDS);
}
END_TEST

static bool self_read(const ProtobufCMessageDescriptor *type, const uint8_t *bytes, size_t len)
{
    proto_arena *arena;
    ck_assert_int_eq(proto_arena_new(&arena, NULL), SYN_OK);
    arena->limit = LIMIT_CHUNK_MEMORY;
    ProtobufCAllocator allocator = arena_allocator(arena);
    bool read = small_unpack(type, &allocator, len, bytes) != NULL;
    proto_arena_free(arena);
    return read;
}

/* A message inside itself, had the schema one, would be a stack overflow: DEPTH refuses it. */
START_TEST(depth_is_bounded)
{
    static ProtobufCMessageDescriptor self;
    static ProtobufCFieldDescriptor field;
    uint8_t bytes[64];
    self = syncline__v1__frame__descriptor;
    for (unsigned i = 0; i < self.n_fields; i++)
        if (self.fields[i].id == FRAME_ERROR) field = self.fields[i];
    field.id = 1;
    field.descriptor = &self;
    self.fields = &field;
    self.n_fields = 1;
    size_t at = sizeof bytes;
    for (int depth = 0; depth < DEPTH + 2; depth++) {
        uint8_t len = (uint8_t)(sizeof bytes - at);
        bytes[--at] = len;
        bytes[--at] = 1 << 3 | 2; /* tag of a length-delimited field 1 */
        if (depth < DEPTH - 1) ck_assert(self_read(&self, bytes + at, sizeof bytes - at));
    }
    ck_assert(!self_read(&self, bytes + at, sizeof bytes - at));
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("small_unpack");
    TCase *tc = tcase_create("all");
    tcase_set_timeout(tc, 0);
    tcase_add_test(tc, both_read_alike);
    tcase_add_test(tc, depth_is_bounded);
    suite_add_tcase(suite, tc);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed != 0;
}
