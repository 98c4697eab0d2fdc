/* load_client.c -- one client of `load`: a session, a socket, one document, and its clocks.
 *
 * An edit is one character.  When it was due is kept twice: by its author, until the server says
 * that it is durable (unacked), and in the document's ring, where every other client of any worker
 * finds it when the edit has come in.  A reader holds a place in the ring (seen) and one bit for
 * each of the 64 edits from there on, for edits of several authors come in another order than they
 * were made. */
#include "load_worker.h"

#include <stdlib.h>
#include <string.h>

#define NEAR 64u

uint64_t load_now(void)
{
    struct timespec t;
    (void)clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * NS_PER_S + (uint64_t)t.tv_nsec;
}

static uint64_t ms_of(uint64_t ns)
{
    return ns / 1000000u;
}

static uint64_t us_since(uint64_t due, uint64_t now)
{
    return now > due ? (now - due) / 1000u : 0;
}

static struct load_document *document_of(const struct load_client *client)
{
    return &client->worker->shared->docs[client->document];
}

/* ---- Latencies ------------------------------------------------------------------------------- */

static void count_acks(struct load_client *client, bool rejected)
{
    struct load_worker_figures *figures = client->worker->figures;
    if (client->unacked_count == 0) return;
    uint64_t now = load_now();
    uint32_t unsaved = session_doc_unsaved(client->sd, ms_of(now)).events;
    while (client->unacked_count > unsaved) {
        uint64_t due = client->unacked[client->unacked_at];
        client->unacked_at = (client->unacked_at + 1) % client->unacked_cap;
        client->unacked_count--;
        if (rejected) {
            figures->rejected++;
        } else {
            figures->acked++;
            hist_add(&figures->ack, us_since(due, now));
        }
    }
    if (client->leaving && client->unacked_count == 0) client_leave(client);
}

static bool push_unacked(struct load_client *client, uint64_t due)
{
    if (client->unacked_count == client->unacked_cap) {
        uint32_t cap = client->unacked_cap > 0 ? client->unacked_cap * 2 : 16;
        uint64_t *ring = malloc(cap * sizeof *ring);
        if (ring == NULL) return false;
        for (uint32_t i = 0; i < client->unacked_count; i++)
            ring[i] = client->unacked[(client->unacked_at + i) % client->unacked_cap];
        free(client->unacked);
        client->unacked = ring;
        client->unacked_at = 0;
        client->unacked_cap = cap;
    }
    client->unacked[(client->unacked_at + client->unacked_count++) % client->unacked_cap] = due;
    return true;
}

/* What others see while some readers stop, and what they saw before. */
static void count_beside(struct load_worker *w, uint64_t due, uint64_t us)
{
    double at = (double)(due - atomic_load(&w->shared->began)) / (double)NS_PER_S;
    const struct load_options *o = w->options;
    if (at < o->stop_at)
        hist_add(&w->figures->seen_before, us);
    else if (at < o->stop_at + o->stop_for)
        hist_add(&w->figures->seen_while, us);
}

static void count_seen(struct load_client *client, const struct load_edit *edit, uint64_t now)
{
    struct load_worker *w = client->worker;
    struct load_slot *slot = worker_slot(w, edit->due);
    uint64_t us = us_since(edit->due, now);
    atomic_fetch_add_explicit(&w->figures->deliveries, 1, memory_order_relaxed);
    if (slot != NULL) slot->deliveries++;
    if (client->slow || client->stops) { /* what they wait for is their own doing */
        hist_add(&w->figures->seen_slow, us);
        return;
    }
    hist_add(&w->figures->seen, us);
    if (w->options->stop_readers > 0) count_beside(w, edit->due, us);
    if (slot != NULL) hist_add(&slot->seen, us);
}

