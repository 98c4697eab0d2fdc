/* test_undo.c -- undo and redo: by example, by the bugs that others published, and at random.
 *
 * The random tests hold undo against two naive twins: alone, a list of the states that were; among
 * others, the oracle's list of elements that never forgets one (twin_*). */
#include "doc.h"
#include "mirror.h"
#include "random.h"
#include "syncline_bytes.h"
#include "syncline_editor.h"
#include "world.h"

#include <check.h>
#include <stdio.h>
#include <string.h>

/* ---- Two users */

struct user {
    syn_doc *doc;
    syn_undo *undo;
    syn_obj text, map, list, sum;
    uint64_t clock;
};

static struct user user_new(uint64_t peer, bool never_group)
{
    struct user u = {0};
    syn_doc_config config = SYN_DOC_CONFIG_INIT;
    syn_undo_config undo = SYN_UNDO_CONFIG_INIT;
    config.peer = peer;
    undo.never_group = never_group;
    ck_assert_int_eq(syn_doc_new(&u.doc, &config), SYN_OK);
    ck_assert_int_eq(syn_root(u.doc, syn_s(""), SYN_TEXT, &u.text), SYN_OK);
    ck_assert_int_eq(syn_root(u.doc, syn_s("map"), SYN_MAP, &u.map), SYN_OK);
    ck_assert_int_eq(syn_root(u.doc, syn_s("list"), SYN_LIST, &u.list), SYN_OK);
    ck_assert_int_eq(syn_root(u.doc, syn_s("sum"), SYN_COUNTER, &u.sum), SYN_OK);
    ck_assert_int_eq(syn_undo_new(&u.undo, u.doc, &undo), SYN_OK);
    return u;
}

static void user_free(struct user *u)
{
    syn_doc_check(u->doc);
    syn_undo_free(u->undo);
    syn_doc_free(u->doc);
}

static void fine(const struct user *u, syn_err err)
{
    if (err != SYN_OK) ck_abort_msg("%s: %s", syn_errname(err), syn_doc_error(u->doc));
}

static void begin(struct user *u)
{
    fine(u, syn_undo_begin(u->undo));
}

static void commit(struct user *u)
{
    fine(u, syn_undo_commit(u->undo, u->clock++));
}

static void type(struct user *u, size_t pos, const char *text)
{
    begin(u);
    fine(u, syn_text_insert(u->doc, u->text, pos, syn_s(text)));
    commit(u);
}

static void erase(struct user *u, size_t pos, size_t len)
{
    begin(u);
    fine(u, syn_text_delete(u->doc, u->text, pos, len));
    commit(u);
}

static void set(struct user *u, const char *key, int64_t value)
{
    begin(u);
    fine(u, syn_map_set(u->doc, u->map, syn_s(key), syn_int(value), NULL));
    commit(u);
}

static void push(struct user *u, size_t pos, int64_t value)
{
    begin(u);
    fine(u, syn_list_insert(u->doc, u->list, pos, syn_int(value), NULL));
    commit(u);
}

static void undo(struct user *u)
{
    fine(u, syn_undo_undo(u->undo));
}

static void redo(struct user *u)
{
    fine(u, syn_undo_redo(u->undo));
}

static void send(struct user *from, struct user *to)
{
    syn_buf bytes = {0};
    ck_assert_int_eq(syn_export_since(from->doc, NULL, 0, &bytes), SYN_OK);
    fine(to, syn_import(to->doc, bytes.data, bytes.len));
    syn_buf_free(&bytes);
}

static void meet(struct user *a, struct user *b)
{
    send(a, b);
    send(b, a);
}

static void must_show(struct user *u, syn_obj obj, const char *json)
{
    char *now = json_of(u->doc, obj);
    ck_assert_str_eq(now, json);
    free(now);
}

static void must_agree(struct user *a, struct user *b)
{
    char *x = json_of(a->doc, SYN_NO_OBJ), *y = json_of(b->doc, SYN_NO_OBJ);
    ck_assert_str_eq(x, y);
    free(x);
    free(y);
}

static void must_be(struct user *u, const char *json)
{
    char *now = json_of(u->doc, SYN_NO_OBJ);
    if (strcmp(now, json) != 0) ck_abort_msg("not what it was:\n%s\nbut\n%s", json, now);
    free(now);
}

/* ---- By example */

START_TEST(typing_goes_and_comes_back)
{
    struct user a = user_new(1, true);
    type(&a, 0, "Hello world");
    type(&a, 5, ",");
    erase(&a, 7, 5);
    must_show(&a, a.text, "\"Hello, \"");
    undo(&a);
    must_show(&a, a.text, "\"Hello, world\"");
    undo(&a);
    must_show(&a, a.text, "\"Hello world\"");
    undo(&a);
    must_show(&a, a.text, "\"\"");
    ck_assert_int_eq(syn_undo_undo(a.undo), SYN_ENOTFOUND);
    redo(&a);
    redo(&a);
    must_show(&a, a.text, "\"Hello, world\"");
    redo(&a);
    must_show(&a, a.text, "\"Hello, \"");
    ck_assert_int_eq(syn_undo_redo(a.undo), SYN_ENOTFOUND);
    undo(&a);
    undo(&a);
    type(&a, 0, ">");
    ck_assert_int_eq(syn_undo_redo(a.undo), SYN_ENOTFOUND);
    must_show(&a, a.text, "\">Hello world\"");
    user_free(&a);
}
END_TEST

START_TEST(only_ones_own_is_taken_back)
{
    struct user a = user_new(1, true), b = user_new(2, true);
    type(&a, 0, "one two three");
    meet(&a, &b);
    erase(&a, 4, 4);
    type(&b, 6, "X"); /* inside what a deletes */
    type(&b, 0, "> ");
    meet(&a, &b);
    must_show(&a, a.text, "\"> one Xthree\"");
    undo(&a);
    must_show(&a, a.text, "\"> one twXo three\"");
    undo(&a);
    must_show(&a, a.text, "\"> X\"");
    redo(&a);
    must_show(&a, a.text, "\"> one twXo three\"");
    redo(&a);
    must_show(&a, a.text, "\"> one Xthree\"");
    meet(&a, &b);
    must_agree(&a, &b);
    undo(&b);
    undo(&b);
    meet(&a, &b);
    must_show(&a, a.text, "\"one three\"");
    must_agree(&a, &b);
    user_free(&a);
    user_free(&b);
}
END_TEST

