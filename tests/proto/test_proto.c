/* test_proto.c -- every message there and back; memory running out; mutated bytes. */
#include "samples.h"
#include "wire.h"
#include "syncline.pb-c.h"

#include <check.h>
#include <stdio.h>
#include <stdlib.h>

static uint64_t rounds(uint64_t base)
{
    const char *multiplier = getenv("SYN_SEEDS");
    return multiplier != NULL && atoi(multiplier) > 0 ? base * (uint64_t)atoi(multiplier) : base;
}

/* Encoded, decoded and encoded again gives the same bytes. */
static void check_there_and_back(proto_arena *arena, const struct frame *frame, uint64_t seed)
{
    syn_buf first = {0}, second = {0};
    struct frame back;
    struct proto_fault fault;
    ck_assert_int_eq(proto_encode(&first, frame), SYN_OK);
    syn_err err = proto_decode(arena, first.data, first.len, NULL, NULL, NULL, &back, &fault);
    ck_assert_msg(err == SYN_OK, "%s, seed %llu: %s", proto_frame_name(frame->kind),
                  (unsigned long long)seed, fault.text);
    ck_assert_uint_eq(back.channel, frame->channel);
    ck_assert_int_eq(back.kind, frame->kind);
    ck_assert_int_eq(proto_encode(&second, &back), SYN_OK);
    ck_assert_msg(first.len == second.len && memcmp(first.data, second.data, first.len) == 0,
                  "%s, seed %llu: encoded again it differs", proto_frame_name(frame->kind),
                  (unsigned long long)seed);
    syn_buf_free(&first);
    syn_buf_free(&second);
}

START_TEST(every_message_there_and_back)
{
    proto_arena *arena;
    ck_assert_int_eq(proto_arena_new(&arena, NULL), SYN_OK);
    for (uint64_t seed = 1; seed <= rounds(300); seed++)
        for (int kind = FRAME_CHANGES; kind <= FRAME_ERROR; kind++) {
            struct samples s;
            struct frame frame;
            samples_begin(&s, seed, seed % 10 == 0 ? 60 : 5);
            sample_frame(&s, (enum frame_kind)kind, &frame);
            check_there_and_back(arena, &frame, seed);
            samples_reset(&s);
        }
    proto_arena_free(arena);
}
END_TEST

/* protobuf-c, which knows nothing of us, reads what we write and writes the same. */
START_TEST(as_protobuf_c_writes_it)
{
    for (uint64_t seed = 1; seed <= rounds(100); seed++)
        for (int kind = FRAME_CHANGES; kind <= FRAME_ERROR; kind++) {
            struct samples s;
            struct frame frame;
            syn_buf ours = {0};
            samples_begin(&s, seed, 10);
            sample_frame(&s, (enum frame_kind)kind, &frame);
            ck_assert_int_eq(proto_encode(&ours, &frame), SYN_OK);
            Syncline__V1__Frame *theirs =
                syncline__v1__frame__unpack(NULL, ours.len, (const uint8_t *)ours.data);
            ck_assert_ptr_nonnull(theirs);
            ck_assert_int_eq((int)theirs->body_case, kind);
            uint8_t *again = malloc(ours.len + 1000);
            ck_assert_uint_eq(syncline__v1__frame__get_packed_size(theirs), ours.len);
            ck_assert_uint_eq(syncline__v1__frame__pack(theirs, again), ours.len);
            ck_assert_msg(memcmp(again, ours.data, ours.len) == 0, "%s, seed %llu",
                          proto_frame_name(frame.kind), (unsigned long long)seed);
            free(again);
            syncline__v1__frame__free_unpacked(theirs, NULL);
            syn_buf_free(&ours);
            samples_reset(&s);
        }
}
END_TEST

/* Live frames leave out what the channel's tables have; decoding puts it back. */
START_TEST(tables_of_the_channel)
{
    proto_arena *arena;
    ck_assert_int_eq(proto_arena_new(&arena, NULL), SYN_OK);
    for (uint64_t seed = 1; seed <= rounds(300); seed++) {
        struct samples s;
        syn_changes set, back, again;
        struct proto_fault fault;
        samples_begin(&s, seed, 8);
        sample_changes(&s, &set);
        set.author = NULL;
        struct proto_tables tables = {.peers = set.peers,
                                      .peer_count = seed % 3 == 0 ? 0 : set.peer_count,
                                      .containers = set.containers,
                                      .container_count = seed % 5 == 0 ? 0 : set.container_count};
        if (tables.peer_count == 0) tables.container_count = 0;
        syn_buf shorter = {0}, whole = {0}, same = {0};
        ck_assert_int_eq(proto_encode_changes(&shorter, &set, &tables), SYN_OK);
        ck_assert_int_eq(proto_encode_changes(&whole, &set, NULL), SYN_OK);
        ck_assert_uint_le(shorter.len, whole.len);
        syn_err err =
            proto_decode_changes(arena, shorter.data, shorter.len, NULL, &tables, &back, &fault);
        ck_assert_msg(err == SYN_OK, "seed %llu: %s", (unsigned long long)seed, fault.text);
        ck_assert_int_eq(proto_encode_changes(&same, &back, NULL), SYN_OK);
        ck_assert_uint_eq(same.len, whole.len);
        ck_assert_mem_eq(same.data, whole.data, whole.len);
        ck_assert_int_eq(
            proto_decode_changes(arena, whole.data, whole.len, NULL, NULL, &again, &fault), SYN_OK);
        proto_arena_reset(arena);
        syn_buf_free(&shorter);
        syn_buf_free(&whole);
        syn_buf_free(&same);
        samples_reset(&s);
    }
    proto_arena_free(arena);
}
END_TEST

static Suite *suite(void)
{
    Suite *s = suite_create("proto");
    TCase *c = tcase_create("frames");
    tcase_set_timeout(c, 0);
    tcase_add_test(c, every_message_there_and_back);
    tcase_add_test(c, as_protobuf_c_writes_it);
    tcase_add_test(c, tables_of_the_channel);
    suite_add_tcase(s, c);
    return s;
}

int main(void)
{
    SRunner *runner = srunner_create(suite());
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
