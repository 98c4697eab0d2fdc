/* loops.h -- the sockets of a server, on one loop or on several, each with a thread of its own.
 *
 * The one who made it has a loop too, the home; there all events come in and all calls are made,
 * whatever the number of loops.  With one loop that is the home itself, without threads or
 * messages. */
#ifndef SYN_LOOPS_H
#define SYN_LOOPS_H

#include "ws_server.h"

#define LOOPS_MAX 16u

typedef struct loops loops;

struct loops_config {
    struct ev_loop *home;
    uint32_t count; /* 1 to LOOPS_MAX */
    const char *host;
    uint16_t port; /* 0: any */
    /* Without fd and share; its texts are borrowed for the call. */
    struct ws_options ws;
    /* As of one ws_server, on home's thread; only max_body is asked on any, at any time.  Of
     * max_message the answer is taken from when something was last received or sent. */
    struct ws_events events;
    /* From any thread: loops_deliver() is wanted. */
    void (*wake)(void *user);
};

/* Errors as ws_listen and ws_server_new. */
syn_err loops_new(loops **out, const struct loops_config *config, char *detail);
/* Before it nobody is let in. */
syn_err loops_start(loops *all);
uint16_t loops_port(const loops *all);
/* Hands out what came in. */
void loops_deliver(loops *all);
/* What was sent goes to the loops: before home sleeps. */
void loops_flush(loops *all);

/* As ws_send and ws_close.  Bodies that are equal one after the other are copied once. */
bool loops_send(loops *all, void *link, syn_str head, syn_str body);
void loops_close(loops *all, void *link, unsigned status, const char *reason);

/* As ws_server_reload, of every loop; `done` may come later. */
void loops_reload(loops *all, void (*done)(void *user, syn_err err, const char *detail),
                  void *user);
void loops_stop_listening(loops *all);

/* Turns, from waking up to going to sleep, by how long they took. */
#define TURN_BUCKETS 8u
extern const uint32_t turn_bucket_us[TURN_BUCKETS - 1];
uint32_t turn_bucket(uint64_t took_us);

struct loop_stats {
    uint64_t connections, wakes, busy_us, turn_us_max, turns[TURN_BUCKETS];
    uint64_t answers[6]; /* of HTTP, by the first digit of their status */
};
/* How many there are, at least home's, out[0]: of which it knows the answers alone, if any. */
uint32_t loops_read_stats(const loops *all, struct loop_stats out[LOOPS_MAX + 1]);

/* Ends every thread and connection, and hands out what came in.  Nothing is sent any more, but
 * replies may still be answered. */
void loops_stop(loops *all);
void loops_free(loops *all); /* NULL is fine */

#endif
