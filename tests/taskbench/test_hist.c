/* test_hist.c: percentiles of the histogram against those of the sorted values
 * (tools/taskbench/hist.h). */
#include "tests/support/wt.h"
#include "hist.h"
#include <math.h>
#include <stdlib.h>

#define VALUES 20000

static uint64_t state;

static uint64_t next(void)
{
    state ^= state >> 12;
    state ^= state << 25;
    state ^= state >> 27;
    return state * 0x2545f4914f6cdd1d;
}

static int compare(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return (x > y) - (x < y);
}

/* Values of every size from 1 to 2^`bits`: the exponent is as random as the rest. */
static uint64_t any_size(unsigned bits)
{
    unsigned shift = 63 - (unsigned)(next() % bits);
    return next() >> shift;
}

static uint64_t exact(const uint64_t *sorted, size_t n, double q)
{
    double rank = ceil(q * (double)n);
    return sorted[rank < 1 ? 0 : (size_t)rank - 1];
}

static void expect_percentiles(uint64_t seed, unsigned bits)
{
    static uint64_t values[VALUES];
    static struct tb_hist hist;
    static const double parts[] = {0, 0.001, 0.01, 0.25, 0.5, 0.9, 0.99, 0.999, 0.9999, 1};
    hist = (struct tb_hist){.n = 0};
    state = seed * 0x9e3779b97f4a7c15 + 1;
    for (size_t i = 0; i < VALUES; i++) {
        values[i] = any_size(bits);
        tb_hist_add(&hist, values[i]);
    }
    qsort(values, VALUES, sizeof *values, compare);
    for (size_t i = 0; i < sizeof parts / sizeof *parts; i++) {
        uint64_t want = exact(values, VALUES, parts[i]), got = tb_hist_at(&hist, parts[i]);
        wt_ge(got, want, "seed %llu, %g", (unsigned long long)seed, parts[i]);
        wt_le(got, want + want / 64, "seed %llu, %g", (unsigned long long)seed, parts[i]);
    }
    wt_eq(tb_hist_at(&hist, 1), values[VALUES - 1]);
    wt_eq(hist.min, values[0]);
}

Test(hist, percentiles_are_those_of_the_sorted_values_to_a_64th, .timeout = 20)
{
    for (uint64_t seed = 1; seed <= 20; seed++) {
        expect_percentiles(seed, 8);
        expect_percentiles(seed, 24);
        expect_percentiles(seed, 40);
    }
}

Test(hist, small_values_are_exact)
{
    static struct tb_hist hist;
    for (uint64_t v = 0; v < 128; v++) {
        wt_eq(tb_hist_top(tb_hist_bucket(v)), v);
        tb_hist_add(&hist, v);
    }
    wt_eq(tb_hist_at(&hist, 0.5), 63u);
    wt_eq(tb_hist_at(&hist, 0), 0u);
}

Test(hist, every_bucket_begins_after_the_last_one)
{
    for (size_t i = 1; i < TB_HIST_BUCKETS; i++) {
        uint64_t first = tb_hist_top(i - 1) + 1;
        wt_eq(tb_hist_bucket(first), i);
        wt_eq(tb_hist_bucket(tb_hist_top(i)), i);
        wt_le((tb_hist_top(i) - first) * 64, first);
    }
}

Test(hist, what_is_too_large_counts_as_the_largest)
{
    static struct tb_hist hist;
    tb_hist_add(&hist, UINT64_MAX);
    tb_hist_add(&hist, 5);
    wt_eq(hist.counts[TB_HIST_BUCKETS - 1], 1u);
    wt_eq(tb_hist_at(&hist, 1), UINT64_MAX);
    wt_eq(tb_hist_at(&hist, 0.5), 5u);
}

Test(hist, merged_is_as_recorded_into_one)
{
    static struct tb_hist a, b, both;
    state = 9;
    for (int i = 0; i < 1000; i++) {
        uint64_t v = any_size(30);
        tb_hist_add(i % 3 ? &a : &b, v);
        tb_hist_add(&both, v);
    }
    tb_hist_merge(&a, &b);
    wt_eq(a.n, both.n);
    wt_eq(a.min, both.min);
    wt_eq(a.max, both.max);
    for (int q = 0; q <= 100; q++) {
        wt_eq(tb_hist_at(&a, q / 100.0), tb_hist_at(&both, q / 100.0));
    }
    static struct tb_hist none;
    wt_eq(tb_hist_at(&none, 0.5), 0u);
    tb_hist_merge(&a, &none);
    wt_eq(a.min, both.min);
}
