#include "oracle.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct value {
    uint32_t kind;
    int64_t i;
    double real;
    char *blob;
    size_t len;
};

struct event {
    syn_id id;
    uint64_t *before; /* ancestors */
    uint32_t lamport;
    int container; /* -1: none */
    uint32_t kind, pos;
    char *key;
    struct value value;
    char scalar[5]; /* TEXT_INSERT */
    int target;     /* DELETE, LIST_SET: the element */
    /* Inserts are elements of a tree. */
    int parent;      /* -1: the start */
    int right;       /* right origin; -1: the end */
    bool right_side; /* child to the right of its parent */
};

struct sequence {
    int *events; /* all of the container, as they came */
    uint32_t count, cap;
    int *order; /* its elements as they stand */
    uint32_t elements;
};

struct oracle {
    struct event *e;
    uint32_t n, max, words;
    struct oracle_container *c;
    struct sequence *s;
    uint32_t containers, cap;
};

static void require(bool holds, const char *what)
{
    if (holds) return;
    fprintf(stderr, "oracle: %s\n", what);
    abort();
}

static void *need(void *memory)
{
    require(memory != NULL, "out of memory");
    return memory;
}

static char *copy(const char *bytes, size_t len)
{
    char *text = need(malloc(len + 1));
    if (len > 0) memcpy(text, bytes, len);
    text[len] = 0;
    return text;
}

struct oracle *oracle_new(uint32_t max_events)
{
    struct oracle *o = need(calloc(1, sizeof *o));
    o->max = max_events;
    o->words = (max_events + 63) / 64;
    o->e = need(calloc(max_events, sizeof *o->e));
    return o;
}

void oracle_free(struct oracle *o)
{
    for (uint32_t i = 0; i < o->n; i++) {
        free(o->e[i].before);
        free(o->e[i].key);
        free(o->e[i].value.blob);
    }
    for (uint32_t i = 0; i < o->containers; i++) {
        free(o->c[i].name);
        free(o->s[i].events);
        free(o->s[i].order);
    }
    free(o->e);
    free(o->c);
    free(o->s);
    free(o);
}

/* ---- Versions: sets of events */

static bool in(const uint64_t *v, uint32_t event)
{
    return (v[event / 64] >> (event % 64) & 1) != 0;
}

static void put(uint64_t *v, uint32_t event)
{
    v[event / 64] |= UINT64_C(1) << (event % 64);
}

static int find(const struct oracle *o, syn_id id)
{
    for (uint32_t i = 0; i < o->n; i++)
        if (o->e[i].id.peer == id.peer && o->e[i].id.seq == id.seq) return (int)i;
    return -1;
}

oracle_version oracle_version_new(const struct oracle *o)
{
    return need(calloc(o->words, sizeof(uint64_t)));
}

static void add_with_ancestors(const struct oracle *o, uint64_t *v, uint32_t event)
{
    put(v, event);
    for (uint32_t i = 0; i < o->words; i++) v[i] |= o->e[event].before[i];
}

bool oracle_version_of(const struct oracle *o, const syn_id *heads, size_t count, oracle_version v)
{
    memset(v, 0, o->words * sizeof *v);
    for (size_t i = 0; i < count; i++) {
        int event = find(o, heads[i]);
        if (event < 0) return false;
        add_with_ancestors(o, v, (uint32_t)event);
    }
    return true;
}

bool oracle_has(const struct oracle *o, oracle_version v, uint32_t event)
{
    return event < o->n && in(v, event);
}

void oracle_without(const struct oracle *o, oracle_version v, uint32_t event)
{
    for (uint32_t i = 0; i < o->n; i++)
        if (i == event || in(o->e[i].before, event)) v[i / 64] &= ~(UINT64_C(1) << (i % 64));
}

uint32_t oracle_events(const struct oracle *o)
{
    return o->n;
}
syn_id oracle_id(const struct oracle *o, uint32_t event)
{
    return o->e[event].id;
}
uint32_t oracle_lamport(const struct oracle *o, uint32_t event)
{
    return o->e[event].lamport;
}
bool oracle_before(const struct oracle *o, uint32_t event, uint32_t other)
{
    return in(o->e[other].before, event);
}
uint32_t oracle_containers(const struct oracle *o)
{
    return o->containers;
}
const struct oracle_container *oracle_container(const struct oracle *o, uint32_t container)
{
    return &o->c[container];
}

