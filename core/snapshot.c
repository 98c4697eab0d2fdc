/* snapshot.c -- the state without its history: giving it out, and standing on one.
 *
 * Equal states at equal versions give equal snapshots on every replica: containers are ordered by
 * what they are (mergeable ones after their parents), peers by first use, map entries by key. */
#include "export.h"

#include "sort.h"
#include "utf8.h"

/* ---- Order of containers --------------------------------------------------------------------- */

struct ranking {
    const syn_doc *doc;
    const uint32_t *depth, *rank; /* of a mergeable container's parents; place in the order */
};

static bool depth_before(const void *context, uint32_t a, uint32_t b)
{
    const struct ranking *ranking = context;
    return ranking->depth[a] < ranking->depth[b];
}

/* Among containers of one depth. */
static bool container_before(const void *context, uint32_t a, uint32_t b)
{
    const struct ranking *ranking = context;
    const syn_doc *doc = ranking->doc;
    struct container_id x = container_at(&doc->all, a)->id, y = container_at(&doc->all, b)->id;
    int order = 0;
    if (x.form != y.form) return x.form < y.form;
    switch (x.form) {
    case CONTAINER_ROOT:
        order = str_compare(names_get(&doc->names, x.a), names_get(&doc->names, y.a));
        break;
    case CONTAINER_BY_EVENT: {
        uint64_t p = graph_agent_peer(doc->graph, x.a), q = graph_agent_peer(doc->graph, y.a);
        order = p != q ? (p < q ? -1 : 1) : (x.b < y.b ? -1 : x.b > y.b);
        break;
    }
    case CONTAINER_MERGEABLE:
        if (x.a != y.a) return ranking->rank[x.a] < ranking->rank[y.a];
        order = str_compare(names_get(&doc->names, x.b), names_get(&doc->names, y.b));
        break;
    }
    return order != 0 ? order < 0 : x.kind < y.kind;
}

/* All containers in canonical order, in doc->desk->out.order (three parts: order, depth, rank). */
static syn_err order_containers(syn_doc *doc)
{
    uint32_t n = doc->all.list.n;
    doc->desk->out.order.n = 0;
    syn_err err = array_reserve(&doc->mem, &doc->desk->out.order, 3 * n);
    if (err != SYN_OK || n == 0) return err;
    uint32_t *order = doc->desk->out.order.at, *depth = order + n, *rank = order + 2 * n;
    for (uint32_t i = 0; i < n; i++) {
        const struct container_id *id = &container_at(&doc->all, i)->id;
        order[i] = i;
        depth[i] = id->form == CONTAINER_MERGEABLE ? depth[id->a] + 1 : 0;
    }
    const struct ranking ranking = {doc, depth, rank};
    sort_indexes(order, n, depth_before, &ranking);
    for (uint32_t from = 0, end; from < n; from = end) {
        for (end = from + 1; end < n && depth[order[end]] == depth[order[from]];) end++;
        sort_indexes(order + from, end - from, container_before, &ranking);
        for (uint32_t i = from; i < end; i++) rank[order[i]] = i;
    }
    return SYN_OK;
}

/* ---- Giving it out --------------------------------------------------------------------------- */

static void add_text(void *user, const char *utf8, size_t bytes)
{
    struct export_buffers *out = user;
    memcpy(out->text.at + out->text.n, utf8, bytes);
    out->text.n += (uint32_t)bytes;
}

static syn_err text_state(struct exporter *ex, const struct container *c,
                          struct snapshot_state *state)
{
    const struct rope *rope = c->as.text;
    size_t bytes = rope == NULL ? 0 : rope_bytes(rope);
    syn_err err = array_reserve(&ex->doc->mem, &ex->out->text, bytes);
    if (err != SYN_OK) return err;
    state->text.len = bytes;
    if (bytes > 0) rope_visit(rope, 0, rope_len(rope), add_text, ex->out);
    return SYN_OK;
}

