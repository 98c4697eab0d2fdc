/* channel.c -- one open document of one connection: life, and the peers it must resend.
 *
 * ignored is a short row of (peer, first refused seq): what arrives above is dropped until a frame
 * holds that seq again, for the frames that were in flight behind a refused one stand on it. */
#include "hub_impl.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

struct channel *channel_new(hub_conn *conn, struct room *room, uint32_t number)
{
    if (conn->channel_count == conn->channel_cap) {
        uint32_t cap = conn->channel_cap != 0 ? conn->channel_cap * 2 : 4;
        struct channel **grown = realloc(conn->channels, cap * sizeof(struct channel *));
        if (grown == NULL) return NULL;
        conn->channels = grown;
        conn->channel_cap = cap;
    }
    struct channel *ch = calloc(1, sizeof *ch);
    if (ch == NULL) return NULL;
    assert(number > conn->last_channel);
    ch->refs = 1;
    ch->conn = conn;
    ch->room = room;
    ch->number = conn->last_channel = number;
    ch->base = NO_POSITION;
    ch->credit_up = LIMIT_WINDOW_BYTES;
    conn->channels[conn->channel_count++] = ch;
    ch->next = room->channels;
    if (room->channels != NULL) room->channels->prev = ch;
    room->channels = ch;
    room->channel_count++;
    return ch;
}

void channel_ref(struct channel *ch)
{
    ch->refs++;
}

void channel_unref(struct channel *ch)
{
    assert(ch->refs != 0);
    if (--ch->refs != 0) return;
    assert(ch->conn == NULL);
    naming_free(&ch->names);
    inflated_free(ch->inflated);
    free(ch->ignored);
    free(ch->own);
    free(ch->spans);
    snapshot_unref(ch->snapshot);
    free(ch);
}

static void leave_room(struct channel *ch)
{
    struct room *room = ch->room;
    presence_leave(ch);
    if (ch->prev != NULL) ch->prev->next = ch->next;
    if (ch->next != NULL) ch->next->prev = ch->prev;
    if (room->channels == ch) room->channels = ch->next;
    room->channel_count--;
    ch->prev = ch->next = NULL;
    ch->room = NULL;
    room->idle_since = room->hub->now;
}

void channel_remove(struct channel *ch)
{
    hub_conn *conn = ch->conn;
    if (conn == NULL) return;
    for (uint32_t i = 0; i < conn->channel_count; i++) {
        if (conn->channels[i] != ch) continue;
        conn->channel_count--;
        memmove(&conn->channels[i], &conn->channels[i + 1],
                (conn->channel_count - i) * sizeof(struct channel *));
        break;
    }
    leave_room(ch);
    ch->conn = NULL;
    channel_unref(ch);
}

void channel_closed(struct channel *ch, enum code code, bool permanent, uint32_t retry_ms,
                    const char *detail)
{
    struct frame frame = {.channel = ch->number, .kind = FRAME_CLOSED};
    hub_conn *conn = ch->conn;
    if (conn == NULL) return;
    hub_count(conn->hub, code);
    frame.as.closed.code = code;
    frame.as.closed.permanent = permanent;
    frame.as.closed.retry_ms = retry_ms;
    frame.as.closed.detail = syn_s(detail);
    channel_remove(ch);
    conn_frame(conn, &frame);
}

static bool set_contains(const syn_changes *set, uint64_t peer, uint32_t seq, bool *mentions)
{
    *mentions = false;
    for (uint32_t i = 0; i < set->run_count; i++) {
        const struct change_run *run = &set->runs[i];
        if (set->peers[run->peer] != peer) continue;
        *mentions = true;
        if (run->seq <= seq && seq - run->seq < run->len) return true;
    }
    return false;
}

/* Where it has to begin again: what was refused there, or later if somebody else brought some of
 * it, which its client then knows and does not send again. */
static bool begins_again(const struct channel *ch, const syn_id *ignored, const syn_changes *set,
                         bool *mentions)
{
    uint32_t next = syn_doc_next(ch->room->doc, ignored->peer);
    return set_contains(set, ignored->peer, ignored->seq, mentions) ||
           (next > ignored->seq && set_contains(set, ignored->peer, next, mentions));
}

bool channel_ignored(struct channel *ch, const syn_changes *set)
{
    bool mentions;
    for (uint32_t i = 0; i < ch->ignored_count; i++)
        if (!begins_again(ch, &ch->ignored[i], set, &mentions) && mentions) return true;
    for (uint32_t i = 0; i < ch->ignored_count;) {
        if (begins_again(ch, &ch->ignored[i], set, &mentions))
            ch->ignored[i] = ch->ignored[--ch->ignored_count];
        else
            i++;
    }
    return false;
}

bool channel_awaits(const struct channel *ch, uint64_t peer, uint32_t from)
{
    for (uint32_t i = 0; i < ch->ignored_count; i++)
        if (ch->ignored[i].peer == peer)
            return from > ch->ignored[i].seq && from > syn_doc_next(ch->room->doc, peer);
    return false;
}

bool channel_ignore(struct channel *ch, uint64_t peer, uint32_t from)
{
    for (uint32_t i = 0; i < ch->ignored_count; i++) {
        if (ch->ignored[i].peer != peer) continue;
        ch->ignored[i].seq = from;
        return true;
    }
    if (ch->ignored_count == MAX_IGNORED) return false;
    syn_id *grown = realloc(ch->ignored, (ch->ignored_count + 1) * sizeof *grown);
    if (grown == NULL) return true; /* then what follows is refused one by one */
    ch->ignored = grown;
    grown[ch->ignored_count++] = (syn_id){.peer = peer, .seq = from};
    return true;
}

/* ---- Credit ---------------------------------------------------------------------------------- */

void channel_give_credit(struct channel *ch)
{
    struct frame frame = {.channel = ch->number, .kind = FRAME_CREDIT};
    if (ch->give_back < LIMIT_WINDOW_BYTES / 2 || !rates_credit(ch)) return;
    frame.as.credit.bytes = ch->give_back;
    ch->credit_up += ch->give_back;
    ch->give_back = 0;
    conn_frame(ch->conn, &frame);
}
