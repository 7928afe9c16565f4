/* render_ab.c: see render_ab.h. */
#include "render_ab.h"
#include "command.h"
#include "json.h"
#include "reasons.h"
#include "units.h"
#include "where.h"
#include "xml.h"
#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static double middle(const double *values, int n)
{
    struct tb_summary summary;
    return tb_summarize(values, (size_t)n, &summary) == 0 ? summary.median : (double)NAN;
}

static const char *verdict_word(const struct tb_ab_row *row)
{
    static const char *const bad[] = {"", "WRONG", "skip"};
    return row->status != TB_ROW_OK       ? bad[row->status]
           : row->verdict == TB_AB_NONE   ? "not run"
           : row->verdict == TB_AB_SLOWER ? "SLOWER"
                                          : tb_ab_verdicts[row->verdict];
}

static bool has_figures(const struct tb_ab_row *row)
{
    return row->status == TB_ROW_OK && row->first.n > 0;
}

static void put_interval(const struct tb_ab_row *row, char out[32])
{
    if (isfinite(row->interval.low)) {
        snprintf(out, 32, "[%+.1f, %+.1f]", 100 * row->interval.low, 100 * row->interval.high);
    } else {
        snprintf(out, 32, "(few restarts)");
    }
}

/* --- figures ---------------------------------------------------------------------------------- */

#define CELL_MAX   72
#define CELL_WIDTH 14

/* Those that the tables have, in their order; the rest is in JSON and CSV, and below the tables if
 * it grew. */
static const enum tb_exact shown[] = {TB_EXACT_ALLOCS, TB_EXACT_BYTES, TB_EXACT_CALLS,
                                      TB_EXACT_INSTRUCTIONS};
#define SHOWN (int)(sizeof shown / sizeof *shown)

static bool any_counted(const struct tb_ab_report *r)
{
    bool any = false;
    for (int i = 0; i < r->rows_n; i++) {
        any = any || tb_ab_was_counted(&r->rows[i]);
    }
    return any;
}

/* "0 -> 1 !", "402 -> 390"; what is too wide for that, "123456 +3% !" or "123456 x12 !". */
static void put_change(const struct tb_ab_figure *f, char out[CELL_MAX])
{
    char base[TB_NUMBER_MAX], cand[TB_NUMBER_MAX];
    const char *was = tb_exact_number(base, f->value[0]), *now = tb_exact_number(cand, f->value[1]);
    const char *mark = f->is == TB_AB_MORE ? " !" : "";
    double ratio = f->value[1] / f->value[0];
    if (snprintf(out, CELL_MAX, "%s -> %s%s", was, now, mark) <= CELL_WIDTH) {
        return;
    }
    if (ratio < 10) {
        snprintf(out, CELL_MAX, "%s %+.0f%%%s", now, 100 * (ratio - 1), mark);
    } else {
        snprintf(out, CELL_MAX, "%s x%.0f%s", now, fmin(ratio, 999), mark);
    }
}

/* "0" of both; what changed; "~2.10" where it differs each time, "?" not counted. */
static void put_figure(const struct tb_ab_figure *f, char out[CELL_MAX])
{
    char number[TB_NUMBER_MAX];
    const char *now = tb_exact_number(number, f->value[1]);
    switch (f->is) {
    case TB_AB_UNKNOWN:
        snprintf(out, CELL_MAX, "?");
        break;
    case TB_AB_EQUAL:
        snprintf(out, CELL_MAX, "%s", now);
        break;
    case TB_AB_VARIES:
        snprintf(out, CELL_MAX, "~%s", now);
        break;
    default:
        put_change(f, out);
    }
}

