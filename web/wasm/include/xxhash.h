/* xxhash.h -- XXH64, of our own and small, in place of the system's header (wasm/xxhash.c).
 *
 * XXH3 only spreads names over the engine's own tables: XXH64, which the protocol needs anyway,
 * does that here. */
#ifndef SYN_WEB_XXHASH_H
#define SYN_WEB_XXHASH_H

#include <stddef.h>
#include <stdint.h>

typedef uint64_t XXH64_hash_t;

typedef struct {
    uint64_t total, seed;
    uint64_t lanes[4];
    uint64_t stripe[4]; /* what was not mixed in yet: total % 32 bytes */
} XXH64_state_t;

void XXH64_reset(XXH64_state_t *state, uint64_t seed);
void XXH64_update(XXH64_state_t *state, const void *input, size_t len);
uint64_t XXH64_digest(const XXH64_state_t *state);
uint64_t XXH64(const void *input, size_t len, uint64_t seed);

#define XXH3_64bits_withSeed(input, length, seed) XXH64(input, length, seed)

#endif
