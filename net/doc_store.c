/* doc_store.c -- stored bytes into documents and back; see doc_store.h for the two numberings.
 *
 * Loading walks: snapshot parts -> one snapshot -> syn_doc_load, then every piece above it ->
 * syn_apply.  Whatever is wrong on the way is damage, for these bytes were written by us; only lack
 * of memory is not. */
#include "doc_store.h"

#include "copy.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const struct proto_limits stored_limits = {.frame_bytes = LIMIT_RAW_BYTES,
                                                  .frame_events = LIMIT_CHUNK_EVENTS};

/* Two arenas, for each decoding step empties the one it fills: a packed piece is a frame body whose
 * inside is decoded once more. */
struct decoder {
    proto_arena *frames, *messages;
    struct proto_fault fault;
    bool believed; /* effects were read */
    bool doubted;  /* merge, whatever is said about effects */
};

static void decoder_free(struct decoder *d)
{
    proto_arena_free(d->frames);
    proto_arena_free(d->messages);
}

static syn_err decoder_init(struct decoder *d)
{
    memset(d, 0, sizeof *d);
    syn_err err = proto_arena_new(&d->frames, NULL);
    if (!err) err = proto_arena_new(&d->messages, NULL);
    if (err) decoder_free(d);
    return err;
}

static syn_err unpack(struct decoder *d, const struct store_piece *piece, syn_str *out)
{
    struct frame frame;
    if (!piece->packed) {
        *out = piece->bytes;
        return SYN_OK;
    }
    syn_err err = proto_decode(d->frames, piece->bytes.data, piece->bytes.len, &stored_limits, NULL,
                               NULL, &frame, &d->fault);
    if (err) return err;
    if (frame.kind != FRAME_PACKED) {
        snprintf(d->fault.text, sizeof d->fault.text, "a packed piece holds something else");
        return SYN_EMALFORMED;
    }
    struct msg_packed packed = frame.as.packed;
    return proto_inflate(d->frames, &packed, 0, out, &d->fault);
}

static syn_err decode_piece(struct decoder *d, const struct store_piece *piece, syn_changes *set)
{
    syn_str bytes;
    d->fault.text[0] = '\0';
    proto_arena_reset(d->messages); /* the piece before has been applied */
    syn_err err = unpack(d, piece, &bytes);
    if (err) return err;
    err = proto_decode_changes(d->messages, bytes.data, bytes.len, &stored_limits, NULL, set,
                               &d->fault);
    if (err || piece->effects.len == 0 || d->doubted) return err;
    d->believed = true;
    /* Effects that cannot be read are as good as none. */
    return proto_decode_effects(d->messages, piece->effects, set) == SYN_ENOMEM ? SYN_ENOMEM
                                                                                : SYN_OK;
}

/* ---- Pieces ---------------------------------------------------------------------------------- */

/* Pieces are kept first and decoded when the store is done with reading: decoding within would hold
 * its read transaction open, and with it the WAL. */
struct pieces {
    struct store_piece *at; /* bytes and effects in one block each */
    uint32_t count, cap;
};

static syn_err keep_piece(void *user, const struct store_piece *piece)
{
    struct pieces *pieces = user;
    if (pieces->count == pieces->cap) {
        uint32_t cap = pieces->cap != 0 ? pieces->cap * 2 : 16;
        struct store_piece *grown = realloc(pieces->at, cap * sizeof *grown);
        if (grown == NULL) return SYN_ENOMEM;
        pieces->at = grown;
        pieces->cap = cap;
    }
    char *copy = malloc(piece->bytes.len + piece->effects.len + 1);
    if (copy == NULL) return SYN_ENOMEM;
    struct store_piece *kept = &pieces->at[pieces->count++];
    *kept = *piece;
    kept->bytes.data = copy_str(copy, piece->bytes);
    copy_str(copy + piece->bytes.len, piece->effects);
    kept->effects.data = copy + piece->bytes.len;
    return SYN_OK;
}

static void piece_free(struct store_piece *piece)
{
    free((char *)(uintptr_t)piece->bytes.data);
    piece->bytes.data = NULL;
}

