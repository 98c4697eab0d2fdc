/* test_http.c -- documents over HTTP: right requests, and wrong ones in every way. */
#include "on_loops.h"
#include "http_raw.h"
#include "jwt.h"
#include "store/fault_vfs.h"

#include <check.h>
#include <fcntl.h>
#include <jansson.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define JSON "Content-Type: application/json\r\n"

static syn_server *start(void)
{
    syn_server_config config = SYN_SERVER_CONFIG_INIT;
    config.loops = loops_tried;
    return http_start(config);
}

/* ---- Reading and writing --------------------------------------------------------------------- */

START_TEST(written_and_read)
{
    syn_server *server = start();
    const char *notes = "POST /v1/documents/notes";
    http_expect(server, "GET /v1/documents/notes", "", NULL, 404, "not_found");
    http_expect(server, notes, JSON,
                "[{\"set\":\"/title\",\"value\":\"Plan\"},"
                "{\"insert\":\"body\",\"at\":0,\"text\":\"Hello\"},"
                "{\"incr\":\"/likes\",\"by\":3},{\"set\":\"/list\",\"value\":[1,{\"a\":null}]}]",
                201, "\"version\"");
    http_expect(server, "GET /v1/documents/notes", "", NULL, 200,
                "{\"body\":\"Hello\",\"likes\":3,\"list\":[1,{\"a\":null}],\"title\":\"Plan\"}");
    http_expect(server, "GET /v1/documents/notes?path=/list/1", "", NULL, 200, "{\"a\":null}");
    http_expect(server, "GET /v1/documents/notes?path=%2Ftitle", "", NULL, 200, "\"Plan\"");
    http_expect(server, "GET /v1/documents/notes?path=/none", "", NULL, 404, "not_found");
    http_expect(server, "GET /v1/documents/notes?path=title", "", NULL, 400, "JSON Pointer");
    http_expect(server, "GET /v1/documents/notes?path=/~", "", NULL, 400, "JSON Pointer");
    http_expect(server, "GET /v1/documents/notes?path=/a~2", "", NULL, 400, "JSON Pointer");
    http_expect(server, "GET /v1/documents/notes?path=/%ff", "", NULL, 400, "JSON Pointer");
    http_expect(server, "GET /v1/documents/notes?path=/~0~1", "", NULL, 404, "not_found");
    http_expect(server, "GET /v1/documents/notes?text=%c3", "", NULL, 400, "UTF-8");
    http_expect(server, "GET /v1/documents/notes?text=body", "", NULL, 200, "Hello");
    http_expect(server, "GET /v1/documents/notes?text=none", "", NULL, 404, "not_found");
    http_expect(server, notes, JSON, "[{\"insert\":\"\",\"at\":0,\"text\":\"plain\"}]", 200, "");
    http_expect(server, "GET /v1/documents/notes", "Accept: text/plain\r\n", NULL, 200, "plain");
    http_expect(server, notes, JSON "If-Match: \"1-a\"\r\n", "[]", 412, "changed");
    http_expect(server, notes, JSON,
                "[{\"delete\":\"body\",\"at\":1,\"count\":4},{\"delete\":\"/title\"},"
                "{\"delete\":\"/list\",\"at\":0,\"count\":1}]",
                200, "");
    http_expect(server, "GET /v1/documents/notes", "", NULL, 200,
                "\"body\":\"H\",\"likes\":3,\"list\":[{\"a\":null}]}");
    http_expect(server, "GET /v1/documents", "", NULL, 200, "\"name\":\"notes\"");
    syn_server_stop(server, 1000);
}
END_TEST

START_TEST(names)
{
    syn_server *server = start();
    char line[1200], name[260];
    const char *edit = "[{\"incr\":\"/n\",\"by\":1}]";
    http_expect(server, "POST /v1/documents/a%20b%3F%C3%A4", JSON, edit, 201, "");
    http_expect(server, "GET /v1/documents", "", NULL, 200, "\"a b?\xc3\xa4\"");
    http_expect(server, "POST /v1/documents/dir%2Fone", JSON, edit, 201, "");
    http_expect(server, "POST /v1/documents/R%26D%3B", JSON, edit, 201, "");
    /* what would be another document's name */
    http_expect(server, "POST /v1/documents/R&D", JSON, edit, 400, "%26");
    http_expect(server, "POST /v1/documents/R;D", JSON, edit, 400, "%3B");
    http_expect(server, "POST /v1/documents/R%0DD", JSON, edit, 400, "version");
    http_expect(server, "GET /v1/documents/dir/one", "", NULL, 200, "{\"n\":1}");
    memset(name, 'x', sizeof name);
    snprintf(line, sizeof line, "POST /v1/documents/%.255s", name);
    http_expect(server, line, JSON, edit, 201, "");
    snprintf(line, sizeof line, "POST /v1/documents/%.256s", name);
    http_expect(server, line, JSON, edit, 400, "malformed");
    http_expect(server, "GET /v1/documents/%ff%fe", "", NULL, 400, "malformed");
    http_expect(server, "GET /v1/documents/a%0Ab", "", NULL, 400, "%0A");
    http_expect(server, "GET /v1/documents/a%0Db", "", NULL, 400, "%0D");
    http_expect(server, "GET /v1/documents/", "", NULL, 400, "malformed");
    http_expect(server, "GET /v1/documentsx", "", NULL, 404, "");
    struct http_got got = http_do(server, "GET /v1/documents/a%00b", "", NULL);
    ck_assert_int_ne(got.status, 200);
    http_drop(&got);
    syn_server_stop(server, 1000);
}
END_TEST

START_TEST(etags)
{
    syn_server *server = start();
    char tag[512], extra[600];
    http_expect(server, "POST /v1/documents/d", JSON, "[{\"incr\":\"/n\",\"by\":1}]", 201, "");
    struct http_got got = http_do(server, "GET /v1/documents/d", "", NULL);
    snprintf(tag, sizeof tag, "%s", http_header(&got, "etag"));
    http_drop(&got);
    ck_assert(tag[0] == '"');
    snprintf(extra, sizeof extra, "If-None-Match: \"x\", %.500s\r\n", tag);
    http_expect(server, "GET /v1/documents/d", extra, NULL, 304, "");
    snprintf(extra, sizeof extra, JSON "If-Match: %.500s\r\n", tag);
    http_expect(server, "POST /v1/documents/d", extra, "[{\"incr\":\"/n\",\"by\":1}]", 200, "");
    http_expect(server, "POST /v1/documents/d", extra, "[{\"incr\":\"/n\",\"by\":1}]", 412, "");
    http_expect(server, "POST /v1/documents/new", JSON "If-Match: *\r\n", "[]", 412, "");
    snprintf(extra, sizeof extra, "If-None-Match: %.500s\r\n", tag);
    http_expect(server, "GET /v1/documents/d", extra, NULL, 200, "{\"n\":2}");
    syn_server_stop(server, 1000);
}
END_TEST

