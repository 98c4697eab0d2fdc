/* edit.c -- local edits, alone or gathered in a transaction.
 *
 * A local edit's parents are all that is here, so it acts as it says: no merge, ever.  Everything
 * that may fail comes first; then graph, log and state change together.  Inside a transaction each
 * edit also notes how to take itself back. */
#include "doc.h"

#include "utf8.h"

/* What the caller edits: the container, and the event it will be. */
struct edit {
    struct container *c;
    syn_obj obj;
    lv_t lv;
};

static syn_err begin_edit(syn_doc *doc, syn_obj obj, uint32_t kind, struct edit *edit)
{
    if (obj >= doc->all.list.n) return doc_refuse(doc, SYN_EMISUSE, "no such container");
    edit->c = container_at(&doc->all, obj);
    if (edit->c->id.kind != kind)
        return doc_refuse(doc, SYN_EKIND, "the container is of another kind");
    if (edit->c->id.form != CONTAINER_ROOT && !doc_container_exists(doc, obj))
        return doc_refuse(doc, SYN_ENOTFOUND, "the event that made the container is not here");
    if (doc->peer == 0) return doc_refuse(doc, SYN_EMISUSE, "set a peer before editing");
    if (doc->agent == AGENT_NONE) {
        syn_err err = graph_agent_add(doc->graph, doc->peer, &doc->agent);
        if (err != SYN_OK) return err;
    }
    edit->obj = obj;
    edit->lv = doc->log.end;
    assert(edit->lv == graph_len(doc->graph));
    return SYN_OK;
}

/* A new run of the graph: the agent is another, or there are several heads. */
static syn_err push_run(syn_doc *doc, uint32_t len, bool *joins)
{
    uint32_t count, runs = graph_run_count(doc->graph);
    uint32_t seq = graph_agent_next(doc->graph, doc->agent);
    if (len > SEQ_MAX - seq)
        return doc_refuse(doc, SYN_ELIMIT, "more than %u events of one peer", SEQ_MAX);
    const lv_t *frontier = graph_frontier(doc->graph, &count);
    lv_t one = count > 0 ? frontier[0] : 0;
    if (count > 1) { /* copied: pushing changes the frontier */
        syn_err err = desk_open(doc);
        if (err != SYN_OK) return err;
        doc->desk->parents.n = 0;
        err = array_reserve(&doc->mem, &doc->desk->parents, count);
        if (err != SYN_OK) return err;
        memcpy(doc->desk->parents.at, frontier, count * sizeof *frontier);
    }
    syn_err err = graph_push(doc->graph, doc->agent, seq, len,
                             count > 1 ? doc->desk->parents.at : &one, count);
    *joins = err == SYN_OK && graph_run_count(doc->graph) == runs;
    return err;
}

/* Adds the events to the graph, with everything here as their parents.  joins: they go on where the
 * last event stands. */
static inline syn_err push_events(syn_doc *doc, const struct edit *edit, uint32_t len, bool *joins)
{
    if (len > doc->max_events - edit->lv)
        return doc_refuse(doc, SYN_ELIMIT, "more than %u events in one document", doc->max_events);
    *joins = graph_extend(doc->graph, doc->agent, len);
    return *joins ? SYN_OK : push_run(doc, len, joins);
}

/* ---- Taking back ----------------------------------------------------------------------------- */

/* Room to note one edit with so much saved state; inside a transaction only. */
static syn_err undo_reserve(syn_doc *doc, size_t bytes, uint32_t writes, uint32_t slots)
{
    if (!in_transaction(doc)) return SYN_OK;
    syn_err err = array_reserve(&doc->mem, &doc->txn->undo, 1);
    if (err == SYN_OK) err = array_reserve(&doc->mem, &doc->txn->bytes, bytes);
    if (err == SYN_OK) err = array_reserve(&doc->mem, &doc->txn->writes, writes);
    return err == SYN_OK ? array_reserve(&doc->mem, &doc->txn->slots, slots) : err;
}

