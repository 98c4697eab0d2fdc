/* kill.c -- `syncline serve` and its clients killed with SIGKILL at random moments, under load.
 *
 *     this process -- clients in memory and with a file, in this process --\
 *          |                                                                 syncline serve, killed
 *          +-- kill --writer: a client with a file, killed too ------------/
 *
 * Edits are tokens (tokens.h) with numbers.  Whatever a client saw acknowledged must be in the
 * database of the dead server, or with the one that was started again, exactly once; whatever a
 * killed client had in its file must come out of it, and reach the server exactly once.  In the end
 * all clients, the server and the files must be equal. */
#include "client_impl.h"
#include "process.h"
#include "tokens.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { DOCS = 3, LOCAL = 4, FIRST_CHILD = 10, WAIT_MS = 120000, EDITS_MAX = 200000 };

/* What one writer did to one document. */
struct track {
    uint32_t made;     /* edits */
    uint32_t events;   /* of all of them */
    uint32_t *upto;    /* events after edit i */
    uint32_t promised; /* edits known to be saved, the most that was seen */
};

struct writer {
    syn_client *client;
    syn_client_doc *docs[DOCS];
    struct track tracks[DOCS];
    bool has_file;
};

struct world {
    uint32_t starts; /* of the server: on several loops, and on one, in turn */
    struct random random;
    const char *program, *self;
    char folder[64], data[96], log[96], listen[64], url[96], child_file[96];
    struct process server, child;
    struct writer writers[LOCAL];
    uint32_t children;
    syn_buf child_said;
    size_t child_read;
    uint32_t child_rest[WRITERS_MAX][DOCS], child_saved[WRITERS_MAX][DOCS];
    uint32_t server_kills, child_kills, seen_rounds;
    uint64_t acked_at_kills;
};

static const char *doc_name(int d)
{
    static const char *const names[DOCS] = {"notes", "plans/2026", "\xc3\xa9l\xc3\xa8ve"};
    return names[d];
}

static void path_in(const char *folder, const char *name, char *out, size_t cap)
{
    int len = snprintf(out, cap, "%s/%s", folder, name);
    if (len < 0 || (size_t)len >= cap) give_up("%s/%s: too long", folder, name);
}

static void writer_file(const struct world *w, int writer, char *out, size_t cap)
{
    char name[32];
    (void)snprintf(name, sizeof name, "writer%d.db", writer);
    path_in(w->folder, name, out, cap);
}

/* ---- The server ------------------------------------------------------------------------------ */

static void start_server(struct world *w)
{
    syn_buf line = {0};
    char *loops = w->starts++ % 2 == 0 ? "3" : "1";
    char *argv[] = {(char *)(uintptr_t)w->program,
                    "serve",
                    "--listen",
                    w->listen,
                    "--data",
                    w->data,
                    "--loops",
                    loops,
                    NULL};
    w->server = process_start(argv, w->log);
    while (line.len == 0 || memchr(line.data, '\n', line.len) == NULL)
        if (!process_read(&w->server, &line, 1000)) give_up("serve does not start; see %s", w->log);
    if (syn_buf_append(&line, "", 1) != SYN_OK) give_up("no memory");
    unsigned port = 0;
    if (sscanf((const char *)line.data, "syncline: ready ws://127.0.0.1:%u", &port) != 1)
        give_up("serve says %s", (const char *)line.data);
    (void)snprintf(w->listen, sizeof w->listen, "127.0.0.1:%u", port);
    (void)snprintf(w->url, sizeof w->url, "ws://127.0.0.1:%u", port);
    syn_buf_free(&line);
}

/* fsck of a file whose owner is dead. */
static void check_file(const struct world *w, const char *file)
{
    syn_buf out = {0};
    char *argv[] = {(char *)(uintptr_t)w->program, "fsck", (char *)(uintptr_t)file, NULL};
    int status = process_run(argv, w->log, &out);
    if (status != 0)
        give_up("fsck %s: status %d: %.*s", file, status, (int)out.len, (char *)out.data);
    syn_buf_free(&out);
}

