/* ws_handshake.h -- which requests become WebSockets, and which closes are proper ones. */
#ifndef SYN_WS_HANDSHAKE_H
#define SYN_WS_HANDSHAKE_H

#include <stdbool.h>
#include <stddef.h>

struct lws;

#define WS_PROTOCOL "syncline.v1"

struct ws_rules {
    bool local_names;    /* on loopback without sign-in: only by names of this machine */
    bool echo;           /* /echo is there, which speaks without a subprotocol */
    const char *origins; /* pages that may come, separated by commas; NULL: of our own host */
};

/* What the library in use may be trusted with; false: not with this, *detail (256 bytes) says why.
 */
bool ws_can(bool deflate, bool http2, char *detail);

/* A page of another site must not use whom it can reach through its visitor: the page's own host
 * has to be ours, or its origin in the list.  Programs send no origin. */
bool ws_host_allowed(const struct ws_rules *rules, struct lws *wsi);

/* No blank stands before or behind the name of a header that says how long a body is: a proxy in
 * front might read it where we do not, and see other requests than we do. */
bool ws_framing_plain(struct lws *wsi);

/* For libwebsockets' callbacks: 0, or what they return once the request was answered. */
int ws_confirm_upgrade(const struct ws_rules *rules, struct lws *wsi); /* HTTP_CONFIRM_UPGRADE */
int ws_filter_upgrade(const struct ws_rules *rules, struct lws *wsi);  /* of WS_PROTOCOL */
int ws_filter_plain(const struct ws_rules *rules, struct lws *wsi);    /* of no protocol */

/* 503, with a time to come again. */
int ws_refuse_busy(struct lws *wsi);

/* WS_PEER_INITIATED_CLOSE: a code that nobody may send, half a code, or a reason that is not UTF-8
 * is answered by a code of ours. */
int ws_check_close(struct lws *wsi, const void *bytes, size_t len);

#endif
