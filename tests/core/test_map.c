/* test_map.c -- one register beside its naive twin, in random histories.
 *
 * The twin keeps the ancestors of every event as a set of bits, and of all writes ever made those
 * that are no other's ancestors, sorted anew each time it is asked. */
#include "../../core/map.h"
#include "random.h"

#include <string.h>

enum { EVENTS = 200, AGENTS = 24, WORDS = (EVENTS + 63) / 64, KEY = 7 };

static void *heap_resize(void *user, void *ptr, size_t old_size, size_t new_size)
{
    (void)user;
    (void)old_size;
    if (new_size > 0) return realloc(ptr, new_size);
    free(ptr);
    return NULL;
}

struct pair {
    syn_mem mem;
    struct graph *graph;
    struct map map;
    struct random r;
    uint64_t ancestors[EVENTS][WORDS]; /* with the event itself */
    struct map_write writes[EVENTS];
    uint32_t written;
};

static bool has(const uint64_t *set, lv_t lv)
{
    return set[lv / 64] >> lv % 64 & 1;
}

/* ---- The history ---- */

/* Some events that stand beside one another, and the agent's last one below them. */
static uint32_t draw_parents(struct pair *p, uint32_t agent, lv_t *parents, uint32_t most)
{
    uint32_t count = 0, next = graph_agent_next(p->graph, agent);
    lv_t len = graph_len(p->graph);
    if (next > 0) parents[count++] = graph_find(p->graph, agent, next - 1);
    for (uint32_t i = len > 0 ? below(&p->r, most) : 0; i > 0; i--)
        parents[count++] = one_in(&p->r, 3) ? len - 1 : below(&p->r, len);
    must(graph_dominators(p->graph, parents, &count) == SYN_OK);
    return count;
}

/* One event more; returns whether its parents are all that is here. */
static bool push_event(struct pair *p, uint32_t agent)
{
    lv_t parents[8], lv = graph_len(p->graph);
    uint32_t heads, count = draw_parents(p, agent, parents, 8);
    const lv_t *frontier = graph_frontier(p->graph, &heads);
    bool fast =
        heads == count && (count == 0 || memcmp(frontier, parents, count * sizeof *parents) == 0);
    for (uint32_t i = 0; i < count; i++)
        for (uint32_t w = 0; w < WORDS; w++) p->ancestors[lv][w] |= p->ancestors[parents[i]][w];
    p->ancestors[lv][lv / 64] |= UINT64_C(1) << lv % 64;
    must(graph_push(p->graph, agent, graph_agent_next(p->graph, agent), 1, parents, count) ==
         SYN_OK);
    return fast;
}

static void write_key(struct pair *p, lv_t lv, bool fast)
{
    struct map_write write = {.lv = lv, .gone = one_in(&p->r, 4)};
    graph_id(p->graph, lv, &write.agent, &write.seq);
    write.lamport = graph_lamport(p->graph, lv);
    must(map_reserve(&p->map, &p->mem, KEY, fast) == SYN_OK);
    map_write_in(&p->map, p->graph, KEY, &write, fast);
    p->writes[p->written++] = write;
}

/* ---- The twin ---- */

static int greatest_first(const void *x, const void *y)
{
    const struct map_write *a = x, *b = y; /* no two have the same peer and lamport here */
    if (a->lamport != b->lamport) return a->lamport > b->lamport ? -1 : 1;
    return a->agent > b->agent ? -1 : 1; /* peers ascend with their agents */
}

static uint32_t twin_writes(const struct pair *p, struct map_write *out)
{
    uint32_t n = 0;
    for (uint32_t i = 0; i < p->written; i++) {
        bool superseded = false;
        for (uint32_t k = i + 1; k < p->written; k++)
            superseded |= has(p->ancestors[p->writes[k].lv], p->writes[i].lv);
        if (!superseded) out[n++] = p->writes[i];
    }
    qsort(out, n, sizeof *out, greatest_first);
    return n;
}

static void compare(struct pair *p, bool losers)
{
    struct map_write twin[EVENTS];
    uint32_t n = twin_writes(p, twin);
    struct map_register *reg = map_find(&p->map, KEY);
    must(reg->count == n && reg->pending == 0);
    must(register_slots(reg)[0].lv == twin[0].lv);
    const struct map_write *winner = map_winner(&p->map, KEY);
    must(twin[0].gone ? winner == NULL : winner->lv == twin[0].lv);
    const struct map_write *writes = losers ? map_writes(p->graph, reg) : NULL;
    for (uint32_t i = 0; losers && i < n; i++) must(writes[i].lv == twin[i].lv);
}

/* What a transaction does that is rolled back: the slots as they were, in any order. */
static void take_back(struct pair *p)
{
    struct map_write saved[EVENTS];
    struct map_register *reg = map_find(&p->map, KEY);
    uint32_t count = reg->count;
    memcpy(saved, register_slots(reg), count * sizeof *saved);
    bool fast = push_event(p, below(&p->r, AGENTS));
    write_key(p, graph_len(p->graph) - 1, fast);
    map_put_back(&p->map, KEY, saved, count);
    p->written--;
}

START_TEST(a_register_agrees_with_its_twin)
{
    struct pair *p = calloc(1, sizeof *p);
    must(p != NULL);
    p->mem = (syn_mem){heap_resize, NULL};
    p->graph = graph_new(&p->mem);
    p->r = random_seeded((uint32_t)_i);
    uint32_t agent, quiet = below(&p->r, 6); /* writes of other keys between */
    for (uint32_t i = 0; i < AGENTS; i++) must(graph_agent_add(p->graph, i + 1, &agent) == SYN_OK);
    while (graph_len(p->graph) + 1 < EVENTS) {
        bool fast = push_event(p, below(&p->r, AGENTS));
        if (below(&p->r, 6) < quiet) continue;
        write_key(p, graph_len(p->graph) - 1, fast);
        if (one_in(&p->r, 8) && graph_len(p->graph) + 1 < EVENTS) take_back(p);
        compare(p, one_in(&p->r, 4));
    }
    graph_free(p->graph);
    map_free(&p->map, &p->mem);
    free(p);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("map");
    TCase *twin = tcase_create("twin");
    tcase_set_timeout(twin, 0);
    tcase_add_loop_test(twin, a_register_agrees_with_its_twin, 0, (int)seeds(300));
    suite_add_tcase(suite, twin);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
