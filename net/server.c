/* server.c -- hub, store and sockets together: syncline_server.h.
 *
 *     other threads --jobs--> +----------- loop -----------+
 *     sockets ----loops-----> | hub ---turns---> store     | <--> writer thread
 *                             +----------------------------+
 *
 * ev_prepare ends each gathering: when the loop has read all there was and would go to sleep, the
 * turn goes to the store, and what was sent to other loops' mailboxes.  ev_async wakes the loop for
 * finished commits, for mail from other loops, and for jobs, a list under a mutex.  Everything else
 * happens on the loop's thread; only a token that comes before a body is looked at on others, so
 * keys are read again under a lock. */
#include "http_api.h"
#include "gate.h"
#include "hub.h"
#include "loops.h"
#include "process.h"
#include "server_impl.h"
#include "sign_in.h"
#include "ws_handshake.h"
#include "ws_listen.h"

#include <assert.h>
#include <ev.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <time.h>

/* Threads for what takes long: one loads while the other folds. */
#define WORKERS 2u
/* Documents that may wait for them: more are told to come again. */
#define MAX_WORK 16384u

enum job_kind { JOB_EDIT, JOB_DELETE, JOB_ACCEPT, JOB_REFUSE, JOB_RELOAD };

struct job {
    struct job *next;
    enum job_kind kind;
    uint64_t conn;
    uint32_t expires_ms;
    bool create, http;
    syn_err (*fn)(void *user, syn_doc *doc);
    void (*done)(void *user, syn_err err);
    void *user;
    size_t len;
    char text[]; /* document, user, or reason */
};

struct syn_server {
    syn_server_config config;
    sign_in *sign_in;
    struct limits limits;
    gate *gate;
    uint64_t memory_at, trim_at; /* next look, next trim */
    uint64_t used;               /* since the last trim, at most */
    struct ev_loop *loop;
    bool own_loop;
    pthread_t thread;
    ev_prepare prepare;
    ev_check check;
    uint64_t wakes, busy_us, busy_since; /* since: 0 while it waits */
    struct hub_load load;
    uint64_t load_at;
    ev_async wake;
    ev_timer timer;
    syn_store *store;
    work_pool *workers; /* NULL: documents in memory alone are loaded at once */
    hub *hub;
    loops *loops;
    http_api *api;
    pthread_rwlock_t keys; /* of sign_in, where another thread looks at it or it changes */
    uint64_t random, started;
    pthread_mutex_t lock; /* of the three below */
    struct job *jobs, **last_job;
    bool stopping;
    uint32_t stop_ms;
    bool draining, said_goodbye;
    uint64_t drain_until;
};

struct syn_auth_request {
    syn_server *server;
    uint64_t conn; /* of the hub, or a request of the HTTP API */
    bool http;
};

static uint64_t now_us(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000u + (uint64_t)now.tv_nsec / 1000u;
}

static uint64_t now_ms(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000u + (uint64_t)now.tv_nsec / 1000000u;
}

/* ---- Log ------------------------------------------------------------------------------------- */

/* Nothing that came from outside may end a line or move a terminal's cursor. */
static void put_escaped(char *out, size_t size, const char *text)
{
    size_t n = 0;
    for (; *text != '\0' && n + 7 < size; text++) {
        unsigned char c = (unsigned char)*text;
        if (c < 0x20 || c == 0x7f)
            n += (size_t)snprintf(out + n, size - n, "\\u%04x", c);
        else if (c == '"' || c == '\\')
            n += (size_t)snprintf(out + n, size - n, "\\%c", c);
        else
            out[n++] = (char)c;
    }
    out[n] = '\0';
}

static void log_event(void *user, const char *event, const char *detail)
{
    const syn_server *server = user;
    char text[1024], line[1280];
    put_escaped(text, sizeof text, detail);
    if (server->config.log_json) {
        struct timespec now;
        clock_gettime(CLOCK_REALTIME, &now);
        snprintf(line, sizeof line, "{\"time\":%lld.%03ld,\"event\":\"%s\",\"detail\":\"%s\"}",
                 (long long)now.tv_sec, now.tv_nsec / 1000000, event, text);
    } else {
        snprintf(line, sizeof line, "syncline: %s: %s", event, text);
    }
    if (server->config.log != NULL)
        server->config.log(server->config.user, line);
    else
        fprintf(stderr, "%s\n", line);
}

