/* test_hub_hostile.c -- what one client may cost the others: bounded, however it asks.
 *
 * The hub alone over a store in memory.  No transcripts, for what comes out would be long: the
 * tests count frames and look at sizes. */
#include "hub_impl.h"

#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { KINDS = 32 };

struct world {
    syn_store *store;
    hub *hub;
    uint64_t now, random;
    uint32_t rights;
    bool stopped;          /* the link takes nothing */
    bool no_presence;      /* of Open */
    uint32_t count[KINDS]; /* frames that came, by kind */
    size_t largest;
    uint32_t states; /* of Presence frames */
    uint32_t code;   /* of the last Nack or Closed */
    bool closed;
};

static uint64_t next_random(void *user)
{
    struct world *w = user;
    return ++w->random * 0x9e3779b97f4a7c15u;
}

static void look_at(struct world *w, const void *bytes, size_t len)
{
    proto_arena *arena;
    struct proto_fault fault;
    struct frame frame = {0};
    ck_assert_int_eq(proto_arena_new(&arena, NULL), SYN_OK);
    ck_assert_int_eq(proto_decode(arena, bytes, len, NULL, NULL, NULL, &frame, &fault), SYN_OK);
    w->count[frame.kind]++;
    if (frame.kind == FRAME_PRESENCE) w->states += frame.as.presence.state_count;
    if (frame.kind == FRAME_NACK) w->code = frame.as.nack.code;
    if (frame.kind == FRAME_CLOSED) w->code = frame.as.closed.code;
    proto_arena_free(arena);
}

static bool take(void *user, void *link, syn_str head, syn_str body)
{
    struct world *w = user;
    size_t len = head.len + body.len;
    char *bytes = malloc(len);
    (void)link;
    memcpy(bytes, head.data, head.len);
    if (body.len != 0) memcpy(bytes + head.len, body.data, body.len);
    if (len > w->largest) w->largest = len;
    look_at(w, bytes, len);
    free(bytes);
    return !w->stopped;
}

static void cut(void *user, void *link, unsigned status, const char *reason)
{
    struct world *w = user;
    (void)link;
    (void)status;
    (void)reason;
    w->closed = true;
}

static uint32_t authorise(void *user, const struct hub_identity *who, syn_str document)
{
    const struct world *w = user;
    (void)who;
    (void)document;
    return w->rights;
}

static void authenticate(void *user, uint64_t conn, syn_str token)
{
    const struct world *w = user;
    hub_signed_in(w->hub, conn, &(struct hub_identity){.name = token}, 0, w->now);
}

static void settle(struct world *w)
{
    while (!hub_idle(w->hub)) {
        hub_flush(w->hub, w->now);
        store_poll(w->store);
    }
}

static void start(struct world *w)
{
    store_options options = {.create = true};
    char detail[256];
    *w = (struct world){.now = 1000, .rights = RIGHT_READ | RIGHT_WRITE | RIGHT_CREATE};
    struct hub_port port = {.user = w,
                            .random = next_random,
                            .send = take,
                            .close = cut,
                            .authenticate = authenticate,
                            .authorise = authorise};
    ck_assert_int_eq(store_open(&w->store, &options, detail), SYN_OK);
    ck_assert_int_eq(hub_new(&w->hub, w->store, &port), SYN_OK);
}

static void stop(struct world *w)
{
    settle(w);
    hub_free(w->hub);
    store_close(w->store);
}

static void give_bytes(struct world *w, hub_conn *conn, syn_buf *buf)
{
    hub_receive(w->hub, conn, buf->data, buf->len, w->now);
    syn_buf_free(buf);
}

static void give(struct world *w, hub_conn *conn, const struct frame *frame)
{
    syn_buf buf = {0};
    ck_assert_int_eq(proto_encode(&buf, frame), SYN_OK);
    give_bytes(w, conn, &buf);
}

static hub_conn *connected_as(struct world *w, syn_str name)
{
    struct frame hello = {.kind = FRAME_HELLO, .as.hello.features = FEATURE_DIGEST};
    hello.as.hello.min_version = hello.as.hello.max_version = 1;
    hello.as.hello.token = name;
    hub_conn *conn = hub_connect(w->hub, w, w->now);
    give(w, conn, &hello);
    return conn;
}

