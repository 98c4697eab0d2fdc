/* fuzz_http.c -- libFuzzer: requests to the HTTP API, from behind the library that reads sockets.
 *
 *     input -- decisions, one byte each --> requests: right, twisted or made up; sign-ins that are
 *              answered later or never; streams that are read, or not; commits that end later or
 *              fail; time; a server that starts anew on the same store
 *
 * A request is what net/ws_http.c makes of one: strings without NULs, a body that max_body let in.
 * Whatever the input: each request is answered once; answers are well-formed, and nothing in them
 * could end a header early; nobody is told what he may not read; documents pass their own check;
 * and what a POST was told to hold is there in the end, in a server that starts anew. */
#include "hub.h"
#include "hub_impl.h"
#include "http_api.h"
#include "syncline_server.h"
#include "tests/net/late_work.h"
#include "utf8.h"

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { STEPS = 200, REPLIES = 32, MARKS = 64, REST_ROUNDS = 1000, LONGEST = 48 };

static const char *const doc_names[] = {"a", "r", "s"};
enum { DOCS = 3, SECRET_DOC = 2 };
static const char secret[] = "TOPSECRET";
/* Keys under which right POSTs leave their marks; no input knows them. */
static const char marks_at[] = "/\x7f%08x\x7f/%u";

struct world;
struct reply {
    http_reply base;
    struct world *world;
    struct reply *next;
    int mark; /* -1: none */
    bool may_see;
    bool streams, awake;
    struct http_stream stream;
};

struct mark { /* left by a POST */
    int doc;
    bool told;
};

struct world {
    const uint8_t *at;
    size_t left;
    syn_store *store;
    hub *hub;
    http_api *api;
    uint64_t now, random;
    bool failing;
    struct late_work late;
    struct reply *replies;
    uint32_t reply_count;
    uint64_t waiting[8]; /* sign-ins not answered yet */
    uint32_t waiting_count;
    struct mark marks[MARKS];
    uint32_t mark_count;
    bool deletes_wait; /* for a sign-in */
};

static void require(bool holds, const char *what)
{
    if (holds) return;
    fprintf(stderr, "fuzz_http: %s\n", what);
    abort();
}

static uint8_t byte(struct world *w)
{
    if (w->left == 0) return 0;
    w->left--;
    return *w->at++;
}

/* ---- Replies --------------------------------------------------------------------------------- */

static bool holds_secret(const char *data, size_t len)
{
    for (size_t i = 0; i + sizeof secret <= len + 1; i++)
        if (memcmp(data + i, secret, sizeof secret - 1) == 0) return true;
    return false;
}

static void reply_free(struct reply *reply)
{
    struct reply **at = &reply->world->replies;
    while (*at != NULL && *at != reply) at = &(*at)->next;
    require(*at == reply, "a reply that was given up is used again");
    *at = reply->next;
    reply->world->reply_count--;
    free(reply);
}

static bool is_token(const char *text)
{
    for (; *text != '\0'; text++)
        if (*text < 0x20 || *text > 0x7e) return false;
    return true;
}

static void check_json(const struct http_answer *answer)
{
    json_error_t error;
    json_t *json = json_loadb(answer->body, answer->len, JSON_DECODE_ANY, &error);
    require(json != NULL, "an answer is no JSON");
    if (answer->status >= 400) {
        require(json_is_string(json_object_get(json, "code")), "an error without its code");
        require(json_is_string(json_object_get(json, "detail")), "an error without its words");
    }
    json_decref(json);
}

static void check_answer(const struct reply *reply, const struct http_answer *answer)
{
    static const int known[] = {200, 201, 304, 400, 401, 403, 404,
                                405, 409, 412, 413, 415, 429, 503};
    bool found = false;
    for (size_t i = 0; i < sizeof known / sizeof known[0]; i++)
        if (known[i] == answer->status) found = true;
    require(found, "a status that the API does not have");
    require(answer->type != NULL && is_token(answer->type), "no type that a header can hold");
    require(strnlen(answer->etag, sizeof answer->etag) < sizeof answer->etag &&
                is_token(answer->etag),
            "an ETag that a header cannot hold");
    require(answer->len == 0 || answer->body != NULL, "a length without a body");
    require(reply->may_see || !holds_secret(answer->body != NULL ? answer->body : "", answer->len),
            "an answer tells what this user may not read");
    if (answer->len == 0) return;
    require(utf8_valid(answer->body, answer->len, NULL), "an answer is not UTF-8");
    if (strcmp(answer->type, "application/json") == 0) check_json(answer);
}

