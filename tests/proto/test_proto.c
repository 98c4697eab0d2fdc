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

/* The hash chains tell, which know no tables. */
static void check_same_events(const syn_changes *a, const syn_changes *b, uint64_t seed)
{
    ck_assert_uint_eq(a->run_count, b->run_count);
    ck_assert_uint_eq(a->op_count, b->op_count);
    for (uint32_t i = 0; i < a->run_count; i++) {
        uint64_t peer = a->peers[a->runs[i].peer], chain[2] = {0, 0};
        uint32_t next[2] = {a->runs[i].seq, a->runs[i].seq};
        ck_assert_int_eq(proto_chain(a, peer, &next[0], &chain[0]), SYN_OK);
        ck_assert_int_eq(proto_chain(b, peer, &next[1], &chain[1]), SYN_OK);
        ck_assert_uint_eq(next[0], next[1]);
        ck_assert_msg(chain[0] == chain[1], "seed %llu", (unsigned long long)seed);
        ck_assert_uint_gt(next[0], a->runs[i].seq);
    }
}

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
        syn_buf shorter = {0}, whole = {0};
        ck_assert_int_eq(proto_encode_changes(&shorter, &set, &tables), SYN_OK);
        ck_assert_int_eq(proto_encode_changes(&whole, &set, NULL), SYN_OK);
        ck_assert_uint_le(shorter.len, whole.len);
        syn_err err =
            proto_decode_changes(arena, shorter.data, shorter.len, NULL, &tables, &back, &fault);
        ck_assert_msg(err == SYN_OK, "seed %llu: %s", (unsigned long long)seed, fault.text);
        check_same_events(&set, &back, seed);
        ck_assert_int_eq(
            proto_decode_changes(arena, whole.data, whole.len, NULL, NULL, &again, &fault), SYN_OK);
        proto_arena_reset(arena);
        syn_buf_free(&shorter);
        syn_buf_free(&whole);
        samples_reset(&s);
    }
    proto_arena_free(arena);
}
END_TEST

/* Explicit peers, and the channel's containers, one of which another peer's event made. */
START_TEST(own_peers_and_containers_of_the_channel)
{
    static const uint64_t channel_peers[] = {1, 2};
    static const struct change_container channel_containers[] = {
        {.kind = SYN_TEXT},
        {.kind = SYN_TEXT, .form = CONTAINER_BY_EVENT, .peer = 1, .seq = 7},
        {.kind = SYN_TEXT, .form = CONTAINER_BY_EVENT, .peer = 0, .seq = 8}};
    static const struct proto_tables tables = {channel_peers, 2, channel_containers, 3};
    static const uint64_t own_peers[] = {3, 2};
    static const struct change_container own_containers[] = {
        {.kind = SYN_TEXT, .form = CONTAINER_BY_EVENT, .peer = 1, .seq = 7}};
    static const struct change_run run = {.len = 1};
    static const struct change_op op = {.len = 1};
    const syn_changes set = {.peers = own_peers,
                             .peer_count = 2,
                             .containers = own_containers,
                             .container_count = 1,
                             .runs = &run,
                             .run_count = 1,
                             .ops = &op,
                             .op_count = 1,
                             .text = {"x", 1}};
    syn_buf bytes = {0};
    proto_arena *arena;
    syn_changes back;
    struct proto_fault fault;
    ck_assert_int_eq(proto_arena_new(&arena, NULL), SYN_OK);
    ck_assert_int_eq(proto_encode_changes(&bytes, &set, &tables), SYN_OK);
    ck_assert_uint_eq((unsigned char)bytes.data[0], 0x0a);   /* peers are written */
    ck_assert_ptr_null(memchr(bytes.data, 0x42, bytes.len)); /* containers are not */
    ck_assert_int_eq(
        proto_decode_changes(arena, bytes.data, bytes.len, NULL, &tables, &back, &fault), SYN_OK);
    const struct change_container *c = &back.containers[back.ops[0].container];
    ck_assert_uint_eq(back.peers[back.runs[0].peer], 3);
    ck_assert_int_eq(c->form, CONTAINER_BY_EVENT);
    ck_assert_uint_eq(back.peers[c->peer], 2);
    ck_assert_uint_eq(c->seq, 7);
    ck_assert_uint_eq(back.container_count, 1); /* what it does not use is not there */
    ck_assert_uint_eq(back.peer_count, 2);
    static const unsigned char one_peer[] = {0x0a, 0x08, 0x03, 0, 0, 0, 0, 0, 0, 0, /* peers: 3 */
                                             0x4a, 0x01, 0x02, /* op_container: 2 */
                                             0x6a, 0x01, 'x'}; /* text */
    ck_assert_int_eq(
        proto_decode_changes(arena, one_peer, sizeof one_peer, NULL, &tables, &back, &fault),
        SYN_OK);
    ck_assert_uint_eq(back.peer_count, 2);
    ck_assert_uint_eq(back.peers[back.runs[0].peer], 3);
    ck_assert_uint_eq(back.peers[back.containers[0].peer], 1); /* appended */
    syn_buf_free(&bytes);
    proto_arena_free(arena);
}
END_TEST

