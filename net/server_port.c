/* server_port.c -- what hub, sockets and HTTP ask of the rest: each a table of functions, and all
 * on the loop's thread.  Only a token that comes before a body is looked at on others, so keys are
 * read again under a lock. */
#include "server_impl.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <time.h>

/* Threads for what takes long: one loads while the other folds. */
#define WORKERS 2u
/* Documents that may wait for them: more are told to come again. */
#define MAX_WORK 16384u
/* Strangers may ask for the metrics, and the load walks everything: once in a while is enough. */
#define LOAD_MS 2000u

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

void server_log(void *user, const char *event, const char *detail)
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

uint64_t server_random(void *user)
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
        hub_refused(server->hub, conn, syn_s(detail), server_now_ms());
        return;
    }
    const struct hub_identity who = {syn_s(in.user), in.claims};
    hub_signed_in(server->hub, conn, &who, in.expires_ms, server_now_ms());
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
        hub_refused(server->hub, conn, syn_s("out of memory"), server_now_ms());
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

void server_worked(syn_server *server)
{
    if (server->workers == NULL) return;
    for (struct work *work; (work = work_poll(server->workers)) != NULL;)
        hub_worked(server->hub, work, server_now_ms());
}

static void port_changed(void *user, syn_str document, const syn_doc *doc)
{
    const syn_server *server = user;
    const syn_server_config *config = &server->config;
    if (doc != NULL && config->changed != NULL) config->changed(config->user, document, doc);
    if (doc == NULL && config->deleted != NULL) config->deleted(config->user, document);
    http_api_changed(server->api, document);
}

syn_err server_open_hub(syn_server *server)
{
    bool file = server->config.data != NULL; /* the store in memory is for one thread */
    if (file) server->workers = work_new(WORKERS, MAX_WORK, server_wake_up, server);
    if (file && server->workers == NULL) return SYN_ENOMEM;
    struct hub_port port = {
        .user = server,
        .random = server_random,
        .send = port_send,
        .close = port_close,
        .authenticate = port_authenticate,
        .authorise = port_authorise,
        .release = port_release,
        .changed = port_changed,
        .log = server_log,
        .work = file ? port_work : NULL,
    };
    syn_err err = hub_new(&server->hub, server->store, &port);
    if (!err) hub_limit(server->hub, &server->limits);
    return err;
}

/* ---- The sockets' events --------------------------------------------------------------------- */

static void *on_connected(void *user, void *link)
{
    syn_server *server = user;
    if (server->draining) return NULL;
    return hub_connect(server->hub, link, server_now_ms());
}

static void on_disconnected(void *user, void *conn)
{
    syn_server *server = user;
    hub_disconnect(server->hub, conn, server_now_ms());
}

static void on_message(void *user, void *conn, const void *bytes, size_t len)
{
    syn_server *server = user;
    hub_receive(server->hub, conn, bytes, len, server_now_ms());
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
        hub_refuse(server->hub, conn, CODE_MALFORMED, 1003, text, server_now_ms());
        break;
    case WS_TOO_LONG:
        hub_refuse(server->hub, conn, CODE_LIMIT, 1009, "frame_bytes: the message is too long",
                   server_now_ms());
        break;
    case WS_UNFINISHED:
        hub_refuse_limit(server->hub, conn, LIM_UNFINISHED_BYTES, server_now_ms());
        break;
    default:
        hub_refuse(server->hub, conn, CODE_BUSY, 1011, "out of memory", server_now_ms());
    }
}

static void on_writable(void *user, void *conn)
{
    syn_server *server = user;
    hub_writable(server->hub, conn, server_now_ms());
}

/* ---- HTTP ------------------------------------------------------------------------------------ */

static uint64_t http_now(void *user)
{
    (void)user;
    return server_now_ms();
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

static void http_pages_of(void *user, struct http_pages *out)
{
    syn_server *server = user;
    struct hub_stats stats;
    uint64_t now = server_now_ms();
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
    out->loops[0].turn_us_max = server->turn_us_max;
    memcpy(out->loops[0].turns, server->turns, sizeof server->turns);
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

void server_socket_events(syn_server *server, struct ws_events *out)
{
    *out = (struct ws_events){.user = server,
                              .connected = on_connected,
                              .disconnected = on_disconnected,
                              .message = on_message,
                              .max_message = max_message,
                              .fault = on_fault,
                              .writable = on_writable,
                              .max_body = max_body,
                              .asked = on_asked};
}

syn_err server_open_api(syn_server *server)
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
