/* test_effects.c -- documents loaded with what their events did, against documents that merge.
 *
 * The history is a random one of many replicas (world.h).  Cut into random pieces, each with its
 * effects (effects.c), it must load into the very same document, log and all, without one merge;
 * and that document must go on among the others.  Effects that were tampered with may lead to a
 * wrong text, for they are believed, but never to a broken document, another log or another length
 * than its own.
 *
 * Environment: SYN_SEEDS times as many histories; SYN_SEED=n runs that history alone. */
#include "doc.h"
#include "syncline_bytes.h"
#include "world.h"

#include <check.h>
#include <stdio.h>
#include <string.h>

enum { HISTORIES = 3000, MANGLED = 20 };

/* ---- Histories ------------------------------------------------------------------------------- */

static void step(struct world *w)
{
    struct replica *a = &w->replica[below(&w->r, w->replicas)];
    struct replica *b = &w->replica[below(&w->r, w->replicas)];
    uint32_t what = below(&w->r, 100);
    if (what < 60) {
        world_edit(w, a);
    } else if (what < 62) {
        world_foreign_edit(w, a);
    } else if (what < 92) {
        if (a != b) world_meet(w, a, b);
    } else if (what < 96) {
        world_load(w, a, b);
    } else {
        world_complete(w, a);
    }
    world_look(w, a, false);
}

static void begin_history(struct world *w, uint32_t seed)
{
    struct random shape = random_seeded(seed);
    uint32_t steps = seed % 50 == 49 ? 120 : 3 + below(&shape, 30);
    world_init(w, seed, 2 + below(&shape, 3), seed % 50 == 49 ? 2048 : 1024);
    for (uint32_t i = 0; i < steps; i++) step(w);
}

static uint64_t digest_of(syn_doc *doc)
{
    uint64_t digest;
    ck_assert_int_eq(syn_doc_digest(doc, &digest), SYN_OK);
    return digest;
}

/* ---- Pieces ---------------------------------------------------------------------------------- */

struct piece {
    syn_changes *set; /* its effects are the following */
    struct change_effect *effects;
};
struct pieces {
    struct piece at[2048];
    uint32_t n, with_effects, next;
};

/* The log of `doc` from that position on, in random pieces with their effects. */
static struct pieces *pieces_of(struct random *r, syn_doc *doc, uint32_t from)
{
    struct pieces *pieces = calloc(1, sizeof *pieces);
    syn_effects *effects;
    uint32_t end = syn_doc_log_end(doc), most = one_in(r, 3) ? UINT32_MAX : 1 + below(r, 60);
    ck_assert_int_eq(syn_effects_new(doc, &effects), SYN_OK);
    while (from < end) {
        const struct change_effect *did;
        syn_changes set;
        uint32_t cut, count;
        ck_assert_uint_lt(pieces->n, sizeof pieces->at / sizeof pieces->at[0]);
        struct piece *piece = &pieces->at[pieces->n++];
        ck_assert_int_eq(syn_doc_export(doc, (syn_span){from, end}, most, SIZE_MAX, &set, &cut),
                         SYN_OK);
        ck_assert_int_eq(syn_changes_copy(NULL, &set, &piece->set), SYN_OK);
        ck_assert_int_eq(syn_effects_of(effects, (syn_span){from, cut}, &did, &count), SYN_OK);
        if (count > 0) {
            piece->effects = malloc(count * sizeof *did);
            memcpy(piece->effects, did, count * sizeof *did);
            piece->set->effects = piece->effects;
            piece->set->effect_count = count;
            pieces->with_effects++;
        }
        from = cut;
    }
    syn_effects_free(effects);
    return pieces;
}

static void pieces_free(struct pieces *pieces)
{
    for (uint32_t i = 0; i < pieces->n; i++) {
        syn_changes_free(NULL, pieces->at[i].set);
        free(pieces->at[i].effects);
    }
    free(pieces);
}

static bool merged(const syn_doc *doc)
{
    for (uint32_t i = 0; i < doc->all.list.n; i++)
        if (container_at(&doc->all, i)->merge != NULL) return true;
    return false;
}

