/* sim.c -- sessions, a hub and a memory store in one thread, with everything that can go wrong.
 *
 * One step does one thing, drawn at random: an edit, one message one way, a flush, a lost
 * connection, a copy's events handed to another past the server, a crash of the server or of a
 * client.  Messages of one connection keep their order,
 * connections overtake each other.  The memory store is what survives the server; a client with a
 * "file" survives as what syn_save() gave at its last edit, others lose what was not sent.
 *
 * Every edit puts a number of its own into a list, and 1 onto a counter, and changes a text.  When
 * the faults are over and all is quiet:
 *   - all replicas, and one that joins then, have the same JSON and digest;
 *   - every number is there once: what was typed and not lost with its client, all that was ever
 *     acknowledged; nothing twice; the counter agrees. */
#include "failing_memory.h"
#include "hub.h"
#include "late_work.h"
#include "session.h"
#include "syncline_bytes.h"

#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define CLIENTS 4
#define DOCS    2
#define STEPS   1500
#define QUIET   200000
#define TOKENS  4096

/* ---- Messages under way ---------------------------------------------------------------------- */

struct message {
    struct message *next;
    size_t len;
    char bytes[];
};

struct queue {
    struct message *first, **last;
};

static void queue_init(struct queue *q)
{
    q->first = NULL;
    q->last = &q->first;
}

static void queue_add(struct queue *q, syn_str head, syn_str body)
{
    failing_pause();
    struct message *m = malloc(sizeof *m + head.len + body.len);
    ck_assert_ptr_nonnull(m);
    failing_resume();
    m->next = NULL;
    m->len = head.len + body.len;
    if (head.len != 0) memcpy(m->bytes, head.data, head.len);
    if (body.len != 0) memcpy(m->bytes + head.len, body.data, body.len);
    *q->last = m;
    q->last = &m->next;
}

static struct message *queue_take(struct queue *q)
{
    struct message *m = q->first;
    if (m == NULL) return NULL;
    q->first = m->next;
    if (q->first == NULL) q->last = &q->first;
    return m;
}

static void queue_clear(struct queue *q)
{
    for (struct message *m; (m = queue_take(q)) != NULL;) free(m);
}

/* ---- The world ------------------------------------------------------------------------------- */

struct token {
    uint64_t peer;
    uint32_t seq;
    bool maybe; /* its client crashed before it was safe anywhere */
};

struct copy { /* one document of one client */
    struct client *client;
    int number;
    syn_doc *doc;
    session_doc *sd;
    syn_buf saved; /* what its file holds */
    struct session_own own[64];
    uint32_t own_count;
    uint8_t lineage[16];
    bool has_lineage;
    uint32_t saved_tokens; /* tokens of this copy below are in the file */
};

struct client {
    struct world *world;
    session *session;
    bool file, up, hang_up;
    bool server_closed; /* the end comes behind what is under way */
    hub_conn *conn;
    struct queue up_stream, down_stream;
    struct copy docs[DOCS];
};

struct world {
    uint64_t random, now;
    syn_store *store;
    hub *hub;
    bool hub_dead; /* what it says now nobody hears */
    struct late_work late;
    uint64_t restart_at;
    struct client clients[CLIENTS + 1]; /* the last one joins at the end */
    struct token tokens[DOCS][TOKENS];
    struct copy *typed_by[DOCS][TOKENS];
    uint32_t token_count[DOCS];
    uint32_t edits, handed, cuts, server_crashes, client_crashes, rejected;
    uint64_t seed;
    bool big; /* texts long enough for joins by snapshot and folded logs */
};

static uint64_t rnd(struct world *w)
{
    uint64_t z = (w->random += 0x9e3779b97f4a7c15u);
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
}

static uint32_t below(struct world *w, uint32_t n)
{
    return (uint32_t)(rnd(w) % n);
}

/* ---- The server's side ----------------------------------------------------------------------- */

