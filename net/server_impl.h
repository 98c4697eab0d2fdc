/* server_impl.h -- what the files of the embedder's API share.
 *
 *     server.c       starting and stopping, the parts opened in order
 *     server_loop.c  the loop: what wakes it, what it does before it sleeps, its memory, draining
 *     server_jobs.c  what other threads ask for, carried to the loop's
 *     server_port.c  what hub, sockets and HTTP ask of the rest, sign-in included; the log
 *     server_feed.c  the change feed, which asks the store alone */
#ifndef SYN_SERVER_IMPL_H
#define SYN_SERVER_IMPL_H

#include "gate.h"
#include "http_api.h"
#include "hub.h"
#include "loops.h"
#include "sign_in.h"
#include "store.h"
#include "syncline_server.h"
#include "work.h"

#include <ev.h>
#include <pthread.h>

struct syn_server {
    syn_server_config config;
    sign_in *sign_in;
    struct limits limits;
    gate *gate;
    uint64_t memory_at, trim_at; /* next look, next trim */
    uint64_t used;               /* since the last trim, at most; without a limit: at least */
    uint64_t free_before;        /* bytes, at the last look */
    struct ev_loop *loop;
    bool own_loop;
    pthread_t thread;
    ev_prepare prepare;
    ev_check check;
    uint64_t wakes, busy_us, turn_us_max, busy_since; /* since: 0 while it waits */
    uint64_t turns[TURN_BUCKETS];
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

uint64_t server_now_ms(void);

/* NULL: in memory, which is for the server's own thread. */
syn_store *server_file(const syn_server *server);

/* ---- server_port.c --------------------------------------------------------------------------- */

void server_log(void *user, const char *event, const char *detail);
/* Of the system; of the seed, if there is one, so that a run can be repeated. */
uint64_t server_random(void *user);
syn_err server_open_hub(syn_server *server);
syn_err server_open_api(syn_server *server);
void server_socket_events(syn_server *server, struct ws_events *out);
/* What the threads for long work have finished, told to the hub. */
void server_worked(syn_server *server);

/* ---- server_jobs.c --------------------------------------------------------------------------- */

/* What other threads asked for since, and whether it is over. */
void server_run_jobs(syn_server *server);
/* Those that nobody runs any more are told SYN_ECLOSED. */
void server_drop_jobs(syn_server *server);

/* ---- server_loop.c --------------------------------------------------------------------------- */

void server_watch(syn_server *server);
void server_unwatch(syn_server *server);
/* Runs the loop until it has drained: a thread's function. */
void *server_run_loop(void *server);
/* From any thread: the store has an answer, work is done, or a loop has mail. */
void server_wake_up(void *server);
/* Stopping, and everybody has gone, or the time for it is over. */
bool server_drained(syn_server *server);

#endif
