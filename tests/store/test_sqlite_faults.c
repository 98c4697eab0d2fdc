/* test_sqlite_faults.c -- the disk says no, at each call in turn; memory runs out, at each
 * allocation in turn.
 *
 * What must hold: the error reaches the one who committed, nothing acknowledged is lost, nothing
 * that was refused shows, and once the fault is over a probe brings the service back. */
#include "fault_vfs.h"
#include "store_fixture.h"

#include <sqlite3.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static syn_str s(const char *text)
{
    return (syn_str){text, strlen(text)};
}

static store_options fault_options(const char *path)
{
    store_options options = options_of(path);
    options.vfs = fault_vfs();
    return options;
}

static void remove_file(const char *name)
{
    static const char *const suffix[] = {"", "-wal", "-shm", ".lock"};
    for (size_t i = 0; i < 4; i++) {
        char path[512];
        (void)snprintf(path, sizeof path, "%s%s", fixture_path(name), suffix[i]);
        (void)unlink(path);
    }
}

/* ---- Disk ------------------------------------------------------------------------------------ */

struct acked {
    uint32_t events[2];
};

/* A turn on both documents: an append each, notes, and now and then a fold with a snapshot. */
static syn_err one_turn(syn_store *store, uint32_t n, struct acked *acked)
{
    static const char *const name[] = {"a", "b"};
    store_turn *turn;
    syn_err err = store_turn_new(store, &turn);
    if (err != SYN_OK) return err;
    for (int i = 0; i < 2 && err == SYN_OK; i++) {
        char text[64];
        int64_t doc = i + 1;
        uint32_t at = acked->events[i];
        struct store_peer peer = {.peer = 7, .next = at + 1, .chain = at * 31u, .user = "ann"};
        err = store_turn_append(turn, doc, at, at + 1, event_text(name[i], at, text));
        if (err == SYN_OK) err = store_turn_peer(turn, doc, &peer);
        syn_str part = {text, 5};
        if (err == SYN_OK && n % 3 == 1)
            err = store_turn_snapshot(turn, doc, at + 1, at + 1, &part, 1, false);
        if (err == SYN_OK) err = store_turn_note(turn, doc, s("n"), (syn_str){text, 9});
    }
    if (err != SYN_OK) {
        store_turn_drop(turn);
        return err;
    }
    err = store_commit(turn);
    if (err == SYN_OK) acked->events[0]++, acked->events[1]++;
    return err;
}

static void wait_until_well(syn_store *store)
{
    while (store_failing(store)) {
        store_probe(store);
        ck_assert_int_eq(store_commit(turn_of(store)), SYN_OK);
        store_poll(store);
    }
}

/* A file of two empty documents; made once, then copied, for there are thousands of runs. */
static void make_two(const char *name)
{
    static char image[1 << 17];
    static size_t len;
    if (len == 0) {
        syn_store *store = open_ok(fixture_path(name));
        ck_assert_int_eq(make_doc(store, "a", lineage_a), 1);
        ck_assert_int_eq(make_doc(store, "b", lineage_b), 2);
        store_close(store);
        FILE *made = fopen(fixture_path(name), "rb");
        ck_assert_ptr_nonnull(made);
        len = fread(image, 1, sizeof image, made);
        ck_assert_int_eq(fclose(made), 0);
        ck_assert_uint_lt(len, sizeof image);
    }
    FILE *file = fopen(fixture_path(name), "wb");
    ck_assert_ptr_nonnull(file);
    ck_assert_uint_eq(fwrite(image, 1, len, file), len);
    ck_assert_int_eq(fclose(file), 0);
}

/* After closing and opening: everything acknowledged, and at most one turn more whose outcome was
 * unknown. */
static void check_reopened(const char *name, const struct acked *acked)
{
    syn_store *store = open_ok(fixture_path(name));
    uint32_t a = check_log(store, "a"), b = check_log(store, "b");
    ck_assert_uint_eq(a, b);
    ck_assert_uint_ge(a, acked->events[0]);
    ck_assert_uint_le(a, acked->events[0] + 1);
    fsck_clean(store);
    store_close(store);
}

