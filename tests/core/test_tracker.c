/* test_tracker.c -- the record tree against a naive FugueMax replica.
 *
 * The twin is written from the words of the protocol, not from the tracker: a tree of all elements,
 * where each knows its parent and side, and which of them a version shows is computed anew from
 * sets of ancestors (one bit per event).  No state is ever moved back or forth in it.  Random
 * histories are fed to both; texts are compared after every feeding. */
#include "tracker.h"

#include <check.h>
#include <stdio.h>
#include <stdlib.h>

enum { MAX_EVENTS = 512, WORDS = MAX_EVENTS / 64, MAX_REPLICAS = 6, CROWD = 60 };

static void *heap_resize(void *user, void *ptr, size_t old_size, size_t new_size)
{
    (void)user;
    (void)old_size;
    if (new_size == 0) {
        free(ptr);
        return NULL;
    }
    return realloc(ptr, new_size);
}

static const syn_mem heap = {heap_resize, NULL};

/* ---- Random numbers (xorshift64*)
 * ---------------------------------------------------------------- */

struct random {
    uint64_t x;
};

static uint32_t below(struct random *r, uint32_t n)
{
    r->x ^= r->x >> 12;
    r->x ^= r->x << 25;
    r->x ^= r->x >> 27;
    return (uint32_t)((r->x * UINT64_C(2685821657736338717)) >> 33) % n;
}

static struct random seeded(uint32_t seed)
{
    struct random r = {(seed + 1) * UINT64_C(0x9E3779B97F4A7C15)};
    for (int i = 0; i < 8; i++) (void)below(&r, 2);
    return r;
}

static uint32_t seeds(uint32_t n)
{
    const char *more = getenv("SYN_SEEDS");
    uint32_t times = more != NULL ? (uint32_t)strtoul(more, NULL, 10) : 1;
    return n * (times > 0 ? times : 1);
}

/* ---- The twin -------------------------------------------------------------------------------- */

struct version {
    uint64_t has[WORDS];
};

static bool has(const struct version *v, uint32_t e)
{
    return (v->has[e / 64] >> (e % 64) & 1) != 0;
}

static void put(struct version *v, uint32_t e)
{
    v->has[e / 64] |= UINT64_C(1) << (e % 64);
}

static void join(struct version *v, const struct version *w)
{
    for (int i = 0; i < WORDS; i++) v->has[i] |= w->has[i];
}

enum kind { INSERT, DELETE, SET };

/* An event; an insert is also an element of the tree. */
struct event {
    enum kind kind;
    uint32_t pos;
    uint64_t peer;
    struct version before; /* its ancestors */
    int target;            /* DELETE, SET: the element */
    int parent;            /* INSERT: -1 is the start */
    int left, right;       /* origins; -1 the start, -1 the end */
    bool right_side;
};

struct twin {
    struct event e[MAX_EVENTS];
    uint32_t n;
    int order[MAX_EVENTS]; /* all elements as they stand */
    uint32_t count;
};

static int place(const struct twin *w, int element)
{
    if (element < 0) return MAX_EVENTS;
    for (uint32_t i = 0; i < w->count; i++)
        if (w->order[i] == element) return (int)i;
    return MAX_EVENTS;
}

/* Does sibling a stand before sibling b (same parent and side)? */
static bool sibling_before(const struct twin *w, int a, int b)
{
    const struct event *x = &w->e[a], *y = &w->e[b];
    if (x->right_side && x->right != y->right) return place(w, x->right) > place(w, y->right);
    return x->peer != y->peer ? x->peer < y->peer : a < b;
}

static void walk(const struct twin *w, int parent, bool right_side, int *out, uint32_t *n)
{
    int child[MAX_EVENTS], k = 0;
    for (uint32_t i = 0; i < w->n; i++) {
        const struct event *e = &w->e[i];
        if (e->kind != INSERT || e->parent != parent || e->right_side != right_side) continue;
        int at = k++;
        for (; at > 0 && sibling_before(w, (int)i, child[at - 1]); at--) child[at] = child[at - 1];
        child[at] = (int)i;
    }
    for (int i = 0; i < k; i++) {
        walk(w, child[i], false, out, n);
        out[(*n)++] = child[i];
        walk(w, child[i], true, out, n);
    }
}

