/* position.c -- cursors: a place beside an element, in a version that has one head.
 *
 *     at      a version by its only head              (peer, seq), the same in every replica
 *     index   the element's position in that version
 *
 * Every element can be named so, however many heads the document has: one that the window of the
 * container's merge saw come in, by its own insert and the position that this one speaks of; any
 * other stood already at the window's critical version, and a critical version has one head.  That
 * saves ids in the text (which a document opened without history would lack) and heads in the
 * cursor.
 *
 * Two roads to today's position.  If all that happened since stands in one line, each operation
 * acted as it says, and shifting the position by each of them is exact, for deleted elements too:
 * an insert in a gap goes right behind the visible element on its left, before everything deleted
 * there.  Else the tracker is moved to the version and asked. */
#include "position.h"

struct container *sequence_of(const syn_doc *doc, syn_obj obj)
{
    if (obj >= doc->all.list.n) return NULL;
    struct container *c = container_at(&doc->all, obj);
    return kind_is_sequence(c->id.kind) ? c : NULL;
}

struct merge_source source_of(const syn_doc *doc, const struct container *c, struct work *work)
{
    work->done = 0;
    work->limit = doc_work_limit(doc, doc->log.end);
    return (struct merge_source){&doc->mem, doc->graph, &doc->log, c->runs.at,
                                 c->runs.n, c->len,     work};
}

bool is_in_line(const syn_doc *doc, lv_t lv)
{
    struct lv_range stretch = {lv, doc->log.end};
    return graph_critical_stretch(doc->graph, &stretch) && stretch.end == doc->log.end;
}

syn_err find_event(syn_doc *doc, syn_id id, lv_t *lv)
{
    *lv = doc_find(doc, id);
    if (*lv != LV_NONE) return SYN_OK;
    if (desk_open(doc) != SYN_OK) return SYN_ENOMEM;
    doc->desk->fault = (syn_fault){.missing = id};
    return doc_refuse(doc, has_base(doc) ? SYN_EHISTORY : SYN_EMISSING,
                      "event %016llx:%u is not here", (unsigned long long)id.peer, id.seq);
}

static syn_err no_sequence(syn_doc *doc)
{
    return doc_refuse(doc, SYN_EKIND, "cursors stand in texts and lists");
}

/* Moves the container's merge to a version that is not empty. */
static syn_err ask_at(syn_doc *doc, struct container *c, const lv_t *version, uint32_t count)
{
    struct work work;
    const struct merge_source source = source_of(doc, c, &work);
    if (c->merge == NULL) c->merge = merge_new(doc->shared);
    if (c->merge == NULL) return SYN_ENOMEM;
    syn_err err = merge_ask(c->merge, &source, version[0], version, count);
    if (err != SYN_OK) drop_merge(doc, c); /* half fed */
    return err;
}

/* ---- Making ---------------------------------------------------------------------------------- */

/* The element by a version with one head. */
static void name_element(const syn_doc *doc, const struct container *c, uint32_t id,
                         syn_cursor *out)
{
    bool of_base = id < c->merge->base_len;
    lv_t lv = of_base ? c->merge->window - 1 : merge_lv(c->merge, id);
    out->at = doc_id(doc, lv);
    out->index = of_base ? id : oplog_piece(&doc->log, oplog_find(&doc->log, lv), lv, lv + 1).pos;
}

/* Length of the container in a version, *asked: its merge stands there. */
static syn_err length_in(syn_doc *doc, struct container *c, const lv_t *version, uint32_t count,
                         uint32_t *len, bool *asked)
{
    struct work work;
    const struct merge_source source = source_of(doc, c, &work);
    *len = 0;
    *asked = false;
    if (count == 0) return SYN_OK;
    if (count == 1 && is_in_line(doc, version[0])) {
        *len = merge_length_at(&source, version[0] + 1);
        return SYN_OK;
    }
    syn_err err = ask_at(doc, c, version, count);
    if (err != SYN_OK) return err;
    *asked = true;
    *len = tracker_prepare_len(c->merge->tracker);
    return SYN_OK;
}

static syn_err cursor_in(syn_doc *doc, syn_obj obj, const lv_t *version, uint32_t count, size_t pos,
                         syn_side side, syn_cursor *out)
{
    struct container *c = sequence_of(doc, obj);
    struct tracker_place place;
    uint32_t len;
    bool asked;
    if (c == NULL) return no_sequence(doc);
    if (side != SYN_AFTER && side != SYN_BEFORE)
        return doc_refuse(doc, SYN_EMISUSE, "no such side");
    syn_err err = length_in(doc, c, version, count, &len, &asked);
    if (err != SYN_OK) return err;
    if (pos > len) return doc_refuse(doc, SYN_ERANGE, "position %zu of %u", pos, len);
    *out = (syn_cursor){.obj = obj, .side = side};
    if (pos == (side == SYN_AFTER ? 0 : len)) return SYN_OK; /* keeps to the start, or the end */
    out->index = (uint32_t)pos - (side == SYN_AFTER ? 1 : 0);
    if (count == 1) {
        out->at = doc_id(doc, version[0]);
        return SYN_OK;
    }
    bool there = tracker_look(c->merge->tracker, out->index, &place);
    assert(asked && there);
    (void)there;
    name_element(doc, c, place.id, out);
    return SYN_OK;
}

syn_err syn_cursor_at(syn_doc *doc, syn_obj obj, size_t pos, syn_side side, syn_cursor *out)
{
    uint32_t count;
    const lv_t *heads = graph_frontier(doc->graph, &count);
    return cursor_in(doc, obj, heads, count, pos, side, out);
}

