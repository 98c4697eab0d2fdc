/* client.c -- the client library: session, socket and local file on one libev loop.
 *
 * See client_impl.h for who owns what and who may touch it when.  ev_prepare is where everything
 * that has gathered leaves: own events in as few frames as possible, one turn of the local file;
 * and where those who wait are told to look again. */
#include "client_impl.h"
#include "copy.h"
#include "utf8.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <time.h>

uint64_t client_now(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000u + (uint64_t)now.tv_nsec / 1000000u;
}

/* Peers must never repeat, so there is no substitute for the system's generator. */
uint64_t client_random(void)
{
    uint64_t random = 0;
    while (getrandom(&random, sizeof random, 0) != (ssize_t)sizeof random) {
    }
    return random;
}

void client_kick(syn_client *client)
{
    ev_async_send(client->loop, &client->wake);
}

void syn_client_lock(syn_client *client)
{
    pthread_mutex_lock(&client->mutex);
}

void syn_client_unlock(syn_client *client)
{
    pthread_mutex_unlock(&client->mutex);
}

/* ---- Status ---------------------------------------------------------------------------------- */

static bool may_connect(const syn_client *client)
{
    return client->ws != NULL && !client->offline;
}

static syn_status doc_status_now(const syn_client_doc *cd)
{
    syn_status status = session_doc_status(cd->sd);
    if (status == SYN_CONNECTING && !may_connect(cd->client)) return SYN_OFFLINE;
    return status;
}

static void tell_connection(syn_client *client)
{
    syn_status status = may_connect(client) ? SYN_CONNECTING : SYN_OFFLINE;
    if (session_live(client->session))
        status = SYN_LIVE;
    else if (session_reconnect_at(client->session) == UINT64_MAX)
        status = SYN_REFUSED;
    if (status == client->told) return;
    client->told = status;
    if (client->config.status != NULL) client->config.status(client->config.user, NULL, status);
}

syn_status syn_client_doc_status(const syn_client_doc *cd)
{
    syn_client_lock(cd->client);
    syn_status status = doc_status_now(cd);
    syn_client_unlock(cd->client);
    return status;
}

const char *syn_client_doc_reason(const syn_client_doc *cd)
{
    const char *reason = session_doc_reason(cd->sd);
    return reason[0] != '\0' ? reason : cd->client->error;
}

/* ---- What the session asks for --------------------------------------------------------------- */

static uint64_t on_random(void *user)
{
    (void)user;
    return client_random();
}

static bool on_send(void *user, syn_str message)
{
    syn_client *client = user;
    return ws_client_send(client->ws, message);
}

static void on_hang_up(void *user, const char *reason)
{
    syn_client *client = user;
    ws_client_close(client->ws, reason);
}

static bool on_welcome(void *user, const struct msg_welcome *welcome)
{
    return client_store_user(user, welcome->user);
}

static void on_status(void *user, session_doc *sd)
{
    syn_client *client = user;
    syn_client_doc *cd = session_doc_owner(sd);
    syn_status status = doc_status_now(cd);
    if (status == SYN_LIVE) cd->was_live = true;
    if (client->config.status != NULL) client->config.status(client->config.user, cd, status);
}

static void on_changed(void *user, session_doc *sd)
{
    syn_client *client = user;
    syn_client_doc *cd = session_doc_owner(sd);
    cd->seen = syn_doc_log_end(cd->doc);
    if (client->config.changed != NULL) client->config.changed(client->config.user, cd);
    syn_doc_events_clear(cd->doc);
}

static void on_rebuilt(void *user, session_doc *sd)
{
    syn_client_doc *cd = session_doc_owner(sd);
    (void)user;
    cd->seen = syn_doc_log_end(cd->doc);
    cd->rewrite = cd->client->store != NULL;
}

static void notes_later(syn_client_doc *cd)
{
    if (cd->notes_dirty || cd->client->store == NULL) return;
    cd->notes_dirty = true;
    cd->notes_at = client_now() + NOTES_MS;
}

static void on_acked(void *user, session_doc *sd)
{
    syn_client *client = user;
    syn_client_doc *cd = session_doc_owner(sd);
    notes_later(cd);
    if (client->config.saved != NULL) client->config.saved(client->config.user, cd);
}

static void on_lineage(void *user, session_doc *sd)
{
    syn_client_doc *cd = session_doc_owner(sd);
    (void)user;
    cd->lineage_dirty = cd->created;
}

