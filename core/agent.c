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
    if (s->table_size == 0) return AGENT_NONE;
    uint32_t held = s->table[slot_of(s, s->table, s->table_size, peer)];
    return held == 0 ? AGENT_NONE : held - 1;
}

static syn_err grow_table(struct agents *s, const syn_mem *mem)
{
    if (s->list.n < s->table_size / 2) return SYN_OK;
    if (s->table_size > UINT32_MAX / 4) return SYN_ELIMIT;
    uint32_t size = s->table_size == 0 ? 8 : 2 * s->table_size;
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
        uint32_t slot = slot_of(s, s->table, s->table_size, peer);
        *array_push(&s->list) = (struct agent){.peer = peer};
        s->table[slot] = found + 1;
    }
    *agent = found;
    return SYN_OK;
}

uint32_t agent_next(const struct agents *s, uint32_t agent)
{
    const struct agent *a = &s->list.at[agent];
    if (a->runs.n == 0) return 0;
    const struct agent_run *last = &a->runs.at[a->runs.n - 1];
    return last->seq + last->len;
}

lv_t agent_find_seq(const struct agents *s, uint32_t agent, uint32_t seq)
{
    struct agent *a = &s->list.at[agent];
    uint32_t low = 0, high = a->runs.n;
    if (a->cursor < high && a->runs.at[a->cursor].seq <= seq) {
        low = a->cursor;
        if (seq - a->runs.at[low].seq < a->runs.at[low].len) high = low + 1;
    }
    while (high - low > 1) {
        uint32_t mid = low + (high - low) / 2;
        if (a->runs.at[mid].seq <= seq)
            low = mid;
        else
            high = mid;
    }
    if (low == high) return LV_NONE;
    const struct agent_run *run = &a->runs.at[low];
    if (seq < run->seq || seq - run->seq >= run->len) return LV_NONE;
    a->cursor = low;
    return run->lv + (seq - run->seq);
}

syn_err agent_reserve(struct agents *s, const syn_mem *mem, uint32_t agent)
{
    return array_reserve(mem, &s->list.at[agent].runs, 1);
}

bool agent_continues(const struct agents *s, uint32_t agent, uint32_t seq, lv_t lv)
{
    const struct agent *a = &s->list.at[agent];
    if (a->runs.n == 0) return false;
    const struct agent_run *last = &a->runs.at[a->runs.n - 1];
    return last->seq + last->len == seq && last->lv + last->len == lv;
}

void agent_append(struct agents *s, uint32_t agent, uint32_t seq, uint32_t len, lv_t lv)
{
    struct agent *a = &s->list.at[agent];
    if (agent_continues(s, agent, seq, lv))
        a->runs.at[a->runs.n - 1].len += len;
    else
        *array_push(&a->runs) = (struct agent_run){.seq = seq, .len = len, .lv = lv};
}

void agent_truncate(struct agents *s, uint32_t agent, lv_t len)
{
    struct agent *a = &s->list.at[agent];
    while (a->runs.n > 0 && a->runs.at[a->runs.n - 1].lv >= len) a->runs.n--;
    if (a->runs.n == 0) return;
    struct agent_run *last = &a->runs.at[a->runs.n - 1];
    if (last->lv + last->len > len) last->len = len - last->lv;
}

void agents_check(const struct agents *s)
{
    CHECK(s->list.n == 0 || 2 * (uint64_t)s->list.n <= s->table_size);
    for (uint32_t i = 0; i < s->list.n; i++) {
        const struct agent *a = &s->list.at[i];
        CHECK(agents_find(s, a->peer) == i);
        for (uint32_t k = 0; k < a->runs.n; k++) {
            const struct agent_run *run = &a->runs.at[k];
            CHECK(run->len > 0);
            if (k == 0) continue;
            const struct agent_run *before = run - 1;
            CHECK(before->seq + before->len == run->seq);
            CHECK(before->lv + before->len < run->lv);
        }
    }
}
