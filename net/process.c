/* process.c -- process.h, for Linux and glibc. */
#include "process.h"

#include <malloc.h>
#include <stdbool.h>
#include <stdio.h>
#include <unistd.h>

uint64_t process_resident(void)
{
    unsigned long long pages = 0, resident = 0;
    FILE *file = fopen("/proc/self/statm", "r");
    if (file == NULL) return 0;
    bool good = fscanf(file, "%llu %llu", &pages, &resident) == 2;
    (void)fclose(file);
    return good ? resident * (uint64_t)sysconf(_SC_PAGESIZE) : 0;
}

uint64_t process_free(void)
{
    return mallinfo2().fordblks;
}

/* Thresholds that are set stop growing by themselves, so large blocks stay mappings of their own.
 * Every thread with an arena of its own would keep what it once needed. */
void process_stay_small(void)
{
    (void)mallopt(M_MMAP_THRESHOLD, 128 * 1024);
    (void)mallopt(M_TRIM_THRESHOLD, 1024 * 1024);
    (void)mallopt(M_ARENA_MAX, 2);
}

void process_trim(void)
{
    (void)malloc_trim(0);
}
