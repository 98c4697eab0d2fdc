/* stands.h -- a sequence's trackers at other versions than the one that was fed last.
 *
 * A tracker stands at one version, and an event of another branch makes it go there first:
 * everything that only one of the two has is taken out or put in.  Two branches that never merge,
 * and whose events come by turns, would cost their whole length at every event.  So when going to
 * and fro has cost some times what copying the tracker does, a copy stays behind where it stood,
 * and is taken up when an event comes that goes on from there:
 *
 *     tracker   A1 A2 A3 .            all have every element; each counts those of its own
 *     other     .  .  .  . B1 B2      version as there
 *
 * What is fed to one is told to the others, which costs each of them a step, not a search
 * (tracker_follow).  One that was not taken up for some share of the events that it has records is
 * let go.  For who goes to ever new versions, all of it costs about as much again as going there;
 * for a few branches by turns, an event costs the logarithm of their length.
 *
 * They are but a short cut: without memory for one, it is done without. */
#ifndef SYN_CORE_STANDS_H
#define SYN_CORE_STANDS_H

#include "graph.h"
#include "tracker.h"

enum { STANDS_MOST = 3 };

struct stand {
    struct tracker *tracker;
    lv_set prepare;         /* where it stands */
    uint32_t worth, unused; /* events that it may follow unused; that it did */
};

struct stands {
    struct stand other[STANDS_MOST];
    uint32_t n;
    uint64_t far; /* steps of long ways since the last copy was made */
};

void stands_free(struct stands *s, const syn_mem *mem);
size_t stands_footprint(const struct stands *s);

/* The tracker went to another version in so many steps. */
void stands_went(struct stands *s, uint64_t steps);
/* It is to go again: if that has become dear, leaves a copy where it stands. */
void stands_leave(struct stands *s, const syn_mem *mem, struct tracker *t, const lv_set *prepare);
/* If another tracker stands at that version, or after one of its events when this does not, swaps
 * it with this.  true: it was. */
bool stands_swap(struct stands *s, struct tracker **t, lv_set *prepare, const lv_t *version,
                 uint32_t count);
/* Ids [id, id+len) were fed to this tracker. */
void stands_follow(struct stands *s, const syn_mem *mem, const struct tracker *fed, uint32_t id,
                   uint32_t len);

#endif