/* Loads them, each by what it brings along. */
static syn_doc *loaded(const struct pieces *pieces)
{
    syn_doc *doc = world_new_doc();
    for (uint32_t i = 0; i < pieces->n; i++)
        ck_assert_msg(syn_apply(doc, pieces->at[i].set, false, NULL) == SYN_OK, "%s",
                      syn_doc_error(doc));
    return doc;
}

/* The same bits of history; and the lengths noted on the way, where they must be exact. */
static void same_log(const syn_doc *a, const syn_doc *b)
{
    must(a->log.runs.n == b->log.runs.n && a->log.end == b->log.end);
    for (uint32_t i = 0; i < a->log.runs.n; i++) {
        struct op_run of_a = a->log.runs.at[i], of_b = b->log.runs.at[i];
        lv_t last = of_a.lv - 1;
        bool exact = of_a.lv > 0 && graph_critical_at_or_before(a->graph, last) == last;
        if (!exact) of_a.before = of_b.before = 0;
        must(memcmp(&of_a, &of_b, sizeof of_a) == 0);
    }
}

/* ---- Loading --------------------------------------------------------------------------------- */

static syn_doc *merging(const struct pieces *pieces)
{
    syn_doc *doc = world_new_doc();
    for (uint32_t i = 0; i < pieces->n; i++) {
        syn_changes set = *pieces->at[i].set;
        set.effect_count = 0;
        ck_assert_int_eq(syn_apply(doc, &set, false, NULL), SYN_OK);
    }
    return doc;
}

/* ---- Filling a document that was told how much is to come ------------------------------------ */

struct short_memory {
    uint32_t left; /* blocks that may still be had; then one is refused */
    bool refused;
};

static void *short_resize(void *user, void *ptr, size_t old_size, size_t new_size)
{
    struct short_memory *memory = user;
    (void)old_size;
    if (new_size == 0) {
        free(ptr);
        return NULL;
    }
    if (!memory->refused && memory->left-- == 0) {
        memory->refused = true;
        return NULL;
    }
    return realloc(ptr, new_size);
}

/* Nobody listens to it, so that what comes is carried out as soon as it is known. */
static syn_doc *quiet_doc(struct short_memory *memory)
{
    syn_doc *doc;
    syn_doc_config config = SYN_DOC_CONFIG_INIT;
    if (memory != NULL) config.mem = (syn_mem){short_resize, memory};
    ck_assert_int_eq(syn_doc_new(&doc, &config), SYN_OK);
    return doc;
}

/* All of them, or those before the first that is refused. */
static syn_err fill(syn_doc *doc, const struct pieces *pieces, uint32_t expected, bool effects)
{
    syn_err err = SYN_OK;
    syn_doc_expect(doc, expected);
    for (uint32_t i = 0; err == SYN_OK && i < pieces->n; i++) {
        syn_changes set = *pieces->at[i].set;
        if (!effects) set.effect_count = 0;
        err = syn_apply(doc, &set, false, NULL);
        syn_doc_check(doc);
    }
    syn_doc_expect(doc, 0);
    return err;
}

/* What was refused left nothing; and the same document takes it all the next time. */
static void refill(syn_doc *doc, const struct pieces *pieces, syn_doc *all)
{
    ck_assert_uint_eq(syn_doc_log_end(doc), 0);
    ck_assert_uint_eq(syn_doc_heads(doc, NULL, 0), 0);
    ck_assert_int_eq(fill(doc, pieces, syn_doc_log_end(all), false), SYN_OK);
    ck_assert_uint_eq(digest_of(doc), digest_of(all));
}

static void fill_documents(struct random *r, const struct pieces *pieces, syn_doc *all)
{
    uint32_t events = syn_doc_log_end(all);
    uint32_t told = one_in(r, 2) ? events : one_in(r, 2) ? 1 + below(r, events) : 2 * events;
    syn_doc *doc = quiet_doc(NULL);
    ck_assert_int_eq(fill(doc, pieces, told, true), SYN_OK);
    ck_assert(!merged(doc));
    ck_assert_uint_eq(digest_of(doc), digest_of(all));
    same_log(doc, all);
    syn_doc_free(doc);
    doc = quiet_doc(NULL); /* the same without: merged, and carried out as it is */
    ck_assert_int_eq(fill(doc, pieces, told, false), SYN_OK);
    ck_assert_uint_eq(digest_of(doc), digest_of(all));
    same_log(doc, all);
    syn_doc_free(doc);
}

