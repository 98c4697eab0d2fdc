/* test_load_stats.c -- what `load` computes, against values from tables and closed forms. */
#include "../../cli/load_stats.h"

#include <check.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SEED 20260901u

#define ck_near(value, wanted, within) ck_assert_double_eq_tol((value), (wanted), (within))

START_TEST(test_hist_buckets)
{
    static struct hist h;
    for (uint32_t b = 0; b + 1 < HIST_BUCKETS; b++) {
        memset(&h, 0, sizeof h);
        hist_add(&h, hist_low(b));
        hist_add(&h, hist_low(b + 1) - 1);
        ck_assert_uint_eq(h.buckets[b], 2);
    }
    memset(&h, 0, sizeof h);
    hist_add(&h, UINT64_MAX / 2);
    ck_assert_uint_eq(h.buckets[HIST_BUCKETS - 1], 1);
    ck_assert_uint_eq(hist_quantile(&h, 0.5), UINT64_MAX / 2);
}
END_TEST

START_TEST(test_hist_quantiles)
{
    static struct hist h, half[2];
    memset(&h, 0, sizeof h);
    memset(half, 0, sizeof half);
    ck_assert_uint_eq(hist_quantile(&h, 0.99), 0);
    for (uint64_t v = 1; v <= 100000; v++) hist_add(&half[v % 2], v);
    hist_merge(&h, &half[0]);
    hist_merge(&h, &half[1]);
    ck_assert_uint_eq(h.count, 100000);
    ck_near(hist_mean(&h), 50000.5, 1e-6);
    for (int i = 1; i <= 999; i++) {
        double q = i / 1000.0, exact = ceil(q * 100000.0);
        ck_near((double)hist_quantile(&h, q), exact, 0.033 * exact + 1.0);
    }
    ck_assert_uint_eq(hist_quantile(&h, 1.0), h.max);
}
END_TEST

/* Table of Kolmogorov's distribution: K(1.3581) = 0.95, K(1.6276) = 0.99, K(0.8276) = 0.5. */
START_TEST(test_ks_probability)
{
    const size_t n = 1000000;
    double root = sqrt((double)n) + 0.12;
    ck_near(ks_probability(1.3581 / root, n), 0.05, 1e-4);
    ck_near(ks_probability(1.6276 / root, n), 0.01, 1e-4);
    ck_near(ks_probability(0.8276 / root, n), 0.5, 1e-3);
    /* Exact critical values of small samples: 0.4092 at 10, 0.2940 at 20 (5 %). */
    ck_near(ks_probability(0.4092, 10), 0.05, 0.002);
    ck_near(ks_probability(0.2941, 20), 0.05, 0.002);
    ck_near(ks_probability(0.0, 100), 1.0, 1e-12);
    ck_near(ks_probability(1.0, 100), 0.0, 1e-12);
}
END_TEST

START_TEST(test_ks_distance)
{
    double one[] = {log(2.0)}, two[] = {-log(1.0 - 0.75), -log(1.0 - 0.25)};
    ck_near(ks_exponential(one, 1), 0.5, 1e-12);
    ck_near(ks_exponential(two, 2), 0.25, 1e-12);
    ck_assert(two[0] < two[1]);
}
END_TEST

/* Exponential gaps pass (p is uniform: few of many below 0.01), even gaps do not. */
START_TEST(test_ks_verdict)
{
    uint64_t random = SEED;
    double gaps[2000];
    int low = 0;
    for (int run = 0; run < 200; run++) {
        for (size_t i = 0; i < 2000; i++) gaps[i] = draw_exponential(&random, 1.0);
        low += ks_probability(ks_exponential(gaps, 2000), 2000) < 0.01;
    }
    ck_assert_int_le(low, 8);
    for (size_t i = 0; i < 200; i++) gaps[i] = 1.0;
    ck_assert(ks_probability(ks_exponential(gaps, 200), 200) < 1e-6);
    for (size_t i = 0; i < 2000; i++) /* whole milliseconds where the mean is two */
        gaps[i] = floor(draw_exponential(&random, 2.0)) / 2.0;
    ck_assert(ks_probability(ks_exponential(gaps, 2000), 2000) < 1e-6);
}
END_TEST

