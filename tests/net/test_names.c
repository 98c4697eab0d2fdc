/* test_names.c -- FEATURE_NAMES between real sessions, the hub and a client that never heard of it.
 *
 *     writer (session) --+
 *     reader (session) --+-- hub      messages wait in one queue and are delivered in order
 *     old    (raw)     --+
 *
 * Counted are bytes and frames by kind; a hostile client speaks by hand. */
#include "hub_impl.h"
#include "session.h"

#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { CLIENTS = 4, KINDS = 32 };

struct peer { /* one end of a connection; no session: by hand */
    struct world *w;
    hub_conn *conn;
    session *s;
    session_doc *sd;
    syn_doc *doc;
    uint32_t sent[KINDS], got[KINDS]; /* frames by kind */
    size_t up, down;                  /* bytes of the last Changes */
    syn_buf last;                     /* the last Changes, without its channel */
    uint32_t code;                    /* of the last Closed or Error */
};

struct message {
    struct peer *peer;
    bool up;
    syn_buf bytes;
};

struct world {
    syn_store *store;
    hub *hub;
    uint64_t now, random;
    struct peer peers[CLIENTS];
    struct message queue[256];
    uint32_t first, count;
};

/* ---- The world ------------------------------------------------------------------------------- */

static uint64_t hub_random(void *user)
{
    struct world *w = user;
    return ++w->random * 0x9e3779b97f4a7c15u;
}

static uint64_t session_number(void *user)
{
    struct peer *p = user;
    return hub_random(p->w);
}

static void post(struct peer *p, bool up, syn_str head, syn_str body)
{
    struct world *w = p->w;
    ck_assert_uint_lt(w->count, 256);
    struct message *m = &w->queue[(w->first + w->count++) % 256];
    *m = (struct message){.peer = p, .up = up};
    ck_assert_int_eq(syn_buf_append(&m->bytes, head.data, head.len), SYN_OK);
    ck_assert_int_eq(syn_buf_append(&m->bytes, body.data, body.len), SYN_OK);
}

static bool from_session(void *user, syn_str message)
{
    post(user, true, message, (syn_str){NULL, 0});
    return true;
}

static bool from_hub(void *user, void *link, syn_str head, syn_str body)
{
    (void)user;
    post(link, false, head, body);
    return true;
}

static void cut(void *user, void *link, unsigned status, const char *reason)
{
    (void)user;
    (void)link;
    (void)status;
    (void)reason;
}

/* Tag of the body; all channel numbers here take two bytes with their tag. */
static void look_at(struct message *m)
{
    struct peer *p = m->peer;
    const unsigned char *at = (const unsigned char *)m->bytes.data;
    size_t prefix = at[0] == 0x08 ? 2 : 0;
    uint32_t tag =
        at[prefix] < 0x80 ? at[prefix] : (at[prefix] & 0x7fu) | ((uint32_t)at[prefix + 1] << 7);
    (m->up ? p->sent : p->got)[tag >> 3]++;
    if (tag >> 3 == FRAME_CLOSED || tag >> 3 == FRAME_ERROR) {
        size_t inner = prefix + (tag < 0x80 ? 2 : 3);
        p->code = at[inner] == 0x08 ? at[inner + 1] : 0;
    }
    if (tag >> 3 != FRAME_CHANGES) return;
    *(m->up ? &p->up : &p->down) = m->bytes.len;
    p->last.len = 0;
    ck_assert_int_eq(syn_buf_append(&p->last, m->bytes.data + 2, m->bytes.len - 2), SYN_OK);
}

static void settle(struct world *w)
{
    while (w->count > 0 || !hub_idle(w->hub)) {
        while (w->count > 0) {
            struct message m = w->queue[w->first];
            w->first = (w->first + 1) % 256;
            w->count--;
            look_at(&m);
            if (m.up)
                hub_receive(w->hub, m.peer->conn, m.bytes.data, m.bytes.len, w->now);
            else if (m.peer->s != NULL)
                session_receive(m.peer->s, m.bytes.data, m.bytes.len, w->now);
            syn_buf_free(&m.bytes);
        }
        hub_flush(w->hub, w->now);
        store_poll(w->store);
    }
}

static void start(struct world *w)
{
    store_options options = {.create = true};
    char detail[256];
    memset(w, 0, sizeof *w);
    w->now = 1000;
    struct hub_port port = {.user = w, .random = hub_random, .send = from_hub, .close = cut};
    ck_assert_int_eq(store_open(&w->store, &options, detail), SYN_OK);
    ck_assert_int_eq(hub_new(&w->hub, w->store, &port), SYN_OK);
}

