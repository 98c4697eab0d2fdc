/* test_graph.c -- the event graph against a naive twin: per event its parents and a bit set of all
 * ancestors, nothing shared with the code under test.
 *
 * The vectors of diamond-types (dt-cg-*.jsonl.gz in $SYN_TRACES, default ../shared/traces beside
 * the source) are checked so: version_contains and diff directly; conflicting has spans of the
 * region walked down to a common version: every OnlyA span must lie in only_a, OnlyB in only_b,
 * Shared in neither, nothing of either difference is left out, and expect_common is contained in
 * both. */
#include "graph.h"

#include <check.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <zlib.h>

enum { MAX = 160, WORDS = (MAX + 63) / 64, AGENTS = 8 };

/* ---- an allocator that fails on demand */

struct heap {
    long left; /* allocations until failure; negative: never */
    size_t used;
};

static void *heap_resize(void *user, void *ptr, size_t old_size, size_t new_size)
{
    struct heap *h = user;
    if (new_size == 0) {
        h->used -= old_size;
        free(ptr);
        return NULL;
    }
    if (h->left == 0) return NULL;
    if (h->left > 0) h->left--;
    void *p = realloc(ptr, new_size);
    h->used += new_size - old_size;
    return p;
}

/* ---- the twin */

struct twin {
    lv_t n;
    uint64_t up[MAX][WORDS]; /* ancestors, itself included */
    lv_t parents[MAX][MAX];
    uint32_t count[MAX], agent[MAX], seq[MAX], lamport[MAX];
};

struct rig {
    struct heap heap;
    syn_mem mem;
    struct graph *g;
    struct twin t;
    uint32_t agents;
    uint64_t random;
    bool base;
};

static uint32_t below(struct rig *r, uint32_t n)
{
    r->random = r->random * 6364136223846793005u + 1442695040888963407u;
    return (uint32_t)(r->random >> 33) % n;
}

static bool up(const struct twin *t, lv_t of, lv_t lv)
{
    return t->up[of][lv / 64] >> (lv % 64) & 1;
}

static bool naive_contains(const struct twin *t, const lv_t *v, uint32_t n, lv_t lv)
{
    for (uint32_t i = 0; i < n; i++)
        if (up(t, v[i], lv)) return true;
    return false;
}

static uint32_t naive_dominators(const struct twin *t, const lv_t *set, uint32_t n, lv_t *out)
{
    uint32_t kept = 0;
    for (lv_t lv = 0; lv < t->n; lv++) {
        bool in = false, covered = false;
        for (uint32_t i = 0; i < n; i++) {
            in |= set[i] == lv;
            covered |= set[i] != lv && up(t, set[i], lv);
        }
        if (in && !covered) out[kept++] = lv;
    }
    return kept;
}

static uint32_t naive_frontier(const struct twin *t, lv_t len, lv_t *out)
{
    lv_t all[MAX];
    for (lv_t lv = 0; lv < len; lv++) all[lv] = lv;
    return naive_dominators(t, all, len, out);
}

static bool naive_critical(const struct twin *t, lv_t v)
{
    for (lv_t lv = 0; lv < t->n; lv++)
        if (lv < v ? !up(t, v, lv) : !up(t, lv, v)) return false;
    return true;
}

static uint32_t naive_next(const struct twin *t, uint32_t agent)
{
    for (lv_t lv = t->n; lv-- > 0;)
        if (t->agent[lv] == agent) return t->seq[lv] + 1;
    return 0;
}

static void twin_push(struct twin *t, uint32_t agent, uint32_t seq, const lv_t *parents, uint32_t n)
{
    lv_t lv = t->n++;
    memset(t->up[lv], 0, sizeof t->up[lv]);
    t->up[lv][lv / 64] |= (uint64_t)1 << (lv % 64);
    t->lamport[lv] = 1;
    for (uint32_t i = 0; i < n; i++) {
        t->parents[lv][i] = parents[i];
        for (int w = 0; w < WORDS; w++) t->up[lv][w] |= t->up[parents[i]][w];
        if (t->lamport[parents[i]] >= t->lamport[lv]) t->lamport[lv] = t->lamport[parents[i]] + 1;
    }
    t->count[lv] = n;
    t->agent[lv] = agent;
    t->seq[lv] = seq;
}

/* ---- comparing everything */

