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

/* The slot that holds the name, or the empty one where it would go. */
static uint32_t probe(const struct names *names, syn_str name, uint32_t hash)
{
    uint32_t mask = names->slot_cap - 1;
    uint32_t slot = hash & mask;
    while (names->slots[slot] != 0) {
        uint32_t number = names->slots[slot] - 1;
        if (names->list.at[number].hash == hash && str_equal(names_get(names, number), name)) break;
        slot = (slot + 1) & mask;
    }
    return slot;
}

uint32_t names_find(const struct names *names, syn_str name)
{
    if (names->slot_cap == 0) return NAME_NONE;
    uint32_t found = names->slots[probe(names, name, hash_of(names, name))];
    return found == 0 ? NAME_NONE : found - 1;
}

static void refill(struct names *names)
{
    memset(names->slots, 0, (size_t)names->slot_cap * sizeof *names->slots);
    for (uint32_t i = 0; i < names->list.n; i++) {
        uint32_t slot = names->list.at[i].hash & (names->slot_cap - 1);
        while (names->slots[slot] != 0) slot = (slot + 1) & (names->slot_cap - 1);
        names->slots[slot] = i + 1;
    }
}

static syn_err grow_slots(struct names *names, const syn_mem *mem)
{
    if (names->slot_cap > 0 && (names->list.n + 1) * 4 <= names->slot_cap * 3) return SYN_OK;
    uint32_t cap = names->slot_cap == 0 ? 8 : names->slot_cap * 2;
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
    *number = names_find(names, name);
    if (*number != NAME_NONE) return SYN_OK;
    syn_err err = grow_slots(names, mem);
    if (err == SYN_OK) err = array_reserve(mem, &names->list, 1);
    if (err == SYN_OK && name.len > 0) err = array_reserve(mem, &names->bytes, name.len);
    if (err != SYN_OK) return err;
    uint32_t hash = hash_of(names, name);
    uint32_t slot = probe(names, name, hash);
    if (name.len > 0) memcpy(names->bytes.at + names->bytes.n, name.data, name.len);
    *number = names->list.n;
    *array_push(&names->list) = (struct name){names->bytes.n, (uint32_t)name.len, hash};
    names->bytes.n += (uint32_t)name.len;
    names->slots[slot] = *number + 1;
    return SYN_OK;
}

void names_truncate(struct names *names, uint32_t n)
{
    if (n >= names->list.n) return;
    names->bytes.n = names->list.at[n].off;
    names->list.n = n;
    refill(names);
}
