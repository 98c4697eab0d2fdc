/* wire.h -- private to proto/: memory, fields and columns, below the messages.
 *
 * Reading goes in two steps.  wire_split() cuts one message into its fields, driven by protobuf-c's
 * descriptor of it, and checks all that protobuf itself leaves loose (syncline.proto, rule 6); it
 * allocates nothing, and for a column it only remembers where it lies and how many entries it has.
 * Then the entries are read one by one: they were checked, so reading cannot fail, and a column
 * that is absent gives zeros.  Where the number of rows is known before (runs, op runs, parents),
 * numbers_of() compares it once and next_number() just reads; a queue is a struct column, which
 * counts, and column_done() at the end says whether exactly all entries were used.  Columns are
 * read in place and not unpacked by protobuf-c, which would hold every column twice; everything
 * that is no column is unpacked by protobuf-c.
 *
 * Writing appends to a syn_buf.  Lengths are not known beforehand: a field is written behind one
 * byte kept for its length, and moved up when the length needs more. */
#ifndef SYN_PROTO_WIRE_H
#define SYN_PROTO_WIRE_H

#include "proto.h"
#include "mem.h"

#include <protobuf-c/protobuf-c.h>
#include <stdalign.h>

/* ---- Arena ----------------------------------------------------------------------------------- */

struct arena_block {
    struct arena_block *next;
    size_t size, used; /* of data, both multiples of 16: what fits fits rounded up */
    alignas(16) char data[];
};
struct proto_arena {
    syn_mem mem;
    struct arena_block *blocks; /* the newest first; allocation goes into it */
    size_t held;                /* bytes of all blocks */
    size_t limit;
    bool over; /* an allocation failed for the limit, not for want of memory */
};

void *arena_alloc(proto_arena *arena, size_t size);                /* 16-aligned, or NULL */
void *arena_more(proto_arena *arena, uint64_t count, size_t size); /* when the block is full */
static inline void *arena_array(proto_arena *arena, uint64_t count, size_t size) /* 0: not NULL */
{
    struct arena_block *block = arena->blocks;
    if (block == NULL || count == 0 || count > (block->size - block->used) / size)
        return arena_more(arena, count, size);
    void *p = block->data + block->used;
    block->used += ((size_t)count * size + 15) & ~(size_t)15;
    return p;
}
/* For protobuf-c and zlib, whose frees are no-ops: the arena is emptied as a whole. */
ProtobufCAllocator arena_allocator(proto_arena *arena);
syn_mem proto_mem(const syn_mem *mem); /* NULL or all zero: malloc */

/* ---- Decoding context ------------------------------------------------------------------------ */

struct decoding {
    proto_arena *arena;
    struct proto_fault *fault;
    uint32_t max_events, max_value, max_parents, max_peers;
    const struct proto_tables *base; /* of Names: what it is added to */
    uint32_t entries;                /* submessages and byte strings so far: wire_scan() */
};

