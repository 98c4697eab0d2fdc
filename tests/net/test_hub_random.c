/* test_hub_random.c -- clients that edit, stop reading, vanish and come back, on a hub that folds,
 * forgets and restarts: in the end everyone holds the same, and all that anyone wrote.
 *
 * The client here is the simplest one that is right: it sends its events from Opened.peer_next on,
 * and takes what comes.  SYN_SEEDS multiplies the number of histories. */
#include "describe.h"
#include "hub.h"
#include "late_work.h"
#include "store/fault_vfs.h"
#include "syncline_bytes.h"

#include <check.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { CLIENTS = 4, STEPS = 120, HISTORIES = 300, MAX_PARTS = 64 };

struct client {
    struct world *world;
    syn_doc *doc;
    uint64_t peer;
    uint32_t sent, acked; /* seqs of peer */
    hub_conn *conn;
    uint32_t channel;
    bool packs;
    bool welcome, opened, blocked, state_only, failed;
    bool failed_disk; /* the hub asked to come again */
    uint32_t owed;    /* credit to give back */
    syn_str parts[MAX_PARTS];
    uint32_t part_count, part_end;
};

struct world {
    uint64_t random, seed, now;
    syn_store *store;
    hub *hub;
    struct client clients[CLIENTS];
    struct late_work late;
    bool threads;     /* work ends when it ends; else at once */
    bool calm;        /* nothing is refused any more */
    uint64_t written; /* events of all clients */
    char folder[64];  /* a file whose disk fails now and then; "": in memory */
};

static uint64_t draw(struct world *w)
{
    w->random += 0x9e3779b97f4a7c15u;
    uint64_t z = w->random;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
}

static uint32_t below(struct world *w, uint32_t n)
{
    return (uint32_t)(draw(w) % n);
}

/* ---- Documents ------------------------------------------------------------------------------- */

static syn_obj root_text(syn_doc *doc)
{
    syn_obj text;
    ck_assert_int_eq(syn_root(doc, syn_s(""), SYN_TEXT, &text), SYN_OK);
    return text;
}

static void edit(struct world *w, syn_doc *doc)
{
    static const char *const words[] = {"a", "bc", "def", "\n", "\xc3\xa4"};
    syn_obj text = root_text(doc);
    size_t len = syn_text_len(doc, text);
    size_t pos = below(w, (uint32_t)len + 1);
    uint64_t before = syn_doc_events(doc);
    if (len > 4 && below(w, 3) == 0) {
        size_t count = 1 + below(w, 3);
        if (pos + count > len) pos = len - count;
        ck_assert_int_eq(syn_text_delete(doc, text, pos, count), SYN_OK);
    } else {
        ck_assert_int_eq(syn_text_insert(doc, text, pos, syn_s(words[below(w, 5)])), SYN_OK);
    }
    w->written += syn_doc_events(doc) - before;
}

static void fresh_doc(struct client *client)
{
    syn_doc_config config = SYN_DOC_CONFIG_INIT;
    syn_doc_free(client->doc);
    config.peer = client->peer;
    ck_assert_int_eq(syn_doc_new(&client->doc, &config), SYN_OK);
}

static char *text_of(syn_doc *doc)
{
    syn_obj text = root_text(doc);
    size_t bytes = syn_text_bytes(doc, text);
    char *out = calloc(bytes + 1, 1);
    syn_text_read(doc, text, 0, syn_text_len(doc, text), out, bytes);
    return out;
}

/* ---- A client's side of the wire ------------------------------------------------------------- */

static void give(struct client *client, const struct frame *frame)
{
    syn_buf buf = {0};
    ck_assert_int_eq(proto_encode(&buf, frame), SYN_OK);
    hub_receive(client->world->hub, client->conn, buf.data, buf.len, client->world->now);
    syn_buf_free(&buf);
}

