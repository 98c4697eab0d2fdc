/* samples.c -- see samples.h. */
#include "samples.h"
#include "wire.h"

#include <stdio.h>
#include <stdlib.h>

/* ---- Random things --------------------------------------------------------------------------- */

void samples_begin(struct samples *s, uint64_t seed, uint32_t size)
{
    memset(s, 0, sizeof *s);
    s->state = seed * 0x9e3779b97f4a7c15u + 1;
    s->size = size;
}

void samples_reset(struct samples *s)
{
    while (s->block_count > 0) free(s->blocks[--s->block_count]);
}

uint64_t samples_random(struct samples *s) /* splitmix64 */
{
    uint64_t z = s->state += 0x9e3779b97f4a7c15u;
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
    z = (z ^ z >> 27) * 0x94d049bb133111ebu;
    return z ^ z >> 31;
}

uint32_t samples_below(struct samples *s, uint32_t n)
{
    return (uint32_t)(samples_random(s) % n);
}

static bool coin(struct samples *s)
{
    return samples_below(s, 2) == 0;
}

static void *take(struct samples *s, size_t count, size_t size)
{
    void *p = calloc(count > 0 ? count : 1, size);
    if (p == NULL || s->block_count == sizeof s->blocks / sizeof *s->blocks) abort();
    s->blocks[s->block_count++] = p;
    return p;
}

static uint32_t small_or_large(struct samples *s, uint32_t most)
{
    return samples_below(s, coin(s) ? (most < 100 ? most : 100) + 1 : most);
}

static size_t put_scalar(char *at, uint32_t c)
{
    if (c < 0x80) return at[0] = (char)c, 1;
    if (c < 0x800) return at[0] = (char)(0xc0 | c >> 6), at[1] = (char)(0x80 | (c & 63)), 2;
    if (c < 0x10000) {
        at[0] = (char)(0xe0 | c >> 12);
        at[1] = (char)(0x80 | (c >> 6 & 63));
        at[2] = (char)(0x80 | (c & 63));
        return 3;
    }
    at[0] = (char)(0xf0 | c >> 18);
    at[1] = (char)(0x80 | (c >> 12 & 63));
    at[2] = (char)(0x80 | (c >> 6 & 63));
    at[3] = (char)(0x80 | (c & 63));
    return 4;
}

/* Exactly that many scalars, none of them U+0000. */
static syn_str text(struct samples *s, uint32_t scalars)
{
    static const uint32_t interesting[] = {1,      0x7f,   0x80,   0x7ff,   0x800,
                                           0xd7ff, 0xe000, 0xffff, 0x10000, 0x10ffff};
    char *data = take(s, (size_t)scalars * 4, 1);
    size_t len = 0;
    for (uint32_t i = 0; i < scalars; i++) {
        uint32_t c = 'a' + samples_below(s, 26);
        if (samples_below(s, 8) == 0) c = interesting[samples_below(s, 10)];
        len += put_scalar(data + len, c);
    }
    return (syn_str){.data = data, .len = len};
}

static syn_str bytes(struct samples *s, uint32_t most)
{
    uint32_t len = samples_below(s, most + 1);
    char *data = take(s, len, 1);
    for (uint32_t i = 0; i < len; i++) data[i] = (char)samples_random(s);
    return (syn_str){.data = data, .len = len};
}

static syn_str maybe_text(struct samples *s, uint32_t most)
{
    return text(s, samples_below(s, most + 1));
}

static uint64_t *peers(struct samples *s, uint32_t count)
{
    uint64_t *out = take(s, count, sizeof *out);
    for (uint32_t i = 0; i < count; i++)
        out[i] = coin(s) ? samples_random(s) | 1u << 16 : (uint64_t)i + 1;
    return out;
}

static int compare_ids(const void *a, const void *b)
{
    const syn_id *x = a, *y = b;
    return (x->peer > y->peer) - (x->peer < y->peer);
}

static const syn_id *ids(struct samples *s, uint32_t count, uint32_t most_seq)
{
    syn_id *out = take(s, count, sizeof *out);
    for (uint32_t i = 0; i < count; i++)
        out[i] = (syn_id){.peer = (samples_random(s) >> 1) + 1,
                          .seq = coin(s) ? 0 : small_or_large(s, most_seq)};
    qsort(out, count, sizeof *out, compare_ids);
    return out;
}

