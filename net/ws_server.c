/* ws_server.c -- libwebsockets 4.1.6 as it can be trusted.
 *
 * What it does not do by default, and what is done about it here:
 *   - its poll loop is slow: a foreign libev loop, and our own listening socket, whose connections
 *     it adopts (it then also cannot mask why binding failed)
 *   - a write is cut at rx_buffer_size and waits for POLLOUT: tx_packet_size
 *   - its timers cost 120 us a connection: a zeroed retry policy; pings are the hub's
 *   - on libev it looks at its deadlines only when a socket is ready, and 5 s are 30 s on a quiet
 *     loop: it is woken once a second
 *   - CONNECT makes a raw socket without any deadline: refused
 *   - it upgrades nearly any request, and takes text: ws_handshake.h; text is refused here
 *   - it has no limit for a message, and splits messages anywhere: gathered and bounded here
 *   - permessage-deflate can be aborted by a peer, HTTP/2 has faults: both off
 *   - of a bad certificate it says nothing, and renews badly: ws_tls.h */
#include "ws_server.h"

#include "copy.h"
#include "gate.h"
#include "proto_limits.h"
#include "ws_echo.h"
#include "ws_files.h"
#include "ws_handshake.h"
#include "ws_http.h"
#include "ws_progress.h"
#include "ws_tls.h"

#include <errno.h>
#include <ev.h>
#include <fcntl.h>
#include <libwebsockets.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define WAKE_S 1.0

struct ws_link { /* libwebsockets' per-session memory of the WebSocket protocol */
    struct lws *wsi;
    ws_server *server;
    void *conn;
    char *message; /* gathered so far */
    size_t len, cap;
    bool skipping; /* refused: the rest of what comes is dropped */
    unsigned close_status;
    char reason[64];
};

struct http_session { /* a request, or the WebSocket of /echo */
    struct ws_http http;
    struct ws_echo echo;
};

struct guest {       /* libwebsockets' opaque data of a connection */
    gate_seat *seat; /* NULL: there is no gate */
    struct ws_progress progress;
};

struct ws_server {
    struct ev_loop *loop;
    struct lws_context *context;
    struct lws_vhost *vhost;
    struct ws_events events;
    struct ws_requests requests;
    bool listening;
    struct ws_rules rules;
    char *origins; /* of the rules; ours to free */
    char web[512], cert[512], key[512];
    ws_tls *tls; /* NULL: none */
    gate *gate;  /* NULL: none */
    int fd;
    ev_io accepting;
    ev_timer again;  /* after accept failed for want of descriptors */
    ev_timer waking; /* libwebsockets looks at its deadlines */
    struct lws_http_mount mount;
    struct lws_protocols protocols[3];
    char *scratch; /* LWS_PRE, then one message */
    size_t scratch_cap;
};

#define SPARE_S 2 /* whoever has a spare seat is to ask at once */

/* ---- Accepting ------------------------------------------------------------------------------- */

static void prepare_socket(int fd)
{
    int one = 1, low = 16384, size = 65536;
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    setsockopt(fd, IPPROTO_TCP, TCP_NOTSENT_LOWAT, &low, sizeof low);
    setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &size, sizeof size); /* a stopped reader costs this */
}

/* Before a byte is read of it.  Over TLS nothing can be said yet. */
static void turn_away(const ws_server *server, int fd)
{
    static const char answer[] = "HTTP/1.1 503 Service Unavailable\r\nRetry-After: 2\r\n"
                                 "Content-Length: 0\r\nConnection: close\r\n\r\n";
    if (server->tls == NULL) (void)send(fd, answer, sizeof answer - 1, MSG_NOSIGNAL);
    shutdown(fd, SHUT_WR);
    close(fd);
}

static uint64_t now_ms(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000u + (uint64_t)now.tv_nsec / 1000000u;
}

/* false: there is no room for it, and it is closed. */
static bool take_seat(const ws_server *server, int fd, const struct sockaddr *from,
                      gate_seat **seat)
{
    enum limit limit;
    *seat = server->gate != NULL ? gate_enter(server->gate, from, now_ms(), &limit) : NULL;
    if (*seat != NULL || server->gate == NULL) return true;
    turn_away(server, fd);
    return false;
}