static void check_ranges(const struct twin *t, const lv_ranges *got, const lv_t *a, uint32_t na,
                         const lv_t *b, uint32_t nb)
{
    uint32_t i = 0;
    for (lv_t lv = 0; lv < t->n; lv++) {
        while (i < got->n && got->at[i].end <= lv) i++;
        bool in = i < got->n && got->at[i].from <= lv;
        ck_assert(in == (naive_contains(t, a, na, lv) && !naive_contains(t, b, nb, lv)));
    }
    for (i = 1; i < got->n; i++) ck_assert(got->at[i - 1].end < got->at[i].from);
}

static uint32_t random_set(struct rig *r, lv_t *out)
{
    uint32_t n = below(r, 5);
    if (r->t.n == 0) return 0;
    for (uint32_t i = 0; i < n; i++) out[i] = below(r, r->t.n);
    return n;
}

static uint32_t random_version(struct rig *r, lv_t *out)
{
    lv_t set[8], all[MAX];
    uint32_t n = naive_dominators(&r->t, set, random_set(r, set), all);
    memcpy(out, all, n * sizeof *out);
    return n;
}

static void compare_events(const struct rig *r)
{
    const struct twin *t = &r->t;
    lv_t critical = LV_NONE;
    ck_assert_uint_eq(graph_len(r->g), t->n);
    for (lv_t lv = 0; lv < t->n; lv++) {
        uint32_t agent, seq;
        lv_t scratch;
        const lv_t *parents;
        graph_id(r->g, lv, &agent, &seq);
        ck_assert(agent == t->agent[lv] && seq == t->seq[lv]);
        ck_assert_uint_eq(graph_find(r->g, agent, seq), lv);
        ck_assert_uint_eq(graph_lamport(r->g, lv), t->lamport[lv]);
        ck_assert_uint_eq(graph_parents(r->g, lv, &parents, &scratch), t->count[lv]);
        for (uint32_t i = 0; i < t->count[lv]; i++) ck_assert(parents[i] == t->parents[lv][i]);
        if (naive_critical(t, lv)) critical = lv;
        ck_assert_uint_eq(graph_critical_at_or_before(r->g, lv), critical);
    }
    for (uint32_t k = 0; k < graph_run_count(r->g); k++) {
        const struct graph_run run = graph_run_at(r->g, k);
        ck_assert(run.shadow <= run.lv);
        for (lv_t lv = run.shadow; lv < run.lv; lv++) ck_assert(up(t, run.lv, lv));
    }
    for (uint32_t i = 0; i < r->agents; i++) {
        uint32_t next = naive_next(t, i);
        ck_assert_uint_eq(graph_agent_next(r->g, i), next);
        lv_t last = graph_agent_last(r->g, i);
        ck_assert(next == 0 ? last == LV_NONE : last == graph_find(r->g, i, next - 1));
        ck_assert_uint_eq(graph_find(r->g, i, next), LV_NONE);
    }
}

static void compare_versions(struct rig *r)
{
    lv_t a[8], b[8], set[8], want[MAX];
    lv_ranges only_a = {0}, only_b = {0};
    lv_set at = {0};
    uint32_t na = random_version(r, a), nb = random_version(r, b), heads;
    ck_assert(graph_diff(r->g, a, na, b, nb, &only_a, &only_b) == SYN_OK);
    check_ranges(&r->t, &only_a, a, na, b, nb);
    check_ranges(&r->t, &only_b, b, nb, a, na);
    for (lv_t lv = 0; lv < r->t.n; lv++) {
        r->heap.left = below(r, 4) == 0 ? 0 : -1; /* without memory too */
        ck_assert(graph_contains(r->g, a, na, lv) == naive_contains(&r->t, a, na, lv));
    }
    r->heap.left = -1;
    uint32_t n = random_set(r, set), kept = naive_dominators(&r->t, set, n, want);
    ck_assert(graph_dominators(r->g, set, &n) == SYN_OK);
    ck_assert(n == kept && (n == 0 || memcmp(set, want, n * sizeof *set) == 0));
    const lv_t *got = graph_frontier(r->g, &heads);
    n = naive_frontier(&r->t, r->t.n, want);
    ck_assert(n == heads && (n == 0 || memcmp(got, want, n * sizeof *got) == 0));
    lv_t len = below(r, r->t.n + 1);
    ck_assert(graph_frontier_at(r->g, len, &at) == SYN_OK);
    n = naive_frontier(&r->t, len, want);
    ck_assert(n == at.n && (n == 0 || memcmp(at.at, want, n * sizeof *want) == 0));
    array_free(&r->mem, &only_a);
    array_free(&r->mem, &only_b);
    array_free(&r->mem, &at);
}