/* What one side writes the other side sees, and what was answered survives. */
START_TEST(beside_websockets_and_durable)
{
    char file[] = "/tmp/test_http_XXXXXX", path[64];
    ck_assert_ptr_nonnull(mkdtemp(file));
    snprintf(path, sizeof path, "%s/data.db", file);
    syn_server_config config = SYN_SERVER_CONFIG_INIT;
    config.loops = loops_tried;
    config.data = path;
    syn_server *server = http_start(config);
    int fd = raw_websocket(syn_server_port(server));
    raw_hello(fd, "");
    raw_open(fd, 1, "d", 0xa1);
    ck_assert(raw_until(fd, FRAME_OPENED));
    http_expect(server, "POST /v1/documents/d", JSON,
                "[{\"insert\":\"\",\"at\":0,\"text\":\"from http\"}]", 201, "");
    ck_assert(raw_until(fd, FRAME_CHANGES));
    raw_insert(fd, 1, 0xa1, 0, 0, "ws ");
    ck_assert(raw_until(fd, FRAME_ACK));
    http_expect(server, "GET /v1/documents/d?text", "", NULL, 200, "ws ");
    close(fd);
    syn_server_stop(server, 1000);
    server = http_start(config);
    http_expect(server, "GET /v1/documents/d?text=", "", NULL, 200, "from http");
    syn_server_stop(server, 1000);
    unlink(path);
    snprintf(path, sizeof path, "%s/data.db.lock", file);
    unlink(path);
    rmdir(file);
}
END_TEST

/* 201 only if a document came into being. */
START_TEST(edits_of_nothing)
{
    syn_server *server = start();
    const char *one = "POST /v1/documents/d";
    http_expect(server, one, JSON, "[]", 200, "\"events\":0");
    http_expect(server, one, JSON, "[{\"insert\":\"\",\"at\":0,\"text\":\"\"}]", 200, "");
    http_expect(server, "GET /v1/documents/d", "", NULL, 404, "not_found");
    http_expect(server, one, JSON, "[{\"set\":\"/n\",\"value\":1}]", 201, "");
    http_expect(server, one, JSON, "[]", 200, "\"events\":1");
    syn_server_stop(server, 1000);
}
END_TEST

/* An integer beyond 64 bits is a real number, and makes none of those beside it. */
START_TEST(wide_integers)
{
    syn_server *server = start();
    const char *one = "POST /v1/documents/d", *back = "GET /v1/documents/d";
    http_expect(server, one, JSON,
                "[{\"set\":\"/a\",\"value\":[9223372036854775807,9223372036854775808,"
                "-9223372036854775808,-9223372036854775809,1,-0,"
                "\"18446744073709551616,\\\"\\\\\",{\"18446744073709551616\":"
                "100000000000000000000000000000}]},{\"incr\":\"/n\",\"by\":7}]",
                201, "");
    http_expect(server, back, "", NULL, 200,
                "{\"a\":[9223372036854775807,9.223372036854776e+18,-9223372036854775808,"
                "-9.223372036854776e+18,1,0,\"18446744073709551616,\\\"\\\\\","
                "{\"18446744073709551616\":1e+29}],\"n\":7}");
    http_expect(server, one, JSON, "[{\"incr\":\"/n\",\"by\":9223372036854775808}]", 400,
                "whole number");
    http_expect(server, one, JSON, "[{\"set\":\"/a\",\"value\":1e400}]", 400, "no JSON");
    http_expect(server, one, JSON, "[{\"set\":\"/a\",\"value\":99999999999999999999", 400,
                "no JSON");
    syn_server_stop(server, 1000);
}
END_TEST

/* Nothing is acknowledged, and nothing told, that the disk did not take. */
START_TEST(failing_disk)
{
    char folder[] = "/tmp/test_http_XXXXXX", path[64];
    ck_assert_ptr_nonnull(mkdtemp(folder));
    snprintf(path, sizeof path, "%s/data.db", folder);
    syn_server_config config = SYN_SERVER_CONFIG_INIT;
    config.loops = loops_tried;
    config.data = path;
    config.vfs = fault_vfs();
    syn_server *server = http_start(config);
    const char *edit = "[{\"incr\":\"/n\",\"by\":1}]";
    http_expect(server, "POST /v1/documents/d", JSON, edit, 201, "");
    int feed = raw_connect(syn_server_port(server));
    const char *ask = "GET /v1/feed HTTP/1.1\r\nHost: localhost\r\n\r\n";
    http_write(feed, ask, strlen(ask));
    fault_arm(FAULT_WRITE | FAULT_SYNC, FAULT_EIO, 1, true);
    http_expect(server, "POST /v1/documents/d", JSON, edit, 503, "storage");
    http_expect(server, "POST /v1/documents/new", JSON, edit, 503, "storage");
    http_expect(server, "GET /v1/documents/d", "", NULL, 200, "{\"n\":1}");
    http_expect(server, "GET /v1/documents/new", "", NULL, 404, "");
    http_expect(server, "GET /healthz", "", NULL, 503, "read-only");
    fault_disarm();
    int status = 503; /* until a probe found the disk well */
    while (status == 503) {
        struct http_got got = http_do(server, "POST /v1/documents/d", JSON, edit);
        status = got.status;
        http_drop(&got);
        usleep(50000);
    }
    ck_assert_int_eq(status, 200);
    http_expect(server, "GET /v1/documents/d", "", NULL, 200, "{\"n\":2}");
    char events[4096] = "";
    for (size_t len = 0; strstr(events, "event: change") == NULL;) {
        ssize_t n = recv(feed, events + len, sizeof events - 1 - len, 0);
        ck_assert_int_gt(n, 0);
        len += (size_t)n;
    }
    ck_assert(strstr(events, "\"document\":\"d\",\"from\":2") != NULL);
    ck_assert(strstr(events, "new") == NULL);
    close(feed);
    syn_server_stop(server, 1000);
    unlink(path);
    snprintf(path, sizeof path, "%s/data.db.lock", folder);
    unlink(path);
    rmdir(folder);
}
END_TEST

/* ---- Versions -------------------------------------------------------------------------------- */

enum { VERSIONS = 40 };

/* What was told as the version of each edit leads back to what the document then was. */
static void read_back(const syn_server *server, char version[VERSIONS][80])
{
    char line[200], expected[80];
    for (int i = 0; i < VERSIONS; i++) {
        snprintf(expected, sizeof expected, "{\"n\":%d}", i + 1);
        snprintf(line, sizeof line, "GET /v1/documents/d?at=%s", version[i]);
        http_expect(server, line, "", NULL, 200, expected);
        snprintf(line, sizeof line, "GET /v1/documents/d?at=%.*s&path=/n",
                 (int)strcspn(version[i], "-"), version[i]);
        snprintf(expected, sizeof expected, "%d", i + 1);
        http_expect(server, line, "", NULL, 200, expected);
    }
    snprintf(line, sizeof line, "If-None-Match: \"%s\"\r\n", version[3]);
    snprintf(expected, sizeof expected, "GET /v1/documents/d?at=%s", version[3]);
    http_expect(server, expected, line, NULL, 304, "");
    version[3][strlen(version[3]) - 1] ^= 1; /* as many events, other heads */
    snprintf(line, sizeof line, "GET /v1/documents/d?at=%s", version[3]);
    http_expect(server, line, "", NULL, 404, "never");
    version[3][strlen(version[3]) - 1] ^= 1;
}

