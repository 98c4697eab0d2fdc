/* name_tables.c -- Names: the tables of a channel, which grow (FEATURE_NAMES).
 *
 *     peers        | 0 | 1 | 2 | ...        never shorter, never another order: an index that was
 *     containers   | root text | 1 | ...    told once means the same for ever
 *
 * A Changes without tables of its own speaks of these.  Whoever writes them decides what goes in:
 * here everything that a small set needs, for what was edited will be edited again.  Search is from
 * the end, where those are who came last and write now; a hash table would cost more than it finds,
 * as the tables are bounded and large sets bring their own. */
#include "wire.h"

#include "copy.h"

/* What an entry is charged with, about its memory: PROTOCOL.md, 14. */
enum { PEER_COST = 8, CONTAINER_COST = 64 };

static const syn_mem *names_mem(void)
{
    static const syn_mem none = {.resize = NULL};
    return &none;
}

static syn_str text_of(const struct change_container *c)
{
    return c->form == CONTAINER_MERGEABLE ? c->key : c->name;
}

static bool grow(void **at, uint32_t *cap, uint32_t count, size_t size)
{
    syn_mem mem = proto_mem(names_mem());
    return mem_reserve(&mem, at, cap, (uint64_t)count + 1, size) == SYN_OK;
}

static syn_err add_peer(struct proto_names *n, uint64_t peer)
{
    if (n->peer_count == LIMIT_NAMES || n->bytes + PEER_COST > LIMIT_NAMES_BYTES) return SYN_ELIMIT;
    if (!grow((void **)&n->peers, &n->peer_cap, n->peer_count, sizeof *n->peers)) return SYN_ENOMEM;
    n->peers[n->peer_count++] = peer;
    n->bytes += PEER_COST;
    return SYN_OK;
}

/* A copy of `c`, whose indexes are of these tables. */
static syn_err add_container(struct proto_names *n, const struct change_container *c)
{
    syn_mem mem = proto_mem(names_mem());
    syn_str text = text_of(c);
    size_t cost = CONTAINER_COST + text.len;
    if (n->container_count == LIMIT_NAMES || n->bytes + cost > LIMIT_NAMES_BYTES) return SYN_ELIMIT;
    if (!grow((void **)&n->containers, &n->container_cap, n->container_count,
              sizeof *n->containers))
        return SYN_ENOMEM;
    struct change_container *own = &n->containers[n->container_count];
    *own = *c;
    own->name = own->key = (syn_str){NULL, 0}; /* not another's, were it empty */
    if (text.len > 0) {
        char *copy = mem_alloc(&mem, text.len);
        if (copy == NULL) return SYN_ENOMEM;
        copy_str(copy, text);
        *(c->form == CONTAINER_MERGEABLE ? &own->key : &own->name) = (syn_str){copy, text.len};
    }
    n->container_count++;
    n->bytes += cost;
    return SYN_OK;
}

/* Back to what was there before. */
static void cut(struct proto_names *n, uint32_t peers, uint32_t containers)
{
    syn_mem mem = proto_mem(names_mem());
    while (n->container_count > containers) {
        syn_str text = text_of(&n->containers[--n->container_count]);
        mem_free(&mem, (char *)(uintptr_t)text.data, text.len);
        n->bytes -= CONTAINER_COST + text.len;
    }
    n->bytes -= (size_t)PEER_COST * (n->peer_count - peers);
    n->peer_count = peers;
}

syn_err proto_names_begin(struct proto_names *n, uint64_t peer)
{
    *n = (struct proto_names){0};
    syn_err err = add_container(n, &root_container);
    if (err == SYN_OK && peer != 0) err = add_peer(n, peer);
    if (err != SYN_OK) proto_names_free(n);
    return err;
}

void proto_names_free(struct proto_names *n)
{
    syn_mem mem = proto_mem(names_mem());
    cut(n, 0, 0);
    mem_free(&mem, n->peers, n->peer_cap * sizeof *n->peers);
    mem_free(&mem, n->containers, n->container_cap * sizeof *n->containers);
    *n = (struct proto_names){0};
}

struct proto_tables proto_names_tables(const struct proto_names *n)
{
    return (struct proto_tables){n->peers, n->peer_count, n->containers, n->container_count};
}

