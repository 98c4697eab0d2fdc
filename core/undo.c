/* undo.c -- the stacks of undo: what goes in, what goes out, how much is kept (layout: undo.h).
 *
 * An open transaction notes how to take each edit back, for syn_rollback.  A commit through this
 * file turns those notes into an item; edits outside cost nothing. */
#include "undo.h"

/* ---- Items ----------------------------------------------------------------------------------- */

static size_t item_bytes(const struct undo_item *item)
{
    return item->steps.cap * sizeof *item->steps.at + item->values.cap * sizeof *item->values.at +
           item->bytes.cap + item->selection.cap * sizeof *item->selection.at;
}

static void item_free(syn_undo *u, struct undo_item *item)
{
    const syn_mem *mem = &u->doc->mem;
    array_free(mem, &item->steps);
    array_free(mem, &item->values);
    array_free(mem, &item->bytes);
    array_free(mem, &item->selection);
}

/* Takes items [0, count) out of the stack. */
static void drop_oldest(syn_undo *u, undo_stack *stack, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        u->held -= item_bytes(&stack->at[i]);
        item_free(u, &stack->at[i]);
    }
    stack->n -= count;
    if (stack->n > 0) memmove(stack->at, stack->at + count, stack->n * sizeof *stack->at);
}

static void drop_last(syn_undo *u, undo_stack *stack)
{
    struct undo_item *last = &stack->at[--stack->n];
    u->held -= item_bytes(last);
    item_free(u, last);
}

static size_t tables_bytes(const syn_undo *u)
{
    return ((size_t)u->elements.cap + u->writers.cap) * sizeof(struct heir) +
           u->copies.cap * sizeof *u->copies.at + u->brought.cap * sizeof *u->brought.at;
}

/* Within the limits; with nothing left to take back, nobody needs to know whose heirs there are. */
static void trim(syn_undo *u)
{
    if (u->undo.n > u->max_items) drop_oldest(u, &u->undo, u->undo.n - u->max_items);
    if (u->redo.n > u->max_items) drop_oldest(u, &u->redo, u->redo.n - u->max_items);
    while (u->held + tables_bytes(u) > u->max_bytes && u->undo.n + u->redo.n > 0)
        drop_oldest(u, u->undo.n > 0 ? &u->undo : &u->redo, 1);
    if (u->undo.n + u->redo.n > 0) return;
    array_free(&u->doc->mem, &u->elements);
    array_free(&u->doc->mem, &u->writers);
    array_free(&u->doc->mem, &u->brought);
    array_free(&u->doc->mem, &u->copies);
    u->filled = 0;
}

/* ---- From a transaction's notes to an item --------------------------------------------------- */

static uint32_t keep_bytes(struct undo_item *item, const char *data, size_t len)
{
    uint32_t at = item->bytes.n;
    if (len > 0) memcpy(item->bytes.at + at, data, len);
    item->bytes.n += (uint32_t)len;
    return at;
}

static bool has_blob(const struct op_arg *arg)
{
    return arg->kind == SYN_VALUE_STRING || arg->kind == SYN_VALUE_BYTES ||
           arg->kind > SYN_VALUE_MERGEABLE;
}

static void keep_value(const syn_doc *doc, struct undo_item *item, struct undo_value value)
{
    if (has_blob(&value.arg)) {
        syn_str blob = doc_blob(doc, &value.arg);
        value.arg.as.blob.off = keep_bytes(item, blob.data, blob.len);
    }
    *array_push(&item->values) = value;
}

static syn_id id_of(const syn_doc *doc, uint32_t agent, uint32_t seq)
{
    return (syn_id){graph_agent_peer(doc->graph, agent), seq};
}

static void keep_slot(const syn_doc *doc, struct undo_item *item, const struct list_slot *slot)
{
    keep_value(doc, item,
               (struct undo_value){.writer = id_of(doc, slot->set.agent, slot->set.seq),
                                   .made = id_of(doc, slot->made.agent, slot->made.seq),
                                   .arg = slot->value});
}

