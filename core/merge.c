#include "merge.h"

struct sequence_merge *merge_new(const syn_mem *mem)
{
    struct sequence_merge *merge = mem_zalloc(mem, sizeof *merge);
    if (merge == NULL) return NULL;
    merge->tracker = tracker_new(mem);
    if (merge->tracker == NULL) {
        mem_free(mem, merge, sizeof *merge);
        return NULL;
    }
    merge->window = LV_NONE; /* no window chosen yet */
    return merge;
}

void merge_free(struct sequence_merge *merge, const syn_mem *mem)
{
    if (merge == NULL) return;
    tracker_free(merge->tracker);
    array_free(mem, &merge->prepare);
    array_free(mem, &merge->runs);
    array_free(mem, &merge->retreat);
    array_free(mem, &merge->advance);
    array_free(mem, &merge->deletes);
    mem_free(mem, merge, sizeof *merge);
}

size_t merge_footprint(const struct sequence_merge *merge)
{
    if (merge == NULL) return 0;
    return sizeof *merge + tracker_footprint(merge->tracker) +
           (size_t)merge->prepare.cap * sizeof(lv_t) +
           (size_t)merge->runs.cap * sizeof(struct fed_run) +
           ((size_t)merge->retreat.cap + merge->advance.cap) * sizeof(struct lv_range) +
           (size_t)merge->deletes.cap * sizeof(struct tracker_effect);
}

/* Index of the first op run of the container that ends above lv. */
static uint32_t first_run_above(const struct merge_source *source, lv_t lv)
{
    uint32_t low = 0, high = source->run_count;
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        if (oplog_run_end(source->log, source->runs[middle]) > lv)
            high = middle;
        else
            low = middle + 1;
    }
    return low;
}

/* The length of the sequence at the critical version window - 1.  Up to there every operation acted
 * on the whole document, so a run cut by the window changed the length by one an event. */
static uint32_t length_at(const struct merge_source *source, lv_t window)
{
    uint32_t index = first_run_above(source, window);
    if (index == source->run_count) return source->len;
    const struct op_run *run = &source->log->runs.at[source->runs[index]];
    uint32_t before = run->lv < window ? window - run->lv : 0;
    if (op_is_delete(run->kind)) return run->before - before;
    return run->kind == OP_LIST_SET ? run->before : run->before + before;
}

static syn_err begin_window(struct sequence_merge *merge, const struct merge_source *source,
                            lv_t window)
{
    syn_err err = tracker_reset(merge->tracker, length_at(source, window));
    if (err == SYN_OK) {
        merge->prepare.n = 0;
        err = array_reserve(source->mem, &merge->prepare, 1);
    }
    if (err != SYN_OK) return err;
    if (window > 0) *array_push(&merge->prepare) = window - 1;
    merge->window = merge->fed = window;
    merge->runs.n = 0;
    return SYN_OK;
}

static syn_err choose_window(struct sequence_merge *merge, const struct merge_source *source,
                             const lv_t *parents, uint32_t count)
{
    lv_t critical = count == 0 ? LV_NONE : graph_critical_at_or_before(source->graph, parents[0]);
    lv_t window = critical == LV_NONE ? 0 : critical + 1;
    bool usable = merge->window != LV_NONE && merge->window <= window && window < merge->fed;
    return usable ? SYN_OK : begin_window(merge, source, window);
}

/* Calls retreat or advance for what was fed of [range). */
static syn_err move_range(struct sequence_merge *merge, struct lv_range range,
                          syn_err (*move)(struct tracker *, uint32_t, uint32_t))
{
    uint32_t low = 0, high = merge->runs.n;
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        if (merge->runs.at[middle].lv + merge->runs.at[middle].len > range.from)
            high = middle;
        else
            low = middle + 1;
    }
    for (; low < merge->runs.n && merge->runs.at[low].lv < range.end; low++) {
        const struct fed_run *run = &merge->runs.at[low];
        lv_t from = run->lv > range.from ? run->lv : range.from;
        lv_t end = run->lv + run->len < range.end ? run->lv + run->len : range.end;
        syn_err err = move(merge->tracker, run->id + (from - run->lv), end - from);
        if (err != SYN_OK) return err;
    }
    return SYN_OK;
}

static syn_err move_prepare(struct sequence_merge *merge, const struct merge_source *source,
                            const lv_t *to, uint32_t count)
{
    if (count == merge->prepare.n &&
        (count == 0 || memcmp(to, merge->prepare.at, count * sizeof *to) == 0))
        return SYN_OK;
    syn_err err = graph_diff(source->graph, merge->prepare.at, merge->prepare.n, to, count,
                             &merge->retreat, &merge->advance);
    for (uint32_t i = merge->retreat.n; err == SYN_OK && i-- > 0;)
        err = move_range(merge, merge->retreat.at[i], tracker_retreat);
    for (uint32_t i = 0; err == SYN_OK && i < merge->advance.n; i++)
        err = move_range(merge, merge->advance.at[i], tracker_advance);
    if (err == SYN_OK) {
        merge->prepare.n = 0;
        err = array_reserve(source->mem, &merge->prepare, count);
    }
    if (err != SYN_OK) return err;
    for (uint32_t i = 0; i < count; i++) *array_push(&merge->prepare) = to[i];
    return SYN_OK;
}

