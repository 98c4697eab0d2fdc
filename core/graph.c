/* graph.c -- building the event graph and taking it back; the layout is in graph_impl.h.
 *
 * A push reserves everything first and then cannot fail.  Continuing the last run, which is what
 * every keystroke does, touches three numbers and allocates nothing.  graph_truncate takes runs
 * back one by one from the end: heads from WAS_HEAD, critical versions from cut.  Recomputing from
 * the first run would need no record, but then a refused change would cost as much as the whole
 * history, and whoever sends bad changes would choose how often. */
#include "graph_impl.h"

/* The scratch lies behind the graph, in one block. */
static size_t block_bytes(void)
{
    return sizeof(struct graph) + sizeof(struct graph_scratch);
}

struct graph *graph_new(const syn_mem *mem)
{
    struct graph *g = mem_zalloc(mem, block_bytes());
    if (g == NULL) return NULL;
    g->mem = mem;
    g->scratch = (struct graph_scratch *)(g + 1);
    g->tip_agent = AGENT_NONE;
    agents_init(&g->agents);
    if (array_reserve(mem, &g->runs, 2) != SYN_OK) { /* the closing entry, and a run */
        mem_free(mem, g, block_bytes());
        return NULL;
    }
    g->runs.at[0] = (struct run){0};
    return g;
}

void graph_free(struct graph *g)
{
    if (g == NULL) return;
    const syn_mem *mem = g->mem;
    agents_free(&g->agents, mem);
    array_free(mem, &g->runs);
    array_free(mem, &g->parents);
    array_free(mem, &g->parent_run);
    array_free(mem, &g->heads);
    array_free(mem, &g->critical);
    array_free(mem, &g->cut);
    array_free(mem, &g->scratch->heap);
    array_free(mem, &g->scratch->kept);
    mem_free(mem, g, block_bytes());
}

void graph_trim(struct graph *g)
{
    const syn_mem *mem = g->mem;
    agents_trim(&g->agents, mem);
    g->runs.n++; /* the closing entry stays */
    array_fit(mem, &g->runs);
    g->runs.n--;
    array_fit(mem, &g->parents);
    array_fit(mem, &g->parent_run);
    array_fit(mem, &g->heads);
    array_fit(mem, &g->critical);
    array_free(mem, &g->cut); /* nothing asks for it before the next run */
    array_free(mem, &g->scratch->heap);
    array_free(mem, &g->scratch->kept);
}

size_t graph_footprint(const struct graph *g)
{
    return block_bytes() + agents_footprint(&g->agents) + g->runs.cap * sizeof *g->runs.at +
           g->parents.cap * sizeof *g->parents.at + g->parent_run.cap * sizeof *g->parent_run.at +
           g->heads.cap * sizeof *g->heads.at + g->critical.cap * sizeof *g->critical.at +
           g->cut.cap * sizeof *g->cut.at + g->scratch->heap.cap * sizeof *g->scratch->heap.at +
           g->scratch->kept.cap * sizeof *g->scratch->kept.at;
}

static inline uint32_t note_run(struct graph_scratch *s, uint32_t run)
{
    s->other = s->run;
    return s->run = run;
}

/* ---- agents and ids */

uint32_t graph_agent_find(const struct graph *g, uint64_t peer)
{
    return agents_find(&g->agents, peer);
}

syn_err graph_agent_add(struct graph *g, uint64_t peer, uint32_t *agent)
{
    return agents_add(&g->agents, g->mem, peer, agent);
}

uint64_t graph_agent_peer(const struct graph *g, uint32_t agent)
{
    assert(agent < g->agents.list.n);
    return g->agents.list.at[agent].peer;
}

uint32_t graph_agent_count(const struct graph *g)
{
    return g->agents.list.n;
}

uint32_t graph_agent_next(const struct graph *g, uint32_t agent)
{
    assert(agent < g->agents.list.n);
    const struct agent *a = &g->agents.list.at[agent];
    if (a->runs.n == 0) return 0;
    const struct run *last = &g->runs.at[a->runs.at[a->runs.n - 1]];
    return last->seq + run_len(last);
}

