/* export.c -- events of the log as a change set in canonical form.
 *
 * Canonical (PROTOCOL.md): tables in the order of first use, runs as long as possible from the
 * front, event by event.  The log's own runs end at every border between graph runs, so they are
 * joined again here. */
#include "export.h"

/* Makes slots of an index `count` long, all 0: those that the last export used are taken back one
 * by one, because a document may know 100,000 peers and an export name two. */
static syn_err clear_slots(const syn_mem *mem, struct slots *slots, uint32_t count)
{
    for (uint32_t i = 0; i < slots->used.n; i++) slots->index.at[slots->used.at[i]] = 0;
    slots->used.n = 0;
    if (count <= slots->index.n) return SYN_OK;
    syn_err err = array_reserve(mem, &slots->index, count - slots->index.n);
    if (err != SYN_OK) return err;
    memset(slots->index.at + slots->index.n, 0, (count - slots->index.n) * sizeof(uint32_t));
    slots->index.n = count;
    return SYN_OK;
}

/* Notes that `number` stands at 1 + index; room for the note was reserved. */
static void use_slot(struct slots *slots, uint32_t number, uint32_t index_plus1)
{
    slots->index.at[number] = index_plus1;
    *array_push(&slots->used) = number;
}

syn_err export_agent(struct exporter *ex, uint32_t agent, uint32_t *index)
{
    struct export_buffers *out = ex->out;
    if (out->agents.index.at[agent] == 0) {
        syn_err err = array_reserve(&ex->doc->mem, &out->peers, 1);
        if (err == SYN_OK) err = array_reserve(&ex->doc->mem, &out->agents.used, 1);
        if (err != SYN_OK) return err;
        *array_push(&out->peers) = graph_agent_peer(ex->doc->graph, agent);
        use_slot(&out->agents, agent, out->peers.n);
    }
    *index = out->agents.index.at[agent] - 1;
    return SYN_OK;
}

static syn_err push_container(struct exporter *ex, syn_obj obj)
{
    syn_doc *doc = ex->doc;
    const struct container_id *id = &container_at(&doc->all, obj)->id;
    struct change_container entry = {.kind = id->kind, .form = id->form};
    syn_err err = SYN_OK;
    if (id->form == CONTAINER_ROOT) {
        entry.name = names_get(&doc->names, id->a);
    } else if (id->form == CONTAINER_BY_EVENT) {
        err = export_agent(ex, id->a, &entry.peer);
        entry.seq = id->b;
    } else {
        entry.parent = ex->out->objects.index.at[id->a] - 1;
        entry.key = names_get(&doc->names, id->b);
    }
    if (err == SYN_OK) err = array_reserve(&doc->mem, &ex->out->containers, 1);
    if (err == SYN_OK) err = array_reserve(&doc->mem, &ex->out->objects.used, 1);
    if (err != SYN_OK) return err;
    *array_push(&ex->out->containers) = entry;
    use_slot(&ex->out->objects, obj, ex->out->containers.n);
    return SYN_OK;
}

/* Index of the container in the exported table; its parents first. */
syn_err export_container(struct exporter *ex, syn_obj obj, uint32_t *index)
{
    syn_doc *doc = ex->doc;
    doc->desk->walk.n = 0;
    for (syn_obj at = obj; ex->out->objects.index.at[at] == 0;) {
        syn_err err = array_reserve(&doc->mem, &doc->desk->walk, 1);
        if (err != SYN_OK) return err;
        *array_push(&doc->desk->walk) = at;
        const struct container_id *id = &container_at(&doc->all, at)->id;
        if (id->form != CONTAINER_MERGEABLE) break;
        at = id->a;
    }
    while (doc->desk->walk.n > 0) {
        syn_err err = push_container(ex, doc->desk->walk.at[--doc->desk->walk.n]);
        if (err != SYN_OK) return err;
    }
    *index = ex->out->objects.index.at[obj] - 1;
    return SYN_OK;
}

syn_err export_begin(syn_doc *doc, struct exporter *ex)
{
    syn_err err = desk_open(doc);
    if (err != SYN_OK) return err;
    struct export_buffers *out = &doc->desk->out;
    *ex = (struct exporter){.doc = doc, .out = out};
    out->peers.n = out->containers.n = out->runs.n = out->deps.n = out->ops.n = 0;
    out->keys.n = out->values.n = out->ext.n = out->text.n = 0;
    err = clear_slots(&doc->mem, &out->agents, graph_agent_count(doc->graph));
    return err == SYN_OK ? clear_slots(&doc->mem, &out->objects, doc->all.list.n) : err;
}