/* The places in the code of what grew. */
static void say_places(const struct tb_ab_row *row, enum tb_exact which, const struct tb_lines *to)
{
    if (!row->counted[0] || !row->counted[1]) {
        return;
    }
    const struct tb_ab_counted *was = row->counted[0], *now = row->counted[1];
    if (which == TB_EXACT_ALLOCS) {
        tb_where_sites(to, &now->row, TB_SITE_ALLOC);
    } else if (which == TB_EXACT_CALLS) {
        tb_where_sites(to, &now->row, TB_SITE_CALL);
    } else if (which == TB_EXACT_INSTRUCTIONS) {
        tb_where_grew(to, was->instructions.functions, was->instructions.functions_n,
                      &now->instructions);
    }
}

/* What grew, and where it comes from. */
static void say_more(const struct tb_ab_row *row, enum tb_exact which, const struct tb_lines *to)
{
    const struct tb_ab_figure *f = &row->figures[which];
    char base[TB_NUMBER_MAX], cand[TB_NUMBER_MAX];
    fprintf(to->out, "%s%s, %dw: %s %s -> %s", to->fail, row->load->name, row->workers,
            tb_exacts[which].title, tb_exact_number(base, f->value[0]),
            tb_exact_number(cand, f->value[1]));
    if (f->value[0] > 0) {
        fprintf(to->out, " (%+.1f %%)", 100 * (f->value[1] / f->value[0] - 1));
    }
    fputs(to->end, to->out);
    say_places(row, which, to);
}

/* --- in words --------------------------------------------------------------------------------- */

static void say_row(const struct tb_ab_row *row, const struct tb_lines *to)
{
    const char *name = row->load->name;
    if (row->status != TB_ROW_OK) {
        fprintf(to->out, "%s%s, %dw: %s%s", row->status == TB_ROW_WRONG ? to->fail : "skip  ", name,
                row->workers, row->reason, to->end);
    }
    for (int i = 0; i < TB_EXACTS; i++) {
        if (i != TB_EXACT_POOL && row->figures[i].is == TB_AB_MORE) {
            say_more(row, (enum tb_exact)i, to);
        }
    }
    if (row->verdict == TB_AB_SLOWER) {
        fprintf(to->out, "%s%s, %dw: slower by %.1f %% (limit %.1f %%), %s%s", to->fail, name,
                row->workers, 100 * row->change, 100 * row->margin,
                row->confirmed ? "confirmed by a second round" : "not measured again", to->end);
    }
    if (row->not_confirmed) {
        fprintf(to->out, "note  %s, %dw: slower in the first round, not in the second%s", name,
                row->workers, to->end);
    }
    if (row->note[0]) {
        fprintf(to->out, "note  %s, %dw: %s%s", name, row->workers, row->note, to->end);
    }
}

static void say_not_compared(const struct tb_ab_report *r, const struct tb_lines *to)
{
    struct tb_reasons reasons = {.n = 0};
    for (int i = 0; i < r->rows_n * TB_EXACTS; i++) {
        const struct tb_ab_row *row = &r->rows[i / TB_EXACTS];
        int which = i % TB_EXACTS;
        bool unknown = which != TB_EXACT_POOL && row->figures[which].is == TB_AB_UNKNOWN;
        tb_reasons_add(&reasons, unknown ? row->why_not[which] : NULL);
    }
    tb_reasons_put(&reasons, to->out, "", to->end);
}

static void say_rows(const struct tb_ab_report *r, const struct tb_lines *to)
{
    for (int i = 0; i < r->rows_n; i++) {
        say_row(&r->rows[i], to);
    }
    say_not_compared(r, to);
}

