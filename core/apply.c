/* apply.c -- remote changes: checked against what is here, appended, planned, carried out; or
 * refused whole.
 *
 * A set is read run by run.  Events that are here already are compared with what they were the
 * first time (one id, two contents: somebody used a peer twice); the others are appended and
 * planned (plan.c). Nothing of the state is touched before the last event has been planned. */
#include "doc.h"

#include "utf8.h"

/* Where we are in the queues of a set. */
struct reader {
    const syn_changes *set;
    uint32_t op, op_done; /* events taken of ops[op] */
    uint32_t dep, key, value, ext;
    size_t text;
    bool ascii;          /* the text is: bytes are scalars */
    syn_obj root;        /* the text that the last op was in, if a root: */
    uint32_t root_entry; /* its index in the set's table; UINT32_MAX: it was in another container */
};

/* Some events of one op, with what they take. */
struct taken {
    const struct change_op *op;
    uint32_t index; /* of op */
    uint32_t pos, len;
    uint32_t key, value, ext; /* first of each */
    syn_str text;
};

struct incoming { /* the run being applied */
    const struct change_run *run;
    uint64_t peer;
    uint32_t agent; /* AGENT_NONE: not met yet */
    uint32_t here;  /* of the peer's events: its next seq */
    uint32_t known; /* events of the run that are here already */
    bool fast;      /* its parents are all that is here */
};

/* ---- Reading --------------------------------------------------------------------------------- */

/* Bytes of the next scalars of the text. */
static size_t text_bytes(const struct reader *reader, uint32_t scalars)
{
    if (reader->ascii) return scalars;
    return utf8_offset(reader->set->text.data + reader->text, reader->set->text.len - reader->text,
                       scalars);
}

/* At most `most` events of the current op. */
static struct taken take(struct reader *reader, uint32_t most)
{
    const struct change_op *op = &reader->set->ops[reader->op];
    uint32_t skip = reader->op_done, left = op->len - skip;
    struct taken taken = {.op = op,
                          .index = reader->op,
                          .pos = op->pos,
                          .len = left < most ? left : most,
                          .key = reader->key,
                          .value = reader->value,
                          .ext = reader->ext};
    if (op->kind == OP_DELETE_BACK) taken.pos -= skip;
    if (op->kind == OP_TEXT_INSERT || op->kind == OP_LIST_INSERT || op->kind == OP_LIST_SET)
        taken.pos += skip;
    if (op->kind == OP_TEXT_INSERT) {
        taken.text.data = reader->set->text.data + reader->text;
        taken.text.len = text_bytes(reader, taken.len);
        reader->text += taken.text.len;
    }
    if (op_takes_key(op->kind)) reader->key += taken.len;
    if (op_takes_value(op->kind)) reader->value += taken.len;
    reader->op_done += taken.len;
    if (reader->op_done == op->len) {
        if (op->kind >= OP_FIRST_UNKNOWN) reader->ext++;
        reader->op++;
        reader->op_done = 0;
    }
    return taken;
}

/* Runs of unknown kind are never cut: all their events stand in one run, new or known together. */
static bool cut_unknown(const struct taken *taken)
{
    return taken->op->kind >= OP_FIRST_UNKNOWN && taken->len != taken->op->len;
}

/* ---- Containers of the set ------------------------------------------------------------------- */

static syn_err missing(syn_doc *doc, uint64_t peer, uint32_t seq)
{
    doc->desk->fault.missing = (syn_id){peer, seq};
    syn_err err = has_base(doc) ? SYN_EHISTORY : SYN_EMISSING;
    return doc_refuse(doc, err, "event %016llx:%u is not here", (unsigned long long)peer, seq);
}

static syn_err resolve_by_event(syn_doc *doc, const syn_changes *set,
                                const struct change_container *entry, syn_obj *obj)
{
    if (entry->peer >= set->peer_count)
        return doc_refuse(doc, SYN_EMALFORMED, "a container names no peer");
    uint64_t peer = set->peers[entry->peer];
    uint32_t agent = graph_agent_find(doc->graph, peer);
    if (agent == AGENT_NONE) return missing(doc, peer, entry->seq);
    *obj = containers_find(
        &doc->all, (struct container_id){CONTAINER_BY_EVENT, entry->kind, agent, entry->seq});
    if (*obj != SYN_NO_OBJ && doc_container_exists(doc, *obj)) return SYN_OK;
    lv_t lv = graph_find(doc->graph, agent, entry->seq);
    if (lv == LV_NONE) return missing(doc, peer, entry->seq);
    if (lv >= doc->log.end || (lv == 0 && has_base(doc)) || !doc_made_child(doc, lv, entry->kind))
        return doc_refuse(doc, SYN_EMALFORMED, "event %016llx:%u made no container of kind %u",
                          (unsigned long long)peer, entry->seq, entry->kind);
    assert(*obj != SYN_NO_OBJ);
    return SYN_OK;
}

