/* hub.h -- the server without sockets: frames in, frames out, documents kept in a store.
 *
 * Pure: time (milliseconds of any steady clock), random numbers, sending and closing come from the
 * caller, so a test or a simulator runs the same code as the server.  One thread.
 *
 *     connections -- channels -- rooms (open documents) -- store
 *
 * Everything received is applied in memory at once and noted in the turn that is being gathered;
 * hub_flush() gives the turn to the store; what it wants to send is held until the store says that
 * it is on the disk.  While one turn is being committed the next one gathers. */
#ifndef SYN_HUB_H
#define SYN_HUB_H

#include "server_limits.h"
#include "proto.h"
#include "store.h"
#include "work.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct hub hub;
typedef struct hub_conn hub_conn;

/* Who somebody turned out to be.  The grant is the embedder's own: what his sign-in gave. */
struct hub_identity {
    syn_str name;
    void *grant;
};

/* What the hub needs from the world.  None of these may call back into the hub, except that
 * authenticate may answer at once. */
struct hub_port {
    void *user;
    uint64_t (*random)(void *user);
    /* One WebSocket message: head, then body.  Copied or sent before it returns.  false: it was
     * taken, but nothing more until hub_writable(). */
    bool (*send)(void *user, void *link, syn_str head, syn_str body);
    /* Send what was given so far, then close.  hub_disconnect() follows, later. */
    void (*close)(void *user, void *link, unsigned status, const char *reason);
    /* Who is it?  Answered with hub_signed_in() or hub_refused().  NULL: everyone is "anonymous".
     */
    void (*authenticate)(void *user, uint64_t conn, syn_str token);
    /* RIGHT_*; NULL: all but RELAY. */
    uint32_t (*authorise)(void *user, const struct hub_identity *who, syn_str document);
    /* A grant that hub_signed_in() was given is not needed any more; NULL: nothing to do. */
    void (*release)(void *user, void *grant);
    /* doc NULL: it was deleted.  The hook NULL: nobody listens. */
    void (*changed)(void *user, syn_str document, const syn_doc *doc);
    void (*log)(void *user, const char *event, const char *detail); /* NULL: nobody listens */
    /* Runs it on another thread, then gives it to hub_worked(); false: too much is queued.  NULL:
     * the hub runs it at once, on its own thread. */
    bool (*work)(void *user, struct work *work);
};

/* Sizes that only tests have a reason to change, so that rare cases are common. */
struct hub_tuning {
    uint32_t frame_piece;           /* bytes of one frame of the log: others get in between */
    uint32_t fold_rows, fold_bytes; /* a tail above either is folded, of a short log sooner */
    uint32_t inflate_at_once;       /* Packed up to this size are inflated on the loop */
    uint32_t snapshot_at_once;      /* documents up to this size in memory are encoded there */
};

syn_err hub_new(hub **out, syn_store *store, const struct hub_port *port);
void hub_tune(hub *h, const struct hub_tuning *tuning);
/* Hold from now on; what is above them already stays. */
void hub_limit(hub *h, const struct limits *limits);
const struct limits *hub_limits(const hub *h);
/* Limits of one user (user_*) or one document (document_*), on top of everybody's: those of *own
 * that are set; none: as for everybody.  On the disk when it returns, which takes a commit. */
enum exception_of { OF_USER, OF_DOCUMENT };
syn_err hub_except(hub *h, enum exception_of kind, syn_str name, const struct limits *own);
bool exception_may_be(enum exception_of kind, enum limit limit);
/* false: it has none. */
bool hub_own_limits(const hub *h, enum exception_of kind, syn_str name, struct limits *out);
/* How much memory the process has now, once in a while: beyond shares of LIM_MEMORY load is shed.
 * Returns how it stands (pressure.c). */
enum pressure { PRESSURE_NONE, PRESSURE_LOW, PRESSURE_HIGH, PRESSURE_FULL };
enum pressure hub_memory(hub *h, uint64_t used, uint64_t now);
/* Nothing may be in flight (hub_idle).  NULL is fine. */
void hub_free(hub *h);

/* ---- Connections ----------------------------------------------------------------------------- */

/* A WebSocket was set up.  `link` is the caller's name for it.  NULL: no memory. */
hub_conn *hub_connect(hub *h, void *link, uint64_t now);
void hub_disconnect(hub *h, hub_conn *conn, uint64_t now);
/* The largest message that may be gathered for it now. */
size_t hub_max_message(const hub_conn *conn);
void hub_receive(hub *h, hub_conn *conn, const void *bytes, size_t len, uint64_t now);
/* Refuses what never became a frame: a text message, a message above hub_max_message().  status:
 * WebSocket's, for the close. */
void hub_refuse(hub *h, hub_conn *conn, enum code code, unsigned status, const char *detail,
                uint64_t now);
/* ... for what is above a limit that is not the hub's to see. */
void hub_refuse_limit(hub *h, hub_conn *conn, enum limit limit, uint64_t now);
void hub_writable(hub *h, hub_conn *conn, uint64_t now);

/* Takes the grant over, whatever comes of it.  expires_ms 0: never. */
void hub_signed_in(hub *h, uint64_t conn, const struct hub_identity *who, uint32_t expires_ms,
                   uint64_t now);
void hub_refused(hub *h, uint64_t conn, syn_str reason, uint64_t now);

/* ---- Turns and time -------------------------------------------------------------------------- */

