/* decode_changes.c -- one Changes message, from columns to change.h's tables.
 *
 * Order of work: tables of peers and containers; op runs, summing what they make and take; then, as
 * now all counts are known and bounded, the queues (text, keys, values, nodes, ext) and the runs.
 * Positions and seqs become absolute.  Left to core: whether parents and containers exist and
 * positions lie inside. */
#include "wire.h"
#include "utf8.h"
#include "syncline.pb-c.h"

enum { /* field numbers */
       F_PEERS = 1,
       F_RUN_PEER = 2,
       F_RUN_SEQ = 3,
       F_RUN_LEN = 4,
       F_RUN_DEPS = 5,
       F_DEP_PEER = 6,
       F_DEP_SEQ = 7,
       F_CONTAINERS = 8,
       F_OP_CONTAINER = 9,
       F_OP_KIND = 10,
       F_OP_LEN = 11,
       F_OP_POS = 12,
       F_TEXT = 13,
       F_KEYS = 14,
       F_VAL_BLOB = 15,
       F_VAL_KIND = 16,
       F_VAL_INT = 17,
       F_VAL_REAL = 18,
       F_OP_ARG = 19,
       F_ID_PEER = 20,
       F_ID_SEQ = 21,
       F_EXT = 22,
       F_RUN_TIME = 23,
       F_FORMAT = 24,
       F_AUTHOR = 25,
};

struct reading {
    struct decoding *d;
    const struct field *f;
    syn_changes *out;
    size_t bytes; /* of the message */
    /* what the op runs make and take */
    uint64_t events, scalars, keys, values, nodes, ext;
    bool atoms; /* MARK or unknown kinds: events that belong together */
};

static syn_err malformed(struct reading *r, const char *why)
{
    return refuse(r->d->fault, CODE_MALFORMED, "Changes: %s", why);
}

/* ---- Tables ---------------------------------------------------------------------------------- */

static syn_err read_containers(struct reading *r, const struct proto_tables *tables)
{
    syn_changes *out = r->out;
    if (r->f[F_CONTAINERS].count > 0)
        return decode_containers(r->d, &r->f[F_CONTAINERS], out->peer_count, &out->containers,
                                 &out->container_count);
    if (tables == NULL || tables->container_count == 0) {
        out->containers = &root_container;
        out->container_count = 1;
        return SYN_OK;
    }
    out->containers = tables->containers;
    out->container_count = tables->container_count;
    return SYN_OK;
}

static syn_err read_tables(struct reading *r, const struct proto_tables *tables)
{
    syn_changes *out = r->out;
    if (r->f[F_PEERS].count > 0) {
        syn_err err =
            decode_peers(r->d, &r->f[F_PEERS], r->d->max_peers, &out->peers, &out->peer_count);
        if (err != SYN_OK) return err;
    } else if (tables == NULL || tables->peer_count == 0) {
        return malformed(r, "no peers, and the channel has none");
    } else {
        out->peers = tables->peers;
        out->peer_count = tables->peer_count;
    }
    return read_containers(r, tables);
}

/* ---- Op runs --------------------------------------------------------------------------------- */

static bool fits_container(const struct op_form *form, uint32_t kind)
{
    return form->fits == ANY_CONTAINER || (kind <= SYN_TREE && (form->fits >> kind & 1) != 0);
}

static syn_err check_op(struct reading *r, const struct change_op *op, const struct op_form *form)
{
    if (op->kind > OP_NOTHING && op->kind < OP_FIRST_UNKNOWN)
        return refuse(r->d->fault, CODE_MALFORMED, "Changes: op kind %u", op->kind);
    if (op->container >= r->out->container_count)
        return malformed(r, "op_container outside the table");
    if (!fits_container(form, r->out->containers[op->container].kind))
        return refuse(r->d->fault, CODE_MALFORMED, "Changes: op kind %u in container kind %u",
                      op->kind, r->out->containers[op->container].kind);
    if (op->len == 0) return malformed(r, "op_len 0");
    if (op->len > SEQ_MAX) return malformed(r, "op_len too large");
    if (op->kind == OP_LIST_MOVE && op->len != 1) return malformed(r, "LIST_MOVE of op_len not 1");
    if (op->arg > form->max_arg) return malformed(r, "op_arg too large");
    return SYN_OK;
}

