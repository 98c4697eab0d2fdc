/* snapshot.c -- the state of a document as newcomers get it: parts, made once and shared.
 *
 *     small, one head   syn_doc_snapshot, encoded on the loop (a copy), deflated by a worker
 *     large             a worker makes it of the store: the stored one if little came since, or of
 *                       a copy of the document
 *     several heads     the stored one, if its version is still critical
 *
 * The newest is kept with its room, so that a crowd costs one; what came since goes behind it as
 * usual.  A small one is deflated at once, which is quicker than to wait. */
#include "hub_impl.h"

#include <stdlib.h>
#include <string.h>

/* What may be deflated on the loop: about 0.3 ms. */
#define PACK_AT_ONCE (8u * 1024u)

void snapshot_unref(struct snapshot_parts *parts)
{
    if (parts == NULL || --parts->refs != 0) return;
    for (uint32_t i = 0; i < parts->count; i++) syn_buf_free(&parts->bodies[i]);
    free(parts->bodies);
    free(parts);
}

static struct snapshot_parts *parts_new(bool packed)
{
    struct snapshot_parts *parts = calloc(1, sizeof *parts);
    if (parts == NULL) return NULL;
    parts->refs = 1;
    parts->packed = packed;
    return parts;
}

static syn_err add_part(struct snapshot_parts *parts, syn_str bytes)
{
    syn_buf *grown = realloc(parts->bodies, (parts->count + 1) * sizeof *grown);
    if (grown == NULL) return SYN_ENOMEM;
    parts->bodies = grown;
    syn_buf *body = &grown[parts->count];
    memset(body, 0, sizeof *body);
    syn_err err = syn_buf_append(body, bytes.data, bytes.len);
    if (err) return err;
    parts->count++;
    parts->bytes += bytes.len;
    return SYN_OK;
}

/* ---- Sealing: messages become frame bodies --------------------------------------------------- */

/* Tag and length of Frame.snapshot, then the message. */
static syn_err wrap(syn_buf *out, syn_str message)
{
    unsigned char head[8];
    size_t n = 0, left = message.len;
    head[n++] = (FRAME_SNAPSHOT << 3) | 2;
    for (; left >= 0x80; left >>= 7) head[n++] = (unsigned char)(left | 0x80);
    head[n++] = (unsigned char)left;
    syn_err err = syn_buf_append(out, head, n);
    return err ? err : syn_buf_append(out, message.data, message.len);
}

static syn_err seal(struct snapshot_parts *parts)
{
    parts->bytes = 0;
    for (uint32_t i = 0; i < parts->count; i++) {
        syn_buf body = {0}, *message = &parts->bodies[i];
        syn_err err = SYN_ENOTFOUND;
        if (parts->packed && message->len > PACK_ABOVE)
            err = proto_encode_packed_soon(&body, PACKED_SNAPSHOT, message->data, message->len);
        if (err == SYN_ENOTFOUND) {
            body.len = 0;
            err = wrap(&body, (syn_str){message->data, message->len});
        }
        if (err) {
            syn_buf_free(&body);
            return err;
        }
        syn_buf_free(message);
        *message = body;
        parts->bytes += body.len;
    }
    return SYN_OK;
}

/* ---- The stored one -------------------------------------------------------------------------- */

struct reading {
    struct snapshot_parts *parts;
    bool packed; /* as they rest */
};

static syn_err read_part(void *user, const struct store_piece *piece)
{
    struct reading *reading = user;
    reading->packed = piece->packed;
    return add_part(reading->parts, piece->bytes);
}

/* A packed body's message, in the arena. */
static syn_err open_part(proto_arena *arena, const syn_buf *body, syn_str *out)
{
    struct frame frame;
    struct proto_fault fault;
    syn_err err = proto_decode(arena, body->data, body->len, NULL, NULL, NULL, &frame, &fault);
    if (err || frame.kind != FRAME_PACKED) return err ? err : SYN_EKIND;
    struct msg_packed packed = frame.as.packed;
    return proto_inflate(arena, &packed, 0, out, &fault);
}

static syn_err unpack_parts(proto_arena *arena, struct snapshot_parts *parts)
{
    for (uint32_t i = 0; i < parts->count; i++) {
        syn_buf plain = {0};
        syn_str message;
        syn_err err = open_part(arena, &parts->bodies[i], &message);
        if (!err) err = syn_buf_append(&plain, message.data, message.len);
        if (err) return err;
        syn_buf_free(&parts->bodies[i]);
        parts->bodies[i] = plain;
    }
    return SYN_OK;
}

