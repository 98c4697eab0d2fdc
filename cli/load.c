/* load.c -- `load`: options, workers, and the watch over them.  load.h has the layout. */
#include "load.h"

#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define WATCH_NS           (20 * 1000000)
#define CONNECT_PATIENCE_S 60u
#define SETTLE_S           30u
#define LEVEL_FOR_NS       (300u * 1000000u)
#define MAX_CLIENTS        100000u
#define FDS_PER_CLIENT     3u
#define RING_TOTAL         (1u << 20)

double load_slot_seconds(const struct load_options *options)
{
    double least = options->duration / LOAD_SLOTS;
    return least > 0.25 ? least : 0.25;
}

uint32_t load_fixed(const struct load_options *options)
{
    return options->documents * (options->readers + options->writers);
}

double load_expected(const struct load_options *options, double t)
{
    return mginf_mean(options->arrivals, options->stay, t);
}

/* ---- Options --------------------------------------------------------------------------------- */

struct load_words { /* as they were typed; NULL: not given */
    const char *documents, *readers, *writers, *idle, *crowd, *arrivals, *stay, *writing, *edits,
        *presence, *slow, *slow_for, *zipf, *connect_rate, *duration, *storm, *ramp, *processes,
        *seed, *prefix, *document, *away, *back_rate, *stop_readers, *report;
    bool json, no_verify;
};

static bool number_option(const struct command *self, const char *name, const char *text,
                          uint64_t min, uint64_t max, uint32_t *out)
{
    uint64_t n = 0;
    if (text == NULL) return true;
    if (!read_number(text, max, &n) || n < min) {
        (void)wrong_use(self, "--%s wants a number from %" PRIu64 " to %" PRIu64, name, min, max);
        return false;
    }
    *out = (uint32_t)n;
    return true;
}

static bool real_option(const struct command *self, const char *name, const char *text, double min,
                        double max, double *out)
{
    char *end = NULL;
    if (text == NULL) return true;
    double value = strtod(text, &end);
    if (end == text || *end != '\0' || !(value >= min && value <= max)) {
        (void)wrong_use(self, "--%s wants a number from %g to %g", name, min, max);
        return false;
    }
    *out = value;
    return true;
}

/* N@T:D: so many readers, after T seconds, for D seconds. */
static bool stop_option(const struct command *self, const char *text, struct load_options *o)
{
    char rest;
    if (text == NULL) return true;
    int n =
        sscanf(text, "%" SCNu32 "@%lf:%lf%c", &o->stop_readers, &o->stop_at, &o->stop_for, &rest);
    if (n == 3 && o->stop_readers > 0 && o->stop_at >= 0.0 && o->stop_for > 0.0) return true;
    (void)wrong_use(self, "--stop-readers wants N@FROM:SECONDS, like 100@10:60");
    return false;
}

/* Presets first, for single options change them. */
static bool read_presets(const struct command *self, const struct load_words *words,
                         struct load_options *o)
{
    uint32_t n = 0;
    if (words->crowd != NULL) {
        if (!number_option(self, "crowd", words->crowd, 1, MAX_CLIENTS, &n)) return false;
        o->readers = n;
        o->writers = 1;
    } else if (words->idle != NULL) {
        if (!number_option(self, "idle", words->idle, 1, MAX_CLIENTS, &n)) return false;
        o->documents = n >= 10 ? n / 10 : 1;
        o->readers = n >= 10 ? 10 : n;
    } else if (words->storm != NULL) {
        if (!number_option(self, "storm", words->storm, 1, MAX_CLIENTS, &n)) return false;
        o->storm = o->readers = n;
        o->connect_rate = 0.0;
    } else if (words->readers == NULL && words->writers == NULL && words->arrivals == NULL) {
        o->writers = 2;
    }
    return true;
}

