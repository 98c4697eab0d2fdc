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
