/* test_report.c: what taskbench writes of rows, in each format. */
#include "json_schema.h"
#include "tests/support/wt.h"
#include "render.h"
#include <stdint.h>
#include <stdlib.h>

#ifndef TASKBENCH_SCHEMA
#error "TASKBENCH_SCHEMA is the path of bench/schema/taskbench-1.json"
#endif

/* --- a run that never was --------------------------------------------------------------------- */

static const struct tb_machine machine = {.key = "x86_64-some-cpu-2c-6.1-uring",
                                          .arch = "x86_64",
                                          .cpu = "Some \"fast\" CPU",
                                          .cpus = 2,
                                          .kernel = "6.1.0",
                                          .memory_bytes = UINT64_C(1) << 34,
                                          .compiler = "12.2.0",
                                          .weft = "0.1.0",
                                          .backend = "uring",
                                          .report = "weft 0.1.0: 2 workers, I/O by io_uring",
                                          .line_ns = 26.4};

static const struct tb_run_facts facts = {
    .machine = &machine, .set = "quick", .seed = 1, .started = 1790000000};

static struct tb_row *good_row(const char *name)
{
    static struct tb_row row;
    row = (struct tb_row){.load = tb_load_find(name),
                          .workers = 2,
                          .seed = 1,
                          .samples_n = 3,
                          .ops_per_sample = 1000};
    for (int i = 0; i < 3; i++) {
        row.ns_per_op[i] = 1000 + 500 * i;
        row.reference_ns[i] = row.load->reference ? 500 : 0;
    }
    row.counted = true;
    row.counted_ops = 1000;
    row.allocs = (struct tb_allocs){.allocs = 2000, .frees = 1999, .bytes = 64000};
    row.growth.stacks = 3;
    row.rss_max_bytes = UINT64_C(12) << 20;
    row.line_ns = 155;
    row.metrics[0] = (struct tb_metric){"late_mean", "ns", 2500};
    row.metrics[1] = (struct tb_metric){"mappings", "", 60};
    row.metrics_n = 2;
    static struct tb_hist hist;
    static double points[2][2] = {{100, 0.25}, {200, 0.5}};
    hist = (struct tb_hist){.n = 0};
    tb_hist_add(&hist, 1000);
    tb_hist_add(&hist, 3);
    row.latency[0].name = "intended";
    row.latency[0].hist = &hist;
    row.latency_n = 1;
    row.curve = (struct tb_curve){"efficiency", "ns", "part", points, 2};
    tb_row_finish(&row);
    return &row;
}

static struct tb_row *bad_row(enum tb_status status, const char *reason)
{
    static struct tb_row row;
    row = (struct tb_row){
        .load = tb_load_find("pingpong/chan"), .workers = 1, .seed = 1, .status = status};
    snprintf(row.reason, sizeof row.reason, "%s", reason);
    tb_row_finish(&row);
    return &row;
}

static const struct tb_run_end end = {.rows = 5,
                                      .measured = 2,
                                      .wrong = 1,
                                      .skipped = 1,
                                      .elapsed_s = 12.3,
                                      .steal_percent = -1,
                                      .interrupted = 2,
                                      .exit_code = 130};

/* What was written to `render`, whose stream is closed. Valid until the next call. */
static char *written(struct tb_render *render, char **memory)
{
    static char text[1 << 16];
    fclose(render->out);
    wt_lt(strlen(*memory), sizeof text);
    strcpy(text, *memory);
    free(*memory);
    return text;
}

static struct tb_render render_into(char **memory, size_t *bytes, enum tb_format format)
{
    return tb_render_for(format, open_memstream(memory, bytes), false);
}

static char *rendered(enum tb_format format)
{
    char *memory;
    size_t bytes;
    struct tb_render render = render_into(&memory, &bytes, format);
    render.begin(&render, &facts);
    render.row(&render, good_row("fib"));
    render.row(&render, good_row("sleep"));
    render.row(
        &render,
        bad_row(
            TB_ROW_WRONG,
            "sent 1, got \"2|3\" back, and more words than fit into one line of a terminal of 80"));
    render.row(&render, bad_row(TB_ROW_SKIPPED, "no memory"));
    render.end(&render, &end);
    return written(&render, &memory);
}

/* --- JSON ------------------------------------------------------------------------------------- */

static struct json *schema(void)
{
    static char text[1 << 16];
    FILE *file = fopen(TASKBENCH_SCHEMA, "r");
    wt_true(file != NULL, "%s", TASKBENCH_SCHEMA);
    text[fread(text, 1, sizeof text - 1, file)] = '\0';
    fclose(file);
    struct json *json = json_read(text);
    wt_true(json != NULL, "the schema is not JSON");
    return json;
}

Test(json, report_obeys_its_schema)
{
    struct json *value = json_read(rendered(TB_FORMAT_JSON));
    wt_true(value != NULL, "the report is not JSON");
    struct schema_check check = {.root = schema()};
    bool holds = schema_holds(&check, check.root, value, "");
    wt_true(holds, "%s", check.error);
}

