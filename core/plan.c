/* plan.c -- from appended operations to the state.
 *
 * Planning turns each operation into effects on today's state.  One that nothing is concurrent with
 * acts as it says (doc_plan); others in a sequence go through the merge (plan_set.c), unless the
 * set brings along what they did when they were merged before (doc_plan_given, effects.c).  Only
 * then, when every operation of the change has been found possible, doc_carry_out reserves memory
 * and changes the state, which can no longer fail.  Except in an empty document, whose state is
 * taken back by emptying it: there the plan is carried out in parts (doc_carry_part), or, once the
 * text is long, not even written down (acts_at_once). */
#include "doc.h"

struct doc_mark doc_mark(const syn_doc *doc)
{
    return (struct doc_mark){oplog_mark(&doc->log), doc->all.list.n, doc->names.list.n,
                             doc->records.n};
}

void drop_merge(syn_doc *doc, struct container *c)
{
    merge_free(c->merge, &doc->mem);
    c->merge = NULL;
}

static void forget_runs(syn_doc *doc, struct container *c)
{
    while (c->runs.n > 0 && c->runs.at[c->runs.n - 1] >= doc->log.runs.n) c->runs.n--;
}

static uint32_t state_len(const struct container *c)
{
    if (c->id.kind == SYN_TEXT) return c->as.text == NULL ? 0 : (uint32_t)rope_len(c->as.text);
    return c->id.kind == SYN_LIST ? c->as.list.n : 0;
}

void doc_undo_append(syn_doc *doc, struct doc_mark mark)
{
    graph_truncate(doc->graph, mark.log.end);
    oplog_truncate(&doc->log, mark.log);
    bool fills = SHORT_CUTS && doc->desk != NULL && doc->desk->fills;
    if (doc->desk != NULL) doc->desk->plan.n = 0;
    for (uint32_t i = 0; fills && i < doc->all.list.n; i++) {
        container_empty(container_at(&doc->all, i), &doc->mem);
        container_at(&doc->all, i)->touched = false;
    }
    for (uint32_t i = 0; i < mark.containers; i++) {
        struct container *c = container_at(&doc->all, i);
        forget_runs(doc, c);
        c->need_edits = 0;
        c->need_bytes = 0;
        if (!kind_is_sequence(c->id.kind)) continue;
        c->len = state_len(c);
        if (c->merge == NULL || c->merge->fed <= mark.log.end) continue;
        drop_merge(doc, c);
    }
    containers_truncate(&doc->all, &doc->mem, mark.containers);
    names_truncate(&doc->names, mark.names);
    doc->records.n = mark.records;
    if (fills) doc->records_visible = mark.records;
    if (doc->agent != AGENT_NONE && graph_agent_next(doc->graph, doc->agent) == 0)
        doc->agent = graph_agent_find(doc->graph, doc->peer);
}

void doc_append_run(syn_doc *doc, const struct op_run *run, uint32_t len, bool joins)
{
    uint32_t index = oplog_append(&doc->log, run, len, joins);
    if (run->container == SYN_NO_OBJ || run->kind == OP_FIRST_UNKNOWN) return;
    struct container *c = container_at(&doc->all, run->container);
    if (!kind_is_sequence(c->id.kind)) return;
    if (c->runs.n == 0 || c->runs.at[c->runs.n - 1] != index) *array_push(&c->runs) = index;
}

void doc_touch(syn_doc *doc, const syn_changes *set, lv_t from)
{
    if (from == graph_len(doc->graph)) return;
    if (SHORT_CUTS && set->container_count == 1 && doc->desk->resolved.at[0] != SYN_NO_OBJ) {
        container_at(&doc->all, doc->desk->resolved.at[0])->touched = true;
        return;
    }
    syn_obj last = SYN_NO_OBJ;
    for (uint32_t i = oplog_find(&doc->log, from); i < doc->log.runs.n; i++) {
        syn_obj obj = doc->log.runs.at[i].container;
        if (obj == last || obj == SYN_NO_OBJ) continue;
        container_at(&doc->all, obj)->touched = true;
        last = obj;
    }
}

