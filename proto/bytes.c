/* bytes.c -- documents as bytes: the bridge between core's plain data and proto's messages.
 *
 * A file (message File) is a snapshot, if there is one, and the changes after it; its last field is
 * a checksum over all before.  A document with its history is saved as changes alone, for they give
 * the state; saved without, as the state at its last critical version and what came after. */
#include "change.h"
#include "wire.h"
#include "syncline.pb-c.h"

#define XXH_INLINE_ALL
#include <xxhash.h>

enum { F_MAGIC = 1, F_FORMAT = 2, F_SNAPSHOT = 3, F_CHANGES = 4, F_CHECKSUM = 5 };
enum { FILE_FORMAT = 1, CHECKSUM_BYTES = 9, PART_BYTES = 1 << 20, CHUNK_BYTES = 16 << 20 };
static const syn_str magic = {.data = "syncline", .len = 8};

/* ---- Changes --------------------------------------------------------------------------------- */

static syn_err export_spans(syn_doc *doc, const syn_span *spans, size_t count, syn_buf *out)
{
    syn_changes set;
    if (count == 0) return SYN_OK;
    syn_err err = syn_doc_export_spans(doc, spans, count, &set);
    return err == SYN_OK ? proto_encode_changes(out, &set, NULL) : err;
}

syn_err syn_export_since(syn_doc *doc, const syn_id *heads, size_t count, syn_buf *out)
{
    const syn_span *spans;
    size_t span_count;
    syn_err err = syn_doc_spans_since(doc, heads, count, &spans, &span_count);
    return err == SYN_OK ? export_spans(doc, spans, span_count, out) : err;
}

syn_err syn_export_vector(syn_doc *doc, const syn_id *next, size_t count, syn_buf *out)
{
    const syn_span *spans;
    size_t span_count;
    syn_err err = syn_doc_spans_since_vector(doc, next, count, &spans, &span_count);
    return err == SYN_OK ? export_spans(doc, spans, span_count, out) : err;
}

static syn_err import_bytes(syn_doc *doc, proto_arena *arena, const void *bytes, size_t len,
                            bool keep_pending)
{
    syn_changes set;
    syn_err err = proto_decode_changes(arena, bytes, len, NULL, NULL, &set, NULL);
    return err == SYN_OK ? syn_apply(doc, &set, keep_pending, NULL) : err;
}

syn_err syn_import(syn_doc *doc, const void *bytes, size_t len)
{
    if (len == 0) return SYN_OK; /* what syn_export_since gives when nothing is lacking */
    proto_arena *arena;
    syn_err err = proto_arena_new(&arena, NULL);
    if (err != SYN_OK) return err;
    err = import_bytes(doc, arena, bytes, len, true);
    proto_arena_free(arena);
    return err;
}

/* ---- Saving ---------------------------------------------------------------------------------- */

static syn_err save_part(void *user, uint32_t part, uint32_t parts, syn_str bytes)
{
    (void)part;
    (void)parts;
    struct writer *w = user;
    put_entry(w, F_SNAPSHOT, bytes);
    return w->failed ? SYN_ENOMEM : SYN_OK;
}

static syn_err save_snapshot(struct writer *w, syn_doc *doc)
{
    syn_snapshot snapshot;
    uint64_t digest;
    syn_err err = syn_doc_snapshot(doc, &snapshot);
    if (err == SYN_OK) err = proto_digest(&snapshot, &digest, NULL);
    if (err != SYN_OK) return err;
    return proto_encode_snapshot(&snapshot, 0, digest, PART_BYTES, save_part, w);
}

static syn_err save_chunk(struct writer *w, const syn_changes *set)
{
    syn_buf raw = {.mem = w->buf->mem};
    syn_err err = proto_encode_changes(&raw, set, NULL);
    if (err == SYN_OK) {
        size_t mark = field_begin(w, F_CHANGES);
        err = put_packed(w, PACKED_CHANGES, raw.data, raw.len, true);
        field_end(w, mark);
    }
    syn_buf_free(&raw);
    return err;
}

static syn_err save_changes(struct writer *w, syn_doc *doc, uint32_t from)
{
    uint32_t end = syn_doc_log_end(doc);
    while (from < end) {
        syn_changes set;
        uint32_t cut;
        syn_err err =
            syn_doc_export(doc, (syn_span){from, end}, UINT32_MAX, CHUNK_BYTES, &set, &cut);
        if (err == SYN_OK) err = save_chunk(w, &set);
        if (err != SYN_OK) return err;
        from = cut;
    }
    return SYN_OK;
}

static struct writer begin_file(syn_buf *out)
{
    struct writer w = writer_begin(out);
    put_bytes(&w, F_MAGIC, magic);
    put_uint(&w, F_FORMAT, FILE_FORMAT);
    return w;
}

static syn_err end_file(struct writer *w, syn_err err)
{
    if (err == SYN_OK && !w->failed) {
        const char *start = w->buf->data + w->start;
        put_fixed64_always(w, F_CHECKSUM, XXH64(start, w->buf->len - w->start, 0));
    }
    if (err != SYN_OK) w->buf->len = w->start;
    return err != SYN_OK ? err : writer_end(w);
}

/* The document as it was at log position `last`, from its history. */
static syn_err copy_until(syn_doc *doc, uint32_t last, syn_doc **out)
{
    const syn_span span = {0, last + 1};
    syn_changes set;
    syn_err err = syn_doc_new(out, NULL);
    if (err != SYN_OK) return err;
    err = syn_doc_export_spans(doc, &span, 1, &set);
    if (err == SYN_OK) err = syn_apply(*out, &set, false, NULL);
    if (err != SYN_OK) syn_doc_free(*out);
    return err;
}

