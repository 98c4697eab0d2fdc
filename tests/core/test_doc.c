/* test_doc.c -- what a document promises, one sentence per test.
 *
 * Sets of changes are written out as text columns by `struct draft`, so that malformed ones are
 * as easy to make as good ones. */
#include "change.h"

#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- Helpers */

static syn_doc *new_doc(uint64_t peer)
{
    syn_doc *doc;
    syn_doc_config config = SYN_DOC_CONFIG_INIT;
    config.peer = peer;
    config.events = true;
    ck_assert_int_eq(syn_doc_new(&doc, &config), SYN_OK);
    return doc;
}

static syn_obj root(syn_doc *doc, const char *name, syn_kind kind)
{
    syn_obj obj;
    ck_assert_int_eq(syn_root(doc, syn_s(name), kind, &obj), SYN_OK);
    return obj;
}

static void ok(const syn_doc *doc, syn_err err)
{
    if (err != SYN_OK) ck_abort_msg("%s: %s", syn_errname(err), syn_doc_error(doc));
}

struct json {
    char at[4096];
    size_t n;
};

static syn_err append(void *user, const void *data, size_t len)
{
    struct json *json = user;
    ck_assert_uint_lt(json->n + len, sizeof json->at);
    memcpy(json->at + json->n, data, len);
    json->at[json->n += len] = 0;
    return SYN_OK;
}

static void shows(const syn_doc *doc, const char *expected)
{
    struct json json = {.n = 0};
    ck_assert_int_eq(syn_doc_json(doc, SYN_NO_OBJ, append, &json), SYN_OK);
    ck_assert_str_eq(json.at, expected);
    syn_doc_check(doc);
}

static void insert(syn_doc *doc, size_t pos, const char *text)
{
    ok(doc, syn_text_insert(doc, root(doc, "t", SYN_TEXT), pos, syn_s(text)));
}

/* Everything that `from` has. */
static syn_err send(syn_doc *from, syn_doc *to, bool keep_pending)
{
    syn_changes set;
    syn_span all = {syn_doc_log_start(from), syn_doc_log_end(from)};
    ok(from, syn_doc_export_spans(from, &all, 1, &set));
    return syn_apply(to, &set, keep_pending, NULL);
}

static syn_err send_span(syn_doc *from, uint32_t first, uint32_t end, syn_doc *to,
                         bool keep_pending)
{
    syn_changes set;
    syn_span span = {first, end};
    ok(from, syn_doc_export_spans(from, &span, 1, &set));
    return syn_apply(to, &set, keep_pending, NULL);
}

/* One set of one or two runs, good unless a test makes it bad. */
struct draft {
    uint64_t peers[4];
    struct change_container containers[4];
    struct change_run runs[2];
    struct change_dep deps[4];
    struct change_op ops[3];
    syn_str keys[3], ext[2];
    struct change_value values[3];
    syn_changes set;
};

/* Peer 7 inserts "ab" in root text "t". */
static void draft_init(struct draft *d)
{
    memset(d, 0, sizeof *d);
    d->peers[0] = 7;
    d->containers[0] = (struct change_container){.kind = SYN_TEXT, .name = syn_s("t")};
    d->runs[0].len = 2;
    d->ops[0] = (struct change_op){.kind = OP_TEXT_INSERT, .len = 2};
    d->set = (syn_changes){.peers = d->peers,
                           .peer_count = 1,
                           .containers = d->containers,
                           .container_count = 1,
                           .runs = d->runs,
                           .run_count = 1,
                           .deps = d->deps,
                           .ops = d->ops,
                           .op_count = 1,
                           .keys = d->keys,
                           .values = d->values,
                           .ext = d->ext,
                           .text = syn_s("ab")};
}

static void refuses(syn_doc *doc, const struct draft *d, syn_err expected, const char *why)
{
    struct json before = {.n = 0}, after = {.n = 0};
    ck_assert_int_eq(syn_doc_json(doc, SYN_NO_OBJ, append, &before), SYN_OK);
    uint32_t end = syn_doc_log_end(doc);
    size_t events = syn_doc_event_count(doc);
    syn_err err = syn_apply(doc, &d->set, false, NULL);
    ck_assert_msg(err == expected, "%s, not %s: %s", syn_errname(err), syn_errname(expected),
                  syn_doc_error(doc));
    ck_assert_msg(strstr(syn_doc_error(doc), why) != NULL, "'%s' does not say '%s'",
                  syn_doc_error(doc), why);
    ck_assert_int_eq(syn_doc_json(doc, SYN_NO_OBJ, append, &after), SYN_OK);
    ck_assert_str_eq(before.at, after.at);
    ck_assert_uint_eq(syn_doc_log_end(doc), end);
    ck_assert_uint_eq(syn_doc_event_count(doc), events);
    syn_doc_check(doc);
}

/* ---- Transactions and events */

START_TEST(a_transaction_shows_at_once_and_tells_at_commit)
{
    syn_doc *doc = new_doc(1);
    syn_event event;
    ok(doc, syn_begin(doc));
    insert(doc, 0, "one");
    shows(doc, "{\"t\":\"one\"}");
    ck_assert_uint_eq(syn_doc_event_count(doc), 0);
    ok(doc, syn_commit(doc));
    ck_assert_uint_eq(syn_doc_event_count(doc), 1);
    ck_assert(syn_doc_event(doc, 0, &event));
    ck_assert(event.local && event.kind == SYN_EVENT_SPLICE && event.inserted == 3);
    ck_assert_int_eq(memcmp(event.text.data, "one", 3), 0);
    syn_doc_free(doc);
}
END_TEST