static hub_conn *connected(struct world *w)
{
    hub_conn *conn = connected_as(w, syn_s("ann"));
    ck_assert_uint_ne(w->count[FRAME_WELCOME], 0);
    return conn;
}

static void open_channel(struct world *w, hub_conn *conn, uint32_t channel, const char *name)
{
    struct frame frame = {.channel = channel, .kind = FRAME_OPEN};
    frame.as.open.document = syn_s(name);
    frame.as.open.peer = 0xa1;
    frame.as.open.no_presence = w->no_presence;
    give(w, conn, &frame);
    settle(w);
}

/* One event of each of `count` new peers, all beside each other. */
static void many_peers(struct world *w, hub_conn *conn, uint32_t count, uint64_t first)
{
    struct change_container root = {.kind = SYN_TEXT, .form = CONTAINER_ROOT};
    uint64_t *peers = calloc(count, sizeof *peers);
    struct change_run *runs = calloc(count, sizeof *runs);
    struct change_op *ops = calloc(count, sizeof *ops);
    char *text = malloc(count);
    memset(text, 'x', count);
    for (uint32_t i = 0; i < count; i++) {
        peers[i] = first + i;
        runs[i] = (struct change_run){.peer = i, .len = 1};
        ops[i] = (struct change_op){.kind = OP_TEXT_INSERT, .len = 1};
    }
    syn_changes set = {.peers = peers,
                       .peer_count = count,
                       .containers = &root,
                       .container_count = 1,
                       .runs = runs,
                       .run_count = count,
                       .ops = ops,
                       .op_count = count,
                       .text = {text, count}};
    syn_buf buf = {0};
    ck_assert_int_eq(proto_encode_channel(&buf, 1), SYN_OK);
    ck_assert_int_eq(proto_encode_changes_body(&buf, &set, NULL), SYN_OK);
    give_bytes(w, conn, &buf);
    settle(w);
    free(peers);
    free(runs);
    free(ops);
    free(text);
}

/* Refusing a frame costs no more than a few answers and a short list, whoever sent it. */
START_TEST(refused_peers)
{
    struct world w;
    start(&w);
    w.rights = RIGHT_READ;
    hub_conn *conn = connected(&w);
    open_channel(&w, conn, 1, "notes");
    ck_assert_uint_eq(w.count[FRAME_OPENED], 0); /* it is not there, and may not be made */
    w.rights |= RIGHT_CREATE;
    open_channel(&w, conn, 2, "notes");
    ck_assert_uint_eq(w.count[FRAME_OPENED], 1);
    stop(&w);

    start(&w);
    w.rights = RIGHT_READ | RIGHT_CREATE;
    conn = connected(&w);
    open_channel(&w, conn, 1, "notes");
    many_peers(&w, conn, 3, 0x100);
    ck_assert_uint_eq(w.count[FRAME_NACK], 3);
    ck_assert_uint_eq(w.count[FRAME_CLOSED], 0);
    many_peers(&w, conn, 50000, 0x10000);
    ck_assert_uint_le(w.count[FRAME_NACK], 3 + MAX_IGNORED);
    ck_assert_uint_eq(w.count[FRAME_CLOSED], 1);
    ck_assert_uint_eq(w.code, CODE_RESYNC);
    ck_assert_uint_eq(conn->channel_count, 0);
    stop(&w);
}
END_TEST

/* The limits of new peers and heads hold within one frame, too. */
START_TEST(new_peers)
{
    struct world w;
    start(&w);
    hub_conn *conn = connected(&w);
    open_channel(&w, conn, 1, "notes");
    many_peers(&w, conn, 65, 0x1000);
    ck_assert_uint_eq(w.count[FRAME_ACK], 0);
    ck_assert_uint_eq(w.code, CODE_LIMIT);
    many_peers(&w, conn, 1001, 0x2000);
    ck_assert_uint_eq(w.count[FRAME_ACK], 0);
    ck_assert_uint_eq(w.count[FRAME_CLOSED], 1);
    many_peers(&w, conn, 64, 0x3000); /* the channel is gone */
    ck_assert_uint_eq(w.count[FRAME_ACK], 0);
    stop(&w);

    start(&w);
    conn = connected(&w);
    open_channel(&w, conn, 1, "notes");
    many_peers(&w, conn, 64, 0x3000);
    ck_assert_uint_eq(w.count[FRAME_ACK], 1);
    stop(&w);
}
END_TEST

