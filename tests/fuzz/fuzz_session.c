/* fuzz_session.c -- libFuzzer: whole conversations with the hub.
 *
 *     input -- one command per byte, with its arguments behind --> frames of four connections,
 *              right or broken; commits that end later or fail; time; lost connections
 *
 * The store is the one in memory: its commits happen when the hub is polled, and fail when the
 * allocator it was given does.  Whatever the input: no frame that the server sends is malformed,
 * nothing unknown leaves it before the commit, every document passes its own check, and in the end
 * the hub comes to rest and can be freed. */
#include "hub.h"
#include "hub_impl.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { CONNS = 4, PEERS = 6, STEPS = 400 };

struct input {
    const uint8_t *at;
    size_t left;
};

enum { NAMED = 16 };

struct client {
    struct {
        uint32_t channel;
        struct proto_names names;
    } named[NAMED]; /* what the server named on its newest channels */
    uint32_t named_next;
    hub_conn *conn;
    bool stopped, closing;
    uint32_t channel; /* the last that was opened */
};

struct world {
    struct input in;
    hub *hub;
    syn_store *store;
    uint64_t now, random;
    bool failing; /* the store's allocator */
    struct client clients[CONNS];
    uint32_t next[PEERS]; /* seq that a well-behaved writer would use */
    proto_arena *arena;
};

static void must(bool holds, const char *what)
{
    if (holds) return;
    fprintf(stderr, "fuzz_session: %s\n", what);
    abort();
}

static uint8_t byte(struct world *w)
{
    if (w->in.left == 0) return 0;
    w->in.left--;
    return *w->in.at++;
}

static uint32_t number(struct world *w)
{
    uint8_t first = byte(w);
    if (first < 250) return first % 16;
    if (first < 253) return (uint32_t)byte(w) << 8 | byte(w);
    return first == 253 ? SEQ_MAX : first == 254 ? UINT32_MAX : 1u << 30;
}

/* ---- The world ------------------------------------------------------------------------------- */

static void *store_memory(void *user, void *old, size_t old_len, size_t len)
{
    struct world *w = user;
    (void)old_len;
    if (len == 0) {
        free(old);
        return NULL;
    }
    return w->failing ? NULL : realloc(old, len);
}

static uint64_t next_random(void *user)
{
    struct world *w = user;
    w->random = w->random * 6364136223846793005u + 1442695040888963407u;
    return w->random ^ (w->random >> 29);
}

/* What the server says must be right by the rules for everybody's frames. */
static struct proto_names *names_of(struct client *c, uint32_t channel)
{
    for (int i = 0; i < NAMED; i++)
        if (c->named[i].names.container_count != 0 && c->named[i].channel == channel)
            return &c->named[i].names;
    uint32_t at = c->named_next++ % NAMED;
    proto_names_free(&c->named[at].names);
    c->named[at].channel = channel;
    must(proto_names_begin(&c->named[at].names, 0) == SYN_OK, "no memory");
    return &c->named[at].names;
}

static void forget_names(struct client *c)
{
    for (int i = 0; i < NAMED; i++) proto_names_free(&c->named[i].names);
}

static bool named_tables(void *user, uint32_t channel, struct proto_tables *out)
{
    *out = proto_names_tables(names_of(user, channel));
    return true;
}

static bool on_send(void *user, void *link, syn_str head, syn_str body)
{
    struct world *w = user;
    struct client *c = link;
    struct frame frame;
    struct proto_fault fault;
    size_t len = head.len + body.len;
    char *bytes = malloc(len + 1);
    must(!c->closing, "a frame after the connection was closed");
    must(bytes != NULL, "no memory");
    memcpy(bytes, head.data, head.len);
    if (body.len != 0) memcpy(bytes + head.len, body.data, body.len);
    syn_err err = proto_decode(w->arena, bytes, len, NULL, named_tables, c, &frame, &fault);
    if (!err && frame.kind == FRAME_NAMES)
        err = proto_names_add(names_of(c, frame.channel), &frame.as.names, &fault);
    if (err == SYN_EMALFORMED && c->named_next > NAMED) err = SYN_OK; /* forgotten here */
    if (err) fprintf(stderr, "%s: %s\n", syn_errname(err), fault.text);
    must(err == SYN_OK, "the server sent a malformed frame");
    free(bytes);
    return !c->stopped;
}

