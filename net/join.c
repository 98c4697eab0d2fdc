/* join.c -- Open and Want: what a newcomer gets, and from where his cursor goes on.
 *
 *     Open.version      plan
 *     empty             a snapshot, then the log above it; or the whole log when that is short
 *     known heads       the spans of the log that a replica at these heads lacks
 *     unknown heads     NEED_VECTOR; the spans follow when Want brings the vector
 *
 * Spans are sent before the cursor's stretch, which begins where the log ended at Open. */
#include "hub_impl.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

/* ---- Refusing -------------------------------------------------------------------------------- */

/* Closed for a channel that never came into being; its number is used up. */
static void refuse_open(hub_conn *conn, uint32_t number, enum code code, bool permanent,
                        const char *detail)
{
    struct frame frame = {.channel = number, .kind = FRAME_CLOSED};
    conn->last_channel = number;
    hub_count(conn->hub, code);
    frame.as.closed.code = code;
    frame.as.closed.permanent = permanent;
    frame.as.closed.retry_ms = permanent ? 0 : RETRY_MS;
    frame.as.closed.detail = syn_s(detail);
    conn_frame(conn, &frame);
}

static void refuse_beyond(hub_conn *conn, uint32_t number, enum limit limit)
{
    const struct limit_info *info = limits_info(limit);
    char words[LIMIT_WORDS];
    hub_count_limit(conn->hub, limit);
    refuse_open(conn, number, info->code, info->permanent, limit_words(limit, words));
}

static void refuse_load(hub_conn *conn, uint32_t number, syn_err err, const char *detail)
{
    bool busy = err == SYN_ENOMEM || err == SYN_EBUSY;
    enum code code = err == SYN_EDAMAGED ? CODE_DAMAGED : busy ? CODE_BUSY : CODE_STORAGE;
    refuse_open(conn, number, code, false, err == SYN_ENOMEM ? "out of memory" : detail);
}

static void refuse_channel(struct channel *ch, enum code code, bool permanent, const char *detail)
{
    channel_closed(ch, code, permanent, permanent ? 0 : RETRY_MS, detail);
}

static void refuse_channel_beyond(struct channel *ch, enum limit limit)
{
    const struct limit_info *info = limits_info(limit);
    char words[LIMIT_WORDS];
    hub_count_limit(ch->room->hub, limit);
    refuse_channel(ch, info->code, info->permanent, limit_words(limit, words));
}

/* The copy that the client has is of another document, or of one that was deleted. */
static bool lineage_fits(struct channel *ch, const struct msg_open *open)
{
    const struct room *room = ch->room;
    uint8_t theirs[STORE_LINEAGE_BYTES];
    bool deleted = false;
    if (open->lineage.len != STORE_LINEAGE_BYTES) return true;
    memcpy(theirs, open->lineage.data, sizeof theirs);
    bool same = room->has_lineage && memcmp(room->lineage, theirs, sizeof theirs) == 0;
    if (room->exists && same) return true;
    syn_err err = store_was_deleted(room->hub->store, open->document, theirs, &deleted);
    if (!err && !room->exists && !deleted) return true; /* this server lost it: it may come back */
    if (err) /* not known: what was deleted must not come back */
        refuse_channel(ch, CODE_STORAGE, false, "the disk cannot be read");
    else if (deleted)
        refuse_channel(ch, CODE_DELETED, true, "this document was deleted");
    else
        refuse_channel(ch, CODE_LINEAGE, true, "the name now means another document");
    return false;
}

/* ---- Answering ------------------------------------------------------------------------------- */

struct peer_rows {
    uint32_t *next;
    uint64_t *chain;
};

static syn_err read_peers(struct room *room, const struct msg_open *open, struct peer_rows *rows)
{
    uint32_t count = 1 + open->old_peer_count;
    rows->next = calloc(count, sizeof *rows->next);
    rows->chain = calloc(count, sizeof *rows->chain);
    syn_err err = rows->next != NULL && rows->chain != NULL ? room_gather(room) : SYN_ENOMEM;
    for (uint32_t i = 0; !err && i < count; i++) {
        struct room_peer peer;
        err = room_peer_read(room, i == 0 ? open->peer : open->old_peers[i - 1], &peer);
        rows->next[i] = peer.next;
        rows->chain[i] = peer.chain;
    }
    return err;
}

