/* stands.c -- trackers that stay behind at other versions (stands.h). */
#include "stands.h"

#ifdef SYN_STRESS
enum { FAR = 1, DEAR = 4 };
#else
enum {
    FAR = 64, /* a way of fewer steps is no reason for anything */
    DEAR = 1024
};
#endif
enum { LARGEST = 64 << 20 }; /* what is larger is not copied */

static void drop(struct stands *s, const syn_mem *mem, uint32_t i)
{
    tracker_free(s->other[i].tracker);
    array_free(mem, &s->other[i].prepare);
    s->other[i] = s->other[--s->n];
}

void stands_free(struct stands *s, const syn_mem *mem)
{
    while (s->n > 0) drop(s, mem, s->n - 1);
    s->far = 0;
}

size_t stands_footprint(const struct stands *s)
{
    size_t sum = 0;
    for (uint32_t i = 0; i < s->n; i++)
        sum +=
            tracker_footprint(s->other[i].tracker) + (size_t)s->other[i].prepare.cap * sizeof(lv_t);
    return sum;
}

void stands_went(struct stands *s, uint64_t steps)
{
    if (steps >= FAR) s->far += steps;
}

/* A place for one more: that of the one that was not used for longest, if there is none left. */
static struct stand *place(struct stands *s, const syn_mem *mem)
{
    uint32_t oldest = 0;
    for (uint32_t i = 1; i < s->n; i++)
        if (s->other[i].unused > s->other[oldest].unused) oldest = i;
    if (s->n == STANDS_MOST) drop(s, mem, oldest);
    s->other[s->n] = (struct stand){0};
    return &s->other[s->n];
}

/* Events that one follows without being used: that costs some times what going to and fro does. */
static uint32_t worth_of(const struct tracker *t)
{
    return tracker_records(t) / 4 + 64;
}

void stands_leave(struct stands *s, const syn_mem *mem, struct tracker *t, const lv_set *prepare)
{
    if (s->far < DEAR || s->far / 4 < tracker_records(t) || tracker_footprint(t) > LARGEST) return;
    s->far = 0;
    struct stand *stand = place(s, mem);
    if (array_reserve(mem, &stand->prepare, prepare->n + 1) != SYN_OK) return;
    stand->tracker = tracker_copy(t);
    if (stand->tracker == NULL) {
        array_free(mem, &stand->prepare);
        return;
    }
    for (uint32_t i = 0; i < prepare->n; i++) *array_push(&stand->prepare) = prepare->at[i];
    stand->worth = worth_of(t);
    s->n++;
}

static bool is_at(const lv_set *prepare, const lv_t *version, uint32_t count)
{
    uint32_t same = 0;
    if (prepare->n != count) return false;
    while (same < count && prepare->at[same] == version[same]) same++;
    return same == count;
}

/* Is an event of the version one of the last that the stand has? */
static bool is_near(const lv_set *prepare, const lv_t *version, uint32_t count)
{
    for (uint32_t i = 0; i < prepare->n; i++)
        for (uint32_t j = 0; j < count; j++)
            if (prepare->at[i] == version[j]) return true;
    return false;
}

bool stands_swap(struct stands *s, struct tracker **t, lv_set *prepare, const lv_t *version,
                 uint32_t count)
{
    uint32_t i = 0, near = is_near(prepare, version, count) ? s->n : 0;
    while (i < s->n && !is_at(&s->other[i].prepare, version, count)) i++;
    if (i == s->n) {
        while (near < s->n && !is_near(&s->other[near].prepare, version, count)) near++;
        i = near;
    }
    if (i == s->n) return false;
    struct stand now = {*t, *prepare, worth_of(*t), 0};
    *t = s->other[i].tracker;
    *prepare = s->other[i].prepare;
    s->other[i] = now;
    return true;
}

void stands_follow(struct stands *s, const syn_mem *mem, const struct tracker *fed, uint32_t id,
                   uint32_t len)
{
    for (uint32_t i = s->n; i-- > 0;) {
        struct stand *stand = &s->other[i];
        if (stand->unused++ > stand->worth ||
            tracker_follow(stand->tracker, fed, id, len) != SYN_OK)
            drop(s, mem, i);
    }
}
