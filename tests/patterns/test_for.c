/* Loops that compute: each index once, whatever the body costs and wherever the loop is cut;
 * errors, cancellation and deadlines between pieces; bodies that wait. */
#include "pattern.h"
#include <pthread.h>
#include <stdlib.h>
#include <weft/debug.h>
#include <weft/fork.h>
#include <weft/par.h>
#include <weft/sync.h>

#define MANY 20000

struct marks {
    atomic_uchar seen[MANY];
    atomic_int pieces;
    atomic_size_t shortest, longest;
    size_t last_to;                       /* one strand */
    bool in_order;                        /* one strand */
    uint64_t (*cost)(size_t i, size_t n); /* turns of a loop; NULL: none */
    size_t n;
};

static void marks_open(struct marks *marks, size_t n)
{
    memset(marks, 0, sizeof *marks);
    atomic_store(&marks->shortest, SIZE_MAX);
    marks->in_order = true;
    marks->n = n;
}

static void spin(uint64_t turns)
{
    for (volatile uint64_t i = 0; i < turns; i++) {
    }
}

static int mark(size_t from, size_t to, void *ctx)
{
    struct marks *marks = ctx;
    wt_lt(from, to, "a piece is never empty");
    atomic_fetch_add(&marks->pieces, 1);
    size_t length = to - from;
    size_t seen = atomic_load(&marks->shortest);
    while (length < seen && !atomic_compare_exchange_weak(&marks->shortest, &seen, length)) {
    }
    seen = atomic_load(&marks->longest);
    while (length > seen && !atomic_compare_exchange_weak(&marks->longest, &seen, length)) {
    }
    for (size_t i = from; i < to; i++) {
        atomic_fetch_add(&marks->seen[i], 1);
        if (marks->cost != NULL) {
            spin(marks->cost(i, marks->n));
        }
    }
    return 0;
}

static int mark_in_order(size_t from, size_t to, void *ctx)
{
    struct marks *marks = ctx;
    marks->in_order = marks->in_order && from == marks->last_to;
    marks->last_to = to;
    return mark(from, to, ctx);
}

static void each_once(struct marks *marks, const char *what)
{
    for (size_t i = 0; i < marks->n; i++) {
        wt_eq(atomic_load(&marks->seen[i]), 1, "index %zu, %s", i, what);
    }
}

/* --- each index once -------------------------------------------------------------------------- */

static uint64_t same(size_t i, size_t n)
{
    (void)i, (void)n;
    return 100;
}

static uint64_t rising(size_t i, size_t n)
{
    return 400 * i / n;
}

static uint64_t cliff(size_t i, size_t n)
{
    return i < n / 2 ? 0 : 300;
}

static uint64_t spikes(size_t i, size_t n)
{
    (void)n;
    return i % 1009 == 0 ? 100000 : 3;
}

static int each_index_once(void *arg)
{
    (void)arg;
    static struct marks marks;
    uint64_t (*const costs[])(size_t, size_t) = {NULL, same, rising, cliff, spikes};
    const size_t counts[] = {1, 2, 3, 63, 1000, MANY};
    const size_t grains[] = {0, 1, 7, 100, MANY + 1};
    for (size_t c = 0; c < sizeof costs / sizeof *costs; c++) {
        for (size_t n = 0; n < sizeof counts / sizeof *counts; n++) {
            for (size_t g = 0; g < sizeof grains / sizeof *grains; g++) {
                marks_open(&marks, counts[n]);
                marks.cost = costs[c];
                wt_eq(weft_for(0, counts[n], mark, &marks, .grain = grains[g]), 0);
                each_once(&marks, "weft_for");
            }
        }
    }
    return 0;
}

Test(for, each_index_is_run_once_whatever_the_costs_and_the_grain)
{
    for (int workers = 1; workers <= 8; workers *= 2) {
        wt_eq(weft_run(each_index_once, NULL, .workers = workers), 0);
    }
}

