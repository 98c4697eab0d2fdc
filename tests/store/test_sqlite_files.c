/* test_sqlite_files.c -- the file as such: opening, refusing, locking, backup, restore, fsck. */
#include "store_fixture.h"

#include <pthread.h>
#include <sqlite3.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

static syn_str s(const char *text)
{
    return (syn_str){text, strlen(text)};
}

static void write_file(const char *path, const void *data, size_t len)
{
    FILE *file = fopen(path, "wb");
    ck_assert_ptr_nonnull(file);
    ck_assert_uint_eq(fwrite(data, 1, len, file), len);
    ck_assert_int_eq(fclose(file), 0);
}

/* Changes a file behind the store's back. */
static void tamper(const char *path, const char *sql)
{
    sqlite3 *db;
    char *message = NULL;
    ck_assert_int_eq(sqlite3_open(path, &db), SQLITE_OK);
    int rc = sqlite3_exec(db, sql, NULL, NULL, &message);
    ck_assert_msg(rc == SQLITE_OK, "%s: %s", sql, message);
    ck_assert_int_eq(sqlite3_close(db), SQLITE_OK);
}

/* Opening is refused with this error, and these words are in the sentence. */
static void refused(const store_options *options, syn_err err, const char *words)
{
    char detail[256];
    syn_store *store = NULL;
    syn_err is = store_open(&store, options, detail);
    ck_assert_msg(is == err, "%d instead of %d: %s", is, err, detail);
    ck_assert_ptr_null(store);
    ck_assert_msg(strstr(detail, words) != NULL, "\"%s\" is not in \"%s\"", words, detail);
}

static void fill(syn_store *store, const char *name, uint32_t count)
{
    struct store_doc doc;
    if (store_find(store, s(name), &doc) != SYN_OK) make_doc(store, name, lineage_a);
    for (uint32_t n = find_doc(store, name).events; n < count; n++)
        ck_assert_int_eq(append_event(store, name, n), SYN_OK);
}

START_TEST(everything_is_there_after_reopening)
{
    const char *path = fixture_path("a.db");
    syn_store *store = open_ok(path);
    fill(store, "a", 20);
    int64_t b = make_doc(store, "b", NULL);
    store_turn *turn = turn_of(store);
    syn_str part = s("state");
    store_turn_snapshot(turn, find_doc(store, "a").id, 10, 10, &part, 1, false);
    store_turn_note(turn, 0, s("k"), s("v"));
    store_turn_delete(turn, b);
    ck_assert_int_eq(store_commit(turn), SYN_OK);
    store_close(store);
    ck_assert_int_ne(access(fixture_path("a.db-wal"), F_OK), 0);

    store_options options = options_of(path);
    options.random_id = lineage_a; /* the file has its own */
    options.create = false;
    char detail[256];
    ck_assert_int_eq(store_open(&store, &options, detail), SYN_OK);
    uint8_t id[STORE_ID_BYTES];
    store_id(store, id);
    ck_assert_mem_eq(id, fixture_id, sizeof id);
    ck_assert_uint_eq(check_log(store, "a"), 20);
    ck_assert_str_eq(snapshot_text(store, find_doc(store, "a").id), "[0,1)state");
    ck_assert_int_eq(make_doc(store, "c", NULL), b + 1); /* b's number is not used again */
    fsck_clean(store);
    store_close(store);
}
END_TEST

