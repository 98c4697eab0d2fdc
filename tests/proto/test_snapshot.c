/* test_snapshot.c -- a state cut into parts and joined again is the same state. */
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

/* ---- Parts as they are emitted --------------------------------------------------------------- */

struct parts {
    syn_buf bytes[2000];
    syn_str views[2000];
    uint32_t count, announced;
};

static syn_err keep_part(void *user, uint32_t part, uint32_t parts, syn_str bytes)
{
    struct parts *p = user;
    ck_assert_uint_eq(part, p->count);
    ck_assert_uint_lt(p->count, 2000);
    p->announced = parts;
    syn_buf *buf = &p->bytes[p->count++];
    syn_err err = syn_buf_append(buf, bytes.data, bytes.len);
    p->views[part] = (syn_str){.data = buf->data, .len = buf->len};
    return err;
}

static void free_parts(struct parts *p)
{
    for (uint32_t i = 0; i < p->count; i++) syn_buf_free(&p->bytes[i]);
    p->count = 0;
}

/* ---- The same state -------------------------------------------------------------------------- */

/* One part with everything in it, as bytes: equal bytes, equal states. */
static void whole_bytes(const syn_snapshot *s, syn_buf *out)
{
    struct parts p = {0};
    ck_assert_int_eq(proto_encode_snapshot(s, 1, 2, SIZE_MAX, keep_part, &p), SYN_OK);
    ck_assert_uint_eq(p.count, 1);
    ck_assert_int_eq(syn_buf_append(out, p.bytes[0].data, p.bytes[0].len), SYN_OK);
    free_parts(&p);
}

static struct parts parts;

static void cut_and_join(proto_arena *arena, const syn_snapshot *s, size_t part_bytes)
{
    syn_snapshot back;
    uint64_t digest;
    struct proto_fault fault;
    syn_buf before = {0}, after = {0};
    ck_assert_int_eq(proto_encode_snapshot(s, 1, 2, part_bytes, keep_part, &parts), SYN_OK);
    ck_assert_uint_eq(parts.count, parts.announced);
    syn_err err = proto_join_snapshot(arena, parts.views, parts.count, &back, &digest, &fault);
    ck_assert_msg(err == SYN_OK, "%s", fault.text);
    ck_assert_uint_eq(digest, 2);
    whole_bytes(s, &before);
    whole_bytes(&back, &after);
    ck_assert_uint_eq(before.len, after.len);
    ck_assert_mem_eq(before.data, after.data, before.len);
    syn_buf_free(&before);
    syn_buf_free(&after);
    free_parts(&parts);
    proto_arena_reset(arena);
}

START_TEST(random_states)
{
    static const size_t sizes[] = {1, 50, 100, 300, 1000, 5000, SIZE_MAX};
    proto_arena *arena;
    ck_assert_int_eq(proto_arena_new(&arena, NULL), SYN_OK);
    for (uint64_t seed = 1; seed <= rounds(100); seed++) {
        struct samples s;
        syn_snapshot snapshot;
        samples_begin(&s, seed, seed % 10 == 0 ? 60 : 5);
        sample_snapshot(&s, &snapshot);
        for (size_t i = seed % 10 == 0 ? 2 : 0; i < sizeof sizes / sizeof *sizes; i++)
            cut_and_join(arena, &snapshot, sizes[i]);
        samples_reset(&s);
    }
    proto_arena_free(arena);
}
END_TEST

START_TEST(about_part_bytes)
{
    enum { TEXT = 1000000, PART = 65536 };
    char *text = malloc(TEXT);
    ck_assert_ptr_nonnull(text);
    memset(text, 'x', TEXT);
    static const syn_id head = {1, 1};
    struct snapshot_state state = {.text = {.data = text, .len = TEXT}};
    syn_snapshot s = {.heads = &head,
                      .head_count = 1,
                      .lamport = 1,
                      .events = 1,
                      .containers = &root_container,
                      .container_count = 1,
                      .states = &state,
                      .state_count = 1};
    ck_assert_int_eq(proto_encode_snapshot(&s, 1, 2, PART, keep_part, &parts), SYN_OK);
    ck_assert_uint_eq(parts.count, TEXT / (PART - 64) + 1);
    for (uint32_t i = 0; i < parts.count; i++) ck_assert_uint_le(parts.bytes[i].len, PART + 128);
    free_parts(&parts);
    free(text);
}
END_TEST

