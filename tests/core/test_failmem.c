/* test_failmem.c -- every allocation made to fail in turn.
 *
 * A scenario is a list of steps over two documents.  Each step is first run with the first
 * allocation in it failing, then the second, and so on, until it goes through: each time it must
 * return SYN_ENOMEM and leave the document as it was.  The hook counts bytes: all of them must come
 * back. */
#include "mirror.h"
#include "proto.h"
#include "random.h"
#include "world.h"

#include <check.h>
#include <stdio.h>

struct memory {
    size_t held;    /* bytes given and not taken back */
    uint64_t calls; /* that may fail */
    uint64_t fail;  /* the call that does; 0: none */
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
    ck_assert_uint_ge(memory->held, old_size);
    memory->held += new_size - old_size;
    return moved;
}

struct scene {
    struct memory memory;
    syn_doc *doc;         /* fails */
    syn_doc *other;       /* does not: where changes come from */
    struct sets incoming; /* prepared before the step */
    syn_changes *removed;
    syn_str base[MAX_PARTS];
    uint32_t base_parts;
    proto_arena *arena;
    syn_snapshot snapshot;
};

struct step {
    const char *name;
    void (*prepare)(struct scene *scene); /* NULL: nothing */
    syn_err (*run)(struct scene *scene);
};

static syn_doc *new_doc(struct memory *memory, uint64_t peer)
{
    syn_doc *doc;
    syn_doc_config config = SYN_DOC_CONFIG_INIT;
    if (memory != NULL) config.mem = (syn_mem){counting_resize, memory};
    config.events = true;
    config.peer = peer;
    ck_assert_int_eq(syn_doc_new(&doc, &config), SYN_OK);
    return doc;
}

/* ---- Steps */

static syn_obj root(syn_doc *doc, const char *name, syn_kind kind, syn_err *err)
{
    syn_obj obj = SYN_NO_OBJ;
    if (*err == SYN_OK) *err = syn_root(doc, syn_s(name), kind, &obj);
    return obj;
}

static syn_err one_insert(struct scene *scene)
{
    syn_err err = SYN_OK;
    syn_obj text = root(scene->doc, "", SYN_TEXT, &err);
    return err == SYN_OK ? syn_text_insert(scene->doc, text, 0, syn_s("hello wörld")) : err;
}

static syn_err one_delete(struct scene *scene)
{
    syn_err err = SYN_OK;
    syn_obj text = root(scene->doc, "", SYN_TEXT, &err);
    return err == SYN_OK ? syn_text_delete(scene->doc, text, 2, 3) : err;
}

static syn_err one_map_set(struct scene *scene)
{
    syn_err err = SYN_OK;
    syn_obj map = root(scene->doc, "", SYN_MAP, &err);
    return err == SYN_OK
               ? syn_map_set(scene->doc, map, syn_s("a key"), syn_string(syn_s("a value")), NULL)
               : err;
}

static syn_err one_child(struct scene *scene)
{
    syn_err err = SYN_OK;
    syn_obj child, map = root(scene->doc, "", SYN_MAP, &err);
    return err == SYN_OK ? syn_map_child(scene->doc, map, syn_s("child"), SYN_LIST, &child) : err;
}

static syn_err one_map_delete(struct scene *scene)
{
    syn_err err = SYN_OK;
    syn_obj map = root(scene->doc, "", SYN_MAP, &err);
    return err == SYN_OK ? syn_map_delete(scene->doc, map, syn_s("a key")) : err;
}

static syn_err one_list_insert(struct scene *scene)
{
    syn_err err = SYN_OK;
    syn_obj made, list = root(scene->doc, "list", SYN_LIST, &err);
    syn_value child = {.kind = SYN_VALUE_CHILD, .child = SYN_TEXT};
    return err == SYN_OK ? syn_list_insert(scene->doc, list, 0, child, &made) : err;
}

static syn_err one_list_set(struct scene *scene)
{
    syn_err err = SYN_OK;
    syn_obj list = root(scene->doc, "list", SYN_LIST, &err);
    return err == SYN_OK ? syn_list_set(scene->doc, list, 0, syn_bytes(syn_s("bytes")), NULL) : err;
}

