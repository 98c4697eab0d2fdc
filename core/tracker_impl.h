/* tracker_impl.h -- the record tree: its data, and what its parts know of each other.
 *
 * Data first.  A *record* is a run of elements with consecutive ids, inserted one behind the other
 * by one peer, that share one state:
 *
 *     id, len      elements id .. id+len-1
 *     state        bit 31: deleted in the effect version; the rest counts for the prepare version:
 *                  0 not yet inserted (NYI), 1 visible, n+1 deleted n times
 *     left, right  FugueMax origins of the first element; element k > 0 has left origin id+k-1
 *     peer         breaks ties; of placeholders 0
 *
 * A counter, where a flag would look sufficient, because two concurrent deletes of one element must
 * both be taken out again, and because a range can then be retreated in any order.
 *
 * Records stand in document order in the leaves of a B+ tree.  A leaf keeps id, len and state in an
 * array each, because searches read one or two of them, all entries at a time (lanes.h): so those
 * behind the last in use have length 0.  Who made a record, and between what, only matters when it
 * meets a concurrent one.  Nodes sum, per child, prepare length, effect
 * length and the number of elements that are not NYI (`known`; it finds a right origin behind
 * thousands of concurrent siblings in one climb).  Records are never removed, so nothing is ever
 * merged or rebalanced.  Leaves and nodes are indexes into two growing arrays, and a reset sets two
 * counters.
 *
 * From an id to its record: `pages` of 512 ids, made when an id in them first *starts* something,
 * hold a bit for each start and, for that id alone, a target: the leaf of the record that starts
 * there and which of its records that was when we looked last, the first element that the delete
 * starting there took, or NONE where a set or a hole starts: what was fed ends at the next start,
 * whatever that is.  A look-up goes back to the
 * previous start bit; two levels of summary bits over the page table skip what has no page, such as
 * a megabyte of placeholders.  (A second tree keyed by id cost 17 % of a long merge elsewhere.)
 * Reset forgets the pages one by one, hence never touches anything in proportion to base_len.
 *
 * `cache` is the leaf of the last search with the positions at its start, so that typing costs no
 * descent; `due` are the leaves with changes that the nodes above do not know yet, so that typing
 * costs no climb, and going to another branch, which changes thousands of records in some leaves,
 * one for each leaf. */
#ifndef SYN_CORE_TRACKER_IMPL_H
#define SYN_CORE_TRACKER_IMPL_H

#include "tracker.h"

#ifdef SYN_STRESS
enum { LEAF = 4, FAN = 4 };
#else
enum { LEAF = 16, FAN = 16 };
#endif
enum { PAGE = 512, PAGE_WORDS = PAGE / 64 };

#define NONE    UINT32_MAX
#define START   (UINT32_MAX - 1) /* left origin of what has none */
#define END     UINT32_MAX       /* right origin of what has none */
#define MAX_IDS (UINT32_C(1) << 31)

#define NYI     0U
#define VISIBLE 1U
#define GONE    (UINT32_C(1) << 31)
#define COUNT   (~GONE)

struct origin {
    uint32_t left, right;
    uint64_t peer;
};

struct record {
    uint32_t id, len, state;
    struct origin origin;
};

/* What tracker_scan.c knows of all records of a leaf or node; made: it does. */
struct digest {
    bool made;
    uint32_t opens, left, nearest, furthest, last;
    uint64_t peer, most;
};

/* Lengths of a stretch of records.  Also differences: they wrap. */
struct sums {
    uint32_t prepare, effect, known;
};

struct leaf {
    uint32_t id[LEAF], len[LEAF], state[LEAF];
    struct origin origin[LEAF];
    uint32_t n, next, parent, slot; /* slot: which child of the parent */
    bool is_due;                    /* its number is in tracker.due */
    struct sums due;                /* what the nodes above lack of its sums */
    struct digest digest;
};

struct node {
    uint32_t prepare[FAN], effect[FAN], known[FAN], child[FAN];
    uint32_t n, level, parent, slot; /* level 0: the children are leaves */
    struct digest digest;
};

struct page {
    uint64_t start[PAGE_WORDS];   /* something starts here; the others are valid only there */
    uint64_t deletes[PAGE_WORDS]; /* a delete (or set, or hole), not a record */
    uint64_t back[PAGE_WORDS];    /* the delete goes from its target towards lower ids */
    uint32_t target[PAGE];        /* a record, see target_of; or element; NONE for a set or hole */
    uint32_t number;
};

