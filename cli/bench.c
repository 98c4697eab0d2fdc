/* bench.c -- `syncline bench`: how long the core's works take on recorded sessions.
 *
 *     parent                        child (one per work)
 *     read trace, build the    -->  prepare what is not measured; repeat { start the clock, work,
 *     document once                 stop } ; times[], bytes, peak  --pipe-->  one line of JSON
 *
 * A child per work keeps one work's heap out of the next one's.  CPU time of the process, for
 * machines are shared; the median says what to expect, least and most how far to trust it.  Peak
 * memory is what the measured document asked of its allocator at most, and is taken in a run of its
 * own, so that counting costs the times nothing. */
#include "cli.h"
#include "proto.h"
#include "trace.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define MAX_REPEATS 50
#define BUDGET_MS   1500.0 /* a work stops repeating after this much, but not below MIN_REPEATS */
#define MIN_REPEATS 5
#define TRACE_NAME  64

struct frames { /* one encoded Changes message per txn, back to back */
    syn_buf bytes;
    size_t *ends;
    uint32_t count;
};

/* What the works start from, made once. */
struct material {
    const struct trace_record *rec;
    syn_doc *doc;
    syn_buf history, state, all;
    struct frames frames;
};

struct counter { /* an allocator that counts */
    size_t now, peak;
};

struct result {
    uint32_t runs;
    double ms[MAX_REPEATS];
    uint64_t bytes, peak;
    syn_err err;
};

static void *count_resize(void *user, void *ptr, size_t old_size, size_t new_size)
{
    struct counter *counter = user;
    if (new_size == 0) {
        free(ptr);
        counter->now -= old_size;
        return NULL;
    }
    void *more = realloc(ptr, new_size);
    if (more == NULL) return NULL;
    counter->now += new_size - old_size;
    if (counter->now > counter->peak) counter->peak = counter->now;
    return more;
}

static double cpu_ms(void)
{
    struct timespec t;
    (void)clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return (double)t.tv_sec * 1e3 + (double)t.tv_nsec * 1e-6;
}

static syn_err new_doc(syn_doc **doc, syn_obj *text, const syn_mem *mem, uint64_t peer)
{
    syn_doc_config config = SYN_DOC_CONFIG_INIT;
    if (mem != NULL) config.mem = *mem;
    config.peer = peer;
    syn_err err = syn_doc_new(doc, &config);
    return err == SYN_OK ? syn_root(*doc, syn_s(""), SYN_TEXT, text) : err;
}

/* ---- The works: what is measured lies between the two clocks ----------------------------------
 */

struct run {
    const struct material *m;
    const syn_mem *mem;
    double ms;
    uint64_t bytes;
};

/* Every edit by one call on one replica. */
static syn_err work_local(struct run *run)
{
    const struct trace_record *rec = run->m->rec;
    double start = cpu_ms();
    syn_doc *doc = NULL;
    syn_obj text;
    syn_err err = new_doc(&doc, &text, run->mem, 1);
    for (uint32_t p = 0; err == SYN_OK && p < rec->patch_count; p++) {
        const struct trace_patch *patch = &rec->patches[p];
        if (patch->removed > 0) err = syn_text_delete(doc, text, patch->pos, patch->removed);
        if (err == SYN_OK && patch->inserted > 0)
            err = syn_text_insert(doc, text, patch->pos, patch->text);
    }
    run->ms = cpu_ms() - start;
    if (err == SYN_OK) run->bytes = syn_text_bytes(doc, text);
    syn_doc_free(doc);
    return err;
}

static syn_err work_encode(struct run *run)
{
    syn_buf out = {0};
    if (run->mem != NULL) out.mem = *run->mem;
    double start = cpu_ms();
    syn_err err = syn_save(run->m->doc, &out);
    run->ms = cpu_ms() - start;
    run->bytes = out.len;
    syn_buf_free(&out);
    return err;
}

/* Bytes to a document whose text is read out. */
static syn_err load_text(struct run *run, const syn_buf *bytes,
                         syn_err (*load)(syn_doc *, const void *, size_t), bool then_edit)
{
    double start = cpu_ms();
    syn_doc *doc = NULL;
    syn_obj text;
    char *copy = NULL;
    size_t len = 0;
    syn_err err = new_doc(&doc, &text, run->mem, 0);
    if (err == SYN_OK) err = load(doc, bytes->data, bytes->len);
    if (err == SYN_OK && then_edit) {
        err = syn_doc_set_peer(doc, UINT64_MAX, false);
        if (err == SYN_OK)
            err = syn_text_insert(doc, text, syn_text_len(doc, text) / 2, syn_s("x"));
    } else if (err == SYN_OK) {
        err = copy_text(doc, text, &copy, &len);
    }
    run->ms = cpu_ms() - start;
    run->bytes = bytes->len;
    free(copy);
    syn_doc_free(doc);
    return err;
}

