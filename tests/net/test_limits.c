/* test_limits.c -- every limit of the server: where it acts, how it says so, what it leaves alone.
 *
 * The clock is the test's.  Each test sets one limit so low that a few frames reach it, and looks
 * at code, permanent, retry_ms and count; what was acknowledged must be in the document, and
 * nothing else. */
#include "gate.h"
#include "hub_world.h"

#include <arpa/inet.h>
#include <check.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- Buckets --------------------------------------------------------------------------------- */

START_TEST(buckets)
{
    const struct bucket_rate rate = {10, 100};
    struct bucket bucket = {0};
    bucket_take(&bucket, rate, 100, 1000); /* a burst at once */
    ck_assert_int_eq(bucket_look(&bucket, rate, 1000), BUCKET_GOOD);
    bucket_take(&bucket, rate, 1, 1000);
    ck_assert_int_eq(bucket_look(&bucket, rate, 1000), BUCKET_SLOW);
    ck_assert_uint_eq(bucket_wait(&bucket, rate, 1000), 101); /* 100 ms for one */
    ck_assert_int_eq(bucket_look(&bucket, rate, 1099), BUCKET_SLOW);
    ck_assert_int_eq(bucket_look(&bucket, rate, 1100), BUCKET_GOOD);
    ck_assert_uint_eq(bucket_wait(&bucket, rate, 1100), 0);
    bucket_take(&bucket, rate, 150, 1100);
    ck_assert_int_eq(bucket_look(&bucket, rate, 1100), BUCKET_REFUSE);
    bucket_take(&bucket, rate, 100, 1100);
    ck_assert_int_eq(bucket_look(&bucket, rate, 1100), BUCKET_CLOSE);
    bucket_take(&bucket, rate, UINT64_MAX, 1100); /* no debt is for ever */
    ck_assert_uint_eq(bucket.spent, 400000);
    bucket_take(&bucket, rate, 1, 900); /* a clock that goes back forgives nothing */
    ck_assert_uint_eq(bucket.spent, 400000);
    ck_assert_int_eq(bucket_look(&bucket, rate, UINT64_MAX), BUCKET_GOOD);
    ck_assert_uint_eq(bucket.spent, 0);
}
END_TEST

/* A call each millisecond loses nothing to rounding. */
START_TEST(small_steps)
{
    const struct bucket_rate rate = {3, 10}, none = {0, 0};
    struct bucket bucket = {0};
    bucket_take(&bucket, rate, 16, 1);
    for (uint64_t now = 2; now <= 2000; now++) (void)bucket_look(&bucket, rate, now);
    ck_assert_uint_eq(bucket.spent, 16000 - 3 * 1999);
    bucket_take(&bucket, none, 1000, 2000);
    ck_assert_int_eq(bucket_look(&bucket, none, 2000), BUCKET_GOOD);
}
END_TEST

/* ---- Setting --------------------------------------------------------------------------------- */

START_TEST(lists)
{
    struct limits limits;
    char why[200];
    limits_default(&limits);
    ck_assert_uint_eq(limits.of[LIM_CONNECTIONS], 20000);
    ck_assert_int_eq(limits_read(&limits, "connections=5,memory=1G,user_bytes=64K", why), SYN_OK);
    ck_assert_uint_eq(limits.of[LIM_CONNECTIONS], 5);
    ck_assert_uint_eq(limits.of[LIM_MEMORY], (uint64_t)1 << 30);
    ck_assert_uint_eq(limits.of[LIM_USER_BYTES], 65536);
    ck_assert(limits.set[LIM_MEMORY] && !limits.set[LIM_USER_FRAMES]);
    static const char *const bad[] = {"connections",
                                      "connections=",
                                      "connections=x",
                                      "connections=5X",
                                      "connections=5KK",
                                      "connections=-1",
                                      "none=5",
                                      "memory=1",
                                      "burst=0",
                                      "document_events=4G",
                                      "connections=99999999G",
                                      "connections=99999999999999999999"};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        char list[100];
        snprintf(list, sizeof list, "user_bytes=1,%s", bad[i]);
        why[0] = '\0';
        ck_assert_msg(limits_read(&limits, list, why) == SYN_EMISUSE, "%s", bad[i]);
        ck_assert_uint_ne(strlen(why), 0);
        ck_assert_uint_eq(limits.of[LIM_USER_BYTES], 65536); /* all or nothing */
    }
}
END_TEST

/* Each default is a value that may be set; names are names of their own. */
START_TEST(tables)
{
    for (unsigned i = 0; i < LIM_COUNT; i++) {
        const struct limit_info *info = limits_info((enum limit)i);
        ck_assert_msg(limits_may_be((enum limit)i, info->value), "%s", info->name);
        ck_assert_uint_eq(limits_find(syn_s(info->name)), i);
        for (size_t k = 0; limits_fixed(k) != NULL; k++)
            ck_assert_str_ne(limits_fixed(k)->name, info->name);
    }
}
END_TEST

/* ---- Rates ----------------------------------------------------------------------------------- */

static void set(struct world *w, enum limit limit, uint64_t value)
{
    struct limits limits = *hub_limits(w->hub);
    limits.of[limit] = value;
    limits.of[LIM_BURST] = 1;
    hub_limit(w->hub, &limits);
}

static uint64_t limited(const struct world *w, enum limit limit)
{
    struct hub_stats stats;
    hub_read_stats(w->hub, &stats);
    ck_assert_uint_ge(stats.refused[limits_info(limit)->code], stats.limited[limit]);
    return stats.limited[limit];
}

