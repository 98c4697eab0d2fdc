/* test_session.c -- the client's side of the protocol against frames made by hand.
 *
 * The server here is what a test says it is.  What the session sends is kept as text (describe.h),
 * one line a frame, and compared.  Random numbers count up from 0xa1, so the first peer is a1. */
#include "describe.h"
#include "session.h"
#include "syncline_bytes.h"

#include <check.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct bench {
    session *s;
    session_doc *sd;
    syn_doc *doc, *server; /* server: events of others, to be sent */
    uint64_t random, now;
    char *text;
    size_t text_len;
    FILE *out;
    proto_arena *arena;
    uint64_t peer; /* of the last Open */
    char rejected[64], closed[128];
    syn_changes *branch;
    uint32_t rebuilt, changed, presences;
    char presence[32];
};

/* ---- The session's world --------------------------------------------------------------------- */

static uint64_t on_random(void *user)
{
    struct bench *b = user;
    return b->random++;
}

static bool tables(void *user, uint32_t channel, struct proto_tables *out)
{
    static const struct change_container root = {.kind = SYN_TEXT, .form = CONTAINER_ROOT};
    struct bench *b = user;
    (void)channel;
    *out = (struct proto_tables){&b->peer, 1, &root, 1};
    return true;
}

static void put_open(struct bench *b, const struct frame *frame)
{
    const struct msg_open *open = &frame->as.open;
    b->peer = open->peer;
    fprintf(b->out, "Open %u %.*s peer=%llx", frame->channel, (int)open->document.len,
            open->document.data, (unsigned long long)open->peer);
    for (uint32_t i = 0; i < open->old_peer_count; i++)
        fprintf(b->out, " old=%llx", (unsigned long long)open->old_peers[i]);
    for (uint32_t i = 0; i < open->version.head_count; i++)
        fprintf(b->out, " head=%llx:%u", (unsigned long long)open->version.heads[i].peer,
                open->version.heads[i].seq);
    fprintf(b->out, "%s%s", open->lineage.len != 0 ? " lineage" : "",
            open->history ? " history" : "");
}

/* A set that leaves its tables to the channel is told with a star. */
static bool on_send(void *user, syn_str message)
{
    struct bench *b = user;
    struct frame frame;
    struct proto_fault fault;
    syn_buf buf = {0};
    ck_assert_int_eq(
        proto_decode(b->arena, message.data, message.len, NULL, tables, b, &frame, &fault), SYN_OK);
    ck_assert_int_eq(proto_encode(&buf, &frame), SYN_OK);
    if (frame.kind == FRAME_OPEN)
        put_open(b, &frame);
    else
        describe_frame(b->out, buf.data, buf.len);
    fprintf(b->out, "%s\n", buf.len > message.len ? " *" : "");
    syn_buf_free(&buf);
    return true;
}

static void on_close(void *user, const char *reason)
{
    struct bench *b = user;
    snprintf(b->closed, sizeof b->closed, "%s", reason);
}

static void on_changed(void *user, session_doc *sd)
{
    struct bench *b = user;
    (void)sd;
    b->changed++;
}

static void on_rebuilt(void *user, session_doc *sd)
{
    struct bench *b = user;
    (void)sd;
    b->rebuilt++;
}

static void on_rejected(void *user, session_doc *sd, const char *code, syn_str detail,
                        const syn_changes *removed)
{
    struct bench *b = user;
    (void)sd;
    snprintf(b->rejected, sizeof b->rejected, "%s: %.*s", code, (int)detail.len,
             detail.len != 0 ? detail.data : "");
    syn_changes_free(NULL, b->branch);
    ck_assert_int_eq(syn_changes_copy(NULL, removed, &b->branch), SYN_OK);
}

static void on_presence(void *user, session_doc *sd, const struct msg_presence_state *state)
{
    struct bench *b = user;
    (void)sd;
    b->presences++;
    snprintf(b->presence, sizeof b->presence, "%.*s%s", (int)state->state.len, state->state.data,
             state->gone ? " gone" : "");
}

static void attach(struct bench *b, const struct session_options *options)
{
    struct session_options none = {0};
    ck_assert_int_eq(session_attach(b->s, &b->sd, syn_s("doc"), b->doc, b,
                                    options != NULL ? options : &none, b->now),
                     SYN_OK);
}

static void bench_open(struct bench *b)
{
    memset(b, 0, sizeof *b);
    struct session_port port = {.user = b,
                                .random = on_random,
                                .send = on_send,
                                .close = on_close,
                                .changed = on_changed,
                                .rebuilt = on_rebuilt,
                                .rejected = on_rejected,
                                .presence = on_presence};
    struct session_config config = {.token = syn_s("secret"), .client = syn_s("test")};
    b->random = 0xa1;
    b->now = 1000;
    b->out = open_memstream(&b->text, &b->text_len);
    ck_assert_int_eq(proto_arena_new(&b->arena, NULL), SYN_OK);
    ck_assert_int_eq(session_new(&b->s, &port, &config), SYN_OK);
    ck_assert_int_eq(syn_doc_new(&b->doc, NULL), SYN_OK);
    ck_assert_int_eq(syn_doc_new(&b->server, NULL), SYN_OK);
    ck_assert_int_eq(syn_doc_set_peer(b->server, 0xb1, false), SYN_OK);
}

static void bench_close(struct bench *b)
{
    syn_doc_check(b->doc);
    session_free(b->s);
    syn_doc_free(b->doc);
    syn_doc_free(b->server);
    fclose(b->out);
    free(b->text);
    syn_changes_free(NULL, b->branch);
    proto_arena_free(b->arena);
}

static void forget_sent(struct bench *b)
{
    fclose(b->out);
    free(b->text);
    b->out = open_memstream(&b->text, &b->text_len);
}

/* What was sent since the last call is exactly this; then it is forgotten. */
static void sent_at(struct bench *b, int line, const char *want)
{
    fflush(b->out);
    ck_assert_msg(strcmp(b->text, want) == 0, "line %d: sent\n%s  instead of\n%s", line, b->text,
                  want);
    forget_sent(b);
}
#define sent(b, want) sent_at(b, __LINE__, want)

/* ---- The server's frames --------------------------------------------------------------------- */

static void feed(struct bench *b, const struct frame *frame)
{
    syn_buf buf = {0};
    ck_assert_int_eq(proto_encode(&buf, frame), SYN_OK);
    session_receive(b->s, buf.data, buf.len, b->now);
    syn_buf_free(&buf);
}

static void welcome(struct bench *b, uint32_t window)
{
    struct frame frame = {.kind = FRAME_WELCOME};
    frame.as.welcome.version = 1;
    frame.as.welcome.features = FEATURE_PACKED;
    frame.as.welcome.store = syn_s("0123456789abcdef");
    frame.as.welcome.heartbeat_ms = 20000;
    frame.as.welcome.limits.window_bytes = window;
    frame.as.welcome.limits.presence_ms = 100;
    frame.as.welcome.user = syn_s("ann");
    feed(b, &frame);
}