/* Heads as a borrowed array in *out (to be freed). */
static syn_err read_heads(const syn_doc *doc, syn_id **out, uint32_t *count)
{
    *count = (uint32_t)syn_doc_heads(doc, NULL, 0);
    *out = calloc(*count + 1u, sizeof **out);
    if (*out == NULL) return SYN_ENOMEM;
    syn_doc_heads(doc, *out, *count);
    return SYN_OK;
}

static void answer(struct channel *ch, const struct msg_open *open, enum plan plan, bool again)
{
    struct room *room = ch->room;
    struct frame frame = {.channel = ch->number, .kind = FRAME_OPENED};
    struct msg_opened *opened = &frame.as.opened;
    struct peer_rows rows = {0};
    syn_id *heads = NULL;
    syn_err err = read_heads(room->doc, &heads, &opened->version.head_count);
    if (!err && open != NULL) err = read_peers(room, open, &rows);
    opened->version.heads = heads;
    if (room->exists) opened->lineage = (syn_str){(const char *)room->lineage, STORE_LINEAGE_BYTES};
    opened->rights = ch->rights;
    opened->plan = plan;
    opened->session = ch->session;
    if (open != NULL) {
        opened->peer_next = rows.next;
        opened->peer_chain = rows.chain;
        opened->peer_count = 1 + open->old_peer_count;
        if (!again) opened->window_bytes = LIMIT_WINDOW_BYTES;
    }
    if (err)
        channel_closed(ch, CODE_BUSY, false, RETRY_MS, "out of memory");
    else
        hold_frame(ch, &frame);
    free(heads);
    free(rows.next);
    free(rows.chain);
}

void room_create(struct room *room, const uint8_t *lineage)
{
    hub *h = room->hub;
    if (lineage != NULL) memcpy(room->lineage, lineage, STORE_LINEAGE_BYTES);
    for (uint32_t i = 0; lineage == NULL && !room->has_lineage && i < 2; i++) {
        uint64_t random = h->port.random(h->port.user);
        memcpy(room->lineage + i * 8, &random, sizeof random);
    }
    room->exists = room->create = room->dirty = room->has_lineage = true;
    for (struct channel *ch = room->channels, *next; ch != NULL; ch = next) {
        next = ch->next;
        if (!ch->opening) answer(ch, NULL, PLAN_CHANGES, true);
    }
}

/* ---- Where to begin -------------------------------------------------------------------------- */

static syn_err keep_spans(struct channel *ch, const syn_span *spans, size_t count)
{
    uint32_t log_end = syn_doc_log_end(ch->room->doc);
    if (count == 1 && spans[0].end == log_end) { /* the usual: what came since */
        ch->cursor = spans[0].from;
        return SYN_OK;
    }
    syn_span *copy = malloc((count != 0 ? count : 1) * sizeof *copy);
    if (copy == NULL) return SYN_ENOMEM;
    if (count != 0) memcpy(copy, spans, count * sizeof *copy);
    free(ch->spans);
    ch->spans = copy;
    ch->span_count = (uint32_t)count;
    ch->span_at = 0;
    ch->cursor = log_end;
    return SYN_OK;
}

/* What a replica at this version lacks.  SYN_ENOTFOUND: it has heads that are not known here. */
static syn_err spans_since(struct room *room, const struct msg_version *version,
                           const syn_span **spans, size_t *count)
{
    bool vector = version->vector_count != 0;
    syn_err err = SYN_EHISTORY;
    if (vector || syn_doc_has_history(room->doc) || version->head_count != 0)
        err = vector ? syn_doc_spans_since_vector(room->doc, version->vector, version->vector_count,
                                                  spans, count)
                     : syn_doc_spans_since(room->doc, version->heads, version->head_count, spans,
                                           count);
    bool below = vector || err == SYN_EHISTORY || err == SYN_ENOTFOUND;
    if (!below || syn_doc_has_history(room->doc)) return err;
    err = room_backfill(room);
    if (err) return err;
    return vector
               ? syn_doc_spans_since_vector(room->doc, version->vector, version->vector_count,
                                            spans, count)
               : syn_doc_spans_since(room->doc, version->heads, version->head_count, spans, count);
}