/* ---- Containers and values ------------------------------------------------------------------- */

static struct change_container *containers(struct samples *s, uint32_t count, uint32_t peer_count)
{
    struct change_container *out = take(s, count, sizeof *out);
    for (uint32_t i = 0; i < count; i++) {
        struct change_container *c = &out[i];
        char *unique = take(s, 16, 1);
        int len = snprintf(unique, 16, "n%u", i);
        syn_str name = {.data = unique, .len = (size_t)len};
        c->kind = samples_below(s, 8) == 0 ? 16 + samples_below(s, 3) : samples_below(s, 5);
        uint32_t parent = i > 0 ? samples_below(s, i) : 0;
        switch (samples_below(s, 3)) {
        case 0:
            c->form = CONTAINER_ROOT;
            c->name = name;
            break;
        case 1:
            c->form = CONTAINER_BY_EVENT;
            if (peer_count == 0) {
                c->form = CONTAINER_ROOT;
                c->name = name;
                break;
            }
            c->peer = samples_below(s, peer_count);
            c->seq = i;
            break;
        default:
            if (i == 0 || out[parent].kind != SYN_MAP) {
                c->form = CONTAINER_ROOT;
                c->name = name;
                break;
            }
            c->form = CONTAINER_MERGEABLE;
            c->parent = parent;
            c->key = name;
        }
    }
    return out;
}

static struct change_value value(struct samples *s, bool children)
{
    static const double reals[] = {0.0, -0.0, 1.5, -1e300};
    struct change_value v = {.kind = samples_below(s, children ? 10 : 7)};
    uint64_t nan = 0x7ff8000000000000u;
    switch (v.kind) {
    case SYN_VALUE_STRING:
        v.blob = maybe_text(s, 5);
        break;
    case SYN_VALUE_BYTES:
        v.blob = bytes(s, 5);
        break;
    case SYN_VALUE_INT:
        v.i = (int64_t)(samples_random(s) >> samples_below(s, 64));
        break;
    case SYN_VALUE_REAL:
        v.real = reals[samples_below(s, 4)];
        if (samples_below(s, 5) == 0) memcpy(&v.real, &nan, sizeof nan);
        break;
    case SYN_VALUE_CHILD:
        v.i = samples_below(s, 5);
        break;
    case SYN_VALUE_MERGEABLE:
        v.kind = SYN_VALUE_CHILD;
        v.i = 16;
        break;
    case 9:
        v.kind = 16 + samples_below(s, 1000);
        v.blob = bytes(s, 5);
        break;
    default:
        break;
    }
    return v;
}

/* ---- Changes --------------------------------------------------------------------------------- */

static uint32_t some_op_kind(struct samples *s, uint32_t container)
{
    static const uint32_t per_kind[5][4] = {
        {OP_TEXT_INSERT, OP_DELETE, OP_DELETE_BACK, OP_MARK},
        {OP_MAP_SET, OP_MAP_DELETE, OP_MAP_SET, OP_MAP_SET},
        {OP_LIST_INSERT, OP_LIST_SET, OP_LIST_MOVE, OP_DELETE},
        {OP_COUNTER_ADD, OP_COUNTER_ADD, OP_COUNTER_ADD, OP_COUNTER_ADD},
        {OP_TREE_CREATE, OP_TREE_MOVE, OP_TREE_DELETE, OP_TREE_CREATE},
    };
    if (container > 4 || samples_below(s, 10) == 0)
        return coin(s) ? OP_NOTHING : 32 + samples_below(s, 99);
    return per_kind[container][samples_below(s, 4)];
}

struct making {
    struct samples *s;
    syn_changes *out;
    uint32_t text_scalars;
    syn_str *keys;
    struct change_value *values;
    struct change_node *nodes;
    syn_str *ext;
};

