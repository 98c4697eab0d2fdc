/* load_print.c -- what `load` says: measured, and beside it what theory expects; as text and JSON.
 */
#include "load.h"

#include "proto.h"

#include <inttypes.h>
#include <jansson.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

/* What theory says of this run. */
struct theory {
    double service;                     /* seconds, of a handshake alone */
    double rate, utilisation;           /* of handshakes */
    double wait, measured_wait;         /* seconds, mean */
    const char *model;                  /* of the handshakes */
    double clients, expected;           /* at the end of the run */
    uint64_t band_low, band_high;       /* 95 % of a Poisson distribution around it */
    uint32_t samples, inside;           /* of the connections over time */
    double mean_clients, mean_expected; /* over the second half of the run */
};

static void expect_clients(const struct load_result *r, struct theory *t)
{
    const struct load_options *o = r->options;
    double width = load_slot_seconds(o), fixed = load_fixed(o);
    uint32_t half = 0;
    for (uint32_t s = 0; s < r->slots; s++) {
        double mean = load_expected(o, (s + 1) * width), n = r->sum->slots[s].connections;
        double low = fixed + (double)poisson_quantile(mean, 0.025);
        double high = fixed + (double)poisson_quantile(mean, 0.975);
        t->samples++;
        if (n >= low && n <= high) t->inside++;
        t->clients = n;
        t->expected = fixed + mean;
        t->band_low = (uint64_t)low;
        t->band_high = (uint64_t)high;
        if (s < r->slots / 2) continue;
        half++;
        t->mean_clients += n;
        t->mean_expected += t->expected;
    }
    if (half == 0) return;
    t->mean_clients /= half;
    t->mean_expected /= half;
}

static struct theory expect(const struct load_result *r)
{
    const struct load_options *o = r->options;
    struct theory t = {.service = r->calibrated_us / 1e6, .model = "none"};
    t.measured_wait = fmax(hist_mean(&r->sum->handshake) / 1e6 - t.service, 0.0);
    if (o->arrivals > 0.0 && load_fixed(o) == 0) {
        t.model = "M/D/1";
        t.rate = o->arrivals;
    } else if (load_fixed(o) > 1 && o->connect_rate > 0.0 && o->arrivals <= 0.0) {
        t.model = "M/D/1";
        t.rate = o->connect_rate;
    } else if (load_fixed(o) > 1 && o->connect_rate <= 0.0 && o->arrivals <= 0.0) {
        t.model = "all at once";
    }
    t.utilisation = t.rate * t.service;
    t.wait = t.rate > 0.0 ? md1_wait(t.rate, t.service) : burst_wait(load_fixed(o), t.service);
    expect_clients(r, &t);
    return t;
}

/* ---- Text ------------------------------------------------------------------------------------ */

static void print_time(FILE *out, double us)
{
    if (!isfinite(us))
        (void)fprintf(out, " %9s", "unbounded");
    else if (us < 1e3)
        (void)fprintf(out, " %6.0f us", us);
    else if (us < 1e6)
        (void)fprintf(out, " %6.2f ms", us / 1e3);
    else
        (void)fprintf(out, " %6.2f s ", us / 1e6);
}

static void print_hist(FILE *out, const char *name, const struct hist *h)
{
    static const double shares[] = {0.5, 0.9, 0.99, 0.999};
    if (h->count == 0) return;
    (void)fprintf(out, "  %-17s", name);
    for (size_t i = 0; i < sizeof shares / sizeof shares[0]; i++)
        print_time(out, (double)hist_quantile(h, shares[i]));
    print_time(out, (double)h->max);
    (void)fprintf(out, "  %" PRIu64 "\n", h->count);
}

static void print_join_bytes(FILE *out, const char *name, const struct hist *h)
{
    if (h->count == 0) return;
    (void)fprintf(out, "%-13s %.0f bytes each on average, at most %" PRIu64 "\n", name,
                  hist_mean(h), h->max);
}

