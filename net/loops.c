/* loops.c -- home's side of several loops, and their life.
 *
 * The hub stays on one thread: what is dear about a server with many readers is not what it decides
 * but sendto(), TLS and handshakes, and these are what the loops share.  A frame to a thousand
 * readers is a thousand mails of some 50 bytes that name one body.
 *
 * A link may have WINDOW bytes under way: in the mailbox, or waiting for a socket that takes
 * nothing.  Above it home is told that it is blocked, as by a single socket; the hub then sends
 * from its cursor when it may again, so a slow reader costs no more than this. */
#include "loops_impl.h"

#include "copy.h"
#include "proto_limits.h"
#include "ws_listen.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define WINDOW (32u * 1024u)
/* Below it a copy is cheaper than counting who still needs it. */
#define SHARED_ABOVE 128u

/* ---- Sending --------------------------------------------------------------------------------- */

void shared_drop(struct shared *body)
{
    if (body != NULL && atomic_fetch_sub(&body->refs, 1) == 1) free(body);
}

/* The newest body, if it is this one, else a copy; NULL: no memory.  Comparing is a small part of
 * what sending costs, and needs no word from whoever sends about what is the same. */
static struct shared *share(loops *all, syn_str bytes)
{
    struct shared *last = all->last;
    if (last == NULL || last->len != bytes.len || memcmp(last->bytes, bytes.data, bytes.len) != 0) {
        struct shared *fresh = malloc(sizeof *fresh + bytes.len);
        if (fresh == NULL) return NULL;
        atomic_init(&fresh->refs, 1);
        fresh->len = (uint32_t)bytes.len;
        copy_str(fresh->bytes, bytes);
        shared_drop(last);
        last = all->last = fresh;
    }
    atomic_fetch_add_explicit(&last->refs, 1, memory_order_relaxed);
    return last;
}

static void put_frame(loops *all, struct link *link, syn_str head, syn_str body)
{
    struct mail mail = {.kind = MAIL_SEND, .to = link};
    struct shared *shared = body.len > SHARED_ABOVE ? share(all, body) : NULL;
    size_t own = shared != NULL ? 0 : body.len;
    mail.with = shared;
    char *at = mail_bytes(bag_put(&link->loop->post, &mail, head.len + own));
    copy_str(at, head);
    if (own != 0) memcpy(at + head.len, body.data, own);
}

static void note_most(struct link *link)
{
    const struct ws_events *events = &link->loop->all->config.events;
    if (link->conn == NULL) return; /* it is just being made known */
    atomic_store_explicit(&link->most, events->max_message(events->user, link->conn),
                          memory_order_relaxed);
}

/* Said first and looked at then, for the loop looks only when it has sent something. */
static bool has_room(struct link *link)
{
    if (link->posted - atomic_load(&link->sent) < WINDOW) return true;
    atomic_store(&link->wanted, true);
    return link->posted - atomic_load(&link->sent) < WINDOW / 2;
}

bool loops_send(loops *all, void *at, syn_str head, syn_str body)
{
    struct link *link = at;
    if (all->only != NULL) return ws_send(at, head, body);
    if (link->closed) return true;
    note_most(link);
    put_frame(all, link, head, body);
    link->posted += head.len + body.len;
    return has_room(link);
}

void loops_close(loops *all, void *at, unsigned status, const char *reason)
{
    struct link *link = at;
    if (all->only != NULL) {
        ws_close(at, status, reason);
        return;
    }
    struct mail mail = {.kind = MAIL_CLOSE, .to = link, .number = status};
    size_t len = strlen(reason) + 1;
    if (link->closed) return;
    link->closed = true;
    memcpy(mail_bytes(bag_put(&link->loop->post, &mail, len)), reason, len);
}

/* ---- What comes in --------------------------------------------------------------------------- */

static void on_connected(loops *all, struct link *link)
{
    const struct ws_events *events = &all->config.events;
    link->conn = events->connected(events->user, link);
    if (link->conn == NULL) loops_close(all, link, 1001, "not now");
}

static void on_gone(const loops *all, struct link *link)
{
    const struct ws_events *events = &all->config.events;
    const struct mail release = {.kind = MAIL_RELEASE, .to = link};
    link->closed = true;
    if (link->conn != NULL) events->disconnected(events->user, link->conn);
    link->conn = NULL;
    (void)bag_put(&link->loop->post, &release, 0);
}

