/* decode_snapshot.c -- one Snapshot message: a part of a state, from columns to entries.
 *
 * Which columns a ContainerState may have follows from its container's kind; any other is
 * malformed.  Marks, moved list slots, trees and unknown containers have columns in the protocol
 * but no state in this version: they are refused by name (VERSION), for to drop them would lose
 * what the peers wrote. */
#include "wire.h"
#include "syncline.pb-c.h"

enum { /* Snapshot */
       F_ID = 1,
       F_PART = 2,
       F_PARTS = 3,
       F_VERSION = 4,
       F_LAMPORT = 5,
       F_EVENTS = 6,
       F_DIGEST = 7,
       F_PEERS = 8,
       F_CONTAINERS = 9,
       F_STATES = 10,
       F_FORMAT = 11,
};

enum { /* ContainerState */
       S_CONTAINER = 1,
       S_OFFSET = 2,
       S_MORE = 3,
       S_TEXT = 4,
       S_KEYS = 10,
       S_VALUES = 11,
       S_COUNTER = 12,
       S_REG_PEER = 13,
       S_REG_SEQ = 14,
       S_REG_LAMPORT = 15,
       S_REG_GONE = 16,
       S_SET_SLOT = 17,
       S_SET_PEER = 18,
       S_SET_SEQ = 19,
       S_SET_LAMPORT = 20,
};

#define COLUMN(n)   (1u << (n))
#define COMMON      (COLUMN(S_CONTAINER) | COLUMN(S_OFFSET) | COLUMN(S_MORE))
#define REG_COLUMNS (COLUMN(S_REG_PEER) | COLUMN(S_REG_SEQ) | COLUMN(S_REG_LAMPORT))
#define SET_COLUMNS                                                                                \
    (COLUMN(S_SET_SLOT) | COLUMN(S_SET_PEER) | COLUMN(S_SET_SEQ) | COLUMN(S_SET_LAMPORT))
#define MAP_COLUMNS  (COMMON | REG_COLUMNS | COLUMN(S_KEYS) | COLUMN(S_VALUES) | COLUMN(S_REG_GONE))
#define LIST_COLUMNS (COMMON | REG_COLUMNS | SET_COLUMNS | COLUMN(S_VALUES))
/* In the protocol, without meaning to this version. */
#define ANCHORS (0x3e0u | COLUMN(S_KEYS) | COLUMN(S_VALUES))
#define MOVES   (0x1e00000u | COLUMN(S_REG_GONE))

struct state_reading {
    struct decoding *d;
    const struct field *f;
    const struct msg_snapshot *part;
    uint32_t kind;
};

static syn_err malformed(struct decoding *d, const char *why)
{
    return refuse(d->fault, CODE_MALFORMED, "Snapshot: %s", why);
}

static syn_err check_columns(const struct state_reading *r)
{
    uint32_t present = 0, allowed = COMMON, later = 0;
    for (uint32_t i = 1; i < WIRE_FIELDS; i++)
        if (r->f[i].seen) present |= COLUMN(i);
    switch (r->kind) {
    case SYN_TEXT:
        allowed |= COLUMN(S_TEXT);
        later = ANCHORS;
        break;
    case SYN_MAP:
        allowed = MAP_COLUMNS;
        break;
    case SYN_LIST:
        allowed = LIST_COLUMNS;
        later = MOVES;
        break;
    case SYN_COUNTER:
        allowed |= COLUMN(S_COUNTER);
        break;
    default:
        later = UINT32_MAX;
    }
    if ((present & ~allowed) == 0) return SYN_OK;
    if ((present & ~allowed & ~later) != 0)
        return malformed(r->d, "columns of another container kind");
    return refuse(r->d->fault, CODE_VERSION, "Snapshot: marks, moves, trees or unknown containers");
}

/* ---- Entries --------------------------------------------------------------------------------- */

