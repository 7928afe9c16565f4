/* test_infer.c: the statistics (tools/taskbench/infer.h) against published tables and R's
 * output. */
#include "tests/support/wt.h"
#include "infer.h"
#include <math.h>

static void expect_near(double got, double want, double tolerance, const char *what)
{
    wt_true(fabs(got - want) <= tolerance, "%s: %.12g, not %.12g", what, got, want);
}

/* Any table of the t distribution; the digits are those of R's qt(). */
Test(infer, quantiles_of_t_are_those_of_the_table)
{
    static const struct {
        double p, df, t;
    } table[] = {
        {0.975, 1, 12.7062047362},
        {0.975, 2, 4.3026527297},
        {0.975, 9, 2.2621571628},
        {0.95, 5, 2.0150483727},
        {0.995, 30, 2.7499956536},
        {0.975, 120, 1.9799304051},
        {0.5, 7, 0},
        {0.025, 9, -2.2621571628},
        {0.9995, 3, 12.9239786366},
    };
    for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
        expect_near(tb_t_quantile(table[i].p, table[i].df), table[i].t, 1e-7, "quantile");
        expect_near(tb_t_cdf(table[i].t, table[i].df), table[i].p, 1e-9, "distribution");
    }
}

Test(infer, normal_distribution_is_that_of_the_table)
{
    expect_near(tb_normal_cdf(0), 0.5, 1e-15, "0");
    expect_near(tb_normal_cdf(1.959963984540054), 0.975, 1e-12, "1.96");
    expect_near(tb_normal_cdf(-3), 0.001349898031630, 1e-14, "-3");
}

Test(infer, coins_are_counted_exactly)
{
    expect_near(tb_binomial_tail(10, 10), 1.0 / 1024, 1e-15, "10 of 10");
    expect_near(tb_binomial_tail(9, 10), 11.0 / 1024, 1e-15, "9 of 10");
    expect_near(tb_binomial_tail(15, 20), 0.0206947326660156, 1e-12, "15 of 20");
    expect_near(tb_binomial_tail(0, 5), 1, 1e-15, "0 of 5");
    expect_near(tb_binomial_tail(6, 5), 0, 0, "6 of 5");
}

/* Student's sleep data, as R has it: t.test(extra ~ group, paired = TRUE): t = -4.0621, p =
 * 0.002833, 95 per cent interval -2.4598858 to -0.7001142. */
static const double sleep_difference[] = {-1.2, -2.4, -1.3, -1.3, 0.0,
                                          -1.0, -1.8, -0.8, -4.6, -1.4};

Test(infer, t_interval_of_students_own_data_is_rs)
{
    struct tb_interval i = tb_t_interval(sleep_difference, 10, 0.95);
    expect_near(i.low, -2.4598858, 5e-8, "low");
    expect_near(i.high, -0.7001142, 5e-8, "high");
    expect_near(2 * tb_t_cdf(-4.0621, 9), 0.002833, 1e-6, "p");
}

Test(infer, one_value_has_no_interval)
{
    struct tb_interval i = tb_t_interval(sleep_difference, 1, 0.95);
    wt_true(isinf(i.low) && isinf(i.high));
}

/* The ranks of tables of nonparametric intervals for the median, 95 %: n = 6: 1 and 6; 8: 1 and 8;
 * 9: 2 and 8; 10: 2 and 9; 15: 4 and 12; 20: 6 and 15; 25: 8 and 18; 40: 14 and 27. Below 6 there
 * is none. */
Test(infer, median_interval_takes_the_ranks_of_the_table)
{
    static const struct {
        size_t n;
        int low, high;
    } table[] = {{6, 1, 6},   {8, 1, 8},   {9, 2, 8},   {10, 2, 9},
                 {15, 4, 12}, {20, 6, 15}, {25, 8, 18}, {40, 14, 27}};
    double values[40];
    for (int i = 0; i < 40; i++) {
        values[i] = i + 1; /* its rank */
    }
    for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
        struct tb_interval interval = tb_median_interval(values, table[i].n, 0.95);
        wt_eq(interval.low, (double)table[i].low, "n = %zu", table[i].n);
        wt_eq(interval.high, (double)table[i].high, "n = %zu", table[i].n);
    }
    wt_true(isinf(tb_median_interval(values, 5, 0.95).low));
    wt_true(isinf(tb_median_interval(values, 0, 0.95).high));
}

/* R: binom.test(9, 9, alternative = "greater")$p.value of the nine nights that are not equal. */
Test(infer, sign_test_leaves_equal_values_out)
{
    double better[10];
    for (int i = 0; i < 10; i++) {
        better[i] = -sleep_difference[i];
    }
    expect_near(tb_sign_test(better, 10, 0), 1.0 / 512, 1e-15, "p");
    expect_near(tb_sign_test(sleep_difference, 10, 0), 1, 1e-15, "the other side");
    expect_near(tb_sign_test(better, 0, 0), 1, 0, "no values");
}

Test(infer, one_wild_value_moves_neither_interval_nor_test)
{
    double values[] = {1.0, 1.1, 0.9, 1.2, 1.05, 0.95, 1.15, 1.0, 1.02, 1e6};
    struct tb_interval i = tb_median_interval(values, 10, 0.95);
    wt_true(i.high <= 1.2 && i.low >= 0.9);
    expect_near(tb_sign_test(values, 10, 0.5), 1.0 / 1024, 1e-15, "p");
}

