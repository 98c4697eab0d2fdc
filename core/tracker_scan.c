/* tracker_scan.c -- where an insert goes among concurrent ones: FugueMax, sub-linear.
 *
 * FugueMax (YjsMod's integrate) walks over the records between the new record's origins L and R,
 * none of which is in the prepare version, and of each asks its origins:
 *
 *     left stands before L     stop: it belongs to something further left
 *     left stands after L      it hangs on something passed: pass it, too
 *     left is L, right is R    a rival: the smaller peer stands first; stop before a greater one
 *     left is L, right nearer  (before R) it may hang on a rival from the left: pass it, but
 *                              come back to here unless a rival behind it is passed as well
 *     left is L, right further it stands before us: pass it
 *
 * Thousands who type at one place, or two who type backwards, would make every insert a walk over
 * all of the others.  So a leaf or node has a *digest* of its records, from which the outcome for
 * all of them at once can mostly be told: the left origin that stands first, and, of the records
 * that have it, the nearest, furthest and last right origin, and the greatest peer, of all and
 * under the furthest; and the left origin of the very first record, because what hangs on something
 * in front of them is passed before they have a say.  Where runs typed backwards stand one behind
 * the other, rivals are mixed with nearer ones, and the place to come back to is somewhere inside:
 * such a subtree is passed as a whole, too, and entered at the end if it was the last of its kind.
 *
 * Digests are made when a walk has become long, and only for subtrees no larger than what it has
 * passed.  A new record spoils those above it; one that is spoilt has only spoilt ones above, so in
 * a tree without digests that costs one look.  Cutting a record spoils none: the second part hangs
 * on the first. */
#include "tracker_impl.h"

/* ---- Digests */

void scan_spoil(struct tracker *t, uint32_t leaf)
{
    if (!t->leaves.at[leaf].digest.made) return;
    t->leaves.at[leaf].digest.made = false;
    for (uint32_t above = t->leaves.at[leaf].parent; above != NONE;
         above = t->nodes.at[above].parent) {
        if (!t->nodes.at[above].digest.made) return;
        t->nodes.at[above].digest.made = false;
    }
}

/* Joins what is known of some records and of some more, with the same left origin. */
static void join_siblings(const struct tracker *t, struct digest *d, const struct digest *more)
{
    d->last = more->last;
    if (d->most < more->most) d->most = more->most;
    if (tree_stands_before(t, more->nearest, d->nearest)) d->nearest = more->nearest;
    if (d->furthest == more->furthest) {
        if (d->peer < more->peer) d->peer = more->peer;
    } else if (tree_stands_before(t, d->furthest, more->furthest)) {
        d->furthest = more->furthest;
        d->peer = more->peer;
    }
}

static void join(const struct tracker *t, struct digest *d, const struct digest *more)
{
    uint32_t opens = d->opens;
    if (!d->made) {
        *d = *more;
    } else if (more->left == d->left) {
        join_siblings(t, d, more);
    } else if (tree_stands_before(t, more->left, d->left)) {
        *d = *more;
        d->opens = opens;
    }
}

static const struct digest *leaf_digest(struct tracker *t, uint32_t at)
{
    struct leaf *leaf = &t->leaves.at[at];
    struct digest *d = &leaf->digest;
    if (d->made) return d;
    for (uint32_t i = 0; i < leaf->n; i++) {
        const struct origin *o = &leaf->origin[i];
        struct digest one = {true,     o->left,  o->left, o->right,
                             o->right, o->right, o->peer, o->peer};
        bool hangs_on_last = i > 0 && o->left - leaf->id[i - 1] < leaf->len[i - 1];
        if (!hangs_on_last) join(t, d, &one);
    }
    t->work += leaf->n;
    return d;
}