static uint64_t hub_random(void *user)
{
    return rnd(user);
}

static bool hub_sends(void *user, void *link, syn_str head, syn_str body)
{
    struct world *w = user;
    struct client *c = link;
    if (w->hub_dead) return true;
    queue_add(&c->down_stream, head, body);
    return below(w, 8) != 0;
}

static void hub_closes(void *user, void *link, unsigned status, const char *reason)
{
    struct client *c = link;
    (void)user;
    (void)status;
    (void)reason;
    c->server_closed = true;
}

static bool hub_works(void *user, struct work *work)
{
    struct world *w = user;
    return below(w, 32) != 0 && late_take(&w->late, work);
}

/* Every third server has no threads. */
static void server_start(struct world *w)
{
    struct hub_port port = {
        .user = w, .random = hub_random, .send = hub_sends, .close = hub_closes};
    if (below(w, 3) != 0) port.work = hub_works;
    w->hub_dead = w->late.refuse = false;
    ck_assert_int_eq(hub_new(&w->hub, w->store, &port), SYN_OK);
    struct hub_tuning small = {.frame_piece = 2000, .fold_rows = 8, .fold_bytes = 4000};
    if (below(w, 2) != 0) hub_tune(w->hub, &small);
}

static void cut(struct world *w, struct client *c, bool tell_hub)
{
    if (!c->up) return;
    c->up = c->hang_up = c->server_closed = false;
    queue_clear(&c->up_stream);
    queue_clear(&c->down_stream);
    if (tell_hub && w->hub != NULL) hub_disconnect(w->hub, c->conn, w->now);
    c->conn = NULL;
    session_disconnected(c->session, w->now);
    w->cuts++;
}

/* What the store took stays, whether or not somebody heard of it. */
static void server_crash(struct world *w)
{
    if (w->hub == NULL) return;
    w->hub_dead = true;
    for (int i = 0; i <= CLIENTS; i++) {
        struct client *c = &w->clients[i];
        if (c->up) {
            hub_disconnect(w->hub, c->conn, w->now);
            cut(w, c, false);
        }
    }
    w->late.refuse = true;
    late_all(&w->late, w->hub, w->now);
    for (int i = 0; i < 3; i++) store_poll(w->store); /* what lands lets the next one fly */
    hub_free(w->hub);
    w->hub = NULL;
    w->restart_at = w->now + below(w, 500);
    w->server_crashes++;
}

/* ---- The clients' side ----------------------------------------------------------------------- */

static uint64_t client_random(void *user)
{
    struct client *c = user;
    return rnd(c->world);
}

static bool client_sends(void *user, syn_str message)
{
    struct client *c = user;
    queue_add(&c->up_stream, message, (syn_str){NULL, 0});
    return below(c->world, 8) != 0;
}

static void client_hangs_up(void *user, const char *reason)
{
    struct client *c = user;
    (void)reason;
    c->hang_up = true;
}

static void client_rejected(void *user, session_doc *sd, const char *code, syn_str detail,
                            const syn_changes *removed)
{
    struct client *c = user;
    (void)sd;
    (void)removed;
    c->world->rejected++;
    ck_abort_msg("refused: %s: %.*s", code, (int)detail.len, detail.len != 0 ? detail.data : "");
}

static void copy_attach(struct copy *copy, bool fresh)
{
    struct client *c = copy->client;
    char name[16];
    struct session_options options = {.history = c->file};
    if (!fresh) {
        options.own = copy->own;
        options.own_count = copy->own_count;
        if (copy->has_lineage) options.lineage = copy->lineage;
    }
    snprintf(name, sizeof name, "doc%d", copy->number);
    ck_assert_int_eq(session_attach(c->session, &copy->sd, syn_s(name), copy->doc, copy, &options,
                                    c->world->now),
                     SYN_OK);
}

