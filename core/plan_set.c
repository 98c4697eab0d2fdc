/* plan_set.c -- planning many events at once.
 *
 * With all of a set appended, the graph says which of its events are critical, and so where
 * stretches that can be merged by themselves begin and end:
 *
 *     ... c c c | w w w w w w | c c | w w w w | c ...      c acts as it says, w goes through the
 *                                                          merge
 *
 * One window is planned at a time, in an order that saves work when it is long (visit.h); a plan of
 * the whole graph would take more memory than the document.  A window ends where all branches meet,
 * and a critical event follows; hence windows end with a graph run, though they may begin within
 * one. */
#include "doc.h"

/* Windows of fewer events are worth an attempt without the tracker. */
#ifdef SYN_STRESS
#define FLAT_MAX 16
#else
#define FLAT_MAX DENSE_CUTS
#endif

struct set_plan {
    syn_doc *doc;
    lv_t *fault;               /* the event being planned */
    lv_t unchecked;            /* runs from there on are still to be checked */
    uint32_t op;               /* index of the op run that is looked at next */
    lv_t ready;                /* first event of the window being planned */
    uint32_t planned;          /* effects before it */
    const struct dense *dense; /* its versions, or NULL */
};

/* What is looked at next begins there. */
static void go_to(struct set_plan *plan, lv_t lv)
{
    const struct oplog *log = &plan->doc->log;
    if (plan->op >= log->runs.n || log->runs.at[plan->op].lv > lv ||
        oplog_run_end(log, plan->op) <= lv)
        plan->op = oplog_find(log, lv);
}

/* The op runs that begin in the stretch note the length of their container before it, which is what
 * op_run.before must be for the first of each.  Gives the sequence that they are on; SYN_NO_OBJ:
 * none, or several, or there are sets in it. */
static syn_obj note_lengths(struct set_plan *plan, struct lv_range stretch)
{
    syn_doc *doc = plan->doc;
    syn_obj only = SYN_NO_OBJ;
    bool several = false;
    go_to(plan, stretch.from);
    for (uint32_t i = plan->op; i < doc->log.runs.n; i++) {
        struct op_run *run = &doc->log.runs.at[i];
        if (run->lv >= stretch.end) break;
        if (run->container == SYN_NO_OBJ) continue;
        const struct container *c = container_at(&doc->all, run->container);
        if (run->lv >= stretch.from) run->before = c->len;
        if (!kind_is_sequence(c->id.kind)) continue;
        several |= run->kind == OP_LIST_SET || (only != SYN_NO_OBJ && only != run->container);
        only = run->container;
    }
    return several ? SYN_NO_OBJ : only;
}

/* What lies within [*from, end) of the op run looked at; moves *from, and the look, behind it. */
static inline struct op_piece next_piece(struct set_plan *plan, lv_t *from, lv_t end)
{
    const struct oplog *log = &plan->doc->log;
    uint32_t index = plan->op;
    lv_t run_end = oplog_run_end(log, index), first = *from;
    *plan->fault = first;
    if (run_end <= end) plan->op++;
    *from = run_end < end ? run_end : end;
    return oplog_piece(log, index, first, *from);
}

/* Events that nothing is concurrent with.  Merges that are stale by then stay for the next window,
 * which needs as much memory again, unless this is the last stretch. */
static syn_err plan_critical(struct set_plan *plan, struct lv_range stretch)
{
    syn_doc *doc = plan->doc;
    const bool is_last = stretch.end == doc->log.end;
    syn_err err = SYN_OK;
    go_to(plan, stretch.from);
    for (lv_t lv = stretch.from; err == SYN_OK && lv < stretch.end;) {
        struct op_run *run = &doc->log.runs.at[plan->op];
        struct op_piece piece = next_piece(plan, &lv, stretch.end);
        if (piece.container == SYN_NO_OBJ) continue;
        struct container *c = container_at(&doc->all, piece.container);
        if (run->lv == piece.from) run->before = c->len;
        if (!piece_acts(&piece)) continue;
        if (is_last && c->merge != NULL) doc_drop_stale(doc, &piece);
        err = doc_plan_on(doc, c, &piece);
    }
    return err;
}

/* ---- Events that others are concurrent with */

/* What is on no sequence needs no merge. */
static syn_err plan_other(struct desk *desk, const syn_mem *mem, const struct op_piece *piece)
{
    if (!piece_acts(piece)) return SYN_OK;
    syn_err err = array_reserve(mem, &desk->plan, 1);
    if (err != SYN_OK) return err;
    *array_push(&desk->plan) = effect_of(piece, false);
    return SYN_OK;
}

/* Events of one graph run that one merge is fed. */
struct feeding {
    struct container *c; /* NULL: none yet */
    struct merge_source source;
    lv_t end; /* fed up to there */
    uint32_t row;
};