static bool read_options(const struct command *self, const struct load_words *w,
                         struct load_options *o)
{
    char *end = NULL;
    if (!read_presets(self, w, o)) return false;
    if (w->seed != NULL) {
        o->seed = strtoull(w->seed, &end, 0);
        if (end == w->seed || *end != '\0') {
            (void)wrong_use(self, "--seed wants a number");
            return false;
        }
    }
    bool good = number_option(self, "documents", w->documents, 1, MAX_CLIENTS, &o->documents) &&
                number_option(self, "readers", w->readers, 0, MAX_CLIENTS, &o->readers) &&
                number_option(self, "writers", w->writers, 0, MAX_CLIENTS, &o->writers) &&
                number_option(self, "ramp", w->ramp, 2, 50, &o->ramp) &&
                number_option(self, "processes", w->processes, 1, LOAD_PROCESSES, &o->processes) &&
                real_option(self, "arrivals", w->arrivals, 0.001, 1e5, &o->arrivals) &&
                real_option(self, "stay", w->stay, 0.01, 1e6, &o->stay) &&
                real_option(self, "writing", w->writing, 0.0, 1.0, &o->writing) &&
                real_option(self, "edits", w->edits, 0.001, 1e5, &o->edits) &&
                real_option(self, "presence", w->presence, 0.0, 100.0, &o->presence) &&
                real_option(self, "slow", w->slow, 0.0, 1.0, &o->slow) &&
                real_option(self, "slow-for", w->slow_for, 0.01, 1e4, &o->slow_for) &&
                real_option(self, "away", w->away, 0.0, 1e4, &o->away) &&
                real_option(self, "back-rate", w->back_rate, 0.0, 1e6, &o->back_rate) &&
                stop_option(self, w->stop_readers, o) &&
                real_option(self, "zipf", w->zipf, 0.0, 5.0, &o->zipf) &&
                real_option(self, "connect-rate", w->connect_rate, 0.0, 1e6, &o->connect_rate) &&
                real_option(self, "duration", w->duration, 0.1, 1e6, &o->duration);
    if (!good) return false;
    if (w->prefix != NULL) o->prefix = w->prefix;
    o->document = w->document;
    if (o->document != NULL && o->documents != 1) {
        (void)wrong_use(self, "--document is one document, --documents are several");
        return false;
    }
    if (strlen(o->prefix) > 200 || (o->document != NULL && strlen(o->document) > 255)) {
        (void)wrong_use(self, "the document's name is too long");
        return false;
    }
    double most = (double)o->documents * ((double)o->readers + o->writers);
    if (most > MAX_CLIENTS) {
        (void)wrong_use(self, "at most %u clients", MAX_CLIENTS);
        return false;
    }
    o->verify = !w->no_verify;
    return true;
}

/* Every client needs descriptors, and the limit counts per process: raise it, and take as many
 * processes as it takes. */
static bool make_room(const struct command *self, struct load_options *o)
{
    struct rlimit limit = {0};
    (void)getrlimit(RLIMIT_NOFILE, &limit);
    limit.rlim_cur = limit.rlim_max;
    (void)setrlimit(RLIMIT_NOFILE, &limit);
    (void)getrlimit(RLIMIT_NOFILE, &limit);
    double present = o->arrivals * o->stay;
    double clients = load_fixed(o) + present + 6.0 * sqrt(present) + 8.0;
    double room = ((double)limit.rlim_cur - 64.0) / FDS_PER_CLIENT;
    if (room < 1.0) room = 1.0;
    double wanted = ceil(clients / room);
    if (wanted > LOAD_PROCESSES) {
        (void)failed("%.0f clients need %.0f descriptors in each of %u processes, and the limit is "
                     "%.0f: raise it, `ulimit -Hn` says how far (root: ulimit -n 100000)",
                     clients, clients * FDS_PER_CLIENT / LOAD_PROCESSES, LOAD_PROCESSES,
                     (double)limit.rlim_cur);
        return false;
    }
    (void)self;
    if (o->processes < (uint32_t)wanted) o->processes = (uint32_t)wanted;
    return true;
}

/* ---- Shared memory --------------------------------------------------------------------------- */

static struct load_shared *make_shared(const struct load_options *options)
{
    uint32_t ring = 64;
    while (ring < RING_TOTAL / options->documents && ring < 65536) ring *= 2;
    size_t docs = options->documents * sizeof(struct load_document);
    size_t edits = (size_t)options->documents * ring * sizeof(struct load_edit);
    size_t bytes = sizeof(struct load_shared) + docs + edits;
    struct load_shared *shared =
        mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (shared == MAP_FAILED) return NULL;
    shared->options = *options;
    shared->ring = ring;
    shared->bytes = bytes;
    shared->docs = (struct load_document *)(void *)(shared + 1);
    shared->edits = (struct load_edit *)(void *)(shared->docs + options->documents);
    pthread_mutexattr_t attributes;
    (void)pthread_mutexattr_init(&attributes);
    (void)pthread_mutexattr_setpshared(&attributes, PTHREAD_PROCESS_SHARED);
    for (uint32_t d = 0; d < options->documents; d++)
        (void)pthread_mutex_init(&shared->docs[d].lock, &attributes);
    (void)pthread_mutexattr_destroy(&attributes);
    return shared;
}

