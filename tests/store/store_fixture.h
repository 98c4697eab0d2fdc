/* store_fixture.h -- a folder of its own per test, and documents whose contents say what they are.
 */
#ifndef SYN_TESTS_STORE_FIXTURE_H
#define SYN_TESTS_STORE_FIXTURE_H

#include "store.h"

#include <check.h>

extern char fixture_folder[128]; /* made by fixture_setup, removed by fixture_teardown */
void fixture_setup(void);
void fixture_teardown(void);
/* FOLDER/name, valid until the 16th call after. */
const char *fixture_path(const char *name);

extern const uint8_t fixture_id[STORE_ID_BYTES], lineage_a[STORE_LINEAGE_BYTES],
    lineage_b[STORE_LINEAGE_BYTES];

uint64_t fixture_random(uint64_t *seed);
/* How many rounds of what is done `count` times by default; SYN_SEEDS multiplies. */
unsigned fixture_rounds(unsigned count);

store_options options_of(const char *path); /* NULL: memory; create, fast commits */
syn_store *open_ok(const char *path);
store_turn *turn_of(syn_store *store);
int64_t make_doc(syn_store *store, const char *name, const uint8_t *lineage);
struct store_doc find_doc(syn_store *store, const char *name);

/* Event n of a document, as text that only it has; the log of `count` such events is checked. */
syn_str event_text(const char *name, uint32_t n, char out[64]);
syn_err append_event(syn_store *store, const char *name, uint32_t n);
uint32_t check_log(syn_store *store, const char *name); /* returns the events */

/* The pieces of a walk as text: "[0,3)abc [3,4)d*+e" (* packed, + effects). */
struct transcript {
    char text[4096];
    size_t len;
};
syn_err transcribe(void *user, const struct store_piece *piece);
const char *log_text(syn_store *store, int64_t doc, uint32_t from, uint32_t end);
const char *snapshot_text(syn_store *store, int64_t doc);

/* fsck; its sentences as lines. */
const char *fsck_text(syn_store *store);
void fsck_clean(syn_store *store);

#endif
