/* hub_look.c -- looking into the hub from beside it: feed and administration. */
#include "hub_impl.h"

uint32_t hub_heads(hub *h, syn_str document, uint32_t end, syn_id *out, uint32_t cap)
{
    const struct room *room = room_find(h, document);
    if (room == NULL || !room->exists || room->durable != syn_doc_log_end(room->doc)) return 0;
    if (room->durable + room->offset != end) return 0;
    size_t count = syn_doc_heads(room->doc, out, cap);
    return count <= cap ? (uint32_t)count : 0;
}

void hub_read_load(const hub *h, struct hub_load *out)
{
    *out = (struct hub_load){0};
    for (const hub_conn *conn = h->conns; conn != NULL; conn = conn->next)
        out->queued_bytes += conn->queue.len - conn->queue_at;
    for (uint32_t i = 0; i < h->room_slots; i++) {
        for (const struct room *room = h->rooms[i]; room != NULL; room = room->hash_next) {
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
