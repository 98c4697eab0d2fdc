/* load_worker.c -- see load_worker.h: the schedule, and the phases of a run. */
#include "load_worker.h"

#include <math.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/timerfd.h>
#include <unistd.h>

#define SWEEP_NS      (20u * 1000000u)
#define LEVEL_SWEEPS  5u /* every so many it is asked whether all have everything */
#define MAX_PER_TURN  4096u
#define HANDSHAKES    41u /* of a calibration */
#define CALIBRATION_S 20u

static uint64_t after(uint64_t at, double seconds)
{
    return at + (uint64_t)(seconds * (double)NS_PER_S);
}

static double expected_gap(const struct load_worker *w, double rate)
{
    return w->options->processes / rate;
}

void worker_fail(struct load_worker *w, const char *what)
{
    if (w->figures->fault[0] == '\0')
        (void)snprintf(w->figures->fault, sizeof w->figures->fault, "%s", what);
    atomic_store(&w->shared->stop, 1);
}

struct load_slot *worker_slot(struct load_worker *w, uint64_t now)
{
    uint64_t began = atomic_load(&w->shared->began);
    if (began == 0 || now < began) return NULL;
    double at = (double)(now - began) / (double)NS_PER_S / load_slot_seconds(w->options);
    return at < LOAD_SLOTS && (double)(now - began) < w->options->duration * (double)NS_PER_S
               ? &w->figures->slots[(uint32_t)at]
               : NULL;
}

/* ---- The heap -------------------------------------------------------------------------------- */

void worker_at(struct load_worker *w, uint64_t at, enum due_kind kind, struct load_client *client)
{
    if (w->heap_count == w->heap_cap) {
        uint32_t cap = w->heap_cap > 0 ? w->heap_cap * 2 : 256;
        struct due *heap = realloc(w->heap, cap * sizeof *heap);
        if (heap == NULL) {
            worker_fail(w, "out of memory");
            return;
        }
        w->heap = heap;
        w->heap_cap = cap;
    }
    uint32_t i = w->heap_count++;
    for (; i > 0 && w->heap[(i - 1) / 2].at > at; i = (i - 1) / 2)
        w->heap[i] = w->heap[(i - 1) / 2];
    w->heap[i] = (struct due){at, client, client != NULL ? client->life : 0, kind};
}

static struct due take_first(struct load_worker *w)
{
    struct due first = w->heap[0], last = w->heap[--w->heap_count];
    uint32_t i = 0;
    for (;;) {
        uint32_t child = 2 * i + 1;
        if (child >= w->heap_count) break;
        if (child + 1 < w->heap_count && w->heap[child + 1].at < w->heap[child].at) child++;
        if (w->heap[child].at >= last.at) break;
        w->heap[i] = w->heap[child];
        i = child;
    }
    w->heap[i] = last;
    return first;
}

/* ---- Clients --------------------------------------------------------------------------------- */

void worker_touched(struct load_worker *w, struct load_client *client)
{
    if (client->dirty) return;
    client->dirty = true;
    w->dirty[w->dirty_count++] = client;
}

static bool grow(struct load_worker *w)
{
    uint32_t cap = w->client_cap > 0 ? w->client_cap * 2 : 64;
    struct load_client **clients = realloc(w->clients, cap * sizeof *clients);
    if (clients != NULL) w->clients = clients;
    struct load_client **dirty = realloc(w->dirty, cap * sizeof *dirty);
    if (dirty != NULL) w->dirty = dirty;
    struct load_client **spare = realloc(w->spare, cap * sizeof *spare);
    if (spare != NULL) w->spare = spare;
    if (clients != NULL && dirty != NULL && spare != NULL) {
        w->client_cap = cap;
        return true;
    }
    worker_fail(w, "out of memory");
    return false;
}

static struct load_client *add_client(struct load_worker *w)
{
    if (w->spare_count > 0) return w->spare[--w->spare_count];
    if (w->client_count == w->client_cap && !grow(w)) return NULL;
    struct load_client *client = client_new(w);
    if (client != NULL) w->clients[w->client_count++] = client;
    return client;
}

