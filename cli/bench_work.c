/* bench_work.c -- what `syncline bench` measures; what counts lies between the two clocks.
 *
 *     trace -> document -> history, state, all     bytes that load, merge, file ... start from
 *           -> frames[txn]                         what relay, live take one by one
 *           -> behind                              a copy 100 events old, for catch-up
 *           -> FOLDER/bench.db                     for open, history, catch-up
 *
 * The clock is CPU time of the process, for machines are shared.  Freeing is outside. */
#include "bench.h"
#include "doc.h"
#include "fold.h"
#include "proto.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define BEHIND_EVENTS 100

static const syn_str file_doc = {"bench", 5}, file_history = {"history", 7};

double bench_cpu_ms(void)
{
    struct timespec t;
    (void)clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return (double)t.tv_sec * 1e3 + (double)t.tv_nsec * 1e-6;
}

syn_err bench_doc(syn_doc **doc, syn_obj *text, const syn_mem *mem, uint64_t peer, bool events)
{
    syn_doc_config config = SYN_DOC_CONFIG_INIT;
    if (mem != NULL) config.mem = *mem;
    config.peer = peer;
    config.events = events;
    config.work_limit = UINT64_MAX; /* long branches by turns are what is measured */
    syn_err err = syn_doc_new(doc, &config);
    return err == SYN_OK ? syn_root(*doc, syn_s(""), SYN_TEXT, text) : err;
}

/* ---- Local edits, saving --------------------------------------------------------------------- */

static syn_err replay_locally(struct bench_run *run, bool events)
{
    const struct trace_record *rec = run->m->rec;
    double start = bench_cpu_ms();
    syn_doc *doc = NULL;
    syn_obj text;
    syn_err err = bench_doc(&doc, &text, run->mem, 1, events);
    for (uint32_t p = 0; err == SYN_OK && p < rec->patch_count; p++) {
        const struct trace_patch *patch = &rec->patches[p];
        if (patch->removed > 0) err = syn_text_delete(doc, text, patch->pos, patch->removed);
        if (err == SYN_OK && patch->inserted > 0)
            err = syn_text_insert(doc, text, patch->pos, patch->text);
        if (events) syn_doc_events_clear(doc);
    }
    run->ms = bench_cpu_ms() - start;
    if (err == SYN_OK) run->bytes = syn_text_bytes(doc, text);
    syn_doc_free(doc);
    return err;
}

static syn_err work_local(struct bench_run *run)
{
    return replay_locally(run, false);
}
static syn_err work_events(struct bench_run *run)
{
    return replay_locally(run, true);
}

static syn_err work_encode(struct bench_run *run)
{
    syn_buf out = {0};
    if (run->mem != NULL) out.mem = *run->mem;
    double start = bench_cpu_ms();
    syn_err err = syn_save(run->m->doc, &out);
    run->ms = bench_cpu_ms() - start;
    run->bytes = out.len;
    syn_buf_free(&out);
    return err;
}

/* What someone new is sent: the state, deflated. */
static syn_err work_pack(struct bench_run *run)
{
    const syn_buf *state = &run->m->state;
    syn_buf out = {0};
    if (run->mem != NULL) out.mem = *run->mem;
    double start = bench_cpu_ms();
    syn_err err = proto_encode_packed_body(&out, PACKED_SNAPSHOT, state->data, state->len);
    run->ms = bench_cpu_ms() - start;
    run->bytes = err == SYN_ENOTFOUND ? state->len : out.len; /* it would not be smaller */
    syn_buf_free(&out);
    return err == SYN_ENOTFOUND ? SYN_OK : err;
}

/* ---- From bytes ------------------------------------------------------------------------------ */

static syn_err load_text(struct bench_run *run, const syn_buf *bytes,
                         syn_err (*load)(syn_doc *, const void *, size_t), bool then_edit)
{
    double start = bench_cpu_ms();
    syn_doc *doc = NULL;
    syn_obj text;
    char *copy = NULL;
    size_t len = 0;
    syn_err err = bench_doc(&doc, &text, run->mem, 0, false);
    if (err == SYN_OK) err = load(doc, bytes->data, bytes->len);
    if (err == SYN_OK && then_edit) {
        err = syn_doc_set_peer(doc, UINT64_MAX, false);
        if (err == SYN_OK)
            err = syn_text_insert(doc, text, syn_text_len(doc, text) / 2, syn_s("x"));
    } else if (err == SYN_OK) {
        err = copy_text(doc, text, &copy, &len);
    }
    run->ms = bench_cpu_ms() - start;
    run->bytes = bytes->len;
    free(copy);
    syn_doc_free(doc);
    return err;
}

