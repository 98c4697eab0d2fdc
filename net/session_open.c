/* session_open.c -- what the server has and what it lacks: Open, Opened, Want.
 *
 * Open.version names what is held from the server: the document without own events that are not
 * known to be saved.  Such a set has as heads those heads of the document that are in it, and those
 * parents of events outside it that have no other child in it; so only the log from the first
 * unsaved event on is looked at, and nothing at all in the usual case. */
#include "session_impl.h"

#include "copy.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

/* ---- The version held from the server -------------------------------------------------------- */

struct id_list {
    syn_id *at;
    uint32_t count, cap;
};

static bool id_add(struct id_list *list, uint64_t peer, uint32_t seq)
{
    if (!grow((void **)&list->at, list->count, &list->cap, sizeof *list->at)) return false;
    list->at[list->count++] = (syn_id){.peer = peer, .seq = seq};
    return true;
}

static int by_id(const void *a, const void *b)
{
    const syn_id *x = a, *y = b;
    if (x->peer != y->peer) return x->peer > y->peer ? 1 : -1;
    return (x->seq > y->seq) - (x->seq < y->seq);
}

static void sort_unique(struct id_list *list)
{
    uint32_t kept = 0;
    if (list->count == 0) return;
    qsort(list->at, list->count, sizeof *list->at, by_id);
    for (uint32_t i = 0; i < list->count; i++)
        if (kept == 0 || by_id(&list->at[kept - 1], &list->at[i]) != 0)
            list->at[kept++] = list->at[i];
    list->count = kept;
}

/* First seq of the peer that is not held from the server. */
static uint32_t held_end(const session_doc *sd, uint64_t peer)
{
    const struct own_peer *p = own_find(sd, peer);
    return p != NULL ? p->acked : UINT32_MAX;
}

static bool held(const session_doc *sd, uint64_t peer, uint32_t seq)
{
    return seq < held_end(sd, peer);
}

static syn_err export_from(session_doc *sd, uint32_t from, syn_changes *set)
{
    uint32_t cut, start = syn_doc_log_start(sd->doc);
    syn_span span = {from < start ? start : from, syn_doc_log_end(sd->doc)};
    memset(set, 0, sizeof *set);
    if (span.from >= span.end) return SYN_OK;
    return syn_doc_export(sd->doc, span, UINT32_MAX, SIZE_MAX, set, &cut);
}

static uint32_t first_unacked(const session_doc *sd)
{
    uint32_t first = UINT32_MAX;
    for (uint32_t i = 0; i < sd->peer_count; i++) {
        const struct own_peer *p = &sd->peers[i];
        if (own_next(sd, p) <= p->acked) continue;
        uint32_t at = syn_doc_position(sd->doc, (syn_id){p->peer, p->acked});
        if (at < first) first = at;
    }
    return first;
}

struct run_view {
    const syn_changes *set;
    const struct change_run *run;
    uint32_t dep; /* index of the run's first dep */
    uint64_t peer;
};

static bool next_run(struct run_view *v)
{
    if (v->run == NULL) {
        v->run = v->set->runs;
        v->dep = 0;
    } else {
        if (v->run->explicit_parents) v->dep += v->run->dep_count;
        v->run++;
    }
    if (v->set->run_count == 0 || v->run == v->set->runs + v->set->run_count) return false;
    v->peer = v->set->peers[v->run->peer];
    return true;
}

/* Parents of the run's first event. */
static bool add_parents(const struct run_view *v, struct id_list *out)
{
    bool ok = true;
    if (!v->run->explicit_parents) return v->run->seq == 0 || id_add(out, v->peer, v->run->seq - 1);
    for (uint32_t i = 0; ok && i < v->run->dep_count; i++) {
        const struct change_dep *dep = &v->set->deps[v->dep + i];
        ok = id_add(out, v->set->peers[dep->peer], dep->seq);
    }
    return ok;
}

static void keep_held(const session_doc *sd, struct id_list *list, uint32_t from)
{
    uint32_t kept = from;
    for (uint32_t i = from; i < list->count; i++)
        if (held(sd, list->at[i].peer, list->at[i].seq)) list->at[kept++] = list->at[i];
    list->count = kept;
}

static void raise_acked(session_doc *sd, syn_id parent)
{
    struct own_peer *p = own_find(sd, parent.peer);
    if (p != NULL && parent.seq >= p->acked) p->acked = parent.seq + 1;
}

/* What stands below an event of the server is there, too, although its ack never came or was not
 * noted before this copy was closed: others, or a later peer of ours, went on from it.  Without
 * this the held set would not be closed, and its heads would say less or more than it holds. From
 * the end, as each event that turns out to be held may show others. */
