/* test_store.c -- the promises of store.h, each kept by both backends. */
#include "store_fixture.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static syn_store *store;

/* Loop test: 0 memory, 1 SQLite. */
static void open_backend(int backend)
{
    store = open_ok(backend == 0 ? NULL : fixture_path("a.db"));
}

static void close_backend(void)
{
    fsck_clean(store);
    store_close(store);
    fixture_teardown();
}

static syn_str s(const char *text)
{
    return (syn_str){text, strlen(text)};
}

static syn_err append(int64_t doc, uint32_t from, uint32_t end, const char *bytes)
{
    store_turn *turn = turn_of(store);
    ck_assert_int_eq(store_turn_append(turn, doc, from, end, s(bytes)), SYN_OK);
    return store_commit(turn);
}

START_TEST(what_was_committed_is_found)
{
    open_backend(_i);
    struct store_doc doc;
    uint8_t id[STORE_ID_BYTES];
    store_id(store, id);
    ck_assert_mem_eq(id, fixture_id, sizeof id);
    ck_assert_int_eq(store_find(store, s("a"), &doc), SYN_ENOTFOUND);
    int64_t a = make_doc(store, "a", lineage_a), b = make_doc(store, "b", NULL);
    ck_assert_int_ne(a, b);
    ck_assert_int_eq(append(a, 0, 3, "abc"), SYN_OK);
    ck_assert_int_eq(append(a, 3, 4, "d"), SYN_OK);
    doc = find_doc(store, "a");
    ck_assert_int_eq(doc.id, a);
    ck_assert(doc.has_lineage && !doc.damaged);
    ck_assert_mem_eq(doc.lineage, lineage_a, sizeof lineage_a);
    ck_assert_uint_eq(doc.events, 4);
    ck_assert_uint_eq(doc.bytes, 4);
    ck_assert_uint_eq(doc.snapshot_at, 0);
    ck_assert(!find_doc(store, "b").has_lineage);
    ck_assert_str_eq(log_text(store, a, 0, UINT32_MAX), "[0,3)abc [3,4)d");
    ck_assert_str_eq(log_text(store, a, 2, 3), "[0,3)abc");
    ck_assert_str_eq(log_text(store, a, 3, 4), "[3,4)d");
    ck_assert_str_eq(log_text(store, a, 4, 9), "");
    ck_assert_str_eq(log_text(store, a, 2, 2), "");
    ck_assert_str_eq(log_text(store, b, 0, 9), "");
    ck_assert_str_eq(snapshot_text(store, a), "");
    ck_assert_int_eq(store_read_log(store, 99, 0, 1, transcribe, NULL), SYN_ENOTFOUND);
    close_backend();
}
END_TEST

START_TEST(an_append_elsewhere_than_at_the_end_is_refused)
{
    open_backend(_i);
    int64_t a = make_doc(store, "a", lineage_a);
    ck_assert_int_eq(append(a, 1, 2, "x"), SYN_EMISUSE);
    ck_assert_str_eq(store_error(store), "not where the log ends");
    ck_assert_int_eq(append(a, 0, 2, "ab"), SYN_OK);
    ck_assert_int_eq(append(a, 0, 2, "ab"), SYN_EMISUSE);
    ck_assert_int_eq(append(a, 1, 3, "bc"), SYN_EMISUSE);
    ck_assert_int_eq(append(77, 0, 1, "x"), SYN_ENOTFOUND);
    ck_assert_int_eq(append(0, 0, 1, "x"), SYN_EMISUSE);
    store_turn *turn = turn_of(store);
    ck_assert_int_eq(store_turn_append(turn, a, 2, 2, s("")), SYN_EMISUSE);
    ck_assert_int_eq(store_turn_append(turn, a, 3, 2, s("")), SYN_EMISUSE);
    store_turn_drop(turn);
    ck_assert_str_eq(log_text(store, a, 0, 9), "[0,2)ab");
    close_backend();
}
END_TEST

struct report {
    int calls;
    syn_err err;
    uint32_t failed;
    int64_t failed_doc, commit_seq;
};

static void note_report(void *user, const struct store_result *result)
{
    struct report *r = user;
    r->calls++;
    r->err = result->err;
    r->failed = result->doc_failed_count;
    r->failed_doc = r->failed > 0 ? result->doc_failed[0] : 0;
    r->commit_seq = result->commit_seq;
}

static void poll_until(const struct report *report, int calls)
{
    while (report->calls < calls) store_poll(store);
}