static void take_for(struct making *m, const struct change_op *op)
{
    struct samples *s = m->s;
    bool order = op->kind == OP_TREE_CREATE || op->kind == OP_TREE_MOVE;
    for (uint64_t i = 0; i < op_takes(op); i++) {
        if (op_takes_keys(op->kind))
            m->keys[m->out->key_count++] = order ? bytes(s, 4) : maybe_text(s, 2);
        if (op->kind == OP_COUNTER_ADD) {
            m->values[m->out->value_count++] =
                (struct change_value){.kind = SYN_VALUE_INT, .i = (int64_t)samples_random(s)};
        } else if (op_takes_values(op->kind)) {
            m->values[m->out->value_count++] = value(s, op->kind != OP_MARK);
        }
        for (uint32_t k = 0; k < op_nodes(op->kind); k++) {
            struct change_node *node = &m->nodes[m->out->node_count++];
            node->peer_plus1 = samples_below(s, m->out->peer_count + 1);
            node->seq = node->peer_plus1 > 0 ? samples_below(s, 1000) : 0;
        }
    }
    if (op->kind >= OP_FIRST_UNKNOWN) m->ext[m->out->ext_count++] = bytes(s, 9);
    if (op->kind == OP_TEXT_INSERT) m->text_scalars += op->len;
}

static struct change_op some_op(struct samples *s, const syn_changes *set)
{
    struct change_op op = {.container = samples_below(s, set->container_count),
                           .len = 1 + samples_below(s, coin(s) ? 1 : 5)};
    op.kind = some_op_kind(s, set->containers[op.container].kind);
    if (op.kind == OP_LIST_MOVE) op.len = 1;
    if (op_has_position(op.kind)) op.pos = small_or_large(s, 0x7ffffff0u);
    if (op.kind == OP_DELETE_BACK && op.pos + 1 < op.len) op.pos = op.len;
    if (op.kind == OP_MARK) op.arg = samples_below(s, 4);
    if (op.kind == OP_LIST_MOVE) op.arg = small_or_large(s, 0x7ffffff0u);
    return op;
}

/* Cuts the events into runs, only where no mark and no unknown operation stands. */
static void make_runs(struct making *m, const bool *may_cut, uint32_t events)
{
    struct samples *s = m->s;
    syn_changes *out = m->out;
    struct change_run *runs = take(s, events, sizeof *runs);
    struct change_dep *deps = take(s, (size_t)events * 3, sizeof *deps);
    uint32_t *end = take(s, out->peer_count, sizeof *end);
    for (uint32_t start = 0; start < events;) {
        uint32_t len = 1;
        while (start + len < events && (!may_cut[start + len] || coin(s))) len++;
        struct change_run *run = &runs[out->run_count++];
        run->peer = samples_below(s, out->peer_count);
        run->seq = end[run->peer] + (coin(s) ? 0 : samples_below(s, 1000));
        run->len = len;
        end[run->peer] = run->seq + len;
        uint32_t other = samples_below(s, out->peer_count);
        if (other != run->peer && coin(s)) {
            run->explicit_parents = true;
            run->dep_count = 1;
            deps[out->dep_count++] =
                (struct change_dep){.peer = other, .seq = small_or_large(s, SEQ_MAX)};
        }
        start += len;
    }
    out->runs = runs;
    out->deps = deps;
}

void sample_changes(struct samples *s, syn_changes *out)
{
    memset(out, 0, sizeof *out);
    struct making m = {.s = s, .out = out};
    uint32_t ops = 1 + samples_below(s, s->size), most = ops * 5;
    out->peer_count = 1 + samples_below(s, s->size < 30 ? 3 : 40);
    out->peers = peers(s, out->peer_count);
    out->container_count = 1 + samples_below(s, s->size < 30 ? 4 : 30);
    out->containers = containers(s, out->container_count, out->peer_count);
    struct change_op *op = take(s, ops, sizeof *op);
    bool *may_cut = take(s, (size_t)most + 2, sizeof *may_cut);
    m.keys = take(s, most, sizeof *m.keys);
    m.values = take(s, most, sizeof *m.values);
    m.nodes = take(s, (size_t)most * 2, sizeof *m.nodes);
    m.ext = take(s, most, sizeof *m.ext);
    uint32_t events = 0;
    for (uint32_t i = 0; i < ops; i++) {
        op[i] = some_op(s, out);
        take_for(&m, &op[i]);
        bool whole = op[i].kind == OP_MARK || op[i].kind >= OP_FIRST_UNKNOWN;
        for (uint32_t k = 0; k < op_events(&op[i]); k++) may_cut[events++] = k == 0 || !whole;
    }
    out->ops = op;
    out->op_count = ops;
    out->text = text(s, m.text_scalars);
    out->keys = m.keys;
    out->values = m.values;
    out->nodes = m.nodes;
    out->ext = m.ext;
    make_runs(&m, may_cut, events);
    if (samples_below(s, 4) == 0) {
        int64_t *times = take(s, out->run_count, sizeof *times);
        for (uint32_t i = 0; i < out->run_count; i++) times[i] = 1700000000 + samples_below(s, 99);
        out->run_time = times;
        syn_str *authors = take(s, out->peer_count, sizeof *authors);
        for (uint32_t i = 0; i < out->peer_count; i++) authors[i] = text(s, 3);
        out->author = authors;
    }
}