TaskTest(for, a_range_may_begin_anywhere_and_be_empty, 2)
{
    static struct marks marks;
    marks_open(&marks, MANY);
    wt_eq(weft_for(5, 5, mark, &marks), 0);
    wt_eq(weft_for(6, 5, mark, &marks), 0);
    wt_eq(weft_for(SIZE_MAX, 0, mark, &marks), 0);
    wt_eq(atomic_load(&marks.pieces), 0);
    wt_eq(weft_for(100, 200, mark, &marks), 0);
    for (size_t i = 0; i < MANY; i++) {
        wt_eq(atomic_load(&marks.seen[i]), i >= 100 && i < 200);
    }
    return 0;
}

static int count_indices(size_t from, size_t to, void *ctx)
{
    atomic_fetch_add((atomic_size_t *)ctx, to - from);
    return 0;
}

TaskTest(for, a_range_may_end_at_the_largest_index, 2)
{
    atomic_size_t count = 0;
    wt_eq(weft_for(SIZE_MAX - 100000, SIZE_MAX, count_indices, &count), 0);
    wt_eq(atomic_load(&count), 100000);
    atomic_store(&count, 0);
    wt_eq(weft_for(0, SIZE_MAX, count_indices, &count, .grain = SIZE_MAX / 4), 0);
    wt_eq(atomic_load(&count), SIZE_MAX);
    return 0;
}

static int add_length(size_t from, size_t to, void *arg)
{
    size_t *pieces = arg;
    *pieces += 1;
    return to > from ? 0 : -EIO;
}

TaskTest(for, a_grain_may_be_so_large_that_eight_of_it_are_more_than_all_indices, 1, .timeout = 20)
{
    size_t pieces = 0;
    wt_eq(weft_for(0, SIZE_MAX, add_length, &pieces, .grain = SIZE_MAX / 8 + 1), 0);
    wt_eq(pieces, 8);
    return 0;
}

TaskTest(for, with_one_worker_all_run_on_the_caller_in_order, 1)
{
    static struct marks marks;
    marks_open(&marks, MANY);
    wt_eq(weft_for(0, MANY, mark_in_order, &marks), 0);
    each_once(&marks, "one worker");
    wt_true(marks.in_order);
    return 0;
}

Test(for, outside_a_task_all_run_on_the_caller_in_order)
{
    static struct marks marks;
    marks_open(&marks, MANY);
    wt_eq(weft_for(0, MANY, mark_in_order, &marks), 0);
    each_once(&marks, "no task");
    wt_true(marks.in_order);
    wt_eq(atomic_load(&marks.pieces), 1);
    marks_open(&marks, MANY);
    wt_eq(weft_for(0, MANY, mark_in_order, &marks, .grain_max = 1000), 0);
    wt_eq(atomic_load(&marks.longest), 1000);
    each_once(&marks, "no task, grain_max");
}

/* --- how long a piece is ---------------------------------------------------------------------- */

TaskTest(for, pieces_are_as_long_as_grain_and_grain_max_say, 1)
{
    static struct marks marks;
    marks_open(&marks, 1000);
    wt_eq(weft_for(0, 1000, mark, &marks, .grain = 10, .grain_max = 10), 0);
    wt_eq(atomic_load(&marks.pieces), 100);
    wt_eq(atomic_load(&marks.longest), 10);
    marks_open(&marks, 1000);
    wt_eq(weft_for(0, 1000, mark, &marks, .grain = 600), 0);
    wt_eq(atomic_load(&marks.longest), 600);
    wt_eq(atomic_load(&marks.shortest), 400, "the rest");
    return 0;
}

static int count_pieces(size_t from, size_t to, void *ctx)
{
    (void)from, (void)to;
    ++*(int *)ctx;
    return 0;
}

TaskTest(for, cheap_bodies_are_run_in_long_pieces, 1)
{
    int pieces = 0;
    wt_eq(weft_for(0, 1000000, count_pieces, &pieces), 0);
    wt_lt(pieces, 100000, "a clock that stops now and then makes some of them shorter");
    return 0;
}