/* A root, which mostly is the one that the last set named. */
static syn_err resolve_root(syn_doc *doc, const struct change_container *entry, syn_obj *obj)
{
    uint32_t name;
    if (doc->desk->last_root < doc->all.list.n) {
        const struct container_id *id = &container_at(&doc->all, doc->desk->last_root)->id;
        if (id->form == CONTAINER_ROOT && id->kind == entry->kind &&
            str_equal(names_get(&doc->names, id->a), entry->name)) {
            *obj = doc->desk->last_root;
            return SYN_OK;
        }
    }
    syn_err err = check_root_name(doc, entry->name);
    if (err == SYN_OK) err = names_add(&doc->names, &doc->mem, entry->name, &name);
    if (err != SYN_OK) return err;
    struct container_id id = {CONTAINER_ROOT, entry->kind, name, 0};
    err = containers_add(&doc->all, &doc->mem, id, obj);
    if (err == SYN_OK) doc->desk->last_root = *obj;
    return err;
}

/* Makes entry `index` of the set's table known; the entries of its parents are. */
static syn_err resolve_entry(syn_doc *doc, const syn_changes *set, uint32_t index)
{
    const struct change_container *entry = &set->containers[index];
    syn_obj *obj = &doc->desk->resolved.at[index];
    uint32_t name;
    if (entry->kind > SYN_TREE && entry->kind < 16)
        return doc_refuse(doc, SYN_EMALFORMED, "container kind %u is reserved", entry->kind);
    switch (entry->form) {
    case CONTAINER_ROOT:
        return resolve_root(doc, entry, obj);
    case CONTAINER_BY_EVENT:
        return resolve_by_event(doc, set, entry, obj);
    default: {
        syn_obj parent = doc->desk->resolved.at[entry->parent];
        if (container_at(&doc->all, parent)->id.kind != SYN_MAP)
            return doc_refuse(doc, SYN_EMALFORMED, "the parent of a mergeable container is no map");
        syn_err err = check_key(doc, entry->key);
        if (err == SYN_OK) err = names_add(&doc->names, &doc->mem, entry->key, &name);
        return err == SYN_OK ? doc_add_mergeable(doc, parent, name, entry->kind, obj) : err;
    }
    }
}

/* The container of an op, resolved when first named, because it may be made by an event earlier in
 * the set.  Parents come earlier in the table, so walking up ends. */
static syn_err resolve(syn_doc *doc, const syn_changes *set, uint32_t index, syn_obj *obj)
{
    doc->desk->walk.n = 0;
    for (uint32_t at = index; doc->desk->resolved.at[at] == SYN_NO_OBJ;
         at = set->containers[at].parent) {
        const struct change_container *entry = &set->containers[at];
        syn_err err = array_reserve(&doc->mem, &doc->desk->walk, 1);
        if (err != SYN_OK) return err;
        *array_push(&doc->desk->walk) = at;
        if (entry->form != CONTAINER_MERGEABLE) break;
        if (entry->parent >= at)
            return doc_refuse(doc, SYN_EMALFORMED, "a container comes before its parent");
    }
    while (doc->desk->walk.n > 0) {
        syn_err err = resolve_entry(doc, set, doc->desk->walk.at[--doc->desk->walk.n]);
        if (err != SYN_OK) return err;
    }
    *obj = doc->desk->resolved.at[index];
    return SYN_OK;
}

/* A container made by an event can be written only after that event. */
static syn_err check_made_before(syn_doc *doc, syn_obj obj, lv_t lv)
{
    for (;;) {
        const struct container_id *id = &container_at(&doc->all, obj)->id;
        if (id->form == CONTAINER_ROOT) return SYN_OK;
        if (id->form == CONTAINER_MERGEABLE) {
            obj = id->a;
            continue;
        }
        lv_t made = graph_find(doc->graph, id->a, id->b);
        if (made == LV_NONE || graph_contains(doc->graph, &lv, 1, made)) return SYN_OK;
        return doc_refuse(doc, SYN_EMALFORMED,
                          "an operation is not after the event that made its container");
    }
}

/* ---- New events ------------------------------------------------------------------------------ */

