/* test_doc_store.c -- documents into a store, folded, and out again with their history.
 *
 * What a chunk's events did rests beside it: loading must not merge, must lead to the same document
 * as merging does, and must get by when the effects are missing, unreadable or wrong.  A file of
 * the schema before effects opens as it is, and gets them when it is folded. */
#include "doc.h"
#include "fold.h"
#include "proto.h"
#include "random.h"
#include "syncline_bytes.h"

#include <sqlite3.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static const syn_str name = {"golden", 6};

/* ---- A store in a folder of its own ---------------------------------------------------------- */

static char folder[64], path[80];

static void setup(void)
{
    (void)snprintf(folder, sizeof folder, "/tmp/syn-doc-store-XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(folder));
    (void)snprintf(path, sizeof path, "%s/a.db", folder);
}

static void teardown(void)
{
    static const char *const endings[] = {"", "-wal", "-shm", ".lock"};
    char file[sizeof path + 8];
    for (size_t i = 0; i < sizeof endings / sizeof endings[0]; i++) {
        (void)snprintf(file, sizeof file, "%s%s", path, endings[i]);
        (void)unlink(file);
    }
    (void)rmdir(folder);
}

static syn_store *open_store(bool read_only)
{
    static const uint8_t id[STORE_ID_BYTES] = {7};
    store_options options = {
        .path = path, .create = !read_only, .read_only = read_only, .random_id = id};
    char detail[DETAIL_BYTES] = "";
    syn_store *store;
    syn_err err = store_open(&store, &options, detail);
    ck_assert_msg(err == SYN_OK, "%s", detail);
    return store;
}

static store_turn *turn_of(syn_store *store)
{
    store_turn *turn;
    ck_assert_int_eq(store_turn_new(store, &turn), SYN_OK);
    return turn;
}

static struct store_doc row_of(syn_store *store)
{
    struct store_doc row;
    ck_assert_int_eq(store_find(store, name, &row), SYN_OK);
    return row;
}

static syn_doc *load(syn_store *store, struct store_doc *row)
{
    char detail[DETAIL_BYTES] = "";
    syn_doc *doc;
    syn_err err = doc_store_load(store, name, NULL, &doc, row, detail);
    ck_assert_msg(err == SYN_OK, "%s", detail);
    syn_doc_check(doc);
    return doc;
}

static bool merged(const syn_doc *doc)
{
    for (uint32_t i = 0; i < doc->all.list.n; i++)
        if (container_at(&doc->all, i)->merge != NULL) return true;
    return false;
}

static void must_show(const syn_doc *doc, const char *expected)
{
    char text[256];
    syn_obj obj = SYN_NO_OBJ;
    ck_assert_int_eq(syn_root((syn_doc *)(uintptr_t)doc, syn_s(""), SYN_TEXT, &obj), SYN_OK);
    size_t len = syn_text_bytes(doc, obj);
    ck_assert_uint_lt(len, sizeof text);
    (void)syn_text_read(doc, obj, 0, syn_text_len(doc, obj), text, sizeof text);
    text[len] = '\0';
    ck_assert_str_eq(text, expected);
}

static syn_err add_effects(void *user, const struct store_piece *piece)
{
    *(size_t *)user += piece->effects.len;
    return SYN_OK;
}

static size_t effect_bytes(syn_store *store)
{
    size_t bytes = 0;
    ck_assert_int_eq(store_read_log(store, row_of(store).id, 0, UINT32_MAX, add_effects, &bytes),
                     SYN_OK);
    return bytes;
}

static void fail_on_problem(void *user, const char *text)
{
    (void)user;
    ck_abort_msg("fsck: %s", text);
}

static void fold_all(syn_store *store, syn_doc *doc)
{
    store_turn *turn = turn_of(store);
    ck_assert_int_eq(fold_document(store, name, doc, turn), SYN_OK);
    ck_assert_int_eq(store_commit(turn), SYN_OK);
    ck_assert_int_eq(store_fsck(store, fail_on_problem, NULL, NULL), SYN_OK);
}

/* ---- The schema before ----------------------------------------------------------------------- */

static const char golden_text[] = "kwyddvojzdkqftardclwwsufrfopsjivh";

static void make_golden(void)
{
    char sql[16384];
    sqlite3 *db;
    FILE *file = fopen(SYN_SOURCE_DIR "/tests/golden/store/v1.sql", "rb");
    ck_assert_ptr_nonnull(file);
    size_t len = fread(sql, 1, sizeof sql - 1, file);
    (void)fclose(file);
    sql[len] = '\0';
    ck_assert_int_eq(sqlite3_open(path, &db), SQLITE_OK);
    ck_assert_msg(sqlite3_exec(db, sql, NULL, NULL, NULL) == SQLITE_OK, "%s", sqlite3_errmsg(db));
    ck_assert_int_eq(sqlite3_close(db), SQLITE_OK);
}

static int version_of_file(void)
{
    sqlite3 *db;
    sqlite3_stmt *statement;
    ck_assert_int_eq(sqlite3_open(path, &db), SQLITE_OK);
    ck_assert_int_eq(sqlite3_prepare_v2(db, "PRAGMA user_version", -1, &statement, NULL),
                     SQLITE_OK);
    ck_assert_int_eq(sqlite3_step(statement), SQLITE_ROW);
    int version = sqlite3_column_int(statement, 0);
    (void)sqlite3_finalize(statement);
    (void)sqlite3_close(db);
    return version;
}

START_TEST(an_older_file_is_read_as_it_is)
{
    make_golden();
    syn_store *store = open_store(true);
    struct store_doc row;
    syn_doc *doc = load(store, &row);
    must_show(doc, golden_text);
    ck_assert_uint_eq(effect_bytes(store), 0);
    ck_assert_int_eq(store_fsck(store, fail_on_problem, NULL, NULL), SYN_OK);
    syn_doc_free(doc);
    store_close(store);
    ck_assert_int_eq(version_of_file(), 1);
}
END_TEST

START_TEST(an_older_file_gets_effects_when_it_is_folded)
{
    make_golden();
    syn_store *store = open_store(false);
    struct store_doc row;
    syn_doc *doc = load(store, &row);
    ck_assert(merged(doc));
    must_show(doc, golden_text);
    ck_assert_int_eq(store_fsck(store, fail_on_problem, NULL, NULL), SYN_OK);
    fold_all(store, doc);
    syn_doc_free(doc);
    store_close(store);
    ck_assert_int_eq(version_of_file(), 2);
    store = open_store(true);
    ck_assert_uint_gt(effect_bytes(store), 0);
    doc = load(store, &row);
    ck_assert(!merged(doc));
    must_show(doc, golden_text);
    syn_doc_free(doc);
    store_close(store);
}
END_TEST

/* Its owner may come while it is being read. */
START_TEST(an_older_file_may_be_migrated_under_a_reader)
{
    make_golden();
    syn_store *reader = open_store(true), *owner = open_store(false);
    struct store_doc row;
    syn_doc *doc = load(reader, &row);
    fold_all(owner, doc);
    syn_doc_free(doc);
    ck_assert_uint_gt(effect_bytes(reader), 0);
    doc = load(reader, &row);
    must_show(doc, golden_text);
    syn_doc_free(doc);
    store_close(owner);
    store_close(reader);
}
END_TEST

/* ---- Histories ------------------------------------------------------------------------------- */

struct pair { /* two replicas, a store that takes what the first has */
    struct random r;
    syn_doc *doc[2];
    syn_obj text[2];
    syn_store *store;
    int64_t id;
    uint32_t stored;
};

static void give(syn_doc *from, syn_doc *to)
{
    syn_id heads[64];
    syn_buf bytes = {0};
    size_t count = syn_doc_heads(to, heads, 64);
    syn_err err = syn_export_since(from, heads, count, &bytes);
    if (err == SYN_ENOTFOUND) {
        syn_buf_free(&bytes); /* a head of its own: all, for what is known is passed over */
        err = syn_export_since(from, NULL, 0, &bytes);
    }
    ck_assert_int_eq(err, SYN_OK);
    ck_assert_int_eq(syn_import(to, bytes.data, bytes.len), SYN_OK);
    syn_buf_free(&bytes);
}

static void edit(struct pair *p, int who)
{
    syn_doc *doc = p->doc[who];
    uint32_t len = (uint32_t)syn_text_len(doc, p->text[who]), at = below(&p->r, len + 1);
    if (len > 20 && one_in(&p->r, 2)) {
        uint32_t count = 1 + below(&p->r, 5);
        if (count > len - at) count = len - at;
        if (count > 0) ck_assert_int_eq(syn_text_delete(doc, p->text[who], at, count), SYN_OK);
    } else {
        ck_assert_int_eq(syn_text_insert(doc, p->text[who], at, syn_s("abc")), SYN_OK);
    }
}

static void store_more(struct pair *p)
{
    store_turn *turn = turn_of(p->store);
    struct doc_append what = {.from = p->stored, .end = syn_doc_log_end(p->doc[0])};
    if (p->id == 0) ck_assert_int_eq(store_turn_create(turn, name, NULL, &p->id), SYN_OK);
    what.doc = p->id;
    ck_assert_int_eq(doc_store_append(turn, p->store, p->doc[0], &what, NULL), SYN_OK);
    ck_assert_int_eq(store_commit(turn), SYN_OK);
    p->stored = what.end;
}

/* What a server does to a long tail: the newest pieces only. */
static void fold_tail(struct pair *p, uint32_t *folded)
{
    store_turn *turn = turn_of(p->store);
    struct fold_span span = {*folded, p->stored, 0};
    if (span.from == span.end) {
        store_turn_drop(turn);
        return;
    }
    ck_assert_int_eq(fold_log(turn, p->id, p->doc[0], 0, &span), SYN_OK);
    ck_assert_int_eq(store_commit(turn), SYN_OK);
    *folded = p->stored;
}

static void begin(struct pair *p, uint32_t seed)
{
    *p = (struct pair){.r = random_seeded(seed)};
    char detail[DETAIL_BYTES];
    static const uint8_t id[STORE_ID_BYTES] = {7};
    store_options memory = {.random_id = id};
    if (seed % 2 == 0)
        p->store = open_store(false);
    else
        ck_assert_int_eq(store_open(&p->store, &memory, detail), SYN_OK);
    for (int i = 0; i < 2; i++) {
        ck_assert_int_eq(syn_doc_new(&p->doc[i], NULL), SYN_OK);
        ck_assert_int_eq(syn_doc_set_peer(p->doc[i], (uint64_t)i + 1, true), SYN_OK);
        ck_assert_int_eq(syn_root(p->doc[i], syn_s(""), SYN_TEXT, &p->text[i]), SYN_OK);
    }
    uint32_t folded = 0;
    for (uint32_t i = 0; i < 60; i++) {
        edit(p, (int)below(&p->r, 2));
        if (one_in(&p->r, 6)) give(p->doc[1], p->doc[0]);
        if (one_in(&p->r, 6)) give(p->doc[0], p->doc[1]);
        if (one_in(&p->r, 8) && syn_doc_log_end(p->doc[0]) > p->stored) store_more(p);
        if (one_in(&p->r, 10)) fold_tail(p, &folded);
    }
    give(p->doc[1], p->doc[0]);
    if (one_in(&p->r, 2)) /* one head, so that there is a snapshot at the end */
        ck_assert_int_eq(syn_text_insert(p->doc[0], p->text[0], 0, syn_s("!")), SYN_OK);
    if (syn_doc_log_end(p->doc[0]) > p->stored) store_more(p);
    if (one_in(&p->r, 2)) fold_tail(p, &folded);
}

static void end(struct pair *p)
{
    syn_doc_free(p->doc[0]);
    syn_doc_free(p->doc[1]);
    store_close(p->store);
    (void)unlink(path);
}

static uint64_t digest_of(syn_doc *doc)
{
    uint64_t digest;
    ck_assert_int_eq(syn_doc_digest(doc, &digest), SYN_OK);
    return digest;
}

/* Loads with and without history; both show what the first replica shows. */
static void look(struct pair *p)
{
    struct store_doc row;
    uint32_t added;
    syn_doc *doc = load(p->store, &row);
    ck_assert_uint_eq(digest_of(doc), digest_of(p->doc[0]));
    ck_assert_int_eq(doc_store_backfill(p->store, &row, doc, &added), SYN_OK);
    syn_doc_check(doc);
    ck_assert_uint_eq(digest_of(doc), digest_of(p->doc[0]));
    ck_assert_uint_eq(syn_doc_log_end(doc), syn_doc_log_end(p->doc[0]));
    syn_doc_free(doc);
}

START_TEST(folded_histories_load_without_merging)
{
    for (uint32_t seed = 0; seed < seeds(60); seed++) {
        struct pair p;
        begin(&p, seed);
        look(&p);
        ck_assert_int_eq(store_fsck(p.store, fail_on_problem, NULL, NULL), SYN_OK);
        fold_all(p.store, p.doc[0]);
        ck_assert_uint_gt(effect_bytes(p.store), 0);
        look(&p);
        struct store_doc row;
        uint32_t added;
        syn_doc *doc = load(p.store, &row);
        ck_assert_int_eq(doc_store_backfill(p.store, &row, doc, &added), SYN_OK);
        /* What lies above a snapshot is applied once more, by merging. */
        ck_assert(!merged(doc) || (row.snapshot_at > 0 && row.snapshot_at < row.events));
        syn_doc_free(doc);
        end(&p);
    }
}
END_TEST

/* ---- Wrong effects --------------------------------------------------------------------------- */

struct copies {
    struct store_piece at[64];
    uint32_t n;
};

static syn_err copy_piece(void *user, const struct store_piece *piece)
{
    struct copies *copies = user;
    struct store_piece *copy = &copies->at[copies->n++];
    *copy = *piece;
    copy->bytes.data = memcpy(malloc(piece->bytes.len), piece->bytes.data, piece->bytes.len);
    copy->effects.data =
        memcpy(malloc(piece->effects.len + 1), piece->effects.data, piece->effects.len);
    return SYN_OK;
}

/* Puts other effects beside the chunk, with a right checksum: as a mistake of ours would. */
static void replace_effects(struct pair *p, const struct store_piece *chunk, syn_str effects)
{
    struct store_piece changed = *chunk;
    changed.effects = effects;
    store_turn *turn = turn_of(p->store);
    ck_assert_int_eq(store_turn_fold(turn, p->id, &changed, 1), SYN_OK);
    ck_assert_int_eq(store_commit(turn), SYN_OK);
}

/* The first that is no insert at the very beginning acts one place further left. */
static syn_buf shifted(const struct store_piece *chunk)
{
    proto_arena *arena;
    syn_changes set = {0};
    syn_buf bytes = {0};
    ck_assert_int_eq(proto_arena_new(&arena, NULL), SYN_OK);
    ck_assert_int_eq(proto_decode_effects(arena, chunk->effects, &set), SYN_OK);
    struct change_effect effects[4096];
    ck_assert_uint_lt(set.effect_count, 4096);
    memcpy(effects, set.effects, set.effect_count * sizeof *effects);
    for (uint32_t i = 0; i < set.effect_count; i++)
        if (effects[i].by > 0) {
            effects[i].by--;
            break;
        }
    ck_assert_int_eq(proto_encode_effects(&bytes, effects, set.effect_count), SYN_OK);
    proto_arena_free(arena);
    return bytes;
}

START_TEST(effects_that_cannot_be_read_are_as_good_as_none)
{
    struct pair p;
    begin(&p, 2);
    fold_all(p.store, p.doc[0]);
    struct copies copies = {0};
    ck_assert_int_eq(store_read_log(p.store, p.id, 0, UINT32_MAX, copy_piece, &copies), SYN_OK);
    replace_effects(&p, &copies.at[0], syn_s("\x08\x02 nonsense"));
    look(&p);
    struct store_piece *first = &copies.at[0];
    for (size_t len = 1; len < first->effects.len; len++) {
        replace_effects(&p, first, (syn_str){first->effects.data, len});
        look(&p);
    }
    for (uint32_t i = 0; i < copies.n; i++) {
        free((char *)(uintptr_t)copies.at[i].bytes.data);
        free((char *)(uintptr_t)copies.at[i].effects.data);
    }
    end(&p);
}
END_TEST

/* Below a snapshot they are held against it. */
START_TEST(history_with_wrong_effects_is_merged_below_a_snapshot)
{
    uint32_t tried = 0;
    for (uint32_t seed = 0; seed < 40; seed++) {
        struct pair p;
        begin(&p, seed);
        fold_all(p.store, p.doc[0]);
        struct copies copies = {0};
        ck_assert_int_eq(store_read_log(p.store, p.id, 0, UINT32_MAX, copy_piece, &copies), SYN_OK);
        bool below = row_of(p.store).snapshot_at == row_of(p.store).events;
        if (below && copies.at[0].effects.len > 0) {
            syn_buf wrong = shifted(&copies.at[0]);
            replace_effects(&p, &copies.at[0], (syn_str){wrong.data, wrong.len});
            look(&p);
            syn_buf_free(&wrong);
            tried++;
        }
        for (uint32_t i = 0; i < copies.n; i++) {
            free((char *)(uintptr_t)copies.at[i].bytes.data);
            free((char *)(uintptr_t)copies.at[i].effects.data);
        }
        end(&p);
    }
    ck_assert_uint_gt(tried, 5);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("doc store");
    TCase *all = tcase_create("doc store");
    tcase_set_timeout(all, 0);
    tcase_add_checked_fixture(all, setup, teardown);
    tcase_add_test(all, an_older_file_is_read_as_it_is);
    tcase_add_test(all, an_older_file_gets_effects_when_it_is_folded);
    tcase_add_test(all, an_older_file_may_be_migrated_under_a_reader);
    tcase_add_test(all, folded_histories_load_without_merging);
    tcase_add_test(all, effects_that_cannot_be_read_are_as_good_as_none);
    tcase_add_test(all, history_with_wrong_effects_is_merged_below_a_snapshot);
    suite_add_tcase(suite, all);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
