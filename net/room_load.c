/* room_load.c -- documents and their history into memory, off the loop.
 *
 *     opening     nothing is there: everything waits (waiting.c)
 *     history     a document without it is open and goes on; a second one is read with its history,
 *                 what came meanwhile is added from the first, and takes its place
 *
 * Reading the store gives what is committed, and that is what a room that opens has to know: a turn
 * that flies belongs to rooms that are open.  Save when such a room was dropped for lack of memory;
 * then the opening waits until that turn has landed (room->delayed). */
#include "hub_impl.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct load_job {
    struct room_job job;
    syn_doc_config config;
    bool history, for_state;
    uint32_t frame_piece;
    syn_doc *doc;
    struct store_doc row;
    struct snapshot_parts *parts; /* the stored snapshot, for those who join by it; or NULL */
    syn_err err;
    char detail[DETAIL_BYTES];
};

static struct load_job *load_job_of(struct room_job *job)
{
    return (struct load_job *)(void *)job; /* its first member */
}

static void load_free(struct load_job *load)
{
    syn_doc_free(load->doc);
    snapshot_unref(load->parts);
    free(load);
}

/* For who opens it; without, he makes one when the document is there. */
static void make_state(struct load_job *load)
{
    struct snapshot_source from = {.name = load->job.name,
                                   .row = &load->row,
                                   .doc = load->doc,
                                   .piece = load->frame_piece,
                                   .packed = true};
    (void)snapshot_stored(load->job.store, &from, &load->parts);
}

static void run(struct room_job *job)
{
    struct load_job *load = load_job_of(job);
    uint32_t added;
    load->err =
        doc_store_load(job->store, job->name, &load->config, &load->doc, &load->row, load->detail);
    if (load->err && !load->history) {
        bool nothing = load->err == SYN_ENOTFOUND || load->err == SYN_EDELETED;
        if (nothing) load->err = syn_doc_new(&load->doc, &load->config);
        memset(&load->row, 0, sizeof load->row);
        return;
    }
    if (load->err) return;
    if (load->history) {
        load->err = doc_store_backfill(job->store, &load->row, load->doc, &added);
        if (load->err == SYN_EDAMAGED || load->err == SYN_EMALFORMED)
            (void)store_mark_damaged(job->store, load->row.id);
    } else if (load->for_state && load->row.bytes > SHORT_LOG) {
        make_state(load);
    }
}

static bool start(struct room *room, bool history, void (*done)(struct room_job *))
{
    struct load_job *load = calloc(1, sizeof *load);
    if (load == NULL) return false;
    load->job.run = run;
    load->job.done = done;
    load->config = room_config(room->hub);
    load->history = history;
    load->for_state = room->for_state;
    load->frame_piece = room->hub->tuning.frame_piece;
    if (room_job_start(&load->job, room)) return true;
    free(load);
    return false;
}

/* ---- Opening --------------------------------------------------------------------------------- */

static enum code code_of(syn_err err)
{
    switch (err) {
    case SYN_EDAMAGED:
        return CODE_DAMAGED;
    case SYN_ENOMEM:
    case SYN_EBUSY:
        return CODE_BUSY;
    default:
        return CODE_STORAGE;
    }
}

static void open_failed(struct room *room, syn_err err, const char *detail)
{
    const char *text = err == SYN_ENOMEM  ? "out of memory"
                       : err == SYN_EBUSY ? "too many documents are being opened"
                                          : detail;
    hub_log(room->hub, "load", "document %s: %s: %s", room->name, syn_errname(err), text);
    room->opening = false;
    room->load_err = err;
    snprintf(room->hub->load_detail, DETAIL_BYTES, "%s", text);
    waiting_fail(room, err);
    room_drop(room, code_of(err), text);
}

static void take(struct room *room, struct load_job *load)
{
    room->doc = load->doc;
    load->doc = NULL;
    room->row = load->row;
    if (room->row.id == 0) return;
    room->exists = true;
    room->id = room->row.id;
    room->has_lineage = room->row.has_lineage;
    memcpy(room->lineage, room->row.lineage, sizeof room->lineage);
    room->offset = doc_store_offset(&room->row, room->doc);
    room->gathered = room->durable = room->fanned = syn_doc_log_end(room->doc);
    room->log_bytes = room->row.bytes;
    room->snapshot_at = room->folded_to = room->row.snapshot_at;
    room->tail_rows = room->row.events - room->row.snapshot_at;
    snapshot_take(room, load->parts);
    load->parts = NULL;
}

