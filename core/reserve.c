/* reserve.c -- room for what is about to come, found at once.
 *
 * Arrays grow by half, so a long history that comes bit by bit is copied about twice, and the old
 * blocks are memory that nobody else gets back.  A set says how much it brings; and who knows of
 * the sets behind it says how many events they have (syn_doc_expect), from which, taking them to be
 * like the first, follows all the rest. */
#include "doc.h"

/* Of what a set has so many, how many will come in all, if the sets after it are like it? */
struct scale {
    uint64_t expected, events;
};

static struct scale scale_of(const syn_doc *doc, const syn_changes *set)
{
    enum { MOST = 32 }; /* times as many: the first set may be unlike the others */
    struct scale scale = {doc->expected, 0};
    if (doc->expected == 0) return (struct scale){1, 1};
    for (uint32_t i = 0; i < set->run_count; i++) scale.events += set->runs[i].len;
    if (scale.expected > MOST * scale.events) scale.expected = MOST * scale.events;
    if (scale.expected <= scale.events) scale.expected = scale.events = 1;
    return scale;
}

static uint32_t scaled(struct scale scale, uint64_t count)
{
    uint64_t all = count * scale.expected / scale.events;
    return all < UINT32_MAX ? (uint32_t)all : UINT32_MAX;
}

/* Into how many pieces the set's runs cut its ops: as many runs has the log. */
static uint32_t pieces_of(const syn_changes *set)
{
    uint32_t pieces = set->op_count, op = 0;
    uint64_t run_end = 0, op_end = 0;
    for (uint32_t i = 0; i < set->run_count; i++) {
        run_end += set->runs[i].len;
        while (op < set->op_count && op_end < run_end) op_end += set->ops[op++].len;
        pieces += op_end > run_end;
    }
    return pieces;
}

static uint32_t parents_of(const syn_changes *set)
{
    uint32_t parents = set->dep_count;
    for (uint32_t i = 0; i < set->run_count; i++)
        parents += !set->runs[i].explicit_parents && set->runs[i].seq > 0;
    return parents;
}

/* Of a set whose only container this is. */
syn_err doc_reserve_runs(syn_doc *doc, const syn_changes *set, syn_obj obj)
{
    if (set->container_count != 1 || obj == SYN_NO_OBJ) return SYN_OK;
    struct container *c = container_at(&doc->all, obj);
    if (!kind_is_sequence(c->id.kind) || doc->desk->coming <= c->runs.n) return SYN_OK;
    return array_reserve(&doc->mem, &c->runs, doc->desk->coming);
}

/* A set greater than all that is here finds its room at once; growing step by step would copy it
 * over and over.  (A lesser one may be all known, and leave its room unused.) */
syn_err doc_reserve_set(syn_doc *doc, const syn_changes *set)
{
    struct desk *desk = doc->desk;
    const struct scale scale = scale_of(doc, set);
    uint32_t runs = scaled(scale, set->run_count), ops = scaled(scale, set->op_count);
    desk->resolved.n = desk->agents.n = desk->previous.n = 0;
    desk->coming = ops;
    syn_err err = array_reserve(&doc->mem, &desk->resolved, set->container_count);
    if (err == SYN_OK) err = array_reserve(&doc->mem, &desk->agents, set->peer_count);
    if (err != SYN_OK) return err;
    for (uint32_t i = 0; i < set->container_count; i++) *array_push(&desk->resolved) = SYN_NO_OBJ;
    for (uint32_t i = 0; i < set->peer_count; i++) *array_push(&desk->agents) = AGENT_NONE;
    if (runs > graph_run_count(doc->graph))
        err = graph_reserve(doc->graph, runs, scaled(scale, parents_of(set)));
    if (err == SYN_OK && set->effect_count > 0 && !desk->fills)
        err = array_reserve(&doc->mem, &desk->plan, set->op_count);
    if (err != SYN_OK || ops <= doc->log.runs.n) return err;
    desk->coming = scaled(scale, pieces_of(set));
    return oplog_reserve(&doc->log, &doc->mem, desk->coming, scaled(scale, set->text.len), 0);
}

void syn_doc_expect(syn_doc *doc, uint32_t events)
{
    if (doc->expected > 0 && events == 0) doc_fit(doc);
    doc->expected = events;
    doc->filling = events > 0 && graph_len(doc->graph) == 0 && !doc->keep_records;
}

/* Some events of those that were expected: when all are here, spare room is given back. */
void doc_came(syn_doc *doc, uint32_t events)
{
    doc->expected -= events < doc->expected ? events : doc->expected;
    if (doc->expected > 0) return;
    doc->filling = false;
    doc_fit(doc);
}