/* ---- Runs ------------------------------------------------------------------------------------ */

static syn_err push_deps(struct exporter *ex, const lv_t *parents, uint32_t count)
{
    syn_doc *doc = ex->doc;
    struct export_buffers *out = ex->out;
    out->parents.n = 0;
    syn_err err = array_reserve(&doc->mem, &out->parents, count);
    if (err == SYN_OK) err = array_reserve(&doc->mem, &out->deps, count);
    if (err != SYN_OK) return err;
    for (uint32_t i = 0; i < count; i++) *array_push(&out->parents) = doc_id(doc, parents[i]);
    ids_sort(out->parents.at, count);
    for (uint32_t i = 0; i < count; i++) {
        struct change_dep dep = {.seq = out->parents.at[i].seq};
        err = export_agent(ex, graph_agent_find(doc->graph, out->parents.at[i].peer), &dep.peer);
        if (err != SYN_OK) return err;
        *array_push(&out->deps) = dep;
    }
    return SYN_OK;
}

/* Are the parents just the peer's previous event (or none for its first)? */
static bool default_parents(const syn_doc *doc, const lv_t *parents, uint32_t count, uint32_t agent,
                            uint32_t seq)
{
    uint32_t parent_agent, parent_seq;
    if (count != 1) return count == 0 && seq == 0;
    graph_id(doc->graph, parents[0], &parent_agent, &parent_seq);
    return parent_agent == agent && parent_seq + 1 == seq;
}

static syn_err export_run(struct exporter *ex, lv_t from, lv_t end)
{
    syn_doc *doc = ex->doc;
    const lv_t *parents;
    lv_t previous;
    uint32_t agent, seq;
    graph_id(doc->graph, from, &agent, &seq);
    struct change_run run = {.seq = seq, .len = end - from};
    syn_err err = export_agent(ex, agent, &run.peer);
    if (err != SYN_OK) return err;
    uint32_t count = graph_parents(doc->graph, from, &parents, &previous);
    if (!default_parents(doc, parents, count, agent, seq)) {
        run.explicit_parents = true;
        run.dep_count = count;
        err = push_deps(ex, parents, count);
    }
    if (err == SYN_OK) err = array_reserve(&doc->mem, &ex->out->runs, 1);
    if (err != SYN_OK) return err;
    struct change_run *last = ex->out->runs.n > 0 ? &ex->out->runs.at[ex->out->runs.n - 1] : NULL;
    bool joins = last != NULL && !run.explicit_parents && last->peer == run.peer &&
                 last->seq + last->len == run.seq && run.seq > 0;
    if (joins)
        last->len += run.len;
    else
        *array_push(&ex->out->runs) = run;
    return SYN_OK;
}

static syn_err export_runs(struct exporter *ex, lv_t from, lv_t end)
{
    syn_err err = SYN_OK;
    for (uint32_t i = graph_run_of(ex->doc->graph, from); err == SYN_OK && from < end; i++) {
        const struct graph_run run = graph_run_at(ex->doc->graph, i);
        lv_t stop = run.end < end ? run.end : end;
        err = export_run(ex, from, stop);
        from = stop;
    }
    return err;
}

/* ---- Operations ------------------------------------------------------------------------------ */

/* Where an op leaves the caret; false: it has no position and leaves the caret as it was. */
static bool caret_after(const struct change_op *op, uint32_t *caret)
{
    switch (op->kind) {
    case OP_TEXT_INSERT:
    case OP_LIST_INSERT:
        *caret = op->pos + op->len;
        return true;
    case OP_DELETE:
    case OP_LIST_SET:
        *caret = op->pos;
        return true;
    case OP_DELETE_BACK:
        *caret = op->pos - op->len + 1;
        return true;
    default:
        return false;
    }
}

/* The last op is complete: a single delete gets its direction from the caret. */
static void close_op(struct exporter *ex)
{
    if (ex->out->ops.n == 0) return;
    struct change_op *op = &ex->out->ops.at[ex->out->ops.n - 1];
    if (op->len == 1 && op_is_delete(op->kind)) {
        bool left_of_caret = ex->caret_container == op->container + 1 && op->pos + 1 == ex->caret;
        op->kind = left_of_caret ? OP_DELETE_BACK : OP_DELETE;
    }
    if (caret_after(op, &ex->caret)) ex->caret_container = op->container + 1;
}

