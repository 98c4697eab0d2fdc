/* fuzz_session.c -- libFuzzer: whole conversations with the hub.
 *
 *     input -- decisions, one byte each --> frames of four clients, right, twisted, made up or
 *              broken; commits that end later or fail; time; readers that stop; lost connections
 *
 * The first byte says how it begins; the usual way is that everybody has opened document "a".  Two
 * of the clients stay right, and are judged at rest (session_reader.c).  The store is the one in
 * memory, whose commits fail when the allocator it was given does; with SYN_FUZZ_FILE in the
 * environment it is a file of that name, for replaying kept inputs on SQLite and its thread.
 * Whatever the input: nothing leaves the hub that is not stored or not for that reader, every
 * document passes its own check after every step, queues stay below their limits, and in the end
 * the hub comes to rest, and right clients, hub and store hold the same. */
#include "session_world.h"

#include <unistd.h>

enum { STEPS = 300, QUIET_ROUNDS = 3, REST_ROUNDS = 1000 };

const char *const doc_names[DOCS] = {"a", "b", "r", "s"};

int doc_index(syn_str name)
{
    for (int i = 0; i < DOCS; i++)
        if (name.len == 1 && name.data[0] == doc_names[i][0]) return i;
    return -1;
}

/* "a" may do everything; "r" is for reading, "s" is a's secret. */
uint32_t rights_of(const struct world *w, const char *user, syn_str document)
{
    int doc = doc_index(document);
    if (strcmp(user, "a") == 0) return 15;
    if (doc == 3) return 0;
    if (doc == 2 || (doc == 1 && w->revoked)) return doc == 2 ? RIGHT_READ : 0;
    return 7;
}

/* ---- The world ------------------------------------------------------------------------------- */

static void *store_memory(void *user, void *old, size_t old_len, size_t len)
{
    struct world *w = user;
    (void)old_len;
    if (len == 0) {
        free(old);
        return NULL;
    }
    return w->failing ? NULL : realloc(old, len);
}

static uint64_t next_random(void *user)
{
    struct world *w = user;
    w->random = w->random * 6364136223846793005u + 1442695040888963407u;
    return w->random ^ (w->random >> 29);
}

static bool on_send(void *user, void *link, syn_str head, syn_str body)
{
    (void)user;
    return reader_takes(link, head, body);
}

static void on_close(void *user, void *link, unsigned status, const char *reason)
{
    struct client *c = link;
    (void)user;
    (void)reason;
    require(status >= 1000 && status < 5000, "a close code that may not be sent");
    c->closing = true;
}

static uint32_t on_authorise(void *user, const struct hub_identity *who, syn_str document)
{
    char name[16];
    snprintf(name, sizeof name, "%.*s", (int)who->name.len, who->name.data);
    return rights_of(user, name, document);
}

static void on_authenticate(void *user, uint64_t conn, syn_str token)
{
    struct world *w = user;
    if (token.len == 3)
        hub_refused(w->hub, conn, syn_s("no"), w->now);
    else if (token.len != 2) /* 2: answered never */
        hub_signed_in(w->hub, conn,
                      &(struct hub_identity){.name = token.len == 1 ? token : syn_s("anonymous")},
                      0, w->now);
}

static bool on_work(void *user, struct work *work)
{
    struct world *w = user;
    return late_take(&w->late, work);
}

/* ---- Checks after each step ------------------------------------------------------------------ */

static void check_rooms(struct world *w)
{
    const struct limits *most = hub_limits(w->hub);
    for (int i = 0; i < DOCS; i++) {
        const struct room *room = room_find(w->hub, syn_s(doc_names[i]));
        if (room == NULL) continue;
        if (room->doc != NULL) syn_doc_check(room->doc);
        require(room->presence_bytes <= most->of[LIM_DOCUMENT_PRESENCE] + 8192,
                "too much presence is kept");
        require(room->body_count <= MAX_BODIES, "too many bodies are kept");
    }
}

static void check_bounds(struct world *w)
{
    const struct limits *most = hub_limits(w->hub);
    for (uint32_t i = 0; i < CLIENTS; i++) {
        const hub_conn *conn = w->clients[i].conn;
        if (conn == NULL) continue;
        require(conn->queue.len - conn->queue_at <= most->of[LIM_CONNECTION_QUEUE],
                "a queue above its limit");
        require(conn->channel_count <= most->of[LIM_CONNECTION_DOCUMENTS], "too many channels");
        for (uint32_t k = 0; k < conn->channel_count; k++)
            require(conn->channels[k]->ignored_count <= MAX_IGNORED, "too many ignored peers");
    }
}

/* ---- Steps ----------------------------------------------------------------------------------- */

static syn_err own_edit(void *user, syn_doc *doc)
{
    if (doc != NULL) edit_document(user, doc);
    return doc != NULL ? SYN_OK : SYN_ENOTFOUND;
}

