/* load_report.c -- the HTML page of `load --report`: four plots as inline SVG above the text
 * report.
 *
 *     +--------------------------+  +--------------------------+
 *     | connections, and 95 %    |  | share of latencies (log) |
 *     +--------------------------+  +--------------------------+
 *     | latency over time (log)  |  | throughput, latency (log)|
 *     +--------------------------+  +--------------------------+
 *
 * bench_plot.h draws lines whose both axes are whole decades, to compare slopes; these here need
 * plain axes and areas.  Nothing is loaded from anywhere; colours follow the reader's scheme. */
#include "load.h"

#include <math.h>
#include <string.h>

#define WIDTH  560.0
#define HEIGHT 320.0
#define LEFT   70.0
#define TOP    36.0
#define RIGHT  26.0
#define BOTTOM 48.0
#define POINTS (HIST_BUCKETS > LOAD_SLOTS ? HIST_BUCKETS : LOAD_SLOTS)

static const char style[] =
    "body{font:15px system-ui,sans-serif;margin:24px auto;max-width:1180px;padding:0 16px;"
    "background:#fff;color:#1f2328}svg{max-width:100%;height:auto;margin:6px}"
    "@media(min-width:960px){svg{width:calc(50% - 16px)}}"
    "pre{font-size:13px;overflow-x:auto;padding:12px;background:#f6f8fa;border-radius:6px}"
    "text{font:12px system-ui,sans-serif;fill:#59636e}.title{font-size:14px;font-weight:600;"
    "fill:#1f2328}.grid{stroke:#d8dee4}.frame{fill:none;stroke:#8c959f}"
    ".line{fill:none;stroke-width:1.8}.s0{stroke:#0969da}.s1{stroke:#bc4c00}.s2{stroke:#1a7f37}"
    ".f0{fill:#0969da}.f1{fill:#bc4c00}.f2{fill:#1a7f37}.band{fill:#1a7f37;opacity:.18}"
    "@media(prefers-color-scheme:dark){body{background:#0d1117;color:#f0f6fc}"
    "pre{background:#161b22}text{fill:#9198a1}.title{fill:#f0f6fc}.grid{stroke:#2f353d}"
    ".frame{stroke:#656c76}.s0{stroke:#4493f8}.s1{stroke:#db6d28}.s2{stroke:#3fb950}"
    ".f0{fill:#4493f8}.f1{fill:#db6d28}.f2{fill:#3fb950}.band{fill:#3fb950}}";

struct axis {
    double from, to; /* of a log axis: exponents of ten */
    bool log;
};

struct line {
    uint32_t count;
    double x[POINTS], y[POINTS];
};

/* ---- Axes ------------------------------------------------------------------------------------ */

static double share(const struct axis *axis, double value)
{
    double at = axis->log ? log10(fmax(value, 1e-9)) : value;
    return fmin(fmax((at - axis->from) / (axis->to - axis->from), 0.0), 1.0);
}

static double px(const struct axis *axis, double value)
{
    return LEFT + share(axis, value) * (WIDTH - LEFT - RIGHT);
}

static double py(const struct axis *axis, double value)
{
    return HEIGHT - BOTTOM - share(axis, value) * (HEIGHT - TOP - BOTTOM);
}

static struct axis plain_axis(double most)
{
    return (struct axis){.from = 0.0, .to = most > 0.0 ? most * 1.05 : 1.0};
}

static struct axis log_axis(double least, double most)
{
    struct axis axis = {floor(log10(fmax(least, 1.0))), ceil(log10(fmax(most, 1.0))), true};
    if (axis.to <= axis.from) axis.to = axis.from + 1.0;
    return axis;
}

/* 1, 2 or 5 times a power of ten, about five of them. */
static double tick_step(const struct axis *axis)
{
    if (axis->log) return 1.0;
    double raw = (axis->to - axis->from) / 5.0, unit = pow(10.0, floor(log10(raw)));
    double ratio = raw / unit;
    return unit * (ratio < 1.5 ? 1.0 : ratio < 3.5 ? 2.0 : ratio < 7.5 ? 5.0 : 10.0);
}

static void label(FILE *out, const struct axis *axis, double at)
{
    static const char *const times[] = {"1 &#181;s", "10 &#181;s", "100 &#181;s", "1 ms", "10 ms",
                                        "100 ms",    "1 s",        "10 s",        "100 s"};
    if (axis->log && at >= 0.0 && at < 9.0)
        (void)fputs(times[(size_t)at], out);
    else if (at >= 1e6)
        (void)fprintf(out, "%gM", at / 1e6);
    else if (at >= 1e4)
        (void)fprintf(out, "%gk", at / 1e3);
    else
        (void)fprintf(out, "%g", at);
}

