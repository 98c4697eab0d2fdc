/* test_converge.c -- random histories of many replicas, held against the oracle.
 *
 * Replicas edit, meet, lose history, get it back, take work out (world.h).  In the end all have all
 * events, and each must show what the oracle computes from the words of the protocol; so must
 * documents that replay the same history cold: in one set, event by event, in other orders, with
 * every replay kept or each built anew, unheard, and from each critical version on.  What is equal
 * must also be equal in bytes.
 *
 * Environment: SYN_SEEDS times as many histories; SYN_SEED=n runs that history alone. */
#include "doc.h"
#include "world.h"

#include <check.h>
#include <malloc.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#ifdef __SANITIZE_ADDRESS__
enum { HISTORIES = 4000 }; /* fifteen times as slow; the other builds run them all */
#else
enum { HISTORIES = 50000 };
#endif
enum { BLOCKS = 40, WORKERS = 2 };

/* What each block is at, in memory shared with the process that runs it, so that it can be told
 * whichever way that process ends. */
struct progress {
    uint32_t seed;
    bool finished;
};
static struct progress *progress;

/* ---- Cold replays */

static uint64_t digest_of(syn_doc *doc)
{
    syn_snapshot snapshot;
    uint64_t digest;
    ck_assert_int_eq(syn_doc_snapshot(doc, &snapshot), SYN_OK);
    ck_assert_int_eq(proto_digest(&snapshot, &digest, NULL), SYN_OK);
    return digest;
}

static syn_buf log_bytes(syn_doc *doc)
{
    syn_buf bytes = {0};
    syn_changes set;
    syn_span all = {0, syn_doc_log_end(doc)};
    ck_assert_int_eq(syn_doc_export_spans(doc, &all, 1, &set), SYN_OK);
    ck_assert_int_eq(proto_encode_changes(&bytes, &set, NULL), SYN_OK);
    return bytes;
}

static void apply_all(syn_doc *doc, const struct sets *sets, bool keep_pending)
{
    for (uint32_t i = 0; i < sets->n; i++) {
        syn_err err = syn_apply(doc, sets->at[i], keep_pending, NULL);
        if (err != SYN_OK) ck_abort_msg("%s: %s", syn_errname(err), syn_doc_error(doc));
    }
    ck_assert_uint_eq(syn_doc_missing(doc, NULL, 0), 0);
}

/* The replica shows what the archive shows; then it is freed. */
static void must_equal(struct world *w, struct replica *replica, bool same_order)
{
    world_look(w, replica, true);
    ck_assert_uint_eq(digest_of(replica->doc), digest_of(w->archive.doc));
    if (same_order) {
        syn_buf expected = log_bytes(w->archive.doc), actual = log_bytes(replica->doc);
        ck_assert_uint_eq(expected.len, actual.len);
        ck_assert_mem_eq(expected.data, actual.data, actual.len);
        syn_buf_free(&expected);
        syn_buf_free(&actual);
    }
    replica_free(replica);
}

static void replay_in_order(struct world *w, uint32_t max_events)
{
    struct replica cold = {.doc = world_new_doc()};
    struct sets sets = sets_of(w->archive.doc, 0, syn_doc_log_end(w->archive.doc), max_events);
    apply_all(cold.doc, &sets, false);
    must_equal(w, &cold, true);
    sets_free(&sets);
}

/* As in a server: nobody is told of changes, so they may be carried out as soon as they are known.
 */
static void replay_unheard(struct world *w)
{
    syn_doc *cold;
    uint32_t events = syn_doc_log_end(w->archive.doc);
    struct sets sets =
        sets_of(w->archive.doc, 0, events, one_in(&w->r, 2) ? UINT32_MAX : 1 + below(&w->r, 60));
    ck_assert_int_eq(syn_doc_new(&cold, NULL), SYN_OK);
    if (one_in(&w->r, 2)) syn_doc_expect(cold, events);
    apply_all(cold, &sets, false);
    syn_doc_expect(cold, 0);
    syn_doc_check(cold);
    ck_assert_uint_eq(digest_of(cold), digest_of(w->archive.doc));
    syn_buf expected = log_bytes(w->archive.doc), actual = log_bytes(cold);
    ck_assert_uint_eq(expected.len, actual.len);
    ck_assert_mem_eq(expected.data, actual.data, actual.len);
    syn_buf_free(&expected);
    syn_buf_free(&actual);
    syn_doc_free(cold);
    sets_free(&sets);
}

static bool ready(const syn_doc *doc, const syn_changes *set)
{
    uint32_t dep = 0;
    for (uint32_t i = 0; i < set->run_count; i++) {
        const struct change_run *run = &set->runs[i];
        if (syn_doc_next(doc, set->peers[run->peer]) < run->seq) return false;
        for (uint32_t k = 0; k < run->dep_count; k++, dep++)
            if (!syn_doc_has(doc, (syn_id){set->peers[set->deps[dep].peer], set->deps[dep].seq}))
                return false;
    }
    return true;
}

