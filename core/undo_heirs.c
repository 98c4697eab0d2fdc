/* undo_heirs.c -- who stands for whom: sorted ranges of events. */
#include "undo.h"

/* How often one thing may be undone and redone.  There is an end because ids can come again: after
 * syn_doc_without a peer may be resumed, and then the ranges might lead in a circle. */
enum { STEPS_MAX = 1 << 16 };

static bool id_before(syn_id a, syn_id b)
{
    return a.peer != b.peer ? a.peer < b.peer : a.seq < b.seq;
}

/* How many ranges begin at or before the id. */
static uint32_t up_to(const heirs *map, syn_id id)
{
    uint32_t low = 0, high = map->n;
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        if (id_before(id, map->at[middle].from))
            high = middle;
        else
            low = middle + 1;
    }
    return low;
}

/* One step; false: nobody took its place. */
static bool step(const heirs *map, syn_id *id, uint32_t *len)
{
    uint32_t n = up_to(map, *id);
    if (n < map->n && map->at[n].from.peer == id->peer && map->at[n].from.seq - id->seq < *len)
        *len = map->at[n].from.seq - id->seq;
    if (n == 0 || map->at[n - 1].from.peer != id->peer) return false;
    const struct heir *heir = &map->at[n - 1];
    uint32_t off = id->seq - heir->from.seq;
    if (off >= heir->len) return false;
    if (*len > heir->len - off) *len = heir->len - off;
    *id = (syn_id){heir->to.peer, heir->to.seq + off};
    return true;
}

syn_id heirs_follow(const heirs *map, syn_id id, uint32_t *len)
{
    for (uint32_t i = 0; i < STEPS_MAX && step(map, &id, len); i++) continue;
    return id;
}

syn_err heirs_add(heirs *map, const syn_mem *mem, syn_id from, syn_id to, uint32_t len)
{
    uint32_t n = up_to(map, from);
    struct heir *before = n > 0 ? &map->at[n - 1] : NULL;
    if (before != NULL && before->from.peer == from.peer &&
        from.seq - before->from.seq < before->len)
        return SYN_OK; /* it came back twice: the first stands for it */
    if (before != NULL && before->from.peer == from.peer && before->to.peer == to.peer &&
        before->from.seq + before->len == from.seq && before->to.seq + before->len == to.seq) {
        before->len += len;
        return SYN_OK;
    }
    syn_err err = array_reserve(mem, map, 1);
    if (err != SYN_OK) return err;
    memmove(map->at + n + 1, map->at + n, (map->n - n) * sizeof *map->at);
    map->at[n] = (struct heir){from, to, len};
    map->n++;
    return SYN_OK;
}

void heirs_forget(heirs *map, uint64_t peer, uint32_t seq)
{
    uint32_t kept = 0;
    for (uint32_t i = 0; i < map->n; i++) {
        struct heir heir = map->at[i];
        if (heir.to.peer == peer && heir.to.seq >= seq) continue;
        if (heir.to.peer == peer && heir.len > seq - heir.to.seq) heir.len = seq - heir.to.seq;
        map->at[kept++] = heir;
    }
    map->n = kept;
}