static void on_rejected(void *user, session_doc *sd, const char *code, syn_str detail,
                        const syn_changes *removed)
{
    syn_client *client = user;
    syn_client_doc *cd = session_doc_owner(sd);
    char text[LIMIT_DETAIL_BYTES];
    const char *branch;
    cd->refused = true;
    client_branch_add(cd, code, removed, &branch);
    snprintf(text, sizeof text, "%.*s", (int)(detail.len < 1000 ? detail.len : 1000),
             detail.len != 0 ? detail.data : "");
    if (client->config.rejected != NULL)
        client->config.rejected(client->config.user, cd, code, text, branch);
}

static void on_presence(void *user, session_doc *sd, const struct msg_presence_state *state)
{
    syn_client *client = user;
    if (client->config.presence != NULL)
        client->config.presence(client->config.user, session_doc_owner(sd), state->session,
                                state->user, state->state, state->gone);
}

/* ---- The connection -------------------------------------------------------------------------- */

static void on_ws_opened(void *user)
{
    syn_client *client = user;
    session_connected(client->session, client_now());
}

static void on_ws_message(void *user, const void *bytes, size_t len)
{
    syn_client *client = user;
    session_receive(client->session, bytes, len, client_now());
}

static void on_ws_writable(void *user)
{
    syn_client *client = user;
    session_writable(client->session, client_now());
}

static void on_ws_closed(void *user, const char *reason)
{
    syn_client *client = user;
    client->connecting = false;
    session_disconnected(client->session, client_now());
    if (client->error[0] == '\0') snprintf(client->error, sizeof client->error, "%s", reason);
    tell_connection(client);
}

static void connect_if_due(syn_client *client, uint64_t now)
{
    if (!may_connect(client) || client->connecting) return;
    if (now < session_reconnect_at(client->session)) return;
    client->connecting = true;
    client->error[0] = '\0';
    ws_client_connect(client->ws);
}

/* ---- The loop -------------------------------------------------------------------------------- */

static void set_timer(syn_client *client, uint64_t now)
{
    uint64_t next = session_next_tick(client->session), store = client_store_next(client);
    if (store < next) next = store;
    if (may_connect(client) && !client->connecting) {
        uint64_t at = session_reconnect_at(client->session);
        if (at < next) next = at;
    }
    ev_timer_stop(client->loop, &client->timer);
    if (next == UINT64_MAX) return;
    double wait = next > now ? (double)(next - now) / 1000. : 0.;
    ev_timer_set(&client->timer, wait, 0.);
    ev_timer_start(client->loop, &client->timer);
}

/* Last before the loop sleeps. */
static void on_prepare(struct ev_loop *loop, ev_prepare *prepare, int events)
{
    syn_client *client = prepare->data;
    uint64_t now = client_now();
    (void)events;
    if (client->stopping) {
        ev_break(loop, EVBREAK_ONE);
        return;
    }
    if (client->store != NULL) store_poll(client->store);
    if (client->offline && client->connecting) ws_client_close(client->ws, "offline");
    connect_if_due(client, now);
    session_tick(client->session, now);
    session_flush(client->session, now);
    if (client->ws != NULL) ws_client_flush(client->ws);
    client_store_flush(client, false);
    tell_connection(client);
    set_timer(client, client_now());
    pthread_cond_broadcast(&client->changed);
}

static void on_timer(struct ev_loop *loop, ev_timer *timer, int events)
{
    (void)loop; /* that the loop woke is all: the work is done in on_prepare */
    (void)timer;
    (void)events;
}

static void on_async(struct ev_loop *loop, ev_async *wake, int events)
{
    syn_client *client = wake->data;
    (void)events;
    if (client->stopping && client->own_loop) ev_break(loop, EVBREAK_ALL);
}

static void loop_release(struct ev_loop *loop)
{
    syn_client_unlock(ev_userdata(loop));
}

static void loop_acquire(struct ev_loop *loop)
{
    syn_client_lock(ev_userdata(loop));
}

static void *run_loop(void *user)
{
    syn_client *client = user;
    syn_client_lock(client);
    ev_run(client->loop, 0);
    syn_client_unlock(client);
    return NULL;
}

/* ---- Life ------------------------------------------------------------------------------------ */

static void init_lock(syn_client *client)
{
    pthread_mutexattr_t attr;
    pthread_condattr_t clock;
    pthread_mutexattr_init(&attr);
    pthread_mutexattr_settype(&attr, PTHREAD_MUTEX_RECURSIVE); /* callbacks run under it */
    pthread_mutex_init(&client->mutex, &attr);
    pthread_mutexattr_destroy(&attr);
    pthread_condattr_init(&clock);
    pthread_condattr_setclock(&clock, CLOCK_MONOTONIC);
    pthread_cond_init(&client->changed, &clock);
    pthread_condattr_destroy(&clock);
}