static void opened(struct bench *b, uint32_t channel, uint32_t next, uint64_t chain)
{
    struct frame frame = {.channel = channel, .kind = FRAME_OPENED};
    syn_id heads[8];
    frame.as.opened.lineage = syn_s("lineage.lineage.");
    frame.as.opened.rights = RIGHT_READ | RIGHT_WRITE;
    frame.as.opened.session = 7;
    frame.as.opened.peer_next = &next;
    frame.as.opened.peer_chain = &chain;
    frame.as.opened.peer_count = 1;
    frame.as.opened.version.heads = heads;
    frame.as.opened.version.head_count = (uint32_t)syn_doc_heads(b->server, heads, 8);
    feed(b, &frame);
}

static void connect_live(struct bench *b)
{
    session_connected(b->s, b->now);
    welcome(b, 0);
    opened(b, 1, 0, 0);
    forget_sent(b);
}

static void ack(struct bench *b, uint32_t channel, uint32_t next)
{
    struct frame frame = {.channel = channel, .kind = FRAME_ACK};
    frame.as.ack.next = next;
    feed(b, &frame);
}

static void nack(struct bench *b, uint64_t peer, uint32_t seq, enum code code, bool permanent)
{
    struct frame frame = {.channel = 1, .kind = FRAME_NACK};
    frame.as.nack.peer = peer;
    frame.as.nack.first_seq = seq;
    frame.as.nack.code = code;
    frame.as.nack.permanent = permanent;
    frame.as.nack.retry_ms = code == CODE_BUSY ? 500 : 0;
    frame.as.nack.detail = syn_s("why");
    feed(b, &frame);
}

static void closed(struct bench *b, uint32_t channel, enum code code, bool permanent)
{
    struct frame frame = {.channel = channel, .kind = FRAME_CLOSED};
    frame.as.closed.code = code;
    frame.as.closed.permanent = permanent;
    frame.as.closed.detail = syn_s("why");
    feed(b, &frame);
}

/* The server document's log from `from` on, as Changes. */
static void server_sends(struct bench *b, uint32_t channel, uint32_t from)
{
    struct frame frame = {.channel = channel, .kind = FRAME_CHANGES};
    uint32_t cut;
    syn_span span = {from, syn_doc_log_end(b->server)};
    ck_assert_int_eq(syn_doc_export(b->server, span, UINT32_MAX, SIZE_MAX, &frame.as.changes, &cut),
                     SYN_OK);
    feed(b, &frame);
}

/* ---- Documents ------------------------------------------------------------------------------- */

static syn_obj text_of(syn_doc *doc)
{
    syn_obj text;
    ck_assert_int_eq(syn_root(doc, syn_s(""), SYN_TEXT, &text), SYN_OK);
    return text;
}

static void insert(syn_doc *doc, size_t pos, const char *what)
{
    ck_assert_int_eq(syn_text_insert(doc, text_of(doc), pos, syn_s(what)), SYN_OK);
}

static void type(struct bench *b, size_t pos, const char *what)
{
    insert(b->doc, pos, what);
    session_commit(b->sd, strlen(what), b->now);
}

static void type_and_send(struct bench *b, size_t pos, const char *what)
{
    type(b, pos, what);
    session_flush(b->s, b->now);
}

static void has_text_at(syn_doc *doc, int line, const char *want)
{
    char have[256];
    size_t len = syn_text_read(doc, text_of(doc), 0, SIZE_MAX / 2, have, sizeof have);
    ck_assert_msg(len == strlen(want) && memcmp(have, want, len) == 0, "line %d: text %.*s, not %s",
                  line, (int)len, have, want);
}
#define has_text(doc, want) has_text_at(doc, __LINE__, want)

/* Hash chain over the first n events of a peer of a document. */
static uint64_t chain_of(syn_doc *doc, uint64_t peer, uint32_t n)
{
    syn_changes set;
    uint32_t cut, next = 0;
    uint64_t chain = 0;
    if (n == 0) return 0;
    syn_span span = {0, syn_doc_position(doc, (syn_id){peer, n - 1}) + 1};
    ck_assert_int_eq(syn_doc_export(doc, span, UINT32_MAX, SIZE_MAX, &set, &cut), SYN_OK);
    ck_assert_int_eq(proto_chain(&set, peer, &next, &chain), SYN_OK);
    return chain;
}

/* ---- Tests ----------------------------------------------------------------------------------- */

START_TEST(handshake_open_edit_ack)
{
    struct bench b;
    bench_open(&b);
    attach(&b, NULL);
    session_connected(b.s, b.now);
    sent(&b, "Hello\n");
    welcome(&b, 0);
    sent(&b, "Open 1 doc peer=a1\n");
    ck_assert_int_eq(session_doc_status(b.sd), SYN_SYNCING);
    opened(&b, 1, 0, 0);
    ck_assert_int_eq(session_doc_status(b.sd), SYN_LIVE);
    type(&b, 0, "h");
    type(&b, 1, "i");
    sent(&b, "");
    session_flush(b.s, b.now);
    sent(&b, "Changes 1 a1:0-1 | insert 0 \"hi\" *\n");
    b.now += 50;
    syn_unsaved unsaved = session_doc_unsaved(b.sd, b.now);
    ck_assert_uint_eq(unsaved.events, 2);
    ck_assert_uint_eq(unsaved.bytes, 2);
    ck_assert_uint_eq(unsaved.since_ms, 50);
    ack(&b, 1, 1);
    ck_assert_uint_eq(session_doc_unsaved(b.sd, b.now).events, 1);
    ack(&b, 1, 2);
    ck_assert_uint_eq(session_doc_unsaved(b.sd, b.now).events, 0);
    bench_close(&b);
}
END_TEST

START_TEST(others_come_in_and_versions_go_out)
{
    struct bench b;
    bench_open(&b);
    attach(&b, NULL);
    connect_live(&b);
    insert(b.server, 0, "theirs");
    server_sends(&b, 1, 0);
    ck_assert_uint_eq(b.changed, 1);
    has_text(b.doc, "theirs");
    type_and_send(&b, 0, "12345");
    ack(&b, 1, 2);
    forget_sent(&b);
    session_disconnected(b.s, b.now);
    session_connected(b.s, b.now);
    welcome(&b, 0);
    sent(&b, "Hello\n"
             "Open 1 doc peer=a1 head=a1:1 lineage\n");
    opened(&b, 1, 3, chain_of(b.doc, 0xa1, 3));
    sent(&b, "Changes 1 a1:3-4 | insert 3 \"45\" *\n");
    bench_close(&b);
}
END_TEST

