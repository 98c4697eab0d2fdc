/* ws_http.c -- requests, bodies, answers, streams.
 *
 *     begin ---- body comes ---- complete ---- asked() ... http_reply_send() ---- written
 *        \____ no body ____________________/      |
 *                                                 the connection may end: reply->http = NULL
 *
 * A request's texts are copied when it begins, for libwebsockets drops its headers while the body
 * comes; the body is gathered as it arrives and never above what was promised, so a liar costs no
 * more than what he sends.  Who is refused before his body was read gets his answer, and what still
 * comes is dropped for two seconds: closing at once would let the reset overtake the answer. */
#include "ws_http.h"

#include "proto_limits.h"

#include <libwebsockets.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>

#define BODY_MS          30000u /* for a whole body */
#define LINGER_MS        2000u
#define ANSWER_S         60 /* for whoever has the reply */
#define READER_S         20 /* without taking a piece of the answer */
#define STREAM_READER_S  60
#define BODIES_BYTES     (64u * 1024u * 1024u) /* of all connections */
#define ANSWERS_BYTES    (256u * 1024u * 1024u)
#define SLOWEST_KIB_S    64u /* for an answer, beside BODY_MS */
#define PIECE            16384u
#define PATH_BYTES       1024u
#define QUERY_BYTES      2048u
#define AUTHORIZED_BYTES (LIMIT_TOKEN_BYTES + 64u)
#define SHORT_BYTES      256u

struct http_kept { /* the texts of a request */
    struct http_request request;
    char path[PATH_BYTES], query[QUERY_BYTES], authorization[AUTHORIZED_BYTES];
    char type[SHORT_BYTES], accept[SHORT_BYTES], if_match[SHORT_BYTES], if_none_match[SHORT_BYTES],
        last_event_id[SHORT_BYTES];
};

struct ws_reply {
    http_reply base;
    struct ws_http *http; /* NULL: the connection is gone */
    bool streaming;
    struct http_stream stream;
};

static uint64_t now_ms(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000u + (uint64_t)now.tv_nsec / 1000000u;
}

void http_error(struct http_answer *out, int status, const char *code, const char *detail)
{
    char text[1024];
    int len = snprintf(text, sizeof text, "{\"code\":\"%s\",\"detail\":\"%s\"}\n", code, detail);
    *out = (struct http_answer){.status = status, .type = "application/json"};
    out->body = strdup(len > 0 && (size_t)len < sizeof text ? text : "{}\n");
    out->len = out->body != NULL ? strlen(out->body) : 0;
}

/* ---- Writing --------------------------------------------------------------------------------- */

static bool add(struct ws_http *http, const char *name, const char *value, unsigned char **at,
                unsigned char *end)
{
    return lws_add_http_header_by_name(http->wsi, (const unsigned char *)name,
                                       (const unsigned char *)value, (int)strlen(value), at,
                                       end) == 0;
}

static bool send_headers(struct ws_http *http, const struct http_answer *answer, lws_filepos_t len)
{
    unsigned char buffer[LWS_PRE + 2048], *at = buffer + LWS_PRE, *end = buffer + sizeof buffer - 1;
    bool good = lws_add_http_common_headers(http->wsi, (unsigned)answer->status, answer->type, len,
                                            &at, end) == 0;
    good = good &&
           add(http, "cache-control:", answer->etag[0] != '\0' ? "no-cache" : "no-store", &at, end);
    good = good && add(http, "x-content-type-options:", "nosniff", &at, end);
    if (answer->etag[0] != '\0') good = good && add(http, "etag:", answer->etag, &at, end);
    if (answer->status == 401) good = good && add(http, "www-authenticate:", "Bearer", &at, end);
    if (answer->status == 405) good = good && add(http, "allow:", "GET, POST, DELETE", &at, end);
    if (http->narrow) good = good && add(http, "connection:", "close", &at, end);
    if (answer->status == 503 || answer->status == 429) {
        char seconds[16];
        snprintf(seconds, sizeof seconds, "%u",
                 answer->retry_ms != 0 ? answer->retry_ms / 1000 + 1 : 2);
        good = good && add(http, "retry-after:", seconds, &at, end);
    }
    return good && lws_finalize_write_http_header(http->wsi, buffer + LWS_PRE, &at, end) == 0;
}

static void drop_kept(struct ws_http *http)
{
    if (http->kept != NULL) explicit_bzero(http->kept, sizeof *http->kept); /* a token */
    free(http->kept);
    http->kept = NULL;
}