static void keep_write(const syn_doc *doc, struct undo_item *item, const struct undo *note)
{
    struct undo_value value = {.none = true, .arg = {.kind = SYN_VALUE_NULL}};
    if (note->saved_len > 0) {
        const struct map_write *before = &doc->txn->writes.at[note->saved];
        value.writer = id_of(doc, before->agent, before->seq);
        value.none = before->gone;
        if (!before->gone) value.arg = before->value;
    }
    keep_value(doc, item, value);
}

/* Room for all that the transaction's notes will need. */
static syn_err reserve_notes(const syn_doc *doc, struct undo_item *item)
{
    const struct transaction *txn = doc->txn;
    const syn_mem *mem = &doc->mem;
    uint64_t bytes = txn->bytes.n;
    for (uint32_t i = 0; i < txn->slots.n; i++)
        if (has_blob(&txn->slots.at[i].value)) bytes += txn->slots.at[i].value.as.blob.len;
    for (uint32_t i = 0; i < txn->writes.n; i++)
        if (has_blob(&txn->writes.at[i].value)) bytes += txn->writes.at[i].value.as.blob.len;
    uint64_t values = (uint64_t)txn->slots.n + txn->undo.n;
    syn_err err = array_reserve(mem, &item->steps, txn->undo.n);
    if (err == SYN_OK) err = array_reserve(mem, &item->values, values);
    return err == SYN_OK ? array_reserve(mem, &item->bytes, bytes) : err;
}

/* Typing on and deleting on need no steps of their own: what counts are the events. */
static bool goes_on(const struct undo_item *item, const struct undo_step *step)
{
    if (item->steps.n == 0 || step->kind > UNDO_DELETE) return false;
    const struct undo_step *last = &item->steps.at[item->steps.n - 1];
    return last->kind == step->kind && last->obj == step->obj &&
           last->first.peer == step->first.peer && last->first.seq + last->len == step->first.seq;
}

static void push_step(struct undo_item *item, struct undo_step step)
{
    if (!goes_on(item, &step)) {
        *array_push(&item->steps) = step;
        return;
    }
    item->steps.at[item->steps.n - 1].len += step.len;
    item->steps.at[item->steps.n - 1].bytes += step.bytes;
}

static struct undo_step step_of(const syn_doc *doc, struct undo_item *item, const struct undo *note,
                                lv_t lv)
{
    const struct transaction *txn = doc->txn;
    struct undo_step step = {.obj = note->container, .first = doc_id(doc, lv), .len = 1};
    step.at = item->values.n;
    switch (note->kind) {
    case OP_TEXT_INSERT:
    case OP_LIST_INSERT:
        step.kind = UNDO_INSERT;
        step.len = note->len;
        break;
    case OP_DELETE:
        step.kind = UNDO_DELETE;
        step.len = note->len;
        if (syn_obj_kind(doc, note->container) == SYN_TEXT) {
            step.bytes = note->saved_len;
            step.at = keep_bytes(item, txn->bytes.at + note->saved, note->saved_len);
            break;
        }
        for (uint32_t i = 0; i < note->len; i++)
            keep_slot(doc, item, &txn->slots.at[note->saved + i]);
        break;
    case OP_LIST_SET:
        step.kind = UNDO_SET;
        keep_slot(doc, item, &txn->slots.at[note->saved]);
        break;
    case OP_COUNTER_ADD:
        step.kind = UNDO_ADD;
        step.delta = note->delta;
        break;
    default:
        step.kind = UNDO_KEY;
        step.key = note->key;
        keep_write(doc, item, note);
        break;
    }
    return step;
}

/* Adds what the open transaction did; room was reserved. */
static void take_notes(const syn_doc *doc, struct undo_item *item)
{
    lv_t lv = doc->txn->log.end;
    for (uint32_t i = 0; i < doc->txn->undo.n; i++) {
        struct undo_step step = step_of(doc, item, &doc->txn->undo.at[i], lv);
        lv += step.len;
        push_step(item, step);
    }
    assert(lv == doc->log.end);
}