/* Where the next state of a container of that kind will be saved. */
static uint32_t save_place(const struct transaction *txn, uint32_t kind)
{
    if (kind == SYN_TEXT) return txn->bytes.n;
    return kind == SYN_MAP ? txn->writes.n : txn->slots.n;
}

/* The edit is done: notes how to take it back, and that its container has had an event.  What it
 * saved is pushed behind that. */
static void note_edit(syn_doc *doc, struct undo undo)
{
    struct container *c = container_at(&doc->all, undo.container);
    undo.touched = c->touched;
    c->touched = true;
    if (!in_transaction(doc)) return;
    undo.saved = save_place(doc->txn, c->id.kind);
    *array_push(&doc->txn->undo) = undo;
}

/* The same of text, which has nothing to note outside a transaction. */
static inline void note_text(syn_doc *doc, struct container *c, syn_obj obj, uint32_t kind,
                             uint32_t pos, uint32_t len)
{
    if (in_transaction(doc))
        note_edit(doc, (struct undo){.container = obj, .kind = kind, .pos = pos, .len = len});
    else
        c->touched = true;
}

static void save_text(void *user, const char *utf8, size_t bytes)
{
    struct transaction *txn = user;
    memcpy(txn->bytes.at + txn->bytes.n, utf8, bytes);
    txn->bytes.n += (uint32_t)bytes;
}

syn_err syn_begin(syn_doc *doc)
{
    if (in_transaction(doc)) return doc_refuse(doc, SYN_EMISUSE, "a transaction is open already");
    if (doc->txn == NULL) doc->txn = mem_zalloc(&doc->mem, sizeof *doc->txn);
    if (doc->txn == NULL) return SYN_ENOMEM;
    struct doc_mark mark = doc_mark(doc);
    doc->txn->open = true;
    doc->txn->log = mark.log;
    doc->txn->containers = mark.containers;
    doc->txn->names = mark.names;
    doc->txn->records = mark.records;
    return SYN_OK;
}

static void end_transaction(syn_doc *doc)
{
    doc->txn->open = false;
    doc->txn->undo.n = doc->txn->bytes.n = doc->txn->writes.n = doc->txn->slots.n = 0;
    doc->records_visible = doc->records.n;
}

syn_err syn_commit(syn_doc *doc)
{
    if (!in_transaction(doc)) return doc_refuse(doc, SYN_EMISUSE, "no transaction is open");
    end_transaction(doc);
    return SYN_OK;
}

static syn_err reserve_undo_of(syn_doc *doc, const struct undo *undo)
{
    struct container *c = container_at(&doc->all, undo->container);
    if (c->id.kind == SYN_TEXT) {
        c->need_edits++;
        c->need_bytes += undo->kind == OP_DELETE ? undo->saved_len : 0;
        return rope_reserve(c->as.text, c->need_edits, c->need_bytes);
    }
    if (c->id.kind == SYN_LIST && undo->kind == OP_DELETE) {
        c->need_bytes += undo->len;
        return list_reserve(&c->as.list, &doc->mem, (uint32_t)c->need_bytes);
    }
    return SYN_OK;
}

static syn_err reserve_rollback(syn_doc *doc)
{
    syn_err err = SYN_OK;
    for (uint32_t i = 0; err == SYN_OK && i < doc->txn->undo.n; i++)
        err = reserve_undo_of(doc, &doc->txn->undo.at[i]);
    for (uint32_t i = 0; i < doc->txn->undo.n; i++) {
        struct container *c = container_at(&doc->all, doc->txn->undo.at[i].container);
        c->need_edits = 0;
        c->need_bytes = 0;
    }
    return err;
}

static void undo_text(syn_doc *doc, struct container *c, const struct undo *undo)
{
    if (undo->kind == OP_DELETE)
        rope_insert(c->as.text, undo->pos, doc->txn->bytes.at + undo->saved, undo->saved_len,
                    undo->len);
    else
        rope_delete(c->as.text, undo->pos, undo->len);
}