START_TEST(versions) /* _i: in memory, where it is done at once; from a file, by the pool */
{
    char version[VERSIONS][80], file[] = "/tmp/test_http_XXXXXX";
    syn_server_config config = SYN_SERVER_CONFIG_INIT;
    ck_assert_ptr_nonnull(mkdtemp(file));
    char path[64];
    snprintf(path, sizeof path, "%s/d.db", file);
    if (_i == 1) config.data = path;
    syn_server *server = http_start(config);
    for (int i = 0; i < VERSIONS; i++) {
        struct http_got got =
            http_do(server, "POST /v1/documents/d", JSON, "[{\"incr\":\"/n\",\"by\":1}]");
        const char *at = strstr(got.body, "\"version\":\"");
        ck_assert_ptr_nonnull(at);
        snprintf(version[i], sizeof version[i], "%.*s", (int)strcspn(at + 11, "\""), at + 11);
        http_drop(&got);
    }
    read_back(server, version);
    http_expect(server, "GET /v1/documents/d?at=0", "", NULL, 200, "{}");
    http_expect(server, "GET /v1/documents/d?at=1000", "", NULL, 404, "never");
    http_expect(server, "GET /v1/documents/other?at=1", "", NULL, 404, "not there");
    static const char *const malformed[] = {"", "-", "x", "1x", "-1", "99999999999", "4294967296"};
    for (size_t i = 0; i < sizeof malformed / sizeof malformed[0]; i++) {
        char line[80];
        snprintf(line, sizeof line, "GET /v1/documents/d?at=%s", malformed[i]);
        http_expect(server, line, "", NULL, 400, "malformed");
    }
    syn_server_stop(server, 1000);
    if (_i == 1) { /* and after a restart */
        server = http_start(config);
        read_back(server, version);
        syn_server_stop(server, 1000);
    }
    static const char *const ends[] = {"", ".lock", "-wal", "-shm"};
    for (size_t i = 0; i < 4; i++) {
        snprintf(path, sizeof path, "%s/d.db%s", file, ends[i]);
        unlink(path);
    }
    rmdir(file);
}
END_TEST

/* ---- Bad edits ------------------------------------------------------------------------------- */

static const struct {
    const char *body;
    int status;
} bad_edits[] = {
    {"", 400},
    {"{}", 400},
    {"[", 400},
    {"[1]", 400},
    {"[{}]", 400},
    {"\"x\"", 400},
    {"[{\"set\":\"/a\",\"set\":\"/b\",\"value\":1}]", 400},
    {"[{\"set\":\"a\",\"value\":1}]", 400},
    {"[{\"set\":\"/a\"}]", 400},
    {"[{\"set\":\"/a~2\",\"value\":1}]", 400},
    {"[{\"set\":\"/a\",\"value\":1,\"other\":2}]", 400},
    {"[{\"set\":\"/a\",\"value\":1,\"force\":1}]", 400},
    {"[{\"set\":\"/a\",\"incr\":\"/b\",\"value\":1,\"by\":1}]", 400},
    {"[{\"insert\":\"t\",\"at\":-1,\"text\":\"x\"}]", 400},
    {"[{\"insert\":\"t\",\"at\":1.5,\"text\":\"x\"}]", 400},
    {"[{\"insert\":\"t\",\"at\":99999999999999999999,\"text\":\"x\"}]", 400},
    {"[{\"insert\":\"t\",\"at\":0,\"text\":\"\\ud800\"}]", 400},
    {"[{\"insert\":\"t\",\"at\":0,\"text\":\"\xff\"}]", 400},
    {"[{\"insert\":\"t\\u0000\",\"at\":0,\"text\":\"x\"}]", 400},
    {"[{\"insert\":\"t\",\"at\":5,\"text\":\"x\"}]", 409},
    {"[{\"incr\":\"/a\",\"by\":1},{\"delete\":\"/none\"}]", 409},
    {"[{\"set\":\"/a\",\"value\":1},{\"set\":\"/a/b\",\"value\":1}]", 409},
    {"[{\"delete\":\"t\"}]", 400},
    {"[{\"delete\":\"t\",\"at\":0}]", 400},
    {"[{\"delete\":\"t\",\"at\":0,\"count\":1}]", 409},
};

START_TEST(bad_edits_change_nothing)
{
    syn_server *server = start();
    http_expect(server, "POST /v1/documents/d", JSON, "[{\"incr\":\"/n\",\"by\":1}]", 201, "");
    for (size_t i = 0; i < sizeof bad_edits / sizeof bad_edits[0]; i++) {
        http_expect(server, "POST /v1/documents/d", JSON, bad_edits[i].body, bad_edits[i].status,
                    "\"detail\"");
        http_expect(server, "POST /v1/documents/new", JSON, bad_edits[i].body, bad_edits[i].status,
                    "");
    }
    http_expect(server, "GET /v1/documents/d", "", NULL, 200, "{\"n\":1}");
    http_expect(server, "GET /v1/documents/new", "", NULL, 404, "");
    syn_server_stop(server, 1000);
}
END_TEST

static char *nested(size_t depth)
{
    char *text = malloc(2 * depth + 100);
    int at = sprintf(text, "[{\"set\":\"/deep\",\"value\":");
    memset(text + at, '[', depth);
    memset(text + at + depth, ']', depth);
    strcpy(text + at + 2 * depth, "}]");
    return text;
}

START_TEST(bombs)
{
    syn_server *server = start();
    for (size_t depth = 100; depth < 300000; depth = depth * 3 / 2) {
        char *text = nested(depth);
        http_expect(server, "POST /v1/documents/d", JSON, text, depth < 250 ? 201 : 400, "");
        http_expect(server, "POST /v1/documents/other", JSON "If-Match: *\r\n", text,
                    depth < 250 ? 412 : 400, "");
        free(text);
        if (depth < 250) depth = 250;
    }
    char *wide = malloc(400100), *at = wide + sprintf(wide, "[{\"set\":\"/wide\",\"value\":[0");
    for (int i = 0; i < 100000; i++) at += sprintf(at, ",0");
    strcpy(at, "]}]");
    http_expect(server, "POST /v1/documents/d", JSON, wide, 400, "too many");
    strcpy(wide, "[{\"incr\":\"");
    for (at = wide + strlen(wide); at < wide + 2000; at += 2) strcpy(at, "/a");
    strcpy(at, "\",\"by\":1}]");
    http_expect(server, "POST /v1/documents/d", JSON, wide, 400, "incr");
    free(wide);
    syn_server_stop(server, 1000);
}
END_TEST

/* ---- Bad requests ---------------------------------------------------------------------------- */

static const struct {
    const char *text;
    int status; /* 0: no answer, only an end */
} bad_requests[] = {
    {"PUT /v1/documents/d HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0\r\n\r\n", 405},
    {"POST /v1/documents HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0\r\n\r\n", 405},
    {"DELETE /v1/documents HTTP/1.1\r\nHost: localhost\r\n\r\n", 405},
    {"POST /metrics HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0\r\n\r\n", 404},
    {"POST /v1/documents/d HTTP/1.1\r\nHost: localhost\r\n\r\n", 411},
    {"POST /v1/documents/d HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n"
     "2\r\n[]\r\n0\r\n\r\n",
     411},
    {"POST /v1/documents/d HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n"
     "Content-Length: 2\r\n\r\n[]",
     400},
    {"POST /v1/documents/d HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding : chunked\r\n"
     "Content-Length: 2\r\n\r\n[]",
     400},
    {"GET /healthz HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding \t : chunked\r\n\r\n", 400},
    {"GET /healthz HTTP/1.1\r\nHost: localhost\r\ntransfer-encoding\t: chunked\r\nAccept: "
     "a\r\n\r\n",
     400},
    {"GET /healthz HTTP/1.1\r\nHost: localhost\r\nContent-Length : 30\r\n\r\n", 400},
    {"GET /healthz HTTP/1.1\r\nHost: localhost\r\n Content-Length: 30\r\n\r\n", 400},
    {"POST /v1/documents/d HTTP/1.1\r\nHost: localhost\r\nContent-Length: -1\r\n\r\n", 400},
    {"POST /v1/documents/d HTTP/1.1\r\nHost: localhost\r\nContent-Length: 2, 2\r\n\r\n[]", 400},
    {"POST /v1/documents/d HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0x2\r\n\r\n[]", 400},
    {"POST /v1/documents/d HTTP/1.1\r\nHost: localhost\r\n"
     "Content-Length: 18446744073709551616\r\n\r\n",
     400},
    {"POST /v1/documents/d HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1048577\r\n\r\n", 413},
    {"POST /v1/documents/d HTTP/1.1\r\nHost: localhost\r\nContent-Length: 2\r\n\r\n[]", 415},
    {"POST /v1/documents/d HTTP/1.1\r\nHost: localhost\r\nContent-Type: text/plain\r\n"
     "Content-Length: 2\r\n\r\n[]",
     415},
    {"GET /v1/documents/d HTTP/1.1\r\nHost: localhost\r\nContent-Length: 2\r\n\r\n[]", 400},
    {"GET /v1/documents/d HTTP/1.1\r\nHost: evil.example\r\n\r\n", 403},
    {"GET /v1/documents/d HTTP/1.1\r\n\r\n", 403},
    {"GET /v1/documents HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade, HTTP2-Settings\r\n"
     "Upgrade: h2c\r\nHTTP2-Settings: AAMAAABk\r\n\r\n",
     505},
    {"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", -1},
    {"POST /v1/documents/d HTTP/1.1\r\nHost: localhost\r\nOrigin: https://evil.example\r\n"
     "Content-Length: 2\r\n\r\n[]",
     403},
    {"GET  HTTP/1.1\r\nHost: localhost\r\n\r\n", -1},
    {"\r\n\r\n\r\n", -1},
    {"BREW /v1/documents/d HTTP/1.1\r\nHost: localhost\r\n\r\n", -1},
};

