/* test_refused.c -- what is refused, with its code and its words.
 *
 * Small frames stand in tests/golden/v1/bad/frames.txt; those that are refused for their size are
 * made here, as is what needs more than one frame. */
#include "examples.h"
#include "samples.h"
#include "wire.h"

#include <check.h>
#include <stdio.h>
#include <stdlib.h>

static proto_arena *arena;

static void setup(void)
{
    ck_assert_int_eq(proto_arena_new(&arena, NULL), SYN_OK);
}

static void teardown(void)
{
    proto_arena_free(arena);
}

/* ---- The list -------------------------------------------------------------------------------- */

static char *read_list(void)
{
    FILE *file = fopen(SYN_SOURCE_DIR "/tests/golden/v1/bad/frames.txt", "rb");
    ck_assert_ptr_nonnull(file);
    char *text = calloc(1, 1 << 20);
    ck_assert_ptr_nonnull(text);
    ck_assert_uint_lt(fread(text, 1, (1 << 20) - 1, file), (1 << 20) - 1);
    (void)fclose(file);
    return text;
}

/* One entry: name, "CODE: text", hex. */
static void check_entry(char *entry)
{
    char *expected = strchr(entry, '\n');
    ck_assert_ptr_nonnull(expected);
    *expected++ = 0;
    char *hex = strchr(expected, '\n'), found[256];
    ck_assert_ptr_nonnull(hex);
    *hex++ = 0;
    syn_buf bytes = {0};
    struct frame frame;
    struct proto_fault fault;
    ck_assert_msg(read_hex(&bytes, hex, strlen(hex)), "%s: not hex", entry);
    syn_err err =
        proto_decode(arena, bytes.data, bytes.len, NULL, example_tables, NULL, &frame, &fault);
    (void)snprintf(found, sizeof found, "%s: %s", proto_code_name(fault.code), fault.text);
    ck_assert_msg(err != SYN_OK, "%s: taken", entry);
    ck_assert_msg(strcmp(found, expected) == 0, "%s: \"%s\", not \"%s\"", entry, found, expected);
    syn_buf_free(&bytes);
}

START_TEST(the_list)
{
    char *text = read_list();
    size_t count = 0;
    char *at = strstr(text, "\n\n");
    while (at != NULL && at[2] != 0) {
        char *entry = at + 2, *end = strstr(entry, "\n\n");
        if (end != NULL) *end = 0;
        check_entry(entry);
        count++;
        at = end;
    }
    free(text);
    ck_assert_uint_gt(count, 200);
}
END_TEST

/* ---- Sizes ----------------------------------------------------------------------------------- */

static void check_refused(const syn_buf *bytes, const struct proto_limits *limits, syn_err wanted,
                          const char *text)
{
    struct frame frame;
    struct proto_fault fault;
    syn_err err =
        proto_decode(arena, bytes->data, bytes->len, limits, example_tables, NULL, &frame, &fault);
    ck_assert_int_eq(err, wanted);
    ck_assert_str_eq(fault.text, text);
}

static void check_frame_refused(const struct frame *frame, syn_err wanted, const char *text)
{
    static const struct proto_limits large = {.frame_bytes = 16 << 20};
    syn_buf bytes = {0};
    ck_assert_int_eq(proto_encode(&bytes, frame), SYN_OK);
    check_refused(&bytes, &large, wanted, text);
    syn_buf_free(&bytes);
}

static syn_str of_length(size_t len)
{
    static char many[2 << 20];
    memset(many, 'x', sizeof many);
    ck_assert_uint_le(len, sizeof many);
    return (syn_str){.data = many, .len = len};
}

START_TEST(too_long)
{
    check_frame_refused(&(struct frame){.kind = FRAME_AUTH, .as.auth = {of_length(4097)}},
                        SYN_ELIMIT, "token of more than 4096 bytes");
    check_frame_refused(
        &(struct frame){.kind = FRAME_HELLO, .as.hello = {.token = of_length(4097)}}, SYN_ELIMIT,
        "token of more than 4096 bytes");
    struct msg_presence_state state = {.state = of_length(4097)};
    check_frame_refused(&(struct frame){.kind = FRAME_PRESENCE,
                                        .as.presence = {.states = &state, .state_count = 1}},
                        SYN_ELIMIT, "presence of more than 4096 bytes");
}
END_TEST

