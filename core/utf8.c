/* utf8.c -- eight bytes at a time where the text allows it.
 *
 * Counting looks at one bit per byte: a scalar is as many bytes as it has continuation bytes
 * (10xxxxxx) plus one, so scalars = bytes that are no continuation; a four-byte scalar is a byte
 * 1111xxxx.  Both tests are done on a word of eight bytes with shifts, which every compiler and
 * WASM can do, rather than with the SIMD of one machine.
 *
 * Checking takes words that are all ASCII whole, and scalars one by one otherwise, by the table of
 * well-formed sequences of the Unicode standard (table 3-7). */
#include "utf8.h"

#include <stdint.h>
#include <string.h>

#define EACH UINT64_C(0x0101010101010101)
#define HIGH UINT64_C(0x8080808080808080)

static inline uint64_t word_at(const char *p)
{
    uint64_t w;
    memcpy(&w, p, sizeof w);
    return w;
}

/* Adds up bytes that are 0 or 1 each. */
static inline size_t sum_bytes(uint64_t w)
{
    return (size_t)((w * EACH) >> 56);
}

static inline size_t starts_in_word(uint64_t w)
{
    return sum_bytes(((~w >> 7) | (w >> 6)) & EACH);
}

static inline bool is_start(char c)
{
    return ((unsigned char)c & 0xC0) != 0x80;
}

/* Length of the well-formed scalar at s, which is no ASCII; 0 if there is none. */
static size_t scalar_size(const unsigned char *s, size_t bytes)
{
    unsigned low = 0x80, high = 0xBF; /* bounds of the second byte: where the traps are */
    size_t size;
    if (s[0] < 0xC2) return 0; /* a continuation byte, or overlong */
    if (s[0] < 0xE0) {
        size = 2;
    } else if (s[0] < 0xF0) {
        size = 3;
        if (s[0] == 0xE0) low = 0xA0;  /* overlong below */
        if (s[0] == 0xED) high = 0x9F; /* surrogates above */
    } else if (s[0] < 0xF5) {
        size = 4;
        if (s[0] == 0xF0) low = 0x90;
        if (s[0] == 0xF4) high = 0x8F; /* U+10FFFF is the last */
    } else {
        return 0;
    }
    if (bytes < size || s[1] < low || s[1] > high) return 0;
    for (size_t i = 2; i < size; i++)
        if ((s[i] & 0xC0) != 0x80) return 0;
    return size;
}

/* How many bytes from the front are ASCII, in whole words: four at a time, so that the loop costs
 * as much as the loads. */
static size_t ascii_words(const char *utf8, size_t bytes)
{
    size_t at = 0;
    for (; bytes - at >= 32; at += 32) {
        const char *p = utf8 + at;
        if (((word_at(p) | word_at(p + 8) | word_at(p + 16) | word_at(p + 24)) & HIGH) != 0) break;
    }
    while (bytes - at >= 8 && (word_at(utf8 + at) & HIGH) == 0) at += 8;
    return at;
}

bool utf8_valid(const char *utf8, size_t bytes, size_t *scalars)
{
    const unsigned char *s = (const unsigned char *)utf8;
    size_t at = 0, n = 0;
    while (at < bytes) {
        size_t ascii = ascii_words(utf8 + at, bytes - at);
        if (ascii != 0) {
            at += ascii;
            n += ascii;
            continue;
        }
        size_t size = s[at] < 0x80 ? 1 : scalar_size(s + at, bytes - at);
        if (size == 0) return false;
        at += size;
        n++;
    }
    if (scalars != NULL) *scalars = n;
    return true;
}

size_t utf8_count(const char *utf8, size_t bytes)
{
    size_t at = 0, n = 0;
    for (; bytes - at >= 8; at += 8) n += starts_in_word(word_at(utf8 + at));
    for (; at < bytes; at++) n += is_start(utf8[at]);
    return n;
}

size_t utf8_count4(const char *utf8, size_t bytes)
{
    size_t at = 0, n = 0;
    for (; bytes - at >= 8; at += 8) {
        uint64_t w = word_at(utf8 + at);
        if ((w & HIGH) != 0) n += sum_bytes((w >> 7) & (w >> 6) & (w >> 5) & (w >> 4) & EACH);
    }
    for (; at < bytes; at++) n += (unsigned char)utf8[at] >= 0xF0;
    return n;
}

size_t utf8_offset(const char *utf8, size_t bytes, size_t scalars)
{
    size_t at = 0;
    for (; bytes - at >= 8; at += 8) {
        size_t n = starts_in_word(word_at(utf8 + at));
        if (n > scalars) break;
        scalars -= n;
    }
    for (; at < bytes; at++)
        if (is_start(utf8[at]) && scalars-- == 0) return at;
    return bytes;
}