START_TEST(bad_requests_are_refused)
{
    syn_server *server = start();
    for (size_t i = 0; i < sizeof bad_requests / sizeof bad_requests[0]; i++) {
        int fd = raw_connect(syn_server_port(server));
        http_write(fd, bad_requests[i].text, strlen(bad_requests[i].text));
        shutdown(fd, SHUT_WR);
        struct http_got got = http_read(fd);
        if (bad_requests[i].status > 0)
            ck_assert_msg(got.status == bad_requests[i].status, "%zu: %s%s", i, got.head, got.body);
        else
            ck_assert_int_ne(got.status, 200);
        http_drop(&got);
        close(fd);
    }
    http_expect(server, "GET /v1/documents", "", NULL, 200, "[]");
    syn_server_stop(server, 1000);
}
END_TEST

/* The answer arrives although megabytes of body still come. */
START_TEST(refused_before_the_body_is_read)
{
    syn_server *server = start();
    char *much = calloc(1, 4u << 20);
    for (int i = 0; i < 3; i++) {
        int fd = raw_connect(syn_server_port(server));
        const char *head = "POST /v1/documents/d HTTP/1.1\r\nHost: localhost\r\n"
                           "Content-Length: 104857600\r\n\r\n";
        http_write(fd, head, strlen(head));
        http_write(fd, much, 200000);
        struct http_got got = http_read(fd);
        ck_assert_int_eq(got.status, 413);
        http_drop(&got);
        while (http_write(fd, much, 4u << 20)) /* ends within the time of lingering */
            ;
        close(fd);
    }
    free(much);
    http_expect(server, "GET /v1/documents", "", NULL, 200, "[]");
    syn_server_stop(server, 1000);
}
END_TEST

/* ---- Behind each other ----------------------------------------------------------------------- */

#define HEALTH "GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n"
#define COUNT                                                                                      \
    "POST /v1/documents/d HTTP/1.1\r\nHost: localhost\r\n" JSON                                    \
    "Content-Length: 24\r\n\r\n[{\"incr\":\"/n\",\"by\":1}] \n"

/* libwebsockets would read the headers of a request behind another as its body, for ever. */
static const struct {
    const char *text;
    int status[4]; /* 0: the connection ends */
} behind_another[] = {
    {HEALTH HEALTH HEALTH COUNT, {200, 200, 200, 400}},
    {HEALTH COUNT, {200, 400, 0}},
    {COUNT COUNT COUNT, {201, 400, 0}},
    {COUNT HEALTH COUNT, {200, 200, 400, 0}},
    {HEALTH "GET /v1/documents/d HTTP/1.1\r\nHost: localhost\r\nContent-Length: 2\r\n\r\n[]",
     {200, 400, 0}},
    {HEALTH "DELETE /nowhere HTTP/1.1\r\nHost: localhost\r\nContent-Length: 900\r\n\r\n",
     {200, 400, 0}},
    {HEALTH "POST /v1/documents/d HTTP/1.1\r\nHost: localhost\r\nContent-Length: 99999999\r\n\r\n",
     {200, 400, 0}},
};

START_TEST(requests_behind_each_other)
{
    syn_server *server = start();
    for (size_t i = 0; i < sizeof behind_another / sizeof behind_another[0]; i++) {
        int fd = raw_connect(syn_server_port(server));
        http_write(fd, behind_another[i].text, strlen(behind_another[i].text));
        for (int k = 0; k < 4 && (k == 0 || behind_another[i].status[k - 1] != 0); k++) {
            struct http_got got = http_read(fd);
            ck_assert_msg(got.status == behind_another[i].status[k], "%zu, %d: %s%s", i, k,
                          got.head, got.body);
            http_drop(&got);
        }
        close(fd);
    }
    http_expect(server, "GET /v1/documents/d", "", NULL, 200, "{\"n\":2}");
    syn_server_stop(server, 1000);
}
END_TEST

/* ---- Pieces ---------------------------------------------------------------------------------- */

static const char two[] = "POST /v1/documents/d HTTP/1.1\r\nHost: localhost\r\n" JSON
                          "Content-Length: 24\r\n\r\n[{\"incr\":\"/n\",\"by\":1}] \n"
                          "GET /v1/documents/d HTTP/1.1\r\nHost: localhost\r\n\r\n";

static void expect_two(int fd, int n)
{
    char expected[40];
    struct http_got got = http_read(fd);
    ck_assert_msg(got.status == 200 || got.status == 201, "%d: %s%s", n, got.head, got.body);
    http_drop(&got);
    got = http_read(fd);
    snprintf(expected, sizeof expected, "{\"n\":%d}", n);
    ck_assert_msg(got.status == 200 && strcmp(got.body, expected) == 0, "%d: %s%s", n, got.head,
                  got.body);
    http_drop(&got);
}

START_TEST(split_anywhere)
{
    syn_server *server = start();
    const struct timespec pause = {.tv_nsec = 300000};
    int n = 0;
    for (size_t cut = 0; cut < sizeof two - 1; cut++) {
        int fd = raw_connect(syn_server_port(server));
        http_write(fd, two, cut);
        nanosleep(&pause, NULL);
        http_write(fd, two + cut, sizeof two - 1 - cut);
        expect_two(fd, ++n);
        close(fd);
    }
    int fd = raw_connect(syn_server_port(server));
    for (size_t i = 0; i < sizeof two - 1; i++) {
        http_write(fd, two + i, 1);
        nanosleep(&pause, NULL);
    }
    expect_two(fd, ++n);
    for (int i = 0; i < 20; i++) { /* many on one connection */
        http_write(fd, two, sizeof two - 1);
        expect_two(fd, ++n);
    }
    close(fd);
    syn_server_stop(server, 1000);
}
END_TEST