/* How many events of the piece continue the last op. */
static uint32_t join_last(struct exporter *ex, const struct op_piece *piece, uint32_t container)
{
    if (ex->out->ops.n == 0) return 0;
    struct change_op *last = &ex->out->ops.at[ex->out->ops.n - 1];
    uint32_t len = piece->end - piece->from;
    if (piece->kind == OP_NOTHING) return last->kind == OP_NOTHING ? len : 0;
    if (last->container != container) return 0;
    if (op_is_delete(piece->kind))
        return op_is_delete(last->kind)
                   ? delete_join(&last->kind, last->pos, last->len, piece->kind, piece->pos, len)
                   : 0;
    if (last->kind != piece->kind || piece->kind == OP_FIRST_UNKNOWN) return 0;
    bool positioned = piece->kind == OP_TEXT_INSERT || piece->kind == OP_LIST_INSERT ||
                      piece->kind == OP_LIST_SET;
    return !positioned || piece->pos == last->pos + last->len ? len : 0;
}

static syn_err export_args(struct exporter *ex, const struct op_piece *piece)
{
    syn_doc *doc = ex->doc;
    uint32_t len = piece->end - piece->from;
    syn_err err = array_reserve(&doc->mem, &ex->out->keys, len);
    if (err == SYN_OK) err = array_reserve(&doc->mem, &ex->out->values, len);
    if (err != SYN_OK) return err;
    for (uint32_t i = 0; i < len; i++) {
        const struct op_arg *arg = &doc->log.args.at[piece->at + i];
        if (piece->kind == OP_MAP_SET || piece->kind == OP_MAP_DELETE)
            *array_push(&ex->out->keys) = names_get(&doc->names, arg->key);
        if (piece->kind != OP_MAP_DELETE) *array_push(&ex->out->values) = value_give(doc, arg);
    }
    return SYN_OK;
}

static syn_err export_unknown(struct exporter *ex, const struct op_piece *piece,
                              struct change_op *op)
{
    const struct op_arg *arg = &ex->doc->log.args.at[piece->at];
    syn_err err = array_reserve(&ex->doc->mem, &ex->out->ext, 1);
    if (err != SYN_OK) return err;
    *array_push(&ex->out->ext) = doc_blob(ex->doc, arg);
    op->kind = arg->key;
    op->arg = arg->kind;
    return SYN_OK;
}

static syn_err export_content(struct exporter *ex, const struct op_piece *piece,
                              struct change_op *op)
{
    if (piece->kind == OP_TEXT_INSERT) {
        const struct oplog *log = &ex->doc->log;
        uint32_t bytes = oplog_text_bytes(log, piece->at, piece->end - piece->from);
        syn_err err = array_reserve(&ex->doc->mem, &ex->out->text, bytes);
        if (err != SYN_OK) return err;
        memcpy(ex->out->text.at + ex->out->text.n, log->text.at + piece->at, bytes);
        ex->out->text.n += bytes;
        return SYN_OK;
    }
    if (piece->kind == OP_FIRST_UNKNOWN) return export_unknown(ex, piece, op);
    return op_takes_args(piece->kind) ? export_args(ex, piece) : SYN_OK;
}

static syn_err export_piece(struct exporter *ex, const struct op_piece *piece)
{
    uint32_t container = 0, len = piece->end - piece->from;
    syn_err err = SYN_OK;
    if (piece->container != SYN_NO_OBJ) err = export_container(ex, piece->container, &container);
    if (err == SYN_OK) err = array_reserve(&ex->doc->mem, &ex->out->ops, 1);
    struct change_op op = {
        .kind = piece->kind, .container = container, .len = len, .pos = piece->pos};
    if (err == SYN_OK) err = export_content(ex, piece, &op);
    if (err != SYN_OK) return err;
    uint32_t joined = join_last(ex, piece, container);
    if (joined > 0) ex->out->ops.at[ex->out->ops.n - 1].len += joined;
    if (joined == len) return SYN_OK;
    close_op(ex);
    op.len -= joined;
    if (joined > 0 && piece->kind == OP_DELETE_BACK) op.pos -= joined;
    *array_push(&ex->out->ops) = op;
    return SYN_OK;
}