static syn_err count_events(void *user, syn_doc *doc)
{
    *(uint64_t *)user = doc != NULL ? syn_doc_events(doc) : 0;
    return SYN_OK;
}

static uint64_t events_of(struct world *w, const char *name)
{
    uint64_t events = 0;
    hub_read(w->hub, syn_s(name), count_events, NULL, &events, w->now);
    settle(w);
    return events;
}

enum { LETTERS = 500 };
static const uint64_t peers[2] = {0xa1, 0xb1};

/* Two peers beside each other, so that there is work, until the first frame that is not taken:
 * whose turn that was, or -1. */
static int type_until_refused(struct world *w, hub_conn *conn, uint32_t seq[2])
{
    for (int i = 0; i < 200; i++) {
        int who = i % 2;
        type(w, conn, 1, peers[who], seq[who], LETTERS);
        settle(w);
        if (w->count[FRAME_NACK] != 0 || w->closed) return who;
        seq[who] += LETTERS;
    }
    return -1;
}

static const struct {
    enum limit limit;
    uint64_t value;
} rates[] = {
    {LIM_CONNECTION_FRAMES, 10},
    {LIM_CONNECTION_BYTES, 5000},
    {LIM_CONNECTION_EVENTS, 3000},
    {LIM_CONNECTION_WORK, 50},
    {LIM_USER_FRAMES, 10},
    {LIM_USER_BYTES, 5000},
    {LIM_USER_EVENTS, 3000},
    {LIM_USER_WORK, 50},
    {LIM_DOCUMENT_FRAMES, 10},
    {LIM_DOCUMENT_BYTES_RATE, 5000},
    {LIM_DOCUMENT_EVENTS_RATE, 3000},
    {LIM_DOCUMENT_WORK, 50},
};

/* Who goes on without credit being given is refused, told when to come again, and is taken then. */
START_TEST(refused_and_taken_later)
{
    uint32_t seq[2] = {0, 0};
    struct world w;
    start(&w);
    set(&w, rates[_i].limit, rates[_i].value);
    hub_conn *conn = connected(&w);
    open_channel(&w, conn, 1, "notes");
    int who = type_until_refused(&w, conn, seq);
    ck_assert_int_ge(who, 0);
    ck_assert_uint_eq(w.code, CODE_BUSY);
    ck_assert(!w.permanent && !w.closed);
    ck_assert_uint_ge(w.retry_ms, 1000);
    ck_assert_uint_eq(limited(&w, rates[_i].limit), 1);
    ck_assert_uint_eq(events_of(&w, "notes"), seq[0] + seq[1]);
    w.now += w.retry_ms + 1000;
    uint32_t acks = w.count[FRAME_ACK];
    type(&w, conn, 1, peers[who], seq[who], LETTERS);
    settle(&w);
    ck_assert_uint_eq(w.count[FRAME_ACK], acks + 1);
    ck_assert_uint_eq(events_of(&w, "notes"), seq[0] + seq[1] + LETTERS);
    stop(&w);
}
END_TEST

/* Whoever does not stop when refused is sent away; what was acknowledged stays, the other goes on.
 */
START_TEST(flood)
{
    uint32_t seq[2] = {0, 0};
    struct world w;
    start(&w);
    set(&w, LIM_CONNECTION_FRAMES, 50);
    hub_conn *other = connected_as(&w, syn_s("bob")), *conn = connected(&w);
    open_channel(&w, other, 1, "others");
    open_channel(&w, conn, 1, "notes");
    ck_assert_int_ge(type_until_refused(&w, conn, seq), 0);
    uint32_t nacks = w.count[FRAME_NACK];
    for (uint32_t i = 0; i < 200 && !w.closed; i++) {
        type(&w, conn, 1, peers[0], seq[0] + i, 1);
        if (i % 20 == 0) type(&w, other, 1, 0xc1, i / 20 * 10, 10);
    }
    ck_assert(w.closed);
    ck_assert_uint_eq(w.count[FRAME_ERROR], 1);
    ck_assert_uint_eq(w.code, CODE_BUSY);
    ck_assert(!w.permanent && w.retry_ms != 0);
    ck_assert_uint_le(w.count[FRAME_NACK] - nacks, 60);
    settle(&w);
    ck_assert_uint_eq(events_of(&w, "notes"), seq[0] + seq[1]);
    ck_assert_uint_ge(events_of(&w, "others"), 20);
    stop(&w);
}
END_TEST

/* Credit is kept back first, and given when its time has come: an honest client only waits. */
START_TEST(credit_is_kept_back)
{
    struct world w;
    struct hub_stats stats;
    start(&w);
    set(&w, LIM_USER_BYTES, 128 * 1024);
    set(&w, LIM_CONNECTION_EVENTS, 0);
    hub_conn *conn = connected(&w);
    open_channel(&w, conn, 1, "notes");
    for (uint32_t i = 0; i < 3; i++) type(&w, conn, 1, 0xa1, i * 60000, 60000);
    settle(&w);
    ck_assert_uint_eq(w.count[FRAME_NACK], 0);
    ck_assert_uint_eq(events_of(&w, "notes"), 180000);
    ck_assert_uint_eq(w.credit, 0);
    hub_read_stats(w.hub, &stats);
    ck_assert_uint_eq(stats.slowed[LIM_USER_BYTES], 1);
    ck_assert_uint_eq(limited(&w, LIM_USER_BYTES), 0);
    ck_assert_uint_le(hub_next_tick(w.hub), w.now + 1000);
    while (w.credit == 0 && w.now < 10000) {
        w.now += 50;
        hub_tick(w.hub, w.now);
    }
    ck_assert_uint_ge(w.credit, 180000);
    ck_assert_uint_ge(w.now, 1000 + 350); /* 49 KiB too much, at 128 KiB a second */
    ck_assert_uint_le(w.now, 1000 + 450);
    stop(&w);
}
END_TEST