static syn_err one_list_delete(struct scene *scene)
{
    syn_err err = SYN_OK;
    syn_obj list = root(scene->doc, "list", SYN_LIST, &err);
    return err == SYN_OK ? syn_list_delete(scene->doc, list, 0, 1) : err;
}

static syn_err one_count(struct scene *scene)
{
    syn_err err = SYN_OK;
    syn_obj counter = root(scene->doc, "counter", SYN_COUNTER, &err);
    return err == SYN_OK ? syn_counter_add(scene->doc, counter, 7) : err;
}

static void open_transaction(struct scene *scene)
{
    ck_assert_int_eq(syn_begin(scene->doc), SYN_OK);
}

static syn_err roll_back(struct scene *scene)
{
    return syn_rollback(scene->doc);
}

static syn_err commit(struct scene *scene)
{
    return syn_commit(scene->doc);
}

/* The other document takes all and edits on; and so does this one. */
static void edit_apart(struct scene *scene)
{
    struct sets sets =
        sets_of(scene->doc, syn_doc_log_start(scene->doc), syn_doc_log_end(scene->doc), UINT32_MAX);
    syn_err err = SYN_OK;
    for (uint32_t i = 0; i < sets.n; i++)
        ck_assert_int_eq(syn_apply(scene->other, sets.at[i], false, NULL), SYN_OK);
    sets_free(&sets);
    uint32_t from = syn_doc_log_end(scene->other);
    syn_obj text = root(scene->other, "", SYN_TEXT, &err),
            map = root(scene->other, "", SYN_MAP, &err),
            list = root(scene->other, "list", SYN_LIST, &err);
    syn_obj mine = root(scene->doc, "", SYN_TEXT, &err), fresh;
    syn_value child = {.kind = SYN_VALUE_CHILD, .child = SYN_MAP};
    for (uint32_t i = 0; i < 40; i++) {
        ck_assert_int_eq(syn_text_insert(scene->other, text,
                                         i % (syn_text_len(scene->other, text) + 1),
                                         syn_s("remote")),
                         SYN_OK);
        ck_assert_int_eq(syn_text_insert(scene->doc, mine, i % (syn_text_len(scene->doc, mine) + 1),
                                         syn_s("own")),
                         SYN_OK);
        if (i % 3 == 0) ck_assert_int_eq(syn_text_delete(scene->other, text, i, 2), SYN_OK);
    }
    ck_assert_int_eq(syn_list_insert(scene->other, list, 0, syn_int(3), NULL), SYN_OK);
    ck_assert_int_eq(syn_map_set(scene->other, map, syn_s("a key"), child, &fresh), SYN_OK);
    ck_assert_int_eq(
        syn_map_set(scene->other, fresh, syn_s("deep"), syn_string(syn_s("water")), NULL), SYN_OK);
    sets_free(&scene->incoming);
    scene->incoming = sets_of(scene->other, from, syn_doc_log_end(scene->other), UINT32_MAX);
}

static syn_err apply_incoming(struct scene *scene)
{
    return syn_apply(scene->doc, scene->incoming.at[0], false, NULL);
}

static syn_err apply_again(struct scene *scene)
{
    syn_applied applied;
    syn_err err = syn_apply(scene->doc, scene->incoming.at[0], false, &applied);
    if (err == SYN_OK) ck_assert_uint_eq(applied.applied, 0);
    return err;
}

/* Two sets, the second of which comes first. */
static void edit_twice(struct scene *scene)
{
    syn_err err = SYN_OK;
    syn_obj text = root(scene->other, "", SYN_TEXT, &err);
    uint32_t from = syn_doc_log_end(scene->other);
    ck_assert_int_eq(syn_text_insert(scene->other, text, 0, syn_s("one, two")), SYN_OK);
    sets_free(&scene->incoming);
    scene->incoming = sets_of(scene->other, from, syn_doc_log_end(scene->other), 4);
    ck_assert_uint_eq(scene->incoming.n, 2);
}

static syn_err apply_second(struct scene *scene)
{
    return syn_apply(scene->doc, scene->incoming.at[1], true, NULL);
}

static syn_err snapshot(struct scene *scene)
{
    syn_snapshot ignored;
    return syn_doc_snapshot(scene->doc, &ignored);
}

