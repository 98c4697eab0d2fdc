/* examples.c -- see examples.h.  Two people, peers 1 and 2, and one document. */
#include "examples.h"
#include "wire.h"

#include <stdio.h>
#include <stdlib.h>

/* Not Check's assert: examples are also written outside a test. */
static void must(syn_err err)
{
    if (err == SYN_OK) return;
    (void)fprintf(stderr, "examples.c: error %d\n", err);
    abort();
}

static const uint64_t peer_1[] = {1}, peers_1_2[] = {1, 2}, peers_2_1[] = {2, 1};
static const struct change_container root[] = {{.kind = SYN_TEXT}};
static const char store_id[] = "\x01\x02\x03\x04\x05\x06\x07\x08\x09\x0a\x0b\x0c\x0d\x0e\x0f\x10";
static const char lineage_id[] = "\xa1\xa2\xa3\xa4\xa5\xa6\xa7\xa8\xa9\xaa\xab\xac\xad\xae\xaf\xb0";

#define S(text)                                                                                    \
    {                                                                                              \
        .data = (text), .len = sizeof(text) - 1                                                    \
    }

bool example_tables(void *user, uint32_t channel, struct proto_tables *out)
{
    (void)user;
    (void)channel;
    *out = (struct proto_tables){
        .peers = peer_1, .peer_count = 1, .containers = root, .container_count = 1};
    return true;
}

static void encode(syn_buf *out, const struct frame *frame)
{
    must(proto_encode(out, frame));
}

/* ---- Connection ------------------------------------------------------------------------------ */

static void hello(syn_buf *out)
{
    encode(out, &(struct frame){.kind = FRAME_HELLO,
                                .as.hello = {.min_version = 1,
                                             .max_version = 1,
                                             .features = FEATURE_PACKED | FEATURE_DIGEST,
                                             .token = S("secret"),
                                             .client = S("example 1.0")}});
}

static void welcome(syn_buf *out)
{
    encode(out, &(struct frame){.kind = FRAME_WELCOME,
                                .as.welcome = {.version = 1,
                                               .features = FEATURE_PACKED | FEATURE_DIGEST,
                                               .connection = 7,
                                               .store = S(store_id),
                                               .limits = {.frame_bytes = 1048576,
                                                          .raw_bytes = 67108864,
                                                          .frame_events = 65536,
                                                          .documents = 1000,
                                                          .window_bytes = 262144,
                                                          .value_bytes = 1044480,
                                                          .parents = 4096,
                                                          .document_events = 2147483647,
                                                          .document_bytes = 4294967296,
                                                          .presence_bytes = 4096,
                                                          .presence_ms = 100,
                                                          .new_peers = 1000},
                                               .heartbeat_ms = 20000,
                                               .user = S("ann"),
                                               .server = S("syncline 0.1.0")}});
}

static void auth(syn_buf *out)
{
    encode(out, &(struct frame){.kind = FRAME_AUTH, .as.auth = {.token = S("fresh")}});
}

static void access_(syn_buf *out)
{
    encode(out, &(struct frame){.channel = 1,
                                .kind = FRAME_ACCESS,
                                .as.access = {.rights = RIGHT_READ, .expires_ms = 60000}});
}

static void ping(syn_buf *out)
{
    encode(out, &(struct frame){.kind = FRAME_PING, .as.ping = {.nonce = 300}});
}

static void pong(syn_buf *out)
{
    encode(out, &(struct frame){.kind = FRAME_PONG, .as.ping = {.nonce = 300}});
}

static void error(syn_buf *out)
{
    encode(out, &(struct frame){.kind = FRAME_ERROR,
                                .as.error = {.code = CODE_VERSION,
                                             .permanent = true,
                                             .detail = S("no common version"),
                                             .min_version = 1,
                                             .max_version = 1}});
}

/* ---- Documents ------------------------------------------------------------------------------- */

static void open_(syn_buf *out)
{
    static const syn_id heads[] = {{1, 4}};
    static const uint64_t old[] = {0x99};
    encode(out, &(struct frame){.channel = 1,
                                .kind = FRAME_OPEN,
                                .as.open = {.document = S("notes/today"),
                                            .lineage = S(lineage_id),
                                            .rights = RIGHT_READ | RIGHT_WRITE,
                                            .version = {.heads = heads, .head_count = 1},
                                            .peer = 1,
                                            .old_peers = old,
                                            .old_peer_count = 1}});
}