static int take_100_us(size_t from, size_t to, void *ctx)
{
    wt_eq(to - from, 1, "bodies of 100 us are run one by one");
    int64_t until_ns = now_ns() + WEFT_US(100);
    while (now_ns() < until_ns) { /* ends: at until_ns */
    }
    return mark(from, to, ctx);
}

TaskTest(for, bodies_of_100_us_are_run_one_by_one, 2)
{
    static struct marks marks;
    marks_open(&marks, 200);
    wt_eq(weft_for(0, 200, take_100_us, &marks), 0);
    each_once(&marks, "100 us");
    return 0;
}

/* --- sharing ---------------------------------------------------------------------------------- */

struct meeting {
    atomic_int inside;
};

/* Only two strands at a time get through. */
static int meet(size_t from, size_t to, void *ctx)
{
    struct meeting *meeting = ctx;
    wt_eq(to - from, 1);
    int64_t give_up_ns = now_ns() + PATTERN_PATIENCE_NS;
    atomic_fetch_add(&meeting->inside, 1);
    while (atomic_load(&meeting->inside) < 2) { /* ends: at give_up_ns */
        wt_lt(now_ns(), give_up_ns, "the other index never began");
    }
    for (int64_t until_ns = now_ns() + WEFT_US(50); now_ns() < until_ns;) { /* ends: at until_ns */
    }
    return 0;
}

TaskTest(for, two_long_indices_run_at_the_same_time_on_two_workers, 2)
{
    for (int i = 0; i < 20; i++) {
        struct meeting meeting = {0};
        wt_eq(weft_for(0, 2, meet, &meeting), 0);
    }
    return 0;
}

enum { KNOWN_LONG = 1000 }; /* so many that a loop over an unknown body would run alone at first */

/* Long; and the first of many goes on when another has begun. */
static int long_first(size_t from, size_t to, void *ctx)
{
    struct meeting *meeting = ctx;
    bool is_first = from == 0 && atomic_fetch_add(&meeting->inside, 1) == 0;
    atomic_fetch_add(&meeting->inside, from != 0);
    int64_t give_up_ns = now_ns() + PATTERN_PATIENCE_NS;
    while (is_first && atomic_load(&meeting->inside) < 2) { /* ends: at give_up_ns */
        wt_lt(now_ns(), give_up_ns, "nobody took a part of the range");
    }
    for (int64_t until_ns = now_ns() + WEFT_US(50); now_ns() < until_ns;) { /* ends: at until_ns */
    }
    return to > from ? 0 : -EIO;
}

TaskTest(for, a_body_known_to_be_long_is_shared_before_its_first_index_has_ended, 2)
{
    struct meeting meeting = {.inside = 2};
    wt_eq(weft_for(0, 4, long_first, &meeting), 0);
    atomic_store(&meeting.inside, 0);
    wt_eq(weft_for(0, KNOWN_LONG, long_first, &meeting), 0);
    return 0;
}

struct first {
    bool is_long;
    atomic_size_t length; /* of the first piece */
};

static int note_first(size_t from, size_t to, void *ctx)
{
    struct first *first = ctx;
    if (from == 0) {
        atomic_store(&first->length, to);
    }
    int64_t until_ns = now_ns() + (first->is_long ? WEFT_US(20) : 0);
    while (now_ns() < until_ns) { /* ends: at until_ns */
    }
    return 0;
}

TaskTest(for, a_body_that_was_short_and_is_long_runs_little_alone, 2)
{
    enum { PARTS = 64 };
    struct first first = {0};
    for (int i = 0; i < 20; i++) {
        wt_eq(weft_for(0, MANY, note_first, &first), 0);
    }
    first.is_long = true;
    wt_eq(weft_for(0, 100 * PARTS, note_first, &first, .grain_max = 200), 0);
    wt_le(atomic_load(&first.length), 100, "more than a 64th of it");
    return 0;
}

