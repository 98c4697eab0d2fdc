/* samples.h -- random but valid messages, made by hand and not by decoding, for the tests of
 * proto/.
 *
 * Everything lives in a struct samples until the next samples_reset().  The same seed makes the
 * same messages on every machine. */
#ifndef SYN_TESTS_SAMPLES_H
#define SYN_TESTS_SAMPLES_H

#include "proto.h"

struct samples {
    uint64_t state; /* of the generator */
    void *blocks[4096];
    size_t block_count;
    uint32_t size; /* how large: 1 tiny .. 100 */
};

void samples_begin(struct samples *s, uint64_t seed, uint32_t size);
void samples_reset(struct samples *s);
uint64_t samples_random(struct samples *s);
uint32_t samples_below(struct samples *s, uint32_t n);

void sample_changes(struct samples *s, syn_changes *out);
/* own = true: only kinds that a snapshot of this version can hold anyway. */
void sample_snapshot(struct samples *s, syn_snapshot *out);
void sample_frame(struct samples *s, enum frame_kind kind, struct frame *out);

#endif