static void on_answer(http_reply *base, const struct http_answer *answer)
{
    struct reply *reply = (struct reply *)(void *)base;
    struct world *w = reply->world;
    require(!reply->streams, "an answer behind a stream");
    check_answer(reply, answer);
    bool good = answer->status == 200 || answer->status == 201;
    if (reply->mark >= 0 && good) w->marks[reply->mark].told = true;
    free(answer->body);
    reply_free(reply);
}

static bool on_stream(http_reply *base, const struct http_stream *stream)
{
    struct reply *reply = (struct reply *)(void *)base;
    require(!reply->streams, "two streams for one request");
    if (byte(reply->world) % 16 == 0) { /* the connection is gone already */
        reply_free(reply);
        return false;
    }
    reply->streams = reply->awake = true;
    reply->stream = *stream;
    return true;
}

static void on_wake(http_reply *base)
{
    struct reply *reply = (struct reply *)(void *)base;
    require(reply->streams, "what is no stream is woken");
    reply->awake = true;
}

static void end_stream(struct reply *reply)
{
    struct http_stream stream = reply->stream;
    stream.gone(stream.user);
    reply_free(reply);
}

static void read_stream(struct reply *reply)
{
    syn_buf out = {0};
    reply->awake = false;
    bool goes_on = reply->stream.more(reply->stream.user, &out);
    require(out.len == 0 || utf8_valid(out.data, out.len, NULL), "a stream is not UTF-8");
    require(reply->may_see || !holds_secret(out.data, out.len), "a stream tells what it must not");
    if (out.len != 0 && goes_on) reply->awake = true;
    syn_buf_free(&out);
    if (!goes_on) end_stream(reply);
}

/* ---- The world ------------------------------------------------------------------------------- */

static void *store_memory(void *user, void *old, size_t old_len, size_t len)
{
    const struct world *w = user;
    (void)old_len;
    if (len == 0) {
        free(old);
        return NULL;
    }
    return w->failing ? NULL : realloc(old, len);
}

static uint64_t next_random(void *user)
{
    struct world *w = user;
    w->random = w->random * 6364136223846793005u + 1442695040888963407u;
    return w->random ^ (w->random >> 29);
}

static bool on_send(void *user, void *link, syn_str head, syn_str body)
{
    (void)user;
    (void)link;
    (void)head;
    (void)body;
    return true;
}

static void on_close(void *user, void *link, unsigned status, const char *reason)
{
    (void)user;
    (void)link;
    (void)status;
    (void)reason;
}

static void on_changed(void *user, syn_str document, const syn_doc *doc)
{
    struct world *w = user;
    (void)doc;
    if (w->api != NULL) http_api_changed(w->api, document);
}

static bool on_work(void *user, struct work *work)
{
    struct world *w = user;
    return late_take(&w->late, work);
}

static uint64_t on_now(void *user)
{
    const struct world *w = user;
    return w->now;
}

/* Grants are the letter of the user: "a" may do everything, "w" writes, "r" reads; "s" is a's. */
static const char letters[] = "awr";

static void let_in(struct world *w, uint64_t id, char letter)
{
    const char *at = strchr(letters, letter);
    char *grant = malloc(1);
    require(grant != NULL && at != NULL, "no memory");
    *grant = letter;
    const struct hub_identity who = {{at, 1}, grant};
    uint32_t server = letter == 'a' ? SYN_MAY_LIST | SYN_MAY_ADMIN : 0;
    http_signed_in(w->api, id, &who, server, letter == 'r' ? 5000 : 0);
}