struct dawdle {
    int64_t ns; /* how long index 0 waits for the other; 0: not at all */
    atomic_bool other_began, met;
};

static int dawdle_first(size_t from, size_t to, void *ctx)
{
    struct dawdle *dawdle = ctx;
    if (dawdle->ns == 0) {
        return 0;
    }
    if (from != 0) {
        atomic_store(&dawdle->other_began, true);
        return 0;
    }
    int64_t until_ns = now_ns() + dawdle->ns;
    while (now_ns() < until_ns && !atomic_load(&dawdle->other_began)) { /* ends: at until_ns */
    }
    atomic_store(&dawdle->met, atomic_load(&dawdle->other_began));
    return to > from ? 0 : -EIO;
}

/* Tried again, since a worker that was interrupted in the loop before takes the body for a long
 * one. */
TaskTest(for, a_body_known_to_be_short_is_not_shared_for_a_few_indices, 2)
{
    bool alone = false;
    for (int round = 0; round < 10 && !alone; round++) {
        struct dawdle dawdle = {0};
        for (int i = 0; i < 1000; i++) {
            wt_eq(weft_for(0, 2, dawdle_first, &dawdle), 0);
        }
        dawdle.ns = WEFT_MS(20);
        wt_eq(weft_for(0, 2, dawdle_first, &dawdle), 0);
        alone = !atomic_load(&dawdle.met);
    }
    wt_true(alone, "each time somebody came for the second index");
    return 0;
}

static atomic_int given_away;
static pthread_t caller;

static int until_given_away(size_t from, size_t to, void *ctx)
{
    (void)ctx;
    if (!pthread_equal(pthread_self(), caller)) {
        atomic_store(&given_away, 1);
        return 0;
    }
    for (size_t i = from; i < to && atomic_load(&given_away) == 0; i++) {
        spin(1000);
    }
    return 0;
}

TaskTest(for, an_idle_worker_is_given_a_part_of_a_long_loop, 2)
{
    int64_t give_up_ns = now_ns() + PATTERN_PATIENCE_NS;
    while (atomic_load(&given_away) == 0) { /* ends: at give_up_ns */
        wt_lt(now_ns(), give_up_ns, "nobody ever got a part");
        caller = pthread_self();
        wt_eq(weft_for(0, 100000, until_given_away, NULL), 0);
    }
    return 0;
}

struct busy {
    atomic_int begun, released, joined;
};

static int keep_a_worker(void *arg)
{
    struct busy *busy = arg;
    atomic_store(&busy->begun, 1);
    while (atomic_load(&busy->released) == 0) { /* ends: the loop's second piece releases us */
    }
    return 0;
}

static int wait_for_the_right_half(size_t from, size_t to, void *ctx)
{
    struct busy *busy = ctx;
    wt_lt(to - from, 32);
    int64_t until_ns = now_ns() + WEFT_US(from == 0 ? 200 : 0);
    while (now_ns() < until_ns) { /* ends: at until_ns */
    }
    if (from >= 32) {
        atomic_store(&busy->joined, 1);
    } else if (from > 0) {
        atomic_store(&busy->released, 1);
        int64_t give_up_ns = now_ns() + PATTERN_PATIENCE_NS;
        while (atomic_load(&busy->joined) == 0) { /* ends: at give_up_ns */
            wt_lt(now_ns(), give_up_ns, "the rest lies where nobody sees it");
        }
    }
    return 0;
}

TaskTest(for, behind_a_long_piece_the_rest_lies_in_the_open_before_anybody_is_idle, 2)
{
    struct busy busy = {0};
    weft_task task;
    weft_spawn(&task, keep_a_worker, &busy);
    yield_until(&busy.begun, 1);
    wt_eq(weft_for(0, 64, wait_for_the_right_half, &busy), 0);
    return weft_await(&task);
}

