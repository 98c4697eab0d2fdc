/* undo_take.c -- taking an item back: from its events to new edits.
 *
 * Steps are taken back last first.  For each container that is asked about there is a merge of its
 * own (merge.h) for as long as that takes, over a window that holds the item's events; the document
 * keeps its own merges for what comes in.  It says of each element that an event inserted whether
 * it is still there, and of each that an event deleted where it stood and whether another delete
 * took it, too. */
#include "undo.h"

#include "sort.h"
#include "utf8.h"

struct asked {
    syn_obj obj;
    struct sequence_merge *merge;
};

/* Elements that are alike: to be deleted, or to come back. */
struct piece {
    uint32_t id, pos, len;
    uint32_t event; /* which of the step's events has the first element, */
    bool back;      /* ... the one before it the second, and so on */
};

/* Events of one operation run. */
struct chunk {
    syn_obj obj;
    lv_t lv;
    uint32_t len;
    uint32_t event; /* which of the step's events is the first */
};

/* A cursor of the selection, as an element of the tracker. */
struct pin {
    uint32_t cursor, id;
    syn_obj obj;
};

struct taking {
    syn_undo *u;
    syn_doc *doc;
    const struct undo_item *item;
    syn_cursor *selection;
    ARRAY(struct asked) asked;
    ARRAY(struct chunk) chunks;
    ARRAY(struct piece) pieces;
    ARRAY(uint32_t) order;
    ARRAY(char) text;
    ARRAY(uint32_t) offsets; /* of the scalars of the step's text */
    ARRAY(struct pin) pins;
    uint32_t hint;           /* the entry of u->brought that was found last */
    struct tracker *sorting; /* whose order `order` is put in */
};

/* ---- Asking ---------------------------------------------------------------------------------- */

static syn_err asked_of(struct taking *t, syn_obj obj, struct asked **out)
{
    for (uint32_t i = t->asked.n; i-- > 0;)
        if (t->asked.at[i].obj == obj) {
            *out = &t->asked.at[i];
            return SYN_OK;
        }
    syn_err err = array_reserve(&t->doc->mem, &t->asked, 1);
    if (err != SYN_OK) return err;
    struct sequence_merge *merge = merge_new(&t->doc->mem);
    if (merge == NULL) return SYN_ENOMEM;
    *(*out = array_push(&t->asked)) = (struct asked){obj, merge};
    return SYN_OK;
}

/* The merge of a container, over a window with all events above `floor`, at that version. */
static syn_err ask_at(struct taking *t, syn_obj obj, lv_t floor, const lv_t *version,
                      uint32_t count, struct sequence_merge **out)
{
    struct work work;
    struct asked *asked;
    syn_err err = asked_of(t, obj, &asked);
    if (err != SYN_OK) return err;
    const struct merge_source source = source_of(t->doc, container_at(&t->doc->all, obj), &work);
    *out = asked->merge;
    return merge_ask(asked->merge, &source, floor, version, count);
}

/* The same at today's version. */
static syn_err ask_now(struct taking *t, syn_obj obj, lv_t first, struct sequence_merge **out)
{
    uint32_t count;
    const lv_t *heads = graph_frontier(t->doc->graph, &count);
    return ask_at(t, obj, first == 0 ? LV_NONE : first - 1, heads, count, out);
}

/* Adds the operation runs that the events are in.  Events that are not here any more are left
 * out. */
static syn_err add_chunks(struct taking *t, syn_id id, uint32_t len, uint32_t event)
{
    for (uint32_t n; len > 0; id.seq += n, len -= n, event += n) {
        n = 1;
        lv_t lv = doc_find(t->doc, id);
        if (lv == LV_NONE || lv < syn_doc_log_start(t->doc)) continue;
        uint32_t run = oplog_find(&t->doc->log, lv), rest = oplog_run_end(&t->doc->log, run) - lv;
        n = len < rest ? len : rest;
        syn_err err = array_reserve(&t->doc->mem, &t->chunks, 1);
        if (err != SYN_OK) return err;
        *array_push(&t->chunks) = (struct chunk){t->doc->log.runs.at[run].container, lv, n, event};
    }
    return SYN_OK;
}

