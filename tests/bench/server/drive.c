/* drive.c -- the modes; drive.h has the layout.  Each prints JSON, one object per line. */
#include "drive.h"

#include <arpa/inet.h>
#include <math.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#define EVENTS     512
#define PATIENCE_S 30u

struct options {
    const char *mode, *doc, *update, *flood;
    enum speech speech;
    uint32_t clients, docs, processes, count, behind, pad, window, quiet_ms;
    double seconds, rate, limit_ms;
    const char *rates;
    long pid;
};

/* One per process; only its owner writes. */
struct figures {
    _Atomic uint32_t synced, closed;
    _Atomic uint64_t edits, deliveries;
    struct hist seen, late;
    double cpu; /* of this process, in this step */
    char why[160];
};

struct shared {
    _Atomic uint32_t step, stop, done; /* step: counts up with every rate */
    _Atomic uint64_t begins, ends;
    _Atomic uint32_t made; /* edits of the one writer */
    double rate;
    struct figures figures[MAX_PROCS];
    uint64_t due[MAX_EDITS];
};

static struct options options = {.doc = "bench",
                                 .flood = "edits",
                                 .clients = 1000,
                                 .docs = 1,
                                 .processes = 2,
                                 .count = 1000,
                                 .window = 64,
                                 .quiet_ms = 400,
                                 .seconds = 4.0,
                                 .rate = 5.0,
                                 .limit_ms = 100.0,
                                 .rates = "20"};
static struct shared *shared;
static struct figures *mine;
static int epoll_fd;
static uint64_t random_state = 0x9e3779b97f4a7c15u;

static double draw(void) /* exponential, mean 1 */
{
    random_state += 0x9e3779b97f4a7c15u;
    uint64_t z = random_state;
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
    z = (z ^ z >> 27) * 0x94d049bb133111ebu;
    z ^= z >> 31;
    return -log(((double)(z >> 11) + 0.5) / 9007199254740992.0);
}

static void fail(const char *what)
{
    (void)fprintf(stderr, "drive: %s\n", what);
    exit(1);
}

static struct conn *new_conns(uint32_t count)
{
    struct conn *conns = calloc(count, sizeof *conns);
    if (conns == NULL) fail("out of memory");
    return conns;
}

static void turn(int timeout_ms)
{
    struct epoll_event events[EVENTS];
    int n = epoll_wait(epoll_fd, events, EVENTS, timeout_ms);
    for (int i = 0; i < n; i++) conn_event(epoll_fd, events[i].data.ptr, events[i].events);
}

static void begin(struct conn *c, const char *doc, const struct handler *handler)
{
    (void)snprintf(c->doc, sizeof c->doc, "%s", doc);
    if (!conn_begin(epoll_fd, c, options.speech, handler)) fail("cannot connect");
}

/* ---- What comes in --------------------------------------------------------------------------- */

static void on_synced(struct conn *c)
{
    (void)c;
    atomic_fetch_add(&mine->synced, 1);
}

static void on_closed(struct conn *c, const char *why)
{
    (void)c;
    atomic_fetch_add(&mine->closed, 1);
    if (mine->why[0] == '\0') (void)snprintf(mine->why, sizeof mine->why, "%s", why);
}

static void on_edit(struct conn *c, uint32_t writer, uint32_t number)
{
    (void)writer;
    if (c->writes || number >= MAX_EDITS) return;
    uint64_t due = shared->due[number], now = c->last_data;
    if (due == 0) return;
    hist_add(&mine->seen, now > due ? (now - due) / 1000 : 0);
    atomic_store_explicit(&mine->deliveries, mine->seen.count, memory_order_relaxed);
}

static const struct handler plain = {.synced = on_synced, .edit = on_edit, .closed = on_closed};

/* All of a list, `window` of them under way at once. */
static void connect_all(struct conn *conns, uint32_t count, const char *prefix, uint32_t docs,
                        uint32_t window)
{
    char name[64];
    uint64_t end = now_ns() + PATIENCE_S * NS_PER_S;
    uint32_t begun = 0, before = atomic_load(&mine->synced) + atomic_load(&mine->closed);
    for (;;) {
        uint32_t done = atomic_load(&mine->synced) + atomic_load(&mine->closed) - before;
        while (begun < count && begun - done < window) {
            (void)snprintf(name, sizeof name, docs > 1 ? "%s-%u" : "%s", prefix, begun % docs);
            begin(&conns[begun++], name, &plain);
        }
        if (done >= count || now_ns() > end) return;
        turn(10);
    }
}

