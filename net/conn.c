/* conn.c -- a connection: life, sending, refusing, sign-in.
 *
 * What a reader does not take waits in two places only: channels are cursors and wait at no cost;
 * control frames wait in `queue`, whose bound ends the connection. */
#include "hub_impl.h"
#include "copy.h"
#include "utf8.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SERVER_FEATURES ((uint64_t)FEATURE_PACKED | FEATURE_NAMES | FEATURE_DIGEST)
/* A newcomer may be told the whole tables in one frame. */
#define NAMES_FRAME (2 * LIMIT_NAMES_BYTES)

/* ---- Life ------------------------------------------------------------------------------------ */

hub_conn *hub_connect(hub *h, void *link, uint64_t now)
{
    hub_conn *conn = calloc(1, sizeof *conn);
    if (conn == NULL) return NULL;
    h->now = now;
    conn->hub = h;
    conn->link = link;
    conn->id = ++h->next_conn;
    conn->since = conn->heard = now;
    conn->next = h->conns;
    if (h->conns != NULL) h->conns->prev = conn;
    h->conns = conn;
    h->stats.connections++;
    h->stats.connections_total++;
    return conn;
}

static void release_grant(hub *h, void *grant)
{
    if (grant != NULL && h->port.release != NULL) h->port.release(h->port.user, grant);
}

void hub_disconnect(hub *h, hub_conn *conn, uint64_t now)
{
    h->now = now;
    while (conn->channel_count != 0) channel_remove(conn->channels[conn->channel_count - 1]);
    if (conn->prev != NULL) conn->prev->next = conn->next;
    if (conn->next != NULL) conn->next->prev = conn->prev;
    if (h->conns == conn) h->conns = conn->next;
    h->stats.connections--;
    release_grant(h, conn->grant);
    rates_forget(conn);
    account_leave(conn);
    free(conn->channels);
    syn_buf_free(&conn->queue);
    free(conn);
}

size_t hub_max_message(const hub_conn *conn)
{
    return conn->state == CONN_LIVE ? LIMIT_FRAME_BYTES : LIMIT_PREAUTH_BYTES;
}

/* ---- Sending --------------------------------------------------------------------------------- */

static bool link_send(hub_conn *conn, syn_str head, syn_str body)
{
    hub *h = conn->hub;
    h->stats.frames_out++;
    h->stats.bytes_out += head.len + body.len;
    return h->port.send(h->port.user, conn->link, head, body);
}

/* Nothing more can be said.  Its channels stay until it is disconnected: somebody may walk them. */
static void give_up(hub_conn *conn, enum code code, const char *reason)
{
    conn->state = CONN_CLOSED;
    hub_count(conn->hub, code);
    conn->hub->port.close(conn->hub->port.user, conn->link, 1013, reason);
}

static void queue_frame(hub_conn *conn, syn_str head, syn_str body)
{
    uint32_t len = (uint32_t)(head.len + body.len);
    uint64_t most = conn->hub->limits.of[LIM_CONNECTION_QUEUE];
    bool fits = conn->queue.len - conn->queue_at + len + sizeof len <= most;
    if (conn->queue_at > conn->queue.len / 2) { /* what was sent gives its place */
        conn->queue.len -= conn->queue_at;
        memmove(conn->queue.data, conn->queue.data + conn->queue_at, conn->queue.len);
        conn->queue_at = 0;
    }
    size_t before = conn->queue.len;
    if (fits && !syn_buf_append(&conn->queue, &len, sizeof len) &&
        !syn_buf_append(&conn->queue, head.data, head.len) &&
        !syn_buf_append(&conn->queue, body.data, body.len))
        return;
    conn->queue.len = before;
    give_up(conn, fits ? CODE_BUSY : CODE_TOO_SLOW, fits ? "out of memory" : "too slow");
    if (!fits) hub_count_limit(conn->hub, LIM_CONNECTION_QUEUE);
}

