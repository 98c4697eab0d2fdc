/* pressure.c -- what the hub gives up when memory runs short, and in which order.
 *
 *     used, of the ceiling     0 ------ 65 % ------- 80 % ------- 90 % -------
 *                              nothing  PRESSURE_LOW HIGH         FULL
 *
 *     LOW    documents that nobody reads are forgotten, what may be made again is dropped
 *     HIGH   and no document is opened that is not in memory; nobody new is let in (gate.h)
 *     FULL   and those who do not read are sent away, and the largest documents leave memory:
 *            their changes get a Nack until what was taken is stored, then they are closed
 *
 * Everybody is told to come again; nothing acknowledged is touched.  `used` is what the system says
 * of the process, once in a while, so what opening will cost is added as it is promised. */
#include "hub_impl.h"

/* A stored byte is deflated, and has its place in log, graph and state when it is open. */
#define OPEN_FACTOR 12u
#define OPEN_BYTES  (64u * 1024u)

static bool busy(const struct room *room)
{
    return room->unmade_turns != 0 || room->jobs != 0 || room->opening;
}

static void drop_copies(struct room *room)
{
    snapshot_unref(room->snapshot);
    room->snapshot = NULL;
    room_bodies_clear(room);
    room_pieces_clear(room);
    if (!room->trimmed && !busy(room)) syn_doc_trim(room->doc);
    room->trimmed = true;
}

static void drop_idle(hub *h)
{
    for (uint32_t i = 0; i < h->room_slots; i++) {
        for (struct room *room = h->rooms[i], *next; room != NULL; room = next) {
            next = room->hash_next;
            if (room->channel_count == 0 && !busy(room)) {
                h->stats.forgotten++;
                room_drop(room, CODE_OK, "");
            } else if (!room->opening && h->now - room->used_at > 1000) {
                drop_copies(room);
            }
        }
    }
}

static struct room *largest(hub *h, size_t *bytes)
{
    struct room *found = NULL;
    *bytes = 0;
    for (uint32_t i = 0; i < h->room_slots; i++) {
        for (struct room *room = h->rooms[i]; room != NULL; room = room->hash_next) {
            bool there = !room->shedding && !room->opening;
            size_t size = there ? syn_doc_footprint(room->doc) : 0;
            if (size <= *bytes) continue;
            found = room;
            *bytes = size;
        }
    }
    return found;
}

static void drop_shed(hub *h)
{
    for (uint32_t i = 0; i < h->room_slots; i++) {
        for (struct room *room = h->rooms[i], *next; room != NULL; room = next) {
            next = room->hash_next;
            if (!room->shedding || busy(room)) continue;
            hub_log(h, "memory", "document %s leaves memory, the largest", room->name);
            hub_count_limit(h, LIM_MEMORY);
            if (room->channel_count == 0) hub_count(h, CODE_BUSY);
            room_drop(room, CODE_BUSY, "memory: the server has too little; come again");
        }
    }
}

static void shed_largest(hub *h, uint64_t bytes)
{
    size_t size;
    for (uint64_t shed = 0; shed < bytes; shed += size) {
        struct room *room = largest(h, &size);
        if (room == NULL || size < OPEN_BYTES) break; /* small ones are not the trouble */
        room->shedding = true;
    }
}

/* A frame is on its way to each of them, and does not get there. */
static void drop_stuck(hub *h)
{
    for (hub_conn *conn = h->conns, *next; conn != NULL; conn = next) {
        next = conn->next;
        if (conn->blocked && conn->state != CONN_CLOSED) conn_limited(conn, LIM_MEMORY, RETRY_MS);
    }
}

enum pressure hub_memory(hub *h, uint64_t used, uint64_t now)
{
    uint64_t ceiling = h->limits.of[LIM_MEMORY];
    h->now = now;
    h->used = used;
    h->promised = 0;
    enum pressure before = h->pressure;
    h->pressure = PRESSURE_NONE;
    if (ceiling == 0) return PRESSURE_NONE;
    if (used > ceiling / 100 * 65) h->pressure = PRESSURE_LOW;
    if (used > ceiling / 100 * 80) h->pressure = PRESSURE_HIGH;
    if (used > ceiling / 100 * 90) h->pressure = PRESSURE_FULL;
    if (h->pressure > before)
        hub_log(h, "memory", "%llu of %llu bytes are in use: load is shed",
                (unsigned long long)used, (unsigned long long)ceiling);
    if (h->pressure >= PRESSURE_LOW) drop_idle(h);
    if (h->pressure == PRESSURE_FULL) {
        drop_stuck(h);
        if (before == PRESSURE_FULL || h->shed_at == 0 || now - h->shed_at > 100) {
            shed_largest(h, used - ceiling / 100 * 75);
            h->shed_at = now;
        }
    }
    drop_shed(h);
    return h->pressure;
}

bool pressure_may_open(hub *h, syn_str name)
{
    struct store_doc row;
    uint64_t ceiling = h->limits.of[LIM_MEMORY];
    if (ceiling == 0 || room_find(h, name) != NULL) return true;
    if (h->pressure >= PRESSURE_HIGH) return false;
    uint64_t cost = OPEN_BYTES;
    if (store_find(h->store, name, &row) == SYN_OK) cost += row.bytes * OPEN_FACTOR;
    if (h->used + h->promised + cost > ceiling / 100 * 80) return false;
    h->promised += cost;
    return true;
}

/* One message may not take what is left. */
uint32_t pressure_raw_bytes(const hub *h)
{
    uint64_t share = h->limits.of[LIM_MEMORY] / 64;
    return share == 0 || share > LIMIT_RAW_BYTES ? LIMIT_RAW_BYTES : (uint32_t)share;
}