static syn_err plan_push(syn_doc *doc, struct effect effect)
{
    syn_err err = array_reserve(&doc->mem, &doc->desk->plan, 1);
    if (err == SYN_OK) *array_push(&doc->desk->plan) = effect;
    return err;
}

/* Is it a long text? */
static inline bool is_tree(const struct container *c)
{
    return c->id.kind == SYN_TEXT && c->as.text != NULL && rope_is_tree(c->as.text);
}

/* May an effect on this sequence be carried out as soon as it is known?  On a text of a document
 * that is being filled, unless others stand planned before it or somebody is to be told. */
static inline bool acts_at_once(const syn_doc *doc, const struct container *c)
{
    return SHORT_CUTS && doc->desk->at_once && doc->desk->plan.n == 0 && is_tree(c);
}

/* Carries out an insert or delete that may be, which c->len tells of. */
static inline syn_err act(const syn_doc *doc, struct container *c, const struct effect *effect)
{
    if (effect->kind == OP_DELETE) {
        rope_delete(c->as.text, effect->pos, effect->len);
        return SYN_OK;
    }
    syn_err err = rope_reserve(c->as.text, 1, effect->bytes);
    if (err == SYN_OK)
        rope_insert(c->as.text, effect->pos, doc->log.text.at + effect->at, effect->bytes,
                    effect->len);
    return err;
}

syn_err doc_plan_insert(syn_doc *doc, struct container *c, struct effect effect)
{
    if (effect.kind == OP_TEXT_INSERT)
        effect.bytes = oplog_text_bytes(&doc->log, effect.at, effect.len);
    if (c->len > SEQ_MAX - effect.len) return SYN_ELIMIT;
    syn_err err = acts_at_once(doc, c) ? act(doc, c, &effect) : plan_push(doc, effect);
    if (err == SYN_OK) c->len += effect.len;
    return err;
}

syn_err doc_plan_delete(syn_doc *doc, struct container *c, struct effect effect)
{
    effect.kind = OP_DELETE;
    syn_err err = acts_at_once(doc, c) ? act(doc, c, &effect) : plan_push(doc, effect);
    if (err == SYN_OK) c->len -= effect.len;
    return err;
}

static syn_err plan_fast_sequence(syn_doc *doc, struct container *c, const struct op_piece *piece)
{
    struct effect effect = effect_of(piece, true);
    switch (piece->kind) {
    case OP_DELETE:
        if (effect.pos > c->len || effect.len > c->len - effect.pos) return SYN_ERANGE;
        return doc_plan_delete(doc, c, effect);
    case OP_DELETE_BACK:
        if (effect.pos >= c->len || effect.len > effect.pos + 1) return SYN_ERANGE;
        effect.pos -= effect.len - 1;
        return doc_plan_delete(doc, c, effect);
    case OP_LIST_SET: {
        if (effect.pos > c->len || effect.len > c->len - effect.pos) return SYN_ERANGE;
        syn_err err = SYN_OK;
        for (uint32_t i = 0; err == SYN_OK && i < piece->end - piece->from; i++) {
            effect.len = 1;
            err = plan_push(doc, effect);
            effect.pos++, effect.at++, effect.lv++;
        }
        return err;
    }
    default:
        if (effect.pos > c->len) return SYN_ERANGE;
        return doc_plan_insert(doc, c, effect);
    }
}

syn_err doc_plan_on(syn_doc *doc, struct container *c, const struct op_piece *piece)
{
    if (!kind_is_sequence(c->id.kind)) return plan_push(doc, effect_of(piece, true));
    return plan_fast_sequence(doc, c, piece);
}

syn_err doc_plan(syn_doc *doc, const struct op_piece *piece)
{
    if (!piece_acts(piece)) return SYN_OK;
    return doc_plan_on(doc, container_at(&doc->all, piece->container), piece);
}