static syn_err join_by_log(struct channel *ch, const struct msg_version *version, enum plan *plan)
{
    const syn_span *spans;
    size_t count;
    syn_err err = spans_since(ch->room, version, &spans, &count);
    *plan = PLAN_CHANGES;
    if (!err) return keep_spans(ch, spans, count);
    if (err != SYN_ENOTFOUND) return err;
    *plan = PLAN_NEED_VECTOR;
    ch->need_vector = true;
    return SYN_OK;
}

static bool asks_for_state(const struct msg_open *open)
{
    return !open->history && open->version.head_count == 0 && open->version.vector_count == 0;
}

static bool reads_packed(const hub_conn *conn)
{
    return (conn->features & FEATURE_PACKED) && conn->max_raw >= 4 * FRAME_PIECE;
}

static bool wants_snapshot(const struct room *room, const struct msg_open *open)
{
    if (!asks_for_state(open)) return false;
    if (!room->exists || syn_doc_log_end(room->doc) == 0) return false;
    return open->state_only || !syn_doc_has_history(room->doc) || room->log_bytes > SHORT_LOG;
}

/* SYN_EKIND: better by the log.  SYN_EBUSY: it is being made. */
static syn_err join_by_snapshot(struct channel *ch, const struct msg_open *open)
{
    struct room *room = ch->room;
    struct snapshot_parts *parts;
    bool packed = reads_packed(ch->conn);
    if (!wants_snapshot(room, open)) return SYN_EKIND;
    syn_err err = snapshot_make(room, packed, &parts);
    if (err) return err == SYN_EBUSY ? err : SYN_EKIND;
    bool pays =
        open->state_only || !syn_doc_has_history(room->doc) || parts->bytes < room->log_bytes;
    if (!pays) {
        snapshot_unref(parts);
        return SYN_EKIND;
    }
    ch->snapshot = parts;
    ch->base = parts->at;
    ch->cursor = ch->base + 1;
    return SYN_OK;
}

/* ---- A restored server ----------------------------------------------------------------------- */

/* The client holds what this server gave out once and does not know any more.  Only after a
 * restore: else naming an unknown head would be enough to write as others. */
static void ask_back(struct channel *ch)
{
    struct room *room = ch->room;
    struct frame frame = {.channel = ch->number, .kind = FRAME_WANT};
    syn_id ids[1024];
    size_t count = syn_doc_has_history(room->doc) ? syn_doc_vector(room->doc, ids, 1024) : 1025;
    if (count <= 1024) {
        frame.as.want.have.vector = ids;
        frame.as.want.have.vector_count = (uint32_t)count;
    } else {
        count = syn_doc_heads(room->doc, ids, 1024);
        if (count > 1024) return;
        frame.as.want.have.heads = ids;
        frame.as.want.have.head_count = (uint32_t)count;
    }
    ch->helping = true;
    hold_frame(ch, &frame);
}

/* ---- Open ------------------------------------------------------------------------------------ */

/* A second Open may only fill in the peer. */
static void open_again(struct channel *ch, const struct msg_open *open)
{
    const struct room *room = ch->room;
    bool same = room->name_len == open->document.len &&
                memcmp(room->name, open->document.data, room->name_len) == 0;
    struct msg_open only_peer = {.document = open->document, .peer = open->peer};
    if (!same || ch->peer != 0 || open->peer == 0) {
        conn_error(ch->conn, CODE_MALFORMED, true, 0,
                   "a second Open of a channel may only fill in its peer");
        return;
    }
    ch->peer = open->peer;
    answer(ch, &only_peer, PLAN_CHANGES, true);
}

static void remember_own(struct channel *ch, const struct msg_open *open)
{
    ch->own = calloc(1u + open->old_peer_count, sizeof *ch->own);
    if (ch->own == NULL) return;
    ch->own[0] = open->peer;
    if (open->old_peer_count != 0)
        memcpy(ch->own + 1, open->old_peers, open->old_peer_count * sizeof *ch->own);
    ch->own_count = 1 + open->old_peer_count;
}

static void give_lineage(struct room *room)
{
    hub *h = room->hub;
    if (!room->exists || room->has_lineage) return;
    for (uint32_t i = 0; i < 2; i++) {
        uint64_t random = h->port.random(h->port.user);
        memcpy(room->lineage + i * 8, &random, sizeof random);
    }
    room->has_lineage = room->give_lineage = true;
}

