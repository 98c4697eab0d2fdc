/* agent.h -- the peers that a graph knows, and where their events are.
 *
 *      table  [ . 2 . . 1 . 3 . ]     open addressing, hash of the peer -> agent + 1, 0: free
 *      list   [ peer, runs ] ...      one per agent, in the order they were met
 *      runs   [ seq len lv ] ...      ascending in seq and in lv; adjacent ones are merged
 *
 * An agent's runs are not the graph's: they merge over a change of parents, because all that is
 * asked of them is the way from (agent, seq) to a local version. */
#ifndef SYN_CORE_AGENT_H
#define SYN_CORE_AGENT_H

#include "graph.h"

struct agent_run {
    uint32_t seq, len;
    lv_t lv;
};

struct agent {
    uint64_t peer;
    ARRAY(struct agent_run) runs;
    uint32_t cursor; /* run of the last hit: lookups come in order */
};

struct agents {
    ARRAY(struct agent) list;
    uint32_t *table;
    uint32_t table_size; /* a power of two at least twice list.n, or 0 */
    uint64_t salt;
};

void agents_init(struct agents *s);
void agents_free(struct agents *s, const syn_mem *mem);

uint32_t agents_find(const struct agents *s, uint64_t peer); /* AGENT_NONE: not known */
syn_err agents_add(struct agents *s, const syn_mem *mem, uint64_t peer, uint32_t *agent);

uint32_t agent_next(const struct agents *s, uint32_t agent); /* 0: it has no events */
lv_t agent_find_seq(const struct agents *s, uint32_t agent, uint32_t seq);

/* Room for one more run; the append after it cannot fail. */
syn_err agent_reserve(struct agents *s, const syn_mem *mem, uint32_t agent);
/* Appending to the agent's last run needs no room: can it? */
bool agent_continues(const struct agents *s, uint32_t agent, uint32_t seq, lv_t lv);
/* More events right behind those of its last run, which are the last of all. */
static inline void agent_extend(struct agents *s, uint32_t agent, uint32_t len)
{
    struct agent *a = &s->list.at[agent];
    assert(a->runs.n > 0);
    a->runs.at[a->runs.n - 1].len += len;
}
void agent_append(struct agents *s, uint32_t agent, uint32_t seq, uint32_t len, lv_t lv);
/* Forgets the agent's events from `len` on. */
void agent_truncate(struct agents *s, uint32_t agent, lv_t len);

void agents_check(const struct agents *s);

#endif
