/* chain.c -- the hash chain of a peer's events: how they came grouped makes no difference.
 *
 * Hashed is the canonical encoding of each event as a Changes of its own; PROTOCOL.md, "Hash
 * chain", defines the bytes and gives vectors.  Of an insert or a delete at a position these are
 *
 *     | peers | run_seq | run_deps dep_peer dep_seq | containers op_container op_kind | op_pos text
 * | head                first event of a run      middle
 *
 * and from one event of a run to the next only seq, position and character change.  So head and
 * middle are kept, and the rest is written between them: a character costs little more than its
 * XXH64.  Any other event, and one with unusual parents or a deep container, is made a set of its
 * own and encoded (hash_any), which costs ten times as much; tests compare the two. */
#include "wire.h"
#include "utf8.h"

#define XXH_INLINE_ALL
#include <xxhash.h>

enum {
    FEW_PARENTS = 4,
    FEW_LEVELS = 4, /* of containers merged under each other */
    MIDDLE = 512,
    STEP = MIDDLE + 128 /* 613 at most */
};

/* What is the same for all simple steps of one author in one container. */
struct stencil {
    bool made, fits; /* fits: its steps are simple but for their parents */
    uint32_t author, container, kind;
    uint64_t maker; /* of the container, if another than the author; 0: none */
    size_t middle_len;
    char middle[MIDDLE];
};

struct chaining {
    const syn_changes *set;
    struct stencil *stencil;
    uint64_t peer;
    uint32_t *next;
    uint64_t *chain;
    /* where the walk stands */
    uint32_t run, run_offset, dep, key, value, node, ext;
    size_t text;
    /* for steps that are not simple */
    proto_arena *arena;
    struct tables t;
    syn_buf bytes;
    struct change_dep *deps;
};

/* ---- Any step -------------------------------------------------------------------------------- */

static uint32_t most_deps(const syn_changes *set)
{
    uint32_t most = 0;
    for (uint32_t i = 0; i < set->run_count; i++)
        if (set->runs[i].dep_count > most) most = set->runs[i].dep_count;
    return most;
}

static syn_err prepare_any(struct chaining *c)
{
    const syn_changes *set = c->set;
    if (c->deps != NULL) return SYN_OK;
    syn_err err = proto_arena_new(&c->arena, NULL);
    if (err == SYN_OK)
        err = tables_begin(&c->t, c->arena, set->peers, set->peer_count, set->containers,
                           set->container_count);
    if (err == SYN_OK) c->deps = arena_array(c->arena, most_deps(set), sizeof *c->deps);
    return err == SYN_OK && c->deps == NULL ? SYN_ENOMEM : err;
}

/* Everything of one step as a set of its own, before its tables. */
static syn_changes one_step(const struct chaining *c, const struct change_op *op, size_t text_len)
{
    const syn_changes *set = c->set;
    syn_changes one = {.op_count = 1, .run_count = 1};
    if (op->kind == OP_TEXT_INSERT)
        one.text = (syn_str){.data = set->text.data + c->text, .len = text_len};
    if (op_takes_keys(op->kind)) one.key_count = 1;
    if (op_takes_values(op->kind)) one.value_count = 1;
    one.node_count = op_nodes(op->kind);
    one.ext_count = op->kind >= OP_FIRST_UNKNOWN;
    if (one.key_count > 0) one.keys = set->keys + c->key;
    if (one.value_count > 0) one.values = set->values + c->value;
    if (one.ext_count > 0) one.ext = set->ext + c->ext;
    return one;
}

static struct change_run step_run(struct chaining *c, uint32_t events, syn_changes *one)
{
    const struct change_run *run = &c->set->runs[c->run];
    struct change_run out = {
        .peer = tables_peer(&c->t, run->peer), .seq = run->seq + c->run_offset, .len = events};
    if (c->run_offset > 0 || !run->explicit_parents) return out;
    out.explicit_parents = true;
    out.dep_count = run->dep_count;
    for (uint32_t i = 0; i < run->dep_count; i++) {
        const struct change_dep *dep = &c->set->deps[c->dep + i];
        c->deps[i] = (struct change_dep){.peer = tables_peer(&c->t, dep->peer), .seq = dep->seq};
    }
    one->deps = c->deps;
    one->dep_count = run->dep_count;
    return out;
}