static syn_err export_ops(struct exporter *ex, lv_t from, lv_t end)
{
    const struct oplog *log = &ex->doc->log;
    syn_err err = SYN_OK;
    for (uint32_t i = oplog_find(log, from); err == SYN_OK && from < end; i++) {
        lv_t stop = oplog_run_end(log, i) < end ? oplog_run_end(log, i) : end;
        struct op_piece piece = oplog_piece(log, i, from, stop);
        err = export_piece(ex, &piece);
        from = stop;
    }
    return err;
}

static void fill(const struct export_buffers *out, syn_changes *set)
{
    *set = (syn_changes){.peers = out->peers.at,
                         .containers = out->containers.at,
                         .runs = out->runs.at,
                         .deps = out->deps.at,
                         .ops = out->ops.at,
                         .keys = out->keys.at,
                         .values = out->values.at,
                         .ext = out->ext.at,
                         .text = {out->text.n > 0 ? out->text.at : "", out->text.n},
                         .peer_count = out->peers.n,
                         .container_count = out->containers.n,
                         .run_count = out->runs.n,
                         .dep_count = out->deps.n,
                         .op_count = out->ops.n,
                         .key_count = out->keys.n,
                         .value_count = out->values.n,
                         .ext_count = out->ext.n};
}

syn_err syn_doc_export_spans(syn_doc *doc, const syn_span *spans, size_t count, syn_changes *set)
{
    struct exporter ex;
    uint32_t start = syn_doc_log_start(doc);
    for (size_t i = 0; i < count; i++)
        if (spans[i].from < start || spans[i].end > graph_len(doc->graph) ||
            spans[i].from > spans[i].end)
            return doc_refuse(doc, SYN_ERANGE, "no such log positions");
    syn_err err = export_begin(doc, &ex);
    for (size_t i = 0; err == SYN_OK && i < count; i++)
        if (spans[i].from < spans[i].end) err = export_runs(&ex, spans[i].from, spans[i].end);
    for (size_t i = 0; err == SYN_OK && i < count; i++)
        if (spans[i].from < spans[i].end) err = export_ops(&ex, spans[i].from, spans[i].end);
    if (err != SYN_OK) return doc_refuse(doc, err, "no memory to export");
    close_op(&ex);
    fill(&doc->desk->out, set);
    return SYN_OK;
}

/* ---- Cutting --------------------------------------------------------------------------------- */

static size_t piece_bytes(const syn_doc *doc, const struct op_piece *piece)
{
    size_t bytes = 8;
    if (piece->kind == OP_TEXT_INSERT) return bytes + (piece->end - piece->from);
    if (!op_takes_args(piece->kind)) return bytes;
    uint32_t args = piece->kind == OP_FIRST_UNKNOWN ? 1 : piece->end - piece->from;
    for (uint32_t i = 0; i < args; i++) {
        const struct op_arg *arg = &doc->log.args.at[piece->at + i];
        bytes += 10;
        if (arg->key != NAME_NONE && piece->kind != OP_FIRST_UNKNOWN)
            bytes += names_get(&doc->names, arg->key).len;
        bool blob =
            arg->kind == SYN_VALUE_STRING || arg->kind == SYN_VALUE_BYTES || arg->kind >= 16;
        if (blob || piece->kind == OP_FIRST_UNKNOWN) bytes += arg->as.blob.len;
    }
    return bytes;
}

/* Where an export from span.from stops: never in a run of unknown kind, but always after some
 * event. Long runs are looked at in steps, so that they are cut too. */
static lv_t cut_at(const syn_doc *doc, syn_span span, uint32_t max_events, size_t max_bytes)
{
    const struct oplog *log = &doc->log;
    uint32_t step = max_events < 256 ? max_events : 256;
    size_t bytes = 0;
    lv_t at = span.from;
    for (uint32_t i = oplog_find(log, at); at < span.end;) {
        lv_t run_end = oplog_run_end(log, i), stop = run_end < span.end ? run_end : span.end;
        if (log->runs.at[i].kind == OP_FIRST_UNKNOWN)
            stop = run_end;
        else if (stop - at > step)
            stop = at + step;
        struct op_piece piece = oplog_piece(log, i, at, stop);
        bytes += piece_bytes(doc, &piece);
        bool over = bytes > max_bytes || stop - span.from > max_events;
        if (over && at > span.from) return at;
        at = stop;
        if (over) return at;
        if (stop == run_end) i++;
    }
    return at;
}

