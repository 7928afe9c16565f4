/* test_metg.c: METG of known curves, and what the patterns of graphs need
 * (tools/taskbench/metg.h). */
#include "tests/support/wt.h"
#include "metg.h"
#include <math.h>
#include <string.h>

/* --- METG ------------------------------------------------------------------------------------- */

/* A runtime that adds `overhead` to each task: efficiency is work / (work + overhead). */
static size_t make_curve(struct tb_metg_point *out, double overhead)
{
    for (int i = 0; i < 12; i++) {
        double work = 40960 / pow(2, i);
        out[i] = (struct tb_metg_point){work + overhead, work / (work + overhead)};
    }
    return 12;
}

Test(metg, a_known_overhead_is_half_of_the_smallest_grain_that_pays)
{
    struct tb_metg_point points[12];
    double ns = 0;
    size_t n = make_curve(points, 80);
    wt_eq(tb_metg_find(points, n, 0.5, &ns), TB_METG_FOUND);
    wt_lt(fabs(ns - 160), 1e-9);
}

Test(metg, between_two_grains_it_lies_on_the_line)
{
    const struct tb_metg_point points[] = {{100, 1}, {60, 0.7}, {40, 0.3}, {30, 0.1}};
    double ns = 0;
    wt_eq(tb_metg_find(points, 4, 0.5, &ns), TB_METG_FOUND);
    wt_lt(fabs(ns - 50), 1e-9);
}

Test(metg, the_smallest_efficient_grain_counts_though_a_larger_one_was_disturbed)
{
    const struct tb_metg_point points[] = {{100, 1}, {60, 0.4}, {40, 0.6}, {30, 0.4}};
    double ns = 0;
    wt_eq(tb_metg_find(points, 4, 0.5, &ns), TB_METG_FOUND);
    wt_lt(fabs(ns - 35), 1e-9);
}

Test(metg, a_sweep_that_shows_no_end_is_refused)
{
    const struct tb_metg_point all[] = {{100, 1}, {50, 0.9}, {25, 0.5}};
    const struct tb_metg_point none[] = {{100, 0.4}, {50, 0.3}};
    const struct tb_metg_point absurd[] = {{100, 1}, {50, 1.6}, {25, 0.4}};
    double ns = -1;
    wt_eq(tb_metg_find(all, 3, 0.5, &ns), TB_METG_NONE_BELOW);
    wt_eq(tb_metg_find(none, 2, 0.5, &ns), TB_METG_NONE_ABOVE);
    wt_eq(tb_metg_find(none, 0, 0.5, &ns), TB_METG_NONE_ABOVE);
    wt_eq(tb_metg_find(absurd, 3, 0.5, &ns), TB_METG_ABSURD);
    wt_eq(ns, -1.0);
}

/* --- runs ------------------------------------------------------------------------------------- */

/* A machine on which every part that is disturbed takes three times as long: METG must not move. */
static struct tb_metg_time run_of(double row_ns, const int *switched, int parts)
{
    static struct tb_graph_time time;
    time.n = parts;
    for (int i = 0; i < parts; i++) {
        bool hit = switched[i] || (i > 0 && switched[i - 1]);
        time.parts[i] = (struct tb_graph_part){.rows = 100,
                                               .ns = (uint64_t)(100 * row_ns * (hit ? 3 : 1)),
                                               .cpu_ns = (uint64_t)(200 * row_ns),
                                               .switches = (uint64_t)switched[i]};
    }
    return tb_metg_sum(&time);
}

Test(metg, a_part_is_dirty_while_what_was_switched_out_lingers)
{
    struct tb_metg_time t = run_of(50, (const int[]){0, 0, 2, 0, 0, 0, 0}, 7);
    wt_eq(t.parts, 7);
    wt_eq(t.dirty, 3);
    wt_lt(fabs(t.rows - 700), 1e-9);
    wt_lt(fabs(t.clean_ns / t.clean_rows - 50), 1e-9);
}

#define GRAINS 12
#define REPS   8

/* A runtime whose overhead is 80 ns a task, two workers, two points a row; the large grains are
 * disturbed, as they are. */
