/* tracker.c -- feeding operations, moving the prepare version (layout: tracker_impl.h). */
#include "tracker_impl.h"

/* ---- Inserting */

/* The gap behind the pos-th visible element; its neighbours become r's origins. */
static struct gap gap_after(struct tracker *t, uint32_t pos, struct record *r)
{
    if (pos == 0) {
        tree_cache_first(t);
        r->origin.left = START;
        return (struct gap){{0, 0}, 0};
    }
    struct spot spot = tree_find_visible(t, pos - 1);
    const struct leaf *leaf = &t->leaves.at[spot.at.leaf];
    r->origin.left = leaf->id[spot.at.idx] + spot.off;
    bool gone = (leaf->state[spot.at.idx] & GONE) != 0;
    struct at at = tree_isolate(t, spot.at, 0, spot.off + 1);
    return (struct gap){{at.leaf, at.idx + 1}, spot.effect + (gone ? 0 : 1)};
}

syn_err tracker_insert(struct tracker *t, uint64_t peer, uint32_t pos, uint32_t len,
                       struct tracker_effect *effect)
{
    if (pos > t->total.prepare) return SYN_ERANGE;
    syn_err err = ids_reserve(t, len);
    if (err == SYN_OK) err = tree_reserve(t);
    if (err != SYN_OK) return err;

    struct record r = {t->next_id, len, VISIBLE, {START, END, peer}};
    struct gap gap = gap_after(t, pos, &r);
    *effect = (struct tracker_effect){gap.effect, len};
    if (len == 0) return SYN_OK;
    struct at next = tree_record_at(t, gap.at);
    if (next.leaf != NONE) {
        r.origin.right = tree_known_after(t, next);
        gap = scan_integrate(t, &r, gap);
        effect->pos = gap.effect;
    }
    if (!tree_extend(t, gap.at, &r)) {
        gap.at = tree_put(t, gap.at, &r);
    }
    tree_changed(t, gap.at.leaf, record_sums(len, VISIBLE));
    ids_fed(t, len);
    return SYN_OK;
}

/* ---- Deleting, setting */

static syn_err effect_add(struct tracker *t, tracker_effects *effects, uint32_t pos, uint32_t len)
{
    syn_err err = array_reserve(t->mem, effects, 1);
    if (err == SYN_OK) *array_push(effects) = (struct tracker_effect){pos, len};
    return err;
}

/* Deletes at most len elements of one record: from the pos-th visible on, or (back) up to it.
 * *done: how many. */
static syn_err delete_piece(struct tracker *t, uint32_t pos, uint32_t len, bool back,
                            tracker_effects *effects, uint32_t *done)
{
    syn_err err = tree_reserve(t);
    if (err != SYN_OK) return err;
    struct spot spot = tree_find_visible(t, pos);
    const struct leaf *leaf = &t->leaves.at[spot.at.leaf];
    uint32_t i = spot.at.idx, target = leaf->id[i] + spot.off, first = spot.off;
    uint32_t room = back ? spot.off + 1 : leaf->len[i] - spot.off;
    uint32_t n = len < room ? len : room;
    if (back) first = spot.off + 1 - n;
    bool shown = (leaf->state[i] & GONE) == 0;
    if (shown) err = effect_add(t, effects, spot.effect - (spot.off - first), n);
    if (err != SYN_OK) return err;
    struct at at = tree_isolate(t, spot.at, first, n);
    t->leaves.at[at.leaf].state[at.idx] = (VISIBLE + 1) | GONE;
    tree_changed(t, at.leaf, (struct sums){.prepare = 0 - n, .effect = shown ? 0 - n : 0});
    ids_put_delete(t, t->next_id, target, back);
    ids_fed(t, n);
    *done = n;
    return SYN_OK;
}

syn_err tracker_delete(struct tracker *t, uint32_t pos, uint32_t len, bool back,
                       tracker_effects *effects)
{
    if (len == 0) return SYN_OK;
    if (pos >= t->total.prepare) return SYN_ERANGE;
    if (len > (back ? pos + 1 : t->total.prepare - pos)) return SYN_ERANGE;
    syn_err err = ids_reserve(t, len);
    while (err == SYN_OK && len > 0) {
        uint32_t done = 0;
        err = delete_piece(t, pos, len, back, effects, &done);
        if (back) pos -= done;
        len -= done;
    }
    return err;
}

