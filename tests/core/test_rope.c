/* test_rope.c -- the rope beside its naive twin, a flat array of scalars.
 *
 * Every random step is done to both and everything that can be asked is compared; rope_check()
 * looks at the tree after each.  Built with -DSYN_STRESS the same tests see splits and joins all
 * the time. */
#include "../../core/rope.h"
#include "../../core/utf8.h"

#include <check.h>
#include <stdio.h>
#include <stdlib.h>

/* ---- An allocator that counts, and fails when told to ---- */

struct heap {
    size_t held;
    long left; /* allocations until failure; negative: never */
};

static void *heap_resize(void *user, void *ptr, size_t old_size, size_t new_size)
{
    struct heap *heap = user;
    if (new_size == 0) {
        free(ptr);
        heap->held -= old_size;
        return NULL;
    }
    if (heap->left == 0) return NULL;
    if (heap->left > 0) heap->left--;
    void *p = realloc(ptr, new_size);
    if (p != NULL) heap->held += new_size - old_size;
    return p;
}

/* ---- The twin ---- */

enum {
    TWIN_MAX = 1 << 16,
#ifdef SYN_STRESS
    SOME_TEXT = 800, /* a tree of many levels already */
#else
    SOME_TEXT = 12000,
#endif
};

struct pair {
    struct heap heap;
    syn_mem mem;
    struct rope *rope;
    uint32_t *twin;
    size_t n;
    uint64_t seed;
};

static size_t random_below(struct pair *p, size_t n)
{
    p->seed ^= p->seed << 13;
    p->seed ^= p->seed >> 7;
    p->seed ^= p->seed << 17;
    return (size_t)(p->seed >> 11) % n;
}

static size_t encode(char *out, uint32_t c)
{
    if (c < 0x80) {
        out[0] = (char)c;
        return 1;
    }
    static const unsigned lead[] = {0, 0, 0xC0, 0xE0, 0xF0};
    size_t size = c < 0x800 ? 2 : c < 0x10000 ? 3 : 4;
    for (size_t i = size; i-- > 1; c >>= 6) out[i] = (char)(0x80 | (c & 0x3F));
    out[0] = (char)(lead[size] | c);
    return size;
}

static uint32_t random_scalar(struct pair *p, size_t alphabet)
{
    static const uint32_t some[] = {'a', 'b', '\n', 0xE9, 0x20AC, 0x1F600, 0x10FFFF, 0x7FF};
    return some[random_below(p, alphabet)];
}

static void setup(struct pair *p, uint64_t seed)
{
    memset(p, 0, sizeof *p);
    p->heap.left = -1;
    p->mem = (syn_mem){heap_resize, &p->heap};
    p->rope = rope_new(&p->mem);
    p->twin = malloc(TWIN_MAX * sizeof *p->twin);
    p->seed = seed * 0x9E3779B97F4A7C15u + 1;
    ck_assert_ptr_nonnull(p->rope);
    ck_assert_ptr_nonnull(p->twin);
}

static void teardown(struct pair *p)
{
    rope_free(p->rope);
    free(p->twin);
    ck_assert_uint_eq(p->heap.held, 0);
}

/* Inserts without reserving. */
static void insert_now(struct pair *p, size_t pos, size_t len, size_t alphabet)
{
    static char text[4 * TWIN_MAX];
    size_t bytes = 0;
    ck_assert_uint_le(p->n + len, TWIN_MAX);
    memmove(p->twin + pos + len, p->twin + pos, (p->n - pos) * sizeof *p->twin);
    for (size_t i = 0; i < len; i++)
        bytes += encode(text + bytes, p->twin[pos + i] = random_scalar(p, alphabet));
    p->n += len;
    rope_insert(p->rope, pos, text, bytes, len);
}

static void insert(struct pair *p, size_t pos, size_t len, size_t alphabet)
{
    ck_assert_int_eq(rope_reserve(p->rope, 1, 4 * len), SYN_OK);
    insert_now(p, pos, len, alphabet);
}

static void erase_now(struct pair *p, size_t pos, size_t len)
{
    memmove(p->twin + pos, p->twin + pos + len, (p->n - pos - len) * sizeof *p->twin);
    p->n -= len;
    rope_delete(p->rope, pos, len);
}

static void erase(struct pair *p, size_t pos, size_t len)
{
    ck_assert_int_eq(rope_reserve(p->rope, 1, 0), SYN_OK);
    erase_now(p, pos, len);
}

struct reader {
    char *text;
    size_t n;
};

