/* chart.c: see chart.h. */
#include "chart.h"
#include "html.h"
#include "units.h"
#include <math.h>
#include <string.h>

#define WIDTH          860.0
#define LABELS         150.0 /* room for names on the left */
#define ROW            18.0
#define HEAD           22.0 /* room for the numbers of an axis */
#define TICKS_MAX      24
#define NAME_MAX_BYTES 24  /* of a row: what LABELS has room for */
#define DOTS_MAX       200 /* of a curve; of more points only some are dots */

/* --- scales ----------------------------------------------------------------------------------- */

struct scale {
    bool is_log;
    double low, high; /* low < high; above zero if is_log */
    double from, to;  /* places */
};

/* Widened by a part on both sides; a single value gets some room around it. */
static struct scale scale_over(bool is_log, double low, double high, double from, double to)
{
    if (is_log) {
        double part = high > low * 1.0001 ? pow(high / low, 0.04) : 1.1;
        return (struct scale){is_log, low / part, high * part, from, to};
    }
    double part = high - low > 1e-9 * fabs(high) ? (high - low) * 0.04 : fabs(high) * 0.1 + 0.1;
    return (struct scale){is_log, low - part, high + part, from, to};
}

static double place(const struct scale *s, double value)
{
    double part = s->is_log ? log(value / s->low) / log(s->high / s->low)
                            : (value - s->low) / (s->high - s->low);
    part = part > 0 ? part : 0; /* also what is no number */
    return s->from + (part < 1 ? part : 1) * (s->to - s->from);
}

/* 1, 2, 5 times powers of ten; powers alone if there are many of them. How many. */
static size_t ticks_of_log(const struct scale *s, double out[TICKS_MAX])
{
    static const double steps[] = {1, 2, 5};
    size_t n = 0, use = s->high / s->low < 2000 ? 3 : 1;
    double power = pow(10, floor(log10(s->low)));
    for (; power <= s->high && n < TICKS_MAX; power *= 10) {
        for (size_t i = 0; i < use && n < TICKS_MAX; i++) {
            double tick = power * steps[i];
            if (tick >= s->low && tick <= s->high) {
                out[n++] = tick;
            }
        }
    }
    return n;
}

/* Four to eight of them. */
static size_t ticks_of_linear(const struct scale *s, double out[TICKS_MAX])
{
    double range = s->high - s->low, step = pow(10, floor(log10(range / 4)));
    step *= range / step > 40 ? 10 : range / step > 20 ? 5 : range / step > 8 ? 2 : 1;
    size_t n = 0;
    for (double tick = ceil(s->low / step) * step; tick <= s->high && n < TICKS_MAX; tick += step) {
        out[n++] = fabs(tick) < step * 1e-6 ? 0 : tick;
    }
    return n;
}

/* A short stretch of a logarithmic scale, on which there are hardly any powers, is as good as
 * linear. */
static size_t ticks_of(const struct scale *s, double out[TICKS_MAX])
{
    size_t n = s->is_log ? ticks_of_log(s, out) : 0;
    return n >= 3 ? n : ticks_of_linear(s, out);
}

/* --- parts ------------------------------------------------------------------------------------ */

static void begin(FILE *out, const char *class, const char *label, double width, double height)
{
    tb_html(out,
            "<div class=\"wide\"><svg class=\"%s\" role=\"img\" aria-label=\"%s\" viewBox=\"0 0 %f "
            "%f\">\n",
            class, label, width, height);
}

static void end(FILE *out)
{
    tb_html(out, "</svg></div>\n");
}

static void line(FILE *out, const char *class, double x1, double y1, double x2, double y2)
{
    tb_html(out, "<line class=\"%s\" x1=\"%f\" y1=\"%f\" x2=\"%f\" y2=\"%f\"/>\n", class, x1, y1,
            x2, y2);
}

static void text(FILE *out, const char *class, double x, double y, const char *what)
{
    tb_html(out, "<text class=\"%s\" x=\"%f\" y=\"%f\">%s</text>\n", class, x, y, what);
}

/* A row's name on the left; what does not fit is cut, and stands whole in the mark's title. */
static void name_row(FILE *out, double y, const char *label)
{
    char cut[NAME_MAX_BYTES + 3];
    if (strlen(label) > NAME_MAX_BYTES) {
        snprintf(cut, sizeof cut, "%.*s..", NAME_MAX_BYTES - 2, label);
        label = cut;
    }
    text(out, "name", LABELS - 8, y + 13, label);
}

