/* test_ab.c: what taskbench ab concludes (tools/taskbench/ab.h), and how it writes it down. */
#include "json_schema.h"
#include "tests/support/wt.h"
#include "ab.h"
#include "floors.h"
#include "render_ab.h"
#include <errno.h>
#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* n restarts around `ratio`, spread evenly by plus and minus `spread`. */
static void fill(struct tb_ab_series *series, double ratio, double spread, int n)
{
    series->n = n;
    for (int i = 0; i < n; i++) {
        series->log_ratio[i] = log(ratio * (1 + spread * (2.0 * i / (n - 1) - 1)));
    }
}

static struct tb_ab_row *row_of(double ratio, double spread, int n, double margin)
{
    static struct tb_ab_row row;
    row = (struct tb_ab_row){
        .load = tb_load_find("spawn"), .workers = 1, .margin = margin, .floor = (double)NAN};
    fill(&row.first, ratio, spread, n);
    for (int i = 0; i < n; i++) {
        row.base_ns[i] = 100;
        row.cand_ns[i] = 100 * ratio;
    }
    row.samples = 40 * n;
    tb_ab_conclude(&row);
    return &row;
}

Test(ab, verdicts_are_where_the_interval_lies)
{
    wt_eq(row_of(1.05, 0.01, 10, 0.03)->verdict, TB_AB_SLOWER);
    wt_eq(row_of(0.95, 0.01, 10, 0.03)->verdict, TB_AB_FASTER);
    wt_eq(row_of(1.01, 0.01, 10, 0.03)->verdict, TB_AB_SAME);
    wt_eq(row_of(1.03, 0.02, 10, 0.03)->verdict, TB_AB_UNCLEAR);
    wt_eq(row_of(1.00, 0.20, 10, 0.03)->verdict, TB_AB_UNCLEAR);
}

Test(ab, a_difference_within_the_margin_is_no_regression_however_sure)
{
    wt_eq(row_of(1.02, 0.0001, 40, 0.03)->verdict, TB_AB_SAME);
}

Test(ab, so_few_restarts_say_nothing)
{
    struct tb_ab_row *row = row_of(1.5, 0.01, 5, 0.03);
    wt_eq(row->verdict, TB_AB_UNCLEAR);
    wt_true(isinf(row->interval.high));
}

Test(ab, change_and_interval_are_of_the_ratio)
{
    struct tb_ab_row *row = row_of(1.10, 0.01, 11, 0.03);
    wt_lt(fabs(row->change - 0.10), 1e-9);
    wt_true(row->interval.low > 0.085 && row->interval.low < 0.10);
    wt_true(row->interval.high < 0.115 && row->interval.high > 0.10);
}

Test(ab, a_wild_restart_is_no_verdict)
{
    struct tb_ab_row *row = row_of(1.0, 0.005, 10, 0.03);
    row->first.log_ratio[9] = log(3);
    tb_ab_conclude(row);
    wt_eq(row->verdict, TB_AB_SAME);
}

/* Six of six above the margin happen by chance in one of 64: with thirty workloads that is no
 * news. */
Test(ab, many_workloads_together_need_more)
{
    static struct tb_ab_row rows[30];
    for (int i = 0; i < 30; i++) {
        rows[i] = *row_of(i == 0 ? 1.05 : 1.0, 0.005, 6, 0.03);
    }
    wt_eq(rows[0].verdict, TB_AB_SLOWER);
    tb_ab_correct(rows, 30);
    wt_eq(rows[0].verdict, TB_AB_UNCLEAR);

    rows[0] = *row_of(1.05, 0.005, 12, 0.03);
    tb_ab_correct(rows, 30);
    wt_eq(rows[0].verdict, TB_AB_SLOWER);
    wt_lt(rows[0].p, 0.05);
}

Test(ab, what_is_not_confirmed_is_unclear)
{
    struct tb_ab_row *row = row_of(1.05, 0.005, 10, 0.03);
    fill(&row->second, 1.05, 0.005, 10);
    tb_ab_confirm(row);
    wt_true(row->confirmed && row->verdict == TB_AB_SLOWER);

    row = row_of(1.05, 0.005, 10, 0.03);
    fill(&row->second, 1.0, 0.005, 10);
    tb_ab_confirm(row);
    wt_true(row->not_confirmed && !row->confirmed && row->verdict == TB_AB_UNCLEAR);

    row = row_of(1.05, 0.005, 10, 0.03);
    tb_ab_confirm(row); /* the second round did not come about */
    wt_eq(row->verdict, TB_AB_UNCLEAR);
}

