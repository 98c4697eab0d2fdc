/* examples.h -- the frames that are kept as bytes under tests/golden/v1 and shown in PROTOCOL.md.
 */
#ifndef SYN_TESTS_EXAMPLES_H
#define SYN_TESTS_EXAMPLES_H

#include "proto.h"

struct example {
    const char *name;
    void (*encode)(syn_buf *out); /* one whole Frame */
};
extern const struct example examples[];
extern const size_t example_count;

/* The channel's tables that the examples stand in: peer 1, and the root (name "", TEXT). */
bool example_tables(void *user, uint32_t channel, struct proto_tables *out);

/* Appends the bytes as hex, one field a line, with what each is. */
void annotate_frame(syn_buf *out, const void *frame, size_t len);
/* Reads such text back: hex digits up to a '#' on each line.  False: not hex. */
bool read_hex(syn_buf *out, const char *text, size_t len);

#endif
