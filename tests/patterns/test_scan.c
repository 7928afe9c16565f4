/* Prefixes of a range: the same as one walk from the left gives, whatever the cuts. */
#include "pattern.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <weft/fork.h>
#include <weft/par.h>

struct range {
    size_t n;
    uint64_t *before; /* of each index: the sum of those before it */
    atomic_int *walks;
    uint64_t turns; /* what an index costs */
    size_t fails_at;
    atomic_int folds_active, started;
};

static uint64_t value(size_t i)
{
    return i * i % 1009 + 1;
}

static void spin(uint64_t turns)
{
    for (volatile uint64_t i = 0; i < turns; i++) {
    }
}

static int fold(size_t from, size_t to, void *acc, void *ctx)
{
    struct range *range = ctx;
    for (size_t i = from; i < to; i++) {
        spin(range->turns);
        *(uint64_t *)acc += value(i);
    }
    return 0;
}

static int walk(size_t from, size_t to, void *acc, void *ctx)
{
    struct range *range = ctx;
    atomic_fetch_add(&range->started, 1);
    for (size_t i = from; i < to; i++) {
        if (i == range->fails_at) {
            return weft_fail(-EIO, "index %zu", i);
        }
        spin(range->turns);
        range->before[i] = *(uint64_t *)acc;
        atomic_fetch_add(&range->walks[i], 1);
        *(uint64_t *)acc += value(i);
    }
    return 0;
}

static void add(void *left, const void *right, void *ctx)
{
    (void)ctx;
    *(uint64_t *)left += *(const uint64_t *)right;
}

static struct range *range_new(size_t n, uint64_t turns)
{
    struct range *range = calloc(1, sizeof *range);
    range->n = n;
    range->before = calloc(n + 1, sizeof *range->before);
    range->walks = calloc(n + 1, sizeof *range->walks);
    range->turns = turns;
    range->fails_at = SIZE_MAX;
    return range;
}

static void range_free(struct range *range)
{
    free(range->before);
    free(range->walks);
    free(range);
}

static void check_range(size_t n, uint64_t turns, size_t grain)
{
    struct range *range = range_new(n, turns);
    uint64_t sum = 0, want = 0;
    wt_eq(weft_scan(0, n, &sum, fold, walk, add, range, .grain = grain), 0);
    for (size_t i = 0; i < n; i++) {
        wt_eq(range->before[i], want, "index %zu of %zu", i, n);
        wt_eq(atomic_load(&range->walks[i]), 1, "index %zu of %zu", i, n);
        want += value(i);
    }
    wt_eq(sum, want);
    range_free(range);
}

static int all_sizes(void *arg)
{
    (void)arg;
    for (size_t n = 0; n < 5; n++) {
        check_range(n, 0, 0);
        check_range(n, 20000, 0);
    }
    check_range(101, 20000, 0);
    check_range(99999, 10, 0);
    check_range(30000, 100, 1000);
    check_range(300001, 0, 0);
    return 0;
}

Test(scan, each_index_is_walked_once_with_what_is_before_it)
{
    all_sizes(NULL); /* outside of a task */
    for (int workers = 1; workers <= 8; workers *= 2) {
        wt_eq(weft_run(all_sizes, NULL, .workers = workers), 0);
    }
}

/* Associative, not commutative: a run of consecutive numbers, or nothing. */
struct run {
    bool any, broken;
    size_t first, last;
};

static void append(struct run *run, size_t first, size_t last)
{
    run->broken = run->broken || (run->any && run->last + 1 != first);
    run->first = run->any ? run->first : first;
    run->last = last;
    run->any = true;
}

static int append_range(size_t from, size_t to, void *acc, void *ctx)
{
    (void)ctx;
    spin(200 * (to - from));
    append(acc, from, to - 1);
    return 0;
}

static int append_and_check(size_t from, size_t to, void *acc, void *ctx)
{
    const struct run *run = acc;
    if (from > 0) {
        wt_true(run->any && !run->broken && run->first == 0 && run->last == from - 1,
                "at %zu: %zu to %zu", from, run->first, run->last);
    }
    if (from % 7 == 0) {
        weft_yield();
    }
    return append_range(from, to, acc, ctx);
}

static void concatenate(void *left, const void *right, void *ctx)
{
    const struct run *from = right;
    (void)ctx;
    if (from->any) {
        append(left, from->first, from->last);
        ((struct run *)left)->broken |= from->broken;
    }
}

static int runs(void *arg)
{
    for (int round = 0; round < 20; round++) {
        struct run run = {0};
        wt_eq(weft_scan(0, 5000, &run, append_range, append_and_check, concatenate, NULL), 0);
        wt_true(run.any && !run.broken && run.first == 0 && run.last == 4999);
    }
    (void)arg;
    return 0;
}