static syn_err work_load(struct run *run)
{
    return load_text(run, &run->m->state, syn_load, false);
}
static syn_err work_ready(struct run *run)
{
    return load_text(run, &run->m->state, syn_load, true);
}
static syn_err work_merge(struct run *run)
{
    return load_text(run, &run->m->history, syn_import, false);
}
static syn_err work_file(struct run *run)
{
    return load_text(run, &run->m->all, syn_load, false);
}

/* What a server does with live edits: decode, validate, apply, one frame after another. */
static syn_err work_relay(struct run *run)
{
    const struct frames *frames = &run->m->frames;
    syn_doc *doc = NULL;
    syn_obj text;
    proto_arena *arena = NULL;
    syn_err err = new_doc(&doc, &text, run->mem, 0);
    if (err == SYN_OK) err = proto_arena_new(&arena, run->mem);
    double start = cpu_ms();
    for (uint32_t i = 0; err == SYN_OK && i < frames->count; i++) {
        size_t from = i == 0 ? 0 : frames->ends[i - 1];
        syn_changes set;
        struct proto_fault fault;
        proto_arena_reset(arena);
        err = proto_decode_changes(arena, frames->bytes.data + from, frames->ends[i] - from, NULL,
                                   NULL, &set, &fault);
        if (err == SYN_OK) err = syn_apply(doc, &set, false, NULL);
    }
    run->ms = cpu_ms() - start;
    run->bytes = frames->bytes.len;
    proto_arena_free(arena);
    syn_doc_free(doc);
    return err;
}

static const struct work {
    const char *name;
    syn_err (*fn)(struct run *);
    bool linear_only;
} works[] = {
    {"local", work_local, true},  {"encode", work_encode, false}, {"load", work_load, false},
    {"ready", work_ready, false}, {"merge", work_merge, false},   {"relay", work_relay, false},
    {"file", work_file, false},
};

/* ---- Preparing ------------------------------------------------------------------------------- */

static syn_err encode_frames(struct material *m, struct trace_set *set)
{
    const struct trace_record *rec = m->rec;
    m->frames.ends = malloc(((size_t)rec->txn_count + 1) * sizeof *m->frames.ends);
    if (m->frames.ends == NULL) return SYN_ENOMEM;
    syn_err err = SYN_OK;
    for (uint32_t t = 0; err == SYN_OK && t < rec->txn_count; t++) {
        if (rec->txns[t].len == 0) continue;
        err = trace_set_fill(set, rec, &t, 1);
        if (err == SYN_OK) err = proto_encode_changes(&m->frames.bytes, &set->set, NULL);
        if (err == SYN_OK) m->frames.ends[m->frames.count++] = m->frames.bytes.len;
        if (err == SYN_OK) err = syn_apply(m->doc, &set->set, false, NULL);
    }
    return err;
}

static syn_err prepare(struct material *m, const struct trace_record *rec)
{
    *m = (struct material){.rec = rec};
    struct trace_set set = {0};
    syn_obj text;
    syn_err err = new_doc(&m->doc, &text, NULL, 0);
    if (err == SYN_OK) err = trace_set_new(&set, rec);
    if (err == SYN_OK) err = encode_frames(m, &set);
    if (err == SYN_OK) err = syn_export_since(m->doc, NULL, 0, &m->history);
    if (err == SYN_OK) err = syn_save_state(m->doc, &m->state);
    if (err == SYN_OK) err = syn_save(m->doc, &m->all);
    trace_set_free(&set);
    return err;
}

static void material_free(struct material *m)
{
    syn_doc_free(m->doc);
    syn_buf_free(&m->history);
    syn_buf_free(&m->state);
    syn_buf_free(&m->all);
    syn_buf_free(&m->frames.bytes);
    free(m->frames.ends);
}

/* ---- Measuring ------------------------------------------------------------------------------- */

static void measure(const struct work *work, const struct material *m, struct result *result)
{
    struct counter counter = {0};
    syn_mem mem = {count_resize, &counter};
    struct run run = {.m = m, .mem = &mem};
    result->err = work->fn(&run);
    result->peak = counter.peak;
    result->bytes = run.bytes;
    run.mem = NULL;
    double spent = 0;
    while (result->err == SYN_OK && result->runs < MAX_REPEATS &&
           (spent < BUDGET_MS || result->runs < MIN_REPEATS)) {
        result->err = work->fn(&run);
        result->ms[result->runs++] = run.ms;
        spent += run.ms;
    }
}

