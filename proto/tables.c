/* tables.c -- what several messages share on the way in: names, peers, containers, values.
 *
 * Entries of a table are compared with each other (no duplicates): pairwise in the usual small
 * table, through a hash table in a large one, for n * n comparisons would be the sender's to
 * choose. */
#include "wire.h"
#include "utf8.h"
#include "syncline.pb-c.h"

#define XXH_INLINE_ALL
#include <xxhash.h>

const struct change_container root_container = {.kind = SYN_TEXT, .form = CONTAINER_ROOT};

/* ---- Text ------------------------------------------------------------------------------------ */

syn_err check_text(struct proto_fault *fault, syn_str text, const char *what)
{
    return utf8_valid(text.data, text.len, NULL) ? SYN_OK : refuse_utf8(fault, what);
}

syn_err check_name(struct proto_fault *fault, syn_str name, size_t max, const char *what)
{
    if (name.len == 0) return SYN_OK;
    if (name.len > max)
        return refuse(fault, CODE_LIMIT, "%s of %zu bytes, more than %zu", what, name.len, max);
    if (memchr(name.data, 0, name.len) != NULL)
        return refuse(fault, CODE_MALFORMED, "%s holds U+0000", what);
    return check_text(fault, name, what);
}

/* ---- Duplicates ------------------------------------------------------------------------------ */

enum { PAIRWISE = 12 };

typedef bool (*same_fn)(const void *table, uint32_t a, uint32_t b);
typedef uint64_t (*hash_fn)(const void *table, uint32_t i);

static bool any_same_pair(const void *table, uint32_t count, same_fn same)
{
    for (uint32_t i = 1; i < count; i++)
        for (uint32_t j = 0; j < i; j++)
            if (same(table, i, j)) return true;
    return false;
}

/* Open addressing, half full; slots hold index + 1. */
static syn_err no_duplicates(struct decoding *d, const void *table, uint32_t count, same_fn same,
                             hash_fn hash, const char *what)
{
    if (count <= PAIRWISE) {
        if (!any_same_pair(table, count, same)) return SYN_OK;
        return refuse(d->fault, CODE_MALFORMED, "%s twice in one table", what);
    }
    uint32_t size = 32;
    while (size < (uint64_t)count * 2) size *= 2;
    uint32_t *slots = arena_array(d->arena, size, sizeof *slots);
    if (slots == NULL) return refuse_memory(d->arena, d->fault);
    memset(slots, 0, size * sizeof *slots);
    for (uint32_t i = 0; i < count; i++) {
        uint32_t at = (uint32_t)hash(table, i) & (size - 1);
        for (; slots[at] != 0; at = (at + 1) & (size - 1))
            if (same(table, slots[at] - 1, i))
                return refuse(d->fault, CODE_MALFORMED, "%s twice in one table", what);
        slots[at] = i + 1;
    }
    return SYN_OK;
}

/* ---- Peers ----------------------------------------------------------------------------------- */

static bool same_peer(const void *table, uint32_t a, uint32_t b)
{
    const uint64_t *peers = table;
    return peers[a] == peers[b];
}

static uint64_t hash_peer(const void *table, uint32_t i)
{
    const uint64_t *peers = table;
    return XXH64(&peers[i], sizeof *peers, 0);
}

syn_err check_peers(struct decoding *d, const uint64_t *peers, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++)
        if (peers[i] == 0) return refuse(d->fault, CODE_MALFORMED, "peer 0");
    return no_duplicates(d, peers, count, same_peer, hash_peer, "a peer");
}

syn_err decode_peers(struct decoding *d, const struct field *field, uint32_t max,
                     const uint64_t **peers, uint32_t *count)
{
    if (field->count > max)
        return refuse(d->fault, CODE_LIMIT, "%u peers, more than %u", field->count, max);
    uint64_t *out = arena_array(d->arena, field->count, sizeof *out);
    if (out == NULL) return refuse_memory(d->arena, d->fault);
    struct column column = column_of(field);
    for (uint32_t i = 0; i < field->count; i++) out[i] = column_fixed64(&column);
    *peers = out;
    *count = field->count;
    return check_peers(d, out, field->count);
}

/* ---- Containers ------------------------------------------------------------------------------ */

static bool same_bytes(syn_str a, syn_str b)
{
    return a.len == b.len && (a.len == 0 || memcmp(a.data, b.data, a.len) == 0);
}

/* In one table without duplicates, equal indexes mean equal parents and peers. */
bool container_same(const struct change_container *a, const struct change_container *b)
{
    if (a->kind != b->kind || a->form != b->form) return false;
    switch (a->form) {
    case CONTAINER_ROOT:
        return same_bytes(a->name, b->name);
    case CONTAINER_BY_EVENT:
        return a->peer == b->peer && a->seq == b->seq;
    case CONTAINER_MERGEABLE:
        return a->parent == b->parent && same_bytes(a->key, b->key);
    }
    return false;
}

