/* path.h -- JSON Pointers (RFC 6901) into a document, for edits. */
#ifndef SYN_PATH_H
#define SYN_PATH_H

#include "syncline.h"

#define PATH_WHY_BYTES 256

struct path {
    char *buffer; /* unescaped steps, back to back */
    syn_str *steps;
    uint32_t count;
};

/* Where a path's last step leads. */
enum place_kind {
    PLACE_ROOT, /* obj is the root container that the path names */
    PLACE_KEY,  /* key of the map obj */
    PLACE_ITEM, /* index of the list obj; may be its length */
};
struct place {
    enum place_kind kind;
    syn_obj obj;
    syn_str key;
    size_t index;
};

/* At least one step.  why: PATH_WHY_BYTES. */
bool path_parse(struct path *path, const char *text, char *why);
void path_free(struct path *path);

/* Goes to the last step, making missing maps on the way; force: also where another value stands. */
syn_err path_enter(syn_doc *doc, const struct path *path, bool force, struct place *out, char *why);
/* The container at a place; make: a mergeable one where nothing is. */
syn_err place_child(syn_doc *doc, const struct place *at, syn_kind kind, bool make, syn_obj *out,
                    char *why);

/* The root container of that name that the document's JSON shows, or SYN_NO_OBJ. */
syn_obj path_root(const syn_doc *doc, syn_str name);

#endif