static void drop_body(struct ws_http *http)
{
    if (http->expected != 0) http->all->body_bytes -= http->expected;
    if (http->answered) http->all->answer_bytes -= http->len;
    http->expected = 0;
    http->answered = false;
    free(http->body);
    http->body = NULL;
    http->len = http->at = 0;
}

/* Everything was written: the next request, or the end of a connection whose body still comes. */
static int finish(struct ws_http *http)
{
    struct lws *wsi = http->wsi;
    bool unread = http->unread, narrow = http->narrow;
    if (narrow && lws_partial_buffered(wsi)) {
        lws_callback_on_writable(wsi);
        return 0;
    }
    drop_body(http);
    if (!unread && narrow) return -1;
    if (!unread) return lws_http_transaction_completed(wsi) ? -1 : 0;
    http->linger = true;
    http->until = now_ms() + LINGER_MS;
    shutdown(lws_get_socket_fd(wsi), SHUT_WR);
    lws_set_timeout(wsi, PENDING_TIMEOUT_USER_OK, (int)(LINGER_MS / 1000));
    return 0;
}

/* While an answer is awaited nothing is read: who closes his side after the request would else be
 * taken for gone before he has his answer.  It is read again before the answer is written, for
 * libwebsockets spins if it waits for one without the other. */
static void hear(struct ws_http *http, bool on)
{
    if (http->deaf == !on) return;
    http->deaf = !on;
    lws_rx_flow_control(http->wsi, on);
}

/* false: the connection is to be ended. */
static bool write_piece(struct ws_http *http)
{
    unsigned char buffer[LWS_PRE + PIECE];
    size_t left = http->len - http->at, len = left < PIECE ? left : PIECE;
    bool last = len == left && !http->unread && !http->narrow;
    memcpy(buffer + LWS_PRE, http->body + http->at, len);
    http->at += len;
    return lws_write(http->wsi, buffer + LWS_PRE, len,
                     last ? LWS_WRITE_HTTP_FINAL : LWS_WRITE_HTTP) >= 0;
}

/* Takes the answer's body over. */
static int answer_with(struct ws_http *http, const struct http_answer *answer)
{
    drop_kept(http);
    drop_body(http);
    http->body = answer->body;
    http->len = answer->len;
    http->answered = true;
    http->all->answer_bytes += answer->len;
    http->until = now_ms() + BODY_MS + answer->len / SLOWEST_KIB_S;
    http->all->answers[answer->status / 100 % 6]++;
    hear(http, true);
    if (!send_headers(http, answer, answer->len)) return -1;
    if (answer->len != 0 && answer->len <= PIECE && !write_piece(http)) return -1;
    lws_set_timeout(http->wsi, PENDING_TIMEOUT_HTTP_CONTENT, READER_S);
    lws_callback_on_writable(http->wsi);
    return 0;
}

/* Great answers to many who do not read them are more than a server has. */
static int answer_within(struct ws_http *http, const struct http_answer *answer)
{
    struct http_answer busy;
    size_t most = ANSWERS_BYTES / http->all->share, now = http->all->answer_bytes;
    bool fits = now == 0 || (now <= most && answer->len <= most - now);
    if (fits) return answer_with(http, answer);
    free(answer->body);
    http_error(&busy, 503, "busy", "too many answers are being sent");
    return answer_with(http, &busy);
}

static int refuse(struct ws_http *http, int status, const char *code, const char *detail)
{
    struct http_answer answer;
    http_error(&answer, status, code, detail);
    return answer_with(http, &answer);
}

static int write_stream(struct ws_http *http)
{
    syn_buf out = {0}, whole = {0};
    char room[LWS_PRE] = {0};
    struct ws_reply *reply = http->reply;
    if (lws_partial_buffered(http->wsi)) return 0;
    bool more = reply->stream.more(reply->stream.user, &out);
    bool fits = syn_buf_append(&whole, room, sizeof room) == SYN_OK &&
                (out.len == 0 || syn_buf_append(&whole, out.data, out.len) == SYN_OK);
    int status = more && fits ? 0 : -1;
    if (status == 0 && out.len != 0) {
        lws_set_timeout(http->wsi, PENDING_TIMEOUT_USER_OK, STREAM_READER_S);
        if (lws_write(http->wsi, (unsigned char *)whole.data + LWS_PRE, out.len, LWS_WRITE_HTTP) <
            0)
            status = -1;
        lws_callback_on_writable(http->wsi); /* there may be more; and it took this one */
    } else if (status == 0) {
        lws_set_timeout(http->wsi, NO_PENDING_TIMEOUT, 0);
    }
    syn_buf_free(&out);
    syn_buf_free(&whole);
    return status;
}

