#include "container.h"

void container_empty(struct container *c, const syn_mem *mem)
{
    switch (c->id.kind) {
    case SYN_TEXT:
        rope_free(c->as.text);
        c->as.text = NULL;
        break;
    case SYN_MAP:
        map_free(&c->as.map, mem);
        break;
    case SYN_LIST:
        list_free(&c->as.list, mem);
        break;
    default:
        c->as.counter = 0;
        break;
    }
}

static void container_free(struct container *c, const syn_mem *mem)
{
    merge_free(c->merge, mem);
    array_free(mem, &c->runs);
    container_empty(c, mem);
}

void containers_free(struct containers *all, const syn_mem *mem)
{
    for (uint32_t i = 0; i < all->list.n; i++) container_free(&all->list.at[i], mem);
    array_free(mem, &all->list);
    mem_free(mem, all->slots, (size_t)all->slot_cap * sizeof *all->slots);
    all->slots = NULL;
    all->slot_cap = 0;
}

void containers_trim(struct containers *all, const syn_mem *mem)
{
    array_fit(mem, &all->list);
    for (uint32_t i = 0; i < all->list.n; i++) {
        struct container *c = &all->list.at[i];
        array_fit(mem, &c->runs);
        if (c->id.kind == SYN_TEXT && c->as.text != NULL) rope_trim(c->as.text);
        if (c->id.kind == SYN_LIST) list_trim(&c->as.list, mem);
        if (c->id.kind == SYN_MAP) map_trim(&c->as.map, mem);
    }
}

static uint32_t hash_of(struct container_id id)
{
    uint64_t h =
        ((uint64_t)id.a << 32 | id.b) ^ ((uint64_t)id.form << 61 | (uint64_t)id.kind << 24);
    h *= 0x9e3779b97f4a7c15u;
    return (uint32_t)(h >> 32);
}

static bool same(struct container_id x, struct container_id y)
{
    return x.form == y.form && x.kind == y.kind && x.a == y.a && x.b == y.b;
}

syn_obj containers_find(const struct containers *all, struct container_id id)
{
    if (all->slot_cap == 0) {
        for (uint32_t i = 0; i < all->list.n; i++)
            if (same(all->list.at[i].id, id)) return i;
        return SYN_NO_OBJ;
    }
    uint32_t slot = hash_of(id) & (all->slot_cap - 1);
    while (all->slots[slot] != 0) {
        if (same(all->list.at[all->slots[slot] - 1].id, id)) return all->slots[slot] - 1;
        slot = (slot + 1) & (all->slot_cap - 1);
    }
    return SYN_NO_OBJ;
}

static void put_slot(struct containers *all, uint32_t number)
{
    if (all->slot_cap == 0) return;
    uint32_t slot = hash_of(all->list.at[number].id) & (all->slot_cap - 1);
    while (all->slots[slot] != 0) slot = (slot + 1) & (all->slot_cap - 1);
    all->slots[slot] = number + 1;
}

static void refill(struct containers *all)
{
    if (all->slot_cap > 0) memset(all->slots, 0, all->slot_cap * sizeof *all->slots);
    for (uint32_t i = 0; i < all->list.n; i++) put_slot(all, i);
}

static syn_err grow_slots(struct containers *all, const syn_mem *mem)
{
    if (index_serves(all->list.n + 1, all->slot_cap)) return SYN_OK;
    uint32_t cap = index_grown(all->slot_cap);
    uint32_t *slots = mem_alloc(mem, (size_t)cap * sizeof *slots);
    if (slots == NULL) return SYN_ENOMEM;
    mem_free(mem, all->slots, (size_t)all->slot_cap * sizeof *all->slots);
    all->slots = slots;
    all->slot_cap = cap;
    refill(all);
    return SYN_OK;
}

syn_err containers_add(struct containers *all, const syn_mem *mem, struct container_id id,
                       syn_obj *out)
{
    *out = containers_find(all, id);
    if (*out != SYN_NO_OBJ) return SYN_OK;
    syn_err err = grow_slots(all, mem);
    if (err == SYN_OK) err = array_reserve(mem, &all->list, 1);
    if (err != SYN_OK) return err;
    *out = all->list.n;
    *array_push(&all->list) = (struct container){.id = id};
    put_slot(all, *out);
    return SYN_OK;
}

void containers_truncate(struct containers *all, const syn_mem *mem, uint32_t n)
{
    if (n >= all->list.n) return;
    while (all->list.n > n) container_free(&all->list.at[--all->list.n], mem);
    refill(all);
}

bool op_fits(uint32_t op_kind, uint32_t container_kind)
{
    switch (op_kind) {
    case OP_TEXT_INSERT:
    case OP_MARK:
        return container_kind == SYN_TEXT;
    case OP_DELETE:
    case OP_DELETE_BACK:
        return kind_is_sequence(container_kind);
    case OP_MAP_SET:
    case OP_MAP_DELETE:
        return container_kind == SYN_MAP;
    case OP_LIST_INSERT:
    case OP_LIST_SET:
    case OP_LIST_MOVE:
        return container_kind == SYN_LIST;
    case OP_COUNTER_ADD:
        return container_kind == SYN_COUNTER;
    case OP_TREE_CREATE:
    case OP_TREE_MOVE:
    case OP_TREE_DELETE:
        return container_kind == SYN_TREE;
    default:
        return true;
    }
}

size_t container_footprint(const struct container *c)
{
    size_t bytes = (size_t)c->runs.cap * sizeof(uint32_t) + merge_footprint(c->merge);
    if (c->id.kind == SYN_TEXT && c->as.text != NULL) bytes += rope_footprint(c->as.text);
    if (c->id.kind == SYN_MAP) bytes += map_footprint(&c->as.map);
    if (c->id.kind == SYN_LIST) bytes += (size_t)c->as.list.cap * sizeof(struct list_slot);
    return bytes;
}