/* ---- Watching -------------------------------------------------------------------------------- */

struct totals {
    uint32_t connected, live, refused, level;
    uint64_t edits, deliveries;
};

static struct totals add_up(struct load_shared *shared)
{
    struct totals t = {0};
    for (uint32_t i = 0; i < shared->options.processes; i++) {
        t.connected += atomic_load(&shared->workers[i].connected);
        t.live += atomic_load(&shared->workers[i].live);
        t.refused += atomic_load(&shared->workers[i].refused);
        t.level += atomic_load(&shared->workers[i].level_in) == atomic_load(&shared->phase);
        t.edits += atomic_load(&shared->workers[i].edits);
        t.deliveries += atomic_load(&shared->workers[i].deliveries);
    }
    return t;
}

static void show(const struct load_shared *shared, const struct totals *t, uint32_t phase,
                 double share)
{
    static const char *const names[] = {"connecting", "running", "settling", "comparing", "ending"};
    char bar[31];
    if (!isatty(STDERR_FILENO)) return;
    (void)shared;
    for (uint32_t i = 0; i < 30; i++) bar[i] = (double)i < share * 30.0 ? '#' : '.';
    bar[30] = '\0';
    (void)fprintf(stderr,
                  "\r\033[K[%s] %s: %u connected, %u live, %" PRIu64 " edits, %" PRIu64 " seen",
                  bar, names[phase], t->connected, t->live, t->edits, t->deliveries);
}

/* One step of the phases; share: how far the present one is. */
static uint32_t next_phase(struct load_shared *shared, const struct totals *t, uint64_t since,
                           uint64_t *level_since, double *share)
{
    const struct load_options *o = &shared->options;
    uint32_t phase = atomic_load(&shared->phase), fixed = load_fixed(o);
    uint64_t now = load_now(), passed = now - since;
    bool nobody = fixed > 0 && t->refused >= fixed && o->arrivals <= 0.0;
    bool stop = nobody || atomic_load(&shared->stop) != 0, level = t->level == o->processes;
    if (!level) *level_since = now;
    switch (phase) {
    case LOAD_CONNECTING:
        *share = fixed > 0 ? (double)t->live / fixed : 1.0;
        if (t->live + t->refused < fixed && !stop && passed < CONNECT_PATIENCE_S * NS_PER_S)
            return phase;
        atomic_store(&shared->began, now + 50000000u); /* later than any worker hears of it */
        return LOAD_RUNNING;
    case LOAD_RUNNING:
        *share = (double)passed / (double)NS_PER_S / o->duration;
        return *share < 1.0 && !stop ? phase : LOAD_SETTLING;
    case LOAD_SETTLING:
        *share = (double)passed / (double)(SETTLE_S * NS_PER_S);
        if (passed > SETTLE_S * NS_PER_S) return LOAD_COMPARING;
        return now - *level_since > LEVEL_FOR_NS ? LOAD_COMPARING : phase;
    default:
        *share = 1.0;
        return level || passed > SETTLE_S * NS_PER_S ? LOAD_ENDING : phase;
    }
}

static struct load_shared *interrupted; /* by SIGINT: a handler has no argument */

static void on_interrupt(int signal_number)
{
    (void)signal_number;
    atomic_store(&interrupted->stop, 2);
}

/* Until the end; how long the run itself was, in seconds. */
static double watch(struct load_shared *shared)
{
    uint64_t since = load_now(), level_since = since, run_end = 0;
    const struct timespec nap = {.tv_nsec = WATCH_NS};
    for (uint32_t phase = 0; phase != LOAD_ENDING;) {
        double share = 0.0;
        (void)nanosleep(&nap, NULL);
        struct totals t = add_up(shared);
        uint32_t next = next_phase(shared, &t, since, &level_since, &share);
        show(shared, &t, phase, share);
        if (next == phase) continue;
        since = level_since = load_now();
        if (next == LOAD_SETTLING) run_end = since;
        atomic_store(&shared->phase, phase = next);
    }
    progress_end();
    uint64_t began = atomic_load(&shared->began);
    return run_end > began ? (double)(run_end - began) / (double)NS_PER_S : 0.0;
}

