/* test_merge.c -- what merging rests on: the order of visits, dense versions, and what a change may
 * cost. */
#include "change.h"
#include "doc.h"
#include "random.h"
#include "visit.h"

#include <stdio.h>
#include <string.h>

static void *heap_resize(void *user, void *ptr, size_t old_size, size_t new_size)
{
    (void)user;
    (void)old_size;
    if (new_size > 0) return realloc(ptr, new_size);
    free(ptr);
    return NULL;
}

static const syn_mem heap = {heap_resize, NULL};

/* ---- Random graphs --------------------------------------------------------------------------- */

enum { WRITERS = 12, RUNS = 120 };

struct session {
    struct graph *g;
    uint32_t writers;
    lv_set at[WRITERS]; /* the version that each writer knows */
};

/* Everything in one version or the other. */
static void learn(struct session *s, lv_set *a, const lv_set *b)
{
    if (a == b) return;
    must(array_reserve(&heap, a, b->n) == SYN_OK);
    for (uint32_t i = 0; i < b->n; i++) *array_push(a) = b->at[i];
    must(graph_dominators(s->g, a->at, &a->n) == SYN_OK);
}

static void write_run(struct session *s, struct random *r, uint32_t w)
{
    uint32_t agent, len = 1 + below(r, 6);
    lv_set *at = &s->at[w];
    must(graph_agent_add(s->g, 100 + w, &agent) == SYN_OK);
    must(graph_push(s->g, agent, graph_agent_next(s->g, agent), len, at->at, at->n) == SYN_OK);
    must(array_reserve(&heap, at, 1) == SYN_OK);
    at->n = 0;
    *array_push(at) = graph_len(s->g) - 1;
}

/* `first`: an event that all others come after. */
static void session_begin(struct session *s, struct random *r, uint32_t writers, bool first)
{
    *s = (struct session){.g = graph_new(&heap), .writers = writers};
    uint32_t often = 1 + below(r, 10);
    if (first) write_run(s, r, 0);
    for (uint32_t w = 1; first && w < writers; w++) learn(s, &s->at[w], &s->at[0]);
    for (uint32_t i = below(r, RUNS); i > 0; i--) {
        uint32_t w = below(r, writers);
        if (one_in(r, often)) learn(s, &s->at[w], &s->at[below(r, writers)]);
        write_run(s, r, w);
    }
    if (graph_len(s->g) == 0) write_run(s, r, 0);
}

static void session_end(struct session *s)
{
    for (uint32_t w = 0; w < WRITERS; w++) array_free(&heap, &s->at[w]);
    graph_free(s->g);
}

/* ---- The order of visits --------------------------------------------------------------------- */

static void check_order(const struct graph *g, struct lv_range stretch, const lv_ranges *order)
{
    bool *seen = calloc(graph_len(g), sizeof *seen);
    uint32_t count = 0;
    for (lv_t lv = 0; lv < stretch.from; lv++) seen[lv] = true;
    for (uint32_t i = 0; i < order->n; i++) {
        must(order->at[i].from < order->at[i].end && order->at[i].end <= stretch.end);
        for (lv_t lv = order->at[i].from; lv < order->at[i].end; lv++, count++) {
            const lv_t *parents;
            lv_t previous;
            must(!seen[lv]);
            for (uint32_t n = graph_parents(g, lv, &parents, &previous); n > 0; n--)
                must(seen[parents[n - 1]]);
            seen[lv] = true;
        }
    }
    must(count == stretch.end - stretch.from);
    free(seen);
}

START_TEST(every_event_is_visited_once_after_its_parents)
{
    lv_ranges order = {0};
    for (uint32_t seed = 0, n = seeds(2000); seed < n; seed++) {
        struct random r = random_seeded(seed);
        struct session s;
        session_begin(&s, &r, 2 + below(&r, WRITERS - 1), one_in(&r, 2));
        lv_t len = graph_len(s.g), from = below(&r, len);
        struct lv_range stretch = {from, from + 1 + below(&r, len - from)};
        must(visit_order(s.g, &heap, stretch, &order) == SYN_OK);
        check_order(s.g, stretch, &order);
        session_end(&s);
    }
    array_free(&heap, &order);
}
END_TEST

