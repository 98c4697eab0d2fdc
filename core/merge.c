/* merge.c -- feeding the tracker of one sequence (merge.h). */
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
    if (SHORT_CUTS) stands_free(&merge->stands, mem);
    array_free(mem, &merge->prepare);
    array_free(mem, &merge->retreat);
    array_free(mem, &merge->advance);
    array_free(mem, &merge->order);
    array_free(mem, &merge->deletes);
    mem_free(mem, merge, sizeof *merge);
}

size_t merge_footprint(const struct sequence_merge *merge)
{
    if (merge == NULL) return 0;
    return sizeof *merge + tracker_footprint(merge->tracker) + stands_footprint(&merge->stands) +
           (size_t)merge->prepare.cap * sizeof(lv_t) +
           ((size_t)merge->retreat.cap + merge->advance.cap + merge->order.cap) *
               sizeof(struct lv_range) +
           (size_t)merge->deletes.cap * sizeof(struct tracker_effect);
}

uint32_t merge_first_run_above(const struct merge_source *source, lv_t lv)
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

/* Up to there every operation acted on the whole document, so a run cut by the window changed the
 * length by one an event. */
uint32_t merge_length_at(const struct merge_source *source, lv_t window)
{
    uint32_t index = merge_first_run_above(source, window);
    if (index == source->run_count) return source->len;
    const struct op_run *run = &source->log->runs.at[source->runs[index]];
    uint32_t before = run->lv < window ? window - run->lv : 0;
    if (op_is_delete(run->kind)) return run->before - before;
    return run->kind == OP_LIST_SET ? run->before : run->before + before;
}

static syn_err begin_window(struct sequence_merge *merge, const struct merge_source *source,
                            lv_t window)
{
    if (SHORT_CUTS) stands_free(&merge->stands, source->mem); /* no others, without short cuts */
    merge->base_len = merge_length_at(source, window);
    syn_err err = tracker_reset(merge->tracker, merge->base_len);
    merge->prepare.n = 0;
    if (err == SYN_OK) err = array_reserve(source->mem, &merge->prepare, 1);
    if (err != SYN_OK) return err;
    if (window > 0) *array_push(&merge->prepare) = window - 1;
    merge->window = merge->fed = merge->used = window;
    merge->row = DENSE_NONE;
    return SYN_OK;
}

/* ---- The work done so far */

static syn_err spend(const struct merge_source *source, uint64_t steps)
{
    source->work->done += steps;
    return source->work->done <= source->work->limit ? SYN_OK : SYN_ELIMIT;
}

/* ---- Moving the prepare version */

/* Takes [range) out of the prepare version or puts it in, as far as it lies in the window. */
static syn_err move_range(struct sequence_merge *merge, struct lv_range range,
                          syn_err (*move)(struct tracker *, uint32_t, uint32_t))
{
    lv_t from = range.from > merge->window ? range.from : merge->window;
    return from < range.end ? move(merge->tracker, merge_id(merge, from), range.end - from)
                            : SYN_OK;
}

static bool is_prepared_at(const struct sequence_merge *merge, const struct event_origin *to)
{
    uint32_t same = 0;
    if (to->parent_count != merge->prepare.n) return false;
    while (same < to->parent_count && to->parents[same] == merge->prepare.at[same]) same++;
    return same == to->parent_count;
}

/* From the prepare version to another: takes out what is in merge->retreat, puts in what is in
 * merge->advance. */
static syn_err move(struct sequence_merge *merge, const struct merge_source *source)
{
    syn_err err = SYN_OK;
    for (uint32_t i = merge->retreat.n; err == SYN_OK && i-- > 0;)
        err = move_range(merge, merge->retreat.at[i], tracker_retreat);
    for (uint32_t i = 0; err == SYN_OK && i < merge->advance.n; i++)
        err = move_range(merge, merge->advance.at[i], tracker_advance);
    if (err != SYN_OK) return err;
    return spend(source,
                 tracker_take_work(merge->tracker) + merge->retreat.n + merge->advance.n + 1);
}

/* Do events come by turns from whichever branch?  Many at once come branch after branch. */
static bool comes_by_turns(const struct sequence_merge *merge, const struct merge_source *source)
{
    return SHORT_CUTS && (merge->in_order || source->log->end - merge->fed < VISIT_MIN);
}