static bool shown(const struct twin *w, int element, const struct version *v)
{
    if (!has(v, (uint32_t)element)) return false;
    for (uint32_t i = 0; i < w->n; i++)
        if (w->e[i].kind == DELETE && w->e[i].target == element && has(v, i)) return false;
    return true;
}

static uint32_t text_at(const struct twin *w, const struct version *v, int *out)
{
    uint32_t n = 0;
    for (uint32_t i = 0; i < w->count; i++)
        if (shown(w, w->order[i], v)) out[n++] = w->order[i];
    return n;
}

static void twin_insert(struct twin *w, struct event *e)
{
    int text[MAX_EVENTS];
    (void)text_at(w, &e->before, text);
    e->left = e->pos == 0 ? -1 : text[e->pos - 1];
    e->right = -1;
    uint32_t i = e->left < 0 ? 0 : (uint32_t)place(w, e->left) + 1;
    for (; i < w->count && e->right < 0; i++)
        if (has(&e->before, (uint32_t)w->order[i])) e->right = w->order[i];
    e->right_side = true;
    e->parent = e->left;
    for (i = 0; i < w->n; i++) {
        const struct event *o = &w->e[i];
        if (o->kind == INSERT && has(&e->before, i) && o->right_side && o->parent == e->left)
            e->right_side = false;
    }
    if (!e->right_side) e->parent = e->right;
    w->e[w->n++] = *e;
    int order[MAX_EVENTS];
    uint32_t n = 0;
    walk(w, -1, true, order, &n);
    ck_assert_uint_eq(n, w->count + 1);
    memcpy(w->order, order, n * sizeof order[0]);
    w->count = n;
}

static void twin_add(struct twin *w, enum kind kind, uint64_t peer, uint32_t pos,
                     const struct version *before)
{
    struct event e = {.kind = kind, .pos = pos, .peer = peer, .before = *before, .target = -1};
    if (kind == INSERT) {
        twin_insert(w, &e);
        return;
    }
    int text[MAX_EVENTS];
    ck_assert_uint_lt(pos, text_at(w, before, text));
    e.target = text[pos];
    w->e[w->n++] = e;
}

/* ---- Random histories ------------------------------------------------------------------------ */

struct run {
    enum kind kind;
    bool back;
    uint32_t event, len;
};

struct history {
    struct twin w;
    struct run run[MAX_EVENTS];
    uint32_t runs;
    int text[MAX_EVENTS]; /* scratch */
};

static void random_run(struct history *h, struct random *r, uint64_t peer, struct version *v)
{
    uint32_t size = text_at(&h->w, v, h->text), len = 1 + below(r, 4), roll = below(r, 10);
    struct run run = {.kind = INSERT, .event = h->w.n};
    uint32_t pos = below(r, size + 1);
    if (below(r, 4) == 0) pos = 0; /* many at one place */
    if (roll >= 6 && size > 0) {
        run.kind = roll == 9 ? SET : DELETE;
        run.back = run.kind == DELETE && below(r, 2) == 0;
        pos = below(r, size);
        uint32_t room = run.back ? pos + 1 : size - pos;
        if (len > room) len = room;
    }
    for (run.len = 0; run.len < len; run.len++) {
        uint32_t at = pos, e = h->w.n;
        if (run.kind != DELETE) at = pos + run.len;
        if (run.back) at = pos - run.len;
        twin_add(&h->w, run.kind, peer, at, v);
        put(v, e);
    }
    h->run[h->runs++] = run;
}