Test(infer, bootstrap_repeats_by_its_seed_and_holds_the_median)
{
    struct tb_interval a = tb_bootstrap_median(sleep_difference, 10, 0.95, 2000, 7);
    struct tb_interval b = tb_bootstrap_median(sleep_difference, 10, 0.95, 2000, 7);
    wt_true(a.low == b.low && a.high == b.high);
    wt_true(a.low < -1.3 && a.high > -1.3);  /* the median */
    wt_true(a.low >= -4.6 && a.high <= 0.0); /* of the values */
    double same[] = {2, 2, 2, 2, 2, 2};
    a = tb_bootstrap_median(same, 6, 0.95, 100, 1);
    wt_true(a.low == 2 && a.high == 2);
}

/* Critical values of U for a two-sided 5 %: n = 5 and 5: 2; 8 and 8: 13; 10 and 10: 23; 20 and 20:
 * 127. And exact p by hand: 3 against 3, all below: 2/20; 4 against 4: 2/70. */
Test(infer, mann_whitney_is_that_of_the_table)
{
    static const struct {
        int n, critical;
    } table[] = {{5, 2}, {8, 13}, {10, 23}, {20, 127}};
    double low[] = {1, 2, 3, 4}, high[] = {5, 6, 7, 8}, u;
    expect_near(tb_mann_whitney(low, 3, high, 3, &u), 0.1, 1e-12, "3 and 3");
    wt_eq(u, 0.0);
    expect_near(tb_mann_whitney(high, 4, low, 4, &u), 2.0 / 70, 1e-12, "4 and 4");
    wt_eq(u, 16.0);
    for (size_t t = 0; t < sizeof table / sizeof *table; t++) {
        /* a sample with that U: n values of which the first ones exceed `shift` of the other's */
        for (int extra = 0; extra <= 1; extra++) {
            int n = table[t].n, left = table[t].critical + extra;
            double a[20], b[20];
            for (int i = 0; i < n; i++) {
                int above = left > n ? n : left;
                b[i] = i + 1;
                a[i] = above + 0.5 + i * 0.01; /* above exactly so many of b */
                left -= above;
            }
            double p = tb_mann_whitney(a, (size_t)n, b, (size_t)n, &u);
            wt_eq(u, (double)(table[t].critical + extra));
            wt_true(extra ? p > 0.05 : p <= 0.05, "n = %d, U = %g: p = %g", n, u, p);
        }
    }
}

/* The normal distribution with both corrections, as textbooks and R's wilcox.test(exact = FALSE)
 * have it. */
Test(infer, mann_whitney_with_ties_is_the_corrected_normal_approximation)
{
    double a[] = {1, 2, 2, 3, 4}, b[] = {2, 3, 5, 6, 7, 8}, u;
    double p = tb_mann_whitney(a, 5, b, 6, &u);
    wt_eq(u, 4.5);
    /* by hand: variance 30/12 * (12 - 30/110), z = (4.5 - 15 + 0.5) / 5.4147 */
    double z = (4.5 - 15 + 0.5) / sqrt(30.0 / 12 * (12 - (24.0 + 6) / 110));
    expect_near(p, 2 * tb_normal_cdf(z), 1e-12, "p");
    wt_eq(tb_mann_whitney(a, 0, b, 6, NULL), 1.0);
}

/* R: p.adjust(c(0.01, 0.04, 0.03, 0.005), "holm"): 0.03 0.06 0.06 0.02. */
Test(infer, holm_adjusts_as_r_does)
{
    double p[] = {0.01, 0.04, 0.03, 0.005}, one[] = {0.04}, high[] = {0.9, 0.8};
    tb_holm(p, 4);
    expect_near(p[0], 0.03, 1e-15, "0");
    expect_near(p[1], 0.06, 1e-15, "1");
    expect_near(p[2], 0.06, 1e-15, "2");
    expect_near(p[3], 0.02, 1e-15, "3");
    tb_holm(one, 1);
    wt_eq(one[0], 0.04);
    tb_holm(high, 2);
    wt_true(high[0] == 1 && high[1] == 1);
}

/* With noise alone, intervals of 95 % miss the truth at most so often, and the test is wrong at
 * most so often. */
Test(infer, error_rates_are_what_they_promise)
{
    uint64_t state = 42;
    int missed = 0, false_alarms = 0;
    for (int round = 0; round < 4000; round++) {
        double values[10];
        for (int i = 0; i < 10; i++) {
            double sum = 0; /* heavy-tailed: one in ten is wild */
            for (int j = 0; j < 4; j++) {
                state = state * 6364136223846793005u + 1442695040888963407u;
                sum += (double)(state >> 11) / 9007199254740992.0 - 0.5;
            }
            state = state * 6364136223846793005u + 1442695040888963407u;
            values[i] = state >> 60 == 0 ? sum * 100 : sum;
        }
        struct tb_interval interval = tb_median_interval(values, 10, 0.95);
        missed += interval.low > 0 || interval.high < 0;
        false_alarms += tb_sign_test(values, 10, 0) < 0.05;
    }
    wt_le(missed, 4000 * 5 / 100);
    wt_le(false_alarms, 4000 * 5 / 100);
}
