/* stdlib.h -- the system's, and what wasm/malloc.c promises beyond it. */
#ifndef SYN_WEB_STDLIB_H
#define SYN_WEB_STDLIB_H
#include_next <stdlib.h>

void *malloc(size_t size) __attribute__((returns_nonnull));
void *calloc(size_t count, size_t size) __attribute__((returns_nonnull));
void *realloc(void *at, size_t size) __attribute__((returns_nonnull));
#endif