static void say_end(const struct tb_ab_report *r, FILE *out)
{
    int verdicts[5] = {0}, samples = 0, dirty = 0, grown = 0;
    for (int i = 0; i < r->rows_n; i++) {
        verdicts[r->rows[i].verdict]++;
        samples += r->rows[i].samples;
        dirty += r->rows[i].dirty;
        grown += r->rows[i].grew;
    }
    if (any_counted(r)) {
        fprintf(out, "%d of %d rows cost more by count\n", grown, r->rows_n);
    }
    if (r->plan->time) {
        fprintf(out, "%d faster, %d same, %d slower, %d unclear", verdicts[TB_AB_FASTER],
                verdicts[TB_AB_SAME], verdicts[TB_AB_SLOWER], verdicts[TB_AB_UNCLEAR]);
        if (verdicts[TB_AB_NONE] > 0) {
            fprintf(out, ", %d not timed", verdicts[TB_AB_NONE]);
        }
        fputs(" ", out);
    }
    fprintf(out, "in %.0f s%s\n", r->elapsed_s, r->interrupted ? ", interrupted" : "");
    if (samples > 0) {
        fprintf(out, "%d of %d samples were disturbed (switched out)", dirty, samples);
        if (r->steal_percent >= 0.05) {
            fprintf(out, "\nthe host took %.1f %% of the CPU time", r->steal_percent);
        }
        fputc('\n', out);
    }
}

/* --- table ------------------------------------------------------------------------------------ */

static const char *paint_of(bool color, bool bad, bool good)
{
    return !color ? "" : bad ? "\033[31m" : good ? "\033[32m" : "";
}

static void put_figures(const struct tb_ab_report *r, FILE *out, bool color)
{
    fprintf(out, "%s%-13s %2s", color ? "\033[1m" : "", "counted", "w");
    for (int i = 0; i < SHOWN; i++) {
        fprintf(out, " %*s", CELL_WIDTH, tb_exacts[shown[i]].title);
    }
    fprintf(out, "%s\n", color ? "\033[0m" : "");
    for (int i = 0; i < r->rows_n; i++) {
        const struct tb_ab_row *row = &r->rows[i];
        const char *paint = paint_of(color, row->grew, false);
        fprintf(out, "%s%-13s %2d", paint, row->load->name, row->workers);
        for (int j = 0; j < SHOWN; j++) {
            char cell[CELL_MAX];
            put_figure(&row->figures[shown[j]], cell);
            fprintf(out, " %*s", CELL_WIDTH, cell);
        }
        fprintf(out, "%s\n", paint[0] ? "\033[0m" : "");
    }
    fputc('\n', out);
}

static void put_times(const struct tb_ab_report *r, FILE *out, bool color)
{
    fprintf(out, "%s%-13s %2s %8s %8s %8s %-15s %2s  %s%s\n", color ? "\033[1m" : "", "timed", "w",
            "base", "cand", "change", "95 % interval", "n", "verdict", color ? "\033[0m" : "");
    for (int i = 0; i < r->rows_n; i++) {
        const struct tb_ab_row *row = &r->rows[i];
        char base[TB_NUMBER_MAX] = "", cand[TB_NUMBER_MAX] = "", change[16] = "", interval[32] = "";
        if (has_figures(row)) {
            tb_format_time(base, middle(row->base_ns, row->first.n));
            tb_format_time(cand, middle(row->cand_ns, row->first.n));
            snprintf(change, sizeof change, "%+.1f %%", 100 * row->change);
            put_interval(row, interval);
        }
        const char *paint =
            paint_of(color, row->verdict == TB_AB_SLOWER || row->status == TB_ROW_WRONG,
                     row->verdict == TB_AB_FASTER);
        fprintf(out, "%s%-13s %2d %8s %8s %8s %-15s %2d  %s%s\n", paint, row->load->name,
                row->workers, base, cand, change, interval, row->first.n, verdict_word(row),
                paint[0] ? "\033[0m" : "");
    }
    fputc('\n', out);
}

