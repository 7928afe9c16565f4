/* report_curves.c: latency, efficiency and memory, for the rows that have them. */
#include "chart.h"
#include "html.h"
#include "report_part.h"
#include "units.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

/* --- latency ---------------------------------------------------------------------------------- */

/* A histogram (upper end of a bucket, count) as points (1 / (1 - part below), upper end): on a
 * logarithmic x, each nine of the percentile has the same width. The last bucket's is drawn where
 * half of its last one would be. How many. */
static size_t to_percentiles(const struct tb_saved_curve *histogram, double (*points)[2])
{
    double all = 0, below = 0;
    size_t n = 0;
    for (size_t i = 0; i < histogram->points_n; i++) {
        all += histogram->points[i][1] > 0 ? histogram->points[i][1] : 0;
    }
    for (size_t i = 0; i < histogram->points_n; i++) {
        double count = histogram->points[i][1];
        if (count > 0) {
            below += count;
            double left = all - below > 0.5 ? all - below : 0.5;
            points[n][0] = all / left;
            points[n++][1] = histogram->points[i][0];
        }
    }
    return n;
}

/* 10 is p90, 1000 is p99.9. */
static const char *percentile_tick(char *out, double value)
{
    snprintf(out, TB_NUMBER_MAX, "p%.6g", 100 - 100 / value);
    return out;
}

static void put_latency(FILE *out, const struct tb_saved_row *row)
{
    struct tb_series series[TB_SAVED_CURVES_MAX];
    double(*points)[TB_SAVED_POINTS_MAX][2] = calloc(TB_SAVED_CURVES_MAX, sizeof *points);
    struct tb_plot plot = {.label = "latency by percentile",
                           .x_name = "percentile",
                           .y_name = "latency",
                           .y_log = true,
                           .y_mark = (double)NAN,
                           .x_tick = percentile_tick,
                           .y_tick = tb_format_time};
    for (int i = 0; points && i < row->latency_n; i++) {
        series[i].name = row->latency[i].name;
        series[i].points = points[i];
        series[i].points_n = to_percentiles(&row->latency[i], points[i]);
    }
    if (points) {
        tb_html(out, "<h3>%s</h3>\n", row->label);
        tb_chart_curves(out, &plot, series, (size_t)row->latency_n);
    }
    free(points);
}

void tb_report_latency(const struct tb_saved *saved, FILE *out)
{
    bool begun = false;
    for (size_t i = 0; i < saved->rows_n; i++) {
        if (saved->rows[i].latency_n > 0) {
            fputs(begun ? "" : "<h2>Latency</h2>\n", out);
            begun = true;
            put_latency(out, &saved->rows[i]);
        }
    }
    if (begun) {
        fputs("<p class=\"note\">intended: from when a request should have been sent; service: "
              "from when "
              "it was. Buckets are 1.6 % wide.</p>\n",
              out);
    }
}

/* --- curves ----------------------------------------------------------------------------------- */

static const char *percent_tick(char *out, double value)
{
    snprintf(out, TB_NUMBER_MAX, "%.3g %%", value * 100);
    return out;
}

static const char *bytes_tick(char *out, double value)
{
    return tb_format_bytes(out, value > 0 && value < 1e18 ? (uint64_t)value : 0);
}

/* What is known of a kind of curve by its name. */
static const struct kind {
    const char *name, *title, *note;
    struct tb_plot plot;
} kinds[] = {
    {"efficiency",
     "Efficiency by grain",
     "METG(50 %): the smallest grain at which half of the time is spent on the tasks' own work.",
     {.label = "efficiency by grain",
      .x_name = "grain: time / tasks x workers",
      .y_name = "efficiency",
      .y_mark = 0.5,
      .x_tick = tb_format_time,
      .y_tick = percent_tick}},
    {"memory",
     "Memory by number",
     "The slope is what one more of them takes.",
     {.label = "memory by number",
      .x_name = "number",
      .y_name = "memory",
      .y_log = true,
      .y_mark = (double)NAN,
      .x_tick = tb_format_count,
      .y_tick = bytes_tick}},
};

/* All rows' curves of one kind in one drawing, the first TB_CHART_SERIES_MAX of them. */
static void put_kind(const struct tb_saved *saved, FILE *out, const struct kind *kind)
{
    struct tb_series series[TB_CHART_SERIES_MAX];
    size_t n = 0;
    for (size_t i = 0; i < saved->rows_n; i++) {
        const struct tb_saved_row *row = &saved->rows[i];
        for (int k = 0; k < row->curves_n && n < TB_CHART_SERIES_MAX; k++) {
            if (strcmp(row->curves[k].name, kind->name) == 0) {
                series[n++] =
                    (struct tb_series){row->label, row->curves[k].points, row->curves[k].points_n};
            }
        }
    }
    if (n > 0) {
        tb_html(out, "<h2>%s</h2>\n", kind->title);
        tb_chart_curves(out, &kind->plot, series, n);
        tb_html(out, "<p class=\"note\">%s</p>\n", kind->note);
    }
}

void tb_report_curves(const struct tb_saved *saved, FILE *out)
{
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++) {
        put_kind(saved, out, &kinds[i]);
    }
}

/* --- memory ----------------------------------------------------------------------------------- */

static bool is_bytes(const struct tb_value *metric)
{
    const char *unit = tb_member_text(metric, "unit");
    return unit && strcmp(unit, "B") == 0 && tb_member_text(metric, "name") &&
           isfinite(tb_member_number(metric, "value", (double)NAN));
}

/* What the rows say of bytes per suspended thing. */
void tb_report_memory(const struct tb_saved *saved, FILE *out)
{
    bool begun = false;
    for (size_t i = 0; i < saved->rows_n; i++) {
        const struct tb_value *list = tb_member(saved->rows[i].value, "metrics");
        const struct tb_value *m = list && list->kind == TB_ARRAY ? list->first : NULL;
        for (; m; m = m->next) {
            if (!is_bytes(m)) {
                continue;
            }
            fputs(begun ? ""
                        : "<h2>Memory of what waits</h2>\n<table "
                          "class=\"rows\"><thead><tr><th>"
                          "workload</th><th>what</th><th>bytes each</th></tr></thead><tbody>\n",
                  out);
            begun = true;
            char number[32];
            snprintf(number, sizeof number, "%.0f", tb_member_number(m, "value", 0));
            tb_html(out, "<tr><td>%s</td><td>%s</td><td class=\"n\">%s</td></tr>\n",
                    saved->rows[i].label, tb_member_text(m, "name"), number);
        }
    }
    fputs(begun ? "</tbody></table>\n" : "", out);
}