static syn_err work_load(struct bench_run *run)
{
    return load_text(run, &run->m->state, syn_load, false);
}
static syn_err work_ready(struct bench_run *run)
{
    return load_text(run, &run->m->state, syn_load, true);
}
static syn_err work_merge(struct bench_run *run)
{
    return load_text(run, &run->m->history, syn_import, false);
}
static syn_err work_file(struct bench_run *run)
{
    return load_text(run, &run->m->all, syn_load, false);
}

/* The database is open already, as in a server; the document is not. */
static syn_err open_document(struct bench_run *run, syn_str name)
{
    syn_store *store = NULL;
    syn_doc *doc = NULL;
    syn_obj text;
    struct store_doc row = {0};
    char detail[DETAIL_BYTES], *copy = NULL;
    size_t len = 0;
    syn_doc_config config = SYN_DOC_CONFIG_INIT;
    if (run->mem != NULL) config.mem = *run->mem;
    store_options options = {.path = run->m->file, .read_only = true};
    syn_err err = store_open(&store, &options, detail);
    double start = bench_cpu_ms();
    if (err == SYN_OK) err = doc_store_load(store, name, &config, &doc, &row, detail);
    if (err == SYN_OK) err = syn_root(doc, syn_s(""), SYN_TEXT, &text);
    if (err == SYN_OK) err = copy_text(doc, text, &copy, &len);
    run->ms = bench_cpu_ms() - start;
    run->bytes = row.bytes;
    free(copy);
    syn_doc_free(doc);
    store_close(store);
    return err;
}

static syn_err work_open(struct bench_run *run)
{
    return open_document(run, file_doc);
}
static syn_err work_history(struct bench_run *run)
{
    return open_document(run, file_history);
}

/* ---- One change after the other -------------------------------------------------------------- */

syn_err bench_frame_ended(struct bench_frames *frames)
{
    if (frames->count == frames->cap) {
        uint32_t cap = frames->cap * 2 + 64;
        size_t *more = realloc(frames->ends, cap * sizeof *more);
        if (more == NULL) return SYN_ENOMEM;
        frames->ends = more;
        frames->cap = cap;
    }
    frames->ends[frames->count++] = frames->bytes.len;
    return SYN_OK;
}

void bench_frames_free(struct bench_frames *frames)
{
    syn_buf_free(&frames->bytes);
    free(frames->ends);
}

static const char *frame_at(const struct bench_frames *frames, uint32_t i, size_t *len)
{
    size_t from = i == 0 ? 0 : frames->ends[i - 1];
    *len = frames->ends[i] - from;
    return frames->bytes.data + from;
}

static syn_err decode_frame(const struct bench_frames *frames, uint32_t i, proto_arena *arena,
                            syn_changes *set)
{
    struct proto_fault fault;
    size_t len;
    const char *bytes = frame_at(frames, i, &len);
    proto_arena_reset(arena);
    return proto_decode_changes(arena, bytes, len, NULL, NULL, set, &fault);
}

/* What a server does with live edits: decode, validate, apply, one frame after another. */
syn_err bench_take_frames(struct bench_run *run, const struct bench_frames *frames)
{
    syn_doc *doc = NULL;
    syn_obj text;
    proto_arena *arena = NULL;
    syn_err err = bench_doc(&doc, &text, run->mem, 0, false);
    if (err == SYN_OK) err = proto_arena_new(&arena, run->mem);
    double start = bench_cpu_ms();
    for (uint32_t i = 0; err == SYN_OK && i < frames->count; i++) {
        syn_changes set;
        err = decode_frame(frames, i, arena, &set);
        if (err == SYN_OK) err = syn_apply(doc, &set, false, NULL);
    }
    run->ms = bench_cpu_ms() - start;
    run->bytes = frames->bytes.len;
    proto_arena_free(arena);
    syn_doc_free(doc);
    return err;
}

/* All txns as change sets, and each of them as a frame: for its author's connection, which knows
 * who and where; or, with NULL, for others. */
