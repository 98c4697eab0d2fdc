/* test_hash.c -- hash chain and digest against the vectors of PROTOCOL.md, which another program
 * computed, and against each other however events are grouped. */
#include "samples.h"
#include "wire.h"

#include <check.h>
#include <stdlib.h>
#include <string.h>
#define XXH_INLINE_ALL
#include <xxhash.h>

#define S(text)                                                                                    \
    {                                                                                              \
        .data = (text), .len = sizeof(text) - 1                                                    \
    }

START_TEST(chain_vectors)
{
    static const uint64_t peer = 1;
    static const struct change_container root = {.kind = SYN_TEXT};
    static const struct change_run run = {.len = 2};
    static const struct change_op ops[] = {{.kind = OP_TEXT_INSERT, .len = 1},
                                           {.kind = OP_DELETE_BACK, .len = 1}};
    syn_changes set = {.peers = &peer,
                       .peer_count = 1,
                       .containers = &root,
                       .container_count = 1,
                       .runs = &run,
                       .run_count = 1,
                       .ops = ops,
                       .op_count = 2,
                       .text = S("a")};
    struct change_run first = {.len = 1};
    syn_changes one = set;
    one.runs = &first;
    one.op_count = 1;
    uint32_t next = 0;
    uint64_t chain = 0;
    ck_assert_int_eq(proto_chain(&one, 1, &next, &chain), SYN_OK);
    ck_assert_uint_eq(next, 1);
    ck_assert_uint_eq(chain, 0xa5ac7578ee8ddac9u);
    ck_assert_int_eq(proto_chain(&set, 1, &next, &chain), SYN_OK); /* the first again: skipped */
    ck_assert_uint_eq(next, 2);
    ck_assert_uint_eq(chain, 0xa553f4bff668e428u);
}
END_TEST

START_TEST(chain_vector_of_a_map)
{
    static const uint64_t peers[] = {1, 2, 3};
    /* tables in another order and with more in them than the event needs */
    static const struct change_container containers[] = {
        {.kind = SYN_TEXT, .name = S("other")},
        {.kind = SYN_MAP, .name = S("meta")},
        {.kind = SYN_MAP, .form = CONTAINER_MERGEABLE, .parent = 1, .key = S("sub")}};
    static const struct change_run run = {
        .peer = 1, .len = 1, .explicit_parents = true, .dep_count = 1};
    static const struct change_dep dep = {.peer = 0, .seq = 1};
    static const struct change_op op = {.kind = OP_MAP_SET, .container = 2, .len = 1};
    static const syn_str key = S("k");
    static const struct change_value value = {.kind = SYN_VALUE_STRING};
    syn_changes set = {.peers = peers,
                       .peer_count = 3,
                       .containers = containers,
                       .container_count = 3,
                       .runs = &run,
                       .run_count = 1,
                       .deps = &dep,
                       .dep_count = 1,
                       .ops = &op,
                       .op_count = 1,
                       .keys = &key,
                       .key_count = 1,
                       .values = &value,
                       .value_count = 1};
    uint32_t next = 0;
    uint64_t chain = 0;
    ck_assert_int_eq(proto_chain(&set, 2, &next, &chain), SYN_OK);
    ck_assert_uint_eq(next, 1);
    ck_assert_uint_eq(chain, 0x16784ed2e77acf0eu);
}
END_TEST

