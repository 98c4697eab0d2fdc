/* test_server.c -- the server in this process, over real sockets. */
#include "on_loops.h"
#include "raw_ws.h"
#include "syncline_server.h"

#include <check.h>
#include <ev.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

static syn_server *start_with(syn_server_config config)
{
    syn_server *server = NULL;
    char detail[256];
    config.listen = "127.0.0.1:0";
    config.seed = 7;
    config.loops = loops_tried;
    syn_err err = syn_server_start(&server, &config, detail);
    ck_assert_msg(err == SYN_OK, "%s: %s", syn_errname(err), detail);
    return server;
}

static void no_log(void *user, const char *line)
{
    (void)user;
    (void)line;
}

static syn_server *start(void)
{
    syn_server_config config = SYN_SERVER_CONFIG_INIT;
    config.log = no_log;
    return start_with(config);
}

static int joined(const syn_server *server, const char *document, uint64_t peer)
{
    int fd = raw_websocket(syn_server_port(server));
    ck_assert_int_ge(fd, 0);
    raw_hello(fd, "");
    ck_assert(raw_until(fd, FRAME_WELCOME));
    raw_open(fd, 1, document, peer);
    ck_assert(raw_until(fd, FRAME_OPENED));
    return fd;
}

START_TEST(two_clients_see_each_other)
{
    syn_server *server = start();
    int a = joined(server, "notes", 0xa1), b = joined(server, "notes", 0xb1);
    raw_insert(a, 1, 0xa1, 0, 0, "hello");
    ck_assert(raw_until(a, FRAME_ACK));
    ck_assert(raw_until(b, FRAME_CHANGES));
    raw_insert(b, 1, 0xb1, 0, 0, "hi ");
    ck_assert(raw_until(b, FRAME_ACK));
    ck_assert(raw_until(a, FRAME_CHANGES));
    close(a);
    close(b);
    syn_server_stop(server, 1000);
}
END_TEST

/* A message in pieces of one byte, and one of several WebSocket fragments. */
START_TEST(fragments)
{
    syn_server *server = start();
    int a = joined(server, "notes", 0xa1);
    struct frame ping = {.kind = FRAME_PING, .as.ping.nonce = 77};
    syn_buf buf = {0};
    ck_assert_int_eq(proto_encode(&buf, &ping), SYN_OK);
    for (size_t i = 0; i < buf.len; i++)
        raw_send(a, i == 0 ? RAW_BINARY : 0, i + 1 == buf.len, buf.data + i, 1);
    ck_assert(raw_until(a, FRAME_PONG));
    syn_buf_free(&buf);
    char *text = malloc(50001);
    memset(text, 'x', 50000);
    text[50000] = '\0';
    raw_insert(a, 1, 0xa1, 0, 0, text);
    ck_assert(raw_until(a, FRAME_ACK));
    int b = joined(server, "notes", 0xb1);
    ck_assert(raw_until(b, FRAME_CHANGES));
    free(text);
    close(a);
    close(b);
    syn_server_stop(server, 1000);
}
END_TEST

/* ---- Bad input ------------------------------------------------------------------------------- */

static void expect_end(int fd, uint32_t code, unsigned close_status)
{
    proto_arena *arena = NULL;
    struct frame frame;
    char *bytes;
    unsigned status;
    ck_assert_int_eq(proto_arena_new(&arena, NULL), SYN_OK);
    do {
        raw_next(fd, arena, &frame, &bytes, &status);
        if (frame.kind == FRAME_ERROR) ck_assert_uint_eq(frame.as.error.code, code);
        bool error = frame.kind == FRAME_ERROR;
        free(bytes);
        if (error) break;
        ck_assert_int_ne(frame.kind, 0);
    } while (1);
    raw_next(fd, arena, &frame, &bytes, &status);
    free(bytes);
    ck_assert_uint_eq(status, close_status);
    proto_arena_free(arena);
    close(fd);
}