static syn_err add_piece(struct taking *t, struct piece piece)
{
    syn_err err = array_reserve(&t->doc->mem, &t->pieces, 1);
    if (err == SYN_OK) *array_push(&t->pieces) = piece;
    return err;
}

static bool piece_before(const void *context, uint32_t a, uint32_t b)
{
    const struct taking *t = context;
    const struct piece *x = &t->pieces.at[a], *y = &t->pieces.at[b];
    return x->pos != y->pos ? x->pos < y->pos : tracker_stands_before(t->sorting, x->id, y->id);
}

/* Puts `order` as the pieces stand in the document. */
static syn_err sort_pieces(struct taking *t, struct tracker *tracker)
{
    t->order.n = 0;
    syn_err err = array_reserve(&t->doc->mem, &t->order, t->pieces.n);
    if (err != SYN_OK) return err;
    for (uint32_t i = 0; i < t->pieces.n; i++) *array_push(&t->order) = i;
    t->sorting = tracker;
    sort_indexes(t->order.at, t->order.n, piece_before, t);
    return SYN_OK;
}

static syn_obj container_now(const struct taking *t, const struct undo_step *step)
{
    return undo_container(t->u, step->obj, doc_find(t->doc, step->first));
}

static bool may_edit(const syn_doc *doc, syn_obj obj)
{
    return container_at(&doc->all, obj)->id.form == CONTAINER_ROOT ||
           doc_container_exists(doc, obj);
}

static lv_t first_event(const syn_doc *doc, syn_obj obj)
{
    return doc->log.runs.at[container_at(&doc->all, obj)->runs.at[0]].lv;
}

/* ---- What was inserted goes ------------------------------------------------------------------ */

static syn_err delete_range(struct taking *t, syn_obj obj, uint32_t pos, uint32_t len)
{
    return syn_obj_kind(t->doc, obj) == SYN_TEXT ? syn_text_delete(t->doc, obj, pos, len)
                                                 : syn_list_delete(t->doc, obj, pos, len);
}

/* From the last to the first, so that positions stay right; what is adjacent goes together. */
static syn_err delete_pieces(struct taking *t, syn_obj obj)
{
    syn_err err = SYN_OK;
    for (uint32_t i = t->order.n; err == SYN_OK && i > 0;) {
        struct piece range = t->pieces.at[t->order.at[--i]];
        for (; i > 0; i--) {
            const struct piece *before = &t->pieces.at[t->order.at[i - 1]];
            if (before->pos + before->len != range.pos) break;
            range.pos = before->pos;
            range.len += before->len;
        }
        err = delete_range(t, obj, range.pos, range.len);
    }
    return err;
}

/* The elements of the chunks in one container that are still there; those chunks are done then. */
static syn_err find_living(struct taking *t, syn_obj obj, struct sequence_merge **merge)
{
    lv_t first = LV_NONE;
    uint32_t kept = 0;
    for (uint32_t i = 0; i < t->chunks.n; i++)
        if (t->chunks.at[i].obj == obj && t->chunks.at[i].lv < first) first = t->chunks.at[i].lv;
    syn_err err = ask_now(t, obj, first, merge);
    if (err != SYN_OK) return err;
    t->pieces.n = 0;
    for (uint32_t i = 0; err == SYN_OK && i < t->chunks.n; i++) {
        struct chunk chunk = t->chunks.at[i];
        if (chunk.obj != obj) {
            t->chunks.at[kept++] = chunk;
            continue;
        }
        while (err == SYN_OK && chunk.len > 0) {
            struct tracker_place place =
                tracker_place_of((*merge)->tracker, merge_id(*merge, chunk.lv), chunk.len);
            if (!place.gone)
                err = add_piece(t, (struct piece){place.id, place.pos, place.len, 0, false});
            chunk.lv += place.len;
            chunk.len -= place.len;
        }
    }
    t->chunks.n = kept;
    return err;
}

