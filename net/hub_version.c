/* hub_version.c -- a document as it was: a prefix of its log, replayed off the loop.
 *
 * Any prefix of the log is a version, for what an event builds on stands before it.  No room is
 * opened: what is replayed is what the disk has, and belongs to this one question. */
#include "doc_store.h"
#include "copy.h"
#include "hub_impl.h"

#include <stdlib.h>
#include <string.h>

struct version_job {
    struct work work; /* must come first */
    hub *hub;
    syn_store *store;
    syn_doc_config config;
    uint32_t events;
    hub_edit_fn fn;
    hub_done_fn done;
    void *user;
    syn_err err;
    size_t name_len;
    char name[LIMIT_NAME_BYTES];
};

static syn_err read_version(struct version_job *job)
{
    char detail[DETAIL_BYTES];
    struct store_doc row;
    syn_doc *doc = NULL;
    syn_err err = store_find(job->store, (syn_str){job->name, job->name_len}, &row);
    if (err) return err;
    if (row.damaged) return SYN_EDAMAGED;
    if (job->events > row.events) return SYN_ERANGE;
    row.snapshot_at = 0; /* from the beginning: the snapshot may stand above */
    err = doc_store_load_until(job->store, &row, &job->config, job->events, &doc, detail);
    if (!err) err = job->fn(job->user, doc);
    syn_doc_free(doc);
    return err;
}

static void run(struct work *work)
{
    struct version_job *job = (struct version_job *)(void *)work;
    job->err = read_version(job);
}

static void done(struct work *work)
{
    struct version_job *job = (struct version_job *)(void *)work;
    job->hub->stats.jobs--;
    job->hub->stats.jobs_total++;
    job->done(job->user, job->err);
    free(job);
}

void hub_read_version(hub *h, syn_str document, uint32_t events, hub_edit_fn fn,
                      hub_done_fn done_fn, void *user, uint64_t now)
{
    struct version_job *job = calloc(1, sizeof *job);
    h->now = now;
    if (job == NULL || document.len == 0 || document.len > LIMIT_NAME_BYTES) {
        free(job);
        done_fn(user, job == NULL ? SYN_ENOMEM : SYN_EMISUSE);
        return;
    }
    *job = (struct version_job){.work = {.run = run, .done = done},
                                .hub = h,
                                .store = h->store,
                                .config = room_config(h),
                                .events = events,
                                .fn = fn,
                                .done = done_fn,
                                .user = user,
                                .name_len = document.len};
    copy_str(job->name, document);
    h->stats.jobs++;
    if (h->port.work != NULL && h->port.work(h->port.user, &job->work)) return;
    if (h->port.work != NULL)
        job->err = SYN_EBUSY; /* too much is queued */
    else
        run(&job->work);
    done(&job->work);
}
