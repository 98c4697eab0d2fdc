/* fanout.c -- from a room's log to its readers.
 *
 * What became durable since the last fan-out is encoded once, in frames of about 64 KiB, into a
 * ring of bodies; a reader whose cursor stands where a body begins gets it as it is, everyone else
 * an export of his own up to where the next body begins, so that he falls in with the others.
 * Nothing is kept per reader but the cursor, and how much of the room's names he was told. */
#include "hub_impl.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

/* ---- The ring of bodies ---------------------------------------------------------------------- */

static struct body *body_at(struct room *room, uint32_t index)
{
    return &room->bodies[(room->body_first + index) % MAX_BODIES];
}

static void body_free(struct body *body)
{
    syn_buf_free(&body->bytes);
    syn_buf_free(&body->named);
}

static struct body *body_push(struct room *room)
{
    if (room->body_count == MAX_BODIES) {
        body_free(body_at(room, 0));
        room->body_first = (room->body_first + 1) % MAX_BODIES;
        room->body_count--;
    }
    struct body *body = body_at(room, room->body_count++);
    memset(body, 0, sizeof *body);
    return body;
}

void room_bodies_clear(struct room *room)
{
    for (uint32_t i = 0; i < room->body_count; i++) body_free(body_at(room, i));
    memset(room->bodies, 0, sizeof room->bodies);
    room->body_first = room->body_count = 0;
}

static bool author_alone(const struct room *room)
{
    return room->author != NOBODY && room->channel_count == 1 &&
           room->channels->session == room->author;
}

/* Which forms of a body have readers. */
struct forms {
    bool plain, named;
};

static struct forms forms_read(const struct room *room)
{
    struct forms forms = {false, false};
    if (author_alone(room)) return forms;
    for (const struct channel *ch = room->channels; ch != NULL; ch = ch->next)
        *(reads_names(ch) ? &forms.named : &forms.plain) = true;
    return forms;
}

/* Named where that can be, for those who read so; plain for the others, or if it cannot be. */
static syn_err encode_forms(struct room *room, const syn_changes *set, struct forms forms,
                            struct body *body)
{
    if (forms.named && naming_encode(room, set, &body->named)) forms.plain = true;
    return forms.plain ? proto_encode_changes_body(&body->bytes, set, NULL) : SYN_OK;
}

/* Bodies for [fanned, durable). */
static void encode_bodies(struct room *room)
{
    struct forms forms = forms_read(room);
    while (room->fanned < room->durable) {
        struct body *body = body_push(room);
        syn_changes set;
        uint32_t cut = room->durable;
        syn_span span = {room->fanned, room->durable};
        syn_err err = SYN_OK;
        if (forms.plain || forms.named) {
            err = syn_doc_export(room->doc, span, LIMIT_FRAME_EVENTS, room->hub->tuning.frame_piece,
                                 &set, &cut);
            if (!err) err = encode_forms(room, &set, forms, body);
        }
        if (err) { /* no memory: everyone makes his own */
            body_free(body);
            room->body_count--;
            cut = room->durable;
        }
        body->from = room->fanned;
        body->end = room->fanned = cut;
        body->only = room->author;
    }
    room->author = 0;
}

static uint32_t interval_ms(const struct room *room)
{
    uint32_t ms = room->channel_count / 50; /* members x 20 us */
    return ms < 2 ? 0 : ms > 25 ? 25 : ms;
}

void room_fan_out(struct room *room)
{
    hub *h = room->hub;
    if (h->now < room->fan_at) {
        room->fan_due = true;
        hub_wake(room, room->fan_at);
        return;
    }
    room->fan_due = false;
    uint32_t interval = interval_ms(room);
    room->fan_at = interval != 0 ? h->now + interval : 0;
    if (room->channel_count == 0) {
        room->fanned = room->durable;
        room->author = 0;
        return;
    }
    encode_bodies(room);
    for (struct channel *ch = room->channels, *next; ch != NULL; ch = next) {
        next = ch->next;
        channel_pump(ch, UINT32_MAX);
    }
}