START_TEST(a_documents_error_fails_that_document_only)
{
    open_backend(_i);
    int64_t a = make_doc(store, "a", NULL), b = make_doc(store, "b", NULL),
            c = make_doc(store, "c", NULL);
    struct store_peer peer = {.peer = 5, .next = 1, .user = "u"};
    store_turn *turn = turn_of(store);
    store_turn_append(turn, c, 0, 1, s("c"));
    store_turn_append(turn, b, 0, 1, s("b"));
    store_turn_append(turn, a, 0, 1, s("a"));
    store_turn_peer(turn, b, &peer);
    store_turn_note(turn, b, s("k"), s("v"));
    store_turn_append(turn, b, 7, 8, s("b")); /* the log ends at 1 */
    store_turn_append(turn, a, 1, 2, s("a"));
    struct report report = {0};
    store_submit(turn, note_report, &report);
    poll_until(&report, 1);
    ck_assert_int_eq(report.err, SYN_OK);
    ck_assert_uint_eq(report.failed, 1);
    ck_assert_int_eq(report.failed_doc, b);
    ck_assert_str_eq(log_text(store, a, 0, 9), "[0,1)a [1,2)a");
    ck_assert_str_eq(log_text(store, b, 0, 9), "");
    ck_assert_str_eq(log_text(store, c, 0, 9), "[0,1)c");
    size_t len;
    ck_assert_int_eq(store_read_peer(store, b, 5, &peer), SYN_ENOTFOUND);
    ck_assert_int_eq(store_read_note(store, b, s("k"), NULL, 0, &len), SYN_ENOTFOUND);
    close_backend();
}
END_TEST

/* Turns that wait share a transaction: an error begins it again, and what went well before must
 * not be there twice, nor be lost. */
START_TEST(a_documents_error_leaves_the_turns_around_it)
{
    open_backend(_i);
    enum { TURNS = 200 };
    static struct report report[TURNS];
    memset(report, 0, sizeof report);
    int64_t a = make_doc(store, "a", NULL), b = make_doc(store, "b", NULL);
    for (uint32_t i = 0; i < TURNS; i++) {
        bool wrong = i % 16 == 7;
        store_turn *turn = turn_of(store);
        store_turn_append(turn, a, i, i + 1, s("x"));
        store_turn_append(turn, b, wrong ? 999 : i - (i % 16 == 8), i + 1 + wrong * 999, s("y"));
        if (!wrong) store_turn_note(turn, a, s("last"), s(i % 2 != 0 ? "odd" : "even"));
        store_submit(turn, note_report, &report[i]);
    }
    poll_until(&report[TURNS - 1], 1);
    for (uint32_t i = 0; i < TURNS; i++) {
        ck_assert_int_eq(report[i].err, SYN_OK);
        ck_assert_uint_eq(report[i].failed, i % 16 == 7);
    }
    ck_assert_uint_eq(find_doc(store, "a").events, TURNS);
    ck_assert_uint_eq(find_doc(store, "b").events, TURNS - 1); /* the last one went wrong */
    close_backend();
}
END_TEST

START_TEST(a_document_lives_from_its_creation_in_the_same_turn)
{
    open_backend(_i);
    int64_t a, b, again;
    store_turn *turn = turn_of(store);
    ck_assert_int_eq(store_turn_create(turn, s("a"), NULL, &a), SYN_OK);
    store_turn_append(turn, a, 0, 2, s("ab"));
    store_turn *later = turn_of(store);
    store_turn_append(later, a, 2, 3, s("c"));
    store_turn_lineage(later, a, lineage_b);
    ck_assert_int_eq(store_turn_create(later, s("b"), lineage_a, &b), SYN_OK);
    ck_assert_int_eq(store_turn_create(later, s("a"), lineage_a, &again), SYN_OK);
    struct report first = {0}, second = {0};
    store_submit(turn, note_report, &first);
    store_submit(later, note_report, &second);
    poll_until(&second, 1);
    ck_assert_int_eq(first.calls, 1);
    ck_assert_uint_eq(first.failed, 0);
    ck_assert_uint_eq(second.failed, 1); /* the name is taken */
    ck_assert_int_eq(second.failed_doc, again);
    ck_assert_str_eq(log_text(store, a, 0, 9), "[0,2)ab [2,3)c");
    ck_assert_mem_eq(find_doc(store, "a").lineage, lineage_b, sizeof lineage_b);
    ck_assert_int_eq(find_doc(store, "b").id, b);
    close_backend();
}
END_TEST

START_TEST(names_and_rows_over_the_limit_are_refused_while_filling)
{
    open_backend(_i);
    char *name = calloc(1, STORE_MAX_KEY + 2);
    ck_assert_ptr_nonnull(name);
    memset(name, 'n', STORE_MAX_KEY + 1);
    int64_t doc = -1;
    store_turn *turn = turn_of(store);
    ck_assert_int_eq(store_turn_create(turn, s(""), NULL, &doc), SYN_ELIMIT);
    syn_str over = {name, STORE_MAX_NAME + 1}, most = {name, STORE_MAX_NAME};
    ck_assert_int_eq(store_turn_create(turn, over, NULL, &doc), SYN_ELIMIT);
    ck_assert_int_eq(doc, -1);
    syn_str key = {name, STORE_MAX_KEY + 1};
    ck_assert_int_eq(store_turn_note(turn, 0, key, s("")), SYN_ELIMIT);
    syn_str huge = {name, (size_t)STORE_MAX_ROW + 1};
    ck_assert_int_eq(store_turn_append(turn, 1, 0, 1, huge), SYN_ELIMIT);
    ck_assert_int_eq(store_turn_create(turn, most, NULL, &doc), SYN_OK);
    ck_assert_int_eq(store_commit(turn), SYN_OK);
    struct store_doc found;
    ck_assert_int_eq(store_find(store, most, &found), SYN_OK);
    free(name);
    close_backend();
}
END_TEST

