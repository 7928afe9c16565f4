/* test_html.c: `taskbench report` as a function of its inputs (tools/taskbench/report.h): what is
 * read of results and histories, what is refused, and that no text of theirs becomes markup. */
#include "tests/support/wt.h"
#include "html.h"
#include "report.h"
#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* --- files that never were -------------------------------------------------------------------- */

/* What a test returns by pointer stays until the process ends, and is no leak. */
static char *keep(char *text)
{
    static char *kept[256];
    static int n;
    wt_lt(n, 256);
    return kept[n++] = text;
}

static char folder[] = "/tmp/taskbench-html-XXXXXX";
static bool folder_made; /* its name may have an X of its own */

/* A file of the test's folder; its path stays until the process ends. */
static const char *file_with(const char *name, const char *text)
{
    char path[sizeof folder + 64];
    if (!folder_made) {
        wt_true(mkdtemp(folder) != NULL);
        folder_made = true;
    }
    snprintf(path, sizeof path, "%s/%s", folder, name);
    FILE *file = fopen(path, "we");
    wt_true(file != NULL);
    fputs(text, file);
    fclose(file);
    return keep(strdup(path));
}

static void clean(void)
{
    char command[sizeof folder + 16];
    if (folder_made) {
        snprintf(command, sizeof command, "rm -rf %s", folder);
        wt_eq(system(command), 0);
    }
}

#define RESULT(rows)                                                         \
    "{\"schema\":\"weft.taskbench/"                                          \
    "1\",\"command\":\"run\",\"started\":\"2026-11-28\",\"machine\":{"       \
    "\"key\":\"k1\",\"cpu\":\"a <fast> CPU\",\"cpus\":2},\"results\":[" rows \
    "],\"summary\":{\"exit\":0,\"steal_percent\":1.5}}"

#define ROW(name, samples)                                                                         \
    "{\"workload\":\"" name                                                                        \
    "\",\"op\":\"task\",\"params\":{\"n\":5},\"workers\":2,\"check\":\"ok\","                      \
    "\"time\":{\"median\":20,\"min\":10,\"max\":30,\"samples\":[" samples "]},\"reference\":null," \
    "\"exact\":{\"allocs_per_op\":2,\"bytes_per_op\":64},\"peak_rss_bytes\":1048576,\"metrics\":[" \
    "]}"

static const char *report_of(const char *first, const char *second, const char *history)
{
    static struct tb_report report;
    static struct tb_history lines;
    char *text = NULL;
    size_t bytes;
    report = (struct tb_report){.inputs_n = 0};
    for (int i = 0; i < 2; i++) {
        const char *path = i == 0 ? first : second;
        if (path) {
            struct tb_saved *saved = &report.inputs[report.inputs_n++];
            wt_eq(tb_saved_load(saved, path), 0, "%s", saved->error);
        }
    }
    if (history) {
        wt_eq(tb_history_load(&lines, history), 0, "%s", lines.error);
        report.history = &lines;
    }
    FILE *out = open_memstream(&text, &bytes);
    tb_report_write(&report, out);
    fclose(out);
    for (int i = 0; i < report.inputs_n; i++) {
        tb_saved_free(&report.inputs[i]);
    }
    if (history) {
        tb_history_free(&lines);
    }
    return keep(text);
}

/* --- the page --------------------------------------------------------------------------------- */

static const char *const void_tags[] = {"meta", "link", "rect", "line", "circle", "polyline", NULL};

static bool is_void(const char *name, size_t n)
{
    for (int i = 0; void_tags[i]; i++) {
        if (strlen(void_tags[i]) == n && strncmp(void_tags[i], name, n) == 0) {
            return true;
        }
    }
    return false;
}

/* Every tag that is opened is closed, in order. */
static void expect_balanced(const char *html)
{
    char open[32][16];
    int depth = 0;
    for (const char *at = strchr(html, '<'); at; at = strchr(at + 1, '<')) {
        bool closes = at[1] == '/';
        const char *name = at + 1 + closes;
        size_t n = strcspn(name, " \n/>");
        if (*name == '!' || is_void(name, n)) {
            continue;
        }
        if (!closes) {
            wt_lt(depth, 32);
            snprintf(open[depth++], sizeof open[0], "%.*s", (int)n, name);
        } else {
            wt_gt(depth, 0);
            wt_true(strlen(open[--depth]) == n && strncmp(open[depth], name, n) == 0,
                    "%s closed by %.*s", open[depth], (int)n, name);
        }
    }
    wt_eq(depth, 0);
}

