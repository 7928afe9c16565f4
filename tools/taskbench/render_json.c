/* render_json.c: the whole result, raw samples included, so that any later statistic can be
 * computed from the file. Its form is described by bench/schema/taskbench-1.json, and a test holds
 * one against the other. */
#include "command.h"
#include "json.h"
#include "render.h"
#include <math.h>

static const char *const checks[] = {"ok", "wrong", "skipped"};

static void put_machine(struct tb_json *json, const struct tb_machine *m)
{
    tb_json_open(json, "machine", '{');
    tb_json_text(json, "key", m->key);
    tb_json_text(json, "arch", m->arch);
    tb_json_text(json, "cpu", m->cpu);
    tb_json_count(json, "cpus", (uint64_t)m->cpus);
    tb_json_text(json, "kernel", m->kernel);
    tb_json_text(json, "clocksource", m->clocksource);
    tb_json_text(json, "governor", m->governor);
    tb_json_count(json, "memory_bytes", m->memory_bytes);
    tb_json_real(json, "line_ns", m->line_ns >= 0 ? m->line_ns : (double)NAN);
    tb_json_text(json, "compiler", m->compiler);
    tb_json_text(json, "weft", m->weft);
    tb_json_text(json, "backend", m->backend);
    tb_json_text(json, "report", m->report);
    tb_json_text(json, "jemalloc", m->jemalloc);
    tb_json_close(json);
}

void tb_json_begin(struct tb_render *render, const struct tb_run_facts *facts)
{
    char started[32];
    struct tm utc;
    strftime(started, sizeof started, "%Y-%m-%dT%H:%M:%SZ", gmtime_r(&facts->started, &utc));
    struct tb_json *json = &render->json;
    *json = (struct tb_json){.out = render->out};
    tb_json_open(json, NULL, '{');
    tb_json_text(json, "schema", "weft.taskbench/1");
    tb_json_text(json, "tool", TB_VERSION);
    tb_json_text(json, "command", facts->command ? facts->command : "run");
    tb_json_text(json, "started", started);
    tb_json_text(json, "set", facts->set);
    tb_json_count(json, "seed", facts->seed);
    put_machine(json, facts->machine);
    tb_json_open(json, "results", '[');
}

static void put_samples(struct tb_json *json, const double *samples, size_t n)
{
    tb_json_open(json, "samples", '[');
    for (size_t i = 0; i < n; i++) {
        tb_json_real(json, NULL, samples[i]);
    }
    tb_json_close(json);
}

static void put_summary(struct tb_json *json, const struct tb_summary *summary)
{
    tb_json_real(json, "median", summary->median);
    tb_json_real(json, "min", summary->min);
    tb_json_real(json, "max", summary->max);
}

static void put_time(struct tb_json *json, const struct tb_row *row)
{
    tb_json_open(json, "time", '{');
    tb_json_text(json, "unit", "ns/op");
    tb_json_text(json, "clock", row->load->flags & TB_LOAD_CPU ? "cpu" : "wall");
    put_summary(json, &row->time);
    tb_json_real(json, "ops_per_s", 1e9 / row->time.median);
    tb_json_count(json, "ops_per_sample", row->ops_per_sample);
    put_samples(json, row->ns_per_op, row->samples_n);
    tb_json_close(json);
}

static void put_reference(struct tb_json *json, const struct tb_row *row)
{
    if (!row->has_reference) {
        tb_json_null(json, "reference");
        return;
    }
    tb_json_open(json, "reference", '{');
    tb_json_text(json, "name", row->load->reference_name);
    tb_json_real(json, "ratio", row->ratio);
    put_summary(json, &row->reference);
    put_samples(json, row->reference_ns, row->samples_n);
    tb_json_close(json);
}

static void put_exact(struct tb_json *json, const struct tb_row *row)
{
    tb_json_open(json, "exact", '{');
    tb_json_count(json, "ops", row->counted_ops);
    tb_json_text(json, "uncounted", row->uncounted);
    if (row->counted) {
        tb_json_count(json, "allocs", row->allocs.allocs);
        tb_json_count(json, "frees", row->allocs.frees);
        tb_json_count(json, "bytes", row->allocs.bytes);
        tb_json_real(json, "allocs_per_op", tb_row_allocs_per_op(row));
        tb_json_real(json, "bytes_per_op", tb_row_bytes_per_op(row));
    }
    tb_json_close(json);
}

static void put_counters(struct tb_json *json, const char *key, const weft_stats *stats)
{
    weft_stats s = *stats;
    tb_json_open(json, key, '{');
    for (const struct tb_counter *c = tb_counters; c->name; c++) {
        tb_json_count(json, c->name, *tb_counter_in(c, &s));
    }
    tb_json_close(json);
}

