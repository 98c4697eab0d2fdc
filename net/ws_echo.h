/* ws_echo.h -- the path /echo: answers the text message `X` with `Hello, X!`.
 *
 * For people who try a first WebSocket client against a server with --web; it touches no document.
 * /echo?exact answers every message, text or binary, with itself: for tests of conformance.
 * One answer at a time: while one waits to be sent, nothing more is read. */
#ifndef SYN_WS_ECHO_H
#define SYN_WS_ECHO_H

#include <stdbool.h>
#include <stddef.h>

struct lws;

enum {
    ECHO_MOST = 1024,        /* bytes of a message */
    ECHO_EXACT_MOST = 65536, /* ... of an exact one */
    ECHO_IDLE_S = 60,        /* without a message the connection ends */
};

struct ws_echo {
    char *answer; /* room for libwebsockets' header, "Hello, ", a message and "!" */
    size_t len;   /* of the message, gathered so far */
    bool exact, binary, whole;
    size_t cap; /* for messages, of what `answer` holds */
    unsigned close_status;
};

void ws_echo_begin(struct ws_echo *echo, struct lws *wsi);
void ws_echo_receive(struct ws_echo *echo, struct lws *wsi, const void *bytes, size_t len);
/* -1: close the connection. */
int ws_echo_writable(struct ws_echo *echo, struct lws *wsi);
void ws_echo_end(struct ws_echo *echo);

#endif