static void undo_list(syn_doc *doc, struct container *c, const struct undo *undo)
{
    if (undo->kind == OP_LIST_INSERT) { /* nothing was saved: there may be no slots */
        list_delete(&c->as.list, undo->pos, undo->len);
    } else if (undo->kind == OP_LIST_SET) {
        *list_slot_at(&c->as.list, undo->pos) = doc->txn->slots.at[undo->saved];
    } else {
        list_open(&c->as.list, undo->pos, undo->len);
        for (uint32_t i = 0; i < undo->len; i++)
            *list_slot_at(&c->as.list, undo->pos + i) = doc->txn->slots.at[undo->saved + i];
    }
}

static void undo_one(syn_doc *doc, const struct undo *undo)
{
    struct container *c = container_at(&doc->all, undo->container);
    switch (c->id.kind) {
    case SYN_TEXT:
        undo_text(doc, c, undo);
        break;
    case SYN_LIST:
        undo_list(doc, c, undo);
        break;
    case SYN_MAP:
        map_put_back(&c->as.map, undo->key,
                     undo->saved_len > 0 ? doc->txn->writes.at + undo->saved : NULL,
                     undo->saved_len);
        break;
    default:
        c->as.counter = (int64_t)((uint64_t)c->as.counter - (uint64_t)undo->delta);
        break;
    }
    c->touched = undo->touched;
}

syn_err syn_rollback(syn_doc *doc)
{
    if (!in_transaction(doc)) return doc_refuse(doc, SYN_EMISUSE, "no transaction is open");
    syn_err err = reserve_rollback(doc);
    if (err != SYN_OK)
        return doc_refuse(doc, err, "no memory to roll back; the transaction is still open");
    for (uint32_t i = doc->txn->undo.n; i-- > 0;) undo_one(doc, &doc->txn->undo.at[i]);
    /* Containers and names that were met in the transaction stay known: the caller may hold their
     * numbers. */
    struct doc_mark mark = {doc->txn->log, doc->all.list.n, doc->names.list.n, doc->txn->records};
    end_transaction(doc);
    doc_undo_append(doc, mark);
    doc->records_visible = doc->records.n;
    return SYN_OK;
}

/* ---- Text ------------------------------------------------------------------------------------ */

/* May an edit of `text` go on where the last event acted?  Outside a transaction, with room for one
 * run and one record more, in the container of the last event: it is here then, and can be edited.
 * (Whether the peer is the last event's too, and there is but one head, graph_extend asks.) */
static inline struct container *goes_on(syn_doc *doc, syn_obj text)
{
    const struct oplog *log = &doc->log;
    if (log->runs.n == 0 || log->runs.at[log->runs.n - 1].container != text) return NULL;
    if (in_transaction(doc) || text == SYN_NO_OBJ) return NULL;
    if (doc->keep_records && doc->records.n == doc->records.cap) return NULL;
    struct container *c = container_at(&doc->all, text);
    return c->id.kind == SYN_TEXT && c->merge == NULL ? c : NULL;
}

/* Typing on: one ASCII character behind the last event, which was a character in the same text, by
 * the same peer; and there is room for it everywhere.  Then two bytes are written and the rest are
 * counts.  It does what syn_text_insert does, with nothing to reserve; false: nothing was done. */
static inline bool type_on(syn_doc *doc, syn_obj text, size_t pos, syn_str utf8)
{
    struct oplog *log = &doc->log;
    if (utf8.len != 1 || (utf8.data[0] & 0x80) != 0 || log->text.n == log->text.cap) return false;
    struct container *c = goes_on(doc, text);
    if (c == NULL || log->end == log->seal || log->end >= doc->max_events) return false;
    const struct op_run *last = &log->runs.at[log->runs.n - 1];
    if (last->kind != OP_TEXT_INSERT || pos != (size_t)last->pos + (log->end - last->lv))
        return false;
    if (c->len >= SEQ_MAX || !rope_can_type(c->as.text, pos)) return false;
    if (!graph_extend(doc->graph, doc->agent, 1)) return false;
    uint32_t at = oplog_push_text(log, utf8);
    log->end++;
    rope_type(c->as.text, utf8.data[0]);
    c->len++;
    records_text(doc, text, true, (uint32_t)pos, 0, 1, at, 1);
    return true;
}

