/* session.c -- a connection of a client: the handshake, what a frame is for, time, trying again.
 *
 *     LINK_DOWN --connected--> LINK_HELLO --Welcome--> LINK_LIVE --disconnected--> LINK_DOWN
 *
 * Documents are a plain list: a client has few of them open.  See session_impl.h for what each
 * knows about its own events. */
#include "session_impl.h"

#include "copy.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#define BACKOFF_MIN_MS 200u
#define BACKOFF_MAX_MS 30000u
#define HEARTBEAT_MS   20000u
#define NEVER          UINT64_MAX

bool grow(void **at, uint32_t count, uint32_t *cap, size_t size)
{
    if (count < *cap) return true;
    uint32_t larger = *cap != 0 ? *cap * 2 : 8;
    void *grown = realloc(*at, larger * size);
    if (grown == NULL) return false;
    *at = grown;
    *cap = larger;
    return true;
}

uint64_t session_random(session *s)
{
    return s->port.random(s->port.user);
}

uint64_t session_jitter(session *s, uint64_t below)
{
    return below != 0 ? session_random(s) % below : 0;
}

/* ---- Life ------------------------------------------------------------------------------------ */

static syn_err copy_text(char **at, size_t *len, syn_str text)
{
    char *copy = malloc(text.len + 1);
    if (copy == NULL) return SYN_ENOMEM;
    copy_str(copy, text);
    copy[text.len] = '\0';
    free(*at);
    *at = copy;
    *len = text.len;
    return SYN_OK;
}

syn_err session_new(session **out, const struct session_port *port,
                    const struct session_config *config)
{
    session *s = calloc(1, sizeof *s);
    if (s == NULL) return SYN_ENOMEM;
    s->port = *port;
    s->backoff_min = config->backoff_min_ms != 0 ? config->backoff_min_ms : BACKOFF_MIN_MS;
    s->backoff_max = config->backoff_max_ms != 0 ? config->backoff_max_ms : BACKOFF_MAX_MS;
    s->window = config->window_bytes != 0 ? config->window_bytes : LIMIT_WINDOW_BYTES;
    syn_err err = copy_text(&s->token, &s->token_len, config->token);
    if (!err) err = copy_text(&s->client, &s->client_len, config->client);
    if (!err) err = proto_arena_new(&s->arena, NULL);
    if (!err) err = proto_arena_new(&s->inner, NULL);
    if (!err && (config->token.len > LIMIT_TOKEN_BYTES || config->client.len > LIMIT_CLIENT_BYTES))
        err = SYN_ELIMIT;
    if (err) {
        session_free(s);
        return err;
    }
    *out = s;
    return SYN_OK;
}

static void doc_free(session_doc *sd)
{
    doc_channel_reset(sd);
    parts_free(&sd->base);
    free(sd->peers);
    doc_presence_free(sd);
    free(sd);
}

void session_free(session *s)
{
    if (s == NULL) return;
    while (s->docs != NULL) {
        session_doc *sd = s->docs;
        s->docs = sd->next;
        doc_free(sd);
    }
    proto_arena_free(s->arena);
    proto_arena_free(s->inner);
    syn_buf_free(&s->out);
    syn_buf_free(&s->body);
    free(s->token);
    free(s->client);
    free(s);
}

bool session_live(const session *s)
{
    return s->link == LINK_LIVE && !s->closing;
}

const char *session_reason(const session *s)
{
    return s->reason;
}

/* ---- Sending --------------------------------------------------------------------------------- */

void session_send_bytes(session *s, syn_str bytes)
{
    if (s->link == LINK_DOWN || s->closing) return;
    if (!s->port.send(s->port.user, bytes)) s->blocked = true;
}

void session_send(session *s, const struct frame *frame)
{
    s->out.len = 0;
    if (proto_encode(&s->out, frame) != SYN_OK) {
        session_hang_up(s, "out of memory");
        return;
    }
    session_send_bytes(s, (syn_str){s->out.data, s->out.len});
}