static syn_err init_session(syn_client *client)
{
    const syn_client_config *config = &client->config;
    struct session_port port = {
        .user = client,
        .random = on_random,
        .send = on_send,
        .close = on_hang_up,
        .welcome = on_welcome,
        .status = on_status,
        .changed = on_changed,
        .rebuilt = on_rebuilt,
        .acked = on_acked,
        .lineage = on_lineage,
        .rejected = on_rejected,
        .presence = on_presence,
    };
    struct session_config own = {
        .token = config->token != NULL ? syn_s(config->token) : (syn_str){NULL, 0},
        .client = syn_s(config->name != NULL ? config->name : "syncline/" SYN_VERSION),
        .backoff_min_ms = config->backoff_min_ms,
        .backoff_max_ms = config->backoff_max_ms,
    };
    return session_new(&client->session, &port, &own);
}

static syn_err init_socket(syn_client *client, char *detail)
{
    struct ws_client_port port = {client, on_ws_opened, on_ws_message, on_ws_writable,
                                  on_ws_closed};
    if (client->url == NULL) return SYN_OK;
    return ws_client_new(&client->ws, client->loop, client->url, client->config.ca, &port, detail);
}

static syn_err init_loop(syn_client *client)
{
    client->own_loop = client->config.loop == NULL;
    client->loop = client->own_loop ? ev_loop_new(EVFLAG_AUTO) : client->config.loop;
    if (client->loop == NULL) return SYN_ENOMEM;
    ev_async_init(&client->wake, on_async);
    ev_prepare_init(&client->prepare, on_prepare);
    ev_timer_init(&client->timer, on_timer, 0., 0.);
    client->wake.data = client->prepare.data = client->timer.data = client;
    ev_async_start(client->loop, &client->wake);
    ev_prepare_start(client->loop, &client->prepare);
    if (!client->own_loop) return SYN_OK;
    ev_set_userdata(client->loop, client);
    ev_set_loop_release_cb(client->loop, loop_release, loop_acquire);
    return SYN_OK;
}

static syn_err start_thread(syn_client *client)
{
    if (!client->own_loop) {
        client_kick(client);
        return SYN_OK;
    }
    if (pthread_create(&client->thread, NULL, run_loop, client) != 0) return SYN_ENOMEM;
    client->running = true;
    return SYN_OK;
}

static syn_err copy_string(char **out, const char *text)
{
    if (text == NULL) return SYN_OK;
    *out = strdup(text);
    return *out != NULL ? SYN_OK : SYN_ENOMEM;
}

syn_err syn_client_new(syn_client **out, const syn_client_config *config, char *detail)
{
    char text[256] = "";
    if (config->size != sizeof *config) return SYN_EMISUSE;
    syn_client *client = calloc(1, sizeof *client);
    if (client == NULL) return SYN_ENOMEM;
    client->config = *config;
    client->told = config->url != NULL ? SYN_CONNECTING : SYN_OFFLINE;
    init_lock(client);
    syn_err err = copy_string(&client->url, config->url);
    if (!err) err = copy_string(&client->file, config->file);
    if (!err) err = init_loop(client);
    if (!err) err = init_session(client);
    if (!err) err = init_socket(client, text);
    if (!err) err = client_store_open(client, text);
    if (!err) err = start_thread(client);
    if (detail != NULL && err)
        snprintf(detail, 256, "%s", text[0] != '\0' ? text : syn_strerror(err));
    if (err) {
        syn_client_free(client);
        return err;
    }
    *out = client;
    return SYN_OK;
}

static void stop_loop(syn_client *client)
{
    if (client->running) {
        syn_client_lock(client);
        client->stopping = true;
        client_kick(client);
        syn_client_unlock(client);
        pthread_join(client->thread, NULL);
        client->running = false;
    }
    client->stopping = true;
}

void syn_client_free(syn_client *client)
{
    if (client == NULL) return;
    stop_loop(client);
    client_store_settle(client);
    ws_client_free(client->ws);
    session_free(client->session);
    client_store_close(client);
    while (client->docs != NULL) {
        syn_client_doc *cd = client->docs;
        client->docs = cd->next;
        client_doc_free(cd);
    }
    if (client->loop != NULL) {
        ev_timer_stop(client->loop, &client->timer);
        ev_prepare_stop(client->loop, &client->prepare);
        ev_async_stop(client->loop, &client->wake);
        if (client->own_loop) ev_loop_destroy(client->loop);
    }
    pthread_cond_destroy(&client->changed);
    pthread_mutex_destroy(&client->mutex);
    free(client->url);
    free(client->file);
    free(client);
}

