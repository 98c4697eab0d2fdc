/* live.c -- a change that goes on where the last event stands: what a server relays all day.
 *
 * One run of the last event's author, one operation on the text that was named last, and no parent
 * but the event before.  Nothing can be concurrent with it, so it acts as it says, and need not be
 * planned: everything that may fail comes first, then graph, log and rope change together, as in
 * edit.c.  Whatever is not so, or wrong, or finds no memory is left to apply.c, which does the same
 * for any set, and knows the reasons for a refusal. */
#include "doc.h"

#include "utf8.h"

/* The operation as the rope sees it. */
struct splice {
    syn_obj text;
    struct container *c;
    uint32_t pos, removed, inserted;
};

/* One run and one operation with all the events, and nothing but what a text needs. */
static inline bool is_single(const syn_changes *set)
{
    return set->run_count == 1 && set->op_count == 1 && set->container_count == 1 &&
           set->peer_count == 1 && set->runs[0].peer == 0 && set->ops[0].container == 0 &&
           set->runs[0].len == set->ops[0].len && !set->runs[0].explicit_parents &&
           (set->dep_count | set->key_count | set->value_count | set->ext_count | set->node_count |
            set->effect_count) == 0;
}

/* Is the set's container the text that a set named last? */
static inline bool is_last_text(const syn_doc *doc, const struct change_container *entry,
                                struct splice *splice)
{
    if (doc->desk == NULL || doc->desk->last_root >= doc->all.list.n) return false;
    splice->text = doc->desk->last_root;
    splice->c = container_at(&doc->all, splice->text);
    const struct container_id *id = &splice->c->id;
    return id->form == CONTAINER_ROOT && id->kind == SYN_TEXT && splice->c->as.text != NULL &&
           entry->form == CONTAINER_ROOT && entry->kind == SYN_TEXT &&
           str_equal(names_get(&doc->names, id->a), entry->name);
}

/* Can the operation act as it says? */
static inline bool read_op(const struct change_op *op, syn_str content, struct splice *splice)
{
    uint32_t here = splice->c->len;
    size_t scalars;
    splice->pos = op->pos;
    switch (op->kind) {
    case OP_TEXT_INSERT:
        splice->inserted = op->len;
        return op->len > 0 && op->pos <= here && op->len <= SEQ_MAX - here &&
               utf8_check(content.data, content.len, &scalars) && scalars == op->len;
    case OP_DELETE:
        splice->removed = op->len;
        return content.len == 0 && op->len > 0 && op->pos <= here && op->len <= here - op->pos;
    case OP_DELETE_BACK:
        splice->removed = op->len;
        splice->pos -= op->len - 1;
        return content.len == 0 && op->len > 0 && op->pos < here && op->len <= op->pos + 1;
    default:
        return false;
    }
}

static inline bool reserve(syn_doc *doc, const struct splice *splice, size_t bytes)
{
    return rope_reserve(splice->c->as.text, 1, bytes) == SYN_OK &&
           doc_reserve_append(doc, splice->text, bytes, 0) == SYN_OK &&
           records_reserve(doc, 1) == SYN_OK;
}

static inline void change_rope(struct rope *rope, const struct splice *splice, syn_str content)
{
    if (splice->removed > 0)
        rope_delete(rope, splice->pos, splice->removed);
    else if (content.len == 1 && rope_can_type(rope, splice->pos))
        rope_type(rope, content.data[0]);
    else
        rope_insert(rope, splice->pos, content.data, content.len, splice->inserted);
}

void doc_tend_merge(syn_doc *doc, struct container *c, lv_t now)
{
    struct work work = {.limit = UINT64_MAX}; /* each event is followed once */
    const struct merge_source source = {&doc->mem, doc->graph, &doc->log, c->runs.at,
                                        c->runs.n, c->len,     &work};
    if (c->merge == NULL) return;
    if (merge_is_stale(c->merge, now) || merge_follow(c->merge, &source, now) != SYN_OK)
        drop_merge(doc, c);
}

bool apply_live(syn_doc *doc, const syn_changes *set)
{
    struct splice splice = {0};
    if (!is_single(set) || !is_last_text(doc, &set->containers[0], &splice)) return false;
    const struct change_op *op = &set->ops[0];
    lv_t lv = doc->log.end;
    uint32_t agent;
    if (!read_op(op, set->text, &splice) || op->len > doc->max_events - lv) return false;
    if (!reserve(doc, &splice, set->text.len)) return false;
    if (!graph_continue(doc->graph, set->peers[0], set->runs[0].seq, op->len, &agent)) return false;

    struct container *c = splice.c;
    uint32_t at = splice.removed > 0 ? doc->log.args.n : oplog_push_text(&doc->log, set->text);
    doc->log.wide |= set->text.len != splice.inserted;
    doc_append(doc, &(struct op_run){lv, op->pos, at, c->len, splice.text, op->kind}, op->len,
               true);
    change_rope(c->as.text, &splice, set->text);
    c->len += splice.inserted - splice.removed;
    c->touched = true;
    doc_tend_merge(doc, c, lv);
    records_text(doc, splice.text, false, splice.pos, splice.removed, splice.inserted, at,
                 (uint32_t)set->text.len);
    return true;
}