static void put_table(const struct tb_ab_report *r, FILE *out, bool color)
{
    if (r->plan->base_workers) {
        fprintf(out, "base this build, %dw\ncand this build, as below\n", r->plan->base_workers);
    } else {
        fprintf(out, "base %.60s\ncand %.60s\n", r->plan->base, r->plan->cand);
    }
    if (r->plan->time) {
        fprintf(out, "%d restarts of %d pairs, %s, I/O by %s, margin at least %.1f %%\n",
                r->plan->restarts, r->plan->pairs, r->plan->pin ? "pinned" : "not pinned",
                r->machine->backend, 100 * r->plan->threshold);
    }
    fputc('\n', out);
    if (r->plan->count) {
        put_figures(r, out, color);
    }
    if (r->plan->time) {
        put_times(r, out, color);
    }
    say_rows(r, &(struct tb_lines){out, "FAIL  ", "      ", "\n"});
    say_end(r, out);
}

/* --- Markdown --------------------------------------------------------------------------------- */

static void put_md_figures(const struct tb_ab_report *r, FILE *out)
{
    fprintf(out, "| counted | w ");
    for (int i = 0; i < SHOWN; i++) {
        fprintf(out, "| %s ", tb_exacts[shown[i]].title);
    }
    fprintf(out, "|\n| --- | --: ");
    for (int i = 0; i < SHOWN; i++) {
        fprintf(out, "| --: ");
    }
    fprintf(out, "|\n");
    for (int i = 0; i < r->rows_n; i++) {
        const struct tb_ab_row *row = &r->rows[i];
        fprintf(out, "| %s | %d ", row->load->name, row->workers);
        for (int j = 0; j < SHOWN; j++) {
            char cell[CELL_MAX];
            put_figure(&row->figures[shown[j]], cell);
            fprintf(out, "| %s ", cell);
        }
        fprintf(out, "|\n");
    }
    fputc('\n', out);
}

static void put_md_times(const struct tb_ab_report *r, FILE *out)
{
    fprintf(out, "| timed | w | base | cand | change | 95 %% interval | restarts | verdict |\n"
                 "| --- | --: | --: | --: | --: | --- | --: | --- |\n");
    for (int i = 0; i < r->rows_n; i++) {
        const struct tb_ab_row *row = &r->rows[i];
        char base[TB_NUMBER_MAX] = "", cand[TB_NUMBER_MAX] = "", interval[32] = "";
        if (has_figures(row)) {
            tb_format_time(base, middle(row->base_ns, row->first.n));
            tb_format_time(cand, middle(row->cand_ns, row->first.n));
            put_interval(row, interval);
        }
        fprintf(out, "| %s | %d | %s | %s | %+.1f %% | %s | %d | %s |\n", row->load->name,
                row->workers, base, cand, 100 * row->change, interval, row->first.n,
                verdict_word(row));
    }
    fputc('\n', out);
}

static void put_md(const struct tb_ab_report *r, FILE *out)
{
    if (r->plan->count) {
        put_md_figures(r, out);
    }
    if (r->plan->time) {
        put_md_times(r, out);
    }
    say_rows(r, &(struct tb_lines){out, "- **FAIL** ", "  - ", "\n"});
    fputc('\n', out);
    say_end(r, out);
}

/* --- CSV -------------------------------------------------------------------------------------- */

static void put_csv(const struct tb_ab_report *r, FILE *out)
{
    fprintf(out, "workload,workers,base_ns,cand_ns,ratio,low,high,restarts,verdict,confirmed");
    for (int i = 0; i < TB_EXACTS; i++) {
        fprintf(out, ",%s_base,%s_cand", tb_exacts[i].key, tb_exacts[i].key);
    }
    fputc('\n', out);
    for (int i = 0; i < r->rows_n; i++) {
        const struct tb_ab_row *row = &r->rows[i];
        fprintf(out, "%s,%d,", row->load->name, row->workers);
        if (has_figures(row)) {
            fprintf(out, "%.6g,%.6g,%.6g,%.6g,%.6g,", middle(row->base_ns, row->first.n),
                    middle(row->cand_ns, row->first.n), 1 + row->change, 1 + row->interval.low,
                    1 + row->interval.high);
        } else {
            fprintf(out, ",,,,,");
        }
        fprintf(out, "%d,%s,%d", row->first.n, verdict_word(row), row->confirmed);
        for (int j = 0; j < 2 * TB_EXACTS; j++) {
            const struct tb_ab_figure *f = &row->figures[j / 2];
            if (f->is == TB_AB_UNKNOWN) {
                fputc(',', out);
            } else {
                fprintf(out, ",%.6g", f->value[j % 2]);
            }
        }
        fputc('\n', out);
    }
}

