/* turn.c -- durable, then visible: what is held, what is written, what happens when that fails.
 *
 *     receive -> applied in memory -> gathering turn --hub_flush--> flying turns --store-->
 * released
 *
 * Many turns may fly, but each room in one of them only: a gathering turn that names a room which
 * flies waits until that has landed, also if it writes nothing, for it may tell of what is being
 * written.  So a crowd in one document still costs one row a commit, while edits of different
 * documents wait for no commit but their own, and the store always has the next one at hand.  When
 * a commit fails nobody knows what is on the disk: the rooms it touched are forgotten, in the
 * gathering turn too, and read again when someone asks. */
#include "hub_impl.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

/* ---- Holding --------------------------------------------------------------------------------- */

static struct held *held_add(hub *h, enum held_kind kind, struct channel *ch, struct room *room)
{
    struct turn *turn = &h->gathering;
    if (turn->held_count == turn->held_cap) {
        uint32_t cap = turn->held_cap != 0 ? turn->held_cap * 2 : 16;
        struct held *grown = realloc(turn->held, cap * sizeof *grown);
        if (grown == NULL) return NULL;
        turn->held = grown;
        turn->held_cap = cap;
    }
    struct held *held = &turn->held[turn->held_count++];
    *held = (struct held){.kind = kind, .channel = ch, .room = room};
    if (room == NULL) turn->nameless = true;
    if (ch != NULL) channel_ref(ch);
    return held;
}

/* Without memory for an answer the channel starts anew. */
static void hold_failed(struct channel *ch)
{
    if (ch->conn != NULL) channel_closed(ch, CODE_RESYNC, false, RETRY_MS, "out of memory");
}

static struct held *hold(struct channel *ch, enum held_kind kind)
{
    if (ch->conn == NULL || turn_room(ch->room) == NULL) return NULL;
    return held_add(ch->room->hub, kind, ch, ch->room);
}

static void hold_encoded(struct channel *ch, enum held_kind kind, const struct frame *frame)
{
    struct held *held = hold(ch, kind);
    if (held == NULL || proto_encode(&held->frame, frame)) hold_failed(ch);
}

void hold_frame(struct channel *ch, const struct frame *frame)
{
    hold_encoded(ch, HELD_FRAME, frame);
}

void hold_closed(struct channel *ch, enum code code, bool permanent, const char *detail)
{
    struct frame frame = {.channel = ch->number, .kind = FRAME_CLOSED};
    frame.as.closed.code = code;
    frame.as.closed.permanent = permanent;
    frame.as.closed.detail = syn_s(detail);
    if (code != CODE_OK && ch->conn != NULL) hub_count(ch->conn->hub, code);
    hold_encoded(ch, HELD_CLOSED, &frame);
}

void hold_start(struct channel *ch)
{
    if (hold(ch, HELD_START) == NULL) hold_failed(ch);
}

void hold_done(hub *h, struct room *room, hub_done_fn done, void *user, syn_err err)
{
    if (room != NULL && turn_room(room) == NULL) room = NULL;
    struct held *held = held_add(h, HELD_DONE, NULL, room);
    if (held == NULL) {
        if (done != NULL) done(user, SYN_ENOMEM);
        return;
    }
    held->done = done;
    held->user = user;
    held->err = err;
}

static bool raise_acked(struct held *held, syn_id acked)
{
    for (uint32_t i = 0; i < held->peer_count; i++) {
        if (held->peers[i].peer != acked.peer) continue;
        if (held->peers[i].seq < acked.seq) held->peers[i].seq = acked.seq;
        return true;
    }
    syn_id *grown = realloc(held->peers, (held->peer_count + 1) * sizeof *grown);
    if (grown == NULL) return false;
    held->peers = grown;
    grown[held->peer_count++] = acked;
    return true;
}

/* A channel's acks of one turn are one frame; its touch is near the end if there is one. */
static struct held *find_touch(struct turn *turn, const struct channel *ch)
{
    for (uint32_t i = turn->held_count; i-- > 0;) {
        struct held *held = &turn->held[i];
        if (held->channel == ch) return held->kind == HELD_TOUCH ? held : NULL;
        if (turn->held_count - i > 64) return NULL;
    }
    return NULL;
}

