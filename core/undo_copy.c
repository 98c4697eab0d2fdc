/* undo_copy.c -- containers that come back as copies.
 *
 * A value that holds a container made by its own event cannot come back as itself: the event that
 * writes it again makes another container.  So the new one gets what the old one holds (hidden
 * containers keep their state), and the tables of heirs learn which of its elements and writes
 * stand for which old ones; then steps that were taken in the old container can be taken back in
 * the new one. */
#include "undo.h"

struct filling {
    syn_undo *u;
    syn_doc *doc;
    syn_obj old, now;
    ARRAY(char) bytes; /* the document's own move when it is edited */
};

syn_err undo_add_copy(syn_undo *undo, syn_obj old, syn_obj now)
{
    for (uint32_t i = undo->filled; i < undo->copies.n; i++)
        if (undo->copies.at[i].old == old && undo->copies.at[i].now == now) return SYN_OK;
    const syn_doc *doc = undo->doc;
    syn_err err = array_reserve(&doc->mem, &undo->copies, 1);
    if (err == SYN_OK)
        *array_push(&undo->copies) = (struct undo_copy){old, now, doc_id(doc, doc->log.end - 1)};
    return err;
}

bool undo_next_container(const syn_undo *undo, syn_obj *obj, lv_t lv, uint32_t *next)
{
    for (uint32_t i = *next; i < undo->filled; i++) { /* copies of copies come later */
        const struct undo_copy *copy = &undo->copies.at[i];
        if (copy->old != *obj || doc_find(undo->doc, copy->made) < lv) continue;
        *obj = copy->now;
        *next = i + 1;
        return true;
    }
    return false;
}

syn_obj undo_container(const syn_undo *undo, syn_obj obj, lv_t lv)
{
    for (uint32_t next = 0; undo_next_container(undo, &obj, lv, &next);) continue;
    return obj;
}

/* Copies a string of the document to where edits do not move it. */
static syn_err hold(struct filling *f, syn_str *str)
{
    f->bytes.n = 0;
    syn_err err = array_reserve(&f->doc->mem, &f->bytes, str->len + 1);
    if (err != SYN_OK) return err;
    if (str->len > 0) memcpy(f->bytes.at, str->data, str->len);
    str->data = f->bytes.at;
    return SYN_OK;
}

static syn_err hold_value(struct filling *f, syn_value *value)
{
    bool blob = value->kind == SYN_VALUE_STRING || value->kind == SYN_VALUE_BYTES;
    return blob ? hold(f, &value->as.str) : SYN_OK;
}

static syn_id id_of(const syn_doc *doc, uint32_t agent, uint32_t seq)
{
    return (syn_id){graph_agent_peer(doc->graph, agent), seq};
}

static syn_id next_event(const syn_doc *doc)
{
    return (syn_id){doc->peer, syn_doc_next(doc, doc->peer)};
}

/* ---- Text ------------------------------------------------------------------------------------ */

/* The elements of one operation run that are still there now have heirs at their positions. */
static syn_err succeed_run(struct filling *f, const struct sequence_merge *merge, lv_t lv, lv_t end,
                           syn_id to)
{
    syn_err err = SYN_OK;
    while (err == SYN_OK && lv < end) {
        struct tracker_place place =
            tracker_place_of(merge->tracker, merge_id(merge, lv), end - lv);
        if (!place.gone)
            err = heirs_add(&f->u->elements, &f->doc->mem, doc_id(f->doc, lv),
                            (syn_id){to.peer, to.seq + place.pos}, place.len);
        lv += place.len;
    }
    return err;
}

static syn_err succeed_text(struct filling *f, struct sequence_merge *merge, syn_id to)
{
    struct work work;
    uint32_t count;
    const struct container *c = container_at(&f->doc->all, f->old);
    const struct merge_source source = source_of(f->doc, c, &work);
    const lv_t *heads = graph_frontier(f->doc->graph, &count);
    lv_t first = f->doc->log.runs.at[c->runs.at[0]].lv;
    syn_err err = merge_ask(merge, &source, first == 0 ? LV_NONE : first - 1, heads, count);
    for (uint32_t i = 0; err == SYN_OK && i < c->runs.n; i++) {
        const struct op_run *run = &f->doc->log.runs.at[c->runs.at[i]];
        if (run->kind == OP_TEXT_INSERT)
            err = succeed_run(f, merge, run->lv, oplog_run_end(&f->doc->log, c->runs.at[i]), to);
    }
    return err;
}

