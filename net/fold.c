/* fold.c -- chunks and snapshots out of a document's tail.
 *
 * A chunk is a frame body: Packed around Changes when deflating pays, which the store is told.  A
 * snapshot's position is always the end of a piece, so the log is cut there too: opening can then
 * start with the next piece.
 *
 * Beside a chunk of concurrent events rests what they did when they were merged (core/effects.c),
 * so that reading the history is a straight replay.  Finding that out is a replay of what is
 * concurrent with them: not done when that is much more than is folded, for a branch that is never
 * merged would be replayed at every fold.  fold_document (`syncline compact`) gives such chunks
 * theirs. */
#include "fold.h"

#include "copy.h"

#include <stdlib.h>
#include <string.h>

#define CHUNK_BYTES (256u * 1024u)
#define PART_BYTES  (64u * 1024u)

#define REPLAY_FREE   65536u /* events below the fold that may be replayed for it in any case ... */
#define REPLAY_FACTOR 8u     /* ... and for each that is folded */

struct chunks {
    struct store_piece *at;
    uint32_t count, cap;
};

static void chunks_free(struct chunks *chunks)
{
    for (uint32_t i = 0; i < chunks->count; i++) {
        free((char *)(uintptr_t)chunks->at[i].bytes.data);
        free((char *)(uintptr_t)chunks->at[i].effects.data);
    }
    free(chunks->at);
}

/* Takes raw over, deflated if that is smaller. */
static syn_err chunk_add(struct chunks *chunks, uint32_t from, uint32_t end, syn_buf *raw)
{
    syn_buf packed = {0};
    if (chunks->count == chunks->cap) {
        uint32_t cap = chunks->cap != 0 ? chunks->cap * 2 : 8;
        struct store_piece *grown = realloc(chunks->at, cap * sizeof *grown);
        if (grown == NULL) return SYN_ENOMEM;
        chunks->at = grown;
        chunks->cap = cap;
    }
    syn_err err = proto_encode_packed_body(&packed, PACKED_CHANGES, raw->data, raw->len);
    if (err && err != SYN_ENOTFOUND) {
        syn_buf_free(&packed);
        return err;
    }
    struct store_piece *piece = &chunks->at[chunks->count++];
    *piece = (struct store_piece){.from = from, .end = end, .packed = err == SYN_OK};
    syn_buf *kept = piece->packed ? &packed : raw;
    piece->bytes = (syn_str){kept->data, kept->len};
    *kept = (syn_buf){0};
    syn_buf_free(&packed); /* begun, but it did not pay */
    return SYN_OK;
}

/* What the events of the last chunk did.  Too much work to find out: they go without. */
static syn_err add_effects(struct chunks *chunks, syn_effects *effects, syn_span span)
{
    struct store_piece *piece = &chunks->at[chunks->count - 1];
    const struct change_effect *did;
    uint32_t count = 0;
    syn_buf bytes = {0};
    syn_err err = syn_effects_of(effects, span, &did, &count);
    if (err == SYN_ELIMIT) return SYN_OK;
    if (!err && count != 0) err = proto_encode_effects(&bytes, did, count);
    if (!err) piece->effects = (syn_str){bytes.data, bytes.len};
    return err;
}

/* effects NULL: none are kept. */
static syn_err cut_chunks(struct chunks *chunks, syn_doc *doc, syn_effects *effects,
                          uint32_t offset, uint32_t from, uint32_t end)
{
    syn_err err = SYN_OK;
    while (!err && from < end) {
        syn_buf raw = {0};
        syn_changes set;
        uint32_t cut = from;
        syn_span span = {from - offset, end - offset};
        err = syn_doc_export(doc, span, LIMIT_CHUNK_EVENTS, CHUNK_BYTES, &set, &cut);
        if (!err) err = proto_encode_changes(&raw, &set, NULL);
        if (!err) err = chunk_add(chunks, from, cut + offset, &raw);
        if (!err && effects != NULL)
            err = add_effects(chunks, effects, (syn_span){from - offset, cut});
        syn_buf_free(&raw);
        from = cut + offset;
    }
    return err;
}

