/* work.h -- what takes long, off the server's loop: a few threads and a queue before them.
 *
 *     loop        work_submit --> queue --> run, on a thread --> ended --> work_poll: done
 *
 * `run` must touch nothing that the loop owns; `done` is the loop's again.  The structure that the
 * hub keeps for each job begins with a struct work, so the pool allocates nothing. */
#ifndef SYN_WORK_H
#define SYN_WORK_H

#include <stdbool.h>
#include <stdint.h>

struct work {
    struct work *next; /* for whoever holds it */
    void (*run)(struct work *work);
    void (*done)(struct work *work);
    uint64_t took_us; /* of run */
};

typedef struct work_pool work_pool;

/* wake: from a worker, there is something to poll; must only signal.  NULL: no thread or memory. */
work_pool *work_new(uint32_t threads, uint32_t max_queued, void (*wake)(void *user), void *user);
/* false: the queue is full; nothing of the work is called. */
bool work_submit(work_pool *pool, struct work *work);
/* The next that ended, to be given back to where it came from; NULL: none. */
struct work *work_poll(work_pool *pool);
/* Runs all that is queued, and ends the threads; what ended can still be polled.  No more is
 * taken. */
void work_stop(work_pool *pool);
/* Stopped and polled empty.  NULL is fine. */
void work_free(work_pool *pool);

#endif