static void random_history(struct history *h, struct random *r, uint32_t events)
{
    struct version v[MAX_REPLICAS];
    memset(v, 0, sizeof v);
    h->w.n = h->w.count = h->runs = 0;
    uint32_t replicas = 2 + below(r, MAX_REPLICAS - 1);
    uint64_t high = below(r, 2) == 0 ? UINT64_C(1) << 63 : 1; /* ties compare unsigned */
    while (h->w.n + 4 < events) {
        uint32_t i = below(r, replicas);
        if (below(r, 3) == 0) join(&v[i], &v[below(r, replicas)]);
        if (below(r, 40) == 0) { /* all meet: the next event is critical */
            for (uint32_t k = 0; k < replicas; k++) join(&v[0], &v[k]);
            random_run(h, r, 1, &v[0]);
            for (uint32_t k = 1; k < replicas; k++) v[k] = v[0];
        }
        random_run(h, r, i == 1 ? high + 7 : 1 + i, &v[i]);
    }
}

/* Many who type at one place, forwards or backwards, and seldom learn of one another. */
static void crowded_history(struct history *h, struct random *r, uint32_t events)
{
    static struct version v[CROWD];
    memset(v, 0, sizeof v);
    h->w.n = h->w.count = h->runs = 0;
    random_run(h, r, CROWD, &v[0]);
    uint32_t replicas = 2 + below(r, CROWD - 2), meet = 10 + below(r, 200);
    for (uint32_t k = 1; k < replicas; k++) v[k] = v[0];
    while (h->w.n + 4 < events) {
        uint32_t i = below(r, replicas), e = h->w.n;
        if (below(r, meet) == 0) join(&v[i], &v[below(r, replicas)]);
        uint32_t size = text_at(&h->w, &v[i], h->text);
        uint32_t most = below(r, 20) == 0 ? size : size < 2 ? size : 2;
        struct run run = {.kind = INSERT, .event = e, .len = 1};
        if (below(r, 10) == 0 && size > 0) run.kind = DELETE;
        twin_add(&h->w, run.kind, 1 + (i * 7 + 3) % CROWD,
                 below(r, run.kind == DELETE ? size : most + 1), &v[i]);
        put(&v[i], e);
        h->run[h->runs++] = run;
    }
}

/* Is everything after the event a descendant of it, and it one of everything before? */
static bool critical(const struct twin *w, uint32_t e)
{
    for (uint32_t i = 0; i < e; i++)
        if (!has(&w->e[e].before, i)) return false;
    for (uint32_t i = e + 1; i < w->n; i++)
        if (!has(&w->e[i].before, e)) return false;
    return true;
}

/* ---- Feeding --------------------------------------------------------------------------------- */

/* A text that follows the effects, and the version that the tracker is prepared at. */
struct follower {
    struct tracker *t;
    const struct twin *w;
    struct version prepared;
    uint32_t first, base_len; /* event `first` has id base_len */
    struct tracker *other;    /* stands at another version; or NULL */
    struct version other_prepared;
    int text[MAX_EVENTS];
    uint32_t n;
};

static void move_range(struct follower *f, uint32_t from, uint32_t to, bool advance)
{
    uint32_t id = f->base_len + from - f->first;
    syn_err err =
        advance ? tracker_advance(f->t, id, to - from) : tracker_retreat(f->t, id, to - from);
    ck_assert_int_eq(err, SYN_OK);
    tracker_check(f->t);
}

/* Events of `from` that are not in `to`, as ranges in a random direction. */
static void move_difference(struct follower *f, struct random *r, const struct version *from,
                            const struct version *to, uint32_t fed, bool advance)
{
    uint32_t lo[MAX_EVENTS], hi[MAX_EVENTS], n = 0;
    for (uint32_t e = f->first; e < fed; e++) {
        if (!has(from, e) || has(to, e)) continue;
        if (n > 0 && hi[n - 1] == e && below(r, 8) != 0) {
            hi[n - 1]++;
            continue;
        }
        lo[n] = e;
        hi[n++] = e + 1;
    }
    bool down = below(r, 2) == 0;
    for (uint32_t i = 0; i < n; i++) {
        uint32_t k = down ? n - 1 - i : i;
        move_range(f, lo[k], hi[k], advance);
    }
}