START_TEST(backspaces_and_wide_characters)
{
    struct user a = user_new(1, false);
    type(&a, 0, "na\xc3\xafve \xf0\x9f\x8c\x8d!");
    syn_undo_boundary(a.undo);
    for (size_t pos = 8; pos > 2; pos--) erase(&a, pos - 1, 1);
    must_show(&a, a.text, "\"na\"");
    undo(&a);
    must_show(&a, a.text, "\"na\xc3\xafve \xf0\x9f\x8c\x8d!\"");
    redo(&a);
    must_show(&a, a.text, "\"na\"");
    user_free(&a);
}
END_TEST

START_TEST(values_come_back_while_they_are_ones_own)
{
    struct user a = user_new(1, true), b = user_new(2, true);
    set(&a, "k", 1);
    set(&a, "k", 2);
    undo(&a);
    must_show(&a, a.map, "{\"k\":1}");
    redo(&a);
    must_show(&a, a.map, "{\"k\":2}");
    undo(&a);
    undo(&a);
    must_show(&a, a.map, "{}");
    redo(&a);
    redo(&a);
    must_show(&a, a.map, "{\"k\":2}");
    begin(&a);
    fine(&a, syn_map_delete(a.doc, a.map, syn_s("k")));
    commit(&a);
    undo(&a);
    must_show(&a, a.map, "{\"k\":2}");
    meet(&a, &b);
    set(&b, "k", 3);
    meet(&a, &b);
    ck_assert_int_eq(syn_undo_undo(a.undo), SYN_ENOTFOUND); /* 3 is not a's */
    must_show(&a, a.map, "{\"k\":3}");
    undo(&b);
    must_show(&b, b.map, "{\"k\":2}");
    user_free(&a);
    user_free(&b);
}
END_TEST

START_TEST(items_and_their_values)
{
    struct user a = user_new(1, true), b = user_new(2, true);
    for (int i = 0; i < 4; i++) push(&a, (size_t)i, i);
    begin(&a);
    fine(&a, syn_list_set(a.doc, a.list, 2, syn_string(syn_s("two")), NULL));
    commit(&a);
    begin(&a);
    fine(&a, syn_list_delete(a.doc, a.list, 1, 2));
    commit(&a);
    must_show(&a, a.list, "[0,3]");
    meet(&a, &b);
    push(&b, 0, -1);
    meet(&a, &b);
    undo(&a);
    must_show(&a, a.list, "[-1,0,1,\"two\",3]");
    undo(&a); /* the set, on the item that came back */
    must_show(&a, a.list, "[-1,0,1,2,3]");
    undo(&a);
    undo(&a);
    must_show(&a, a.list, "[-1,0,1]");
    for (int i = 0; i < 4; i++) redo(&a);
    must_show(&a, a.list, "[-1,0,3]");
    for (int i = 0; i < 6; i++) undo(&a);
    must_show(&a, a.list, "[-1]");
    meet(&a, &b);
    must_agree(&a, &b);
    user_free(&a);
    user_free(&b);
}
END_TEST

START_TEST(what_is_one_item)
{
    struct user a = user_new(1, false);
    type(&a, 0, "a");
    a.clock += 499;
    type(&a, 1, "b"); /* 500 after the last */
    ck_assert_uint_eq(syn_undo_count(a.undo), 1);
    a.clock += 500;
    type(&a, 2, "c");
    ck_assert_uint_eq(syn_undo_count(a.undo), 2);
    syn_undo_boundary(a.undo);
    type(&a, 3, "d");
    ck_assert_uint_eq(syn_undo_count(a.undo), 3);
    a.clock -= 100; /* a clock that was set back */
    type(&a, 4, "e");
    ck_assert_uint_eq(syn_undo_count(a.undo), 4);
    begin(&a);
    commit(&a);
    ck_assert_uint_eq(syn_undo_count(a.undo), 4);
    undo(&a);
    type(&a, 4, "f"); /* never joined to what was there before the undo */
    ck_assert_uint_eq(syn_undo_count(a.undo), 4);
    undo(&a);
    must_show(&a, a.text, "\"abcd\"");
    begin(&a);
    ck_assert_int_eq(syn_undo_undo(a.undo), SYN_EMISUSE);
    fine(&a, syn_rollback(a.doc));
    ck_assert_int_eq(syn_undo_commit(a.undo, 0), SYN_EMISUSE);
    fine(&a, syn_begin(a.doc));
    fine(&a, syn_text_insert(a.doc, a.text, 0, syn_s("not watched ")));
    fine(&a, syn_commit(a.doc));
    undo(&a);
    must_show(&a, a.text, "\"not watched abc\"");
    user_free(&a);
}
END_TEST

static void select_range(struct user *u, size_t from, size_t to)
{
    syn_cursor ends[2];
    fine(u, syn_cursor_at(u->doc, u->text, from, SYN_BEFORE, &ends[0]));
    fine(u, syn_cursor_at(u->doc, u->text, to, SYN_AFTER, &ends[1]));
    fine(u, syn_undo_select(u->undo, ends, 2));
}

static void must_select(struct user *u, size_t from, size_t to)
{
    const syn_cursor *ends;
    size_t pos;
    ck_assert_uint_eq(syn_undo_selection(u->undo, &ends), 2);
    syn_cursor copy[2] = {ends[0], ends[1]};
    fine(u, syn_cursor_pos(u->doc, &copy[0], &pos));
    ck_assert_uint_eq(pos, from);
    fine(u, syn_cursor_pos(u->doc, &copy[1], &pos));
    ck_assert_uint_eq(pos, to);
}