static syn_err close_held(session_doc *sd)
{
    syn_changes set;
    syn_err err = export_from(sd, first_unacked(sd), &set);
    if (err) return err;
    for (uint32_t i = set.run_count, dep = set.dep_count; i-- > 0;) {
        const struct change_run *run = &set.runs[i];
        if (!run->explicit_parents) continue;
        dep -= run->dep_count;
        if (!held(sd, set.peers[run->peer], run->seq)) continue;
        for (uint32_t k = dep; k < dep + run->dep_count; k++)
            raise_acked(sd, (syn_id){set.peers[set.deps[k].peer], set.deps[k].seq});
    }
    return SYN_OK;
}

/* Parents, in the held set, of events outside it; and the document's own heads in it. */
static syn_err candidates(session_doc *sd, struct id_list *out)
{
    syn_changes set;
    syn_err err = export_from(sd, first_unacked(sd), &set);
    bool ok = true;
    for (struct run_view v = {.set = &set}; !err && ok && next_run(&v);) {
        uint32_t end = held_end(sd, v.peer), before = out->count;
        if (end >= v.run->seq + v.run->len) continue;
        if (end > v.run->seq)
            ok = id_add(out, v.peer, end - 1);
        else
            ok = add_parents(&v, out);
        keep_held(sd, out, before);
    }
    uint32_t count = (uint32_t)syn_doc_heads(sd->doc, NULL, 0), before = out->count;
    for (uint32_t i = 0; ok && i < count; i++) ok = id_add(out, 0, 0);
    if (ok && count != 0) syn_doc_heads(sd->doc, out->at + before, count);
    if (ok) keep_held(sd, out, before);
    sort_unique(out);
    return ok ? err : SYN_ENOMEM;
}

static void remove_id(struct id_list *list, syn_id id)
{
    syn_id *found = list->count != 0 ? bsearch(&id, list->at, list->count, sizeof id, by_id) : NULL;
    if (found == NULL) return;
    size_t index = (size_t)(found - list->at);
    memmove(found, found + 1, (list->count - index - 1) * sizeof id);
    list->count--;
}

static void remove_inside(struct id_list *list, uint64_t peer, uint32_t from, uint32_t end)
{
    uint32_t kept = 0;
    for (uint32_t i = 0; i < list->count; i++) {
        syn_id id = list->at[i];
        if (id.peer == peer && id.seq >= from && id.seq < end) continue;
        list->at[kept++] = id;
    }
    list->count = kept;
}

/* Candidates with a child in the held set are no heads of it. */
static syn_err drop_parents(session_doc *sd, struct id_list *list)
{
    struct id_list parents = {0};
    syn_changes set;
    uint32_t from = UINT32_MAX;
    for (uint32_t i = 0; i < list->count; i++) {
        uint32_t at = syn_doc_position(sd->doc, list->at[i]);
        if (at == UINT32_MAX) at = 0;
        if (at < from) from = at;
    }
    syn_err err = export_from(sd, from, &set);
    bool ok = true;
    for (struct run_view v = {.set = &set}; !err && ok && next_run(&v);) {
        uint32_t end = held_end(sd, v.peer), run_end = v.run->seq + v.run->len;
        if (end <= v.run->seq) continue;
        if (end > run_end) end = run_end;
        parents.count = 0;
        ok = add_parents(&v, &parents);
        for (uint32_t i = 0; i < parents.count; i++) remove_id(list, parents.at[i]);
        remove_inside(list, v.peer, v.run->seq, end - 1);
    }
    free(parents.at);
    return ok ? err : SYN_ENOMEM;
}

static syn_err held_heads(session_doc *sd, struct id_list *out)
{
    if (doc_unacked(sd) != 0) {
        syn_err err = close_held(sd);
        if (!err) err = candidates(sd, out);
        return err || out->count == 0 ? err : drop_parents(sd, out);
    }
    uint32_t count = (uint32_t)syn_doc_heads(sd->doc, NULL, 0);
    for (uint32_t i = 0; i < count; i++)
        if (!id_add(out, 0, 0)) return SYN_ENOMEM;
    if (count != 0) syn_doc_heads(sd->doc, out->at, count);
    return SYN_OK;
}

static syn_err held_vector(session_doc *sd, struct id_list *out)
{
    uint32_t count = (uint32_t)syn_doc_vector(sd->doc, NULL, 0), kept = 0;
    for (uint32_t i = 0; i < count; i++)
        if (!id_add(out, 0, 0)) return SYN_ENOMEM;
    if (count != 0) syn_doc_vector(sd->doc, out->at, count);
    for (uint32_t i = 0; i < count; i++) {
        syn_id id = out->at[i];
        uint32_t end = held_end(sd, id.peer);
        if (end < id.seq) id.seq = end;
        if (id.seq != 0) out->at[kept++] = id;
    }
    out->count = kept;
    return SYN_OK;
}