static syn_err feed_insert(syn_doc *doc, struct feeding *to, const struct op_piece *piece,
                           uint64_t peer)
{
    struct effect effect = effect_of(piece, false);
    syn_err err = merge_feed_insert(to->c->merge, &to->source, piece, peer, &effect.pos);
    return err == SYN_OK ? doc_plan_insert(doc, to->c, effect) : err;
}

static syn_err feed_delete(syn_doc *doc, struct feeding *to, const struct op_piece *piece)
{
    const tracker_effects *deletes = &to->c->merge->deletes;
    struct effect effect = effect_of(piece, false);
    syn_err err = merge_feed_delete(to->c->merge, &to->source, piece);
    for (uint32_t i = 0; err == SYN_OK && i < deletes->n; i++) {
        effect.pos = deletes->at[i].pos;
        effect.len = deletes->at[i].len;
        err = doc_plan_delete(doc, to->c, effect);
    }
    return err;
}

static syn_err feed_set(syn_doc *doc, struct feeding *to, const struct op_piece *piece)
{
    uint32_t len = piece->end - piece->from;
    doc->desk->where.n = 0;
    syn_err err = array_reserve(&doc->mem, &doc->desk->where, len);
    if (err == SYN_OK) err = array_reserve(&doc->mem, &doc->desk->plan, len);
    const uint32_t *where = doc->desk->where.at;
    if (err == SYN_OK) err = merge_feed_set(to->c->merge, &to->source, piece, doc->desk->where.at);
    for (uint32_t i = 0; err == SYN_OK && i < len; i++) {
        if (where[i] == UINT32_MAX) continue; /* the item was deleted concurrently */
        struct effect *effect = array_push(&doc->desk->plan);
        *effect = effect_of(piece, false);
        effect->pos = where[i];
        effect->len = 1;
        effect->at += i;
        effect->lv += i;
    }
    return err;
}

static void leave(struct feeding *to)
{
    if (to->c != NULL) merge_leave(to->c->merge, to->end, to->row);
    to->c = NULL;
}

/* From event lv on, which has this origin, the merge of c is fed. */
static syn_err enter(struct set_plan *plan, struct feeding *to, struct container *c, lv_t lv,
                     const struct event_origin *origin)
{
    syn_doc *doc = plan->doc;
    leave(to);
    if (c->merge == NULL) c->merge = merge_new(doc->shared);
    if (c->merge == NULL) return SYN_ENOMEM;
    to->c = c;
    to->source = (struct merge_source){&doc->mem, doc->graph, &doc->log,       c->runs.at,
                                       c->runs.n, c->len,     &doc->desk->work};
    to->row = origin->row;
    syn_err err = merge_begin(c->merge, &to->source, plan->ready);
    return err == SYN_OK ? merge_enter(c->merge, &to->source, lv, origin) : err;
}

/* One piece of a run, the first event of which has this origin. */
static inline syn_err plan_piece(struct set_plan *plan, struct feeding *to, lv_t first,
                                 const struct op_piece *piece, const struct event_origin *origin)
{
    syn_doc *doc = plan->doc;
    if (!piece_acts(piece)) return SYN_OK;
    struct container *c = container_at(&doc->all, piece->container);
    syn_err err = SYN_OK;
    if (!kind_is_sequence(c->id.kind)) return plan_other(doc->desk, &doc->mem, piece);
    if (c != to->c) {
        const lv_t previous = piece->from - 1;
        struct event_origin its = *origin;
        if (piece->from > first) its.parents = &previous, its.parent_count = 1;
        err = enter(plan, to, c, piece->from, &its);
    }
    to->end = piece->end;
    if (err != SYN_OK) return err;
    if (op_is_delete(piece->kind)) return feed_delete(doc, to, piece);
    if (piece->kind == OP_LIST_SET) return feed_set(doc, to, piece);
    return feed_insert(doc, to, piece, origin->peer);
}

/* Events of one graph run, the first of which has this origin. */
static syn_err plan_run(struct set_plan *plan, struct lv_range part,
                        const struct event_origin *origin)
{
    struct feeding to = {0};
    syn_err err = SYN_OK;
    for (lv_t lv = part.from; err == SYN_OK && lv < part.end;) {
        struct op_piece piece = next_piece(plan, &lv, part.end);
        err = plan_piece(plan, &to, part.from, &piece, origin);
    }
    if (err == SYN_OK)
        leave(&to);
    else if (to.c != NULL)
        drop_merge(plan->doc, to.c); /* half fed */
    return err;
}