START_TEST(selections_come_back)
{
    struct user a = user_new(1, true), b = user_new(2, true);
    type(&b, 0, "one two three");
    meet(&a, &b);
    select_range(&a, 4, 7);
    erase(&a, 4, 3);
    type(&b, 0, "> ");
    type(&b, 7, "X"); /* t X w o */
    meet(&a, &b);
    must_show(&a, a.text, "\"> one X three\"");
    select_range(&a, 0, 1);
    undo(&a);
    must_show(&a, a.text, "\"> one tXwo three\"");
    must_select(&a, 6, 10);
    undo(&b);
    meet(&a, &b);
    redo(&a);
    must_select(&a, 0, 1);
    undo(&a);
    must_select(&a, 6, 9);
    user_free(&a);
    user_free(&b);
}
END_TEST

START_TEST(containers_come_back_with_what_they_held)
{
    struct user a = user_new(1, true), b = user_new(2, true);
    syn_obj card, body, tags, now;
    syn_value value, child = {.kind = SYN_VALUE_CHILD, .child = SYN_MAP};
    begin(&a);
    fine(&a, syn_list_insert(a.doc, a.list, 0, child, &card));
    fine(&a, syn_map_set(a.doc, card, syn_s("title"), syn_string(syn_s("first")), NULL));
    commit(&a);
    begin(&a);
    child.child = SYN_TEXT;
    fine(&a, syn_map_set(a.doc, card, syn_s("body"), child, &body));
    fine(&a, syn_text_insert(a.doc, body, 0, syn_s("hello world")));
    fine(&a, syn_map_child(a.doc, card, syn_s("tags"), SYN_LIST, &tags));
    fine(&a, syn_list_insert(a.doc, tags, 0, syn_int(7), NULL));
    commit(&a);
    begin(&a);
    fine(&a, syn_text_delete(a.doc, body, 2, 7));
    commit(&a);
    const char *full = "[{\"body\":\"held\",\"tags\":[7],\"title\":\"first\"}]";
    must_show(&a, a.list, full);
    begin(&a);
    fine(&a, syn_list_delete(a.doc, a.list, 0, 1));
    commit(&a);
    must_show(&a, a.list, "[]");
    undo(&a);
    must_show(&a, a.list, full);
    meet(&a, &b);
    fine(&b, syn_doc_resolve(b.doc, syn_s("/list/0/body"), &value));
    now = value.as.obj;
    fine(&b, syn_text_insert(b.doc, now, 0, syn_s("we ")));
    meet(&a, &b);
    undo(&a); /* in the copy: the deleted text */
    must_show(&a, a.list, "[{\"body\":\"we hello world\",\"tags\":[7],\"title\":\"first\"}]");
    undo(&a); /* the body as a whole, b's words with it */
    must_show(&a, a.list, "[{\"title\":\"first\"}]");
    undo(&a);
    must_show(&a, a.list, "[]");
    for (int i = 0; i < 3; i++) redo(&a);
    must_show(&a, a.list, "[{\"body\":\"we held\",\"tags\":[7],\"title\":\"first\"}]");
    redo(&a);
    must_show(&a, a.list, "[]");
    for (int i = 0; i < 4; i++) undo(&a);
    must_show(&a, a.list, "[]");
    meet(&a, &b);
    must_agree(&a, &b);
    user_free(&a);
    user_free(&b);
}
END_TEST

START_TEST(memory_is_bounded)
{
    struct user a = user_new(1, true);
    syn_undo_config config = SYN_UNDO_CONFIG_INIT;
    syn_undo_free(a.undo);
    config.never_group = true;
    config.max_items = 10;
    config.max_bytes = 20000;
    ck_assert_int_eq(syn_undo_new(&a.undo, a.doc, &config), SYN_OK);
    for (int i = 0; i < 30; i++) type(&a, 0, "x");
    ck_assert_uint_eq(syn_undo_count(a.undo), 10);
    for (int i = 0; i < 10; i++) undo(&a);
    must_show(&a, a.text, "\"xxxxxxxxxxxxxxxxxxxx\"");
    for (int i = 0; i < 10; i++) redo(&a);
    char page[1001];
    memset(page, 'y', 1000);
    page[1000] = 0;
    for (int i = 0; i < 40; i++) {
        type(&a, 0, page);
        erase(&a, 0, 1000);
        ck_assert_uint_le(syn_undo_footprint(a.undo), 20000 + 4096);
    }
    for (int i = 0; i < 40; i++) {
        undo(&a);
        redo(&a);
        ck_assert_uint_le(syn_undo_footprint(a.undo), 20000 + 4096);
    }
    ck_assert_uint_gt(syn_undo_count(a.undo), 2);
    syn_undo_clear(a.undo);
    ck_assert_uint_eq(syn_undo_count(a.undo) + syn_undo_redo_count(a.undo), 0);
    user_free(&a);
}
END_TEST

/* ---- Published bugs of others */

/* A delete undone brought back an element whose insertion was undone elsewhere. */
START_TEST(yjs_402_what_two_took_away_stays_away)
{
    struct user a = user_new(1, true), b = user_new(2, true);
    push(&a, 0, 1);
    push(&a, 1, 2);
    meet(&a, &b);
    begin(&b);
    fine(&b, syn_list_delete(b.doc, b.list, 0, 2));
    commit(&b);
    undo(&a); /* item 2, which b deletes at the same time */
    meet(&a, &b);
    must_show(&a, a.list, "[]");
    undo(&b);
    must_show(&b, b.list, "[1]");
    meet(&a, &b);
    must_agree(&a, &b);
    user_free(&a);
    user_free(&b);
}
END_TEST

