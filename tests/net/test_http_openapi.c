/* test_http_openapi.c -- net/openapi.json against the server: every path, method and status that it
 * lists is got once, and nothing is got that it does not list. */
#include "http_raw.h"

#include <check.h>
#include <ctype.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define JSON   "Content-Type: application/json\r\n"
#define SECRET "Authorization: Bearer s3\r\n"
#define EVIL   "Origin: https://evil.example\r\n"
#define ADD    "[{\"incr\":\"/n\",\"by\":1}]"

static char large[1100000];

/* In this order, on one server with a secret. */
static const struct call {
    const char *path, *method; /* as openapi.json has them */
    int status;
    const char *target, *extra, *body;
} calls[] = {
    {"/healthz", "get", 200, "/healthz", "", NULL},
    {"/healthz", "get", 403, "/healthz", EVIL, NULL},
    {"/metrics", "get", 200, "/metrics", "", NULL},
    {"/metrics", "get", 403, "/metrics", EVIL, NULL},
    {"/v1/documents", "get", 200, "/v1/documents", SECRET, NULL},
    {"/v1/documents", "get", 401, "/v1/documents", "", NULL},
    {"/v1/documents", "get", 403, "/v1/documents", EVIL, NULL},
    {"/v1/documents", "get", 405, NULL, SECRET, "[]"},
    {"/v1/documents/{name}", "post", 201, "/v1/documents/d", SECRET JSON, ADD},
    {"/v1/documents/{name}", "post", 200, "/v1/documents/d", SECRET JSON, ADD},
    {"/v1/documents/{name}", "post", 400, "/v1/documents/d", SECRET JSON, "{}"},
    {"/v1/documents/{name}", "post", 401, "/v1/documents/d", JSON, ADD},
    {"/v1/documents/{name}", "post", 403, "/v1/documents/d", EVIL, ADD},
    {"/v1/documents/{name}", "post", 409, "/v1/documents/d", SECRET JSON,
     "[{\"set\":\"/n/x\",\"value\":1}]"},
    {"/v1/documents/{name}", "post", 411, "/v1/documents/d", SECRET JSON, NULL},
    {"/v1/documents/{name}", "post", 412, "/v1/documents/d", SECRET JSON "If-Match: \"0\"\r\n",
     ADD},
    {"/v1/documents/{name}", "post", 413, "/v1/documents/d", SECRET JSON, large},
    {"/v1/documents/{name}", "post", 415, "/v1/documents/d", SECRET, ADD},
    {"/v1/documents/{name}", "get", 200, "/v1/documents/d", SECRET, NULL},
    {"/v1/documents/{name}", "get", 304, "/v1/documents/d", SECRET "If-None-Match: *\r\n", NULL},
    {"/v1/documents/{name}", "get", 400, "/v1/documents/d?path=x", SECRET, NULL},
    {"/v1/documents/{name}", "get", 401, "/v1/documents/d", "", NULL},
    {"/v1/documents/{name}", "get", 403, "/v1/documents/d", EVIL, NULL},
    {"/v1/documents/{name}", "get", 404, "/v1/documents/none", SECRET, NULL},
    {"/v1/admin/connections", "get", 200, "/v1/admin/connections", SECRET, NULL},
    {"/v1/admin/connections", "get", 401, "/v1/admin/connections", "", NULL},
    {"/v1/admin/connections", "get", 403, "/v1/admin/connections", EVIL, NULL},
    {"/v1/admin/connections", "get", 405, NULL, SECRET, "[]"},
    {"/v1/admin/documents/{name}", "get", 200, "/v1/admin/documents/d", SECRET, NULL},
    {"/v1/admin/documents/{name}", "get", 400, "/v1/admin/documents/", SECRET, NULL},
    {"/v1/admin/documents/{name}", "get", 401, "/v1/admin/documents/d", "", NULL},
    {"/v1/admin/documents/{name}", "get", 403, "/v1/admin/documents/d", EVIL, NULL},
    {"/v1/admin/documents/{name}", "get", 404, "/v1/admin/documents/none", SECRET, NULL},
    {"/v1/admin/documents/{name}", "get", 405, NULL, SECRET, "[]"},
    {"/v1/admin/kick", "post", 200, "/v1/admin/kick", SECRET JSON, "{\"user\":\"nobody\"}"},
    {"/v1/admin/kick", "post", 400, "/v1/admin/kick", SECRET JSON, "{\"user\":1}"},
    {"/v1/admin/kick", "post", 401, "/v1/admin/kick", JSON, "{}"},
    {"/v1/admin/kick", "post", 403, "/v1/admin/kick", EVIL, "{}"},
    {"/v1/admin/kick", "post", 405, NULL, SECRET, NULL},
    {"/v1/admin/kick", "post", 415, "/v1/admin/kick", SECRET, "{}"},
    {"/v1/admin/limits", "get", 200, "/v1/admin/limits?user=ann", SECRET, NULL},
    {"/v1/admin/limits", "get", 401, "/v1/admin/limits", "", NULL},
    {"/v1/admin/limits", "get", 403, "/v1/admin/limits", EVIL, NULL},
    {"/v1/admin/limits", "post", 200, "/v1/admin/limits", SECRET JSON, "{\"user_events\":5}"},
    {"/v1/admin/limits", "post", 400, "/v1/admin/limits", SECRET JSON, "{\"burst\":0}"},
    {"/v1/admin/limits", "post", 401, "/v1/admin/limits", JSON, "{}"},
    {"/v1/admin/limits", "post", 403, "/v1/admin/limits", EVIL, "{}"},
    {"/v1/admin/limits", "post", 415, "/v1/admin/limits", SECRET, "{}"},
    {"/v1/documents/{name}", "delete", 401, "/v1/documents/d", "", NULL},
    {"/v1/documents/{name}", "delete", 403, "/v1/documents/d", EVIL, NULL},
    {"/v1/documents/{name}", "delete", 200, "/v1/documents/d", SECRET, NULL},
    {"/v1/documents/{name}", "delete", 404, "/v1/documents/d", SECRET, NULL},
    {"/v1/feed", "get", 200, "/v1/feed", SECRET, NULL},
    {"/v1/feed", "get", 400, "/v1/feed?from=x", SECRET, NULL},
    {"/v1/feed", "get", 401, "/v1/feed", "", NULL},
    {"/v1/feed", "get", 403, "/v1/feed", EVIL, NULL},
    {"/v1/feed", "get", 405, NULL, SECRET, "[]"},
};
#define CALLS (sizeof calls / sizeof calls[0])

