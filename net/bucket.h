/* bucket.h -- token buckets, kept as what was spent and is not forgiven yet.
 *
 *     spent  0 ......... burst ......... 2 burst ......... 3 burst
 *            | good      | slow: wait    | refuse          | close
 *
 * Counting what was spent, rather than what is left, makes a zeroed bucket a full one, and lets a
 * rate change under it.  Thousandths, so that nothing is lost to rounding at one call each
 * millisecond. */
#ifndef SYN_BUCKET_H
#define SYN_BUCKET_H

#include <stdint.h>

struct bucket {
    uint64_t spent; /* thousandths */
    uint64_t at;    /* when that was so, ms */
};

struct bucket_rate {
    uint64_t per_second; /* 0: no limit */
    uint64_t burst;      /* may be spent at once */
};

enum bucket_state { BUCKET_GOOD, BUCKET_SLOW, BUCKET_REFUSE, BUCKET_CLOSE };

void bucket_take(struct bucket *bucket, struct bucket_rate rate, uint64_t cost, uint64_t now);
enum bucket_state bucket_look(struct bucket *bucket, struct bucket_rate rate, uint64_t now);
/* Milliseconds until it is good again; 0: it is. */
uint32_t bucket_wait(struct bucket *bucket, struct bucket_rate rate, uint64_t now);

#endif