TaskTest(for, a_short_loop_wakes_nobody, 2)
{
    static struct marks marks;
    uint64_t wakes = 0;
    marks_open(&marks, 64);
    for (int i = 0; i < 20; i++) {
        weft_stats before;
        weft_stats after;
        weft_sleep(
            WEFT_MS(1)); /* the other worker sleeps by then, mostly; else there is nobody to wake */
        weft_stats_get(weft_rt_current(), &before);
        int64_t begun_ns = now_ns();
        wt_eq(weft_for(0, 64, mark, &marks), 0);
        bool is_short = now_ns() - begun_ns < 2000; /* not interrupted, no sanitizer */
        weft_stats_get(weft_rt_current(), &after);
        wakes += is_short ? after.wakes - before.wakes : 0;
    }
    wt_eq(wakes, 0);
    return 0;
}

TaskTest(for, a_loop_allocates_nothing, 2)
{
    static struct marks marks;
    weft_stats before;
    weft_stats after;
    marks_open(&marks, MANY);
    marks.cost = same;
    weft_for(0, MANY, mark, &marks);
    weft_stats_get(weft_rt_current(), &before);
    for (int i = 0; i < 20; i++) {
        wt_eq(weft_for(0, MANY, mark, &marks), 0);
    }
    weft_stats_get(weft_rt_current(), &after);
    wt_eq(after.slab_chunks, before.slab_chunks);
    return 0;
}

static int nested(size_t from, size_t to, void *ctx)
{
    for (size_t i = from; i < to; i++) {
        wt_eq(weft_for(i * 100, i * 100 + 100, mark, ctx), 0);
    }
    return 0;
}

static int loops_in_loops(void *arg)
{
    (void)arg;
    static struct marks marks;
    marks_open(&marks, 200 * 100);
    marks.cost = same;
    wt_eq(weft_for(0, 200, nested, &marks), 0);
    each_once(&marks, "nested");
    return 0;
}

Test(for, loops_nest)
{
    for (int workers = 1; workers <= 8; workers *= 2) {
        wt_eq(weft_run(loops_in_loops, NULL, .workers = workers), 0);
    }
}

/* --- failures --------------------------------------------------------------------------------- */

struct failing {
    atomic_size_t run;
    size_t at;
    int rc;
};

static int fail_at(size_t from, size_t to, void *ctx)
{
    struct failing *failing = ctx;
    for (size_t i = from; i < to; i++) {
        if (i == failing->at) {
            return weft_fail(failing->rc, "index %zu", i);
        }
        spin(100);
        atomic_fetch_add(&failing->run, 1);
    }
    return 0;
}

TaskTest(for, the_first_failure_stops_the_loop_and_is_returned_with_its_record, 1)
{
    struct failing failing = {.at = 700, .rc = -EIO};
    wt_eq(weft_for(0, MANY, fail_at, &failing), -EIO);
    wt_eq(atomic_load(&failing.run), 700, "no index after it");
    wt_str_eq(weft_last()->text, "index 700");
    return 0;
}

static int fail_somewhere(void *arg)
{
    (void)arg;
    for (size_t at = 0; at < MANY; at += 997) {
        struct failing failing = {.at = at, .rc = -EPROTO};
        wt_eq(weft_for(0, MANY, fail_at, &failing), -EPROTO);
        wt_lt(atomic_load(&failing.run), MANY);
        wt_eq(weft_check(), 0, "the caller's scope is not cancelled");
    }
    return 0;
}

Test(for, a_failure_on_any_worker_is_returned)
{
    for (int workers = 1; workers <= 8; workers *= 2) {
        wt_eq(weft_run(fail_somewhere, NULL, .workers = workers), 0);
    }
}

struct cancelling {
    weft_scope *scope;
    size_t at;
    atomic_size_t run;
};

/* The left half fails as soon as somebody works on the right one, which alone takes centuries. */
static int fail_when_joined(size_t from, size_t to, void *ctx)
{
    atomic_int *joined = ctx;
    (void)to;
    if (from >= SIZE_MAX / 2) {
        atomic_store(joined, 1);
        return 0;
    }
    return atomic_load(joined) != 0 ? -EIO : 0;
}