static void opened(syn_buf *out)
{
    static const syn_id heads[] = {{1, 4}, {2, 0}};
    static const uint32_t next[] = {5, 0};
    static const uint64_t chain[] = {0xa553f4bff668e428u, 0};
    encode(out, &(struct frame){.channel = 1,
                                .kind = FRAME_OPENED,
                                .as.opened = {.lineage = S(lineage_id),
                                              .rights = RIGHT_READ | RIGHT_WRITE,
                                              .version = {.heads = heads, .head_count = 2},
                                              .peer_next = next,
                                              .peer_chain = chain,
                                              .peer_count = 2,
                                              .session = 3,
                                              .window_bytes = 262144}});
}

static void want(syn_buf *out)
{
    static const syn_id vector[] = {{1, 5}, {2, 1}};
    encode(out, &(struct frame){.channel = 1,
                                .kind = FRAME_WANT,
                                .as.want = {.have = {.vector = vector, .vector_count = 2}}});
}

static void close_(syn_buf *out)
{
    encode(out, &(struct frame){.channel = 1, .kind = FRAME_CLOSE});
}

static void closed(syn_buf *out)
{
    encode(out, &(struct frame){.channel = 1,
                                .kind = FRAME_CLOSED,
                                .as.closed = {.code = CODE_RESYNC,
                                              .retry_ms = 500,
                                              .detail = S("the disk failed")}});
}

static void ack(syn_buf *out)
{
    static const syn_id others[] = {{0x99, 12}};
    encode(out, &(struct frame){.channel = 1,
                                .kind = FRAME_ACK,
                                .as.ack = {.next = 6, .peers = others, .peer_count = 1}});
}

static void nack(syn_buf *out)
{
    encode(out, &(struct frame){.channel = 1,
                                .kind = FRAME_NACK,
                                .as.nack = {.first_seq = 6,
                                            .code = CODE_MALFORMED,
                                            .permanent = true,
                                            .detail = S("position beyond the end"),
                                            .op_run = 1}});
}

static void credit(syn_buf *out)
{
    encode(out, &(struct frame){.channel = 1, .kind = FRAME_CREDIT, .as.credit = {.bytes = 65536}});
}

/* ---- Changes --------------------------------------------------------------------------------- */

/* A live frame of peer 1 in the root text: both tables are the channel's. */
static void live(syn_buf *out, const struct change_run *run, const struct change_op *ops,
                 uint32_t op_count, syn_str text)
{
    syn_changes set = {.peers = peer_1,
                       .peer_count = 1,
                       .containers = root,
                       .container_count = 1,
                       .runs = run,
                       .run_count = 1,
                       .ops = ops,
                       .op_count = op_count,
                       .text = text};
    struct proto_tables tables;
    (void)example_tables(NULL, 1, &tables);
    must(proto_encode_channel(out, 1));
    must(proto_encode_changes_body(out, &set, &tables));
}

static void changes_key(syn_buf *out)
{
    struct change_run run = {.seq = 5, .len = 1};
    struct change_op op = {.kind = OP_TEXT_INSERT, .len = 1, .pos = 120};
    live(out, &run, &op, 1, (syn_str)S("x"));
}

static void changes_replace(syn_buf *out)
{
    struct change_run run = {.seq = 6, .len = 8};
    struct change_op ops[] = {{.kind = OP_DELETE_BACK, .len = 3, .pos = 120},
                              {.kind = OP_TEXT_INSERT, .len = 5, .pos = 118}};
    live(out, &run, ops, 2, (syn_str)S("hello"));
}

static void changes(syn_buf *out, const syn_changes *set)
{
    encode(out, &(struct frame){.channel = 1, .kind = FRAME_CHANGES, .as.changes = *set});
}

