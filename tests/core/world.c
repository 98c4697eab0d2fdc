#include "world.h"

#include "doc.h"

#include <check.h>

static void ok(const syn_doc *doc, syn_err err)
{
    if (err != SYN_OK) ck_abort_msg("%s: %s", syn_errname(err), syn_doc_error(doc));
}

syn_doc *world_new_doc(void)
{
    syn_doc *doc;
    syn_doc_config config = SYN_DOC_CONFIG_INIT;
    config.events = true;
    config.hash_seed = 42;
    ck_assert_int_eq(syn_doc_new(&doc, &config), SYN_OK);
    return doc;
}

void world_init(struct world *w, uint32_t seed, uint32_t replicas, uint32_t max_events)
{
    *w = (struct world){.r = random_seeded(seed), .replicas = replicas, .max_events = max_events};
    w->o = oracle_new(max_events);
    w->archive.doc = world_new_doc();
    for (uint32_t i = 0; i < replicas; i++) w->replica[i].doc = world_new_doc();
}

static void forget_base(struct replica *replica)
{
    for (uint32_t i = 0; i < replica->base_parts; i++)
        free((char *)(uintptr_t)replica->base[i].data);
    replica->base_parts = 0;
}

void replica_free(struct replica *replica)
{
    syn_doc_free(replica->doc);
    mirror_free(&replica->mirror);
    forget_base(replica);
}

void world_free(struct world *w)
{
    for (uint32_t i = 0; i < w->replicas; i++) replica_free(&w->replica[i]);
    replica_free(&w->archive);
    oracle_free(w->o);
}

void world_look(struct world *w, struct replica *replica, bool always)
{
    syn_doc_check(replica->doc);
    mirror_follow(&replica->mirror, replica->doc);
    if (always || one_in(&w->r, 4))
        compare_with_oracle(replica->doc, w->o, always || one_in(&w->r, 4));
}

/* ---- Sets of changes */

void sets_add(struct sets *sets, const syn_changes *set)
{
    sets->at = realloc(sets->at, (sets->n + 1) * sizeof *sets->at);
    ck_assert_ptr_nonnull(sets->at);
    ck_assert_int_eq(syn_changes_copy(NULL, set, &sets->at[sets->n]), SYN_OK);
    sets->n++;
}

void sets_free(struct sets *sets)
{
    for (uint32_t i = 0; i < sets->n; i++) syn_changes_free(NULL, sets->at[i]);
    free(sets->at);
    *sets = (struct sets){0};
}

struct sets sets_of(syn_doc *doc, uint32_t from, uint32_t end, uint32_t max_events)
{
    struct sets sets = {0};
    syn_changes set;
    for (uint32_t cut; from < end; from = cut) {
        ok(doc, syn_doc_export(doc, (syn_span){from, end}, max_events, SIZE_MAX, &set, &cut));
        ck_assert_uint_gt(cut, from);
        sets_add(&sets, &set);
    }
    return sets;
}

void world_publish(struct world *w, syn_doc *doc, uint32_t from)
{
    syn_changes set;
    syn_span span = {from, syn_doc_log_end(doc)};
    if (span.from == span.end) return;
    ok(doc, syn_doc_export_spans(doc, &span, 1, &set));
    oracle_add(w->o, &set);
    ok(w->archive.doc, syn_apply(w->archive.doc, &set, false, NULL));
    world_look(w, &w->archive, false);
}

/* ---- Meeting */

/* Through the bytes of the wire and back. */
static void apply_bytes(syn_doc *doc, const syn_changes *set)
{
    proto_arena *arena;
    struct proto_fault fault;
    syn_buf bytes = {0}, again = {0};
    syn_changes decoded;
    ck_assert_int_eq(proto_arena_new(&arena, NULL), SYN_OK);
    ck_assert_int_eq(proto_encode_changes(&bytes, set, NULL), SYN_OK);
    syn_err err = proto_decode_changes(arena, bytes.data, bytes.len, NULL, NULL, &decoded, &fault);
    if (err != SYN_OK) ck_abort_msg("decode: %s: %s", syn_errname(err), fault.text);
    ck_assert_int_eq(proto_encode_changes(&again, &decoded, NULL), SYN_OK);
    ck_assert_uint_eq(bytes.len, again.len);
    ck_assert_mem_eq(bytes.data, again.data, bytes.len);
    ok(doc, syn_apply(doc, &decoded, true, NULL));
    proto_arena_free(arena);
    syn_buf_free(&bytes);
    syn_buf_free(&again);
}