/* The next request comes while the one before it is being stored, or its answer written. */
START_TEST(asked_before_the_answer)
{
    char folder[] = "/tmp/test_http_XXXXXX", path[64];
    ck_assert_ptr_nonnull(mkdtemp(folder));
    snprintf(path, sizeof path, "%s/data.db", folder);
    syn_server_config config = SYN_SERVER_CONFIG_INIT;
    config.loops = loops_tried;
    config.data = path;
    syn_server *server = http_start(config);
    size_t first = (size_t)(strstr(two, "GET ") - two);
    for (int n = 1; n <= 100; n++) {
        struct timespec pause = {.tv_nsec = n % 20 * 100000};
        int fd = raw_connect(syn_server_port(server));
        http_write(fd, two, first);
        nanosleep(&pause, NULL);
        http_write(fd, two + first, sizeof two - 1 - first);
        expect_two(fd, n);
        close(fd);
    }
    syn_server_stop(server, 1000);
    unlink(path);
    strcat(path, ".lock");
    unlink(path);
    rmdir(folder);
}
END_TEST

/* Ended at every byte, and while the answer is on its way. */
START_TEST(ended_anywhere)
{
    syn_server *server = start();
    for (size_t cut = 0; cut < sizeof two - 1; cut++) {
        int fd = raw_connect(syn_server_port(server));
        http_write(fd, two, cut);
        if (cut % 2 == 0) {
            struct linger now = {1, 0};
            setsockopt(fd, SOL_SOCKET, SO_LINGER, &now, sizeof now);
        }
        close(fd);
    }
    http_expect(server, "GET /healthz", "", NULL, 200, "ok");
    syn_server_stop(server, 1000);
}
END_TEST

START_TEST(long_answers)
{
    syn_server *server = start();
    char *body = malloc(1000100);
    size_t at = (size_t)sprintf(body, "[{\"insert\":\"\",\"at\":0,\"text\":\"");
    memset(body + at, 'x', 900000);
    strcpy(body + at + 900000, "\"}]");
    http_expect(server, "POST /v1/documents/d", JSON, body, 201, "");
    http_expect(server, "POST /v1/documents/d", JSON, body, 200, "");
    free(body);
    struct http_got got = http_do(server, "GET /v1/documents/d?text=", "", NULL);
    ck_assert_uint_eq(strlen(got.body), 1800000);
    http_drop(&got);
    int fd = raw_connect(syn_server_port(server)); /* asks, and never reads */
    const char *ask = "GET /v1/documents/d?text= HTTP/1.1\r\nHost: localhost\r\n\r\n";
    http_write(fd, ask, strlen(ask));
    http_expect(server, "GET /healthz", "", NULL, 200, "ok");
    close(fd);
    syn_server_stop(server, 1000);
}
END_TEST

/* A large document is read by a copy of it, off the loop: the same answers, and all that was
 * acknowledged is in them. */
START_TEST(large_documents)
{
    enum { KEYS = 20000 };
    char folder[] = "/tmp/test_http_XXXXXX", file[64], line[100];
    syn_server_config config = SYN_SERVER_CONFIG_INIT;
    ck_assert_ptr_nonnull(mkdtemp(folder));
    snprintf(file, sizeof file, "%s/d.db", folder);
    config.data = file;
    config.loops = loops_tried;
    syn_server *server = http_start(config);
    char *body = malloc(KEYS * 48);
    size_t at = 0;
    for (int i = 0; i < KEYS; i++)
        at += (size_t)sprintf(body + at, "%c{\"set\":\"/k%05d\",\"value\":%d}", i != 0 ? ',' : '[',
                              i, i);
    strcpy(body + at, "]");
    http_expect(server, "POST /v1/documents/d", JSON, body, 201, "");
    for (int i = 0; i < KEYS; i += KEYS / 4) {
        snprintf(body, 100, "[{\"set\":\"/k%05d\",\"value\":%d},{\"incr\":\"/n\",\"by\":1}]", i,
                 -i);
        http_expect(server, "POST /v1/documents/d", JSON, body, 200, "");
        struct http_got got = http_do(server, "GET /v1/documents/d", "", NULL);
        json_t *all = json_loads(got.body, 0, NULL);
        snprintf(line, sizeof line, "k%05d", i);
        ck_assert_uint_eq(json_object_size(all), KEYS + 1);
        ck_assert_int_eq(json_integer_value(json_object_get(all, line)), -i);
        ck_assert_int_eq(json_integer_value(json_object_get(all, "k00007")), 7);
        json_decref(all);
        http_drop(&got);
        snprintf(line, sizeof line, "GET /v1/documents/d?path=/k%05d", i);
        snprintf(body, 100, "%d", -i);
        http_expect(server, line, "", NULL, 200, body);
    }
    http_expect(server, "GET /v1/documents/d?path=/n", "", NULL, 200, "4");
    http_expect(server, "GET /v1/documents/d?path=/none", "", NULL, 404, "not_found");
    http_expect(server, "GET /v1/documents/d?text=none", "", NULL, 404, "not_found");
    struct http_got got = http_do(server, "GET /metrics", "", NULL);
    const char *jobs = strstr(got.body, "\nsyncline_jobs_total ");
    ck_assert_ptr_nonnull(jobs);
    ck_assert_int_ge(atoi(strchr(jobs, ' ')), 4);
    http_drop(&got);
    free(body);
    syn_server_stop(server, 1000);
    static const char *const ends[] = {"", ".lock", "-wal", "-shm"};
    for (size_t i = 0; i < 4; i++) {
        snprintf(line, sizeof line, "%s%s", file, ends[i]);
        unlink(line);
    }
    rmdir(folder);
}
END_TEST

/* Opening a FIFO would wait for whoever writes, with everybody of the loop. */
START_TEST(files_that_are_none)
{
    char folder[] = "/tmp/test_http_XXXXXX", path[5][80];
    static const char *const files[] = {"fifo", "link", "page.html", "sub", "sub/index.html"};
    syn_server_config config = SYN_SERVER_CONFIG_INIT;
    ck_assert_ptr_nonnull(mkdtemp(folder));
    for (int i = 0; i < 5; i++) snprintf(path[i], sizeof path[i], "%s/%s", folder, files[i]);
    ck_assert_int_eq(mkfifo(path[0], 0600), 0);
    ck_assert_int_eq(symlink("fifo", path[1]), 0);
    ck_assert_int_eq(mkdir(path[3], 0700), 0);
    ck_assert_int_eq(mkfifo(path[4], 0600), 0);
    FILE *page = fopen(path[2], "w");
    ck_assert_ptr_nonnull(page);
    fputs("<p>there</p>", page);
    fclose(page);
    /* Open for both, so that whoever opens it after all fails the test instead of stopping it. */
    int held = open(path[0], O_RDWR), deep = open(path[4], O_RDWR);
    config.web = folder;
    config.loops = loops_tried;
    syn_server *server = http_start(config);
    http_expect(server, "GET /fifo", "", NULL, 403, "");
    http_expect(server, "GET /%66ifo", "", NULL, 403, "");
    http_expect(server, "GET //fifo?x=1", "", NULL, 403, "");
    http_expect(server, "GET /link", "", NULL, 403, "");
    http_expect(server, "GET /sub/", "", NULL, 403, "");
    http_expect(server, "GET /page.html", "", NULL, 200, "<p>there</p>");
    http_expect(server, "GET /none.html", "", NULL, 404, "");
    http_expect(server, "GET /healthz", "", NULL, 200, "ok");
    syn_server_stop(server, 1000);
    close(held);
    close(deep);
    for (int i = 5; i-- > 0;) remove(path[i]);
    rmdir(folder);
}
END_TEST

/* ---- Who may what ---------------------------------------------------------------------------- */

static char *make_token(const char *key, const char *rights)
{
    char claims[512], detail[256], *token = NULL;
    snprintf(claims, sizeof claims, "{\"sub\":\"ada\",\"exp\":%lld,\"syncline\":%s}",
             (long long)time(NULL) + 600, rights);
    ck_assert_int_eq(jwt_sign(syn_s(key), claims, &token, detail), SYN_OK);
    return token;
}

