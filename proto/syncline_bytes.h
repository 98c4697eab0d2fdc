/* syncline_bytes.h -- documents as bytes: what to send to another replica, what to keep in a file.
 *
 * The bytes are protobuf messages of syncline.proto (Changes, Snapshot): deterministic, readable
 * with `protoc --decode syncline.v1.Changes`. */
#ifndef SYNCLINE_BYTES_H
#define SYNCLINE_BYTES_H

#include "syncline.h"
#include "syncline_editor.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct {
    char *data;
    size_t len, cap;
    syn_mem mem; /* all zero: malloc */
} syn_buf;       /* zero-initialised is empty; free with syn_buf_free */
SYN_EXPORT void syn_buf_free(syn_buf *buf);
SYN_EXPORT syn_err syn_buf_append(syn_buf *buf, const void *data, size_t len);

/* Appends to `out` one Changes message with the events that a replica with these heads (or with
 * this vector) lacks; nothing when it lacks none.  Errors: as syn_doc_spans_since. */
SYN_EXPORT syn_err syn_export_since(syn_doc *doc, const syn_id *heads, size_t count, syn_buf *out);
SYN_EXPORT syn_err syn_export_vector(syn_doc *doc, const syn_id *next, size_t count, syn_buf *out);
/* Applies one Changes message, whole or not at all; any order, any repetition.  A message whose
 * parents are missing is kept (bounded) until they come.  Errors: decoding's SYN_EMALFORMED,
 * SYN_EUTF8, SYN_ELIMIT, and syn_apply's. */
SYN_EXPORT syn_err syn_import(syn_doc *doc, const void *bytes, size_t len);

/* State only, at the last version that everything agrees on, plus what came after it, in one
 * buffer; and back into an empty document.  History below is not in it (see syn_doc_backfill). */
SYN_EXPORT syn_err syn_save_state(syn_doc *doc, syn_buf *out);
/* Everything: history and state. */
SYN_EXPORT syn_err syn_save(syn_doc *doc, syn_buf *out);
SYN_EXPORT syn_err syn_load(syn_doc *doc, const void *bytes, size_t len);

/* The state as one number: equal states at equal versions have equal digests on every machine. */
SYN_EXPORT syn_err syn_doc_digest(syn_doc *doc, uint64_t *digest);

/* A cursor as bytes, for a comment that is kept or for presence, and back, in any replica.  The
 * bytes are a Frame with a Presence of one Cursor, so other programs can read them (PROTOCOL.md,
 * section 11): SYN_AFTER is a caret, SYN_BEFORE a selection of the element behind it.  decode:
 * SYN_EMALFORMED, SYN_EMISSING (no such container here), SYN_EKIND.  What the cursor
 * points at is not checked until syn_cursor_pos. */
SYN_EXPORT syn_err syn_cursor_encode(syn_doc *doc, const syn_cursor *cursor, syn_buf *out);
SYN_EXPORT syn_err syn_cursor_decode(syn_doc *doc, const void *bytes, size_t len, syn_cursor *out);

#ifdef __cplusplus
}
#endif
#endif