syn_err syn_doc_export(syn_doc *doc, syn_span span, uint32_t max_events, size_t max_bytes,
                       syn_changes *set, uint32_t *cut)
{
    if (span.from >= span.end || span.end > graph_len(doc->graph) ||
        span.from < syn_doc_log_start(doc))
        return doc_refuse(doc, SYN_ERANGE, "no such log positions");
    if (max_events == 0) max_events = 1;
    span.end = cut_at(doc, span, max_events, max_bytes);
    syn_err err = syn_doc_export_spans(doc, &span, 1, set);
    if (err == SYN_OK && cut != NULL) *cut = span.end;
    return err;
}

/* ---- What another replica lacks -------------------------------------------------------------- */

static syn_err give_spans(syn_doc *doc, const lv_ranges *ranges, const syn_span **spans,
                          size_t *count)
{
    struct export_buffers *out = &doc->desk->out;
    out->spans.n = 0;
    syn_err err = array_reserve(&doc->mem, &out->spans, ranges->n);
    if (err != SYN_OK) return err;
    for (uint32_t i = 0; i < ranges->n; i++)
        *array_push(&out->spans) = (syn_span){ranges->at[i].from, ranges->at[i].end};
    *spans = out->spans.at;
    *count = out->spans.n;
    return SYN_OK;
}

syn_err syn_doc_spans_since(syn_doc *doc, const syn_id *heads, size_t count, const syn_span **spans,
                            size_t *span_count)
{
    *span_count = 0;
    if (count == 0 && has_base(doc))
        return doc_refuse(doc, SYN_EHISTORY, "the history below the snapshot is not here");
    if (count > doc->max_heads)
        return doc_refuse(doc, SYN_ELIMIT, "more than %u heads", doc->max_heads);
    syn_err err = desk_open(doc);
    if (err != SYN_OK) return err;
    doc->desk->parents.n = 0;
    err = array_reserve(&doc->mem, &doc->desk->parents, (uint32_t)count);
    if (err != SYN_OK) return err;
    for (size_t i = 0; i < count; i++) {
        lv_t lv = doc_find(doc, heads[i]);
        if (lv == LV_NONE)
            return doc_refuse(doc, has_base(doc) ? SYN_EHISTORY : SYN_ENOTFOUND,
                              "a head is not here");
        *array_push(&doc->desk->parents) = lv;
    }
    err = graph_dominators(doc->graph, doc->desk->parents.at, &doc->desk->parents.n);
    if (err != SYN_OK) return err;
    uint32_t own;
    const lv_t *frontier = graph_frontier(doc->graph, &own);
    err = graph_diff(doc->graph, frontier, own, doc->desk->parents.at, doc->desk->parents.n,
                     &doc->desk->spare_a, &doc->desk->spare_b);
    return err == SYN_OK ? give_spans(doc, &doc->desk->spare_a, spans, span_count) : err;
}

static uint32_t next_of(const syn_id *next, size_t count, uint64_t peer)
{
    size_t low = 0, high = count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (next[middle].peer < peer)
            low = middle + 1;
        else
            high = middle;
    }
    return low < count && next[low].peer == peer ? next[low].seq : 0;
}

syn_err syn_doc_spans_since_vector(syn_doc *doc, const syn_id *next, size_t count,
                                   const syn_span **spans, size_t *span_count)
{
    *span_count = 0;
    syn_err err = desk_open(doc);
    if (err != SYN_OK) return err;
    struct export_buffers *out = &doc->desk->out;
    for (size_t i = 1; i < count; i++)
        if (next[i - 1].peer >= next[i].peer)
            return doc_refuse(doc, SYN_EMISUSE, "a vector is ordered by peer");
    out->spans.n = 0;
    for (uint32_t i = has_base(doc) ? 1 : 0; i < graph_run_count(doc->graph); i++) {
        const struct graph_run run = graph_run_at(doc->graph, i);
        uint32_t held = next_of(next, count, graph_agent_peer(doc->graph, run.agent));
        uint32_t skip = held > run.seq ? held - run.seq : 0;
        if (skip >= run.end - run.lv) continue;
        syn_span *last = out->spans.n > 0 ? &out->spans.at[out->spans.n - 1] : NULL;
        if (last != NULL && last->end == run.lv + skip) {
            last->end = run.end;
            continue;
        }
        err = array_reserve(&doc->mem, &out->spans, 1);
        if (err != SYN_OK) return err;
        *array_push(&out->spans) = (syn_span){run.lv + skip, run.end};
    }
    *spans = out->spans.at;
    *span_count = out->spans.n;
    return SYN_OK;
}
