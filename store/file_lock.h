/* file_lock.h -- one owner per data file.
 *
 * A lock of the kernel on FILE.lock, not the file's existence, says that somebody has it: it is
 * gone with the process, however that ended.  The text in it is for whoever comes second.  The file
 * stays when the lock goes: unlinking it would let two openers lock two files of one name. */
#ifndef SYN_STORE_FILE_LOCK_H
#define SYN_STORE_FILE_LOCK_H

#include "syncline.h"

/* *fd: give to file_unlock.  SYN_EBUSY: detail names the owner.  A path that is a symbolic link is
 * the file it leads to (a hard link is another file to us, and to SQLite). */
syn_err file_lock(const char *path, const char *owner, int *fd, char detail[256]);
void file_unlock(int fd);
/* fsync of the folder that holds path: a rename or a new file is durable only then. */
syn_err file_sync_folder(const char *path);

#endif
