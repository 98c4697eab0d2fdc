/* http_feed.c -- every stored change as server-sent events.
 *
 * A reader is a cursor into the store's own row of commits; nothing is queued for him:
 *
 *     commits   ... 41 42 43 44 45 46        deletions   ... 5 6
 *                        ^cursor   ^newest                    ^cursor, newest
 *
 * When his connection can take more and something is newer than the cursor, a batch is read.  Who
 * reads slowly is behind, and costs two numbers.  Folding joins commits: one event, with the
 * highest number, then stands for several, so that whoever comes late still learns of every
 * document that changed.  A cursor belongs to one store: after a backup was put in its place, or
 * with a number that was never given out, the reader is told of a gap and goes on from now. */
#include "http_impl.h"

#include "copy.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define FEEDS        256u
#define BATCH_BYTES  32768u
#define BATCH_ROWS   256u   /* looked at before others get in between */
#define HEARTBEAT_MS 15000u /* below what proxies take for silence */
#define EVENT_HEADS  16u

struct feed {
    http_api *api;
    struct feed *prev, *next;
    http_reply *reply;
    char user[LIMIT_USER_BYTES + 1], document[LIMIT_NAME_BYTES + 1];
    size_t user_len, document_len;
    void *grant;
    char store[2 * STORE_ID_BYTES + 1];
    struct store_cursor cursor, newest; /* newest: when it began */
    bool greeted, gap, beat;
    uint64_t spoke, expires; /* 0: never */
};

static uint64_t now_of(const http_api *api)
{
    return api->port.now(api->port.user);
}

/* ---- Events ---------------------------------------------------------------------------------- */

/* With the cursor as its id: who comes back with it goes on behind this event. */
static syn_err put_event(const struct feed *feed, const char *kind, json_t *data, syn_buf *out)
{
    char head[160];
    char *text = data != NULL ? json_dumps(data, JSON_COMPACT) : NULL;
    json_decref(data);
    if (text == NULL) return SYN_ENOMEM;
    int len = snprintf(head, sizeof head,
                       "id: %s-%" PRId64 ".%" PRId64 "\nevent: %s\ndata: ", feed->store,
                       feed->cursor.commit, feed->cursor.deletion, kind);
    syn_err err = syn_buf_append(out, head, (size_t)len);
    if (!err) err = syn_buf_append(out, text, strlen(text));
    if (!err) err = syn_buf_append(out, "\n\n", 2);
    free(text);
    return err;
}

struct batch { /* one walk over the commits */
    struct feed *feed;
    syn_buf *out;
    uint32_t rows;
    bool full;
};

static json_t *heads_json(const struct feed *feed, const struct store_news *news)
{
    syn_id heads[EVENT_HEADS];
    uint32_t count = hub_heads(feed->api->hub, news->name, news->end, heads, EVENT_HEADS);
    json_t *list = count != 0 ? json_array() : NULL;
    for (uint32_t i = 0; list != NULL && i < count; i++)
        (void)json_array_append_new(
            list, json_sprintf("%016" PRIx64 ":%" PRIu32, heads[i].peer, heads[i].seq));
    return list;
}

static bool wants(const struct feed *feed, syn_str name)
{
    const struct http_port *port = &feed->api->port;
    const struct hub_identity who = {{feed->user, feed->user_len}, feed->grant};
    if (feed->document_len != 0 &&
        (feed->document_len != name.len || memcmp(feed->document, name.data, name.len) != 0))
        return false;
    return (port->authorise(port->user, &who, name) & RIGHT_READ) != 0;
}

static json_t *news_json(const struct feed *feed, const struct store_news *news)
{
    if (news->doc == 0)
        return json_pack("{s:I, s:s%}", "deletion", (json_int_t)news->at.deletion, "document",
                         news->name.data, news->name.len);
    return json_pack("{s:I, s:s%, s:I, s:I, s:o*}", "commit_seq", (json_int_t)news->at.commit,
                     "document", news->name.data, news->name.len, "from", (json_int_t)news->from,
                     "events", (json_int_t)(news->end - news->from), "heads",
                     heads_json(feed, news));
}

static syn_err visit(void *user, const struct store_news *news)
{
    struct batch *batch = user;
    struct feed *feed = batch->feed;
    batch->full = batch->out->len >= BATCH_BYTES || ++batch->rows > BATCH_ROWS;
    if (batch->full) return SYN_ELIMIT;
    feed->cursor = news->at;
    if (!wants(feed, news->name)) return SYN_OK;
    const char *kind = news->doc == 0 ? "delete" : "change";
    return put_event(feed, kind, news_json(feed, news), batch->out);
}

static syn_err greet(struct feed *feed, syn_buf *out)
{
    json_t *data = json_pack(
        "{s:s, s:I, s:I, s:I, s:I}", "store", feed->store, "from", (json_int_t)feed->cursor.commit,
        "commit_seq", (json_int_t)feed->newest.commit, "from_deletion",
        (json_int_t)feed->cursor.deletion, "deletion", (json_int_t)feed->newest.deletion);
    feed->greeted = true;
    return put_event(feed, feed->gap ? "gap" : "hello", data, out);
}

/* ---- The stream ------------------------------------------------------------------------------ */

static bool more(void *user, syn_buf *out)
{
    struct feed *feed = user;
    struct batch batch = {.feed = feed, .out = out};
    uint64_t now = now_of(feed->api);
    if (feed->expires != 0 && now >= feed->expires) return false;
    if (!feed->greeted && greet(feed, out)) return false;
    syn_err err = store_feed(feed->api->store, feed->cursor, visit, &batch);
    if (err && !batch.full) return false;
    if (batch.full && out->len == 0) http_reply_wake(feed->reply); /* nothing for him so far */
    if (out->len == 0 && feed->beat && syn_buf_append(out, ":\n\n", 3)) return false;
    feed->beat = false;
    if (out->len != 0) feed->spoke = now;
    return true;
}