/* What the server accepted is taken, whatever merging it costs here. */
START_TEST(the_server_judges_what_is_too_much)
{
    struct bench b;
    bench_open(&b);
    attach(&b, NULL);
    connect_live(&b);
    type_and_send(&b, 0, "mine");
    (void)syn_doc_set_work_limit(b.doc, 1);
    insert(b.server, 0, "theirs");
    server_sends(&b, 1, 0);
    ck_assert_uint_eq(b.changed, 1);
    ck_assert_int_eq(session_doc_status(b.sd), SYN_LIVE);
    ck_assert_uint_eq(syn_doc_set_work_limit(b.doc, 0), 1); /* for others it stands */
    bench_close(&b);
}
END_TEST

START_TEST(lost_acks_do_not_repeat_anything)
{
    struct bench b;
    bench_open(&b);
    attach(&b, NULL);
    connect_live(&b);
    type_and_send(&b, 0, "abc");
    session_disconnected(b.s, b.now);
    session_connected(b.s, b.now);
    welcome(&b, 0);
    forget_sent(&b);
    opened(&b, 1, 3, chain_of(b.doc, 0xa1, 3));
    sent(&b, "");
    ck_assert_uint_eq(session_doc_unsaved(b.sd, b.now).events, 0);
    ck_assert_int_eq(session_doc_status(b.sd), SYN_LIVE);
    bench_close(&b);
}
END_TEST

START_TEST(old_peers_go_on_under_their_ids)
{
    struct bench b;
    bench_open(&b);
    ck_assert_int_eq(syn_doc_set_peer(b.doc, 0x91, false), SYN_OK);
    insert(b.doc, 0, "old");
    struct session_own own = {.peer = 0x91, .acked = 1};
    struct session_options options = {.own = &own, .own_count = 1};
    attach(&b, &options);
    ck_assert_uint_eq(session_doc_unsaved(b.sd, b.now).events, 2);
    type(&b, 3, "!");
    session_connected(b.s, b.now);
    welcome(&b, 0);
    forget_sent(&b);
    struct frame frame = {.channel = 1, .kind = FRAME_OPENED};
    uint32_t next[2] = {0, 2};
    uint64_t chain[2] = {0, chain_of(b.doc, 0x91, 2)};
    syn_id head = {0x91, 1};
    frame.as.opened.lineage = syn_s("lineage.lineage.");
    frame.as.opened.peer_next = next;
    frame.as.opened.peer_chain = chain;
    frame.as.opened.peer_count = 2;
    frame.as.opened.version.heads = &head;
    frame.as.opened.version.head_count = 1;
    feed(&b, &frame);
    sent(&b, "Changes 1 91:2 a1:0(after 91:2) | insert 2 \"d!\"\n");
    nack(&b, 0x91, 2, CODE_GAP, false); /* what a1 sent is not sent again */
    sent(&b, "Changes 1 91:2 | insert 2 \"d\"\n");
    bench_close(&b);
}
END_TEST

/* More edit sessions offline than one Open can name: the rest is asked about afterwards. */
START_TEST(very_many_old_peers)
{
    enum { PEERS = LIMIT_OLD_PEERS + 6 };
    struct bench b;
    static struct session_own own[PEERS];
    static syn_id acked[LIMIT_OLD_PEERS];
    bench_open(&b);
    for (uint32_t i = 0; i < PEERS; i++) {
        own[i] = (struct session_own){.peer = 0x1000 + i};
        ck_assert_int_eq(syn_doc_set_peer(b.doc, own[i].peer, false), SYN_OK);
        insert(b.doc, 0, "x");
        if (i < LIMIT_OLD_PEERS) acked[i] = (syn_id){0x1000 + i, 1};
    }
    struct session_options options = {.own = own, .own_count = PEERS};
    attach(&b, &options);
    session_connected(b.s, b.now);
    welcome(&b, 0);
    forget_sent(&b);
    opened(&b, 1, 0, 0);
    ck_assert_uint_eq(session_doc_unsaved(b.sd, b.now).events, PEERS);
    struct frame frame = {.channel = 1, .kind = FRAME_ACK};
    frame.as.ack.peers = acked;
    frame.as.ack.peer_count = LIMIT_OLD_PEERS;
    forget_sent(&b);
    feed(&b, &frame);
    sent(&b, "Close 1\n");
    b.now += 1000;
    session_tick(b.s, b.now);
    forget_sent(&b);
    opened(&b, 2, 0, 0);
    sent(&b, "Changes 2 1400:0(after 13ff:0) 1401:0(after 1400:0) 1402:0(after 1401:0) "
             "1403:0(after 1402:0) 1404:0(after 1403:0) 1405:0(after 1404:0) | insert 0 \"x\" "
             "insert 0 \"x\" insert 0 \"x\" insert 0 \"x\" insert 0 \"x\" insert 0 \"x\"\n");
    bench_close(&b);
}
END_TEST

START_TEST(nacks_that_only_ask_again)
{
    struct bench b;
    bench_open(&b);
    attach(&b, NULL);
    connect_live(&b);
    type_and_send(&b, 0, "abc");
    type_and_send(&b, 3, "d");
    forget_sent(&b);
    nack(&b, 0, 1, CODE_GAP, false);
    sent(&b, "Changes 1 a1:1-3 | insert 1 \"bcd\" *\n");
    nack(&b, 0, 1, CODE_BUSY, false);
    session_flush(b.s, b.now);
    sent(&b, "");
    b.now += 400;
    session_tick(b.s, b.now);
    sent(&b, "");
    ck_assert_uint_le(session_next_tick(b.s), b.now + 600);
    b.now += 600;
    session_tick(b.s, b.now);
    sent(&b, "Changes 1 a1:1-3 | insert 1 \"bcd\" *\n");
    nack(&b, 0, 0, CODE_LIMIT, true);
    sent(&b, "Changes 1 a1:0 | insert 0 \"a\" *\n"
             "Changes 1 a1:1 | insert 1 \"b\" *\n"
             "Changes 1 a1:2 | insert 2 \"c\" *\n"
             "Changes 1 a1:3 | insert 3 \"d\" *\n");
    ck_assert_str_eq(b.rejected, "");
    bench_close(&b);
}
END_TEST

START_TEST(refused_for_good_is_taken_out)
{
    struct bench b;
    bench_open(&b);
    attach(&b, NULL);
    connect_live(&b);
    type_and_send(&b, 0, "keep");
    ack(&b, 1, 4);
    type_and_send(&b, 4, "drop");
    type(&b, 8, "ped");
    forget_sent(&b);
    nack(&b, 0, 4, CODE_REJECTED, true);
    ck_assert_str_eq(b.rejected, "REJECTED: why");
    ck_assert_uint_eq(b.branch->runs[0].seq, 4);
    has_text(b.doc, "keep");
    ck_assert_uint_eq(session_doc_unsaved(b.sd, b.now).events, 0);
    ck_assert_uint_eq(b.rebuilt, 1);
    nack(&b, 0, 4, CODE_REJECTED, true); /* of the frame behind it: nothing is left to refuse */
    sent(&b, "");
    type_and_send(&b, 4, "new");
    sent(&b, "Changes 1 a2:0-2(after a1:3) | insert 4 \"new\"\n");
    bench_close(&b);
}
END_TEST

