/* ws_files.h -- which files of a folder may be served. */
#ifndef SYN_WS_FILES_H
#define SYN_WS_FILES_H

#include <stdbool.h>
#include <stddef.h>

/* false: the path names something that is there and no regular file, like a FIFO or a device. */
bool ws_files_may(const char *folder, const char *path, size_t len);

#endif
