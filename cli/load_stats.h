/* load_stats.h -- what `load` counts with, and what theory expects of it. */
#ifndef SYN_CLI_LOAD_STATS_H
#define SYN_CLI_LOAD_STATS_H

#include <stddef.h>
#include <stdint.h>

/* ---- A histogram of bounded size, log-linear --------------------------------------------------
 *
 * Values below 16 have a bucket each, every power of two above is cut into 16: a bucket is at most
 * 1/16 of its value wide, and what is said of it is its middle, so within 3.2 %.  Values above the
 * last bucket (2^40 microseconds: 12 days) count there. */
#define HIST_STEPS   16u
#define HIST_OCTAVES 36u
#define HIST_BUCKETS (HIST_STEPS * (HIST_OCTAVES + 1u))

struct hist {
    uint64_t count, sum, max;
    uint64_t buckets[HIST_BUCKETS];
};

void hist_add(struct hist *h, uint64_t value);
void hist_merge(struct hist *into, const struct hist *from);
/* The value that a share q (0..1) of all do not exceed; 0 if there are none. */
uint64_t hist_quantile(const struct hist *h, double q);
double hist_mean(const struct hist *h);
uint64_t hist_low(uint32_t bucket); /* the least value of a bucket */

/* ---- Random numbers: splitmix64 -------------------------------------------------------------- */

uint64_t draw_bits(uint64_t *state);
double draw_uniform(uint64_t *state);                  /* in (0, 1) */
double draw_exponential(uint64_t *state, double mean); /* above 0 */
uint32_t draw_below(uint64_t *state, uint32_t bound);  /* bound > 0 */
/* Index of 0..count-1 by cumulated weights that end at 1. */
uint32_t draw_weighted(uint64_t *state, const double *cumulated, uint32_t count);
void zipf_cumulate(double *cumulated, uint32_t count, double exponent); /* 0: uniform */

/* ---- Theory ---------------------------------------------------------------------------------- */

/* Kolmogorov-Smirnov: greatest distance between the distribution of gaps and the exponential one of
 * mean 1.  Sorts the gaps. */
double ks_exponential(double *gaps, size_t count);
/* How probable a distance of at least d is if the gaps are what they should be. */
double ks_probability(double d, size_t count);

/* M/D/1: mean wait before service begins, of Poisson arrivals at `rate` with service of `service`
 * each.  Infinite when rate x service >= 1. */
double md1_wait(double rate, double service);
/* All `count` at once before one such server: mean wait. */
double burst_wait(double count, double service);

/* M/G/inf that begins empty, exponential stays: mean number present after t. */
double mginf_mean(double rate, double stay, double t);
/* The least k with P(X <= k) >= q, X Poisson of this mean. */
uint64_t poisson_quantile(double mean, double q);

#endif