static void pieces_free(struct pieces *pieces)
{
    for (uint32_t i = 0; i < pieces->count; i++) piece_free(&pieces->at[i]);
    free(pieces->at);
}

/* ---- The snapshot ---------------------------------------------------------------------------- */

/* Each part becomes the plain message that it packs. */
static syn_err unpack_parts(struct decoder *d, struct pieces *parts)
{
    for (uint32_t i = 0; i < parts->count; i++) {
        struct store_piece *part = &parts->at[i];
        syn_str plain;
        if (!part->packed) continue;
        syn_err err = unpack(d, part, &plain);
        char *copy = err ? NULL : malloc(plain.len + 1);
        if (copy == NULL) return err ? err : SYN_ENOMEM;
        copy_str(copy, plain);
        piece_free(part);
        part->bytes = (syn_str){copy, plain.len};
        part->packed = false;
    }
    return SYN_OK;
}

static syn_err load_parts(const struct pieces *parts, struct decoder *d, syn_doc *doc)
{
    syn_snapshot snapshot;
    uint64_t digest;
    syn_str *bytes = calloc(parts->count + 1u, sizeof *bytes);
    if (bytes == NULL) return SYN_ENOMEM;
    for (uint32_t i = 0; i < parts->count; i++) bytes[i] = parts->at[i].bytes;
    syn_err err =
        proto_join_snapshot(d->messages, bytes, parts->count, &snapshot, &digest, &d->fault);
    if (!err) err = syn_doc_load(doc, &snapshot);
    free(bytes);
    return err;
}

static syn_err load_snapshot(syn_store *store, int64_t id, struct decoder *d, syn_doc *doc)
{
    struct pieces parts = {0};
    syn_err err = store_read_snapshot(store, id, keep_piece, &parts);
    if (!err) err = unpack_parts(d, &parts);
    if (!err) err = load_parts(&parts, d, doc);
    pieces_free(&parts);
    return err;
}

/* ---- The log --------------------------------------------------------------------------------- */

struct loading {
    struct decoder *decoder;
    syn_doc *doc;
    uint32_t next; /* store position that comes next */
};

static syn_err apply_piece(struct loading *loading, const struct store_piece *piece)
{
    syn_changes set;
    syn_applied applied;
    char *text = loading->decoder->fault.text;
    size_t size = sizeof loading->decoder->fault.text;
    if (piece->from != loading->next) {
        snprintf(text, size, "log positions %u to %u are missing", loading->next, piece->from);
        return SYN_EDAMAGED;
    }
    syn_err err = decode_piece(loading->decoder, piece, &set);
    if (!err) {
        err = syn_apply(loading->doc, &set, false, &applied);
        if (err) snprintf(text, size, "%s", syn_doc_error(loading->doc));
    }
    if (!err && applied.applied != piece->end - piece->from) {
        snprintf(text, size, "the piece at log position %u holds %u events", piece->from,
                 applied.applied);
        err = SYN_EDAMAGED;
    }
    loading->next = piece->end;
    return err;
}

static syn_err apply_from(syn_store *store, const struct store_doc *row, struct decoder *d,
                          syn_doc *doc, uint32_t from)
{
    struct loading loading = {.decoder = d, .doc = doc, .next = from};
    struct pieces pieces = {0};
    syn_err err = SYN_OK;
    uint64_t limit = syn_doc_set_work_limit(doc, UINT64_MAX); /* it was accepted before */
    if (row->events > from)
        err = store_read_log(store, row->id, from, row->events, keep_piece, &pieces);
    syn_doc_expect(doc, row->events - from);
    for (uint32_t i = 0; !err && i < pieces.count; i++) {
        err = apply_piece(&loading, &pieces.at[i]);
        piece_free(&pieces.at[i]);
    }
    pieces_free(&pieces);
    syn_doc_expect(doc, 0);
    syn_doc_set_work_limit(doc, limit);
    if (!err && loading.next < row->events) {
        snprintf(d->fault.text, sizeof d->fault.text, "the log ends at %u instead of %u",
                 loading.next, row->events);
        err = SYN_EDAMAGED;
    }
    return err;
}

/* From the beginning.  Wrong effects are found when the pieces before have been carried out: then
 * once more, without any. */