void hold_touch(struct channel *ch, uint32_t bytes, const syn_id *acked, uint32_t count)
{
    struct held *held = find_touch(&ch->room->hub->gathering, ch);
    if (held == NULL) held = hold(ch, HELD_TOUCH);
    bool ok = held != NULL;
    for (uint32_t i = 0; ok && i < count; i++) ok = raise_acked(held, acked[i]);
    if (!ok) {
        hold_failed(ch);
        return;
    }
    held->bytes += bytes;
    if (count != 0) held->ack = true;
}

struct turn_room *turn_room(struct room *room)
{
    struct turn *turn = &room->hub->gathering;
    if (room->turn_index != 0) return &turn->rooms[room->turn_index - 1];
    if (turn->room_count == turn->room_cap) {
        uint32_t cap = turn->room_cap != 0 ? turn->room_cap * 2 : 16;
        struct turn_room *grown = realloc(turn->rooms, cap * sizeof *grown);
        if (grown == NULL) return NULL;
        turn->rooms = grown;
        turn->room_cap = cap;
    }
    turn->rooms[turn->room_count++] = (struct turn_room){.room = room};
    room->turn_index = turn->room_count;
    turn->flying_rooms += room->flying != NULL;
    room->unmade_turns++;
    return &turn->rooms[room->turn_index - 1];
}

void turns_shift(struct room *room, uint32_t added)
{
    struct turn *flying = room->flying;
    for (uint32_t i = 0; flying != NULL && i < flying->room_count; i++)
        if (flying->rooms[i].room == room) flying->rooms[i].end += added;
}

/* ---- Filling --------------------------------------------------------------------------------- */

static syn_err write_peers(store_turn *out, struct room *room)
{
    syn_err err = SYN_OK;
    for (uint32_t i = 0; !err && i < room->peer_cap; i++) {
        struct room_peer *peer = &room->peers[i];
        struct store_peer row = {.peer = peer->peer, .next = peer->next, .chain = peer->chain};
        if (!peer->dirty) continue;
        if (peer->user != 0) memcpy(row.user, room->users[peer->user].name, sizeof row.user);
        err = store_turn_peer(out, room->id, &row);
        peer->dirty = false;
    }
    return err;
}

static syn_err write_room(store_turn *out, struct room *room)
{
    syn_str name = {room->name, room->name_len};
    syn_err err = SYN_OK;
    if (room->create)
        err = store_turn_create(out, name, room->lineage, &room->id);
    else if (room->give_lineage)
        err = store_turn_lineage(out, room->id, room->lineage);
    if (!err && room->create) err = documents_made(room, out);
    room->create = room->give_lineage = false;
    for (uint32_t i = 0; i < room->row_count; i++) { /* freed in any case */
        struct row *row = &room->rows[i];
        if (!err)
            err = store_turn_append(out, room->id, row->from, row->end,
                                    (syn_str){row->bytes.data, row->bytes.len});
        syn_buf_free(&row->bytes);
        memset(&row->bytes, 0, sizeof row->bytes);
    }
    room->row_count = 0;
    if (!err) err = write_peers(out, room);
    if (!err) err = room_fold_write(room, out);
    room->dirty = false;
    return err;
}

static bool room_writes(const struct room *room)
{
    return !room->dead && (room->dirty || room->give_lineage || room->folded != NULL);
}

static syn_err fill(hub *h, store_turn *out)
{
    struct turn *turn = &h->gathering;
    syn_err err = SYN_OK;
    for (uint32_t i = 0; !err && i < turn->room_count; i++) {
        struct turn_room *at = &turn->rooms[i];
        struct room *room = at->room;
        if (at->deleted && !room->dead) {
            if (!room->create) err = documents_gone(room, out);
            if (!err && !room->create) err = store_turn_delete(out, room->id);
        } else if (room_writes(room)) {
            err = room_gather(room);
            at->news = room->dirty;
            at->folded = room->folded != NULL;
            if (!err) err = write_room(out, room);
            at->wrote = true;
        }
        at->end = syn_doc_log_end(room->doc);
    }
    return err;
}

static bool turn_writes(const struct turn *turn)
{
    for (uint32_t i = 0; i < turn->room_count; i++) {
        const struct turn_room *at = &turn->rooms[i];
        if ((at->deleted && !at->room->dead) || room_writes(at->room)) return true;
    }
    return false;
}

/* ---- Releasing ------------------------------------------------------------------------------- */

static int by_peer(const void *a, const void *b)
{
    const syn_id *x = a, *y = b;
    return (x->peer > y->peer) - (x->peer < y->peer);
}

