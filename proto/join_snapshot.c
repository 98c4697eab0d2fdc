/* join_snapshot.c -- the parts of a snapshot become one state again.
 *
 * Each part has tables of its own; here they become one, through hash tables that give every peer
 * and container its index in the whole.  A state that came in pieces is put together; its pieces
 * must follow each other without gap, in neighbouring parts. */
#include "wire.h"
#include "utf8.h"

#define XXH_INLINE_ALL
#include <xxhash.h>

struct index { /* open addressing, at most half full; slots hold index + 1 */
    uint32_t *slots;
    uint32_t mask;
};

struct joining {
    struct decoding d;
    struct msg_snapshot *parts;
    uint32_t count;
    uint64_t *peers;
    struct change_container *containers;
    uint32_t peer_count, container_count;
    struct index peer_index, container_index;
    /* per piece, in order: which state of the whole it belongs to */
    struct snapshot_state *states;
    size_t *text_len;
    bool *has_state; /* per container */
    uint32_t state_count;
};

static syn_err malformed(struct joining *j, const char *why)
{
    return refuse(j->d.fault, CODE_MALFORMED, "Snapshot: %s", why);
}

static bool index_begin(struct index *index, proto_arena *arena, uint64_t entries)
{
    uint64_t size = 16;
    while (size < entries * 2) size *= 2;
    if (size > UINT32_MAX) return false;
    index->mask = (uint32_t)size - 1;
    index->slots = arena_array(arena, size, sizeof *index->slots);
    if (index->slots != NULL) memset(index->slots, 0, (size_t)size * sizeof *index->slots);
    return index->slots != NULL;
}

static uint32_t whole_peer(struct joining *j, uint64_t peer)
{
    uint32_t at = (uint32_t)XXH64(&peer, sizeof peer, 0) & j->peer_index.mask;
    for (; j->peer_index.slots[at] != 0; at = (at + 1) & j->peer_index.mask)
        if (j->peers[j->peer_index.slots[at] - 1] == peer) return j->peer_index.slots[at] - 1;
    j->peers[j->peer_count] = peer;
    j->peer_index.slots[at] = ++j->peer_count;
    return j->peer_count - 1;
}

/* `c` speaks of the whole's indexes already. */
static uint32_t whole_container(struct joining *j, const struct change_container *c)
{
    uint32_t at = (uint32_t)container_hash(c) & j->container_index.mask;
    for (; j->container_index.slots[at] != 0; at = (at + 1) & j->container_index.mask)
        if (container_same(&j->containers[j->container_index.slots[at] - 1], c))
            return j->container_index.slots[at] - 1;
    j->containers[j->container_count] = *c;
    j->container_index.slots[at] = ++j->container_count;
    return j->container_count - 1;
}

/* ---- Tables ---------------------------------------------------------------------------------- */

static syn_err decode_parts(struct joining *j, const syn_str *bytes)
{
    for (uint32_t i = 0; i < j->count; i++) {
        struct msg_snapshot *part = &j->parts[i];
        syn_err err = decode_snapshot(&j->d, bytes[i].data, bytes[i].len, part);
        if (err != SYN_OK) return err;
        if (part->part != i || part->parts != j->count || part->id != j->parts[0].id)
            return malformed(j, "parts that do not belong together");
    }
    return SYN_OK;
}

static syn_err begin_tables(struct joining *j)
{
    uint64_t peers = 0, containers = 0, pieces = 0;
    for (uint32_t i = 0; i < j->count; i++) {
        peers += j->parts[i].piece.peer_count;
        containers += j->parts[i].piece.container_count;
        pieces += j->parts[i].piece.state_count;
    }
    proto_arena *arena = j->d.arena;
    j->peers = arena_array(arena, peers, sizeof *j->peers);
    j->containers = arena_array(arena, containers, sizeof *j->containers);
    j->states = arena_array(arena, pieces, sizeof *j->states);
    j->text_len = arena_array(arena, pieces, sizeof *j->text_len);
    j->has_state = arena_array(arena, containers, sizeof *j->has_state);
    if (j->peers == NULL || j->containers == NULL || j->states == NULL || j->text_len == NULL ||
        j->has_state == NULL || !index_begin(&j->peer_index, arena, peers) ||
        !index_begin(&j->container_index, arena, containers))
        return refuse_memory(arena, j->d.fault);
    memset(j->has_state, 0, (size_t)containers * sizeof *j->has_state);
    return SYN_OK;
}