static void begin_plot(FILE *out, const char *title, const char *x_name, const struct axis *x,
                       const struct axis *y)
{
    double bottom = HEIGHT - BOTTOM;
    (void)fprintf(out,
                  "<svg viewBox=\"0 0 %.0f %.0f\" width=\"%.0f\" height=\"%.0f\" role=\"img\">"
                  "<title>%s</title><text class=\"title\" x=\"%.0f\" y=\"20\">%s</text>\n",
                  WIDTH, HEIGHT, WIDTH, HEIGHT, title, LEFT, title);
    for (double at = y->from; at <= y->to + 1e-9; at += tick_step(y)) {
        double pixel = py(y, y->log ? pow(10.0, at) : at);
        (void)fprintf(out,
                      "<line class=\"grid\" x1=\"%.0f\" x2=\"%.0f\" y1=\"%.1f\" y2=\"%.1f\"/>"
                      "<text x=\"%.0f\" y=\"%.1f\" text-anchor=\"end\">",
                      LEFT, WIDTH - RIGHT, pixel, pixel, LEFT - 6.0, pixel + 4.0);
        label(out, y, at);
        (void)fputs("</text>\n", out);
    }
    for (double at = x->from; at <= x->to + 1e-9; at += tick_step(x)) {
        double pixel = px(x, x->log ? pow(10.0, at) : at);
        (void)fprintf(out, "<text x=\"%.1f\" y=\"%.0f\" text-anchor=\"middle\">", pixel,
                      bottom + 17.0);
        label(out, x, at);
        (void)fputs("</text>\n", out);
    }
    (void)fprintf(out,
                  "<rect class=\"frame\" x=\"%.0f\" y=\"%.0f\" width=\"%.0f\" height=\"%.0f\"/>"
                  "<text x=\"%.0f\" y=\"%.0f\" text-anchor=\"middle\">%s</text>\n",
                  LEFT, TOP, WIDTH - LEFT - RIGHT, bottom - TOP, (LEFT + WIDTH - RIGHT) / 2,
                  HEIGHT - 10.0, x_name);
}

static void draw_line(FILE *out, const struct axis *x, const struct axis *y,
                      const struct line *line, int colour)
{
    (void)fprintf(out, "<polyline class=\"line s%d\" points=\"", colour);
    for (uint32_t i = 0; i < line->count; i++)
        (void)fprintf(out, "%.1f,%.1f ", px(x, line->x[i]), py(y, line->y[i]));
    (void)fputs("\"/>\n", out);
}

/* Names of the lines, one below the other. */
static void draw_key(FILE *out, int colour, int row, const char *name)
{
    (void)fprintf(out, "<text class=\"f%d\" x=\"%.0f\" y=\"%.0f\" text-anchor=\"end\">%s</text>\n",
                  colour, WIDTH - RIGHT - 8.0, TOP + 16.0 + 15.0 * row, name);
}

static void end_plot(FILE *out)
{
    (void)fputs("</svg>\n", out);
}

/* ---- The four -------------------------------------------------------------------------------- */

static void plot_connections(FILE *out, const struct load_result *r, struct line *line)
{
    const struct load_options *o = r->options;
    double width = load_slot_seconds(o), fixed = load_fixed(o), most = 0.0;
    line->count = r->slots;
    for (uint32_t s = 0; s < r->slots; s++) {
        line->x[s] = (s + 1) * width;
        line->y[s] = r->sum->slots[s].connections;
        double high = fixed + (double)poisson_quantile(load_expected(o, line->x[s]), 0.975);
        most = fmax(most, fmax(line->y[s], high));
    }
    struct axis x = plain_axis(r->slots * width), y = plain_axis(most);
    begin_plot(out, "Connections, and the band that M/G/&#8734; predicts (95 %)", "seconds", &x,
               &y);
    (void)fputs("<polygon class=\"band\" points=\"", out);
    for (uint32_t s = 0; s < r->slots; s++) {
        double high = fixed + (double)poisson_quantile(load_expected(o, line->x[s]), 0.975);
        (void)fprintf(out, "%.1f,%.1f ", px(&x, line->x[s]), py(&y, high));
    }
    for (uint32_t s = r->slots; s > 0; s--) {
        double low = fixed + (double)poisson_quantile(load_expected(o, line->x[s - 1]), 0.025);
        (void)fprintf(out, "%.1f,%.1f ", px(&x, line->x[s - 1]), py(&y, low));
    }
    (void)fputs("\"/>\n", out);
    draw_line(out, &x, &y, line, 0);
    end_plot(out);
}

/* The share of latencies that is greater, 1 to 0.0001 on a logarithmic axis would hide where most
 * are; so shares plainly, time logarithmically. */
static void fill_distribution(const struct hist *h, struct line *line)
{
    uint64_t seen = 0;
    line->count = 0;
    for (uint32_t b = 0; b + 1 < HIST_BUCKETS && seen < h->count; b++) {
        if (h->buckets[b] == 0) continue;
        seen += h->buckets[b];
        line->x[line->count] = (double)hist_low(b + 1);
        line->y[line->count++] = 100.0 * (double)seen / (double)h->count;
    }
}

