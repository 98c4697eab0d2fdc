/* test_handshake.c -- who becomes a WebSocket, and which WebSocket frames end one.
 *
 * Two tables over real sockets: requests with the status that answers them, and bytes after the
 * upgrade with the close code that ends the connection.  What libwebsockets lets through is checked
 * by the server (ws_handshake.c); what it checks by itself stands here too, so that a change of the
 * library shows. */
#include "raw_ws.h"
#include "syncline_server.h"

#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static void no_log(void *user, const char *line)
{
    (void)user;
    (void)line;
}

static syn_server *start(void)
{
    syn_server *server = NULL;
    char detail[256];
    syn_server_config config = SYN_SERVER_CONFIG_INIT;
    config.listen = "127.0.0.1:0";
    config.web = "/nonexistent";
    config.seed = 7;
    config.log = no_log;
    ck_assert_msg(syn_server_start(&server, &config, detail) == SYN_OK, "%s", detail);
    return server;
}

/* ---- The request ----------------------------------------------------------------------------- */

#define LINE     "GET / HTTP/1.1\r\n"
#define HOST     "Host: localhost\r\n"
#define UPGRADE  "Upgrade: websocket\r\nConnection: Upgrade\r\n"
#define VERSION  "Sec-WebSocket-Version: 13\r\n"
#define KEY      "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
#define PROTOCOL "Sec-WebSocket-Protocol: syncline.v1\r\n"
#define ALL      HOST UPGRADE VERSION KEY PROTOCOL
#define REST     HOST UPGRADE KEY PROTOCOL /* without a version */
#define NO_KEY   HOST UPGRADE VERSION PROTOCOL
#define NO_PROTO HOST UPGRADE VERSION KEY

