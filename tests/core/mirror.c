#include "mirror.h"

#include "doc.h"
#include "random.h"

#include <check.h>
#include <stdio.h>
#include <stdlib.h>

/* ---- JSON into memory */

struct text {
    char *at;
    size_t n;
};

static syn_err append(void *user, const void *data, size_t len)
{
    struct text *t = user;
    t->at = realloc(t->at, t->n + len + 1);
    if (t->at == NULL) return SYN_ENOMEM;
    memcpy(t->at + t->n, data, len);
    t->n += len;
    t->at[t->n] = 0;
    return SYN_OK;
}

char *json_of(const syn_doc *doc, syn_obj obj)
{
    struct text t = {0};
    must(syn_doc_json(doc, obj, append, &t) == SYN_OK);
    return t.at;
}

/* ---- Against the oracle */

syn_obj find_obj(const syn_doc *doc, const struct oracle *o, uint32_t container)
{
    const struct oracle_container *c = oracle_container(o, container);
    struct container_id id = {.form = c->form, .kind = c->kind};
    if (c->form == CONTAINER_ROOT) {
        id.a = names_find(&doc->names, syn_s(c->name));
    } else if (c->form == CONTAINER_BY_EVENT) {
        id.a = graph_agent_find(doc->graph, c->id.peer);
        id.b = c->id.seq;
    } else {
        id.a = find_obj(doc, o, (uint32_t)c->parent);
        id.b = names_find(&doc->names, syn_s(c->name));
    }
    return containers_find(&doc->all, id);
}

static void compare_json(const syn_doc *doc, const struct oracle *o, oracle_version v, syn_obj obj,
                         int container)
{
    char *expected = oracle_json(o, v, container), *actual = json_of(doc, obj);
    if (strcmp(expected, actual) != 0)
        ck_abort_msg("container %d\nexpected %s\n     got %s", container, expected, actual);
    free(expected);
    free(actual);
}

static void compare_key(const syn_doc *doc, const struct oracle *o, oracle_version v,
                        uint32_t container, syn_obj obj, const char *key)
{
    uint32_t count;
    struct oracle_write *writes = oracle_writes(o, v, container, key, &count);
    syn_value value;
    syn_id writer;
    bool gone;
    uint32_t i = 0;
    for (; syn_map_conflict(doc, obj, syn_s(key), i, &value, &writer, &gone) == SYN_OK; i++) {
        ck_assert_msg(i < count, "key '%s' has more than %u writes", key, count);
        must(writer.peer == writes[i].writer.peer);
        must(writer.seq == writes[i].writer.seq);
        must(gone == writes[i].gone);
        if (gone || value.kind == SYN_VALUE_CHILD || value.kind == SYN_VALUE_MERGEABLE) continue;
        struct text t = {0};
        must(syn_value_json(doc, &value, append, &t) == SYN_OK);
        ck_assert_str_eq(t.at, writes[i].json);
        free(t.at);
    }
    /* A snapshot leaves out a key whose only write is a delete. */
    bool left_out = i == 0 && count == 1 && writes[0].gone && !syn_doc_has_history(doc);
    ck_assert_msg(i == count || left_out, "key '%s' has %u writes, not %u", key, count, i);
    for (i = 0; i < count; i++) free(writes[i].json);
    free(writes);
}

static void compare_container(const syn_doc *doc, const struct oracle *o, oracle_version v,
                              uint32_t container)
{
    uint32_t kind = oracle_container(o, container)->kind;
    if (!oracle_touched(o, v, container) || kind > SYN_COUNTER) return;
    syn_obj obj = find_obj(doc, o, container);
    ck_assert_msg(obj != SYN_NO_OBJ, "container %u is not known", container);
    compare_json(doc, o, v, obj, (int)container);
    if (kind != SYN_MAP) return;
    uint32_t count;
    char **keys = oracle_keys(o, container, &count);
    for (uint32_t i = 0; i < count; i++) compare_key(doc, o, v, container, obj, keys[i]);
    free(keys);
}