static syn_err encode_each(const struct trace_record *rec, struct trace_set *set, bool encode,
                           bool tables, uint64_t *bytes)
{
    static const struct change_container root = {.kind = SYN_TEXT, .form = CONTAINER_ROOT};
    syn_buf out = {0};
    syn_err err = SYN_OK;
    for (uint32_t t = 0; err == SYN_OK && t < rec->txn_count; t++) {
        if (rec->txns[t].len == 0) continue;
        err = trace_set_fill(set, rec, &t, 1);
        if (err != SYN_OK || !encode) continue;
        struct proto_tables known = {set->set.peers, 1, &root, 1};
        out.len = 0;
        err = proto_encode_channel(&out, 1);
        if (err == SYN_OK) err = proto_encode_changes_body(&out, &set->set, tables ? &known : NULL);
        *bytes += out.len;
    }
    syn_buf_free(&out);
    return err;
}

/* Encoding alone: what filling the sets takes is measured before, and taken off. */
static syn_err work_send(struct bench_run *run)
{
    struct trace_set set = {0};
    syn_err err = trace_set_new(&set, run->m->rec);
    run->bytes = run->down = 0;
    double start = bench_cpu_ms();
    if (err == SYN_OK) err = encode_each(run->m->rec, &set, false, false, NULL);
    double middle = bench_cpu_ms();
    if (err == SYN_OK) err = encode_each(run->m->rec, &set, true, true, &run->bytes);
    run->ms = bench_cpu_ms() - middle - (middle - start);
    if (err == SYN_OK) err = encode_each(run->m->rec, &set, true, false, &run->down);
    trace_set_free(&set);
    return err;
}

static syn_err work_relay(struct bench_run *run)
{
    return bench_take_frames(run, &run->m->frames);
}

/* What reading the clock twice costs, to be taken off where it is read for every change. */
static double clock_cost(void)
{
    enum { TIMES = 1000 };
    double sum = 0;
    for (int i = 0; i < TIMES; i++) {
        double start = bench_cpu_ms();
        sum += bench_cpu_ms() - start;
    }
    return sum / TIMES;
}

/* The same with a clock around each change, decoding left out: the sum, and the worst. */
static syn_err work_live(struct bench_run *run)
{
    const struct bench_frames *frames = &run->m->frames;
    syn_doc *doc = NULL;
    syn_obj text;
    proto_arena *arena = NULL;
    double idle = clock_cost();
    syn_err err = bench_doc(&doc, &text, run->mem, 0, false);
    if (err == SYN_OK) err = proto_arena_new(&arena, run->mem);
    run->ms = run->worst_ms = 0;
    run->steps = 0;
    for (uint32_t i = 0; err == SYN_OK && i < frames->count; i++) {
        syn_changes set;
        err = decode_frame(frames, i, arena, &set);
        double start = bench_cpu_ms();
        if (err == SYN_OK) err = syn_apply(doc, &set, false, NULL);
        double took = bench_cpu_ms() - start - idle;
        run->ms += took;
        if (doc->desk != NULL) run->steps += doc->desk->work.done;
        if (took > run->worst_ms) run->worst_ms = took;
    }
    run->bytes = frames->bytes.len;
    proto_arena_free(arena);
    syn_doc_free(doc);
    return err;
}

/* What a server answers from its file: the document is opened, its history read only if the state
 * does not know the reader's heads. */
static syn_err answer_from_file(const struct bench_material *m, syn_store *store, syn_buf *news)
{
    syn_doc *doc = NULL;
    struct store_doc row = {0};
    char detail[DETAIL_BYTES];
    uint32_t added;
    syn_err err = doc_store_load(store, file_doc, NULL, &doc, &row, detail);
    if (err == SYN_OK) err = syn_export_since(doc, m->behind_heads, m->behind_head_count, news);
    if (err == SYN_EHISTORY) {
        news->len = 0;
        err = doc_store_backfill(store, &row, doc, &added);
        if (err == SYN_OK) err = syn_export_since(doc, m->behind_heads, m->behind_head_count, news);
    }
    syn_doc_free(doc);
    return err;
}

/* Both sides of a replica's return: what it lacks is read, found and encoded, then decoded and
 * applied. */
