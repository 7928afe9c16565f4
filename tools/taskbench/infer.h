/* infer.h: what can be concluded from a few numbers: intervals, tests, and what many tests together
 * allow.
 *
 * The primary tools here assume nothing of how noise is distributed. On a shared machine it has
 * heavy tails: one restart in ten may be 50 % off, which moves a mean, and widens an interval that
 * is built on a variance until it says nothing. The median and the signs do not care by how much.
 * The t interval and the bootstrap are for those who want to compare.
 *
 * Every function is exact, or says what it approximates; tests/taskbench/test_infer.c holds them
 * against published tables and R. */
#ifndef TB_INFER_H
#define TB_INFER_H

#include <stddef.h>
#include <stdint.h>

#define TB_INFER_MAX 512 /* values */

struct tb_interval {
    double low, high; /* infinite: so few values cannot say it with that confidence */
};

/* --- distributions ---------------------------------------------------------------------------- */

/* P(T <= t) of Student's t with `df` degrees of freedom, df > 0. Good to 1e-10. */
double tb_t_cdf(double t, double df);

/* The t with P(T <= t) = p, 0 < p < 1. Good to 1e-8. */
double tb_t_quantile(double p, double df);

/* P(Z <= z) of the standard normal distribution. */
double tb_normal_cdf(double z);

/* P(X >= k) of the number of heads in n throws of a fair coin. Exact. */
double tb_binomial_tail(int k, int n);

/* --- one sample ------------------------------------------------------------------------------- */

/* The interval between two of the n values that holds the median of what they were drawn from with
 * at least `confidence` (0 to 1), from whatever continuous distribution: the order statistics of
 * the sign test. Exact. */
struct tb_interval tb_median_interval(const double *values, size_t n, double confidence);

/* P of as many values above `than`, or more, if the median were `than`: a sign test, one-sided.
 * Values equal to it count for neither side. 1 without values. Exact. */
double tb_sign_test(const double *values, size_t n, double than);

/* Mean plus and minus t times the standard error. n >= 2, else infinite. */
struct tb_interval tb_t_interval(const double *values, size_t n, double confidence);

/* Of the median, by the percentiles of `resamples` medians of n values drawn with replacement
 * (Efron). A seed repeats it. Too narrow for n below 10. */
struct tb_interval tb_bootstrap_median(const double *values, size_t n, double confidence,
                                       int resamples, uint64_t seed);

/* --- two samples ------------------------------------------------------------------------------ */

/* Two-sided p of Mann and Whitney's test that neither of a and b tends to be larger. Exact without
 * ties and with fewer than 50 values in each (the distribution of U is counted), else by the normal
 * distribution with corrections for ties and continuity, as R's wilcox.test does. *u, if not NULL:
 * U of a. */
double tb_mann_whitney(const double *a, size_t a_n, const double *b, size_t b_n, double *u);

/* --- many tests ------------------------------------------------------------------------------- */

/* Replaces n p-values by Holm's adjusted ones: those still below 0.05 may be believed together,
 * with an error of 5 % that any of them is false. n <= TB_INFER_MAX. */
void tb_holm(double *p, size_t n);

#endif
