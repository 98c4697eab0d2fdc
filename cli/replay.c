/* replay.c -- `syncline replay`: recorded sessions, every agent as a replica of its own.
 *
 *     agent 0   [doc at its own version]  --edit locally--> export -> bytes --+
 *     agent 1   [doc at its own version]  --edit locally--> export -> bytes --+--> merged doc
 *     ...                                                                     (or the server)
 *
 * Before a txn its agent's replica applies exactly what the txn's parents include and it lacks, so
 * that right after the txn it stands at "txn and all its ancestors": the version that V and W lines
 * speak of.  A replica begins with its agent's first txn and ends with the last, which keeps memory
 * in bounds when hundreds took part. */
#include "cli.h"
#include "proto.h"
#include "trace.h"
#include "via.h"

#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define SAID_PER_RECORD 3 /* failures told in full; the rest are counted */

struct replica {
    syn_doc *doc;
    syn_obj text;
    bool *has; /* per txn */
};

struct play {
    const struct trace_record *rec;
    struct replica *replicas; /* per agent; doc NULL: not begun, or over */
    uint32_t *last;           /* per agent: its last txn */
    struct replica merged;    /* doc only */
    struct trace_set set;
    uint32_t *stack, *missing; /* txn_count entries each */
    proto_arena *arena;
    syn_buf bytes;
    struct via *via; /* NULL: locally */
    uint32_t check;  /* next of rec->checks */
    uint32_t said;
    bool ok;
    char why[256];
};

struct totals {
    uint64_t records, passed, events;
    double seconds;
    char sha256[65];
};

static void complain(struct play *play, const char *what)
{
    play->ok = false;
    if (play->said++ < SAID_PER_RECORD) (void)failed("%s: %s", play->rec->name, what);
}

/* ---- Replicas -------------------------------------------------------------------------------- */

static syn_err replica_begin(struct replica *replica, uint64_t peer, uint32_t txns)
{
    syn_doc_config config = SYN_DOC_CONFIG_INIT;
    config.peer = peer;
    syn_err err = syn_doc_new(&replica->doc, &config);
    if (err == SYN_OK) err = syn_root(replica->doc, syn_s(""), SYN_TEXT, &replica->text);
    if (err != SYN_OK || txns == 0) return err;
    replica->has = calloc(txns, sizeof *replica->has);
    return replica->has != NULL ? SYN_OK : SYN_ENOMEM;
}

static void replica_end(struct replica *replica)
{
    syn_doc_free(replica->doc);
    free(replica->has);
    *replica = (struct replica){0};
}

static int by_number(const void *a, const void *b)
{
    uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
    return (x > y) - (x < y);
}

/* Collects in play->missing what the txn's ancestors hold beyond the replica, ascending, and marks
 * it as held. */
static uint32_t find_missing(struct play *play, struct replica *replica,
                             const struct trace_txn *txn)
{
    uint32_t depth = 0, count = 0;
    const struct trace_record *rec = play->rec;
    for (const struct trace_txn *at = txn;; at = &rec->txns[play->stack[--depth]]) {
        for (uint32_t p = 0; p < at->parent_count; p++) {
            uint32_t parent = rec->parents[at->parent + p];
            if (replica->has[parent]) continue;
            replica->has[parent] = true;
            play->missing[count++] = parent;
            play->stack[depth++] = parent;
        }
        if (depth == 0) break;
    }
    qsort(play->missing, count, sizeof *play->missing, by_number);
    return count;
}

static syn_err bring_to_parents(struct play *play, struct replica *replica,
                                const struct trace_txn *txn)
{
    uint32_t count = find_missing(play, replica, txn);
    if (count == 0) return SYN_OK;
    syn_err err = trace_set_fill(&play->set, play->rec, play->missing, count);
    if (err == SYN_OK && play->set.set.run_count > 0)
        err = syn_apply(replica->doc, &play->set.set, false, NULL);
    return err;
}

static syn_err edit(const struct trace_record *rec, struct replica *replica,
                    const struct trace_txn *txn)
{
    syn_err err = syn_begin(replica->doc);
    if (err != SYN_OK) return err;
    for (uint32_t p = 0; err == SYN_OK && p < txn->patch_count; p++) {
        const struct trace_patch *patch = &rec->patches[txn->patch + p];
        if (patch->removed > 0)
            err = syn_text_delete(replica->doc, replica->text, patch->pos, patch->removed);
        if (err == SYN_OK && patch->inserted > 0)
            err = syn_text_insert(replica->doc, replica->text, patch->pos, patch->text);
    }
    if (err == SYN_OK) return syn_commit(replica->doc);
    (void)syn_rollback(replica->doc);
    return err;
}

/* ---- One txn --------------------------------------------------------------------------------- */