static void reopened(struct bench *b, uint32_t channel, syn_id head)
{
    struct frame frame = {.channel = channel, .kind = FRAME_OPENED};
    b->now += 1000;
    session_tick(b->s, b->now);
    forget_sent(b);
    frame.as.opened.lineage = syn_s("lineage.lineage.");
    frame.as.opened.rights = RIGHT_READ | RIGHT_WRITE;
    frame.as.opened.version.heads = &head;
    frame.as.opened.version.head_count = 1;
    feed(b, &frame);
}

static void nack_on(struct bench *b, uint32_t channel, uint64_t peer, enum code code)
{
    struct frame frame = {.channel = channel, .kind = FRAME_NACK};
    frame.as.nack.peer = peer;
    frame.as.nack.code = code;
    frame.as.nack.permanent = code != CODE_GAP;
    feed(b, &frame);
}

START_TEST(a_foreign_peer_is_renamed)
{
    struct bench b;
    syn_obj map, child;
    bench_open(&b);
    attach(&b, NULL);
    connect_live(&b);
    type_and_send(&b, 0, "a");
    ack(&b, 1, 1);
    ck_assert_int_eq(syn_root(b.doc, syn_s("m"), SYN_MAP, &map), SYN_OK);
    syn_value made = {.kind = SYN_VALUE_CHILD, .child = SYN_LIST};
    ck_assert_int_eq(syn_map_set(b.doc, map, syn_s("k"), made, &child), SYN_OK);
    ck_assert_int_eq(syn_list_insert(b.doc, child, 0, syn_int(5), NULL), SYN_OK);
    type_and_send(&b, 1, "bc");
    forget_sent(&b);
    nack(&b, 0, 1, CODE_FOREIGN_PEER, true);
    sent(&b, "Close 1\n"); /* another may have brought them: what is there? */
    uint64_t chain = chain_of(b.doc, 0xa1, 2);
    b.now += 1000;
    session_tick(b.s, b.now);
    forget_sent(&b);
    opened(&b, 2, 2, chain);
    sent(&b, "Changes 2 a1:2-4 | op6 1 insert 1 \"bc\" *\n");
    struct frame again = {.channel = 2, .kind = FRAME_NACK};
    again.as.nack.first_seq = 2;
    again.as.nack.code = CODE_FOREIGN_PEER;
    feed(&b, &again);
    sent(&b, "Changes 2 a3:0-2(after a1:1) | op6 1 insert 1 \"bc\"\n");
    has_text(b.doc, "abc");
    ck_assert_uint_eq(syn_doc_next(b.doc, 0xa1), 2);
    ck_assert_str_eq(b.rejected, "");
    type_and_send(&b, 3, "d");
    sent(&b, "Changes 2 a3:3 | insert 3 \"d\"\n");
    bench_close(&b);
}
END_TEST

/* The server has other events under our ids: two of ours are equal, the third is not. */
START_TEST(a_fork_is_found_and_renamed)
{
    struct bench b;
    bench_open(&b);
    attach(&b, NULL);
    connect_live(&b);
    type_and_send(&b, 0, "abcd");
    ck_assert_int_eq(syn_doc_set_peer(b.server, 0xa1, true), SYN_OK);
    insert(b.server, 0, "abXYZ");
    session_disconnected(b.s, b.now);
    session_connected(b.s, b.now);
    welcome(&b, 0);
    opened(&b, 1, 4, chain_of(b.server, 0xa1, 4));
    ck_assert_int_eq(session_doc_status(b.sd), SYN_SYNCING);
    forget_sent(&b);
    type_and_send(&b, 4, "e");
    sent(&b, "");
    server_sends(&b, 1, 0);
    sent(&b, "Changes 1 a4:0-1(after a1:1) a5:0(after a4:1) | insert 2 \"cde\"\n");
    ck_assert_int_eq(session_doc_status(b.sd), SYN_LIVE);
    ck_assert_uint_eq(syn_doc_next(b.doc, 0xa1), 5);
    ck_assert_uint_eq(syn_text_len(b.doc, text_of(b.doc)), 8);
    bench_close(&b);
}
END_TEST

START_TEST(a_peer_that_went_on_without_us)
{
    struct bench b;
    bench_open(&b);
    attach(&b, NULL);
    connect_live(&b);
    type_and_send(&b, 0, "ab");
    ck_assert_int_eq(syn_doc_set_peer(b.server, 0xa1, true), SYN_OK);
    insert(b.server, 0, "abcd");
    session_disconnected(b.s, b.now);
    session_connected(b.s, b.now);
    welcome(&b, 0);
    opened(&b, 1, 4, chain_of(b.server, 0xa1, 4));
    server_sends(&b, 1, 0);
    ck_assert_int_eq(session_doc_status(b.sd), SYN_LIVE);
    has_text(b.doc, "abcd");
    ck_assert_uint_ne(syn_doc_peer(b.doc), 0xa1);
    ck_assert_uint_eq(session_doc_unsaved(b.sd, b.now).events, 0);
    bench_close(&b);
}
END_TEST

START_TEST(credit_holds_back_both_ways)
{
    struct bench b;
    struct frame credit = {.channel = 1, .kind = FRAME_CREDIT, .as.credit.bytes = 1000};
    static char big[180001];
    bench_open(&b);
    attach(&b, NULL);
    session_connected(b.s, b.now);
    welcome(&b, 20);
    opened(&b, 1, 0, 0);
    forget_sent(&b);
    type_and_send(&b, 0, "twenty bytes are soon used up");
    type(&b, 0, "x");
    forget_sent(&b);
    session_flush(b.s, b.now);
    sent(&b, "");
    feed(&b, &credit);
    sent(&b, "Changes 1 a1:29 | insert 0 \"x\" *\n");
    for (size_t i = 0; i + 3 < sizeof big; i += 3) memcpy(big + i, "\xe2\x82\xac", 4);
    insert(b.server, 0, big);
    server_sends(&b, 1, 0);
    sent(&b, "Credit 1 180025\n");
    bench_close(&b);
}
END_TEST

/* ---- Snapshots ------------------------------------------------------------------------------- */

struct part_bench {
    struct bench *b;
    bool packed;
};

