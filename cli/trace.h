/* trace.h -- recorded editing sessions: who edited what, knowing what.
 *
 * A trace file (gzip, "CTRACE 1") holds records; a record is an event graph cut into transactions:
 *
 *     txns      | agent 0, parents {}, patches a..b | agent 1, parents {0}, patches b..c | ...
 *     parents   one flat array of txn numbers, a slice per txn
 *     patches   one flat array of (pos, delete, insert), a slice per txn, applied one after another
 *     checks    text expected at "txn and all its ancestors", ascending by txn
 *
 * All strings point into the file's one buffer, unescaped in place.  Events are numbered per agent:
 * a txn covers the agent's events [seq, seq + len), so that (agent + 1, seq) is the event id that
 * replicas use, and smaller agents stand left among concurrent siblings. */
#ifndef SYN_CLI_TRACE_H
#define SYN_CLI_TRACE_H

#include "change.h"

struct trace_patch {
    uint32_t pos, removed, inserted; /* scalar values */
    syn_str text;
};

struct trace_txn {
    uint32_t agent;
    uint32_t parent, parent_count; /* slice of parents */
    uint32_t patch, patch_count;   /* slice of patches */
    uint32_t seq, len;             /* the agent's events; len 0: a txn that changed nothing */
};

struct trace_check {
    uint32_t txn;
    bool literal;
    syn_str text; /* literal: the text; else sha256 in hexadecimal */
    uint64_t chars, bytes;
};

struct trace_record {
    const char *name;
    bool linear; /* every parent is the previous txn */
    uint32_t agents;
    struct trace_txn *txns;
    uint32_t txn_count;
    uint32_t *parents;
    uint32_t parent_count;
    struct trace_patch *patches;
    uint32_t patch_count;
    struct trace_check *checks;
    uint32_t check_count;
    struct trace_check final; /* F */
    bool has_literal;         /* E */
    syn_str literal;
    uint64_t events;
};

struct trace {
    char *buffer;
    struct trace_record *records;
    uint32_t count;
};

/* Reads a whole file.  SYN_EIO, SYN_EMALFORMED, SYN_ENOMEM; why[256] says what and on which line.
 */
syn_err trace_read(const char *path, struct trace *out, char why[256]);
void trace_free(struct trace *trace);

/* A set of txns as one change set, built by hand from the record; ascending order.  The tables are
 * kept between calls. */
struct trace_set {
    syn_changes set;
    uint64_t *peers;
    uint32_t *peer_index; /* per agent: 1 + index in peers */
    struct change_run *runs;
    struct change_dep *deps;
    struct change_op *ops;
    char *text;
    size_t run_cap, dep_cap, op_cap, text_cap;
};
syn_err trace_set_new(struct trace_set *set, const struct trace_record *record);
void trace_set_free(struct trace_set *set);
syn_err trace_set_fill(struct trace_set *set, const struct trace_record *record,
                       const uint32_t *txns, uint32_t count);

/* Does the text have this sha256 (or is it literally this)?  hex: 65 bytes, the text's own. */
bool trace_matches(const struct trace_check *check, uint64_t chars, const char *text, size_t bytes);
void trace_sha256(const char *text, size_t bytes, char hex[65]);

#endif