static void on_reloaded(loops *all, struct mail *mail)
{
    if (mail->number != SYN_OK) {
        all->reload_err = (syn_err)mail->number;
        memcpy(all->reload_detail, mail_bytes(mail), mail->len);
    }
    if (--all->reloading == 0)
        all->reloaded(all->reloaded_user, all->reload_err, all->reload_detail);
}

static void on_link_mail(loops *all, struct mail *mail)
{
    const struct ws_events *events = &all->config.events;
    struct link *link = mail->to;
    if (mail->kind == MAIL_CONNECTED) {
        on_connected(all, link);
        return;
    }
    if (mail->kind == MAIL_GONE) {
        on_gone(all, link);
        return;
    }
    if (link->closed || link->conn == NULL) return;
    if (mail->kind == MAIL_RECEIVED)
        events->message(events->user, link->conn, mail_bytes(mail), mail->len);
    else if (mail->kind == MAIL_WRITABLE)
        events->writable(events->user, link->conn);
    else
        events->fault(events->user, link->conn, (enum ws_fault)mail->number);
    note_most(link);
}

static bool deliver_from(loops *all, struct loop *loop)
{
    size_t at = 0;
    mailbox_take(&loop->outbox, &loop->got);
    for (struct mail *mail; (mail = bag_next(&loop->got, &at)) != NULL;) {
        if (mail->kind <= MAIL_GONE)
            on_link_mail(all, mail);
        else if (mail->kind == MAIL_RELOADED)
            on_reloaded(all, mail);
        else
            home_http_mail(loop, mail);
    }
    bag_empty(&loop->got);
    return at != 0;
}

void loops_deliver(loops *all)
{
    for (uint32_t i = 0; i < all->count; i++) (void)deliver_from(all, &all->loops[i]);
}

static bool flush_to(struct loop *loop)
{
    bool some = loop->post.len != 0;
    if (mailbox_post(&loop->inbox, &loop->post) && loop->running)
        ev_async_send(loop->ev, &loop->wake);
    return some;
}

void loops_flush(loops *all)
{
    for (uint32_t i = 0; i < all->count; i++) (void)flush_to(&all->loops[i]);
}

/* ---- Other calls ----------------------------------------------------------------------------- */

static void tell(loops *all, enum mail_kind kind)
{
    const struct mail mail = {.kind = kind};
    for (uint32_t i = 0; i < all->count; i++) (void)bag_put(&all->loops[i].post, &mail, 0);
}

void loops_reload(loops *all, void (*done)(void *user, syn_err err, const char *detail), void *user)
{
    all->reloaded = done;
    all->reloaded_user = user;
    all->reload_err = SYN_OK;
    all->reload_detail[0] = '\0';
    if (all->only != NULL) {
        syn_err err = ws_server_reload(all->only, all->reload_detail);
        done(user, err, all->reload_detail);
        return;
    }
    all->reloading += all->count;
    tell(all, MAIL_RELOAD);
}

void loops_stop_listening(loops *all)
{
    if (all->only != NULL) ws_server_stop_listening(all->only);
    tell(all, MAIL_DEAF);
}

uint16_t loops_port(const loops *all)
{
    return all->port;
}

const uint32_t turn_bucket_us[TURN_BUCKETS - 1] = {1000,   5000,   10000,  50000,
                                                   100000, 500000, 1000000};

uint32_t turn_bucket(uint64_t took_us)
{
    uint32_t bucket = 0;
    while (bucket < TURN_BUCKETS - 1 && took_us > turn_bucket_us[bucket]) bucket++;
    return bucket;
}

uint32_t loops_read_stats(const loops *all, struct loop_stats out[LOOPS_MAX + 1])
{
    memset(out, 0, (LOOPS_MAX + 1) * sizeof *out);
    if (all->only != NULL) ws_server_answers(all->only, out[0].answers);
    for (uint32_t i = 0; i < all->count; i++) {
        const struct loop *loop = &all->loops[i];
        struct loop_stats *to = &out[i + 1];
        to->connections = loop->connections;
        to->wakes = loop->wakes;
        to->busy_us = loop->busy_us;
        to->turn_us_max = loop->turn_us_max;
        for (uint32_t k = 0; k < TURN_BUCKETS; k++) to->turns[k] = loop->turns[k];
        for (uint32_t k = 0; k < 6; k++) to->answers[k] = loop->answers[k];
    }
    return all->count + 1;
}