/* A new item of the open transaction on top of the stack, with the selection told last. */
static syn_err push_item(syn_undo *u, undo_stack *stack)
{
    const syn_mem *mem = &u->doc->mem;
    struct undo_item item = {0};
    syn_err err = array_reserve(mem, stack, 1);
    if (err == SYN_OK) err = array_reserve(mem, &item.selection, u->selection.n);
    if (err == SYN_OK) err = reserve_notes(u->doc, &item);
    if (err != SYN_OK) {
        item_free(u, &item);
        return err;
    }
    for (uint32_t i = 0; i < u->selection.n; i++) *array_push(&item.selection) = u->selection.at[i];
    take_notes(u->doc, &item);
    u->held += item_bytes(&item);
    *array_push(stack) = item;
    return SYN_OK;
}

static syn_err extend_item(syn_undo *u, struct undo_item *item)
{
    u->held -= item_bytes(item);
    syn_err err = reserve_notes(u->doc, item);
    if (err == SYN_OK) take_notes(u->doc, item);
    u->held += item_bytes(item);
    return err;
}

/* ---- Doing ----------------------------------------------------------------------------------- */

syn_err syn_undo_begin(syn_undo *u)
{
    syn_err err = syn_begin(u->doc);
    if (err == SYN_OK) u->open = true;
    return err;
}

syn_err syn_undo_commit(syn_undo *u, uint64_t now)
{
    if (!u->open || !in_transaction(u->doc))
        return doc_refuse(u->doc, SYN_EMISUSE, "no transaction of this undo object is open");
    if (u->doc->txn->undo.n > 0) {
        bool joins = !u->never_group && !u->boundary && u->undo.n > 0 && now >= u->last &&
                     now - u->last <= u->interval;
        syn_err err = joins ? extend_item(u, &u->undo.at[u->undo.n - 1]) : push_item(u, &u->undo);
        if (err != SYN_OK) return err;
        drop_oldest(u, &u->redo, u->redo.n);
        u->boundary = false;
        u->last = now;
        trim(u);
    }
    u->open = false;
    return syn_commit(u->doc);
}

void syn_undo_boundary(syn_undo *u)
{
    u->boundary = true;
}

static syn_err copy_selection(syn_undo *u, const syn_cursor *from, size_t count)
{
    u->restored.n = 0;
    syn_err err = array_reserve(&u->doc->mem, &u->restored, count);
    for (size_t i = 0; err == SYN_OK && i < count; i++) *array_push(&u->restored) = from[i];
    return err;
}

static syn_err reserve_selection(syn_undo *u, size_t count)
{
    if (count <= u->selection.n) return SYN_OK;
    return array_reserve(&u->doc->mem, &u->selection, count - u->selection.n);
}

syn_err syn_undo_select(syn_undo *u, const syn_cursor *cursors, size_t count)
{
    if (count > 64) return doc_refuse(u->doc, SYN_ELIMIT, "more than 64 cursors");
    syn_err err = reserve_selection(u, count);
    if (err != SYN_OK) return err;
    if (count > 0) memcpy(u->selection.at, cursors, count * sizeof *cursors);
    u->selection.n = (uint32_t)count;
    return SYN_OK;
}

size_t syn_undo_selection(const syn_undo *u, const syn_cursor **cursors)
{
    *cursors = u->restored.at;
    return u->restored.n;
}

/* ---- Taking back ----------------------------------------------------------------------------- */

/* After a failure: the transaction goes, and with it what was said of its events. */
static syn_err take_nothing(syn_undo *u, syn_err err, uint32_t seq, uint32_t copies,
                            uint32_t brought)
{
    heirs_forget(&u->elements, u->doc->peer, seq);
    heirs_forget(&u->writers, u->doc->peer, seq);
    u->copies.n = u->filled = copies;
    u->brought.n = brought;
    return syn_rollback(u->doc) != SYN_OK ? SYN_ENOMEM
                                          : err; /* what doc_refuse said still stands */
}

