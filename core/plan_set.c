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

/* The op runs that begin in the stretch note the length of their container before it, which is what
 * op_run.before must be for the first of each. */
static void note_lengths(syn_doc *doc, struct lv_range stretch)
{
    struct oplog *log = &doc->log;
    for (uint32_t i = oplog_find(log, stretch.from); i < log->runs.n; i++) {
        struct op_run *run = &log->runs.at[i];
        if (run->lv >= stretch.end) break;
        if (run->lv >= stretch.from && run->container != SYN_NO_OBJ)
            run->before = container_at(&doc->all, run->container)->len;
    }
}

/* What is left of op run `index` within [*from, end); moves *from behind it. */
static struct op_piece next_piece(const struct oplog *log, uint32_t index, lv_t *from, lv_t end)
{
    lv_t run_end = oplog_run_end(log, index), first = *from;
    *from = run_end < end ? run_end : end;
    return oplog_piece(log, index, first, *from);
}

/* Events that nothing is concurrent with. */
static syn_err plan_critical(syn_doc *doc, struct lv_range stretch, lv_t *fault)
{
    syn_err err = SYN_OK;
    uint32_t index = oplog_find(&doc->log, stretch.from);
    for (lv_t lv = stretch.from; err == SYN_OK && lv < stretch.end; index++) {
        struct op_run *run = &doc->log.runs.at[index];
        *fault = lv;
        if (run->lv == lv && run->container != SYN_NO_OBJ)
            run->before = container_at(&doc->all, run->container)->len;
        struct op_piece piece = next_piece(&doc->log, index, &lv, stretch.end);
        err = doc_plan(doc, &piece);
    }
    return err;
}

/* Events of one graph run, the first of which has this origin. */
static syn_err plan_run(syn_doc *doc, struct lv_range part, struct event_origin origin, lv_t ready,
                        lv_t *fault)
{
    syn_err err = SYN_OK;
    lv_t previous;
    uint32_t index = oplog_find(&doc->log, part.from);
    for (lv_t lv = part.from; err == SYN_OK && lv < part.end; index++) {
        *fault = lv;
        struct op_piece piece = next_piece(&doc->log, index, &lv, part.end);
        err = doc_plan_merged(doc, &piece, &origin, ready);
        previous = lv - 1;
        origin.parents = &previous;
        origin.parent_count = 1;
    }
    return err;
}

static syn_err plan_range(syn_doc *doc, struct lv_range range, lv_t ready, lv_t *fault)
{
    syn_err err = SYN_OK;
    uint32_t index = graph_run_of(doc->graph, range.from);
    for (lv_t lv = range.from, previous; err == SYN_OK && lv < range.end; index++) {
        const struct graph_run *run = graph_run_at(doc->graph, index);
        struct lv_range part = {lv, run->end < range.end ? run->end : range.end};
        struct event_origin origin = {.peer = graph_agent_peer(doc->graph, run->agent)};
        origin.parent_count = graph_parents(doc->graph, lv, &origin.parents, &previous);
        err = plan_run(doc, part, origin, ready, fault);
        lv = part.end;
    }
    return err;
}

static syn_err plan_window(syn_doc *doc, struct lv_range window, lv_t *fault)
{
    note_lengths(doc, window);
    if (window.end - window.from < VISIT_MIN) return plan_range(doc, window, window.from, fault);
    syn_err err = visit_order(doc->graph, &doc->mem, window, &doc->desk->order);
    for (uint32_t i = 0; err == SYN_OK && i < doc->desk->order.n; i++)
        err = plan_range(doc, doc->desk->order.at[i], window.from, fault);
    return err;
}

syn_err doc_plan_set(syn_doc *doc, lv_t from, lv_t *fault)
{
    syn_err err = SYN_OK;
    lv_t end = graph_len(doc->graph);
    while (err == SYN_OK && from < end) {
        struct lv_range stretch = {from, end};
        bool critical = graph_critical_stretch(doc->graph, &stretch);
        err = critical ? plan_critical(doc, stretch, fault) : plan_window(doc, stretch, fault);
        from = stretch.end;
    }
    return err;
}