/* ---- Snapshots ------------------------------------------------------------------------------- */

static void map_state(struct samples *s, struct snapshot_state *state, uint32_t peer_count)
{
    uint32_t count = samples_below(s, s->size + 1), key_number = 0;
    struct snapshot_entry *e = take(s, count, sizeof *e);
    syn_str key = {0};
    for (uint32_t i = 0; i < count; i++) {
        bool loser = i > 0 && samples_below(s, 4) == 0 && e[i - 1].lamport > 1;
        if (!loser) {
            char *name = take(s, 16, 1);
            key = (syn_str){.data = name, .len = (size_t)snprintf(name, 16, "%08u", key_number++)};
        }
        e[i] = (struct snapshot_entry){.key = key,
                                       .value = value(s, true),
                                       .peer = samples_below(s, peer_count),
                                       .seq = small_or_large(s, SEQ_MAX),
                                       .lamport = loser ? e[i - 1].lamport - 1
                                                        : 1 + small_or_large(s, SEQ_MAX)};
        if (samples_below(s, 6) == 0) {
            e[i].gone = true;
            e[i].value = (struct change_value){.kind = SYN_VALUE_NULL};
        }
    }
    state->entries = e;
    state->entry_count = count;
}

static void list_state(struct samples *s, struct snapshot_state *state, uint32_t peer_count)
{
    uint32_t count = samples_below(s, s->size + 1);
    struct snapshot_entry *e = take(s, count, sizeof *e);
    for (uint32_t i = 0; i < count; i++) {
        e[i] = (struct snapshot_entry){.value = value(s, true),
                                       .peer = samples_below(s, peer_count),
                                       .seq = i,
                                       .lamport = 1 + i};
        if (!coin(s)) continue;
        e[i].set = true;
        e[i].set_peer = samples_below(s, peer_count);
        e[i].set_seq = small_or_large(s, SEQ_MAX);
        e[i].set_lamport = 1 + small_or_large(s, SEQ_MAX);
    }
    state->entries = e;
    state->entry_count = count;
}

void sample_snapshot(struct samples *s, syn_snapshot *out)
{
    memset(out, 0, sizeof *out);
    out->heads = ids(s, 1, SEQ_MAX);
    out->head_count = 1;
    out->lamport = 1 + small_or_large(s, SEQ_MAX);
    out->events = 1 + small_or_large(s, SEQ_MAX - 1);
    out->peer_count = 1 + samples_below(s, s->size < 30 ? 3 : 40);
    out->peers = peers(s, out->peer_count);
    out->container_count = 1 + samples_below(s, s->size < 30 ? 4 : 30);
    out->containers = containers(s, out->container_count, out->peer_count);
    struct snapshot_state *states = take(s, out->container_count, sizeof *states);
    for (uint32_t i = 0; i < out->container_count; i++) {
        struct snapshot_state *state = &states[out->state_count++];
        state->container = i;
        switch (out->containers[i].kind) {
        case SYN_TEXT:
            state->text = maybe_text(s, s->size * 10);
            break;
        case SYN_MAP:
            map_state(s, state, out->peer_count);
            break;
        case SYN_LIST:
            list_state(s, state, out->peer_count);
            break;
        case SYN_COUNTER:
            state->counter = (int64_t)samples_random(s);
            break;
        default:
            break;
        }
    }
    out->states = states;
}

/* ---- Frames ---------------------------------------------------------------------------------- */