static void opened(struct room_job *job)
{
    struct load_job *load = load_job_of(job);
    struct room *room = job->room;
    if (load->err) {
        open_failed(room, load->err, load->detail);
    } else {
        take(room, load);
        room->opening = false;
        room_used(room);
        waiting_run(room);
    }
    load_free(load);
}

/* A dropped room of this name whose rows are on their way. */
static bool flies(const struct room *room)
{
    if (room->hub->lingering == 0) return false;
    for (const struct turn *turn = room->hub->flying; turn != NULL; turn = turn->next) {
        for (uint32_t i = 0; i < turn->room_count; i++) {
            const struct room *other = turn->rooms[i].room;
            if (other->dead && other->name_len == room->name_len &&
                memcmp(other->name, room->name, room->name_len) == 0)
                return true;
        }
    }
    return false;
}

void room_open(struct room *room)
{
    room->opening = true;
    room->delayed = flies(room);
    if (room->delayed)
        room->hub->delayed++;
    else if (!start(room, false, opened))
        open_failed(room, SYN_EBUSY, "");
}

void rooms_open_delayed(hub *h)
{
    if (h->delayed == 0) return;
    for (uint32_t i = 0; i < h->room_slots; i++) {
        for (struct room *room = h->rooms[i], *next; room != NULL; room = next) {
            next = room->hash_next;
            if (!room->delayed) continue;
            h->delayed--;
            room_open(room);
        }
    }
}

/* ---- History --------------------------------------------------------------------------------- */

/* What the room has and `to` has not: it came after the store was read. */
static syn_err catch_up(const struct room *room, const struct store_doc *row, syn_doc *to)
{
    syn_changes set;
    syn_applied applied;
    syn_span span = {row->events - room->offset, syn_doc_log_end(room->doc)};
    uint32_t cut;
    if (span.from == span.end) return SYN_OK;
    if (span.from > span.end) return SYN_EDAMAGED;
    syn_err err = syn_doc_export(room->doc, span, UINT32_MAX, SIZE_MAX, &set, &cut);
    uint64_t limit = syn_doc_set_work_limit(to, UINT64_MAX); /* it was accepted before */
    if (!err) err = syn_apply(to, &set, false, &applied);
    (void)syn_doc_set_work_limit(to, limit);
    if (!err && applied.applied != span.end - span.from) err = SYN_EDAMAGED;
    if (!err) syn_doc_events_clear(to);
    return err;
}

static void take_place(struct room *room, struct load_job *load)
{
    uint32_t added = room->offset;
    load->err = catch_up(room, &load->row, load->doc);
    if (load->err) return;
    syn_doc_free(room->doc);
    room->doc = load->doc;
    load->doc = NULL;
    room_shift(room, added);
}

static void tell_damage(struct room *room, syn_err err)
{
    if (err == SYN_EDAMAGED || err == SYN_EMALFORMED)
        hub_log(room->hub, "damaged", "document %s: its history cannot be read", room->name);
}

static void history_read(struct room_job *job)
{
    struct load_job *load = load_job_of(job);
    struct room *room = job->room;
    room->reading_history = false;
    if (!room->dead && !load->err && load->row.id != room->id) load->err = SYN_EHISTORY;
    if (!room->dead && !load->err) take_place(room, load);
    if (!room->dead) {
        tell_damage(room, load->err);
        room->history_err = load->err;
        if (!room->in_call) room_go_on(room);
    }
    load_free(load);
}

syn_err room_backfill(struct room *room)
{
    if (syn_doc_has_history(room->doc)) return SYN_OK;
    if (room->history_err) return room->history_err;
    if (room->reading_history) return SYN_EBUSY;
    room->reading_history = room->in_call = true;
    bool started = start(room, true, history_read);
    room->in_call = false;
    if (!started) room->reading_history = false;
    if (room->reading_history) return SYN_EBUSY;
    syn_err err = started ? room->history_err : SYN_ENOMEM;
    room->history_err = SYN_OK;
    return err;
}

void room_go_on(struct room *room)
{
    room->jobs++; /* stays until the end of this */
    waiting_run(room);
    for (struct channel *ch = room->channels, *next; ch != NULL; ch = next) {
        next = ch->next;
        channel_pump(ch, UINT32_MAX);
    }
    room->history_err = room->snapshot_err = SYN_OK;
    room->jobs--;
}