/* Edits that are not watched became part of what undo restores. */
START_TEST(yjs_724_unwatched_edits_leave_items_as_they_are)
{
    struct user a = user_new(1, true);
    fine(&a, syn_map_set(a.doc, a.map, syn_s("src"), syn_string(syn_s("initial")), NULL));
    begin(&a);
    fine(&a, syn_map_set(a.doc, a.map, syn_s("src"), syn_string(syn_s("second")), NULL));
    fine(&a, syn_text_insert(a.doc, a.text, 0, syn_s("ab")));
    commit(&a);
    fine(&a, syn_text_insert(a.doc, a.text, 1, syn_s("-")));
    fine(&a, syn_map_set(a.doc, a.map, syn_s("alt"), syn_string(syn_s("later")), NULL));
    undo(&a);
    must_show(&a, a.map, "{\"alt\":\"later\",\"src\":\"initial\"}");
    must_show(&a, a.text, "\"-\"");
    redo(&a);
    must_show(&a, a.map, "{\"alt\":\"later\",\"src\":\"second\"}");
    must_show(&a, a.text, "\"a-b\"");
    user_free(&a);
}
END_TEST

/* An attribute set and its element deleted in one item: others did not get the attribute back. */
START_TEST(yjs_757_a_child_changed_and_deleted_in_one_item)
{
    struct user a = user_new(1, true), b = user_new(2, true);
    syn_obj button;
    syn_value child = {.kind = SYN_VALUE_CHILD, .child = SYN_MAP};
    fine(&a, syn_list_insert(a.doc, a.list, 0, child, &button));
    fine(&a, syn_map_set(a.doc, button, syn_s("type"), syn_string(syn_s("button")), NULL));
    fine(&a, syn_map_set(a.doc, button, syn_s("test"), syn_bool(true), NULL));
    meet(&a, &b);
    begin(&a);
    fine(&a, syn_map_set(a.doc, button, syn_s("type"), syn_string(syn_s("paragraph")), NULL));
    fine(&a, syn_list_delete(a.doc, a.list, 0, 1));
    commit(&a);
    undo(&a);
    meet(&a, &b);
    must_show(&a, a.list, "[{\"test\":true,\"type\":\"button\"}]");
    must_show(&b, b.list, "[{\"test\":true,\"type\":\"button\"}]");
    redo(&a);
    must_show(&a, a.list, "[]");
    undo(&a);
    must_show(&a, a.list, "[{\"test\":true,\"type\":\"button\"}]");
    user_free(&a);
    user_free(&b);
}
END_TEST

/* Undo after others edited around and inside what comes back. */
START_TEST(yjs_355_text_comes_back_between_its_neighbours)
{
    struct user a = user_new(1, true), b = user_new(2, true);
    type(&a, 0, "abcdef");
    meet(&a, &b);
    erase(&a, 2, 2);
    meet(&a, &b);
    type(&b, 2, "12"); /* in the gap, knowing of the delete */
    erase(&b, 1, 1);
    meet(&a, &b);
    undo(&a);
    meet(&a, &b);
    must_agree(&a, &b);
    must_show(&a, a.text, "\"a12cdef\"");
    redo(&a);
    undo(&a);
    must_show(&a, a.text, "\"a12cdef\"");
    user_free(&a);
    user_free(&b);
}
END_TEST

/* Another's increment cancelled the undo of one's own. */
START_TEST(loro_905_a_counter_loses_what_was_added)
{
    struct user a = user_new(1, true), b = user_new(2, true);
    begin(&a);
    fine(&a, syn_counter_add(a.doc, a.sum, 1));
    commit(&a);
    meet(&a, &b);
    fine(&b, syn_counter_add(b.doc, b.sum, 1));
    meet(&a, &b);
    undo(&a);
    ck_assert_int_eq(syn_counter_get(a.doc, a.sum), 1);
    redo(&a);
    ck_assert_int_eq(syn_counter_get(a.doc, a.sum), 2);
    begin(&a);
    fine(&a, syn_counter_add(a.doc, a.sum, INT64_MIN));
    commit(&a);
    undo(&a);
    ck_assert_int_eq(syn_counter_get(a.doc, a.sum), 2);
    user_free(&a);
    user_free(&b);
}
END_TEST

/* Sets and deletes of items, undone and redone over another's. */
START_TEST(loro_509_sets_of_items_that_moved_and_went)
{
    struct user a = user_new(1, true), b = user_new(2, true);
    for (int i = 0; i < 3; i++) push(&a, (size_t)i, i);
    meet(&a, &b);
    begin(&a);
    fine(&a, syn_list_set(a.doc, a.list, 1, syn_int(10), NULL));
    fine(&a, syn_list_set(a.doc, a.list, 2, syn_int(20), NULL));
    commit(&a);
    begin(&b);
    fine(&b, syn_list_delete(b.doc, b.list, 0, 2));
    fine(&b, syn_list_insert(b.doc, b.list, 0, syn_int(9), NULL));
    commit(&b);
    meet(&a, &b);
    must_show(&a, a.list, "[9,20]");
    undo(&a);
    must_show(&a, a.list, "[9,2]");
    redo(&a);
    must_show(&a, a.list, "[9,20]");
    meet(&a, &b);
    undo(&b);
    must_show(&b, b.list, "[0,1,20]"); /* as b knew it */
    meet(&a, &b);
    must_agree(&a, &b);
    user_free(&a);
    user_free(&b);
}
END_TEST

/* ---- Memory that fails ----------------------------------------------------------------------- */

struct memory {
    size_t held;
    uint64_t calls, fail; /* the call that fails; 0: none */
};

static void *counting_resize(void *user, void *ptr, size_t old_size, size_t new_size)
{
    struct memory *memory = user;
    void *moved = NULL;
    if (new_size > 0 && ++memory->calls == memory->fail) return NULL;
    if (new_size == 0)
        free(ptr);
    else if ((moved = realloc(ptr, new_size)) == NULL)
        return NULL;
    memory->held += new_size - old_size;
    return moved;
}

struct scene {
    struct memory memory;
    struct user u, other;
    syn_cursor cursor;
};

static syn_err do_new(struct scene *s)
{
    return syn_undo_new(&s->u.undo, s->u.doc, NULL);
}

