#include "names.h"

#define XXH_INLINE_ALL
#include <xxhash.h>

void names_free(struct names *names, const syn_mem *mem)
{
    array_free(mem, &names->bytes);
    array_free(mem, &names->list);
    mem_free(mem, names->slots, (size_t)names->slot_cap * sizeof *names->slots);
    names->slots = NULL;
    names->slot_cap = 0;
}

void names_trim(struct names *names, const syn_mem *mem)
{
    array_fit(mem, &names->bytes);
    array_fit(mem, &names->list);
}

int str_compare(syn_str a, syn_str b)
{
    size_t n = a.len < b.len ? a.len : b.len;
    int order = n == 0 ? 0 : memcmp(a.data, b.data, n);
    if (order != 0) return order;
    return a.len < b.len ? -1 : a.len > b.len;
}

static uint32_t hash_of(const struct names *names, syn_str name)
{
    return (uint32_t)XXH3_64bits_withSeed(name.len == 0 ? "" : name.data, name.len, names->seed);
}

static bool holds(const struct names *names, uint32_t number, syn_str name, uint32_t hash)
{
    return names->list.at[number].hash == hash && str_equal(names_get(names, number), name);
}

static uint32_t find(const struct names *names, syn_str name, uint32_t hash)
{
    uint32_t number = 0, mask = names->slot_cap - 1;
    if (names->slot_cap == 0) {
        while (number < names->list.n && !holds(names, number, name, hash)) number++;
        return number < names->list.n ? number : NAME_NONE;
    }
    for (uint32_t slot = hash & mask; names->slots[slot] != 0; slot = (slot + 1) & mask)
        if (holds(names, names->slots[slot] - 1, name, hash)) return names->slots[slot] - 1;
    return NAME_NONE;
}

uint32_t names_find(const struct names *names, syn_str name)
{
    return names->list.n == 0 ? NAME_NONE : find(names, name, hash_of(names, name));
}

static void put_slot(struct names *names, uint32_t number)
{
    if (names->slot_cap == 0) return;
    uint32_t slot = names->list.at[number].hash & (names->slot_cap - 1);
    while (names->slots[slot] != 0) slot = (slot + 1) & (names->slot_cap - 1);
    names->slots[slot] = number + 1;
}

static void refill(struct names *names)
{
    if (names->slot_cap > 0) memset(names->slots, 0, names->slot_cap * sizeof *names->slots);
    for (uint32_t i = 0; i < names->list.n; i++) put_slot(names, i);
}

static syn_err grow_slots(struct names *names, const syn_mem *mem)
{
    if (index_serves(names->list.n + 1, names->slot_cap)) return SYN_OK;
    uint32_t cap = index_grown(names->slot_cap);
    uint32_t *slots = mem_alloc(mem, (size_t)cap * sizeof *slots);
    if (slots == NULL) return SYN_ENOMEM;
    mem_free(mem, names->slots, (size_t)names->slot_cap * sizeof *names->slots);
    names->slots = slots;
    names->slot_cap = cap;
    refill(names);
    return SYN_OK;
}

syn_err names_add(struct names *names, const syn_mem *mem, syn_str name, uint32_t *number)
{
    uint32_t hash = hash_of(names, name);
    *number = find(names, name, hash);
    if (*number != NAME_NONE) return SYN_OK;
    syn_err err = grow_slots(names, mem);
    if (err == SYN_OK) err = array_reserve(mem, &names->list, 1);
    if (err == SYN_OK && name.len > 0) err = array_reserve(mem, &names->bytes, name.len);
    if (err != SYN_OK) return err;
    if (name.len > 0) memcpy(names->bytes.at + names->bytes.n, name.data, name.len);
    *number = names->list.n;
    *array_push(&names->list) = (struct name){names->bytes.n, (uint32_t)name.len, hash};
    names->bytes.n += (uint32_t)name.len;
    put_slot(names, *number);
    return SYN_OK;
}

void names_truncate(struct names *names, uint32_t n)
{
    if (n >= names->list.n) return;
    names->bytes.n = names->list.at[n].off;
    names->list.n = n;
    refill(names);
}
