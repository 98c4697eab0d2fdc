/* bench_plot.c -- log-log panels as SVG.
 *
 *     +-- title ----------------------+
 *     | 10^k +---------------------+  |    both axes are whole decades, so that a line's slope can
 * be |  y   |   o----o----o name  |  |    compared by eye: one decade up per decade right is linear
 *     | 10^j +---------------------+  |
 *     |        10^a   x label  10^b   |
 *     +-------------------------------+
 *
 * Colours are classes of a style sheet inside, with a second set for dark surroundings. Names stand
 * at the ends of their lines, moved apart where they would touch. */
#include "bench_plot.h"

#include <math.h>

#define PANEL_WIDTH  560
#define PANEL_HEIGHT 360
#define LEFT         64
#define TOP          44
#define RIGHT        76
#define BOTTOM       56
#define LABEL_GAP    15.0

static const char style[] =
    "<style>text{font:13px system-ui,sans-serif;fill:#1f2328}.title{font-size:15px;font-weight:600}"
    ".small{font-size:12px;fill:#59636e}.page{fill:#ffffff}.grid{stroke:#d8dee4;stroke-width:1}"
    ".frame{fill:none;stroke:#8c959f}.line{fill:none;stroke-width:2}"
    ".s0{stroke:#0969da}.s1{stroke:#bc4c00}.s2{stroke:#1a7f37}.s3{stroke:#8250df}.s4{stroke:#"
    "bf3989}"
    ".t0{fill:#0969da}.t1{fill:#bc4c00}.t2{fill:#1a7f37}.t3{fill:#8250df}.t4{fill:#bf3989}"
    "@media(prefers-color-scheme:dark){text{fill:#f0f6fc}.small{fill:#9198a1}.page{fill:#0d1117}"
    ".grid{stroke:#2f353d}.frame{stroke:#656c76}"
    ".s0{stroke:#4493f8}.s1{stroke:#db6d28}.s2{stroke:#3fb950}.s3{stroke:#ab7df8}.s4{stroke:#"
    "db61a2}"
    ".t0{fill:#4493f8}.t1{fill:#db6d28}.t2{fill:#3fb950}.t3{fill:#ab7df8}.t4{fill:#db61a2}}</"
    "style>";

struct axis { /* decades [from, to] over pixels [start, start + length]; y runs upwards */
    int from, to;
    double start, length;
};

static double place(const struct axis *axis, double value)
{
    return axis->start + (log10(value) - axis->from) / (axis->to - axis->from) * axis->length;
}

static void widen(struct axis *axis, double value, bool first)
{
    int low = (int)floor(log10(value) + 1e-9), high = (int)ceil(log10(value) - 1e-9);
    if (first || low < axis->from) axis->from = low;
    if (first || high > axis->to) axis->to = high;
    if (axis->to == axis->from) axis->to++;
}

static void find_axes(const struct plot_panel *panel, struct axis *x, struct axis *y)
{
    bool first = true;
    for (uint32_t s = 0; s < panel->count; s++)
        for (uint32_t i = 0; i < panel->series[s].count; i++) {
            widen(x, panel->series[s].x[i], first);
            widen(y, panel->series[s].y[i], first);
            first = false;
        }
}

static void decade_name(FILE *out, int decade)
{
    static const char *const plain[] = {"0.001", "0.01", "0.1",   "1",
                                        "10",    "100",  "1,000", "10,000"};
    if (decade >= -3 && decade <= 4)
        (void)fputs(plain[decade + 3], out);
    else
        (void)fprintf(out, "10<tspan dy='-5' font-size='9'>%d</tspan>", decade);
}

