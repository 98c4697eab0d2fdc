/* mem.h -- the allocator hook, growable arrays and the rules that make failure cheap.
 *
 * Nothing in core calls malloc.  Every structure is handed a `const struct syn_mem *` that outlives
 * it.  Arrays grow in two steps on purpose: `reserve` may fail and changes nothing that a reader
 * sees, the push that follows cannot fail.  That is how a refused call leaves a document as it was.
 */
#ifndef SYN_CORE_MEM_H
#define SYN_CORE_MEM_H

#include "syncline.h"

#include <assert.h>
#include <string.h>

/* SYN_SMALL, for a page: errors have no sentences (doc.h, wire.h); what is short and everywhere is
 * called (below); of code that does what other code does, sooner, there is only the other
 * (SHORT_CUTS); documents always come with their history (SNAPSHOTS); frames come from a server
 * (SERVES), and go without tables that grow, for 5 bytes more each (NAMES); memory that was had
 * once is kept (GIVES_BACK), for a page's never shrinks; and memory that is not to be had is a
 * trap of the allocator, so that no caller looks whether it was. */
#ifdef SYN_SMALL
enum { SHORT_CUTS = 0, SNAPSHOTS = 0, SERVES = 0, NAMES = 0, GIVES_BACK = 0 };
#else
enum { SHORT_CUTS = 1, SNAPSHOTS = 1, SERVES = 1, NAMES = 1, GIVES_BACK = 1 };
#endif

#ifdef SYN_SMALL /* calls, where other builds have the code in place: web/wasm/mem_small.c */
void *mem_resize(const syn_mem *mem, void *ptr, size_t old_size, size_t new_size);
void *mem_alloc(const syn_mem *mem, size_t size) __attribute__((returns_nonnull));
void mem_free(const syn_mem *mem, void *ptr, size_t size);
void *mem_zalloc(const syn_mem *mem, size_t size) __attribute__((returns_nonnull));
#else
/* Resizes a block of `old_size` bytes.  NULL (and the old block intact) when memory is short. */
static inline void *mem_resize(const syn_mem *mem, void *ptr, size_t old_size, size_t new_size)
{
    return mem->resize(mem->user, ptr, old_size, new_size);
}

static inline void *mem_alloc(const syn_mem *mem, size_t size)
{
    return mem_resize(mem, NULL, 0, size);
}

static inline void mem_free(const syn_mem *mem, void *ptr, size_t size)
{
    if (ptr != NULL) (void)mem_resize(mem, ptr, size, 0);
}

/* Zeroed block, or NULL. */
static inline void *mem_zalloc(const syn_mem *mem, size_t size)
{
    void *p = mem_alloc(mem, size);
    if (p != NULL) memset(p, 0, size);
    return p;
}
#endif

/* Room for `need` entries of `size` bytes in the block `*at` that holds `*cap`; grows by half, or
 * by an eighth, so that repeated growth costs O(1) an entry.  SYN_ENOMEM leaves block and capacity
 * alone.
 */
syn_err mem_reserve(const syn_mem *mem, void **at, uint32_t *cap, uint64_t need, size_t size);

/* Gives the room behind the n entries back; keeps it when the allocator will not. */
void mem_fit(const syn_mem *mem, void **at, uint32_t *cap, uint32_t n, size_t size);

/* A growable array of T.  Zero-initialised is empty. */
#define ARRAY(T)                                                                                   \
    struct {                                                                                       \
        T *at;                                                                                     \
        uint32_t n, cap;                                                                           \
    }

/* Makes room for `more` entries beyond n.  After SYN_OK that many pushes cannot fail.  The usual
 * case, room is there, is decided in place: every keystroke asks several times. */
#ifdef SYN_SMALL
void mem_more(const syn_mem *mem, void *array, uint64_t more, size_t size);
void mem_drop(const syn_mem *mem, void *array, size_t size);
#define array_reserve(mem, a, more) (mem_more((mem), (a), (more), sizeof *(a)->at), SYN_OK)
#define array_free(mem, a)          mem_drop((mem), (a), sizeof *(a)->at)
#else
#define array_reserve(mem, a, more)                                                                \
    ((uint64_t)(a)->n + (more) <= (a)->cap                                                         \
         ? SYN_OK                                                                                  \
         : mem_reserve((mem), (void **)(void *)&(a)->at, &(a)->cap, (uint64_t)(a)->n + (more),     \
                       sizeof *(a)->at))

#define array_free(mem, a)                                                                         \
    (mem_free((mem), (a)->at, (size_t)(a)->cap * sizeof *(a)->at), (a)->at = NULL,                 \
     (a)->n = (a)->cap = 0)
#endif

/* The next entry, for which room was reserved. */
#define array_push(a) (assert((a)->n < (a)->cap), &(a)->at[(a)->n++])

#define array_fit(mem, a)                                                                          \
    mem_fit((mem), (void **)(void *)&(a)->at, &(a)->cap, (a)->n, sizeof *(a)->at)

/* Tables find their entries by open addressing over a power of two of slots, at most three
 * quarters full; a few entries are found sooner, and without memory, by looking at all. */
#ifdef SYN_STRESS
#define INDEX_FEW 2u
#else
#define INDEX_FEW 8u
#endif
static inline bool index_serves(uint32_t entries, uint32_t slots)
{
    return slots == 0 ? entries <= INDEX_FEW : (uint64_t)entries * 4 <= (uint64_t)slots * 3;
}
static inline uint32_t index_grown(uint32_t slots)
{
    return slots == 0 ? 4 * INDEX_FEW : 2 * slots;
}

#endif