START_TEST(large_rows_come_back_whole)
{
    open_backend(_i);
    size_t len = 3 * 1024 * 1024 + 5;
    char *bytes = malloc(len);
    ck_assert_ptr_nonnull(bytes);
    uint64_t seed = 5;
    for (size_t i = 0; i < len; i++) bytes[i] = (char)fixture_random(&seed);
    int64_t a = make_doc(store, "a", NULL);
    store_turn *turn = turn_of(store);
    store_turn_note(turn, a, s("big"), (syn_str){bytes, len});
    ck_assert_int_eq(store_commit(turn), SYN_OK);
    char *back = malloc(len);
    size_t is;
    ck_assert_ptr_nonnull(back);
    ck_assert_int_eq(store_read_note(store, a, s("big"), back, len, &is), SYN_OK);
    ck_assert_uint_eq(is, len);
    ck_assert_mem_eq(back, bytes, len);
    free(bytes);
    free(back);
    close_backend();
}
END_TEST

static syn_err add_note(void *user, syn_str key, syn_str value)
{
    char *text = user;
    (void)snprintf(text + strlen(text), 256 - strlen(text), "%.*s=%.*s ", (int)key.len, key.data,
                   (int)value.len, value.data);
    return SYN_OK;
}

START_TEST(notes_are_set_replaced_removed_and_listed)
{
    open_backend(_i);
    int64_t a = make_doc(store, "a", NULL);
    char text[256] = "", value[4] = "....";
    size_t len;
    store_turn *turn = turn_of(store);
    store_turn_note(turn, a, s("p/2"), s("two"));
    store_turn_note(turn, a, s("p/1"), s("one"));
    store_turn_note(turn, a, s("p/3"), s("three"));
    store_turn_note(turn, a, s("q"), s(""));
    store_turn_note(turn, 0, s("p/1"), s("file"));
    ck_assert_int_eq(store_commit(turn), SYN_OK);
    turn = turn_of(store);
    store_turn_note(turn, a, s("p/3"), (syn_str){NULL, 0});
    store_turn_note(turn, a, s("p/2"), s("zwei"));
    store_turn_note(turn, a, s("none"), (syn_str){NULL, 0});
    ck_assert_int_eq(store_commit(turn), SYN_OK);
    ck_assert_int_eq(store_read_notes(store, a, s("p/"), add_note, text), SYN_OK);
    ck_assert_str_eq(text, "p/1=one p/2=zwei ");
    ck_assert_int_eq(store_read_notes(store, a, s(""), add_note, text), SYN_OK);
    ck_assert_str_eq(text, "p/1=one p/2=zwei p/1=one p/2=zwei q= ");
    ck_assert_int_eq(store_read_note(store, 0, s("p/1"), value, 2, &len), SYN_OK);
    ck_assert_uint_eq(len, 4);
    ck_assert_mem_eq(value, "fi..", 4);
    ck_assert_int_eq(store_read_note(store, a, s("q"), value, 4, &len), SYN_OK);
    ck_assert_uint_eq(len, 0);
    ck_assert_int_eq(store_read_note(store, a, s("p/3"), value, 4, &len), SYN_ENOTFOUND);
    close_backend();
}
END_TEST

static syn_err add_peer(void *user, const struct store_peer *peer)
{
    char *text = user;
    (void)snprintf(text + strlen(text), 256 - strlen(text), "%llx:%u:%llu:%s ",
                   (unsigned long long)peer->peer, peer->next, (unsigned long long)peer->chain,
                   peer->user);
    return SYN_OK;
}

START_TEST(peers_are_kept_per_document)
{
    open_backend(_i);
    int64_t a = make_doc(store, "a", NULL), b = make_doc(store, "b", NULL);
    struct store_peer peer = {.peer = 2, .next = 5, .chain = UINT64_MAX, .user = "ann"};
    char text[256] = "";
    store_turn *turn = turn_of(store);
    store_turn_peer(turn, a, &peer);
    peer.next = 6;
    store_turn_peer(turn, a, &peer);
    peer = (struct store_peer){.peer = 1, .next = 1, .chain = 3};
    store_turn_peer(turn, a, &peer);
    peer.peer = UINT64_MAX;
    store_turn_peer(turn, b, &peer);
    memset(peer.user, 'u', sizeof peer.user);
    ck_assert_int_eq(store_turn_peer(turn, b, &peer), SYN_ELIMIT);
    ck_assert_int_eq(store_commit(turn), SYN_OK);
    ck_assert_int_eq(store_read_peers(store, a, add_peer, text), SYN_OK);
    ck_assert_str_eq(text, "1:1:3: 2:6:18446744073709551615:ann ");
    ck_assert_int_eq(store_read_peer(store, b, UINT64_MAX, &peer), SYN_OK);
    ck_assert_str_eq(peer.user, "");
    ck_assert_int_eq(store_read_peer(store, b, 2, &peer), SYN_ENOTFOUND);
    close_backend();
}
END_TEST

