#include "oplog.h"

#include "utf8.h"

void oplog_free(struct oplog *log, const syn_mem *mem)
{
    array_free(mem, &log->runs);
    array_free(mem, &log->text);
    array_free(mem, &log->args);
}

void oplog_trim(struct oplog *log, const syn_mem *mem)
{
    array_fit(mem, &log->runs);
    array_fit(mem, &log->text);
    array_fit(mem, &log->args);
}

uint32_t delete_join(uint32_t *kind, uint32_t pos, uint32_t len, uint32_t more_kind,
                     uint32_t more_pos, uint32_t more_len)
{
    uint32_t direction;
    if (len > 1)
        direction = *kind;
    else if (more_pos == pos)
        direction = OP_DELETE;
    else
        direction = OP_DELETE_BACK;
    uint32_t expected = direction == OP_DELETE ? pos : pos - len;
    if (more_pos != expected || (direction == OP_DELETE_BACK && pos < len)) return 0;
    *kind = direction;
    return more_len == 1 || more_kind == direction ? more_len : 1;
}

/* Can the whole of `run` (not a delete) continue `last`, which has `last_len` events? */
static bool continues(const struct op_run *last, uint32_t last_len, const struct op_run *run)
{
    if (last->kind != run->kind || last->container != run->container) return false;
    switch (run->kind) {
    case OP_TEXT_INSERT:
    case OP_LIST_INSERT:
    case OP_LIST_SET:
        return run->pos == last->pos + last_len;
    case OP_MAP_SET:
    case OP_MAP_DELETE:
    case OP_COUNTER_ADD:
    case OP_NOTHING:
        return true;
    default:
        return false;
    }
}

/* How many events of `run` the last run takes in; may turn a single delete's direction. */
static uint32_t join_last(struct oplog *log, const struct op_run *run, uint32_t len)
{
    struct op_run *last = &log->runs.at[log->runs.n - 1];
    uint32_t last_len = log->end - last->lv;
    if (op_is_delete(run->kind)) {
        if (!op_is_delete(last->kind) || last->container != run->container) return 0;
        return delete_join(&last->kind, last->pos, last_len, run->kind, run->pos, len);
    }
    return continues(last, last_len, run) ? len : 0;
}

/* A run of what the last run did not take. */
static void append_rest(struct oplog *log, const struct op_run *run, uint32_t joined, uint32_t len)
{
    struct op_run rest = *run;
    rest.lv += joined;
    if (joined > 0) { /* one event of a delete went to the run before: the rest begins after it */
        rest.pos -= run->kind == OP_DELETE_BACK ? 1 : 0;
        rest.before -= 1;
    }
    *array_push(&log->runs) = rest;
    log->end += len - joined;
}

uint32_t oplog_append(struct oplog *log, const struct op_run *run, uint32_t len, bool joins)
{
    assert(run->lv == log->end);
    assert(len > 0);
    uint32_t joined = 0;
    if (joins && log->runs.n > 0 && run->lv != log->seal) joined = join_last(log, run, len);
    log->end += joined;
    if (joined < len) append_rest(log, run, joined, len);
    return log->runs.n - 1;
}

struct oplog_mark oplog_mark(const struct oplog *log)
{
    return (struct oplog_mark){log->end, log->text.n, log->args.n};
}

void oplog_truncate(struct oplog *log, struct oplog_mark mark)
{
    assert(mark.end <= log->end);
    while (log->runs.n > 0 && log->runs.at[log->runs.n - 1].lv >= mark.end) log->runs.n--;
    log->end = mark.end;
    log->text.n = mark.text;
    log->args.n = mark.args;
    log->last_hit = 0;
}

uint32_t oplog_find(const struct oplog *log, lv_t lv)
{
    assert(lv < log->end);
    uint32_t low = 0, high = log->runs.n;
    if (high > 0 && log->runs.at[high - 1].lv <= lv) return high - 1;
    while (high - low > 1) {
        uint32_t middle = low + (high - low) / 2;
        if (log->runs.at[middle].lv <= lv)
            low = middle;
        else
            high = middle;
    }
    return low;
}

uint32_t oplog_wide_bytes(const struct oplog *log, uint32_t at, uint32_t scalars)
{
    if (scalars == 0) return 0;
    /* To the last scalar and over it, not to the next: bytes of a value may follow that look like
     * its continuation. */
    size_t last = utf8_offset(log->text.at + at, log->text.n - at, scalars - 1);
    unsigned char lead = (unsigned char)log->text.at[at + last];
    return (uint32_t)last + (lead < 0x80 ? 1 : lead < 0xE0 ? 2 : lead < 0xF0 ? 3 : 4);
}

void oplog_skip(const struct oplog *log, struct op_piece *piece, uint32_t skip)
{
    piece->from += skip;
    switch (piece->kind) {
    case OP_TEXT_INSERT:
        piece->pos += skip;
        piece->at += oplog_text_bytes(log, piece->at, skip);
        break;
    case OP_LIST_INSERT:
    case OP_LIST_SET:
        piece->pos += skip;
        piece->at += skip;
        break;
    case OP_DELETE_BACK:
        piece->pos -= skip;
        break;
    case OP_MAP_SET:
    case OP_MAP_DELETE:
    case OP_COUNTER_ADD:
        piece->at += skip;
        break;
    default: /* DELETE, NOTHING: nothing moves; unknown: one arg for the whole run */
        break;
    }
}