static void changes_map(syn_buf *out)
{
    static const struct change_container containers[] = {
        {.kind = SYN_MAP, .name = S("meta")},
        {.kind = SYN_MAP, .form = CONTAINER_MERGEABLE, .parent = 0, .key = S("sub")}};
    static const struct change_run run = {.len = 4, .explicit_parents = true, .dep_count = 1};
    static const struct change_dep dep = {.peer = 1, .seq = 1};
    static const struct change_op ops[] = {{.kind = OP_MAP_SET, .container = 0, .len = 1},
                                           {.kind = OP_MAP_SET, .container = 1, .len = 2},
                                           {.kind = OP_MAP_DELETE, .container = 1, .len = 1}};
    static const syn_str keys[] = {S("sub"), S("k"), S("n"), S("k")};
    static const struct change_value values[] = {{.kind = SYN_VALUE_MERGEABLE, .i = SYN_MAP},
                                                 {.kind = SYN_VALUE_STRING, .blob = S("v")},
                                                 {.kind = SYN_VALUE_REAL, .real = 1.5}};
    changes(out, &(syn_changes){.peers = peers_2_1,
                                .peer_count = 2,
                                .containers = containers,
                                .container_count = 2,
                                .runs = &run,
                                .run_count = 1,
                                .deps = &dep,
                                .dep_count = 1,
                                .ops = ops,
                                .op_count = 3,
                                .keys = keys,
                                .key_count = 4,
                                .values = values,
                                .value_count = 3});
}

static void changes_list(syn_buf *out)
{
    static const struct change_container containers[] = {
        {.kind = SYN_LIST, .name = S("items")},
        {.kind = SYN_TEXT, .form = CONTAINER_BY_EVENT, .peer = 0, .seq = 1},
        {.kind = SYN_COUNTER, .name = S("hits")}};
    static const struct change_run run = {.len = 7};
    static const struct change_op ops[] = {{.kind = OP_LIST_INSERT, .container = 0, .len = 2},
                                           {.kind = OP_LIST_SET, .container = 0, .len = 1},
                                           {.kind = OP_TEXT_INSERT, .container = 1, .len = 2},
                                           {.kind = OP_COUNTER_ADD, .container = 2, .len = 1},
                                           {.kind = OP_DELETE, .container = 0, .len = 1}};
    static const struct change_value values[] = {{.kind = SYN_VALUE_INT, .i = -3},
                                                 {.kind = SYN_VALUE_CHILD, .i = SYN_TEXT},
                                                 {.kind = SYN_VALUE_TRUE},
                                                 {.kind = SYN_VALUE_INT, .i = 10}};
    changes(out, &(syn_changes){.peers = peer_1,
                                .peer_count = 1,
                                .containers = containers,
                                .container_count = 3,
                                .runs = &run,
                                .run_count = 1,
                                .ops = ops,
                                .op_count = 5,
                                .values = values,
                                .value_count = 4,
                                .text = S("hi")});
}

/* Peers 1 and 2 wrote at once after (1, 1); then 1 joined both. */
static const syn_changes concurrent = {
    .peers = peers_1_2,
    .peer_count = 2,
    .containers = root,
    .container_count = 1,
    .runs =
        (const struct change_run[]){
            {.peer = 0, .seq = 2, .len = 3},
            {.peer = 1, .seq = 0, .len = 2, .explicit_parents = true, .dep_count = 1},
            {.peer = 0, .seq = 5, .len = 1, .explicit_parents = true, .dep_count = 2}},
    .run_count = 3,
    .deps = (const struct change_dep[]){{0, 1}, {0, 4}, {1, 1}},
    .dep_count = 3,
    .ops = (const struct change_op[]){{.kind = OP_TEXT_INSERT, .len = 3, .pos = 2},
                                      {.kind = OP_TEXT_INSERT, .len = 2, .pos = 0},
                                      {.kind = OP_DELETE, .len = 1, .pos = 4}},
    .op_count = 3,
    .text = S("abcde"),
};

static void changes_concurrent(syn_buf *out)
{
    changes(out, &concurrent);
}

