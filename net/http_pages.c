/* http_pages.c -- small texts written into a growing buffer. */
#include "http_pages.h"
#include "syncline_bytes.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

struct page {
    syn_buf buf;
    bool failed, first;
};

static void put(struct page *page, const char *format, ...) __attribute__((format(printf, 2, 3)));

static void put(struct page *page, const char *format, ...)
{
    char text[512];
    va_list args;
    va_start(args, format);
    int len = vsnprintf(text, sizeof text, format, args);
    va_end(args);
    if (len > 0 && syn_buf_append(&page->buf, text, (size_t)len)) page->failed = true;
}

static bool finish(struct page *page, const char *type, struct http_answer *out)
{
    if (page->failed) {
        syn_buf_free(&page->buf);
        return false;
    }
    out->type = type;
    out->body = page->buf.data;
    out->len = page->buf.len;
    return true;
}

/* ---- /healthz -------------------------------------------------------------------------------- */

static bool health(const struct http_pages *from, struct http_answer *out)
{
    struct page page = {0};
    const char *text = "ok";
    if (store_failing(from->store)) text = "read-only: the disk is full or failing";
    if (from->draining) text = "going away";
    out->status = strcmp(text, "ok") == 0 ? 200 : 503;
    put(&page, "%s\n", text);
    return finish(&page, "text/plain; charset=utf-8", out);
}

/* ---- /metrics -------------------------------------------------------------------------------- */

static void metric(struct page *page, const char *name, const char *type, const char *help,
                   uint64_t value)
{
    put(page, "# HELP syncline_%s %s\n# TYPE syncline_%s %s\nsyncline_%s %" PRIu64 "\n", name, help,
        name, type, name, value);
}

static void seconds(struct page *page, const char *name, const char *type, const char *help,
                    uint64_t us)
{
    put(page,
        "# HELP syncline_%s %s\n# TYPE syncline_%s %s\nsyncline_%s %" PRIu64 ".%06" PRIu64 "\n",
        name, help, name, type, name, us / 1000000, us % 1000000);
}

static bool metrics(const struct http_pages *from, struct http_answer *out)
{
    struct page page = {0};
    struct hub_stats stats;
    struct store_stats store;
    hub_read_stats(from->hub, &stats);
    store_read_stats(from->store, &store);
    metric(&page, "connections", "gauge", "Open WebSockets.", stats.connections);
    metric(&page, "connections_total", "counter", "WebSockets ever.", stats.connections_total);
    metric(&page, "channels", "gauge", "Open documents of all connections.", stats.channels);
    metric(&page, "documents_loaded", "gauge", "Documents in memory.", stats.rooms);
    metric(&page, "frames_in_total", "counter", "Frames received.", stats.frames_in);
    metric(&page, "frames_out_total", "counter", "Frames sent.", stats.frames_out);
    metric(&page, "bytes_in_total", "counter", "Bytes of frames received.", stats.bytes_in);
    metric(&page, "bytes_out_total", "counter", "Bytes of frames sent.", stats.bytes_out);
    metric(&page, "events_total", "counter", "Events taken in.", stats.events_in);
    metric(&page, "duplicates_total", "counter", "Events received again.", stats.duplicates);
    metric(&page, "nacks_total", "counter", "Frames of changes refused.", stats.nacks);
    metric(&page, "turns_total", "counter", "Turns released.", stats.turns);
    metric(&page, "turns_failed_total", "counter", "Turns whose commit failed.",
           stats.failed_turns);
    metric(&page, "held_answers", "gauge", "Answers that wait for the disk.", stats.held);
    metric(&page, "read_only", "gauge", "1 while the disk is full or failing.", stats.read_only);
    metric(&page, "commits_total", "counter", "Transactions.", store.commits);
    metric(&page, "rows_total", "counter", "Rows written.", store.rows);
    metric(&page, "stored_bytes_total", "counter", "Bytes written into rows.", store.bytes);
    metric(&page, "commits_failed_total", "counter", "Transactions that failed.", store.failed);
    seconds(&page, "commit_seconds_total", "counter", "Time spent in commits.",
            store.commit_us_total);
    seconds(&page, "commit_seconds_max", "gauge", "The longest commit.", store.commit_us_max);
    metric(&page, "wal_pages", "gauge", "Pages in the write-ahead log.", store.wal_pages);
    seconds(&page, "uptime_seconds", "gauge", "Since the start.", from->uptime_ms * 1000);
    return finish(&page, "text/plain; version=0.0.4; charset=utf-8", out);
}

/* ---- /v1/documents --------------------------------------------------------------------------- */

/* Names are UTF-8 without U+0000. */
static void put_json_string(struct page *page, syn_str text)
{
    put(page, "\"");
    for (size_t i = 0; i < text.len; i++) {
        unsigned char c = (unsigned char)text.data[i];
        if (c == '"' || c == '\\')
            put(page, "\\%c", c);
        else if (c < 0x20 || c == 0x7f)
            put(page, "\\u%04x", c);
        else if (syn_buf_append(&page->buf, &text.data[i], 1))
            page->failed = true;
    }
    put(page, "\"");
}

static syn_err put_document(void *user, syn_str name, const struct store_doc *doc)
{
    struct page *page = user;
    put(page, page->first ? "{\"name\":" : ",\n{\"name\":");
    page->first = false;
    put_json_string(page, name);
    put(page, ",\"events\":%" PRIu32 ",\"bytes\":%" PRIu64 "%s}", doc->events, doc->bytes,
        doc->damaged ? ",\"damaged\":true" : "");
    return page->failed ? SYN_ENOMEM : SYN_OK;
}

static bool documents(const struct http_pages *from, struct http_answer *out)
{
    struct page page = {.first = true};
    put(&page, "[");
    if (store_list(from->store, put_document, &page)) page.failed = true;
    put(&page, "]\n");
    return finish(&page, "application/json", out);
}

bool http_page(const struct http_pages *from, const char *path, struct http_answer *out)
{
    if (strcmp(path, "/healthz") == 0) return health(from, out);
    if (strcmp(path, "/metrics") == 0) return metrics(from, out);
    return strcmp(path, "/v1/documents") == 0 && documents(from, out);
}