static bool is_spare(const ws_server *server, struct lws *wsi)
{
    const struct guest *guest = lws_get_opaque_user_data(wsi);
    return guest != NULL && guest->seat != NULL && gate_is_spare(server->gate, guest->seat);
}

/* libwebsockets closes the socket if it cannot take it. */
static void adopt(ws_server *server, int fd, gate_seat *seat)
{
    struct guest *guest = calloc(1, sizeof *guest);
    struct lws *wsi = guest != NULL ? lws_adopt_socket_vhost(server->vhost, fd) : NULL;
    if (guest == NULL) close(fd);
    if (wsi == NULL) {
        if (seat != NULL) gate_leave(server->gate, seat);
        free(guest);
        return;
    }
    guest->seat = seat;
    lws_set_opaque_user_data(wsi, guest);
    /* adopted sockets get 30 s by default, whatever timeout_secs says */
    int seconds = is_spare(server, wsi) ? SPARE_S : LIMIT_HANDSHAKE_MS / 1000;
    lws_set_timeout(wsi, PENDING_TIMEOUT_ESTABLISH_WITH_SERVER, seconds);
}

static void give_seat_back(ws_server *server, struct lws *wsi)
{
    struct guest *guest = lws_get_opaque_user_data(wsi);
    lws_set_opaque_user_data(wsi, NULL);
    if (guest != NULL && guest->seat != NULL) gate_leave(server->gate, guest->seat);
    free(guest);
}

static void accept_again(struct ev_loop *loop, ev_timer *timer, int events)
{
    ws_server *server = timer->data;
    (void)events;
    ev_timer_stop(loop, timer);
    if (server->listening) ev_io_start(loop, &server->accepting);
}

static void wake(struct ev_loop *loop, ev_timer *timer, int events)
{
    const ws_server *server = timer->data;
    (void)loop, (void)events;
    lws_cancel_service(server->context);
}

static void accept_ready(struct ev_loop *loop, ev_io *io, int events)
{
    ws_server *server = io->data;
    (void)events;
    for (int i = 0; i < 64; i++) { /* then others get a turn */
        struct sockaddr_storage from = {0};
        struct sockaddr *at = (struct sockaddr *)&from;
        socklen_t size = sizeof from;
        gate_seat *seat;
        int fd = accept4(server->fd, at, &size, SOCK_CLOEXEC | SOCK_NONBLOCK);
        if (fd < 0 && (errno == EMFILE || errno == ENFILE || errno == ENOMEM)) {
            ev_io_stop(loop, io); /* the backlog waits; asking again at once would spin */
            ev_timer_set(&server->again, 0.1, 0);
            ev_timer_start(loop, &server->again);
            return;
        }
        if (fd < 0) return;
        if (!take_seat(server, fd, at, &seat)) continue;
        prepare_socket(fd);
        adopt(server, fd, seat);
    }
}

/* ---- Messages -------------------------------------------------------------------------------- */

/* What it was allowed goes back, too. */
static void drop_message(ws_link *link)
{
    if (link->server->gate != NULL) gate_give(link->server->gate, link->cap);
    free(link->message);
    link->message = NULL;
    link->len = link->cap = 0;
}

static void give_up(ws_link *link, enum ws_fault fault)
{
    ws_server *server = link->server;
    drop_message(link);
    link->skipping = true;
    server->events.fault(server->events.user, link->conn, fault);
}

/* false: *fault says why not. */
static bool gather(ws_link *link, const void *bytes, size_t len, enum ws_fault *fault)
{
    if (link->cap - link->len < len) {
        size_t cap = link->cap != 0 ? link->cap * 2 : 512;
        while (cap < link->len + len) cap *= 2;
        gate *door = link->server->gate;
        *fault = WS_UNFINISHED;
        if (door != NULL && !gate_take(door, cap - link->cap)) return false;
        *fault = WS_NO_MEMORY;
        char *grown = realloc(link->message, cap);
        if (grown == NULL) {
            if (door != NULL) gate_give(door, cap - link->cap);
            return false;
        }
        link->message = grown;
        link->cap = cap;
    }
    if (len != 0) memcpy(link->message + link->len, bytes, len);
    link->len += len;
    return true;
}

