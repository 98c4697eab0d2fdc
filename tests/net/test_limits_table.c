/* test_limits_table.c -- every limit and every code has a way to reach it here.
 *
 * Three tables: of the limits that may be set, of the protocol's, of the codes.  What the server
 * lists and a table lacks is a failure, and so is a limit without a reason, one that is refused by
 * another code than `serve --limits` says, and one that the metrics do not count.  What happens
 * beyond a limit in detail is test_limits.c; here each is only reached. */
#include "gate.h"
#include "http_pages.h"
#include "hub_world.h"

#include <arpa/inet.h>
#include <check.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct reached {
    struct world w;
    uint64_t door[LIM_COUNT]; /* refused before they were connections */
    uint64_t value;           /* that the limit is set to */
};

static void set(struct world *w, enum limit limit, uint64_t value)
{
    struct limits limits = *hub_limits(w->hub);
    limits.of[limit] = value;
    limits.of[LIM_BURST] = 1;
    hub_limit(w->hub, &limits);
}

static const char *numbered(const char *name, uint32_t number)
{
    static char text[32];
    snprintf(text, sizeof text, "%s%u", name, number);
    return text;
}

/* The page as it is served, and whether it has that line. */
static void must_count(const struct reached *r, const char *sample, uint64_t least)
{
    static struct http_pages pages;
    struct http_answer answer = {0};
    pages = (struct http_pages){.hub = r->w.hub, .store = r->w.store};
    memcpy(pages.door, r->door, sizeof r->door);
    ck_assert(http_page(&pages, "/metrics", &answer));
    char *at = strstr(answer.body, sample);
    ck_assert_msg(at != NULL, "no metric %s", sample);
    ck_assert_msg(strtoull(at + strlen(sample), NULL, 10) >= least, "%.120s", at);
    free(answer.body);
}

/* ---- Limits that may be set ------------------------------------------------------------------ */

/* Two peers beside each other in one document, so that there is work, too. */
static void write_much(struct reached *r)
{
    struct world *w = &r->w;
    uint32_t seq[2] = {0, 0};
    hub_conn *conn = connected(w);
    open_channel(w, conn, 1, "notes");
    for (uint32_t i = 0; i < 200 && w->count[FRAME_NACK] == 0 && !w->closed; i++) {
        type(w, conn, 1, 0xa1 + i % 2, seq[i % 2], 500);
        seq[i % 2] += 500;
        settle(w);
    }
}

static void many_documents(struct reached *r)
{
    hub_conn *conn = connected(&r->w);
    for (uint32_t i = 1; i <= r->value + 1; i++) {
        open_channel(&r->w, conn, i, numbered("n", i));
        type(&r->w, conn, i, 0xa0 + i, 0, 10);
        settle(&r->w);
    }
}

static void many_peers(struct reached *r)
{
    hub_conn *conn = connected(&r->w);
    open_channel(&r->w, conn, 1, "notes");
    for (uint32_t i = 0; i <= r->value; i++) type(&r->w, conn, 1, 0xa1 + i, 0, 10);
    settle(&r->w);
}

static void many_readers(struct reached *r)
{
    for (uint32_t i = 0; i <= r->value; i++) open_channel(&r->w, connected(&r->w), 1, "notes");
}

static void many_connections(struct reached *r)
{
    for (uint32_t i = 0; i <= r->value; i++) (void)connected(&r->w);
}

static void many_pings(struct reached *r)
{
    struct frame ping = {.kind = FRAME_PING};
    hub_conn *conn = connected(&r->w);
    for (uint32_t i = 0; i < 100 && !r->w.closed; i++) give(&r->w, conn, &ping);
}

static void unread_answers(struct reached *r)
{
    struct frame ping = {.kind = FRAME_PING};
    hub_conn *conn = connected(&r->w);
    r->w.stopped = true;
    for (uint32_t i = 0; i < 1000000 && !r->w.closed; i++) {
        r->w.now += 2;
        give(&r->w, conn, &ping);
    }
    r->w.code = CODE_TOO_SLOW; /* nothing more is said to whom nothing can be said */
}