/* Args of the events, pushed behind those of the log. */
static syn_err push_args(syn_doc *doc, const syn_changes *set, const struct taken *taken,
                         syn_obj obj, uint32_t agent, uint32_t seq)
{
    syn_err err = SYN_OK;
    for (uint32_t i = 0; err == SYN_OK && i < taken->len; i++) {
        struct op_arg arg = {.key = NAME_NONE, .kind = SYN_VALUE_NULL};
        if (op_takes_key(taken->op->kind)) {
            syn_str key = set->keys[taken->key + i];
            err = check_key(doc, key);
            if (err == SYN_OK) err = names_add(&doc->names, &doc->mem, key, &arg.key);
        }
        if (err == SYN_OK && op_takes_value(taken->op->kind)) {
            const struct change_value *value = &set->values[taken->value + i];
            err = value_check(doc, value, taken->op->kind == OP_MAP_SET);
            if (err == SYN_OK && taken->op->kind == OP_COUNTER_ADD && value->kind != SYN_VALUE_INT)
                err = doc_refuse(doc, SYN_EMALFORMED, "a counter takes integers");
            if (err == SYN_OK) err = value_keep(doc, value, obj, agent, seq + i, &arg);
        }
        if (err == SYN_OK) *array_push(&doc->log.args) = arg;
    }
    return err;
}

static syn_err push_unknown(syn_doc *doc, const syn_changes *set, const struct taken *taken)
{
    syn_str ext = set->ext[taken->ext];
    struct op_arg arg = {.key = taken->op->kind, .kind = taken->op->arg};
    syn_err err = oplog_reserve(&doc->log, &doc->mem, 0, ext.len, 1);
    if (err != SYN_OK) return err;
    arg.as.blob.len = (uint32_t)ext.len;
    value_push_bytes(doc, ext, &arg.as.blob.off);
    *array_push(&doc->log.args) = arg;
    return SYN_OK;
}

static syn_err push_content(syn_doc *doc, const syn_changes *set, const struct taken *taken,
                            syn_obj obj, uint32_t agent, uint32_t seq)
{
    uint32_t kind = taken->op->kind;
    if (kind >= OP_FIRST_UNKNOWN) return push_unknown(doc, set, taken);
    if (kind == OP_TEXT_INSERT) {
        oplog_push_text(&doc->log, taken->text);
        doc->log.wide |= taken->text.len != taken->len;
    }
    return op_takes_args(kind) ? push_args(doc, set, taken, obj, agent, seq) : SYN_OK;
}

static syn_err not_there(syn_doc *doc, uint32_t op, uint32_t pos)
{
    return doc_refuse(doc, SYN_EMALFORMED, "operation %u: position %u is not there at its parents",
                      op, pos);
}

/* Appends some new events, the first of which has become LV lv in the graph.  Plans them, too,
 * unless something is concurrent: from there on the set is planned when all of it is known. */
static syn_err add_events(syn_doc *doc, const syn_changes *set, const struct taken *taken,
                          const struct incoming *in, lv_t lv, bool joins, lv_t *unplanned)
{
    syn_obj obj = SYN_NO_OBJ;
    uint32_t kind = taken->op->kind;
    uint32_t seq = in->run->seq + in->run->len - (graph_len(doc->graph) - lv);
    doc->desk->fault.op_run = taken->index + 1;
    syn_err err = SYN_OK;
    if (kind != OP_NOTHING) {
        obj = doc->desk->resolved.at[taken->op->container];
        if (obj == SYN_NO_OBJ) err = resolve(doc, set, taken->op->container, &obj);
        if (err != SYN_OK) return err;
        if (!op_fits(kind, container_at(&doc->all, obj)->id.kind))
            return doc_refuse(doc, SYN_EMALFORMED, "operation kind %u in a container of kind %u",
                              kind, container_at(&doc->all, obj)->id.kind);
        err = check_made_before(doc, obj, lv);
    }
    bool args = kind < OP_FIRST_UNKNOWN && op_takes_args(kind);
    if (err == SYN_OK) err = doc_reserve_append(doc, obj, taken->text.len, args ? taken->len : 0);
    if (err == SYN_OK && taken->index == 0) err = doc_reserve_runs(doc, set, obj);
    uint32_t at = kind == OP_TEXT_INSERT ? doc->log.text.n : doc->log.args.n;
    if (err == SYN_OK) err = push_content(doc, set, taken, obj, in->agent, seq);
    if (err != SYN_OK) return err;
    uint32_t stored = kind >= OP_FIRST_UNKNOWN ? OP_FIRST_UNKNOWN : kind;
    uint32_t pos =
        kind == OP_NOTHING || (op_takes_args(kind) && kind != OP_LIST_INSERT && kind != OP_LIST_SET)
            ? 0
            : taken->pos;
    uint32_t before = obj == SYN_NO_OBJ ? 0 : container_at(&doc->all, obj)->len;
    doc_append(doc, &(struct op_run){lv, pos, at, before, obj, stored}, taken->len, joins);
    struct op_piece piece = {lv, lv + taken->len, stored, obj, pos, at};
    bool given = effects_given(doc);
    if (!in->fast && !given && *unplanned == LV_NONE) *unplanned = lv;
    if (given) {
        err = doc_plan_given(doc, &piece, in->fast);
    } else if (*unplanned == LV_NONE) {
        if (obj != SYN_NO_OBJ && doc->desk->plan.n == 0) /* once for each set */
            doc_tend_merge(doc, container_at(&doc->all, obj), lv);
        err = doc_plan(doc, &piece);
    }
    if (err == SYN_ERANGE) err = not_there(doc, taken->index, pos);
    if (err == SYN_OK) doc->desk->fault.op_run = 0;
    return err;
}