Test(json, a_run_without_rows_obeys_the_schema_too)
{
    char *memory;
    size_t bytes;
    struct tb_render render = render_into(&memory, &bytes, TB_FORMAT_JSON);
    render.begin(&render, &facts);
    render.end(&render, &end);
    char *text = written(&render, &memory);
    struct json *value = json_read(text);
    wt_true(value != NULL, "the report is not JSON: %s", text);
    struct schema_check check = {.root = schema()};
    bool holds = schema_holds(&check, check.root, value, "");
    wt_true(holds, "%s", check.error);
}

/* The validator finds what it should: a test that cannot fail proves nothing. */
Test(json, schema_refuses_what_is_wrong)
{
    static const char *const wrong[] = {
        "{}",
        "[]",
        "{\"schema\": \"weft.taskbench/2\"}",
    };
    struct json *root = schema();
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        struct schema_check check = {.root = root};
        wt_false(schema_holds(&check, root, json_read(wrong[i]), ""), "%s", wrong[i]);
    }
    struct json *value = json_read(rendered(TB_FORMAT_JSON));
    struct json *first = json_get(value, "results")->items[0];
    json_get(first, "workers")->number = 0;
    struct schema_check check = {.root = root};
    wt_false(schema_holds(&check, root, value, ""));
    wt_str_eq(check.error, "/results/0/workers: is too small");
}

Test(json, raw_samples_and_paired_references_are_kept)
{
    struct json *value = json_read(rendered(TB_FORMAT_JSON));
    struct json *fib = json_get(value, "results")->items[0];
    struct json *samples = json_get(json_get(fib, "time"), "samples");
    wt_eq(samples->n, 3u);
    wt_eq(samples->items[2]->number, 2000.0);
    wt_eq(json_get(json_get(fib, "time"), "median")->number, 1500.0);
    wt_eq(json_get(json_get(fib, "reference"), "ratio")->number, 3.0);
    wt_eq(json_get(json_get(fib, "exact"), "allocs_per_op")->number, 2.0);
}

Test(json, latency_and_curves_are_pairs)
{
    struct json *row = json_get(json_read(rendered(TB_FORMAT_JSON)), "results")->items[0];
    struct json *latency = json_get(row, "latency")->items[0];
    wt_str_eq(json_get(latency, "name")->string, "intended");
    wt_eq(json_get(latency, "max")->number, 1000.0);
    struct json *buckets = json_get(latency, "buckets");
    wt_eq(buckets->n, 2u);
    wt_eq(buckets->items[1]->items[0]->number, 1007.0);
    wt_eq(buckets->items[1]->items[1]->number, 1.0);
    struct json *points = json_get(json_get(row, "curves")->items[0], "points");
    wt_eq(points->items[1]->items[1]->number, 0.5);
}

Test(json, a_wrong_row_has_a_reason_and_no_figures)
{
    struct json *value = json_read(rendered(TB_FORMAT_JSON));
    struct json *row = json_get(value, "results")->items[2];
    wt_str_eq(json_get(row, "check")->string, "wrong");
    wt_true(strstr(json_get(row, "reason")->string, "got \"2|3\" back") != NULL);
    wt_true(json_get(row, "time") == NULL);
}

Test(json, cpu_time_is_named_as_such)
{
    struct json *value = json_read(rendered(TB_FORMAT_JSON));
    struct json *results = json_get(value, "results");
    wt_str_eq(json_get(json_get(results->items[0], "time"), "clock")->string, "wall");
    wt_str_eq(json_get(json_get(results->items[1], "time"), "clock")->string, "cpu");
}

/* --- tables ----------------------------------------------------------------------------------- */

static bool has_line(const char *text, const char *line)
{
    const char *at = strstr(text, line);
    size_t n = strlen(line);
    return at && (at == text || at[-1] == '\n') && at[n] == '\n';
}

Test(table, a_row_shows_all_columns)
{
    char *text = rendered(TB_FORMAT_TABLE);
    wt_true(has_line(
                text,
                "workload       w  ops/s time/op    min..max    ref alloc bytes  pool   RSS check"),
            "%s", text);
    wt_true(
        has_line(text,
                 "fib            2   667k 1.50 us  1.00..2.00  3.00x     2    64    +3 12.0M ok"),
        "%s", text);
}

Test(table, notes_and_reasons_stand_below_their_row)
{
    char *text = rendered(TB_FORMAT_TABLE);
    wt_true(has_line(text, "    in CPU time, late mean 2.50 us, mappings 60"), "%s", text);
    wt_true(strstr(text, "WRONG\n    sent 1, got \"2|3\" back") != NULL, "%s", text);
    wt_true(has_line(text, "2 measured, 1 wrong, 1 skipped in 12 s, interrupted, 1 not run"), "%s",
            text);
}

Test(table, long_lines_are_broken_between_words)
{
    char *text = rendered(TB_FORMAT_TABLE);
    wt_true(strstr(text, "one line of a terminal\n    of 80\n") != NULL, "%s", text);
}

Test(table, no_line_is_longer_than_80_columns_and_none_has_escapes)
{
    char *text = rendered(TB_FORMAT_TABLE);
    for (char *line = strtok(text, "\n"); line; line = strtok(NULL, "\n")) {
        wt_le(strlen(line), 80u, "%s", line);
        wt_true(strchr(line, '\033') == NULL);
    }
}