static void much_presence(struct reached *r)
{
    static char state[1000];
    struct msg_presence_state entry = {.state = {state, sizeof state}};
    struct frame frame = {.channel = 1, .kind = FRAME_PRESENCE};
    frame.as.presence.states = &entry;
    frame.as.presence.state_count = 1;
    for (int i = 0; i < 4; i++) {
        hub_conn *conn = connected(&r->w);
        open_channel(&r->w, conn, 1, "notes");
        give(&r->w, conn, &frame);
    }
    r->w.code = CODE_LIMIT; /* nobody is told: the presence is not shown */
}

static void little_memory(struct reached *r)
{
    hub_conn *conn = connected(&r->w);
    open_channel(&r->w, conn, 1, "notes");
    (void)hub_memory(r->w.hub, r->value / 100 * 85, r->w.now);
    open_channel(&r->w, conn, 2, "more");
}

/* The gate and the sockets see it before there is a connection to refuse it to. */
static void at_the_door(struct reached *r)
{
    enum limit limit = LIM_NONE;
    struct sockaddr_in from = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(0x0a000001)};
    gate *g = gate_new(hub_limits(r->w.hub));
    ck_assert_ptr_nonnull(g);
    for (int i = 0; i < 100; i++) {
        gate_seat *seat = gate_enter(g, (const struct sockaddr *)&from, 1000, &limit);
        if (seat != NULL) (void)gate_ask(g, seat, 1000);
    }
    gate_read(g, r->door);
    gate_free(g);
    r->w.code = CODE_BUSY; /* 503 or 429 */
}

static void unfinished(struct reached *r)
{
    gate *g = gate_new(hub_limits(r->w.hub));
    ck_assert_ptr_nonnull(g);
    ck_assert(!gate_take(g, r->value + 1));
    hub_refuse_limit(r->w.hub, connected(&r->w), LIM_UNFINISHED_BYTES, r->w.now);
    gate_free(g);
}

static const struct {
    uint64_t value;
    void (*reach)(struct reached *r);
} settable[LIM_COUNT] = {
    [LIM_CONNECTIONS] = {3, at_the_door},
    [LIM_ADDRESS_CONNECTIONS] = {3, at_the_door},
    [LIM_ADDRESS_HANDSHAKES] = {3, at_the_door},
    [LIM_ADDRESS_REQUESTS] = {3, at_the_door},
    [LIM_UNFINISHED_BYTES] = {LIMIT_MEGABYTE, unfinished},
    [LIM_CONNECTION_DOCUMENTS] = {2, many_documents},
    [LIM_CONNECTION_QUEUE] = {LIMIT_MEGABYTE, unread_answers},
    [LIM_CONNECTION_CONTROL] = {10, many_pings},
    [LIM_CONNECTION_FRAMES] = {10, write_much},
    [LIM_CONNECTION_BYTES] = {5000, write_much},
    [LIM_CONNECTION_EVENTS] = {3000, write_much},
    [LIM_CONNECTION_WORK] = {50, write_much},
    [LIM_USER_CONNECTIONS] = {2, many_connections},
    [LIM_USER_FRAMES] = {10, write_much},
    [LIM_USER_BYTES] = {5000, write_much},
    [LIM_USER_EVENTS] = {3000, write_much},
    [LIM_USER_WORK] = {50, write_much},
    [LIM_USER_CREATES] = {2, many_documents},
    [LIM_USER_DOCUMENTS] = {2, many_documents},
    [LIM_USER_NEW_PEERS] = {3, many_peers},
    [LIM_DOCUMENT_READERS] = {2, many_readers},
    [LIM_DOCUMENT_FRAMES] = {10, write_much},
    [LIM_DOCUMENT_BYTES_RATE] = {5000, write_much},
    [LIM_DOCUMENT_EVENTS_RATE] = {3000, write_much},
    [LIM_DOCUMENT_WORK] = {50, write_much},
    [LIM_DOCUMENT_EVENTS] = {3000, write_much},
    [LIM_DOCUMENT_BYTES] = {5000, write_much},
    [LIM_DOCUMENT_PRESENCE] = {2500, much_presence},
    [LIM_MEMORY] = {64 * LIMIT_MEGABYTE, little_memory},
};