/* ---- fanout: one writer, many readers, rate after rate --------------------------------------- */

static void write_due(struct conn *writer, uint64_t *next, double rate)
{
    uint64_t now = now_ns(), ends = atomic_load(&shared->ends);
    while (*next <= now && *next < ends) {
        uint32_t number = writer->made;
        if (number + 1 >= MAX_EDITS || writer->state != CONN_OPEN) break;
        shared->due[number] = *next;
        if (!speak_edit(writer, 0)) break; /* no credit: due it stays */
        hist_add(&mine->late, (now - *next) / 1000);
        atomic_store(&shared->made, number + 1);
        *next += (uint64_t)(draw() / rate * (double)NS_PER_S);
    }
    conn_flush(epoll_fd, writer);
}

static void run_writer(void)
{
    struct conn *writer = new_conns(1);
    uint32_t step = 0;
    uint64_t next = 0;
    writer->writes = true;
    writer->peer = now_ns() << 1 | 1;
    connect_all(writer, 1, options.doc, 1, 1);
    while (atomic_load(&shared->stop) == 0) {
        if (atomic_load(&shared->step) != step) {
            step = atomic_load(&shared->step);
            memset(&mine->late, 0, sizeof mine->late);
            mine->cpu = -process_cpu(getpid());
            next = atomic_load(&shared->begins);
        }
        uint64_t now = now_ns(), ends = atomic_load(&shared->ends);
        if (step > 0 && now < ends) write_due(writer, &next, shared->rate);
        if (step > 0 && now >= ends && mine->cpu < 0) {
            mine->cpu += process_cpu(getpid());
            atomic_fetch_add(&shared->done, 1);
        }
        bool soon = next < now + 2000000 && now < ends;
        turn(soon ? 0 : 2);
        if (soon) (void)usleep(200); /* and not in a circle: the server may need the processor */
    }
}

static void run_readers(uint32_t count)
{
    struct conn *conns = new_conns(count);
    uint32_t step = 0;
    connect_all(conns, count, options.doc, 1, 16);
    while (atomic_load(&shared->stop) == 0) {
        if (atomic_load(&shared->step) != step) {
            step = atomic_load(&shared->step);
            memset(&mine->seen, 0, sizeof mine->seen);
            atomic_store(&mine->deliveries, 0);
            mine->cpu = -process_cpu(getpid());
        }
        if (step > 0 && now_ns() >= atomic_load(&shared->ends) && mine->cpu < 0) {
            mine->cpu += process_cpu(getpid());
            atomic_fetch_add(&shared->done, 1);
        }
        turn(5);
    }
}

