/* binding.c -- documents, as JavaScript calls them.
 *
 *     JavaScript --numbers--> one of these functions --> core
 *          ^                          |
 *          +---- out[], scratch[] ----+
 *
 * A WebAssembly function takes and gives numbers only.  What is more than one number lies in
 * out[]: JavaScript reads it before the next call.  Strings come in as UTF-8 in scratch[] (or in a
 * block of web_alloc when they are large), and go out as address and length.  64-bit numbers are
 * two words: a BigInt for each would cost more than the call.
 *
 * Positions in text count UTF-16 units here, as JavaScript does.  A position inside a surrogate
 * pair is rounded down for an insert, outward for a delete.
 *
 * One instance of the module is one client, so these few globals are one client's, too. */
#include "web.h"

#include "change.h"
#include "syncline_editor.h"

#include <stdlib.h>
#include <string.h>

uint32_t web_out[WEB_OUT];
char web_scratch[WEB_SCRATCH];

EXPORT(web_out) uint32_t *js_out_at(void)
{
    return web_out;
}

EXPORT(web_scratch) char *js_scratch_at(void)
{
    return web_scratch;
}

EXPORT(web_scratch_size) uint32_t js_scratch_size(void)
{
    return WEB_SCRATCH;
}

EXPORT(web_alloc) void *js_alloc_bytes(uint32_t size)
{
    return web_try_malloc(size != 0 ? size : 1);
}

EXPORT(web_free) void js_free_bytes(void *at)
{
    free(at);
}

void web_out_u64(uint32_t at, uint64_t v)
{
    web_out[at] = (uint32_t)v;
    web_out[at + 1] = (uint32_t)(v >> 32);
}

void web_out_bytes(uint32_t at, const void *data, size_t len)
{
    web_out[at] = (uint32_t)(uintptr_t)data;
    web_out[at + 1] = (uint32_t)len;
}

static uint64_t u64(uint32_t low, uint32_t high)
{
    return (uint64_t)high << 32 | low;
}

/* ---- Errors ---------------------------------------------------------------------------------- */

EXPORT(err_name) uint32_t js_err_name(syn_err err)
{
    const char *name = syn_errname(err);
    web_out_bytes(0, name, strlen(name));
    return 0;
}

EXPORT(err_text) uint32_t js_err_text(const struct web_doc *d, syn_err err)
{
    const char *text = d != NULL ? syn_doc_error(d->doc) : "";
    if (text[0] == '\0') text = syn_strerror(err);
    web_out_bytes(0, text, strlen(text));
    return 0;
}

/* ---- Life ------------------------------------------------------------------------------------ */

EXPORT(doc_new) struct web_doc *js_doc_new(uint32_t id, uint32_t seed_low, uint32_t seed_high)
{
    syn_doc_config config = SYN_DOC_CONFIG_INIT;
    struct web_doc *d = calloc(1, sizeof *d);
    if (d == NULL) return NULL;
    config.hash_seed = u64(seed_low, seed_high);
    config.max_value = LIMIT_VALUE_BYTES;
    d->id = id;
    if (syn_doc_new(&d->doc, &config)) {
        free(d);
        return NULL;
    }
    return d;
}

EXPORT(doc_free) void js_doc_free(struct web_doc *d)
{
    syn_buf_free(&d->bytes);
    syn_doc_free(d->doc);
    free(d);
}

EXPORT(doc_set_peer) syn_err js_doc_set_peer(struct web_doc *d, uint32_t low, uint32_t high)
{
    return syn_doc_set_peer(d->doc, u64(low, high), false);
}

EXPORT(doc_begin) syn_err js_doc_begin(struct web_doc *d)
{
    return syn_begin(d->doc);
}

EXPORT(doc_commit) syn_err js_doc_commit(struct web_doc *d)
{
    return syn_commit(d->doc);
}

EXPORT(doc_rollback) syn_err js_doc_rollback(struct web_doc *d)
{
    return syn_rollback(d->doc);
}

/* ---- Containers ------------------------------------------------------------------------------ */

EXPORT(doc_root)
syn_obj js_doc_root(struct web_doc *d, const char *name, uint32_t len, uint32_t kind)
{
    syn_obj obj;
    web_out[0] = syn_root(d->doc, (syn_str){name, len}, (syn_kind)kind, &obj);
    return web_out[0] == SYN_OK ? obj : SYN_NO_OBJ;
}

/* out: name, its length, kind. */
EXPORT(doc_root_at) syn_obj js_doc_root_at(const struct web_doc *d, uint32_t index)
{
    syn_str name = {"", 0};
    syn_obj obj = syn_root_at(d->doc, index, &name);
    web_out_bytes(0, name.data, name.len);
    if (obj != SYN_NO_OBJ) web_out[2] = syn_obj_kind(d->doc, obj);
    return obj;
}

