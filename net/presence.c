/* presence.c -- who is here and where: kept in memory, told once per tick, the same bytes for all.
 *
 * A session's Presence rests as its own frame's bytes; a tick decodes those that changed and joins
 * their tables (peers, containers) into one, in frames of a few sessions each: a joined table is
 * searched from its front, and a frame has to be one that everybody may be sent.  Presence is
 * dropped first: a blocked reader misses a tick and gets the next one. */
#include "hub_impl.h"

#include <stdlib.h>
#include <string.h>

/* Bytes of sessions that one frame joins. */
#define PRESENCE_PIECE (16u * 1024u)

/* ---- Joining several Presence messages into one ---------------------------------------------- */

struct joined {
    struct msg_presence_state *states;
    uint64_t *peers;
    struct change_container *containers;
    uint32_t states_n, peers_n, containers_n;
    proto_arena **arenas; /* one per state: each holds what its part points to */
    uint32_t arena_count;
    struct change_dep **deps;
    struct msg_cursor **cursors;
};

static void joined_free(struct joined *all)
{
    for (uint32_t i = 0; i < all->arena_count; i++) {
        proto_arena_free(all->arenas[i]);
        if (all->deps != NULL) free(all->deps[i]);
        if (all->cursors != NULL) free(all->cursors[i]);
    }
    free(all->arenas);
    free(all->deps);
    free(all->cursors);
    free(all->states);
    free(all->peers);
    free(all->containers);
}

static syn_err joined_init(struct joined *all, uint32_t cap)
{
    memset(all, 0, sizeof *all);
    all->states = calloc(cap, sizeof *all->states);
    all->arenas = calloc(cap, sizeof *all->arenas);
    all->deps = calloc(cap, sizeof *all->deps);
    all->cursors = calloc(cap, sizeof *all->cursors);
    bool ok =
        all->states != NULL && all->arenas != NULL && all->deps != NULL && all->cursors != NULL;
    if (!ok) {
        joined_free(all);
        memset(all, 0, sizeof *all);
    }
    return ok ? SYN_OK : SYN_ENOMEM;
}

static uint32_t join_peer(struct joined *all, uint64_t peer)
{
    for (uint32_t i = 0; i < all->peers_n; i++)
        if (all->peers[i] == peer) return i;
    all->peers[all->peers_n] = peer;
    return all->peers_n++;
}

static bool same_str(syn_str a, syn_str b)
{
    return a.len == b.len && (a.len == 0 || memcmp(a.data, b.data, a.len) == 0);
}

static uint32_t join_container(struct joined *all, struct change_container add)
{
    for (uint32_t i = 0; i < all->containers_n; i++) {
        const struct change_container *c = &all->containers[i];
        if (c->kind != add.kind || c->form != add.form) continue;
        bool same = false;
        if (add.form == CONTAINER_ROOT)
            same = same_str(c->name, add.name);
        else if (add.form == CONTAINER_BY_EVENT)
            same = c->peer == add.peer && c->seq == add.seq;
        else
            same = c->parent == add.parent && same_str(c->key, add.key);
        if (same) return i;
    }
    all->containers[all->containers_n] = add;
    return all->containers_n++;
}

static syn_err grow_tables(struct joined *all, const struct msg_presence *part)
{
    uint32_t more_peers = part->peer_count, more_containers = part->container_count + 1;
    void *peers = realloc(all->peers, (all->peers_n + more_peers + 1u) * sizeof *all->peers);
    if (peers == NULL) return SYN_ENOMEM;
    all->peers = peers;
    void *containers =
        realloc(all->containers, (all->containers_n + more_containers) * sizeof *all->containers);
    if (containers == NULL) return SYN_ENOMEM;
    all->containers = containers;
    return SYN_OK;
}

static const struct change_container default_container = {.kind = SYN_TEXT, .form = CONTAINER_ROOT};

/* Index in the joined table of each container of the part. */
static syn_err map_containers(struct joined *all, const struct msg_presence *part, uint32_t *map)
{
    if (part->container_count == 0) map[0] = join_container(all, default_container);
    for (uint32_t i = 0; i < part->container_count; i++) {
        struct change_container c = part->containers[i];
        if (c.form == CONTAINER_BY_EVENT) c.peer = join_peer(all, part->peers[c.peer]);
        if (c.form == CONTAINER_MERGEABLE) c.parent = map[c.parent];
        map[i] = join_container(all, c);
    }
    return SYN_OK;
}

