/* tracker_copy.c -- a second tracker of the same sequence, which stands at another version
 * (stands.h; layout: tracker_impl.h).
 *
 * All trackers of a sequence hold the same elements in the same order, whatever their prepare
 * version; only where records are cut differs.  So what one of them found out when it was fed (what
 * the new elements stand behind, between what they were put, which elements a delete took) is true
 * of all, and an event need not be in another's prepare version to get its place there. */
#include "tracker_impl.h"

/* ---- Copying */

#define array_copy(mem, to, from, err)                                                             \
    do {                                                                                           \
        if ((err) == SYN_OK && (from)->n > 0) (err) = array_reserve((mem), (to), (from)->n);       \
        if ((err) == SYN_OK && (from)->n > 0) {                                                    \
            memcpy((to)->at, (from)->at, (from)->n * sizeof *(to)->at);                            \
            (to)->n = (from)->n;                                                                   \
        }                                                                                          \
    } while (0)

/* Of arrays whose room behind the end must be zeroed, too (ids_reserve). */
#define array_copy_zeroed(mem, to, from, err)                                                      \
    do {                                                                                           \
        array_copy(mem, to, from, err);                                                            \
        if ((err) == SYN_OK && (to)->cap > (to)->n)                                                \
            memset((to)->at + (to)->n, 0, ((to)->cap - (to)->n) * sizeof *(to)->at);               \
    } while (0)

struct tracker *tracker_copy(struct tracker *t)
{
    struct tracker *copy = mem_zalloc(t->mem, sizeof *copy);
    if (copy == NULL) return NULL;
    tree_settle(t);
    syn_err err = SYN_OK;
    *copy = (struct tracker){.mem = t->mem,
                             .base_len = t->base_len,
                             .next_id = t->next_id,
                             .end_id = t->end_id,
                             .root = t->root,
                             .total = t->total};
    copy->cache.leaf = NONE;
    array_copy(t->mem, &copy->leaves, &t->leaves, err);
    array_copy(t->mem, &copy->nodes, &t->nodes, err);
    array_copy(t->mem, &copy->pages, &t->pages, err);
    array_copy_zeroed(t->mem, &copy->table, &t->table, err);
    array_copy_zeroed(t->mem, &copy->mid, &t->mid, err);
    array_copy_zeroed(t->mem, &copy->top, &t->top, err);
    if (err == SYN_OK) err = array_reserve(t->mem, &copy->due, copy->leaves.n);
    if (err == SYN_OK) return copy;
    tracker_free(copy);
    return NULL;
}

/* ---- Following */

/* The element in front of the record, or START. */
static uint32_t element_before(const struct tracker *t, struct at at)
{
    const struct leaf *leaf = &t->leaves.at[at.leaf];
    if (at.idx == 0) {
        uint32_t slot = leaf->slot, level = 0, above = leaf->parent;
        for (; above != NONE && slot == 0; level++) {
            slot = t->nodes.at[above].slot;
            above = t->nodes.at[above].parent;
        }
        if (above == NONE) return START;
        uint32_t child = t->nodes.at[above].child[slot - 1];
        for (; level > 0; level--) child = t->nodes.at[child].child[t->nodes.at[child].n - 1];
        leaf = &t->leaves.at[child];
        at.idx = leaf->n;
    }
    return leaf->id[at.idx - 1] + leaf->len[at.idx - 1] - 1;
}

/* The gap behind an element, which may cut its record. */
static struct at gap_behind(struct tracker *t, uint32_t element)
{
    if (element == START) return (struct at){0, 0};
    struct at at = tree_locate(t, element);
    uint32_t off = element - t->leaves.at[at.leaf].id[at.idx];
    at = tree_isolate(t, at, 0, off + 1);
    return (struct at){at.leaf, at.idx + 1};
}

static syn_err follow_insert(struct tracker *t, const struct tracker *fed, uint32_t id,
                             uint32_t len)
{
    struct at there = tree_locate(fed, id);
    const struct leaf *leaf = &fed->leaves.at[there.leaf];
    struct record r = {id, len, NYI, leaf->origin[there.idx]};
    uint32_t behind = id - 1;
    if (leaf->id[there.idx] == id)
        behind = element_before(fed, there);
    else
        r.origin.left = behind;
    syn_err err = tree_reserve(t);
    if (err != SYN_OK) return err;
    struct at gap = gap_behind(t, behind);
    if (!tree_extend(t, gap, &r)) gap = tree_put(t, gap, &r);
    tree_changed(t, gap.leaf, record_sums(len, NYI));
    return SYN_OK;
}

/* Elements [id, id+len) are gone now, though not in the prepare version. */
static syn_err follow_delete(struct tracker *t, uint32_t id, uint32_t len)
{
    while (len > 0) {
        syn_err err = tree_reserve(t);
        if (err != SYN_OK) return err;
        struct at at = tree_locate(t, id);
        const struct leaf *leaf = &t->leaves.at[at.leaf];
        uint32_t off = id - leaf->id[at.idx], room = leaf->len[at.idx] - off;
        uint32_t n = len < room ? len : room;
        if ((leaf->state[at.idx] & GONE) == 0) {
            at = tree_isolate(t, at, off, n);
            uint32_t state = t->leaves.at[at.leaf].state[at.idx];
            tree_changed(t, at.leaf, tree_set_state(t, at, state | GONE));
        }
        id += n;
        len -= n;
    }
    return SYN_OK;
}

/* What one event, or several alike, did to `fed`. */
static syn_err follow_events(struct tracker *t, const struct tracker *fed, uint32_t id,
                             uint32_t len, uint32_t target, bool back)
{
    if (target == id) return follow_insert(t, fed, id, len);
    syn_err err = SYN_OK;
    if (target != NONE) err = follow_delete(t, back ? target - (len - 1) : target, len);
    if (err == SYN_OK) err = array_reserve(t->mem, &t->pages, 1);
    if (err == SYN_OK) ids_put_delete(t, id, target, back);
    return err;
}

syn_err tracker_follow(struct tracker *t, const struct tracker *fed, uint32_t id, uint32_t len)
{
    uint32_t n;
    t->cache.leaf = NONE;
    syn_err err = tracker_go_to(t, id);
    if (err == SYN_OK) err = ids_reserve(t, len);
    for (; err == SYN_OK && len > 0; len -= n, id += n) {
        bool back;
        n = len;
        uint32_t target = tracker_target(fed, id, &n, &back);
        err = follow_events(t, fed, id, n, target, back);
        if (err == SYN_OK) ids_fed(t, n);
    }
    return err;
}