/* Vertical lines of a scale that runs from left to right, its numbers at `y`. */
static void grid_x(FILE *out, const struct scale *s, tb_tick_fn *name, double y, double top,
                   double bottom)
{
    double ticks[TICKS_MAX];
    char number[TB_NUMBER_MAX];
    size_t n = ticks_of(s, ticks);
    double last = -1000;
    for (size_t i = 0; i < n; i++) {
        double x = place(s, ticks[i]);
        line(out, "grid", x, top, x, bottom);
        if (x - last > 46) { /* else numbers would touch */
            text(out, "tick mid", x, y, name(number, ticks[i]));
            last = x;
        }
    }
}

static void grid_y(FILE *out, const struct scale *s, tb_tick_fn *name, double left, double right)
{
    double ticks[TICKS_MAX];
    char number[TB_NUMBER_MAX];
    size_t n = ticks_of(s, ticks);
    for (size_t i = 0; i < n; i++) {
        double y = place(s, ticks[i]);
        line(out, "grid", left, y, right, y);
        text(out, "tick end", left - 6, y + 4, name(number, ticks[i]));
    }
}

static const char *ratio_tick(char *out, double value)
{
    snprintf(out, TB_NUMBER_MAX, "%.4gx", value);
    return out;
}

/* --- bars ------------------------------------------------------------------------------------- */

static void draw_bar(FILE *out, const struct scale *s, const struct tb_bar *bar, double y)
{
    double from = place(s, s->low), middle = place(s, bar->median);
    double low = place(s, bar->min), high = place(s, bar->max);
    tb_html(out, "<g><title>%s</title>\n", bar->title);
    name_row(out, y, bar->label);
    tb_html(out, "<rect class=\"bar\" x=\"%f\" y=\"%f\" width=\"%f\" height=\"10\"/>\n", from,
            y + 4, middle - from);
    line(out, "range", low, y + 9, high, y + 9);
    line(out, "median", middle, y + 2, middle, y + 16);
    tb_html(out, "</g>\n");
}

void tb_chart_bars(FILE *out, const struct tb_bar *bars, size_t n)
{
    double low = (double)INFINITY, high = 0;
    for (size_t i = 0; i < n; i++) {
        low = bars[i].min < low ? bars[i].min : low;
        high = bars[i].max > high ? bars[i].max : high;
    }
    if (!(low > 0) || !(high >= low)) {
        return;
    }
    double height = HEAD + ROW * (double)n + 6;
    struct scale s = scale_over(true, low, high, LABELS, WIDTH - 20);
    begin(out, "chart", "time per operation of each row, logarithmic", WIDTH, height);
    grid_x(out, &s, tb_format_time, 14, HEAD, height - 4);
    for (size_t i = 0; i < n; i++) {
        draw_bar(out, &s, &bars[i], HEAD + ROW * (double)i);
    }
    end(out);
}

/* --- samples of one row ----------------------------------------------------------------------- */

#define STRIP_WIDTH  260.0
#define STRIP_HEIGHT 84.0

void tb_chart_strip(FILE *out, const char *label, const double *samples, size_t n, double median)
{
    double low = median, high = median;
    char number[TB_NUMBER_MAX];
    for (size_t i = 0; i < n; i++) {
        low = samples[i] < low ? samples[i] : low;
        high = samples[i] > high ? samples[i] : high;
    }
    struct scale y = scale_over(true, low, high, STRIP_HEIGHT - 8, 22);
    struct scale x = {false, -0.5, (double)n - 0.5, 58, STRIP_WIDTH - 6};
    begin(out, "strip", label, STRIP_WIDTH, STRIP_HEIGHT);
    text(out, "name start", 4, 14, label);
    text(out, "tick end", 54, place(&y, high) + 4, tb_format_time(number, high));
    if (place(&y, low) - place(&y, high) > 14) {
        text(out, "tick end", 54, place(&y, low) + 4, tb_format_time(number, low));
    }
    line(out, "median", 58, place(&y, median), STRIP_WIDTH - 6, place(&y, median));
    for (size_t i = 0; i < n; i++) {
        tb_html(out,
                "<circle class=\"s0\" cx=\"%f\" cy=\"%f\" r=\"2\"><title>%s</title></circle>\n",
                place(&x, (double)i), place(&y, samples[i]), tb_format_time(number, samples[i]));
    }
    end(out);
}