/* Fixed client c of all: the first of a document write; document and part go by c alone, so that
 * the number of workers changes nothing. */
static void add_fixed(struct load_worker *w, uint32_t c, uint64_t due)
{
    const struct load_options *o = w->options;
    struct load_client *client = add_client(w);
    if (client == NULL || !client_begin(client, c % o->documents, due)) return;
    client->fixed = true;
    client->writes = c / o->documents < o->writers;
    client->stops = !client->writes && c - o->documents * o->writers < o->stop_readers;
    client->slow = !client->writes && !client->stops && draw_uniform(&w->random) < o->slow;
    worker_at(w, due, DUE_CONNECT, client);
}

/* The sockets first: one takes longer to make than a whole handshake does, which would be timed. */
static void prepare_sockets(struct load_worker *w)
{
    const struct load_options *o = w->options;
    double present = o->arrivals * o->stay;
    double all = load_fixed(o) + present + 3.0 * sqrt(present);
    uint32_t mine = (uint32_t)(all / o->processes) + 1;
    for (uint32_t i = 0; i < mine; i++)
        if (add_client(w) == NULL) return;
    for (uint32_t i = w->client_count; i > 0; i--) w->spare[w->spare_count++] = w->clients[i - 1];
}

static void begin_fixed(struct load_worker *w)
{
    const struct load_options *o = w->options;
    uint32_t all = load_fixed(o);
    uint64_t at = load_now();
    w->figures->first_open = at;
    for (uint32_t c = w->index; c < all; c += o->processes) {
        if (o->connect_rate > 0.0)
            at = after(at, draw_exponential(&w->random, expected_gap(w, o->connect_rate)));
        add_fixed(w, c, at);
    }
}

static void arrive(struct load_worker *w, uint64_t due)
{
    const struct load_options *o = w->options;
    struct load_client *client = add_client(w);
    uint32_t document = draw_weighted(&w->random, w->weights, o->documents);
    worker_at(w, after(due, draw_exponential(&w->random, expected_gap(w, o->arrivals))),
              DUE_ARRIVAL, NULL);
    if (client == NULL || !client_begin(client, document, due)) return;
    client->fixed = false;
    client->writes = draw_uniform(&w->random) < o->writing;
    client->slow = !client->writes && draw_uniform(&w->random) < o->slow;
    worker_at(w, after(due, draw_exponential(&w->random, o->stay)), DUE_LEAVE, client);
    if (client->slow)
        worker_at(w, after(due, draw_exponential(&w->random, o->slow_for)), DUE_PAUSE, client);
    if (o->presence > 0.0)
        worker_at(w, after(due, draw_exponential(&w->random, 1.0 / o->presence)), DUE_PRESENCE,
                  client);
    client_connect(client);
}

/* ---- What is due ----------------------------------------------------------------------------- */

static void note_gap(struct load_worker *w, uint64_t due)
{
    struct load_worker_figures *figures = w->figures;
    uint64_t now = load_now();
    hist_add(&figures->late, (now - due) / 1000u);
    if (w->last_planned != 0 && figures->gap_count < LOAD_SAMPLES) {
        double scale = w->gap_rate / (double)NS_PER_S;
        figures->planned[figures->gap_count] = (double)(due - w->last_planned) * scale;
        figures->gaps[figures->gap_count++] = (double)(now - w->last_actual) * scale;
    }
    w->last_planned = due;
    w->last_actual = now;
}

/* With --ramp the rate rises in steps: edits are drawn at the full rate, and left out with the
 * probability that is missing, which is exactly a Poisson process of the lower rate. */
static bool thinned(struct load_worker *w, uint64_t due)
{
    const struct load_options *o = w->options;
    double passed = (double)(due - atomic_load(&w->shared->began)) / (double)NS_PER_S;
    if (o->ramp == 0) return false;
    double step = 1.0 + (double)(uint32_t)(passed / o->duration * o->ramp);
    return draw_uniform(&w->random) >= step / o->ramp;
}