/* A connection that waits for credit may go at any moment. */
START_TEST(leaving_while_starved)
{
    struct world w;
    start(&w);
    set(&w, LIM_CONNECTION_BYTES, 128 * 1024);
    set(&w, LIM_CONNECTION_EVENTS, 0);
    hub_conn *conns[3];
    for (uint32_t k = 0; k < 3; k++) {
        char name[8];
        snprintf(name, sizeof name, "n%u", k);
        conns[k] = connected(&w);
        open_channel(&w, conns[k], 1, name);
        for (uint32_t i = 0; i < 3; i++) type(&w, conns[k], 1, 0xa1, i * 60000, 60000);
    }
    settle(&w);
    ck_assert_ptr_nonnull(w.hub->starved);
    hub_disconnect(w.hub, conns[1], w.now);
    w.now += 5000;
    hub_tick(w.hub, w.now);
    ck_assert_ptr_null(w.hub->starved);
    ck_assert_uint_ge(w.credit, 360000);
    stop(&w);
}
END_TEST

START_TEST(control_frames)
{
    struct world w;
    struct frame ping = {.kind = FRAME_PING};
    start(&w);
    set(&w, LIM_CONNECTION_CONTROL, 100);
    hub_conn *conn = connected(&w);
    for (uint32_t i = 0; i < 98; i++) give(&w, conn, &ping);
    ck_assert(!w.closed);
    for (uint32_t i = 0; i < 1000; i++) { /* at its rate: for ever */
        w.now += 10;
        give(&w, conn, &ping);
    }
    ck_assert(!w.closed);
    for (uint32_t i = 0; i < 100; i++) give(&w, conn, &ping);
    ck_assert(w.closed);
    ck_assert_uint_eq(w.code, CODE_BUSY);
    ck_assert_uint_eq(limited(&w, LIM_CONNECTION_CONTROL), 1);
    stop(&w);
}
END_TEST

/* ---- Requests over HTTP ---------------------------------------------------------------------- */

struct edit {
    struct hub_request request;
    syn_err err;
};

static syn_err add_letters(void *user, syn_doc *doc)
{
    static const char letters[LETTERS] = {0};
    syn_obj text;
    syn_err err = doc != NULL ? syn_root(doc, syn_s(""), SYN_TEXT, &text) : SYN_ENOTFOUND;
    (void)user;
    return err ? err : syn_text_insert(doc, text, 0, (syn_str){letters, LETTERS});
}

static void edited(void *user, syn_err err)
{
    ((struct edit *)user)->err = err;
}

/* As http_api.c does it: the request is charged, then its edit. */
static struct edit edit_as(struct world *w, const char *user, const char *document)
{
    struct edit edit = {{.user = syn_s(user), .bytes = LETTERS}, SYN_ELIMIT};
    if (!hub_request(w->hub, &edit.request, w->now)) return edit;
    edit.err = SYN_EBUSY;
    hub_edit_for(w->hub, syn_s(document), true, add_letters, edited, &edit, &edit.request, w->now);
    settle(w);
    ck_assert_int_ne(edit.err, SYN_EBUSY);
    return edit;
}

static const struct {
    enum limit limit;
    uint64_t value;
} request_rates[] = {
    {LIM_USER_FRAMES, 10},     {LIM_USER_BYTES, 5000},          {LIM_USER_EVENTS, 3000},
    {LIM_DOCUMENT_FRAMES, 10}, {LIM_DOCUMENT_BYTES_RATE, 5000}, {LIM_DOCUMENT_EVENTS_RATE, 3000},
};

/* The same buckets as for frames: what is spent here is spent there, and coming later helps. */
START_TEST(requests_are_charged)
{
    enum limit limit = request_rates[_i].limit;
    bool of_user = limit < LIM_DOCUMENT_READERS;
    uint64_t taken = 0;
    struct world w;
    start(&w);
    set(&w, limit, request_rates[_i].value);
    struct edit edit = edit_as(&w, "ann", "notes");
    for (; edit.err == SYN_OK && taken < 100; taken++) edit = edit_as(&w, "ann", "notes");
    ck_assert_int_eq(edit.err, SYN_ELIMIT);
    ck_assert_int_eq(edit.request.limit, limit);
    ck_assert_uint_ge(edit.request.wait_ms, 1);
    ck_assert_uint_eq(limited(&w, limit), 1);
    ck_assert_uint_eq(events_of(&w, "notes"), taken * LETTERS);
    ck_assert_int_eq(edit_as(&w, "bob", "notes").err, of_user ? SYN_OK : SYN_ELIMIT);
    ck_assert_int_eq(edit_as(&w, "ann", "more").err, of_user ? SYN_ELIMIT : SYN_OK);
    w.now += edit.request.wait_ms + 2000;
    ck_assert_int_eq(edit_as(&w, "ann", "notes").err, SYN_OK);
    stop(&w);
}
END_TEST