/* Op runs that were cut without need keep their number though every column is default. */
START_TEST(op_runs_all_default)
{
    static const uint64_t peer = 1;
    static const struct change_run run = {.len = 3};
    static const struct change_op ops[] = {{.len = 1}, {.len = 1, .pos = 1}, {.len = 1, .pos = 2}};
    const syn_changes set = {.peers = &peer,
                             .peer_count = 1,
                             .containers = &root_container,
                             .container_count = 1,
                             .runs = &run,
                             .run_count = 1,
                             .ops = ops,
                             .op_count = 3,
                             .text = {"x\xc3\xb6z", 4}};
    syn_buf bytes = {0};
    proto_arena *arena;
    syn_changes back;
    struct proto_fault fault;
    ck_assert_int_eq(proto_arena_new(&arena, NULL), SYN_OK);
    ck_assert_int_eq(proto_encode_changes(&bytes, &set, NULL), SYN_OK);
    ck_assert_int_eq(proto_decode_changes(arena, bytes.data, bytes.len, NULL, NULL, &back, &fault),
                     SYN_OK);
    ck_assert_uint_eq(back.op_count, 3);
    ck_assert_uint_eq(back.ops[2].pos, 2);
    ck_assert_uint_eq(back.container_count, 1);
    uint32_t next[2] = {0, 0};
    uint64_t chain[2] = {0, 0};
    const struct change_op one = {.len = 3};
    syn_changes joined = set;
    joined.ops = &one;
    joined.op_count = 1;
    ck_assert_int_eq(proto_chain(&back, 1, &next[0], &chain[0]), SYN_OK);
    ck_assert_int_eq(proto_chain(&joined, 1, &next[1], &chain[1]), SYN_OK);
    ck_assert_uint_eq(next[0], 3);
    ck_assert_uint_eq(chain[0], chain[1]);
    syn_buf_free(&bytes);
    proto_arena_free(arena);
}
END_TEST

/* Fields in any order, entries of a repeated field apart: legal protobuf, though nobody writes it.
 */
START_TEST(entries_apart)
{
    static const unsigned char bytes[] = {0x52, 0x01, 0x05,       /* op_kind MAP_DELETE */
                                          0x72, 0x01, 'a',        /* keys */
                                          0x5a, 0x01, 0x02,       /* op_len 2 */
                                          0xc0, 0x01, 0x00,       /* format 0, written out */
                                          0x42, 0x02, 0x08, 0x01, /* containers: MAP */
                                          0x72, 0x01, 'b',        /* keys */
                                          0x0a, 0x08, 0x01, 0x00,
                                          0x00, 0x00, 0x00, 0x00, /* peers */
                                          0x00, 0x00};
    static const unsigned char open[] = {0x08, 0x01, 0x52, 0x0e, 0x0a, 0x01, 'd', 0x29, 0x05,
                                         0,    0,    0,    0,    0,    0,    0,   0x40, 0x01};
    proto_arena *arena;
    syn_changes set;
    struct frame frame;
    struct proto_fault fault;
    ck_assert_int_eq(proto_arena_new(&arena, NULL), SYN_OK);
    syn_err err = proto_decode_changes(arena, bytes, sizeof bytes, NULL, NULL, &set, &fault);
    ck_assert_msg(err == SYN_OK, "%s", fault.text);
    ck_assert_uint_eq(set.key_count, 2);
    ck_assert_int_eq(set.keys[1].data[0], 'b');
    ck_assert_int_eq(proto_decode(arena, open, sizeof open, NULL, NULL, NULL, &frame, &fault),
                     SYN_OK);
    ck_assert_uint_eq(frame.as.open.peer, 5);
    ck_assert(frame.as.open.no_presence);
    proto_arena_free(arena);
}
END_TEST