/* Looks at the 64 edits from its place on; true: it could move on. */
static bool see_near(struct load_client *client, const struct load_edit *ring, uint64_t newest,
                     uint64_t now)
{
    uint32_t mask = client->worker->shared->ring - 1;
    for (uint32_t i = 0; i < NEAR && client->seen + i < newest; i++) {
        const struct load_edit *edit = &ring[(client->seen + i) & mask];
        if ((client->seen_bits >> i & 1) != 0) continue;
        bool own = edit->author == client->number;
        if (!own && !syn_doc_has(client->doc, edit->id)) continue;
        if (!own) count_seen(client, edit, now);
        client->seen_bits |= (uint64_t)1 << i;
    }
    bool moved = (client->seen_bits & 1) != 0;
    for (; (client->seen_bits & 1) != 0; client->seen_bits >>= 1) client->seen++;
    return moved;
}

static void see_edits(struct load_client *client)
{
    struct load_shared *shared = client->worker->shared;
    struct load_document *d = document_of(client);
    const struct load_edit *ring = &shared->edits[(size_t)client->document * shared->ring];
    if (!client->was_live) return;
    (void)pthread_mutex_lock(&d->lock);
    uint64_t now = load_now();
    if (d->edits - client->seen > shared->ring) {
        client->worker->figures->lost_sight += d->edits - client->seen - shared->ring;
        client->seen = d->edits - shared->ring;
        client->seen_bits = 0;
    }
    while (client->seen < d->edits && see_near(client, ring, d->edits, now)) continue;
    (void)pthread_mutex_unlock(&d->lock);
}

/* ---- What a session and a socket need from each other ---------------------------------------- */

static uint64_t on_random(void *user)
{
    struct load_client *client = user;
    return draw_bits(&client->worker->random);
}

static bool on_send(void *user, syn_str message)
{
    struct load_client *client = user;
    client->worker->figures->bytes_out += message.len;
    return ws_client_send(client->ws, message);
}

static void on_session_close(void *user, const char *reason)
{
    struct load_client *client = user;
    ws_client_close(client->ws, reason);
}

static bool on_welcome(void *user, const struct msg_welcome *welcome)
{
    struct load_client *client = user;
    (void)welcome;
    if (client->connect_due != 0)
        hist_add(&client->worker->figures->handshake, us_since(client->connect_due, load_now()));
    return true;
}

static void on_live_first(struct load_client *client, uint64_t now)
{
    struct load_worker *w = client->worker;
    struct load_document *d = document_of(client);
    client->was_live = true;
    (void)pthread_mutex_lock(&d->lock);
    if (!d->met) d->base_events = syn_doc_events(client->doc);
    d->met = true;
    client->seen = d->edits;
    client->seen_bits = 0;
    (void)pthread_mutex_unlock(&d->lock);
    if (client->fixed) {
        w->figures->last_live = now;
    } else if (client->writes) {
        double gap = draw_exponential(&w->random, 1.0 / w->options->edits);
        worker_at(w, now + (uint64_t)(gap * (double)NS_PER_S), DUE_EDIT, client);
    }
}

static void set_live(struct load_client *client, bool live)
{
    _Atomic uint32_t *count = &client->worker->figures->live;
    if (live == client->live) return;
    client->live = live;
    if (live)
        atomic_fetch_add(count, 1);
    else
        atomic_fetch_sub(count, 1);
}

static void on_status(void *user, session_doc *sd)
{
    struct load_client *client = user;
    struct load_worker_figures *figures = client->worker->figures;
    syn_status status = session_doc_status(sd);
    uint64_t now = load_now();
    if (status == SYN_REFUSED) {
        uint32_t code = (uint32_t)session_doc_code(sd);
        figures->codes[code < LOAD_CODES ? code : LOAD_CODES - 1]++;
        if (!client->was_live) atomic_fetch_add(&figures->refused, 1);
    }
    set_live(client, status == SYN_LIVE);
    if (status != SYN_LIVE) return;
    if (client->connect_due != 0) {
        uint64_t us = us_since(client->connect_due, now);
        hist_add(client->was_live ? &figures->rejoin : &figures->join, us);
        hist_add(client->was_live ? &figures->rejoin_bytes : &figures->join_bytes,
                 client->bytes_in);
    }
    client->connect_due = 0;
    if (!client->was_live) on_live_first(client, now);
    count_acks(client, false);
    see_edits(client);
}

