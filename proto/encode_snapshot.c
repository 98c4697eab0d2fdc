/* encode_snapshot.c -- a state as Snapshot messages: cut into parts, and joined again.
 *
 * Parts are planned by an estimate of size that depends on the state alone, so that the number of
 * parts, which every part carries, is known from a first pass that writes nothing.  A state larger
 * than a part is cut: text between scalars, lists between slots, maps between keys.  Each part has
 * tables of its own, in order of first use. */
#include "wire.h"
#include "utf8.h"

/* ---- One state ------------------------------------------------------------------------------- */

static const struct change_value *entry_value(void *from, uint32_t i, bool *counter)
{
    const struct snapshot_state *state = from;
    *counter = false;
    return &state->entries[i].value;
}

static void put_entry_values(struct writer *w, const struct snapshot_state *state)
{
    static const uint32_t numbers[4] = {1, 2, 3, 4};
    enum { VALUES = 11 };
    struct snapshot_state copy = *state;
    size_t mark = field_begin(w, VALUES);
    put_values(w, numbers, entry_value, &copy, state->entry_count);
    column_end(w, mark, VALUES, w->buf->len != mark);
}

enum entry_column {
    REG_PEER = 13,
    REG_SEQ = 14,
    REG_LAMPORT = 15,
    REG_GONE = 16,
    SET_SLOT = 17,
    SET_PEER = 18,
    SET_SEQ = 19,
    SET_LAMPORT = 20,
};

static uint32_t entry_field(const struct snapshot_entry *e, enum entry_column which, uint32_t slot)
{
    switch (which) {
    case REG_PEER:
        return e->peer;
    case REG_SEQ:
        return e->seq;
    case REG_LAMPORT:
        return e->lamport;
    case REG_GONE:
        return e->gone;
    case SET_SLOT:
        return slot;
    case SET_PEER:
        return e->set_peer;
    case SET_SEQ:
        return e->set_seq;
    default:
        return e->set_lamport;
    }
}

static void put_entry_column(struct writer *w, const struct snapshot_state *state,
                             enum entry_column which, uint32_t offset)
{
    size_t mark = field_begin(w, which);
    uint32_t any = 0;
    for (uint32_t i = 0; i < state->entry_count; i++) {
        const struct snapshot_entry *e = &state->entries[i];
        if (which >= SET_SLOT && !e->set) continue;
        uint32_t v = entry_field(e, which, offset + i);
        put_varint(w, v);
        any |= v;
    }
    column_end(w, mark, which, any != 0);
}

static void put_keys(struct writer *w, const struct snapshot_state *state)
{
    enum { KEYS = 10 };
    bool any = false;
    for (uint32_t i = 0; i < state->entry_count && !any; i++) any = state->entries[i].key.len > 0;
    for (uint32_t i = 0; i < state->entry_count && any; i++)
        put_entry(w, KEYS, state->entries[i].key);
}

/* The fields of one ContainerState; `whole` leaves out container and offset (digest). */
void put_state(struct writer *w, const struct snapshot_state *state, uint32_t offset, bool more,
               bool whole)
{
    enum { CONTAINER = 1, OFFSET = 2, MORE = 3, TEXT = 4, COUNTER = 12 };
    if (!whole) {
        put_uint(w, CONTAINER, state->container);
        put_uint(w, OFFSET, offset);
        put_uint(w, MORE, more);
    }
    put_bytes(w, TEXT, state->text);
    if (state->entry_count > 0) {
        put_keys(w, state);
        put_entry_values(w, state);
    }
    put_sint(w, COUNTER, state->counter);
    if (state->entry_count == 0) return;
    for (int which = REG_PEER; which <= SET_LAMPORT; which++)
        put_entry_column(w, state, (enum entry_column)which, offset);
}

/* Tables of its own, for a part is read by itself; containers is left out if it is only the root
 * text. */