void conn_send(hub_conn *conn, syn_str head, syn_str body)
{
    if (conn->state == CONN_CLOSED) return;
    if (conn->blocked)
        queue_frame(conn, head, body);
    else
        conn->blocked = !link_send(conn, head, body);
}

/* A client that waits for a frame which was not sent would wait for ever: it has to come again. */
void conn_frame(hub_conn *conn, const struct frame *frame)
{
    syn_buf *buf = &conn->hub->scratch;
    if (conn->state == CONN_CLOSED) return;
    buf->len = 0;
    if (proto_encode(buf, frame) == SYN_OK)
        conn_send(conn, (syn_str){buf->data, buf->len}, (syn_str){NULL, 0});
    else
        give_up(conn, CODE_BUSY, "out of memory");
}

static void close_link(hub_conn *conn, unsigned status, const char *reason)
{
    if (conn->state == CONN_CLOSED) return;
    conn->state = CONN_CLOSED;
    while (conn->channel_count != 0) channel_remove(conn->channels[conn->channel_count - 1]);
    conn->hub->port.close(conn->hub->port.user, conn->link, status, reason);
}

/* WebSocket close codes: 1001 going away, 1008 policy, 1013 try again later. */
static unsigned close_status(enum code code, bool permanent)
{
    switch (code) {
    case CODE_GOING_AWAY:
        return 1001;
    case CODE_MALFORMED:
        return 1002;
    case CODE_LIMIT:
        return permanent ? 1009 : 1013;
    case CODE_BUSY:
    case CODE_STORAGE:
    case CODE_TOO_SLOW:
        return 1013;
    default:
        return 1008;
    }
}

void hub_count(hub *h, enum code code)
{
    h->stats.refused[(unsigned)code < HUB_CODES ? (unsigned)code : HUB_CODES - 1]++;
}

static void end_connection(hub_conn *conn, const struct msg_error *error, unsigned status)
{
    struct frame frame = {.kind = FRAME_ERROR, .as.error = *error};
    if (conn->state == CONN_CLOSED) return;
    if (error->code == CODE_VERSION) frame.as.error.min_version = frame.as.error.max_version = 1;
    conn_frame(conn, &frame);
    hub_count(conn->hub, error->code);
    hub_log(conn->hub, "refused", "connection %llu: %s: %.*s", (unsigned long long)conn->id,
            proto_code_name(error->code), (int)error->detail.len, error->detail.data);
    close_link(conn, status, proto_code_name(error->code));
}

void conn_error(hub_conn *conn, enum code code, bool permanent, uint32_t retry_ms,
                const char *detail)
{
    struct msg_error error = {
        .code = code, .permanent = permanent, .retry_ms = retry_ms, .detail = syn_s(detail)};
    end_connection(conn, &error, close_status(code, permanent));
}

void hub_refuse(hub *h, hub_conn *conn, enum code code, unsigned status, const char *detail,
                uint64_t now)
{
    bool permanent = code != CODE_BUSY;
    struct msg_error error = {.code = code,
                              .permanent = permanent,
                              .retry_ms = permanent ? 0 : RETRY_MS,
                              .detail = syn_s(detail)};
    h->now = now;
    end_connection(conn, &error, status);
}

void hub_refuse_limit(hub *h, hub_conn *conn, enum limit limit, uint64_t now)
{
    h->now = now;
    conn_limited(conn, limit, limits_info(limit)->permanent ? 0 : RETRY_MS);
}

/* Queued control frames first, then what the channels' cursors are behind. */
void hub_writable(hub *h, hub_conn *conn, uint64_t now)
{
    h->now = now;
    conn->blocked = false;
    while (!conn->blocked && conn->queue_at < conn->queue.len) {
        uint32_t len;
        memcpy(&len, conn->queue.data + conn->queue_at, sizeof len);
        syn_str frame = {conn->queue.data + conn->queue_at + sizeof len, len};
        conn->queue_at += sizeof len + len;
        conn->blocked = !link_send(conn, frame, (syn_str){NULL, 0});
    }
    if (conn->queue_at == conn->queue.len) {
        syn_buf_free(&conn->queue);
        memset(&conn->queue, 0, sizeof conn->queue);
        conn->queue_at = 0;
    }
    bool sent = true; /* one frame each in turn */
    while (sent && !conn->blocked && conn->state == CONN_LIVE) {
        sent = false;
        for (uint32_t i = 0; i < conn->channel_count && !conn->blocked; i++) {
            conn->turn_next = (conn->turn_next + 1) % conn->channel_count;
            if (channel_pump(conn->channels[conn->turn_next], 1)) sent = true;
        }
    }
}

