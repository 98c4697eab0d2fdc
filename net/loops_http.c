/* loops_http.c -- requests that come in on a loop and are answered at home.
 *
 *     loop: reply  <----- messenger ----->  home: the reply that the HTTP API holds
 *
 * A messenger is made with the request and ends with the answer, or, with a stream, when the
 * connection is gone and home knows.  A stream's pieces are asked for one at a time, when the
 * connection can take one: a slow reader has one piece here. */
#include "loops_impl.h"
#include "ws_http.h"

#include <stdlib.h>
#include <string.h>

struct messenger {
    http_reply base;
    struct loop *loop;
    http_reply *reply;
    /* home's */
    struct http_stream stream;
    bool woken; /* the loop was told, and has not asked since */
    /* the loop's */
    syn_buf ready;
    bool asked, again, over; /* again: woken while a piece was asked for */
};

struct asked {
    struct http_request request;
    size_t size;
    char texts[];
};

static void put(struct bag *bag, enum mail_kind kind, struct messenger *to)
{
    const struct mail mail = {.kind = kind, .to = to};
    (void)bag_put(bag, &mail, 0);
}

/* ---- At home --------------------------------------------------------------------------------- */

static void home_send(http_reply *base, const struct http_answer *answer)
{
    struct messenger *m = (struct messenger *)base;
    const struct mail mail = {.kind = MAIL_ANSWER, .to = m};
    memcpy(mail_bytes(bag_put(&m->loop->post, &mail, sizeof *answer)), answer, sizeof *answer);
}

static bool home_stream(http_reply *base, const struct http_stream *stream)
{
    struct messenger *m = (struct messenger *)base;
    m->stream = *stream;
    put(&m->loop->post, MAIL_STREAM, m);
    return true;
}

static void home_wake(http_reply *base)
{
    struct messenger *m = (struct messenger *)base;
    if (m->woken) return;
    m->woken = true;
    put(&m->loop->post, MAIL_WAKE, m);
}

static void home_asked(struct loop *loop, struct messenger *m, struct asked *asked)
{
    const struct ws_events *events = &loop->all->config.events;
    events->asked(events->user, &asked->request, &m->base);
    explicit_bzero(asked->texts, asked->size); /* a token */
    free(asked);
}

static void home_more(struct messenger *m)
{
    syn_buf out = {0};
    struct mail mail = {.kind = MAIL_PIECE, .to = m};
    m->woken = false;
    mail.number = m->stream.more(m->stream.user, &out);
    struct mail *piece = bag_put(&m->loop->post, &mail, out.len);
    if (out.len != 0) memcpy(mail_bytes(piece), out.data, out.len);
    syn_buf_free(&out);
}

void home_http_mail(struct loop *loop, struct mail *mail)
{
    struct messenger *m = mail->to;
    if (mail->kind == MAIL_ASKED) {
        home_asked(loop, m, mail->with);
    } else if (mail->kind == MAIL_MORE) {
        home_more(m);
    } else { /* MAIL_ENDED */
        m->stream.gone(m->stream.user);
        put(&loop->post, MAIL_FREE, m);
    }
}

/* ---- On the loop ----------------------------------------------------------------------------- */

static const char *copy(char **at, const char *text, size_t len)
{
    char *from = *at;
    memcpy(from, text, len);
    *at = from + len;
    return from;
}

static size_t query_size(const char *query)
{
    const char *at = query;
    while (*at != '\0') at += strlen(at) + 1;
    return (size_t)(at - query) + 1;
}

static struct asked *copy_request(const struct http_request *request)
{
    const char *const texts[] = {
        request->path,     request->authorization, request->type,         request->accept,
        request->if_match, request->if_none_match, request->last_event_id};
    size_t query = query_size(request->query), size = query + request->body.len;
    for (size_t i = 0; i < 7; i++) size += strlen(texts[i]) + 1;
    struct asked *asked = malloc(sizeof *asked + size);
    if (asked == NULL) return NULL;
    struct http_request *to = &asked->request;
    const char **const into[] = {&to->path,     &to->authorization, &to->type,         &to->accept,
                                 &to->if_match, &to->if_none_match, &to->last_event_id};
    char *at = asked->texts;
    *to = *request;
    asked->size = size;
    for (size_t i = 0; i < 7; i++) *into[i] = copy(&at, texts[i], strlen(texts[i]) + 1);
    to->query = copy(&at, request->query, query);
    if (request->body.len != 0) to->body.data = copy(&at, request->body.data, request->body.len);
    return asked;
}

void loop_asked(struct loop *loop, const struct http_request *request, http_reply *reply)
{
    struct messenger *m = calloc(1, sizeof *m);
    struct asked *asked = m != NULL ? copy_request(request) : NULL;
    if (asked == NULL) {
        struct http_answer busy;
        http_error(&busy, 503, "busy", "out of memory");
        free(m);
        http_reply_send(reply, &busy);
        return;
    }
    m->base = (http_reply){home_send, home_stream, home_wake};
    m->loop = loop;
    m->reply = reply;
    const struct mail mail = {.kind = MAIL_ASKED, .to = m, .with = asked};
    (void)bag_put(&loop->out, &mail, 0);
}

static void answer(struct messenger *m, struct mail *mail)
{
    struct http_answer answer;
    memcpy(&answer, mail_bytes(mail), sizeof answer);
    http_reply_send(m->reply, &answer);
    free(m);
}

static bool stream_more(void *user, syn_buf *out)
{
    struct messenger *m = user;
    if (m->ready.len != 0) {
        *out = m->ready;
        m->ready = (syn_buf){0};
        return true;
    }
    if (m->over) return false;
    if (m->asked) return true;
    m->asked = true;
    m->again = false;
    put(&m->loop->out, MAIL_MORE, m);
    return true;
}

static void stream_gone(void *user)
{
    struct messenger *m = user;
    m->over = true;
    m->reply = NULL;
    put(&m->loop->out, MAIL_ENDED, m);
}

static void begin_stream(struct messenger *m)
{
    const struct http_stream stream = {m->stream.type, m, stream_more, stream_gone};
    if (!http_reply_stream(m->reply, &stream)) stream_gone(m);
}

static void take_piece(struct messenger *m, struct mail *mail)
{
    m->asked = false;
    if (mail->number == 0 || syn_buf_append(&m->ready, mail_bytes(mail), mail->len)) m->over = true;
    bool news = m->ready.len != 0 || m->over || m->again;
    if (news && m->reply != NULL) http_reply_wake(m->reply);
}

void loop_http_mail(struct loop *loop, struct mail *mail)
{
    struct messenger *m = mail->to;
    (void)loop;
    if (mail->kind == MAIL_ANSWER) {
        answer(m, mail);
    } else if (mail->kind == MAIL_STREAM) {
        begin_stream(m);
    } else if (mail->kind == MAIL_WAKE) {
        m->again = true;
        if (m->reply != NULL) http_reply_wake(m->reply);
    } else if (mail->kind == MAIL_PIECE) {
        take_piece(m, mail);
    } else { /* MAIL_FREE */
        syn_buf_free(&m->ready);
        free(m);
    }
}