void doc_drop_stale(syn_doc *doc, const struct op_piece *piece)
{
    if (!piece_acts(piece)) return;
    struct container *c = container_at(&doc->all, piece->container);
    if (c->merge != NULL && merge_is_stale(c->merge, piece->from)) drop_merge(doc, c);
}

/* The deletes are few; it is inserts that are planned in place.  Neither acts at once: what the
 * window is given up for begins anew. */
static syn_err plan_flat_delete(syn_doc *doc, struct container *c, const struct op_piece *piece)
{
    struct flat_merge *flat = &doc->desk->flat;
    struct effect effect = effect_of(piece, false);
    effect.kind = OP_DELETE;
    syn_err err = flat_delete(flat, &doc->mem, piece);
    if (err == SYN_OK) err = array_reserve(&doc->mem, &doc->desk->plan, flat->effects.n);
    for (uint32_t i = 0; err == SYN_OK && i < flat->effects.n; i++) {
        effect.pos = flat->effects.at[i].pos;
        effect.len = flat->effects.at[i].len;
        *array_push(&doc->desk->plan) = effect;
        c->len -= effect.len;
    }
    return err;
}

/* Lengthens an effect by one that follows it at once and goes on with its text: the window's
 * versions cut what was typed in one go. */
static inline bool goes_on(struct effect *last, const struct effect *next)
{
    if (last->kind != OP_TEXT_INSERT || last->at + last->bytes != next->at ||
        last->pos + last->len != next->pos || last->container != next->container)
        return false;
    last->len += next->len;
    last->bytes += next->bytes;
    return true;
}

syn_err doc_plan_flat(syn_doc *doc, struct container *c, const struct op_piece *piece,
                      uint32_t first)
{
    struct desk *desk = doc->desk;
    if (op_is_delete(piece->kind)) return plan_flat_delete(doc, c, piece);
    syn_err err = array_reserve(&doc->mem, &desk->plan, 1);
    if (err != SYN_OK) return err;
    struct effect *effect = &desk->plan.at[desk->plan.n];
    *effect = effect_of(piece, false);
    err = flat_insert(&desk->flat, &doc->mem, piece, &effect->pos);
    if (err != SYN_OK) return err;
    if (c->len > SEQ_MAX - effect->len) return SYN_ELIMIT;
    c->len += effect->len;
    if (piece->kind == OP_TEXT_INSERT) {
        effect->bytes = oplog_text_bytes(&doc->log, effect->at, effect->len);
        if (desk->plan.n > first && goes_on(effect - 1, effect)) return SYN_OK;
    }
    desk->plan.n++;
    return SYN_OK;
}

/* ---- Merged before -----------------------------------------------------------------------------
 */

/* The events [from, from + len) of a piece, which all acted `by` places from where they say. */
static syn_err plan_moved(syn_doc *doc, struct container *c, const struct op_piece *piece,
                          lv_t from, uint32_t len, int32_t by)
{
    struct op_piece part = *piece;
    int64_t pos = (int64_t)piece->pos + by;
    uint32_t skip = from - piece->from;
    if (piece->kind == OP_DELETE_BACK) pos -= skip;
    if (piece->kind == OP_LIST_SET) pos += skip, part.at += skip;
    if (pos < 0 || pos > SEQ_MAX) return SYN_EDAMAGED;
    part.pos = (uint32_t)pos;
    part.from = from;
    part.end = from + len;
    syn_err err = plan_fast_sequence(doc, c, &part);
    return err == SYN_ERANGE ? SYN_EDAMAGED : err;
}

/* An insert lands in one place, whatever is concurrent to it. */
static syn_err plan_given(syn_doc *doc, struct container *c, const struct op_piece *piece,
                          bool fast)
{
    bool inserts = piece->kind == OP_TEXT_INSERT || piece->kind == OP_LIST_INSERT;
    syn_err err = SYN_OK;
    uint32_t len;
    int32_t by;
    for (lv_t at = piece->from; err == SYN_OK && at < piece->end; at += len) {
        err = effects_take(&doc->desk->given, piece->end - at, &len, &by);
        if (err != SYN_OK) return err;
        bool whole = len == piece->end - piece->from;
        if ((fast && by != 0) || (inserts && (by == EFFECT_GONE || !whole))) return SYN_EDAMAGED;
        if (by != EFFECT_GONE) err = plan_moved(doc, c, piece, at, len, by);
    }
    return err;
}