static void on_close(void *user, void *link, unsigned status, const char *reason)
{
    struct client *c = link;
    (void)user;
    (void)status;
    (void)reason;
    c->closing = true;
}

static uint32_t on_authorise(void *user, const struct hub_identity *who, syn_str document)
{
    (void)user;
    if (document.len == 1 && document.data[0] == 'r') return RIGHT_READ;
    return who->name.len == 1 ? 15 : 7;
}

static void on_authenticate(void *user, uint64_t conn, syn_str token)
{
    struct world *w = user;
    if (token.len == 3)
        hub_refused(w->hub, conn, syn_s("no"), w->now);
    else if (token.len != 2) /* 2: answered never */
        hub_signed_in(w->hub, conn,
                      &(struct hub_identity){.name = syn_s(token.len == 1 ? "a" : "anonymous")}, 0,
                      w->now);
}

/* ---- Frames ---------------------------------------------------------------------------------- */

/* As it is, or with a few bytes changed, left out or added. */
static void give(struct world *w, struct client *c, const struct frame *frame, bool broken)
{
    syn_buf buf = {0};
    if (c->conn == NULL || c->closing) return;
    if (proto_encode(&buf, frame) != SYN_OK || buf.len == 0) {
        syn_buf_free(&buf);
        return;
    }
    for (uint32_t n = broken ? 1 + byte(w) % 3 : 0; n > 0; n--) {
        uint32_t at = byte(w) % (uint32_t)buf.len;
        buf.data[at] = (char)byte(w);
    }
    size_t len = broken && byte(w) % 4 == 0 ? byte(w) % (buf.len + 1) : buf.len;
    hub_receive(w->hub, c->conn, buf.data, len, w->now);
    syn_buf_free(&buf);
}

static void do_hello(struct world *w, struct client *c, bool broken)
{
    static const char *const tokens[] = {"", "", "", "a", "b", "no", "bad", ""};
    struct frame frame = {.kind = FRAME_HELLO};
    frame.as.hello.min_version = frame.as.hello.max_version = 1;
    frame.as.hello.features = byte(w) % 8;
    frame.as.hello.token = syn_s(tokens[byte(w) % 8]);
    frame.as.hello.client = syn_s("fuzz");
    give(w, c, &frame, broken);
}

static uint64_t peer_of(uint32_t index)
{
    return 0xa1u + index % PEERS;
}

static void do_open(struct world *w, struct client *c, bool broken)
{
    static const char *const names[] = {"a", "b", "r", "\xc3\xa9"};
    syn_id heads[3];
    uint64_t old[2];
    struct frame frame = {.kind = FRAME_OPEN};
    struct msg_open *open = &frame.as.open;
    uint8_t flags = byte(w);
    open->document = syn_s(names[byte(w) % 4]);
    frame.channel = flags & 1 && c->channel != 0 ? c->channel : ++c->channel;
    open->peer = flags & 2 ? 0 : peer_of(byte(w));
    open->state_only = (flags & 4) != 0;
    open->history = (flags & 8) != 0;
    open->authors = (flags & 16) != 0;
    open->no_presence = (flags & 32) != 0;
    if (flags & 64) open->window_bytes = number(w);
    if (flags & 128) {
        uint32_t first = byte(w) % PEERS;
        open->version.heads = heads;
        open->version.head_count = 1 + byte(w) % 2;
        for (uint32_t i = 0; i < open->version.head_count; i++)
            heads[i] = (syn_id){peer_of(first) + i, number(w)};
        open->old_peers = old;
        open->old_peer_count = byte(w) % 3;
        for (uint32_t i = 0; i < open->old_peer_count; i++) old[i] = peer_of(byte(w));
    }
    give(w, c, &frame, broken);
}

