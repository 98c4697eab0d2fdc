/* via.c -- one client per agent, one loop for all.
 *
 *     replica of agent a (replay.c)  --set-->  client a's copy  --frames-->  server  --> client b's
 *
 * A client's copy runs ahead of its agent's replica: it has whatever the server sent.  The replica
 * applies only what the next txn's parents include, and waits here until client a's copy has those
 * parents, so that nothing is ever sent that stands on what its author could not have seen. */
#include "via.h"
#include "syncline_client.h"

#include <ev.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define PATIENCE_SECONDS 60.0 /* without any news of what is waited for */

struct agent {
    syn_client *client;
    syn_client_doc *open;
};

struct via {
    struct ev_loop *loop;
    ev_timer tick; /* so that waiting ends even when nothing happens */
    const struct trace_record *rec;
    const char *url;
    struct agent *agents;
};

static void on_tick(struct ev_loop *loop, ev_timer *timer, int events)
{
    (void)loop;
    (void)timer;
    (void)events;
}

static syn_err explain(char *why, syn_err err, const char *what, uint32_t agent, const char *reason)
{
    (void)snprintf(why, 256, "client %" PRIu32 ": %s%s%s", agent, what,
                   reason[0] != '\0' ? ": " : "", reason);
    return err;
}

/* Runs the loop until `ready` says so for the agent. */
static syn_err wait_for(struct via *via, uint32_t agent,
                        bool (*ready)(struct via *, uint32_t agent, const void *what),
                        const void *what, char *why)
{
    struct agent *self = &via->agents[agent];
    double end = ev_time() + PATIENCE_SECONDS;
    while (!ready(via, agent, what)) {
        if (syn_client_doc_status(self->open) == SYN_REFUSED)
            return explain(why, SYN_EDENIED, "refused by the server", agent,
                           syn_client_doc_reason(self->open));
        if (ev_time() > end)
            return explain(why, SYN_EBUSY, "no news from the server for a minute", agent,
                           syn_client_doc_reason(self->open));
        (void)ev_run(via->loop, EVRUN_ONCE);
    }
    return SYN_OK;
}

static bool is_live(struct via *via, uint32_t agent, const void *what)
{
    (void)what;
    return syn_client_doc_status(via->agents[agent].open) == SYN_LIVE;
}

static bool has_parents(struct via *via, uint32_t agent, const void *what)
{
    const struct trace_txn *txn = what;
    const syn_doc *doc = syn_client_doc_state(via->agents[agent].open);
    for (uint32_t p = 0; p < txn->parent_count; p++) {
        const struct trace_txn *parent = &via->rec->txns[via->rec->parents[txn->parent + p]];
        if (!syn_doc_has(doc, (syn_id){(uint64_t)parent->agent + 1, parent->seq + parent->len - 1}))
            return false;
    }
    return true;
}

static bool has_everything(struct via *via, uint32_t agent, const void *what)
{
    const uint64_t *events = what;
    syn_client_doc *open = via->agents[agent].open;
    return syn_doc_events(syn_client_doc_state(open)) >= *events &&
           syn_client_unsaved(open).events == 0;
}

static syn_err open_agent(struct via *via, uint32_t agent, char *why)
{
    struct agent *self = &via->agents[agent];
    syn_client_config config = SYN_CLIENT_CONFIG_INIT;
    config.url = via->url;
    config.loop = via->loop;
    config.token = getenv("SYNCLINE_TOKEN");
    config.name = "syncline replay";
    syn_err err = syn_client_new(&self->client, &config, why);
    if (err == SYN_OK) err = syn_client_open(self->client, syn_s(via->rec->name), &self->open);
    return err;
}

/* The agent's events go under its own number, not under a random peer, for the record's merge order
 * depends on it. */
static syn_err become(struct via *via, uint32_t agent, char *why)
{
    syn_client_doc *open = via->agents[agent].open;
    syn_doc *doc = syn_client_doc_state(open);
    if (syn_doc_events(doc) > 0)
        return explain(why, SYN_EMISUSE, "the server has this document already", agent,
                       "use a server with a new data file");
    syn_err err = syn_doc_set_peer(doc, (uint64_t)agent + 1, false);
    return err == SYN_OK ? syn_client_edit(open) : err;
}

syn_err via_open(struct via **out, const char *url, const struct trace_record *record, char *why)
{
    struct via *via = calloc(1, sizeof *via);
    if (via == NULL) return SYN_ENOMEM;
    *out = via;
    via->rec = record;
    via->url = url;
    via->loop = ev_loop_new(EVFLAG_AUTO);
    via->agents = calloc((size_t)record->agents + 1, sizeof *via->agents);
    if (via->loop == NULL || via->agents == NULL) return SYN_ENOMEM;
    ev_timer_init(&via->tick, on_tick, 0.5, 0.5);
    ev_timer_start(via->loop, &via->tick);
    syn_err err = SYN_OK;
    for (uint32_t a = 0; err == SYN_OK && a < record->agents; a++) err = open_agent(via, a, why);
    for (uint32_t a = 0; err == SYN_OK && a < record->agents; a++)
        err = wait_for(via, a, is_live, NULL, why);
    for (uint32_t a = 0; err == SYN_OK && a < record->agents; a++) err = become(via, a, why);
    return err;
}

void via_close(struct via *via)
{
    if (via == NULL) return;
    for (uint32_t a = 0; via->agents != NULL && a < via->rec->agents; a++)
        syn_client_free(via->agents[a].client);
    if (via->loop != NULL) {
        ev_timer_stop(via->loop, &via->tick);
        ev_loop_destroy(via->loop);
    }
    free(via->agents);
    free(via);
}

syn_err via_receive(struct via *via, const struct trace_txn *txn, char *why)
{
    return wait_for(via, txn->agent, has_parents, txn, why);
}

syn_err via_send(struct via *via, uint32_t agent, const syn_changes *set, char *why)
{
    struct agent *self = &via->agents[agent];
    syn_doc *doc = syn_client_doc_state(self->open);
    syn_err err = syn_apply(doc, set, false, NULL);
    if (err == SYN_OK) err = syn_client_edited(self->open);
    if (err != SYN_OK) return explain(why, err, syn_strerror(err), agent, syn_doc_error(doc));
    (void)ev_run(via->loop, EVRUN_NOWAIT);
    return SYN_OK;
}

syn_err via_finish(struct via *via, uint64_t events,
                   bool (*visit)(void *user, uint32_t agent, const syn_doc *doc, syn_obj text),
                   void *user, char *why)
{
    syn_err err = SYN_OK;
    for (uint32_t a = 0; err == SYN_OK && a < via->rec->agents; a++)
        err = wait_for(via, a, has_everything, &events, why);
    for (uint32_t a = 0; err == SYN_OK && a < via->rec->agents; a++) {
        syn_obj text;
        syn_doc *doc = syn_client_doc_state(via->agents[a].open);
        err = syn_root(doc, syn_s(""), SYN_TEXT, &text);
        if (err == SYN_OK) (void)visit(user, a, doc, text);
    }
    return err;
}
