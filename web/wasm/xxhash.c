/* xxhash.c -- XXH64 as its specification says, for a little-endian machine.
 *
 *     bytes --32 at a time--> four lanes --> one number; the last 31 or fewer in 8, 4 and 1
 *
 * The system's header has it twice, for one input and for one that comes in pieces, with loops
 * unrolled; here one input is one piece. */
#include <xxhash.h>

#include <string.h>

#define P1 0x9E3779B185EBCA87u
#define P2 0xC2B2AE3D27D4EB4Fu
#define P3 0x165667B19E3779F9u
#define P4 0x85EBCA77C2B2AE63u
#define P5 0x27D4EB2F165667C5u

enum { LANES = 4, STRIPE = 32 };

static uint64_t rotate(uint64_t v, unsigned bits)
{
    return v << bits | v >> (64 - bits);
}

static uint64_t mixed(uint64_t lane, uint64_t input)
{
    return rotate(lane + input * P2, 31) * P1;
}

void XXH64_reset(XXH64_state_t *state, uint64_t seed)
{
    *state = (XXH64_state_t){.seed = seed, .lanes = {seed + P1 + P2, seed + P2, seed, seed - P1}};
}

void XXH64_update(XXH64_state_t *state, const void *input, size_t len)
{
    const char *p = input;
    while (len > 0) {
        size_t used = state->total % STRIPE, n = len < STRIPE - used ? len : STRIPE - used;
        memcpy((char *)state->stripe + used, p, n);
        p += n;
        len -= n;
        state->total += n;
        if (used + n < STRIPE) break;
        for (unsigned i = 0; i < LANES; i++)
            state->lanes[i] = mixed(state->lanes[i], state->stripe[i]);
    }
}

static uint64_t joined(const XXH64_state_t *state)
{
    static const uint8_t bits[LANES] = {1, 7, 12, 18};
    uint64_t h = 0;
    if (state->total < STRIPE) return state->seed + P5;
    for (unsigned i = 0; i < LANES; i++) h += rotate(state->lanes[i], bits[i]);
    for (unsigned i = 0; i < LANES; i++) h = (h ^ mixed(0, state->lanes[i])) * P1 + P4;
    return h;
}

uint64_t XXH64_digest(const XXH64_state_t *state)
{
    uint64_t h = joined(state) + state->total;
    const uint8_t *p = (const uint8_t *)state->stripe, *end = p + state->total % STRIPE;
    for (; end - p >= 8; p += 8) {
        uint64_t word;
        memcpy(&word, p, sizeof word);
        h = rotate(h ^ mixed(0, word), 27) * P1 + P4;
    }
    if (end - p >= 4) {
        uint32_t word;
        memcpy(&word, p, sizeof word);
        h = rotate(h ^ word * P1, 23) * P2 + P3;
        p += 4;
    }
    for (; p < end; p++) h = rotate(h ^ *p * P5, 11) * P1;
    h = (h ^ h >> 33) * P2;
    h = (h ^ h >> 29) * P3;
    return h ^ h >> 32;
}

uint64_t XXH64(const void *input, size_t len, uint64_t seed)
{
    XXH64_state_t state;
    XXH64_reset(&state, seed);
    XXH64_update(&state, input, len);
    return XXH64_digest(&state);
}
