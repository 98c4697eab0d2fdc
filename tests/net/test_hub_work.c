/* test_hub_work.c -- documents that are being read, folded or inflated elsewhere while others go
 * on: who waits, in which order, and what becomes of it when things end badly.
 *
 * Jobs end when the test says so (late_work.h).  Random order: test_hub_random.c and sim.c. */
#include "hub_world.h"
#include "late_work.h"

#include <check.h>
#include <stdlib.h>
#include <string.h>

struct late_world {
    struct world w; /* must come first: the hub's port knows it */
    struct late_work late;
    char said[64]; /* a letter for each call that was answered */
};

static struct late_world late_world;

static bool work_port(void *user, struct work *work)
{
    struct late_world *lw = user; /* its first member */
    return late_take(&lw->late, work);
}

static void finish(struct late_world *lw)
{
    do {
        late_all(&lw->late, lw->w.hub, lw->w.now);
        hub_flush(lw->w.hub, lw->w.now);
        store_poll(lw->w.store);
    } while (!hub_idle(lw->w.hub));
}

/* ---- Calls ----------------------------------------------------------------------------------- */

struct call {
    struct late_world *lw;
    char letter;
    syn_err err;
    bool aside;
};

#define UNANSWERED SYN_EMISUSE

static syn_err append(void *user, syn_doc *doc)
{
    syn_obj text;
    struct call *call = user;
    if (doc == NULL) return SYN_ENOTFOUND;
    syn_err err = syn_root(doc, syn_s(""), SYN_TEXT, &text);
    const char letter[2] = {call->letter, '\0'};
    return err ? err : syn_text_insert(doc, text, syn_text_len(doc, text), syn_s(letter));
}

static syn_err look(void *user, syn_doc *doc)
{
    syn_obj text;
    struct call *call = user;
    char *said = call->lw->said;
    if (doc == NULL) return SYN_ENOTFOUND;
    syn_err err = syn_root(doc, syn_s(""), SYN_TEXT, &text);
    memset(said, 0, sizeof call->lw->said);
    if (!err) (void)syn_text_read(doc, text, 0, 60, said, sizeof call->lw->said - 1);
    syn_doc_check(doc);
    return err;
}

static void ended(void *user, syn_err err)
{
    struct call *call = user;
    call->err = err;
}

static void edit_of(struct late_world *lw, const char *document, struct call *call, char letter)
{
    *call = (struct call){lw, letter, SYN_EBUSY, false};
    hub_edit(lw->w.hub, syn_s(document), true, append, ended, call, lw->w.now);
}

static void edit(struct late_world *lw, struct call *call, char letter)
{
    edit_of(lw, "notes", call, letter);
}

static const char *text_now(struct late_world *lw)
{
    struct call call = {lw, ' ', SYN_EBUSY, false};
    hub_read(lw->w.hub, syn_s("notes"), look, ended, &call, lw->w.now);
    finish(lw);
    return call.err ? syn_errname(call.err) : lw->said;
}

/* What a large document makes of a call. */
static syn_err look_aside(void *user, syn_doc *doc)
{
    struct call *call = user;
    if (doc == NULL) return SYN_ENOTFOUND;
    if (!call->aside) {
        call->aside = true;
        return SYN_EBUSY;
    }
    return look(call, doc);
}

static void ask_aside(struct late_world *lw, struct call *call)
{
    *call = (struct call){lw, ' ', UNANSWERED, false};
    hub_read(lw->w.hub, syn_s("notes"), look_aside, ended, call, lw->w.now);
}

/* ---- The world ------------------------------------------------------------------------------- */

static void stop_late(struct late_world *lw)
{
    finish(lw);
    stop(&lw->w);
}

/* The same store under another hub: nothing is in memory. */
static void reopen(struct late_world *lw)
{
    struct hub_port port = lw->w.hub->port;
    struct hub_tuning tuning = lw->w.hub->tuning;
    finish(lw);
    hub_free(lw->w.hub);
    lw->late = (struct late_work){0};
    ck_assert_int_eq(hub_new(&lw->w.hub, lw->w.store, &port), SYN_OK);
    hub_tune(lw->w.hub, &tuning);
}