START_TEST(deleting_leaves_a_tombstone)
{
    open_backend(_i);
    struct store_doc doc;
    bool was;
    int64_t a = make_doc(store, "a", lineage_a);
    ck_assert_int_eq(append(a, 0, 1, "x"), SYN_OK);
    store_turn *turn = turn_of(store);
    store_turn_note(turn, a, s("k"), s("v"));
    store_turn_delete(turn, a);
    ck_assert_int_eq(store_commit(turn), SYN_OK);
    ck_assert_int_eq(store_find(store, s("a"), &doc), SYN_EDELETED);
    ck_assert_mem_eq(doc.lineage, lineage_a, sizeof lineage_a);
    ck_assert_int_eq(store_was_deleted(store, s("a"), lineage_a, &was), SYN_OK);
    ck_assert(was);
    ck_assert_int_eq(store_was_deleted(store, s("a"), lineage_b, &was), SYN_OK);
    ck_assert(!was);
    ck_assert_int_eq(store_was_deleted(store, s("b"), lineage_a, &was), SYN_OK);
    ck_assert(!was);
    ck_assert_int_eq(append(a, 1, 2, "y"), SYN_ENOTFOUND);

    int64_t again; /* deleted and made anew in one turn */
    a = make_doc(store, "a", lineage_b);
    turn = turn_of(store);
    store_turn_delete(turn, a);
    store_turn_create(turn, s("a"), NULL, &again);
    ck_assert_int_eq(store_commit(turn), SYN_OK);
    doc = find_doc(store, "a");
    ck_assert_int_eq(doc.id, again);
    ck_assert_int_eq(store_was_deleted(store, s("a"), lineage_b, &was), SYN_OK);
    ck_assert(was);
    turn = turn_of(store); /* of no lineage: nobody else had it, so nothing is left */
    store_turn_delete(turn, again);
    ck_assert_int_eq(store_commit(turn), SYN_OK);
    ck_assert_int_eq(store_find(store, s("a"), &doc), SYN_EDELETED);
    ck_assert_mem_eq(doc.lineage, lineage_b, sizeof lineage_b);
    close_backend();
}
END_TEST

START_TEST(clearing_replaces_the_log_and_keeps_the_notes)
{
    open_backend(_i);
    int64_t a = make_doc(store, "a", lineage_a);
    struct store_peer peer = {.peer = 1, .next = 3};
    syn_str part = s("state");
    size_t len;
    store_turn *turn = turn_of(store);
    store_turn_append(turn, a, 0, 3, s("old"));
    store_turn_peer(turn, a, &peer);
    store_turn_snapshot(turn, a, 2, 2, &part, 1, false);
    store_turn_note(turn, a, s("k"), s("v"));
    ck_assert_int_eq(store_commit(turn), SYN_OK);
    turn = turn_of(store);
    store_turn_clear(turn, a);
    store_turn_append(turn, a, 0, 2, s("new"));
    ck_assert_int_eq(store_commit(turn), SYN_OK);
    struct store_doc doc = find_doc(store, "a");
    ck_assert_uint_eq(doc.events, 2);
    ck_assert_uint_eq(doc.bytes, 3);
    ck_assert_uint_eq(doc.snapshot_at, 0);
    ck_assert_str_eq(log_text(store, a, 0, 9), "[0,2)new");
    ck_assert_str_eq(snapshot_text(store, a), "");
    ck_assert_int_eq(store_read_peer(store, a, 1, &peer), SYN_ENOTFOUND);
    ck_assert_int_eq(store_read_note(store, a, s("k"), NULL, 0, &len), SYN_OK);
    close_backend();
}
END_TEST

static void fill_abc(int64_t doc, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        char text[2] = {(char)('a' + i), '\0'};
        ck_assert_int_eq(append(doc, i, i + 1, text), SYN_OK);
    }
}

static syn_err fold(int64_t doc, const struct store_piece *chunks, uint32_t count)
{
    store_turn *turn = turn_of(store);
    ck_assert_int_eq(store_turn_fold(turn, doc, chunks, count), SYN_OK);
    return store_commit(turn);
}

START_TEST(folding_replaces_pieces_by_chunks)
{
    open_backend(_i);
    int64_t a = make_doc(store, "a", NULL);
    fill_abc(a, 8);
    struct store_piece chunks[2] = {{0, 2, true, s("AB"), s("")},
                                    {2, 5, false, s("CDE"), s("how")}};
    ck_assert_int_eq(fold(a, chunks, 2), SYN_OK);
    ck_assert_str_eq(log_text(store, a, 0, 99), "[0,2)AB* [2,5)CDE+how [5,6)f [6,7)g [7,8)h");
    ck_assert_str_eq(log_text(store, a, 1, 3), "[0,2)AB* [2,5)CDE+how");
    ck_assert_str_eq(log_text(store, a, 4, 6), "[2,5)CDE+how [5,6)f");
    ck_assert_uint_eq(find_doc(store, "a").bytes, 11);
    struct store_piece middle = {6, 7, false, s("Gee"), s("")}; /* not from the start */
    ck_assert_int_eq(fold(a, &middle, 1), SYN_OK);
    ck_assert_str_eq(log_text(store, a, 2, 99), "[2,5)CDE+how [5,6)f [6,7)Gee [7,8)h");
    struct store_piece rest[2] = {{2, 7, false, s("c..g"), s("")}, {7, 8, true, s("H"), s("")}};
    ck_assert_int_eq(fold(a, rest, 2), SYN_OK);
    ck_assert_str_eq(log_text(store, a, 0, 99), "[0,2)AB* [2,7)c..g [7,8)H*");
    ck_assert_uint_eq(find_doc(store, "a").bytes, 7);
    ck_assert_int_eq(append(a, 8, 9, "i"), SYN_OK);
    ck_assert_str_eq(log_text(store, a, 7, 99), "[7,8)H* [8,9)i");
    close_backend();
}
END_TEST