/* --- figures ---------------------------------------------------------------------------------- */

static enum tb_ab_exactness judged(enum tb_exact which, int counts, const double *base,
                                   const double *cand)
{
    struct tb_ab_figure f = {.counts = counts};
    for (int i = 0; i < counts; i++) {
        f.count[0][i] = base[i];
        f.count[1][i] = cand[i];
    }
    tb_ab_judge(&f, which, 0.015);
    return f.is;
}

#define COUNTS(a, b, c) ((const double[]){a, b, c})

Test(ab, an_allocation_and_a_call_in_a_hundred_ops_are_more)
{
    wt_eq(judged(TB_EXACT_ALLOCS, 3, COUNTS(0, 0, 0), COUNTS(0.01, 0.01, 0.01)), TB_AB_MORE);
    wt_eq(judged(TB_EXACT_CALLS, 3, COUNTS(0, 0, 0), COUNTS(0.01, 0.01, 0.01)), TB_AB_MORE);
    wt_eq(judged(TB_EXACT_CALLS, 3, COUNTS(3, 3, 3), COUNTS(2, 2, 2)), TB_AB_LESS);
}

Test(ab, what_happens_once_in_a_stretch_is_nothing)
{
    wt_eq(judged(TB_EXACT_ALLOCS, 1, COUNTS(0, 0, 0), COUNTS(0.0005, 0, 0)), TB_AB_EQUAL);
    wt_eq(judged(TB_EXACT_CALLS, 1, COUNTS(2, 0, 0), COUNTS(2.005, 0, 0)), TB_AB_EQUAL);
}

Test(ab, three_per_cent_of_instructions_are_more_and_one_is_not)
{
    wt_eq(judged(TB_EXACT_INSTRUCTIONS, 3, COUNTS(100, 100.1, 100), COUNTS(103, 103, 103)),
          TB_AB_MORE);
    wt_eq(judged(TB_EXACT_INSTRUCTIONS, 3, COUNTS(100, 100.1, 100), COUNTS(101, 101, 101)),
          TB_AB_EQUAL);
}

Test(ab, what_differs_from_itself_decides_nothing)
{
    wt_eq(judged(TB_EXACT_CALLS, 3, COUNTS(1, 1.5, 1), COUNTS(2, 2, 2)), TB_AB_VARIES);
    wt_eq(judged(TB_EXACT_CALLS, 3, COUNTS(1, 1, 1), COUNTS(2, 3, 2)), TB_AB_VARIES);
    wt_eq(judged(TB_EXACT_ALLOCS, 3, COUNTS(0, 0, 0), COUNTS(1, 1, 0)), TB_AB_VARIES);
    wt_eq(judged(TB_EXACT_ALLOCS, 3, COUNTS(0, 0, 0), COUNTS(1, (double)NAN, 1)), TB_AB_UNKNOWN);
}

/* --- floors ----------------------------------------------------------------------------------- */

Test(floors, a_file_comes_back_as_it_was_written)
{
    char path[] = "/tmp/test_ab-XXXXXX";
    static struct tb_floors floors;
    struct tb_ab_row *row = row_of(1.002, 0.01, 10, 0.03);
    close(mkstemp(path));
    wt_eq(tb_floors_save(path, "this-machine", row, 1), 0);
    wt_eq(tb_floors_load(&floors, path), 0, "%s", floors.error);
    unlink(path);
    wt_str_eq(floors.key, "this-machine");
    wt_lt(fabs(tb_floors_of(&floors, "spawn", 1) - tb_floor_of_row(row)), 1e-7);
    wt_true(tb_floors_of(&floors, "spawn", 1) > 0.007);
    wt_true(isnan(tb_floors_of(&floors, "spawn", 2)));
    wt_lt(tb_floors_load(&floors, "/nonexistent"), 0);
    wt_true(floors.error[0] != '\0');
}

/* --- reports ---------------------------------------------------------------------------------- */

