/* load_stats.c -- see load_stats.h. */
#include "load_stats.h"

#include <math.h>
#include <stdlib.h>

/* ---- Histograms ------------------------------------------------------------------------------ */

static uint32_t bucket_of(uint64_t value)
{
    if (value < HIST_STEPS) return (uint32_t)value;
    uint32_t top = 63u - (uint32_t)__builtin_clzll(value); /* >= 4 */
    uint32_t octave = top - 4;
    if (octave >= HIST_OCTAVES) return HIST_BUCKETS - 1;
    return HIST_STEPS * (octave + 1) + (uint32_t)((value >> octave) & (HIST_STEPS - 1));
}

uint64_t hist_low(uint32_t bucket)
{
    if (bucket < HIST_STEPS) return bucket;
    uint32_t octave = bucket / HIST_STEPS - 1;
    return (uint64_t)(HIST_STEPS + bucket % HIST_STEPS) << octave;
}

void hist_add(struct hist *h, uint64_t value)
{
    h->count++;
    h->sum += value;
    if (value > h->max) h->max = value;
    h->buckets[bucket_of(value)]++;
}

void hist_merge(struct hist *into, const struct hist *from)
{
    into->count += from->count;
    into->sum += from->sum;
    if (from->max > into->max) into->max = from->max;
    for (uint32_t b = 0; b < HIST_BUCKETS; b++) into->buckets[b] += from->buckets[b];
}

uint64_t hist_quantile(const struct hist *h, double q)
{
    uint64_t rank = (uint64_t)ceil(q * (double)h->count), seen = 0;
    if (h->count == 0) return 0;
    for (uint32_t b = 0; b + 1 < HIST_BUCKETS; b++) {
        seen += h->buckets[b];
        if (seen < rank || seen == 0) continue;
        uint64_t middle = (hist_low(b) + hist_low(b + 1) - 1) / 2;
        return middle < h->max ? middle : h->max;
    }
    return h->max;
}

double hist_mean(const struct hist *h)
{
    return h->count > 0 ? (double)h->sum / (double)h->count : 0.0;
}

/* ---- Random numbers -------------------------------------------------------------------------- */

uint64_t draw_bits(uint64_t *state)
{
    uint64_t x = *state += 0x9e3779b97f4a7c15u;
    x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9u;
    x = (x ^ (x >> 27)) * 0x94d049bb133111ebu;
    return x ^ (x >> 31);
}

double draw_uniform(uint64_t *state)
{
    return ((double)(draw_bits(state) >> 12) + 0.5) * 0x1p-52;
}

double draw_exponential(uint64_t *state, double mean)
{
    return -mean * log(draw_uniform(state));
}

uint32_t draw_below(uint64_t *state, uint32_t bound)
{
    return (uint32_t)(draw_uniform(state) * bound);
}

uint32_t draw_weighted(uint64_t *state, const double *cumulated, uint32_t count)
{
    double u = draw_uniform(state);
    uint32_t low = 0, high = count - 1;
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        if (cumulated[middle] < u)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

void zipf_cumulate(double *cumulated, uint32_t count, double exponent)
{
    double sum = 0.0;
    for (uint32_t i = 0; i < count; i++) cumulated[i] = sum += pow((double)i + 1.0, -exponent);
    for (uint32_t i = 0; i < count; i++) cumulated[i] /= sum;
}

/* ---- Kolmogorov-Smirnov ---------------------------------------------------------------------- */

static int by_size(const void *left, const void *right)
{
    double a = *(const double *)left, b = *(const double *)right;
    return (a > b) - (a < b);
}

double ks_exponential(double *gaps, size_t count)
{
    double distance = 0.0, n = (double)count;
    qsort(gaps, count, sizeof *gaps, by_size);
    for (size_t i = 0; i < count; i++) {
        double expected = 1.0 - exp(-gaps[i]);
        distance = fmax(distance, (double)(i + 1) / n - expected);
        distance = fmax(distance, expected - (double)i / n);
    }
    return distance;
}

/* Kolmogorov's limit distribution at Stephens' argument, good from about 5 gaps on.  Below 0.3 its
 * series converges slowly, and the answer is 1 to nine digits. */
double ks_probability(double d, size_t count)
{
    double root = sqrt((double)count), x = d * (root + 0.12 + 0.11 / root), p = 0.0;
    if (count == 0 || x < 0.3) return 1.0;
    for (int k = 1; k <= 100; k++) p += (k % 2 == 1 ? 2.0 : -2.0) * exp(-2.0 * k * k * x * x);
    return fmin(fmax(p, 0.0), 1.0);
}

/* ---- Queues ---------------------------------------------------------------------------------- */

double md1_wait(double rate, double service)
{
    double utilisation = rate * service;
    if (utilisation >= 1.0) return INFINITY;
    return utilisation * service / (2.0 * (1.0 - utilisation));
}

double burst_wait(double count, double service)
{
    return count > 1.0 ? (count - 1.0) / 2.0 * service : 0.0;
}

double mginf_mean(double rate, double stay, double t)
{
    return rate * stay * (1.0 - exp(-t / stay));
}

/* Summed from the mean's neighbourhood on, ten deviations below it, where the rest is nothing: the
 * terms from 0 on would underflow for means above 745. */
uint64_t poisson_quantile(double mean, double q)
{
    if (mean <= 0.0) return 0;
    double from = floor(mean - 10.0 * sqrt(mean) - 10.0), sum = 0.0;
    for (double k = fmax(from, 0.0);; k += 1.0) {
        sum += exp(k * log(mean) - mean - lgamma(k + 1.0));
        if (sum >= q || k > mean + 10.0 * sqrt(mean) + 40.0) return (uint64_t)k;
    }
}