static void take_part(struct client *client, const struct msg_snapshot *part, syn_str bytes)
{
    syn_snapshot snapshot;
    struct proto_fault fault;
    proto_arena *arena = NULL;
    uint64_t digest;
    ck_assert_uint_eq(part->part, client->part_count);
    char *copy = malloc(bytes.len + 1);
    memcpy(copy, bytes.data, bytes.len);
    client->parts[client->part_count++] = (syn_str){copy, bytes.len};
    if (client->part_count < part->parts) return;
    ck_assert_int_eq(proto_arena_new(&arena, NULL), SYN_OK);
    ck_assert_int_eq(
        proto_join_snapshot(arena, client->parts, client->part_count, &snapshot, &digest, &fault),
        SYN_OK);
    syn_err err = syn_doc_load(client->doc, &snapshot);
    ck_assert_msg(err == SYN_OK, "%s", syn_doc_error(client->doc));
    proto_arena_free(arena);
    for (uint32_t i = 0; i < client->part_count; i++)
        free((char *)(uintptr_t)client->parts[i].data);
    client->part_count = 0;
}

/* History below a snapshot arrives before what needs it: then this client, which keeps no pieces,
 * starts anew with the whole log. */
static void take_changes(struct client *client, const syn_changes *set)
{
    syn_err err = syn_apply(client->doc, set, false, NULL);
    if (err == SYN_EHISTORY || (err == SYN_EMISSING && !syn_doc_has_history(client->doc))) {
        client->failed = true;
        return;
    }
    ck_assert_msg(err == SYN_OK, "seed %" PRIu64 ": %s: %s", client->world->seed, syn_errname(err),
                  syn_doc_error(client->doc));
}

static void take_packed(struct client *client, const struct msg_packed *packed, proto_arena *arena,
                        proto_arena *inner)
{
    struct proto_fault fault;
    struct msg_packed copy = *packed;
    struct msg_snapshot part;
    syn_changes set;
    syn_str raw;
    ck_assert_int_eq(proto_inflate(arena, &copy, 0, &raw, &fault), SYN_OK);
    if (copy.inside == PACKED_SNAPSHOT) {
        ck_assert_int_eq(proto_decode_snapshot(inner, raw.data, raw.len, &part, &fault), SYN_OK);
        take_part(client, &part, raw);
        return;
    }
    ck_assert_int_eq(proto_decode_changes(inner, raw.data, raw.len, NULL, NULL, &set, &fault),
                     SYN_OK);
    take_changes(client, &set);
}

static void take_opened(struct client *client, const struct msg_opened *opened)
{
    client->opened = true;
    if (opened->window_bytes == 0) return; /* it came into being: not the first Opened */
    uint32_t next = opened->peer_count != 0 ? opened->peer_next[0] : 0;
    ck_assert_uint_ge(next, client->acked);
    client->sent = client->acked = next;
}

/* What a failing disk makes the hub say: come again. */
static bool refused_for_now(const struct frame *frame)
{
    return (frame->kind == FRAME_CLOSED && frame->as.closed.code == CODE_RESYNC) ||
           (frame->kind == FRAME_NACK && frame->as.nack.code == CODE_STORAGE) ||
           (frame->kind == FRAME_CLOSED && frame->as.closed.code == CODE_STORAGE);
}

static bool too_much_work(const struct client *client, const struct frame *frame)
{
    return client->world->late.refused != 0 && frame->kind == FRAME_CLOSED &&
           frame->as.closed.code == CODE_BUSY;
}

static void refuse_others(const struct client *client, const struct frame *frame, syn_str body,
                          size_t len)
{
    bool bad =
        frame->kind == FRAME_NACK || frame->kind == FRAME_ERROR || frame->kind == FRAME_CLOSED;
    if (bad) describe_frame(stderr, body.data, len);
    ck_assert_msg(!bad, "seed %" PRIu64 ": %s", client->world->seed, proto_frame_name(frame->kind));
}

