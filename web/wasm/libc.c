/* libc.c -- what of the C library is better small than whole in a browser.
 *
 * qsort is a heap sort, as wasi-libc's smooth sort is five times slower than native.  A failed
 * assertion is a trap, without a text: the engine cannot go on, and JavaScript sees an exception.
 * Nothing here prints: what formats texts is compiled without them (SYN_SMALL). */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

_Noreturn void abort(void)
{
    __builtin_trap();
}

_Noreturn void __assert_fail(const char *text, const char *file, int line, const char *function);
_Noreturn void __assert_fail(const char *text, const char *file, int line, const char *function)
{
    (void)text;
    (void)file;
    (void)line;
    (void)function;
    __builtin_trap();
}

/* ---- Sorting --------------------------------------------------------------------------------- */

static void swap(char *a, char *b, size_t size)
{
    for (size_t i = 0; i < size; i++) {
        char c = a[i];
        a[i] = b[i];
        b[i] = c;
    }
}

static void sift(char *base, size_t root, size_t count, size_t size,
                 int (*compare)(const void *, const void *))
{
    for (size_t child; (child = root * 2 + 1) < count; root = child) {
        if (child + 1 < count && compare(base + child * size, base + (child + 1) * size) < 0)
            child++;
        if (compare(base + root * size, base + child * size) >= 0) return;
        swap(base + root * size, base + child * size, size);
    }
}

void qsort(void *at, size_t count, size_t size, int (*compare)(const void *, const void *))
{
    char *base = at;
    for (size_t i = count / 2; i-- > 0;) sift(base, i, count, size, compare);
    for (size_t end = count; end > 1; end--) {
        swap(base, base + (end - 1) * size, size);
        sift(base, 0, end - 1, size, compare);
    }
}

/* ---- Bytes ----------------------------------------------------------------------------------- */

/* Where wasi-libc has unrolled loops: names are short, and the others are one instruction. */
size_t strlen(const char *text)
{
    size_t len = 0;
    while (text[len] != '\0') len++;
    return len;
}

void *memchr(const void *at, int byte, size_t len)
{
    for (const unsigned char *p = at; len > 0; p++, len--)
        if (*p == (unsigned char)byte) return (void *)(uintptr_t)p;
    return NULL;
}

void *memcpy(void *restrict to, const void *restrict from, size_t len)
{
    return __builtin_memcpy(to, from, len);
}

void *memmove(void *to, const void *from, size_t len)
{
    return __builtin_memmove(to, from, len);
}

void *memset(void *to, int byte, size_t len)
{
    return __builtin_memset(to, byte, len);
}

/* ---- Streams --------------------------------------------------------------------------------- */

/* A broken invariant says so on stderr before it aborts: here it only traps.  What would put texts
 * together is called from nowhere, but the linker asks for it before it knows. */
#undef stderr
FILE *const stderr = NULL;

int fprintf(FILE *restrict to, const char *restrict format, ...)
{
    (void)to;
    (void)format;
    return 0;
}

int vsnprintf(char *restrict to, size_t cap, const char *restrict format, va_list args)
{
    (void)to;
    (void)cap;
    (void)format;
    (void)args;
    return 0;
}