static void finish_message(ws_link *link)
{
    ws_server *server = link->server;
    char *message = link->message;
    size_t len = link->len;
    link->len = 0;
    server->events.message(server->events.user, link->conn, message, len);
    if (link->cap > 4096) drop_message(link); /* idle connections hold nothing */
}

static void receive(ws_link *link, const void *bytes, size_t len)
{
    ws_server *server = link->server;
    bool whole =
        lws_is_final_fragment(link->wsi) != 0 && lws_remaining_packet_payload(link->wsi) == 0;
    if (link->skipping) return;
    if (!lws_frame_is_binary(link->wsi)) {
        give_up(link, WS_TEXT_MESSAGE);
        return;
    }
    enum ws_fault fault;
    size_t most = server->events.max_message(server->events.user, link->conn);
    if (link->len + len > most || lws_remaining_packet_payload(link->wsi) > most) {
        give_up(link, WS_TOO_LONG);
        return;
    }
    if (whole && link->len == 0) { /* the usual: nothing to gather */
        server->events.message(server->events.user, link->conn, bytes, len);
    } else if (!gather(link, bytes, len, &fault)) {
        give_up(link, fault);
    } else if (whole) {
        finish_message(link);
    }
}

bool ws_send(ws_link *link, syn_str head, syn_str body)
{
    ws_server *server = link->server;
    size_t len = head.len + body.len;
    if (link->close_status != 0) return true;
    if (server->scratch_cap < LWS_PRE + len) {
        char *grown = realloc(server->scratch, LWS_PRE + len + 4096);
        if (grown == NULL) {
            ws_close(link, 1011, "out of memory");
            return false;
        }
        server->scratch = grown;
        server->scratch_cap = LWS_PRE + len + 4096;
    }
    char *at = server->scratch + LWS_PRE;
    copy_str(at, head);
    copy_str(at + head.len, body);
    if (lws_write(link->wsi, (unsigned char *)at, len, LWS_WRITE_BINARY) < 0) {
        lws_set_timeout(link->wsi, PENDING_TIMEOUT_USER_OK, LWS_TO_KILL_ASYNC);
        link->skipping = true;
        return false;
    }
    if (!lws_partial_buffered(link->wsi)) return true;
    lws_callback_on_writable(link->wsi);
    return false;
}

void ws_close(ws_link *link, unsigned status, const char *reason)
{
    if (link->close_status != 0) return;
    link->close_status = status;
    link->skipping = true;
    snprintf(link->reason, sizeof link->reason, "%s", reason);
    lws_set_timeout(link->wsi, PENDING_TIMEOUT_CLOSE_SEND, 5);
    lws_callback_on_writable(link->wsi);
}

void ws_hurry(ws_link *link)
{
    link->skipping = true;
    lws_set_timeout(link->wsi, PENDING_TIMEOUT_CLOSE_SEND, 5);
}

static int writable(ws_link *link)
{
    ws_server *server = link->server;
    if (link->close_status != 0) {
        lws_close_reason(link->wsi, (enum lws_close_status)link->close_status,
                         (unsigned char *)link->reason, strlen(link->reason));
        return -1;
    }
    server->events.writable(server->events.user, link->conn);
    return 0;
}

static int established(ws_server *server, struct lws *wsi, ws_link *link)
{
    memset(link, 0, sizeof *link);
    link->wsi = wsi;
    link->server = server;
    link->conn = server->events.connected(server->events.user, link);
    return link->conn != NULL ? 0 : -1;
}

static void closed(ws_link *link)
{
    if (link->conn != NULL)
        link->server->events.disconnected(link->server->events.user, link->conn);
    drop_message(link);
    link->conn = NULL;
}

static int on_websocket(struct lws *wsi, enum lws_callback_reasons reason, void *session, void *in,
                        size_t len)
{
    ws_server *server = lws_context_user(lws_get_context(wsi));
    ws_link *link = session;
    switch (reason) {
    case LWS_CALLBACK_FILTER_PROTOCOL_CONNECTION:
        return ws_filter_upgrade(&server->rules, wsi);
    case LWS_CALLBACK_ESTABLISHED:
        return established(server, wsi, link);
    case LWS_CALLBACK_RECEIVE:
        receive(link, in, len);
        return 0;
    case LWS_CALLBACK_WS_PEER_INITIATED_CLOSE:
        return ws_check_close(wsi, in, len);
    case LWS_CALLBACK_SERVER_WRITEABLE:
        return writable(link);
    case LWS_CALLBACK_CLOSED:
        closed(link);
        return 0;
    default:
        return 0;
    }
}

