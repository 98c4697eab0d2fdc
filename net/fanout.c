/* fanout.c -- from a room's log to its readers.
 *
 * What became durable since the last fan-out is encoded once, in frames of about 64 KiB, into a
 * ring of bodies; a reader whose cursor stands where a body begins gets it as it is, everyone else
 * an export of his own up to where the next body begins, so that he falls in with the others.
 * Nothing is kept per reader but the cursor, and how much of the room's names he was told.
 *
 * Who needs the history gets it in deflated pieces; the newest stay with the room for a while, for
 * joiners come together, and deflating one takes as long as a hundred sends. */
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

static syn_err pack_piece(const syn_buf *message, syn_buf *body)
{
    if (message->len <= PACK_WELL)
        return proto_encode_packed_body(body, PACKED_CHANGES, message->data, message->len);
    return proto_encode_packed_soon(body, PACKED_CHANGES, message->data, message->len);
}

/* Into scratch; *packed: it is deflated. */
static syn_err encode_piece(struct channel *ch, syn_changes *set, bool *packed)
{
    hub *h = ch->conn->hub;
    syn_str *authors = NULL;
    syn_err err = ch->authors ? name_authors(ch->room, set, &authors) : SYN_OK;
    h->message.len = h->scratch.len = 0;
    if (!err) err = proto_encode_changes(&h->message, set, NULL);
    *packed = (ch->conn->features & FEATURE_PACKED) && h->message.len > PACK_ABOVE &&
              h->message.len <= ch->conn->max_raw;
    if (!err && *packed) {
        err = pack_piece(&h->message, &h->scratch);
        *packed = err == SYN_OK;
    }
    if (err == SYN_ENOTFOUND || (!err && !*packed))
        err = proto_encode_changes_body(&h->scratch, set, NULL);
    free(authors);
    return err;
}

/* One that begins there, is not beyond `end`, and that this channel can read. */
static const struct piece *piece_for(const struct channel *ch, uint32_t from, uint32_t end,
                                     size_t bytes)
{
    struct pieces *pieces = ch->room->pieces;
    if (pieces == NULL || ch->authors || !(ch->conn->features & FEATURE_PACKED)) return NULL;
    for (uint32_t i = 0; i < PIECES; i++) {
        struct piece *piece = &pieces->of[i];
        if (piece->from != from || piece->end == from || piece->end > end) continue;
        if (piece->bytes > bytes || piece->raw > ch->conn->max_raw) continue;
        pieces->used_at = piece->used_at = ch->room->hub->now;
        return piece;
    }
    return NULL;
}

/* The one that was asked for longest ago, if that is long ago.  Else the last one made: everybody
 * reads from the beginning, so of a log that is longer than the row its front stays; by turns
 * nothing would. */
static struct piece *place_for_piece(struct pieces *pieces, uint64_t now)
{
    struct piece *oldest = &pieces->of[0];
    for (uint32_t i = 0; i < PIECES; i++) {
        struct piece *piece = &pieces->of[i];
        if (piece->end == piece->from) return piece;
        if (piece->used_at < oldest->used_at) oldest = piece;
    }
    return now - oldest->used_at >= PIECE_MS ? oldest : pieces->last;
}

/* What is in scratch, for others.  Only where it does not end because the log does. */
static void keep_piece(struct room *room, syn_span span, size_t bytes)
{
    hub *h = room->hub;
    if (room->pieces == NULL) room->pieces = calloc(1, sizeof *room->pieces);
    struct pieces *pieces = room->pieces;
    if (pieces == NULL) return;
    struct piece *piece = place_for_piece(pieces, h->now);
    syn_buf_free(&piece->body);
    *piece = (struct piece){.bytes = bytes, .raw = h->message.len, .used_at = h->now};
    if (syn_buf_append(&piece->body, h->scratch.data, h->scratch.len)) return;
    piece->from = span.from;
    piece->end = span.end;
    pieces->last = piece;
    pieces->used_at = h->now;
    pieces->made++;
}

void room_pieces_clear(struct room *room)
{
    for (uint32_t i = 0; room->pieces != NULL && i < PIECES; i++)
        syn_buf_free(&room->pieces->of[i].body);
    free(room->pieces);
    room->pieces = NULL;
}

/* Exports and sends log [from, end), or the beginning of it; returns where it stopped. */
static uint32_t send_piece(struct channel *ch, uint32_t from, uint32_t end)
{
    hub *h = ch->conn->hub;
    syn_changes set;
    bool packed = false;
    uint32_t cut = from;
    size_t bytes = ch->conn->max_frame / 2;
    if (bytes > h->tuning.frame_piece) bytes = h->tuning.frame_piece;
    const struct piece *made = piece_for(ch, from, end, bytes);
    if (made != NULL) {
        cut = made->end;
        send_body(ch, (syn_str){made->body.data, made->body.len});
        return cut;
    }
    syn_span span = {from, end};
    syn_err err = syn_doc_export(ch->room->doc, span, LIMIT_FRAME_EVENTS, bytes, &set, &cut);
    if (!err) err = encode_piece(ch, &set, &packed);
    if (!err && packed && cut < end && !ch->authors)
        keep_piece(ch->room, (syn_span){from, cut}, bytes);
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

/* false: it waits until the history is there. */
static bool push_history(struct channel *ch)
{
    struct room *room = ch->room;
    syn_span *span = malloc(sizeof *span);
    syn_err err = span != NULL ? room_backfill(room) : SYN_ENOMEM;
    if (err) {
        free(span);
        if (err == SYN_EBUSY) return false;
        channel_closed(ch, err == SYN_ENOMEM ? CODE_BUSY : CODE_DAMAGED, false, RETRY_MS,
                       "the history that this document needs cannot be read");
        return true;
    }
    *span = (syn_span){0, ch->base + 1};
    free(ch->spans);
    ch->spans = span;
    ch->span_count = 1;
    ch->span_at = 0;
    ch->base = NO_POSITION;
    return true;
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
        if (!push_history(ch)) return false;
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