static syn_err plan_range(struct set_plan *plan, struct lv_range range)
{
    const struct graph *g = plan->doc->graph;
    syn_err err = SYN_OK;
    uint32_t index = graph_run_of(g, range.from);
    go_to(plan, range.from);
    for (lv_t lv = range.from, previous; err == SYN_OK && lv < range.end; index++) {
        const struct graph_run run = graph_run_at(g, index);
        struct lv_range part = {lv, run.end < range.end ? run.end : range.end};
        struct event_origin origin = {.peer = graph_agent_peer(g, run.agent), .row = DENSE_NONE};
        origin.parent_count = graph_parents(g, lv, &origin.parents, &previous);
        err = plan_run(plan, part, &origin);
        lv = part.end;
    }
    return err;
}

/* The same of a window with dense versions, whose rows say all that is asked of the graph. */
static syn_err plan_dense(struct set_plan *plan, struct lv_range range)
{
    const struct graph *g = plan->doc->graph;
    const struct dense *d = plan->dense;
    syn_err err = SYN_OK;
    uint32_t row = range.from == d->window.from ? 0 : graph_run_of(g, range.from) - d->first;
    go_to(plan, range.from);
    for (lv_t lv = range.from; err == SYN_OK && lv < range.end; row++) {
        lv_t end = dense_end(d, row);
        struct lv_range part = {lv, end < range.end ? end : range.end};
        uint32_t agent = d->agent[d->runs.at[row].writer];
        const struct event_origin origin = {
            .peer = graph_agent_peer(g, agent), .dense = d, .row = row};
        err = plan_run(plan, part, &origin);
        lv = part.end;
    }
    return err;
}

/* One row of a window that desk->flat merges. */
static syn_err plan_flat_row(struct set_plan *plan, syn_obj obj, uint32_t row)
{
    syn_doc *doc = plan->doc;
    const struct dense *d = plan->dense;
    struct container *c = container_at(&doc->all, obj);
    syn_err err = SYN_OK;
    flat_go_to(&doc->desk->flat, row);
    for (lv_t lv = d->runs.at[row].lv, end = dense_end(d, row); err == SYN_OK && lv < end;) {
        struct op_piece piece = next_piece(plan, &lv, dense_cut_after(d, lv)); /* `end` is one */
        bool is_merged = piece.container == obj && piece.kind != OP_FIRST_UNKNOWN;
        err = is_merged ? doc_plan_flat(doc, c, &piece, plan->planned)
                        : plan_other(doc->desk, &doc->mem, &piece);
    }
    return err;
}

/* A short window with dense versions and one sequence.  *done: false, and nothing was planned, when
 * that takes more work than the tracker would. */
static syn_err plan_flat(struct set_plan *plan, struct lv_range window, syn_obj obj, bool *done)
{
    syn_doc *doc = plan->doc;
    const struct dense *d = plan->dense;
    struct flat_merge *flat = &doc->desk->flat;
    uint32_t len = container_at(&doc->all, obj)->len;
    syn_err err = flat_begin(flat, &doc->mem, d, len);
    *done = true;
    go_to(plan, window.from);
    for (uint32_t row = 0; err == SYN_OK && *done && row < d->runs.n; row++) {
        err = plan_flat_row(plan, obj, row);
        *done = flat_worth_it(flat);
    }
    doc->desk->work.done += flat->work + d->runs.n;
    if (err == SYN_OK && doc->desk->work.done > doc->desk->work.limit) err = SYN_ELIMIT;
    if (*done || err != SYN_OK) return err;
    doc->desk->plan.n = plan->planned;
    container_at(&doc->all, obj)->len = len;
    return SYN_OK;
}

/* ---- Runs of a window: checked before any is planned ----------------------------------------- */

static syn_err refuse_run(struct set_plan *plan, uint32_t index)
{
    const struct graph_run run = graph_run_at(plan->doc->graph, index);
    *plan->fault = run.lv;
    return doc_refuse_previous(plan->doc, doc_id(plan->doc, run.lv));
}

/* Is the previous event of the run's peer in front of it?  Notes the question if it is not one of
 * the parents, as it mostly is. */
static syn_err ask_previous(syn_doc *doc, const struct graph_run *run, uint32_t index)
{
    lv_t previous = run->seq == 0 ? LV_NONE : graph_find(doc->graph, run->agent, run->seq - 1);
    if (previous == LV_NONE) return SYN_OK; /* the first, or the first above the snapshot */
    for (uint32_t i = 0; i < run->parent_count; i++)
        if (run->parents[i] == previous) return SYN_OK;
    syn_err err = array_reserve(&doc->mem, &doc->desk->previous, 1);
    if (err == SYN_OK)
        *array_push(&doc->desk->previous) =
            (struct graph_question){index, graph_run_of(doc->graph, previous)};
    return err;
}

