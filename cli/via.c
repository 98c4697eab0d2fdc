/* via.c -- one connection per agent, one loop for all.
 *
 *     replica of agent a (replay.c)  --set-->  copy a -- session -- ws_client  -->  server  --> ...
 *
 * A copy runs ahead of its agent's replica: it has whatever the server sent.  The replica applies
 * only what the next txn's parents include, and waits here until copy a has those parents, so that
 * nothing is ever sent that stands on what its author could not have seen.
 *
 * This stands on the client library's session, not on syn_client, because an agent must write under
 * its own number: the record's merge order depends on it, and syn_client draws peers at random. */
#include "via.h"
#include "session.h"
#include "ws_client.h"

#include <ev.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define PATIENCE_SECONDS 60.0 /* without any news of what is waited for */
#define TICK_SECONDS     0.05 /* how late a session's timers may be */

struct agent {
    struct via *via;
    uint32_t number;
    session *session;
    session_doc *open;
    syn_doc *doc;
    syn_obj text;
    ws_client *ws;
    bool connecting, drawing; /* drawing: the session asks for a peer */
    char closed[160];         /* why the last connection ended */
};

struct via {
    struct ev_loop *loop;
    ev_prepare prepare;
    ev_timer tick; /* wakes the loop; the work is done in on_prepare */
    const struct trace_record *rec;
    struct agent *agents;
    uint64_t random;
};

static uint64_t now_ms(void)
{
    return (uint64_t)(ev_time() * 1e3);
}

/* ---- What a session and a socket need from each other ---------------------------------------- */

/* splitmix64; the first draw of a session is its peer. */
static uint64_t on_random(void *user)
{
    struct agent *agent = user;
    if (agent->drawing) return (uint64_t)agent->number + 1;
    uint64_t x = agent->via->random += 0x9e3779b97f4a7c15u;
    x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9u;
    x = (x ^ (x >> 27)) * 0x94d049bb133111ebu;
    return x ^ (x >> 31);
}

static bool on_send(void *user, syn_str message)
{
    struct agent *agent = user;
    return ws_client_send(agent->ws, message);
}

static void on_close(void *user, const char *reason)
{
    struct agent *agent = user;
    ws_client_close(agent->ws, reason);
}

static void on_opened(void *user)
{
    struct agent *agent = user;
    session_connected(agent->session, now_ms());
}

static void on_message(void *user, const void *bytes, size_t len)
{
    struct agent *agent = user;
    session_receive(agent->session, bytes, len, now_ms());
}

static void on_writable(void *user)
{
    struct agent *agent = user;
    session_writable(agent->session, now_ms());
}

static void on_closed(void *user, const char *reason)
{
    struct agent *agent = user;
    (void)snprintf(agent->closed, sizeof agent->closed, "%s", reason);
    agent->connecting = false;
    session_disconnected(agent->session, now_ms());
}

/* Last before the loop sleeps: timers, and what has gathered to be sent. */
static void on_prepare(struct ev_loop *loop, ev_prepare *prepare, int events)
{
    struct via *via = prepare->data;
    uint64_t now = now_ms();
    (void)loop;
    (void)events;
    for (uint32_t a = 0; a < via->rec->agents; a++) {
        struct agent *agent = &via->agents[a];
        if (agent->ws == NULL) continue;
        if (session_next_tick(agent->session) <= now) session_tick(agent->session, now);
        session_flush(agent->session, now);
        if (!agent->connecting && session_reconnect_at(agent->session) <= now) {
            agent->connecting = true;
            ws_client_connect(agent->ws);
        }
        ws_client_flush(agent->ws);
    }
}

static void on_tick(struct ev_loop *loop, ev_timer *timer, int events)
{
    (void)loop;
    (void)timer;
    (void)events;
}

/* ---- Waiting --------------------------------------------------------------------------------- */

static syn_err explain(char *why, syn_err err, const char *what, const struct agent *agent)
{
    const char *reason = session_reason(agent->session);
    if (reason[0] == '\0') reason = session_doc_reason(agent->open);
    if (reason[0] == '\0') reason = agent->closed;
    (void)snprintf(why, 256, "client %" PRIu32 ": %s%s%s", agent->number, what,
                   reason[0] != '\0' ? ": " : "", reason);
    return err;
}

/* Runs the loop until `ready` says so for the agent. */
static syn_err wait_for(struct agent *agent, bool (*ready)(struct agent *, const void *what),
                        const void *what, char *why)
{
    double end = ev_time() + PATIENCE_SECONDS;
    while (!ready(agent, what)) {
        if (session_doc_status(agent->open) == SYN_REFUSED ||
            (!agent->connecting && session_reconnect_at(agent->session) == UINT64_MAX))
            return explain(why, SYN_EDENIED, "refused by the server", agent);
        if (ev_time() > end)
            return explain(why, SYN_EBUSY, "no news from the server for a minute", agent);
        (void)ev_run(agent->via->loop, EVRUN_ONCE);
    }
    return SYN_OK;
}

static bool is_live(struct agent *agent, const void *what)
{
    (void)what;
    return session_doc_status(agent->open) == SYN_LIVE;
}

static bool has_parents(struct agent *agent, const void *what)
{
    const struct trace_txn *txn = what;
    const struct trace_record *rec = agent->via->rec;
    for (uint32_t p = 0; p < txn->parent_count; p++) {
        const struct trace_txn *parent = &rec->txns[rec->parents[txn->parent + p]];
        syn_id last = {(uint64_t)parent->agent + 1, parent->seq + parent->len - 1};
        if (!syn_doc_has(agent->doc, last)) return false;
    }
    return true;
}

