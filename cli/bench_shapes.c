/* bench_shapes.c -- `syncline bench --shapes`: histories that somebody makes to be dear.
 *
 *     shape   a maker of frames, one small change each, in the order in which they arrive
 *             at three sizes                        -> a row each
 *     row     every frame applied by itself (live)  -> ns and steps per event, the worst one
 *             the whole from bytes (merge)          -> ns per event
 *
 * The last column is what an event costs at the greatest size, divided by the same at the least: 1
 * where cost does not depend on the size.  Steps are what the core counts against its work limit; a
 * frame that the limit refuses ends the row, and the row says so. */
#include "bench.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SIZES    3
#define BRANCHES 16

struct shape {
    const char *name;
    syn_err (*make)(struct bench_frames *frames, uint32_t events);
    uint32_t sizes[SIZES];
};

/* ---- Replicas that hear only what they are given --------------------------------------------- */

struct replica {
    syn_doc *doc;
    syn_obj text;
};

static syn_err replica_init(struct replica *r, uint64_t peer)
{
    return bench_doc(&r->doc, &r->text, NULL, peer, false);
}

static syn_err hear(struct replica *r, const struct bench_frames *frames, uint32_t frame)
{
    size_t from = frame == 0 ? 0 : frames->ends[frame - 1];
    return syn_import(r->doc, frames->bytes.data + from, frames->ends[frame] - from);
}

/* Inserts a character (or deletes one, with NULL) as a frame. */
static syn_err splice(struct replica *r, size_t pos, const char *text, struct bench_frames *frames)
{
    syn_id heads[BRANCHES + 1];
    size_t had = syn_doc_heads(r->doc, heads, BRANCHES + 1);
    syn_err err = had > BRANCHES + 1 ? SYN_EMISUSE
                  : text != NULL     ? syn_text_insert(r->doc, r->text, pos, syn_s(text))
                                     : syn_text_delete(r->doc, r->text, pos, 1);
    if (err == SYN_OK) err = syn_export_since(r->doc, heads, had, &frames->bytes);
    return err == SYN_OK ? bench_frame_ended(frames) : err;
}

/* One edit per replica, each by a peer of its own, all on the same empty text. */
static syn_err one_each(struct bench_frames *frames, uint32_t events, bool descending)
{
    syn_err err = SYN_OK;
    for (uint32_t i = 0; err == SYN_OK && i < events; i++) {
        struct replica r = {0};
        err = replica_init(&r, 1 + (descending ? events - i : i));
        if (err == SYN_OK) err = splice(&r, 0, "x", frames);
        syn_doc_free(r.doc);
    }
    return err;
}

/* ---- The shapes ------------------------------------------------------------------------------ */

static syn_err heads_ascending(struct bench_frames *frames, uint32_t events)
{
    return one_each(frames, events, false);
}

static syn_err heads_descending(struct bench_frames *frames, uint32_t events)
{
    return one_each(frames, events, true);
}

/* `count` branches that hear nothing of each other, arriving by turns; each types at its end, or
 * (backwards) at the beginning, where the others do. */
static syn_err branches(struct bench_frames *frames, uint32_t events, uint32_t count,
                        bool backwards)
{
    struct replica r[BRANCHES] = {{0}};
    syn_err err = SYN_OK;
    for (uint32_t i = 0; err == SYN_OK && i < count; i++) err = replica_init(&r[i], 1 + i);
    for (uint32_t i = 0; err == SYN_OK && i < events; i++) {
        struct replica *who = &r[i % count];
        err = splice(who, backwards ? 0 : syn_text_len(who->doc, who->text), "x", frames);
    }
    for (uint32_t i = 0; i < count; i++) syn_doc_free(r[i].doc);
    return err;
}

static syn_err two_branches(struct bench_frames *frames, uint32_t events)
{
    return branches(frames, events, 2, false);
}

static syn_err four_branches(struct bench_frames *frames, uint32_t events)
{
    return branches(frames, events, 4, false);
}

