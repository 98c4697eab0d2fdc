/* map.h -- registers by key: last writer wins, concurrent losers stay readable.
 *
 * A register holds the writes of its key that no other write of it has among its ancestors, the
 * winner first (by lamport, peer, seq, all unsigned, the greatest wins).  A delete is a write like
 * any other.
 *
 *     registers   key 7 -> [winner, loser, loser]     key 2 -> [winner]     in order of first use
 *     index       open addressing from key number to register; none while there are few
 *     shown       registers whose winner is no delete, by bytes of the key; made when asked for
 *
 * Losers are put in order when somebody asks for them (map_writes): a thousand clients that set one
 * key at once cost one comparison each, and one sort in the end.  For the same reason a write is
 * compared only with those kept that may be its ancestors, by the age of the oldest.
 *
 * map_reserve may fail, map_write_in cannot. */
#ifndef SYN_CORE_MAP_H
#define SYN_CORE_MAP_H

#include "oplog.h"

struct map_write {
    lv_t lv; /* LV_NONE: below the snapshot, so an ancestor of everything here */
    uint32_t agent, seq, lamport;
    bool gone;
    struct op_arg value;
};

struct map_register {
    uint32_t key;
    uint32_t count;
    uint32_t cap;     /* 0: `one` holds the only write */
    uint32_t pending; /* writes that have room reserved and are still to come */
    uint32_t oldest;  /* no write kept has a lower LV; 0 also when one is below the snapshot */
    bool in_order;    /* the losers are */
    union {
        struct map_write one;
        struct map_write *many;
    } writes;
};

struct map {
    ARRAY(struct map_register) registers;
    uint32_t *slots; /* register + 1; NULL: few, no index */
    uint32_t *shown; /* capacity: registers.cap */
    uint32_t slot_cap, shown_cap, shown_count;
    bool shown_valid;
};

void map_free(struct map *map, const syn_mem *mem);
void map_trim(struct map *map, const syn_mem *mem); /* gives spare room back */
/* Makes room for one write more than reserved already; each reserve is followed by one map_write_in
 * or one map_unreserve.  `fast`: the write will supersede all others. */
syn_err map_reserve(struct map *map, const syn_mem *mem, uint32_t key, bool fast);
void map_unreserve(struct map *map, uint32_t key);
/* Takes a write in: those that are its ancestors go.  `fast`: all are. */
void map_write_in(struct map *map, const struct graph *graph, uint32_t key,
                  const struct map_write *write, bool fast);
/* Puts a write of a snapshot behind those of its key (reserved as not fast); false: it does not
 * lose against the last of them. */
bool map_add_loser(struct map *map, const struct graph *graph, uint32_t key,
                   const struct map_write *write);
/* NULL: the key was never written. */
struct map_register *map_find(const struct map *map, uint32_t key);
/* The writes kept, the winner first and the losers in any order. */
static inline struct map_write *register_slots(struct map_register *reg)
{
    return reg->cap == 0 ? &reg->writes.one : reg->writes.many;
}
/* The writes kept, greatest first.  Puts them so when they are not: a cache, so readers may. */
const struct map_write *map_writes(const struct graph *graph, struct map_register *reg);
/* Sets a register to what its slots were before; they fit, for they were there. */
void map_put_back(struct map *map, uint32_t key, const struct map_write *writes, uint32_t count);
/* The winner if it shows, or NULL. */
const struct map_write *map_winner(const struct map *map, uint32_t key);
/* Shown registers in byte order of their keys. */
uint32_t map_shown(struct map *map, const struct names *names, const uint32_t **order);
/* Sorts `count` indexes of registers by bytes of their keys. */
void map_sort(const struct map *map, const struct names *names, uint32_t *order, uint32_t count);
size_t map_footprint(const struct map *map);

#endif