/* Ends the gathering: call it when everything that had arrived was given to hub_receive. */
void hub_flush(hub *h, uint64_t now);
/* Timers.  hub_next_tick: when hub_tick is needed next. */
void hub_tick(hub *h, uint64_t now);
uint64_t hub_next_tick(const hub *h);
/* What port.work ran comes back. */
void hub_worked(hub *h, struct work *work, uint64_t now);
/* Nothing gathered, nothing being committed, nothing held, no work under way. */
bool hub_idle(const hub *h);
/* Says goodbye (GOING_AWAY) to every connection.  Flush and wait for hub_idle before. */
void hub_goodbye(hub *h, uint64_t now);

/* ---- The embedder's own hands ---------------------------------------------------------------- */

typedef syn_err (*hub_edit_fn)(void *user, syn_doc *doc);
typedef void (*hub_done_fn)(void *user, syn_err err);
/* Lends the document (NULL: it is not there) for reading; `done` runs when all that it then held is
 * on the disk.  fn may say SYN_EBUSY if that would take long: then it is called once more, off the
 * loop, with a copy of what is on the disk. */
void hub_read(hub *h, syn_str document, hub_edit_fn fn, hub_done_fn done, void *user, uint64_t now);
/* The same for the document as it was after the first `events` events of its log, a copy of its
 * own: fn runs off the loop (on the pool's thread), done on it.  SYN_ERANGE: it never was. */
void hub_read_version(hub *h, syn_str document, uint32_t events, hub_edit_fn fn, hub_done_fn done,
                      void *user, uint64_t now);
/* As syn_server_edit and syn_server_delete. */
void hub_edit(hub *h, syn_str document, bool create, hub_edit_fn fn, hub_done_fn done, void *user,
              uint64_t now);
void hub_delete(hub *h, syn_str document, hub_done_fn done, void *user, uint64_t now);

/* A request that comes beside the WebSockets, and whom it counts for: the same rates and quotas as
 * if he had sent frames.  Who is nobody has none of his own; his address and the document do. */
struct hub_request {
    syn_str user;
    size_t bytes;
    /* out, where it is refused */
    enum limit limit; /* LIM_NONE: not for one */
    uint32_t wait_ms;
};
/* Charges it to the user.  false: he has to wait. */
bool hub_request(hub *h, struct hub_request *request, uint64_t now);
/* What answering it took, if that may be much. */
void hub_answered(hub *h, const struct hub_request *request, size_t bytes, uint64_t now);
/* hub_edit on behalf of its user.  It is the hub's until `done`, which gets SYN_ELIMIT where a
 * limit of the server is in the way; fn keeps to hub_most_events() itself, and sets the limit. */
void hub_edit_for(hub *h, syn_str document, bool create, hub_edit_fn fn, hub_done_fn done,
                  void *user, struct hub_request *request, uint64_t now);
uint64_t hub_most_events(const hub *h, syn_str document);

/* ---- Looking, for those who may (hub_look.c) ------------------------------------------------- */

/* Heads of a document that stands in memory and on the disk at exactly this log position of the
 * store; how many, at most cap; 0: it does not. */
uint32_t hub_heads(hub *h, syn_str document, uint32_t end, syn_id *out, uint32_t cap);

struct hub_conn_info {
    uint64_t id;
    syn_str user; /* "" before sign-in */
    uint64_t since_ms;
    uint32_t channels;
    size_t queued_bytes;
};
/* The newest first, until the visitor returns false. */
void hub_each_connection(const hub *h, uint64_t now,
                         bool (*visit)(void *user, const struct hub_conn_info *info), void *user);

struct hub_room_info {
    uint64_t heads, channels, memory_bytes, tail_rows, presences;
};
/* false: the document is not in memory. */
bool hub_inspect(hub *h, syn_str document, struct hub_room_info *out);

/* Ends the connection of that number, or all of a user (id 0); how many.  They may come again. */
uint32_t hub_kick(hub *h, uint64_t id, syn_str user, uint64_t now);

/* What a user has spent.  false: nobody of that name has been here lately. */
struct hub_user_info {
    uint32_t connections, creates; /* creates: in this hour */
    uint32_t wait_ms;              /* until credit is given again; 0: it is */
    enum limit limit;              /* that it waits for; LIM_NONE */
};
bool hub_user(hub *h, syn_str user, struct hub_user_info *out, uint64_t now);

/* What the readers and documents weigh now.  Walks all of them. */
struct hub_load {
    uint64_t document_bytes; /* memory of the loaded ones */
    uint64_t queued_bytes;   /* control frames of connections that do not read */
    uint64_t lagging;        /* channels whose cursor is behind what is on the disk */
    uint64_t lag_events, lag_events_max;
};
void hub_read_load(const hub *h, struct hub_load *out);

#define HUB_CODES 32 /* refusals of codes that have no number below count as the last */

struct hub_stats {
    uint64_t connections, connections_total, channels, rooms;
    uint64_t frames_in, frames_out, bytes_in, bytes_out;
    uint64_t events_in, duplicates, nacks, turns, failed_turns, held;
    uint64_t refused[HUB_CODES]; /* connections, channels and changes, by code */
    uint64_t limited[LIM_COUNT]; /* those of them that a limit was the reason for */
    uint64_t slowed[LIM_COUNT];  /* times that credit was kept back */
    uint64_t opening;            /* rooms whose document is being read */
    uint64_t jobs, jobs_total, job_us_total, job_us_max; /* off the loop: now, ended, their time */
    uint64_t trims, forgotten;                           /* documents that nobody used */
    bool read_only;
};
void hub_read_stats(const hub *h, struct hub_stats *out);

#ifdef __cplusplus
}
#endif
#endif