static syn_err own_look(void *user, syn_doc *doc)
{
    (void)user;
    if (doc != NULL) syn_doc_check(doc);
    return SYN_OK;
}

static void nothing_done(void *user, syn_err err)
{
    (void)user;
    (void)err;
}

static bool look_at(void *user, const struct hub_conn_info *info)
{
    (void)user;
    return info->queued_bytes < 16u << 20;
}

static void hang_up(struct client *c)
{
    if (c->conn != NULL) hub_disconnect(c->world->hub, c->conn, c->world->now);
    client_forget(c);
}

static void call(struct client *c)
{
    c->conn = hub_connect(c->world->hub, c, c->world->now);
    require(c->conn != NULL, "no memory");
}

/* What a right client begins with, as far as the decisions go. */
static void begin(struct client *c, uint8_t how)
{
    static const uint64_t features[CLIENTS] = {0, FEATURE_PACKED | FEATURE_NAMES, FEATURE_PACKED,
                                               FEATURE_NAMES | FEATURE_PACKED | FEATURE_DIGEST};
    static const char *const tokens[CLIENTS] = {"", "a", "b", ""};
    call(c);
    say_hello(c, features[c->number], tokens[c->number], false);
    (void)say_open(c, how & 3, c->number == 0 ? 1 : how >> 2);
}

static void stop_or_go_on(struct client *c)
{
    c->stopped = !c->stopped;
    if (!c->stopped && c->conn != NULL && !c->closing)
        hub_writable(c->world->hub, c->conn, c->world->now);
}

static void delete_document(struct world *w, uint8_t which)
{
    int doc = which % DOCS;
    acks_forget(w, doc);
    w->deleting |= 1u << doc;
    hub_delete(w->hub, syn_s(doc_names[doc]), nothing_done, NULL, w->now);
}

static void look_around(struct world *w, struct client *c)
{
    struct hub_room_info info;
    struct hub_load load;
    syn_id heads[4];
    hub_each_connection(w->hub, w->now, look_at, NULL);
    (void)hub_inspect(w->hub, syn_s("a"), &info);
    (void)hub_heads(w->hub, syn_s("a"), 1, heads, 4);
    hub_read_load(w->hub, &load);
    require(load.document_bytes < 64u << 20, "documents take too much memory");
    hub_read(w->hub, syn_s("a"), own_look, nothing_done, NULL, w->now);
    if (c->conn != NULL)
        hub_kick(w->hub, byte(w) % 4 == 0 ? c->conn->id : 1, syn_s("nobody"), w->now);
}

static void do_world(struct world *w, struct client *c)
{
    uint8_t what = byte(w);
    switch (what % 12) {
    case 0:
        w->failing = !w->failing;
        break;
    case 1:
        w->now += 1u + byte(w);
        hub_tick(w->hub, w->now);
        break;
    case 2:
        w->now += 1000u * byte(w);
        hub_tick(w->hub, w->now);
        break;
    case 3:
        stop_or_go_on(c);
        break;
    case 4:
        if (what >= 128) delete_document(w, byte(w));
        break;
    case 5:
    case 6:
        hub_edit(w->hub, syn_s(doc_names[byte(w) % DOCS]), true, own_edit, nothing_done, w, w->now);
        break;
    case 7:
        if (c->number >= HONEST && c->conn != NULL && !c->closing)
            hub_refuse(w->hub, c->conn, CODE_LIMIT, 1009, "too long", w->now);
        break;
    case 8:
        hang_up(c);
        begin(c, byte(w));
        break;
    case 9:
        late_step(&w->late, w->hub, byte(w), w->now);
        w->late.refuse = what >= 192;
        break;
    case 10:
        w->revoked = !w->revoked;
        look_around(w, c);
        break;
    default:
        hub_flush(w->hub, w->now);
    }
}

static void do_honest(struct world *w, struct client *c, uint32_t command)
{
    uint8_t which = byte(w);
    struct copy *copy = &c->copies[which % COPIES];
    for (uint32_t i = 0; i < COPIES && copy->channel == 0; i++) copy = &c->copies[i];
    if (copy->channel == 0 || command == 0)
        (void)say_open(c, which & 3, which >> 2);
    else if (command < 4)
        say_edit(c, copy, false);
    else if (command == 4)
        stop_or_go_on(c);
    else if (command == 5)
        give(c, &(struct frame){.kind = FRAME_CLOSE, .channel = copy->channel}, false);
}

/* Nothing waits any more, neither for the disk nor for a reader. */
static bool all_told(struct world *w)
{
    for (int i = 0; i < CLIENTS; i++)
        if (w->clients[i].conn != NULL && w->clients[i].conn->queue.len != 0) return false;
    return hub_idle(w->hub);
}

