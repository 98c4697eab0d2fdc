/* tracker_check.c -- every invariant of the record tree. */
#include "tracker_impl.h"

#include <stdlib.h>

#define CHECK(invariant) ((invariant) ? (void)0 : abort())

static bool sums_equal(struct sums a, struct sums b)
{
    return a.prepare == b.prepare && a.effect == b.effect && a.known == b.known;
}

static void check_origin(const struct tracker *t, uint32_t id)
{
    CHECK(id < t->end_id || id == START || id == END);
}

static void check_leaf(const struct tracker *t, uint32_t at)
{
    const struct leaf *leaf = &t->leaves.at[at];
    CHECK(leaf->n <= LEAF);
    CHECK(leaf->n > 0 || t->leaves.n == 1);
    for (uint32_t i = 0; i < leaf->n; i++) {
        uint32_t id = leaf->id[i], start;
        CHECK(leaf->len[i] > 0);
        CHECK(leaf->len[i] <= t->end_id - id);
        const struct page *page = ids_start_before(t, id + leaf->len[i] - 1, &start);
        CHECK(start == id);
        CHECK(page->target[id % PAGE] / LEAF == at);
        CHECK(tree_find_start(t, page->target[id % PAGE], id).idx == i);
        CHECK((page->deletes[id % PAGE / 64] & bit(id % PAGE)) == 0);
        CHECK((leaf->state[i] & GONE) != 0 || (leaf->state[i] & COUNT) <= VISIBLE);
        check_origin(t, leaf->origin[i].left);
        check_origin(t, leaf->origin[i].right);
    }
}

/* The whole subtree; *next is the leaf that must come first in it. */
static struct sums check_node(const struct tracker *t, uint32_t at, uint32_t *next)
{
    const struct node *node = &t->nodes.at[at];
    CHECK(node->n > 0 && node->n <= FAN);
    for (uint32_t i = 0; i < node->n; i++) {
        uint32_t child = node->child[i];
        struct sums s;
        if (node->level == 0) {
            CHECK(child == *next);
            CHECK(t->leaves.at[child].parent == at && t->leaves.at[child].slot == i);
            check_leaf(t, child);
            s = leaf_sums(&t->leaves.at[child]);
            *next = t->leaves.at[child].next;
        } else {
            CHECK(t->nodes.at[child].parent == at && t->nodes.at[child].slot == i);
            CHECK(t->nodes.at[child].level + 1 == node->level);
            s = check_node(t, child, next);
        }
        CHECK(sums_equal(s, (struct sums){node->prepare[i], node->effect[i], node->known[i]}));
    }
    return node_sums(node);
}

/* Page table and its summaries say the same. */
static void check_pages(const struct tracker *t)
{
    uint32_t used = 0;
    for (uint32_t i = 0; i < t->table.n; i++) {
        uint32_t page = t->table.at[i];
        CHECK(page <= t->pages.n);
        CHECK(page == 0 || t->pages.at[page - 1].number == i);
        CHECK(((t->mid.at[i / 64] & bit(i)) != 0) == (page != 0));
        used += page != 0;
    }
    CHECK(used == t->pages.n);
    for (uint32_t i = 0; i < t->mid.n; i++)
        CHECK(((t->top.at[i / 64] & bit(i)) != 0) == (t->mid.at[i] != 0));
}

static void check_cache(const struct tracker *t)
{
    if (t->cache.leaf == NONE) return;
    struct sums before = {0};
    uint32_t at = 0;
    for (; at != t->cache.leaf; at = t->leaves.at[at].next) {
        CHECK(at != NONE);
        sums_add(&before, leaf_sums(&t->leaves.at[at]));
    }
    CHECK(t->cache.prepare == before.prepare);
    CHECK(t->cache.effect == before.effect);
    CHECK(t->cache.len == leaf_sums(&t->leaves.at[at]).prepare);
}

void tracker_check(struct tracker *t)
{
    tree_settle(t);
    uint32_t next = 0;
    CHECK(t->nodes.at[t->root].parent == NONE);
    CHECK(sums_equal(check_node(t, t->root, &next), t->total));
    CHECK(next == NONE);
    check_pages(t);
    check_cache(t);
}

/* ---- Two of one sequence */

struct reader {
    const struct tracker *t;
    struct at at;
    uint32_t off; /* elements of the record that were read */
};

/* The stretch of elements that is read next; len 0: the end. */
static struct record rest_of(const struct reader *r)
{
    const struct leaf *leaf = &r->t->leaves.at[r->at.leaf];
    if (r->at.idx >= leaf->n) return (struct record){0};
    struct record rest = {leaf->id[r->at.idx] + r->off, leaf->len[r->at.idx] - r->off,
                          leaf->state[r->at.idx] & GONE, leaf->origin[r->at.idx]};
    if (r->off > 0) rest.origin.left = rest.id - 1;
    return rest;
}

static void read_on(struct reader *r, uint32_t len)
{
    const struct leaf *leaf = &r->t->leaves.at[r->at.leaf];
    r->off += len;
    if (r->off < leaf->len[r->at.idx]) return;
    r->off = 0;
    r->at.idx++;
    if (r->at.idx == leaf->n && leaf->next != NONE) r->at = (struct at){leaf->next, 0};
}

void tracker_check_same(const struct tracker *a, const struct tracker *b)
{
    struct reader x = {.t = a}, y = {.t = b};
    CHECK(a->base_len == b->base_len && a->end_id == b->end_id);
    for (;;) {
        struct record one = rest_of(&x), other = rest_of(&y);
        uint32_t len = one.len < other.len ? one.len : other.len;
        if (len == 0) break;
        CHECK(one.id == other.id && one.state == other.state);
        CHECK(one.origin.left == other.origin.left && one.origin.right == other.origin.right);
        CHECK(one.origin.peer == other.origin.peer);
        read_on(&x, len);
        read_on(&y, len);
    }
    CHECK(rest_of(&x).len == 0 && rest_of(&y).len == 0);
}
