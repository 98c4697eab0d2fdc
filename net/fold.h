/* fold.h -- making a stored document small again: a tail of many rows becomes deflated chunks, and
 * a fresh snapshot makes opening quick. */
#ifndef SYN_FOLD_H
#define SYN_FOLD_H

#include "doc_store.h"

/* Store positions [from, end) of the log, which must begin and end where pieces do, as chunks of
 * about 256 KiB each.  doc holds them (offset: doc_store_offset). */
syn_err fold_log(store_turn *turn, int64_t id, syn_doc *doc, uint32_t offset, uint32_t from,
                 uint32_t end);

/* The document's present state as the stored snapshot, standing for store positions below `at`.
 * SYN_EKIND: it has several heads, so it is at no critical version. */
syn_err fold_snapshot(store_turn *turn, int64_t id, syn_doc *doc, uint32_t at);

/* Everything: the whole log in chunks and a snapshot at the last critical version.  doc is the
 * document as stored; its history is read if it is not there. */
syn_err fold_document(syn_store *store, syn_str name, syn_doc *doc, store_turn *turn);

#endif
