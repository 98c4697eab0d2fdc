/* socket.c -- sockets and the frames of RFC 6455, as a client has them.
 *
 * One read buffer serves all connections; only what is incomplete is kept (in).  Messages are
 * masked with zeros, which is allowed and saves the work: servers unmask them all the same. */
#include "drive.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

struct sockaddr_in drive_server;
enum speech drive_speech;
bool drive_packed;
const struct handler *drive_handler;

uint64_t now_ns(void)
{
    struct timespec t;
    (void)clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * NS_PER_S + (uint64_t)t.tv_nsec;
}

/* ---- Bytes ----------------------------------------------------------------------------------- */

void put(struct bytes *b, const void *data, size_t len)
{
    if (len > b->cap - b->len) {
        size_t cap = b->cap > 0 ? b->cap : 256;
        while (cap < b->len + len) cap *= 2;
        uint8_t *grown = realloc(b->data, cap);
        if (grown == NULL) abort();
        b->data = grown;
        b->cap = cap;
    }
    if (len > 0) memcpy(b->data + b->len, data, len);
    b->len += len;
}

void put_byte(struct bytes *b, uint8_t byte)
{
    put(b, &byte, 1);
}

void put_number(struct bytes *b, uint64_t n)
{
    for (; n >= 0x80; n >>= 7) put_byte(b, (uint8_t)(n | 0x80));
    put_byte(b, (uint8_t)n);
}

void put_text(struct bytes *b, const void *data, size_t len)
{
    put_number(b, len);
    put(b, data, len);
}

bool take_number(const uint8_t **at, const uint8_t *end, uint64_t *out)
{
    *out = 0;
    for (unsigned shift = 0; *at < end && shift < 64; shift += 7) {
        uint8_t byte = *(*at)++;
        *out |= (uint64_t)(byte & 0x7f) << shift;
        if (byte < 0x80) return true;
    }
    return false;
}

/* ---- Connecting ------------------------------------------------------------------------------ */

bool conn_begin(int epoll, struct conn *c, enum speech speech, const struct handler *handler)
{
    int on = 1;
    drive_speech = speech;
    drive_handler = handler;
    c->began = now_ns();
    c->state = CONN_CONNECTING;
    c->fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (c->fd < 0) return false;
    (void)setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    if (connect(c->fd, (struct sockaddr *)&drive_server, sizeof drive_server) < 0 &&
        errno != EINPROGRESS)
        return false;
    struct epoll_event event = {.events = EPOLLOUT, .data.ptr = c};
    return epoll_ctl(epoll, EPOLL_CTL_ADD, c->fd, &event) == 0;
}

static void watch(int epoll, struct conn *c, bool write)
{
    struct epoll_event event = {.data.ptr = c};
    if (!c->stalled || !c->synced) event.events = EPOLLIN;
    if (write) event.events |= EPOLLOUT;
    c->want_write = write;
    (void)epoll_ctl(epoll, EPOLL_CTL_MOD, c->fd, &event);
}

static void upgrade(int epoll, struct conn *c)
{
    char path[256], request[640];
    speak_path(c, path, sizeof path);
    int len = snprintf(request, sizeof request,
                       "GET %s HTTP/1.1\r\nHost: 127.0.0.1:%u\r\nUpgrade: websocket\r\n"
                       "Connection: Upgrade\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
                       "Sec-WebSocket-Version: 13\r\n%s\r\n",
                       path, ntohs(drive_server.sin_port), speak_headers());
    c->state = CONN_UPGRADING;
    put(&c->out, request, (size_t)len);
    watch(epoll, c, false);
}

void conn_close(struct conn *c, const char *why)
{
    if (c->state == CONN_CLOSED) return;
    c->state = CONN_CLOSED;
    (void)close(c->fd);
    c->in.len = c->out.len = 0;
    if (drive_handler->closed != NULL) drive_handler->closed(c, why);
}

/* ---- Sending --------------------------------------------------------------------------------- */

static void put_frame(struct bytes *out, uint8_t opcode, const void *payload, size_t len)
{
    uint8_t head[14] = {(uint8_t)(0x80 | opcode)};
    size_t n = 2;
    if (len < 126) {
        head[1] = (uint8_t)(0x80 | len);
    } else if (len < 65536) {
        head[1] = 0x80 | 126;
        head[n++] = (uint8_t)(len >> 8);
        head[n++] = (uint8_t)len;
    } else {
        head[1] = 0x80 | 127;
        for (int shift = 56; shift >= 0; shift -= 8) head[n++] = (uint8_t)((uint64_t)len >> shift);
    }
    put(out, head, n + 4); /* and four zeros: the mask */
    put(out, payload, len);
}