static syn_err do_select(struct scene *s)
{
    syn_cursor cursors[3] = {s->cursor, s->cursor, s->cursor};
    return syn_undo_select(s->u.undo, cursors, 3);
}

static syn_err do_commit(struct scene *s)
{
    syn_err err = syn_undo_commit(s->u.undo, s->u.clock);
    s->u.clock += err == SYN_OK ? 1000 : 0;
    return err;
}

static syn_err do_undo(struct scene *s)
{
    return syn_undo_undo(s->u.undo);
}

static syn_err do_redo(struct scene *s)
{
    return syn_undo_redo(s->u.undo);
}

static syn_err do_cursor_at(struct scene *s)
{
    return syn_cursor_at(s->u.doc, s->u.text, 3, SYN_AFTER, &s->cursor);
}

static syn_err do_cursor_from(struct scene *s)
{
    syn_id heads[8];
    size_t count = syn_doc_heads(s->other.doc, heads, 8);
    return syn_cursor_from(s->u.doc, s->u.text, heads, count, 2, SYN_BEFORE, &s->cursor);
}

static syn_err do_cursor_pos(struct scene *s)
{
    size_t pos;
    return syn_cursor_pos(s->u.doc, &s->cursor, &pos);
}

/* Fails at the first allocation, at the second, and so on, until it goes through. */
static void try(struct scene *s, syn_err (*step)(struct scene *s))
{
    for (uint64_t fail = 1;; fail++) {
        char *before = json_of(s->u.doc, SYN_NO_OBJ);
        size_t undos = s->u.undo != NULL ? syn_undo_count(s->u.undo) : 0;
        size_t redos = s->u.undo != NULL ? syn_undo_redo_count(s->u.undo) : 0;
        uint32_t end = syn_doc_log_end(s->u.doc);
        s->memory.calls = 0;
        s->memory.fail = fail;
        syn_err err = step(s);
        bool failed = s->memory.calls >= fail;
        s->memory.fail = 0;
        if (err == SYN_OK && !failed) {
            free(before);
            return;
        }
        must(err == SYN_ENOMEM || (err == SYN_OK && failed)); /* some can do without */
        if (err == SYN_OK) {
            free(before);
            return;
        }
        must_be(&s->u, before);
        free(before);
        must(end == syn_doc_log_end(s->u.doc));
        must(s->u.undo == NULL || undos == syn_undo_count(s->u.undo));
        must(s->u.undo == NULL || redos == syn_undo_redo_count(s->u.undo));
        if (!s->u.doc->txn->open) syn_doc_check(s->u.doc);
    }
}

static void edit_all_kinds(struct user *u)
{
    syn_obj made;
    syn_value child = {.kind = SYN_VALUE_CHILD, .child = SYN_TEXT};
    fine(u, syn_text_insert(u->doc, u->text, 2, syn_s("w\xc3\xb6rds")));
    fine(u, syn_text_delete(u->doc, u->text, 1, 3));
    fine(u, syn_map_set(u->doc, u->map, syn_s("k"), syn_string(syn_s("value")), NULL));
    fine(u, syn_map_set(u->doc, u->map, syn_s("child"), child, &made));
    fine(u, syn_text_insert(u->doc, made, 0, syn_s("inside")));
    fine(u, syn_list_insert(u->doc, u->list, 0, syn_string(syn_s("item")), NULL));
    fine(u, syn_list_set(u->doc, u->list, 0, syn_int(1), NULL));
    fine(u, syn_counter_add(u->doc, u->sum, 5));
}

START_TEST(without_memory_all_is_as_it_was)
{
    struct scene s = {.other = user_new(2, true)};
    syn_doc_config config = SYN_DOC_CONFIG_INIT;
    config.peer = 1;
    config.mem = (syn_mem){counting_resize, &s.memory};
    ck_assert_int_eq(syn_doc_new(&s.u.doc, &config), SYN_OK);
    s.u.undo = NULL;
    ck_assert_int_eq(syn_root(s.u.doc, syn_s(""), SYN_TEXT, &s.u.text), SYN_OK);
    ck_assert_int_eq(syn_root(s.u.doc, syn_s("map"), SYN_MAP, &s.u.map), SYN_OK);
    ck_assert_int_eq(syn_root(s.u.doc, syn_s("list"), SYN_LIST, &s.u.list), SYN_OK);
    ck_assert_int_eq(syn_root(s.u.doc, syn_s("sum"), SYN_COUNTER, &s.u.sum), SYN_OK);
    fine(&s.u, syn_begin(s.u.doc));
    fine(&s.u, syn_text_insert(s.u.doc, s.u.text, 0, syn_s("some text")));
    fine(&s.u, syn_list_insert(s.u.doc, s.u.list, 0, syn_int(0), NULL));
    fine(&s.u, syn_commit(s.u.doc));
    try(&s, do_new);
    try(&s, do_cursor_at);
    try(&s, do_select);
    for (int round = 0; round < 3; round++) {
        begin(&s.u);
        edit_all_kinds(&s.u);
        try(&s, do_commit);
    }
    send(&s.u, &s.other);
    type(&s.other, 3, "other");
    begin(&s.u);
    fine(&s.u, syn_map_delete(s.u.doc, s.u.map, syn_s("child")));
    fine(&s.u, syn_list_delete(s.u.doc, s.u.list, 0, 2));
    fine(&s.u, syn_text_delete(s.u.doc, s.u.text, 2, 3));
    try(&s, do_commit);
    send(&s.other, &s.u);
    try(&s, do_cursor_at);
    try(&s, do_cursor_from);
    try(&s, do_cursor_pos);
    for (int round = 0; round < 3; round++) {
        for (int i = 0; i < 4; i++) try(&s, do_undo);
        for (int i = 0; i < 4; i++) try(&s, do_redo);
    }
    user_free(&s.u);
    user_free(&s.other);
    ck_assert_uint_eq(s.memory.held, 0);
}
END_TEST

/* ---- At random, alone: states that were ------------------------------------------------------ */