static bool fork_workers(struct load_shared *shared, pid_t pids[LOAD_PROCESSES])
{
    for (uint32_t i = 0; i < shared->options.processes; i++) {
        pids[i] = fork();
        if (pids[i] == 0) {
            load_work(shared, i);
            _exit(0);
        }
        if (pids[i] > 0) continue;
        atomic_store(&shared->stop, 1);
        atomic_store(&shared->phase, LOAD_ENDING);
        return false;
    }
    return true;
}

/* ---- The result ------------------------------------------------------------------------------ */

static void merge_slots(struct load_worker_figures *into, const struct load_worker_figures *from)
{
    for (uint32_t s = 0; s < LOAD_SLOTS; s++) {
        into->slots[s].connections += from->slots[s].connections;
        into->slots[s].edits += from->slots[s].edits;
        into->slots[s].deliveries += from->slots[s].deliveries;
        if (from->slots[s].seen.count > 0) hist_merge(&into->slots[s].seen, &from->slots[s].seen);
    }
}

static void merge_reasons(struct load_worker_figures *into, const struct load_worker_figures *from)
{
    for (uint32_t r = 0; r < LOAD_REASONS && from->reason_counts[r] > 0; r++) {
        uint32_t i = 0;
        while (i + 1 < LOAD_REASONS && into->reason_counts[i] > 0 &&
               strcmp(into->reasons[i], from->reasons[r]) != 0)
            i++;
        if (into->reason_counts[i] == 0) memcpy(into->reasons[i], from->reasons[r], 96);
        into->reason_counts[i] += from->reason_counts[r];
    }
}

static void merge_figures(struct load_worker_figures *into, const struct load_worker_figures *from)
{
    into->edits += from->edits;
    into->deliveries += from->deliveries;
    into->acked += from->acked;
    into->rejected += from->rejected;
    into->opened += from->opened;
    atomic_fetch_add(&into->refused, atomic_load(&from->refused));
    into->left += from->left;
    into->failures += from->failures;
    into->lost_sight += from->lost_sight;
    into->presences += from->presences;
    into->presence_seen += from->presence_seen;
    into->bytes_in += from->bytes_in;
    into->bytes_out += from->bytes_out;
    into->frames_in += from->frames_in;
    into->pauses += from->pauses;
    into->compared += from->compared;
    if (from->first_open > 0 && (into->first_open == 0 || from->first_open < into->first_open))
        into->first_open = from->first_open;
    if (from->last_live > into->last_live) into->last_live = from->last_live;
    for (uint32_t c = 0; c < LOAD_CODES; c++) into->codes[c] += from->codes[c];
    hist_merge(&into->handshake, &from->handshake);
    hist_merge(&into->join, &from->join);
    hist_merge(&into->rejoin, &from->rejoin);
    hist_merge(&into->join_bytes, &from->join_bytes);
    hist_merge(&into->rejoin_bytes, &from->rejoin_bytes);
    hist_merge(&into->ack, &from->ack);
    hist_merge(&into->seen, &from->seen);
    hist_merge(&into->seen_slow, &from->seen_slow);
    hist_merge(&into->seen_before, &from->seen_before);
    hist_merge(&into->seen_while, &from->seen_while);
    hist_merge(&into->late, &from->late);
    merge_slots(into, from);
    merge_reasons(into, from);
    if (into->fault[0] == '\0') memcpy(into->fault, from->fault, sizeof into->fault);
}

static bool test_gaps(struct load_shared *shared, struct load_result *result)
{
    size_t count = 0, cap = (size_t)shared->options.processes * LOAD_SAMPLES;
    double *gaps = malloc(2 * cap * sizeof *gaps), *planned = gaps + cap;
    if (gaps == NULL) return false;
    for (uint32_t i = 0; i < shared->options.processes; i++) {
        const struct load_worker_figures *from = &shared->workers[i];
        memcpy(gaps + count, from->gaps, from->gap_count * sizeof *gaps);
        memcpy(planned + count, from->planned, from->gap_count * sizeof *gaps);
        count += from->gap_count;
    }
    result->gap_count = (uint32_t)count;
    result->ks = count > 0 ? ks_exponential(gaps, count) : 0.0;
    result->ks_planned = count > 0 ? ks_exponential(planned, count) : 0.0;
    result->ks_p = ks_probability(result->ks, count);
    result->ks_planned_p = ks_probability(result->ks_planned, count);
    free(gaps);
    return true;
}

