/* hash.c -- the hash chain of a peer's events, and the digest of a state.
 *
 * Both hash our own canonical encoding: an event as a Changes of its own, a container's state as
 * one ContainerState.  So every implementation has the code for it already, and how events came
 * grouped makes no difference.  PROTOCOL.md, "Hash chain" and "Digest", defines the bytes and gives
 * vectors. */
#include "wire.h"
#include "utf8.h"

#define XXH_INLINE_ALL
#include <xxhash.h>

/* Tables of one event or one state, in order of first use. */
struct tables {
    const uint64_t *all_peers;
    const struct change_container *all_containers;
    uint64_t *peers;
    uint32_t *used; /* per entry of peers: its index in all_peers */
    struct change_container *containers;
    uint32_t peer_count, container_count;
};

static syn_err tables_begin(struct tables *t, proto_arena *arena, const uint64_t *peers,
                            uint32_t peer_count, const struct change_container *containers,
                            uint32_t container_count)
{
    *t = (struct tables){.all_peers = peers, .all_containers = containers};
    t->peers = arena_array(arena, peer_count, sizeof *t->peers);
    t->used = arena_array(arena, peer_count, sizeof *t->used);
    t->containers = arena_array(arena, container_count, sizeof *t->containers);
    return t->peers == NULL || t->used == NULL || t->containers == NULL ? SYN_ENOMEM : SYN_OK;
}

static uint32_t use_peer(struct tables *t, uint32_t peer)
{
    for (uint32_t i = 0; i < t->peer_count; i++)
        if (t->used[i] == peer) return i;
    t->used[t->peer_count] = peer;
    t->peers[t->peer_count] = t->all_peers[peer];
    return t->peer_count++;
}

/* The container and what it is merged under, root first: entry i's parent is entry i - 1. */
static void use_chain(struct tables *t, uint32_t container)
{
    uint32_t depth = 1;
    for (uint32_t c = container; t->all_containers[c].form == CONTAINER_MERGEABLE; depth++)
        c = t->all_containers[c].parent;
    t->container_count = depth;
    for (uint32_t c = container, i = depth; i-- > 0; c = t->all_containers[c].parent) {
        t->containers[i] = t->all_containers[c];
        if (i > 0) t->containers[i].parent = i - 1;
    }
}

/* ---- Hash chain ------------------------------------------------------------------------------ */

struct chaining {
    const syn_changes *set;
    struct tables t;
    syn_buf bytes;
    struct change_dep *deps;
    uint64_t peer;
    uint32_t *next;
    uint64_t *chain;
    /* where the walk stands */
    uint32_t run, run_offset, dep, key, value, node, ext;
    size_t text;
};

/* Everything of one step as a set of its own, before its tables. */
static syn_changes one_step(const struct chaining *c, const struct change_op *op, size_t text_len)
{
    const syn_changes *set = c->set;
    syn_changes one = {.op_count = 1, .run_count = 1};
    if (op->kind == OP_TEXT_INSERT)
        one.text = (syn_str){.data = set->text.data + c->text, .len = text_len};
    if (op_takes_keys(op->kind)) one.key_count = 1;
    if (op_takes_values(op->kind)) one.value_count = 1;
    one.node_count = op_nodes(op->kind);
    one.ext_count = op->kind >= OP_FIRST_UNKNOWN;
    if (one.key_count > 0) one.keys = set->keys + c->key;
    if (one.value_count > 0) one.values = set->values + c->value;
    if (one.ext_count > 0) one.ext = set->ext + c->ext;
    return one;
}

static struct change_run step_run(struct chaining *c, uint32_t events, syn_changes *one)
{
    const struct change_run *run = &c->set->runs[c->run];
    struct change_run out = {
        .peer = use_peer(&c->t, run->peer), .seq = run->seq + c->run_offset, .len = events};
    if (c->run_offset > 0 || !run->explicit_parents) return out;
    out.explicit_parents = true;
    out.dep_count = run->dep_count;
    for (uint32_t i = 0; i < run->dep_count; i++) {
        const struct change_dep *dep = &c->set->deps[c->dep + i];
        c->deps[i] = (struct change_dep){.peer = use_peer(&c->t, dep->peer), .seq = dep->seq};
    }
    one->deps = c->deps;
    one->dep_count = run->dep_count;
    return out;
}

static void step_containers(struct chaining *c, const struct change_op *op, syn_changes *one)
{
    if (op->kind == OP_NOTHING) { /* it is nowhere */
        one->containers = &root_container;
        one->container_count = 1;
        return;
    }
    use_chain(&c->t, op->container);
    if (c->t.containers[0].form == CONTAINER_BY_EVENT)
        c->t.containers[0].peer = use_peer(&c->t, c->t.containers[0].peer);
    one->containers = c->t.containers;
    one->container_count = c->t.container_count;
}