/* ---- Life ------------------------------------------------------------------------------------ */

static syn_err loop_init(loops *all, struct loop *loop, const struct ws_options *options,
                         char *detail)
{
    struct ws_events events = loop_events(loop);
    loop->all = all;
    mailbox_init(&loop->inbox);
    mailbox_init(&loop->outbox);
    loop->ev = ev_loop_new(EVFLAG_AUTO);
    if (loop->ev == NULL) {
        close(options->fd);
        return SYN_ENOMEM;
    }
    loop_watch(loop);
    return ws_server_new(&loop->ws, loop->ev, options, &events, detail);
}

static syn_err open_loops(loops *all, const int *fds, char *detail)
{
    syn_err err = SYN_OK;
    struct ws_options options = all->config.ws;
    uint32_t wanted = all->config.count;
    options.share = wanted;
    for (uint32_t i = 0; i < wanted; i++) {
        options.fd = fds[i];
        if (err)
            close(fds[i]);
        else if (wanted == 1)
            err =
                ws_server_new(&all->only, all->config.home, &options, &all->config.events, detail);
        else
            err = loop_init(all, &all->loops[all->count++], &options, detail);
    }
    return err;
}

syn_err loops_new(loops **out, const struct loops_config *config, char *detail)
{
    int fds[LOOPS_MAX];
    loops *all = calloc(1, sizeof *all + config->count * sizeof all->loops[0]);
    if (all == NULL) return SYN_ENOMEM;
    all->config = *config;
    syn_err err = ws_listen(config->host, config->port, fds, config->count, &all->port, detail);
    if (!err) err = open_loops(all, fds, detail);
    if (err) {
        loops_stop(all);
        loops_free(all);
        return err;
    }
    *out = all;
    return SYN_OK;
}

syn_err loops_start(loops *all)
{
    for (uint32_t i = 0; i < all->count; i++) {
        struct loop *loop = &all->loops[i];
        if (pthread_create(&loop->thread, NULL, loop_thread, loop) != 0) return SYN_ENOMEM;
        loop->running = true;
    }
    return SYN_OK;
}

static void join_loop(struct loop *loop)
{
    if (loop->running) pthread_join(loop->thread, NULL);
    loop->running = false;
    ws_server_free(loop->ws); /* its connections say that they are gone */
    loop->ws = NULL;
    if (loop->ev != NULL) {
        loop_unwatch(loop);
        ev_loop_destroy(loop->ev);
    }
    loop->ev = NULL;
}

/* What is still under way, both ways. */
static bool settle(struct loop *loop)
{
    bool moved = flush_to(loop);
    struct bag bag = {NULL, 0, 0};
    mailbox_take(&loop->inbox, &bag);
    loop_run_mails(loop, &bag);
    bag_free(&bag);
    (void)mailbox_post(&loop->outbox, &loop->out);
    return deliver_from(loop->all, loop) || moved;
}

void loops_stop(loops *all)
{
    ws_server_free(all->only);
    tell(all, MAIL_STOP);
    loops_flush(all);
    for (uint32_t i = 0; i < all->count; i++) mailbox_close(&all->loops[i].outbox);
    for (uint32_t i = 0; i < all->count; i++) join_loop(&all->loops[i]);
    all->only = NULL;
    for (bool moved = true; moved;) {
        moved = false;
        for (uint32_t i = 0; i < all->count; i++) moved = settle(&all->loops[i]) || moved;
    }
}

void loops_free(loops *all)
{
    if (all == NULL) return;
    for (uint32_t i = 0; i < all->count; i++) {
        struct loop *loop = &all->loops[i];
        while (settle(loop)) continue;
        mailbox_free(&loop->inbox);
        mailbox_free(&loop->outbox);
        bag_free(&loop->out);
        bag_free(&loop->in);
        bag_free(&loop->post);
        bag_free(&loop->got);
    }
    shared_drop(all->last);
    free(all);
}