/* ---- The hub's port -------------------------------------------------------------------------- */

static uint64_t next_random(void *user)
{
    syn_server *server = user;
    uint64_t value = 0;
    if (server->config.seed == 0) {
        while (getrandom(&value, sizeof value, 0) != (ssize_t)sizeof value) {
        }
        return value;
    }
    server->random += 0x9e3779b97f4a7c15u; /* splitmix64, so that a run can be repeated */
    value = server->random;
    value = (value ^ (value >> 30)) * 0xbf58476d1ce4e5b9u;
    value = (value ^ (value >> 27)) * 0x94d049bb133111ebu;
    return value ^ (value >> 31);
}

static bool port_send(void *user, void *link, syn_str head, syn_str body)
{
    const syn_server *server = user;
    return loops_send(server->loops, link, head, body);
}

static void port_close(void *user, void *link, unsigned status, const char *reason)
{
    const syn_server *server = user;
    loops_close(server->loops, link, status, reason);
}

static void check_token(syn_server *server, uint64_t conn, syn_str token)
{
    struct signed_in in;
    char detail[256];
    if (sign_in_check(server->sign_in, token, &in, detail)) {
        hub_refused(server->hub, conn, syn_s(detail), now_ms());
        return;
    }
    const struct hub_identity who = {syn_s(in.user), in.claims};
    hub_signed_in(server->hub, conn, &who, in.expires_ms, now_ms());
}

static void port_authenticate(void *user, uint64_t conn, syn_str token)
{
    syn_server *server = user;
    if (server->config.authenticate == NULL) {
        check_token(server, conn, token);
        return;
    }
    syn_auth_request *request = malloc(sizeof *request);
    if (request == NULL) {
        hub_refused(server->hub, conn, syn_s("out of memory"), now_ms());
        return;
    }
    *request = (syn_auth_request){server, conn, false};
    server->config.authenticate(server->config.user, request, token);
}

/* SYN_MAY_*, RIGHT_* and JWT_* have the same bits; the first has one more for the list. */
static uint32_t port_authorise(void *user, const struct hub_identity *who, syn_str document)
{
    const syn_server *server = user;
    if (server->config.authorise != NULL)
        return server->config.authorise(server->config.user, who->name, document);
    if (who->grant != NULL) return jwt_rights(who->grant, document);
    return RIGHT_READ | RIGHT_WRITE | RIGHT_CREATE;
}

static void port_release(void *user, void *grant)
{
    (void)user;
    jwt_claims_free(grant);
}

static bool port_work(void *user, struct work *work)
{
    const syn_server *server = user;
    return work_submit(server->workers, work);
}

static void worked(syn_server *server)
{
    if (server->workers == NULL) return;
    for (struct work *work; (work = work_poll(server->workers)) != NULL;)
        hub_worked(server->hub, work, now_ms());
}

static void port_changed(void *user, syn_str document, const syn_doc *doc)
{
    const syn_server *server = user;
    const syn_server_config *config = &server->config;
    if (doc != NULL && config->changed != NULL) config->changed(config->user, document, doc);
    if (doc == NULL && config->deleted != NULL) config->deleted(config->user, document);
    http_api_changed(server->api, document);
}

/* ---- The sockets' events --------------------------------------------------------------------- */

static void *on_connected(void *user, void *link)
{
    syn_server *server = user;
    if (server->draining) return NULL;
    return hub_connect(server->hub, link, now_ms());
}

static void on_disconnected(void *user, void *conn)
{
    syn_server *server = user;
    hub_disconnect(server->hub, conn, now_ms());
}

static void on_message(void *user, void *conn, const void *bytes, size_t len)
{
    syn_server *server = user;
    hub_receive(server->hub, conn, bytes, len, now_ms());
}

static size_t max_message(void *user, void *conn)
{
    (void)user;
    return hub_max_message(conn);
}

static void on_fault(void *user, void *conn, enum ws_fault fault)
{
    syn_server *server = user;
    const char *text = "text messages are not spoken here: send binary ones";
    switch (fault) {
    case WS_TEXT_MESSAGE:
        hub_refuse(server->hub, conn, CODE_MALFORMED, 1003, text, now_ms());
        break;
    case WS_TOO_LONG:
        hub_refuse(server->hub, conn, CODE_LIMIT, 1009, "frame_bytes: the message is too long",
                   now_ms());
        break;
    default:
        hub_refuse(server->hub, conn, CODE_BUSY, 1011, "out of memory", now_ms());
    }
}