static void on_authenticate(void *user, uint64_t id, syn_str token)
{
    struct world *w = user;
    char letter = '\0';
    if (token.len != 0) letter = token.data[0];
    if (letter != '\0' && strchr(letters, letter) != NULL)
        let_in(w, id, letter);
    else if (letter == 'l' && w->waiting_count < 8)
        w->waiting[w->waiting_count++] = id;
    else
        http_refused(w->api, id, token);
}

static bool on_may_send(void *user, syn_str token)
{
    (void)user;
    return token.len != 0 && (token.data[0] == 'l' || strchr(letters, token.data[0]) != NULL);
}

static uint32_t on_authorise(void *user, const struct hub_identity *who, syn_str document)
{
    const char *grant = who->grant;
    (void)user;
    if (grant == NULL || *grant == 'a') return 15;
    if (document.len == 1 && document.data[0] == doc_names[SECRET_DOC][0]) return 0;
    return *grant == 'w' ? 7 : RIGHT_READ;
}

static void on_release(void *user, void *grant)
{
    (void)user;
    free(grant);
}

static void on_pages(void *user, struct http_pages *out)
{
    struct world *w = user;
    memset(out, 0, sizeof *out);
    out->hub = w->hub;
    out->store = w->store;
    out->loop_count = 1;
}

static void on_limit(void *user, const struct limits *limits)
{
    struct world *w = user;
    hub_limit(w->hub, limits);
}

static void start(struct world *w)
{
    struct hub_port port = {.user = w,
                            .random = next_random,
                            .send = on_send,
                            .close = on_close,
                            .release = on_release,
                            .changed = on_changed,
                            .work = on_work};
    const struct http_port http = {w,          on_now,   on_authenticate, on_may_send, on_authorise,
                                   on_release, on_pages, on_limit};
    w->late.refuse = false;
    require(hub_new(&w->hub, w->store, &port) == SYN_OK, "no hub");
    hub_tune(w->hub, &(struct hub_tuning){.frame_piece = 64, .fold_rows = 8, .fold_bytes = 256});
    require(http_api_new(&w->api, w->hub, w->store, &http) == SYN_OK, "no API");
}

static bool turn_over(struct world *w)
{
    w->now += 100;
    hub_tick(w->hub, w->now);
    hub_flush(w->hub, w->now);
    store_poll(w->store);
    late_all(&w->late, w->hub, w->now);
    return hub_idle(w->hub) && !store_failing(w->store);
}

static void rest(struct world *w)
{
    int rounds = 0;
    w->failing = false;
    while (!turn_over(w) && rounds < REST_ROUNDS) rounds++;
    require(rounds < REST_ROUNDS, "the hub does not come to rest");
}

static void stop(struct world *w)
{
    for (struct reply *reply = w->replies, *next; reply != NULL; reply = next) {
        next = reply->next;
        if (reply->streams) end_stream(reply);
    }
    rest(w);
    http_api_free(w->api); /* answers those whose sign-in never was */
    w->api = NULL;
    w->waiting_count = 0;
    rest(w);
    require(w->replies == NULL, "a request was never answered");
    hub_free(w->hub);
}

/* ---- What is asked --------------------------------------------------------------------------- */

struct text { /* made of decisions; the longest fits */
    char at[512];
    size_t len;
};

static void put(struct text *text, const char *more, size_t len)
{
    if (len > sizeof text->at - 2 - text->len) len = sizeof text->at - 2 - text->len;
    memcpy(text->at + text->len, more, len);
    text->len += len;
    text->at[text->len] = '\0';
}

/* Bytes of the input, no NULs among them. */
static void put_raw(struct world *w, struct text *text)
{
    uint32_t len = byte(w) % LONGEST;
    for (uint32_t i = 0; i < len && w->left != 0; i++) {
        char c = (char)byte(w);
        if (c != '\0') put(text, &c, 1);
    }
}

#define PICK(w, table) (table)[byte(w) % (sizeof(table) / sizeof(table)[0])]

static void put_pick(struct text *text, const char *picked)
{
    put(text, picked, strlen(picked));
}