/* Kinds that take from every queue; the number is another program's. */
START_TEST(chain_vector_of_every_queue)
{
    static const uint64_t peers[] = {1, 2};
    static const struct change_container all[] = {
        {.kind = SYN_TREE, .name = S("t")},
        {.kind = SYN_TEXT},
        {.kind = SYN_LIST, .form = CONTAINER_BY_EVENT, .peer = 1, .seq = 9},
        {.kind = SYN_COUNTER, .name = S("c")}};
    static const struct change_run run = {.len = 11};
    static const struct change_op ops[] = {
        {.kind = OP_TREE_CREATE, .len = 2},
        {.kind = OP_TREE_MOVE, .len = 1},
        {OP_MARK, 1, 3, 4, 1},
        {.kind = 33, .container = 1, .len = 2},
        {.kind = OP_LIST_SET, .container = 2, .len = 2, .pos = 5},
        {.kind = OP_COUNTER_ADD, .container = 3, .len = 1},
        {.kind = OP_NOTHING, .container = 3, .len = 1}};
    static const syn_str keys[] = {S("\x80"), S("\x81"), S("m"), S("b")}, ext = S("zz");
    static const struct change_node nodes[] = {{0, 0}, {2, 9}, {1, 1}, {1, 0}};
    static const struct change_value values[] = {{.kind = SYN_VALUE_TRUE},
                                                 {.kind = SYN_VALUE_INT, .i = 3},
                                                 {.blob = S("q")},
                                                 {.kind = SYN_VALUE_INT, .i = -1}};
    syn_changes set = {.peers = peers,
                       .peer_count = 2,
                       .containers = all,
                       .container_count = 4,
                       .runs = &run,
                       .run_count = 1,
                       .ops = ops,
                       .op_count = 7,
                       .keys = keys,
                       .key_count = 4,
                       .nodes = nodes,
                       .node_count = 4,
                       .values = values,
                       .value_count = 4,
                       .ext = &ext,
                       .ext_count = 1};
    uint32_t next = 0;
    uint64_t chain = 0;
    ck_assert_int_eq(proto_chain(&set, 1, &next, &chain), SYN_OK);
    ck_assert_uint_eq(next, 11);
    ck_assert_uint_eq(chain, 0x34563ed625285c66u);
}
END_TEST

START_TEST(chain_stops_at_a_gap)
{
    static const uint64_t peer = 1;
    static const struct change_container root = {.kind = SYN_TEXT};
    static const struct change_run runs[] = {{.seq = 0, .len = 1}, {.seq = 5, .len = 1}};
    static const struct change_op op = {.kind = OP_NOTHING, .len = 2};
    syn_changes set = {.peers = &peer,
                       .peer_count = 1,
                       .containers = &root,
                       .container_count = 1,
                       .runs = runs,
                       .run_count = 2,
                       .ops = &op,
                       .op_count = 1};
    uint32_t next = 0;
    uint64_t chain = 0;
    ck_assert_int_eq(proto_chain(&set, 1, &next, &chain), SYN_OK);
    ck_assert_uint_eq(next, 1);
    ck_assert_int_eq(proto_chain(&set, 9, &next, &chain), SYN_OK);
    ck_assert_uint_eq(next, 1);
}
END_TEST

/* Cuts every op run into single events; what belongs together stays together. */
static void cut_small(syn_changes *set, struct change_op *ops)
{
    uint32_t n = 0;
    for (uint32_t i = 0; i < set->op_count; i++) {
        struct change_op op = set->ops[i];
        bool whole = op.kind == OP_MARK || op.kind >= OP_FIRST_UNKNOWN;
        uint32_t count = whole ? 1 : op.len;
        for (uint32_t k = 0; k < count; k++, n++) {
            ops[n] = op;
            if (!whole) ops[n].len = 1;
            if (op.kind == OP_DELETE_BACK)
                ops[n].pos = op.pos - k;
            else if (op.kind != OP_DELETE && op_has_position(op.kind))
                ops[n].pos = op.pos + k;
            if (op.kind == OP_DELETE_BACK && k % 2 == 0) ops[n].kind = OP_DELETE;
        }
    }
    set->ops = ops;
    set->op_count = n;
}

