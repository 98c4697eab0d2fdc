/* record.c -- what changed, kept until the caller has read it.
 *
 * Records of typing that goes on where the last record ended grow that record; so a long replay
 * with records on costs one record per caret jump, not one per character. */
#include "doc.h"

void records_push(syn_doc *doc, struct record record)
{
    if (!doc->keep_records) return;
    *array_push(&doc->records) = record;
    if (!in_transaction(doc)) doc->records_visible = doc->records.n;
}

/* The last record, when it may still grow: same container and origin, not from before the
 * transaction. */
static struct record *growing(syn_doc *doc, syn_obj obj, bool local)
{
    uint32_t first = in_transaction(doc) ? doc->txn->records : 0;
    if (doc->records.n <= first) return NULL;
    struct record *last = &doc->records.at[doc->records.n - 1];
    bool same = last->kind == SYN_EVENT_SPLICE && last->obj == obj && last->local == local;
    return same ? last : NULL;
}

void records_add_text(syn_doc *doc, syn_obj obj, bool local, uint32_t pos, uint32_t removed,
                      uint32_t inserted, uint32_t at, uint32_t bytes)
{
    struct record *last = growing(doc, obj, local);
    if (last != NULL && inserted > 0 && last->inserted > 0 && pos == last->pos + last->inserted &&
        at == last->at + last->bytes) {
        last->inserted += inserted;
        last->bytes += bytes;
        return;
    }
    if (last != NULL && removed > 0 && last->inserted == 0 && pos == last->pos) {
        last->removed += removed;
        return;
    }
    records_push(doc, (struct record){.kind = SYN_EVENT_SPLICE,
                                      .obj = obj,
                                      .local = local,
                                      .pos = pos,
                                      .removed = removed,
                                      .inserted = inserted,
                                      .at = at,
                                      .bytes = bytes});
}

void records_list(syn_doc *doc, syn_obj obj, bool local, uint32_t pos, uint32_t removed,
                  uint32_t inserted, uint32_t at)
{
    records_push(doc, (struct record){.kind = SYN_EVENT_SPLICE,
                                      .obj = obj,
                                      .local = local,
                                      .pos = pos,
                                      .removed = removed,
                                      .inserted = inserted,
                                      .at = at});
}

size_t syn_doc_event_count(const syn_doc *doc)
{
    return doc->records_visible;
}

bool syn_doc_event(const syn_doc *doc, size_t index, syn_event *out)
{
    if (index >= doc->records_visible) return false;
    const struct record *record = &doc->records.at[index];
    *out = (syn_event){.kind = (syn_event_kind)record->kind,
                       .obj = record->obj,
                       .local = record->local,
                       .pos = record->pos,
                       .removed = record->removed,
                       .inserted = record->inserted,
                       .delta = record->delta};
    switch (out->kind) {
    case SYN_EVENT_SPLICE:
        if (record->bytes > 0) out->text = (syn_str){doc->log.text.at + record->at, record->bytes};
        break;
    case SYN_EVENT_SET:
        out->value = doc_value(doc, &record->value);
        if (record->key != NAME_NONE) out->key = names_get(&doc->names, record->key);
        break;
    case SYN_EVENT_UNSET:
        out->key = names_get(&doc->names, record->key);
        break;
    case SYN_EVENT_ADD:
        break;
    }
    return true;
}

bool syn_event_item(const syn_doc *doc, size_t index, size_t item, syn_value *out)
{
    if (index >= doc->records_visible) return false;
    const struct record *record = &doc->records.at[index];
    if (record->kind != SYN_EVENT_SPLICE || item >= record->inserted) return false;
    if (container_at(&doc->all, record->obj)->id.kind != SYN_LIST) return false;
    *out = doc_value(doc, &doc->log.args.at[record->at + item]);
    return true;
}

void syn_doc_events_keep(syn_doc *doc, bool keep)
{
    doc->keep_records = keep;
}

void syn_doc_events_clear(syn_doc *doc)
{
    uint32_t kept = doc->records.n - doc->records_visible;
    if (kept > 0)
        memmove(doc->records.at, doc->records.at + doc->records_visible,
                kept * sizeof(struct record));
    doc->records.n = kept;
    doc->records_visible = 0;
    if (in_transaction(doc)) doc->txn->records = 0;
}
