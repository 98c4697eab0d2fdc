/* session_frames.c -- what clients say: right, twisted in one number, made up, or broken bytes. */
#include "session_world.h"

#include "change.h"
#include "syncline_bytes.h"

static uint32_t number(struct world *w)
{
    uint8_t first = byte(w);
    if (first < 250) return first % 16;
    if (first < 253) return (uint32_t)byte(w) << 8 | byte(w);
    return first == 253 ? SEQ_MAX : first == 254 ? UINT32_MAX : 1u << 30;
}

static uint64_t peer_of(uint32_t index)
{
    return 0xa1u + index % PEERS;
}

/* ---- Giving ---------------------------------------------------------------------------------- */

/* A hostile client's bytes may open a channel, whatever they were meant to be. */
static void note_given(struct client *c, const void *bytes, size_t len)
{
    struct world *w = c->world;
    struct frame frame;
    struct proto_fault fault;
    proto_arena_reset(w->given);
    if (proto_decode(w->given, bytes, len, NULL, NULL, NULL, &frame, &fault) != SYN_OK) return;
    if (frame.kind == FRAME_OPEN) (void)copy_asked(c, frame.channel, &frame.as.open);
}

void give_bytes(struct client *c, const void *bytes, size_t len)
{
    if (c->conn == NULL || c->closing) return;
    note_given(c, bytes, len);
    hub_receive(c->world->hub, c->conn, bytes, len, c->world->now);
}

/* As they are, or with a few changed or left out. */
static void give_buf(struct client *c, syn_buf *buf, bool broken)
{
    struct world *w = c->world;
    size_t len = buf->len;
    if (broken && len != 0) {
        client_spoils(c);
        for (uint32_t n = 1 + byte(w) % 3; n > 0; n--) {
            uint32_t at = byte(w) % (uint32_t)len;
            buf->data[at] = (char)byte(w);
        }
        if (byte(w) % 4 == 0) len = byte(w) % (len + 1);
    }
    give_bytes(c, buf->data, len);
}

void give(struct client *c, const struct frame *frame, bool broken)
{
    struct world *w = c->world;
    syn_buf buf = {0};
    if (c->conn == NULL || c->closing) return;
    if (proto_encode(&buf, frame) == SYN_OK && buf.len != 0) {
        give_buf(c, &buf, broken);
        if (frame->channel != 0 && buf.len < 4096) { /* kept, to be said again */
            w->last.len = 0;
            require(syn_buf_append(&w->last, buf.data, buf.len) == SYN_OK, "no memory");
        }
    }
    syn_buf_free(&buf);
}

void pay_credit(struct client *c)
{
    for (uint32_t i = 0; i < COPIES; i++) {
        struct copy *copy = &c->copies[i];
        if (copy->channel == 0 || copy->owed == 0 || c->conn == NULL || c->closing) continue;
        struct frame frame = {.kind = FRAME_CREDIT, .channel = copy->channel};
        syn_buf buf = {0};
        frame.as.credit.bytes = copy->owed;
        copy->owed = 0;
        require(proto_encode(&buf, &frame) == SYN_OK, "no memory");
        hub_receive(c->world->hub, c->conn, buf.data, buf.len, c->world->now);
        syn_buf_free(&buf);
    }
}

/* ---- Right frames ---------------------------------------------------------------------------- */

void say_hello(struct client *c, uint64_t features, const char *token, bool broken)
{
    struct frame frame = {.kind = FRAME_HELLO};
    frame.as.hello.min_version = frame.as.hello.max_version = 1;
    frame.as.hello.features = features;
    frame.as.hello.token = syn_s(token);
    frame.as.hello.client = syn_s("fuzz");
    give(c, &frame, broken);
}

