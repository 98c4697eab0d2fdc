/* ws_client.h -- one WebSocket to a server, on a libev loop; the only client file that knows
 * libwebsockets is ws_client.c. */
#ifndef SYN_WS_CLIENT_H
#define SYN_WS_CLIENT_H

#include "syncline.h"

#ifdef __cplusplus
extern "C" {
#endif

struct ev_loop;
typedef struct ws_client ws_client;

/* Called on the loop.  After ws_client_connect() came either opened, messages, closed; or closed
 * alone; closed once, and never from inside ws_client_connect() or ws_client_close(). */
struct ws_client_port {
    void *user;
    void (*opened)(void *user);
    void (*message)(void *user, const void *bytes, size_t len);
    void (*writable)(void *user); /* after ws_client_send() said false */
    void (*closed)(void *user, const char *reason);
};

/* url: ws://HOST[:PORT][/PATH] or wss://...; HOST may be an IPv6 address in brackets.
 * SYN_EMISUSE: it is not; detail (256 bytes, may be NULL) says why. */
/* ca: PEM file of the authorities that a wss server's certificate must come from; NULL: the
 * system's. */
syn_err ws_client_new(ws_client **out, struct ev_loop *loop, const char *url, const char *ca,
                      const struct ws_client_port *port, char *detail);
void ws_client_free(ws_client *ws); /* nothing is called any more; NULL is fine */
/* Nothing may be open. */
void ws_client_connect(ws_client *ws);
void ws_client_close(ws_client *ws, const char *reason);
/* One binary message, copied.  false: taken, but nothing more until writable. */
bool ws_client_send(ws_client *ws, syn_str message);
/* Stops and goes on reading: a reader that has something else to do, for tests and load.  Ends with
 * the connection. */
void ws_client_pause(ws_client *ws, bool pause);
/* Sending and closing only take note; this, on the loop's own thread, sets them going. */
void ws_client_flush(ws_client *ws);

#ifdef __cplusplus
}
#endif
#endif
