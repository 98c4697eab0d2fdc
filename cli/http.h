/* http.h -- one GET to a server's HTTP side. */
#ifndef SYN_CLI_HTTP_H
#define SYN_CLI_HTTP_H

#include "cli.h"

#include <jansson.h>

/* The list of documents of a server: an array of objects with name, events, bytes.  EXIT_DONE, or
 * what was said. */
int server_documents(const char *url, uint32_t timeout_ms, json_t **out);

#endif