EXPORT(obj_kind) uint32_t js_obj_kind(const struct web_doc *d, syn_obj obj)
{
    return syn_obj_kind(d->doc, obj);
}

EXPORT(map_child)
syn_obj js_map_child(struct web_doc *d, syn_obj map, const char *key, uint32_t len, uint32_t kind)
{
    syn_obj obj;
    web_out[0] = syn_map_child(d->doc, map, (syn_str){key, len}, (syn_kind)kind, &obj);
    return web_out[0] == SYN_OK ? obj : SYN_NO_OBJ;
}

/* ---- Text ------------------------------------------------------------------------------------ */

/* Position of a UTF-16 offset; `up`: inside a pair, behind it. */
static size_t scalar_at(const struct web_doc *d, syn_obj text, uint32_t unit, bool up)
{
    size_t pos = syn_text_position(d->doc, text, SYN_UNIT_UTF16, unit, SYN_UNIT_SCALAR);
    bool inside = syn_text_position(d->doc, text, SYN_UNIT_SCALAR, pos, SYN_UNIT_UTF16) < unit;
    if (up && inside && pos < syn_text_len(d->doc, text)) pos++;
    return pos;
}

static uint32_t unit_at(const struct web_doc *d, syn_obj text, size_t pos)
{
    return (uint32_t)syn_text_position(d->doc, text, SYN_UNIT_SCALAR, pos, SYN_UNIT_UTF16);
}

EXPORT(text_length) uint32_t js_text_length(const struct web_doc *d, syn_obj text)
{
    return unit_at(d, text, syn_text_len(d->doc, text));
}

EXPORT(text_insert)
syn_err js_text_insert(struct web_doc *d, syn_obj text, uint32_t at, const char *utf8, uint32_t len)
{
    return syn_text_insert(d->doc, text, scalar_at(d, text, at, false), (syn_str){utf8, len});
}

EXPORT(text_delete)
syn_err js_text_delete(struct web_doc *d, syn_obj text, uint32_t from, uint32_t end)
{
    size_t first = scalar_at(d, text, from, false), last = scalar_at(d, text, end, true);
    return last > first ? syn_text_delete(d->doc, text, first, last - first) : SYN_OK;
}

/* Bytes of [from, end) UTF-16 units into `to`, at most `cap`; gives how many there are. */
EXPORT(text_read)
uint32_t js_text_read(const struct web_doc *d, syn_obj text, uint32_t from, uint32_t end, char *to,
                      uint32_t cap)
{
    size_t first = scalar_at(d, text, from, false), last = scalar_at(d, text, end, true);
    if (last <= first) return 0;
    return (uint32_t)syn_text_read(d->doc, text, first, last - first, to, cap);
}

/* ---- Values ---------------------------------------------------------------------------------- */

/* A value comes in as kind, then a, b (number, bits, or address and length). */
static syn_value value_in(uint32_t kind, uint32_t a, uint32_t b)
{
    uint64_t bits = u64(a, b);
    syn_value value = {.kind = kind};
    switch (kind) {
    case SYN_VALUE_INT:
        memcpy(&value.as.i, &bits, sizeof bits);
        break;
    case SYN_VALUE_REAL:
        memcpy(&value.as.real, &bits, sizeof bits);
        value = syn_real(value.as.real);
        break;
    case SYN_VALUE_CHILD:
        value.child = (syn_kind)a;
        break;
    default:
        value.as.str = (syn_str){(const char *)(uintptr_t)a, b};
    }
    return value;
}

/* out[at..]: kind, child kind, then number, bits, address and length, or container. */
static void value_out(uint32_t at, const syn_value *value)
{
    uint64_t bits = 0;
    web_out[at] = value->kind;
    web_out[at + 1] = value->child;
    switch (value->kind) {
    case SYN_VALUE_INT:
        web_out_u64(at + 2, (uint64_t)value->as.i);
        break;
    case SYN_VALUE_REAL:
        memcpy(&bits, &value->as.real, sizeof bits);
        web_out_u64(at + 2, bits);
        break;
    case SYN_VALUE_CHILD:
    case SYN_VALUE_MERGEABLE:
        web_out[at + 2] = value->as.obj;
        break;
    case SYN_VALUE_NULL:
    case SYN_VALUE_FALSE:
    case SYN_VALUE_TRUE:
        break;
    default:
        web_out_bytes(at + 2, value->as.str.data, value->as.str.len);
    }
}

/* ---- Map ------------------------------------------------------------------------------------- */

/* out[0]: the container made, if any. */
EXPORT(map_set)
syn_err js_map_set(struct web_doc *d, syn_obj map, const char *key, uint32_t key_len, uint32_t kind,
                   uint32_t a, uint32_t b)
{
    return syn_map_set(d->doc, map, (syn_str){key, key_len}, value_in(kind, a, b), &web_out[0]);
}