/* A document of a file (or of a server) by the command line; "" if it is not there. */
static char *get_json(const struct world *w, const char *target, int d)
{
    syn_buf out = {0};
    char *argv[] = {
        (char *)(uintptr_t)w->program,  "get", "--timeout", "120", (char *)(uintptr_t)target,
        (char *)(uintptr_t)doc_name(d), NULL};
    int status = process_run(argv, w->log, &out);
    if (status > 1) give_up("get %s: status %d", target, status);
    if (syn_buf_append(&out, "", 1) != SYN_OK) give_up("no memory");
    if (status == 1) out.data[0] = '\0';
    return (char *)out.data;
}

/* ---- Writers in this process ----------------------------------------------------------------- */

static syn_client *open_client(const char *url, const char *file)
{
    syn_client *client;
    char detail[256] = "";
    syn_client_config config = SYN_CLIENT_CONFIG_INIT;
    config.url = url;
    config.file = file;
    config.backoff_min_ms = 5;
    config.backoff_max_ms = 40;
    syn_err err = syn_client_new(&client, &config, detail);
    if (err != SYN_OK) give_up("client %s: %s: %s", file, syn_strerror(err), detail);
    return client;
}

static void open_docs(struct writer *writer)
{
    for (int d = 0; d < DOCS; d++) {
        syn_err err = syn_client_open(writer->client, syn_s(doc_name(d)), &writer->docs[d]);
        if (err != SYN_OK) give_up("open: %s", syn_strerror(err));
    }
}

static void start_writers(struct world *w)
{
    char file[96];
    for (int i = 0; i < LOCAL; i++) {
        struct writer *writer = &w->writers[i];
        writer->has_file = i % 2 == 1;
        writer_file(w, i, file, sizeof file);
        writer->client = open_client(w->url, writer->has_file ? file : NULL);
        open_docs(writer);
        for (int d = 0; d < DOCS; d++) {
            writer->tracks[d].upto = calloc(EDITS_MAX, sizeof(uint32_t));
            if (writer->tracks[d].upto == NULL) give_up("no memory");
        }
    }
}

static void write_one(struct writer *writer, uint32_t number, int d, struct random *r)
{
    struct track *track = &writer->tracks[d];
    if (track->made == EDITS_MAX) return;
    syn_client_lock(writer->client);
    track->events += token_edit(writer->docs[d], number, track->made, r);
    track->upto[track->made++] = track->events;
    syn_client_unlock(writer->client);
}

/* How many edits of this writer are known to be on the server's disk. */
static uint32_t promised(struct writer *writer, int d)
{
    struct track *track = &writer->tracks[d];
    syn_unsaved unsaved = syn_client_unsaved(writer->docs[d]);
    if (unsaved.events > track->events)
        give_up("%u events unsaved of %u", unsaved.events, track->events);
    uint32_t saved = track->events - unsaved.events;
    while (track->promised < track->made && track->upto[track->promised] <= saved)
        track->promised++;
    return track->promised;
}

static uint64_t promised_all(struct world *w)
{
    uint64_t sum = 0;
    for (int i = 0; i < LOCAL; i++)
        for (int d = 0; d < DOCS; d++) sum += promised(&w->writers[i], d);
    return sum;
}

/* ---- The writer that is a process ------------------------------------------------------------ */

static void say(const char *what, int d, uint32_t edits)
{
    char line[64];
    int len = snprintf(line, sizeof line, "%s %d %u\n", what, d, edits);
    if (write(STDOUT_FILENO, line, (size_t)len) != len) exit(3);
}

