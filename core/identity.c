/* identity.c -- containers by what they are in every replica, and back to this document's number.
 */
#include "position.h"

enum { DEEPEST = 256 };

syn_err syn_obj_chain(syn_doc *doc, syn_obj obj, struct change_container *chain, uint32_t cap,
                      uint32_t *count, uint64_t *peer)
{
    uint32_t depth = 1;
    if (obj >= doc->all.list.n) return doc_refuse(doc, SYN_EMISUSE, "no such container");
    struct container_id id = container_at(&doc->all, obj)->id;
    for (syn_obj up = obj; container_at(&doc->all, up)->id.form == CONTAINER_MERGEABLE; depth++)
        up = container_at(&doc->all, up)->id.a;
    if (depth > cap) return doc_refuse(doc, SYN_ELIMIT, "nested deeper than %u", cap);
    *count = depth;
    *peer = 0;
    for (uint32_t i = depth; i-- > 0; obj = id.a) {
        id = container_at(&doc->all, obj)->id;
        chain[i] = (struct change_container){.kind = id.kind, .form = id.form};
        if (id.form == CONTAINER_ROOT) {
            chain[i].name = names_get(&doc->names, id.a);
        } else if (id.form == CONTAINER_BY_EVENT) {
            *peer = graph_agent_peer(doc->graph, id.a);
            chain[i].seq = id.b;
        } else {
            chain[i].parent = i - 1;
            chain[i].key = names_get(&doc->names, id.b);
        }
    }
    return SYN_OK;
}

/* The identity of an entry here, SYN_NO_OBJ: of none.  Nothing is added, so that what others name
 * costs no memory. */
static syn_obj find_entry(const syn_doc *doc, const struct change_container *entry,
                          const uint64_t *peers, syn_obj parent)
{
    struct container_id id = {.form = entry->form, .kind = entry->kind};
    if (entry->form == CONTAINER_BY_EVENT) {
        id.a = graph_agent_find(doc->graph, peers[entry->peer]);
        id.b = entry->seq;
        if (id.a == AGENT_NONE) return SYN_NO_OBJ;
    } else {
        uint32_t name =
            names_find(&doc->names, id.form == CONTAINER_ROOT ? entry->name : entry->key);
        if (name == NAME_NONE) return SYN_NO_OBJ;
        id.a = id.form == CONTAINER_ROOT ? name : parent;
        id.b = id.form == CONTAINER_ROOT ? 0 : name;
    }
    syn_obj obj = containers_find(&doc->all, id);
    bool made = obj != SYN_NO_OBJ && id.form == CONTAINER_BY_EVENT;
    return made && !doc_container_exists(doc, obj) ? SYN_NO_OBJ : obj;
}

syn_err syn_obj_find(syn_doc *doc, const struct change_container *table, uint32_t index,
                     const uint64_t *peers, syn_obj *out)
{
    uint32_t path[DEEPEST], depth = 0;
    for (;; index = table[index].parent) {
        if (depth == DEEPEST) return doc_refuse(doc, SYN_ELIMIT, "nested deeper than %u", DEEPEST);
        path[depth++] = index;
        if (table[index].form != CONTAINER_MERGEABLE) break;
    }
    *out = SYN_NO_OBJ;
    while (depth > 0) {
        *out = find_entry(doc, &table[path[--depth]], peers, *out);
        if (*out == SYN_NO_OBJ) return doc_refuse(doc, SYN_EMISSING, "no such container here");
    }
    return SYN_OK;
}
