/* session_recv.c -- others' events in: Changes, Packed, Snapshot, and history below a snapshot.
 *
 * A document that stands on a snapshot meets events concurrent to it only after the server pushed
 * the history below.  Those sets are kept (struct history) until they stand for as many events as
 * the snapshot does, and then go under the document as one.
 *
 * That is so on the channel that brought the snapshot.  On a later one the server does not know
 * what the document stands on; then the log is asked for as a whole, and what it has beyond the
 * snapshot is cut off, merged apart, and applied when the rest is below. */
#include "session_impl.h"

#include "copy.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

/* ---- Lists ----------------------------------------------------------------------------------- */

void parts_free(struct part_list *parts)
{
    for (uint32_t i = 0; i < parts->count; i++) free((char *)(uintptr_t)parts->at[i].data);
    free(parts->at);
    memset(parts, 0, sizeof *parts);
}

syn_err parts_add(struct part_list *parts, syn_str bytes)
{
    if (!grow((void **)&parts->at, parts->count, &parts->cap, sizeof *parts->at)) return SYN_ENOMEM;
    char *copy = malloc(bytes.len != 0 ? bytes.len : 1);
    if (copy == NULL) return SYN_ENOMEM;
    copy_str(copy, bytes);
    parts->at[parts->count++] = (syn_str){copy, bytes.len};
    return SYN_OK;
}

void history_free(struct history *history)
{
    for (uint32_t i = 0; i < history->count; i++) syn_changes_free(NULL, history->at[i]);
    free(history->at);
    memset(history, 0, sizeof *history);
}

/* ---- History below a snapshot ---------------------------------------------------------------- */

static const syn_changes *next_set(void *user, syn_err *err)
{
    struct history *history = user;
    *err = SYN_OK;
    return history->next < history->count ? history->at[history->next++] : NULL;
}

static void history_complete(session_doc *sd)
{
    uint32_t added;
    syn_err err = syn_doc_backfill(sd->doc, next_set, &sd->history, &added);
    history_free(&sd->history);
    if (err) {
        doc_resync(sd, 0, "the history that the server sent does not lead to its snapshot");
        return;
    }
    sd->want_whole = false;
    sd->send_at += added;
    parts_free(&sd->base);
    if (sd->s->port.rebuilt != NULL) sd->s->port.rebuilt(sd->s->port.user, sd);
    doc_check_caught_up(sd);
}

/* Events [from, end) of a log, as a set of their own. */
static syn_err copy_span(syn_doc *log, uint32_t from, uint32_t end, syn_changes **out)
{
    syn_changes set;
    uint32_t cut;
    syn_err err = syn_doc_export(log, (syn_span){from, end}, UINT32_MAX, SIZE_MAX, &set, &cut);
    return err ? err : syn_changes_copy(NULL, &set, out);
}

/* The last set goes beyond the snapshot: *rest gets what does.  The log's first events are the
 * snapshot's, for it was taken where everything before was below it. */
static syn_err history_cut(session_doc *sd, syn_changes **rest)
{
    struct history *history = &sd->history;
    syn_changes *below = NULL;
    syn_doc *log;
    syn_err err = syn_doc_new(&log, NULL);
    if (err) return err;
    (void)syn_doc_set_work_limit(log, UINT64_MAX);
    for (uint32_t i = 0; !err && i < history->count; i++)
        err = syn_apply(log, history->at[i], false, NULL);
    uint32_t at = (uint32_t)sd->base_events, end = syn_doc_log_end(log);
    if (!err && end < at) err = SYN_EMALFORMED;
    if (!err) err = copy_span(log, 0, at, &below);
    if (!err && end > at) err = copy_span(log, at, end, rest);
    syn_doc_free(log);
    if (err) {
        syn_changes_free(NULL, below);
        return err;
    }
    while (history->count > 1) syn_changes_free(NULL, history->at[--history->count]);
    syn_changes_free(NULL, history->at[0]);
    history->at[0] = below;
    return SYN_OK;
}

static void history_beyond(session_doc *sd)
{
    syn_changes *rest = NULL;
    syn_err err = sd->want_whole ? history_cut(sd, &rest) : SYN_EMALFORMED;
    if (err)
        doc_resync(sd, err == SYN_ENOMEM ? sd->s->backoff_max : 0,
                   "more history than the snapshot stands for");
    else
        history_complete(sd);
    if (rest != NULL && sd->state == CHANNEL_OPEN) handle_changes(sd, rest);
    syn_changes_free(NULL, rest);
}

