/* change.h -- the plain data that travels: changes and snapshots with everything spelled out.
 *
 * proto/ turns these into bytes and back; core makes and applies them; nobody else looks inside.
 * Positions, seqs and indexes are absolute here (deltas are the encoding's business).  Everything
 * is borrowed: the arrays belong to whoever filled the struct.
 *
 * A change set is two tables over the same events, numbered through from 0, which may be cut
 * independently: runs say who made the events and after which, ops say what they do.  Queues (text,
 * keys, values, nodes, ext) are taken from front to back as the ops need them. */
#ifndef SYN_CORE_CHANGE_H
#define SYN_CORE_CHANGE_H

#include "syncline.h"

#ifdef __cplusplus
extern "C" {
#endif

enum op_kind {
    OP_TEXT_INSERT = 0,
    OP_DELETE = 1,
    OP_DELETE_BACK = 2,
    OP_MARK = 3, /* refused for now: SYN_EUNSUPPORTED */
    OP_MAP_SET = 4,
    OP_MAP_DELETE = 5,
    OP_LIST_INSERT = 6,
    OP_LIST_SET = 7,
    OP_LIST_MOVE = 8, /* refused for now */
    OP_COUNTER_ADD = 9,
    OP_TREE_CREATE = 10, /* 10..12 refused for now */
    OP_TREE_MOVE = 11,
    OP_TREE_DELETE = 12,
    OP_NOTHING = 13,
    OP_FIRST_UNKNOWN = 32, /* kept and relayed, no effect on the state */
};

#define SEQ_MAX 0x7fffffffu /* seqs, positions and lengths stay below 2^31 */

enum container_form { CONTAINER_ROOT, CONTAINER_BY_EVENT, CONTAINER_MERGEABLE };

struct change_container {
    uint32_t kind; /* syn_kind, or >= 16 of a later version */
    enum container_form form;
    syn_str name;       /* ROOT */
    uint32_t peer, seq; /* BY_EVENT: index into peers */
    uint32_t parent;    /* MERGEABLE: index of an earlier entry */
    syn_str key;        /* MERGEABLE */
};

struct change_run {
    uint32_t peer; /* index into peers */
    uint32_t seq, len;
    bool explicit_parents; /* false: exactly the peer's previous event (seq 0: none) */
    uint32_t dep_count;    /* explicit: how many of deps are this run's */
};

struct change_dep {
    uint32_t peer, seq;
};

struct change_op {
    uint32_t kind;      /* enum op_kind, or >= 32 */
    uint32_t container; /* index into containers */
    uint32_t len;       /* events (MARK: entities covered, 2 events; kind >= 32: events) */
    uint32_t pos;
    uint32_t arg;
};

/* What MAP_SET, LIST_INSERT, LIST_SET, MARK and COUNTER_ADD (INT) take. */
struct change_value {
    uint32_t kind; /* syn_value_kind or >= 16 */
    int64_t i;     /* INT; CHILD, MERGEABLE: container kind */
    double real;
    syn_str blob; /* STRING, BYTES, kinds >= 16 */
};

struct change_node {
    uint32_t peer_plus1, seq; /* tree ids: 0 is the root */
};

/* What events of texts and lists, as many as `len`, did when they were merged here: each acted `by`
 * places right of the position that it names; EFFECT_GONE: what it was to act on was gone. */
struct change_effect {
    uint32_t len;
    int32_t by;
};
#define EFFECT_GONE INT32_MIN

typedef struct syn_changes {
    const uint64_t *peers;
    const struct change_container *containers;
    const struct change_run *runs;
    const struct change_dep *deps;
    const struct change_op *ops;
    const syn_str *keys;
    const struct change_value *values;
    const struct change_node *nodes;
    const syn_str *ext;
    const int64_t *run_time; /* NULL, or one per run: seconds since 1970 */
    const syn_str *author;   /* NULL, or one per peer */
    syn_str text;
    uint32_t peer_count, container_count, run_count, dep_count, op_count;
    uint32_t key_count, value_count, node_count, ext_count;
    /* Derived and believed, so only from one's own checked store and never from a peer: what all
     * the set's events of texts and lists did, in a document that had every event before them and
     * nothing else.  None: it is found out by merging. */
    const struct change_effect *effects;
    uint32_t effect_count;
} syn_changes;

/* ---- Exchanging changes ---------------------------------------------------------------------- */

typedef struct {
    uint32_t applied;   /* events new to this document */
    uint32_t duplicate; /* events known already, with the same content */
    bool pending;       /* the whole set waits for missing parents */
} syn_applied;

/* Applies a set, whole or not at all.  keep_pending: a set whose parents are missing is copied into
 * the bounded buffer (SYN_OK, out->pending) and applied by itself when they come; else
 * SYN_EMISSING. Refusals: SYN_EMALFORMED (positions, containers, parents that are no antichain, an
 * event that has not its peer's previous event among its ancestors), SYN_EFORKED, SYN_EGAP (not the
 * next seq of its peer, and the parents are here), SYN_EHISTORY (stands on history below the
 * snapshot), SYN_ELIMIT, SYN_EUNSUPPORTED, SYN_EUTF8, SYN_ENOMEM.  doc_fault() names the peer and
 * seq at fault. out may be NULL. */
SYN_EXPORT syn_err syn_apply(syn_doc *doc, const syn_changes *set, bool keep_pending,
                             syn_applied *out);

typedef struct {
    syn_id event;    /* the first event of the run at fault (peer 0: none) */
    uint32_t op_run; /* 1 + index of the op run at fault; 0: not about one */
    syn_id missing;  /* SYN_EMISSING, SYN_EHISTORY: one event that is needed */
} syn_fault;
SYN_EXPORT syn_fault syn_doc_fault(const syn_doc *doc);

/* What the pending buffer waits for: returns how many ids there are, fills at most cap. */
SYN_EXPORT size_t syn_doc_missing(const syn_doc *doc, syn_id *out, size_t cap);
SYN_EXPORT void syn_doc_pending_clear(syn_doc *doc);

/* Another syn_doc_config.work_limit from now on; returns the one before.  UINT64_MAX is for what
 * was accepted once already: merged in another order the same events can cost far more. */
SYN_EXPORT uint64_t syn_doc_set_work_limit(syn_doc *doc, uint64_t limit);
/* Steps that the last changes applied took, as the limit counts them; and counts from 0 again. */
SYN_EXPORT uint64_t syn_doc_take_work(syn_doc *doc);

/* Tells that so many events are about to come, in several sets: the first of them finds room for
 * all, where growing step by step would copy what is here over and over.  0: no more come.  If the
 * document was empty and keeps no events for a reader, they fill it, and nothing else may be done
 * meanwhile: one that is refused empties it again (SYN_EDAMAGED: its effects are wrong). */
SYN_EXPORT void syn_doc_expect(syn_doc *doc, uint32_t events);

/* A cursor into the document's log: events in the order they came here.  Log positions count from
 * the base of the log; syn_doc_backfill() moves them all up by the number of events it adds below.
 */
SYN_EXPORT uint32_t syn_doc_log_end(const syn_doc *doc);
/* 0, or 1 above a snapshot: the first position holds the snapshot's stand-in. */
SYN_EXPORT uint32_t syn_doc_log_start(const syn_doc *doc);

typedef struct {
    uint32_t from, end;
} syn_span; /* log positions [from, end) */

/* The log spans that a replica at this version lacks, ascending.  Heads: SYN_ENOTFOUND if one is
 * not known here (ask for the vector), SYN_EHISTORY if one may lie below the snapshot.  No heads:
 * all. Vector (`next` per peer): any.  Spans are the document's until its next call of these two.
 */
SYN_EXPORT syn_err syn_doc_spans_since(syn_doc *doc, const syn_id *heads, size_t count,
                                       const syn_span **spans, size_t *span_count);
SYN_EXPORT syn_err syn_doc_spans_since_vector(syn_doc *doc, const syn_id *next, size_t count,
                                              const syn_span **spans, size_t *span_count);

/* The events of [from, end) as a canonical change set (tables in order of first use, runs as long
 * as possible, DELETE_BACK exactly where a single delete stands one left of the caret; PROTOCOL.md
 * "Canonical form"). `cut`, where the export stopped: at most `max_events` events, and about
 * `max_bytes` of content, always at least one op run's event; never inside a run of unknown kind.
 * Borrowed: until the next non-const call. */
SYN_EXPORT syn_err syn_doc_export(syn_doc *doc, syn_span span, uint32_t max_events,
                                  size_t max_bytes, syn_changes *out, uint32_t *cut);

/* The same for several spans (ascending, disjoint) in one set, without a limit. */
SYN_EXPORT syn_err syn_doc_export_spans(syn_doc *doc, const syn_span *spans, size_t count,
                                        syn_changes *out);

/* What the events of the log did when they were merged, found by replaying their concurrent parts:
 * for keeping beside an exported set.  Ask for spans in ascending order (each replay goes on where
 * the last one ended), and leave the document alone meanwhile.  SYN_ELIMIT: too much work, as of
 * a change that takes too much.  No effects: nothing in the span was concurrent, so that there is
 * nothing to keep.  Borrowed until the next call. */
typedef struct syn_effects syn_effects;
SYN_EXPORT syn_err syn_effects_new(syn_doc *doc, syn_effects **out);
SYN_EXPORT void syn_effects_free(syn_effects *effects);
SYN_EXPORT syn_err syn_effects_of(syn_effects *effects, syn_span span,
                                  const struct change_effect **out, uint32_t *count);

/* The id of the event at a log position, and the position of an id (UINT32_MAX: not here). */
SYN_EXPORT syn_id syn_doc_event_id(const syn_doc *doc, uint32_t position);
SYN_EXPORT uint32_t syn_doc_position(const syn_doc *doc, syn_id id);
/* The greatest critical version at or before a log position, not inside a run of unknown kind;
 * UINT32_MAX: none. */
SYN_EXPORT uint32_t syn_doc_critical(const syn_doc *doc, uint32_t position);

/* ---- Containers by name ---------------------------------------------------------------------- */

/* Who a container is, the same in every replica: entry 0 is a root or made by an event (of `peer`,
 * which has index 0), each other the mergeable child of the one before it, the last the container
 * itself.  Names are borrowed.  SYN_ELIMIT: deeper than cap. */
SYN_EXPORT syn_err syn_obj_chain(syn_doc *doc, syn_obj obj, struct change_container *chain,
                                 uint32_t cap, uint32_t *count, uint64_t *peer);
/* The container of a table entry.  SYN_EMISSING: not known here, or made by an event that is not
 * here; SYN_ELIMIT: nested deeper than 256. */
SYN_EXPORT syn_err syn_obj_find(syn_doc *doc, const struct change_container *table, uint32_t index,
                                const uint64_t *peers, syn_obj *out);

/* ---- Snapshots ------------------------------------------------------------------------------- */

struct snapshot_entry { /* MAP: one write; LIST: one slot */
    syn_str key;        /* MAP */
    struct change_value value;
    uint32_t peer, seq, lamport; /* MAP: who wrote it; LIST: the element's insert */
    bool gone;                   /* MAP: that write deleted the key */
    bool set;                    /* LIST: value comes from a LIST_SET: */
    uint32_t set_peer, set_seq, set_lamport;
};

struct snapshot_state {
    uint32_t container;
    syn_str text;                         /* TEXT */
    const struct snapshot_entry *entries; /* MAP: keys ascending, winner first; LIST: in order */
    uint32_t entry_count;
    int64_t counter; /* COUNTER */
};

/* The state at the document's version: every container that ever had an event.  A key whose only
 * write is a delete is left out, for whatever follows a critical version supersedes it. */
typedef struct syn_snapshot {
    const syn_id *heads;
    uint32_t head_count;
    uint32_t lamport;
    uint64_t events;
    const uint64_t *peers;
    const struct change_container *containers;
    const struct snapshot_state *states;
    uint32_t peer_count, container_count, state_count;
} syn_snapshot;

/* The current state, borrowed until the next non-const call. SYN_ENOMEM. */
SYN_EXPORT syn_err syn_doc_snapshot(syn_doc *doc, syn_snapshot *out);
/* Makes an empty document stand at the snapshot, without history below.  The snapshot must have
 * exactly one head. SYN_EMALFORMED, SYN_EMISUSE (not empty), SYN_ELIMIT, SYN_EUTF8, SYN_ENOMEM. */
SYN_EXPORT syn_err syn_doc_load(syn_doc *doc, const syn_snapshot *snapshot);

/* Adds the history below a document that was loaded from a snapshot.  `next` is called for the sets
 * of that history, parents first, until it gives NULL; together they must lead exactly to the
 * snapshot's version and state (checked: SYN_EMALFORMED).  Log positions move up by the events
 * added (returned). No event records: nothing changes for a reader. */
typedef const syn_changes *(*syn_next_fn)(void *user, syn_err *err);
SYN_EXPORT syn_err syn_doc_backfill(syn_doc *doc, syn_next_fn next, void *user, uint32_t *added);

/* The document rebuilt without the events of `peer` from seq `from` on and whatever stands on them.
 * base: NULL when the history is whole, else the snapshot that this document was loaded from.  The
 * events taken out come back in *removed (owned: free with syn_changes_free and mem NULL; NULL: not
 * wanted). Event records tell a reader what changed; containers keep their syn_obj.  SYN_ENOTFOUND:
 * no such events; SYN_EHISTORY: they lie at or below the snapshot, or it is needed and base is
 * NULL. */
SYN_EXPORT syn_err syn_doc_without(syn_doc *doc, const syn_snapshot *base, uint64_t peer,
                                   uint32_t from, syn_changes **removed);

/* A deep copy in one allocation from malloc-like `mem` (NULL: malloc), to be freed with
 * syn_changes_free and the same mem. */
SYN_EXPORT syn_err syn_changes_copy(const syn_mem *mem, const syn_changes *set, syn_changes **out);
SYN_EXPORT void syn_changes_free(const syn_mem *mem, syn_changes *set);

#ifdef __cplusplus
}
#endif
#endif