/* The recursion is as deep as the tree is high. */
static const struct digest *node_digest(struct tracker *t, uint32_t at)
{
    struct node *node = &t->nodes.at[at];
    if (node->digest.made) return &node->digest;
    for (uint32_t i = 0; i < node->n; i++)
        join(t, &node->digest,
             node->level == 0 ? leaf_digest(t, node->child[i]) : node_digest(t, node->child[i]));
    t->work += node->n;
    return &node->digest;
}

/* ---- Walking */

/* A subtree: a leaf, or a node. */
struct tree_part {
    uint32_t at, level; /* level 0: a leaf; n+1: a node of level n */
};

struct scan {
    const struct record *r;
    struct gap now, dest; /* dest: where r goes, as far as we know */
    bool scanning;        /* r goes before what we pass, unless a later rival says otherwise */
    uint32_t passed;      /* records */
    uint32_t lower;       /* only parts of lower levels are passed as a whole */
    bool inside;          /* dest is not known yet: it lies in this part, which begins there */
    struct tree_part part;
    struct gap begin;
};

/* A right origin's place, seen from r's. */
enum place { NEARER, SAME, FURTHER };

static enum place place_of(const struct tracker *t, uint32_t right, uint32_t of_r)
{
    if (right == of_r) return SAME;
    return tree_stands_before(t, right, of_r) ? NEARER : FURTHER;
}

/* Passes all records of the digest, if that can be told from it.  *mixed: behind the last of them
 * that r goes behind, there are nearer ones. */
static bool pass_digest(const struct tracker *t, struct scan *s, const struct digest *d,
                        bool *mixed)
{
    const struct origin *r = &s->r->origin;
    *mixed = false;
    if (d->left != r->left) return tree_stands_before(t, r->left, d->left);
    enum place furthest = place_of(t, d->furthest, r->right);
    if (furthest == NEARER) {
        if (!s->scanning && d->opens != r->left) return false;
        s->scanning = true;
        return true;
    }
    bool stops = furthest == SAME
                     ? d->peer > r->peer
                     : d->most > r->peer && place_of(t, d->nearest, r->right) != FURTHER;
    if (stops) return false; /* or might */
    *mixed = s->scanning = place_of(t, d->last, r->right) == NEARER;
    return true;
}

/* That is where r goes, as far as we know. */
static void come_here(struct scan *s, struct gap gap)
{
    s->dest = gap;
    s->inside = false;
}

/* Passes a whole subtree, if it can be. */
static bool pass_part(struct tracker *t, struct scan *s, struct tree_part part)
{
    uint32_t above, slot, last = part.at;
    if (part.level == 0) {
        above = t->leaves.at[part.at].parent;
        slot = t->leaves.at[part.at].slot;
    } else {
        above = t->nodes.at[part.at].parent;
        slot = t->nodes.at[part.at].slot;
    }
    if (above == NONE || t->nodes.at[above].known[slot] > 0) return false;
    bool mixed;
    struct gap begin = s->now;
    if (!pass_digest(t, s, part.level == 0 ? leaf_digest(t, part.at) : node_digest(t, part.at),
                     &mixed))
        return false;
    if (mixed) {
        s->inside = true;
        s->part = part;
        s->begin = begin;
    }
    for (uint32_t level = part.level; level > 0; level--) {
        const struct node *node = &t->nodes.at[last];
        last = node->child[node->n - 1];
    }
    s->now.effect += t->nodes.at[above].effect[slot];
    s->now.at = (struct at){last, t->leaves.at[last].n};
    if (!s->scanning) come_here(s, s->now);
    return true;
}

/* The same of the largest subtree that begins with this leaf, is no larger than what was passed,
 * and lower than s->lower. */