static void on_changed(void *user, session_doc *sd)
{
    (void)sd;
    see_edits(user);
}

static void on_acked(void *user, session_doc *sd)
{
    (void)sd;
    count_acks(user, false);
}

static void on_rejected(void *user, session_doc *sd, const char *code, syn_str detail,
                        const syn_changes *removed)
{
    struct load_client *client = user;
    uint32_t i = 0;
    (void)sd;
    (void)detail;
    (void)removed;
    while (i + 1 < LOAD_CODES && strcmp(proto_code_name(i), code) != 0) i++;
    client->worker->figures->codes[i]++;
    count_acks(client, true);
}

static void on_presence(void *user, session_doc *sd, const struct msg_presence_state *state)
{
    struct load_client *client = user;
    (void)sd;
    (void)state;
    client->worker->figures->presence_seen++;
}

static void on_opened(void *user)
{
    struct load_client *client = user;
    client->open = true;
    client->bytes_in = 0;
    client->worker->figures->opened++;
    atomic_fetch_add(&client->worker->figures->connected, 1);
    session_connected(client->session, ms_of(load_now()));
    worker_touched(client->worker, client);
}

static void on_message(void *user, const void *bytes, size_t len)
{
    struct load_client *client = user;
    client->worker->figures->bytes_in += len;
    client->bytes_in += len;
    client->worker->figures->frames_in++;
    session_receive(client->session, bytes, len, ms_of(load_now()));
    worker_touched(client->worker, client);
}

static void on_writable(void *user)
{
    struct load_client *client = user;
    session_writable(client->session, ms_of(load_now()));
    worker_touched(client->worker, client);
}

static void count_failure(struct load_client *client, const char *reason)
{
    struct load_worker_figures *figures = client->worker->figures;
    const char *said = session_reason(client->session);
    uint32_t i = 0;
    if (said[0] != '\0') reason = said;
    figures->failures++;
    while (i + 1 < LOAD_REASONS && figures->reasons[i][0] != '\0' &&
           strncmp(figures->reasons[i], reason, sizeof figures->reasons[i] - 1) != 0)
        i++;
    figures->reason_counts[i]++;
    (void)snprintf(figures->reasons[i], sizeof figures->reasons[i], "%s",
                   i + 1 < LOAD_REASONS ? reason : "others");
}

/* ---- Life ------------------------------------------------------------------------------------ */

/* The client is over; its socket waits for the next one. */
static void retire(struct load_client *client)
{
    struct load_worker *w = client->worker;
    if (client->session != NULL && client->sd != NULL)
        session_detach(client->session, client->sd, ms_of(load_now()));
    session_free(client->session);
    syn_doc_free(client->doc);
    client->session = NULL;
    client->sd = NULL;
    client->doc = NULL;
    client->life++;
    client->unacked_count = 0;
    w->spare[w->spare_count++] = client;
}

static void on_closed(void *user, const char *reason)
{
    struct load_client *client = user;
    struct load_worker *w = client->worker;
    uint64_t now = load_now();
    if (client->open) atomic_fetch_sub(&w->figures->connected, 1);
    client->open = client->connecting = client->paused = false;
    set_live(client, false);
    session_disconnected(client->session, ms_of(now));
    if (client->leaving && client->unacked_count == 0) {
        w->figures->left++;
        retire(client);
        return;
    }
    if (!client->storming) count_failure(client, reason);
    if (!client->storming) return; /* client_sweep() connects it again */
    client->storming = false;
    session_retry_now(client->session, ms_of(now));
    client->connecting = true;
    worker_at(w, client->connect_due, DUE_CONNECT, client);
}