static syn_err send_part(void *user, uint32_t part, uint32_t parts, syn_str bytes)
{
    struct part_bench *p = user;
    syn_buf frame = {0};
    (void)part;
    (void)parts;
    ck_assert_int_eq(proto_encode_channel(&frame, 1), SYN_OK);
    syn_err err = SYN_ENOTFOUND;
    if (p->packed) err = proto_encode_packed_body(&frame, PACKED_SNAPSHOT, bytes.data, bytes.len);
    if (err) {
        unsigned char head[4] = {(FRAME_SNAPSHOT << 3) | 2};
        size_t n = 1, left = bytes.len;
        for (; left >= 0x80; left >>= 7) head[n++] = (unsigned char)(left | 0x80);
        head[n++] = (unsigned char)left;
        ck_assert_int_eq(syn_buf_append(&frame, head, n), SYN_OK);
        ck_assert_int_eq(syn_buf_append(&frame, bytes.data, bytes.len), SYN_OK);
    }
    session_receive(p->b->s, frame.data, frame.len, p->b->now);
    syn_buf_free(&frame);
    return SYN_OK;
}

static void server_snapshot(struct bench *b, bool packed)
{
    syn_snapshot snapshot;
    struct part_bench p = {b, packed};
    ck_assert_int_eq(syn_doc_snapshot(b->server, &snapshot), SYN_OK);
    ck_assert_int_eq(proto_encode_snapshot(&snapshot, 5, 5, 300, send_part, &p), SYN_OK);
}

static void fill_server(struct bench *b)
{
    char word[64];
    for (int i = 0; i < 20; i++) {
        snprintf(word, sizeof word, "word %d of a text of some length; ", i);
        insert(b->server, 0, word);
    }
}

/* A snapshot, an edit upon it, then something concurrent to the snapshot with its history. */
START_TEST(snapshot_then_history)
{
    struct bench b;
    syn_doc *other;
    syn_buf before = {0}, after = {0};
    bench_open(&b);
    insert(b.server, 0, "first ");
    ck_assert_int_eq(syn_save(b.server, &before), SYN_OK);
    fill_server(&b);
    attach(&b, NULL);
    session_connected(b.s, b.now);
    welcome(&b, 0);
    opened(&b, 1, 0, 0);
    server_snapshot(&b, true);
    ck_assert_int_eq(session_doc_status(b.sd), SYN_LIVE);
    ck_assert(!syn_doc_has_history(b.doc));
    ck_assert_uint_eq(syn_doc_events(b.doc), syn_doc_events(b.server));
    uint32_t base = syn_doc_log_end(b.server);
    type_and_send(&b, 0, "own ");
    ack(&b, 1, 4);
    forget_sent(&b);
    ck_assert_int_eq(syn_doc_new(&other, NULL), SYN_OK);
    ck_assert_int_eq(syn_load(other, before.data, before.len), SYN_OK);
    ck_assert_int_eq(syn_doc_set_peer(other, 0xc1, false), SYN_OK);
    insert(other, 0, "late ");
    ck_assert_int_eq(syn_export_since(other, NULL, 0, &after), SYN_OK);
    ck_assert_int_eq(syn_import(b.server, after.data, after.len), SYN_OK);
    struct frame frame = {.channel = 1, .kind = FRAME_CHANGES};
    uint32_t at = 0, cut;
    while (at < base) { /* the history, in pieces */
        syn_span span = {at, base};
        ck_assert_int_eq(syn_doc_export(b.server, span, 100, SIZE_MAX, &frame.as.changes, &cut),
                         SYN_OK);
        feed(&b, &frame);
        at = cut;
    }
    ck_assert(syn_doc_has_history(b.doc));
    server_sends(&b, 1, base);
    sent(&b, "");
    ck_assert_uint_eq(syn_doc_events(b.doc), syn_doc_events(b.server) + 4);
    type_and_send(&b, 0, "x");
    sent(&b, "Changes 1 a1:4(after a1:3 c1:4) | insert 0 \"x\"\n");
    syn_doc_free(other);
    syn_buf_free(&before);
    syn_buf_free(&after);
    bench_close(&b);
}
END_TEST

/* The same, but it comes on a later connection, whose server does not know of the snapshot: the log
 * is asked for as a whole, and comes in pieces of which one goes beyond the snapshot. */
START_TEST(snapshot_then_history_on_a_later_channel)
{
    struct bench b;
    syn_doc *other;
    syn_buf after = {0};
    bench_open(&b);
    fill_server(&b);
    attach(&b, NULL);
    session_connected(b.s, b.now);
    welcome(&b, 0);
    opened(&b, 1, 0, 0);
    server_snapshot(&b, true);
    ck_assert_int_eq(session_doc_status(b.sd), SYN_LIVE);
    session_disconnected(b.s, b.now);
    type(&b, 0, "own ");
    uint32_t base = syn_doc_log_end(b.server);
    ck_assert_int_eq(syn_doc_new(&other, NULL), SYN_OK);
    ck_assert_int_eq(syn_doc_set_peer(other, 0xc1, false), SYN_OK);
    insert(other, 0, "late ");
    ck_assert_int_eq(syn_export_since(other, NULL, 0, &after), SYN_OK);
    ck_assert_int_eq(syn_import(b.server, after.data, after.len), SYN_OK);
    session_connected(b.s, b.now);
    welcome(&b, 0);
    opened(&b, 1, 0, 0);
    forget_sent(&b);
    server_sends(&b, 1, base);
    ck_assert_int_ne(session_doc_status(b.sd), SYN_LIVE);
    b.now += 1000;
    session_tick(b.s, b.now);
    sent(&b, "Close 1\n"
             "Open 2 doc peer=a1 lineage history\n");
    opened(&b, 2, 0, 0);
    struct frame frame = {.channel = 2, .kind = FRAME_CHANGES};
    for (uint32_t at = 0, cut; at < syn_doc_log_end(b.server); at = cut) {
        syn_span span = {at, syn_doc_log_end(b.server)};
        ck_assert_int_eq(syn_doc_export(b.server, span, 90, SIZE_MAX, &frame.as.changes, &cut),
                         SYN_OK);
        ck_assert(cut != base);
        feed(&b, &frame);
    }
    ck_assert(syn_doc_has_history(b.doc));
    ck_assert_int_eq(session_doc_status(b.sd), SYN_LIVE);
    ck_assert_uint_eq(syn_doc_events(b.doc), syn_doc_events(b.server) + 4);
    syn_doc_check(b.doc);
    syn_doc_free(other);
    syn_buf_free(&after);
    bench_close(&b);
}
END_TEST

START_TEST(edited_before_the_snapshot_came)
{
    struct bench b;
    bench_open(&b);
    fill_server(&b);
    attach(&b, NULL);
    session_connected(b.s, b.now);
    welcome(&b, 0);
    opened(&b, 1, 0, 0);
    type(&b, 0, "mine");
    forget_sent(&b);
    server_snapshot(&b, false);
    b.now += 1000;
    session_tick(b.s, b.now);
    sent(&b, "Close 1\n"
             "Open 2 doc peer=a1 lineage history\n");
    opened(&b, 2, 0, 0);
    server_sends(&b, 2, 0);
    ck_assert_int_eq(session_doc_status(b.sd), SYN_LIVE);
    ck_assert_uint_eq(syn_doc_events(b.doc), syn_doc_events(b.server) + 4);
    bench_close(&b);
}
END_TEST