START_TEST(a_fold_off_the_seams_changes_nothing)
{
    open_backend(_i);
    int64_t a = make_doc(store, "a", NULL);
    ck_assert_int_eq(append(a, 0, 4, "abcd"), SYN_OK);
    ck_assert_int_eq(append(a, 4, 8, "efgh"), SYN_OK);
    const struct store_piece bad[] = {{1, 4, false, s("x"), s("")},
                                      {0, 3, false, s("x"), s("")},
                                      {0, 9, false, s("x"), s("")},
                                      {8, 9, false, s("x"), s("")},
                                      {4, 7, false, s("x"), s("")}};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        ck_assert_int_eq(fold(a, &bad[i], 1), SYN_EMISUSE);
    const struct store_piece gap[2] = {{0, 4, false, s("x"), s("")}, {5, 8, false, s("y"), s("")}};
    const struct store_piece empty = {4, 4, false, s("x"), s("")};
    store_turn *turn = turn_of(store);
    ck_assert_int_eq(store_turn_fold(turn, a, gap, 2), SYN_EMISUSE);
    ck_assert_int_eq(store_turn_fold(turn, a, &empty, 1), SYN_EMISUSE);
    ck_assert_int_eq(store_turn_fold(turn, a, gap, 0), SYN_EMISUSE);
    store_turn_drop(turn);
    ck_assert_str_eq(log_text(store, a, 0, 99), "[0,4)abcd [4,8)efgh");
    close_backend();
}
END_TEST

START_TEST(a_snapshot_replaces_the_one_before)
{
    open_backend(_i);
    int64_t a = make_doc(store, "a", NULL);
    fill_abc(a, 4);
    syn_str parts[3] = {s("one"), s(""), s("three")}, less[1] = {s("1")};
    store_turn *turn = turn_of(store);
    store_turn_snapshot(turn, a, 2, 20, parts, 3, true);
    ck_assert_int_eq(store_commit(turn), SYN_OK);
    ck_assert_str_eq(snapshot_text(store, a), "[0,3)one* [1,3)* [2,3)three*");
    struct store_doc doc = find_doc(store, "a");
    ck_assert_uint_eq(doc.snapshot_at, 2);
    ck_assert_uint_eq(doc.snapshot_events, 20);
    ck_assert_uint_eq(doc.bytes, 12);
    turn = turn_of(store);
    store_turn_snapshot(turn, a, 4, 40, less, 1, false);
    ck_assert_int_eq(store_commit(turn), SYN_OK);
    ck_assert_str_eq(snapshot_text(store, a), "[0,1)1");
    ck_assert_uint_eq(find_doc(store, "a").bytes, 5);
    turn = turn_of(store);
    store_turn_snapshot(turn, a, 5, 50, less, 1, false); /* the log ends at 4 */
    ck_assert_int_eq(store_commit(turn), SYN_EMISUSE);
    ck_assert_str_eq(snapshot_text(store, a), "[0,1)1");
    close_backend();
}
END_TEST

static syn_err add_feed(void *user, const struct store_news *news)
{
    char *text = user;
    size_t len = strlen(text);
    if (news->doc == 0)
        (void)snprintf(text + len, 256 - len, "-%lld:%.*s ", (long long)news->at.deletion,
                       (int)news->name.len, news->name.data);
    else
        (void)snprintf(text + len, 256 - len, "%lld:%.*s[%u,%u) ", (long long)news->at.commit,
                       (int)news->name.len, news->name.data, news->from, news->end);
    return SYN_OK;
}

static const char *feed_after(int64_t commit, int64_t deletion)
{
    static char text[256];
    const struct store_cursor after = {commit, deletion};
    text[0] = '\0';
    ck_assert_int_eq(store_feed(store, after, add_feed, text), SYN_OK);
    return text;
}