static syn_err map_entry(struct exporter *ex, uint32_t key, const struct map_write *write)
{
    struct snapshot_entry entry = {.key = names_get(&ex->doc->names, key),
                                   .value = {.kind = SYN_VALUE_NULL},
                                   .seq = write->seq,
                                   .lamport = write->lamport,
                                   .gone = write->gone};
    if (!write->gone) entry.value = value_give(ex->doc, &write->value);
    syn_err err = export_agent(ex, write->agent, &entry.peer);
    if (err == SYN_OK) err = array_reserve(&ex->doc->mem, &ex->out->entries, 1);
    if (err == SYN_OK) *array_push(&ex->out->entries) = entry;
    return err;
}

static syn_err map_state(struct exporter *ex, const struct container *c,
                         struct snapshot_state *state)
{
    const struct map *map = &c->as.map;
    uint32_t n = map->registers.n, *sorted;
    syn_err err = array_reserve(&ex->doc->mem, &ex->doc->desk->walk, n);
    if (err != SYN_OK) return err;
    sorted = ex->doc->desk->walk.at;
    for (uint32_t i = 0; i < n; i++) sorted[i] = i;
    if (n > 0) map_sort(map, &ex->doc->names, sorted, n);
    uint32_t first = ex->out->entries.n;
    for (uint32_t i = 0; err == SYN_OK && i < n; i++) {
        struct map_register *reg = &map->registers.at[sorted[i]];
        const struct map_write *writes = map_writes(ex->doc->graph, reg);
        if (reg->count == 1 && writes[0].gone) continue;
        for (uint32_t k = 0; err == SYN_OK && k < reg->count; k++)
            err = map_entry(ex, reg->key, &writes[k]);
    }
    state->entry_count = ex->out->entries.n - first;
    return err;
}

static syn_err list_state(struct exporter *ex, const struct container *c,
                          struct snapshot_state *state)
{
    const struct list *list = &c->as.list;
    syn_err err = array_reserve(&ex->doc->mem, &ex->out->entries, list->n);
    for (uint32_t i = 0; err == SYN_OK && i < list->n; i++) {
        const struct list_slot *slot = list_slot_at(list, i);
        struct snapshot_entry entry = {.value = value_give(ex->doc, &slot->value),
                                       .seq = slot->made.seq,
                                       .lamport = slot->made.lamport};
        err = export_agent(ex, slot->made.agent, &entry.peer);
        entry.set = slot->set.agent != slot->made.agent || slot->set.seq != slot->made.seq;
        if (err == SYN_OK && entry.set) {
            err = export_agent(ex, slot->set.agent, &entry.set_peer);
            entry.set_seq = slot->set.seq;
            entry.set_lamport = slot->set.lamport;
        }
        if (err == SYN_OK) *array_push(&ex->out->entries) = entry;
    }
    state->entry_count = list->n;
    return err;
}

static syn_err add_state(struct exporter *ex, syn_obj obj)
{
    const struct container *c = container_at(&ex->doc->all, obj);
    struct snapshot_state state = {0};
    syn_err err = export_container(ex, obj, &state.container);
    if (err == SYN_OK) err = array_reserve(&ex->doc->mem, &ex->out->states, 1);
    if (err != SYN_OK) return err;
    switch (c->id.kind) {
    case SYN_TEXT:
        err = text_state(ex, c, &state);
        break;
    case SYN_MAP:
        err = map_state(ex, c, &state);
        break;
    case SYN_LIST:
        err = list_state(ex, c, &state);
        break;
    case SYN_COUNTER:
        state.counter = c->as.counter;
        break;
    default:
        break;
    }
    if (err == SYN_OK) *array_push(&ex->out->states) = state;
    return err;
}

/* The arrays have stopped moving: states point into them. */
static void point_states(struct export_buffers *out)
{
    size_t text = 0;
    uint32_t entry = 0;
    for (uint32_t i = 0; i < out->states.n; i++) {
        struct snapshot_state *state = &out->states.at[i];
        state->text.data = state->text.len > 0 ? out->text.at + text : "";
        state->entries = state->entry_count > 0 ? out->entries.at + entry : NULL;
        text += state->text.len;
        entry += state->entry_count;
    }
}

