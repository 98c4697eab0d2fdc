/* malloc.c -- memory in size classes, four to a doubling, each with its list of free blocks.
 *
 *     [class, 0 | ........ block ........ ]   8 bytes of head; what follows is aligned to 16
 *
 * Everything the engine holds for long grows by doubling or is a node of one size, so blocks of a
 * class are soon wanted again: nothing is split or joined.  The newest block grows and shrinks in
 * place, as a document that is typed into makes one array longer and longer.  A tenth of the size
 * of wasi-libc's.
 *
 * Memory that is not to be had ends the engine with a trap, which JavaScript sees as an exception:
 * include/stdlib.h promises the compiler that these functions never give NULL, and what looks for
 * it, a fiftieth of the program, is left out.  A page has up to 4 GiB; only what it hands in, which
 * may be too large by itself, is asked for with web_try_malloc, which says so. */
#include "web.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

enum { HEAD = 8, UNIT = 16, CLASSES = 128, PAGE = 65536 };

struct block {
    uint32_t class;
    uint32_t unused;
};

struct free_block {
    struct block head;
    struct free_block *next;
};

extern unsigned char __heap_base;
static struct free_block *free_lists[CLASSES];
static uintptr_t top, end; /* [top, end) was never given out */

/* Bytes of a block of the class, its head included: 16, 32, 48, 64, 80, 96, 112, 128, 160 ... */
static size_t class_size(uint32_t class)
{
    if (class < 4) return (size_t)UNIT * (class + 1);
    return (size_t)(5 + class % 4) << (class / 4 + 3);
}

static uint32_t class_of(size_t size)
{
    uint32_t units = (uint32_t)((size + HEAD - 1) / UNIT); /* but one */
    if (units < 4) return units;
    unsigned shift = 29u - (unsigned)__builtin_clz(units);
    return 4 * shift + (units >> shift);
}

static bool reach(uintptr_t need)
{
    if (need <= end) return true;
    if (top == 0) {
        top = ((uintptr_t)&__heap_base + UNIT - 1) / UNIT * UNIT + UNIT - HEAD;
        end = __builtin_wasm_memory_size(0) * (uintptr_t)PAGE;
        return false;
    }
    size_t pages = (need - end + PAGE - 1) / PAGE;
    size_t spare = end / PAGE / 8; /* growing detaches every view that JavaScript has */
    if (__builtin_wasm_memory_grow(0, pages + spare) == SIZE_MAX &&
        __builtin_wasm_memory_grow(0, pages) == SIZE_MAX)
        return false;
    end = __builtin_wasm_memory_size(0) * (uintptr_t)PAGE;
    return true;
}

void *web_try_malloc(size_t size)
{
    if (size > PTRDIFF_MAX) return NULL;
    uint32_t class = class_of(size);
    struct free_block *block = free_lists[class];
    if (block != NULL) {
        free_lists[class] = block->next;
        return (char *)block + HEAD;
    }
    size_t whole = class_size(class);
    if (top == 0) (void)reach(1);
    if (whole > UINTPTR_MAX - top || !reach(top + whole)) return NULL;
    struct block *fresh = (struct block *)top;
    fresh->class = class;
    top += whole;
    return (char *)fresh + HEAD;
}

void *malloc(size_t size)
{
    void *at = web_try_malloc(size);
    if (at == NULL) __builtin_trap();
    return at;
}

void free(void *at)
{
    if (at == NULL) return;
    struct free_block *block = (struct free_block *)(void *)((char *)at - HEAD);
    size_t whole = class_size(block->head.class);
    if ((uintptr_t)block + whole == top) {
        top = (uintptr_t)block;
        return;
    }
    block->next = free_lists[block->head.class];
    free_lists[block->head.class] = block;
}

void *calloc(size_t count, size_t size)
{
    size_t bytes;
    if (__builtin_mul_overflow(count, size, &bytes)) __builtin_trap();
    void *at = malloc(bytes);
    memset(at, 0, bytes);
    return at;
}

void *realloc(void *at, size_t size)
{
    if (at == NULL) return malloc(size);
    if (size > PTRDIFF_MAX) __builtin_trap();
    struct block *block = (struct block *)(void *)((char *)at - HEAD);
    uint32_t class = class_of(size);
    size_t old = class_size(block->class), whole = class_size(class);
    if (class == block->class) return at;
    if ((uintptr_t)block + old == top && whole <= UINTPTR_MAX - (uintptr_t)block &&
        reach((uintptr_t)block + whole)) {
        block->class = class;
        top = (uintptr_t)block + whole;
        return at;
    }
    void *moved = malloc(size);
    memcpy(moved, at, (old < whole ? old : whole) - HEAD);
    free(at);
    return moved;
}
