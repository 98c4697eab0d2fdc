#include "list.h"

void list_free(struct list *list, const syn_mem *mem)
{
    mem_free(mem, list->at, (size_t)list->cap * sizeof *list->at);
    *list = (struct list){0};
}

static void move_gap(struct list *list, uint32_t to)
{
    uint32_t width = list->cap - list->n;
    struct list_slot *at = list->at;
    if (to < list->gap)
        memmove(at + to + width, at + to, (size_t)(list->gap - to) * sizeof *at);
    else if (to > list->gap)
        memmove(at + list->gap, at + list->gap + width, (size_t)(to - list->gap) * sizeof *at);
    list->gap = to;
}

void list_trim(struct list *list, const syn_mem *mem)
{
    void *at = list->at;
    if (list->cap > 0) move_gap(list, list->n);
    mem_fit(mem, &at, &list->cap, list->n, sizeof *list->at);
    list->at = at;
}

syn_err list_reserve(struct list *list, const syn_mem *mem, uint32_t more)
{
    if (list->n + more <= list->cap) return SYN_OK;
    if (list->cap > 0) move_gap(list, list->n); /* so that growing is one copy */
    void *at = list->at;
    syn_err err = mem_reserve(mem, &at, &list->cap, (uint64_t)list->n + more, sizeof *list->at);
    list->at = at;
    return err;
}

void list_open(struct list *list, uint32_t pos, uint32_t count)
{
    assert(pos <= list->n && list->n + count <= list->cap);
    move_gap(list, pos);
    list->gap += count;
    list->n += count;
}

void list_delete(struct list *list, uint32_t pos, uint32_t count)
{
    assert(pos + count <= list->n);
    if (count == 0) return;
    move_gap(list, pos + count);
    list->gap -= count;
    list->n -= count;
}

struct list_slot *list_slot_at(const struct list *list, uint32_t pos)
{
    assert(pos < list->n);
    return &list->at[pos < list->gap ? pos : pos + (list->cap - list->n)];
}
