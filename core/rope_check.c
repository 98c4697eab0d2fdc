/* rope_check.c -- every invariant of the rope. */
#include "rope_impl.h"

#include <stdio.h>
#include <stdlib.h>

static void must(bool holds, const char *what)
{
    if (holds) return;
    (void)fprintf(stderr, "rope: broken invariant: %s\n", what);
    abort();
}

static void check_leaf(const struct rope *rope, const struct leaf *leaf)
{
    size_t head = 0, tail = 0;
    must(leaf->bytes <= leaf->cap && leaf->gap <= leaf->bytes, "leaf sizes");
    must(rope->height == 0 ? leaf->cap <= ROOT_CAP : leaf->cap == LEAF_CAP, "leaf capacity");
    must(rope->height == 0 || leaf->bytes > 0, "no empty leaf");
    const char *behind = behind_gap(leaf);
    must(utf8_valid(leaf->text, leaf->gap, &head), "valid UTF-8 before the gap");
    must(utf8_valid(behind, leaf->bytes - leaf->gap, &tail), "valid UTF-8 behind the gap");
    must(head == leaf->gap_scalars, "scalars before the gap");
    must(head + tail == leaf->scalars, "scalars in the leaf");
    must(utf8_count4(leaf->text, leaf->gap) + utf8_count4(behind, leaf->bytes - leaf->gap) ==
             leaf->fours,
         "four-byte scalars in the leaf");
}

struct census {
    uint32_t leaves, inners, scalars, cursor_start;
    bool cursor_seen;
};

static struct sums check_below(const struct rope *rope, struct node *node, uint32_t height,
                               struct census *census)
{
    if (height == 0) {
        const struct leaf *leaf = as_leaf(node);
        check_leaf(rope, leaf);
        if (leaf == rope->cursor) {
            census->cursor_seen = true;
            census->cursor_start = census->scalars;
        }
        census->leaves++;
        census->scalars += leaf->scalars;
        return leaf_sums(leaf);
    }
    const struct inner *inner = as_inner(node);
    must(inner->count > 0 && inner->count <= FANOUT, "fan-out");
    census->inners++;
    for (uint32_t i = 0; i < inner->count; i++) {
        must(inner->child[i]->parent == inner && inner->child[i]->slot == i, "link to the parent");
        struct sums is = check_below(rope, inner->child[i], height - 1, census);
        struct sums said = slot_sums(inner, i);
        must(is.bytes == said.bytes && is.scalars == said.scalars && is.fours == said.fours,
             "counters of a subtree");
    }
    return inner_sums(inner);
}

static uint32_t list_length(const struct node *node)
{
    uint32_t n = 0;
    for (; node != NULL; node = (const struct node *)(const void *)node->parent) n++;
    return n;
}

void rope_check(const struct rope *rope)
{
    rope_settle(rope);
    struct census census = {0, 0, 0, 0, false};
    must(rope->root->parent == NULL, "the root has no parent");
    must(rope->height == 0 || as_inner(rope->root)->count > 1, "the root has two children");
    struct sums all = check_below(rope, rope->root, rope->height, &census);
    must(all.bytes == rope->bytes && all.scalars == rope->scalars && all.fours == rope->fours,
         "counters of the text");
    must(census.leaves == rope->leaves && census.inners == rope->inners, "number of nodes");
    must(census.cursor_seen && census.cursor_start == rope->cursor_start, "the cursor");
    must(list_length(rope->spare_leaves) == rope->n_spare_leaves &&
             list_length(rope->spare_inners) == rope->n_spare_inners,
         "the pools");
}