Test(scan, what_precedes_is_combined_from_left_to_right_and_bodies_may_wait)
{
    for (int workers = 1; workers <= 8; workers *= 2) {
        wt_eq(weft_run(runs, NULL, .workers = workers), 0);
    }
}

enum { LONG_INDICES = 5000 }; /* of 0.2 ms at most: a second, if nobody comes */

static atomic_bool folded;

static int note_fold(size_t from, size_t to, void *acc, void *ctx)
{
    (void)ctx;
    atomic_store(&folded, true);
    *(uint64_t *)acc += to - from;
    return 0;
}

/* An index is long until somebody has folded one. */
static int walk_until_folded(size_t from, size_t to, void *acc, void *ctx)
{
    (void)ctx;
    for (size_t i = from; i < to; i++) {
        int64_t until_ns = now_ns() + WEFT_US(200);
        while (now_ns() < until_ns && !atomic_load(&folded)) { /* ends: at until_ns */
        }
    }
    *(uint64_t *)acc += to - from;
    return 0;
}

TaskTest(scan, indices_longer_than_a_block_should_be_are_shared_too, 2)
{
    uint64_t count = 0;
    atomic_store(&folded, false);
    wt_eq(weft_scan(0, LONG_INDICES, &count, note_fold, walk_until_folded, add, NULL), 0);
    wt_eq(count, LONG_INDICES);
    wt_true(atomic_load(&folded));
    return 0;
}

static int scan_with_failure(void *arg)
{
    (void)arg;
    for (size_t at = 0; at < 20000; at = at * 3 + 1) {
        struct range *range = range_new(20000, 50);
        range->fails_at = at;
        uint64_t sum = 0;
        wt_eq(weft_scan(0, 20000, &sum, fold, walk, add, range), -EIO);
        char text[40];
        (void)snprintf(text, sizeof text, "index %zu", at);
        wt_str_eq(weft_last()->text, text);
        for (size_t i = 0; i < 20000; i++) {
            wt_true(atomic_load(&range->walks[i]) <= (i != at), "index %zu", i);
        }
        range_free(range);
    }
    return 0;
}

Test(scan, the_first_failure_stops_it_and_is_returned_with_its_record)
{
    for (int workers = 1; workers <= 8; workers *= 2) {
        wt_eq(weft_run(scan_with_failure, NULL, .workers = workers), 0);
    }
}

static int scan_for_ever(void *arg)
{
    struct range *range = arg;
    uint64_t sum = 0;
    return weft_scan(0, range->n, &sum, fold, walk, add, range);
}

static int cancelled_in_the_middle(void *arg)
{
    (void)arg;
    struct range *range = range_new(1000000, 100000); /* a minute and more */
    weft_task task;
    WEFT_SCOPE(scope, .on_error = WEFT_CONTINUE);
    weft_spawn(&task, scan_for_ever, range);
    yield_until(&range->started, 1);
    weft_scope_cancel(&scope, "enough");
    wt_eq(weft_await(&task), -ECANCELED);
    weft_scope_end(&scope);
    range_free(range);
    return 0;
}

Test(scan, a_cancellation_stops_it_in_the_middle)
{
    wt_eq(weft_run(cancelled_in_the_middle, NULL, .workers = 2), 0);
    wt_eq(weft_run(cancelled_in_the_middle, NULL, .workers = 8), 0);
}

TaskTest(scan, a_deadline_stops_it, 1)
{
    struct range *range = range_new(1000000, 100000);
    wt_eq(weft_within(WEFT_MS(2), scan_for_ever(range)), -ETIME);
    wt_eq(atomic_load(&range->walks[range->n - 1]), 0);
    range_free(range);
    return 0;
}

TaskTest(scan, in_a_cancelled_scope_nothing_is_called, 2)
{
    struct range *range = range_new(10, 0);
    WEFT_SCOPE(scope);
    weft_scope_cancel(&scope, "before");
    uint64_t sum = 0;
    wt_eq(weft_scan(0, 10, &sum, fold, walk, add, range), -ECANCELED);
    weft_scope_end(&scope);
    wt_eq(atomic_load(&range->started), 0);
    range_free(range);
    return 0;
}

TaskTest(scan, an_accumulator_that_is_too_large_is_refused, 1)
{
    struct {
        char bytes[WEFT_REDUCE_MAX + 1];
    } large = {{0}};
    wt_eq(weft_scan(0, 10, &large, fold, walk, add, NULL), -E2BIG);
    return 0;
}