/* *from: where the changes after the saved state begin. */
static syn_err save_critical(struct writer *w, syn_doc *doc, uint32_t *from)
{
    uint32_t end = syn_doc_log_end(doc);
    *from = end;
    if (syn_doc_events(doc) == 0) return SYN_OK;
    if (syn_doc_heads(doc, NULL, 0) == 1) return save_snapshot(w, doc);
    if (!syn_doc_has_history(doc)) return SYN_EHISTORY;
    uint32_t critical = syn_doc_critical(doc, end - 1);
    *from = critical == UINT32_MAX ? 0 : critical + 1;
    if (critical == UINT32_MAX) return SYN_OK;
    syn_doc *then;
    syn_err err = copy_until(doc, critical, &then);
    if (err != SYN_OK) return err;
    err = save_snapshot(w, then);
    syn_doc_free(then);
    return err;
}

syn_err syn_save_state(syn_doc *doc, syn_buf *out)
{
    struct writer w = begin_file(out);
    uint32_t from;
    syn_err err = save_critical(&w, doc, &from);
    if (err == SYN_OK) err = save_changes(&w, doc, from);
    return end_file(&w, err);
}

syn_err syn_save(syn_doc *doc, syn_buf *out)
{
    if (!syn_doc_has_history(doc)) return syn_save_state(doc, out);
    struct writer w = begin_file(out);
    return end_file(&w, save_changes(&w, doc, 0));
}

/* ---- Loading --------------------------------------------------------------------------------- */

static syn_err split_file(const void *bytes, size_t len, struct field *f)
{
    syn_err err =
        wire_split(&syncline__v1__file__descriptor, bytes, len, UNKNOWN_REFUSED, f, NULL, NULL);
    if (err != SYN_OK) return err;
    syn_str found = field_str(&f[F_MAGIC]);
    if (found.len != magic.len || memcmp(found.data, magic.data, magic.len) != 0)
        return SYN_EMALFORMED;
    if (f[F_FORMAT].value != FILE_FORMAT) return SYN_EVERSION;
    if (len < CHECKSUM_BYTES || !f[F_CHECKSUM].seen ||
        f[F_CHECKSUM].at != (const uint8_t *)bytes + len - 8)
        return SYN_EMALFORMED;
    return XXH64(bytes, len - CHECKSUM_BYTES, 0) == f[F_CHECKSUM].value ? SYN_OK : SYN_EDAMAGED;
}

static syn_err load_snapshot(syn_doc *doc, proto_arena *arena, const struct field *field)
{
    if (field->count == 0) return SYN_OK;
    syn_str *parts = arena_array(arena, field->count, sizeof *parts);
    if (parts == NULL) return SYN_ENOMEM;
    struct column column = column_of(field);
    for (uint32_t i = 0; i < field->count; i++) parts[i] = column_bytes(&column);
    syn_snapshot snapshot;
    syn_err err = proto_join_snapshot(arena, parts, field->count, &snapshot, NULL, NULL);
    return err == SYN_OK ? syn_doc_load(doc, &snapshot) : err;
}

static syn_err load_chunk(syn_doc *doc, proto_arena *arena, syn_str bytes)
{
    struct field f[WIRE_FIELDS];
    syn_err err = wire_split(&syncline__v1__packed__descriptor, bytes.data, bytes.len,
                             UNKNOWN_REFUSED, f, NULL, NULL);
    if (err != SYN_OK) return err;
    struct msg_packed packed = {
        .codec = (uint32_t)f[2].value, .raw_size = (uint32_t)f[3].value, .data = field_str(&f[4])};
    syn_str raw;
    err = proto_inflate(arena, &packed, 0, &raw, NULL);
    return err == SYN_OK ? import_bytes(doc, arena, raw.data, raw.len, false) : err;
}

static syn_err load_file(syn_doc *doc, const struct field *f)
{
    proto_arena *arena;
    syn_err err = proto_arena_new(&arena, NULL);
    if (err != SYN_OK) return err;
    err = load_snapshot(doc, arena, &f[F_SNAPSHOT]);
    struct column column = column_of(&f[F_CHANGES]);
    while (err == SYN_OK && column.left > 0) {
        proto_arena_reset(arena);
        err = load_chunk(doc, arena, column_bytes(&column));
    }
    proto_arena_free(arena);
    return err;
}

/* A file of one piece is taken whole or not at all; of several, a first run on a document of its
 * own finds what would be refused half-way. */
static syn_err try_file(const struct field *f)
{
    syn_doc *doc;
    if ((f[F_SNAPSHOT].count > 0) + f[F_CHANGES].count <= 1) return SYN_OK;
    syn_err err = syn_doc_new(&doc, NULL);
    if (err != SYN_OK) return err;
    err = load_file(doc, f);
    syn_doc_free(doc);
    return err;
}

syn_err syn_load(syn_doc *doc, const void *bytes, size_t len)
{
    struct field f[WIRE_FIELDS];
    if (syn_doc_events(doc) != 0) return SYN_EMISUSE;
    syn_err err = split_file(bytes, len, f);
    if (err == SYN_OK) err = try_file(f);
    return err == SYN_OK ? load_file(doc, f) : err;
}

/* ---- Digest ---------------------------------------------------------------------------------- */

syn_err syn_doc_digest(syn_doc *doc, uint64_t *digest)
{
    syn_snapshot snapshot;
    syn_err err = syn_doc_snapshot(doc, &snapshot);
    return err == SYN_OK ? proto_digest(&snapshot, digest, NULL) : err;
}