/* Rewrites a part, which is ours in the arena, to the whole's indexes. */
static syn_err renumber_part(struct joining *j, struct msg_snapshot *part)
{
    syn_snapshot *piece = &part->piece;
    uint32_t *peer = arena_array(j->d.arena, piece->peer_count, sizeof *peer);
    uint32_t *container = arena_array(j->d.arena, piece->container_count, sizeof *container);
    struct snapshot_state *states = arena_array(j->d.arena, piece->state_count, sizeof *states);
    if (peer == NULL || container == NULL || states == NULL)
        return refuse_memory(j->d.arena, j->d.fault);
    for (uint32_t i = 0; i < piece->peer_count; i++) peer[i] = whole_peer(j, piece->peers[i]);
    for (uint32_t i = 0; i < piece->container_count; i++) {
        struct change_container c = piece->containers[i];
        if (c.form == CONTAINER_BY_EVENT) c.peer = peer[c.peer];
        if (c.form == CONTAINER_MERGEABLE) c.parent = container[c.parent];
        container[i] = whole_container(j, &c);
    }
    for (uint32_t i = 0; i < piece->state_count; i++) {
        states[i] = piece->states[i];
        states[i].container = container[states[i].container];
        struct snapshot_entry *entries =
            arena_array(j->d.arena, states[i].entry_count, sizeof *entries);
        if (entries == NULL) return refuse_memory(j->d.arena, j->d.fault);
        for (uint32_t k = 0; k < states[i].entry_count; k++) {
            entries[k] = states[i].entries[k];
            entries[k].peer = peer[entries[k].peer];
            if (entries[k].set) entries[k].set_peer = peer[entries[k].set_peer];
        }
        states[i].entries = entries;
    }
    piece->states = states;
    return SYN_OK;
}

/* ---- States ---------------------------------------------------------------------------------- */

/* What came of the state that is open: entries, or scalars of text. */
struct open_state {
    bool open;
    uint64_t done;
    syn_str last_key;
};

static syn_err check_piece(struct joining *j, const struct msg_snapshot *part, uint32_t i,
                           const struct open_state *open)
{
    const struct snapshot_state *piece = &part->piece.states[i];
    if (!open->open) {
        if (part->from[i] != 0) return malformed(j, "a piece without those before it");
        if (j->has_state[piece->container]) return malformed(j, "two states of one container");
        return SYN_OK;
    }
    const struct snapshot_state *state = &j->states[j->state_count - 1];
    if (i != 0 || state->container != piece->container || part->from[i] != open->done)
        return malformed(j, "pieces of a state do not follow each other");
    if (j->containers[piece->container].kind == SYN_MAP && piece->entry_count > 0 &&
        compare_keys(open->last_key, piece->entries[0].key) >= 0)
        return malformed(j, "keys are not in ascending order");
    return SYN_OK;
}

/* First pass: how much each state has. */
static syn_err measure_piece(struct joining *j, const struct msg_snapshot *part, uint32_t i,
                             struct open_state *open)
{
    const struct snapshot_state *piece = &part->piece.states[i];
    syn_err err = check_piece(j, part, i, open);
    if (err != SYN_OK) return err;
    if (!open->open) {
        j->has_state[piece->container] = true;
        j->text_len[j->state_count] = 0;
        j->states[j->state_count++] =
            (struct snapshot_state){.container = piece->container, .counter = piece->counter};
        open->done = 0;
    }
    uint32_t at = j->state_count - 1;
    j->text_len[at] += piece->text.len;
    open->done += piece->entry_count + utf8_count(piece->text.data, piece->text.len);
    if (open->done > SEQ_MAX) return malformed(j, "a state too large");
    j->states[at].entry_count += piece->entry_count;
    if (piece->entry_count > 0) open->last_key = piece->entries[piece->entry_count - 1].key;
    open->open = part->more[i];
    if (open->open && i + 1 != part->piece.state_count)
        return malformed(j, "a state that continues is not the last of its part");
    return SYN_OK;
}