START_TEST(text_and_long_messages_are_refused)
{
    syn_server *server = start();
    int a = joined(server, "notes", 0xa1);
    raw_send(a, RAW_TEXT, true, "hello", 5);
    expect_end(a, CODE_MALFORMED, 1003);
    int b = joined(server, "notes", 0xa1);
    char *large = calloc(1, 2u << 20);
    raw_send(b, RAW_BINARY, true, large, (2u << 20) - 5);
    expect_end(b, CODE_LIMIT, 1009);
    int c = raw_websocket(syn_server_port(server));
    raw_send(c, RAW_BINARY, true, large, 100000);
    expect_end(c, CODE_LIMIT, 1009);
    int d = joined(server, "notes", 0xa1);
    raw_send(d, RAW_BINARY, false, large, 700000); /* endless fragments */
    raw_send(d, 0, false, large, 700000);
    expect_end(d, CODE_LIMIT, 1009);
    free(large);
    close(joined(server, "notes", 0xa1));
    syn_server_stop(server, 1000);
}
END_TEST

static const struct {
    const char *what, *request, *status;
} upgrades[] = {
    {"no subprotocol", "GET / HTTP/1.1\r\nHost: localhost\r\nSec-WebSocket-Version: 13\r\n", "400"},
    {"other subprotocol",
     "GET / HTTP/1.1\r\nHost: localhost\r\nSec-WebSocket-Version: 13\r\n"
     "Sec-WebSocket-Protocol: chat\r\n",
     ""},
    {"old version",
     "GET / HTTP/1.1\r\nHost: localhost\r\nSec-WebSocket-Version: 8\r\n"
     "Sec-WebSocket-Protocol: syncline.v1\r\n",
     "400"},
    {"POST",
     "POST / HTTP/1.1\r\nHost: localhost\r\nSec-WebSocket-Version: 13\r\n"
     "Sec-WebSocket-Protocol: syncline.v1\r\n",
     ""},
    {"foreign origin",
     "GET / HTTP/1.1\r\nHost: localhost\r\nSec-WebSocket-Version: 13\r\n"
     "Sec-WebSocket-Protocol: syncline.v1\r\nOrigin: https://evil.example\r\n",
     "403"},
    {"foreign host",
     "GET / HTTP/1.1\r\nHost: evil.example\r\nSec-WebSocket-Version: 13\r\n"
     "Sec-WebSocket-Protocol: syncline.v1\r\nOrigin: https://evil.example\r\n",
     "403"},
};

/* The status of an upgrade that a page of that origin asks for. */
static int upgrade_from(const syn_server *server, const char *origin)
{
    char text[1024];
    int fd = raw_connect(syn_server_port(server));
    snprintf(text, sizeof text,
             "GET / HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
             "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Protocol: syncline.v1\r\n"
             "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n%s%s%s\r\n",
             origin[0] != '\0' ? "Origin: " : "", origin, origin[0] != '\0' ? "\r\n" : "");
    char *answer = raw_request(fd, text);
    int status = atoi(answer + 9);
    free(answer);
    close(fd);
    return status;
}

START_TEST(origins)
{
    char endless[600];
    syn_server_config config = SYN_SERVER_CONFIG_INIT;
    config.log = no_log;
    syn_server *server = start_with(config);
    memset(endless, 'a', sizeof endless - 1);
    endless[sizeof endless - 1] = '\0';
    memcpy(endless, "http://", 7);
    ck_assert_int_eq(upgrade_from(server, ""), 101);
    ck_assert_int_eq(upgrade_from(server, "http://localhost:80"), 101);
    ck_assert_int_eq(upgrade_from(server, "https://evil.example"), 403);
    ck_assert_int_ne(upgrade_from(server, endless), 101); /* not as if there were none */
    syn_server_stop(server, 1000);
    config.origins = "https://app.example,https://b.example:8443";
    server = start_with(config);
    ck_assert_int_eq(upgrade_from(server, ""), 101);
    ck_assert_int_eq(upgrade_from(server, "https://app.example"), 101);
    ck_assert_int_eq(upgrade_from(server, "https://b.example:8443"), 101);
    ck_assert_int_eq(upgrade_from(server, "https://b.example"), 403);
    ck_assert_int_eq(upgrade_from(server, "https://app.example.evil"), 403);
    ck_assert_int_eq(upgrade_from(server, "https://app.example,https://b.example:8443"), 403);
    ck_assert_int_eq(upgrade_from(server, "http://localhost"), 403);
    syn_server_stop(server, 1000);
}
END_TEST