static void prepare(struct follower *f, struct random *r, uint32_t event)
{
    const struct version *to = &f->w->e[event].before;
    struct version from = f->prepared;
    move_difference(f, r, &from, to, event, false);
    move_difference(f, r, to, &from, event, true);
    f->prepared = *to;
}

static void text_insert(struct follower *f, struct tracker_effect at, uint32_t event)
{
    ck_assert_uint_le(at.pos, f->n);
    memmove(&f->text[at.pos + at.len], &f->text[at.pos], (f->n - at.pos) * sizeof f->text[0]);
    for (uint32_t i = 0; i < at.len; i++) f->text[at.pos + i] = (int)(event + i);
    f->n += at.len;
}

static void text_delete(struct follower *f, struct tracker_effect at)
{
    ck_assert_uint_gt(at.len, 0);
    ck_assert_uint_le((uint64_t)at.pos + at.len, f->n);
    f->n -= at.len;
    memmove(&f->text[at.pos], &f->text[at.pos + at.len], (f->n - at.pos) * sizeof f->text[0]);
}

static void feed_set(struct follower *f, uint32_t event, uint32_t len)
{
    uint32_t where[MAX_EVENTS];
    ck_assert_int_eq(tracker_set(f->t, f->w->e[event].pos, len, where), SYN_OK);
    for (uint32_t i = 0; i < len; i++) {
        uint32_t at = 0;
        while (at < f->n && f->text[at] != f->w->e[event + i].target) at++;
        ck_assert_uint_eq(where[i], at < f->n ? at : UINT32_MAX);
    }
}

static void feed(struct follower *f, const struct run *run, uint32_t event, uint32_t len)
{
    const struct event *e = &f->w->e[event];
    struct tracker_effect at;
    tracker_effects effects = {0};
    if (run->kind == INSERT) {
        ck_assert_int_eq(tracker_insert(f->t, e->peer, e->pos, len, &at), SYN_OK);
        ck_assert_uint_eq(at.len, len);
        text_insert(f, at, event);
    } else if (run->kind == DELETE) {
        ck_assert_int_eq(tracker_delete(f->t, e->pos, len, run->back, &effects), SYN_OK);
        for (uint32_t i = 0; i < effects.n; i++) text_delete(f, effects.at[i]);
        array_free(&heap, &effects);
    } else {
        feed_set(f, event, len);
    }
    for (uint32_t i = 0; i < len; i++) put(&f->prepared, event + i);
}

/* The tracker's lengths and the followed text are what the twin shows at this version. */
static void compare(const struct follower *f, const struct version *all)
{
    int text[MAX_EVENTS];
    uint32_t n = text_at(f->w, all, text);
    ck_assert_uint_eq(f->n, n);
    ck_assert_int_eq(memcmp(f->text, text, n * sizeof text[0]), 0);
    ck_assert_uint_eq(tracker_effect_len(f->t), n);
    ck_assert_uint_eq(tracker_prepare_len(f->t), text_at(f->w, &f->prepared, text));
    tracker_check(f->t);
}

/* Now and then a copy stays behind, is gone on from while this stays behind, or is let go. */
static void change_tracker(struct follower *f, struct random *r)
{
    if (f->other == NULL) {
        if (below(r, 10) != 0) return;
        f->other = tracker_copy(f->t);
        f->other_prepared = f->prepared;
    } else if (below(r, 4) == 0) {
        struct tracker *t = f->t;
        struct version prepared = f->prepared;
        f->t = f->other;
        f->prepared = f->other_prepared;
        f->other = t;
        f->other_prepared = prepared;
    } else if (below(r, 40) == 0) {
        tracker_free(f->other);
        f->other = NULL;
    }
}

