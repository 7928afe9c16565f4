/* steps.c: see steps.h. */
#include "steps.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

#define N              TB_STEP_RUNS_MAX
#define PRICE          4.0    /* per step, in noise * ln(n): tests/taskbench/test_steps.c */
#define NOISE_MIN      0.002  /* a change of 0.2 % is none, however quiet the series */
#define NORMAL_QUARTER 0.9539 /* median of |x - y| for normal x, y of deviation 1 */

/* A series as logarithms, and the best cuts of its beginnings: from[r] is where the last level of
 * the first r values begins, cost[r] what the cut costs. */
struct fit {
    double x[N];
    double cost[N + 1];
    size_t from[N + 1];
};

static int compare(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static double median_of(const double *values, size_t n)
{
    double sorted[N];
    memcpy(sorted, values, n * sizeof *sorted);
    qsort(sorted, n, sizeof *sorted, compare);
    return (sorted[(n - 1) / 2] + sorted[n / 2]) / 2;
}

static double noise_of(const double *x, size_t n)
{
    double differences[N];
    if (n < 2) {
        return NOISE_MIN;
    }
    for (size_t i = 1; i < n; i++) {
        differences[i - 1] = fabs(x[i] - x[i - 1]);
    }
    double noise = median_of(differences, n - 1) / NORMAL_QUARTER;
    return noise > NOISE_MIN ? noise : NOISE_MIN;
}

static void insert_sorted(double *sorted, size_t n, double value)
{
    size_t at = n;
    while (at > 0 && sorted[at - 1] > value) {
        sorted[at] = sorted[at - 1];
        at--;
    }
    sorted[at] = value;
}

/* Of n sorted values from their median. */
static double deviation(const double *sorted, size_t n)
{
    double sum = 0;
    for (size_t i = 0; i < n / 2; i++) {
        sum += sorted[n - 1 - i] - sorted[i]; /* the two lie on either side of the median */
    }
    return sum;
}

/* The best last level of the first r of n values: each beginning is tried, the nearest first, so
 * that the sorted values grow by one each time. */
static void fit_end(struct fit *fit, size_t r, size_t n, double price)
{
    double sorted[N];
    fit->cost[r] = (double)INFINITY;
    for (size_t l = r; l-- > 0;) {
        insert_sorted(sorted, r - l - 1, fit->x[l]);
        if (r - l < TB_STEP_RUNS_MIN && !(l == 0 && r == n)) {
            continue; /* too short for a level, unless there is no more */
        }
        double cost = fit->cost[l] + (l > 0 ? price : 0) + deviation(sorted, r - l);
        if (cost < fit->cost[r]) {
            fit->cost[r] = cost;
            fit->from[r] = l;
        }
    }
}

/* The cuts, last first, into `starts`; how many. */
static size_t trace_back(const struct fit *fit, size_t n, size_t *starts)
{
    size_t levels = 0;
    for (size_t r = n; r > 0; r = fit->from[r]) { /* ends: from[r] < r */
        starts[levels++] = fit->from[r];
    }
    return levels;
}

size_t tb_steps_find(const double *values, size_t n, struct tb_level out[TB_STEP_RUNS_MAX])
{
    struct fit fit = {.cost = {0}};
    size_t starts[N];
    if (n == 0 || n > N) {
        return 0;
    }
    for (size_t i = 0; i < n; i++) {
        if (!(values[i] > 0) || !isfinite(values[i])) {
            return 0;
        }
        fit.x[i] = log(values[i]);
    }
    double price = PRICE * noise_of(fit.x, n) * log((double)n + 1);
    for (size_t r = 1; r <= n; r++) {
        fit_end(&fit, r, n, price);
    }
    size_t levels = trace_back(&fit, n, starts);
    for (size_t i = 0; i < levels; i++) {
        size_t start = starts[levels - 1 - i], end = i + 1 < levels ? starts[levels - 2 - i] : n;
        out[i] = (struct tb_level){start, median_of(values + start, end - start)};
    }
    return levels;
}