START_TEST(the_feed_goes_on_from_a_number_and_survives_folding)
{
    open_backend(_i);
    int64_t a = make_doc(store, "a", NULL), b = make_doc(store, "b", NULL);
    struct store_cursor end;
    ck_assert(a == 1 && b == 2);
    fill_abc(a, 2);
    fill_abc(b, 1);
    ck_assert_int_eq(append(a, 2, 4, "cd"), SYN_OK);
    ck_assert_str_eq(feed_after(0, 0), "1:a[0,1) 2:a[1,2) 3:b[0,1) 4:a[2,4) ");
    struct store_piece chunks[2] = {{0, 1, false, s("A"), s("")}, {1, 4, false, s("BCD"), s("")}};
    ck_assert_int_eq(fold(a, chunks, 2), SYN_OK);
    ck_assert_str_eq(feed_after(1, 0), "3:b[0,1) 4:a[1,4) ");
    ck_assert_int_eq(append(a, 4, 5, "e"), SYN_OK);
    ck_assert_str_eq(feed_after(4, 0), "5:a[4,5) ");
    struct store_piece three[3] = {
        {1, 2, false, s("B"), s("")}, {2, 4, false, s("CD"), s("")}, {4, 5, false, s("E"), s("")}};
    ck_assert_int_eq(fold(a, three, 3), SYN_OK); /* the first two have one number */
    ck_assert_str_eq(feed_after(0, 0), "1:a[0,1) 3:b[0,1) 4:a[1,4) 5:a[4,5) ");
    ck_assert_int_eq(store_feed_end(store, &end), SYN_OK);
    ck_assert(end.commit == 5 && end.deletion == 0);
    close_backend();
}
END_TEST

static void delete_doc(int64_t doc)
{
    store_turn *turn = turn_of(store);
    ck_assert_int_eq(store_turn_delete(turn, doc), SYN_OK);
    ck_assert_int_eq(store_commit(turn), SYN_OK);
}

/* A document that is there now is younger than what the feed says was deleted under its name. */
START_TEST(the_feed_tells_of_deletions_first)
{
    open_backend(_i);
    struct store_cursor end;
    int64_t a = make_doc(store, "a", lineage_a), b = make_doc(store, "b", lineage_b);
    fill_abc(a, 1);
    fill_abc(b, 1);
    delete_doc(a);
    ck_assert_str_eq(feed_after(0, 0), "-1:a 2:b[0,1) ");
    a = make_doc(store, "a", lineage_a); /* brought back as it was */
    fill_abc(a, 1);
    ck_assert_str_eq(feed_after(2, 0), "-1:a 3:a[0,1) ");
    ck_assert_str_eq(feed_after(2, 1), "3:a[0,1) ");
    delete_doc(a); /* the same name and lineage again: told again, under a new number */
    delete_doc(b);
    ck_assert_str_eq(feed_after(0, 0), "-2:a -3:b ");
    ck_assert_str_eq(feed_after(3, 2), "-3:b ");
    ck_assert_int_eq(store_feed_end(store, &end), SYN_OK);
    ck_assert(end.commit == 3 && end.deletion == 3);
    close_backend();
}
END_TEST

static syn_err add_name(void *user, syn_str name, const struct store_doc *doc)
{
    char *text = user;
    (void)snprintf(text + strlen(text), 256 - strlen(text), "%.*s:%u ", (int)name.len, name.data,
                   doc->events);
    return SYN_OK;
}

static syn_err stop_at_b(void *user, syn_str name, const struct store_doc *doc)
{
    (void)add_name(user, name, doc);
    return name.data[0] == 'b' ? SYN_EDAMAGED : SYN_OK;
}

START_TEST(documents_are_listed_by_name_and_a_visitor_may_stop)
{
    open_backend(_i);
    char text[256] = "";
    make_doc(store, "c", NULL);
    fill_abc(make_doc(store, "a", NULL), 3);
    make_doc(store, "ab", NULL);
    make_doc(store, "b", NULL);
    ck_assert_int_eq(store_list(store, add_name, text), SYN_OK);
    ck_assert_str_eq(text, "a:3 ab:0 b:0 c:0 ");
    text[0] = '\0';
    ck_assert_int_eq(store_list(store, stop_at_b, text), SYN_EDAMAGED); /* its own word */
    ck_assert_str_eq(text, "a:3 ab:0 b:0 ");
    ck_assert(!find_doc(store, "b").damaged);
    close_backend();
}
END_TEST

/* A visitor that reads the same document, and writes. */
static syn_err read_inside(void *user, const struct store_piece *piece)
{
    int64_t doc = *(const int64_t *)user;
    ck_assert_str_eq(log_text(store, doc, 0, 9), "[0,1)a [1,2)b");
    store_turn *turn = turn_of(store);
    store_turn_note(turn, doc, s("seen"), piece->bytes);
    store_submit(turn, NULL, NULL);
    return SYN_OK;
}

START_TEST(a_visitor_may_read_and_submit)
{
    open_backend(_i);
    int64_t a = make_doc(store, "a", NULL);
    char value[4];
    size_t len;
    fill_abc(a, 2);
    ck_assert_int_eq(store_read_log(store, a, 0, 9, read_inside, &a), SYN_OK);
    ck_assert_int_eq(store_commit(turn_of(store)), SYN_OK); /* after what was submitted */
    ck_assert_int_eq(store_read_note(store, a, s("seen"), value, 4, &len), SYN_OK);
    ck_assert(len == 1 && value[0] == 'b');
    close_backend();
}
END_TEST