static struct change_op step_op(const struct change_op *op, uint32_t index, const syn_changes *one)
{
    struct change_op out = *op;
    out.container = one->container_count - 1;
    if (op->kind == OP_MARK || op->kind >= OP_FIRST_UNKNOWN) return out;
    out.len = 1;
    if (op->kind == OP_DELETE_BACK) {
        out.kind = OP_DELETE;
        out.pos -= index;
    } else if (op->kind != OP_DELETE && op_has_position(op->kind)) {
        out.pos += index;
    }
    return out;
}

/* chain(n + 1) = XXH64(the Changes of this step alone, seed chain(n)). */
static syn_err hash_step(struct chaining *c, const struct change_op *op, uint32_t index,
                         uint32_t events, size_t text_len)
{
    syn_changes one = one_step(c, op, text_len);
    c->t.peer_count = 0;
    struct change_run run = step_run(c, events, &one);
    step_containers(c, op, &one);
    struct change_node nodes[2];
    for (uint32_t i = 0; i < one.node_count; i++) {
        nodes[i] = c->set->nodes[c->node + i];
        if (nodes[i].peer_plus1 > 0)
            nodes[i].peer_plus1 = use_peer(&c->t, nodes[i].peer_plus1 - 1) + 1;
    }
    struct change_op alone = step_op(op, index, &one);
    one.peers = c->t.peers;
    one.peer_count = c->t.peer_count;
    one.runs = &run;
    one.ops = &alone;
    one.nodes = nodes;
    c->bytes.len = 0;
    syn_err err = proto_encode_changes(&c->bytes, &one, NULL);
    if (err != SYN_OK) return err;
    *c->chain = XXH64(c->bytes.data, c->bytes.len, *c->chain);
    *c->next += events;
    return SYN_OK;
}

static size_t scalar_bytes(const syn_changes *set, size_t at)
{
    size_t len = 1;
    while (at + len < set->text.len && ((unsigned char)set->text.data[at + len] & 0xc0) == 0x80)
        len++;
    return len;
}

static void advance(struct chaining *c, const struct change_op *op, uint32_t events,
                    size_t text_len)
{
    c->text += text_len;
    if (op_takes_keys(op->kind)) c->key++;
    if (op_takes_values(op->kind)) c->value++;
    if (op->kind >= OP_FIRST_UNKNOWN) c->ext++;
    c->node += op_nodes(op->kind);
    c->run_offset += events;
    if (c->run_offset < c->set->runs[c->run].len) return;
    if (c->set->runs[c->run].explicit_parents) c->dep += c->set->runs[c->run].dep_count;
    c->run_offset = 0;
    c->run++;
}

static syn_err chain_op(struct chaining *c, const struct change_op *op, bool *gap)
{
    bool whole = op->kind == OP_MARK || op->kind >= OP_FIRST_UNKNOWN;
    uint32_t steps = whole ? 1 : op->len, events = whole ? (uint32_t)op_events(op) : 1;
    for (uint32_t i = 0; i < steps; i++) {
        const struct change_run *run = &c->set->runs[c->run];
        uint32_t seq = run->seq + c->run_offset;
        size_t text_len = op->kind == OP_TEXT_INSERT ? scalar_bytes(c->set, c->text) : 0;
        if (c->set->peers[run->peer] == c->peer && seq >= *c->next) {
            *gap = seq > *c->next;
            if (*gap) return SYN_OK;
            syn_err err = hash_step(c, op, i, events, text_len);
            if (err != SYN_OK) return err;
        }
        advance(c, op, events, text_len);
    }
    return SYN_OK;
}

static uint32_t most_deps(const syn_changes *set)
{
    uint32_t most = 0;
    for (uint32_t i = 0; i < set->run_count; i++)
        if (set->runs[i].dep_count > most) most = set->runs[i].dep_count;
    return most;
}

syn_err proto_chain(const syn_changes *set, uint64_t peer, uint32_t *next, uint64_t *chain)
{
    proto_arena *arena;
    syn_err err = proto_arena_new(&arena, NULL);
    if (err != SYN_OK) return err;
    uint32_t new_next = *next;
    uint64_t new_chain = *chain;
    struct chaining c = {.set = set, .peer = peer, .next = &new_next, .chain = &new_chain};
    err = tables_begin(&c.t, arena, set->peers, set->peer_count, set->containers,
                       set->container_count);
    c.deps = arena_array(arena, most_deps(set), sizeof *c.deps);
    if (c.deps == NULL) err = SYN_ENOMEM;
    bool gap = false;
    for (uint32_t i = 0; i < set->op_count && err == SYN_OK && !gap; i++)
        err = chain_op(&c, &set->ops[i], &gap);
    syn_buf_free(&c.bytes);
    proto_arena_free(arena);
    if (err != SYN_OK) return err;
    *next = new_next;
    *chain = new_chain;
    return SYN_OK;
}

