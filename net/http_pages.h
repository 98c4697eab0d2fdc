/* http_pages.h -- what the server answers to GET: health, metrics, the list of documents. */
#ifndef SYN_HTTP_PAGES_H
#define SYN_HTTP_PAGES_H

#include "hub.h"
#include "loops.h"

struct http_pages {
    hub *hub;
    syn_store *store;
    bool draining;
    uint64_t uptime_ms;
    struct loop_stats loops[LOOPS_MAX + 1]; /* the first has the documents */
    uint32_t loop_count;
    uint32_t feeds;
    uint64_t door[LIM_COUNT]; /* refused before they were connections, by limit */
    struct hub_load load;     /* may be some seconds old */
};

/* /healthz, /metrics, /v1/documents (which not everyone may see).  false: another path, or no
 * memory. */
bool http_page(const struct http_pages *from, const char *path, struct http_answer *out);

#endif