START_TEST(chain_knows_no_runs)
{
    for (uint64_t seed = 1; seed <= 200; seed++) {
        struct samples s;
        syn_changes set, cut;
        samples_begin(&s, seed, 10);
        sample_changes(&s, &set);
        cut = set;
        static struct change_op ops[1000];
        cut_small(&cut, ops);
        for (uint32_t p = 0; p < set.peer_count; p++) {
            uint32_t next[2] = {0, 0};
            uint64_t chain[2] = {0, 0};
            ck_assert_int_eq(proto_chain(&set, set.peers[p], &next[0], &chain[0]), SYN_OK);
            ck_assert_int_eq(proto_chain(&cut, set.peers[p], &next[1], &chain[1]), SYN_OK);
            ck_assert_uint_eq(next[0], next[1]);
            ck_assert_uint_eq(chain[0], chain[1]);
        }
        samples_reset(&s);
    }
}
END_TEST

/* ---- Short cuts ------------------------------------------------------------------------------ */

/* By the book: one event with tables in the order of first use, encoded, hashed. */
struct plain {
    const syn_changes *set;
    uint64_t peers[16];
    uint32_t peer_count;
};

static uint32_t plain_peer(struct plain *p, uint32_t peer)
{
    uint64_t id = p->set->peers[peer];
    for (uint32_t i = 0; i < p->peer_count; i++)
        if (p->peers[i] == id) return i;
    p->peers[p->peer_count] = id;
    return p->peer_count++;
}

static uint32_t plain_containers(struct plain *p, uint32_t container, struct change_container *out)
{
    uint32_t depth = 0;
    out[0] = p->set->containers[container];
    if (out[0].form == CONTAINER_MERGEABLE) {
        depth = plain_containers(p, out[0].parent, out);
        out[depth] = p->set->containers[container];
        out[depth].parent = depth - 1;
    } else if (out[0].form == CONTAINER_BY_EVENT) {
        out[0].peer = plain_peer(p, out[0].peer);
    }
    return depth + 1;
}

static uint64_t plain_step(const syn_changes *set, struct change_run run,
                           const struct change_dep *deps, struct change_op op, syn_str text,
                           uint64_t chain)
{
    struct plain p = {.set = set};
    struct change_dep own[8];
    struct change_container containers[8];
    syn_buf bytes = {0};
    run.peer = plain_peer(&p, run.peer);
    for (uint32_t i = 0; i < run.dep_count; i++)
        own[i] = (struct change_dep){plain_peer(&p, deps[i].peer), deps[i].seq};
    uint32_t depth = plain_containers(&p, op.container, containers);
    op.container = depth - 1;
    syn_changes one = {.peers = p.peers,
                       .peer_count = p.peer_count,
                       .containers = containers,
                       .container_count = depth,
                       .runs = &run,
                       .run_count = 1,
                       .deps = own,
                       .dep_count = run.dep_count,
                       .ops = &op,
                       .op_count = 1,
                       .text = text};
    ck_assert_int_eq(proto_encode_changes(&bytes, &one, NULL), SYN_OK);
    chain = XXH64(bytes.data, bytes.len, chain);
    syn_buf_free(&bytes);
    return chain;
}

/* A run of one author with some parents and a few edits in some container; what is simple, and
 * what is just not: many parents, two of one peer, a made or deep container, long names. */