/* ---- One frame for one channel --------------------------------------------------------------- */

static void send_body(struct channel *ch, syn_str body)
{
    hub *h = ch->conn->hub;
    h->prefix.len = 0;
    if (proto_encode_channel(&h->prefix, ch->number)) {
        channel_closed(ch, CODE_RESYNC, false, RETRY_MS, "out of memory");
        return;
    }
    ch->credit -= (int64_t)(h->prefix.len + body.len);
    conn_send(ch->conn, (syn_str){h->prefix.data, h->prefix.len}, body);
}

/* Who answers for each peer of the set, for readers that asked (Open.authors).  Reading a peer may
 * add its user to the room's and move them all, so names are borrowed only when all are read. */
static syn_err name_authors(struct room *room, syn_changes *set, syn_str **out)
{
    uint32_t count = set->peer_count;
    uint32_t *users = calloc(count + 1u, sizeof *users);
    *out = calloc(count + 1u, sizeof **out);
    syn_err err = users != NULL && *out != NULL ? SYN_OK : SYN_ENOMEM;
    for (uint32_t i = 0; !err && i < count; i++) {
        struct room_peer peer;
        err = room_peer_read(room, set->peers[i], &peer);
        users[i] = peer.user;
    }
    for (uint32_t i = 0; !err && i < count; i++)
        if (users[i] != 0) (*out)[i] = syn_s(room->users[users[i]].name);
    free(users);
    if (err) return err;
    set->author = *out;
    return SYN_OK;
}

static syn_err encode_piece(struct channel *ch, syn_changes *set, syn_buf *body)
{
    hub *h = ch->conn->hub;
    syn_str *authors = NULL;
    syn_err err = ch->authors ? name_authors(ch->room, set, &authors) : SYN_OK;
    h->message.len = body->len = 0;
    if (!err) err = proto_encode_changes(&h->message, set, NULL);
    bool pack = (ch->conn->features & FEATURE_PACKED) && h->message.len > PACK_ABOVE &&
                h->message.len <= ch->conn->max_raw;
    if (!err && pack) {
        err = proto_encode_packed_body(body, PACKED_CHANGES, h->message.data, h->message.len);
        if (err == SYN_ENOTFOUND) err = proto_encode_changes_body(body, set, NULL);
    } else if (!err) {
        err = proto_encode_changes_body(body, set, NULL);
    }
    free(authors);
    return err;
}

/* Exports and sends log [from, end), or the beginning of it; returns where it stopped. */
static uint32_t send_piece(struct channel *ch, uint32_t from, uint32_t end)
{
    hub *h = ch->conn->hub;
    syn_changes set;
    uint32_t cut = from;
    size_t bytes = ch->conn->max_frame / 2;
    if (bytes > h->tuning.frame_piece) bytes = h->tuning.frame_piece;
    syn_span span = {from, end};
    syn_err err = syn_doc_export(ch->room->doc, span, LIMIT_FRAME_EVENTS, bytes, &set, &cut);
    if (!err) err = encode_piece(ch, &set, &h->scratch);
    if (err) {
        channel_closed(ch, CODE_BUSY, false, RETRY_MS, "out of memory");
        return end;
    }
    send_body(ch, (syn_str){h->scratch.data, h->scratch.len});
    return cut;
}

static bool pump_snapshot(struct channel *ch)
{
    const syn_buf *body = &ch->snapshot->bodies[ch->part_at++];
    syn_str bytes = {body->data, body->len};
    send_body(ch, bytes);
    if (ch->conn != NULL && ch->part_at == ch->snapshot->count) {
        snapshot_unref(ch->snapshot);
        ch->snapshot = NULL;
    }
    return true;
}

static bool pump_span(struct channel *ch)
{
    syn_span *span = &ch->spans[ch->span_at];
    uint32_t end = span->end < ch->room->durable ? span->end : ch->room->durable;
    if (span->from >= end) return false; /* wanted, but not on the disk yet */
    uint32_t cut = send_piece(ch, span->from, end);
    if (ch->conn == NULL) return true;
    span->from = cut;
    if (span->from == span->end) ch->span_at++;
    return true;
}

