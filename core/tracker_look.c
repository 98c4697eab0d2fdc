/* tracker_look.c -- asking a tracker where elements stand (layout: tracker_impl.h).  Nothing is fed
 * or cut here. */
#include "tracker_impl.h"

/* Elements visible in the effect version that stand before the record. */
static uint32_t effect_before(struct tracker *t, struct at at)
{
    tree_settle(t);
    const struct leaf *leaf = &t->leaves.at[at.leaf];
    uint32_t sum = 0, slot = leaf->slot;
    for (uint32_t i = 0; i < at.idx; i++) sum += (leaf->state[i] & GONE) != 0 ? 0 : leaf->len[i];
    for (uint32_t above = leaf->parent; above != NONE;) {
        const struct node *node = &t->nodes.at[above];
        for (uint32_t i = 0; i < slot; i++) sum += node->effect[i];
        slot = node->slot;
        above = node->parent;
    }
    return sum;
}

static struct tracker_place place_in(const struct tracker *t, struct at at, uint32_t off,
                                     uint32_t len, uint32_t before)
{
    const struct leaf *leaf = &t->leaves.at[at.leaf];
    uint32_t state = leaf->state[at.idx], rest = leaf->len[at.idx] - off;
    bool gone = (state & GONE) != 0;
    return (struct tracker_place){.id = leaf->id[at.idx] + off,
                                  .len = len < rest ? len : rest,
                                  .pos = before + (gone ? 0 : off),
                                  .deletes = (state & COUNT) > VISIBLE ? (state & COUNT) - 1 : 0,
                                  .gone = gone};
}

bool tracker_look(struct tracker *t, uint32_t pos, struct tracker_place *out)
{
    if (pos >= t->total.prepare) return false;
    struct spot spot = tree_find_visible(t, pos);
    bool gone = (t->leaves.at[spot.at.leaf].state[spot.at.idx] & GONE) != 0;
    *out = place_in(t, spot.at, spot.off, 1, spot.effect - (gone ? 0 : spot.off));
    return true;
}

struct tracker_place tracker_place_of(struct tracker *t, uint32_t id, uint32_t len)
{
    struct at at = tree_locate(t, id);
    uint32_t off = id - t->leaves.at[at.leaf].id[at.idx];
    return place_in(t, at, off, len, effect_before(t, at));
}

uint32_t tracker_target(const struct tracker *t, uint32_t id, uint32_t *len, bool *back)
{
    uint32_t start, next = ids_start_after(t, id, *len < t->end_id - id ? id + *len : t->end_id);
    const struct page *page = ids_start_before(t, id, &start);
    uint32_t slot = start % PAGE;
    *len = next - id;
    *back = false;
    if ((page->deletes[slot / 64] & bit(slot)) == 0) return id;
    if (page->target[slot] == NONE) return NONE;
    *back = (page->back[slot / 64] & bit(slot)) != 0;
    return *back ? page->target[slot] - (id - start) : page->target[slot] + (id - start);
}

bool tracker_stands_before(const struct tracker *t, uint32_t a, uint32_t b)
{
    return tree_stands_before(t, a, b);
}