static void edit_due(struct load_worker *w, const struct due *due)
{
    double gap = draw_exponential(&w->random, 1.0 / w->options->edits);
    worker_at(w, after(due->at, gap), DUE_EDIT, due->client);
    if (!thinned(w, due->at)) client_edit(due->client, due->at);
}

static void pause_due(struct load_worker *w, const struct due *due)
{
    const struct load_options *o = w->options;
    client_pause(due->client, true);
    worker_at(w, after(due->at, due->client->stops ? o->stop_for : o->slow_for), DUE_RESUME,
              due->client);
}

static void resume_due(struct load_worker *w, const struct due *due)
{
    client_pause(due->client, false);
    if (due->client->stops) return;
    worker_at(w, after(due->at, draw_exponential(&w->random, w->options->slow_for)), DUE_PAUSE,
              due->client);
}

static void storm_due(struct load_worker *w, uint64_t at)
{
    double rate = w->options->back_rate;
    for (uint32_t i = 0; i < w->client_count; i++) {
        if (!client_storm(w->clients[i], at) || rate <= 0.0) continue;
        at = after(at, draw_exponential(&w->random, expected_gap(w, rate)));
    }
}

/* What goes on only while the run goes on. */
static void run_one(struct load_worker *w, const struct due *due)
{
    const struct load_options *o = w->options;
    if (due->kind == w->gap_kind && w->gap_rate > 0.0) note_gap(w, due->at);
    switch (due->kind) {
    case DUE_ARRIVAL:
        arrive(w, due->at);
        break;
    case DUE_EDIT:
        edit_due(w, due);
        break;
    case DUE_PRESENCE:
        client_presence(due->client);
        worker_at(w, after(due->at, draw_exponential(&w->random, 1.0 / o->presence)), DUE_PRESENCE,
                  due->client);
        break;
    case DUE_LEAVE:
        client_leave(due->client);
        break;
    case DUE_PAUSE:
        pause_due(w, due);
        break;
    case DUE_RESUME:
        resume_due(w, due);
        break;
    case DUE_STORM:
        storm_due(w, due->at);
        break;
    case DUE_CONNECT:
    case DUE_SWEEP:
        break;
    }
}

/* ---- Phases ---------------------------------------------------------------------------------- */

static void begin_client(struct load_worker *w, struct load_client *client, uint64_t began)
{
    const struct load_options *o = w->options;
    if (client->session == NULL) return;
    if (client->writes && o->edits > 0.0) {
        worker_at(w, after(began, draw_exponential(&w->random, 1.0 / o->edits)), DUE_EDIT, client);
        if (w->gap_kind == DUE_EDIT) w->gap_rate += o->edits;
    }
    if (o->presence > 0.0)
        worker_at(w, after(began, draw_exponential(&w->random, 1.0 / o->presence)), DUE_PRESENCE,
                  client);
    if (client->slow)
        worker_at(w, after(began, draw_exponential(&w->random, o->slow_for)), DUE_PAUSE, client);
    if (client->stops) worker_at(w, after(began, o->stop_at), DUE_PAUSE, client);
}

static void begin_running(struct load_worker *w)
{
    const struct load_options *o = w->options;
    uint64_t began = atomic_load(&w->shared->began);
    w->gap_kind = o->arrivals > 0.0 ? DUE_ARRIVAL : DUE_EDIT;
    for (uint32_t i = 0; i < w->client_count; i++) begin_client(w, w->clients[i], began);
    if (o->storm > 0) worker_at(w, after(began, o->duration / 2), DUE_STORM, NULL);
    if (o->ramp > 0 && w->gap_kind == DUE_EDIT) w->gap_rate = 0.0;
    if (o->arrivals <= 0.0) return;
    w->gap_rate = o->arrivals / o->processes;
    worker_at(w, after(began, draw_exponential(&w->random, expected_gap(w, o->arrivals))),
              DUE_ARRIVAL, NULL);
}