START_TEST(a_damaged_document_is_not_stored_over)
{
    open_backend(_i);
    int64_t a = make_doc(store, "a", NULL), b = make_doc(store, "b", NULL);
    fill_abc(a, 1);
    ck_assert_int_eq(store_mark_damaged(store, a), SYN_OK);
    ck_assert(find_doc(store, "a").damaged);
    store_turn *turn = turn_of(store);
    store_turn_append(turn, a, 1, 2, s("b"));
    store_turn_append(turn, b, 0, 1, s("b"));
    ck_assert_int_eq(store_commit(turn), SYN_EDAMAGED);
    ck_assert_str_eq(log_text(store, b, 0, 9), "[0,1)b");
    turn = turn_of(store);
    store_turn_delete(turn, a);
    ck_assert_int_eq(store_commit(turn), SYN_EDAMAGED);
    ck_assert_int_eq(store_repaired(store, a), SYN_OK);
    ck_assert(!find_doc(store, "a").damaged);
    ck_assert_int_eq(append(a, 1, 2, "b"), SYN_OK);
    ck_assert_int_eq(store_repaired(store, 99), SYN_ENOTFOUND);
    close_backend();
}
END_TEST

static void count_wake(void *user)
{
    __atomic_fetch_add((int *)user, 1, __ATOMIC_SEQ_CST);
}

struct order {
    int next;
    bool right;
};
static struct order order;
static void in_order(void *user, const struct store_result *result)
{
    order.right = order.right && *(int *)user == order.next && result->err == SYN_OK;
    order.next++;
}

START_TEST(reports_come_in_order_of_submission_from_poll)
{
    open_backend(_i);
    enum { TURNS = 300 };
    static int number[TURNS];
    int wakes = 0;
    store_on_wake(store, count_wake, &wakes);
    order = (struct order){0, true};
    int64_t a = make_doc(store, "a", NULL);
    for (int i = 0; i < TURNS; i++) {
        store_turn *turn = turn_of(store);
        number[i] = i;
        store_turn_append(turn, a, (uint32_t)i, (uint32_t)i + 1, s("x"));
        store_submit(turn, in_order, &number[i]);
        ck_assert_int_eq(order.next, 0);
    }
    while (order.next < TURNS) store_poll(store);
    ck_assert(order.right);
    ck_assert_int_gt(__atomic_load_n(&wakes, __ATOMIC_SEQ_CST), 0);
    ck_assert_uint_eq(find_doc(store, "a").events, TURNS);
    struct store_stats stats;
    store_read_stats(store, &stats);
    ck_assert_uint_gt(stats.commits, 0);
    ck_assert_uint_ge(stats.bytes, TURNS);
    ck_assert_uint_eq(stats.failed, 0);
    close_backend();
}
END_TEST

START_TEST(closing_commits_and_reports_what_was_submitted)
{
    open_backend(_i);
    int64_t a = make_doc(store, "a", NULL);
    struct report report = {0};
    for (uint32_t i = 0; i < 50; i++) {
        store_turn *turn = turn_of(store);
        store_turn_append(turn, a, i, i + 1, s("x"));
        store_submit(turn, note_report, &report);
    }
    store_close(store);
    ck_assert_int_eq(report.calls, 50);
    ck_assert_int_eq(report.err, SYN_OK);
    if (_i == 1) {
        store = open_ok(fixture_path("a.db"));
        ck_assert_uint_eq(find_doc(store, "a").events, 50);
        store_close(store);
    }
    fixture_teardown();
}
END_TEST

/* Random turns on both backends at once; everything that can be read must be the same. */
static void random_op(uint64_t *seed, store_turn *turn, int64_t doc, uint32_t *events)
{
    uint64_t r = fixture_random(seed);
    char text[32];
    (void)snprintf(text, sizeof text, "%llu", (unsigned long long)(r % 100000));
    struct store_peer peer = {.peer = r % 5, .next = (uint32_t)(r % 100), .chain = r};
    struct store_piece all = {0, *events, (r & 64) != 0, s(text), s((r & 128) != 0 ? text : "")};
    syn_str part[2] = {s(text), s("p")};
    switch (r >> 8 & 15) {
    case 0:
        store_turn_note(turn, doc, s(text + 3), (r & 16) != 0 ? s(text) : (syn_str){NULL, 0});
        break;
    case 1:
        store_turn_peer(turn, doc, &peer);
        break;
    case 2:
        if (*events > 0) store_turn_fold(turn, doc, &all, 1);
        break;
    case 3:
        store_turn_snapshot(turn, doc, *events, r % 1000, part, 1 + (r & 1), (r & 2) != 0);
        break;
    case 4:
        if (r % 7 != 0) break;
        store_turn_clear(turn, doc);
        *events = 0;
        break;
    case 5:
        store_turn_append(turn, doc, *events + 1, *events + 2, s("off the end"));
        break;
    default:
        store_turn_append(turn, doc, *events, *events + 1 + (uint32_t)(r % 3), s(text));
        *events += 1 + (uint32_t)(r % 3);
    }
}