static bool worth_effects(const syn_doc *doc, uint32_t from, uint32_t end)
{
    uint32_t start = syn_doc_log_start(doc);
    if (from > start) {
        uint32_t critical = syn_doc_critical(doc, from - 1);
        if (critical != UINT32_MAX) start = critical + 1;
    }
    return from - start <= REPLAY_FREE + (uint64_t)REPLAY_FACTOR * (end - from);
}

static syn_err cut_log(struct chunks *chunks, syn_doc *doc, uint32_t offset,
                       const struct fold_span *span)
{
    syn_effects *effects = NULL;
    syn_err err = SYN_OK;
    uint32_t cut = span->cut > span->from && span->cut < span->end ? span->cut : span->from;
    if (worth_effects(doc, span->from - offset, span->end - offset))
        err = syn_effects_new(doc, &effects);
    if (!err) err = cut_chunks(chunks, doc, effects, offset, span->from, cut);
    if (!err) err = cut_chunks(chunks, doc, effects, offset, cut, span->end);
    syn_effects_free(effects);
    return err;
}

syn_err fold_log(store_turn *turn, int64_t id, syn_doc *doc, uint32_t offset,
                 const struct fold_span *span)
{
    struct chunks chunks = {0};
    syn_err err = cut_log(&chunks, doc, offset, span);
    if (!err && chunks.count != 0) err = store_turn_fold(turn, id, chunks.at, chunks.count);
    chunks_free(&chunks);
    return err;
}

/* ---- The snapshot ---------------------------------------------------------------------------- */

struct parts {
    syn_str *at;
    uint32_t count;
    uint64_t events;
    bool packed; /* all of them */
};

static void parts_free(struct parts *parts)
{
    for (uint32_t i = 0; i < parts->count; i++) free((char *)(uintptr_t)parts->at[i].data);
    free(parts->at);
}

static syn_err keep_part(void *user, uint32_t part, uint32_t parts, syn_str bytes)
{
    struct parts *kept = user;
    if (kept->at == NULL) kept->at = calloc(parts, sizeof *kept->at);
    char *copy = malloc(bytes.len != 0 ? bytes.len : 1);
    if (kept->at == NULL || copy == NULL) {
        free(copy);
        return SYN_ENOMEM;
    }
    copy_str(copy, bytes);
    kept->at[part] = (syn_str){copy, bytes.len};
    kept->count = part + 1;
    return SYN_OK;
}

/* Deflated once here, they are sent to whoever joins as they rest.  Unless one does not get
 * smaller, for the store keeps one word for all. */
static syn_err pack_parts(struct parts *parts)
{
    struct parts packed = {.at = calloc(parts->count, sizeof *packed.at)};
    syn_err err = packed.at != NULL ? SYN_OK : SYN_ENOMEM;
    for (uint32_t i = 0; !err && i < parts->count; i++) {
        syn_buf body = {0};
        err = proto_encode_packed_body(&body, PACKED_SNAPSHOT, parts->at[i].data, parts->at[i].len);
        if (err)
            syn_buf_free(&body);
        else
            packed.at[packed.count++] = (syn_str){body.data, body.len};
    }
    struct parts old = err ? packed : *parts;
    if (!err) {
        parts->at = packed.at;
        parts->packed = true;
    }
    parts_free(&old);
    return err == SYN_ENOTFOUND ? SYN_OK : err;
}

static syn_err make_parts(struct parts *parts, syn_doc *doc)
{
    syn_snapshot snapshot;
    uint64_t digest;
    if (syn_doc_heads(doc, NULL, 0) != 1) return SYN_EKIND;
    syn_err err = syn_doc_snapshot(doc, &snapshot);
    if (!err) err = proto_digest(&snapshot, &digest, NULL);
    if (!err) err = proto_encode_snapshot(&snapshot, digest, digest, PART_BYTES, keep_part, parts);
    if (!err) parts->events = snapshot.events;
    return err ? err : pack_parts(parts);
}