/* Deleting in the text of the last event, by the same peer.  A rope needs no memory to shrink, so
 * it is what syn_text_delete does, with nothing to reserve; false: nothing was done. */
static inline bool delete_on(syn_doc *doc, syn_obj text, size_t pos, size_t len)
{
    struct oplog *log = &doc->log;
    struct container *c = goes_on(doc, text);
    if (c == NULL || len == 0 || pos > c->len || len > c->len - pos) return false;
    if (log->runs.n == log->runs.cap || c->runs.n == c->runs.cap) return false;
    uint32_t count = (uint32_t)len;
    if (count > doc->max_events - log->end || !graph_extend(doc->graph, doc->agent, count))
        return false;
    const struct op_run run = {log->end, (uint32_t)pos, 0, c->len, text, OP_DELETE};
    doc_append(doc, &run, count, true);
    rope_delete(c->as.text, pos, len);
    c->len -= count;
    records_text(doc, text, true, (uint32_t)pos, count, 0, 0, 0);
    return true;
}

syn_err syn_text_insert(syn_doc *doc, syn_obj text, size_t pos, syn_str utf8)
{
    if (SHORT_CUTS && type_on(doc, text, pos, utf8)) return SYN_OK;
    struct edit edit = {0};
    size_t len;
    syn_err err = begin_edit(doc, text, SYN_TEXT, &edit);
    if (err != SYN_OK) return err;
    struct container *c = edit.c;
    if (pos > c->len) return doc_refuse(doc, SYN_ERANGE, "insert at %zu of %u", pos, c->len);
    if (!utf8_check(utf8.data, utf8.len, &len))
        return doc_refuse(doc, SYN_EUTF8, "the text is not valid UTF-8");
    if (len == 0) return SYN_OK;
    if (len > SEQ_MAX - c->len) return doc_refuse(doc, SYN_ELIMIT, "the text would be too long");
    if (c->as.text == NULL && (c->as.text = rope_new(doc->shared)) == NULL) return SYN_ENOMEM;
    err = rope_reserve(c->as.text, 1, utf8.len);
    if (err == SYN_OK) err = doc_reserve_append(doc, text, utf8.len, 0);
    if (err == SYN_OK) err = records_reserve(doc, 1);
    if (err == SYN_OK) err = undo_reserve(doc, 0, 0, 0);
    bool joins = false;
    if (err == SYN_OK) err = push_events(doc, &edit, (uint32_t)len, &joins);
    if (err != SYN_OK) return err;

    uint32_t at = oplog_push_text(&doc->log, utf8), count = (uint32_t)len;
    doc->log.wide |= len != utf8.len;
    doc_append(doc, &(struct op_run){edit.lv, (uint32_t)pos, at, c->len, text, OP_TEXT_INSERT},
               count, joins);
    rope_insert(c->as.text, pos, utf8.data, utf8.len, len);
    c->len += count;
    if (c->merge != NULL && merge_is_stale(c->merge, edit.lv)) drop_merge(doc, c);
    note_text(doc, c, text, OP_TEXT_INSERT, (uint32_t)pos, count);
    records_text(doc, text, true, (uint32_t)pos, 0, count, at, (uint32_t)utf8.len);
    return SYN_OK;
}

static size_t range_bytes(const struct rope *rope, size_t pos, size_t len)
{
    return rope_to_byte(rope, pos + len) - rope_to_byte(rope, pos);
}

