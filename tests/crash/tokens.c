/* tokens.c -- see tokens.h. */
#include "tokens.h"
#include "process.h"

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void need(syn_err err, const char *what)
{
    if (err != SYN_OK) give_up("%s: %s", what, syn_strerror(err));
}

/* ---- Making ---------------------------------------------------------------------------------- */

/* The end of some token near a random place: no token is ever cut. */
static size_t between_tokens(const syn_doc *doc, syn_obj text, struct random *r)
{
    char piece[64];
    size_t len = syn_text_len(doc, text);
    size_t pos = len == 0 ? 0 : below(r, (uint32_t)len + 1);
    if (one_in(r, 4)) return len;
    size_t got = syn_text_read(doc, text, pos, sizeof piece, piece, sizeof piece);
    for (size_t i = 0; i < got && i < sizeof piece; i++)
        if (piece[i] == ';') return pos + i + 1;
    return 0;
}

static void scratch(syn_doc *doc, struct random *r)
{
    syn_obj text;
    need(syn_root(doc, syn_s("scratch"), SYN_TEXT, &text), "root");
    size_t len = syn_text_len(doc, text);
    if (len > 8 && one_in(r, 2)) {
        size_t pos = below(r, (uint32_t)len - 4);
        need(syn_text_delete(doc, text, pos, 1 + below(r, 4)), "delete");
    } else {
        need(syn_text_insert(doc, text, below(r, (uint32_t)len + 1), syn_s("scratch")), "insert");
    }
}

uint32_t token_edit(syn_client_doc *cd, uint32_t writer, uint32_t n, struct random *r)
{
    char token[32];
    syn_obj text, list, counter;
    syn_doc *doc = syn_client_doc_state(cd);
    need(syn_client_edit(cd), "edit");
    uint64_t before = syn_doc_events(doc);
    need(syn_begin(doc), "begin");
    need(syn_root(doc, syn_s(""), SYN_TEXT, &text), "root");
    need(syn_root(doc, syn_s("items"), SYN_LIST, &list), "root");
    need(syn_root(doc, syn_s("count"), SYN_COUNTER, &counter), "root");
    (void)snprintf(token, sizeof token, "%u.%u;", writer, n);
    need(syn_text_insert(doc, text, between_tokens(doc, text, r), syn_s(token)), "insert");
    token[strlen(token) - 1] = '\0';
    size_t at = below(r, (uint32_t)syn_list_len(doc, list) + 1);
    need(syn_list_insert(doc, list, at, syn_string(syn_s(token)), NULL), "list insert");
    need(syn_counter_add(doc, counter, 1), "add");
    if (one_in(r, 3)) scratch(doc, r);
    need(syn_commit(doc), "commit");
    uint64_t events = syn_doc_events(doc) - before;
    need(syn_client_edited(cd), "edited");
    return (uint32_t)events;
}

/* ---- Looking for ----------------------------------------------------------------------------- */

struct pair {
    uint32_t writer, n;
};

static int by_value(const void *a, const void *b)
{
    const struct pair *x = a, *y = b;
    if (x->writer != y->writer) return x->writer < y->writer ? -1 : 1;
    return x->n < y->n ? -1 : x->n > y->n;
}

static const char *read_pair(const char *at, struct pair *out)
{
    char *end;
    out->writer = (uint32_t)strtoul(at, &end, 10);
    if (end == at || *end != '.') return NULL;
    at = end + 1;
    out->n = (uint32_t)strtoul(at, &end, 10);
    return end != at && out->writer < WRITERS_MAX ? end : NULL;
}

static void count_pairs(struct pair *pairs, size_t count, const char *where, struct seen *out)
{
    memset(out, 0, sizeof *out);
    qsort(pairs, count, sizeof *pairs, by_value);
    for (size_t i = 0; i < count; i++) {
        uint32_t w = pairs[i].writer, n = pairs[i].n;
        if (n < out->edits[w]) give_up("%s: %u.%u is there twice", where, w, n);
        if (n > out->edits[w]) give_up("%s: %u.%u is there, %u is not", where, w, n, out->edits[w]);
        out->edits[w]++;
    }
    out->total = count;
}

static void read_text(const char *text, const char *where, struct seen *out)
{
    size_t count = 0, cap = strlen(text) / 4 + 1;
    struct pair *pairs = calloc(cap, sizeof *pairs);
    if (pairs == NULL) give_up("no memory");
    while (*text != '\0') {
        const char *end = read_pair(text, &pairs[count++]);
        if (end == NULL || *end != ';') give_up("%s: a broken token: %.40s", where, text);
        text = end + 1;
    }
    count_pairs(pairs, count, where, out);
    free(pairs);
}

static void read_items(const json_t *items, const char *where, struct seen *out)
{
    size_t count = json_array_size(items);
    struct pair *pairs = calloc(count + 1, sizeof *pairs);
    if (pairs == NULL) give_up("no memory");
    for (size_t i = 0; i < count; i++) {
        const char *item = json_string_value(json_array_get(items, i));
        const char *end = item != NULL ? read_pair(item, &pairs[i]) : NULL;
        if (end == NULL || *end != '\0') give_up("%s: a broken item", where);
    }
    count_pairs(pairs, count, where, out);
    free(pairs);
}

/* A frame may end within a transaction, so an item may be missing to a token, and so on. */
void seen_read(const char *json, const char *where, struct seen *out)
{
    struct seen items;
    json_error_t error;
    uint32_t writers = 0;
    json_t *root = json_loads(json[0] != '\0' ? json : "{}", 0, &error);
    if (root == NULL) give_up("%s: not JSON: %s: %.80s", where, error.text, json);
    const char *text = json_string_value(json_object_get(root, ""));
    read_text(text != NULL ? text : "", where, out);
    read_items(json_object_get(root, "items"), where, &items);
    uint64_t count = (uint64_t)json_integer_value(json_object_get(root, "count"));
    for (uint32_t w = 0; w < WRITERS_MAX; w++) {
        uint32_t have = out->edits[w];
        if (items.edits[w] > have || items.edits[w] + 1 < have)
            give_up("%s: writer %u has %u tokens and %u items", where, w, have, items.edits[w]);
        writers += have != 0;
    }
    if (count > items.total || count + writers < items.total)
        give_up("%s: %u items but a count of %u", where, (unsigned)items.total, (unsigned)count);
    json_decref(root);
}
