/* rebuild.c -- documents built anew beside the old one, then put in its place.
 *
 * Loading a snapshot, adding history below one, and taking a peer's tail out all work this way,
 * because a refusal then costs nothing to undo.  Containers and names keep their numbers, so that
 * what the caller holds stays right; and everything built keeps to the old document's allocator
 * hook (doc->shared), because it will live on inside the old document. */
#include "doc.h"

/* An empty document that knows the same names and containers. */
static syn_err make_fresh(const syn_doc *doc, syn_doc **out)
{
    const syn_doc_config config = {.size = sizeof config,
                                   .mem = doc->mem,
                                   .peer = doc->peer,
                                   .events = doc->keep_records,
                                   .max_heads = doc->max_heads,
                                   .max_events = doc->max_events,
                                   .max_pending = doc->max_pending,
                                   .max_value = doc->max_value,
                                   .hash_seed = doc->names.seed,
                                   .work_limit = doc->work_limit};
    syn_err err = doc_new(out, &config, doc->shared);
    uint32_t number;
    for (uint32_t i = 0; err == SYN_OK && i < doc->names.list.n; i++)
        err = names_add(&(*out)->names, &doc->mem, names_get(&doc->names, i), &number);
    for (uint32_t i = 0; err == SYN_OK && i < doc->all.list.n; i++) {
        struct container_id id = container_at(&doc->all, i)->id;
        if (id.form == CONTAINER_BY_EVENT)
            err = graph_agent_add((*out)->graph, graph_agent_peer(doc->graph, id.a), &id.a);
        if (err == SYN_OK) err = containers_add(&(*out)->all, &doc->mem, id, &number);
    }
    if (err != SYN_OK) {
        syn_doc_free(*out);
        *out = NULL;
    }
    return err;
}

/* Puts what `fresh` holds into `doc` and frees what doc held; pending sets stay. */
static void take_over(syn_doc *doc, syn_doc *fresh)
{
    syn_doc old = *doc;
    *doc = *fresh;
    *fresh = old;
    doc->peer = old.peer;
    doc->work_limit = old.work_limit;
    doc->agent = graph_agent_find(doc->graph, doc->peer);
    doc->pending.at = fresh->pending.at;
    doc->pending.n = fresh->pending.n;
    doc->pending.cap = fresh->pending.cap;
    doc->pending_bytes = fresh->pending_bytes;
    fresh->pending.at = NULL;
    fresh->pending.n = fresh->pending.cap = 0;
    syn_doc_free(fresh);
    doc_fit(doc);
}

static syn_err may_rebuild(syn_doc *doc)
{
    if (in_transaction(doc)) return doc_refuse(doc, SYN_EMISUSE, "a transaction is open");
    if (doc->records.n > 0)
        return doc_refuse(doc, SYN_EMISUSE, "read and clear the event records first");
    return SYN_OK;
}

/* The reason of a refusal inside `fresh` becomes the document's. */
static syn_err give_up(syn_doc *doc, syn_doc *fresh, syn_err err)
{
    if (fresh != NULL && *syn_doc_error(fresh) != 0)
        (void)doc_refuse(doc, err, "%s", syn_doc_error(fresh));
    syn_doc_free(fresh);
    return err;
}

syn_err syn_doc_load(syn_doc *doc, const syn_snapshot *snapshot)
{
    syn_doc *fresh = NULL;
    syn_err err = may_rebuild(doc);
    if (err != SYN_OK) return err;
    if (graph_len(doc->graph) > 0)
        return doc_refuse(doc, SYN_EMISUSE, "a snapshot goes into an empty document");
    err = make_fresh(doc, &fresh);
    if (err == SYN_OK) err = load_into(fresh, snapshot);
    if (err == SYN_OK) {
        fresh->keep_records = doc->keep_records;
        err = record_differences(doc, fresh);
    }
    if (err != SYN_OK) return give_up(doc, fresh, err);
    take_over(doc, fresh);
    return SYN_OK;
}

