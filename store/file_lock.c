#include "file_lock.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

/* Who holds it, as printable text: the file may hold anything. */
static void read_owner(int fd, char owner[128])
{
    ssize_t got = pread(fd, owner, 127, 0);
    if (got < 0) got = 0;
    for (ssize_t i = 0; i < got; i++)
        if (owner[i] < ' ' || owner[i] > '~') got = i;
    owner[got] = '\0';
}

static syn_err taken(const char *path, int fd, char detail[256])
{
    char owner[128];
    read_owner(fd, owner);
    if (owner[0] == '\0')
        (void)snprintf(detail, 256, "another process has %.100s open", path);
    else
        (void)snprintf(detail, 256, "%.80s is in use by %s: go through that, or stop it", path,
                       owner);
    return SYN_EBUSY;
}

/* Of the file that a link leads to, for SQLite follows it too: two names, one lock. */
static syn_err lock_name(const char *path, char name[PATH_MAX], char detail[256])
{
    char real[PATH_MAX], link[2];
    const char *file = path;
    if (realpath(path, real) != NULL) {
        file = real;
    } else if (errno == ENOENT && readlink(path, link, sizeof link) >= 0) {
        (void)snprintf(detail, 256, "%.100s is a link that leads nowhere: make the file first",
                       path);
        return SYN_EMISUSE;
    }
    if (snprintf(name, PATH_MAX, "%s.lock", file) < PATH_MAX) return SYN_OK;
    (void)snprintf(detail, 256, "the path is too long");
    return SYN_EMISUSE;
}

/* flock, not fcntl's record locks: those are lost when any descriptor of the file is closed. */
syn_err file_lock(const char *path, const char *owner, int *fd, char detail[256])
{
    char name[PATH_MAX];
    syn_err named = lock_name(path, name, detail);
    if (named) return named;
    int lock = open(name, O_RDWR | O_CREAT | O_CLOEXEC, 0644);
    if (lock < 0) {
        (void)snprintf(detail, 256, "cannot make %.100s: %s", name, strerror(errno));
        return errno == ENOSPC ? SYN_EFULL : SYN_EIO;
    }
    if (flock(lock, LOCK_EX | LOCK_NB) != 0) {
        syn_err err = taken(path, lock, detail);
        close(lock);
        return err;
    }
    /* Best effort: without the text the second opener is still refused. */
    size_t len = owner == NULL ? 0 : strlen(owner);
    if (ftruncate(lock, 0) == 0 && len > 0 && pwrite(lock, owner, len, 0) < 0) len = 0;
    *fd = lock;
    return SYN_OK;
}

void file_unlock(int fd)
{
    if (fd < 0) return;
    if (ftruncate(fd, 0) != 0) errno = 0; /* a stale name is never shown: the lock is free */
    close(fd);
}

syn_err file_sync_folder(const char *path)
{
    char folder[PATH_MAX];
    const char *slash = strrchr(path, '/');
    size_t len = slash == NULL ? 0 : (size_t)(slash - path);
    if (len >= sizeof folder) return SYN_EMISUSE;
    memcpy(folder, path, len);
    folder[len] = '\0';
    int fd = open(slash == NULL ? "." : len == 0 ? "/" : folder, O_RDONLY | O_CLOEXEC);
    if (fd < 0) return SYN_EIO;
    int rc = fsync(fd);
    close(fd);
    return rc == 0 ? SYN_OK : SYN_EIO;
}
