/* http_admin.c -- who is connected, what a document is, ending connections, limits: for those with
 * the admin right, and nobody else learns that a name or a number is there. */
#include "http_impl.h"

#include "syncline_server.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#define CONNECTIONS 10000u

struct listing {
    json_t *list;
    uint32_t count;
};

static bool add(void *user, const struct hub_conn_info *info)
{
    struct listing *listing = user;
    json_t *item = json_pack(
        "{s:o, s:s%, s:I, s:I, s:I}", "id", json_sprintf("%" PRIu64, info->id), "user",
        info->user.data, info->user.len, "seconds", (json_int_t)(info->since_ms / 1000), "channels",
        (json_int_t)info->channels, "queued_bytes", (json_int_t)info->queued_bytes);
    if (item != NULL) (void)json_array_append_new(listing->list, item);
    return ++listing->count < CONNECTIONS;
}

static void connections(struct http_call *call, uint64_t now)
{
    struct listing listing = {.list = json_array()};
    if (listing.list != NULL) hub_each_connection(call->api->hub, now, add, &listing);
    http_call_json(call, listing.list);
}

static void inspect(struct http_call *call)
{
    struct store_doc row;
    struct hub_room_info room;
    http_api *api = call->api;
    syn_err err = store_find(api->store, call->name, &row);
    if (err) {
        http_fail_with(&call->answer, err, "");
        http_call_end(call);
        return;
    }
    bool loaded = hub_inspect(api->hub, call->name, &room);
    json_t *object =
        json_pack("{s:s%, s:I, s:I, s:b, s:b}", "name", call->name.data, call->name.len, "events",
                  (json_int_t)row.events, "stored_bytes", (json_int_t)row.bytes, "damaged",
                  (int)row.damaged, "loaded", (int)loaded);
    if (loaded && object != NULL) {
        (void)json_object_set_new(object, "heads", json_integer((json_int_t)room.heads));
        (void)json_object_set_new(object, "channels", json_integer((json_int_t)room.channels));
        (void)json_object_set_new(object, "memory_bytes",
                                  json_integer((json_int_t)room.memory_bytes));
        (void)json_object_set_new(object, "tail_rows", json_integer((json_int_t)room.tail_rows));
        (void)json_object_set_new(object, "presences", json_integer((json_int_t)room.presences));
    }
    http_call_json(call, object);
}

/* {"connection": "123"} or {"user": "ada"}. */
static bool read_kick(const json_t *object, uint64_t *id, syn_str *user)
{
    const json_t *by_id = json_object_get(object, "connection");
    const json_t *by_user = json_object_get(object, "user");
    const char *digits = json_string_value(by_id);
    *id = 0;
    *user = (syn_str){"", 0};
    if (json_object_size(object) != 1) return false;
    if (json_is_string(by_user)) {
        *user = (syn_str){json_string_value(by_user), json_string_length(by_user)};
        return user->len != 0;
    }
    if (digits == NULL || strlen(digits) > 19 || digits[strspn(digits, "0123456789")] != '\0')
        return false;
    *id = strtoull(digits, NULL, 10);
    return *id != 0;
}

static void kick(struct http_call *call, uint64_t now)
{
    http_api *api = call->api;
    uint64_t id;
    syn_str user;
    if (!http_is_json(call)) {
        http_call_refuse(call, 415, "type", "the body is application/json");
        return;
    }
    call->edits = json_loadb(call->body.data, call->body.len, JSON_REJECT_DUPLICATES, NULL);
    if (!read_kick(call->edits, &id, &user)) {
        http_call_refuse(call, 400, "malformed", "give {\"connection\": ID} or {\"user\": NAME}");
        return;
    }
    uint32_t kicked = hub_kick(api->hub, id, user, now);
    if (id == 0) kicked += http_feeds_end(api, user);
    http_call_json(call, json_pack("{s:I}", "kicked", (json_int_t)kicked));
}

/* ---- Limits ---------------------------------------------------------------------------------- */

static json_t *limit_row(enum limit limit, const struct limits *limits,
                         const struct hub_stats *stats, const uint64_t *door)
{
    const struct limit_info *info = limits_info(limit);
    return json_pack("{s:s, s:I, s:I, s:s, s:I, s:I}", "name", info->name, "value",
                     (json_int_t)limits->of[limit], "default", (json_int_t)info->value, "unit",
                     info->unit, "refused", (json_int_t)(stats->limited[limit] + door[limit]),
                     "slowed", (json_int_t)stats->slowed[limit]);
}