/* One delete taken back: its targets that the window knows by their events have heirs. */
static syn_err learn_one(struct taking *t, const struct sequence_merge *merge,
                         const struct brought *brought, lv_t lv, uint32_t event, uint32_t *len)
{
    bool back;
    uint32_t element = tracker_target(merge->tracker, merge_id(merge, lv), len, &back);
    syn_err err = SYN_OK;
    if (element == UINT32_MAX || element < merge->base_len) return SYN_OK;
    for (uint32_t i = 0, n; err == SYN_OK && i < *len; i += n) {
        lv_t target = merge_lv(merge, back ? element - i : element + i);
        uint32_t rest =
            graph_run_at(t->doc->graph, graph_run_of(t->doc->graph, target)).end - target;
        n = back || brought->back ? 1 : *len - i < rest ? *len - i : rest;
        uint32_t off = brought->back ? brought->len - 1 - (event + i) : event + i;
        err = heirs_add(&t->u->elements, &t->doc->mem, doc_id(t->doc, target),
                        (syn_id){brought->to.peer, brought->to.seq + off}, n);
    }
    return err;
}

/* Who stands for elements of a window: asked when it is the one of an insert. */
static syn_err learn_heirs(struct taking *t, syn_obj obj, lv_t first)
{
    struct sequence_merge *merge;
    syn_err err = ask_now(t, obj, first, &merge);
    for (uint32_t i = 0; err == SYN_OK && i < t->u->brought.n; i++) {
        const struct brought *brought = &t->u->brought.at[i];
        if (brought->obj != obj) continue;
        t->chunks.n = 0;
        err = add_chunks(t, brought->from, brought->len, 0);
        for (uint32_t k = 0; err == SYN_OK && k < t->chunks.n; k++) {
            struct chunk chunk = t->chunks.at[k];
            if (chunk.lv < merge->window) continue;
            for (uint32_t n; err == SYN_OK && chunk.len > 0;
                 chunk.lv += n, chunk.event += n, chunk.len -= n) {
                n = chunk.len;
                err = learn_one(t, merge, brought, chunk.lv, chunk.event, &n);
            }
        }
    }
    return err;
}

static syn_err take_insert(struct taking *t, const struct undo_step *step)
{
    lv_t first = doc_find(t->doc, step->first);
    syn_obj obj = step->obj;
    uint32_t next = 0;
    syn_err err = SYN_OK;
    if (first != LV_NONE && first >= syn_doc_log_start(t->doc)) err = learn_heirs(t, obj, first);
    while (err == SYN_OK && undo_next_container(t->u, &obj, first, &next))
        if (container_at(&t->doc->all, obj)->runs.n > 0)
            err = learn_heirs(t, obj, first_event(t->doc, obj));
    t->chunks.n = 0;
    for (uint32_t done = 0, n; err == SYN_OK && done < step->len; done += n) {
        n = step->len - done;
        syn_id id = {step->first.peer, step->first.seq + done};
        id = heirs_follow(&t->u->elements, id, &n);
        err = add_chunks(t, id, n, done);
    }
    while (err == SYN_OK && t->chunks.n > 0) { /* mostly one container, the step's */
        struct sequence_merge *merge;
        obj = t->chunks.at[0].obj;
        err = find_living(t, obj, &merge);
        if (err == SYN_OK) err = sort_pieces(t, merge->tracker);
        if (err == SYN_OK && may_edit(t->doc, obj)) err = delete_pieces(t, obj);
    }
    return err;
}

/* ---- What was deleted comes back ------------------------------------------------------------- */

/* Elements that `len` events from one on deleted, as far as nobody else did. */
static syn_err add_deleted(struct taking *t, struct tracker *tracker, uint32_t id, uint32_t len,
                           uint32_t event)
{
    syn_err err = SYN_OK;
    bool back;
    for (uint32_t n; err == SYN_OK && len > 0; id += n, len -= n, event += n) {
        n = len;
        uint32_t element = tracker_target(tracker, id, &n, &back);
        if (element == UINT32_MAX) continue;
        uint32_t low = back ? element - (n - 1) : element;
        for (uint32_t done = 0; err == SYN_OK && done < n;) {
            struct tracker_place place = tracker_place_of(tracker, low + done, n - done);
            uint32_t which = back ? event + (n - 1 - done) : event + done;
            if (place.gone && place.deletes == 1)
                err = add_piece(t, (struct piece){place.id, place.pos, place.len, which, back});
            done += place.len;
        }
    }
    return err;
}