static void stop(struct world *w)
{
    settle(w);
    for (int i = 0; i < CLIENTS; i++) {
        struct peer *p = &w->peers[i];
        if (p->s != NULL) session_free(p->s);
        syn_doc_free(p->doc);
        syn_buf_free(&p->last);
    }
    hub_free(w->hub);
    store_close(w->store);
}

/* ---- Clients --------------------------------------------------------------------------------- */

static struct peer *with_session(struct world *w, int i)
{
    struct peer *p = &w->peers[i];
    struct session_port port = {.user = p, .random = session_number, .send = from_session};
    struct session_config config = {.client = syn_s("test")};
    struct session_options none = {0};
    p->w = w;
    ck_assert_int_eq(session_new(&p->s, &port, &config), SYN_OK);
    ck_assert_int_eq(syn_doc_new(&p->doc, NULL), SYN_OK);
    ck_assert_int_eq(session_attach(p->s, &p->sd, syn_s("d"), p->doc, p, &none, w->now), SYN_OK);
    p->conn = hub_connect(w->hub, p, w->now);
    session_connected(p->s, w->now);
    settle(w);
    ck_assert_int_eq(session_doc_status(p->sd), SYN_LIVE);
    return p;
}

static void give(struct peer *p, const struct frame *frame)
{
    syn_buf bytes = {0};
    ck_assert_int_eq(proto_encode(&bytes, frame), SYN_OK);
    post(p, true, (syn_str){bytes.data, bytes.len}, (syn_str){NULL, 0});
    syn_buf_free(&bytes);
    settle(p->w);
}

static struct peer *by_hand(struct world *w, int i, uint64_t features, uint64_t peer)
{
    struct peer *p = &w->peers[i];
    struct frame hello = {.kind = FRAME_HELLO, .as.hello.features = features};
    struct frame open = {.channel = 1, .kind = FRAME_OPEN};
    p->w = w;
    p->conn = hub_connect(w->hub, p, w->now);
    hello.as.hello.min_version = hello.as.hello.max_version = 1;
    open.as.open.document = syn_s("d");
    open.as.open.peer = peer;
    give(p, &hello);
    give(p, &open);
    ck_assert_uint_eq(p->got[FRAME_OPENED], 1);
    return p;
}

/* The text "body" that is merged under the map "page". */
static syn_obj body_of(syn_doc *doc)
{
    syn_obj page, body;
    ck_assert_int_eq(syn_root(doc, syn_s("page"), SYN_MAP, &page), SYN_OK);
    ck_assert_int_eq(syn_map_child(doc, page, syn_s("body"), SYN_TEXT, &body), SYN_OK);
    return body;
}

/* A key of no bytes is a key. */
static void under_nothing(struct peer *p)
{
    syn_obj page, child;
    ck_assert_int_eq(syn_root(p->doc, syn_s("page"), SYN_MAP, &page), SYN_OK);
    ck_assert_int_eq(syn_map_child(p->doc, page, syn_s(""), SYN_TEXT, &child), SYN_OK);
    ck_assert_int_eq(syn_text_insert(p->doc, child, 0, syn_s("n")), SYN_OK);
}

static void type(struct peer *p, const char *text)
{
    syn_obj body = body_of(p->doc);
    ck_assert_int_eq(syn_text_insert(p->doc, body, syn_text_len(p->doc, body), syn_s(text)),
                     SYN_OK);
    session_commit(p->sd, 20, p->w->now);
    session_flush(p->s, p->w->now);
    settle(p->w);
}

static void ck_text(const struct peer *p, const char *want)
{
    char text[256];
    syn_obj body = body_of(p->doc);
    size_t len = syn_text_read(p->doc, body, 0, 200, text, sizeof text);
    ck_assert_uint_eq(len, strlen(want));
    ck_assert_mem_eq(text, want, len);
}

/* ---- Tests ----------------------------------------------------------------------------------- */