/* ---- History below --------------------------------------------------------------------------- */

static syn_err apply_history(syn_doc *fresh, syn_next_fn next, void *user)
{
    syn_applied applied;
    syn_err err = SYN_OK;
    for (const syn_changes *set; err == SYN_OK && (set = next(user, &err)) != NULL;)
        if (err == SYN_OK) err = apply_set(fresh, set, &applied);
    return err;
}

/* Does the history end in the version that the document's snapshot stands for? */
static syn_err check_reaches_base(const syn_doc *doc, syn_doc *fresh)
{
    uint32_t count;
    const lv_t *heads = graph_frontier(fresh->graph, &count);
    syn_id base = doc_id(doc, 0);
    bool same = count == 1 && graph_len(fresh->graph) == doc->base_events;
    if (same) {
        syn_id head = doc_id(fresh, heads[0]);
        same = head.peer == base.peer && head.seq == base.seq &&
               graph_lamport(fresh->graph, heads[0]) == graph_lamport(doc->graph, 0);
    }
    return same ? SYN_OK
                : doc_refuse(fresh, SYN_EMALFORMED,
                             "the history does not lead to the snapshot's version");
}

static syn_err apply_spans(syn_doc *doc, syn_doc *fresh, const syn_span *spans, size_t count)
{
    syn_changes set;
    syn_applied applied;
    syn_err err = syn_doc_export_spans(doc, spans, count, &set);
    return err == SYN_OK ? apply_set(fresh, &set, &applied) : err;
}

syn_err syn_doc_backfill(syn_doc *doc, syn_next_fn next, void *user, uint32_t *added)
{
    syn_doc *fresh = NULL;
    bool equal = true;
    syn_err err = may_rebuild(doc);
    if (err != SYN_OK) return err;
    if (doc->base_events == 0) return doc_refuse(doc, SYN_EMISUSE, "the history is here already");
    err = make_fresh(doc, &fresh);
    if (err != SYN_OK) return err;
    fresh->keep_records = false;
    err = apply_history(fresh, next, user);
    if (err == SYN_EMISSING) err = SYN_EMALFORMED; /* history comes parents first */
    if (err == SYN_OK) err = check_reaches_base(doc, fresh);
    uint32_t below = graph_len(fresh->graph);
    const syn_span above = {1, graph_len(doc->graph)};
    if (err == SYN_OK && above.end > above.from) err = apply_spans(doc, fresh, &above, 1);
    if (err == SYN_OK) err = states_equal(doc, fresh, &equal);
    if (err == SYN_OK && !equal)
        err =
            doc_refuse(fresh, SYN_EMALFORMED, "the history does not lead to the snapshot's state");
    if (err != SYN_OK) return give_up(doc, fresh, err);
    fresh->keep_records = doc->keep_records;
    take_over(doc, fresh);
    if (added != NULL) *added = below - 1;
    return SYN_OK;
}

/* ---- Without a tail -------------------------------------------------------------------------- */

static bool in_ranges(const lv_ranges *ranges, lv_t lv)
{
    uint32_t low = 0, high = ranges->n;
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        if (ranges->at[middle].end <= lv)
            low = middle + 1;
        else
            high = middle;
    }
    return low < ranges->n && ranges->at[low].from <= lv;
}

static syn_err add_range(const syn_mem *mem, lv_ranges *ranges, lv_t from, lv_t end)
{
    if (from == end) return SYN_OK;
    if (ranges->n > 0 && ranges->at[ranges->n - 1].end == from) {
        ranges->at[ranges->n - 1].end = end;
        return SYN_OK;
    }
    syn_err err = array_reserve(mem, ranges, 1);
    if (err == SYN_OK) *array_push(ranges) = (struct lv_range){from, end};
    return err;
}

/* Does the run stand on an event that goes? */
static bool stands_on(const struct graph_run *run, const lv_ranges *going)
{
    for (uint32_t i = 0; i < run->parent_count; i++)
        if (in_ranges(going, run->parents[i])) return true;
    return false;
}