static void on_writable(void *user, void *conn)
{
    syn_server *server = user;
    hub_writable(server->hub, conn, now_ms());
}

/* ---- HTTP ------------------------------------------------------------------------------------ */

static uint64_t http_now(void *user)
{
    (void)user;
    return now_ms();
}

static bool check_http_token(syn_server *server, uint64_t id, syn_str token, char *detail)
{
    struct signed_in in;
    if (sign_in_check(server->sign_in, token, &in, detail)) return false;
    const struct hub_identity who = {syn_s(in.user), in.claims};
    http_signed_in(server->api, id, &who, in.server, in.expires_ms);
    return true;
}

/* The embedder's own sign-in beside a secret or keys: whoever brings one of these needs no more. */
static void http_authenticate(void *user, uint64_t id, syn_str token)
{
    char detail[256] = "out of memory";
    syn_server *server = user;
    bool hook = server->config.authenticate != NULL;
    if (!hook || sign_in_needed(server->sign_in))
        if (check_http_token(server, id, token, detail)) return;
    syn_auth_request *request = hook ? malloc(sizeof *request) : NULL;
    if (request == NULL) {
        http_refused(server->api, id, syn_s(detail));
        return;
    }
    *request = (syn_auth_request){server, id, true};
    server->config.authenticate(server->config.user, request, token);
}

static bool http_may_send(void *user, syn_str token)
{
    char detail[256];
    struct signed_in in = {0};
    syn_server *server = user;
    if (server->config.authenticate != NULL) return true; /* who can tell that late */
    pthread_rwlock_rdlock(&server->keys);
    bool known = sign_in_check(server->sign_in, token, &in, detail) == SYN_OK;
    pthread_rwlock_unlock(&server->keys);
    jwt_claims_free(in.claims);
    return known;
}

/* Strangers may ask for the metrics, and the load walks everything: once in a while is enough. */
#define LOAD_MS 2000u
/* Between looks at the memory, where it has a limit; between trims, which walk all that is free. */
#define MEMORY_MS    25u
#define TRIM_MS      500u
#define IDLE_TRIM_MS 5000u
#define MEMORY_STEP  (4u << 20)

static void http_pages_of(void *user, struct http_pages *out)
{
    syn_server *server = user;
    struct hub_stats stats;
    uint64_t now = now_ms();
    if (server->load_at == 0 || now - server->load_at >= LOAD_MS) {
        hub_read_load(server->hub, &server->load);
        server->load_at = now;
    }
    *out = (struct http_pages){.hub = server->hub,
                               .store = server->store,
                               .draining = server->draining,
                               .uptime_ms = now - server->started,
                               .load = server->load};
    hub_read_stats(server->hub, &stats);
    out->loop_count = loops_read_stats(server->loops, out->loops);
    gate_read(server->gate, out->door);
    out->loops[0].busy_us = server->busy_us;
    out->loops[0].wakes = server->wakes;
    out->loops[0].connections = out->loop_count == 1 ? stats.connections : 0;
}

/* SQLite's share is process-wide, and the allocator's ways are for good: of the start. */
static void http_limit(void *user, const struct limits *limits)
{
    syn_server *server = user;
    server->limits = *limits;
    hub_limit(server->hub, limits);
    gate_limit(server->gate, limits);
    if (limits->of[LIM_MEMORY] == 0) gate_shut(server->gate, false);
}

static void on_asked(void *user, const struct http_request *request, http_reply *reply)
{
    const syn_server *server = user;
    http_api_asked(server->api, request, reply);
}

static size_t max_body(void *user, const struct http_request *request)
{
    const syn_server *server = user;
    return http_api_max_body(server->api, request);
}

static syn_err open_api(syn_server *server)
{
    const struct http_port port = {
        .user = server,
        .now = http_now,
        .authenticate = http_authenticate,
        .may_send = http_may_send,
        .authorise = port_authorise,
        .release = port_release,
        .pages = http_pages_of,
        .limit = http_limit,
    };
    return http_api_new(&server->api, server->hub, server->store, &port);
}

/* ---- The mailbox ----------------------------------------------------------------------------- */