syn_err fold_snapshot(store_turn *turn, int64_t id, syn_doc *doc, uint32_t at)
{
    struct parts parts = {0};
    syn_err err = make_parts(&parts, doc);
    if (!err)
        err = store_turn_snapshot(turn, id, at, parts.events, parts.at, parts.count, parts.packed);
    parts_free(&parts);
    return err;
}

/* ---- In two steps ---------------------------------------------------------------------------- */

struct fold_result {
    struct chunks chunks;
    struct parts parts;
};

static syn_err fold_loaded(struct fold *fold, syn_doc *doc, uint32_t offset)
{
    struct fold_span span = {fold->from, fold->end, 0};
    if (fold->from >= fold->end) return SYN_OK;
    syn_err err = cut_log(&fold->result->chunks, doc, offset, &span);
    fold->at_one_head = syn_doc_heads(doc, NULL, 0) == 1;
    return err || !fold->at_one_head ? err : make_parts(&fold->result->parts, doc);
}

syn_err fold_read(struct fold *fold, syn_store *store, syn_str name, const syn_doc_config *config)
{
    char detail[DETAIL_BYTES];
    struct store_doc row;
    syn_doc *doc = NULL;
    fold->result = calloc(1, sizeof *fold->result);
    if (fold->result == NULL) return SYN_ENOMEM;
    syn_err err = doc_store_load(store, name, config, &doc, &row, detail);
    if (!err && row.id != fold->id) err = SYN_ENOTFOUND;
    fold->end = err ? fold->from : row.events;
    if (!err) err = fold_loaded(fold, doc, doc_store_offset(&row, doc));
    syn_doc_free(doc);
    return err;
}

syn_err fold_write(store_turn *turn, const struct fold *fold)
{
    const struct fold_result *made = fold->result;
    syn_err err = SYN_OK;
    if (made->chunks.count != 0)
        err = store_turn_fold(turn, fold->id, made->chunks.at, made->chunks.count);
    if (err || !fold->at_one_head) return err;
    return store_turn_snapshot(turn, fold->id, fold->end, made->parts.events, made->parts.at,
                               made->parts.count, made->parts.packed);
}

void fold_free(struct fold *fold)
{
    if (fold->result == NULL) return;
    chunks_free(&fold->result->chunks);
    parts_free(&fold->result->parts);
    free(fold->result);
    fold->result = NULL;
}

/* ---- A whole document ------------------------------------------------------------------------ */

/* The state at a critical version below the heads: a second document is read that far. */
static syn_err snapshot_below(syn_store *store, const struct store_doc *row, store_turn *turn,
                              uint32_t at)
{
    char detail[DETAIL_BYTES];
    syn_doc *prefix;
    syn_err err = doc_store_load_until(store, row, NULL, at, &prefix, detail);
    if (err) return err;
    err = fold_snapshot(turn, row->id, prefix, at);
    syn_doc_free(prefix);
    return err;
}

syn_err fold_document(syn_store *store, syn_str name, syn_doc *doc, store_turn *turn)
{
    struct store_doc row;
    uint32_t added;
    syn_err err = store_find(store, name, &row);
    if (!err) err = doc_store_backfill(store, &row, doc, &added);
    if (err || row.events == 0) return err;
    uint32_t critical = syn_doc_critical(doc, row.events - 1);
    uint32_t at = critical == UINT32_MAX ? 0 : critical + 1;
    if (at < row.snapshot_at) at = row.snapshot_at;
    struct fold_span whole = {.from = 0, .end = row.events, .cut = at};
    err = fold_log(turn, row.id, doc, 0, &whole);
    if (err || at == row.snapshot_at) return err;
    if (at == row.events) return fold_snapshot(turn, row.id, doc, at);
    return snapshot_below(store, &row, turn, at);
}
