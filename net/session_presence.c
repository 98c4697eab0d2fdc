/* session_presence.c -- where one is, and where others are.
 *
 *     own       state (bytes), selected (cursors)  --tick-->  Presence, positions of that moment
 *     others    session -> told    the frame, while what it stands on is not here
 *                          ends    cursors, once it is
 *
 * A selection is kept as two cursors on either side, so that it stays in its place whatever is
 * typed; positions are made of them when somebody asks.  What others told is resolved when it is
 * asked for, too: events and presence come on different roads, and nothing has to be watched. */
#include "cursor.h"
#include "session_impl.h"

#include <stdlib.h>
#include <string.h>

/* More than a room shows; what a server tells beyond this is not kept. */
#define OTHERS 1024u

struct other {
    uint32_t session;
    syn_buf told;
    syn_cursor (*ends)[2];
    uint32_t count;
};

/* ---- One's own ------------------------------------------------------------------------------- */

static void own_due(session_doc *sd, uint64_t now)
{
    if (sd->presence_ttl == 0) sd->presence_ttl = PRESENCE_TTL_MS;
    sd->presence_set = sd->presence_due = true;
    if (sd->s->now < now) sd->s->now = now;
}

syn_err session_presence(session_doc *sd, syn_str state, uint32_t ttl_ms, uint64_t now)
{
    if (state.len > LIMIT_PRESENCE_BYTES || ttl_ms > LIMIT_PRESENCE_TTL_MS) return SYN_ELIMIT;
    syn_buf copy = {0};
    syn_err err = syn_buf_append(&copy, state.data, state.len);
    if (err) return err;
    syn_buf_free(&sd->presence);
    sd->presence = copy;
    sd->presence_ttl = ttl_ms;
    own_due(sd, now);
    return SYN_OK;
}

static syn_err cursors_of(syn_doc *doc, const syn_selection *at, syn_cursor ends[2])
{
    syn_side first = at->anchor < at->head ? SYN_BEFORE : SYN_AFTER;
    syn_side second = at->head < at->anchor ? SYN_BEFORE : SYN_AFTER;
    syn_err err = syn_cursor_at(doc, at->obj, at->anchor, first, &ends[0]);
    return err ? err : syn_cursor_at(doc, at->obj, at->head, second, &ends[1]);
}

syn_err session_select(session_doc *sd, const syn_selection *selections, size_t count, uint64_t now)
{
    if (count > LIMIT_CURSORS) return SYN_ELIMIT;
    syn_cursor(*ends)[2] = calloc(count + 1, sizeof *ends);
    syn_err err = ends != NULL ? SYN_OK : SYN_ENOMEM;
    for (size_t i = 0; !err && i < count; i++) {
        err = cursors_of(sd->doc, &selections[i], ends[i]);
        if (selections[i].obj != selections[0].obj) err = SYN_EMISUSE;
    }
    if (err) {
        free(ends);
        return err;
    }
    free(sd->selected);
    sd->selected = ends;
    sd->selected_count = (uint32_t)count;
    own_due(sd, now);
    return SYN_OK;
}

/* Without its cursors if they take more room than the server gives. */
static void tell(session_doc *sd, struct frame *frame, struct msg_presence_state *state)
{
    session *s = sd->s;
    s->out.len = 0;
    syn_err err = proto_encode(&s->out, frame);
    if (!err && s->out.len > LIMIT_PRESENCE_FRAME) {
        state->cursor_count = frame->as.presence.peer_count = 0;
        frame->as.presence.container_count = 0;
        s->out.len = 0;
        err = proto_encode(&s->out, frame);
    }
    if (err)
        session_hang_up(s, "out of memory");
    else
        session_send_bytes(s, (syn_str){s->out.data, s->out.len});
}

/* Sent whole when it is new to the server, else its time is only started again. */
void doc_presence_tick(session_doc *sd)
{
    session *s = sd->s;
    bool due = sd->presence_due || (sd->presence_set && s->now >= sd->presence_renew);
    if (!due || sd->state != CHANNEL_OPEN || sd->no_presence || s->now < sd->presence_at) return;
    struct msg_presence_state state = {.ttl_ms = sd->presence_ttl, .unchanged = !sd->presence_due};
    struct frame frame = {.channel = sd->channel, .kind = FRAME_PRESENCE};
    struct cursor_tables *tables = NULL;
    frame.as.presence.states = &state;
    frame.as.presence.state_count = 1;
    if (sd->presence_due) state.state = (syn_str){sd->presence.data, sd->presence.len};
    if (sd->presence_due && sd->selected_count != 0) tables = calloc(1, sizeof *tables);
    if (tables != NULL)
        cursors_to_presence(sd->doc, sd->selected, sd->selected_count, tables, &frame.as.presence,
                            &state);
    tell(sd, &frame, &state);
    free(tables);
    uint32_t gap = s->limits.presence_ms != 0 ? s->limits.presence_ms : LIMIT_PRESENCE_MS;
    sd->presence_due = false;
    sd->presence_at = s->now + gap;
    sd->presence_renew = s->now + sd->presence_ttl / 2;
}