START_TEST(memory_that_runs_out_leaves_an_empty_document)
{
    uint32_t short_of = 0;
    for (uint32_t seed = 0; seed < seeds(12); seed++) {
        struct world w;
        begin_history(&w, seed + 400000);
        struct pieces *pieces = pieces_of(&w.r, w.archive.doc, 0);
        uint32_t events = syn_doc_log_end(w.archive.doc);
        for (uint32_t left = 0; events > 0; left += 1 + left / 16) {
            struct short_memory memory = {UINT32_MAX, false};
            syn_doc *doc = quiet_doc(&memory);
            memory.left = left;
            syn_err err = fill(doc, pieces, events, true);
            if (err != SYN_OK) {
                ck_assert_int_eq(err, SYN_ENOMEM);
                refill(doc, pieces, w.archive.doc);
                short_of++;
            }
            syn_doc_free(doc);
            if (!memory.refused) break;
        }
        pieces_free(pieces);
        world_free(&w);
    }
    ck_assert_uint_gt(short_of, 100 * seeds(12) / 12);
}
END_TEST

/* ---- The same, one of many ------------------------------------------------------------------- */

static void load_and_go_on(struct world *w)
{
    struct pieces *pieces = pieces_of(&w->r, w->archive.doc, 0);
    struct replica *replica = &w->replica[0];
    replica_free(replica);
    *replica = (struct replica){.doc = loaded(pieces), .new_session = true};
    ck_assert(!merged(replica->doc));
    world_look(w, replica, true);
    ck_assert_uint_eq(digest_of(replica->doc), digest_of(w->archive.doc));
    syn_doc *other = merging(pieces);
    same_log(replica->doc, other);
    fill_documents(&w->r, pieces, other);
    syn_doc_free(other);
    pieces_free(pieces);
    for (uint32_t i = below(&w->r, 12); i > 0; i--) step(w);
    for (uint32_t i = 0; i < w->replicas; i++) {
        world_complete(w, &w->replica[i]);
        world_look(w, &w->replica[i], true);
        ck_assert_uint_eq(digest_of(w->replica[i].doc), digest_of(w->archive.doc));
    }
}

/* Events that are here already make effects and events differ in number: merged after all. */
static void load_again(struct world *w)
{
    struct pieces *pieces = pieces_of(&w->r, w->archive.doc, 0);
    syn_doc *doc = loaded(pieces);
    uint64_t before = digest_of(doc);
    syn_applied applied;
    for (uint32_t i = 0; i < pieces->n; i++) {
        ck_assert_int_eq(syn_apply(doc, pieces->at[i].set, false, &applied), SYN_OK);
        ck_assert_uint_eq(applied.applied, 0);
    }
    ck_assert_uint_eq(digest_of(doc), before);
    syn_doc_free(doc);
    pieces_free(pieces);
}

START_TEST(what_events_did_leads_to_the_same_document)
{
    const char *one = getenv("SYN_SEED");
    uint32_t count = one != NULL ? 1 : seeds(HISTORIES);
    uint32_t first = one != NULL ? (uint32_t)strtoul(one, NULL, 10) : 0;
    for (uint32_t seed = first; seed < first + count; seed++) {
        struct world w;
        if (seed % 100 == 0) printf("effects: seed %u\n", seed), fflush(stdout);
        begin_history(&w, seed);
        if (syn_doc_log_end(w.archive.doc) > 0) {
            load_and_go_on(&w);
            if (one_in(&w.r, 4)) load_again(&w);
        }
        world_free(&w);
    }
}
END_TEST

/* ---- Above and below a snapshot -------------------------------------------------------------- */