static void shuffle(struct random *r, struct sets *sets)
{
    for (uint32_t i = sets->n; i > 1; i--) {
        uint32_t k = below(r, i);
        syn_changes *set = sets->at[k];
        sets->at[k] = sets->at[i - 1];
        sets->at[i - 1] = set;
    }
}

/* The spans that `to` lacks, copied; false when `from` cannot say. */
static bool spans_for(struct random *r, syn_doc *from, const syn_doc *to, syn_span **out,
                      size_t *count)
{
    const syn_span *spans;
    size_t n = syn_doc_heads(to, NULL, 0), peers = syn_doc_vector(to, NULL, 0);
    syn_id *ids = malloc((n + peers + 1) * sizeof *ids);
    syn_doc_heads(to, ids, n);
    syn_err err = SYN_ENOTFOUND;
    if (!syn_doc_has_history(to) || !one_in(r, 4))
        err = syn_doc_spans_since(from, ids, n, &spans, count);
    if (err == SYN_ENOTFOUND && syn_doc_has_history(to)) {
        n = syn_doc_vector(to, ids, peers);
        err = syn_doc_spans_since_vector(from, ids, n, &spans, count);
    }
    free(ids);
    if (err != SYN_OK) {
        ck_assert(err == SYN_ENOTFOUND || err == SYN_EHISTORY);
        return false;
    }
    *out = malloc((*count + 1) * sizeof **out);
    if (*count > 0) memcpy(*out, spans, *count * sizeof **out);
    return true;
}

static struct sets what_it_lacks(struct random *r, syn_doc *from, const syn_doc *to)
{
    struct sets sets = {0};
    syn_changes set;
    syn_span *spans;
    size_t count;
    if (!spans_for(r, from, to, &spans, &count)) return sets;
    if (one_in(r, 4) && count > 0) {
        ok(from, syn_doc_export_spans(from, spans, count, &set));
        sets_add(&sets, &set);
        free(spans);
        return sets;
    }
    uint32_t max_events = 1 + below(r, one_in(r, 2) ? 3 : 50);
    size_t max_bytes = one_in(r, 3) ? below(r, 60) : SIZE_MAX;
    for (size_t i = 0; i < count; i++)
        for (uint32_t at = spans[i].from, cut; at < spans[i].end; at = cut) {
            ok(from, syn_doc_export(from, (syn_span){at, spans[i].end}, max_events, max_bytes, &set,
                                    &cut));
            sets_add(&sets, &set);
            if (one_in(r, 10)) sets_add(&sets, &set);
        }
    free(spans);
    return sets;
}

/* Some of what `to` has already. */
static void add_known(struct random *r, struct sets *sets, syn_doc *from)
{
    uint32_t end = syn_doc_log_end(from);
    if (end == 0 || !syn_doc_has_history(from)) return;
    struct sets all = sets_of(from, 0, end, 1 + below(r, 20));
    for (uint32_t i = 0; i < all.n; i++)
        if (one_in(r, 4)) sets_add(sets, all.at[i]);
    sets_free(&all);
}

/* A replica without history takes events only after their parents, and none that stand on what it
 * has not. */
static void deliver(struct world *w, struct replica *to, const struct sets *sets)
{
    for (uint32_t i = 0; i < sets->n; i++) {
        if (one_in(&w->r, 3) && syn_doc_has_history(to->doc)) {
            apply_bytes(to->doc, sets->at[i]);
            continue;
        }
        syn_err err = syn_apply(to->doc, sets->at[i], true, NULL);
        if (err == SYN_EHISTORY && !syn_doc_has_history(to->doc)) {
            mirror_follow(&to->mirror, to->doc);
            world_backfill(w, to);
            err = syn_apply(to->doc, sets->at[i], true, NULL);
        }
        ok(to->doc, err);
        if (one_in(&w->r, 4)) world_look(w, to, false);
    }
}