/* Two who write by turns, never reading: one branch, then the other. */
START_TEST(two_branches_are_visited_one_after_the_other)
{
    struct session s = {.g = graph_new(&heap), .writers = 2};
    struct random r = random_seeded(1);
    lv_ranges order = {0};
    for (uint32_t i = 0; i < 100; i++) write_run(&s, &r, i % 2);
    must(visit_order(s.g, &heap, (struct lv_range){0, graph_len(s.g)}, &order) == SYN_OK);
    uint32_t changes = 0, last = AGENT_NONE;
    for (uint32_t i = 0; i < order.n; i++) {
        uint32_t agent, seq;
        graph_id(s.g, order.at[i].from, &agent, &seq);
        changes += agent != last;
        last = agent;
    }
    ck_assert_uint_eq(changes, 2);
    array_free(&heap, &order);
    session_end(&s);
}
END_TEST

/* ---- Dense versions -------------------------------------------------------------------------- */

static void mark(const lv_ranges *ranges, lv_t from, uint8_t *marks)
{
    for (uint32_t i = 0; i < ranges->n; i++)
        for (lv_t lv = ranges->at[i].from; lv < ranges->at[i].end; lv++)
            if (lv >= from) marks[lv]++;
}

/* Both say the same of the events from `from` on. */
static void check_same(lv_t len, lv_t from, const lv_ranges *a, const lv_ranges *b)
{
    uint8_t *one = calloc(len, 1), *other = calloc(len, 1);
    mark(a, from, one);
    mark(b, from, other);
    must(memcmp(one, other, len) == 0);
    free(one);
    free(other);
}

/* A place anywhere in the window, and the version that it names. */
static struct dense_place any_place(struct random *r, const struct graph *g, const struct dense *d,
                                    const lv_t **version, uint32_t *count, lv_t *scratch)
{
    lv_t lv = d->window.from + below(r, d->window.end - d->window.from);
    struct dense_place place = {graph_run_of(g, lv) - d->first, lv};
    if (one_in(r, 2)) {
        *count = graph_parents(g, lv, version, scratch);
    } else {
        *scratch = lv;
        *version = scratch;
        *count = 1;
        place.lv++;
    }
    return place;
}

START_TEST(dense_differences_equal_those_of_the_graph)
{
    struct dense dense = {.first = 0};
    lv_ranges only[4] = {{0}};
    for (uint32_t seed = 0, n = seeds(1000); seed < n; seed++) {
        struct random r = random_seeded(seed);
        struct session s;
        bool fits;
        uint32_t writers = 1 + below(&r, DENSE_PEERS + 1);
        session_begin(&s, &r, writers, true);
        lv_t len = graph_len(s.g), from = 1; /* event 0 is critical */
        if (len > 1) {
            must(dense_begin(&dense, s.g, &heap, (struct lv_range){from, len}, &fits) == SYN_OK);
            must(fits || writers > DENSE_PEERS);
        }
        for (uint32_t i = 0; len > 1 && fits && i < 10; i++) {
            const lv_t *va, *vb;
            lv_t one, other;
            uint32_t na, nb;
            struct dense_place a = any_place(&r, s.g, &dense, &va, &na, &one);
            struct dense_place b = any_place(&r, s.g, &dense, &vb, &nb, &other);
            must(graph_diff(s.g, va, na, vb, nb, &only[0], &only[1]) == SYN_OK);
            must(dense_diff(&dense, &heap, a, b, &only[2], &only[3]) == SYN_OK);
            check_same(len, from, &only[0], &only[2]);
            check_same(len, from, &only[1], &only[3]);
        }
        session_end(&s);
    }
    array_free(&heap, &dense.runs);
    for (uint32_t i = 0; i < 4; i++) array_free(&heap, &only[i]);
}
END_TEST

/* ---- What a change may cost ------------------------------------------------------------------ */

static syn_doc *new_doc(uint64_t peer, uint64_t work_limit)
{
    syn_doc *doc;
    syn_doc_config config = SYN_DOC_CONFIG_INIT;
    config.peer = peer;
    config.work_limit = work_limit;
    ck_assert_int_eq(syn_doc_new(&doc, &config), SYN_OK);
    return doc;
}

static syn_obj text_of(syn_doc *doc)
{
    syn_obj obj;
    ck_assert_int_eq(syn_root(doc, syn_s("t"), SYN_TEXT, &obj), SYN_OK);
    return obj;
}

/* Gives `to` the events [from, end) of the other's log. */
static syn_err give(syn_doc *to, syn_doc *other, uint32_t from, uint32_t end)
{
    syn_changes set;
    syn_span span = {from, end};
    ck_assert_int_eq(syn_doc_export_spans(other, &span, 1, &set), SYN_OK);
    return syn_apply(to, &set, false, NULL);
}