static void tell_other(struct follower *f, uint32_t event, uint32_t len)
{
    if (f->other == NULL) return;
    int text[MAX_EVENTS];
    uint32_t id = f->base_len + event - f->first;
    ck_assert_int_eq(tracker_follow(f->other, f->t, id, len), SYN_OK);
    ck_assert_uint_eq(tracker_next_id(f->other), id + len);
    ck_assert_uint_eq(tracker_effect_len(f->other), tracker_effect_len(f->t));
    ck_assert_uint_eq(tracker_prepare_len(f->other), text_at(f->w, &f->other_prepared, text));
    tracker_check(f->other);
    tracker_check_same(f->t, f->other);
}

/* Replays the history from event `first` on, whose predecessor is critical. */
static void replay(struct tracker **t, const struct history *h, struct random *r, uint32_t first)
{
    static struct follower f;
    struct version all;
    memset(&all, 0, sizeof all);
    for (uint32_t e = 0; e < first; e++) put(&all, e);
    f = (struct follower){.t = *t, .w = &h->w, .first = first, .prepared = all};
    f.base_len = f.n = text_at(&h->w, &all, f.text);
    ck_assert_int_eq(tracker_reset(f.t, f.base_len), SYN_OK);
    for (uint32_t i = 0; i < h->runs; i++) {
        const struct run *run = &h->run[i];
        uint32_t e = run->event < first ? first : run->event, end = run->event + run->len;
        while (e < end) {
            uint32_t len = below(r, 3) == 0 ? 1 : end - e;
            change_tracker(&f, r);
            prepare(&f, r, e);
            feed(&f, run, e, len);
            tell_other(&f, e, len);
            for (; len > 0; len--) put(&all, e++);
            ck_assert_uint_eq(tracker_next_id(f.t), f.base_len + e - first);
            compare(&f, &all);
        }
    }
    tracker_free(f.other);
    *t = f.t;
}

START_TEST(random_histories_equal_the_naive_fuguemax)
{
    static struct history h;
    struct tracker *t = tracker_new(&heap);
    uint32_t partial = 0, from = (uint32_t)_i * 100, n = seeds(100);
    for (uint32_t s = 0; s < n; s++) {
        uint32_t seed = from + s % 100 + s / 100 * 100000;
        struct random r = seeded(seed);
        if (getenv("SYN_VERBOSE") != NULL) fprintf(stderr, "seed %u\n", seed);
        random_history(&h, &r, 12 + below(&r, seed % 16 == 0 ? 300 : 80));
        replay(&t, &h, &r, 0);
        for (uint32_t e = 0; e + 1 < h.w.n; e++) {
            if (!critical(&h.w, e) || below(&r, 3) != 0) continue;
            replay(&t, &h, &r, e + 1);
            partial++;
        }
    }
    ck_assert_uint_gt(partial, 0);
    tracker_free(t);
}
END_TEST

START_TEST(crowds_at_one_place_equal_the_naive_fuguemax)
{
    static struct history h;
    struct tracker *t = tracker_new(&heap);
    uint32_t from = (uint32_t)_i * 10, n = seeds(10);
    for (uint32_t s = 0; s < n; s++) {
        uint32_t seed = 1000000 + from + s % 10 + s / 10 * 100000;
        struct random r = seeded(seed);
        if (getenv("SYN_VERBOSE") != NULL) fprintf(stderr, "seed %u\n", seed);
        crowded_history(&h, &r, 100 + below(&r, 300));
        replay(&t, &h, &r, 0);
    }
    tracker_free(t);
}
END_TEST

/* ---- By hand --------------------------------------------------------------------------------- */

static uint32_t insert(struct tracker *t, uint64_t peer, uint32_t pos, uint32_t len)
{
    struct tracker_effect at = {0};
    ck_assert_int_eq(tracker_insert(t, peer, pos, len, &at), SYN_OK);
    ck_assert_uint_eq(at.len, len);
    return at.pos;
}

/* One-element inserts cut the base into records of 9 and 1 in turn.  For every number of them, a
 * deletion out of every other 9: some time its record is the last of the half that stays when the
 * leaf splits, and the cut must follow the record, not the index. */