syn_err doc_plan_given(syn_doc *doc, const struct op_piece *piece, bool fast)
{
    if (!piece_acts(piece)) return SYN_OK;
    struct container *c = container_at(&doc->all, piece->container);
    if (!kind_is_sequence(c->id.kind)) return plan_push(doc, effect_of(piece, fast));
    doc_drop_stale(doc, piece);
    return plan_given(doc, c, piece, fast);
}

/* Where events of a text go that act as one, `by` places from where their run says. */
static inline syn_err plan_text_at(syn_doc *doc, struct container *c, const struct op_run *run,
                                   uint32_t len, uint32_t bytes, int32_t by)
{
    int64_t at = (int64_t)run->pos + by;
    bool inserts = run->kind == OP_TEXT_INSERT;
    if (run->kind == OP_DELETE_BACK) at -= len - 1;
    if (at < 0 || at + (inserts ? 0 : len) > c->len) return SYN_ERANGE;
    if (inserts && c->len > SEQ_MAX - len) return SYN_ELIMIT;
    struct effect effect = {.container = run->container,
                            .kind = inserts ? OP_TEXT_INSERT : OP_DELETE,
                            .pos = (uint32_t)at,
                            .len = len,
                            .at = run->at,
                            .bytes = bytes,
                            .fast = true};
    syn_err err = acts_at_once(doc, c) ? act(doc, c, &effect) : plan_push(doc, effect);
    if (err == SYN_OK) c->len += inserts ? len : 0 - len;
    return err;
}

/* The long way, for a text that has a merge or what fell apart. */
static __attribute__((noinline)) syn_err plan_run(syn_doc *doc, struct container *c,
                                                  const struct op_run *run, uint32_t len, bool fast)
{
    struct op_piece piece = {run->lv, run->lv + len, run->kind, run->container, run->pos, run->at};
    if (c->merge != NULL) doc_drop_stale(doc, &piece);
    return doc->desk->given.at != NULL ? doc_plan_given(doc, &piece, fast) : doc_plan(doc, &piece);
}

syn_err doc_plan_text(syn_doc *doc, struct container *c, const struct op_run *run, uint32_t len,
                      uint32_t bytes, bool fast)
{
    struct given_effects *given = &doc->desk->given;
    int32_t by;
    if (c->merge != NULL) return plan_run(doc, c, run, len, fast);
    if (given->at == NULL) return plan_text_at(doc, c, run, len, bytes, 0);
    if (given->left == 0 || given->at->len - given->used < len)
        return plan_run(doc, c, run, len, fast);
    syn_err err = effects_take(given, len, &len, &by);
    if (by == EFFECT_GONE && run->kind != OP_TEXT_INSERT) return err;
    if (by == EFFECT_GONE || (fast && by != 0)) return SYN_EDAMAGED;
    if (err == SYN_OK) err = plan_text_at(doc, c, run, len, bytes, by);
    return err == SYN_ERANGE ? SYN_EDAMAGED : err;
}

/* ---- Carrying out ---------------------------------------------------------------------------- */

static syn_err reserve_map(syn_doc *doc, struct container *c, const struct effect *effect,
                           uint32_t *done)
{
    syn_err err = SYN_OK;
    for (*done = 0; err == SYN_OK && *done < effect->len; *done += err == SYN_OK)
        err = map_reserve(&c->as.map, &doc->mem, doc->log.args.at[effect->at + *done].key,
                          effect->fast);
    return err;
}