uint64_t doc_presence_next(const session_doc *sd)
{
    if (sd->state != CHANNEL_OPEN || !sd->presence_set || sd->no_presence) return UINT64_MAX;
    if (!sd->presence_due) return sd->presence_renew;
    return sd->presence_at != 0 ? sd->presence_at : sd->s->now; /* 0 says "none" to the caller */
}

/* ---- Others ---------------------------------------------------------------------------------- */

static void other_free(struct other *other)
{
    syn_buf_free(&other->told);
    free(other->ends);
}

static struct other *other_find(const session_doc *sd, uint32_t number)
{
    for (uint32_t i = 0; i < sd->other_count; i++)
        if (sd->others[i].session == number) return &sd->others[i];
    return NULL;
}

static void other_remove(session_doc *sd, uint32_t number)
{
    struct other *other = other_find(sd, number);
    if (other == NULL) return;
    other_free(other);
    *other = sd->others[--sd->other_count];
}

void doc_presence_reset(session_doc *sd)
{
    for (uint32_t i = 0; i < sd->other_count; i++) other_free(&sd->others[i]);
    sd->other_count = 0;
    sd->presence_due = sd->presence_set;
}

void doc_presence_free(session_doc *sd)
{
    doc_presence_reset(sd);
    free(sd->others);
    free(sd->selected);
    syn_buf_free(&sd->presence);
}

/* No memory: its selections are not shown. */
static void other_told(session_doc *sd, uint32_t number, syn_str frame)
{
    struct other other = {.session = number};
    if (sd->other_count == OTHERS ||
        !grow((void **)&sd->others, sd->other_count, &sd->other_cap, sizeof other) ||
        syn_buf_append(&other.told, frame.data, frame.len))
        return;
    sd->others[sd->other_count++] = other;
}

void handle_presence(session_doc *sd, const struct msg_presence *presence, syn_str frame)
{
    session *s = sd->s;
    for (uint32_t i = 0; i < presence->state_count; i++) {
        const struct msg_presence_state *state = &presence->states[i];
        if (state->session == sd->session_number || state->unchanged) continue;
        other_remove(sd, state->session);
        if (!state->gone && state->cursor_count != 0) other_told(sd, state->session, frame);
        if (s->port.presence != NULL) s->port.presence(s->port.user, sd, state);
    }
}

/* What is here of what it told; told is kept while events are missing. */
static void resolve(session_doc *sd, struct other *other, const struct msg_presence *presence)
{
    const struct msg_presence_state *state = presence->states;
    bool missing = false;
    while (state->session != other->session) state++;
    if (other->ends == NULL) other->ends = calloc(state->cursor_count, sizeof *other->ends);
    if (other->ends == NULL) return;
    other->count = 0;
    for (uint32_t i = 0; i < state->cursor_count; i++) {
        syn_err err =
            cursor_from_presence(sd->doc, presence, &state->cursors[i], other->ends[other->count]);
        if (!err) other->count++;
        if (err == SYN_EMISSING || err == SYN_EHISTORY || err == SYN_ENOMEM) missing = true;
    }
    if (!missing) syn_buf_free(&other->told);
}

static void look_again(session_doc *sd, struct other *other)
{
    proto_arena *arena;
    struct frame frame;
    if (other->told.len == 0 || proto_arena_new(&arena, NULL)) return;
    syn_err err =
        proto_decode(arena, other->told.data, other->told.len, NULL, NULL, NULL, &frame, NULL);
    if (!err) resolve(sd, other, &frame.as.presence);
    proto_arena_free(arena);
}

size_t session_selections(session_doc *sd, uint32_t number, syn_selection *out, size_t cap)
{
    struct other *other = other_find(sd, number);
    size_t count = 0;
    if (other == NULL) return 0;
    look_again(sd, other);
    for (uint32_t i = 0; i < other->count; i++) {
        syn_selection at = {.obj = other->ends[i][0].obj};
        if (syn_cursor_pos(sd->doc, &other->ends[i][0], &at.anchor) ||
            syn_cursor_pos(sd->doc, &other->ends[i][1], &at.head))
            continue; /* taken out of the document, or the history to tell is not here */
        if (count < cap) out[count] = at;
        count++;
    }
    return count;
}