static void type_backwards(syn_doc *doc, uint32_t times)
{
    for (; times > 0; times--)
        ck_assert_int_eq(syn_text_insert(doc, text_of(doc), 0, syn_s("x")), SYN_OK);
}

START_TEST(a_change_that_takes_too_much_work_is_refused_whole)
{
    enum { TIMES = 500 };
    syn_doc *a = new_doc(1, 0), *b = new_doc(2, 0), *small = new_doc(3, 100), *big = new_doc(3, 0);
    type_backwards(a, TIMES);
    type_backwards(b, TIMES);
    ck_assert_int_eq(give(small, a, 0, TIMES), SYN_OK); /* nothing is concurrent: no work */
    ck_assert_int_eq(give(small, b, 0, TIMES), SYN_ELIMIT);
    ck_assert_uint_eq(syn_doc_log_end(small), TIMES);
    ck_assert_uint_eq(syn_text_len(small, text_of(small)), TIMES);
    syn_doc_check(small);
    ck_assert_int_eq(give(big, a, 0, TIMES), SYN_OK);
    ck_assert_int_eq(give(big, b, 0, TIMES), SYN_OK);
    ck_assert_uint_eq(syn_text_len(big, text_of(big)), 2 * TIMES);
    syn_doc_check(big);
    type_backwards(small, 1); /* it goes on */
    ck_assert_uint_eq(syn_text_len(small, text_of(small)), TIMES + 1);
    syn_doc_free(a);
    syn_doc_free(b);
    syn_doc_free(small);
    syn_doc_free(big);
}
END_TEST

/* Two typed at once, and somebody gets both in one set: the short way costs work, too. */
START_TEST(a_short_window_has_a_limit)
{
    enum { TIMES = 200 };
    syn_doc *a = new_doc(1, 0), *b = new_doc(2, 0), *small = new_doc(3, 100), *big = new_doc(3, 0);
    type_backwards(a, TIMES);
    type_backwards(b, TIMES);
    ck_assert_int_eq(give(a, b, 0, TIMES), SYN_OK);
    ck_assert_int_eq(give(small, a, 0, 2 * TIMES), SYN_ELIMIT);
    ck_assert_uint_eq(syn_doc_log_end(small), 0);
    ck_assert_int_eq(give(big, a, 0, 2 * TIMES), SYN_OK);
    ck_assert_uint_eq(syn_text_len(big, text_of(big)), 2 * TIMES);
    syn_doc_check(big);
    syn_doc_free(a);
    syn_doc_free(b);
    syn_doc_free(small);
    syn_doc_free(big);
}
END_TEST

/* What is expected is a matter of memory alone, be it right or not. */
START_TEST(a_history_comes_in_parts_whatever_was_expected)
{
    enum { TIMES = 300 };
    static const uint32_t told[] = {0, 1, TIMES, 2 * TIMES, 1000 * 1000};
    syn_doc *a = new_doc(1, 0), *b = new_doc(2, 0);
    type_backwards(a, TIMES);
    type_backwards(b, TIMES);
    ck_assert_int_eq(give(a, b, 0, TIMES), SYN_OK);
    for (size_t i = 0; i < sizeof told / sizeof *told; i++) {
        syn_doc *c = new_doc(3, 0);
        syn_doc_expect(c, told[i]);
        for (uint32_t from = 0; from < 2 * TIMES; from += TIMES / 10)
            ck_assert_int_eq(give(c, a, from, from + TIMES / 10), SYN_OK);
        syn_doc_expect(c, 0);
        ck_assert_uint_eq(syn_text_len(c, text_of(c)), 2 * TIMES);
        syn_doc_check(c);
        syn_doc_free(c);
    }
    syn_doc_free(a);
    syn_doc_free(b);
}
END_TEST

/* `clients` at one place, each of whom knows only himself and types so many characters backwards;
 * then all of it at once, which may take `steps`. */