START_TEST(wrong_upgrades)
{
    syn_server *server = start();
    char text[1024];
    snprintf(text, sizeof text,
             "%sUpgrade: websocket\r\nConnection: Upgrade\r\n"
             "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n",
             upgrades[_i].request);
    int fd = raw_connect(syn_server_port(server));
    char *answer = raw_request(fd, text);
    ck_assert_msg(strstr(answer, " 101 ") == NULL, "%s: %s", upgrades[_i].what, answer);
    ck_assert_msg(strstr(answer, upgrades[_i].status) != NULL, "%s: %s", upgrades[_i].what, answer);
    free(answer);
    close(fd);
    close(joined(server, "notes", 0xa1));
    syn_server_stop(server, 1000);
}
END_TEST

/* ---- HTTP ------------------------------------------------------------------------------------ */

static char *get(const syn_server *server, const char *path, const char *extra)
{
    char text[512];
    int fd = raw_connect(syn_server_port(server));
    snprintf(text, sizeof text, "GET %s HTTP/1.1\r\nHost: localhost\r\n%s\r\n", path, extra);
    char *answer = raw_request(fd, text);
    close(fd);
    return answer;
}

static void expect_page(const syn_server *server, const char *path, const char *extra,
                        const char *status, const char *contains)
{
    char *answer = get(server, path, extra);
    ck_assert_msg(strncmp(answer + 9, status, 3) == 0, "%s: %s", path, answer);
    ck_assert_msg(strstr(answer, contains) != NULL, "%s: %s", path, answer);
    free(answer);
}

START_TEST(pages)
{
    syn_server *server = start();
    int a = joined(server, "no\"tes", 0xa1);
    raw_insert(a, 1, 0xa1, 0, 0, "hello");
    ck_assert(raw_until(a, FRAME_ACK));
    expect_page(server, "/healthz", "", "200", "ok");
    expect_page(server, "/metrics", "", "200", "syncline_events_total 5");
    expect_page(server, "/v1/documents", "", "200", "{\"name\":\"no\\\"tes\",\"events\":5");
    expect_page(server, "/nothing", "", "404", "");
    close(a);
    syn_server_stop(server, 1000);
}
END_TEST

/* ---- /echo ----------------------------------------------------------------------------------- */

static int echo_at(const syn_server *server, const char *path)
{
    char text[512];
    int fd = raw_connect(syn_server_port(server));
    snprintf(text, sizeof text,
             "GET %s HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\n"
             "Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
             "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n",
             path);
    char *answer = raw_request(fd, text);
    bool upgraded = strncmp(answer, "HTTP/1.1 101", 12) == 0;
    free(answer);
    if (upgraded) return fd;
    close(fd);
    return -1;
}

static int echo_connect(const syn_server *server)
{
    return echo_at(server, "/echo");
}

static void expect_echo(int fd, const char *expected)
{
    char *text;
    size_t len;
    ck_assert_int_eq(raw_receive(fd, &text, &len), RAW_TEXT);
    ck_assert_uint_eq(len, strlen(expected));
    ck_assert_int_eq(memcmp(text, expected, len), 0);
    free(text);
}

static void expect_echo_closed(int fd, int status)
{
    char *text;
    size_t len;
    ck_assert_int_eq(raw_receive(fd, &text, &len), RAW_CLOSE);
    ck_assert_uint_ge(len, 2);
    ck_assert_int_eq((unsigned char)text[0] << 8 | (unsigned char)text[1], status);
    free(text);
    close(fd);
}

START_TEST(echo)
{
    syn_server_config config = SYN_SERVER_CONFIG_INIT;
    static char most[1025];
    config.log = no_log;
    config.web = "/nonexistent";
    syn_server *server = start_with(config);
    int fd = echo_connect(server);
    ck_assert_int_ge(fd, 0);
    raw_send(fd, RAW_TEXT, true, "World", 5);
    expect_echo(fd, "Hello, World!");
    raw_send(fd, RAW_TEXT, false, "W\xc3", 2); /* a message, and a character, in two fragments */
    raw_send(fd, 0, true, "\xb6rld", 4);
    expect_echo(fd, "Hello, W\xc3\xb6rld!");
    for (int i = 0; i < 50; i++) raw_send(fd, RAW_TEXT, true, "", 0); /* without waiting */
    for (int i = 0; i < 50; i++) expect_echo(fd, "Hello, !");
    memset(most, 'x', sizeof most);
    raw_send(fd, RAW_TEXT, true, most, 1024);
    char *text;
    size_t len;
    ck_assert_int_eq(raw_receive(fd, &text, &len), RAW_TEXT);
    ck_assert_uint_eq(len, 7 + 1024 + 1);
    free(text);
    raw_send(fd, RAW_TEXT, true, most, 1025);
    expect_echo_closed(fd, 1009);
    fd = echo_connect(server);
    raw_send(fd, RAW_BINARY, true, "World", 5);
    expect_echo_closed(fd, 1003);
    fd = echo_connect(server);
    raw_send(fd, RAW_TEXT, true, "\xc3(", 2);
    expect_echo_closed(fd, 1007);
    fd = echo_connect(server); /* goes without a word */
    raw_send(fd, RAW_TEXT, false, "Wor", 3);
    close(fd);
    syn_server_stop(server, 1000);
}
END_TEST

