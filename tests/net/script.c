/* script.c -- reads commands, plays the world for the hub, writes down what came out. */
#include "script.h"
#include "describe.h"
#include "store/fault_vfs.h"

#include <check.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { MAX_CLIENTS = 12, MAX_WORDS = 16, MAX_IDS = 16 };

struct client {
    char name[8], user[32];
    hub_conn *conn;
    bool stopped, closed;
};

struct script {
    FILE *out;
    syn_store *store;
    hub *hub;
    uint64_t now, random;
    struct client clients[MAX_CLIENTS];
    int client_count;
    struct {
        char user[32];
        uint32_t rights;
    } rights[4];
    int rights_count;
    bool gathering;
    char folder[64]; /* "": the store is in memory */
    uint8_t lineage[16];
    char *words[MAX_WORDS];
    int word_count;
};

/* ---- The world ------------------------------------------------------------------------------- */

static uint64_t next_random(void *user)
{
    struct script *s = user;
    s->random = s->random * 6364136223846793005u + 1442695040888963407u;
    return s->random ^ (s->random >> 29);
}

static bool deliver(void *user, void *link, syn_str head, syn_str body)
{
    struct script *s = user;
    struct client *client = link;
    char *bytes = malloc(head.len + body.len + 1);
    memcpy(bytes, head.data, head.len);
    if (body.len != 0) memcpy(bytes + head.len, body.data, body.len);
    fprintf(s->out, "    %s < ", client->name);
    describe_frame(s->out, bytes, head.len + body.len);
    fprintf(s->out, "\n");
    free(bytes);
    return !client->stopped;
}

static void cut(void *user, void *link, unsigned status, const char *reason)
{
    struct script *s = user;
    struct client *client = link;
    client->closed = true;
    fprintf(s->out, "    %s closed %u %s\n", client->name, status, reason);
}

static struct client *client_named(struct script *s, const char *name)
{
    for (int i = 0; i < s->client_count; i++)
        if (strcmp(s->clients[i].name, name) == 0) return &s->clients[i];
    ck_abort_msg("no client %s", name);
}

static void authenticate(void *user, uint64_t conn, syn_str token)
{
    struct script *s = user;
    if (token.len == 3 && memcmp(token.data, "bad", 3) == 0)
        hub_refused(s->hub, conn, syn_s("unknown token"), s->now);
    else
        hub_signed_in(s->hub, conn,
                      &(struct hub_identity){.name = token.len != 0 ? token : syn_s("anonymous")},
                      0, s->now);
}

static uint32_t authorise(void *user, const struct hub_identity *who, syn_str document)
{
    const struct script *s = user;
    (void)document;
    for (int i = 0; i < s->rights_count; i++)
        if (strlen(s->rights[i].user) == who->name.len &&
            memcmp(s->rights[i].user, who->name.data, who->name.len) == 0)
            return s->rights[i].rights;
    return RIGHT_READ | RIGHT_WRITE | RIGHT_CREATE;
}

static void start_hub(struct script *s)
{
    struct hub_port port = {.user = s,
                            .random = next_random,
                            .send = deliver,
                            .close = cut,
                            .authenticate = authenticate,
                            .authorise = authorise};
    ck_assert_int_eq(hub_new(&s->hub, s->store, &port), SYN_OK);
}

static void open_store(struct script *s)
{
    static const uint8_t id[16] = {1, 2, 3};
    char detail[256], path[96];
    bool memory = s->folder[0] == '\0';
    snprintf(path, sizeof path, "%s/data.db", s->folder);
    store_options options = {.path = memory ? NULL : path,
                             .vfs = memory ? NULL : fault_vfs(),
                             .create = true,
                             .random_id = id};
    syn_err err = store_open(&s->store, &options, detail);
    ck_assert_msg(err == SYN_OK, "%s", detail);
}

/* Until everything that can be stored is stored and told. */
static void settle(struct script *s)
{
    if (s->gathering) return;
    do {
        hub_flush(s->hub, s->now);
        store_poll(s->store);
        if (!hub_idle(s->hub)) usleep(s->folder[0] != '\0' ? 500 : 0);
    } while (!hub_idle(s->hub));
}

/* ---- Arguments ------------------------------------------------------------------------------- */

static const char *option(const struct script *s, const char *name)
{
    size_t len = strlen(name);
    for (int i = 0; i < s->word_count; i++)
        if (strncmp(s->words[i], name, len) == 0 && s->words[i][len] == '=')
            return s->words[i] + len + 1;
    return NULL;
}

