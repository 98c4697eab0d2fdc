/* http_pages.c -- small texts written into a growing buffer. */
#include "http_text.h"

#include <inttypes.h>
#include <string.h>

/* ---- /healthz -------------------------------------------------------------------------------- */

static bool health(const struct http_pages *from, struct http_answer *out)
{
    struct page page = {0};
    const char *text = "ok";
    if (store_failing(from->store)) text = "read-only: the disk is full or failing";
    if (from->draining) text = "going away";
    out->status = strcmp(text, "ok") == 0 ? 200 : 503;
    page_put(&page, "%s\n", text);
    return page_finish(&page, "text/plain; charset=utf-8", out);
}

/* ---- /v1/documents --------------------------------------------------------------------------- */

/* Names are UTF-8 without U+0000. */
static void put_json_string(struct page *page, syn_str text)
{
    page_put(page, "\"");
    for (size_t i = 0; i < text.len; i++) {
        unsigned char c = (unsigned char)text.data[i];
        if (c == '"' || c == '\\')
            page_put(page, "\\%c", c);
        else if (c < 0x20 || c == 0x7f)
            page_put(page, "\\u%04x", c);
        else if (syn_buf_append(&page->buf, &text.data[i], 1))
            page->failed = true;
    }
    page_put(page, "\"");
}

static syn_err put_document(void *user, syn_str name, const struct store_doc *doc)
{
    struct page *page = user;
    page_put(page, page->first ? "{\"name\":" : ",\n{\"name\":");
    page->first = false;
    put_json_string(page, name);
    page_put(page, ",\"events\":%" PRIu32 ",\"bytes\":%" PRIu64 "%s}", doc->events, doc->bytes,
             doc->damaged ? ",\"damaged\":true" : "");
    return page->failed ? SYN_ENOMEM : SYN_OK;
}

static bool documents(const struct http_pages *from, struct http_answer *out)
{
    struct page page = {.first = true};
    page_put(&page, "[");
    if (store_list(from->store, put_document, &page)) page.failed = true;
    page_put(&page, "]\n");
    return page_finish(&page, "application/json", out);
}

bool http_page(const struct http_pages *from, const char *path, struct http_answer *out)
{
    if (strcmp(path, "/healthz") == 0) return health(from, out);
    if (strcmp(path, "/metrics") == 0) return http_metrics(from, out);
    return strcmp(path, "/v1/documents") == 0 && documents(from, out);
}
