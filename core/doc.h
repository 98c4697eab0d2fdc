/* doc.h -- the document from inside.
 *
 *     graph    who made which event after which     history  (graph.h)
 *     log      what the events did                  history, and the bytes of all text  (oplog.h)
 *     all      containers and their state           state  (container.h)
 *     plan     effects of the change being applied  scratch, on the desk  (plan.c)
 *     records  what changed                         for the caller to read  (record.c)
 *     pending  changes that wait for their parents  (pending.c)
 *
 * A change goes through the same three steps everywhere: append to graph and log; plan, which finds
 * where each operation acts today and refuses what cannot be; then reserve and carry out, which
 * cannot be refused.  Whatever fails before the last step is undone by setting counts back. */
#ifndef SYN_CORE_DOC_H
#define SYN_CORE_DOC_H

#include "container.h"
#include "flat.h"

/* Small, for the plan of a long history is as long. */
struct effect {
    uint32_t container;
    uint16_t kind; /* of an op that acts; deletes forward */
    bool fast;     /* nothing is concurrent with it */
    uint32_t pos, len;
    uint32_t at; /* into log.text or log.args */
    union {
        uint32_t bytes; /* TEXT_INSERT */
        lv_t lv;        /* all others */
    };
};

struct record {
    uint32_t kind; /* syn_event_kind */
    syn_obj obj;
    bool local;
    uint32_t pos, removed, inserted;
    uint32_t at, bytes; /* text; list: first of args */
    uint32_t key;
    struct op_arg value;
    int64_t delta;
};

/* How to take one operation of the open transaction back. */
struct undo {
    uint32_t container;
    uint32_t kind; /* the operation's */
    uint32_t pos, len;
    uint32_t
        saved; /* DELETE: offset in undo_bytes; MAP: index in undo_writes; LIST: in undo_slots */
    uint32_t saved_len;
    uint32_t key;
    int64_t delta;
    bool touched; /* had the container had an event before? */
};

struct transaction {
    bool open;
    struct oplog_mark log;
    uint32_t containers, names, records;
    ARRAY(struct undo) undo;
    ARRAY(char) bytes;
    ARRAY(struct map_write) writes;
    ARRAY(struct list_slot) slots;
};

/* What is left of the effects that came with the set being applied. */
struct given_effects {
    const struct change_effect *at; /* NULL: none came, merge */
    uint32_t left, used;            /* entries; events of the first */
};

struct pending_set {
    syn_changes *set;
    size_t bytes;
    syn_id missing;
};

/* From a number to 1 + its index in an exported table; 0: not in it yet. */
struct slots {
    ARRAY(uint32_t) index;
    ARRAY(uint32_t) used; /* the numbers that are not 0 */
};

/* Arrays that an exported set points into; reused by every export. */
struct export_buffers {
    ARRAY(uint64_t) peers;
    ARRAY(struct change_container) containers;
    ARRAY(struct change_run) runs;
    ARRAY(struct change_dep) deps;
    ARRAY(struct change_op) ops;
    ARRAY(syn_str) keys;
    ARRAY(struct change_value) values;
    ARRAY(syn_str) ext;
    ARRAY(char) text;
    struct slots agents, objects; /* 1 + index in peers, in containers */
    ARRAY(syn_id) parents;
    ARRAY(struct snapshot_state) states;
    ARRAY(struct snapshot_entry) entries;
    ARRAY(uint32_t) order;
    ARRAY(syn_span) spans;
    syn_id head;
};

/* What some calls work with, and a document at rest does without: made by the first call that
 * needs it, cleared away by syn_doc_trim. */
struct desk {
    ARRAY(struct effect) plan;
    struct given_effects given;
    bool fills;       /* the set being applied comes to an empty document, or goes on filling one,
                         of which nothing is to be told yet (doc_carry_part) */
    bool at_once;     /* ... and nobody will be: effects on it need not be planned */
    struct work work; /* of the change being applied, or the last one */
    lv_set parents;
    ARRAY(struct graph_question) previous; /* of runs being planned: asked together */
    lv_ranges order;                       /* of plan_set.c */
    struct dense dense;                    /* the same */
    struct flat_merge flat;                /* the same */
    lv_ranges spare_a, spare_b;            /* of graph_diff */
    ARRAY(uint32_t) where;                 /* of list sets */
    ARRAY(uint32_t) walk;                  /* of containers' parents */
    ARRAY(uint32_t) resolved;              /* containers of the set being applied */
    ARRAY(uint32_t) agents;                /* its peers' agents */
    uint32_t coming;   /* runs that the log will get by it, and by those expected after it */
    syn_obj last_root; /* a hint: the root that a set named last */
    struct export_buffers out;
    syn_fault fault;
    char error[200]; /* why the last call was refused */
};