/* ---- random graphs */

static void rig_open(struct rig *r, uint64_t seed, bool base)
{
    memset(r, 0, sizeof *r);
    r->heap.left = -1;
    r->mem = (syn_mem){heap_resize, &r->heap};
    r->g = graph_new(&r->mem);
    r->random = seed * 0x9e3779b97f4a7c15u + 1;
    r->agents = 2 + below(r, AGENTS - 1);
    for (uint32_t i = 0; i < r->agents; i++) {
        uint32_t agent;
        ck_assert(graph_agent_add(r->g, (uint64_t)(i * 7919 % 31) << 60 | i, &agent) == SYN_OK);
        ck_assert_uint_eq(agent, i);
    }
    r->base = base;
    if (!base) return;
    ck_assert(graph_set_base(r->g, 0, 41, 1000) == SYN_OK);
    twin_push(&r->t, 0, 41, NULL, 0);
    r->t.lamport[0] = 1000;
}

static void rig_close(struct rig *r)
{
    graph_free(r->g);
    ck_assert_uint_eq(r->heap.used, 0);
}

static uint32_t pick_parents(struct rig *r, lv_t *out)
{
    uint32_t dice = below(r, 10);
    if (r->t.n == 0 || (dice == 0 && !r->base)) return 0;
    if (dice < 5) {
        out[0] = r->t.n - 1;
        return 1;
    }
    if (dice < 7) return naive_frontier(&r->t, r->t.n, out);
    uint32_t n = random_version(r, out);
    if (n == 0) out[n++] = r->t.n - 1;
    return n;
}

/* Every allocation of the push fails in turn; the graph must be as it was. */
static void push(struct rig *r, bool starve)
{
    lv_t parents[MAX];
    uint32_t n = pick_parents(r, parents), len = 1 + below(r, 5), agent = below(r, r->agents);
    uint32_t seq = graph_agent_next(r->g, agent);
    if (below(r, 2) && r->t.n > 0 && n == 1) {
        agent = r->t.agent[r->t.n - 1];
        seq = graph_agent_next(r->g, agent);
    }
    if (r->base && seq == 0) seq = below(r, 50);
    if (r->t.n + len > MAX) return;
    syn_err err = SYN_ENOMEM;
    for (long allowed = starve ? 0 : -1; err != SYN_OK; allowed++) {
        r->heap.left = allowed;
        err = graph_push(r->g, agent, seq, len, parents, n);
        r->heap.left = -1;
        if (err == SYN_OK) break;
        ck_assert(err == SYN_ENOMEM);
        graph_check(r->g);
        compare_events(r);
    }
    for (uint32_t i = 0; i < len; i++) {
        lv_t before = r->t.n - 1;
        twin_push(&r->t, agent, seq + i, i == 0 ? parents : &before, i == 0 ? n : 1);
    }
    graph_check(r->g);
}

/* Events that go on where the last one stands, by either way; whether they may is the twin's to
 * say. */
static void go_on(struct rig *r)
{
    if (r->t.n == 0) return;
    lv_t last = r->t.n - 1, heads[MAX];
    uint32_t len = 1 + below(r, 3), agent = below(r, r->agents), told = AGENT_NONE;
    uint32_t seq = r->t.seq[last] + 1 - (below(r, 4) == 0);
    if (last + len >= MAX) return;
    bool may = agent == r->t.agent[last] && naive_frontier(&r->t, r->t.n, heads) == 1 &&
               !(r->base && last == 0);
    if (below(r, 2)) {
        may = may && seq == r->t.seq[last] + 1;
        ck_assert(graph_continue(r->g, graph_agent_peer(r->g, agent), seq, len, &told) == may);
        ck_assert(!may || told == agent);
    } else {
        ck_assert(graph_extend(r->g, agent, len) == may);
    }
    for (uint32_t i = 0; may && i < len; i++) {
        lv_t before = r->t.n - 1;
        twin_push(&r->t, agent, r->t.seq[before] + 1, &before, 1);
    }
    graph_check(r->g);
}

