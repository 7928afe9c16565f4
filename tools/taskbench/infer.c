/* infer.c: see infer.h. */
#include "infer.h"
#include <math.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

static int compare(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static double median_of_sorted(const double *sorted, size_t n)
{
    return n % 2 ? sorted[n / 2] : (sorted[n / 2 - 1] + sorted[n / 2]) / 2;
}

/* --- distributions ---------------------------------------------------------------------------- */

#define FRACTION_STEPS 300 /* of the continued fraction; it converges in tens */
#define TINY           1e-300

/* The continued fraction of the incomplete beta function, by Lentz's method (DLMF 8.17.22). */
static double beta_fraction(double a, double b, double x)
{
    double c = 1, d = 1 - (a + b) * x / (a + 1);
    d = 1 / (fabs(d) < TINY ? TINY : d);
    double value = d;
    for (int m = 1; m <= FRACTION_STEPS; m++) {
        double even = m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m));
        double odd = -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1));
        d = 1 + even * d;
        c = 1 + even / c;
        d = 1 / (fabs(d) < TINY ? TINY : d);
        c = fabs(c) < TINY ? TINY : c;
        value *= d * c;
        d = 1 + odd * d;
        c = 1 + odd / c;
        d = 1 / (fabs(d) < TINY ? TINY : d);
        c = fabs(c) < TINY ? TINY : c;
        value *= d * c;
        if (fabs(d * c - 1) < 1e-15) {
            break;
        }
    }
    return value;
}

/* Regularized: I_x(a, b). */
static double incomplete_beta(double a, double b, double x)
{
    if (x <= 0 || x >= 1) {
        return x <= 0 ? 0 : 1;
    }
    double front = exp(lgamma(a + b) - lgamma(a) - lgamma(b) + a * log(x) + b * log1p(-x));
    bool converges = x < (a + 1) / (a + b + 2); /* else the other tail does */
    return converges ? front * beta_fraction(a, b, x) / a
                     : 1 - front * beta_fraction(b, a, 1 - x) / b;
}

double tb_t_cdf(double t, double df)
{
    double tail = incomplete_beta(df / 2, 0.5, df / (df + t * t)) / 2;
    return t > 0 ? 1 - tail : tail;
}

double tb_t_quantile(double p, double df)
{
    double low = -1e8, high = 1e8;
    for (int i = 0; i < 200 && high - low > 1e-12 * (1 + fabs(low)); i++) {
        double middle = (low + high) / 2;
        if (tb_t_cdf(middle, df) < p) {
            low = middle;
        } else {
            high = middle;
        }
    }
    return (low + high) / 2;
}

double tb_normal_cdf(double z)
{
    return erfc(-z / sqrt(2)) / 2;
}

double tb_binomial_tail(int k, int n)
{
    double tail = 0;
    for (int i = k < 0 ? 0 : k; i <= n; i++) {
        tail += exp(lgamma(n + 1) - lgamma(i + 1) - lgamma(n - i + 1) - n * log(2));
    }
    return tail > 1 ? 1 : tail;
}

/* --- one sample ------------------------------------------------------------------------------- */

struct tb_interval tb_median_interval(const double *values, size_t n, double confidence)
{
    struct tb_interval all = {-INFINITY, INFINITY};
    double sorted[TB_INFER_MAX];
    if (n == 0 || n > TB_INFER_MAX) {
        return all;
    }
    memcpy(sorted, values, n * sizeof *values);
    qsort(sorted, n, sizeof *sorted, compare);
    /* the largest d with P(fewer than d values below the median) within half of the error */
    size_t d = 0;
    while (d + 1 <= n / 2 && 2 * tb_binomial_tail((int)(n - d), (int)n) <= 1 - confidence) {
        d++;
    }
    return d == 0 ? all : (struct tb_interval){sorted[d - 1], sorted[n - d]};
}

double tb_sign_test(const double *values, size_t n, double than)
{
    int above = 0, differ = 0;
    for (size_t i = 0; i < n; i++) {
        above += values[i] > than;
        differ += values[i] != than;
    }
    return tb_binomial_tail(above, differ);
}

struct tb_interval tb_t_interval(const double *values, size_t n, double confidence)
{
    if (n < 2) {
        return (struct tb_interval){-INFINITY, INFINITY};
    }
    double mean = 0, squares = 0;
    for (size_t i = 0; i < n; i++) {
        mean += values[i] / (double)n;
    }
    for (size_t i = 0; i < n; i++) {
        squares += (values[i] - mean) * (values[i] - mean);
    }
    double error = sqrt(squares / (double)(n - 1) / (double)n);
    double t = tb_t_quantile((1 + confidence) / 2, (double)(n - 1));
    return (struct tb_interval){mean - t * error, mean + t * error};
}

/* splitmix64 */
static uint64_t next_random(uint64_t *state)
{
    uint64_t z = *state += 0x9e3779b97f4a7c15;
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9;
    z = (z ^ z >> 27) * 0x94d049bb133111eb;
    return z ^ z >> 31;
}