static bool flag(const struct script *s, const char *name)
{
    for (int i = 0; i < s->word_count; i++)
        if (strcmp(s->words[i], name) == 0) return true;
    return false;
}

static uint32_t number(const struct script *s, int word)
{
    ck_assert_int_lt(word, s->word_count);
    return (uint32_t)strtoul(s->words[word], NULL, 0);
}

static uint64_t hex_option(const struct script *s, const char *name)
{
    const char *value = option(s, name);
    return value != NULL ? strtoull(value, NULL, 16) : 0;
}

static uint32_t parse_ids(const char *text, syn_id *ids)
{
    uint32_t count = 0;
    while (text != NULL && *text != '\0') {
        char *end;
        ids[count].peer = strtoull(text, &end, 16);
        ids[count].seq = *end == ':' ? (uint32_t)strtoul(end + 1, &end, 10) : 0;
        count++;
        text = *end == ',' ? end + 1 : end;
        ck_assert_uint_lt(count, MAX_IDS);
    }
    return count;
}

/* ---- Frames ---------------------------------------------------------------------------------- */

static void give(struct script *s, struct client *client, const struct frame *frame)
{
    syn_buf buf = {0};
    ck_assert_int_eq(proto_encode(&buf, frame), SYN_OK);
    hub_receive(s->hub, client->conn, buf.data, buf.len, s->now);
    syn_buf_free(&buf);
}

static void do_hello(struct script *s, struct client *client)
{
    struct frame frame = {.kind = FRAME_HELLO};
    frame.as.hello.min_version = frame.as.hello.max_version = 1;
    if (option(s, "version") != NULL)
        frame.as.hello.min_version = frame.as.hello.max_version =
            (uint32_t)hex_option(s, "version");
    frame.as.hello.features = hex_option(s, "features");
    frame.as.hello.token = syn_s(option(s, "token") != NULL ? option(s, "token") : client->user);
    frame.as.hello.client = syn_s("script");
    give(s, client, &frame);
}

static void do_open(struct script *s, struct client *client)
{
    struct frame frame = {.channel = number(s, 2), .kind = FRAME_OPEN};
    struct msg_open *open = &frame.as.open;
    syn_id heads[MAX_IDS], old[MAX_IDS];
    uint64_t old_peers[MAX_IDS];
    open->document = syn_s(s->words[3]);
    open->peer = hex_option(s, "peer");
    open->rights = (uint32_t)hex_option(s, "rights");
    open->version.heads = heads;
    open->version.head_count = parse_ids(option(s, "heads"), heads);
    open->old_peer_count = parse_ids(option(s, "old"), old);
    for (uint32_t i = 0; i < open->old_peer_count; i++) old_peers[i] = old[i].peer;
    open->old_peers = old_peers;
    if (option(s, "window") != NULL) open->window_bytes = (uint32_t)atoi(option(s, "window"));
    if (option(s, "lineage") != NULL) open->lineage = (syn_str){(char *)s->lineage, 16};
    if (option(s, "lineage") != NULL && strcmp(option(s, "lineage"), "other") == 0)
        open->lineage = syn_s("another lineage!");
    open->state_only = flag(s, "state_only");
    open->history = flag(s, "history");
    open->authors = flag(s, "authors");
    give(s, client, &frame);
}

/* One run of one peer, one operation in the root text. */
static void give_edit(struct script *s, struct client *client, struct change_op op, syn_str text)
{
    struct frame frame = {.channel = number(s, 2), .kind = FRAME_CHANGES};
    syn_changes *set = &frame.as.changes;
    static const struct change_container root = {.kind = SYN_TEXT, .form = CONTAINER_ROOT};
    syn_id id[MAX_IDS], parents[MAX_IDS];
    uint64_t peers[MAX_IDS];
    struct change_dep deps[MAX_IDS];
    struct change_run run = {.len = op.len};
    parse_ids(s->words[3], id);
    peers[0] = id[0].peer;
    run.seq = id[0].seq;
    run.explicit_parents = option(s, "parents") != NULL;
    run.dep_count = parse_ids(option(s, "parents"), parents);
    set->peer_count = 1;
    for (uint32_t i = 0; i < run.dep_count; i++) {
        uint32_t k = 0;
        while (k < set->peer_count && peers[k] != parents[i].peer) k++;
        if (k == set->peer_count) peers[set->peer_count++] = parents[i].peer;
        deps[i] = (struct change_dep){k, parents[i].seq};
    }
    set->peers = peers;
    set->containers = &root;
    set->container_count = 1;
    set->runs = &run;
    set->run_count = 1;
    set->deps = deps;
    set->dep_count = run.dep_count;
    set->ops = &op;
    set->op_count = 1;
    set->text = text;
    give(s, client, &frame);
}