int ws_http_writable(struct ws_http *http)
{
    if (http->failed) return -1;
    if (http->reply != NULL && http->reply->streaming) return write_stream(http);
    if (!http->answered || http->linger) return 0;
    if (now_ms() > http->until) return -1;
    if (http->at == http->len) return finish(http);
    if (!write_piece(http)) return -1;
    if (http->at == http->len) return finish(http);
    lws_set_timeout(http->wsi, PENDING_TIMEOUT_HTTP_CONTENT, READER_S);
    lws_callback_on_writable(http->wsi);
    return 0;
}

void ws_http_end(struct ws_http *http)
{
    struct ws_reply *reply = http->reply;
    http->reply = NULL;
    drop_kept(http);
    drop_body(http);
    memset(http, 0, sizeof *http);
    if (reply == NULL) return;
    reply->http = NULL;
    if (!reply->streaming) return; /* whoever has it will answer, to nobody */
    reply->stream.gone(reply->stream.user);
    free(reply);
}

/* ---- Answers that come later ----------------------------------------------------------------- */

static void send_answer(http_reply *base, const struct http_answer *answer)
{
    struct ws_reply *reply = (struct ws_reply *)base;
    struct ws_http *http = reply->http;
    free(reply);
    if (http == NULL) {
        free(answer->body);
        return;
    }
    http->reply = NULL;
    if (answer_within(http, answer) == 0) return;
    http->failed = true; /* only from its own callbacks may a connection be ended */
    lws_set_timeout(http->wsi, PENDING_TIMEOUT_USER_OK, LWS_TO_KILL_ASYNC);
}

static bool begin_stream(http_reply *base, const struct http_stream *stream)
{
    struct ws_reply *reply = (struct ws_reply *)base;
    struct ws_http *http = reply->http;
    struct http_answer answer = {.status = 200, .type = stream->type};
    if (http != NULL && send_headers(http, &answer, LWS_ILLEGAL_HTTP_CONTENT_LEN)) {
        http->all->answers[2]++;
        reply->streaming = true;
        reply->stream = *stream;
        hear(http, true);
        drop_kept(http);
        drop_body(http);
        lws_callback_on_writable(http->wsi);
        return true;
    }
    if (http != NULL) {
        http->reply = NULL;
        http->failed = true;
        lws_set_timeout(http->wsi, PENDING_TIMEOUT_USER_OK, LWS_TO_KILL_ASYNC);
    }
    free(reply);
    return false;
}

static void wake_stream(http_reply *base)
{
    const struct ws_reply *reply = (struct ws_reply *)base;
    if (reply->http == NULL) return;
    lws_callback_on_writable(reply->http->wsi);
}

void http_reply_send(http_reply *reply, const struct http_answer *answer)
{
    reply->send(reply, answer);
}

bool http_reply_stream(http_reply *reply, const struct http_stream *stream)
{
    return reply->stream(reply, stream);
}

void http_reply_wake(http_reply *reply)
{
    reply->wake(reply);
}

/* ---- Reading --------------------------------------------------------------------------------- */

/* false: longer than any that means something. */
static bool copy(struct lws *wsi, enum lws_token_indexes token, char *out, size_t size)
{
    int len = lws_hdr_total_length(wsi, token);
    out[0] = '\0';
    return len <= 0 || ((size_t)len < size && lws_hdr_copy(wsi, out, (int)size, token) >= 0);
}

static bool copy_query(struct lws *wsi, char *out, size_t size)
{
    size_t at = 0;
    memset(out, 0, size);
    for (int i = 0; lws_hdr_fragment_length(wsi, WSI_TOKEN_HTTP_URI_ARGS, i) > 0; i++) {
        int len =
            lws_hdr_copy_fragment(wsi, out + at, (int)(size - at - 1), WSI_TOKEN_HTTP_URI_ARGS, i);
        if (len < 0) return false;
        at += strlen(out + at) + 1;
        if (at + 2 > size) return false;
        out[at] = '\0';
    }
    return true;
}

static bool copy_last_event(struct lws *wsi, char *out, size_t size)
{
    static const char name[] = "last-event-id:";
    int len = lws_hdr_custom_length(wsi, name, (int)sizeof name - 1);
    out[0] = '\0';
    return len <= 0 || ((size_t)len < size &&
                        lws_hdr_custom_copy(wsi, out, (int)size, name, (int)sizeof name - 1) >= 0);
}

