/* loops_impl.h -- what the files of loops.h share.
 *
 *     home (hub, HTTP API)                          loop i: thread, libev, ws_server
 *       |  bag --post--> inbox ---------------------> deliver: ws_send, ws_close, answers
 *       | <----deliver---------------- outbox <-post-- bag: connected, received, gone, asked
 *
 * Each side writes its own fields; what both read is atomic.  Whatever is named in mails (links,
 * replies) is freed by the loop, when home has said that it will not name it again. */
#ifndef SYN_LOOPS_IMPL_H
#define SYN_LOOPS_IMPL_H

#include "loops.h"
#include "mailbox.h"

#include <ev.h>
#include <stdatomic.h>

enum mail_kind {
    /* To home.  to: link */
    MAIL_CONNECTED,
    MAIL_RECEIVED,
    MAIL_FAULT, /* number: enum ws_fault */
    MAIL_WRITABLE,
    MAIL_GONE,
    /* to: messenger */
    MAIL_ASKED, /* with: struct asked */
    MAIL_MORE,
    MAIL_ENDED,
    MAIL_RELOADED, /* number: syn_err; bytes: detail */
    /* To a loop.  to: link */
    MAIL_SEND,  /* bytes: head; with: struct shared, or NULL */
    MAIL_CLOSE, /* number: status; bytes: reason */
    MAIL_RELEASE,
    /* to: messenger */
    MAIL_ANSWER, /* bytes: struct http_answer */
    MAIL_STREAM,
    MAIL_WAKE,
    MAIL_PIECE, /* number: 1 if more may come; bytes */
    MAIL_FREE,
    MAIL_RELOAD,
    MAIL_DEAF, /* no new connections */
    MAIL_STOP,
};

/* The body of frames to many readers, on several loops. */
struct shared {
    _Atomic uint32_t refs;
    uint32_t len;
    char bytes[];
};

struct waiting { /* a frame of a link that takes nothing now */
    struct waiting *next;
    struct shared *body;
    uint32_t len;
    char head[];
};

struct loop;

struct link {
    struct loop *loop;
    /* home's */
    void *conn; /* NULL: refused, or gone */
    uint64_t posted;
    bool closed;
    /* the loop's */
    bool stuck;
    ws_link *ws; /* NULL: gone */
    struct waiting *first, **last;
    unsigned close_status; /* to be closed when the waiting ones are sent */
    char *reason;
    /* both */
    _Atomic uint64_t sent;
    _Atomic bool wanted; /* home waits to be told that it may send */
    _Atomic size_t most; /* that a message may have */
};

struct loop {
    struct loops *all;
    struct ev_loop *ev;
    pthread_t thread;
    bool running;
    ws_server *ws;
    ev_async wake;
    ev_prepare prepare;
    ev_check check;
    struct mailbox inbox, outbox;
    struct bag out, in;   /* the loop's: to home, and what was taken */
    struct bag post, got; /* home's: to the loop, and what was taken from it */
    uint64_t busy_since;
    _Atomic uint64_t connections, wakes, busy_us, turn_us_max, turns[TURN_BUCKETS], answers[6];
};

struct loops {
    struct loops_config config;
    uint16_t port;
    struct shared *last; /* of home: the newest body */
    uint32_t reloading;  /* loops that have not said how it went */
    syn_err reload_err;
    char reload_detail[256];
    void (*reloaded)(void *user, syn_err err, const char *detail);
    void *reloaded_user;
    ws_server *only; /* one loop: home itself */
    uint32_t count;  /* of the others */
    struct loop loops[];
};

void shared_drop(struct shared *body);

/* ---- loop.c */
struct ws_events loop_events(struct loop *loop);
void loop_watch(struct loop *loop);
void loop_unwatch(struct loop *loop);
void *loop_thread(void *loop);
void loop_run_mails(struct loop *loop, struct bag *bag);

/* ---- loops_http.c */
/* On the loop: as ws_events.asked. */
void loop_asked(struct loop *loop, const struct http_request *request, http_reply *reply);
void loop_http_mail(struct loop *loop, struct mail *mail);
/* On home. */
void home_http_mail(struct loop *loop, struct mail *mail);

#endif
