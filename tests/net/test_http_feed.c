/* test_http_feed.c -- the change feed: nothing missed, nothing told to those who may not read. */
#include "on_loops.h"
#include "http_raw.h"
#include "jwt.h"

#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define JSON "Content-Type: application/json\r\n"

struct data { /* a folder with a file in it */
    char folder[40], file[64];
};

static void data_new(struct data *data)
{
    snprintf(data->folder, sizeof data->folder, "/tmp/test_feed_XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(data->folder));
    snprintf(data->file, sizeof data->file, "%s/data.db", data->folder);
}

static void data_drop(const struct data *data)
{
    static const char *const ends[] = {"", ".lock", "-wal", "-shm"};
    char path[80];
    for (size_t i = 0; i < 4; i++) {
        snprintf(path, sizeof path, "%s%s", data->file, ends[i]);
        unlink(path);
    }
    rmdir(data->folder);
}

static void edit(const syn_server *server, const char *document, const char *extra)
{
    char line[300], all[3000];
    snprintf(line, sizeof line, "POST /v1/documents/%s", document);
    snprintf(all, sizeof all, JSON "%s", extra);
    struct http_got got = http_do(server, line, all, "[{\"incr\":\"/n\",\"by\":1}]");
    ck_assert_msg(got.status == 200 || got.status == 201, "%s", got.body);
    http_drop(&got);
}

static int feed(const syn_server *server, const char *query, const char *extra)
{
    char text[3000];
    int fd = raw_connect(syn_server_port(server));
    snprintf(text, sizeof text, "GET /v1/feed%s HTTP/1.1\r\nHost: localhost\r\n%s\r\n", query,
             extra);
    http_write(fd, text, strlen(text));
    struct http_got got = http_read(fd);
    ck_assert_msg(got.status == 200, "%s: %s", got.head, got.body);
    ck_assert_str_eq(http_header(&got, "content-type"), "text/event-stream");
    http_drop(&got);
    return fd;
}

/* The next event's text, in a static buffer; "" at the end. */
static const char *next(int fd)
{
    static char text[4096];
    size_t len = 0;
    memset(text, 0, sizeof text);
    while (len < sizeof text - 1 && strstr(text, "\n\n") == NULL && recv(fd, text + len, 1, 0) == 1)
        len++;
    return text;
}

static void expect(int fd, const char *kind, const char *contains)
{
    char event[40];
    const char *text = next(fd);
    snprintf(event, sizeof event, "event: %s\n", kind);
    ck_assert_msg(strstr(text, event) != NULL, "%s: %s", kind, text);
    ck_assert_msg(strstr(text, contains) != NULL, "%s: %s", contains, text);
}

START_TEST(live_and_catching_up)
{
    struct data data;
    data_new(&data);
    syn_server_config config = SYN_SERVER_CONFIG_INIT;
    config.loops = loops_tried;
    config.data = data.file;
    syn_server *server = http_start(config);
    edit(server, "before", "");
    int live = feed(server, "", ""), all = feed(server, "?from=0", "");
    int one = feed(server, "?document=b&from=0", "");
    expect(live, "hello", "\"commit_seq\":1,");
    expect(all, "hello", "\"from\":0");
    expect(one, "hello", "\"from\":0");
    expect(all, "change", "\"document\":\"before\",\"from\":0,\"events\":2");
    edit(server, "a", "");
    edit(server, "b", "");
    expect(live, "change", "\"document\":\"a\"");
    expect(live, "change", "\"heads\":[\"");
    expect(all, "change", "\"document\":\"a\"");
    expect(all, "change", "\"commit_seq\":3,\"document\":\"b\"");
    expect(one, "change", "\"document\":\"b\"");
    close(live);
    close(all);
    close(one);
    syn_server_stop(server, 1000);
    server = http_start(config); /* the same numbers, after a restart */
    all = feed(server, "?from=1", "");
    expect(all, "hello", "");
    expect(all, "change", "\"commit_seq\":2,\"document\":\"a\"");
    close(all);
    http_expect(server, "GET /v1/feed?from=x", "", NULL, 400, "malformed");
    http_expect(server, "GET /v1/feed?from=-1", "", NULL, 400, "malformed");
    http_expect(server, "GET /v1/feed?from=9999999999999999999", "", NULL, 400, "malformed");
    http_expect(server, "GET /v1/feed?from=1.", "", NULL, 400, "malformed");
    http_expect(server, "GET /v1/feed?from=1.2.3", "", NULL, 400, "malformed");
    http_expect(server, "POST /v1/feed", JSON, "[]", 405, "");
    syn_server_stop(server, 1000);
    data_drop(&data);
}
END_TEST

static void delete_document(const syn_server *server, const char *name)
{
    char line[300];
    snprintf(line, sizeof line, "DELETE /v1/documents/%s", name);
    struct http_got got = http_do(server, line, "Authorization: Bearer s3cret\r\n", NULL);
    ck_assert_msg(got.status == 200, "%s", got.body);
    http_drop(&got);
}

/* A document deleted and made again: who comes late is told in an order that is right. */
START_TEST(deletions)
{
    static const char *const token = "Authorization: Bearer s3cret\r\n";
    syn_server_config config = SYN_SERVER_CONFIG_INIT;
    config.loops = loops_tried;
    config.secret = "s3cret";
    syn_server *server = http_start(config);
    edit(server, "a", token);
    edit(server, "b", token);
    int live = feed(server, "", token), one = feed(server, "?document=b&from=0", token);
    expect(live, "hello", "\"deletion\":0}");
    expect(one, "hello", "");
    expect(one, "change", "\"document\":\"b\"");
    delete_document(server, "a");
    expect(live, "delete", "{\"deletion\":1,\"document\":\"a\"}");
    edit(server, "a", token);
    expect(live, "change", "\"document\":\"a\",\"from\":0");
    delete_document(server, "b");
    expect(live, "delete", "{\"deletion\":2,\"document\":\"b\"}");
    expect(one, "delete", "{\"deletion\":2,\"document\":\"b\"}");
    close(live);
    close(one);

    int all = feed(server, "?from=0.0", token), later = feed(server, "?from=0.1", token);
    int changes = feed(server, "?from=0", token), gap = feed(server, "?from=0.3", token);
    expect(all, "hello", "");
    expect(all, "delete", "\"document\":\"a\"");
    expect(all, "delete", "\"document\":\"b\"");
    expect(all, "change", "\"document\":\"a\"");
    expect(later, "hello", "\"from_deletion\":1");
    expect(later, "delete", "\"document\":\"b\"");
    expect(changes, "hello", "");
    expect(changes, "change", "\"document\":\"a\"");
    expect(gap, "gap", "");
    close(all);
    close(later);
    close(changes);
    close(gap);
    syn_server_stop(server, 1000);
}
END_TEST

START_TEST(gaps)
{
    syn_server_config config = SYN_SERVER_CONFIG_INIT;
    config.loops = loops_tried;
    syn_server *server = http_start(config);
    char id[80], extra[160];
    edit(server, "d", "");
    int fd = feed(server, "?from=0", "");
    expect(fd, "hello", "");
    snprintf(id, sizeof id, "%.79s", next(fd) + 4); /* behind "id: " */
    id[strcspn(id, "\n")] = '\0';
    close(fd);
    edit(server, "e", "");
    snprintf(extra, sizeof extra, "Last-Event-ID: %s\r\n", id);
    fd = feed(server, "?from=0", extra);
    expect(fd, "hello", "\"from\":1");
    expect(fd, "change", "\"document\":\"e\"");
    close(fd);
    fd = feed(server, "?from=99", "");
    expect(fd, "gap", "\"commit_seq\":2");
    close(fd);
    id[0] = id[0] == '0' ? '1' : '0'; /* of another store */
    snprintf(extra, sizeof extra, "Last-Event-ID: %s\r\n", id);
    fd = feed(server, "", extra);
    expect(fd, "gap", "\"from\":2");
    edit(server, "f", "");
    expect(fd, "change", "\"document\":\"f\"");
    close(fd);
    syn_server_stop(server, 1000);
}
END_TEST

static syn_err note_entry(void *user, const syn_feed_entry *entry)
{
    char *text = user;
    size_t len = strlen(text);
    snprintf(text + len, 200 - len, "%s%.*s[%u,%u)@%lld.%lld ", entry->deleted ? "-" : "",
             (int)entry->document.len, entry->document.data, entry->from, entry->end,
             (long long)entry->at.commit, (long long)entry->at.deletion);
    return entry->at.commit == 3 ? SYN_ERANGE : SYN_OK; /* stops there */
}

/* As a program around the library sees it. */
START_TEST(embedder)
{
    struct data data;
    char text[200] = "", name[202];
    syn_feed_cursor at;
    data_new(&data);
    syn_server_config config = SYN_SERVER_CONFIG_INIT;
    config.loops = loops_tried;
    syn_server *server = http_start(config);
    ck_assert_int_eq(syn_server_feed_end(server, &at), SYN_EMISUSE); /* in memory */
    ck_assert_int_eq(syn_server_keep_cursor(server, syn_s("a"), at), SYN_EMISUSE);
    syn_server_stop(server, 1000);

    config.data = data.file;
    config.secret = "s3cret";
    server = http_start(config);
    edit(server, "a", "Authorization: Bearer s3cret\r\n");
    edit(server, "b", "Authorization: Bearer s3cret\r\n");
    delete_document(server, "a");
    edit(server, "a", "Authorization: Bearer s3cret\r\n");
    edit(server, "c", "Authorization: Bearer s3cret\r\n");
    ck_assert_int_eq(syn_server_feed_end(server, &at), SYN_OK);
    ck_assert(at.commit == 4 && at.deletion == 1);
    at = (syn_feed_cursor){0, 0};
    ck_assert_int_eq(syn_server_feed(server, at, note_entry, text), SYN_ERANGE);
    ck_assert_str_eq(text, "-a[0,0)@0.1 b[0,2)@2.1 a[0,2)@3.1 ");
    memset(name, 'n', sizeof name);
    at = (syn_feed_cursor){3, 1};
    ck_assert_int_eq(syn_server_kept_cursor(server, syn_s("me"), &at), SYN_ENOTFOUND);
    ck_assert_int_eq(syn_server_keep_cursor(server, syn_s(""), at), SYN_EMISUSE);
    ck_assert_int_eq(syn_server_keep_cursor(server, (syn_str){name, 201}, at), SYN_EMISUSE);
    ck_assert_int_eq(syn_server_keep_cursor(server, (syn_str){name, 200}, at), SYN_OK);
    ck_assert_int_eq(syn_server_keep_cursor(server, syn_s("me"), at), SYN_OK);
    syn_server_stop(server, 1000);

    server = http_start(config);
    at = (syn_feed_cursor){0, 0};
    ck_assert_int_eq(syn_server_kept_cursor(server, syn_s("me"), &at), SYN_OK);
    ck_assert(at.commit == 3 && at.deletion == 1);
    text[0] = '\0';
    ck_assert_int_eq(syn_server_feed(server, at, note_entry, text), SYN_OK);
    ck_assert_str_eq(text, "c[0,2)@4.1 ");
    syn_server_stop(server, 1000);
    data_drop(&data);
}
END_TEST

static char *make_token(const char *key, const char *rights, int seconds)
{
    char claims[512], detail[256], *token = NULL;
    snprintf(claims, sizeof claims, "{\"sub\":\"ada\",\"exp\":%lld,\"syncline\":%s}",
             (long long)time(NULL) + seconds, rights);
    ck_assert_int_eq(jwt_sign(syn_s(key), claims, &token, detail), SYN_OK);
    return token;
}

START_TEST(only_what_may_be_read)
{
    char file[] = "/tmp/test_feed_keys_XXXXXX", *key = NULL, *set = NULL, detail[256];
    char extra[1000], secret[] = "Authorization: Bearer open sesame\r\n";
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
    char *token = make_token(key, "{\"documents\":{\"mine-*\":\"read\"}}", 600);
    char *ending = make_token(key, "{\"documents\":{\"mine-*\":\"read\"}}", 2);
    http_expect(server, "GET /v1/feed", "", NULL, 401, "");
    snprintf(extra, sizeof extra, "Authorization: Bearer %s\r\n", token);
    http_expect(server, "GET /v1/feed?document=other", extra, NULL, 403, "");
    for (int i = 0; i < 600; i++) edit(server, "other", secret); /* more than a batch */
    edit(server, "mine-1", secret);
    fd = feed(server, "?from=0", extra);
    expect(fd, "hello", "");
    expect(fd, "change", "\"document\":\"mine-1\"");
    edit(server, "other", secret);
    edit(server, "mine-2", secret);
    expect(fd, "change", "\"document\":\"mine-2\"");
    close(fd);
    snprintf(extra, sizeof extra, "Authorization: Bearer %s\r\n", ending);
    fd = feed(server, "", extra); /* ends with its token */
    expect(fd, "hello", "");
    ck_assert_str_eq(next(fd), "");
    close(fd);
    syn_server_stop(server, 1000);
    unlink(file);
    free(token);
    free(ending);
    free(key);
    free(set);
}
END_TEST

/* Readers that do not read, and as many as there may be: the others go on. */
START_TEST(crowds)
{
    syn_server_config config = SYN_SERVER_CONFIG_INIT;
    config.loops = loops_tried;
    syn_server *server = http_start(config);
    int fds[256];
    for (int i = 0; i < 256; i++) fds[i] = feed(server, "?from=0", "");
    http_expect(server, "GET /v1/feed", "", NULL, 503, "busy");
    for (int i = 0; i < 300; i++) edit(server, "d", "");
    for (int i = 0; i < 256; i += 16) {
        expect(fds[i], "hello", "");
        for (int k = 1; k <= 300; k++) {
            char number[40];
            snprintf(number, sizeof number, "\"commit_seq\":%d,", k);
            expect(fds[i], "change", number);
        }
    }
    for (int i = 1; i < 256; i++) close(fds[i]);
    edit(server, "d", "");
    expect(fds[0], "change", "\"commit_seq\":301,");
    syn_server_stop(server, 200);
    ck_assert_str_eq(next(fds[0]), "");
    close(fds[0]);
}
END_TEST

static void add_tests(TCase *tests)
{
    tcase_add_test(tests, live_and_catching_up);
    tcase_add_test(tests, deletions);
    tcase_add_test(tests, embedder);
    tcase_add_test(tests, gaps);
    tcase_add_test(tests, only_what_may_be_read);
    tcase_add_test(tests, crowds);
}

int main(void)
{
    Suite *suite = suite_create("http_feed");
    add_on_loops(suite, "feed", 0, add_tests);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? 0 : 1;
}