static void expect_as(const syn_server *server, const char *token, const char *line,
                      const char *body, int status)
{
    char extra[3000];
    snprintf(extra, sizeof extra, "%s%s%s%s", body != NULL ? JSON : "",
             token[0] != '\0' ? "Authorization: Bearer " : "", token,
             token[0] != '\0' ? "\r\n" : "");
    http_expect(server, line, extra, body, status, "");
}

START_TEST(rights)
{
    char file[] = "/tmp/test_http_keys_XXXXXX", *key = NULL, *set = NULL, detail[256];
    const char *edit = "[{\"incr\":\"/n\",\"by\":1}]";
    ck_assert_int_eq(jwt_key_new("HS256", "k", &key), SYN_OK);
    ck_assert_int_eq(jwt_key_public(syn_s(key), &set, detail), SYN_OK);
    int fd = mkstemp(file);
    ck_assert_int_eq(write(fd, set, strlen(set)), (ssize_t)strlen(set));
    close(fd);
    syn_server_config config = SYN_SERVER_CONFIG_INIT;
    config.loops = loops_tried;
    config.keys = file;
    config.secret = "open sesame";
    syn_server *server = http_start(config);
    char *reader = make_token(key, "{\"documents\":{\"team-*\":\"read\"}}");
    char *writer = make_token(key, "{\"documents\":{\"team-*\":\"read write\"}}");
    char *admin = make_token(key, "{\"server\":\"admin\"}");
    char *lister = make_token(key, "{\"server\":\"list\"}");
    const char *one = "POST /v1/documents/team-1", *get = "GET /v1/documents/team-1";
    expect_as(server, "", one, edit, 401);
    expect_as(server, "wrong", one, edit, 401);
    expect_as(server, writer, one, edit, 404); /* may not create */
    expect_as(server, "open sesame", one, edit, 201);
    expect_as(server, writer, one, edit, 200);
    expect_as(server, reader, one, edit, 403);
    expect_as(server, reader, get, NULL, 200);
    expect_as(server, reader, "GET /v1/documents/other", NULL, 403); /* there or not */
    expect_as(server, "open sesame", "POST /v1/documents/other", edit, 201);
    expect_as(server, reader, "GET /v1/documents/other", NULL, 403);
    expect_as(server, writer, "POST /v1/documents/other", edit, 403);
    expect_as(server, "", get, NULL, 401);
    expect_as(server, "", "GET /v1/documents", NULL, 401);
    expect_as(server, reader, "GET /v1/documents", NULL, 403);
    expect_as(server, lister, "GET /v1/documents", NULL, 200);
    expect_as(server, admin, get, NULL, 403);
    expect_as(server, writer, "DELETE /v1/documents/team-1", NULL, 403);
    expect_as(server, lister, "DELETE /v1/documents/team-1", NULL, 403);
    expect_as(server, admin, "DELETE /v1/documents/team-1", NULL, 200);
    expect_as(server, admin, "DELETE /v1/documents/team-1", NULL, 404);
    expect_as(server, reader, get, NULL, 404);
    expect_as(server, "open sesame", "DELETE /v1/documents/other", NULL, 200);
    syn_server_stop(server, 1000);
    server = start(); /* where everyone comes in nobody governs */
    http_expect(server, one, JSON, edit, 201, "");
    http_expect(server, "DELETE /v1/documents/team-1", "", NULL, 403, "forbidden");
    syn_server_stop(server, 1000);
    unlink(file);
    free(reader);
    free(writer);
    free(admin);
    free(lister);
    free(key);
    free(set);
}
END_TEST

/* ---- At random ------------------------------------------------------------------------------- */

static uint64_t draw(uint64_t *state)
{
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    return *state;
}

static const char *const pieces[] = {
    "GET ",
    "POST ",
    "DELETE ",
    "PUT ",
    "/v1/documents",
    "/v1/documents/d",
    "/v1/feed",
    "/v1/admin/kick",
    "/metrics",
    "?path=/n",
    "?text=",
    "?from=0",
    "&document=d",
    "/../",
    "//",
    "%2f",
    "%00",
    "%",
    "%zz",
    " HTTP/1.1\r\n",
    " HTTP/1.0\r\n",
    " HTTP/2\r\n",
    "Host: localhost\r\n",
    "Host: evil\r\n",
    JSON,
    "Content-Length: 24\r\n",
    "Content-Length: 0\r\n",
    "Content-Length: 1000000\r\n",
    "Content-Length: -1\r\n",
    "Transfer-Encoding: chunked\r\n",
    "Expect: 100-continue\r\n",
    "Connection: close\r\n",
    "Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABk\r\n",
    "Upgrade: websocket\r\n",
    "If-Match: *\r\n",
    "If-None-Match: *\r\n",
    "Last-Event-ID: 1\r\n",
    "Authorization: Bearer x\r\n",
    "Accept: text/plain\r\n",
    "\r\n",
    "\r\n\r\n",
    "[{\"incr\":\"/n\",\"by\":1}] \n",
    "[",
    "\xff",
    ":",
    ";",
    "&",
    "a",
    " ",
};

static size_t make_request(uint64_t *state, char *out)
{
    size_t len = 0, count = 1 + draw(state) % 16;
    bool sane = draw(state) % 2 == 0; /* then something that may be read to its end */
    if (sane) {
        static const char *const begins[] = {two, "GET /v1/feed?from=0 HTTP/1.1\r\n",
                                             "POST /v1/documents/d HTTP/1.1\r\n"};
        const char *begin = begins[draw(state) % 3];
        len = strlen(strcpy(out, begin));
    }
    for (size_t i = 0; i < count; i++) {
        const char *piece = pieces[draw(state) % (sizeof pieces / sizeof pieces[0])];
        memcpy(out + len, piece, strlen(piece));
        len += strlen(piece);
    }
    if (draw(state) % 4 == 0) out[draw(state) % len] = (char)draw(state);
    if (draw(state) % 2 == 0) len += strlen(strcpy(out + len, "\r\n\r\n"));
    return len;
}

/* Whatever comes, the server lives, and a right request after it is answered. */
START_TEST(anything)
{
    const char *more = getenv("SYN_SEEDS");
    uint64_t state = 0x9e3779b97f4a7c15u;
    int rounds = 400 * (more != NULL ? atoi(more) : 1), open[16] = {0};
    syn_server *server = start();
    printf("seed %llx\n", (unsigned long long)state);
    for (int i = 0; i < rounds; i++) {
        char text[8192];
        int fd = raw_connect(syn_server_port(server));
        size_t len = make_request(&state, text), cut = draw(&state) % len;
        http_write(fd, text, cut);
        http_write(fd, text + cut, len - cut);
        int *slot = &open[draw(&state) % 16]; /* some stay open for a while */
        if (*slot != 0) close(*slot);
        *slot = fd;
        if (i % 20 == 0) http_expect(server, "GET /healthz", "", NULL, 200, "ok");
    }
    for (int i = 0; i < 16; i++)
        if (open[i] != 0) close(open[i]);
    http_expect(server, "GET /healthz", "", NULL, 200, "ok");
    syn_server_stop(server, 1000);
}
END_TEST

/* ---- Administration -------------------------------------------------------------------------- */

static int signed_in(const syn_server *server, const char *token, uint64_t peer)
{
    int fd = raw_websocket(syn_server_port(server));
    raw_hello(fd, token);
    raw_open(fd, 1, "d", peer);
    ck_assert(raw_until(fd, FRAME_OPENED));
    return fd;
}