static void check_simple(struct samples *s, uint64_t seed)
{
    static const uint64_t peers[] = {7, 8, UINT64_MAX, 9, 1, 2, 3, 4};
    static char name[600];
    static const char text[] = "a\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80zzzzzzzzzz";
    memset(name, 'n', sizeof name);
    const struct change_container all[] = {
        {.kind = SYN_TEXT},
        {.kind = SYN_TEXT, .name = {name, 1 + samples_below(s, 255)}},
        {.kind = SYN_MAP, .form = CONTAINER_BY_EVENT, .peer = samples_below(s, 3), .seq = 5},
        {.kind = SYN_TEXT, .form = CONTAINER_MERGEABLE, .parent = 2, .key = {name, 3}},
        {.kind = SYN_MAP, .form = CONTAINER_MERGEABLE, .parent = 2, .key = {name, 200}},
        {.kind = SYN_MAP, .form = CONTAINER_MERGEABLE, .parent = 4, .key = {name, 250}},
        {.kind = SYN_MAP, .form = CONTAINER_MERGEABLE, .parent = 5},
        {.kind = SYN_TEXT, .form = CONTAINER_MERGEABLE, .parent = 5, .key = {name, 60}},
        {.kind = SYN_TEXT, .form = CONTAINER_MERGEABLE, .parent = 6, .key = {name, 6}}};
    static const uint32_t texts[] = {0, 1, 3, 7, 8};
    struct change_run run = {.seq = samples_below(s, 2) ? samples_below(s, 300) : 0};
    struct change_dep deps[8];
    struct change_op ops[3];
    run.dep_count = samples_below(s, 3) ? 0 : samples_below(s, 7);
    run.explicit_parents = run.dep_count > 0;
    for (uint32_t i = 0; i < run.dep_count; i++)
        deps[i] = (struct change_dep){samples_below(s, 5) ? i : samples_below(s, 8),
                                      samples_below(s, 3) * samples_below(s, 1u << 30)};
    for (uint32_t i = 0; i < 3; i++) {
        ops[i] = (struct change_op){.kind = samples_below(s, 3),
                                    .container = texts[samples_below(s, 5)],
                                    .len = 1 + samples_below(s, 4),
                                    .pos = 4 + samples_below(s, 1u << (1 + samples_below(s, 30)))};
        run.len += ops[i].len;
    }
    syn_changes set = {.peers = peers,
                       .peer_count = 8,
                       .containers = all,
                       .container_count = 9,
                       .runs = &run,
                       .run_count = 1,
                       .deps = deps,
                       .dep_count = run.dep_count,
                       .ops = ops,
                       .op_count = 3,
                       .text = {text, sizeof text - 1}};
    uint64_t chain = seed, plain = seed;
    uint32_t next = run.seq;
    size_t at = 0;
    ck_assert_int_eq(proto_chain(&set, peers[0], &next, &chain), SYN_OK);
    ck_assert_uint_eq(next, run.seq + run.len);
    struct change_run left = run;
    left.len = 1;
    for (uint32_t i = 0; i < 3; i++)
        for (uint32_t k = 0; k < ops[i].len; k++) {
            struct change_op op = ops[i];
            syn_str scalar = {text + at, 0};
            if (op.kind == OP_TEXT_INSERT) {
                do scalar.len++;
                while ((text[at + scalar.len] & 0xc0) == 0x80);
                op.pos += k;
            }
            if (op.kind == OP_DELETE_BACK) op.pos -= k;
            if (op.kind == OP_DELETE_BACK) op.kind = OP_DELETE;
            op.len = 1;
            plain = plain_step(&set, left, deps, op, scalar, plain);
            at += scalar.len;
            left = (struct change_run){.seq = left.seq + 1, .len = 1};
        }
    ck_assert_msg(chain == plain, "seed %llu", (unsigned long long)seed);
}

START_TEST(short_cuts_change_nothing)
{
    struct samples s;
    for (uint64_t seed = 1; seed <= 20000; seed++) {
        samples_begin(&s, seed, 1);
        check_simple(&s, seed);
    }
}
END_TEST

static const uint64_t peers_1_2[] = {1, 2};
static const struct change_container containers[] = {
    {.kind = SYN_TEXT},
    {.kind = SYN_MAP},
    {.kind = SYN_LIST, .form = CONTAINER_MERGEABLE, .parent = 1, .key = S("items")},
    {.kind = SYN_COUNTER, .name = S("hits")},
    {.kind = SYN_TREE}};
static const struct snapshot_entry map[] = {
    {.key = S("items"),
     .value = {.kind = SYN_VALUE_MERGEABLE, .i = SYN_LIST},
     .seq = 3,
     .lamport = 4},
    {.key = S("title"), .value = {.blob = S("B")}, .peer = 1, .lamport = 6},
    {.key = S("title"), .value = {.blob = S("A")}, .seq = 4, .lamport = 5}};
