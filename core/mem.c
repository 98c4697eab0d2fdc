#include "mem.h"

enum { FIRST_BYTES = 8 }; /* of an array's first block */

/* Arrays of this many bytes grow by an eighth: they are those of open documents of a page or two,
 * of which there are many, and which get an edit now and then.  Below it would not be worth a call,
 * above it would be copying. */
enum { SPARING_FROM = 256, SPARING_TO = 4096, SPARING = 8 };

static uint64_t grown_from(uint64_t cap, size_t size)
{
    bool sparing = GIVES_BACK && cap * size >= SPARING_FROM && cap * size < SPARING_TO;
    return cap + (sparing ? cap / SPARING + 1 : (cap + 1) / 2);
}

syn_err mem_reserve(const syn_mem *mem, void **at, uint32_t *cap, uint64_t need, size_t size)
{
    if (need <= *cap) return SYN_OK;
    if (need > UINT32_MAX) return SYN_ELIMIT;
    uint64_t grown = *cap == 0 ? FIRST_BYTES / size : grown_from(*cap, size);
    if (grown < need) grown = need;
    if (grown > UINT32_MAX) grown = UINT32_MAX;
    void *moved = mem_resize(mem, *at, (size_t)*cap * size, (size_t)grown * size);
    if (moved == NULL) return SYN_ENOMEM;
    *at = moved;
    *cap = (uint32_t)grown;
    return SYN_OK;
}

void mem_fit(const syn_mem *mem, void **at, uint32_t *cap, uint32_t n, size_t size)
{
    if (n >= *cap) return;
    void *moved = mem_resize(mem, *at, (size_t)*cap * size, (size_t)n * size);
    if (n > 0 && moved == NULL) return;
    *at = moved;
    *cap = n;
}