/* The same as dense_check, of many writers. */
static syn_err check_runs(struct set_plan *plan, struct lv_range window)
{
    syn_doc *doc = plan->doc;
    struct desk *desk = doc->desk;
    lv_t from = plan->unchecked > window.from ? plan->unchecked : window.from;
    uint32_t index = graph_run_of(doc->graph, window.from), yes;
    syn_err err = SYN_OK;
    desk->previous.n = 0;
    for (; err == SYN_OK && index < graph_run_count(doc->graph); index++) {
        const struct graph_run run = graph_run_at(doc->graph, index);
        if (run.lv >= window.end) break;
        if (run.lv < from) continue;
        *plan->fault = run.lv;
        if (run.parent_count == 2 && graph_contains(doc->graph, &run.parents[1], 1, run.parents[0]))
            return doc_refuse_parents(doc);
        err = ask_previous(doc, &run, index);
    }
    if (err == SYN_OK) err = graph_ask_many(doc->graph, desk->previous.at, desk->previous.n, &yes);
    if (err != SYN_OK || yes == desk->previous.n) return err;
    return refuse_run(plan, desk->previous.at[yes].run);
}

static syn_err check_rows(struct set_plan *plan)
{
    syn_doc *doc = plan->doc;
    switch (dense_check(plan->dense, doc->graph, plan->unchecked, plan->fault)) {
    case DENSE_NO_ANTICHAIN:
        return doc_refuse_parents(doc);
    case DENSE_NO_PREVIOUS:
        return doc_refuse_previous(doc, doc_id(doc, *plan->fault));
    default:
        return SYN_OK;
    }
}

/* ---- The set --------------------------------------------------------------------------------- */

/* The window that ends with these events: it may have begun before them. */
static struct lv_range whole_window(const struct graph *g, struct lv_range part)
{
    lv_t critical = part.from == 0 ? LV_NONE : graph_critical_at_or_before(g, part.from - 1);
    return (struct lv_range){critical == LV_NONE ? 0 : critical + 1, part.end};
}

static syn_err plan_window(struct set_plan *plan, struct lv_range window)
{
    syn_doc *doc = plan->doc;
    const struct graph *g = doc->graph;
    struct lv_range whole = whole_window(g, window);
    bool fresh = whole.from == window.from, fits = false, done = false;
    bool by_turns = window.end - window.from >= VISIT_MIN;
    syn_err err = SYN_OK;
    syn_obj obj = note_lengths(plan, window);
    /* Rows of what is merged already are worth their making if there is more that is not. */
    if (SHORT_CUTS && window.from - whole.from <= window.end - window.from)
        err = dense_begin(&doc->desk->dense, g, &doc->mem, whole, &fits);
    plan->ready = window.from;
    plan->planned = doc->desk->plan.n;
    plan->dense = fits ? &doc->desk->dense : NULL;
    if (SHORT_CUTS && err == SYN_OK && plan->unchecked < window.end)
        err = fits ? check_rows(plan) : check_runs(plan, window);
    if (err == SYN_OK && fits && fresh && obj != SYN_NO_OBJ &&
        window.end - window.from < FLAT_MAX) {
        err = plan_flat(plan, window, obj, &done);
        by_turns |= !done; /* what is dear there comes from long branches */
    }
    if (err != SYN_OK || done) return err;
    syn_err (*plan_part)(struct set_plan *, struct lv_range) = fits ? plan_dense : plan_range;
    if (!by_turns) return plan_part(plan, window);
    err = visit_order(g, &doc->mem, window, &doc->desk->order);
    for (uint32_t i = 0; err == SYN_OK && i < doc->desk->order.n; i++) {
        err = plan_part(plan, doc->desk->order.at[i]);
        if (err == SYN_OK) err = doc_carry_part(doc);
    }
    return err;
}

syn_err doc_plan_set(syn_doc *doc, lv_t from, bool check, lv_t *fault)
{
    struct set_plan plan = {.doc = doc, .fault = fault, .unchecked = check ? from : LV_NONE};
    lv_t end = graph_len(doc->graph);
    go_to(&plan, from);
    uint32_t effects = doc->log.runs.n - plan.op;
    if (doc->desk->fills && effects > PLAN_PART) effects = PLAN_PART;
    syn_err err = array_reserve(&doc->mem, &doc->desk->plan, effects);
    while (err == SYN_OK && from < end) {
        struct lv_range stretch = {from, end};
        bool critical = graph_critical_stretch(doc->graph, &stretch);
        err = critical ? plan_critical(&plan, stretch) : plan_window(&plan, stretch);
        /* What stands planned keeps what follows from acting at once. */
        if (err == SYN_OK)
            err =
                SHORT_CUTS && doc->desk->at_once ? doc_carry_out(doc, false) : doc_carry_part(doc);
        from = stretch.end;
    }
    return err;
}