/* ---- Open ------------------------------------------------------------------------------------ */

/* Every own peer but the channel's with events that may not be saved, as many as Open carries. */
static syn_err list_peers(session_doc *sd, uint64_t **out, uint32_t *count)
{
    *count = 0;
    *out = calloc(LIMIT_OLD_PEERS, sizeof **out);
    if (*out == NULL) return SYN_ENOMEM;
    for (uint32_t i = 0; i < sd->peer_count; i++) {
        struct own_peer *p = &sd->peers[i];
        p->listed = p->unasked = false;
        if (p->foreign) continue;
        p->listed = *count < LIMIT_OLD_PEERS || p->peer == sd->peer;
        p->unasked = !p->listed;
        if (p->listed && p->peer != sd->peer) (*out)[(*count)++] = p->peer;
    }
    return SYN_OK;
}

static bool own_tail_alone(const session_doc *sd, const struct id_list *heads)
{
    return heads->count == 0 && syn_doc_log_end(sd->doc) > 0;
}

void doc_open(session_doc *sd)
{
    session *s = sd->s;
    struct frame frame = {.channel = ++s->last_channel, .kind = FRAME_OPEN};
    struct msg_open *open = &frame.as.open;
    struct id_list heads = {0};
    uint64_t *old = NULL;
    doc_channel_reset(sd);
    own_prune(sd);
    syn_err err = SNAPSHOTS && sd->want_whole ? SYN_OK : held_heads(sd, &heads);
    if (!err) err = list_peers(sd, &old, &open->old_peer_count);
    if (!err) {
        open->document = (syn_str){sd->name, sd->name_len};
        if (sd->has_lineage)
            open->lineage = (syn_str){(const char *)sd->lineage, sizeof sd->lineage};
        open->rights = sd->want_rights;
        open->version.heads = heads.at;
        open->version.head_count = heads.count;
        open->peer = sd->channel_peer = sd->peer;
        open->old_peers = old;
        open->window_bytes = s->window;
        open->no_presence = sd->no_presence;
        /* Events made without the server's are concurrent to any snapshot of it; and who wants the
         * whole log says that he has nothing. */
        open->history = sd->want_history || own_tail_alone(sd, &heads);
        sd->state = CHANNEL_OPENING;
        sd->channel = frame.channel;
        sd->give_back = 0;
        session_send(s, &frame);
    }
    free(heads.at);
    free(old);
    if (err)
        doc_resync(sd, s->backoff_max, "out of memory");
    else
        doc_status(sd);
}

/* ---- Others' events that the server lacks ---------------------------------------------------- */

/* Events of these runs are the server's to get: their peers join the list, acked below them. */
static syn_err adopt_runs(session_doc *sd, const syn_changes *set)
{
    for (uint32_t i = 0; i < set->run_count; i++) {
        syn_id first = {set->peers[set->runs[i].peer], set->runs[i].seq};
        struct own_peer *p = own_find(sd, first.peer);
        if (p != NULL && (!p->foreign || first.seq >= p->acked)) continue;
        syn_err err = own_add(sd, first.peer, &p);
        if (err) return err;
        p->foreign = true;
        p->acked = p->sent = first.seq;
        uint32_t at = syn_doc_position(sd->doc, first);
        if (at < sd->send_at) sd->send_at = at;
    }
    return SYN_OK;
}

syn_err session_relay(session_doc *sd, const syn_changes *set, uint64_t now)
{
    if (sd->s->now < now) sd->s->now = now;
    return adopt_runs(sd, set);
}

static syn_err adopt_spans(session_doc *sd, const syn_span *spans, size_t count)
{
    syn_changes set;
    if (count == 0) return SYN_OK;
    syn_err err = syn_doc_export_spans(sd->doc, spans, count, &set);
    return err ? err : adopt_runs(sd, &set);
}

/* So that adopting them needs no memory: half done, it would take for saved what is not. */
static syn_err list_runs(session_doc *sd, const syn_changes *set)
{
    for (uint32_t i = 0; i < set->run_count; i++) {
        uint64_t peer = set->peers[set->runs[i].peer];
        struct own_peer *p;
        if (own_find(sd, peer) != NULL) continue;
        syn_err err = own_add(sd, peer, &p);
        if (err) return err;
        p->foreign = true;
        p->acked = p->sent = own_next(sd, p);
    }
    return SYN_OK;
}