/* --- JUnit ------------------------------------------------------------------------------------ */

enum outcome { PASSED, FAILED, SKIPPED };

static enum outcome outcome_of(const struct tb_ab_report *r, const struct tb_ab_row *row)
{
    bool undecided = row->verdict == TB_AB_UNCLEAR || row->verdict == TB_AB_NONE;
    bool failed = row->verdict == TB_AB_SLOWER || row->status == TB_ROW_WRONG || row->grew;
    return failed                                                  ? FAILED
           : (r->plan->time ? undecided : !tb_ab_was_counted(row)) ? SKIPPED
                                                                   : PASSED;
}

static void put_junit_reason(const struct tb_ab_row *row, FILE *out)
{
    tb_put_xml(out, row->status == TB_ROW_WRONG ? row->reason : "");
    for (int i = 0; i < TB_EXACTS; i++) {
        const struct tb_ab_figure *f = &row->figures[i];
        if (i != TB_EXACT_POOL && f->is == TB_AB_MORE) {
            fprintf(out, "%s %.6g to %.6g. ", tb_exacts[i].title, f->value[0], f->value[1]);
        }
    }
    if (row->verdict == TB_AB_SLOWER) {
        fprintf(out, "time %+.1f %%, limit %.1f %%", 100 * row->change, 100 * row->margin);
    }
}

static void put_junit(const struct tb_ab_report *r, FILE *out)
{
    int failures = 0, skipped = 0;
    for (int i = 0; i < r->rows_n; i++) {
        const struct tb_ab_row *row = &r->rows[i];
        enum outcome outcome = outcome_of(r, row);
        failures += outcome == FAILED;
        skipped += outcome == SKIPPED;
    }
    fprintf(out,
            "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n"
            "<testsuite name=\"taskbench %s\" tests=\"%d\" failures=\"%d\" skipped=\"%d\" "
            "time=\"%.1f\">\n",
            r->command, r->rows_n, failures, skipped, r->elapsed_s);
    for (int i = 0; i < r->rows_n; i++) {
        const struct tb_ab_row *row = &r->rows[i];
        fprintf(out, "  <testcase classname=\"taskbench.%s\" name=\"", r->command);
        tb_put_xml(out, row->load->name);
        fprintf(out, " %dw\">", row->workers);
        enum outcome outcome = outcome_of(r, row);
        if (outcome == FAILED) {
            fprintf(out, "<failure message=\"");
            put_junit_reason(row, out);
            fprintf(out, "\">");
            struct tb_xml_text places;
            if (tb_xml_begin(&places)) {
                say_row(row, &(struct tb_lines){places.to, "", "      ", "\n"});
                tb_xml_end(&places, out);
            }
            fprintf(out, "</failure>");
        } else if (outcome == SKIPPED) {
            fprintf(out, "<skipped message=\"%s\"/>", verdict_word(row));
        }
        fprintf(out, "</testcase>\n");
    }
    fprintf(out, "</testsuite>\n");
}

/* --- JSON ------------------------------------------------------------------------------------- */

static void put_series(struct tb_json *json, const char *key, const struct tb_ab_series *s)
{
    tb_json_open(json, key, '[');
    for (int i = 0; i < s->n; i++) {
        tb_json_real(json, NULL, exp(s->log_ratio[i]));
    }
    tb_json_close(json);
}