static void plot_distribution(FILE *out, const struct load_result *r, struct line *line)
{
    const struct hist *all[] = {&r->sum->seen, &r->sum->ack, &r->sum->join};
    static const char *const names[] = {"seen by others", "durable", "joined"};
    double least = 1e9, most = 1.0;
    for (int i = 0; i < 3; i++) {
        if (all[i]->count == 0) continue;
        least = fmin(least, (double)hist_quantile(all[i], 0.0));
        most = fmax(most, (double)all[i]->max);
    }
    struct axis x = log_axis(fmin(least, most), most), y = plain_axis(100.0);
    begin_plot(out, "Latency from when it was due: % at most", "", &x, &y);
    for (int i = 0; i < 3; i++) {
        fill_distribution(all[i], line);
        if (line->count > 0) draw_line(out, &x, &y, line, i);
        if (line->count > 0) draw_key(out, i, i + 8, names[i]);
    }
    end_plot(out);
}

static void slot_line(const struct load_result *r, double q, struct line *line)
{
    line->count = 0;
    for (uint32_t s = 0; s < r->slots; s++) {
        const struct hist *h = &r->sum->slots[s].seen;
        if (h->count == 0) continue;
        line->x[line->count] = (s + 0.5) * load_slot_seconds(r->options);
        line->y[line->count++] = fmax((double)hist_quantile(h, q), 1.0);
    }
}

static void plot_over_time(FILE *out, const struct load_result *r, struct line *line)
{
    static const double shares[] = {0.5, 0.99};
    static const char *const names[] = {"p50", "p99"};
    double most = fmax((double)r->sum->seen.max, 10.0);
    struct axis x = plain_axis(r->slots * load_slot_seconds(r->options));
    struct axis y = log_axis(fmax((double)hist_quantile(&r->sum->seen, 0.0), 1.0), most);
    begin_plot(out, "Latency of being seen, over time", "seconds", &x, &y);
    for (int i = 0; i < 2; i++) {
        slot_line(r, shares[i], line);
        draw_line(out, &x, &y, line, i);
        draw_key(out, i, i, names[i]);
    }
    end_plot(out);
}

static void plot_throughput(FILE *out, const struct load_result *r)
{
    double width = load_slot_seconds(r->options), most = 0.0, slowest = 10.0;
    for (uint32_t s = 0; s < r->slots; s++) {
        const struct load_slot *slot = &r->sum->slots[s];
        most = fmax(most, (double)slot->deliveries / width);
        slowest = fmax(slowest, (double)hist_quantile(&slot->seen, 0.99));
    }
    struct axis x = plain_axis(most);
    struct axis y = log_axis(fmax((double)hist_quantile(&r->sum->seen, 0.0), 1.0), slowest);
    begin_plot(out, "Throughput against latency (a dot: a part of the run)",
               "deliveries per second", &x, &y);
    for (uint32_t s = 0; s < r->slots; s++) {
        const struct load_slot *slot = &r->sum->slots[s];
        if (slot->seen.count == 0) continue;
        double at = px(&x, (double)slot->deliveries / width);
        (void)fprintf(out, "<circle class=\"f0\" cx=\"%.1f\" cy=\"%.1f\" r=\"2.5\"/>", at,
                      py(&y, fmax((double)hist_quantile(&slot->seen, 0.5), 1.0)));
        (void)fprintf(out, "<circle class=\"f1\" cx=\"%.1f\" cy=\"%.1f\" r=\"2.5\"/>\n", at,
                      py(&y, fmax((double)hist_quantile(&slot->seen, 0.99), 1.0)));
    }
    draw_key(out, 0, 0, "p50");
    draw_key(out, 1, 1, "p99");
    end_plot(out);
}

/* ---- The page -------------------------------------------------------------------------------- */

/* The text report, with what HTML reads otherwise escaped (the address and the server's words are
 * not ours). */
static bool put_text(FILE *out, const struct load_result *r)
{
    FILE *text = tmpfile();
    if (text == NULL) return false;
    load_print(text, r);
    rewind(text);
    for (int c = fgetc(text); c != EOF; c = fgetc(text)) {
        if (c == '<')
            (void)fputs("&lt;", out);
        else if (c == '&')
            (void)fputs("&amp;", out);
        else
            (void)fputc(c, out);
    }
    (void)fclose(text);
    return true;
}

bool load_report(const char *path, const struct load_result *result)
{
    struct line line;
    FILE *out = fopen(path, "w");
    if (out == NULL) return false;
    (void)fprintf(
        out,
        "<!doctype html><html lang=\"en\"><meta charset=\"utf-8\"><meta name=\"viewport\" "
        "content=\"width=device-width\"><title>syncline load</title><style>%s</style>\n"
        "<h1>syncline load</h1>\n",
        style);
    plot_connections(out, result, &line);
    plot_distribution(out, result, &line);
    plot_over_time(out, result, &line);
    plot_throughput(out, result);
    (void)fputs("<pre>", out);
    bool good = put_text(out, result);
    (void)fputs("</pre></html>\n", out);
    good = good && !ferror(out);
    return fclose(out) == 0 && good;
}