static void compare_version(const syn_doc *doc, const struct oracle *o, oracle_version v)
{
    uint64_t events = 0;
    uint32_t lamport = 0;
    for (uint32_t i = 0; i < oracle_events(o); i++) {
        bool held = oracle_has(o, v, i);
        events += held;
        if (held && oracle_lamport(o, i) > lamport) lamport = oracle_lamport(o, i);
        if (syn_doc_has_history(doc)) must(syn_doc_has(doc, oracle_id(o, i)) == held);
    }
    must(syn_doc_events(doc) == events);
    must(syn_doc_lamport(doc) == lamport);
}

void compare_with_oracle(const syn_doc *doc, const struct oracle *o, bool deep)
{
    size_t count = syn_doc_heads(doc, NULL, 0);
    syn_id *heads = calloc(count + 1, sizeof *heads);
    oracle_version v = oracle_version_new(o);
    syn_doc_heads(doc, heads, count);
    ck_assert_msg(oracle_version_of(o, heads, count, v), "a head that nobody made");
    compare_version(doc, o, v);
    compare_json(doc, o, v, SYN_NO_OBJ, -1);
    for (uint32_t i = 0; deep && i < oracle_containers(o); i++) compare_container(doc, o, v, i);
    free(heads);
    free(v);
}

/* ---- The mirror */

void mirror_free(struct mirror *m)
{
    for (uint32_t i = 0; i < m->n; i++) free(m->c[i].at);
    free(m->c);
    *m = (struct mirror){0};
}

static uint64_t hash(const void *data, size_t len)
{
    const unsigned char *bytes = data;
    uint64_t h = 14695981039346656037u; /* FNV-1a */
    for (size_t i = 0; i < len; i++) h = (h ^ bytes[i]) * 1099511628211u;
    return h;
}

static uint64_t hash_value(const syn_value *value)
{
    uint64_t parts[2] = {value->kind, 0};
    switch (value->kind) {
    case SYN_VALUE_NULL:
    case SYN_VALUE_FALSE:
    case SYN_VALUE_TRUE:
        break;
    case SYN_VALUE_INT:
        parts[1] = (uint64_t)value->as.i;
        break;
    case SYN_VALUE_REAL:
        parts[1] = hash(&value->as.real, sizeof value->as.real);
        break;
    case SYN_VALUE_CHILD:
    case SYN_VALUE_MERGEABLE:
        parts[1] = (uint64_t)value->child << 32 | value->as.obj;
        break;
    default:
        parts[1] = hash(value->as.str.data, value->as.str.len);
        break;
    }
    return hash(parts, sizeof parts);
}

static struct mirror_container *at(struct mirror *m, syn_obj obj)
{
    if (obj >= m->n) {
        m->c = realloc(m->c, (obj + 1) * sizeof *m->c);
        ck_assert_ptr_nonnull(m->c);
        memset(m->c + m->n, 0, (obj + 1 - m->n) * sizeof *m->c);
        m->n = obj + 1;
    }
    return &m->c[obj];
}

/* Takes `removed` entries out and makes room for `inserted` in their place. */
static uint64_t *splice(struct mirror_container *c, size_t pos, size_t removed, size_t inserted)
{
    must(pos <= c->n && removed <= c->n - pos);
    size_t n = c->n - removed + inserted;
    if (n > c->cap) {
        c->cap = (uint32_t)(2 * n);
        c->at = realloc(c->at, c->cap * sizeof *c->at);
        must(c->at != NULL);
    }
    if (c->n > pos + removed)
        memmove(c->at + pos + inserted, c->at + pos + removed,
                (c->n - pos - removed) * sizeof *c->at);
    c->n = (uint32_t)n;
    return c->at + pos;
}

static uint32_t find_key(const struct mirror_container *c, uint64_t key)
{
    uint32_t i = 0;
    while (i < c->n && c->at[i] != key) i += 2;
    return i;
}

static size_t hash_scalars(syn_str text, uint64_t *out)
{
    size_t n = 0;
    for (size_t i = 0; i < text.len; n++) {
        size_t from = i++;
        while (i < text.len && ((unsigned char)text.data[i] & 0xc0) == 0x80) i++;
        if (out != NULL) out[n] = hash(text.data + from, i - from);
    }
    return n;
}