static struct msg_version version(struct samples *s)
{
    struct msg_version v = {0};
    uint32_t count = samples_below(s, s->size + 1);
    if (coin(s)) {
        v.heads = ids(s, count, SEQ_MAX);
        v.head_count = count;
    } else {
        v.vector = ids(s, count, SEQ_MAX);
        v.vector_count = count;
    }
    return v;
}

static syn_str lineage(struct samples *s)
{
    syn_str out = bytes(s, 0);
    if (coin(s)) return out;
    char *data = take(s, 16, 1);
    for (int i = 0; i < 16; i++) data[i] = (char)samples_random(s);
    return (syn_str){.data = data, .len = 16};
}

static uint32_t number(struct samples *s)
{
    return small_or_large(s, UINT32_MAX);
}

static void sample_presence(struct samples *s, struct msg_presence *m)
{
    m->peer_count = samples_below(s, 4);
    m->peers = peers(s, m->peer_count);
    m->container_count = 1 + samples_below(s, 4);
    m->containers = containers(s, m->container_count, m->peer_count);
    m->state_count = samples_below(s, s->size + 1);
    struct msg_presence_state *states = take(s, m->state_count, sizeof *states);
    for (uint32_t i = 0; i < m->state_count; i++) {
        struct msg_presence_state *state = &states[i];
        *state = (struct msg_presence_state){.session = number(s),
                                             .user = maybe_text(s, 5),
                                             .state = bytes(s, 20),
                                             .cursor_count = samples_below(s, 3),
                                             .ttl_ms = samples_below(s, LIMIT_PRESENCE_TTL_MS),
                                             .gone = coin(s),
                                             .unchanged = coin(s)};
        struct msg_cursor *cursors = take(s, state->cursor_count, sizeof *cursors);
        for (uint32_t k = 0; k < state->cursor_count; k++) {
            struct change_dep *at = take(s, 2, sizeof *at);
            cursors[k].container = samples_below(s, m->container_count);
            cursors[k].anchor = samples_below(s, SEQ_MAX);
            cursors[k].head = (int32_t)samples_below(s, SEQ_MAX) - (int32_t)cursors[k].anchor;
            cursors[k].at_count = m->peer_count == 0 ? 0 : samples_below(s, 3);
            for (uint32_t j = 0; j < cursors[k].at_count; j++)
                at[j] = (struct change_dep){.peer = samples_below(s, m->peer_count),
                                            .seq = coin(s) ? 0 : samples_below(s, SEQ_MAX)};
            cursors[k].at = at;
        }
        state->cursors = cursors;
    }
    m->states = states;
}

static void sample_opened(struct samples *s, struct msg_opened *m)
{
    *m = (struct msg_opened){.lineage = lineage(s),
                             .rights = number(s),
                             .plan = (enum plan)samples_below(s, 3),
                             .version = version(s),
                             .peer_count = samples_below(s, 4),
                             .session = number(s),
                             .window_bytes = number(s),
                             .trimmed = version(s),
                             .expires_ms = number(s)};
    uint32_t *next = take(s, m->peer_count, sizeof *next);
    uint64_t *chain = take(s, m->peer_count, sizeof *chain);
    for (uint32_t i = 0; i < m->peer_count; i++) {
        next[i] = samples_below(s, SEQ_MAX);
        chain[i] = samples_random(s);
    }
    m->peer_next = next;
    m->peer_chain = chain;
}

static void sample_digest(struct samples *s, struct msg_digest *m)
{
    *m = (struct msg_digest){.version = version(s), .hash = samples_random(s), .kinds = number(s)};
    m->peer_count = samples_below(s, 4);
    m->peers = peers(s, m->peer_count);
    m->container_count = samples_below(s, 4);
    m->containers = containers(s, m->container_count, m->peer_count);
    uint64_t *hashes = take(s, m->container_count, sizeof *hashes);
    for (uint32_t i = 0; i < m->container_count; i++) hashes[i] = samples_random(s);
    m->container_hash = hashes;
}

static void sample_part(struct samples *s, struct msg_snapshot *m)
{
    sample_snapshot(s, &m->piece);
    m->id = samples_random(s);
    m->parts = 1;
    m->digest = samples_random(s);
    m->from = take(s, m->piece.state_count, sizeof *m->from);
    m->more = take(s, m->piece.state_count, sizeof *m->more);
}