START_TEST(too_many_ids)
{
    enum { MOST = 65537 };
    static syn_id ids[MOST];
    static uint64_t peers[MOST];
    for (uint32_t i = 0; i < MOST; i++) ids[i].peer = peers[i] = i + 1;
    check_frame_refused(&(struct frame){.kind = FRAME_WANT,
                                        .as.want = {.have = {.heads = ids, .head_count = 4097}}},
                        SYN_ELIMIT, "more than 4096 heads");
    check_frame_refused(&(struct frame){.kind = FRAME_WANT,
                                        .as.want = {.have = {.vector = ids, .vector_count = MOST}}},
                        SYN_ELIMIT, "vector of more than 65536 peers");
    check_frame_refused(
        &(struct frame){
            .kind = FRAME_OPEN,
            .as.open = {.document = of_length(1), .old_peers = peers, .old_peer_count = 1025}},
        SYN_ELIMIT, "more than 1024 old peers");
    check_frame_refused(
        &(struct frame){.kind = FRAME_NAMES, .as.names = {.peers = peers, .peer_count = 4097}},
        SYN_ELIMIT, "Names: more than 4096 entries");
}
END_TEST

START_TEST(too_many_entries)
{
    enum { MOST = 65537 };
    static struct msg_presence_state states[MOST];
    static struct change_container containers[MOST];
    check_frame_refused(&(struct frame){.kind = FRAME_PRESENCE,
                                        .as.presence = {.states = states, .state_count = MOST}},
                        SYN_ELIMIT, "more than 65536 entries");
    for (uint32_t i = 0; i < MOST; i++) {
        containers[i].form = CONTAINER_BY_EVENT;
        containers[i].seq = i;
    }
    static const uint64_t peer = 1;
    static const struct change_run run = {.len = 1};
    static const struct change_op op = {.kind = OP_NOTHING, .len = 1};
    check_frame_refused(&(struct frame){.kind = FRAME_CHANGES,
                                        .as.changes = {.peers = &peer,
                                                       .peer_count = 1,
                                                       .containers = containers,
                                                       .container_count = MOST,
                                                       .runs = &run,
                                                       .run_count = 1,
                                                       .ops = &op,
                                                       .op_count = 1}},
                        SYN_ELIMIT, "65537 containers, more than 65536");
}
END_TEST

/* As many peers as a live frame's table holds, and one more; what is stored or packed may name all
 * that ever were. */
START_TEST(too_many_peers)
{
    static uint64_t peers[LIMIT_PEERS + 1];
    static const struct change_container map = {.kind = SYN_MAP};
    static const struct change_run run = {.len = 1};
    static const struct change_op op = {.kind = OP_NOTHING, .len = 1};
    struct frame frame = {.kind = FRAME_CHANGES}, back;
    syn_changes *set = &frame.as.changes, chunk;
    struct proto_fault fault;
    for (uint32_t i = 0; i <= LIMIT_PEERS; i++) peers[i] = i + 1;
    *set = (syn_changes){.peers = peers,
                         .containers = &map,
                         .container_count = 1,
                         .runs = &run,
                         .run_count = 1,
                         .ops = &op,
                         .op_count = 1};
    for (uint32_t more = 0; more <= 1; more++) {
        syn_buf bytes = {0}, body = {0};
        set->peer_count = LIMIT_PEERS + more;
        ck_assert_int_eq(proto_encode(&bytes, &frame), SYN_OK);
        syn_err err = proto_decode(arena, bytes.data, bytes.len, NULL, NULL, NULL, &back, &fault);
        ck_assert_int_eq(err, more == 0 ? SYN_OK : SYN_ELIMIT);
        if (more == 1) ck_assert_str_eq(fault.text, "65537 peers, more than 65536");
        ck_assert_int_eq(proto_encode_changes(&body, set, NULL), SYN_OK);
        err = proto_decode_changes(arena, body.data, body.len, NULL, NULL, &chunk, &fault);
        ck_assert_int_eq(err, SYN_OK);
        syn_buf_free(&bytes);
        syn_buf_free(&body);
    }
}
END_TEST

