/* ws_progress.c -- ws_progress.h, by TCP_INFO.  A file of its own, for the header of libc does not
 * know the field, and the kernel's cannot be included beside it. */
#include "ws_progress.h"

#include <linux/tcp.h>
#include <netinet/in.h>
#include <stddef.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

static bool bytes_received(int fd, uint64_t *out)
{
    struct tcp_info info = {0};
    socklen_t size = sizeof info, least = offsetof(struct tcp_info, tcpi_bytes_received) + 8;
    if (getsockopt(fd, IPPROTO_TCP, TCP_INFO, &info, &size) != 0 || size < least) return false;
    *out = info.tcpi_bytes_received;
    return true;
}

/* More may come in between: until it did not.  Cannot be told: 0, so that nothing seems fresh. */
static uint64_t bytes_read(int fd)
{
    uint64_t before, after;
    int waiting = 0;
    for (int i = 0; i < 100; i++) {
        if (!bytes_received(fd, &before) || ioctl(fd, FIONREAD, &waiting) != 0) return 0;
        if (!bytes_received(fd, &after)) return 0;
        if (before == after) return after >= (uint64_t)waiting ? after - (uint64_t)waiting : 0;
    }
    return 0;
}

void ws_progress_mark(struct ws_progress *progress, int fd)
{
    progress->read = bytes_read(fd);
    progress->asked = true;
}

/* The end of the stream counts as a byte, and no request is that short. */
bool ws_progress_fresh(struct ws_progress *progress, int fd)
{
    struct ws_progress before = *progress;
    ws_progress_mark(progress, fd);
    return !before.asked || progress->read > before.read + 1;
}