static syn_err post(syn_server *server, const struct job *what, syn_str text)
{
    struct job *job = malloc(sizeof *job + text.len);
    if (job == NULL) return SYN_ENOMEM;
    *job = *what;
    job->next = NULL;
    job->len = text.len;
    if (text.len != 0) memcpy(job->text, text.data, text.len);
    pthread_mutex_lock(&server->lock);
    *server->last_job = job;
    server->last_job = &job->next;
    pthread_mutex_unlock(&server->lock);
    ev_async_send(server->loop, &server->wake);
    return SYN_OK;
}

static void reloaded(void *user, syn_err err, const char *why)
{
    syn_server *server = user;
    char detail[256] = "certificate and keys were read again";
    if (err) snprintf(detail, sizeof detail, "%s", why);
    pthread_rwlock_wrlock(&server->keys);
    bool good = !err && sign_in_reload(server->sign_in, detail) == SYN_OK;
    pthread_rwlock_unlock(&server->keys);
    log_event(server, good ? "reload" : "reload failed, the old one stays", detail);
}

static void accepted(syn_server *server, const struct job *job, syn_str name, uint64_t now)
{
    const struct hub_identity who = {.name = name};
    uint32_t rights = 0;
    if (!job->http) {
        hub_signed_in(server->hub, job->conn, &who, job->expires_ms, now);
        return;
    }
    if (server->config.authorise != NULL)
        rights = server->config.authorise(server->config.user, name, syn_s(""));
    http_signed_in(server->api, job->conn, &who, rights & (SYN_MAY_LIST | SYN_MAY_ADMIN),
                   job->expires_ms);
}

static void run_job(syn_server *server, struct job *job)
{
    syn_str text = {job->text, job->len};
    uint64_t now = now_ms();
    switch (job->kind) {
    case JOB_EDIT:
        hub_edit(server->hub, text, job->create, job->fn, job->done, job->user, now);
        break;
    case JOB_DELETE:
        hub_delete(server->hub, text, job->done, job->user, now);
        break;
    case JOB_ACCEPT:
        accepted(server, job, text, now);
        break;
    case JOB_REFUSE:
        if (job->http)
            http_refused(server->api, job->conn, text);
        else
            hub_refused(server->hub, job->conn, text, now);
        break;
    case JOB_RELOAD:
        loops_reload(server->loops, reloaded, server);
        break;
    }
    free(job);
}

static void run_jobs(syn_server *server)
{
    pthread_mutex_lock(&server->lock);
    struct job *jobs = server->jobs;
    server->jobs = NULL;
    server->last_job = &server->jobs;
    bool stopping = server->stopping;
    uint32_t stop_ms = server->stop_ms;
    pthread_mutex_unlock(&server->lock);
    for (struct job *next; jobs != NULL; jobs = next) {
        next = jobs->next;
        run_job(server, jobs);
    }
    if (stopping && !server->draining) {
        server->draining = true;
        server->drain_until = now_ms() + stop_ms;
        loops_stop_listening(server->loops);
    }
}

/* ---- The loop -------------------------------------------------------------------------------- */

static void on_wake(struct ev_loop *loop, ev_async *wake, int events)
{
    syn_server *server = wake->data;
    (void)loop;
    (void)events;
    store_poll(server->store);
    worked(server);
    loops_deliver(server->loops);
    run_jobs(server);
}

static void on_timer(struct ev_loop *loop, ev_timer *timer, int events)
{
    syn_server *server = timer->data;
    (void)loop;
    (void)events;
    hub_tick(server->hub, now_ms());
    http_api_tick(server->api);
}

static bool drained(syn_server *server)
{
    struct hub_stats stats;
    hub_read_stats(server->hub, &stats);
    return server->said_goodbye && (stats.connections == 0 || now_ms() >= server->drain_until);
}

/* What came in is committed and acknowledged first, then everyone is told to go. */
static void drain(syn_server *server)
{
    bool late = now_ms() >= server->drain_until;
    if (!server->said_goodbye && (hub_idle(server->hub) || late)) {
        server->said_goodbye = true;
        hub_goodbye(server->hub, now_ms());
    }
    if (server->own_loop && drained(server)) ev_break(server->loop, EVBREAK_ALL);
}

static void on_check(struct ev_loop *loop, ev_check *check, int events)
{
    syn_server *server = check->data;
    (void)loop;
    (void)events;
    server->busy_since = now_us();
    server->wakes++;
}

static void count_busy(syn_server *server)
{
    if (server->busy_since != 0) server->busy_us += now_us() - server->busy_since;
    server->busy_since = 0;
}