/* burst only scales the others. */
START_TEST(limits_that_may_be_set)
{
    enum limit limit = (enum limit)_i;
    const struct limit_info *info = limits_info(limit);
    struct reached r = {.value = settable[limit].value};
    char sample[128];
    ck_assert_uint_ge(strlen(info->reason), 5);
    if (info->code == CODE_OK) {
        ck_assert_int_eq(limit, LIM_BURST);
        return;
    }
    ck_assert_msg(settable[limit].reach != NULL, "nothing here reaches %s", info->name);
    ck_assert_uint_ge(strlen(info->effect), 3);
    ck_assert(limits_may_be(limit, r.value));
    start(&r.w);
    set(&r.w, limit, r.value);
    settable[limit].reach(&r);
    settle(&r.w);
    ck_assert_msg(r.w.code == (uint32_t)info->code, "%s: %s", info->name,
                  proto_code_name(r.w.code));
    ck_assert_msg(r.w.permanent == info->permanent, "%s", info->name);
    snprintf(sample, sizeof sample, "syncline_refused_total{code=\"%s\",limit=\"%s\"} ",
             proto_code_name(info->code), info->name);
    must_count(&r, sample, 1);
    stop(&r.w);
}
END_TEST

/* ---- The protocol's -------------------------------------------------------------------------- */

static hub_conn *writer(struct world *w)
{
    hub_conn *conn = connected(w);
    open_channel(w, conn, 1, "notes");
    return conn;
}

static hub_conn *with_features(struct world *w, uint64_t features)
{
    struct frame hello = {.kind = FRAME_HELLO, .as.hello.features = features};
    hello.as.hello.min_version = hello.as.hello.max_version = 1;
    hello.as.hello.token = syn_s("ann");
    hub_conn *conn = hub_connect(w->hub, w, w->now);
    give(w, conn, &hello);
    open_channel(w, conn, 1, "notes");
    return conn;
}

static void give_zeros(struct world *w, hub_conn *conn, size_t len)
{
    char *bytes = calloc(1, len);
    ck_assert_ptr_nonnull(bytes);
    hub_receive(w->hub, conn, bytes, len, w->now);
    free(bytes);
}

static syn_str letters(size_t len)
{
    static char text[LIMIT_FRAME_BYTES];
    ck_assert_uint_le(len, sizeof text);
    memset(text, 'x', sizeof text);
    return (syn_str){text, len};
}

static void preauth_bytes(struct reached *r)
{
    hub_conn *conn = hub_connect(r->w.hub, &r->w, r->w.now);
    ck_assert_uint_eq(hub_max_message(conn), r->value);
    give_zeros(&r->w, conn, r->value + 1);
}

static void handshake(struct reached *r)
{
    (void)hub_connect(r->w.hub, &r->w, r->w.now);
    hub_tick(r->w.hub, r->w.now += r->value - 1);
    ck_assert(!r->w.closed);
    hub_tick(r->w.hub, r->w.now += 1000); /* it is looked at once a second */
}

static void silence(struct reached *r)
{
    (void)connected(&r->w);
    hub_tick(r->w.hub, r->w.now += r->value - 1000);
    ck_assert(!r->w.closed);
    ck_assert_uint_eq(r->w.count[FRAME_PING], 1);
    hub_tick(r->w.hub, r->w.now += 1000);
}

static void token_bytes(struct reached *r)
{
    struct frame hello = {.kind = FRAME_HELLO, .as.hello.token = letters(r->value + 1)};
    hello.as.hello.min_version = hello.as.hello.max_version = 1;
    give(&r->w, hub_connect(r->w.hub, &r->w, r->w.now), &hello);
}

static void frame_bytes(struct reached *r)
{
    hub_conn *conn = connected(&r->w);
    ck_assert_uint_eq(hub_max_message(conn), r->value);
    give_zeros(&r->w, conn, r->value + 1);
}

static void frame_events(struct reached *r)
{
    type(&r->w, writer(&r->w), 1, 0xa1, 0, (uint32_t)r->value + 1);
}

static void frame_entries(struct reached *r)
{
    struct msg_presence_state *states = calloc(r->value + 1, sizeof *states);
    struct frame frame = {.channel = 1, .kind = FRAME_PRESENCE};
    frame.as.presence.states = states;
    frame.as.presence.state_count = (uint32_t)r->value + 1;
    give(&r->w, writer(&r->w), &frame);
    free(states);
}

static void raw_bytes(struct reached *r)
{
    struct frame frame = {.channel = 1, .kind = FRAME_PACKED};
    frame.as.packed.raw_size = (uint32_t)r->value + 1;
    frame.as.packed.data = letters(100000);
    give(&r->w, with_features(&r->w, FEATURE_PACKED), &frame);
}