/* Descending (lamport, peer, seq): does a win over b? */
static bool wins(const uint64_t *peers, const struct snapshot_entry *a,
                 const struct snapshot_entry *b)
{
    if (a->lamport != b->lamport) return a->lamport > b->lamport;
    if (a->peer != b->peer) return peers[a->peer] > peers[b->peer];
    return a->seq > b->seq;
}

int compare_keys(syn_str a, syn_str b)
{
    size_t len = a.len < b.len ? a.len : b.len;
    int order = len > 0 ? memcmp(a.data, b.data, len) : 0;
    return order != 0 ? order : (a.len > b.len) - (a.len < b.len);
}

static syn_err check_map_order(const struct state_reading *r, const struct snapshot_entry *before,
                               const struct snapshot_entry *entry)
{
    int order = compare_keys(before->key, entry->key);
    if (order > 0) return malformed(r->d, "keys are not in ascending order");
    if (order == 0 && !wins(r->part->piece.peers, before, entry))
        return malformed(r->d, "the writes of a key are not in descending order");
    return SYN_OK;
}

struct entry_columns {
    struct column keys, peer, seq, lamport, gone;
    struct value_columns values;
};

static syn_err read_entry(const struct state_reading *r, struct entry_columns *c,
                          struct snapshot_entry *out)
{
    struct decoding *d = r->d;
    bool map = r->kind == SYN_MAP;
    memset(out, 0, sizeof *out);
    out->peer = (uint32_t)column_varint(&c->peer);
    out->seq = (uint32_t)column_varint(&c->seq);
    out->lamport = (uint32_t)column_varint(&c->lamport);
    if (out->peer >= r->part->piece.peer_count) return malformed(d, "reg_peer outside the table");
    if (out->seq > SEQ_MAX) return malformed(d, "reg_seq too large");
    if (out->lamport == 0) return malformed(d, "lamport 0");
    syn_err err = decode_value(d, &c->values, map ? PLACE_MAP : PLACE_LIST, &out->value);
    if (err != SYN_OK || !map) return err;
    out->key = column_bytes(&c->keys);
    out->gone = column_varint(&c->gone) != 0;
    if (out->gone && out->value.kind != SYN_VALUE_NULL)
        return malformed(d, "a deleted key with a value");
    return check_name(d->fault, out->key, LIMIT_KEY_BYTES, "key");
}

static syn_err entries_done(const struct state_reading *r, const struct entry_columns *c)
{
    struct proto_fault *fault = r->d->fault;
    syn_err err = column_done(&c->keys, "Snapshot: keys", fault);
    if (err == SYN_OK) err = column_done(&c->peer, "Snapshot: reg_peer", fault);
    if (err == SYN_OK) err = column_done(&c->seq, "Snapshot: reg_seq", fault);
    if (err == SYN_OK) err = column_done(&c->gone, "Snapshot: reg_gone", fault);
    return err == SYN_OK ? values_done(&c->values, fault) : err;
}

/* Where values were set since the slot was made: sparse, by slot. */
static syn_err read_sets(const struct state_reading *r, uint32_t offset,
                         struct snapshot_entry *entries, uint32_t count)
{
    struct proto_fault *fault = r->d->fault;
    struct column slot = column_of(&r->f[S_SET_SLOT]), peer = column_of(&r->f[S_SET_PEER]);
    struct column seq = column_of(&r->f[S_SET_SEQ]), lamport = column_of(&r->f[S_SET_LAMPORT]);
    uint64_t least = offset;
    for (uint32_t i = 0; i < r->f[S_SET_LAMPORT].count; i++) {
        uint64_t at = column_varint(&slot);
        if (at < least || at - offset >= count) return malformed(r->d, "set_slot out of order");
        least = at + 1;
        struct snapshot_entry *e = &entries[at - offset];
        e->set = true;
        e->set_peer = (uint32_t)column_varint(&peer);
        e->set_seq = (uint32_t)column_varint(&seq);
        e->set_lamport = (uint32_t)column_varint(&lamport);
        if (e->set_peer >= r->part->piece.peer_count || e->set_seq > SEQ_MAX || e->set_lamport == 0)
            return malformed(r->d, "an impossible set of a list slot");
    }
    syn_err err = column_done(&slot, "Snapshot: set_slot", fault);
    if (err == SYN_OK) err = column_done(&peer, "Snapshot: set_peer", fault);
    return err == SYN_OK ? column_done(&seq, "Snapshot: set_seq", fault) : err;
}