static syn_err copy_cursors(struct joined *all, const struct msg_presence *part, uint32_t index)
{
    struct msg_presence_state *state = &all->states[all->states_n];
    uint32_t deps = 0, n = state->cursor_count;
    if (n == 0) return SYN_OK;
    for (uint32_t i = 0; i < n; i++) deps += state->cursors[i].at_count;
    uint32_t *map = calloc(part->container_count + 1u, sizeof *map);
    all->cursors[index] = calloc(n, sizeof **all->cursors);
    all->deps[index] = calloc(deps + 1u, sizeof **all->deps);
    if (map == NULL || all->cursors[index] == NULL || all->deps[index] == NULL) {
        free(map);
        return SYN_ENOMEM;
    }
    syn_err err = map_containers(all, part, map);
    struct change_dep *dep = all->deps[index];
    for (uint32_t i = 0; !err && i < n; i++) {
        struct msg_cursor *cursor = &all->cursors[index][i];
        *cursor = state->cursors[i];
        cursor->container = map[cursor->container];
        cursor->at = dep;
        for (uint32_t k = 0; k < cursor->at_count; k++, dep++) {
            *dep = state->cursors[i].at[k];
            dep->peer = join_peer(all, part->peers[dep->peer]);
        }
    }
    state->cursors = all->cursors[index];
    free(map);
    return err;
}

/* whole: as if it had just come. */
static syn_err join_session(struct joined *all, const struct presence_session *session, bool whole)
{
    bool unchanged = session->unchanged && !whole && !session->gone;
    struct msg_presence_state *state = &all->states[all->states_n];
    uint32_t index = all->arena_count;
    struct proto_fault fault;
    struct frame frame;
    syn_err err = SYN_OK;
    memset(state, 0, sizeof *state);
    if (!session->gone && !unchanged) {
        err = proto_arena_new(&all->arenas[index], NULL);
        if (err) return err;
        all->arena_count++;
        err = proto_decode(all->arenas[index], session->bytes.data, session->bytes.len, NULL, NULL,
                           NULL, &frame, &fault);
        if (!err) err = grow_tables(all, &frame.as.presence);
        if (err) return err;
        *state = frame.as.presence.states[0];
        state->user = syn_s(session->user);
        err = copy_cursors(all, &frame.as.presence, index);
    }
    state->session = session->session;
    state->ttl_ms = session->gone ? 0 : session->ttl_ms;
    state->gone = session->gone;
    state->unchanged = unchanged;
    if (!err) all->states_n++;
    return err;
}

/* Only the container (name "", TEXT): its table is left out. */
static void finish(struct joined *all, struct msg_presence *out)
{
    bool plain = all->containers_n == 1 && all->containers[0].form == CONTAINER_ROOT &&
                 all->containers[0].kind == SYN_TEXT && all->containers[0].name.len == 0;
    *out = (struct msg_presence){.states = all->states,
                                 .state_count = all->states_n,
                                 .peers = all->peers,
                                 .peer_count = all->peers_n,
                                 .containers = all->containers,
                                 .container_count = plain ? 0 : all->containers_n};
}

/* ---- Sessions -------------------------------------------------------------------------------- */

static struct presence_session *session_of(struct room *room, uint32_t session)
{
    for (uint32_t i = 0; i < room->session_count; i++)
        if (room->sessions[i].session == session) return &room->sessions[i];
    return NULL;
}

static struct presence_session *session_add(struct room *room, const struct channel *ch)
{
    if (room->session_count == room->session_cap) {
        uint32_t cap = room->session_cap != 0 ? room->session_cap * 2 : 4;
        struct presence_session *grown = realloc(room->sessions, cap * sizeof *grown);
        if (grown == NULL) return NULL;
        room->sessions = grown;
        room->session_cap = cap;
    }
    struct presence_session *session = &room->sessions[room->session_count++];
    memset(session, 0, sizeof *session);
    session->session = ch->session;
    memcpy(session->user, ch->conn->user, ch->conn->user_len);
    return session;
}

static void schedule(struct room *room)
{
    uint64_t now = room->hub->now;
    if (room->presence_at == 0 || room->presence_at > now + LIMIT_PRESENCE_MS)
        room->presence_at = now + LIMIT_PRESENCE_MS;
    hub_wake(room, room->presence_at);
}

void presence_receive(struct channel *ch, const struct msg_presence *presence)
{
    struct room *room = ch->room;
    struct frame frame = {.kind = FRAME_PRESENCE, .as.presence = *presence};
    if (presence->state_count != 1) {
        channel_closed(ch, CODE_MALFORMED, true, 0, "a client's Presence has one entry, its own");
        return;
    }
    const struct msg_presence_state *state = &presence->states[0];
    struct presence_session *session = session_of(room, ch->session);
    bool unchanged = state->unchanged && session != NULL;
    if (session == NULL) session = session_add(room, ch);
    if (session == NULL) return;
    if (!unchanged) {
        room->presence_bytes -= session->bytes.len;
        session->bytes.len = 0;
        syn_err err = proto_encode(&session->bytes, &frame);
        room->presence_bytes += session->bytes.len;
        if (err) return;
    }
    if (session->bytes.len > LIMIT_PRESENCE_FRAME) {
        channel_closed(ch, CODE_LIMIT, true, 0, "presence: 8192 bytes with its cursors");
        return;
    }
    if (room->presence_bytes > room->limits->of[LIM_DOCUMENT_PRESENCE]) { /* not shown */
        hub_count(room->hub, limits_info(LIM_DOCUMENT_PRESENCE)->code);
        hub_count_limit(room->hub, LIM_DOCUMENT_PRESENCE);
        presence_leave(ch);
        return;
    }
    session->ttl_ms = state->ttl_ms != 0 ? state->ttl_ms : PRESENCE_TTL_MS;
    if (session->ttl_ms > LIMIT_PRESENCE_TTL_MS) session->ttl_ms = LIMIT_PRESENCE_TTL_MS;
    session->ends = room->hub->now + session->ttl_ms;
    session->unchanged = unchanged && (session->unchanged || !session->changed);
    session->gone = state->gone;
    session->changed = true;
    schedule(room);
}