static void say_progress(struct writer *writer, uint32_t *rest, uint32_t *saved)
{
    for (int d = 0; d < DOCS; d++) {
        uint32_t made = writer->tracks[d].made;
        syn_client_lock(writer->client);
        bool clean = client_store_clean(writer->docs[d]);
        syn_client_unlock(writer->client);
        if (clean && made != rest[d]) say("rest", d, rest[d] = made);
        uint32_t now = promised(writer, d);
        if (now != saved[d]) say("saved", d, saved[d] = now);
    }
}

/* Own events of former processes are unsaved too at first; they are waited for, or else numbers
 * would mean nothing: `events` begins at what is unsaved. */
static int be_writer(const char *url, const char *file, uint32_t number, uint32_t seed)
{
    struct writer writer = {.has_file = true};
    struct random r = random_seeded(seed);
    uint32_t rest[DOCS] = {0}, saved[DOCS] = {0};
    bool offline = one_in(&r, 2);
    writer.client = open_client(url, file);
    if (offline) syn_client_offline(writer.client);
    open_docs(&writer);
    for (int d = 0; d < DOCS; d++) {
        writer.tracks[d].upto = calloc(EDITS_MAX, sizeof(uint32_t));
        if (writer.tracks[d].upto == NULL) return 3;
        writer.tracks[d].events = syn_client_unsaved(writer.docs[d]).events;
    }
    for (;;) {
        write_one(&writer, number, (int)below(&r, DOCS), &r);
        say_progress(&writer, rest, saved);
        if (one_in(&r, 30)) {
            offline = !offline;
            if (offline)
                syn_client_offline(writer.client);
            else
                syn_client_online(writer.client);
        }
        (void)usleep(below(&r, 2000));
    }
}

/* Brings the file and the server level, and ends. */
static int be_last(const char *url, const char *file)
{
    struct writer writer = {.has_file = true};
    writer.client = open_client(url, file);
    open_docs(&writer);
    for (int d = 0; d < DOCS; d++) {
        syn_err err = syn_client_wait(writer.docs[d], WAIT_MS);
        if (err != SYN_OK) give_up("the last writer: %s", syn_strerror(err));
    }
    syn_client_free(writer.client);
    return 0;
}

static void start_child(struct world *w)
{
    char number[16], seed[16];
    uint32_t writer = FIRST_CHILD + w->children;
    if (writer >= WRITERS_MAX) return;
    w->children++;
    (void)snprintf(number, sizeof number, "%u", writer);
    (void)snprintf(seed, sizeof seed, "%u", (uint32_t)random_bits(&w->random));
    char *argv[] = {
        (char *)(uintptr_t)w->self, "--writer", w->url, w->child_file, number, seed, NULL};
    w->child = process_start(argv, NULL);
    w->child_said.len = w->child_read = 0;
}

static void hear_child(struct world *w)
{
    uint32_t writer = FIRST_CHILD + w->children - 1, edits;
    int d;
    char what[16];
    while (w->child_read < w->child_said.len) {
        const char *line = (const char *)w->child_said.data + w->child_read;
        const char *end = memchr(line, '\n', w->child_said.len - w->child_read);
        if (end == NULL) return;
        if (sscanf(line, "%15s %d %u", what, &d, &edits) != 3 || d < 0 || d >= DOCS)
            give_up("the writer says %.40s", line);
        if (strcmp(what, "rest") == 0)
            w->child_rest[writer][d] = edits;
        else
            w->child_saved[writer][d] = edits;
        w->child_read += (size_t)(end - line) + 1;
    }
}

/* What the dead one had in its file must come out of the file. */
static void kill_child(struct world *w)
{
    struct seen seen;
    if (w->child.pid == 0) return;
    process_kill(&w->child, &w->child_said);
    hear_child(w);
    w->child_kills++;
    uint32_t writer = FIRST_CHILD + w->children - 1;
    for (int d = 0; d < DOCS; d++) {
        char *json = get_json(w, w->child_file, d);
        seen_read(json, w->child_file, &seen);
        if (seen.edits[writer] < w->child_rest[writer][d])
            give_up("%s: writer %u had %u edits of %s in its file, and %u are there", w->child_file,
                    writer, w->child_rest[writer][d], doc_name(d), seen.edits[writer]);
        free(json);
    }
    if (w->child_kills % 5 == 0) check_file(w, w->child_file);
}