/* Event by event, each time any one whose parents are here. */
static void replay_in_another_order(struct world *w)
{
    struct replica cold = {.doc = world_new_doc()};
    struct sets sets = sets_of(w->archive.doc, 0, syn_doc_log_end(w->archive.doc), 1);
    for (uint32_t left = sets.n; left > 0;) {
        uint32_t i = below(&w->r, left);
        if (!ready(cold.doc, sets.at[i])) continue;
        ck_assert_int_eq(syn_apply(cold.doc, sets.at[i], false, NULL), SYN_OK);
        syn_changes *done = sets.at[i];
        sets.at[i] = sets.at[--left];
        sets.at[left] = done;
        mirror_follow(&cold.mirror, cold.doc);
    }
    must_equal(w, &cold, false);
    sets_free(&sets);
}

/* Event by event, each merged by a replay of its own: keeping one is only speed. */
static void replay_from_scratch(struct world *w)
{
    struct replica cold = {.doc = world_new_doc()};
    struct sets sets = sets_of(w->archive.doc, 0, syn_doc_log_end(w->archive.doc), 1);
    for (uint32_t i = 0; i < sets.n; i++) {
        ck_assert_int_eq(syn_apply(cold.doc, sets.at[i], false, NULL), SYN_OK);
        for (uint32_t c = 0; c < cold.doc->all.list.n; c++)
            drop_merge(cold.doc, container_at(&cold.doc->all, c));
    }
    must_equal(w, &cold, true);
    sets_free(&sets);
}

/* Event by event in no order at all. */
static void replay_from_pending(struct world *w)
{
    struct replica cold = {.doc = world_new_doc()};
    struct sets sets = sets_of(w->archive.doc, 0, syn_doc_log_end(w->archive.doc), 1);
    for (uint32_t left = sets.n; left > 0; left--) {
        uint32_t i = below(&w->r, left);
        ck_assert_int_eq(syn_apply(cold.doc, sets.at[i], true, NULL), SYN_OK);
        syn_changes *done = sets.at[i];
        sets.at[i] = sets.at[left - 1];
        sets.at[left - 1] = done;
    }
    ck_assert_uint_eq(syn_doc_missing(cold.doc, NULL, 0), 0);
    must_equal(w, &cold, false);
    sets_free(&sets);
}

static bool made_a_container(const struct oracle *o, syn_id id)
{
    for (uint32_t i = 0; i < oracle_containers(o); i++) {
        const struct oracle_container *c = oracle_container(o, i);
        if (c->form == CONTAINER_BY_EVENT && c->id.peer == id.peer && c->id.seq == id.seq)
            return true;
    }
    return false;
}

/* The only thing that needs history after a critical version: writing in a child that was
 * overwritten before anything was written in it, so that the snapshot does not tell of it. */
static void apply_above(struct world *w, struct replica *cold, const struct sets *sets)
{
    for (uint32_t i = 0; i < sets->n; i++) {
        syn_err err = syn_apply(cold->doc, sets->at[i], false, NULL);
        if (err == SYN_EHISTORY && made_a_container(w->o, syn_doc_fault(cold->doc).missing)) {
            mirror_follow(&cold->mirror, cold->doc);
            world_backfill(w, cold);
            err = syn_apply(cold->doc, sets->at[i], false, NULL);
        }
        if (err != SYN_OK) ck_abort_msg("%s: %s", syn_errname(err), syn_doc_error(cold->doc));
    }
}

/* A document that knows only the state at log position `critical`, and takes the rest. */
static void replay_from(struct world *w, uint32_t critical)
{
    struct replica start = {.doc = world_new_doc()}, cold = {.doc = world_new_doc()};
    uint32_t end = syn_doc_log_end(w->archive.doc);
    struct sets before = sets_of(w->archive.doc, 0, critical + 1, UINT32_MAX);
    struct sets after = sets_of(w->archive.doc, critical + 1, end,
                                one_in(&w->r, 2) ? UINT32_MAX : 1 + below(&w->r, 4));
    uint64_t digest;
    apply_all(start.doc, &before, false);
    cold.base_parts = snapshot_bytes(start.doc, cold.base, &digest);
    load_snapshot(cold.doc, cold.base, cold.base_parts);
    apply_above(w, &cold, &after);
    must_equal(w, &cold, false);
    syn_doc_free(start.doc);
    sets_free(&before);
    sets_free(&after);
}

