/* syncline_editor.h -- what an editor needs beside the document: cursors that survive everybody's
 * edits, and undo that takes back one's own.  The rules at the top of syncline.h hold here too.
 *
 * Both stand on the event graph: what happened to an element since is asked of the history above
 * it, never guessed from patches.  So every replica gives the same answer. */
#ifndef SYNCLINE_EDITOR_H
#define SYNCLINE_EDITOR_H

#include "syncline.h"

#ifdef __cplusplus
extern "C" {
#endif

/* ---- Cursors --------------------------------------------------------------------------------- */

/* A cursor stands beside an element (a scalar of text, an item of a list) and stays beside it:
 *
 *     SYN_AFTER    behind the element on its left; text typed at the cursor comes behind it
 *     SYN_BEFORE   before the element on its right; text typed at the cursor comes before it
 *
 * When the element is deleted the cursor stays at the place where it stood, between what was left
 * and right of it; text inserted at that very place comes before the cursor.  A cursor without an
 * element keeps to the start (SYN_AFTER at 0) or to the end (SYN_BEFORE at the length).
 *
 * For a selection take SYN_BEFORE for its left end and SYN_AFTER for its right end (then it neither
 * grows nor is lost), for a caret SYN_AFTER. */
typedef enum { SYN_AFTER = 0, SYN_BEFORE = 1 } syn_side;

/* Plain data: copy, compare, store it.  Durable: at, index and side mean the same in every replica
 * and for ever (obj is this syn_doc's own number; syncline_bytes.h turns all of it into bytes). */
typedef struct {
    syn_obj obj;
    uint32_t side;  /* syn_side */
    syn_id at;      /* a version: this event and its ancestors; peer 0: no element */
    uint32_t index; /* the element's position in that version */
    syn_id seen;    /* a hint: gone when the document stood here; peer 0: no hint */
    uint32_t gap;   /* ... and its place was this position */
} syn_cursor;

/* The cursor at a position of today.  Made in a transaction that is rolled back it means nothing.
 *  SYN_ERANGE, SYN_EKIND (no text, no list), SYN_ENOMEM.  O(1)
 * while the document has one head, else O(log n) and what merging the heads costs. */
SYN_EXPORT syn_err syn_cursor_at(syn_doc *doc, syn_obj obj, size_t pos, syn_side side,
                                 syn_cursor *out);
/* The same from a position in another version, such as another replica tells it.  No heads: the
 * empty version.  SYN_EMISSING: a head has not come here yet; SYN_EHISTORY: it may lie below the
 * snapshot; SYN_ERANGE; SYN_EKIND; SYN_ENOMEM. */
SYN_EXPORT syn_err syn_cursor_from(syn_doc *doc, syn_obj obj, const syn_id *heads, size_t count,
                                   size_t pos, syn_side side, syn_cursor *out);
/* Where it is now.  While its element lives the cursor is moved up to today's version when that has
 * one head, so asking again costs only what happened in between.
 *
 * Cost: O(log n) to find the operations since, O(1) for each of the container's operation runs
 * since when nothing was concurrent, else their replay (kept for the next question).  Never
 * anything in proportion to the document.
 *
 * SYN_EMISSING: cursor->at is not here (not yet, or taken out by syn_doc_without); SYN_EHISTORY: it
 * lies below the snapshot (syn_doc_backfill, then ask again); SYN_ERANGE: no cursor of this
 * document; SYN_ENOMEM. */
SYN_EXPORT syn_err syn_cursor_pos(syn_doc *doc, syn_cursor *cursor, size_t *pos);
/* Is its element still there?  Same errors; a cursor at start or end has none, and `true`. */
SYN_EXPORT syn_err syn_cursor_alive(syn_doc *doc, syn_cursor *cursor, bool *alive);

/* ---- Undo ------------------------------------------------------------------------------------ */

/* One stack of what was done, one of what was undone.  Several may watch one document.
 *
 * Taken back is what was edited between syn_undo_begin and syn_undo_commit, whatever came from
 * others since; nothing else.  Undoing makes new events, sent like any edit.
 *
 *     text, list   what was inserted is deleted, where it still is; what was deleted comes back in
 *                  its old place, except what somebody else deleted at the same time, too
 *     list set     the item's old value comes back if it still shows what was set
 *     map          the key's old value (or none) comes back if it still shows what was set
 *     counter      what was added is subtracted
 *
 * A container made by the event that was undone goes with the value that holds it.  When such a
 * value comes back, its container is a new one with a copy of what the old one holds (mergeable
 * children are the old ones), in which older items go on; text deleted in it before may come back
 * at another place of the same gap.
 *
 * Others' work stays: a character typed by others into a deleted paragraph is still there after
 * undo and redo.  Elements brought back count as the old ones: undoing their insertion takes them
 * away again.  What lies below the snapshot, or was taken out by syn_doc_without, is skipped.
 *
 * The document must outlive the undo object, and must not be edited by syn_undo_* calls of two
 * threads.  Memory: of the document's allocator. */
typedef struct syn_undo syn_undo;

typedef struct {
    uint32_t size;      /* = sizeof(syn_undo_config) */
    uint32_t max_items; /* of each stack, the oldest goes; 0: 1,000 */
    size_t max_bytes;   /* of both together, the oldest goes; 0: 4 MiB */
    uint64_t interval;  /* commits at most this far apart become one item; 0: 500 */
    bool never_group;   /* each commit is an item */
} syn_undo_config;
#define SYN_UNDO_CONFIG_INIT                                                                       \
    {                                                                                              \
        .size = sizeof(syn_undo_config)                                                            \
    }

/* config NULL: all defaults.  SYN_ENOMEM, SYN_EMISUSE. */
SYN_EXPORT syn_err syn_undo_new(syn_undo **out, syn_doc *doc, const syn_undo_config *config);
SYN_EXPORT void syn_undo_free(syn_undo *undo); /* NULL is fine; before the document */

/* A transaction of the document (syn_begin) whose edits this object will take back.  syn_rollback
 * ends it like any other; syn_commit ends it without noting it. */
SYN_EXPORT syn_err syn_undo_begin(syn_undo *undo);
/* Commits.  `now`: any clock that counts up, in the unit of config.interval (milliseconds); it
 * decides what becomes one item.  A commit without edits is none.  Clears what could be redone.
 * One that is larger than config.max_bytes cannot be taken back.  SYN_EMISUSE: no transaction;
 * SYN_ENOMEM: it is still open. */
SYN_EXPORT syn_err syn_undo_commit(syn_undo *undo, uint64_t now);
/* The next commit begins an item of its own. */
SYN_EXPORT void syn_undo_boundary(syn_undo *undo);

/* The selection as it is now: tell it before edits, undo and redo.  It is kept with the item that
 * comes next, and given back when that is taken back.  Copied.  At most 64.  SYN_ENOMEM,
 * SYN_ELIMIT. */
SYN_EXPORT syn_err syn_undo_select(syn_undo *undo, const syn_cursor *cursors, size_t count);
/* The selection that the last undo or redo brought back; ask each with syn_cursor_pos.  Borrowed
 * until the next syn_undo_* call. */
SYN_EXPORT size_t syn_undo_selection(const syn_undo *undo, const syn_cursor **cursors);

/* Takes the last item back (redo: does again what was undone last).  Items with nothing left to do
 * go on to the one before.  SYN_ENOTFOUND: nothing was left to do; SYN_EMISUSE: inside a
 * transaction, or no peer; SYN_ELIMIT; SYN_ENOMEM (if even taking back halfway finds no memory, the
 * transaction is left open for syn_rollback). */
SYN_EXPORT syn_err syn_undo_undo(syn_undo *undo);
SYN_EXPORT syn_err syn_undo_redo(syn_undo *undo);

SYN_EXPORT size_t syn_undo_count(const syn_undo *undo); /* items to undo */
SYN_EXPORT size_t syn_undo_redo_count(const syn_undo *undo);
SYN_EXPORT void syn_undo_clear(syn_undo *undo);             /* forgets both stacks */
SYN_EXPORT size_t syn_undo_footprint(const syn_undo *undo); /* bytes held */

#ifdef __cplusplus
}
#endif
#endif
