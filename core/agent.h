/* agent.h -- the peers that a graph knows, and which runs are theirs.
 *
 *      list   [ peer, runs ] ...      one per agent, in the order they were met
 *      runs   [ 0 2 5 ... ]           indexes into the graph's runs, ascending, and so by seq
 *      table  [ . 2 . . 1 . 3 . ]     open addressing, hash of the peer -> agent + 1, 0: free;
 *                                     none while the list is short
 *
 * Four bytes a run, because the graph's own run says where it is; and since the last run of an
 * agent grows there, a keystroke changes nothing here. */
#ifndef SYN_CORE_AGENT_H
#define SYN_CORE_AGENT_H

#include "graph.h"

struct agent {
    uint64_t peer;
    ARRAY(uint32_t) runs;
};

struct agents {
    ARRAY(struct agent) list;
    uint32_t *table;
    uint32_t table_size; /* a power of two, or 0 */
    uint64_t salt;
};

void agents_init(struct agents *s);
void agents_free(struct agents *s, const syn_mem *mem);
void agents_trim(struct agents *s, const syn_mem *mem);
size_t agents_footprint(const struct agents *s);

uint32_t agents_find(const struct agents *s, uint64_t peer); /* AGENT_NONE: not known */
syn_err agents_add(struct agents *s, const syn_mem *mem, uint64_t peer, uint32_t *agent);

void agents_check(const struct agents *s, uint32_t graph_runs);

#endif