/* "notes" with `letters` edits, at rest. */
static struct late_world *start_late(uint32_t letters)
{
    struct late_world *lw = &late_world;
    struct call call;
    memset(lw, 0, sizeof *lw);
    start(&lw->w);
    lw->w.hub->port.work = work_port;
    for (uint32_t i = 0; i < letters; i++) {
        edit(lw, &call, (char)('a' + i % 26));
        finish(lw);
    }
    reopen(lw);
    return lw;
}

static void ask_open(struct late_world *lw, hub_conn *conn, uint32_t channel, const syn_id *have)
{
    struct frame frame = {.channel = channel, .kind = FRAME_OPEN};
    frame.as.open.document = syn_s("notes");
    frame.as.open.peer = 0xa1;
    frame.as.open.version.vector = have;
    frame.as.open.version.vector_count = have != NULL;
    frame.as.open.history = true;
    give(&lw->w, conn, &frame);
}

/* ---- Opening --------------------------------------------------------------------------------- */

START_TEST(opens_share_one_load)
{
    struct late_world *lw = start_late(3);
    hub_conn *one = connected(&lw->w), *two = connected(&lw->w);
    ask_open(lw, one, 1, NULL);
    ask_open(lw, two, 1, NULL);
    ask_open(lw, two, 2, NULL);
    ck_assert_uint_eq(lw->late.taken, 1);
    hub_flush(lw->w.hub, lw->w.now);
    ck_assert_uint_eq(lw->w.count[FRAME_OPENED], 0);
    finish(lw);
    ck_assert_uint_eq(lw->w.count[FRAME_OPENED], 3);
    ck_assert_uint_eq(lw->w.hub->parked_bytes, 0);
    stop_late(lw);
}
END_TEST

START_TEST(what_waits_runs_in_order)
{
    struct late_world *lw = start_late(2);
    struct call first, second, removed = {lw, ' ', SYN_EBUSY, false}, late;
    edit(lw, &first, 'X');
    edit(lw, &second, 'Y');
    ck_assert_uint_eq(lw->late.taken, 1);
    ck_assert_int_eq(first.err, SYN_EBUSY);
    ck_assert_str_eq(text_now(lw), "abXY");
    ck_assert_int_eq(first.err, SYN_OK);
    ck_assert_int_eq(second.err, SYN_OK);
    reopen(lw);
    hub_delete(lw->w.hub, syn_s("notes"), ended, &removed, lw->w.now);
    edit(lw, &late, 'Z'); /* behind the deletion */
    finish(lw);
    ck_assert_int_eq(removed.err, SYN_OK);
    ck_assert_int_eq(late.err, SYN_EDELETED);
    ck_assert_str_eq(text_now(lw), "ENOTFOUND");
    stop_late(lw);
}
END_TEST

START_TEST(whoever_asked_is_gone)
{
    struct late_world *lw = start_late(2);
    hub_conn *conn = connected(&lw->w), *stays = connected(&lw->w);
    ask_open(lw, conn, 1, NULL);
    ask_open(lw, stays, 1, NULL);
    hub_disconnect(lw->w.hub, conn, lw->w.now);
    finish(lw);
    ck_assert_uint_eq(lw->w.count[FRAME_OPENED], 1);
    ck_assert_str_eq(text_now(lw), "ab");
    stop_late(lw);
}
END_TEST

START_TEST(no_room_for_a_job)
{
    struct late_world *lw = start_late(2);
    struct call call;
    hub_conn *conn = connected(&lw->w);
    lw->late.refuse = true;
    ask_open(lw, conn, 1, NULL);
    ck_assert_uint_eq(lw->w.count[FRAME_CLOSED], 1);
    ck_assert_uint_eq(lw->w.code, CODE_BUSY);
    ck_assert(!lw->w.permanent);
    edit(lw, &call, 'X');
    ck_assert_int_eq(call.err, SYN_EBUSY);
    lw->late.refuse = false;
    ask_open(lw, conn, 2, NULL);
    ck_assert_str_eq(text_now(lw), "ab");
    ck_assert_uint_eq(lw->w.count[FRAME_OPENED], 1);
    stop_late(lw);
}
END_TEST