/* ---- What must be there ---------------------------------------------------------------------- */

static void check_promises(struct world *w, const char *json, const char *where, int d,
                           const uint32_t *least)
{
    struct seen seen;
    seen_read(json, where, &seen);
    for (uint32_t i = 0; i < LOCAL; i++) {
        if (seen.edits[i] < least[i])
            give_up("%s, %s: writer %u saw %u edits acknowledged, %u are there", where, doc_name(d),
                    i, least[i], seen.edits[i]);
        if (seen.edits[i] > w->writers[i].tracks[d].made)
            give_up("%s: more of writer %u than he made", where, i);
    }
    for (uint32_t i = FIRST_CHILD; i < FIRST_CHILD + w->children; i++)
        if (seen.edits[i] < w->child_saved[i][d])
            give_up("%s, %s: writer %u saw %u edits acknowledged, %u are there", where, doc_name(d),
                    i, w->child_saved[i][d], seen.edits[i]);
}

static void note_promises(struct world *w, uint32_t least[DOCS][LOCAL])
{
    for (int d = 0; d < DOCS; d++)
        for (int i = 0; i < LOCAL; i++) least[d][i] = promised(&w->writers[i], d);
}

/* By the file, before anybody else touched it; or by the server that was started on it. */
static void check_after_kill(struct world *w, bool by_file)
{
    uint32_t least[DOCS][LOCAL];
    const char *target = by_file ? w->data : w->url;
    note_promises(w, least);
    if (!by_file) start_server(w);
    for (int d = 0; d < DOCS; d++) {
        char *json = get_json(w, target, d);
        check_promises(w, json, target, d, least[d]);
        free(json);
    }
    if (by_file && w->server_kills % 10 == 0) check_file(w, w->data);
    if (by_file) start_server(w);
}

/* ---- A round --------------------------------------------------------------------------------- */

static void write_for_a_while(struct world *w)
{
    uint64_t end = client_now() + 5 + below(&w->random, 80);
    while (client_now() < end) {
        uint32_t number = below(&w->random, LOCAL);
        write_one(&w->writers[number], number, (int)below(&w->random, DOCS), &w->random);
        (void)usleep(below(&w->random, 1500));
        if (w->child.pid != 0 && !process_read(&w->child, &w->child_said, 0))
            give_up("the writer process ended by itself");
    }
}

static void one_round(struct world *w)
{
    bool wait = !one_in(&w->random, 4); /* else: while the clients still come back */
    uint64_t before = promised_all(w);
    if (w->child.pid == 0) start_child(w);
    write_for_a_while(w);
    for (int ms = 0; wait && promised_all(w) == before; ms++) {
        if (ms > WAIT_MS) give_up("nothing was acknowledged for %d s", WAIT_MS / 1000);
        (void)usleep(1000);
    }
    if (wait) write_for_a_while(w);
    if (one_in(&w->random, 3)) kill_child(w);
    process_kill(&w->server, NULL);
    w->server_kills++;
    uint64_t now = promised_all(w);
    if (now > before) w->seen_rounds++;
    w->acked_at_kills = now;
    check_after_kill(w, one_in(&w->random, 2));
    if (w->server_kills % 20 == 0) {
        printf("%u kills of the server, %u of a client; %" PRIu64 " edits acknowledged\n",
               w->server_kills, w->child_kills, now);
        (void)fflush(stdout);
    }
}

/* ---- The end --------------------------------------------------------------------------------- */

static syn_err collect(void *user, const void *data, size_t len)
{
    return syn_buf_append(user, data, len);
}

struct version {
    syn_buf json, heads;
};

