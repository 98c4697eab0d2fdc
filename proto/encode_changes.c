/* encode_changes.c -- change.h's tables as one Changes message.
 *
 * The mirror of decode_changes.c: absolute numbers become differences, columns of defaults are left
 * out.  The order of tables and the cutting of runs are the caller's (core exports the canonical
 * form); what is written here is a function of the set alone. */
#include "wire.h"

/* ---- The channel's tables -------------------------------------------------------------------- */

struct mapping {
    const syn_changes *set;
    bool peers_left_out, containers_left_out;
    uint32_t peer[PROTO_MAPPED], container[PROTO_MAPPED]; /* set's index -> channel's */
};

static bool map_peers(struct mapping *m, const struct proto_tables *tables)
{
    const syn_changes *set = m->set;
    if (set->peer_count > PROTO_MAPPED) return false;
    for (uint32_t i = 0; i < set->peer_count; i++) {
        uint32_t at = table_peer(tables, set->peers[i]);
        if (at == UINT32_MAX) return false;
        m->peer[i] = at;
    }
    return true;
}

static bool same_str(syn_str a, syn_str b)
{
    return a.len == b.len && (a.len == 0 || memcmp(a.data, b.data, a.len) == 0);
}

static bool same_as_channels(const struct mapping *m, const struct change_container *own,
                             const struct proto_tables *tables, const struct change_container *of)
{
    if (own->kind != of->kind || own->form != of->form) return false;
    switch (own->form) {
    case CONTAINER_ROOT:
        return same_str(own->name, of->name);
    case CONTAINER_BY_EVENT:
        return own->seq == of->seq && m->set->peers[own->peer] == tables->peers[of->peer];
    case CONTAINER_MERGEABLE:
        return m->container[own->parent] == of->parent && same_str(own->key, of->key);
    }
    return false;
}

static bool map_containers(struct mapping *m, const struct proto_tables *tables)
{
    const syn_changes *set = m->set;
    if (set->container_count > PROTO_MAPPED) return false;
    for (uint32_t i = 0; i < set->container_count; i++) {
        uint32_t at = tables->container_count;
        while (at > 0 &&
               !same_as_channels(m, &set->containers[i], tables, &tables->containers[at - 1]))
            at--;
        if (at-- == 0) return false;
        m->container[i] = at;
    }
    return true;
}

static uint32_t peer_index(const struct mapping *m, uint32_t own)
{
    return m->peers_left_out ? m->peer[own] : own;
}

/* By the channel's tables, what is nowhere is at 0 (PROTOCOL.md, 6). */
static uint32_t container_index(const struct mapping *m, const struct change_op *op)
{
    if (!m->containers_left_out) return op->container;
    return op->kind == OP_NOTHING ? 0 : m->container[op->container];
}

/* ---- Runs ------------------------------------------------------------------------------------ */

enum run_column { RUN_PEER = 2, RUN_SEQ = 3, RUN_LEN = 4, RUN_DEPS = 5, DEP_PEER = 6, DEP_SEQ = 7 };

struct peer_mark {
    uint32_t end, named;
};

static uint64_t run_entry(const struct mapping *m, enum run_column which,
                          const struct change_run *run, const struct peer_mark *marks)
{
    switch (which) {
    case RUN_PEER:
        return peer_index(m, run->peer);
    case RUN_SEQ:
        return run->seq - marks[run->peer].end;
    case RUN_LEN:
        return run->len;
    default:
        return run->explicit_parents ? run->dep_count : 0;
    }
}

/* Writes one column while following what each peer's last seq is. */
static void put_run_column(struct writer *w, const struct mapping *m, enum run_column which,
                           struct peer_mark *marks)
{
    const syn_changes *set = m->set;
    if (which == RUN_LEN && set->run_count == 1) return;
    memset(marks, 0, set->peer_count * sizeof *marks);
    size_t mark = field_begin(w, which);
    uint64_t any = 0;
    const struct change_dep *dep = set->deps;
    for (uint32_t i = 0; i < set->run_count; i++) {
        const struct change_run *run = &set->runs[i];
        if (which <= RUN_DEPS) {
            uint64_t entry = run_entry(m, which, run, marks);
            put_varint(w, entry);
            any |= entry;
        }
        for (uint32_t k = run->explicit_parents ? run->dep_count : 0; k > 0; k--, dep++) {
            int64_t delta = (int64_t)dep->seq - marks[dep->peer].named;
            uint64_t entry = which == DEP_PEER ? peer_index(m, dep->peer) : zigzag(delta);
            marks[dep->peer].named = dep->seq;
            if (which < DEP_PEER) continue;
            put_varint(w, entry);
            any |= entry;
        }
        marks[run->peer] =
            (struct peer_mark){.end = run->seq + run->len, .named = run->seq + run->len - 1};
    }
    column_end(w, mark, which, any != 0);
}