static void send_touch(struct channel *ch, struct held *held)
{
    struct frame frame = {.channel = ch->number, .kind = FRAME_ACK};
    ch->give_back += held->bytes;
    if (held->ack) {
        uint32_t kept = 0;
        for (uint32_t i = 0; i < held->peer_count; i++) {
            if (held->peers[i].peer == ch->peer)
                frame.as.ack.next = held->peers[i].seq;
            else
                held->peers[kept++] = held->peers[i];
        }
        if (kept != 0) qsort(held->peers, kept, sizeof *held->peers, by_peer);
        frame.as.ack.peers = held->peers;
        frame.as.ack.peer_count = kept;
        conn_frame(ch->conn, &frame);
    }
    channel_give_credit(ch);
}

static void release_held(struct held *held)
{
    struct channel *ch = held->channel;
    if (held->kind == HELD_DONE) {
        if (held->done != NULL) held->done(held->user, held->err);
        return;
    }
    if (ch->conn == NULL) return;
    switch (held->kind) {
    case HELD_FRAME:
        conn_send(ch->conn, (syn_str){held->frame.data, held->frame.len}, (syn_str){NULL, 0});
        break;
    case HELD_TOUCH:
        send_touch(ch, held);
        break;
    case HELD_START:
        ch->started = true;
        presence_greet(ch);
        break;
    default: {
        hub_conn *conn = ch->conn;
        channel_remove(ch);
        conn_send(conn, (syn_str){held->frame.data, held->frame.len}, (syn_str){NULL, 0});
    }
    }
}

static void held_free(struct held *held)
{
    if (held->channel != NULL) channel_unref(held->channel);
    syn_buf_free(&held->frame);
    free(held->peers);
}

void turn_free(struct turn *turn)
{
    for (uint32_t i = 0; i < turn->held_count; i++) held_free(&turn->held[i]);
    free(turn->held);
    free(turn->rooms);
    memset(turn, 0, sizeof *turn);
}

/* Nothing that was to be said about this room is said. */
static void discard_held(struct turn *turn, const struct room *room, syn_err err)
{
    uint32_t kept = 0;
    for (uint32_t i = 0; i < turn->held_count; i++) {
        struct held *held = &turn->held[i];
        if (held->room != room) {
            turn->held[kept++] = *held;
            continue;
        }
        if (held->kind == HELD_DONE && held->done != NULL) held->done(held->user, err);
        held_free(held);
    }
    turn->held_count = kept;
}

/* The disk's word about this room is not known: forget it, also where the next turn names it. */
static void fail_room(hub *h, struct turn *turn, struct room *room, syn_err err)
{
    discard_held(turn, room, err);
    discard_held(&h->gathering, room, err);
    room_drop(room, CODE_RESYNC, "the disk refused; open the document again");
}

static void finish_rooms(struct turn *turn)
{
    for (uint32_t i = 0; i < turn->room_count; i++) {
        struct room *room = turn->rooms[i].room;
        struct turn_room at = turn->rooms[i];
        hub *h = room->hub;
        if (at.folded) room->folding = false;
        if (at.news) room_used(room);
        if (at.news && !room->dead && h->port.changed != NULL)
            h->port.changed(h->port.user, (syn_str){room->name, room->name_len}, room->doc);
        if (!room->dead) room_fan_out(room);
        if (at.news && !room->dead) room_fold(room);
        room->unmade_turns--;
        room_release(room);
    }
}

void author_add(uint32_t *author, uint32_t session)
{
    if (*author == 0)
        *author = session;
    else if (*author != session)
        *author = NOBODY;
}

/* What the turn brought may be seen from now on. */
static void make_durable(struct turn *turn)
{
    for (uint32_t i = 0; i < turn->room_count; i++) {
        struct turn_room *at = &turn->rooms[i];
        if (at->room->dead || at->end <= at->room->durable) continue;
        at->room->durable = at->end;
        author_add(&at->room->author, at->author != 0 ? at->author : NOBODY);
    }
}

static void finish_deletion(struct room *room)
{
    const struct hub_port *port = &room->hub->port;
    if (!room->dead && port->changed != NULL)
        port->changed(port->user, (syn_str){room->name, room->name_len}, NULL);
    room_drop(room, CODE_DELETED, "the document was deleted");
}

static void release(hub *h, struct turn *turn)
{
    h->stats.turns++;
    for (uint32_t i = 0; i < turn->held_count; i++) release_held(&turn->held[i]);
    for (uint32_t i = 0; i < turn->room_count; i++)
        if (turn->rooms[i].deleted) finish_deletion(turn->rooms[i].room);
    finish_rooms(turn);
    turn_free(turn);
}

