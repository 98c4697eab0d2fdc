#include "map.h"

#include "sort.h"

void map_free(struct map *map, const syn_mem *mem)
{
    for (uint32_t i = 0; i < map->registers.n; i++) {
        struct map_register *reg = &map->registers.at[i];
        if (reg->cap > 0)
            mem_free(mem, reg->writes.many, (size_t)reg->cap * sizeof(struct map_write));
    }
    array_free(mem, &map->registers);
    mem_free(mem, map->slots, (size_t)map->slot_cap * sizeof *map->slots);
    mem_free(mem, map->shown, (size_t)map->shown_cap * sizeof *map->shown);
    *map = (struct map){0};
}

void map_trim(struct map *map, const syn_mem *mem)
{
    array_fit(mem, &map->registers);
}

static uint32_t slot_of(uint32_t key, uint32_t cap)
{
    return (key * 2654435761u) & (cap - 1);
}

struct map_register *map_find(const struct map *map, uint32_t key)
{
    if (map->slot_cap == 0) {
        for (uint32_t i = 0; i < map->registers.n; i++)
            if (map->registers.at[i].key == key) return &map->registers.at[i];
        return NULL;
    }
    uint32_t slot = slot_of(key, map->slot_cap);
    while (map->slots[slot] != 0) {
        struct map_register *reg = &map->registers.at[map->slots[slot] - 1];
        if (reg->key == key) return reg;
        slot = (slot + 1) & (map->slot_cap - 1);
    }
    return NULL;
}

static void put_slot(struct map *map, uint32_t key, uint32_t index)
{
    if (map->slot_cap == 0) return;
    uint32_t slot = slot_of(key, map->slot_cap);
    while (map->slots[slot] != 0) slot = (slot + 1) & (map->slot_cap - 1);
    map->slots[slot] = index + 1;
}

static syn_err grow_slots(struct map *map, const syn_mem *mem)
{
    if (index_serves(map->registers.n + 1, map->slot_cap)) return SYN_OK;
    uint32_t cap = index_grown(map->slot_cap);
    uint32_t *slots = mem_zalloc(mem, (size_t)cap * sizeof *slots);
    if (slots == NULL) return SYN_ENOMEM;
    mem_free(mem, map->slots, (size_t)map->slot_cap * sizeof *map->slots);
    map->slots = slots;
    map->slot_cap = cap;
    for (uint32_t i = 0; i < map->registers.n; i++) put_slot(map, map->registers.at[i].key, i);
    return SYN_OK;
}

static syn_err add_register(struct map *map, const syn_mem *mem, uint32_t key,
                            struct map_register **out)
{
    syn_err err = grow_slots(map, mem);
    if (err == SYN_OK) err = array_reserve(mem, &map->registers, 1);
    if (err == SYN_OK) {
        void *shown = map->shown;
        err = mem_reserve(mem, &shown, &map->shown_cap, map->registers.n + 1, sizeof *map->shown);
        map->shown = shown;
    }
    if (err != SYN_OK) return err;
    put_slot(map, key, map->registers.n);
    *out = array_push(&map->registers);
    **out = (struct map_register){.key = key};
    return SYN_OK;
}

syn_err map_reserve(struct map *map, const syn_mem *mem, uint32_t key, bool fast)
{
    struct map_register *reg = map_find(map, key);
    syn_err err = reg == NULL ? add_register(map, mem, key, &reg) : SYN_OK;
    if (err != SYN_OK) return err;
    uint32_t need = fast && reg->pending == 0 ? 1 : reg->count + reg->pending + 1;
    if (need > (reg->cap == 0 ? 1u : reg->cap)) {
        uint32_t cap = need + need / 2;
        struct map_write *many = mem_alloc(mem, (size_t)cap * sizeof *many);
        if (many == NULL) return SYN_ENOMEM;
        memcpy(many, register_slots(reg), (size_t)reg->count * sizeof *many);
        if (reg->cap > 0) mem_free(mem, reg->writes.many, (size_t)reg->cap * sizeof *many);
        reg->writes.many = many;
        reg->cap = cap;
    }
    reg->pending++;
    return SYN_OK;
}

void map_unreserve(struct map *map, uint32_t key)
{
    struct map_register *reg = map_find(map, key);
    if (reg != NULL && reg->pending > 0) reg->pending--;
}

static struct writer writer_of(const struct map_write *write)
{
    return (struct writer){write->agent, write->seq, write->lamport};
}

static bool beats(const struct graph *graph, const struct map_write *a, const struct map_write *b)
{
    return graph_wins(graph, writer_of(a), writer_of(b));
}

/* ---- Writing --------------------------------------------------------------------------------- */

/* What may be among the ancestors of a write: all that its event stands on. */
struct ancestry {
    const struct graph *graph;
    lv_t lv;
    const lv_t *parents; /* ascending */
    uint32_t count;
};

static bool is_parent(const struct ancestry *of, lv_t lv)
{
    uint32_t low = 0, high = of->count;
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        if (of->parents[middle] < lv)
            low = middle + 1;
        else
            high = middle;
    }
    return low < of->count && of->parents[low] == lv;
}

/* An ancestor's LV is at most the greatest parent's.  Who merges many heads names them: asking
 * graph_contains first would look through all of them each time. */
static bool supersedes(const struct ancestry *of, const struct map_write *write)
{
    if (write->lv == LV_NONE) return true;
    if (of->count == 0 || write->lv > of->parents[of->count - 1]) return false;
    return is_parent(of, write->lv) || graph_contains(of->graph, &of->lv, 1, write->lv);
}

