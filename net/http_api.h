/* http_api.h -- documents over HTTP: the same rights and the same promise as over WebSocket, that
 * nothing is told or acknowledged which is not on the disk.  openapi.json describes it.
 *
 * A request waits for whoever says who asks (maybe later), then for the hub, whose answer comes
 * when the turn is stored. */
#ifndef SYN_HTTP_API_H
#define SYN_HTTP_API_H

#include "http_pages.h"
#include "hub.h"
#include "ws_server.h"

#define HTTP_BODY_BYTES   (1024u * 1024u)
#define HTTP_ANSWER_BYTES ((size_t)64 << 20)

typedef struct http_api http_api;

struct http_port {
    void *user;
    uint64_t (*now)(void *user);
    /* Who is it?  Answered with http_signed_in() or http_refused(), maybe at once. */
    void (*authenticate)(void *user, uint64_t id, syn_str token);
    /* Is the token good, as far as can be said at once?  Before a body is read. */
    bool (*may_send)(void *user, syn_str token);
    uint32_t (*authorise)(void *user, const struct hub_identity *who, syn_str document);
    void (*release)(void *user, void *grant);
    void (*pages)(void *user, struct http_pages *out);
    /* Hold from now on, until the server ends. */
    void (*limit)(void *user, const struct limits *limits);
};

syn_err http_api_new(http_api **out, hub *h, syn_store *store, const struct http_port *port);
/* What still waits for sign-in is answered first.  NULL is fine. */
void http_api_free(http_api *api);

size_t http_api_max_body(http_api *api, const struct http_request *request);
void http_api_asked(http_api *api, const struct http_request *request, http_reply *reply);

/* A document got new events or was deleted, and that is on the disk. */
void http_api_changed(http_api *api, syn_str document);
/* About once a second. */
void http_api_tick(http_api *api);

/* server: SYN_MAY_LIST, SYN_MAY_ADMIN.  Takes the grant over.  expires_ms 0: never. */
void http_signed_in(http_api *api, uint64_t id, const struct hub_identity *who, uint32_t server,
                    uint32_t expires_ms);
void http_refused(http_api *api, uint64_t id, syn_str reason);

#endif