syn_err syn_doc_snapshot(syn_doc *doc, syn_snapshot *snapshot)
{
    struct exporter ex;
    uint32_t heads;
    graph_frontier(doc->graph, &heads);
    syn_err err = export_begin(doc, &ex);
    if (err != SYN_OK) return doc_refuse(doc, err, "no memory for a snapshot");
    struct export_buffers *out = ex.out;
    out->states.n = out->entries.n = out->parents.n = 0;
    if (SNAPSHOTS) err = order_containers(doc); /* a digest is a sum, in any order */
    if (err == SYN_OK) err = array_reserve(&doc->mem, &out->parents, heads);
    for (uint32_t i = 0; err == SYN_OK && i < doc->all.list.n; i++) {
        syn_obj obj = SNAPSHOTS ? out->order.at[i] : i;
        if (container_at(&doc->all, obj)->touched) err = add_state(&ex, obj);
    }
    if (err != SYN_OK) return doc_refuse(doc, err, "no memory for a snapshot");
    point_states(out);
    syn_doc_heads(doc, out->parents.at, heads);
    *snapshot = (syn_snapshot){.heads = out->parents.at,
                               .head_count = heads,
                               .lamport = syn_doc_lamport(doc),
                               .events = syn_doc_events(doc),
                               .peers = out->peers.at,
                               .containers = out->containers.at,
                               .states = out->states.at,
                               .peer_count = out->peers.n,
                               .container_count = out->containers.n,
                               .state_count = out->states.n};
    return SYN_OK;
}

/* ---- Standing on one ------------------------------------------------------------------------- */

struct loader {
    syn_doc *doc;
    const syn_snapshot *snapshot;
};

static syn_err bad(syn_doc *doc, const char *why)
{
    return doc_refuse(doc, SYN_EMALFORMED, "snapshot: %s", why);
}

static syn_err agent_at(const struct loader *loader, uint32_t peer, uint32_t *agent)
{
    if (peer >= loader->snapshot->peer_count || loader->snapshot->peers[peer] == 0)
        return bad(loader->doc, "no such peer");
    return graph_agent_add(loader->doc->graph, loader->snapshot->peers[peer], agent);
}

static syn_err load_child(syn_doc *doc, uint32_t agent, uint32_t seq, uint32_t kind, syn_obj *obj)
{
    syn_err err = doc_add_child(doc, agent, seq, kind, obj);
    if (err == SYN_OK) container_at(&doc->all, *obj)->loaded = true;
    return err;
}

static syn_err load_container(const struct loader *loader, uint32_t index)
{
    syn_doc *doc = loader->doc;
    const struct change_container *entry = &loader->snapshot->containers[index];
    syn_obj *obj = &doc->desk->resolved.at[index];
    uint32_t number;
    if (entry->kind > SYN_TREE && entry->kind < 16) return bad(doc, "reserved container kind");
    syn_err err;
    switch (entry->form) {
    case CONTAINER_ROOT:
        err = check_root_name(doc, entry->name);
        if (err == SYN_OK) err = names_add(&doc->names, &doc->mem, entry->name, &number);
        if (err != SYN_OK) return err;
        return containers_add(&doc->all, &doc->mem,
                              (struct container_id){CONTAINER_ROOT, entry->kind, number, 0}, obj);
    case CONTAINER_BY_EVENT:
        err = agent_at(loader, entry->peer, &number);
        return err == SYN_OK ? load_child(doc, number, entry->seq, entry->kind, obj) : err;
    default:
        if (entry->parent >= index) return bad(doc, "a container comes before its parent");
        if (container_at(&doc->all, doc->desk->resolved.at[entry->parent])->id.kind != SYN_MAP)
            return bad(doc, "the parent of a mergeable container is no map");
        err = check_key(doc, entry->key);
        if (err == SYN_OK) err = names_add(&doc->names, &doc->mem, entry->key, &number);
        if (err != SYN_OK) return err;
        return doc_add_mergeable(doc, doc->desk->resolved.at[entry->parent], number, entry->kind,
                                 obj);
    }
}

