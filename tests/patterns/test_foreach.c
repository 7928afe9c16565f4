/* Loops over many items, bounded: the sentences E9 to E17 of the contract, and what arrays and
 * sources have in common. */
#include "pattern.h"
#include <weft/debug.h>
#include <weft/par.h>
#include <weft/sync.h>

#define MANY 1000

struct log {
    atomic_int calls;
    atomic_int inside, most_inside;
    atomic_int seen[MANY];
    int order[MANY]; /* one worker */
    int fail_at;     /* item; -1: none */
    weft_sem *gate;  /* bodies wait here; may be NULL */
    atomic_int waiting;
};

static void log_open(struct log *log)
{
    *log = (struct log){.fail_at = -1};
}

static void enter(struct log *log, int item)
{
    int call = atomic_fetch_add(&log->calls, 1);
    if (call < MANY) {
        log->order[call] = item;
    }
    atomic_fetch_add(&log->seen[item], 1);
    int inside = atomic_fetch_add(&log->inside, 1) + 1;
    int most = atomic_load(&log->most_inside);
    while (inside > most && !atomic_compare_exchange_weak(&log->most_inside, &most, inside)) {
    }
}

static int body(void *item, void *ctx)
{
    struct log *log = ctx;
    int n = *(int *)item;
    int rc = 0;
    enter(log, n);
    if (n == log->fail_at) {
        rc = -EIO;
    } else if (log->gate != NULL) {
        atomic_fetch_add(&log->waiting, 1);
        rc = weft_sem_acquire(log->gate);
    }
    atomic_fetch_sub(&log->inside, 1);
    return rc;
}

static int yielding_body(void *item, void *ctx)
{
    struct log *log = ctx;
    enter(log, *(int *)item);
    weft_yield();
    weft_yield();
    atomic_fetch_sub(&log->inside, 1);
    return 0;
}

static int first_numbers[MANY];

__attribute__((constructor)) static void fill_numbers(void)
{
    for (int i = 0; i < MANY; i++) {
        first_numbers[i] = i;
    }
}

static int *numbers(void)
{
    return first_numbers;
}

struct source {
    int next, end;
    int fail_at; /* -1: never */
    int items[MANY];
    atomic_int inside;
    int calls, done;
    bool yields;
};

static int next_number(void *arg, void **item)
{
    struct source *source = arg;
    wt_eq(atomic_fetch_add(&source->inside, 1), 0, "one slot at a time");
    wt_eq(source->done, 0);
    source->calls++;
    if (source->yields) {
        weft_yield();
    }
    int rc = 1;
    if (source->next == source->fail_at) {
        rc = -EBADMSG;
    } else if (source->next >= source->end) {
        rc = 0;
    } else {
        source->items[source->next] = source->next;
        *item = &source->items[source->next++];
    }
    atomic_fetch_sub(&source->inside, 1);
    return rc;
}

static void numbers_done(void *arg)
{
    ((struct source *)arg)->done++;
}

/* --- E9 --------------------------------------------------------------------------------------- */

TaskTest(foreach, no_items_is_0_and_no_body, 2)
{
    struct log log;
    log_open(&log);
    size_t failed = 99;
    wt_eq(weft_foreach(body, &log, .items = numbers(), .count = 0, .stride = sizeof(int),
                       .failed = &failed),
          0);
    wt_eq(weft_foreach(body, &log, .count = 0), 0);
    struct source source = {.fail_at = -1};
    wt_eq(
        weft_foreach(body, &log, .next = next_number, .source = &source, .next_done = numbers_done),
        0);
    wt_eq(source.done, 1);
    wt_eq(atomic_load(&log.calls), 0);
    wt_eq(failed, 0);
    return 0;
}