/* --- ratios ----------------------------------------------------------------------------------- */

static void draw_effect(FILE *out, const struct scale *s, const struct tb_effect *e, double y)
{
    char number[TB_NUMBER_MAX];
    double x = place(s, e->ratio);
    snprintf(number, sizeof number, "%+.1f %%", (e->ratio - 1) * 100);
    tb_html(out, "<g class=\"%s\"><title>%s</title>\n", e->kind, e->title);
    name_row(out, y, e->label);
    line(out, "interval", place(s, e->low), y + 9, place(s, e->high), y + 9);
    tb_html(out, "<rect class=\"mark\" x=\"%f\" y=\"%f\" width=\"8\" height=\"8\"/>\n", x - 4,
            y + 5);
    text(out, "value", WIDTH - 4, y + 13, number);
    tb_html(out, "</g>\n");
}

void tb_chart_forest(FILE *out, const struct tb_effect *effects, size_t n)
{
    double low = 0.9, high = 1.1, height = HEAD + ROW * (double)n + 6; /* ten per cent at least */
    for (size_t i = 0; i < n; i++) {
        low = effects[i].low < low ? effects[i].low : low;
        high = effects[i].high > high ? effects[i].high : high;
    }
    low = low > 0.01 ? low : 0.01;
    high = high < 100 ? high : 100;
    struct scale s = scale_over(true, low, high, LABELS, WIDTH - 80);
    begin(out, "chart", "ratio of each row to the base, with its interval", WIDTH, height);
    grid_x(out, &s, ratio_tick, 14, HEAD, height - 4);
    line(out, "one", place(&s, 1), HEAD - 4, place(&s, 1), height - 2);
    for (size_t i = 0; i < n; i++) {
        draw_effect(out, &s, &effects[i], HEAD + ROW * (double)i);
    }
    end(out);
}

/* --- curves ----------------------------------------------------------------------------------- */

#define CURVES_HEIGHT 320.0
#define CURVES_LEFT   76.0
#define CURVES_RIGHT  690.0 /* names stand to the right of it */

struct range {
    double low, high;
};

/* Of one coordinate of all points that can be drawn. */
static struct range range_of(const struct tb_series *series, size_t n, int coordinate,
                             bool above_zero)
{
    struct range r = {(double)INFINITY, -(double)INFINITY};
    for (size_t i = 0; i < n; i++) {
        for (size_t k = 0; k < series[i].points_n; k++) {
            double value = series[i].points[k][coordinate];
            if (!isfinite(value) || (above_zero && value <= 0)) {
                continue;
            }
            r.low = value < r.low ? value : r.low;
            r.high = value > r.high ? value : r.high;
        }
    }
    return r;
}

static bool can_draw(const struct tb_plot *plot, const double point[2])
{
    return point[0] > 0 && isfinite(point[0]) && isfinite(point[1]) &&
           (!plot->y_log || point[1] > 0);
}

static void draw_points(FILE *out, const struct tb_plot *plot, const struct tb_series *series,
                        const struct scale *x, const struct scale *y, int color)
{
    char at[TB_NUMBER_MAX], is[TB_NUMBER_MAX];
    tb_html(out, "<polyline class=\"curve s%d\" points=\"", color);
    for (size_t i = 0; i < series->points_n; i++) {
        if (can_draw(plot, series->points[i])) {
            tb_html(out, "%f,%f ", place(x, series->points[i][0]), place(y, series->points[i][1]));
        }
    }
    tb_html(out, "\"/>\n");
    for (size_t i = 0; i < series->points_n; i += 1 + series->points_n / DOTS_MAX) {
        if (can_draw(plot, series->points[i])) {
            tb_html(out,
                    "<circle class=\"s%d\" cx=\"%f\" cy=\"%f\" r=\"2.5\"><title>%s: %s at "
                    "%s</title></circle>\n",
                    color, place(x, series->points[i][0]), place(y, series->points[i][1]),
                    series->name, plot->y_tick(is, series->points[i][1]),
                    plot->x_tick(at, series->points[i][0]));
        }
    }
}