void put_snapshot(struct writer *w, const struct msg_snapshot *m)
{
    enum { ID = 1, PART, PARTS, VERSION, LAMPORT, EVENTS, DIGEST, PEERS, CONTAINERS, STATES };
    const syn_snapshot *piece = &m->piece;
    put_fixed64(w, ID, m->id);
    put_uint(w, PART, m->part);
    put_uint(w, PARTS, m->parts);
    if (m->part == 0) {
        struct msg_version version = {.heads = piece->heads, .head_count = piece->head_count};
        put_version(w, VERSION, &version);
        put_uint(w, LAMPORT, piece->lamport);
        put_uint(w, EVENTS, piece->events);
        put_fixed64(w, DIGEST, m->digest);
    }
    put_peers(w, PEERS, piece->peers, piece->peer_count);
    put_containers(w, CONTAINERS, piece->containers, piece->container_count);
    for (uint32_t i = 0; i < piece->state_count; i++) {
        size_t mark = field_begin(w, STATES);
        put_state(w, &piece->states[i], m->from[i], m->more[i], false);
        field_end(w, mark);
    }
}

/* ---- Cutting --------------------------------------------------------------------------------- */

/* Where the next part begins: a state, and entries (or bytes of text) of it that are done. */
struct cut {
    uint32_t state;
    uint64_t at;
    uint32_t scalars; /* TEXT: those before `at` */
};

static size_t entry_cost(const struct snapshot_entry *e)
{
    return 24 + e->key.len + e->value.blob.len;
}

enum { STATE_COST = 64 };

static bool same_key(const struct snapshot_entry *a, const struct snapshot_entry *b)
{
    return compare_keys(a->key, b->key) == 0;
}

/* Takes of text [cut->at, ...) what fits, at least one scalar. */
static uint64_t cut_text(syn_str text, uint64_t at, size_t budget)
{
    uint64_t end = text.len - at <= budget ? text.len : at + budget;
    while (end < text.len && end > at && ((unsigned char)text.data[end] & 0xc0) == 0x80) end--;
    if (end == at && at < text.len)
        for (end++; end < text.len && ((unsigned char)text.data[end] & 0xc0) == 0x80;) end++;
    return end;
}

static uint64_t cut_entries(const struct snapshot_state *state, bool map, uint64_t at,
                            size_t budget)
{
    size_t cost = 0;
    uint64_t end = at;
    while (end < state->entry_count) {
        uint64_t next = end + 1;
        size_t more = entry_cost(&state->entries[end]);
        while (map && next < state->entry_count &&
               same_key(&state->entries[end], &state->entries[next]))
            more += entry_cost(&state->entries[next++]);
        if (end > at && cost + more > budget) break;
        cost += more;
        end = next;
    }
    return end;
}

/* Stops counting beyond `enough`. */
static size_t cost_between(const struct snapshot_state *state, uint64_t from, uint64_t to,
                           size_t enough)
{
    if (state->text.len > 0) return STATE_COST + (size_t)(to - from);
    size_t cost = STATE_COST;
    for (uint64_t i = from; i < to && cost <= enough; i++) cost += entry_cost(&state->entries[i]);
    return cost;
}

static uint64_t state_end(const struct snapshot_state *state)
{
    return state->text.len > 0 ? state->text.len : state->entry_count;
}

/* A piece of the state at `cut` that fits into budget (force: something, however large); moves cut.
 * False: nothing fits. */
static bool next_piece(const syn_snapshot *s, struct cut *cut, size_t budget, bool force,
                       uint64_t *end)
{
    const struct snapshot_state *state = &s->states[cut->state];
    if (!force &&
        (budget <= STATE_COST || cost_between(state, cut->at, state_end(state), budget) > budget))
        return false;
    bool map = s->containers[state->container].kind == SYN_MAP;
    size_t left = budget > STATE_COST ? budget - STATE_COST : 1;
    *end = state->text.len > 0 ? cut_text(state->text, cut->at, left)
                               : cut_entries(state, map, cut->at, left);
    return true;
}

static void move_cut(const syn_snapshot *s, struct cut *cut, uint64_t end)
{
    const struct snapshot_state *state = &s->states[cut->state];
    if (end >= state_end(state)) {
        *cut = (struct cut){.state = cut->state + 1};
        return;
    }
    if (state->text.len > 0)
        cut->scalars += (uint32_t)utf8_count(state->text.data + cut->at, (size_t)(end - cut->at));
    cut->at = end;
}

/* ---- Parts ----------------------------------------------------------------------------------- */