/* ---- Documents ------------------------------------------------------------------------------- */

static syn_err attach(syn_client_doc *cd, const struct session_own *own, uint32_t own_count)
{
    syn_client *client = cd->client;
    struct session_options options = {
        .lineage = cd->row.has_lineage ? cd->row.lineage : NULL,
        .own = own,
        .own_count = own_count,
        .history = client->store != NULL,
    };
    return session_attach(client->session, &cd->sd, (syn_str){cd->name, cd->name_len}, cd->doc, cd,
                          &options, client_now());
}

static syn_err open_new(syn_client *client, syn_str name, syn_client_doc **out)
{
    syn_doc_config config = SYN_DOC_CONFIG_INIT;
    struct session_own *own = NULL;
    uint32_t own_count = 0;
    char detail[256] = "";
    syn_client_doc *cd = calloc(1, sizeof *cd);
    if (cd == NULL) return SYN_ENOMEM;
    cd->client = client;
    copy_str(cd->name, name);
    cd->name_len = name.len;
    config.events = true;
    config.hash_seed = client_random();
    config.max_value = LIMIT_VALUE_BYTES;
    syn_err err = client_store_load(cd, &config, &own, &own_count, detail);
    if (!err) err = attach(cd, own, own_count);
    free(own);
    if (err) {
        snprintf(client->error, sizeof client->error, "%s", detail);
        client_doc_free(cd);
        return err;
    }
    cd->next = client->docs;
    client->docs = cd;
    client_kick(client);
    *out = cd;
    return SYN_OK;
}

syn_err syn_client_open(syn_client *client, syn_str name, syn_client_doc **out)
{
    if (name.len == 0 || name.len > LIMIT_NAME_BYTES) return SYN_ELIMIT;
    if (!utf8_valid(name.data, name.len, NULL)) return SYN_EUTF8;
    syn_client_lock(client);
    syn_client_doc *cd = client->docs;
    while (cd != NULL && (cd->name_len != name.len || memcmp(cd->name, name.data, name.len) != 0))
        cd = cd->next;
    syn_err err = SYN_OK;
    if (cd != NULL)
        *out = cd;
    else
        err = open_new(client, name, out);
    syn_client_unlock(client);
    return err;
}

syn_err syn_client_close_doc(syn_client *client, syn_client_doc *cd)
{
    syn_client_lock(client);
    client_store_settle(client);
    session_detach(client->session, cd->sd, client_now());
    syn_client_doc **at = &client->docs;
    while (*at != cd) at = &(*at)->next;
    *at = cd->next;
    client_doc_free(cd);
    syn_client_unlock(client);
    return SYN_OK;
}

syn_doc *syn_client_doc_state(syn_client_doc *cd)
{
    return cd->doc;
}

syn_str syn_client_doc_name(const syn_client_doc *cd)
{
    return (syn_str){cd->name, cd->name_len};
}

static syn_err refusal(const syn_client_doc *cd)
{
    switch (session_doc_code(cd->sd)) {
    case CODE_NOT_FOUND:
        return SYN_ENOTFOUND;
    case CODE_DELETED:
        return SYN_EDELETED;
    case CODE_VERSION:
        return SYN_EVERSION;
    case CODE_DAMAGED:
        return SYN_EDAMAGED;
    case CODE_FORKED:
        return SYN_EFORKED;
    case CODE_LIMIT:
        return SYN_ELIMIT;
    default:
        return SYN_EDENIED;
    }
}

/* The session drew the peer when the document was opened. */
syn_err syn_client_edit(syn_client_doc *cd)
{
    syn_err err = SYN_OK;
    syn_client_lock(cd->client);
    uint32_t rights = session_doc_rights(cd->sd);
    if (session_doc_status(cd->sd) == SYN_REFUSED)
        err = refusal(cd);
    else if (rights != 0 && !(rights & RIGHT_WRITE))
        err = SYN_EDENIED;
    else
        cd->refused = false;
    syn_client_unlock(cd->client);
    return err;
}

/* What came into the document since: its size; others' events among it (a file that was imported)
 * are sent, too. */
