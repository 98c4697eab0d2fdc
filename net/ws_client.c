/* ws_client.c -- see ws_client.h.
 *
 * Waiting messages lie one behind the other in one buffer, each behind its length; what was written
 * is cut off at the front when the buffer runs empty.  A message that arrives in pieces is gathered
 * in another, up to the largest frame of the protocol (libwebsockets has no limit of its own).
 *
 * Its own timers are off (a zeroed retry policy): pings are the protocol's.  permessage-deflate is
 * off: Packed does it better, and 4.1.6 can be aborted through it. */
#include "ws_client.h"
#include "proto_limits.h"
#include "syncline_bytes.h"
#include "ws_tls.h"

#include <assert.h>
#include <ev.h>
#include <libwebsockets.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define PROTOCOL  "syncline.v1"
#define MAX_QUEUE (256u * 1024u)
#define RX_BUFFER 16384
#define REASON    160u
#define MAX_HOST  256u
#define CONNECT_S 15

enum ws_state { WS_IDLE, WS_CONNECTING, WS_OPEN };

struct ws_client {
    struct ev_loop *loop;
    struct lws_context *context;
    struct lws *wsi;
    struct ws_client_port port;
    struct lws_protocols protocols[2];
    char host[MAX_HOST], path[1024];
    int port_number;
    bool tls;
    void *ssl_context; /* NULL without TLS */
    enum ws_state state;
    bool closing, killed, freeing, in_connect;
    char reason[REASON];
    bool failed; /* ended inside connect: told by `later` */
    ev_timer later;
    syn_buf queue;
    size_t queue_at;
    syn_buf message, scratch;
};

/* ---- The address ----------------------------------------------------------------------------- */

static syn_err bad_url(char *detail, const char *why)
{
    if (detail != NULL) snprintf(detail, 256, "%s; wanted is ws://HOST:PORT", why);
    return SYN_EMISUSE;
}

static const char *parse_scheme(ws_client *ws, const char *url)
{
    ws->tls = strncmp(url, "wss://", 6) == 0;
    ws->port_number = ws->tls ? 443 : 80;
    if (ws->tls) return url + 6;
    return strncmp(url, "ws://", 5) == 0 ? url + 5 : NULL;
}

static syn_err parse_url(ws_client *ws, const char *url, char *detail)
{
    const char *at = parse_scheme(ws, url);
    if (at == NULL) return bad_url(detail, "the address begins with neither ws:// nor wss://");
    bool bracket = *at == '[';
    if (bracket) at++;
    size_t len = strcspn(at, bracket ? "]" : ":/?");
    if (len == 0 || len >= sizeof ws->host) return bad_url(detail, "no host in the address");
    memcpy(ws->host, at, len);
    at += len;
    if (bracket && *at++ != ']') return bad_url(detail, "a bracket is missing in the address");
    if (*at == ':') {
        char *end;
        long port = strtol(at + 1, &end, 10);
        if (end == at + 1 || port < 1 || port > 65535) return bad_url(detail, "not a port");
        ws->port_number = (int)port;
        at = end;
    }
    if (*at != '\0' && *at != '/' && *at != '?') return bad_url(detail, "not an address");
    if (strlen(at) + 2 > sizeof ws->path) return bad_url(detail, "the address is too long");
    snprintf(ws->path, sizeof ws->path, "%s%s", *at == '/' ? "" : "/", at);
    return SYN_OK;
}

/* ---- The end of a connection ----------------------------------------------------------------- */

static void set_reason(ws_client *ws, const char *reason, size_t len)
{
    if (ws->reason[0] != '\0') return; /* the first one is the cause */
    if (len >= sizeof ws->reason) len = sizeof ws->reason - 1;
    memcpy(ws->reason, reason, len);
    ws->reason[len] = '\0';
}

static void ended(ws_client *ws)
{
    if (ws->state == WS_IDLE) return;
    ws->state = WS_IDLE;
    ws->wsi = NULL;
    ws->queue.len = ws->queue_at = ws->message.len = 0;
    if (ws->freeing) return;
    if (ws->in_connect) {
        ws->failed = true;
        ev_timer_start(ws->loop, &ws->later);
        return;
    }
    ws->port.closed(ws->port.user, ws->reason);
}

static void on_later(struct ev_loop *loop, ev_timer *timer, int events)
{
    ws_client *ws = timer->data;
    (void)loop;
    (void)events;
    if (!ws->failed) return;
    ws->failed = false;
    ws->port.closed(ws->port.user, ws->reason);
}

/* ---- Writing --------------------------------------------------------------------------------- */