syn_err syn_text_delete(syn_doc *doc, syn_obj text, size_t pos, size_t len)
{
    if (SHORT_CUTS && delete_on(doc, text, pos, len)) return SYN_OK;
    struct edit edit = {0};
    syn_err err = begin_edit(doc, text, SYN_TEXT, &edit);
    if (err != SYN_OK) return err;
    struct container *c = edit.c;
    if (pos > c->len || len > c->len - pos)
        return doc_refuse(doc, SYN_ERANGE, "delete %zu at %zu of %u", len, pos, c->len);
    if (len == 0) return SYN_OK;
    size_t saved = in_transaction(doc) ? range_bytes(c->as.text, pos, len) : 0;
    err = rope_reserve(c->as.text, 1, 0);
    if (err == SYN_OK) err = doc_reserve_append(doc, text, 0, 0);
    if (err == SYN_OK) err = records_reserve(doc, 1);
    if (err == SYN_OK) err = undo_reserve(doc, saved, 0, 0);
    bool joins = false;
    if (err == SYN_OK) err = push_events(doc, &edit, (uint32_t)len, &joins);
    if (err != SYN_OK) return err;

    if (in_transaction(doc)) {
        note_edit(doc, (struct undo){.container = text,
                                     .kind = OP_DELETE,
                                     .pos = (uint32_t)pos,
                                     .len = (uint32_t)len,
                                     .saved_len = (uint32_t)saved});
        rope_visit(c->as.text, pos, len, save_text, doc->txn);
    }
    doc_append(doc, &(struct op_run){edit.lv, (uint32_t)pos, 0, c->len, text, OP_DELETE},
               (uint32_t)len, joins);
    rope_delete(c->as.text, pos, len);
    c->len -= (uint32_t)len;
    if (c->merge != NULL && merge_is_stale(c->merge, edit.lv)) drop_merge(doc, c);
    records_text(doc, text, true, (uint32_t)pos, (uint32_t)len, 0, 0, 0);
    return SYN_OK;
}

/* ---- Map, list, counter ---------------------------------------------------------------------- */

/* A caller's value in the form in which values travel; of a child only the kind. */
static struct change_value travelling(const syn_value *value)
{
    struct change_value out = {.kind = value->kind};
    switch (value->kind) {
    case SYN_VALUE_INT:
        out.i = value->as.i;
        break;
    case SYN_VALUE_REAL:
        out.real = value->as.real;
        break;
    case SYN_VALUE_CHILD:
    case SYN_VALUE_MERGEABLE:
        out.i = value->child;
        break;
    case SYN_VALUE_STRING:
    case SYN_VALUE_BYTES:
        out.blob = value->as.str;
        break;
    default:
        break;
    }
    return out;
}

static syn_err check_value(syn_doc *doc, const struct change_value *value, bool in_map)
{
    bool child = value->kind == SYN_VALUE_CHILD || value->kind == SYN_VALUE_MERGEABLE;
    if (value->kind > SYN_VALUE_MERGEABLE)
        return doc_refuse(doc, SYN_EKIND, "no such kind of value");
    if (child && (value->i < 0 || value->i > SYN_TREE))
        return doc_refuse(doc, SYN_EKIND, "no such kind of container");
    if (value->kind == SYN_VALUE_MERGEABLE && !in_map)
        return doc_refuse(doc, SYN_EKIND, "mergeable children live in maps only");
    return value_check(doc, value, in_map);
}

/* One event with an arg: reserved, appended, planned and carried out.  `value` NULL: no value. */
static syn_err edit_with_arg(syn_doc *doc, struct edit *edit, uint32_t op, uint32_t pos,
                             uint32_t key, const struct change_value *value, syn_obj *made)
{
    syn_err err = desk_open(doc);
    if (err != SYN_OK) return err;
    struct doc_mark mark = {oplog_mark(&doc->log), doc->all.list.n, doc->names.list.n,
                            doc->records.n};
    syn_obj obj = edit->obj;
    struct op_arg arg = {.key = key, .kind = SYN_VALUE_NULL};
    bool joins = false;
    err = doc_reserve_append(doc, obj, value == NULL ? 0 : value->blob.len, 1);
    if (err == SYN_OK && value != NULL)
        err =
            value_keep(doc, value, obj, doc->agent, graph_agent_next(doc->graph, doc->agent), &arg);
    edit->c = container_at(&doc->all, obj); /* the table may have moved */
    if (err == SYN_OK) err = push_events(doc, edit, 1, &joins);
    if (err != SYN_OK) {
        doc_undo_append(doc, mark);
        return err;
    }
    uint32_t at = doc->log.args.n;
    *array_push(&doc->log.args) = arg;
    const struct op_run run = {edit->lv, pos, at, edit->c->len, obj, op};
    doc_append(doc, &run, 1, joins);
    struct op_piece piece = {edit->lv, edit->lv + 1, op, obj, pos, at};
    err = doc_plan(doc, &piece);
    if (err == SYN_OK) err = doc_carry_out(doc, true);
    if (err != SYN_OK) {
        doc_undo_append(doc, mark);
        return err;
    }
    if (made != NULL) *made = arg.kind == SYN_VALUE_CHILD ? arg.as.child.obj : SYN_NO_OBJ;
    return SYN_OK;
}