static syn_err prepare_at(struct sequence_merge *merge, const struct merge_source *source,
                          const struct event_origin *to)
{
    if (is_prepared_at(merge, to)) return SYN_OK;
    bool by_turns = comes_by_turns(merge, source);
    if (by_turns && stands_swap(&merge->stands, &merge->tracker, &merge->prepare, to->parents,
                                to->parent_count)) {
        merge->row = DENSE_NONE;
        if (is_prepared_at(merge, to)) return SYN_OK;
    } else if (by_turns) {
        stands_leave(&merge->stands, source->mem, merge->tracker, &merge->prepare);
    }
    uint64_t steps = graph_steps(source->graph), before = source->work->done;
    syn_err err = graph_diff(source->graph, merge->prepare.at, merge->prepare.n, to->parents,
                             to->parent_count, &merge->retreat, &merge->advance);
    if (err == SYN_OK) err = move(merge, source);
    if (by_turns) stands_went(&merge->stands, source->work->done - before);
    merge->prepare.n = 0;
    if (err == SYN_OK) err = array_reserve(source->mem, &merge->prepare, to->parent_count + 1);
    if (err == SYN_OK) err = spend(source, graph_steps(source->graph) - steps);
    if (err != SYN_OK) return err;
    for (uint32_t i = 0; i < to->parent_count; i++) *array_push(&merge->prepare) = to->parents[i];
    return SYN_OK;
}

/* Of a window that had begun before its rows were made: where its last event stands among them. */
static syn_err find_row(struct sequence_merge *merge, const struct merge_source *source,
                        const struct dense *dense)
{
    if (merge->row != DENSE_NONE || merge->fed <= dense->window.from) return SYN_OK;
    const lv_t last = merge->fed - 1;
    const struct event_origin there = {.parents = &last, .parent_count = 1};
    syn_err err = prepare_at(merge, source, &there);
    if (err == SYN_OK) merge->row = graph_run_of(source->graph, last) - dense->first;
    return err;
}

/* The same in a window with dense versions, where only what was fed last need be known of the
 * prepare version: until the run is left, merge->prepare lags behind. */
static syn_err prepare_dense(struct sequence_merge *merge, const struct merge_source *source,
                             lv_t first, const struct event_origin *to)
{
    assert(merge->window <= to->dense->window.from);
    syn_err err = find_row(merge, source, to->dense);
    struct dense_place now = {merge->row, 0}, then = {to->row, first};
    if (now.row != DENSE_NONE) now.lv = merge->prepare.at[0] + 1;
    if (now.row == then.row && now.lv == then.lv) return err; /* the run goes on */
    if (err == SYN_OK)
        err = dense_diff(to->dense, source->mem, now, then, &merge->retreat, &merge->advance);
    return err == SYN_OK ? move(merge, source) : err;
}

/* ---- Feeding */

syn_err merge_enter(struct sequence_merge *merge, const struct merge_source *source, lv_t first,
                    const struct event_origin *origin)
{
    return SHORT_CUTS && origin->dense != NULL ? prepare_dense(merge, source, first, origin)
                                               : prepare_at(merge, source, origin);
}

void merge_leave(struct sequence_merge *merge, lv_t end, uint32_t row)
{
    if (merge->fed < end) merge->fed = end;
    if (merge->needed) merge->used = merge->fed;
    merge->prepare.n = 0;
    *array_push(&merge->prepare) = end - 1; /* there is room: begin_window */
    merge->row = row;
}

/* The tracker was. */
static syn_err was_fed(struct sequence_merge *merge, const struct merge_source *source,
                       const struct op_piece *piece)
{
    if (SHORT_CUTS && merge->stands.n > 0)
        stands_follow(&merge->stands, source->mem, merge->tracker, merge_id(merge, piece->from),
                      piece->end - piece->from);
    return spend(source, tracker_take_work(merge->tracker) + 1);
}

syn_err merge_feed_insert(struct sequence_merge *merge, const struct merge_source *source,
                          const struct op_piece *piece, uint64_t peer, uint32_t *at_pos)
{
    struct tracker_effect effect = {0};
    syn_err err = tracker_go_to(merge->tracker, merge_id(merge, piece->from));
    if (err == SYN_OK)
        err = tracker_insert(merge->tracker, peer, piece->pos, piece->end - piece->from, &effect);
    *at_pos = effect.pos;
    return err == SYN_OK ? was_fed(merge, source, piece) : err;
}

