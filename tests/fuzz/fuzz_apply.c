/* fuzz_apply.c -- any bytes as changes for a small document.
 *
 * Whatever they are: the invariants hold afterwards; refused bytes changed nothing; bytes that were
 * taken are all duplicates the second time; and the history with them, replayed in a fresh
 * document, shows the same state. */
#include "proto.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void require(bool holds, const char *what)
{
    if (holds) return;
    fprintf(stderr, "fuzz_apply: %s\n", what);
    abort();
}

static void ok(syn_err err)
{
    require(err == SYN_OK, syn_strerror(err));
}

struct text {
    char *at;
    size_t n;
};

static syn_err append(void *user, const void *data, size_t len)
{
    struct text *t = user;
    t->at = realloc(t->at, t->n + len + 1);
    require(t->at != NULL, "out of memory");
    memcpy(t->at + t->n, data, len);
    t->n += len;
    return SYN_OK;
}

static struct text json_of(const syn_doc *doc)
{
    struct text t = {0};
    ok(syn_doc_json(doc, SYN_NO_OBJ, append, &t));
    return t;
}

static bool same(struct text a, struct text b)
{
    return a.n == b.n && memcmp(a.at, b.at, a.n) == 0;
}

static syn_doc *new_doc(uint64_t peer)
{
    syn_doc *doc;
    syn_doc_config config = SYN_DOC_CONFIG_INIT;
    config.peer = peer;
    config.events = true;
    config.max_value = 4096;
    config.max_events = 100000;
    ok(syn_doc_new(&doc, &config));
    return doc;
}

static void edit(syn_doc *doc)
{
    syn_obj text, map, list, child, made;
    ok(syn_root(doc, syn_s(""), SYN_TEXT, &text));
    ok(syn_root(doc, syn_s(""), SYN_MAP, &map));
    ok(syn_root(doc, syn_s("l"), SYN_LIST, &list));
    ok(syn_text_insert(doc, text, 0, syn_s("h\xc3\xa9llo")));
    ok(syn_text_delete(doc, text, 1, 2));
    ok(syn_map_child(doc, map, syn_s("c"), SYN_TEXT, &child));
    ok(syn_text_insert(doc, child, 0, syn_s("x")));
    ok(syn_map_set(doc, map, syn_s("k"), (syn_value){.kind = SYN_VALUE_CHILD, .child = SYN_LIST},
                   &made));
    ok(syn_list_insert(doc, made, 0, syn_int(1), NULL));
    ok(syn_list_insert(doc, list, 0, syn_bool(true), NULL));
    ok(syn_list_insert(doc, list, 1, syn_string(syn_s("v")), NULL));
    ok(syn_list_set(doc, list, 0, syn_null(), NULL));
}

static void take_over(syn_doc *to, syn_doc *from)
{
    syn_changes set;
    syn_span all = {0, syn_doc_log_end(from)};
    ok(syn_doc_export_spans(from, &all, 1, &set));
    ok(syn_apply(to, &set, false, NULL));
}

/* Two replicas that edited at once, merged. */
static syn_doc *prepared(void)
{
    syn_doc *doc = new_doc(1), *other = new_doc(2);
    edit(doc);
    edit(other);
    take_over(doc, other);
    syn_doc_free(other);
    syn_doc_events_clear(doc);
    return doc;
}

static void replay_cold(syn_doc *doc)
{
    syn_doc *cold = new_doc(3);
    take_over(cold, doc);
    syn_doc_check(cold);
    struct text a = json_of(doc), b = json_of(cold);
    require(same(a, b), "a cold replay shows another state");
    free(a.at);
    free(b.at);
    syn_doc_free(cold);
}

static void apply(syn_doc *doc, const syn_changes *set)
{
    syn_applied applied;
    struct text before = json_of(doc);
    uint32_t end = syn_doc_log_end(doc);
    syn_err err = syn_apply(doc, set, true, &applied);
    syn_doc_check(doc);
    if (err != SYN_OK || applied.pending) {
        struct text after = json_of(doc);
        require(same(before, after) && syn_doc_log_end(doc) == end, "a refused set changed it");
        require(err == SYN_OK || syn_doc_error(doc)[0] != 0, "a refusal says why");
        free(after.at);
    } else {
        require(syn_doc_log_end(doc) - end == applied.applied, "applied events are counted");
        ok(syn_apply(doc, set, false, &applied));
        require(applied.applied == 0, "the second time all are duplicates");
        replay_cold(doc);
    }
    free(before.at);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const struct proto_limits limits = {.frame_events = 20000};
    proto_arena *arena;
    struct proto_fault fault;
    syn_changes set;
    ok(proto_arena_new(&arena, NULL));
    if (proto_decode_changes(arena, data, size, &limits, NULL, &set, &fault) == SYN_OK) {
        syn_doc *doc = prepared();
        apply(doc, &set);
        syn_doc_free(doc);
    }
    proto_arena_free(arena);
    return 0;
}
