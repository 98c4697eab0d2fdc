/* test_hub_hostile.c -- what one client may cost the others: bounded, however it asks.
 *
 * The hub alone over a store in memory.  No transcripts, for what comes out would be long: the
 * tests count frames and look at sizes. */
#include "hub_world.h"

#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

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

/* Text of so many events. */
static void one_run(struct world *w, hub_conn *conn, uint32_t channel, uint64_t peer, uint32_t len)
{
    struct change_container root = {.kind = SYN_TEXT, .form = CONTAINER_ROOT};
    struct change_run run = {.len = len};
    struct change_op op = {.kind = OP_TEXT_INSERT, .len = len};
    char *text = malloc(len);
    memset(text, 'x', len);
    syn_changes set = {.peers = &peer,
                       .peer_count = 1,
                       .containers = &root,
                       .container_count = 1,
                       .runs = &run,
                       .run_count = 1,
                       .ops = &op,
                       .op_count = 1,
                       .text = {text, len}};
    syn_buf buf = {0};
    ck_assert_int_eq(proto_encode_channel(&buf, channel), SYN_OK);
    ck_assert_int_eq(proto_encode_changes_body(&buf, &set, NULL), SYN_OK);
    give_bytes(w, conn, &buf);
    settle(w);
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
        peers[i] = draw(w);
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

    /* A large one takes the turn of all. */
    struct {
        const char *name;
        uint32_t channel;
    } docs[] = {{"large", 2}, {"small", 3}};
    syn_id last[2] = {{.peer = 0x2000, .seq = 59999}, {.peer = 0x3000}};
    for (int i = 0; i < 2; i++) {
        open_channel(&w, conn, docs[i].channel, docs[i].name);
        one_run(&w, conn, docs[i].channel, last[i].peer, last[i].seq + 1);
    }
    for (int round = 0; round < 3; round++) {
        for (uint32_t i = 0; i < 2; i++) {
            frame.channel = docs[i].channel;
            frame.as.digest.version = (struct msg_version){.heads = &last[i], .head_count = 1};
            give(&w, conn, &frame);
        }
        settle(&w);
        w.now += DIGEST_MS / 2 + 1; /* 1.2 s of waiting for 60,000 events */
    }
    ck_assert_uint_eq(w.count[FRAME_DIGEST], 3);
    w.now += DIGEST_MS;
    give(&w, conn, &frame);
    settle(&w);
    ck_assert_uint_eq(w.count[FRAME_DIGEST], 4);
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