/* Looks at the memory of the process, if it has a limit; returns when to look again. */
static uint64_t watch_memory(syn_server *server, uint64_t now)
{
    if (hub_limits(server->hub)->of[LIM_MEMORY] == 0) return UINT64_MAX;
    if (now < server->memory_at) return server->memory_at;
    uint64_t used = process_resident();
    enum pressure pressure = hub_memory(server->hub, used, now);
    gate_shut(server->gate, pressure >= PRESSURE_HIGH);
    if (used > server->used) server->used = used;
    bool fell = server->used - used > MEMORY_STEP || pressure != PRESSURE_NONE;
    if (now >= server->trim_at) {
        process_trim();
        server->trim_at = now + (fell ? TRIM_MS : IDLE_TRIM_MS);
        server->used = used;
    }
    server->memory_at = now + (pressure != PRESSURE_NONE ? MEMORY_MS : 2 * MEMORY_MS);
    return server->memory_at;
}

static void on_prepare(struct ev_loop *loop, ev_prepare *prepare, int events)
{
    syn_server *server = prepare->data;
    (void)events;
    uint64_t now = now_ms();
    hub_flush(server->hub, now);
    uint64_t next = hub_next_tick(server->hub), look = watch_memory(server, now);
    if (look < next) next = look;
    if (server->draining) {
        drain(server);
        if (next > now + 20) next = now + 20;
    }
    loops_flush(server->loops);
    ev_now_update(loop);
    ev_timer_stop(loop, &server->timer);
    ev_timer_set(&server->timer, next > now ? (double)(next - now) / 1000.0 : 0.0, 0.0);
    ev_timer_start(loop, &server->timer);
    count_busy(server);
}

/* From any thread: the store has an answer, work is done, or a loop has mail. */
static void wake_up(void *user)
{
    syn_server *server = user;
    ev_async_send(server->loop, &server->wake);
}

static void start_watchers(syn_server *server)
{
    ev_prepare_init(&server->prepare, on_prepare);
    ev_async_init(&server->wake, on_wake);
    ev_timer_init(&server->timer, on_timer, 0.0, 0.0);
    server->prepare.data = server->wake.data = server->timer.data = server;
    ev_check_init(&server->check, on_check);
    ev_set_priority(&server->check, EV_MAXPRI); /* before what it measures */
    server->check.data = server;
    ev_check_start(server->loop, &server->check);
    ev_prepare_start(server->loop, &server->prepare);
    ev_async_start(server->loop, &server->wake);
    store_on_wake(server->store, wake_up, server);
}

static void stop_watchers(syn_server *server)
{
    ev_check_stop(server->loop, &server->check);
    ev_prepare_stop(server->loop, &server->prepare);
    ev_async_stop(server->loop, &server->wake);
    ev_timer_stop(server->loop, &server->timer);
}

static void *run_loop(void *user)
{
    syn_server *server = user;
    ev_run(server->loop, 0);
    return NULL;
}

/* ---- Starting -------------------------------------------------------------------------------- */

/* "HOST:PORT", "[ADDRESS]:PORT". */
static syn_err split_address(const char *listen, char *host, size_t size, uint16_t *port)
{
    const char *colon = strrchr(listen, ':');
    char *end;
    if (colon == NULL) return SYN_EMISUSE;
    unsigned long number = strtoul(colon + 1, &end, 10);
    if (colon[1] == '\0' || *end != '\0' || number > 65535) return SYN_EMISUSE;
    size_t len = (size_t)(colon - listen);
    if (len >= 2 && listen[0] == '[' && listen[len - 1] == ']') {
        listen++;
        len -= 2;
    }
    if (len >= size) return SYN_EMISUSE;
    memcpy(host, listen, len);
    host[len] = '\0';
    *port = (uint16_t)number;
    return SYN_OK;
}

static syn_err open_store(syn_server *server, char *detail)
{
    const syn_server_config *config = &server->config;
    uint64_t id[2] = {next_random(server), next_random(server)};
    char owner[300];
    snprintf(owner, sizeof owner, "%s://%.256s", config->tls_cert != NULL ? "wss" : "ws",
             config->listen != NULL ? config->listen : "127.0.0.1:7700");
    store_options options = {.path = config->data,
                             .owner = owner,
                             .create = true,
                             .vfs = config->vfs,
                             .random_id = (const uint8_t *)id};
    return store_open(&server->store, &options, detail);
}