/* The same effects from a document that has only what lies above a snapshot. */
static void same_from_above(struct world *w, uint32_t critical)
{
    syn_doc *start = world_new_doc(), *above = world_new_doc(), *all = w->archive.doc;
    struct sets before = sets_of(all, 0, critical + 1, UINT32_MAX);
    struct pieces *after = pieces_of(&w->r, all, critical + 1);
    syn_str parts[MAX_PARTS];
    uint64_t digest;
    for (uint32_t i = 0; i < before.n; i++)
        ck_assert_int_eq(syn_apply(start, before.at[i], false, NULL), SYN_OK);
    uint32_t count = snapshot_bytes(start, parts, &digest);
    load_snapshot(above, parts, count);
    bool possible = true; /* not for a child that the snapshot does not tell of */
    for (uint32_t i = 0; i < after->n && possible; i++)
        possible = syn_apply(above, after->at[i].set, false, NULL) == SYN_OK;
    if (possible) {
        ck_assert(!merged(above));
        ck_assert_uint_eq(digest_of(above), digest_of(all));
        syn_effects *a, *b;
        const struct change_effect *in_a, *in_b;
        uint32_t na, nb;
        ck_assert_int_eq(syn_effects_new(above, &a), SYN_OK);
        ck_assert_int_eq(syn_effects_new(all, &b), SYN_OK);
        ck_assert_int_eq(syn_effects_of(a, (syn_span){1, syn_doc_log_end(above)}, &in_a, &na),
                         SYN_OK);
        ck_assert_int_eq(
            syn_effects_of(b, (syn_span){critical + 1, syn_doc_log_end(all)}, &in_b, &nb), SYN_OK);
        ck_assert_uint_eq(na, nb);
        for (uint32_t i = 0; i < na; i++)
            must(in_a[i].len == in_b[i].len && in_a[i].by == in_b[i].by);
        syn_effects_free(a);
        syn_effects_free(b);
    }
    for (uint32_t i = 0; i < count; i++) free((char *)(uintptr_t)parts[i].data);
    syn_doc_free(start);
    syn_doc_free(above);
    sets_free(&before);
    pieces_free(after);
}

START_TEST(effects_above_a_snapshot_are_the_same)
{
    for (uint32_t seed = 0; seed < seeds(400); seed++) {
        struct world w;
        begin_history(&w, seed + 100000);
        syn_doc *doc = w.archive.doc;
        uint32_t at = syn_doc_log_end(doc);
        for (at = at > 0 ? syn_doc_critical(doc, at - 1) : UINT32_MAX; at != UINT32_MAX;
             at = at > 7 ? syn_doc_critical(doc, at - 7) : UINT32_MAX)
            same_from_above(&w, at);
        world_free(&w);
    }
}
END_TEST

static const syn_changes *next_piece(void *user, syn_err *err)
{
    struct pieces *pieces = user;
    (void)err;
    return pieces->next < pieces->n ? pieces->at[pieces->next++].set : NULL;
}

/* History that is put below a snapshot may bring its effects along. */
START_TEST(history_is_put_below_with_its_effects)
{
    uint32_t done = 0;
    for (uint32_t seed = 0; seed < seeds(400); seed++) {
        struct world w;
        begin_history(&w, seed + 200000);
        syn_doc *all = w.archive.doc, *doc = world_new_doc();
        if (syn_doc_heads(all, NULL, 0) == 1) {
            struct pieces *pieces = pieces_of(&w.r, all, 0);
            syn_str parts[MAX_PARTS];
            uint64_t digest;
            uint32_t count = snapshot_bytes(all, parts, &digest);
            load_snapshot(doc, parts, count);
            syn_doc_events_clear(doc);
            ck_assert_int_eq(syn_doc_backfill(doc, next_piece, pieces, NULL), SYN_OK);
            syn_doc_check(doc);
            ck_assert(!merged(doc));
            ck_assert_uint_eq(digest_of(doc), digest_of(all));
            for (uint32_t i = 0; i < count; i++) free((char *)(uintptr_t)parts[i].data);
            pieces_free(pieces);
            done++;
        }
        syn_doc_free(doc);
        world_free(&w);
    }
    ck_assert_uint_gt(done, 20 * seeds(400) / 400);
}
END_TEST

/* ---- Damage ---------------------------------------------------------------------------------- */