/* The first part says which version it is. */
static syn_err find_head(struct snapshot_parts *parts, bool rests_packed, proto_arena *arena,
                         proto_arena *inner)
{
    struct msg_snapshot head;
    struct proto_fault fault;
    syn_str first = {parts->bodies[0].data, parts->bodies[0].len};
    syn_err err = rests_packed ? open_part(arena, &parts->bodies[0], &first) : SYN_OK;
    if (!err) err = proto_decode_snapshot(inner, first.data, first.len, &head, &fault);
    if (err || head.piece.head_count != 1) return err == SYN_ENOMEM ? err : SYN_EKIND;
    parts->head = head.piece.heads[0];
    return SYN_OK;
}

static syn_err finish(struct reading *reading)
{
    struct snapshot_parts *parts = reading->parts;
    proto_arena *arena = NULL, *inner = NULL;
    if (parts->count == 0) return SYN_EKIND;
    syn_err err = proto_arena_new(&arena, NULL);
    if (!err) err = proto_arena_new(&inner, NULL);
    if (!err) err = find_head(parts, reading->packed, arena, inner);
    if (!err && reading->packed && !parts->packed) {
        err = unpack_parts(arena, parts);
        reading->packed = false;
    }
    proto_arena_free(arena);
    proto_arena_free(inner);
    return err || reading->packed ? err : seal(parts);
}

static syn_err read_stored(syn_store *store, int64_t id, bool packed, struct snapshot_parts **out)
{
    struct reading reading = {.parts = parts_new(packed)};
    *out = NULL;
    if (reading.parts == NULL) return SYN_ENOMEM;
    syn_err err = store_read_snapshot(store, id, read_part, &reading);
    if (!err) err = finish(&reading);
    if (err)
        snapshot_unref(reading.parts);
    else
        *out = reading.parts;
    return err;
}

/* ---- Of a document --------------------------------------------------------------------------- */

static syn_err emit_part(void *user, uint32_t part, uint32_t count, syn_str bytes)
{
    (void)part;
    (void)count;
    return add_part(user, bytes);
}

/* The parts as messages. */
static syn_err encode(syn_doc *doc, uint32_t piece, struct snapshot_parts *parts)
{
    syn_snapshot snapshot;
    uint64_t digest;
    syn_doc_heads(doc, &parts->head, 1);
    syn_err err = syn_doc_snapshot(doc, &snapshot);
    if (!err) err = proto_digest(&snapshot, &digest, NULL);
    if (!err) err = proto_encode_snapshot(&snapshot, digest, digest, piece, emit_part, parts);
    return err;
}

static syn_err of_document(syn_doc *doc, const struct snapshot_source *from,
                           struct snapshot_parts **out)
{
    if (syn_doc_heads(doc, NULL, 0) != 1) return SYN_EKIND;
    struct snapshot_parts *parts = parts_new(from->packed);
    syn_err err = parts != NULL ? encode(doc, from->piece, parts) : SYN_ENOMEM;
    if (!err) err = seal(parts);
    if (err)
        snapshot_unref(parts);
    else
        *out = parts;
    return err;
}

static syn_err of_copy(syn_store *store, const struct snapshot_source *from,
                       struct snapshot_parts **out)
{
    char detail[DETAIL_BYTES];
    struct store_doc row;
    syn_doc *doc = NULL;
    syn_err err = doc_store_load(store, from->name, &from->config, &doc, &row, detail);
    if (!err && row.id != from->row->id) err = SYN_ENOTFOUND;
    if (!err) err = of_document(doc, from, out);
    syn_doc_free(doc);
    return err;
}

syn_err snapshot_stored(syn_store *store, const struct snapshot_source *from,
                        struct snapshot_parts **out)
{
    const struct store_doc *row = from->row;
    bool fresh = row->snapshot_events != 0 && row->events - row->snapshot_at <= STALE_EVENTS;
    if (fresh) return read_stored(store, row->id, from->packed, out);
    syn_err err = from->doc != NULL ? of_document(from->doc, from, out) : of_copy(store, from, out);
    bool stored = err == SYN_EKIND && row->snapshot_events != 0;
    return stored ? read_stored(store, row->id, from->packed, out) : err;
}

/* ---- Keeping --------------------------------------------------------------------------------- */

static bool critical(const struct room *room, uint32_t at)
{
    return at != UINT32_MAX && syn_doc_critical(room->doc, at) == at;
}

void snapshot_take(struct room *room, struct snapshot_parts *parts)
{
    if (parts == NULL) return;
    parts->at = syn_doc_position(room->doc, parts->head);
    if (!critical(room, parts->at)) {
        snapshot_unref(parts);
        return;
    }
    snapshot_unref(room->snapshot);
    room->snapshot = parts;
}

static bool usable(const struct room *room, bool packed)
{
    const struct snapshot_parts *parts = room->snapshot;
    if (parts == NULL || parts->packed != packed || !critical(room, parts->at)) return false;
    return room->snapshot_fresh || syn_doc_log_end(room->doc) - parts->at <= STALE_EVENTS;
}

