/* syncline.h -- a replicated document: edit locally, exchange changes, converge.
 *
 * Every function obeys the rules below; a comment repeats a rule only where a function bends it.
 *
 * Errors     Fallible functions return syn_err, and then nothing has changed: a refused call leaves
 *            the document as it was, lack of memory included.  syn_doc_error() says in words what
 *            was wrong with the last refused call.
 * Ownership  `X **out` hands the caller an object; give it back to X_free().  syn_str and
 *            `const T *` are borrowed: from you for the call, from the document until its next
 *            non-const call.
 * Memory     All of it comes from the syn_mem given in the config.
 * Threads    No globals.  One thread at a time per document.
 * I/O        None.  No clock, no randomness, no files: what the engine needs from the world is an
 *            argument.
 * Positions  count Unicode scalar values in text and items in lists, from 0.
 *
 * The event graph and its replay: Gentle and Kleppmann, "Collaborative Text Editing with Eg-walker"
 * (EuroSys 2025).  The order of concurrent inserts: FugueMax, Weidner and Kleppmann, "The Art of
 * the Fugue" (arXiv 2305.00583). */
#ifndef SYNCLINE_H
#define SYNCLINE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#if defined(__GNUC__)
#define SYN_EXPORT __attribute__((visibility("default")))
#else
#define SYN_EXPORT
#endif

#define SYN_VERSION "0.1.0"

/* ---- Errors ---------------------------------------------------------------------------------- */

#define SYN_ERROR_MAP(X)                                                                           \
    X(ENOMEM, 1, "out of memory")                                                                  \
    X(EMISUSE, 2, "the caller broke the function's contract")                                      \
    X(ERANGE, 3, "position or version outside the document")                                       \
    X(EKIND, 4, "the container or value is of another kind")                                       \
    X(EUTF8, 5, "not valid UTF-8")                                                                 \
    X(EMALFORMED, 6, "not a valid change or snapshot")                                             \
    X(EFORKED, 7, "one event id with two contents: a peer id was used twice")                      \
    X(ELIMIT, 8, "over a documented limit")                                                        \
    X(EMISSING, 9, "parents that are not here")                                                    \
    X(EHISTORY, 10, "needs the history below the snapshot: syn_doc_backfill")                      \
    X(EGAP, 11, "not the next event of its peer")                                                  \
    X(EUNSUPPORTED, 12, "an operation that this version does not apply yet")                       \
    X(EIO, 13, "the disk or the network failed")                                                   \
    X(EBUSY, 14, "in use by another process")                                                      \
    X(ENOTFOUND, 15, "no such document, container or key")                                         \
    X(EDAMAGED, 16, "stored data is damaged")                                                      \
    X(EFULL, 17, "the disk is full")                                                               \
    X(EVERSION, 18, "written by another program or a newer version")                               \
    X(EDENIED, 19, "not allowed")                                                                  \
    X(ECLOSED, 20, "closed or disconnected")                                                       \
    X(EDELETED, 21, "the document was deleted")

typedef enum {
    SYN_OK = 0,
#define X(name, code, text) SYN_##name = code,
    SYN_ERROR_MAP(X)
#undef X
} syn_err;

SYN_EXPORT const char *syn_strerror(syn_err err); /* a sentence, never NULL */
SYN_EXPORT const char *syn_errname(syn_err err);  /* "ENOMEM", never NULL */

/* ---- Plain values: copied, never freed ------------------------------------------------------- */

/* Lua's contract: new_size 0 frees, ptr NULL allocates, NULL means no memory (and ptr intact);
 * old_size is what the block was given. */
typedef struct {
    void *(*resize)(void *user, void *ptr, size_t old_size, size_t new_size);
    void *user;
} syn_mem;

typedef struct {
    const char *data;
    size_t len;
} syn_str; /* text or bytes, not NUL-terminated */

/* A string literal, or any NUL-terminated string, as syn_str. */
SYN_EXPORT syn_str syn_s(const char *text);

typedef struct {
    uint64_t peer; /* one per replica and edit session, random, never 0 */
    uint32_t seq;  /* counts the peer's events from 0; below 2^31 */
} syn_id;

typedef enum {
    SYN_TEXT = 0,
    SYN_MAP = 1,
    SYN_LIST = 2,
    SYN_COUNTER = 3,
    SYN_TREE = 4, /* framed by the protocol, not interpreted yet */
} syn_kind;

/* Names a container inside one syn_doc; valid as long as the document is. */
typedef uint32_t syn_obj;
#define SYN_NO_OBJ UINT32_MAX

