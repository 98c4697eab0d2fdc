/* ws_listen.c -- binding.
 *
 * The first socket is bound alone, so that an address that somebody else uses is in use, and may be
 * shared only then (SO_REUSEPORT); the others ask to share from the beginning.  Were the first one
 * to ask as well, a second server would get half of the first one's connections. */
#include "ws_listen.h"

#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define BACKLOG 4096

static bool is_loopback(const struct sockaddr *at)
{
    if (at->sa_family == AF_INET) {
        struct sockaddr_in in;
        memcpy(&in, at, sizeof in);
        return (ntohl(in.sin_addr.s_addr) >> 24) == 127;
    }
    struct sockaddr_in6 in6;
    memcpy(&in6, at, sizeof in6);
    return at->sa_family == AF_INET6 && IN6_IS_ADDR_LOOPBACK(&in6.sin6_addr);
}

static struct addrinfo *resolve(const char *host, uint16_t port)
{
    char service[8];
    struct addrinfo hints = {.ai_family = AF_UNSPEC,
                             .ai_socktype = SOCK_STREAM,
                             .ai_flags = AI_PASSIVE | AI_NUMERICSERV};
    struct addrinfo *found = NULL;
    bool any = host[0] == '\0' || strcmp(host, "*") == 0;
    snprintf(service, sizeof service, "%u", port);
    return getaddrinfo(any ? NULL : host, service, &hints, &found) == 0 ? found : NULL;
}

bool ws_is_loopback(const char *host)
{
    struct addrinfo *found = resolve(host, 0);
    bool all = found != NULL;
    for (const struct addrinfo *at = found; at != NULL; at = at->ai_next)
        if (!is_loopback(at->ai_addr)) all = false;
    if (found != NULL) freeaddrinfo(found);
    return all;
}

/* A bound socket, or -1 and errno. */
static int bind_to(const struct sockaddr *at, socklen_t len, bool joins)
{
    int one = 1;
    int fd = socket(at->sa_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0) return -1;
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
    if (joins) setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &one, sizeof one);
    if (bind(fd, at, len) == 0) return fd;
    int failure = errno;
    close(fd);
    errno = failure;
    return -1;
}

static void close_all(int *fds, uint32_t count)
{
    int failure = errno;
    for (uint32_t i = 0; i < count; i++)
        if (fds[i] >= 0) close(fds[i]);
    for (uint32_t i = 0; i < count; i++) fds[i] = -1;
    errno = failure;
}

/* All at one address; false: errno says why. */
static bool open_at(const struct addrinfo *at, int *fds, uint32_t count)
{
    int one = 1;
    struct sockaddr_storage got = {0};
    socklen_t len = sizeof got;
    fds[0] = bind_to(at->ai_addr, at->ai_addrlen, false);
    bool good = fds[0] >= 0;
    if (good && count > 1) setsockopt(fds[0], SOL_SOCKET, SO_REUSEPORT, &one, sizeof one);
    good = good && listen(fds[0], BACKLOG) == 0; /* before others join: only now it is certain */
    good = good && getsockname(fds[0], (struct sockaddr *)&got, &len) == 0;
    for (uint32_t i = 1; i < count && good; i++) {
        fds[i] = bind_to((struct sockaddr *)&got, len, true);
        good = fds[i] >= 0 && listen(fds[i], BACKLOG) == 0;
    }
    if (!good) close_all(fds, count);
    return good;
}

static uint16_t bound_port(int fd)
{
    struct sockaddr_storage at = {0};
    socklen_t len = sizeof at;
    if (getsockname(fd, (struct sockaddr *)&at, &len) != 0) return 0;
    if (at.ss_family == AF_INET) {
        struct sockaddr_in in;
        memcpy(&in, &at, sizeof in);
        return ntohs(in.sin_port);
    }
    struct sockaddr_in6 in6;
    memcpy(&in6, &at, sizeof in6);
    return ntohs(in6.sin6_port);
}

syn_err ws_listen(const char *host, uint16_t port, int *fds, uint32_t count, uint16_t *bound,
                  char *detail)
{
    struct addrinfo *found = resolve(host, port);
    for (uint32_t i = 0; i < count; i++) fds[i] = -1;
    if (found == NULL) {
        snprintf(detail, 256, "%.100s is no address of this machine", host);
        return SYN_EMISUSE;
    }
    int failure = 0;
    for (const struct addrinfo *at = found; at != NULL && fds[0] < 0; at = at->ai_next)
        if (!open_at(at, fds, count)) failure = errno;
    freeaddrinfo(found);
    if (fds[0] < 0) {
        snprintf(detail, 256, "cannot listen on %.100s:%u: %s", host, port, strerror(failure));
        return failure == EADDRINUSE ? SYN_EBUSY : SYN_EMISUSE;
    }
    *bound = bound_port(fds[0]);
    return SYN_OK;
}