static void put_values(struct tb_json *json, const char *key, const double *values, int n)
{
    tb_json_open(json, key, '[');
    for (int i = 0; i < n; i++) {
        tb_json_real(json, NULL, values[i]);
    }
    tb_json_close(json);
}

/* As the report in words names them, a line each. */
static void put_places(struct tb_json *json, const struct tb_ab_row *row, enum tb_exact which)
{
    char *text = NULL, *rest = NULL;
    size_t bytes = 0;
    FILE *out = open_memstream(&text, &bytes);
    if (!out) {
        return;
    }
    say_places(row, which, &(struct tb_lines){out, "", "", "\n"});
    fclose(out);
    tb_json_open(json, "places", '[');
    for (char *line = strtok_r(text, "\n", &rest); line; line = strtok_r(NULL, "\n", &rest)) {
        tb_json_text(json, NULL, line);
    }
    tb_json_close(json);
    free(text);
}

static void put_exact(struct tb_json *json, const struct tb_ab_row *row, int which)
{
    const struct tb_ab_figure *f = &row->figures[which];
    tb_json_open(json, tb_exacts[which].key, '{');
    tb_json_real(json, "base", f->value[0]);
    tb_json_real(json, "cand", f->value[1]);
    put_values(json, "base_counts", f->count[0], f->counts);
    put_values(json, "cand_counts", f->count[1], f->counts);
    tb_json_text(json, "is", tb_ab_exactnesses[f->is]);
    tb_json_text(json, "reason", f->is == TB_AB_UNKNOWN ? row->why_not[which] : NULL);
    if (f->is == TB_AB_MORE) {
        put_places(json, row, (enum tb_exact)which);
    }
    tb_json_close(json);
}

static void put_json_row(struct tb_json *json, const struct tb_ab_row *row)
{
    static const char *const checks[] = {"ok", "wrong", "skipped"};
    tb_json_open(json, NULL, '{');
    tb_json_text(json, "workload", row->load->name);
    tb_json_text(json, "op", row->load->op);
    tb_json_open(json, "params", '{');
    for (int i = 0; row->load->params[i].key; i++) {
        tb_json_count(json, row->load->params[i].key, row->params[i]);
    }
    tb_json_close(json);
    tb_json_count(json, "workers", (uint64_t)row->workers);
    tb_json_text(json, "check", checks[row->status]);
    tb_json_text(json, "reason", row->reason);
    if (has_figures(row)) {
        tb_json_open(json, "time", '{');
        tb_json_text(json, "unit", "ns/op");
        tb_json_real(json, "base", middle(row->base_ns, row->first.n));
        tb_json_real(json, "cand", middle(row->cand_ns, row->first.n));
        tb_json_real(json, "ratio", 1 + row->change);
        put_values(json, "ci95", (double[]){1 + row->interval.low, 1 + row->interval.high}, 2);
        tb_json_real(json, "p", row->p);
        tb_json_real(json, "margin", row->margin);
        tb_json_real(json, "floor", row->floor);
        put_series(json, "restarts", &row->first);
        put_series(json, "confirming", &row->second);
        put_values(json, "base_ns", row->base_ns, row->first.n);
        put_values(json, "cand_ns", row->cand_ns, row->first.n);
        tb_json_count(json, "samples", (uint64_t)row->samples);
        tb_json_count(json, "dirty_samples", (uint64_t)row->dirty);
        tb_json_close(json);
    }
    if (tb_ab_was_counted(row)) {
        tb_json_open(json, "exact", '{');
        for (int i = 0; i < TB_EXACTS; i++) {
            put_exact(json, row, i);
        }
        tb_json_close(json);
    }
    tb_json_text(json, "verdict", tb_ab_verdicts[row->verdict]);
    tb_json_bool(json, "confirmed", row->confirmed);
    tb_json_bool(json, "grew", row->grew);
    tb_json_close(json);
}