/* ---- Containers: found by what they are */

static bool same_container(const struct oracle_container *a, const struct oracle_container *b)
{
    if (a->form != b->form || a->kind != b->kind) return false;
    if (a->form == CONTAINER_BY_EVENT) return a->id.peer == b->id.peer && a->id.seq == b->id.seq;
    return strcmp(a->name, b->name) == 0 && (a->form == CONTAINER_ROOT || a->parent == b->parent);
}

static int find_container(const struct oracle *o, const struct oracle_container *wanted)
{
    for (uint32_t i = 0; i < o->containers; i++)
        if (same_container(&o->c[i], wanted)) return (int)i;
    return -1;
}

static int add_container(struct oracle *o, struct oracle_container wanted)
{
    int found = find_container(o, &wanted);
    if (found >= 0) {
        free(wanted.name);
        return found;
    }
    if (o->containers == o->cap) {
        o->cap = o->cap == 0 ? 8 : o->cap * 2;
        o->c = need(realloc(o->c, o->cap * sizeof *o->c));
        o->s = need(realloc(o->s, o->cap * sizeof *o->s));
    }
    o->s[o->containers] = (struct sequence){0};
    o->c[o->containers] = wanted;
    return (int)o->containers++;
}

static int container_of(struct oracle *o, const syn_changes *set, uint32_t index)
{
    const struct change_container *entry = &set->containers[index];
    struct oracle_container wanted = {.form = entry->form, .kind = entry->kind};
    if (entry->form == CONTAINER_ROOT) {
        wanted.name = copy(entry->name.data, entry->name.len);
    } else if (entry->form == CONTAINER_BY_EVENT) {
        wanted.id = (syn_id){set->peers[entry->peer], entry->seq};
    } else {
        wanted.parent = container_of(o, set, entry->parent);
        wanted.name = copy(entry->key.data, entry->key.len);
    }
    return add_container(o, wanted);
}

bool oracle_touched(const struct oracle *o, oracle_version v, uint32_t container)
{
    for (uint32_t i = 0; i < o->s[container].count; i++)
        if (in(v, (uint32_t)o->s[container].events[i])) return true;
    return false;
}

/* ---- Sequences: FugueMax as a tree of all elements */

static bool is_element(const struct event *e)
{
    return e->kind == OP_TEXT_INSERT || e->kind == OP_LIST_INSERT;
}

/* Does the version show the element? */
static bool shown(const struct oracle *o, const struct sequence *s, const uint64_t *v, int element)
{
    if (!in(v, (uint32_t)element)) return false;
    for (uint32_t i = 0; i < s->count; i++) {
        const struct event *e = &o->e[s->events[i]];
        if (e->kind == OP_DELETE && e->target == element && in(v, (uint32_t)s->events[i]))
            return false;
    }
    return true;
}

/* The pos-th element that the version shows, or -1. */
static int visible_at(const struct oracle *o, const struct sequence *s, const uint64_t *v,
                      uint32_t pos)
{
    for (uint32_t i = 0; i < s->elements; i++)
        if (shown(o, s, v, s->order[i]) && pos-- == 0) return s->order[i];
    return -1;
}

int oracle_element(const struct oracle *o, oracle_version v, uint32_t container, uint32_t pos)
{
    return visible_at(o, &o->s[container], v, pos);
}

const int *oracle_order(const struct oracle *o, uint32_t container, uint32_t *count)
{
    *count = o->s[container].elements;
    return o->s[container].order;
}

bool oracle_shows(const struct oracle *o, oracle_version v, uint32_t container, int element)
{
    return shown(o, &o->s[container], v, element);
}

uint32_t oracle_deletes(const struct oracle *o, oracle_version v, uint32_t container, int element)
{
    const struct sequence *s = &o->s[container];
    uint32_t count = 0;
    for (uint32_t i = 0; i < s->count; i++) {
        const struct event *e = &o->e[s->events[i]];
        count += e->kind == OP_DELETE && e->target == element && in(v, (uint32_t)s->events[i]);
    }
    return count;
}

int oracle_target(const struct oracle *o, uint32_t event)
{
    const struct event *e = &o->e[event];
    return e->kind == OP_DELETE || e->kind == OP_LIST_SET ? e->target : -1;
}

