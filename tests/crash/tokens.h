/* tokens.h -- edits that can be recognised later: what is made, what must be there.
 *
 * Edit n of writer w is one transaction: the token "w.n;" somewhere between other tokens of the
 * root text, the item "w.n" somewhere in the root list "items", one more in the root counter
 * "count", in this order; and now and then a stroke in the root text "scratch", where everybody
 * also deletes.  Edits of one writer follow each other, so whoever has edit n has all below it. */
#ifndef TEST_CRASH_TOKENS_H
#define TEST_CRASH_TOKENS_H

#include "core/random.h"
#include "syncline_client.h"

enum { WRITERS_MAX = 512 };

/* One edit, with the client's lock held; the number of events that it was. */
uint32_t token_edit(syn_client_doc *cd, uint32_t writer, uint32_t n, struct random *r);

struct seen {
    uint32_t edits[WRITERS_MAX]; /* 0 .. edits[w] - 1 are there, each once */
    uint64_t total;
};
/* Reads a document given as JSON; fails (see process.h) if anything is there twice, or without the
 * one before it.  "" and {}: a document without edits. */
void seen_read(const char *json, const char *where, struct seen *out);

#endif
