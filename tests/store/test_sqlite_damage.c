/* test_sqlite_damage.c -- bits flip, files are cut: noticed or harmless, never served as good.
 *
 * Two documents in one file; a byte of a row of "a" is changed while the file is closed. Then "a"
 * is damaged, is not stored over, and stays so after the next opening; "b" goes on as if nothing
 * were. */
#include "store_fixture.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static syn_str s(const char *text)
{
    return (syn_str){text, strlen(text)};
}

static unsigned char *image;
static size_t image_len;

static void read_image(const char *path)
{
    FILE *file = fopen(path, "rb");
    ck_assert_ptr_nonnull(file);
    ck_assert_int_eq(fseek(file, 0, SEEK_END), 0);
    image_len = (size_t)ftell(file);
    rewind(file);
    free(image);
    image = malloc(image_len);
    ck_assert_ptr_nonnull(image);
    ck_assert_uint_eq(fread(image, 1, image_len, file), image_len);
    ck_assert_int_eq(fclose(file), 0);
}

static void write_image(const char *path, size_t len)
{
    char other[512];
    FILE *file = fopen(path, "wb");
    ck_assert_ptr_nonnull(file);
    ck_assert_uint_eq(fwrite(image, 1, len, file), len);
    ck_assert_int_eq(fclose(file), 0);
    (void)snprintf(other, sizeof other, "%s-wal", path);
    (void)unlink(other);
    (void)snprintf(other, sizeof other, "%s-shm", path);
    (void)unlink(other);
}

/* Where the text stands in the file; it must be there once. */
static size_t find_text(const char *text)
{
    size_t len = strlen(text), at = 0, found = 0;
    for (size_t i = 0; i + len <= image_len; i++)
        if (memcmp(image + i, text, len) == 0) at = i, found++;
    ck_assert_msg(found == 1, "\"%s\" is there %zu times", text, found);
    return at;
}

static void fill_doc(syn_store *store, const char *name, const uint8_t *lineage, int64_t doc)
{
    static const char *const what[] = {"chunk", "snapshot", "tail", "note"};
    char text[4][40];
    for (int i = 0; i < 4; i++) (void)snprintf(text[i], 40, "%s-%s-bytes", name, what[i]);
    int64_t made;
    struct store_peer peer = {.peer = 7, .next = 3, .chain = 5};
    (void)snprintf(peer.user, sizeof peer.user, "%s-user-name", name);
    store_turn *turn = turn_of(store);
    ck_assert_int_eq(store_turn_create(turn, s(name), lineage, &made), SYN_OK);
    ck_assert_int_eq(made, doc);
    struct store_piece chunk = {0, 2, true, s(text[0]), s("effects of it")};
    syn_str parts[2] = {s(text[1]), s("second part")};
    store_turn_append(turn, doc, 0, 2, s("replaced"));
    store_turn_fold(turn, doc, &chunk, 1);
    store_turn_append(turn, doc, 2, 3, s(text[2]));
    store_turn_append(turn, doc, 3, 4, s("more tail"));
    store_turn_snapshot(turn, doc, 2, 2, parts, 2, false);
    store_turn_peer(turn, doc, &peer);
    store_turn_note(turn, doc, s("key"), s(text[3]));
    ck_assert_int_eq(store_commit(turn), SYN_OK);
}

static const uint8_t lineage_gone[STORE_LINEAGE_BYTES] = "LineageOfDeleted";

static void make_file(const char *path)
{
    syn_store *store = open_ok(path);
    fill_doc(store, "a", lineage_a, 1);
    fill_doc(store, "b", lineage_b, 2);
    int64_t gone = make_doc(store, "gone", lineage_gone);
    store_turn *turn = turn_of(store);
    store_turn_delete(turn, gone);
    ck_assert_int_eq(store_commit(turn), SYN_OK);
    fsck_clean(store);
    store_close(store);
    read_image(path);
}