static json_t *load(void)
{
    json_error_t error;
    json_t *file =
        json_load_file(SYN_SOURCE_DIR "/net/openapi.json", JSON_REJECT_DUPLICATES, &error);
    ck_assert_msg(file != NULL, "line %d: %s", error.line, error.text);
    return file;
}

/* What the file says about a path, method and status; NULL: nothing. */
static json_t *response(json_t *file, const struct call *call)
{
    char status[8];
    json_t *path = json_object_get(json_object_get(file, "paths"), call->path);
    json_t *responses = json_object_get(json_object_get(path, call->method), "responses");
    snprintf(status, sizeof status, "%d", call->status);
    return json_object_get(responses, status);
}

/* target NULL: the path itself, by a method that it does not list. */
static struct http_got perform(const syn_server *server, const struct call *call)
{
    char line[300], method[10] = "";
    for (size_t i = 0; call->method[i] != '\0'; i++)
        method[i] = (char)toupper((unsigned char)call->method[i]);
    if (call->target == NULL) snprintf(method, sizeof method, call->body != NULL ? "POST" : "GET");
    snprintf(line, sizeof line, "%s %s", method, call->target != NULL ? call->target : call->path);
    return http_do(server, line, call->extra, call->body);
}

START_TEST(all_that_is_listed_is_so)
{
    syn_server_config config = SYN_SERVER_CONFIG_INIT;
    json_t *file = load();
    memset(large, ' ', sizeof large - 1);
    config.secret = "s3";
    syn_server *server = http_start(config);
    for (size_t i = 0; i < CALLS; i++) {
        const struct call *call = &calls[i];
        json_t *listed = response(file, call);
        ck_assert_msg(listed != NULL, "%s %s: %d is not in openapi.json", call->method, call->path,
                      call->status);
        struct http_got got = perform(server, call);
        ck_assert_msg(got.status == call->status, "%s %s: %d, not %d: %s", call->method, call->path,
                      got.status, call->status, got.body);
        char type[100];
        snprintf(type, sizeof type, "%s", http_header(&got, "content-type"));
        type[strcspn(type, ";")] = '\0';
        json_t *content = json_object_get(listed, "content");
        ck_assert_msg(content == NULL || json_object_get(content, type) != NULL,
                      "%s %s: %d of type %s", call->method, call->path, call->status, type);
        if (call->status >= 400) {
            json_t *error = json_loads(got.body, 0, NULL);
            ck_assert(json_is_string(json_object_get(error, "code")) &&
                      json_is_string(json_object_get(error, "detail")));
            json_decref(error);
        }
        http_drop(&got);
    }
    json_decref(file);
    syn_server_stop(server, 1000);
}
END_TEST

static bool performed(const char *path, const char *method, const char *status)
{
    for (size_t i = 0; i < CALLS; i++)
        if (strcmp(calls[i].path, path) == 0 && strcmp(calls[i].method, method) == 0 &&
            calls[i].status == atoi(status))
            return true;
    return false;
}

/* But for edits of a document that the asker may not create, which need a token: test_http.c. */
START_TEST(all_that_is_listed_is_tried)
{
    json_t *file = load(), *path, *operation, *answer;
    const char *name, *method, *status;
    json_object_foreach(json_object_get(file, "paths"), name, path)
    {
        json_object_foreach(path, method, operation)
        {
            json_object_foreach(json_object_get(operation, "responses"), status, answer)
            {
                bool elsewhere = strcmp(status, "default") == 0 ||
                                 (strcmp(status, "404") == 0 && strcmp(method, "post") == 0);
                ck_assert_msg(elsewhere || performed(name, method, status), "%s %s: %s", method,
                              name, status);
            }
        }
    }
    json_decref(file);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("http_openapi");
    TCase *tests = tcase_create("openapi");
    tcase_set_timeout(tests, 0);
    tcase_add_test(tests, all_that_is_listed_is_so);
    tcase_add_test(tests, all_that_is_listed_is_tried);
    suite_add_tcase(suite, tests);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? 0 : 1;
}
