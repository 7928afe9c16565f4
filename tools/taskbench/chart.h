/* chart.h: drawings for `taskbench report`: SVG inside HTML, readable without scripts. Colours are
 * classes of report.c's style sheet, what a mark means stands in its title (a tooltip), and every
 * drawing has a label for those who do not see it. No text from a file gets into them unescaped
 * (html.h). */
#ifndef TB_CHART_H
#define TB_CHART_H

#include "steps.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

#define TB_CHART_SERIES_MAX 8 /* of one drawing; that many colours there are */

/* Times of several rows, whatever their sizes: medians as bars, least to most as lines, on a
 * logarithmic scale. All above zero. */
struct tb_bar {
    const char *label, *title;
    double median, min, max; /* ns */
};
void tb_chart_bars(FILE *out, const struct tb_bar *bars, size_t n);

/* One row's samples, from left to right as they were taken. All above zero. */
void tb_chart_strip(FILE *out, const char *label, const double *samples, size_t n, double median);

/* Ratios with their intervals around 1, which is no change. */
struct tb_effect {
    const char *label, *title;
    double ratio, low, high; /* 0 < low <= ratio <= high */
    const char *kind;        /* class of the mark: "good", "bad" or "same" */
};
void tb_chart_forest(FILE *out, const struct tb_effect *effects, size_t n);

/* Curves over a logarithmic x. */
struct tb_series {
    const char *name;
    double (*points)[2]; /* x > 0; y > 0 if y_log */
    size_t points_n;
};

/* How numbers on an axis are written. */
typedef const char *tb_tick_fn(char *out, double value);

struct tb_plot {
    const char *label, *x_name, *y_name;
    bool y_log;
    double y_mark;               /* a level to draw a line at; NAN: none */
    tb_tick_fn *x_tick, *y_tick; /* write TB_NUMBER_MAX bytes (units.h) at most */
};
void tb_chart_curves(FILE *out, const struct tb_plot *plot, const struct tb_series *series,
                     size_t n);

/* One row's history: a point per run and a line per level (steps.h). `titles` are the points'. */
void tb_chart_history(FILE *out, const char *label, const double *values, const char *const *titles,
                      size_t n, const struct tb_level *levels, size_t levels_n);

#endif