static syn_err work_catch_up(struct bench_run *run)
{
    const struct bench_material *m = run->m;
    syn_store *store = NULL;
    syn_doc *doc = NULL;
    syn_obj text;
    syn_buf news = {0};
    char detail[DETAIL_BYTES];
    store_options options = {.path = m->file, .read_only = true};
    syn_err err = store_open(&store, &options, detail);
    if (err == SYN_OK) err = bench_doc(&doc, &text, run->mem, 0, false);
    if (err == SYN_OK) err = syn_load(doc, m->behind.data, m->behind.len);
    double start = bench_cpu_ms();
    if (err == SYN_OK) err = answer_from_file(m, store, &news);
    if (err == SYN_OK) err = syn_import(doc, news.data, news.len);
    run->ms = bench_cpu_ms() - start;
    run->bytes = news.len;
    syn_buf_free(&news);
    syn_doc_free(doc);
    store_close(store);
    return err;
}

const struct bench_work bench_works[] = {
    {"local", work_local, BENCH_LINEAR},   {"events", work_events, BENCH_LINEAR},
    {"encode", work_encode, BENCH_ANY},    {"pack", work_pack, BENCH_ANY},
    {"load", work_load, BENCH_ANY},        {"ready", work_ready, BENCH_ANY},
    {"merge", work_merge, BENCH_ANY},      {"file", work_file, BENCH_ANY},
    {"open", work_open, BENCH_ANY},        {"history", work_history, BENCH_ANY},
    {"send", work_send, BENCH_ANY},        {"relay", work_relay, BENCH_ANY},
    {"live", work_live, BENCH_CONCURRENT}, {"catch-up", work_catch_up, BENCH_ANY},
    {"many", bench_many, BENCH_NO_RECORD}, {"many-state", bench_many_state, BENCH_NO_RECORD},
    {"map", bench_map, BENCH_NO_RECORD},
};
const size_t bench_work_count = sizeof bench_works / sizeof bench_works[0];

const struct bench_work *bench_work_named(const char *name)
{
    for (size_t i = 0; i < bench_work_count; i++)
        if (strcmp(bench_works[i].name, name) == 0) return &bench_works[i];
    return NULL;
}

/* ---- Preparing ------------------------------------------------------------------------------- */

/* The document as it is now, for a replica that stays behind. */
static syn_err keep_behind(struct bench_material *m)
{
    m->behind_head_count = syn_doc_heads(m->doc, NULL, 0);
    m->behind_heads = calloc(m->behind_head_count + 1, sizeof *m->behind_heads);
    if (m->behind_heads == NULL) return SYN_ENOMEM;
    (void)syn_doc_heads(m->doc, m->behind_heads, m->behind_head_count);
    return syn_save(m->doc, &m->behind);
}

static syn_err encode_frames(struct bench_material *m, struct trace_set *set)
{
    syn_err err = SYN_OK;
    for (uint32_t t = 0; err == SYN_OK && t < m->rec->txn_count; t++) {
        if (m->rec->txns[t].len == 0) continue;
        err = trace_set_fill(set, m->rec, &t, 1);
        if (err == SYN_OK) err = proto_encode_changes(&m->frames.bytes, &set->set, NULL);
        if (err == SYN_OK) err = bench_frame_ended(&m->frames);
    }
    return err;
}

static syn_err apply_txns(struct bench_material *m, struct trace_set *set, const uint32_t *txns,
                          uint32_t *count)
{
    syn_err err = *count > 0 ? trace_set_fill(set, m->rec, txns, *count) : SYN_OK;
    if (err == SYN_OK && *count > 0) err = syn_apply(m->doc, &set->set, false, NULL);
    *count = 0;
    return err;
}

/* Many at once: branches that take turns in the file would be changed at every txn. */
static syn_err build_document(struct bench_material *m, struct trace_set *set)
{
    enum { AT_ONCE = 1 << 16 };
    const struct trace_record *rec = m->rec;
    uint64_t left = rec->events;
    uint32_t count = 0, *txns = malloc(AT_ONCE * sizeof *txns);
    syn_err err = txns != NULL ? SYN_OK : SYN_ENOMEM;
    for (uint32_t t = 0; err == SYN_OK && t < rec->txn_count; t++) {
        if (rec->txns[t].len == 0) continue;
        bool last = left <= BEHIND_EVENTS || left - rec->txns[t].len < BEHIND_EVENTS;
        bool split = last && m->behind_heads == NULL;
        if (split || count == AT_ONCE) err = apply_txns(m, set, txns, &count);
        if (err == SYN_OK && split) err = keep_behind(m);
        left -= rec->txns[t].len;
        txns[count++] = t;
    }
    if (err == SYN_OK) err = apply_txns(m, set, txns, &count);
    free(txns);
    return err;
}

