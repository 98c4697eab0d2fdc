/* mirror.h -- two ways to look at a document from outside and hold it against what it must be.
 *
 * compare_with_oracle: everything that can be read, against the oracle at the same version.
 * struct mirror: what a reader knows who was only ever told the event records. */
#ifndef SYN_TESTS_MIRROR_H
#define SYN_TESTS_MIRROR_H

#include "oracle.h"

/* The oracle's container in a document; SYN_NO_OBJ: not known there. */
syn_obj find_obj(const syn_doc *doc, const struct oracle *o, uint32_t container);
/* JSON of a container (SYN_NO_OBJ: all).  free() */
char *json_of(const syn_doc *doc, syn_obj obj);
/* Fails the test where the document differs from the oracle at the document's version.  deep: all
 * containers and conflicts, those that do not show in the document too. */
void compare_with_oracle(const syn_doc *doc, const struct oracle *o, bool deep);

struct mirror_container { /* text: scalars; list: items; map: key, value, key, value ... */
    uint64_t *at;         /* hashes */
    uint32_t n, cap;
    int64_t counter;
};

struct mirror {
    struct mirror_container *c; /* by syn_obj */
    uint32_t n;
};

void mirror_free(struct mirror *m);
/* Replays the document's event records, clears them, and fails the test where the mirror then
 * shows something else than the document. */
void mirror_follow(struct mirror *m, syn_doc *doc);

#endif