const char *oracle_scalar(const struct oracle *o, uint32_t event)
{
    return o->e[event].kind == OP_TEXT_INSERT ? o->e[event].scalar : NULL;
}

uint32_t oracle_place(const struct oracle *o, oracle_version v, uint32_t container, int element,
                      bool *gone)
{
    const struct sequence *s = &o->s[container];
    uint32_t before = 0;
    for (uint32_t i = 0; s->order[i] != element; i++) before += shown(o, s, v, s->order[i]);
    *gone = !shown(o, s, v, element);
    return before;
}

static uint32_t place(const struct sequence *s, int element)
{
    for (uint32_t i = 0; i < s->elements; i++)
        if (s->order[i] == element) return i;
    return UINT32_MAX; /* the end: furthest to the right */
}

/* Left children stand by ascending (peer, seq); right children by right origin, the one furthest
 * to the right first, then by ascending (peer, seq). */
static bool sibling_before(const struct oracle *o, const struct sequence *s, int a, int b)
{
    const struct event *x = &o->e[a], *y = &o->e[b];
    if (x->right_side && x->right != y->right) return place(s, x->right) > place(s, y->right);
    return x->id.peer != y->id.peer ? x->id.peer < y->id.peer : x->id.seq < y->id.seq;
}

/* Left children, node, right children: appended to out. */
static void walk(const struct oracle *o, const struct sequence *s, int parent, bool right_side,
                 int *out, uint32_t *n)
{
    int *child = NULL;
    uint32_t count = 0;
    for (uint32_t i = 0; i < s->count; i++) {
        const struct event *e = &o->e[s->events[i]];
        if (!is_element(e) || e->parent != parent || e->right_side != right_side) continue;
        child = need(realloc(child, (count + 1) * sizeof *child));
        uint32_t at = count++;
        for (; at > 0 && sibling_before(o, s, s->events[i], child[at - 1]); at--)
            child[at] = child[at - 1];
        child[at] = s->events[i];
    }
    for (uint32_t i = 0; i < count; i++) {
        walk(o, s, child[i], false, out, n);
        out[(*n)++] = child[i];
        walk(o, s, child[i], true, out, n);
    }
    free(child);
}

static void find_origins(const struct oracle *o, const struct sequence *s, struct event *e)
{
    int left = e->pos == 0 ? -1 : visible_at(o, s, e->before, e->pos - 1);
    require(e->pos == 0 || left >= 0, "an insert beyond the end at its parents");
    e->right = -1;
    uint32_t i = left < 0 ? 0 : place(s, left) + 1;
    for (; i < s->elements && e->right < 0; i++)
        if (in(e->before, (uint32_t)s->order[i])) e->right = s->order[i];
    e->right_side = true;
    e->parent = left;
    for (i = 0; i < s->count; i++) {
        const struct event *other = &o->e[s->events[i]];
        if (is_element(other) && other->right_side && other->parent == left &&
            in(e->before, (uint32_t)s->events[i]))
            e->right_side = false;
    }
    if (!e->right_side) e->parent = e->right;
}

static void place_event(struct oracle *o, struct event *e)
{
    struct sequence *s = &o->s[e->container];
    if (is_element(e)) find_origins(o, s, e);
    if (e->kind == OP_DELETE || e->kind == OP_LIST_SET) {
        e->target = visible_at(o, s, e->before, e->pos);
        require(e->target >= 0, "a delete or set beyond the end at its parents");
    }
    if (s->count == s->cap) {
        s->cap = s->cap == 0 ? 8 : s->cap * 2;
        s->events = need(realloc(s->events, s->cap * sizeof *s->events));
        s->order = need(realloc(s->order, s->cap * sizeof *s->order));
    }
    s->events[s->count++] = (int)(e - o->e);
    if (!is_element(e)) return;
    int *order = need(malloc(s->cap * sizeof *order));
    uint32_t n = 0;
    walk(o, s, -1, true, order, &n);
    require(n == s->elements + 1, "an element has no place");
    free(s->order);
    s->order = order;
    s->elements = n;
}

/* ---- Reading a set, event by event */

struct reading {
    const syn_changes *set;
    uint32_t op, done, dep, key, value, ext;
    const char *text;
};

static uint32_t scalar_bytes(const char *text)
{
    unsigned char first = (unsigned char)*text;
    return first < 0x80 ? 1 : first < 0xe0 ? 2 : first < 0xf0 ? 3 : 4;
}