static void replay_from_critical_versions(struct world *w, bool all)
{
    syn_doc *doc = w->archive.doc;
    uint32_t at = syn_doc_critical(doc, syn_doc_log_end(doc) - 1);
    for (; at != UINT32_MAX; at = at == 0 ? UINT32_MAX : syn_doc_critical(doc, at - 1)) {
        if (all || one_in(&w->r, 20)) replay_from(w, at);
    }
}

/* ---- Histories */

static void step(struct world *w)
{
    struct replica *a = &w->replica[below(&w->r, w->replicas)];
    struct replica *b = &w->replica[below(&w->r, w->replicas)];
    uint32_t what = below(&w->r, 100);
    if (what % 33 == 7) syn_doc_trim(a->doc); /* in the midst of it: nothing may be missed */
    if (what < 50) {
        world_edit(w, a);
    } else if (what < 52) {
        world_foreign_edit(w, a);
    } else if (what < 86) {
        if (a != b) world_meet(w, a, b);
    } else if (what < 91) {
        world_load(w, a, b);
    } else if (what < 94) {
        world_backfill(w, a);
    } else if (what < 97) {
        world_without(w, a);
    } else {
        world_complete(w, a);
    }
    world_look(w, a, false);
}

static void run_history(uint32_t seed)
{
    struct world w;
    struct random shape = random_seeded(seed);
    bool large = seed % 500 == 499, medium = seed % 25 == 24;
    uint32_t replicas = 2 + below(&shape, large || medium ? 7 : 3);
    uint32_t steps = large ? 250 : medium ? 20 + below(&shape, 60) : 3 + below(&shape, 22);
    world_init(&w, seed, replicas, large ? 2048 : medium ? 1024 : 448);
    for (uint32_t i = 0; i < steps; i++) step(&w);
    if (syn_doc_log_end(w.archive.doc) > 0) {
        for (uint32_t i = 0; i < replicas; i++) {
            world_complete(&w, &w.replica[i]);
            ck_assert_uint_eq(digest_of(w.replica[i].doc), digest_of(w.archive.doc));
        }
        world_look(&w, &w.archive, true);
        replay_in_order(&w, UINT32_MAX);
        replay_unheard(&w);
        if (large || one_in(&w.r, 3)) replay_in_order(&w, 1);
        if (large || one_in(&w.r, 3)) replay_in_another_order(&w);
        if (large || one_in(&w.r, 4)) replay_from_pending(&w);
        if (large || one_in(&w.r, 3)) replay_from_scratch(&w);
        replay_from_critical_versions(&w, one_in(&w.r, 10));
    }
    world_free(&w);
}

START_TEST(replicas_converge_to_what_the_oracle_says)
{
    const char *one = getenv("SYN_SEED");
    uint32_t count = seeds(HISTORIES) / BLOCKS, first = (uint32_t)_i * count;
    if (one != NULL) {
        count = 1;
        first = (uint32_t)strtoul(one, NULL, 10);
    }
    for (uint32_t seed = first; seed < first + count; seed++) {
        progress[_i].seed = seed;
        run_history(seed);
    }
    progress[_i].finished = true;
}
END_TEST

static int run_blocks(int from, int end)
{
    Suite *suite = suite_create("converge");
    TCase *histories = tcase_create("histories");
    tcase_set_timeout(histories, 0);
    tcase_add_loop_test(histories, replicas_converge_to_what_the_oracle_says, from, end);
    suite_add_tcase(suite, histories);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}

/* Half of the blocks in a process of its own, for the second core. */
static int run_all(void)
{
    int status, mine;
    pid_t other = fork();
    if (other == 0) _exit(run_blocks(BLOCKS / WORKERS, BLOCKS));
    mine = run_blocks(0, BLOCKS / WORKERS);
    if (other < 0 || waitpid(other, &status, 0) < 0) return EXIT_FAILURE;
    return WIFEXITED(status) && WEXITSTATUS(status) == 0 ? mine : EXIT_FAILURE;
}

int main(void)
{
    progress = mmap(NULL, BLOCKS * sizeof *progress, PROT_READ | PROT_WRITE,
                    MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (progress == MAP_FAILED) return EXIT_FAILURE;
    mallopt(M_TRIM_THRESHOLD, 64 << 20); /* half of the time went into giving pages back */
    mallopt(M_MMAP_THRESHOLD, 64 << 20);
    printf("converge: seeds 0..%u\n", seeds(HISTORIES) - 1);
    fflush(stdout);
    int result = getenv("SYN_SEED") != NULL ? run_blocks(0, 1) : run_all();
    for (uint32_t i = 0; result != EXIT_SUCCESS && i < BLOCKS; i++)
        if (!progress[i].finished) printf("again: SYN_SEED=%u test_converge\n", progress[i].seed);
    return result;
}