static enum http_method find_method(struct lws *wsi, enum lws_token_indexes *uri)
{
    static const struct {
        enum lws_token_indexes token;
        enum http_method method;
    } methods[] = {{WSI_TOKEN_GET_URI, HTTP_GET},
                   {WSI_TOKEN_POST_URI, HTTP_POST},
                   {WSI_TOKEN_DELETE_URI, HTTP_DELETE}};
    for (size_t i = 0; i < sizeof methods / sizeof methods[0]; i++) {
        *uri = methods[i].token;
        if (lws_hdr_total_length(wsi, *uri) > 0) return methods[i].method;
    }
    return HTTP_OTHER;
}

/* Digits alone, and not too many; SIZE_MAX: it is none. */
static size_t content_length(struct lws *wsi)
{
    char text[20];
    size_t value = 0;
    if (lws_hdr_total_length(wsi, WSI_TOKEN_HTTP_CONTENT_LENGTH) <= 0) return 0;
    if (!copy(wsi, WSI_TOKEN_HTTP_CONTENT_LENGTH, text, sizeof text)) return SIZE_MAX;
    for (const char *at = text; *at != '\0'; at++) {
        if (*at < '0' || *at > '9') return SIZE_MAX;
        value = value * 10 + (size_t)(*at - '0');
    }
    return value;
}

static int ask(struct ws_http *http)
{
    const struct ws_events *events = http->all->events;
    struct http_kept *kept = http->kept;
    struct ws_reply *reply = calloc(1, sizeof *reply);
    if (reply == NULL) return refuse(http, 503, "busy", "out of memory");
    reply->base = (http_reply){send_answer, begin_stream, wake_stream};
    reply->http = http;
    http->reply = reply;
    http->kept = NULL; /* an answer may come at once, and frees what it finds */
    kept->request.body = (syn_str){http->body, http->len};
    kept->request.unread = http->unread;
    char *body = http->body;
    http->body = NULL;
    http->len = 0;
    lws_set_timeout(http->wsi, PENDING_TIMEOUT_USER_OK, ANSWER_S);
    events->asked(events->user, &kept->request, &reply->base);
    explicit_bzero(kept, sizeof *kept);
    free(kept);
    free(body);
    if (http->reply != NULL && !http->reply->streaming) hear(http, false);
    return 0;
}

static bool keep_texts(struct ws_http *http, struct lws *wsi)
{
    struct http_kept *kept = calloc(1, sizeof *kept);
    enum lws_token_indexes uri;
    if (kept == NULL) return false;
    http->kept = kept;
    kept->request = (struct http_request){.method = find_method(wsi, &uri),
                                          .path = kept->path,
                                          .query = kept->query,
                                          .authorization = kept->authorization,
                                          .type = kept->type,
                                          .accept = kept->accept,
                                          .if_match = kept->if_match,
                                          .if_none_match = kept->if_none_match,
                                          .last_event_id = kept->last_event_id};
    if (kept->request.method == HTTP_OTHER) return true;
    bool good = copy(wsi, uri, kept->path, sizeof kept->path);
    good = good && copy_query(wsi, kept->query, sizeof kept->query);
    good = good &&
           copy(wsi, WSI_TOKEN_HTTP_AUTHORIZATION, kept->authorization, sizeof kept->authorization);
    good = good && copy(wsi, WSI_TOKEN_HTTP_CONTENT_TYPE, kept->type, sizeof kept->type);
    good = good && copy(wsi, WSI_TOKEN_HTTP_IF_MATCH, kept->if_match, sizeof kept->if_match);
    good = good &&
           copy(wsi, WSI_TOKEN_HTTP_IF_NONE_MATCH, kept->if_none_match, sizeof kept->if_none_match);
    /* A browser's list of types may be long; what does not fit is as if it had not been said. */
    if (!copy(wsi, WSI_TOKEN_HTTP_ACCEPT, kept->accept, sizeof kept->accept))
        kept->accept[0] = '\0';
    return good && copy_last_event(wsi, kept->last_event_id, sizeof kept->last_event_id);
}

static int refuse_long_body(struct ws_http *http, size_t most)
{
    char text[100];
    snprintf(text, sizeof text, "http_body_bytes: the body is longer than %zu bytes", most);
    return refuse(http, 413, "too_large", text);
}

/* Refusals here leave a body unread. */
static int expect_body(struct ws_http *http, size_t len)
{
    const struct ws_events *events = http->all->events;
    size_t most = events->max_body(events->user, &http->kept->request);
    if (most == 0) return ask(http);
    if (len > most) return refuse_long_body(http, most);
    if (http->all->body_bytes + len > BODIES_BYTES / http->all->share)
        return refuse(http, 503, "busy", "too many bodies are being sent");
    http->unread = false; /* it will be read */
    http->expected = len;
    http->all->body_bytes += len;
    http->until = now_ms() + BODY_MS;
    return 0;
}

