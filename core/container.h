/* container.h -- the containers of a document: who they are, and their state.
 *
 * A container is a root (name, kind), made by an event (agent, seq, kind), or mergeable (parent,
 * key, kind).  It gets its number (syn_obj) when it is first named and keeps it.  The table finds a
 * number by identity; entries are only ever taken back from the end (a refused change). */
#ifndef SYN_CORE_CONTAINER_H
#define SYN_CORE_CONTAINER_H

#include "list.h"
#include "map.h"
#include "merge.h"
#include "rope.h"

struct container_id {
    enum container_form form;
    uint32_t kind;
    uint32_t a; /* ROOT: name; BY_EVENT: agent; MERGEABLE: parent container */
    uint32_t b; /* BY_EVENT: seq; MERGEABLE: key */
};

struct container {
    struct container_id id;
    bool touched;        /* has had an event */
    bool loaded;         /* came with the snapshot, its event may lie below */
    uint32_t len;        /* sequences: length once everything planned is applied */
    uint32_t need_edits; /* while a change is applied: what to reserve */
    size_t need_bytes;
    struct sequence_merge *merge; /* NULL: nothing concurrent lately */
    ARRAY(uint32_t) runs;         /* sequences: indexes of its op runs */
    union {
        struct rope *text;
        struct map map;
        struct list list;
        int64_t counter;
    } as;
};

struct containers {
    ARRAY(struct container) list;
    uint32_t *slots; /* number + 1; NULL: few containers, no index */
    uint32_t slot_cap;
};

void containers_free(struct containers *all, const syn_mem *mem);
void containers_trim(struct containers *all, const syn_mem *mem); /* gives spare room back */
syn_obj containers_find(const struct containers *all, struct container_id id); /* SYN_NO_OBJ */
syn_err containers_add(struct containers *all, const syn_mem *mem, struct container_id id,
                       syn_obj *out);
/* Back to the state before its first event. */
void container_empty(struct container *c, const syn_mem *mem);
/* Forgets all but the first n; those beyond have no state yet. */
void containers_truncate(struct containers *all, const syn_mem *mem, uint32_t n);

static inline struct container *container_at(const struct containers *all, syn_obj obj)
{
    assert(obj < all->list.n);
    return &all->list.at[obj];
}
static inline bool kind_is_sequence(uint32_t kind)
{
    return kind == SYN_TEXT || kind == SYN_LIST;
}
/* May an operation of this kind act in a container of that kind? (PROTOCOL.md, "Containers") */
bool op_fits(uint32_t op_kind, uint32_t container_kind);
size_t container_footprint(const struct container *c);

#endif
