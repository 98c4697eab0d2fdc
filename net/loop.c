/* loop.c -- one loop of several: its thread, and what it does with mails. */
#include "loops_impl.h"

#include "copy.h"
#include "proto_limits.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

/* Above it a loop waits until home has taken what there is: its sockets then fill, and who sent too
 * much has to wait, as with a single thread. */
#define OUTBOX_BYTES (8u * 1024u)

static uint64_t now_us(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000u + (uint64_t)now.tv_nsec / 1000u;
}

static void to_home(struct loop *loop, enum mail_kind kind, void *to, uint64_t number)
{
    const struct mail mail = {.kind = kind, .to = to, .number = number};
    (void)bag_put(&loop->out, &mail, 0);
}

/* ---- Links ----------------------------------------------------------------------------------- */

static void *on_connected(void *user, void *ws)
{
    struct loop *loop = user;
    struct link *link = calloc(1, sizeof *link);
    if (link == NULL) return NULL;
    link->loop = loop;
    link->ws = ws;
    link->last = &link->first;
    link->most = LIMIT_PREAUTH_BYTES;
    loop->connections++;
    to_home(loop, MAIL_CONNECTED, link, 0);
    return link;
}

static void drop_waiting(struct link *link)
{
    while (link->first != NULL) {
        struct waiting *next = link->first->next;
        shared_drop(link->first->body);
        free(link->first);
        link->first = next;
    }
    link->last = &link->first;
}

static void on_disconnected(void *user, void *at)
{
    struct loop *loop = user;
    struct link *link = at;
    link->ws = NULL;
    drop_waiting(link);
    loop->connections--;
    to_home(loop, MAIL_GONE, link, 0);
}

static void on_message(void *user, void *link, const void *bytes, size_t len)
{
    struct loop *loop = user;
    const struct mail mail = {.kind = MAIL_RECEIVED, .to = link};
    struct mail *put = bag_put(&loop->out, &mail, len);
    if (len != 0) memcpy(mail_bytes(put), bytes, len);
}

static size_t max_message(void *user, void *at)
{
    const struct link *link = at;
    (void)user;
    return atomic_load_explicit(&link->most, memory_order_relaxed);
}

static void on_fault(void *user, void *link, enum ws_fault fault)
{
    to_home(user, MAIL_FAULT, link, fault);
}

/* ---- Sending --------------------------------------------------------------------------------- */

static void send_now(struct link *link, syn_str head, const struct shared *body)
{
    syn_str rest = {NULL, 0};
    if (body != NULL) rest = (syn_str){body->bytes, body->len};
    link->stuck = !ws_send(link->ws, head, rest);
    atomic_fetch_add(&link->sent, head.len + rest.len);
}

/* false: no memory. */
static bool wait_in_line(struct link *link, syn_str head, struct shared *body)
{
    struct waiting *waiting = malloc(sizeof *waiting + head.len);
    if (waiting == NULL) return false;
    waiting->next = NULL;
    waiting->body = body;
    waiting->len = (uint32_t)head.len;
    copy_str(waiting->head, head);
    *link->last = waiting;
    link->last = &waiting->next;
    return true;
}

/* Home looks at what was sent after it said that it wants to be told. */
static void tell_writable(struct link *link)
{
    if (link->first == NULL && atomic_load(&link->wanted) && atomic_exchange(&link->wanted, false))
        to_home(link->loop, MAIL_WRITABLE, link, 0);
}

static void send_mail(struct link *link, struct mail *mail)
{
    syn_str head = {mail_bytes(mail), mail->len};
    struct shared *body = mail->with;
    if (link->ws != NULL && link->stuck) {
        if (wait_in_line(link, head, body)) return;
        ws_close(link->ws, 1011, "out of memory"); /* with a gap nothing may follow */
    } else if (link->ws != NULL) {
        send_now(link, head, body);
        if (!link->stuck) tell_writable(link);
    }
    shared_drop(body);
}

static void close_now(struct link *link)
{
    ws_close(link->ws, link->close_status, link->reason != NULL ? link->reason : "");
    free(link->reason);
    link->reason = NULL;
}

static void close_mail(struct link *link, struct mail *mail)
{
    if (link->ws == NULL || link->close_status != 0) return;
    link->close_status = (unsigned)mail->number;
    link->reason = strdup(mail_bytes(mail));
    if (link->first == NULL)
        close_now(link);
    else
        ws_hurry(link->ws);
}

static void on_writable(void *user, void *at)
{
    struct link *link = at;
    (void)user;
    link->stuck = false;
    while (link->first != NULL && !link->stuck) {
        struct waiting *waiting = link->first;
        link->first = waiting->next;
        if (link->first == NULL) link->last = &link->first;
        send_now(link, (syn_str){waiting->head, waiting->len}, waiting->body);
        shared_drop(waiting->body);
        free(waiting);
    }
    if (link->stuck) return;
    if (link->close_status != 0)
        close_now(link);
    else
        tell_writable(link);
}

