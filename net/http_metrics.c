/* http_metrics.c -- counters and gauges in Prometheus's text format.
 *
 * Everyone may read them, so they hold sums alone: no name of a document or a user. */
#include "http_text.h"
#include "process.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

static void head(struct page *page, const char *name, const char *type, const char *help)
{
    page_put(page, "# HELP syncline_%s %s\n# TYPE syncline_%s %s\n", name, help, name, type);
}

static void metric(struct page *page, const char *name, const char *type, const char *help,
                   uint64_t value)
{
    head(page, name, type, help);
    page_put(page, "syncline_%s %" PRIu64 "\n", name, value);
}

static void seconds(struct page *page, const char *name, const char *type, const char *help,
                    uint64_t us)
{
    head(page, name, type, help);
    page_put(page, "syncline_%s %" PRIu64 ".%06" PRIu64 "\n", name, us / 1000000, us % 1000000);
}

static void put_connections(struct page *page, const struct hub_stats *stats)
{
    metric(page, "connections", "gauge", "Open WebSockets.", stats->connections);
    metric(page, "connections_total", "counter", "WebSockets ever.", stats->connections_total);
    metric(page, "channels", "gauge", "Open documents of all connections.", stats->channels);
    metric(page, "documents_loaded", "gauge", "Documents in memory.", stats->rooms);
    metric(page, "documents_opening", "gauge", "Documents that are being read.", stats->opening);
    metric(page, "documents_forgotten_total", "counter", "Documents that nobody used for long.",
           stats->forgotten);
    metric(page, "documents_trimmed_total", "counter", "Quiet documents that gave back memory.",
           stats->trims);
    metric(page, "jobs", "gauge", "Loading, folding, deflating off the loop: now.", stats->jobs);
    metric(page, "jobs_total", "counter", "The same, ended.", stats->jobs_total);
    seconds(page, "job_seconds_total", "counter", "Their time.", stats->job_us_total);
    seconds(page, "job_seconds_max", "gauge", "The longest.", stats->job_us_max);
    metric(page, "frames_in_total", "counter", "Frames received.", stats->frames_in);
    metric(page, "frames_out_total", "counter", "Frames sent.", stats->frames_out);
    metric(page, "bytes_in_total", "counter", "Bytes of frames received.", stats->bytes_in);
    metric(page, "bytes_out_total", "counter", "Bytes of frames sent.", stats->bytes_out);
    metric(page, "events_total", "counter", "Events taken in.", stats->events_in);
    metric(page, "duplicates_total", "counter", "Events received again.", stats->duplicates);
    metric(page, "nacks_total", "counter", "Frames of changes refused.", stats->nacks);
    metric(page, "turns_total", "counter", "Turns released.", stats->turns);
    metric(page, "turns_failed_total", "counter", "Turns whose commit failed.",
           stats->failed_turns);
    metric(page, "held_answers", "gauge", "Answers that wait for the disk.", stats->held);
    metric(page, "read_only", "gauge", "1 while the disk is full or failing.", stats->read_only);
}

/* Without a label `limit`: for another reason. */
static void put_refusals(struct page *page, const struct hub_stats *stats, const uint64_t *door)
{
    uint64_t other[HUB_CODES];
    memcpy(other, stats->refused, sizeof other);
    head(page, "refused_total", "counter",
         "Connections, channels and changes refused, by code, and by limit if it was for one.");
    for (unsigned i = 0; i < LIM_COUNT; i++) {
        const struct limit_info *info = limits_info((enum limit)i);
        if (info->code == CODE_OK) continue;
        other[info->code] -=
            stats->limited[i] < other[info->code] ? stats->limited[i] : other[info->code];
        page_put(page, "syncline_refused_total{code=\"%s\",limit=\"%s\"} %" PRIu64 "\n",
                 proto_code_name(info->code), info->name, stats->limited[i] + door[i]);
    }
    for (uint32_t code = 1; code < HUB_CODES; code++) {
        bool last = code == HUB_CODES - 1;
        if (!last && code > CODE_REJECTED) continue;
        page_put(page, "syncline_refused_total{code=\"%s\"} %" PRIu64 "\n",
                 last ? "UNKNOWN" : proto_code_name(code), other[code]);
    }
    head(page, "slowed_total", "counter", "Times that credit was kept back, by limit.");
    for (unsigned i = 0; i < LIM_COUNT; i++)
        if (strstr(limits_info((enum limit)i)->effect, "wait") != NULL)
            page_put(page, "syncline_slowed_total{limit=\"%s\"} %" PRIu64 "\n",
                     limits_info((enum limit)i)->name, stats->slowed[i]);
}

