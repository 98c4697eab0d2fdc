/* bucket.c -- bucket.h. */
#include "bucket.h"

#include <stdbool.h>

#define THOUSAND 1000u
/* Nobody's debt grows beyond this many bursts: a flood is over some time after it ended. */
#define DEBT_BURSTS 4u

/* Time that goes backwards forgives nothing. */
static void forgive(struct bucket *bucket, struct bucket_rate rate, uint64_t now)
{
    uint64_t passed = now > bucket->at ? now - bucket->at : 0;
    if (now > bucket->at) bucket->at = now;
    if (bucket->spent == 0) return;
    /* ms x per second is thousandths */
    bool all = passed >= bucket->spent / (rate.per_second != 0 ? rate.per_second : 1) + 1;
    bucket->spent = all || rate.per_second == 0 ? 0 : bucket->spent - passed * rate.per_second;
}

void bucket_take(struct bucket *bucket, struct bucket_rate rate, uint64_t cost, uint64_t now)
{
    if (rate.per_second == 0) return;
    forgive(bucket, rate, now);
    uint64_t most = rate.burst * THOUSAND * DEBT_BURSTS;
    uint64_t room = bucket->spent < most ? most - bucket->spent : 0;
    bucket->spent += cost < room / THOUSAND ? cost * THOUSAND : room;
}

enum bucket_state bucket_look(struct bucket *bucket, struct bucket_rate rate, uint64_t now)
{
    uint64_t burst = rate.burst * THOUSAND;
    if (rate.per_second == 0) return BUCKET_GOOD;
    forgive(bucket, rate, now);
    if (bucket->spent <= burst) return BUCKET_GOOD;
    if (bucket->spent <= 2 * burst) return BUCKET_SLOW;
    return bucket->spent <= 3 * burst ? BUCKET_REFUSE : BUCKET_CLOSE;
}

uint32_t bucket_wait(struct bucket *bucket, struct bucket_rate rate, uint64_t now)
{
    uint64_t burst = rate.burst * THOUSAND;
    if (bucket_look(bucket, rate, now) == BUCKET_GOOD) return 0;
    uint64_t ms = (bucket->spent - burst) / rate.per_second + 1;
    return ms < UINT32_MAX ? (uint32_t)ms : UINT32_MAX;
}