/* What came back is the selection now, until another is told. */
static void select_restored(syn_undo *u)
{
    memcpy(u->selection.at, u->restored.at, u->restored.n * sizeof *u->restored.at);
    u->selection.n = u->restored.n;
}

/* Takes the last item of `from` back; what that does becomes the last of `to`. *done: anything. */
static syn_err move_item(syn_undo *u, undo_stack *from, undo_stack *to, bool *done)
{
    const struct undo_item *item = &from->at[from->n - 1];
    uint32_t seq = syn_doc_next(u->doc, u->doc->peer), copies = u->copies.n;
    uint32_t brought = u->brought.n;
    syn_err err = copy_selection(u, item->selection.at, item->selection.n);
    if (err == SYN_OK) err = reserve_selection(u, item->selection.n);
    if (err == SYN_OK) err = syn_begin(u->doc);
    if (err != SYN_OK) return err;
    err = undo_take(u, item, u->restored.at);
    *done = u->doc->txn->undo.n > 0;
    if (err == SYN_OK && *done) err = push_item(u, to);
    if (err != SYN_OK) return take_nothing(u, err, seq, copies, brought);
    drop_last(u, from);
    if (u->restored.n > 0) select_restored(u);
    return syn_commit(u->doc);
}

static syn_err take_last(syn_undo *u, undo_stack *from, undo_stack *to)
{
    if (in_transaction(u->doc)) return doc_refuse(u->doc, SYN_EMISUSE, "a transaction is open");
    if (u->doc->peer == 0) return doc_refuse(u->doc, SYN_EMISUSE, "set a peer before editing");
    bool done = false;
    while (!done && from->n > 0) {
        syn_err err = move_item(u, from, to, &done);
        if (err != SYN_OK) return err;
    }
    u->boundary = true;
    trim(u);
    return done ? SYN_OK : doc_refuse(u->doc, SYN_ENOTFOUND, "nothing is left to do");
}

syn_err syn_undo_undo(syn_undo *u)
{
    return take_last(u, &u->undo, &u->redo);
}

syn_err syn_undo_redo(syn_undo *u)
{
    return take_last(u, &u->redo, &u->undo);
}

/* ---- Life ------------------------------------------------------------------------------------ */

syn_err syn_undo_new(syn_undo **out, syn_doc *doc, const syn_undo_config *config)
{
    const syn_undo_config defaults = SYN_UNDO_CONFIG_INIT;
    if (config == NULL) config = &defaults;
    *out = NULL;
    if (config->size != sizeof *config) return SYN_EMISUSE;
    syn_undo *u = mem_zalloc(&doc->mem, sizeof *u);
    if (u == NULL) return SYN_ENOMEM;
    u->doc = doc;
    u->max_items = config->max_items > 0 ? config->max_items : 1000;
    u->max_bytes = config->max_bytes > 0 ? config->max_bytes : 4u << 20;
    u->interval = config->interval > 0 ? config->interval : 500;
    u->never_group = config->never_group;
    *out = u;
    return SYN_OK;
}

void syn_undo_clear(syn_undo *u)
{
    drop_oldest(u, &u->undo, u->undo.n);
    drop_oldest(u, &u->redo, u->redo.n);
    trim(u);
}

void syn_undo_free(syn_undo *u)
{
    if (u == NULL) return;
    const syn_mem mem = u->doc->mem;
    syn_undo_clear(u);
    array_free(&mem, &u->undo);
    array_free(&mem, &u->redo);
    array_free(&mem, &u->selection);
    array_free(&mem, &u->restored);
    mem_free(&mem, u, sizeof *u);
}

size_t syn_undo_count(const syn_undo *u)
{
    return u->undo.n;
}

size_t syn_undo_redo_count(const syn_undo *u)
{
    return u->redo.n;
}

size_t syn_undo_footprint(const syn_undo *u)
{
    return sizeof *u + u->held + tables_bytes(u) +
           ((size_t)u->undo.cap + u->redo.cap) * sizeof *u->undo.at +
           ((size_t)u->selection.cap + u->restored.cap) * sizeof(syn_cursor);
}