static void step_containers(struct chaining *c, const struct change_op *op, syn_changes *one)
{
    if (op->kind == OP_NOTHING) { /* it is nowhere */
        one->containers = &root_container;
        one->container_count = 1;
        return;
    }
    tables_chain(&c->t, op->container);
    if (c->t.containers[0].form == CONTAINER_BY_EVENT)
        c->t.containers[0].peer = tables_peer(&c->t, c->t.containers[0].peer);
    one->containers = c->t.containers;
    one->container_count = c->t.container_count;
}

static struct change_op step_op(const struct change_op *op, uint32_t index, const syn_changes *one)
{
    struct change_op out = *op;
    out.container = one->container_count - 1;
    if (op->kind == OP_MARK || op->kind >= OP_FIRST_UNKNOWN) return out;
    out.len = 1;
    if (op->kind == OP_DELETE_BACK) {
        out.kind = OP_DELETE;
        out.pos -= index;
    } else if (op->kind != OP_DELETE && op_has_position(op->kind)) {
        out.pos += index;
    }
    return out;
}

/* chain(n + 1) = XXH64(the Changes of this step alone, seed chain(n)). */
static syn_err hash_any(struct chaining *c, const struct change_op *op, uint32_t index,
                        uint32_t events, size_t text_len)
{
    syn_err err = prepare_any(c);
    if (err != SYN_OK) return err;
    syn_changes one = one_step(c, op, text_len);
    c->t.peer_count = 0;
    struct change_run run = step_run(c, events, &one);
    step_containers(c, op, &one);
    struct change_node nodes[2];
    for (uint32_t i = 0; i < one.node_count; i++) {
        nodes[i] = c->set->nodes[c->node + i];
        if (nodes[i].peer_plus1 > 0)
            nodes[i].peer_plus1 = tables_peer(&c->t, nodes[i].peer_plus1 - 1) + 1;
    }
    struct change_op alone = step_op(op, index, &one);
    one.peers = c->t.peers;
    one.peer_count = c->t.peer_count;
    one.runs = &run;
    one.ops = &alone;
    one.nodes = nodes;
    c->bytes.len = 0;
    err = proto_encode_changes(&c->bytes, &one, NULL);
    if (err == SYN_OK) *c->chain = XXH64(c->bytes.data, c->bytes.len, *c->chain);
    return err;
}

/* ---- A simple step --------------------------------------------------------------------------- */

static void *no_more(void *user, void *ptr, size_t old_size, size_t new_size)
{
    (void)user;
    (void)ptr;
    (void)old_size;
    (void)new_size;
    return NULL;
}

/* The container and what it is merged under, from the innermost; 0: too many. */
static uint32_t container_path(const syn_changes *set, uint32_t container, uint32_t *path)
{
    for (uint32_t n = 0; n < FEW_LEVELS; container = set->containers[container].parent) {
        path[n++] = container;
        if (set->containers[container].form != CONTAINER_MERGEABLE) return n;
    }
    return 0;
}

static bool is_root_text(const struct change_container *c)
{
    return c->form == CONTAINER_ROOT && c->kind == SYN_TEXT && c->name.len == 0;
}

static void put_one(struct writer *w, uint32_t number, uint64_t v)
{
    if (v == 0) return;
    size_t mark = field_begin(w, number);
    put_varint(w, v);
    field_end(w, mark);
}

static void put_middle(struct writer *w, const syn_changes *set, const uint32_t *path,
                       uint32_t depth, struct stencil *s)
{
    enum { CONTAINERS = 8, OP_CONTAINER = 9, OP_KIND = 10 };
    bool alone = depth == 1 && is_root_text(&set->containers[path[0]]);
    for (uint32_t i = 0; i < depth && !alone; i++) {
        struct change_container c = set->containers[path[depth - 1 - i]];
        c.parent = i - 1;
        c.peer = s->maker != 0; /* the second of the peers, or the author */
        put_container(w, CONTAINERS, &c);
    }
    put_one(w, OP_CONTAINER, depth - 1);
    put_one(w, OP_KIND, s->kind);
}

/* Of a run's author and the container and kind of an op run. */
static void make_stencil(struct stencil *s, const syn_changes *set)
{
    uint32_t path[FEW_LEVELS], depth = container_path(set, s->container, path);
    syn_buf buf = {.data = s->middle, .cap = sizeof s->middle, .mem = {.resize = no_more}};
    struct writer w = writer_begin(&buf);
    s->made = true;
    s->fits = depth != 0;
    if (!s->fits) return;
    const struct change_container *root = &set->containers[path[depth - 1]];
    bool made_by_another = root->form == CONTAINER_BY_EVENT && root->peer != s->author;
    s->maker = made_by_another ? set->peers[root->peer] : 0;
    put_middle(&w, set, path, depth, s);
    s->fits = writer_end(&w) == SYN_OK;
    s->middle_len = buf.len;
}