static void many_at_one_place(uint64_t clients, uint32_t times, uint64_t steps)
{
    syn_doc *all = new_doc(1, 2000 * times), *again = new_doc(1, steps);
    for (uint64_t c = 0; c < clients; c++) {
        syn_doc *one = new_doc(2 + c * 1103 % clients, 0);
        type_backwards(one, times);
        ck_assert_int_eq(give(all, one, 0, times), SYN_OK);
        syn_doc_free(one);
    }
    ck_assert_int_eq(give(again, all, 0, (uint32_t)clients * times), SYN_OK);
    ck_assert_uint_eq(syn_text_len(again, text_of(again)), clients * times);
    syn_doc_check(again);
    syn_doc_free(all);
    syn_doc_free(again);
}

/* Passing all others one by one would take 8 million steps in all, and 4,000 for the last. */
START_TEST(thousands_at_one_place_take_few_steps_each)
{
    many_at_one_place(4000, 1, 2000 * 1000);
}
END_TEST

/* Here those passed are mixed: the first character of each run goes by peer, the others go before
 * it.  One by one: 36 million steps. */
START_TEST(hundreds_with_runs_at_one_place_take_few_steps_each)
{
    many_at_one_place(600, 20, 4000 * 1000);
}
END_TEST

/* By turns at both ends, so that each edit is a run of its own. */
static void scatter(syn_doc *doc, uint32_t times)
{
    for (uint32_t i = 0; i < times; i++) {
        size_t pos = i % 2 == 0 ? 0 : syn_text_len(doc, text_of(doc));
        ck_assert_int_eq(syn_text_insert(doc, text_of(doc), pos, syn_s("x")), SYN_OK);
    }
}

/* Two branches that meet, much that is concurrent with nothing, and then somebody who knows only
 * the beginning.  His event takes the others' out of the prepare version, but they have been fed:
 * the merge was kept, and followed. */
START_TEST(a_late_event_does_not_wait_for_a_rebuild)
{
    enum { BRANCH = 2500, AFTER = 6000 };
    syn_doc *a = new_doc(1, 0), *b = new_doc(2, 0), *late = new_doc(3, 0), *all = new_doc(4, 0);
    scatter(a, 2);
    ck_assert_int_eq(give(b, a, 0, 2), SYN_OK);
    ck_assert_int_eq(give(late, a, 0, 2), SYN_OK);
    scatter(a, BRANCH);
    scatter(b, BRANCH);
    ck_assert_int_eq(give(a, b, 2, 2 + BRANCH), SYN_OK);
    ck_assert_int_eq(give(all, a, 0, 2 + BRANCH), SYN_OK);
    ck_assert_int_eq(give(all, a, 2 + BRANCH, 2 + 2 * BRANCH), SYN_OK);
    scatter(a, AFTER);
    for (uint32_t i = 0; i < AFTER; i++) {
        uint32_t lv = 2 + 2 * BRANCH + i;
        ck_assert_int_eq(give(all, a, lv, lv + 1), SYN_OK);
    }
    scatter(late, 1);
    ck_assert_int_eq(give(all, late, 2, 3), SYN_OK);
    ck_assert_uint_lt(all->desk->work.done, 2 * (2 * BRANCH + AFTER));
    syn_doc_check(all);
    syn_doc_free(a);
    syn_doc_free(b);
    syn_doc_free(late);
    syn_doc_free(all);
}
END_TEST

/* Branches that never merge, and whose events come by turns: each would take the others' out of the
 * prepare version and put its own in, thousands of steps. */
static void by_turns(uint32_t branches, uint32_t turns)
{
    syn_doc *branch[8], *all = new_doc(100, 0);
    uint64_t steps = 0;
    for (uint32_t i = 0; i < branches; i++) branch[i] = new_doc(1 + i, 0);
    for (uint32_t k = 0; k < turns; k++) {
        for (uint32_t i = 0; i < branches; i++) {
            size_t len = syn_text_len(branch[i], text_of(branch[i]));
            syn_err err = k % 3 == 2 ? syn_text_delete(branch[i], text_of(branch[i]), k % len, 1)
                                     : syn_text_insert(branch[i], text_of(branch[i]), k % (len + 1),
                                                       syn_s("x"));
            must(err == SYN_OK && give(all, branch[i], k, k + 1) == SYN_OK);
            steps += syn_doc_take_work(all);
        }
        if (k % 500 == 0) syn_doc_check(all);
    }
    ck_assert_uint_gt(container_at(&all->all, text_of(all))->merge->stands.n, 0);
    ck_assert_uint_lt(steps, UINT64_C(50) * branches * turns);
    syn_doc_check(all);
    for (uint32_t i = 0; i < branches; i++) syn_doc_free(branch[i]);
    syn_doc_free(all);
}