static json_t *user_row(hub *h, const char *name, uint64_t now)
{
    struct hub_user_info info;
    if (!hub_user(h, syn_s(name), &info, now)) return json_null();
    return json_pack("{s:s, s:I, s:I, s:I, s:s?}", "name", name, "connections",
                     (json_int_t)info.connections, "creates", (json_int_t)info.creates, "wait_ms",
                     (json_int_t)info.wait_ms, "limit",
                     info.limit < LIM_COUNT ? limits_info(info.limit)->name : NULL);
}

/* Whose: ?user=NAME or ?document=NAME; NULL: everybody's. */
static const char *whose(const struct http_call *call, enum exception_of *kind)
{
    const char *user = http_query(call->query, "user");
    *kind = user != NULL ? OF_USER : OF_DOCUMENT;
    return user != NULL ? user : http_query(call->query, "document");
}

static json_t *own_limits(const hub *h, enum exception_of kind, const char *name)
{
    struct limits own;
    json_t *object = json_object();
    (void)hub_own_limits(h, kind, syn_s(name), &own);
    for (unsigned i = 0; i < LIM_COUNT; i++)
        if (own.set[i])
            (void)json_object_set_new(object, limits_info((enum limit)i)->name,
                                      json_integer((json_int_t)own.of[i]));
    return object;
}

/* With a name: its own limits, too, and what a user has spent. */
static void show_limits(struct http_call *call, uint64_t now)
{
    enum exception_of kind;
    http_api *api = call->api;
    struct http_pages pages = {0};
    struct hub_stats stats;
    const char *name = whose(call, &kind);
    json_t *list = json_array(), *object = json_object();
    api->port.pages(api->port.user, &pages);
    hub_read_stats(api->hub, &stats);
    for (unsigned i = 0; i < LIM_COUNT; i++)
        (void)json_array_append_new(
            list, limit_row((enum limit)i, hub_limits(api->hub), &stats, pages.door));
    (void)json_object_set_new(object, "limits", list);
    if (name != NULL && kind == OF_USER)
        (void)json_object_set_new(object, "user", user_row(api->hub, name, now));
    if (name != NULL) (void)json_object_set_new(object, "own", own_limits(api->hub, kind, name));
    http_call_json(call, object);
}

/* {"user_events": 1000, ...}: all of them, or none.  null, of one's own: as for everybody. */
static bool read_limits(json_t *object, bool own, struct limits *limits)
{
    const char *name;
    json_t *value;
    if (json_object_size(object) == 0) return false;
    json_object_foreach(object, name, value)
    {
        enum limit limit = limits_find(syn_s(name));
        json_int_t number = json_integer_value(value);
        bool clears = own && json_is_null(value);
        bool good = limit != LIM_COUNT && (clears || (json_is_integer(value) && number >= 0 &&
                                                      limits_may_be(limit, (uint64_t)number)));
        if (!good) return false;
        limits->of[limit] = (uint64_t)number;
        limits->set[limit] = !clears;
    }
    return true;
}

static void set_limits(struct http_call *call, uint64_t now)
{
    http_api *api = call->api;
    enum exception_of kind;
    const char *name = whose(call, &kind);
    struct limits limits = *hub_limits(api->hub);
    if (name != NULL) (void)hub_own_limits(api->hub, kind, syn_s(name), &limits);
    if (!http_is_json(call)) {
        http_call_refuse(call, 415, "type", "the body is application/json");
        return;
    }
    call->edits = json_loadb(call->body.data, call->body.len, JSON_REJECT_DUPLICATES, NULL);
    if (!read_limits(call->edits, name != NULL, &limits)) {
        http_call_refuse(call, 400, "malformed",
                         "give {\"NAME\": NUMBER, ...} within their bounds");
        return;
    }
    syn_err err = name != NULL ? hub_except(api->hub, kind, syn_s(name), &limits) : SYN_OK;
    if (err) {
        const char *why = "of a user: user_...; of a document: document_...; the name: 255 bytes";
        http_fail_with(&call->answer, err, err == SYN_EMISUSE ? why : "");
        http_call_end(call);
        return;
    }
    if (name == NULL) api->port.limit(api->port.user, &limits);
    show_limits(call, now);
}

void http_admin(struct http_call *call)
{
    uint64_t now = call->api->port.now(call->api->port.user);
    if (!(call->server & SYN_MAY_ADMIN))
        http_call_refuse(call, 403, "forbidden", "the admin right is needed");
    else if (call->route == ROUTE_CONNECTIONS)
        connections(call, now);
    else if (call->route == ROUTE_INSPECT)
        inspect(call);
    else if (call->route == ROUTE_KICK)
        kick(call, now);
    else if (call->method == HTTP_POST)
        set_limits(call, now);
    else
        show_limits(call, now);
}