/* All that the server had at Opened is here: what is not below its heads it lacks.  A document
 * without the history to tell leaves the list as it is, and own events may have to wait until
 * another brings what they stand on. */
static void settle_foreign(session_doc *sd)
{
    const syn_span *spans;
    size_t count;
    session *s = sd->s;
    uint32_t before = doc_unacked(sd);
    if (!sd->unsure) return;
    sd->unsure = false;
    syn_changes set = {0};
    syn_err err = syn_doc_spans_since(sd->doc, sd->wanted, sd->wanted_count, &spans, &count);
    if (!err && count != 0) err = syn_doc_export_spans(sd->doc, spans, count, &set);
    if (!err) err = list_runs(sd, &set);
    for (uint32_t i = 0; !err && i < sd->peer_count; i++) {
        struct own_peer *p = &sd->peers[i];
        if (p->foreign) p->acked = p->sent = own_next(sd, p);
    }
    if (!err) err = adopt_runs(sd, &set); /* all are listed: it cannot fail */
    if (err == SYN_ENOMEM) {
        doc_resync(sd, s->backoff_max, "out of memory");
        return;
    }
    own_prune(sd);
    marks_settle(sd);
    if (doc_unacked(sd) < before && s->port.acked != NULL) s->port.acked(s->port.user, sd);
}

/* ---- Opened ---------------------------------------------------------------------------------- */

bool own_chain(session_doc *sd, struct own_peer *p, uint32_t n, uint64_t *chain)
{
    syn_changes set;
    uint32_t cut;
    if (n < p->chain_at) {
        p->chain_at = 0;
        p->chain = 0;
    }
    if (n > p->chain_at) {
        uint32_t from = syn_doc_position(sd->doc, (syn_id){p->peer, p->chain_at});
        uint32_t last = syn_doc_position(sd->doc, (syn_id){p->peer, n - 1});
        if (from == UINT32_MAX || last == UINT32_MAX || from < syn_doc_log_start(sd->doc))
            return false;
        syn_span span = {from, last + 1};
        if (syn_doc_export(sd->doc, span, UINT32_MAX, SIZE_MAX, &set, &cut)) return false;
        if (proto_chain(&set, p->peer, &p->chain_at, &p->chain) || p->chain_at != n) return false;
    }
    *chain = p->chain;
    return true;
}

/* Resend is decided here, and not by acks that are remembered. */
static void compare_peer(session_doc *sd, struct own_peer *p, uint32_t next, uint64_t chain)
{
    uint64_t own = 0;
    uint32_t have = own_next(sd, p);
    bool known = next <= have && own_chain(sd, p, next, &own);
    p->forked = next > have || (known && own != chain);
    if (p->forked) { /* which of its events the server has is seen when it sends them */
        p->sent = have;
        p->theirs = next;
        return;
    }
    p->acked = p->sent = next;
}

static void compare_peers(session_doc *sd, const struct msg_opened *opened)
{
    uint32_t row = 1;
    bool forked = false;
    for (uint32_t i = 0; i < sd->peer_count; i++) {
        struct own_peer *p = &sd->peers[i];
        if (!p->listed) continue;
        uint32_t at = p->peer == sd->channel_peer ? 0 : row++;
        bool told = at < opened->peer_count; /* columns of zeros are left out */
        compare_peer(sd, p, told ? opened->peer_next[at] : 0, told ? opened->peer_chain[at] : 0);
        if (p->forked && p->peer == sd->peer) forked = true;
    }
    if (forked && doc_new_peer(sd)) doc_resync(sd, 0, "out of memory");
}

static void take_lineage(session_doc *sd, syn_str lineage)
{
    if (lineage.len != sizeof sd->lineage) return;
    sd->exists = true;
    if (sd->has_lineage && memcmp(sd->lineage, lineage.data, lineage.len) == 0) return;
    copy_str(sd->lineage, lineage);
    sd->has_lineage = true;
    if (sd->s->port.lineage != NULL) sd->s->port.lineage(sd->s->port.user, sd);
}

static syn_err keep_wanted(session_doc *sd, const struct msg_version *version)
{
    uint32_t count = version->head_count;
    sd->wanted = calloc(count != 0 ? count : 1, sizeof *sd->wanted);
    if (sd->wanted == NULL) return SYN_ENOMEM;
    if (count != 0) memcpy(sd->wanted, version->heads, count * sizeof *sd->wanted);
    sd->wanted_count = count;
    return SYN_OK;
}

