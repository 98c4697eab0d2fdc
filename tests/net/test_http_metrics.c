/* test_http_metrics.c -- /metrics: its form, what it counts, and the dashboard that shows it. */
#include "http_raw.h"

#include <check.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define JSON "Content-Type: application/json\r\n"

static char *metrics(const syn_server *server)
{
    struct http_got got = http_do(server, "GET /metrics", "", NULL);
    ck_assert_int_eq(got.status, 200);
    free(got.head);
    return got.body;
}

/* The value of a sample, labels included in its name; -1: it is not there. */
static double value(const char *page, const char *sample)
{
    size_t len = strlen(sample);
    for (const char *at = page; at != NULL; at = strchr(at, '\n')) {
        at += *at == '\n';
        if (strncmp(at, sample, len) == 0 && at[len] == ' ') return atof(at + len + 1);
        if (*at == '\0') break;
    }
    return -1;
}

/* Does the page declare this metric, or the histogram that the sample is part of? */
static bool declared(const char *page, const char *name, size_t len)
{
    static const char *const ends[] = {"", "_bucket", "_sum", "_count"};
    for (size_t i = 0; i < 4; i++) {
        char type[200];
        size_t end = strlen(ends[i]);
        if (len < end || memcmp(name + len - end, ends[i], end) != 0) continue;
        snprintf(type, sizeof type, "# TYPE %.*s %s", (int)(len - end), name,
                 end != 0 ? "histogram\n" : "");
        if (strstr(page, type) != NULL) return true;
    }
    return false;
}

static size_t name_len(const char *at)
{
    return strspn(at, "abcdefghijklmnopqrstuvwxyz_0123456789");
}

START_TEST(form)
{
    syn_server_config config = SYN_SERVER_CONFIG_INIT;
    syn_server *server = http_start(config);
    char *page = metrics(server), *copy = strdup(page);
    for (char *line = strtok(copy, "\n"); line != NULL; line = strtok(NULL, "\n")) {
        if (line[0] == '#') continue;
        ck_assert_msg(strncmp(line, "syncline_", 9) == 0, "%s", line);
        ck_assert_msg(declared(page, line, name_len(line)), "%s", line);
        ck_assert_msg(atof(strrchr(line, ' ')) >= 0, "%s", line);
    }
    free(copy);
    free(page);
    syn_server_stop(server, 1000);
}
END_TEST

START_TEST(counting)
{
    char folder[] = "/tmp/test_metrics_XXXXXX", file[64];
    ck_assert_ptr_nonnull(mkdtemp(folder));
    snprintf(file, sizeof file, "%s/data.db", folder);
    syn_server_config config = SYN_SERVER_CONFIG_INIT;
    config.data = file;
    syn_server *server = http_start(config);
    int fd = raw_websocket(syn_server_port(server)), bad = raw_websocket(syn_server_port(server));
    raw_hello(fd, "");
    raw_open(fd, 1, "d", 0xa1);
    raw_insert(fd, 1, 0xa1, 0, 0, "hello");
    ck_assert(raw_until(fd, FRAME_ACK));
    raw_send(bad, RAW_TEXT, true, "x", 1);
    ck_assert(!raw_until(bad, FRAME_WELCOME));
    http_expect(server, "GET /v1/documents/none", "", NULL, 404, "");
    char *page = metrics(server);
    ck_assert(value(page, "syncline_refused_total{code=\"MALFORMED\"}") == 1);
    ck_assert(value(page, "syncline_refused_total{code=\"LIMIT\"}") == 0);
    ck_assert(value(page, "syncline_http_answers_total{status=\"4xx\"}") == 1);
    ck_assert(value(page, "syncline_commit_seconds_count") >= 1);
    ck_assert(value(page, "syncline_commit_seconds_bucket{le=\"+Inf\"}") ==
              value(page, "syncline_commit_seconds_count"));
    ck_assert(value(page, "syncline_commit_seconds_p99") > 0);
    ck_assert(value(page, "syncline_commit_seconds_p99") >=
              value(page, "syncline_commit_seconds_p50"));
    ck_assert(value(page, "syncline_loop_busy_seconds_total{loop=\"0\"}") > 0);
    ck_assert(value(page, "syncline_loop_busy_seconds_total{loop=\"0\"}") <
              value(page, "syncline_uptime_seconds") + 1);
    ck_assert(value(page, "syncline_loop_turn_seconds_max{loop=\"0\"}") > 0);
    ck_assert(value(page, "syncline_loop_turn_seconds_max{loop=\"0\"}") <=
              value(page, "syncline_loop_busy_seconds_total{loop=\"0\"}"));
    ck_assert(value(page, "syncline_loop_turn_seconds_bucket{loop=\"0\",le=\"+Inf\"}") > 1);
    ck_assert(value(page, "syncline_loop_turn_seconds_bucket{loop=\"0\",le=\"+Inf\"}") ==
              value(page, "syncline_loop_turn_seconds_count{loop=\"0\"}"));
    ck_assert(value(page, "syncline_loop_turn_seconds_bucket{loop=\"0\",le=\"0.5\"}") <=
              value(page, "syncline_loop_turn_seconds_bucket{loop=\"0\",le=\"1\"}"));
    ck_assert(value(page, "syncline_loop_turn_seconds_sum{loop=\"0\"}") ==
              value(page, "syncline_loop_busy_seconds_total{loop=\"0\"}"));
    ck_assert(value(page, "syncline_loop_connections{loop=\"0\"}") == 1);
    ck_assert(value(page, "syncline_memory_bytes") > 1000000);
    ck_assert(value(page, "syncline_document_bytes") > 100);
    ck_assert(value(page, "syncline_lagging_channels") == 0);
    free(page);
    close(fd);
    close(bad);
    syn_server_stop(server, 1000);
    unlink(file);
    snprintf(file, sizeof file, "%s/data.db.lock", folder);
    unlink(file);
    rmdir(folder);
}
END_TEST

