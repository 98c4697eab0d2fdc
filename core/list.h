/* list.h -- the items of one list: a gap buffer of slots.
 *
 *     [slot slot slot ......gap...... slot slot]
 *
 * Edits near the last one move little; an edit far away moves the items between, 40 bytes each:
 * some 3 us for a thousand items, 4 ms for a million.  A tree would bound that, and pays only
 * beyond some 10^5 items; it would cost the usual short list twice its memory.  list_reserve may
 * fail, the edits cannot. */
#ifndef SYN_CORE_LIST_H
#define SYN_CORE_LIST_H

#include "oplog.h"

struct list_slot {
    struct op_arg value;
    struct writer made; /* the event that inserted the element */
    struct writer set;  /* the event whose value shows: made, or the winning LIST_SET */
};

struct list {
    struct list_slot *at;
    uint32_t n, cap, gap; /* items before the gap */
};

void list_free(struct list *list, const syn_mem *mem);
void list_trim(struct list *list, const syn_mem *mem); /* gives spare room back */
syn_err list_reserve(struct list *list, const syn_mem *mem, uint32_t more);
/* Opens `count` slots at pos, to be filled through list_slot_at. */
void list_open(struct list *list, uint32_t pos, uint32_t count);
void list_delete(struct list *list, uint32_t pos, uint32_t count);
struct list_slot *list_slot_at(const struct list *list, uint32_t pos);

#endif