static syn_err fill_empty(syn_store *store, const struct store_doc *row,
                          const syn_doc_config *config, struct decoder *d, syn_doc **doc)
{
    syn_err err = apply_from(store, row, d, *doc, 0);
    if (err != SYN_EDAMAGED || !d->believed) return err;
    d->doubted = true;
    syn_doc_free(*doc);
    *doc = NULL;
    err = syn_doc_new(doc, config);
    return err ? err : apply_from(store, row, d, *doc, 0);
}

/* From the snapshot; but events that came later may be concurrent to it, and then need what is
 * below: from the beginning. */
static syn_err fill(syn_store *store, const struct store_doc *row, const syn_doc_config *config,
                    struct decoder *d, syn_doc **doc)
{
    if (row->snapshot_at == 0) return fill_empty(store, row, config, d, doc);
    syn_err err = load_snapshot(store, row->id, d, *doc);
    if (!err) err = apply_from(store, row, d, *doc, row->snapshot_at);
    if (err != SYN_EHISTORY && err != SYN_EMISSING) return err;
    syn_doc_free(*doc);
    *doc = NULL;
    err = syn_doc_new(doc, config);
    return err ? err : fill_empty(store, row, config, d, doc);
}

static syn_err load_row(syn_store *store, const struct store_doc *row, const syn_doc_config *config,
                        syn_doc **out, char *detail)
{
    struct decoder decoder;
    syn_doc *doc = NULL;
    syn_err err = decoder_init(&decoder);
    if (err) return err;
    err = syn_doc_new(&doc, config);
    if (!err) err = fill(store, row, config, &decoder, &doc);
    if (err && err != SYN_ENOMEM) {
        store_copy_error(store, detail, DETAIL_BYTES);
        if (decoder.fault.text[0] != '\0') snprintf(detail, DETAIL_BYTES, "%s", decoder.fault.text);
        /* Not found: deleted between two reads. */
        if (err != SYN_EIO && err != SYN_ENOTFOUND) err = SYN_EDAMAGED;
    }
    decoder_free(&decoder);
    if (err) {
        syn_doc_free(doc);
        return err;
    }
    syn_doc_events_clear(doc);
    *out = doc;
    return SYN_OK;
}

syn_err doc_store_load(syn_store *store, syn_str name, const syn_doc_config *config, syn_doc **out,
                       struct store_doc *row, char detail[DETAIL_BYTES])
{
    detail[0] = '\0';
    syn_err err = store_find(store, name, row);
    if (err) {
        store_copy_error(store, detail, DETAIL_BYTES);
        return err;
    }
    if (row->damaged) {
        snprintf(detail, DETAIL_BYTES, "marked as damaged; see fsck");
        return SYN_EDAMAGED;
    }
    err = load_row(store, row, config, out, detail);
    if (err == SYN_EDAMAGED) store_mark_damaged(store, row->id);
    return err;
}

/* ---- A prefix -------------------------------------------------------------------------------- */

syn_err doc_store_load_until(syn_store *store, const struct store_doc *row,
                             const syn_doc_config *config, uint32_t until, syn_doc **out,
                             char detail[DETAIL_BYTES])
{
    struct store_doc base = *row;
    syn_doc *all = NULL, *prefix = NULL;
    struct decoder decoder;
    syn_changes set;
    detail[0] = '\0';
    if (until < row->snapshot_at || until > row->events) return SYN_EHISTORY;
    syn_err err = load_row(store, row, config, &all, detail);
    if (err) return err;
    base.events = base.snapshot_at;
    err = load_row(store, &base, config, &prefix, detail);
    if (!err) err = decoder_init(&decoder);
    if (err) goto out;
    if (until > row->snapshot_at) {
        uint32_t offset = doc_store_offset(row, all), cut;
        syn_span span = {row->snapshot_at - offset, until - offset};
        err = syn_doc_export(all, span, UINT32_MAX, SIZE_MAX, &set, &cut);
        uint64_t limit = syn_doc_set_work_limit(prefix, UINT64_MAX);
        if (!err) err = syn_apply(prefix, &set, false, NULL);
        syn_doc_set_work_limit(prefix, limit);
    }
    decoder_free(&decoder);
out:
    syn_doc_free(all);
    if (err) {
        syn_doc_free(prefix);
        return err;
    }
    syn_doc_events_clear(prefix);
    *out = prefix;
    return SYN_OK;
}