struct states {
    char *at[512];
    uint32_t n;
};

static void states_push(struct states *s, char *json)
{
    must(s->n < 512);
    s->at[s->n++] = json;
}

static void states_cut(struct states *s, uint32_t n)
{
    while (s->n > n) free(s->at[--s->n]);
}

/* Takes back or does again; what was before goes on the other stack. */
static void back_or_again(struct user *u, bool again, bool exact, struct states *from,
                          struct states *to)
{
    size_t before = again ? syn_undo_redo_count(u->undo) : syn_undo_count(u->undo);
    char *now = json_of(u->doc, SYN_NO_OBJ);
    syn_err err = again ? syn_undo_redo(u->undo) : syn_undo_undo(u->undo);
    size_t after = again ? syn_undo_redo_count(u->undo) : syn_undo_count(u->undo);
    uint32_t left = from->n - (uint32_t)(before - after);
    if (before > after && exact) must_be(u, from->at[left]); /* those skipped changed nothing */
    if (err == SYN_OK)
        states_push(to, now);
    else
        free(now);
    must(err == SYN_OK || (err == SYN_ENOTFOUND && after == 0));
    states_cut(from, left);
}

/* Edits in the open transaction, but none that make a container by their event: what comes back of
 * those is a copy, and what was deleted in the old one before that may come back out of order. */
static bool edits_without_children(struct random *r, syn_doc *doc, uint32_t n)
{
    uint32_t known = doc->all.list.n;
    while (n-- > 0) world_edit_one(r, doc);
    for (uint32_t i = known; i < doc->all.list.n; i++)
        if (doc->all.list.at[i].id.form == CONTAINER_BY_EVENT) return false;
    return true;
}

/* An event in each root, for JSON shows roots that have had one. */
static void touch_roots(struct random *r, syn_doc *doc, bool children)
{
    for (int i = 0; i < 60; i++) {
        must(syn_begin(doc) == SYN_OK);
        bool keep = edits_without_children(r, doc, 1) || children;
        must((keep ? syn_commit(doc) : syn_rollback(doc)) == SYN_OK);
    }
    for (uint32_t i = 0; i < doc->all.list.n; i++) {
        bool root = doc->all.list.at[i].id.form == CONTAINER_ROOT;
        if (root && syn_obj_kind(doc, i) == SYN_MAP)
            must(syn_map_set(doc, i, syn_s("k"), syn_int(1), NULL) == SYN_OK);
        if (root && syn_obj_kind(doc, i) == SYN_COUNTER) must(syn_counter_add(doc, i, 1) == SYN_OK);
        if (root && syn_obj_kind(doc, i) == SYN_LIST)
            must(syn_list_insert(doc, i, 0, syn_int(1), NULL) == SYN_OK);
        if (root && syn_obj_kind(doc, i) == SYN_TEXT)
            must(syn_text_insert(doc, i, 0, syn_s("x")) == SYN_OK);
    }
}

static void edit_some(struct user *u, struct random *r, bool children, struct states *past,
                      struct states *future)
{
    size_t before = syn_undo_count(u->undo);
    char *now = json_of(u->doc, SYN_NO_OBJ);
    uint32_t roots = 0;
    while (syn_root_at(u->doc, roots, NULL) != SYN_NO_OBJ) roots++;
    begin(u);
    bool keep = edits_without_children(r, u->doc, 1 + below(r, 5)) || children;
    if (!keep ||
        syn_root_at(u->doc, roots, NULL) != SYN_NO_OBJ) { /* a new root would go on showing */
        fine(u, syn_rollback(u->doc));
        free(now);
        return;
    }
    commit(u);
    if (syn_undo_count(u->undo) > before) {
        states_push(past, now);
        states_cut(future, 0);
    } else {
        free(now);
    }
}

/* A tail of one's work is taken out, and one goes on under a new name. */
static void lose_some(struct user *u, struct random *r)
{
    uint32_t next = syn_doc_next(u->doc, syn_doc_peer(u->doc));
    if (next == 0) return;
    fine(u, syn_doc_without(u->doc, NULL, syn_doc_peer(u->doc), below(r, next), NULL));
    fine(u, syn_doc_set_peer(u->doc, random_bits(r) | 1, false));
}

static void run_alone(uint32_t seed, bool children)
{
    struct random r = random_seeded(seed);
    struct user u = user_new(7, true);
    struct states past = {0}, future = {0};
    touch_roots(&r, u.doc, children);
    for (uint32_t steps = 5 + below(&r, 60); steps > 0; steps--) {
        uint32_t what = below(&r, 10);
        if (what < 5)
            edit_some(&u, &r, children, &past, &future);
        else
            for (uint32_t n = 1 + below(&r, 6); n > 0; n--)
                back_or_again(&u, what >= 8, !children, what >= 8 ? &future : &past,
                              what >= 8 ? &past : &future);
        if (children && one_in(&r, 12)) lose_some(&u, &r);
        syn_doc_check(u.doc);
    }
    while (past.n > 0) back_or_again(&u, false, !children, &past, &future);
    while (future.n > 0) back_or_again(&u, true, !children, &future, &past);
    states_cut(&past, 0);
    user_free(&u);
}

START_TEST(alone_every_state_comes_back)
{
    const char *one = getenv("SYN_SEED");
    uint32_t first = one != NULL ? (uint32_t)strtoul(one, NULL, 10) : 0;
    uint32_t count = one != NULL ? 1 : seeds(2000);
    for (uint32_t seed = first; seed < first + count; seed++) {
        if (one == NULL && seed % 250 == 0)
            printf("undo: alone, from seed %u\n", seed), fflush(stdout);
        run_alone(seed, seed % 4 == 3);
    }
}
END_TEST

/* ---- At random, among others: a list of elements --------------------------------------------- */

enum { TWIN_EVENTS = 640, TWIN_ITEMS = 64 };

struct twin_item {
    uint32_t from, end; /* the oracle's events */
};