/* ---- HTTP, in ws_http.c ---------------------------------------------------------------------- */

static gate_seat *seat_of(struct lws *wsi)
{
    const struct guest *guest = lws_get_opaque_user_data(wsi);
    return guest != NULL ? guest->seat : NULL;
}

static int confirm_upgrade(ws_server *server, struct lws *wsi)
{
    if (!is_spare(server, wsi)) return ws_confirm_upgrade(&server->rules, wsi);
    gate_turn_away(server->gate, seat_of(wsi));
    return ws_refuse_busy(wsi);
}

static enum ws_entry entry_of(ws_server *server, struct lws *wsi)
{
    if (!ws_host_allowed(&server->rules, wsi)) return WS_FORBIDDEN;
    gate_seat *seat = seat_of(wsi);
    if (!is_spare(server, wsi))
        return seat == NULL || gate_ask(server->gate, seat, now_ms()) ? WS_ALLOWED : WS_TOO_FAST;
    if (!ws_http_looks(wsi)) gate_turn_away(server->gate, seat);
    return WS_SPARE;
}

/* Before anything is done for a request, so before a file is opened. */
static int filter_request(const ws_server *server, struct lws *wsi, const char *uri, size_t len)
{
    struct guest *guest = lws_get_opaque_user_data(wsi);
    bool body = lws_hdr_total_length(wsi, WSI_TOKEN_HTTP_CONTENT_LENGTH) > 0;
    bool fresh = guest != NULL && ws_progress_fresh(&guest->progress, lws_get_socket_fd(wsi));
    if (body && !fresh)
        (void)lws_return_http_status(wsi, HTTP_STATUS_BAD_REQUEST,
                                     "a request with a body waits for the answer before it");
    else if (!ws_framing_plain(wsi))
        (void)lws_return_http_status(wsi, HTTP_STATUS_BAD_REQUEST,
                                     "a blank beside a header's name");
    else if (server->web[0] == '\0' || ws_files_may(server->web, uri, len))
        return 0;
    else
        (void)lws_return_http_status(wsi, HTTP_STATUS_FORBIDDEN, NULL);
    return -1;
}

static int complete_body(struct ws_http *http, struct lws *wsi)
{
    struct guest *guest = lws_get_opaque_user_data(wsi);
    if (guest != NULL) ws_progress_mark(&guest->progress, lws_get_socket_fd(wsi));
    return ws_http_complete(http);
}

static int on_http(struct lws *wsi, enum lws_callback_reasons reason, void *session, void *in,
                   size_t len)
{
    ws_server *server = lws_context_user(lws_get_context(wsi));
    struct http_session *http = session;
    switch (reason) {
    case LWS_CALLBACK_FILTER_PROTOCOL_CONNECTION:
        return ws_filter_plain(&server->rules, wsi);
    case LWS_CALLBACK_ESTABLISHED:
        ws_echo_begin(&http->echo, wsi);
        return 0;
    case LWS_CALLBACK_RECEIVE:
        ws_echo_receive(&http->echo, wsi, in, len);
        return 0;
    case LWS_CALLBACK_WS_PEER_INITIATED_CLOSE:
        return ws_check_close(wsi, in, len);
    case LWS_CALLBACK_SERVER_WRITEABLE:
        return ws_echo_writable(&http->echo, wsi);
    case LWS_CALLBACK_CLOSED:
        ws_echo_end(&http->echo);
        return 0;
    case LWS_CALLBACK_HTTP_CONFIRM_UPGRADE:
        return confirm_upgrade(server, wsi);
    case LWS_CALLBACK_FILTER_HTTP_CONNECTION:
        return filter_request(server, wsi, in, len);
    case LWS_CALLBACK_HTTP:
        return ws_http_begin(&http->http, wsi, &server->requests, entry_of(server, wsi));
    case LWS_CALLBACK_HTTP_BODY:
        return ws_http_body(&http->http, in, len);
    case LWS_CALLBACK_HTTP_BODY_COMPLETION:
        return complete_body(&http->http, wsi);
    case LWS_CALLBACK_HTTP_WRITEABLE:
        return http != NULL ? ws_http_writable(&http->http) : 0;
    case LWS_CALLBACK_OPENSSL_LOAD_EXTRA_SERVER_VERIFY_CERTS: /* session is the SSL_CTX */
        ws_tls_serve(server->tls, session);
        return 0;
    case LWS_CALLBACK_RAW_ADOPT: /* CONNECT */
    case LWS_CALLBACK_RAW_RX:
        return -1;
    case LWS_CALLBACK_WSI_DESTROY: /* of whatever protocol it was in the end */
        give_seat_back(server, wsi);
        return 0;
    case LWS_CALLBACK_CLOSED_HTTP:
    case LWS_CALLBACK_HTTP_DROP_PROTOCOL: /* the memory of the session goes */
        if (http != NULL) ws_http_end(&http->http);
        return 0;
    default:
        return lws_callback_http_dummy(wsi, reason, session, in, len);
    }
}