static void changes_later(syn_buf *out)
{
    static const struct change_container container = {.kind = SYN_TEXT, .name = S("body")};
    static const struct change_run run = {.len = 5};
    static const struct change_op ops[] = {{.kind = OP_MARK, .len = 4, .pos = 3, .arg = 1},
                                           {.kind = 40, .len = 2},
                                           {.kind = OP_NOTHING, .len = 1}};
    static const syn_str key = S("link"), ext = S("later");
    static const struct change_value value = {.kind = SYN_VALUE_STRING, .blob = S("/a")};
    changes(out, &(syn_changes){.peers = peer_1,
                                .peer_count = 1,
                                .containers = &container,
                                .container_count = 1,
                                .runs = &run,
                                .run_count = 1,
                                .ops = ops,
                                .op_count = 3,
                                .keys = &key,
                                .key_count = 1,
                                .values = &value,
                                .value_count = 1,
                                .ext = &ext,
                                .ext_count = 1});
}

static void packed(syn_buf *out)
{
    static const char text[] = "tick tock tick tock tick tock tick tock tick tock tick tock tick ";
    static const struct change_run run = {.len = 65};
    static const struct change_op op = {.kind = OP_TEXT_INSERT, .len = 65};
    syn_changes set = {.peers = peer_1,
                       .peer_count = 1,
                       .containers = root,
                       .container_count = 1,
                       .runs = &run,
                       .run_count = 1,
                       .ops = &op,
                       .op_count = 1,
                       .text = S(text)};
    syn_buf raw = {0};
    must(proto_encode_changes(&raw, &set, NULL));
    must(proto_encode_channel(out, 1));
    must(proto_encode_packed_body(out, PACKED_CHANGES, raw.data, raw.len));
    syn_buf_free(&raw);
}

/* ---- Snapshot -------------------------------------------------------------------------------- */

static const struct change_container snapshot_containers[] = {
    {.kind = SYN_TEXT},
    {.kind = SYN_MAP},
    {.kind = SYN_LIST, .form = CONTAINER_MERGEABLE, .parent = 1, .key = S("items")},
    {.kind = SYN_COUNTER, .name = S("hits")}};
static const struct snapshot_entry snapshot_map[] = {
    {.key = S("items"),
     .value = {.kind = SYN_VALUE_MERGEABLE, .i = SYN_LIST},
     .peer = 0,
     .seq = 3,
     .lamport = 4},
    {.key = S("title"),
     .value = {.kind = SYN_VALUE_STRING, .blob = S("B")},
     .peer = 1,
     .seq = 0,
     .lamport = 6},
    {.key = S("title"),
     .value = {.kind = SYN_VALUE_STRING, .blob = S("A")},
     .peer = 0,
     .seq = 4,
     .lamport = 5}};
static const struct snapshot_entry snapshot_list[] = {
    {.value = {.kind = SYN_VALUE_INT, .i = 7}, .peer = 0, .seq = 5, .lamport = 7},
    {.value = {.kind = SYN_VALUE_NULL},
     .peer = 0,
     .seq = 6,
     .lamport = 8,
     .set = true,
     .set_peer = 1,
     .set_seq = 1,
     .set_lamport = 9}};
static const syn_id snapshot_head = {2, 3};
static const struct snapshot_state snapshot_states[] = {
    {.container = 0, .text = S("Hello, world")},
    {.container = 1, .entries = snapshot_map, .entry_count = 3},
    {.container = 2, .entries = snapshot_list, .entry_count = 2},
    {.container = 3, .counter = 42}};
static const syn_snapshot snapshot = {.heads = &snapshot_head,
                                      .head_count = 1,
                                      .lamport = 11,
                                      .events = 26,
                                      .peers = peers_1_2,
                                      .peer_count = 2,
                                      .containers = snapshot_containers,
                                      .container_count = 4,
                                      .states = snapshot_states,
                                      .state_count = 4};

struct wanted_part {
    syn_buf *out;
    uint32_t part;
};

static syn_err frame_part(void *user, uint32_t part, uint32_t parts, syn_str bytes)
{
    struct wanted_part *wanted = user;
    (void)parts;
    if (part != wanted->part) return SYN_OK;
    struct writer w = writer_begin(wanted->out);
    put_uint(&w, 1, 1);
    put_entry(&w, FRAME_SNAPSHOT, bytes);
    return writer_end(&w);
}

