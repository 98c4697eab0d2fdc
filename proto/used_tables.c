/* used_tables.c -- of the channel's tables, only what one Changes uses.
 *
 * With Names a channel's tables hold thousands of peers and containers, of which a keystroke uses
 * one.  Whoever takes the set goes through its tables (who may write, which containers are there),
 * so a set without tables of its own gets small ones: the entries that are used, in the order of
 * the channel's, with the indexes that go with it. */
#include "wire.h"

struct shrinking {
    struct decoding *d;
    syn_changes *set;
    const struct proto_tables *channel;
    bool own_peers, own_containers; /* the message's, not the channel's */
    /* per entry of the channel's peers, and of the set's containers: 0: not used; used: 1, then
     * 1 + its new index */
    uint32_t *peer_at, *container_at;
};

/* ---- What is used ---------------------------------------------------------------------------- */

static void mark_runs(struct shrinking *s)
{
    const syn_changes *set = s->set;
    for (uint32_t i = 0; i < set->run_count; i++) s->peer_at[set->runs[i].peer] = 1;
    for (uint32_t i = 0; i < set->dep_count; i++) s->peer_at[set->deps[i].peer] = 1;
    for (uint32_t i = 0; i < set->node_count; i++)
        if (set->nodes[i].peer_plus1 != 0) s->peer_at[set->nodes[i].peer_plus1 - 1] = 1;
}

/* The containers of the operations, and what they are merged under. */
static void mark_containers(struct shrinking *s)
{
    const struct change_container *all = s->set->containers;
    for (uint32_t i = 0; i < s->set->op_count; i++)
        for (uint32_t c = s->set->ops[i].container; s->container_at[c] == 0; c = all[c].parent) {
            s->container_at[c] = 1;
            if (all[c].form != CONTAINER_MERGEABLE) break;
        }
}

/* Of containers by event, unless both tables are the message's own. */
static void mark_makers(struct shrinking *s)
{
    const struct change_container *all = s->set->containers;
    for (uint32_t c = 0; c < s->set->container_count; c++)
        if (all[c].form == CONTAINER_BY_EVENT && (s->own_containers || s->container_at[c] != 0))
            s->peer_at[all[c].peer] = 1;
}

/* ---- Small tables ---------------------------------------------------------------------------- */

/* The message's own peers if it has any, then those of the channel that are used. */
static syn_err number_peers(struct shrinking *s)
{
    uint32_t own = s->own_peers ? s->set->peer_count : 0, all = s->channel->peer_count, n = own;
    uint32_t used = 0;
    for (uint32_t i = 0; i < all; i++) used += s->peer_at[i];
    uint64_t *peers = arena_array(s->d->arena, (uint64_t)own + used, sizeof *peers);
    if (peers == NULL) return refuse_memory(s->d->arena, s->d->fault);
    if (own > 0) memcpy(peers, s->set->peers, own * sizeof *peers);
    for (uint32_t i = 0; i < all && used > 0; i++) {
        if (s->peer_at[i] == 0) continue;
        uint32_t at = own > 0 ? 0 : n; /* one of its own may be the same */
        while (at < n && peers[at] != s->channel->peers[i]) at++;
        if (at == n) peers[n++] = s->channel->peers[i];
        s->peer_at[i] = at + 1;
        used--;
    }
    s->set->peers = peers;
    s->set->peer_count = n;
    return SYN_OK;
}

/* Parents stand before their children, so they are numbered already. */
static syn_err number_containers(struct shrinking *s)
{
    uint32_t all = s->set->container_count, used = 0, n = 0;
    for (uint32_t c = 0; c < all; c++) used += s->container_at[c];
    struct change_container *out = arena_array(s->d->arena, used, sizeof *out);
    if (out == NULL) return refuse_memory(s->d->arena, s->d->fault);
    for (uint32_t c = 0; c < all; c++) {
        if (s->container_at[c] == 0) continue;
        out[n] = s->set->containers[c];
        if (out[n].form == CONTAINER_MERGEABLE) out[n].parent = s->container_at[out[n].parent] - 1;
        s->container_at[c] = ++n;
    }
    s->set->containers = out;
    s->set->container_count = n;
    return SYN_OK;
}

/* ---- New indexes ----------------------------------------------------------------------------- */

/* The arrays are the decoder's own, of this message. */
static void renumber_runs(struct shrinking *s)
{
    struct change_run *runs = (struct change_run *)(uintptr_t)s->set->runs;
    struct change_dep *deps = (struct change_dep *)(uintptr_t)s->set->deps;
    struct change_node *nodes = (struct change_node *)(uintptr_t)s->set->nodes;
    for (uint32_t i = 0; i < s->set->run_count; i++) runs[i].peer = s->peer_at[runs[i].peer] - 1;
    for (uint32_t i = 0; i < s->set->dep_count; i++) deps[i].peer = s->peer_at[deps[i].peer] - 1;
    for (uint32_t i = 0; i < s->set->node_count; i++)
        if (nodes[i].peer_plus1 != 0) nodes[i].peer_plus1 = s->peer_at[nodes[i].peer_plus1 - 1];
}

static void renumber_ops(struct shrinking *s)
{
    struct change_op *ops = (struct change_op *)(uintptr_t)s->set->ops;
    for (uint32_t i = 0; i < s->set->op_count; i++)
        ops[i].container = s->container_at[ops[i].container] - 1;
}

static void renumber_makers(struct shrinking *s)
{
    struct change_container *all = (struct change_container *)(uintptr_t)s->set->containers;
    for (uint32_t c = 0; c < s->set->container_count; c++)
        if (all[c].form == CONTAINER_BY_EVENT) all[c].peer = s->peer_at[all[c].peer] - 1;
}

static syn_err begin(struct shrinking *s)
{
    uint32_t peers = s->channel->peer_count, containers = s->set->container_count;
    s->peer_at = arena_array(s->d->arena, peers, sizeof *s->peer_at);
    s->container_at = arena_array(s->d->arena, containers, sizeof *s->container_at);
    if (s->peer_at == NULL || s->container_at == NULL)
        return refuse_memory(s->d->arena, s->d->fault);
    memset(s->peer_at, 0, peers * sizeof *s->peer_at);
    memset(s->container_at, 0, containers * sizeof *s->container_at);
    return SYN_OK;
}

syn_err only_used_tables(struct decoding *d, const struct proto_tables *channel, bool own_peers,
                         bool own_containers, syn_changes *set)
{
    struct shrinking s = {.d = d,
                          .set = set,
                          .channel = channel,
                          .own_peers = own_peers,
                          .own_containers = own_containers};
    syn_err err = begin(&s);
    if (err != SYN_OK) return err;
    if (!own_peers) mark_runs(&s);
    if (!own_containers) mark_containers(&s);
    mark_makers(&s);
    err = number_peers(&s);
    if (err == SYN_OK && !own_containers) err = number_containers(&s);
    if (err != SYN_OK) return err;
    if (!own_peers) renumber_runs(&s);
    if (!own_containers) renumber_ops(&s);
    renumber_makers(&s);
    return SYN_OK;
}