/* The hub forgets it for lack of memory while its rows are on their way to the disk. */
START_TEST(opened_again_while_a_commit_flies)
{
    struct late_world *lw = start_late(2);
    struct call call;
    ck_assert_str_eq(text_now(lw), "ab");
    edit(lw, &call, 'c');
    hub_flush(lw->w.hub, lw->w.now);
    ck_assert_ptr_nonnull(lw->w.hub->flying);
    room_drop(room_find(lw->w.hub, syn_s("notes")), CODE_RESYNC, "out of memory");
    ask_open(lw, connected(&lw->w), 1, NULL);
    ck_assert_uint_eq(lw->late.count, 0); /* what is committed is not known yet */
    store_poll(lw->w.store);
    ck_assert_uint_eq(lw->late.count, 1);
    ck_assert_str_eq(text_now(lw), "abc");
    ck_assert_uint_eq(lw->w.count[FRAME_OPENED], 1);
    stop_late(lw);
}
END_TEST

static uint32_t flights(const hub *h)
{
    uint32_t count = 0;
    for (const struct turn *turn = h->flying; turn != NULL; turn = turn->next) count++;
    return count;
}

/* No document waits for another's commit, and each for its own. */
START_TEST(documents_fly_by_themselves)
{
    struct late_world *lw = start_late(0);
    struct call one, two, again, three;
    hub *h = lw->w.hub;
    edit_of(lw, "one", &one, 'a');
    edit_of(lw, "two", &two, 'a');
    edit_of(lw, "three", &three, 'a');
    finish(lw);
    edit_of(lw, "one", &one, 'b');
    hub_flush(h, lw->w.now);
    edit_of(lw, "two", &two, 'b');
    hub_flush(h, lw->w.now);
    ck_assert_uint_eq(flights(h), 2);
    edit_of(lw, "one", &again, 'c');
    hub_flush(h, lw->w.now);
    edit_of(lw, "three", &three, 'b'); /* shares the turn with one that waits */
    hub_flush(h, lw->w.now);
    ck_assert_uint_eq(flights(h), 2);
    ck_assert_int_eq(one.err, SYN_EBUSY);
    store_poll(lw->w.store);
    ck_assert_int_eq(one.err, SYN_OK);
    ck_assert_int_eq(two.err, SYN_OK);
    ck_assert_int_eq(again.err, SYN_EBUSY);
    ck_assert_uint_eq(flights(h), 1);
    store_poll(lw->w.store);
    ck_assert_int_eq(again.err, SYN_OK);
    ck_assert_int_eq(three.err, SYN_OK);
    ck_assert(hub_idle(h));
    stop_late(lw);
}
END_TEST

/* ---- History, folding ------------------------------------------------------------------------ */

START_TEST(edits_while_the_history_is_read)
{
    struct late_world *lw = start_late(0);
    struct hub_tuning tuning = lw->w.hub->tuning;
    struct call call;
    syn_id old = {0xb2, 1};
    tuning.fold_rows = 8;
    hub_tune(lw->w.hub, &tuning);
    for (int i = 0; i < 24; i++) {
        edit(lw, &call, (char)('a' + i));
        finish(lw);
    }
    reopen(lw);
    ck_assert_str_eq(text_now(lw), "abcdefghijklmnopqrstuvwx");
    struct room *room = room_find(lw->w.hub, syn_s("notes"));
    ck_assert(!syn_doc_has_history(room->doc));
    ask_open(lw, connected(&lw->w), 1, &old);
    ck_assert_uint_eq(lw->late.count, 1);
    late_step(&lw->late, lw->w.hub, 0, lw->w.now); /* read, but not told */
    edit(lw, &call, '1');                          /* on the disk by then */
    hub_flush(lw->w.hub, lw->w.now);
    store_poll(lw->w.store);
    edit(lw, &call, '2'); /* under way */
    hub_flush(lw->w.hub, lw->w.now);
    edit(lw, &call, '3'); /* in memory */
    late_step(&lw->late, lw->w.hub, 0, lw->w.now);
    ck_assert(syn_doc_has_history(room->doc));
    ck_assert_str_eq(text_now(lw), "abcdefghijklmnopqrstuvwx123");
    ck_assert_uint_eq(lw->w.count[FRAME_OPENED], 1);
    reopen(lw);
    ck_assert_str_eq(text_now(lw), "abcdefghijklmnopqrstuvwx123");
    stop_late(lw);
}
END_TEST

