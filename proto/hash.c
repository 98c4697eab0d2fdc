/* hash.c -- the digest of a state; and the tables that what is hashed brings along.
 *
 * Hashed is our own canonical encoding: a container's state as one ContainerState (here), an event
 * as a Changes of its own (chain.c).  So every implementation has the code for it already.
 * PROTOCOL.md, "Digest", defines the bytes and gives vectors. */
#include "wire.h"

#define XXH_INLINE_ALL
#include <xxhash.h>

/* ---- Tables ---------------------------------------------------------------------------------- */

syn_err tables_begin(struct tables *t, proto_arena *arena, const uint64_t *peers,
                     uint32_t peer_count, const struct change_container *containers,
                     uint32_t container_count)
{
    *t = (struct tables){.all_peers = peers, .all_containers = containers};
    t->peers = arena_array(arena, peer_count, sizeof *t->peers);
    t->used = arena_array(arena, peer_count, sizeof *t->used);
    t->containers = arena_array(arena, container_count, sizeof *t->containers);
    return t->peers == NULL || t->used == NULL || t->containers == NULL ? SYN_ENOMEM : SYN_OK;
}

uint32_t tables_peer(struct tables *t, uint32_t peer)
{
    for (uint32_t i = 0; i < t->peer_count; i++)
        if (t->used[i] == peer) return i;
    t->used[t->peer_count] = peer;
    t->peers[t->peer_count] = t->all_peers[peer];
    return t->peer_count++;
}

void tables_chain(struct tables *t, uint32_t container)
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

/* ---- Digest ---------------------------------------------------------------------------------- */

enum { KEPT_EVERY = 16 }; /* levels */

/* The hash of an id so far. */
struct hashed {
    uint32_t depth; /* levels above this one */
    XXH64_state_t state;
};

struct digesting {
    const syn_snapshot *s;
    proto_arena *arena;
    struct tables t;
    uint32_t *map;        /* per peer of the snapshot: 1 + index in t.peers */
    struct hashed **kept; /* per container; NULL: not kept */
    uint32_t *path;       /* from a container upwards; room for all */
    syn_buf bytes;
};

/* One level of an id: an entry without its peer's index but, by event, with the peer behind. */
static syn_err hash_level(struct digesting *g, uint32_t container, uint32_t depth,
                          XXH64_state_t *state)
{
    enum { CONTAINERS = 8 };
    struct change_container entry = g->s->containers[container];
    if (depth > 0) entry.parent = depth - 1;
    g->bytes.len = 0;
    struct writer w = writer_begin(&g->bytes);
    put_container_id(&w, CONTAINERS, &entry);
    if (entry.form == CONTAINER_BY_EVENT) put_fixed(&w, g->s->peers[entry.peer]);
    syn_err err = writer_end(&w);
    if (err == SYN_OK) XXH64_update(state, g->bytes.data, g->bytes.len);
    return err;
}

static syn_err keep(struct digesting *g, uint32_t container, uint32_t depth,
                    const XXH64_state_t *state)
{
    struct hashed *kept = arena_array(g->arena, 1, sizeof *kept);
    if (kept == NULL) return SYN_ENOMEM;
    *kept = (struct hashed){.depth = depth, .state = *state};
    g->kept[container] = kept;
    return SYN_OK;
}

/* XXH64 of the container's id: all that it is merged under, root first, and itself.  From the
 * nearest level that was kept: each anew from its root would be quadratic in a deep document. */
static syn_err hash_id(struct digesting *g, uint32_t container, uint64_t *seed)
{
    uint32_t n = 0, at = container, depth = 0;
    XXH64_state_t state;
    XXH64_reset(&state, 0);
    while (g->kept[at] == NULL) {
        g->path[n++] = at;
        if (g->s->containers[at].form != CONTAINER_MERGEABLE) break;
        at = g->s->containers[at].parent;
    }
    if (g->kept[at] != NULL) {
        state = g->kept[at]->state;
        depth = g->kept[at]->depth + 1;
    }
    for (; n-- > 0; depth++) {
        syn_err err = hash_level(g, g->path[n], depth, &state);
        if (err == SYN_OK && depth % KEPT_EVERY == KEPT_EVERY - 1)
            err = keep(g, g->path[n], depth, &state);
        if (err != SYN_OK) return err;
    }
    *seed = XXH64_digest(&state);
    return SYN_OK;
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
    uint32_t containers = snapshot->container_count;
    err = tables_begin(&g.t, g.arena, snapshot->peers, snapshot->peer_count, NULL, 0);
    g.map = arena_array(g.arena, snapshot->peer_count, sizeof *g.map);
    g.kept = arena_array(g.arena, containers, sizeof(struct hashed *));
    g.path = arena_array(g.arena, containers, sizeof *g.path);
    if (g.map == NULL || g.kept == NULL || g.path == NULL) err = SYN_ENOMEM;
    uint64_t sum = 0;
    if (err == SYN_OK) {
        memset(g.map, 0, snapshot->peer_count * sizeof *g.map);
        for (uint32_t i = 0; i < containers; i++) g.kept[i] = NULL;
        err = sum_states(&g, &sum, per_state);
    }
    syn_buf_free(&g.bytes);
    proto_arena_free(g.arena);
    if (err == SYN_OK) *hash = sum;
    return err;
}