static void make_sweep(struct tb_metg_time runs[REPS * GRAINS], bool busy)
{
    for (int rep = 0; rep < REPS; rep++) {
        for (int grain = 0; grain < GRAINS; grain++) {
            double ns = 80 + 20 * pow(2, grain);
            int hit = busy && grain > 6;
            runs[rep * GRAINS + grain] =
                run_of(ns, (const int[]){0, 0, 0, 0, hit, 0, hit, hit, 0, hit}, 10);
        }
    }
}

Test(metg, a_busy_machine_does_not_bend_the_curve)
{
    static struct tb_metg_time runs[REPS * GRAINS];
    struct tb_metg_sweep sweep = {runs, GRAINS, 2, 1000, 2};
    const size_t all[REPS] = {0, 1, 2, 3, 4, 5, 6, 7};
    for (int busy = 0; busy < 2; busy++) {
        struct tb_metg_point points[GRAINS];
        double ns = 0;
        make_sweep(runs, busy);
        tb_metg_points(&sweep, all, REPS, points);
        wt_eq(tb_metg_find(points, GRAINS, 0.5, &ns), TB_METG_FOUND);
        wt_lt(fabs(ns - 160), 2.0, "busy %d: %g", busy, ns);
        struct tb_interval interval = tb_metg_interval(&sweep, REPS, 0.5, 1);
        wt_true(interval.low <= ns && ns <= interval.high && interval.high - interval.low < 1);
    }
}

/* Nothing of the largest grains is clean, and they take three times as long: against those, small
 * ones would look three times as good as they are. By CPU time they do not. */
Test(metg, where_a_grain_is_never_clean_all_are_timed_by_cpu)
{
    static struct tb_metg_time runs[REPS * GRAINS];
    struct tb_metg_sweep sweep = {runs, GRAINS, 2, 1000, 2};
    const size_t all[REPS] = {0, 1, 2, 3, 4, 5, 6, 7};
    struct tb_metg_point points[GRAINS];
    double ns = 0;
    make_sweep(runs, false);
    wt_false(tb_metg_points(&sweep, all, REPS, points));
    for (int rep = 0; rep < REPS; rep++) {
        for (int grain = 8; grain < GRAINS; grain++) {
            struct tb_metg_time *run = &runs[rep * GRAINS + grain];
            run->clean_rows = run->clean_ns = 0;
        }
    }
    wt_true(tb_metg_points(&sweep, all, REPS, points));
    wt_eq(tb_metg_find(points, GRAINS, 0.5, &ns), TB_METG_FOUND);
    wt_lt(fabs(ns - 160), 2.0, "%g", ns);
}

Test(metg, the_interval_is_as_wide_as_the_repetitions_differ)
{
    static struct tb_metg_time runs[REPS * GRAINS];
    struct tb_metg_sweep sweep = {runs, GRAINS, 2, 1000, 2};
    make_sweep(runs, false);
    for (int i = 0; i < REPS * GRAINS;
         i += 2) { /* one grain of two, half as fast again in one repetition of two */
        runs[i].clean_ns *= i / GRAINS % 2 ? 1.5 : 1;
    }
    struct tb_interval wide = tb_metg_interval(&sweep, REPS, 0.5, 1);
    wt_true(isfinite(wide.low) && wide.high > wide.low * 1.02, "%g %g", wide.low, wide.high);
    struct tb_interval none = tb_metg_interval(&sweep, 1, 0.5, 1);
    wt_true(isinf(none.high));
}

/* --- patterns --------------------------------------------------------------------------------- */

static int pattern_of(const char *name)
{
    int i = 0;
    while (strcmp(tb_metg_patterns[i], name) != 0) {
        i++;
    }
    return i;
}