static void do_insert(struct script *s, struct client *client)
{
    char *text = s->words[5];
    size_t len = strlen(text);
    if (len >= 2 && text[0] == '"') text++, len -= 2;
    struct change_op op = {.kind = OP_TEXT_INSERT, .len = (uint32_t)len, .pos = number(s, 4)};
    give_edit(s, client, op, (syn_str){text, len});
}

static void do_big(struct script *s, struct client *client)
{
    uint32_t len = number(s, 5);
    char *text = malloc(len);
    memset(text, 'x', len);
    struct change_op op = {.kind = OP_TEXT_INSERT, .len = len, .pos = number(s, 4)};
    give_edit(s, client, op, (syn_str){text, len});
    free(text);
}

static void do_delete(struct script *s, struct client *client)
{
    struct change_op op = {.kind = OP_DELETE, .len = number(s, 5), .pos = number(s, 4)};
    give_edit(s, client, op, (syn_str){NULL, 0});
}

static void do_want(struct script *s, struct client *client)
{
    struct frame frame = {.channel = number(s, 2), .kind = FRAME_WANT};
    syn_id heads[MAX_IDS], vector[MAX_IDS], upto[MAX_IDS];
    frame.as.want.have.heads = heads;
    frame.as.want.have.head_count = parse_ids(option(s, "heads"), heads);
    frame.as.want.have.vector = vector;
    frame.as.want.have.vector_count = parse_ids(option(s, "vector"), vector);
    frame.as.want.upto.heads = upto;
    frame.as.want.upto.head_count = parse_ids(option(s, "upto"), upto);
    give(s, client, &frame);
}

static void do_presence(struct script *s, struct client *client)
{
    struct frame frame = {.channel = number(s, 2), .kind = FRAME_PRESENCE};
    struct msg_presence_state state = {.state = syn_s(s->words[3]), .ttl_ms = 1000};
    state.unchanged = flag(s, "unchanged");
    if (state.unchanged) state.state = (syn_str){NULL, 0};
    frame.as.presence.states = &state;
    frame.as.presence.state_count = 1;
    give(s, client, &frame);
}

static void do_raw(struct script *s, struct client *client)
{
    unsigned char bytes[256];
    size_t len = 0;
    unsigned byte;
    for (const char *at = s->words[2]; sscanf(at, "%2x", &byte) == 1; at += 2)
        bytes[len++] = (unsigned char)byte;
    hub_receive(s->hub, client->conn, bytes, len, s->now);
}

static void do_simple(struct script *s, struct client *client, enum frame_kind kind)
{
    struct frame frame = {.kind = kind};
    if (kind == FRAME_PING)
        frame.as.ping.nonce = number(s, 2);
    else
        frame.channel = number(s, 2);
    if (kind == FRAME_CREDIT) frame.as.credit.bytes = number(s, 3);
    if (kind == FRAME_DIGEST) frame.as.digest.hash = number(s, 3);
    syn_id heads[MAX_IDS];
    if (kind == FRAME_DIGEST) {
        frame.as.digest.kinds = 5;
        frame.as.digest.version.heads = heads;
        frame.as.digest.version.head_count = parse_ids(option(s, "heads"), heads);
    }
    give(s, client, &frame);
}

/* ---- Commands -------------------------------------------------------------------------------- */

