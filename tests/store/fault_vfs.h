/* fault_vfs.h -- an SQLite VFS named "fault" that passes everything on, until told otherwise.
 *
 * Faults: the n-th counted call fails, once or from then on.  Power cut: while recording, each
 * write is remembered with what it replaced until its file is synced; a cut takes the unsynced
 * writes back (all of them, or a random part, torn at 512 bytes), as if the machine had lost its
 * page cache. */
#ifndef SYN_TESTS_FAULT_VFS_H
#define SYN_TESTS_FAULT_VFS_H

#include <stdbool.h>
#include <stdint.h>

enum fault_call { FAULT_WRITE = 1, FAULT_SYNC = 2, FAULT_TRUNCATE = 4, FAULT_READ = 8 };
enum fault_kind { FAULT_EIO, FAULT_ENOSPC, FAULT_TORN };

#define FAULT_CHANGES (FAULT_WRITE | FAULT_SYNC | FAULT_TRUNCATE)

/* Registers the VFS once and returns its name, for store_options.vfs. */
const char *fault_vfs(void);
/* From now on the at-th call (from 1) of those in `calls` fails; at 0 only counts. */
void fault_arm(unsigned calls, enum fault_kind kind, long at, bool from_then_on);
void fault_disarm(void);
/* Calls counted since arming, and faults given. */
long fault_calls(void);
long fault_given(void);

void fault_record(void);
/* Recorded writes stay unsynced whatever is synced: the control, which must lose something. */
void fault_ignore_syncs(bool ignore);
/* Stops every other call for good and takes unsynced writes back: all (seed 0), or each 512 bytes
 * of them by the toss of a coin.  Ends the process with 0. */
_Noreturn void fault_power_cut(uint64_t seed);

#endif
