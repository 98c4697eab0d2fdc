/* http_raw.h -- requests as bytes, and what came back. */
#ifndef TEST_NET_HTTP_RAW_H
#define TEST_NET_HTTP_RAW_H

#include "raw_ws.h"
#include "syncline_server.h"

struct http_got {
    int status; /* 0: no answer */
    char *head, *body;
};

/* Reads one answer; what follows it stays in the socket. */
struct http_got http_read(int fd);
void http_drop(struct http_got *got);
/* The value of a header, borrowed from a static buffer; "" if it is not there. */
const char *http_header(const struct http_got *got, const char *name);
bool http_write(int fd, const void *bytes, size_t len);

/* METHOD and target, further header lines, and a body (NULL: none), to its own connection. */
struct http_got http_do(const syn_server *server, const char *line, const char *extra,
                        const char *body);
void http_expect(const syn_server *server, const char *line, const char *extra, const char *body,
                 int status, const char *contains);

syn_server *http_start(syn_server_config config);

#endif