/* ---- New events of a text: the same, for what nearly all events of large sets are ------------ */

/* Remembers the container of the op that was just added, if its next op can go this way. */
static void note_root(const syn_doc *doc, struct reader *reader, const struct change_op *op)
{
    reader->root_entry = UINT32_MAX;
    if (op->kind > OP_DELETE_BACK) return;
    reader->root = doc->desk->resolved.at[op->container];
    const struct container *c = container_at(&doc->all, reader->root);
    if (c->id.form == CONTAINER_ROOT && c->id.kind == SYN_TEXT && c->merge == NULL)
        reader->root_entry = op->container;
}

/* What stands at the front of the queues, at most `most` events, into the log.  *run: what it says,
 * *len of it. */
static inline syn_err append_text(syn_doc *doc, struct reader *reader, struct container *c,
                                  uint32_t most, bool joins, struct op_run *run, uint32_t *len)
{
    const struct change_op *op = &reader->set->ops[reader->op];
    uint32_t skip = reader->op_done, left = op->len - skip, n = left < most ? left : most;
    size_t bytes = op->kind == OP_TEXT_INSERT ? text_bytes(reader, n) : 0;
    syn_err err = oplog_reserve(&doc->log, &doc->mem, 1, bytes, 0);
    if (err == SYN_OK) err = array_reserve(&doc->mem, &c->runs, 1);
    if (err != SYN_OK) return err;
    *run = (struct op_run){doc->log.end, op->pos, doc->log.args.n, c->len, reader->root, op->kind};
    *len = n;
    if (op->kind == OP_TEXT_INSERT) {
        syn_str text = {reader->set->text.data + reader->text, bytes};
        run->at = oplog_push_text(&doc->log, text);
        run->pos += skip;
        doc->log.wide |= bytes != n;
        reader->text += bytes;
    } else if (op->kind == OP_DELETE_BACK) {
        run->pos -= skip;
    }
    if (joins && !oplog_turns(&doc->log, run)) {
        doc_append(doc, run, n, true);
    } else {
        *array_push(&c->runs) = doc->log.runs.n;
        oplog_begin_run(&doc->log, run, n);
    }
    reader->op += n == left;
    reader->op_done = n == left ? 0 : skip + n;
    return SYN_OK;
}

/* Adds events of the run, `left` at most, as long as they stay in the text of the last op. */
static syn_err add_text(syn_doc *doc, struct reader *reader, const struct incoming *in,
                        uint32_t *left, bool joins, const lv_t *unplanned)
{
    const syn_changes *set = reader->set;
    struct container *c = container_at(&doc->all, reader->root);
    bool given = effects_given(doc), plan = given || *unplanned == LV_NONE;
    syn_err err = SYN_OK;
    if (plan && !given && !in->fast) return SYN_OK; /* here windows begin */
    for (; err == SYN_OK && *left > 0 && reader->op < set->op_count; joins = true) {
        uint32_t index = reader->op, len = 0;
        size_t text = reader->text;
        const struct change_op *op = &set->ops[index];
        struct op_run run;
        if (op->kind > OP_DELETE_BACK || op->container != reader->root_entry) break;
        err = append_text(doc, reader, c, *left, joins, &run, &len);
        if (err == SYN_OK && plan) {
            err = doc_plan_text(doc, c, &run, len, (uint32_t)(reader->text - text), in->fast);
            if (err == SYN_OK) err = doc_carry_part(doc);
        }
        if (err == SYN_ERANGE) err = not_there(doc, index, run.pos);
        if (err != SYN_OK) doc->desk->fault.op_run = index + 1;
        *left -= len;
    }
    return err;
}

/* ---- Parents --------------------------------------------------------------------------------- */

/* The agent of entry `index` of the set's peers; AGENT_NONE: not met yet. */
static uint32_t agent_of(const syn_doc *doc, const syn_changes *set, uint32_t index)
{
    uint32_t *agent = &doc->desk->agents.at[index];
    if (*agent == AGENT_NONE) *agent = graph_agent_find(doc->graph, set->peers[index]);
    return *agent;
}

/* LV_NONE: not here.  Mostly it is the peer's previous event, which is his last. */
static lv_t parent_of(const syn_doc *doc, const syn_changes *set, const struct incoming *in,
                      const struct change_dep *dep)
{
    if (dep->peer == in->run->peer && in->here > 0 && dep->seq == in->here - 1)
        return graph_agent_last(doc->graph, in->agent);
    uint32_t agent = agent_of(doc, set, dep->peer);
    return agent == AGENT_NONE ? LV_NONE : graph_find(doc->graph, agent, dep->seq);
}