lv_t graph_agent_last(const struct graph *g, uint32_t agent)
{
    assert(agent < g->agents.list.n);
    const struct agent *a = &g->agents.list.at[agent];
    if (a->runs.n == 0) return LV_NONE;
    uint32_t last = a->runs.at[a->runs.n - 1];
    if (g->scratch->run != last) (void)note_run(g->scratch, last);
    return run_end(&g->runs.at[last]) - 1;
}

/* Galloping from the end, for what is asked about mostly is new. */
lv_t graph_find(const struct graph *g, uint32_t agent, uint32_t seq)
{
    assert(agent < g->agents.list.n);
    const struct agent *a = &g->agents.list.at[agent];
    const struct run *runs = g->runs.at;
    if (a->runs.n == 0) return LV_NONE;
    const struct run *last = &runs[a->runs.at[a->runs.n - 1]];
    if (seq >= last->seq && seq - last->seq < run_len(last)) { /* so it mostly is */
        uint32_t index = (uint32_t)(last - runs);
        if (g->scratch->run != index) (void)note_run(g->scratch, index);
        return last->lv + (seq - last->seq);
    }
    uint32_t high = a->runs.n, low = high - 1; /* in the end one of [low, high) is it */
    for (uint32_t step = 1; low > 0 && seq < runs[a->runs.at[low]].seq; step *= 2) {
        high = low;
        low = low > step ? low - step : 0;
    }
    while (high - low > 1) {
        uint32_t mid = low + (high - low) / 2;
        if (runs[a->runs.at[mid]].seq <= seq)
            low = mid;
        else
            high = mid;
    }
    uint32_t found = a->runs.at[low];
    if (seq - runs[found].seq >= run_len(&runs[found])) return LV_NONE; /* below the first, too */
    if (g->scratch->run != found) (void)note_run(g->scratch, found);
    return runs[found].lv + (seq - runs[found].seq);
}

void graph_id(const struct graph *g, lv_t lv, uint32_t *agent, uint32_t *seq)
{
    const struct run *run = &g->runs.at[graph_run_of(g, lv)];
    *agent = run->agent;
    *seq = run->seq + (lv - run->lv);
}

bool graph_wins(const struct graph *g, struct writer a, struct writer b)
{
    if (a.lamport != b.lamport) return a.lamport > b.lamport;
    uint64_t peer_a = graph_agent_peer(g, a.agent), peer_b = graph_agent_peer(g, b.agent);
    return peer_a != peer_b ? peer_a > peer_b : a.seq > b.seq;
}

/* ---- runs */

lv_t graph_len(const struct graph *g)
{
    return g->runs.at[g->runs.n].lv;
}

uint32_t graph_run_count(const struct graph *g)
{
    return g->runs.n;
}

struct graph_run graph_run_at(const struct graph *g, uint32_t index)
{
    assert(index < g->runs.n);
    const struct run *run = &g->runs.at[index];
    uint32_t count = run_parent_count(run);
    return (struct graph_run){.lv = run->lv,
                              .end = run_end(run),
                              .shadow = run->shadow,
                              .lamport = run->lamport,
                              .agent = run->agent,
                              .seq = run->seq,
                              .parent_count = count,
                              .parents = count == 0 ? NULL : g->parents.at + run->parents};
}

/* Galloping from the last hit, for questions come close to one another. */
static __attribute__((noinline)) uint32_t search_run(const struct graph *g, lv_t lv)
{
    const struct run *runs = g->runs.at;
    struct graph_scratch *s = g->scratch;
    uint32_t low = s->run, high = low + 1; /* in the end one of [low, high) is it */
    if (lv >= runs[g->runs.n - 1].lv) return note_run(s, g->runs.n - 1);
    for (uint32_t step = 1; lv < runs[low].lv; step *= 2) {
        high = low;
        low = low > step ? low - step : 0;
    }
    for (uint32_t step = 1; lv >= runs[high].lv; step *= 2) {
        low = high;
        high = g->runs.n - high > step ? high + step : g->runs.n;
    }
    while (high - low > 1) {
        uint32_t mid = low + (high - low) / 2;
        if (runs[mid].lv <= lv)
            low = mid;
        else
            high = mid;
    }
    return note_run(s, low);
}