static void take(struct client *client, struct frame *frame, syn_str body, size_t len)
{
    proto_arena *arena = NULL, *inner = NULL;
    ck_assert_int_eq(proto_arena_new(&arena, NULL), SYN_OK);
    ck_assert_int_eq(proto_arena_new(&inner, NULL), SYN_OK);
    bool costs = true;
    switch (frame->kind) {
    case FRAME_CHANGES:
        take_changes(client, &frame->as.changes);
        break;
    case FRAME_PACKED:
        take_packed(client, &frame->as.packed, arena, inner);
        break;
    case FRAME_SNAPSHOT: {
        size_t head = 1; /* tag, length, message */
        while ((unsigned char)body.data[head] & 0x80) head++;
        head++;
        take_part(client, &frame->as.snapshot, (syn_str){body.data + head, body.len - head});
        break;
    }
    default:
        costs = false;
    }
    if (costs) client->owed += (uint32_t)len;
    if (frame->kind == FRAME_WELCOME) client->welcome = true;
    if (frame->kind == FRAME_OPENED) take_opened(client, &frame->as.opened);
    if (frame->kind == FRAME_ACK) {
        ck_assert_uint_le(frame->as.ack.next, client->sent);
        client->acked = frame->as.ack.next;
    }
    if ((client->world->folder[0] != '\0' && refused_for_now(frame)) ||
        too_much_work(client, frame))
        client->failed_disk = true;
    else
        refuse_others(client, frame, body, len);
    proto_arena_free(arena);
    proto_arena_free(inner);
}
static bool deliver(void *user, void *link, syn_str head, syn_str body)
{
    struct client *client = link;
    proto_arena *arena = NULL;
    struct proto_fault fault;
    struct frame frame;
    size_t len = head.len + body.len;
    char *bytes = malloc(len + 1);
    (void)user;
    memcpy(bytes, head.data, head.len);
    if (body.len != 0) memcpy(bytes + head.len, body.data, body.len);
    ck_assert_int_eq(proto_arena_new(&arena, NULL), SYN_OK);
    ck_assert_int_eq(proto_decode(arena, bytes, len, NULL, NULL, NULL, &frame, &fault), SYN_OK);
    take(client, &frame, body.len != 0 ? body : (syn_str){bytes, len}, len);
    proto_arena_free(arena);
    free(bytes);
    return !client->blocked;
}

static void cut(void *user, void *link, unsigned status, const char *reason)
{
    struct world *w = user;
    (void)link;
    ck_abort_msg("seed %" PRIu64 ": closed %u %s", w->seed, status, reason);
}

static void log_port(void *user, const char *event, const char *detail)
{
    struct world *w = user;
    fprintf(stderr, "seed %" PRIu64 ": %s: %s\n", w->seed, event, detail);
}

static uint64_t random_port(void *user)
{
    return draw(user);
}

/* ---- What clients do ------------------------------------------------------------------------- */

static void settle(struct world *w)
{
    do {
        hub_flush(w->hub, w->now);
        store_poll(w->store);
        late_step(&w->late, w->hub, draw(w), w->now);
        if (!hub_idle(w->hub) && w->folder[0] != '\0') usleep(100);
    } while (!hub_idle(w->hub));
}

static void disconnect(struct client *client)
{
    if (client->conn == NULL) return;
    hub_disconnect(client->world->hub, client->conn, client->world->now);
    client->conn = NULL;
    client->welcome = client->opened = client->blocked = false;
    client->owed = 0;
    for (uint32_t i = 0; i < client->part_count; i++)
        free((char *)(uintptr_t)client->parts[i].data);
    client->part_count = 0;
}

/* What it holds from the server: all but its own events that are not known to be stored. */
static uint32_t held(struct client *client, syn_id *vector)
{
    uint32_t count = (uint32_t)syn_doc_vector(client->doc, vector, 256), kept = 0;
    for (uint32_t i = 0; i < count; i++) {
        if (vector[i].peer == client->peer && vector[i].seq > client->acked)
            vector[i].seq = client->acked;
        if (vector[i].seq != 0) vector[kept++] = vector[i];
    }
    return kept;
}