/* ---- Mails ----------------------------------------------------------------------------------- */

static void reload(struct loop *loop)
{
    char detail[256] = "";
    syn_err err = loop->ws != NULL ? ws_server_reload(loop->ws, detail) : SYN_OK;
    const struct mail mail = {.kind = MAIL_RELOADED, .number = (uint64_t)err};
    memcpy(mail_bytes(bag_put(&loop->out, &mail, sizeof detail)), detail, sizeof detail);
}

static void release(struct link *link)
{
    free(link->reason);
    free(link);
}

void loop_run_mails(struct loop *loop, struct bag *bag)
{
    size_t at = 0;
    for (struct mail *mail; (mail = bag_next(bag, &at)) != NULL;) {
        switch ((enum mail_kind)mail->kind) {
        case MAIL_SEND:
            send_mail(mail->to, mail);
            break;
        case MAIL_CLOSE:
            close_mail(mail->to, mail);
            break;
        case MAIL_RELEASE:
            release(mail->to);
            break;
        case MAIL_RELOAD:
            reload(loop);
            break;
        case MAIL_DEAF:
            if (loop->ws != NULL) ws_server_stop_listening(loop->ws);
            break;
        case MAIL_STOP:
            if (loop->ev != NULL) ev_break(loop->ev, EVBREAK_ALL);
            break;
        default:
            loop_http_mail(loop, mail);
        }
    }
    bag_empty(bag);
}

/* ---- The loop -------------------------------------------------------------------------------- */

static void on_wake(struct ev_loop *ev, ev_async *wake, int events)
{
    struct loop *loop = wake->data;
    (void)ev;
    (void)events;
    mailbox_take(&loop->inbox, &loop->in);
    loop_run_mails(loop, &loop->in);
}

static void on_check(struct ev_loop *ev, ev_check *check, int events)
{
    struct loop *loop = check->data;
    (void)ev;
    (void)events;
    loop->busy_since = now_us();
    atomic_fetch_add_explicit(&loop->wakes, 1, memory_order_relaxed);
}

static void tell_stats(struct loop *loop)
{
    uint64_t answers[6];
    uint64_t took = loop->busy_since != 0 ? now_us() - loop->busy_since : 0;
    if (loop->busy_since != 0)
        atomic_fetch_add_explicit(&loop->turns[turn_bucket(took)], 1, memory_order_relaxed);
    loop->busy_us += took;
    if (took > loop->turn_us_max) loop->turn_us_max = took;
    loop->busy_since = 0;
    ws_server_answers(loop->ws, answers);
    for (uint32_t i = 0; i < 6; i++)
        atomic_store_explicit(&loop->answers[i], answers[i], memory_order_relaxed);
}

static void on_prepare(struct ev_loop *ev, ev_prepare *prepare, int events)
{
    struct loop *loop = prepare->data;
    const struct loops_config *config = &loop->all->config;
    (void)ev;
    (void)events;
    bool wake = mailbox_post(&loop->outbox, &loop->out);
    if (wake) config->wake(config->events.user);
    tell_stats(loop);
    mailbox_wait(&loop->outbox, OUTBOX_BYTES);
}

void loop_watch(struct loop *loop)
{
    ev_async_init(&loop->wake, on_wake);
    ev_prepare_init(&loop->prepare, on_prepare);
    ev_check_init(&loop->check, on_check);
    ev_set_priority(&loop->check, EV_MAXPRI); /* before what it measures */
    loop->wake.data = loop->prepare.data = loop->check.data = loop;
    ev_async_start(loop->ev, &loop->wake);
    ev_prepare_start(loop->ev, &loop->prepare);
    ev_check_start(loop->ev, &loop->check);
}

void loop_unwatch(struct loop *loop)
{
    ev_async_stop(loop->ev, &loop->wake);
    ev_prepare_stop(loop->ev, &loop->prepare);
    ev_check_stop(loop->ev, &loop->check);
}

void *loop_thread(void *user)
{
    struct loop *loop = user;
    ev_run(loop->ev, 0);
    return NULL;
}

static size_t max_body(void *user, const struct http_request *request)
{
    const struct loop *loop = user;
    const struct ws_events *events = &loop->all->config.events;
    return events->max_body(events->user, request);
}

static void on_asked(void *user, const struct http_request *request, http_reply *reply)
{
    loop_asked(user, request, reply);
}

struct ws_events loop_events(struct loop *loop)
{
    return (struct ws_events){
        .user = loop,
        .connected = on_connected,
        .disconnected = on_disconnected,
        .message = on_message,
        .max_message = max_message,
        .fault = on_fault,
        .writable = on_writable,
        .max_body = max_body,
        .asked = on_asked,
    };
}
