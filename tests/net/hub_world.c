/* hub_world.c -- hub_world.h. */
#include "hub_world.h"

#include <check.h>
#include <stdlib.h>
#include <string.h>

uint64_t draw(void *user)
{
    struct world *w = user;
    return ++w->random * 0x9e3779b97f4a7c15u;
}

static void refused(struct world *w, uint32_t code, bool permanent, uint32_t retry_ms)
{
    w->code = code;
    w->permanent = permanent;
    w->retry_ms = retry_ms;
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
    if (frame.kind == FRAME_NACK)
        refused(w, frame.as.nack.code, frame.as.nack.permanent, frame.as.nack.retry_ms);
    if (frame.kind == FRAME_CLOSED)
        refused(w, frame.as.closed.code, frame.as.closed.permanent, frame.as.closed.retry_ms);
    if (frame.kind == FRAME_ERROR)
        refused(w, frame.as.error.code, frame.as.error.permanent, frame.as.error.retry_ms);
    if (frame.kind == FRAME_CREDIT) w->credit += frame.as.credit.bytes;
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

void settle(struct world *w)
{
    while (!hub_idle(w->hub)) {
        hub_flush(w->hub, w->now);
        store_poll(w->store);
    }
}

void start(struct world *w)
{
    store_options options = {.create = true};
    char detail[256];
    *w = (struct world){.now = 1000, .rights = RIGHT_READ | RIGHT_WRITE | RIGHT_CREATE};
    struct hub_port port = {.user = w,
                            .random = draw,
                            .send = take,
                            .close = cut,
                            .authenticate = authenticate,
                            .authorise = authorise};
    ck_assert_int_eq(store_open(&w->store, &options, detail), SYN_OK);
    ck_assert_int_eq(hub_new(&w->hub, w->store, &port), SYN_OK);
}

void stop(struct world *w)
{
    settle(w);
    hub_free(w->hub);
    store_close(w->store);
}

void give_bytes(struct world *w, hub_conn *conn, syn_buf *buf)
{
    hub_receive(w->hub, conn, buf->data, buf->len, w->now);
    syn_buf_free(buf);
}

void give(struct world *w, hub_conn *conn, const struct frame *frame)
{
    syn_buf buf = {0};
    ck_assert_int_eq(proto_encode(&buf, frame), SYN_OK);
    give_bytes(w, conn, &buf);
}

hub_conn *connected_as(struct world *w, syn_str name)
{
    struct frame hello = {.kind = FRAME_HELLO, .as.hello.features = FEATURE_DIGEST};
    hello.as.hello.min_version = hello.as.hello.max_version = 1;
    hello.as.hello.token = name;
    hub_conn *conn = hub_connect(w->hub, w, w->now);
    give(w, conn, &hello);
    return conn;
}

hub_conn *connected(struct world *w)
{
    hub_conn *conn = connected_as(w, syn_s("ann"));
    ck_assert_uint_ne(w->count[FRAME_WELCOME], 0);
    return conn;
}

void open_channel(struct world *w, hub_conn *conn, uint32_t channel, const char *name)
{
    struct frame frame = {.channel = channel, .kind = FRAME_OPEN};
    frame.as.open.document = syn_s(name);
    frame.as.open.peer = 0xa1;
    frame.as.open.no_presence = w->no_presence;
    give(w, conn, &frame);
    settle(w);
}

void type(struct world *w, hub_conn *conn, uint32_t channel, uint64_t peer, uint32_t seq,
          uint32_t count)
{
    struct change_container root = {.kind = SYN_TEXT, .form = CONTAINER_ROOT};
    char *text = malloc(count);
    memset(text, 'x', count);
    struct change_run run = {.seq = seq, .len = count};
    struct change_op op = {.kind = OP_TEXT_INSERT, .len = count, .pos = seq};
    syn_changes set = {.peers = &peer,
                       .peer_count = 1,
                       .containers = &root,
                       .container_count = 1,
                       .runs = &run,
                       .run_count = 1,
                       .ops = &op,
                       .op_count = 1,
                       .text = {text, count}};
    syn_buf buf = {0};
    ck_assert_int_eq(proto_encode_channel(&buf, channel), SYN_OK);
    ck_assert_int_eq(proto_encode_changes_body(&buf, &set, NULL), SYN_OK);
    give_bytes(w, conn, &buf);
    free(text);
}
