/* ws_server.h -- WebSockets and HTTP on one port, on a libev loop; knows nothing of documents.
 *
 * The only file of the server that includes libwebsockets is ws_server.c. */
#ifndef SYN_WS_SERVER_H
#define SYN_WS_SERVER_H

#include "syncline_bytes.h"

struct ev_loop;
typedef struct ws_server ws_server;
typedef struct ws_link ws_link; /* one WebSocket */

enum ws_fault {
    WS_TEXT_MESSAGE,
    WS_TOO_LONG,
    WS_NO_MEMORY,
    WS_UNFINISHED /* messages that were begun take too much, all together */
};

/* ---- HTTP */

enum http_method { HTTP_GET, HTTP_POST, HTTP_DELETE, HTTP_OTHER };

struct http_request { /* borrowed for the call */
    enum http_method method;
    const char *path;  /* decoded, without the query */
    const char *query; /* decoded "name=value" each with its NUL; an empty one ends them */
    const char *authorization, *type, *accept, *if_match, *if_none_match, *last_event_id;
    syn_str body;
    bool unread; /* there is a body that max_body did not let in */
};

struct http_answer {
    int status;
    const char *type;
    char *body; /* from malloc; taken over */
    size_t len;
    char etag[240];    /* "": none */
    uint32_t retry_ms; /* of 429 and 503; 0: 2 s */
};

/* A request whose answer may come later, from the thread that was asked.  It outlives its
 * connection, so whoever has it answers in any case, exactly once. */
typedef struct http_reply http_reply;
void http_reply_send(http_reply *reply, const struct http_answer *answer);

/* An answer without an end.  `more` adds to *out whenever the connection can take it (nothing: it
 * sleeps until http_reply_wake), and false ends the connection.  `gone` is the last call. */
struct http_stream {
    const char *type;
    void *user;
    bool (*more)(void *user, syn_buf *out);
    void (*gone)(void *user);
};
/* false: the connection is gone already; the reply is given up, and `gone` is not called. */
bool http_reply_stream(http_reply *reply, const struct http_stream *stream);
void http_reply_wake(http_reply *reply);

/* Behind a reply stands a connection of this loop, or a messenger to another one. */
struct http_reply {
    void (*send)(http_reply *reply, const struct http_answer *answer);
    bool (*stream)(http_reply *reply, const struct http_stream *stream);
    void (*wake)(http_reply *reply);
};

struct ws_events {
    void *user;
    /* What the link (a ws_link, or one of loops.h) is to be known as; NULL: refuse it. */
    void *(*connected)(void *user, void *link);
    void (*disconnected)(void *user, void *conn);
    void (*message)(void *user, void *conn, const void *bytes, size_t len);
    size_t (*max_message)(void *user, void *conn);
    void (*fault)(void *user, void *conn, enum ws_fault fault);
    void (*writable)(void *user, void *conn);
    /* Bytes of body that this request may bring; 0: `asked` comes at once, and refuses it. */
    size_t (*max_body)(void *user, const struct http_request *request);
    /* A path that is no file. */
    void (*asked)(void *user, const struct http_request *request, http_reply *reply);
};

struct ws_options {
    int fd;              /* listens, and is taken over (ws_listen.h) */
    struct gate *gate;   /* borrowed; NULL: everybody is let in */
    uint32_t share;      /* of the bounds for HTTP: this is one of so many servers; 0 is 1 */
    const char *web;     /* folder for what `asked` does not answer; NULL: none */
    bool local_names;    /* only requests that name this machine as localhost or by an address */
    const char *origins; /* of pages that may come in, separated by commas; NULL: of this host */
    const char *tls_cert, *tls_key; /* PEM files: TLS only, no plain connection; NULL: no TLS */
};

/* SYN_EMISUSE: no such certificate or key.  detail: 256 bytes. */
syn_err ws_server_new(ws_server **out, struct ev_loop *loop, const struct ws_options *options,
                      const struct ws_events *events, char *detail);
/* Reads certificate and key again: new connections get them, open ones stay as they are.
 * SYN_EMISUSE: they are not good, and the old ones stay in use. */
syn_err ws_server_reload(ws_server *server, char *detail);
/* Answers of HTTP by the first digit of their status. */
void ws_server_answers(const ws_server *server, uint64_t out[6]);
/* No new connections from now on. */
void ws_server_stop_listening(ws_server *server);
void ws_server_free(ws_server *server); /* NULL is fine */

/* One message; copied or sent before it returns.  false: nothing more until `writable`. */
bool ws_send(ws_link *link, syn_str head, syn_str body);
/* Sends what was taken, then closes; `disconnected` follows. */
void ws_close(ws_link *link, unsigned status, const char *reason);
/* It will be closed as soon as it is writable: nothing more is received, and it has 5 s for that.
 */
void ws_hurry(ws_link *link);

#endif