/* Changes that stand below the snapshot wait for the history, and are then read once more. */
START_TEST(what_waits_is_charged_once)
{
    struct late_world *lw = start_late(0);
    struct hub_tuning tuning = lw->w.hub->tuning;
    struct call call;
    tuning.fold_rows = 8;
    hub_tune(lw->w.hub, &tuning);
    for (int i = 0; i < 24; i++) {
        edit(lw, &call, (char)('a' + i));
        finish(lw);
    }
    reopen(lw);
    hub_conn *conn = connected(&lw->w);
    struct frame frame = {.channel = 1, .kind = FRAME_OPEN};
    frame.as.open.document = syn_s("notes");
    frame.as.open.peer = 0xa1;
    give(&lw->w, conn, &frame);
    finish(lw);
    struct room *room = room_find(lw->w.hub, syn_s("notes"));
    ck_assert(!syn_doc_has_history(room->doc));
    uint32_t taken = lw->late.taken;
    type(&lw->w, conn, 1, 0xa1, 0, 10);
    ck_assert_uint_eq(lw->late.taken, taken + 1);
    ck_assert_uint_eq(room->meter.of[RATE_FRAMES].spent, 1000);
    uint64_t bytes = room->meter.of[RATE_BYTES].spent;
    finish(lw);
    ck_assert_uint_eq(lw->w.count[FRAME_ACK], 1);
    ck_assert_uint_eq(room->meter.of[RATE_FRAMES].spent, 1000);
    ck_assert_uint_eq(room->meter.of[RATE_BYTES].spent, bytes);
    ck_assert_uint_eq(room->meter.of[RATE_EVENTS].spent, 10000);
    stop_late(lw);
}
END_TEST

START_TEST(idle_documents_leave_memory)
{
    struct late_world *lw = start_late(60);
    struct hub_stats stats;
    struct store_doc row;
    ck_assert_str_eq(text_now(lw), "abcdefghijklmnopqrstuvwxyzabcdefghijklmnopqrstuvwxyzabcdefgh");
    ck_assert_int_eq(store_find(lw->w.store, syn_s("notes"), &row), SYN_OK);
    ck_assert_uint_eq(row.snapshot_at, 0);
    for (int second = 0; second < 40; second++) {
        lw->w.now += 1000;
        hub_tick(lw->w.hub, lw->w.now);
        finish(lw);
        hub_read_stats(lw->w.hub, &stats);
        if (second == 20) ck_assert_uint_eq(stats.rooms, 1);
    }
    ck_assert_uint_eq(stats.rooms, 0);
    ck_assert_uint_eq(stats.forgotten, 1);
    ck_assert_uint_ge(stats.trims, 1);
    ck_assert_int_eq(store_find(lw->w.store, syn_s("notes"), &row), SYN_OK);
    ck_assert_uint_eq(row.snapshot_at, 60); /* folded on the way */
    stop_late(lw);
}
END_TEST

/* ---- Packed ---------------------------------------------------------------------------------- */