START_TEST(a_leaf_split_exactly_at_the_record_being_cut)
{
    struct tracker *t = tracker_new(&heap);
    for (uint32_t pieces = 0; pieces < 40; pieces++) {
        for (uint32_t at = 0; at <= pieces; at++) {
            ck_assert_int_eq(tracker_reset(t, 1000), SYN_OK);
            for (uint32_t i = 0; i < pieces; i++) /* records of 9 and 1, in order */
                ck_assert_uint_eq(insert(t, 7, 9 + i * 10, 1), 9 + i * 10);
            tracker_effects effects = {0};
            ck_assert_int_eq(tracker_delete(t, at * 10 + 4, 1, false, &effects), SYN_OK);
            ck_assert_uint_eq(effects.n, 1);
            ck_assert_uint_eq(effects.at[0].pos, at * 10 + 4);
            tracker_check(t);
            ck_assert_int_eq(tracker_retreat(t, 1000 + pieces, 1), SYN_OK);
            ck_assert_uint_eq(tracker_prepare_len(t), 1000 + pieces);
            ck_assert_uint_eq(tracker_effect_len(t), 999 + pieces);
            uint32_t where[10];
            ck_assert_int_eq(tracker_set(t, at * 10, 9, where), SYN_OK);
            for (uint32_t i = 0; i < 9; i++)
                ck_assert_uint_eq(where[i], i == 4 ? UINT32_MAX : at * 10 + i - (i > 4));
            tracker_check(t);
            array_free(&heap, &effects);
        }
    }
    tracker_free(t);
}
END_TEST

START_TEST(positions_beyond_the_prepare_version_are_refused)
{
    struct tracker *t = tracker_new(&heap);
    struct tracker_effect at;
    tracker_effects effects = {0};
    uint32_t where[8];
    ck_assert_int_eq(tracker_insert(t, 1, 1, 1, &at), SYN_ERANGE);
    ck_assert_int_eq(tracker_delete(t, 0, 1, false, &effects), SYN_ERANGE);
    ck_assert_int_eq(tracker_delete(t, 0, 1, true, &effects), SYN_ERANGE);
    ck_assert_int_eq(tracker_set(t, 0, 1, where), SYN_ERANGE);
    ck_assert_int_eq(tracker_reset(t, 5), SYN_OK);
    ck_assert_int_eq(tracker_insert(t, 1, 6, 1, &at), SYN_ERANGE);
    ck_assert_int_eq(tracker_insert(t, 1, UINT32_MAX, 1, &at), SYN_ERANGE);
    ck_assert_int_eq(tracker_insert(t, 1, 5, UINT32_MAX, &at), SYN_ELIMIT);
    ck_assert_int_eq(tracker_delete(t, 3, 3, false, &effects), SYN_ERANGE);
    ck_assert_int_eq(tracker_delete(t, 3, UINT32_MAX, false, &effects), SYN_ERANGE);
    ck_assert_int_eq(tracker_delete(t, 3, 5, true, &effects), SYN_ERANGE);
    ck_assert_int_eq(tracker_delete(t, UINT32_MAX, 1, true, &effects), SYN_ERANGE);
    ck_assert_int_eq(tracker_set(t, 4, 2, where), SYN_ERANGE);
    ck_assert_int_eq(tracker_set(t, UINT32_MAX, 2, where), SYN_ERANGE);
    ck_assert_uint_eq(effects.n, 0);
    tracker_free(t);
}
END_TEST

/* FugueMax proper.  a and w are concurrent at the start: "aw".  b goes behind a by a peer that
 * knows a alone (right origin: the end), c by one that knows both (right origin: w).  So b stands
 * first, against the order of their peers, which is what plain Fugue would follow. */