/* One event with a value of that many bytes, or with that many parents. */
static void one_event(syn_changes *set, uint32_t value, uint32_t parents)
{
    static uint64_t peers[5000];
    static struct change_dep deps[5000];
    static struct change_container map = {.kind = SYN_MAP};
    static struct change_run run;
    static struct change_op op = {.kind = OP_MAP_SET, .len = 1};
    static syn_str key;
    static struct change_value v;
    for (uint32_t i = 0; i < 5000; i++) {
        peers[i] = i + 1;
        deps[i] = (struct change_dep){.peer = i + 1};
    }
    run = (struct change_run){.len = 1, .explicit_parents = parents > 0, .dep_count = parents};
    v.blob = of_length(value);
    *set = (syn_changes){.peers = peers,
                         .peer_count = 4999,
                         .containers = &map,
                         .container_count = 1,
                         .runs = &run,
                         .run_count = 1,
                         .deps = deps,
                         .dep_count = parents,
                         .ops = &op,
                         .op_count = 1,
                         .keys = &key,
                         .key_count = 1,
                         .values = &v,
                         .value_count = 1};
}

START_TEST(exactly_at_the_limit)
{
    struct frame frame = {.kind = FRAME_CHANGES}, back;
    struct proto_fault fault;
    struct proto_limits limits = {.frame_bytes = 2 << 20};
    for (uint32_t more = 0; more <= 1; more++)
        for (int which = 0; which < 2; which++) {
            syn_buf bytes = {0};
            one_event(&frame.as.changes, which == 0 ? LIMIT_VALUE_BYTES + more : 1,
                      which == 1 ? LIMIT_PARENTS + more : 0);
            ck_assert_int_eq(proto_encode(&bytes, &frame), SYN_OK);
            syn_err err =
                proto_decode(arena, bytes.data, bytes.len, &limits, NULL, NULL, &back, &fault);
            ck_assert_int_eq(err, more == 0 ? SYN_OK : SYN_ELIMIT);
            if (more == 1)
                ck_assert_str_eq(fault.text, which == 0
                                                 ? "value of 1044481 bytes, more than 1044480"
                                                 : "more than 4096 parents");
            syn_buf_free(&bytes);
        }
}
END_TEST

START_TEST(limits_of_the_caller)
{
    struct frame frame = {.kind = FRAME_CHANGES};
    syn_buf bytes = {0};
    one_event(&frame.as.changes, 100, 9);
    ck_assert_int_eq(proto_encode(&bytes, &frame), SYN_OK);
    struct proto_limits limits = {.frame_bytes = 1000};
    char text[80];
    (void)snprintf(text, sizeof text, "frame of %zu bytes, more than 1000", bytes.len);
    check_refused(&bytes, &limits, SYN_ELIMIT, text);
    limits = (struct proto_limits){.value_bytes = 99};
    check_refused(&bytes, &limits, SYN_ELIMIT, "value of 100 bytes, more than 99");
    limits = (struct proto_limits){.parents = 8};
    check_refused(&bytes, &limits, SYN_ELIMIT, "more than 8 parents");
    syn_buf_free(&bytes);
}
END_TEST

/* A megabyte of slots that say nothing would become 80: no honest list looks like that. */
START_TEST(more_memory_than_a_frame_may_take)
{
    enum { SLOTS = 900000 };
    syn_buf bytes = {0};
    struct writer w = writer_begin(&bytes);
    size_t frame = field_begin(&w, FRAME_SNAPSHOT);
    put_uint(&w, 2, 1);
    put_uint(&w, 3, 2);
    put_peers(&w, 8, (const uint64_t[]){1}, 1);
    put_container(&w, 9, &(struct change_container){.kind = SYN_LIST});
    size_t state = field_begin(&w, 10), lamports = field_begin(&w, 15);
    for (uint32_t i = 0; i < SLOTS; i++) put_varint(&w, 1);
    field_end(&w, lamports);
    field_end(&w, state);
    field_end(&w, frame);
    ck_assert_int_eq(writer_end(&w), SYN_OK);
    check_refused(&bytes, NULL, SYN_ELIMIT, "needs too much memory");
    syn_buf_free(&bytes);
}
END_TEST

