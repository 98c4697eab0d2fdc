/* hub.c -- life, what a frame is for, time.
 *
 * See hub_impl.h for the structures and who sees which part of a log. */
#include "hub_impl.h"

#include <assert.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define ROOM_SLOTS 1024u

void hub_log(hub *h, const char *event, const char *format, ...)
{
    char line[512];
    va_list args;
    if (h->port.log == NULL) return;
    va_start(args, format);
    vsnprintf(line, sizeof line, format, args);
    va_end(args);
    h->port.log(h->port.user, event, line);
}

void hub_wake(struct room *room, uint64_t at)
{
    hub *h = room->hub;
    if (h->wake == 0 || at < h->wake) h->wake = at;
    if (room->due) return;
    room->due = true;
    room->due_next = h->due;
    h->due = room;
}

/* ---- Life ------------------------------------------------------------------------------------ */

/* A restored file has a new id, but remembers which one was served from it before. */
static syn_err find_restored(hub *h)
{
    uint8_t served[STORE_ID_BYTES];
    size_t len = 0;
    syn_str key = syn_s("served"), was = syn_s("restored");
    store_turn *turn;
    syn_err err = store_read_note(h->store, 0, key, served, sizeof served, &len);
    if (err && err != SYN_ENOTFOUND) return err;
    h->restored = store_read_note(h->store, 0, was, NULL, 0, &len) == SYN_OK;
    if (!err && memcmp(served, h->store_id, sizeof served) == 0) return SYN_OK;
    if (!err) h->restored = true;
    err = store_turn_new(h->store, &turn);
    if (err) return err;
    err = store_turn_note(turn, 0, key, (syn_str){(const char *)h->store_id, STORE_ID_BYTES});
    if (!err && h->restored) err = store_turn_note(turn, 0, was, syn_s("yes"));
    if (!err) return store_commit(turn);
    store_turn_drop(turn);
    return err;
}

syn_err hub_new(hub **out, syn_store *store, const struct hub_port *port)
{
    hub *h = calloc(1, sizeof *h);
    if (h == NULL) return SYN_ENOMEM;
    h->store = store;
    h->port = *port;
    limits_default(&h->limits);
    h->tuning =
        (struct hub_tuning){FRAME_PIECE, FOLD_ROWS, FOLD_BYTES, INFLATE_AT_ONCE, SNAPSHOT_AT_ONCE};
    h->rooms = calloc(ROOM_SLOTS, sizeof *h->rooms);
    h->room_slots = ROOM_SLOTS;
    syn_err err = h->rooms != NULL ? SYN_OK : SYN_ENOMEM;
    if (!err) err = proto_arena_new(&h->arena, NULL);
    if (!err) err = proto_arena_new(&h->inner, NULL);
    store_id(store, h->store_id);
    if (!err) err = find_restored(h);
    if (!err) err = exceptions_load(h);
    if (err) {
        hub_free(h);
        return err;
    }
    h->hash_key = port->random(port->user);
    h->next_conn = port->random(port->user) & 0xffffffffffffu;
    *out = h;
    return SYN_OK;
}

void hub_tune(hub *h, const struct hub_tuning *tuning)
{
    h->tuning = *tuning;
}

void hub_limit(hub *h, const struct limits *limits)
{
    h->limits = *limits;
    exceptions_renew(h);
}

const struct limits *hub_limits(const hub *h)
{
    return &h->limits;
}

void hub_free(hub *h)
{
    if (h == NULL) return;
    while (h->conns != NULL) hub_disconnect(h, h->conns, h->now);
    turn_free(&h->gathering);
    assert(h->flying == NULL);
    for (uint32_t i = 0; h->rooms != NULL && i < h->room_slots; i++) {
        while (h->rooms[i] != NULL) {
            struct room *room = h->rooms[i];
            h->rooms[i] = room->hash_next;
            room_free(room);
        }
    }
    accounts_free(h);
    exceptions_free(h);
    free(h->rooms);
    proto_arena_free(h->arena);
    proto_arena_free(h->inner);
    syn_buf_free(&h->scratch);
    syn_buf_free(&h->message);
    syn_buf_free(&h->prefix);
    free(h);
}

/* ---- Frames ---------------------------------------------------------------------------------- */