static syn_err measure(struct joining *j)
{
    struct open_state open = {0};
    for (uint32_t p = 0; p < j->count; p++)
        for (uint32_t i = 0; i < j->parts[p].piece.state_count; i++) {
            syn_err err = measure_piece(j, &j->parts[p], i, &open);
            if (err != SYN_OK) return err;
        }
    return open.open ? malformed(j, "the last state is cut off") : SYN_OK;
}

/* Second pass: a state in one piece is taken as it is, others are copied together. */
static syn_err begin_state(struct joining *j, struct snapshot_state *state, size_t text_len)
{
    char *text = arena_alloc(j->d.arena, text_len);
    struct snapshot_entry *entries = arena_array(j->d.arena, state->entry_count, sizeof *entries);
    if (text == NULL || entries == NULL) return refuse_memory(j->d.arena, j->d.fault);
    state->text = (syn_str){.data = text, .len = 0};
    state->entries = entries;
    state->entry_count = 0;
    return SYN_OK;
}

static void append(struct snapshot_state *state, const struct snapshot_state *piece)
{
    char *text = (char *)(uintptr_t)state->text.data;
    struct snapshot_entry *entries = (struct snapshot_entry *)(uintptr_t)state->entries;
    if (piece->text.len > 0) memcpy(text + state->text.len, piece->text.data, piece->text.len);
    state->text.len += piece->text.len;
    if (piece->entry_count > 0)
        memcpy(entries + state->entry_count, piece->entries, piece->entry_count * sizeof *entries);
    state->entry_count += piece->entry_count;
}

static syn_err gather(struct joining *j)
{
    uint32_t n = 0;
    bool open = false;
    for (uint32_t p = 0; p < j->count; p++) {
        const struct msg_snapshot *part = &j->parts[p];
        for (uint32_t i = 0; i < part->piece.state_count; i++) {
            const struct snapshot_state *piece = &part->piece.states[i];
            struct snapshot_state *state = open ? &j->states[n - 1] : &j->states[n++];
            if (!open && !part->more[i]) {
                *state = *piece;
                continue;
            }
            syn_err err = open ? SYN_OK : begin_state(j, state, j->text_len[n - 1]);
            if (err != SYN_OK) return err;
            append(state, piece);
            open = part->more[i];
        }
    }
    return SYN_OK;
}

static syn_err join(struct joining *j, const syn_str *bytes)
{
    syn_err err = decode_parts(j, bytes);
    if (err == SYN_OK) err = begin_tables(j);
    for (uint32_t i = 0; i < j->count && err == SYN_OK; i++) err = renumber_part(j, &j->parts[i]);
    if (err == SYN_OK) err = measure(j);
    return err == SYN_OK ? gather(j) : err;
}

syn_err proto_join_snapshot(proto_arena *arena, const syn_str *parts, uint32_t count,
                            syn_snapshot *out, uint64_t *digest, struct proto_fault *fault)
{
    if (fault != NULL) *fault = (struct proto_fault){.code = CODE_OK};
    arena->limit = LIMIT_CHUNK_MEMORY;
    if (count == 0) return refuse(fault, CODE_MALFORMED, "Snapshot: no parts");
    struct joining j = {.d = {.arena = arena,
                              .fault = fault,
                              .max_events = LIMIT_CHUNK_EVENTS,
                              .max_value = LIMIT_VALUE_BYTES,
                              .max_parents = LIMIT_PARENTS},
                        .count = count,
                        .parts = arena_array(arena, count, sizeof *j.parts)};
    if (j.parts == NULL) return refuse_memory(arena, fault);
    syn_err err = join(&j, parts);
    if (err != SYN_OK) return err;
    *out = j.parts[0].piece;
    out->peers = j.peers;
    out->peer_count = j.peer_count;
    out->containers = j.containers;
    out->container_count = j.container_count;
    out->states = j.states;
    out->state_count = j.state_count;
    if (digest != NULL) *digest = j.parts[0].digest;
    return SYN_OK;
}