START_TEST(what_is_no_store_is_refused_by_name)
{
    store_options options = options_of(fixture_path("x"));
    options.create = false;
    refused(&options, SYN_ENOTFOUND, "no such file");
    options.create = true;
    options.random_id = NULL;
    refused(&options, SYN_EMISUSE, "needs an id");
    options = options_of(fixture_path("nowhere/x"));
    refused(&options, SYN_EIO, "cannot make");
    options = options_of(fixture_folder);
    refused(&options, SYN_EVERSION, "not a file");

    char text[5000];
    memset(text, 'x', sizeof text);
    write_file(fixture_path("text"), text, 12);
    options = options_of(fixture_path("text"));
    refused(&options, SYN_EVERSION, "not a Syncline file");
    write_file(fixture_path("text"), text, sizeof text);
    refused(&options, SYN_EVERSION, "not a Syncline file");
    options.read_only = true;
    refused(&options, SYN_EVERSION, "not a Syncline file");

    tamper(fixture_path("other"), "CREATE TABLE t (x); INSERT INTO t VALUES (1)");
    options = options_of(fixture_path("other"));
    refused(&options, SYN_EVERSION, "another program");
    tamper(fixture_path("tagged"), "PRAGMA application_id = 77");
    options = options_of(fixture_path("tagged"));
    refused(&options, SYN_EVERSION, "another program");
    write_file(fixture_path("empty"), text, 0);
    options = options_of(fixture_path("empty"));
    options.create = false;
    refused(&options, SYN_ENOTFOUND, "empty");
    options.create = true;
    write_file(fixture_path("empty-wal"), text, 100);
    refused(&options, SYN_EDAMAGED, "-wal");
}
END_TEST

START_TEST(a_newer_schema_is_refused_and_left_alone)
{
    const char *path = fixture_path("a.db");
    syn_store *store = open_ok(path);
    fill(store, "a", 3);
    store_close(store);
    tamper(path, "PRAGMA user_version = 3");
    store_options options = options_of(path);
    refused(&options, SYN_EVERSION, "newer Syncline (schema 3, this one knows 2): upgrade");
    tamper(path, "PRAGMA user_version = 0");
    refused(&options, SYN_EDAMAGED, "no schema version");
    tamper(path, "PRAGMA user_version = 2");
    store = open_ok(path);
    ck_assert_uint_eq(check_log(store, "a"), 3);
    store_close(store);
}
END_TEST

START_TEST(the_second_opener_learns_the_owners_url)
{
    store_options options = options_of(fixture_path("a.db"));
    store_options by_link = options_of(fixture_path("link.db"));
    ck_assert_int_eq(symlink("a.db", by_link.path), 0);
    refused(&by_link, SYN_EMISUSE, "leads nowhere");
    syn_store *store = open_ok(options.path);
    refused(&options, SYN_EBUSY, "ws://127.0.0.1:7700");
    refused(&by_link, SYN_EBUSY, "ws://127.0.0.1:7700");
    pid_t child = fork();
    if (child == 0) {
        char detail[256];
        syn_store *second;
        _exit(store_open(&second, &options, detail) == SYN_EBUSY ? 0 : 1);
    }
    int status;
    ck_assert_int_eq(waitpid(child, &status, 0), child);
    ck_assert_int_eq(status, 0);
    fill(store, "a", 2); /* the owner goes on */
    options.read_only = true;
    syn_store *reader;
    char detail[256];
    ck_assert_int_eq(store_open(&reader, &options, detail), SYN_OK);
    ck_assert_uint_eq(check_log(reader, "a"), 2);
    store_turn *turn;
    ck_assert_int_eq(store_turn_new(reader, &turn), SYN_EMISUSE);
    ck_assert_int_eq(store_repaired(reader, 1), SYN_EMISUSE);
    store_close(reader);
    fill(store, "a", 4);
    fsck_clean(store);
    store_close(store);
    store = open_ok(options.path);
    ck_assert_uint_eq(check_log(store, "a"), 4);
    store_close(store);
}
END_TEST

START_TEST(a_name_that_sqlite_takes_for_something_else_is_a_file)
{
    char here[512];
    ck_assert_ptr_nonnull(getcwd(here, sizeof here));
    ck_assert_int_eq(chdir(fixture_folder), 0);
    static const char *const name[] = {":memory:", "file:x?mode=memory", "a b?c#d%41"};
    for (size_t i = 0; i < sizeof name / sizeof *name; i++) {
        syn_store *store = open_ok(name[i]);
        fill(store, "a", 2);
        store_close(store);
        store = open_ok(name[i]);
        ck_assert_uint_eq(check_log(store, "a"), 2);
        store_close(store);
        ck_assert_int_eq(access(name[i], F_OK), 0);
    }
    ck_assert_int_eq(chdir(here), 0);
}
END_TEST