syn_err merge_feed_delete(struct sequence_merge *merge, const struct merge_source *source,
                          const struct op_piece *piece)
{
    merge->deletes.n = 0;
    syn_err err = tracker_go_to(merge->tracker, merge_id(merge, piece->from));
    if (err == SYN_OK)
        err = tracker_delete(merge->tracker, piece->pos, piece->end - piece->from,
                             piece->kind == OP_DELETE_BACK, &merge->deletes);
    return err == SYN_OK ? was_fed(merge, source, piece) : err;
}

syn_err merge_feed_set(struct sequence_merge *merge, const struct merge_source *source,
                       const struct op_piece *piece, uint32_t *where)
{
    syn_err err = tracker_go_to(merge->tracker, merge_id(merge, piece->from));
    if (err == SYN_OK)
        err = tracker_set(merge->tracker, piece->pos, piece->end - piece->from, where);
    return err == SYN_OK ? was_fed(merge, source, piece) : err;
}

syn_err merge_insert(struct sequence_merge *merge, const struct merge_source *source,
                     const struct op_piece *piece, const struct event_origin *origin,
                     uint32_t *at_pos)
{
    syn_err err = merge_enter(merge, source, piece->from, origin);
    if (err == SYN_OK) err = merge_feed_insert(merge, source, piece, origin->peer, at_pos);
    if (err == SYN_OK) merge_leave(merge, piece->end, origin->row);
    return err;
}

syn_err merge_delete(struct sequence_merge *merge, const struct merge_source *source,
                     const struct op_piece *piece, const struct event_origin *origin)
{
    syn_err err = merge_enter(merge, source, piece->from, origin);
    if (err == SYN_OK) err = merge_feed_delete(merge, source, piece);
    if (err == SYN_OK) merge_leave(merge, piece->end, origin->row);
    return err;
}

syn_err merge_set(struct sequence_merge *merge, const struct merge_source *source,
                  const struct op_piece *piece, const struct event_origin *origin, uint32_t *where)
{
    syn_err err = merge_enter(merge, source, piece->from, origin);
    if (err == SYN_OK) err = merge_feed_set(merge, source, piece, where);
    if (err == SYN_OK) merge_leave(merge, piece->end, origin->row);
    return err;
}

/* ---- What was applied before */

/* A piece, for the tracker's state alone. */
static syn_err feed_applied(struct sequence_merge *merge, const struct merge_source *source,
                            const struct op_piece *piece, uint64_t peer)
{
    uint32_t ignored;
    return op_is_delete(piece->kind) ? merge_feed_delete(merge, source, piece)
                                     : merge_feed_insert(merge, source, piece, peer, &ignored);
}

/* A graph run, of which the event at `first` is fed next. */
static syn_err enter_applied(struct sequence_merge *merge, const struct merge_source *source,
                             lv_t first, struct graph_run *run)
{
    lv_t previous;
    struct event_origin origin = {.row = DENSE_NONE};
    *run = graph_run_at(source->graph, graph_run_of(source->graph, first));
    origin.parent_count = graph_parents(source->graph, first, &origin.parents, &previous);
    return merge_enter(merge, source, first, &origin);
}

/* Sets change nothing: they stay holes. */
static syn_err feed_range(struct sequence_merge *merge, const struct merge_source *source,
                          struct lv_range range)
{
    syn_err err = SYN_OK;
    lv_t fed = 0; /* of the run entered; 0: none */
    struct graph_run run = {.end = 0};
    uint32_t index = merge_first_run_above(source, range.from);
    for (; err == SYN_OK && index < source->run_count; index++) {
        const struct op_run *op = &source->log->runs.at[source->runs[index]];
        lv_t from = op->lv > range.from ? op->lv : range.from;
        if (from >= range.end) break;
        if (op->kind == OP_LIST_SET) continue;
        if (from >= run.end) {
            if (fed > 0) merge_leave(merge, fed, DENSE_NONE);
            err = enter_applied(merge, source, from, &run);
        }
        fed = oplog_run_end(source->log, source->runs[index]);
        if (fed > range.end) fed = range.end;
        struct op_piece piece = oplog_piece(source->log, source->runs[index], from, fed);
        if (err == SYN_OK)
            err = feed_applied(merge, source, &piece, graph_agent_peer(source->graph, run.agent));
    }
    if (fed > 0) merge_leave(merge, fed, DENSE_NONE);
    return err;
}