struct caret {
    uint32_t container;
    int64_t pos;
    bool set, in_text; /* the container is a text */
};

static syn_err place_op(struct reading *r, struct change_op *op, int64_t delta, struct caret *caret)
{
    int64_t base = caret->set && caret->container == op->container ? caret->pos : 0;
    int64_t pos = base + delta;
    if (pos < 0 || pos > (int64_t)SEQ_MAX - (op->kind == OP_DELETE_BACK ? 0 : op->len))
        return malformed(r, "position out of range");
    if (op->kind == OP_DELETE_BACK && op->len > pos + 1)
        return malformed(r, "DELETE_BACK beyond the start");
    op->pos = (uint32_t)pos;
    *caret = (struct caret){.container = op->container, .pos = op_caret(op), .set = true};
    if (SHORT_CUTS) caret->in_text = r->out->containers[op->container].kind == SYN_TEXT;
    return SYN_OK;
}

static void count_taken(struct reading *r, const struct change_op *op, const struct op_form *form)
{
    uint64_t takes = op_takes(op);
    if (form->keys) r->keys += takes;
    if (form->values) r->values += takes;
    r->nodes += takes * form->nodes;
    if (op->kind >= OP_FIRST_UNKNOWN) r->ext++;
    if (form->one_piece) r->atoms = true;
}

static syn_err read_op(struct reading *r, struct change_op *op, int64_t delta, struct caret *caret)
{
    const struct op_form *form = op_form(op->kind);
    syn_err err = check_op(r, op, form);
    if (err != SYN_OK) return err;
    if (form->caret != CARET_NONE)
        err = place_op(r, op, delta, caret);
    else if (delta != 0)
        err = malformed(r, "op_pos of an operation without position");
    if (op->kind == OP_TEXT_INSERT)
        r->scalars += op->len;
    else if (op->kind > OP_DELETE_BACK)
        count_taken(r, op, form);
    r->events += op_events(op);
    if (r->events > r->d->max_events)
        return refuse(r->d->fault, CODE_LIMIT, "more than %u events", r->d->max_events);
    return err;
}

/* The same for what nearly all ops of large sets are: typing and deleting in the text that the
 * caret is in.  false: something else, or something wrong with it, and nothing was done. */
static inline bool read_text_op(struct reading *r, struct change_op *op, int64_t delta,
                                struct caret *caret)
{
    bool back = op->kind == OP_DELETE_BACK;
    int64_t pos = caret->pos + delta, len = op->len;
    if (op->kind > OP_DELETE_BACK || op->container != caret->container || !caret->in_text)
        return false;
    if (op->arg != 0 || len == 0 || len > SEQ_MAX || pos < 0 || pos > SEQ_MAX) return false;
    if (back ? len > pos + 1 : len > SEQ_MAX - pos) return false;
    if (r->events + op->len > r->d->max_events) return false;
    op->pos = (uint32_t)pos;
    r->events += op->len;
    if (op->kind == OP_TEXT_INSERT) {
        r->scalars += op->len;
        caret->pos = pos + len;
    } else {
        caret->pos = back ? pos + 1 - len : pos;
    }
    return true;
}

static const uint8_t op_columns[] = {F_OP_CONTAINER, F_OP_KIND, F_OP_LEN, F_OP_POS, F_OP_ARG, 0};

struct op_columns {
    const uint8_t *container, *kind, *len, *pos, *arg;
};