static void history_add(session_doc *sd, const syn_changes *set)
{
    struct history *history = &sd->history;
    history->on = true;
    for (uint32_t i = 0; i < set->run_count; i++) history->events += set->runs[i].len;
    if (!grow((void **)&history->at, history->count, &history->cap, sizeof(syn_changes *)) ||
        syn_changes_copy(NULL, set, &history->at[history->count])) {
        doc_resync(sd, sd->s->backoff_max, "out of memory");
        return;
    }
    history->count++;
    if (history->events == sd->base_events)
        history_complete(sd);
    else if (history->events > sd->base_events)
        history_beyond(sd);
}

/* Something concurrent to the snapshot: history that is pushed, or it comes without. */
static void history_needed(session_doc *sd, const syn_changes *set)
{
    if (sd->on_snapshot) {
        history_add(sd, set);
        return;
    }
    sd->want_whole = true;
    doc_resync(sd, 0, "what came is concurrent to the snapshot of an earlier connection");
}

/* ---- Changes --------------------------------------------------------------------------------- */

/* Own events that the server sends are on its disk, and equal, for they were taken. */
static void see_own(session_doc *sd, const syn_changes *set)
{
    for (uint32_t i = 0; i < set->run_count; i++) {
        const struct change_run *run = &set->runs[i];
        struct own_peer *p = own_find(sd, set->peers[run->peer]);
        if (p != NULL && run->seq <= p->acked) own_acked(sd, p, run->seq + run->len);
    }
}

static void taken(session_doc *sd, const syn_changes *set, uint32_t applied)
{
    session *s = sd->s;
    uint32_t before = doc_unacked(sd);
    see_own(sd, set);
    if (doc_unacked(sd) != before) {
        marks_settle(sd);
        if (s->port.acked != NULL) s->port.acked(s->port.user, sd);
    }
    if (applied != 0 && s->port.changed != NULL) s->port.changed(s->port.user, sd);
    doc_check_caught_up(sd);
    if (sd->state == CHANNEL_OPEN) doc_pump(sd);
}

/* The server has other events under ids of ours. */
static void on_fork(session_doc *sd, const syn_changes *set)
{
    struct own_peer *p = own_find(sd, syn_doc_fault(sd->doc).event.peer);
    uint32_t first;
    if (p == NULL || p->foreign) {
        doc_give_up(sd, CODE_FORKED, syn_s("this copy and the server differ in another's events"));
        return;
    }
    syn_err err = fork_find(sd, p, set, &first);
    if (!err) err = doc_rekey(sd, p->peer, first, set);
    if (err)
        doc_resync(sd, 0, "a forked peer could not be renamed");
    else
        taken(sd, set, 1);
}

syn_err doc_apply(session_doc *sd, const syn_changes *set, syn_applied *applied)
{
    uint64_t limit = syn_doc_set_work_limit(sd->doc, UINT64_MAX);
    syn_err err = syn_apply(sd->doc, set, false, applied);
    (void)syn_doc_set_work_limit(sd->doc, limit);
    return err;
}

void handle_changes(session_doc *sd, const syn_changes *set)
{
    syn_applied applied = {0};
    if (SNAPSHOTS && sd->history.on) {
        history_add(sd, set);
        return;
    }
    syn_err err = doc_apply(sd, set, &applied);
    switch (err) {
    case SYN_OK:
        taken(sd, set, applied.applied);
        break;
    case SYN_EHISTORY:
        if (SNAPSHOTS) history_needed(sd, set);
        break;
    case SYN_EFORKED:
        on_fork(sd, set);
        break;
    case SYN_EUNSUPPORTED:
        doc_give_up(sd, CODE_VERSION, syn_s("the document needs a newer version of this program"));
        break;
    case SYN_ENOMEM:
        doc_resync(sd, sd->s->backoff_max, "out of memory");
        break;
    default:
        doc_resync(sd, 0, syn_doc_error(sd->doc));
    }
}

/* ---- Snapshot -------------------------------------------------------------------------------- */

static bool is_empty(const syn_doc *doc)
{
    return syn_doc_log_end(doc) == 0;
}

