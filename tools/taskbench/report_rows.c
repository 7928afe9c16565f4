/* report_rows.c: what was measured, row by row: the facts, a table, bars, samples. */
#include "chart.h"
#include "html.h"
#include "report_part.h"
#include "units.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

/* --- facts ------------------------------------------------------------------------------------ */

static const char *const facts[] = {"key",         "cpu",      "cpus",     "kernel",
                                    "clocksource", "governor", "compiler", "weft",
                                    "backend",     "jemalloc", "line_ns"};

static void put_value(FILE *out, const struct tb_value *value)
{
    char number[32];
    if (value && value->kind == TB_TEXT) {
        tb_html_text(out, value->text);
    } else if (value && value->kind == TB_NUMBER) {
        snprintf(number, sizeof number, "%.6g", value->number);
        tb_html_text(out, number);
    } else {
        fputs("&ndash;", out);
    }
}

static void put_fact(const struct tb_report *report, FILE *out, const char *name)
{
    tb_html(out, "<tr><th>%s</th>", name);
    for (int i = 0; i < report->inputs_n; i++) {
        fputs("<td>", out);
        put_value(out, tb_member(report->inputs[i].machine, name));
        fputs("</td>", out);
    }
    fputs("</tr>\n", out);
}

static void put_end(FILE *out, const struct tb_saved *saved)
{
    double exit_code = tb_member_number(saved->summary, "exit", (double)NAN);
    double steal = tb_member_number(saved->summary, "steal_percent", (double)NAN);
    char text[80] = "&ndash;";
    if (isfinite(exit_code)) {
        snprintf(text, sizeof text, "exit %.0f", exit_code);
    }
    if (isfinite(steal)) {
        size_t used = strlen(text);
        snprintf(text + used, sizeof text - used, ", %.1f %% of the CPU time stolen", steal);
    }
    fprintf(out, "<td>%s</td>", text);
}

void tb_report_facts(const struct tb_report *report, FILE *out)
{
    if (report->inputs_n == 0) {
        return;
    }
    fputs("<h2 id=\"facts\">Facts</h2>\n<div class=\"wide\"><table "
          "class=\"facts\">\n<tr><th>file</th>",
          out);
    for (int i = 0; i < report->inputs_n; i++) {
        tb_html(out, "<td>%s</td>", report->inputs[i].path);
    }
    fputs("</tr>\n<tr><th>started</th>", out);
    for (int i = 0; i < report->inputs_n; i++) {
        tb_html(out, "<td>%s</td>", report->inputs[i].started);
    }
    fputs("</tr>\n", out);
    for (size_t i = 0; i < sizeof facts / sizeof *facts; i++) {
        put_fact(report, out, facts[i]);
    }
    fputs("<tr><th>ended</th>", out);
    for (int i = 0; i < report->inputs_n; i++) {
        put_end(out, &report->inputs[i]);
    }
    fputs("</tr>\n</table></div>\n", out);
}

/* --- the table -------------------------------------------------------------------------------- */

static void cell(FILE *out, const char *text)
{
    tb_html(out, "<td class=\"n\">%s</td>", text);
}

static void cell_count(FILE *out, double value)
{
    char number[TB_NUMBER_MAX];
    cell(out, isfinite(value) && value >= 0 ? tb_format_count(number, value) : "");
}

static void put_figures(FILE *out, const struct tb_saved_row *row)
{
    char number[TB_NUMBER_MAX], ratio[TB_NUMBER_MAX] = "", rss[TB_NUMBER_MAX] = "";
    cell_count(out, 1e9 / row->median);
    cell(out, tb_format_time(number, row->median));
    cell(out, tb_format_range(number, row->min, row->max, row->median));
    if (isfinite(row->ratio)) {
        snprintf(ratio, sizeof ratio, "%.2fx", row->ratio);
    }
    if (row->rss > 0 && row->rss < 1e18) {
        tb_format_bytes(rss, (uint64_t)row->rss);
    }
    cell(out, ratio);
    cell_count(out, row->allocs);
    cell_count(out, row->bytes);
    cell(out, rss);
}