/* Where in the buckets the share lies; inside one it is taken as even. */
static uint64_t quantile_us(const struct store_stats *store, unsigned percent)
{
    uint64_t all = 0, below = 0;
    for (uint32_t i = 0; i < STORE_BUCKETS; i++) all += store->buckets[i];
    uint64_t wanted = all / 100 * percent + all % 100 * percent / 100;
    for (uint32_t i = 0; i < STORE_BUCKETS - 1; i++) {
        uint64_t from = i != 0 ? store_bucket_us[i - 1] : 0, n = store->buckets[i];
        if (n != 0 && below + n > wanted)
            return from + (store_bucket_us[i] - from) * (wanted - below) / n;
        below += n;
    }
    return all != 0 ? store->commit_us_max : 0;
}

static void put_store(struct page *page, const struct store_stats *store)
{
    uint64_t sum = 0;
    metric(page, "commits_total", "counter", "Transactions.", store->commits);
    metric(page, "rows_total", "counter", "Rows written.", store->rows);
    metric(page, "stored_bytes_total", "counter", "Bytes written into rows.", store->bytes);
    metric(page, "commits_failed_total", "counter", "Transactions that failed.", store->failed);
    seconds(page, "commit_seconds_max", "gauge", "The longest commit.", store->commit_us_max);
    seconds(page, "commit_seconds_p50", "gauge", "Half of all commits took less.",
            quantile_us(store, 50));
    seconds(page, "commit_seconds_p99", "gauge", "1 of 100 commits took longer.",
            quantile_us(store, 99));
    metric(page, "wal_pages", "gauge", "Pages in the write-ahead log.", store->wal_pages);
    head(page, "commit_seconds", "histogram", "Commits, from BEGIN to the end of fdatasync.");
    for (uint32_t i = 0; i < STORE_BUCKETS; i++) {
        char bound[24] = "+Inf";
        sum += store->buckets[i];
        if (i < STORE_BUCKETS - 1)
            snprintf(bound, sizeof bound, "%g", (double)store_bucket_us[i] / 1e6);
        page_put(page, "syncline_commit_seconds_bucket{le=\"%s\"} %" PRIu64 "\n", bound, sum);
    }
    page_put(page,
             "syncline_commit_seconds_sum %" PRIu64 ".%06" PRIu64
             "\nsyncline_commit_seconds_count %" PRIu64 "\n",
             store->commit_us_total / 1000000, store->commit_us_total % 1000000, sum);
}

static void put_turns(struct page *page, uint32_t number, const struct loop_stats *loop)
{
    uint64_t sum = 0;
    for (uint32_t i = 0; i < TURN_BUCKETS; i++) {
        char bound[24] = "+Inf";
        sum += loop->turns[i];
        if (i < TURN_BUCKETS - 1)
            snprintf(bound, sizeof bound, "%g", (double)turn_bucket_us[i] / 1e6);
        page_put(page,
                 "syncline_loop_turn_seconds_bucket{loop=\"%" PRIu32 "\",le=\"%s\"} %" PRIu64 "\n",
                 number, bound, sum);
    }
    page_put(page,
             "syncline_loop_turn_seconds_sum{loop=\"%" PRIu32 "\"} %" PRIu64 ".%06" PRIu64
             "\nsyncline_loop_turn_seconds_count{loop=\"%" PRIu32 "\"} %" PRIu64 "\n",
             number, loop->busy_us / 1000000, loop->busy_us % 1000000, number, sum);
}