/* The whole document as one append. */
static syn_err store_whole(syn_store *store, syn_str name, syn_doc *doc, int64_t *id)
{
    store_turn *turn = NULL;
    struct doc_append what = {.end = syn_doc_log_end(doc)};
    syn_err err = store_turn_new(store, &turn);
    if (err != SYN_OK) return err;
    err = store_turn_create(turn, name, NULL, &what.doc);
    if (err == SYN_OK) err = doc_store_append(turn, store, doc, &what, NULL);
    *id = what.doc;
    if (err == SYN_OK) return store_commit(turn);
    store_turn_drop(turn);
    return err;
}

/* Folded as a server folds it when nobody writes; or its log alone, without a snapshot. */
static syn_err fold_whole(syn_store *store, int64_t id, syn_doc *doc, bool with_state)
{
    store_turn *turn = NULL;
    const struct fold_span all = {.end = syn_doc_log_end(doc)};
    syn_err err = store_turn_new(store, &turn);
    if (err != SYN_OK) return err;
    err = with_state ? fold_document(store, file_doc, doc, turn) : fold_log(turn, id, doc, 0, &all);
    if (err == SYN_OK) return store_commit(turn);
    store_turn_drop(turn);
    return err;
}

static syn_err fill_store(syn_store *store, syn_doc *doc)
{
    int64_t id;
    syn_err err = store_whole(store, file_doc, doc, &id);
    if (err == SYN_OK) err = fold_whole(store, id, doc, true);
    if (err == SYN_OK) err = store_whole(store, file_history, doc, &id);
    return err == SYN_OK ? fold_whole(store, id, doc, false) : err;
}

static syn_err make_file(struct bench_material *m)
{
    static const uint8_t id[STORE_ID_BYTES] = {1};
    char detail[DETAIL_BYTES];
    syn_store *store = NULL;
    (void)snprintf(m->folder, sizeof m->folder, "/tmp/syncline-bench-XXXXXX");
    if (mkdtemp(m->folder) == NULL) {
        m->folder[0] = '\0';
        return SYN_EIO;
    }
    (void)snprintf(m->file, sizeof m->file, "%s/bench.db", m->folder);
    store_options options = {.path = m->file, .create = true, .random_id = id};
    syn_err err = store_open(&store, &options, detail);
    if (err == SYN_OK) err = fill_store(store, m->doc);
    store_close(store);
    return err;
}

static void remove_file(const struct bench_material *m)
{
    static const char *const endings[] = {"", "-wal", "-shm", ".lock"};
    char path[sizeof m->file + 8];
    if (m->folder[0] == '\0') return;
    for (size_t i = 0; i < sizeof endings / sizeof endings[0]; i++) {
        (void)snprintf(path, sizeof path, "%s%s", m->file, endings[i]);
        (void)unlink(path);
    }
    (void)rmdir(m->folder);
}

syn_err bench_material_encode(struct bench_material *m)
{
    syn_err err = syn_export_since(m->doc, NULL, 0, &m->history);
    if (err == SYN_OK) err = syn_save_state(m->doc, &m->state);
    if (err == SYN_OK) err = syn_save(m->doc, &m->all);
    return err;
}

syn_err bench_material_make(struct bench_material *m, const struct trace_record *rec)
{
    *m = (struct bench_material){.rec = rec};
    struct trace_set set = {0};
    syn_obj text;
    syn_err err = bench_doc(&m->doc, &text, NULL, 0, false);
    if (err == SYN_OK) err = trace_set_new(&set, rec);
    if (err == SYN_OK) err = encode_frames(m, &set);
    if (err == SYN_OK) err = build_document(m, &set);
    if (err == SYN_OK) err = bench_material_encode(m);
    if (err == SYN_OK) err = make_file(m);
    trace_set_free(&set);
    return err;
}

void bench_material_free(struct bench_material *m)
{
    remove_file(m);
    syn_doc_free(m->doc);
    syn_buf_free(&m->history);
    syn_buf_free(&m->state);
    syn_buf_free(&m->all);
    syn_buf_free(&m->behind);
    free(m->behind_heads);
    bench_frames_free(&m->frames);
}