/* A place in the tree: a record, or the gap before it (then idx may be the leaf's n). */
struct at {
    uint32_t leaf, idx;
};

struct tracker {
    const syn_mem *mem;
    uint32_t base_len, next_id, end_id, root; /* end_id: no id from there on has been fed */
    struct sums total;
    uint64_t work;
    ARRAY(struct leaf) leaves; /* leaves.at[0] is always the first in order: splits go right */
    ARRAY(struct node) nodes;
    ARRAY(struct page) pages;
    ARRAY(uint32_t) table; /* page number -> 1 + index in pages, 0: none */
    ARRAY(uint64_t) mid;   /* a bit per table entry: has a page */
    ARRAY(uint64_t) top;   /* a bit per word of mid: is not 0 */
    struct {
        uint32_t leaf, prepare, effect, len; /* NONE; positions at its start; its prepare length */
    } cache;
    ARRAY(uint32_t) due; /* has room for all leaves */
};

static inline uint64_t bit(uint32_t i)
{
    return UINT64_C(1) << (i % 64);
}

/* Where `wanted` stands in an array that holds it once.  All entries are looked at, because that
 * takes a few vector steps and no guess of the branch predictor.  What lies behind the entries in
 * use does no harm: those moved to a right neighbour for good, the others are NONE. */
static inline uint32_t index_in(const uint32_t *at, uint32_t count, uint32_t wanted)
{
    uint32_t found = 0;
    for (uint32_t i = 0; i < count; i++) found += at[i] == wanted ? i : 0;
    return found;
}

/* ---- Lengths */

static inline struct sums record_sums(uint32_t len, uint32_t state)
{
    struct sums s = {.prepare = (state & COUNT) == VISIBLE ? len : 0,
                     .effect = (state & GONE) != 0 ? 0 : len,
                     .known = (state & COUNT) == NYI ? 0 : len};
    return s;
}

static inline void sums_add(struct sums *s, struct sums more)
{
    s->prepare += more.prepare;
    s->effect += more.effect;
    s->known += more.known;
}

static inline struct sums sums_minus(struct sums a, struct sums b)
{
    return (struct sums){a.prepare - b.prepare, a.effect - b.effect, a.known - b.known};
}

static inline struct sums leaf_sums(const struct leaf *leaf)
{
    struct sums s = {0};
    for (uint32_t i = 0; i < leaf->n; i++) sums_add(&s, record_sums(leaf->len[i], leaf->state[i]));
    return s;
}

static inline struct sums node_sums(const struct node *node)
{
    struct sums s = {0};
    for (uint32_t i = 0; i < node->n; i++)
        sums_add(&s, (struct sums){node->prepare[i], node->effect[i], node->known[i]});
    return s;
}

/* ---- tracker_ids.c: from an id to what starts there */

/* Room in the id space for `more` ids from next_id on. */
syn_err ids_reserve(struct tracker *t, uint32_t more);
/* `len` ids from next_id on have been fed. */
static inline void ids_fed(struct tracker *t, uint32_t len)
{
    t->next_id += len;
    if (t->end_id < t->next_id) t->end_id = t->next_id;
}
/* The last start before id, and its page.  There is one: id 0 starts something. */
const struct page *ids_start_below(const struct tracker *t, uint32_t id, uint32_t *start);
/* The last start at or before id: mostly the id itself. */
static inline const struct page *ids_start_before(const struct tracker *t, uint32_t id,
                                                  uint32_t *start)
{
    uint32_t known = t->table.at[id / PAGE], i = id % PAGE;
    if (known == 0 || (t->pages.at[known - 1].start[i / 64] & bit(i)) == 0)
        return ids_start_below(t, id, start);
    *start = id;
    return &t->pages.at[known - 1];
}
/* The page of an id at which something starts. */
static inline struct page *ids_page(struct tracker *t, uint32_t start)
{
    return &t->pages.at[t->table.at[start / PAGE] - 1];
}
/* The first start after id, but at most limit. */
uint32_t ids_start_after(const struct tracker *t, uint32_t id, uint32_t limit);
void ids_put_record(struct tracker *t, uint32_t id, struct at at);
void ids_put_delete(struct tracker *t, uint32_t id, uint32_t target, bool back);
/* A hole starts there, unless something else does. */
syn_err ids_put_hole(struct tracker *t, uint32_t id);
/* The record before id has grown over it. */
void ids_no_start(struct tracker *t, uint32_t id);
/* The record that moved to another leaf. */
void ids_moved(struct tracker *t, uint32_t id, struct at at);
void ids_forget(struct tracker *t);