struct channel *conn_channel(const hub_conn *conn, uint32_t number)
{
    uint32_t low = 0, high = conn->channel_count;
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        if (conn->channels[middle]->number < number)
            low = middle + 1;
        else
            high = middle;
    }
    if (low == conn->channel_count || conn->channels[low]->number != number) return NULL;
    return conn->channels[low];
}

static const struct change_container default_container = {.kind = SYN_TEXT, .form = CONTAINER_ROOT};

static bool tables_of(void *user, uint32_t number, struct proto_tables *out)
{
    static const uint64_t some_peer = 1;
    const hub_conn *conn = user;
    const struct channel *ch = conn_channel(conn, number);
    if (ch == NULL && number > conn->last_channel) return false;
    if (ch == NULL) { /* it crossed our Closed, and is read only to be ignored */
        *out = (struct proto_tables){&some_peer, 1, &default_container, 1};
        return true;
    }
    *out = channel_tables(ch);
    return true;
}

static void handle_credit(struct channel *ch, const struct msg_credit *credit)
{
    if (ch->credit + (int64_t)credit->bytes > (int64_t)LIMIT_CREDIT_BYTES) {
        channel_closed(ch, CODE_LIMIT, true, 0, "more than 1 GiB of credit");
        return;
    }
    ch->credit += credit->bytes;
    channel_pump(ch, UINT32_MAX);
}

/* Id by id: a syn_id has padding, which memcmp would compare too. */
static bool same_heads(const syn_doc *doc, const struct msg_version *theirs)
{
    syn_id ours[LIMIT_PARENTS];
    uint32_t count = (uint32_t)syn_doc_heads(doc, ours, LIMIT_PARENTS);
    bool same = count > 0 && count <= LIMIT_PARENTS && count == theirs->head_count;
    for (uint32_t i = 0; same && i < count; i++)
        same = ours[i].peer == theirs->heads[i].peer && ours[i].seq == theirs->heads[i].seq;
    return same;
}

static void handle_digest(struct channel *ch, const struct msg_digest *theirs)
{
    struct room *room = ch->room;
    struct frame frame = {.channel = ch->number, .kind = FRAME_DIGEST};
    struct msg_digest *ours = &frame.as.digest;
    syn_snapshot snapshot;
    hub *h = room->hub;
    if (!(ch->conn->features & FEATURE_DIGEST)) return;
    if (h->now < room->digest_at || h->now < h->digest_at) return;
    if (!same_heads(room->doc, &theirs->version)) return; /* only equal versions can be compared */
    room->digest_at = h->now + DIGEST_MS;
    h->digest_at = h->now + syn_doc_events(room->doc) / DIGEST_EVENTS_MS;
    if (syn_doc_snapshot(room->doc, &snapshot)) return;
    uint64_t *hashes = calloc(snapshot.state_count + 1u, sizeof *hashes);
    if (hashes == NULL) return;
    if (proto_digest(&snapshot, &ours->hash, hashes) == SYN_OK && ours->hash != theirs->hash) {
        ours->version = theirs->version;
        ours->kinds = theirs->kinds;
        ours->peers = snapshot.peers;
        ours->peer_count = snapshot.peer_count;
        ours->containers = snapshot.containers;
        ours->container_count = snapshot.container_count;
        uint64_t *by_container = calloc(snapshot.container_count + 1u, sizeof *by_container);
        for (uint32_t i = 0; by_container != NULL && i < snapshot.state_count; i++)
            by_container[snapshot.states[i].container] = hashes[i];
        ours->container_hash = by_container;
        if (by_container != NULL) hold_frame(ch, &frame);
        free(by_container);
        hub_log(h, "digest", "document %s: a client's state differs", room->name);
    }
    free(hashes);
}

static void handle_close(struct channel *ch)
{
    if (ch->closing) return;
    ch->closing = true;
    hold_closed(ch, CODE_OK, false, "");
}

static void never_opened(hub_conn *conn, uint32_t channel)
{
    char text[64];
    snprintf(text, sizeof text, "channel %u was never opened", channel);
    conn_error(conn, CODE_MALFORMED, true, 0, text);
}

