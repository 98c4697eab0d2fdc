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
#include "bench.h"

#include <errno.h>
#include <inttypes.h>
#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#define TRACE_NAME 64

/* A work stops repeating after so many milliseconds, but not below `least` runs. */
const struct bench_effort bench_thorough = {1500.0, 5}, bench_short = {200.0, 3},
                          bench_once = {0.0, 1};

struct counter { /* an allocator that counts */
    size_t now, peak;
};

struct bench_options {
    bool json, once, growth, shapes;
    const char *only; /* names separated by commas; NULL: all */
    const char *max, *svg;
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

/* ---- Measuring ------------------------------------------------------------------------------- */

/* What one run frees serves the next.  Left to itself malloc gives the top of its heap back or not
 * by the order in which blocks happen to be freed, and then each run pays for thousands of fresh
 * pages or for none. */
static void keep_pages(void)
{
    (void)mallopt(M_MMAP_THRESHOLD, 32 << 20);
    (void)mallopt(M_TRIM_THRESHOLD, 64 << 20);
}

static void measure(const struct bench_work *work, const struct bench_material *m,
                    const struct bench_effort *effort, struct bench_result *result)
{
    struct counter counter = {0};
    syn_mem mem = {count_resize, &counter};
    struct bench_run run = {.m = m, .worst_ms = -1};
    bool counting = effort->least > 1;
    if (counting) {
        keep_pages();
        run.mem = &mem;
        run.held = &counter.now;
        result->err = work->fn(&run);
        result->peak = counter.peak;
        result->bytes = run.bytes;
        result->rss = run.rss; /* later runs reuse what this one freed */
        run.mem = NULL;
        run.held = NULL;
    }
    double spent = 0;
    while (result->err == SYN_OK && result->runs < BENCH_MAX_RUNS &&
           (spent < effort->ms || result->runs < effort->least)) {
        result->err = work->fn(&run);
        if (result->runs == 0 || run.worst_ms < result->worst_ms) result->worst_ms = run.worst_ms;
        if (!counting) result->bytes = run.bytes;
        result->ms[result->runs++] = run.ms;
        spent += run.ms;
    }
    result->down = run.down;
    result->steps = run.steps;
}

double bench_median(const struct bench_result *result)
{
    return result->ms[result->runs / 2];
}

static int by_time(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

syn_err bench_measure(const struct bench_work *work, const struct bench_material *m,
                      const struct bench_effort *effort, struct bench_result *result)
{
    int ends[2];
    *result = (struct bench_result){.err = SYN_EIO};
    if (pipe(ends) != 0) return SYN_EIO;
    (void)fflush(NULL);
    pid_t child = fork();
    if (child == 0) {
        struct bench_result mine = {0};
        measure(work, m, effort, &mine);
        _exit(write(ends[1], &mine, sizeof mine) == (ssize_t)sizeof mine ? 0 : 1);
    }
    (void)close(ends[1]);
    bool got = child > 0 && read(ends[0], result, sizeof *result) == (ssize_t)sizeof *result;
    (void)close(ends[0]);
    if (child > 0) (void)waitpid(child, NULL, 0);
    if (!got) return result->err = SYN_EIO;
    qsort(result->ms, result->runs, sizeof result->ms[0], by_time);
    return result->err;
}

static void print_json(const char *work, const char *trace, const struct bench_result *r)
{
    (void)printf("{\"work\":\"%s\",\"trace\":\"%s\",\"ms\":%.4f,\"min_ms\":%.4f,"
                 "\"max_ms\":%.4f,\"bytes\":%" PRIu64 ",\"peak_bytes\":%" PRIu64,
                 work, trace, bench_median(r), r->ms[0], r->ms[r->runs - 1], r->bytes, r->peak);
    if (r->worst_ms >= 0) (void)printf(",\"worst_ms\":%.4f", r->worst_ms);
    if (r->down > 0) (void)printf(",\"down_bytes\":%" PRIu64, r->down);
    if (r->rss > 0) (void)printf(",\"rss_bytes\":%" PRIu64, r->rss);
    (void)printf("}\n");
}

static void print_line(const char *work, const char *trace, const struct bench_result *r)
{
    (void)printf("%-11s%-20s%10.3f ms (%.3f to %.3f)%12" PRIu64 " bytes%12" PRIu64 " peak", work,
                 trace, bench_median(r), r->ms[0], r->ms[r->runs - 1], r->bytes, r->peak);
    if (r->worst_ms >= 0) (void)printf("  worst %.3f ms", r->worst_ms);
    if (r->down > 0) (void)printf("%12" PRIu64 " bytes down", r->down);
    if (r->rss > 0) (void)printf("%8" PRIu64 " resident", r->rss);
    (void)printf("\n");
}

/* ---- Which works, on what -------------------------------------------------------------------- */

/* Is this one of the comma-separated names? */
static bool is_listed(const char *list, const char *name, size_t len)
{
    for (const char *at = list; at != NULL; at = strchr(at, ',')) {
        if (*at == ',') at++;
        if (strcspn(at, ",") == len && strncmp(at, name, len) == 0) return true;
    }
    return false;
}

static bool is_chosen(const struct bench_options *options, const struct bench_work *work)
{
    return options->only == NULL || is_listed(options->only, work->name, strlen(work->name));
}

/* The first name in --only that no work has; NULL: all are known. */
static const char *unknown_work(const char *only)
{
    for (const char *at = only; at != NULL; at = strchr(at, ',')) {
        if (*at == ',') at++;
        bool known = false;
        for (size_t w = 0; w < bench_work_count && !known; w++)
            known = is_listed(bench_works[w].name, at, strcspn(at, ","));
        if (!known) return at;
    }
    return NULL;
}

static bool suits(const struct bench_work *work, const struct trace_record *rec)
{
    switch (work->needs) {
    case BENCH_NO_RECORD:
        return rec == NULL;
    case BENCH_LINEAR:
        return rec != NULL && rec->linear;
    case BENCH_CONCURRENT:
        return rec != NULL && !rec->linear;
    case BENCH_ANY:
        break;
    }
    return rec != NULL;
}

/* All chosen works that suit the material. */
static int bench_all(const struct bench_material *m, const char *name,
                     const struct bench_options *options)
{
    for (size_t w = 0; w < bench_work_count; w++) {
        const struct bench_work *work = &bench_works[w];
        if (!is_chosen(options, work) || !suits(work, m->rec)) continue;
        progress(work->name, w + 1, bench_work_count);
        struct bench_result result;
        syn_err err =
            bench_measure(work, m, options->once ? &bench_once : &bench_thorough, &result);
        progress_end();
        if (err != SYN_OK) return failed("%s: %s: %s", name, work->name, syn_strerror(err));
        (options->json ? print_json : print_line)(work->name, name, &result);
        (void)fflush(stdout);
    }
    return EXIT_DONE;
}

/* friendsforever.trace.gz -> friendsforever */
static void trace_name(const char *path, char out[TRACE_NAME])
{
    const char *slash = strrchr(path, '/');
    const char *base = slash != NULL ? slash + 1 : path;
    (void)snprintf(out, TRACE_NAME, "%.*s", (int)strcspn(base, "."), base);
}

static int bench_file(const char *path, const struct bench_options *options)
{
    struct trace trace;
    struct bench_material m;
    char why[256], name[TRACE_NAME];
    if (trace_read(path, &trace, why) != SYN_OK) return failed("%s: %s", path, why);
    trace_name(path, name);
    uint32_t greatest = 0;
    for (uint32_t i = 1; i < trace.count; i++)
        if (trace.records[i].events > trace.records[greatest].events) greatest = i;
    syn_err err = bench_material_make(&m, &trace.records[greatest]);
    int status =
        err == SYN_OK ? bench_all(&m, name, options) : failed("%s: %s", name, syn_strerror(err));
    bench_material_free(&m);
    trace_free(&trace);
    return status;
}

static int bench_traces(char **paths, int count, const struct bench_options *options)
{
    for (int i = 0; i < count; i++) { /* before the minutes that the first of them takes */
        FILE *file = fopen(paths[i], "rb");
        if (file == NULL) return failed("%s: cannot open it: %s", paths[i], strerror(errno));
        (void)fclose(file);
    }
    const struct bench_material nothing = {0};
    int status = bench_all(&nothing, "-", options); /* first, while the heap is as it was given */
    for (int i = 0; i < count; i++)
        if (bench_file(paths[i], options) != EXIT_DONE) status = EXIT_FAILED;
    return status;
}

static int run_bench(const struct command *self, int argc, char **argv)
{
    struct bench_options options = {0};
    const struct option_spec specs[] = {
        {"json", NULL, &options.json},     {"once", NULL, &options.once},
        {"only", &options.only, NULL},     {"growth", NULL, &options.growth},
        {"shapes", NULL, &options.shapes}, {"max", &options.max, NULL},
        {"svg", &options.svg, NULL},       {NULL, NULL, NULL}};
    if (!take_options(self, specs, &argc, argv, 0, 1 << 16)) return EXIT_USAGE;
    const char *unknown = unknown_work(options.only);
    uint64_t max = 1000000;
    if (unknown != NULL)
        return wrong_use(self, "no work \"%.*s\"", (int)strcspn(unknown, ","), unknown);
    if (options.max != NULL && (!read_number(options.max, BENCH_MAX_EVENTS, &max) || max < 1000))
        return wrong_use(self, "--max takes 1000 to %d", BENCH_MAX_EVENTS);
    if ((options.max != NULL || options.svg != NULL) && !options.growth)
        return wrong_use(self, "--max and --svg belong to --growth");
    if (argc == 0 && options.only == NULL && !options.growth && !options.shapes)
        return wrong_use(self, "what? TRACE..., --only, --growth or --shapes");
    bool works = argc > 0 || options.only != NULL;
    int status = works ? bench_traces(argv, argc, &options) : EXIT_DONE;
    if (status == EXIT_DONE && options.growth) status = bench_growth(max, options.svg);
    if (status == EXIT_DONE && options.shapes) status = bench_shapes();
    return finish_output(status);
}

const struct command commands_bench = {
    .name = "bench",
    .run = run_bench,
    .synopsis = "bench [TRACE...] [--only WORK,...] [--json] [--growth] [--shapes]",
    .summary = "measure the core on recorded editing sessions",
    .help =
        "Measures CPU time (median, least, most) and peak memory of the document on each trace's\n"
        "greatest record, each work in a process of its own:\n\n"
        "  local       every edit by one call (only records where nothing is concurrent)\n"
        "  events      the same, and what changed is kept and cleared after each edit\n"
        "  encode      document to bytes, state and history: what the smallest file needs\n"
        "  pack        state deflated: the bytes that someone new is sent\n"
        "  load        bytes of the state to text\n"
        "  ready       bytes of the state to the first local edit done\n"
        "  merge       bytes of the full history to text, without a snapshot\n"
        "  file        bytes of everything, history and state, to text\n"
        "  open        a document in an open database file to text\n"
        "  history     the same from its log alone, with what its events did beside it\n"
        "  send        every txn encoded by itself; bytes as its author sends them, and down, as\n"
        "              others get them\n"
        "  relay       every txn as a message of its own: decode, validate, apply\n"
        "  live        every txn of a concurrent record applied by itself: all, and the worst\n"
        "  catch-up    a replica 100 events behind, against the database file: the document is\n"
        "              opened, what is lacking found and encoded, then decoded and applied\n\n"
        "and once, before the traces (trace \"-\"):\n\n"
        "  many        open 10,000 documents of 1 KiB by two writers, one edit each; the bytes\n"
        "              are what one holds, with its history: by its allocator, and resident\n"
        "  many-state  the same without history\n"
        "  map         1,540 clients set one key at once; decode and apply one by one\n\n"
        "  --only WORK,...  only these\n"
        "  --once    one run of each, nothing counted beside it: for profilers\n"
        "  --growth  how time grows with a document's size, with the length of its history and "
        "with\n"
        "            the number of its concurrent writers, on histories made from a seed; a table\n"
        "  --max N   ... of up to N events (1000 to 10000000, default 1000000)\n"
        "  --svg FILE  ... and as a drawing\n"
        "  --shapes  what hostile histories cost per event, at three sizes each; a table\n"
        "  --json    one JSON object per line (works only):\n"
        "            {\"work\":..,\"trace\":..,\"ms\":..,\"min_ms\":..,\"max_ms\":..,\"bytes\":..,"
        "\"peak_bytes\":..}\n"
        "            where it applies also \"worst_ms\", \"down_bytes\", \"rss_bytes\"\n\n"
        "Examples:\n"
        "  syncline bench friendsforever.trace.gz\n"
        "  syncline bench --json automerge-paper.trace.gz | jq -r '[.work, .ms] | @tsv'\n"
        "  syncline bench --only many,many-state\n"
        "  syncline bench --growth --max 100000 --svg growth.svg\n",
};