bool ws_client_send(ws_client *ws, syn_str message)
{
    uint32_t len = (uint32_t)message.len;
    if (ws->state != WS_OPEN || ws->closing) return true;
    if (ws->queue_at > ws->queue.len / 2) { /* during a long upload it is never empty */
        ws->queue.len -= ws->queue_at;
        memmove(ws->queue.data, ws->queue.data + ws->queue_at, ws->queue.len);
        ws->queue_at = 0;
    }
    size_t before = ws->queue.len;
    if (syn_buf_append(&ws->queue, &len, sizeof len) ||
        syn_buf_append(&ws->queue, message.data, message.len)) {
        ws->queue.len = before;
        ws_client_close(ws, "out of memory");
        return false;
    }
    return ws->queue.len - ws->queue_at < MAX_QUEUE;
}

/* libwebsockets writes its header in front of the payload: from a copy with room for it. */
static bool write_one(ws_client *ws)
{
    static const char room[LWS_PRE];
    uint32_t len;
    memcpy(&len, ws->queue.data + ws->queue_at, sizeof len);
    ws->scratch.len = 0;
    if (syn_buf_append(&ws->scratch, room, sizeof room) ||
        syn_buf_append(&ws->scratch, ws->queue.data + ws->queue_at + sizeof len, len))
        return false;
    ws->queue_at += sizeof len + len;
    unsigned char *payload = (unsigned char *)ws->scratch.data + LWS_PRE;
    return lws_write(ws->wsi, payload, len, LWS_WRITE_BINARY) >= (int)len;
}

static int on_writable(ws_client *ws)
{
    bool was_full = ws->queue.len - ws->queue_at >= MAX_QUEUE;
    while (ws->queue_at < ws->queue.len && !lws_partial_buffered(ws->wsi))
        if (!write_one(ws)) return -1;
    if (ws->queue_at < ws->queue.len)
        lws_callback_on_writable(ws->wsi);
    else
        ws->queue.len = ws->queue_at = 0;
    bool full = ws->queue.len - ws->queue_at >= MAX_QUEUE;
    if (was_full && !full) ws->port.writable(ws->port.user);
    return 0;
}

/* ---- Reading --------------------------------------------------------------------------------- */

static int protocol_error(ws_client *ws, const char *reason)
{
    set_reason(ws, reason, strlen(reason));
    return -1;
}

static int on_receive(ws_client *ws, const void *bytes, size_t len)
{
    if (ws->closing) return -1;
    if (!lws_frame_is_binary(ws->wsi)) return protocol_error(ws, "the server sent text");
    if (ws->message.len + len > LIMIT_FRAME_BYTES)
        return protocol_error(ws, "the server sent a frame above the limit");
    bool last = lws_is_final_fragment(ws->wsi) && lws_remaining_packet_payload(ws->wsi) == 0;
    if (last && ws->message.len == 0) { /* the usual: in one piece */
        ws->port.message(ws->port.user, bytes, len);
        return ws->closing ? -1 : 0;
    }
    if (syn_buf_append(&ws->message, bytes, len)) return protocol_error(ws, "out of memory");
    if (!last) return 0;
    ws->port.message(ws->port.user, ws->message.data, ws->message.len);
    ws->message.len = 0;
    return ws->closing ? -1 : 0;
}

static void on_opened(ws_client *ws, struct lws *wsi)
{
    ws->wsi = wsi;
    ws->state = WS_OPEN;
    if (ws->closing)
        lws_set_timeout(wsi, PENDING_TIMEOUT_USER_OK, LWS_TO_KILL_ASYNC);
    else
        ws->port.opened(ws->port.user);
}

static int on_event(struct lws *wsi, enum lws_callback_reasons reason, void *user, void *in,
                    size_t len)
{
    ws_client *ws = lws_context_user(lws_get_context(wsi));
    (void)user;
    switch (reason) {
    case LWS_CALLBACK_CLIENT_CONNECTION_ERROR:
        if (in != NULL)
            set_reason(ws, in, strnlen(in, len));
        else
            set_reason(ws, "no connection", strlen("no connection"));
        ended(ws);
        return 0;
    case LWS_CALLBACK_CLIENT_ESTABLISHED:
        on_opened(ws, wsi);
        return 0;
    case LWS_CALLBACK_CLIENT_RECEIVE:
        return on_receive(ws, in, len);
    case LWS_CALLBACK_CLIENT_WRITEABLE:
        return ws->closing ? -1 : on_writable(ws);
    case LWS_CALLBACK_CLIENT_CLOSED:
    case LWS_CALLBACK_WSI_DESTROY:
        if (wsi != ws->wsi) return 0;
        set_reason(ws, "the connection ended", strlen("the connection ended"));
        ended(ws);
        return 0;
    default:
        return 0;
    }
}