static void connect_client(struct client *client)
{
    struct world *w = client->world;
    struct frame hello = {.kind = FRAME_HELLO}, open = {.channel = 1, .kind = FRAME_OPEN};
    syn_id vector[256];
    if (client->conn != NULL) return;
    /* Nothing of its own is lost by starting anew only when everything was acked. */
    bool again = client->failed || !syn_doc_has_history(client->doc);
    if (again) {
        client->failed = false;
        client->state_only = false;
        fresh_doc(client);
    }
    client->conn = hub_connect(w->hub, client, w->now);
    hello.as.hello.min_version = hello.as.hello.max_version = 1;
    client->packs = draw(w) % 2 != 0;
    hello.as.hello.features = client->packs ? FEATURE_PACKED : 0;
    give(client, &hello);
    open.as.open.document = syn_s("notes");
    open.as.open.peer = client->peer;
    open.as.open.window_bytes = 200 + below(w, 2000);
    open.as.open.history = !client->state_only;
    open.as.open.state_only = client->state_only;
    open.as.open.authors = below(w, 4) == 0;
    open.as.open.version.vector = vector;
    open.as.open.version.vector_count = held(client, vector);
    give(client, &open);
}

/* As Packed, in a block of DEFLATE that is merely stored: so even the shortest goes that way. */
static void give_packed(struct client *client, const struct frame *changes)
{
    struct frame frame = {.channel = 1, .kind = FRAME_PACKED};
    syn_buf raw = {0}, data = {0};
    ck_assert_int_eq(proto_encode_changes(&raw, &changes->as.changes, NULL), SYN_OK);
    ck_assert_uint_le(raw.len, 0xffff);
    uint32_t len = (uint32_t)raw.len;
    const uint8_t head[5] = {1, (uint8_t)len, (uint8_t)(len >> 8), (uint8_t)~len,
                             (uint8_t)(~len >> 8)};
    ck_assert_int_eq(syn_buf_append(&data, head, sizeof head), SYN_OK);
    ck_assert_int_eq(syn_buf_append(&data, raw.data, raw.len), SYN_OK);
    frame.as.packed.inside = PACKED_CHANGES;
    frame.as.packed.raw_size = (uint32_t)raw.len;
    frame.as.packed.data = (syn_str){data.data, data.len};
    give(client, &frame);
    syn_buf_free(&raw);
    syn_buf_free(&data);
}

static void send_edits(struct client *client)
{
    struct frame frame = {.channel = 1, .kind = FRAME_CHANGES};
    syn_id have = {client->peer, client->sent};
    const syn_span *spans;
    size_t count;
    if (!client->opened || syn_doc_next(client->doc, client->peer) == client->sent) return;
    if (!syn_doc_has_history(client->doc)) return;
    syn_id vector[256];
    uint32_t n = (uint32_t)syn_doc_vector(client->doc, vector, 256);
    for (uint32_t i = 0; i < n; i++)
        if (vector[i].peer == have.peer) vector[i].seq = have.seq;
    ck_assert_int_eq(syn_doc_spans_since_vector(client->doc, vector, n, &spans, &count), SYN_OK);
    ck_assert_uint_le(count, 64);
    ck_assert_int_eq(syn_doc_export_spans(client->doc, spans, count, &frame.as.changes), SYN_OK);
    client->sent = syn_doc_next(client->doc, client->peer);
    if (client->packs && below(client->world, 2) != 0)
        give_packed(client, &frame);
    else
        give(client, &frame);
}

static void read_on(struct client *client)
{
    struct frame credit = {.channel = 1, .kind = FRAME_CREDIT};
    if (client->conn == NULL) return;
    if (client->blocked) {
        client->blocked = false;
        hub_writable(client->world->hub, client->conn, client->world->now);
    }
    while (client->owed != 0) {
        credit.as.credit.bytes = client->owed;
        client->owed = 0;
        give(client, &credit);
    }
}

/* A client that took a snapshot and holds no history reads only; so does one that has to start
 * anew. */
static bool may_edit(const struct client *client)
{
    return !client->failed && !client->state_only && syn_doc_has_history(client->doc);
}