Test(report, one_result_has_its_rows_bars_and_samples, .timeout = 10)
{
    const char *html = report_of(file_with("a.json", RESULT(ROW("go", "10, 20, 30"))), NULL, NULL);
    expect_balanced(html);
    wt_true(strstr(html, "go 2w: 20.0 ns per task, 10.0..30.0, 3 samples") != NULL);
    wt_true(strstr(html, "<td class=\"n\">20.0 ns</td>") != NULL);
    wt_true(strstr(html, "a &lt;fast&gt; CPU") != NULL);
    wt_true(strstr(html, "exit 0, 1.5 % of the CPU time stolen") != NULL);
    wt_true(strstr(html, "aria-label=\"go 2w\"") != NULL);
    clean();
}

Test(report, nothing_is_fetched_and_nothing_is_run, .timeout = 10)
{
    const char *html = report_of(file_with("a.json", RESULT(ROW("go", "10, 20, 30"))), NULL, NULL);
    wt_true(strstr(html, "<script") == NULL);
    wt_true(strstr(html, "http:") == NULL && strstr(html, "https:") == NULL);
    wt_true(strstr(html, "src=") == NULL && strstr(html, "@import") == NULL);
    wt_true(strstr(html, "prefers-color-scheme:dark") != NULL);
    clean();
}

Test(report, no_text_of_an_input_becomes_markup, .timeout = 10)
{
    const char *json = "</title><script>alert(1)</script><b a='\\\"&";
    char text[4000], line[1000];
    snprintf(text, sizeof text,
             "{\"schema\":\"weft.taskbench/"
             "1\",\"command\":\"%s\",\"started\":\"%s\",\"machine\":{\"key\":"
             "\"%s\",\"cpu\":\"%s\"},\"results\":[{\"workload\":\"%s\",\"op\":\"%s\",\"workers\":1,"
             "\"check\":\"ok\",\"time\":{\"median\":2,\"min\":1,\"max\":3,\"samples\":[1,2,3],"
             "\"ratio\":1.1,"
             "\"ci95\":[1,1.2]},\"verdict\":\"%s\",\"metrics\":[{\"name\":\"%s\",\"unit\":\"B\","
             "\"value\":1}],"
             "\"latency\":[{\"name\":\"%s\",\"buckets\":[[10,5],[20,1]]}]},{\"workload\":\"x\","
             "\"check\":"
             "\"%s\",\"reason\":\"%s\"}]}",
             json, json, json, json, json, json, json, json, json, json, json);
    snprintf(line, sizeof line,
             "{\"schema\":\"weft.taskbench.history/"
             "1\",\"started\":\"%s\",\"key\":\"%s\",\"label\":\"%s\","
             "\"rows\":[{\"row\":\"%s\",\"time\":5}]}\n",
             json, json, json, json);
    const char *path = file_with("<i>.json", text);
    const char *html = report_of(path, path, file_with("h", line));
    expect_balanced(html);
    wt_true(strstr(html, "<script") == NULL);
    wt_true(strstr(html, "<b a=") == NULL);
    wt_true(strstr(html, "<i>") == NULL);
    wt_true(strstr(html, "&lt;script&gt;alert(1)") != NULL);
    clean();
}

Test(html, what_is_not_text_becomes_a_question_mark)
{
    char *text;
    size_t bytes;
    FILE *out = open_memstream(&text, &bytes);
    tb_html_text(out,
                 "a\x01\x7f\xff\xc3\xa9\xe2\x82\xac\xed\xa0\x80\xc0\xaf\xf0\x9f\x98\x80\xe2\x82");
    fclose(out);
    wt_str_eq(text, "a???\xc3\xa9\xe2\x82\xac?????\xf0\x9f\x98\x80??");
    free(text);
}

/* --- several results -------------------------------------------------------------------------- */

static struct tb_saved_row row_of(double *samples, size_t n, double *ratios, size_t ratios_n)
{
    return (struct tb_saved_row){
        .samples = samples, .samples_n = n, .ratios = ratios, .ratios_n = ratios_n};
}

Test(compare, ratios_to_the_reference_come_before_times)
{
    double fast[] = {1, 1, 1, 1, 1}, slow[] = {4, 4, 4, 4, 4}, by2[] = {2, 2, 2}, by3[] = {3, 3, 3};
    struct tb_saved_row a = row_of(fast, 5, by2, 3), b = row_of(slow, 5, by3, 3);
    struct tb_compared c = tb_report_compare(&a, &b, true);
    wt_true(c.comparable && c.by_reference);
    wt_eq(c.ratio, 1.5);
    b.ratios_n = 0;
    c = tb_report_compare(&a, &b, true);
    wt_true(c.comparable && !c.by_reference);
    wt_eq(c.ratio, 4.0);
}

