/* http_api.c -- routes, sign-in, the life of a call. */
#include "http_impl.h"

#include "copy.h"
#include "syncline_server.h"
#include "utf8.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char documents_path[] = "/v1/documents";

const char *http_query(const char *query, const char *name)
{
    size_t len = strlen(name);
    for (const char *at = query; *at != '\0'; at += strlen(at) + 1) {
        if (strncmp(at, name, len) != 0) continue;
        if (at[len] == '=') return at + len + 1;
        if (at[len] == '\0') return at + len;
    }
    return NULL;
}

/* ---- Errors ---------------------------------------------------------------------------------- */

void http_fail(struct http_answer *out, int status, const char *code, const char *detail)
{
    size_t len = strlen(detail);
    while (len > 0 && !utf8_valid(detail, len, NULL)) len--; /* cut inside a character */
    json_t *object = json_pack("{s:s, s:s%}", "code", code, "detail", detail, len);
    free(out->body);
    *out = (struct http_answer){.status = status, .type = "application/json"};
    out->body = object != NULL ? json_dumps(object, JSON_COMPACT) : NULL;
    out->len = out->body != NULL ? strlen(out->body) : 0;
    json_decref(object);
}

void http_fail_with(struct http_answer *out, syn_err err, const char *detail)
{
    static const struct {
        syn_err err;
        int status;
        const char *code;
    } known[] = {
        {SYN_ENOTFOUND, 404, "not_found"}, {SYN_EDELETED, 404, "not_found"},
        {SYN_EDENIED, 403, "forbidden"},   {SYN_EKIND, 409, "conflict"},
        {SYN_ERANGE, 409, "conflict"},     {SYN_EMISUSE, 400, "malformed"},
        {SYN_EUTF8, 400, "malformed"},     {SYN_ELIMIT, 413, "too_large"},
        {SYN_EIO, 503, "storage"},         {SYN_EFULL, 503, "storage"},
        {SYN_EDAMAGED, 503, "storage"},
    };
    const char *text = detail[0] != '\0' ? detail : syn_strerror(err);
    for (size_t i = 0; i < sizeof known / sizeof known[0]; i++) {
        if (known[i].err != err) continue;
        http_fail(out, known[i].status, known[i].code, text);
        return;
    }
    http_fail(out, 503, "busy", text);
}

/* ---- Calls ----------------------------------------------------------------------------------- */

void http_call_free(struct http_call *call)
{
    http_api *api = call->api;
    if (call->prev != NULL) call->prev->next = call->next;
    if (call->next != NULL) call->next->prev = call->prev;
    if (api->calls == call) api->calls = call->next;
    if (call->grant != NULL) api->port.release(api->port.user, call->grant);
    json_decref(call->edits);
    free(call->texts);
    free(call);
}

void http_call_end(struct http_call *call)
{
    http_reply_send(call->reply, &call->answer);
    http_call_free(call);
}

void http_call_refuse(struct http_call *call, int status, const char *code, const char *detail)
{
    http_fail(&call->answer, status, code, detail);
    http_call_end(call);
}

void http_call_limited(struct http_call *call)
{
    char text[128];
    const struct limit_info *info = limits_info(call->request.limit);
    snprintf(text, sizeof text, "%s: above the limit of this server (serve --limit %s=N)",
             info->name, info->name);
    http_fail(&call->answer, info->permanent ? 413 : 429, info->permanent ? "too_large" : "busy",
              text);
    call->answer.retry_ms = call->request.wait_ms;
    http_call_end(call);
}

void http_call_json(struct http_call *call, json_t *object)
{
    char *text = object != NULL ? json_dumps(object, JSON_COMPACT) : NULL;
    json_decref(object);
    if (text == NULL) {
        http_call_refuse(call, 503, "busy", "out of memory");
        return;
    }
    call->answer = (struct http_answer){
        .status = 200, .type = "application/json", .body = text, .len = strlen(text)};
    http_call_end(call);
}

bool http_is_json(const struct http_call *call)
{
    static const char type[] = "application/json";
    size_t len = sizeof type - 1;
    if (strncmp(call->type, type, len) != 0) return false;
    return call->type[len] == '\0' || call->type[len] == ';' || call->type[len] == ' ';
}

uint32_t http_rights(const struct http_call *call, syn_str document)
{
    const struct http_port *port = &call->api->port;
    const struct hub_identity who = {{call->user, call->user_len}, call->grant};
    return port->authorise(port->user, &who, document);
}