/* The insert that this event is: what it brought back, and by which of a delete's events. */
static const struct brought *brought_by(struct taking *t, syn_obj obj, syn_id id)
{
    uint32_t count = t->u->brought.n;
    for (uint32_t i = 0; i < count; i++, t->hint++) { /* neighbours are mostly in the same one */
        if (t->hint >= count) t->hint = 0;
        const struct brought *brought = &t->u->brought.at[t->hint];
        if (brought->obj == obj && brought->to.peer == id.peer &&
            id.seq - brought->to.seq < brought->len)
            return brought;
    }
    return NULL;
}

/* The element that the event brought back, if that was deleted at or after `since` (in the window);
 * UINT32_MAX: none. */
static uint32_t origin_of(struct taking *t, const struct sequence_merge *merge, syn_obj obj,
                          lv_t since, syn_id event)
{
    uint32_t one = 1;
    bool back;
    const struct brought *brought = brought_by(t, obj, event);
    if (brought == NULL) return UINT32_MAX;
    uint32_t off = event.seq - brought->to.seq;
    if (brought->back) off = brought->len - 1 - off;
    lv_t taken = doc_find(t->doc, (syn_id){brought->from.peer, brought->from.seq + off});
    if (taken == LV_NONE || taken < since) return UINT32_MAX;
    return tracker_target(merge->tracker, merge_id(merge, taken), &one, &back);
}

/* The element, there at `since`, that this one was brought back for, perhaps again and again. */
static uint32_t original_of(struct taking *t, const struct sequence_merge *merge, syn_obj obj,
                            lv_t since, uint32_t id)
{
    for (uint32_t rounds = t->u->brought.n; rounds > 0 && id >= merge->base_len; rounds--) {
        uint32_t origin = origin_of(t, merge, obj, since, doc_id(t->doc, merge_lv(merge, id)));
        if (origin == UINT32_MAX) break;
        id = origin;
    }
    return id;
}

/* What came back into a gap stands before everything deleted there.  So the place of a deleted
 * element is left of those in front of it that came back for elements on its right. */
static void settle(struct taking *t, const struct sequence_merge *merge, syn_obj obj, lv_t since,
                   struct piece *piece)
{
    struct tracker_place place;
    while (piece->pos > 0 && tracker_look(merge->tracker, piece->pos - 1, &place)) {
        uint32_t original = original_of(t, merge, obj, since, place.id);
        if (original == place.id || !tracker_stands_before(merge->tracker, piece->id, original))
            return;
        piece->pos--;
    }
}

static syn_err find_deleted(struct taking *t, const struct undo_step *step,
                            struct sequence_merge **merge)
{
    t->chunks.n = t->pieces.n = 0;
    syn_err err = add_chunks(t, step->first, step->len, 0);
    if (err != SYN_OK || t->chunks.n == 0) return err;
    lv_t first = LV_NONE;
    for (uint32_t i = 0; i < t->chunks.n; i++)
        if (t->chunks.at[i].lv < first) first = t->chunks.at[i].lv;
    lv_t since = first;
    if (container_now(t, step) != step->obj) first = first_event(t->doc, step->obj);
    err = ask_now(t, step->obj, first, merge);
    for (uint32_t i = 0; err == SYN_OK && i < t->chunks.n; i++) {
        const struct chunk *chunk = &t->chunks.at[i];
        err = add_deleted(t, (*merge)->tracker, merge_id(*merge, chunk->lv), chunk->len,
                          chunk->event);
    }
    if (err == SYN_OK) err = sort_pieces(t, (*merge)->tracker);
    if (err != SYN_OK) return err;
    for (uint32_t i = 0; i < t->pieces.n; i++)
        settle(t, *merge, step->obj, since, &t->pieces.at[i]);
    return SYN_OK;
}