/* As much of it as there is room for. */
static void note_reason(char reason[REASON_BYTES], const char *why)
{
    size_t len = strlen(why);
    if (len >= REASON_BYTES) len = REASON_BYTES - 1;
    memmove(reason, why, len);
    reason[len] = '\0';
}

void session_hang_up(session *s, const char *reason)
{
    if (s->link == LINK_DOWN || s->closing) return;
    s->closing = true;
    note_reason(s->reason, reason);
    if (s->port.close != NULL) s->port.close(s->port.user, reason);
}

void session_writable(session *s, uint64_t now)
{
    s->now = now;
    s->blocked = false;
    session_flush(s, now);
}

void session_flush(session *s, uint64_t now)
{
    s->now = now;
    for (session_doc *sd = s->docs; sd != NULL; sd = sd->next) doc_pump(sd);
}

/* ---- Connecting ------------------------------------------------------------------------------ */

void session_connected(session *s, uint64_t now)
{
    struct frame frame = {.kind = FRAME_HELLO};
    s->now = s->heard = now;
    s->pinged = 0;
    s->link = LINK_HELLO;
    s->closing = s->blocked = false;
    s->last_channel = 0;
    s->heartbeat = HEARTBEAT_MS;
    s->retry_ms = 0;
    frame.as.hello.min_version = frame.as.hello.max_version = 1;
    frame.as.hello.features = FEATURE_PACKED | (NAMES ? FEATURE_NAMES : 0);
    frame.as.hello.token = (syn_str){s->token, s->token_len};
    frame.as.hello.client = (syn_str){s->client, s->client_len};
    session_send(s, &frame);
}

/* Full jitter: uniform below a bound that doubles, so that clients of a server that comes back do
 * not come in step. */
void session_disconnected(session *s, uint64_t now)
{
    s->now = now;
    s->link = LINK_DOWN;
    s->closing = false;
    uint64_t bound = (uint64_t)s->backoff_min << (s->attempts < 16 ? s->attempts : 16);
    if (bound > s->backoff_max) bound = s->backoff_max;
    s->attempts++;
    s->reconnect_at = s->refused ? NEVER : now + s->retry_ms + session_jitter(s, bound);
    for (session_doc *sd = s->docs; sd != NULL; sd = sd->next) {
        if (sd->state != CHANNEL_REFUSED) doc_channel_reset(sd);
        doc_status(sd);
    }
}

uint64_t session_reconnect_at(const session *s)
{
    return s->reconnect_at;
}

void session_retry_now(session *s, uint64_t now)
{
    s->refused = false;
    s->reason[0] = '\0';
    s->attempts = 0;
    s->reconnect_at = now;
    for (session_doc *sd = s->docs; sd != NULL; sd = sd->next) {
        if (sd->state != CHANNEL_REFUSED) continue;
        sd->state = CHANNEL_NONE;
        sd->reason[0] = '\0';
        sd->failures = 0;
        if (session_live(s)) doc_open(sd);
        doc_status(sd);
    }
}

syn_err session_set_token(session *s, syn_str token)
{
    struct frame frame = {.kind = FRAME_AUTH};
    if (token.len > LIMIT_TOKEN_BYTES) return SYN_ELIMIT;
    syn_err err = copy_text(&s->token, &s->token_len, token);
    if (err) return err;
    frame.as.auth.token = (syn_str){s->token, s->token_len};
    if (session_live(s)) session_send(s, &frame);
    return SYN_OK;
}

static void refuse_connection(session *s, const char *reason)
{
    s->refused = true;
    s->reconnect_at = NEVER; /* who asks while the connection still closes is told, too */
    session_hang_up(s, reason);
    note_reason(s->reason, reason);
    for (session_doc *sd = s->docs; sd != NULL; sd = sd->next) doc_status(sd);
}