/* ---- Digest ---------------------------------------------------------------------------------- */

struct digesting {
    const syn_snapshot *s;
    proto_arena *arena;
    struct tables t;
    uint32_t *map; /* per peer of the snapshot: 1 + index in t.peers */
    syn_buf bytes;
};

/* XXH64 of the container's chain, root first, each entry without its peer's index but, by event,
 * with the peer behind. */
static syn_err hash_id(struct digesting *g, uint32_t container, uint64_t *seed)
{
    enum { CONTAINERS = 8 };
    use_chain(&g->t, container);
    g->bytes.len = 0;
    struct writer w = writer_begin(&g->bytes);
    for (uint32_t i = 0; i < g->t.container_count; i++) {
        const struct change_container *c = &g->t.containers[i];
        put_container_id(&w, CONTAINERS, c);
        if (c->form == CONTAINER_BY_EVENT) put_fixed(&w, g->s->peers[c->peer]);
    }
    syn_err err = writer_end(&w);
    if (err == SYN_OK) *seed = XXH64(g->bytes.data, g->bytes.len, 0);
    return err;
}

static uint32_t map_peer(struct digesting *g, uint32_t peer)
{
    if (g->map[peer] == 0) {
        g->t.used[g->t.peer_count] = peer;
        g->t.peers[g->t.peer_count] = g->s->peers[peer];
        g->map[peer] = ++g->t.peer_count;
    }
    return g->map[peer] - 1;
}

static void clear_peers(struct digesting *g)
{
    for (uint32_t i = 0; i < g->t.peer_count; i++) g->map[g->t.used[i]] = 0;
    g->t.peer_count = 0;
}

static syn_err hash_state(struct digesting *g, const struct snapshot_state *state, uint64_t *hash)
{
    uint64_t seed;
    syn_err err = hash_id(g, state->container, &seed);
    if (err != SYN_OK) return err;
    struct snapshot_state own = *state;
    struct snapshot_entry *entries = arena_array(g->arena, own.entry_count, sizeof *entries);
    if (entries == NULL) return SYN_ENOMEM;
    for (uint32_t i = 0; i < own.entry_count; i++) {
        entries[i] = state->entries[i];
        entries[i].peer = map_peer(g, entries[i].peer);
    }
    for (uint32_t i = 0; i < own.entry_count; i++)
        if (entries[i].set) entries[i].set_peer = map_peer(g, entries[i].set_peer);
    own.entries = entries;
    g->bytes.len = 0;
    struct writer w = writer_begin(&g->bytes);
    put_state(&w, &own, 0, false, true);
    for (uint32_t i = 0; i < g->t.peer_count; i++) put_fixed(&w, g->t.peers[i]);
    clear_peers(g);
    err = writer_end(&w);
    if (err == SYN_OK) *hash = XXH64(g->bytes.data, g->bytes.len, seed);
    return err;
}

static syn_err sum_states(struct digesting *g, uint64_t *sum, uint64_t *per_state)
{
    for (uint32_t i = 0; i < g->s->state_count; i++) {
        const struct snapshot_state *state = &g->s->states[i];
        uint64_t hash = 0;
        if (g->s->containers[state->container].kind < DIGEST_KINDS) {
            syn_err err = hash_state(g, state, &hash);
            if (err != SYN_OK) return err;
        }
        *sum += hash;
        if (per_state != NULL) per_state[i] = hash;
    }
    return SYN_OK;
}

syn_err proto_digest(const syn_snapshot *snapshot, uint64_t *hash, uint64_t *per_state)
{
    struct digesting g = {.s = snapshot};
    syn_err err = proto_arena_new(&g.arena, NULL);
    if (err != SYN_OK) return err;
    err = tables_begin(&g.t, g.arena, snapshot->peers, snapshot->peer_count, snapshot->containers,
                       snapshot->container_count);
    g.map = arena_array(g.arena, snapshot->peer_count, sizeof *g.map);
    if (g.map == NULL) err = SYN_ENOMEM;
    uint64_t sum = 0;
    if (err == SYN_OK) {
        memset(g.map, 0, snapshot->peer_count * sizeof *g.map);
        err = sum_states(&g, &sum, per_state);
    }
    syn_buf_free(&g.bytes);
    proto_arena_free(g.arena);
    if (err == SYN_OK) *hash = sum;
    return err;
}
