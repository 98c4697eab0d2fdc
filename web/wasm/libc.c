/* libc.c -- what of the C library is better small than whole in a browser.
 *
 * snprintf knows the conversions that core, proto and net use (%s %.*s %c %d %u %x %zu %ld %lld
 * with width and zero); the real one brings floating point and streams, 12 KB.  qsort is a heap
 * sort, as wasi-libc's smooth sort is five times slower than native.  A failed assertion is a trap,
 * without a text: the engine cannot go on, and JavaScript sees an exception. */
#include <stdarg.h>
#include <stdbool.h>
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

/* ---- Text ------------------------------------------------------------------------------------ */

struct sink {
    char *at;
    size_t cap, len; /* len may go beyond cap, as snprintf's result does */
};

struct spec {
    bool zero;
    int width, precision; /* precision -1: none */
    int longs;            /* 1: long, 2: long long */
};

static void put(struct sink *sink, char c)
{
    if (sink->len + 1 < sink->cap) sink->at[sink->len] = c;
    sink->len++;
}

static void put_text(struct sink *sink, const char *text, int precision)
{
    for (int i = 0; (precision < 0 || i < precision) && text[i] != '\0'; i++) put(sink, text[i]);
}

static void put_number(struct sink *sink, uint64_t v, unsigned base, bool minus, struct spec spec)
{
    char digits[24];
    int count = 0;
    do {
        digits[count++] = "0123456789abcdef"[v % base];
        v /= base;
    } while (v != 0);
    int pad = spec.width - count - (minus ? 1 : 0);
    for (; pad > 0 && !spec.zero; pad--) put(sink, ' ');
    if (minus) put(sink, '-');
    for (; pad > 0; pad--) put(sink, '0');
    while (count > 0) put(sink, digits[--count]);
}

static const char *read_spec(const char *at, struct spec *spec, int star)
{
    *spec = (struct spec){.precision = -1};
    if (*at == '0') spec->zero = true;
    while (*at >= '0' && *at <= '9') spec->width = spec->width * 10 + (*at++ - '0');
    if (*at == '.' && at[1] == '*') {
        spec->precision = star;
        at += 2;
    }
    for (; *at == 'l' || *at == 'z'; at++)
        if (*at == 'l') spec->longs++;
    return at;
}

static bool takes_star(const char *at)
{
    while (*at >= '0' && *at <= '9') at++;
    return at[0] == '.' && at[1] == '*';
}

int vsnprintf(char *restrict to, size_t cap, const char *restrict format, va_list args)
{
    struct sink sink = {to, cap, 0};
    for (const char *at = format; *at != '\0'; at++) {
        struct spec spec;
        if (*at != '%') {
            put(&sink, *at);
            continue;
        }
        at = read_spec(at + 1, &spec, takes_star(at + 1) ? va_arg(args, int) : 0);
        if (*at == 's') {
            put_text(&sink, va_arg(args, const char *), spec.precision);
        } else if (*at == 'c') {
            put(&sink, (char)va_arg(args, int));
        } else if (*at == 'd' || *at == 'i') {
            int64_t v = spec.longs > 1 ? va_arg(args, long long) : va_arg(args, int);
            put_number(&sink, v < 0 ? 0 - (uint64_t)v : (uint64_t)v, 10, v < 0, spec);
        } else if (*at == 'u' || *at == 'x') {
            uint64_t v = spec.longs > 1 ? va_arg(args, unsigned long long) : va_arg(args, unsigned);
            put_number(&sink, v, *at == 'x' ? 16 : 10, false, spec);
        } else {
            put(&sink, *at);
        }
    }
    if (cap != 0) to[sink.len < cap ? sink.len : cap - 1] = '\0';
    return (int)sink.len;
}

int snprintf(char *restrict to, size_t cap, const char *restrict format, ...)
{
    va_list args;
    va_start(args, format);
    int len = vsnprintf(to, cap, format, args);
    va_end(args);
    return len;
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

/* ---- Streams --------------------------------------------------------------------------------- */

/* A broken invariant says so on stderr before it aborts: here it only traps. */
#undef stderr
FILE *const stderr = NULL;

int fprintf(FILE *restrict to, const char *restrict format, ...)
{
    (void)to;
    (void)format;
    return 0;
}