static int by_time(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static bool measure_apart(const struct work *work, const struct material *m, struct result *result)
{
    int ends[2];
    *result = (struct result){.err = SYN_EIO};
    if (pipe(ends) != 0) return false;
    (void)fflush(NULL);
    pid_t child = fork();
    if (child == 0) {
        struct result mine = {0};
        measure(work, m, &mine);
        _exit(write(ends[1], &mine, sizeof mine) == (ssize_t)sizeof mine ? 0 : 1);
    }
    (void)close(ends[1]);
    bool got = child > 0 && read(ends[0], result, sizeof *result) == (ssize_t)sizeof *result;
    (void)close(ends[0]);
    if (child > 0) (void)waitpid(child, NULL, 0);
    return got && result->err == SYN_OK && result->runs > 0;
}

static void print_result(const char *work, const char *trace, struct result *r, bool json)
{
    qsort(r->ms, r->runs, sizeof r->ms[0], by_time);
    double median = r->ms[r->runs / 2], least = r->ms[0], most = r->ms[r->runs - 1];
    if (json)
        (void)printf("{\"work\":\"%s\",\"trace\":\"%s\",\"ms\":%.4f,\"min_ms\":%.4f,"
                     "\"max_ms\":%.4f,\"bytes\":%" PRIu64 ",\"peak_bytes\":%" PRIu64 "}\n",
                     work, trace, median, least, most, r->bytes, r->peak);
    else
        (void)printf("%-8s%-22s%10.3f ms (%.3f to %.3f)%12" PRIu64 " bytes%12" PRIu64 " peak\n",
                     work, trace, median, least, most, r->bytes, r->peak);
    (void)fflush(stdout);
}

static int bench_record(const struct trace_record *rec, const char *name, bool json)
{
    struct material m;
    syn_err err = prepare(&m, rec);
    int status = err == SYN_OK ? EXIT_DONE : failed("%s: %s", name, syn_strerror(err));
    for (size_t w = 0; status == EXIT_DONE && w < sizeof works / sizeof works[0]; w++) {
        if (works[w].linear_only && !rec->linear) continue;
        progress(works[w].name, w + 1, sizeof works / sizeof works[0]);
        struct result result;
        bool measured = measure_apart(&works[w], &m, &result);
        progress_end();
        if (measured)
            print_result(works[w].name, name, &result, json);
        else
            status = failed("%s: %s: %s", name, works[w].name, syn_strerror(result.err));
    }
    material_free(&m);
    return status;
}

/* friendsforever.trace.gz -> friendsforever */
static void trace_name(const char *path, char out[TRACE_NAME])
{
    const char *slash = strrchr(path, '/');
    const char *base = slash != NULL ? slash + 1 : path;
    (void)snprintf(out, TRACE_NAME, "%.*s", (int)strcspn(base, "."), base);
}

static int bench_file(const char *path, bool json)
{
    struct trace trace;
    char why[256], name[TRACE_NAME];
    if (trace_read(path, &trace, why) != SYN_OK) return failed("%s: %s", path, why);
    trace_name(path, name);
    uint32_t greatest = 0;
    for (uint32_t i = 1; i < trace.count; i++)
        if (trace.records[i].events > trace.records[greatest].events) greatest = i;
    int status = bench_record(&trace.records[greatest], name, json);
    trace_free(&trace);
    return status;
}

static int run_bench(const struct command *self, int argc, char **argv)
{
    bool json = false;
    const struct option_spec specs[] = {{"json", NULL, &json}, {NULL, NULL, NULL}};
    if (!take_options(self, specs, &argc, argv, 1, 1 << 16)) return EXIT_USAGE;
    int status = EXIT_DONE;
    for (int i = 0; i < argc; i++)
        if (bench_file(argv[i], json) != EXIT_DONE) status = EXIT_FAILED;
    return finish_output(status);
}

const struct command commands_bench = {
    .name = "bench",
    .run = run_bench,
    .synopsis = "bench TRACE... [--json]",
    .summary = "measure the core on recorded editing sessions",
    .help =
        "Measures CPU time (median, least, most) and peak memory of the document on each trace's\n"
        "greatest record, each work in a process of its own:\n\n"
        "  local   every edit by one call (only records where nothing is concurrent)\n"
        "  encode  document to bytes, state and history\n"
        "  load    bytes of the state to text\n"
        "  ready   bytes of the state to the first local edit done\n"
        "  merge   bytes of the full history to text, without a snapshot\n"
        "  relay   every txn as a message of its own: decode, validate, apply\n"
        "  file    bytes of everything, history and state, to text\n\n"
        "  --json  one JSON object per line:\n"
        "          {\"work\":..,\"trace\":..,\"ms\":..,\"min_ms\":..,\"max_ms\":..,\"bytes\":..,"
        "\"peak_bytes\":..}\n\n"
        "Examples:\n"
        "  syncline bench friendsforever.trace.gz\n"
        "  syncline bench --json automerge-paper.trace.gz | jq -r '[.work, .ms] | @tsv'\n",
};