START_TEST(requests_have_quotas)
{
    struct world w;
    start(&w);
    set(&w, LIM_USER_CREATES, 2);
    ck_assert_int_eq(edit_as(&w, "ann", "a").err, SYN_OK);
    ck_assert_int_eq(edit_as(&w, "ann", "b").err, SYN_OK);
    struct edit edit = edit_as(&w, "ann", "c");
    ck_assert(edit.err == SYN_ELIMIT && edit.request.limit == LIM_USER_CREATES);
    ck_assert_uint_eq(edit.request.wait_ms, MAX_RETRY_MS);
    ck_assert_int_eq(edit_as(&w, "ann", "a").err, SYN_OK); /* what is there may be written */
    ck_assert_int_eq(edit_as(&w, "bob", "c").err, SYN_OK);
    set(&w, LIM_DOCUMENT_EVENTS, LETTERS);
    ck_assert_uint_eq(hub_most_events(w.hub, syn_s("c")), LETTERS);
    edit = edit_as(&w, "bob", "c");
    ck_assert(edit.err == SYN_ELIMIT && edit.request.limit == LIM_DOCUMENT_EVENTS);
    set(&w, LIM_DOCUMENT_EVENTS, LIMIT_DOCUMENT_EVENTS);
    set(&w, LIM_DOCUMENT_BYTES, LETTERS + 10);
    edit = edit_as(&w, "bob", "c");
    ck_assert(edit.err == SYN_ELIMIT && edit.request.limit == LIM_DOCUMENT_BYTES);
    ck_assert_uint_eq(events_of(&w, "c"), LETTERS);
    stop(&w);
}
END_TEST

/* ---- Users ----------------------------------------------------------------------------------- */

START_TEST(connections_of_a_user)
{
    struct world w;
    start(&w);
    set(&w, LIM_USER_CONNECTIONS, 2);
    hub_conn *first = connected(&w);
    (void)connected(&w);
    (void)connected_as(&w, syn_s("bob"));
    for (int i = 0; i < 5; i++) (void)connected_as(&w, syn_s("anonymous")); /* five people */
    ck_assert(!w.closed);
    ck_assert_uint_eq(w.count[FRAME_WELCOME], 8);
    (void)connected_as(&w, syn_s("ann"));
    ck_assert(w.closed);
    ck_assert_uint_eq(w.code, CODE_BUSY);
    ck_assert_uint_eq(limited(&w, LIM_USER_CONNECTIONS), 1);
    hub_disconnect(w.hub, first, w.now);
    (void)connected(&w);
    ck_assert_uint_eq(w.count[FRAME_WELCOME], 9);
    stop(&w);
}
END_TEST

/* Coming again, or twice, does not make anybody faster; others are not concerned. */
START_TEST(a_user_is_one)
{
    uint32_t seq[2] = {0, 0};
    struct world w;
    start(&w);
    set(&w, LIM_USER_EVENTS, 3000);
    hub_conn *conn = connected(&w), *twin = connected(&w), *other = connected_as(&w, syn_s("bob"));
    struct hub_user_info info;
    open_channel(&w, conn, 1, "notes");
    open_channel(&w, twin, 1, "more");
    open_channel(&w, other, 1, "others");
    ck_assert_int_ge(type_until_refused(&w, conn, seq), 0);
    type(&w, twin, 1, 0xd1, 0, 1);
    settle(&w);
    ck_assert_uint_eq(limited(&w, LIM_USER_EVENTS), 2);
    ck_assert(hub_user(w.hub, syn_s("ann"), &info, w.now) && info.connections == 2);
    ck_assert(info.creates == 1 && info.limit == LIM_USER_EVENTS && info.wait_ms >= 1000);
    hub_disconnect(w.hub, conn, w.now);
    hub_disconnect(w.hub, twin, w.now);
    for (int i = 0; i < 100; i++) accounts_sweep(w.hub);
    conn = connected(&w);
    open_channel(&w, conn, 1, "notes");
    type(&w, conn, 1, 0xa1, seq[0], 1);
    settle(&w);
    ck_assert_uint_eq(limited(&w, LIM_USER_EVENTS), 3);
    type(&w, other, 1, 0xe1, 0, LETTERS);
    settle(&w);
    ck_assert_uint_eq(events_of(&w, "others"), LETTERS);
    hub_disconnect(w.hub, conn, w.now);
    w.now += 2 * 3600000;
    hub_tick(w.hub, w.now);
    for (int i = 0; i < 100; i++) accounts_sweep(w.hub);
    ck_assert_ptr_null(account_find(w.hub, syn_s("ann"))); /* nothing is left of who went */
    stop(&w);
}
END_TEST

START_TEST(documents_made_in_an_hour)
{
    struct world w;
    start(&w);
    set(&w, LIM_USER_CREATES, 3);
    hub_conn *conn = connected(&w);
    for (uint32_t i = 0; i < 4; i++) {
        char name[8];
        snprintf(name, sizeof name, "n%u", i);
        open_channel(&w, conn, i + 1, name);
        type(&w, conn, i + 1, 0xa1 + i, 0, 10);
        settle(&w);
    }
    ck_assert_uint_eq(w.count[FRAME_ACK], 3);
    ck_assert_uint_eq(w.count[FRAME_NACK], 1);
    ck_assert_uint_eq(w.code, CODE_BUSY);
    ck_assert_uint_eq(limited(&w, LIM_USER_CREATES), 1);
    ck_assert_uint_eq(events_of(&w, "n3"), 0);
    type(&w, conn, 1, 0xa1, 10, 10); /* what is there may be written */
    w.now += 3600000;
    type(&w, conn, 4, 0xa4, 0, 10);
    settle(&w);
    ck_assert_uint_eq(w.count[FRAME_ACK], 5);
    stop(&w);
}
END_TEST