static bool has_time(const struct tb_saved_row *row)
{
    return row->ok && row->median > 0 && row->min > 0 && row->max >= row->min;
}

static void put_row(FILE *out, const struct tb_saved_row *row)
{
    tb_html(out, "<tr class=\"%s\"><td title=\"per %s\">%s</td>", row->ok ? "ok" : "bad", row->op,
            row->label);
    if (has_time(row)) {
        put_figures(out, row);
        tb_html(out, "<td>%s</td></tr>\n", row->check);
    } else {
        tb_html(out, "<td colspan=\"7\">%s</td><td>%s</td></tr>\n", row->reason, row->check);
    }
}

void tb_report_table(const struct tb_saved *saved, FILE *out)
{
    fputs("<h2>Rows</h2>\n<div class=\"wide\"><table "
          "class=\"rows\">\n<thead><tr><th>workload</th>"
          "<th>ops/s</th><th>time/op</th><th>min..max</th><th>ref</th><th>alloc</th><th>bytes</th>"
          "<th>RSS</th><th>check</th></tr></thead><tbody>\n",
          out);
    for (size_t i = 0; i < saved->rows_n; i++) {
        put_row(out, &saved->rows[i]);
    }
    fputs("</tbody></table></div>\n<p class=\"note\">time/op is the median of the samples, ref the "
          "time "
          "of plain C beside it. Only ratios last: times of other days are no measure.</p>\n",
          out);
    if (saved->rows_left_out > 0) {
        tb_html(out, "<p class=\"note\">%zu more rows are not shown.</p>\n", saved->rows_left_out);
    }
}

/* --- bars ------------------------------------------------------------------------------------- */

#define TITLE_MAX 200

static void describe(const struct tb_saved_row *row, char title[TITLE_MAX])
{
    char median[TB_NUMBER_MAX], range[TB_NUMBER_MAX];
    snprintf(title, TITLE_MAX, "%s: %s per %.60s, %s, %zu samples", row->label,
             tb_format_time(median, row->median), row->op,
             tb_format_range(range, row->min, row->max, row->median), row->samples_n);
}

void tb_report_bars(const struct tb_saved *saved, FILE *out)
{
    struct tb_bar *bars = calloc(saved->rows_n, sizeof *bars);
    char(*titles)[TITLE_MAX] = calloc(saved->rows_n, sizeof *titles);
    size_t n = 0;
    for (size_t i = 0; bars && titles && i < saved->rows_n; i++) {
        const struct tb_saved_row *row = &saved->rows[i];
        if (has_time(row)) {
            describe(row, titles[n]);
            bars[n] = (struct tb_bar){row->label, titles[n], row->median, row->min, row->max};
            n++;
        }
    }
    if (n > 0) {
        fputs("<h2>Time per operation</h2>\n", out);
        tb_chart_bars(out, bars, n);
        fputs("<p class=\"note\">Bar: median. Line: least to most of the samples.</p>\n", out);
    }
    free(titles);
    free(bars);
}

/* --- samples ---------------------------------------------------------------------------------- */

void tb_report_strips(const struct tb_saved *saved, FILE *out)
{
    size_t n = 0;
    for (size_t i = 0; i < saved->rows_n; i++) {
        const struct tb_saved_row *row = &saved->rows[i];
        if (!has_time(row) || row->samples_n < 2) {
            continue;
        }
        if (n++ == 0) {
            fputs("<h2>Samples</h2>\n<details open><summary>every sample, as they "
                  "were "
                  "taken</summary>\n"
                  "<div class=\"cells\">\n",
                  out);
        }
        tb_chart_strip(out, row->label, row->samples, row->samples_n, row->median);
    }
    if (n > 0) {
        fputs("</div></details>\n", out);
    }
}