static void handle_welcome(session *s, const struct msg_welcome *welcome)
{
    if (s->link != LINK_HELLO || welcome->version != 1) {
        refuse_connection(s, "the server speaks another version of the protocol");
        return;
    }
    if (s->port.welcome != NULL && !s->port.welcome(s->port.user, welcome)) {
        refuse_connection(s, "this copy belongs to another server or user");
        return;
    }
    s->link = LINK_LIVE;
    s->features = welcome->features;
    s->limits = welcome->limits;
    if (welcome->heartbeat_ms != 0) s->heartbeat = welcome->heartbeat_ms;
    s->reason[0] = '\0';
    for (session_doc *sd = s->docs; sd != NULL; sd = sd->next)
        if (sd->state != CHANNEL_REFUSED) doc_open(sd);
}

/* "CODE: detail" */
static void explain(char reason[REASON_BYTES], uint32_t code, syn_str detail)
{
    note_reason(reason, proto_code_name(code));
    if (detail.len == 0) return;
    size_t at = strlen(reason), most = detail.len < 200 ? detail.len : 200;
    memcpy(reason + at, ": ", 2);
    memcpy(reason + at + 2, detail.data, most);
    reason[at + 2 + most] = '\0';
}

static void handle_error(session *s, const struct msg_error *error)
{
    char reason[REASON_BYTES];
    explain(reason, error->code, error->detail);
    s->retry_ms = error->retry_ms;
    bool token = error->code == CODE_EXPIRED || error->code == CODE_UNAUTHENTICATED;
    if (error->permanent || token)
        refuse_connection(s, reason);
    else
        session_hang_up(s, reason);
}

/* ---- Documents ------------------------------------------------------------------------------- */

static syn_err take_options(session_doc *sd, const struct session_options *options)
{
    syn_err err = SYN_OK;
    if (options->lineage != NULL) {
        memcpy(sd->lineage, options->lineage, sizeof sd->lineage);
        sd->has_lineage = true;
    }
    sd->want_rights = options->rights;
    sd->want_history = options->history;
    sd->no_presence = options->no_presence;
    for (uint32_t i = 0; !err && i < options->own_count; i++) {
        struct own_peer *p;
        err = own_add(sd, options->own[i].peer, &p);
        if (!err) p->acked = options->own[i].acked;
    }
    for (uint32_t i = 0; !err && i < options->base_count; i++)
        err = parts_add(&sd->base, options->base[i]);
    uint32_t above = syn_doc_log_end(sd->doc) - syn_doc_log_start(sd->doc);
    if (!syn_doc_has_history(sd->doc)) sd->base_events = syn_doc_events(sd->doc) - above;
    return err;
}

syn_err session_attach(session *s, session_doc **out, syn_str name, syn_doc *doc, void *owner,
                       const struct session_options *options, uint64_t now)
{
    if (name.len == 0 || name.len > LIMIT_NAME_BYTES) return SYN_ELIMIT;
    session_doc *sd = calloc(1, sizeof *sd);
    if (sd == NULL) return SYN_ENOMEM;
    s->now = now;
    sd->s = s;
    sd->owner = owner;
    sd->doc = doc;
    copy_str(sd->name, name);
    sd->name_len = name.len;
    sd->told = SYN_CONNECTING;
    sd->send_at = syn_doc_log_start(doc);
    syn_err err = take_options(sd, options);
    if (!err) err = doc_new_peer(sd);
    if (err) {
        doc_free(sd);
        return err;
    }
    own_prune(sd);
    if (doc_unacked(sd) != 0)
        sd->marks[sd->mark_count++] = (struct mark){.at = now, .events = doc_unacked(sd)};
    sd->next = s->docs;
    s->docs = sd;
    *out = sd;
    if (session_live(s)) doc_open(sd);
    return SYN_OK;
}

static void send_close(session_doc *sd)
{
    struct frame frame = {.channel = sd->channel, .kind = FRAME_CLOSE};
    if (sd->state == CHANNEL_OPENING || sd->state == CHANNEL_OPEN) session_send(sd->s, &frame);
}

void session_detach(session *s, session_doc *sd, uint64_t now)
{
    s->now = now;
    send_close(sd);
    session_doc **at = &s->docs;
    while (*at != sd) at = &(*at)->next;
    *at = sd->next;
    doc_free(sd);
}