START_TEST(branches_that_come_by_turns_take_few_steps_each)
{
    by_turns(2, 2000);
    by_turns(4, 1000);
}
END_TEST

/* A short window of two branches that arrived by turns is merged branch by branch, too: in that
 * order it would take 400 steps an event. */
START_TEST(a_short_window_by_turns_takes_few_steps)
{
    enum { TURNS = 150 };
    syn_doc *a = new_doc(1, 0), *b = new_doc(2, 0), *all = new_doc(3, 0),
            *again = new_doc(4, 100 * 2 * TURNS);
    for (uint32_t i = 0; i < TURNS; i++) {
        type_backwards(a, 1);
        type_backwards(b, 1);
        ck_assert_int_eq(give(all, a, i, i + 1), SYN_OK);
        ck_assert_int_eq(give(all, b, i, i + 1), SYN_OK);
    }
    ck_assert_int_eq(give(again, all, 0, 2 * TURNS), SYN_OK);
    syn_doc_free(a);
    syn_doc_free(b);
    syn_doc_free(all);
    syn_doc_free(again);
}
END_TEST

/* Where the own event `number` of one who always lags stands in his log. */
static uint32_t place_of(uint32_t number, uint32_t lag)
{
    return number < lag ? number : 2 * number - lag + 1;
}

static void type_somewhere(syn_doc *doc, uint32_t seed)
{
    size_t pos = seed * UINT64_C(2654435761) % (syn_text_len(doc, text_of(doc)) + 1);
    ck_assert_int_eq(syn_text_insert(doc, text_of(doc), pos, syn_s("x")), SYN_OK);
}

/* Two who hear of each other's events 200 events late.  Whoever changed branches at each event
 * would take 400 steps and more for it. */
START_TEST(two_who_lag_behind_are_merged_in_few_steps)
{
    enum { EACH = 1500, LAG = 200 };
    syn_doc *pair[2] = {new_doc(1, 0), new_doc(2, 0)}, *again = new_doc(3, 100 * 2 * EACH);
    for (uint32_t k = 0; k < EACH; k++) {
        for (uint32_t i = 0; k >= LAG && i < 2; i++) {
            uint32_t heard = place_of(k - LAG, LAG);
            ck_assert_int_eq(give(pair[i], pair[1 - i], heard, heard + 1), SYN_OK);
        }
        type_somewhere(pair[0], k);
        type_somewhere(pair[1], k + EACH);
    }
    ck_assert_int_eq(give(again, pair[0], 0, 2 * EACH - LAG), SYN_OK);
    ck_assert_uint_eq(syn_doc_events(again), 2 * EACH - LAG);
    syn_doc_free(pair[0]);
    syn_doc_free(pair[1]);
    syn_doc_free(again);
}
END_TEST

/* ---- Parents of a set's runs ----------------------------------------------------------------- */

/* A history whose every event keeps all its ancestors; one run's parents are drawn blindly.  Each
 * event is a run of its own. */
enum { EVENTS = 64, PEERS = 6 };

struct history {
    uint64_t before[EVENTS]; /* bit e: event e is an ancestor */
    uint64_t known[PEERS];   /* what each peer has heard of */
    uint64_t peers[PEERS];
    struct change_run runs[EVENTS];
    struct change_dep deps[EVENTS * PEERS];
    struct change_op op;
    bool sound;
    syn_changes set;
};

static uint64_t bit(uint32_t event)
{
    return UINT64_C(1) << event;
}

/* Those of the events that no other one of them comes after. */
static uint64_t heads_of(const struct history *h, uint64_t events)
{
    uint64_t heads = events;
    for (uint32_t e = 0; e < EVENTS; e++)
        if (events & bit(e)) heads &= ~h->before[e];
    return heads;
}

static void add_event(struct history *h, uint32_t e, uint32_t peer, uint64_t parents)
{
    struct change_run *run = &h->runs[e];
    uint64_t before = parents, previous = 0;
    *run = (struct change_run){.peer = peer, .len = 1, .explicit_parents = true};
    for (uint32_t i = 0; i < e; i++) {
        if (parents & bit(i)) {
            before |= h->before[i];
            run->dep_count++;
            h->deps[h->set.dep_count++] = (struct change_dep){h->runs[i].peer, h->runs[i].seq};
        }
        if (h->runs[i].peer != peer) continue;
        previous = bit(i);
        run->seq = h->runs[i].seq + 1;
    }
    h->before[e] = before;
    h->known[peer] |= before | bit(e);
    h->sound &= heads_of(h, parents) == parents && (before & previous) == previous;
}

