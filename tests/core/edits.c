/* edits.c -- random local edits over all containers, kinds of values and nesting. */
#include "world.h"

#include "doc.h"

#include <check.h>
#include <math.h>

static const char *const scalars[] = {"a", "b", "c", "é", "漢", "😀", "\n", "\"", "\\", "x", "y"};
static const char *const keys[] = {"k", "z", "é", "", "a"};
static const char *const names[] = {"", "a", "text"};
static const double reals[] = {0.0, -0.0, 0.5, -3.0, 1e300, 1.0 / 3, (double)NAN, -(double)NAN};

#define PICK(r, array) (array)[below((r), sizeof(array) / sizeof *(array))]

static syn_str random_text(struct random *r, char *buf, uint32_t most)
{
    syn_str text = {buf, 0};
    for (uint32_t n = 1 + below(r, most); n > 0; n--) {
        const char *scalar = PICK(r, scalars);
        memcpy(buf + text.len, scalar, strlen(scalar));
        text.len += strlen(scalar);
    }
    return text;
}

static syn_value random_value(struct random *r, char *buf)
{
    switch (below(r, 9)) {
    case 0:
        return syn_null();
    case 1:
        return syn_bool(one_in(r, 2));
    case 2:
        return syn_int((int64_t)random_bits(r) >> below(r, 64));
    case 3:
        return syn_real(PICK(r, reals));
    case 4:
        for (int i = 0; i < 4; i++) buf[i] = (char)(random_bits(r) >> 32);
        return syn_bytes((syn_str){buf, below(r, 5)});
    case 5:
    case 6:
        return (syn_value){.kind = SYN_VALUE_CHILD, .child = (syn_kind)below(r, 5)};
    default:
        return syn_string(one_in(r, 8) ? syn_s("") : random_text(r, buf, 4));
    }
}

static void edit_text(struct random *r, syn_doc *doc, syn_obj obj)
{
    char buf[64];
    size_t len = syn_text_len(doc, obj), pos;
    uint32_t what = below(r, 10);
    if (len == 0 || what < 6) {
        pos = below(r, (uint32_t)len + 1);
        must(syn_text_insert(doc, obj, pos, random_text(r, buf, 4)) == SYN_OK);
    } else if (what < 8) { /* forward */
        pos = below(r, (uint32_t)len);
        uint32_t most = len - pos > 3 ? 3 : (uint32_t)(len - pos);
        must(syn_text_delete(doc, obj, pos, 1 + below(r, most)) == SYN_OK);
    } else { /* the backspace key */
        pos = 1 + below(r, (uint32_t)len);
        for (uint32_t n = 1 + below(r, 3); n > 0 && pos > 0; n--)
            must(syn_text_delete(doc, obj, --pos, 1) == SYN_OK);
    }
}

static void edit_list(struct random *r, syn_doc *doc, syn_obj obj)
{
    char buf[64];
    uint32_t len = (uint32_t)syn_list_len(doc, obj), what = below(r, 10);
    if (len == 0 || what < 5) {
        for (uint32_t n = 1 + below(r, 3), pos = below(r, len + 1); n > 0; n--, pos++)
            must(syn_list_insert(doc, obj, pos, random_value(r, buf), NULL) == SYN_OK);
    } else if (what < 8) {
        for (uint32_t n = 1 + below(r, 2), pos = below(r, len); n > 0 && pos < len; n--, pos++)
            must(syn_list_set(doc, obj, pos, random_value(r, buf), NULL) == SYN_OK);
    } else {
        uint32_t pos = below(r, len), most = len - pos > 3 ? 3 : len - pos;
        must(syn_list_delete(doc, obj, pos, 1 + below(r, most)) == SYN_OK);
    }
}

static void edit_map(struct random *r, syn_doc *doc, syn_obj obj)
{
    char buf[64];
    syn_obj child;
    syn_str key = syn_s(PICK(r, keys));
    switch (below(r, 6)) {
    case 0: {
        syn_value value;
        syn_err expected = syn_map_get(doc, obj, key, &value);
        must(syn_map_delete(doc, obj, key) == expected);
        break;
    }
    case 1:
    case 2:
        must(syn_map_child(doc, obj, key, (syn_kind)below(r, 4), &child) == SYN_OK);
        break;
    default:
        must(syn_map_set(doc, obj, key, random_value(r, buf), &child) == SYN_OK);
        break;
    }
}

/* One that is known already, or a root. */
static syn_obj random_container(struct random *r, syn_doc *doc)
{
    syn_obj obj;
    if (doc->all.list.n > 0 && !one_in(r, 5)) return below(r, doc->all.list.n);
    syn_kind kind = one_in(r, 2) ? SYN_TEXT : (syn_kind)below(r, 4);
    must(syn_root(doc, syn_s(PICK(r, names)), kind, &obj) == SYN_OK);
    return obj;
}