TaskTest(foreach, in_a_cancelled_scope_it_is_ecanceled_even_without_items, 1)
{
    struct log log;
    log_open(&log);
    struct source source = {.end = 10, .fail_at = -1};
    WEFT_SCOPE(s);
    weft_scope_cancel(&s, NULL);
    wt_eq(weft_foreach(body, &log, .count = 0), -ECANCELED);
    wt_eq(weft_foreach(body, &log, .items = numbers(), .count = 10, .stride = sizeof(int)),
          -ECANCELED);
    wt_eq(
        weft_foreach(body, &log, .next = next_number, .source = &source, .next_done = numbers_done),
        -ECANCELED);
    wt_eq(source.calls, 0);
    wt_eq(source.done, 1);
    wt_eq(atomic_load(&log.calls), 0);
    weft_scope_end(&s);
    return 0;
}

/* --- E10 -------------------------------------------------------------------------------------- */

static int most_at_once(int max, size_t count)
{
    struct log log;
    log_open(&log);
    wt_eq(weft_foreach(yielding_body, &log, .items = numbers(), .count = count,
                       .stride = sizeof(int), .max = max),
          0);
    wt_eq(atomic_load(&log.calls), count);
    return atomic_load(&log.most_inside);
}

TaskTest(foreach, max_bounds_how_many_bodies_run_at_once, 4)
{
    wt_eq(most_at_once(1, 100), 1);
    wt_le(most_at_once(3, 1000), 3);
    wt_gt(most_at_once(3, 1000), 1);
    return 0;
}

TaskTest(foreach, max_0_is_the_number_of_workers, 3)
{
    wt_le(most_at_once(0, 1000), 3);
    return 0;
}

struct full {
    struct log *log;
    weft_scope *scope;
    int waiting;
};

WEFT_TASK(cancel_when_full, struct full)
{
    struct full me = *arg;
    yield_until(&me.log->waiting, me.waiting);
    return weft_scope_cancel(me.scope, "as many as there may be");
}

TaskTest(foreach, max_bodies_really_run_at_once, 1)
{
    struct log log;
    log_open(&log);
    weft_sem gate;
    weft_sem_init(&gate, 0, 0);
    log.gate = &gate;
    WEFT_SCOPE(s, .timeout = WEFT_SEC(10));
    struct full full = {&log, &s, 10};
    weft_go(&s, cancel_when_full, &full);
    wt_eq(weft_foreach(body, &log, .items = numbers(), .count = 100, .stride = sizeof(int),
                       .max = 10),
          -ECANCELED);
    wt_eq(atomic_load(&log.waiting), 10);
    weft_scope_end(&s);
    weft_sem_fini(&gate);
    return 0;
}

struct releaser {
    struct log *log;
    weft_sem *gate;
    int waiting, permits;
};

/* Lets bodies through when `waiting` of them have come. */
WEFT_TASK(release_when_waiting, struct releaser)
{
    struct releaser me = *arg;
    yield_until(&me.log->waiting, me.waiting);
    weft_sem_release(me.gate, (uint32_t)me.permits);
    return 0;
}

TaskTest(foreach, never_more_bodies_than_items, 1)
{
    struct log log;
    log_open(&log);
    weft_stats before;
    weft_stats after;
    weft_sem gate;
    weft_sem_init(&gate, 0, 0);
    log.gate = &gate;
    weft_stats_get(weft_rt_current(), &before);
    WEFT_SCOPE(s);
    weft_go(&s, release_when_waiting, (&(struct releaser){&log, &gate, 3, 3}));
    wt_eq(
        weft_foreach(body, &log, .items = numbers(), .count = 3, .stride = sizeof(int), .max = 100),
        0);
    wt_eq(weft_scope_end(&s), 0);
    weft_stats_get(weft_rt_current(), &after);
    wt_eq(atomic_load(&log.most_inside), 3);
    wt_lt(after.runs - before.runs, 50, "97 slots too many were started");
    weft_sem_fini(&gate);
    return 0;
}

/* --- E11 -------------------------------------------------------------------------------------- */

TaskTest(foreach, items_are_taken_one_by_one_in_order, 1)
{
    struct log log;
    log_open(&log);
    wt_eq(weft_foreach(yielding_body, &log, .items = numbers(), .count = MANY,
                       .stride = sizeof(int), .max = 7),
          0);
    for (int i = 0; i < MANY; i++) {
        wt_eq(log.order[i], i);
    }
    return 0;
}