static void put_path(struct world *w, struct text *text)
{
    static const char *const paths[] = {"/v1/documents/a",
                                        "/v1/documents/r",
                                        "/v1/documents/s",
                                        "/v1/documents/",
                                        "/v1/documents",
                                        "/v1/feed",
                                        "/v1/admin/connections",
                                        "/v1/admin/documents/s",
                                        "/v1/admin/kick",
                                        "/v1/admin/limits",
                                        "/healthz",
                                        "/metrics",
                                        "/",
                                        "/v1/documents/a"};
    uint8_t how = byte(w);
    put_pick(text, paths[how % (sizeof paths / sizeof paths[0])]);
    if (how >= 224) put_raw(w, text);
}

static void put_query(struct world *w, struct text *text)
{
    static const char *const parts[] = {
        "text",       "text=",      "text=t", "path=/k",   "path=",  "at=1",
        "at=0",       "at=4000",    "at=2-",  "from=0",    "from=1", "from=1.1",
        "document=a", "document=s", "user=w", "path=/k/0", "at=",    "from="};
    uint32_t count = byte(w) % 4;
    for (uint32_t i = 0; i < count && text->len < 200; i++) {
        uint8_t how = byte(w);
        if (how >= 192)
            put_raw(w, text);
        else
            put_pick(text, parts[how % (sizeof parts / sizeof parts[0])]);
        if (text->len != 0 && text->at[text->len - 1] != '\0') put(text, "", 1);
    }
}

static void put_edits(struct world *w, struct text *text)
{
    static const char *const pieces[] = {"{\"set\":\"/k\",\"value\":1}",
                                         "{\"set\":\"/k/-\",\"value\":[1,{\"x\":2}]}",
                                         "{\"insert\":\"t\",\"at\":0,\"text\":\"hello\"}",
                                         "{\"delete\":\"t\",\"at\":0,\"count\":2}",
                                         "{\"incr\":\"/n\",\"by\":3}",
                                         "{\"delete\":\"/k\"}",
                                         "{\"set\":\"/k\",\"value\":{},\"force\":true}",
                                         "{\"set\":\"/a/b/c\",\"value\":\"",
                                         "\"}",
                                         ",",
                                         "[",
                                         "]",
                                         "{",
                                         "}",
                                         "1e400",
                                         "\\ud800",
                                         "{\"insert\":\"/l\",\"at\":0,\"text\":\"x\"}",
                                         "{\"set\":\"/f\",\"value\":0.1}",
                                         "null",
                                         "-1",
                                         "{\"user_events\":10}",
                                         "{\"connection\":\"1\"}",
                                         "{\"user\":\"r\"}",
                                         "{\"frame_bytes\":4096}"};
    uint32_t count = 1 + byte(w) % 6;
    bool list = byte(w) % 8 != 0;
    if (list) put(text, "[", 1);
    for (uint32_t i = 0; i < count; i++) {
        uint8_t how = byte(w);
        if (i != 0 && list) put(text, ",", 1);
        if (how >= 224)
            put_raw(w, text);
        else
            put_pick(text, pieces[how % (sizeof pieces / sizeof pieces[0])]);
    }
    if (list) put(text, "]", 1);
}

/* A right edit that leaves a mark. */
static int put_mark(struct world *w, struct text *text, int doc)
{
    char path[64], edit[128];
    if (w->mark_count == MARKS) return -1;
    int mark = (int)w->mark_count++;
    w->marks[mark] = (struct mark){.doc = doc};
    snprintf(path, sizeof path, marks_at, 0x5eedu, (unsigned)mark);
    snprintf(edit, sizeof edit, "[{\"set\":\"%s\",\"value\":%d}]", path, mark);
    put_pick(text, edit);
    return mark;
}

struct asked {
    struct text path, query, authorization, type, accept, if_match, if_none_match, last_id, body;
};

static void put_header(struct world *w, struct text *text, const char *const *known, size_t count)
{
    uint8_t how = byte(w);
    if (how >= 224)
        put_raw(w, text);
    else if (how % 2 != 0)
        put_pick(text, known[how / 2 % count]);
}