START_TEST(more_rows_than_events)
{
    enum { ROWS = 70000 };
    syn_buf bytes = {0};
    struct writer w = writer_begin(&bytes);
    size_t frame = field_begin(&w, FRAME_CHANGES), kinds = field_begin(&w, 10);
    for (uint32_t i = 0; i < ROWS; i++) put_varint(&w, OP_NOTHING);
    field_end(&w, kinds);
    field_end(&w, frame);
    check_refused(&bytes, NULL, SYN_ELIMIT, "more than 65536 events");
    syn_buf_free(&bytes);
}
END_TEST

START_TEST(unknown_operation_too_large)
{
    struct frame frame = {.kind = FRAME_CHANGES};
    one_event(&frame.as.changes, 0, 0);
    struct change_op op = {.kind = 32, .len = 1};
    syn_str ext = of_length(LIMIT_VALUE_BYTES + 1);
    frame.as.changes.ops = &op;
    frame.as.changes.ext = &ext;
    frame.as.changes.ext_count = 1;
    frame.as.changes.key_count = frame.as.changes.value_count = 0;
    check_frame_refused(&frame, SYN_ELIMIT, "ext of more than 1044480 bytes");
}
END_TEST

/* The most events of nothing: counted before anything is taken, absent columns or not. */
START_TEST(events_of_absent_columns)
{
    struct proto_limits limits = {.frame_events = 7};
    struct frame frame = {.kind = FRAME_CHANGES};
    one_event(&frame.as.changes, 0, 0);
    struct change_op op = {.kind = OP_NOTHING, .len = 8};
    struct change_run run = {.len = 8};
    syn_changes set = frame.as.changes;
    set.ops = &op;
    set.runs = &run;
    set.key_count = set.value_count = 0;
    frame.as.changes = set;
    syn_buf bytes = {0};
    ck_assert_int_eq(proto_encode(&bytes, &frame), SYN_OK);
    check_refused(&bytes, &limits, SYN_ELIMIT, "more than 7 events");
    syn_buf_free(&bytes);
}
END_TEST

/* ---- Tables of the channel ------------------------------------------------------------------- */

static bool no_such_channel(void *user, uint32_t channel, struct proto_tables *out)
{
    (void)user;
    (void)channel;
    (void)out;
    return false;
}

START_TEST(tables_that_are_not_there)
{
    static const char bytes[] = {0x08, 0x07, 0x12, 0x03, 0x6a, 0x01, 'a'};
    struct frame frame;
    struct proto_fault fault;
    ck_assert_int_eq(
        proto_decode(arena, bytes, sizeof bytes, NULL, example_tables, NULL, &frame, &fault),
        SYN_OK);
    ck_assert_int_eq(
        proto_decode(arena, bytes, sizeof bytes, NULL, no_such_channel, NULL, &frame, &fault),
        SYN_EMALFORMED);
    ck_assert_str_eq(fault.text, "Changes: no peers, and the channel has none");
    ck_assert_uint_eq(frame.channel, 7);
    syn_changes set;
    ck_assert_int_eq(proto_decode_changes(arena, bytes + 4, 3, NULL, NULL, &set, &fault),
                     SYN_EMALFORMED);
}
END_TEST

/* ---- Bodies of later versions ---------------------------------------------------------------- */

START_TEST(unknown_is_ignored_where_it_may_be)
{
    static const char later_body[] = {0x08, 0x03, (char)0xba, 0x01, 0x01, 'x'};
    static const char later_field[] = {(char)0xa2, 0x01, 0x04, 0x08, 0x05, 0x10, 0x07};
    struct frame frame;
    struct proto_fault fault;
    ck_assert_int_eq(
        proto_decode(arena, later_body, sizeof later_body, NULL, NULL, NULL, &frame, &fault),
        SYN_OK);
    ck_assert_int_eq(frame.kind, 0);
    ck_assert_uint_eq(frame.channel, 3);
    ck_assert_int_eq(
        proto_decode(arena, later_field, sizeof later_field, NULL, NULL, NULL, &frame, &fault),
        SYN_OK);
    ck_assert_int_eq(frame.kind, FRAME_PING);
    ck_assert_uint_eq(frame.as.ping.nonce, 5);
}
END_TEST

/* ---- Packed ---------------------------------------------------------------------------------- */

