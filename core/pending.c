/* pending.c -- sets of changes that came before their parents.
 *
 * Kept as deep copies, oldest first, bounded in bytes.  Each notes one event that it waits for, so
 * that after a change only sets whose event has come are tried. */
#include "doc.h"

static void drop(syn_doc *doc, uint32_t index)
{
    struct pending_set *entry = &doc->pending.at[index];
    doc->pending_bytes -= entry->bytes;
    syn_changes_free(&doc->mem, entry->set);
    doc->pending.n--;
    memmove(entry, entry + 1, (doc->pending.n - index) * sizeof *entry);
}

void syn_doc_pending_clear(syn_doc *doc)
{
    while (doc->pending.n > 0) drop(doc, doc->pending.n - 1);
}

void pending_free(syn_doc *doc)
{
    syn_doc_pending_clear(doc);
    array_free(&doc->mem, &doc->pending);
}

syn_err pending_keep(syn_doc *doc, const syn_changes *set)
{
    struct pending_set entry = {.missing = doc->desk->fault.missing,
                                .bytes = changes_footprint(set)};
    if (entry.bytes > doc->max_pending - doc->pending_bytes)
        return doc_refuse(doc, SYN_ELIMIT, "more than %zu bytes wait for missing parents",
                          doc->max_pending);
    syn_err err = array_reserve(&doc->mem, &doc->pending, 1);
    if (err == SYN_OK) err = syn_changes_copy(&doc->mem, set, &entry.set);
    if (err != SYN_OK) return err;
    doc->pending_bytes += entry.bytes;
    *array_push(&doc->pending) = entry;
    return SYN_OK;
}

/* Tries one; true when it is done with (applied, or found impossible), so that it goes. */
static bool try_one(syn_doc *doc, struct pending_set *entry, syn_applied *out)
{
    syn_applied done;
    if (!syn_doc_has(doc, entry->missing)) return false;
    syn_err err = apply_set(doc, entry->set, &done);
    if (err == SYN_EMISSING) entry->missing = doc->desk->fault.missing;
    if (err == SYN_EMISSING || err == SYN_ENOMEM) return false;
    out->applied += done.applied;
    out->duplicate += done.duplicate;
    return true;
}

void pending_retry(syn_doc *doc, syn_applied *out)
{
    for (bool progress = true; progress;) {
        progress = false;
        for (uint32_t i = 0; i < doc->pending.n;) {
            if (try_one(doc, &doc->pending.at[i], out)) {
                drop(doc, i);
                progress = true;
            } else {
                i++;
            }
        }
    }
}

size_t syn_doc_missing(const syn_doc *doc, syn_id *out, size_t cap)
{
    for (uint32_t i = 0; i < doc->pending.n && i < cap; i++) out[i] = doc->pending.at[i].missing;
    return doc->pending.n;
}