/* Nothing is stored meanwhile, so no credit comes back. */
static void window_bytes(struct reached *r)
{
    hub_conn *conn = writer(&r->w);
    for (uint32_t i = 0; i < 6; i++) type(&r->w, conn, 1, 0xa1, i * 60000, 60000);
}

/* One entry of a map. */
static void set_entry(struct world *w, syn_str key, syn_str value, const struct change_dep *parent)
{
    static const uint64_t peers[2] = {0xa1, 0xee};
    struct change_container map = {.kind = SYN_MAP};
    struct change_run run = {
        .len = 1, .explicit_parents = parent != NULL, .dep_count = parent != NULL};
    struct change_op op = {.kind = OP_MAP_SET, .len = 1};
    struct change_value content = {.kind = SYN_VALUE_STRING, .blob = value};
    struct frame frame = {.channel = 1, .kind = FRAME_CHANGES};
    frame.as.changes = (syn_changes){.peers = peers,
                                     .peer_count = 2,
                                     .containers = &map,
                                     .container_count = 1,
                                     .runs = &run,
                                     .run_count = 1,
                                     .deps = parent,
                                     .dep_count = parent != NULL,
                                     .ops = &op,
                                     .op_count = 1,
                                     .keys = &key,
                                     .key_count = 1,
                                     .values = &content,
                                     .value_count = 1};
    give(w, writer(w), &frame);
}

static void value_bytes(struct reached *r)
{
    set_entry(&r->w, syn_s("k"), letters(r->value + 1), NULL);
}

static void key_bytes(struct reached *r)
{
    set_entry(&r->w, letters(r->value + 1), syn_s("v"), NULL);
}

static void missing_parents(struct reached *r)
{
    const struct change_dep parent = {.peer = 1, .seq = 7};
    set_entry(&r->w, syn_s("k"), syn_s("v"), &parent);
}

static void name_bytes(struct reached *r)
{
    struct frame frame = {.channel = 1, .kind = FRAME_OPEN};
    frame.as.open.document = letters(r->value + 1);
    frame.as.open.peer = 0xa1;
    give(&r->w, connected(&r->w), &frame);
}

static void names_bytes(struct reached *r)
{
    enum { MANY = 256 };
    static char names[MANY][200];
    static struct change_container containers[MANY];
    struct frame frame = {.channel = 1, .kind = FRAME_NAMES};
    for (int i = 0; i < MANY; i++) {
        memset(names[i], 'n', sizeof names[i]);
        snprintf(names[i], 8, "%07d", i);
        names[i][7] = 'n';
        containers[i] = (struct change_container){.kind = SYN_TEXT, .name = {names[i], 200}};
    }
    frame.as.names.containers = containers;
    frame.as.names.container_count = MANY;
    ck_assert_uint_gt(MANY * (64 + 200), r->value);
    hub_conn *conn = with_features(&r->w, FEATURE_NAMES);
    give(&r->w, conn, &frame);
}

/* Peers of one user who know nothing of each other. */
static void stand_apart(struct world *w, hub_conn *conn, uint64_t first, uint32_t count)
{
    for (uint32_t i = 0; i < count && w->count[FRAME_NACK] == 0; i++) {
        type(w, conn, 1, first + i, 0, 1);
        settle(w);
    }
}

static void user_heads(struct reached *r)
{
    stand_apart(&r->w, writer(&r->w), 0xa1, (uint32_t)r->value + 1);
}

static void document_heads(struct reached *r)
{
    uint32_t users = (uint32_t)r->value / LIMIT_USER_HEADS + 1;
    r->w.no_presence = true;
    for (uint32_t i = 0; i < users; i++) {
        hub_conn *conn = connected_as(&r->w, syn_s(numbered("u", i)));
        open_channel(&r->w, conn, 1, "notes");
        stand_apart(&r->w, conn, 0x1000 * (i + 1), LIMIT_USER_HEADS);
        ck_assert(r->w.count[FRAME_NACK] == 0 || i == users - 1);
        hub_disconnect(r->w.hub, conn, r->w.now);
    }
}

static void give_presence(struct world *w, hub_conn *conn, syn_str state, uint32_t ttl_ms)
{
    struct msg_presence_state entry = {.state = state, .ttl_ms = ttl_ms};
    struct frame frame = {.channel = 1, .kind = FRAME_PRESENCE};
    frame.as.presence.states = &entry;
    frame.as.presence.state_count = 1;
    give(w, conn, &frame);
}