static void gather(void *user, const char *utf8, size_t bytes)
{
    struct reader *r = user;
    ck_assert_uint_gt(bytes, 0);
    memcpy(r->text + r->n, utf8, bytes);
    r->n += bytes;
}

static void same_range(struct pair *p, size_t pos, size_t len)
{
    struct reader r = {malloc(4 * len + 1), 0};
    char *want = malloc(4 * len + 1);
    size_t bytes = 0;
    for (size_t i = 0; i < len; i++) bytes += encode(want + bytes, p->twin[pos + i]);
    rope_visit(p->rope, pos, len, gather, &r);
    ck_assert_uint_eq(r.n, bytes);
    ck_assert(memcmp(r.text, want, bytes) == 0);
    free(r.text);
    free(want);
}

/* Every position, in every unit, the ones inside a scalar included. */
static void same_positions(struct pair *p)
{
    char buf[4];
    size_t byte = 0, unit = 0;
    for (size_t i = 0; i < p->n; i++) {
        size_t size = encode(buf, p->twin[i]), units = size == 4 ? 2 : 1;
        ck_assert_uint_eq(rope_to_byte(p->rope, i), byte);
        ck_assert_uint_eq(rope_to_utf16(p->rope, i), unit);
        for (size_t k = 0; k < size; k++) ck_assert_uint_eq(rope_from_byte(p->rope, byte + k), i);
        for (size_t k = 0; k < units; k++) ck_assert_uint_eq(rope_from_utf16(p->rope, unit + k), i);
        byte += size;
        unit += units;
    }
    for (size_t past = 0; past < 3; past++) {
        ck_assert_uint_eq(rope_from_byte(p->rope, byte + past), p->n);
        ck_assert_uint_eq(rope_from_utf16(p->rope, unit + past), p->n);
    }
    ck_assert_uint_eq(rope_bytes(p->rope), byte);
    ck_assert_uint_eq(rope_utf16(p->rope), unit);
    ck_assert_uint_eq(rope_to_byte(p->rope, p->n), byte);
    ck_assert_uint_eq(rope_to_utf16(p->rope, p->n), unit);
}

static void same(struct pair *p)
{
    rope_check(p->rope);
    ck_assert_uint_eq(rope_len(p->rope), p->n);
    ck_assert_uint_eq(rope_footprint(p->rope), p->heap.held);
    size_t pos = random_below(p, p->n + 1);
    same_range(p, pos, random_below(p, p->n - pos + 1));
}

/* ---- Tests ---- */

START_TEST(random_edits_agree_with_the_twin)
{
    struct pair p;
    setup(&p, (uint64_t)_i + 1);
    size_t caret = 0, alphabet = _i % 3 == 0 ? 3 : 8, longest = _i % 2 == 0 ? 12 : SOME_TEXT / 4;
    for (int step = 0; step < 250; step++) {
        size_t dice = random_below(&p, 20);
        if (dice == 0 || caret > p.n) caret = random_below(&p, p.n + 1);
        if (dice < 11 && p.n < SOME_TEXT) {
            size_t len = dice < 9 ? 1 : 1 + random_below(&p, longest);
            insert(&p, caret, len, alphabet);
            caret += len;
        } else if (dice < 17 && caret > 0) {
            erase(&p, --caret, 1); /* backspace */
        } else {
            erase(&p, caret, random_below(&p, p.n - caret + 1) / (1 + random_below(&p, 9)));
        }
        same(&p);
    }
    same_range(&p, 0, p.n);
    same_positions(&p);
    teardown(&p);
}
END_TEST

START_TEST(many_edits_under_one_reservation_find_their_memory)
{
    struct pair p;
    setup(&p, (uint64_t)_i + 77);
    for (int round = 0; round < 8; round++) {
        size_t edits = 1 + random_below(&p, 300), longest = 1 + random_below(&p, 80);
        ck_assert_int_eq(rope_reserve(p.rope, edits, 4 * edits * longest), SYN_OK);
        p.heap.left = 0; /* from here on nothing may be allocated */
        size_t at = random_below(&p, p.n + 1);
        for (size_t i = 0; i < edits; i++) {
            if (random_below(&p, 3) > 0) at = random_below(&p, p.n + 1);
            if (at > p.n) at = p.n;
            if (random_below(&p, 4) > 0 && p.n < 50000)
                insert_now(&p, at, 1 + random_below(&p, longest), 8);
            else
                erase_now(&p, at, random_below(&p, p.n - at + 1) / 20);
        }
        p.heap.left = -1;
        same(&p);
    }
    same_range(&p, 0, p.n);
    teardown(&p);
}
END_TEST

