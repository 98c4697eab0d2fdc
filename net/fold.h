/* fold.h -- making a stored document small again: a tail of many rows becomes deflated chunks, and
 * a fresh snapshot makes opening quick. */
#ifndef SYN_FOLD_H
#define SYN_FOLD_H

#include "doc_store.h"

struct fold_span { /* store positions: from and end are where pieces begin and end */
    uint32_t from, end;
    uint32_t cut; /* a chunk ends here too, if it lies between: where the snapshot stands */
};

/* That part of the log as chunks of about 256 KiB each.  doc holds it (offset: doc_store_offset).
 */
syn_err fold_log(store_turn *turn, int64_t id, syn_doc *doc, uint32_t offset,
                 const struct fold_span *span);

/* The document's present state as the stored snapshot, standing for store positions below `at`.
 * SYN_EKIND: it has several heads, so it is at no critical version. */
syn_err fold_snapshot(store_turn *turn, int64_t id, syn_doc *doc, uint32_t at);

/* Everything: the whole log in chunks and a snapshot at the last critical version.  doc is the
 * document as stored; its history is read if it is not there. */
syn_err fold_document(syn_store *store, syn_str name, syn_doc *doc, store_turn *turn);

#endif