/* M/D/1 by Lindley's recursion, as simulated as it gets. */
START_TEST(test_md1)
{
    ck_near(md1_wait(0.5, 1.0), 0.5, 1e-12); /* rho D / 2 (1 - rho) */
    ck_near(md1_wait(80.0, 0.01), 0.02, 1e-12);
    ck_assert(isinf(md1_wait(100.0, 0.01)));
    ck_near(burst_wait(333.0, 0.001), 0.166, 1e-12);
    ck_near(burst_wait(1.0, 0.001), 0.0, 1e-12);
    uint64_t random = SEED;
    double wait = 0.0, sum = 0.0;
    const int clients = 2000000;
    for (int i = 0; i < clients; i++) {
        sum += wait;
        wait = fmax(wait + 1.0 - draw_exponential(&random, 1.0 / 0.7), 0.0);
    }
    ck_near(sum / clients, md1_wait(0.7, 1.0), 0.03);
}
END_TEST

START_TEST(test_mginf)
{
    ck_near(mginf_mean(50.0, 10.0, 1e9), 500.0, 1e-6);
    ck_near(mginf_mean(50.0, 10.0, 10.0), 500.0 * (1.0 - exp(-1.0)), 1e-9);
    ck_near(mginf_mean(50.0, 10.0, 0.0), 0.0, 1e-12);
}
END_TEST

/* Quantiles of a Poisson distribution from tables, and the normal limit for great means. */
START_TEST(test_poisson)
{
    ck_assert_uint_eq(poisson_quantile(0.0, 0.975), 0);
    ck_assert_uint_eq(poisson_quantile(1.0, 0.025), 0);
    ck_assert_uint_eq(poisson_quantile(1.0, 0.975), 3);
    ck_assert_uint_eq(poisson_quantile(10.0, 0.025), 4);
    ck_assert_uint_eq(poisson_quantile(10.0, 0.5), 10);
    ck_assert_uint_eq(poisson_quantile(10.0, 0.975), 17);
    ck_assert_uint_eq(poisson_quantile(100.0, 0.025), 81);
    ck_assert_uint_eq(poisson_quantile(100.0, 0.975), 120);
    ck_near((double)poisson_quantile(10000.0, 0.975), 10000.0 + 1.959964 * 100.0, 2.0);
    ck_near((double)poisson_quantile(1e6, 0.025), 1e6 - 1.959964 * 1000.0, 3.0);
}
END_TEST

START_TEST(test_draws)
{
    uint64_t random = SEED;
    double sum = 0.0, squares = 0.0, weights[4];
    uint32_t counts[4] = {0};
    for (int i = 0; i < 400000; i++) {
        double x = draw_exponential(&random, 3.0);
        ck_assert(x > 0.0);
        sum += x;
        squares += x * x;
    }
    ck_near(sum / 400000, 3.0, 0.03);
    ck_near(squares / 400000, 18.0, 0.5);
    zipf_cumulate(weights, 4, 1.0); /* 12, 6, 4, 3 of 25 */
    for (int i = 0; i < 250000; i++) counts[draw_weighted(&random, weights, 4)]++;
    ck_near(counts[0], 120000.0, 1500.0);
    ck_near(counts[1], 60000.0, 1200.0);
    ck_near(counts[2], 40000.0, 1000.0);
    ck_near(counts[3], 30000.0, 1000.0);
    for (int i = 0; i < 10000; i++) ck_assert_uint_lt(draw_below(&random, 7), 7);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("load_stats");
    TCase *tests = tcase_create("load_stats");
    tcase_add_test(tests, test_hist_buckets);
    tcase_add_test(tests, test_hist_quantiles);
    tcase_add_test(tests, test_ks_probability);
    tcase_add_test(tests, test_ks_distance);
    tcase_add_test(tests, test_ks_verdict);
    tcase_add_test(tests, test_md1);
    tcase_add_test(tests, test_mginf);
    tcase_add_test(tests, test_poisson);
    tcase_add_test(tests, test_draws);
    tcase_set_timeout(tests, 0);
    suite_add_tcase(suite, tests);
    printf("seed %u\n", SEED);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int faults = srunner_ntests_failed(runner);
    srunner_free(runner);
    return faults == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
