/* http_pages.h -- what the server answers to GET: health, metrics, the list of documents. */
#ifndef SYN_HTTP_PAGES_H
#define SYN_HTTP_PAGES_H

#include "hub.h"
#include "ws_server.h"

struct http_pages {
    hub *hub;
    syn_store *store;
    bool draining;
    uint64_t uptime_ms, loop_busy_us;
    uint64_t answers[6]; /* of HTTP, by the first digit of their status */
    uint32_t feeds;
    struct hub_load load; /* may be some seconds old */
};

/* /healthz, /metrics, /v1/documents (which not everyone may see).  false: another path, or no
 * memory. */
bool http_page(const struct http_pages *from, const char *path, struct http_answer *out);

#endif
