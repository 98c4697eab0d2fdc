/* ws_http.h -- requests of HTTP on the connections of ws_server.c: reading a body within a bound,
 * answering now or later, streams.  Like it, part of what includes libwebsockets. */
#ifndef SYN_WS_HTTP_H
#define SYN_WS_HTTP_H

#include "ws_server.h"

struct lws;

struct ws_requests { /* of one server */
    const struct ws_events *events;
    uint32_t share;      /* so many servers share the bounds of bodies and answers */
    size_t body_bytes;   /* of all bodies that are being read */
    size_t answer_bytes; /* of all answers that are being written */
    uint64_t answers[6]; /* by the first digit of their status */
};

struct ws_http { /* of one connection; all zero: no request */
    struct lws *wsi;
    struct ws_requests *all;
    struct http_kept *kept; /* the request while its body comes */
    char *body;             /* the request's, then the answer's */
    size_t len, at, expected;
    struct ws_reply *reply; /* asked, and not answered yet; or a stream */
    bool unread;            /* part of the body still comes: the connection cannot be used again */
    bool answered;          /* the headers are out, and the body follows */
    bool deaf;
    bool narrow;         /* a spare seat: one answer, then it ends */
    bool linger, failed; /* linger: answered, the rest is dropped for a while */
    uint64_t until;      /* the body must be here, the answer gone, or lingering ends; ms */
};

/* What libwebsockets tells of a request; each returns what its callback returns. */
enum ws_entry {
    WS_ALLOWED,
    WS_FORBIDDEN,
    WS_TOO_FAST,
    WS_SPARE /* the server is full: to look at it alone */
};
int ws_http_begin(struct ws_http *http, struct lws *wsi, struct ws_requests *all,
                  enum ws_entry entry);
/* May this be asked where there is no room for anything else? */
bool ws_http_looks(struct lws *wsi);
int ws_http_body(struct ws_http *http, const void *bytes, size_t len);
int ws_http_complete(struct ws_http *http);
int ws_http_writable(struct ws_http *http);
void ws_http_end(struct ws_http *http);

/* A JSON object {"code", "detail"}; neither text may need escapes. */
void http_error(struct http_answer *out, int status, const char *code, const char *detail);

#endif