/* The rows of a window tell at once of all its runs what walks tell of one (check_runs,
 * plan_set.c); so it is left to them in a set that is large.  Those that bring along what they did
 * were looked at when they came for the first time. */
static bool is_checked_later(const syn_doc *doc, const syn_changes *set)
{
    enum { MANY_RUNS = 16 };
    return SHORT_CUTS && (set->run_count >= MANY_RUNS || effects_given(doc));
}

/* Makes desk->parents, as they came, ascend.  *whole: they are the frontier.  SYN_EMALFORMED: they
 * are no antichain; of two, later says so. */
static inline syn_err order_parents(syn_doc *doc, bool later, bool *whole)
{
    lv_set *parents = &doc->desk->parents;
    uint32_t count = parents->n;
    syn_err err = SYN_OK;
    if (count == 2 && parents->at[0] > parents->at[1]) {
        lv_t first = parents->at[0];
        parents->at[0] = parents->at[1];
        parents->at[1] = first;
    }
    *whole = graph_is_frontier(doc->graph, parents->at, count);
    if (*whole) return SYN_OK;
    if (!later || count != 2 || parents->at[0] == parents->at[1])
        err = graph_dominators(doc->graph, parents->at, &parents->n);
    if (err == SYN_OK && parents->n != count) err = doc_refuse_parents(doc);
    return err;
}

/* The parents of the run's first event into doc->desk->parents. */
static syn_err resolve_parents(syn_doc *doc, const struct reader *reader, const struct incoming *in,
                               bool later, bool *whole)
{
    const syn_changes *set = reader->set;
    const struct change_run *run = in->run;
    uint32_t count = run->explicit_parents ? run->dep_count : run->seq > 0;
    doc->desk->parents.n = 0;
    if (count > doc->max_heads)
        return doc_refuse(doc, SYN_ELIMIT, "%u parents; at most %u", count, doc->max_heads);
    syn_err err = array_reserve(&doc->mem, &doc->desk->parents, count);
    if (err != SYN_OK) return err;
    for (uint32_t i = 0; i < count; i++) {
        struct change_dep dep = {run->peer, run->seq - 1};
        if (run->explicit_parents) dep = set->deps[reader->dep + i];
        lv_t lv = parent_of(doc, set, in, &dep);
        if (lv == LV_NONE) return missing(doc, set->peers[dep.peer], dep.seq);
        *array_push(&doc->desk->parents) = lv;
    }
    err = order_parents(doc, later, whole);
    if (err == SYN_OK && count == 0 && has_base(doc))
        return doc_refuse(doc, SYN_EHISTORY, "an event without parents is older than the snapshot");
    return err;
}

/* Every event has its peer's previous event among its ancestors. */
static syn_err check_previous(syn_doc *doc, const struct incoming *in, bool later)
{
    uint32_t here = in->here;
    if (here == 0 && has_base(doc)) return SYN_OK; /* below the snapshot: told by its history */
    if (in->run->seq != here)
        return doc_refuse(doc, SYN_EGAP, "event %016llx:%u comes before %u of that peer",
                          (unsigned long long)in->peer, in->run->seq, here);
    if (here == 0 || later || in->fast) return SYN_OK;
    lv_t previous = graph_agent_last(doc->graph, in->agent);
    if (graph_contains(doc->graph, doc->desk->parents.at, doc->desk->parents.n, previous))
        return SYN_OK;
    return doc_refuse_previous(doc, (syn_id){in->peer, here});
}

/* The usual run: its peer goes on, and nobody else has written since. */
static inline bool extends_last(syn_doc *doc, struct incoming *in)
{
    const struct change_run *run = in->run;
    return in->known == 0 && !run->explicit_parents && run->seq > 0 &&
           graph_continue(doc->graph, in->peer, run->seq, run->len, &in->agent);
}

/* A run of a history that fills the document, in one step: its parents are looked at later, or were
 * before.  false: nothing was done, and the long way knows why. */
static bool push_named(syn_doc *doc, const struct reader *reader, struct incoming *in)
{
    const syn_changes *set = reader->set;
    const struct change_run *run = in->run;
    uint32_t count = run->explicit_parents ? run->dep_count : 1;
    struct graph_parent parents[2] = {{in->agent, run->seq - 1}};
    if (in->agent == AGENT_NONE || run->seq != in->here || count - 1 > 1 ||
        count > doc->max_heads || (!run->explicit_parents && run->seq == 0))
        return false;
    for (uint32_t i = 0; run->explicit_parents && i < count; i++) {
        const struct change_dep *dep = &set->deps[reader->dep + i];
        parents[i] = (struct graph_parent){agent_of(doc, set, dep->peer), dep->seq};
        if (parents[i].agent == AGENT_NONE) return false;
    }
    return graph_push_named(doc->graph, in->agent, run->seq, run->len, parents, count, &in->fast);
}