/* ---- tracker_tree.c: records in their order */

/* An element: its record, which of it, and where it stands in the effect version. */
struct spot {
    struct at at;
    uint32_t off, effect;
};

/* What one step may take, which is two cuts and a new record, each of which may split its way up to
 * the root and start something in a page of its own. */
enum { STEP_LEAVES = 3, STEP_PAGES = 4 };
syn_err tree_reserve_more(struct tracker *t, uint32_t nodes);
/* Room for one step.  After it the step cannot fail. */
static inline syn_err tree_reserve(struct tracker *t)
{
    uint32_t nodes = 3 * (t->nodes.at[t->root].level + 3);
    bool enough = t->leaves.cap - t->leaves.n >= STEP_LEAVES &&
                  t->due.cap - t->leaves.n >= STEP_LEAVES && t->nodes.cap - t->nodes.n >= nodes &&
                  t->pages.cap - t->pages.n >= STEP_PAGES;
    return enough ? SYN_OK : tree_reserve_more(t, nodes);
}
/* One empty leaf under one node; room for both is there. */
void tree_init(struct tracker *t);
/* Something in this leaf changed by diff.  The nodes above learn of it when somebody is about to
 * ask them (tree_settle). */
static inline void tree_changed(struct tracker *t, uint32_t at, struct sums diff)
{
    struct leaf *leaf = &t->leaves.at[at];
    if (!leaf->is_due) {
        *array_push(&t->due) = at;
        leaf->is_due = true;
        leaf->due = (struct sums){0};
    }
    sums_add(&leaf->due, diff);
    sums_add(&t->total, diff);
    if (t->cache.leaf == at) t->cache.len += diff.prepare;
}
void tree_settle(struct tracker *t);
/* Puts a record into the gap; its sums are the caller's.  Returns where it is. */
struct at tree_put(struct tracker *t, struct at gap, const struct record *r);
/* Lengthens the record before the gap by r, if r continues it; its sums are the caller's. */
bool tree_extend(struct tracker *t, struct at gap, const struct record *r);
/* Makes elements [off, off+len) of the record a record of their own, and returns it; what was
 * behind them in the record is the next in the same leaf. */
struct at tree_isolate(struct tracker *t, struct at at, uint32_t off, uint32_t len);
/* Returns what that changes in the leaf's sums, which the caller passes on to tree_changed. */
static inline struct sums tree_set_state(struct tracker *t, struct at at, uint32_t state)
{
    struct leaf *leaf = &t->leaves.at[at.leaf];
    uint32_t len = leaf->len[at.idx];
    struct sums before = record_sums(len, leaf->state[at.idx]);
    leaf->state[at.idx] = state;
    return sums_minus(record_sums(len, state), before);
}
/* A record as a page's target. */
static inline uint32_t target_of(struct at at)
{
    return at.leaf * LEAF + at.idx;
}
/* The record that starts with that id, which has that target.  Within the leaf, it may have moved
 * since. */
static inline struct at tree_find_start(const struct tracker *t, uint32_t target, uint32_t id)
{
    struct at at = {target / LEAF, target % LEAF};
    const struct leaf *leaf = &t->leaves.at[at.leaf];
    if (leaf->id[at.idx] != id) at.idx = index_in(leaf->id, LEAF, id);
    assert(at.idx < leaf->n && leaf->id[at.idx] == id);
    return at;
}
/* The record that the element is in. */
struct at tree_locate(const struct tracker *t, uint32_t id);
/* Where a gap is a record: the next one, which may be in the next leaf.  NONE: the end. */
struct at tree_record_at(const struct tracker *t, struct at gap);
void tree_cache_first(struct tracker *t);
/* The pos-th visible element (from 0). */
struct spot tree_find_visible(struct tracker *t, uint32_t pos);
/* Does element a stand before element b? */
bool tree_stands_before(const struct tracker *t, uint32_t a, uint32_t b);
/* The right origin of what is inserted before this record: the next element, deleted or not, that
 * is in the prepare version.  END: none. */
uint32_t tree_known_after(struct tracker *t, struct at at);

/* ---- tracker_scan.c: where among concurrent records */

/* Where a record goes: the gap, and what stands before it in the effect version. */
struct gap {
    struct at at;
    uint32_t effect;
};
/* `gap` is the one behind r's left origin. */
struct gap scan_integrate(struct tracker *t, const struct record *r, struct gap gap);
/* A record came into the leaf, or left it. */
void scan_spoil(struct tracker *t, uint32_t leaf);

#endif