static void ask(struct world *w, struct asked *asked, enum http_method method, int mark)
{
    struct reply *reply = calloc(1, sizeof *reply);
    require(reply != NULL, "no memory");
    const char *token = asked->authorization.at;
    reply->base = (http_reply){on_answer, on_stream, on_wake};
    reply->world = w;
    reply->mark = mark;
    reply->may_see = strncmp(token, "Bearer a", 8) == 0 || strncmp(token, "Bearer l", 8) == 0;
    reply->next = w->replies;
    w->replies = reply;
    w->reply_count++;
    struct http_request request = {.method = method,
                                   .path = asked->path.at,
                                   .query = asked->query.at,
                                   .authorization = token,
                                   .type = asked->type.at,
                                   .accept = asked->accept.at,
                                   .if_match = asked->if_match.at,
                                   .if_none_match = asked->if_none_match.at,
                                   .last_event_id = asked->last_id.at};
    if (asked->body.len != 0) {
        request.unread = http_api_max_body(w->api, &request) < asked->body.len;
        if (!request.unread) request.body = (syn_str){asked->body.at, asked->body.len};
    }
    http_api_asked(w->api, &request, &reply->base);
}

/* Nothing is expected any more of what stands under this path, which somebody asks to delete. */
static void forget_marks(struct world *w, const char *path)
{
    for (uint32_t i = 0; i < w->mark_count; i++) {
        struct mark *mark = &w->marks[i];
        if (mark->doc >= 0 && (path == NULL || strstr(path, doc_names[mark->doc]) != NULL))
            mark->doc = -1;
    }
}

static void ask_anything(struct world *w)
{
    static const char *const tokens[] = {"Bearer a", "Bearer w", "Bearer r",
                                         "Bearer l", "Bearer x", "Basic a"};
    static const char *const types[] = {"application/json", "application/json; charset=utf-8",
                                        "text/plain"};
    static const char *const accepts[] = {"text/plain", "*/*", "application/json"};
    static const char *const tags[] = {"*", "\"1\"", "W/\"0\", \"2-t\"", "\"", ","};
    static const char *const ids[] = {"1", "0.0", "99", "-",
                                      "01000000000000000000000000000000-1.0"};
    static struct asked asked; /* large */
    memset(&asked, 0, sizeof asked);
    uint8_t how = byte(w);
    enum http_method method = (enum http_method)(how % 4);
    put_path(w, &asked.path);
    put_query(w, &asked.query);
    put_pick(&asked.authorization, PICK(w, tokens));
    if (how & 4) put_header(w, &asked.type, types, 3);
    if (how & 8) put_header(w, &asked.accept, accepts, 3);
    if (how & 16) put_header(w, &asked.if_match, tags, 5);
    if (how & 32) put_header(w, &asked.if_none_match, tags, 5);
    if (how & 64) put_header(w, &asked.last_id, ids, 5);
    if (how & 128) put_edits(w, &asked.body);
    if (method == HTTP_DELETE) forget_marks(w, asked.path.at);
    if (method == HTTP_DELETE && asked.authorization.at[7] == 'l') w->deletes_wait = true;
    ask(w, &asked, method, -1);
}

static void ask_rightly(struct world *w)
{
    static struct asked asked;
    uint8_t how = byte(w);
    int doc = how % 2;
    memset(&asked, 0, sizeof asked);
    put_pick(&asked.path, "/v1/documents/");
    put_pick(&asked.path, doc_names[doc]);
    put_pick(&asked.authorization, how & 2 ? "Bearer a" : "Bearer w");
    put_pick(&asked.type, "application/json");
    int mark = put_mark(w, &asked.body, doc);
    if (mark >= 0) ask(w, &asked, HTTP_POST, mark);
}

/* ---- Steps ----------------------------------------------------------------------------------- */

