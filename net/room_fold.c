/* room_fold.c -- folding an open document's tail, off the loop.
 *
 *     tail is long --job--> what is stored, read anew and folded --room->folded--> the next turn
 *
 * The job reads its own copy of the document instead of sharing the room's: edits go on meanwhile,
 * and only what is committed is folded.  What it makes replaces rows by the same events, so it does
 * not matter when it is stored, or whether the server dies before; but two foldings of one document
 * must not overtake each other, so `folding` ends only when the turn has landed. */
#include "hub_impl.h"
#include "fold.h"

#include <stdlib.h>

/* After a folding that failed: memory may be short, or the disk sick. */
#define FOLD_AGAIN_MS 60000u

struct fold_job {
    struct room_job job;
    struct fold fold;
    syn_doc_config config;
    uint32_t tail_rows; /* when it began */
    uint64_t tail_bytes;
    syn_err err;
};

static struct fold_job *fold_job_of(struct room_job *job)
{
    return (struct fold_job *)(void *)job; /* its first member */
}

static void run(struct room_job *job)
{
    struct fold_job *fold = fold_job_of(job);
    fold->err = fold_read(&fold->fold, job->store, job->name, &fold->config);
}

static void keep(struct room *room, struct fold_job *fold)
{
    room->folded = malloc(sizeof *room->folded);
    if (room->folded == NULL || turn_room(room) == NULL) {
        free(room->folded);
        room->folded = NULL;
        fold->err = SYN_ENOMEM;
        return;
    }
    *room->folded = fold->fold;
    fold->fold.result = NULL;
    room->folded_to = room->folded->end;
    room->tail_rows -= fold->tail_rows < room->tail_rows ? fold->tail_rows : room->tail_rows;
    room->tail_bytes -= fold->tail_bytes < room->tail_bytes ? fold->tail_bytes : room->tail_bytes;
}

static void done(struct room_job *job)
{
    struct fold_job *fold = fold_job_of(job);
    struct room *room = job->room;
    bool wanted = !room->dead && !room->deleting;
    if (wanted && !fold->err && fold->fold.end > fold->fold.from) keep(room, fold);
    if (fold->err && wanted) {
        room->fold_at = room->hub->now + FOLD_AGAIN_MS;
        hub_log(room->hub, "fold", "document %s: %s", room->name, syn_errname(fold->err));
    }
    if (room->folded == NULL) room->folding = false;
    fold_free(&fold->fold);
    free(fold);
}

static bool start(struct room *room)
{
    struct fold_job *fold = calloc(1, sizeof *fold);
    if (fold == NULL) return false;
    fold->job.run = run;
    fold->job.done = done;
    fold->fold.id = room->id;
    fold->fold.from = room->folded_to;
    fold->config = room_config(room->hub);
    fold->tail_rows = room->tail_rows;
    fold->tail_bytes = room->tail_bytes;
    room->folding = true;
    if (room_job_start(&fold->job, room)) return true;
    room->folding = false;
    free(fold);
    return false;
}

static bool may_fold(const struct room *room)
{
    return room->exists && !room->dead && !room->deleting && !room->folding &&
           room->hub->now >= room->fold_at && room->folded_to < room->durable + room->offset &&
           !store_failing(room->hub->store);
}

/* A short log is folded sooner: that reads the whole of it, so costs little, and whoever comes
 * first after a restart waits until the tail is replayed. */
static uint64_t most_bytes(const struct room *room)
{
    uint64_t most = room->hub->tuning.fold_bytes, least = most / 4, share = room->log_bytes / 4;
    return share < least ? least : share > most ? most : share;
}

void room_fold(struct room *room)
{
    const struct hub_tuning *tuning = &room->hub->tuning;
    bool long_tail = room->tail_rows > tuning->fold_rows || room->tail_bytes > most_bytes(room);
    if (long_tail && may_fold(room)) (void)start(room); /* else a later turn tries again */
}

bool room_fold_first(struct room *room)
{
    bool worth = room->tail_rows > FOLD_IDLE && syn_doc_heads(room->doc, NULL, 0) == 1;
    return worth && may_fold(room) && start(room);
}

syn_err room_fold_write(struct room *room, store_turn *out)
{
    struct fold *fold = room->folded;
    if (fold == NULL) return SYN_OK;
    syn_err err = fold_write(out, fold);
    if (!err && fold->at_one_head) room->snapshot_at = fold->end;
    room_fold_drop(room);
    return err;
}

void room_fold_drop(struct room *room)
{
    if (room->folded == NULL) return;
    fold_free(room->folded);
    free(room->folded);
    room->folded = NULL;
}
