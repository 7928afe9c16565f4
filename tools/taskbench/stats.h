/* stats.h: what is said of a set of samples.
 *
 * The median and the range, and no more: on a machine that is shared, samples come from several
 * speeds of one core, so a mean, a standard deviation or a minimum describes the neighbours rather
 * than the program (docs/taskbench.md). A ratio is taken pair by pair, of samples that were
 * measured next to each other, and its median is reported. */
#ifndef TB_STATS_H
#define TB_STATS_H

#include <stddef.h>

#define TB_SAMPLES_MAX 1000 /* of one row */

struct tb_summary {
    double median; /* of an even number: the mean of the two in the middle */
    double min;
    double max;
};

/* 1 <= n <= TB_SAMPLES_MAX values, in any order, none of them NaN. 0; -EINVAL: n is out of range,
 * *out untouched. */
int tb_summarize(const double *values, size_t n, struct tb_summary *out);

/* The value that a part q (0 to 1) of the n values does not exceed: the smallest such value among
 * them (nearest rank). NAN for an n out of range. */
double tb_quantile(const double *values, size_t n, double q);

/* The median of a[i] / b[i]; NAN for an n out of range. b[i] != 0. */
double tb_median_ratio(const double *a, const double *b, size_t n);

#endif