syn_err tracker_set(struct tracker *t, uint32_t pos, uint32_t len, uint32_t *where)
{
    if (len == 0) return SYN_OK;
    if (pos > t->total.prepare || len > t->total.prepare - pos) return SYN_ERANGE;
    syn_err err = ids_reserve(t, len);
    if (err == SYN_OK) err = tree_reserve(t);
    if (err != SYN_OK) return err;
    ids_put_delete(t, t->next_id, NONE, false);
    ids_fed(t, len);
    while (len > 0) {
        struct spot spot = tree_find_visible(t, pos);
        const struct leaf *leaf = &t->leaves.at[spot.at.leaf];
        bool gone = (leaf->state[spot.at.idx] & GONE) != 0;
        uint32_t n = leaf->len[spot.at.idx] - spot.off;
        if (n > len) n = len;
        for (uint32_t i = 0; i < n; i++) *where++ = gone ? UINT32_MAX : spot.effect + i;
        pos += n;
        len -= n;
    }
    return SYN_OK;
}

/* ---- Moving the prepare version */

/* What a step up from `count`, or down to it, changes in the sums of `len` elements. */
static inline struct sums step_sums(uint32_t count, uint32_t len, bool up)
{
    uint32_t by = up ? len : 0 - len;
    struct sums s = {.known = count == NYI ? by : 0};
    s.prepare = count == VISIBLE ? 0 - by : s.known;
    return s;
}

/* `len` elements of the record, from its element `off` on, count one step up or down. */
static inline syn_err shift_record(struct tracker *t, struct at at, uint32_t off, uint32_t len,
                                   bool up)
{
    if (len < t->leaves.at[at.leaf].len[at.idx]) {
        syn_err err = tree_reserve(t);
        if (err != SYN_OK) return err;
        at = tree_isolate(t, at, off, len);
    }
    uint32_t *state = &t->leaves.at[at.leaf].state[at.idx];
    assert(up || (*state & COUNT) != NYI);
    uint32_t lower = up ? *state : *state - 1;
    *state = up ? *state + 1 : lower;
    tree_changed(t, at.leaf, step_sums(lower & COUNT, len, up));
    return SYN_OK;
}

/* The record that starts there; the next time it will be found at once. */
static inline struct at find_and_note(struct tracker *t, uint32_t start)
{
    uint32_t *target = &ids_page(t, start)->target[start % PAGE];
    struct at at = tree_find_start(t, *target, start);
    *target = target_of(at);
    return at;
}

/* The same of elements [id, id+len), which deletes took from any records. */
static inline syn_err shift_elements(struct tracker *t, uint32_t id, uint32_t len, bool up)
{
    syn_err err = SYN_OK;
    while (err == SYN_OK && len > 0) {
        uint32_t start;
        (void)ids_start_before(t, id, &start);
        struct at at = find_and_note(t, start);
        uint32_t off = id - start, room = t->leaves.at[at.leaf].len[at.idx] - off;
        uint32_t n = len < room ? len : room;
        err = shift_record(t, at, off, n, up);
        id += n;
        len -= n;
        t->work++;
    }
    return err;
}

/* Events [id, next), all of what starts at `start`, at or before id, and nothing else. */
static inline syn_err shift_started(struct tracker *t, uint32_t start, uint32_t id, uint32_t next,
                                    bool up)
{
    const struct page *page = ids_page(t, start);
    uint32_t slot = start % PAGE, target = page->target[slot], n = next - id;
    if ((page->deletes[slot / 64] & bit(slot)) == 0)
        return shift_record(t, find_and_note(t, start), id - start, n, up);
    if (target == NONE) return SYN_OK; /* a set, a hole */
    bool back = (page->back[slot / 64] & bit(slot)) != 0;
    return shift_elements(t, back ? target - (next - 1 - start) : target + (id - start), n, up);
}

/* The first start behind another one, but at most limit: mostly it is in the same word. */
static inline uint32_t next_start(struct tracker *t, uint32_t start, uint32_t limit)
{
    uint64_t behind = ids_page(t, start)->start[start % PAGE / 64] >> (start % 64) >> 1;
    if (behind == 0) return ids_start_after(t, start, limit);
    uint32_t next = start + 1 + (uint32_t)__builtin_ctzll(behind);
    return next < limit ? next : limit;
}

