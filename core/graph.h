/* graph.h -- the event graph: who made which event, after which others.
 *
 * Events are numbered in the order they arrived here (LV, local version): a topological order, so a
 * parent's LV is below its child's.  LVs never leave the process.  Stored as runs: consecutive
 * events of one agent, each the only parent of the next.
 *
 *      LV     0 1 2 3   4 5 6    7 8
 *      run    [A 0..3]  [B 0..2] [A 4..5]   parents of 4: {1}; of 7: {3, 6}
 *
 * An agent is the small local number of a peer.  The frontier (heads) is the antichain of events
 * without children.  A version v is critical when the frontier of {0..v} is {v} and every later
 * event has v among its ancestors (eg-walker, Gentle and Kleppmann 2025, 3.5): whatever happened
 * before it can be forgotten when merging what comes after.
 *
 * A graph loaded from a snapshot begins with one stand-in event, LV 0 = the snapshot's single head,
 * whose ancestors are not here (graph_set_base). */
#ifndef SYN_CORE_GRAPH_H
#define SYN_CORE_GRAPH_H

#include "mem.h"

typedef uint32_t lv_t;
#define LV_NONE    UINT32_MAX
#define LV_MAX     0x7fffffffu /* events of one document, so that differences fit 32 bits */
#define AGENT_NONE UINT32_MAX

struct lv_range {
    lv_t from, end; /* [from, end) */
};
typedef ARRAY(struct lv_range) lv_ranges; /* where filled by us: ascending, disjoint, maximal */
typedef ARRAY(lv_t) lv_set;               /* a version: ascending antichain */

/* A run as others see it; `parents` is borrowed until the next change. */
struct graph_run {
    lv_t lv, end;     /* [lv, end) */
    lv_t shadow;      /* all of [shadow, lv) are ancestors of lv; as low as is cheap to know */
    uint32_t lamport; /* of event lv; event lv + i has lamport + i */
    uint32_t agent, seq;
    uint32_t parent_count;
    const lv_t *parents; /* ascending */
};

/* The event that wrote a value. */
struct writer {
    uint32_t agent, seq, lamport;
};

struct graph; /* opaque */

/* NULL when memory is short. */
struct graph *graph_new(const syn_mem *mem);
void graph_free(struct graph *g);
/* Gives spare room back.  What is here now cannot be taken back (graph_truncate) any more. */
void graph_trim(struct graph *g);

/* ---- agents */
uint32_t graph_agent_find(const struct graph *g, uint64_t peer); /* AGENT_NONE: not known */
syn_err graph_agent_add(struct graph *g, uint64_t peer, uint32_t *agent); /* finds or adds */
uint64_t graph_agent_peer(const struct graph *g, uint32_t agent);
uint32_t graph_agent_count(const struct graph *g);
/* First seq that is not here.  With a base, an agent that has no event above it: 0. */
uint32_t graph_agent_next(const struct graph *g, uint32_t agent);
lv_t graph_agent_last(const struct graph *g, uint32_t agent); /* its last event, or LV_NONE */

/* ---- ids */
lv_t graph_find(const struct graph *g, uint32_t agent, uint32_t seq); /* LV_NONE: not here */
void graph_id(const struct graph *g, lv_t lv, uint32_t *agent, uint32_t *seq);
/* Last writer wins: does a's event win over b's, by (lamport, peer, seq), all unsigned? */
bool graph_wins(const struct graph *g, struct writer a, struct writer b);

/* ---- runs */
lv_t graph_len(const struct graph *g); /* LVs in use, the base's stand-in included */
uint32_t graph_run_count(const struct graph *g);
struct graph_run graph_run_at(const struct graph *g, uint32_t index);
uint32_t graph_run_of(const struct graph *g, lv_t lv); /* index; lv < graph_len */
/* Parents of one event: *out borrowed until the next change of g; returns how many. */
uint32_t graph_parents(const struct graph *g, lv_t lv, const lv_t **out, lv_t *scratch);
uint32_t graph_lamport(const struct graph *g, lv_t lv);