static int each_item_once(void *arg)
{
    static const size_t chunks[] = {0, 1, 7, 64, MANY - 1, MANY, 10 * MANY, SIZE_MAX};
    for (size_t i = 0; i < sizeof chunks / sizeof chunks[0]; i++) {
        struct log log;
        log_open(&log);
        wt_eq(weft_foreach(arg != NULL ? yielding_body : body, &log, .items = numbers(),
                           .count = MANY, .stride = sizeof(int), .max = 5, .chunk = chunks[i]),
              0);
        for (int item = 0; item < MANY; item++) {
            wt_eq(atomic_load(&log.seen[item]), 1, "item %d, chunk %zu", item, chunks[i]);
        }
    }
    return 0;
}

Test(foreach, each_item_is_run_once_whatever_the_chunk)
{
    for (int workers = 1; workers <= 8; workers *= 2) {
        wt_eq(weft_run(each_item_once, NULL, .workers = workers), 0);
        wt_eq(weft_run(each_item_once, numbers(), .workers = workers), 0);
    }
}

TaskTest(foreach, stride_0_means_an_array_of_pointers, 2)
{
    struct log log;
    log_open(&log);
    void *pointers[50];
    for (int i = 0; i < 50; i++) {
        pointers[i] = &numbers()[49 - i];
    }
    wt_eq(weft_foreach(body, &log, .items = pointers, .count = 50, .max = 1), 0);
    for (int i = 0; i < 50; i++) {
        wt_eq(log.order[i], 49 - i);
    }
    return 0;
}

/* --- E12 -------------------------------------------------------------------------------------- */

TaskTest(foreach, the_first_failure_stops_the_taking_cancels_bodies_and_is_returned, 1)
{
    struct log log;
    log_open(&log);
    weft_sem gate;
    weft_sem_init(&gate, 0, 0);
    log.gate = &gate;
    log.fail_at = 4;
    size_t failed = 0;
    wt_eq(weft_foreach(body, &log, .items = numbers(), .count = MANY, .stride = sizeof(int),
                       .max = 5, .failed = &failed),
          -EIO);
    wt_eq(atomic_load(&log.calls), 5, "0 to 3 wait, 4 fails, 5 is never taken");
    wt_eq(atomic_load(&log.inside), 0, "all bodies have ended");
    wt_eq(failed, 1, "those cut short are not failures");
    wt_eq(weft_check(), 0);
    weft_sem_fini(&gate);
    return 0;
}

/* --- E13, E14 --------------------------------------------------------------------------------- */

WEFT_TASK(cancel_when_waiting, struct releaser)
{
    struct releaser me = *arg;
    yield_until(&me.log->waiting, me.waiting);
    return -EPROTO; /* fails fast: cancels the scope that we share with the loop */
}

TaskTest(foreach, an_outer_cancellation_without_a_failure_is_ecanceled, 1)
{
    struct log log;
    log_open(&log);
    weft_sem gate;
    weft_sem_init(&gate, 0, 0);
    log.gate = &gate;
    size_t failed = 99;
    WEFT_SCOPE(s);
    weft_go(&s, cancel_when_waiting, (&(struct releaser){&log, &gate, 3, 0}));
    wt_eq(weft_foreach(body, &log, .items = numbers(), .count = MANY, .stride = sizeof(int),
                       .max = 3, .failed = &failed),
          -ECANCELED);
    wt_eq(failed, 0);
    wt_eq(atomic_load(&log.calls), 3);
    wt_eq(weft_scope_end(&s), -EPROTO);
    weft_sem_fini(&gate);
    return 0;
}

