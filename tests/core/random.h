/* random.h -- the same random numbers on every machine (xorshift64*), and how many seeds to run. */
#ifndef SYN_TESTS_RANDOM_H
#define SYN_TESTS_RANDOM_H

#include <check.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>

/* Check's own assertions write to a pipe each time they hold, which took most of a long run. */
#define must(holds)                                                                                \
    do {                                                                                           \
        if (!(holds)) ck_abort_msg("%s", #holds);                                                  \
    } while (0)

struct random {
    uint64_t x;
};

static inline uint64_t random_bits(struct random *r)
{
    r->x ^= r->x >> 12;
    r->x ^= r->x << 25;
    r->x ^= r->x >> 27;
    return r->x * UINT64_C(2685821657736338717);
}

static inline uint32_t below(struct random *r, uint32_t n)
{
    return (uint32_t)(random_bits(r) >> 33) % n;
}

static inline bool one_in(struct random *r, uint32_t n)
{
    return below(r, n) == 0;
}

static inline struct random random_seeded(uint32_t seed)
{
    struct random r = {((uint64_t)seed + 1) * UINT64_C(0x9E3779B97F4A7C15)};
    for (int i = 0; i < 8; i++) (void)random_bits(&r);
    return r;
}

/* A number from 1 that the environment sets; 1 if it does not. */
static inline uint32_t from_environment(const char *name)
{
    const char *text = getenv(name);
    uint32_t number = text != NULL ? (uint32_t)strtoul(text, NULL, 10) : 1;
    return number > 0 ? number : 1;
}

/* n, times what the environment asks for (SYN_SEEDS); of that the part that a slow build is given
 * (SYN_SHARE=8: an eighth). */
static inline uint32_t seeds(uint32_t n)
{
    return n * from_environment("SYN_SEEDS") / from_environment("SYN_SHARE");
}

#endif