uint32_t graph_run_of(const struct graph *g, lv_t lv)
{
    assert(lv < graph_len(g));
    const struct graph_scratch *s = g->scratch;
    const struct run *last = &g->runs.at[s->run], *other = &g->runs.at[s->other];
    if (lv - last->lv < run_len(last)) return s->run;
    return lv - other->lv < run_len(other) ? s->other : search_run(g, lv);
}

uint32_t graph_parents(const struct graph *g, lv_t lv, const lv_t **out, lv_t *scratch)
{
    const struct run *run = &g->runs.at[graph_run_of(g, lv)];
    if (lv == run->lv) {
        uint32_t count = run_parent_count(run);
        *out = count == 0 ? NULL : g->parents.at + run->parents;
        return count;
    }
    *scratch = lv - 1;
    *out = scratch;
    return 1;
}

uint32_t graph_lamport(const struct graph *g, lv_t lv)
{
    return run_lamport(&g->runs.at[graph_run_of(g, lv)], lv);
}

/* ---- heads */

uint32_t lv_lower_bound(const lv_t *at, uint32_t n, lv_t lv)
{
    uint32_t low = 0, high = n;
    while (low < high) {
        uint32_t mid = low + (high - low) / 2;
        if (at[mid] < lv)
            low = mid + 1;
        else
            high = mid;
    }
    return low;
}

static void heads_move(lv_t *heads, uint32_t to, uint32_t from, uint32_t end)
{
    if (to != from && from < end)
        memmove(heads + to, heads + from, (size_t)(end - from) * sizeof *heads);
}

#ifdef SYN_STRESS
enum { FEW_HEADS = 2 };
#else
enum { FEW_HEADS = 8 };
#endif

/* Takes a parent out if it is a head, and notes that. */
static void heads_drop(lv_set *heads, lv_t parent, uint32_t *note)
{
    uint32_t at = 0;
    while (at < heads->n && heads->at[at] < parent) at++;
    if (at == heads->n || heads->at[at] != parent) return;
    *note |= WAS_HEAD;
    heads->n--;
    for (; at < heads->n; at++) heads->at[at] = heads->at[at + 1];
}

/* Takes those parents out that are heads and notes which they were.  Whatever lies between two of
 * them moves once, so that a merge of all heads costs no more than one pass. */
static void heads_remove(lv_set *heads, const lv_t *parents, uint32_t count, uint32_t *note)
{
    uint32_t kept = 0, next = 0; /* [0, kept) is done; [next, n) is still to be looked at */
    if (heads->n <= FEW_HEADS && count <= FEW_HEADS) {
        for (uint32_t i = 0; i < count; i++) heads_drop(heads, parents[i], &note[i]);
        return;
    }
    for (uint32_t i = 0; i < count; i++) {
        uint32_t at = next + lv_lower_bound(heads->at + next, heads->n - next, parents[i]);
        if (at == heads->n || heads->at[at] != parents[i]) continue;
        note[i] |= WAS_HEAD;
        heads_move(heads->at, kept, next, at);
        kept += at - next;
        next = at + 1;
    }
    heads_move(heads->at, kept, next, heads->n);
    heads->n = kept + (heads->n - next);
}

/* The same where the parents are all heads. */
static void heads_clear(lv_set *heads, uint32_t *note)
{
    for (uint32_t i = 0; i < heads->n; i++) note[i] |= WAS_HEAD;
    heads->n = 0;
}

void heads_before(const struct graph *g, lv_set *heads, const struct run *run)
{
    assert(heads->n > 0 && heads->at[heads->n - 1] == run_end(run) - 1);
    uint32_t left = heads->n - 1, more = 0, count = run_parent_count(run);
    for (uint32_t i = 0; i < count; i++) more += g->parent_run.at[run->parents + i] >= WAS_HEAD;
    assert(left + more <= heads->cap);
    heads->n = left + more;
    for (uint32_t i = count; i-- > 0;) {
        lv_t parent = g->parents.at[run->parents + i];
        if (g->parent_run.at[run->parents + i] < WAS_HEAD) continue;
        while (left > 0 && heads->at[left - 1] > parent) {
            left--;
            heads->at[left + more] = heads->at[left];
        }
        more--;
        heads->at[left + more] = parent;
    }
}