struct twin { /* of one user: what undo must do to a text */
    struct twin_item undo[TWIN_ITEMS], redo[TWIN_ITEMS];
    uint32_t undos, redos;
    int heir[TWIN_EVENTS];    /* the element that came back for this one, or -1 */
    int origin[TWIN_EVENTS];  /* ... and the other way, */
    uint32_t by[TWIN_EVENTS]; /* ... and the delete that was taken back for it */
};

/* An element as it will stand: one that shows, or one that comes back. */
struct twin_place {
    int element;
    bool comes_back;
    uint32_t by;
};

struct shared {
    struct world w;
    struct twin twin[MAX_REPLICAS];
    syn_undo *undo[MAX_REPLICAS];
    int container;
};

/* The element that was there at `since` and came back, perhaps again and again, as this one. */
static int original_of(const struct twin *t, int element, uint32_t since)
{
    while (t->origin[element] >= 0 && t->by[element] >= since) element = t->origin[element];
    return element;
}

static uint32_t index_of(const int *order, int element)
{
    uint32_t i = 0;
    while (order[i] != element) i++;
    return i;
}

/* Puts an element back where it stood: behind what shows on its left, but before what came back
 * for elements on its right. */
static uint32_t put_back(const struct shared *s, const struct twin *t, struct twin_item item,
                         struct twin_place *text, uint32_t n, int element, uint32_t by)
{
    uint32_t count, at = 0;
    const int *order = oracle_order(s->w.o, (uint32_t)s->container, &count);
    uint32_t own = index_of(order, element);
    for (uint32_t i = 0; i < n; i++)
        if (index_of(order, text[i].element) < own) at = i + 1;
    for (; at > 0; at--) {
        int before = text[at - 1].element, original = original_of(t, before, item.from);
        if (!text[at - 1].comes_back && original == before) break;
        if (index_of(order, original) < own) break;
    }
    memmove(text + at + 1, text + at, (n - at) * sizeof *text);
    text[at] = (struct twin_place){element, true, by};
    return n + 1;
}

static uint32_t take_away(struct twin_place *text, uint32_t n, int element)
{
    for (uint32_t i = 0; i < n; i++) {
        if (text[i].element != element) continue;
        memmove(text + i, text + i + 1, (n - i - 1) * sizeof *text);
        return n - 1;
    }
    return n;
}

/* The text after the item was taken back. */
static uint32_t twin_take(struct shared *s, struct twin *t, oracle_version v, struct twin_item item,
                          struct twin_place *text)
{
    uint32_t count, n = 0;
    const int *order = oracle_order(s->w.o, (uint32_t)s->container, &count);
    for (uint32_t i = 0; i < count; i++)
        if (oracle_shows(s->w.o, v, (uint32_t)s->container, order[i]))
            text[n++] = (struct twin_place){order[i], false, 0};
    for (uint32_t e = item.end; e-- > item.from;) {
        int element = oracle_target(s->w.o, e);
        if (element >= 0) {
            if (oracle_deletes(s->w.o, v, (uint32_t)s->container, element) == 1)
                n = put_back(s, t, item, text, n, element, e);
            continue;
        }
        for (element = (int)e; t->heir[element] >= 0;) element = t->heir[element];
        n = take_away(text, n, element);
    }
    return n;
}

static void twin_compare(const struct shared *s, const syn_doc *doc, const struct twin_place *text,
                         uint32_t n)
{
    static char expected[4 * TWIN_EVENTS], now[4 * TWIN_EVENTS];
    size_t len = 0;
    for (uint32_t i = 0; i < n; i++) {
        const char *scalar = oracle_scalar(s->w.o, (uint32_t)text[i].element);
        memcpy(expected + len, scalar, strlen(scalar));
        len += strlen(scalar);
    }
    size_t bytes = syn_text_read(doc, 0, 0, SIZE_MAX, now, sizeof now);
    if (bytes != len || memcmp(expected, now, len) != 0)
        ck_abort_msg("expected %.*s\n     got %.*s", (int)len, expected, (int)bytes, now);
}

static oracle_version version_of(const struct world *w, const syn_doc *doc)
{
    syn_id heads[64];
    oracle_version v = oracle_version_new(w->o);
    size_t count = syn_doc_heads(doc, heads, 64);
    must(count <= 64 && oracle_version_of(w->o, heads, count, v));
    return v;
}

/* What shows now was made in this order: who came back has an heir. */
static void twin_learn(struct shared *s, struct twin *t, const syn_doc *doc,
                       const struct twin_place *text, uint32_t n)
{
    oracle_version v = version_of(&s->w, doc);
    for (uint32_t i = 0; i < n; i++) {
        if (!text[i].comes_back) continue;
        int heir = oracle_element(s->w.o, v, (uint32_t)s->container, i);
        t->heir[text[i].element] = heir;
        t->origin[heir] = text[i].element;
        t->by[heir] = text[i].by;
    }
    free(v);
}

static void twin_undo(struct shared *s, uint32_t who, bool again)
{
    struct twin *t = &s->twin[who];
    syn_doc *doc = s->w.replica[who].doc;
    struct twin_place text[TWIN_EVENTS];
    struct twin_item *from = again ? t->redo : t->undo, *to = again ? t->undo : t->redo;
    uint32_t *froms = again ? &t->redos : &t->undos, *tos = again ? &t->undos : &t->redos;
    uint32_t before = oracle_events(s->w.o), end = syn_doc_log_end(doc);
    if (before + 100 > TWIN_EVENTS || *tos == TWIN_ITEMS) return;
    oracle_version v = version_of(&s->w, doc);
    syn_err err = again ? syn_undo_redo(s->undo[who]) : syn_undo_undo(s->undo[who]);
    size_t left = again ? syn_undo_redo_count(s->undo[who]) : syn_undo_count(s->undo[who]);
    must(err == SYN_OK || (err == SYN_ENOTFOUND && left == 0));
    if (left < *froms) {
        uint32_t n = twin_take(s, t, v, from[left], text);
        twin_compare(s, doc, text, n);
        world_publish(&s->w, doc, end);
        twin_learn(s, t, doc, text, n);
        *froms = (uint32_t)left;
        if (err == SYN_OK) to[(*tos)++] = (struct twin_item){before, oracle_events(s->w.o)};
    }
    free(v);
}

