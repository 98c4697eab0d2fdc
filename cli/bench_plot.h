/* bench_plot.h -- lines in log-log panels, as one self-contained SVG. */
#ifndef SYN_CLI_BENCH_PLOT_H
#define SYN_CLI_BENCH_PLOT_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#define PLOT_SERIES 5
#define PLOT_POINTS 10

struct plot_series {
    const char *name;
    uint32_t count;
    double x[PLOT_POINTS], y[PLOT_POINTS]; /* above 0 */
};

struct plot_panel {
    const char *title, *x_label, *y_label;
    uint32_t count;
    struct plot_series series[PLOT_SERIES];
};

/* Two panels side by side, and so on downwards. */
void plot_write(FILE *out, const struct plot_panel *panels, uint32_t count);

#endif