static syn_err op_columns_of(struct reading *r, uint32_t rows, struct op_columns *c)
{
    struct proto_fault *fault = r->d->fault;
    const struct field *f = r->f;
    syn_err err = numbers_of(&f[F_OP_CONTAINER], rows, "op_container", fault, &c->container);
    if (err == SYN_OK) err = numbers_of(&f[F_OP_KIND], rows, "op_kind", fault, &c->kind);
    if (err == SYN_OK) err = numbers_of(&f[F_OP_LEN], rows, "op_len", fault, &c->len);
    if (err == SYN_OK) err = numbers_of(&f[F_OP_POS], rows, "op_pos", fault, &c->pos);
    if (err == SYN_OK) err = numbers_of(&f[F_OP_ARG], rows, "op_arg", fault, &c->arg);
    return err;
}

static syn_err read_ops(struct reading *r)
{
    struct proto_fault *fault = r->d->fault;
    uint32_t count = column_rows(r->f, op_columns, 1);
    if (count > r->d->max_events) /* each makes one at least */
        return refuse(fault, CODE_LIMIT, "more than %u events", r->d->max_events);
    struct change_op *ops = arena_array(r->d->arena, count, sizeof *ops);
    if (ops == NULL) return refuse_memory(r->d->arena, fault);
    struct op_columns columns = {0};
    syn_err err = op_columns_of(r, count, &columns);
    struct op_columns c = columns; /* whose address nobody has: it stays in registers */
    struct caret caret = {0};
    for (uint32_t i = 0; err == SYN_OK && i < count; i++) {
        struct change_op *op = &ops[i];
        *op = (struct change_op){.kind = (uint32_t)next_number(&c.kind),
                                 .container = (uint32_t)next_number(&c.container),
                                 .len = c.len != NULL ? (uint32_t)next_number(&c.len) : 1,
                                 .arg = (uint32_t)next_number(&c.arg)};
        int64_t delta = unzigzag(next_number(&c.pos));
        if (!SHORT_CUTS || !read_text_op(r, op, delta, &caret)) err = read_op(r, op, delta, &caret);
    }
    r->out->ops = ops;
    r->out->op_count = count;
    return err;
}

/* ---- Queues ---------------------------------------------------------------------------------- */

/* Memory for what is taken must have been paid for in bytes, small messages excepted. */
static syn_err check_taken(struct reading *r)
{
    uint64_t taken = r->keys + r->values + r->nodes;
    if (taken <= LIMIT_TAKEN_FREE || taken <= r->bytes) return SYN_OK;
    return refuse(r->d->fault, CODE_LIMIT, "operations take more than there is");
}

static syn_err read_text(struct reading *r)
{
    syn_str text = field_str(&r->f[F_TEXT]);
    size_t scalars = 0;
    if (text.len > 0 && !utf8_valid(text.data, text.len, &scalars))
        return refuse_utf8(r->d->fault, "Changes: text");
    if (scalars != r->scalars) return malformed(r, "text has not as many scalars as inserted");
    r->out->text = text;
    return SYN_OK;
}

static syn_err read_key(struct reading *r, struct column *column, uint32_t op_kind, syn_str *key)
{
    *key = column_bytes(column);
    bool order = op_kind == OP_TREE_CREATE || op_kind == OP_TREE_MOVE;
    if (!order) return check_name(r->d->fault, *key, LIMIT_KEY_BYTES, "key");
    if (key->len > LIMIT_ORDER_BYTES)
        return refuse(r->d->fault, CODE_LIMIT, "order key of more than %u bytes",
                      LIMIT_ORDER_BYTES);
    return SYN_OK;
}

static syn_err read_keys(struct reading *r)
{
    struct column column = column_of(&r->f[F_KEYS]);
    if (r->keys == 0) return column_done(&column, "keys", r->d->fault);
    syn_str *keys = arena_array(r->d->arena, r->keys, sizeof *keys);
    if (keys == NULL) return refuse_memory(r->d->arena, r->d->fault);
    uint32_t n = 0;
    for (uint32_t i = 0; i < r->out->op_count; i++) {
        const struct change_op *op = &r->out->ops[i];
        if (!op_takes_keys(op->kind)) continue;
        for (uint64_t k = op_takes(op); k > 0; k--) {
            syn_err err = read_key(r, &column, op->kind, &keys[n++]);
            if (err != SYN_OK) return err;
        }
    }
    r->out->keys = keys;
    r->out->key_count = n;
    return column_done(&column, "keys", r->d->fault);
}