/* Whether these are the inputs of a point, in this order; ended by -1. */
static void expect_inputs(const char *pattern, uint32_t width, uint32_t step, uint32_t point,
                          const int *want)
{
    struct tb_graph graph = {.pattern = pattern_of(pattern), .width = width, .steps = 100};
    uint32_t inputs[TB_METG_WIDTH_MAX], n = tb_graph_inputs(&graph, step, point, inputs), i = 0;
    for (; want[i] >= 0; i++) {
        wt_lt(i, n, "%s", pattern);
        wt_eq(inputs[i], (uint32_t)want[i], "%s", pattern);
    }
    wt_eq(n, i, "%s", pattern);
}

Test(graph, patterns_need_what_they_say)
{
    expect_inputs("trivial", 8, 3, 4, (const int[]){-1});
    expect_inputs("no_comm", 8, 3, 4, (const int[]){4, -1});
    expect_inputs("stencil_1d", 8, 3, 4, (const int[]){3, 4, 5, -1});
    expect_inputs("stencil_1d", 8, 3, 7, (const int[]){6, 7, -1});
    expect_inputs("stencil_1d_periodic", 8, 3, 7, (const int[]){6, 7, 0, -1});
    expect_inputs("stencil_1d_periodic", 1, 3, 0, (const int[]){0, -1});
    expect_inputs("dom", 8, 3, 0, (const int[]){0, -1});
    expect_inputs("dom", 8, 3, 5, (const int[]){4, 5, -1});
    expect_inputs("tree", 8, 3, 5, (const int[]){2, -1});
    expect_inputs("fft", 8, 1, 4, (const int[]){3, 4, 5, -1});
    expect_inputs("fft", 8, 3, 4, (const int[]){0, 4, -1});
    expect_inputs("fft", 8, 4, 4, (const int[]){3, 4, 5, -1});
    expect_inputs("fft", 1, 4, 0, (const int[]){0, -1});
    expect_inputs("all_to_all", 3, 2, 1, (const int[]){0, 1, 2, -1});
    expect_inputs("nearest", 8, 2, 1, (const int[]){0, 1, 2, 3, -1});
    expect_inputs("spread", 10, 1, 1, (const int[]){1, 3, 5, 7, 9, -1});
}

Test(graph, inputs_lie_in_the_row_and_none_comes_twice)
{
    uint32_t inputs[TB_METG_WIDTH_MAX];
    for (int pattern = 0; tb_metg_patterns[pattern]; pattern++) {
        for (uint32_t width = 1; width <= TB_METG_WIDTH_MAX; width += 7) {
            struct tb_graph graph = {.pattern = pattern, .width = width, .steps = 20, .seed = 3};
            for (uint32_t at = 0; at < 20 * width; at++) {
                uint32_t n = tb_graph_inputs(&graph, at / width, at % width, inputs);
                uint64_t seen = 0;
                wt_true(at >= width || n == 0);
                for (uint32_t i = 0; i < n; i++) {
                    wt_lt(inputs[i], width);
                    wt_eq(seen >> inputs[i] & 1, 0u, "%s", tb_metg_patterns[pattern]);
                    seen |= UINT64_C(1) << inputs[i];
                }
            }
        }
    }
}

Test(graph, every_pattern_runs_and_every_task_gets_its_inputs, .timeout = 60)
{
    weft_rt *rt;
    weft_rt_opts opts = {.workers = 3};
    wt_eq(weft_rt_start(&rt, &opts), 0);
    for (int pattern = 0; tb_metg_patterns[pattern]; pattern++) {
        struct tb_graph graph = {.pattern = pattern, .width = 9, .steps = 150, .seed = 1};
        static struct tb_graph_time time;
        wt_eq(tb_graph_run(rt, &graph, 3, &time), 0, "%s", tb_metg_patterns[pattern]);
        struct tb_metg_time sum = tb_metg_sum(&time);
        wt_eq((int)sum.rows, 150);
        wt_gt(sum.cpu_ns, 0.0);
        graph.steps = 5; /* fewer rows than may be under way */
        wt_eq(tb_graph_run(rt, &graph, 1, &time), 0, "%s", tb_metg_patterns[pattern]);
    }
    wt_eq(weft_rt_stop(rt, WEFT_SEC(5), WEFT_SEC(5)), 0);
    weft_rt_free(rt);
}
