/* test_bytes.c -- whole documents as bytes: changes between replicas, files with and without
 * history, and what is wrong with a file. */
#include "syncline_bytes.h"

#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static syn_doc *new_doc(uint64_t peer)
{
    syn_doc *doc;
    syn_doc_config config = SYN_DOC_CONFIG_INIT;
    config.peer = peer;
    ck_assert_int_eq(syn_doc_new(&doc, &config), SYN_OK);
    return doc;
}

static void type(syn_doc *doc, size_t pos, const char *text)
{
    syn_obj body;
    ck_assert_int_eq(syn_root(doc, syn_s("body"), SYN_TEXT, &body), SYN_OK);
    ck_assert_int_eq(syn_text_insert(doc, body, pos, syn_s(text)), SYN_OK);
}

/* Something of every kind. */
static void fill(syn_doc *doc)
{
    syn_obj map, child, list, counter;
    type(doc, 0, "Hello, w\xc3\xb6rld");
    ck_assert_int_eq(syn_root(doc, syn_s(""), SYN_MAP, &map), SYN_OK);
    ck_assert_int_eq(syn_map_set(doc, map, syn_s("title"), syn_string(syn_s("A")), NULL), SYN_OK);
    ck_assert_int_eq(syn_map_set(doc, map, syn_s("ratio"), syn_real(0.5), NULL), SYN_OK);
    ck_assert_int_eq(syn_map_child(doc, map, syn_s("sub"), SYN_MAP, &child), SYN_OK);
    ck_assert_int_eq(syn_map_set(doc, child, syn_s("gone"), syn_null(), NULL), SYN_OK);
    ck_assert_int_eq(syn_map_delete(doc, child, syn_s("gone")), SYN_OK);
    ck_assert_int_eq(syn_map_child(doc, map, syn_s("items"), SYN_LIST, &list), SYN_OK);
    ck_assert_int_eq(syn_list_insert(doc, list, 0, syn_int(-7), NULL), SYN_OK);
    ck_assert_int_eq(syn_list_insert(doc, list, 1, syn_bool(true), NULL), SYN_OK);
    ck_assert_int_eq(syn_list_set(doc, list, 0, syn_bytes(syn_s("\x01\x02")), NULL), SYN_OK);
    ck_assert_int_eq(syn_root(doc, syn_s("hits"), SYN_COUNTER, &counter), SYN_OK);
    ck_assert_int_eq(syn_counter_add(doc, counter, 41), SYN_OK);
}

static syn_err add_json(void *user, const void *data, size_t len)
{
    return syn_buf_append(user, data, len);
}

static void ck_equal(syn_doc *a, syn_doc *b)
{
    syn_buf x = {0}, y = {0};
    uint64_t p, q;
    ck_assert_int_eq(syn_doc_json(a, SYN_NO_OBJ, add_json, &x), SYN_OK);
    ck_assert_int_eq(syn_doc_json(b, SYN_NO_OBJ, add_json, &y), SYN_OK);
    ck_assert_msg(x.len == y.len && memcmp(x.data, y.data, x.len) == 0, "%.*s\n%.*s", (int)x.len,
                  x.data, (int)y.len, y.data);
    ck_assert_int_eq(syn_doc_digest(a, &p), SYN_OK);
    ck_assert_int_eq(syn_doc_digest(b, &q), SYN_OK);
    ck_assert_uint_eq(p, q);
    ck_assert_uint_eq(syn_doc_events(a), syn_doc_events(b));
    syn_buf_free(&x);
    syn_buf_free(&y);
}

/* Sends what `to` lacks. */
static void send_changes(syn_doc *from, syn_doc *to)
{
    syn_id next[64];
    size_t count = syn_doc_vector(to, next, 64);
    syn_buf bytes = {0};
    ck_assert_int_eq(syn_export_vector(from, next, count, &bytes), SYN_OK);
    ck_assert_int_eq(syn_import(to, bytes.data, bytes.len), SYN_OK);
    ck_assert_int_eq(syn_import(to, bytes.data, bytes.len), SYN_OK); /* again: nothing */
    syn_buf_free(&bytes);
}

START_TEST(replicas_meet)
{
    syn_doc *a = new_doc(1), *b = new_doc(2);
    fill(a);
    send_changes(a, b);
    ck_equal(a, b);
    type(a, 5, " dear");
    type(b, 0, "Oh: ");
    send_changes(a, b);
    send_changes(b, a);
    ck_equal(a, b);
    syn_id heads[8];
    syn_buf none = {0};
    size_t count = syn_doc_heads(b, heads, 8);
    ck_assert_int_eq(syn_export_since(a, heads, count, &none), SYN_OK);
    ck_assert_uint_eq(none.len, 0);
    syn_doc_free(a);
    syn_doc_free(b);
}
END_TEST