static syn_err read_op_values(struct reading *r, const struct change_op *op,
                              struct value_columns *columns, struct change_value *values)
{
    enum value_place place = op->kind == OP_MAP_SET ? PLACE_MAP
                             : op->kind == OP_MARK  ? PLACE_MARK
                                                    : PLACE_LIST;
    for (uint64_t k = 0; k < op_takes(op); k++) {
        if (op->kind == OP_COUNTER_ADD) {
            values[k] =
                (struct change_value){.kind = SYN_VALUE_INT, .i = column_zigzag(&columns->ints)};
            continue;
        }
        syn_err err = decode_value(r->d, columns, place, &values[k]);
        if (err != SYN_OK) return err;
    }
    return SYN_OK;
}

static syn_err read_values(struct reading *r)
{
    struct value_columns columns = {
        .kinds = column_of(&r->f[F_VAL_KIND]),
        .blobs = column_of(&r->f[F_VAL_BLOB]),
        .ints = column_of(&r->f[F_VAL_INT]),
        .reals = column_of(&r->f[F_VAL_REAL]),
    };
    if (r->values == 0) return values_done(&columns, r->d->fault);
    struct change_value *values = arena_array(r->d->arena, r->values, sizeof *values);
    if (values == NULL) return refuse_memory(r->d->arena, r->d->fault);
    uint32_t n = 0;
    for (uint32_t i = 0; i < r->out->op_count; i++) {
        const struct change_op *op = &r->out->ops[i];
        if (!op_takes_values(op->kind)) continue;
        syn_err err = read_op_values(r, op, &columns, values + n);
        if (err != SYN_OK) return err;
        n += (uint32_t)op_takes(op);
    }
    r->out->values = values;
    r->out->value_count = n;
    return values_done(&columns, r->d->fault);
}

static syn_err read_nodes(struct reading *r)
{
    struct column peer = column_of(&r->f[F_ID_PEER]), seq = column_of(&r->f[F_ID_SEQ]);
    struct change_node *nodes = NULL;
    if (r->nodes > 0) {
        nodes = arena_array(r->d->arena, r->nodes, sizeof *nodes);
        if (nodes == NULL) return refuse_memory(r->d->arena, r->d->fault);
    }
    for (uint64_t i = 0; i < r->nodes; i++) {
        nodes[i].peer_plus1 = (uint32_t)column_varint(&peer);
        nodes[i].seq = (uint32_t)column_varint(&seq);
        if (nodes[i].peer_plus1 > r->out->peer_count || nodes[i].seq > SEQ_MAX ||
            (nodes[i].peer_plus1 == 0 && nodes[i].seq != 0))
            return malformed(r, "an impossible tree node");
    }
    r->out->nodes = nodes;
    r->out->node_count = (uint32_t)r->nodes;
    syn_err err = column_done(&peer, "id_peer", r->d->fault);
    return err != SYN_OK ? err : column_done(&seq, "id_seq", r->d->fault);
}

static syn_err read_ext(struct reading *r)
{
    struct column column = column_of(&r->f[F_EXT]);
    syn_str *ext = NULL;
    if (r->ext > 0) {
        ext = arena_array(r->d->arena, r->ext, sizeof *ext);
        if (ext == NULL) return refuse_memory(r->d->arena, r->d->fault);
    }
    for (uint64_t i = 0; i < r->ext; i++) {
        ext[i] = column_bytes(&column);
        if (ext[i].len > r->d->max_value)
            return refuse(r->d->fault, CODE_LIMIT, "ext of more than %u bytes", r->d->max_value);
    }
    r->out->ext = ext;
    r->out->ext_count = (uint32_t)r->ext;
    return column_done(&column, "ext", r->d->fault);
}

static syn_err read_queues(struct reading *r)
{
    syn_err err = read_keys(r);
    if (err == SYN_OK) err = read_values(r);
    if (err == SYN_OK) err = read_nodes(r);
    return err == SYN_OK ? read_ext(r) : err;
}