static syn_err take_new(syn_client_doc *cd, size_t *bytes)
{
    uint32_t cut, end = syn_doc_log_end(cd->doc);
    syn_changes set;
    syn_buf buf = {0};
    syn_span span = {cd->seen, end};
    *bytes = 0;
    if (cd->seen >= end) return SYN_OK;
    syn_err err = syn_doc_export(cd->doc, span, UINT32_MAX, SIZE_MAX, &set, &cut);
    if (!err) err = session_relay(cd->sd, &set, client_now());
    if (err) return err;
    (void)proto_encode_changes(&buf, &set, NULL); /* no memory: counted as 0 bytes */
    *bytes = buf.len;
    syn_buf_free(&buf);
    cd->seen = end;
    return SYN_OK;
}

syn_err syn_client_edited(syn_client_doc *cd)
{
    size_t bytes;
    syn_client_lock(cd->client);
    syn_err err = take_new(cd, &bytes);
    session_commit(cd->sd, bytes, client_now());
    syn_doc_events_clear(cd->doc);
    client_kick(cd->client);
    syn_client_unlock(cd->client);
    return err;
}

syn_unsaved syn_client_unsaved(const syn_client_doc *cd)
{
    syn_client_lock(cd->client);
    syn_unsaved out = session_doc_unsaved(cd->sd, client_now());
    syn_client_unlock(cd->client);
    return out;
}

/* ---- Waiting --------------------------------------------------------------------------------- */

enum wait_for { WAIT_SAVED, WAIT_LIVE };

/* SYN_EBUSY: not yet. */
static syn_err wait_state(const syn_client_doc *cd, enum wait_for what)
{
    syn_client *client = cd->client;
    if (what == WAIT_SAVED && cd->refused) return SYN_EDENIED;
    if (session_doc_status(cd->sd) == SYN_REFUSED) return refusal(cd);
    if (client->ws == NULL) return SYN_ECLOSED;
    if (what == WAIT_LIVE) {
        if (!cd->was_live) return SYN_EBUSY;
        return session_doc_exists(cd->sd) ? SYN_OK : SYN_ENOTFOUND;
    }
    bool saved = session_doc_unsaved(cd->sd, 0).events == 0 && client_store_clean(cd);
    return saved && session_doc_status(cd->sd) == SYN_LIVE ? SYN_OK : SYN_EBUSY;
}

static syn_err wait_for(syn_client_doc *cd, enum wait_for what, uint32_t timeout_ms)
{
    syn_client *client = cd->client;
    struct timespec until;
    if (!client->own_loop) return SYN_EMISUSE;
    clock_gettime(CLOCK_MONOTONIC, &until);
    uint64_t ns = (uint64_t)until.tv_nsec + (uint64_t)timeout_ms * 1000000u;
    until.tv_sec += (time_t)(ns / 1000000000u);
    until.tv_nsec = (long)(ns % 1000000000u);
    syn_client_lock(client);
    syn_err err;
    int timed_out = 0;
    while ((err = wait_state(cd, what)) == SYN_EBUSY && timed_out != ETIMEDOUT)
        timed_out = pthread_cond_timedwait(&client->changed, &client->mutex, &until);
    syn_client_unlock(client);
    return err;
}

syn_err syn_client_wait(syn_client_doc *cd, uint32_t timeout_ms)
{
    return wait_for(cd, WAIT_SAVED, timeout_ms);
}

syn_err syn_client_wait_live(syn_client_doc *cd, uint32_t timeout_ms)
{
    return wait_for(cd, WAIT_LIVE, timeout_ms);
}

/* ---- Going offline and back ------------------------------------------------------------------ */

void syn_client_offline(syn_client *client)
{
    syn_client_lock(client);
    client->offline = true; /* the loop cuts the socket: no other thread touches it */
    client_kick(client);
    syn_client_unlock(client);
}

void syn_client_online(syn_client *client)
{
    syn_client_lock(client);
    client->offline = false;
    session_retry_now(client->session, client_now());
    client_kick(client);
    syn_client_unlock(client);
}

syn_err syn_client_presence(syn_client_doc *cd, syn_str state, uint32_t ttl_ms)
{
    syn_client_lock(cd->client);
    syn_err err = session_presence(cd->sd, state, ttl_ms, client_now());
    client_kick(cd->client);
    syn_client_unlock(cd->client);
    return err;
}

syn_err syn_client_select(syn_client_doc *cd, const syn_selection *selections, size_t count)
{
    syn_client_lock(cd->client);
    syn_err err = session_select(cd->sd, selections, count, client_now());
    client_kick(cd->client);
    syn_client_unlock(cd->client);
    return err;
}

size_t syn_client_selections(syn_client_doc *cd, uint32_t number, syn_selection *out, size_t cap)
{
    syn_client_lock(cd->client);
    size_t count = session_selections(cd->sd, number, out, cap);
    syn_client_unlock(cd->client);
    return count;
}
