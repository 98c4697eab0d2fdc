/* syncline_server.h -- a collaboration server inside your program, or `syncline serve`.
 *
 * Durable, then visible: nothing leaves the server that is not on its disk.  The server runs on a
 * thread of its own (loop NULL) or on the host's libev loop.  Hooks run on that thread, never in
 * the middle of a change, with borrowed views. */
#ifndef SYNCLINE_SERVER_H
#define SYNCLINE_SERVER_H

#include "syncline.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct syn_server syn_server;
typedef struct syn_auth_request syn_auth_request;

enum {
    SYN_MAY_READ = 1,
    SYN_MAY_WRITE = 2,
    SYN_MAY_CREATE = 4,
    SYN_MAY_RELAY = 8,
    SYN_MAY_LIST = 16, /* the last two are of the server, asked for with an empty name */
    SYN_MAY_ADMIN = 32
};

typedef struct {
    uint32_t size;      /* = sizeof(syn_server_config) */
    const char *listen; /* "HOST:PORT"; NULL: "127.0.0.1:7700".  Port 0: any free one */
    const char *data;   /* SQLite file; NULL: memory only (nothing survives, for tests) */
    const char *web;    /* folder served over HTTP; NULL: none */
    const char *secret; /* shared secret that Hello.token must equal; NULL: none */
    const char *keys;   /* file with the JWK Set that signs tokens (jwt.h, README); NULL: none */
    const char *issuer, *audience; /* that tokens must name; NULL: any */
    bool insecure;                 /* listen beyond loopback without secret, keys or authenticate */
    /* Pages of which origins may connect, separated by commas, like "https://app.example"; NULL:
     * those of the server's own host.  Others are refused before the upgrade. */
    const char *origins;
    /* permessage-deflate, and WebSocket over HTTP/2.  SYN_EMISUSE and the reason in `detail` where
     * the libwebsockets in use cannot do it safely: today that is every one. */
    bool deflate, http2;
    const char *limits; /* "NAME=VALUE,...", see `syncline serve --limits`; NULL: the defaults */
    bool log_json;
    const char *tls_cert, *tls_key; /* PEM files: wss:// and https:// only; NULL: no TLS */
    void *loop;                     /* struct ev_loop *; NULL: own thread */
    /* 0 or 1: sockets are on that loop, too.  2 to 16: on so many threads beside it, each with a
     * loop and a listening socket of its own; hooks and documents stay where they are. */
    uint32_t loops;
    const char *vfs; /* SQLite VFS for the data file; NULL: default */
    uint64_t seed;   /* 0: from the system; tests give one to repeat a run */
    void *user;      /* for the hooks */
    /* Sign-in: who is it?  Answer with syn_auth_accept or syn_auth_refuse, now or later, from any
     * thread. NULL: secret and keys decide, or everyone is "anonymous". */
    void (*authenticate)(void *user, syn_auth_request *request, syn_str token);
    /* Rights of a user on a document: bits SYN_MAY_*.  NULL: what the user's token says, and who
     * has none may read, write and create. */
    uint32_t (*authorise)(void *user, syn_str who, syn_str document);
    /* A document got new events, and they are on disk: look at `doc` (read only) during the call.
     * In a busy document it may hold still newer ones, which are on their way there. */
    void (*changed)(void *user, syn_str document, const syn_doc *doc);
    void (*deleted)(void *user, syn_str document); /* ... was deleted, also on the disk */
    void (*log)(void *user, const char *line);     /* NULL: stderr */
} syn_server_config;
#define SYN_SERVER_CONFIG_INIT                                                                     \
    {                                                                                              \
        .size = sizeof(syn_server_config)                                                          \
    }

/* Opens the file, listens, serves.  detail (256 bytes, may be NULL) says why not.
 * SYN_EBUSY: the address or the file is in use.  SYN_EDENIED: beyond loopback without sign-in and
 * without insecure.  SYN_EMISUSE: listen address, certificate or keys.  Others as store_open. */
SYN_EXPORT syn_err syn_server_start(syn_server **out, const syn_server_config *config,
                                    char *detail);
SYN_EXPORT uint16_t syn_server_port(const syn_server *server);
/* Reads certificate, key and the JWK Set again, as after their renewal, from any thread: new
 * connections get them, open ones stay.  If they are no good the log says why and the old ones stay
 * in use. */
SYN_EXPORT void syn_server_reload(syn_server *server);
/* Graceful: refuses new connections, commits and acknowledges what came in, says goodbye
 * (GOING_AWAY), waits at most timeout_ms for clients to leave, frees everything.  Call from outside
 * the server's thread (own thread), or from the loop (config.loop; then it returns when drained).
 */
SYN_EXPORT void syn_server_stop(syn_server *server, uint32_t timeout_ms);

SYN_EXPORT void syn_auth_accept(syn_auth_request *request, syn_str user, uint32_t expires_ms);
SYN_EXPORT void syn_auth_refuse(syn_auth_request *request, syn_str reason);

/* From any thread: runs fn on the server's thread with the document (opened, NULL if it is not
 * there) and gives it back; edits made in fn (transactions of the server's own peer) are committed,
 * and `done` is called when they are durable.  create: make the document if fn edits one that is
 * not there. */
SYN_EXPORT syn_err syn_server_edit(syn_server *server, syn_str document, bool create,
                                   syn_err (*fn)(void *user, syn_doc *doc),
                                   void (*done)(void *user, syn_err err), void *user);
SYN_EXPORT syn_err syn_server_delete(syn_server *server, syn_str document,
                                     void (*done)(void *user, syn_err err), void *user);

/* ---- Following all documents: webhooks, a search index, a copy elsewhere ------------------------
 * A reader is a cursor.  He learns that something is new from the hooks `changed` and `deleted`,
 * reads from his cursor on a thread of his own, and keeps the cursor when he has done what he does:
 * whatever happens in between, he meets it again.  All four: any thread; SYN_EMISUSE on a server
 * without a data file; SYN_EIO, SYN_EFULL, SYN_ENOMEM. */

typedef struct {
    int64_t commit, deletion; /* both only grow; {0, 0}: from the beginning */
} syn_feed_cursor;
typedef struct {
    syn_feed_cursor at; /* go on from here */
    syn_str document;   /* borrowed for the call */
    bool deleted;       /* else it got the events at [from, end) of its log */
    uint32_t from, end;
} syn_feed_entry;

/* All that is on the disk and newer than `after`, deletions first: a document that follows under a
 * name that was deleted is a new one.  Older changes may have been joined into one entry.  The
 * visitor's non-zero return stops the walk and is returned. */
SYN_EXPORT syn_err syn_server_feed(syn_server *server, syn_feed_cursor after,
                                   syn_err (*visit)(void *user, const syn_feed_entry *entry),
                                   void *user);
SYN_EXPORT syn_err syn_server_feed_end(syn_server *server, syn_feed_cursor *out);
/* A reader's cursor, kept in the data file: on the disk when it returns.  name: 1 to 200 bytes,
 * another for each reader.  SYN_ENOTFOUND: none was kept. */
SYN_EXPORT syn_err syn_server_keep_cursor(syn_server *server, syn_str name, syn_feed_cursor at);
SYN_EXPORT syn_err syn_server_kept_cursor(syn_server *server, syn_str name, syn_feed_cursor *out);

#ifdef __cplusplus
}
#endif
#endif