syn_err syn_cursor_from(syn_doc *doc, syn_obj obj, const syn_id *heads, size_t count, size_t pos,
                        syn_side side, syn_cursor *out)
{
    if (count > doc->max_heads)
        return doc_refuse(doc, SYN_ELIMIT, "more than %u heads", doc->max_heads);
    syn_err err = desk_open(doc);
    if (err != SYN_OK) return err;
    doc->desk->parents.n = 0;
    err = array_reserve(&doc->mem, &doc->desk->parents, (uint32_t)count);
    for (size_t i = 0; err == SYN_OK && i < count; i++) {
        lv_t lv;
        err = find_event(doc, heads[i], &lv);
        if (err == SYN_OK) *array_push(&doc->desk->parents) = lv;
    }
    if (err == SYN_OK)
        err = graph_dominators(doc->graph, doc->desk->parents.at, &doc->desk->parents.n);
    if (err != SYN_OK) return err;
    return cursor_in(doc, obj, doc->desk->parents.at, doc->desk->parents.n, pos, side, out);
}

/* ---- Where it is ----------------------------------------------------------------------------- */

/* An element's position; of one that has gone, the place where it stood. */
struct spot_now {
    uint32_t pos;
    bool gone;
};

static void shift_by(struct spot_now *spot, const struct op_piece *piece)
{
    uint32_t len = piece->end - piece->from, from = piece->pos;
    if (piece->kind == OP_LIST_SET) return;
    if (!op_is_delete(piece->kind)) {
        if (from <= spot->pos) spot->pos += len;
        return;
    }
    if (piece->kind == OP_DELETE_BACK) from -= len - 1;
    if (from > spot->pos) return;
    if (spot->pos - from >= len) {
        spot->pos -= len;
    } else {
        spot->pos = from;
        spot->gone = true;
    }
}

/* From a version that is in line to now. */
static syn_err follow_line(syn_doc *doc, const struct container *c, lv_t lv, struct spot_now *spot)
{
    struct work work;
    const struct merge_source source = source_of(doc, c, &work);
    uint32_t len = merge_length_at(&source, lv + 1);
    if (spot->pos >= len + (spot->gone ? 1 : 0))
        return doc_refuse(doc, SYN_ERANGE, "position %u of %u", spot->pos, len);
    for (uint32_t i = merge_first_run_above(&source, lv + 1); i < c->runs.n; i++) {
        uint32_t run = c->runs.at[i];
        lv_t from = doc->log.runs.at[run].lv > lv ? doc->log.runs.at[run].lv : lv + 1;
        struct op_piece piece = oplog_piece(&doc->log, run, from, oplog_run_end(&doc->log, run));
        shift_by(spot, &piece);
    }
    return SYN_OK;
}

static syn_err ask_tracker(syn_doc *doc, struct container *c, lv_t lv, struct spot_now *spot)
{
    struct tracker_place place;
    syn_err err = ask_at(doc, c, &lv, 1);
    if (err != SYN_OK) return err;
    if (!tracker_look(c->merge->tracker, spot->pos, &place))
        return doc_refuse(doc, SYN_ERANGE, "no position %u in that version", spot->pos);
    *spot = (struct spot_now){place.pos, place.gone};
    return SYN_OK;
}

/* What is known of the cursor from now on: a living element by today's version, a gone one with a
 * hint.  Only where that is one head. */
static void move_up(const syn_doc *doc, syn_cursor *cursor, struct spot_now spot)
{
    uint32_t count;
    const lv_t *heads = graph_frontier(doc->graph, &count);
    if (count != 1) return;
    if (spot.gone) {
        cursor->seen = doc_id(doc, heads[0]);
        cursor->gap = spot.pos;
    } else {
        cursor->at = doc_id(doc, heads[0]);
        cursor->index = spot.pos;
        cursor->seen = (syn_id){0};
    }
}

static syn_err find_element(syn_doc *doc, struct container *c, syn_cursor *cursor,
                            struct spot_now *spot)
{
    lv_t lv = cursor->seen.peer == 0 ? LV_NONE : doc_find(doc, cursor->seen);
    *spot = (struct spot_now){cursor->gap, true};
    syn_err err = SYN_OK;
    if (lv != LV_NONE && is_in_line(doc, lv)) {
        err = follow_line(doc, c, lv, spot);
    } else {
        *spot = (struct spot_now){cursor->index, false};
        err = find_event(doc, cursor->at, &lv);
        if (err == SYN_OK)
            err =
                is_in_line(doc, lv) ? follow_line(doc, c, lv, spot) : ask_tracker(doc, c, lv, spot);
    }
    if (err == SYN_OK) move_up(doc, cursor, *spot);
    return err;
}

syn_err syn_cursor_pos(syn_doc *doc, syn_cursor *cursor, size_t *pos)
{
    struct spot_now spot;
    struct container *c = sequence_of(doc, cursor->obj);
    if (c == NULL) return no_sequence(doc);
    if (cursor->at.peer == 0) {
        *pos = cursor->side == SYN_AFTER ? 0 : c->len;
        return SYN_OK;
    }
    syn_err err = find_element(doc, c, cursor, &spot);
    if (err == SYN_OK) *pos = spot.pos + (!spot.gone && cursor->side == SYN_AFTER ? 1 : 0);
    return err;
}

syn_err syn_cursor_alive(syn_doc *doc, syn_cursor *cursor, bool *alive)
{
    struct spot_now spot = {0};
    struct container *c = sequence_of(doc, cursor->obj);
    if (c == NULL) return no_sequence(doc);
    syn_err err = cursor->at.peer == 0 ? SYN_OK : find_element(doc, c, cursor, &spot);
    if (err == SYN_OK) *alive = !spot.gone;
    return err;
}
