/* waiting.c -- what came for a document that is not ready to answer it.
 *
 *     room->waiting:  Open A | read | Open B | Presence A | delete | ...
 *
 * While a room is opening everything waits; in an open room, what needs its history or a snapshot
 * that is being made, and whatever comes behind it on the same channel.  Frames wait as they came
 * and are read again: their decoded forms live in the hub's arena, and may be sixty times as large.
 * When a job has ended the whole row runs again, in order; what still lacks something joins the
 * next row, and takes what is behind it on its channel along. */
#include "hub_impl.h"

#include "copy.h"

#include <stdlib.h>
#include <string.h>

struct waiter {
    struct waiter *next;
    struct channel *channel; /* of a frame; NULL: a call */
    struct hub_call call;
    bool charged; /* to the document */
    size_t len;
    char bytes[];
};

static void add(struct room *room, struct waiter *waiter)
{
    struct waiter **last = &room->waiting;
    if (room->last_waiting != NULL) last = &room->last_waiting->next;
    *last = room->last_waiting = waiter;
    room->hub->parked_bytes += sizeof *waiter + waiter->len;
}

static void let_go(hub *h, struct waiter *waiter)
{
    struct channel *ch = waiter->channel;
    h->parked_bytes -= sizeof *waiter + waiter->len;
    if (ch != NULL) {
        if (ch->conn != NULL) ch->conn->parked_bytes -= sizeof *waiter + waiter->len;
        channel_unref(ch);
    }
    free(waiter);
}

static bool fits(const hub_conn *conn, size_t bytes)
{
    return conn->parked_bytes + bytes <= MAX_PARKED_CONN &&
           conn->hub->parked_bytes + bytes <= MAX_PARKED;
}

void wait_frame(struct channel *ch)
{
    hub *h = ch->conn->hub;
    struct waiter *waiter = NULL;
    if (fits(ch->conn, sizeof *waiter + h->raw.len)) waiter = malloc(sizeof *waiter + h->raw.len);
    if (waiter == NULL) {
        channel_closed(ch, CODE_BUSY, false, RETRY_MS,
                       "the document is being read; too much waits");
        return;
    }
    *waiter = (struct waiter){.channel = ch, .charged = h->charged, .len = h->raw.len};
    copy_str(waiter->bytes, h->raw);
    ch->conn->parked_bytes += sizeof *waiter + waiter->len;
    ch->parked++;
    channel_ref(ch);
    add(ch->room, waiter);
}

bool wait_behind(struct channel *ch, enum frame_kind kind)
{
    if (ch->parked == 0 || kind == FRAME_CREDIT || kind == FRAME_NAMES) return false;
    wait_frame(ch);
    return true;
}

void wait_call(struct room *room, const struct hub_call *call)
{
    struct waiter *waiter = calloc(1, sizeof *waiter);
    if (waiter == NULL) {
        if (call->done != NULL) call->done(call->user, SYN_ENOMEM);
        return;
    }
    waiter->call = *call;
    add(room, waiter);
}

static struct waiter *take_all(struct room *room)
{
    struct waiter *first = room->waiting;
    room->waiting = room->last_waiting = NULL;
    for (struct waiter *w = first; w != NULL; w = w->next)
        if (w->channel != NULL) w->channel->parked = 0;
    return first;
}

static void run_again(hub *h, struct room *room, struct waiter *waiter)
{
    struct channel *ch = waiter->channel;
    syn_str bytes = {waiter->bytes, waiter->len};
    if (ch == NULL)
        hub_call(h, (syn_str){room->name, room->name_len}, &waiter->call);
    else if (ch->conn != NULL)
        hub_replay(ch->conn, bytes, waiter->charged);
}

void waiting_run(struct room *room)
{
    struct waiter *next = take_all(room);
    room->jobs++; /* what runs may drop it */
    for (struct waiter *waiter = next; waiter != NULL; waiter = next) {
        next = waiter->next;
        run_again(room->hub, room, waiter);
        let_go(room->hub, waiter);
    }
    room->jobs--;
}

void waiting_fail(struct room *room, syn_err err)
{
    for (struct waiter *waiter = take_all(room), *next; waiter != NULL; waiter = next) {
        next = waiter->next;
        if (waiter->channel == NULL && waiter->call.done != NULL)
            waiter->call.done(waiter->call.user, err);
        let_go(room->hub, waiter);
    }
}