START_TEST(a_rollback_leaves_nothing_behind)
{
    syn_doc *doc = new_doc(1);
    syn_obj map = root(doc, "m", SYN_MAP), list = root(doc, "l", SYN_LIST),
            counter = root(doc, "c", SYN_COUNTER);
    insert(doc, 0, "ab\xc3\xa9");
    ok(doc, syn_map_set(doc, map, syn_s("k"), syn_int(1), NULL));
    ok(doc, syn_list_insert(doc, list, 0, syn_bool(true), NULL));
    ok(doc, syn_counter_add(doc, counter, 5));
    syn_doc_events_clear(doc);
    uint32_t end = syn_doc_log_end(doc);
    ok(doc, syn_begin(doc));
    ok(doc, syn_text_delete(doc, root(doc, "t", SYN_TEXT), 1, 2));
    ok(doc, syn_map_delete(doc, map, syn_s("k")));
    ok(doc, syn_map_set(doc, map, syn_s("new"), syn_null(), NULL));
    ok(doc, syn_list_set(doc, list, 0, syn_string(syn_s("x")), NULL));
    ok(doc, syn_list_delete(doc, list, 0, 1));
    ok(doc, syn_counter_add(doc, counter, -7));
    ok(doc, syn_rollback(doc));
    shows(doc, "{\"c\":5,\"l\":[true],\"m\":{\"k\":1},\"t\":\"ab\xc3\xa9\"}");
    ck_assert_uint_eq(syn_doc_log_end(doc), end);
    ck_assert_uint_eq(syn_doc_event_count(doc), 0);
    syn_doc_free(doc);
}
END_TEST

START_TEST(events_are_kept_while_they_are_wished_for)
{
    syn_doc *doc = new_doc(1);
    syn_event event;
    insert(doc, 0, "one");
    syn_doc_events_keep(doc, false);
    insert(doc, 3, "two");
    ck_assert_uint_eq(syn_doc_event_count(doc), 1); /* what was kept waits */
    syn_doc_events_clear(doc);
    ok(doc, syn_begin(doc));
    insert(doc, 0, "not ");
    syn_doc_events_keep(doc, true);
    insert(doc, 0, "seen");
    ok(doc, syn_rollback(doc));
    ck_assert_uint_eq(syn_doc_event_count(doc), 0);
    ok(doc, syn_begin(doc));
    insert(doc, 6, "!");
    ok(doc, syn_commit(doc));
    ck_assert_uint_eq(syn_doc_event_count(doc), 1);
    ck_assert(syn_doc_event(doc, 0, &event) && event.pos == 6 && event.inserted == 1);
    syn_doc_check(doc);
    shows(doc, "{\"t\":\"onetwo!\"}");
    syn_doc_free(doc);
}
END_TEST

START_TEST(begin_commit_and_rollback_come_in_pairs)
{
    syn_doc *doc = new_doc(1), *other = new_doc(2);
    ck_assert_int_eq(syn_commit(doc), SYN_EMISUSE);
    ck_assert_str_eq(syn_doc_error(doc), "no transaction is open");
    ck_assert_int_eq(syn_rollback(doc), SYN_EMISUSE);
    ok(doc, syn_begin(doc));
    ck_assert_int_eq(syn_begin(doc), SYN_EMISUSE);
    insert(other, 0, "x");
    ck_assert_int_eq(send(other, doc, true), SYN_EMISUSE);
    ck_assert_str_eq(syn_doc_error(doc), "a transaction is open");
    ck_assert_int_eq(syn_doc_set_peer(doc, 9, false), SYN_EMISUSE);
    ok(doc, syn_commit(doc));
    syn_doc_free(doc);
    syn_doc_free(other);
}
END_TEST

START_TEST(a_container_whose_event_was_rolled_back_takes_no_edits)
{
    syn_doc *doc = new_doc(1), *other = new_doc(2);
    syn_obj child, map = root(doc, "m", SYN_MAP), inner;
    syn_value value = {.kind = SYN_VALUE_CHILD, .child = SYN_MAP};
    ok(doc, syn_begin(doc));
    ok(doc, syn_map_set(doc, map, syn_s("k"), value, &child));
    ok(doc, syn_map_child_peek(doc, child, syn_s("deep"), SYN_TEXT, &inner));
    ok(doc, syn_rollback(doc));
    ck_assert_int_eq(syn_map_set(doc, child, syn_s("x"), syn_null(), NULL), SYN_ENOTFOUND);
    ck_assert_int_eq(syn_text_insert(doc, inner, 0, syn_s("x")), SYN_ENOTFOUND);
    ok(doc, syn_map_set(doc, map, syn_s("other"), syn_int(1), NULL));
    ck_assert_int_eq(syn_map_set(doc, child, syn_s("x"), syn_null(), NULL), SYN_ENOTFOUND);
    ok(other, send(doc, other, false));
    shows(other, "{\"m\":{\"other\":1}}");
    syn_doc_free(doc);
    syn_doc_free(other);
}
END_TEST

START_TEST(remote_changes_are_told_as_edits_of_what_a_reader_shows)
{
    syn_doc *a = new_doc(1), *b = new_doc(2);
    syn_event event;
    insert(a, 0, "world");
    ok(b, send(a, b, false));
    syn_doc_events_clear(b);
    insert(b, 5, "!");
    insert(a, 0, "hello ");
    syn_doc_events_clear(b);
    ok(b, send(a, b, false));
    ck_assert_uint_eq(syn_doc_event_count(b), 1);
    ck_assert(syn_doc_event(b, 0, &event));
    ck_assert(!event.local && event.pos == 0 && event.removed == 0 && event.inserted == 6);
    shows(b, "{\"t\":\"hello world!\"}");
    syn_doc_free(a);
    syn_doc_free(b);
}
END_TEST

/* ---- Reading and errors of local edits */

START_TEST(positions_are_told_in_scalars_utf16_and_bytes)
{
    syn_doc *doc = new_doc(1);
    syn_obj text = root(doc, "t", SYN_TEXT);
    insert(doc, 0, "a\xc3\xa9\xf0\x9f\x98\x80z"); /* a, e acute, an emoji, z */
    ck_assert_uint_eq(syn_text_len(doc, text), 4);
    ck_assert_uint_eq(syn_text_bytes(doc, text), 8);
    ck_assert_uint_eq(syn_text_position(doc, text, SYN_UNIT_SCALAR, 3, SYN_UNIT_UTF16), 4);
    ck_assert_uint_eq(syn_text_position(doc, text, SYN_UNIT_SCALAR, 3, SYN_UNIT_BYTE), 7);
    ck_assert_uint_eq(syn_text_position(doc, text, SYN_UNIT_UTF16, 3, SYN_UNIT_SCALAR), 2);
    ck_assert_uint_eq(syn_text_position(doc, text, SYN_UNIT_BYTE, 5, SYN_UNIT_SCALAR), 2);
    ck_assert_uint_eq(syn_text_position(doc, text, SYN_UNIT_BYTE, 99, SYN_UNIT_SCALAR), 4);
    syn_doc_free(doc);
}
END_TEST