static void step(struct world *w)
{
    static const uint8_t kinds[] = {0, 1, 1, 8, 8, 2, 3, 4, 5, 6, 9, 10, 7, 8, 1, 4};
    uint8_t command = byte(w);
    struct client *c = &w->clients[command % CLIENTS];
    uint32_t kind = command / CLIENTS % 8;
    if (c->conn != NULL && c->closing) hang_up(c);
    if (c->conn == NULL) begin(c, 0);
    if (kind >= 6)
        do_world(w, c);
    else if (c->number < HONEST)
        do_honest(w, c, kind);
    else
        say_anything(c, kinds[byte(w) % 16], (command & 128) != 0 && kind == 0);
    if (command & 32) hub_flush(w->hub, w->now);
    if (command & 64) store_poll(w->store);
    if (all_told(w)) w->deleting = 0;
    for (int i = 0; i < CLIENTS; i++)
        if (!w->clients[i].stopped) pay_credit(&w->clients[i]);
    check_rooms(w);
    check_bounds(w);
}

/* ---- Beginning and end ----------------------------------------------------------------------- */

static bool turn_over(struct world *w, const char *file)
{
    uint64_t sends = w->sends;
    w->now += 100;
    hub_tick(w->hub, w->now);
    hub_flush(w->hub, w->now);
    if (file != NULL) usleep(100);
    store_poll(w->store);
    late_all(&w->late, w->hub, w->now);
    for (int i = 0; i < CLIENTS; i++) {
        struct client *c = &w->clients[i];
        if (c->conn != NULL && !c->closing) hub_writable(w->hub, c->conn, w->now);
        pay_credit(c);
    }
    return hub_idle(w->hub) && !store_failing(w->store) && w->sends == sends;
}

static void come_to_rest(struct world *w, const char *file)
{
    int quiet = 0;
    w->failing = false;
    w->late.refuse = false;
    for (int i = 0; i < CLIENTS; i++) w->clients[i].stopped = false;
    for (int i = 0; i < REST_ROUNDS && quiet < QUIET_ROUNDS; i++)
        quiet = turn_over(w, file) ? quiet + 1 : 0;
    require(quiet == QUIET_ROUNDS, "the hub does not come to rest");
    w->deleting = 0;
    check_rooms(w);
    check_rest(w);
    for (int i = 0; i < CLIENTS; i++) hang_up(&w->clients[i]);
    for (int i = 0; i < REST_ROUNDS && !hub_idle(w->hub); i++) (void)turn_over(w, file);
    require(hub_idle(w->hub), "the hub does not come to rest without connections");
}

static void remove_file(const char *file)
{
    static const char *const parts[] = {"", "-wal", "-shm", ".lock"};
    char name[512];
    for (int i = 0; i < 4 && file != NULL; i++) {
        snprintf(name, sizeof name, "%s%s", file, parts[i]);
        (void)unlink(name);
    }
}

static void start(struct world *w, const char *file)
{
    static const uint8_t id[16] = {1};
    char detail[256];
    struct hub_port port = {.user = w,
                            .random = next_random,
                            .send = on_send,
                            .close = on_close,
                            .authenticate = on_authenticate,
                            .authorise = on_authorise,
                            .work = on_work};
    store_options options = {.path = file, .create = true, .random_id = id};
    if (file == NULL) options.mem = (syn_mem){store_memory, w};
    remove_file(file);
    require(!proto_arena_new(&w->arena, NULL) && !proto_arena_new(&w->inner, NULL) &&
                !proto_arena_new(&w->given, NULL),
            "no memory");
    require(store_open(&w->store, &options, detail) == SYN_OK, detail);
    require(hub_new(&w->hub, w->store, &port) == SYN_OK, "no hub");
    hub_tune(w->hub, &(struct hub_tuning){.frame_piece = 64, .fold_rows = 8, .fold_bytes = 256});
    for (uint32_t i = 0; i < CLIENTS; i++) {
        w->clients[i].world = w;
        w->clients[i].number = i;
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const char *file = getenv("SYN_FUZZ_FILE");
    static struct world world; /* large */
    struct world *w = &world;
    *w = (struct world){.at = data, .left = size, .now = 1000, .random = 1, .next_peer = 0xc001};
    start(w, file);
    uint8_t how = byte(w);
    for (int i = 0; i < CLIENTS; i++)
        if (!(how & 1 << i)) begin(&w->clients[i], how >> 4);
    for (int i = 0; i < STEPS && w->left != 0; i++) step(w);
    come_to_rest(w, file);
    hub_free(w->hub);
    store_close(w->store);
    proto_arena_free(w->arena);
    proto_arena_free(w->inner);
    proto_arena_free(w->given);
    syn_buf_free(&w->last);
    remove_file(file);
    return 0;
}
