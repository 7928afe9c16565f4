/* report_history.c: how the rows of the newest run went over the runs before it. */
#include "chart.h"
#include "html.h"
#include "report_part.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

#define TITLE_MAX 160

/* The newest run's key: only runs of the same machine are drawn. */
struct lines {
    const struct tb_history *history;
    const char *key;
    size_t other_machines;
};

/* One row over the runs. */
struct line {
    double values[TB_HISTORY_RUNS_MAX];
    char titles[TB_HISTORY_RUNS_MAX][TITLE_MAX];
    const char *title_at[TB_HISTORY_RUNS_MAX];
    size_t n;
};

static const struct tb_value *find_row(const struct tb_value *run, const char *name)
{
    const struct tb_value *rows = tb_member(run, "rows");
    const struct tb_value *row = rows && rows->kind == TB_ARRAY ? rows->first : NULL;
    while (row && strcmp(tb_saved_text(row, "row"), name) != 0) {
        row = row->next;
    }
    return row;
}

static bool is_here(const struct lines *lines, const struct tb_value *run)
{
    return strcmp(tb_saved_text(run, "key"), lines->key) == 0;
}

static void collect(const struct lines *lines, const char *name, const char *figure,
                    struct line *line)
{
    line->n = 0;
    for (size_t i = 0; i < lines->history->runs_n; i++) {
        const struct tb_value *run = lines->history->runs[i].root;
        double value = is_here(lines, run)
                           ? tb_member_number(find_row(run, name), figure, (double)NAN)
                           : (double)NAN;
        if (!(value > 0)) {
            continue;
        }
        snprintf(line->titles[line->n], TITLE_MAX, "%.30s %.60s: %.4g",
                 tb_saved_text(run, "started"), tb_saved_text(run, "label"), value);
        line->title_at[line->n] = line->titles[line->n];
        line->values[line->n++] = value;
    }
}

static void put_steps(FILE *out, const char *name, const struct line *line,
                      const struct tb_level *levels, size_t n)
{
    for (size_t i = 1; i < n; i++) {
        char change[32];
        double part = levels[i].level / levels[i - 1].level - 1;
        snprintf(change, sizeof change, "%+.1f %%", part * 100);
        tb_html(out, "<li class=\"%s\"><b>%s</b> %s from %s on</li>\n", part > 0 ? "bad" : "good",
                name, change, line->title_at[levels[i].start]);
    }
}

/* Twice: once for the list of steps, once for the drawings. */
static void put_row(FILE *out, const struct lines *lines, const struct tb_value *row, bool as_list,
                    struct line *line)
{
    struct tb_level levels[TB_STEP_RUNS_MAX];
    const char *name = tb_saved_text(row, "row");
    bool by_reference = isfinite(tb_member_number(row, "ref", (double)NAN));
    collect(lines, name, by_reference ? "ref" : "time", line);
    size_t n = tb_steps_find(line->values, line->n, levels);
    char label[100];
    snprintf(label, sizeof label, "%.60s, %s", name, by_reference ? "x reference" : "ns/op");
    if (as_list) {
        put_steps(out, label, line, levels, n);
    } else if (n > 0) {
        tb_chart_history(out, label, line->values, line->title_at, line->n, levels, n);
    }
}

static void put_rows(FILE *out, const struct lines *lines, const struct tb_value *newest,
                     bool as_list, struct line *line)
{
    const struct tb_value *rows = tb_member(newest, "rows");
    const struct tb_value *row = rows && rows->kind == TB_ARRAY ? rows->first : NULL;
    for (size_t n = 0; row && n < TB_SAVED_ROWS_MAX; row = row->next, n++) {
        if (tb_saved_text(row, "row")[0]) {
            put_row(out, lines, row, as_list, line);
        }
    }
}

static void put_counts(FILE *out, const struct tb_history *history, const struct lines *lines)
{
    tb_html(out, "<p class=\"note\">%zu runs", history->runs_n - lines->other_machines);
    if (lines->other_machines > 0) {
        tb_html(out, "; %zu of other machines are not drawn", lines->other_machines);
    }
    if (history->left_out > 0) {
        tb_html(out, "; %zu older ones are left out", history->left_out);
    }
    if (history->bad_lines > 0) {
        tb_html(out, "; %zu lines of the file could not be read", history->bad_lines);
    }
    fputs(". A level is a median; a step is where the sum of deviations from the levels, plus four "
          "times "
          "the noise times ln(runs) for each step, is least.</p>\n",
          out);
}

void tb_report_history(const struct tb_history *history, FILE *out)
{
    if (!history || history->runs_n == 0) {
        return;
    }
    const struct tb_value *newest = history->runs[history->runs_n - 1].root;
    struct lines lines = {.history = history, .key = tb_saved_text(newest, "key")};
    for (size_t i = 0; i < history->runs_n; i++) {
        lines.other_machines += !is_here(&lines, history->runs[i].root);
    }
    struct line *line = malloc(sizeof *line);
    if (!line) {
        return;
    }
    fputs("<h2 id=\"history\">History</h2>\n<ul class=\"steps\">\n", out);
    put_rows(out, &lines, newest, true, line);
    fputs("</ul>\n<div class=\"cells large\">\n", out);
    put_rows(out, &lines, newest, false, line);
    fputs("</div>\n", out);
    put_counts(out, history, &lines);
    free(line);
}
