/* visit.h -- in which order to replay a stretch of the graph.
 *
 * Any order with parents first gives the same text, but not at the same cost: whenever an event's
 * parents are not what was replayed just before, events are taken out of the tracker and others put
 * back.  Two people who wrote offline for a month, their events interleaved by arrival, cost a walk
 * over the branch for every message in that order, and one walk in all branch after branch. */
#ifndef SYN_CORE_VISIT_H
#define SYN_CORE_VISIT_H

#include "graph.h"

/* Below so many events the order of arrival is as good, and costs nothing to find. */
#ifdef SYN_STRESS
#define VISIT_MIN 8
#else
#define VISIT_MIN 256
#endif

/* The events [stretch) as ranges in the order to visit them, replaced; whatever is below has been
 * visited.  SYN_ENOMEM. */
syn_err visit_order(const struct graph *g, const syn_mem *mem, struct lv_range stretch,
                    lv_ranges *out);

#endif
