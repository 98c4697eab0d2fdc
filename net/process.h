/* process.h -- the memory of this process, as the system and its allocator see it. */
#ifndef SYN_PROCESS_H
#define SYN_PROCESS_H

#include <stdint.h>

uint64_t process_resident(void); /* bytes; 0: not known */
/* Bytes that the allocator holds and nobody uses; a trimmed page counts still.  Walks what is free.
 */
uint64_t process_free(void);
/* What is freed goes back to the system sooner, at the price of asking for it again. */
void process_stay_small(void);
void process_trim(void);

#endif