/* ---- Handshake ------------------------------------------------------------------------------- */

static struct msg_limits told_limits(const hub *h)
{
    const struct limits *limits = &h->limits;
    return (struct msg_limits){
        .frame_bytes = LIMIT_FRAME_BYTES,
        .raw_bytes = pressure_raw_bytes(h),
        .frame_events = LIMIT_FRAME_EVENTS,
        .documents = (uint32_t)limits->of[LIM_CONNECTION_DOCUMENTS],
        .window_bytes = LIMIT_WINDOW_BYTES,
        .value_bytes = LIMIT_VALUE_BYTES,
        .parents = LIMIT_PARENTS,
        .document_events = (uint32_t)limits->of[LIM_DOCUMENT_EVENTS],
        .document_bytes = limits->of[LIM_DOCUMENT_BYTES],
        .presence_bytes = LIMIT_PRESENCE_BYTES,
        .presence_ms = LIMIT_PRESENCE_MS,
        .new_peers = (uint32_t)limits->of[LIM_USER_NEW_PEERS],
    };
}

void conn_hello(hub_conn *conn, const struct msg_hello *hello)
{
    hub *h = conn->hub;
    const struct hub_identity anonymous = {syn_s(NOBODY_NAME), NULL};
    if (hello->min_version > 1 || hello->max_version < 1) {
        conn_error(conn, CODE_VERSION, true, 0, "this server speaks version 1");
        return;
    }
    conn->features = hello->features & SERVER_FEATURES;
    conn->max_frame = hello->max_frame != 0 ? hello->max_frame : LIMIT_FRAME_BYTES;
    if (conn->max_frame < NAMES_FRAME) conn->features &= ~(uint64_t)FEATURE_NAMES;
    conn->max_raw = hello->max_raw != 0 ? hello->max_raw : LIMIT_RAW_BYTES;
    conn->state = CONN_SIGNING_IN;
    if (h->port.authenticate == NULL)
        hub_signed_in(h, conn->id, &anonymous, 0, h->now);
    else
        h->port.authenticate(h->port.user, conn->id, hello->token);
}

static hub_conn *find_conn(hub *h, uint64_t id)
{
    for (hub_conn *conn = h->conns; conn != NULL; conn = conn->next)
        if (conn->id == id) return conn;
    return NULL;
}

static void send_welcome(hub_conn *conn, uint32_t expires_ms)
{
    struct frame frame = {.kind = FRAME_WELCOME};
    struct msg_welcome *welcome = &frame.as.welcome;
    welcome->version = 1;
    welcome->features = conn->features;
    welcome->connection = conn->id;
    welcome->store = (syn_str){(const char *)conn->hub->store_id, STORE_ID_BYTES};
    welcome->limits = told_limits(conn->hub);
    welcome->heartbeat_ms = LIMIT_HEARTBEAT_MS;
    welcome->expires_ms = expires_ms;
    welcome->user = (syn_str){conn->user, conn->user_len};
    welcome->server = syn_s("syncline/" SYN_VERSION);
    conn_frame(conn, &frame);
}

