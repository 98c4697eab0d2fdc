/* flat.h -- a short window with few writers, merged without moving a prepare version.
 *
 * The tracker (tracker.h) counts for each element what the prepare version knows of it, and so must
 * be told at every change of branch what goes out of that version and what comes in.  Two people
 * who type at once change branches at every few keystrokes, in windows of some dozen events; there
 * it is cheaper to keep, beside each element, *when* it was made and deleted, and to ask all of
 * them whether a version knows.  A version is one number per writer (dense.h), and a writer deletes
 * an element once at most.
 *
 *     record   id, len          elements id .. id+len-1, in document order; ids as the tracker's:
 *                               0 .. base_len-1 stood there before the window, then LVs
 *              left, right      FugueMax origins
 *              shown            its length in the effect version, 0: somebody deleted it
 *              writer           who made it; of the base: anybody
 *              when             made and deleted: a stamp
 *
 * A stamp has two fields of 16 bits per writer, made and gone, the uppermost bit of each 0:
 *
 *     word 0   gone by 1 | made by 1 | gone by 0 | made by 0        word 1: writers 2 and 3
 *
 * `made` of the record's writer is 1 + the event that made it, counted from the window's first, and
 * the others are 0.  `gone` is NEVER less 1 + the event by which that writer deleted it, or 0.  A
 * version has a stamp as well, such that the sum of what it does not know has an uppermost bit: so
 * one addition asks of two writers at once.  Mostly there are not more, and word 1 is left alone.
 *
 * An insert or delete lies whole in a version or not at all, because what is fed is cut wherever
 * some version of the window ends (dense_cut_after); so one number stands for all its elements.
 *
 * The last record stands for the end of the sequence: its id is END, every version knows it, and it
 * is longer than any position, so that no loop asks whether there are records left.
 *
 * Records are an array, for windows are short: a search looks at half of them, an insert moves
 * those behind it.  What takes more work than that is given up (flat_worth_it) and left to the
 * tracker. */
#ifndef SYN_CORE_FLAT_H
#define SYN_CORE_FLAT_H

#include "dense.h"
#include "oplog.h"
#include "tracker.h"

struct flat_stamp {
    uint64_t word[DENSE_PEERS / 2];
};

struct flat_record {
    uint32_t id, len, shown;
    uint32_t left, right;
    uint32_t writer;
    struct flat_stamp when;
};

/* A record, and the lengths in front of it: in the version of now, in the effect version. */
struct flat_place {
    uint32_t i, seen, shown;
};

struct flat_merge {
    ARRAY(struct flat_record) list;
    const struct dense *dense;
    uint32_t base_len;
    uint32_t writer;         /* whose run is being fed */
    struct flat_stamp now;   /* the version */
    struct flat_place near;  /* of the row's last piece, which changed nothing in front of it: the
                                next one mostly is there, too */
    uint64_t work;           /* records looked at beyond one pass an operation */
    tracker_effects effects; /* of the last delete */
};

/* Begins the dense window, in which the sequence has base_len elements at first.  SYN_ENOMEM. */
syn_err flat_begin(struct flat_merge *f, const syn_mem *mem, const struct dense *dense,
                   uint32_t base_len);
/* What is fed next is of this row, which begins at its first event. */
void flat_go_to(struct flat_merge *f, uint32_t row);
/* Each feeds the next piece of the row, which no version cuts.  insert: *pos is where it lands.
 * delete: the effects are f->effects, each to be applied after the one before it.  SYN_ERANGE,
 * SYN_ENOMEM. */
syn_err flat_insert(struct flat_merge *f, const syn_mem *mem, const struct op_piece *piece,
                    uint32_t *pos);
syn_err flat_delete(struct flat_merge *f, const syn_mem *mem, const struct op_piece *piece);
/* Has the work stayed in proportion to the window? */
bool flat_worth_it(const struct flat_merge *f);

void flat_free(struct flat_merge *f, const syn_mem *mem);

#endif