static syn_err check_heads(syn_doc *doc)
{
    uint32_t heads;
    graph_frontier(doc->graph, &heads);
    if (heads <= doc->max_heads) return SYN_OK;
    return doc_refuse(doc, SYN_ELIMIT, "more than %u heads; merge some first", doc->max_heads);
}

/* Puts the new events of the run into the graph. */
static syn_err push_run(syn_doc *doc, const struct reader *reader, struct incoming *in, bool *joins)
{
    syn_err err = SYN_OK;
    uint32_t len = in->run->len - in->known, seq = in->run->seq + in->known;
    bool later = is_checked_later(doc, reader->set);
    if (SHORT_CUTS && len <= doc->max_events - graph_len(doc->graph)) {
        *joins = in->fast = extends_last(doc, in);
        if (in->fast) return SYN_OK;
        if (doc->desk->fills && later && push_named(doc, reader, in)) return check_heads(doc);
    }
    lv_set *parents = &doc->desk->parents;
    if (in->known > 0) {
        parents->n = 0;
        err = array_reserve(&doc->mem, parents, 1);
        if (err != SYN_OK) return err;
        *array_push(parents) = graph_find(doc->graph, in->agent, seq - 1);
        in->fast = graph_is_frontier(doc->graph, parents->at, 1);
    } else {
        err = resolve_parents(doc, reader, in, later, &in->fast);
        if (err != SYN_OK) return err;
        err = check_previous(doc, in, later);
        if (err == SYN_OK && in->agent == AGENT_NONE)
            err = graph_agent_add(doc->graph, in->peer, &in->agent);
    }
    if (err != SYN_OK) return err;
    if (len > doc->max_events - graph_len(doc->graph))
        return doc_refuse(doc, SYN_ELIMIT, "more than %u events in one document", doc->max_events);
    uint32_t runs = graph_run_count(doc->graph);
    err = graph_push(doc->graph, in->agent, seq, len, parents->at, parents->n);
    if (err != SYN_OK) return doc_refuse(doc, err, "no room for %u events", len);
    *joins = graph_run_count(doc->graph) == runs;
    return check_heads(doc);
}

/* ---- Known events ---------------------------------------------------------------------------- */

static syn_err forked(syn_doc *doc, const struct incoming *in, uint32_t seq)
{
    doc->desk->fault.event.seq = seq;
    return doc_refuse(doc, SYN_EFORKED, "event %016llx:%u is here with other content",
                      (unsigned long long)in->peer, seq);
}

static bool same_args(const syn_doc *doc, const syn_changes *set, const struct taken *taken,
                      uint32_t at)
{
    for (uint32_t i = 0; i < taken->len; i++) {
        const struct op_arg *arg = &doc->log.args.at[at + i];
        if (op_takes_key(taken->op->kind) &&
            !str_equal(names_get(&doc->names, arg->key), set->keys[taken->key + i]))
            return false;
        if (op_takes_value(taken->op->kind) && !value_is(doc, arg, &set->values[taken->value + i]))
            return false;
    }
    return true;
}

static bool same_unknown(const syn_doc *doc, const syn_changes *set, const struct taken *taken,
                         const struct op_piece *piece)
{
    const struct op_arg *arg = &doc->log.args.at[piece->at];
    lv_t run_len = oplog_run_end(&doc->log, oplog_find(&doc->log, piece->from)) - piece->from;
    return arg->key == taken->op->kind && arg->kind == taken->op->arg &&
           run_len == taken->op->len && str_equal(doc_blob(doc, arg), set->ext[taken->ext]);
}

/* Are `taken` (as it came) and `piece` (as it is here, of the same length) the same events? */
static bool same_content(const syn_doc *doc, const syn_changes *set, const struct taken *taken,
                         const struct op_piece *piece)
{
    uint32_t kind = taken->op->kind;
    if (kind >= OP_FIRST_UNKNOWN)
        return piece->kind == OP_FIRST_UNKNOWN && same_unknown(doc, set, taken, piece);
    if (op_is_delete(kind)) /* backwards or not shows from the second event on */
        return op_is_delete(piece->kind) && taken->pos == piece->pos &&
               (taken->len == 1 || kind == piece->kind);
    if (kind != piece->kind) return false;
    switch (kind) {
    case OP_TEXT_INSERT:
        return taken->pos == piece->pos &&
               taken->text.len == oplog_text_bytes(&doc->log, piece->at, taken->len) &&
               memcmp(taken->text.data, doc->log.text.at + piece->at, taken->text.len) == 0;
    case OP_LIST_INSERT:
    case OP_LIST_SET:
        return taken->pos == piece->pos && same_args(doc, set, taken, piece->at);
    default:
        return same_args(doc, set, taken, piece->at);
    }
}