void world_edit_one(struct random *r, syn_doc *doc)
{
    syn_obj obj = random_container(r, doc);
    if (!doc_container_exists(doc, obj)) return; /* taken back, or taken out */
    switch (syn_obj_kind(doc, obj)) {
    case SYN_TEXT:
        edit_text(r, doc, obj);
        break;
    case SYN_LIST:
        edit_list(r, doc, obj);
        break;
    case SYN_MAP:
        edit_map(r, doc, obj);
        break;
    case SYN_COUNTER: {
        int64_t delta = (int64_t)random_bits(r) >> below(r, 64);
        must(syn_counter_add(doc, obj, delta) == SYN_OK);
        break;
    }
    default:
        break;
    }
}

static void session(struct world *w, struct replica *replica)
{
    if (syn_doc_peer(replica->doc) != 0 && !replica->new_session && !one_in(&w->r, 8)) return;
    uint64_t high = one_in(&w->r, 2) ? random_bits(&w->r) : below(&w->r, 3);
    must(syn_doc_set_peer(replica->doc, high << 16 | ++w->peers, false) == SYN_OK);
    replica->new_session = false;
}

static void edit_and_take_back(struct world *w, syn_doc *doc)
{
    char *before = json_of(doc, SYN_NO_OBJ);
    uint32_t end = syn_doc_log_end(doc);
    must(syn_begin(doc) == SYN_OK);
    for (uint32_t n = 1 + below(&w->r, 5); n > 0; n--) world_edit_one(&w->r, doc);
    must(syn_doc_event_count(doc) == 0);
    must(syn_rollback(doc) == SYN_OK);
    char *after = json_of(doc, SYN_NO_OBJ);
    ck_assert_str_eq(before, after);
    must(syn_doc_log_end(doc) == end);
    free(before);
    free(after);
}

void world_edit(struct world *w, struct replica *replica)
{
    syn_doc *doc = replica->doc;
    if (oracle_events(w->o) + 100 > w->max_events) return;
    session(w, replica);
    if (one_in(&w->r, 6)) {
        edit_and_take_back(w, doc);
        return;
    }
    uint32_t from = syn_doc_log_end(doc);
    bool transaction = one_in(&w->r, 3);
    if (transaction) must(syn_begin(doc) == SYN_OK);
    for (uint32_t n = 1 + below(&w->r, 4); n > 0; n--) world_edit_one(&w->r, doc);
    if (transaction) must(syn_commit(doc) == SYN_OK);
    world_publish(w, doc, from);
}

void world_foreign_edit(struct world *w, struct replica *replica)
{
    syn_id heads[64];
    uint64_t peers[65];
    struct change_dep deps[64];
    uint32_t from = syn_doc_log_end(replica->doc);
    size_t count = syn_doc_heads(replica->doc, heads, 64);
    if (count > 64 || oracle_events(w->o) + 100 > w->max_events) return;
    peers[0] = random_bits(&w->r) << 16 | ++w->peers;
    for (uint32_t i = 0; i < count; i++) {
        peers[i + 1] = heads[i].peer;
        deps[i] = (struct change_dep){i + 1, heads[i].seq};
    }
    uint32_t unknown = 1 + below(&w->r, 3);
    struct change_container containers[2] = {
        {.kind = SYN_MAP, .form = CONTAINER_ROOT, .name = syn_s("")},
        {.kind = one_in(&w->r, 2) ? SYN_TEXT : 17, .form = CONTAINER_ROOT, .name = syn_s("a")}};
    struct change_op ops[3] = {{.kind = 32 + below(&w->r, 2), .container = 1, .len = unknown},
                               {.kind = OP_NOTHING, .len = 2},
                               {.kind = OP_MAP_SET, .container = 0, .len = 1}};
    syn_str key = syn_s(PICK(&w->r, keys)), ext = syn_s("later");
    struct change_value value = {.kind = 16 + below(&w->r, 3), .blob = syn_s("bytes")};
    struct change_run run = {.len = unknown + 3, .explicit_parents = count > 0};
    run.dep_count = (uint32_t)count;
    syn_changes set = {.peers = peers,
                       .containers = containers,
                       .runs = &run,
                       .deps = deps,
                       .ops = ops,
                       .keys = &key,
                       .values = &value,
                       .ext = &ext,
                       .text = syn_s(""),
                       .peer_count = (uint32_t)count + 1,
                       .container_count = 2,
                       .run_count = 1,
                       .dep_count = (uint32_t)count,
                       .op_count = 3,
                       .key_count = 1,
                       .value_count = 1,
                       .ext_count = 1};
    must(syn_apply(replica->doc, &set, false, NULL) == SYN_OK);
    world_publish(w, replica->doc, from);
}