START_TEST(refused_upon_a_snapshot)
{
    struct bench b;
    bench_open(&b);
    fill_server(&b);
    attach(&b, NULL);
    session_connected(b.s, b.now);
    welcome(&b, 0);
    opened(&b, 1, 0, 0);
    server_snapshot(&b, false);
    size_t len = syn_text_len(b.doc, text_of(b.doc));
    type_and_send(&b, 3, "mine");
    nack(&b, 0, 0, CODE_FORBIDDEN, true);
    ck_assert_str_eq(b.rejected, "FORBIDDEN: why");
    ck_assert_uint_eq(syn_text_len(b.doc, text_of(b.doc)), len);
    bench_close(&b);
}
END_TEST

/* ---- A restored server ----------------------------------------------------------------------- */

START_TEST(a_restored_server_gets_back_what_it_lost)
{
    struct bench b;
    bench_open(&b);
    attach(&b, NULL);
    connect_live(&b);
    insert(b.server, 0, "theirs");
    server_sends(&b, 1, 0);
    type_and_send(&b, 6, " mine");
    ack(&b, 1, 5);
    session_disconnected(b.s, b.now);
    type(&b, 11, "!");
    session_connected(b.s, b.now);
    welcome(&b, 0);
    forget_sent(&b);
    struct frame frame = {.channel = 1, .kind = FRAME_OPENED};
    frame.as.opened.lineage = syn_s("lineage.lineage.");
    frame.as.opened.plan = PLAN_NEED_VECTOR;
    frame.as.opened.version.heads = &(syn_id){0xb1, 1};
    frame.as.opened.version.head_count = 1;
    feed(&b, &frame);
    sent(&b, "Want 1 vector=b1:6\n"
             "Changes 1 b1:2-5 a1:0-5(after b1:5) | insert 2 \"eirs mine!\"\n");
    struct frame want = {.channel = 1, .kind = FRAME_WANT};
    syn_id vector = {0xb1, 2};
    want.as.want.have.vector = &vector;
    want.as.want.have.vector_count = 1;
    feed(&b, &want);
    sent(&b, ""); /* it was sent, for the heads say the same */
    struct frame acks = {.channel = 1, .kind = FRAME_ACK};
    syn_id theirs = {0xb1, 6};
    acks.as.ack.next = 6;
    acks.as.ack.peers = &theirs;
    acks.as.ack.peer_count = 1;
    feed(&b, &acks);
    ck_assert_uint_eq(session_doc_unsaved(b.sd, b.now).events, 0);
    bench_close(&b);
}
END_TEST

/* Two events of peer c1 come from a file, upon what the server has. */
static void take_file(struct bench *b)
{
    syn_doc *friend;
    syn_changes set;
    uint32_t cut, end = syn_doc_log_end(b->doc);
    ck_assert_int_eq(syn_doc_new(&friend, NULL), SYN_OK);
    ck_assert_int_eq(syn_doc_set_peer(friend, 0xc1, false), SYN_OK);
    ck_assert_int_eq(syn_doc_export(b->server, (syn_span){0, 6}, UINT32_MAX, SIZE_MAX, &set, &cut),
                     SYN_OK);
    ck_assert_int_eq(syn_apply(friend, &set, false, NULL), SYN_OK);
    insert(friend, 6, "c!");
    ck_assert_int_eq(syn_doc_export(friend, (syn_span){6, 8}, UINT32_MAX, SIZE_MAX, &set, &cut),
                     SYN_OK);
    ck_assert_int_eq(syn_apply(b->doc, &set, false, NULL), SYN_OK);
    ck_assert_uint_eq(syn_doc_log_end(b->doc), end + 2);
    ck_assert_int_eq(session_relay(b->sd, &set, b->now), SYN_OK);
    syn_doc_free(friend);
}

/* A refused frame says nothing yet: the server may have those events already, and it nacks every
 * peer of the frame.  So it is asked again, and then each peer stands for itself. */
START_TEST(others_events_are_sent_and_may_be_refused)
{
    for (int there = 0; there < 2; there++) {
        struct bench b;
        bench_open(&b);
        attach(&b, NULL);
        insert(b.server, 0, "theirs");
        connect_live(&b);
        server_sends(&b, 1, 0);
        take_file(&b);
        type(&b, 8, "m");
        ck_assert_uint_eq(session_doc_unsaved(b.sd, b.now).events, 3);
        session_flush(b.s, b.now);
        sent(&b, "Changes 1 c1:0-1(after b1:5) a1:0(after c1:1) | insert 6 \"c!m\"\n");
        nack_on(&b, 1, 0, CODE_FOREIGN_PEER);
        sent(&b, "Close 1\n");
        nack_on(&b, 1, 0xc1, CODE_FOREIGN_PEER);
        ck_assert_uint_eq(b.rebuilt, 0);
        reopened(&b, 2, there ? (syn_id){0xc1, 1} : (syn_id){0xb1, 5});
        if (there) {
            sent(&b, "Changes 2 a1:0(after c1:1) | insert 8 \"m\"\n");
            ck_assert_uint_eq(session_doc_unsaved(b.sd, b.now).events, 1);
            ack(&b, 2, 1);
            ck_assert_uint_eq(session_doc_unsaved(b.sd, b.now).events, 0);
            has_text(b.doc, "theirsc!m");
        } else {
            sent(&b, "Changes 2 c1:0-1(after b1:5) | insert 6 \"c!\"\n"
                     "Changes 2 a1:0(after c1:1) | insert 8 \"m\"\n");
            nack_on(&b, 2, 0xc1, CODE_FOREIGN_PEER);
            nack_on(&b, 2, 0, CODE_PARENTS); /* late */
            sent(&b, "");
            ck_assert_str_eq(b.rejected, "FOREIGN_PEER: ");
            ck_assert_uint_eq(b.branch->run_count, 2);
            ck_assert_uint_eq(session_doc_unsaved(b.sd, b.now).events, 0);
            has_text(b.doc, "theirs");
            type_and_send(&b, 6, "+");
            sent(&b, "Changes 2 a3:0(after b1:5) | insert 6 \"+\"\n");
        }
        bench_close(&b);
    }
}
END_TEST

/* The server has less of a peer than was thought: it is asked, not sent the same for ever. */
START_TEST(a_gap_below_what_was_thought)
{
    struct bench b;
    bench_open(&b);
    attach(&b, NULL);
    insert(b.server, 0, "theirs");
    connect_live(&b);
    server_sends(&b, 1, 0);
    type_and_send(&b, 6, "abc");
    ack(&b, 1, 2);
    forget_sent(&b);
    nack_on(&b, 1, 0, CODE_GAP);
    sent(&b, "Close 1\n");
    bench_close(&b);
}
END_TEST