static void presence_bytes(struct reached *r)
{
    give_presence(&r->w, writer(&r->w), letters(r->value + 1), 0);
}

/* Told at the first tick, and then not before the next. */
static void presence_ms(struct reached *r)
{
    hub_conn *conn = writer(&r->w);
    uint32_t before = r->w.count[FRAME_PRESENCE];
    for (uint64_t end = r->w.now + 10 * r->value; r->w.now < end; r->w.now += 10) {
        give_presence(&r->w, conn, letters(1 + r->w.now % 100), 0);
        hub_tick(r->w.hub, r->w.now);
    }
    uint32_t told = r->w.count[FRAME_PRESENCE] - before;
    ck_assert_msg(told >= 8 && told <= 11, "told %u times", told);
}

static void presence_ttl(struct reached *r)
{
    give_presence(&r->w, writer(&r->w), syn_s("here"), (uint32_t)r->value + 1);
}

static const struct {
    const char *name;
    void (*reach)(struct reached *r);
    const char *elsewhere; /* the test that reaches it, where that takes more than a hub */
} protocols[] = {
    {"preauth_bytes", preauth_bytes, NULL},
    {"handshake", handshake, NULL},
    {"token_bytes", token_bytes, NULL},
    {"silence", silence, NULL},
    {"frame_bytes", frame_bytes, NULL},
    {"frame_events", frame_events, NULL},
    {"frame_entries", frame_entries, NULL},
    {"raw_bytes", raw_bytes, NULL},
    {"window_bytes", window_bytes, NULL},
    {"value_bytes", value_bytes, NULL},
    {"name_bytes", name_bytes, NULL},
    {"key_bytes", key_bytes, NULL},
    {"names_bytes", names_bytes, NULL},
    {"document_heads", document_heads, NULL},
    {"user_heads", user_heads, NULL},
    {"work_of_a_change", NULL, "hostile.py: deep_containers"},
    {"pending_bytes", missing_parents, NULL},
    {"presence_bytes", presence_bytes, NULL},
    {"presence_ms", presence_ms, NULL},
    {"presence_ttl", presence_ttl, NULL},
};
#define PROTOCOLS (sizeof protocols / sizeof protocols[0])

static size_t row_of(const char *name)
{
    size_t i = 0;
    while (i < PROTOCOLS && strcmp(protocols[i].name, name) != 0) i++;
    return i;
}

START_TEST(limits_of_the_protocol)
{
    const struct limit_fixed *info = limits_fixed((size_t)_i);
    size_t row = row_of(info->name);
    char sample[96];
    ck_assert_msg(row < PROTOCOLS, "nothing here reaches %s", info->name);
    ck_assert_uint_ge(strlen(info->reason), 5);
    ck_assert_uint_ge(strlen(info->effect), 3);
    ck_assert(protocols[row].reach != NULL || protocols[row].elsewhere != NULL);
    if (protocols[row].reach == NULL) return;
    struct reached r = {.value = info->value};
    start(&r.w);
    for (unsigned i = 0; i < LIM_COUNT; i++) /* rates are not what is meant here */
        if (strstr(limits_info((enum limit)i)->effect, "wait") != NULL) set(&r.w, (enum limit)i, 0);
    protocols[row].reach(&r);
    settle(&r.w);
    ck_assert_msg(r.w.code == (uint32_t)info->code, "%s: %s", info->name,
                  proto_code_name(r.w.code));
    ck_assert_msg(r.w.permanent == info->permanent, "%s", info->name);
    if (info->code != CODE_OK) {
        snprintf(sample, sizeof sample, "syncline_refused_total{code=\"%s\"} ",
                 proto_code_name(info->code));
        must_count(&r, sample, 1);
    }
    stop(&r.w);
}
END_TEST

int main(void)
{
    int fixed = 0;
    while (limits_fixed((size_t)fixed) != NULL) fixed++;
    Suite *suite = suite_create("limits table");
    TCase *tests = tcase_create("limits table");
    tcase_set_timeout(tests, 0);
    tcase_add_loop_test(tests, limits_that_may_be_set, 0, LIM_COUNT);
    tcase_add_loop_test(tests, limits_of_the_protocol, 0, fixed);
    suite_add_tcase(suite, tests);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed != 0;
}
