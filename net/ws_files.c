/* ws_files.c -- which files of a folder may be served: regular ones.
 *
 * libwebsockets opens whatever is there, and opening a FIFO waits for somebody to write, with the
 * loop and everybody on it.  It is looked at before; what is not there or cannot be looked at is
 * left to libwebsockets, which says so.  Nobody but the operator changes the folder, so nothing is
 * won by a race between the two. */
#include "ws_files.h"

#include <stdio.h>
#include <sys/stat.h>

bool ws_files_may(const char *folder, const char *path, size_t len)
{
    static const char index[] = "/index.html";
    char name[4096];
    struct stat at;
    int n = snprintf(name, sizeof name - sizeof index, "%s/%.*s", folder, (int)len, path);
    if (len > sizeof name || n < 0 || (size_t)n >= sizeof name - sizeof index) return false;
    if (stat(name, &at) != 0 || S_ISREG(at.st_mode)) return true;
    if (!S_ISDIR(at.st_mode)) return false;
    snprintf(name + n, sizeof index, "%s", index);
    return stat(name, &at) != 0 || S_ISREG(at.st_mode) || S_ISDIR(at.st_mode);
}