static syn_err export_all(struct scene *scene)
{
    syn_changes set;
    uint32_t cut;
    syn_span all = {syn_doc_log_start(scene->doc), syn_doc_log_end(scene->doc)};
    return syn_doc_export(scene->doc, all, UINT32_MAX, SIZE_MAX, &set, &cut);
}

static syn_err spans_since(struct scene *scene)
{
    const syn_span *spans;
    size_t count;
    syn_id first = syn_doc_event_id(scene->doc, syn_doc_log_start(scene->doc));
    return syn_doc_spans_since(scene->doc, &first, 1, &spans, &count);
}

static syn_err into_nothing(void *user, const void *data, size_t len)
{
    (void)user;
    (void)data;
    (void)len;
    return SYN_OK;
}

static syn_err json(struct scene *scene)
{
    return syn_doc_json(scene->doc, SYN_NO_OBJ, into_nothing, NULL);
}

static void pick_removed(struct scene *scene)
{
    syn_doc_events_clear(scene->doc);
}

static syn_err without(struct scene *scene)
{
    syn_id last = syn_doc_event_id(scene->doc, syn_doc_log_end(scene->doc) - 1);
    syn_changes_free(NULL, scene->removed);
    scene->removed = NULL;
    return syn_doc_without(scene->doc, scene->base_parts > 0 ? &scene->snapshot : NULL, last.peer,
                           last.seq, &scene->removed);
}

/* Puts this document onto a snapshot of the other. */
static void start_empty(struct scene *scene)
{
    uint64_t digest;
    struct proto_fault fault;
    syn_err err = SYN_OK;
    syn_obj text = root(scene->other, "", SYN_TEXT, &err);
    ck_assert_int_eq(syn_text_insert(scene->other, text, 0, syn_s("!")), SYN_OK);
    ck_assert_uint_eq(syn_doc_heads(scene->other, NULL, 0), 1);
    scene->base_parts = snapshot_bytes(scene->other, scene->base, &digest);
    ck_assert_int_eq(proto_join_snapshot(scene->arena, scene->base, scene->base_parts,
                                         &scene->snapshot, &digest, &fault),
                     SYN_OK);
    sets_free(&scene->incoming);
    scene->incoming = sets_of(scene->other, 0, syn_doc_log_end(scene->other), 20);
    syn_doc_free(scene->doc);
    ck_assert_uint_eq(scene->memory.held, 0);
    scene->doc = new_doc(&scene->memory, 5);
}

static syn_err load(struct scene *scene)
{
    return syn_doc_load(scene->doc, &scene->snapshot);
}

static const syn_changes *next_set(void *user, syn_err *err)
{
    struct sets *sets = user;
    (void)err;
    return sets->next < sets->n ? sets->at[sets->next++] : NULL;
}

static syn_err backfill(struct scene *scene)
{
    scene->incoming.next = 0;
    return syn_doc_backfill(scene->doc, next_set, &scene->incoming, NULL);
}

static const struct step steps[] = {
    {"insert", NULL, one_insert},
    {"delete", NULL, one_delete},
    {"set a key", NULL, one_map_set},
    {"make a mergeable child", NULL, one_child},
    {"insert an item", NULL, one_list_insert},
    {"count", NULL, one_count},
    {"insert in a transaction", open_transaction, one_insert},
    {"delete in it", NULL, one_delete},
    {"set in it", NULL, one_map_set},
    {"delete a key in it", NULL, one_map_delete},
    {"insert an item in it", NULL, one_list_insert},
    {"set an item in it", NULL, one_list_set},
    {"delete an item in it", NULL, one_list_delete},
    {"count in it", NULL, one_count},
    {"roll back", NULL, roll_back},
    {"insert in another", open_transaction, one_insert},
    {"commit", NULL, commit},
    {"set an item", NULL, one_list_set},
    {"apply what is concurrent", edit_apart, apply_incoming},
    {"apply it again", NULL, apply_again},
    {"more of that", edit_apart, apply_incoming},
    {"keep what comes too early", edit_twice, apply_second},
    {"apply what it waited for", NULL, apply_incoming},
    {"snapshot", NULL, snapshot},
    {"export", NULL, export_all},
    {"spans", NULL, spans_since},
    {"json", NULL, json},
    {"without the last event", pick_removed, without},
    {"load", start_empty, load},
    {"edit above the snapshot", NULL, one_insert},
    {"delete above it", NULL, one_delete},
    {"export above it", NULL, export_all},
    {"without, above it", pick_removed, without},
    {"backfill", pick_removed, backfill},
    {"edit with history", NULL, one_insert},
    {"apply to that", edit_apart, apply_incoming},
    {"without in the end", pick_removed, without},
};