/* A file whose creation was interrupted holds nothing and is filled at the next attempt. */
START_TEST(a_creation_that_was_interrupted_is_done_again)
{
    tamper(fixture_path("a.db"), "PRAGMA journal_mode = WAL");
    syn_store *store = open_ok(fixture_path("a.db"));
    fill(store, "a", 1);
    fsck_clean(store);
    store_close(store);
}
END_TEST

struct reading {
    syn_store *store;
    atomic_bool stop;
    atomic_int right, wrong;
};

static syn_err look_at(void *user, const struct store_piece *piece)
{
    *(uint32_t *)user = piece->end;
    return SYN_OK;
}

static void *read_on_and_on(void *user)
{
    struct reading *r = user;
    while (!atomic_load(&r->stop)) {
        struct store_doc doc;
        uint32_t end = 0;
        syn_err err = store_find(r->store, s("a"), &doc);
        if (err == SYN_OK) err = store_read_log(r->store, doc.id, 0, UINT32_MAX, look_at, &end);
        bool right = err == SYN_OK && end >= doc.events && !doc.damaged;
        atomic_fetch_add(right ? &r->right : &r->wrong, 1);
        (void)store_find(r->store, s("none"), &doc);
    }
    return NULL;
}

START_TEST(other_threads_read_while_one_writes)
{
    syn_store *store = open_ok(fixture_path("a.db"));
    fill(store, "a", 5);
    struct reading r = {.store = store};
    pthread_t thread[2];
    for (int i = 0; i < 2; i++)
        ck_assert_int_eq(pthread_create(&thread[i], NULL, read_on_and_on, &r), 0);
    fill(store, "a", 300);
    atomic_store(&r.stop, true);
    for (int i = 0; i < 2; i++) ck_assert_int_eq(pthread_join(thread[i], NULL), 0);
    ck_assert_int_eq(atomic_load(&r.wrong), 0);
    ck_assert_int_gt(atomic_load(&r.right), 0);
    ck_assert_uint_eq(check_log(store, "a"), 300);
    store_close(store);
}
END_TEST

static void count_progress(void *user, uint64_t done, uint64_t total)
{
    ck_assert_uint_le(done, total);
    ++*(int *)user;
}

START_TEST(a_backup_of_a_busy_file_is_of_one_moment)
{
    const char *path = fixture_path("a.db"), *copy = fixture_path("copy.db");
    char detail[256];
    syn_store *store = open_ok(path);
    fill(store, "a", 50);
    int64_t doc = find_doc(store, "a").id;
    for (uint32_t n = 50; n < 3000; n++) {
        char text[64];
        store_turn *turn = turn_of(store);
        struct store_peer peer = {.peer = 7, .next = n + 1, .chain = n * 31u, .user = "ann"};
        store_turn_append(turn, doc, n, n + 1, event_text("a", n, text));
        store_turn_peer(turn, doc, &peer);
        store_submit(turn, NULL, NULL);
    }
    int calls = 0;
    syn_err err = store_backup(path, copy, count_progress, &calls, detail);
    ck_assert_msg(err == SYN_OK, "%s", detail);
    ck_assert_int_gt(calls, 0);
    ck_assert_int_eq(store_backup(path, copy, NULL, NULL, detail), SYN_EBUSY);
    ck_assert_ptr_nonnull(strstr(detail, "is there already"));
    ck_assert_int_eq(store_commit(turn_of(store)), SYN_OK);
    ck_assert_uint_eq(check_log(store, "a"), 3000);
    store_close(store);
    store = open_ok(copy);
    ck_assert_uint_ge(check_log(store, "a"), 50);
    fsck_clean(store);
    store_close(store);
    ck_assert_int_ne(access(fixture_path("copy.db.part"), F_OK), 0);
    ck_assert_int_eq(store_backup(fixture_path("no"), fixture_path("c"), NULL, NULL, detail),
                     SYN_ENOTFOUND);
}
END_TEST