TaskTest(for, a_failure_stops_the_pieces_on_other_workers_too, 2)
{
    for (int i = 0; i < 20; i++) {
        atomic_int joined = 0;
        wt_eq(weft_for(0, SIZE_MAX, fail_when_joined, &joined), -EIO);
    }
    return 0;
}

static int cancel_when_joined(size_t from, size_t to, void *ctx)
{
    struct cancelling *cancelling = ctx;
    (void)to;
    if (from >= SIZE_MAX / 2) {
        atomic_store(&cancelling->run, 1);
    } else if (atomic_load(&cancelling->run) != 0) {
        weft_scope_cancel(cancelling->scope, NULL);
    }
    return 0;
}

TaskTest(for, a_cancellation_stops_the_pieces_on_all_workers, 2)
{
    for (int i = 0; i < 20; i++) {
        WEFT_SCOPE(s);
        struct cancelling cancelling = {.scope = &s};
        wt_eq(weft_for(0, SIZE_MAX, cancel_when_joined, &cancelling), -ECANCELED);
        weft_scope_end(&s);
    }
    return 0;
}

static int fail_each(size_t from, size_t to, void *ctx)
{
    struct meeting *meeting = ctx;
    meet(from, to, meeting);
    return from == 0 ? weft_fail(-EIO, "left") : weft_fail(-EPIPE, "right");
}

TaskTest(for, of_two_failures_one_is_returned_and_never_with_the_others_record, 2)
{
    for (int i = 0; i < 200; i++) {
        struct meeting meeting = {0};
        int rc = weft_for(0, 2, fail_each, &meeting);
        wt_true(rc == -EIO || rc == -EPIPE);
        const weft_error *error = weft_last();
        wt_true(error == NULL || error->code == rc);
    }
    return 0;
}

static int give_positive(size_t from, size_t to, void *ctx)
{
    (void)from, (void)to, (void)ctx;
    return 7;
}

TaskTest(for, what_a_body_returns_above_0_is_success, 1)
{
    wt_eq(weft_for(0, 10, give_positive, NULL), 0);
    return 0;
}

Test(for, outside_a_task_a_failure_stops_it_too)
{
    struct failing failing = {.at = 5, .rc = -EIO};
    wt_eq(weft_for(0, MANY, fail_at, &failing, .grain_max = 1), -EIO);
    wt_eq(atomic_load(&failing.run), 5);
}

/* --- cancellation ----------------------------------------------------------------------------- */

static int cancel_at(size_t from, size_t to, void *ctx)
{
    struct cancelling *cancelling = ctx;
    for (size_t i = from; i < to; i++) {
        atomic_fetch_add(&cancelling->run, 1);
        if (i == cancelling->at) {
            weft_scope_cancel(cancelling->scope, NULL);
        }
    }
    return 0;
}

TaskTest(for, a_cancellation_is_noticed_before_the_next_piece, 1)
{
    WEFT_SCOPE(s);
    struct cancelling cancelling = {.scope = &s, .at = 42};
    wt_eq(weft_for(0, 1000, cancel_at, &cancelling, .grain_max = 10), -ECANCELED);
    wt_lt(atomic_load(&cancelling.run), 43 + 10);
    weft_scope_end(&s);
    return 0;
}

TaskTest(for, a_cancellation_after_the_last_index_changes_nothing, 1)
{
    WEFT_SCOPE(s);
    struct cancelling cancelling = {.scope = &s, .at = 999};
    wt_eq(weft_for(0, 1000, cancel_at, &cancelling), 0);
    weft_scope_end(&s);
    return 0;
}

TaskTest(for, in_a_cancelled_scope_no_body_is_called, 1)
{
    static struct marks marks;
    marks_open(&marks, 10);
    WEFT_SCOPE(s);
    weft_scope_cancel(&s, NULL);
    wt_eq(weft_for(0, 10, mark, &marks), -ECANCELED);
    wt_eq(weft_for(0, 0, mark, &marks), -ECANCELED);
    wt_eq(atomic_load(&marks.pieces), 0);
    weft_scope_end(&s);
    return 0;
}