static void gone(void *user)
{
    struct feed *feed = user;
    http_api *api = feed->api;
    if (feed->prev != NULL) feed->prev->next = feed->next;
    if (feed->next != NULL) feed->next->prev = feed->prev;
    if (api->feeds == feed) api->feeds = feed->next;
    api->feed_count--;
    if (feed->grant != NULL) api->port.release(api->port.user, feed->grant);
    free(feed);
}

void http_api_changed(http_api *api, syn_str document)
{
    for (struct feed *feed = api->feeds; feed != NULL; feed = feed->next)
        if (feed->document_len == 0 || (feed->document_len == document.len &&
                                        memcmp(feed->document, document.data, document.len) == 0))
            http_reply_wake(feed->reply);
}

void http_api_tick(http_api *api)
{
    uint64_t now = api->feeds != NULL ? now_of(api) : 0;
    for (struct feed *feed = api->feeds; feed != NULL; feed = feed->next) {
        bool ended = feed->expires != 0 && now >= feed->expires;
        if (!ended && now - feed->spoke < HEARTBEAT_MS) continue;
        feed->beat = true;
        http_reply_wake(feed->reply);
    }
}

uint32_t http_feeds_end(http_api *api, syn_str user)
{
    uint32_t ended = 0;
    for (struct feed *feed = api->feeds; feed != NULL; feed = feed->next) {
        if (feed->user_len != user.len || memcmp(feed->user, user.data, user.len) != 0) continue;
        feed->expires = 1; /* long ago */
        http_reply_wake(feed->reply);
        ended++;
    }
    return ended;
}

/* ---- Beginning ------------------------------------------------------------------------------- */

static bool read_number(const char *text, size_t len, int64_t *out)
{
    if (len == 0 || len > 18 || strspn(text, "0123456789") < len) return false;
    *out = strtoll(text, NULL, 10);
    return true;
}

/* "COMMIT", with which deletions before now are not told, or "COMMIT.DELETION". */
static bool read_cursor(const char *text, struct store_cursor *out)
{
    size_t len = strcspn(text, ".");
    if (!read_number(text, len, &out->commit)) return false;
    return text[len] == '\0' || read_number(text + len + 1, strlen(text + len + 1), &out->deletion);
}

/* A cursor, or the id of an event.  false: neither. */
static bool place(struct feed *feed, const char *from)
{
    size_t id = sizeof feed->store - 1;
    feed->cursor = feed->newest;
    if (from == NULL || from[0] == '\0') return true;
    if (strlen(from) > id && from[id] == '-') {
        feed->gap = memcmp(from, feed->store, id) != 0;
        from += id + 1;
    }
    if (!read_cursor(from, &feed->cursor)) return false;
    if (feed->cursor.commit > feed->newest.commit) feed->gap = true;
    if (feed->cursor.deletion > feed->newest.deletion) feed->gap = true;
    if (feed->gap) feed->cursor = feed->newest;
    return true;
}

static void put_store(struct feed *feed)
{
    uint8_t id[STORE_ID_BYTES];
    store_id(feed->api->store, id);
    for (size_t i = 0; i < sizeof id; i++)
        snprintf(feed->store + 2 * i, 3, "%02x", (unsigned)id[i]);
}

static struct feed *feed_new(struct http_call *call, syn_str document)
{
    struct feed *feed = calloc(1, sizeof *feed);
    if (feed == NULL) return NULL;
    feed->api = call->api;
    memcpy(feed->user, call->user, sizeof feed->user);
    feed->user_len = call->user_len;
    copy_str(feed->document, document);
    feed->document_len = document.len;
    feed->spoke = now_of(call->api);
    feed->expires = call->expires_ms != 0 ? feed->spoke + call->expires_ms : 0;
    put_store(feed);
    return feed;
}

/* From here on the stream has the reply and the grant. */
static void begin(struct http_call *call, struct feed *feed)
{
    http_api *api = call->api;
    const struct http_stream stream = {"text/event-stream", feed, more, gone};
    feed->reply = call->reply;
    feed->grant = call->grant;
    call->grant = NULL;
    feed->next = api->feeds;
    if (api->feeds != NULL) api->feeds->prev = feed;
    api->feeds = feed;
    api->feed_count++;
    http_call_free(call);
    if (!http_reply_stream(feed->reply, &stream)) gone(feed);
}

void http_feed(struct http_call *call)
{
    http_api *api = call->api;
    const char *name = http_query(call->query, "document"), *from = call->last_event_id;
    syn_str document = syn_s(name != NULL ? name : "");
    if (from[0] == '\0') from = http_query(call->query, "from");
    if (document.len > LIMIT_NAME_BYTES) {
        http_call_refuse(call, 400, "malformed", "a document's name is 1 to 255 bytes");
        return;
    }
    if (document.len != 0 && !(http_rights(call, document) & RIGHT_READ)) {
        http_call_refuse(call, 403, "forbidden", "the right to read is needed");
        return;
    }
    struct feed *feed = api->feed_count < FEEDS ? feed_new(call, document) : NULL;
    if (feed == NULL || store_feed_end(api->store, &feed->newest)) {
        free(feed);
        http_call_refuse(call, 503, "busy", "too many feeds");
    } else if (!place(feed, from)) {
        free(feed);
        http_call_refuse(call, 400, "malformed",
                         "from is a cursor like 42 or 42.7, or the id of an event");
    } else {
        begin(call, feed);
    }
}
