/* ws_progress.h -- whether a request was read from its socket together with the one before it.
 *
 * libwebsockets 4.1.6 keeps what it read and did not use yet, and then reads the headers of the
 * next request out of that.  If this one has a body, it takes the headers for the body once more,
 * and if there are enough of them, it never returns.  So such a request must not come that far.
 * What was kept it does not tell; the kernel tells how much it gave away. */
#ifndef SYN_WS_PROGRESS_H
#define SYN_WS_PROGRESS_H

#include <stdbool.h>
#include <stdint.h>

struct ws_progress { /* of one connection; all zero: nothing was asked yet */
    uint64_t read;   /* bytes that had been read when the last request or its body was there */
    bool asked;
};

/* A request's headers, or its body, are there. */
void ws_progress_mark(struct ws_progress *progress, int fd);
/* The same for headers; false: nothing was read for them, they stood behind something. */
bool ws_progress_fresh(struct ws_progress *progress, int fd);

#endif
