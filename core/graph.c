/* graph.c -- building the event graph and taking it back; the layout is in graph_impl.h.
 *
 * A push reserves everything first and then cannot fail.  Continuing the last run, which is what
 * every keystroke does, touches four numbers and allocates nothing.  graph_truncate takes runs back
 * one by one from the end: heads from was_head, critical versions from cut, agents by their own
 * LVs.  Recomputing from the first run would need no record, but then a refused change would cost
 * as much as the whole history, and whoever sends bad changes would choose how often. */
#include "graph_impl.h"

struct graph *graph_new(const syn_mem *mem)
{
    struct graph *g = mem_zalloc(mem, sizeof *g);
    if (g == NULL) return NULL;
    g->scratch = mem_zalloc(mem, sizeof *g->scratch);
    if (g->scratch == NULL) {
        mem_free(mem, g, sizeof *g);
        return NULL;
    }
    g->mem = mem;
    agents_init(&g->agents);
    return g;
}

void graph_free(struct graph *g)
{
    if (g == NULL) return;
    const syn_mem *mem = g->mem;
    agents_free(&g->agents, mem);
    array_free(mem, &g->runs);
    array_free(mem, &g->parents);
    array_free(mem, &g->was_head);
    array_free(mem, &g->heads);
    array_free(mem, &g->critical);
    array_free(mem, &g->cut);
    array_free(mem, &g->scratch->heap);
    array_free(mem, &g->scratch->kept);
    array_free(mem, &g->scratch->reached);
    mem_free(mem, g->scratch, sizeof *g->scratch);
    mem_free(mem, g, sizeof *g);
}

void graph_trim(struct graph *g)
{
    for (uint32_t i = 0; i < g->agents.list.n; i++) array_fit(g->mem, &g->agents.list.at[i].runs);
    array_fit(g->mem, &g->agents.list);
    array_fit(g->mem, &g->runs);
    array_fit(g->mem, &g->parents);
    array_fit(g->mem, &g->was_head);
    array_fit(g->mem, &g->heads);
    array_fit(g->mem, &g->critical);
    array_fit(g->mem, &g->cut);
    array_free(g->mem, &g->scratch->heap);
    array_free(g->mem, &g->scratch->kept);
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
    return agent_next(&g->agents, agent);
}

lv_t graph_find(const struct graph *g, uint32_t agent, uint32_t seq)
{
    assert(agent < g->agents.list.n);
    return agent_find_seq(&g->agents, agent, seq);
}

void graph_id(const struct graph *g, lv_t lv, uint32_t *agent, uint32_t *seq)
{
    const struct graph_run *run = &g->runs.at[graph_run_of(g, lv)];
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
    return g->runs.n == 0 ? 0 : g->runs.at[g->runs.n - 1].end;
}

uint32_t graph_run_count(const struct graph *g)
{
    return g->runs.n;
}

const struct graph_run *graph_run_at(const struct graph *g, uint32_t index)
{
    assert(index < g->runs.n);
    return &g->runs.at[index];
}

/* Galloping from the last hit, for questions come close to one another. */
uint32_t graph_run_of(const struct graph *g, lv_t lv)
{
    assert(lv < graph_len(g));
    const struct graph_run *runs = g->runs.at;
    uint32_t n = g->runs.n, hit = g->scratch->run < n ? g->scratch->run : n - 1;
    uint32_t low = hit, high = hit + 1; /* in the end one of [low, high) is it */
    for (uint32_t step = 1; lv < runs[low].lv; step *= 2) {
        high = low;
        low = low > step ? low - step : 0;
    }
    for (uint32_t step = 1; high < n && lv >= runs[high].lv; step *= 2) {
        low = high;
        high = n - high > step ? high + step : n;
    }
    while (high - low > 1) {
        uint32_t mid = low + (high - low) / 2;
        if (runs[mid].lv <= lv)
            low = mid;
        else
            high = mid;
    }
    g->scratch->run = low;
    return low;
}