Test(compare, times_of_another_machine_are_not_compared)
{
    double fast[] = {1, 1, 1, 1, 1};
    struct tb_saved_row a = row_of(fast, 5, NULL, 0);
    wt_false(tb_report_compare(&a, &a, false).comparable);
    wt_true(tb_report_compare(&a, &a, true).comparable);
    a.samples_n = 2;
    wt_false(tb_report_compare(&a, &a, true).comparable);
}

/* n = 25: the 8th and the 18th value hold the median with 95.7 %, as tables of the binomial say;
 * the normal approximation gives k = 7, one further out. */
Test(compare, the_interval_is_made_of_the_values_order)
{
    double x[25], one[25];
    for (int i = 0; i < 25; i++) {
        x[i] = (i * 7) % 25 + 1;
        one[i] = 1;
    }
    struct tb_saved_row a = row_of(one, 25, NULL, 0), b = row_of(x, 25, NULL, 0);
    struct tb_compared c = tb_report_compare(&a, &b, true);
    wt_eq(c.ratio, 13.0);
    wt_eq(c.low, 7.0);
    wt_eq(c.high, 19.0);
}

Test(report, several_results_have_ratios_to_the_first, .timeout = 10)
{
    const char *a = file_with("a.json", RESULT(ROW("go", "10, 10, 10") "," ROW("old", "1, 1, 1")));
    const char *b = file_with("b.json", RESULT(ROW("go", "15, 15, 15") "," ROW("new", "1, 1, 1")));
    const char *html = report_of(a, b, NULL);
    expect_balanced(html);
    wt_true(strstr(html, "go 2w: 1.500x, interval 1.500 to 1.500; by time") != NULL);
    wt_true(strstr(html, "1 rows compared; 1 are not in the base") != NULL);
    wt_true(strstr(html, "+50.0 %") != NULL);
    clean();
}

/* --- what is refused -------------------------------------------------------------------------- */

static void expect_refused(const char *path, int rc, const char *part)
{
    struct tb_saved saved;
    wt_eq(tb_saved_load(&saved, path), rc, "%s", saved.error);
    wt_true(strstr(saved.error, part) != NULL, "%s", saved.error);
    wt_true(strchr(saved.error, '\n') == NULL);
    tb_saved_free(&saved);
}

Test(saved, a_file_that_is_no_result_is_refused_with_one_line)
{
    expect_refused("/nonexistent/x.json", -ENOENT, "No such file");
    expect_refused("/tmp", -EIO, "cannot read '/tmp'");
    expect_refused(file_with("0", ""), -EINVAL, "is not JSON");
    expect_refused(file_with("1", "{\"schema\":"), -EINVAL, "is not JSON");
    expect_refused(file_with("2", "[1, 2]"), -EINVAL, "has no \"schema\"");
    expect_refused(file_with("3", "{\"schema\":\"weft.taskbench/2\"}"), -EINVAL,
                   "is of schema 'weft.taskbench/2'");
    expect_refused(file_with("4", RESULT("")), -ENODATA, "has no rows");
    expect_refused(file_with("5", "{\"schema\":\"weft.taskbench/1\",\"results\":5}"), -ENODATA,
                   "has no rows");
    expect_refused("/dev/zero", -EFBIG, "too large");
    clean();
}

Test(saved, rows_of_other_forms_are_read_as_far_as_they_go)
{
    struct tb_saved saved;
    const char *path = file_with(
        "a.json",
        RESULT("5,null,[],{},{\"workload\":7,\"check\":\"ok\",\"time\":[],\"workers\":1e300},"
               "{\"workload\":\"x\",\"check\":\"ok\",\"time\":{\"median\":-1,\"samples\":[null,"
               "\"a\",-3,0,4]},\"curves\":[{\"points\":[[1],[1,2,3],[1,\"x\"],[1,2]]}]}"));
    wt_eq(tb_saved_load(&saved, path), 0, "%s", saved.error);
    wt_eq(saved.rows_n, 6u);
    wt_str_eq(saved.rows[4].workload, "");
    wt_eq(saved.rows[4].workers, 0);
    wt_eq(saved.rows[5].samples_n, 1u);
    wt_eq(saved.rows[5].curves_n, 1);
    wt_eq(saved.rows[5].curves[0].points_n, 1u);
    tb_saved_free(&saved);
    expect_balanced(report_of(path, path, NULL));
    clean();
}

