/* server_loop.c -- the server's loop.
 *
 * ev_prepare ends each gathering: when the loop has read all there was and would go to sleep, the
 * turn goes to the store, and what was sent to other loops' mailboxes.  ev_async wakes the loop for
 * finished commits, for mail from other loops, and for jobs. */
#include "process.h"
#include "server_impl.h"

#include <time.h>

/* Between looks at the memory, where it has a limit; between trims, which walk all that is free.
 * Without a limit, so much has to be free at two looks: what a crowd left behind, not what comes
 * and goes. */
#define MEMORY_MS    25u
#define TRIM_MS      500u
#define IDLE_TRIM_MS 5000u
#define MEMORY_STEP  (4u << 20)
#define MEMORY_FREE  (8u << 20)

static uint64_t now_us(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000u + (uint64_t)now.tv_nsec / 1000u;
}

static void on_wake(struct ev_loop *loop, ev_async *wake, int events)
{
    syn_server *server = wake->data;
    (void)loop;
    (void)events;
    store_poll(server->store);
    server_worked(server);
    loops_deliver(server->loops);
    server_run_jobs(server);
}

static void on_timer(struct ev_loop *loop, ev_timer *timer, int events)
{
    syn_server *server = timer->data;
    (void)loop;
    (void)events;
    hub_tick(server->hub, server_now_ms());
    http_api_tick(server->api);
}

bool server_drained(syn_server *server)
{
    struct hub_stats stats;
    hub_read_stats(server->hub, &stats);
    return server->said_goodbye &&
           (stats.connections == 0 || server_now_ms() >= server->drain_until);
}

/* What came in is committed and acknowledged first, then everyone is told to go. */
static void drain(syn_server *server)
{
    bool late = server_now_ms() >= server->drain_until;
    if (!server->said_goodbye && (hub_idle(server->hub) || late)) {
        server->said_goodbye = true;
        hub_goodbye(server->hub, server_now_ms());
    }
    if (server->own_loop && server_drained(server)) ev_break(server->loop, EVBREAK_ALL);
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
    uint64_t took = server->busy_since != 0 ? now_us() - server->busy_since : 0;
    if (server->busy_since != 0) server->turns[turn_bucket(took)]++;
    server->busy_us += took;
    if (took > server->turn_us_max) server->turn_us_max = took;
    server->busy_since = 0;
}

/* What was freed is the system's again, in the end.  Not in the process of an embedder with a loop
 * of his own: his heap may be large, and is not ours to walk. */
static uint64_t watch_free(syn_server *server, uint64_t now)
{
    if (!server->own_loop) return UINT64_MAX;
    if (now < server->trim_at) return server->trim_at;
    uint64_t is_free = process_free(), used = process_resident();
    bool lasts = is_free > MEMORY_FREE && server->free_before > MEMORY_FREE;
    if (used < server->used) server->used = used;
    bool ours = used > server->used + MEMORY_FREE; /* what was given back counts as free still */
    if (lasts && ours) {
        process_trim();
        server->used = process_resident();
    }
    server->free_before = is_free;
    server->trim_at = now + IDLE_TRIM_MS;
    return server->trim_at;
}

/* Looks at the memory of the process; returns when to look again. */
static uint64_t watch_memory(syn_server *server, uint64_t now)
{
    if (hub_limits(server->hub)->of[LIM_MEMORY] == 0) return watch_free(server, now);
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
    uint64_t now = server_now_ms();
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

void server_wake_up(void *user)
{
    syn_server *server = user;
    ev_async_send(server->loop, &server->wake);
}

void server_watch(syn_server *server)
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
    store_on_wake(server->store, server_wake_up, server);
}

void server_unwatch(syn_server *server)
{
    ev_check_stop(server->loop, &server->check);
    ev_prepare_stop(server->loop, &server->prepare);
    ev_async_stop(server->loop, &server->wake);
    ev_timer_stop(server->loop, &server->timer);
}

void *server_run_loop(void *user)
{
    syn_server *server = user;
    ev_run(server->loop, 0);
    return NULL;
}