static void follow_phase(struct load_worker *w)
{
    uint32_t phase = atomic_load(&w->shared->phase);
    if (phase == w->phase) return;
    w->phase = phase;
    if (phase == LOAD_RUNNING) begin_running(w);
    for (uint32_t i = 0; i < w->client_count; i++) {
        struct load_client *client = w->clients[i];
        if (phase == LOAD_SETTLING) client_pause(client, false);
        if (phase == LOAD_COMPARING && w->options->verify) client_compare(client);
    }
    atomic_store(&w->figures->level_in, phase == LOAD_COMPARING ? LOAD_COMPARING : 0);
}

static void ask_level(struct load_worker *w)
{
    uint32_t level_in = LOAD_SETTLING;
    for (uint32_t i = 0; i < w->client_count; i++)
        if (!client_level(w->clients[i])) level_in = 0;
    atomic_store(&w->figures->level_in, level_in);
}

static void sweep(struct load_worker *w, uint64_t due)
{
    uint64_t now = load_now();
    follow_phase(w);
    for (uint32_t i = 0; i < w->client_count; i++) client_sweep(w->clients[i], now);
    struct load_slot *slot = w->phase == LOAD_RUNNING ? worker_slot(w, now) : NULL;
    if (slot != NULL) slot->connections = atomic_load(&w->figures->connected);
    if (w->phase == LOAD_SETTLING && w->sweeps++ % LEVEL_SWEEPS == 0) ask_level(w);
    uint64_t next = due + SWEEP_NS;
    worker_at(w, next > now ? next : now + SWEEP_NS, DUE_SWEEP, NULL);
}

static void run_due(struct load_worker *w)
{
    for (uint32_t n = 0; n < MAX_PER_TURN && w->heap_count > 0; n++) {
        if (w->heap[0].at > load_now()) return;
        struct due due = take_first(w);
        bool gone = due.client != NULL && due.client->life != due.life;
        if (gone) continue;
        if (due.kind == DUE_SWEEP)
            sweep(w, due.at);
        else if (due.kind == DUE_CONNECT)
            client_connect(due.client);
        else if (w->phase == LOAD_RUNNING && (due.client == NULL || !due.client->leaving))
            run_one(w, &due);
    }
}

/* ---- The loop -------------------------------------------------------------------------------- */

static void on_timer(struct ev_loop *loop, ev_io *timer, int events)
{
    struct load_worker *w = timer->data;
    uint64_t expirations;
    (void)loop;
    (void)events;
    (void)!read(w->timer_fd, &expirations, sizeof expirations);
}

/* Last before the loop sleeps. */
static void on_prepare(struct ev_loop *loop, ev_prepare *prepare, int events)
{
    struct load_worker *w = prepare->data;
    (void)loop;
    (void)events;
    run_due(w);
    uint64_t now = load_now();
    for (uint32_t i = 0; i < w->dirty_count; i++) {
        client_flush(w->dirty[i], now);
        w->dirty[i]->dirty = false;
    }
    w->dirty_count = 0;
    uint64_t at = w->heap_count > 0 ? w->heap[0].at : now + NS_PER_S;
    struct itimerspec when = {
        .it_value = {.tv_sec = (time_t)(at / NS_PER_S), .tv_nsec = (long)(at % NS_PER_S)}};
    (void)timerfd_settime(w->timer_fd, TFD_TIMER_ABSTIME, &when, NULL);
}