static void client_start(struct client *c)
{
    struct session_port port = {.user = c,
                                .random = client_random,
                                .send = client_sends,
                                .close = client_hangs_up,
                                .rejected = client_rejected};
    struct session_config config = {.backoff_min_ms = 10, .backoff_max_ms = 200};
    ck_assert_int_eq(session_new(&c->session, &port, &config), SYN_OK);
    for (int i = 0; i < DOCS; i++) {
        struct copy *copy = &c->docs[i];
        copy->client = c;
        copy->number = i;
        ck_assert_int_eq(syn_doc_new(&copy->doc, NULL), SYN_OK);
        bool saved = copy->saved.len != 0;
        if (saved) ck_assert_int_eq(syn_load(copy->doc, copy->saved.data, copy->saved.len), SYN_OK);
        copy_attach(copy, !saved);
    }
}

static void copy_save(struct copy *copy)
{
    struct world *w = copy->client->world;
    const uint8_t *lineage = session_doc_lineage(copy->sd);
    if (!copy->client->file) return;
    copy->saved.len = 0;
    ck_assert_int_eq(syn_save(copy->doc, &copy->saved), SYN_OK);
    copy->own_count = session_doc_own(copy->sd, copy->own, 64);
    ck_assert_uint_le(copy->own_count, 64);
    copy->has_lineage = lineage != NULL;
    if (lineage != NULL) memcpy(copy->lineage, lineage, sizeof copy->lineage);
    copy->saved_tokens = w->token_count[copy->number];
}

static bool token_acked(const struct copy *copy, const struct token *token)
{
    struct session_own own[64];
    uint32_t count = session_doc_own(copy->sd, own, 64);
    for (uint32_t i = 0; i < count; i++)
        if (own[i].peer == token->peer && token->seq >= own[i].acked) return false;
    return true;
}

static void forget_tokens(struct copy *copy)
{
    struct world *w = copy->client->world;
    uint32_t from = copy->client->file ? copy->saved_tokens : 0;
    for (uint32_t i = from; i < w->token_count[copy->number]; i++) {
        struct token *token = &w->tokens[copy->number][i];
        if (w->typed_by[copy->number][i] == copy && !token_acked(copy, token)) token->maybe = true;
    }
    for (uint32_t i = 0; i < from; i++) {
        struct token *token = &w->tokens[copy->number][i];
        if (w->typed_by[copy->number][i] == copy &&
            !syn_doc_has(copy->doc, (syn_id){token->peer, token->seq}))
            token->maybe = token->maybe || !token_acked(copy, token);
    }
}

static void client_stop(struct client *c)
{
    for (int i = 0; i < DOCS; i++) {
        struct copy *copy = &c->docs[i];
        session_detach(c->session, copy->sd, c->world->now);
        syn_doc_free(copy->doc);
    }
    session_free(c->session);
    c->session = NULL;
}

static void client_crash(struct world *w, struct client *c)
{
    for (int i = 0; i < DOCS; i++) forget_tokens(&c->docs[i]);
    cut(w, c, true);
    client_stop(c);
    queue_clear(&c->up_stream);
    client_start(c);
    w->client_crashes++;
}

/* ---- Edits ----------------------------------------------------------------------------------- */

static void edit_text(struct world *w, syn_doc *doc)
{
    syn_obj text;
    static char word[8001];
    ck_assert_int_eq(syn_root(doc, syn_s(""), SYN_TEXT, &text), SYN_OK);
    size_t len = syn_text_len(doc, text);
    if (len > 4 && below(w, 3) == 0) {
        size_t pos = below(w, (uint32_t)len - 3);
        ck_assert_int_eq(syn_text_delete(doc, text, pos, 1 + below(w, 3)), SYN_OK);
    } else {
        memset(word, 'a' + (int)below(w, 26), sizeof word - 1);
        if (!w->big) snprintf(word, sizeof word, "w%u.", below(w, 1000));
        size_t pos = below(w, (uint32_t)len + 1);
        ck_assert_int_eq(syn_text_insert(doc, text, pos, syn_s(word)), SYN_OK);
    }
}