const lv_t *graph_frontier(const struct graph *g, uint32_t *count)
{
    *count = g->heads.n;
    return g->heads.at;
}

bool graph_is_frontier(const struct graph *g, const lv_t *version, uint32_t count)
{
    uint32_t same = 0;
    if (count != g->heads.n) return false;
    while (same < count && version[same] == g->heads.at[same]) same++;
    return same == count;
}

/* ---- critical versions */

uint32_t critical_up_to(const struct graph *g, lv_t lv)
{
    uint32_t low = 0, high = g->critical.n;
    if (high > 0 && g->critical.at[high - 1].from <= lv) return high; /* mostly */
    while (low < high) {
        uint32_t mid = low + (high - low) / 2;
        if (g->critical.at[mid].from <= lv)
            low = mid + 1;
        else
            high = mid;
    }
    return low;
}

lv_t graph_critical_at_or_before(const struct graph *g, lv_t lv)
{
    uint32_t n = critical_up_to(g, lv);
    if (n == 0) return LV_NONE;
    lv_t last = g->critical.at[n - 1].end - 1;
    return last < lv ? last : lv;
}

bool graph_critical_stretch(const struct graph *g, struct lv_range *stretch)
{
    uint32_t n = critical_up_to(g, stretch->from);
    bool critical = n > 0 && g->critical.at[n - 1].end > stretch->from;
    lv_t end = stretch->end;
    if (critical)
        end = g->critical.at[n - 1].end;
    else if (n < g->critical.n)
        end = g->critical.at[n].from;
    if (end < stretch->end) stretch->end = end;
    return critical;
}

/* Puts a range behind the others; room for one is there. */
static void critical_append(struct graph *g, struct lv_range range)
{
    struct lv_range *last = g->critical.n > 0 ? &g->critical.at[g->critical.n - 1] : NULL;
    if (last != NULL && last->end >= range.from)
        last->end = range.end;
    else
        *array_push(&g->critical) = range;
}

/* A critical version stays so under a run whose greatest parent is not below it; all of them are
 * below this LV.  (A smaller parent would be an ancestor of the greatest: not an antichain.) */
lv_t critical_floor(const lv_t *parents, uint32_t count)
{
    return count == 0 ? 0 : parents[count - 1] + 1;
}

/* Ranges that reach above `floor`. */
static uint32_t critical_above(const struct graph *g, lv_t floor)
{
    uint32_t kept = g->critical.n;
    while (kept > 0 && g->critical.at[kept - 1].end > floor) kept--;
    return g->critical.n - kept;
}

/* Moves what is at or above `floor` to `cut`, where room is. */
static void critical_drop(struct graph *g, lv_t floor, lv_t by)
{
    while (g->critical.n > 0 && g->critical.at[g->critical.n - 1].end > floor) {
        struct lv_range *last = &g->critical.at[g->critical.n - 1];
        lv_t from = last->from > floor ? last->from : floor;
        if (!SHORT_CUTS || !g->fills)
            *array_push(&g->cut) = (struct graph_cut){.range = {from, last->end}, .by = by};
        if (last->from < from)
            last->end = from;
        else
            g->critical.n--;
    }
}

static void critical_restore(struct graph *g, lv_t by)
{
    while (g->cut.n > 0 && g->cut.at[g->cut.n - 1].by == by)
        critical_append(g, g->cut.at[--g->cut.n].range);
}

/* ---- appending and taking back */

/* The smallest that the parents' own shadows show: two branches that cover each other's gaps
 * further down are not seen, for that would need a walk at every push; a greater s only costs a
 * query some steps. */
lv_t shadow_of(const struct graph *g, const struct run *run, uint32_t count)
{
    lv_t shadow = run->lv;
    for (uint32_t i = run->parents + count; i-- > run->parents && shadow > 0;) {
        if (g->parents.at[i] < shadow - 1) break;
        if (g->parents.at[i] == shadow - 1) shadow = g->runs.at[parent_run(g, i)].shadow;
    }
    return shadow;
}