static void random_graph(uint64_t seed)
{
    struct rig *r = malloc(sizeof *r);
    lv_t kept = 0;
    rig_open(r, seed, seed % 2 == 1);
    for (int step = 0; step < 30; step++) {
        push(r, seed % 8 == 0);
        go_on(r);
        if (below(r, 10) == 0) { /* what is here stays: nothing below can be taken back */
            graph_trim(r->g);
            kept = r->t.n;
            size_t held = graph_footprint(r->g);
            ck_assert_uint_eq(held, r->heap.used);
            graph_check(r->g);
        }
        if (below(r, 10) == 0) {
            lv_t len = kept + below(r, r->t.n + 1 - kept);
            if (r->base && len == 0) len = 1;
            graph_truncate(r->g, len);
            r->t.n = len;
            graph_check(r->g);
        }
        compare_events(r);
        compare_versions(r);
    }
    rig_close(r);
    free(r);
}

START_TEST(test_random)
{
    const char *more = getenv("SYN_SEEDS");
    uint64_t seeds = 1000 * (more == NULL ? 1 : strtoull(more, NULL, 10));
    printf("random graphs: seeds 0 to %llu\n", (unsigned long long)seeds - 1);
    for (uint64_t seed = 0; seed < seeds; seed++) random_graph(seed);
}
END_TEST

START_TEST(test_starved)
{
    struct rig *r = malloc(sizeof *r);
    rig_open(r, 5, false);
    for (int i = 0; i < 30; i++) push(r, false);
    lv_t a[8], b[8], set[8], before[8];
    for (int round = 0; round < 300; round++) {
        uint32_t na = random_version(r, a), nb = random_version(r, b), n = random_set(r, set);
        for (long allowed = 0; allowed < 8; allowed++) {
            lv_ranges only_a = {0}, only_b = {0};
            r->heap.left = allowed;
            syn_err err = graph_diff(r->g, a, na, b, nb, &only_a, &only_b);
            ck_assert(err == SYN_OK || err == SYN_ENOMEM);
            if (err == SYN_OK) check_ranges(&r->t, &only_a, a, na, b, nb);
            uint32_t count = n;
            memcpy(before, set, sizeof set);
            if (graph_dominators(r->g, set, &count) != SYN_OK)
                ck_assert(memcmp(before, set, n * sizeof *set) == 0);
            memcpy(set, before, sizeof set);
            r->heap.left = -1;
            array_free(&r->mem, &only_a);
            array_free(&r->mem, &only_b);
        }
        graph_check(r->g);
    }
    for (uint64_t peer = 100; peer < 400; peer++) {
        uint32_t agent, known = graph_agent_count(r->g);
        r->heap.left = 0;
        if (graph_agent_add(r->g, peer, &agent) != SYN_OK) {
            ck_assert_uint_eq(graph_agent_count(r->g), known);
            ck_assert_uint_eq(graph_agent_find(r->g, peer), AGENT_NONE);
        }
        r->heap.left = -1;
        ck_assert(graph_agent_add(r->g, peer, &agent) == SYN_OK);
        ck_assert(graph_agent_find(r->g, peer) == agent && graph_agent_peer(r->g, agent) == peer);
    }
    rig_close(r);
    free(r);
}
END_TEST

START_TEST(test_limits)
{
    struct rig *r = malloc(sizeof *r);
    rig_open(r, 1, false);
    ck_assert(graph_push(r->g, 0, 0, LV_MAX, NULL, 0) == SYN_OK);
    lv_t last = LV_MAX - 1;
    ck_assert(graph_push(r->g, 0, LV_MAX, 1, &last, 1) == SYN_ELIMIT);
    ck_assert(graph_push(r->g, 1, 0, 1, &last, 1) == SYN_ELIMIT);
    graph_check(r->g);
    rig_close(r);
    free(r);
}
END_TEST

/* ---- diamond-types' vectors */

static uint32_t load_version(const json_t *array, lv_t *out)
{
    uint32_t n = (uint32_t)json_array_size(array);
    for (uint32_t i = 0; i < n; i++) out[i] = (lv_t)json_integer_value(json_array_get(array, i));
    return n;
}

static void load_history(struct rig *r, const json_t *hist)
{
    lv_t parents[MAX];
    for (uint32_t i = 0; i < json_array_size(hist); i++) {
        const json_t *item = json_array_get(hist, i);
        lv_t span[2];
        load_version(json_object_get(item, "span"), span);
        uint32_t n = load_version(json_object_get(item, "parents"), parents), agent;
        ck_assert(graph_agent_add(r->g, 1000 + i, &agent) == SYN_OK);
        ck_assert(graph_push(r->g, agent, 0, span[1] - span[0], parents, n) == SYN_OK);
    }
    graph_check(r->g);
}