EXPORT(map_delete)
syn_err js_map_delete(struct web_doc *d, syn_obj map, const char *key, uint32_t key_len)
{
    return syn_map_delete(d->doc, map, (syn_str){key, key_len});
}

EXPORT(map_get)
syn_err js_map_get(const struct web_doc *d, syn_obj map, const char *key, uint32_t key_len)
{
    syn_value value;
    syn_err err = syn_map_get(d->doc, map, (syn_str){key, key_len}, &value);
    if (!err) value_out(0, &value);
    return err;
}

EXPORT(map_len) uint32_t js_map_len(const struct web_doc *d, syn_obj map)
{
    return (uint32_t)syn_map_len(d->doc, map);
}

/* out: value (4), key and its length. */
EXPORT(map_at) uint32_t js_map_at(const struct web_doc *d, syn_obj map, uint32_t index)
{
    syn_str key;
    syn_value value;
    if (!syn_map_at(d->doc, map, index, &key, &value)) return 0;
    value_out(0, &value);
    web_out_bytes(4, key.data, key.len);
    return 1;
}

/* out: value (4), peer (2), seq, gone. */
EXPORT(map_conflict)
syn_err js_map_conflict(const struct web_doc *d, syn_obj map, const char *key, uint32_t key_len,
                        uint32_t index)
{
    syn_value value = {.kind = SYN_VALUE_NULL};
    syn_id writer;
    bool gone;
    syn_err err =
        syn_map_conflict(d->doc, map, (syn_str){key, key_len}, index, &value, &writer, &gone);
    if (err) return err;
    value_out(0, &value);
    web_out_u64(4, writer.peer);
    web_out[6] = writer.seq;
    web_out[7] = gone;
    return SYN_OK;
}

/* ---- List ------------------------------------------------------------------------------------ */

EXPORT(list_len) uint32_t js_list_len(const struct web_doc *d, syn_obj list)
{
    return (uint32_t)syn_list_len(d->doc, list);
}

EXPORT(list_get) syn_err js_list_get(const struct web_doc *d, syn_obj list, uint32_t at)
{
    syn_value value;
    syn_err err = syn_list_get(d->doc, list, at, &value);
    if (!err) value_out(0, &value);
    return err;
}

EXPORT(list_insert)
syn_err js_list_insert(struct web_doc *d, syn_obj list, uint32_t at, uint32_t kind, uint32_t a,
                       uint32_t b)
{
    return syn_list_insert(d->doc, list, at, value_in(kind, a, b), &web_out[0]);
}

EXPORT(list_set)
syn_err js_list_set(struct web_doc *d, syn_obj list, uint32_t at, uint32_t kind, uint32_t a,
                    uint32_t b)
{
    return syn_list_set(d->doc, list, at, value_in(kind, a, b), &web_out[0]);
}

EXPORT(list_delete)
syn_err js_list_delete(struct web_doc *d, syn_obj list, uint32_t at, uint32_t count)
{
    return syn_list_delete(d->doc, list, at, count);
}

/* ---- Counter --------------------------------------------------------------------------------- */

EXPORT(counter_get) void js_counter_get(const struct web_doc *d, syn_obj counter)
{
    web_out_u64(0, (uint64_t)syn_counter_get(d->doc, counter));
}

EXPORT(counter_add)
syn_err js_counter_add(struct web_doc *d, syn_obj counter, uint32_t low, uint32_t high)
{
    return syn_counter_add(d->doc, counter, (int64_t)u64(low, high));
}

/* ---- What changed ---------------------------------------------------------------------------- */

EXPORT(event_count) uint32_t js_event_count(const struct web_doc *d)
{
    return (uint32_t)syn_doc_event_count(d->doc);
}

/* out: kind, obj, local, pos, removed, inserted, text (2), key (2), value (4), delta (2). */
EXPORT(event_at) void js_event_at(const struct web_doc *d, uint32_t index)
{
    syn_event event = {.value.kind = SYN_VALUE_NULL};
    if (!syn_doc_event(d->doc, index, &event)) return;
    web_out[0] = event.kind;
    web_out[1] = event.obj;
    web_out[2] = event.local;
    web_out[3] = (uint32_t)event.pos;
    web_out[4] = (uint32_t)event.removed;
    web_out[5] = (uint32_t)event.inserted;
    web_out_bytes(6, event.text.data, event.text.len);
    web_out_bytes(8, event.key.data, event.key.len);
    value_out(10, &event.value);
    web_out_u64(14, (uint64_t)event.delta);
}

EXPORT(event_item) void js_event_item(const struct web_doc *d, uint32_t index, uint32_t item)
{
    syn_value value = {.kind = SYN_VALUE_NULL};
    (void)syn_event_item(d->doc, index, item, &value);
    value_out(0, &value);
}