static void list(struct http_call *call)
{
    struct http_pages pages = {0};
    if (!(call->server & SYN_MAY_LIST)) {
        http_call_refuse(call, 403, "forbidden", "the right to list documents is needed");
        return;
    }
    call->api->port.pages(call->api->port.user, &pages);
    if (!http_page(&pages, documents_path, &call->answer))
        http_fail(&call->answer, 503, "busy", "out of memory");
    http_call_end(call);
}

static void run(struct http_call *call)
{
    http_api *api = call->api;
    call->request =
        (struct hub_request){.user = {call->user, call->user_len}, .bytes = call->body.len};
    bool counts =
        call->route < ROUTE_CONNECTIONS; /* whoever may mend the limits is not under them */
    if (counts && !hub_request(api->hub, &call->request, api->port.now(api->port.user))) {
        http_call_limited(call);
        return;
    }
    switch (call->route) {
    case ROUTE_LIST:
        list(call);
        break;
    case ROUTE_DOCUMENT:
        http_document(call);
        break;
    case ROUTE_FEED:
        http_feed(call);
        break;
    default:
        http_admin(call);
    }
}

/* ---- Sign-in --------------------------------------------------------------------------------- */

static struct http_call *find_call(const http_api *api, uint64_t id)
{
    struct http_call *call = api->calls;
    while (call != NULL && call->id != id) call = call->next;
    return call;
}

void http_signed_in(http_api *api, uint64_t id, const struct hub_identity *who, uint32_t server,
                    uint32_t expires_ms)
{
    struct http_call *call = find_call(api, id);
    if (call == NULL || who->name.len == 0 || who->name.len > LIMIT_USER_BYTES) {
        if (who->grant != NULL) api->port.release(api->port.user, who->grant);
        if (call != NULL) http_call_refuse(call, 401, "unauthenticated", "no user's name");
        return;
    }
    copy_str(call->user, who->name);
    call->user_len = who->name.len;
    call->grant = who->grant;
    call->server = server;
    call->expires_ms = expires_ms;
    run(call);
}

void http_refused(http_api *api, uint64_t id, syn_str reason)
{
    char detail[LIMIT_DETAIL_BYTES] = "";
    struct http_call *call = find_call(api, id);
    if (call == NULL) return;
    size_t len = reason.len < sizeof detail - 1 ? reason.len : sizeof detail - 1;
    if (len != 0) memcpy(detail, reason.data, len);
    http_call_refuse(call, 401, "unauthenticated", detail);
}

static syn_str bearer(const char *authorization)
{
    return syn_s(strncmp(authorization, "Bearer ", 7) == 0 ? authorization + 7 : "");
}

/* ---- Requests -------------------------------------------------------------------------------- */

static const struct {
    const char *path;
    bool named; /* a document's name follows, behind a slash */
    bool get, post, del;
    enum http_route route;
} routes[] = {
    {documents_path, false, true, false, false, ROUTE_LIST},
    {documents_path, true, true, true, true, ROUTE_DOCUMENT},
    {"/v1/feed", false, true, false, false, ROUTE_FEED},
    {"/v1/admin/connections", false, true, false, false, ROUTE_CONNECTIONS},
    {"/v1/admin/documents", true, true, false, false, ROUTE_INSPECT},
    {"/v1/admin/kick", false, false, true, false, ROUTE_KICK},
    {"/v1/admin/limits", false, true, true, false, ROUTE_LIMITS},
};
#define ROUTES (sizeof routes / sizeof routes[0])

/* Its place in the table; ROUTES: no such path. */
static size_t find_route(const char *path, syn_str *name)
{
    *name = (syn_str){"", 0};
    for (size_t i = 0; i < ROUTES; i++) {
        size_t len = strlen(routes[i].path);
        if (strncmp(path, routes[i].path, len) != 0) continue;
        if (!routes[i].named && path[len] == '\0') return i;
        if (!routes[i].named || path[len] != '/') continue;
        *name = syn_s(path + len + 1);
        return i;
    }
    return ROUTES;
}

static bool name_fits(size_t route, syn_str name)
{
    if (!routes[route].named) return true;
    return name.len != 0 && name.len <= LIMIT_NAME_BYTES && utf8_valid(name.data, name.len, NULL);
}

static bool method_fits(size_t route, enum http_method method)
{
    return (method == HTTP_GET && routes[route].get) ||
           (method == HTTP_POST && routes[route].post) ||
           (method == HTTP_DELETE && routes[route].del);
}