static bool make_result(struct load_shared *shared, struct load_result *result)
{
    const struct load_options *o = &shared->options;
    result->options = o;
    result->sum = calloc(1, sizeof *result->sum);
    if (result->sum == NULL || !test_gaps(shared, result)) return false;
    for (uint32_t i = 0; i < o->processes; i++) merge_figures(result->sum, &shared->workers[i]);
    for (uint32_t d = 0; d < o->documents; d++) {
        const struct load_document *doc = &shared->docs[d];
        result->compared_documents += doc->compared > 0;
        result->differing += doc->differing > 0;
        uint64_t wanted = doc->base_events + doc->edits;
        if (o->verify && doc->compared > 0 && doc->most_events < wanted)
            result->missing += wanted - doc->most_events;
    }
    double slots = ceil(result->seconds / load_slot_seconds(o) - 1e-3);
    result->slots = slots < LOAD_SLOTS ? (uint32_t)slots : LOAD_SLOTS;
    result->interrupted = atomic_load(&shared->stop) == 2;
    return true;
}

static int judge(const struct load_result *result)
{
    const struct load_worker_figures *sum = result->sum;
    if (sum->fault[0] != '\0') return failed("a worker gave up: %s", sum->fault);
    if (result->differing > 0)
        return failed("%u documents are not the same at all their clients", result->differing);
    if (result->missing > 0)
        return failed("%" PRIu64 " edits are nowhere any more", result->missing);
    if (sum->refused > 0 && sum->join.count == 0)
        return failed("no client may open its document (see the codes)");
    if (!result->options->verify) return EXIT_DONE;
    uint64_t open = sum->edits - sum->acked - sum->rejected;
    if (open > 0) return failed("%" PRIu64 " edits were not acknowledged", open);
    return EXIT_DONE;
}

static int report_all(struct load_shared *shared, struct load_result *result,
                      const struct load_words *words)
{
    if (!make_result(shared, result)) return failed("%s", syn_strerror(SYN_ENOMEM));
    syn_err err = SYN_OK;
    if (words->json)
        err = load_print_json(result);
    else
        load_print(stdout, result);
    int status = err == SYN_OK ? finish_output(EXIT_DONE) : failed("%s", syn_strerror(err));
    if (words->report != NULL && !load_report(words->report, result))
        status = failed("cannot write %s: %s", words->report, strerror(errno));
    int verdict = judge(result);
    free(result->sum);
    return status != EXIT_DONE ? status : verdict;
}

static int load(struct load_options *options, const struct load_words *words)
{
    struct load_result result = {0};
    pid_t pids[LOAD_PROCESSES] = {0};
    char why[256] = "";
    result.calibrated_us = load_calibrate(options, why);
    if (result.calibrated_us <= 0.0) return failed("%s: %s", options->url, why);
    struct load_shared *shared = make_shared(options);
    if (shared == NULL) return failed("%s", syn_strerror(SYN_ENOMEM));
    interrupted = shared;
    (void)signal(SIGINT, on_interrupt);
    (void)signal(SIGTERM, on_interrupt);
    if (fork_workers(shared, pids)) result.seconds = watch(shared);
    for (uint32_t i = 0; i < options->processes; i++)
        if (pids[i] > 0) (void)waitpid(pids[i], NULL, 0);
    int status = report_all(shared, &result, words);
    (void)munmap(shared, shared->bytes);
    return status;
}

static int run_load(const struct command *self, int argc, char **argv)
{
    struct load_words w = {0};
    char prefix[40];
    const char *token = getenv("SYNCLINE_TOKEN");
    struct load_options options = {.token = token != NULL ? token : "",
                                   .ca = getenv("SYNCLINE_CA"),
                                   .prefix = prefix,
                                   .documents = 1,
                                   .stay = 10.0,
                                   .writing = 0.2,
                                   .edits = 5.0,
                                   .slow_for = 2.0,
                                   .connect_rate = 1000.0,
                                   .duration = 10.0,
                                   .processes = 1};
    const struct option_spec specs[] = {
        {"documents", &w.documents, NULL}, {"readers", &w.readers, NULL},
        {"writers", &w.writers, NULL},     {"crowd", &w.crowd, NULL},
        {"idle", &w.idle, NULL},           {"storm", &w.storm, NULL},
        {"arrivals", &w.arrivals, NULL},   {"stay", &w.stay, NULL},
        {"writing", &w.writing, NULL},     {"zipf", &w.zipf, NULL},
        {"edits", &w.edits, NULL},         {"ramp", &w.ramp, NULL},
        {"presence", &w.presence, NULL},   {"slow", &w.slow, NULL},
        {"slow-for", &w.slow_for, NULL},   {"connect-rate", &w.connect_rate, NULL},
        {"duration", &w.duration, NULL},   {"processes", &w.processes, NULL},
        {"seed", &w.seed, NULL},           {"prefix", &w.prefix, NULL},
        {"document", &w.document, NULL},   {"away", &w.away, NULL},
        {"back-rate", &w.back_rate, NULL}, {"stop-readers", &w.stop_readers, NULL},
        {"report", &w.report, NULL},       {"json", NULL, &w.json},
        {"no-verify", NULL, &w.no_verify}, {NULL, NULL, NULL}};
    if (!take_options(self, specs, &argc, argv, 1, 1)) return EXIT_USAGE;
    options.url = argv[0];
    if (!fill_random(&options.seed, sizeof options.seed)) return failed("no random numbers");
    options.seed >>= 32; /* short enough to be typed */
    if (!read_options(self, &w, &options)) return EXIT_USAGE;
    if (w.prefix == NULL) (void)snprintf(prefix, sizeof prefix, "load-%" PRIx64, options.seed);
    if (!make_room(self, &options)) return EXIT_FAILED;
    return load(&options, &w);
}