static void nothing(void *user, syn_err err)
{
    *(syn_err *)user = err;
}

/* Those that are there, whoever asks and however often the server was started. */
START_TEST(documents_of_a_user)
{
    struct world w;
    syn_err gone = SYN_EBUSY;
    start(&w);
    set(&w, LIM_USER_DOCUMENTS, 3);
    hub_conn *conn = connected(&w), *bob = connected_as(&w, syn_s("bob"));
    for (uint32_t i = 0; i < 4; i++) {
        char name[8];
        snprintf(name, sizeof name, "n%u", i);
        open_channel(&w, conn, i + 1, name);
        type(&w, conn, i + 1, 0xa1 + i, 0, 10);
        settle(&w);
    }
    ck_assert_uint_eq(w.count[FRAME_ACK], 3);
    ck_assert_uint_eq(w.count[FRAME_NACK], 1);
    ck_assert(w.code == CODE_LIMIT && w.permanent && w.retry_ms == 0);
    ck_assert_uint_eq(limited(&w, LIM_USER_DOCUMENTS), 1);
    open_channel(&w, bob, 1, "bobs");
    type(&w, bob, 1, 0xb1, 0, 10);
    settle(&w);
    ck_assert_uint_eq(w.count[FRAME_ACK], 4);
    struct hub_port port = w.hub->port;
    hub_free(w.hub);
    ck_assert_int_eq(hub_new(&w.hub, w.store, &port), SYN_OK);
    set(&w, LIM_USER_DOCUMENTS, 3);
    ck_assert_int_eq(edit_as(&w, "ann", "n4").request.limit, LIM_USER_DOCUMENTS);
    ck_assert_int_eq(edit_as(&w, "ann", "bobs").err, SYN_OK); /* she did not make it */
    hub_delete(w.hub, syn_s("bobs"), nothing, &gone, w.now);
    settle(&w);
    ck_assert_int_eq(gone, SYN_OK);
    ck_assert_int_eq(edit_as(&w, "ann", "n4").err, SYN_ELIMIT);
    hub_delete(w.hub, syn_s("n0"), nothing, &gone, w.now);
    settle(&w);
    ck_assert_int_eq(edit_as(&w, "ann", "n4").err, SYN_OK);
    ck_assert_int_eq(edit_as(&w, "ann", "n5").err, SYN_ELIMIT);
    stop(&w);
}
END_TEST

START_TEST(new_peers_in_an_hour)
{
    struct world w;
    start(&w);
    set(&w, LIM_USER_NEW_PEERS, 3);
    hub_conn *conn = connected(&w);
    open_channel(&w, conn, 1, "notes");
    for (uint32_t i = 0; i < 4; i++) type(&w, conn, 1, 0xa1 + i, 0, 10);
    settle(&w);
    ck_assert_uint_eq(w.count[FRAME_NACK], 1);
    ck_assert_uint_eq(w.code, CODE_BUSY);
    ck_assert_uint_eq(w.retry_ms, MAX_RETRY_MS);
    ck_assert_uint_eq(events_of(&w, "notes"), 30);
    w.now += 3600000;
    type(&w, conn, 1, 0xa4, 0, 10);
    settle(&w);
    ck_assert_uint_eq(events_of(&w, "notes"), 40);
    stop(&w);
}
END_TEST

/* ---- Documents ------------------------------------------------------------------------------- */

START_TEST(open_documents)
{
    struct world w;
    start(&w);
    set(&w, LIM_CONNECTION_DOCUMENTS, 2);
    set(&w, LIM_DOCUMENT_READERS, 1);
    hub_conn *conn = connected(&w), *other = connected(&w);
    open_channel(&w, conn, 1, "a");
    open_channel(&w, conn, 2, "b");
    open_channel(&w, conn, 3, "c");
    ck_assert_uint_eq(w.count[FRAME_CLOSED], 1);
    ck_assert_uint_eq(w.code, CODE_LIMIT);
    ck_assert(!w.permanent);
    ck_assert_uint_eq(limited(&w, LIM_CONNECTION_DOCUMENTS), 1);
    open_channel(&w, other, 1, "a");
    ck_assert_uint_eq(w.count[FRAME_CLOSED], 2);
    ck_assert_uint_eq(w.code, CODE_BUSY);
    ck_assert_uint_eq(limited(&w, LIM_DOCUMENT_READERS), 1);
    ck_assert_uint_eq(w.count[FRAME_OPENED], 2);
    stop(&w);
}
END_TEST

static void fill_up(enum limit limit, uint64_t most, uint32_t taken)
{
    struct world w;
    start(&w);
    set(&w, limit, most);
    hub_conn *conn = connected(&w);
    open_channel(&w, conn, 1, "notes");
    for (uint32_t i = 0; i <= taken; i++) {
        type(&w, conn, 1, 0xa1, i * 100, 100);
        settle(&w);
    }
    ck_assert_uint_eq(w.count[FRAME_NACK], 1);
    ck_assert_uint_eq(w.code, CODE_LIMIT);
    ck_assert(w.permanent);
    ck_assert_uint_eq(w.retry_ms, 0);
    ck_assert_uint_eq(limited(&w, limit), 1);
    ck_assert_uint_eq(events_of(&w, "notes"), taken * 100);
    stop(&w);
}