/* Fills the fault and returns the error that goes with `code`. */
syn_err refuse(struct proto_fault *fault, enum code code, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
static inline syn_err error_of(enum code code)
{
    if (code == CODE_LIMIT) return SYN_ELIMIT;
    return code == CODE_VERSION ? SYN_EVERSION : SYN_EMALFORMED;
}
#ifdef SYN_SMALL /* the error alone tells: see core/doc.h */
#define refuse(fault, code, ...) (0 ? refuse(fault, code, __VA_ARGS__) : error_of(code))
#endif
syn_err refuse_utf8(struct proto_fault *fault, const char *what);
syn_err refuse_memory(const proto_arena *arena, struct proto_fault *fault);

/* ---- Reading --------------------------------------------------------------------------------- */

struct field {         /* small, for a message's 25 are cleared for every keystroke */
    const uint8_t *at; /* payload: of the first entry for repeated bytes and messages */
    size_t len;
    uint64_t value; /* singular numbers */
    uint32_t count; /* entries */
    uint8_t number;
    bool seen;
};

#define DIGEST_KINDS 4 /* TEXT, MAP, LIST, COUNTER: Digest.kinds of this version */

#define WIRE_FIELDS 28 /* more than any message has, plus one: indexed by field number */

/* What a field of a message's type holds. */
static inline const ProtobufCMessageDescriptor *message_of(const ProtobufCFieldDescriptor *field)
{
#ifdef SYN_SMALL /* a pointer for each would be a third of the tables */
    return protobuf_c_nested[field->of];
#else
    return field->descriptor;
#endif
}

enum unknown_fields { UNKNOWN_IGNORED, UNKNOWN_REFUSED };
/* `fields` has WIRE_FIELDS entries.  *unknown (may be NULL): there were unknown fields. */
syn_err wire_split(const ProtobufCMessageDescriptor *type, const void *bytes, size_t len,
                   enum unknown_fields rule, struct field *fields, bool *unknown,
                   struct proto_fault *fault);
/* wire_split for a message and all messages inside it, before protobuf-c unpacks it. */
syn_err wire_scan(struct decoding *d, const ProtobufCMessageDescriptor *type, const void *bytes,
                  size_t len, int depth);

syn_str field_str(const struct field *field);

/* The rest of a varint that was checked, and whose first byte says that there is more. */
static inline uint64_t read_long(const uint8_t **at)
{
    const uint8_t *p = *at;
    uint64_t v = *p & 0x7f;
    for (unsigned shift = 7; *p++ >= 0x80; shift += 7) v |= (uint64_t)(*p & 0x7f) << shift;
    *at = p;
    return v;
}

static inline uint64_t read_checked(const uint8_t **at)
{
    return **at < 0x80 ? *(*at)++ : read_long(at);
}

static inline int64_t unzigzag(uint64_t v)
{
    return (int64_t)(v >> 1 ^ (~(v & 1) + 1));
}

/* A column of numbers of as many rows as `rows`; *column NULL: absent, all 0. */
syn_err numbers_differ(const struct field *field, uint64_t rows, const char *name,
                       struct proto_fault *fault);
static inline syn_err numbers_of(const struct field *field, uint64_t rows, const char *name,
                                 struct proto_fault *fault, const uint8_t **column)
{
    *column = field->count != 0 ? field->at : NULL;
    if (field->count == 0 || field->count == rows) return SYN_OK;
    return numbers_differ(field, rows, name, fault);
}

static inline uint64_t next_number(const uint8_t **column)
{
    return *column != NULL ? read_checked(column) : 0;
}

struct column {
    const uint8_t *p;
    size_t len; /* repeated bytes: of the entry at p */
    uint32_t left, number;
    bool present, ran_out, started;
};

static inline struct column column_of(const struct field *field)
{
    return (struct column){.p = field->at,
                           .len = field->len,
                           .left = field->count,
                           .number = field->number,
                           .present = field->count > 0};
}

uint64_t column_varint(struct column *column); /* 0 if absent */
int64_t column_zigzag(struct column *column);
uint64_t column_fixed64(struct column *column);
syn_str column_bytes(struct column *column); /* repeated bytes and messages */
bool column_used_up(const struct column *column);
syn_err column_done(const struct column *column, const char *name, struct proto_fault *fault);

/* The common row count of a table: that of any column present (numbers_of finds the others). */
uint32_t column_rows(const struct field *fields, const uint8_t *numbers, uint32_t absent);

/* ---- Shared by Changes, Snapshot, Presence, Names, Digest ------------------------------------ */

syn_err check_text(struct proto_fault *fault, syn_str text, const char *what);
/* At most max bytes of UTF-8 without U+0000. */
syn_err check_name(struct proto_fault *fault, syn_str name, size_t max, const char *what);
syn_err check_peers(struct decoding *d, const uint64_t *peers, uint32_t count);
syn_err decode_peers(struct decoding *d, const struct field *field, uint32_t max,
                     const uint64_t **peers, uint32_t *count);
syn_err decode_containers(struct decoding *d, const struct field *field, uint32_t peer_count,
                          const struct change_container **containers, uint32_t *count);
extern const struct change_container root_container; /* name "", TEXT: index 0 of an empty table */

enum { PROTO_MAPPED = 16 }; /* sets with larger tables always bring their own */
uint32_t table_peer(const struct proto_tables *t, uint64_t peer); /* its index, or UINT32_MAX */
uint32_t table_container(const struct proto_tables *t, const struct change_container *c);
bool container_same(const struct change_container *a, const struct change_container *b);
uint64_t container_hash(const struct change_container *c);
int compare_keys(syn_str a, syn_str b); /* by bytes, as memcmp */

/* Values: kinds, blobs, ints, reals of Changes or Values. */
struct value_columns {
    struct column kinds, blobs, ints, reals;
};
enum value_place { PLACE_MAP, PLACE_LIST, PLACE_MARK };
syn_err decode_value(struct decoding *d, struct value_columns *columns, enum value_place place,
                     struct change_value *out);
syn_err values_done(const struct value_columns *columns, struct proto_fault *fault);

/* What one operation kind makes and takes: PROTOCOL.md, 3 and 3.1. */
enum op_caret_rule { CARET_NONE, CARET_STAYS, CARET_BEHIND, CARET_BEFORE, CARET_ARG };
struct op_form {
    bool keys, values; /* COUNTER_ADD included */
    uint8_t nodes;     /* per event */
    bool one_piece;    /* never cut: its events belong together */
    uint8_t caret;     /* CARET_NONE: it has no position */
    uint8_t fits;      /* which container kinds, a bit each; ANY_CONTAINER */
    uint32_t max_arg;
};
#define ANY_CONTAINER 0xffu
extern const struct op_form op_forms[OP_NOTHING + 2]; /* the last one: kinds of later versions */

static inline const struct op_form *op_form(uint32_t kind)
{
    return &op_forms[kind <= OP_NOTHING ? kind : OP_NOTHING + 1];
}

static inline bool op_takes_keys(uint32_t kind)
{
    return op_form(kind)->keys;
}

static inline bool op_takes_values(uint32_t kind)
{
    return op_form(kind)->values;
}

static inline uint32_t op_nodes(uint32_t kind)
{
    return op_form(kind)->nodes;
}

static inline bool op_has_position(uint32_t kind)
{
    return op_form(kind)->caret != CARET_NONE;
}

static inline uint64_t op_events(const struct change_op *op)
{
    return op->kind == OP_MARK ? 2 : op->len;
}

/* Keys or values of the whole run. */
static inline uint64_t op_takes(const struct change_op *op)
{
    return op->kind == OP_MARK ? 1 : op->len;
}

/* Where it leaves the caret. */
static inline int64_t op_caret(const struct change_op *op)
{
    switch (op_form(op->kind)->caret) {
    case CARET_BEHIND:
        return (int64_t)op->pos + op->len;
    case CARET_BEFORE:
        return (int64_t)op->pos - op->len + 1;
    case CARET_ARG:
        return op->arg;
    default:
        return op->pos;
    }
}

/* After decoding with the channel's tables.  own_: what the message brought itself. */
syn_err only_used_tables(struct decoding *d, const struct proto_tables *channel, bool own_peers,
                         bool own_containers, syn_changes *set);

syn_err decode_changes(struct decoding *d, const void *bytes, size_t len,
                       const struct proto_tables *tables, syn_changes *out);
syn_err decode_version(struct decoding *d, syn_str bytes, struct msg_version *out);
syn_err decode_snapshot(struct decoding *d, const void *bytes, size_t len,
                        struct msg_snapshot *out);

/* ---- Hashing --------------------------------------------------------------------------------- */

/* Tables of one event or one state, in order of first use. */
struct tables {
    const uint64_t *all_peers;
    const struct change_container *all_containers;
    uint64_t *peers;
    uint32_t *used; /* per entry of peers: its index in all_peers */
    struct change_container *containers;
    uint32_t peer_count, container_count;
};
syn_err tables_begin(struct tables *t, proto_arena *arena, const uint64_t *peers,
                     uint32_t peer_count, const struct change_container *containers,
                     uint32_t container_count);
uint32_t tables_peer(struct tables *t, uint32_t peer);
/* The container and what it is merged under, root first: entry i's parent is entry i - 1. */
void tables_chain(struct tables *t, uint32_t container);

/* ---- Writing --------------------------------------------------------------------------------- */

struct writer {
    syn_buf *buf;
    size_t start; /* length to go back to */
    bool failed;
};

struct writer writer_begin(syn_buf *buf);
syn_err writer_end(struct writer *w); /* SYN_ENOMEM leaves the buffer as it was */

void put_raw(struct writer *w, const void *data, size_t len);
void put_varint(struct writer *w, uint64_t v);
void put_fixed(struct writer *w, uint64_t v);
uint64_t zigzag(int64_t v);

/* Singular fields: left out when default. */
void put_uint(struct writer *w, uint32_t number, uint64_t v);
void put_sint(struct writer *w, uint32_t number, int64_t v);
void put_fixed64(struct writer *w, uint32_t number, uint64_t v);
void put_fixed64_always(struct writer *w, uint32_t number, uint64_t v);
void put_bytes(struct writer *w, uint32_t number, syn_str bytes);
/* One entry of a repeated bytes field, written even when empty. */
void put_entry(struct writer *w, uint32_t number, syn_str bytes);

/* A length-delimited field around what is written in between.  field_drop: it was all default. */
size_t field_begin(struct writer *w, uint32_t number);
void field_end(struct writer *w, size_t mark);
void field_drop(struct writer *w, size_t mark, uint32_t number);
/* A packed column: any = false drops it. */
void column_end(struct writer *w, size_t mark, uint32_t number, bool any);

void put_peers(struct writer *w, uint32_t number, const uint64_t *peers, uint32_t count);
void put_container(struct writer *w, uint32_t number, const struct change_container *container);
/* For hashing: without the index of a peer, which depends on a table. */
void put_container_id(struct writer *w, uint32_t number, const struct change_container *container);
void put_containers(struct writer *w, uint32_t number, const struct change_container *containers,
                    uint32_t count);
void put_version(struct writer *w, uint32_t number, const struct msg_version *version);

/* The i-th value; *counter: written as val_int alone. */
typedef const struct change_value *(*value_at_fn)(void *from, uint32_t i, bool *counter);
void put_values(struct writer *w, const uint32_t numbers[4], value_at_fn at, void *from,
                uint32_t count);

/* The fields of Packed.  even_larger: also when deflating does not make it smaller
 * (SYN_ENOTFOUND). */
syn_err put_packed(struct writer *w, enum packed_inside inside, const void *raw, size_t len,
                   bool even_larger);
void put_changes(struct writer *w, const syn_changes *set, const struct proto_tables *tables);
void put_snapshot(struct writer *w, const struct msg_snapshot *snapshot);
void put_state(struct writer *w, const struct snapshot_state *state, uint32_t offset, bool more,
               bool whole);

#endif