/* Who may not read gets nothing loaded, made or sent; also when the right is taken back. */
START_TEST(without_the_right_to_read)
{
    struct world w;
    struct hub_stats stats;
    struct frame auth = {.kind = FRAME_AUTH, .as.auth.token = syn_s("ann")};
    start(&w);
    w.rights = 0;
    hub_conn *conn = connected(&w);
    open_channel(&w, conn, 1, "secrets");
    ck_assert_uint_eq(w.code, CODE_FORBIDDEN);
    hub_read_stats(w.hub, &stats);
    ck_assert_uint_eq(stats.rooms, 0);
    w.rights = RIGHT_READ | RIGHT_WRITE | RIGHT_CREATE;
    hub_conn *writer = connected(&w);
    open_channel(&w, writer, 1, "secrets");
    open_channel(&w, conn, 2, "secrets");
    open_channel(&w, conn, 3, "more");
    ck_assert_uint_eq(conn->channel_count, 2);
    w.rights = 0;
    give(&w, conn, &auth);
    ck_assert_uint_eq(w.count[FRAME_ACCESS], 3);
    ck_assert_uint_eq(conn->channel_count, 0);
    w.rights = RIGHT_READ;
    many_peers(&w, writer, 1, 0xa1);
    ck_assert_uint_eq(w.count[FRAME_CHANGES], 0);
    stop(&w);
}
END_TEST

/* A session with as many peers as its Presence can name. */
static void be_present(struct world *w, hub_conn *conn, uint32_t channel)
{
    enum { PEERS = 320 };
    uint64_t peers[PEERS];
    struct change_dep at[PEERS];
    for (uint32_t i = 0; i < PEERS; i++) {
        peers[i] = next_random(w);
        at[i] = (struct change_dep){.peer = i, .seq = 1};
    }
    struct msg_cursor cursor = {.at = at, .at_count = PEERS};
    struct msg_presence_state state = {.cursors = &cursor, .cursor_count = 1};
    struct frame frame = {.channel = channel, .kind = FRAME_PRESENCE};
    frame.as.presence = (struct msg_presence){
        .states = &state, .state_count = 1, .peers = peers, .peer_count = PEERS};
    give(w, conn, &frame);
}

static void tick(struct world *w)
{
    w->now += LIMIT_PRESENCE_MS;
    hub_tick(w->hub, w->now);
    settle(w);
}

/* One connection, a thousand sessions: frames that may be sent, and no table that all are in. */
START_TEST(crowd)
{
    struct world w;
    start(&w);
    hub_conn *conn = connected(&w), *quiet = connected(&w);
    open_channel(&w, quiet, 1, "square");
    w.no_presence = true;
    for (uint32_t i = 1; i <= LIMIT_CHANNELS; i++, w.now += 5) open_channel(&w, conn, i, "square");
    w.no_presence = false;
    for (uint32_t i = 1; i <= 50; i++) be_present(&w, conn, i);
    tick(&w);
    ck_assert_uint_eq(w.states, 50);
    ck_assert_uint_lt(w.largest, 32768);
    w.states = 0;
    open_channel(&w, quiet, 2, "square");
    ck_assert_uint_eq(w.states, 50);
    ck_assert_uint_lt(w.largest, 32768);
    for (uint32_t i = 1; i <= LIMIT_CHANNELS; i++, w.now += 5) be_present(&w, conn, i);
    tick(&w);
    w.states = 0;
    open_channel(&w, quiet, 3, "square");
    ck_assert_uint_ge(w.states, 100);
    ck_assert_uint_le(w.states, 200); /* half a megabyte of them */
    ck_assert_uint_lt(w.largest, 32768);
    hub_disconnect(w.hub, conn, w.now);
    tick(&w);
    w.states = 0;
    open_channel(&w, quiet, 4, "square");
    ck_assert_uint_eq(w.states, 0);
    stop(&w);
}
END_TEST

