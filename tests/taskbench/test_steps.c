/* test_steps.c: steps in series whose steps are known (tools/taskbench/steps.h). The series are
 * made from seeds, so each figure here is the same on every machine. */
#include "tests/support/wt.h"
#include "steps.h"
#include <math.h>
#include <stdint.h>

#define SERIES 200

static uint64_t state;

static double uniform(void)
{
    state ^= state >> 12;
    state ^= state << 25;
    state ^= state >> 27;
    return ((double)((state * 0x2545f4914f6cdd1d) >> 11) + 0.5) / 9007199254740992.0;
}

static double normal(void)
{
    return sqrt(-2 * log(uniform())) * cos(6.283185307179586 * uniform());
}

/* n values around 100 with noise of a part `noise`; from `at` on `factor` times as much. */
static void make(uint64_t seed, double *out, size_t n, double noise, size_t at, double factor)
{
    state = seed * 0x9e3779b97f4a7c15 + 1;
    for (size_t i = 0; i < n; i++) {
        out[i] = 100 * exp(noise * normal()) * (i >= at ? factor : 1);
    }
}

/* In how many of SERIES series exactly one step is found, within `slack` runs of where it is. */
static int found(size_t n, double noise, size_t at, double factor, size_t slack)
{
    double x[TB_STEP_RUNS_MAX];
    struct tb_level levels[TB_STEP_RUNS_MAX];
    int hits = 0;
    for (uint64_t seed = 1; seed <= SERIES; seed++) {
        make(seed, x, n, noise, at, factor);
        size_t levels_n = tb_steps_find(x, n, levels);
        size_t start = levels_n == 2 ? levels[1].start : 0;
        hits += levels_n == 2 && start + slack >= at && start <= at + slack;
    }
    return hits;
}

static int alarms(size_t n, double noise)
{
    double x[TB_STEP_RUNS_MAX];
    struct tb_level levels[TB_STEP_RUNS_MAX];
    int alarms = 0;
    for (uint64_t seed = 1; seed <= SERIES; seed++) {
        make(seed, x, n, noise, n, 1);
        alarms += tb_steps_find(x, n, levels) != 1;
    }
    return alarms;
}

Test(steps, noise_alone_has_no_steps, .timeout = 60)
{
    static const size_t runs[] = {5, 10, 30, 100, 200};
    for (size_t i = 0; i < sizeof runs / sizeof *runs; i++) {
        int n = alarms(runs[i], 0.03);
        wt_le(n, SERIES / 100, "%zu runs: %d of %d series", runs[i], n, SERIES);
    }
}

Test(steps, a_step_of_five_times_the_noise_is_found_where_it_is, .timeout = 60)
{
    int n = found(60, 0.02, 30, 1.105, 1);
    wt_ge(n, SERIES * 98 / 100, "%d of %d", n, SERIES);
}

Test(steps, a_step_of_three_times_the_noise_is_found_about_where_it_is, .timeout = 60)
{
    int n = found(60, 0.02, 30, 1.062, 3);
    wt_ge(n, SERIES * 90 / 100, "%d of %d", n, SERIES);
}

Test(steps, a_large_step_is_found_with_its_third_run, .timeout = 60)
{
    int third = found(60, 0.01, 57, 1.5, 0), second = found(60, 0.01, 58, 1.5, 0);
    wt_ge(third, SERIES * 98 / 100, "%d of %d", third, SERIES);
    wt_eq(second, 0);
}

Test(steps, a_single_outlier_is_no_step)
{
    double x[60];
    struct tb_level levels[TB_STEP_RUNS_MAX];
    make(7, x, 60, 0.02, 60, 1);
    x[20] *= 3;
    x[41] /= 2;
    wt_eq(tb_steps_find(x, 60, levels), 1u);
}

Test(steps, up_and_down_again_are_two_steps_with_their_levels)
{
    double x[90];
    struct tb_level levels[TB_STEP_RUNS_MAX];
    make(3, x, 90, 0.01, 30, 1.2);
    for (size_t i = 60; i < 90; i++) {
        x[i] /= 1.2;
    }
    wt_eq(tb_steps_find(x, 90, levels), 3u);
    wt_eq(levels[1].start, 30u);
    wt_eq(levels[2].start, 60u);
    wt_lt(fabs(levels[1].level - 120), 2.0);
    wt_lt(fabs(levels[2].level - 100), 2.0);
}

Test(steps, a_series_without_noise_shows_a_change_of_five_per_cent)
{
    double x[20];
    struct tb_level levels[TB_STEP_RUNS_MAX];
    for (int i = 0; i < 20; i++) {
        x[i] = i < 12 ? 40 : 42;
    }
    wt_eq(tb_steps_find(x, 20, levels), 2u);
    wt_eq(levels[1].start, 12u);
    wt_eq(levels[1].level, 42.0);
}

Test(steps, a_level_is_the_same_step_at_any_scale)
{
    double x[40], y[40];
    struct tb_level a[TB_STEP_RUNS_MAX], b[TB_STEP_RUNS_MAX];
    make(5, x, 40, 0.02, 22, 1.3);
    for (int i = 0; i < 40; i++) {
        y[i] = x[i] * 1e6;
    }
    wt_eq(tb_steps_find(x, 40, a), 2u);
    wt_eq(tb_steps_find(y, 40, b), 2u);
    wt_eq(a[1].start, b[1].start);
}

Test(steps, what_is_no_series_has_no_levels)
{
    double x[TB_STEP_RUNS_MAX + 1];
    struct tb_level levels[TB_STEP_RUNS_MAX];
    make(1, x, TB_STEP_RUNS_MAX + 1, 0.02, 10, 2);
    wt_eq(tb_steps_find(x, 0, levels), 0u);
    wt_eq(tb_steps_find(x, TB_STEP_RUNS_MAX + 1, levels), 0u);
    wt_eq(tb_steps_find(x, 1, levels), 1u);
    x[3] = 0;
    wt_eq(tb_steps_find(x, 10, levels), 0u);
    x[3] = (double)NAN;
    wt_eq(tb_steps_find(x, 10, levels), 0u);
}