uint64_t lamport_after(const struct graph *g, const struct run *run, uint32_t count)
{
    uint64_t greatest = 0;
    for (uint32_t i = run->parents; i < run->parents + count; i++) {
        uint32_t lamport = run_lamport(&g->runs.at[parent_run(g, i)], g->parents.at[i]);
        if (lamport > greatest) greatest = lamport;
    }
    return greatest + 1;
}

/* Room for one more run; `cuts` critical ranges will go. */
static syn_err reserve_run(struct graph *g, uint32_t agent, uint32_t parents, uint32_t cuts)
{
    const syn_mem *mem = g->mem;
    syn_err err = array_reserve(mem, &g->runs, 2);
    if (err == SYN_OK) err = array_reserve(mem, &g->parents, parents);
    if (err == SYN_OK) err = array_reserve(mem, &g->parent_run, parents);
    if (err == SYN_OK) err = array_reserve(mem, &g->heads, 1);
    if (err == SYN_OK) err = array_reserve(mem, &g->critical, 1);
    if (err == SYN_OK && cuts > 0 && (!SHORT_CUTS || !g->fills))
        err = array_reserve(mem, &g->cut, cuts);
    if (err == SYN_OK) err = array_reserve(mem, &g->agents.list.at[agent].runs, 1);
    return err;
}

void graph_fill(struct graph *g, bool fills)
{
    g->fills = fills;
    if (fills) g->cut.n = 0;
}

syn_err graph_reserve(struct graph *g, uint32_t runs, uint32_t parents)
{
    syn_err err = array_reserve(g->mem, &g->runs, (uint64_t)runs + 1);
    if (err == SYN_OK) err = array_reserve(g->mem, &g->parents, parents);
    return err == SYN_OK ? array_reserve(g->mem, &g->parent_run, parents) : err;
}

/* Writes the parents into the pool, behind those that count already.  Returns what lamport_after
 * will say of them. */
static inline uint64_t pool_parents(struct graph *g, const lv_t *parents, uint32_t count)
{
    uint32_t greatest = 0;
    lv_t *pool = g->parents.at + g->parents.n;
    uint32_t *pool_run = g->parent_run.at + g->parents.n;
    for (uint32_t i = 0; i < count; i++) {
        uint32_t index = graph_run_of(g, parents[i]);
        uint32_t lamport = run_lamport(&g->runs.at[index], parents[i]);
        pool[i] = parents[i];
        pool_run[i] = index;
        if (lamport > greatest) greatest = lamport;
    }
    return (uint64_t)greatest + 1;
}

uint32_t room_of_last(const struct graph *g)
{
    if (g->runs.n == (SNAPSHOTS && g->has_base ? 1u : 0u))
        return 0; /* the stand-in never is continued */
    const struct run *last = &g->runs.at[g->runs.n - 1];
    uint32_t have = run_len(last), by_lv = LV_MAX - run_end(last);
    uint32_t by_seq = LV_MAX - (last->seq + have);
    uint32_t by_lamport = UINT32_MAX - (last->lamport + (have - 1));
    uint32_t room = by_lv < by_seq ? by_lv : by_seq;
    return room < by_lamport ? room : by_lamport;
}

static inline void set_tip(struct graph *g)
{
    g->tip_room = room_of_last(g);
    g->tip_agent = g->tip_room > 0 ? g->runs.at[g->runs.n - 1].agent : AGENT_NONE;
}

static void forget_hits(struct graph *g)
{
    if (g->scratch->run >= g->runs.n || g->scratch->other >= g->runs.n)
        g->scratch->run = g->scratch->other = 0;
}

/* Appends the run of `len` events that the closing entry has become, whose `count` parents stand
 * behind the pool's end; `cuts` critical ranges go. */