static struct value read_value(const struct change_value *from)
{
    return (struct value){from->kind, from->i, from->real, copy(from->blob.data, from->blob.len),
                          from->blob.len};
}

/* Fills what the next event does. */
static void read_event(struct oracle *o, struct reading *r, struct event *e)
{
    const struct change_op *op = &r->set->ops[r->op];
    e->kind = op->kind == OP_DELETE_BACK ? OP_DELETE : op->kind;
    e->container = op->kind == OP_NOTHING ? -1 : container_of(o, r->set, op->container);
    e->pos = op->pos;
    if (op->kind == OP_TEXT_INSERT || op->kind == OP_LIST_INSERT || op->kind == OP_LIST_SET)
        e->pos += r->done;
    if (op->kind == OP_DELETE_BACK) e->pos -= r->done;
    if (op->kind == OP_TEXT_INSERT) {
        memcpy(e->scalar, r->text, scalar_bytes(r->text));
        r->text += scalar_bytes(r->text);
    }
    if (op->kind == OP_MAP_SET || op->kind == OP_MAP_DELETE) {
        const syn_str *key = &r->set->keys[r->key++];
        e->key = copy(key->data, key->len);
    }
    if (op->kind == OP_MAP_SET || op->kind == OP_LIST_INSERT || op->kind == OP_LIST_SET ||
        op->kind == OP_COUNTER_ADD)
        e->value = read_value(&r->set->values[r->value++]);
    if (++r->done == op->len) {
        r->done = 0;
        r->op++;
    }
}

static void forget(struct event *e)
{
    free(e->before);
    free(e->key);
    free(e->value.blob);
    *e = (struct event){0};
}

/* lamport: 1 + the greatest of the parents, 1 for none. */
static void add_parent(struct oracle *o, struct event *e, syn_id id)
{
    int parent = find(o, id);
    require(parent >= 0, "a parent that is not here");
    add_with_ancestors(o, e->before, (uint32_t)parent);
    if (o->e[parent].lamport >= e->lamport) e->lamport = o->e[parent].lamport + 1;
}

static void add_event(struct oracle *o, struct reading *r, const struct change_run *run,
                      uint32_t offset)
{
    require(o->n < o->max, "more events than expected");
    struct event *e = &o->e[o->n];
    *e = (struct event){.id = {r->set->peers[run->peer], run->seq + offset}, .lamport = 1};
    e->before = need(calloc(o->words, sizeof *e->before));
    read_event(o, r, e);
    if (find(o, e->id) >= 0) {
        forget(e);
        return;
    }
    if (offset > 0 || (!run->explicit_parents && run->seq > 0))
        add_parent(o, e, (syn_id){e->id.peer, e->id.seq - 1});
    for (uint32_t i = 0; offset == 0 && run->explicit_parents && i < run->dep_count; i++) {
        const struct change_dep *dep = &r->set->deps[r->dep + i];
        add_parent(o, e, (syn_id){r->set->peers[dep->peer], dep->seq});
    }
    o->n++;
    if (e->container >= 0) place_event(o, e);
}

void oracle_add(struct oracle *o, const syn_changes *set)
{
    struct reading r = {.set = set, .text = set->text.data};
    for (uint32_t i = 0; i < set->run_count; i++) {
        for (uint32_t k = 0; k < set->runs[i].len; k++) add_event(o, &r, &set->runs[i], k);
        r.dep += set->runs[i].dep_count;
    }
}

/* ---- Registers: the greatest (lamport, peer, seq) wins */

static bool beats(const struct event *a, const struct event *b)
{
    if (a->lamport != b->lamport) return a->lamport > b->lamport;
    return a->id.peer != b->id.peer ? a->id.peer > b->id.peer : a->id.seq > b->id.seq;
}

static bool writes_key(const struct event *e, const char *key)
{
    return (e->kind == OP_MAP_SET || e->kind == OP_MAP_DELETE) && strcmp(e->key, key) == 0;
}

/* Conflicts: the writes of a key that no other write of it has among its ancestors. */
static bool superseded(const struct oracle *o, const struct sequence *s, const uint64_t *v,
                       const char *key, int event)
{
    for (uint32_t i = 0; i < s->count; i++) {
        uint32_t other = (uint32_t)s->events[i];
        if (in(v, other) && writes_key(&o->e[other], key) &&
            in(o->e[other].before, (uint32_t)event))
            return true;
    }
    return false;
}