/* What falls with the channel. */
void doc_channel_reset(session_doc *sd)
{
    sd->state = CHANNEL_NONE;
    sd->channel = 0;
    sd->caught_up = sd->credited = sd->unsure = sd->helping = sd->on_snapshot = false;
    sd->retry_at = 0;
    sd->rights = 0;
    free(sd->wanted);
    sd->wanted = NULL;
    sd->wanted_count = 0;
    if (NAMES) proto_names_free(&sd->in);
    if (NAMES) proto_names_free(&sd->out);
    parts_free(&sd->incoming);
    history_free(&sd->history);
    doc_presence_reset(sd);
    for (uint32_t i = 0; i < sd->peer_count; i++) sd->peers[i].listed = false;
}

void doc_resync(session_doc *sd, uint64_t wait, const char *why)
{
    session *s = sd->s;
    send_close(sd);
    doc_channel_reset(sd);
    uint64_t bound = (uint64_t)s->backoff_min << (sd->failures < 16 ? sd->failures : 16);
    if (bound > s->backoff_max) bound = s->backoff_max;
    sd->failures++;
    sd->state = CHANNEL_WAITING;
    sd->retry_at = s->now + wait + session_jitter(s, bound);
    note_reason(sd->reason, why);
    doc_status(sd);
}

void doc_give_up(session_doc *sd, enum code code, syn_str detail)
{
    send_close(sd);
    doc_channel_reset(sd);
    sd->state = CHANNEL_REFUSED;
    sd->code = code;
    explain(sd->reason, code, detail);
    doc_status(sd);
}

static void handle_closed(session_doc *sd, const struct msg_closed *closed)
{
    char reason[REASON_BYTES];
    explain(reason, closed->code, closed->detail);
    sd->state = CHANNEL_NONE; /* no Close in answer */
    if (closed->code == CODE_NOT_FOUND) sd->exists = false;
    switch (closed->code) {
    case CODE_OK:
    case CODE_RESYNC:
    case CODE_PARENTS:
    case CODE_BUSY:
    case CODE_STORAGE:
    case CODE_TOO_SLOW:
    case CODE_GOING_AWAY:
        doc_resync(sd, closed->retry_ms, reason);
        break;
    case CODE_UNAUTHENTICATED:
    case CODE_EXPIRED:
        refuse_connection(sd->s, reason);
        break;
    default:
        if (closed->permanent)
            doc_give_up(sd, closed->code, closed->detail);
        else
            doc_resync(sd, closed->retry_ms, proto_code_name(closed->code));
    }
}

/* ---- What others see ------------------------------------------------------------------------- */

void *session_doc_owner(const session_doc *sd)
{
    return sd->owner;
}

syn_doc *session_doc_state(const session_doc *sd)
{
    return sd->doc;
}

syn_str session_doc_name(const session_doc *sd)
{
    return (syn_str){sd->name, sd->name_len};
}

syn_status session_doc_status(const session_doc *sd)
{
    if (sd->state == CHANNEL_REFUSED || sd->s->refused) return SYN_REFUSED;
    if (!session_live(sd->s)) return SYN_CONNECTING;
    return sd->state == CHANNEL_OPEN && sd->caught_up ? SYN_LIVE : SYN_SYNCING;
}

const char *session_doc_reason(const session_doc *sd)
{
    return sd->reason[0] != '\0' ? sd->reason : sd->s->reason;
}

enum code session_doc_code(const session_doc *sd)
{
    return sd->state == CHANNEL_REFUSED ? sd->code : CODE_UNAUTHENTICATED;
}

bool session_doc_exists(const session_doc *sd)
{
    return sd->exists;
}

uint32_t session_doc_rights(const session_doc *sd)
{
    return sd->rights;
}

const uint8_t *session_doc_lineage(const session_doc *sd)
{
    return sd->has_lineage ? sd->lineage : NULL;
}