struct tb_interval tb_bootstrap_median(const double *values, size_t n, double confidence,
                                       int resamples, uint64_t seed)
{
    struct tb_interval all = {-INFINITY, INFINITY};
    double drawn[TB_INFER_MAX], *medians = malloc((size_t)resamples * sizeof *medians);
    if (n == 0 || n > TB_INFER_MAX || resamples < 2 || !medians) {
        free(medians);
        return all;
    }
    for (int i = 0; i < resamples; i++) {
        for (size_t j = 0; j < n; j++) {
            drawn[j] = values[next_random(&seed) % n];
        }
        qsort(drawn, n, sizeof *drawn, compare);
        medians[i] = median_of_sorted(drawn, n);
    }
    qsort(medians, (size_t)resamples, sizeof *medians, compare);
    double cut = (1 - confidence) / 2 * (resamples - 1);
    all = (struct tb_interval){medians[(int)floor(cut)], medians[resamples - 1 - (int)floor(cut)]};
    free(medians);
    return all;
}

/* --- two samples ------------------------------------------------------------------------------ */

#define EXACT_MAX 50 /* as R */

/* Pairs (a, b) with a above b; halves for equal ones. */
static double count_u(const double *a, size_t a_n, const double *b, size_t b_n, bool *ties)
{
    double u = 0;
    *ties = false;
    for (size_t i = 0; i < a_n; i++) {
        for (size_t j = 0; j < b_n; j++) {
            u += a[i] > b[j] ? 1 : a[i] == b[j] ? 0.5 : 0;
            *ties = *ties || a[i] == b[j];
        }
    }
    return u;
}

/* P(U <= u): the ways to reach each U, built up value by value (Mann and Whitney's recurrence), as
 * the coefficients of the Gaussian binomial. */
static double exact_cdf(int u, int m, int n)
{
    int max = m * n;
    double *ways = calloc((size_t)max + 1, sizeof *ways), all = 0, below = 0;
    if (!ways) {
        return 1;
    }
    ways[0] = 1;
    for (int i = 1; i <= m; i++) { /* times (1 - q^(n+i)) / (1 - q^i) */
        for (int k = max; k >= n + i; k--) {
            ways[k] -= ways[k - n - i];
        }
        for (int k = i; k <= max; k++) {
            ways[k] += ways[k - i];
        }
    }
    for (int k = 0; k <= max; k++) {
        all += ways[k];
        below += k <= u ? ways[k] : 0;
    }
    free(ways);
    return below / all;
}

/* Sum of t^3 - t over groups of equal values. */
static double tie_term(const double *a, size_t a_n, const double *b, size_t b_n)
{
    double pooled[2 * TB_INFER_MAX], sum = 0;
    size_t n = a_n + b_n;
    memcpy(pooled, a, a_n * sizeof *a);
    memcpy(pooled + a_n, b, b_n * sizeof *b);
    qsort(pooled, n, sizeof *pooled, compare);
    for (size_t i = 0; i < n;) { /* ends: each turn passes a group */
        size_t end = i;
        while (end < n && pooled[end] == pooled[i]) {
            end++;
        }
        double t = (double)(end - i);
        sum += t * t * t - t;
        i = end;
    }
    return sum;
}

static double normal_p(double u, const double *a, size_t a_n, const double *b, size_t b_n)
{
    double m = (double)a_n, n = (double)b_n, all = m + n;
    double variance = m * n / 12 * (all + 1 - tie_term(a, a_n, b, b_n) / (all * (all - 1)));
    double distance = u - m * n / 2;
    if (variance <= 0) {
        return 1;
    }
    distance -= distance > 0 ? 0.5 : distance < 0 ? -0.5 : 0;
    double z = distance / sqrt(variance), tail = tb_normal_cdf(-fabs(z));
    return 2 * tail > 1 ? 1 : 2 * tail;
}

double tb_mann_whitney(const double *a, size_t a_n, const double *b, size_t b_n, double *u)
{
    bool ties;
    if (a_n == 0 || b_n == 0 || a_n > TB_INFER_MAX || b_n > TB_INFER_MAX) {
        return 1;
    }
    double ours = count_u(a, a_n, b, b_n, &ties);
    if (u) {
        *u = ours;
    }
    if (ties || a_n >= EXACT_MAX || b_n >= EXACT_MAX) {
        return normal_p(ours, a, a_n, b, b_n);
    }
    double other = (double)(a_n * b_n) - ours, smaller = ours < other ? ours : other;
    double p = 2 * exact_cdf((int)smaller, (int)a_n, (int)b_n);
    return p > 1 ? 1 : p;
}

/* --- many tests ------------------------------------------------------------------------------- */

void tb_holm(double *p, size_t n)
{
    size_t order[TB_INFER_MAX];
    if (n > TB_INFER_MAX) {
        return;
    }
    for (size_t i = 0; i < n; i++) {
        size_t at = i;
        for (; at > 0 && p[order[at - 1]] > p[i]; at--) {
            order[at] = order[at - 1];
        }
        order[at] = i;
    }
    double floor_p = 0;
    for (size_t i = 0; i < n; i++) {
        double adjusted = p[order[i]] * (double)(n - i);
        adjusted = adjusted > 1 ? 1 : adjusted;
        floor_p = adjusted > floor_p ? adjusted : floor_p;
        p[order[i]] = floor_p;
    }
}
