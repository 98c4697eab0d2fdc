/* effects.c -- what merged events did, kept so that nobody needs to merge them again.
 *
 * A position in the log is one at the event's parents.  Where the event acts in the document as it
 * is at its turn in the log takes a replay of all that is concurrent with it; but that place never
 * changes afterwards, for nothing is ever put before an event in the log.  So whoever stores a
 * stretch of the log may store the places beside it, and reading it back is a straight replay.
 *
 *     events   insert 3 at 10   delete 4 at 2     insert 2 at 13
 *     act at   15               2, gone, gone, 4  20
 *     effects  {3, +5}          {1, 0} {2, GONE} {1, +2}   {2, +7}
 *
 * Counted event by event, over all texts and lists, in the order of the log: how far from its own
 * position each acted, in runs of events that did alike.  Counting events and not operations makes
 * it independent of how the log, a graph run or a change set cuts its operations; and what acted as
 * it says (much, even in concurrent histories) joins into one entry.  The first thought, where each
 * operation landed, would need lengths for deletes that fell apart.
 *
 * An insert is one record in the tracker and lands in one place; a delete or a list's set asks each
 * element by itself.  Maps and counters are in no order, and need nothing.
 *
 * Found here by a replay of its own, which leaves the document's kept merges alone: recording while
 * merging would cost every document memory for what is asked when it is stored. */
#include "doc.h"

struct syn_effects {
    syn_doc *doc;
    ARRAY(struct sequence_merge *) merges; /* by container; NULL: not yet */
    ARRAY(struct change_effect) out;
    ARRAY(uint32_t) where; /* scratch of list sets */
    struct work work;      /* of all spans, limited as of a change as long as the log */
    lv_t next;             /* spans asked for began below */
};

/* ---- Finding them ---------------------------------------------------------------------------- */

static syn_err add(syn_effects *e, uint32_t len, int64_t by)
{
    struct change_effect *last = e->out.n > 0 ? &e->out.at[e->out.n - 1] : NULL;
    if (last != NULL && last->by == by) {
        last->len += len;
        return SYN_OK;
    }
    syn_err err = array_reserve(&e->doc->mem, &e->out, 1);
    if (err == SYN_OK) *array_push(&e->out) = (struct change_effect){len, (int32_t)by};
    return err;
}

/* Was nothing concurrent with the event when it came, as far as later events have left that to be
 * seen?  (No more is needed: a merge gives the right place in any case.) */
static bool was_alone(const struct graph *graph, lv_t lv)
{
    const lv_t *parents;
    lv_t previous;
    uint32_t count = graph_parents(graph, lv, &parents, &previous);
    if (lv == 0) return true;
    return count == 1 && parents[0] == lv - 1 &&
           graph_critical_at_or_before(graph, lv - 1) == lv - 1;
}

static void drop(syn_effects *e, syn_obj obj)
{
    merge_free(e->merges.at[obj], &e->doc->mem);
    e->merges.at[obj] = NULL;
}

/* Whose the event is; *previous: room for its parent. */
static struct event_origin origin_of(const struct graph *graph, lv_t lv, lv_t *previous)
{
    const struct graph_run run = graph_run_at(graph, graph_run_of(graph, lv));
    struct event_origin origin = {.peer = graph_agent_peer(graph, run.agent), .row = DENSE_NONE};
    origin.parent_count = graph_parents(graph, lv, &origin.parents, previous);
    return origin;
}

static syn_err add_deletes(syn_effects *e, struct sequence_merge *merge,
                           const struct merge_source *source, const struct op_piece *piece)
{
    syn_err err = SYN_OK;
    for (lv_t lv = piece->from; err == SYN_OK && lv < piece->end; lv++) {
        struct op_piece one = *piece; /* by themselves, for effects say not which are gone */
        one.from = lv;
        one.end = lv + 1;
        if (piece->kind == OP_DELETE_BACK) one.pos -= lv - piece->from;
        lv_t previous;
        struct event_origin origin = origin_of(source->graph, lv, &previous);
        err = merge_delete(merge, source, &one, &origin);
        if (err != SYN_OK) return err;
        bool gone = merge->deletes.n == 0;
        err = add(e, 1, gone ? EFFECT_GONE : (int64_t)merge->deletes.at[0].pos - one.pos);
    }
    return err;
}