static void edit(struct world *w, struct copy *copy)
{
    syn_doc *doc = copy->doc;
    syn_obj list, counter, map;
    uint32_t n = w->token_count[copy->number];
    if (n == TOKENS) return;
    ck_assert_int_eq(syn_root(doc, syn_s("list"), SYN_LIST, &list), SYN_OK);
    ck_assert_int_eq(syn_root(doc, syn_s("map"), SYN_MAP, &map), SYN_OK);
    ck_assert_int_eq(syn_begin(doc), SYN_OK);
    size_t pos = below(w, (uint32_t)syn_list_len(doc, list) + 1);
    ck_assert_int_eq(syn_list_insert(doc, list, pos, syn_int(n), NULL), SYN_OK);
    ck_assert_int_eq(syn_map_child(doc, map, syn_s("n"), SYN_COUNTER, &counter), SYN_OK);
    ck_assert_int_eq(syn_counter_add(doc, counter, 1), SYN_OK);
    ck_assert_int_eq(syn_map_set(doc, map, syn_s("last"), syn_int(n), NULL), SYN_OK);
    edit_text(w, doc);
    ck_assert_int_eq(syn_commit(doc), SYN_OK);
    uint64_t peer = syn_doc_peer(doc);
    w->typed_by[copy->number][n] = copy;
    w->tokens[copy->number][n] = (struct token){.peer = peer, .seq = syn_doc_next(doc, peer) - 1};
    w->token_count[copy->number]++;
    w->edits++;
    session_commit(copy->sd, 10, w->now);
    if (below(w, 4) != 0) copy_save(copy);
}

/* As between tabs, or by a file: what the other copy lacks of this one. */
static void hand_over(struct world *w, const struct copy *from, struct copy *to)
{
    syn_id next[512];
    syn_buf bytes = {0};
    syn_changes set;
    uint32_t cut, before = syn_doc_log_end(to->doc);
    size_t count = syn_doc_vector(to->doc, next, 512);
    bool fits = count <= 512 && syn_doc_has_history(from->doc) && syn_doc_has_history(to->doc);
    if (!fits || from == to) return;
    ck_assert_int_eq(syn_export_vector(from->doc, next, count, &bytes), SYN_OK);
    if (bytes.len != 0) ck_assert_int_eq(syn_import(to->doc, bytes.data, bytes.len), SYN_OK);
    syn_buf_free(&bytes);
    syn_span span = {before, syn_doc_log_end(to->doc)};
    if (span.from == span.end) return;
    ck_assert_int_eq(syn_doc_export(to->doc, span, UINT32_MAX, SIZE_MAX, &set, &cut), SYN_OK);
    ck_assert_int_eq(session_relay(to->sd, &set, w->now), SYN_OK);
    session_commit(to->sd, 10, w->now);
    w->handed++;
}

/* ---- Steps ----------------------------------------------------------------------------------- */

static bool deliver_up(struct world *w, struct client *c)
{
    struct message *m = c->up ? queue_take(&c->up_stream) : NULL;
    if (m == NULL) return false;
    failing_begin();
    hub_receive(w->hub, c->conn, m->bytes, m->len, w->now);
    failing_end();
    free(m);
    return true;
}

static bool deliver_down(struct world *w, struct client *c)
{
    struct message *m = c->up ? queue_take(&c->down_stream) : NULL;
    if (m == NULL) {
        if (c->up && c->server_closed) cut(w, c, true);
        return false;
    }
    failing_begin();
    session_receive(c->session, m->bytes, m->len, w->now);
    failing_end();
    free(m);
    return true;
}

static void connect_due(struct world *w, struct client *c)
{
    if (c->up || w->hub == NULL || c->session == NULL) return;
    if (w->now < session_reconnect_at(c->session)) return;
    c->up = true;
    c->conn = hub_connect(w->hub, c, w->now);
    ck_assert_ptr_nonnull(c->conn);
    session_connected(c->session, w->now);
}