static syn_err fill_text(struct filling *f)
{
    size_t bytes = syn_text_bytes(f->doc, f->old), len = syn_text_len(f->doc, f->old);
    f->bytes.n = 0;
    syn_err err = array_reserve(&f->doc->mem, &f->bytes, bytes);
    if (err != SYN_OK || bytes == 0) return err;
    syn_text_read(f->doc, f->old, 0, len, f->bytes.at, bytes);
    syn_id to = next_event(f->doc);
    err = syn_text_insert(f->doc, f->now, 0, (syn_str){f->bytes.at, bytes});
    if (err != SYN_OK || container_at(&f->doc->all, f->old)->runs.n == 0) return err;
    struct sequence_merge *merge = merge_new(&f->doc->mem);
    if (merge == NULL) return SYN_ENOMEM;
    err = succeed_text(f, merge, to);
    merge_free(merge, &f->doc->mem);
    return err;
}

/* ---- The other kinds ------------------------------------------------------------------------- */

static syn_err fill_list(struct filling *f)
{
    syn_err err = SYN_OK;
    uint32_t pos = 0;
    for (uint32_t i = 0; err == SYN_OK && i < syn_list_len(f->doc, f->old); i++) {
        struct list_slot slot = *list_slot_at(&container_at(&f->doc->all, f->old)->as.list, i);
        syn_value value = doc_value(f->doc, &slot.value);
        syn_id to = next_event(f->doc);
        syn_obj made;
        if (value.kind > SYN_VALUE_MERGEABLE) continue;
        err = hold_value(f, &value);
        if (err == SYN_OK) err = syn_list_insert(f->doc, f->now, pos++, value, &made);
        if (err == SYN_OK && value.kind == SYN_VALUE_CHILD)
            err = undo_add_copy(f->u, value.as.obj, made);
        if (err == SYN_OK)
            err = heirs_add(&f->u->elements, &f->doc->mem,
                            id_of(f->doc, slot.made.agent, slot.made.seq), to, 1);
        if (err == SYN_OK)
            err = heirs_add(&f->u->writers, &f->doc->mem,
                            id_of(f->doc, slot.set.agent, slot.set.seq), to, 1);
    }
    return err;
}

static syn_err fill_key(struct filling *f, const struct map_write *write, uint32_t name)
{
    syn_value value = doc_value(f->doc, &write->value);
    char bytes[KEY_MAX];
    syn_str key = names_get(&f->doc->names, name);
    syn_id to = next_event(f->doc);
    syn_obj made;
    memcpy(bytes, key.data, key.len);
    key.data = bytes;
    if (value.kind > SYN_VALUE_MERGEABLE) return SYN_OK;
    syn_err err = hold_value(f, &value);
    if (err == SYN_OK) err = syn_map_set(f->doc, f->now, key, value, &made);
    if (err == SYN_OK)
        err =
            heirs_add(&f->u->writers, &f->doc->mem, id_of(f->doc, write->agent, write->seq), to, 1);
    if (err == SYN_OK && value.kind == SYN_VALUE_MERGEABLE)
        err = syn_map_child_peek(f->doc, f->now, key, value.child, &made);
    bool child = value.kind == SYN_VALUE_CHILD || value.kind == SYN_VALUE_MERGEABLE;
    return err == SYN_OK && child ? undo_add_copy(f->u, value.as.obj, made) : err;
}

static syn_err fill_map(struct filling *f)
{
    syn_err err = SYN_OK;
    for (uint32_t i = 0; err == SYN_OK; i++) {
        const struct map *map = &container_at(&f->doc->all, f->old)->as.map;
        if (i >= map->registers.n) break;
        uint32_t name = map->registers.at[i].key;
        const struct map_write *winner = map_winner(map, name);
        if (winner == NULL) continue;
        struct map_write write = *winner;
        err = fill_key(f, &write, name);
    }
    return err;
}

static syn_err fill_one(struct filling *f)
{
    int64_t sum;
    switch (syn_obj_kind(f->doc, f->old)) {
    case SYN_TEXT:
        return fill_text(f);
    case SYN_LIST:
        return fill_list(f);
    case SYN_MAP:
        return fill_map(f);
    case SYN_COUNTER:
        sum = syn_counter_get(f->doc, f->old);
        return sum == 0 ? SYN_OK : syn_counter_add(f->doc, f->now, sum);
    default:
        return SYN_OK;
    }
}

syn_err undo_fill_copies(syn_undo *undo)
{
    struct filling f = {.u = undo, .doc = undo->doc};
    syn_err err = SYN_OK;
    for (; err == SYN_OK && undo->filled < undo->copies.n; undo->filled++) {
        f.old = undo->copies.at[undo->filled].old;
        f.now = undo->copies.at[undo->filled].now;
        err = fill_one(&f);
        if (err != SYN_OK) break;
    }
    array_free(&undo->doc->mem, &f.bytes);
    return err;
}
