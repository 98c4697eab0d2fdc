/* test_proto.c -- every message there and back; memory running out; mutated bytes. */
#include "samples.h"
#include "wire.h"

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

static Suite *suite(void)
{
    Suite *s = suite_create("proto");
    TCase *c = tcase_create("frames");
    tcase_set_timeout(c, 0);
    tcase_add_test(c, every_message_there_and_back);
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
