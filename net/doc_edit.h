/* doc_edit.h -- set, insert, delete, incr: edits as the command line and HTTP write them.
 *
 * A path is a JSON Pointer into the document as JSON: its first step is a root container of that
 * name if there is one, else a key of the root map "".  What is missing on the way becomes
 * mergeable maps, so that two people who make the same path at once share it. */
#ifndef SYN_DOC_EDIT_H
#define SYN_DOC_EDIT_H

#include "path.h"

#include <jansson.h>

struct doc_edit {
    syn_doc *doc;
    const struct path *path; /* set, incr, and containers given by path */
    const char *container;   /* insert, delete: a root text's name, or the path's text */
    bool force;
    json_t *json;
    uint64_t pos, count;
    syn_str text;
    int64_t delta;
    char *why; /* PATH_WHY_BYTES; "" before */
};

/* Parses as json_loadb does; but an integer beyond 64 bits is a real number, not an error. */
json_t *doc_edit_json(syn_str text, size_t flags, json_error_t *error);

/* Each inside a transaction of the caller's, who rolls back what an error leaves half done; *why
 * says what was wrong if the error alone does not. */
syn_err doc_edit_set(struct doc_edit *edit);
syn_err doc_edit_insert(struct doc_edit *edit);
syn_err doc_edit_delete(struct doc_edit *edit);
syn_err doc_edit_unset(struct doc_edit *edit); /* what stands at the path; container: its text */
syn_err doc_edit_incr(struct doc_edit *edit);

#endif
