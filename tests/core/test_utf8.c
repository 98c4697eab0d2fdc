/* test_utf8.c -- utf8.c against a decoder that goes by the code points, not by the bytes. */
#include "../../core/utf8.h"
#include "random.h"

#include <check.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

static uint64_t next(uint64_t *seed)
{
    *seed ^= *seed << 13;
    *seed ^= *seed >> 7;
    *seed ^= *seed << 17;
    return *seed;
}

/* The bytes of a code point, by the definition; works for the forbidden ones too. */
static size_t put(char *out, uint32_t c)
{
    if (c < 0x80) {
        out[0] = (char)c;
        return 1;
    }
    size_t size = c < 0x800 ? 2 : c < 0x10000 ? 3 : 4;
    static const unsigned lead[] = {0, 0, 0xC0, 0xE0, 0xF0};
    for (size_t i = size; i-- > 1; c >>= 6) out[i] = (char)(0x80 | (c & 0x3F));
    out[0] = (char)(lead[size] | c);
    return size;
}

static uint32_t some_scalar(uint64_t *seed)
{
    static const uint32_t edge[] = {0,      0x7F,   0x80,    0x7FF,   0x800,   0xD7FF,
                                    0xE000, 0xFFFF, 0x10000, 0x3FFFF, 0x10FFFF};
    uint64_t r = next(seed);
    if (r % 4 == 0) return edge[(r >> 8) % (sizeof edge / sizeof *edge)];
    if (r % 4 < 3) return (uint32_t)(r >> 8) % 0x80;
    uint32_t c = (uint32_t)(r >> 8) % 0x110000;
    return c >= 0xD800 && c < 0xE000 ? c - 0x800 : c;
}

START_TEST(every_scalar_is_valid_and_nothing_else)
{
    for (uint32_t c = 0; c < 0x1FFFFF; c++) {
        char buf[4];
        size_t bytes = put(buf, c), n = 77;
        bool good = c < 0xD800 || (c >= 0xE000 && c <= 0x10FFFF);
        if (utf8_valid(buf, bytes, &n) != good) ck_abort_msg("U+%X", (unsigned)c);
        must(n == (good ? 1 : 77));
        for (size_t cut = 1; cut < bytes; cut++) must(!utf8_valid(buf, cut, NULL));
        must(bytes == 1 || !utf8_valid(buf + 1, bytes - 1, NULL));
    }
}
END_TEST

static const struct {
    const char *bytes;
    size_t size;
} bad[] = {
    {"\xC0\x80", 2},
    {"\xC1\xBF", 2},
    {"\xE0\x80\x80", 3},
    {"\xE0\x9F\xBF", 3},
    {"\xF0\x80\x80\x80", 4},
    {"\xF0\x8F\xBF\xBF", 4},
    {"\xED\xA0\x80", 3},
    {"\xED\xBF\xBF", 3},
    {"\xF4\x90\x80\x80", 4},
    {"\xF5\x80\x80\x80", 4},
    {"\xFF", 1},
    {"\xFE", 1},
    {"\x80", 1},
    {"\xC3", 1},
    {"\xC3(", 2},
    {"\xE2\x82", 2},
    {"\xE2(\xA1", 3},
    {"\xE2\x82(", 3},
    {"\xF0\x9F\x98", 3},
    {"\xF0\x9F\x98(", 4},
    {"\xF8\x88\x80\x80\x80", 5},
};

START_TEST(malformed_bytes_are_found_at_every_place_in_a_text)
{
    for (size_t before = 0; before < 45; before++)
        for (size_t after = 0; after < 45; after++) {
            char buf[96];
            memset(buf, 'a', sizeof buf);
            memcpy(buf + before, bad[_i].bytes, bad[_i].size);
            size_t n = 77;
            ck_assert(!utf8_valid(buf, before + bad[_i].size + after, &n));
            ck_assert_uint_eq(n, 77);
        }
}
END_TEST

START_TEST(measures_agree_with_the_code_points)
{
    uint64_t seed = 0x9E3779B97F4A7C15u + (uint64_t)_i;
    uint32_t scalars[120];
    size_t at[121], n = next(&seed) % 120, n4 = 0;
    char buf[480];
    at[0] = 0;
    for (size_t i = 0; i < n; i++) {
        scalars[i] = some_scalar(&seed);
        n4 += scalars[i] > 0xFFFF;
        at[i + 1] = at[i] + put(buf + at[i], scalars[i]);
    }
    /* an exact block, so that a read past the end is seen by the sanitizer */
    char *text = malloc(at[n] + 1);
    ck_assert_ptr_nonnull(text);
    char *exact = text + 1;
    memcpy(exact, buf, at[n]);
    size_t found = 0;
    ck_assert(utf8_valid(exact, at[n], &found));
    ck_assert_uint_eq(found, n);
    ck_assert_uint_eq(utf8_count(exact, at[n]), n);
    ck_assert_uint_eq(utf8_count4(exact, at[n]), n4);
    for (size_t i = 0; i <= n + 2; i++)
        ck_assert_uint_eq(utf8_offset(exact, at[n], i), at[i < n ? i : n]);
    free(text);
}
END_TEST

int main(void)
{
    const char *more = getenv("SYN_SEEDS");
    int seeds = 2000 * (more != NULL && atoi(more) > 0 ? atoi(more) : 1);
    Suite *s = suite_create("utf8");
    TCase *t = tcase_create("utf8");
    tcase_set_timeout(t, 0);
    tcase_add_test(t, every_scalar_is_valid_and_nothing_else);
    tcase_add_loop_test(t, malformed_bytes_are_found_at_every_place_in_a_text, 0,
                        (int)(sizeof bad / sizeof *bad));
    tcase_add_loop_test(t, measures_agree_with_the_code_points, 0, seeds);
    suite_add_tcase(s, t);
    SRunner *r = srunner_create(s);
    srunner_run_all(r, CK_NORMAL);
    int failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