static syn_err same_events(syn_doc *doc, const syn_changes *set, const struct taken *taken,
                           const struct op_piece *piece, bool *same)
{
    syn_obj obj = SYN_NO_OBJ;
    *same = taken->op->kind == piece->kind;
    if (taken->op->kind == OP_NOTHING || piece->kind == OP_NOTHING) return SYN_OK;
    syn_err err = resolve(doc, set, taken->op->container, &obj);
    *same = err == SYN_OK && obj == piece->container && same_content(doc, set, taken, piece);
    return err == SYN_ENOMEM ? err : SYN_OK;
}

/* Were the run's parents the same the first time? */
static syn_err compare_parents(syn_doc *doc, const struct reader *reader, const struct incoming *in,
                               lv_t lv)
{
    const lv_t *parents;
    lv_t previous;
    if (lv == 0 && has_base(doc)) return SYN_OK;
    bool whole;
    syn_err err = resolve_parents(doc, reader, in, false, &whole);
    if (err == SYN_ENOMEM) return err;
    uint32_t count = graph_parents(doc->graph, lv, &parents, &previous);
    bool same =
        err == SYN_OK && count == doc->desk->parents.n &&
        (count == 0 || memcmp(parents, doc->desk->parents.at, count * sizeof *parents) == 0);
    return same ? SYN_OK : forked(doc, in, in->run->seq);
}

/* Compares the events of the run that are here. */
static syn_err compare_known(syn_doc *doc, struct reader *reader, const struct incoming *in)
{
    for (uint32_t done = 0; done < in->known;) {
        uint32_t seq = in->run->seq + done;
        lv_t lv = graph_find(doc->graph, in->agent, seq);
        if (lv == LV_NONE) return missing(doc, in->peer, seq); /* below the snapshot */
        if (done == 0) {
            syn_err err = compare_parents(doc, reader, in, lv);
            if (err != SYN_OK) return err;
        }
        uint32_t index = oplog_find(&doc->log, lv);
        lv_t end = oplog_run_end(&doc->log, index);
        uint32_t most = in->known - done < end - lv ? in->known - done : end - lv;
        struct taken taken = take(reader, most);
        if (cut_unknown(&taken)) return forked(doc, in, seq);
        bool stand_in = lv == 0 && has_base(doc);
        struct op_piece piece = oplog_piece(&doc->log, index, lv, lv + taken.len);
        bool same = true;
        if (!stand_in) {
            syn_err err = same_events(doc, reader->set, &taken, &piece, &same);
            if (err != SYN_OK) return err;
        }
        if (!same) return forked(doc, in, seq);
        done += taken.len;
    }
    return SYN_OK;
}

/* ---- The whole ------------------------------------------------------------------------------- */

static syn_err apply_run(syn_doc *doc, struct reader *reader, const struct change_run *run,
                         lv_t *unplanned, syn_applied *out)
{
    struct incoming in = {.run = run, .peer = reader->set->peers[run->peer]};
    doc->desk->fault.event = (syn_id){in.peer, run->seq};
    in.agent = agent_of(doc, reader->set, run->peer);
    in.here = in.agent == AGENT_NONE ? 0 : graph_agent_next(doc->graph, in.agent);
    if (in.here > run->seq)
        in.known = in.here - run->seq < run->len ? in.here - run->seq : run->len;
    syn_err err = in.known > 0 ? compare_known(doc, reader, &in) : SYN_OK;
    out->duplicate += in.known;
    if (err != SYN_OK || in.known == run->len) {
        reader->dep += run->dep_count;
        return err;
    }
    bool joins = false;
    err = push_run(doc, reader, &in, &joins);
    reader->dep += run->dep_count;
    out->applied += run->len - in.known;
    uint32_t left = run->len - in.known, all = left;
    while (err == SYN_OK && left > 0) {
        if (SHORT_CUTS && reader->root_entry != UINT32_MAX) {
            err = add_text(doc, reader, &in, &left, joins || left < all, unplanned);
            if (err != SYN_OK || left == 0) break;
        }
        struct taken taken = take(reader, left);
        lv_t lv = graph_len(doc->graph) - left;
        if (cut_unknown(&taken))
            return doc_refuse(doc, SYN_EMALFORMED,
                              "an operation of unknown kind is cut between runs");
        err = add_events(doc, reader->set, &taken, &in, lv, joins || left < all, unplanned);
        if (err == SYN_OK) err = doc_carry_part(doc);
        if (SHORT_CUTS && err == SYN_OK) note_root(doc, reader, taken.op);
        left -= taken.len;
    }
    return err;
}