static syn_err move_to_parents(struct sequence_merge *merge, const struct merge_source *source,
                               lv_t lv)
{
    const lv_t *parents;
    lv_t previous;
    uint32_t count = graph_parents(source->graph, lv, &parents, &previous);
    return move_prepare(merge, source, parents, count);
}

/* Room to note that the piece was fed; noted by fed_note. */
static syn_err fed_reserve(struct sequence_merge *merge, const struct merge_source *source)
{
    syn_err err = array_reserve(source->mem, &merge->runs, 1);
    return err == SYN_OK ? array_reserve(source->mem, &merge->prepare, 1) : err;
}

static void fed_note(struct sequence_merge *merge, const struct op_piece *piece, uint32_t id)
{
    uint32_t len = piece->end - piece->from;
    struct fed_run *last = merge->runs.n > 0 ? &merge->runs.at[merge->runs.n - 1] : NULL;
    if (last != NULL && last->lv + last->len == piece->from && last->id + last->len == id)
        last->len += len;
    else
        *array_push(&merge->runs) = (struct fed_run){piece->from, id, len};
    merge->fed = piece->end;
    merge->prepare.n = 0;
    *array_push(&merge->prepare) = piece->end - 1;
}

syn_err merge_insert(struct sequence_merge *merge, const struct merge_source *source,
                     const struct op_piece *piece, uint32_t *at_pos)
{
    uint32_t agent, seq, id = tracker_next_id(merge->tracker);
    graph_id(source->graph, piece->from, &agent, &seq);
    syn_err err = fed_reserve(merge, source);
    if (err != SYN_OK) return err;
    struct tracker_effect effect;
    err = tracker_insert(merge->tracker, graph_agent_peer(source->graph, agent), piece->pos,
                         piece->end - piece->from, &effect);
    if (err != SYN_OK) return err;
    *at_pos = effect.pos;
    fed_note(merge, piece, id);
    return SYN_OK;
}

syn_err merge_delete(struct sequence_merge *merge, const struct merge_source *source,
                     const struct op_piece *piece)
{
    uint32_t id = tracker_next_id(merge->tracker);
    syn_err err = fed_reserve(merge, source);
    merge->deletes.n = 0;
    if (err == SYN_OK)
        err = tracker_delete(merge->tracker, piece->pos, piece->end - piece->from,
                             piece->kind == OP_DELETE_BACK, &merge->deletes);
    if (err == SYN_OK) fed_note(merge, piece, id);
    return err;
}

syn_err merge_set(struct sequence_merge *merge, const struct merge_source *source,
                  const struct op_piece *piece, uint32_t *where)
{
    uint32_t id = tracker_next_id(merge->tracker);
    syn_err err = fed_reserve(merge, source);
    if (err == SYN_OK)
        err = tracker_set(merge->tracker, piece->pos, piece->end - piece->from, where);
    if (err == SYN_OK) fed_note(merge, piece, id);
    return err;
}

/* Feeds a piece that was applied before: only the tracker's state matters.  Sets change nothing,
 * and need no id. */
static syn_err feed_applied(struct sequence_merge *merge, const struct merge_source *source,
                            const struct op_piece *piece)
{
    uint32_t ignored;
    if (piece->kind == OP_LIST_SET) {
        merge->fed = piece->end;
        return SYN_OK;
    }
    syn_err err = move_to_parents(merge, source, piece->from);
    if (err != SYN_OK) return err;
    return piece->kind == OP_TEXT_INSERT || piece->kind == OP_LIST_INSERT
               ? merge_insert(merge, source, piece, &ignored)
               : merge_delete(merge, source, piece);
}

bool merge_is_stale(const struct sequence_merge *merge, lv_t now)
{
    if (merge->window == LV_NONE) return true;
    return now - merge->fed > merge->fed - merge->window + 64;
}

syn_err merge_prepare(struct sequence_merge *merge, const struct merge_source *source,
                      const struct op_piece *piece)
{
    const lv_t *parents;
    lv_t previous;
    uint32_t count = graph_parents(source->graph, piece->from, &parents, &previous);
    syn_err err = choose_window(merge, source, parents, count);
    bool all_fed = merge->fed == piece->from; /* as it is within one change: no search */
    uint32_t index = all_fed ? source->run_count : first_run_above(source, merge->fed);
    for (; err == SYN_OK && index < source->run_count; index++) {
        const struct op_run *run = &source->log->runs.at[source->runs[index]];
        lv_t from = run->lv > merge->fed ? run->lv : merge->fed;
        if (from >= piece->from) break;
        lv_t end = oplog_run_end(source->log, source->runs[index]);
        if (end > piece->from) end = piece->from;
        struct op_piece applied = oplog_piece(source->log, source->runs[index], from, end);
        err = feed_applied(merge, source, &applied);
    }
    return err == SYN_OK ? move_to_parents(merge, source, piece->from) : err;
}