static uint32_t age_of(const struct map_write *write)
{
    return write->lv == LV_NONE ? 0 : write->lv;
}

/* Who supersedes the winner has a greater lamport than all, so it will be the winner: none has to
 * be looked for among those left. */
static void drop_superseded(struct map_register *reg, const struct graph *graph, lv_t lv)
{
    lv_t previous;
    struct ancestry of = {.graph = graph, .lv = lv};
    of.count = graph_parents(graph, lv, &of.parents, &previous);
    if (of.count > 0 && of.parents[of.count - 1] < reg->oldest) return;
    struct map_write *writes = register_slots(reg);
    uint32_t kept = 0, oldest = UINT32_MAX;
    for (uint32_t i = 0; i < reg->count; i++) {
        if (supersedes(&of, &writes[i])) continue;
        if (age_of(&writes[i]) < oldest) oldest = age_of(&writes[i]);
        writes[kept++] = writes[i];
    }
    reg->count = kept;
    reg->oldest = oldest;
}

/* Takes a write in behind the others; in front when it wins. */
static void keep(struct map_register *reg, const struct graph *graph, const struct map_write *write)
{
    struct map_write *writes = register_slots(reg);
    uint32_t n = reg->count++;
    assert(reg->count <= (reg->cap == 0 ? 1u : reg->cap));
    if (n == 0 || age_of(write) < reg->oldest) reg->oldest = age_of(write);
    if (n == 0) reg->in_order = true;
    if (n > 0 && beats(graph, write, &writes[0])) {
        writes[n] = writes[0];
        writes[0] = *write;
        reg->in_order &= n == 1;
    } else {
        writes[n] = *write;
        reg->in_order &= n <= 1 || beats(graph, &writes[n - 1], write);
    }
}

void map_write_in(struct map *map, const struct graph *graph, uint32_t key,
                  const struct map_write *write, bool fast)
{
    struct map_register *reg = map_find(map, key);
    assert(reg != NULL && reg->pending > 0);
    reg->pending--;
    if (fast)
        reg->count = 0;
    else
        drop_superseded(reg, graph, write->lv);
    keep(reg, graph, write);
    map->shown_valid = false;
}

bool map_add_loser(struct map *map, const struct graph *graph, uint32_t key,
                   const struct map_write *write)
{
    struct map_register *reg = map_find(map, key);
    assert(reg != NULL && reg->pending > 0);
    reg->pending--;
    if (reg->count > 0 && !beats(graph, &register_slots(reg)[reg->count - 1], write)) return false;
    keep(reg, graph, write);
    map->shown_valid = false;
    return true;
}

void map_put_back(struct map *map, uint32_t key, const struct map_write *writes, uint32_t count)
{
    struct map_register *reg = map_find(map, key);
    assert(reg != NULL && count <= (reg->cap == 0 ? 1u : reg->cap));
    if (count > 0) memcpy(register_slots(reg), writes, count * sizeof *writes);
    reg->count = count;
    reg->in_order = count <= 1;
    reg->oldest = 0; /* the next write finds the true one */
    map->shown_valid = false;
}

const struct map_write *map_writes(const struct graph *graph, struct map_register *reg)
{
    struct map_write *writes = register_slots(reg);
    for (uint32_t gap = reg->in_order ? 0 : reg->count / 2; gap > 0; gap /= 2) /* Shell sort */
        for (uint32_t i = gap; i < reg->count; i++) {
            struct map_write write = writes[i];
            uint32_t at = i;
            for (; at >= gap && beats(graph, &write, &writes[at - gap]); at -= gap)
                writes[at] = writes[at - gap];
            writes[at] = write;
        }
    reg->in_order = true;
    return writes;
}

const struct map_write *map_winner(const struct map *map, uint32_t key)
{
    struct map_register *reg = key == NAME_NONE ? NULL : map_find(map, key);
    if (reg == NULL || reg->count == 0) return NULL;
    const struct map_write *winner = register_slots(reg);
    return winner->gone ? NULL : winner;
}

/* ---- In order of keys ------------------------------------------------------------------------ */

struct by_key {
    const struct map *map;
    const struct names *names;
};

static bool key_before(const void *context, uint32_t a, uint32_t b)
{
    const struct by_key *by = context;
    return str_compare(names_get(by->names, by->map->registers.at[a].key),
                       names_get(by->names, by->map->registers.at[b].key)) < 0;
}

void map_sort(const struct map *map, const struct names *names, uint32_t *order, uint32_t count)
{
    const struct by_key by = {map, names};
    sort_indexes(order, count, key_before, &by);
}

uint32_t map_shown(struct map *map, const struct names *names, const uint32_t **order)
{
    if (!map->shown_valid) {
        map->shown_count = 0;
        for (uint32_t i = 0; i < map->registers.n; i++) {
            struct map_register *reg = &map->registers.at[i];
            if (reg->count > 0 && !register_slots(reg)->gone) map->shown[map->shown_count++] = i;
        }
        map_sort(map, names, map->shown, map->shown_count);
        map->shown_valid = true;
    }
    *order = map->shown;
    return map->shown_count;
}

size_t map_footprint(const struct map *map)
{
    size_t bytes = (size_t)map->registers.cap * sizeof(struct map_register) +
                   ((size_t)map->slot_cap + map->shown_cap) * sizeof(uint32_t);
    for (uint32_t i = 0; i < map->registers.n; i++)
        bytes += (size_t)map->registers.at[i].cap * sizeof(struct map_write);
    return bytes;
}