static syn_err map_edit(syn_doc *doc, syn_obj map, syn_str key, uint32_t op,
                        const struct change_value *value, syn_obj *made)
{
    struct edit edit = {0};
    uint32_t name, saved = 0;
    syn_err err = begin_edit(doc, map, SYN_MAP, &edit);
    if (err == SYN_OK) err = check_key(doc, key);
    if (err == SYN_OK && value != NULL) err = check_value(doc, value, true);
    if (err == SYN_OK) err = names_add(&doc->names, &doc->mem, key, &name);
    if (err != SYN_OK) return err;
    if (in_transaction(doc)) {
        err = map_reserve(&edit.c->as.map, &doc->mem, name, true);
        if (err != SYN_OK) return err;
        map_unreserve(&edit.c->as.map, name);
        saved = map_find(&edit.c->as.map, name)->count;
        err = undo_reserve(doc, 0, saved, 0);
        if (err != SYN_OK) return err;
        const struct map_write *writes = register_slots(map_find(&edit.c->as.map, name));
        for (uint32_t i = 0; i < saved; i++)
            doc->txn->writes.at[doc->txn->writes.n + i] = writes[i];
    }
    err = edit_with_arg(doc, &edit, op, 0, name, value, made);
    if (err != SYN_OK) return err;
    note_edit(doc, (struct undo){.container = map, .kind = op, .saved_len = saved, .key = name});
    if (in_transaction(doc)) doc->txn->writes.n += saved;
    return SYN_OK;
}

syn_err syn_map_set(syn_doc *doc, syn_obj map, syn_str key, syn_value value, syn_obj *made)
{
    const struct change_value out = travelling(&value);
    return map_edit(doc, map, key, OP_MAP_SET, &out, made);
}

syn_err syn_map_delete(syn_doc *doc, syn_obj map, syn_str key)
{
    syn_value before;
    syn_err err = syn_map_get(doc, map, key, &before);
    if (err != SYN_OK) return doc_refuse(doc, err, "no such key");
    return map_edit(doc, map, key, OP_MAP_DELETE, NULL, NULL);
}

syn_err syn_map_child_peek(syn_doc *doc, syn_obj map, syn_str key, syn_kind kind, syn_obj *out)
{
    uint32_t name;
    if (map >= doc->all.list.n || container_at(&doc->all, map)->id.kind != SYN_MAP)
        return doc_refuse(doc, SYN_EKIND, "mergeable children live in maps only");
    syn_err err = check_key(doc, key);
    if (err == SYN_OK) err = names_add(&doc->names, &doc->mem, key, &name);
    return err == SYN_OK ? doc_add_mergeable(doc, map, name, kind, out) : err;
}

syn_err syn_map_child(syn_doc *doc, syn_obj map, syn_str key, syn_kind kind, syn_obj *out)
{
    syn_value now;
    syn_err err = syn_map_child_peek(doc, map, key, kind, out);
    if (err != SYN_OK) return err;
    if (syn_map_get(doc, map, key, &now) == SYN_OK && now.kind == SYN_VALUE_MERGEABLE &&
        now.as.obj == *out)
        return SYN_OK;
    const struct change_value marker = {.kind = SYN_VALUE_MERGEABLE, .i = kind};
    return map_edit(doc, map, key, OP_MAP_SET, &marker, NULL);
}