static bool begin_worker(struct load_worker *w, struct load_shared *shared, uint32_t index)
{
    memset(w, 0, sizeof *w);
    w->shared = shared;
    w->options = &shared->options;
    w->figures = &shared->workers[index];
    w->index = index;
    w->random = shared->options.seed * 0x2545f4914f6cdd1du + index;
    w->loop = ev_loop_new(EVFLAG_AUTO);
    w->weights = malloc(shared->options.documents * sizeof *w->weights);
    w->timer_fd = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC);
    if (w->loop == NULL || w->weights == NULL || w->timer_fd < 0) {
        worker_fail(w, "no loop, or no memory");
        return false;
    }
    zipf_cumulate(w->weights, shared->options.documents, shared->options.zipf);
    ev_prepare_init(&w->prepare, on_prepare);
    w->prepare.data = w;
    ev_prepare_start(w->loop, &w->prepare);
    ev_io_init(&w->timer, on_timer, w->timer_fd, EV_READ);
    w->timer.data = w;
    ev_io_start(w->loop, &w->timer);
    return true;
}

static void end_worker(struct load_worker *w)
{
    for (uint32_t i = 0; i < w->client_count; i++) client_free(w->clients[i]);
    if (w->timer.data != NULL) ev_io_stop(w->loop, &w->timer);
    if (w->prepare.data != NULL) ev_prepare_stop(w->loop, &w->prepare);
    if (w->timer_fd >= 0) (void)close(w->timer_fd);
    if (w->loop != NULL) ev_loop_destroy(w->loop);
    free(w->heap);
    free(w->clients);
    free(w->dirty);
    free(w->spare);
    free(w->weights);
}

void load_work(struct load_shared *shared, uint32_t index)
{
    struct load_worker w;
    (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
    (void)signal(SIGINT, SIG_IGN); /* the first process says when it is over */
    if (begin_worker(&w, shared, index)) {
        prepare_sockets(&w);
        begin_fixed(&w);
        worker_at(&w, load_now(), DUE_SWEEP, NULL);
        while (atomic_load(&shared->phase) != LOAD_ENDING) (void)ev_run(w.loop, EVRUN_ONCE);
    }
    end_worker(&w);
}

/* ---- Calibration ----------------------------------------------------------------------------- */

/* One client that comes again and again, alone: its median handshake is what a server without a
 * queue takes, the way there and back and this program's own work included. */
double load_calibrate(const struct load_options *options, char *why)
{
    struct load_shared *shared = calloc(1, sizeof *shared);
    struct load_document *doc = calloc(1, sizeof *doc);
    struct load_edit edit = {0};
    struct load_worker w;
    if (shared == NULL || doc == NULL) {
        free(shared);
        free(doc);
        return 0.0;
    }
    (void)pthread_mutex_init(&doc->lock, NULL);
    shared->options = *options;
    shared->options.document = "syncline-load-calibration"; /* there is none: nothing warms up */
    shared->docs = doc;
    shared->edits = &edit;
    shared->ring = 1;
    uint64_t end = load_now() + CALIBRATION_S * NS_PER_S;
    bool ready = begin_worker(&w, shared, 0);
    struct load_client *client = ready ? add_client(&w) : NULL;
    worker_at(&w, load_now(), DUE_SWEEP, NULL);
    for (uint32_t n = 1; client != NULL && n <= HANDSHAKES && shared->stop == 0; n++) {
        w.spare_count = 0;
        if (!client_begin(client, 0, load_now())) break;
        client_connect(client);
        while (w.figures->handshake.count < n && w.figures->failures == 0 && load_now() < end)
            (void)ev_run(w.loop, EVRUN_ONCE);
        if (w.figures->handshake.count < n) break;
        client_leave(client);
        while (client->session != NULL && load_now() < end) (void)ev_run(w.loop, EVRUN_ONCE);
    }
    const char *reason = w.figures->fault[0] != '\0' ? w.figures->fault : w.figures->reasons[0];
    (void)snprintf(why, 256, "%s", reason[0] != '\0' ? reason : "no answer");
    double us = (double)hist_quantile(&w.figures->handshake, 0.5);
    if (w.figures->handshake.count < HANDSHAKES) us = 0.0;
    end_worker(&w);
    free(shared);
    free(doc);
    return us;
}