/* The usual case: nothing is taken from the other queues, and nothing is in them. */
static bool only_text(const struct reading *r)
{
    const struct field *f = r->f;
    return (r->keys | r->values | r->nodes | r->ext) == 0 &&
           (f[F_KEYS].count | f[F_VAL_BLOB].count | f[F_VAL_KIND].count | f[F_VAL_INT].count |
            f[F_VAL_REAL].count | f[F_ID_PEER].count | f[F_ID_SEQ].count | f[F_EXT].count) == 0;
}

/* ---- Runs ------------------------------------------------------------------------------------ */

/* Per peer: the end of its last run here, and the seq named last. */
struct peer_mark {
    uint32_t end, named;
};

enum { FEW_PEERS = 8 }; /* whose marks need no memory of their own */

struct run_reading {
    const uint8_t *peer, *seq, *len, *deps, *dep_peer, *dep_seq; /* columns */
    struct peer_mark *marks;
    struct change_run *runs;
    struct change_dep *parents;
    uint32_t parent_count;
};

static syn_err read_run(struct reading *r, struct run_reading *rr, struct change_run *run)
{
    uint64_t peer = next_number(&rr->peer);
    if (peer >= r->out->peer_count) return malformed(r, "run_peer outside the table");
    uint64_t seq = next_number(&rr->seq) + rr->marks[peer].end;
    uint64_t len = rr->len != NULL ? next_number(&rr->len) : r->events;
    if (len == 0) return malformed(r, "run_len 0");
    if (seq + len > (uint64_t)SEQ_MAX + 1) return malformed(r, "seq too large");
    *run = (struct change_run){.peer = (uint32_t)peer, .seq = (uint32_t)seq, .len = (uint32_t)len};
    return SYN_OK;
}

static bool dep_before(const syn_changes *set, const struct change_dep *a,
                       const struct change_dep *b)
{
    uint64_t pa = set->peers[a->peer], pb = set->peers[b->peer];
    return pa != pb ? pa < pb : a->seq < b->seq;
}

static syn_err read_dep(struct reading *r, struct run_reading *rr, const struct change_run *run,
                        struct change_dep *dep)
{
    uint64_t peer = next_number(&rr->dep_peer);
    if (peer >= r->out->peer_count) return malformed(r, "dep_peer outside the table");
    int64_t seq = unzigzag(next_number(&rr->dep_seq)) + rr->marks[peer].named;
    if (seq < 0 || seq > SEQ_MAX) return malformed(r, "dep_seq out of range");
    *dep = (struct change_dep){.peer = (uint32_t)peer, .seq = (uint32_t)seq};
    rr->marks[peer].named = (uint32_t)seq;
    /* The previous event is an ancestor: an older one beside it would be no antichain. */
    if (peer == run->peer && (uint64_t)seq + 1 != run->seq)
        return malformed(r, "a parent of the same peer that is not its previous event");
    return SYN_OK;
}

static syn_err read_deps(struct reading *r, struct run_reading *rr, struct change_run *run)
{
    uint64_t count = next_number(&rr->deps);
    if (count == 0) return SYN_OK;
    if (count > r->d->max_parents)
        return refuse(r->d->fault, CODE_LIMIT, "more than %u parents", r->d->max_parents);
    struct change_dep *deps = rr->parents + rr->parent_count;
    for (uint32_t i = 0; i < count; i++) {
        syn_err err = read_dep(r, rr, run, &deps[i]);
        if (err != SYN_OK) return err;
        if (i > 0 && !dep_before(r->out, &deps[i - 1], &deps[i]))
            return malformed(r, "parents are not in order");
    }
    bool default_parent = count == 1 && deps[0].peer == run->peer;
    if (!default_parent) {
        run->explicit_parents = true;
        run->dep_count = (uint32_t)count;
        rr->parent_count += (uint32_t)count;
    }
    return SYN_OK;
}

/* How many parents the runs ask for. */
static uint64_t count_parents(const struct field *deps)
{
    const uint8_t *at = deps->at;
    uint64_t sum = 0;
    for (uint32_t i = deps->count; i > 0; i--) sum += read_checked(&at);
    return sum;
}

