/* render_ab.c: see render_ab.h. */
#include "render_ab.h"
#include "command.h"
#include "json.h"
#include "units.h"
#include "xml.h"
#include <errno.h>
#include <math.h>
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

/* --- in words --------------------------------------------------------------------------------- */

static void say_row(const struct tb_ab_row *row, const char *head, FILE *out)
{
    const char *name = row->load->name;
    if (row->status != TB_ROW_OK) {
        fprintf(out, "%s%s, %dw: %s\n", row->status == TB_ROW_WRONG ? head : "skip  ", name,
                row->workers, row->reason);
    } else if (row->verdict == TB_AB_SLOWER) {
        fprintf(out, "%s%s, %dw: slower by %.1f %% (limit %.1f %%), %s\n", head, name, row->workers,
                100 * row->change, 100 * row->margin,
                row->confirmed ? "confirmed by a second round" : "not measured again");
    }
    if (row->not_confirmed) {
        fprintf(out, "note  %s, %dw: slower in the first round, not in the second\n", name,
                row->workers);
    }
    if (has_figures(row) && row->grew) {
        fprintf(out, "%s%s, %dw: allocs/op %.4g -> %.4g, bytes/op %.4g -> %.4g\n", head, name,
                row->workers, row->allocs[0], row->allocs[1], row->bytes[0], row->bytes[1]);
    }
    if (row->note[0]) {
        fprintf(out, "note  %s, %dw: %s\n", name, row->workers, row->note);
    }
}

static void say_end(const struct tb_ab_report *r, FILE *out)
{
    int verdicts[5] = {0}, samples = 0, dirty = 0;
    for (int i = 0; i < r->rows_n; i++) {
        verdicts[r->rows[i].verdict]++;
        samples += r->rows[i].samples;
        dirty += r->rows[i].dirty;
    }
    fprintf(out, "%d faster, %d same, %d slower, %d unclear", verdicts[TB_AB_FASTER],
            verdicts[TB_AB_SAME], verdicts[TB_AB_SLOWER], verdicts[TB_AB_UNCLEAR]);
    if (verdicts[TB_AB_NONE] > 0) {
        fprintf(out, ", %d not measured", verdicts[TB_AB_NONE]);
    }
    fprintf(out, " in %.0f s%s\n", r->elapsed_s, r->interrupted ? ", interrupted" : "");
    if (samples > 0) {
        fprintf(out, "%d of %d samples were disturbed (switched out)", dirty, samples);
        if (r->steal_percent >= 0.05) {
            fprintf(out, "\nthe host took %.1f %% of the CPU time", r->steal_percent);
        }
        fputc('\n', out);
    }
}

/* --- table ------------------------------------------------------------------------------------ */

static void put_table(const struct tb_ab_report *r, FILE *out, bool color)
{
    fprintf(out,
            "base %.60s\ncand %.60s\n%d restarts of %d pairs, %s, I/O by %s, margin at least %.1f "
            "%%\n\n",
            r->plan->base, r->plan->cand, r->plan->restarts, r->plan->pairs,
            r->plan->pin ? "pinned" : "not pinned", r->machine->backend, 100 * r->plan->threshold);
    fprintf(out, "%s%-13s %2s %8s %8s %8s %-15s %2s  %s%s\n", color ? "\033[1m" : "", "workload",
            "w", "base", "cand", "change", "95 % interval", "n", "verdict", color ? "\033[0m" : "");
    for (int i = 0; i < r->rows_n; i++) {
        const struct tb_ab_row *row = &r->rows[i];
        const char *word = verdict_word(row);
        char base[TB_NUMBER_MAX] = "", cand[TB_NUMBER_MAX] = "", change[16] = "", interval[32] = "";
        if (has_figures(row)) {
            tb_format_time(base, middle(row->base_ns, row->first.n));
            tb_format_time(cand, middle(row->cand_ns, row->first.n));
            snprintf(change, sizeof change, "%+.1f %%", 100 * row->change);
            put_interval(row, interval);
        }
        const char *paint = !color                         ? ""
                            : row->verdict == TB_AB_SLOWER ? "\033[31m"
                            : row->verdict == TB_AB_FASTER ? "\033[32m"
                            : row->status == TB_ROW_WRONG  ? "\033[31m"
                                                           : "";
        fprintf(out, "%s%-13s %2d %8s %8s %8s %-15s %2d  %s%s\n", paint, row->load->name,
                row->workers, base, cand, change, interval, row->first.n, word,
                paint[0] ? "\033[0m" : "");
    }
    fputc('\n', out);
    for (int i = 0; i < r->rows_n; i++) {
        say_row(&r->rows[i], "FAIL  ", out);
    }
    say_end(r, out);
}