static void mangle(struct random *r, struct piece *piece)
{
    struct change_effect *effect = &piece->effects[below(r, piece->set->effect_count)];
    switch (below(r, 6)) {
    case 0:
        effect->by = (int32_t)random_bits(r);
        break;
    case 1:
        effect->by = (int32_t)((uint32_t)effect->by + (one_in(r, 2) ? 1 : UINT32_MAX));
        break;
    case 2:
        effect->by = EFFECT_GONE;
        break;
    case 3:
        effect->len = (uint32_t)random_bits(r);
        break;
    case 4:
        effect->len += one_in(r, 2) ? 1 : UINT32_MAX;
        break;
    default:
        piece->set->effect_count--; /* 0: none, which is no damage */
        break;
    }
}

/* Whatever the effects say: the document is whole, and so is its log. */
static void load_mangled(struct world *w, uint64_t *wrong)
{
    struct pieces *pieces = pieces_of(&w->r, w->archive.doc, 0);
    if (pieces->with_effects > 0) {
        uint32_t i = below(&w->r, pieces->n);
        while (pieces->at[i].effects == NULL) i = (i + 1) % pieces->n;
        mangle(&w->r, &pieces->at[i]);
        syn_doc *doc = world_new_doc();
        bool went_on = true;
        for (i = 0; i < pieces->n && went_on; i++) {
            went_on = syn_apply(doc, pieces->at[i].set, false, NULL) == SYN_OK;
            syn_doc_check(doc);
        }
        if (went_on) {
            ck_assert_uint_eq(syn_doc_log_end(doc), syn_doc_log_end(w->archive.doc));
            if (digest_of(doc) != digest_of(w->archive.doc)) ++*wrong;
        }
        syn_doc_free(doc);
        doc = quiet_doc(NULL);
        if (fill(doc, pieces, syn_doc_log_end(w->archive.doc), true) != SYN_OK)
            refill(doc, pieces, w->archive.doc);
        syn_doc_free(doc);
    }
    pieces_free(pieces);
}

START_TEST(effects_that_do_not_fit_are_not_taken)
{
    uint64_t wrong = 0, tried = 0;
    for (uint32_t seed = 0; seed < seeds(600); seed++) {
        struct world w;
        begin_history(&w, seed + 300000);
        for (uint32_t i = 0; i < MANGLED && syn_doc_log_end(w.archive.doc) > 0; i++, tried++)
            load_mangled(&w, &wrong);
        world_free(&w);
    }
    printf("effects: %llu of %llu mangled ones were believed and led elsewhere\n",
           (unsigned long long)wrong, (unsigned long long)tried);
}
END_TEST

/* ---- A small one, by hand -------------------------------------------------------------------- */

static void exchange(syn_doc *from, syn_doc *to, uint32_t since)
{
    struct sets sets = sets_of(from, since, syn_doc_log_end(from), UINT32_MAX);
    for (uint32_t i = 0; i < sets.n; i++)
        ck_assert_int_eq(syn_apply(to, sets.at[i], false, NULL), SYN_OK);
    sets_free(&sets);
}

static syn_obj text_of(syn_doc *doc)
{
    syn_obj text;
    ck_assert_int_eq(syn_root(doc, syn_s(""), SYN_TEXT, &text), SYN_OK);
    return text;
}

START_TEST(an_effect_is_how_far_from_its_position_an_event_acted)
{
    static const struct change_effect expected[] = {
        {14, 0},          /* all of a's, which came first */
        {2, 2},           /* c, d: behind the "XX" that b did not know */
        {2, EFFECT_GONE}, /* e, f: a deleted them, too */
        {3, 2},           /* g, and "yz" */
    };
    syn_doc *a = world_new_doc(), *b = world_new_doc();
    syn_effects *effects;
    const struct change_effect *did;
    uint32_t count;
    ck_assert_int_eq(syn_doc_set_peer(a, 1, true), SYN_OK);
    ck_assert_int_eq(syn_doc_set_peer(b, 2, true), SYN_OK);
    ck_assert_int_eq(syn_text_insert(a, text_of(a), 0, syn_s("abcdefghij")), SYN_OK);
    exchange(a, b, 0);
    ck_assert_int_eq(syn_text_delete(a, text_of(a), 4, 2), SYN_OK);
    ck_assert_int_eq(syn_text_insert(a, text_of(a), 0, syn_s("XX")), SYN_OK);
    ck_assert_int_eq(syn_text_delete(b, text_of(b), 2, 5), SYN_OK);
    ck_assert_int_eq(syn_text_insert(b, text_of(b), 3, syn_s("yz")), SYN_OK);
    exchange(b, a, 10);
    ck_assert_int_eq(syn_effects_new(a, &effects), SYN_OK);
    ck_assert_int_eq(syn_effects_of(effects, (syn_span){0, syn_doc_log_end(a)}, &did, &count),
                     SYN_OK);
    ck_assert_uint_eq(count, sizeof expected / sizeof expected[0]);
    ck_assert_mem_eq(did, expected, sizeof expected);
    ck_assert_int_eq(syn_effects_of(effects, (syn_span){0, 3}, &did, &count), SYN_ERANGE);
    syn_effects_free(effects);
    ck_assert_int_eq(syn_effects_new(a, &effects), SYN_OK);
    ck_assert_int_eq(syn_effects_of(effects, (syn_span){0, 10}, &did, &count), SYN_OK);
    ck_assert_uint_eq(count, 0); /* nothing to keep */
    syn_effects_free(effects);
    syn_doc_free(a);
    syn_doc_free(b);
}
END_TEST

