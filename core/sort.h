/* sort.h -- heap sort of indexes: no memory, no recursion, no bad case (qsort has no context and
 * may allocate). */
#ifndef SYN_CORE_SORT_H
#define SYN_CORE_SORT_H

#include <stdbool.h>
#include <stdint.h>

typedef bool (*sort_before)(const void *context, uint32_t a, uint32_t b);

#ifdef SYN_SMALL /* once: web/wasm/mem_small.c */
void sort_indexes(uint32_t *order, uint32_t count, sort_before before, const void *context);
#define SORT_INLINE
#else
#define SORT_INLINE static inline
#endif
#if !defined SYN_SMALL || defined SORT_HERE
static inline void sort_sift(uint32_t *heap, uint32_t root, uint32_t count, sort_before before,
                             const void *context)
{
    for (uint32_t child; (child = root * 2 + 1) < count; root = child) {
        if (child + 1 < count && before(context, heap[child], heap[child + 1])) child++;
        if (!before(context, heap[root], heap[child])) return;
        uint32_t swap = heap[root];
        heap[root] = heap[child];
        heap[child] = swap;
    }
}

SORT_INLINE void sort_indexes(uint32_t *order, uint32_t count, sort_before before,
                              const void *context)
{
    for (uint32_t i = count / 2; i-- > 0;) sort_sift(order, i, count, before, context);
    for (uint32_t end = count; end > 1; end--) {
        uint32_t swap = order[0];
        order[0] = order[end - 1];
        order[end - 1] = swap;
        sort_sift(order, 0, end - 1, before, context);
    }
}

#endif

#endif