static pid_t spawn(uint32_t index, void (*run)(uint32_t), uint32_t argument)
{
    pid_t pid = fork();
    if (pid != 0) return pid;
    (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
    mine = &shared->figures[index];
    random_state += index * 0x1234567u;
    epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    run(argument);
    _exit(0);
}

static void writer_main(uint32_t argument)
{
    (void)argument;
    run_writer();
}

static void pause_ms(unsigned ms)
{
    (void)usleep(ms * 1000);
}

static uint64_t deliveries(void)
{
    uint64_t sum = 0;
    for (uint32_t i = 0; i < MAX_PROCS; i++) sum += atomic_load(&shared->figures[i].deliveries);
    return sum;
}

static void wait_synced(uint32_t wanted)
{
    uint64_t end = now_ns() + PATIENCE_S * NS_PER_S;
    for (;;) {
        uint32_t synced = 0, closed = 0;
        for (uint32_t i = 0; i < MAX_PROCS; i++) {
            synced += atomic_load(&shared->figures[i].synced);
            closed += atomic_load(&shared->figures[i].closed);
        }
        if (synced >= wanted) return;
        if (closed > 0 || now_ns() > end) {
            for (uint32_t i = 0; i < MAX_PROCS; i++)
                if (shared->figures[i].why[0] != '\0')
                    (void)fprintf(stderr, "drive: %s\n", shared->figures[i].why);
            (void)fprintf(stderr, "drive: %u of %u clients came in\n", synced, wanted);
            exit(1);
        }
        pause_ms(10);
    }
}

/* The edits of one step, and what became of them; true: within the limit. */
static bool one_step(double rate, uint32_t wanted)
{
    struct hist seen = {0}, late = {0};
    uint64_t before = atomic_load(&shared->made), now = now_ns();
    double cpu = -process_cpu(options.pid), busiest = 0.0;
    shared->rate = rate;
    atomic_store(&shared->done, 0);
    atomic_store(&shared->begins, now + 20000000u);
    atomic_store(&shared->ends, now + 20000000u + (uint64_t)(options.seconds * (double)NS_PER_S));
    atomic_fetch_add(&shared->step, 1);
    uint64_t deadline = atomic_load(&shared->ends) + 5 * NS_PER_S;
    while (atomic_load(&shared->done) < options.processes + 1 && now_ns() < deadline) pause_ms(5);
    cpu += process_cpu(options.pid);
    uint64_t edits = atomic_load(&shared->made) - before, expected = edits * wanted;
    while (deliveries() < expected && now_ns() < deadline) pause_ms(10);
    pause_ms(20);
    for (uint32_t i = 0; i <= options.processes; i++) {
        hist_merge(&seen, &shared->figures[i].seen);
        hist_merge(&late, &shared->figures[i].late);
        if (shared->figures[i].cpu > busiest) busiest = shared->figures[i].cpu;
    }
    double p99 = (double)hist_quantile(&seen, 0.99) / 1000.0;
    bool good = seen.count >= expected && edits > 0 && p99 < options.limit_ms;
    (void)printf("{\"rate\":%.0f,\"edits\":%llu,\"deliveries_per_s\":%.0f,\"complete\":%.4f,"
                 "\"p50_ms\":%.2f,\"p99_ms\":%.2f,\"late_p99_ms\":%.2f,\"server_cpu\":%.3f,"
                 "\"us_per_delivery\":%.4f,\"driver_cpu\":%.3f,\"good\":%s}\n",
                 rate, (unsigned long long)edits, (double)seen.count / options.seconds,
                 expected > 0 ? (double)seen.count / (double)expected : 0.0,
                 (double)hist_quantile(&seen, 0.5) / 1000.0, p99,
                 (double)hist_quantile(&late, 0.99) / 1000.0, cpu / options.seconds,
                 seen.count > 0 ? cpu * 1e6 / (double)seen.count : 0.0, busiest / options.seconds,
                 good ? "true" : "false");
    (void)fflush(stdout);
    return good || (seen.count >= expected && p99 < 2.0 * options.limit_ms);
}

static void fanout(void)
{
    uint32_t count = options.clients / options.processes;
    for (uint32_t i = 0; i < options.processes; i++) (void)spawn(i, run_readers, count);
    (void)spawn(options.processes, writer_main, 0);
    wait_synced(count * options.processes + 1);
    uint32_t beyond = 0; /* steps in a row: one may be the machine's fault */
    for (const char *at = options.rates; *at != '\0' && beyond < 2;) {
        char *end;
        double rate = strtod(at, &end);
        if (end == at) break;
        beyond = one_step(rate, count * options.processes) ? 0 : beyond + 1;
        at = *end == ',' ? end + 1 : end;
    }
    atomic_store(&shared->stop, 1);
}

/* ---- pairs: many documents, two writers each ------------------------------------------------- */

struct pair {
    struct conn side[2];
    uint64_t *due[2];
};

static void on_pair_edit(struct conn *c, uint32_t writer, uint32_t number)
{
    struct pair *pair = c->owner;
    if (c == &pair->side[writer] || number >= options.count) return;
    uint64_t due = pair->due[writer][number], now = now_ns();
    hist_add(&mine->seen, (now - due) / 1000);
}

static void run_pairs(uint32_t index)
{
    static const struct handler handler = {
        .synced = on_synced, .edit = on_pair_edit, .closed = on_closed};
    uint32_t docs = options.docs / options.processes, clients = docs * 2, made = 0;
    struct pair *pairs = calloc(docs, sizeof *pairs);
    options.count = (uint32_t)(options.seconds * options.rate * 4) + 64;
    if (pairs == NULL) fail("out of memory");
    for (uint32_t i = 0; i < clients; i++) { /* first one of each document, for y-sweet refuses */
        uint32_t d = i % docs, w = i / docs; /* two that make it at once */
        struct conn *c = &pairs[d].side[w];
        char name[64];
        pairs[d].due[w] = calloc(options.count, sizeof(uint64_t));
        c->owner = &pairs[d];
        c->writes = true;
        c->peer = (now_ns() << 1 | 1) + 2 * i;
        (void)snprintf(name, sizeof name, "%s-%u-%u", options.doc, index, d);
        begin(c, name, &handler);
        while (i - atomic_load(&mine->synced) > 16 && mine->closed == 0) turn(10);
    }
    while (atomic_load(&shared->step) == 0) turn(5);
    uint64_t next = atomic_load(&shared->begins), ends = atomic_load(&shared->ends);
    double rate = options.rate * clients;
    mine->cpu = -process_cpu(getpid());
    for (uint64_t now = now_ns(); now < ends; now = now_ns()) {
        while (next <= now) {
            uint32_t i = (uint32_t)(random_state >> 33) % clients, w = i % 2;
            struct conn *c = &pairs[i / 2].side[w];
            if (c->made < options.count) {
                pairs[i / 2].due[w][c->made] = next;
                if (speak_edit(c, w)) made++;
                conn_flush(epoll_fd, c);
            }
            next += (uint64_t)(draw() / rate * (double)NS_PER_S);
        }
        turn(0);
        if (next > now + 100000) (void)usleep(100); /* not in a circle: others need processors */
    }
    mine->cpu += process_cpu(getpid());
    atomic_store(&mine->edits, made);
    uint64_t deadline = now_ns() + 15 * NS_PER_S;
    while (mine->seen.count < made && now_ns() < deadline) turn(5);
    atomic_fetch_add(&shared->done, 1);
    while (atomic_load(&shared->stop) == 0) turn(5);
}

static void pairs(void)
{
    struct hist seen = {0};
    uint64_t edits = 0;
    double busiest = 0.0;
    for (uint32_t i = 0; i < options.processes; i++) (void)spawn(i, run_pairs, i);
    wait_synced(options.docs / options.processes * options.processes * 2);
    uint64_t now = now_ns();
    double cpu = -process_cpu(options.pid);
    atomic_store(&shared->begins, now + 50000000u);
    atomic_store(&shared->ends, now + 50000000u + (uint64_t)(options.seconds * (double)NS_PER_S));
    atomic_fetch_add(&shared->step, 1);
    while (now_ns() < atomic_load(&shared->ends)) pause_ms(5);
    cpu += process_cpu(options.pid);
    while (atomic_load(&shared->done) < options.processes) pause_ms(10);
    for (uint32_t i = 0; i < options.processes; i++) {
        hist_merge(&seen, &shared->figures[i].seen);
        edits += atomic_load(&shared->figures[i].edits);
        if (shared->figures[i].cpu > busiest) busiest = shared->figures[i].cpu;
    }
    (void)printf("{\"edits\":%llu,\"complete\":%.4f,\"p50_ms\":%.2f,\"p99_ms\":%.2f,"
                 "\"server_cpu\":%.3f,\"driver_cpu\":%.3f}\n",
                 (unsigned long long)edits, edits > 0 ? (double)seen.count / (double)edits : 0.0,
                 (double)hist_quantile(&seen, 0.5) / 1000.0,
                 (double)hist_quantile(&seen, 0.99) / 1000.0, cpu / options.seconds,
                 busiest / options.seconds);
    atomic_store(&shared->stop, 1);
}

/* ---- Modes of one process -------------------------------------------------------------------- */

/* Connections at rest: memory of each.  The first 64 are not counted: they warm up. */
static void idle(void)
{
    struct conn *conns = new_conns(options.clients);
    uint32_t warm = 64;
    connect_all(conns, warm, options.doc, options.docs, 64);
    pause_ms(1500);
    long before = process_kib(options.pid, "VmRSS:");
    connect_all(conns + warm, options.clients - warm, options.doc, options.docs, 64);
    uint64_t end = now_ns() + 2 * NS_PER_S;
    while (now_ns() < end) turn(20);
    long after = process_kib(options.pid, "VmRSS:");
    (void)printf("{\"clients\":%u,\"synced\":%u,\"closed\":%u,\"bytes_each\":%.0f,"
                 "\"rss_kib\":%ld}\n",
                 options.clients, mine->synced, mine->closed,
                 (double)(after - before) * 1024.0 / (options.clients - warm), after);
}

/* As fast as they come, `window` under way. */
static void connects(void)
{
    struct conn *conns = new_conns(options.clients);
    struct hist each = {0};
    double cpu = -process_cpu(options.pid), own = -process_cpu(getpid());
    uint64_t begun = now_ns();
    connect_all(conns, options.clients, options.doc, options.docs, options.window);
    double took = (double)(now_ns() - begun) / (double)NS_PER_S;
    cpu += process_cpu(options.pid);
    own += process_cpu(getpid());
    for (uint32_t i = 0; i < options.clients; i++)
        if (conns[i].synced) hist_add(&each, (conns[i].synced_at - conns[i].began) / 1000);
    (void)printf("{\"clients\":%u,\"synced\":%u,\"closed\":%u,\"per_s\":%.0f,\"p50_ms\":%.2f,"
                 "\"p99_ms\":%.2f,\"server_cpu\":%.3f,\"driver_cpu\":%.3f}\n",
                 options.clients, mine->synced, mine->closed, mine->synced / took,
                 (double)hist_quantile(&each, 0.5) / 1000.0,
                 (double)hist_quantile(&each, 0.99) / 1000.0, cpu / took, own / took);
}

/* From the first packet to the last byte that came before a silence. */
static void one_join(const char *what, struct conn *c)
{
    double cpu = -process_cpu(options.pid);
    begin(c, options.doc, &plain);
    uint64_t end = now_ns() + PATIENCE_S * NS_PER_S, quiet = options.quiet_ms * 1000000ull;
    while (c->state != CONN_CLOSED && now_ns() < end) {
        turn(20);
        if (c->synced && now_ns() > c->last_data + quiet && now_ns() > c->synced_at + quiet) break;
    }
    cpu += process_cpu(options.pid);
    uint64_t last = c->last_data > c->synced_at ? c->last_data : c->synced_at;
    (void)printf("{\"join\":\"%s\",\"synced\":%s,\"ms\":%.3f,\"bytes\":%llu,\"server_cpu_s\":%.3f,"
                 "\"seen\":%u}\n",
                 what, c->synced ? "true" : "false", (double)(last - c->began) / 1e6,
                 (unsigned long long)c->bytes_in, cpu, c->next_seen[0]);
    (void)fflush(stdout);
}

static void join(void)
{
    struct conn *conns = new_conns(3 + options.count);
    drive_packed = true;
    one_join("first", &conns[0]);
    for (uint32_t i = 0; i < options.count; i++) one_join("again", &conns[3 + i]);
    struct conn *last = options.count > 0 ? &conns[2 + options.count] : &conns[0];
    if (options.behind == 0 || last->head_peer == 0) return;
    for (uint32_t i = 1; i < 3; i++) {
        conns[i].after_peer = last->head_peer;
        conns[i].after_seq = last->head_seq - options.behind;
        one_join("behind", &conns[i]);
    }
}

static void on_acked(struct conn *c)
{
    if (c->acked < options.count || options.pid == 0) return;
    (void)kill((pid_t)options.pid, SIGKILL);
    options.pid = 0;
}

static void on_witness(struct conn *c, uint32_t writer, uint32_t number)
{
    (void)writer;
    (void)number;
    struct conn *author = c->owner;
    if (author == NULL) return;
    author->acked = c->next_seen[0];
    on_acked(author);
}

/* Edits until so many are acknowledged (the Yjs family: seen by another client), then kill -9. */
static void kill_at(void)
{
    static const struct handler ours = {.synced = on_synced, .acked = on_acked};
    static const struct handler yjs = {.synced = on_synced, .edit = on_witness};
    const struct handler *handler = options.speech == SPEAK_SYNCLINE ? &ours : &yjs;
    struct conn *conns = new_conns(2);
    conns[0].writes = true;
    conns[0].peer = now_ns() << 1 | 1;
    conns[1].owner = &conns[0];
    begin(&conns[0], options.doc, handler);
    begin(&conns[1], options.doc, handler);
    uint64_t end = now_ns() + PATIENCE_S * NS_PER_S;
    while (now_ns() < end && options.pid != 0 && conns[0].state != CONN_CLOSED) {
        if (mine->synced >= 2)
            while (conns[0].made < conns[0].acked + options.window && speak_edit(&conns[0], 0))
                continue;
        conn_flush(epoll_fd, &conns[0]);
        turn(5);
    }
    (void)printf("{\"acked\":%u,\"made\":%u,\"killed\":%s}\n", conns[0].acked, conns[0].made,
                 options.pid == 0 ? "true" : "false");
}

/* One reader that reads and, beside it, --clients - 1 that never do; `count` edits with pad are
 * sent to all. */
static void stall(void)
{
    uint32_t count = options.clients + 1, still_open = 0;
    struct conn *conns = new_conns(count);
    conns[0].writes = true;
    conns[0].peer = now_ns() << 1 | 1;
    conns[0].pad = options.pad;
    conns[1].may_miss = 2;
    for (uint32_t i = 2; i < count; i++) conns[i].stalled = true;
    for (uint32_t i = 0; i < count; i++) begin(&conns[i], options.doc, &plain);
    while (mine->synced < count && mine->closed == 0) turn(10);
    pause_ms(500);
    long before = process_kib(options.pid, "VmRSS:"), most = before;
    uint64_t end = now_ns() + 2 * PATIENCE_S * NS_PER_S;
    while (conns[1].next_seen[0] < options.count && conns[1].state == CONN_OPEN && now_ns() < end) {
        while (conns[0].made < options.count &&
               conns[0].made < conns[1].next_seen[0] + options.window && speak_edit(&conns[0], 0))
            continue;
        conn_flush(epoll_fd, &conns[0]);
        turn(5);
        long now = process_kib(options.pid, "VmRSS:");
        if (now > most) most = now;
    }
    long after = process_kib(options.pid, "VmRSS:");
    for (uint32_t i = 2; i < count; i++) still_open += conns[i].state == CONN_OPEN;
    (void)printf("{\"sent\":%.0f,\"seen\":%u,\"before_kib\":%ld,\"after_kib\":%ld,"
                 "\"most_kib\":%ld,\"stalled_open\":%s}\n",
                 (double)conns[1].next_seen[0] * (MARKER + options.pad), conns[1].next_seen[0],
                 before, after, most, still_open == count - 2 ? "true" : "false");
}

/* One client that sends as much as it can for --seconds: edits as credit allows, edits without
 * asking, or Pings.  The server acts when it ends the connection, refuses, or lets it wait. */
static void flood(void)
{
    static const uint8_t ping[] = {0xa2, 1, 2, 8, 1};
    struct conn *c = new_conns(1);
    bool pings = strcmp(options.flood, "pings") == 0, rude = strcmp(options.flood, "rude") == 0;
    uint64_t sent = 0, acted = 0, last = 0, waited = 0;
    c->writes = true;
    c->peer = now_ns() << 1 | 1;
    connect_all(c, 1, options.doc, 1, 1);
    uint64_t begun = now_ns(), end = begun + (uint64_t)(options.seconds * (double)NS_PER_S);
    last = begun;
    for (uint64_t now = begun; now < end && c->state == CONN_OPEN; now = now_ns()) {
        uint64_t before = sent;
        for (uint32_t n = 0; n < 256 && c->out.len < 1 << 20; n++, sent++) {
            if (rude) c->credit = 1 << 30;
            if (pings)
                conn_send(c, ping, sizeof ping);
            else if (!speak_edit(c, 0))
                break;
        }
        if (sent > before) last = now;
        if (acted == 0 && now - last > 50000000u) acted = now - begun;
        if (now - last > waited) waited = now - last;
        conn_flush(epoll_fd, c);
        turn(sent > before ? 0 : 5);
    }
    if (acted == 0 && c->state != CONN_OPEN) acted = now_ns() - begun;
    (void)printf("{\"flood\":\"%s\",\"frames\":%llu,\"acked\":%u,\"acted_ms\":%.0f,"
                 "\"longest_wait_ms\":%.0f,\"open\":%s,\"why\":\"%s\"}\n",
                 options.flood, (unsigned long long)sent, c->acked,
                 acted != 0 ? (double)acted / 1e6 : -1.0, (double)waited / 1e6,
                 c->state == CONN_OPEN ? "true" : "false", mine->why);
}

/* One edit in each document, or an update of Yjs from a file into one; until it was seen. */
static void seed(void)
{
    struct conn *writers = new_conns(options.docs);
    for (uint32_t i = 0; i < options.docs; i++) {
        writers[i].writes = true;
        writers[i].peer = (now_ns() << 1 | 1) + 2 * i;
    }
    connect_all(writers, options.docs, options.doc, options.docs, 16);
    if (options.update != NULL) {
        FILE *in = fopen(options.update, "rb");
        static uint8_t update[8u << 20];
        size_t len = in != NULL ? fread(update, 1, sizeof update, in) : 0;
        if (in == NULL || len == 0) fail("cannot read the update");
        (void)fclose(in);
        speak_update(&writers[0], update, len);
        conn_flush(epoll_fd, &writers[0]);
    } else {
        for (uint32_t i = 0; i < options.docs; i++) {
            (void)speak_edit(&writers[i], 0);
            conn_flush(epoll_fd, &writers[i]);
        }
    }
    uint64_t end = now_ns() + 2 * NS_PER_S;
    while (now_ns() < end) turn(20);
    (void)printf("{\"synced\":%u,\"closed\":%u}\n", mine->synced, mine->closed);
}

/* ---- Beginning ------------------------------------------------------------------------------- */

static void take_option(const char *name, const char *value)
{
    static const char *const speeches[] = {"syncline", "y-websocket", "hocuspocus", "y-sweet"};
    struct {
        const char *name;
        uint32_t *number;
        double *real;
        const char **text;
    } known[] = {{"--clients", &options.clients, NULL, NULL},
                 {"--docs", &options.docs, NULL, NULL},
                 {"--processes", &options.processes, NULL, NULL},
                 {"--count", &options.count, NULL, NULL},
                 {"--behind", &options.behind, NULL, NULL},
                 {"--pad", &options.pad, NULL, NULL},
                 {"--window", &options.window, NULL, NULL},
                 {"--quiet-ms", &options.quiet_ms, NULL, NULL},
                 {"--seconds", NULL, &options.seconds, NULL},
                 {"--rate", NULL, &options.rate, NULL},
                 {"--limit-ms", NULL, &options.limit_ms, NULL},
                 {"--rates", NULL, NULL, &options.rates},
                 {"--doc", NULL, NULL, &options.doc},
                 {"--update", NULL, NULL, &options.update},
                 {"--flood", NULL, NULL, &options.flood}};
    for (size_t i = 0; i < sizeof known / sizeof known[0]; i++) {
        if (strcmp(name, known[i].name) != 0) continue;
        if (known[i].number != NULL) *known[i].number = (uint32_t)strtoul(value, NULL, 10);
        if (known[i].real != NULL) *known[i].real = strtod(value, NULL);
        if (known[i].text != NULL) *known[i].text = value;
        return;
    }
    if (strcmp(name, "--pid") == 0) {
        options.pid = strtol(value, NULL, 10);
    } else if (strcmp(name, "--port") == 0) {
        drive_server = (struct sockaddr_in){.sin_family = AF_INET,
                                            .sin_port = htons((uint16_t)atoi(value)),
                                            .sin_addr = {htonl(INADDR_LOOPBACK)}};
    } else if (strcmp(name, "--speech") == 0) {
        for (uint32_t i = 0; i < 4; i++)
            if (strcmp(value, speeches[i]) == 0) options.speech = (enum speech)i;
    } else {
        fail("unknown option");
    }
}

int main(int argc, char **argv)
{
    static const struct {
        const char *name;
        void (*run)(void);
    } modes[] = {{"fanout", fanout},     {"pairs", pairs}, {"idle", idle},
                 {"connects", connects}, {"join", join},   {"kill", kill_at},
                 {"stall", stall},       {"seed", seed},   {"flood", flood}};
    struct rlimit limit;
    if (argc < 2) fail("which mode?");
    for (int i = 2; i + 1 < argc; i += 2) take_option(argv[i], argv[i + 1]);
    if (options.processes == 0 || options.processes >= MAX_PROCS) fail("1 to 7 processes");
    (void)getrlimit(RLIMIT_NOFILE, &limit);
    limit.rlim_cur = limit.rlim_max;
    (void)setrlimit(RLIMIT_NOFILE, &limit);
    shared = mmap(NULL, sizeof *shared, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (shared == MAP_FAILED) fail("out of memory");
    mine = &shared->figures[0];
    epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    for (size_t i = 0; i < sizeof modes / sizeof modes[0]; i++) {
        if (strcmp(argv[1], modes[i].name) != 0) continue;
        modes[i].run();
        atomic_store(&shared->stop, 1);
        while (wait(NULL) > 0) continue;
        return 0;
    }
    fail("which mode?");
}