static void put_json(const struct tb_ab_report *r, FILE *out)
{
    struct tb_json json = {.out = out};
    char started[32];
    struct tm utc;
    strftime(started, sizeof started, "%Y-%m-%dT%H:%M:%SZ", gmtime_r(&r->started, &utc));
    tb_json_open(&json, NULL, '{');
    tb_json_text(&json, "schema", "weft.taskbench/1");
    tb_json_text(&json, "tool", TB_VERSION);
    tb_json_text(&json, "command", r->command);
    tb_json_text(&json, "started", started);
    tb_json_count(&json, "seed", r->plan->seed);
    tb_json_open(&json, "machine", '{');
    tb_json_text(&json, "key", r->machine->key);
    tb_json_text(&json, "cpu", r->machine->cpu);
    tb_json_count(&json, "cpus", (uint64_t)r->machine->cpus);
    tb_json_text(&json, "kernel", r->machine->kernel);
    tb_json_text(&json, "backend", r->machine->backend);
    tb_json_bool(&json, "pinned", r->plan->pin);
    tb_json_close(&json);
    tb_json_open(&json, "build", '{');
    tb_json_text(&json, "base", r->plan->base);
    tb_json_text(&json, "cand", r->plan->cand);
    tb_json_close(&json);
    if (r->plan->base_workers) {
        tb_json_count(&json, "base_workers", (uint64_t)r->plan->base_workers);
    }
    tb_json_count(&json, "pairs_per_restart", (uint64_t)r->plan->pairs);
    tb_json_open(&json, "results", '[');
    for (int i = 0; i < r->rows_n; i++) {
        put_json_row(&json, &r->rows[i]);
    }
    tb_json_close(&json);
    int verdicts[5] = {0};
    for (int i = 0; i < r->rows_n; i++) {
        verdicts[r->rows[i].verdict]++;
    }
    tb_json_open(&json, "summary", '{');
    for (int i = 0; i <= TB_AB_NONE; i++) {
        tb_json_count(&json, tb_ab_verdicts[i], (uint64_t)verdicts[i]);
    }
    tb_json_bool(&json, "interrupted", r->interrupted);
    tb_json_real(&json, "elapsed_s", r->elapsed_s);
    tb_json_real(&json, "steal_percent", r->steal_percent >= 0 ? r->steal_percent : (double)NAN);
    tb_json_count(&json, "exit", (uint64_t)r->exit_code);
    tb_json_close(&json);
    tb_json_close(&json);
}

int tb_ab_render(const struct tb_ab_report *report, enum tb_format format, FILE *out, bool color)
{
    switch (format) {
    case TB_FORMAT_TABLE:
        put_table(report, out, color);
        return 0;
    case TB_FORMAT_JSON:
        put_json(report, out);
        return 0;
    case TB_FORMAT_MD:
        put_md(report, out);
        return 0;
    case TB_FORMAT_CSV:
        put_csv(report, out);
        return 0;
    case TB_FORMAT_JUNIT:
        put_junit(report, out);
        return 0;
    default:
        return -ENOTSUP;
    }
}

void tb_spark(const double *values, int n, int cells, bool unicode, char *out, size_t bytes)
{
    static const char *const blocks[] = {"▁", "▂", "▃", "▄", "▅", "▆", "▇", "█"};
    static const char *const ascii[] = {"_", ".", ",", "-", "=", "+", "*", "#"};
    int from = n > cells ? n - cells : 0;
    double low = INFINITY, high = -INFINITY;
    out[0] = '\0';
    for (int i = from; i < n; i++) {
        low = fmin(low, values[i]);
        high = fmax(high, values[i]);
    }
    for (int i = from; i < n; i++) {
        int level = high > low ? (int)((values[i] - low) / (high - low) * 7.99) : 3;
        size_t used = strlen(out);
        snprintf(out + used, bytes - used, "%s", (unicode ? blocks : ascii)[level]);
    }
}