/* Whatever came, as it came: fragments, no bytes, text and binary. */
START_TEST(exact_echo)
{
    static char most[65537];
    syn_server_config config = SYN_SERVER_CONFIG_INIT;
    char *bytes;
    size_t len;
    config.log = no_log;
    config.web = "/nonexistent";
    syn_server *server = start_with(config);
    ck_assert_int_eq(echo_at(server, "/echo/exact"), -1);
    int fd = echo_at(server, "/echo?exact");
    ck_assert_int_ge(fd, 0);
    raw_send(fd, RAW_TEXT, false, "W\xc3", 2);
    raw_send(fd, 0, true, "\xb6rld", 4);
    expect_echo(fd, "W\xc3\xb6rld");
    raw_send(fd, RAW_TEXT, true, "", 0);
    expect_echo(fd, "");
    for (size_t size = 0; size <= 65536; size = size * 3 + 65536 % (size + 7)) {
        memset(most, 'a' + (int)(size % 26), size);
        raw_send(fd, RAW_BINARY, true, most, size);
        ck_assert_int_eq(raw_receive(fd, &bytes, &len), RAW_BINARY);
        ck_assert_uint_eq(len, size);
        ck_assert_int_eq(memcmp(bytes, most, size), 0);
        free(bytes);
    }
    raw_send(fd, RAW_BINARY, true, most, 65537);
    expect_echo_closed(fd, 1009);
    syn_server_stop(server, 1000);
}
END_TEST

START_TEST(no_echo_without_pages)
{
    syn_server *server = start();
    ck_assert_int_eq(echo_connect(server), -1);
    syn_server_stop(server, 1000);
}
END_TEST

START_TEST(secret)
{
    syn_server_config config = SYN_SERVER_CONFIG_INIT;
    config.secret = "open sesame";
    config.log = no_log;
    syn_server *server = start_with(config);
    int fd = raw_websocket(syn_server_port(server));
    raw_hello(fd, "open sesamf");
    expect_end(fd, CODE_UNAUTHENTICATED, 1008);
    fd = raw_websocket(syn_server_port(server));
    raw_hello(fd, "open sesame");
    ck_assert(raw_until(fd, FRAME_WELCOME));
    expect_page(server, "/v1/documents", "", "401", "");
    expect_page(server, "/v1/documents", "Authorization: Bearer open sesame\r\n", "200", "[]");
    close(fd);
    syn_server_stop(server, 1000);
}
END_TEST

START_TEST(beyond_loopback_needs_a_secret)
{
    syn_server_config config = SYN_SERVER_CONFIG_INIT;
    syn_server *server = NULL, *second = NULL;
    char detail[256], listen[64];
    config.listen = "0.0.0.0:0";
    ck_assert_int_eq(syn_server_start(&server, &config, detail), SYN_EDENIED);
    ck_assert_ptr_nonnull(strstr(detail, "--insecure"));
    config.listen = "nonsense";
    ck_assert_int_eq(syn_server_start(&server, &config, detail), SYN_EMISUSE);
    server = start();
    snprintf(listen, sizeof listen, "127.0.0.1:%u", syn_server_port(server));
    config.listen = listen;
    config.loops = loops_tried;
    ck_assert_int_eq(syn_server_start(&second, &config, detail), SYN_EBUSY);
    syn_server_stop(server, 1000);
}
END_TEST

/* ---- The embedder ---------------------------------------------------------------------------- */

struct waiting {
    atomic_int done, err;
    atomic_int changes, deletions;
    _Atomic(syn_auth_request *) kept; /* a request that is answered when its connection has gone */
};

