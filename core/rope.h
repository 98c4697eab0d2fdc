/* rope.h -- the text of one container: a B+tree of UTF-8 leaves.
 *
 * Counted three ways in each node: bytes, scalar values, and four-byte scalars (a UTF-16 position
 * is the scalar position plus the four-byte scalars before it).  The invariant: the concatenated
 * leaves are valid UTF-8, no leaf but the only one is empty, no scalar is cut by a leaf border.
 *
 * Reserve, then mutate: rope_reserve() is the only call that can fail; after it, edits that stay
 * within what was reserved cannot.  The last leaf edited is cached, so a caret that moves on costs
 * no descent.  Built small for stress tests by -DSYN_STRESS (leaf of 8 bytes, fan-out 4). */
#ifndef SYN_CORE_ROPE_H
#define SYN_CORE_ROPE_H

#include "mem.h"

struct rope; /* opaque; small when empty or short: see rope.c */

/* An empty rope, or NULL when memory is short.  `mem` outlives it. */
struct rope *rope_new(const syn_mem *mem);
void rope_free(struct rope *rope); /* NULL is fine */

size_t rope_bytes(const struct rope *rope);
size_t rope_len(const struct rope *rope);   /* scalar values */
size_t rope_utf16(const struct rope *rope); /* UTF-16 code units */

/* Makes sure that `edits` further calls of rope_insert / rope_delete, inserting `bytes` bytes in
 * all, find the memory they need.  SYN_ENOMEM: nothing changed. */
syn_err rope_reserve(struct rope *rope, size_t edits, size_t bytes);

/* Is it longer than one block, so that each edit needs little room, however long the text is?  Then
 * who makes many edits, and may fail between them, reserves for one at a time. */
bool rope_is_tree(const struct rope *rope);

/* Gives back what only a later edit would need; what was reserved is not any more. */
void rope_trim(struct rope *rope);

/* Inserts valid UTF-8 of `bytes` bytes and `len` scalars at scalar position pos <= rope_len. */
void rope_insert(struct rope *rope, size_t pos, const char *utf8, size_t bytes, size_t len);
/* Typing on: would one more byte at pos go to the gap of the leaf edited last, needing nothing?
 * Then rope_type puts an ASCII character there. */
bool rope_can_type(const struct rope *rope, size_t pos);
void rope_type(struct rope *rope, char ascii);
/* Deletes `len` scalars from pos; pos + len <= rope_len. */
void rope_delete(struct rope *rope, size_t pos, size_t len);

/* Calls visit(user, bytes, n) for the pieces of [pos, pos+len) from front to back. */
void rope_visit(const struct rope *rope, size_t pos, size_t len,
                void (*visit)(void *user, const char *utf8, size_t bytes), void *user);

/* Positions.  pos counts scalars, <= rope_len.  A UTF-16 or byte position inside a scalar is
 * rounded down to its start; one beyond the end gives rope_len. */
size_t rope_to_utf16(const struct rope *rope, size_t pos);
size_t rope_from_utf16(const struct rope *rope, size_t utf16);
size_t rope_to_byte(const struct rope *rope, size_t pos);
size_t rope_from_byte(const struct rope *rope, size_t byte);

/* Memory held, in bytes. */
size_t rope_footprint(const struct rope *rope);
/* Aborts with a message on a broken invariant.  For tests and syn_doc_check. */
void rope_check(const struct rope *rope);

#endif