/* .NET drops the error here: its Complete() asks the token first. */
TaskTest(foreach, a_failure_wins_over_an_outer_cancellation, 1)
{
    struct log log;
    log_open(&log);
    weft_sem gate;
    weft_sem_init(&gate, 0, 0);
    log.gate = &gate;
    log.fail_at = 3;
    WEFT_SCOPE(s);
    weft_go(&s, cancel_when_waiting, (&(struct releaser){&log, &gate, 3, 0}));
    wt_eq(weft_foreach(body, &log, .items = numbers(), .count = MANY, .stride = sizeof(int),
                       .max = 4),
          -EIO);
    weft_scope_end(&s);
    weft_sem_fini(&gate);
    return 0;
}

static int cancel_in_the_last(void *item, void *ctx)
{
    if (*(int *)item == 9) {
        weft_scope_cancel(ctx, NULL);
    }
    return 0;
}

TaskTest(foreach, a_cancellation_after_the_last_item_changes_nothing, 1)
{
    WEFT_SCOPE(s);
    wt_eq(weft_foreach(cancel_in_the_last, &s, .items = numbers(), .count = 10,
                       .stride = sizeof(int), .max = 1),
          0);
    weft_scope_end(&s);
    return 0;
}

TaskTest(foreach, a_cancellation_before_the_last_item_is_ecanceled, 1)
{
    WEFT_SCOPE(s);
    wt_eq(weft_foreach(cancel_in_the_last, &s, .items = numbers(), .count = 11,
                       .stride = sizeof(int), .max = 1),
          -ECANCELED);
    weft_scope_end(&s);
    return 0;
}

/* --- E15 -------------------------------------------------------------------------------------- */

static int fail_odd(void *item, void *ctx)
{
    struct log *log = ctx;
    int n = *(int *)item;
    enter(log, n);
    atomic_fetch_sub(&log->inside, 1);
    return n % 2 == 0 ? 0 : -100 - n;
}

TaskTest(foreach, with_continue_all_items_run_and_failures_are_counted, 2)
{
    struct log log;
    log_open(&log);
    size_t failed = 0;
    int rc = weft_foreach(fail_odd, &log, .items = numbers(), .count = 100, .stride = sizeof(int),
                          .max = 4, .on_error = WEFT_CONTINUE, .failed = &failed);
    wt_lt(rc, -100);
    wt_eq(atomic_load(&log.calls), 100);
    wt_eq(failed, 50);
    rc = weft_foreach(fail_odd, &log, .items = numbers(), .count = 100, .stride = sizeof(int),
                      .max = 1, .on_error = WEFT_CONTINUE);
    wt_eq(rc, -101, "the first in time");
    return 0;
}

/* --- E16 -------------------------------------------------------------------------------------- */

static int from_a_source(void *arg)
{
    bool yields = arg != NULL;
    struct log log;
    log_open(&log);
    struct source source = {.end = MANY, .fail_at = -1, .yields = yields};
    wt_eq(weft_foreach(yielding_body, &log, .next = next_number, .source = &source,
                       .next_done = numbers_done, .max = 6),
          0);
    for (int i = 0; i < MANY; i++) {
        wt_eq(atomic_load(&log.seen[i]), 1);
    }
    wt_le(atomic_load(&log.most_inside), 6);
    wt_eq(source.done, 1);
    wt_eq(source.calls, MANY + 1, "never asked again after 0");
    return 0;
}

Test(foreach, a_source_is_asked_by_one_slot_at_a_time_and_done_once)
{
    for (int workers = 1; workers <= 8; workers *= 2) {
        wt_eq(weft_run(from_a_source, NULL, .workers = workers), 0);
        wt_eq(weft_run(from_a_source, numbers(), .workers = workers), 0);
    }
}

TaskTest(foreach, a_failure_of_the_source_is_the_loops_failure, 2)
{
    struct log log;
    log_open(&log);
    struct source source = {.end = MANY, .fail_at = 20};
    wt_eq(weft_foreach(yielding_body, &log, .next = next_number, .source = &source,
                       .next_done = numbers_done, .max = 4),
          -EBADMSG);
    wt_le(atomic_load(&log.calls), 20);
    wt_eq(atomic_load(&log.inside), 0);
    wt_eq(source.calls, 21);
    wt_eq(source.done, 1);
    return 0;
}

