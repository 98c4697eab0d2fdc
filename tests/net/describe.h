/* describe.h -- a frame in one readable line. */
#ifndef TEST_NET_DESCRIBE_H
#define TEST_NET_DESCRIBE_H

#include "proto.h"

#include <stdio.h>

void describe_frame(FILE *out, const void *bytes, size_t len);

#endif