static void put_metrics(struct tb_json *json, const struct tb_row *row)
{
    tb_json_open(json, "metrics", '[');
    for (int i = 0; i < row->metrics_n; i++) {
        tb_json_open(json, NULL, '{');
        tb_json_text(json, "name", row->metrics[i].name);
        tb_json_text(json, "unit", row->metrics[i].unit);
        tb_json_real(json, "value", row->metrics[i].value);
        tb_json_close(json);
    }
    tb_json_close(json);
}

static void put_identity(struct tb_json *json, const struct tb_row *row)
{
    tb_json_text(json, "workload", row->load->name);
    tb_json_text(json, "group", row->load->group);
    tb_json_text(json, "op", row->load->op);
    tb_json_open(json, "params", '{');
    for (int i = 0; row->load->params[i].key; i++) {
        tb_json_count(json, row->load->params[i].key, row->params[i]);
    }
    tb_json_close(json);
    tb_json_count(json, "workers", (uint64_t)row->workers);
    tb_json_count(json, "seed", row->seed);
    tb_json_text(json, "check", checks[row->status]);
    tb_json_text(json, "reason", row->reason);
}

/* The buckets that have something in them: what a percentile is computed from. */
static void put_hist(struct tb_json *json, const char *name, const struct tb_hist *hist)
{
    tb_json_open(json, NULL, '{');
    tb_json_text(json, "name", name);
    tb_json_text(json, "unit", "ns");
    tb_json_count(json, "count", hist->n);
    tb_json_count(json, "p50", tb_hist_at(hist, 0.5));
    tb_json_count(json, "p90", tb_hist_at(hist, 0.9));
    tb_json_count(json, "p99", tb_hist_at(hist, 0.99));
    tb_json_count(json, "p999", tb_hist_at(hist, 0.999));
    tb_json_count(json, "max", hist->max);
    tb_json_open(json, "buckets", '[');
    for (size_t i = 0; i < TB_HIST_BUCKETS; i++) {
        if (hist->counts[i] > 0) {
            tb_json_pair(json, (double)tb_hist_top(i), (double)hist->counts[i]);
        }
    }
    tb_json_close(json);
    tb_json_close(json);
}

static void put_latency(struct tb_json *json, const struct tb_row *row)
{
    if (row->latency_n == 0) {
        return;
    }
    tb_json_open(json, "latency", '[');
    for (int i = 0; i < row->latency_n; i++) {
        put_hist(json, row->latency[i].name, row->latency[i].hist);
    }
    tb_json_close(json);
}

static void put_curve(struct tb_json *json, const struct tb_curve *curve)
{
    tb_json_open(json, NULL, '{');
    tb_json_text(json, "name", curve->name);
    tb_json_text(json, "x", curve->x);
    tb_json_text(json, "y", curve->y);
    tb_json_open(json, "points", '[');
    for (size_t i = 0; i < curve->n; i++) {
        tb_json_pair(json, curve->points[i][0], curve->points[i][1]);
    }
    tb_json_close(json);
    tb_json_close(json);
}

static void put_curves(struct tb_json *json, const struct tb_row *row)
{
    if (row->curve.n > 0) {
        tb_json_open(json, "curves", '[');
        put_curve(json, &row->curve);
        tb_json_close(json);
    }
}

void tb_json_row(struct tb_render *render, const struct tb_row *row)
{
    struct tb_json *json = &render->json;
    tb_json_open(json, NULL, '{');
    put_identity(json, row);
    if (row->status == TB_ROW_OK) {
        put_time(json, row);
        put_reference(json, row);
        put_exact(json, row);
        put_counters(json, "runtime", &row->growth);
        put_counters(json, "runtime_total", &row->total);
        tb_json_count(json, "peak_rss_bytes", row->rss_max_bytes);
        tb_json_real(json, "line_ns", row->line_ns >= 0 ? row->line_ns : (double)NAN);
        put_metrics(json, row);
        put_latency(json, row);
        put_curves(json, row);
    }
    tb_json_close(json);
    fflush(render->out);
}

void tb_json_end(struct tb_render *render, const struct tb_run_end *end)
{
    struct tb_json *json = &render->json;
    tb_json_close(json);
    tb_json_open(json, "summary", '{');
    tb_json_count(json, "planned", (uint64_t)end->rows);
    tb_json_count(json, "measured", (uint64_t)end->measured);
    tb_json_count(json, "wrong", (uint64_t)end->wrong);
    tb_json_count(json, "skipped", (uint64_t)end->skipped);
    tb_json_bool(json, "interrupted", end->interrupted != 0);
    tb_json_real(json, "elapsed_s", end->elapsed_s);
    tb_json_real(json, "steal_percent", end->steal_percent >= 0 ? end->steal_percent : (double)NAN);
    tb_json_text(json, "verdict", end->verdict);
    tb_json_count(json, "exit", (uint64_t)end->exit_code);
    tb_json_close(json);
    tb_json_close(json);
    fflush(render->out);
}