static void history_make(struct history *h, struct random *r, uint32_t peers, uint32_t count)
{
    uint32_t spoilt = below(r, count), often = 1 + below(r, 6);
    *h = (struct history){.sound = true, .op = {.kind = OP_NOTHING, .len = count}};
    for (uint32_t p = 0; p < PEERS; p++) h->peers[p] = 100 + p;
    for (uint32_t e = 0; e < count; e++) {
        uint32_t peer = below(r, peers);
        if (one_in(r, often)) h->known[peer] |= h->known[below(r, peers)];
        uint64_t parents = heads_of(h, h->known[peer]);
        if (e == spoilt && e > 1 && !one_in(r, 3)) parents = bit(below(r, e)) | bit(below(r, e));
        add_event(h, e, peer, parents);
    }
    h->set.peers = h->peers;
    h->set.peer_count = peers;
    h->set.runs = h->runs;
    h->set.run_count = count;
    h->set.deps = h->deps;
    h->set.ops = &h->op;
    h->set.op_count = 1;
}

/* The events one by one, as far as they are taken. */
static syn_err apply_singly(syn_doc *doc, const struct history *h)
{
    syn_err err = SYN_OK;
    struct change_op op = {.kind = OP_NOTHING, .len = 1};
    syn_changes one = h->set;
    one.run_count = 1;
    one.ops = &op;
    for (uint32_t e = 0; err == SYN_OK && e < h->set.run_count; e++) {
        one.runs = &h->runs[e];
        one.dep_count = h->runs[e].dep_count;
        err = syn_apply(doc, &one, false, NULL);
        one.deps += one.dep_count;
    }
    return err;
}

/* In a set of few runs every run is judged as it comes, in one of many the window's rows are asked,
 * or, with many writers, the graph. */
START_TEST(parents_are_judged_alike_in_sets_of_any_size)
{
    uint32_t refused = 0, rounds = seeds(4000);
    static struct history h;
    for (uint32_t seed = 0; seed < rounds; seed++) {
        struct random r = random_seeded(seed);
        history_make(&h, &r, 2 + below(&r, PEERS - 1), 2 + below(&r, EVENTS - 2));
        syn_doc *one = new_doc(1, 0), *all = new_doc(1, 0);
        syn_err expected = h.sound ? SYN_OK : SYN_EMALFORMED;
        syn_err singly = apply_singly(one, &h), together = syn_apply(all, &h.set, false, NULL);
        ck_assert_msg(singly == expected && together == expected, "seed %u: %d, %d, not %d", seed,
                      (int)singly, (int)together, (int)expected);
        must(syn_doc_log_end(all) == (h.sound ? h.set.run_count : 0));
        syn_doc_check(all);
        refused += !h.sound;
        syn_doc_free(one);
        syn_doc_free(all);
    }
    ck_assert_uint_gt(refused, rounds / 10);
    ck_assert_uint_lt(refused, rounds - rounds / 10);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("merge");
    TCase *tc = tcase_create("merge");
    tcase_set_timeout(tc, 0);
    printf("merge: seeds from 0 on, times SYN_SEEDS\n");
    tcase_add_test(tc, every_event_is_visited_once_after_its_parents);
    tcase_add_test(tc, two_branches_are_visited_one_after_the_other);
    tcase_add_test(tc, dense_differences_equal_those_of_the_graph);
    tcase_add_test(tc, a_change_that_takes_too_much_work_is_refused_whole);
    tcase_add_test(tc, branches_that_come_by_turns_take_few_steps_each);
    tcase_add_test(tc, a_short_window_has_a_limit);
    tcase_add_test(tc, a_history_comes_in_parts_whatever_was_expected);
    tcase_add_test(tc, thousands_at_one_place_take_few_steps_each);
    tcase_add_test(tc, hundreds_with_runs_at_one_place_take_few_steps_each);
    tcase_add_test(tc, a_late_event_does_not_wait_for_a_rebuild);
    tcase_add_test(tc, a_short_window_by_turns_takes_few_steps);
    tcase_add_test(tc, two_who_lag_behind_are_merged_in_few_steps);
    tcase_add_test(tc, parents_are_judged_alike_in_sets_of_any_size);
    suite_add_tcase(s, tc);
    SRunner *runner = srunner_create(s);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