static syn_err load_containers(const struct loader *loader)
{
    syn_doc *doc = loader->doc;
    syn_err err = desk_open(doc);
    if (err != SYN_OK) return err;
    doc->desk->resolved.n = 0;
    err = array_reserve(&doc->mem, &doc->desk->resolved, loader->snapshot->container_count);
    for (uint32_t i = 0; err == SYN_OK && i < loader->snapshot->container_count; i++) {
        *array_push(&doc->desk->resolved) = SYN_NO_OBJ;
        err = load_container(loader, i);
    }
    return err;
}

/* A value as it stands in the state; `by` wrote it. */
static syn_err load_value(const struct loader *loader, const struct change_value *value,
                          syn_obj map, uint32_t key, struct writer by, struct op_arg *arg)
{
    syn_doc *doc = loader->doc;
    *arg = (struct op_arg){.key = key};
    syn_err err = value_check(doc, value, map != SYN_NO_OBJ);
    if (err == SYN_OK) err = value_keep(doc, value, map, by.agent, by.seq, arg);
    if (err == SYN_OK && value->kind == SYN_VALUE_CHILD)
        container_at(&doc->all, arg->as.child.obj)->loaded = true;
    return err;
}

static syn_err load_text(const struct loader *loader, const struct snapshot_state *state,
                         struct container *c)
{
    size_t len;
    if (!utf8_valid(state->text.data, state->text.len, &len))
        return doc_refuse(loader->doc, SYN_EUTF8, "snapshot: a text is not valid UTF-8");
    if (len > SEQ_MAX) return bad(loader->doc, "a text is too long");
    if (c->as.text == NULL) c->as.text = rope_new(loader->doc->shared);
    if (c->as.text == NULL) return SYN_ENOMEM;
    syn_err err = rope_reserve(c->as.text, 1, state->text.len);
    if (err != SYN_OK || len == 0) return err;
    rope_insert(c->as.text, 0, state->text.data, state->text.len, len);
    c->len = (uint32_t)len;
    return SYN_OK;
}

static syn_err load_writer(const struct loader *loader, uint32_t peer, uint32_t seq,
                           uint32_t lamport, struct writer *by)
{
    by->seq = seq;
    by->lamport = lamport;
    if (lamport == 0 || lamport > loader->snapshot->lamport || seq > SEQ_MAX)
        return bad(loader->doc, "an entry that its version cannot have");
    return agent_at(loader, peer, &by->agent);
}

/* Reserving with `fast` false keeps all writes of a key; they come winner first and are put in by
 * order of (lamport, peer, seq) anyway. */
static syn_err load_map(const struct loader *loader, const struct snapshot_state *state,
                        syn_obj obj)
{
    syn_doc *doc = loader->doc;
    for (uint32_t i = 0; i < state->entry_count; i++) {
        const struct snapshot_entry *entry = &state->entries[i];
        struct map_write write = {.lv = LV_NONE, .gone = entry->gone};
        struct writer by;
        uint32_t key;
        if (i > 0 && str_compare(state->entries[i - 1].key, entry->key) > 0)
            return bad(doc, "keys out of order");
        syn_err err = check_key(doc, entry->key);
        if (err == SYN_OK) err = names_add(&doc->names, &doc->mem, entry->key, &key);
        if (err == SYN_OK) err = load_writer(loader, entry->peer, entry->seq, entry->lamport, &by);
        if (err == SYN_OK) err = load_value(loader, &entry->value, obj, key, by, &write.value);
        struct map *map = &container_at(&doc->all, obj)->as.map;
        if (err == SYN_OK) err = map_reserve(map, &doc->mem, key, false);
        if (err != SYN_OK) return err;
        write.agent = by.agent;
        write.seq = by.seq;
        write.lamport = by.lamport;
        if (!map_add_loser(map, doc->graph, key, &write))
            return bad(doc, "writes of a key out of order");
    }
    return SYN_OK;
}