static void snapshot_part(syn_buf *out, uint32_t part)
{
    uint64_t digest;
    struct wanted_part wanted = {.out = out, .part = part};
    must(proto_digest(&snapshot, &digest, NULL));
    must(proto_encode_snapshot(&snapshot, 77, digest, 71, frame_part, &wanted));
}

static void snapshot_0(syn_buf *out)
{
    snapshot_part(out, 0);
}

static void snapshot_1(syn_buf *out)
{
    snapshot_part(out, 1);
}

static void snapshot_2(syn_buf *out)
{
    snapshot_part(out, 2);
}

static syn_err frame_whole(void *user, uint32_t part, uint32_t parts, syn_str bytes)
{
    (void)parts;
    struct wanted_part wanted = {.out = user, .part = 0};
    return frame_part(&wanted, part, 1, bytes);
}

static void snapshot_whole(syn_buf *out)
{
    uint64_t digest;
    must(proto_digest(&snapshot, &digest, NULL));
    must(proto_encode_snapshot(&snapshot, 78, digest, 65536, frame_whole, out));
}

static void digest(syn_buf *out)
{
    uint64_t hash;
    must(proto_digest(&snapshot, &hash, NULL));
    encode(out, &(struct frame){.channel = 1,
                                .kind = FRAME_DIGEST,
                                .as.digest = {.version = {.heads = &snapshot_head, .head_count = 1},
                                              .hash = hash,
                                              .kinds = DIGEST_KINDS}});
}

static void digest_answer(syn_buf *out)
{
    uint64_t hash, each[4];
    must(proto_digest(&snapshot, &hash, each));
    encode(out, &(struct frame){.channel = 1,
                                .kind = FRAME_DIGEST,
                                .as.digest = {.version = {.heads = &snapshot_head, .head_count = 1},
                                              .hash = hash,
                                              .kinds = DIGEST_KINDS,
                                              .containers = snapshot_containers,
                                              .container_hash = each,
                                              .container_count = 4}});
}

/* ---- Presence, names ------------------------------------------------------------------------- */

static void presence(syn_buf *out)
{
    static const struct change_dep at = {.peer = 0, .seq = 5};
    static const struct msg_cursor cursor = {.at = &at, .at_count = 1, .anchor = 120, .head = -5};
    static const struct msg_presence_state states[] = {{.session = 3,
                                                        .user = S("ann"),
                                                        .state = S("{\"name\":\"Ann\"}"),
                                                        .cursors = &cursor,
                                                        .cursor_count = 1},
                                                       {.session = 4, .gone = true}};
    encode(out, &(struct frame){.channel = 1,
                                .kind = FRAME_PRESENCE,
                                .as.presence = {.states = states,
                                                .state_count = 2,
                                                .peers = peer_1,
                                                .peer_count = 1,
                                                .containers = root,
                                                .container_count = 1}});
}

static void names(syn_buf *out)
{
    encode(out, &(struct frame){.channel = 1,
                                .kind = FRAME_NAMES,
                                .as.names = {.peers = peers_2_1,
                                             .peer_count = 1,
                                             .containers = snapshot_containers + 3,
                                             .container_count = 1}});
}

const struct example examples[] = {
    {"hello", hello},
    {"welcome", welcome},
    {"auth", auth},
    {"access", access_},
    {"ping", ping},
    {"pong", pong},
    {"error", error},
    {"open", open_},
    {"opened", opened},
    {"want", want},
    {"close", close_},
    {"closed", closed},
    {"ack", ack},
    {"nack", nack},
    {"credit", credit},
    {"changes-key", changes_key},
    {"changes-replace", changes_replace},
    {"changes-map", changes_map},
    {"changes-list", changes_list},
    {"changes-concurrent", changes_concurrent},
    {"changes-later", changes_later},
    {"packed", packed},
    {"snapshot-0", snapshot_0},
    {"snapshot-1", snapshot_1},
    {"snapshot-2", snapshot_2},
    {"snapshot-whole", snapshot_whole},
    {"digest", digest},
    {"digest-answer", digest_answer},
    {"presence", presence},
    {"names", names},
};
const size_t example_count = sizeof examples / sizeof *examples;