/* One part being gathered.  Arrays are as large as the whole snapshot's; index maps say 0 or
 * 1 + index in the part's table, and only for `used` entries, which are cleared again. */
struct parting {
    const syn_snapshot *s;
    struct msg_snapshot part;
    struct snapshot_state *states;
    uint32_t *from;
    bool *more;
    struct snapshot_entry *entries;
    uint32_t entry_count;
    uint64_t *peers;
    struct change_container *containers;
    uint32_t *peer_map, *peer_used, *container_map, *container_used;
};

static uint32_t use_peer(struct parting *p, uint32_t peer)
{
    syn_snapshot *piece = &p->part.piece;
    if (p->peer_map[peer] == 0) {
        p->peers[piece->peer_count] = p->s->peers[peer];
        p->peer_used[piece->peer_count] = peer;
        p->peer_map[peer] = ++piece->peer_count;
    }
    return p->peer_map[peer] - 1;
}

/* Parents stand before children in the whole table too: upwards to the first that is there, then
 * back down, marking the way in container_used behind the part's own entries. */
static uint32_t use_container(struct parting *p, uint32_t container)
{
    syn_snapshot *piece = &p->part.piece;
    uint32_t depth = 0, *way = p->container_used + piece->container_count;
    for (uint32_t c = container; p->container_map[c] == 0; c = p->s->containers[c].parent) {
        way[depth++] = c;
        if (p->s->containers[c].form != CONTAINER_MERGEABLE) break;
    }
    for (uint32_t i = 0; i < depth / 2; i++) {
        uint32_t swap = way[i];
        way[i] = way[depth - 1 - i];
        way[depth - 1 - i] = swap;
    }
    for (uint32_t i = 0; i < depth; i++) {
        uint32_t c = way[i];
        struct change_container *out = &p->containers[piece->container_count];
        *out = p->s->containers[c];
        if (out->form == CONTAINER_BY_EVENT) out->peer = use_peer(p, out->peer);
        if (out->form == CONTAINER_MERGEABLE) out->parent = p->container_map[out->parent] - 1;
        p->container_map[c] = ++piece->container_count;
    }
    return p->container_map[container] - 1;
}

static void add_piece(struct parting *p, const struct cut *cut, uint64_t end)
{
    const struct snapshot_state *state = &p->s->states[cut->state];
    uint32_t n = p->part.piece.state_count++;
    struct snapshot_state *out = &p->states[n];
    *out = (struct snapshot_state){.container = use_container(p, state->container),
                                   .counter = state->counter};
    p->more[n] = end < state_end(state);
    if (state->text.len > 0) {
        out->text = (syn_str){state->text.data + cut->at, (size_t)(end - cut->at)};
        p->from[n] = cut->scalars;
        return;
    }
    p->from[n] = (uint32_t)cut->at;
    out->entries = &p->entries[p->entry_count];
    out->entry_count = (uint32_t)(end - cut->at);
    for (uint64_t i = cut->at; i < end; i++) {
        struct snapshot_entry *e = &p->entries[p->entry_count++];
        *e = state->entries[i];
        e->peer = use_peer(p, e->peer);
    }
    for (uint32_t i = 0; i < out->entry_count; i++) {
        struct snapshot_entry *e = &p->entries[p->entry_count - out->entry_count + i];
        if (e->set) e->set_peer = use_peer(p, e->set_peer);
    }
}

static void clear_part(struct parting *p)
{
    syn_snapshot *piece = &p->part.piece;
    for (uint32_t i = 0; i < piece->peer_count; i++) p->peer_map[p->peer_used[i]] = 0;
    for (uint32_t i = 0; i < piece->container_count; i++)
        p->container_map[p->container_used[i]] = 0;
    piece->peer_count = piece->container_count = piece->state_count = 0;
    p->entry_count = 0;
}

/* Gathers one part (p NULL: only moves the cut). */
static void fill_part(const syn_snapshot *s, struct cut *cut, size_t budget, struct parting *p)
{
    bool first = true;
    while (cut->state < s->state_count) {
        const struct snapshot_state *state = &s->states[cut->state];
        uint64_t end, at = cut->at;
        if (!next_piece(s, cut, budget, first, &end)) break;
        size_t cost = cost_between(state, at, end, budget);
        if (p != NULL) add_piece(p, cut, end);
        move_cut(s, cut, end);
        first = false;
        budget = budget > cost ? budget - cost : 0;
        if (cut->at != 0) break;
    }
}

