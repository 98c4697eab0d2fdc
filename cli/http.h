/* http.h -- GETs to a server's HTTP side. */
#ifndef SYN_CLI_HTTP_H
#define SYN_CLI_HTTP_H

#include "cli.h"

#include <jansson.h>

/* The text of a page, NUL-terminated, malloced; EXIT_DONE, or what was said. */
int server_page(const char *url, const char *path, uint32_t timeout_ms, char **out);

/* The list of documents of a server: an array of objects with name, events, bytes.  EXIT_DONE, or
 * what was said. */
int server_documents(const char *url, uint32_t timeout_ms, json_t **out);

#endif