static bool work_port(void *user, struct work *work)
{
    struct world *w = user;
    w->late.refuse = !w->calm && below(w, 32) == 0;
    return late_take(&w->late, work);
}

static void start_hub(struct world *w)
{
    struct hub_port port = {
        .user = w, .random = random_port, .send = deliver, .close = cut, .log = log_port};
    if (w->threads) port.work = work_port;
    struct hub_tuning small = {.frame_piece = 64, .fold_rows = 8, .fold_bytes = 400};
    ck_assert_int_eq(hub_new(&w->hub, w->store, &port), SYN_OK);
    hub_tune(w->hub, &small);
}

static void restart(struct world *w)
{
    for (int i = 0; i < CLIENTS; i++) disconnect(&w->clients[i]);
    settle(w);
    hub_free(w->hub);
    start_hub(w);
}

static void disk_trouble_ends(struct world *w)
{
    if (w->folder[0] == '\0') return;
    fault_disarm();
    store_probe(w->store);
    while (store_failing(w->store)) usleep(100);
}

/* Once in a while the next writes fail for some time. */
static void disk_trouble(struct world *w)
{
    if (w->folder[0] == '\0') return;
    if (below(w, 2) != 0) {
        disk_trouble_ends(w);
        return;
    }
    fault_arm(FAULT_CHANGES, below(w, 2) == 0 ? FAULT_EIO : FAULT_ENOSPC, 1 + below(w, 6), true);
}

static void become_reader(struct client *client)
{
    if (client->acked != syn_doc_next(client->doc, client->peer) || !may_edit(client)) return;
    disconnect(client);
    client->state_only = true;
    while ((client->peer = draw(client->world)) == 0) {
    }
    client->acked = client->sent = 0;
    fresh_doc(client);
    struct frame hello = {.kind = FRAME_HELLO}, open = {.channel = 1, .kind = FRAME_OPEN};
    client->conn = hub_connect(client->world->hub, client, client->world->now);
    hello.as.hello.min_version = hello.as.hello.max_version = 1;
    hello.as.hello.features = FEATURE_PACKED;
    give(client, &hello);
    open.as.open.document = syn_s("notes");
    open.as.open.state_only = true;
    give(client, &open);
}

static void step(struct world *w)
{
    struct client *client = &w->clients[below(w, CLIENTS)];
    if (client->failed_disk) disconnect(client);
    client->failed_disk = false;
    switch (below(w, 15)) {
    case 14:
        disk_trouble(w);
        break;
    case 0:
        disconnect(client);
        break;
    case 1:
    case 2:
        connect_client(client);
        break;
    case 3:
        client->blocked = client->conn != NULL;
        break;
    case 4:
    case 5:
        read_on(client);
        break;
    case 6:
        w->now += below(w, 3) == 0 ? 40000 : 5;
        break;
    case 7:
        if (below(w, 6) == 0) restart(w);
        break;
    case 8:
        if (below(w, 4) == 0) become_reader(client);
        break;
    case 9: /* frames right behind each other */
        for (int i = 0; i < 4; i++) {
            if (may_edit(client)) edit(w, client->doc);
            send_edits(client);
        }
        break;
    default:
        if (may_edit(client)) edit(w, client->doc);
        if (below(w, 3) != 0) send_edits(client);
    }
    if (below(w, 8) == 0 || (!w->threads && below(w, 2) != 0)) {
        settle(w);
    } else { /* one thing after another, so that others come in between */
        if (below(w, 4) != 0) hub_flush(w->hub, w->now);
        if (below(w, 2) != 0) store_poll(w->store);
        if (below(w, 3) == 0) late_step(&w->late, w->hub, draw(w), w->now);
    }
    for (int i = 0; i < CLIENTS; i++) /* nobody is silent for long */
        if (w->clients[i].conn != NULL) {
            struct frame ping = {.kind = FRAME_PING};
            give(&w->clients[i], &ping);
        }
    hub_tick(w->hub, w->now);
}