void world_meet(struct world *w, struct replica *from, struct replica *to)
{
    struct sets sets = what_it_lacks(&w->r, from->doc, to->doc);
    if (syn_doc_has_history(to->doc)) {
        if (one_in(&w->r, 4)) add_known(&w->r, &sets, from->doc);
        if (one_in(&w->r, 3)) shuffle(&w->r, &sets);
    }
    if (sets.n > 1 && one_in(&w->r, 5)) {
        uint32_t keep = 1 + below(&w->r, sets.n - 1); /* the rest is lost on the way */
        for (uint32_t i = keep; i < sets.n; i++) syn_changes_free(NULL, sets.at[i]);
        sets.n = keep;
    }
    deliver(w, to, &sets);
    sets_free(&sets);
    world_look(w, to, false);
}

void world_complete(struct world *w, struct replica *to)
{
    struct sets sets = what_it_lacks(&w->r, w->archive.doc, to->doc);
    deliver(w, to, &sets);
    sets_free(&sets);
    ck_assert_uint_eq(syn_doc_missing(to->doc, NULL, 0), 0);
    ck_assert_uint_eq(syn_doc_events(to->doc), syn_doc_events(w->archive.doc));
    world_look(w, to, true);
}

/* ---- Snapshots */

struct emitting {
    syn_str *parts;
    uint32_t count;
};

static syn_err emit(void *user, uint32_t part, uint32_t parts, syn_str bytes)
{
    struct emitting *to = user;
    ck_assert_uint_eq(part, to->count);
    ck_assert_uint_le(parts, MAX_PARTS);
    char *copy = malloc(bytes.len + 1);
    memcpy(copy, bytes.data, bytes.len);
    to->parts[to->count++] = (syn_str){copy, bytes.len};
    return SYN_OK;
}

uint32_t snapshot_bytes(syn_doc *doc, syn_str *parts, uint64_t *digest)
{
    syn_snapshot snapshot;
    struct emitting to = {parts, 0};
    ok(doc, syn_doc_snapshot(doc, &snapshot));
    ck_assert_int_eq(proto_digest(&snapshot, digest, NULL), SYN_OK);
    ck_assert_int_eq(proto_encode_snapshot(&snapshot, 1, *digest, 1000, emit, &to), SYN_OK);
    return to.count;
}

void load_snapshot(syn_doc *doc, const syn_str *parts, uint32_t count)
{
    proto_arena *arena;
    syn_snapshot snapshot;
    uint64_t digest;
    struct proto_fault fault = {0};
    ck_assert_int_eq(proto_arena_new(&arena, NULL), SYN_OK);
    syn_err err = proto_join_snapshot(arena, parts, count, &snapshot, &digest, &fault);
    if (err != SYN_OK) ck_abort_msg("join: %s: %s", syn_errname(err), fault.text);
    ok(doc, syn_doc_load(doc, &snapshot));
    proto_arena_free(arena);
}

void world_load(struct world *w, struct replica *from, struct replica *to)
{
    uint64_t digest, loaded;
    syn_str again[MAX_PARTS];
    if (from == to || syn_doc_heads(from->doc, NULL, 0) != 1) return;
    replica_free(to);
    *to = (struct replica){.doc = world_new_doc()};
    to->base_parts = snapshot_bytes(from->doc, to->base, &digest);
    load_snapshot(to->doc, to->base, to->base_parts);
    ck_assert(!syn_doc_has_history(to->doc));
    world_look(w, to, true);
    uint32_t count = snapshot_bytes(to->doc, again, &loaded);
    ck_assert_uint_eq(loaded, digest);
    ck_assert_uint_eq(count, to->base_parts);
    for (uint32_t i = 0; i < count; i++) {
        ck_assert_uint_eq(again[i].len, to->base[i].len);
        ck_assert_mem_eq(again[i].data, to->base[i].data, again[i].len);
        free((char *)(uintptr_t)again[i].data);
    }
}

static const syn_changes *next_set(void *user, syn_err *err)
{
    struct sets *sets = user;
    (void)err;
    return sets->next < sets->n ? sets->at[sets->next++] : NULL;
}