static void client_command(struct script *s, struct client *client, const char *verb)
{
    if (strcmp(verb, "hello") == 0)
        do_hello(s, client);
    else if (strcmp(verb, "open") == 0)
        do_open(s, client);
    else if (strcmp(verb, "insert") == 0)
        do_insert(s, client);
    else if (strcmp(verb, "big") == 0)
        do_big(s, client);
    else if (strcmp(verb, "delete") == 0)
        do_delete(s, client);
    else if (strcmp(verb, "want") == 0)
        do_want(s, client);
    else if (strcmp(verb, "close") == 0)
        do_simple(s, client, FRAME_CLOSE);
    else if (strcmp(verb, "credit") == 0)
        do_simple(s, client, FRAME_CREDIT);
    else if (strcmp(verb, "digest") == 0)
        do_simple(s, client, FRAME_DIGEST);
    else if (strcmp(verb, "ping") == 0)
        do_simple(s, client, FRAME_PING);
    else if (strcmp(verb, "presence") == 0)
        do_presence(s, client);
    else if (strcmp(verb, "raw") == 0)
        do_raw(s, client);
    else if (strcmp(verb, "stops") == 0)
        client->stopped = true;
    else if (strcmp(verb, "reads") == 0) {
        client->stopped = false;
        hub_writable(s->hub, client->conn, s->now);
    } else
        ck_abort_msg("unknown command %s", verb);
}

static void do_connect(struct script *s)
{
    ck_assert_int_lt(s->client_count, MAX_CLIENTS);
    struct client *client = &s->clients[s->client_count++];
    memset(client, 0, sizeof *client);
    snprintf(client->name, sizeof client->name, "%s", s->words[1]);
    if (option(s, "user") != NULL)
        snprintf(client->user, sizeof client->user, "%s", option(s, "user"));
    client->conn = hub_connect(s->hub, client, s->now);
}

static void do_disconnect(struct script *s, const char *name)
{
    struct client *client = client_named(s, name);
    hub_disconnect(s->hub, client->conn, s->now);
    client->name[0] = '\0';
}

struct filling {
    uint32_t count;
    bool failed;
};

static syn_err fill_text(void *user, syn_doc *doc)
{
    struct filling *filling = user;
    syn_obj text;
    syn_err err = syn_root(doc, syn_s(""), SYN_TEXT, &text);
    for (uint32_t i = 0; !err && i < filling->count; i++)
        err = syn_text_insert(doc, text, (i * 7919u) % (i + 1u), syn_s(i % 7 == 6 ? "\n" : "a"));
    return err;
}

static void filled(void *user, syn_err err)
{
    struct filling *filling = user;
    filling->failed = err != SYN_OK;
}

static void do_fill(struct script *s)
{
    uint32_t times = s->word_count > 3 ? number(s, 3) : 1;
    for (uint32_t i = 0; i < times; i++) {
        struct filling filling = {.count = number(s, 2)};
        hub_edit(s->hub, syn_s(s->words[1]), true, fill_text, filled, &filling, s->now);
        settle(s);
        ck_assert(!filling.failed);
    }
}

static void do_remove(struct script *s)
{
    struct store_doc row;
    struct filling filling = {0};
    if (store_find(s->store, syn_s(s->words[1]), &row) == SYN_OK)
        memcpy(s->lineage, row.lineage, sizeof s->lineage);
    hub_delete(s->hub, syn_s(s->words[1]), filled, &filling, s->now);
    settle(s);
    ck_assert(!filling.failed);
}

static void do_restart(struct script *s)
{
    for (int i = 0; i < s->client_count; i++)
        if (s->clients[i].name[0] != '\0') do_disconnect(s, s->clients[i].name);
    hub_free(s->hub);
    start_hub(s);
}

static void do_wait(struct script *s)
{
    uint64_t end = s->now + number(s, 1);
    while (s->now < end) {
        uint64_t next = hub_next_tick(s->hub);
        s->now = next > s->now && next < end ? next : s->now + 1;
        hub_tick(s->hub, s->now);
        settle(s);
    }
}

/* As if the store had been put back from a backup. */
static void do_restore(struct script *s)
{
    store_turn *turn;
    ck_assert_int_eq(store_turn_new(s->store, &turn), SYN_OK);
    ck_assert_int_eq(store_turn_note(turn, 0, syn_s("served"), syn_s("another file's id")), SYN_OK);
    ck_assert_int_eq(store_commit(turn), SYN_OK);
    do_restart(s);
}