static inline void append_run(struct graph *g, uint32_t len, uint32_t count, bool all_heads,
                              uint32_t cuts)
{
    struct run *run = &g->runs.at[g->runs.n];
    /* A graph of roots alone has no pool to point into. */
    const lv_t *parents = count == 0 ? NULL : g->parents.at + run->parents;
    uint32_t *note = count == 0 ? NULL : g->parent_run.at + run->parents;
    uint32_t index = g->runs.n++;
    if (all_heads)
        heads_clear(&g->heads, note);
    else if (count > 0)
        heads_remove(&g->heads, parents, count, note);
    g->parents.n += count;
    g->parent_run.n += count;
    *array_push(&g->heads) = run->lv + len - 1;
    if (all_heads)
        critical_append(g, (struct lv_range){run->lv, LV_OPEN});
    else if (cuts > 0)
        critical_drop(g, critical_floor(parents, count), run->lv);
    run[1] = (struct run){.lv = run->lv + len, .parents = g->parents.n};
    *array_push(&g->agents.list.at[run->agent].runs) = index;
    set_tip(g);
}

static inline void continue_last(struct graph *g, uint32_t len)
{
    g->runs.at[g->runs.n].lv += len;
    g->heads.at[g->heads.n - 1] += len;
    g->tip_room -= len;
}

bool graph_extend(struct graph *g, uint32_t agent, uint32_t len)
{
    if (g->tip_agent != agent || g->heads.n != 1 || len > g->tip_room) return false;
    continue_last(g, len);
    return true;
}

bool graph_continue(struct graph *g, uint64_t peer, uint32_t seq, uint32_t len, uint32_t *agent)
{
    if (g->tip_agent == AGENT_NONE) return false;
    const struct run *last = &g->runs.at[g->runs.n - 1];
    if (seq != last->seq + run_len(last)) return false;
    if (g->agents.list.at[g->tip_agent].peer != peer) return false;
    *agent = g->tip_agent;
    return graph_extend(g, *agent, len);
}

/* Does the event (agent, seq) with these parents continue the last run? */
static bool continues_last(const struct graph *g, uint32_t agent, uint32_t seq, const lv_t *parents,
                           uint32_t count)
{
    if (agent != g->tip_agent || count != 1) return false;
    const struct run *last = &g->runs.at[g->runs.n - 1];
    return parents[0] == run_end(last) - 1 && seq == last->seq + run_len(last);
}

/* What the caller promised; nothing in a build without asserts. */
static void assert_push(const struct graph *g, uint32_t agent, uint32_t seq, const lv_t *parents,
                        uint32_t count)
{
    assert(agent < g->agents.list.n);
    assert(seq == graph_agent_next(g, agent) ||
           (SNAPSHOTS && g->has_base && g->agents.list.at[agent].runs.n == 0));
    for (uint32_t i = 0; i < count; i++) {
        assert(parents[i] < graph_len(g));
        assert(i == 0 || parents[i - 1] < parents[i]);
    }
    (void)g, (void)agent, (void)seq, (void)parents;
}

syn_err graph_push(struct graph *g, uint32_t agent, uint32_t seq, uint32_t len, const lv_t *parents,
                   uint32_t parent_count)
{
    assert(len > 0);
    assert_push(g, agent, seq, parents, parent_count);
    if (continues_last(g, agent, seq, parents, parent_count) && len <= g->tip_room) {
        continue_last(g, len);
        return SYN_OK;
    }
    lv_t lv = graph_len(g);
    if (len > LV_MAX - lv || (uint64_t)seq + len > LV_MAX) return SYN_ELIMIT;
    bool all_heads = graph_is_frontier(g, parents, parent_count);
    uint32_t cuts = all_heads ? 0 : critical_above(g, critical_floor(parents, parent_count));
    syn_err err = reserve_run(g, agent, parent_count, cuts);
    if (err != SYN_OK) return err;
    uint64_t lamport = parent_count == 0 ? 1 : pool_parents(g, parents, parent_count);
    struct run *run = &g->runs.at[g->runs.n]; /* closes the array, and so begins here already */
    if (lamport + len - 1 > UINT32_MAX) return SYN_ELIMIT;
    run->lamport = (uint32_t)lamport;
    run->agent = agent;
    run->seq = seq & LV_MAX;
    run->shadow = shadow_of(g, run, parent_count);
    append_run(g, len, parent_count, all_heads, cuts);
    return SYN_OK;
}

/* ---- appending by names */