/* 0: the connection ends without an answer. */
static const struct {
    const char *what, *request;
    int status;
} requests[] = {
    {"the usual one", LINE ALL, 101},
    {"another path", "GET /any/where?a=b HTTP/1.1\r\n" ALL, 101},
    {"several subprotocols", LINE NO_PROTO "Sec-WebSocket-Protocol: chat, syncline.v1\r\n", 101},
    {"names in any case",
     LINE HOST "UPGRADE: WebSocket\r\nconnection: keep-alive, upgrade\r\n" VERSION KEY PROTOCOL,
     101},
    {"POST", "POST / HTTP/1.1\r\n" ALL, 400},
    {"HEAD", "HEAD / HTTP/1.1\r\n" ALL, 400},
    {"OPTIONS", "OPTIONS / HTTP/1.1\r\n" ALL, 400},
    {"PUT", "PUT / HTTP/1.1\r\n" ALL, 400},
    {"a method nobody knows", "BREW / HTTP/1.1\r\n" ALL, 403},
    {"HTTP/1.0", "GET / HTTP/1.0\r\n" ALL, 400},
    {"HTTP/1.2", "GET / HTTP/1.2\r\n" ALL, 400},
    {"no HTTP version", "GET /\r\n" ALL, 400},
    {"a whole URL", "GET http://localhost/ HTTP/1.1\r\n" ALL, 400},
    {"a path that is none", "GET * HTTP/1.1\r\n" ALL, 400},
    {"a path upward", "GET /../../etc/passwd HTTP/1.1\r\n" ALL, 101},
    {"no Host", LINE UPGRADE VERSION KEY PROTOCOL, 400},
    {"an empty Host", LINE "Host:\r\n" UPGRADE VERSION KEY PROTOCOL, 400},
    {"two Hosts", LINE "Host: evil.example\r\n" ALL, 403},
    {"a Host of another", LINE "Host: evil.example\r\n" UPGRADE VERSION KEY PROTOCOL, 403},
    {"Upgrade to something else",
     LINE HOST "Upgrade: foo\r\nConnection: Upgrade\r\n" VERSION KEY PROTOCOL, 403},
    {"no Connection", LINE HOST "Upgrade: websocket\r\n" VERSION KEY PROTOCOL, 0},
    {"Connection: close",
     LINE HOST "Upgrade: websocket\r\nConnection: close\r\n" VERSION KEY PROTOCOL, 0},
    {"no version", LINE REST, 400},
    {"version 8", LINE REST "Sec-WebSocket-Version: 8\r\n", 400},
    {"version 12", LINE REST "Sec-WebSocket-Version: 12\r\n", 400},
    {"version 14", LINE REST "Sec-WebSocket-Version: 14\r\n", 400},
    {"version 013", LINE REST "Sec-WebSocket-Version: 013\r\n", 400},
    {"version 13x", LINE REST "Sec-WebSocket-Version: 13x\r\n", 400},
    {"a list of versions", LINE REST "Sec-WebSocket-Version: 13, 8\r\n", 400},
    {"the version twice", LINE REST VERSION VERSION, 400},
    {"no key", LINE NO_KEY, 400},
    {"an empty key", LINE NO_KEY "Sec-WebSocket-Key:\r\n", 400},
    {"a key of one byte", LINE NO_KEY "Sec-WebSocket-Key: x\r\n", 400},
    {"a key of 15 bytes", LINE NO_KEY "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25j\r\n", 400},
    {"a key of 17 bytes", LINE NO_KEY "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQE=\r\n", 400},
    {"a key of 24 letters", LINE NO_KEY "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQQQ\r\n", 400},
    {"a key not in base64", LINE NO_KEY "Sec-WebSocket-Key: dGhlIHNhbXBs!SBub25jZQ==\r\n", 400},
    {"bits behind the key", LINE NO_KEY "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZR==\r\n", 400},
    {"the key twice", LINE NO_KEY KEY KEY, 400},
    {"no subprotocol", LINE NO_PROTO, 400},
    {"another subprotocol", LINE NO_PROTO "Sec-WebSocket-Protocol: chat\r\n", 400},
    {"a longer name", LINE NO_PROTO "Sec-WebSocket-Protocol: syncline.v10\r\n", 400},
    {"a name that ends alike", LINE NO_PROTO "Sec-WebSocket-Protocol: x-syncline.v1\r\n", 400},
    {"the inside of the library", LINE NO_PROTO "Sec-WebSocket-Protocol: http\r\n", 400},
    {"the subprotocol in capitals", LINE NO_PROTO "Sec-WebSocket-Protocol: SYNCLINE.V1\r\n", 400},
    {"a page of another site", LINE ALL "Origin: https://evil.example\r\n", 403},
    {"a page without an origin", LINE ALL "Origin: null\r\n", 403},
    {"a page of ours", LINE ALL "Origin: http://localhost:8080\r\n", 101},
    {"HTTP/2 by upgrade",
     LINE HOST "Upgrade: h2c\r\nConnection: Upgrade, HTTP2-Settings\r\n"
               "HTTP2-Settings: AAMAAABkAARAAAAAAAIAAAAA\r\n",
     505},
    {"compression is not agreed on", LINE ALL "Sec-WebSocket-Extensions: permessage-deflate\r\n",
     101},
};

static char *ask(const syn_server *server, const char *request, int *fd)
{
    char text[1024];
    *fd = raw_connect(syn_server_port(server));
    snprintf(text, sizeof text, "%s\r\n", request);
    return raw_request(*fd, text);
}

START_TEST(answers_to_requests)
{
    int fd, wrong = 0;
    syn_server *server = start();
    for (size_t i = 0; i < sizeof requests / sizeof *requests; i++) {
        char *answer = ask(server, requests[i].request, &fd);
        int status = strncmp(answer, "HTTP/1.", 7) == 0 ? atoi(answer + 9) : 0;
        if (status != requests[i].status || strstr(answer, "xtensions") != NULL) {
            fprintf(stderr, "%s: want %d: %s\n", requests[i].what, requests[i].status, answer);
            wrong++;
        }
        free(answer);
        close(fd);
    }
    ck_assert_int_eq(wrong, 0);
    syn_server_stop(server, 1000);
}
END_TEST

/* ---- Frames ---------------------------------------------------------------------------------- */

/* The connection lives and answers; it ends without a close. */
enum { SERVED = 1, DROPPED = 2, RAW_PONG = 10 };

