/* hub_look.c -- looking into the hub from beside it: feed and administration. */
#include "hub_impl.h"

#include <string.h>

uint32_t hub_heads(hub *h, syn_str document, uint32_t end, syn_id *out, uint32_t cap)
{
    const struct room *room = room_find(h, document);
    if (room == NULL || !room->exists || room->durable != syn_doc_log_end(room->doc)) return 0;
    if (room->durable + room->offset != end) return 0;
    size_t count = syn_doc_heads(room->doc, out, cap);
    return count <= cap ? (uint32_t)count : 0;
}

uint64_t hub_most_events(const hub *h, syn_str document)
{
    return exception_limits(h, OF_DOCUMENT, document)->of[LIM_DOCUMENT_EVENTS];
}

void hub_read_load(const hub *h, struct hub_load *out)
{
    *out = (struct hub_load){0};
    for (const hub_conn *conn = h->conns; conn != NULL; conn = conn->next)
        out->queued_bytes += conn->queue.len - conn->queue_at;
    for (uint32_t i = 0; i < h->room_slots; i++) {
        for (const struct room *room = h->rooms[i]; room != NULL; room = room->hash_next) {
            if (room->opening) continue;
            out->document_bytes += syn_doc_footprint(room->doc);
            for (const struct channel *ch = room->channels; ch != NULL; ch = ch->next) {
                if (!ch->started || ch->cursor >= room->durable) continue;
                uint64_t lag = room->durable - ch->cursor;
                out->lagging++;
                out->lag_events += lag;
                if (lag > out->lag_events_max) out->lag_events_max = lag;
            }
        }
    }
}

/* ---- Administration -------------------------------------------------------------------------- */

void hub_each_connection(const hub *h, uint64_t now,
                         bool (*visit)(void *user, const struct hub_conn_info *info), void *user)
{
    for (const hub_conn *conn = h->conns; conn != NULL; conn = conn->next) {
        const struct hub_conn_info info = {.id = conn->id,
                                           .user = {conn->user, conn->user_len},
                                           .since_ms = now - conn->since,
                                           .channels = conn->channel_count,
                                           .queued_bytes = conn->queue.len - conn->queue_at};
        if (conn->state != CONN_CLOSED && !visit(user, &info)) return;
    }
}

bool hub_inspect(hub *h, syn_str document, struct hub_room_info *out)
{
    const struct room *room = room_find(h, document);
    if (room == NULL || !room->exists) return false;
    *out = (struct hub_room_info){.heads = syn_doc_heads(room->doc, NULL, 0),
                                  .channels = room->channel_count,
                                  .memory_bytes = syn_doc_footprint(room->doc),
                                  .tail_rows = room->tail_rows,
                                  .presences = room->session_count};
    return true;
}

bool hub_user(hub *h, syn_str user, struct hub_user_info *out, uint64_t now)
{
    struct account *account = account_find(h, user);
    h->now = now;
    if (account == NULL) return false;
    struct pace pace = rates_of_user(h, account);
    (void)hourly_left(&account->creates, 0, 0, now); /* a new hour begins */
    *out = (struct hub_user_info){.connections = account->connections,
                                  .creates = (uint32_t)account->creates.count,
                                  .wait_ms = pace.wait_ms,
                                  .limit = pace.limit};
    return true;
}

uint32_t hub_kick(hub *h, uint64_t id, syn_str user, uint64_t now)
{
    uint32_t kicked = 0;
    h->now = now;
    for (hub_conn *conn = h->conns, *next; conn != NULL; conn = next) {
        next = conn->next;
        bool same =
            id != 0 ? conn->id == id
                    : conn->user_len == user.len && memcmp(conn->user, user.data, user.len) == 0;
        if (!same || conn->state == CONN_CLOSED) continue;
        conn_error(conn, CODE_GOING_AWAY, false, RETRY_MS, "ended by an administrator");
        kicked++;
    }
    return kicked;
}