/* Events concurrent to the snapshot that this client stands on need what is below it. */
static bool needs_history(const struct channel *ch)
{
    return ch->base != NO_POSITION && ch->cursor < ch->room->durable &&
           syn_doc_critical(ch->room->doc, ch->base) != ch->base;
}

static void push_history(struct channel *ch)
{
    struct room *room = ch->room;
    syn_span *span = malloc(sizeof *span);
    syn_err err = span != NULL ? room_backfill(room) : SYN_ENOMEM;
    if (err) {
        free(span);
        channel_closed(ch, err == SYN_ENOMEM ? CODE_BUSY : CODE_DAMAGED, false, RETRY_MS,
                       "the history that this document needs cannot be read");
        return;
    }
    *span = (syn_span){0, ch->base + 1};
    free(ch->spans);
    ch->spans = span;
    ch->span_count = 1;
    ch->span_at = 0;
    ch->base = NO_POSITION;
}

/* A body that begins at the cursor; else where the reader's own export has to stop. */
static struct body *body_for(struct channel *ch, uint32_t *stop)
{
    struct room *room = ch->room;
    *stop = room->durable;
    for (uint32_t i = 0; i < room->body_count; i++) {
        struct body *body = body_at(room, i);
        if (body->from == ch->cursor) return body;
        if (body->from > ch->cursor && body->from < *stop) *stop = body->from;
    }
    return NULL;
}

/* false: it is not encoded in a form that this channel can read. */
static bool send_shared(struct channel *ch, const struct body *body)
{
    bool named = reads_names(ch) && body->named.len != 0;
    const syn_buf *form = named ? &body->named : &body->bytes;
    if (form->len == 0 || ch->authors || form->len + 8 > ch->conn->max_frame) return false;
    if (named) naming_tell(ch);
    if (ch->conn != NULL) send_body(ch, (syn_str){form->data, form->len});
    return true;
}

static bool pump_live(struct channel *ch)
{
    while (ch->cursor < ch->room->durable) {
        uint32_t stop;
        struct body *body = body_for(ch, &stop);
        if (body != NULL && body->only == ch->session) { /* nobody's but his own */
            ch->cursor = body->end;
            continue;
        }
        if (body != NULL) stop = body->end;
        uint32_t next = stop;
        if (body == NULL || !send_shared(ch, body)) next = send_piece(ch, ch->cursor, stop);
        if (ch->conn != NULL) ch->cursor = next;
        return true;
    }
    return false;
}

static bool pump_one(struct channel *ch)
{
    if (ch->snapshot != NULL) return pump_snapshot(ch);
    if (ch->span_at == ch->span_count && needs_history(ch)) {
        push_history(ch);
        if (ch->conn == NULL) return true;
    }
    if (ch->span_at < ch->span_count) return pump_span(ch);
    return pump_live(ch);
}

bool channel_pump(struct channel *ch, uint32_t max_frames)
{
    bool sent = false;
    channel_ref(ch);
    while (max_frames-- != 0 && ch->conn != NULL && ch->started && !ch->need_vector &&
           !ch->conn->blocked && ch->conn->state == CONN_LIVE && ch->credit > 0) {
        if (!pump_one(ch)) break;
        sent = true;
    }
    channel_unref(ch);
    return sent;
}

/* ---- Snapshots for joining ------------------------------------------------------------------- */

void snapshot_unref(struct snapshot_parts *parts)
{
    if (parts == NULL || --parts->refs != 0) return;
    for (uint32_t i = 0; i < parts->count; i++) syn_buf_free(&parts->bodies[i]);
    free(parts->bodies);
    free(parts);
}

/* Tag and length of Frame.snapshot, then the message. */
static syn_err wrap_part(syn_buf *out, syn_str message)
{
    unsigned char head[8];
    size_t n = 0, left = message.len;
    head[n++] = (FRAME_SNAPSHOT << 3) | 2;
    for (; left >= 0x80; left >>= 7) head[n++] = (unsigned char)(left | 0x80);
    head[n++] = (unsigned char)left;
    syn_err err = syn_buf_append(out, head, n);
    return err ? err : syn_buf_append(out, message.data, message.len);
}

