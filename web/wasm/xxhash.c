/* xxhash.c -- the body of the system's header; see include/xxhash.h. */
#define XXH_STATIC_LINKING_ONLY
#define XXH_IMPLEMENTATION
#include <xxhash.h>
