/* lanes.h -- short arrays of counts, several at a time.
 *
 * Searching a row of lengths for the one that holds a position stops somewhere in the middle, and
 * where is what a processor cannot guess; looking at all of them, in a few vector steps, costs less
 * than guessing wrong.  The compiler left to itself makes branches of it.
 *
 * Vectors are those of GCC and Clang, four counts each.  Where the machine has none, or code is to
 * be small, a lane is alone: the same steps, one by one. */
#ifndef SYN_CORE_LANES_H
#define SYN_CORE_LANES_H

#include <stdint.h>
#include <string.h>

#if !defined SYN_SMALL && defined __has_builtin &&                                                 \
    (defined __SSE2__ || defined __ARM_NEON || defined __wasm_simd128__)
#if __has_builtin(__builtin_shufflevector) /* GCC: since 12 */
#define LANES_ARE_VECTORS
#endif
#endif

#ifdef LANES_ARE_VECTORS
enum { LANES = 4 };
typedef uint32_t lanes __attribute__((vector_size(16)));
typedef int32_t signed_lanes __attribute__((vector_size(16)));

static inline lanes lanes_all(uint32_t x)
{
    return (lanes){x, x, x, x};
}

/* Each bit where it is so, else none. */
static inline lanes lanes_equal(lanes a, lanes b)
{
    return (lanes)(a == b);
}

static inline lanes lanes_less(lanes a, lanes b) /* as signed numbers */
{
    return (lanes)((signed_lanes)a < (signed_lanes)b);
}

/* Each with those before it. */
static inline lanes lanes_running(lanes v)
{
    const lanes none = {0};
    v += __builtin_shufflevector(none, v, 0, 4, 5, 6);
    return v + __builtin_shufflevector(none, v, 0, 0, 4, 5);
}

static inline lanes lanes_last(lanes v)
{
    return __builtin_shufflevector(v, v, 3, 3, 3, 3);
}

static inline uint32_t lanes_sum(lanes v)
{
    v += __builtin_shufflevector(v, v, 2, 3, 0, 1);
    return v[0] + v[1];
}
#else
enum { LANES = 1 };
typedef uint32_t lanes;

static inline lanes lanes_all(uint32_t x)
{
    return x;
}

static inline lanes lanes_equal(lanes a, lanes b)
{
    return a == b ? UINT32_MAX : 0;
}

static inline lanes lanes_less(lanes a, lanes b)
{
    return (int32_t)a < (int32_t)b ? UINT32_MAX : 0;
}

static inline lanes lanes_running(lanes v)
{
    return v;
}

static inline lanes lanes_last(lanes v)
{
    return v;
}

static inline uint32_t lanes_sum(lanes v)
{
    return v;
}
#endif

static inline lanes lanes_at(const uint32_t *at)
{
    lanes v;
    memcpy(&v, at, sizeof v);
    return v;
}

/* In which of some neighbours element `pos` of them all lies; there is one, and they hold less than
 * 2^31.  They are shown a vector at a time, in their order and to the last, with another count of
 * each. */
struct lanes_search {
    lanes sum, wanted;         /* elements in all shown so far; what is reached with `pos` */
    lanes index, before, also; /* the neighbours before it, their elements, their other counts */
};

static inline struct lanes_search lanes_search(uint32_t pos)
{
    return (struct lanes_search){.wanted = lanes_all(pos + 1)};
}

static inline void lanes_show(struct lanes_search *s, lanes len, lanes also)
{
    s->sum = lanes_running(len) + lanes_last(s->sum);
    lanes is_before = lanes_less(s->sum, s->wanted);
    s->index -= is_before;
    s->before += len & is_before;
    s->also += also & is_before;
}

#endif
