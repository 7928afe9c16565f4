/* test_metg.c: METG of known curves, and what the patterns of graphs need (tools/taskbench/metg.h). */
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
        uint64_t ns = 0;
        wt_eq(tb_graph_run(rt, &graph, 3, &ns), 0, "%s", tb_metg_patterns[pattern]);
        wt_gt(ns, 0u);
        graph.steps = 5; /* fewer rows than may be under way */
        wt_eq(tb_graph_run(rt, &graph, 1, &ns), 0, "%s", tb_metg_patterns[pattern]);
    }
    wt_eq(weft_rt_stop(rt, WEFT_SEC(5), WEFT_SEC(5)), 0);
    weft_rt_free(rt);
}