/* ---- Time, ends, hostile servers ------------------------------------------------------------- */

START_TEST(silence)
{
    struct bench b;
    struct frame pong = {.kind = FRAME_PONG};
    bench_open(&b);
    attach(&b, NULL);
    connect_live(&b);
    ck_assert_uint_eq(session_next_tick(b.s), b.now + 20000);
    b.now += 20000;
    session_tick(b.s, b.now);
    sent(&b, "Ping\n");
    feed(&b, &pong);
    b.now += 20000;
    session_tick(b.s, b.now);
    b.now += 39999;
    session_tick(b.s, b.now);
    ck_assert_str_eq(b.closed, "");
    b.now += 1;
    session_tick(b.s, b.now);
    ck_assert_str_eq(b.closed, "nothing received for three heartbeats");
    bench_close(&b);
}
END_TEST

START_TEST(waits_before_connecting_again)
{
    struct bench b;
    struct frame error = {.kind = FRAME_ERROR};
    bench_open(&b);
    attach(&b, NULL);
    uint64_t bound = 200;
    for (int i = 0; i < 12; i++) {
        b.random = 0xfedcba9876543210u + (uint64_t)i * 7919;
        session_disconnected(b.s, b.now);
        ck_assert_uint_ge(session_reconnect_at(b.s), b.now);
        ck_assert_uint_lt(session_reconnect_at(b.s), b.now + bound);
        if (bound < 30000) bound = bound * 2 < 30000 ? bound * 2 : 30000;
    }
    session_connected(b.s, b.now);
    error.as.error.code = CODE_GOING_AWAY;
    error.as.error.retry_ms = 5000;
    feed(&b, &error);
    ck_assert_str_eq(b.closed, "GOING_AWAY");
    session_disconnected(b.s, b.now);
    ck_assert_uint_ge(session_reconnect_at(b.s), b.now + 5000);
    session_connected(b.s, b.now);
    error.as.error.code = CODE_UNAUTHENTICATED;
    error.as.error.permanent = true;
    feed(&b, &error);
    ck_assert_uint_eq(session_reconnect_at(b.s), UINT64_MAX); /* known before it is closed */
    session_disconnected(b.s, b.now);
    ck_assert_uint_eq(session_reconnect_at(b.s), UINT64_MAX);
    ck_assert_int_eq(session_doc_status(b.sd), SYN_REFUSED);
    session_retry_now(b.s, b.now);
    ck_assert_uint_eq(session_reconnect_at(b.s), b.now);
    bench_close(&b);
}
END_TEST

START_TEST(closed_documents)
{
    struct bench b;
    bench_open(&b);
    attach(&b, NULL);
    connect_live(&b);
    closed(&b, 1, CODE_RESYNC, false);
    b.now += 1000;
    session_tick(b.s, b.now);
    sent(&b, "Open 2 doc peer=a1 lineage\n");
    closed(&b, 1, CODE_DELETED, true); /* late, of the channel before */
    ck_assert_int_eq(session_doc_status(b.sd), SYN_SYNCING);
    closed(&b, 2, CODE_DELETED, true);
    ck_assert_int_eq(session_doc_status(b.sd), SYN_REFUSED);
    ck_assert_int_eq(session_doc_code(b.sd), CODE_DELETED);
    ck_assert_str_eq(session_doc_reason(b.sd), "DELETED: why");
    b.now += 100000;
    session_disconnected(b.s, b.now);
    session_connected(b.s, b.now);
    forget_sent(&b);
    welcome(&b, 0);
    sent(&b, "");
    bench_close(&b);
}
END_TEST

START_TEST(a_server_that_errs)
{
    struct bench b;
    bench_open(&b);
    attach(&b, NULL);
    connect_live(&b);
    type_and_send(&b, 0, "abc");
    forget_sent(&b);
    ack(&b, 1, 4); /* more than there is */
    sent(&b, "Close 1\n");
    b.now += 1000;
    session_tick(b.s, b.now);
    forget_sent(&b);
    opened(&b, 2, 0, 0);
    insert(b.server, 0, "xyz");
    server_sends(&b, 2, 2); /* without what it stands on */
    sent(&b, "Changes 2 a1:0-2 | insert 0 \"abc\" *\n"
             "Close 2\n");
    b.now += 5000;
    session_tick(b.s, b.now);
    ck_assert_str_eq(b.closed, "");
    session_receive(b.s, "\x0f\xff", 2, b.now);
    ck_assert_str_ne(b.closed, "");
    has_text(b.doc, "abc");
    bench_close(&b);
}
END_TEST

START_TEST(presence_both_ways)
{
    struct bench b;
    struct frame frame = {.channel = 1, .kind = FRAME_PRESENCE};
    struct msg_presence_state states[2] = {{.session = 7, .state = syn_s("me")},
                                           {.session = 8, .state = syn_s("you")}};
    bench_open(&b);
    attach(&b, NULL);
    ck_assert_int_eq(session_presence(b.sd, syn_s("one"), 1000, b.now), SYN_OK);
    connect_live(&b);
    ck_assert_uint_eq(session_next_tick(b.s), b.now);
    session_tick(b.s, b.now);
    sent(&b, "Presence 1 [session 0 \"one\"]\n");
    ck_assert_int_eq(session_presence(b.sd, syn_s("two"), 1000, b.now), SYN_OK);
    ck_assert_int_eq(session_presence(b.sd, syn_s("three"), 1000, b.now), SYN_OK);
    session_tick(b.s, b.now);
    sent(&b, "");
    b.now += 100;
    ck_assert_uint_eq(session_next_tick(b.s), b.now);
    session_tick(b.s, b.now);
    sent(&b, "Presence 1 [session 0 \"three\"]\n");
    b.now += 500;
    session_tick(b.s, b.now);
    sent(&b, "Presence 1 [session 0 unchanged]\n");
    frame.as.presence.states = states;
    frame.as.presence.state_count = 2;
    feed(&b, &frame);
    ck_assert_uint_eq(b.presences, 1);
    ck_assert_str_eq(b.presence, "you");
    bench_close(&b);
}
END_TEST

static void select_here(struct bench *b, size_t anchor, size_t head)
{
    syn_selection at = {text_of(b->doc), anchor, head};
    ck_assert_int_eq(session_select(b->sd, &at, 1, b->now), SYN_OK);
}