Test(table, allocations_that_were_not_counted_are_not_shown_as_none)
{
    char *memory;
    size_t bytes;
    struct tb_render render = render_into(&memory, &bytes, TB_FORMAT_TABLE);
    struct tb_row *row = good_row("go");
    row->counted = false;
    render.row(&render, row);
    char *text = written(&render, &memory);
    wt_true(
        has_line(text,
                 "go             2   667k 1.50 us  1.00..2.00            ?     ?    +3 12.0M ok\n"
                 "    late mean 2.50 us, mappings 60"),
        "%s", text);
}

static int count(const char *text, char c)
{
    int n = 0;
    for (; *text && *text != '\n'; text++) {
        n += *text == c && (text[1] != '|' || c != '\\');
    }
    return n;
}

Test(markdown, every_line_of_the_table_has_the_same_number_of_cells)
{
    char *text = rendered(TB_FORMAT_MD);
    const char *line = strstr(text, "| workload");
    wt_true(line != NULL);
    int cells = count(line, '|'), lines = 0;
    for (; *line == '|'; line = strchr(line, '\n') + 1, lines++) {
        int escaped = strstr(line, "\\|") && strstr(line, "\\|") < strchr(line, '\n');
        wt_eq(count(line, '|') - escaped, cells, "%.100s", line);
    }
    wt_eq(lines, 2 + 4);
}

Test(csv, every_line_has_the_same_number_of_fields)
{
    char *text = rendered(TB_FORMAT_CSV);
    int fields = count(text, ',');
    wt_eq(fields, 16);
    wt_true(
        strstr(text, "\n\"fib\",2,ok,666667,1500,1000,2000,3,500,3,2,64,0,3,12582912,155,\"\"\n") !=
            NULL,
        "%s", text);
    wt_true(
        strstr(text, "\n\"pingpong/chan\",1,wrong,,,,,,,,,,,,,,\"sent 1, got \"\"2|3\"\" back") !=
            NULL,
        "%s", text);
    wt_true(strstr(text, "\n\"pingpong/chan\",1,skipped,,,,,,,,,,,,,,\"no memory\"\n") != NULL,
            "%s", text);
}

/* --- what other tools read -------------------------------------------------------------------- */

Test(report, google_benchmark_gets_a_repetition_for_each_sample)
{
    const struct json *report = json_read(rendered(TB_FORMAT_GBENCH));
    wt_true(report != NULL);
    const struct json *all = json_get(report, "benchmarks");
    wt_true(json_get(json_get(report, "context"), "library_build_type") != NULL);
    wt_eq(all->n, 7u); /* three samples of two rows, and an error */
    const struct json *first = all->items[0];
    wt_str_eq(json_get(first, "name")->string, "fib/workers:2");
    wt_str_eq(json_get(first, "run_type")->string, "iteration");
    wt_eq(json_get(first, "repetitions")->number, 3.0);
    wt_eq(json_get(first, "real_time")->number, 1000.0);
    wt_eq(json_get(all->items[2], "repetition_index")->number, 2.0);
    wt_eq(json_get(all->items[2], "real_time")->number, 2000.0);
    wt_str_eq(json_get(first, "time_unit")->string, "ns");
    wt_true(json_get(all->items[6], "error_occurred")->boolean);
}

Test(report, bencher_gets_value_and_bounds)
{
    const struct json *report = json_read(rendered(TB_FORMAT_BMF));
    wt_true(report != NULL && report->kind == JSON_OBJECT);
    const struct json *latency = json_get(json_get(report, "fib/workers:2"), "latency");
    wt_eq(json_get(latency, "value")->number, 1500.0);
    wt_eq(json_get(latency, "lower_value")->number, 1000.0);
    wt_eq(json_get(latency, "upper_value")->number, 2000.0);
    wt_eq(json_get(json_get(json_get(report, "fib/workers:2"), "allocations"), "value")->number,
          2.0);
    wt_eq(report->n, 2u);
}

Test(report, github_action_benchmark_gets_a_list)
{
    const struct json *report = json_read(rendered(TB_FORMAT_GAB));
    wt_true(report != NULL && report->kind == JSON_ARRAY);
    wt_eq(report->n, 2u);
    wt_str_eq(json_get(report->items[0], "name")->string, "fib/workers:2");
    wt_str_eq(json_get(report->items[0], "unit")->string, "ns/op");
    wt_eq(json_get(report->items[0], "value")->number, 1500.0);
}

Test(report, junit_has_a_case_for_each_row)
{
    const char *text = rendered(TB_FORMAT_JUNIT);
    wt_true(strstr(text, "<testcase classname=\"taskbench.run\" name=\"fib/workers:2\">") != NULL);
    wt_true(strstr(text, "<failure message=\"sent 1, got &quot;2|3&quot; back") != NULL);
    wt_true(strstr(text, "<skipped message=\"no memory\"/>") != NULL);
    wt_true(strstr(text, "</testsuite>") != NULL);
}
