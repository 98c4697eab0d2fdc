/* room.c -- a document in memory: found, gathered into rows, forgotten.
 *
 * peers is an open-addressing table over the peers that wrote since the room was loaded: their rows
 * are read from the store when they first appear, and moved on as rows are gathered.  users holds
 * each name once. */
#include "hub_impl.h"

#include "copy.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static uint32_t name_slot(const hub *h, syn_str name)
{
    uint64_t hash = h->hash_key ^ 0xcbf29ce484222325u;
    for (size_t i = 0; i < name.len; i++) {
        hash = (hash ^ (unsigned char)name.data[i]) * 0x100000001b3u;
        hash ^= hash >> 29;
    }
    return (uint32_t)(hash % h->room_slots);
}

struct room *room_find(hub *h, syn_str name)
{
    for (struct room *room = h->rooms[name_slot(h, name)]; room != NULL; room = room->hash_next)
        if (!room->dead && room->name_len == name.len &&
            memcmp(room->name, name.data, name.len) == 0)
            return room;
    return NULL;
}

/* ---- Opening --------------------------------------------------------------------------------- */

syn_doc_config room_config(const hub *h)
{
    syn_doc_config config = SYN_DOC_CONFIG_INIT;
    config.max_heads = LIMIT_PARENTS;
    config.max_value = LIMIT_VALUE_BYTES;
    config.hash_seed = h->hash_key;
    return config;
}

static struct room *room_new(hub *h, syn_str name)
{
    uint32_t slot = name_slot(h, name);
    struct room *room = calloc(1, sizeof *room);
    assert(name.len <= LIMIT_NAME_BYTES);
    if (room == NULL) return NULL;
    room->hub = h;
    copy_str(room->name, name);
    room->name_len = name.len;
    room->limits = exception_limits(h, OF_DOCUMENT, name);
    room->idle_since = room->used_at = h->now;
    room->hash_next = h->rooms[slot];
    h->rooms[slot] = room;
    return room;
}

syn_err room_get(hub *h, syn_str name, bool for_state, struct room **out, char detail[DETAIL_BYTES])
{
    struct room *room = room_find(h, name);
    detail[0] = '\0';
    *out = room;
    if (room != NULL) return SYN_OK;
    room = *out = room_new(h, name);
    if (room == NULL) return SYN_ENOMEM;
    room->for_state = for_state;
    room->jobs++; /* without threads it is opened at once, or dropped */
    room_open(room);
    room->jobs--;
    if (!room->dead) return SYN_OK;
    syn_err err = room->load_err;
    snprintf(detail, DETAIL_BYTES, "%s", h->load_detail);
    room_release(room);
    return err;
}

/* Everybody's positions move up with the document's. */
void room_shift(struct room *room, uint32_t added)
{
    room->gathered += added;
    room->durable += added;
    room->fanned += added;
    room->offset -= added;
    turns_shift(room, added);
    room_pieces_clear(room);
    for (uint32_t i = 0; i < MAX_BODIES; i++) {
        room->bodies[i].from += added;
        room->bodies[i].end += added;
    }
    if (room->snapshot != NULL) room->snapshot->at += added;
    for (struct channel *ch = room->channels; ch != NULL; ch = ch->next) {
        ch->cursor += added;
        if (ch->base != NO_POSITION) ch->base += added;
        for (uint32_t i = 0; i < ch->span_count; i++) {
            ch->spans[i].from += added;
            ch->spans[i].end += added;
        }
    }
}

/* ---- Forgetting ------------------------------------------------------------------------------ */

static void free_rows(struct room *room)
{
    for (uint32_t i = 0; i < room->row_count; i++) syn_buf_free(&room->rows[i].bytes);
    free(room->rows);
    room->rows = NULL;
    room->row_count = room->row_cap = 0;
}

void room_free(struct room *room)
{
    assert(room->channel_count == 0);
    waiting_fail(room, SYN_ECLOSED);
    room_read_fail(room, SYN_ECLOSED);
    if (room->lingers) room->hub->lingering--;
    syn_doc_free(room->doc);
    free_rows(room);
    room_fold_drop(room);
    room_bodies_clear(room);
    room_pieces_clear(room);
    naming_free(&room->names);
    snapshot_unref(room->snapshot);
    presence_free(room);
    free(room->peers);
    free(room->users);
    free(room);
}

static void unhash(struct room *room)
{
    syn_str name = {room->name, room->name_len};
    struct room **at = &room->hub->rooms[name_slot(room->hub, name)];
    while (*at != room) at = &(*at)->hash_next;
    *at = room->hash_next;
}

static void forget_due(struct room *room)
{
    struct room **at = &room->hub->due;
    if (!room->due) return;
    while (*at != room) at = &(*at)->due_next;
    *at = room->due_next;
    room->due = false;
}

void room_drop(struct room *room, enum code code, const char *detail)
{
    bool permanent = code == CODE_DELETED;
    if (room->dead) return;
    room->dead = true;
    while (room->channels != NULL)
        channel_closed(room->channels, code, permanent, permanent ? 0 : RETRY_MS, detail);
    unhash(room);
    waiting_fail(room, SYN_EBUSY);
    room_read_fail(room, SYN_EBUSY);
    room->lingers = room->unmade_turns != 0;
    if (room->lingers) room->hub->lingering++;
    free_rows(room);
    room_fold_drop(room);
    room->dirty = room->give_lineage = false;
    forget_due(room);
    room_release(room);
}