/* A history that is refused for its work is found to be too much work here, too. */
START_TEST(work_is_limited)
{
    uint32_t refused = 0;
    for (uint32_t seed = 0; seed < seeds(50); seed++) {
        struct world w;
        syn_effects *effects;
        const struct change_effect *did;
        uint32_t count, end;
        begin_history(&w, seed + 500000);
        end = syn_doc_log_end(w.archive.doc);
        w.archive.doc->work_limit = 3;
        ck_assert_int_eq(syn_effects_new(w.archive.doc, &effects), SYN_OK);
        syn_err err = syn_effects_of(effects, (syn_span){0, end}, &did, &count);
        ck_assert(err == SYN_OK || (err == SYN_ELIMIT && count == 0));
        refused += err == SYN_ELIMIT;
        syn_doc_check(w.archive.doc);
        syn_effects_free(effects);
        world_free(&w);
    }
    ck_assert_uint_gt(refused, 0);
}
END_TEST

/* ---- As bytes -------------------------------------------------------------------------------- */

static void must_come_back(proto_arena *arena, const syn_buf *bytes, const syn_changes *set)
{
    syn_changes back = {0};
    proto_arena_reset(arena);
    ck_assert_int_eq(proto_decode_effects(arena, (syn_str){bytes->data, bytes->len}, &back),
                     SYN_OK);
    ck_assert_uint_eq(back.effect_count, set->effect_count);
    ck_assert_mem_eq(back.effects, set->effects, set->effect_count * sizeof *set->effects);
}

/* Bytes that are not what was written: refused, or some effects, but in no case more. */
static void must_be_survived(struct random *r, proto_arena *arena, const syn_buf *bytes)
{
    char *copy = malloc(bytes->len);
    for (int i = 0; i < 50; i++) {
        memcpy(copy, bytes->data, bytes->len);
        copy[below(r, (uint32_t)bytes->len)] ^= (char)(1 << below(r, 8));
        size_t len = one_in(r, 4) ? below(r, (uint32_t)bytes->len) : bytes->len;
        syn_changes back = {0};
        proto_arena_reset(arena);
        if (proto_decode_effects(arena, (syn_str){copy, len}, &back) != SYN_OK)
            ck_assert_uint_eq(back.effect_count, 0);
        for (uint32_t k = 0; k < back.effect_count; k++) must(back.effects[k].len > 0);
    }
    free(copy);
}

START_TEST(effects_come_back_from_bytes)
{
    proto_arena *arena;
    ck_assert_int_eq(proto_arena_new(&arena, NULL), SYN_OK);
    for (uint32_t seed = 0; seed < seeds(100); seed++) {
        struct world w;
        begin_history(&w, seed + 600000);
        struct pieces *pieces = pieces_of(&w.r, w.archive.doc, 0);
        for (uint32_t i = 0; i < pieces->n; i++) {
            const syn_changes *set = pieces->at[i].set;
            syn_buf bytes = {0};
            if (set->effect_count == 0) continue;
            ck_assert_int_eq(proto_encode_effects(&bytes, set->effects, set->effect_count), SYN_OK);
            must_come_back(arena, &bytes, set);
            must_be_survived(&w.r, arena, &bytes);
            syn_buf_free(&bytes);
        }
        pieces_free(pieces);
        world_free(&w);
    }
    proto_arena_free(arena);
}
END_TEST