typedef enum {
    SYN_VALUE_STRING = 0,
    SYN_VALUE_NULL = 1,
    SYN_VALUE_FALSE = 2,
    SYN_VALUE_TRUE = 3,
    SYN_VALUE_INT = 4,
    SYN_VALUE_REAL = 5,
    SYN_VALUE_BYTES = 6,
    SYN_VALUE_CHILD = 7,     /* a container made by the event that set it */
    SYN_VALUE_MERGEABLE = 8, /* the child shared by every peer under (map, key, kind) */
    /* 16 and above: kinds of later versions; `str` holds their bytes. */
} syn_value_kind;

typedef struct {
    uint32_t kind;  /* syn_value_kind */
    syn_kind child; /* CHILD, MERGEABLE: kind of the child */
    union {
        int64_t i;   /* INT */
        double real; /* REAL */
        syn_str str; /* STRING, BYTES, unknown kinds */
        syn_obj obj; /* CHILD, MERGEABLE; only in values that are read */
    } as;
} syn_value;

SYN_EXPORT syn_value syn_null(void);
SYN_EXPORT syn_value syn_bool(bool b);
SYN_EXPORT syn_value syn_int(int64_t i);
SYN_EXPORT syn_value syn_real(double d); /* every NaN becomes 0x7ff8000000000000 */
SYN_EXPORT syn_value syn_string(syn_str utf8);
SYN_EXPORT syn_value syn_bytes(syn_str bytes);

/* ---- The document ---------------------------------------------------------------------------- */

typedef struct syn_doc syn_doc;

typedef struct {
    uint32_t size;       /* = sizeof(syn_doc_config): versions this struct */
    syn_mem mem;         /* all zero: malloc */
    uint64_t peer;       /* under which local edits go; 0: set later with syn_doc_set_peer */
    bool events;         /* keep syn_event records (below) */
    uint32_t max_heads;  /* 0: 4,096 */
    uint32_t max_events; /* 0: 2^31 - 1 */
    size_t max_pending;  /* bytes of changes kept whose parents are missing; 0: 8 MiB */
    uint32_t max_value;  /* bytes of one value; 0: 1 MiB */
    uint64_t hash_seed;  /* random: keys from outside cannot be chosen to collide */
    uint64_t work_limit; /* steps of merging that one change may cost, some 10 ns each, before it is
                            refused (SYN_ELIMIT); 0: 100,000,000 and 64 for each of its events */
} syn_doc_config;
#define SYN_DOC_CONFIG_INIT                                                                        \
    {                                                                                              \
        .size = sizeof(syn_doc_config)                                                             \
    }

/* config NULL: all defaults.  SYN_ENOMEM, SYN_EMISUSE (config->size). */
SYN_EXPORT syn_err syn_doc_new(syn_doc **out, const syn_doc_config *config);
SYN_EXPORT void syn_doc_free(syn_doc *doc); /* NULL is fine */
/* For a document that will not be edited for a while: gives back memory that only makes work
 * faster.  What was exported or said by syn_doc_error is gone.  Not inside a transaction. */
SYN_EXPORT void syn_doc_trim(syn_doc *doc);
/* Why the last refused call was refused; "" if none was. */
SYN_EXPORT const char *syn_doc_error(const syn_doc *doc);

/* Local edits from now on are this peer's.  Draw 64 random bits anew at the first edit after each
 * open; the engine cannot draw them.  SYN_EMISUSE: 0, or inside a transaction;
 * SYN_EFORKED: the document has events of this peer that this document did not make itself, and
 * `resume` is false. */
SYN_EXPORT syn_err syn_doc_set_peer(syn_doc *doc, uint64_t peer, bool resume);
SYN_EXPORT uint64_t syn_doc_peer(const syn_doc *doc); /* 0: none set */

/* ---- Transactions: outside one, each edit commits by itself ---------------------------------- */

/* Edits after begin show at once, and become one change at commit or nothing at rollback.  Remote
 * changes cannot be applied in between (SYN_EMISUSE).  commit and rollback: SYN_EMISUSE without
 * begin.  begin: SYN_EMISUSE inside one. */
SYN_EXPORT syn_err syn_begin(syn_doc *doc);
SYN_EXPORT syn_err syn_commit(syn_doc *doc);
SYN_EXPORT syn_err syn_rollback(syn_doc *doc);

/* ---- Containers ------------------------------------------------------------------------------ */

/* The root container of that name and kind; exists as soon as it is named.  name: UTF-8, at most
 * 255 bytes, no U+0000; may be empty.  SYN_EUTF8, SYN_ELIMIT, SYN_ENOMEM. */