static syn_err type_hello(void *user, syn_doc *doc)
{
    syn_obj text;
    (void)user;
    if (doc == NULL) return SYN_ENOTFOUND;
    syn_err err = syn_root(doc, syn_s(""), SYN_TEXT, &text);
    return err ? err : syn_text_insert(doc, text, 0, syn_s("hello"));
}

static void edit_done(void *user, syn_err err)
{
    struct waiting *waiting = user;
    atomic_store(&waiting->err, (int)err);
    atomic_fetch_add(&waiting->done, 1);
}

static void wait_for(atomic_int *what, int value)
{
    while (atomic_load(what) < value) usleep(1000);
}

static void count_change(void *user, syn_str document, const syn_doc *doc)
{
    struct waiting *waiting = user;
    (void)document;
    ck_assert_uint_gt(syn_doc_events(doc), 0);
    atomic_fetch_add(&waiting->changes, 1);
}

static void count_deletion(void *user, syn_str document)
{
    struct waiting *waiting = user;
    ck_assert_uint_eq(document.len, 5);
    atomic_fetch_add(&waiting->deletions, 1);
}

/* ann comes in, bob does not, eve waits. */
static void answer(void *user, syn_auth_request *request, syn_str token)
{
    struct waiting *waiting = user;
    if (token.len == 3 && memcmp(token.data, "ann", 3) == 0)
        syn_auth_accept(request, token, 60000);
    else if (token.len == 3 && memcmp(token.data, "bob", 3) == 0)
        syn_auth_refuse(request, syn_s("who are you?"));
    else
        atomic_store(&waiting->kept, request);
}

static uint32_t rights(void *user, syn_str who, syn_str document)
{
    (void)user;
    (void)document;
    return who.len == 3 ? SYN_MAY_READ : 0;
}

START_TEST(embedded)
{
    struct waiting waiting = {0};
    syn_server_config config = SYN_SERVER_CONFIG_INIT;
    config.user = &waiting;
    config.changed = count_change;
    config.deleted = count_deletion;
    config.authenticate = answer;
    config.authorise = rights;
    config.log = no_log;
    syn_server *server = start_with(config);
    ck_assert_int_eq(
        syn_server_edit(server, syn_s("notes"), false, type_hello, edit_done, &waiting), SYN_OK);
    wait_for(&waiting.done, 1);
    ck_assert_int_eq(atomic_load(&waiting.err), SYN_ENOTFOUND);
    syn_server_edit(server, syn_s("notes"), true, type_hello, edit_done, &waiting);
    wait_for(&waiting.done, 2);
    ck_assert_int_eq(atomic_load(&waiting.err), SYN_OK);
    wait_for(&waiting.changes, 1); /* it comes behind `done` */
    ck_assert_int_eq(atomic_load(&waiting.changes), 1);
    int fd = raw_websocket(syn_server_port(server));
    raw_hello(fd, "eve");
    raw_hello(fd, "eve");
    expect_end(fd, CODE_MALFORMED, 1002);
    ck_assert_ptr_nonnull(atomic_load(&waiting.kept));
    syn_auth_accept(atomic_load(&waiting.kept), syn_s("eve"), 0);
    fd = raw_websocket(syn_server_port(server));
    raw_hello(fd, "bob");
    expect_end(fd, CODE_UNAUTHENTICATED, 1008);
    fd = raw_websocket(syn_server_port(server));
    raw_hello(fd, "ann");
    ck_assert(raw_until(fd, FRAME_WELCOME));
    raw_open(fd, 1, "notes", 0xa1);
    ck_assert(raw_until(fd, FRAME_CHANGES));
    raw_insert(fd, 1, 0xa1, 0, 0, "no");
    ck_assert(raw_until(fd, FRAME_NACK));
    syn_server_delete(server, syn_s("notes"), edit_done, &waiting);
    ck_assert(raw_until(fd, FRAME_CLOSED));
    wait_for(&waiting.done, 3);
    close(fd);
    syn_server_stop(server, 1000);
    ck_assert_int_eq(atomic_load(&waiting.deletions), 1);
}
END_TEST

static void *other_thread(void *user)
{
    int fd = joined(user, "notes", 0xa1);
    raw_insert(fd, 1, 0xa1, 0, 0, "hello");
    ck_assert(raw_until(fd, FRAME_ACK));
    close(fd);
    return NULL;
}

