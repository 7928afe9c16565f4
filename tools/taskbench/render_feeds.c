/* render_feeds.c: the forms that other tools read: JUnit (CI systems), google-benchmark's JSON (its
 * compare.py, conbench), Bencher's BMF and github-action-benchmark's customSmallerIsBetter. They
 * are fed, not rebuilt. */
#include "command.h"
#include "render.h"
#include "xml.h"
#include <unistd.h>

/* "fib/workers:2" */
static void put_name(const struct tb_row *row, char out[64])
{
    snprintf(out, 64, "%.40s/workers:%d", row->load->name, row->workers);
}

/* --- JUnit ------------------------------------------------------------------------------------ */

void tb_junit_begin(struct tb_render *render, const struct tb_run_facts *facts)
{
    (void)facts;
    fprintf(render->out,
            "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<testsuite name=\"taskbench run\">\n");
}

void tb_junit_row(struct tb_render *render, const struct tb_row *row)
{
    char name[64];
    put_name(row, name);
    fprintf(render->out, "  <testcase classname=\"taskbench.run\" name=\"");
    tb_put_xml(render->out, name);
    if (row->status == TB_ROW_OK) {
        fprintf(render->out, "\"><system-out>%.6g ns/op", row->time.median);
        if (row->counted) {
            fprintf(render->out, ", %.6g allocs/op", tb_row_allocs_per_op(row));
        }
        fprintf(render->out, "</system-out></testcase>\n");
        return;
    }
    fprintf(render->out, "\"><%s message=\"", row->status == TB_ROW_WRONG ? "failure" : "skipped");
    tb_put_xml(render->out, row->reason);
    fprintf(render->out, "\"/></testcase>\n");
}

void tb_junit_end(struct tb_render *render, const struct tb_run_end *end)
{
    (void)end;
    fprintf(render->out, "</testsuite>\n");
}

/* --- google-benchmark: each sample is one of its repetitions ---------------------------------- */

void tb_gbench_begin(struct tb_render *render, const struct tb_run_facts *facts)
{
    struct tb_json *json = &render->json;
    char date[40], host[64] = "";
    struct tm utc;
    strftime(date, sizeof date, "%Y-%m-%dT%H:%M:%S+00:00", gmtime_r(&facts->started, &utc));
    gethostname(host, sizeof host - 1);
    *json = (struct tb_json){.out = render->out};
    tb_json_open(json, NULL, '{');
    tb_json_open(json, "context", '{');
    tb_json_text(json, "date", date);
    tb_json_text(json, "host_name", host[0] ? host : "unknown");
    tb_json_text(json, "executable", "taskbench");
    tb_json_count(json, "num_cpus", (uint64_t)facts->machine->cpus);
    tb_json_count(json, "mhz_per_cpu", 0);
    tb_json_bool(json, "cpu_scaling_enabled", false);
    tb_json_open(json, "caches", '[');
    tb_json_close(json);
    tb_json_open(json, "load_avg", '[');
    tb_json_close(json);
    tb_json_text(json, "library_build_type", "release");
    tb_json_close(json);
    tb_json_open(json, "benchmarks", '[');
}

void tb_gbench_row(struct tb_render *render, const struct tb_row *row)
{
    struct tb_json *json = &render->json;
    char name[64];
    put_name(row, name);
    for (size_t i = 0; row->status == TB_ROW_OK && i < row->samples_n; i++) {
        tb_json_open(json, NULL, '{');
        tb_json_text(json, "name", name);
        tb_json_text(json, "run_name", name);
        tb_json_text(json, "run_type", "iteration");
        tb_json_count(json, "repetitions", row->samples_n);
        tb_json_count(json, "repetition_index", i);
        tb_json_count(json, "threads", (uint64_t)row->workers);
        tb_json_count(json, "iterations", row->ops_per_sample);
        tb_json_real(json, "real_time", row->ns_per_op[i]);
        tb_json_real(json, "cpu_time", row->ns_per_op[i]);
        tb_json_text(json, "time_unit", "ns");
        if (row->counted) {
            tb_json_real(json, "allocs_per_iter", tb_row_allocs_per_op(row));
        }
        tb_json_close(json);
    }
    if (row->status == TB_ROW_WRONG) {
        tb_json_open(json, NULL, '{');
        tb_json_text(json, "name", name);
        tb_json_text(json, "run_name", name);
        tb_json_text(json, "run_type", "iteration");
        tb_json_bool(json, "error_occurred", true);
        tb_json_text(json, "error_message", row->reason);
        tb_json_close(json);
    }
}

void tb_gbench_end(struct tb_render *render, const struct tb_run_end *end)
{
    (void)end;
    tb_json_close(&render->json);
    tb_json_close(&render->json);
}

/* --- Bencher Metric Format -------------------------------------------------------------------- */

void tb_bmf_begin(struct tb_render *render, const struct tb_run_facts *facts)
{
    (void)facts;
    render->json = (struct tb_json){.out = render->out};
    tb_json_open(&render->json, NULL, '{');
}

void tb_bmf_row(struct tb_render *render, const struct tb_row *row)
{
    struct tb_json *json = &render->json;
    char name[64];
    if (row->status != TB_ROW_OK) {
        return;
    }
    put_name(row, name);
    tb_json_open(json, name, '{');
    tb_json_open(json, "latency", '{');
    tb_json_real(json, "value", row->time.median);
    tb_json_real(json, "lower_value", row->time.min);
    tb_json_real(json, "upper_value", row->time.max);
    tb_json_close(json);
    if (row->counted) {
        tb_json_open(json, "allocations", '{');
        tb_json_real(json, "value", tb_row_allocs_per_op(row));
        tb_json_close(json);
    }
    tb_json_close(json);
}

void tb_bmf_end(struct tb_render *render, const struct tb_run_end *end)
{
    (void)end;
    tb_json_close(&render->json);
}

/* --- github-action-benchmark ------------------------------------------------------------------ */

void tb_gab_begin(struct tb_render *render, const struct tb_run_facts *facts)
{
    (void)facts;
    render->json = (struct tb_json){.out = render->out};
    tb_json_open(&render->json, NULL, '[');
}

void tb_gab_row(struct tb_render *render, const struct tb_row *row)
{
    struct tb_json *json = &render->json;
    char name[64], range[64];
    if (row->status != TB_ROW_OK) {
        return;
    }
    put_name(row, name);
    snprintf(range, sizeof range, "%.6g..%.6g", row->time.min, row->time.max);
    tb_json_open(json, NULL, '{');
    tb_json_text(json, "name", name);
    tb_json_text(json, "unit", "ns/op");
    tb_json_real(json, "value", row->time.median);
    tb_json_text(json, "range", range);
    tb_json_close(json);
}

void tb_gab_end(struct tb_render *render, const struct tb_run_end *end)
{
    (void)end;
    tb_json_close(&render->json);
}
