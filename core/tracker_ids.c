/* tracker_ids.c -- from an id to its record: pages of starts (layout: tracker_impl.h). */
#include "tracker_impl.h"

static uint32_t highest(uint64_t word)
{
    assert(word != 0);
    return 63 - (uint32_t)__builtin_clzll(word);
}

static uint32_t lowest(uint64_t word)
{
    assert(word != 0);
    return (uint32_t)__builtin_ctzll(word);
}

/* The last set bit at or before i in words, or NONE. */
static uint32_t bit_before(const uint64_t *words, uint32_t i)
{
    uint32_t w = i / 64;
    uint64_t word = words[w] & (bit(i) | (bit(i) - 1));
    while (word == 0) {
        if (w == 0) return NONE;
        word = words[--w];
    }
    return w * 64 + highest(word);
}

/* The last page before page number p. */
static const struct page *page_before(const struct tracker *t, uint32_t p)
{
    uint32_t w = p / 64;
    uint64_t word = t->mid.at[w] & (bit(p) - 1);
    if (word == 0) {
        assert(w > 0);
        w = bit_before(t->top.at, w - 1);
        assert(w != NONE);
        word = t->mid.at[w];
    }
    return &t->pages.at[t->table.at[w * 64 + highest(word)] - 1];
}

const struct page *ids_start_below(const struct tracker *t, uint32_t id, uint32_t *start)
{
    assert(id < t->end_id);
    uint32_t number = id / PAGE, known = t->table.at[number], s = NONE;
    const struct page *page = NULL;
    if (known != 0) {
        page = &t->pages.at[known - 1];
        s = bit_before(page->start, id % PAGE);
    }
    while (s == NONE) { /* a page may have lost its only start (ids_no_start) */
        page = page_before(t, number);
        number = page->number;
        s = bit_before(page->start, PAGE - 1);
    }
    *start = page->number * PAGE + s;
    return page;
}

/* The first start after id, but at most limit. */
uint32_t ids_start_after(const struct tracker *t, uint32_t id, uint32_t limit)
{
    for (uint32_t i = id + 1; i < limit;) {
        uint32_t known = t->table.at[i / PAGE];
        if (known == 0) {
            i = (i / PAGE + 1) * PAGE;
            continue;
        }
        uint64_t word = t->pages.at[known - 1].start[i % PAGE / 64] & ~(bit(i) - 1);
        if (word == 0) {
            i = (i / 64 + 1) * 64;
            continue;
        }
        i = i / 64 * 64 + lowest(word);
        return i < limit ? i : limit;
    }
    return limit;
}

static struct page *page_of(struct tracker *t, uint32_t id)
{
    uint32_t number = id / PAGE;
    if (t->table.at[number] == 0) {
        struct page *page = array_push(&t->pages);
        memset(page->start, 0, sizeof page->start);
        page->number = number;
        t->table.at[number] = t->pages.n;
        t->mid.at[number / 64] |= bit(number);
        t->top.at[number / 64 / 64] |= bit(number / 64);
    }
    return &t->pages.at[t->table.at[number] - 1];
}

void ids_put_record(struct tracker *t, uint32_t id, struct at at)
{
    struct page *page = page_of(t, id);
    uint32_t i = id % PAGE;
    page->start[i / 64] |= bit(i);
    page->deletes[i / 64] &= ~bit(i);
    page->target[i] = target_of(at);
}

void ids_put_delete(struct tracker *t, uint32_t id, uint32_t target, bool back)
{
    struct page *page = page_of(t, id);
    uint32_t i = id % PAGE;
    page->start[i / 64] |= bit(i);
    page->deletes[i / 64] |= bit(i);
    page->back[i / 64] = back ? page->back[i / 64] | bit(i) : page->back[i / 64] & ~bit(i);
    page->target[i] = target;
}

syn_err ids_put_hole(struct tracker *t, uint32_t id)
{
    syn_err err = array_reserve(t->mem, &t->pages, 1);
    if (err != SYN_OK) return err;
    uint32_t i = id % PAGE;
    if ((page_of(t, id)->start[i / 64] & bit(i)) == 0) ids_put_delete(t, id, NONE, false);
    return SYN_OK;
}

void ids_no_start(struct tracker *t, uint32_t id)
{
    uint32_t known = t->table.at[id / PAGE], i = id % PAGE;
    if (known != 0) t->pages.at[known - 1].start[i / 64] &= ~bit(i);
}

void ids_moved(struct tracker *t, uint32_t id, struct at at)
{
    assert(t->table.at[id / PAGE] != 0);
    ids_page(t, id)->target[id % PAGE] = target_of(at);
}

/* Makes the array at least `count` long; the new entries are 0. */
#define zeroed_to(t, a, count, err)                                                                \
    do {                                                                                           \
        uint32_t zeroed_cap = (a)->cap;                                                            \
        if ((count) > (a)->n) (err) = array_reserve((t)->mem, (a), (count) - (a)->n);              \
        if ((err) == SYN_OK && (a)->cap > zeroed_cap)                                              \
            memset((a)->at + zeroed_cap, 0, ((a)->cap - zeroed_cap) * sizeof *(a)->at);            \
        if ((err) == SYN_OK && (count) > (a)->n) (a)->n = (count);                                 \
    } while (0)

/* Room in the id space for `more` ids from next_id on. */
syn_err ids_reserve(struct tracker *t, uint32_t more)
{
    if (more > MAX_IDS - t->next_id) return SYN_ELIMIT;
    uint32_t count = (t->next_id + more) / PAGE + 1;
    if (count <= t->table.n) return SYN_OK;
    syn_err err = SYN_OK;
    zeroed_to(t, &t->top, count / 64 / 64 + 1, err);
    if (err == SYN_OK) zeroed_to(t, &t->mid, count / 64 + 1, err);
    if (err == SYN_OK) zeroed_to(t, &t->table, count, err); /* last: its length stands for all */
    return err;
}

void ids_forget(struct tracker *t)
{
    for (uint32_t i = 0; i < t->pages.n; i++) {
        uint32_t number = t->pages.at[i].number;
        t->table.at[number] = 0;
        t->mid.at[number / 64] = 0;
        t->top.at[number / 64 / 64] = 0;
    }
    t->pages.n = 0;
}