static void housekeeping(struct world *w)
{
    for (int i = 0; i <= CLIENTS; i++) {
        struct client *c = &w->clients[i];
        if (c->session == NULL) continue;
        if (c->hang_up) cut(w, c, true);
        failing_begin();
        session_tick(c->session, w->now);
        session_writable(c->session, w->now);
        if (c->up && w->hub != NULL) hub_writable(w->hub, c->conn, w->now);
        failing_end();
        connect_due(w, c);
    }
    if (w->hub == NULL && w->now >= w->restart_at) server_start(w);
    failing_begin();
    if (w->hub != NULL) hub_tick(w->hub, w->now);
    failing_end();
}

static void commit(struct world *w)
{
    if (w->hub == NULL) return;
    failing_begin();
    late_step(&w->late, w->hub, rnd(w), w->now);
    hub_flush(w->hub, w->now);
    if (below(w, 3) != 0) store_poll(w->store);
    failing_end();
}

static void step(struct world *w)
{
    struct client *c = &w->clients[below(w, CLIENTS)];
    switch (below(w, 20)) {
    case 0:
    case 1:
    case 2:
        edit(w, &c->docs[below(w, DOCS)]);
        break;
    case 3:
        session_flush(c->session, w->now);
        break;
    case 4:
    case 5:
    case 6:
    case 7:
        deliver_up(w, c);
        break;
    case 8:
    case 9:
    case 10:
    case 11:
    case 12:
        deliver_down(w, c);
        break;
    case 13:
    case 14:
        commit(w);
        break;
    case 15:
    case 16:
        w->now += below(w, 30);
        break;
    case 17:
        if (below(w, 3) != 0)
            copy_save(&c->docs[below(w, DOCS)]);
        else
            hand_over(w, &w->clients[below(w, CLIENTS)].docs[0], &c->docs[0]);
        break;
    case 18:
        housekeeping(w);
        if (w->hub != NULL) late_step(&w->late, w->hub, rnd(w), w->now);
        break;
    default:
        if (below(w, 6) == 0)
            cut(w, c, true);
        else if (below(w, 12) == 0)
            server_crash(w);
        else if (below(w, 12) == 0)
            client_crash(w, c);
    }
}

/* ---- The end --------------------------------------------------------------------------------- */

static bool client_quiet(const struct world *w, const struct client *c)
{
    if (c->session == NULL) return true;
    if (!c->up || c->up_stream.first != NULL || c->down_stream.first != NULL) return false;
    for (int i = 0; i < DOCS; i++) {
        if (session_doc_status(c->docs[i].sd) != SYN_LIVE) return false;
        if (session_doc_unsaved(c->docs[i].sd, w->now).events != 0) return false;
    }
    return true;
}

static bool quiet(const struct world *w)
{
    if (w->hub == NULL || !hub_idle(w->hub)) return false;
    for (int i = 0; i <= CLIENTS; i++)
        if (!client_quiet(w, &w->clients[i])) return false;
    return true;
}

static void explain(const struct world *w)
{
    for (int i = 0; i <= CLIENTS; i++) {
        const struct client *c = &w->clients[i];
        if (c->session == NULL) continue;
        fprintf(stderr, "client %d: up %d, live %d, %s\n", i, c->up, session_live(c->session),
                session_reason(c->session));
        for (int d = 0; d < DOCS; d++)
            fprintf(stderr, "  doc%d: status %d, unsaved %u, %s\n", d,
                    session_doc_status(c->docs[d].sd),
                    session_doc_unsaved(c->docs[d].sd, w->now).events,
                    session_doc_reason(c->docs[d].sd));
    }
}

