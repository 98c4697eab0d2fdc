/* top.c -- `top`: a server's metrics on one screen, again and again.
 *
 * Two readings of /metrics, old and new, give the rates; both are tables of name and number.  What
 * the server sends is taken for numbers alone, and its names are never printed as they came: it
 * might not be a server of ours, and this is a terminal. */
#include "http.h"
#include "target.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define SAMPLES    1024u
#define NAME_BYTES 96u

struct sample {
    char name[NAME_BYTES];
    double value;
};

struct reading {
    struct sample *samples;
    uint32_t count;
    double at; /* seconds */
};

static double now_s(void)
{
    struct timespec now;
    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

/* ---- Reading --------------------------------------------------------------------------------- */

static void parse(char *page, struct reading *out)
{
    char *rest = NULL;
    out->count = 0;
    for (char *line = strtok_r(page, "\n", &rest); line != NULL;
         line = strtok_r(NULL, "\n", &rest)) {
        char *space = strrchr(line, ' ');
        if (strncmp(line, "syncline_", 9) != 0 || space == NULL) continue;
        size_t len = (size_t)(space - line) - 9;
        if (len >= NAME_BYTES || out->count == SAMPLES) continue;
        struct sample *sample = &out->samples[out->count++];
        memcpy(sample->name, line + 9, len);
        sample->name[len] = '\0';
        sample->value = strtod(space + 1, NULL);
        if (!(sample->value >= 0 && sample->value < 1e18)) sample->value = 0;
    }
}

static int read_metrics(const char *url, uint32_t timeout_ms, struct reading *out)
{
    char *page = NULL;
    int status = server_page(url, "/metrics", timeout_ms, &page);
    if (status != EXIT_DONE) return status;
    out->at = now_s();
    parse(page, out);
    free(page);
    return out->count != 0 ? EXIT_DONE : failed("%s has no metrics of a Syncline server", url);
}

static double value(const struct reading *r, const char *name)
{
    for (uint32_t i = 0; i < r->count; i++)
        if (strcmp(r->samples[i].name, name) == 0) return r->samples[i].value;
    return 0;
}

/* ---- Showing --------------------------------------------------------------------------------- */

struct view {
    const struct reading *old, *new;
    const char *end; /* of a line */
};

static double rate(const struct view *v, const char *name)
{
    double time = v->new->at - v->old->at, more = value(v->new, name) - value(v->old, name);
    return time > 0 && more > 0 ? more / time : 0;
}

static const char *short_number(double number, const char *unit, char out[24])
{
    static const char *const powers[] = {"", "k", "M", "G", "T"};
    size_t power = 0;
    while (number >= 10000 && power < 4) {
        number /= 1000;
        power++;
    }
    bool whole = number >= 10 || number - (double)(int)number < 0.05;
    bool spaced = powers[power][0] != '\0' || unit[0] != '\0';
    (void)snprintf(out, 24, "%.*f%s%s%s", whole ? 0 : 1, number, spaced ? " " : "", powers[power],
                   unit);
    return out;
}

static void show(const char *label, double number, const char *unit)
{
    char text[24], cell[64];
    (void)snprintf(cell, sizeof cell, "%s%s%s", label, label[0] != '\0' ? " " : "",
                   short_number(number, unit, text));
    (void)printf("  %-18s", cell);
}

static void title(const char *name)
{
    (void)printf("%-12s", name);
}

static void show_refusals(const struct view *v)
{
    uint32_t shown = 0;
    title("refused");
    for (uint32_t i = 0; i < v->new->count &&shown < 6; i++) {
        const struct sample *sample = &v->new->samples[i];
        const char *code = strchr(sample->name, '"');
        if (strncmp(sample->name, "refused_total{", 14) != 0 || code == NULL || sample->value <= 0)
            continue;
        int len = (int)strspn(code + 1, "ABCDEFGHIJKLMNOPQRSTUVWXYZ_");
        (void)printf("  %.*s %.0f", len, code + 1, sample->value);
        shown++;
    }
    (void)printf("%s%s", shown == 0 ? "  nothing so far" : "", v->end);
}

static void show_work(const struct view *v)
{
    title("connections");
    show("open", value(v->new, "connections"), "");
    show("new", rate(v, "connections_total"), "/s");
    show("channels", value(v->new, "channels"), "");
    show("documents", value(v->new, "documents_loaded"), "");
    (void)printf("%s", v->end);
    title("events");
    show("in", rate(v, "events_total"), "/s");
    show("again", rate(v, "duplicates_total"), "/s");
    show("refused", rate(v, "nacks_total"), "/s");
    (void)printf("%s", v->end);
    title("traffic");
    show("in", rate(v, "bytes_in_total"), "B/s");
    show("out", rate(v, "bytes_out_total"), "B/s");
    show("frames in", rate(v, "frames_in_total"), "/s");
    show("out", rate(v, "frames_out_total"), "/s");
    (void)printf("%s", v->end);
}

static void show_store(const struct view *v)
{
    title("commits");
    show("", rate(v, "commits_total"), "/s");
    show("p50", value(v->new, "commit_seconds_p50") * 1000, "ms");
    show("p99", value(v->new, "commit_seconds_p99") * 1000, "ms");
    show("failed", value(v->new, "commits_failed_total"), "");
    show("WAL", value(v->new, "wal_pages"), "pages");
    (void)printf("%s", v->end);
    title("readers");
    show("behind", value(v->new, "lagging_channels"), "");
    show("the slowest by", value(v->new, "lag_events_max"), "events");
    show("waiting for the disk", value(v->new, "held_answers"), "");
    (void)printf("%s", v->end);
}

static bool has_loops(const struct view *v)
{
    return value(v->new, "loop_busy_seconds_total{loop=\"1\"}") > 0;
}

/* Of those that have sockets alone. */
static double busiest_loop(const struct view *v)
{
    double most = 0;
    for (int i = 1; i <= 16; i++) {
        char name[48];
        (void)snprintf(name, sizeof name, "loop_busy_seconds_total{loop=\"%d\"}", i);
        double busy = rate(v, name);
        if (busy > most) most = busy;
    }
    return most;
}

static void show_process(const struct view *v)
{
    title("process");
    show("busy", rate(v, "loop_busy_seconds_total{loop=\"0\"}") * 100, "%");
    if (has_loops(v)) show("sockets", busiest_loop(v) * 100, "%");
    show("memory", value(v->new, "memory_bytes"), "B");
    show("documents", value(v->new, "document_bytes"), "B");
    (void)printf("%s", v->end);
    title("HTTP");
    show("2xx", rate(v, "http_answers_total{status=\"2xx\"}"), "/s");
    show("4xx", rate(v, "http_answers_total{status=\"4xx\"}"), "/s");
    show("5xx", rate(v, "http_answers_total{status=\"5xx\"}"), "/s");
    show("feeds", value(v->new, "feeds"), "");
    (void)printf("%s", v->end);
}

static void show_all(const char *url, const struct view *v)
{
    uint64_t up = (uint64_t)value(v->new, "uptime_seconds");
    (void)printf("%.60s  up %" PRIu64 " d %02" PRIu64 ":%02" PRIu64 ":%02" PRIu64 "  %s%s%s", url,
                 up / 86400, up / 3600 % 24, up / 60 % 60, up % 60,
                 value(v->new, "read_only") > 0 ? "READ-ONLY: the disk is full or failing" : "well",
                 v->end, v->end);
    show_work(v);
    show_store(v);
    show_process(v);
    show_refusals(v);
}

/* ---- The command ----------------------------------------------------------------------------- */

static void wait_ms(uint32_t ms)
{
    struct timespec pause = {.tv_sec = ms / 1000, .tv_nsec = (long)(ms % 1000) * 1000000};
    (void)nanosleep(&pause, NULL);
}

/* Each screen is written over the one before: erase to the end of lines, then of the screen. */
static int watch(const char *url, uint32_t timeout_ms, uint32_t interval_ms, bool once,
                 struct reading *old, struct reading *new)
{
    const struct view view = {old, new, once ? "\n" : "\x1b[K\n"};
    int status = read_metrics(url, timeout_ms, old);
    while (status == EXIT_DONE) {
        wait_ms(interval_ms);
        status = read_metrics(url, timeout_ms, new);
        if (status != EXIT_DONE) break;
        if (!once) (void)fputs("\x1b[H", stdout);
        show_all(url, &view);
        if (!once) (void)fputs("\x1b[J", stdout);
        status = finish_output(EXIT_DONE);
        if (once) break;
        struct reading last = *old;
        *old = *new;
        *new = last;
    }
    return status;
}

static int run_top(const struct command *self, int argc, char **argv)
{
    const char *timeout = NULL, *interval = NULL;
    uint64_t seconds = 1;
    bool once = false;
    const struct option_spec specs[] = {{"timeout", &timeout, NULL},
                                        {"interval", &interval, NULL},
                                        {"once", NULL, &once},
                                        {NULL, NULL, NULL}};
    if (!take_options(self, specs, &argc, argv, 1, 1)) return EXIT_USAGE;
    if (interval != NULL && (!read_number(interval, 3600, &seconds) || seconds == 0))
        return wrong_use(self, "--interval is 1 to 3600 seconds, not %s", interval);
    uint32_t timeout_ms = read_timeout(timeout);
    if (timeout_ms == 0) return EXIT_USAGE;
    if (!is_url(argv[0]))
        return wrong_use(self, "%s is no server (like ws://127.0.0.1:7700)", argv[0]);
    if (!once && !isatty(STDOUT_FILENO)) once = true;
    struct reading old = {.samples = calloc(SAMPLES, sizeof(struct sample))};
    struct reading new = {.samples = calloc(SAMPLES, sizeof(struct sample))};
    int status = EXIT_FAILED;
    if (old.samples == NULL || new.samples == NULL)
        status = failed("%s", syn_strerror(SYN_ENOMEM));
    else
        status = watch(argv[0], timeout_ms, (uint32_t)seconds * 1000, once, &old, &new);
    free(old.samples);
    free(new.samples);
    return status;
}

const struct command commands_top = {
    .name = "top",
    .run = run_top,
    .synopsis = "top URL [--once] [--interval SECONDS]",
    .summary = "watch what a server does",
    .help =
        "Shows connections, traffic, commits, slow readers and memory of a running server, from\n"
        "its /metrics, until Ctrl-C.  Written into a file or a pipe: once.\n\n"
        "  --once             one reading (its rates are those of one interval), as plain text\n"
        "  --interval SECONDS how often (1)\n"
        "  --timeout SECONDS  how long to wait for the server (10)\n"
        "\nExamples:\n"
        "  syncline top ws://127.0.0.1:7700\n"
        "  syncline top wss://notes.example.org --once\n",
};