/* ---- Life ------------------------------------------------------------------------------------ */

static const lws_retry_bo_t no_timers = {0};

/* Files last: the paths that `asked` answers are mounted in front. */
static const struct lws_http_mount answered[] = {
    {.mount_next = &answered[1],
     .mountpoint = "/healthz",
     .mountpoint_len = 8,
     .origin_protocol = LWSMPRO_CALLBACK,
     .protocol = "http"},
    {.mount_next = &answered[2],
     .mountpoint = "/metrics",
     .mountpoint_len = 8,
     .origin_protocol = LWSMPRO_CALLBACK,
     .protocol = "http"},
    {.mountpoint = "/v1",
     .mountpoint_len = 3,
     .origin_protocol = LWSMPRO_CALLBACK,
     .protocol = "http"},
};

/* What a web page is made of today and libwebsockets does not know (it answers 415 then). */
static const struct lws_protocol_vhost_options more_types[] = {
    {&more_types[1], NULL, ".mjs", "text/javascript"},
    {&more_types[2], NULL, ".wasm", "application/wasm"},
    {&more_types[3], NULL, ".map", "application/json"},
    {&more_types[4], NULL, ".webmanifest", "application/manifest+json"},
    {&more_types[5], NULL, ".webp", "image/webp"},
    {&more_types[6], NULL, ".ts", "text/plain; charset=utf-8"},
    {&more_types[7], NULL, ".proto", "text/plain; charset=utf-8"},
    {NULL, NULL, ".md", "text/plain; charset=utf-8"},
};

static void set_protocols(ws_server *server)
{
    server->protocols[0] =
        (struct lws_protocols){.name = "http",
                               .callback = on_http,
                               .per_session_data_size = sizeof(struct http_session),
                               .rx_buffer_size = 1024,
                               .tx_packet_size = 65600};
    server->protocols[1] = (struct lws_protocols){.name = WS_PROTOCOL,
                                                  .callback = on_websocket,
                                                  .per_session_data_size = sizeof(struct ws_link),
                                                  .rx_buffer_size = 1024,
                                                  .tx_packet_size = 65600};
}

static syn_err create_context(ws_server *server)
{
    void *loops[1] = {server->loop};
    struct lws_context_creation_info info = {0};
    set_protocols(server);
    info.port = CONTEXT_PORT_NO_LISTEN_SERVER;
    info.protocols = server->protocols;
    info.options = LWS_SERVER_OPTION_LIBEV;
    info.foreign_loops = loops;
    info.user = server;
    info.retry_and_idle_policy = &no_timers;
    info.timeout_secs = 5;
    info.keepalive_timeout = 5;
    info.max_http_header_data = 8192; /* a token of 4 KiB and the rest */
    info.alpn = "http/1.1";
    info.vhost_name = "default";
    info.mounts = server->web[0] != '\0' ? &server->mount : answered;
    if (server->tls != NULL) {
        info.options |= LWS_SERVER_OPTION_DO_SSL_GLOBAL_INIT;
        info.ssl_cert_filepath = server->cert;
        info.ssl_private_key_filepath = server->key;
        info.ssl_options_set = ws_tls_options();
        info.provided_client_ssl_ctx = ws_tls_idle(server->tls);
    }
    server->context = lws_create_context(&info);
    if (server->context == NULL) return SYN_ENOMEM;
    server->vhost = lws_get_vhost_by_name(server->context, "default");
    return server->vhost != NULL ? SYN_OK : SYN_ENOMEM;
}