START_TEST(local_edits_that_cannot_be_are_refused_with_their_reason)
{
    syn_doc *doc = new_doc(0);
    syn_obj text = root(doc, "t", SYN_TEXT), map = root(doc, "m", SYN_MAP),
            list = root(doc, "l", SYN_LIST), out;
    char long_key[1100];
    memset(long_key, 'k', sizeof long_key);
    ck_assert_int_eq(syn_text_insert(doc, text, 0, syn_s("x")), SYN_EMISUSE);
    ck_assert_str_eq(syn_doc_error(doc), "set a peer before editing");
    ck_assert_int_eq(syn_doc_set_peer(doc, 0, false), SYN_EMISUSE);
    ok(doc, syn_doc_set_peer(doc, 3, false));
    ck_assert_int_eq(syn_text_insert(doc, text, 1, syn_s("x")), SYN_ERANGE);
    ck_assert_str_eq(syn_doc_error(doc), "insert at 1 of 0");
    ck_assert_int_eq(syn_text_insert(doc, text, 0, syn_s("\xff")), SYN_EUTF8);
    ck_assert_int_eq(syn_text_insert(doc, text, 0, syn_s("\xed\xa0\x80")), SYN_EUTF8);
    ck_assert_int_eq(syn_text_insert(doc, map, 0, syn_s("x")), SYN_EKIND);
    ck_assert_int_eq(syn_text_insert(doc, 4711, 0, syn_s("x")), SYN_EMISUSE);
    ck_assert_int_eq(syn_text_delete(doc, text, 0, 1), SYN_ERANGE);
    ck_assert_int_eq(syn_list_insert(doc, list, 1, syn_null(), NULL), SYN_ERANGE);
    ck_assert_int_eq(syn_list_set(doc, list, 0, syn_null(), NULL), SYN_ERANGE);
    ck_assert_int_eq(syn_list_delete(doc, list, 0, 1), SYN_ERANGE);
    ck_assert_int_eq(syn_map_delete(doc, map, syn_s("none")), SYN_ENOTFOUND);
    ck_assert_int_eq(syn_map_set(doc, map, (syn_str){long_key, 1025}, syn_null(), NULL),
                     SYN_ELIMIT);
    ck_assert_int_eq(syn_map_set(doc, map, (syn_str){"a\0b", 3}, syn_null(), NULL), SYN_EUTF8);
    ck_assert_int_eq(syn_root(doc, (syn_str){long_key, 256}, SYN_TEXT, &out), SYN_ELIMIT);
    ck_assert_int_eq(syn_root(doc, syn_s("\xc0\x80"), SYN_TEXT, &out), SYN_EUTF8);
    ck_assert_int_eq(syn_map_child(doc, list, syn_s("k"), SYN_TEXT, &out), SYN_EKIND);
    ck_assert_uint_eq(syn_doc_log_end(doc), 0);
    shows(doc, "{}");
    syn_doc_free(doc);
}
END_TEST

START_TEST(values_keys_and_events_stop_at_their_limits)
{
    syn_doc *doc;
    syn_doc_config config = SYN_DOC_CONFIG_INIT;
    config.peer = 1;
    config.max_value = 4;
    config.max_events = 3;
    ck_assert_int_eq(syn_doc_new(&doc, &config), SYN_OK);
    syn_obj map = root(doc, "m", SYN_MAP);
    ck_assert_int_eq(syn_map_set(doc, map, syn_s("k"), syn_string(syn_s("12345")), NULL),
                     SYN_ELIMIT);
    ok(doc, syn_map_set(doc, map, syn_s("k"), syn_string(syn_s("1234")), NULL));
    ck_assert_int_eq(syn_text_insert(doc, root(doc, "t", SYN_TEXT), 0, syn_s("abc")), SYN_ELIMIT);
    ok(doc, syn_text_insert(doc, root(doc, "t", SYN_TEXT), 0, syn_s("ab")));
    struct draft d;
    draft_init(&d);
    refuses(doc, &d, SYN_ELIMIT, "more than 3 events");
    config.size = 1;
    syn_doc *none;
    ck_assert_int_eq(syn_doc_new(&none, &config), SYN_EMISUSE);
    syn_doc_free(doc);
}
END_TEST

START_TEST(concurrent_writes_of_a_key_are_kept_winner_first)
{
    syn_doc *a = new_doc(1), *b = new_doc(2);
    syn_value value;
    syn_id writer;
    bool gone;
    syn_obj map = root(a, "m", SYN_MAP);
    ok(a, syn_map_set(a, map, syn_s("k"), syn_int(1), NULL));
    ok(b, syn_map_set(b, root(b, "m", SYN_MAP), syn_s("k"), syn_int(2), NULL));
    ok(a, send(b, a, false));
    shows(a, "{\"m\":{\"k\":2}}");
    ok(a, syn_map_conflict(a, map, syn_s("k"), 1, &value, &writer, &gone));
    ck_assert(value.as.i == 1 && writer.peer == 1 && writer.seq == 0 && !gone);
    ck_assert_int_eq(syn_map_conflict(a, map, syn_s("k"), 2, &value, &writer, &gone),
                     SYN_ENOTFOUND);
    ok(a, syn_map_set(a, map, syn_s("k"), syn_int(3), NULL));
    ck_assert_int_eq(syn_map_conflict(a, map, syn_s("k"), 1, &value, &writer, &gone),
                     SYN_ENOTFOUND);
    syn_doc_free(a);
    syn_doc_free(b);
}
END_TEST