static const struct event *winner(const struct oracle *o, const uint64_t *v, uint32_t container,
                                  const char *key)
{
    const struct sequence *s = &o->s[container];
    const struct event *best = NULL;
    for (uint32_t i = 0; i < s->count; i++) {
        const struct event *e = &o->e[s->events[i]];
        if (in(v, (uint32_t)s->events[i]) && writes_key(e, key) && (best == NULL || beats(e, best)))
            best = e;
    }
    return best;
}

/* The insert or set of an element whose value shows. */
static const struct event *item(const struct oracle *o, const struct sequence *s, const uint64_t *v,
                                int element)
{
    const struct event *best = &o->e[element];
    for (uint32_t i = 0; i < s->count; i++) {
        const struct event *e = &o->e[s->events[i]];
        if (e->kind == OP_LIST_SET && e->target == element && in(v, (uint32_t)s->events[i]) &&
            beats(e, best))
            best = e;
    }
    return best;
}

char **oracle_keys(const struct oracle *o, uint32_t container, uint32_t *count)
{
    const struct sequence *s = &o->s[container];
    char **keys = need(malloc((s->count + 1) * sizeof *keys));
    *count = 0;
    for (uint32_t i = 0; i < s->count; i++) {
        char *key = o->e[s->events[i]].key;
        if (key == NULL) continue;
        uint32_t at = 0; /* in byte order, each once */
        while (at < *count && strcmp(keys[at], key) < 0) at++;
        if (at < *count && strcmp(keys[at], key) == 0) continue;
        memmove(keys + at + 1, keys + at, (*count - at) * sizeof *keys);
        keys[at] = key;
        ++*count;
    }
    return keys;
}

/* ---- JSON */

struct text {
    char *at;
    size_t n, cap;
};

static void add(struct text *t, const char *bytes, size_t len)
{
    if (t->n + len + 1 > t->cap) {
        t->cap = 2 * (t->n + len + 1);
        t->at = need(realloc(t->at, t->cap));
    }
    memcpy(t->at + t->n, bytes, len);
    t->n += len;
    t->at[t->n] = 0;
}

static void add_s(struct text *t, const char *s)
{
    add(t, s, strlen(s));
}

static void add_escaped(struct text *t, const char *bytes, size_t len)
{
    for (size_t i = 0; i < len; i++) {
        char escape[8];
        unsigned char byte = (unsigned char)bytes[i];
        if (byte == '"' || byte == '\\') {
            add_s(t, "\\");
            add(t, bytes + i, 1);
        } else if (byte == '\n') {
            add_s(t, "\\n");
        } else if (byte < 0x20) {
            snprintf(escape, sizeof escape, "\\u%04x", byte);
            add_s(t, escape);
        } else {
            add(t, bytes + i, 1);
        }
    }
}

static void add_string(struct text *t, const char *bytes, size_t len)
{
    add_s(t, "\"");
    add_escaped(t, bytes, len);
    add_s(t, "\"");
}

static void add_base64(struct text *t, const char *bytes, size_t len)
{
    static const char alphabet[] =
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    add_s(t, "\"");
    uint32_t bits = 0, held = 0, digits = 0;
    for (size_t i = 0; i < len; i++) {
        bits = bits << 8 | (unsigned char)bytes[i];
        for (held += 8; held >= 6; held -= 6, digits++)
            add(t, &alphabet[bits >> (held - 6) & 63], 1);
        bits &= 63;
    }
    if (held > 0) {
        add(t, &alphabet[bits << (6 - held) & 63], 1);
        digits++;
    }
    while (digits++ % 4 != 0) add_s(t, "=");
    add_s(t, "\"");
}

/* The numbers that the tests use, each with its one right spelling. */
static void add_real(struct text *t, double real)
{
    static const struct {
        double real;
        const char *text;
    } known[] = {{0.0, "0.0"},   {-0.0, "-0.0"},    {0.5, "0.5"},
                 {-3.0, "-3.0"}, {1e300, "1e+300"}, {1.0 / 3, "0.3333333333333333"}};
    if (!isfinite(real)) {
        add_s(t, "null");
        return;
    }
    for (size_t i = 0; i < sizeof known / sizeof known[0]; i++)
        if (memcmp(&known[i].real, &real, sizeof real) == 0) {
            add_s(t, known[i].text);
            return;
        }
    require(false, "a number whose spelling is not known");
}