static bool stencil_for(struct chaining *c, const struct change_op *op)
{
    struct stencil *s = c->stencil;
    uint32_t author = c->set->runs[c->run].peer,
             kind = op->kind == OP_DELETE_BACK ? OP_DELETE : op->kind;
    if (op->kind > OP_DELETE_BACK) return false;
    if (s->made && s->author == author && s->container == op->container && s->kind == kind)
        return s->fits;
    s->author = author;
    s->container = op->container;
    s->kind = kind;
    make_stencil(s, c->set);
    return s->fits;
}

/* Parents other than the author's last event: few, of as many peers, and no maker, whose place
 * among the peers they would change. */
static bool simple_parents(const struct chaining *c, const struct change_dep *deps, uint32_t count)
{
    if (count > FEW_PARENTS || c->stencil->maker != 0) return false;
    for (uint32_t i = 0; i < count; i++)
        for (uint32_t k = 0; k < i; k++)
            if (deps[k].peer == deps[i].peer) return false;
    return true;
}

static char *write_number(char *at, uint64_t v)
{
    for (; v >= 0x80; v >>= 7) *at++ = (char)(v | 0x80);
    *at++ = (char)v;
    return at;
}

/* A column of one entry; nothing if that is 0. */
static char *write_one(char *at, unsigned tag, uint64_t v)
{
    if (v == 0) return at;
    char *end = write_number(at + 2, v);
    at[0] = (char)tag;
    at[1] = (char)(end - at - 2);
    return end;
}

static char *write_peer(char *at, uint64_t peer)
{
    for (int i = 0; i < 8; i++) *at++ = (char)(peer >> (8 * i));
    return at;
}

/* The author, the parents' peers in their order, the maker; each once. */
static char *write_peers(char *at, const struct chaining *c, const struct change_dep *deps,
                         uint32_t dep_count)
{
    enum { PEERS = 0x0a };
    const struct stencil *s = c->stencil;
    char *end = write_peer(at + 2, c->peer);
    for (uint32_t i = 0; i < dep_count; i++)
        if (deps[i].peer != s->author) end = write_peer(end, c->set->peers[deps[i].peer]);
    if (s->maker != 0) end = write_peer(end, s->maker);
    at[0] = PEERS;
    at[1] = (char)(end - at - 2);
    return end;
}

static char *write_parents(char *at, const struct change_dep *deps, uint32_t count, uint32_t author)
{
    enum { RUN_DEPS = 0x2a, DEP_PEER = 0x32, DEP_SEQ = 0x3a };
    uint32_t peers = 0, seqs = 0;
    at = write_one(at, RUN_DEPS, count);
    char *end = at + 2;
    for (uint32_t i = 0; i < count; i++) *end++ = (char)(deps[i].peer == author ? 0 : ++peers);
    if (peers != 0) {
        at[0] = DEP_PEER;
        at[1] = (char)count;
        at = end;
    }
    end = at + 2;
    for (uint32_t i = 0; i < count; i++) {
        end = write_number(end, (uint64_t)deps[i].seq * 2);
        seqs |= deps[i].seq;
    }
    if (seqs == 0) return at;
    at[0] = DEP_SEQ;
    at[1] = (char)(end - at - 2);
    return end;
}

static size_t write_step(const struct chaining *c, char *step, const struct change_op *op,
                         uint32_t index, size_t text_len, uint32_t dep_count)
{
    enum { RUN_SEQ = 0x1a, OP_POS = 0x62, TEXT = 0x6a };
    const struct stencil *s = c->stencil;
    const struct change_dep *deps = dep_count > 0 ? c->set->deps + c->dep : NULL;
    uint32_t pos = op->pos;
    char *at = write_peers(step, c, deps, dep_count);
    at = write_one(at, RUN_SEQ, c->set->runs[c->run].seq + c->run_offset);
    if (dep_count > 0) at = write_parents(at, deps, dep_count, s->author);
    memcpy(at, s->middle, s->middle_len);
    at += s->middle_len;
    if (op->kind == OP_TEXT_INSERT) pos += index;
    if (op->kind == OP_DELETE_BACK) pos -= index;
    at = write_one(at, OP_POS, (uint64_t)pos * 2);
    if (text_len == 0) return (size_t)(at - step);
    at[0] = TEXT;
    at[1] = (char)text_len;
    memcpy(at + 2, c->set->text.data + c->text, text_len);
    return (size_t)(at + 2 + text_len - step);
}