START_TEST(children_made_at_once_under_one_key_are_one_child)
{
    syn_doc *a = new_doc(1), *b = new_doc(2);
    syn_obj ca, cb;
    ok(a, syn_map_child(a, root(a, "m", SYN_MAP), syn_s("k"), SYN_TEXT, &ca));
    ok(b, syn_map_child(b, root(b, "m", SYN_MAP), syn_s("k"), SYN_TEXT, &cb));
    ok(a, syn_text_insert(a, ca, 0, syn_s("from a, ")));
    ok(b, syn_text_insert(b, cb, 0, syn_s("from b")));
    ok(a, send(b, a, false));
    ok(b, send(a, b, false));
    shows(a, "{\"m\":{\"k\":\"from a, from b\"}}");
    shows(b, "{\"m\":{\"k\":\"from a, from b\"}}");
    ok(a, syn_map_set(a, root(a, "m", SYN_MAP), syn_s("k"), syn_int(1), NULL));
    shows(a, "{\"m\":{\"k\":1}}");
    ok(a, syn_map_child(a, root(a, "m", SYN_MAP), syn_s("k"), SYN_TEXT, &ca));
    shows(a, "{\"m\":{\"k\":\"from a, from b\"}}");
    syn_doc_free(a);
    syn_doc_free(b);
}
END_TEST

/* ---- Changes: duplicates, forks, gaps, what is missing */

START_TEST(the_same_events_grouped_differently_are_duplicates)
{
    syn_doc *a = new_doc(1), *b = new_doc(2);
    syn_applied applied;
    insert(a, 0, "abcdef");
    ok(a, syn_text_delete(a, root(a, "t", SYN_TEXT), 3, 1));
    ok(a, syn_text_delete(a, root(a, "t", SYN_TEXT), 2, 1));
    ok(a, syn_text_delete(a, root(a, "t", SYN_TEXT), 1, 1));
    ok(b, send(a, b, false));
    for (uint32_t i = 0; i < syn_doc_log_end(a); i++)
        for (uint32_t end = i + 1; end <= syn_doc_log_end(a); end++) {
            syn_changes set;
            syn_span span = {i, end};
            ok(a, syn_doc_export_spans(a, &span, 1, &set));
            ok(b, syn_apply(b, &set, false, &applied));
            ck_assert_uint_eq(applied.applied, 0);
            ck_assert_uint_eq(applied.duplicate, end - i);
        }
    shows(b, "{\"t\":\"aef\"}");
    syn_doc_free(a);
    syn_doc_free(b);
}
END_TEST

START_TEST(one_id_with_two_contents_is_a_fork)
{
    syn_doc *doc = new_doc(1);
    struct draft d;
    draft_init(&d);
    ok(doc, syn_apply(doc, &d.set, false, NULL));
    d.set.text = syn_s("ax");
    refuses(doc, &d, SYN_EFORKED, "is here with other content");
    ck_assert_uint_eq(syn_doc_fault(doc).event.peer, 7);
    draft_init(&d);
    d.ops[0].kind = OP_DELETE;
    d.set.text = syn_s("");
    refuses(doc, &d, SYN_EFORKED, "other content");
    draft_init(&d);
    d.containers[0].name = syn_s("u");
    refuses(doc, &d, SYN_EFORKED, "other content");
    draft_init(&d);
    d.runs[0].len = d.ops[0].len = 3; /* longer than what is here: taken */
    d.set.text = syn_s("abc");
    ok(doc, syn_apply(doc, &d.set, false, NULL));
    shows(doc, "{\"t\":\"abc\"}");
    ck_assert_int_eq(syn_doc_set_peer(doc, 7, false), SYN_EFORKED);
    ok(doc, syn_doc_set_peer(doc, 7, true));
    syn_doc_free(doc);
}
END_TEST

START_TEST(an_event_needs_its_peers_previous_one_before_it)
{
    syn_doc *doc = new_doc(1);
    struct draft d;
    draft_init(&d);
    ok(doc, syn_apply(doc, &d.set, false, NULL));
    draft_init(&d);
    d.runs[0] = (struct change_run){.seq = 5, .len = 2, .explicit_parents = true};
    refuses(doc, &d, SYN_EGAP, "comes before 2 of that peer");
    d.runs[0].seq = 2;
    refuses(doc, &d, SYN_EMALFORMED, "previous event among its ancestors");
    syn_doc_free(doc);
}
END_TEST

START_TEST(changes_without_their_parents_wait_for_them)
{
    syn_doc *a = new_doc(1), *b = new_doc(2);
    syn_id missing[2];
    insert(a, 0, "abcd");
    ck_assert_int_eq(send_span(a, 2, 4, b, false), SYN_EMISSING);
    ok(b, send_span(a, 3, 4, b, true));
    ok(b, send_span(a, 2, 3, b, true));
    ck_assert_uint_eq(syn_doc_missing(b, missing, 2), 2);
    ck_assert(missing[0].peer == 1 && missing[0].seq == 2 && missing[1].seq == 1);
    shows(b, "{}");
    ok(b, send_span(a, 0, 2, b, true));
    ck_assert_uint_eq(syn_doc_missing(b, NULL, 0), 0);
    shows(b, "{\"t\":\"abcd\"}");
    syn_doc_free(a);
    syn_doc_free(b);
}
END_TEST

START_TEST(what_waits_for_parents_is_bounded)
{
    syn_doc *a = new_doc(1), *b;
    syn_doc_config config = SYN_DOC_CONFIG_INIT;
    config.max_pending = 2000;
    ck_assert_int_eq(syn_doc_new(&b, &config), SYN_OK);
    for (uint32_t i = 0; i < 400; i++) insert(a, 0, "abcd");
    syn_err err = SYN_OK;
    for (uint32_t at = 1; err == SYN_OK && at < 1599; at += 4)
        err = send_span(a, at, at + 1, b, true);
    ck_assert_int_eq(err, SYN_ELIMIT);
    ck_assert_str_eq(syn_doc_error(b), "more than 2000 bytes wait for missing parents");
    syn_doc_check(b);
    syn_doc_pending_clear(b);
    ck_assert_uint_eq(syn_doc_missing(b, NULL, 0), 0);
    ok(b, send(a, b, true));
    syn_doc_free(a);
    syn_doc_free(b);
}
END_TEST

