/* copy.h -- the bytes of a string, copied.
 *
 * memcpy must not be given NULL, even for no bytes (C11 7.24.1), and an empty string's data is. */
#ifndef SYN_COPY_H
#define SYN_COPY_H

#include "syncline.h"

#include <string.h>

/* What memcpy gives: `to`, which has room for all of `from`. */
static inline void *copy_str(void *to, syn_str from)
{
    return from.len > 0 ? memcpy(to, from.data, from.len) : to;
}

#endif
