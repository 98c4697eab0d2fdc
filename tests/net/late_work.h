/* late_work.h -- a hub's work off the loop without threads: when the test says so, in any order.
 *
 * A job is taken, run some time later, and given back some time after that; or not taken at all. */
#ifndef SYN_TEST_LATE_WORK_H
#define SYN_TEST_LATE_WORK_H

#include "hub.h"

#include <stdlib.h>

enum { LATE_MAX = 64 };

struct late_work {
    struct work *jobs[LATE_MAX];
    bool ran[LATE_MAX];
    uint32_t count, taken, refused;
    bool refuse; /* everything from now on */
};

static inline bool late_take(struct late_work *late, struct work *work)
{
    if (late->refuse || late->count == LATE_MAX) {
        late->refused++;
        return false;
    }
    late->ran[late->count] = false;
    late->jobs[late->count++] = work;
    late->taken++;
    return true;
}

/* Whichever `random` hits is run if it was not yet, else given back. */
static inline void late_step(struct late_work *late, hub *h, uint64_t random, uint64_t now)
{
    if (late->count == 0) return;
    uint32_t i = (uint32_t)(random % late->count);
    struct work *work = late->jobs[i];
    if (!late->ran[i]) {
        late->ran[i] = true;
        work->run(work);
        return;
    }
    late->count--;
    late->jobs[i] = late->jobs[late->count];
    late->ran[i] = late->ran[late->count];
    hub_worked(h, work, now);
}

static inline void late_all(struct late_work *late, hub *h, uint64_t now)
{
    while (late->count != 0) late_step(late, h, late->count - 1, now);
}

#endif