/* LV and run of an event; LV_NONE: it is not here. */
static inline lv_t find_with_run(const struct graph *g, struct graph_parent named, uint32_t *run)
{
    const struct agent *a = &g->agents.list.at[named.agent];
    if (a->runs.n == 0) return LV_NONE;
    const struct run *last = &g->runs.at[a->runs.at[a->runs.n - 1]];
    *run = (uint32_t)(last - g->runs.at);
    if (named.seq - last->seq < run_len(last)) return last->lv + (named.seq - last->seq);
    lv_t lv = graph_find(g, named.agent, named.seq);
    *run = g->scratch->run; /* where that found it */
    return lv;
}

static bool has_room(const struct graph *g, const struct agent *agent)
{
    return g->runs.n + 2 <= g->runs.cap && g->parents.n + 2 <= g->parents.cap &&
           g->parent_run.n + 2 <= g->parent_run.cap && g->heads.n < g->heads.cap &&
           g->critical.n < g->critical.cap && agent->runs.n < agent->runs.cap;
}

bool graph_push_named(struct graph *g, uint32_t agent, uint32_t seq, uint32_t len,
                      const struct graph_parent named[2], uint32_t count, bool *whole)
{
    struct run *run = &g->runs.at[g->runs.n];
    uint32_t lamport[2] = {0, 0}, at[2];
    lv_t lv[2];
    if (!g->fills || !has_room(g, &g->agents.list.at[agent]) || count - 1 > 1) return false;
    for (uint32_t i = 0; i < count; i++) {
        lv[i] = find_with_run(g, named[i], &at[i]);
        if (lv[i] == LV_NONE) return false;
        lamport[i] = run_lamport(&g->runs.at[at[i]], lv[i]);
    }
    if (count == 2 ? lv[0] == lv[1] : continues_last(g, agent, seq, lv, 1)) return false;
    uint64_t after = (uint64_t)(lamport[0] > lamport[1] ? lamport[0] : lamport[1]) + 1;
    if (after + len - 1 > UINT32_MAX || len > LV_MAX - run->lv || (uint64_t)seq + len > LV_MAX)
        return false;
    uint32_t first = count == 2 && lv[0] > lv[1];
    lv_t *parents = g->parents.at + g->parents.n; /* there only now that there is room */
    uint32_t *note = g->parent_run.at + g->parent_run.n;
    parents[0] = lv[first];
    note[0] = at[first];
    if (count == 2) {
        parents[1] = lv[!first];
        note[1] = at[!first];
    }
    *whole = graph_is_frontier(g, parents, count);
    run->lamport = (uint32_t)after;
    run->agent = agent;
    run->seq = seq & LV_MAX;
    run->shadow = shadow_of(g, run, count);
    append_run(g, len, count, *whole, !*whole);
    return true;
}

syn_err graph_set_base(struct graph *g, uint32_t agent, uint32_t seq, uint32_t lamport)
{
    assert(g->runs.n == 0 && agent < g->agents.list.n);
    syn_err err = reserve_run(g, agent, 0, 0);
    if (err != SYN_OK) return err;
    g->runs.at[0] = (struct run){.lamport = lamport, .agent = agent, .seq = seq & LV_MAX};
    g->has_base = true;
    append_run(g, 1, 0, true, 0);
    return SYN_OK;
}

/* Its entry becomes the one that closes the array. */
static void remove_last_run(struct graph *g)
{
    const struct run *run = &g->runs.at[g->runs.n - 1];
    heads_before(g, &g->heads, run);
    if (g->critical.n > 0 && g->critical.at[g->critical.n - 1].from >= run->lv) g->critical.n--;
    critical_restore(g, run->lv);
    g->agents.list.at[run->agent].runs.n--;
    g->parents.n = g->parent_run.n = run->parents;
    g->runs.n--;
}

void graph_truncate(struct graph *g, lv_t len)
{
    assert(len <= graph_len(g));
    while (g->runs.n > 0 && g->runs.at[g->runs.n - 1].lv >= len) remove_last_run(g);
    if (g->runs.n == 0) {
        g->has_base = false;
        if (SHORT_CUTS) g->critical.n = 0; /* what filling cut off was not kept */
    }
    g->runs.at[g->runs.n].lv = len;
    if (g->runs.n > 0) g->heads.at[g->heads.n - 1] = len - 1;
    set_tip(g);
    forget_hits(g);
}