bool ws_http_looks(struct lws *wsi)
{
    static const char admin[] = "/v1/admin/";
    char path[PATH_BYTES];
    enum lws_token_indexes uri;
    (void)find_method(wsi, &uri);
    if (!copy(wsi, uri, path, sizeof path)) return false;
    return strcmp(path, "/healthz") == 0 || strcmp(path, "/metrics") == 0 ||
           strncmp(path, admin, sizeof admin - 1) == 0;
}

/* libwebsockets ends the line where a path says %0A or %0D: the version is not there then, and Host
 * may not be either, which would be told as a host that is not allowed. */
static bool ends_early(struct lws *wsi)
{
    enum lws_token_indexes uri;
    return find_method(wsi, &uri) != HTTP_OTHER && lws_hdr_total_length(wsi, WSI_TOKEN_HTTP) <= 0;
}

/* What it makes of a path without saying so, that it would be another document's: `&` and `;`
 * divide it into pieces. */
static const char *not_as_said(struct lws *wsi)
{
    enum lws_token_indexes uri;
    if (find_method(wsi, &uri) == HTTP_OTHER) return NULL;
    if (lws_hdr_fragment_length(wsi, uri, 1) > 0) return "in a path & is written %26, and ; %3B";
    return NULL;
}

int ws_http_begin(struct ws_http *http, struct lws *wsi, struct ws_requests *all,
                  enum ws_entry entry)
{
    size_t len = content_length(wsi);
    ws_http_end(http);
    http->wsi = wsi;
    http->all = all;
    bool chunked = lws_hdr_total_length(wsi, WSI_TOKEN_HTTP_TRANSFER_ENCODING) > 0;
    bool post = lws_hdr_total_length(wsi, WSI_TOKEN_POST_URI) > 0;
    bool said = lws_hdr_total_length(wsi, WSI_TOKEN_HTTP_CONTENT_LENGTH) > 0;
    bool good = keep_texts(http, wsi);
    if (http->kept == NULL) return -1;
    http->unread = chunked || len != 0 || (post && !said);
    http->narrow = entry == WS_SPARE;
    if (ends_early(wsi))
        return refuse(http, 400, "malformed",
                      "the request's line ends before its version (%0A and %0D in a path end it)");
    if (entry == WS_FORBIDDEN)
        return refuse(http, 403, "forbidden", "this host or origin is not allowed");
    if (http->narrow && !ws_http_looks(wsi))
        return refuse(http, 503, "busy", "the server is full; come again");
    if (len == SIZE_MAX || (chunked && said))
        return refuse(http, 400, "malformed", "Content-Length is no number");
    if (entry == WS_TOO_FAST)
        return refuse(http, 429, "busy",
                      "address_requests: above the limit of this server "
                      "(serve --limit address_requests=N)");
    if (http->kept->request.method == HTTP_OTHER)
        return refuse(http, 405, "method", "use GET, POST or DELETE");
    if (!good) return refuse(http, 400, "malformed", "a header or the path is too long");
    const char *wrong = not_as_said(wsi);
    if (wrong != NULL) return refuse(http, 400, "malformed", wrong);
    if (chunked || (post && !said))
        return refuse(http, 411, "length", "a body needs Content-Length");
    if (len == 0) return ask(http);
    if (!post) return refuse(http, 400, "malformed", "only POST has a body");
    return expect_body(http, len);
}

int ws_http_body(struct ws_http *http, const void *bytes, size_t len)
{
    if (http->wsi == NULL || http->linger || http->kept == NULL)
        return http->until != 0 && now_ms() > http->until ? -1 : 0;
    if (now_ms() > http->until || http->len + len > http->expected) return -1;
    if (http->len + len > http->at) { /* `at` is what there is room for */
        size_t room = (http->len + len) * 2;
        if (room > http->expected) room = http->expected;
        char *grown = realloc(http->body, room);
        if (grown == NULL) return -1;
        http->body = grown;
        http->at = room;
    }
    memcpy(http->body + http->len, bytes, len);
    http->len += len;
    return 0;
}

/* Also told all of what was not wanted; and again, until the request ends, when something comes
 * behind a body whose answer is being written. */
int ws_http_complete(struct ws_http *http)
{
    bool again = http->answered && !http->unread;
    if (http->kept == NULL && again && !http->linger && http->at == http->len) return finish(http);
    if (http->kept == NULL) return http->linger || again ? -1 : 0;
    http->all->body_bytes -= http->expected;
    http->expected = 0;
    http->at = 0;
    return ask(http);
}