static size_t query_size(const char *query)
{
    const char *at = query;
    while (*at != '\0') at += strlen(at) + 1;
    return (size_t)(at - query) + 1;
}

static const char *put_text(char **at, const void *text, size_t len)
{
    char *from = *at;
    if (len != 0) memcpy(from, text, len);
    from[len] = '\0';
    *at = from + len + 1;
    return from;
}

/* What is needed of the request after it is gone. */
static bool copy_request(struct http_call *call, const struct http_request *request, syn_str name)
{
    size_t query = query_size(request->query);
    const char *const short_ones[] = {request->type, request->accept, request->if_match,
                                      request->if_none_match, request->last_event_id};
    const char **const to[] = {&call->type, &call->accept, &call->if_match, &call->if_none_match,
                               &call->last_event_id};
    size_t size = query + name.len + request->body.len + 3;
    for (size_t i = 0; i < 5; i++) size += strlen(short_ones[i]) + 1;
    char *at = call->texts = malloc(size);
    if (at == NULL) return false;
    for (size_t i = 0; i < 5; i++) *to[i] = put_text(&at, short_ones[i], strlen(short_ones[i]));
    call->query = put_text(&at, request->query, query);
    call->name = (syn_str){put_text(&at, name.data, name.len), name.len};
    call->body = (syn_str){put_text(&at, request->body.data, request->body.len), request->body.len};
    call->method = request->method;
    assert(at <= call->texts + size);
    return true;
}

static void refuse(http_reply *reply, int status, const char *code, const char *detail)
{
    struct http_answer answer = {0};
    http_fail(&answer, status, code, detail);
    http_reply_send(reply, &answer);
}

/* Health and metrics, which everyone may see. */
static bool open_page(http_api *api, const struct http_request *request, http_reply *reply)
{
    struct http_answer answer = {.status = 200};
    struct http_pages pages = {0};
    if (strcmp(request->path, documents_path) == 0 || request->method != HTTP_GET) return false;
    api->port.pages(api->port.user, &pages);
    pages.feeds = api->feed_count;
    if (!http_page(&pages, request->path, &answer)) return false;
    http_reply_send(reply, &answer);
    return true;
}

static struct http_call *call_new(http_api *api, const struct http_request *request, syn_str name,
                                  http_reply *reply)
{
    struct http_call *call = calloc(1, sizeof *call);
    if (call == NULL || !copy_request(call, request, name)) {
        free(call);
        return NULL;
    }
    call->api = api;
    call->reply = reply;
    call->id = ++api->next_id;
    call->answer.status = 200;
    call->next = api->calls;
    if (api->calls != NULL) api->calls->prev = call;
    api->calls = call;
    return call;
}

void http_api_asked(http_api *api, const struct http_request *request, http_reply *reply)
{
    syn_str name;
    if (open_page(api, request, reply)) return;
    size_t route = find_route(request->path, &name);
    if (route == ROUTES) {
        refuse(reply, 404, "not_found", "there is nothing here");
    } else if (!name_fits(route, name)) {
        refuse(reply, 400, "malformed", "a document's name is 1 to 255 bytes of UTF-8");
    } else if (!method_fits(route, request->method)) {
        refuse(reply, 405, "method", "this path does not take that method");
    } else {
        struct http_call *call = call_new(api, request, name, reply);
        if (call == NULL) {
            refuse(reply, 503, "busy", "out of memory");
            return;
        }
        call->route = routes[route].route;
        api->port.authenticate(api->port.user, call->id, bearer(request->authorization));
    }
}

size_t http_api_max_body(http_api *api, const struct http_request *request)
{
    syn_str name;
    size_t route = find_route(request->path, &name);
    if (route == ROUTES || !name_fits(route, name) || !method_fits(route, request->method))
        return 0;
    bool known = api->port.may_send(api->port.user, bearer(request->authorization));
    return known ? HTTP_BODY_BYTES : 0;
}

/* ---- Life ------------------------------------------------------------------------------------ */

syn_err http_api_new(http_api **out, hub *h, syn_store *store, const struct http_port *port)
{
    http_api *api = calloc(1, sizeof *api);
    if (api == NULL) return SYN_ENOMEM;
    api->hub = h;
    api->store = store;
    api->port = *port;
    *out = api;
    return SYN_OK;
}

void http_api_free(http_api *api)
{
    if (api == NULL) return;
    while (api->calls != NULL)
        http_call_refuse(api->calls, 503, "going_away", "the server is going away");
    free(api);
}