static void draw_legend(FILE *out, const struct tb_series *series, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        double y = 30 + 18 * (double)i;
        tb_html(out, "<circle class=\"s%d\" cx=\"%f\" cy=\"%f\" r=\"4\"/>\n", (int)i,
                CURVES_RIGHT + 14, y - 4);
        text(out, "name start", CURVES_RIGHT + 24, y, series[i].name);
    }
}

void tb_chart_curves(FILE *out, const struct tb_plot *plot, const struct tb_series *series,
                     size_t n)
{
    n = n < TB_CHART_SERIES_MAX ? n : TB_CHART_SERIES_MAX;
    struct range rx = range_of(series, n, 0, true), ry = range_of(series, n, 1, plot->y_log);
    if (!(rx.low <= rx.high) || !(ry.low <= ry.high)) {
        return;
    }
    if (!plot->y_log) {
        ry.low = ry.low > 0 ? 0 : ry.low;
    }
    double bottom = CURVES_HEIGHT - 46;
    struct scale x = scale_over(true, rx.low, rx.high, CURVES_LEFT, CURVES_RIGHT);
    struct scale y = scale_over(plot->y_log, ry.low, ry.high, bottom, 14);
    begin(out, "chart", plot->label, WIDTH, CURVES_HEIGHT);
    grid_x(out, &x, plot->x_tick, bottom + 16, 14, bottom);
    grid_y(out, &y, plot->y_tick, CURVES_LEFT, CURVES_RIGHT);
    text(out, "tick mid", (CURVES_LEFT + CURVES_RIGHT) / 2, CURVES_HEIGHT - 8, plot->x_name);
    text(out, "tick start", CURVES_LEFT, 10, plot->y_name); /* right of its numbers */
    if (isfinite(plot->y_mark)) {
        line(out, "one", CURVES_LEFT, place(&y, plot->y_mark), CURVES_RIGHT,
             place(&y, plot->y_mark));
    }
    for (size_t i = 0; i < n; i++) {
        draw_points(out, plot, &series[i], &x, &y, (int)i);
    }
    draw_legend(out, series, n);
    end(out);
}

/* --- history ---------------------------------------------------------------------------------- */

#define HISTORY_WIDTH  400.0
#define HISTORY_HEIGHT 110.0

static void draw_levels(FILE *out, const struct scale *x, const struct scale *y,
                        const struct tb_level *levels, size_t levels_n, size_t n)
{
    for (size_t i = 0; i < levels_n; i++) {
        double from = (double)levels[i].start - 0.5;
        double to = (double)(i + 1 < levels_n ? levels[i + 1].start : n) - 0.5;
        double at = place(y, levels[i].level);
        line(out, "level", place(x, from), at, place(x, to), at);
        if (i > 0) {
            line(out, "step", place(x, from), 22, place(x, from), HISTORY_HEIGHT - 8);
        }
    }
}

static const char *plain_tick(char *out, double value)
{
    snprintf(out, TB_NUMBER_MAX, "%.3g", value);
    return out;
}

void tb_chart_history(FILE *out, const char *label, const double *values, const char *const *titles,
                      size_t n, const struct tb_level *levels, size_t levels_n)
{
    double low = values[0], high = values[0];
    char number[TB_NUMBER_MAX];
    for (size_t i = 1; i < n; i++) {
        low = values[i] < low ? values[i] : low;
        high = values[i] > high ? values[i] : high;
    }
    struct scale y = scale_over(true, low, high, HISTORY_HEIGHT - 8, 24);
    struct scale x = {false, -0.5, (double)n - 0.5, 52, HISTORY_WIDTH - 6};
    begin(out, "history", label, HISTORY_WIDTH, HISTORY_HEIGHT);
    text(out, "name start", 4, 14, label);
    text(out, "tick end", 48, place(&y, high) + 4, plain_tick(number, high));
    if (place(&y, low) - place(&y, high) > 14) {
        text(out, "tick end", 48, place(&y, low) + 4, plain_tick(number, low));
    }
    draw_levels(out, &x, &y, levels, levels_n, n);
    for (size_t i = 0; i < n; i++) {
        tb_html(out,
                "<circle class=\"s0\" cx=\"%f\" cy=\"%f\" r=\"2.5\"><title>%s</title></circle>\n",
                place(&x, (double)i), place(&y, values[i]), titles[i]);
    }
    end(out);
}