/* The elements of the piece are now those that events `to` and following inserted at pos. */
static syn_err succeed(struct taking *t, const struct undo_step *step, const struct piece *piece,
                       syn_id to, uint32_t pos)
{
    for (uint32_t i = 0; i < t->pins.n; i++) {
        const struct pin *pin = &t->pins.at[i];
        uint32_t off = pin->id - piece->id;
        if (pin->obj != step->obj || pin->id < piece->id || off >= piece->len) continue;
        syn_cursor *cursor = &t->selection[pin->cursor];
        *cursor = (syn_cursor){.obj = container_now(t, step),
                               .side = cursor->side,
                               .at = {to.peer, to.seq + off},
                               .index = pos + off};
    }
    syn_err err = array_reserve(&t->doc->mem, &t->u->brought, 1);
    if (err != SYN_OK) return err;
    uint32_t first = piece->back ? piece->event - (piece->len - 1) : piece->event;
    *array_push(&t->u->brought) = (struct brought){
        {step->first.peer, step->first.seq + first}, to, piece->len, step->obj, piece->back};
    return SYN_OK;
}

/* Where each scalar of the step's text begins, and where the last ends. */
static syn_err measure(struct taking *t, const struct undo_step *step)
{
    const char *bytes = t->item->bytes.at + step->at;
    t->offsets.n = 0;
    syn_err err = array_reserve(&t->doc->mem, &t->offsets, (uint64_t)step->len + 1);
    if (err != SYN_OK) return err;
    for (uint32_t i = 0; i < step->bytes; i++)
        if (((unsigned char)bytes[i] & 0xC0) != 0x80) *array_push(&t->offsets) = i;
    *array_push(&t->offsets) = step->bytes;
    return SYN_OK;
}

static syn_err add_text(struct taking *t, const struct undo_step *step, const struct piece *piece)
{
    syn_err err = SYN_OK;
    for (uint32_t i = 0; err == SYN_OK && i < piece->len; i++) {
        uint32_t event = piece->back ? piece->event - i : piece->event + i;
        uint32_t from = t->offsets.at[event], len = t->offsets.at[event + 1] - from;
        err = array_reserve(&t->doc->mem, &t->text, len);
        if (err != SYN_OK) break;
        memcpy(t->text.at + t->text.n, t->item->bytes.at + step->at + from, len);
        t->text.n += len;
    }
    return err;
}

static syn_id next_event(const syn_doc *doc)
{
    return (syn_id){doc->peer, syn_doc_next(doc, doc->peer)};
}

/* Pieces order[from .. end), which stood in one gap, come back there as one insert. */
static syn_err bring_text(struct taking *t, const struct undo_step *step, uint32_t from,
                          uint32_t end, syn_obj obj, uint32_t pos)
{
    syn_err err = SYN_OK;
    t->text.n = 0;
    for (uint32_t i = from; err == SYN_OK && i < end; i++)
        err = add_text(t, step, &t->pieces.at[t->order.at[i]]);
    syn_id to = next_event(t->doc);
    if (err == SYN_OK) err = syn_text_insert(t->doc, obj, pos, (syn_str){t->text.at, t->text.n});
    for (uint32_t i = from; err == SYN_OK && i < end; i++) {
        const struct piece *piece = &t->pieces.at[t->order.at[i]];
        err = succeed(t, step, piece, to, pos);
        to.seq += piece->len;
        pos += piece->len;
    }
    return err;
}

/* The value in a map or list again.  Values of a later version's kinds cannot be written, and stay
 * away. */
static syn_err write_again(struct taking *t, const struct undo_value *value, syn_obj obj,
                           syn_str key, uint32_t pos, bool insert, bool *written)
{
    syn_value plain = arg_value(&value->arg, t->item->bytes.at);
    syn_obj made = SYN_NO_OBJ;
    syn_err err;
    *written = plain.kind <= SYN_VALUE_MERGEABLE;
    if (!*written) return SYN_OK;
    if (syn_obj_kind(t->doc, obj) == SYN_MAP)
        err = syn_map_set(t->doc, obj, key, plain, &made);
    else
        err = insert ? syn_list_insert(t->doc, obj, pos, plain, &made)
                     : syn_list_set(t->doc, obj, pos, plain, &made);
    /* A mergeable child is still the old one, unless its map is a copy. */
    if (err == SYN_OK && plain.kind == SYN_VALUE_MERGEABLE)
        err = syn_map_child_peek(t->doc, obj, key, plain.child, &made);
    if (err != SYN_OK || made == SYN_NO_OBJ) return err;
    syn_obj old = undo_container(t->u, plain.as.obj, 0);
    return old == made ? SYN_OK : undo_add_copy(t->u, old, made);
}

