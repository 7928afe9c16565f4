/* test_stats.c: what taskbench says of a set of samples (tools/taskbench/stats.h). */
#include "tests/support/wt.h"
#include "stats.h"
#include <errno.h>
#include <math.h>
#include <stdint.h>

static struct tb_summary summary_of(const double *values, size_t n)
{
    struct tb_summary s;
    wt_eq(tb_summarize(values, n, &s), 0);
    return s;
}

Test(stats, median_of_an_odd_number_is_the_one_in_the_middle)
{
    struct tb_summary s = summary_of((double[]){5, 1, 4, 2, 3}, 5);
    wt_eq(s.median, 3.0);
}

Test(stats, median_of_an_even_number_lies_between_the_two_in_the_middle)
{
    struct tb_summary s = summary_of((double[]){4, 1, 100, 2}, 4);
    wt_eq(s.median, 3.0);
}

Test(stats, one_sample_is_its_own_median_and_range)
{
    struct tb_summary s = summary_of((double[]){7.5}, 1);
    wt_eq(s.median, 7.5);
    wt_eq(s.min, 7.5);
    wt_eq(s.max, 7.5);
}

Test(stats, range_is_that_of_all_samples)
{
    struct tb_summary s = summary_of((double[]){3, 9, -2, 4}, 4);
    wt_eq(s.min, -2.0);
    wt_eq(s.max, 9.0);
}

Test(stats, one_outlier_does_not_move_the_median)
{
    struct tb_summary s = summary_of((double[]){10, 11, 1e12, 12, 10.5}, 5);
    wt_eq(s.median, 11.0);
}

Test(stats, samples_are_left_as_they_were)
{
    double values[] = {3, 1, 2};
    summary_of(values, 3);
    wt_eq(values[0], 3.0);
    wt_eq(values[1], 1.0);
    wt_eq(values[2], 2.0);
}

Test(stats, median_of_large_values_does_not_overflow)
{
    struct tb_summary s = summary_of((double[]){1.5e308, 1.7e308}, 2);
    wt_true(isfinite(s.median));
}

Test(stats, no_samples_and_too_many_are_refused)
{
    static double many[TB_SAMPLES_MAX + 1];
    struct tb_summary s = {.median = 42};
    wt_eq(tb_summarize(many, 0, &s), -EINVAL);
    wt_eq(tb_summarize(many, TB_SAMPLES_MAX + 1, &s), -EINVAL);
    wt_eq(s.median, 42.0);
    wt_eq(tb_summarize(many, TB_SAMPLES_MAX, &s), 0);
}

Test(stats, quantile_is_one_of_the_values)
{
    double values[] = {40, 10, 30, 20};
    wt_eq(tb_quantile(values, 4, 0.5), 20.0);
    wt_eq(tb_quantile(values, 4, 0.51), 30.0);
    wt_eq(tb_quantile(values, 4, 0.75), 30.0);
    wt_eq(tb_quantile(values, 4, 0.99), 40.0);
    wt_eq(tb_quantile(values, 4, 0), 10.0);
    wt_eq(tb_quantile(values, 4, 1), 40.0);
    wt_true(isnan(tb_quantile(values, 0, 0.5)));
}

Test(stats, ratio_is_taken_pair_by_pair)
{
    /* The machine became three times as slow half-way: ratios of medians would say 2, each pair
     * says 1.5. */
    double a[] = {15, 15, 45, 45, 45}, b[] = {10, 10, 30, 30, 30};
    wt_eq(tb_median_ratio(a, b, 5), 1.5);
}

Test(stats, ratio_of_nothing_is_not_a_number)
{
    double none[1] = {1};
    wt_true(isnan(tb_median_ratio(none, none, 0)));
}