static syn_err add_sets(syn_effects *e, struct sequence_merge *merge,
                        const struct merge_source *source, const struct op_piece *piece)
{
    uint32_t len = piece->end - piece->from;
    lv_t previous;
    struct event_origin origin = origin_of(source->graph, piece->from, &previous);
    e->where.n = 0;
    syn_err err = array_reserve(&e->doc->mem, &e->where, len);
    if (err == SYN_OK) err = merge_set(merge, source, piece, &origin, e->where.at);
    for (uint32_t i = 0; err == SYN_OK && i < len; i++) {
        uint32_t at = e->where.at[i];
        err = add(e, 1, at == UINT32_MAX ? EFFECT_GONE : (int64_t)at - (piece->pos + i));
    }
    return err;
}

static syn_err add_insert(syn_effects *e, struct sequence_merge *merge,
                          const struct merge_source *source, const struct op_piece *piece)
{
    lv_t previous;
    uint32_t at;
    struct event_origin origin = origin_of(source->graph, piece->from, &previous);
    syn_err err = merge_insert(merge, source, piece, &origin, &at);
    return err == SYN_OK ? add(e, piece->end - piece->from, (int64_t)at - piece->pos) : err;
}

static syn_err add_merged(syn_effects *e, const struct op_piece *piece)
{
    syn_doc *doc = e->doc;
    const struct container *c = container_at(&doc->all, piece->container);
    const struct merge_source source = {&doc->mem, doc->graph, &doc->log, c->runs.at,
                                        c->runs.n, c->len,     &e->work};
    struct sequence_merge **merge = &e->merges.at[piece->container];
    if (*merge == NULL) *merge = merge_new(&doc->mem);
    if (*merge == NULL) return SYN_ENOMEM;
    (*merge)->in_order = true;
    syn_err err = merge_begin(*merge, &source, piece->from);
    if (err != SYN_OK) return err;
    if (op_is_delete(piece->kind)) return add_deletes(e, *merge, &source, piece);
    if (piece->kind == OP_LIST_SET) return add_sets(e, *merge, &source, piece);
    return add_insert(e, *merge, &source, piece);
}

static syn_err add_piece(syn_effects *e, const struct op_piece *piece, bool *merged)
{
    const syn_doc *doc = e->doc;
    if (piece->container == SYN_NO_OBJ || piece->kind == OP_FIRST_UNKNOWN) return SYN_OK;
    if (!kind_is_sequence(container_at(&doc->all, piece->container)->id.kind)) return SYN_OK;
    if (was_alone(doc->graph, piece->from)) {
        const struct sequence_merge *merge = e->merges.at[piece->container];
        if (merge != NULL && merge_is_stale(merge, piece->from)) drop(e, piece->container);
        return add(e, piece->end - piece->from, 0);
    }
    *merged = true;
    syn_err err = add_merged(e, piece);
    if (err != SYN_OK) drop(e, piece->container); /* half fed */
    return err;
}

syn_err syn_effects_of(syn_effects *e, syn_span span, const struct change_effect **out,
                       uint32_t *count)
{
    syn_doc *doc = e->doc;
    bool merged = false;
    syn_err err = SYN_OK;
    *count = 0;
    if (span.from < e->next || span.from > span.end || span.end > doc->log.end)
        return doc_refuse(doc, SYN_ERANGE, "no such log positions, or not in ascending order");
    e->out.n = 0;
    for (lv_t from = span.from; err == SYN_OK && from < span.end;) {
        uint32_t index = oplog_find(&doc->log, from);
        lv_t end = oplog_run_end(&doc->log, index);
        if (end > span.end) end = span.end;
        struct op_piece piece = oplog_piece(&doc->log, index, from, end);
        err = add_piece(e, &piece, &merged);
        from = end;
    }
    e->next = span.end;
    *out = e->out.at;
    if (err == SYN_OK && merged) *count = e->out.n;
    return err;
}

syn_err syn_effects_new(syn_doc *doc, syn_effects **out)
{
    syn_effects *e = mem_zalloc(&doc->mem, sizeof *e);
    *out = NULL;
    if (e == NULL) return SYN_ENOMEM;
    e->doc = doc;
    e->work.limit = doc_work_limit(doc, doc->log.end);
    e->next = syn_doc_log_start(doc);
    syn_err err = array_reserve(&doc->mem, &e->merges, doc->all.list.n);
    if (err != SYN_OK) {
        syn_effects_free(e);
        return err;
    }
    for (uint32_t i = 0; i < doc->all.list.n; i++) *array_push(&e->merges) = NULL;
    *out = e;
    return SYN_OK;
}

void syn_effects_free(syn_effects *e)
{
    if (e == NULL) return;
    const syn_mem mem = e->doc->mem;
    for (uint32_t i = 0; i < e->merges.n; i++) merge_free(e->merges.at[i], &mem);
    array_free(&mem, &e->merges);
    array_free(&mem, &e->out);
    array_free(&mem, &e->where);
    mem_free(&mem, e, sizeof *e);
}