START_TEST(full_documents)
{
    fill_up(LIM_DOCUMENT_EVENTS, 500, 5);
    fill_up(LIM_DOCUMENT_BYTES, 600, 4); /* a hundred letters and what frames them */
}
END_TEST

START_TEST(presence_of_a_document)
{
    struct world w;
    char state[1000] = {0};
    struct msg_presence_state entry = {.state = {state, sizeof state}};
    struct frame frame = {.channel = 1, .kind = FRAME_PRESENCE};
    frame.as.presence.states = &entry;
    frame.as.presence.state_count = 1;
    start(&w);
    set(&w, LIM_DOCUMENT_PRESENCE, 2500);
    hub_conn *conns[4];
    for (int i = 0; i < 4; i++) {
        conns[i] = connected(&w);
        open_channel(&w, conns[i], 1, "notes");
    }
    for (int i = 0; i < 4; i++) give(&w, conns[i], &frame);
    for (int i = 0; i < 3; i++) {
        w.now += LIMIT_PRESENCE_MS;
        hub_tick(w.hub, w.now);
    }
    struct room *room = room_find(w.hub, syn_s("notes"));
    ck_assert_uint_eq(room->session_count, 2);
    ck_assert_uint_le(room->presence_bytes, 2500);
    ck_assert_uint_eq(limited(&w, LIM_DOCUMENT_PRESENCE), 2);
    stop(&w);
}
END_TEST

/* ---- Readers --------------------------------------------------------------------------------- */

START_TEST(answers_that_nobody_reads)
{
    struct world w;
    struct frame ping = {.kind = FRAME_PING};
    start(&w);
    hub_conn *conn = connected(&w);
    w.stopped = true;
    for (uint32_t i = 0; i < 1000000 && !w.closed; i++) {
        w.now += 2;
        give(&w, conn, &ping);
        ck_assert_uint_le(conn->queue.len, LIMIT_MEGABYTE);
    }
    ck_assert(w.closed);
    ck_assert_uint_eq(limited(&w, LIM_CONNECTION_QUEUE), 1);
    stop(&w);
}
END_TEST

/* ---- Addresses ------------------------------------------------------------------------------- */

static gate_seat *enter(gate *g, const char *address, uint64_t now, enum limit *limit)
{
    struct sockaddr_in6 in6 = {.sin6_family = AF_INET6};
    struct sockaddr_in in = {.sin_family = AF_INET};
    if (inet_pton(AF_INET, address, &in.sin_addr) == 1)
        return gate_enter(g, (const struct sockaddr *)&in, now, limit);
    ck_assert_int_eq(inet_pton(AF_INET6, address, &in6.sin6_addr), 1);
    return gate_enter(g, (const struct sockaddr *)&in6, now, limit);
}

static gate *gate_with(const char *list)
{
    struct limits limits;
    char why[200];
    limits_default(&limits);
    ck_assert_int_eq(limits_read(&limits, list, why), SYN_OK);
    gate *g = gate_new(&limits);
    ck_assert_ptr_nonnull(g);
    return g;
}

/* An IPv6 customer has 2^64 addresses, and is one. */
START_TEST(addresses)
{
    enum limit limit;
    uint64_t refused[LIM_COUNT];
    gate *g = gate_with("address_connections=2,connections=9");
    gate_seat *spares[GATE_SPARES], *first = enter(g, "10.0.0.1", 0, &limit);
    ck_assert_ptr_nonnull(first);
    ck_assert_ptr_nonnull(enter(g, "::ffff:10.0.0.1", 0, &limit)); /* the same one */
    ck_assert_ptr_null(enter(g, "10.0.0.1", 0, &limit));
    ck_assert_int_eq(limit, LIM_ADDRESS_CONNECTIONS);
    ck_assert_ptr_nonnull(enter(g, "10.0.0.2", 0, &limit));
    ck_assert_ptr_nonnull(enter(g, "2001:db8:0:1::1", 0, &limit));
    ck_assert_ptr_nonnull(enter(g, "2001:db8:0:1:ffff:ffff:ffff:ffff", 0, &limit));
    ck_assert_ptr_null(enter(g, "2001:db8:0:1::2", 0, &limit));
    ck_assert_ptr_nonnull(enter(g, "2001:db8:0:2::1", 0, &limit));
    ck_assert_ptr_nonnull(enter(g, "127.0.0.1", 0, &limit)); /* counted, for it was set */
    ck_assert_ptr_nonnull(enter(g, "127.0.0.1", 0, &limit));
    ck_assert_ptr_null(enter(g, "127.0.0.1", 0, &limit));
    gate_leave(g, first);
    first = enter(g, "10.0.0.1", 0, &limit);
    ck_assert_ptr_nonnull(first);
    ck_assert_ptr_nonnull(enter(g, "10.0.0.3", 0, &limit));
    for (unsigned i = 0; i < GATE_SPARES; i++) { /* nine in all, and some to look */
        spares[i] = enter(g, "10.0.0.4", 0, &limit);
        ck_assert(gate_is_spare(g, spares[i]));
    }
    ck_assert_ptr_null(enter(g, "10.0.0.4", 0, &limit));
    ck_assert_int_eq(limit, LIM_CONNECTIONS);
    ck_assert(!gate_is_spare(g, first));
    gate_leave(g, first);
    gate_shut(g, true);
    ck_assert_ptr_null(enter(g, "10.0.0.4", 0, &limit));
    ck_assert_int_eq(limit, LIM_MEMORY);
    gate_leave(g, spares[0]); /* a spare seat, once more */
    spares[0] = enter(g, "10.0.0.4", 0, &limit);
    ck_assert(gate_is_spare(g, spares[0]));
    gate_turn_away(g, spares[0]);
    gate_shut(g, false);
    for (unsigned i = 0; i < GATE_SPARES; i++) gate_leave(g, spares[i]);
    ck_assert_ptr_nonnull(enter(g, "10.0.0.4", 0, &limit));
    gate_read(g, refused);
    ck_assert_uint_eq(refused[LIM_ADDRESS_CONNECTIONS], 3);
    ck_assert_uint_eq(refused[LIM_CONNECTIONS], 1);
    ck_assert_uint_eq(refused[LIM_MEMORY], 2);
    gate_free(g);
}
END_TEST

