/* test_sqlite_crash.c -- the process dies, or the power goes, at random moments under load.
 *
 * A child appends to four documents with many turns in flight and tells through a pipe what was
 * acknowledged.  After its end the file must hold every acknowledged event once, in order.
 *
 * kill -9 keeps the kernel's page cache and so says little about durability; the power cut takes
 * back what was not synced.  Its control ignores syncs and has to lose something, else the cut is
 * no cut. */
#include "fault_vfs.h"
#include "store_fixture.h"

#include <signal.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define DOCS      4
#define IN_FLIGHT 24

static const char *const doc_name[DOCS] = {"a", "b", "c", "d"};

struct ack {
    uint32_t doc, events;
};

struct flight {
    struct ack ack;
    int pipe;
};

static int waiting; /* turns in flight, in the child */

static void acknowledged(void *user, const struct store_result *result)
{
    struct flight *flight = user;
    if (result->err != SYN_OK || result->doc_failed_count != 0) _exit(3);
    if (write(flight->pipe, &flight->ack, sizeof flight->ack) != sizeof flight->ack) _exit(4);
    free(flight);
    waiting--;
}

static int64_t doc_number(syn_store *store, const char *name, uint32_t *events)
{
    struct store_doc doc;
    syn_err err = store_find(store, (syn_str){name, 1}, &doc);
    if (err != SYN_OK) _exit(5);
    *events = doc.events;
    return doc.id;
}

/* Submits one event of one document; now and then folds what is there into a chunk. */
static void one_event(syn_store *store, uint32_t i, int64_t doc, uint32_t n, int pipe)
{
    char text[64];
    struct store_peer peer = {.peer = 7, .next = n + 1, .chain = n * 31u, .user = "ann"};
    struct flight *flight = malloc(sizeof *flight);
    store_turn *turn;
    if (flight == NULL || store_turn_new(store, &turn) != SYN_OK) _exit(6);
    *flight = (struct flight){{i, n + 1}, pipe};
    syn_str part = event_text(doc_name[i], n, text);
    (void)store_turn_append(turn, doc, n, n + 1, part);
    (void)store_turn_peer(turn, doc, &peer);
    if (n % 50 == 49) (void)store_turn_snapshot(turn, doc, n, n, &part, 1, false);
    store_submit(turn, acknowledged, flight);
    waiting++;
}

static _Noreturn void work(const store_options *options, int pipe, uint64_t seed, bool ignore_syncs,
                           long cut_after)
{
    char detail[256];
    syn_store *store;
    int64_t doc[DOCS];
    uint32_t events[DOCS];
    if (store_open(&store, options, detail) != SYN_OK) _exit(2);
    for (int i = 0; i < DOCS; i++) doc[i] = doc_number(store, doc_name[i], &events[i]);
    if (cut_after > 0) fault_record();
    for (long n = 0;; n++) {
        uint32_t i = (uint32_t)(fixture_random(&seed) % DOCS);
        one_event(store, i, doc[i], events[i]++, pipe);
        store_poll(store);
        while (waiting >= IN_FLIGHT) store_poll(store);
        if (cut_after > 0 && n == cut_after) {
            fault_power_cut(ignore_syncs || seed % 3 == 0 ? 0 : seed);
        }
    }
}

static void make_docs(const char *path)
{
    syn_store *store = open_ok(path);
    for (int i = 0; i < DOCS; i++) make_doc(store, doc_name[i], lineage_a);
    store_close(store);
}

/* Reads the acknowledgements until the pipe ends. */
static void read_acks(int pipe, uint32_t acked[DOCS])
{
    struct ack ack;
    while (read(pipe, &ack, sizeof ack) == sizeof ack)
        if (ack.events > acked[ack.doc]) acked[ack.doc] = ack.events;
}

