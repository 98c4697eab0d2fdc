/* cursor.c -- cursors as the protocol tells them: positions at a version given by its heads. */
#include "cursor.h"

#include "change.h"
#include "syncline_bytes.h"

#include <stdlib.h>

enum { DEEPEST = CURSOR_DEPTH };

/* ---- Presence -------------------------------------------------------------------------------- */

syn_err cursor_from_presence(syn_doc *doc, const struct msg_presence *presence,
                             const struct msg_cursor *cursor, syn_cursor ends[2])
{
    static const struct change_container text = {.kind = SYN_TEXT, .form = CONTAINER_ROOT};
    const struct change_container *table =
        presence->container_count > 0 ? presence->containers : &text;
    syn_obj obj;
    syn_err err = syn_obj_find(doc, table, cursor->container, presence->peers, &obj);
    if (err != SYN_OK) return err;
    syn_id *heads = malloc(((size_t)cursor->at_count + 1) * sizeof *heads);
    if (heads == NULL) return SYN_ENOMEM;
    for (uint32_t i = 0; i < cursor->at_count; i++)
        heads[i] = (syn_id){presence->peers[cursor->at[i].peer], cursor->at[i].seq};
    int64_t anchor = cursor->anchor, head = anchor + cursor->head;
    for (int i = 0; err == SYN_OK && i < 2; i++) {
        int64_t pos = i == 0 ? anchor : head, other = i == 0 ? head : anchor;
        err = syn_cursor_from(doc, obj, heads, cursor->at_count, (size_t)pos,
                              pos < other ? SYN_BEFORE : SYN_AFTER, &ends[i]);
    }
    free(heads);
    return err;
}

syn_err cursor_to_presence(syn_doc *doc, syn_cursor ends[2], uint32_t first_peer,
                           const syn_id *heads, struct change_dep *at, uint32_t count,
                           struct msg_cursor *out)
{
    size_t anchor, head;
    syn_err err = syn_cursor_pos(doc, &ends[0], &anchor);
    if (err == SYN_OK) err = syn_cursor_pos(doc, &ends[1], &head);
    if (err != SYN_OK) return err;
    for (uint32_t i = 0; i < count; i++) at[i] = (struct change_dep){first_peer + i, heads[i].seq};
    *out = (struct msg_cursor){.at = at,
                               .at_count = count,
                               .anchor = (uint32_t)anchor,
                               .head = (int32_t)((int64_t)head - (int64_t)anchor)};
    return SYN_OK;
}

/* ---- One's own Presence ---------------------------------------------------------------------- */

void cursors_to_presence(syn_doc *doc, syn_cursor (*ends)[2], uint32_t count,
                         struct cursor_tables *tables, struct msg_presence *presence,
                         struct msg_presence_state *state)
{
    syn_id heads[CURSOR_HEADS];
    uint32_t n = (uint32_t)syn_doc_heads(doc, heads, CURSOR_HEADS), made = 0;
    uint64_t maker;
    presence->peers = tables->peers;
    presence->containers = tables->containers;
    state->cursors = tables->cursors;
    if (n > CURSOR_HEADS || syn_obj_chain(doc, ends[0][0].obj, tables->containers, CURSOR_DEPTH,
                                          &presence->container_count, &maker) != SYN_OK)
        return;
    for (uint32_t i = 0; i < n; i++) tables->peers[i] = heads[i].peer;
    while (made < n && heads[made].peer != maker) made++;
    tables->peers[made] = maker;
    presence->peer_count = n + (maker != 0 && made == n);
    tables->containers[0].peer = made;
    for (uint32_t i = 0; i < count; i++) {
        struct msg_cursor *out = &tables->cursors[state->cursor_count];
        if (cursor_to_presence(doc, ends[i], 0, heads, tables->at, n, out) != SYN_OK) continue;
        out->container = presence->container_count - 1;
        state->cursor_count++;
    }
}

/* ---- One cursor as bytes --------------------------------------------------------------------- */

/* No version: 0 is the start, and 0 with a selection of one, which no empty version has, the end.
 */
syn_err syn_cursor_encode(syn_doc *doc, const syn_cursor *cursor, syn_buf *out)
{
    struct change_container chain[DEEPEST];
    uint64_t peers[2], made;
    struct change_dep at = {0, cursor->at.seq};
    bool placed = cursor->at.peer != 0, before = cursor->side == SYN_BEFORE;
    struct msg_cursor one = {.head = before, .at = &at, .at_count = placed};
    struct msg_presence_state state = {.cursors = &one, .cursor_count = 1};
    struct frame frame = {.channel = 1, .kind = FRAME_PRESENCE};
    uint32_t count, peer_count = 0;
    syn_err err = syn_obj_chain(doc, cursor->obj, chain, DEEPEST, &count, &made);
    if (err != SYN_OK) return err;
    one.container = count - 1;
    if (made != 0) peers[peer_count++] = made;
    if (placed) {
        one.anchor = cursor->index + (before ? 0 : 1);
        at.peer = cursor->at.peer == made ? 0 : peer_count;
        if (at.peer == peer_count) peers[peer_count++] = cursor->at.peer;
    }
    frame.as.presence = (struct msg_presence){&state, 1, peers, peer_count, chain, count};
    return proto_encode(out, &frame);
}

static syn_err read_cursor(syn_doc *doc, const struct msg_presence *presence, syn_cursor *out)
{
    if (presence->state_count != 1 || presence->states[0].cursor_count != 1) return SYN_EMALFORMED;
    const struct msg_cursor *one = &presence->states[0].cursors[0];
    bool before = one->head == 1;
    if (one->at_count > 1 || one->head < 0 || one->head > 1 || presence->container_count == 0)
        return SYN_EMALFORMED;
    if (one->at_count == 0 ? one->anchor != 0 : !before && one->anchor == 0) return SYN_EMALFORMED;
    *out = (syn_cursor){.side = before ? SYN_BEFORE : SYN_AFTER};
    if (one->at_count == 1) {
        out->at = (syn_id){presence->peers[one->at[0].peer], one->at[0].seq};
        out->index = one->anchor - (before ? 0 : 1);
    }
    syn_err err =
        syn_obj_find(doc, presence->containers, one->container, presence->peers, &out->obj);
    if (err != SYN_OK) return err;
    syn_kind kind = syn_obj_kind(doc, out->obj);
    return kind == SYN_TEXT || kind == SYN_LIST ? SYN_OK : SYN_EKIND;
}

syn_err syn_cursor_decode(syn_doc *doc, const void *bytes, size_t len, syn_cursor *out)
{
    proto_arena *arena;
    struct frame frame;
    struct proto_fault fault;
    syn_err err = proto_arena_new(&arena, NULL);
    if (err != SYN_OK) return err;
    err = proto_decode(arena, bytes, len, NULL, NULL, NULL, &frame, &fault);
    if (err == SYN_OK && frame.kind != FRAME_PRESENCE) err = SYN_EMALFORMED;
    if (err == SYN_OK) err = read_cursor(doc, &frame.as.presence, out);
    proto_arena_free(arena);
    return err;
}
