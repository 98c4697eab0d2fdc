/* mem_small.c -- what core/mem.h has in place elsewhere, a hundred times over, is called here.
 *
 * The allocator is malloc's: a page has no other, and a call through the hook is one more.  It
 * traps when there is no memory (malloc.c), so here nothing fails. */
#include "mem.h"
#define SORT_HERE
#include "sort.h"

#include <stdlib.h>

struct __attribute__((may_alias)) array { /* every ARRAY(T) */
    void *at;
    uint32_t n, cap;
};

void *mem_resize(const syn_mem *mem, void *ptr, size_t old_size, size_t new_size)
{
    (void)mem;
    (void)old_size;
    if (new_size != 0) return realloc(ptr, new_size);
    free(ptr);
    return NULL;
}

void *mem_alloc(const syn_mem *mem, size_t size)
{
    return mem_resize(mem, NULL, 0, size);
}

void mem_free(const syn_mem *mem, void *ptr, size_t size)
{
    (void)mem_resize(mem, ptr, size, 0);
}

void *mem_zalloc(const syn_mem *mem, size_t size)
{
    void *p = mem_alloc(mem, size);
    if (p != NULL) memset(p, 0, size);
    return p;
}

void mem_more(const syn_mem *mem, void *array, uint64_t more, size_t size)
{
    struct array *a = array;
    uint64_t need = a->n + more;
    if (need > a->cap && mem_reserve(mem, &a->at, &a->cap, need, size)) __builtin_trap();
}

void mem_drop(const syn_mem *mem, void *array, size_t size)
{
    struct array *a = array;
    mem_free(mem, a->at, a->cap * size);
    *a = (struct array){NULL, 0, 0};
}
