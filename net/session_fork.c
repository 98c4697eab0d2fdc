/* session_fork.c -- own events taken out of the document, for good or to come back under new ids.
 *
 *     refused for good   syn_doc_without(peer, from) -> the tail is the caller's branch
 *     forked, foreign    syn_doc_without(peer, from) -> renamed -> applied again
 *
 * Renaming gives every peer of the tail a fresh one: (p, first + i) becomes (fresh, i) wherever it
 * is named: as the run's own id, as a parent, in ids of containers and nodes made by the tail.
 * What the tail stands on keeps its name, so both p and fresh may be in the table. */
#include "session_impl.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

/* ---- Taking out ------------------------------------------------------------------------------ */

static syn_err take_out(session_doc *sd, uint64_t peer, uint32_t from, syn_changes **removed)
{
    syn_snapshot base;
    struct proto_fault fault;
    uint64_t digest;
    if (!SNAPSHOTS || syn_doc_has_history(sd->doc))
        return syn_doc_without(sd->doc, NULL, peer, from, removed);
    if (sd->base.count == 0) return SYN_EHISTORY;
    proto_arena *arena;
    syn_err err = proto_arena_new(&arena, NULL);
    if (err) return err;
    err = proto_join_snapshot(arena, sd->base.at, sd->base.count, &base, &digest, &fault);
    if (!err) err = syn_doc_without(sd->doc, &base, peer, from, removed);
    proto_arena_free(arena);
    return err;
}

void doc_set_aside(session_doc *sd, uint64_t peer, uint32_t from, enum code code, syn_str detail)
{
    session *s = sd->s;
    syn_changes *removed = NULL;
    syn_err err = take_out(sd, peer, from, &removed);
    if (err == SYN_ENOMEM) {
        doc_resync(sd, s->backoff_max, "out of memory");
        return;
    }
    if (err) { /* it cannot be taken out, and must not be sent: the copy stays as it is */
        doc_give_up(sd, code, detail);
        return;
    }
    err = doc_new_peer(sd);
    for (uint32_t i = 0; i < sd->peer_count; i++) { /* a late Nack speaks of what is gone */
        struct own_peer *p = &sd->peers[i];
        if (p->sent > own_next(sd, p)) p->sent = own_next(sd, p);
    }
    own_prune(sd);
    marks_settle(sd);
    if (s->port.rejected != NULL)
        s->port.rejected(s->port.user, sd, proto_code_name(code), detail, removed);
    syn_changes_free(NULL, removed);
    if (s->port.rebuilt != NULL) s->port.rebuilt(s->port.user, sd);
    if (s->port.changed != NULL) s->port.changed(s->port.user, sd);
    if (err) {
        doc_resync(sd, s->backoff_max, "out of memory");
        return;
    }
    doc_send_restart(sd);
    doc_pump(sd);
}

/* ---- Renaming -------------------------------------------------------------------------------- */

struct renamed { /* per peer of the set */
    bool is;
    uint32_t first; /* seq of the tail's first event */
    uint32_t to;    /* index of the fresh peer */
};

struct renaming {
    const syn_changes *in;
    struct renamed *peers;
    uint64_t *peer_ids;
    struct change_run *runs;
    struct change_dep *deps;
    struct change_container *containers;
    struct change_node *nodes;
    uint32_t peer_count, dep_count;
};

static void renaming_free(struct renaming *r)
{
    free(r->peers);
    free(r->peer_ids);
    free(r->runs);
    free(r->deps);
    free(r->containers);
    free(r->nodes);
}

static syn_err renaming_alloc(struct renaming *r)
{
    const syn_changes *in = r->in;
    r->peers = calloc(in->peer_count + 1u, sizeof *r->peers);
    r->peer_ids = calloc(in->peer_count * 2u + 1, sizeof *r->peer_ids);
    r->runs = calloc(in->run_count + 1u, sizeof *r->runs);
    r->deps = calloc((size_t)in->dep_count + in->run_count + 1, sizeof *r->deps);
    r->containers = calloc(in->container_count + 1u, sizeof *r->containers);
    r->nodes = calloc(in->node_count + 1u, sizeof *r->nodes);
    bool ok = r->peers != NULL && r->peer_ids != NULL && r->runs != NULL && r->deps != NULL &&
              r->containers != NULL && r->nodes != NULL;
    return ok ? SYN_OK : SYN_ENOMEM;
}