/* ---- Failing */

struct picture {
    char *json;
    uint32_t end;
    size_t events, missing;
};

static struct picture picture_of(const syn_doc *doc)
{
    return (struct picture){json_of(doc, SYN_NO_OBJ), syn_doc_log_end(doc),
                            syn_doc_event_count(doc), syn_doc_missing(doc, NULL, 0)};
}

static void must_look_like(const syn_doc *doc, const struct picture *before, const char *step)
{
    struct picture now = picture_of(doc);
    ck_assert_msg(strcmp(before->json, now.json) == 0, "%s: %s became %s", step, before->json,
                  now.json);
    ck_assert_msg(before->end == now.end && before->events == now.events &&
                      before->missing == now.missing,
                  "%s: events came or went", step);
    free(now.json);
}

/* Runs the step with its n-th allocation failing, n = 1, 2 ...; how many there were. */
static uint64_t fail_each(struct scene *scene, const struct step *step)
{
    struct picture before = picture_of(scene->doc);
    for (uint64_t n = 1;; n++) {
        scene->memory.calls = 0;
        scene->memory.fail = n;
        syn_err err = step->run(scene);
        bool failed = scene->memory.calls >= n;
        scene->memory.fail = 0;
        syn_doc_check(scene->doc);
        if (err == SYN_OK) {
            free(before.json);
            /* Some do without: where memory only makes things faster. */
            if (!failed) return n - 1;
            ck_assert_msg(failed, "%s", step->name);
            return n;
        }
        ck_assert_msg(err == SYN_ENOMEM, "%s, allocation %u: %s: %s", step->name, (unsigned)n,
                      syn_errname(err), syn_doc_error(scene->doc));
        ck_assert_msg(failed, "%s: refused without a reason", step->name);
        must_look_like(scene->doc, &before, step->name);
    }
}

START_TEST(a_call_without_memory_changes_nothing)
{
    struct scene scene = {.other = new_doc(NULL, 9)};
    uint64_t total = 0;
    ck_assert_int_eq(proto_arena_new(&scene.arena, NULL), SYN_OK);
    scene.doc = new_doc(&scene.memory, 3);
    for (size_t i = 0; i < sizeof steps / sizeof steps[0]; i++) {
        if (steps[i].prepare != NULL) steps[i].prepare(&scene);
        uint64_t failures = fail_each(&scene, &steps[i]);
        total += failures;
        printf("failmem: %-28s %4u allocations\n", steps[i].name, (unsigned)failures);
    }
    ck_assert_uint_gt(total, 200);
    syn_doc_free(scene.doc);
    ck_assert_uint_eq(scene.memory.held, 0);
    syn_doc_free(scene.other);
    sets_free(&scene.incoming);
    syn_changes_free(NULL, scene.removed);
    for (uint32_t i = 0; i < scene.base_parts; i++) free((char *)(uintptr_t)scene.base[i].data);
    proto_arena_free(scene.arena);
}
END_TEST

START_TEST(a_document_that_cannot_be_made_leaks_nothing)
{
    for (uint64_t n = 1;; n++) {
        struct memory memory = {.fail = n};
        syn_doc *doc = NULL;
        syn_doc_config config = SYN_DOC_CONFIG_INIT;
        config.mem = (syn_mem){counting_resize, &memory};
        syn_err err = syn_doc_new(&doc, &config);
        syn_doc_free(doc);
        ck_assert_uint_eq(memory.held, 0);
        if (err == SYN_OK) break;
        ck_assert_int_eq(err, SYN_ENOMEM);
    }
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("failmem");
    TCase *each = tcase_create("each allocation");
    tcase_set_timeout(each, 0);
    tcase_add_test(each, a_call_without_memory_changes_nothing);
    tcase_add_test(each, a_document_that_cannot_be_made_leaks_nothing);
    suite_add_tcase(suite, each);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
