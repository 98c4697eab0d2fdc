/* drive.h -- a driver that is lighter than any server it drives.
 *
 *     drive MODE ... -- fork -- process 0: one epoll loop, its share of the connections
 *          |               ---- process 1: ...
 *          +-- shared memory: what is to be done (phase, rate), when every edit was due, figures
 *
 * Plain sockets, the frames of RFC 6455, and of each protocol only what a reader or a writer of its
 * own text needs.  No client keeps a document.  An edit inserts six characters, "~" and its number
 * in base 64, behind those before it; whoever receives a message looks for them in its bytes, which
 * every protocol here sends as they are.  So the same program measures all servers, and what a real
 * client would do with the bytes is measured of none. */
#ifndef SYN_BENCH_DRIVE_H
#define SYN_BENCH_DRIVE_H

#include <stdatomic.h>
#include <stdbool.h>
#include <netinet/in.h>
#include <stddef.h>
#include <stdint.h>

#define NS_PER_S     1000000000ull
#define MARKER       6u /* characters of an edit */
#define MAX_EDITS    (1u << 22)
#define MAX_PROCS    8u
#define HIST_BUCKETS 640u

enum speech { SPEAK_SYNCLINE, SPEAK_YWEBSOCKET, SPEAK_HOCUSPOCUS, SPEAK_YSWEET };

struct bytes {
    uint8_t *data;
    size_t len, cap;
};

void put(struct bytes *b, const void *data, size_t len);
void put_byte(struct bytes *b, uint8_t byte);
void put_number(struct bytes *b, uint64_t n); /* varint, as protobuf and lib0 write it */
void put_text(struct bytes *b, const void *data, size_t len); /* length, bytes */
bool take_number(const uint8_t **at, const uint8_t *end, uint64_t *out);

struct conn {
    int fd;
    enum { CONN_CONNECTING, CONN_UPGRADING, CONN_OPEN, CONN_CLOSED } state;
    bool synced, stalled, writes, want_write, has_version;
    char doc[64];
    uint64_t began, synced_at, last_data; /* nanoseconds */
    uint64_t bytes_in;                    /* payload of data messages */
    struct bytes in, out;                 /* what is incomplete; what could not be written yet */
    uint32_t next_seen[2];                /* per writer of the document: the edit that comes next */
    uint32_t made, acked;                 /* own edits */
    int64_t credit;                       /* syncline: bytes that may be sent */
    uint64_t to_return;                   /* ... that were received and not given back yet */
    uint64_t head_peer, head_seq;         /* where the server stands (one author) */
    uint64_t peer;                        /* own */
    uint64_t after_peer, after_seq;       /* begin behind this; 0: with nothing */
    uint32_t pad;                         /* characters more per edit */
    uint32_t may_miss;                    /* edits in a row: a frame's end may cut a marker */
    void *owner;
};

/* What a loop does with its connections. */
struct handler {
    void (*synced)(struct conn *c);
    void (*edit)(struct conn *c, uint32_t writer, uint32_t number); /* came in, each once */
    void (*acked)(struct conn *c);
    void (*closed)(struct conn *c, const char *why);
};

/* ---- socket.c -------------------------------------------------------------------------------- */

uint64_t now_ns(void);
extern struct sockaddr_in drive_server;
bool conn_begin(int epoll, struct conn *c, enum speech speech, const struct handler *handler);
void conn_event(int epoll, struct conn *c, uint32_t events);
void conn_send(struct conn *c, const void *payload, size_t len); /* one message; queued */
void conn_flush(int epoll, struct conn *c);
void conn_close(struct conn *c, const char *why);
extern enum speech drive_speech;
extern bool drive_packed; /* Syncline: what is caught up may come deflated */
extern const struct handler *drive_handler;

/* ---- speak.c --------------------------------------------------------------------------------- */

void speak_path(const struct conn *c, char *path, size_t size);
const char *speak_headers(void);
void speak_begin(struct conn *c);
void speak_message(struct conn *c, const uint8_t *data, size_t len);
bool speak_edit(struct conn *c, uint32_t writer);                  /* false: no credit now */
void speak_update(struct conn *c, const void *update, size_t len); /* made by Yjs */

/* ---- figures.c ------------------------------------------------------------------------------- */

struct hist {
    uint64_t count, max, buckets[HIST_BUCKETS]; /* microseconds, 16 steps per power of two */
};
void hist_add(struct hist *h, uint64_t us);
void hist_merge(struct hist *into, const struct hist *from);
uint64_t hist_quantile(const struct hist *h, double q);
double process_cpu(long pid);                 /* seconds so far */
long process_kib(long pid, const char *what); /* "VmRSS:", "VmHWM:" */

#endif