/* One run with a fault at the `at`-th call.  False: there are fewer calls. */
static bool fault_at(long at, unsigned calls, enum fault_kind kind, bool lasting)
{
    struct acked acked = {{0, 0}};
    char detail[256];
    syn_store *store;
    make_two("f.db");
    store_options options = fault_options(fixture_path("f.db"));
    ck_assert_int_eq(store_open(&store, &options, detail), SYN_OK);
    fault_arm(calls, kind, at, lasting);
    int refused = 0;
    for (uint32_t n = 0; n < 8; n++) {
        syn_err err = one_turn(store, n, &acked);
        if (err == SYN_OK) continue;
        refused++;
        ck_assert_msg(err == SYN_EIO || err == SYN_EFULL, "%d %s", err, store_error(store));
        ck_assert_str_ne(store_error(store), "");
        ck_assert(store_failing(store));
        ck_assert_uint_eq(check_log(store, "a"), acked.events[0]); /* nobody sees it */
    }
    bool given = fault_given() > 0;
    fault_disarm();
    ck_assert_msg(given == (refused > 0), "call %ld of %x kind %d: %ld faults, %d refused", at,
                  calls, kind, fault_given(), refused);
    wait_until_well(store);
    ck_assert_int_eq(one_turn(store, 1, &acked), SYN_OK);
    ck_assert_uint_eq(check_log(store, "a"), acked.events[0]);
    ck_assert_uint_eq(check_log(store, "b"), acked.events[1]);
    store_close(store);
    check_reopened("f.db", &acked);
    remove_file("f.db");
    return given;
}

static const struct {
    unsigned calls;
    enum fault_kind kind;
    bool lasting;
} fault[] = {
    {FAULT_WRITE, FAULT_EIO, false},    {FAULT_WRITE, FAULT_EIO, true},
    {FAULT_WRITE, FAULT_TORN, false},   {FAULT_WRITE, FAULT_TORN, true},
    {FAULT_SYNC, FAULT_EIO, false},     {FAULT_SYNC, FAULT_EIO, true},
    {FAULT_WRITE, FAULT_ENOSPC, false}, {FAULT_WRITE, FAULT_ENOSPC, true},
    {FAULT_CHANGES, FAULT_EIO, true},
};

START_TEST(each_write_and_sync_of_committing_fails_in_turn)
{
    long at = 1;
    while (fault_at(at, fault[_i].calls, fault[_i].kind, fault[_i].lasting)) at++;
    ck_assert_int_gt(at, 8);
}
END_TEST

/* Opening, making the schema, closing (with its checkpoint): faults anywhere. */
START_TEST(each_write_and_sync_of_opening_and_closing_fails_in_turn)
{
    bool lasting = _i == 1;
    for (long at = 1; at < 10000; at++) {
        char detail[256];
        syn_store *store = NULL;
        store_options options = fault_options(fixture_path("o.db"));
        fault_arm(FAULT_CHANGES, at % 2 ? FAULT_EIO : FAULT_ENOSPC, at, lasting);
        syn_err err = store_open(&store, &options, detail);
        ck_assert_msg(err == SYN_OK || err == SYN_EIO || err == SYN_EFULL, "%d %s", err, detail);
        ck_assert((err == SYN_OK) == (detail[0] == '\0'));
        bool made = false;
        if (err == SYN_OK) {
            int64_t doc;
            store_turn *turn = turn_of(store);
            ck_assert_int_eq(store_turn_create(turn, s("a"), NULL, &doc), SYN_OK);
            made = store_commit(turn) == SYN_OK;
            store_close(store);
        }
        bool given = fault_given() > 0;
        fault_disarm();
        store = open_ok(fixture_path("o.db"));
        struct store_doc doc;
        if (made) ck_assert_int_eq(store_find(store, s("a"), &doc), SYN_OK);
        fsck_clean(store);
        store_close(store);
        remove_file("o.db");
        if (!given) {
            ck_assert_int_gt(at, 10);
            return;
        }
    }
    ck_abort_msg("faults without end");
}
END_TEST

/* Reading: an I/O error is no damage. */
START_TEST(a_read_error_marks_nothing_as_damaged)
{
    char detail[256];
    syn_store *store = open_ok(fixture_path("r.db"));
    struct acked acked = {{0, 0}};
    ck_assert_int_eq(make_doc(store, "a", lineage_a), 1);
    ck_assert_int_eq(make_doc(store, "b", lineage_b), 2);
    for (uint32_t n = 0; n < 200; n++) ck_assert_int_eq(one_turn(store, n, &acked), SYN_OK);
    store_close(store);
    int surfaced = 0;
    for (long at = 1;; at++) {
        store_options options = fault_options(fixture_path("r.db"));
        struct store_doc doc;
        ck_assert_int_eq(store_open(&store, &options, detail), SYN_OK);
        fault_arm(FAULT_READ, FAULT_EIO, at, false);
        syn_err err = store_find(store, s("a"), &doc);
        if (err == SYN_OK) {
            static struct transcript t;
            t.len = 0;
            err = store_read_log(store, 1, 0, 20, transcribe, &t);
        }
        bool given = fault_given() > 0;
        fault_disarm();
        ck_assert_msg(err == SYN_OK || err == SYN_EIO, "%d", err);
        surfaced += err == SYN_EIO;
        ck_assert_uint_eq(check_log(store, "a"), 200);
        ck_assert(!find_doc(store, "a").damaged);
        store_close(store);
        if (!given) break;
    }
    ck_assert_int_gt(surfaced, 2);
}
END_TEST