/* Everything of a document as text, or the first error that is not "not there". */
static syn_err read_all(syn_store *store, const char *name, struct transcript *t)
{
    struct store_doc doc;
    struct store_peer peer;
    char value[64];
    size_t len = 0;
    memset(t, 0, sizeof *t);
    syn_err err = store_find(store, s(name), &doc);
    if (err != SYN_OK) return err;
    if (doc.damaged) return SYN_EDAMAGED;
    err = store_read_log(store, doc.id, 0, UINT32_MAX, transcribe, t);
    if (err == SYN_OK) err = store_read_snapshot(store, doc.id, transcribe, t);
    if (err == SYN_OK) err = store_read_peer(store, doc.id, 7, &peer);
    if (err == SYN_OK) err = store_read_note(store, doc.id, s("key"), value, sizeof value, &len);
    if (err != SYN_OK) return err;
    struct store_piece facts = {doc.events, doc.snapshot_at, false, {value, len}, s("")};
    (void)transcribe(t, &facts);
    facts = (struct store_piece){peer.next, (uint32_t)peer.chain, false, s(peer.user), s("")};
    (void)transcribe(t, &facts);
    facts.bytes = (syn_str){(const char *)doc.lineage, STORE_LINEAGE_BYTES};
    return transcribe(t, &facts);
}

static syn_err add_note_to(syn_store *store, int64_t doc)
{
    store_turn *turn = turn_of(store);
    store_turn_note(turn, doc, s("new"), s("note"));
    return store_commit(turn);
}

static const char *const flipped[] = {
    "a-chunk-bytes", "a-snapshot-bytes", "a-tail-bytes",
    "a-note-bytes",  "a-user-name",      "LineageOfDocumnA",
};

START_TEST(a_flipped_byte_damages_its_document_and_no_other)
{
    struct transcript t, good;
    const char *path = fixture_path("a.db");
    make_file(path);
    syn_store *store = open_ok(path);
    ck_assert_int_eq(read_all(store, "b", &good), SYN_OK);
    store_close(store);

    size_t at = find_text(flipped[_i]);
    for (size_t byte = 0; byte < strlen(flipped[_i]); byte += 5) {
        image[at + byte] ^= 0x04;
        write_image(path, image_len);
        image[at + byte] ^= 0x04;
        store = open_ok(path);
        ck_assert_int_eq(read_all(store, "a", &t), SYN_EDAMAGED);
        ck_assert(find_doc(store, "a").damaged);
        ck_assert_int_eq(add_note_to(store, 1), SYN_EDAMAGED);
        ck_assert_int_eq(add_note_to(store, 2), SYN_OK);
        ck_assert_int_eq(read_all(store, "b", &t), SYN_OK);
        ck_assert_str_eq(t.text, good.text);
        ck_assert_str_ne(fsck_text(store), "");
        store_close(store);
        store = open_ok(path); /* the mark is in the file */
        ck_assert(find_doc(store, "a").damaged);
        ck_assert_int_eq(add_note_to(store, 1), SYN_EDAMAGED);
        ck_assert(!find_doc(store, "b").damaged);
        store_close(store);
    }
}
END_TEST

START_TEST(a_flipped_byte_in_a_tombstone_or_the_id_is_noticed)
{
    char detail[256];
    struct store_doc doc;
    const char *path = fixture_path("a.db");
    make_file(path);
    image[find_text("store-id-0123456")] ^= 1;
    write_image(path, image_len);
    image[find_text("rtore-id-0123456")] ^= 1;
    store_options options = options_of(path);
    syn_store *store;
    ck_assert_int_eq(store_open(&store, &options, detail), SYN_EDAMAGED);
    ck_assert_ptr_nonnull(strstr(detail, "id is damaged"));

    for (size_t i = 0, found = 0; i + 16 <= image_len; i++) { /* in the table and in its index */
        if (memcmp(image + i, lineage_gone, 16) != 0) continue;
        image[i] ^= 1;
        write_image(path, image_len);
        image[i] ^= 1;
        store = open_ok(path);
        ck_assert_int_ne(store_find(store, s("gone"), &doc), SYN_OK);
        ck_assert_str_ne(fsck_text(store), "");
        store_close(store);
        ck_assert_uint_le(++found, 2);
    }
}
END_TEST