#define MASK     "\x00\x00\x00\x00"
#define BYTES(x) x, sizeof(x) - 1
#define A125                                                                                       \
    "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa" \
    "aaa"                                                                                          \
    "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"

static const struct {
    const char *what, *bytes;
    size_t len;
    unsigned status;
} streams[] = {
    {"a ping", BYTES("\x89\x82" MASK "hi"), SERVED},
    {"an empty ping", BYTES("\x89\x80" MASK), SERVED},
    {"a ping of 125 bytes", BYTES("\x89\xfd" MASK A125), SERVED},
    {"a pong that nobody asked for", BYTES("\x8a\x82" MASK "hi"), SERVED},
    {"text", BYTES("\x81\x82" MASK "hi"), 1003},
    {"an empty text", BYTES("\x81\x80" MASK), 1003},
    {"a ping of 126 bytes", BYTES("\x89\xfe\x00\x7e" MASK A125 "a"), DROPPED},
    {"a pong of 126 bytes", BYTES("\x8a\xfe\x00\x7e" MASK A125 "a"), DROPPED},
    {"a close of 126 bytes", BYTES("\x88\xfe\x00\x7e" MASK "\x03\xe8" A125), DROPPED},
    {"a ping whose length takes 8 bytes", BYTES("\x89\xff\x00\x00\x00\x00\x00\x01\x00\x00" MASK),
     DROPPED},
    {"a ping in fragments", BYTES("\x09\x82" MASK "hi"), 1002},
    {"a close in fragments", BYTES("\x08\x82" MASK "\x03\xe8"), 1002},
    {"reserved bit 1", BYTES("\xc2\x82" MASK "hi"), 1002},
    {"reserved bit 2", BYTES("\xa2\x82" MASK "hi"), 1002},
    {"reserved bit 3", BYTES("\x92\x82" MASK "hi"), 1002},
    {"reserved bits of a ping", BYTES("\xf9\x82" MASK "hi"), 1002},
    {"opcode 3", BYTES("\x83\x82" MASK "hi"), 1002},
    {"opcode 4", BYTES("\x84\x82" MASK "hi"), 1002},
    {"opcode 5", BYTES("\x85\x82" MASK "hi"), 1002},
    {"opcode 6", BYTES("\x86\x82" MASK "hi"), 1002},
    {"opcode 7", BYTES("\x87\x82" MASK "hi"), 1002},
    {"opcode 11", BYTES("\x8b\x82" MASK "hi"), 1002},
    {"opcode 12", BYTES("\x8c\x82" MASK "hi"), 1002},
    {"opcode 13", BYTES("\x8d\x82" MASK "hi"), 1002},
    {"opcode 14", BYTES("\x8e\x82" MASK "hi"), 1002},
    {"opcode 15", BYTES("\x8f\x82" MASK "hi"), 1002},
    {"nothing to continue", BYTES("\x80\x82" MASK "hi"), 1002},
    {"nothing to continue, to be continued", BYTES("\x00\x82" MASK "hi"), 1002},
    {"a message within another", BYTES("\x02\x82" MASK "hi\x82\x82" MASK "hi"), 1002},
    /* Whether they are masked the library does not tell. */
    {"not masked", BYTES("\x82\x02hi"), 1002}, /* for what it says */
    {"a ping that is not masked", BYTES("\x89\x02hi"), SERVED},
    {"a close that is not masked", BYTES("\x88\x02\x03\xe8"), 1000},
    {"a length from 2^63 on", BYTES("\x82\xff\x80\x00\x00\x00\x00\x00\x00\x01" MASK), DROPPED},
    {"a message of 2^62 bytes", BYTES("\x82\xff\x40\x00\x00\x00\x00\x00\x00\x00" MASK "a"), 1009},
    {"close 1000", BYTES("\x88\x82" MASK "\x03\xe8"), 1000},
    {"close 1001 with a reason",
     BYTES("\x88\x85" MASK "\x03\xe9"
           "bye"),
     1001},
    {"close 3000", BYTES("\x88\x82" MASK "\x0b\xb8"), 3000},
    {"close 4999", BYTES("\x88\x82" MASK "\x13\x87"), 4999},
    {"close without a code", BYTES("\x88\x80" MASK), 1005},
    {"close with half a code", BYTES("\x88\x81" MASK "\x03"), 1002},
    {"close 0", BYTES("\x88\x82" MASK "\x00\x00"), 1002},
    {"close 999", BYTES("\x88\x82" MASK "\x03\xe7"), 1002},
    {"close 1004", BYTES("\x88\x82" MASK "\x03\xec"), 1002},
    {"close 1005", BYTES("\x88\x82" MASK "\x03\xed"), 1002},
    {"close 1006", BYTES("\x88\x82" MASK "\x03\xee"), 1002},
    {"close 1015", BYTES("\x88\x82" MASK "\x03\xf7"), 1002},
    {"close 1016", BYTES("\x88\x82" MASK "\x03\xf8"), 1002},
    {"close 1100", BYTES("\x88\x82" MASK "\x04\x4c"), 1002},
    {"close 2000", BYTES("\x88\x82" MASK "\x07\xd0"), 1002},
    {"close 2999", BYTES("\x88\x82" MASK "\x0b\xb7"), 1002},
    {"close 5000", BYTES("\x88\x82" MASK "\x13\x88"), 1002},
    {"close 65535", BYTES("\x88\x82" MASK "\xff\xff"), 1002},
    {"close with a reason that is not UTF-8", BYTES("\x88\x84" MASK "\x03\xe8\xc3\x28"), 1007},
    {"close with half a character", BYTES("\x88\x83" MASK "\x03\xe8\xc3"), 1007},
    {"close with a surrogate", BYTES("\x88\x85" MASK "\x03\xe8\xed\xa0\x80"), 1007},
};

