/* http.c -- a GET of libcurl, with the certificate authority and the token of the environment. */
#include "http.h"

#include <curl/curl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MAX_ANSWER ((size_t)64 << 20)

static size_t append(char *data, size_t size, size_t count, void *user)
{
    syn_buf *body = user;
    size_t len = size * count;
    bool fits = len <= MAX_ANSWER - body->len && syn_buf_append(body, data, len) == SYN_OK;
    return fits ? len : 0;
}

/* "ws" becomes "http" and "wss" "https"; what follows the host is replaced by the path. */
static bool page_url(const char *url, const char *path, char *out, size_t size)
{
    const char *rest = strstr(url, "://");
    if (rest == NULL) return false;
    int authority = (int)strcspn(rest + 3, "/?#");
    int len =
        snprintf(out, size, "http%s://%.*s%s", url[2] == 's' ? "s" : "", authority, rest + 3, path);
    return len > 0 && (size_t)len < size;
}

static void set_options(CURL *curl, const char *url, uint32_t timeout_ms, syn_buf *body)
{
    const char *token = getenv("SYNCLINE_TOKEN"), *ca = getenv("SYNCLINE_CA");
    curl_easy_setopt(curl, CURLOPT_URL, url);
    curl_easy_setopt(curl, CURLOPT_PROTOCOLS_STR, "http,https");
    curl_easy_setopt(curl, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(curl, CURLOPT_TIMEOUT_MS, (long)timeout_ms);
    curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, append);
    curl_easy_setopt(curl, CURLOPT_WRITEDATA, body);
    if (ca != NULL) curl_easy_setopt(curl, CURLOPT_CAINFO, ca);
    if (token == NULL) return;
    curl_easy_setopt(curl, CURLOPT_HTTPAUTH, (long)CURLAUTH_BEARER);
    curl_easy_setopt(curl, CURLOPT_XOAUTH2_BEARER, token);
}

/* The body of a GET, NUL-terminated; NULL: no answer, and `why` says in curl's words why not. */
static char *http_get(const char *url, const char *path, uint32_t timeout_ms, long *status,
                      const char **why)
{
    char page[2048];
    syn_buf body = {0};
    CURL *curl = curl_easy_init();
    *why = "not an address";
    if (curl == NULL) return NULL;
    CURLcode result = CURLE_URL_MALFORMAT;
    if (page_url(url, path, page, sizeof page)) {
        set_options(curl, page, timeout_ms, &body);
        result = curl_easy_perform(curl);
        *why = curl_easy_strerror(result);
        curl_easy_getinfo(curl, CURLINFO_RESPONSE_CODE, status);
    }
    curl_easy_cleanup(curl);
    if (result == CURLE_OK && syn_buf_append(&body, "", 1) == SYN_OK) return body.data;
    syn_buf_free(&body);
    return NULL;
}

/* The server may send one array, or an object that holds it. */
static json_t *find_list(const char *body)
{
    json_t *root = json_loads(body, 0, NULL);
    json_t *list = json_is_object(root) ? json_object_get(root, "documents") : root;
    if (json_is_array(list)) {
        size_t index;
        json_t *item;
        json_array_foreach(list, index, item)
        {
            if (json_is_string(json_object_get(item, "name"))) continue;
            json_decref(root);
            return NULL;
        }
        list = json_incref(list);
        json_decref(root);
        return list;
    }
    json_decref(root);
    return NULL;
}

int server_page(const char *url, const char *path, uint32_t timeout_ms, char **out)
{
    long status = 0;
    const char *why;
    *out = http_get(url, path, timeout_ms, &status, &why);
    if (*out == NULL) return failed("no answer from %s: %s; %s", url, why, what_to_ask(url));
    if (status == 200) return EXIT_DONE;
    free(*out);
    *out = NULL;
    return failed("%s did not answer %s (HTTP status %ld)", url, path, status);
}

int server_documents(const char *url, uint32_t timeout_ms, json_t **out)
{
    long status = 0;
    const char *why;
    char *body = http_get(url, "/v1/documents", timeout_ms, &status, &why);
    if (body == NULL) return failed("no answer from %s: %s; %s", url, why, what_to_ask(url));
    *out = status == 200 ? find_list(body) : NULL;
    free(body);
    if (*out != NULL) return EXIT_DONE;
    if (status == 401)
        return failed("%s lists its documents for who signs in: give its secret, or a token, in "
                      "the variable SYNCLINE_TOKEN",
                      url);
    if (status == 403)
        return failed("%s: no right to list documents (`syncline token make --list`)", url);
    return failed("%s did not answer with a list of documents (HTTP status %ld)", url, status);
}