START_TEST(administration)
{
    syn_server_config config = SYN_SERVER_CONFIG_INIT;
    config.loops = loops_tried;
    config.secret = "s3";
    syn_server *server = http_start(config);
    char body[100], secret[] = "Authorization: Bearer s3\r\n" JSON;
    int a = signed_in(server, "s3", 0xa1), b = signed_in(server, "s3", 0xb1);
    raw_insert(a, 1, 0xa1, 0, 0, "hello");
    ck_assert(raw_until(a, FRAME_ACK));
    http_expect(server, "GET /v1/admin/documents/d", secret, NULL, 200,
                "\"events\":5,\"stored_bytes\":");
    http_expect(server, "GET /v1/admin/documents/d", secret, NULL, 200, "\"channels\":2");
    struct http_got got = http_do(server, "GET /v1/admin/connections", secret, NULL);
    json_t *list = json_loads(got.body, 0, NULL);
    ck_assert_uint_eq(json_array_size(list), 2);
    snprintf(body, sizeof body, "{\"connection\":\"%s\"}",
             json_string_value(json_object_get(json_array_get(list, 0), "id")));
    json_decref(list);
    http_drop(&got);
    http_expect(server, "POST /v1/admin/kick", "Authorization: Bearer s\r\n" JSON, body, 401, "");
    http_expect(server, "POST /v1/admin/kick", secret, body, 200, "{\"kicked\":1}");
    ck_assert(!raw_until(b, FRAME_WELCOME)); /* the newest was listed first */
    http_expect(server, "POST /v1/admin/kick", secret, "{\"connection\":\"-1\"}", 400, "");
    http_expect(server, "POST /v1/admin/kick", secret, "{\"connection\":\"0\"}", 400, "");
    http_expect(server, "POST /v1/admin/kick", secret, "{\"user\":\"\"}", 400, "");
    http_expect(server, "POST /v1/admin/kick", secret, "{\"user\":\"a\",\"b\":1}", 400, "");
    http_expect(server, "GET /v1/admin/limits", secret, NULL, 200,
                "{\"name\":\"user_creates\",\"value\":10000,\"default\":10000,");
    http_expect(server, "POST /v1/admin/limits", secret, "{\"user_creates\":7,\"none\":1}", 400,
                "");
    http_expect(server, "POST /v1/admin/limits", secret, "{\"user_creates\":-1}", 400, "");
    http_expect(server, "POST /v1/admin/limits", secret, "{}", 400, "");
    http_expect(server, "POST /v1/admin/limits", secret, "{\"user_creates\":7}", 200, "");
    http_expect(server, "GET /v1/admin/limits?user=ann", secret, NULL, 200,
                "\"user\":null,\"own\":{}");
    http_expect(server, "GET /v1/admin/limits", secret, NULL, 200,
                "{\"name\":\"user_creates\",\"value\":7,\"default\":10000,");
    http_expect(server, "POST /v1/admin/kick", secret, "{\"user\":\"bob\"}", 200, ":0}");
    http_expect(server, "POST /v1/admin/kick", secret, "{\"user\":\"anonymous\"}", 200, ":1}");
    ck_assert(!raw_until(a, FRAME_WELCOME));
    close(a);
    close(b);
    syn_server_stop(server, 1000);
    server = start();
    http_expect(server, "GET /v1/admin/connections", "", NULL, 403, "forbidden");
    http_expect(server, "GET /v1/admin/documents/d", "", NULL, 403, "forbidden");
    http_expect(server, "GET /v1/admin/limits", "", NULL, 403, "forbidden");
    syn_server_stop(server, 1000);
}
END_TEST

/* ---- Limits ---------------------------------------------------------------------------------- */

/* The server is full: whoever looks after it gets in, one answer at a time, and nobody else. */
START_TEST(a_full_server_can_be_looked_at)
{
    syn_server_config config = SYN_SERVER_CONFIG_INIT;
    config.loops = loops_tried;
    config.secret = "s3";
    config.limits = "connections=2";
    syn_server *server = http_start(config);
    char secret[] = "Authorization: Bearer s3\r\n" JSON;
    int a = signed_in(server, "s3", 0xa1), b = signed_in(server, "s3", 0xb1);
    for (int i = 0; i < 100; i++) { /* more than there are spare seats */
        struct http_got got = http_do(server, "GET /metrics", "", NULL);
        ck_assert_int_eq(got.status, 200);
        ck_assert_str_eq(http_header(&got, "connection"), "close");
        ck_assert(strstr(got.body, "syncline_uptime_seconds ") != NULL);
        http_drop(&got);
    }
    http_expect(server, "GET /healthz", "", NULL, 200, "ok");
    http_expect(server, "GET /v1/admin/connections", secret, NULL, 200, "\"channels\":1");
    http_expect(server, "GET /v1/admin/connections", "", NULL, 401, "");
    struct http_got got = http_do(server, "GET /v1/documents", secret, NULL);
    ck_assert_int_eq(got.status, 503);
    ck_assert_str_eq(http_header(&got, "retry-after"), "2");
    http_drop(&got);
    http_expect(server, "POST /v1/documents/d", secret, "[]", 503, "busy");
    int c = raw_connect(syn_server_port(server));
    const char *upgrade = "GET / HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\n"
                          "Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
                          "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
                          "Sec-WebSocket-Protocol: syncline.v1\r\n\r\n";
    http_write(c, upgrade, strlen(upgrade));
    got = http_read(c);
    ck_assert_int_eq(got.status, 503);
    ck_assert_str_eq(http_header(&got, "retry-after"), "2");
    http_drop(&got);
    close(c);
    http_expect(server, "GET /metrics", "", NULL, 200,
                "refused_total{code=\"BUSY\",limit=\"connections\"} 3");
    http_expect(server, "POST /v1/admin/limits", secret, "{\"connections\":10}", 200, "");
    http_expect(server, "POST /v1/documents/d", secret, "[]", 200, "");
    close(a);
    close(b);
    syn_server_stop(server, 1000);
}
END_TEST

static int status_of(const syn_server *server, const char *token, char retry[16], const char *line,
                     const char *body)
{
    char extra[2000];
    snprintf(extra, sizeof extra, "Authorization: Bearer %s\r\n" JSON, token);
    struct http_got got = http_do(server, line, extra, body);
    int status = got.status;
    snprintf(retry, 16, "%s", http_header(&got, "retry-after"));
    if (status == 429) ck_assert(strstr(got.body, "\"busy\"") != NULL);
    http_drop(&got);
    return status;
}

static void accept_anybody(void *user, syn_auth_request *request, syn_str token)
{
    (void)user;
    syn_auth_accept(request, token, 0);
}

/* _i: too many requests, too many documents, too large a document. */
START_TEST(limits_of_users)
{
    static const char *const lists[] = {"user_frames=2,burst=3", "user_creates=1",
                                        "document_events=5"};
    static const char *const limits[] = {"user_frames", "user_creates", "document_events"};
    static const long waits[] = {1, 61, 0};
    char retry[16], line[100];
    syn_server_config config = SYN_SERVER_CONFIG_INIT;
    config.loops = loops_tried;
    config.authenticate = accept_anybody; /* the token is the name */
    config.limits = lists[_i];
    syn_server *server = http_start(config);
    const char *edit = "[{\"insert\":\"\",\"at\":0,\"text\":\"abcd\"}]";
    int status = 0, wanted = _i == 2 ? 413 : 429, tries = 0;
    for (; tries < 1000 && status != wanted; tries++) {
        snprintf(line, sizeof line, "POST /v1/documents/%c", _i == 1 ? 'a' + tries : 'a');
        status = status_of(server, "ann", retry, line, edit);
        ck_assert(status == 200 || status == 201 || status == wanted);
    }
    ck_assert_int_eq(status, wanted);
    if (_i != 0) ck_assert_int_eq(tries, 2);
    ck_assert_int_eq(strtol(retry, NULL, 10), waits[_i]);
    ck_assert_int_eq(status_of(server, "bob", retry, "POST /v1/documents/z", edit), 201);
    snprintf(line, sizeof line, "limit=\"%s\"} 1", limits[_i]);
    http_expect(server, "GET /metrics", "", NULL, 200, line);
    syn_server_stop(server, 1000);
}
END_TEST