START_TEST(right_siblings_stand_by_right_origin_furthest_first)
{
    enum { A, W, B, C };
    struct tracker *t = tracker_new(&heap);
    ck_assert_uint_eq(insert(t, 1, 0, 1), 0);
    ck_assert_int_eq(tracker_retreat(t, A, 1), SYN_OK);
    ck_assert_uint_eq(insert(t, 2, 0, 1), 1);
    ck_assert_int_eq(tracker_retreat(t, W, 1), SYN_OK);
    ck_assert_int_eq(tracker_advance(t, A, 1), SYN_OK);
    ck_assert_uint_eq(insert(t, 5, 1, 1), 1);
    ck_assert_int_eq(tracker_retreat(t, B, 1), SYN_OK);
    ck_assert_int_eq(tracker_advance(t, W, 1), SYN_OK);
    ck_assert_uint_eq(insert(t, 3, 1, 1), 2);
    ck_assert_uint_eq(tracker_next_id(t), C + 1);
    tracker_check(t);
    tracker_free(t);
}
END_TEST

/* A base of many pages without a start in them, and resets that forget all. */
START_TEST(a_large_base_costs_only_what_is_touched)
{
    enum { BASE = 50 * 1000 * 1000 };
    struct tracker *t = tracker_new(&heap);
    struct random r = seeded(1);
    for (uint32_t round = 0; round < 50; round++) {
        ck_assert_int_eq(tracker_reset(t, BASE), SYN_OK);
        uint32_t removed = 0;
        for (uint32_t i = 0; i < 20; i++) {
            uint32_t pos = below(&r, BASE - 100), len = 1 + below(&r, 50);
            tracker_effects effects = {0};
            ck_assert_int_eq(tracker_delete(t, pos, len, i % 2 == 1 && pos > len, &effects),
                             SYN_OK);
            array_free(&heap, &effects);
            removed += len;
            ck_assert_uint_eq(tracker_effect_len(t), BASE - removed);
        }
        ck_assert_int_eq(tracker_retreat(t, BASE, removed), SYN_OK);
        ck_assert_uint_eq(tracker_prepare_len(t), BASE);
        ck_assert_int_eq(tracker_advance(t, BASE, removed), SYN_OK);
        ck_assert_uint_eq(tracker_prepare_len(t), BASE - removed);
        if (round % 10 == 0) tracker_check(t);
    }
    ck_assert_uint_lt(tracker_footprint(t), 2 * 1000 * 1000);
    tracker_free(t);
}
END_TEST

/* Where a hole began is later filled by what goes on from the record before it: the page of ids
 * that was made for the hole alone has no start any more, and whoever looks back passes it. */
START_TEST(a_page_may_lose_its_only_start)
{
    struct tracker *t = tracker_new(&heap);
    struct tracker_effect effect;
    ck_assert_int_eq(tracker_reset(t, 0), SYN_OK);
    ck_assert_int_eq(tracker_insert(t, 7, 0, 600, &effect), SYN_OK);
    ck_assert_int_eq(tracker_go_to(t, 5000), SYN_OK); /* a hole begins at 600, in the second page */
    ck_assert_int_eq(tracker_insert(t, 9, 600, 10, &effect), SYN_OK);
    ck_assert_int_eq(tracker_retreat(t, 5000, 10), SYN_OK);
    ck_assert_int_eq(tracker_go_to(t, 600), SYN_OK);
    ck_assert_int_eq(tracker_insert(t, 7, 600, 1000, &effect), SYN_OK);
    ck_assert_int_eq(tracker_retreat(t, 1100, 10), SYN_OK); /* in the third, which there is not */
    ck_assert_uint_eq(tracker_prepare_len(t), 1590);
    ck_assert_int_eq(tracker_advance(t, 1100, 10), SYN_OK);
    ck_assert_int_eq(tracker_advance(t, 5000, 10), SYN_OK);
    ck_assert_uint_eq(tracker_prepare_len(t), 1610);
    tracker_check(t);
    tracker_free(t);
}
END_TEST

/* Many peers insert at one place, in the order in which each must pass all before it; between them
 * stands nothing that is known, and the right origin lies behind all. */