/* Index of the op that (peer, seq) is an event of. */
static uint32_t op_of_event(const syn_changes *set, uint64_t peer, uint32_t seq)
{
    uint32_t before = 0, op = 0;
    for (uint32_t i = 0; i < set->run_count; i++) {
        const struct change_run *run = &set->runs[i];
        if (set->peers[run->peer] == peer && seq - run->seq < run->len) {
            before += seq - run->seq;
            break;
        }
        before += run->len;
    }
    while (op + 1 < set->op_count && before >= set->ops[op].len) before -= set->ops[op++].len;
    return op;
}

/* Plans what was appended from `from` on. */
static syn_err plan_rest(syn_doc *doc, const syn_changes *set, lv_t from)
{
    lv_t fault = from;
    doc->desk->work = (struct work){.limit = doc_work_limit(doc, graph_len(doc->graph) - from)};
    syn_err err = doc_plan_set(doc, from, is_checked_later(doc, set), &fault);
    if (err != SYN_OK) doc->desk->fault.event = doc_id(doc, fault);
    if (err == SYN_ELIMIT && doc->desk->work.done > doc->desk->work.limit)
        return doc_refuse(doc, err, "merging it takes more than %llu steps",
                          (unsigned long long)doc->desk->work.limit);
    if (err != SYN_ERANGE) return err;
    uint32_t op = op_of_event(set, doc->desk->fault.event.peer, doc->desk->fault.event.seq);
    doc->desk->fault.op_run = op + 1;
    return not_there(doc, op, set->ops[op].pos);
}

static syn_err apply_once(syn_doc *doc, const syn_changes *set, syn_applied *out)
{
    struct doc_mark mark = doc_mark(doc);
    struct reader reader = {.set = set, .root_entry = UINT32_MAX};
    lv_t unplanned = LV_NONE;
    doc->desk->fault = (syn_fault){0};
    doc->desk->work.done = 0;
    *out = (syn_applied){0};
    syn_err err = check_shape(doc, set, &reader.ascii);
    if (err != SYN_OK) return err;
    lv_t from = mark.log.end;
    if (SHORT_CUTS && (doc->filling || (from == 0 && mark.records == 0))) {
        doc->desk->fills = true;
        doc->desk->at_once = !doc->keep_records;
        mark.log = (struct oplog_mark){0};
        graph_fill(doc->graph, true);
    }
    err = doc_reserve_set(doc, set);
    for (uint32_t i = 0; err == SYN_OK && i < set->run_count; i++)
        err = apply_run(doc, &reader, &set->runs[i], &unplanned, out);
    if (err == SYN_OK && unplanned != LV_NONE) err = plan_rest(doc, set, unplanned);
    if (err == SYN_OK && effects_given(doc) && doc->desk->given.left > 0) err = SYN_EDAMAGED;
    if (err == SYN_OK) err = doc_carry_out(doc, false);
    if (err != SYN_OK) {
        doc_undo_append(doc, mark);
        *out = (syn_applied){0};
    }
    if (SHORT_CUTS) {
        doc->desk->fills = doc->desk->at_once = false;
        graph_fill(doc->graph, false);
    }
    if (err != SYN_OK) return err;
    doc_touch(doc, set, from);
    return SYN_OK;
}

/* Effects that do not fit the events are damage, and only spare work: then it is done, unless the
 * sets before it went with this one. */
syn_err apply_set(syn_doc *doc, const syn_changes *set, syn_applied *out)
{
    syn_err err = desk_open(doc);
    if (err != SYN_OK) return err;
    if (SHORT_CUTS && set->effect_count > 0) {
        bool again = graph_len(doc->graph) == 0 || !doc->filling;
        doc->desk->given = (struct given_effects){set->effects, set->effect_count, 0};
        err = apply_once(doc, set, out);
        doc->desk->given = (struct given_effects){0};
        if (err != SYN_EDAMAGED || !again) return err;
    }
    return apply_once(doc, set, out);
}

syn_err syn_apply(syn_doc *doc, const syn_changes *set, bool keep_pending, syn_applied *out)
{
    syn_applied ignored;
    if (out == NULL) out = &ignored;
    *out = (syn_applied){0};
    if (in_transaction(doc)) return doc_refuse(doc, SYN_EMISUSE, "a transaction is open");
    bool loads = graph_len(doc->graph) == 0;
    syn_err err = SYN_OK;
    if (SHORT_CUTS && apply_live(doc, set))
        out->applied = set->runs[0].len;
    else
        err = apply_set(doc, set, out);
    if (err == SYN_OK && (loads || doc->expected > 0)) doc_came(doc, out->applied);
    if (err == SYN_EMISSING && keep_pending) {
        err = pending_keep(doc, set);
        out->pending = err == SYN_OK;
    } else if (err == SYN_OK && out->applied > 0 && doc->pending.n > 0) {
        pending_retry(doc, out);
    }
    return err;
}