static void handle_on_channel(hub_conn *conn, struct frame *frame, size_t len)
{
    struct channel *ch = conn_channel(conn, frame->channel);
    if (frame->channel > conn->last_channel) {
        never_opened(conn, frame->channel);
        return;
    }
    if (ch == NULL || ch->closing) return; /* it crossed our Closed */
    switch (frame->kind) {
    case FRAME_CHANGES:
        accept_changes(ch, &frame->as.changes, len);
        break;
    case FRAME_PACKED:
        inflate_receive(ch, &frame->as.packed, len);
        break;
    case FRAME_CREDIT:
        handle_credit(ch, &frame->as.credit);
        break;
    case FRAME_WANT:
        join_want(ch, &frame->as.want);
        break;
    case FRAME_CLOSE:
        handle_close(ch);
        break;
    case FRAME_PRESENCE:
        presence_receive(ch, &frame->as.presence);
        break;
    case FRAME_DIGEST:
        handle_digest(ch, &frame->as.digest);
        break;
    case FRAME_NAMES:
        naming_receive(ch, &frame->as.names);
        break;
    default:
        break;
    }
}

static bool is_for_channel(enum frame_kind kind)
{
    return kind == FRAME_CHANGES || kind == FRAME_PACKED || kind == FRAME_CREDIT ||
           kind == FRAME_WANT || kind == FRAME_CLOSE || kind == FRAME_PRESENCE ||
           kind == FRAME_DIGEST || kind == FRAME_NAMES || kind == FRAME_OPEN;
}

static void dispatch(hub_conn *conn, struct frame *frame, size_t len)
{
    char text[96];
    struct frame pong = {.kind = FRAME_PONG, .as.ping = frame->as.ping};
    if (is_for_channel(frame->kind) && frame->channel != 0) {
        struct channel *ch = conn_channel(conn, frame->channel);
        if (ch != NULL && wait_behind(ch, frame->kind)) return;
        if (frame->kind == FRAME_OPEN)
            join_open(conn, frame->channel, &frame->as.open);
        else
            handle_on_channel(conn, frame, len);
        return;
    }
    switch (frame->channel == 0 ? (int)frame->kind : -1) {
    case FRAME_PING:
        conn_frame(conn, &pong);
        break;
    case FRAME_PONG:
        break;
    case FRAME_AUTH:
        conn_auth(conn, &frame->as.auth);
        break;
    default:
        snprintf(text, sizeof text, "%s on channel %u is not for a client to send",
                 proto_frame_name(frame->kind), frame->channel);
        conn_error(conn, CODE_MALFORMED, true, 0, text);
    }
}

/* A frame that cannot be read closes its channel if it has one, else the connection.  Changes of a
 * channel that was never opened lack its tables, which is not what is wrong with them. */
static void undecodable(hub_conn *conn, const struct frame *frame, const struct proto_fault *fault)
{
    struct channel *ch = conn_channel(conn, frame->channel);
    bool permanent = fault->code != CODE_BUSY;
    bool known = conn->state == CONN_LIVE && frame->channel != 0;
    if (known && ch == NULL && frame->channel <= conn->last_channel) return;
    if (known && ch == NULL && frame->kind == FRAME_CHANGES)
        never_opened(conn, frame->channel);
    else if (known && ch != NULL)
        channel_closed(ch, fault->code, permanent, permanent ? 0 : RETRY_MS, fault->text);
    else
        conn_error(conn, fault->code, permanent, permanent ? 0 : RETRY_MS, fault->text);
}

void hub_receive(hub *h, hub_conn *conn, const void *bytes, size_t len, uint64_t now)
{
    struct frame frame = {0};
    struct proto_fault fault = {.code = CODE_BUSY, .text = "out of memory"};
    h->now = conn->heard = now;
    conn->pinged = 0;
    if (conn->state == CONN_CLOSED) return;
    h->stats.frames_in++;
    h->stats.bytes_in += len;
    if (len > hub_max_message(conn)) {
        conn_error(conn, CODE_LIMIT, true, 0, "frame above the limit of bytes");
        return;
    }
    struct pace pace = rates_received(conn, len);
    if (pace.state == BUCKET_CLOSE) {
        conn_limited(conn, pace.limit, pace.wait_ms);
        return;
    }
    syn_err err = proto_decode(h->arena, bytes, len, NULL, tables_of, conn, &frame, &fault);
    if (err) {
        undecodable(conn, &frame, &fault);
        return;
    }
    bool content = frame.kind == FRAME_CHANGES || frame.kind == FRAME_PACKED;
    if (!content && frame.kind != FRAME_CREDIT && !rates_control(conn)) {
        conn_limited(conn, LIM_CONNECTION_CONTROL, RETRY_MS);
        return;
    }
    h->raw = (syn_str){bytes, len};
    h->charged = false;
    if (conn->state == CONN_LIVE && frame.kind != FRAME_HELLO) {
        if (frame.kind != 0) dispatch(conn, &frame, len);
        return;
    }
    if (conn->state == CONN_HELLO && frame.kind == FRAME_HELLO && frame.channel == 0)
        conn_hello(conn, &frame.as.hello);
    else
        conn_error(conn, CODE_MALFORMED, true, 0,
                   frame.kind == FRAME_HELLO ? "a second Hello" : "Hello comes first");
}