static void rename_id(const struct renaming *r, uint32_t *peer, uint32_t *seq)
{
    const struct renamed *to = &r->peers[*peer];
    if (!to->is || *seq < to->first) return;
    *seq -= to->first;
    *peer = to->to;
}

static void sort_deps(const struct renaming *r, struct change_dep *deps, uint32_t count)
{
    for (uint32_t i = 1; i < count; i++) { /* few */
        struct change_dep moving = deps[i];
        uint32_t k = i;
        for (; k > 0 && r->peer_ids[deps[k - 1].peer] > r->peer_ids[moving.peer]; k--)
            deps[k] = deps[k - 1];
        deps[k] = moving;
    }
}

static void rename_runs(struct renaming *r)
{
    const struct change_dep *dep = r->in->deps;
    for (uint32_t i = 0; i < r->in->run_count; i++) {
        struct change_run run = r->in->runs[i];
        struct change_dep *first = r->deps + r->dep_count;
        bool begins = run.seq == r->peers[run.peer].first && run.seq != 0;
        for (uint32_t k = 0; run.explicit_parents && k < run.dep_count; k++, dep++) {
            struct change_dep *to = &r->deps[r->dep_count++];
            *to = *dep;
            rename_id(r, &to->peer, &to->seq);
        }
        if (!run.explicit_parents && begins) { /* what it follows is not of its peer any more */
            r->deps[r->dep_count++] = (struct change_dep){run.peer, run.seq - 1};
            run.explicit_parents = true;
            run.dep_count = 1;
        }
        sort_deps(r, first, (uint32_t)(r->deps + r->dep_count - first));
        rename_id(r, &run.peer, &run.seq);
        r->runs[i] = run;
    }
}

static void rename_names(struct renaming *r)
{
    for (uint32_t i = 0; i < r->in->container_count; i++) {
        r->containers[i] = r->in->containers[i];
        if (r->containers[i].form == CONTAINER_BY_EVENT)
            rename_id(r, &r->containers[i].peer, &r->containers[i].seq);
    }
    for (uint32_t i = 0; i < r->in->node_count; i++) {
        struct change_node node = r->in->nodes[i];
        uint32_t peer = node.peer_plus1 - 1;
        if (node.peer_plus1 != 0) rename_id(r, &peer, &node.seq);
        if (node.peer_plus1 != 0) node.peer_plus1 = peer + 1;
        r->nodes[i] = node;
    }
}

/* Each peer that the tail has events of gets a fresh one; the document's own becomes `current`. */
static syn_err draw_peers(session_doc *sd, struct renaming *r)
{
    const syn_changes *in = r->in;
    r->peer_count = in->peer_count;
    memcpy(r->peer_ids, in->peers, in->peer_count * sizeof *r->peer_ids);
    for (uint32_t i = 0; i < in->run_count; i++) {
        const struct change_run *run = &in->runs[i];
        struct renamed *to = &r->peers[run->peer];
        if (to->is) continue;
        syn_err err = doc_new_peer(sd);
        if (err) return err;
        *to = (struct renamed){.is = true, .first = run->seq, .to = r->peer_count};
        r->peer_ids[r->peer_count++] = sd->peer;
    }
    return SYN_OK;
}

static syn_err apply_renamed(session_doc *sd, const struct renaming *r)
{
    syn_changes out = *r->in;
    out.peers = r->peer_ids;
    out.peer_count = r->peer_count;
    out.runs = r->runs;
    out.deps = r->deps;
    out.dep_count = r->dep_count;
    out.containers = r->containers;
    out.nodes = r->nodes;
    out.author = NULL;
    return doc_apply(sd, &out, NULL);
}

static syn_err put_back(session_doc *sd, const syn_changes *removed)
{
    struct renaming r = {.in = removed};
    syn_err err = renaming_alloc(&r);
    if (!err) err = draw_peers(sd, &r);
    if (!err) {
        rename_names(&r);
        rename_runs(&r);
        err = apply_renamed(sd, &r);
    }
    renaming_free(&r);
    /* Edits go on under the last of them, which this document made; or under a fresh one. */
    if (!err && syn_doc_set_peer(sd->doc, sd->peer, true)) err = doc_new_peer(sd);
    return err;
}