static void sample_welcome(struct samples *s, struct msg_welcome *m)
{
    *m = (struct msg_welcome){.version = 1,
                              .features = samples_random(s),
                              .connection = samples_random(s),
                              .store = lineage(s),
                              .heartbeat_ms = number(s),
                              .expires_ms = number(s),
                              .user = maybe_text(s, 5),
                              .server = maybe_text(s, 5)};
    if (coin(s)) return;
    m->limits = (struct msg_limits){number(s),         number(s), number(s), number(s),
                                    number(s),         number(s), number(s), samples_random(s),
                                    samples_random(s), number(s), number(s), number(s)};
}

void sample_frame(struct samples *s, enum frame_kind kind, struct frame *out)
{
    memset(out, 0, sizeof *out);
    out->kind = kind;
    out->channel = coin(s) ? samples_below(s, 200) : number(s);
    switch (kind) {
    case FRAME_CHANGES:
        sample_changes(s, &out->as.changes);
        break;
    case FRAME_ACK:
        out->as.ack.next = samples_below(s, SEQ_MAX);
        out->as.ack.peer_count = samples_below(s, 4);
        out->as.ack.peers = ids(s, out->as.ack.peer_count, SEQ_MAX);
        break;
    case FRAME_PRESENCE:
        sample_presence(s, &out->as.presence);
        break;
    case FRAME_PACKED:
        out->as.packed = (struct msg_packed){(enum packed_inside)samples_below(s, 2), 0, number(s),
                                             bytes(s, 30)};
        break;
    case FRAME_CREDIT:
        out->as.credit.bytes = number(s);
        break;
    case FRAME_NACK:
        out->as.nack = (struct msg_nack){
            samples_random(s), samples_below(s, SEQ_MAX), samples_below(s, 30), coin(s),  number(s),
            maybe_text(s, 9),  samples_below(s, SEQ_MAX), samples_random(s),    number(s)};
        break;
    case FRAME_DIGEST:
        sample_digest(s, &out->as.digest);
        break;
    case FRAME_SNAPSHOT:
        sample_part(s, &out->as.snapshot);
        break;
    case FRAME_OPEN:
        out->as.open = (struct msg_open){.document = text(s, 1 + samples_below(s, 20)),
                                         .lineage = lineage(s),
                                         .rights = number(s),
                                         .version = version(s),
                                         .peer = samples_random(s),
                                         .old_peer_count = samples_below(s, 20),
                                         .window_bytes = number(s),
                                         .no_presence = coin(s),
                                         .state_only = coin(s),
                                         .authors = coin(s),
                                         .history = coin(s)};
        out->as.open.old_peers = peers(s, out->as.open.old_peer_count);
        break;
    case FRAME_OPENED:
        sample_opened(s, &out->as.opened);
        break;
    case FRAME_CLOSE:
        break;
    case FRAME_CLOSED:
        out->as.closed =
            (struct msg_closed){samples_below(s, 30), coin(s), number(s), maybe_text(s, 9)};
        break;
    case FRAME_WANT:
        out->as.want.have = version(s);
        out->as.want.upto = version(s);
        break;
    case FRAME_NAMES:
        out->as.names.peer_count = samples_below(s, 20);
        out->as.names.peers = peers(s, out->as.names.peer_count);
        out->as.names.container_count = samples_below(s, 20);
        out->as.names.containers =
            containers(s, out->as.names.container_count, out->as.names.peer_count);
        break;
    case FRAME_HELLO:
        out->as.hello =
            (struct msg_hello){samples_below(s, 9), 9,         samples_random(s), bytes(s, 40),
                               maybe_text(s, 9),    number(s), number(s)};
        break;
    case FRAME_WELCOME:
        sample_welcome(s, &out->as.welcome);
        break;
    case FRAME_AUTH:
        out->as.auth.token = bytes(s, 40);
        break;
    case FRAME_ACCESS:
        out->as.access = (struct msg_access){number(s), number(s)};
        break;
    case FRAME_PING:
    case FRAME_PONG:
        out->as.ping.nonce = samples_random(s);
        break;
    case FRAME_ERROR:
        out->as.error = (struct msg_error){samples_below(s, 30), coin(s),   number(s),
                                           maybe_text(s, 9),     number(s), number(s)};
        break;
    }
}