/* Claims `size` bytes, which its data could yield but does not. */
static void claim(struct late_world *lw, hub_conn *conn, uint32_t size)
{
    struct frame frame = {.channel = 1, .kind = FRAME_PACKED};
    uint32_t len = size / LIMIT_DEFLATE_RATIO + 16;
    char *data = calloc(len, 1);
    frame.as.packed.inside = PACKED_CHANGES;
    frame.as.packed.raw_size = size;
    frame.as.packed.data = (syn_str){data, len};
    give(&lw->w, conn, &frame);
    free(data);
}

static hub_conn *packing(struct late_world *lw)
{
    hub_conn *conn = connected(&lw->w);
    conn->features |= FEATURE_PACKED;
    ask_open(lw, conn, 1, NULL);
    finish(lw);
    return conn;
}

/* ---- History in pieces ----------------------------------------------------------------------- */

static syn_err append_much(void *user, syn_doc *doc)
{
    syn_obj text;
    struct late_world *lw = user;
    char letters[8001];
    syn_err err = syn_root(doc, syn_s(""), SYN_TEXT, &text);
    for (size_t i = 0; i + 1 < sizeof letters; i++) letters[i] = (char)('a' + draw(&lw->w) % 26);
    letters[sizeof letters - 1] = '\0';
    return err ? err : syn_text_insert(doc, text, syn_text_len(doc, text), syn_s(letters));
}

/* Frames of history that somebody who joins gets. */
static uint32_t pieces_of_joiner(struct late_world *lw)
{
    uint32_t before = lw->w.count[FRAME_PACKED];
    hub_conn *conn = packing(lw);
    finish(lw);
    ck_assert_uint_eq(conn->channels[0]->cursor, conn->channels[0]->room->durable);
    return lw->w.count[FRAME_PACKED] - before;
}

/* Deflated once for all who come within a while, and then forgotten. */
START_TEST(history_is_deflated_once)
{
    struct late_world *lw = start_late(1);
    struct hub_tuning tuning = lw->w.hub->tuning;
    struct call call = {lw, ' ', SYN_EBUSY, false};
    tuning.frame_piece = 1024;
    hub_tune(lw->w.hub, &tuning);
    hub_edit(lw->w.hub, syn_s("notes"), true, append_much, NULL, lw, lw->w.now);
    finish(lw);
    uint32_t pieces = pieces_of_joiner(lw);
    struct room *room = room_find(lw->w.hub, syn_s("notes"));
    ck_assert_uint_ge(pieces, 4);
    ck_assert_ptr_nonnull(room->pieces);
    uint64_t made = room->pieces->made;
    ck_assert_uint_ge(made, pieces - 1); /* the last one ends where the log does */
    ck_assert_uint_eq(pieces_of_joiner(lw), pieces);
    ck_assert_uint_eq(room->pieces->made, made);
    edit(lw, &call, 'x'); /* the log goes on: what was made is still the front of it */
    finish(lw);
    (void)pieces_of_joiner(lw);
    ck_assert_uint_le(room->pieces->made, made + 1);
    for (int i = 0; i < 5; i++)
        hub_edit(lw->w.hub, syn_s("notes"), true, append_much, NULL, lw, lw->w.now);
    finish(lw);
    lw->w.now += PIECE_MS;
    pieces = pieces_of_joiner(lw); /* more than are kept: the front is */
    ck_assert_uint_gt(pieces, PIECES);
    made = room->pieces->made;
    ck_assert_uint_eq(pieces_of_joiner(lw), pieces);
    ck_assert_uint_le(room->pieces->made - made, pieces - PIECES + 1);
    for (int i = 0; i < 12; i++) hub_tick(lw->w.hub, lw->w.now += 1000);
    ck_assert_ptr_null(room->pieces);
    stop_late(lw);
}
END_TEST