void doc_status(session_doc *sd)
{
    syn_status status = session_doc_status(sd);
    if (status == sd->told) return;
    sd->told = status;
    if (status == SYN_LIVE) {
        if (doc_unacked(sd) == 0) sd->failures = 0; /* else when the first is acknowledged */
        sd->s->attempts = 0;
        sd->reason[0] = '\0';
    }
    if (sd->s->port.status != NULL) sd->s->port.status(sd->s->port.user, sd);
}

/* ---- Frames ---------------------------------------------------------------------------------- */

static const struct change_container root_container = {.kind = SYN_TEXT, .form = CONTAINER_ROOT};

static session_doc *doc_of_channel(const session *s, uint32_t channel)
{
    if (channel == 0) return NULL;
    for (session_doc *sd = s->docs; sd != NULL; sd = sd->next) {
        bool open = sd->state == CHANNEL_OPENING || sd->state == CHANNEL_OPEN;
        if (open && sd->channel == channel) return sd;
    }
    return NULL;
}

struct proto_tables doc_tables(const session_doc *sd)
{
    if (NAMES && sd->in.container_count != 0) return proto_names_tables(&sd->in);
    return (struct proto_tables){&sd->channel_peer, 1, &root_container, 1};
}

static bool channel_tables(void *user, uint32_t channel, struct proto_tables *out)
{
    const session_doc *sd = doc_of_channel(user, channel);
    if (sd == NULL) return false;
    *out = doc_tables(sd);
    return true;
}

/* Credit for the frame is given back when half of the window is used. */
static void give_back(session_doc *sd, size_t len)
{
    struct frame frame = {.channel = sd->channel, .kind = FRAME_CREDIT};
    sd->give_back += (uint32_t)len;
    if (sd->give_back < sd->s->window / 2 || sd->state != CHANNEL_OPEN) return;
    frame.as.credit.bytes = sd->give_back;
    sd->give_back = 0;
    session_send(sd->s, &frame);
}

static void handle_credit(session_doc *sd, const struct msg_credit *credit)
{
    sd->credit += credit->bytes;
    if (sd->credit > (int64_t)LIMIT_CREDIT_BYTES) sd->credit = LIMIT_CREDIT_BYTES;
    doc_pump(sd);
}

static void handle_access(session_doc *sd, const struct msg_access *access)
{
    sd->rights = access->rights;
    if (!(sd->rights & RIGHT_READ))
        doc_give_up(sd, CODE_FORBIDDEN, syn_s("no right to read any more"));
}

static void handle_names(session_doc *sd, const struct msg_names *names)
{
    struct proto_fault fault = {.text = "Names were not agreed"};
    bool agreed = NAMES && sd->in.container_count != 0;
    if (!agreed || proto_names_add(&sd->in, names, &fault))
        doc_resync(sd, agreed ? 0 : sd->s->backoff_max, fault.text);
}

static void on_open_channel(session_doc *sd, const struct frame *frame, const void *bytes,
                            size_t len)
{
    switch (frame->kind) {
    case FRAME_CHANGES:
        handle_changes(sd, &frame->as.changes);
        give_back(sd, len);
        break;
    case FRAME_PACKED:
        handle_packed(sd, &frame->as.packed);
        give_back(sd, len);
        break;
    case FRAME_SNAPSHOT:
        if (SNAPSHOTS) handle_snapshot(sd, bytes, len);
        give_back(sd, len);
        break;
    case FRAME_ACK:
        handle_ack(sd, &frame->as.ack);
        break;
    case FRAME_NACK:
        handle_nack(sd, &frame->as.nack);
        break;
    case FRAME_CREDIT:
        handle_credit(sd, &frame->as.credit);
        break;
    case FRAME_PRESENCE:
        handle_presence(sd, &frame->as.presence, (syn_str){bytes, len});
        break;
    case FRAME_WANT:
        handle_want(sd, &frame->as.want);
        break;
    case FRAME_ACCESS:
        handle_access(sd, &frame->as.access);
        break;
    case FRAME_NAMES:
        handle_names(sd, &frame->as.names);
        break;
    default:
        break;
    }
}

