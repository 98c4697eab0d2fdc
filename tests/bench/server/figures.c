/* figures.c -- histograms, and what the kernel says of a process. */
#include "drive.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

static uint32_t bucket_of(uint64_t us)
{
    if (us < 16) return (uint32_t)us;
    uint32_t octave = 59u - (uint32_t)__builtin_clzll(us);
    uint32_t bucket = 16u * (octave + 1) + (uint32_t)(us >> octave & 15u);
    return bucket < HIST_BUCKETS ? bucket : HIST_BUCKETS - 1;
}

void hist_add(struct hist *h, uint64_t us)
{
    h->count++;
    if (us > h->max) h->max = us;
    h->buckets[bucket_of(us)]++;
}

void hist_merge(struct hist *into, const struct hist *from)
{
    into->count += from->count;
    if (from->max > into->max) into->max = from->max;
    for (uint32_t i = 0; i < HIST_BUCKETS; i++) into->buckets[i] += from->buckets[i];
}

uint64_t hist_quantile(const struct hist *h, double q)
{
    uint64_t rank = (uint64_t)(q * (double)h->count), seen = 0;
    for (uint32_t i = 0; i < HIST_BUCKETS; i++) {
        seen += h->buckets[i];
        if (seen <= rank) continue;
        if (i < 16) return i;
        uint64_t low = (uint64_t)(16u + i % 16u) << (i / 16u - 1);
        return low + ((uint64_t)1 << (i / 16u - 1)) / 2;
    }
    return h->max;
}

double process_cpu(long pid)
{
    char path[64], line[1024] = "";
    unsigned long user = 0, system = 0;
    (void)snprintf(path, sizeof path, "/proc/%ld/stat", pid);
    FILE *in = fopen(path, "r");
    if (in == NULL) return 0.0;
    if (fgets(line, sizeof line, in) != NULL) {
        const char *at = strrchr(line, ')');
        if (at != NULL)
            (void)sscanf(at + 2, "%*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %lu %lu", &user,
                         &system);
    }
    (void)fclose(in);
    return (double)(user + system) / (double)sysconf(_SC_CLK_TCK);
}

long process_kib(long pid, const char *what)
{
    char path[64], line[256];
    long kib = 0;
    (void)snprintf(path, sizeof path, "/proc/%ld/status", pid);
    FILE *in = fopen(path, "r");
    if (in == NULL) return 0;
    while (fgets(line, sizeof line, in) != NULL)
        if (strncmp(line, what, strlen(what)) == 0) (void)sscanf(line + strlen(what), "%ld", &kib);
    (void)fclose(in);
    return kib;
}