static char *rendered(enum tb_format format)
{
    static const struct tb_machine machine = {
        .key = "k", .cpu = "c", .cpus = 2, .kernel = "6.1", .backend = "uring"};
    static const struct tb_ab_plan plan = {.base = "old/taskbench",
                                           .cand = "new/taskbench",
                                           .restarts = 10,
                                           .pairs = 20,
                                           .threshold = 0.03,
                                           .pin = true,
                                           .count = true,
                                           .time = true};
    static struct tb_ab_row rows[4];
    rows[0] = *row_of(1.05, 0.005, 10, 0.03);
    fill(&rows[0].second, 1.05, 0.005, 10);
    tb_ab_confirm(&rows[0]);
    rows[1] = *row_of(1.0, 0.005, 10, 0.03);
    for (int i = 0; i < TB_EXACTS; i++) {
        rows[0].why_not[i] = "valgrind is not installed";
        rows[1].figures[i] = (struct tb_ab_figure){
            .counts = 3, .count = {{123456.5, 123456.5, 123456.5}, {234567.5, 234567.5, 234567.5}}};
        tb_ab_judge(&rows[1].figures[i], (enum tb_exact)i, 0.015);
    }
    rows[1].grew = true;
    rows[2] = *row_of(1.0, 0.5, 4, 0.03);
    rows[3] = (struct tb_ab_row){.load = tb_load_find("pingpong/chan"),
                                 .workers = 2,
                                 .status = TB_ROW_WRONG,
                                 .verdict = TB_AB_NONE,
                                 .reason = "candidate: sent \"1\" <got> & 2"};
    struct tb_ab_report report = {.command = "ab",
                                  .plan = &plan,
                                  .rows = rows,
                                  .rows_n = 4,
                                  .machine = &machine,
                                  .started = 1790000000,
                                  .elapsed_s = 12,
                                  .steal_percent = 1,
                                  .exit_code = 5};
    char *text;
    size_t bytes;
    FILE *out = open_memstream(&text, &bytes);
    int rc = tb_ab_render(&report, format, out, false);
    fclose(out);
    wt_eq(rc, format > TB_FORMAT_JUNIT ? -ENOTSUP : 0);
    static char kept[1 << 15]; /* until the next call */
    snprintf(kept, sizeof kept, "%s", text);
    free(text);
    return kept;
}

Test(ab, the_table_fits_80_columns_and_names_what_failed)
{
    char *text = rendered(TB_FORMAT_TABLE);
    for (const char *line = text; *line; line += strcspn(line, "\n") + 1) {
        wt_le(strcspn(line, "\n"), 80u, "%s", line);
    }
    wt_true(strstr(text, "SLOWER") != NULL && strstr(text, "unclear") != NULL);
    wt_true(strstr(text, "FAIL  spawn, 1w: slower by 5.0 % (limit 3.0 %), confirmed") != NULL, "%s",
            text);
    wt_true(strstr(text, "(few restarts)") != NULL);
    wt_true(strstr(text, " 234568 +90% ! ") != NULL, "%s", text);
    wt_true(strstr(text, "FAIL  spawn, 1w: instr/op 123456 -> 234568 (+90.0 %)") != NULL, "%s",
            text);
    wt_true(strstr(text, "not compared: 5 figures: valgrind is not installed") != NULL, "%s", text);
}

Test(ab, json_is_as_its_schema_says)
{
    FILE *file = fopen(TASKBENCH_BENCH "/schema/taskbench-ab-1.json", "re");
    static char schema[1 << 16];
    wt_true(file != NULL);
    (void)!fread(schema, 1, sizeof schema - 1, file);
    fclose(file);
    struct schema_check check = {.root = json_read(schema)};
    const struct json *report = json_read(rendered(TB_FORMAT_JSON));
    wt_true(check.root != NULL && report != NULL);
    wt_true(schema_holds(&check, check.root, report, ""), "%s", check.error);
}

Test(ab, junit_escapes_and_counts)
{
    char *text = rendered(TB_FORMAT_JUNIT);
    wt_true(strstr(text, "tests=\"4\" failures=\"3\" skipped=\"1\"") != NULL, "%s", text);
    wt_true(strstr(text, "sent &quot;1&quot; &lt;got&gt; &amp; 2") != NULL, "%s", text);
}

Test(ab, csv_and_markdown_have_a_line_for_each_row)
{
    char *text = rendered(TB_FORMAT_CSV);
    int lines = 0;
    for (const char *c = text; *c; c++) {
        lines += *c == '\n';
    }
    wt_eq(lines, 5);
    text = rendered(TB_FORMAT_MD);
    wt_true(strstr(text, "| spawn | 1 | 100 ns | 105 ns | +5.0 % |") != NULL, "%s", text);
    rendered(TB_FORMAT_GBENCH);
}

Test(ab, sparks_show_the_last_values_between_their_extremes)
{
    char out[64];
    double values[] = {9, 0, 1, 0.5};
    tb_spark(values, 4, 3, false, out, sizeof out);
    wt_str_eq(out, "_#-");
    tb_spark(values, 0, 3, false, out, sizeof out);
    wt_str_eq(out, "");
    double same[] = {2, 2};
    tb_spark(same, 2, 3, true, out, sizeof out);
    wt_str_eq(out, "▄▄");
}