static syn_err open_hub(syn_server *server)
{
    bool file = server->config.data != NULL; /* the store in memory is for one thread */
    if (file) server->workers = work_new(WORKERS, MAX_WORK, wake_up, server);
    if (file && server->workers == NULL) return SYN_ENOMEM;
    struct hub_port port = {
        .user = server,
        .random = next_random,
        .send = port_send,
        .close = port_close,
        .authenticate = port_authenticate,
        .authorise = port_authorise,
        .release = port_release,
        .changed = port_changed,
        .log = log_event,
        .work = file ? port_work : NULL,
    };
    syn_err err = hub_new(&server->hub, server->store, &port);
    if (!err) hub_limit(server->hub, &server->limits);
    return err;
}

static syn_err open_sockets(syn_server *server, const char *host, uint16_t port, bool loopback,
                            char *detail)
{
    bool open = !sign_in_needed(server->sign_in) && server->config.authenticate == NULL;
    struct loops_config config = {
        .home = server->loop,
        .count = server->config.loops != 0 ? server->config.loops : 1,
        .host = host,
        .port = port,
        .ws = {.gate = server->gate,
               .web = server->config.web,
               .local_names = loopback && open,
               .origins = server->config.origins,
               .tls_cert = server->config.tls_cert,
               .tls_key = server->config.tls_key},
        .events = {.user = server,
                   .connected = on_connected,
                   .disconnected = on_disconnected,
                   .message = on_message,
                   .max_message = max_message,
                   .fault = on_fault,
                   .writable = on_writable,
                   .max_body = max_body,
                   .asked = on_asked},
        .wake = wake_up,
    };
    return loops_new(&server->loops, &config, detail);
}

/* A slow disk outlives the time to drain, and its answer must still find the hub. */
static void finish_turns(syn_server *server)
{
    const struct timespec pause = {.tv_nsec = 1000000};
    while (server->hub != NULL && !hub_idle(server->hub)) {
        hub_flush(server->hub, now_ms());
        store_poll(server->store);
        worked(server);
        if (!hub_idle(server->hub)) nanosleep(&pause, NULL);
    }
}

static void free_server(syn_server *server)
{
    if (server->loops != NULL) loops_stop(server->loops); /* connections say that they are gone */
    finish_turns(server);
    if (server->workers != NULL) work_stop(server->workers);
    work_free(server->workers);
    http_api_free(server->api);
    hub_free(server->hub);
    loops_free(server->loops);
    gate_free(server->gate);
    store_close(server->store);
    if (server->own_loop && server->loop != NULL) ev_loop_destroy(server->loop);
    for (struct job *next; server->jobs != NULL; server->jobs = next) {
        next = server->jobs->next;
        if (server->jobs->done != NULL) server->jobs->done(server->jobs->user, SYN_ECLOSED);
        free(server->jobs);
    }
    pthread_rwlock_destroy(&server->keys);
    pthread_mutex_destroy(&server->lock);
    sign_in_free(server->sign_in);
    free(server);
}

static syn_err check_config(const syn_server_config *config, char *host, size_t size,
                            uint16_t *port, bool *loopback, char *detail)
{
    const char *listen = config->listen != NULL ? config->listen : "127.0.0.1:7700";
    if (config->loops > LOOPS_MAX) {
        snprintf(detail, 256, "loops: at most %u", LOOPS_MAX);
        return SYN_EMISUSE;
    }
    if (split_address(listen, host, size, port)) {
        snprintf(detail, 256, "listen address %.100s is not HOST:PORT", listen);
        return SYN_EMISUSE;
    }
    if (!ws_can(config->deflate, config->http2, detail)) return SYN_EMISUSE;
    *loopback = ws_is_loopback(host);
    bool guarded = config->secret != NULL || config->keys != NULL || config->authenticate != NULL;
    if (*loopback || guarded || config->insecure) return SYN_OK;
    snprintf(detail, 256,
             "%.100s is reachable from other machines and there is no sign-in: give a secret or "
             "keys, or --insecure if everyone may read and write everything",
             listen);
    return SYN_EDENIED;
}