static void put_runs(struct writer *w, const struct mapping *m)
{
    enum { SMALL = 16 };
    struct peer_mark small[SMALL], *marks = small;
    uint32_t peers = m->set->peer_count;
    syn_mem mem = proto_mem(&w->buf->mem);
    if (peers > SMALL) marks = mem_alloc(&mem, peers * sizeof *marks);
    if (marks == NULL) {
        w->failed = true;
        return;
    }
    for (int which = RUN_PEER; which <= DEP_SEQ; which++)
        if (which < DEP_PEER || m->set->dep_count > 0)
            put_run_column(w, m, (enum run_column)which, marks);
    if (marks != small) mem_free(&mem, marks, peers * sizeof *marks);
}

/* ---- Op runs --------------------------------------------------------------------------------- */

enum op_column { OP_CONTAINER = 9, OP_KIND = 10, OP_LEN = 11, OP_POS = 12, OP_ARG = 19 };

/* op_pos: against the caret, which the caller carries along. */
struct caret {
    uint32_t container;
    int64_t pos;
    bool set;
};

static int64_t against_caret(struct caret *caret, const struct change_op *op)
{
    if (!op_has_position(op->kind)) return 0;
    bool here = caret->set && caret->container == op->container;
    int64_t delta = (int64_t)op->pos - (here ? caret->pos : 0);
    *caret = (struct caret){.container = op->container, .pos = op_caret(op), .set = true};
    return delta;
}

static void put_op_column(struct writer *w, const struct mapping *m, enum op_column which,
                          bool always)
{
    const syn_changes *set = m->set;
    size_t mark = field_begin(w, which);
    uint64_t usual = which == OP_LEN ? 1 : 0;
    bool any = always;
    struct caret caret = {0};
    for (uint32_t i = 0; i < set->op_count; i++) {
        const struct change_op *op = &set->ops[i];
        uint64_t entry = 0;
        switch (which) {
        case OP_CONTAINER:
            entry = container_index(m, op);
            break;
        case OP_KIND:
            entry = op->kind;
            break;
        case OP_LEN:
            entry = op->len;
            break;
        case OP_POS:
            entry = zigzag(against_caret(&caret, op));
            break;
        case OP_ARG:
            entry = op->arg;
            break;
        }
        put_varint(w, entry);
        any |= entry != usual;
    }
    column_end(w, mark, which, any);
}

/* Several op runs whose columns are all default (cut without need): their number must show. */
static bool count_would_be_lost(const struct mapping *m)
{
    const syn_changes *set = m->set;
    struct caret caret = {0};
    if (set->op_count == 1) return false;
    for (uint32_t i = 0; i < set->op_count; i++) {
        const struct change_op *op = &set->ops[i];
        if (op->kind != 0 || op->len != 1 || op->arg != 0 || against_caret(&caret, op) != 0 ||
            container_index(m, op) != 0)
            return false;
    }
    return true;
}

static void put_ops(struct writer *w, const struct mapping *m)
{
    put_op_column(w, m, OP_CONTAINER, false);
    put_op_column(w, m, OP_KIND, false);
    put_op_column(w, m, OP_LEN, count_would_be_lost(m));
    put_op_column(w, m, OP_POS, false);
}

/* ---- Queues ---------------------------------------------------------------------------------- */

static void put_strings(struct writer *w, uint32_t number, const syn_str *strings, uint32_t count)
{
    bool any = false;
    for (uint32_t i = 0; i < count && !any; i++) any = strings[i].len > 0;
    for (uint32_t i = 0; i < count && any; i++) put_entry(w, number, strings[i]);
}

/* Walks the values in step with the operations that take them: a counter's have no val_kind. */
struct value_walk {
    const syn_changes *set;
    uint32_t op;
    uint64_t end; /* first value that is not this op's */
};

static const struct change_value *walk_value(void *from, uint32_t i, bool *counter)
{
    struct value_walk *walk = from;
    const struct change_op *ops = walk->set->ops;
    if (i == 0) {
        walk->op = 0;
        walk->end = op_takes_values(ops[0].kind) ? op_takes(&ops[0]) : 0;
    }
    while (i >= walk->end) {
        walk->op++;
        assert(walk->op < walk->set->op_count);
        if (op_takes_values(ops[walk->op].kind)) walk->end += op_takes(&ops[walk->op]);
    }
    *counter = ops[walk->op].kind == OP_COUNTER_ADD;
    return &walk->set->values[i];
}

