/* Folding a range: the same result whatever the cuts, and combined from left to right. */
#include "pattern.h"
#include <stdlib.h>
#include <weft/par.h>

#define MANY 100000

static void spin(uint64_t turns)
{
    for (volatile uint64_t i = 0; i < turns; i++) {
    }
}

static int add_range(size_t from, size_t to, void *acc, void *ctx)
{
    uint64_t *sum = acc;
    (void)ctx;
    for (size_t i = from; i < to; i++) {
        *sum += i;
    }
    return 0;
}

static void add(void *left, const void *right, void *ctx)
{
    (void)ctx;
    *(uint64_t *)left += *(const uint64_t *)right;
}

static int sums(void *arg)
{
    (void)arg;
    for (size_t n = 0; n <= 10 * MANY; n = n * 3 + 1) {
        uint64_t sum = 0;
        wt_eq(weft_reduce(0, n, &sum, add_range, add, NULL), 0);
        wt_eq(sum, n < 2 ? 0 : (uint64_t)n * (n - 1) / 2);
    }
    return 0;
}

Test(reduce, the_result_does_not_depend_on_the_workers)
{
    sums(NULL); /* outside of a task */
    for (int workers = 1; workers <= 8; workers *= 2) {
        wt_eq(weft_run(sums, NULL, .workers = workers), 0);
    }
}

/* Associative, not commutative: a run of consecutive numbers, or nothing. */
struct run {
    bool any, broken;
    size_t first, last;
};

static void append(struct run *run, size_t first, size_t last)
{
    if (!run->any) {
        run->any = true;
        run->first = first;
    } else if (run->last + 1 != first) {
        run->broken = true;
    }
    run->last = last;
}

static int append_range(size_t from, size_t to, void *acc, void *ctx)
{
    (void)ctx;
    spin(200 * (to - from));
    if (from % 1003 == 0) {
        weft_yield();
    }
    append(acc, from, to - 1);
    return 0;
}

static void concatenate(void *left, const void *right, void *ctx)
{
    struct run *into = left;
    const struct run *from = right;
    atomic_fetch_add((atomic_int *)ctx, 1);
    if (from->any) {
        append(into, from->first, from->last);
        into->broken = into->broken || from->broken;
    }
}

static int in_order(void *arg)
{
    (void)arg;
    atomic_int combined = 0;
    int64_t give_up_ns = now_ns() + PATTERN_PATIENCE_NS;
    do { /* ends: at give_up_ns */
        struct run run = {0};
        wt_eq(weft_reduce(7, MANY, &run, append_range, concatenate, &combined), 0);
        wt_true(run.any);
        wt_false(run.broken);
        wt_eq(run.first, 7);
        wt_eq(run.last, MANY - 1);
        wt_lt(now_ns(), give_up_ns, "nobody ever took a part");
    } while (arg != NULL && atomic_load(&combined) < 5);
    return 0;
}

Test(reduce, stretches_are_combined_from_left_to_right)
{
    wt_eq(weft_run(in_order, NULL, .workers = 1), 0);
    int several = 1;
    for (int workers = 2; workers <= 8; workers *= 2) {
        wt_eq(weft_run(in_order, &several, .workers = workers), 0);
    }
}

TaskTest(reduce, one_worker_never_combines, 1)
{
    atomic_int combined = 0;
    struct run run = {0};
    wt_eq(weft_reduce(0, MANY, &run, append_range, concatenate, &combined), 0);
    wt_eq(atomic_load(&combined), 0);
    return 0;
}

/* --- accumulators ----------------------------------------------------------------------------- */

struct histogram {
    _Alignas(64) uint32_t of[WEFT_REDUCE_MAX / sizeof(uint32_t)];
};

static int count_values(size_t from, size_t to, void *acc, void *ctx)
{
    struct histogram *histogram = acc;
    (void)ctx;
    wt_eq((uintptr_t)acc % 64, 0, "aligned as the caller's may be");
    spin(20 * (to - from));
    for (size_t i = from; i < to; i++) {
        histogram->of[i % 64]++;
    }
    return 0;
}

