#include "http_raw.h"

#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

const char *http_header(const struct http_got *got, const char *name)
{
    static char value[512];
    size_t len = strlen(name);
    value[0] = '\0';
    for (const char *at = strstr(got->head, "\r\n"); at != NULL; at = strstr(at, "\r\n")) {
        at += 2;
        if (strncasecmp(at, name, len) != 0 || at[len] != ':') continue;
        at += len + 1 + strspn(at + len + 1, " ");
        snprintf(value, sizeof value, "%.*s", (int)strcspn(at, "\r"), at);
        return value;
    }
    return value;
}

bool http_write(int fd, const void *bytes, size_t len)
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

struct http_got http_read(int fd)
{
    struct http_got got = {.head = calloc(1, 8192)};
    size_t len = 0;
    while (len < 8191 && strstr(got.head, "\r\n\r\n") == NULL &&
           recv(fd, got.head + len, 1, 0) == 1)
        len++;
    if (strncmp(got.head, "HTTP/1.", 7) == 0) got.status = atoi(got.head + 9);
    size_t size = (size_t)atol(http_header(&got, "content-length"));
    got.body = calloc(1, size + 1);
    for (size_t at = 0; at < size;) {
        ssize_t n = recv(fd, got.body + at, size - at, 0);
        if (n <= 0) break;
        at += (size_t)n;
    }
    return got;
}

void http_drop(struct http_got *got)
{
    free(got->head);
    free(got->body);
}

struct http_got http_do(const syn_server *server, const char *line, const char *extra,
                        const char *body)
{
    int fd = raw_connect(syn_server_port(server));
    size_t len = body != NULL ? strlen(body) : 0, cap = strlen(line) + strlen(extra) + len + 200;
    char *text = malloc(cap), length[80] = "";
    if (body != NULL) snprintf(length, sizeof length, "Content-Length: %zu\r\n", len);
    int n = snprintf(text, cap, "%s HTTP/1.1\r\nHost: localhost\r\n%s%s\r\n%s", line, extra, length,
                     body != NULL ? body : "");
    http_write(fd, text, (size_t)n);
    struct http_got got = http_read(fd);
    free(text);
    close(fd);
    return got;
}

void http_expect(const syn_server *server, const char *line, const char *extra, const char *body,
                 int status, const char *contains)
{
    struct http_got got = http_do(server, line, extra, body);
    ck_assert_msg(got.status == status, "%.80s: %d, not %d: %s", line, got.status, status,
                  got.body);
    ck_assert_msg(strstr(got.body, contains) != NULL, "%.80s: %s", line, got.body);
    http_drop(&got);
}

static void no_log(void *user, const char *line)
{
    (void)user;
    (void)line;
}

syn_server *http_start(syn_server_config config)
{
    syn_server *server = NULL;
    char detail[256];
    config.listen = "127.0.0.1:0";
    if (config.seed == 0) config.seed = 7;
    if (config.log == NULL) config.log = no_log;
    syn_err err = syn_server_start(&server, &config, detail);
    ck_assert_msg(err == SYN_OK, "%s: %s", syn_errname(err), detail);
    return server;
}