START_TEST(a_backup_from_another_process_while_the_owner_writes)
{
    const char *path = fixture_path("a.db");
    int go[2];
    ck_assert_int_eq(pipe(go), 0);
    pid_t child = fork(); /* before anything is open: SQLite must not be carried across a fork */
    if (child == 0) {
        char detail[256], byte;
        int bad = read(go[0], &byte, 1) == 1 ? 0 : 1;
        for (int i = 0; i < 5; i++) {
            char name[24];
            (void)snprintf(name, sizeof name, "copy%d.db", i);
            bad += store_backup(path, fixture_path(name), NULL, NULL, detail) != SYN_OK;
        }
        _exit(bad);
    }
    syn_store *store = open_ok(path);
    fill(store, "a", 10);
    ck_assert_int_eq(write(go[1], "", 1), 1);
    int status;
    for (uint32_t n = 10; waitpid(child, &status, WNOHANG) == 0; n++) fill(store, "a", n);
    ck_assert_int_eq(status, 0);
    store_close(store);
    for (int i = 0; i < 5; i++) {
        char name[24];
        (void)snprintf(name, sizeof name, "copy%d.db", i);
        store = open_ok(fixture_path(name));
        ck_assert_uint_ge(check_log(store, "a"), 10);
        fsck_clean(store);
        store_close(store);
    }
}
END_TEST

START_TEST(restoring_changes_the_id_and_keeps_the_old_file)
{
    const char *path = fixture_path("a.db"), *copy = fixture_path("copy.db");
    char detail[256];
    uint8_t id[STORE_ID_BYTES];
    syn_store *store = open_ok(path);
    fill(store, "a", 5);
    ck_assert_int_eq(store_backup(path, copy, NULL, NULL, detail), SYN_OK);
    fill(store, "a", 9);
    ck_assert_int_eq(store_restore(path, copy, lineage_b, detail), SYN_EBUSY);
    ck_assert_ptr_nonnull(strstr(detail, "ws://127.0.0.1:7700"));
    store_close(store);
    syn_err err = store_restore(path, copy, lineage_b, detail);
    ck_assert_msg(err == SYN_OK, "%s", detail);
    store = open_ok(path);
    store_id(store, id);
    ck_assert_mem_eq(id, lineage_b, sizeof id);
    ck_assert_uint_eq(check_log(store, "a"), 5);
    fill(store, "a", 6);
    fsck_clean(store);
    store_close(store);
    store = open_ok(fixture_path("a.db.before-restore"));
    ck_assert_uint_eq(check_log(store, "a"), 9);
    store_close(store);
    ck_assert_int_eq(store_restore(path, copy, lineage_b, detail), SYN_EBUSY);
    ck_assert_ptr_nonnull(strstr(detail, "move it away"));
    ck_assert_int_ne(access(fixture_path("a.db.part"), F_OK), 0);

    write_file(fixture_path("text"), "no database", 11);
    ck_assert_int_eq(store_restore(path, fixture_path("text"), lineage_b, detail), SYN_EVERSION);
    ck_assert_int_eq(store_restore(path, fixture_path("none"), lineage_b, detail), SYN_ENOTFOUND);
    store = open_ok(path);
    ck_assert_uint_eq(check_log(store, "a"), 6); /* a refused restore changes nothing */
    store_close(store);
    ck_assert_int_eq(store_restore(fixture_path("new.db"), copy, lineage_a, detail), SYN_OK);
    store = open_ok(fixture_path("new.db"));
    ck_assert_uint_eq(check_log(store, "a"), 5);
    store_close(store);
}
END_TEST