/* Makes the empty graph begin at a snapshot: LV 0 = (agent, seq) with that lamport. */
syn_err graph_set_base(struct graph *g, uint32_t agent, uint32_t seq, uint32_t lamport);

/* Appends `len` >= 1 events (agent, seq ...) whose first has exactly these parents (ascending LVs,
 * an antichain, all < graph_len).  Continues the last run when it can.  seq must be
 * graph_agent_next(agent), or anything for an agent not seen above a base: asserted.
 * SYN_ENOMEM, SYN_ELIMIT (more than LV_MAX events): nothing changed. */
syn_err graph_push(struct graph *g, uint32_t agent, uint32_t seq, uint32_t len, const lv_t *parents,
                   uint32_t parent_count);
/* The same while filling (graph_fill), of runs with one or two parents, by their names and in any
 * order; that two are an antichain was, or will be, found out elsewhere.  *whole: they are the
 * frontier.  false: it is not that simple, and nothing changed; graph_push knows the rest. */
struct graph_parent {
    uint32_t agent, seq;
};
bool graph_push_named(struct graph *g, uint32_t agent, uint32_t seq, uint32_t len,
                      const struct graph_parent named[2], uint32_t count, bool *whole);
/* From now on graph_truncate is asked to take everything back or nothing; or any part, again. */
void graph_fill(struct graph *g, bool fills);
/* Room for so many runs, with so many parents in all, of which pushes then need no more. */
syn_err graph_reserve(struct graph *g, uint32_t runs, uint32_t parents);
/* What a keystroke does, without memory, searches or a list of parents: appends the events if the
 * frontier is one head and its run is this agent's.  false: nothing changed; graph_push knows the
 * other cases, and why not. */
bool graph_extend(struct graph *g, uint32_t agent, uint32_t len);
/* The same for events that come from elsewhere: if (peer, seq) is the event that would follow. */
bool graph_continue(struct graph *g, uint64_t peer, uint32_t seq, uint32_t len, uint32_t *agent);
/* Takes events back: afterwards graph_len(g) == len, and frontier, agents' next and critical
 * versions are what they were at that point.  Agents stay known.  Cannot fail (see graph.c how). */
void graph_truncate(struct graph *g, lv_t len);

/* ---- versions */
const lv_t *graph_frontier(const struct graph *g, uint32_t *count); /* ascending */
bool graph_is_frontier(const struct graph *g, const lv_t *version, uint32_t count);
/* Is lv in the version (some member is lv or has it as an ancestor)?  Cannot fail: without memory
 * for its heap it falls back to a slower walk. */
bool graph_contains(const struct graph *g, const lv_t *version, uint32_t count, lv_t lv);
/* Many at once: does run `run` come after the last event of run `ancestor`, which is before it?
 * The runs ascend.  *yes: how many questions are answered by yes before the first by no.
 * (ancestry.c) */
struct graph_question {
    uint32_t run, ancestor;
};
syn_err graph_ask_many(const struct graph *g, const struct graph_question *ask, uint32_t count,
                       uint32_t *yes);
/* Events of a not in b, and of b not in a; both outputs ascending, replaced (not appended to). */
syn_err graph_diff(const struct graph *g, const lv_t *a, uint32_t na, const lv_t *b, uint32_t nb,
                   lv_ranges *only_a, lv_ranges *only_b);
/* What walks over the graph have cost so far, in steps. */
uint64_t graph_steps(const struct graph *g);
/* Reduces a set of LVs (any order, repetitions) in place to its maximal antichain, ascending. */
syn_err graph_dominators(const struct graph *g, lv_t *set, uint32_t *count);
/* The frontier that the first `len` events have; replaced. */
syn_err graph_frontier_at(const struct graph *g, lv_t len, lv_set *out);

/* The greatest critical version <= lv, or LV_NONE. Critical with respect to all events now here. */
lv_t graph_critical_at_or_before(const struct graph *g, lv_t lv);
/* Is stretch->from critical?  Cuts the stretch where that changes. */
bool graph_critical_stretch(const struct graph *g, struct lv_range *stretch);

size_t graph_footprint(const struct graph *g); /* bytes held */
void graph_check(const struct graph *g);       /* aborts on a broken invariant */

#endif