static int compute(size_t from, size_t to, void *ctx)
{
    (void)ctx;
    for (size_t i = from; i < to; i++) {
        spin(1000);
    }
    return 0;
}

static int over_a_deadline(void *arg)
{
    (void)arg;
    int64_t before_ns = now_ns();
    wt_eq(weft_within(WEFT_MS(20), weft_for(0, SIZE_MAX, compute, NULL)), -ETIME);
    wt_ge(now_ns() - before_ns, WEFT_MS(20));
    wt_eq(weft_check(), 0);
    wt_eq(weft_within(0, weft_for(0, 10, compute, NULL)), -ETIME);
    return 0;
}

Test(for, a_deadline_stops_a_loop_that_only_computes)
{
    wt_eq(weft_run(over_a_deadline, NULL, .workers = 1), 0);
    wt_eq(weft_run(over_a_deadline, NULL, .workers = 2), 0);
}

static int wait_or_fail(size_t from, size_t to, void *ctx)
{
    (void)to;
    return from == 0 ? weft_fail(-EIO, "index 0") : weft_sem_acquire(ctx);
}

TaskTest(for, a_failure_wins_over_a_cancellation, 2)
{
    weft_sem never;
    weft_sem_init(&never, 0, 0);
    for (int i = 0; i < 20; i++) {
        wt_eq(weft_within(WEFT_MS(3), weft_for(0, 2, wait_or_fail, &never)), -EIO);
    }
    weft_sem_fini(&never);
    return 0;
}

static int wait_at(size_t from, size_t to, void *ctx)
{
    (void)from, (void)to;
    return weft_sem_acquire(ctx);
}

TaskTest(for, a_body_that_waits_is_reached_by_a_cancellation, 2)
{
    weft_sem never;
    weft_sem_init(&never, 0, 0);
    wt_eq(weft_within(WEFT_MS(3), weft_for(0, 10, wait_at, &never)), -ETIME);
    weft_sem_fini(&never);
    return 0;
}

/* --- bodies that wait ------------------------------------------------------------------------- */

static int mark_and_yield(size_t from, size_t to, void *ctx)
{
    if (from % 7 == 0) {
        weft_yield();
    }
    mark(from, to, ctx);
    if (from % 1001 == 0) {
        weft_sleep(WEFT_US(50));
    }
    return 0;
}

static int bodies_that_wait(void *arg)
{
    (void)arg;
    static struct marks marks;
    marks_open(&marks, MANY);
    marks.cost = spikes;
    wt_eq(weft_for(0, MANY, mark_and_yield, &marks), 0);
    each_once(&marks, "yielding");
    return 0;
}

Test(for, bodies_may_wait)
{
    for (int workers = 1; workers <= 8; workers *= 2) {
        wt_eq(weft_run(bodies_that_wait, NULL, .workers = workers), 0);
    }
}

static int add_one(void *arg)
{
    atomic_fetch_add((atomic_int *)arg, 1);
    return 0;
}

static int fork_and_spawn_inside(size_t from, size_t to, void *ctx)
{
    for (size_t i = from; i < to; i++) {
        weft_call_branch branch;
        weft_task task;
        weft_fork(&branch, add_one, ctx);
        weft_spawn(&task, add_one, ctx);
        wt_eq(weft_await(&task), 0);
        wt_eq(weft_join(&branch), 0);
    }
    return 0;
}

static int forks_inside(void *arg)
{
    (void)arg;
    atomic_int count = 0;
    wt_eq(weft_for(0, 5000, fork_and_spawn_inside, &count), 0);
    wt_eq(atomic_load(&count), 10000);
    return 0;
}

Test(for, bodies_may_fork_and_spawn)
{
    for (int workers = 1; workers <= 8; workers *= 2) {
        wt_eq(weft_run(forks_inside, NULL, .workers = workers), 0);
    }
}
