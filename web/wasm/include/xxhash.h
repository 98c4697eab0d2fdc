/* xxhash.h -- the system's, compiled once (wasm/xxhash.c) instead of into every file that hashes.
 *
 * XXH3 only spreads names over the engine's own tables, and its loops for long inputs are large:
 * XXH64, which the protocol needs anyway, does that here. */
#ifdef XXH_INLINE_ALL
#undef XXH_INLINE_ALL
#ifndef XXH_STATIC_LINKING_ONLY
#define XXH_STATIC_LINKING_ONLY /* its states are structs that one may have, as with it */
#endif
#endif
#define XXH_NO_XXH3
#include_next <xxhash.h>
#undef XXH3_64bits_withSeed
#define XXH3_64bits_withSeed(input, length, seed) XXH64(input, length, seed)