static syn_err add_part(struct snapshot_parts *parts, syn_str message)
{
    syn_buf *grown = realloc(parts->bodies, (parts->count + 1) * sizeof *grown);
    if (grown == NULL) return SYN_ENOMEM;
    parts->bodies = grown;
    syn_buf *body = &grown[parts->count++];
    memset(body, 0, sizeof *body);
    syn_err err = SYN_ENOTFOUND;
    if (parts->packed && message.len > PACK_ABOVE)
        err = proto_encode_packed_body(body, PACKED_SNAPSHOT, message.data, message.len);
    if (err == SYN_ENOTFOUND) err = wrap_part(body, message);
    parts->bytes += body->len;
    return err;
}

static syn_err emit_part(void *user, uint32_t part, uint32_t count, syn_str bytes)
{
    (void)part;
    (void)count;
    return add_part(user, bytes);
}

static syn_err fresh_snapshot(struct room *room, struct snapshot_parts *parts)
{
    syn_snapshot snapshot;
    uint64_t digest;
    parts->at = syn_doc_log_end(room->doc) - 1;
    syn_err err = syn_doc_snapshot(room->doc, &snapshot);
    if (!err) err = proto_digest(&snapshot, &digest, NULL);
    if (!err)
        err = proto_encode_snapshot(&snapshot, digest, digest, room->hub->tuning.frame_piece,
                                    emit_part, parts);
    return err;
}

struct reading {
    struct room *room;
    struct snapshot_parts *parts;
};

/* The first part says which version it is; that it is still critical is seen in the log. */
static syn_err read_part(void *user, const struct store_piece *piece)
{
    struct reading *reading = user;
    struct room *room = reading->room;
    struct msg_snapshot head;
    struct proto_fault fault;
    if (piece->packed) return SYN_EKIND;
    if (piece->from == 0) {
        syn_err err = proto_decode_snapshot(room->hub->inner, piece->bytes.data, piece->bytes.len,
                                            &head, &fault);
        if (err || head.piece.head_count != 1) return SYN_EKIND;
        uint32_t at = syn_doc_position(room->doc, head.piece.heads[0]);
        if (at == UINT32_MAX || syn_doc_critical(room->doc, at) != at) return SYN_EKIND;
        reading->parts->at = at;
    }
    return add_part(reading->parts, piece->bytes);
}

static syn_err stored_snapshot(struct room *room, struct snapshot_parts *parts)
{
    struct reading reading = {room, parts};
    if (room->snapshot_at == 0) return SYN_EKIND;
    syn_err err = store_read_snapshot(room->hub->store, room->id, read_part, &reading);
    return !err && parts->count == 0 ? SYN_EKIND : err;
}

static bool usable(const struct room *room, bool packed)
{
    const struct snapshot_parts *parts = room->snapshot;
    return parts != NULL && parts->packed == packed &&
           syn_doc_log_end(room->doc) - parts->at <= 256 &&
           syn_doc_critical(room->doc, parts->at) == parts->at;
}

syn_err snapshot_make(struct room *room, bool packed, struct snapshot_parts **out)
{
    if (usable(room, packed)) {
        room->snapshot->refs++;
        *out = room->snapshot;
        return SYN_OK;
    }
    struct snapshot_parts *parts = calloc(1, sizeof *parts);
    if (parts == NULL) return SYN_ENOMEM;
    parts->refs = 1;
    parts->packed = packed;
    bool one_head = syn_doc_heads(room->doc, NULL, 0) == 1;
    syn_err err = one_head ? fresh_snapshot(room, parts) : stored_snapshot(room, parts);
    if (err) {
        snapshot_unref(parts);
        return err;
    }
    snapshot_unref(room->snapshot);
    parts->refs++;
    room->snapshot = parts;
    *out = parts;
    return SYN_OK;
}
