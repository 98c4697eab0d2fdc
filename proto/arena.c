/* arena.c -- memory for decoding: a list of growing blocks, emptied as a whole.
 *
 * A frame is decoded, used and forgotten, so nothing is freed piece by piece.  reset keeps the
 * largest block: a connection that decodes frames of one size soon allocates no more. */
#include "wire.h"

#include <stdlib.h>

enum { FIRST_BLOCK = 8 * 1024 - 64, ALIGNMENT = 16 };

static void *malloc_resize(void *user, void *ptr, size_t old_size, size_t new_size)
{
    (void)user;
    (void)old_size;
    if (new_size == 0) {
        free(ptr);
        return NULL;
    }
    return realloc(ptr, new_size);
}

syn_mem proto_mem(const syn_mem *mem)
{
    if (mem != NULL && mem->resize != NULL) return *mem;
    return (syn_mem){.resize = malloc_resize, .user = NULL};
}

syn_err proto_arena_new(proto_arena **out, const syn_mem *mem)
{
    syn_mem hook = proto_mem(mem);
    proto_arena *arena = mem_zalloc(&hook, sizeof *arena);
    if (arena == NULL) return SYN_ENOMEM;
    arena->mem = hook;
    arena->limit = LIMIT_CHUNK_MEMORY;
    *out = arena;
    return SYN_OK;
}

static void free_block(proto_arena *arena, struct arena_block *block)
{
    arena->held -= block->size;
    mem_free(&arena->mem, block, sizeof *block + block->size);
}

void proto_arena_reset(proto_arena *arena)
{
    struct arena_block *kept = NULL;
    for (struct arena_block *b = arena->blocks, *next; b != NULL; b = next) {
        next = b->next;
        bool better = kept == NULL || b->size > kept->size;
        struct arena_block *loser = better ? kept : b;
        if (better) kept = b;
        if (loser != NULL) free_block(arena, loser);
    }
    if (kept != NULL && kept->size > LIMIT_FRAME_BYTES) { /* one large one is no habit */
        free_block(arena, kept);
        kept = NULL;
    }
    if (kept != NULL) {
        kept->next = NULL;
        kept->used = 0;
    }
    arena->blocks = kept;
    arena->over = false;
}

void proto_arena_free(proto_arena *arena)
{
    if (arena == NULL) return;
    for (struct arena_block *b = arena->blocks, *next; b != NULL; b = next) {
        next = b->next;
        free_block(arena, b);
    }
    syn_mem mem = arena->mem;
    mem_free(&mem, arena, sizeof *arena);
}

static struct arena_block *grow(proto_arena *arena, size_t need)
{
    size_t size = arena->blocks != NULL ? arena->blocks->size * 2 : FIRST_BLOCK;
    if (size > LIMIT_FRAME_BYTES) size = LIMIT_FRAME_BYTES;
    if (size < need) size = need;
    if (size > arena->limit || arena->held > arena->limit - size) {
        arena->over = true;
        return NULL;
    }
    struct arena_block *block = mem_alloc(&arena->mem, sizeof *block + size);
    if (block == NULL) return NULL;
    *block = (struct arena_block){.next = arena->blocks, .size = size};
    arena->blocks = block;
    arena->held += size;
    return block;
}

void *arena_alloc(proto_arena *arena, size_t size)
{
    if (size > LIMIT_CHUNK_MEMORY) {
        arena->over = true;
        return NULL;
    }
    size = size == 0 ? ALIGNMENT : (size + ALIGNMENT - 1) & ~(size_t)(ALIGNMENT - 1);
    struct arena_block *block = arena->blocks;
    if (block == NULL || block->size - block->used < size) block = grow(arena, size);
    if (block == NULL) return NULL;
    void *p = block->data + block->used;
    block->used += size;
    return p;
}

void *arena_more(proto_arena *arena, uint64_t count, size_t size)
{
    if (count > LIMIT_CHUNK_MEMORY / size) {
        arena->over = true;
        return NULL;
    }
    return arena_alloc(arena, (size_t)count * size);
}

static void *allocator_alloc(void *arena, size_t size)
{
    return arena_alloc(arena, size);
}

static void allocator_free(void *arena, void *ptr)
{
    (void)arena;
    (void)ptr;
}

ProtobufCAllocator arena_allocator(proto_arena *arena)
{
    return (ProtobufCAllocator){
        .alloc = allocator_alloc, .free = allocator_free, .allocator_data = arena};
}