static void start_channel(struct channel *ch, const struct msg_open *open)
{
    struct room *room = ch->room;
    enum plan plan = PLAN_SNAPSHOT;
    syn_err err = join_by_snapshot(ch, open);
    if (err && err != SYN_EBUSY) err = join_by_log(ch, &open->version, &plan);
    if (err == SYN_EBUSY) {
        wait_frame(ch);
        return;
    }
    ch->opening = false;
    if (err) {
        bool trimmed = err == SYN_EHISTORY, busy = err == SYN_ENOMEM;
        refuse_channel(ch,
                       trimmed ? CODE_TRIMMED
                       : busy  ? CODE_BUSY
                               : CODE_DAMAGED,
                       trimmed,
                       busy ? "no memory to read the history"
                            : "the history that this copy needs is not there");
        return;
    }
    give_lineage(room);
    answer(ch, open, plan, false);
    if (ch->conn != NULL && plan == PLAN_NEED_VECTOR && room->hub->restored) {
        remember_own(ch, open);
        ask_back(ch);
    }
    if (ch->conn != NULL) hold_start(ch);
}

static bool may_open(struct channel *ch, const struct msg_open *open)
{
    const struct room *room = ch->room;
    uint64_t most = room->limits->of[LIM_DOCUMENT_READERS];
    if (!(ch->rights & RIGHT_READ))
        refuse_channel(ch, CODE_FORBIDDEN, true, "no right to read this document");
    else if (room->deleting)
        refuse_channel(ch, CODE_DELETED, true, "this document was deleted");
    else if (!lineage_fits(ch, open))
        return false;
    else if (!room->exists && !(ch->rights & RIGHT_CREATE))
        refuse_channel(ch, CODE_NOT_FOUND, true, "no such document");
    else if (room->channel_count > most && most != 0) /* itself among them */
        refuse_channel_beyond(ch, LIM_DOCUMENT_READERS);
    else
        return true;
    return false;
}

/* The document is there. */
static void open_channel(struct channel *ch, const struct msg_open *open)
{
    struct room *room = ch->room;
    channel_ref(ch);
    if (may_open(ch, open)) {
        if (!room->exists && !room->has_lineage && open->lineage.len == STORE_LINEAGE_BYTES) {
            memcpy(room->lineage, open->lineage.data, STORE_LINEAGE_BYTES);
            room->has_lineage = true;
        }
        if (ch->session == 0) ch->session = ++room->next_session;
        start_channel(ch, open);
    }
    channel_unref(ch);
}

/* NULL: refused. */
static struct channel *new_channel(hub_conn *conn, uint32_t number, const struct msg_open *open)
{
    char detail[DETAIL_BYTES];
    struct room *room;
    uint32_t rights = conn_rights(conn, open->document, open->rights);
    if (!(rights & RIGHT_READ)) { /* before it is loaded, or told to be damaged */
        refuse_open(conn, number, CODE_FORBIDDEN, true, "no right to read this document");
        return NULL;
    }
    if (!pressure_may_open(conn->hub, open->document)) {
        refuse_beyond(conn, number, LIM_MEMORY);
        return NULL;
    }
    bool for_state = asks_for_state(open) && reads_packed(conn);
    syn_err err = room_get(conn->hub, open->document, for_state, &room, detail);
    if (err) {
        refuse_load(conn, number, err, detail);
        return NULL;
    }
    struct channel *ch = channel_new(conn, room, number);
    if (ch == NULL) {
        refuse_open(conn, number, CODE_BUSY, false, "out of memory");
        return NULL;
    }
    ch->opening = true;
    ch->peer = open->peer;
    ch->rights = rights;
    ch->wanted = open->rights;
    ch->no_presence = open->no_presence;
    ch->authors = open->authors;
    ch->credit = open->window_bytes != 0 ? open->window_bytes : LIMIT_WINDOW_BYTES;
    return ch;
}

static void open_known(struct channel *ch, const struct msg_open *open)
{
    if (ch->closing) return;
    if (!ch->opening) {
        open_again(ch, open);
        return;
    }
    ch->rights = conn_rights(ch->conn, open->document, open->rights); /* it waited */
    open_channel(ch, open);
}