/* A connection that stays pays no handshake for what it asks. */
START_TEST(requests_of_an_address)
{
    enum limit limit;
    uint64_t refused[LIM_COUNT];
    gate *g = gate_with("address_requests=10,burst=1");
    gate_seat *seat = enter(g, "10.0.0.1", 1000, &limit), *other = enter(g, "::1", 1000, &limit);
    int taken = 0;
    for (int i = 0; i < 100; i++) taken += gate_ask(g, seat, 1000);
    ck_assert_int_eq(taken, 11);
    ck_assert(gate_ask(g, other, 1000));
    ck_assert(gate_ask(g, seat, 1100)); /* what was refused costs nothing more */
    ck_assert(!gate_ask(g, seat, 1100));
    gate_leave(g, seat);
    seat = enter(g, "10.0.0.1", 1100, &limit); /* coming again does not make it faster */
    ck_assert(!gate_ask(g, seat, 1100));
    gate_read(g, refused);
    ck_assert_uint_eq(refused[LIM_ADDRESS_REQUESTS], 91);
    gate_free(g);
}
END_TEST

START_TEST(handshakes)
{
    enum limit limit;
    gate *g = gate_with("burst=1");
    for (int i = 0; i < 200; i++) {
        gate_seat *seat = enter(g, "10.0.0.1", 1000, &limit);
        ck_assert_ptr_nonnull(seat);
        gate_leave(g, seat);
    }
    ck_assert_ptr_null(enter(g, "10.0.0.1", 1000, &limit));
    ck_assert_int_eq(limit, LIM_ADDRESS_HANDSHAKES);
    for (int i = 0; i < 1000; i++) { /* nobody counts this machine, unless told to */
        ck_assert_ptr_nonnull(enter(g, "::1", 1000, &limit));
        ck_assert_ptr_nonnull(enter(g, "127.0.0.2", 1000, &limit));
    }
    ck_assert_ptr_nonnull(enter(g, "10.0.0.1", 1020, &limit));
    gate_free(g);
}
END_TEST

START_TEST(unfinished_messages)
{
    gate *g = gate_with("unfinished_bytes=1M"), *small = gate_with("memory=32M");
    ck_assert(gate_take(g, 1000000));
    ck_assert(!gate_take(g, 100000));
    gate_give(g, 1000000);
    ck_assert(gate_take(g, 1048576));
    ck_assert(!gate_take(g, 1));
    ck_assert(!gate_take(small, 5 << 20)); /* an eighth of the memory */
    gate_free(g);
    gate_free(small);
}
END_TEST

/* The sockets see it, and the hub says it and counts it, once. */
START_TEST(too_much_unfinished)
{
    struct world w;
    struct hub_stats stats;
    start(&w);
    hub_conn *conn = connected(&w);
    hub_refuse_limit(w.hub, conn, LIM_UNFINISHED_BYTES, w.now);
    hub_refuse_limit(w.hub, conn, LIM_UNFINISHED_BYTES, w.now);
    ck_assert(w.closed);
    ck_assert_uint_eq(w.count[FRAME_ERROR], 1);
    ck_assert_uint_eq(w.code, CODE_BUSY);
    ck_assert(!w.permanent && w.retry_ms != 0);
    ck_assert_uint_eq(limited(&w, LIM_UNFINISHED_BYTES), 1);
    hub_read_stats(w.hub, &stats);
    ck_assert_uint_eq(stats.refused[CODE_BUSY], 1);
    stop(&w);
}
END_TEST

/* ---- Memory ---------------------------------------------------------------------------------- */

enum { CEILING = 64 << 20 };

/* Three documents, one of them large, one without a reader. */
static hub_conn *three_documents(struct world *w)
{
    set(w, LIM_MEMORY, CEILING);
    set(w, LIM_CONNECTION_EVENTS, 0);
    set(w, LIM_USER_EVENTS, 0);
    hub_conn *conn = connected(w);
    open_channel(w, conn, 1, "large");
    open_channel(w, conn, 2, "small");
    hub_conn *other = connected(w);
    open_channel(w, other, 1, "idle");
    type(w, other, 1, 0xc1, 0, 100);
    for (uint32_t i = 0; i < 8; i++) {
        type(w, conn, 1, 0xa1, i * 60000, 60000);
        settle(w);
    }
    type(w, conn, 2, 0xb1, 0, 100);
    settle(w);
    ck_assert_uint_eq(w->count[FRAME_NACK] + w->count[FRAME_CLOSED], 0);
    hub_disconnect(w->hub, other, w->now);
    return conn;
}