static void put_node_column(struct writer *w, const struct mapping *m, uint32_t number)
{
    enum { ID_PEER = 20 };
    const syn_changes *set = m->set;
    if (set->node_count == 0) return;
    size_t mark = field_begin(w, number);
    uint64_t any = 0;
    for (uint32_t i = 0; i < set->node_count; i++) {
        const struct change_node *node = &set->nodes[i];
        uint64_t entry = node->seq;
        if (number == ID_PEER)
            entry = node->peer_plus1 == 0 ? 0 : (uint64_t)peer_index(m, node->peer_plus1 - 1) + 1;
        put_varint(w, entry);
        any |= entry;
    }
    column_end(w, mark, number, any != 0);
}

static void put_times(struct writer *w, const syn_changes *set)
{
    enum { RUN_TIME = 23 };
    if (set->run_time == NULL) return;
    size_t mark = field_begin(w, RUN_TIME);
    uint64_t last = 0, any = 0;
    for (uint32_t i = 0; i < set->run_count; i++) {
        uint64_t time = (uint64_t)set->run_time[i], delta = time - last;
        put_varint(w, zigzag((int64_t)delta));
        any |= delta;
        last = time;
    }
    column_end(w, mark, RUN_TIME, any != 0);
}

/* Explicit containers beside the channel's peers speak of the channel's indexes. */
static void put_mapped_containers(struct writer *w, const struct mapping *m)
{
    enum { CONTAINERS = 8 };
    const syn_changes *set = m->set;
    if (m->containers_left_out) return;
    if (!m->peers_left_out) {
        put_containers(w, CONTAINERS, set->containers, set->container_count);
        return;
    }
    for (uint32_t i = 0; i < set->container_count; i++) {
        struct change_container c = set->containers[i];
        if (c.form == CONTAINER_BY_EVENT) c.peer = peer_index(m, c.peer);
        put_container(w, CONTAINERS, &c);
    }
}

void put_changes(struct writer *w, const syn_changes *set, const struct proto_tables *tables)
{
    static const uint32_t value_fields[4] = {16, 15, 17, 18}; /* kinds, blobs, ints, reals */
    enum { PEERS = 1, TEXT = 13, KEYS = 14, ID_PEER = 20, ID_SEQ = 21, EXT = 22, AUTHOR = 25 };
    static const struct proto_tables root_only = {.containers = &root_container,
                                                  .container_count = 1};
    struct mapping m = {.set = set};
    if (tables != NULL) m.peers_left_out = set->author == NULL && map_peers(&m, tables);
    m.containers_left_out =
        map_containers(&m, tables != NULL && tables->container_count > 0 ? tables : &root_only);
    struct value_walk walk = {.set = set};
    if (!m.peers_left_out) put_peers(w, PEERS, set->peers, set->peer_count);
    put_runs(w, &m);
    put_mapped_containers(w, &m);
    put_ops(w, &m);
    put_bytes(w, TEXT, set->text);
    put_strings(w, KEYS, set->keys, set->key_count);
    put_values(w, value_fields, walk_value, &walk, set->value_count);
    put_op_column(w, &m, OP_ARG, false);
    put_node_column(w, &m, ID_PEER);
    put_node_column(w, &m, ID_SEQ);
    put_strings(w, EXT, set->ext, set->ext_count);
    put_times(w, set);
    if (set->author != NULL) put_strings(w, AUTHOR, set->author, set->peer_count);
}

/* ---- Public ---------------------------------------------------------------------------------- */

syn_err proto_encode_changes(syn_buf *buf, const syn_changes *set,
                             const struct proto_tables *tables)
{
    struct writer w = writer_begin(buf);
    put_changes(&w, set, tables);
    return writer_end(&w);
}

syn_err proto_encode_changes_body(syn_buf *buf, const syn_changes *set,
                                  const struct proto_tables *tables)
{
    struct writer w = writer_begin(buf);
    size_t mark = field_begin(&w, FRAME_CHANGES);
    put_changes(&w, set, tables);
    field_end(&w, mark);
    return writer_end(&w);
}

syn_err proto_encode_channel(syn_buf *buf, uint32_t channel)
{
    struct writer w = writer_begin(buf);
    put_uint(&w, 1, channel);
    return writer_end(&w);
}
