/* raw_ws.c -- blocking sockets, by hand. */
#include "raw_ws.h"

#include <arpa/inet.h>
#include <check.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

int raw_connect(uint16_t port)
{
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_port = htons(port)};
    at.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    ck_assert_int_ge(fd, 0);
    ck_assert_int_eq(connect(fd, (struct sockaddr *)&at, sizeof at), 0);
    int one = 1;
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    return fd;
}

static bool write_all(int fd, const void *bytes, size_t len)
{
    const char *at = bytes;
    while (len != 0) {
        ssize_t n = send(fd, at, len, MSG_NOSIGNAL);
        if (n <= 0) return false;
        at += n;
        len -= (size_t)n;
    }
    return true;
}

static bool read_all(int fd, void *bytes, size_t len)
{
    char *at = bytes;
    while (len != 0) {
        ssize_t n = recv(fd, at, len, 0);
        if (n <= 0) return false;
        at += n;
        len -= (size_t)n;
    }
    return true;
}

char *raw_request(int fd, const char *text)
{
    char *answer = calloc(65536, 1);
    size_t len = 0;
    write_all(fd, text, strlen(text));
    while (len < 65535 && strstr(answer, "\r\n\r\n") == NULL && recv(fd, answer + len, 1, 0) == 1)
        len++;
    const char *length = strstr(answer, "ontent-length: ");
    if (strstr(answer, "101 Switching") == NULL && length != NULL)
        (void)!read_all(fd, answer + len, (size_t)atol(length + 15));
    return answer;
}

int raw_websocket(uint16_t port)
{
    char text[512];
    int fd = raw_connect(port);
    snprintf(text, sizeof text,
             "GET / HTTP/1.1\r\nHost: 127.0.0.1:%u\r\nUpgrade: websocket\r\n"
             "Connection: Upgrade\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
             "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Protocol: syncline.v1\r\n\r\n",
             port);
    char *answer = raw_request(fd, text);
    bool ok = strncmp(answer, "HTTP/1.1 101", 12) == 0;
    free(answer);
    if (ok) return fd;
    close(fd);
    return -1;
}

void raw_send(int fd, int opcode, bool fin, const void *bytes, size_t len)
{
    unsigned char head[14] = {(unsigned char)((fin ? 0x80 : 0) | opcode)};
    size_t n = 2;
    if (len < 126) {
        head[1] = (unsigned char)(0x80 | len);
    } else if (len < 65536) {
        head[1] = 0x80 | 126;
        head[n++] = (unsigned char)(len >> 8);
        head[n++] = (unsigned char)len;
    } else {
        head[1] = 0x80 | 127;
        for (int i = 7; i >= 0; i--) head[n++] = (unsigned char)((uint64_t)len >> (8 * i));
    }
    n += 4; /* a mask of zeros */
    if (write_all(fd, head, n)) write_all(fd, bytes, len);
}

int raw_receive(int fd, char **out, size_t *len)
{
    unsigned char head[8];
    *out = NULL;
    *len = 0;
    if (!read_all(fd, head, 2)) return -1;
    int opcode = head[0] & 15;
    size_t size = head[1] & 127;
    if (size == 126) {
        if (!read_all(fd, head, 2)) return -1;
        size = (size_t)head[0] << 8 | head[1];
    } else if (size == 127) {
        if (!read_all(fd, head, 8)) return -1;
        size = 0;
        for (int i = 0; i < 8; i++) size = size << 8 | head[i];
    }
    *out = malloc(size + 1);
    *len = size;
    if (read_all(fd, *out, size)) return opcode;
    free(*out);
    *out = NULL;
    return -1;
}

void raw_give(int fd, const struct frame *frame)
{
    syn_buf buf = {0};
    ck_assert_int_eq(proto_encode(&buf, frame), SYN_OK);
    raw_send(fd, RAW_BINARY, true, buf.data, buf.len);
    syn_buf_free(&buf);
}

void raw_hello(int fd, const char *token)
{
    struct frame frame = {.kind = FRAME_HELLO};
    frame.as.hello.min_version = frame.as.hello.max_version = 1;
    frame.as.hello.token = syn_s(token);
    raw_give(fd, &frame);
}

void raw_open(int fd, uint32_t channel, const char *document, uint64_t peer)
{
    struct frame frame = {.channel = channel, .kind = FRAME_OPEN};
    frame.as.open.document = syn_s(document);
    frame.as.open.peer = peer;
    raw_give(fd, &frame);
}

void raw_insert(int fd, uint32_t channel, uint64_t peer, uint32_t seq, uint32_t pos,
                const char *text)
{
    static const struct change_container root = {.kind = SYN_TEXT, .form = CONTAINER_ROOT};
    struct frame frame = {.channel = channel, .kind = FRAME_CHANGES};
    syn_changes *set = &frame.as.changes;
    struct change_run run = {.seq = seq, .len = (uint32_t)strlen(text)};
    struct change_op op = {.kind = OP_TEXT_INSERT, .len = run.len, .pos = pos};
    set->peers = &peer;
    set->containers = &root;
    set->runs = &run;
    set->ops = &op;
    set->text = syn_s(text);
    set->peer_count = set->container_count = set->run_count = set->op_count = 1;
    raw_give(fd, &frame);
}

void raw_next(int fd, proto_arena *arena, struct frame *out, char **bytes, unsigned *status)
{
    struct proto_fault fault;
    size_t len;
    *status = 0;
    for (;;) {
        int opcode = raw_receive(fd, bytes, &len);
        memset(out, 0, sizeof *out);
        if (opcode == RAW_CLOSE && len >= 2)
            *status = (unsigned)((unsigned char)(*bytes)[0] << 8 | (unsigned char)(*bytes)[1]);
        if (opcode != RAW_BINARY) return;
        ck_assert_int_eq(proto_decode(arena, *bytes, len, NULL, NULL, NULL, out, &fault), SYN_OK);
        if (out->kind != FRAME_PING) return;
        free(*bytes);
    }
}

bool raw_until(int fd, enum frame_kind kind)
{
    proto_arena *arena = NULL;
    struct frame frame;
    char *bytes;
    unsigned status;
    ck_assert_int_eq(proto_arena_new(&arena, NULL), SYN_OK);
    do {
        raw_next(fd, arena, &frame, &bytes, &status);
        free(bytes);
    } while (frame.kind != 0 && frame.kind != kind);
    proto_arena_free(arena);
    return frame.kind == kind;
}