static syn_err bring_items(struct taking *t, const struct undo_step *step,
                           const struct piece *piece, syn_obj obj, uint32_t *pos)
{
    syn_err err = SYN_OK;
    bool written;
    for (uint32_t i = 0; err == SYN_OK && i < piece->len; i++) {
        uint32_t event = piece->back ? piece->event - i : piece->event + i;
        const struct undo_value *value = &t->item->values.at[step->at + event];
        struct piece one = {piece->id + i, piece->pos, 1, event, false};
        syn_id to = next_event(t->doc);
        err = write_again(t, value, obj, (syn_str){0}, *pos, true, &written);
        if (err != SYN_OK || !written) continue;
        err = succeed(t, step, &one, to, *pos);
        if (err == SYN_OK) err = heirs_add(&t->u->elements, &t->doc->mem, value->made, to, 1);
        if (err == SYN_OK) err = heirs_add(&t->u->writers, &t->doc->mem, value->writer, to, 1);
        ++*pos;
    }
    return err;
}

/* Where the first element of the piece stood in the old container, in the copy of it: behind what
 * stands for the element before it, and behind what came back there for elements on its left. */
static syn_err place_in_copy(struct taking *t, const struct undo_step *step,
                             const struct sequence_merge *old, const struct piece *piece,
                             syn_obj copy, uint32_t *pos)
{
    struct tracker_place place;
    struct sequence_merge *merge;
    uint32_t one = 1;
    *pos = 0;
    if (container_at(&t->doc->all, copy)->runs.n == 0) return SYN_OK;
    syn_err err = ask_now(t, copy, first_event(t->doc, copy), &merge);
    if (err != SYN_OK) return err;
    if (piece->pos > 0 && tracker_look(old->tracker, piece->pos - 1, &place) &&
        place.id >= old->base_len) {
        syn_id id = doc_id(t->doc, merge_lv(old, place.id));
        lv_t lv = doc_find(t->doc, heirs_follow(&t->u->elements, id, &one));
        if (lv != LV_NONE && t->doc->log.runs.at[oplog_find(&t->doc->log, lv)].container == copy) {
            place = tracker_place_of(merge->tracker, merge_id(merge, lv), 1);
            *pos = place.pos + (place.gone ? 0 : 1);
        }
    }
    while (tracker_look(merge->tracker, *pos, &place) && place.id >= merge->base_len) {
        uint32_t origin =
            origin_of(t, old, step->obj, old->window, doc_id(t->doc, merge_lv(merge, place.id)));
        if (origin == UINT32_MAX || !tracker_stands_before(old->tracker, origin, piece->id)) break;
        ++*pos;
    }
    return SYN_OK;
}

static syn_err take_delete(struct taking *t, const struct undo_step *step)
{
    struct sequence_merge *merge = NULL;
    syn_obj obj = container_now(t, step);
    syn_err err = find_deleted(t, step, &merge);
    if (err != SYN_OK || t->chunks.n == 0 || !may_edit(t->doc, obj)) return err;
    bool text = syn_obj_kind(t->doc, obj) == SYN_TEXT;
    if (text) err = measure(t, step);
    for (uint32_t end = t->order.n, from; err == SYN_OK && end > 0; end = from) {
        uint32_t pos = t->pieces.at[t->order.at[end - 1]].pos;
        for (from = end - 1; from > 0 && obj == step->obj; from--)
            if (t->pieces.at[t->order.at[from - 1]].pos != pos) break;
        if (obj != step->obj)
            err = place_in_copy(t, step, merge, &t->pieces.at[t->order.at[from]], obj, &pos);
        if (err != SYN_OK) break;
        if (text) err = bring_text(t, step, from, end, obj, pos);
        for (uint32_t i = from; !text && err == SYN_OK && i < end; i++)
            err = bring_items(t, step, &t->pieces.at[t->order.at[i]], obj, &pos);
    }
    return err;
}