struct leaving {
    syn_server *server;
    atomic_int ready;
};

static void *leave_late(void *user)
{
    struct leaving *leaving = user;
    int fd = joined(leaving->server, "notes", 0xb1);
    atomic_store(&leaving->ready, 1);
    ck_assert(raw_until(fd, FRAME_ERROR)); /* GOING_AWAY */
    close(fd);
    return NULL;
}

/* On the host's own loop, which is the host's before and after. */
START_TEST(on_the_hosts_loop)
{
    struct ev_loop *loop = ev_loop_new(EVFLAG_AUTO);
    syn_server_config config = SYN_SERVER_CONFIG_INIT;
    pthread_t thread;
    config.loop = loop;
    config.log = no_log;
    for (int round = 0; round < 2; round++) {
        syn_server *server = start_with(config);
        struct leaving leaving = {.server = server};
        ck_assert_int_eq(pthread_create(&thread, NULL, other_thread, server), 0);
        while (pthread_tryjoin_np(thread, NULL) != 0) ev_run(loop, EVRUN_NOWAIT);
        ck_assert_int_eq(pthread_create(&thread, NULL, leave_late, &leaving), 0);
        while (atomic_load(&leaving.ready) == 0) ev_run(loop, EVRUN_NOWAIT);
        syn_server_stop(server, 2000);
        pthread_join(thread, NULL);
    }
    ev_loop_destroy(loop);
}
END_TEST

/* ---- Restarts -------------------------------------------------------------------------------- */

START_TEST(what_was_acked_is_there_after_a_restart)
{
    char path[] = "/tmp/syncline-test-XXXXXX", file[64], command[96];
    ck_assert_ptr_nonnull(mkdtemp(path));
    snprintf(file, sizeof file, "%s/data.db", path);
    syn_server_config config = SYN_SERVER_CONFIG_INIT;
    config.data = file;
    config.log = no_log;
    for (uint32_t round = 0; round < 3; round++) {
        syn_server *server = start_with(config);
        int a = joined(server, "notes", 0xa1);
        if (round != 0) ck_assert(raw_until(a, FRAME_CHANGES) || raw_until(a, FRAME_SNAPSHOT));
        raw_insert(a, 1, 0xa1, round * 5, 0, "hello");
        ck_assert(raw_until(a, FRAME_ACK));
        syn_server_stop(server, 1000); /* says goodbye */
        ck_assert(raw_until(a, FRAME_ERROR));
        close(a);
    }
    snprintf(command, sizeof command, "rm -r %s", path);
    ck_assert_int_eq(system(command), 0);
}
END_TEST

/* No time to drain: what is being committed then ends while there still is somebody to tell. */
START_TEST(stopped_at_once_while_the_disk_works)
{
    char path[] = "/tmp/syncline-test-XXXXXX", file[64], command[96];
    ck_assert_ptr_nonnull(mkdtemp(path));
    snprintf(file, sizeof file, "%s/data.db", path);
    syn_server_config config = SYN_SERVER_CONFIG_INIT;
    config.data = file;
    config.log = no_log;
    for (uint32_t round = 0; round < 30; round++) {
        syn_server *server = start_with(config);
        int a = joined(server, "notes", 0xa100 + round);
        struct timespec pause = {.tv_nsec = (long)round * 100000};
        raw_insert(a, 1, 0xa100 + round, 0, 0, "hello");
        nanosleep(&pause, NULL);
        syn_server_stop(server, 0);
        close(a);
    }
    snprintf(command, sizeof command, "rm -r %s", path);
    ck_assert_int_eq(system(command), 0);
}
END_TEST

/* ---- Many, and slow ones --------------------------------------------------------------------- */

#define SHELVES 40u
#define PIECES  5u /* below what is sent as a snapshot */
#define PIECE   10000u

/* Forty documents of 50 kB, stored. */
static void fill_shelves(const syn_server *server)
{
    char text[PIECE + 1];
    memset(text, 'x', PIECE);
    text[PIECE] = '\0';
    for (uint32_t i = 0; i < SHELVES; i++) {
        char name[16];
        snprintf(name, sizeof name, "shelf-%u", i);
        int fd = joined(server, name, 0xa1);
        for (uint32_t k = 0; k < PIECES; k++) {
            raw_insert(fd, 1, 0xa1, k * PIECE, k * PIECE, text);
            ck_assert(raw_until(fd, FRAME_ACK));
        }
        close(fd);
    }
}