/* One line for each step of --ramp: at which load the latency bends. */
static void print_steps(FILE *out, const struct load_result *r)
{
    const struct load_options *o = r->options;
    double width = load_slot_seconds(o);
    struct hist *seen = malloc(sizeof *seen);
    if (seen == NULL) return;
    (void)fprintf(out, "\n  %-17s %9s %9s %9s %9s\n", "steps: seen after", "p50", "p99", "edits/s",
                  "seen/s");
    for (uint32_t step = 0, s = 0; step < o->ramp; step++) {
        double edits = 0.0, deliveries = 0.0, seconds = 0.0;
        memset(seen, 0, sizeof *seen);
        for (; s < r->slots && (s + 0.5) * width < o->duration * (step + 1) / o->ramp; s++) {
            edits += (double)r->sum->slots[s].edits;
            deliveries += (double)r->sum->slots[s].deliveries;
            seconds += width;
            hist_merge(seen, &r->sum->slots[s].seen);
        }
        if (seconds <= 0.0) continue;
        (void)fprintf(out, "  %2u of %-11u", step + 1, o->ramp);
        print_time(out, (double)hist_quantile(seen, 0.5));
        print_time(out, (double)hist_quantile(seen, 0.99));
        (void)fprintf(out, " %9.0f %9.0f\n", edits / seconds, deliveries / seconds);
    }
    free(seen);
}

static void print_work(FILE *out, const struct load_result *r)
{
    const struct load_worker_figures *f = r->sum;
    double seconds = r->seconds > 0.0 ? r->seconds : 1.0;
    double came = (double)(f->last_live - f->first_open) / (double)NS_PER_S;
    if (load_fixed(r->options) > 0 && f->last_live > f->first_open)
        (void)fprintf(out, "came in       %u clients in %.2f s, %.0f connected and synced per s\n",
                      load_fixed(r->options), came, load_fixed(r->options) / came);
    (void)fprintf(out,
                  "opened        %" PRIu64 " connections, %" PRIu64 " left, %" PRIu64 " failed\n",
                  f->opened, f->left, f->failures);
    (void)fprintf(out,
                  "edits         %" PRIu64 " (%.0f/s), %" PRIu64 " durable, %" PRIu64 " refused\n",
                  f->edits, (double)f->edits / seconds, f->acked, f->rejected);
    (void)fprintf(out,
                  "deliveries    %" PRIu64 " (%.0f/s), in %" PRIu64 " frames, %" PRIu64 " bytes\n",
                  f->deliveries, (double)f->deliveries / seconds, f->frames_in, f->bytes_in);
    print_join_bytes(out, "joining", &f->join_bytes);
    print_join_bytes(out, "... again", &f->rejoin_bytes);
    if (f->presences > 0)
        (void)fprintf(out, "presence      %" PRIu64 " sent, %" PRIu64 " seen\n", f->presences,
                      f->presence_seen);
    if (f->pauses > 0) (void)fprintf(out, "slow readers  %" PRIu64 " pauses\n", f->pauses);
    if (f->lost_sight > 0)
        (void)fprintf(out, "not timed     %" PRIu64 " deliveries that came too late for the ring\n",
                      f->lost_sight);
    for (uint32_t c = 0; c < LOAD_CODES; c++)
        if (f->codes[c] > 0)
            (void)fprintf(out, "code          %s: %" PRIu64 "\n", proto_code_name(c), f->codes[c]);
    for (uint32_t i = 0; i < LOAD_REASONS; i++)
        if (f->reason_counts[i] > 0)
            (void)fprintf(out, "failed        %s: %" PRIu64 "\n", f->reasons[i],
                          f->reason_counts[i]);
}

static void print_theory(FILE *out, const struct load_result *r)
{
    struct theory t = expect(r);
    (void)fprintf(out, "\ntheory beside what was measured\n");
    (void)fprintf(out,
                  "  connections     at the end %.0f, M/G/inf says %.1f, 95 %% in %" PRIu64
                  "-%" PRIu64 "; in the band %u of %u samples\n",
                  t.clients, t.expected, t.band_low, t.band_high, t.inside, t.samples);
    (void)fprintf(out, "                  mean of the second half %.1f, expected %.1f\n",
                  t.mean_clients, t.mean_expected);
    if (t.model[0] != 'n') {
        (void)fprintf(out, "  handshakes      %s, service %.0f us (alone)", t.model,
                      t.service * 1e6);
        if (t.rate > 0.0) (void)fprintf(out, ", utilisation %.3f", t.utilisation);
        (void)fputs(": mean wait", out);
        print_time(out, t.measured_wait * 1e6);
        (void)fputs(", expected", out);
        print_time(out, t.wait * 1e6);
        (void)fputc('\n', out);
    }
    if (r->gap_count == 0) return;
    (void)fprintf(out,
                  "  the generator   %u gaps, exponential? D = %.4f, p = %.3f as they happened; "
                  "p = %.3f as planned%s\n",
                  r->gap_count, r->ks, r->ks_p, r->ks_planned_p,
                  r->ks_p < 0.01 ? " (it ran late: more --processes, or less load)" : "");
}