START_TEST(restoring_over_a_damaged_file_leaves_no_stale_wal)
{
    const char *path = fixture_path("a.db"), *copy = fixture_path("copy.db");
    char detail[256], junk[8192];
    memset(junk, 'j', sizeof junk);
    syn_store *store = open_ok(path);
    fill(store, "a", 5);
    ck_assert_int_eq(store_backup(path, copy, NULL, NULL, detail), SYN_OK);
    store_close(store);
    write_file(path, junk, sizeof junk);
    write_file(fixture_path("a.db-wal"), junk, sizeof junk);
    syn_err err = store_restore(path, copy, lineage_b, detail);
    ck_assert_msg(err == SYN_OK, "%s", detail);
    ck_assert_int_eq(access(fixture_path("a.db.before-restore"), F_OK), 0);
    store = open_ok(path);
    ck_assert_uint_eq(check_log(store, "a"), 5);
    store_close(store);
}
END_TEST

/* The WAL that a crash left is whole and would be played into whatever stands beside it. */
START_TEST(restoring_over_what_a_crash_left_brings_the_backup_only)
{
    const char *path = fixture_path("a.db"), *copy = fixture_path("copy.db");
    char detail[256];
    int status;
    pid_t child = fork();
    if (child == 0) {
        syn_store *store = open_ok(path);
        fill(store, "a", 5);
        if (store_backup(path, copy, NULL, NULL, detail) != SYN_OK) _exit(1);
        fill(store, "a", 40);
        _exit(0); /* without closing */
    }
    ck_assert_int_eq(waitpid(child, &status, 0), child);
    ck_assert_int_eq(status, 0);
    ck_assert_int_eq(access(fixture_path("a.db-wal"), F_OK), 0);
    syn_err err = store_restore(path, copy, lineage_b, detail);
    ck_assert_msg(err == SYN_OK, "%s", detail);
    syn_store *store = open_ok(path);
    ck_assert_uint_eq(check_log(store, "a"), 5);
    fsck_clean(store);
    store_close(store);
    store = open_ok(fixture_path("a.db.before-restore"));
    ck_assert_uint_eq(check_log(store, "a"), 40);
    store_close(store);
}
END_TEST

START_TEST(vacuum_gives_pages_back)
{
    const char *path = fixture_path("a.db");
    struct stat before, after;
    static char text[200000];
    memset(text, 't', sizeof text);
    syn_store *store = open_ok(path);
    int64_t a = make_doc(store, "a", NULL);
    for (uint32_t n = 0; n < 20; n++) {
        store_turn *turn = turn_of(store);
        store_turn_append(turn, a, n, n + 1, (syn_str){text, sizeof text});
        ck_assert_int_eq(store_commit(turn), SYN_OK);
    }
    store_turn *turn = turn_of(store);
    store_turn_clear(turn, a);
    ck_assert_int_eq(store_commit(turn), SYN_OK);
    fill(store, "b", 30);
    store_close(store);
    ck_assert_int_eq(stat(path, &before), 0);
    store = open_ok(path);
    int calls = 0;
    ck_assert_int_eq(store_vacuum(store, count_progress, &calls), SYN_OK);
    ck_assert_uint_eq(check_log(store, "b"), 30);
    fill(store, "b", 35);
    fsck_clean(store);
    store_close(store);
    ck_assert_int_eq(stat(path, &after), 0);
    ck_assert_int_lt(after.st_size * 10, before.st_size);
}
END_TEST