/* Each byte of the file, every so many: either all that is read is right, or there is an error, or
 * fsck says so. */
START_TEST(no_flipped_byte_is_served_as_good)
{
    struct transcript good[2], t;
    const char *path = fixture_path("a.db");
    static const char *const name[] = {"a", "b"};
    make_file(path);
    syn_store *store = open_ok(path);
    for (int i = 0; i < 2; i++) ck_assert_int_eq(read_all(store, name[i], &good[i]), SYN_OK);
    store_close(store);
    unsigned noticed = 0, harmless = 0, tries = fixture_rounds(1500);
    uint64_t seed = 99;
    for (unsigned n = 0; n < tries; n++) {
        char detail[256];
        size_t at = n % 2 == 0 ? (size_t)(fixture_random(&seed) % image_len)
                               : (size_t)(fixture_random(&seed) % 4096); /* the schema's page */
        unsigned char bit = (unsigned char)(1u << fixture_random(&seed) % 8);
        image[at] ^= bit;
        write_image(path, image_len);
        image[at] ^= bit;
        store_options options = options_of(path);
        options.create = false;
        if (store_open(&store, &options, detail) != SYN_OK) {
            ck_assert_str_ne(detail, "");
            noticed++;
            continue;
        }
        bool error = false;
        for (int i = 0; i < 2; i++) {
            syn_err err = read_all(store, name[i], &t);
            if (err != SYN_OK)
                error = true;
            else
                ck_assert_msg(strcmp(t.text, good[i].text) == 0, "byte %zu: \"%s\"", at, t.text);
            if (err == SYN_ENOTFOUND || err == SYN_EDELETED)
                ck_assert_msg(fsck_text(store)[0] != '\0', "byte %zu: lost, and fsck is silent",
                              at);
        }
        noticed += error;
        harmless += !error;
        (void)add_note_to(store, 2); /* whatever it says: it comes back */
        store_close(store);
    }
    ck_assert_uint_gt(noticed, 20);
    ck_assert_uint_gt(harmless, 20);
}
END_TEST

START_TEST(a_file_cut_short_is_damaged)
{
    struct transcript good, t;
    const char *path = fixture_path("a.db");
    make_file(path);
    syn_store *store = open_ok(path);
    ck_assert_int_eq(read_all(store, "a", &good), SYN_OK);
    store_close(store);
    for (size_t len = 512; len < image_len; len += 512) {
        char detail[256];
        write_image(path, len);
        store_options options = options_of(path);
        syn_err err = store_open(&store, &options, detail);
        if (err == SYN_OK) { /* cut within the last page, which SQLite rounds up */
            err = read_all(store, "a", &t);
            ck_assert(err != SYN_OK || strcmp(t.text, good.text) == 0);
            store_close(store);
        } else {
            ck_assert_msg(err == SYN_EDAMAGED, "%zu: %d %s", len, err, detail);
            ck_assert_msg(strstr(detail, "damaged: restore a backup") != NULL, "%zu: %s", len,
                          detail);
        }
    }
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("sqlite damage");
    TCase *damage = tcase_create("damage");
    tcase_set_timeout(damage, 0);
    tcase_add_checked_fixture(damage, fixture_setup, fixture_teardown);
    tcase_add_loop_test(damage, a_flipped_byte_damages_its_document_and_no_other, 0,
                        (int)(sizeof flipped / sizeof *flipped));
    tcase_add_test(damage, a_flipped_byte_in_a_tombstone_or_the_id_is_noticed);
    tcase_add_test(damage, no_flipped_byte_is_served_as_good);
    tcase_add_test(damage, a_file_cut_short_is_damaged);
    suite_add_tcase(suite, damage);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? 0 : 1;
}
