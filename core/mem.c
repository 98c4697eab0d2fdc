#include "mem.h"

/* Of an array's first block. */
enum { FIRST_BYTES = 8 };

syn_err mem_reserve(const syn_mem *mem, void **at, uint32_t *cap, uint64_t need, size_t size)
{
    if (need <= *cap) return SYN_OK;
    if (need > UINT32_MAX) return SYN_ELIMIT;
    uint64_t grown = *cap == 0 ? FIRST_BYTES / size : (uint64_t)*cap + (*cap + 1) / 2;
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