void load_print(FILE *out, const struct load_result *r)
{
    const struct load_options *o = r->options;
    (void)fprintf(out, "%s: %.1f s%s, seed %" PRIu64 ", %u processes, ", o->url, r->seconds,
                  r->interrupted ? " (ended early)" : "", o->seed, o->processes);
    if (o->document != NULL)
        (void)fprintf(out, "document %s\n", o->document);
    else
        (void)fprintf(out, "%u documents %s-0 ...\n", o->documents, o->prefix);
    print_work(out, r);
    (void)fprintf(out, "\n  %-17s %9s %9s %9s %9s %9s  count\n", "from when due to", "p50", "p90",
                  "p99", "p99.9", "max");
    print_hist(out, "welcome", &r->sum->handshake);
    print_hist(out, "synced", &r->sum->join);
    print_hist(out, "synced again", &r->sum->rejoin);
    print_hist(out, "durable", &r->sum->ack);
    print_hist(out, "seen by others", &r->sum->seen);
    print_hist(out, "... before a stop", &r->sum->seen_before);
    print_hist(out, "... while some do", &r->sum->seen_while);
    print_hist(out, "... by slow ones", &r->sum->seen_slow);
    print_hist(out, "begun (late by)", &r->sum->late);
    if (o->ramp > 0) print_steps(out, r);
    print_theory(out, r);
    if (!o->verify) return;
    (void)fprintf(out,
                  "\n%s: %" PRIu64 " clients of %u documents compared, %u differ, %" PRIu64
                  " edits missing\n",
                  r->differing == 0 && r->missing == 0 ? "equal" : "NOT EQUAL", r->sum->compared,
                  r->compared_documents, r->differing, r->missing);
}

/* ---- JSON ------------------------------------------------------------------------------------ */

static json_t *json_count(uint64_t n)
{
    return json_integer((json_int_t)n);
}

static json_t *json_hist(const struct hist *h)
{
    return json_pack("{s:o, s:f, s:o, s:o, s:o, s:o, s:o}", "count", json_count(h->count), "mean",
                     hist_mean(h), "p50", json_count(hist_quantile(h, 0.5)), "p90",
                     json_count(hist_quantile(h, 0.9)), "p99", json_count(hist_quantile(h, 0.99)),
                     "p999", json_count(hist_quantile(h, 0.999)), "max", json_count(h->max));
}

static json_t *json_theory(const struct load_result *r)
{
    struct theory t = expect(r);
    json_t *connections =
        json_pack("{s:f, s:f, s:o, s:o, s:i, s:i}", "measured", t.clients, "expected", t.expected,
                  "low", json_count(t.band_low), "high", json_count(t.band_high), "samples",
                  (int)t.samples, "inside", (int)t.inside);
    json_t *handshakes =
        json_pack("{s:s, s:f, s:f, s:f, s:o}", "model", t.model, "service_us", t.service * 1e6,
                  "utilisation", t.utilisation, "wait_us", t.measured_wait * 1e6,
                  "expected_wait_us", isfinite(t.wait) ? json_real(t.wait * 1e6) : json_null());
    json_t *gaps =
        json_pack("{s:i, s:f, s:f, s:f, s:f}", "count", (int)r->gap_count, "d", r->ks, "p", r->ks_p,
                  "d_planned", r->ks_planned, "p_planned", r->ks_planned_p);
    return json_pack("{s:o, s:o, s:o}", "connections", connections, "handshakes", handshakes,
                     "gaps", gaps);
}