START_TEST(heads_are_limited)
{
    syn_doc *doc;
    struct draft d;
    syn_doc_config config = SYN_DOC_CONFIG_INIT;
    config.max_heads = 3;
    ck_assert_int_eq(syn_doc_new(&doc, &config), SYN_OK);
    draft_init(&d);
    for (uint64_t peer = 1; peer <= 3; peer++) {
        d.peers[0] = peer;
        ok(doc, syn_apply(doc, &d.set, false, NULL));
    }
    d.peers[0] = 4;
    refuses(doc, &d, SYN_ELIMIT, "more than 3 heads");
    syn_doc_free(doc);
}
END_TEST

/* ---- Later versions */

START_TEST(unknown_operations_and_values_are_kept_and_passed_on)
{
    syn_doc *a = new_doc(1), *b = new_doc(2);
    struct draft d;
    draft_init(&d);
    d.containers[1] = (struct change_container){.kind = 21, .name = syn_s("later")};
    d.containers[2] = (struct change_container){.kind = SYN_MAP, .name = syn_s("m")};
    d.ops[0] = (struct change_op){.kind = 77, .container = 1, .len = 3, .pos = 4, .arg = 0};
    d.ops[1] = (struct change_op){.kind = OP_MAP_SET, .container = 2, .len = 1};
    d.ops[2] = (struct change_op){.kind = OP_NOTHING, .len = 1};
    d.keys[0] = syn_s("k");
    d.values[0] = (struct change_value){.kind = 99, .blob = syn_s("as it came")};
    d.ext[0] = syn_s("ext");
    d.runs[0].len = 5;
    d.set.text = syn_s("");
    d.set.op_count = d.set.container_count = 3;
    d.set.key_count = d.set.value_count = d.set.ext_count = 1;
    ok(a, syn_apply(a, &d.set, false, NULL));
    shows(a, "{\"m\":{\"k\":null}}");
    ok(b, send(a, b, false));
    syn_changes set;
    syn_span all = {0, 5};
    ok(b, syn_doc_export_spans(b, &all, 1, &set));
    ck_assert_uint_eq(set.op_count, 3);
    ck_assert(set.ops[0].kind == 77 && set.ops[0].len == 3 && set.ops[0].pos == 4);
    ck_assert_int_eq(memcmp(set.ext[0].data, "ext", 3), 0);
    ck_assert(set.values[0].kind == 99 && set.values[0].blob.len == 10);
    uint32_t cut;
    ok(b, syn_doc_export(b, (syn_span){0, 5}, 1, SIZE_MAX, &set, &cut));
    ck_assert_uint_eq(cut, 3);
    ck_assert_uint_eq(syn_doc_critical(b, 1), UINT32_MAX);
    ck_assert_uint_eq(syn_doc_critical(b, 2), 2);
    draft_init(&d);
    d.ops[0].kind = OP_LIST_MOVE;
    refuses(b, &d, SYN_EUNSUPPORTED, "not applied by this version");
    syn_doc_free(a);
    syn_doc_free(b);
}
END_TEST

START_TEST(an_unknown_operation_in_a_text_is_no_edit_of_it)
{
    syn_doc *a = new_doc(9), *b = new_doc(8);
    struct draft d;
    draft_init(&d);
    d.ops[0] = (struct change_op){.kind = 40, .len = 2};
    d.ext[0] = syn_s("");
    d.set.ext_count = 1;
    d.set.text = syn_s("");
    ok(a, syn_apply(a, &d.set, false, NULL));
    insert(a, 0, "after");
    insert(b, 0, "beside ");
    ok(a, send(b, a, false));
    ok(b, send(a, b, false));
    shows(a, "{\"t\":\"beside after\"}");
    shows(b, "{\"t\":\"beside after\"}");
    syn_doc_free(a);
    syn_doc_free(b);
}
END_TEST

/* ---- Malformed sets */

typedef void (*spoil_fn)(struct draft *d);