void hub_replay(hub_conn *conn, syn_str bytes, bool charged)
{
    hub *h = conn->hub;
    struct frame frame = {0};
    struct proto_fault fault = {.code = CODE_BUSY, .text = "out of memory"};
    if (conn->state != CONN_LIVE) return;
    h->raw = bytes;
    h->charged = charged;
    if (proto_decode(h->arena, bytes.data, bytes.len, NULL, tables_of, conn, &frame, &fault))
        undecodable(conn, &frame, &fault); /* it was read before: no memory */
    else
        dispatch(conn, &frame, bytes.len);
}

/* ---- Time ------------------------------------------------------------------------------------ */

static void beat(hub *h, hub_conn *conn)
{
    struct frame ping = {.kind = FRAME_PING};
    uint64_t silent = h->now - conn->heard;
    if (conn->state != CONN_LIVE) {
        if (h->now - conn->since >= LIMIT_HANDSHAKE_MS)
            conn_error(conn, CODE_UNAUTHENTICATED, false, 0, "no sign-in within 5 seconds");
    } else if (conn->expires != 0 && h->now >= conn->expires) {
        conn_error(conn, CODE_EXPIRED, false, 0, "the token has ended");
    } else if (silent >= 3ull * LIMIT_HEARTBEAT_MS) {
        conn_error(conn, CODE_TOO_SLOW, false, 0, "nothing received for three heartbeats");
    } else if (silent >= LIMIT_HEARTBEAT_MS && conn->pinged == 0) {
        conn->pinged = h->now;
        ping.as.ping.nonce = h->now;
        conn_frame(conn, &ping);
    }
}

/* Each room lists itself again if it is not its time yet. */
static void run_due(hub *h)
{
    struct room *due = h->due;
    h->due = NULL;
    h->wake = 0;
    for (struct room *next; due != NULL; due = next) {
        next = due->due_next;
        due->due = false;
        if (due->fan_due) room_fan_out(due);
        if (due->presence_at != 0) presence_tick(due);
    }
}

void hub_tick(hub *h, uint64_t now)
{
    h->now = now;
    if (h->wake != 0 && now >= h->wake) run_due(h);
    rates_feed(h);
    if (store_failing(h->store) && now >= h->probe_at) {
        store_probe(h->store);
        h->probe_at = now + PROBE_MS;
    }
    if (now < h->beat_at) return;
    h->beat_at = now + 1000;
    for (hub_conn *conn = h->conns, *next; conn != NULL; conn = next) {
        next = conn->next;
        if (conn->state != CONN_CLOSED) beat(h, conn);
    }
    idle_rooms(h);
    accounts_sweep(h);
}

uint64_t hub_next_tick(const hub *h)
{
    uint64_t next = h->beat_at;
    if (h->wake != 0 && h->wake < next) next = h->wake;
    if (h->feed_at != 0 && h->feed_at < next) next = h->feed_at;
    if (store_failing(h->store) && h->probe_at < next) next = h->probe_at;
    return next;
}

void hub_goodbye(hub *h, uint64_t now)
{
    h->now = now;
    for (hub_conn *conn = h->conns, *next; conn != NULL; conn = next) {
        next = conn->next;
        conn_error(conn, CODE_GOING_AWAY, false, 500, "the server is going away");
    }
}

void hub_read_stats(const hub *h, struct hub_stats *out)
{
    *out = h->stats;
    out->read_only = store_failing(h->store);
    out->held = h->gathering.held_count;
    for (const struct turn *turn = h->flying; turn != NULL; turn = turn->next)
        out->held += turn->held_count;
    out->rooms = out->channels = out->opening = 0;
    for (uint32_t i = 0; i < h->room_slots; i++) {
        for (const struct room *room = h->rooms[i]; room != NULL; room = room->hash_next) {
            out->rooms++;
            out->opening += room->opening;
            out->channels += room->channel_count;
        }
    }
}