static const struct snapshot_entry list[] = {
    {.value = {.kind = SYN_VALUE_INT, .i = 7}, .seq = 5, .lamport = 7},
    {.value = {.kind = SYN_VALUE_NULL},
     .seq = 6,
     .lamport = 8,
     .set = true,
     .set_peer = 1,
     .set_seq = 1,
     .set_lamport = 9}};

/* By the definition, level by level, where the digest goes on from levels that it kept. */
START_TEST(digest_of_nested_containers)
{
    enum { DEEP = 100 };
    struct change_container nested[DEEP];
    struct snapshot_state states[DEEP];
    for (uint32_t i = 0; i < DEEP; i++) {
        nested[i] = (struct change_container){
            .kind = SYN_MAP, .form = CONTAINER_MERGEABLE, .parent = i - 1, .key = S("k")};
        states[i] = (struct snapshot_state){.container = DEEP - 1 - i};
    }
    nested[0] = (struct change_container){.kind = SYN_MAP, .form = CONTAINER_BY_EVENT, .seq = 3};
    syn_snapshot s = {.peers = peers_1_2,
                      .peer_count = 2,
                      .containers = nested,
                      .container_count = DEEP,
                      .states = states,
                      .state_count = DEEP};
    uint64_t hash, each[DEEP], sum = 0;
    unsigned char id[DEEP * 16] = {0x42, 4, 0x08, 1, 0x20, 3, 1}; /* 1: the peer, in eight bytes */
    size_t len = 14;
    ck_assert_int_eq(proto_digest(&s, &hash, each), SYN_OK);
    for (uint32_t i = 0; i < DEEP; i++) {
        const unsigned char level[] = {0x42, 7, 0x08, 1, 0x28, (unsigned char)i, 0x32, 1, 'k'};
        if (i > 0) memcpy(id + len, level, sizeof level);
        if (i > 0) len += sizeof level;
        uint64_t want = XXH64("", 0, XXH64(id, len, 0));
        ck_assert_msg(each[DEEP - 1 - i] == want, "level %u", i);
        sum += want;
    }
    ck_assert_uint_eq(hash, sum);
}
END_TEST

START_TEST(digest_vectors)
{
    static const struct snapshot_state states[] = {
        {.container = 4}, /* a kind that does not count */
        {.container = 3, .counter = 42},
        {.container = 2, .entries = list, .entry_count = 2},
        {.container = 1, .entries = map, .entry_count = 3},
        {.container = 0, .text = S("Hello, world")}};
    syn_snapshot s = {.peers = peers_1_2,
                      .peer_count = 2,
                      .containers = containers,
                      .container_count = 5,
                      .states = states,
                      .state_count = 5};
    uint64_t hash, each[5];
    ck_assert_int_eq(proto_digest(&s, &hash, each), SYN_OK);
    ck_assert_uint_eq(hash, 0x35efaf9f63673f63u);
    ck_assert_uint_eq(each[0], 0);
    ck_assert_uint_eq(each[1], 0x819cea28487dea0bu);
    ck_assert_uint_eq(each[2], 0x13350ccb60c9b41du);
    ck_assert_uint_eq(each[3], 0x920283101a67bd49u);
    ck_assert_uint_eq(each[4], 0x0f1b359b9fb7e3f2u);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("hashes");
    TCase *c = tcase_create("vectors");
    tcase_set_timeout(c, 0);
    tcase_add_test(c, chain_vectors);
    tcase_add_test(c, chain_vector_of_a_map);
    tcase_add_test(c, chain_vector_of_every_queue);
    tcase_add_test(c, chain_stops_at_a_gap);
    tcase_add_test(c, chain_knows_no_runs);
    tcase_add_test(c, short_cuts_change_nothing);
    tcase_add_test(c, digest_of_nested_containers);
    tcase_add_test(c, digest_vectors);
    suite_add_tcase(s, c);
    SRunner *runner = srunner_create(s);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