static void no_peer(struct draft *d)
{
    d->runs[0].peer = 1;
}
static void peer_zero(struct draft *d)
{
    d->peers[0] = 0;
}
static void empty_run(struct draft *d)
{
    d->runs[0].len = 0;
}
static void endless_run(struct draft *d)
{
    d->runs[0].seq = SEQ_MAX;
}
static void empty_op(struct draft *d)
{
    d->ops[0].len = 0;
}
static void far_op(struct draft *d)
{
    d->ops[0].pos = SEQ_MAX + 1;
}
static void reserved_op(struct draft *d)
{
    d->ops[0].kind = 20;
}
static void no_container(struct draft *d)
{
    d->ops[0].container = 1;
}
static void more_events_than_ops(struct draft *d)
{
    d->runs[0].len = 3;
}
static void short_text(struct draft *d)
{
    d->set.text = syn_s("a");
}
static void long_text(struct draft *d)
{
    d->set.text = syn_s("abc");
}
static void a_key_too_many(struct draft *d)
{
    d->set.key_count = 1;
}
static void nodes(struct draft *d)
{
    d->set.node_count = 1;
}
static void a_parent_too_many(struct draft *d)
{
    d->set.dep_count = 1;
}
static void parent_of_no_peer(struct draft *d)
{
    d->set.dep_count = d->runs[0].dep_count = 1;
    d->runs[0].explicit_parents = true;
    d->deps[0].peer = 3;
}
static void insert_beyond_the_end(struct draft *d)
{
    d->ops[0].pos = 1;
}
static void delete_of_nothing(struct draft *d)
{
    d->ops[0].kind = OP_DELETE;
    d->set.text = syn_s("");
}
static void wrong_container(struct draft *d)
{
    d->containers[0].kind = SYN_LIST;
}
static void reserved_container(struct draft *d)
{
    d->containers[0].kind = 9;
}
static void child_of_itself(struct draft *d)
{
    d->containers[0] = (struct change_container){
        .kind = SYN_TEXT, .form = CONTAINER_MERGEABLE, .parent = 0, .key = syn_s("k")};
}
static void child_of_a_text(struct draft *d)
{
    d->containers[1] = (struct change_container){
        .kind = SYN_TEXT, .form = CONTAINER_MERGEABLE, .parent = 0, .key = syn_s("k")};
    d->ops[0].container = 1;
    d->set.container_count = 2;
}
static void made_by_this_event(struct draft *d)
{
    d->containers[0] = (struct change_container){.kind = SYN_TEXT, .form = CONTAINER_BY_EVENT};
}
static void made_by_a_later_event(struct draft *d)
{
    d->containers[0] =
        (struct change_container){.kind = SYN_TEXT, .form = CONTAINER_BY_EVENT, .seq = 1};
}
static void made_by_nobody(struct draft *d)
{
    d->containers[0] =
        (struct change_container){.kind = SYN_TEXT, .form = CONTAINER_BY_EVENT, .peer = 5};
}
static void set_of(struct draft *d, struct change_value value)
{
    d->containers[0].kind = SYN_MAP;
    d->ops[0] = (struct change_op){.kind = OP_MAP_SET, .len = 1};
    d->runs[0].len = 1;
    d->set.text = syn_s("");
    d->keys[0] = syn_s("k");
    d->values[0] = value;
    d->set.key_count = d->set.value_count = 1;
}
static void reserved_value(struct draft *d)
{
    set_of(d, (struct change_value){.kind = 12});
}
static void strange_child(struct draft *d)
{
    set_of(d, (struct change_value){.kind = SYN_VALUE_CHILD, .i = 9});
}
static void negative_child(struct draft *d)
{
    set_of(d, (struct change_value){.kind = SYN_VALUE_CHILD, .i = -1});
}
static void counting_in_reals(struct draft *d)
{
    set_of(d, (struct change_value){.kind = SYN_VALUE_REAL, .real = 1});
    d->containers[0].kind = SYN_COUNTER;
    d->ops[0].kind = OP_COUNTER_ADD;
    d->set.key_count = 0;
}
static void mergeable_in_a_list(struct draft *d)
{
    set_of(d, (struct change_value){.kind = SYN_VALUE_MERGEABLE});
    d->containers[0].kind = SYN_LIST;
    d->ops[0].kind = OP_LIST_INSERT;
    d->set.key_count = 0;
}
static void cut_unknown(struct draft *d)
{
    d->ops[0] = (struct change_op){.kind = 50, .len = 2};
    d->runs[0].len = 1;
    d->runs[1] = (struct change_run){.seq = 1, .len = 1};
    d->set.run_count = 2;
    d->set.ext_count = 1;
    d->ext[0] = syn_s("");
    d->set.text = syn_s("");
}
static void parents_in_a_row(struct draft *d)
{
    d->runs[0].len = d->runs[1].len = 1;
    d->runs[1] = (struct change_run){.peer = 1, .len = 1, .explicit_parents = true, .dep_count = 2};
    d->runs[0].len = 2;
    d->ops[0].len = 3;
    d->set.text = syn_s("abc");
    d->peers[1] = 8;
    d->deps[1].seq = 1;
    d->set.peer_count = d->set.run_count = d->set.dep_count = 2;
}

static const struct {
    spoil_fn spoil;
    syn_err err;
    const char *why;
} malformed[] = {
    {no_peer, SYN_EMALFORMED, "run 0 has no events or no peer"},
    {peer_zero, SYN_EMALFORMED, "peer 0"},
    {empty_run, SYN_EMALFORMED, "run 0 has no events"},
    {endless_run, SYN_EMALFORMED, "run 0"},
    {empty_op, SYN_EMALFORMED, "operation 0 has no events"},
    {far_op, SYN_EMALFORMED, "impossible position"},
    {reserved_op, SYN_EMALFORMED, "operation kind 20 is reserved"},
    {no_container, SYN_EMALFORMED, "operation 0 names no container"},
    {more_events_than_ops, SYN_EMALFORMED, "do not cover the same events"},
    {short_text, SYN_EMALFORMED, "more or less than is there"},
    {long_text, SYN_EMALFORMED, "more or less than is there"},
    {a_key_too_many, SYN_EMALFORMED, "more or less than is there"},
    {nodes, SYN_EMALFORMED, "more or less than is there"},
    {a_parent_too_many, SYN_EMALFORMED, "do not cover the same events"},
    {parent_of_no_peer, SYN_EMALFORMED, "parent 0 names no peer"},
    {insert_beyond_the_end, SYN_EMALFORMED, "position 1 is not there at its parents"},
    {delete_of_nothing, SYN_EMALFORMED, "position 0 is not there at its parents"},
    {wrong_container, SYN_EMALFORMED, "operation kind 0 in a container of kind 2"},
    {reserved_container, SYN_EMALFORMED, "container kind 9 is reserved"},
    {child_of_itself, SYN_EMALFORMED, "a container comes before its parent"},
    {child_of_a_text, SYN_EMALFORMED, "is no map"},
    {made_by_this_event, SYN_EMALFORMED, "made no container of kind 0"},
    {made_by_a_later_event, SYN_EMALFORMED, "made no container of kind 0"},
    {made_by_nobody, SYN_EMALFORMED, "a container names no peer"},
    {reserved_value, SYN_EMALFORMED, "value kind 12 is reserved"},
    {strange_child, SYN_EMALFORMED, "no such kind of container"},
    {negative_child, SYN_EMALFORMED, "no such kind of container"},
    {counting_in_reals, SYN_EMALFORMED, "a counter takes integers"},
    {mergeable_in_a_list, SYN_EMALFORMED, "a mergeable child outside a map"},
    {cut_unknown, SYN_EMALFORMED, "unknown kind is cut"},
    {parents_in_a_row, SYN_EMALFORMED, "a parent is an ancestor of another"},
};

START_TEST(a_malformed_set_leaves_the_document_untouched)
{
    struct draft d;
    syn_doc *doc = new_doc(1);
    insert(doc, 0, "here");
    draft_init(&d);
    malformed[_i].spoil(&d);
    refuses(doc, &d, malformed[_i].err, malformed[_i].why);
    draft_init(&d);
    ok(doc, syn_apply(doc, &d.set, false, NULL));
    shows(doc, "{\"t\":\"hereab\"}");
    syn_doc_free(doc);
}
END_TEST

/* A set of many operations, the last of which cannot be: those before it have been carried out, in
 * an empty document.  Text, map, list and counter by turns. */