START_TEST(many_concurrent_inserts_at_one_place_stand_by_peer)
{
    enum { PEERS = 3000 };
    for (uint32_t down = 0; down < 2; down++) {
        struct tracker *t = tracker_new(&heap);
        ck_assert_int_eq(tracker_reset(t, 2), SYN_OK);
        for (uint32_t i = 0; i < PEERS; i++) {
            if (i > 0) ck_assert_int_eq(tracker_retreat(t, 2 + i - 1, 1), SYN_OK);
            ck_assert_uint_eq(insert(t, down ? PEERS - i : 1 + i, 1, 1), down ? 1 : 1 + i);
        }
        tracker_check(t);
        tracker_free(t);
    }
}
END_TEST

/* ---- Failing allocations --------------------------------------------------------------------- */

struct failing {
    size_t left, live;
};

static void *failing_resize(void *user, void *ptr, size_t old_size, size_t new_size)
{
    struct failing *f = user;
    if (new_size == 0) {
        free(ptr);
        f->live -= old_size;
        return NULL;
    }
    if (f->left == 0) return NULL;
    f->left--;
    void *moved = realloc(ptr, new_size);
    f->live += new_size - old_size;
    return moved;
}

static syn_err busy(struct tracker *t, const syn_mem *mem)
{
    struct tracker_effect at;
    tracker_effects effects = {0};
    struct tracker *other = NULL;
    syn_err err = tracker_reset(t, 3000);
    for (uint32_t i = 0; err == SYN_OK && i < 300; i++) {
        err = tracker_insert(t, 1 + i % 3, i * 7 % 900, 5, &at);
        if (err == SYN_OK) err = tracker_delete(t, 2 + i * 5 % 900, 2, i % 2 == 0, &effects);
        if (err == SYN_OK && i > 0) err = tracker_retreat(t, 3000 + (i - 1) * 7, 7);
        if (err == SYN_OK && i == 50) {
            other = tracker_copy(t);
            if (other == NULL) err = SYN_ENOMEM;
        } else if (err == SYN_OK && other != NULL) {
            err = tracker_follow(other, t, 3000 + i * 7, 7);
        }
    }
    if (err == SYN_OK) tracker_check_same(t, other);
    tracker_free(other);
    array_free(mem, &effects);
    return err;
}

START_TEST(every_allocation_may_fail)
{
    for (size_t n = 0;; n++) {
        struct failing f = {.left = n};
        syn_mem mem = {failing_resize, &f};
        struct tracker *t = tracker_new(&mem);
        syn_err err = t == NULL ? SYN_ENOMEM : busy(t, &mem);
        if (t != NULL && err == SYN_ENOMEM) { /* a reset makes it whole again */
            f.left = SIZE_MAX;
            ck_assert_int_eq(busy(t, &mem), SYN_OK);
            tracker_check(t);
            ck_assert_uint_eq(f.live, tracker_footprint(t));
        }
        tracker_free(t);
        ck_assert_uint_eq(f.live, 0);
        if (err == SYN_OK) break;
        ck_assert_int_eq(err, SYN_ENOMEM);
    }
}
END_TEST

int main(void)
{
    Suite *s = suite_create("tracker");
    TCase *tc = tcase_create("tracker");
    tcase_set_timeout(tc, 0);
    printf("tracker: seeds 0 to 3999 and 1000000 to 1000199, times SYN_SEEDS\n");
    tcase_add_loop_test(tc, random_histories_equal_the_naive_fuguemax, 0, 40);
    tcase_add_loop_test(tc, crowds_at_one_place_equal_the_naive_fuguemax, 0, 20);
    tcase_add_test(tc, a_leaf_split_exactly_at_the_record_being_cut);
    tcase_add_test(tc, positions_beyond_the_prepare_version_are_refused);
    tcase_add_test(tc, right_siblings_stand_by_right_origin_furthest_first);
    tcase_add_test(tc, a_large_base_costs_only_what_is_touched);
    tcase_add_test(tc, a_page_may_lose_its_only_start);
    tcase_add_test(tc, many_concurrent_inserts_at_one_place_stand_by_peer);
    tcase_add_test(tc, every_allocation_may_fail);
    suite_add_tcase(s, tc);
    SRunner *runner = srunner_create(s);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