/* From nothing on, under a peer that nobody else has. */
struct copy *say_open(struct client *c, uint32_t doc, uint8_t flags)
{
    struct world *w = c->world;
    struct frame frame = {.kind = FRAME_OPEN, .channel = ++c->channel};
    struct msg_open *open = &frame.as.open;
    syn_doc_config config = SYN_DOC_CONFIG_INIT;
    uint32_t free_copies = 0;
    for (uint32_t i = 0; i < COPIES; i++) free_copies += c->copies[i].channel == 0;
    if (c->conn == NULL || c->closing || free_copies == 0) return NULL;
    open->document = syn_s(doc_names[doc % DOCS]);
    open->peer = w->next_peer++;
    open->history = (flags & 1) != 0;
    open->authors = (flags & 2) != 0;
    open->no_presence = (flags & 4) != 0;
    open->window_bytes = flags & 8 ? 64 : 0;
    struct copy *copy = copy_asked(c, frame.channel, open);
    config.peer = open->peer;
    config.work_limit = UINT64_MAX;
    require(copy != NULL && syn_doc_new(&copy->replica, &config) == SYN_OK, "no memory");
    copy->clean = c->welcome;
    give(c, &frame, false);
    return copy_find(c, frame.channel);
}

/* One transaction; what does not fit is left out. */
void edit_document(struct world *w, syn_doc *doc)
{
    static const char *const words[] = {
        "a", "bc", "d\n", "\xc3\xa4", "\xf0\x9f\x98\x80", "xxxxxxxxxxxxxxxx"};
    syn_obj text = SYN_NO_OBJ, list = SYN_NO_OBJ, map = SYN_NO_OBJ, child;
    uint8_t kind = byte(w), where = byte(w);
    require(!syn_root(doc, syn_s(""), SYN_TEXT, &text) &&
                !syn_root(doc, syn_s("l"), SYN_LIST, &list) &&
                !syn_root(doc, syn_s("m"), SYN_MAP, &map),
            "no root");
    size_t len = syn_text_len(doc, text), items = syn_list_len(doc, list);
    switch (kind % 8) {
    case 0:
    case 1:
        (void)syn_text_insert(doc, text, where % (len + 1), syn_s(words[kind / 8 % 6]));
        break;
    case 2:
        if (len != 0)
            (void)syn_text_delete(doc, text, where % len,
                                  1 + kind / 8 % 4u > len - where % len ? 1 : 1 + kind / 8 % 4u);
        break;
    case 3:
        (void)syn_list_insert(doc, list, where % (items + 1), syn_int(kind), NULL);
        break;
    case 4:
        if (items != 0 && kind & 8)
            (void)syn_list_set(doc, list, where % items, syn_null(), NULL);
        else if (items != 0)
            (void)syn_list_delete(doc, list, where % items, 1);
        break;
    case 5:
        (void)syn_map_set(doc, map, syn_s(where & 1 ? "k" : "n"), syn_string(syn_s("value")), NULL);
        break;
    case 6:
        if (where & 1)
            (void)syn_map_delete(doc, map, syn_s("k"));
        else if (!syn_map_child(doc, map, syn_s("c"), SYN_COUNTER, &child))
            (void)syn_counter_add(doc, child, kind);
        break;
    default:
        if (!syn_map_child(doc, map, syn_s("t"), SYN_TEXT, &child))
            (void)syn_text_insert(doc, child, 0, syn_s("t"));
    }
}

struct twisted { /* the parts of a set that are not the exporter's any more */
    struct change_run runs[8];
    struct change_op ops[8];
    struct change_dep deps[8];
};