/* --- Markdown --------------------------------------------------------------------------------- */

static void put_md(const struct tb_ab_report *r, FILE *out)
{
    fprintf(out, "| workload | w | base | cand | change | 95 %% interval | restarts | verdict |\n"
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
    for (int i = 0; i < r->rows_n; i++) {
        say_row(&r->rows[i], "- **FAIL** ", out);
    }
    fputc('\n', out);
    say_end(r, out);
}

/* --- CSV -------------------------------------------------------------------------------------- */

static void put_csv(const struct tb_ab_report *r, FILE *out)
{
    fprintf(
        out,
        "workload,workers,base_ns,cand_ns,ratio,low,high,restarts,verdict,confirmed,allocs_base,"
        "allocs_cand\n");
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
        fprintf(out, "%d,%s,%d,", row->first.n, verdict_word(row), row->confirmed);
        if (!isnan(row->allocs[0]) && !isnan(row->allocs[1])) {
            fprintf(out, "%.6g,%.6g\n", row->allocs[0], row->allocs[1]);
        } else {
            fprintf(out, ",\n");
        }
    }
}

/* --- JUnit ------------------------------------------------------------------------------------ */

static void put_junit(const struct tb_ab_report *r, FILE *out)
{
    int failures = 0, skipped = 0;
    for (int i = 0; i < r->rows_n; i++) {
        const struct tb_ab_row *row = &r->rows[i];
        failures += row->verdict == TB_AB_SLOWER || row->status == TB_ROW_WRONG || row->grew;
        skipped += row->verdict == TB_AB_UNCLEAR ||
                   (row->verdict == TB_AB_NONE && row->status != TB_ROW_WRONG);
    }
    fprintf(out,
            "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n"
            "<testsuite name=\"taskbench ab\" tests=\"%d\" failures=\"%d\" skipped=\"%d\" "
            "time=\"%.1f\">\n",
            r->rows_n, failures, skipped, r->elapsed_s);
    for (int i = 0; i < r->rows_n; i++) {
        const struct tb_ab_row *row = &r->rows[i];
        fprintf(out, "  <testcase classname=\"taskbench.ab\" name=\"");
        tb_put_xml(out, row->load->name);
        fprintf(out, " %dw\">", row->workers);
        if (row->status == TB_ROW_WRONG) {
            fprintf(out, "<failure message=\"");
            tb_put_xml(out, row->reason);
            fprintf(out, "\"/>");
        } else if (row->verdict == TB_AB_SLOWER || row->grew) {
            fprintf(out, "<failure message=\"%+.1f %%, limit %.1f %%; allocs/op %.4g to %.4g\"/>",
                    100 * row->change, 100 * row->margin, row->allocs[0], row->allocs[1]);
        } else if (row->verdict == TB_AB_UNCLEAR || row->verdict == TB_AB_NONE) {
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

static void put_two(struct tb_json *json, const char *key, const double values[2])
{
    tb_json_open(json, key, '{');
    tb_json_real(json, "base", values[0]);
    tb_json_real(json, "cand", values[1]);
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
        tb_json_open(json, "exact", '{');
        put_two(json, "allocs_per_op", row->allocs);
        put_two(json, "bytes_per_op", row->bytes);
        put_two(json, "enters_per_op", row->enters);
        tb_json_close(json);
    }
    tb_json_text(json, "verdict", tb_ab_verdicts[row->verdict]);
    tb_json_bool(json, "confirmed", row->confirmed);
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
    tb_json_text(&json, "command", "ab");
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
