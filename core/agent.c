/* agent.c -- see agent.h for the layout.
 *
 * Peers choose their own 64 bits, so the hash is salted with the address of the table: whoever
 * sends chosen peers cannot aim at one slot.  The engine has no randomness of its own, and the
 * salt never shows in a result, only in the order of the slots. */
#include "graph_impl.h"

static uint64_t peer_hash(const struct agents *s, uint64_t peer)
{
    uint64_t h = (peer ^ s->salt) * 0x9e3779b97f4a7c15u;
    h = (h ^ (h >> 32)) * (s->salt | 1);
    h = (h ^ (h >> 29)) * 0xd6e8feb86659fd93u;
    return h ^ (h >> 32);
}

void agents_init(struct agents *s)
{
    memset(s, 0, sizeof *s);
    s->salt = (uint64_t)(uintptr_t)s * 0xbf58476d1ce4e5b9u;
}

void agents_free(struct agents *s, const syn_mem *mem)
{
    for (uint32_t i = 0; i < s->list.n; i++) array_free(mem, &s->list.at[i].runs);
    array_free(mem, &s->list);
    mem_free(mem, s->table, (size_t)s->table_size * sizeof *s->table);
    s->table = NULL;
    s->table_size = 0;
}

void agents_trim(struct agents *s, const syn_mem *mem)
{
    for (uint32_t i = 0; i < s->list.n; i++) array_fit(mem, &s->list.at[i].runs);
    array_fit(mem, &s->list);
}

size_t agents_footprint(const struct agents *s)
{
    size_t bytes = (size_t)s->list.cap * sizeof *s->list.at + s->table_size * sizeof *s->table;
    for (uint32_t i = 0; i < s->list.n; i++)
        bytes += s->list.at[i].runs.cap * sizeof *s->list.at[i].runs.at;
    return bytes;
}

/* The slot that holds the peer, or the free one where it belongs. */
static uint32_t slot_of(const struct agents *s, const uint32_t *table, uint32_t size, uint64_t peer)
{
    uint32_t slot = (uint32_t)peer_hash(s, peer) & (size - 1);
    while (table[slot] != 0 && s->list.at[table[slot] - 1].peer != peer)
        slot = (slot + 1) & (size - 1);
    return slot;
}

uint32_t agents_find(const struct agents *s, uint64_t peer)
{
    if (s->table_size == 0) {
        for (uint32_t i = 0; i < s->list.n; i++)
            if (s->list.at[i].peer == peer) return i;
        return AGENT_NONE;
    }
    uint32_t held = s->table[slot_of(s, s->table, s->table_size, peer)];
    return held == 0 ? AGENT_NONE : held - 1;
}

/* Makes room in the table for one more agent. */
static syn_err grow_table(struct agents *s, const syn_mem *mem)
{
    if (index_serves(s->list.n + 1, s->table_size)) return SYN_OK;
    if (s->table_size > UINT32_MAX / 4) return SYN_ELIMIT;
    uint32_t size = index_grown(s->table_size);
    uint32_t *table = mem_zalloc(mem, (size_t)size * sizeof *table);
    if (table == NULL) return SYN_ENOMEM;
    for (uint32_t i = 0; i < s->list.n; i++)
        table[slot_of(s, table, size, s->list.at[i].peer)] = i + 1;
    mem_free(mem, s->table, (size_t)s->table_size * sizeof *s->table);
    s->table = table;
    s->table_size = size;
    return SYN_OK;
}

syn_err agents_add(struct agents *s, const syn_mem *mem, uint64_t peer, uint32_t *agent)
{
    uint32_t found = agents_find(s, peer);
    if (found == AGENT_NONE) {
        syn_err err = array_reserve(mem, &s->list, 1);
        if (err == SYN_OK) err = grow_table(s, mem);
        if (err != SYN_OK) return err;
        found = s->list.n;
        uint32_t slot = s->table_size > 0 ? slot_of(s, s->table, s->table_size, peer) : 0;
        *array_push(&s->list) = (struct agent){.peer = peer};
        if (s->table_size > 0) s->table[slot] = found + 1;
    }
    *agent = found;
    return SYN_OK;
}

void agents_check(const struct agents *s, uint32_t graph_runs)
{
    uint32_t runs = 0;
    CHECK(index_serves(s->list.n, s->table_size));
    for (uint32_t i = 0; i < s->list.n; i++) {
        const struct agent *a = &s->list.at[i];
        CHECK(agents_find(s, a->peer) == i);
        for (uint32_t k = 1; k < a->runs.n; k++) CHECK(a->runs.at[k - 1] < a->runs.at[k]);
        CHECK(a->runs.n == 0 || a->runs.at[a->runs.n - 1] < graph_runs);
        runs += a->runs.n;
    }
    CHECK(runs == graph_runs);
}