void world_backfill(struct world *w, struct replica *replica)
{
    syn_doc *archive = w->archive.doc;
    const syn_span *spans;
    size_t count;
    uint32_t added, at = 0, end = syn_doc_log_end(replica->doc);
    if (syn_doc_has_history(replica->doc)) return;
    syn_id base = syn_doc_event_id(replica->doc, 0);
    ok(archive, syn_doc_spans_since(archive, &base, 1, &spans, &count));
    struct sets below_base = {0}; /* what lies between the spans that the base lacks */
    for (size_t i = 0; i <= count; i++) {
        uint32_t stop = i < count ? spans[i].from : syn_doc_log_end(archive);
        struct sets more = sets_of(archive, at, stop, 1 + below(&w->r, 30));
        for (uint32_t k = 0; k < more.n; k++) sets_add(&below_base, more.at[k]);
        sets_free(&more);
        if (i < count) at = spans[i].end;
    }
    char *before = json_of(replica->doc, SYN_NO_OBJ);
    ok(replica->doc, syn_doc_backfill(replica->doc, next_set, &below_base, &added));
    char *after = json_of(replica->doc, SYN_NO_OBJ);
    ck_assert_str_eq(before, after);
    ck_assert(syn_doc_has_history(replica->doc));
    ck_assert_uint_eq(syn_doc_event_count(replica->doc), 0);
    ck_assert_uint_eq(syn_doc_log_end(replica->doc), end + added);
    free(before);
    free(after);
    sets_free(&below_base);
    forget_base(replica);
    world_look(w, replica, true);
}

/* ---- Without */

/* An event that begins an op run of unknown kind, or is of a known kind. */
static uint32_t random_position(struct world *w, syn_doc *doc)
{
    uint32_t start = syn_doc_log_start(doc), end = syn_doc_log_end(doc), at = start, cut;
    if (start == end) return end;
    uint32_t wanted = start + below(&w->r, end - start);
    syn_changes set;
    for (; at < wanted; at = cut) {
        ok(doc, syn_doc_export(doc, (syn_span){at, end}, 1, SIZE_MAX, &set, &cut));
        if (cut > wanted) break;
    }
    return at;
}

static uint32_t event_of(const struct world *w, syn_id id)
{
    uint32_t i = 0;
    while (oracle_id(w->o, i).peer != id.peer || oracle_id(w->o, i).seq != id.seq) i++;
    return i;
}

static uint64_t events_without(const struct world *w, const syn_doc *doc, syn_id id)
{
    size_t count = syn_doc_heads(doc, NULL, 0);
    syn_id *heads = malloc((count + 1) * sizeof *heads);
    oracle_version v = oracle_version_new(w->o);
    syn_doc_heads(doc, heads, count);
    ck_assert(oracle_version_of(w->o, heads, count, v));
    oracle_without(w->o, v, event_of(w, id));
    uint64_t events = 0;
    for (uint32_t i = 0; i < oracle_events(w->o); i++) events += oracle_has(w->o, v, i);
    free(heads);
    free(v);
    return events;
}

static syn_err call_without(struct replica *replica, syn_id id, syn_changes **removed)
{
    proto_arena *arena;
    syn_snapshot base;
    uint64_t digest;
    struct proto_fault fault = {0};
    ck_assert_int_eq(proto_arena_new(&arena, NULL), SYN_OK);
    if (replica->base_parts > 0)
        ck_assert_int_eq(
            proto_join_snapshot(arena, replica->base, replica->base_parts, &base, &digest, &fault),
            SYN_OK);
    syn_err err = syn_doc_without(replica->doc, replica->base_parts > 0 ? &base : NULL, id.peer,
                                  id.seq, removed);
    proto_arena_free(arena);
    return err;
}

void world_without(struct world *w, struct replica *replica)
{
    syn_doc *doc = replica->doc;
    syn_changes *removed;
    uint32_t at = random_position(w, doc);
    if (at == syn_doc_log_end(doc)) return;
    syn_id id = syn_doc_event_id(doc, at);
    uint64_t expected = events_without(w, doc, id);
    char *before = json_of(doc, SYN_NO_OBJ);
    ok(doc, call_without(replica, id, &removed));
    ck_assert_uint_eq(syn_doc_events(doc), expected);
    replica->new_session = true;
    world_look(w, replica, true);
    if (one_in(&w->r, 2)) {
        ok(doc, syn_apply(doc, removed, false, NULL));
        char *after = json_of(doc, SYN_NO_OBJ);
        ck_assert_str_eq(before, after);
        free(after);
        world_look(w, replica, true);
    }
    free(before);
    syn_changes_free(NULL, removed);
}
