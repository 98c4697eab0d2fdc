/* rates.c -- how fast anybody may go: buckets of connection, user and document, in that order.
 *
 *     frames, bytes       as they come, whatever they are
 *     events, work        of what was taken in
 *
 * An empty bucket only keeps back the credit that would be given (`starved` lists whom it is owed),
 * so an honest client waits without noticing why.  Who has credit left, from many documents at
 * once, is told to come again; who does not stop then is sent away. */
#include "hub_impl.h"

#include <stdio.h>

static const enum limit rates_of[METERS][RATES] = {
    {LIM_CONNECTION_FRAMES, LIM_CONNECTION_BYTES, LIM_CONNECTION_EVENTS, LIM_CONNECTION_WORK},
    {LIM_USER_FRAMES, LIM_USER_BYTES, LIM_USER_EVENTS, LIM_USER_WORK},
    {LIM_DOCUMENT_FRAMES, LIM_DOCUMENT_BYTES_RATE, LIM_DOCUMENT_EVENTS_RATE, LIM_DOCUMENT_WORK}};

struct meters {
    struct meter *of[METERS]; /* NULL: not known, or not concerned */
    const struct limits *limits[METERS];
};

static struct meters meters_of_all(hub *h, hub_conn *conn, struct account *account,
                                   struct room *room)
{
    return (struct meters){
        {conn != NULL ? &conn->meter : NULL, account != NULL ? &account->meter : NULL,
         room != NULL ? &room->meter : NULL},
        {&h->limits, account != NULL ? account->limits : NULL, room != NULL ? room->limits : NULL}};
}

static struct meters meters_of(hub_conn *conn, struct room *room)
{
    return meters_of_all(conn->hub, conn, conn->account, room);
}

static void charge(hub *h, struct meters meters, enum rate rate, uint64_t cost)
{
    for (int i = 0; i < METERS; i++)
        if (meters.of[i] != NULL)
            bucket_take(&meters.of[i]->of[rate], limits_rate(meters.limits[i], rates_of[i][rate]),
                        cost, h->now);
}

/* Of the first `kinds` rates. */
static struct pace look(hub *h, struct meters meters, int kinds)
{
    struct pace worst = {.state = BUCKET_GOOD, .limit = LIM_NONE};
    for (int i = 0; i < METERS; i++) {
        for (int k = 0; meters.of[i] != NULL && k < kinds; k++) {
            struct bucket *bucket = &meters.of[i]->of[k];
            if (bucket->spent == 0) continue;
            struct bucket_rate rate = limits_rate(meters.limits[i], rates_of[i][k]);
            uint32_t wait = bucket_wait(bucket, rate, h->now);
            if (wait <= worst.wait_ms) continue;
            worst = (struct pace){bucket_look(bucket, rate, h->now), rates_of[i][k], wait};
        }
    }
    return worst;
}

/* ---- As frames come -------------------------------------------------------------------------- */

struct pace rates_received(hub_conn *conn, size_t bytes)
{
    struct meters meters = meters_of(conn, NULL);
    charge(conn->hub, meters, RATE_FRAMES, 1);
    charge(conn->hub, meters, RATE_BYTES, bytes);
    return look(conn->hub, meters, RATE_BYTES + 1); /* what was asked of it, not what it cost */
}

struct pace rates_of_user(hub *h, struct account *account)
{
    return look(h, meters_of_all(h, NULL, account, NULL), RATES);
}

bool rates_control(hub_conn *conn)
{
    hub *h = conn->hub;
    struct bucket_rate rate = limits_rate(&h->limits, LIM_CONNECTION_CONTROL);
    bucket_take(&conn->control, rate, 1, h->now);
    return bucket_look(&conn->control, rate, h->now) == BUCKET_GOOD;
}

struct pace rates_offered(struct channel *ch, size_t bytes)
{
    hub *h = ch->conn->hub;
    struct meters room = meters_of_all(h, NULL, NULL, ch->room);
    if (!h->charged) { /* what has waited was, before it did */
        charge(h, room, RATE_FRAMES, 1);
        charge(h, room, RATE_BYTES, bytes);
        h->charged = true;
    }
    return look(h, meters_of(ch->conn, ch->room), RATES);
}

void rates_taken(struct channel *ch, uint64_t events, uint64_t work)
{
    struct meters meters = meters_of(ch->conn, ch->room);
    charge(ch->conn->hub, meters, RATE_EVENTS, events);
    charge(ch->conn->hub, meters, RATE_WORK, work);
}

/* ---- Requests -------------------------------------------------------------------------------- */