static const struct change_container roots[] = {
    {.kind = SYN_TEXT},
    {.kind = SYN_MAP},
    {.kind = SYN_LIST, .name = {"l", 1}},
    {.kind = SYN_COUNTER, .form = CONTAINER_MERGEABLE, .parent = 1, .key = {"k", 1}},
    {.kind = SYN_TEXT, .form = CONTAINER_BY_EVENT, .peer = 0, .seq = 1},
};

/* One operation; what it takes goes into the queues. */
static void add_op(struct world *w, struct change_op *op, syn_changes *set,
                   struct change_value *value, syn_str *key)
{
    static const uint8_t kinds[] = {OP_TEXT_INSERT, OP_DELETE,      OP_DELETE_BACK, OP_MAP_SET,
                                    OP_MAP_DELETE,  OP_LIST_INSERT, OP_LIST_SET,    OP_COUNTER_ADD,
                                    OP_NOTHING,     OP_TEXT_INSERT, OP_LIST_MOVE};
    static const uint32_t places[] = {0, 0, 0, 1, 1, 2, 2, 3, 0, 4, 2};
    static char text[256];
    uint32_t which = byte(w) % (sizeof kinds);
    memset(text, 'x', sizeof text);
    *op = (struct change_op){.kind = kinds[which], .container = places[which], .len = 1};
    if (op->kind != OP_MAP_SET && op->kind != OP_MAP_DELETE && op->kind != OP_COUNTER_ADD &&
        op->kind != OP_NOTHING)
        op->pos = number(w);
    if (op->kind <= OP_DELETE_BACK) op->len = 1 + byte(w) % 40;
    if (op->kind == OP_TEXT_INSERT) set->text = (syn_str){text, op->len};
    if (op->kind == OP_MAP_SET || op->kind == OP_MAP_DELETE) {
        *key = syn_s(byte(w) % 2 ? "k" : "m");
        set->keys = key;
        set->key_count = 1;
    }
    bool takes = op->kind == OP_MAP_SET || op->kind == OP_LIST_INSERT || op->kind == OP_LIST_SET;
    if (!takes && op->kind != OP_COUNTER_ADD) return;
    static const uint32_t values[] = {SYN_VALUE_INT, SYN_VALUE_NULL, SYN_VALUE_CHILD,
                                      SYN_VALUE_MERGEABLE, SYN_VALUE_STRING};
    *value = (struct change_value){.kind = takes ? values[byte(w) % 5] : SYN_VALUE_INT};
    value->i = value->kind == SYN_VALUE_INT ? byte(w) : SYN_TEXT;
    if (value->kind == SYN_VALUE_STRING) value->blob = syn_s("value");
    set->values = value;
    set->value_count = 1;
}

static void do_changes(struct world *w, struct client *c, bool broken)
{
    struct frame frame = {.kind = FRAME_CHANGES, .channel = c->channel};
    syn_changes *set = &frame.as.changes;
    uint64_t peers[2];
    struct change_run run = {0};
    struct change_dep deps[2];
    struct change_op op;
    struct change_value value;
    syn_str key;
    uint32_t writer = byte(w) % PEERS, other = byte(w) % PEERS;
    uint8_t flags = byte(w);
    peers[0] = peer_of(writer);
    peers[1] = peer_of(other);
    set->peers = peers;
    set->peer_count = other != writer ? 2 : 1;
    set->containers = roots;
    set->container_count = sizeof roots / sizeof *roots;
    add_op(w, &op, set, &value, &key);
    run.len = op.len;
    run.seq = flags & 1 ? number(w) : w->next[writer];
    if (flags & 2 && set->peer_count == 2) {
        run.explicit_parents = true;
        uint32_t n = 0;
        if (run.seq != 0 && flags & 4) deps[n++] = (struct change_dep){0, run.seq - 1};
        uint32_t seq = w->next[other] != 0 && flags & 8 ? w->next[other] - 1 : number(w);
        deps[n++] = (struct change_dep){1, seq};
        if (n == 2 && peers[1] < peers[0]) {
            struct change_dep first = deps[0];
            deps[0] = deps[1];
            deps[1] = first;
        }
        run.dep_count = n;
    }
    set->deps = deps;
    set->dep_count = run.dep_count;
    set->runs = &run;
    set->ops = &op;
    set->run_count = set->op_count = 1;
    if (!(flags & 1)) w->next[writer] += run.len;
    give(w, c, &frame, broken);
}