static void draw_axes(FILE *out, const struct axis *x, const struct axis *y)
{
    double bottom = y->start, top = y->start + y->length, right = x->start + x->length;
    for (int d = x->from; d <= x->to; d++) {
        double at = place(x, pow(10, d));
        (void)fprintf(out, "<path class='grid' d='M%.1f %.1fV%.1f'/>", at, bottom, top);
        (void)fprintf(out, "<text class='small' x='%.1f' y='%.1f' text-anchor='middle'>", at,
                      bottom + 18);
        decade_name(out, d);
        (void)fputs("</text>\n", out);
    }
    for (int d = y->from; d <= y->to; d++) {
        double at = place(y, pow(10, d));
        (void)fprintf(out, "<path class='grid' d='M%.1f %.1fH%.1f'/>", x->start, at, right);
        (void)fprintf(out, "<text class='small' x='%.1f' y='%.1f' text-anchor='end'>", x->start - 6,
                      at + 4);
        decade_name(out, d);
        (void)fputs("</text>\n", out);
    }
    (void)fprintf(out, "<rect class='frame' x='%.1f' y='%.1f' width='%.1f' height='%.1f'/>\n",
                  x->start, top, x->length, -y->length);
}

static void draw_line(FILE *out, const struct plot_series *series, uint32_t color,
                      const struct axis *x, const struct axis *y)
{
    (void)fprintf(out, "<polyline class='line s%u' points='", color);
    for (uint32_t i = 0; i < series->count; i++)
        (void)fprintf(out, "%.1f,%.1f ", place(x, series->x[i]), place(y, series->y[i]));
    (void)fputs("'/>", out);
    for (uint32_t i = 0; i < series->count; i++)
        (void)fprintf(out, "<circle class='t%u' r='3' cx='%.1f' cy='%.1f'/>", color,
                      place(x, series->x[i]), place(y, series->y[i]));
    (void)fputs("\n", out);
}

/* Names from the lowest line upwards, each at least a gap above the one before. */
static void draw_names(FILE *out, const struct plot_panel *panel, const struct axis *x,
                       const struct axis *y)
{
    double next = y->start + LABEL_GAP;
    bool done[PLOT_SERIES] = {false};
    for (uint32_t n = 0; n < panel->count; n++) {
        uint32_t low = PLOT_SERIES;
        double at = 0;
        for (uint32_t s = 0; s < panel->count; s++) {
            const struct plot_series *series = &panel->series[s];
            if (done[s] || series->count == 0) continue;
            double end = place(y, series->y[series->count - 1]);
            if (low == PLOT_SERIES || end > at) {
                low = s;
                at = end;
            }
        }
        if (low == PLOT_SERIES) return;
        done[low] = true;
        if (at > next - LABEL_GAP) at = next - LABEL_GAP;
        next = at;
        (void)fprintf(out, "<text class='t%u' x='%.1f' y='%.1f'>%s</text>\n", low,
                      x->start + x->length + 8, at + 4, panel->series[low].name);
    }
}

static void draw_panel(FILE *out, const struct plot_panel *panel, uint32_t at)
{
    double left = (double)(at % 2 * PANEL_WIDTH), top = (double)(at / 2 * PANEL_HEIGHT);
    struct axis x = {.start = left + LEFT, .length = PANEL_WIDTH - LEFT - RIGHT};
    struct axis y = {.start = top + PANEL_HEIGHT - BOTTOM,
                     .length = -(PANEL_HEIGHT - TOP - BOTTOM)};
    find_axes(panel, &x, &y);
    (void)fprintf(out, "<text class='title' x='%.1f' y='%.1f'>%s</text>\n", x.start, top + 22,
                  panel->title);
    (void)fprintf(out, "<text class='small' x='%.1f' y='%.1f'>%s</text>\n", x.start, top + 38,
                  panel->y_label);
    (void)fprintf(out, "<text class='small' x='%.1f' y='%.1f' text-anchor='middle'>%s</text>\n",
                  x.start + x.length / 2, y.start + 38, panel->x_label);
    draw_axes(out, &x, &y);
    for (uint32_t s = 0; s < panel->count; s++) draw_line(out, &panel->series[s], s, &x, &y);
    draw_names(out, panel, &x, &y);
}

void plot_write(FILE *out, const struct plot_panel *panels, uint32_t count)
{
    int width = PANEL_WIDTH * (count > 1 ? 2 : 1), height = PANEL_HEIGHT * (int)((count + 1) / 2);
    (void)fprintf(out,
                  "<svg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 %d %d' width='%d' "
                  "height='%d'>%s\n<rect class='page' width='%d' height='%d'/>\n",
                  width, height, width, height, style, width, height);
    for (uint32_t i = 0; i < count; i++) draw_panel(out, &panels[i], i);
    (void)fputs("</svg>\n", out);
}