/* A few bytes that make the server walk a document: once a second. */
START_TEST(digests)
{
    struct world w;
    start(&w);
    hub_conn *conn = connected(&w);
    open_channel(&w, conn, 1, "notes");
    many_peers(&w, conn, 2, 0x1000);
    syn_id heads[] = {{.peer = 0x1000}, {.peer = 0x1001}};
    struct frame frame = {.channel = 1, .kind = FRAME_DIGEST};
    frame.as.digest = (struct msg_digest){.version = {.heads = heads, .head_count = 1}, .hash = 1};
    give(&w, conn, &frame); /* another version: nothing to compare */
    frame.as.digest.version.head_count = 2;
    for (int i = 0; i < 50; i++) give(&w, conn, &frame);
    settle(&w);
    ck_assert_uint_eq(w.count[FRAME_DIGEST], 1);
    w.now += DIGEST_MS;
    give(&w, conn, &frame);
    settle(&w);
    ck_assert_uint_eq(w.count[FRAME_DIGEST], 2);
    stop(&w);
}
END_TEST

/* A name that is kept shorter than it is would be another user's. */
START_TEST(names_of_users)
{
    struct world w;
    char name[LIMIT_USER_BYTES + 1];
    memset(name, 'n', sizeof name);
    start(&w);
    connected_as(&w, (syn_str){name, LIMIT_USER_BYTES});
    ck_assert_uint_eq(w.count[FRAME_WELCOME], 1);
    connected_as(&w, (syn_str){name, LIMIT_USER_BYTES + 1});
    connected_as(&w, (syn_str){"ann\0eve", 7});
    ck_assert_uint_eq(w.count[FRAME_WELCOME], 1);
    ck_assert_uint_eq(w.count[FRAME_ERROR], 2);
    stop(&w);
}
END_TEST

/* Documents that are not there leave nothing behind. */
START_TEST(names_of_nothing)
{
    struct world w;
    struct hub_stats stats;
    start(&w);
    hub_conn *conn = connected(&w);
    for (uint32_t i = 1; i <= 100; i++) {
        char name[32];
        struct frame frame = {.channel = i, .kind = FRAME_CLOSE};
        snprintf(name, sizeof name, "nothing %u", i);
        open_channel(&w, conn, i, name);
        give(&w, conn, &frame);
        settle(&w);
    }
    w.now += 2000;
    hub_tick(w.hub, w.now);
    hub_read_stats(w.hub, &stats);
    ck_assert_uint_eq(stats.rooms, 0);
    stop(&w);
}
END_TEST

/* Frames that were sent out of the queue give their place, also when it never gets empty. */
START_TEST(a_reader_that_is_always_behind)
{
    struct world w;
    struct frame ping = {.kind = FRAME_PING};
    start(&w);
    hub_conn *conn = connected(&w);
    w.stopped = true;
    for (uint32_t i = 0; i < 100000; i++) {
        w.now += 2;
        give(&w, conn, &ping);
        if (i > 10) hub_writable(w.hub, conn, w.now); /* takes one, and is full again */
        ck_assert_uint_le(conn->queue.len, 4096);
    }
    stop(&w);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("hub_hostile");
    TCase *tests = tcase_create("hostile");
    tcase_set_timeout(tests, 0);
    tcase_add_test(tests, refused_peers);
    tcase_add_test(tests, new_peers);
    tcase_add_test(tests, without_the_right_to_read);
    tcase_add_test(tests, crowd);
    tcase_add_test(tests, digests);
    tcase_add_test(tests, names_of_users);
    tcase_add_test(tests, names_of_nothing);
    tcase_add_test(tests, a_reader_that_is_always_behind);
    suite_add_tcase(suite, tests);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed != 0;
}