static inline syn_err shift_events(struct tracker *t, uint32_t id, uint32_t len, bool up)
{
    assert(id >= t->base_len);
    if (id >= t->end_id) return SYN_OK;
    t->cache.leaf = NONE;
    uint32_t start, end = len < t->end_id - id ? id + len : t->end_id;
    syn_err err = ids_put_hole(t, t->next_id);
    if (err != SYN_OK) return err;
    (void)ids_start_before(t, id, &start);
    uint32_t next = ids_start_after(t, id, end);
    for (;;) {
        err = shift_started(t, start, id, next, up);
        t->work++;
        if (err != SYN_OK || next == end) return err;
        id = start = next;
        next = next_start(t, start, end);
    }
}

syn_err tracker_retreat(struct tracker *t, uint32_t id, uint32_t len)
{
    return shift_events(t, id, len, false);
}

syn_err tracker_advance(struct tracker *t, uint32_t id, uint32_t len)
{
    return shift_events(t, id, len, true);
}

/* ---- Life */

syn_err tracker_go_to(struct tracker *t, uint32_t id)
{
    assert(id >= t->base_len);
    if (id == t->next_id) return SYN_OK;
    if (id >= MAX_IDS) return SYN_ELIMIT;
    syn_err err = ids_put_hole(t, t->next_id);
    if (err != SYN_OK) return err;
    t->next_id = id;
    return ids_reserve(t, 0);
}

uint64_t tracker_take_work(struct tracker *t)
{
    uint64_t work = t->work;
    t->work = 0;
    return work;
}

syn_err tracker_reset(struct tracker *t, uint32_t base_len)
{
    ids_forget(t);
    t->leaves.n = t->nodes.n = t->due.n = 0;
    t->base_len = t->next_id = t->end_id = 0;
    t->total = (struct sums){0};
    syn_err err = array_reserve(t->mem, &t->leaves, 1);
    if (err == SYN_OK) err = array_reserve(t->mem, &t->nodes, 1);
    if (err == SYN_OK) err = array_reserve(t->mem, &t->due, 1);
    if (err == SYN_OK) err = array_reserve(t->mem, &t->pages, 1);
    if (err == SYN_OK) err = ids_reserve(t, base_len);
    if (err != SYN_OK) return err;

    tree_init(t);
    if (base_len > 0) {
        struct record r = {0, base_len, VISIBLE, {START, END, 0}};
        (void)tree_put(t, (struct at){0, 0}, &r);
        tree_changed(t, 0, record_sums(base_len, VISIBLE));
    }
    t->base_len = t->next_id = t->end_id = base_len;
    return ids_put_hole(t, base_len);
}

struct tracker *tracker_new(const syn_mem *mem)
{
    struct tracker *t = mem_zalloc(mem, sizeof *t);
    if (t == NULL) return NULL;
    t->mem = mem;
    if (tracker_reset(t, 0) == SYN_OK) return t;
    tracker_free(t);
    return NULL;
}

void tracker_free(struct tracker *t)
{
    if (t == NULL) return;
    const syn_mem *mem = t->mem;
    array_free(mem, &t->leaves);
    array_free(mem, &t->nodes);
    array_free(mem, &t->due);
    array_free(mem, &t->pages);
    array_free(mem, &t->table);
    array_free(mem, &t->mid);
    array_free(mem, &t->top);
    mem_free(mem, t, sizeof *t);
}

uint32_t tracker_prepare_len(const struct tracker *t)
{
    return t->total.prepare;
}

uint32_t tracker_effect_len(const struct tracker *t)
{
    return t->total.effect;
}

uint32_t tracker_next_id(const struct tracker *t)
{
    return t->next_id;
}

uint32_t tracker_records(const struct tracker *t)
{
    return t->leaves.n * LEAF;
}

size_t tracker_footprint(const struct tracker *t)
{
    return sizeof *t + t->leaves.cap * sizeof *t->leaves.at + t->nodes.cap * sizeof *t->nodes.at +
           t->pages.cap * sizeof *t->pages.at + t->table.cap * sizeof *t->table.at +
           t->mid.cap * sizeof *t->mid.at + t->top.cap * sizeof *t->top.at +
           t->due.cap * sizeof *t->due.at;
}