static void settle(struct world *w)
{
    int calm = 0;
    for (int round = 0; calm < 3; round++) {
        if (round == QUIET) {
            fprintf(stderr, "seed %llu\n", (unsigned long long)w->seed);
            explain(w);
            ck_abort_msg("it does not come to rest");
        }
        for (int i = 0; i <= CLIENTS; i++) {
            if (w->hub != NULL) deliver_up(w, &w->clients[i]);
            if (w->hub != NULL) deliver_down(w, &w->clients[i]);
        }
        if (w->hub != NULL) hub_flush(w->hub, w->now);
        store_poll(w->store);
        if (w->hub != NULL) late_step(&w->late, w->hub, rnd(w), w->now);
        w->now += 1 + below(w, 5);
        housekeeping(w);
        calm = quiet(w) ? calm + 1 : 0;
    }
}

static syn_err collect(void *user, const void *data, size_t len)
{
    return syn_buf_append(user, data, len);
}

static void check_same(const struct copy *a, const struct copy *b)
{
    syn_buf x = {0}, y = {0};
    uint64_t dx, dy;
    ck_assert_int_eq(syn_doc_json(a->doc, SYN_NO_OBJ, collect, &x), SYN_OK);
    ck_assert_int_eq(syn_doc_json(b->doc, SYN_NO_OBJ, collect, &y), SYN_OK);
    ck_assert_uint_eq(syn_doc_events(a->doc), syn_doc_events(b->doc));
    ck_assert_msg(x.len == y.len && memcmp(x.data, y.data, x.len) == 0, "%.*s\n%.*s", (int)x.len,
                  x.data, (int)y.len, y.data);
    ck_assert_int_eq(syn_doc_digest(a->doc, &dx), SYN_OK);
    ck_assert_int_eq(syn_doc_digest(b->doc, &dy), SYN_OK);
    ck_assert_uint_eq(dx, dy);
    syn_buf_free(&x);
    syn_buf_free(&y);
}

static void check_tokens(const struct world *w, const struct copy *copy)
{
    static uint32_t seen[TOKENS];
    uint32_t count = w->token_count[copy->number], present = 0;
    bool all_sure = true;
    syn_obj list, map, counter;
    syn_value value;
    memset(seen, 0, sizeof seen);
    ck_assert_int_eq(syn_root(copy->doc, syn_s("list"), SYN_LIST, &list), SYN_OK);
    for (size_t i = 0; i < syn_list_len(copy->doc, list); i++) {
        ck_assert_int_eq(syn_list_get(copy->doc, list, i, &value), SYN_OK);
        ck_assert_int_lt(value.as.i, count);
        seen[value.as.i]++;
        present++;
    }
    for (uint32_t i = 0; i < count; i++) {
        const struct token *token = &w->tokens[copy->number][i];
        if (token->maybe) all_sure = false;
        ck_assert_msg(seen[i] <= 1, "edit %u of doc%d is there %u times", i, copy->number, seen[i]);
        ck_assert_msg(seen[i] == 1 || token->maybe, "edit %u of doc%d is lost", i, copy->number);
    }
    if (!all_sure || count == 0) return;
    ck_assert_int_eq(syn_root(copy->doc, syn_s("map"), SYN_MAP, &map), SYN_OK);
    ck_assert_int_eq(syn_map_child_peek(copy->doc, map, syn_s("n"), SYN_COUNTER, &counter), SYN_OK);
    ck_assert_int_eq(syn_counter_get(copy->doc, counter), present);
}

static void world_init(struct world *w, uint64_t seed)
{
    store_options options = {0};
    uint8_t id[STORE_ID_BYTES] = {1};
    char detail[256];
    memset(w, 0, sizeof *w);
    w->random = w->seed = seed;
    w->now = 1000;
    w->big = seed % 4 == 0;
    options.random_id = id;
    options.create = true;
    ck_assert_int_eq(store_open(&w->store, &options, detail), SYN_OK);
    server_start(w);
    for (int i = 0; i <= CLIENTS; i++) {
        struct client *c = &w->clients[i];
        c->world = w;
        c->file = i % 2 == 0;
        queue_init(&c->up_stream);
        queue_init(&c->down_stream);
    }
    for (int i = 0; i < CLIENTS; i++) client_start(&w->clients[i]);
}