void presence_leave(struct channel *ch)
{
    struct presence_session *session = session_of(ch->room, ch->session);
    if (session == NULL) return;
    session->gone = session->changed = true;
    schedule(ch->room);
}

void presence_free(struct room *room)
{
    for (uint32_t i = 0; i < room->session_count; i++) syn_buf_free(&room->sessions[i].bytes);
    free(room->sessions);
    room->sessions = NULL;
    room->session_count = room->session_cap = 0;
}

/* ---- Telling --------------------------------------------------------------------------------- */

/* The frame that begins at session *at, which moves on.  changed: only what this tick brought; else
 * everyone who is here, whole. */
static syn_err encode_presence(struct room *room, bool changed, uint32_t *at, syn_buf *body)
{
    struct frame frame = {.kind = FRAME_PRESENCE};
    struct joined all;
    size_t size = 0;
    uint32_t end = *at;
    for (; end < room->session_count && size < PRESENCE_PIECE; end++)
        size += 32 + room->sessions[end].bytes.len;
    syn_err err = joined_init(&all, end - *at + 1);
    for (uint32_t i = *at; !err && i < end; i++) {
        struct presence_session *session = &room->sessions[i];
        if (changed && session->changed) err = join_session(&all, session, false);
        if (!changed && !session->gone) err = join_session(&all, session, true);
    }
    *at = end;
    if (all.states == NULL) return err;
    finish(&all, &frame.as.presence);
    body->len = 0;
    if (!err && all.states_n != 0) err = proto_encode(body, &frame);
    joined_free(&all);
    return err;
}

static void send_presence(struct channel *ch, const syn_buf *body)
{
    hub *h = ch->conn->hub;
    h->prefix.len = 0;
    if (proto_encode_channel(&h->prefix, ch->number)) return;
    conn_send(ch->conn, (syn_str){h->prefix.data, h->prefix.len}, (syn_str){body->data, body->len});
}

void presence_greet(struct channel *ch)
{
    struct room *room = ch->room;
    syn_buf body = {0};
    if (ch->no_presence) return;
    for (uint32_t at = 0; at < room->session_count;)
        if (encode_presence(room, false, &at, &body) == SYN_OK && body.len != 0)
            send_presence(ch, &body);
    syn_buf_free(&body);
}

/* Whose time ran out leaves; returns when the next one's does (0: nobody's). */
static uint64_t expire(struct room *room)
{
    uint64_t now = room->hub->now, next = 0;
    for (uint32_t i = 0; i < room->session_count; i++) {
        struct presence_session *session = &room->sessions[i];
        if (session->gone) continue;
        if (now >= session->ends)
            session->gone = session->changed = true;
        else if (next == 0 || session->ends < next)
            next = session->ends;
    }
    return next;
}

static void settle(struct room *room)
{
    uint32_t kept = 0;
    for (uint32_t i = 0; i < room->session_count; i++) {
        struct presence_session *session = &room->sessions[i];
        if (session->gone) {
            room->presence_bytes -= session->bytes.len;
            syn_buf_free(&session->bytes);
            continue;
        }
        session->changed = session->unchanged = false;
        room->sessions[kept++] = *session;
    }
    room->session_count = kept;
}

void presence_tick(struct room *room)
{
    hub *h = room->hub;
    syn_buf body = {0};
    if (h->now < room->presence_at) {
        hub_wake(room, room->presence_at);
        return;
    }
    room->presence_at = expire(room);
    if (room->presence_at != 0) hub_wake(room, room->presence_at);
    for (uint32_t at = 0; at < room->session_count;) {
        if (encode_presence(room, true, &at, &body) || body.len == 0) continue;
        for (struct channel *ch = room->channels, *next; ch != NULL; ch = next) {
            next = ch->next;
            if (ch->started && !ch->no_presence && !ch->conn->blocked) send_presence(ch, &body);
        }
    }
    syn_buf_free(&body);
    settle(room);
}