/* One number of a set that was right, such that it can still be written. */
static void twist(struct world *w, syn_changes *set, struct twisted *own)
{
    uint8_t which = byte(w);
    uint32_t value = number(w);
    if (set->run_count == 0 || set->run_count > 8 || set->op_count == 0 || set->op_count > 8 ||
        set->dep_count > 8)
        return;
    memcpy(own->runs, set->runs, set->run_count * sizeof *own->runs);
    memcpy(own->ops, set->ops, set->op_count * sizeof *own->ops);
    if (set->dep_count != 0) memcpy(own->deps, set->deps, set->dep_count * sizeof *own->deps);
    set->runs = own->runs;
    set->ops = own->ops;
    set->deps = own->deps;
    struct change_run *run = &own->runs[which / 8 % set->run_count];
    struct change_op *op = &own->ops[which / 8 % set->op_count];
    bool deletes = op->kind == OP_DELETE || op->kind == OP_DELETE_BACK;
    switch (which % 8) {
    case 0:
        run->seq = value & SEQ_MAX;
        break;
    case 1:
        run->seq += value % 3;
        break;
    case 2:
        op->pos = value & SEQ_MAX;
        break;
    case 3:
        op->pos += 1 + value % 3;
        break;
    case 4:
        if (deletes) op->kind = OP_DELETE + OP_DELETE_BACK - op->kind;
        break;
    case 5:
        if (set->container_count != 0) op->container = value % set->container_count;
        break;
    default:
        if (set->dep_count != 0) own->deps[which / 8 % set->dep_count].seq = value & SEQ_MAX;
    }
}

/* By names where they were agreed, as a client that saves bytes does. */
static void give_named(struct client *c, struct copy *copy, const struct frame *frame)
{
    struct frame names = {.kind = FRAME_NAMES, .channel = copy->channel};
    syn_buf buf = {0};
    if (copy->up.container_count == 0)
        require(proto_names_begin(&copy->up, copy->peer) == SYN_OK, "no memory");
    uint32_t peers = copy->up.peer_count, containers = copy->up.container_count;
    if (!proto_names_learn(&copy->up, &frame->as.changes)) {
        give(c, frame, false);
        return;
    }
    struct proto_tables tables = proto_names_tables(&copy->up);
    syn_err err = proto_encode_channel(&buf, copy->channel);
    if (!err) err = proto_encode_changes_body(&buf, &frame->as.changes, &tables);
    require(err == SYN_OK, "cannot be encoded by names");
    names.as.names = proto_names_since(&copy->up, peers, containers);
    if (names.as.names.peer_count + names.as.names.container_count != 0) give(c, &names, false);
    give_buf(c, &buf, false);
    syn_buf_free(&buf);
}

void say_edit(struct client *c, struct copy *copy, bool twisted)
{
    struct world *w = c->world;
    struct frame frame = {.kind = FRAME_CHANGES, .channel = copy->channel};
    struct twisted own;
    syn_id vector[128];
    const syn_span *spans;
    size_t count;
    bool may = copy->open && copy->replica != NULL && syn_doc_has_history(copy->replica) &&
               syn_doc_peer(copy->replica) == copy->peer && (copy->rights & RIGHT_WRITE) != 0;
    if (!may || c->conn == NULL || c->closing || c->stopped) return;
    edit_document(w, copy->replica);
    uint32_t next = syn_doc_next(copy->replica, copy->peer);
    size_t peers = syn_doc_vector(copy->replica, vector, 128);
    if (next <= copy->sent || peers > 128) return;
    for (size_t i = 0; i < peers; i++)
        if (vector[i].peer == copy->peer) vector[i].seq = copy->sent;
    require(!syn_doc_spans_since_vector(copy->replica, vector, peers, &spans, &count) &&
                !syn_doc_export_spans(copy->replica, spans, count, &frame.as.changes),
            "an edit cannot be exported");
    copy->sent = next;
    if (twisted) {
        client_spoils(c);
        twist(w, &frame.as.changes, &own);
    }
    if (c->features & FEATURE_NAMES && !twisted)
        give_named(c, copy, &frame);
    else
        give(c, &frame, false);
}

/* ---- Anything -------------------------------------------------------------------------------- */