static void read_version(struct writer *writer, int d, struct version *out)
{
    syn_id heads[64];
    memset(out, 0, sizeof *out);
    syn_client_lock(writer->client);
    syn_doc *doc = syn_client_doc_state(writer->docs[d]);
    size_t count = syn_doc_heads(doc, heads, 64);
    syn_err err = syn_doc_json(doc, SYN_NO_OBJ, collect, &out->json);
    syn_doc_check(doc);
    syn_client_unlock(writer->client);
    for (size_t i = 0; !err && i < count && i < 64; i++) {
        char text[48];
        (void)snprintf(text, sizeof text, "%016" PRIx64 ":%u ", heads[i].peer, heads[i].seq);
        err = syn_buf_append(&out->heads, text, strlen(text));
    }
    if (!err) err = syn_buf_append(&out->json, "", 1);
    if (!err) err = syn_buf_append(&out->heads, "", 1);
    if (err) give_up("reading a document: %s", syn_strerror(err));
}

static bool same_version(const struct version *a, const struct version *b)
{
    return strcmp((char *)a->heads.data, (char *)b->heads.data) == 0;
}

/* Everybody has everything after a while: same heads, and then the same text. */
static void wait_equal(struct world *w, struct writer *writer, int d, struct version *want)
{
    for (int ms = 0;; ms++) {
        struct version have;
        read_version(&w->writers[0], d, want);
        read_version(writer, d, &have);
        bool same = same_version(want, &have);
        if (same && strcmp((char *)want->json.data, (char *)have.json.data) != 0)
            give_up("%s: equal versions, different contents", doc_name(d));
        if (!same && ms * 20 > WAIT_MS)
            give_up("%s: heads %s and %s", doc_name(d), (char *)want->heads.data,
                    (char *)have.heads.data);
        syn_buf_free(&have.json);
        syn_buf_free(&have.heads);
        if (same) return;
        syn_buf_free(&want->json);
        syn_buf_free(&want->heads);
        (void)usleep(20000);
    }
}

/* What a target's JSON by the command line is when it is this version. */
static void must_equal(const struct world *w, const char *target, int d, const char *want)
{
    char *json = get_json(w, target, d);
    json[strcspn(json, "\n")] = '\0';
    if (strcmp(json, want) != 0)
        give_up("%s: %s is not what the clients have", target, doc_name(d));
    free(json);
}

static void check_all_there(struct world *w, const char *json, int d)
{
    uint32_t all[LOCAL];
    struct seen seen;
    for (int i = 0; i < LOCAL; i++) {
        all[i] = w->writers[i].tracks[d].made;
        if (promised(&w->writers[i], d) != all[i]) give_up("writer %d has unsaved edits", i);
    }
    check_promises(w, json, "in the end", d, all);
    seen_read(json, "in the end", &seen);
    for (uint32_t i = FIRST_CHILD; i < FIRST_CHILD + w->children; i++)
        if (seen.edits[i] < w->child_rest[i][d])
            give_up("writer %u, killed, had %u edits of %s in its file; %u reached the server", i,
                    w->child_rest[i][d], doc_name(d), seen.edits[i]);
}

static void settle(struct world *w)
{
    char *argv[] = {(char *)(uintptr_t)w->self, "--last", w->url, w->child_file, NULL};
    syn_buf out = {0};
    if (w->child.pid != 0) kill_child(w);
    for (int i = 0; i < LOCAL; i++)
        for (int d = 0; d < DOCS; d++) {
            syn_err err = syn_client_wait(w->writers[i].docs[d], WAIT_MS);
            if (err != SYN_OK) give_up("writer %d: %s", i, syn_strerror(err));
        }
    if (process_run(argv, NULL, &out) != 0) give_up("the last writer failed");
    syn_buf_free(&out);
}