struct syn_doc {
    syn_mem mem;
    const syn_mem
        *shared; /* what outlives graph, ropes and trackers when rebuild.c moves them: see there */
    struct graph *graph;
    struct oplog log;
    struct names names;
    struct containers all;

    uint64_t peer;
    uint32_t agent;          /* of peer, AGENT_NONE until it is in the graph */
    uint64_t base_events;    /* events below LV 0's stand-in, it included; 0: no base */
    struct transaction *txn; /* NULL: none was opened lately */

    bool keep_records;
    bool filling; /* the events expected go on filling a document that was empty */
    ARRAY(struct record) records;
    uint32_t records_visible;

    ARRAY(struct pending_set) pending;
    size_t pending_bytes, max_pending;

    uint32_t max_heads, max_events, max_value;
    uint32_t expected;   /* events that are still to come (syn_doc_expect) */
    uint64_t work_limit; /* of one change; 0: by its size */
    struct desk *desk;   /* NULL: cleared away */
};

/* Steps that merging so many events may take. */
static inline uint64_t doc_work_limit(const syn_doc *doc, uint32_t events)
{
    return doc->work_limit > 0 ? doc->work_limit : 100000000 + 64 * (uint64_t)events;
}

static inline bool in_transaction(const syn_doc *doc)
{
    return doc->txn != NULL && doc->txn->open;
}

/* Makes sure that the desk is there. */
syn_err desk_open(syn_doc *doc);