/* Everything of a channel comes in order, once. */
static void read_shelves(int fd)
{
    uint32_t next[SHELVES] = {0}, whole = 0;
    proto_arena *arena = NULL;
    ck_assert_int_eq(proto_arena_new(&arena, NULL), SYN_OK);
    while (whole < SHELVES) {
        struct frame frame;
        unsigned status;
        char *bytes;
        raw_next(fd, arena, &frame, &bytes, &status);
        ck_assert_int_ne(frame.kind, 0);
        const syn_changes *set = &frame.as.changes;
        for (uint32_t i = 0; frame.kind == FRAME_CHANGES && i < set->run_count; i++) {
            uint32_t *at = &next[frame.channel - 1];
            if (set->peers[set->runs[i].peer] != 0xa1) continue;
            ck_assert_uint_eq(set->runs[i].seq, *at);
            *at += set->runs[i].len;
            whole += *at == PIECES * PIECE;
        }
        free(bytes);
    }
    proto_arena_free(arena);
}

/* More than sockets and the ways between loops hold waits for him, and others do not. */
START_TEST(a_slow_reader_gets_everything_later)
{
    syn_server *server = start();
    fill_shelves(server);
    int slow = raw_websocket(syn_server_port(server)), few = 32768;
    setsockopt(slow, SOL_SOCKET, SO_RCVBUF, &few, sizeof few);
    raw_hello(slow, "");
    ck_assert(raw_until(slow, FRAME_WELCOME));
    for (uint32_t i = 0; i < SHELVES; i++) {
        char name[16];
        snprintf(name, sizeof name, "shelf-%u", i);
        raw_open(slow, i + 1, name, 0xb1);
    }
    int other = joined(server, "shelf-0", 0xc1);
    ck_assert(raw_until(other, FRAME_CHANGES));
    raw_insert(other, 1, 0xc1, 0, 0, "hello");
    ck_assert(raw_until(other, FRAME_ACK));
    read_shelves(slow);
    close(slow);
    close(other);
    syn_server_stop(server, 1000);
}
END_TEST

static void *stop_server(void *server)
{
    syn_server_stop(server, 10000);
    return NULL;
}

START_TEST(everyone_is_told_that_the_server_goes)
{
    enum { MANY = 60 };
    int fds[MANY];
    pthread_t thread;
    proto_arena *arena = NULL;
    ck_assert_int_eq(proto_arena_new(&arena, NULL), SYN_OK);
    syn_server *server = start();
    for (int i = 0; i < MANY; i++) fds[i] = joined(server, "notes", 0xa100 + (uint64_t)i);
    pthread_create(&thread, NULL, stop_server, server);
    for (int i = 0; i < MANY; i++) {
        struct frame frame;
        unsigned status;
        char *bytes;
        do {
            raw_next(fds[i], arena, &frame, &bytes, &status);
            free(bytes);
        } while (frame.kind != 0);
        ck_assert_uint_eq(status, 1001);
        close(fds[i]);
    }
    pthread_join(thread, NULL);
    proto_arena_free(arena);
}
END_TEST

static void add_tests(TCase *tests)
{
    tcase_add_test(tests, two_clients_see_each_other);
    tcase_add_test(tests, fragments);
    tcase_add_test(tests, text_and_long_messages_are_refused);
    tcase_add_loop_test(tests, wrong_upgrades, 0, sizeof upgrades / sizeof upgrades[0]);
    tcase_add_test(tests, origins);
    tcase_add_test(tests, pages);
    tcase_add_test(tests, echo);
    tcase_add_test(tests, exact_echo);
    tcase_add_test(tests, no_echo_without_pages);
    tcase_add_test(tests, secret);
    tcase_add_test(tests, beyond_loopback_needs_a_secret);
    tcase_add_test(tests, embedded);
    tcase_add_test(tests, on_the_hosts_loop);
    tcase_add_test(tests, what_was_acked_is_there_after_a_restart);
    tcase_add_test(tests, stopped_at_once_while_the_disk_works);
    tcase_add_test(tests, a_slow_reader_gets_everything_later);
    tcase_add_test(tests, everyone_is_told_that_the_server_goes);
}

int main(void)
{
    Suite *suite = suite_create("server");
    add_on_loops(suite, "server", 0, add_tests);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed != 0;
}
