/* utf8.h -- checks and measures UTF-8.
 *
 * Text is checked once, where it comes in; everything behind that point may rely on it.  Only
 * utf8_valid() is safe for bytes from outside, the others take valid text.  A "scalar" is a Unicode
 * scalar value; the four-byte ones are those that UTF-16 writes as two units. */
#ifndef SYN_CORE_UTF8_H
#define SYN_CORE_UTF8_H

#include <stdbool.h>
#include <stddef.h>

/* Is it UTF-8 with no surrogate, no overlong form and nothing above U+10FFFF?  Then *scalars is how
 * many scalars it holds (scalars may be NULL); else *scalars is left alone. */
bool utf8_valid(const char *utf8, size_t bytes, size_t *scalars);

/* The same; one ASCII character, which is what people type, is not worth a call. */
static inline bool utf8_check(const char *utf8, size_t bytes, size_t *scalars)
{
    if (bytes != 1) return utf8_valid(utf8, bytes, scalars);
    *scalars = 1;
    return ((unsigned char)*utf8 & 0x80) == 0;
}

/* Scalars in valid text. */
size_t utf8_count(const char *utf8, size_t bytes);
/* Four-byte scalars in valid text. */
size_t utf8_count4(const char *utf8, size_t bytes);
/* Where the scalar of that index starts; `bytes` when there are no more than `scalars` of them. */
size_t utf8_offset(const char *utf8, size_t bytes, size_t scalars);

#endif