static bool in_ranges(const lv_ranges *ranges, lv_t lv)
{
    for (uint32_t i = 0; i < ranges->n; i++)
        if (lv >= ranges->at[i].from && lv < ranges->at[i].end) return true;
    return false;
}

/* 1: only a, 2: only b, 3: shared and named, 0: not named. */
static unsigned expected_side(const json_t *o, lv_t lv)
{
    const char *keys[] = {"expect_a", "expect_b"};
    for (unsigned side = 0; side < 2; side++) {
        const json_t *list = json_object_get(o, keys[side]);
        for (uint32_t i = 0; i < json_array_size(list); i++) {
            lv_t span[2];
            load_version(json_array_get(list, i), span);
            if (lv >= span[0] && lv < span[1]) return side + 1;
        }
    }
    const json_t *spans = json_object_get(o, "expect_spans");
    for (uint32_t i = 0; i < json_array_size(spans); i++) {
        const json_t *span = json_array_get(json_array_get(spans, i), 0);
        const char *flag = json_string_value(json_array_get(json_array_get(spans, i), 1));
        if (lv < json_integer_value(json_object_get(span, "start"))) continue;
        if (lv >= json_integer_value(json_object_get(span, "end"))) continue;
        return strcmp(flag, "OnlyA") == 0 ? 1 : strcmp(flag, "OnlyB") == 0 ? 2 : 3;
    }
    return 0;
}

static void check_vector(const json_t *o)
{
    struct rig *r = malloc(sizeof *r);
    rig_open(r, 1, false);
    load_history(r, json_object_get(o, "hist"));
    lv_t a[MAX], b[MAX], common[MAX];
    const json_t *target = json_object_get(o, "target");
    if (target != NULL) { /* -1 is the root version: in every version, and no LV here */
        uint32_t n = load_version(json_object_get(o, "frontier"), a);
        json_int_t lv = json_integer_value(target);
        ck_assert((lv < 0 || graph_contains(r->g, a, n, (lv_t)lv)) ==
                  json_is_true(json_object_get(o, "expected")));
    } else {
        lv_ranges only_a = {0}, only_b = {0};
        uint32_t na = load_version(json_object_get(o, "a"), a);
        uint32_t nb = load_version(json_object_get(o, "b"), b);
        uint32_t nc = load_version(json_object_get(o, "expect_common"), common);
        ck_assert(graph_diff(r->g, a, na, b, nb, &only_a, &only_b) == SYN_OK);
        for (lv_t lv = 0; lv < graph_len(r->g); lv++) {
            unsigned side = expected_side(o, lv) % 3;
            ck_assert(in_ranges(&only_a, lv) == (side == 1));
            ck_assert(in_ranges(&only_b, lv) == (side == 2));
        }
        for (uint32_t i = 0; i < nc; i++) {
            ck_assert(graph_contains(r->g, a, na, common[i]));
            ck_assert(graph_contains(r->g, b, nb, common[i]));
        }
        array_free(&r->mem, &only_a);
        array_free(&r->mem, &only_b);
    }
    rig_close(r);
    free(r);
}

static void check_vectors(const char *name)
{
    char path[1024], line[8192];
    const char *dir = getenv("SYN_TRACES");
    snprintf(path, sizeof path, "%s/dt-cg-%s.jsonl.gz",
             dir != NULL ? dir : SYN_SOURCE_DIR "/../shared/traces", name);
    gzFile in = gzopen(path, "rb");
    if (in == NULL) {
        printf("left out: %s cannot be opened (set SYN_TRACES)\n", path);
        return;
    }
    unsigned count = 0;
    for (; gzgets(in, line, sizeof line) != NULL; count++) {
        json_t *o = json_loads(line, 0, NULL);
        ck_assert_ptr_nonnull(o);
        check_vector(o);
        json_decref(o);
    }
    gzclose(in);
    ck_assert_uint_gt(count, 0);
    printf("%s: %u vectors\n", name, count);
}

START_TEST(test_vectors)
{
    check_vectors("version_contains");
    check_vectors("diff");
    check_vectors("conflicting");
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("graph");
    TCase *tc = tcase_create("graph");
    tcase_set_timeout(tc, 0);
    tcase_add_test(tc, test_random);
    tcase_add_test(tc, test_starved);
    tcase_add_test(tc, test_limits);
    tcase_add_test(tc, test_vectors);
    suite_add_tcase(suite, tc);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? 0 : 1;
}