/* Positions are those of the moment of sending; what another tells waits for its text. */
START_TEST(selections_both_ways)
{
    struct bench b;
    struct frame frame = {.channel = 1, .kind = FRAME_PRESENCE};
    uint64_t peer = 0xb1;
    struct change_dep at = {0, 5};
    struct msg_cursor cursors[2] = {{.at = &at, .at_count = 1, .anchor = 2, .head = 3},
                                    {.at = &at, .at_count = 1, .anchor = 9}}; /* beyond the end */
    struct msg_presence_state state = {.session = 8, .cursors = cursors, .cursor_count = 2};
    syn_selection seen[2], many[LIMIT_CURSORS + 1] = {{0}};
    bench_open(&b);
    attach(&b, NULL);
    connect_live(&b);
    insert(b.server, 0, "theirs");
    frame.as.presence.states = &state;
    frame.as.presence.state_count = 1;
    frame.as.presence.peers = &peer;
    frame.as.presence.peer_count = 1;
    feed(&b, &frame);
    ck_assert_uint_eq(b.presences, 1);
    ck_assert_uint_eq(session_selections(b.sd, 8, seen, 2), 0);
    server_sends(&b, 1, 0);
    type(&b, 0, "me ");
    ck_assert_uint_eq(session_selections(b.sd, 8, seen, 2), 1);
    ck_assert_uint_eq(seen[0].anchor, 5);
    ck_assert_uint_eq(seen[0].head, 8);
    select_here(&b, 3, 6);
    insert(b.doc, 0, "+");
    session_flush(b.s, b.now);
    forget_sent(&b);
    session_tick(b.s, b.now);
    sent(&b, "Presence 1 [session 0 cursor 4+3 at a1:3]\n");
    ck_assert_int_eq(session_select(b.sd, many, LIMIT_CURSORS + 1, b.now), SYN_ELIMIT);
    state = (struct msg_presence_state){.session = 8, .gone = true};
    feed(&b, &frame);
    ck_assert_uint_eq(session_selections(b.sd, 8, seen, 2), 0);
    bench_close(&b);
}
END_TEST

/* Frames of every kind with bytes changed at random: whatever comes of it, the document is whole.
 */
static size_t some_frame(struct bench *b, uint32_t which, char *out, size_t cap)
{
    struct frame frame = {.channel = b->sd != NULL ? 1 + which / 8 % 3 : 1};
    static const enum frame_kind kinds[] = {FRAME_CHANGES, FRAME_ACK,    FRAME_NACK,
                                            FRAME_OPENED,  FRAME_WANT,   FRAME_CLOSED,
                                            FRAME_CREDIT,  FRAME_CHANGES};
    syn_id ids[2] = {{0xa1, 3}, {0xb1, 2}};
    uint32_t cut;
    syn_buf buf = {0};
    syn_span span = {0, syn_doc_log_end(b->server)};
    frame.kind = kinds[which % 8];
    if (frame.kind == FRAME_CHANGES)
        ck_assert_int_eq(
            syn_doc_export(b->server, span, 1 + which % 40, SIZE_MAX, &frame.as.changes, &cut),
            SYN_OK);
    else if (frame.kind == FRAME_ACK)
        frame.as.ack.next = which % 5;
    else if (frame.kind == FRAME_NACK)
        frame.as.nack =
            (struct msg_nack){.code = which % 22, .first_seq = which % 4, .permanent = which & 64};
    else if (frame.kind == FRAME_OPENED)
        frame.as.opened.version = (struct msg_version){.heads = ids, .head_count = 2};
    else if (frame.kind == FRAME_WANT)
        frame.as.want.have = (struct msg_version){.vector = ids, .vector_count = 2};
    else if (frame.kind == FRAME_CLOSED)
        frame.as.closed.code = CODE_RESYNC;
    else
        frame.as.credit.bytes = which;
    ck_assert_int_eq(proto_encode(&buf, &frame), SYN_OK);
    size_t len = buf.len < cap ? buf.len : cap;
    memcpy(out, buf.data, len);
    syn_buf_free(&buf);
    return len;
}

START_TEST(hostile_bytes)
{
    const char *times = getenv("SYN_SEEDS");
    uint32_t rounds = 3000 * (uint32_t)(times != NULL ? strtoul(times, NULL, 10) : 1);
    struct bench b;
    static char bytes[4096];
    bench_open(&b);
    fill_server(&b);
    attach(&b, NULL);
    connect_live(&b);
    for (uint32_t i = 0; i < rounds; i++) {
        uint64_t r = (i + 1) * 0x9e3779b97f4a7c15u;
        r ^= r >> 29;
        size_t len = some_frame(&b, (uint32_t)(r >> 40), bytes, sizeof bytes);
        for (uint32_t k = 0; k < r % 3; k++)
            bytes[(r >> (8 + k)) % len] ^= (char)(1u << (r >> k) % 8);
        session_receive(b.s, bytes, len, b.now);
        if (i % 5 == 0) type_and_send(&b, 0, "x");
        b.now += 50;
        session_tick(b.s, b.now);
        if (i % 50 != 49 && b.closed[0] == '\0') continue;
        syn_doc_check(b.doc);
        b.closed[0] = '\0';
        session_disconnected(b.s, b.now);
        session_retry_now(b.s, b.now);
        session_connected(b.s, b.now);
        welcome(&b, 0);
        opened(&b, 1, 0, 0);
        forget_sent(&b);
        syn_changes_free(NULL, b.branch);
        b.branch = NULL;
    }
    bench_close(&b);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("session");
    TCase *tc = tcase_create("session");
    tcase_set_timeout(tc, 0);
    tcase_add_test(tc, handshake_open_edit_ack);
    tcase_add_test(tc, others_come_in_and_versions_go_out);
    tcase_add_test(tc, the_server_judges_what_is_too_much);
    tcase_add_test(tc, lost_acks_do_not_repeat_anything);
    tcase_add_test(tc, old_peers_go_on_under_their_ids);
    tcase_add_test(tc, very_many_old_peers);
    tcase_add_test(tc, nacks_that_only_ask_again);
    tcase_add_test(tc, refused_for_good_is_taken_out);
    tcase_add_test(tc, a_foreign_peer_is_renamed);
    tcase_add_test(tc, a_fork_is_found_and_renamed);
    tcase_add_test(tc, a_peer_that_went_on_without_us);
    tcase_add_test(tc, credit_holds_back_both_ways);
    tcase_add_test(tc, snapshot_then_history);
    tcase_add_test(tc, snapshot_then_history_on_a_later_channel);
    tcase_add_test(tc, edited_before_the_snapshot_came);
    tcase_add_test(tc, refused_upon_a_snapshot);
    tcase_add_test(tc, a_restored_server_gets_back_what_it_lost);
    tcase_add_test(tc, others_events_are_sent_and_may_be_refused);
    tcase_add_test(tc, a_gap_below_what_was_thought);
    tcase_add_test(tc, silence);
    tcase_add_test(tc, waits_before_connecting_again);
    tcase_add_test(tc, closed_documents);
    tcase_add_test(tc, a_server_that_errs);
    tcase_add_test(tc, presence_both_ways);
    tcase_add_test(tc, selections_both_ways);
    tcase_add_test(tc, hostile_bytes);
    suite_add_tcase(suite, tc);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? 0 : 1;
}