/* More than the tracker keeps copies for (STANDS_MOST of core/stands.h). */
static syn_err sixteen_branches(struct bench_frames *frames, uint32_t events)
{
    return branches(frames, events, BRANCHES, false);
}

static syn_err backward_typists(struct bench_frames *frames, uint32_t events)
{
    return branches(frames, events, 2, true);
}

/* Two who hear each other, but never the last: every second event begins before the one ahead. */
static syn_err never_in_step(struct bench_frames *frames, uint32_t events)
{
    struct replica r[2] = {{0}};
    syn_err err = replica_init(&r[0], 1);
    if (err == SYN_OK) err = replica_init(&r[1], 2);
    for (uint32_t i = 0; err == SYN_OK && i < events; i++) {
        struct replica *who = &r[i % 2];
        if (i >= 3) err = hear(who, frames, i - 3);
        if (err == SYN_OK) err = splice(who, syn_text_len(who->doc, who->text) / 2, "x", frames);
    }
    for (uint32_t i = 0; i < 2; i++) syn_doc_free(r[i].doc);
    return err;
}

/* Twenty thousand concurrent events are more heads than a document takes, so here the writers are a
 * thousand, and each types a run at the same place, the greatest first. */
static syn_err same_place(struct bench_frames *frames, uint32_t events)
{
    uint32_t writers = events / 20;
    syn_err err = SYN_OK;
    for (uint32_t w = 0; err == SYN_OK && w < writers; w++) {
        struct replica r = {0};
        err = replica_init(&r, writers - w);
        for (uint32_t i = 0; err == SYN_OK && i < 20; i++) err = splice(&r, 0, "x", frames);
        syn_doc_free(r.doc);
    }
    return err;
}

/* A text of the size, then one deletion after another: from its beginning, or by two at once who
 * delete the same from both ends. */
static syn_err deletes(struct bench_frames *frames, uint32_t events, bool both)
{
    struct replica r[2] = {{0}};
    uint32_t chars = both ? events / 2 : events;
    char *text = malloc((size_t)chars + 1);
    syn_err err = text != NULL ? replica_init(&r[0], 1) : SYN_ENOMEM;
    if (err == SYN_OK) err = replica_init(&r[1], 2);
    if (err == SYN_OK) {
        memset(text, 'x', chars);
        text[chars] = '\0';
        err = splice(&r[0], 0, text, frames);
    }
    if (err == SYN_OK) err = hear(&r[1], frames, 0);
    for (uint32_t i = 0; err == SYN_OK && i < chars; i++) {
        err = splice(&r[0], 0, NULL, frames);
        if (err == SYN_OK && both) err = splice(&r[1], chars - 1 - i, NULL, frames);
    }
    for (uint32_t i = 0; i < 2; i++) syn_doc_free(r[i].doc);
    free(text);
    return err;
}

static syn_err delete_chain(struct bench_frames *frames, uint32_t events)
{
    return deletes(frames, events, false);
}

static syn_err delete_same(struct bench_frames *frames, uint32_t events)
{
    return deletes(frames, events, true);
}

/* Two at once; each inserts a character at one place and takes it back. */
static syn_err insert_delete(struct bench_frames *frames, uint32_t events)
{
    struct replica r[2] = {{0}};
    syn_err err = replica_init(&r[0], 1);
    if (err == SYN_OK) err = replica_init(&r[1], 2);
    for (uint32_t i = 0; err == SYN_OK && i < events; i++)
        err = splice(&r[i / 2 % 2], 0, i % 2 == 0 ? "x" : NULL, frames);
    for (uint32_t i = 0; i < 2; i++) syn_doc_free(r[i].doc);
    return err;
}

