/* names.h -- every key and root name of a document once, as a small number.
 *
 * Names are compared by number everywhere else.  Open addressing over the numbers, once there
 * are some; the bytes stand one after another.  The hash is seeded by the document's config, so
 * that nobody outside can choose names that collide. */
#ifndef SYN_CORE_NAMES_H
#define SYN_CORE_NAMES_H

#include "mem.h"

#define NAME_NONE UINT32_MAX

struct name {
    uint32_t off, len, hash;
};

struct names {
    ARRAY(char) bytes;
    ARRAY(struct name) list;
    uint32_t *slots; /* number + 1, 0: empty; NULL: few names, no index */
    uint32_t slot_cap;
    uint64_t seed;
};

void names_free(struct names *names, const syn_mem *mem);
void names_trim(struct names *names, const syn_mem *mem);     /* gives spare room back */
uint32_t names_find(const struct names *names, syn_str name); /* NAME_NONE: not there */
syn_err names_add(struct names *names, const syn_mem *mem, syn_str name, uint32_t *number);
/* Forgets all but the first n. */
void names_truncate(struct names *names, uint32_t n);

static inline syn_str names_get(const struct names *names, uint32_t number)
{
    assert(number < names->list.n);
    const struct name *name = &names->list.at[number];
    return (syn_str){name->len == 0 ? "" : names->bytes.at + name->off, name->len};
}

/* Unsigned byte order, a prefix first. */
int str_compare(syn_str a, syn_str b);
static inline bool str_equal(syn_str a, syn_str b)
{
    return a.len == b.len && (a.len == 0 || memcmp(a.data, b.data, a.len) == 0);
}

#endif