EXPORT(events_keep) void js_events_keep(struct web_doc *d, uint32_t keep)
{
    syn_doc_events_keep(d->doc, keep != 0);
}

EXPORT(events_clear) void js_events_clear(struct web_doc *d)
{
    syn_doc_events_clear(d->doc);
}

/* ---- Versions -------------------------------------------------------------------------------- */

EXPORT(doc_events) double js_doc_events(const struct web_doc *d)
{
    return (double)syn_doc_events(d->doc);
}

/* Ids as peer (2 words) and seq, in a block that the caller gives back; out: address, count. */
static syn_err ids_out(struct web_doc *d, size_t (*list)(const syn_doc *, syn_id *, size_t))
{
    size_t count = list(d->doc, NULL, 0);
    syn_id *ids = malloc((count + 1) * sizeof *ids);
    uint32_t *words = malloc((count + 1) * 3 * sizeof *words);
    if (ids == NULL || words == NULL) {
        free(ids);
        free(words);
        return SYN_ENOMEM;
    }
    if (count != 0) list(d->doc, ids, count);
    for (size_t i = 0; i < count; i++) {
        words[3 * i] = (uint32_t)ids[i].peer;
        words[3 * i + 1] = (uint32_t)(ids[i].peer >> 32);
        words[3 * i + 2] = ids[i].seq;
    }
    free(ids);
    web_out_bytes(0, words, count);
    return SYN_OK;
}

EXPORT(doc_heads) syn_err js_doc_heads(struct web_doc *d)
{
    return ids_out(d, syn_doc_heads);
}

EXPORT(doc_vector) syn_err js_doc_vector(struct web_doc *d)
{
    return ids_out(d, syn_doc_vector);
}

EXPORT(doc_digest) syn_err js_doc_digest(struct web_doc *d)
{
    uint64_t digest = 0;
    syn_err err = syn_doc_digest(d->doc, &digest);
    web_out_u64(0, digest);
    return err;
}

EXPORT(log_end) uint32_t js_log_end(const struct web_doc *d)
{
    return syn_doc_log_end(d->doc);
}

/* ---- Bytes ----------------------------------------------------------------------------------- */

/* out: address and length, good until the next export of the document. */
static syn_err bytes_out(struct web_doc *d, syn_err err)
{
    web_out_bytes(0, d->bytes.data, err ? 0 : d->bytes.len);
    return err;
}

/* What a replica with this vector (3 words an entry) lacks; of none, everything. */
EXPORT(doc_export)
syn_err js_doc_export(struct web_doc *d, const uint32_t *words, uint32_t count)
{
    syn_id *vector = malloc((count + 1) * sizeof *vector);
    d->bytes.len = 0;
    if (vector == NULL) return SYN_ENOMEM;
    for (uint32_t i = 0; i < count; i++)
        vector[i] = (syn_id){.peer = u64(words[3 * i], words[3 * i + 1]), .seq = words[3 * i + 2]};
    syn_err err = syn_export_vector(d->doc, vector, count, &d->bytes);
    free(vector);
    return bytes_out(d, err);
}

/* A stretch of the log. */
EXPORT(doc_export_log)
syn_err js_doc_export_log(struct web_doc *d, uint32_t from, uint32_t end)
{
    syn_changes set;
    uint32_t cut, start = syn_doc_log_start(d->doc);
    d->bytes.len = 0;
    if (from < start) from = start;
    if (from >= end) return bytes_out(d, SYN_OK);
    syn_err err = syn_doc_export(d->doc, (syn_span){from, end}, UINT32_MAX, SIZE_MAX, &set, &cut);
    if (!err) err = proto_encode_changes(&d->bytes, &set, NULL);
    return bytes_out(d, err);
}

/* ... and of it only what the current peer wrote. */
EXPORT(doc_export_own)
syn_err js_doc_export_own(struct web_doc *d, uint32_t from, uint32_t end)
{
    enum { SPANS = 256 };
    syn_span spans[SPANS];
    syn_changes set;
    size_t count = 0;
    uint64_t peer = syn_doc_peer(d->doc);
    d->bytes.len = 0;
    if (from < syn_doc_log_start(d->doc)) from = syn_doc_log_start(d->doc);
    for (uint32_t at = from; at < end; at++) {
        if (syn_doc_event_id(d->doc, at).peer != peer) continue;
        if (count != 0 && spans[count - 1].end == at)
            spans[count - 1].end++;
        else if (count == SPANS)
            return js_doc_export_log(d, from, end); /* rather too much */
        else
            spans[count++] = (syn_span){at, at + 1};
    }
    if (count == 0) return bytes_out(d, SYN_OK);
    syn_err err = syn_doc_export_spans(d->doc, spans, count, &set);
    if (!err) err = proto_encode_changes(&d->bytes, &set, NULL);
    return bytes_out(d, err);
}
