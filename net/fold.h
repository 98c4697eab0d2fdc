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

/* The same in two steps, so that the work can be done on another thread than the turn is filled.
 * fold_read() reads the document anew and folds it from store position `from` up to the end of what
 * is stored, with a snapshot if it stands at one head.  SYN_ENOTFOUND: document `id` is gone. */
struct fold {
    int64_t id;
    uint32_t from, end;
    bool at_one_head;
    struct fold_result *result;
};
syn_err fold_read(struct fold *fold, syn_store *store, syn_str name, const syn_doc_config *config);
syn_err fold_write(store_turn *turn, const struct fold *fold);
void fold_free(struct fold *fold);

/* The document's present state as the stored snapshot, standing for store positions below `at`.
 * SYN_EKIND: it has several heads, so it is at no critical version. */
syn_err fold_snapshot(store_turn *turn, int64_t id, syn_doc *doc, uint32_t at);

/* Everything: the whole log in chunks and a snapshot at the last critical version.  doc is the
 * document as stored; its history is read if it is not there. */
syn_err fold_document(syn_store *store, syn_str name, syn_doc *doc, store_turn *turn);

#endif