static const struct shape shapes[] = {
    {"heads: one event each, peers ascending", heads_ascending, {256, 1024, 4096}},
    {"heads: one event each, peers descending", heads_descending, {256, 1024, 4096}},
    {"one place: runs of 20 backwards, peers descending", same_place, {1250, 5000, 20000}},
    {"two branches by turns, never merged", two_branches, {500, 2000, 8000}},
    {"four branches by turns, never merged", four_branches, {500, 2000, 8000}},
    {"sixteen branches by turns, never merged", sixteen_branches, {500, 2000, 8000}},
    {"two backward typists at one place", backward_typists, {500, 2000, 8000}},
    {"two who always lag by one", never_in_step, {1250, 5000, 20000}},
    {"deletions one by one", delete_chain, {1250, 5000, 20000}},
    {"the same deleted by two, from both ends", delete_same, {500, 2000, 8000}},
    {"insert and delete, two at once", insert_delete, {500, 2000, 8000}},
};
#define SHAPES (sizeof shapes / sizeof shapes[0])

/* ---- Measuring ------------------------------------------------------------------------------- */

struct row {
    double live_ns, merge_ns; /* of an event */
    double steps;
    double worst_ms;
};

static syn_err gather(struct bench_material *m)
{
    syn_obj text;
    syn_err err = bench_doc(&m->doc, &text, NULL, 0, false);
    struct replica r = {m->doc, text};
    for (uint32_t i = 0; err == SYN_OK && i < m->frames.count; i++) err = hear(&r, &m->frames, i);
    return err == SYN_OK ? syn_export_since(m->doc, NULL, 0, &m->history) : err;
}

static syn_err measure_row(const struct shape *shape, uint32_t events, struct row *row)
{
    struct bench_material m = {0};
    struct bench_result live, merge;
    live.err = SYN_EIO;
    syn_err err = shape->make(&m.frames, events);
    if (err == SYN_OK) err = gather(&m);
    if (err == SYN_OK) err = bench_measure(bench_work_named("live"), &m, &bench_short, &live);
    if (err == SYN_OK) err = bench_measure(bench_work_named("merge"), &m, &bench_short, &merge);
    bool limited = err == SYN_ELIMIT && live.err == SYN_OK; /* as one change it is too dear */
    if (err == SYN_OK || limited)
        *row = (struct row){bench_median(&live) * 1e6 / events,
                            limited ? 0 : bench_median(&merge) * 1e6 / events,
                            (double)live.steps / events, live.worst_ms};
    if (limited) err = SYN_OK;
    bench_material_free(&m);
    return err;
}

static int measure_shape(const struct shape *shape)
{
    struct row first = {0};
    for (uint32_t i = 0; i < SIZES; i++) {
        struct row row;
        uint32_t events = shape->sizes[i];
        syn_err err = measure_row(shape, events, &row);
        progress_end();
        if (err == SYN_ELIMIT) {
            (void)printf("| %s | %" PRIu32 " | refused: limit of work | - | - | - | - | - |\n",
                         shape->name, events);
            continue;
        }
        if (err != SYN_OK) return failed("%s: %s", shape->name, syn_strerror(err));
        if (i == 0) first = row;
        (void)printf("| %s | %" PRIu32 " | %.0f ns | %.1f | %.3f ms | ", shape->name, events,
                     row.live_ns, row.steps, row.worst_ms);
        if (row.merge_ns > 0)
            (void)printf("%.0f ns | %.1f | %.1f |\n", row.merge_ns, row.live_ns / first.live_ns,
                         row.merge_ns / first.merge_ns);
        else
            (void)printf("refused: limit of work | %.1f | - |\n", row.live_ns / first.live_ns);
        (void)fflush(stdout);
    }
    return EXIT_DONE;
}

int bench_shapes(void)
{
    (void)printf("\n| shape | events | live, per event | steps | worst one | merge, per event | "
                 "live: growth | merge: growth |\n"
                 "| --- | --- | --- | --- | --- | --- | --- | --- |\n");
    for (size_t i = 0; i < SHAPES; i++) {
        progress(shapes[i].name, i, SHAPES);
        if (measure_shape(&shapes[i]) != EXIT_DONE) return EXIT_FAILED;
    }
    return EXIT_DONE;
}