syn_err doc_rekey(session_doc *sd, uint64_t peer, uint32_t from, const syn_changes *between)
{
    session *s = sd->s;
    syn_changes *removed = NULL;
    struct own_peer *p = own_find(sd, peer);
    syn_err err = take_out(sd, peer, from, &removed);
    if (err) return err;
    if (p != NULL) p->forked = false;
    if (between != NULL) err = doc_apply(sd, between, NULL);
    if (!err) err = put_back(sd, removed);
    if (err && s->port.rejected != NULL) /* never lost: kept as a branch */
        s->port.rejected(s->port.user, sd, proto_code_name(CODE_FORKED),
                         syn_s("these edits could not be renamed"), removed);
    syn_changes_free(NULL, removed);
    own_prune(sd);
    marks_settle(sd);
    doc_send_restart(sd);
    if (s->port.rebuilt != NULL) s->port.rebuilt(s->port.user, sd);
    if (between == NULL && s->port.changed != NULL) s->port.changed(s->port.user, sd);
    return err;
}

/* ---- Where two histories of one peer part ---------------------------------------------------- */

/* chain over the peer's events below `end`, as the set has them: the set is cut behind (peer,
 * end-1), which only takes shorter tables. */
static syn_err chain_in_set(const syn_changes *set, uint64_t peer, uint32_t end, uint32_t at,
                            uint64_t *chain)
{
    syn_changes cut = *set;
    uint32_t events = 0, left, run = 0, op = 0;
    for (; run < set->run_count; run++) {
        const struct change_run *r = &set->runs[run];
        if (set->peers[r->peer] == peer && r->seq < end && end - r->seq <= r->len) break;
        events += r->len;
    }
    if (run == set->run_count) return SYN_EGAP;
    events += end - set->runs[run].seq;
    for (left = events; op < set->op_count; op++) {
        uint32_t n = set->ops[op].kind == OP_MARK ? 2 : set->ops[op].len;
        if (n >= left) break;
        left -= n;
    }
    if (op == set->op_count) return SYN_EGAP;
    struct change_run *runs = malloc((run + 1u) * sizeof *runs);
    struct change_op *ops = malloc((op + 1u) * sizeof *ops);
    syn_err err = runs != NULL && ops != NULL ? SYN_OK : SYN_ENOMEM;
    if (!err) {
        memcpy(runs, set->runs, (run + 1u) * sizeof *runs);
        memcpy(ops, set->ops, (op + 1u) * sizeof *ops);
        runs[run].len = end - runs[run].seq;
        if (ops[op].kind < OP_FIRST_UNKNOWN && ops[op].kind != OP_MARK) ops[op].len = left;
        cut.runs = runs;
        cut.run_count = run + 1;
        cut.ops = ops;
        cut.op_count = op + 1;
        err = proto_chain(&cut, peer, &at, chain);
    }
    free(runs);
    free(ops);
    return err;
}

/* How many of the peer's events the set has, from `from` on without a gap. */
static uint32_t set_end(const syn_changes *set, uint64_t peer, uint32_t from)
{
    uint32_t end = from;
    for (uint32_t i = 0; i < set->run_count; i++) {
        const struct change_run *r = &set->runs[i];
        if (set->peers[r->peer] == peer && r->seq <= end && r->seq + r->len > end)
            end = r->seq + r->len;
    }
    return end;
}

syn_err fork_find(session_doc *sd, struct own_peer *p, const syn_changes *set, uint32_t *first)
{
    uint32_t low = p->acked, high = set_end(set, p->peer, p->acked), have = own_next(sd, p);
    uint64_t start;
    if (high > have) high = have;
    *first = low;
    if (high == low || !own_chain(sd, p, low, &start)) return SYN_OK;
    while (low < high) { /* chains are equal up to low, and differ after high */
        uint32_t middle = low + (high - low) / 2 + 1;
        uint64_t ours, theirs = start;
        syn_err err = chain_in_set(set, p->peer, middle, p->acked, &theirs);
        if (err) return err;
        if (!own_chain(sd, p, middle, &ours)) return SYN_EMISSING;
        if (ours == theirs)
            low = middle;
        else
            high = middle - 1;
    }
    *first = low;
    return SYN_OK;
}