/* Each loop says how busy it was; the sums are those of all. */
START_TEST(several_loops)
{
    syn_server_config config = SYN_SERVER_CONFIG_INIT;
    config.loops = 3;
    syn_server *server = http_start(config);
    int fds[30];
    for (int i = 0; i < 30; i++) fds[i] = raw_websocket(syn_server_port(server));
    for (int i = 0; i < 30; i++) raw_hello(fds[i], "");
    for (int i = 0; i < 30; i++) ck_assert(raw_until(fds[i], FRAME_WELCOME));
    for (int i = 0; i < 10; i++) http_expect(server, "GET /v1/none", "", NULL, 404, "");
    char *page = metrics(server);
    double open = 0, busy = 0;
    for (int i = 1; i <= 3; i++) {
        char name[64];
        snprintf(name, sizeof name, "syncline_loop_connections{loop=\"%d\"}", i);
        open += value(page, name);
        snprintf(name, sizeof name, "syncline_loop_wakes_total{loop=\"%d\"}", i);
        ck_assert(value(page, name) > 0);
        snprintf(name, sizeof name, "syncline_loop_turn_seconds_count{loop=\"%d\"}", i);
        ck_assert(value(page, name) > 0);
        snprintf(name, sizeof name, "syncline_loop_busy_seconds_total{loop=\"%d\"}", i);
        busy += value(page, name);
    }
    ck_assert(open == 30);
    ck_assert(busy > 0);
    ck_assert(value(page, "syncline_connections") == 30);
    ck_assert(value(page, "syncline_loop_connections{loop=\"0\"}") == 0);
    ck_assert(value(page, "syncline_loop_busy_seconds_total{loop=\"0\"}") > 0);
    ck_assert(value(page, "syncline_http_answers_total{status=\"4xx\"}") == 10);
    free(page);
    for (int i = 0; i < 30; i++) close(fds[i]);
    syn_server_stop(server, 1000);
}
END_TEST

/* Every metric that the dashboard asks for is one that the server has. */
START_TEST(dashboard)
{
    syn_server_config config = SYN_SERVER_CONFIG_INIT;
    syn_server *server = http_start(config);
    char *page = metrics(server);
    json_t *file = json_load_file(SYN_SOURCE_DIR "/packaging/grafana.json", 0, NULL);
    ck_assert_ptr_nonnull(file);
    char *text = json_dumps(file, 0);
    int found = 0;
    for (const char *at = text; (at = strstr(at, "syncline_")) != NULL; at += 9, found++)
        ck_assert_msg(declared(page, at, name_len(at)), "%.60s", at);
    ck_assert_int_ge(found, 25);
    free(text);
    free(page);
    json_decref(file);
    syn_server_stop(server, 1000);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("http_metrics");
    TCase *tests = tcase_create("metrics");
    tcase_set_timeout(tests, 0);
    tcase_add_test(tests, form);
    tcase_add_test(tests, counting);
    tcase_add_test(tests, several_loops);
    tcase_add_test(tests, dashboard);
    suite_add_tcase(suite, tests);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? 0 : 1;
}