const struct command commands_load = {
    .name = "load",
    .run = run_load,
    .synopsis = "load URL [--crowd N | --idle N | --storm N] [--documents N] [--writers N] ...",
    .summary = "put a server under load, and compare it with theory",
    .help =
        "Many clients in few processes, each with a document of its own, real edits and the real\n"
        "protocol.  The load is open: what is due happens when it is due, and latencies count "
        "from\n"
        "then, whatever the server does.  Printed: concurrent connections beside M/G/inf,\n"
        "handshakes beside M/D/1, a Kolmogorov-Smirnov test of the generator's own gaps, "
        "latencies\n"
        "from edit to durable answer and to being seen by others; and whether all clients of a\n"
        "document are equal in the end.  Ctrl-C ends early, with the report.\n\n"
        "  --documents N      how many (1)\n"
        "  --writers N        clients of each document that write, there from the start (2 if\n"
        "                     nothing else is asked for)\n"
        "  --readers N        ... that only read (0)\n"
        "  --arrivals RATE    clients that come, per second, as a Poisson process (0)\n"
        "  --stay SECONDS     ... and stay for exponential times of this mean (10)\n"
        "  --writing SHARE    ... and the share of them that writes (0.2)\n"
        "  --zipf S           ... to document k with weight k^-S (0: all alike)\n"
        "  --edits RATE       edits per second of each writer, Poisson (5)\n"
        "  --ramp N           in N steps up to that rate: throughput against latency\n"
        "  --presence RATE    cursor moves per second of each client (0)\n"
        "  --slow SHARE       of the readers stop reading now and then (0)\n"
        "  --slow-for SECONDS ... for so long (2)\n"
        "  --stop-readers N@T:D  N readers of the start stop after T seconds for D seconds; what\n"
        "                     the others saw before and meanwhile is told apart\n"
        "  --connect-rate R   the clients of the start come at this rate (1000; 0: all at once)\n"
        "  --duration SECONDS of the run itself (10)\n"
        "  --processes N      to generate the load with (1, more if descriptors need it)\n"
        "  --seed N           of everything drawn (random, printed)\n"
        "  --prefix NAME      documents are NAME-0 ... (load-SEED)\n"
        "  --document NAME    this one document instead\n"
        "  --crowd N          one document, one writer, N readers\n"
        "  --idle N           N connections in N/10 documents, nobody writes\n"
        "  --storm N          N readers all at once; cut off half-way, they come back all at once\n"
        "                     (writers, if there are, stay and go on)\n"
        "  --away SECONDS     ... after so long (0)\n"
        "  --back-rate R      ... and at this rate (0: all at once)\n"
        "  --no-verify        do not compare the documents of all clients at the end\n"
        "  --json             one JSON object\n"
        "  --report FILE      also an HTML page with plots\n\n"
        "A token: SYNCLINE_TOKEN.  Exit status 1: clients differ, or edits were lost or not\n"
        "acknowledged.\n\n"
        "Examples:\n"
        "  syncline load ws://127.0.0.1:7700 --crowd 1000 --edits 20\n"
        "  syncline load ws://127.0.0.1:7700 --documents 1000 --writers 2\n"
        "  syncline load ws://127.0.0.1:7700 --crowd 1000 --stop-readers 100@10:60 --duration 90\n"
        "  syncline load ws://127.0.0.1:7700 --arrivals 50 --stay 5 --duration 60 --report "
        "l.html\n",
};
