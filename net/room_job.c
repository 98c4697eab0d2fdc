/* room_job.c -- work of a room off the loop: started, counted, and brought back.
 *
 * A job keeps its room in memory (room->jobs), dead or alive; `done` finds out which it is.  What
 * `run` may touch is in the job: the store, the document's name, what the starter put there. */
#include "hub_impl.h"

#include <string.h>

static void run(struct work *work)
{
    struct room_job *job = (struct room_job *)(void *)work; /* its first member */
    job->run(job);
}

static void done(struct work *work)
{
    struct room_job *job = (struct room_job *)(void *)work;
    struct room *room = job->room;
    hub *h = room->hub;
    uint64_t took = work->took_us;
    h->stats.jobs--;
    h->stats.jobs_total++;
    h->stats.job_us_total += took;
    if (took > h->stats.job_us_max) h->stats.job_us_max = took;
    job->done(job);
    room->jobs--; /* only now: `done` may drop the room */
    room_release(room);
}

bool room_job_start(struct room_job *job, struct room *room)
{
    hub *h = room->hub;
    job->work = (struct work){.run = run, .done = done};
    job->room = room;
    job->store = h->store;
    memcpy(job->name_bytes, room->name, room->name_len);
    job->name = (syn_str){job->name_bytes, room->name_len};
    room->jobs++;
    h->stats.jobs++;
    if (h->port.work == NULL) {
        run(&job->work);
        done(&job->work);
        return true;
    }
    if (h->port.work(h->port.user, &job->work)) return true;
    room->jobs--;
    h->stats.jobs--;
    return false;
}

void hub_worked(hub *h, struct work *work, uint64_t now)
{
    h->now = now;
    work->done(work);
}