/* ---- Making ---------------------------------------------------------------------------------- */

struct snapshot_job {
    struct room_job job;
    struct snapshot_parts *parts; /* to be sealed; NULL: to be read, or made of the store */
    int64_t id;                   /* of the stored one */
    bool anew;                    /* it may be too old */
    syn_doc_config config;
    uint32_t piece;
    bool packed;
    syn_err err;
};

static struct snapshot_job *snapshot_job_of(struct room_job *job)
{
    return (struct snapshot_job *)(void *)job; /* its first member */
}

static syn_err make_anew(struct snapshot_job *making)
{
    struct store_doc row;
    struct snapshot_source from = {.name = making->job.name,
                                   .config = making->config,
                                   .row = &row,
                                   .piece = making->piece,
                                   .packed = making->packed};
    syn_err err = store_find(making->job.store, making->job.name, &row);
    if (!err && row.id != making->id) err = SYN_ENOTFOUND;
    return err ? err : snapshot_stored(making->job.store, &from, &making->parts);
}

static void run(struct room_job *job)
{
    struct snapshot_job *making = snapshot_job_of(job);
    if (making->parts != NULL)
        making->err = seal(making->parts);
    else if (making->anew)
        making->err = make_anew(making);
    else
        making->err = read_stored(job->store, making->id, making->packed, &making->parts);
}

static void done(struct room_job *job)
{
    struct snapshot_job *making = snapshot_job_of(job);
    struct room *room = job->room;
    room->making_snapshot = false;
    if (!room->dead) {
        struct snapshot_parts *before = room->snapshot;
        room->snapshot_err = making->err;
        if (!making->err) {
            snapshot_take(room, making->parts);
            making->parts = NULL;
            if (room->snapshot == before) room->snapshot_err = SYN_EKIND;
        }
        room->snapshot_fresh = true;
        if (!room->in_call) room_go_on(room);
        room->snapshot_fresh = room->in_call && room->snapshot_fresh;
    }
    snapshot_unref(making->parts);
    free(making);
}

static syn_err start(struct room *room, struct snapshot_parts *parts, bool packed, bool anew)
{
    struct snapshot_job *making = calloc(1, sizeof *making);
    if (making == NULL) return SYN_ENOMEM;
    *making = (struct snapshot_job){.parts = parts,
                                    .id = room->id,
                                    .anew = anew,
                                    .config = room_config(room->hub),
                                    .piece = room->hub->tuning.frame_piece,
                                    .packed = packed};
    making->job.run = run;
    making->job.done = done;
    room->making_snapshot = true;
    if (room_job_start(&making->job, room)) return SYN_OK;
    room->making_snapshot = false;
    free(making);
    return SYN_ENOMEM;
}

static bool large(const struct room *room)
{
    const hub *h = room->hub;
    return h->port.work != NULL && syn_doc_footprint(room->doc) > h->tuning.snapshot_at_once;
}

/* Encoded here, and a small one sealed, too. */
static syn_err begin_here(struct room *room, bool packed)
{
    struct snapshot_parts *parts = parts_new(packed);
    syn_err err =
        parts != NULL ? encode(room->doc, room->hub->tuning.frame_piece, parts) : SYN_ENOMEM;
    if (!err && packed && parts->bytes > PACK_AT_ONCE) {
        err = start(room, parts, packed, false);
        if (err) snapshot_unref(parts);
        return err;
    }
    if (!err) err = seal(parts);
    if (err)
        snapshot_unref(parts);
    else
        snapshot_take(room, parts);
    return err;
}

/* Without threads it is there, or room->snapshot_err says why not. */
static syn_err begin(struct room *room, bool packed)
{
    bool one_head = syn_doc_heads(room->doc, NULL, 0) == 1;
    if (!one_head && room->snapshot_at == 0) return SYN_EKIND;
    if (one_head && !large(room)) return begin_here(room, packed);
    return start(room, NULL, packed, one_head);
}

syn_err snapshot_make(struct room *room, bool packed, struct snapshot_parts **out)
{
    syn_err err = SYN_OK;
    if (!usable(room, packed)) {
        if (room->snapshot_err) return room->snapshot_err;
        if (room->making_snapshot) return SYN_EBUSY;
        room->in_call = true;
        err = begin(room, packed);
        room->in_call = false;
        if (!err && room->making_snapshot) return SYN_EBUSY;
        if (!err) err = room->snapshot_err;
        room->snapshot_err = SYN_OK;
        bool there = !err && usable(room, packed);
        room->snapshot_fresh = false;
        if (!there) return err ? err : SYN_EKIND;
    }
    room->snapshot->refs++;
    *out = room->snapshot;
    return SYN_OK;
}
