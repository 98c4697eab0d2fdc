/* doc_store.h -- a document and its place in a store: loading, history, appending.
 *
 * A store counts the positions of a document's log from 0; a syn_doc that was loaded from a
 * snapshot begins with one stand-in for everything below:
 *
 *     store     0 ... snapshot_at-1 | snapshot_at  snapshot_at+1 ...
 *     syn_doc               0       |      1             2       ...     state only
 *     syn_doc   0 ... snapshot_at-1 | snapshot_at  snapshot_at+1 ...     after doc_store_backfill
 *
 * so the two differ by one number, doc_store_offset().  A snapshot always ends where a stored piece
 * ends (folding sees to it), so pieces never have to be cut. */
#ifndef SYN_DOC_STORE_H
#define SYN_DOC_STORE_H

#include "change.h"
#include "proto.h"
#include "store.h"

#ifdef __cplusplus
extern "C" {
#endif

#define DETAIL_BYTES 256

/* Opens the document from its snapshot and the pieces above it.  *row as it was read: keep it, for
 * the other functions need it as it was at loading.  config NULL: defaults.  SYN_ENOTFOUND,
 * SYN_EDELETED: as store_find.  SYN_EDAMAGED: it cannot be read, and is marked so: nothing will be
 * stored over it. */
syn_err doc_store_load(syn_store *store, syn_str name, const syn_doc_config *config, syn_doc **out,
                       struct store_doc *row, char detail[DETAIL_BYTES]);

/* The same document, but only the first `until` events of its log; the snapshot stands at or below
 * that.  SYN_EHISTORY: it does not.  Cuts a piece by applying it to a document that is thrown away,
 * so it costs a replay of what lies between. */
syn_err doc_store_load_until(syn_store *store, const struct store_doc *row,
                             const syn_doc_config *config, uint32_t until, syn_doc **out,
                             char detail[DETAIL_BYTES]);

/* Adds the history below a document loaded state-only; log positions move up by *added.  Nothing to
 * do for one with history.  SYN_EHISTORY: the store does not have it either. */
syn_err doc_store_backfill(syn_store *store, const struct store_doc *row, syn_doc *doc,
                           uint32_t *added);

/* store position = position in doc + this. */
uint32_t doc_store_offset(const struct store_doc *row, const syn_doc *doc);

/* What doc_store_append knows about a peer before it moves it on, and where it leaves it.  user:
 * who answers for a peer that the store does not know yet. */
struct doc_append {
    int64_t doc;
    uint32_t offset;    /* doc_store_offset() */
    uint32_t from, end; /* log positions of the syn_doc */
    syn_str user;
};

/* Encodes [from, end) and adds it to the turn, with the rows of the peers that moved on.  For
 * programs with one writer (client file, command line): peers' rows are read from the store, so the
 * turn before must have been committed.  *bytes (may be NULL): what it took. */
syn_err doc_store_append(store_turn *turn, syn_store *store, syn_doc *doc,
                         const struct doc_append *what, uint64_t *bytes);

#ifdef __cplusplus
}
#endif
#endif