uint64_t container_hash(const struct change_container *c)
{
    uint64_t seed = c->kind * 3 + (uint64_t)c->form;
    switch (c->form) {
    case CONTAINER_ROOT:
        return XXH64(c->name.data, c->name.len, seed);
    case CONTAINER_BY_EVENT:
        return XXH64(&c->seq, sizeof c->seq, seed + ((uint64_t)c->peer << 32));
    case CONTAINER_MERGEABLE:
        return XXH64(c->key.data, c->key.len, seed + ((uint64_t)c->parent << 32));
    }
    return 0;
}

static bool same_container(const void *table, uint32_t a, uint32_t b)
{
    const struct change_container *containers = table;
    return container_same(&containers[a], &containers[b]);
}

static uint64_t hash_container(const void *table, uint32_t i)
{
    const struct change_container *containers = table;
    return container_hash(&containers[i]);
}

static syn_err bad_container(struct decoding *d, const char *why)
{
    return refuse(d->fault, CODE_MALFORMED, "Container: %s", why);
}

static bool known_kind(uint64_t kind)
{
    return kind <= SYN_TREE || kind >= 16;
}

/* Entry `at` of the tables that this one is added to, or of this one itself. */
static const struct change_container *earlier(const struct decoding *d, uint32_t at,
                                              const struct change_container *table)
{
    uint32_t before = d->base != NULL ? d->base->container_count : 0;
    return at < before ? &d->base->containers[at] : &table[at - before];
}

/* Exactly one of the three forms; `index` entries stand before this one. */
static syn_err decode_form(struct decoding *d, const struct field *f, uint32_t index,
                           uint32_t peer_count, const struct change_container *table,
                           struct change_container *out)
{
    uint64_t peer = f[3].value, parent = f[5].value;
    bool named = f[2].len > 0, keyed = f[6].len > 0;
    if (peer > 0 && parent > 0) return bad_container(d, "both by event and mergeable");
    if (peer == 0 && f[4].value > 0) return bad_container(d, "seq without peer");
    if (parent == 0 && keyed) return bad_container(d, "key without parent");
    if (named && (peer > 0 || parent > 0)) return bad_container(d, "name and another form");
    if (peer > 0) {
        if (peer > peer_count) return bad_container(d, "peer outside the table");
        if (f[4].value > SEQ_MAX) return bad_container(d, "seq too large");
        out->form = CONTAINER_BY_EVENT;
        out->peer = (uint32_t)peer - 1;
        out->seq = (uint32_t)f[4].value;
    } else if (parent > 0) {
        if (parent > index) return bad_container(d, "parent is not an earlier entry");
        if (earlier(d, (uint32_t)parent - 1, table)->kind != SYN_MAP)
            return bad_container(d, "parent is no map");
        out->form = CONTAINER_MERGEABLE;
        out->parent = (uint32_t)parent - 1;
        out->key = field_str(&f[6]);
        return check_name(d->fault, out->key, LIMIT_KEY_BYTES, "container key");
    } else {
        out->form = CONTAINER_ROOT;
        out->name = field_str(&f[2]);
        return check_name(d->fault, out->name, LIMIT_NAME_BYTES, "container name");
    }
    return SYN_OK;
}

static syn_err decode_container(struct decoding *d, syn_str bytes, uint32_t index,
                                uint32_t peer_count, struct change_container *table)
{
    struct field f[WIRE_FIELDS];
    syn_err err = wire_split(&syncline__v1__container__descriptor, bytes.data, bytes.len,
                             UNKNOWN_REFUSED, f, NULL, d->fault);
    if (err != SYN_OK) return err;
    struct change_container *out = &table[index];
    memset(out, 0, sizeof *out);
    out->kind = (uint32_t)f[1].value;
    if (!known_kind(out->kind))
        return refuse(d->fault, CODE_MALFORMED, "container kind %u", out->kind);
    if (d->base != NULL) index += d->base->container_count;
    return decode_form(d, f, index, peer_count, table, out);
}

syn_err decode_containers(struct decoding *d, const struct field *field, uint32_t peer_count,
                          const struct change_container **containers, uint32_t *count)
{
    if (field->count > LIMIT_CONTAINERS)
        return refuse(d->fault, CODE_LIMIT, "%u containers, more than %u", field->count,
                      LIMIT_CONTAINERS);
    struct change_container *out = arena_array(d->arena, field->count, sizeof *out);
    if (out == NULL) return refuse_memory(d->arena, d->fault);
    struct column column = column_of(field);
    for (uint32_t i = 0; i < field->count; i++) {
        syn_err err = decode_container(d, column_bytes(&column), i, peer_count, out);
        if (err != SYN_OK) return err;
    }
    *containers = out;
    *count = field->count;
    return no_duplicates(d, out, field->count, same_container, hash_container, "a container");
}

/* ---- Values ---------------------------------------------------------------------------------- */