/* --- history ---------------------------------------------------------------------------------- */

static const struct tb_machine machine = {.key = "k1", .weft = "0.1.0"};
static const struct tb_run_facts facts = {
    .machine = &machine, .set = "quick", .started = 1790000000};

static int add_run(const char *path, const char *label, double ns)
{
    static struct tb_row row;
    struct tb_history_line line;
    row = (struct tb_row){
        .load = tb_load_find("go"), .workers = 2, .samples_n = 1, .ops_per_sample = 1};
    row.ns_per_op[0] = ns;
    row.counted = true;
    row.counted_ops = 1;
    tb_row_finish(&row);
    tb_history_begin(&line, &facts, label);
    tb_history_row(&line, &row);
    return tb_history_end(&line, path);
}

Test(history, a_run_is_a_line_and_is_read_back, .timeout = 10)
{
    static struct tb_history h;
    const char *path = file_with("h", "");
    wt_eq(add_run(path, "one\n\"two\"", 5), 0);
    wt_eq(add_run(path, NULL, 6), 0);
    wt_eq(tb_history_load(&h, path), 0, "%s", h.error);
    wt_eq(h.runs_n, 2u);
    wt_eq(h.bad_lines, 0u);
    wt_str_eq(tb_member_text(h.runs[0].root, "label"), "one\n\"two\"");
    const struct tb_value *row = tb_member(h.runs[1].root, "rows")->first;
    wt_str_eq(tb_member_text(row, "row"), "go 2w");
    wt_eq(tb_member_number(row, "time", 0), 6.0);
    wt_eq(tb_member_number(row, "allocs", 1), 0.0);
    tb_history_free(&h);
    clean();
}

Test(history, a_torn_line_costs_itself_only, .timeout = 10)
{
    static struct tb_history h;
    const char *path =
        file_with("h", "not JSON\n\n{\"schema\":\"other\"}\n{\"schema\":\"weft.taskb");
    wt_eq(add_run(path, NULL, 5), 0);
    wt_eq(tb_history_load(&h, path), 0, "%s", h.error);
    wt_eq(h.runs_n, 1u);
    wt_eq(h.bad_lines, 3u);
    tb_history_free(&h);
    clean();
}

Test(history, a_run_without_rows_adds_nothing, .timeout = 10)
{
    static struct tb_history h;
    struct tb_history_line line;
    const char *path = file_with("h", "");
    tb_history_begin(&line, &facts, NULL);
    wt_eq(tb_history_end(&line, path), 0);
    wt_eq(tb_history_load(&h, path), -ENODATA);
    wt_true(strstr(h.error, "has no runs") != NULL);
    tb_history_begin(&line, &facts, NULL);
    wt_eq(tb_history_drop(&line), 0);
    clean();
}

Test(history, the_newest_runs_stay, .timeout = 30)
{
    static struct tb_history h;
    const char *path = file_with("h", "");
    FILE *file = fopen(path, "we");
    for (int i = 0; i < TB_HISTORY_RUNS_MAX + 5; i++) {
        fprintf(file, "{\"schema\":\"weft.taskbench.history/1\",\"started\":\"%d\"}\n", i);
    }
    fclose(file);
    wt_eq(tb_history_load(&h, path), 0);
    wt_eq(h.runs_n, (size_t)TB_HISTORY_RUNS_MAX);
    wt_eq(h.left_out, 5u);
    wt_str_eq(tb_member_text(h.runs[0].root, "started"), "5");
    tb_history_free(&h);
    wt_eq(tb_history_load(&h, "/dev/zero"), -EFBIG);
    wt_eq(tb_history_load(&h, "/nonexistent/h"), -ENOENT);
    wt_eq(add_run("/nonexistent/h", NULL, 5), -ENOENT);
    clean();
}

Test(history, a_step_is_named_with_its_run, .timeout = 30)
{
    char label[16];
    const char *path = file_with("h", "");
    for (int i = 0; i < 20; i++) {
        snprintf(label, sizeof label, "c%d", i);
        wt_eq(add_run(path, label, i < 12 ? 100 + i % 3 : 130 + i % 3), 0);
    }
    const char *html = report_of(NULL, NULL, path);
    expect_balanced(html);
    const char *step = strstr(html, "<li class=\"bad\"><b>go 2w, ns/op</b> +29.7 %");
    wt_true(step != NULL, "%s", strstr(html, "History"));
    wt_true(strstr(step, " c12: ") != NULL && strstr(step, " c12: ") < strstr(step, "</li>"));
    clean();
}