static void world_free(struct world *w)
{
    for (int i = 0; i <= CLIENTS; i++) {
        struct client *c = &w->clients[i];
        cut(w, c, true);
        client_stop(c);
        queue_clear(&c->up_stream);
        for (int d = 0; d < DOCS; d++) syn_buf_free(&c->docs[d].saved);
    }
    hub_free(w->hub);
    store_close(w->store);
}

static void run(uint64_t seed, bool memory)
{
    struct world *w = malloc(sizeof *w);
    ck_assert_ptr_nonnull(w);
    world_init(w, seed);
    failing_memory(memory ? seed : 0);
    for (int i = 0; i < STEPS; i++) step(w);
    failing_memory(0);
    settle(w);
    w->clients[CLIENTS].file = seed % 2 == 0;
    client_start(&w->clients[CLIENTS]);
    settle(w);
    for (int d = 0; d < DOCS; d++) {
        for (int i = 0; i <= CLIENTS; i++) {
            syn_doc_check(w->clients[i].docs[d].doc);
            check_same(&w->clients[0].docs[d], &w->clients[i].docs[d]);
        }
        check_tokens(w, &w->clients[0].docs[d]);
    }
    if (getenv("SYN_VERBOSE") != NULL)
        fprintf(
            stderr,
            "seed %llu: %u edits, %u handed over, %u cuts, %u server crashes, %u client crashes\n",
            (unsigned long long)seed, w->edits, w->handed, w->cuts, w->server_crashes,
            w->client_crashes);
    world_free(w);
    free(w);
}

START_TEST(simulated)
{
    const char *one = getenv("SYN_SEED"), *times = getenv("SYN_SEEDS");
    uint64_t count = 60 * (times != NULL ? strtoull(times, NULL, 10) : 1);
    if (one != NULL) {
        run(strtoull(one, NULL, 10), false);
        return;
    }
    printf("sim: seeds 1 to %llu; one of them again: SYN_SEED=N\n", (unsigned long long)count);
    for (uint64_t seed = 1; seed <= count; seed++) {
        if (getenv("SYN_VERBOSE") != NULL) fprintf(stderr, "seed %llu\n", (unsigned long long)seed);
        run(seed, false);
    }
}
END_TEST

/* The same with memory that runs out anywhere in hub, sessions and store, and is there again.  Then
 * all come to rest by themselves: nobody cuts them off, for that would hide who waits for an answer
 * that was dropped.  Four of the first 30 seeds have one if an Open whose answer finds no memory is
 * left as it is. */
START_TEST(simulated_without_memory)
{
    const char *one = getenv("SYN_SEED"), *times = getenv("SYN_SEEDS");
    uint64_t count = 30 * (times != NULL ? strtoull(times, NULL, 10) : 1), failures;
    uint32_t places, failed;
    if (one != NULL) run(strtoull(one, NULL, 10), true);
    for (uint64_t seed = 71; one == NULL && seed < 71 + count; seed++) {
        if (getenv("SYN_VERBOSE") != NULL) fprintf(stderr, "seed %llu\n", (unsigned long long)seed);
        run(seed, true);
    }
    failing_count(&places, &failed, &failures);
    printf("sim: %u of %u places that allocate have failed, %llu times\n", failed, places,
           (unsigned long long)failures);
    ck_assert(one != NULL || failures > 100);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("sim");
    TCase *tc = tcase_create("sim");
    tcase_set_timeout(tc, 0);
    tcase_add_test(tc, simulated);
    tcase_add_test(tc, simulated_without_memory);
    suite_add_tcase(suite, tc);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? 0 : 1;
}