/* ---- Values ---------------------------------------------------------------------------------- */

static bool same_id(syn_id a, syn_id b)
{
    return a.peer == b.peer && a.seq == b.seq;
}

static syn_id id_of(const syn_doc *doc, uint32_t agent, uint32_t seq)
{
    return (syn_id){graph_agent_peer(doc->graph, agent), seq};
}

/* The event that stands for the step's write. */
static syn_id writer_now(const struct taking *t, syn_id id)
{
    uint32_t one = 1;
    return heirs_follow(&t->u->writers, id, &one);
}

/* Where the item stands whose value a step set, and in which list; false: it has gone. */
static syn_err find_item(struct taking *t, const struct undo_step *step, syn_id made, syn_obj *obj,
                         uint32_t *pos, bool *found)
{
    uint32_t one = 1;
    struct sequence_merge *merge;
    struct tracker_place place;
    syn_id now = heirs_follow(&t->u->elements, made, &one);
    bool came_back = !same_id(now, made);
    lv_t lv = doc_find(t->doc, came_back ? now : step->first);
    *found = false;
    if (lv == LV_NONE || lv < syn_doc_log_start(t->doc)) return SYN_OK;
    *obj = t->doc->log.runs.at[oplog_find(&t->doc->log, lv)].container;
    if (came_back) {
        syn_err err = ask_now(t, *obj, lv, &merge);
        if (err != SYN_OK) return err;
        place = tracker_place_of(merge->tracker, merge_id(merge, lv), 1);
    } else { /* at the version of the set, its position is the item's */
        uint32_t at = oplog_piece(&t->doc->log, oplog_find(&t->doc->log, lv), lv, lv + 1).pos;
        syn_err err = ask_at(t, *obj, lv, &lv, 1, &merge);
        if (err != SYN_OK || !tracker_look(merge->tracker, at, &place)) return err;
    }
    *pos = place.pos;
    *found = !place.gone;
    return SYN_OK;
}

static syn_err take_set(struct taking *t, const struct undo_step *step)
{
    const struct undo_value *value = &t->item->values.at[step->at];
    syn_obj obj;
    uint32_t pos;
    bool found, written;
    syn_err err = find_item(t, step, value->made, &obj, &pos, &found);
    if (err != SYN_OK || !found || !may_edit(t->doc, obj)) return err;
    struct writer by = list_slot_at(&container_at(&t->doc->all, obj)->as.list, pos)->set;
    if (!same_id(id_of(t->doc, by.agent, by.seq), writer_now(t, step->first))) return SYN_OK;
    syn_id to = next_event(t->doc);
    err = write_again(t, value, obj, (syn_str){0}, pos, false, &written);
    if (err != SYN_OK || !written) return err;
    return heirs_add(&t->u->writers, &t->doc->mem, value->writer, to, 1);
}

/* The write of a key that decides: a copy has none of a key that was deleted in the old one. */
static bool find_winner(const struct taking *t, const struct undo_step *step, struct map_write *out)
{
    lv_t lv = doc_find(t->doc, step->first);
    syn_obj obj = step->obj;
    uint32_t next = 0;
    bool found = false;
    do {
        struct map_register *reg = map_find(&container_at(&t->doc->all, obj)->as.map, step->key);
        if (reg == NULL || reg->count == 0) continue;
        *out = register_slots(reg)[0];
        found = true;
    } while (undo_next_container(t->u, &obj, lv, &next));
    return found;
}