/* ---- Flying ---------------------------------------------------------------------------------- */

static void fail(hub *h, struct turn *turn, syn_err err, const char *detail)
{
    h->stats.failed_turns++;
    documents_recount(h);
    hub_log(h, "storage", "a commit failed (%s): %s", syn_errname(err), detail);
    for (uint32_t i = 0; i < turn->room_count; i++)
        if (turn->rooms[i].wrote || turn->rooms[i].deleted)
            fail_room(h, turn, turn->rooms[i].room, err);
}

static void fail_some(hub *h, struct turn *turn, const struct store_result *result)
{
    for (uint32_t i = 0; i < result->doc_failed_count; i++) {
        for (uint32_t k = 0; k < turn->room_count; k++) {
            struct room *room = turn->rooms[k].room;
            if (room->id != result->doc_failed[i]) continue;
            documents_recount(h);
            hub_log(h, "storage", "document %s was not stored", room->name);
            fail_room(h, turn, room, SYN_EIO);
        }
    }
}

static void fly(hub *h);

/* Copies it out of the list. */
static struct turn take_down(struct turn *flying)
{
    struct turn turn = *flying, **at = &turn.hub->flying;
    while (*at != flying) at = &(*at)->next;
    *at = turn.next;
    for (uint32_t i = 0; i < turn.room_count; i++) {
        struct room *room = turn.rooms[i].room;
        room->flying = NULL;
        turn.hub->gathering.flying_rooms -= room->turn_index != 0;
    }
    free(flying);
    return turn;
}

static void landed(void *user, const struct store_result *result)
{
    struct turn turn = take_down(user);
    hub *h = turn.hub;
    if (result->err)
        fail(h, &turn, result->err, result->detail != NULL ? result->detail : "");
    else
        fail_some(h, &turn, result);
    make_durable(&turn);
    if (turn_writes(&h->gathering)) fly(h); /* the disk works while we send */
    release(h, &turn);
    rooms_open_delayed(h);
    fly(h);
}

/* The gathering turn, which becomes empty. */
static struct turn take_gathered(hub *h)
{
    struct turn turn = h->gathering;
    memset(&h->gathering, 0, sizeof h->gathering);
    for (uint32_t i = 0; i < turn.room_count; i++) turn.rooms[i].room->turn_index = 0;
    return turn;
}

/* Filling failed (no memory): what was filled is thrown away with the rooms in it. */
static void refill_failed(hub *h, store_turn *out, syn_err err)
{
    struct turn turn = take_gathered(h);
    if (out != NULL) store_turn_drop(out);
    for (uint32_t i = 0; i < turn.room_count; i++)
        turn.rooms[i].wrote |= room_writes(turn.rooms[i].room);
    fail(h, &turn, err, "the turn could not be filled");
    release(h, &turn);
}

/* Does it speak of what is being written? */
static bool has_to_wait(const hub *h)
{
    return h->flying != NULL && (h->gathering.flying_rooms != 0 || h->gathering.nameless);
}

static void submit(hub *h, store_turn *out, struct turn *flying)
{
    *flying = take_gathered(h);
    flying->hub = h;
    flying->next = h->flying;
    h->flying = flying;
    for (uint32_t i = 0; i < flying->room_count; i++) flying->rooms[i].room->flying = flying;
    store_submit(out, landed, flying);
}

static void fly(hub *h)
{
    store_turn *out = NULL;
    struct turn *turn = &h->gathering, *flying = NULL;
    if ((turn->held_count == 0 && turn->room_count == 0) || has_to_wait(h)) return;
    bool writes = turn_writes(turn);
    syn_err err = writes ? store_turn_new(h->store, &out) : SYN_OK;
    if (!err && writes && (flying = malloc(sizeof *flying)) == NULL) err = SYN_ENOMEM;
    if (!err) err = fill(h, out);
    if (err) {
        free(flying);
        refill_failed(h, out, err);
    } else if (writes) {
        submit(h, out, flying);
    } else {
        struct turn going = take_gathered(h);
        make_durable(&going);
        release(h, &going);
    }
}

void hub_flush(hub *h, uint64_t now)
{
    h->now = now;
    fly(h);
}

bool hub_idle(const hub *h)
{
    return h->flying == NULL && h->gathering.held_count == 0 && h->gathering.room_count == 0 &&
           h->stats.jobs == 0;
}