static void do_open(struct client *c, bool broken)
{
    struct world *w = c->world;
    syn_id heads[3];
    uint64_t old[2];
    struct frame frame = {.kind = FRAME_OPEN};
    struct msg_open *open = &frame.as.open;
    uint8_t flags = byte(w);
    open->document = syn_s(doc_names[byte(w) % DOCS]);
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
    client_spoils(c);
    give(c, &frame, broken);
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

static void do_changes(struct client *c, bool broken)
{
    struct world *w = c->world;
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
    client_spoils(c);
    give(c, &frame, broken);
}

static void do_want(struct client *c, bool broken)
{
    struct world *w = c->world;
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
    client_spoils(c);
    give(c, &frame, broken);
}

static void do_presence(struct client *c, bool broken)
{
    struct world *w = c->world;
    struct frame frame = {.kind = FRAME_PRESENCE, .channel = c->channel};
    uint8_t flags = byte(w);
    struct msg_presence_state state = {.ttl_ms = number(w), .unchanged = (flags & 1) != 0};
    if (!state.unchanged) state.state = syn_s("here");
    frame.as.presence.states = &state;
    frame.as.presence.state_count = 1;
    client_spoils(c);
    give(c, &frame, broken);
}

static void do_other(struct client *c, bool broken)
{
    struct world *w = c->world;
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
    client_spoils(c);
    give(c, &frame, broken);
}

static void do_raw(struct client *c)
{
    struct world *w = c->world;
    size_t len = byte(w);
    if (len > w->left) len = w->left;
    client_spoils(c);
    give_bytes(c, w->at, len);
    w->at += len;
    w->left -= len;
}

/* What somebody said before, on a channel of this one. */
static void do_again(struct client *c)
{
    struct world *w = c->world;
    client_spoils(c);
    if (w->last.len != 0 && c->channel < 128 && w->last.data[0] == 8)
        w->last.data[1] = (char)c->channel;
    give_bytes(c, w->last.data, w->last.len);
}

static void do_names(struct client *c, bool broken)
{
    struct frame frame = {.kind = FRAME_NAMES, .channel = c->channel};
    uint64_t peers[2] = {peer_of(byte(c->world)), peer_of(byte(c->world))};
    uint8_t flags = byte(c->world);
    frame.as.names.peers = peers;
    frame.as.names.peer_count = flags % 3;
    frame.as.names.containers = roots;
    frame.as.names.container_count = flags / 4 % 5;
    give(c, &frame, broken);
}

static void do_packed(struct client *c, bool broken)
{
    static const char text[] = "\x0a\x08\xa1\0\0\0\0\0\0\0\x5a\x02\xac\x02\x6a\xac\x02";
    struct world *w = c->world;
    char raw[sizeof text - 1 + 300];
    syn_buf buf = {0};
    memcpy(raw, text, sizeof text - 1);
    memset(raw + sizeof text - 1, 'p', 300);
    client_spoils(c);
    if (!proto_encode_channel(&buf, c->channel) &&
        !proto_encode_packed_body(&buf, byte(w) % 8 == 0 ? PACKED_SNAPSHOT : PACKED_CHANGES, raw,
                                  sizeof raw))
        give_buf(c, &buf, broken);
    syn_buf_free(&buf);
}

static void do_hello(struct client *c, bool broken)
{
    static const char *const tokens[] = {"", "", "", "a", "b", "no", "bad", ""};
    uint8_t features = byte(c->world) % 8;
    say_hello(c, features, tokens[byte(c->world) % 8], broken);
}

static void do_twisted(struct client *c)
{
    struct world *w = c->world;
    uint8_t flags = byte(w);
    for (uint32_t i = 0; i < COPIES; i++) {
        struct copy *copy = &c->copies[(i + flags) % COPIES];
        if (copy->replica == NULL || copy->channel == 0) continue;
        say_edit(c, copy, (flags & 8) != 0);
        return;
    }
    (void)say_open(c, flags / 16, flags);
}

void say_anything(struct client *c, uint32_t kind, bool broken)
{
    static void (*const say[])(struct client *, bool) = {
        do_open, do_changes, do_want, do_presence, do_other, do_names, do_packed, do_hello};
    if (kind < 8)
        say[kind](c, broken);
    else if (kind == 8)
        do_twisted(c);
    else if (kind == 9)
        do_again(c);
    else
        do_raw(c);
}
