/* http_impl.h -- what the files of the HTTP API share: the call, one request from its first byte to
 * its answer.
 *
 * Calls are listed while they live, so that a sign-in that answers late finds them by number, and
 * so that the end of the server finds those nobody answered. */
#ifndef SYN_HTTP_IMPL_H
#define SYN_HTTP_IMPL_H

#include "http_api.h"

#include <jansson.h>

enum http_route {
    ROUTE_LIST,
    ROUTE_DOCUMENT,
    ROUTE_FEED,
    ROUTE_CONNECTIONS,
    ROUTE_INSPECT,
    ROUTE_KICK,
    ROUTE_LIMITS
};

struct http_call {
    http_api *api;
    struct http_call *prev, *next;
    uint64_t id;
    http_reply *reply;
    enum http_route route;
    enum http_method method;
    char *texts; /* holds what the pointers below point into */
    const char *query, *type, *accept, *if_match, *if_none_match, *last_event_id;
    syn_str name, body;

    char user[LIMIT_USER_BYTES + 1];
    size_t user_len;
    void *grant;
    uint32_t server, expires_ms;

    struct hub_request request; /* as the hub counts it */
    struct http_answer answer;  /* made before it may be told */
    bool may_create;
    bool aside; /* a copy is read, off the loop */
    json_t *edits;
};

struct http_api {
    hub *hub;
    syn_store *store;
    struct http_port port;
    struct http_call *calls;
    struct feed *feeds;
    uint32_t feed_count;
    uint64_t next_id;
};

/* "" if it is there without a value; NULL: it is not there. */
const char *http_query(const char *query, const char *name);
uint32_t http_rights(const struct http_call *call, syn_str document);
/* A JSON error; `detail` may hold anything. */
void http_fail(struct http_answer *out, int status, const char *code, const char *detail);
void http_fail_with(struct http_answer *out, syn_err err, const char *detail);
/* Answers with call->answer and ends the call. */
void http_call_end(struct http_call *call);
/* The call ends, its reply lives on. */
void http_call_free(struct http_call *call);
void http_call_refuse(struct http_call *call, int status, const char *code, const char *detail);

/* As http_call_end: call->request says which limit is in the way, and for how long. */
void http_call_limited(struct http_call *call);

bool http_is_json(const struct http_call *call); /* its body, as it says */
/* Answers 200 with the object, which it takes over. */
void http_call_json(struct http_call *call, json_t *object);

/* ---- http_admin.c */
void http_admin(struct http_call *call);

/* ---- http_documents.c */
void http_document(struct http_call *call);

/* ---- http_feed.c */
void http_feed(struct http_call *call);
uint32_t http_feeds_end(http_api *api, syn_str user);

/* ---- http_edits.c */
/* Is it a list of edits, within bounds?  why: PATH_WHY_BYTES. */
bool http_edits_parse(syn_str body, json_t **out, char *why);
/* All of them in one transaction, or none; full: they would go beyond most_events. */
syn_err http_edits_apply(syn_doc *doc, json_t *edits, uint64_t most_events, bool *full, char *why);

#endif