static void describe(syn_store *of, char *text)
{
    char names[256] = "";
    text[0] = '\0';
    ck_assert_int_eq(store_list(of, add_name, names), SYN_OK);
    strcat(text, names);
    for (int64_t doc = 0; doc <= 3; doc++) {
        char more[256] = "";
        if (doc > 0) strcat(strcat(text, log_text(of, doc, 0, UINT32_MAX)), "\n");
        if (doc > 0) strcat(strcat(text, snapshot_text(of, doc)), "\n");
        ck_assert_int_eq(store_read_peers(of, doc, add_peer, more), SYN_OK);
        strcat(strcat(text, more), "\n");
        more[0] = '\0';
        ck_assert_int_eq(store_read_notes(of, doc, s(""), add_note, more), SYN_OK);
        strcat(strcat(text, more), "\n");
    }
}

static void one_history(uint64_t seed)
{
    static char left[32768], right[32768];
    char path[32];
    (void)snprintf(path, sizeof path, "twin%llu.db", (unsigned long long)seed);
    syn_store *twin[2] = {open_ok(NULL), open_ok(fixture_path(path))};
    uint32_t events[4] = {0};
    seed = seed * 7919 + 1;
    for (int i = 0; i < 2; i++)
        for (int64_t doc = 1; doc <= 3; doc++)
            ck_assert_int_eq(make_doc(twin[i],
                                      doc == 1   ? "x"
                                      : doc == 2 ? "y"
                                                 : "z",
                                      lineage_a),
                             doc);
    for (int step = 0; step < 40; step++) {
        syn_err err[2];
        uint64_t at = seed;
        for (int i = 0; i < 2; i++) {
            uint32_t known[4];
            memcpy(known, events, sizeof known);
            seed = at;
            store_turn *turn = turn_of(twin[i]);
            for (uint64_t n = 1 + fixture_random(&seed) % 5; n > 0; n--) {
                int64_t doc = (int64_t)(fixture_random(&seed) % 4);
                random_op(&seed, turn, doc, &known[doc]);
            }
            err[i] = store_commit(turn);
        }
        ck_assert_int_eq(err[0], err[1]);
        static const char *const name[] = {"", "x", "y", "z"};
        for (int doc = 1; doc <= 3; doc++) {
            struct store_doc a = find_doc(twin[0], name[doc]), b = find_doc(twin[1], name[doc]);
            ck_assert_mem_eq(&a, &b, sizeof a);
            events[doc] = a.events;
        }
    }
    describe(twin[0], left);
    describe(twin[1], right);
    ck_assert_str_eq(left, right);
    fsck_clean(twin[0]);
    fsck_clean(twin[1]);
    store_close(twin[0]);
    store_close(twin[1]);
}

START_TEST(random_turns_leave_both_backends_equal)
{
    unsigned rounds = fixture_rounds(60);
    for (unsigned round = 1; round <= rounds; round++) one_history(round);
    fixture_teardown();
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("store");
    TCase *both = tcase_create("both backends");
    tcase_set_timeout(both, 0);
    tcase_add_checked_fixture(both, fixture_setup, NULL);
    tcase_add_loop_test(both, what_was_committed_is_found, 0, 2);
    tcase_add_loop_test(both, an_append_elsewhere_than_at_the_end_is_refused, 0, 2);
    tcase_add_loop_test(both, a_documents_error_fails_that_document_only, 0, 2);
    tcase_add_loop_test(both, a_documents_error_leaves_the_turns_around_it, 0, 2);
    tcase_add_loop_test(both, a_document_lives_from_its_creation_in_the_same_turn, 0, 2);
    tcase_add_loop_test(both, names_and_rows_over_the_limit_are_refused_while_filling, 0, 2);
    tcase_add_loop_test(both, large_rows_come_back_whole, 0, 2);
    tcase_add_loop_test(both, notes_are_set_replaced_removed_and_listed, 0, 2);
    tcase_add_loop_test(both, peers_are_kept_per_document, 0, 2);
    tcase_add_loop_test(both, deleting_leaves_a_tombstone, 0, 2);
    tcase_add_loop_test(both, clearing_replaces_the_log_and_keeps_the_notes, 0, 2);
    tcase_add_loop_test(both, folding_replaces_pieces_by_chunks, 0, 2);
    tcase_add_loop_test(both, a_fold_off_the_seams_changes_nothing, 0, 2);
    tcase_add_loop_test(both, a_snapshot_replaces_the_one_before, 0, 2);
    tcase_add_loop_test(both, the_feed_goes_on_from_a_number_and_survives_folding, 0, 2);
    tcase_add_loop_test(both, the_feed_tells_of_deletions_first, 0, 2);
    tcase_add_loop_test(both, documents_are_listed_by_name_and_a_visitor_may_stop, 0, 2);
    tcase_add_loop_test(both, a_visitor_may_read_and_submit, 0, 2);
    tcase_add_loop_test(both, a_damaged_document_is_not_stored_over, 0, 2);
    tcase_add_loop_test(both, reports_come_in_order_of_submission_from_poll, 0, 2);
    tcase_add_loop_test(both, closing_commits_and_reports_what_was_submitted, 0, 2);
    tcase_add_test(both, random_turns_leave_both_backends_equal);
    suite_add_tcase(suite, both);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? 0 : 1;
}