START_TEST(inflating_is_charged_before)
{
    struct late_world *lw = start_late(2);
    hub_conn *one = packing(lw), *two = packing(lw);
    claim(lw, one, LIMIT_RAW_BYTES);
    ck_assert_uint_eq(lw->w.hub->inflating, LIMIT_RAW_BYTES);
    ck_assert_uint_eq(lw->late.count, 1);
    claim(lw, two, 1u << 20);
    ck_assert_uint_eq(lw->w.code, CODE_BUSY);
    finish(lw);
    ck_assert_uint_eq(lw->w.code, CODE_MALFORMED);
    ck_assert_uint_eq(lw->w.count[FRAME_CLOSED], 2);
    ck_assert_uint_eq(lw->w.hub->inflating, 0);
    ck_assert_uint_eq(lw->w.hub->parked_bytes, 0);
    stop_late(lw);
}
END_TEST

/* ---- Reading aside --------------------------------------------------------------------------- */

/* Many ask at once: one copy serves several, and sees what was acknowledged before. */
START_TEST(a_copy_serves_several)
{
    enum { CALLS = 20 };
    struct late_world *lw = start_late(2);
    struct call calls[CALLS], written;
    ck_assert_str_eq(text_now(lw), "ab");
    edit(lw, &written, 'X');
    finish(lw);
    uint32_t before = lw->late.taken;
    for (int i = 0; i < CALLS; i++) ask_aside(lw, &calls[i]);
    ck_assert_uint_eq(lw->late.taken, before + 1);
    for (int i = 0; i < CALLS; i++) ck_assert_int_eq(calls[i].err, UNANSWERED);
    finish(lw);
    for (int i = 0; i < CALLS; i++) ck_assert_int_eq(calls[i].err, SYN_OK);
    ck_assert_str_eq(lw->said, "abX");
    ck_assert_uint_gt(lw->late.taken, before + 2); /* not all their answers at once */
    ck_assert_uint_lt(lw->late.taken, before + CALLS);
    stop_late(lw);
}
END_TEST

/* The document goes, or the queue is full: everybody is answered. */
START_TEST(a_copy_that_ends_badly)
{
    struct late_world *lw = start_late(2);
    struct call first, behind[10], removed = {lw, ' ', UNANSWERED, false};
    ck_assert_str_eq(text_now(lw), "ab");
    ask_aside(lw, &first);
    for (int i = 0; i < 10; i++) ask_aside(lw, &behind[i]);
    hub_delete(lw->w.hub, syn_s("notes"), ended, &removed, lw->w.now);
    hub_flush(lw->w.hub, lw->w.now);
    store_poll(lw->w.store);
    finish(lw);
    ck_assert_int_eq(removed.err, SYN_OK);
    ck_assert(first.err == SYN_ENOTFOUND || first.err == SYN_EDELETED);
    for (int i = 0; i < 10; i++) ck_assert(behind[i].err != SYN_OK && behind[i].err != UNANSWERED);
    stop_late(lw);

    lw = start_late(2);
    ck_assert_str_eq(text_now(lw), "ab");
    lw->late.refuse = true;
    ask_aside(lw, &first);
    ck_assert_int_eq(first.err, SYN_EBUSY);
    lw->late.refuse = false;
    ask_aside(lw, &first);
    finish(lw);
    ck_assert_int_eq(first.err, SYN_OK);
    stop_late(lw);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("hub_work");
    TCase *tests = tcase_create("work");
    tcase_set_timeout(tests, 0);
    tcase_add_test(tests, opens_share_one_load);
    tcase_add_test(tests, what_waits_runs_in_order);
    tcase_add_test(tests, whoever_asked_is_gone);
    tcase_add_test(tests, no_room_for_a_job);
    tcase_add_test(tests, opened_again_while_a_commit_flies);
    tcase_add_test(tests, documents_fly_by_themselves);
    tcase_add_test(tests, edits_while_the_history_is_read);
    tcase_add_test(tests, what_waits_is_charged_once);
    tcase_add_test(tests, idle_documents_leave_memory);
    tcase_add_test(tests, history_is_deflated_once);
    tcase_add_test(tests, inflating_is_charged_before);
    tcase_add_test(tests, a_copy_serves_several);
    tcase_add_test(tests, a_copy_that_ends_badly);
    suite_add_tcase(suite, tests);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed != 0;
}