TaskTest(foreach, after_a_failed_body_a_source_is_done_once, 1)
{
    struct log log;
    log_open(&log);
    log.fail_at = 5;
    struct source source = {.end = MANY, .fail_at = -1};
    wt_eq(weft_foreach(body, &log, .next = next_number, .source = &source,
                       .next_done = numbers_done, .max = 1),
          -EIO);
    wt_eq(source.calls, 6);
    wt_eq(source.done, 1);
    return 0;
}

/* --- E17 -------------------------------------------------------------------------------------- */

static int on_the_caller(void *item, void *ctx)
{
    uintptr_t *stack = ctx;
    uintptr_t here = (uintptr_t)__builtin_frame_address(0);
    (void)item;
    wt_true(*stack == 0 || *stack == here, "on another stack");
    *stack = here;
    return 0;
}

TaskTest(foreach, max_1_runs_on_the_caller_in_order_and_spawns_nothing, 4)
{
    weft_stats before;
    weft_stats after;
    struct log log;
    log_open(&log);
    uintptr_t stack = 0;
    weft_stats_get(weft_rt_current(), &before);
    wt_eq(weft_foreach(on_the_caller, &stack, .items = numbers(), .count = 100,
                       .stride = sizeof(int), .max = 1),
          0);
    weft_stats_get(weft_rt_current(), &after);
    wt_eq(after.slab_chunks, before.slab_chunks);
    wt_eq(
        weft_foreach(body, &log, .items = numbers(), .count = 100, .stride = sizeof(int), .max = 1),
        0);
    for (int i = 0; i < 100; i++) {
        wt_eq(log.order[i], i);
    }
    return 0;
}

static int set_flag(void *arg)
{
    atomic_store((atomic_int *)arg, 1);
    return 0;
}

static int count_until_flag(void *item, void *ctx)
{
    struct log *log = ctx;
    (void)item;
    if (atomic_load(&log->waiting) == 0) {
        atomic_fetch_add(&log->calls, 1);
    }
    return 0;
}

TaskTest(foreach, a_loop_whose_bodies_never_wait_still_lets_others_run, 1)
{
    struct log log;
    log_open(&log);
    weft_task t;
    weft_spawn(&t, set_flag, &log.waiting);
    wt_eq(weft_foreach(count_until_flag, &log, .items = numbers(), .count = MANY,
                       .stride = sizeof(int), .max = 1),
          0);
    wt_lt(atomic_load(&log.calls), MANY, "the other task had its turn before the loop's end");
    return weft_await(&t);
}

/* --- options ---------------------------------------------------------------------------------- */

TaskTest(foreach, options_that_contradict_each_other_are_einval, 1)
{
    struct log log;
    log_open(&log);
    struct source source = {.end = 10, .fail_at = -1};
    wt_eq(
        weft_foreach(body, &log, .items = numbers(), .count = 3, .stride = sizeof(int), .max = -1),
        -EINVAL);
    wt_eq(weft_foreach(body, &log, .count = 3), -EINVAL);
    wt_eq(weft_foreach(body, &log, .items = numbers(), .count = 3, .next = next_number,
                       .source = &source),
          -EINVAL);
    wt_eq(atomic_load(&log.calls), 0);
    return 0;
}

Test(foreach, outside_a_task_it_is_eperm)
{
    struct log log;
    log_open(&log);
    wt_eq(weft_foreach(body, &log, .items = numbers(), .count = 3, .stride = sizeof(int)), -EPERM);
}

static int loop_in_loop(void *item, void *ctx)
{
    (void)item;
    return weft_foreach(yielding_body, ctx, .items = numbers(), .count = 20, .stride = sizeof(int),
                        .max = 3);
}

TaskTest(foreach, loops_nest, 2)
{
    struct log log;
    log_open(&log);
    wt_eq(weft_foreach(loop_in_loop, &log, .items = numbers(), .count = 20, .stride = sizeof(int),
                       .max = 4),
          0);
    wt_eq(atomic_load(&log.calls), 400);
    wt_le(atomic_load(&log.most_inside), 12);
    return 0;
}