static void add_container_json(const struct oracle *o, const uint64_t *v, struct text *t,
                               uint32_t container);

static void add_child(const struct oracle *o, const uint64_t *v, struct text *t,
                      const struct event *e)
{
    struct oracle_container wanted = {.kind = (uint32_t)e->value.i};
    if (e->value.kind == SYN_VALUE_CHILD) {
        wanted.form = CONTAINER_BY_EVENT;
        wanted.id = e->id;
    } else {
        wanted.form = CONTAINER_MERGEABLE;
        wanted.parent = e->container;
        wanted.name = e->key;
    }
    static const char *const empty[] = {"\"\"", "{}", "[]", "0"};
    int child = find_container(o, &wanted);
    if (child >= 0)
        add_container_json(o, v, t, (uint32_t)child);
    else /* never written to */
        add_s(t, wanted.kind <= SYN_COUNTER ? empty[wanted.kind] : "null");
}

/* v NULL: children as "child". */
static void add_value(const struct oracle *o, const uint64_t *v, struct text *t,
                      const struct event *e)
{
    char digits[32];
    switch (e->value.kind) {
    case SYN_VALUE_STRING:
        add_string(t, e->value.blob, e->value.len);
        break;
    case SYN_VALUE_FALSE:
        add_s(t, "false");
        break;
    case SYN_VALUE_TRUE:
        add_s(t, "true");
        break;
    case SYN_VALUE_INT:
        snprintf(digits, sizeof digits, "%lld", (long long)e->value.i);
        add_s(t, digits);
        break;
    case SYN_VALUE_REAL:
        add_real(t, e->value.real);
        break;
    case SYN_VALUE_BYTES:
        add_base64(t, e->value.blob, e->value.len);
        break;
    case SYN_VALUE_CHILD:
    case SYN_VALUE_MERGEABLE:
        if (v != NULL)
            add_child(o, v, t, e);
        else
            add_s(t, "child");
        break;
    default:
        add_s(t, "null");
        break;
    }
}

static void add_sequence_json(const struct oracle *o, const uint64_t *v, struct text *t,
                              uint32_t container)
{
    const struct sequence *s = &o->s[container];
    bool is_list = o->c[container].kind == SYN_LIST, first = true;
    add_s(t, is_list ? "[" : "\"");
    for (uint32_t i = 0; i < s->elements; i++) {
        if (!shown(o, s, v, s->order[i])) continue;
        const struct event *e = &o->e[s->order[i]];
        if (is_list && !first) add_s(t, ",");
        first = false;
        if (is_list)
            add_value(o, v, t, item(o, s, v, s->order[i]));
        else
            add_escaped(t, e->scalar, strlen(e->scalar));
    }
    add_s(t, is_list ? "]" : "\"");
}

static void add_member(const struct oracle *o, const uint64_t *v, struct text *t,
                       uint32_t container, const char *key, bool *first)
{
    const struct event *e = winner(o, v, container, key);
    if (e == NULL || e->kind == OP_MAP_DELETE) return;
    if (!*first) add_s(t, ",");
    *first = false;
    add_string(t, key, strlen(key));
    add_s(t, ":");
    add_value(o, v, t, e);
}

static void add_map_json(const struct oracle *o, const uint64_t *v, struct text *t,
                         uint32_t container)
{
    uint32_t count;
    bool first = true;
    char **keys = oracle_keys(o, container, &count);
    add_s(t, "{");
    for (uint32_t i = 0; i < count; i++) add_member(o, v, t, container, keys[i], &first);
    add_s(t, "}");
    free(keys);
}

static void add_counter_json(const struct oracle *o, const uint64_t *v, struct text *t,
                             uint32_t container)
{
    char digits[32];
    uint64_t sum = 0;
    for (uint32_t i = 0; i < o->s[container].count; i++) {
        uint32_t event = (uint32_t)o->s[container].events[i];
        if (in(v, event) && o->e[event].kind == OP_COUNTER_ADD)
            sum += (uint64_t)o->e[event].value.i;
    }
    snprintf(digits, sizeof digits, "%lld", (long long)(int64_t)sum);
    add_s(t, digits);
}

