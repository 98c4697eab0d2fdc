/* undo.h -- what was done, as it is kept to be taken back; and taking it back.
 *
 * An item does not keep positions, which others' edits would move, but which events were made: what
 * became of the elements that they inserted or deleted is asked of the tracker when the time comes.
 * Only what no history above a snapshot can give back is copied: deleted content, overwritten
 * values.
 *
 *     undo    [item] [item] [item]        redo    [item] [item]
 *     item    steps   INSERT events | DELETE events, content | KEY event, value before | ...
 *             values  what keys and items showed
 *             bytes   deleted text, and the bytes of values
 *
 * Both stacks hold the same kind of item: undoing makes new events, and their item is what can be
 * redone.
 *
 * Content that comes back is new elements, made by new events, and an older item must find them: it
 * inserted the old ones.  When a delete is taken back its targets may have no event's name, being
 * older than the window; so `brought` notes which event brought back what which delete had taken.
 * Whoever asks about an insert has a window with both, and learns `elements` from that.  `writers`
 * says the same of values. */
#ifndef SYN_CORE_UNDO_H
#define SYN_CORE_UNDO_H

#include "position.h"

enum undo_kind { UNDO_INSERT, UNDO_DELETE, UNDO_SET, UNDO_KEY, UNDO_ADD };

struct undo_step {
    enum undo_kind kind;
    syn_obj obj;
    syn_id first; /* events first .. first.seq + len - 1 */
    uint32_t len;
    uint32_t at;    /* DELETE of text: in bytes; of items, SET, KEY: in values */
    uint32_t bytes; /* DELETE of text */
    uint32_t key;   /* KEY */
    int64_t delta;  /* ADD */
};

/* What a key or an item showed. */
struct undo_value {
    bool none; /* KEY: it did not show */
    syn_id writer;
    syn_id made;       /* items: the event that inserted it */
    struct op_arg arg; /* its blob lies in the item's bytes */
};

struct undo_item {
    ARRAY(struct undo_step) steps;
    ARRAY(struct undo_value) values;
    ARRAY(char) bytes;
    ARRAY(syn_cursor) selection;
};

/* Events whose place others took: from .. from.seq + len - 1 by those from `to` on. */
struct heir {
    syn_id from, to;
    uint32_t len;
};
typedef ARRAY(struct heir) heirs; /* ascending by from, disjoint */

/* Deletes from .. from.seq + len - 1, and the inserts that brought back what they took: `to` and
 * following, or (back) from to.seq + len - 1 down. */
struct brought {
    syn_id from, to;
    uint32_t len;
    syn_obj obj;
    bool back;
};

/* A container made by an event, and the copy that stands in its place. */
struct undo_copy {
    syn_obj old, now;
    syn_id made; /* the last event before it was filled */
};

typedef ARRAY(struct undo_item) undo_stack;

struct syn_undo {
    syn_doc *doc;
    uint32_t max_items;
    size_t max_bytes, held; /* held: by the items */
    uint64_t interval, last;
    bool never_group, boundary, open;
    undo_stack undo, redo;
    heirs elements, writers;
    ARRAY(struct brought) brought;
    ARRAY(struct undo_copy) copies;
    uint32_t filled; /* copies that stand for the old one; the others are still empty */
    ARRAY(syn_cursor) selection, restored;
};

/* undo_take.c: new edits, in the open transaction, that take the item back; selection: its cursors,
 * which are moved to elements that came back.  On an error the caller rolls back and calls
 * undo_forget. */
syn_err undo_take(syn_undo *undo, const struct undo_item *item, syn_cursor *selection);

/* ---- heirs (undo_heirs.c) */
/* The event that stands for this one now; *len, the events asked about, is cut to those that share
 * the answer. */
syn_id heirs_follow(const heirs *map, syn_id id, uint32_t *len);
syn_err heirs_add(heirs *map, const syn_mem *mem, syn_id from, syn_id to, uint32_t len);
/* Forgets those that a peer made from that seq on. */
void heirs_forget(heirs *map, uint64_t peer, uint32_t seq);

/* ---- copies (undo_copy.c) */
/* Fills the containers of values that came back.  Last of all, so that steps of the same item are
 * taken back in the old ones before they are copied. */
syn_err undo_fill_copies(syn_undo *undo);
syn_err undo_add_copy(syn_undo *undo, syn_obj old, syn_obj now);
/* The container that stands now for one in which event `lv` acted: who goes on to edit the old one
 * means the old one. */
syn_obj undo_container(const syn_undo *undo, syn_obj obj, lv_t lv);
/* The same, one copy further; *next counts copies, from 0.  false: it was the last. */
bool undo_next_container(const syn_undo *undo, syn_obj *obj, lv_t lv, uint32_t *next);

#endif