void room_release(struct room *room)
{
    if (room->dead && room->unmade_turns == 0 && room->jobs == 0) room_free(room);
}

/* ---- Peers ----------------------------------------------------------------------------------- */

syn_err room_user(struct room *room, syn_str user, uint32_t *index)
{
    *index = 0;
    if (user.len == 0) return SYN_OK;
    for (uint32_t i = 1; i < room->user_count; i++) {
        const char *name = room->users[i].name;
        if (strlen(name) != user.len || memcmp(name, user.data, user.len) != 0) continue;
        *index = i;
        return SYN_OK;
    }
    uint32_t count = room->user_count != 0 ? room->user_count : 1;
    struct room_user *grown = realloc(room->users, (count + 1u) * sizeof *grown);
    if (grown == NULL) return SYN_ENOMEM;
    if (room->user_count == 0) memset(&grown[0], 0, sizeof grown[0]);
    memset(&grown[count], 0, sizeof grown[count]);
    copy_str(grown[count].name, user);
    room->users = grown;
    room->user_count = count + 1;
    *index = count;
    return SYN_OK;
}

static struct room_peer *peer_slot(const struct room *room, uint64_t peer)
{
    uint64_t hash = (peer ^ room->hub->hash_key) * 0x9e3779b97f4a7c15u;
    uint32_t i = (uint32_t)(hash >> 32) & (room->peer_cap - 1);
    while (room->peers[i].peer != 0 && room->peers[i].peer != peer)
        i = (i + 1) & (room->peer_cap - 1);
    return &room->peers[i];
}

static syn_err peers_grow(struct room *room)
{
    struct room_peer *old = room->peers;
    uint32_t old_cap = room->peer_cap, cap = old_cap != 0 ? old_cap * 2 : 16;
    struct room_peer *grown = calloc(cap, sizeof *grown);
    if (grown == NULL) return SYN_ENOMEM;
    room->peers = grown;
    room->peer_cap = cap;
    for (uint32_t i = 0; i < old_cap; i++)
        if (old[i].peer != 0) *peer_slot(room, old[i].peer) = old[i];
    free(old);
    return SYN_OK;
}

syn_err room_peer_read(struct room *room, uint64_t peer, struct room_peer *out)
{
    struct store_peer stored;
    *out = (struct room_peer){.peer = peer};
    if (peer == 0) return SYN_OK;
    if (room->peer_cap != 0) {
        const struct room_peer *slot = peer_slot(room, peer);
        if (slot->peer != 0) {
            *out = *slot;
            return SYN_OK;
        }
    }
    if (room->id == 0 || room->create) return SYN_OK;
    syn_err err = store_read_peer(room->hub->store, room->id, peer, &stored);
    if (err == SYN_ENOTFOUND) return SYN_OK;
    if (err) return err;
    out->next = stored.next;
    out->chain = stored.chain;
    return room_user(room, syn_s(stored.user), &out->user);
}

syn_err room_peer_get(struct room *room, uint64_t peer, struct room_peer **out)
{
    struct room_peer read;
    syn_err err = SYN_OK;
    assert(peer != 0);
    if ((room->peer_count + 1) * 4 > room->peer_cap * 3) err = peers_grow(room);
    if (err) return err;
    struct room_peer *slot = peer_slot(room, peer);
    if (slot->peer == 0) {
        err = room_peer_read(room, peer, &read);
        if (err) return err;
        *slot = read;
        room->peer_count++;
    }
    *out = slot;
    return SYN_OK;
}

/* ---- Rows ------------------------------------------------------------------------------------ */

static syn_err row_add(struct room *room, uint32_t from, uint32_t end, const syn_changes *set)
{
    if (room->row_count == room->row_cap) {
        uint32_t cap = room->row_cap != 0 ? room->row_cap * 2 : 4;
        struct row *grown = realloc(room->rows, cap * sizeof *grown);
        if (grown == NULL) return SYN_ENOMEM;
        room->rows = grown;
        room->row_cap = cap;
    }
    struct row *row = &room->rows[room->row_count];
    *row = (struct row){.from = from + room->offset, .end = end + room->offset};
    syn_err err = proto_encode_changes(&row->bytes, set, NULL);
    if (err) {
        syn_buf_free(&row->bytes);
        return err;
    }
    room->row_count++;
    room->log_bytes += row->bytes.len;
    room->tail_bytes += row->bytes.len;
    room->tail_rows++;
    return SYN_OK;
}

static syn_err move_chains(struct room *room, const syn_changes *set)
{
    for (uint32_t i = 0; i < set->peer_count; i++) {
        struct room_peer *peer;
        syn_err err = room_peer_get(room, set->peers[i], &peer);
        uint32_t before = err ? 0 : peer->next;
        if (!err) err = proto_chain(set, peer->peer, &peer->next, &peer->chain);
        if (err) return err;
        if (peer->next != before) peer->dirty = true;
    }
    return SYN_OK;
}

syn_err room_gather(struct room *room)
{
    uint32_t end = syn_doc_log_end(room->doc);
    while (room->gathered < end) {
        syn_changes set;
        uint32_t cut;
        syn_span span = {room->gathered, end};
        syn_err err = syn_doc_export(room->doc, span, LIMIT_FRAME_EVENTS, FOLD_BYTES, &set, &cut);
        if (!err) err = move_chains(room, &set);
        if (!err) err = row_add(room, span.from, cut, &set);
        if (err) return err;
        room->gathered = cut;
    }
    return SYN_OK;
}