static uint32_t count_parts(const syn_snapshot *s, size_t budget)
{
    struct cut cut = {0};
    uint32_t parts = 0;
    do {
        fill_part(s, &cut, budget, NULL);
        parts++;
    } while (cut.state < s->state_count);
    return parts;
}

static uint64_t most_entries(const syn_snapshot *s)
{
    uint64_t sum = 0;
    for (uint32_t i = 0; i < s->state_count; i++) sum += s->states[i].entry_count;
    return sum;
}

static syn_err begin_parting(struct parting *p, proto_arena *arena, const syn_snapshot *s)
{
    uint64_t peers = s->peer_count, containers = s->container_count, states = s->state_count;
    p->s = s;
    p->states = arena_array(arena, states, sizeof *p->states);
    p->from = arena_array(arena, states, sizeof *p->from);
    p->more = arena_array(arena, states, sizeof *p->more);
    p->entries = arena_array(arena, most_entries(s), sizeof *p->entries);
    p->peers = arena_array(arena, peers, sizeof *p->peers);
    p->containers = arena_array(arena, containers, sizeof *p->containers);
    p->peer_map = arena_array(arena, peers, sizeof *p->peer_map);
    p->peer_used = arena_array(arena, peers, sizeof *p->peer_used);
    p->container_map = arena_array(arena, containers, sizeof *p->container_map);
    p->container_used = arena_array(arena, containers, sizeof *p->container_used);
    if (p->states == NULL || p->from == NULL || p->more == NULL || p->entries == NULL ||
        p->peers == NULL || p->containers == NULL || p->peer_map == NULL || p->peer_used == NULL ||
        p->container_map == NULL || p->container_used == NULL)
        return SYN_ENOMEM;
    memset(p->peer_map, 0, (size_t)peers * sizeof *p->peer_map);
    memset(p->container_map, 0, (size_t)containers * sizeof *p->container_map);
    p->part.piece = (syn_snapshot){.heads = s->heads,
                                   .head_count = s->head_count,
                                   .lamport = s->lamport,
                                   .events = s->events,
                                   .peers = p->peers,
                                   .containers = p->containers,
                                   .states = p->states};
    p->part.from = p->from;
    p->part.more = p->more;
    return SYN_OK;
}

typedef syn_err (*emit_fn)(void *user, uint32_t part, uint32_t parts, syn_str bytes);

static syn_err emit_parts(struct parting *p, size_t budget, syn_buf *buf, emit_fn emit, void *user)
{
    struct cut cut = {0};
    syn_err err = SYN_OK;
    for (uint32_t i = 0; i < p->part.parts && err == SYN_OK; i++) {
        p->part.part = i;
        fill_part(p->s, &cut, budget, p);
        buf->len = 0;
        struct writer w = writer_begin(buf);
        put_snapshot(&w, &p->part);
        err = writer_end(&w);
        if (err == SYN_OK)
            err = emit(user, i, p->part.parts, (syn_str){.data = buf->data, .len = buf->len});
        clear_part(p);
    }
    return err;
}

syn_err proto_encode_snapshot(const syn_snapshot *snapshot, uint64_t id, uint64_t digest,
                              size_t part_bytes, emit_fn emit, void *user)
{
    if (snapshot->head_count != 1) return SYN_EMISUSE;
    proto_arena *arena;
    syn_err err = proto_arena_new(&arena, NULL);
    if (err != SYN_OK) return err;
    struct parting p = {.part = {.id = id, .digest = digest}};
    syn_buf buf = {0};
    err = begin_parting(&p, arena, snapshot);
    if (err == SYN_OK) p.part.parts = count_parts(snapshot, part_bytes);
    if (err == SYN_OK && p.part.parts > LIMIT_SNAPSHOT_PARTS) err = SYN_ELIMIT;
    if (err == SYN_OK) err = emit_parts(&p, part_bytes, &buf, emit, user);
    syn_buf_free(&buf);
    proto_arena_free(arena);
    return err;
}