void conn_send(struct conn *c, const void *payload, size_t len)
{
    if (c->state == CONN_OPEN) put_frame(&c->out, 2, payload, len);
}

void conn_flush(int epoll, struct conn *c)
{
    size_t at = 0;
    if (c->state == CONN_CLOSED || c->state == CONN_CONNECTING) return;
    while (at < c->out.len) {
        ssize_t n = send(c->fd, c->out.data + at, c->out.len - at, MSG_NOSIGNAL);
        if (n > 0) {
            at += (size_t)n;
        } else if (errno == EAGAIN) {
            break;
        } else {
            conn_close(c, "write failed");
            return;
        }
    }
    memmove(c->out.data, c->out.data + at, c->out.len - at);
    c->out.len -= at;
    if (c->want_write != (c->out.len > 0)) watch(epoll, c, c->out.len > 0);
}

/* ---- Receiving ------------------------------------------------------------------------------- */

/* Takes whole frames from the front; how many bytes that was. */
static size_t take_frames(struct conn *c, const uint8_t *data, size_t len)
{
    size_t at = 0;
    while (c->state == CONN_OPEN && len - at >= 2) {
        const uint8_t *head = data + at;
        uint64_t size = head[1] & 0x7f;
        size_t start = size == 126 ? 4 : size == 127 ? 10 : 2;
        if (len - at < start) break;
        if (start > 2) size = 0;
        for (size_t i = 2; i < start; i++) size = size << 8 | head[i];
        if (len - at - start < size) break;
        const uint8_t *payload = head + start;
        uint8_t opcode = head[0] & 0x0f;
        at += start + size;
        if (opcode == 8)
            conn_close(c, "closed by the server");
        else if (opcode == 9)
            put_frame(&c->out, 10, payload, size);
        else if (opcode < 3)
            speak_message(c, payload, size);
    }
    return at;
}

static size_t take_upgrade(struct conn *c, const uint8_t *data, size_t len)
{
    const uint8_t *end = memmem(data, len, "\r\n\r\n", 4);
    if (end == NULL) return 0;
    if (len < 12 || memcmp(data + 9, "101", 3) != 0) {
        conn_close(c, "no upgrade");
        return len;
    }
    c->state = CONN_OPEN;
    speak_begin(c);
    return (size_t)(end + 4 - data);
}

static void received(struct conn *c, const uint8_t *data, size_t len)
{
    size_t at = 0;
    if (c->in.len > 0) {
        put(&c->in, data, len);
        data = c->in.data;
        len = c->in.len;
    }
    if (c->state == CONN_UPGRADING) at = take_upgrade(c, data, len);
    if (c->state == CONN_OPEN) at += take_frames(c, data + at, len - at);
    if (c->state == CONN_CLOSED) return;
    size_t left = len - at;
    if (data == c->in.data) {
        memmove(c->in.data, data + at, left);
        c->in.len = left;
    } else if (left > 0) {
        put(&c->in, data + at, left);
    }
}

void conn_event(int epoll, struct conn *c, uint32_t events)
{
    static uint8_t buffer[1 << 18];
    if (c->state == CONN_CLOSED) return;
    if (c->state == CONN_CONNECTING) {
        int error = 0;
        socklen_t size = sizeof error;
        (void)getsockopt(c->fd, SOL_SOCKET, SO_ERROR, &error, &size);
        if (error != 0) {
            conn_close(c, strerror(error));
            return;
        }
        upgrade(epoll, c);
        conn_flush(epoll, c);
        return;
    }
    if ((events & (EPOLLIN | EPOLLHUP | EPOLLERR)) != 0) {
        ssize_t n = recv(c->fd, buffer, sizeof buffer, 0);
        if (n > 0)
            received(c, buffer, (size_t)n);
        else if (n == 0 || errno != EAGAIN)
            conn_close(c, n == 0 ? "closed" : strerror(errno));
    }
    bool was_stalled = c->stalled && c->synced;
    conn_flush(epoll, c);
    if (was_stalled && c->state == CONN_OPEN) watch(epoll, c, c->out.len > 0);
}