static void add_container_json(const struct oracle *o, const uint64_t *v, struct text *t,
                               uint32_t container)
{
    switch (o->c[container].kind) {
    case SYN_TEXT:
    case SYN_LIST:
        add_sequence_json(o, v, t, container);
        break;
    case SYN_MAP:
        add_map_json(o, v, t, container);
        break;
    case SYN_COUNTER:
        add_counter_json(o, v, t, container);
        break;
    default:
        add_s(t, "null");
        break;
    }
}

/* The root container that shows under a name: of several kinds the lowest; the root map "" shows
 * its entries instead of itself. */
static int root_under(const struct oracle *o, oracle_version v, const char *name)
{
    int best = -1;
    for (uint32_t i = 0; i < o->containers; i++) {
        const struct oracle_container *c = &o->c[i];
        if (c->form != CONTAINER_ROOT || strcmp(c->name, name) != 0 || c->kind > SYN_COUNTER ||
            !oracle_touched(o, v, i))
            continue;
        if (c->kind == SYN_MAP && c->name[0] == 0) continue;
        if (best < 0 || c->kind < o->c[best].kind) best = (int)i;
    }
    return best;
}

static uint32_t all_names(const struct oracle *o, int root_map, char ***out)
{
    uint32_t count = 0;
    char **names = root_map >= 0 ? oracle_keys(o, (uint32_t)root_map, &count) : NULL;
    names = need(realloc(names, (count + o->containers + 1) * sizeof *names));
    for (uint32_t i = 0; i < o->containers; i++) {
        uint32_t at = 0;
        if (o->c[i].form != CONTAINER_ROOT) continue;
        while (at < count && strcmp(names[at], o->c[i].name) < 0) at++;
        if (at < count && strcmp(names[at], o->c[i].name) == 0) continue;
        memmove(names + at + 1, names + at, (count - at) * sizeof *names);
        names[at] = o->c[i].name;
        count++;
    }
    *out = names;
    return count;
}

static void add_document_json(const struct oracle *o, oracle_version v, struct text *t)
{
    char empty[] = "", **names;
    struct oracle_container wanted = {.form = CONTAINER_ROOT, .kind = SYN_MAP, .name = empty};
    int root_map = find_container(o, &wanted);
    bool first = true;
    uint32_t count = all_names(o, root_map, &names);
    add_s(t, "{");
    for (uint32_t i = 0; i < count; i++) {
        int root = root_under(o, v, names[i]);
        if (root < 0) {
            if (root_map >= 0) add_member(o, v, t, (uint32_t)root_map, names[i], &first);
            continue;
        }
        if (!first) add_s(t, ",");
        first = false;
        add_string(t, names[i], strlen(names[i]));
        add_s(t, ":");
        add_container_json(o, v, t, (uint32_t)root);
    }
    add_s(t, "}");
    free(names);
}

char *oracle_json(const struct oracle *o, oracle_version v, int container)
{
    struct text t = {0};
    if (container < 0)
        add_document_json(o, v, &t);
    else
        add_container_json(o, v, &t, (uint32_t)container);
    return t.at;
}

struct oracle_write *oracle_writes(const struct oracle *o, oracle_version v, uint32_t container,
                                   const char *key, uint32_t *count)
{
    const struct sequence *s = &o->s[container];
    const struct event **found = need(malloc((s->count + 1) * sizeof *found));
    *count = 0;
    for (uint32_t i = 0; i < s->count; i++) {
        const struct event *e = &o->e[s->events[i]];
        if (!in(v, (uint32_t)s->events[i]) || !writes_key(e, key) ||
            superseded(o, s, v, key, s->events[i]))
            continue;
        uint32_t at = (*count)++;
        for (; at > 0 && beats(e, found[at - 1]); at--) found[at] = found[at - 1];
        found[at] = e;
    }
    struct oracle_write *writes = need(malloc((*count + 1) * sizeof *writes));
    for (uint32_t i = 0; i < *count; i++) {
        struct text t = {0};
        add_s(&t, "");
        if (found[i]->kind == OP_MAP_SET) add_value(o, NULL, &t, found[i]);
        writes[i] = (struct oracle_write){found[i]->id, found[i]->kind == OP_MAP_DELETE, t.at};
    }
    free(found);
    return writes;
}
