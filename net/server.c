/* server.c -- hub, store and sockets together: syncline_server.h.
 *
 *     other threads --jobs--> +----------- loop -----------+
 *     sockets ----loops-----> | hub ---turns---> store     | <--> writer thread
 *                             +----------------------------+
 *
 * Here it starts and stops; what happens meanwhile is in server_loop.c, on the loop's thread. */
#include "process.h"
#include "server_impl.h"
#include "ws_handshake.h"
#include "ws_listen.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

uint64_t server_now_ms(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000u + (uint64_t)now.tv_nsec / 1000000u;
}

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
    uint64_t id[2] = {server_random(server), server_random(server)};
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
        .wake = server_wake_up,
    };
    server_socket_events(server, &config.events);
    return loops_new(&server->loops, &config, detail);
}

/* A slow disk outlives the time to drain, and its answer must still find the hub. */
static void finish_turns(syn_server *server)
{
    const struct timespec pause = {.tv_nsec = 1000000};
    while (server->hub != NULL && !hub_idle(server->hub)) {
        hub_flush(server->hub, server_now_ms());
        store_poll(server->store);
        server_worked(server);
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
    server_drop_jobs(server);
    pthread_rwlock_destroy(&server->keys);
    pthread_mutex_destroy(&server->lock);
    sign_in_free(server->sign_in);
    free(server);
}

/* libev ends the process where it finds none: it is said before.  So many are the store's files,
 * for each thread that reads, and the first connections; and each loop has 5 of its own. */
enum { DESCRIPTORS = 32, LOOP_DESCRIPTORS = 5 };

static bool has_descriptors(uint32_t threads, char *detail)
{
    int taken[DESCRIPTORS + LOOP_DESCRIPTORS * LOOPS_MAX];
    unsigned wanted = DESCRIPTORS + LOOP_DESCRIPTORS * (threads != 0 ? threads : 1), count = 0;
    while (count < wanted && (taken[count] = open("/", O_PATH | O_CLOEXEC)) >= 0) count++;
    bool good = count == wanted || (errno != EMFILE && errno != ENFILE);
    for (unsigned i = 0; i < count; i++) close(taken[i]);
    if (!good)
        snprintf(detail, 256,
                 "%u file descriptors can be had, and %u are needed, and one for each connection: "
                 "raise the limit (ulimit -n, or LimitNOFILE= of the unit)",
                 count, wanted);
    return good;
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
    if (!has_descriptors(config->loops, detail)) return SYN_EMISUSE;
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
    if (!err) err = server_open_hub(server);
    if (!err) err = server_open_api(server);
    if (!err) err = open_sockets(server, host, port, loopback, detail);
    if (err) return err;
    server_watch(server);
    err = loops_start(server->loops);
    if (!err && !server->own_loop) return SYN_OK;
    if (!err && pthread_create(&server->thread, NULL, server_run_loop, server) == 0) return SYN_OK;
    server_unwatch(server);
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
    server->started = server_now_ms();
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
        while (!server_drained(server)) ev_run(server->loop, EVRUN_ONCE);
    server_unwatch(server);
    free_server(server);
}