const lv_t *graph_run_parents(const struct graph *g, const struct graph_run *run)
{
    /* A graph of roots alone has no pool to point into. */
    return run->parent_count == 0 ? NULL : g->parents.at + run->parent_first;
}

uint32_t graph_parents(const struct graph *g, lv_t lv, const lv_t **out, lv_t *scratch)
{
    const struct graph_run *run = &g->runs.at[graph_run_of(g, lv)];
    if (lv == run->lv) {
        *out = graph_run_parents(g, run);
        return run->parent_count;
    }
    *scratch = lv - 1;
    *out = scratch;
    return 1;
}

uint32_t graph_lamport(const struct graph *g, lv_t lv)
{
    const struct graph_run *run = &g->runs.at[graph_run_of(g, lv)];
    return run->lamport + (lv - run->lv);
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

static bool lv_equal(const lv_t *a, uint32_t na, const lv_t *b, uint32_t nb)
{
    return na == nb && (na == 0 || memcmp(a, b, (size_t)na * sizeof *a) == 0);
}

static void heads_move(lv_t *heads, uint32_t to, uint32_t from, uint32_t end)
{
    if (to != from && from < end)
        memmove(heads + to, heads + from, (size_t)(end - from) * sizeof *heads);
}

/* Takes those parents out that are heads and notes which they were.  Whatever lies between two of
 * them moves once, so that a merge of all heads costs no more than one pass. */
static void heads_remove(lv_set *heads, const lv_t *parents, uint32_t count, uint8_t *was_head)
{
    uint32_t kept = 0, next = 0; /* [0, kept) is done; [next, n) is still to be looked at */
    for (uint32_t i = 0; i < count; i++) {
        uint32_t at = next + lv_lower_bound(heads->at + next, heads->n - next, parents[i]);
        was_head[i] = at < heads->n && heads->at[at] == parents[i];
        if (!was_head[i]) continue;
        heads_move(heads->at, kept, next, at);
        kept += at - next;
        next = at + 1;
    }
    heads_move(heads->at, kept, next, heads->n);
    heads->n = kept + (heads->n - next);
}

void heads_before(const struct graph *g, lv_set *heads, const struct graph_run *run)
{
    assert(heads->n > 0 && heads->at[heads->n - 1] == run->end - 1);
    if (run->parent_count == 0) {
        heads->n--;
        return;
    }
    const uint8_t *was_head = g->was_head.at + run->parent_first;
    const lv_t *parents = g->parents.at + run->parent_first;
    uint32_t left = heads->n - 1, more = 0;
    for (uint32_t i = 0; i < run->parent_count; i++) more += was_head[i];
    assert(left + more <= heads->cap);
    heads->n = left + more;
    for (uint32_t i = run->parent_count; i-- > 0;) {
        if (!was_head[i]) continue;
        while (left > 0 && heads->at[left - 1] > parents[i]) {
            left--;
            heads->at[left + more] = heads->at[left];
        }
        more--;
        heads->at[left + more] = parents[i];
    }
}

const lv_t *graph_frontier(const struct graph *g, uint32_t *count)
{
    *count = g->heads.n;
    return g->heads.at;
}

/* ---- critical versions */

/* Ranges that begin at or before lv. */
static uint32_t critical_up_to(const struct graph *g, lv_t lv)
{
    uint32_t low = 0, high = g->critical.n;
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

/* Appends a range above all others; room for one is there. */
static void critical_append(struct graph *g, lv_t from, lv_t end)
{
    if (g->critical.n > 0 && g->critical.at[g->critical.n - 1].end == from)
        g->critical.at[g->critical.n - 1].end = end;
    else
        *array_push(&g->critical) = (struct lv_range){from, end};
}

/* Drops what is at or above `floor`; what is dropped goes to `cut` if a run caused it. */
static void critical_drop(struct graph *g, lv_t floor, lv_t by)
{
    while (g->critical.n > 0 && g->critical.at[g->critical.n - 1].end > floor) {
        struct lv_range *last = &g->critical.at[g->critical.n - 1];
        lv_t from = last->from > floor ? last->from : floor;
        if (by != LV_NONE)
            *array_push(&g->cut) = (struct graph_cut){.range = {from, last->end}, .by = by};
        if (last->from < from)
            last->end = from;
        else
            g->critical.n--;
    }
}

static void critical_restore(struct graph *g, lv_t by)
{
    while (g->cut.n > 0 && g->cut.at[g->cut.n - 1].by == by) {
        struct lv_range range = g->cut.at[--g->cut.n].range;
        critical_append(g, range.from, range.end);
    }
}

/* A critical version stays so under a run whose greatest parent is not below it; all of them are
 * below this LV.  (A smaller parent would be an ancestor of the greatest: not an antichain.) */
static lv_t critical_floor(const lv_t *parents, uint32_t count)
{
    return count == 0 ? 0 : parents[count - 1] + 1;
}

/* ---- appending and taking back */

/* An s such that all of [s, lv) are ancestors of an event with these parents.  The smallest that
 * the parents' own shadows show: two branches that cover each other's gaps further down are not
 * seen, for that would need a walk at every push; a greater s only costs a query some steps. */
static lv_t shadow_of(const struct graph *g, lv_t lv, const lv_t *parents, uint32_t count)
{
    lv_t shadow = lv;
    while (count > 0 && shadow > 0 && parents[count - 1] >= shadow - 1) {
        if (parents[count - 1] == shadow - 1)
            shadow = g->runs.at[graph_run_of(g, shadow - 1)].shadow;
        count--;
    }
    return shadow;
}

static uint64_t lamport_after(const struct graph *g, const lv_t *parents, uint32_t count)
{
    uint64_t greatest = 0;
    for (uint32_t i = 0; i < count; i++) {
        uint32_t lamport = graph_lamport(g, parents[i]);
        if (lamport > greatest) greatest = lamport;
    }
    return greatest + 1;
}

static syn_err reserve_run(struct graph *g, uint32_t agent, const lv_t *parents, uint32_t count)
{
    const syn_mem *mem = g->mem;
    uint32_t kept = critical_up_to(g, critical_floor(parents, count));
    uint64_t cut = (uint64_t)g->critical.n - kept + 1;
    syn_err err = array_reserve(mem, &g->runs, 1);
    if (err == SYN_OK) err = array_reserve(mem, &g->scratch->reached, 1);
    if (err == SYN_OK) err = array_reserve(mem, &g->parents, count);
    if (err == SYN_OK) err = array_reserve(mem, &g->was_head, count);
    if (err == SYN_OK) err = array_reserve(mem, &g->heads, 1);
    if (err == SYN_OK) err = array_reserve(mem, &g->critical, 1);
    if (err == SYN_OK) err = array_reserve(mem, &g->cut, cut);
    if (err == SYN_OK) err = agent_reserve(&g->agents, mem, agent);
    return err;
}

/* Appends run (its parents not yet in the pool); everything is reserved. */
static void append_run(struct graph *g, struct graph_run run, const lv_t *parents, uint32_t count)
{
    bool all_heads = lv_equal(g->heads.at, g->heads.n, parents, count);
    run.parent_first = g->parents.n;
    run.parent_count = count;
    if (count > 0) {
        memcpy(g->parents.at + g->parents.n, parents, (size_t)count * sizeof *parents);
        heads_remove(&g->heads, parents, count, g->was_head.at + g->was_head.n);
    }
    g->parents.n += count;
    g->was_head.n += count;
    *array_push(&g->heads) = run.end - 1;
    if (all_heads)
        critical_append(g, run.lv, run.end);
    else
        critical_drop(g, critical_floor(parents, count), run.lv);
    agent_append(&g->agents, run.agent, run.seq, run.end - run.lv, run.lv);
    *array_push(&g->runs) = run;
    *array_push(&g->scratch->reached) = 0;
}

/* Does the event (agent, seq) with these parents continue the last run?  The stand-in of a base
 * never is continued, so that the events above it are whole runs. */
static bool continues_last(const struct graph *g, uint32_t agent, uint32_t seq, const lv_t *parents,
                           uint32_t count)
{
    if (g->runs.n == (g->has_base ? 1u : 0u) || count != 1) return false;
    const struct graph_run *last = &g->runs.at[g->runs.n - 1];
    return parents[0] == last->end - 1 && agent == last->agent &&
           seq == last->seq + (last->end - last->lv);
}

static inline void continue_last(struct graph *g, uint32_t len)
{
    struct graph_run *last = &g->runs.at[g->runs.n - 1];
    lv_t lv = last->end;
    assert(g->heads.at[g->heads.n - 1] == lv - 1);
    g->heads.at[g->heads.n - 1] = lv + len - 1;
    if (g->heads.n == 1) critical_append(g, lv, lv + len);
    agent_extend(&g->agents, last->agent, len);
    last->end += len;
}

/* Room in the counters for so many events at the end of the run? */
static inline bool run_has_room(const struct graph_run *run, uint32_t len)
{
    uint32_t have = run->end - run->lv;
    return len <= LV_MAX - run->end && len <= LV_MAX - (run->seq + have) &&
           len - 1 <= UINT32_MAX - run->lamport - have;
}

bool graph_extend(struct graph *g, uint32_t agent, uint32_t len)
{
    if (g->heads.n != 1 || g->runs.n == (g->has_base ? 1u : 0u)) return false;
    const struct graph_run *last = &g->runs.at[g->runs.n - 1];
    if (last->agent != agent || !run_has_room(last, len)) return false;
    continue_last(g, len);
    return true;
}

/* What the caller promised; nothing in a build without asserts. */
static void assert_push(const struct graph *g, uint32_t agent, uint32_t seq, const lv_t *parents,
                        uint32_t count)
{
    assert(agent < g->agents.list.n);
    assert(seq == agent_next(&g->agents, agent) ||
           (g->has_base && g->agents.list.at[agent].runs.n == 0));
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
    if (continues_last(g, agent, seq, parents, parent_count) &&
        run_has_room(&g->runs.at[g->runs.n - 1], len)) {
        continue_last(g, len);
        return SYN_OK;
    }
    lv_t lv = graph_len(g);
    if (len > LV_MAX - lv || (uint64_t)seq + len > LV_MAX) return SYN_ELIMIT;
    uint64_t lamport = lamport_after(g, parents, parent_count);
    if (lamport + len - 1 > UINT32_MAX) return SYN_ELIMIT;
    syn_err err = reserve_run(g, agent, parents, parent_count);
    if (err != SYN_OK) return err;
    struct graph_run run = {.lv = lv,
                            .end = lv + len,
                            .shadow = shadow_of(g, lv, parents, parent_count),
                            .lamport = (uint32_t)lamport,
                            .agent = agent,
                            .seq = seq};
    append_run(g, run, parents, parent_count);
    return SYN_OK;
}

syn_err graph_set_base(struct graph *g, uint32_t agent, uint32_t seq, uint32_t lamport)
{
    assert(g->runs.n == 0 && agent < g->agents.list.n);
    syn_err err = reserve_run(g, agent, NULL, 0);
    if (err != SYN_OK) return err;
    struct graph_run run = {.end = 1, .lamport = lamport, .agent = agent, .seq = seq};
    append_run(g, run, NULL, 0);
    g->has_base = true;
    return SYN_OK;
}

static void remove_last_run(struct graph *g)
{
    const struct graph_run *run = &g->runs.at[g->runs.n - 1];
    heads_before(g, &g->heads, run);
    critical_drop(g, run->lv, LV_NONE);
    critical_restore(g, run->lv);
    agent_truncate(&g->agents, run->agent, run->lv);
    g->parents.n = g->was_head.n = run->parent_first;
    g->runs.n--;
    g->scratch->reached.n--;
}

void graph_truncate(struct graph *g, lv_t len)
{
    assert(len <= graph_len(g));
    while (g->runs.n > 0 && g->runs.at[g->runs.n - 1].lv >= len) remove_last_run(g);
    if (g->runs.n == 0) {
        g->has_base = false;
        return;
    }
    struct graph_run *last = &g->runs.at[g->runs.n - 1];
    if (last->end == len) return;
    last->end = len;
    g->heads.at[g->heads.n - 1] = len - 1;
    critical_drop(g, len, LV_NONE);
    agent_truncate(&g->agents, last->agent, len);
}

/* ---- checking */

static void check_run(const struct graph *g, uint32_t index)
{
    const struct graph_run *run = &g->runs.at[index];
    const lv_t *parents = graph_run_parents(g, run);
    CHECK(run->lv < run->end);
    CHECK(run->lv == (index == 0 ? 0 : run[-1].end));
    CHECK(run->parent_first == (index == 0 ? 0 : run[-1].parent_first + run[-1].parent_count));
    CHECK(run->parent_first + run->parent_count <= g->parents.n);
    for (uint32_t i = 0; i < run->parent_count; i++) {
        CHECK(parents[i] < run->lv);
        CHECK(i == 0 || parents[i - 1] < parents[i]);
        CHECK(i == 0 || !graph_contains(g, parents + i, 1, parents[i - 1]));
    }
    CHECK(run->shadow == shadow_of(g, run->lv, parents, run->parent_count));
    CHECK((index == 0 && g->has_base) ||
          run->lamport == lamport_after(g, parents, run->parent_count));
    CHECK(graph_find(g, run->agent, run->seq) == run->lv);
    CHECK(graph_find(g, run->agent, run->seq + (run->end - 1 - run->lv)) == run->end - 1);
    CHECK(g->scratch->reached.at[index] == 0);
}

/* Heads are the last events of runs that nobody names as a parent. */
static void check_heads(const struct graph *g)
{
    uint8_t *named = g->scratch->reached.at; /* borrowed, and given back zeroed */
    for (uint32_t i = 0; i < g->parents.n; i++) {
        uint32_t k = graph_run_of(g, g->parents.at[i]);
        if (g->runs.at[k].end - 1 == g->parents.at[i]) named[k] = 1;
    }
    uint32_t heads = 0;
    for (uint32_t k = 0; k < g->runs.n; k++) {
        if (!named[k]) {
            CHECK(heads < g->heads.n && g->heads.at[heads] == g->runs.at[k].end - 1);
            heads++;
        }
        named[k] = 0;
    }
    CHECK(heads == g->heads.n);
}

/* Backwards: the number of heads after each run follows from was_head, and `floor` is what the
 * later runs leave critical. */
static void check_critical(const struct graph *g)
{
    uint64_t found = 0, listed = 0, heads = g->heads.n;
    lv_t floor = LV_NONE;
    for (uint32_t k = g->runs.n; k-- > 0;) {
        const struct graph_run *run = &g->runs.at[k];
        lv_t end = run->end < floor ? run->end : floor;
        if (heads == 1 && end > run->lv) {
            uint32_t n = critical_up_to(g, run->lv);
            CHECK(n > 0 && g->critical.at[n - 1].end >= end);
            found += end - run->lv;
        }
        lv_t limit = critical_floor(graph_run_parents(g, run), run->parent_count);
        if (limit < floor) floor = limit;
        heads--;
        for (uint32_t i = 0; i < run->parent_count; i++)
            heads += g->was_head.at[run->parent_first + i];
    }
    CHECK(heads == 0);
    for (uint32_t i = 0; i < g->critical.n; i++) {
        CHECK(g->critical.at[i].from < g->critical.at[i].end);
        CHECK(i == 0 || g->critical.at[i - 1].end < g->critical.at[i].from);
        listed += g->critical.at[i].end - g->critical.at[i].from;
    }
    CHECK(found == listed);
}

void graph_check(const struct graph *g)
{
    agents_check(&g->agents);
    CHECK(g->parents.n == g->was_head.n);
    CHECK(g->runs.n == g->scratch->reached.n);
    CHECK(!g->has_base || (g->runs.n > 0 && g->runs.at[0].end == 1));
    for (uint32_t k = 0; k < g->runs.n; k++) check_run(g, k);
    check_heads(g);
    check_critical(g);
}