START_TEST(a_keystroke_in_a_named_container)
{
    struct world w;
    start(&w);
    struct peer *writer = with_session(&w, 0), *reader = with_session(&w, 1);
    struct peer *old = by_hand(&w, 2, 0, 0);
    char text[128] = "", key[2] = "a";
    for (int i = 0; i < 100; i++) {
        key[0] = (char)('a' + i % 26);
        type(writer, key);
        strcat(text, key);
    }
    ck_assert_uint_eq(writer->sent[FRAME_NAMES], 1); /* once, and never again */
    ck_assert_uint_eq(reader->got[FRAME_NAMES], 1);
    ck_assert_uint_le(writer->up, 20);
    ck_assert_uint_le(reader->down, 26);
    ck_text(reader, text);

    /* two write in turns: each names the other's last event as parent */
    for (int i = 0; i < 10; i++) {
        type(i % 2 != 0 ? writer : reader, "z");
        strcat(text, "z");
    }
    ck_assert_uint_le(writer->up, 28);
    ck_assert_uint_le(reader->up, 28);
    ck_text(reader, text);
    ck_text(writer, text);

    /* the old one got every frame, with tables of its own */
    proto_arena *arena;
    syn_changes set;
    struct proto_fault fault;
    ck_assert_int_eq(proto_arena_new(&arena, NULL), SYN_OK);
    ck_assert_uint_eq(old->got[FRAME_NAMES], 0);
    ck_assert_uint_eq(old->got[FRAME_CHANGES], 110);
    ck_assert_int_eq(proto_decode_changes(arena, old->last.data + 2, old->last.len - 2, NULL, NULL,
                                          &set, &fault),
                     SYN_OK);
    proto_arena_free(arena);
    stop(&w);
}
END_TEST

/* Who comes late is told all names in one frame, and then reads the very bytes that all read. */
START_TEST(one_body_for_all)
{
    struct world w;
    start(&w);
    struct peer *writer = with_session(&w, 0), *early = with_session(&w, 1);
    type(writer, "one ");
    under_nothing(early);
    type(early, "two ");
    struct peer *late = with_session(&w, 2);
    type(writer, "three");
    ck_assert_uint_eq(late->got[FRAME_NAMES], 1);
    ck_assert_uint_eq(late->last.len, early->last.len);
    ck_assert_mem_eq(late->last.data, early->last.data, late->last.len);
    ck_text(late, "one two three");
    /* a new connection begins with nothing told */
    hub_disconnect(w.hub, early->conn, w.now);
    session_disconnected(early->s, w.now);
    early->conn = hub_connect(w.hub, early, w.now);
    memset(early->got, 0, sizeof early->got);
    session_connected(early->s, w.now);
    settle(&w);
    type(writer, "!");
    ck_assert_uint_eq(early->got[FRAME_NAMES], 1);
    ck_text(early, "one two three!");
    stop(&w);
}
END_TEST

static void name_peers(struct peer *p, uint64_t first, uint32_t count)
{
    struct frame names = {.channel = 1, .kind = FRAME_NAMES};
    uint64_t *peers = calloc(count, sizeof *peers);
    for (uint32_t i = 0; i < count; i++) peers[i] = first + i;
    names.as.names.peers = peers;
    names.as.names.peer_count = count;
    give(p, &names);
    free(peers);
}

static void name_container(struct peer *p, struct change_container c)
{
    struct frame names = {.channel = 1, .kind = FRAME_NAMES};
    names.as.names.containers = &c;
    names.as.names.container_count = 1;
    give(p, &names);
}

struct refusal {
    struct world w;
    struct peer *p;
};

static struct peer *hostile(struct refusal *r)
{
    start(&r->w);
    r->p = by_hand(&r->w, 0, FEATURE_NAMES, 0xa1);
    return r->p;
}

static void refused(struct refusal *r, enum code code)
{
    ck_assert_uint_eq(r->p->got[FRAME_CLOSED], 1);
    ck_assert_uint_eq(r->p->code, code);
    ck_assert_uint_eq(r->p->got[FRAME_ERROR], 0);
    stop(&r->w);
}