static void put_loops(struct page *page, const struct http_pages *from)
{
    const struct loop_stats *of = from->loops;
    head(page, "loop_busy_seconds_total", "counter", "Time that a loop did not wait.");
    for (uint32_t i = 0; i < from->loop_count; i++)
        page_put(page,
                 "syncline_loop_busy_seconds_total{loop=\"%" PRIu32 "\"} %" PRIu64 ".%06" PRIu64
                 "\n",
                 i, of[i].busy_us / 1000000, of[i].busy_us % 1000000);
    head(page, "loop_turn_seconds_max", "gauge",
         "The longest that a loop did not wait since the start: it served nobody else meanwhile.");
    for (uint32_t i = 0; i < from->loop_count; i++)
        page_put(page,
                 "syncline_loop_turn_seconds_max{loop=\"%" PRIu32 "\"} %" PRIu64 ".%06" PRIu64 "\n",
                 i, of[i].turn_us_max / 1000000, of[i].turn_us_max % 1000000);
    head(page, "loop_turn_seconds", "histogram",
         "How long a loop did not wait, from waking up to going to sleep.");
    for (uint32_t i = 0; i < from->loop_count; i++) put_turns(page, i, &of[i]);
    head(page, "loop_wakes_total", "counter", "Times that a loop had something to do.");
    for (uint32_t i = 0; i < from->loop_count; i++)
        page_put(page, "syncline_loop_wakes_total{loop=\"%" PRIu32 "\"} %" PRIu64 "\n", i,
                 of[i].wakes);
    head(page, "loop_connections", "gauge", "Open WebSockets of a loop.");
    for (uint32_t i = 0; i < from->loop_count; i++)
        page_put(page, "syncline_loop_connections{loop=\"%" PRIu32 "\"} %" PRIu64 "\n", i,
                 of[i].connections);
}

static void put_answers(struct page *page, const struct http_pages *from)
{
    head(page, "http_answers_total", "counter", "Answers over HTTP, by kind of status.");
    for (uint32_t status = 2; status < 6; status++) {
        uint64_t sum = 0;
        for (uint32_t i = 0; i < from->loop_count; i++) sum += from->loops[i].answers[status];
        page_put(page, "syncline_http_answers_total{status=\"%" PRIu32 "xx\"} %" PRIu64 "\n",
                 status, sum);
    }
}

static void put_process(struct page *page, const struct http_pages *from)
{
    const struct hub_load *load = &from->load;
    metric(page, "memory_bytes", "gauge", "Resident memory of the process.", process_resident());
    metric(page, "memory_limit_bytes", "gauge", "Where load is shed; 0: nowhere.",
           hub_limits(from->hub)->of[LIM_MEMORY]);
    metric(page, "document_bytes", "gauge", "Memory of the documents loaded.",
           load->document_bytes);
    metric(page, "queued_bytes", "gauge", "Control frames for readers that do not read.",
           load->queued_bytes);
    metric(page, "lagging_channels", "gauge", "Channels behind what is stored.", load->lagging);
    metric(page, "lag_events", "gauge", "Events that all channels are behind.", load->lag_events);
    metric(page, "lag_events_max", "gauge", "Events that the slowest is behind.",
           load->lag_events_max);
    metric(page, "feeds", "gauge", "Open change feeds.", from->feeds);
    put_loops(page, from);
    put_answers(page, from);
    seconds(page, "uptime_seconds", "gauge", "Since the start.", from->uptime_ms * 1000);
}

bool http_metrics(const struct http_pages *from, struct http_answer *out)
{
    struct page page = {0};
    struct hub_stats stats;
    struct store_stats store;
    hub_read_stats(from->hub, &stats);
    store_read_stats(from->store, &store);
    put_connections(&page, &stats);
    put_refusals(&page, &stats, from->door);
    put_store(&page, &store);
    put_process(&page, from);
    return page_finish(&page, "text/plain; version=0.0.4; charset=utf-8", out);
}
