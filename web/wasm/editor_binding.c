/* editor_binding.c -- cursors and undo, as JavaScript calls them.
 *
 * A cursor is opaque to JavaScript: the words of a syn_cursor, which it keeps and hands back. */
#include "web.h"

#include "syncline_editor.h"

#include <stdlib.h>
#include <string.h>

static syn_cursor kept; /* what js_cursor_at left, until JavaScript has read it */

static size_t scalar_of(const struct web_doc *d, syn_obj text, uint32_t unit)
{
    return syn_text_position(d->doc, text, SYN_UNIT_UTF16, unit, SYN_UNIT_SCALAR);
}

static uint32_t unit_of(const struct web_doc *d, syn_obj text, size_t pos)
{
    return (uint32_t)syn_text_position(d->doc, text, SYN_UNIT_SCALAR, pos, SYN_UNIT_UTF16);
}

/* out: address and words of the cursor. */
EXPORT(cursor_at)
syn_err js_cursor_at(struct web_doc *d, syn_obj text, uint32_t unit, uint32_t side)
{
    memset(&kept, 0, sizeof kept);
    syn_err err = syn_cursor_at(d->doc, text, scalar_of(d, text, unit), (syn_side)side, &kept);
    web_out_bytes(0, &kept, sizeof kept / sizeof(uint32_t));
    return err;
}

/* out: where it stands.  The cursor is moved up to today's version. */
EXPORT(cursor_pos) syn_err js_cursor_pos(struct web_doc *d, syn_cursor *cursor)
{
    size_t pos = 0;
    syn_err err = syn_cursor_pos(d->doc, cursor, &pos);
    if (!err) web_out[0] = unit_of(d, cursor->obj, pos);
    return err;
}

/* The cursor for the wire: peer (2 words), seq, index, side. */
EXPORT(cursor_make)
syn_err js_cursor_make(uint32_t obj, uint32_t side, uint32_t low, uint32_t high, uint32_t seq,
                       uint32_t index)
{
    memset(&kept, 0, sizeof kept);
    kept.obj = obj;
    kept.side = side != 0 ? SYN_BEFORE : SYN_AFTER;
    kept.at = (syn_id){.peer = (uint64_t)high << 32 | low, .seq = seq};
    kept.index = index;
    web_out_bytes(0, &kept, sizeof kept / sizeof(uint32_t));
    return SYN_OK;
}

/* out: side, peer (2), seq, index. */
EXPORT(cursor_parts) void js_cursor_parts(const syn_cursor *cursor)
{
    web_out[0] = cursor->side;
    web_out_u64(1, cursor->at.peer);
    web_out[3] = cursor->at.seq;
    web_out[4] = cursor->index;
}

/* ---- Selections in presence ------------------------------------------------------------------ */

static bool is_text(const struct web_doc *d, syn_obj obj)
{
    return syn_obj_kind(d->doc, obj) == SYN_TEXT;
}

/* words: container, anchor, head of each. */
EXPORT(doc_select)
syn_err js_doc_select(struct web_doc *d, const uint32_t *words, uint32_t count, double now)
{
    syn_selection at[LIMIT_CURSORS];
    if (count > LIMIT_CURSORS) return SYN_ELIMIT;
    for (uint32_t i = 0; i < count; i++, words += 3) {
        bool text = is_text(d, words[0]);
        at[i].obj = words[0];
        at[i].anchor = text ? scalar_of(d, words[0], words[1]) : words[1];
        at[i].head = text ? scalar_of(d, words[0], words[2]) : words[2];
    }
    return session_select(d->sd, at, count, (uint64_t)now);
}

/* What a session has selected: 3 words each in web_scratch; gives how many. */
EXPORT(doc_selections) uint32_t js_doc_selections(struct web_doc *d, uint32_t number)
{
    syn_selection at[LIMIT_CURSORS];
    uint32_t *words = (uint32_t *)(void *)web_scratch;
    uint32_t count = (uint32_t)session_selections(d->sd, number, at, LIMIT_CURSORS);
    for (uint32_t i = 0; i < count; i++) {
        bool text = is_text(d, at[i].obj);
        *words++ = at[i].obj;
        *words++ = text ? unit_of(d, at[i].obj, at[i].anchor) : (uint32_t)at[i].anchor;
        *words++ = text ? unit_of(d, at[i].obj, at[i].head) : (uint32_t)at[i].head;
    }
    return count;
}

/* ---- Undo ------------------------------------------------------------------------------------ */

EXPORT(undo_new)
syn_undo *js_undo_new(struct web_doc *d, uint32_t interval, uint32_t max_items)
{
    syn_undo *undo = NULL;
    syn_undo_config config = SYN_UNDO_CONFIG_INIT;
    config.interval = interval;
    config.never_group = interval == 0;
    config.max_items = max_items;
    return syn_undo_new(&undo, d->doc, &config) == SYN_OK ? undo : NULL;
}

EXPORT(undo_free) void js_undo_free(syn_undo *undo)
{
    syn_undo_free(undo);
}

EXPORT(undo_begin) syn_err js_undo_begin(syn_undo *undo)
{
    return syn_undo_begin(undo);
}

EXPORT(undo_commit) syn_err js_undo_commit(syn_undo *undo, double now)
{
    return syn_undo_commit(undo, (uint64_t)now);
}

EXPORT(undo_boundary) void js_undo_boundary(syn_undo *undo)
{
    syn_undo_boundary(undo);
}

EXPORT(undo_undo) syn_err js_undo_undo(syn_undo *undo)
{
    return syn_undo_undo(undo);
}

EXPORT(undo_redo) syn_err js_undo_redo(syn_undo *undo)
{
    return syn_undo_redo(undo);
}

EXPORT(undo_count) uint32_t js_undo_count(const syn_undo *undo)
{
    return (uint32_t)syn_undo_count(undo);
}

EXPORT(undo_redo_count) uint32_t js_undo_redo_count(const syn_undo *undo)
{
    return (uint32_t)syn_undo_redo_count(undo);
}

EXPORT(undo_clear) void js_undo_clear(syn_undo *undo)
{
    syn_undo_clear(undo);
}

/* A selection is two cursors, anchor and head; its ends look inward, so that it does not grow. */
EXPORT(undo_select)
syn_err js_undo_select(struct web_doc *d, syn_undo *undo, syn_obj text, uint32_t anchor,
                       uint32_t head)
{
    syn_cursor ends[2];
    syn_side first = anchor < head ? SYN_BEFORE : SYN_AFTER;
    syn_side second = head < anchor ? SYN_BEFORE : SYN_AFTER;
    syn_err err = syn_cursor_at(d->doc, text, scalar_of(d, text, anchor), first, &ends[0]);
    if (!err) err = syn_cursor_at(d->doc, text, scalar_of(d, text, head), second, &ends[1]);
    return err ? err : syn_undo_select(undo, ends, 2);
}

/* out: text, anchor, head; gives how many cursors there are. */
EXPORT(undo_selection) uint32_t js_undo_selection(struct web_doc *d, const syn_undo *undo)
{
    const syn_cursor *cursors;
    size_t pos = 0, count = syn_undo_selection(undo, &cursors);
    if (count != 2) return 0;
    for (uint32_t i = 0; i < 2; i++) {
        syn_cursor cursor = cursors[i];
        if (syn_cursor_pos(d->doc, &cursor, &pos)) return 0;
        web_out[i + 1] = unit_of(d, cursor.obj, pos);
        web_out[0] = cursor.obj;
    }
    return 2;
}