/* Faults at random while turns are pipelined: the reports are right, each one. */
struct load {
    uint32_t next, acked, failed;
    bool redo;
};

static void load_done(void *user, const struct store_result *result)
{
    struct load *load = user;
    if (result->err == SYN_OK && result->doc_failed_count == 0)
        load->acked++;
    else
        load->failed++, load->redo = true;
}

START_TEST(faults_while_turns_wait_behind_each_other)
{
    uint64_t seed = 4711;
    char detail[256];
    struct load load = {0};
    syn_store *store = open_ok(fixture_path("p.db"));
    make_doc(store, "a", lineage_a);
    store_close(store);
    store_options options = fault_options(fixture_path("p.db"));
    ck_assert_int_eq(store_open(&store, &options, detail), SYN_OK);
    for (unsigned round = 0; round < fixture_rounds(150); round++) {
        fault_arm(FAULT_CHANGES, FAULT_EIO, 1 + (long)(fixture_random(&seed) % 30), false);
        for (int i = 0; i < 20; i++) {
            char text[64];
            uint32_t n = load.next++;
            struct store_peer peer = {.peer = 7, .next = n + 1, .chain = n * 31u};
            store_turn *turn = turn_of(store);
            store_turn_append(turn, 1, n, n + 1, event_text("a", n, text));
            store_turn_peer(turn, 1, &peer);
            store_submit(turn, load_done, &load);
            if (fixture_random(&seed) % 4 == 0) store_poll(store);
        }
        (void)store_commit(turn_of(store));
        store_poll(store);
        fault_disarm();
        wait_until_well(store);
        ck_assert_uint_eq(check_log(store, "a"), load.acked);
        load.next = load.acked; /* what failed is sent again, as a client does */
    }
    ck_assert_uint_gt(load.failed, 0);
    fsck_clean(store);
    store_close(store);
    store = open_ok(fixture_path("p.db"));
    ck_assert_uint_eq(check_log(store, "a"), load.acked);
    store_close(store);
}
END_TEST

/* ---- Memory ---------------------------------------------------------------------------------- */

static atomic_long ours_left = -1, theirs_left = -1; /* allocations until one fails; -1: never */
static atomic_long ours_held;
static sqlite3_mem_methods plain;

static bool runs_out(atomic_long *left)
{
    return atomic_load(left) >= 0 && atomic_fetch_sub(left, 1) == 0;
}

static void *failing_resize(void *user, void *ptr, size_t old_size, size_t new_size)
{
    (void)user;
    if (new_size == 0) {
        atomic_fetch_sub(&ours_held, (long)old_size);
        free(ptr);
        return NULL;
    }
    if (runs_out(&ours_left)) return NULL;
    void *moved = realloc(ptr, new_size);
    ck_assert_ptr_nonnull(moved);
    atomic_fetch_add(&ours_held, (long)new_size - (long)old_size);
    return moved;
}

static void *failing_malloc(int size)
{
    return runs_out(&theirs_left) ? NULL : plain.xMalloc(size);
}

static void *failing_realloc(void *ptr, int size)
{
    return runs_out(&theirs_left) ? NULL : plain.xRealloc(ptr, size);
}

static void use_failing_malloc(void)
{
    ck_assert_int_eq(sqlite3_config(SQLITE_CONFIG_GETMALLOC, &plain), SQLITE_OK);
    sqlite3_mem_methods wrapped = plain;
    wrapped.xMalloc = failing_malloc;
    wrapped.xRealloc = failing_realloc;
    ck_assert_int_eq(sqlite3_config(SQLITE_CONFIG_MALLOC, &wrapped), SQLITE_OK);
}

static syn_err read_back(syn_store *store)
{
    static struct transcript t;
    struct store_doc doc;
    struct store_peer peer;
    char value[16];
    size_t len;
    t.len = 0;
    syn_err err = store_find(store, s("a"), &doc);
    if (err == SYN_OK) err = store_read_log(store, 1, 0, UINT32_MAX, transcribe, &t);
    if (err == SYN_OK) err = store_read_snapshot(store, 1, transcribe, &t);
    if (err == SYN_OK) err = store_read_peer(store, 1, 7, &peer);
    if (err == SYN_OK) err = store_read_note(store, 1, s("n"), value, sizeof value, &len);
    if (err == SYN_OK) err = store_fsck(store, NULL, NULL, NULL);
    return err;
}