/* 1005: a close without a code; DROPPED: the end came without one. */
static unsigned how_it_ends(int fd)
{
    char *bytes;
    size_t len;
    unsigned status = DROPPED;
    for (bool more = true; more;) {
        int opcode = raw_receive(fd, &bytes, &len);
        more = opcode >= 0 && opcode != RAW_CLOSE;
        if (opcode == RAW_CLOSE)
            status =
                len < 2 ? 1005 : (unsigned)((unsigned char)bytes[0] << 8 | (unsigned char)bytes[1]);
        free(bytes);
    }
    return status;
}

static bool is_served(int fd)
{
    char *bytes;
    size_t len;
    int opcode = RAW_PONG;
    raw_hello(fd, "");
    while (opcode == RAW_PONG) {
        opcode = raw_receive(fd, &bytes, &len);
        free(bytes);
    }
    return opcode == RAW_BINARY; /* Welcome */
}

START_TEST(ends_of_streams)
{
    int wrong = 0;
    syn_server *server = start();
    for (size_t i = 0; i < sizeof streams / sizeof *streams; i++) {
        for (int bytewise = 0; bytewise < 2; bytewise++) {
            int fd = raw_websocket(syn_server_port(server));
            ck_assert_int_ge(fd, 0);
            size_t step = bytewise ? 1 : streams[i].len;
            for (size_t at = 0; at < streams[i].len; at += step)
                if (send(fd, streams[i].bytes + at, step, MSG_NOSIGNAL) < 0) break;
            bool served = streams[i].status == SERVED && is_served(fd);
            unsigned status = served ? SERVED : how_it_ends(fd);
            close(fd);
            /* Closed before the rest of the bytes came, TCP resets, and the close may be lost. */
            bool reset = bytewise && status == DROPPED && streams[i].status == 1002;
            if (status == streams[i].status || reset) continue;
            fprintf(stderr, "%s: %u, want %u\n", streams[i].what, status, streams[i].status);
            wrong++;
        }
    }
    ck_assert_int_eq(wrong, 0);
    syn_server_stop(server, 1000);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("handshake");
    TCase *tests = tcase_create("handshake");
    tcase_set_timeout(tests, 0);
    tcase_add_test(tests, answers_to_requests);
    tcase_add_test(tests, ends_of_streams);
    suite_add_tcase(suite, tests);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed != 0;
}