static struct reply *some_stream(struct world *w)
{
    uint32_t skip = byte(w) % 8;
    struct reply *found = NULL;
    for (struct reply *reply = w->replies; reply != NULL; reply = reply->next)
        if (reply->streams && (found == NULL || skip-- != 0)) found = reply;
    return found;
}

static void answer_sign_in(struct world *w)
{
    if (w->waiting_count == 0) return;
    uint64_t id = w->waiting[--w->waiting_count];
    if (w->deletes_wait) forget_marks(w, NULL);
    if (byte(w) % 4 == 0)
        http_refused(w->api, id, syn_s("no"));
    else
        let_in(w, id, 'a');
}

static void step(struct world *w)
{
    uint8_t what = byte(w);
    struct reply *stream;
    switch (what % 12) {
    case 0:
        hub_flush(w->hub, w->now);
        break;
    case 1:
        store_poll(w->store);
        break;
    case 2:
        late_step(&w->late, w->hub, what / 12, w->now);
        break;
    case 3:
        w->now += 1000u * byte(w);
        hub_tick(w->hub, w->now);
        http_api_tick(w->api);
        break;
    case 4:
        stream = some_stream(w);
        if (stream != NULL && stream->awake) read_stream(stream);
        break;
    case 5:
        stream = some_stream(w);
        if (stream != NULL && what >= 192) end_stream(stream);
        break;
    case 6:
        answer_sign_in(w);
        break;
    case 7:
        if (what >= 192) w->failing = !w->failing;
        break;
    case 8:
        ask_rightly(w);
        break;
    case 9:
        if (what >= 230) {
            stop(w);
            start(w);
        }
        break;
    default:
        if (w->reply_count < REPLIES) ask_anything(w);
    }
    for (int i = 0; i < DOCS; i++) {
        const struct room *room = room_find(w->hub, syn_s(doc_names[i]));
        if (room != NULL && room->doc != NULL) syn_doc_check(room->doc);
    }
}

/* ---- Beginning and end ----------------------------------------------------------------------- */

static syn_err write_secret(void *user, syn_doc *doc)
{
    syn_obj text;
    (void)user;
    syn_err err = syn_root(doc, syn_s(""), SYN_TEXT, &text);
    return err ? err : syn_text_insert(doc, text, 0, syn_s(secret));
}

static void done(void *user, syn_err err)
{
    (void)user;
    require(err == SYN_OK || err == SYN_ENOTFOUND || err == SYN_EDELETED,
            "the hub fails with memory there");
}

struct look {
    const struct world *world;
    int doc;
};

static syn_err look_for_marks(void *user, syn_doc *doc)
{
    const struct look *look = user;
    for (uint32_t i = 0; i < look->world->mark_count; i++) {
        const struct mark *mark = &look->world->marks[i];
        char path[64];
        syn_value value;
        if (!mark->told || mark->doc != look->doc) continue;
        snprintf(path, sizeof path, marks_at, 0x5eedu, i);
        require(doc != NULL && syn_doc_resolve(doc, syn_s(path), &value) == SYN_OK &&
                    value.kind == SYN_VALUE_INT && value.as.i == (int64_t)i,
                "an edit that was answered with 200 is lost");
    }
    return doc != NULL ? SYN_OK : SYN_ENOTFOUND;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const uint8_t id[16] = {1};
    static struct world world;
    struct world *w = &world;
    char detail[256];
    *w = (struct world){.at = data, .left = size, .now = 1000, .random = 1};
    store_options options = {.create = true, .random_id = id, .mem = {store_memory, w}};
    require(store_open(&w->store, &options, detail) == SYN_OK, detail);
    start(w);
    hub_edit(w->hub, syn_s(doc_names[SECRET_DOC]), true, write_secret, done, NULL, w->now);
    rest(w);
    for (int i = 0; i < STEPS && w->left != 0; i++) step(w);
    stop(w);
    start(w); /* from what is stored */
    for (int i = 0; i < DOCS; i++) {
        struct look look = {w, i};
        hub_read(w->hub, syn_s(doc_names[i]), look_for_marks, done, &look, w->now);
        rest(w);
    }
    stop(w);
    store_close(w->store);
    return 0;
}