/* ---- Parts that do not fit together ---------------------------------------------------------- */

static void check_join(const syn_str *views, uint32_t count, const char *text)
{
    proto_arena *arena;
    syn_snapshot back;
    struct proto_fault fault;
    ck_assert_int_eq(proto_arena_new(&arena, NULL), SYN_OK);
    ck_assert_int_eq(proto_join_snapshot(arena, views, count, &back, NULL, &fault), SYN_EMALFORMED);
    ck_assert_str_eq(fault.text, text);
    proto_arena_free(arena);
}

START_TEST(parts_missing_or_mixed)
{
    struct samples s;
    syn_snapshot snapshot;
    samples_begin(&s, 20, 60);
    sample_snapshot(&s, &snapshot);
    ck_assert_int_eq(proto_encode_snapshot(&snapshot, 1, 2, 300, keep_part, &parts), SYN_OK);
    ck_assert_uint_gt(parts.count, 3);
    check_join(parts.views, 0, "Snapshot: no parts");
    check_join(parts.views, parts.count - 1, "Snapshot: parts that do not belong together");
    syn_str swap = parts.views[1];
    parts.views[1] = parts.views[2];
    parts.views[2] = swap;
    check_join(parts.views, parts.count, "Snapshot: parts that do not belong together");
    free_parts(&parts);
    samples_reset(&s);
}
END_TEST

/* Two parts with one piece of text each, as the caller wants them. */
struct piece {
    uint32_t offset, container;
    bool more;
};

static void two_pieces(struct piece a, struct piece b, const char *text)
{
    static const struct change_container two[] = {{.kind = SYN_TEXT},
                                                  {.kind = SYN_TEXT, .name = {"b", 1}}};
    static const syn_id head = {1, 1};
    syn_buf bytes[2] = {{0}, {0}};
    syn_str views[2];
    const struct piece pieces[] = {a, b};
    for (uint32_t i = 0; i < 2; i++) {
        struct snapshot_state state = {.container = pieces[i].container, .text = {"xy", 2}};
        struct msg_snapshot part = {.id = 1,
                                    .part = i,
                                    .parts = 2,
                                    .piece = {.heads = &head,
                                              .head_count = 1,
                                              .lamport = 1,
                                              .events = 1,
                                              .containers = two,
                                              .container_count = 2,
                                              .states = &state,
                                              .state_count = 1},
                                    .from = &pieces[i].offset,
                                    .more = &pieces[i].more};
        struct writer w = writer_begin(&bytes[i]);
        put_snapshot(&w, &part);
        ck_assert_int_eq(writer_end(&w), SYN_OK);
        views[i] = (syn_str){.data = bytes[i].data, .len = bytes[i].len};
    }
    check_join(views, 2, text);
    syn_buf_free(&bytes[0]);
    syn_buf_free(&bytes[1]);
}