START_TEST(bad_names)
{
    const struct change_container map = {.kind = SYN_MAP, .name = syn_s("m")};
    struct refusal r;
    name_peers(hostile(&r), 0xa1, 1); /* the peer of Open has index 0 */
    refused(&r, CODE_MALFORMED);
    name_peers(hostile(&r), 0, 1);
    refused(&r, CODE_MALFORMED);
    name_container(hostile(&r), (struct change_container){.kind = SYN_TEXT}); /* index 0 too */
    refused(&r, CODE_MALFORMED);
    name_container(hostile(&r), map);
    name_container(r.p, map);
    refused(&r, CODE_MALFORMED);
    name_container(hostile(&r), (struct change_container){.kind = SYN_TEXT,
                                                          .form = CONTAINER_MERGEABLE,
                                                          .parent = 1}); /* itself */
    refused(&r, CODE_MALFORMED);
    name_container(hostile(&r), (struct change_container){.kind = SYN_TEXT,
                                                          .form = CONTAINER_MERGEABLE,
                                                          .parent = 0}); /* no map */
    refused(&r, CODE_MALFORMED);
    name_container(hostile(&r), (struct change_container){
                                    .kind = SYN_TEXT, .form = CONTAINER_BY_EVENT, .peer = 1});
    refused(&r, CODE_MALFORMED);
}
END_TEST

START_TEST(too_many_names)
{
    struct refusal r;
    hostile(&r);
    for (uint64_t i = 1; i <= 4; i++) name_peers(r.p, 0x1000 * i, 1000);
    ck_assert_uint_eq(r.p->got[FRAME_CLOSED], 0);
    name_peers(r.p, 0x10000, 100);
    refused(&r, CODE_LIMIT);
    hostile(&r);
    char name[200];
    memset(name, 'n', sizeof name);
    for (int i = 0; i < 1000 && r.p->got[FRAME_CLOSED] == 0; i++) {
        snprintf(name, 8, "%07d", i);
        name[7] = 'n';
        name_container(r.p, (struct change_container){.kind = SYN_MAP, .name = {name, 200}});
    }
    refused(&r, CODE_LIMIT);
}
END_TEST

static void write_by(struct peer *p, uint32_t peer, uint32_t container)
{
    syn_buf bytes = {0};
    const unsigned char frame[] = {0x08,
                                   1,
                                   0x12,
                                   9,
                                   0x12,
                                   1,
                                   (unsigned char)peer, /* run_peer */
                                   0x4a,
                                   1,
                                   (unsigned char)container, /* op_container */
                                   0x6a,
                                   1,
                                   'x'};
    ck_assert_int_eq(syn_buf_append(&bytes, frame, sizeof frame), SYN_OK);
    post(p, true, (syn_str){bytes.data, bytes.len}, (syn_str){NULL, 0});
    syn_buf_free(&bytes);
    settle(p->w);
}

START_TEST(indexes)
{
    struct refusal r;
    write_by(hostile(&r), 1, 0);
    refused(&r, CODE_MALFORMED);
    write_by(hostile(&r), 0, 1);
    refused(&r, CODE_MALFORMED);
    /* a table of thousands: the frame is taken by what it uses */
    hostile(&r);
    name_peers(r.p, 0x5000, 2000);
    name_container(r.p, (struct change_container){
                            .kind = SYN_TEXT, .form = CONTAINER_BY_EVENT, .peer = 7, .seq = 3});
    name_container(r.p, (struct change_container){.kind = SYN_TEXT, .name = syn_s("t")});
    write_by(r.p, 0, 2);
    ck_assert_uint_eq(r.p->got[FRAME_ACK], 1);
    write_by(r.p, 100, 2); /* another peer of this user */
    ck_assert_uint_eq(r.p->got[FRAME_ACK], 2);
    ck_assert_uint_eq(r.p->got[FRAME_CLOSED] + r.p->got[FRAME_NACK], 0);
    stop(&r.w);
}
END_TEST

/* Names before the peer is known, and where they were not agreed. */
START_TEST(names_out_of_place)
{
    struct refusal r;
    start(&r.w);
    r.p = by_hand(&r.w, 0, FEATURE_NAMES, 0);
    name_peers(r.p, 5, 1);
    refused(&r, CODE_MALFORMED);
    start(&r.w);
    r.p = by_hand(&r.w, 0, FEATURE_DIGEST, 0xa1);
    name_peers(r.p, 5, 1);
    ck_assert_uint_eq(r.p->got[FRAME_ERROR], 1);
    stop(&r.w);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("names");
    TCase *tests = tcase_create("names");
    tcase_set_timeout(tests, 0);
    tcase_add_test(tests, a_keystroke_in_a_named_container);
    tcase_add_test(tests, one_body_for_all);
    tcase_add_test(tests, bad_names);
    tcase_add_test(tests, too_many_names);
    tcase_add_test(tests, indexes);
    tcase_add_test(tests, names_out_of_place);
    suite_add_tcase(suite, tests);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed != 0;
}