/* ---- Columns --------------------------------------------------------------------------------- */

/* By the book: one byte after the other.  false: an entry is cut off, longer than it need be, or
 * above 2^32 - 1. */
static bool count_plainly(const uint8_t *p, size_t len, uint32_t *count)
{
    *count = 0;
    for (size_t at = 0; at < len; ++*count) {
        uint64_t v = 0;
        for (unsigned shift = 0;; shift += 7) {
            if (at == len || shift > 28) return false;
            v |= (uint64_t)(p[at] & 0x7f) << shift;
            if (p[at++] < 0x80) break;
        }
        if (v > UINT32_MAX || (p[at - 1] == 0 && at > 1 && p[at - 2] >= 0x80)) return false;
    }
    return true;
}

static size_t some_varint(struct samples *s, uint8_t *out)
{
    uint64_t v =
        samples_random(s) >> (64 - 7 * (1 + samples_below(s, samples_below(s, 4) ? 2 : 5)));
    if (v > UINT32_MAX) v >>= 3;
    size_t n = 0;
    for (; v >= 0x80; v >>= 7) out[n++] = (uint8_t)(v | 0x80);
    out[n++] = (uint8_t)v;
    return n;
}

/* What is looked at in words agrees with what is looked at in bytes, also where it is wrong. */
START_TEST(columns_in_words)
{
    enum { RUN_SEQ = 3 };
    struct samples s;
    uint32_t wrong = 0;
    samples_begin(&s, 11, 1);
    for (uint64_t round = 1; round <= rounds(200000); round++) {
        uint8_t bytes[160] = {RUN_SEQ << 3 | 2, 0};
        size_t len = 0, most = samples_below(&s, 100);
        while (len < most) len += some_varint(&s, bytes + 2 + len);
        if (len > 0 && samples_below(&s, 3) == 0)
            bytes[2 + samples_below(&s, (uint32_t)len)] ^= (uint8_t)(1u << samples_below(&s, 8));
        if (len > 0 && samples_below(&s, 9) == 0) bytes[2 + samples_below(&s, (uint32_t)len)] = 0;
        bytes[1] = (uint8_t)len;
        struct field fields[WIRE_FIELDS];
        uint32_t count;
        bool good = count_plainly(bytes + 2, len, &count);
        syn_err err = wire_split(&syncline__v1__changes__descriptor, bytes, len + 2,
                                 UNKNOWN_REFUSED, fields, NULL, NULL);
        if ((err == SYN_OK) != good || (good && fields[RUN_SEQ].count != count))
            ck_abort_msg("round %llu", (unsigned long long)round);
        wrong += !good;
    }
    ck_assert_uint_gt(wrong, rounds(200000) / 100);
}
END_TEST

/* ---- Packed ---------------------------------------------------------------------------------- */

static void comes_back(proto_arena *arena, const syn_buf *body, syn_str message)
{
    struct frame frame;
    struct proto_fault fault;
    syn_str back;
    ck_assert_int_eq(proto_decode(arena, body->data, body->len, NULL, NULL, NULL, &frame, &fault),
                     SYN_OK);
    ck_assert_int_eq(proto_inflate(arena, &frame.as.packed, 0, &back, &fault), SYN_OK);
    ck_assert_uint_eq(back.len, message.len);
    ck_assert_mem_eq(back.data, message.data, back.len);
}