/* A map in two parts, whose second begins with a key that is not greater. */
START_TEST(keys_that_do_not_ascend)
{
    static const uint64_t peer = 1;
    static const struct change_container map = {.kind = SYN_MAP};
    static const syn_id head = {1, 1};
    static const uint32_t offsets[] = {0, 1};
    static const bool more[] = {true, false};
    syn_buf bytes[2] = {{0}, {0}};
    syn_str views[2];
    for (uint32_t i = 0; i < 2; i++) {
        struct snapshot_entry entry = {.key = {"k", 1}, .lamport = 1};
        struct snapshot_state state = {.entries = &entry, .entry_count = 1};
        struct msg_snapshot part = {.id = 1,
                                    .part = i,
                                    .parts = 2,
                                    .piece = {.heads = &head,
                                              .head_count = 1,
                                              .lamport = 1,
                                              .events = 1,
                                              .peers = &peer,
                                              .peer_count = 1,
                                              .containers = &map,
                                              .container_count = 1,
                                              .states = &state,
                                              .state_count = 1},
                                    .from = &offsets[i],
                                    .more = &more[i]};
        struct writer w = writer_begin(&bytes[i]);
        put_snapshot(&w, &part);
        ck_assert_int_eq(writer_end(&w), SYN_OK);
        views[i] = (syn_str){.data = bytes[i].data, .len = bytes[i].len};
    }
    check_join(views, 2, "Snapshot: keys are not in ascending order");
    syn_buf_free(&bytes[0]);
    syn_buf_free(&bytes[1]);
}
END_TEST

START_TEST(losers_of_equal_lamport)
{
    static const uint64_t peers[] = {5, 9};
    static const struct change_container map = {.kind = SYN_MAP};
    static const syn_id head = {9, 1};
    const struct snapshot_entry entries[] = {{.lamport = 3, .peer = 1, .seq = 1},
                                             {.lamport = 3, .peer = 0, .seq = 4}};
    const struct snapshot_entry wrong[] = {entries[1], entries[0]};
    const struct snapshot_entry *both[] = {entries, wrong};
    proto_arena *arena;
    ck_assert_int_eq(proto_arena_new(&arena, NULL), SYN_OK);
    for (int i = 0; i < 2; i++) {
        const struct snapshot_state state = {.entries = both[i], .entry_count = 2};
        const syn_snapshot s = {.heads = &head,
                                .head_count = 1,
                                .lamport = 3,
                                .events = 3,
                                .peers = peers,
                                .peer_count = 2,
                                .containers = &map,
                                .container_count = 1,
                                .states = &state,
                                .state_count = 1};
        struct msg_snapshot part;
        struct proto_fault fault;
        ck_assert_int_eq(proto_encode_snapshot(&s, 1, 2, 100, keep_part, &parts), SYN_OK);
        ck_assert_uint_eq(parts.count, 1); /* the writes of a key are not parted */
        syn_err err =
            proto_decode_snapshot(arena, parts.views[0].data, parts.views[0].len, &part, &fault);
        ck_assert_int_eq(err, i == 0 ? SYN_OK : SYN_EMALFORMED);
        if (i == 1)
            ck_assert_str_eq(fault.text,
                             "Snapshot: the writes of a key are not in descending order");
        free_parts(&parts);
    }
    proto_arena_free(arena);
}
END_TEST

START_TEST(pieces_that_do_not_follow)
{
    const char *gap = "Snapshot: pieces of a state do not follow each other";
    two_pieces((struct piece){0, 0, true}, (struct piece){3, 0, false}, gap);
    two_pieces((struct piece){0, 0, true}, (struct piece){2, 1, false}, gap);
    two_pieces((struct piece){0, 0, true}, (struct piece){2, 0, true},
               "Snapshot: the last state is cut off");
    two_pieces((struct piece){0, 0, false}, (struct piece){2, 0, false},
               "Snapshot: a piece without those before it");
    two_pieces((struct piece){0, 0, false}, (struct piece){0, 0, false},
               "Snapshot: two states of one container");
}
END_TEST

int main(void)
{
    Suite *s = suite_create("snapshots");
    TCase *c = tcase_create("parts");
    tcase_set_timeout(c, 0);
    tcase_add_test(c, random_states);
    tcase_add_test(c, about_part_bytes);
    tcase_add_test(c, parts_missing_or_mixed);
    tcase_add_test(c, keys_that_do_not_ascend);
    tcase_add_test(c, losers_of_equal_lamport);
    tcase_add_test(c, pieces_that_do_not_follow);
    suite_add_tcase(s, c);
    SRunner *runner = srunner_create(s);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