static void snapshot_complete(session_doc *sd)
{
    session *s = sd->s;
    syn_snapshot snapshot;
    struct proto_fault fault = {0};
    uint64_t digest;
    if (!is_empty(sd->doc)) { /* edited meanwhile: concurrent to the snapshot */
        doc_resync(sd, 0, "the document was edited before its snapshot came");
        return;
    }
    syn_err err = proto_join_snapshot(s->inner, sd->incoming.at, sd->incoming.count, &snapshot,
                                      &digest, &fault);
    if (!err) err = syn_doc_load(sd->doc, &snapshot);
    if (err) {
        doc_resync(sd, s->backoff_max, fault_text(&fault, err));
        return;
    }
    parts_free(&sd->base);
    sd->base = sd->incoming;
    sd->base_events = snapshot.events;
    sd->on_snapshot = true;
    memset(&sd->incoming, 0, sizeof sd->incoming);
    sd->send_at = syn_doc_log_start(sd->doc);
    if (s->port.rebuilt != NULL) s->port.rebuilt(s->port.user, sd);
    if (s->port.changed != NULL) s->port.changed(s->port.user, sd);
    doc_check_caught_up(sd);
    if (sd->state == CHANNEL_OPEN) doc_pump(sd);
}

static void take_part(session_doc *sd, syn_str bytes)
{
    session *s = sd->s;
    struct msg_snapshot part;
    struct proto_fault fault = {0};
    syn_err err = proto_decode_snapshot(s->inner, bytes.data, bytes.len, &part, &fault);
    if (err) {
        doc_resync(sd, s->backoff_max, fault_text(&fault, err));
        return;
    }
    if (part.part == 0) {
        parts_free(&sd->incoming);
        sd->snapshot_id = part.id;
        sd->incoming_total = part.parts;
    }
    bool fits = part.id == sd->snapshot_id && part.part == sd->incoming.count &&
                part.parts == sd->incoming_total && part.parts != 0;
    if (!fits) {
        doc_resync(sd, 0, "parts of a snapshot out of order");
        return;
    }
    if (parts_add(&sd->incoming, bytes))
        doc_resync(sd, s->backoff_max, "out of memory");
    else if (sd->incoming.count == sd->incoming_total)
        snapshot_complete(sd);
}

/* The bytes of the last length-delimited field of a checked Frame: its body. */
static syn_str frame_body(const unsigned char *bytes, size_t len)
{
    size_t at = 0;
    syn_str body = {NULL, 0};
    while (at < len) {
        uint64_t head[2] = {0, 0}; /* tag, then length or number */
        for (int i = 0; i < 2; i++) {
            for (unsigned shift = 0; at < len && shift < 64; shift += 7) {
                unsigned char byte = bytes[at++];
                head[i] |= (uint64_t)(byte & 0x7f) << shift;
                if (byte < 0x80) break;
            }
        }
        if ((head[0] & 7) == 0) continue;
        if ((head[0] & 7) != 2 || head[1] > len - at) return (syn_str){NULL, 0};
        if (head[0] >> 3 == FRAME_SNAPSHOT)
            body = (syn_str){(const char *)bytes + at, (size_t)head[1]};
        at += head[1];
    }
    return body;
}

void handle_snapshot(session_doc *sd, const void *frame, size_t len)
{
    syn_str body = frame_body(frame, len);
    if (body.data == NULL)
        doc_resync(sd, 0, "a Snapshot frame without a body");
    else
        take_part(sd, body);
}

void handle_packed(session_doc *sd, const struct msg_packed *packed)
{
    session *s = sd->s;
    struct proto_tables tables = doc_tables(sd);
    struct proto_limits limits = {.frame_bytes = LIMIT_RAW_BYTES,
                                  .frame_events = LIMIT_CHUNK_EVENTS};
    struct proto_fault fault = {0};
    struct msg_packed copy = *packed;
    syn_changes set;
    syn_str raw;
    syn_err err = proto_inflate(s->arena, &copy, 0, &raw, &fault);
    if (SNAPSHOTS && !err && copy.inside == PACKED_SNAPSHOT) {
        take_part(sd, raw);
        return;
    }
    if (!err)
        err = proto_decode_changes(s->inner, raw.data, raw.len, &limits, &tables, &set, &fault);
    if (err)
        doc_resync(sd, 0, fault_text(&fault, err));
    else
        handle_changes(sd, &set);
}