static void replay_splice(struct mirror_container *c, syn_doc *doc, size_t index,
                          const syn_event *event)
{
    uint64_t *to = splice(c, event->pos, event->removed, event->inserted);
    if (syn_obj_kind(doc, event->obj) == SYN_TEXT) {
        must(hash_scalars(event->text, NULL) == event->inserted);
        hash_scalars(event->text, to);
        return;
    }
    for (size_t i = 0; i < event->inserted; i++) {
        syn_value value;
        must(syn_event_item(doc, index, i, &value));
        to[i] = hash_value(&value);
    }
}

static void replay_set(struct mirror_container *c, const syn_doc *doc, const syn_event *event)
{
    if (syn_obj_kind(doc, event->obj) == SYN_LIST) {
        ck_assert_uint_lt(event->pos, c->n);
        c->at[event->pos] = hash_value(&event->value);
        return;
    }
    uint64_t key = hash(event->key.data, event->key.len);
    uint32_t i = find_key(c, key);
    if (i == c->n) splice(c, c->n, 0, 2);
    c->at[i] = key;
    c->at[i + 1] = hash_value(&event->value);
}

static void replay(struct mirror *m, syn_doc *doc, size_t index)
{
    syn_event event;
    must(syn_doc_event(doc, index, &event));
    struct mirror_container *c = at(m, event.obj);
    switch (event.kind) {
    case SYN_EVENT_SPLICE:
        replay_splice(c, doc, index, &event);
        break;
    case SYN_EVENT_SET:
        replay_set(c, doc, &event);
        break;
    case SYN_EVENT_UNSET: {
        uint32_t i = find_key(c, hash(event.key.data, event.key.len));
        ck_assert_msg(i < c->n, "a key that did not show is unset");
        splice(c, i, 2, 0);
        break;
    }
    case SYN_EVENT_ADD:
        c->counter = (int64_t)((uint64_t)c->counter + (uint64_t)event.delta);
        break;
    }
}

static void compare_text(const struct mirror_container *c, const syn_doc *doc, syn_obj obj)
{
    size_t bytes = syn_text_bytes(doc, obj);
    char *text = malloc(bytes + 1);
    uint64_t *scalars = malloc((bytes + 1) * sizeof *scalars);
    must(syn_text_len(doc, obj) == c->n);
    must(syn_text_read(doc, obj, 0, c->n, text, bytes) == bytes);
    must(hash_scalars((syn_str){text, bytes}, scalars) == c->n);
    for (uint32_t i = 0; i < c->n; i++) must(scalars[i] == c->at[i]);
    free(text);
    free(scalars);
}

static void compare_list(const struct mirror_container *c, const syn_doc *doc, syn_obj obj)
{
    must(syn_list_len(doc, obj) == c->n);
    for (uint32_t i = 0; i < c->n; i++) {
        syn_value value;
        must(syn_list_get(doc, obj, i, &value) == SYN_OK);
        must(hash_value(&value) == c->at[i]);
    }
}

static void compare_map(const struct mirror_container *c, const syn_doc *doc, syn_obj obj)
{
    must(syn_map_len(doc, obj) * 2 == c->n);
    syn_str key;
    syn_value value;
    for (uint32_t k = 0; syn_map_at(doc, obj, k, &key, &value); k++) {
        uint32_t i = find_key(c, hash(key.data, key.len));
        must(i < c->n);
        must(c->at[i + 1] == hash_value(&value));
    }
}

void mirror_follow(struct mirror *m, syn_doc *doc)
{
    size_t count = syn_doc_event_count(doc);
    for (size_t i = 0; i < count; i++) replay(m, doc, i);
    syn_doc_events_clear(doc);
    for (syn_obj obj = 0; obj < doc->all.list.n; obj++) {
        const struct mirror_container *c = at(m, obj);
        switch (container_at(&doc->all, obj)->id.kind) {
        case SYN_TEXT:
            compare_text(c, doc, obj);
            break;
        case SYN_LIST:
            compare_list(c, doc, obj);
            break;
        case SYN_MAP:
            compare_map(c, doc, obj);
            break;
        case SYN_COUNTER:
            must(syn_counter_get(doc, obj) == c->counter);
            break;
        default:
            break;
        }
    }
}