void join_open(hub_conn *conn, uint32_t number, const struct msg_open *open)
{
    struct channel *ch = conn_channel(conn, number);
    if (ch != NULL) {
        open_known(ch, open);
        return;
    }
    if (number <= conn->last_channel) {
        conn_error(conn, CODE_MALFORMED, true, 0, "channel numbers count up");
        return;
    }
    if (conn->channel_count >= conn->hub->limits.of[LIM_CONNECTION_DOCUMENTS]) {
        refuse_beyond(conn, number, LIM_CONNECTION_DOCUMENTS);
        return;
    }
    ch = new_channel(conn, number, open);
    if (ch == NULL) return;
    if (ch->room->opening)
        wait_frame(ch);
    else
        open_channel(ch, open);
}

/* ---- Want ------------------------------------------------------------------------------------ */

/* a without b; both ascending and disjoint. */
static size_t subtract(const syn_span *a, size_t na, const syn_span *b, size_t nb, syn_span *out)
{
    size_t n = 0, k = 0;
    for (size_t i = 0; i < na; i++) {
        uint32_t from = a[i].from;
        while (from < a[i].end) {
            while (k < nb && b[k].end <= from) k++;
            uint32_t end = k < nb && b[k].from < a[i].end ? b[k].from : a[i].end;
            if (from < end) out[n++] = (syn_span){from, end};
            from = k < nb && b[k].from < a[i].end ? b[k].end : a[i].end;
        }
    }
    return n;
}

/* Everything that upto has and have has not. */
static syn_err wanted_spans(struct channel *ch, const struct msg_want *want, syn_span **out,
                            size_t *count)
{
    const syn_span *spans;
    size_t have_count, upto_count;
    syn_err err = room_backfill(ch->room);
    if (!err) err = spans_since(ch->room, &want->have, &spans, &have_count);
    if (err) return err;
    syn_span *have = malloc((have_count + 1) * sizeof *have);
    if (have == NULL) return SYN_ENOMEM;
    if (have_count != 0) memcpy(have, spans, have_count * sizeof *have);
    err = spans_since(ch->room, &want->upto, &spans, &upto_count);
    *out = err ? NULL : malloc((have_count + upto_count + 1) * sizeof **out);
    if (!err && *out == NULL) err = SYN_ENOMEM;
    if (!err) *count = subtract(have, have_count, spans, upto_count, *out);
    free(have);
    return err;
}

static void want_failed(struct channel *ch, syn_err err)
{
    if (err == SYN_EBUSY)
        wait_frame(ch);
    else if (err == SYN_ENOTFOUND)
        channel_closed(ch, CODE_RESYNC, false, 0, "Want names events that are not here");
    else if (err == SYN_EHISTORY)
        channel_closed(ch, CODE_TRIMMED, true, 0, "the history asked for is not there");
    else
        channel_closed(ch, CODE_BUSY, false, RETRY_MS, syn_strerror(err));
}

static void want_vector(struct channel *ch, const struct msg_want *want)
{
    const syn_span *spans;
    size_t count;
    syn_err err = spans_since(ch->room, &want->have, &spans, &count);
    if (!err) err = keep_spans(ch, spans, count);
    if (err) {
        want_failed(ch, err);
        return;
    }
    ch->need_vector = false;
    channel_pump(ch, UINT32_MAX);
}

void join_want(struct channel *ch, const struct msg_want *want)
{
    syn_span *spans;
    size_t count;
    bool everything = want->upto.head_count == 0 && want->upto.vector_count == 0;
    if (ch->need_vector) {
        want_vector(ch, want);
        return;
    }
    if (everything || ch->span_at < ch->span_count) {
        channel_closed(ch, CODE_MALFORMED, true, 0,
                       everything ? "Want needs upto here" : "one Want at a time");
        return;
    }
    syn_err err = wanted_spans(ch, want, &spans, &count);
    if (err) {
        want_failed(ch, err);
        return;
    }
    free(ch->spans);
    ch->spans = spans;
    ch->span_count = (uint32_t)count;
    ch->span_at = 0;
    if (count != 0 && spans[0].from == 0) ch->base = NO_POSITION;
    channel_pump(ch, UINT32_MAX);
}