/* The events that stay (spare_a) and go (spare_b) with event `first`. */
static syn_err split_at(syn_doc *doc, lv_t first)
{
    syn_err err = desk_open(doc);
    if (err != SYN_OK) return err;
    lv_ranges *stay = &doc->desk->spare_a, *go = &doc->desk->spare_b;
    stay->n = go->n = 0;
    for (uint32_t i = 0; err == SYN_OK && i < graph_run_count(doc->graph); i++) {
        const struct graph_run run = graph_run_at(doc->graph, i);
        lv_t cut = run.end;
        if (run.lv <= first && first < run.end)
            cut = first;
        else if (run.lv > first && stands_on(&run, go))
            cut = run.lv;
        err = add_range(&doc->mem, stay, run.lv, cut);
        if (err == SYN_OK) err = add_range(&doc->mem, go, cut, run.end);
    }
    return err;
}

static syn_err export_ranges(syn_doc *doc, const lv_ranges *ranges, syn_changes *set)
{
    struct export_buffers *out = &doc->desk->out;
    lv_t start = syn_doc_log_start(doc);
    out->spans.n = 0;
    syn_err err = array_reserve(&doc->mem, &out->spans, ranges->n);
    if (err != SYN_OK) return err;
    for (uint32_t i = 0; i < ranges->n; i++) {
        lv_t from = ranges->at[i].from < start ? start : ranges->at[i].from;
        if (from < ranges->at[i].end)
            *array_push(&out->spans) = (syn_span){from, ranges->at[i].end};
    }
    return syn_doc_export_spans(doc, out->spans.at, out->spans.n, set);
}

static syn_err build_without(syn_doc *doc, syn_doc *fresh, const syn_snapshot *base)
{
    syn_changes set;
    syn_applied applied;
    fresh->keep_records = false;
    syn_err err = base != NULL ? load_into(fresh, base) : SYN_OK;
    if (err == SYN_OK) err = export_ranges(doc, &doc->desk->spare_a, &set);
    if (err == SYN_OK) err = apply_set(fresh, &set, &applied);
    fresh->keep_records = doc->keep_records;
    return err == SYN_OK ? record_differences(doc, fresh) : err;
}

syn_err syn_doc_without(syn_doc *doc, const syn_snapshot *base, uint64_t peer, uint32_t from,
                        syn_changes **removed)
{
    syn_doc *fresh = NULL;
    syn_changes set, *kept = NULL;
    syn_err err = may_rebuild(doc);
    if (err != SYN_OK) return err;
    if (has_base(doc) && base == NULL)
        return doc_refuse(doc, SYN_EHISTORY,
                          "the snapshot that the document was loaded from is needed");
    lv_t first = doc_find(doc, (syn_id){peer, from});
    if (first == LV_NONE) return doc_refuse(doc, SYN_ENOTFOUND, "no event %u of that peer", from);
    if (first < syn_doc_log_start(doc))
        return doc_refuse(doc, SYN_EHISTORY, "the event is the snapshot's own");
    err = split_at(doc, first);
    if (err == SYN_OK && removed != NULL) {
        err = export_ranges(doc, &doc->desk->spare_b, &set);
        if (err == SYN_OK) err = syn_changes_copy(NULL, &set, &kept);
    }
    if (err == SYN_OK) err = make_fresh(doc, &fresh);
    if (err == SYN_OK) fresh->work_limit = UINT64_MAX; /* all of it was accepted before */
    if (err == SYN_OK) err = build_without(doc, fresh, has_base(doc) ? base : NULL);
    if (err != SYN_OK) {
        syn_changes_free(NULL, kept);
        return fresh == NULL ? err : give_up(doc, fresh, err);
    }
    take_over(doc, fresh);
    if (removed != NULL) *removed = kept;
    return SYN_OK;
}