static syn_err split_values(const struct state_reading *r, struct value_columns *out)
{
    struct field v[WIRE_FIELDS];
    const struct field *field = &r->f[S_VALUES];
    syn_err err = wire_split(&syncline__v1__values__descriptor, field->at, field->len,
                             UNKNOWN_REFUSED, v, NULL, r->d->fault);
    if (err != SYN_OK) return err;
    *out = (struct value_columns){.kinds = column_of(&v[1]),
                                  .blobs = column_of(&v[2]),
                                  .ints = column_of(&v[3]),
                                  .reals = column_of(&v[4])};
    return SYN_OK;
}

static syn_err read_entries(const struct state_reading *r, uint32_t offset,
                            struct snapshot_state *out)
{
    struct entry_columns c = {.keys = column_of(&r->f[S_KEYS]),
                              .peer = column_of(&r->f[S_REG_PEER]),
                              .seq = column_of(&r->f[S_REG_SEQ]),
                              .lamport = column_of(&r->f[S_REG_LAMPORT]),
                              .gone = column_of(&r->f[S_REG_GONE])};
    uint32_t count = r->f[S_REG_LAMPORT].count;
    syn_err err = split_values(r, &c.values);
    if (err != SYN_OK) return err;
    struct snapshot_entry *entries = arena_array(r->d->arena, count, sizeof *entries);
    if (entries == NULL) return refuse_memory(r->d->arena, r->d->fault);
    for (uint32_t i = 0; i < count && err == SYN_OK; i++) {
        err = read_entry(r, &c, &entries[i]);
        if (err == SYN_OK && i > 0 && r->kind == SYN_MAP)
            err = check_map_order(r, &entries[i - 1], &entries[i]);
    }
    if (err == SYN_OK) err = entries_done(r, &c);
    if (err == SYN_OK && r->kind == SYN_LIST) err = read_sets(r, offset, entries, count);
    out->entries = entries;
    out->entry_count = count;
    return err;
}

/* ---- States ---------------------------------------------------------------------------------- */

static syn_err read_state(struct decoding *d, const struct msg_snapshot *part, syn_str bytes,
                          struct snapshot_state *out, uint32_t *offset, bool *more)
{
    struct field f[WIRE_FIELDS] = {0};
    syn_err err = wire_split(&syncline__v1__container_state__descriptor, bytes.data, bytes.len,
                             UNKNOWN_REFUSED, f, NULL, d->fault);
    if (err != SYN_OK) return err;
    memset(out, 0, sizeof *out);
    if (f[S_CONTAINER].value >= part->piece.container_count)
        return malformed(d, "container outside the table");
    if (f[S_OFFSET].value > SEQ_MAX) return malformed(d, "offset too large");
    out->container = (uint32_t)f[S_CONTAINER].value;
    *offset = (uint32_t)f[S_OFFSET].value;
    *more = f[S_MORE].value != 0;
    struct state_reading r = {
        .d = d, .f = f, .part = part, .kind = part->piece.containers[out->container].kind};
    err = check_columns(&r);
    if (err != SYN_OK) return err;
    if (r.kind == SYN_MAP || r.kind == SYN_LIST) return read_entries(&r, *offset, out);
    if (r.kind != SYN_TEXT && (*more || *offset != 0))
        return malformed(d, "a state of this kind has one piece");
    out->text = field_str(&f[S_TEXT]);
    out->counter = (int64_t)(f[S_COUNTER].value >> 1 ^ (~(f[S_COUNTER].value & 1) + 1));
    return check_text(d->fault, out->text, "Snapshot: text");
}