/* Opens, writes, reads and closes, going on after each refusal.  The first refusal. */
static syn_err whole_life(const char *path, struct acked *acked)
{
    char detail[256];
    syn_store *store;
    store_options options = options_of(path);
    options.mem = (syn_mem){.resize = failing_resize};
    syn_err err = store_open(&store, &options, detail);
    if (err != SYN_OK) return err;
    for (uint32_t n = 0; n < 5; n++) {
        syn_err now = one_turn(store, n, acked);
        if (err == SYN_OK) err = now;
    }
    syn_err now = read_back(store);
    if (err == SYN_OK) err = now;
    ck_assert(!store_failing(store)); /* no memory is no trouble with the disk */
    store_close(store);
    return err;
}

static void run_out_at(atomic_long *left, const char *name)
{
    long at;
    int refused = 0;
    for (at = 0;; at++) {
        struct acked acked = {{0, 0}};
        make_two(name);
        atomic_store(left, at);
        syn_err err = whole_life(fixture_path(name), &acked);
        bool given = atomic_load(left) < 0;
        atomic_store(left, -1);
        ck_assert_msg(err == SYN_OK || err == SYN_ENOMEM, "allocation %ld: error %d", at, err);
        refused += err == SYN_ENOMEM;
        ck_assert_int_eq(atomic_load(&ours_held), 0);
        check_reopened(name, &acked);
        remove_file(name);
        if (!given) break;
    }
    ck_assert_int_gt(refused, 5);
}

START_TEST(each_of_our_allocations_fails_in_turn)
{
    run_out_at(&ours_left, "m.db");
}
END_TEST

START_TEST(each_of_sqlites_allocations_fails_in_turn)
{
    use_failing_malloc();
    run_out_at(&theirs_left, "m.db");
}
END_TEST

/* The twin: a turn that ran out of memory left every document as it was, or whole. */
START_TEST(each_allocation_of_the_twin_fails_in_turn)
{
    for (long at = 0;; at++) {
        char detail[256];
        store_options options = options_of(NULL);
        syn_store *store;
        options.mem = (syn_mem){.resize = failing_resize};
        atomic_store(&ours_left, at);
        syn_err err = store_open(&store, &options, detail);
        uint32_t done = 0;
        for (int i = 0; i < 6 && err == SYN_OK; i++) {
            store_turn *turn;
            int64_t doc;
            struct store_piece all = {0, (uint32_t)i, false, s("folded"), s("so")};
            syn_str part = s("part");
            syn_err now = store_turn_new(store, &turn);
            if (now != SYN_OK) continue;
            if (done == 0) now = store_turn_create(turn, s("a"), lineage_a, &doc);
            if (done == 0 && now == SYN_OK && doc != 1) now = SYN_EIO; /* a number was lost */
            if (now == SYN_OK) now = store_turn_append(turn, 1, done, done + 1, s("x"));
            if (now == SYN_OK) now = store_turn_note(turn, 1, s("n"), s("v"));
            if (now == SYN_OK) now = store_turn_snapshot(turn, 1, done, done, &part, 1, false);
            all.end = done + 1;
            if (now == SYN_OK) now = store_turn_fold(turn, 1, &all, 1);
            if (now == SYN_OK)
                now = store_commit(turn);
            else
                store_turn_drop(turn);
            done += now == SYN_OK;
            ck_assert_msg(now == SYN_OK || now == SYN_ENOMEM || now == SYN_EIO, "%d", now);
        }
        bool given = atomic_load(&ours_left) < 0;
        atomic_store(&ours_left, -1);
        if (err == SYN_OK) {
            struct store_doc doc;
            syn_err found = store_find(store, s("a"), &doc);
            ck_assert_int_eq(found, done == 0 ? SYN_ENOTFOUND : SYN_OK);
            ck_assert(done == 0 || doc.events == done);
            fsck_clean(store);
            store_close(store);
        }
        ck_assert_int_eq(atomic_load(&ours_held), 0);
        if (!given) {
            ck_assert_uint_eq(done, 6);
            break;
        }
    }
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("sqlite faults");
    TCase *faults = tcase_create("faults");
    tcase_set_timeout(faults, 0);
    tcase_add_checked_fixture(faults, fixture_setup, fixture_teardown);
    tcase_add_loop_test(faults, each_write_and_sync_of_committing_fails_in_turn, 0,
                        (int)(sizeof fault / sizeof *fault));
    tcase_add_loop_test(faults, each_write_and_sync_of_opening_and_closing_fails_in_turn, 0, 2);
    tcase_add_test(faults, a_read_error_marks_nothing_as_damaged);
    tcase_add_test(faults, faults_while_turns_wait_behind_each_other);
    tcase_add_test(faults, each_of_our_allocations_fails_in_turn);
    tcase_add_test(faults, each_of_sqlites_allocations_fails_in_turn);
    tcase_add_test(faults, each_allocation_of_the_twin_fails_in_turn);
    suite_add_tcase(suite, faults);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? 0 : 1;
}