START_TEST(a_long_set_that_fails_at_its_end_leaves_an_empty_document)
{
    enum { EACH = 1000 };
    syn_doc *author = new_doc(7), *doc = new_doc(1);
    syn_obj list = root(author, "l", SYN_LIST), map = root(author, "m", SYN_MAP);
    syn_obj counter = root(author, "c", SYN_COUNTER);
    for (uint32_t i = 0; i < EACH; i++) {
        insert(author, i / 2, "x");
        ok(author, syn_list_insert(author, list, 0, syn_int(i), NULL));
        ok(author, syn_map_set(author, map, syn_s("k"), syn_int(i), NULL));
        ok(author, syn_counter_add(author, counter, 1));
    }
    syn_changes set;
    syn_span all = {0, syn_doc_log_end(author)};
    ok(author, syn_doc_export_spans(author, &all, 1, &set));
    struct change_op *ops = calloc(set.op_count, sizeof *ops);
    memcpy(ops, set.ops, set.op_count * sizeof *ops);
    uint32_t last = set.op_count - 1;
    while (ops[last].kind != OP_TEXT_INSERT) last--;
    ops[last].pos += 2 * EACH;
    const struct change_op *good = set.ops;
    set.ops = ops;
    ck_assert_int_eq(syn_apply(doc, &set, false, NULL), SYN_EMALFORMED);
    ck_assert_uint_eq(syn_doc_log_end(doc), 0);
    ck_assert_uint_eq(syn_doc_event_count(doc), 0);
    shows(doc, "{}");
    set.ops = good;
    ok(doc, syn_apply(doc, &set, false, NULL));
    ck_assert_uint_eq(syn_text_len(doc, root(doc, "t", SYN_TEXT)), EACH);
    ck_assert_uint_eq(syn_list_len(doc, root(doc, "l", SYN_LIST)), EACH);
    ck_assert_int_eq(syn_counter_get(doc, root(doc, "c", SYN_COUNTER)), EACH);
    syn_doc_check(doc);
    free(ops);
    syn_doc_free(author);
    syn_doc_free(doc);
}
END_TEST

/* ---- Above a snapshot */

static syn_doc *loaded(syn_doc *from)
{
    syn_snapshot snapshot;
    syn_doc *doc = new_doc(50);
    ok(from, syn_doc_snapshot(from, &snapshot));
    ok(doc, syn_doc_load(doc, &snapshot));
    return doc;
}

START_TEST(above_a_snapshot_what_needs_history_says_so)
{
    syn_doc *a = new_doc(1), *late = new_doc(2);
    struct draft d;
    const syn_span *spans;
    size_t count;
    syn_id base = {1, 3};
    syn_changes *removed;
    insert(a, 0, "ab");
    ok(late, send(a, late, false));
    insert(late, 2, "late");
    insert(a, 2, "cd");
    syn_doc *doc = loaded(a);
    shows(doc, "{\"t\":\"abcd\"}");
    ck_assert(!syn_doc_has_history(doc));
    ck_assert_uint_eq(syn_doc_events(doc), 4);
    ck_assert_int_eq(send_span(late, 2, 6, doc, true), SYN_EHISTORY);
    ck_assert(syn_doc_fault(doc).missing.peer == 1 && syn_doc_fault(doc).missing.seq == 1);
    draft_init(&d);
    refuses(doc, &d, SYN_EHISTORY, "older than the snapshot");
    ck_assert_int_eq(syn_doc_spans_since(doc, NULL, 0, &spans, &count), SYN_EHISTORY);
    ck_assert_int_eq(syn_doc_spans_since(doc, &(syn_id){1, 0}, 1, &spans, &count), SYN_EHISTORY);
    ok(doc, syn_doc_spans_since(doc, &base, 1, &spans, &count));
    ck_assert_uint_eq(count, 0);
    syn_doc_events_clear(doc);
    ck_assert_int_eq(syn_doc_without(doc, NULL, 1, 3, &removed), SYN_EHISTORY);
    insert(a, 4, "!");
    ok(doc, send_span(a, 4, 5, doc, false));
    shows(doc, "{\"t\":\"abcd!\"}");
    syn_doc_free(a);
    syn_doc_free(late);
    syn_doc_free(doc);
}
END_TEST

struct one_set {
    syn_changes set;
    bool given;
};

static const syn_changes *give(void *user, syn_err *err)
{
    struct one_set *one = user;
    (void)err;
    if (one->given) return NULL;
    one->given = true;
    return &one->set;
}

START_TEST(history_that_leads_elsewhere_is_refused)
{
    syn_doc *a = new_doc(1);
    struct one_set history = {.given = false};
    syn_span some = {0, 3};
    insert(a, 0, "abcd");
    syn_doc *doc = loaded(a);
    syn_doc_events_clear(doc);
    ok(a, syn_doc_export_spans(a, &some, 1, &history.set));
    ck_assert_int_eq(syn_doc_backfill(doc, give, &history, NULL), SYN_EMALFORMED);
    ck_assert_str_eq(syn_doc_error(doc), "the history does not lead to the snapshot's version");
    struct draft d;
    draft_init(&d);
    d.peers[0] = 1;
    d.runs[0].len = d.ops[0].len = 4;
    d.set.text = syn_s("abcx");
    history = (struct one_set){.set = d.set};
    ck_assert_int_eq(syn_doc_backfill(doc, give, &history, NULL), SYN_EMALFORMED);
    ck_assert_str_eq(syn_doc_error(doc), "the history does not lead to the snapshot's state");
    shows(doc, "{\"t\":\"abcd\"}");
    d.set.text = syn_s("abcd");
    history = (struct one_set){.set = d.set};
    uint32_t added;
    ok(doc, syn_doc_backfill(doc, give, &history, &added));
    ck_assert_uint_eq(added, 3);
    ck_assert(syn_doc_has_history(doc));
    ck_assert_int_eq(syn_doc_backfill(doc, give, &history, &added), SYN_EMISUSE);
    syn_doc_free(a);
    syn_doc_free(doc);
}
END_TEST

START_TEST(a_snapshot_goes_into_an_empty_document_only)
{
    syn_doc *a = new_doc(1), *b = new_doc(2);
    syn_snapshot snapshot;
    insert(a, 0, "a");
    insert(b, 0, "b");
    syn_doc_events_clear(b);
    ok(a, syn_doc_snapshot(a, &snapshot));
    ck_assert_int_eq(syn_doc_load(b, &snapshot), SYN_EMISUSE);
    ok(a, send(b, a, false));
    ok(a, syn_doc_snapshot(a, &snapshot));
    syn_doc *c = new_doc(3);
    ck_assert_int_eq(syn_doc_load(c, &snapshot), SYN_EMALFORMED);
    ck_assert_str_eq(syn_doc_error(c), "snapshot: it must have exactly one head");
    syn_doc_free(a);
    syn_doc_free(b);
    syn_doc_free(c);
}
END_TEST