/* Two heads at the end. */
static syn_doc *forked_document(void)
{
    syn_doc *a = new_doc(1), *b = new_doc(2);
    fill(a);
    send_changes(a, b);
    type(a, 5, " dear");
    type(b, 0, "Oh: ");
    send_changes(b, a);
    syn_doc_free(b);
    return a;
}

typedef syn_err (*save_fn)(syn_doc *doc, syn_buf *out);

static void save_and_load(syn_doc *doc, save_fn save, bool history)
{
    syn_buf file = {0}, again = {0};
    syn_doc *back = new_doc(9);
    ck_assert_int_eq(save(doc, &file), SYN_OK);
    ck_assert_int_eq(syn_load(back, file.data, file.len), SYN_OK);
    ck_equal(doc, back);
    ck_assert_int_eq(syn_doc_has_history(back), history);
    ck_assert_int_eq(save(doc, &again), SYN_OK);
    ck_assert_uint_eq(file.len, again.len);
    ck_assert_mem_eq(file.data, again.data, file.len);
    ck_assert_int_eq(syn_load(back, file.data, file.len), SYN_EMISUSE);
    type(back, 0, "on "); /* it lives */
    syn_doc_free(back);
    syn_buf_free(&file);
    syn_buf_free(&again);
}

START_TEST(files)
{
    syn_doc *doc = new_doc(1), *forked = forked_document();
    fill(doc);
    save_and_load(doc, syn_save, true);
    save_and_load(doc, syn_save_state, false);
    save_and_load(forked, syn_save, true);
    save_and_load(forked, syn_save_state, false);
    syn_doc_free(doc);
    syn_doc_free(forked);
    syn_doc *empty = new_doc(3);
    syn_buf file = {0};
    syn_doc *back = new_doc(4);
    ck_assert_int_eq(syn_save(empty, &file), SYN_OK);
    ck_assert_int_eq(syn_load(back, file.data, file.len), SYN_OK);
    ck_assert_uint_eq(syn_doc_events(back), 0);
    syn_buf_free(&file);
    syn_doc_free(empty);
    syn_doc_free(back);
}
END_TEST

START_TEST(a_copy_of_a_copy)
{
    syn_doc *doc = forked_document(), *state = new_doc(5), *third = new_doc(6);
    syn_buf file = {0}, second = {0};
    ck_assert_int_eq(syn_save_state(doc, &file), SYN_OK);
    ck_assert_int_eq(syn_load(state, file.data, file.len), SYN_OK);
    /* two heads above a snapshot: the state at the snapshot is not kept */
    ck_assert_int_eq(syn_save(state, &second), SYN_EHISTORY);
    ck_assert_uint_eq(second.len, 0);
    type(state, 0, "joined "); /* one head again */
    ck_assert_int_eq(syn_save(state, &second), SYN_OK);
    ck_assert_int_eq(syn_load(third, second.data, second.len), SYN_OK);
    ck_equal(state, third);
    syn_buf_free(&file);
    syn_buf_free(&second);
    syn_doc_free(doc);
    syn_doc_free(state);
    syn_doc_free(third);
}
END_TEST

START_TEST(damaged_files)
{
    syn_doc *doc = forked_document();
    syn_buf file = {0};
    ck_assert_int_eq(syn_save_state(doc, &file), SYN_OK);
    for (size_t i = 0; i < file.len; i++) {
        syn_doc *back = new_doc(9);
        file.data[i] = (char)(file.data[i] ^ 1);
        syn_err err = syn_load(back, file.data, file.len);
        ck_assert_msg(err == SYN_EMALFORMED || err == SYN_EDAMAGED || err == SYN_EVERSION,
                      "byte %zu: error %d", i, err);
        ck_assert_uint_eq(syn_doc_events(back), 0);
        file.data[i] = (char)(file.data[i] ^ 1);
        err = syn_load(back, file.data, i);
        ck_assert_int_ne(err, SYN_OK);
        syn_doc_free(back);
    }
    syn_buf_free(&file);
    syn_doc_free(doc);
}
END_TEST

START_TEST(bytes_that_are_no_changes)
{
    syn_doc *doc = new_doc(1);
    ck_assert_int_eq(syn_import(doc, "rubbish", 7), SYN_EMALFORMED);
    ck_assert_int_eq(syn_import(doc, "", 0), SYN_OK);
    ck_assert_int_eq(syn_load(doc, "", 0), SYN_EMALFORMED);
    syn_doc_free(doc);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("bytes");
    TCase *c = tcase_create("documents");
    tcase_set_timeout(c, 0);
    tcase_add_test(c, replicas_meet);
    tcase_add_test(c, files);
    tcase_add_test(c, a_copy_of_a_copy);
    tcase_add_test(c, damaged_files);
    tcase_add_test(c, bytes_that_are_no_changes);
    suite_add_tcase(s, c);
    SRunner *runner = srunner_create(s);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