static void do_want(struct world *w, struct client *c, bool broken)
{
    struct frame frame = {.kind = FRAME_WANT, .channel = c->channel};
    struct msg_version *have = &frame.as.want.have, *upto = &frame.as.want.upto;
    syn_id ids[2] = {{peer_of(byte(w)), number(w)}, {0xb0, 0}},
           head = {peer_of(byte(w)), number(w)};
    uint8_t flags = byte(w);
    if (flags & 1) {
        have->vector = ids;
        have->vector_count = 1 + (flags & 2) / 2;
    } else if (flags & 4) {
        have->heads = ids;
        have->head_count = 1;
    }
    if (flags & 8) {
        upto->heads = &head;
        upto->head_count = 1;
    }
    give(w, c, &frame, broken);
}

static void do_presence(struct world *w, struct client *c, bool broken)
{
    struct frame frame = {.kind = FRAME_PRESENCE, .channel = c->channel};
    uint8_t flags = byte(w);
    struct msg_presence_state state = {.ttl_ms = number(w), .unchanged = (flags & 1) != 0};
    if (!state.unchanged) state.state = syn_s("here");
    frame.as.presence.states = &state;
    frame.as.presence.state_count = 1;
    give(w, c, &frame, broken);
}

static void do_other(struct world *w, struct client *c, bool broken)
{
    static const enum frame_kind kinds[] = {FRAME_CLOSE, FRAME_CREDIT, FRAME_PING, FRAME_DIGEST,
                                            FRAME_AUTH,  FRAME_PONG,   FRAME_CLOSE};
    struct frame frame = {.kind = kinds[byte(w) % 7], .channel = c->channel};
    syn_id head = {peer_of(byte(w)), number(w)};
    if (frame.kind == FRAME_PING || frame.kind == FRAME_PONG || frame.kind == FRAME_AUTH)
        frame.channel = 0;
    if (frame.kind == FRAME_CREDIT) frame.as.credit.bytes = number(w);
    if (frame.kind == FRAME_DIGEST) {
        frame.as.digest.version.heads = &head;
        frame.as.digest.version.head_count = 1;
        frame.as.digest.kinds = 4;
    }
    if (frame.kind == FRAME_AUTH) frame.as.auth.token = syn_s(byte(w) % 2 ? "a" : "bad");
    give(w, c, &frame, broken);
}

static void do_raw(struct world *w, struct client *c)
{
    size_t len = byte(w);
    if (len > w->in.left) len = w->in.left;
    if (c->conn != NULL && !c->closing) hub_receive(w->hub, c->conn, w->in.at, len, w->now);
    w->in.at += len;
    w->in.left -= len;
}

/* ---- The rest -------------------------------------------------------------------------------- */

static void check_rooms(const hub *h)
{
    for (uint32_t i = 0; i < h->room_slots; i++)
        for (const struct room *room = h->rooms[i]; room != NULL; room = room->hash_next)
            if (room->doc != NULL) syn_doc_check(room->doc);
}

static syn_err own_edit(void *user, syn_doc *doc)
{
    syn_obj text;
    (void)user;
    if (doc == NULL) return SYN_OK;
    syn_err err = syn_root(doc, syn_s(""), SYN_TEXT, &text);
    return err ? err : syn_text_insert(doc, text, 0, syn_s("own"));
}

static void nothing_done(void *user, syn_err err)
{
    (void)user;
    (void)err;
}

static void toggle(struct world *w, struct client *c)
{
    if (c->conn == NULL) {
        forget_names(c);
        *c = (struct client){0};
        c->conn = hub_connect(w->hub, c, w->now);
    } else {
        hub_disconnect(w->hub, c->conn, w->now);
        c->conn = NULL;
    }
}