static void twin_edit(struct shared *s, uint32_t who)
{
    struct twin *t = &s->twin[who];
    struct random *r = &s->w.r;
    syn_doc *doc = s->w.replica[who].doc;
    uint32_t before = oracle_events(s->w.o), end = syn_doc_log_end(doc);
    if (before + 100 > TWIN_EVENTS || t->undos == TWIN_ITEMS) return;
    must(syn_undo_begin(s->undo[who]) == SYN_OK);
    for (uint32_t n = 1 + below(r, 3); n > 0; n--) {
        size_t len = syn_text_len(doc, 0), pos = below(r, (uint32_t)len + 1);
        char word[8] = {0};
        for (uint32_t i = 0; i < 5; i++) word[i] = (char)('a' + below(r, 26));
        word[1 + below(r, 5)] = 0;
        if (len == 0 || one_in(r, 2))
            must(syn_text_insert(doc, 0, pos, syn_s(word)) == SYN_OK);
        else if (one_in(r, 2))
            must(syn_text_delete(doc, 0, pos, below(r, (uint32_t)(len - pos) + 1) % 6) == SYN_OK);
        else
            for (uint32_t k = 1 + below(r, 4); k > 0 && pos > 0; k--)
                must(syn_text_delete(doc, 0, --pos, 1) == SYN_OK);
    }
    must(syn_undo_commit(s->undo[who], 0) == SYN_OK);
    world_publish(&s->w, doc, end);
    if (oracle_events(s->w.o) == before) return;
    t->undo[t->undos++] = (struct twin_item){before, oracle_events(s->w.o)};
    t->redos = 0;
}

static void twins_begin(struct shared *s, uint32_t seed)
{
    syn_undo_config config = SYN_UNDO_CONFIG_INIT;
    syn_obj text;
    config.never_group = true;
    world_init(&s->w, seed, 2 + seed % 3, TWIN_EVENTS);
    for (uint32_t i = 0; i < s->w.replicas; i++) {
        syn_doc *doc = s->w.replica[i].doc;
        must(syn_root(doc, syn_s(""), SYN_TEXT, &text) == SYN_OK && text == 0);
        must(syn_doc_set_peer(doc, random_bits(&s->w.r) | 1, false) == SYN_OK);
        must(syn_undo_new(&s->undo[i], doc, &config) == SYN_OK);
        memset(s->twin[i].heir, 0xff, sizeof s->twin[i].heir);
        memset(s->twin[i].origin, 0xff, sizeof s->twin[i].origin);
    }
}

static void run_shared(uint32_t seed)
{
    static struct shared s;
    s = (struct shared){0};
    twins_begin(&s, seed);
    struct random *r = &s.w.r;
    for (uint32_t steps = 5 + below(r, 70); steps > 0; steps--) {
        uint32_t who = below(r, s.w.replicas), other = below(r, s.w.replicas);
        uint32_t what = below(r, 10);
        if (what < 4)
            twin_edit(&s, who);
        else if (what < 7)
            who != other ? world_meet(&s.w, &s.w.replica[who], &s.w.replica[other]) : (void)0;
        else
            for (uint32_t n = 1 + below(r, 3); n > 0; n--) twin_undo(&s, who, what == 9);
        world_look(&s.w, &s.w.replica[who], false);
    }
    for (uint32_t i = 0; i < s.w.replicas; i++) {
        if (syn_doc_log_end(s.w.archive.doc) > 0) world_complete(&s.w, &s.w.replica[i]);
        syn_undo_free(s.undo[i]);
    }
    world_free(&s.w);
}

START_TEST(among_others_one_takes_back_what_is_ones_own)
{
    const char *one = getenv("SYN_SEED");
    uint32_t first = one != NULL ? (uint32_t)strtoul(one, NULL, 10) : 0;
    uint32_t count = one != NULL ? 1 : seeds(1500);
    for (uint32_t seed = first; seed < first + count; seed++) {
        if (one == NULL && seed % 250 == 0)
            printf("undo: shared, from seed %u\n", seed), fflush(stdout);
        run_shared(seed);
    }
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("undo");
    TCase *example = tcase_create("examples"), *bugs = tcase_create("published bugs");
    tcase_set_timeout(example, 0);
    tcase_set_timeout(bugs, 0);
    tcase_add_test(example, typing_goes_and_comes_back);
    tcase_add_test(example, only_ones_own_is_taken_back);
    tcase_add_test(example, backspaces_and_wide_characters);
    tcase_add_test(example, values_come_back_while_they_are_ones_own);
    tcase_add_test(example, items_and_their_values);
    tcase_add_test(example, what_is_one_item);
    tcase_add_test(example, selections_come_back);
    tcase_add_test(example, containers_come_back_with_what_they_held);
    tcase_add_test(example, memory_is_bounded);
    tcase_add_test(example, without_memory_all_is_as_it_was);
    tcase_add_test(bugs, yjs_402_what_two_took_away_stays_away);
    tcase_add_test(bugs, yjs_724_unwatched_edits_leave_items_as_they_are);
    tcase_add_test(bugs, yjs_757_a_child_changed_and_deleted_in_one_item);
    tcase_add_test(bugs, yjs_355_text_comes_back_between_its_neighbours);
    tcase_add_test(bugs, loro_905_a_counter_loses_what_was_added);
    tcase_add_test(bugs, loro_509_sets_of_items_that_moved_and_went);
    suite_add_tcase(suite, example);
    suite_add_tcase(suite, bugs);
    TCase *random = tcase_create("random");
    tcase_set_timeout(random, 0);
    tcase_add_test(random, among_others_one_takes_back_what_is_ones_own);
    tcase_add_test(random, alone_every_state_comes_back);
    suite_add_tcase(suite, random);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
