/* bench_growth.c -- `syncline bench --growth`: how time grows with size.
 *
 *     panel   what grows                      works measured
 *     ------  ------------------------------  -----------------------------
 *     size    characters of a document        local, encode, load, file
 *     age     events behind 10,000 characters local, merge, file, ready
 *     pair    events of two who never agree   live, merge, file, ready
 *     wide    writers at once, same events    live, merge, file
 *
 * Each point is a history made from a seed (bench_made.c), given to the works of bench_work.c. */
#include "bench.h"
#include "bench_plot.h"

#include <inttypes.h>
#include <math.h>
#include <string.h>

#define AGE_SIZE    10000
#define PAIR_BURST  20
#define WIDE_EVENTS 10000
#define WIDE_MOST   4095 /* a document refuses more heads than 4,096 */

struct growth {
    struct plot_panel panel;
    const char *works[PLOT_SERIES + 1];
    syn_err (*make)(struct bench_material *m, uint32_t at, uint32_t max, double *local_ms);
    bool wide;
};

static syn_err make_size(struct bench_material *m, uint32_t at, uint32_t max, double *local_ms)
{
    (void)max;
    return bench_made_typing(&m->doc, at, UINT32_MAX, local_ms);
}

static syn_err make_age(struct bench_material *m, uint32_t at, uint32_t max, double *local_ms)
{
    (void)max;
    return bench_made_typing(&m->doc, at, AGE_SIZE, local_ms);
}

static syn_err make_pair(struct bench_material *m, uint32_t at, uint32_t max, double *local_ms)
{
    (void)max;
    (void)local_ms;
    return bench_made_pair(m, at, PAIR_BURST);
}

static syn_err make_wide(struct bench_material *m, uint32_t at, uint32_t max, double *local_ms)
{
    (void)local_ms;
    return bench_made_wide(m, max < WIDE_EVENTS ? max : WIDE_EVENTS, at);
}

static const struct growth growths[] = {
    {{"A document's size", "characters, typed by one author", "CPU ms", 0, {{0}}},
     {"local", "encode", "load", "file", NULL},
     make_size,
     false},
    {{"Length of its history", "events behind 10,000 characters", "CPU ms", 0, {{0}}},
     {"local", "merge", "file", "ready", NULL},
     make_age,
     false},
    {{"Two authors who never agree",
      "events, always some unknown to the other",
      "CPU ms",
      0,
      {{0}}},
     {"live", "merge", "file", "ready", NULL},
     make_pair,
     false},
    {{"Writers at once", "writers, of 10,000 events in all", "CPU ms", 0, {{0}}},
     {"live", "merge", "file", NULL},
     make_wide,
     true},
};
#define GROWTHS (sizeof growths / sizeof growths[0])

/* Where to measure: decades, or of writers powers of four. */
static uint32_t next_point(const struct growth *g, uint32_t at)
{
    return !g->wide ? at * 10 : at * 4 < WIDE_MOST ? at * 4 : at < WIDE_MOST ? WIDE_MOST : 1 << 30;
}

static void add_point(struct plot_panel *panel, uint32_t series, double x, double y)
{
    struct plot_series *s = &panel->series[series];
    if (s->count == PLOT_POINTS || !(y > 0)) return;
    s->x[s->count] = x;
    s->y[s->count++] = y;
}

static syn_err measure_point(const struct growth *g, struct plot_panel *panel, uint32_t at,
                             uint32_t max)
{
    struct bench_material m = {0};
    double local_ms = 0;
    uint64_t peak = 0;
    syn_err err = g->make(&m, at, max, &local_ms);
    if (err == SYN_OK) err = bench_material_encode(&m);
    if (err == SYN_OK) (void)printf("| %" PRIu32, at);
    for (uint32_t w = 0; err == SYN_OK && g->works[w] != NULL; w++) {
        struct bench_result result;
        double ms = local_ms;
        if (strcmp(g->works[w], "local") != 0) {
            err = bench_measure(bench_work_named(g->works[w]), &m, &bench_short, &result);
            if (err != SYN_OK) break;
            ms = bench_median(&result);
            peak = result.peak;
        }
        (void)printf(" | %.4g ms", ms);
        add_point(panel, w, at, ms);
    }
    if (err == SYN_OK)
        (void)printf(" | %zu B | %zu B | %" PRIu64 " B |\n", m.all.len, m.state.len, peak);
    (void)fflush(stdout);
    bench_material_free(&m);
    return err;
}

static void print_head(const struct growth *g, const struct plot_panel *panel)
{
    uint32_t columns = 4;
    (void)printf("\n%s\n\n| %s", panel->title, panel->x_label);
    for (uint32_t w = 0; g->works[w] != NULL; w++, columns++) (void)printf(" | %s", g->works[w]);
    (void)printf(" | bytes of the file | of the state | peak memory of the last |\n");
    for (uint32_t c = 0; c < columns; c++) (void)printf("| --- ");
    (void)printf("|\n");
}

static syn_err measure_growth(const struct growth *g, struct plot_panel *panel, uint32_t max)
{
    uint32_t first = g->wide ? 1 : 1000, last = g->wide ? WIDE_MOST : max, points = 0, done = 0;
    *panel = g->panel;
    for (; g->works[panel->count] != NULL; panel->count++)
        panel->series[panel->count].name = g->works[panel->count];
    print_head(g, panel);
    for (uint32_t at = first; at <= last; at = next_point(g, at)) points++;
    syn_err err = SYN_OK;
    for (uint32_t at = first; err == SYN_OK && at <= last; at = next_point(g, at)) {
        progress(panel->title, done++, points);
        err = measure_point(g, panel, at, max);
    }
    progress_end();
    return err;
}

static int write_drawing(const char *path, const struct plot_panel *panels)
{
    FILE *file = fopen(path, "w");
    if (file == NULL) return failed("%s: cannot be written", path);
    plot_write(file, panels, GROWTHS);
    bool bad = ferror(file) != 0;
    return fclose(file) != 0 || bad ? failed("%s: cannot be written", path) : EXIT_DONE;
}

int bench_growth(uint64_t max, const char *svg)
{
    struct plot_panel panels[GROWTHS];
    for (size_t g = 0; g < GROWTHS; g++) {
        syn_err err = measure_growth(&growths[g], &panels[g], (uint32_t)max);
        if (err != SYN_OK) return failed("%s: %s", panels[g].title, syn_strerror(err));
    }
    return svg != NULL ? write_drawing(svg, panels) : EXIT_DONE;
}