static bool pass_largest(struct tracker *t, struct scan *s, uint32_t leaf)
{
    struct tree_part part = {leaf, 0};
    uint32_t slot = t->leaves.at[leaf].slot, above = t->leaves.at[leaf].parent, size = LEAF;
    t->work++;
    while (slot == 0 && above != NONE && size <= s->passed / FAN && part.level + 1 < s->lower) {
        part = (struct tree_part){above, part.level + 1};
        slot = t->nodes.at[above].slot;
        above = t->nodes.at[above].parent;
        size *= FAN;
    }
    for (;; size /= FAN) {
        if (pass_part(t, s, part)) {
            s->passed += size;
            return true;
        }
        if (part.level == 0) return false;
        part = (struct tree_part){t->nodes.at[part.at].child[0], part.level - 1};
    }
}

/* Does NYI record `at` have its right origin before `right`, the end of the NYI stretch it is in?
 * Typing backwards makes each record the right origin of the one before it, so look there first. */
static bool right_is_before(const struct tracker *t, struct at at, uint32_t right)
{
    const struct leaf *leaf = &t->leaves.at[at.leaf];
    uint32_t its = leaf->origin[at.idx].right, i = at.idx + 1;
    if (i < leaf->n && leaf->id[i] == its) return (leaf->state[i] & COUNT) == NYI;
    return tree_stands_before(t, its, right);
}

/* Passes the records of the leaf from now.at on.  false: the walk ends. */
static bool pass_records(struct tracker *t, struct scan *s)
{
    struct at *at = &s->now.at;
    const struct leaf *leaf = &t->leaves.at[at->leaf];
    const struct origin *r = &s->r->origin;
    uint32_t first = at->idx; /* the record before it may be the one that L is in: not passed */
    for (; at->idx < leaf->n; at->idx++, s->passed++) {
        uint32_t i = at->idx, left = leaf->origin[i].left;
        t->work++;
        if ((leaf->state[i] & COUNT) != NYI) return false;
        bool hangs_on_last = i > first && left - leaf->id[i - 1] < leaf->len[i - 1];
        if (left == r->left) {
            if (leaf->origin[i].right != r->right)
                s->scanning = right_is_before(t, *at, r->right);
            else if (r->peer < leaf->origin[i].peer)
                return false;
            else
                s->scanning = false;
        } else if (!hangs_on_last && !tree_stands_before(t, r->left, left)) {
            return false;
        }
        if ((leaf->state[i] & GONE) == 0) s->now.effect += leaf->len[i];
        if (!s->scanning) come_here(s, (struct gap){{at->leaf, i + 1}, s->now.effect});
    }
    return true;
}

/* Passes the leaves from `leaf` up to `stop`, as far as the walk goes. */
static void pass_leaves(struct tracker *t, struct scan *s, uint32_t leaf, uint32_t stop)
{
    enum { LONG = 4 * LEAF }; /* from here on digests pay */
    for (; leaf != stop; leaf = t->leaves.at[s->now.at.leaf].next) {
        if (s->passed >= LONG && s->lower > 0) {
            tree_settle(t);
            if (pass_largest(t, s, leaf)) continue;
        }
        s->now.at = (struct at){leaf, 0};
        if (!pass_records(t, s)) return;
    }
}

/* Walks through the part that was passed as a whole, which leaves a lower one or none to enter. */
static void enter_part(struct tracker *t, struct scan *s)
{
    struct tree_part first = s->part, last = s->part;
    for (; first.level > 0; first.level--) first.at = t->nodes.at[first.at].child[0];
    for (; last.level > 0; last.level--) {
        const struct node *node = &t->nodes.at[last.at];
        last.at = node->child[node->n - 1];
    }
    s->lower = s->part.level;
    s->now = s->begin;
    s->scanning = true; /* whatever it was: a rival follows */
    s->inside = false;
    pass_leaves(t, s, first.at, t->leaves.at[last.at].next);
}

struct gap scan_integrate(struct tracker *t, const struct record *r, struct gap gap)
{
    struct scan s = {.r = r, .now = gap, .dest = gap, .lower = UINT32_MAX};
    if (pass_records(t, &s)) pass_leaves(t, &s, t->leaves.at[gap.at.leaf].next, NONE);
    while (s.inside) enter_part(t, &s);
    return s.dest;
}
