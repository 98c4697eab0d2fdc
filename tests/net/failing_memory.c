/* failing_memory.c -- failing_memory.h: a table by return address.  One thread. */
#include "failing_memory.h"

#include <stddef.h>
#include <string.h>

enum { PLACES = 4096 };

/* One allocation of so many fails, as the seed says: some faults need two in a row. */
static const uint32_t one_in_of[] = {100, 30, 12};

static struct {
    const void *address;
    uint32_t failed;
} places[PLACES];
static uint64_t state, failures;
static uint32_t nested, paused, rarity;

void *__real_malloc(size_t size);
void *__real_calloc(size_t count, size_t size);
void *__real_realloc(void *old, size_t size);
char *__real_strdup(const char *text);
void *__wrap_malloc(size_t size);
void *__wrap_calloc(size_t count, size_t size);
void *__wrap_realloc(void *old, size_t size);
char *__wrap_strdup(const char *text);

void failing_memory(uint64_t seed)
{
    state = seed;
    rarity = one_in_of[seed % 3];
}

void failing_begin(void)
{
    nested++;
}

void failing_end(void)
{
    nested--;
}

void failing_pause(void)
{
    paused++;
}

void failing_resume(void)
{
    paused--;
}

void failing_count(uint32_t *known, uint32_t *failed, uint64_t *all)
{
    *known = *failed = 0;
    for (uint32_t i = 0; i < PLACES; i++) {
        *known += places[i].address != NULL;
        *failed += places[i].failed != 0;
    }
    *all = failures;
}

static bool one_in(uint32_t n)
{
    state = state * 0x5851f42d4c957f2du + 0x14057b7ef767814fu;
    return (state >> 33) % n == 0;
}

static bool fails(const void *from)
{
    if (state == 0 || nested == 0 || paused != 0) return false;
    uint32_t i = (uint32_t)((uintptr_t)from * 0x9e3779b97f4a7c15u >> 52) % PLACES;
    while (places[i].address != NULL && places[i].address != from) i = (i + 1) % PLACES;
    places[i].address = from;
    bool now = one_in(rarity);
    places[i].failed += now;
    failures += now;
    return now;
}

void *__wrap_malloc(size_t size)
{
    return fails(__builtin_return_address(0)) ? NULL : __real_malloc(size);
}

void *__wrap_calloc(size_t count, size_t size)
{
    return fails(__builtin_return_address(0)) ? NULL : __real_calloc(count, size);
}

void *__wrap_realloc(void *old, size_t size)
{
    return fails(__builtin_return_address(0)) ? NULL : __real_realloc(old, size);
}

char *__wrap_strdup(const char *text)
{
    return fails(__builtin_return_address(0)) ? NULL : __real_strdup(text);
}