START_TEST(memory_in_steps)
{
    struct world w;
    start(&w);
    hub_conn *conn = three_documents(&w);
    ck_assert_int_eq(hub_memory(w.hub, CEILING / 2, w.now), PRESSURE_NONE);
    ck_assert_ptr_nonnull(room_find(w.hub, syn_s("idle")));
    ck_assert_int_eq(hub_memory(w.hub, CEILING / 100 * 70, w.now), PRESSURE_LOW);
    ck_assert_ptr_null(room_find(w.hub, syn_s("idle")));
    open_channel(&w, conn, 3, "idle"); /* comes back, for there is room */
    ck_assert_ptr_nonnull(room_find(w.hub, syn_s("idle")));
    ck_assert_int_eq(hub_memory(w.hub, CEILING / 100 * 85, w.now), PRESSURE_HIGH);
    open_channel(&w, conn, 4, "fourth");
    ck_assert_uint_eq(w.count[FRAME_CLOSED], 1);
    ck_assert_uint_eq(w.code, CODE_BUSY);
    ck_assert(!w.permanent && w.retry_ms != 0);
    ck_assert_uint_eq(limited(&w, LIM_MEMORY), 1);
    ck_assert_int_eq(hub_memory(w.hub, CEILING / 2, w.now), PRESSURE_NONE);
    open_channel(&w, conn, 5, "fourth");
    ck_assert_uint_eq(w.count[FRAME_CLOSED], 1);
    stop(&w);
}
END_TEST

/* The largest leaves when what was taken of it is stored; who works elsewhere notices nothing. */
START_TEST(the_largest_leaves)
{
    struct world w;
    start(&w);
    hub_conn *conn = three_documents(&w);
    type(&w, conn, 1, 0xa1, 480000, 10); /* not stored yet */
    ck_assert_int_eq(hub_memory(w.hub, CEILING / 100 * 76 + (1 << 20) + CEILING / 100 * 15, w.now),
                     PRESSURE_FULL);
    struct room *large = room_find(w.hub, syn_s("large"));
    ck_assert_ptr_nonnull(large);
    ck_assert(large->shedding);
    type(&w, conn, 1, 0xa1, 480010, 10);
    type(&w, conn, 2, 0xb1, 100, 10);
    uint32_t acks = w.count[FRAME_ACK];
    settle(&w);
    ck_assert_uint_eq(w.count[FRAME_ACK], acks + 2);
    ck_assert_uint_eq(w.count[FRAME_NACK], 1);
    ck_assert_uint_eq(w.code, CODE_BUSY);
    ck_assert_ptr_nonnull(room_find(w.hub, syn_s("small")));
    (void)hub_memory(w.hub, CEILING / 2, w.now);
    ck_assert_ptr_null(room_find(w.hub, syn_s("large")));
    ck_assert_uint_eq(w.count[FRAME_CLOSED], 1);
    ck_assert_uint_eq(w.code, CODE_BUSY);
    ck_assert_uint_eq(events_of(&w, "large"), 480010); /* what was acknowledged */
    ck_assert_uint_eq(events_of(&w, "small"), 110);
    stop(&w);
}
END_TEST

/* A document is let in by what it will take, not by what there is when it comes. */
START_TEST(many_at_once)
{
    struct world w;
    start(&w);
    hub_conn *conn = three_documents(&w);
    (void)hub_memory(w.hub, CEILING / 100 * 70, w.now);
    uint32_t opened = w.count[FRAME_OPENED];
    for (uint32_t i = 0; i < 500; i++) {
        char name[8];
        snprintf(name, sizeof name, "n%u", i);
        open_channel(&w, conn, 10 + i, name);
    }
    ck_assert_uint_gt(w.count[FRAME_OPENED] - opened, 50); /* 6 MiB, 64 KiB each */
    ck_assert_uint_lt(w.count[FRAME_OPENED] - opened, 110);
    stop(&w);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("limits");
    TCase *tests = tcase_create("limits");
    tcase_set_timeout(tests, 0);
    tcase_add_test(tests, buckets);
    tcase_add_test(tests, small_steps);
    tcase_add_test(tests, lists);
    tcase_add_test(tests, tables);
    tcase_add_loop_test(tests, refused_and_taken_later, 0, sizeof rates / sizeof rates[0]);
    tcase_add_test(tests, flood);
    tcase_add_test(tests, credit_is_kept_back);
    tcase_add_test(tests, leaving_while_starved);
    tcase_add_test(tests, control_frames);
    tcase_add_test(tests, connections_of_a_user);
    tcase_add_test(tests, a_user_is_one);
    tcase_add_test(tests, documents_made_in_an_hour);
    tcase_add_test(tests, documents_of_a_user);
    tcase_add_test(tests, new_peers_in_an_hour);
    tcase_add_loop_test(tests, requests_are_charged, 0,
                        sizeof request_rates / sizeof request_rates[0]);
    tcase_add_test(tests, requests_have_quotas);
    tcase_add_test(tests, open_documents);
    tcase_add_test(tests, full_documents);
    tcase_add_test(tests, presence_of_a_document);
    tcase_add_test(tests, answers_that_nobody_reads);
    tcase_add_test(tests, addresses);
    tcase_add_test(tests, requests_of_an_address);
    tcase_add_test(tests, handshakes);
    tcase_add_test(tests, unfinished_messages);
    tcase_add_test(tests, too_much_unfinished);
    tcase_add_test(tests, memory_in_steps);
    tcase_add_test(tests, the_largest_leaves);
    tcase_add_test(tests, many_at_once);
    suite_add_tcase(suite, tests);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed != 0;
}