/* What the author did travels as bytes, as it would between machines. */
static syn_err publish(struct play *play, uint32_t agent, struct replica *author, uint32_t from)
{
    syn_err err = SYN_OK;
    uint32_t end = syn_doc_log_end(author->doc);
    while (err == SYN_OK && from < end) {
        syn_changes set;
        uint32_t cut = from;
        err = syn_doc_export(author->doc, (syn_span){from, end}, UINT32_MAX, 32u << 10, &set, &cut);
        play->bytes.len = 0;
        if (err == SYN_OK) err = proto_encode_changes(&play->bytes, &set, NULL);
        if (err != SYN_OK) return err;
        struct proto_fault fault;
        proto_arena_reset(play->arena);
        err = proto_decode_changes(play->arena, play->bytes.data, play->bytes.len, NULL, NULL, &set,
                                   &fault);
        if (err == SYN_OK) err = syn_apply(play->merged.doc, &set, false, NULL);
        if (err == SYN_OK && play->via != NULL) err = via_send(play->via, agent, &set, play->why);
        from = cut;
    }
    return err;
}

static bool text_matches(const syn_doc *doc, syn_obj text, const struct trace_check *check)
{
    char *data = NULL;
    size_t bytes = 0;
    if (copy_text(doc, text, &data, &bytes) != SYN_OK) return false;
    bool same = trace_matches(check, syn_text_len(doc, text), data, bytes);
    free(data);
    return same;
}

static void compare(struct play *play, const struct replica *replica, uint32_t txn)
{
    const struct trace_record *rec = play->rec;
    for (; play->check < rec->check_count && rec->checks[play->check].txn == txn; play->check++) {
        if (text_matches(replica->doc, replica->text, &rec->checks[play->check])) continue;
        char what[128];
        (void)snprintf(what, sizeof what, "the text after txn %" PRIu32 " is not the expected one",
                       txn);
        complain(play, what);
    }
}

static syn_err play_txn(struct play *play, uint32_t number)
{
    const struct trace_txn *txn = &play->rec->txns[number];
    struct replica *replica = &play->replicas[txn->agent];
    syn_err err = SYN_OK;
    if (replica->doc == NULL)
        err = replica_begin(replica, (uint64_t)txn->agent + 1, play->rec->txn_count);
    if (err == SYN_OK && play->via != NULL) err = via_receive(play->via, txn, play->why);
    if (err == SYN_OK) err = bring_to_parents(play, replica, txn);
    if (err != SYN_OK) return err;
    uint32_t from = syn_doc_log_end(replica->doc);
    err = edit(play->rec, replica, txn);
    if (err != SYN_OK) return err;
    assert(syn_doc_log_end(replica->doc) - from == txn->len);
    replica->has[number] = true;
    compare(play, replica, number);
    err = publish(play, txn->agent, replica, from);
    if (play->last[txn->agent] == number) replica_end(replica);
    return err;
}

/* ---- One record ------------------------------------------------------------------------------ */

static syn_err play_begin(struct play *play, const struct trace_record *rec, const char *url)
{
    uint32_t txns = rec->txn_count > 0 ? rec->txn_count : 1;
    *play = (struct play){.rec = rec, .ok = true};
    play->replicas = calloc((size_t)rec->agents + 1, sizeof *play->replicas);
    play->last = calloc((size_t)rec->agents + 1, sizeof *play->last);
    play->stack = malloc(txns * sizeof *play->stack);
    play->missing = malloc(txns * sizeof *play->missing);
    if (play->replicas == NULL || play->last == NULL || play->stack == NULL ||
        play->missing == NULL)
        return SYN_ENOMEM;
    for (uint32_t t = 0; t < rec->txn_count; t++) play->last[rec->txns[t].agent] = t;
    syn_err err = trace_set_new(&play->set, rec);
    if (err == SYN_OK) err = proto_arena_new(&play->arena, NULL);
    if (err == SYN_OK) err = replica_begin(&play->merged, 0, 0);
    if (err == SYN_OK && url != NULL) err = via_open(&play->via, url, rec, play->why);
    return err;
}

static void play_end(struct play *play)
{
    for (uint32_t a = 0; play->replicas != NULL && a < play->rec->agents; a++)
        replica_end(&play->replicas[a]);
    replica_end(&play->merged);
    via_close(play->via);
    trace_set_free(&play->set);
    proto_arena_free(play->arena);
    syn_buf_free(&play->bytes);
    free(play->replicas);
    free(play->last);
    free(play->stack);
    free(play->missing);
}

static bool client_matches(void *user, uint32_t agent, const syn_doc *doc, syn_obj text)
{
    struct play *play = user;
    if (text_matches(doc, text, &play->rec->final)) return true;
    char what[128];
    (void)snprintf(what, sizeof what, "client %" PRIu32 " has another text at the end", agent);
    complain(play, what);
    return false;
}