void request_limited(hub *h, struct hub_request *request, enum limit limit, uint32_t wait_ms)
{
    request->limit = limit;
    request->wait_ms = wait_ms < MAX_RETRY_MS ? wait_ms : MAX_RETRY_MS;
    hub_count(h, limits_info(limit)->code);
    hub_count_limit(h, limit);
}

/* There is no credit to keep back: who is beyond is told so at once. */
static bool may(hub *h, struct meters meters, struct hub_request *request)
{
    struct pace pace = look(h, meters, RATES);
    if (pace.state != BUCKET_GOOD) request_limited(h, request, pace.limit, pace.wait_ms);
    return pace.state == BUCKET_GOOD;
}

static struct meters meters_of_user(hub *h, const struct hub_request *request)
{
    return meters_of_all(h, NULL, account_of(h, request->user), NULL);
}

bool hub_request(hub *h, struct hub_request *request, uint64_t now)
{
    struct meters meters = meters_of_user(h, request);
    h->now = now;
    request->limit = LIM_NONE;
    if (!may(h, meters, request)) return false;
    charge(h, meters, RATE_FRAMES, 1);
    charge(h, meters, RATE_BYTES, request->bytes);
    return true;
}

void hub_answered(hub *h, const struct hub_request *request, size_t bytes, uint64_t now)
{
    h->now = now;
    charge(h, meters_of_user(h, request), RATE_BYTES, bytes);
}

bool rates_request(hub *h, struct hub_request *request, struct room *room)
{
    struct meters meters = meters_of_all(h, NULL, NULL, room);
    if (!may(h, meters, request)) return false;
    charge(h, meters, RATE_FRAMES, 1);
    charge(h, meters, RATE_BYTES, request->bytes);
    return true;
}

void rates_edited(struct room *room, const struct hub_request *request, uint64_t events,
                  uint64_t work)
{
    struct meters meters =
        meters_of_all(room->hub, NULL, account_of(room->hub, request->user), room);
    charge(room->hub, meters, RATE_EVENTS, events);
    charge(room->hub, meters, RATE_WORK, work);
}

/* ---- Credit ---------------------------------------------------------------------------------- */

/* Most that somebody is left to wait before it is looked at again: rates may have been changed. */
#define LOOK_AGAIN_MS 1000u

static void starve(hub_conn *conn, struct pace pace)
{
    hub *h = conn->hub;
    uint64_t at = h->now + (pace.wait_ms < LOOK_AGAIN_MS ? pace.wait_ms : LOOK_AGAIN_MS);
    if (h->feed_at == 0 || at < h->feed_at) h->feed_at = at;
    if (conn->starved) return;
    conn->starved = true;
    h->stats.slowed[pace.limit]++;
    conn->starved_next = h->starved;
    h->starved = conn;
}

bool rates_credit(struct channel *ch)
{
    struct pace pace = look(ch->conn->hub, meters_of(ch->conn, ch->room), RATES);
    if (pace.state == BUCKET_GOOD) return true;
    starve(ch->conn, pace);
    return false;
}

void rates_forget(hub_conn *conn)
{
    hub_conn **at = &conn->hub->starved;
    if (!conn->starved) return;
    while (*at != conn) at = &(*at)->starved_next;
    *at = conn->starved_next;
    conn->starved = false;
}

/* Each lists itself again if it still has to wait. */
void rates_feed(hub *h)
{
    hub_conn *conn = h->starved;
    if (h->feed_at == 0 || h->now < h->feed_at) return;
    h->starved = NULL;
    h->feed_at = 0;
    for (hub_conn *next; conn != NULL; conn = next) {
        next = conn->starved_next;
        conn->starved = false;
        for (uint32_t i = conn->channel_count; i-- > 0 && conn->state == CONN_LIVE;)
            channel_give_credit(conn->channels[i]);
    }
}

/* ---- Refusing -------------------------------------------------------------------------------- */

void hub_count_limit(hub *h, enum limit limit)
{
    if (limit < LIM_COUNT) h->stats.limited[limit]++;
}

const char *limit_words(enum limit limit, char text[LIMIT_WORDS])
{
    const struct limit_info *info = limits_info(limit);
    snprintf(text, LIMIT_WORDS, "%s: above the limit of this server (serve --limit %s=N)",
             info->name, info->name);
    return text;
}

void conn_limited(hub_conn *conn, enum limit limit, uint32_t retry_ms)
{
    char text[LIMIT_WORDS];
    const struct limit_info *info = limits_info(limit);
    if (conn->state == CONN_CLOSED) return;
    hub_count_limit(conn->hub, limit);
    conn_error(conn, info->code, info->permanent, retry_ms, limit_words(limit, text));
}