static void unreserve_maps(syn_doc *doc, uint32_t effects, uint32_t of_last)
{
    for (uint32_t i = 0; i <= effects && i < doc->desk->plan.n; i++) {
        const struct effect *effect = &doc->desk->plan.at[i];
        struct container *c = container_at(&doc->all, effect->container);
        if (c->id.kind != SYN_MAP) continue;
        uint32_t count = i < effects ? effect->len : of_last;
        for (uint32_t k = 0; k < count; k++)
            map_unreserve(&c->as.map, doc->log.args.at[effect->at + k].key);
    }
}

/* Sums up, per container, what its effects will need; makes what is missing to hold it. */
static syn_err count_need(syn_doc *doc, struct container *c, const struct effect *effect)
{
    c->need_edits++;
    if (effect->kind == OP_TEXT_INSERT) {
        c->need_bytes += effect->bytes;
        if (c->as.text == NULL) c->as.text = rope_new(doc->shared);
        return c->as.text == NULL ? SYN_ENOMEM : SYN_OK;
    }
    if (effect->kind == OP_LIST_INSERT) c->need_bytes += effect->len;
    return SYN_OK;
}

static syn_err reserve_need(syn_doc *doc, struct container *c)
{
    if (c->need_edits == 0) return SYN_OK;
    if (c->id.kind == SYN_TEXT) {
        if (SHORT_CUTS && doc->desk->fills && rope_is_tree(c->as.text)) return SYN_OK;
        return rope_reserve(c->as.text, c->need_edits, c->need_bytes);
    }
    if (c->id.kind == SYN_LIST)
        return list_reserve(&c->as.list, &doc->mem, (uint32_t)c->need_bytes);
    return SYN_OK;
}

static syn_err reserve_plan(syn_doc *doc)
{
    uint32_t records = 0, i = 0, of_last = 0;
    syn_obj ready = SYN_NO_OBJ; /* a text that finds its room edit by edit */
    syn_err err = SYN_OK;
    for (; i < doc->desk->plan.n; i++) {
        const struct effect *effect = &doc->desk->plan.at[i];
        if (effect->container == ready) continue;
        struct container *c = container_at(&doc->all, effect->container);
        if (SHORT_CUTS && doc->desk->at_once && is_tree(c)) {
            ready = effect->container;
            continue;
        }
        bool is_map = c->id.kind == SYN_MAP;
        records += is_map ? effect->len : 1;
        err = is_map ? reserve_map(doc, c, effect, &of_last) : count_need(doc, c, effect);
        if (err != SYN_OK) break;
    }
    for (uint32_t k = 0, last = SYN_NO_OBJ; k < doc->desk->plan.n; k++) {
        if (doc->desk->plan.at[k].container == last) continue;
        last = doc->desk->plan.at[k].container;
        struct container *c = container_at(&doc->all, last);
        if (err == SYN_OK) err = reserve_need(doc, c);
        c->need_edits = 0;
        c->need_bytes = 0;
    }
    if (err == SYN_OK) err = records_reserve(doc, records);
    if (err != SYN_OK) unreserve_maps(doc, i, of_last);
    return err;
}

static struct writer writer_of(const syn_doc *doc, lv_t lv)
{
    struct writer writer;
    graph_id(doc->graph, lv, &writer.agent, &writer.seq);
    writer.lamport = graph_lamport(doc->graph, lv);
    return writer;
}

static void do_map(syn_doc *doc, struct container *c, const struct effect *effect, bool local)
{
    for (uint32_t i = 0; i < effect->len; i++) {
        lv_t lv = effect->lv + i;
        const struct op_arg *arg = &doc->log.args.at[effect->at + i];
        struct writer by = writer_of(doc, lv);
        struct map_write write = {lv,  by.agent, by.seq, by.lamport, effect->kind == OP_MAP_DELETE,
                                  *arg};
        const struct map_write *before = map_winner(&c->as.map, arg->key);
        bool showed = before != NULL;
        map_write_in(&c->as.map, doc->graph, arg->key, &write, effect->fast);
        const struct map_write *after = map_winner(&c->as.map, arg->key);
        struct record record = {.obj = effect->container, .local = local, .key = arg->key};
        if (after == NULL) {
            record.kind = SYN_EVENT_UNSET;
            if (showed) records_push(doc, record);
        } else if (after->lv == lv || !showed) {
            record.kind = SYN_EVENT_SET;
            record.value = after->value;
            records_push(doc, record);
        }
    }
}