struct msg_names proto_names_since(const struct proto_names *n, uint32_t peers, uint32_t containers)
{
    struct msg_names since = {.peer_count = n->peer_count - peers,
                              .container_count = n->container_count - containers};
    if (since.peer_count > 0) since.peers = n->peers + peers;
    if (since.container_count > 0) since.containers = n->containers + containers;
    return since;
}

/* ---- Looking up ------------------------------------------------------------------------------ */

uint32_t table_peer(const struct proto_tables *t, uint64_t peer)
{
    for (uint32_t i = t->peer_count; i-- > 0;)
        if (t->peers[i] == peer) return i;
    return UINT32_MAX;
}

uint32_t table_container(const struct proto_tables *t, const struct change_container *c)
{
    for (uint32_t i = t->container_count; i-- > 0;)
        if (container_same(&t->containers[i], c)) return i;
    return UINT32_MAX;
}

/* ---- What was received ----------------------------------------------------------------------- */

static syn_err add_message(struct proto_names *n, const struct msg_names *more,
                           struct proto_fault *fault)
{
    struct proto_tables before = proto_names_tables(n);
    syn_err err = SYN_OK;
    for (uint32_t i = 0; err == SYN_OK && i < more->peer_count; i++) {
        if (table_peer(&before, more->peers[i]) != UINT32_MAX)
            return refuse(fault, CODE_MALFORMED, "Names: a peer that has an index");
        err = add_peer(n, more->peers[i]);
        before.peers = n->peers;
    }
    for (uint32_t i = 0; err == SYN_OK && i < more->container_count; i++) {
        if (table_container(&before, &more->containers[i]) != UINT32_MAX)
            return refuse(fault, CODE_MALFORMED, "Names: a container that has an index");
        err = add_container(n, &more->containers[i]);
        before.containers = n->containers;
    }
    if (err == SYN_ELIMIT) return refuse(fault, CODE_LIMIT, "Names: more than the tables hold");
    if (err == SYN_ENOMEM) (void)refuse(fault, CODE_BUSY, "out of memory");
    return err;
}

syn_err proto_names_add(struct proto_names *n, const struct msg_names *more,
                        struct proto_fault *fault)
{
    uint32_t peers = n->peer_count, containers = n->container_count;
    syn_err err = add_message(n, more, fault);
    if (err != SYN_OK) cut(n, peers, containers);
    return err;
}

/* ---- What is to be sent ---------------------------------------------------------------------- */

static syn_err learn_peer(struct proto_names *n, uint64_t peer, uint32_t *at)
{
    struct proto_tables t = proto_names_tables(n);
    *at = table_peer(&t, peer);
    if (*at != UINT32_MAX) return SYN_OK;
    *at = n->peer_count;
    return add_peer(n, peer);
}

static syn_err learn_containers(struct proto_names *n, const syn_changes *set)
{
    uint32_t at[PROTO_MAPPED];
    syn_err err = SYN_OK;
    for (uint32_t i = 0; err == SYN_OK && i < set->container_count; i++) {
        struct change_container c = set->containers[i];
        struct proto_tables t = proto_names_tables(n);
        if (c.form == CONTAINER_BY_EVENT) err = learn_peer(n, set->peers[c.peer], &c.peer);
        if (c.form == CONTAINER_MERGEABLE) c.parent = at[c.parent];
        at[i] = table_container(&t, &c);
        if (at[i] != UINT32_MAX) continue;
        at[i] = n->container_count;
        if (err == SYN_OK) err = add_container(n, &c);
    }
    return err;
}

bool proto_names_learn(struct proto_names *n, const syn_changes *set)
{
    uint32_t peers = n->peer_count, containers = n->container_count, at;
    syn_err err = SYN_OK;
    if (set->peer_count > PROTO_MAPPED || set->container_count > PROTO_MAPPED) return false;
    for (uint32_t i = 0; err == SYN_OK && i < set->peer_count; i++)
        err = learn_peer(n, set->peers[i], &at);
    if (err == SYN_OK) err = learn_containers(n, set);
    if (err != SYN_OK) cut(n, peers, containers);
    return err == SYN_OK;
}