static size_t packed_size(proto_arena *arena, enum packed_inside inside, syn_str message)
{
    syn_buf body = {0}, again = {0}, soon = {0};
    ck_assert_int_eq(proto_encode_packed_body(&body, inside, message.data, message.len), SYN_OK);
    ck_assert_int_eq(proto_encode_packed_body(&again, inside, message.data, message.len), SYN_OK);
    ck_assert_int_eq(proto_encode_packed_soon(&soon, inside, message.data, message.len), SYN_OK);
    ck_assert_uint_eq(body.len, again.len);
    ck_assert_mem_eq(body.data, again.data, body.len);
    comes_back(arena, &body, message);
    comes_back(arena, &soon, message);
    size_t size = body.len;
    ck_assert_uint_lt(soon.len, size + size / 2);
    syn_buf_free(&body);
    syn_buf_free(&again);
    syn_buf_free(&soon);
    return size;
}

/* Columns of unlike numbers, and prose: many edits of a few characters. */
static void many_edits(struct samples *s, syn_buf *out)
{
    enum { OPS = 3000 };
    static struct change_op ops[OPS];
    static char text[OPS * 8];
    const uint64_t peer = 1;
    struct change_run run = {0};
    syn_changes set = {.peers = &peer, .peer_count = 1, .containers = &root_container};
    for (uint32_t i = 0; i < OPS; i++) {
        ops[i] = (struct change_op){.len = 1 + samples_below(s, 8), .pos = samples_below(s, 90)};
        run.len += ops[i].len;
        for (uint32_t k = 0; k < ops[i].len; k++)
            text[set.text.len++] = "the tracker and the rope "[samples_below(s, 25)];
    }
    set.text.data = text;
    set.runs = &run;
    set.ops = ops;
    set.op_count = OPS;
    set.run_count = set.container_count = 1;
    ck_assert_int_eq(proto_encode_changes(out, &set, NULL), SYN_OK);
}

/* The same bytes are one block as the inside of a Snapshot, for they are no message of that kind.
 */
START_TEST(columns_are_deflated_apart)
{
    struct samples s;
    proto_arena *arena;
    syn_buf raw = {0};
    samples_begin(&s, 3, 80);
    ck_assert_int_eq(proto_arena_new(&arena, NULL), SYN_OK);
    many_edits(&s, &raw);
    syn_str message = {raw.data, raw.len};
    size_t apart = packed_size(arena, PACKED_CHANGES, message);
    size_t whole = packed_size(arena, PACKED_SNAPSHOT, message);
    ck_assert_msg(apart < whole - whole / 50, "%zu bytes, in one block %zu", apart, whole);
    proto_arena_free(arena);
    syn_buf_free(&raw);
}
END_TEST

/* Fields in no order, and what is no message at all: larger perhaps, never wrong. */
START_TEST(any_bytes_are_packed)
{
    struct samples s;
    proto_arena *arena;
    ck_assert_int_eq(proto_arena_new(&arena, NULL), SYN_OK);
    for (uint64_t seed = 1; seed <= rounds(50); seed++) {
        syn_buf raw = {0}, turned = {0};
        samples_begin(&s, seed, 80);
        many_edits(&s, &raw);
        size_t cut = samples_below(&s, 3) == 0 ? 10 : samples_below(&s, (uint32_t)raw.len);
        ck_assert_int_eq(syn_buf_append(&turned, raw.data + cut, raw.len - cut), SYN_OK);
        ck_assert_int_eq(syn_buf_append(&turned, raw.data, cut), SYN_OK);
        (void)packed_size(arena, PACKED_CHANGES, (syn_str){turned.data, turned.len});
        syn_buf_free(&raw);
        syn_buf_free(&turned);
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
    tcase_add_test(c, own_peers_and_containers_of_the_channel);
    tcase_add_test(c, op_runs_all_default);
    tcase_add_test(c, entries_apart);
    tcase_add_test(c, columns_in_words);
    tcase_add_test(c, columns_are_deflated_apart);
    tcase_add_test(c, any_bytes_are_packed);
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