/* ---- History --------------------------------------------------------------------------------- */

/* syn_doc_backfill pulls sets. */
struct history {
    struct decoder *decoder;
    struct pieces pieces;
    uint32_t next;
    syn_changes set;
};

static const syn_changes *next_piece(void *user, syn_err *err)
{
    struct history *history = user;
    if (history->next == history->pieces.count) return NULL;
    *err = decode_piece(history->decoder, &history->pieces.at[history->next++], &history->set);
    return *err ? NULL : &history->set;
}

syn_err doc_store_backfill(syn_store *store, const struct store_doc *row, syn_doc *doc,
                           uint32_t *added)
{
    struct decoder decoder;
    struct history history = {.decoder = &decoder};
    *added = 0;
    if (syn_doc_has_history(doc)) return SYN_OK;
    syn_err err = decoder_init(&decoder);
    if (err) return err;
    err = store_read_log(store, row->id, 0, row->snapshot_at, keep_piece, &history.pieces);
    const struct pieces *pieces = &history.pieces;
    bool whole = pieces->count != 0 && pieces->at[0].from == 0 &&
                 pieces->at[pieces->count - 1].end == row->snapshot_at;
    if (!err && !whole) err = SYN_EHISTORY;
    uint64_t limit = syn_doc_set_work_limit(doc, UINT64_MAX); /* it was accepted before */
    if (!err) err = syn_doc_backfill(doc, next_piece, &history, added);
    if (err == SYN_EMALFORMED) { /* another state than the snapshot's: it may be the effects */
        decoder.doubted = true;
        history.next = 0;
        err = syn_doc_backfill(doc, next_piece, &history, added);
    }
    syn_doc_set_work_limit(doc, limit);
    pieces_free(&history.pieces);
    decoder_free(&decoder);
    return err;
}

uint32_t doc_store_offset(const struct store_doc *row, const syn_doc *doc)
{
    if (row->snapshot_at == 0 || syn_doc_has_history(doc)) return 0;
    return row->snapshot_at - 1;
}

/* ---- Appending ------------------------------------------------------------------------------- */

static syn_err append_peer(store_turn *turn, syn_store *store, int64_t doc, const syn_changes *set,
                           uint64_t id, syn_str user)
{
    struct store_peer peer;
    syn_err err = store_read_peer(store, doc, id, &peer);
    if (err == SYN_ENOTFOUND) {
        memset(&peer, 0, sizeof peer);
        peer.peer = id;
        snprintf(peer.user, sizeof peer.user, "%.*s", (int)user.len,
                 user.data != NULL ? user.data : "");
        err = SYN_OK;
    }
    if (err) return err;
    uint32_t before = peer.next;
    err = proto_chain(set, id, &peer.next, &peer.chain);
    if (err || peer.next == before) return err;
    return store_turn_peer(turn, doc, &peer);
}

syn_err doc_store_append(store_turn *turn, syn_store *store, syn_doc *doc,
                         const struct doc_append *what, uint64_t *bytes)
{
    syn_buf buf = {0};
    syn_changes set;
    uint32_t cut;
    if (bytes != NULL) *bytes = 0;
    if (what->from == what->end) return SYN_OK;
    assert(what->from < what->end && what->end <= syn_doc_log_end(doc));
    syn_span span = {what->from, what->end};
    syn_err err = syn_doc_export(doc, span, UINT32_MAX, SIZE_MAX, &set, &cut);
    if (!err) err = proto_encode_changes(&buf, &set, NULL);
    if (!err)
        err = store_turn_append(turn, what->doc, what->from + what->offset,
                                what->end + what->offset, (syn_str){buf.data, buf.len});
    for (uint32_t i = 0; !err && i < set.peer_count; i++)
        err = append_peer(turn, store, what->doc, &set, set.peers[i], what->user);
    if (bytes != NULL) *bytes = buf.len;
    syn_buf_free(&buf);
    return err;
}