/* The server does not know our heads: it gets the vector. */
static void send_vector(session_doc *sd)
{
    struct frame frame = {.channel = sd->channel, .kind = FRAME_WANT};
    struct id_list vector = {0};
    if (held_vector(sd, &vector)) {
        doc_resync(sd, sd->s->backoff_max, "out of memory");
    } else {
        frame.as.want.have.vector = vector.at;
        frame.as.want.have.vector_count = vector.count;
        session_send(sd->s, &frame);
    }
    free(vector.at);
}

void handle_opened(session_doc *sd, const struct msg_opened *opened)
{
    session *s = sd->s;
    if (sd->state == CHANNEL_OPEN) { /* it came into being */
        sd->rights = opened->rights;
        sd->session_number = opened->session;
        take_lineage(sd, opened->lineage);
        return;
    }
    sd->state = CHANNEL_OPEN;
    sd->exists = opened->lineage.len != 0;
    sd->rights = opened->rights;
    sd->session_number = opened->session;
    uint32_t window = opened->window_bytes != 0 ? opened->window_bytes : s->limits.window_bytes;
    sd->credited = window != 0;
    sd->credit = window;
    sd->max_events = s->limits.frame_events != 0 ? s->limits.frame_events : LIMIT_FRAME_EVENTS;
    sd->max_bytes = SEND_PIECE;
    if (SNAPSHOTS) sd->history.on = sd->want_whole;
    take_lineage(sd, opened->lineage);
    if (NAMES && (s->features & FEATURE_NAMES) &&
        (proto_names_begin(&sd->in, 0) || proto_names_begin(&sd->out, sd->channel_peer))) {
        doc_resync(sd, s->backoff_max, "out of memory");
        return;
    }
    if (keep_wanted(sd, &opened->version)) {
        doc_resync(sd, s->backoff_max, "out of memory");
        return;
    }
    compare_peers(sd, opened);
    if (sd->state != CHANNEL_OPEN) return;
    sd->unsure = opened->plan == PLAN_NEED_VECTOR || any_foreign(sd);
    if (opened->plan == PLAN_NEED_VECTOR) send_vector(sd);
    doc_send_restart(sd);
    marks_settle(sd);
    doc_check_caught_up(sd);
    if (sd->state == CHANNEL_OPEN) doc_pump(sd);
    doc_status(sd);
}

/* A fork that did not show although everything came: what the server has is equal to ours, the
 * rest of the peer goes on under another all the same, for its ids are not ours alone. */
static void settle_forks(session_doc *sd)
{
    for (uint32_t i = 0; i < sd->peer_count; i++) {
        struct own_peer *p = &sd->peers[i];
        if (!p->forked) continue;
        p->forked = false;
        if (own_next(sd, p) <= p->acked) continue;
        if (doc_rekey(sd, p->peer, p->acked, NULL)) {
            doc_resync(sd, 0, "a forked peer could not be renamed");
            return;
        }
        i = UINT32_MAX; /* the list changed: from the start */
    }
}

void doc_check_caught_up(session_doc *sd)
{
    if (sd->caught_up || sd->state != CHANNEL_OPEN || sd->history.on) return;
    for (uint32_t i = 0; i < sd->wanted_count; i++)
        if (!syn_doc_has(sd->doc, sd->wanted[i])) return;
    for (uint32_t i = 0; i < sd->peer_count; i++)
        if (sd->peers[i].forked && sd->peers[i].acked < sd->peers[i].theirs) return;
    settle_forks(sd);
    if (sd->state != CHANNEL_OPEN) return;
    settle_foreign(sd);
    if (sd->state != CHANNEL_OPEN) return;
    sd->caught_up = true;
    free(sd->wanted);
    sd->wanted = NULL;
    sd->wanted_count = 0;
    own_prune(sd);
    doc_status(sd);
}

/* ---- Want ------------------------------------------------------------------------------------ */

static syn_err spans_beyond(session_doc *sd, const struct msg_version *have, const syn_span **spans,
                            size_t *count)
{
    if (have->vector_count != 0)
        return syn_doc_spans_since_vector(sd->doc, have->vector, have->vector_count, spans, count);
    return syn_doc_spans_since(sd->doc, have->heads, have->head_count, spans, count);
}

/* A server that was restored asks for what it lost. */
void handle_want(session_doc *sd, const struct msg_want *want)
{
    const syn_span *spans;
    size_t count;
    sd->unsure = false;
    sd->helping = true;
    syn_err err = spans_beyond(sd, &want->have, &spans, &count);
    if (!err) err = adopt_spans(sd, spans, count);
    if (err == SYN_ENOMEM) {
        doc_resync(sd, sd->s->backoff_max, "out of memory");
        return;
    }
    doc_pump(sd);
}