static void finish(struct world *w)
{
    struct version want[DOCS];
    settle(w);
    for (int d = 0; d < DOCS; d++) {
        for (int i = 1; i < LOCAL; i++) {
            if (i > 1) syn_buf_free(&want[d].json);
            if (i > 1) syn_buf_free(&want[d].heads);
            wait_equal(w, &w->writers[i], d, &want[d]);
        }
        check_all_there(w, (char *)want[d].json.data, d);
        must_equal(w, w->url, d, (char *)want[d].json.data);
    }
    for (int i = 0; i < LOCAL; i++) syn_client_free(w->writers[i].client);
    process_kill(&w->server, NULL);
    check_file(w, w->data);
    for (int d = 0; d < DOCS; d++) must_equal(w, w->data, d, (char *)want[d].json.data);
    for (int i = 1; i < LOCAL; i += 2) {
        char file[96];
        writer_file(w, i, file, sizeof file);
        check_file(w, file);
        for (int d = 0; d < DOCS; d++) must_equal(w, file, d, (char *)want[d].json.data);
    }
    for (int d = 0; d < DOCS; d++) syn_buf_free(&want[d].json);
    for (int d = 0; d < DOCS; d++) syn_buf_free(&want[d].heads);
}

static void run(const char *self, const char *program, uint32_t kills, uint32_t seed)
{
    static struct world world;
    struct world *w = &world;
    *w = (struct world){.random = random_seeded(seed), .program = program, .self = self};
    (void)snprintf(w->folder, sizeof w->folder, "/tmp/syn-kill-XXXXXX");
    if (mkdtemp(w->folder) == NULL) give_up("%s: %s", w->folder, strerror(errno));
    process_context(w->folder, seed);
    path_in(w->folder, "server.db", w->data, sizeof w->data);
    path_in(w->folder, "log", w->log, sizeof w->log);
    path_in(w->folder, "child.db", w->child_file, sizeof w->child_file);
    (void)snprintf(w->listen, sizeof w->listen, "127.0.0.1:0");
    printf("%u kills, seed %u\n", kills, seed);
    (void)fflush(stdout);
    start_server(w);
    start_writers(w);
    while (w->server_kills < kills) one_round(w);
    uint64_t at_kills = w->acked_at_kills;
    finish(w);
    if (w->seen_rounds < kills / 2) give_up("only %u rounds under load", w->seen_rounds);
    for (int i = 0; i < LOCAL; i++)
        for (int d = 0; d < DOCS; d++) free(w->writers[i].tracks[d].upto);
    syn_buf_free(&w->child_said);
    char *argv[] = {"/bin/rm", "-rf", w->folder, NULL};
    if (process_run(argv, NULL, NULL) != 0) give_up("cannot remove %s", w->folder);
    printf("passed: %u kills of the server, %u of a client, %" PRIu64 " edits checked\n",
           w->server_kills, w->child_kills, at_kills);
}

int main(int argc, char **argv)
{
    uint32_t kills = seeds(200), seed = 1;
    const char *program = NULL;
    if (argc == 6 && strcmp(argv[1], "--writer") == 0)
        return be_writer(argv[2], argv[3], (uint32_t)atoi(argv[4]),
                         (uint32_t)strtoul(argv[5], NULL, 10));
    if (argc == 4 && strcmp(argv[1], "--last") == 0) return be_last(argv[2], argv[3]);
    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "--quick") == 0)
            kills = 20;
        else if (strcmp(argv[i], "--kills") == 0 && i + 1 < argc)
            kills = (uint32_t)atoi(argv[++i]);
        else if (strcmp(argv[i], "--seed") == 0 && i + 1 < argc)
            seed = (uint32_t)strtoul(argv[++i], NULL, 10);
        else
            program = argv[i];
    }
    if (program == NULL || program[0] == '-') {
        (void)fprintf(stderr, "usage: kill [--quick] [--kills N] [--seed S] /path/to/syncline\n");
        return 2;
    }
    run(argv[0], program, kills, seed);
    return 0;
}