static bool has_everything(struct agent *agent, const void *what)
{
    const uint64_t *events = what;
    return syn_doc_events(agent->doc) >= *events &&
           session_doc_unsaved(agent->open, now_ms()).events == 0;
}

/* ---- Beginning and end ----------------------------------------------------------------------- */

static syn_err open_agent(struct agent *agent, const char *url, char *why)
{
    const struct session_port port = {
        .user = agent, .random = on_random, .send = on_send, .close = on_close};
    const struct ws_client_port socket = {.user = agent,
                                          .opened = on_opened,
                                          .message = on_message,
                                          .writable = on_writable,
                                          .closed = on_closed};
    const char *token = getenv("SYNCLINE_TOKEN");
    const struct session_config config = {.token = syn_s(token != NULL ? token : ""),
                                          .client = syn_s("syncline replay")};
    const struct session_options options = {.history = true, .no_presence = true};
    syn_err err = session_new(&agent->session, &port, &config);
    if (err == SYN_OK) err = syn_doc_new(&agent->doc, NULL);
    if (err == SYN_OK) err = syn_root(agent->doc, syn_s(""), SYN_TEXT, &agent->text);
    if (err != SYN_OK) return err;
    agent->drawing = true;
    err = session_attach(agent->session, &agent->open, syn_s(agent->via->rec->name), agent->doc,
                         agent, &options, now_ms());
    agent->drawing = false;
    if (err == SYN_OK)
        err = ws_client_new(&agent->ws, agent->via->loop, url, getenv("SYNCLINE_CA"), &socket, why);
    if (err != SYN_OK) return err;
    agent->connecting = true;
    ws_client_connect(agent->ws);
    return SYN_OK;
}

syn_err via_open(struct via **out, const char *url, const struct trace_record *record, char *why)
{
    struct via *via = calloc(1, sizeof *via);
    if (via == NULL) return SYN_ENOMEM;
    *out = via;
    via->rec = record;
    via->random = now_ms();
    via->loop = ev_loop_new(EVFLAG_AUTO);
    via->agents = calloc((size_t)record->agents + 1, sizeof *via->agents);
    if (via->loop == NULL || via->agents == NULL) return SYN_ENOMEM;
    ev_timer_init(&via->tick, on_tick, TICK_SECONDS, TICK_SECONDS);
    ev_timer_start(via->loop, &via->tick);
    ev_prepare_init(&via->prepare, on_prepare);
    via->prepare.data = via;
    ev_prepare_start(via->loop, &via->prepare);
    syn_err err = SYN_OK;
    for (uint32_t a = 0; err == SYN_OK && a < record->agents; a++) {
        via->agents[a].via = via;
        via->agents[a].number = a;
        err = open_agent(&via->agents[a], url, why);
        ev_run(via->loop,
               EVRUN_NOWAIT); /* those before must not miss the server's handshake limit */
    }
    for (uint32_t a = 0; err == SYN_OK && a < record->agents; a++) {
        err = wait_for(&via->agents[a], is_live, NULL, why);
        if (err == SYN_OK && syn_doc_events(via->agents[a].doc) > 0)
            err = explain(why, SYN_EMISUSE,
                          "the server has this document already; use one with a new data file",
                          &via->agents[a]);
    }
    return err;
}

static void close_agent(struct agent *agent)
{
    if (agent->open != NULL) session_detach(agent->session, agent->open, now_ms());
    ws_client_free(agent->ws);
    session_free(agent->session);
    syn_doc_free(agent->doc);
}

void via_close(struct via *via)
{
    if (via == NULL) return;
    for (uint32_t a = 0; via->agents != NULL && a < via->rec->agents; a++)
        close_agent(&via->agents[a]);
    if (via->loop != NULL) {
        ev_prepare_stop(via->loop, &via->prepare);
        ev_timer_stop(via->loop, &via->tick);
        ev_loop_destroy(via->loop);
    }
    free(via->agents);
    free(via);
}

/* ---- In between ------------------------------------------------------------------------------ */

syn_err via_receive(struct via *via, const struct trace_txn *txn, char *why)
{
    return wait_for(&via->agents[txn->agent], has_parents, txn, why);
}

syn_err via_send(struct via *via, uint32_t number, const syn_changes *set, char *why)
{
    struct agent *agent = &via->agents[number];
    syn_err err = syn_apply(agent->doc, set, false, NULL);
    if (err != SYN_OK) return explain(why, err, syn_strerror(err), agent);
    session_commit(agent->open, set->text.len, now_ms());
    (void)ev_run(via->loop, EVRUN_NOWAIT);
    return SYN_OK;
}

syn_err via_finish(struct via *via, uint64_t events,
                   bool (*visit)(void *user, uint32_t agent, const syn_doc *doc, syn_obj text),
                   void *user, char *why)
{
    syn_err err = SYN_OK;
    for (uint32_t a = 0; err == SYN_OK && a < via->rec->agents; a++)
        err = wait_for(&via->agents[a], has_everything, &events, why);
    for (uint32_t a = 0; err == SYN_OK && a < via->rec->agents; a++)
        (void)visit(user, a, via->agents[a].doc, via->agents[a].text);
    return err;
}