struct load_client *client_new(struct load_worker *w)
{
    struct load_client *client = calloc(1, sizeof *client);
    char why[256] = "";
    if (client == NULL) {
        worker_fail(w, "out of memory");
        return NULL;
    }
    client->worker = w;
    const struct ws_client_port socket = {.user = client,
                                          .opened = on_opened,
                                          .message = on_message,
                                          .writable = on_writable,
                                          .closed = on_closed};
    syn_err err =
        ws_client_new(&client->ws, w->loop, w->options->url, w->options->ca, &socket, why);
    if (err == SYN_OK) return client;
    worker_fail(w, why[0] != '\0' ? why : "no more sockets: is `ulimit -n` too low?");
    free(client);
    return NULL;
}

bool client_begin(struct load_client *client, uint32_t document, uint64_t due)
{
    struct load_worker *w = client->worker;
    const struct session_port port = {.user = client,
                                      .random = on_random,
                                      .send = on_send,
                                      .close = on_session_close,
                                      .welcome = on_welcome,
                                      .status = on_status,
                                      .changed = on_changed,
                                      .acked = on_acked,
                                      .rejected = on_rejected,
                                      .presence = on_presence};
    const struct session_config config = {.token = syn_s(w->options->token),
                                          .client = syn_s("syncline load")};
    const struct session_options options = {.no_presence = w->options->presence <= 0.0};
    char name[256];
    if (w->options->document != NULL)
        (void)snprintf(name, sizeof name, "%s", w->options->document);
    else
        (void)snprintf(name, sizeof name, "%s-%u", w->options->prefix, document);
    client->document = document;
    client->number = w->index << 24 | w->numbers++;
    client->was_live = client->leaving = client->storming = client->writes = false;
    client->slow = client->stops = false;
    client->connecting = true;
    client->connect_due = due;
    client->typing = 0;
    syn_err err = session_new(&client->session, &port, &config);
    if (err == SYN_OK) err = syn_doc_new(&client->doc, NULL);
    if (err == SYN_OK) err = syn_root(client->doc, syn_s(""), SYN_TEXT, &client->text);
    if (err == SYN_OK)
        err = session_attach(client->session, &client->sd, syn_s(name), client->doc, client,
                             &options, ms_of(load_now()));
    if (err == SYN_OK) return true;
    worker_fail(w, syn_strerror(err));
    return false;
}

void client_free(struct load_client *client)
{
    ws_client_free(client->ws);
    if (client->sd != NULL) session_detach(client->session, client->sd, ms_of(load_now()));
    session_free(client->session);
    syn_doc_free(client->doc);
    free(client->unacked);
    free(client);
}

void client_connect(struct load_client *client)
{
    client->connecting = true;
    ws_client_connect(client->ws);
    worker_touched(client->worker, client);
}

void client_flush(struct load_client *client, uint64_t now)
{
    if (client->session != NULL) {
        if (session_next_tick(client->session) <= ms_of(now))
            session_tick(client->session, ms_of(now));
        session_flush(client->session, ms_of(now));
    }
    ws_client_flush(client->ws);
}

void client_sweep(struct load_client *client, uint64_t now)
{
    if (client->session == NULL) return;
    if (session_next_tick(client->session) <= ms_of(now)) worker_touched(client->worker, client);
    if (client->connecting || client->open) return;
    if (session_reconnect_at(client->session) <= ms_of(now)) client_connect(client);
}

/* ---- What it does ---------------------------------------------------------------------------- */

/* Typing: character after character, and now and then somewhere else. */
static size_t next_place(struct load_client *client)
{
    size_t len = syn_text_len(client->doc, client->text);
    if (draw_below(&client->worker->random, 50) == 0)
        client->typing = (size_t)draw_below(&client->worker->random, (uint32_t)len + 1);
    if (client->typing > len) client->typing = len;
    return client->typing++;
}

static void publish(struct load_client *client, uint64_t due)
{
    struct load_shared *shared = client->worker->shared;
    struct load_document *d = document_of(client);
    struct load_edit *ring = &shared->edits[(size_t)client->document * shared->ring];
    uint64_t peer = syn_doc_peer(client->doc);
    (void)pthread_mutex_lock(&d->lock);
    ring[d->edits++ & (shared->ring - 1)] = (struct load_edit){
        .id = {peer, syn_doc_next(client->doc, peer) - 1}, .due = due, .author = client->number};
    (void)pthread_mutex_unlock(&d->lock);
}

