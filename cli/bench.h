/* bench.h -- the parts of `syncline bench`:
 *
 *     bench.c         the command: a child per work, statistics, printing
 *     bench_work.c    the works on a record, and what they start from
 *     bench_many.c    works of no record: many documents, many writers of one key
 *     bench_made.c    histories made from a seed, for the two that follow
 *     bench_growth.c  time against size: a table, and by bench_plot.c a drawing
 *     bench_shapes.c  hostile histories */
#ifndef SYN_CLI_BENCH_H
#define SYN_CLI_BENCH_H

#include "cli.h"
#include "trace.h"

#define BENCH_MAX_RUNS   50
#define BENCH_MAX_EVENTS 10000000

struct bench_frames { /* one encoded Changes message after the other */
    syn_buf bytes;
    size_t *ends;
    uint32_t count, cap;
};
syn_err bench_frame_ended(struct bench_frames *frames); /* what was appended to bytes is one */
void bench_frames_free(struct bench_frames *frames);

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
    uint64_t bytes, down, rss;
    uint64_t steps; /* of merging, as the core counts them against its limit */
};

struct bench_effort {
    double ms;
    uint32_t least;
};
extern const struct bench_effort bench_thorough, bench_short, bench_once;

struct bench_result {
    uint32_t runs;
    double ms[BENCH_MAX_RUNS]; /* ascending */
    double
        worst_ms; /* of the repeat where it was least: the others show what else the machine did */
    uint64_t bytes, down, peak, rss, steps;
    syn_err err;
};
double bench_median(const struct bench_result *result);

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
const struct bench_work *bench_work_named(const char *name);

/* In a child; its outcome is also in result->err. */
syn_err bench_measure(const struct bench_work *work, const struct bench_material *m,
                      const struct bench_effort *effort, struct bench_result *result);

double bench_cpu_ms(void);
syn_err bench_doc(syn_doc **doc, syn_obj *text, const syn_mem *mem, uint64_t peer, bool events);
syn_err bench_take_frames(struct bench_run *run, const struct bench_frames *frames);
syn_err bench_many(struct bench_run *run);
syn_err bench_many_state(struct bench_run *run);
syn_err bench_map(struct bench_run *run);

/* On refusal bench_material_free is still due. */
syn_err bench_material_make(struct bench_material *m, const struct trace_record *rec);
syn_err bench_material_encode(struct bench_material *m); /* history, state, all from doc */
void bench_material_free(struct bench_material *m);

/* ---- Histories from a seed; on refusal what was made is still the caller's to free ----------- */

/* One author types `events` characters, and beyond `size` characters deletes as many as he types;
 * *ms: what his edits took. */
syn_err bench_made_typing(syn_doc **doc, uint32_t events, uint32_t size, double *ms);
/* `writers` replicas begin with one text and make `events` edits in all, each a frame; none knows
 * of another's.  The document has them all. */
syn_err bench_made_wide(struct bench_material *m, uint32_t events, uint32_t writers);
/* Two replicas in turns, `burst` edits each; each knows the other's but the last burst, so that at
 * no time everything is known to everyone. */
syn_err bench_made_pair(struct bench_material *m, uint32_t events, uint32_t burst);

int bench_growth(uint64_t max, const char *svg);
int bench_shapes(void);

#endif