/* From memory to a file whose disk can be told to fail. */
static void use_file(struct script *s)
{
    hub_free(s->hub);
    store_close(s->store);
    snprintf(s->folder, sizeof s->folder, "/tmp/syncline-script-XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(s->folder));
    open_store(s);
    start_hub(s);
}

static void do_disk(struct script *s)
{
    const char *what = s->words[1];
    if (strcmp(what, "file") == 0)
        use_file(s);
    else if (strcmp(what, "fails") == 0)
        fault_arm(FAULT_CHANGES, FAULT_EIO, 1, true);
    else if (strcmp(what, "full") == 0)
        fault_arm(FAULT_CHANGES, FAULT_ENOSPC, 1, true);
    else if (strcmp(what, "well") == 0) {
        fault_disarm();
        store_probe(s->store);
        while (store_failing(s->store)) usleep(500);
    } else
        ck_abort_msg("disk %s", what);
}

/* What the store holds of a document, and in how many pieces. */
static syn_err count_piece(void *user, const struct store_piece *piece)
{
    uint32_t *pieces = user;
    pieces[piece->packed ? 1 : 0]++;
    return SYN_OK;
}

static void do_stored(struct script *s)
{
    struct store_doc row;
    uint32_t pieces[2] = {0};
    ck_assert_int_eq(store_find(s->store, syn_s(s->words[1]), &row), SYN_OK);
    ck_assert_int_eq(store_read_log(s->store, row.id, 0, row.events, count_piece, pieces), SYN_OK);
    fprintf(s->out,
            "    stored: %" PRIu32 " events in %" PRIu32 " chunks and %" PRIu32
            " rows, snapshot at %" PRIu32 "\n",
            row.events, pieces[1], pieces[0], row.snapshot_at);
}

static void do_rights(struct script *s)
{
    int i = s->rights_count++;
    snprintf(s->rights[i].user, sizeof s->rights[i].user, "%s", s->words[1]);
    s->rights[i].rights = number(s, 2);
}

static void command(struct script *s)
{
    const char *verb = s->words[0];
    if (strcmp(verb, "connect") == 0)
        do_connect(s);
    else if (strcmp(verb, "disconnect") == 0)
        do_disconnect(s, s->words[1]);
    else if (strcmp(verb, "fill") == 0)
        do_fill(s);
    else if (strcmp(verb, "remove") == 0)
        do_remove(s);
    else if (strcmp(verb, "restart") == 0)
        do_restart(s);
    else if (strcmp(verb, "restore") == 0)
        do_restore(s);
    else if (strcmp(verb, "wait") == 0)
        do_wait(s);
    else if (strcmp(verb, "rights") == 0)
        do_rights(s);
    else if (strcmp(verb, "stored") == 0)
        do_stored(s);
    else if (strcmp(verb, "disk") == 0)
        do_disk(s);
    else if (strcmp(verb, "gather") == 0)
        s->gathering = true;
    else if (strcmp(verb, "commit") == 0)
        s->gathering = false;
    else
        client_command(s, client_named(s, verb), s->words[1]);
    settle(s);
}

/* Words are split at spaces, except inside quotes. */
static void split(struct script *s, char *line)
{
    bool quoted = false, in_word = false;
    s->word_count = 0;
    for (char *at = line; *at != '\0'; at++) {
        if (*at == '"') quoted = !quoted;
        if (*at == ' ' && !quoted) {
            *at = '\0';
            in_word = false;
        } else if (!in_word) {
            ck_assert_int_lt(s->word_count, MAX_WORDS);
            s->words[s->word_count++] = at;
            in_word = true;
        }
    }
}

static void run_line(struct script *s, const char *line, size_t len)
{
    char copy[1024];
    ck_assert_uint_lt(len, sizeof copy);
    memcpy(copy, line, len);
    copy[len] = '\0';
    if (len == 0 || copy[0] == '#') {
        fprintf(s->out, "%s\n", copy);
        return;
    }
    if (copy[0] == ' ') return; /* what came out last time */
    fprintf(s->out, "%s\n", copy);
    split(s, copy);
    command(s);
}

static void remove_folder(const char *folder)
{
    char command[128];
    if (folder[0] == '\0') return;
    snprintf(command, sizeof command, "rm -r %s", folder);
    ck_assert_int_eq(system(command), 0);
}

char *script_run(const char *text)
{
    struct script s = {.now = 1000, .random = 42};
    char *result = NULL;
    size_t size = 0;
    s.out = open_memstream(&result, &size);
    open_store(&s);
    start_hub(&s);
    while (*text != '\0') {
        size_t len = strcspn(text, "\n");
        run_line(&s, text, len);
        text += len + (text[len] == '\n');
    }
    s.gathering = false;
    settle(&s);
    hub_free(s.hub);
    store_close(s.store);
    remove_folder(s.folder);
    fclose(s.out);
    return result;
}