/* false: not so simple. */
static bool hash_simple(struct chaining *c, const struct change_op *op, uint32_t index,
                        size_t text_len)
{
    const struct change_run *run = &c->set->runs[c->run];
    uint32_t dep_count = c->run_offset == 0 && run->explicit_parents ? run->dep_count : 0;
    char step[STEP];
    if (!stencil_for(c, op)) return false;
    if (dep_count > 0 && !simple_parents(c, c->set->deps + c->dep, dep_count)) return false;
    *c->chain = XXH64(step, write_step(c, step, op, index, text_len, dep_count), *c->chain);
    return true;
}

/* ---- The walk -------------------------------------------------------------------------------- */

static size_t scalar_bytes(const syn_changes *set, size_t at)
{
    size_t len = 1;
    while (at + len < set->text.len && ((unsigned char)set->text.data[at + len] & 0xc0) == 0x80)
        len++;
    return len;
}

static void advance(struct chaining *c, const struct change_op *op, uint32_t steps, uint32_t events,
                    size_t text_len)
{
    const struct op_form *form = op_form(op->kind);
    c->text += text_len;
    if (form->keys) c->key += steps;
    if (form->values) c->value += steps;
    if (op->kind >= OP_FIRST_UNKNOWN) c->ext++;
    c->node += form->nodes * steps;
    c->run_offset += events;
    const struct change_run *run = &c->set->runs[c->run];
    if (c->run_offset < run->len) return;
    if (run->explicit_parents) c->dep += run->dep_count;
    c->run_offset = 0;
    c->run++;
}

/* Past events of others, or that were there before; from one event on, at most `most`. */
static uint32_t skip(struct chaining *c, const struct change_op *op, uint32_t most)
{
    const struct change_run *run = &c->set->runs[c->run];
    uint32_t left = run->len - c->run_offset, first = run->seq + c->run_offset;
    if (op_form(op->kind)->one_piece) {
        advance(c, op, 1, (uint32_t)op_events(op), 0);
        return 1;
    }
    bool own = c->set->peers[run->peer] == c->peer;
    uint32_t n = most < left ? most : left;
    if (own && n > *c->next - first) n = *c->next - first;
    size_t text_len = 0;
    if (op->kind == OP_TEXT_INSERT)
        text_len = utf8_offset(c->set->text.data + c->text, c->set->text.len - c->text, n);
    advance(c, op, n, n, text_len);
    return n;
}

static syn_err chain_op(struct chaining *c, const struct change_op *op, bool *gap)
{
    bool whole = op_form(op->kind)->one_piece;
    uint32_t steps = whole ? 1 : op->len, events = whole ? (uint32_t)op_events(op) : 1;
    for (uint32_t i = 0; i < steps;) {
        const struct change_run *run = &c->set->runs[c->run];
        uint32_t seq = run->seq + c->run_offset;
        if (c->set->peers[run->peer] != c->peer || seq < *c->next) {
            i += skip(c, op, steps - i);
            continue;
        }
        *gap = seq > *c->next;
        if (*gap) return SYN_OK;
        size_t text_len = op->kind == OP_TEXT_INSERT ? scalar_bytes(c->set, c->text) : 0;
        if (!SHORT_CUTS || !hash_simple(c, op, i, text_len)) {
            syn_err err = hash_any(c, op, i, events, text_len);
            if (err != SYN_OK) return err;
        }
        *c->next += events;
        advance(c, op, 1, events, text_len);
        i++;
    }
    return SYN_OK;
}

syn_err proto_chain(const syn_changes *set, uint64_t peer, uint32_t *next, uint64_t *chain)
{
    uint32_t new_next = *next;
    uint64_t new_chain = *chain;
    struct stencil stencil; /* not cleared: `made` says whether there is one */
    stencil.made = false;
    struct chaining c = {
        .set = set, .stencil = &stencil, .peer = peer, .next = &new_next, .chain = &new_chain};
    syn_err err = SYN_OK;
    bool gap = false;
    for (uint32_t i = 0; i < set->op_count && err == SYN_OK && !gap; i++)
        err = chain_op(&c, &set->ops[i], &gap);
    syn_buf_free(&c.bytes);
    proto_arena_free(c.arena);
    if (err != SYN_OK) return err;
    *next = new_next;
    *chain = new_chain;
    return SYN_OK;
}