static syn_err read_states(struct decoding *d, const struct field *field, struct msg_snapshot *out)
{
    uint32_t count = field->count;
    struct snapshot_state *states = arena_array(d->arena, count, sizeof *states);
    uint32_t *from = arena_array(d->arena, count, sizeof *from);
    bool *more = arena_array(d->arena, count, sizeof *more);
    if (states == NULL || from == NULL || more == NULL) return refuse_memory(d->arena, d->fault);
    struct column column = column_of(field);
    syn_err err = SYN_OK;
    for (uint32_t i = 0; i < count && err == SYN_OK; i++)
        err = read_state(d, out, column_bytes(&column), &states[i], &from[i], &more[i]);
    out->piece.states = states;
    out->piece.state_count = count;
    out->from = from;
    out->more = more;
    return err;
}

/* What only the first part says, and it must. */
static syn_err read_head(struct decoding *d, const struct field *f, struct msg_snapshot *out)
{
    bool any = f[F_VERSION].seen || f[F_LAMPORT].value != 0 || f[F_EVENTS].value != 0 ||
               f[F_DIGEST].value != 0;
    if (out->part > 0) return any ? malformed(d, "a later part with a version") : SYN_OK;
    struct msg_version version;
    syn_err err = decode_version(d, field_str(&f[F_VERSION]), &version);
    if (err != SYN_OK) return err;
    if (version.vector_count != 0 || version.head_count != 1)
        return malformed(d, "its version has not exactly one head");
    out->piece.heads = version.heads;
    out->piece.head_count = 1;
    out->piece.lamport = (uint32_t)f[F_LAMPORT].value;
    out->piece.events = f[F_EVENTS].value;
    out->digest = f[F_DIGEST].value;
    if (out->piece.lamport == 0 || out->piece.events == 0)
        return malformed(d, "no lamport or no events");
    if (out->piece.events > LIMIT_DOCUMENT_EVENTS) return malformed(d, "too many events");
    return SYN_OK;
}

syn_err decode_snapshot(struct decoding *d, const void *bytes, size_t len, struct msg_snapshot *out)
{
    struct field f[WIRE_FIELDS];
    memset(out, 0, sizeof *out);
    syn_err err = wire_split(&syncline__v1__snapshot__descriptor, bytes, len, UNKNOWN_REFUSED, f,
                             NULL, d->fault);
    if (err != SYN_OK) return err;
    if (f[F_FORMAT].value != 0)
        return refuse(d->fault, CODE_VERSION, "Snapshot of format %llu, a later version's",
                      (unsigned long long)f[F_FORMAT].value);
    out->id = f[F_ID].value;
    out->part = (uint32_t)f[F_PART].value;
    out->parts = (uint32_t)f[F_PARTS].value;
    if (out->part >= out->parts) return malformed(d, "part is not below parts");
    if (out->parts > LIMIT_SNAPSHOT_PARTS)
        return refuse(d->fault, CODE_LIMIT, "more than %u parts", LIMIT_SNAPSHOT_PARTS);
    err = read_head(d, f, out);
    if (err == SYN_OK)
        err = decode_peers(d, &f[F_PEERS], f[F_PEERS].count, &out->piece.peers,
                           &out->piece.peer_count);
    if (err == SYN_OK)
        err = decode_containers(d, &f[F_CONTAINERS], out->piece.peer_count, &out->piece.containers,
                                &out->piece.container_count);
    if (err != SYN_OK) return err;
    if (out->piece.container_count == 0) {
        out->piece.containers = &root_container;
        out->piece.container_count = 1;
    }
    return read_states(d, &f[F_STATES], out);
}