static void add_histograms(void *left, const void *right, void *ctx)
{
    (void)ctx;
    for (int i = 0; i < 64; i++) {
        ((struct histogram *)left)->of[i] += ((const struct histogram *)right)->of[i];
    }
}

TaskTest(reduce, an_accumulator_may_be_as_large_as_is_promised, 4)
{
    struct histogram histogram = {0};
    wt_eq(sizeof histogram, WEFT_REDUCE_MAX);
    wt_eq(weft_reduce(0, 64000, &histogram, count_values, add_histograms, NULL), 0);
    for (int i = 0; i < 64; i++) {
        wt_eq(histogram.of[i], 1000);
    }
    return 0;
}

TaskTest(reduce, a_larger_accumulator_is_e2big_and_nothing_is_called, 1)
{
    struct {
        char bytes[WEFT_REDUCE_MAX + 1];
    } large = {{0}};
    wt_eq(weft_reduce(0, 10, &large, count_values, add_histograms, NULL), -E2BIG);
    return 0;
}

static int max_range(size_t from, size_t to, void *acc, void *ctx)
{
    int *max = acc;
    const int *values = ctx;
    for (size_t i = from; i < to; i++) {
        *max = values[i] > *max ? values[i] : *max;
        spin(20);
    }
    return 0;
}

static void larger(void *left, const void *right, void *ctx)
{
    int *max = left;
    const int *other = right;
    (void)ctx;
    *max = *other > *max ? *other : *max;
}

TaskTest(reduce, each_stretch_begins_with_the_identity_that_the_caller_gave, 4)
{
    int *values = malloc(MANY * sizeof *values);
    for (int i = 0; i < MANY; i++) {
        values[i] = -1000 - (i * 7919) % MANY; /* all below 0: an identity of 0 would win */
    }
    for (int i = 0; i < 20; i++) {
        int max = INT32_MIN;
        wt_eq(weft_reduce(0, MANY, &max, max_range, larger, values), 0);
        wt_eq(max, -1000);
    }
    free(values);
    return 0;
}

/* --- failures --------------------------------------------------------------------------------- */

/* Accumulators that own something: what is not combined is lost. */
struct owner {
    long *things; /* NULL: none yet */
};

static int own_and_fail(size_t from, size_t to, void *acc, void *ctx)
{
    struct owner *owner = acc;
    spin(100 * (to - from));
    if (owner->things == NULL) {
        owner->things = calloc(1, sizeof *owner->things);
    }
    *owner->things += (long)(to - from);
    size_t at = *(size_t *)ctx;
    return at >= from && at < to ? -EIO : 0;
}

static void take_over(void *left, const void *right, void *ctx)
{
    struct owner *into = left;
    const struct owner *from = right;
    (void)ctx;
    if (from->things == NULL) {
        return;
    }
    if (into->things == NULL) {
        into->things = from->things;
        return;
    }
    *into->things += *from->things;
    free(from->things);
}

static int fail_in_the_middle(void *arg)
{
    (void)arg;
    for (size_t at = 0; at < MANY; at += 9973) {
        struct owner owner = {NULL};
        wt_eq(weft_reduce(0, MANY, &owner, own_and_fail, take_over, &at), -EIO);
        wt_true(owner.things != NULL);
        wt_le(*owner.things, MANY);
        free(owner.things); /* all that there was, or the leak checker finds the rest */
    }
    return 0;
}

Test(reduce, after_a_failure_too_no_accumulator_is_dropped_uncombined)
{
    for (int workers = 1; workers <= 8; workers *= 2) {
        wt_eq(weft_run(fail_in_the_middle, NULL, .workers = workers), 0);
    }
}

TaskTest(reduce, a_cancelled_scope_gives_ecanceled_and_the_identity, 1)
{
    uint64_t sum = 0;
    WEFT_SCOPE(s);
    weft_scope_cancel(&s, NULL);
    wt_eq(weft_reduce(0, 100, &sum, add_range, add, NULL), -ECANCELED);
    wt_eq(sum, 0);
    weft_scope_end(&s);
    return 0;
}
