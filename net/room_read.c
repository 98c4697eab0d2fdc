/* room_read.c -- a large document read for whoever asked, off the loop.
 *
 *     call --> room->reads --a job, one at a time--> its own copy, loaded once for several calls --
 *     each call's fn, on the thread --> each call's done, on the loop
 *
 * What is read is what the disk has, so nothing has to be held back: whatever was acknowledged is
 * there.  Walking the room's own document in pieces instead would have to stop its edits. */
#include "hub_impl.h"

#include "doc_store.h"

#include <stdlib.h>

/* Answers that may be in memory at once for one document. */
#define READS_TOGETHER 8u

struct read_call {
    struct read_call *next;
    struct hub_call call;
    syn_err err;
};

struct read_job {
    struct room_job job;
    syn_doc_config config;
    struct read_call *calls;
};

static struct read_job *read_job_of(struct room_job *job)
{
    return (struct read_job *)(void *)job; /* its first member */
}

static void run(struct room_job *job)
{
    struct read_job *reading = read_job_of(job);
    char detail[DETAIL_BYTES];
    struct store_doc row;
    syn_doc *doc = NULL;
    syn_err err = doc_store_load(job->store, job->name, &reading->config, &doc, &row, detail);
    for (struct read_call *at = reading->calls; at != NULL; at = at->next)
        at->err = err ? err : at->call.fn(at->call.user, doc);
    syn_doc_free(doc);
}

static void answer_all(struct read_call *calls, syn_err err)
{
    for (struct read_call *at = calls, *next; at != NULL; at = next) {
        next = at->next;
        if (at->call.done != NULL) at->call.done(at->call.user, err ? err : at->err);
        free(at);
    }
}

static void start_next(struct room *room);

static void done(struct room_job *job)
{
    struct read_job *reading = read_job_of(job);
    struct room *room = job->room;
    room->reading = false;
    answer_all(reading->calls, SYN_OK);
    free(reading);
    start_next(room);
}

static struct read_call *take_some(struct room *room)
{
    struct read_call *first = room->reads, **at = &room->reads;
    for (uint32_t i = 0; i < READS_TOGETHER && *at != NULL; i++) at = &(*at)->next;
    room->reads = *at;
    *at = NULL;
    return first;
}

static void start_next(struct room *room)
{
    if (room->reads == NULL || room->reading) return;
    struct read_job *reading = calloc(1, sizeof *reading);
    if (reading == NULL) {
        room_read_fail(room, SYN_ENOMEM);
        return;
    }
    reading->job.run = run;
    reading->job.done = done;
    reading->config = room_config(room->hub);
    reading->calls = take_some(room);
    room->reading = true;
    if (room_job_start(&reading->job, room)) return;
    room->reading = false;
    answer_all(reading->calls, SYN_EBUSY);
    free(reading);
    room_read_fail(room, SYN_EBUSY);
}

void room_read(struct room *room, const struct hub_call *call)
{
    struct read_call **at = &room->reads, *added = calloc(1, sizeof *added);
    if (added == NULL) {
        if (call->done != NULL) call->done(call->user, SYN_ENOMEM);
        return;
    }
    added->call = *call;
    while (*at != NULL) at = &(*at)->next;
    *at = added;
    start_next(room);
}

void room_read_fail(struct room *room, syn_err err)
{
    struct read_call *calls = room->reads;
    room->reads = NULL;
    answer_all(calls, err);
}