static syn_err load_list(const struct loader *loader, const struct snapshot_state *state,
                         syn_obj obj)
{
    syn_doc *doc = loader->doc;
    struct container *c = container_at(&doc->all, obj);
    if (state->entry_count > SEQ_MAX) return bad(doc, "a list is too long");
    syn_err err = list_reserve(&c->as.list, &doc->mem, state->entry_count);
    for (uint32_t i = 0; err == SYN_OK && i < state->entry_count; i++) {
        const struct snapshot_entry *entry = &state->entries[i];
        struct list_slot slot;
        if (entry->gone) return bad(doc, "lists with left slots are not supported yet");
        err = load_writer(loader, entry->peer, entry->seq, entry->lamport, &slot.made);
        slot.set = slot.made;
        if (err == SYN_OK && entry->set)
            err =
                load_writer(loader, entry->set_peer, entry->set_seq, entry->set_lamport, &slot.set);
        if (err == SYN_OK)
            err = load_value(loader, &entry->value, SYN_NO_OBJ, NAME_NONE, slot.set, &slot.value);
        if (err != SYN_OK) break;
        c = container_at(&doc->all, obj);
        list_open(&c->as.list, i, 1);
        *list_slot_at(&c->as.list, i) = slot;
    }
    if (err == SYN_OK) container_at(&doc->all, obj)->len = state->entry_count;
    return err;
}

static syn_err load_state(const struct loader *loader, const struct snapshot_state *state)
{
    syn_doc *doc = loader->doc;
    if (state->container >= loader->snapshot->container_count)
        return bad(doc, "a state without container");
    syn_obj obj = doc->desk->resolved.at[state->container];
    struct container *c = container_at(&doc->all, obj);
    if (c->touched) return bad(doc, "two states of one container");
    c->touched = true;
    switch (c->id.kind) {
    case SYN_TEXT:
        return load_text(loader, state, c);
    case SYN_MAP:
        return load_map(loader, state, obj);
    case SYN_LIST:
        return load_list(loader, state, obj);
    case SYN_COUNTER:
        c->as.counter = state->counter;
        return SYN_OK;
    default:
        return SYN_OK;
    }
}

/* The stand-in for the snapshot's head: one event that does nothing. */
static syn_err load_base(const struct loader *loader)
{
    syn_doc *doc = loader->doc;
    const syn_snapshot *snapshot = loader->snapshot;
    uint32_t agent;
    if (snapshot->head_count != 1 || snapshot->heads[0].peer == 0 ||
        snapshot->heads[0].seq > SEQ_MAX)
        return bad(doc, "it must have exactly one head");
    if (snapshot->events == 0 || snapshot->lamport == 0 || snapshot->events > LV_MAX)
        return bad(doc, "it stands for no events");
    syn_err err = graph_agent_add(doc->graph, snapshot->heads[0].peer, &agent);
    if (err == SYN_OK) err = oplog_reserve(&doc->log, &doc->mem, 1, 0, 0);
    if (err == SYN_OK)
        err = graph_set_base(doc->graph, agent, snapshot->heads[0].seq, snapshot->lamport);
    if (err != SYN_OK) return err;
    oplog_append(&doc->log, &(struct op_run){.container = SYN_NO_OBJ, .kind = OP_NOTHING}, 1,
                 false);
    doc->base_events = snapshot->events;
    return SYN_OK;
}

syn_err load_into(syn_doc *doc, const syn_snapshot *snapshot)
{
    const struct loader loader = {doc, snapshot};
    syn_err err = load_base(&loader);
    if (err == SYN_OK) err = load_containers(&loader);
    for (uint32_t i = 0; err == SYN_OK && i < snapshot->state_count; i++)
        err = load_state(&loader, &snapshot->states[i]);
    return err;
}