SYN_EXPORT syn_err syn_root(syn_doc *doc, syn_str name, syn_kind kind, syn_obj *out);
/* The mergeable child under a key, made visible (one MAP_SET) if the key shows something else:
 * "get or create".  SYN_EKIND: map is no map.  syn_map_child_peek never edits: it only names the
 * child. */
SYN_EXPORT syn_err syn_map_child(syn_doc *doc, syn_obj map, syn_str key, syn_kind kind,
                                 syn_obj *out);
SYN_EXPORT syn_err syn_map_child_peek(syn_doc *doc, syn_obj map, syn_str key, syn_kind kind,
                                      syn_obj *out);
SYN_EXPORT syn_kind syn_obj_kind(const syn_doc *doc, syn_obj obj);

/* Root containers that have had an event, in the order they were met.  Index from 0; SYN_NO_OBJ
 * past the last. name may be NULL. */
SYN_EXPORT syn_obj syn_root_at(const syn_doc *doc, uint32_t index, syn_str *name);

/* ---- Text ------------------------------------------------------------------------------------ */

SYN_EXPORT size_t syn_text_len(const syn_doc *doc, syn_obj text);   /* scalar values */
SYN_EXPORT size_t syn_text_bytes(const syn_doc *doc, syn_obj text); /* UTF-8 bytes */
/* Copies [pos, pos+len) into buf (no NUL), at most `cap` bytes, whole scalars; returns the bytes
 * that the whole range needs.  Out of range is cut. */
SYN_EXPORT size_t syn_text_read(const syn_doc *doc, syn_obj text, size_t pos, size_t len, char *buf,
                                size_t cap);
/* SYN_ERANGE: pos beyond the end.  SYN_EUTF8.  SYN_EKIND.  SYN_EMISUSE: no peer set.  An empty
 * string is no edit. */
SYN_EXPORT syn_err syn_text_insert(syn_doc *doc, syn_obj text, size_t pos, syn_str utf8);
SYN_EXPORT syn_err syn_text_delete(syn_doc *doc, syn_obj text, size_t pos, size_t len);

typedef enum { SYN_UNIT_SCALAR, SYN_UNIT_UTF16, SYN_UNIT_BYTE } syn_unit;
/* The same place counted in another unit.  Inside a scalar: rounded down to its start.  Beyond the
 * end: the end. */
SYN_EXPORT size_t syn_text_position(const syn_doc *doc, syn_obj text, syn_unit from, size_t pos,
                                    syn_unit to);

/* ---- Map ------------------------------------------------------------------------------------- */

/* key: UTF-8, at most 1,024 bytes, no U+0000.  A value of kind CHILD makes a new container of
 * value.child, returned in *made if not NULL. */
SYN_EXPORT syn_err syn_map_set(syn_doc *doc, syn_obj map, syn_str key, syn_value value,
                               syn_obj *made);
/* SYN_ENOTFOUND: no such key. */
SYN_EXPORT syn_err syn_map_delete(syn_doc *doc, syn_obj map, syn_str key);
/* The winner.  SYN_ENOTFOUND: never set, or deleted. */
SYN_EXPORT syn_err syn_map_get(const syn_doc *doc, syn_obj map, syn_str key, syn_value *out);
SYN_EXPORT size_t syn_map_len(const syn_doc *doc, syn_obj map); /* keys that show */
/* Shown keys in ascending byte order; false past the last. */
SYN_EXPORT bool syn_map_at(const syn_doc *doc, syn_obj map, size_t index, syn_str *key,
                           syn_value *value);
/* Concurrent writes of a key, the winner first (last writer wins by lamport, peer, seq); index from
 * 0. *gone: that write was a delete.  SYN_ENOTFOUND past the last. */
SYN_EXPORT syn_err syn_map_conflict(const syn_doc *doc, syn_obj map, syn_str key, size_t index,
                                    syn_value *value, syn_id *writer, bool *gone);

/* ---- List ------------------------------------------------------------------------------------ */

SYN_EXPORT size_t syn_list_len(const syn_doc *doc, syn_obj list);
SYN_EXPORT syn_err syn_list_get(const syn_doc *doc, syn_obj list, size_t pos,
                                syn_value *out); /* SYN_ERANGE */
SYN_EXPORT syn_err syn_list_insert(syn_doc *doc, syn_obj list, size_t pos, syn_value value,
                                   syn_obj *made);
SYN_EXPORT syn_err syn_list_set(syn_doc *doc, syn_obj list, size_t pos, syn_value value,
                                syn_obj *made);
SYN_EXPORT syn_err syn_list_delete(syn_doc *doc, syn_obj list, size_t pos, size_t count);

