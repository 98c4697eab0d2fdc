/* load_worker.h -- one worker of `load`: its clients, and what is due when.
 *
 *     due: a binary heap of (time, what, client), and a timerfd that is set to its top
 *     dirty: clients that did something in this turn of the loop; flushed before it sleeps
 *     spare: clients that left; their sockets serve the next that comes
 *
 * A timerfd, because libev's timers stand on epoll's milliseconds, and gaps of whole milliseconds
 * are not those of a Poisson process. */
#ifndef SYN_CLI_LOAD_WORKER_H
#define SYN_CLI_LOAD_WORKER_H

#include "load.h"
#include "session.h"
#include "ws_client.h"

#include <ev.h>

enum due_kind {
    DUE_CONNECT,
    DUE_LEAVE,
    DUE_EDIT,
    DUE_PRESENCE,
    DUE_PAUSE,
    DUE_RESUME,
    DUE_ARRIVAL, /* these are the worker's own */
    DUE_STORM,
    DUE_SWEEP,
};

struct due {
    uint64_t at;
    struct load_client *client; /* NULL: the worker's */
    uint32_t life;              /* of the client: what is due for an earlier one is void */
    enum due_kind kind;
};

struct load_client {
    struct load_worker *worker;
    uint32_t number, document, life;
    bool fixed, writes, slow, stops; /* its part */
    bool connecting, open, live, was_live, leaving, storming, dirty, paused;
    session *session;
    session_doc *sd;
    syn_doc *doc;
    syn_obj text;
    ws_client *ws;
    uint64_t bytes_in;    /* of this connection */
    uint64_t connect_due; /* 0: not the first connection, or a storm's; nothing to time */
    uint64_t *unacked;    /* when the edits were due that are not known to be durable */
    uint32_t unacked_at, unacked_count, unacked_cap; /* a ring */
    uint64_t seen, seen_bits; /* ring position, and which of the 64 from there on were seen */
    size_t typing;            /* where it writes */
};

struct load_worker {
    struct load_shared *shared;
    const struct load_options *options;
    struct load_worker_figures *figures;
    uint32_t index;
    struct ev_loop *loop;
    ev_prepare prepare;
    ev_io timer;
    int timer_fd;
    struct due *heap;
    uint32_t heap_count, heap_cap;
    struct load_client **clients; /* all that were ever made */
    uint32_t client_count, client_cap;
    struct load_client **dirty, **spare;
    uint32_t dirty_count, spare_count;
    uint64_t random;
    double *weights; /* of the documents, cumulated */
    uint32_t phase, sweeps, numbers;
    double gap_rate; /* of what the gaps are taken from; 0: of nothing */
    enum due_kind gap_kind;
    uint64_t last_planned, last_actual;
};

/* ---- load_worker.c --------------------------------------------------------------------------- */

void worker_at(struct load_worker *w, uint64_t at, enum due_kind kind, struct load_client *client);
void worker_touched(struct load_worker *w, struct load_client *client);
void worker_fail(struct load_worker *w, const char *what);
struct load_slot *worker_slot(struct load_worker *w, uint64_t now); /* NULL: not running */

/* ---- load_client.c --------------------------------------------------------------------------- */

/* With its socket, which is the dear part.  NULL: failed, and said. */
struct load_client *client_new(struct load_worker *w);
bool client_begin(struct load_client *client, uint32_t document, uint64_t due);
void client_free(struct load_client *client);
void client_connect(struct load_client *client);
void client_flush(struct load_client *client, uint64_t now);
void client_edit(struct load_client *client, uint64_t due);
void client_presence(struct load_client *client);
void client_leave(struct load_client *client);
bool client_storm(struct load_client *client, uint64_t due); /* false: it has no part in it */
void client_pause(struct load_client *client, bool pause);
void client_sweep(struct load_client *client, uint64_t now); /* timers, reconnecting */
bool client_level(struct load_client *client); /* nothing under way, as far as it can know */
void client_compare(struct load_client *client);

#endif