/* A frame for a channel that was left is late, not wrong. */
static void on_channel(session *s, const struct frame *frame, const void *bytes, size_t len)
{
    session_doc *sd = doc_of_channel(s, frame->channel);
    if (sd == NULL) return;
    if (frame->kind == FRAME_OPENED)
        handle_opened(sd, &frame->as.opened);
    else if (frame->kind == FRAME_CLOSED)
        handle_closed(sd, &frame->as.closed);
    else if (sd->state == CHANNEL_OPEN)
        on_open_channel(sd, frame, bytes, len);
    else
        doc_resync(sd, 0, "the server sent something before Opened");
}

static void dispatch(session *s, const struct frame *frame, const void *bytes, size_t len)
{
    struct frame pong = {.kind = FRAME_PONG, .as.ping = frame->as.ping};
    if (frame->kind == 0) return;
    if (frame->kind == FRAME_WELCOME)
        handle_welcome(s, &frame->as.welcome);
    else if (frame->kind == FRAME_ERROR)
        handle_error(s, &frame->as.error);
    else if (frame->kind == FRAME_PING)
        session_send(s, &pong);
    else if (s->link != LINK_LIVE)
        session_hang_up(s, "the server spoke before Welcome");
    else if (frame->channel != 0)
        on_channel(s, frame, bytes, len);
}

void session_receive(session *s, const void *bytes, size_t len, uint64_t now)
{
    struct frame frame = {0};
    struct proto_fault fault = {0};
    if (s->link == LINK_DOWN || s->closing) return;
    s->now = s->heard = now;
    s->pinged = 0;
    syn_err err = proto_decode(s->arena, bytes, len, NULL, channel_tables, s, &frame, &fault);
    if (!err) {
        dispatch(s, &frame, bytes, len);
        return;
    }
    session_doc *sd = doc_of_channel(s, frame.channel);
    if (sd != NULL)
        doc_resync(sd, 0, fault_text(&fault, err));
    else if (frame.channel == 0)
        session_hang_up(s, fault_text(&fault, err));
}

/* ---- Time ------------------------------------------------------------------------------------ */

static void beat(session *s)
{
    struct frame ping = {.kind = FRAME_PING};
    uint64_t silent = s->now - s->heard;
    if (silent >= 3ull * s->heartbeat) {
        session_hang_up(s, "nothing received for three heartbeats");
    } else if (silent >= s->heartbeat && s->pinged == 0 && s->link == LINK_LIVE) {
        s->pinged = s->now;
        ping.as.ping.nonce = s->now;
        session_send(s, &ping);
    }
}

static void doc_tick(session_doc *sd)
{
    session *s = sd->s;
    if (sd->state == CHANNEL_WAITING && s->now >= sd->retry_at) doc_open(sd);
    if (sd->state != CHANNEL_OPEN) return;
    doc_presence_tick(sd);
    doc_pump(sd);
}

void session_tick(session *s, uint64_t now)
{
    s->now = now;
    if (s->link == LINK_DOWN || s->closing) return;
    beat(s);
    if (!session_live(s)) return;
    for (session_doc *sd = s->docs; sd != NULL; sd = sd->next) doc_tick(sd);
}

static void earlier(uint64_t *next, uint64_t at)
{
    if (at != 0 && at < *next) *next = at;
}

uint64_t session_next_tick(const session *s)
{
    uint64_t next = NEVER;
    if (s->link == LINK_DOWN || s->closing) return next;
    next = s->heard + (s->pinged != 0 || s->link == LINK_HELLO ? 3ull : 1ull) * s->heartbeat;
    for (const session_doc *sd = s->docs; sd != NULL; sd = sd->next) {
        bool waits = sd->state == CHANNEL_WAITING || sd->state == CHANNEL_OPEN;
        if (waits) earlier(&next, sd->retry_at);
        earlier(&next, doc_presence_next(sd));
    }
    return next;
}