/* ---- Counter --------------------------------------------------------------------------------- */

SYN_EXPORT int64_t syn_counter_get(const syn_doc *doc, syn_obj counter); /* 0 if it is none */
SYN_EXPORT syn_err syn_counter_add(syn_doc *doc, syn_obj counter, int64_t delta); /* modulo 2^64 */

/* ---- Versions -------------------------------------------------------------------------------- */

/* Heads, ordered by (peer, seq).  Returns how many there are; fills at most cap. */
SYN_EXPORT size_t syn_doc_heads(const syn_doc *doc, syn_id *out, size_t cap);
/* Version vector: per peer the first seq not held, ordered by peer.  Without history only peers
 * with events above the snapshot are in it. */
SYN_EXPORT size_t syn_doc_vector(const syn_doc *doc, syn_id *out, size_t cap);
SYN_EXPORT uint64_t syn_doc_events(const syn_doc *doc);  /* events the state stands for */
SYN_EXPORT uint32_t syn_doc_lamport(const syn_doc *doc); /* greatest of its events; 0: none */
SYN_EXPORT bool syn_doc_has(const syn_doc *doc, syn_id id);
/* First seq of the peer that is not here; above a snapshot 0 for peers without events there. */
SYN_EXPORT uint32_t syn_doc_next(const syn_doc *doc, uint64_t peer);
/* Is all the history here (no snapshot base)? */
SYN_EXPORT bool syn_doc_has_history(const syn_doc *doc);

/* ---- What changed ---------------------------------------------------------------------------- */

typedef enum {
    SYN_EVENT_SPLICE, /* text, list: at pos, `removed` left; then `text` (text: `inserted` scalars)
                         or `inserted` items came in.  An editor: retain pos, delete, insert. */
    SYN_EVENT_SET,    /* map: key now shows value; list: item at pos is now value */
    SYN_EVENT_UNSET,  /* map: key does not show any more */
    SYN_EVENT_ADD,    /* counter: went up by `delta` */
} syn_event_kind;

typedef struct {
    syn_event_kind kind;
    syn_obj obj;
    bool local; /* own edit, not a remote change */
    size_t pos, removed, inserted;
    syn_str text;
    syn_str key;
    syn_value value;
    int64_t delta;
} syn_event;

/* Events since they were last cleared, oldest first; each to be replayed on the state that the one
 * before it left.  Kept only with config.events.  Inside a transaction nothing shows until commit;
 * rollback leaves none.  */
SYN_EXPORT size_t syn_doc_event_count(const syn_doc *doc);
SYN_EXPORT bool syn_doc_event(const syn_doc *doc, size_t index, syn_event *out);
/* Item `item` < inserted of a list splice, as it was inserted. */
SYN_EXPORT bool syn_event_item(const syn_doc *doc, size_t index, size_t item, syn_value *out);
SYN_EXPORT void syn_doc_events_clear(syn_doc *doc);
/* config.events from now on, for who watches at times: what goes unwatched is not paid for. */
SYN_EXPORT void syn_doc_events_keep(syn_doc *doc, bool keep);

/* ---- Checking and looking -------------------------------------------------------------------- */

typedef syn_err (*syn_write_fn)(void *user, const void *data, size_t len);

/* State as JSON (PROTOCOL.md, "The document as JSON").  A non-zero return from `write` stops and is
 * returned.  obj SYN_NO_OBJ: the whole document. */
SYN_EXPORT syn_err syn_doc_json(const syn_doc *doc, syn_obj obj, syn_write_fn write, void *user);
/* RFC 6901 into the JSON above; a child container gives its kind of value. SYN_ENOTFOUND. */
SYN_EXPORT syn_err syn_doc_resolve(const syn_doc *doc, syn_str path, syn_value *out);
/* One value as JSON, as it would stand inside the document. */
SYN_EXPORT syn_err syn_value_json(const syn_doc *doc, const syn_value *value, syn_write_fn write,
                                  void *user);
/* Aborts with a message on a broken invariant: every module's own check, and the links between. */
SYN_EXPORT void syn_doc_check(const syn_doc *doc);
SYN_EXPORT syn_err syn_doc_dump(const syn_doc *doc, syn_write_fn write, void *user);
/* The event graph for Graphviz. */
SYN_EXPORT syn_err syn_doc_dot(const syn_doc *doc, syn_write_fn write, void *user);
/* Bytes that the document holds from its allocator. */
SYN_EXPORT size_t syn_doc_footprint(const syn_doc *doc);

#ifdef __cplusplus
}
#endif
#endif