/* Of one user or document, over everybody's; kept over a restart. */
START_TEST(limits_of_their_own)
{
    static const char *const bad[] = {"{\"document_bytes\":5}", "{\"user_frames\":-1}",
                                      "{\"connections\":5}", "{\"user_frames\":\"5\"}", "{}"};
    char folder[] = "/tmp/test_http_XXXXXX", path[64],
         secret[] = "Authorization: Bearer s3\r\n" JSON;
    const char *edit = "[{\"insert\":\"\",\"at\":0,\"text\":\"abcd\"}]";
    ck_assert_ptr_nonnull(mkdtemp(folder));
    snprintf(path, sizeof path, "%s/d.db", folder);
    syn_server_config config = SYN_SERVER_CONFIG_INIT;
    config.loops = loops_tried;
    config.data = path;
    config.secret = "s3";
    config.authenticate = accept_anybody;
    config.limits = "user_creates=1";
    config.seed = 7;
    syn_server *server = http_start(config);
    char retry[16];
    http_expect(server, "POST /v1/admin/limits?user=ann", secret, "{\"user_creates\":3}", 200,
                "\"own\":{\"user_creates\":3}");
    http_expect(server, "POST /v1/admin/limits?document=small", secret, "{\"document_events\":5}",
                200, "\"own\":{\"document_events\":5}");
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        http_expect(server, "POST /v1/admin/limits?user=ann", secret, bad[i], 400, "malformed");
    http_expect(server, "POST /v1/admin/limits?user=", secret, "{\"user_creates\":3}", 400, "");
    for (int round = 0; round < 2; round++) {
        char line[64];
        for (int i = 0; i < 4; i++) { /* a new hour begins with the server */
            snprintf(line, sizeof line, "POST /v1/documents/a%d%d", round, i);
            ck_assert_int_eq(status_of(server, "ann", retry, line, edit), i < 3 ? 201 : 429);
        }
        snprintf(line, sizeof line, "POST /v1/documents/b%d", round);
        ck_assert_int_eq(status_of(server, "bob", retry, line, edit), 201);
        ck_assert_int_eq(status_of(server, "bob", retry, "POST /v1/documents/other", edit), 429);
        ck_assert_int_eq(status_of(server, "s3", retry, "POST /v1/documents/small", edit),
                         round == 0 ? 201 : 413);
        ck_assert_int_eq(status_of(server, "s3", retry, "POST /v1/documents/small", edit), 413);
        syn_server_stop(server, 1000);
        config.seed++; /* or the server would write as the peer that it was before */
        server = http_start(config);
    }
    http_expect(server, "POST /v1/admin/limits?document=small", secret,
                "{\"document_events\":null}", 200, "\"own\":{}");
    ck_assert_int_eq(status_of(server, "s3", retry, "POST /v1/documents/small", edit), 200);
    syn_server_stop(server, 1000);
    config.seed++;
    server = http_start(config);
    http_expect(server, "GET /v1/admin/limits?document=small", secret, NULL, 200, "\"own\":{}");
    http_expect(server, "GET /v1/admin/limits?user=ann", secret, NULL, 200, "\"user_creates\":3}");
    syn_server_stop(server, 1000);
    static const char *const ends[] = {"", ".lock", "-wal", "-shm"};
    for (size_t i = 0; i < 4; i++) {
        snprintf(path, sizeof path, "%s/d.db%s", folder, ends[i]);
        unlink(path);
    }
    rmdir(folder);
}
END_TEST

/* ---- A sign-in that answers late ------------------------------------------------------------- */

static struct {
    pthread_mutex_t lock;
    pthread_cond_t came;
    syn_auth_request *request;
} late = {PTHREAD_MUTEX_INITIALIZER, PTHREAD_COND_INITIALIZER, NULL};

static void keep_request(void *user, syn_auth_request *request, syn_str token)
{
    (void)user;
    (void)token;
    pthread_mutex_lock(&late.lock);
    late.request = request;
    pthread_cond_signal(&late.came);
    pthread_mutex_unlock(&late.lock);
}

static syn_auth_request *wait_request(void)
{
    pthread_mutex_lock(&late.lock);
    while (late.request == NULL) pthread_cond_wait(&late.came, &late.lock);
    syn_auth_request *request = late.request;
    late.request = NULL;
    pthread_mutex_unlock(&late.lock);
    return request;
}

START_TEST(late_sign_in)
{
    syn_server_config config = SYN_SERVER_CONFIG_INIT;
    config.loops = loops_tried;
    config.authenticate = keep_request;
    syn_server *server = http_start(config);
    const char *ask = "GET /v1/documents/d HTTP/1.1\r\nHost: localhost\r\n\r\n";
    for (int i = 0; i < 4; i++) { /* accepted, refused; there, and gone */
        int fd = raw_connect(syn_server_port(server));
        http_write(fd, ask, strlen(ask));
        syn_auth_request *request = wait_request();
        if (i & 2) {
            close(fd);
            usleep(20000);
        }
        if (i & 1)
            syn_auth_refuse(request, syn_s("no \"such\" \xff user"));
        else
            syn_auth_accept(request, syn_s("ada"), 0);
        if (i & 2) continue;
        struct http_got got = http_read(fd);
        ck_assert_int_eq(got.status, i & 1 ? 401 : 404);
        http_drop(&got);
        close(fd);
    }
    int fd = raw_connect(syn_server_port(server)); /* the server ends first */
    http_write(fd, ask, strlen(ask));
    free(wait_request());
    syn_server_stop(server, 100);
    close(fd);
}
END_TEST

static void add_tests(TCase *tests)
{
    tcase_add_test(tests, written_and_read);
    tcase_add_test(tests, names);
    tcase_add_test(tests, etags);
    tcase_add_test(tests, beside_websockets_and_durable);
    tcase_add_test(tests, failing_disk);
    tcase_add_test(tests, edits_of_nothing);
    tcase_add_test(tests, wide_integers);
    tcase_add_loop_test(tests, versions, 0, 2);
    tcase_add_test(tests, bad_edits_change_nothing);
    tcase_add_test(tests, bombs);
    tcase_add_test(tests, bad_requests_are_refused);
    tcase_add_test(tests, refused_before_the_body_is_read);
    tcase_add_test(tests, requests_behind_each_other);
    tcase_add_test(tests, split_anywhere);
    tcase_add_test(tests, asked_before_the_answer);
    tcase_add_test(tests, ended_anywhere);
    tcase_add_test(tests, long_answers);
    tcase_add_test(tests, large_documents);
    tcase_add_test(tests, files_that_are_none);
    tcase_add_test(tests, rights);
    tcase_add_test(tests, anything);
    tcase_add_test(tests, administration);
    tcase_add_test(tests, a_full_server_can_be_looked_at);
    tcase_add_loop_test(tests, limits_of_users, 0, 3);
    tcase_add_test(tests, limits_of_their_own);
    tcase_add_test(tests, late_sign_in);
}

int main(void)
{
    Suite *suite = suite_create("http");
    add_on_loops(suite, "http", 0, add_tests);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? 0 : 1;
}