START_TEST(a_refused_reservation_changes_nothing)
{
    struct pair p;
    setup(&p, (uint64_t)_i + 5);
    if (_i > 0) insert(&p, 0, (size_t)_i * 60, 8);
    size_t bytes = rope_bytes(p.rope);
    for (long allowed = 0;; allowed++) {
        p.heap.left = allowed;
        syn_err err = rope_reserve(p.rope, 1, 20000);
        p.heap.left = -1;
        same(&p);
        ck_assert_uint_eq(rope_bytes(p.rope), bytes);
        if (err == SYN_OK) break;
        ck_assert_int_eq(err, SYN_ENOMEM);
    }
    p.heap.left = 0;
    insert_now(&p, p.n / 2, 5000, 8);
    p.heap.left = -1;
    same_range(&p, 0, p.n);
    ck_assert_int_eq(rope_reserve(p.rope, 1, (size_t)UINT32_MAX), SYN_ELIMIT);
    same(&p);
    teardown(&p);
}
END_TEST

START_TEST(no_rope_without_memory)
{
    struct heap heap = {0, 0};
    syn_mem mem = {heap_resize, &heap};
    for (heap.left = 0; heap.left < 2;) {
        long allowed = heap.left;
        ck_assert_ptr_null(rope_new(&mem));
        ck_assert_uint_eq(heap.held, 0);
        heap.left = allowed + 1;
    }
    rope_free(NULL);
}
END_TEST

START_TEST(a_large_text_goes_in_and_out_whole)
{
    struct pair p;
    setup(&p, 3);
    insert(&p, 0, 30000, 8);
    same_range(&p, 0, p.n);
    insert(&p, 11111, 30000, 8);
    same(&p);
    same_range(&p, 0, p.n);
    same_positions(&p);
    erase(&p, 1, p.n - 2);
    same(&p);
    erase(&p, 0, p.n);
    same(&p);
    insert(&p, 0, 1, 8);
    same_positions(&p);
    teardown(&p);
}
END_TEST

START_TEST(a_loop_of_inserts_and_deletes_does_not_hoard)
{
    struct pair p;
    setup(&p, 9);
    insert(&p, 0, 5000, 8);
    size_t most = 0;
    for (int i = 0; i < 3000; i++) {
        insert(&p, random_below(&p, p.n + 1), 20, 8);
        erase(&p, random_below(&p, p.n - 20), 20);
        if (i == 1000) most = p.heap.held;
    }
    same(&p);
    ck_assert_uint_lt(p.heap.held, 2 * most);
    teardown(&p);
}
END_TEST

#ifndef SYN_STRESS
START_TEST(a_short_text_costs_little_more_than_itself)
{
    struct pair p;
    setup(&p, 4);
    for (size_t n = 0; n < 1024; n++) {
        ck_assert_uint_le(p.heap.held, rope_bytes(p.rope) + 200);
        ck_assert_int_eq(rope_reserve(p.rope, 1, 1), SYN_OK);
        insert_now(&p, p.n, 1, 3);
    }
    ck_assert_uint_le(p.heap.held, rope_bytes(p.rope) + 200);
    teardown(&p);
}
END_TEST
#endif

int main(void)
{
    const char *more = getenv("SYN_SEEDS");
    int seeds = 40 * (more != NULL && atoi(more) > 0 ? atoi(more) : 1);
    printf("seeds 1 to %d\n", seeds);
    Suite *s = suite_create("rope");
    TCase *t = tcase_create("rope");
    tcase_set_timeout(t, 0);
    tcase_add_loop_test(t, random_edits_agree_with_the_twin, 0, seeds);
    tcase_add_loop_test(t, many_edits_under_one_reservation_find_their_memory, 0, seeds);
    tcase_add_loop_test(t, a_refused_reservation_changes_nothing, 0, 40);
    tcase_add_test(t, no_rope_without_memory);
    tcase_add_test(t, a_large_text_goes_in_and_out_whole);
    tcase_add_test(t, a_loop_of_inserts_and_deletes_does_not_hoard);
#ifndef SYN_STRESS
    tcase_add_test(t, a_short_text_costs_little_more_than_itself);
#endif
    suite_add_tcase(s, t);
    SRunner *r = srunner_create(s);
    srunner_run_all(r, CK_NORMAL);
    int failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
