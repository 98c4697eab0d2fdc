/* failing_memory.h -- allocations of the library that fail, as the linker's --wrap brings them
 * here.
 *
 * Which ones is drawn from a seed by their order, so that they are the same in every build. */
#ifndef TEST_NET_FAILING_MEMORY_H
#define TEST_NET_FAILING_MEMORY_H

#include <stdbool.h>
#include <stdint.h>

/* From now on some fail, drawn from the seed; 0: none. */
void failing_memory(uint64_t seed);
/* Only between these two, and not between those: what a test does when it is called back. */
void failing_begin(void);
void failing_end(void);
void failing_pause(void);
void failing_resume(void);
/* Places that allocated between them, those that failed, and failures in all. */
void failing_count(uint32_t *places, uint32_t *failed, uint64_t *failures);

#endif