static syn_err start(syn_server *server, char *detail)
{
    char host[256];
    uint16_t port;
    bool loopback;
    syn_err err = check_config(&server->config, host, sizeof host, &port, &loopback, detail);
    limits_default(&server->limits);
    if (!err && server->config.limits != NULL)
        err = limits_read(&server->limits, server->config.limits, detail);
    if (!err) err = sign_in_new(&server->sign_in, &server->config, detail);
    if (err) return err;
    server->own_loop = server->config.loop == NULL;
    server->loop = server->own_loop ? ev_loop_new(EVFLAG_AUTO) : server->config.loop;
    if (server->loop == NULL) return SYN_ENOMEM;
    if (server->limits.of[LIM_MEMORY] != 0) {
        process_stay_small();
        store_limit_memory(server->limits.of[LIM_MEMORY]);
    }
    server->gate = gate_new(&server->limits);
    err = server->gate != NULL ? open_store(server, detail) : SYN_ENOMEM;
    if (!err) err = open_hub(server);
    if (!err) err = open_api(server);
    if (!err) err = open_sockets(server, host, port, loopback, detail);
    if (err) return err;
    start_watchers(server);
    err = loops_start(server->loops);
    if (!err && !server->own_loop) return SYN_OK;
    if (!err && pthread_create(&server->thread, NULL, run_loop, server) == 0) return SYN_OK;
    stop_watchers(server);
    snprintf(detail, 256, "no thread could be started");
    return SYN_ENOMEM;
}

syn_err syn_server_start(syn_server **out, const syn_server_config *config, char *detail)
{
    char unused[256];
    char *text = detail != NULL ? detail : unused;
    text[0] = '\0';
    if (config == NULL || config->size != sizeof *config) return SYN_EMISUSE;
    syn_server *server = calloc(1, sizeof *server);
    if (server == NULL) return SYN_ENOMEM;
    server->config = *config;
    server->random = config->seed;
    server->last_job = &server->jobs;
    server->started = now_ms();
    pthread_mutex_init(&server->lock, NULL);
    pthread_rwlock_init(&server->keys, NULL);
    syn_err err = start(server, text);
    if (err) {
        free_server(server);
        return err;
    }
    *out = server;
    return SYN_OK;
}

syn_store *server_file(const syn_server *server)
{
    return server->config.data != NULL ? server->store : NULL;
}

uint16_t syn_server_port(const syn_server *server)
{
    return loops_port(server->loops);
}

void syn_server_reload(syn_server *server)
{
    struct job job = {.kind = JOB_RELOAD};
    (void)post(server, &job, syn_s("")); /* without memory: the old certificate stays */
}

void syn_server_stop(syn_server *server, uint32_t timeout_ms)
{
    if (server == NULL) return;
    pthread_mutex_lock(&server->lock);
    server->stopping = true;
    server->stop_ms = timeout_ms;
    pthread_mutex_unlock(&server->lock);
    ev_async_send(server->loop, &server->wake);
    if (server->own_loop)
        pthread_join(server->thread, NULL);
    else
        while (!drained(server)) ev_run(server->loop, EVRUN_ONCE);
    stop_watchers(server);
    free_server(server);
}

/* ---- Calls from any thread ------------------------------------------------------------------- */

void syn_auth_accept(syn_auth_request *request, syn_str user, uint32_t expires_ms)
{
    struct job job = {
        .kind = JOB_ACCEPT, .conn = request->conn, .http = request->http, .expires_ms = expires_ms};
    if (post(request->server, &job, user)) return; /* keeps the request; the handshake times out */
    free(request);
}

void syn_auth_refuse(syn_auth_request *request, syn_str reason)
{
    struct job job = {.kind = JOB_REFUSE, .conn = request->conn, .http = request->http};
    if (post(request->server, &job, reason)) return;
    free(request);
}

syn_err syn_server_edit(syn_server *server, syn_str document, bool create,
                        syn_err (*fn)(void *user, syn_doc *doc),
                        void (*done)(void *user, syn_err err), void *user)
{
    struct job job = {.kind = JOB_EDIT, .create = create, .fn = fn, .done = done, .user = user};
    if (fn == NULL || document.len == 0 || document.len > LIMIT_NAME_BYTES) return SYN_EMISUSE;
    return post(server, &job, document);
}

syn_err syn_server_delete(syn_server *server, syn_str document,
                          void (*done)(void *user, syn_err err), void *user)
{
    struct job job = {.kind = JOB_DELETE, .done = done, .user = user};
    if (document.len == 0 || document.len > LIMIT_NAME_BYTES) return SYN_EMISUSE;
    return post(server, &job, document);
}
