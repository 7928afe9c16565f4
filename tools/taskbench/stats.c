/* stats.c: see stats.h. */
#include "stats.h"
#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

static int compare(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* `sorted` has room for TB_SAMPLES_MAX. */
static int sort(const double *values, size_t n, double *sorted)
{
    if (n == 0 || n > TB_SAMPLES_MAX) {
        return -EINVAL;
    }
    memcpy(sorted, values, n * sizeof *sorted);
    qsort(sorted, n, sizeof *sorted, compare);
    return 0;
}

int tb_summarize(const double *values, size_t n, struct tb_summary *out)
{
    double sorted[TB_SAMPLES_MAX];
    int rc = sort(values, n, sorted);
    if (rc < 0) {
        return rc;
    }
    double upper = sorted[n / 2];
    double lower = n % 2 ? upper : sorted[n / 2 - 1];
    *out = (struct tb_summary){lower + (upper - lower) / 2, sorted[0], sorted[n - 1]};
    return 0;
}

double tb_quantile(const double *values, size_t n, double q)
{
    double sorted[TB_SAMPLES_MAX];
    if (sort(values, n, sorted) < 0) {
        return NAN;
    }
    double rank = ceil(q * (double)n);
    return sorted[rank < 1 ? 0 : rank > (double)n ? n - 1 : (size_t)rank - 1];
}

double tb_median_ratio(const double *a, const double *b, size_t n)
{
    double ratios[TB_SAMPLES_MAX];
    if (n > TB_SAMPLES_MAX) {
        return NAN;
    }
    for (size_t i = 0; i < n; i++) {
        ratios[i] = a[i] / b[i];
    }
    struct tb_summary summary;
    return tb_summarize(ratios, n, &summary) == 0 ? summary.median : NAN;
}