static syn_err feed_up_to(struct sequence_merge *merge, const struct merge_source *source, lv_t end)
{
    struct lv_range range = {merge->fed, end};
    if (end - merge->fed < VISIT_MIN) return feed_range(merge, source, range);
    syn_err err = visit_order(source->graph, source->mem, range, &merge->order);
    for (uint32_t i = 0; err == SYN_OK && i < merge->order.n; i++)
        err = feed_range(merge, source, merge->order.at[i]);
    return err;
}

#ifdef SYN_STRESS
enum { MUCH = 4, MOST = 8, LONG_WINDOW = 32 };
#else
enum {
    MUCH = 64, /* runs that are fed together when following, and at most */
    MOST = 128,
    LONG_WINDOW = 4096 /* events that one waits for when they are fed again */
};
#endif
enum { KEPT_BYTES = 3 << 20 }; /* what is larger goes sooner, where its memory is of use */

bool merge_is_stale(const struct sequence_merge *merge, lv_t now)
{
    if (merge->window == LV_NONE) return true;
    uint64_t times = !GIVES_BACK || merge_footprint(merge) <= KEPT_BYTES ? 3 : 1;
    return now - merge->used > times * (merge->used - merge->window) + 64;
}

syn_err merge_follow(struct sequence_merge *merge, const struct merge_source *source, lv_t now)
{
    if (merge->fed >= now || source->run_count - merge->fed_runs < MUCH) return SYN_OK;
    uint32_t first = merge->fed_runs = merge_first_run_above(source, merge->fed);
    if (source->run_count - first < MUCH) return SYN_OK;
    uint32_t end = source->run_count - first > MOST ? first + MOST : source->run_count;
    if (end < source->run_count) now = source->log->runs.at[source->runs[end]].lv;
    merge->needed = false;
    syn_err err = feed_up_to(merge, source, now);
    merge->fed = now;
    merge->fed_runs = end;
    return err;
}

/* A window that begins at `window` would do, but is it better to go on with this one?  It is if a
 * long branch, which may come back, would make us feed it all again; as long as the other is short,
 * so that it can still be begun later. */
static bool keeps_window(const struct sequence_merge *merge, const struct merge_source *source,
                         lv_t window, lv_t now)
{
    uint32_t length = merge->used - merge->window;
    if (window == now) return false; /* nothing to feed; and its dense versions begin there */
    if (length < LONG_WINDOW || now - merge->used > length / 4 || now - window > LONG_WINDOW / 4)
        return false;
    uint32_t runs = merge_first_run_above(source, window);
    return merge->fed >= window || runs - merge_first_run_above(source, merge->fed) < MUCH;
}

/* Makes the window one that begins at or before event `floor` + 1 (LV_NONE: at the first event),
 * and feeds all below `now`. */
static syn_err reach_back(struct sequence_merge *merge, const struct merge_source *source,
                          lv_t floor, lv_t now)
{
    syn_err err = SYN_OK;
    lv_t critical = floor == LV_NONE ? LV_NONE : graph_critical_at_or_before(source->graph, floor);
    lv_t window = critical == LV_NONE ? 0 : critical + 1;
    bool holds = merge->window != LV_NONE && merge->window <= window;
    merge->needed = holds && window < merge->used;
    if (!merge->needed && !(holds && keeps_window(merge, source, window, now))) {
        err = begin_window(merge, source, window);
        merge->needed = true;
    }
    if (err == SYN_OK) err = feed_up_to(merge, source, now);
    if (err == SYN_OK) merge->fed = now;
    if (merge->needed) merge->used = merge->fed;
    merge->fed_runs = merge_first_run_above(source, merge->fed);
    merge->row = DENSE_NONE; /* the rows of now are others than the last time */
    return err;
}

syn_err merge_begin(struct sequence_merge *merge, const struct merge_source *source, lv_t now)
{
    if (merge->window != LV_NONE && merge->fed > now) return SYN_OK; /* begun before */
    return reach_back(merge, source, now == 0 ? LV_NONE : now - 1, now);
}

syn_err merge_ask(struct sequence_merge *merge, const struct merge_source *source, lv_t floor,
                  const lv_t *version, uint32_t count)
{
    const struct event_origin origin = {.parents = version, .parent_count = count};
    syn_err err = reach_back(merge, source, floor, source->log->end);
    return err == SYN_OK ? prepare_at(merge, source, &origin) : err;
}