static void do_world(struct world *w, struct client *c)
{
    switch (byte(w) % 9) {
    case 0:
        w->failing = !w->failing;
        break;
    case 1:
        w->now += 1u + byte(w);
        hub_tick(w->hub, w->now);
        break;
    case 2:
        w->now += 1000u * byte(w);
        hub_tick(w->hub, w->now);
        break;
    case 3:
        c->stopped = !c->stopped;
        if (!c->stopped && c->conn != NULL && !c->closing) hub_writable(w->hub, c->conn, w->now);
        break;
    case 4:
        if (byte(w) % 4 == 0) hub_delete(w->hub, syn_s("a"), nothing_done, NULL, w->now);
        break;
    case 5:
        hub_edit(w->hub, syn_s(byte(w) % 2 ? "a" : "b"), true, own_edit, nothing_done, NULL,
                 w->now);
        break;
    case 6:
        if (c->conn != NULL && !c->closing)
            hub_refuse(w->hub, c->conn, CODE_LIMIT, 1009, "too long", w->now);
        break;
    case 7:
        toggle(w, c);
        break;
    default:
        hub_flush(w->hub, w->now);
        break;
    }
}

/* Commits end between two commands in half of the cases, so that turns gather meanwhile. */
static void step(struct world *w)
{
    uint8_t command = byte(w);
    struct client *c = &w->clients[command % CONNS];
    bool broken = command >= 224;
    if (c->conn == NULL) toggle(w, c);
    if (c->conn != NULL && c->closing) toggle(w, c);
    switch (command / CONNS % 8) {
    case 0:
        do_hello(w, c, broken);
        break;
    case 1:
        do_open(w, c, broken);
        break;
    case 2:
    case 3:
        do_changes(w, c, broken);
        break;
    case 4:
        do_want(w, c, broken);
        break;
    case 5:
        if (byte(w) % 2)
            do_presence(w, c, broken);
        else
            do_raw(w, c);
        break;
    case 6:
        do_other(w, c, broken);
        break;
    default:
        do_world(w, c);
    }
    if (command & 32) hub_flush(w->hub, w->now);
    if (command & 64) store_poll(w->store);
    check_rooms(w->hub);
}

static void come_to_rest(struct world *w)
{
    w->failing = false;
    for (int i = 0; i < 1000 && !hub_idle(w->hub); i++) {
        w->now += 100;
        hub_tick(w->hub, w->now);
        hub_flush(w->hub, w->now);
        store_poll(w->store);
    }
    must(hub_idle(w->hub), "the hub does not come to rest");
    check_rooms(w->hub);
    for (int i = 0; i < CONNS; i++)
        if (w->clients[i].conn != NULL) hub_disconnect(w->hub, w->clients[i].conn, w->now);
    for (int i = 0; i < CONNS; i++) forget_names(&w->clients[i]);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const uint8_t id[16] = {1};
    char detail[256];
    struct world w = {.in = {data, size}, .now = 1000, .random = 1};
    struct hub_port port = {.user = &w,
                            .random = next_random,
                            .send = on_send,
                            .close = on_close,
                            .authenticate = on_authenticate,
                            .authorise = on_authorise};
    store_options options = {.create = true, .random_id = id, .mem = {store_memory, &w}};
    must(proto_arena_new(&w.arena, NULL) == SYN_OK, "no memory");
    must(store_open(&w.store, &options, detail) == SYN_OK, detail);
    must(hub_new(&w.hub, w.store, &port) == SYN_OK, "no hub");
    hub_tune(w.hub, &(struct hub_tuning){.frame_piece = 64, .fold_rows = 8, .fold_bytes = 256});
    for (int i = 0; i < STEPS && w.in.left != 0; i++) step(&w);
    come_to_rest(&w);
    hub_free(w.hub);
    store_close(w.store);
    proto_arena_free(w.arena);
    return 0;
}