/* A fresh token while connected: the rights of every channel are looked up again. */
static void send_access(hub_conn *conn, uint32_t expires_ms)
{
    struct frame frame = {.kind = FRAME_ACCESS};
    frame.as.access.expires_ms = expires_ms;
    conn_frame(conn, &frame);
    for (uint32_t i = conn->channel_count; i-- > 0;) {
        struct channel *ch = conn->channels[i];
        syn_str name = {ch->room->name, ch->room->name_len};
        uint32_t rights = conn_rights(conn, name, ch->wanted);
        if (rights == ch->rights || ch->opening) continue; /* or it is told by Opened */
        ch->rights = rights;
        frame.channel = ch->number;
        frame.as.access.rights = rights;
        conn_frame(conn, &frame);
        if (!(rights & RIGHT_READ))
            channel_closed(ch, CODE_FORBIDDEN, true, 0, "no right to read this document any more");
    }
}

/* Cut short a name would be another's, whose events it then answered for; an empty one is nobody's.
 */
static bool good_user(syn_str user)
{
    size_t scalars;
    return user.len != 0 && user.len <= LIMIT_USER_BYTES &&
           memchr(user.data, 0, user.len) == NULL && utf8_valid(user.data, user.len, &scalars);
}

static bool same_user(const hub_conn *conn, syn_str user)
{
    return user.len == conn->user_len && memcmp(user.data, conn->user, user.len) == 0;
}

/* NULL: this identity may be taken on; else what is wrong with it. */
static const char *identity_fault(const hub_conn *conn, syn_str user, enum code *code)
{
    *code = CODE_UNAUTHENTICATED;
    if (!good_user(user)) return "the user's name is empty, too long, not UTF-8, or has U+0000";
    *code = CODE_FORBIDDEN;
    bool other = conn->signing_in_again && !same_user(conn, user);
    return other ? "the new token names another user" : NULL;
}

void hub_signed_in(hub *h, uint64_t id, const struct hub_identity *who, uint32_t expires_ms,
                   uint64_t now)
{
    hub_conn *conn = find_conn(h, id);
    enum code code;
    h->now = now;
    bool awaited = conn != NULL && (conn->state == CONN_SIGNING_IN || conn->signing_in_again) &&
                   conn->state != CONN_CLOSED;
    const char *fault = awaited ? identity_fault(conn, who->name, &code) : NULL;
    if (fault != NULL) conn_error(conn, code, true, 0, fault);
    if (!awaited || fault != NULL) {
        release_grant(h, who->grant);
        return;
    }
    release_grant(h, conn->grant);
    conn->grant = who->grant;
    conn->expires = expires_ms != 0 ? now + expires_ms : 0;
    if (conn->signing_in_again) {
        conn->signing_in_again = false;
        send_access(conn, expires_ms);
        return;
    }
    copy_str(conn->user, who->name);
    conn->user_len = who->name.len;
    if (!account_join(conn)) return;
    conn->state = CONN_LIVE;
    send_welcome(conn, expires_ms);
}

void hub_refused(hub *h, uint64_t id, syn_str reason, uint64_t now)
{
    char detail[LIMIT_DETAIL_BYTES];
    hub_conn *conn = find_conn(h, id);
    h->now = now;
    if (conn == NULL) return;
    snprintf(detail, sizeof detail, "%.*s", (int)(reason.len < 900 ? reason.len : 900),
             reason.data != NULL ? reason.data : "");
    conn_error(conn, CODE_UNAUTHENTICATED, true, 0, detail);
}

uint32_t conn_rights(const hub_conn *conn, syn_str document, uint32_t wanted)
{
    const struct hub_port *port = &conn->hub->port;
    uint32_t all = RIGHT_READ | RIGHT_WRITE | RIGHT_CREATE | RIGHT_RELAY;
    uint32_t rights = RIGHT_READ | RIGHT_WRITE | RIGHT_CREATE;
    const struct hub_identity who = {{conn->user, conn->user_len}, conn->grant};
    if (port->authorise != NULL) rights = port->authorise(port->user, &who, document) & all;
    if (wanted != 0) rights &= wanted | RIGHT_READ;
    return rights;
}

void conn_auth(hub_conn *conn, const struct msg_auth *auth)
{
    hub *h = conn->hub;
    if (h->port.authenticate == NULL) {
        send_access(conn, 0);
        return;
    }
    conn->signing_in_again = true;
    h->port.authenticate(h->port.user, conn->id, auth->token);
}