/* Notes why and returns err. */
syn_err doc_refuse(syn_doc *doc, syn_err err, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
#ifdef SYN_SMALL /* the texts would be a twentieth of the program: the error alone tells */
#define doc_refuse(doc, err, ...) (0 ? doc_refuse(doc, err, __VA_ARGS__) : (err))
#endif

/* What an event's parents can be refused for. */
static inline syn_err doc_refuse_parents(syn_doc *doc)
{
    return doc_refuse(doc, SYN_EMALFORMED, "a parent is an ancestor of another, or named twice");
}
static inline syn_err doc_refuse_previous(syn_doc *doc, syn_id event)
{
    return doc_refuse(doc, SYN_EMALFORMED,
                      "event %016llx:%u has not its peer's previous event among its ancestors",
                      (unsigned long long)event.peer, event.seq);
}

/* Does the document stand on a snapshot, without the history below? */
static inline bool has_base(const syn_doc *doc)
{
    return SNAPSHOTS && doc->base_events > 0;
}

/* Did the set being applied bring along what it does? */
static inline bool effects_given(const syn_doc *doc)
{
    return SHORT_CUTS && doc->desk->given.at != NULL;
}

/* ---- plan.c: what appended operations do to the state, and doing it */

struct doc_mark {
    struct oplog_mark log;
    uint32_t containers, names, records;
};
struct doc_mark doc_mark(const syn_doc *doc);
/* Takes back what was appended and planned since the mark. */
void doc_undo_append(syn_doc *doc, struct doc_mark mark);

/* Room for one op with so much content, appended by doc_append. */
static inline syn_err doc_reserve_append(syn_doc *doc, syn_obj container, size_t text,
                                         uint32_t args)
{
    syn_err err = oplog_reserve(&doc->log, &doc->mem, 1, text, args);
    if (err != SYN_OK || container == SYN_NO_OBJ) return err;
    struct container *c = container_at(&doc->all, container);
    return kind_is_sequence(c->id.kind) ? array_reserve(&doc->mem, &c->runs, 1) : SYN_OK;
}
/* Appends `len` events that graph_push has just added from lv on. */
void doc_append_run(syn_doc *doc, const struct op_run *run, uint32_t len, bool joins);
static inline void doc_append(syn_doc *doc, const struct op_run *run, uint32_t len, bool joins)
{
    if (joins && oplog_goes_on(&doc->log, run, len))
        doc->log.end += len;
    else
        doc_append_run(doc, run, len, joins);
}
/* Notes which containers have had events, of those that the set brought from LV `from` on. */
void doc_touch(syn_doc *doc, const syn_changes *set, lv_t from);
/* Does it change a container that is known here, in a way that is? */
static inline bool piece_acts(const struct op_piece *piece)
{
    return piece->container != SYN_NO_OBJ && piece->kind != OP_FIRST_UNKNOWN;
}
/* The effect of a piece that acts as it says, but for the bytes of text. */
static inline struct effect effect_of(const struct op_piece *piece, bool fast)
{
    return (struct effect){.container = piece->container,
                           .kind = (uint16_t)piece->kind,
                           .pos = piece->pos,
                           .len = piece->end - piece->from,
                           .at = piece->at,
                           .lv = piece->from,
                           .fast = fast};
}
/* Plans the effects of some events of one op that nothing here is concurrent with: all that was
 * planned or applied are their ancestors.  SYN_ERANGE, SYN_ENOMEM. */
syn_err doc_plan(syn_doc *doc, const struct op_piece *piece);
/* The same of one that acts, on the container c. */
syn_err doc_plan_on(syn_doc *doc, struct container *c, const struct op_piece *piece);
/* Plans an effect on the sequence c, or, in a document that is being filled, does it at once.
 * insert: its bytes are found out; delete: of whatever kind it was said to be.  SYN_ELIMIT,
 * SYN_ENOMEM. */
syn_err doc_plan_insert(syn_doc *doc, struct container *c, struct effect effect);
syn_err doc_plan_delete(syn_doc *doc, struct container *c, struct effect effect);
/* Lets the merge of its sequence go, if it is time to (merge_is_stale). */
void doc_drop_stale(syn_doc *doc, const struct op_piece *piece);
/* The same of a sequence; or lets it follow (merge_follow).  All below `now` has been applied.
 * (live.c) */
void doc_tend_merge(syn_doc *doc, struct container *c, lv_t now);
/* Plans the effects of an op on the sequence c whose window desk->flat merges; the window's effects
 * are those from index `first` of the plan on. */
syn_err doc_plan_flat(syn_doc *doc, struct container *c, const struct op_piece *piece,
                      uint32_t first);
/* plan_set.c: plans all events from `from` on, appended but not planned.  check: it is still to be
 * asked of them whether parents are antichains and the peer's previous event comes before.  *fault:
 * on SYN_ERANGE and SYN_EMALFORMED, an event that cannot be. */
syn_err doc_plan_set(syn_doc *doc, lv_t from, bool check, lv_t *fault);
/* The same of events that come in the order of the log, with what they did: doc->given.  fast:
 * nothing is concurrent with them.  SYN_EDAMAGED: that cannot be what they did. */
syn_err doc_plan_given(syn_doc *doc, const struct op_piece *piece, bool fast);
/* Either of them for `len` events that the run begins with, on the text `c`, whose content has so
 * many bytes: the short way. */
syn_err doc_plan_text(syn_doc *doc, struct container *c, const struct op_run *run, uint32_t len,
                      uint32_t bytes, bool fast);
/* Takes what some next events, at least one and at most `most`, did: alike, *by.  SYN_EDAMAGED:
 * nothing is left. */
static inline syn_err effects_take(struct given_effects *given, uint32_t most, uint32_t *len,
                                   int32_t *by)
{
    if (given->left == 0) return SYN_EDAMAGED;
    uint32_t here = given->at->len - given->used;
    *len = here < most ? here : most;
    *by = given->at->by;
    given->used += *len;
    if (here > *len) return SYN_OK;
    given->at++, given->left--;
    given->used = 0;
    return *len > 0 ? SYN_OK : SYN_EDAMAGED;
}
/* Reserves and carries out the plan; nothing is changed on an error. */
syn_err doc_carry_out(syn_doc *doc, bool local);
/* What a plan grows to, where it need not be whole before any of it is carried out. */
#ifdef SYN_STRESS
#define PLAN_PART 3
#else
#define PLAN_PART 512
#endif
/* Carries out what is planned so far, when it is much and the set fills an empty document: to take
 * that back is to empty it again, whereas all effects of a long history take more memory than the
 * history.  No effect that is planned may be taken back afterwards. */
static inline syn_err doc_carry_part(syn_doc *doc)
{
    if (doc->desk->plan.n < PLAN_PART || !doc->desk->fills) return SYN_OK;
    return doc_carry_out(doc, false);
}
void drop_merge(syn_doc *doc, struct container *c);

/* ---- value.c */
/* SYN_EMALFORMED, SYN_EUTF8, SYN_ELIMIT.  in_map: mergeable children may stand there. */
syn_err value_check(syn_doc *doc, const struct change_value *value, bool in_map);
/* Fills *arg (its key is set), its bytes pushed behind the log's text, its child made known;
 * written by event (agent, seq) under arg->key of `map`. */
syn_err value_keep(syn_doc *doc, const struct change_value *value, syn_obj map, uint32_t agent,
                   uint32_t seq, struct op_arg *arg);
void value_push_bytes(syn_doc *doc, syn_str bytes, uint32_t *off); /* room was reserved */
struct change_value value_give(const syn_doc *doc, const struct op_arg *arg); /* borrowed */
bool value_is(const syn_doc *doc, const struct op_arg *arg, const struct change_value *value);

/* ---- record.c */
static inline syn_err records_reserve(syn_doc *doc, uint32_t more)
{
    return doc->keep_records ? array_reserve(&doc->mem, &doc->records, more) : SYN_OK;
}
void records_add_text(syn_doc *doc, syn_obj obj, bool local, uint32_t pos, uint32_t removed,
                      uint32_t inserted, uint32_t at, uint32_t bytes);
static inline void records_text(syn_doc *doc, syn_obj obj, bool local, uint32_t pos,
                                uint32_t removed, uint32_t inserted, uint32_t at, uint32_t bytes)
{
    if (doc->keep_records) records_add_text(doc, obj, local, pos, removed, inserted, at, bytes);
}
void records_list(syn_doc *doc, syn_obj obj, bool local, uint32_t pos, uint32_t removed,
                  uint32_t inserted, uint32_t at);
void records_push(syn_doc *doc, struct record record);

/* ---- others */
/* Containers of a value or id, made known.  SYN_ENOMEM, SYN_ELIMIT. */
/* A value as readers see it; its bytes lie at arg's offset in `bytes`. */
syn_value arg_value(const struct op_arg *arg, const char *bytes);
syn_value doc_value(const syn_doc *doc, const struct op_arg *arg);
syn_str doc_blob(const syn_doc *doc, const struct op_arg *arg);
syn_id doc_id(const syn_doc *doc, lv_t lv);
/* 0..: the LV of an event, LV_NONE: not here. */
lv_t doc_find(const syn_doc *doc, syn_id id);
syn_err doc_add_child(syn_doc *doc, uint32_t agent, uint32_t seq, uint32_t kind, syn_obj *obj);
/* The value by which the event made a container of that kind? */
bool doc_made_child(const syn_doc *doc, lv_t lv, uint32_t kind);
/* Is the event here that made the container?  Numbers outlive it: after a rollback, or without a
 * tail. */
bool doc_container_exists(const syn_doc *doc, syn_obj obj);
syn_err doc_add_mergeable(syn_doc *doc, syn_obj map, uint32_t key, uint32_t kind, syn_obj *obj);
extern const syn_mem mem_malloc;          /* malloc, behind the hook */
void ids_sort(syn_id *ids, size_t count); /* by (peer, seq) */
void doc_free_parts(syn_doc *doc);        /* all but the struct itself */
void doc_fit(syn_doc *doc);               /* gives spare room back: after loading */

/* ---- doc.c, snapshot.c, rebuild.c */
/* shared NULL: the document's own. */
syn_err doc_new(syn_doc **out, const syn_doc_config *config, const syn_mem *shared);
/* Fills a fresh document; on an error the document is good for nothing but syn_doc_free. */
syn_err load_into(syn_doc *doc, const syn_snapshot *snapshot);
/* Do two documents that number their containers alike show the same state?  (compare.c) */
syn_err states_equal(const syn_doc *a, const syn_doc *b, bool *equal);
/* Records in `to` of what must change for its reader, who saw `from`.  Both number containers
 * alike. */
syn_err record_differences(const syn_doc *from, syn_doc *to);

/* Bytes that syn_changes_copy will take. */
size_t changes_footprint(const syn_changes *set);

/* ---- reserve.c */
/* Room for the tables of a set, and for its runs if all are of this container. */
syn_err doc_reserve_set(syn_doc *doc, const syn_changes *set);
syn_err doc_reserve_runs(syn_doc *doc, const syn_changes *set, syn_obj obj);
/* Some events of those that were expected: when all are here, spare room is given back. */
void doc_came(syn_doc *doc, uint32_t events);

/* ---- live.c, shape.c, apply.c, pending.c */
/* Do the tables of a set fit one another?  *ascii: all its text is.  SYN_EMALFORMED, SYN_EUTF8,
 * SYN_EUNSUPPORTED. */
syn_err check_shape(syn_doc *doc, const syn_changes *set, bool *ascii);
/* A single operation on a text that goes on where the last event stands.  false: it is not that
 * simple, and nothing was done. */
bool apply_live(syn_doc *doc, const syn_changes *set);
syn_err apply_set(syn_doc *doc, const syn_changes *set, syn_applied *out);
/* Keeps a copy of a set that waits for doc->fault.missing. SYN_ELIMIT: the buffer is full. */
syn_err pending_keep(syn_doc *doc, const syn_changes *set);
/* Applies what has become possible. */
void pending_retry(syn_doc *doc, syn_applied *out);
void pending_free(syn_doc *doc);

/* Checks on names, shared by local edits, remote changes and snapshots. */
syn_err check_key(syn_doc *doc, syn_str key);
syn_err check_root_name(syn_doc *doc, syn_str name);

#define KEY_MAX        1024u
#define NAME_MAX_BYTES 255u

#endif