static syn_err take_key(struct taking *t, const struct undo_step *step)
{
    const struct undo_value *value = &t->item->values.at[step->at];
    syn_obj obj = container_now(t, step);
    struct map_write winner;
    bool written = true;
    if (!may_edit(t->doc, obj) || !find_winner(t, step, &winner)) return SYN_OK;
    if (!same_id(id_of(t->doc, winner.agent, winner.seq), writer_now(t, step->first)))
        return SYN_OK;
    if (value->none && winner.gone) return SYN_OK;
    syn_id to = next_event(t->doc);
    char key[KEY_MAX]; /* names move when one is added */
    syn_str name = names_get(&t->doc->names, step->key);
    memcpy(key, name.data, name.len);
    name.data = key;
    syn_value shown;
    if (value->none && syn_map_get(t->doc, obj, name, &shown) != SYN_OK) return SYN_OK;
    syn_err err = value->none ? syn_map_delete(t->doc, obj, name)
                              : write_again(t, value, obj, name, 0, false, &written);
    if (err != SYN_OK || !written || value->writer.peer == 0) return err;
    return heirs_add(&t->u->writers, &t->doc->mem, value->writer, to, 1);
}

static syn_err take_add(struct taking *t, const struct undo_step *step)
{
    syn_obj obj = container_now(t, step);
    if (step->delta == 0 || !may_edit(t->doc, obj)) return SYN_OK;
    return syn_counter_add(t->doc, obj, (int64_t)(0 - (uint64_t)step->delta));
}

static syn_err take_step(struct taking *t, const struct undo_step *step)
{
    switch (step->kind) {
    case UNDO_INSERT:
        return take_insert(t, step);
    case UNDO_DELETE:
        return take_delete(t, step);
    case UNDO_SET:
        return take_set(t, step);
    case UNDO_KEY:
        return take_key(t, step);
    default:
        return take_add(t, step);
    }
}

/* ---- The selection --------------------------------------------------------------------------- */

/* The last event that the cursor's window must not forget: its version, and what is before the
 * item's events in the same container. */
static lv_t floor_of(const struct taking *t, const syn_cursor *cursor, lv_t at)
{
    lv_t floor = at;
    for (uint32_t i = 0; i < t->item->steps.n; i++) {
        const struct undo_step *step = &t->item->steps.at[i];
        lv_t lv = step->obj == cursor->obj ? doc_find(t->doc, step->first) : LV_NONE;
        if (lv != LV_NONE && lv <= floor) floor = lv == 0 ? 0 : lv - 1;
    }
    return floor;
}

/* Notes which element the cursor stands beside, in case it comes back as another.  A cursor whose
 * version is not here is left as it is. */
static syn_err pin(struct taking *t, uint32_t index)
{
    const syn_cursor *cursor = &t->selection[index];
    struct sequence_merge *merge;
    struct tracker_place place;
    if (cursor->at.peer == 0 || sequence_of(t->doc, cursor->obj) == NULL) return SYN_OK;
    lv_t lv = doc_find(t->doc, cursor->at);
    if (lv == LV_NONE) return SYN_OK;
    syn_err err = array_reserve(&t->doc->mem, &t->pins, 1);
    if (err == SYN_OK) err = ask_at(t, cursor->obj, floor_of(t, cursor, lv), &lv, 1, &merge);
    if (err != SYN_OK || !tracker_look(merge->tracker, cursor->index, &place)) return err;
    *array_push(&t->pins) = (struct pin){index, place.id, cursor->obj};
    return SYN_OK;
}

static void taking_free(struct taking *t)
{
    const syn_mem *mem = &t->doc->mem;
    for (uint32_t i = 0; i < t->asked.n; i++) merge_free(t->asked.at[i].merge, mem);
    array_free(mem, &t->asked);
    array_free(mem, &t->chunks);
    array_free(mem, &t->pieces);
    array_free(mem, &t->order);
    array_free(mem, &t->text);
    array_free(mem, &t->offsets);
    array_free(mem, &t->pins);
}

syn_err undo_take(syn_undo *undo, const struct undo_item *item, syn_cursor *selection)
{
    struct taking t = {.u = undo, .doc = undo->doc, .item = item, .selection = selection};
    syn_err err = SYN_OK;
    for (uint32_t i = 0; err == SYN_OK && i < item->selection.n; i++) err = pin(&t, i);
    for (uint32_t i = item->steps.n; err == SYN_OK && i-- > 0;)
        err = take_step(&t, &item->steps.at[i]);
    taking_free(&t);
    return err == SYN_OK ? undo_fill_copies(undo) : err;
}