/* Problems planted with SQL, each to be told with these words. */
static const struct {
    const char *sql, *words;
} planted[] = {
    {"UPDATE tail SET bytes = x'00' WHERE lo = 3", "a piece of the log is damaged"},
    {"UPDATE tail SET hi = 5 WHERE lo = 3", "a piece of the log is damaged"},
    {"DELETE FROM tail WHERE lo = 3", "a piece of the log is missing"},
    {"DELETE FROM tail WHERE lo = 9", "a piece of the log is missing"},
    {"DELETE FROM snapshot WHERE part = 1", "a part of the snapshot is missing"},
    {"UPDATE snapshot SET part = 2 WHERE part = 1", "a part of the snapshot is damaged"},
    {"UPDATE doc SET events = 9", "the document's row is damaged"},
    {"UPDATE doc SET lineage = zeroblob(16)", "the document's row is damaged"},
    {"UPDATE doc SET name = x'41'", "the document's row is damaged"},
    {"UPDATE peer SET chain = chain + 1", "a peer's row is damaged"},
    {"UPDATE note SET value = x'01' WHERE doc = 1", "a note is damaged"},
    {"UPDATE tombstone SET lineage = zeroblob(16)", "a tombstone is damaged"},
    {"INSERT INTO peer VALUES (99, 1, 1, 1, x'', 0)", "table peer has rows of document 99"},
    {"INSERT INTO chunk VALUES (99, 0, 1, 1, 0, 0, x'', NULL)",
     "table chunk has rows of document 99"},
    {"UPDATE tail SET doc = 99 WHERE lo = 0", "table tail has rows of document 99"},
    {"UPDATE doc SET damaged = 1", "is marked damaged, although every row of it is right"},
    /* Two rows that are right, in each other's place. */
    {"UPDATE tail SET lo = lo + 100 WHERE lo IN (3, 4); UPDATE tail SET lo = 107 - lo, hi = 108 - "
     "lo WHERE lo > 100",
     "a piece of the log is damaged"},
};

START_TEST(fsck_tells_what_was_planted)
{
    const char *path = fixture_path("a.db");
    syn_store *store = open_ok(path);
    fill(store, "a", 10);
    syn_str parts[2] = {s("one"), s("two")};
    store_turn *turn = turn_of(store);
    int64_t b = 0, a = find_doc(store, "a").id;
    store_turn_create(turn, s("b"), lineage_b, &b);
    store_turn_snapshot(turn, a, 4, 4, parts, 2, false);
    store_turn_note(turn, a, s("k"), s("v"));
    ck_assert_int_eq(store_commit(turn), SYN_OK);
    turn = turn_of(store);
    store_turn_delete(turn, b);
    ck_assert_int_eq(store_commit(turn), SYN_OK);
    fsck_clean(store);
    store_close(store);
    tamper(path, planted[_i].sql);
    store_options options = options_of(path);
    options.read_only = true; /* fsck of a file that nobody serves */
    char detail[256];
    ck_assert_int_eq(store_open(&store, &options, detail), SYN_OK);
    const char *text = fsck_text(store);
    ck_assert_msg(strstr(text, planted[_i].words) != NULL, "fsck said: %s", text);
    store_close(store);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("sqlite files");
    TCase *files = tcase_create("files");
    tcase_set_timeout(files, 0);
    tcase_add_checked_fixture(files, fixture_setup, fixture_teardown);
    tcase_add_test(files, everything_is_there_after_reopening);
    tcase_add_test(files, what_is_no_store_is_refused_by_name);
    tcase_add_test(files, a_newer_schema_is_refused_and_left_alone);
    tcase_add_test(files, the_second_opener_learns_the_owners_url);
    tcase_add_test(files, a_name_that_sqlite_takes_for_something_else_is_a_file);
    tcase_add_test(files, a_creation_that_was_interrupted_is_done_again);
    tcase_add_test(files, other_threads_read_while_one_writes);
    tcase_add_test(files, a_backup_of_a_busy_file_is_of_one_moment);
    tcase_add_test(files, a_backup_from_another_process_while_the_owner_writes);
    tcase_add_test(files, restoring_changes_the_id_and_keeps_the_old_file);
    tcase_add_test(files, restoring_over_a_damaged_file_leaves_no_stale_wal);
    tcase_add_test(files, restoring_over_what_a_crash_left_brings_the_backup_only);
    tcase_add_test(files, vacuum_gives_pages_back);
    tcase_add_loop_test(files, fsck_tells_what_was_planted, 0,
                        (int)(sizeof planted / sizeof *planted));
    suite_add_tcase(suite, files);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? 0 : 1;
}