static void do_list_insert(syn_doc *doc, struct container *c, const struct effect *effect,
                           bool local)
{
    list_open(&c->as.list, effect->pos, effect->len);
    for (uint32_t i = 0; i < effect->len; i++) {
        struct writer by = writer_of(doc, effect->lv + i);
        *list_slot_at(&c->as.list, effect->pos + i) =
            (struct list_slot){doc->log.args.at[effect->at + i], by, by};
    }
    records_list(doc, effect->container, local, effect->pos, 0, effect->len, effect->at);
}

static void do_list_set(syn_doc *doc, struct container *c, const struct effect *effect, bool local)
{
    struct list_slot *slot = list_slot_at(&c->as.list, effect->pos);
    struct writer by = writer_of(doc, effect->lv);
    if (!graph_wins(doc->graph, by, slot->set)) return;
    slot->value = doc->log.args.at[effect->at];
    slot->set = by;
    records_push(doc, (struct record){.kind = SYN_EVENT_SET,
                                      .obj = effect->container,
                                      .local = local,
                                      .pos = effect->pos,
                                      .key = NAME_NONE,
                                      .value = slot->value});
}

static void do_counter(syn_doc *doc, struct container *c, const struct effect *effect, bool local)
{
    uint64_t sum = 0; /* modulo 2^64, so in unsigned arithmetic */
    for (uint32_t i = 0; i < effect->len; i++)
        sum += (uint64_t)doc->log.args.at[effect->at + i].as.i;
    c->as.counter = (int64_t)((uint64_t)c->as.counter + sum);
    records_push(doc, (struct record){.kind = SYN_EVENT_ADD,
                                      .obj = effect->container,
                                      .local = local,
                                      .delta = (int64_t)sum});
}

static void do_effect(syn_doc *doc, struct container *c, const struct effect *effect, bool local)
{
    switch (effect->kind) {
    case OP_TEXT_INSERT:
        rope_insert(c->as.text, effect->pos, doc->log.text.at + effect->at, effect->bytes,
                    effect->len);
        records_text(doc, effect->container, local, effect->pos, 0, effect->len, effect->at,
                     effect->bytes);
        break;
    case OP_DELETE:
        if (c->id.kind == SYN_TEXT) {
            rope_delete(c->as.text, effect->pos, effect->len);
            records_text(doc, effect->container, local, effect->pos, effect->len, 0, 0, 0);
        } else {
            list_delete(&c->as.list, effect->pos, effect->len);
            records_list(doc, effect->container, local, effect->pos, effect->len, 0, 0);
        }
        break;
    case OP_LIST_INSERT:
        do_list_insert(doc, c, effect, local);
        break;
    case OP_LIST_SET:
        do_list_set(doc, c, effect, local);
        break;
    case OP_MAP_SET:
    case OP_MAP_DELETE:
        do_map(doc, c, effect, local);
        break;
    default:
        assert(effect->kind == OP_COUNTER_ADD);
        do_counter(doc, c, effect, local);
        break;
    }
}

syn_err doc_carry_out(syn_doc *doc, bool local)
{
    syn_err err = reserve_plan(doc);
    if (err != SYN_OK) return err;
    const struct effect *at = doc->desk->plan.at;
    bool fills = SHORT_CUTS && doc->desk->fills; /* emptied on an error, so half may be done */
    for (uint32_t left = doc->desk->plan.n; left > 0; left--, at++) {
        struct container *c = container_at(&doc->all, at->container);
        if (fills && at->kind == OP_TEXT_INSERT) err = rope_reserve(c->as.text, 1, at->bytes);
        if (err != SYN_OK) return err;
        do_effect(doc, c, at, local);
    }
    doc->desk->plan.n = 0;
    return SYN_OK;
}