static syn_err use_certificate(ws_server *server, const struct ws_options *options, char *detail)
{
    if (options->tls_cert == NULL && options->tls_key == NULL) return SYN_OK;
    if (options->tls_cert == NULL || options->tls_key == NULL) {
        snprintf(detail, 256, "TLS needs a certificate and its key");
        return SYN_EMISUSE;
    }
    int cert = snprintf(server->cert, sizeof server->cert, "%s", options->tls_cert);
    int key = snprintf(server->key, sizeof server->key, "%s", options->tls_key);
    if (cert >= (int)sizeof server->cert || key >= (int)sizeof server->key) {
        snprintf(detail, 256, "the path of the certificate or of the key is too long");
        return SYN_EMISUSE;
    }
    return ws_tls_new(&server->tls, server->cert, server->key, detail);
}

syn_err ws_server_reload(ws_server *server, char *detail)
{
    if (server->tls == NULL) return SYN_OK;
    return ws_tls_renew(server->tls, server->cert, server->key, detail);
}

static void start_listening(ws_server *server)
{
    ev_io_init(&server->accepting, accept_ready, server->fd, EV_READ);
    server->accepting.data = server;
    ev_timer_init(&server->again, accept_again, 0.1, 0);
    server->again.data = server;
    ev_io_start(server->loop, &server->accepting);
    ev_timer_init(&server->waking, wake, WAKE_S, WAKE_S);
    server->waking.data = server;
    ev_timer_start(server->loop, &server->waking);
    server->listening = true;
}

syn_err ws_server_new(ws_server **out, struct ev_loop *loop, const struct ws_options *options,
                      const struct ws_events *events, char *detail)
{
    ws_server *server = calloc(1, sizeof *server);
    if (server == NULL) {
        close(options->fd);
        return SYN_ENOMEM;
    }
    server->loop = loop;
    server->events = *events;
    server->requests.events = &server->events;
    server->requests.share = options->share != 0 ? options->share : 1;
    server->fd = options->fd;
    server->gate = options->gate;
    server->rules.local_names = options->local_names;
    server->rules.echo = options->web != NULL;
    if (options->origins != NULL) server->origins = strdup(options->origins);
    if (options->origins != NULL && server->origins == NULL) {
        ws_server_free(server);
        return SYN_ENOMEM;
    }
    server->rules.origins = server->origins;
    if (options->web != NULL) {
        snprintf(server->web, sizeof server->web, "%s", options->web);
        server->mount = (struct lws_http_mount){.mount_next = answered,
                                                .mountpoint = "/",
                                                .mountpoint_len = 1,
                                                .origin = server->web,
                                                .def = "index.html",
                                                .extra_mimetypes = more_types,
                                                .cache_max_age = 1, /* then asks by ETag */
                                                .cache_reusable = 1,
                                                .cache_revalidate = 1,
                                                .origin_protocol = LWSMPRO_FILE};
    }
    lws_set_log_level(0, NULL);
    syn_err err = use_certificate(server, options, detail);
    if (!err) {
        err = create_context(server);
        if (err) snprintf(detail, 256, "libwebsockets could not start on libev");
    }
    if (err) {
        ws_server_free(server);
        return err;
    }
    start_listening(server);
    *out = server;
    return SYN_OK;
}

void ws_server_answers(const ws_server *server, uint64_t out[6])
{
    memcpy(out, server->requests.answers, sizeof server->requests.answers);
}

void ws_server_stop_listening(ws_server *server)
{
    if (!server->listening) return;
    server->listening = false;
    ev_io_stop(server->loop, &server->accepting);
    ev_timer_stop(server->loop, &server->again);
    close(server->fd);
    server->fd = -1;
}

void ws_server_free(ws_server *server)
{
    if (server == NULL) return;
    ws_server_stop_listening(server);
    if (server->fd >= 0) close(server->fd);
    ev_timer_stop(server->loop, &server->waking);
    if (server->context != NULL) lws_context_destroy(server->context);
    ws_tls_free(server->tls);
    free(server->origins);
    free(server->scratch);
    free(server);
}