static json_t *json_errors(const struct load_worker_figures *f)
{
    json_t *codes = json_object(), *reasons = json_object();
    for (uint32_t c = 0; c < LOAD_CODES; c++)
        if (f->codes[c] > 0)
            (void)json_object_set_new(codes, proto_code_name(c), json_count(f->codes[c]));
    for (uint32_t i = 0; i < LOAD_REASONS; i++)
        if (f->reason_counts[i] > 0)
            (void)json_object_set_new(reasons, f->reasons[i], json_count(f->reason_counts[i]));
    return json_pack("{s:o, s:o}", "codes", codes, "connections", reasons);
}

static json_t *json_slots(const struct load_result *r)
{
    json_t *list = json_array();
    for (uint32_t s = 0; s < r->slots; s++) {
        const struct load_slot *slot = &r->sum->slots[s];
        (void)json_array_append_new(
            list,
            json_pack("{s:i, s:o, s:o, s:o, s:o}", "connections", (int)slot->connections, "edits",
                      json_count(slot->edits), "deliveries", json_count(slot->deliveries),
                      "seen_p50", json_count(hist_quantile(&slot->seen, 0.5)), "seen_p99",
                      json_count(hist_quantile(&slot->seen, 0.99))));
    }
    return list;
}

static json_t *json_latencies(const struct load_worker_figures *f)
{
    return json_pack("{s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o}", "handshake",
                     json_hist(&f->handshake), "join", json_hist(&f->join), "rejoin",
                     json_hist(&f->rejoin), "durable", json_hist(&f->ack), "seen",
                     json_hist(&f->seen), "seen_by_slow", json_hist(&f->seen_slow),
                     "seen_before_stop", json_hist(&f->seen_before), "seen_while_stopped",
                     json_hist(&f->seen_while), "late", json_hist(&f->late));
}

static json_t *json_counts(const struct load_result *r)
{
    const struct load_worker_figures *f = r->sum;
    return json_pack("{s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o}",
                     "opened", json_count(f->opened), "left", json_count(f->left), "failed",
                     json_count(f->failures), "edits", json_count(f->edits), "durable",
                     json_count(f->acked), "rejected", json_count(f->rejected), "deliveries",
                     json_count(f->deliveries), "not_timed", json_count(f->lost_sight), "frames_in",
                     json_count(f->frames_in), "bytes_in", json_count(f->bytes_in), "bytes_out",
                     json_count(f->bytes_out), "presence_sent", json_count(f->presences),
                     "presence_seen", json_count(f->presence_seen), "pauses",
                     json_count(f->pauses));
}

syn_err load_print_json(const struct load_result *r)
{
    const struct load_options *o = r->options;
    const struct load_worker_figures *f = r->sum;
    double came = (double)(f->last_live - f->first_open) / (double)NS_PER_S;
    json_t *verified =
        json_pack("{s:b, s:o, s:i, s:i, s:o, s:o}", "asked", (int)o->verify, "clients",
                  json_count(f->compared), "documents", (int)r->compared_documents, "differing",
                  (int)r->differing, "missing", json_count(r->missing), "unacknowledged",
                  json_count(f->edits - f->acked - f->rejected));
    json_t *all =
        json_pack("{s:s, s:o, s:f, s:b, s:i, s:i, s:f, s:f, s:o, s:o, s:o, s:o, s:o, s:o, s:o}",
                  "url", o->url, "seed", json_count(o->seed), "seconds", r->seconds, "interrupted",
                  (int)r->interrupted, "clients", (int)load_fixed(o), "documents",
                  (int)o->documents, "connect_seconds", f->last_live > f->first_open ? came : 0.0,
                  "slot_seconds", load_slot_seconds(o), "counts", json_counts(r), "latency_us",
                  json_latencies(f), "theory", json_theory(r), "join_bytes",
                  json_pack("{s:f,s:f}", "join", hist_mean(&f->join_bytes), "rejoin",
                            hist_mean(&f->rejoin_bytes)),
                  "errors", json_errors(f), "verified", verified, "over_time", json_slots(r));
    char *text = all != NULL ? json_dumps(all, JSON_COMPACT) : NULL;
    if (text != NULL) (void)puts(text);
    json_decref(all);
    free(text);
    return text != NULL ? SYN_OK : SYN_ENOMEM;
}
