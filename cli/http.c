/* http.c -- a blocking HTTP/1.0 GET: the answer ends where the connection does. */
#include "http.h"

#include <errno.h>
#include <netdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#define MAX_ANSWER ((size_t)64 << 20)

/* ws://HOST:PORT[/...]; HOST may be [v6]. */
static bool split_url(const char *url, char host[256], char port[8])
{
    const char *at = url + strlen("ws://");
    const char *end = at + strcspn(at, "/?#");
    const char *colon = NULL;
    for (const char *c = at; c < end; c++) {
        if (*c == ':') colon = c;
        if (*c == ']') colon = NULL;
    }
    const char *host_end = colon != NULL ? colon : end;
    if (*at == '[' && host_end > at && host_end[-1] == ']') {
        at++;
        host_end--;
    }
    size_t host_len = (size_t)(host_end - at), port_len = colon ? (size_t)(end - colon - 1) : 0;
    if (host_len == 0 || host_len >= 256 || port_len >= 8) return false;
    (void)snprintf(host, 256, "%.*s", (int)host_len, at);
    (void)snprintf(port, 8, "%.*s", port_len > 0 ? (int)port_len : 4,
                   port_len > 0 ? colon + 1 : "7700");
    return true;
}

static int connect_to(const char *host, const char *port, uint32_t timeout_ms)
{
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM}, *list = NULL;
    struct timeval wait = {.tv_sec = timeout_ms / 1000, .tv_usec = (timeout_ms % 1000) * 1000};
    if (getaddrinfo(host, port, &hints, &list) != 0) return -1;
    int fd = -1;
    for (const struct addrinfo *at = list; at != NULL && fd < 0; at = at->ai_next) {
        fd = socket(at->ai_family, at->ai_socktype | SOCK_CLOEXEC, at->ai_protocol);
        if (fd < 0) continue;
        (void)setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &wait, sizeof wait);
        (void)setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &wait, sizeof wait);
        if (connect(fd, at->ai_addr, at->ai_addrlen) != 0) {
            (void)close(fd);
            fd = -1;
        }
    }
    freeaddrinfo(list);
    return fd;
}

static bool send_all(int fd, const char *data, size_t len)
{
    while (len > 0) {
        ssize_t sent = send(fd, data, len, MSG_NOSIGNAL);
        if (sent <= 0) return false;
        data += sent;
        len -= (size_t)sent;
    }
    return true;
}

/* Everything until the other side closes, NUL-terminated. */
static char *receive_all(int fd)
{
    size_t len = 0, cap = (size_t)1 << 16;
    char *data = malloc(cap + 1);
    while (data != NULL) {
        ssize_t got = recv(fd, data + len, cap - len, 0);
        if (got < 0) break;
        len += (size_t)got;
        data[len] = '\0';
        if (got == 0) return data;
        if (len < cap) continue;
        char *more = cap < MAX_ANSWER ? realloc(data, cap * 2 + 1) : NULL;
        if (more == NULL) break;
        data = more;
        cap *= 2;
    }
    free(data);
    return NULL;
}

/* The body of a GET; status 0: no answer. */
static char *http_get(const char *url, const char *path, uint32_t timeout_ms, unsigned *status)
{
    char host[256], port[8], request[2048];
    const char *token = getenv("SYNCLINE_TOKEN");
    *status = 0;
    if (!split_url(url, host, port)) return NULL;
    int fd = connect_to(host, port, timeout_ms);
    if (fd < 0) return NULL;
    int len = snprintf(request, sizeof request,
                       "GET %s HTTP/1.0\r\nHost: %s:%s\r\n%s%s%sConnection: close\r\n\r\n", path,
                       host, port, token != NULL ? "Authorization: Bearer " : "",
                       token != NULL ? token : "", token != NULL ? "\r\n" : "");
    char *answer = NULL;
    if (len > 0 && (size_t)len < sizeof request && send_all(fd, request, (size_t)len))
        answer = receive_all(fd);
    (void)close(fd);
    if (answer == NULL || sscanf(answer, "HTTP/1.%*1d %3u", status) != 1) {
        free(answer);
        return NULL;
    }
    char *body = strstr(answer, "\r\n\r\n");
    if (body == NULL) body = answer + strlen(answer);
    memmove(answer, body + (*body != '\0' ? 4 : 0), strlen(body) - (*body != '\0' ? 4 : 0) + 1);
    return answer;
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

int server_documents(const char *url, uint32_t timeout_ms, json_t **out)
{
    unsigned status = 0;
    if (strncmp(url, "wss://", 6) == 0)
        return failed("listing documents works over ws:// only, for now; ask on the server's own "
                      "machine");
    char *body = http_get(url, "/v1/documents", timeout_ms, &status);
    if (body == NULL) return failed("no answer from %s: is `syncline serve` running there?", url);
    *out = status == 200 ? find_list(body) : NULL;
    free(body);
    if (*out != NULL) return EXIT_DONE;
    if (status == 401 || status == 403)
        return failed("%s refuses to list its documents: give its secret in SYNCLINE_TOKEN", url);
    return failed("%s did not answer with a list of documents (HTTP status %u)", url, status);
}