START_TEST(packed_bombs)
{
    syn_buf body = {0};
    syn_str text = of_length(100000), raw;
    struct frame frame;
    struct proto_fault fault;
    ck_assert_int_eq(proto_encode_packed_body(&body, PACKED_CHANGES, text.data, text.len), SYN_OK);
    ck_assert_int_eq(proto_decode(arena, body.data, body.len, NULL, NULL, NULL, &frame, &fault),
                     SYN_OK);
    struct msg_packed good = frame.as.packed, bad = good;
    ck_assert_int_eq(proto_inflate(arena, &good, 0, &raw, &fault), SYN_OK);
    ck_assert_mem_eq(raw.data, text.data, text.len);
    ck_assert_int_eq(proto_inflate(arena, &good, 99999, &raw, &fault), SYN_ELIMIT);
    ck_assert_str_eq(fault.text, "Packed: raw_size 100000, more than 99999");
    for (int change = -1; change <= 1; change += 2) {
        bad.raw_size = (uint32_t)(100000 + change);
        ck_assert_int_eq(proto_inflate(arena, &bad, 0, &raw, &fault), SYN_EMALFORMED);
        ck_assert_str_eq(fault.text, "Packed: data is not one stream of raw_size bytes");
    }
    bad.raw_size = 64 << 20;
    ck_assert_int_eq(proto_inflate(arena, &bad, 0, &raw, &fault), SYN_EMALFORMED);
    ck_assert_str_eq(fault.text, "Packed: raw_size is more than data can yield");
    bad = good;
    bad.data.len--;
    ck_assert_int_eq(proto_inflate(arena, &bad, 0, &raw, &fault), SYN_EMALFORMED);
    bad = good;
    bad.codec = 1;
    ck_assert_int_eq(proto_inflate(arena, &bad, 0, &raw, &fault), SYN_EVERSION);
    syn_buf_free(&body);
}
END_TEST

START_TEST(packed_with_something_behind)
{
    syn_buf body = {0}, longer = {0};
    syn_str text = of_length(1000), raw;
    struct frame frame;
    struct proto_fault fault;
    ck_assert_int_eq(proto_encode_packed_body(&body, PACKED_CHANGES, text.data, text.len), SYN_OK);
    ck_assert_int_eq(proto_decode(arena, body.data, body.len, NULL, NULL, NULL, &frame, &fault),
                     SYN_OK);
    struct msg_packed packed = frame.as.packed;
    ck_assert_int_eq(syn_buf_append(&longer, packed.data.data, packed.data.len), SYN_OK);
    ck_assert_int_eq(syn_buf_append(&longer, "x", 1), SYN_OK);
    packed.data = (syn_str){.data = longer.data, .len = longer.len};
    ck_assert_int_eq(proto_inflate(arena, &packed, 0, &raw, &fault), SYN_EMALFORMED);
    ck_assert_int_eq(proto_encode_packed_body(&body, PACKED_CHANGES, "abc", 3), SYN_ENOTFOUND);
    syn_buf_free(&longer);
    syn_buf_free(&body);
}
END_TEST

static void add_tests(TCase *c)
{
    tcase_add_test(c, the_list);
    tcase_add_test(c, too_long);
    tcase_add_test(c, too_many_ids);
    tcase_add_test(c, too_many_entries);
    tcase_add_test(c, too_many_peers);
    tcase_add_test(c, exactly_at_the_limit);
    tcase_add_test(c, limits_of_the_caller);
    tcase_add_test(c, more_memory_than_a_frame_may_take);
    tcase_add_test(c, more_rows_than_events);
    tcase_add_test(c, unknown_operation_too_large);
    tcase_add_test(c, events_of_absent_columns);
    tcase_add_test(c, tables_that_are_not_there);
    tcase_add_test(c, unknown_is_ignored_where_it_may_be);
    tcase_add_test(c, packed_bombs);
    tcase_add_test(c, packed_with_something_behind);
}

int main(void)
{
    Suite *s = suite_create("refused");
    TCase *c = tcase_create("frames");
    tcase_set_timeout(c, 0);
    tcase_add_checked_fixture(c, setup, teardown);
    add_tests(c);
    suite_add_tcase(s, c);
    SRunner *runner = srunner_create(s);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