/* Room for all parents; absent dep_ columns can name one parent each at most. */
static syn_err dep_columns_of(struct reading *r, struct run_reading *rr, uint32_t runs)
{
    static const uint8_t dep_columns[] = {F_DEP_PEER, F_DEP_SEQ, 0};
    const struct field *f = r->f;
    uint64_t sum = count_parents(&f[F_RUN_DEPS]);
    if (sum > column_rows(f, dep_columns, runs)) return malformed(r, "dep_ has too few entries");
    syn_err err = numbers_of(&f[F_DEP_PEER], sum, "dep_peer", r->d->fault, &rr->dep_peer);
    if (err == SYN_OK) err = numbers_of(&f[F_DEP_SEQ], sum, "dep_seq", r->d->fault, &rr->dep_seq);
    if (err != SYN_OK || sum == 0) return err;
    rr->parents = arena_array(r->d->arena, sum, sizeof *rr->parents);
    return rr->parents == NULL ? refuse_memory(r->d->arena, r->d->fault) : SYN_OK;
}

static syn_err run_columns_of(struct reading *r, struct run_reading *rr, uint32_t rows)
{
    struct proto_fault *fault = r->d->fault;
    const struct field *f = r->f;
    syn_err err = numbers_of(&f[F_RUN_PEER], rows, "run_peer", fault, &rr->peer);
    if (err == SYN_OK) err = numbers_of(&f[F_RUN_SEQ], rows, "run_seq", fault, &rr->seq);
    if (err == SYN_OK) err = numbers_of(&f[F_RUN_LEN], rows, "run_len", fault, &rr->len);
    if (err == SYN_OK) err = numbers_of(&f[F_RUN_DEPS], rows, "run_deps", fault, &rr->deps);
    return err == SYN_OK ? dep_columns_of(r, rr, rows) : err;
}

static syn_err walk_runs(struct reading *r, struct run_reading *rr, uint32_t count)
{
    uint64_t events = 0;
    for (uint32_t i = 0; i < count; i++) {
        struct change_run *run = &rr->runs[i];
        syn_err err = read_run(r, rr, run);
        if (err == SYN_OK) err = read_deps(r, rr, run);
        if (err != SYN_OK) return err;
        rr->marks[run->peer] =
            (struct peer_mark){.end = run->seq + run->len, .named = run->seq + run->len - 1};
        events += run->len;
    }
    return events == r->events ? SYN_OK : malformed(r, "runs and operations differ in events");
}

static syn_err read_runs(struct reading *r)
{
    static const uint8_t run_columns[] = {F_RUN_PEER, F_RUN_SEQ,  F_RUN_LEN,
                                          F_RUN_DEPS, F_RUN_TIME, 0};
    const struct field *f = r->f;
    uint32_t count = column_rows(f, run_columns, 1);
    if (count > 1 && f[F_RUN_LEN].count == 0) return malformed(r, "run_len is missing");
    if (count > r->events) return malformed(r, "runs and operations differ in events");
    struct peer_mark few[FEW_PEERS];
    struct run_reading rr = {.marks = few};
    uint32_t peers = r->out->peer_count;
    if (peers > FEW_PEERS) rr.marks = arena_array(r->d->arena, peers, sizeof *rr.marks);
    rr.runs = arena_array(r->d->arena, count, sizeof *rr.runs);
    if (rr.marks == NULL || rr.runs == NULL) return refuse_memory(r->d->arena, r->d->fault);
    memset(rr.marks, 0, peers * sizeof *rr.marks);
    syn_err err = run_columns_of(r, &rr, count);
    if (err == SYN_OK) err = walk_runs(r, &rr, count);
    r->out->runs = rr.runs;
    r->out->run_count = count;
    r->out->deps = rr.parents;
    r->out->dep_count = rr.parent_count;
    return err;
}