START_TEST(without_a_tail_the_rest_stays_and_the_tail_comes_back)
{
    syn_doc *a = new_doc(1), *b = new_doc(2);
    syn_changes *removed;
    insert(a, 0, "base ");
    ok(b, send(a, b, false));
    insert(b, 5, "mine");
    insert(a, 5, "yours");
    ok(b, send(a, b, false));
    syn_doc_events_clear(b);
    ck_assert_int_eq(syn_doc_without(b, NULL, 77, 0, &removed), SYN_ENOTFOUND);
    ok(b, syn_doc_without(b, NULL, 1, 5, &removed));
    shows(b, "{\"t\":\"base mine\"}");
    syn_doc_events_clear(b);
    insert(b, 9, "!");
    ok(b, syn_apply(b, removed, false, NULL));
    shows(b, "{\"t\":\"base yoursmine!\"}");
    syn_doc_events_clear(b);
    insert(b, 14, "?"); /* joins no run that a rebuild has cut off */
    ok(a, send(b, a, false));
    shows(a, "{\"t\":\"base yoursmine?!\"}");
    syn_changes_free(NULL, removed);
    syn_doc_free(a);
    syn_doc_free(b);
}
END_TEST

START_TEST(typing_after_a_rebuild_keeps_its_own_content)
{
    syn_doc *a = new_doc(1), *b = new_doc(2);
    syn_changes *removed;
    insert(a, 0, "wccw");
    insert(a, 1, "e");
    syn_doc_events_clear(a);
    ok(a, syn_doc_without(a, NULL, 1, 3, &removed)); /* the record says: "cc" for "eccw" */
    syn_doc_events_clear(a);
    ok(a, syn_apply(a, removed, false, NULL));
    syn_changes_free(NULL, removed);
    ok(b, send(a, b, false));
    shows(a, "{\"t\":\"weccw\"}");
    shows(b, "{\"t\":\"weccw\"}");
    syn_doc_free(a);
    syn_doc_free(b);
}
END_TEST

START_TEST(bytes_that_follow_a_text_in_the_log_are_no_part_of_it)
{
    syn_doc *a = new_doc(1), *b = new_doc(2);
    insert(a, 0, "\xc3\xa9x");
    ok(a, syn_map_set(a, root(a, "m", SYN_MAP), syn_s("k"), syn_bytes(syn_s("\x8a\x8b")), NULL));
    ok(b, send(a, b, false));
    shows(b, "{\"m\":{\"k\":\"ios=\"},\"t\":\"\xc3\xa9x\"}");
    ok(b, send(a, b, false));
    syn_doc_free(a);
    syn_doc_free(b);
}
END_TEST

START_TEST(every_error_has_a_name_and_a_sentence)
{
    for (int err = 0; err < 40; err++) {
        ck_assert_uint_gt(strlen(syn_errname((syn_err)err)), 0);
        ck_assert_uint_gt(strlen(syn_strerror((syn_err)err)), 0);
    }
    ck_assert_str_eq(syn_errname(SYN_EFORKED), "EFORKED");
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("doc");
    TCase *local = tcase_create("local"), *changes = tcase_create("changes"),
          *base = tcase_create("above a snapshot");
    tcase_add_test(local, a_transaction_shows_at_once_and_tells_at_commit);
    tcase_add_test(local, a_rollback_leaves_nothing_behind);
    tcase_add_test(local, events_are_kept_while_they_are_wished_for);
    tcase_add_test(local, begin_commit_and_rollback_come_in_pairs);
    tcase_add_test(local, a_container_whose_event_was_rolled_back_takes_no_edits);
    tcase_add_test(local, remote_changes_are_told_as_edits_of_what_a_reader_shows);
    tcase_add_test(local, positions_are_told_in_scalars_utf16_and_bytes);
    tcase_add_test(local, local_edits_that_cannot_be_are_refused_with_their_reason);
    tcase_add_test(local, values_keys_and_events_stop_at_their_limits);
    tcase_add_test(local, concurrent_writes_of_a_key_are_kept_winner_first);
    tcase_add_test(local, children_made_at_once_under_one_key_are_one_child);
    tcase_add_test(local, every_error_has_a_name_and_a_sentence);
    tcase_add_test(changes, the_same_events_grouped_differently_are_duplicates);
    tcase_add_test(changes, one_id_with_two_contents_is_a_fork);
    tcase_add_test(changes, an_event_needs_its_peers_previous_one_before_it);
    tcase_add_test(changes, changes_without_their_parents_wait_for_them);
    tcase_add_test(changes, what_waits_for_parents_is_bounded);
    tcase_add_test(changes, heads_are_limited);
    tcase_add_test(changes, bytes_that_follow_a_text_in_the_log_are_no_part_of_it);
    tcase_add_test(changes, unknown_operations_and_values_are_kept_and_passed_on);
    tcase_add_test(changes, an_unknown_operation_in_a_text_is_no_edit_of_it);
    tcase_add_loop_test(changes, a_malformed_set_leaves_the_document_untouched, 0,
                        (int)(sizeof malformed / sizeof malformed[0]));
    tcase_add_test(changes, a_long_set_that_fails_at_its_end_leaves_an_empty_document);
    tcase_add_test(base, above_a_snapshot_what_needs_history_says_so);
    tcase_add_test(base, history_that_leads_elsewhere_is_refused);
    tcase_add_test(base, a_snapshot_goes_into_an_empty_document_only);
    tcase_add_test(base, without_a_tail_the_rest_stays_and_the_tail_comes_back);
    tcase_add_test(base, typing_after_a_rebuild_keeps_its_own_content);
    TCase *const cases[] = {local, changes, base};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        tcase_set_timeout(cases[i], 0);
        suite_add_tcase(suite, cases[i]);
    }
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