void client_edit(struct load_client *client, uint64_t due)
{
    struct load_worker *w = client->worker;
    if (!client->was_live || session_doc_status(client->sd) == SYN_REFUSED) return;
    char letter = (char)('a' + draw_below(&w->random, 26));
    syn_err err =
        syn_text_insert(client->doc, client->text, next_place(client), (syn_str){&letter, 1});
    if (err != SYN_OK || !push_unacked(client, due)) {
        worker_fail(w, err != SYN_OK ? syn_strerror(err) : "out of memory");
        return;
    }
    publish(client, due);
    session_commit(client->sd, 1, ms_of(load_now()));
    atomic_fetch_add_explicit(&w->figures->edits, 1, memory_order_relaxed);
    struct load_slot *slot = worker_slot(w, due);
    if (slot != NULL) slot->edits++;
    worker_touched(w, client);
}

void client_presence(struct load_client *client)
{
    char state[48];
    if (!client->live) return;
    int len = snprintf(state, sizeof state, "{\"cursor\":%zu}", client->typing);
    if (session_presence(client->sd, (syn_str){state, (size_t)len}, 30000, ms_of(load_now())) ==
        SYN_OK)
        client->worker->figures->presences++;
    worker_touched(client->worker, client);
}

/* One with edits under way stays until they are durable: count_acks() comes back here. */
void client_leave(struct load_client *client)
{
    client->leaving = true;
    if (client->unacked_count > 0) return;
    if (client->open || client->connecting) {
        ws_client_close(client->ws, "left");
        worker_touched(client->worker, client);
    } else {
        client->worker->figures->left++;
        retire(client);
    }
}

bool client_storm(struct load_client *client, uint64_t due)
{
    if (!client->open || client->leaving || client->writes) return false;
    client->storming = true;
    client->connect_due = due + (uint64_t)(client->worker->options->away * (double)NS_PER_S);
    ws_client_close(client->ws, "storm");
    worker_touched(client->worker, client);
    return true;
}

void client_pause(struct load_client *client, bool pause)
{
    if (!client->open || client->paused == pause) return;
    client->paused = pause;
    if (pause) client->worker->figures->pauses++;
    ws_client_pause(client->ws, pause);
}

/* ---- The end --------------------------------------------------------------------------------- */

bool client_level(struct load_client *client)
{
    if (client->session == NULL) return true;
    if (session_doc_status(client->sd) == SYN_REFUSED ||
        session_reconnect_at(client->session) == UINT64_MAX)
        return true; /* nothing more will come; client_compare() leaves it out */
    if (!client->live) return false;
    struct load_document *d = document_of(client);
    uint64_t events = syn_doc_events(client->doc);
    count_acks(client, false);
    (void)pthread_mutex_lock(&d->lock);
    if (events > d->most_events) d->most_events = events;
    bool level = events == d->most_events;
    (void)pthread_mutex_unlock(&d->lock);
    return level && client->unacked_count == 0;
}

static syn_err digest_piece(void *user, const void *data, size_t len)
{
    uint64_t *digest = user;
    const unsigned char *bytes = data;
    for (size_t i = 0; i < len; i++) *digest = (*digest ^ bytes[i]) * 0x100000001b3u;
    return SYN_OK;
}

void client_compare(struct load_client *client)
{
    if (client->session == NULL || !client->live) return;
    struct load_document *d = document_of(client);
    uint64_t digest = 0xcbf29ce484222325u ^ syn_doc_events(client->doc);
    if (syn_doc_json(client->doc, SYN_NO_OBJ, digest_piece, &digest) != SYN_OK) digest = 0;
    (void)pthread_mutex_lock(&d->lock);
    if (d->compared++ == 0)
        d->digest = digest;
    else if (d->digest != digest)
        d->differing++;
    (void)pthread_mutex_unlock(&d->lock);
    client->worker->figures->compared++;
}