static syn_err decode_blob(struct decoding *d, struct value_columns *columns, bool text,
                           struct change_value *out)
{
    out->blob = column_bytes(&columns->blobs);
    if (out->blob.len > d->max_value)
        return refuse(d->fault, CODE_LIMIT, "value of %zu bytes, more than %u", out->blob.len,
                      d->max_value);
    return text ? check_text(d->fault, out->blob, "a string value") : SYN_OK;
}

static syn_err decode_real(struct decoding *d, struct value_columns *columns,
                           struct change_value *out)
{
    uint64_t bits = column_fixed64(&columns->reals);
    bool nan =
        (bits & 0x7ff0000000000000u) == 0x7ff0000000000000u && (bits & 0x000fffffffffffffu) != 0;
    if (nan && bits != 0x7ff8000000000000u)
        return refuse(d->fault, CODE_MALFORMED, "a NaN other than 0x7ff8000000000000");
    memcpy(&out->real, &bits, sizeof bits);
    return SYN_OK;
}

static syn_err decode_child(struct decoding *d, struct value_columns *columns,
                            enum value_place place, struct change_value *out)
{
    out->i = column_zigzag(&columns->ints);
    if (place == PLACE_MARK || (place == PLACE_LIST && out->kind == SYN_VALUE_MERGEABLE))
        return refuse(d->fault, CODE_MALFORMED, "a child container where none may be");
    if (out->i < 0 || out->i > INT32_MAX || !known_kind((uint64_t)out->i))
        return refuse(d->fault, CODE_MALFORMED, "a child of an impossible kind");
    return SYN_OK;
}

syn_err decode_value(struct decoding *d, struct value_columns *columns, enum value_place place,
                     struct change_value *out)
{
    *out = (struct change_value){.kind = (uint32_t)column_varint(&columns->kinds)};
    switch (out->kind) {
    case SYN_VALUE_STRING:
        return decode_blob(d, columns, true, out);
    case SYN_VALUE_BYTES:
        return decode_blob(d, columns, false, out);
    case SYN_VALUE_NULL:
    case SYN_VALUE_FALSE:
    case SYN_VALUE_TRUE:
        return SYN_OK;
    case SYN_VALUE_INT:
        out->i = column_zigzag(&columns->ints);
        return SYN_OK;
    case SYN_VALUE_REAL:
        return decode_real(d, columns, out);
    case SYN_VALUE_CHILD:
    case SYN_VALUE_MERGEABLE:
        return decode_child(d, columns, place, out);
    default:
        if (out->kind < 16) return refuse(d->fault, CODE_MALFORMED, "value kind %u", out->kind);
        return decode_blob(d, columns, false, out);
    }
}

syn_err values_done(const struct value_columns *columns, struct proto_fault *fault)
{
    syn_err err = column_done(&columns->kinds, "the column of value kinds", fault);
    if (err == SYN_OK) err = column_done(&columns->blobs, "the column of blobs", fault);
    if (err == SYN_OK) err = column_done(&columns->ints, "the column of integers", fault);
    if (err == SYN_OK) err = column_done(&columns->reals, "the column of reals", fault);
    return err;
}

/* ---- Operations ------------------------------------------------------------------------------ */

#define TEXT (1u << SYN_TEXT)
#define MAP  (1u << SYN_MAP)
#define LIST (1u << SYN_LIST)
#define TREE (1u << SYN_TREE)

const struct op_form op_forms[OP_NOTHING + 2] = {
    [OP_TEXT_INSERT] = {.caret = CARET_BEHIND, .fits = TEXT},
    [OP_DELETE] = {.caret = CARET_STAYS, .fits = TEXT | LIST},
    [OP_DELETE_BACK] = {.caret = CARET_BEFORE, .fits = TEXT | LIST},
    [OP_MARK] = {.keys = true,
                 .values = true,
                 .one_piece = true,
                 .caret = CARET_STAYS,
                 .fits = TEXT,
                 .max_arg = 3},
    [OP_MAP_SET] = {.keys = true, .values = true, .fits = MAP},
    [OP_MAP_DELETE] = {.keys = true, .fits = MAP},
    [OP_LIST_INSERT] = {.values = true, .caret = CARET_BEHIND, .fits = LIST},
    [OP_LIST_SET] = {.values = true, .caret = CARET_STAYS, .fits = LIST},
    [OP_LIST_MOVE] = {.caret = CARET_ARG, .fits = LIST, .max_arg = SEQ_MAX},
    [OP_COUNTER_ADD] = {.values = true, .fits = 1u << SYN_COUNTER},
    [OP_TREE_CREATE] = {.keys = true, .nodes = 1, .fits = TREE},
    [OP_TREE_MOVE] = {.keys = true, .nodes = 2, .fits = TREE},
    [OP_TREE_DELETE] = {.nodes = 1, .fits = TREE},
    [OP_NOTHING] = {.fits = ANY_CONTAINER},
    [OP_NOTHING + 1] = {.one_piece = true, .fits = ANY_CONTAINER},
};