static void compare_final(struct play *play, struct totals *totals)
{
    const struct trace_record *rec = play->rec;
    const struct replica *merged = &play->merged;
    char *data = NULL;
    size_t bytes = 0;
    if (copy_text(merged->doc, merged->text, &data, &bytes) != SYN_OK) {
        complain(play, syn_strerror(SYN_ENOMEM));
        return;
    }
    trace_sha256(data, bytes, totals->sha256);
    if (!trace_matches(&rec->final, syn_text_len(merged->doc, merged->text), data, bytes))
        complain(play, "the final text is not the expected one (F)");
    if (rec->has_literal &&
        (rec->literal.len != bytes || (bytes > 0 && memcmp(rec->literal.data, data, bytes) != 0)))
        complain(play, "the final text is not the expected one (E)");
    if (syn_doc_events(merged->doc) != rec->events)
        complain(play, "the merged document has not as many events as the record");
    free(data);
}

/* True: passed. */
static bool play_record(const struct trace_record *rec, const char *url, struct totals *totals)
{
    struct play play;
    syn_err err = play_begin(&play, rec, url);
    for (uint32_t t = 0; err == SYN_OK && t < rec->txn_count; t++) {
        if (t % 1024 == 1023) progress(rec->name, t + 1, rec->txn_count);
        err = play_txn(&play, t);
        if (err == SYN_OK) continue;
        char what[400];
        (void)snprintf(what, sizeof what, "txn %" PRIu32 ": %s", t,
                       play.why[0] != '\0' ? play.why : syn_strerror(err));
        complain(&play, what);
    }
    if (err == SYN_OK && play.via != NULL)
        err = via_finish(play.via, rec->events, client_matches, &play, play.why);
    progress_end();
    if (err == SYN_OK)
        compare_final(&play, totals);
    else if (play.ok)
        complain(&play, play.why[0] != '\0' ? play.why : syn_strerror(err));
    if (play.said > SAID_PER_RECORD)
        (void)failed("%s: ... and %" PRIu32 " more", rec->name, play.said - SAID_PER_RECORD);
    totals->events += rec->events;
    play_end(&play);
    return play.ok;
}

/* ---- The command ----------------------------------------------------------------------------- */

static double now(void)
{
    struct timespec t;
    (void)clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

static bool replay_file(const char *path, const char *url, bool json, struct totals *totals)
{
    struct trace trace;
    char why[256];
    if (trace_read(path, &trace, why) != SYN_OK) {
        (void)failed("%s: %s", path, why);
        return false;
    }
    for (uint32_t i = 0; i < trace.count; i++) {
        double start = now();
        bool passed = play_record(&trace.records[i], url, totals);
        totals->records++;
        totals->passed += passed;
        if (json)
            (void)printf("{\"record\":\"%s\",\"passed\":%s,\"events\":%" PRIu64
                         ",\"seconds\":%.3f}\n",
                         trace.records[i].name, passed ? "true" : "false", trace.records[i].events,
                         now() - start);
    }
    trace_free(&trace);
    return true;
}

static int run_replay(const struct command *self, int argc, char **argv)
{
    const char *url = NULL;
    bool json = false;
    const struct option_spec specs[] = {
        {"via", &url, NULL}, {"json", NULL, &json}, {NULL, NULL, NULL}};
    if (!take_options(self, specs, &argc, argv, 1, 1 << 16)) return EXIT_USAGE;
    struct totals totals = {0};
    bool readable = true;
    double start = now();
    for (int i = 0; i < argc; i++) readable &= replay_file(argv[i], url, json, &totals);
    totals.seconds = now() - start;
    (void)printf("{\"records\":%" PRIu64 ",\"passed\":%" PRIu64 ",\"failed\":%" PRIu64
                 ",\"events\":%" PRIu64 ",\"seconds\":%.3f,\"sha256\":\"%s\"}\n",
                 totals.records, totals.passed, totals.records - totals.passed, totals.events,
                 totals.seconds, totals.sha256);
    return finish_output(readable && totals.passed == totals.records ? EXIT_DONE : EXIT_FAILED);
}

const struct command commands_replay = {
    .name = "replay",
    .run = run_replay,
    .synopsis = "replay TRACE... [--via URL] [--json]",
    .summary = "play recorded editing sessions and check the outcome",
    .help =
        "Plays each record of the trace files into one document named after it (root text \"\"):\n"
        "every agent edits a replica of its own, which has seen exactly what the agent had seen.\n"
        "Compares the text with what the file says, at every checkpoint and at the end.\n\n"
        "  --via URL   through a running server, each agent with a connection of its own; the\n"
        "              server must not have documents of these names yet\n"
        "  --json      also one JSON line per record\n\n"
        "The last line is {\"records\":..,\"passed\":..,\"failed\":..,\"events\":..,\"seconds\":..,"
        "\n\"sha256\":\"of the last final text\"}; exit status 0 only if nothing failed.\n\n"
        "Examples:\n"
        "  syncline replay friendsforever.trace.gz\n"
        "  syncline replay --json tests/data/*.trace.gz\n"
        "  syncline serve --data /tmp/new.db & "
        "syncline replay friendsforever.trace.gz --via ws://127.0.0.1:7700\n",
};
