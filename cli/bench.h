/* bench.h -- between `syncline bench` (bench.c: a child per work, statistics, printing) and what it
 * measures (bench_work.c: preparing, the works). */
#ifndef SYN_CLI_BENCH_H
#define SYN_CLI_BENCH_H

#include "cli.h"
#include "trace.h"

struct bench_frames { /* one encoded Changes message after the other */
    syn_buf bytes;
    size_t *ends;
    uint32_t count;
};

/* What the works start from, made once per record; works of no record get an empty one. */
struct bench_material {
    const struct trace_record *rec;
    syn_doc *doc;
    syn_buf history, state, all;
    syn_buf behind;       /* everything as it was 100 events before the end */
    syn_id *behind_heads; /* ... and its heads */
    size_t behind_head_count;
    struct bench_frames frames;
    char folder[64]; /* temporary, with the database `file` in it; "": not made */
    char file[80];
};

/* One repeat of a work. */
struct bench_run {
    const struct bench_material *m;
    const syn_mem *mem; /* NULL: malloc, else it counts */
    size_t *held;       /* what is held of mem now; NULL with mem */
    double ms;
    double worst_ms; /* the dearest single change, for works that look at each; else below 0 */
    uint64_t bytes;
};

enum bench_needs {
    BENCH_NO_RECORD, /* measured once, whatever the traces */
    BENCH_ANY,
    BENCH_LINEAR,     /* only records where nothing is concurrent */
    BENCH_CONCURRENT, /* only records where something is */
};

struct bench_work {
    const char *name;
    syn_err (*fn)(struct bench_run *);
    enum bench_needs needs;
};
extern const struct bench_work bench_works[];
extern const size_t bench_work_count;

/* On refusal material_free is still due. */
syn_err bench_material_make(struct bench_material *m, const struct trace_record *rec);
void bench_material_free(struct bench_material *m);

#endif
