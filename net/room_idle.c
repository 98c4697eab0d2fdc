/* room_idle.c -- documents that nobody uses: trimmed, folded, forgotten.
 *
 *     the last reader leaves -- 2 s: folded if that is worth it, for the next opening --
 *     nothing changed for 10 s: spare room is given back -- 30 s without readers: forgotten
 *
 * A document with readers is trimmed too when nothing changed for that long. */
#include "hub_impl.h"

#include <assert.h>

/* A trim copies the document: few in one tick, so that thousands that fall asleep at once are no
 * pause for the others. */
#define TRIMS 32u

static void trim(struct room *room, uint32_t *left)
{
    hub *h = room->hub;
    if (room->trimmed || *left == 0 || h->now - room->used_at < ROOM_TRIM_MS) return;
    syn_doc_trim(room->doc);
    snapshot_unref(room->snapshot);
    room->snapshot = NULL;
    room->trimmed = true;
    h->stats.trims++;
    --*left;
}

void room_used(struct room *room)
{
    room->used_at = room->hub->now;
    room->trimmed = false;
}

static bool in_use(const struct room *room)
{
    return room->channel_count != 0 || room->unmade_turns != 0 || room->jobs != 0 || room->opening;
}

static void look_at(struct room *room, uint32_t *trims)
{
    hub *h = room->hub;
    if (room->jobs == 0 && !room->opening) trim(room, trims);
    if (room->pieces != NULL && h->now - room->pieces->used_at >= ROOM_TRIM_MS)
        room_pieces_clear(room);
    if (in_use(room)) {
        room->idle_since = h->now;
        return;
    }
    uint64_t idle = h->now - room->idle_since;
    bool worth = room->exists; /* a name that means nothing costs nothing to find again */
    if (worth && idle >= FOLD_IDLE_MS && room_fold_first(room)) return;
    if (worth && idle < ROOM_IDLE_MS) return;
    if (worth) h->stats.forgotten++;
    room_drop(room, CODE_OK, "");
}

void idle_rooms(hub *h)
{
    uint32_t trims = TRIMS;
    for (uint32_t i = 0; i < h->room_slots; i++) {
        for (struct room *room = h->rooms[i], *next; room != NULL; room = next) {
            next = room->hash_next;
            look_at(room, &trims);
        }
    }
}