static syn_err list_edit(syn_doc *doc, syn_obj list, size_t pos, uint32_t op, syn_value value,
                         syn_obj *made)
{
    struct edit edit = {0};
    const struct change_value out = travelling(&value);
    syn_err err = begin_edit(doc, list, SYN_LIST, &edit);
    if (err == SYN_OK) err = check_value(doc, &out, false);
    if (err != SYN_OK) return err;
    bool set = op == OP_LIST_SET;
    if (pos >= (size_t)edit.c->len + (set ? 0 : 1))
        return doc_refuse(doc, SYN_ERANGE, "position %zu of %u", pos, edit.c->len);
    err = undo_reserve(doc, 0, 0, set);
    if (err != SYN_OK) return err;
    set &= in_transaction(doc);
    if (set) /* counted when the edit is done */
        doc->txn->slots.at[doc->txn->slots.n] = *list_slot_at(&edit.c->as.list, (uint32_t)pos);
    err = edit_with_arg(doc, &edit, op, (uint32_t)pos, NAME_NONE, &out, made);
    if (err != SYN_OK) return err;
    note_edit(doc, (struct undo){.container = list, .kind = op, .pos = (uint32_t)pos, .len = 1});
    if (set) doc->txn->slots.n++;
    return SYN_OK;
}

syn_err syn_list_insert(syn_doc *doc, syn_obj list, size_t pos, syn_value value, syn_obj *made)
{
    return list_edit(doc, list, pos, OP_LIST_INSERT, value, made);
}

syn_err syn_list_set(syn_doc *doc, syn_obj list, size_t pos, syn_value value, syn_obj *made)
{
    return list_edit(doc, list, pos, OP_LIST_SET, value, made);
}

syn_err syn_list_delete(syn_doc *doc, syn_obj list, size_t pos, size_t count)
{
    struct edit edit = {0};
    syn_err err = begin_edit(doc, list, SYN_LIST, &edit);
    if (err != SYN_OK) return err;
    struct container *c = edit.c;
    if (pos > c->len || count > c->len - pos)
        return doc_refuse(doc, SYN_ERANGE, "delete %zu at %zu of %u", count, pos, c->len);
    if (count == 0) return SYN_OK;
    uint32_t from = (uint32_t)pos, len = (uint32_t)count;
    err = doc_reserve_append(doc, list, 0, 0);
    if (err == SYN_OK) err = records_reserve(doc, 1);
    if (err == SYN_OK) err = undo_reserve(doc, 0, 0, len);
    bool joins = false;
    if (err == SYN_OK) err = push_events(doc, &edit, len, &joins);
    if (err != SYN_OK) return err;

    note_edit(doc,
              (struct undo){
                  .container = list, .kind = OP_DELETE, .pos = from, .len = len, .saved_len = len});
    for (uint32_t i = 0; in_transaction(doc) && i < len; i++)
        *array_push(&doc->txn->slots) = *list_slot_at(&c->as.list, from + i);
    doc_append(doc, &(struct op_run){edit.lv, from, 0, c->len, list, OP_DELETE}, len, joins);
    list_delete(&c->as.list, from, len);
    c->len -= len;
    if (c->merge != NULL && merge_is_stale(c->merge, edit.lv)) drop_merge(doc, c);
    records_list(doc, list, true, from, len, 0, 0);
    return SYN_OK;
}

syn_err syn_counter_add(syn_doc *doc, syn_obj counter, int64_t delta)
{
    struct edit edit = {0};
    const struct change_value out = {.kind = SYN_VALUE_INT, .i = delta};
    syn_err err = begin_edit(doc, counter, SYN_COUNTER, &edit);
    if (err == SYN_OK) err = undo_reserve(doc, 0, 0, 0);
    if (err == SYN_OK) err = edit_with_arg(doc, &edit, OP_COUNTER_ADD, 0, NAME_NONE, &out, NULL);
    if (err == SYN_OK)
        note_edit(doc, (struct undo){.container = counter, .kind = OP_COUNTER_ADD, .delta = delta});
    return err;
}
