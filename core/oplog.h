/* oplog.h -- what the events did, in the order they came here (LV order).
 *
 * One entry per run of like operations; a run never crosses a border between graph runs, so its
 * first event's parents are the graph run's, or the event before it.  A run has no length: it ends
 * where the next one begins.
 *
 *     runs   [lv 0 INSERT pos 0 at 0] [lv 5 DELETE pos 4] [lv 7 MAP_SET at 0] ...
 *     text   "hello" ...              content of inserts, strings and bytes of values
 *     args   {key, value} ...         one per event that takes a key or a value
 *
 * Append-only; taking events back is setting counts back (oplog_truncate). */
#ifndef SYN_CORE_OPLOG_H
#define SYN_CORE_OPLOG_H

#include "change.h"
#include "graph.h"
#include "names.h"

/* Does the kind take one arg per event? */
static inline bool op_takes_args(uint32_t kind)
{
    switch (kind) {
    case OP_MAP_SET:
    case OP_MAP_DELETE:
    case OP_LIST_INSERT:
    case OP_LIST_SET:
    case OP_COUNTER_ADD:
    case OP_FIRST_UNKNOWN:
        return true;
    default:
        return false;
    }
}
/* Does each of its events take a key, a value, of a change set? */
static inline bool op_takes_key(uint32_t kind)
{
    return kind == OP_MAP_SET || kind == OP_MAP_DELETE;
}
static inline bool op_takes_value(uint32_t kind)
{
    return kind == OP_MAP_SET || kind == OP_LIST_INSERT || kind == OP_LIST_SET ||
           kind == OP_COUNTER_ADD;
}
static inline bool op_is_delete(uint32_t kind)
{
    return kind == OP_DELETE || kind == OP_DELETE_BACK;
}

/* A value (and the key it is written under), with its bytes in oplog.text. */
struct op_arg {
    uint32_t key;  /* name number; OP_FIRST_UNKNOWN: the real kind */
    uint32_t kind; /* syn_value_kind; OP_FIRST_UNKNOWN: op_arg */
    union {
        int64_t i;
        double real;
        struct {
            uint32_t off, len;
        } blob;
        struct {
            uint32_t kind; /* of the child container */
            syn_obj obj;
        } child;
    } as;
};

struct op_run {
    lv_t lv;
    uint32_t pos;       /* at the parents of the first event */
    uint32_t at;        /* TEXT_INSERT: offset in text; others: first index in args */
    uint32_t before;    /* sequences: length of the container when the run was applied; exact at
                           critical versions */
    uint32_t container; /* SYN_NO_OBJ: OP_NOTHING */
    uint32_t kind;      /* enum op_kind; OP_FIRST_UNKNOWN for all unknown ones */
};

struct oplog {
    ARRAY(struct op_run) runs;
    ARRAY(char) text;
    ARRAY(struct op_arg) args;
    lv_t end;  /* LVs covered: [0, end) */
    bool wide; /* some text is not ASCII: offsets must be counted */
    lv_t seal; /* the event here begins a run of its own: what text and args end with before it is
                  no event's (compare.c puts there what its records tell) */
    uint32_t last_hit;
};

struct oplog_mark {
    lv_t end;
    uint32_t text, args;
};

void oplog_free(struct oplog *log, const syn_mem *mem);
void oplog_trim(struct oplog *log, const syn_mem *mem); /* gives spare room back */
/* Room for `runs` runs, `text` bytes and `args` args; after that the appends below cannot fail. */
static inline syn_err oplog_reserve(struct oplog *log, const syn_mem *mem, uint32_t runs,
                                    size_t text, uint32_t args)
{
    syn_err err = array_reserve(mem, &log->runs, runs);
    if (err == SYN_OK && text > 0) err = array_reserve(mem, &log->text, text);
    if (err == SYN_OK && args > 0) err = array_reserve(mem, &log->args, args);
    return err;
}

/* Content, for which room was reserved; returns where it begins. */
static inline uint32_t oplog_push_text(struct oplog *log, syn_str bytes)
{
    uint32_t at = log->text.n;
    if (bytes.len == 1) /* a keystroke; not worth a call */
        log->text.at[at] = bytes.data[0];
    else if (bytes.len > 0)
        memcpy(log->text.at + at, bytes.data, bytes.len);
    log->text.n += (uint32_t)bytes.len;
    return at;
}