/* A mark's two events, and those of an op run of unknown kind, lie in one run. */
static syn_err check_atoms(struct reading *r)
{
    const syn_changes *set = r->out;
    uint64_t event = 0, run_end = set->runs[0].len;
    uint32_t run = 0;
    for (uint32_t i = 0; i < set->op_count; i++) {
        const struct change_op *op = &set->ops[i];
        while (event >= run_end) run_end += set->runs[++run].len;
        event += op_events(op);
        if (op_form(op->kind)->one_piece && event > run_end)
            return malformed(r, "a run is cut inside a mark or an unknown operation");
    }
    return SYN_OK;
}

/* ---- What servers add ------------------------------------------------------------------------ */

static syn_err read_times(struct reading *r)
{
    const uint8_t *column;
    syn_err err =
        numbers_of(&r->f[F_RUN_TIME], r->out->run_count, "run_time", r->d->fault, &column);
    if (err != SYN_OK || column == NULL) return err;
    int64_t *times = arena_array(r->d->arena, r->out->run_count, sizeof *times);
    if (times == NULL) return refuse_memory(r->d->arena, r->d->fault);
    uint64_t time = 0; /* modulo 2^64: nobody computes with it */
    for (uint32_t i = 0; i < r->out->run_count; i++) {
        time += (uint64_t)unzigzag(next_number(&column));
        times[i] = (int64_t)time;
    }
    r->out->run_time = times;
    return SYN_OK;
}

static syn_err read_authors(struct reading *r)
{
    struct column column = column_of(&r->f[F_AUTHOR]);
    if (column.left != r->f[F_PEERS].count)
        return malformed(r, "author and peers differ in length");
    syn_str *authors = arena_array(r->d->arena, r->out->peer_count, sizeof *authors);
    if (authors == NULL) return refuse_memory(r->d->arena, r->d->fault);
    for (uint32_t i = 0; i < r->out->peer_count; i++) {
        authors[i] = i < r->f[F_PEERS].count ? column_bytes(&column) : (syn_str){0};
        syn_err err = check_name(r->d->fault, authors[i], LIMIT_USER_BYTES, "author");
        if (err != SYN_OK) return err;
    }
    r->out->author = authors;
    return SYN_OK;
}

static syn_err without_unused(struct reading *r, const struct proto_tables *tables)
{
    bool own_peers = r->f[F_PEERS].count > 0, own_containers = r->f[F_CONTAINERS].count > 0;
    if (own_peers && (own_containers || tables->container_count == 1)) return SYN_OK;
    if (!NAMES) return SYN_OK; /* a peer and a container, all used */
    return only_used_tables(r->d, tables, own_peers, own_containers, r->out);
}

syn_err decode_changes(struct decoding *d, const void *bytes, size_t len,
                       const struct proto_tables *tables, syn_changes *out)
{
    struct field fields[WIRE_FIELDS];
    memset(out, 0, sizeof *out);
    syn_err err = wire_split(&syncline__v1__changes__descriptor, bytes, len, UNKNOWN_REFUSED,
                             fields, NULL, d->fault);
    if (err != SYN_OK) return err;
    if (fields[F_FORMAT].value != 0)
        return refuse(d->fault, CODE_VERSION, "Changes of format %llu, a later version's",
                      (unsigned long long)fields[F_FORMAT].value);
    struct reading r = {.d = d, .f = fields, .out = out, .bytes = len};
    err = read_tables(&r, tables);
    if (err == SYN_OK) err = read_ops(&r);
    if (err == SYN_OK) err = check_taken(&r);
    if (err == SYN_OK) err = read_text(&r);
    if (err == SYN_OK && !only_text(&r)) err = read_queues(&r);
    if (err == SYN_OK) err = read_runs(&r);
    if (err == SYN_OK && r.atoms) err = check_atoms(&r);
    if (err == SYN_OK) err = read_times(&r);
    if (err == SYN_OK && tables != NULL && (tables->peer_count > 1 || tables->container_count > 1))
        err = without_unused(&r, tables);
    if (err == SYN_OK && fields[F_AUTHOR].count > 0) err = read_authors(&r);
    return err;
}