/* ---- Life ------------------------------------------------------------------------------------ */

static syn_err create_context(ws_client *ws)
{
    static const lws_retry_bo_t no_timers = {0};
    struct lws_context_creation_info info;
    void *loops[1] = {ws->loop};
    memset(&info, 0, sizeof info);
    ws->protocols[0] = (struct lws_protocols){.name = PROTOCOL,
                                              .callback = on_event,
                                              .rx_buffer_size = RX_BUFFER,
                                              .tx_packet_size = 65600};
    info.port = CONTEXT_PORT_NO_LISTEN;
    info.protocols = ws->protocols;
    info.options = LWS_SERVER_OPTION_LIBEV;
    if (ws->tls) {
        info.options |= LWS_SERVER_OPTION_DO_SSL_GLOBAL_INIT;
        info.provided_client_ssl_ctx = ws->ssl_context;
    }
    info.foreign_loops = loops;
    info.user = ws;
    info.retry_and_idle_policy = &no_timers;
    info.timeout_secs = CONNECT_S;
    info.fd_limit_per_thread = 16;
    ws->context = lws_create_context(&info);
    return ws->context != NULL ? SYN_OK : SYN_EIO;
}

syn_err ws_client_new(ws_client **out, struct ev_loop *loop, const char *url, const char *ca,
                      const struct ws_client_port *port, char *detail)
{
    ws_client *ws = calloc(1, sizeof *ws);
    if (ws == NULL) return SYN_ENOMEM;
    ws->loop = loop;
    ws->port = *port;
    ev_timer_init(&ws->later, on_later, 0., 0.);
    ws->later.data = ws;
    syn_err err = parse_url(ws, url, detail);
    lws_set_log_level(0, NULL);
    if (!err && ws->tls) err = ws_tls_client_new(&ws->ssl_context, ca, detail);
    if (!err) err = create_context(ws);
    if (err) {
        ws_tls_client_free(ws->ssl_context);
        free(ws);
        return err;
    }
    *out = ws;
    return SYN_OK;
}

void ws_client_free(ws_client *ws)
{
    if (ws == NULL) return;
    ws->freeing = true;
    ev_timer_stop(ws->loop, &ws->later);
    lws_context_destroy(ws->context);
    ws_tls_client_free(ws->ssl_context);
    syn_buf_free(&ws->queue);
    syn_buf_free(&ws->message);
    syn_buf_free(&ws->scratch);
    free(ws);
}

void ws_client_connect(ws_client *ws)
{
    struct lws_client_connect_info info;
    assert(ws->state == WS_IDLE);
    memset(&info, 0, sizeof info);
    info.context = ws->context;
    info.address = info.host = info.origin = ws->host;
    info.port = ws->port_number;
    info.path = ws->path;
    info.protocol = info.local_protocol_name = PROTOCOL;
    info.ssl_connection = ws->tls ? LCCSCF_USE_SSL : 0;
    info.alpn = "http/1.1";
    info.pwsi = &ws->wsi;
    ws->state = WS_CONNECTING;
    ws->closing = ws->killed = false;
    ws->reason[0] = '\0';
    ws->in_connect = true;
    if (lws_client_connect_via_info(&info) == NULL) {
        set_reason(ws, "no connection", strlen("no connection"));
        ended(ws);
    }
    ws->in_connect = false;
}

void ws_client_close(ws_client *ws, const char *reason)
{
    if (ws->state == WS_IDLE || ws->closing) return;
    ws->closing = true;
    set_reason(ws, reason, strlen(reason));
}

void ws_client_pause(ws_client *ws, bool pause)
{
    if (ws->state == WS_OPEN && !ws->closing) (void)lws_rx_flow_control(ws->wsi, pause ? 0 : 1);
}

void ws_client_flush(ws_client *ws)
{
    if (ws->wsi == NULL || ws->state == WS_IDLE) return;
    if (ws->closing && !ws->killed) {
        ws->killed = true;
        lws_set_timeout(ws->wsi, PENDING_TIMEOUT_USER_OK, LWS_TO_KILL_ASYNC);
        /* Timers are looked at only after some event of a socket: make one. */
        if (ws->state == WS_OPEN) lws_callback_on_writable(ws->wsi);
    } else if (ws->state == WS_OPEN && ws->queue_at < ws->queue.len) {
        lws_callback_on_writable(ws->wsi);
    }
}