/* ---- Without memory -------------------------------------------------------------------------- */

struct memory {
    uint64_t calls, fail;
    size_t held;
};

static void *counting_resize(void *user, void *ptr, size_t old_size, size_t new_size)
{
    struct memory *memory = user;
    if (new_size > 0 && ++memory->calls == memory->fail) return NULL;
    void *moved = NULL;
    if (new_size == 0)
        free(ptr);
    else if ((moved = realloc(ptr, new_size)) == NULL)
        return NULL;
    memory->held += new_size - old_size;
    return moved;
}

static syn_doc *counted_doc(struct memory *memory)
{
    syn_doc *doc;
    syn_doc_config config = SYN_DOC_CONFIG_INIT;
    config.mem = (syn_mem){counting_resize, memory};
    ck_assert_int_eq(syn_doc_new(&doc, &config), SYN_OK);
    return doc;
}

/* Applies with the n-th allocation failing, n = 1, 2 ..., until it goes through. */
static void apply_failing(syn_doc *doc, struct memory *memory, const syn_changes *set)
{
    for (uint64_t n = 1;; n++) {
        uint32_t end = syn_doc_log_end(doc);
        memory->calls = 0;
        memory->fail = n;
        syn_err err = syn_apply(doc, set, false, NULL);
        memory->fail = 0;
        syn_doc_check(doc);
        if (err == SYN_OK) return;
        ck_assert_int_eq(err, SYN_ENOMEM);
        ck_assert_uint_eq(syn_doc_log_end(doc), end);
    }
}

static void find_failing(syn_doc *doc, struct memory *memory)
{
    syn_err err = SYN_ENOMEM;
    for (uint64_t n = 1; err != SYN_OK; n++) {
        syn_effects *effects = NULL;
        const struct change_effect *did;
        uint32_t count;
        size_t held = memory->held;
        memory->calls = 0;
        memory->fail = n;
        err = syn_effects_new(doc, &effects);
        if (err == SYN_OK)
            err = syn_effects_of(effects, (syn_span){0, syn_doc_log_end(doc)}, &did, &count);
        memory->fail = 0;
        syn_effects_free(effects);
        syn_doc_check(doc);
        ck_assert(err == SYN_OK || err == SYN_ENOMEM);
        ck_assert_uint_ge(memory->held, held); /* the document may have grown its own scratch */
    }
}

START_TEST(without_memory_nothing_changes)
{
    for (uint32_t seed = 0; seed < seeds(30); seed++) {
        struct memory memory = {0};
        struct world w;
        begin_history(&w, seed + 400000);
        struct pieces *pieces = pieces_of(&w.r, w.archive.doc, 0);
        syn_doc *doc = counted_doc(&memory);
        for (uint32_t i = 0; i < pieces->n; i++) apply_failing(doc, &memory, pieces->at[i].set);
        ck_assert(!merged(doc));
        if (syn_doc_log_end(doc) > 0) {
            ck_assert_uint_eq(digest_of(doc), digest_of(w.archive.doc));
            find_failing(doc, &memory);
        }
        syn_doc_free(doc);
        ck_assert_uint_eq(memory.held, 0);
        pieces_free(pieces);
        world_free(&w);
    }
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("effects");
    TCase *all = tcase_create("effects");
    tcase_set_timeout(all, 0);
    tcase_add_test(all, an_effect_is_how_far_from_its_position_an_event_acted);
    tcase_add_test(all, memory_that_runs_out_leaves_an_empty_document);
    tcase_add_test(all, what_events_did_leads_to_the_same_document);
    tcase_add_test(all, effects_above_a_snapshot_are_the_same);
    tcase_add_test(all, history_is_put_below_with_its_effects);
    tcase_add_test(all, effects_that_do_not_fit_are_not_taken);
    tcase_add_test(all, work_is_limited);
    tcase_add_test(all, effects_come_back_from_bytes);
    tcase_add_test(all, without_memory_nothing_changes);
    suite_add_tcase(suite, all);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