static void bring_together(struct world *w)
{
    for (int round = 0; round < 400; round++) {
        for (int i = 0; i < CLIENTS; i++) {
            struct client *client = &w->clients[i];
            if (client->failed || client->state_only || client->failed_disk) disconnect(client);
            client->failed_disk = false;
            client->state_only = false;
            connect_client(client);
            send_edits(client);
            settle(w);
            read_on(client);
        }
        w->now += 30;
        hub_tick(w->hub, w->now);
        settle(w);
    }
}

struct reading {
    char *text;
    uint64_t events;
};

static syn_err read_server(void *user, syn_doc *doc)
{
    struct reading *reading = user;
    reading->text = text_of(doc);
    reading->events = syn_doc_events(doc);
    syn_doc_check(doc);
    return SYN_OK;
}

static void check_equal(struct world *w)
{
    struct reading server = {0};
    hub_edit(w->hub, syn_s("notes"), true, read_server, NULL, &server, w->now);
    settle(w);
    ck_assert_msg(server.events == w->written,
                  "seed %" PRIu64 ": %" PRIu64 " events stored, %" PRIu64 " written", w->seed,
                  server.events, w->written);
    for (int i = 0; i < CLIENTS; i++) {
        char *text = text_of(w->clients[i].doc);
        ck_assert_msg(strcmp(text, server.text) == 0, "seed %" PRIu64 " client %d:\n%s\n%s",
                      w->seed, i, text, server.text);
        free(text);
    }
    free(server.text);
}

static void open_store(struct world *w)
{
    static const uint8_t id[16] = {1};
    char path[96], detail[256];
    if (w->seed % 4 == 0) {
        snprintf(w->folder, sizeof w->folder, "/tmp/syncline-random-XXXXXX");
        ck_assert_ptr_nonnull(mkdtemp(w->folder));
        fault_disarm();
    }
    bool file = w->folder[0] != '\0';
    snprintf(path, sizeof path, "%s/data.db", w->folder);
    store_options options = {.path = file ? path : NULL,
                             .vfs = file ? fault_vfs() : NULL,
                             .create = true,
                             .random_id = id};
    ck_assert_int_eq(store_open(&w->store, &options, detail), SYN_OK);
}

static void close_store(struct world *w)
{
    char command[96];
    store_close(w->store);
    if (w->folder[0] == '\0') return;
    snprintf(command, sizeof command, "rm -r %s", w->folder);
    ck_assert_int_eq(system(command), 0);
}

static void run_history(uint64_t seed)
{
    struct world *w = calloc(1, sizeof *w);
    w->seed = w->random = seed;
    w->now = 1000;
    w->threads = seed % 3 != 0;
    open_store(w);
    start_hub(w);
    for (int i = 0; i < CLIENTS; i++) {
        w->clients[i].world = w;
        while ((w->clients[i].peer = draw(w)) == 0) {
        }
        fresh_doc(&w->clients[i]);
    }
    for (int i = 0; i < STEPS; i++) step(w);
    disk_trouble_ends(w);
    w->calm = true;
    bring_together(w);
    check_equal(w);
    restart(w); /* what was stored is the same */
    check_equal(w);
    for (int i = 0; i < CLIENTS; i++) {
        disconnect(&w->clients[i]);
        syn_doc_free(w->clients[i].doc);
    }
    settle(w);
    hub_free(w->hub);
    close_store(w);
    free(w);
}

START_TEST(everyone_holds_the_same)
{
    const char *times = getenv("SYN_SEEDS"), *only = getenv("SYN_SEED");
    long histories = HISTORIES * (times != NULL ? atol(times) : 1);
    if (only != NULL) {
        run_history(strtoull(only, NULL, 0));
        return;
    }
    printf("seeds 1 to %ld\n", histories);
    for (long seed = 1; seed <= histories; seed++) run_history((uint64_t)seed);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("hub_random");
    TCase *tests = tcase_create("random");
    tcase_set_timeout(tests, 0);
    tcase_add_test(tests, everyone_holds_the_same);
    suite_add_tcase(suite, tests);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed != 0;
}