/* What the child had acknowledged is there; returns how much is missing. */
static uint32_t missing(const char *path, const uint32_t acked[DOCS], uint32_t events[DOCS])
{
    uint32_t lost = 0;
    syn_store *store = open_ok(path);
    for (int i = 0; i < DOCS; i++) {
        events[i] = check_log(store, doc_name[i]);
        if (events[i] < acked[i]) lost += acked[i] - events[i];
    }
    fsck_clean(store);
    store_close(store);
    return lost;
}

START_TEST(every_acknowledged_event_survives_kill_9)
{
    uint64_t seed = 20240501;
    const char *path = fixture_path("k.db");
    make_docs(path);
    unsigned rounds = fixture_rounds(60), total = 0;
    for (unsigned round = 0; round < rounds; round++) {
        int ends[2];
        uint32_t acked[DOCS] = {0}, events[DOCS];
        struct ack first;
        ck_assert_int_eq(pipe(ends), 0);
        uint64_t childs = fixture_random(&seed);
        pid_t child = fork();
        if (child == 0) {
            store_options options = options_of(path);
            work(&options, ends[1], childs, false, 0);
        }
        close(ends[1]);
        ck_assert_int_eq(read(ends[0], &first, sizeof first), sizeof first);
        struct timespec pause = {0, (long)(fixture_random(&seed) % 40000) * 1000};
        nanosleep(&pause, NULL);
        ck_assert_int_eq(kill(child, SIGKILL), 0);
        acked[first.doc] = first.events;
        read_acks(ends[0], acked);
        close(ends[0]);
        int status;
        ck_assert_int_eq(waitpid(child, &status, 0), child);
        ck_assert(WIFSIGNALED(status));
        ck_assert_uint_eq(missing(path, acked, events), 0);
        total = events[0] + events[1] + events[2] + events[3];
    }
    printf("kill -9: %u rounds, %u events, none lost\n", rounds, total);
}
END_TEST

static uint32_t cut_power(const char *path, uint64_t seed, bool ignore_syncs)
{
    int ends[2];
    uint32_t acked[DOCS] = {0}, events[DOCS];
    ck_assert_int_eq(pipe(ends), 0);
    pid_t child = fork();
    if (child == 0) {
        store_options options = options_of(path);
        options.vfs = fault_vfs();
        fault_ignore_syncs(ignore_syncs);
        work(&options, ends[1], seed, ignore_syncs, 10 + (long)(seed % 150));
    }
    close(ends[1]);
    read_acks(ends[0], acked);
    close(ends[0]);
    int status;
    ck_assert_int_eq(waitpid(child, &status, 0), child);
    ck_assert_int_eq(status, 0);
    return missing(path, acked, events);
}

START_TEST(every_acknowledged_event_survives_a_power_cut)
{
    uint64_t seed = 777;
    const char *path = fixture_path("p.db");
    make_docs(path);
    for (unsigned round = 0; round < fixture_rounds(150); round++) {
        uint64_t childs = fixture_random(&seed);
        uint32_t lost = cut_power(path, childs, false);
        ck_assert_msg(lost == 0, "seed %llu: %u lost", (unsigned long long)childs, lost);
    }
}
END_TEST

START_TEST(without_syncs_the_power_cut_loses_something)
{
    uint64_t seed = 777;
    uint32_t lost = 0;
    const char *path = fixture_path("n.db");
    make_docs(path);
    for (int round = 0; round < 20; round++) lost += cut_power(path, fixture_random(&seed), true);
    ck_assert_uint_gt(lost, 0);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("sqlite crash");
    TCase *crash = tcase_create("crash");
    tcase_set_timeout(crash, 0);
    tcase_add_checked_fixture(crash, fixture_setup, fixture_teardown);
    tcase_add_test(crash, every_acknowledged_event_survives_kill_9);
    tcase_add_test(crash, every_acknowledged_event_survives_a_power_cut);
    tcase_add_test(crash, without_syncs_the_power_cut_loses_something);
    suite_add_tcase(suite, crash);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? 0 : 1;
}
