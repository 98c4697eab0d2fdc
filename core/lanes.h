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

/* 0, 1 and so on. */
static inline lanes lanes_places(void)
{
    return (lanes){0, 1, 2, 3};
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

static inline lanes lanes_places(void)
{
    return 0;
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

static inline void lanes_put(uint32_t *at, lanes v)
{
    memcpy(at, &v, sizeof v);
}

/* In which of `count` neighbours, a multiple of LANES, element `pos` of them all lies; there is
 * one, and they hold less than 2^31.  `from`, with room for one more than count, gets where each
 * begins. */
static inline uint32_t lanes_find(const uint32_t *lens, uint32_t count, uint32_t pos,
                                  uint32_t *from)
{
    lanes sum = lanes_all(0), before = lanes_all(0), wanted = lanes_all(pos + 1);
    from[0] = 0;
    for (uint32_t i = 0; i < count; i += LANES) {
        sum = lanes_running(lanes_at(lens + i)) + lanes_last(sum);
        lanes_put(from + 1 + i, sum);
        before -= lanes_less(sum, wanted);
    }
    return lanes_sum(before);
}

/* The sum of the first `below`. */
static inline uint32_t lanes_sum_below(const uint32_t *lens, uint32_t count, uint32_t below)
{
    lanes sum = lanes_all(0), place = lanes_places(), limit = lanes_all(below);
    for (uint32_t i = 0; i < count; i += LANES, place += LANES)
        sum += lanes_at(lens + i) & lanes_less(place, limit);
    return lanes_sum(sum);
}

#endif