/* Appends `len` events as a run of their own: they do not continue a graph run. */
static inline void oplog_begin_run(struct oplog *log, const struct op_run *run, uint32_t len)
{
    *array_push(&log->runs) = *run;
    log->end += len;
}

/* Appends `len` events.  joins: the first event continues the graph run of the event before it.
 * Text and args were pushed by the caller just before, in order.  Returns the index of the run that
 * now holds the last of the events. */
uint32_t oplog_append(struct oplog *log, const struct op_run *run, uint32_t len, bool joins);

/* Does the edit, whose event follows the last one, only lengthen the last run: typing on, or one
 * more backspace?  (oplog_append knows all other ways, too.) */
static inline bool oplog_goes_on(const struct oplog *log, const struct op_run *run, uint32_t len)
{
    if (log->runs.n == 0 || run->lv == log->seal) return false;
    const struct op_run *last = &log->runs.at[log->runs.n - 1];
    if (last->container != run->container) return false;
    uint32_t have = log->end - last->lv;
    if (run->kind == OP_TEXT_INSERT)
        return last->kind == OP_TEXT_INSERT && run->pos == last->pos + have;
    return run->kind == OP_DELETE && last->kind == OP_DELETE_BACK && len == 1 &&
           run->pos + have == last->pos;
}

/* Would the edit, which follows the last event, certainly begin a run of its own: one deletes and
 * the other does not, or it is not where the last run leaves the caret?  (What is left, among it
 * all other kinds, oplog_append decides.) */
static inline bool oplog_turns(const struct oplog *log, const struct op_run *run)
{
    if (log->runs.n == 0) return false;
    const struct op_run *last = &log->runs.at[log->runs.n - 1];
    uint32_t have = log->end - last->lv;
    bool deletes = op_is_delete(run->kind);
    if (deletes != op_is_delete(last->kind)) return true;
    if (deletes) return run->pos != last->pos && run->pos + have != last->pos;
    return run->kind == OP_TEXT_INSERT && run->pos != last->pos + have;
}

struct oplog_mark oplog_mark(const struct oplog *log);
void oplog_truncate(struct oplog *log, struct oplog_mark mark);

uint32_t oplog_find(const struct oplog *log, lv_t lv); /* index of the run of lv */
static inline lv_t oplog_run_end(const struct oplog *log, uint32_t run)
{
    return run + 1 < log->runs.n ? log->runs.at[run + 1].lv : log->end;
}

/* A clipped run: events [from, end) of one run as a run of its own. */
struct op_piece {
    lv_t from, end;
    uint32_t kind, container, pos, at;
};
/* Makes a piece that begins with its run begin `skip` events later. */
void oplog_skip(const struct oplog *log, struct op_piece *piece, uint32_t skip);
static inline struct op_piece oplog_piece(const struct oplog *log, uint32_t run, lv_t from,
                                          lv_t end)
{
    const struct op_run *op = &log->runs.at[run];
    struct op_piece piece = {op->lv, end, op->kind, op->container, op->pos, op->at};
    assert(from >= op->lv && end <= oplog_run_end(log, run) && from < end);
    if (from > op->lv) oplog_skip(log, &piece, from - op->lv);
    return piece;
}
/* Bytes of `scalars` scalars of content from offset `at`. */
uint32_t oplog_wide_bytes(const struct oplog *log, uint32_t at, uint32_t scalars);
static inline uint32_t oplog_text_bytes(const struct oplog *log, uint32_t at, uint32_t scalars)
{
    return log->wide ? oplog_wide_bytes(log, at, scalars) : scalars;
}

/* The positions deleted by (kind, pos, len), joined behind those of *out: how many events of the
 * second can continue the first as one run (0, 1 or all), making *kind FORWARD or BACK.  The rule
 * is the same in the log and on the wire (PROTOCOL.md, "Canonical form"): runs are as long as
 * possible from the front, event by event. */
uint32_t delete_join(uint32_t *kind, uint32_t pos, uint32_t len, uint32_t more_kind,
                     uint32_t more_pos, uint32_t more_len);

#endif
