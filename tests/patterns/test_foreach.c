/* Loops over many items, bounded: the sentences E9 to E17 of the contract, and what arrays and
 * sources have in common. */
#include "pattern.h"
#include <stdio.h>
#include <weft/chan.h>
#include <weft/debug.h>
#include <weft/gen.h>
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

static int fail_odd_with_text(void *item, void *ctx)
{
    struct log *log = ctx;
    int n = *(int *)item;
    enter(log, n);
    atomic_fetch_sub(&log->inside, 1);
    return n % 2 == 0 ? 0 : weft_fail(-100 - n, "item %d", n);
}

TaskTest(foreach, with_collect_the_first_records_are_copied_out_in_order_of_time, 1)
{
    struct log log;
    log_open(&log);
    weft_error errors[6];
    size_t failed = 0;
    memset(errors, 0x55, sizeof errors);
    wt_eq(weft_foreach(fail_odd_with_text, &log, .items = numbers(), .count = 100,
                       .stride = sizeof(int), .on_error = WEFT_COLLECT, .failed = &failed,
                       .errors = errors),
          -101);
    wt_eq(failed, 50);
    wt_eq(atomic_load(&log.calls), 100);
    for (int i = 0; i < 4; i++) {
        char text[20];
        snprintf(text, sizeof text, "item %d", 2 * i + 1);
        wt_eq(errors[i].code, -101 - 2 * i);
        wt_str_eq(errors[i].text, text);
        wt_true(errors[i].cause == NULL && errors[i].others == NULL && errors[i].next == NULL);
    }
    wt_eq(errors[4].code, 0x55555555, "four by default");
    wt_eq(weft_last()->code, -101);
    wt_eq(weft_last()->total, 50);
    wt_eq(weft_foreach(fail_odd_with_text, &log, .items = numbers(), .count = 12,
                       .stride = sizeof(int), .on_error = WEFT_COLLECT, .failed = &failed,
                       .errors = errors, .errors_max = 6),
          -101);
    wt_eq(failed, 6);
    wt_eq(errors[5].code, -111);
    weft_error fewer[6] = {{0}};
    wt_eq(weft_foreach(fail_odd_with_text, &log, .items = numbers(), .count = 5,
                       .stride = sizeof(int), .on_error = WEFT_COLLECT, .failed = &failed,
                       .errors = fewer, .errors_max = 6),
          -101);
    wt_eq(failed, 2);
    wt_eq(fewer[1].code, -103);
    wt_eq(fewer[2].code, 0, "no more than there were");
    return 0;
}

static int collect_on_many_workers(void *arg)
{
    (void)arg;
    for (int round = 0; round < 20; round++) {
        struct log log;
        log_open(&log);
        weft_error errors[60] = {{0}};
        size_t failed = 0;
        int rc = weft_foreach(fail_odd_with_text, &log, .items = numbers(), .count = 100,
                              .stride = sizeof(int), .max = 7, .on_error = WEFT_COLLECT,
                              .failed = &failed, .errors = errors, .errors_max = 60);
        wt_eq(failed, 50);
        wt_eq(rc, errors[0].code);
        bool seen[100] = {false};
        for (int i = 0; i < 50; i++) {
            int item = -100 - errors[i].code;
            wt_true(item > 0 && item < 100 && item % 2 == 1 && !seen[item]);
            seen[item] = true;
        }
        wt_eq(errors[50].code, 0);
    }
    return 0;
}

Test(foreach, with_collect_no_failure_is_told_twice_or_dropped)
{
    for (int workers = 1; workers <= 8; workers *= 2) {
        wt_eq(weft_run(collect_on_many_workers, NULL, .workers = workers), 0);
    }
}

TaskTest(foreach, a_failure_without_a_text_is_collected_with_its_code, 1)
{
    struct log log;
    log_open(&log);
    weft_error errors[4];
    wt_eq(weft_foreach(fail_odd, &log, .items = numbers(), .count = 4, .stride = sizeof(int),
                       .on_error = WEFT_COLLECT, .errors = errors),
          -101);
    wt_eq(errors[0].code, -101);
    wt_eq(errors[1].code, -103);
    wt_str_eq(errors[1].text, "");
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

/* --- E16, channels and generators ------------------------------------------------------------- */

static int send_numbers(void *arg)
{
    weft_chan *chan = arg;
    for (int i = 0; i < MANY; i++) {
        int rc = weft_chan_send(chan, &i);
        if (rc < 0) {
            return rc;
        }
    }
    return weft_chan_close(chan, 0);
}

/* What was received is not overwritten while the body waits. */
static int body_that_keeps_its_item(void *item, void *ctx)
{
    struct log *log = ctx;
    int n = *(int *)item;
    enter(log, n);
    weft_yield();
    weft_yield();
    wt_eq(*(int *)item, n);
    atomic_fetch_sub(&log->inside, 1);
    return 0;
}

static int drain_a_channel(void *arg)
{
    (void)arg;
    struct log log;
    log_open(&log);
    weft_chan *chan;
    weft_task sender;
    wt_eq(weft_chan_new(&chan, sizeof(int), 5), 0);
    weft_spawn(&sender, send_numbers, chan);
    wt_eq(weft_foreach(body_that_keeps_its_item, &log, .chan = chan, .max = 6), 0);
    wt_eq(weft_await(&sender), 0);
    for (int i = 0; i < MANY; i++) {
        wt_eq(atomic_load(&log.seen[i]), 1);
    }
    wt_le(atomic_load(&log.most_inside), 6);
    weft_chan_free(chan);
    return 0;
}

Test(foreach, a_channel_is_a_source_until_it_is_closed)
{
    for (int workers = 1; workers <= 8; workers *= 2) {
        wt_eq(weft_run(drain_a_channel, NULL, .workers = workers), 0);
    }
}

struct closer {
    weft_chan *chan;
    struct log *log;
    int items;
};

/* When all items have been run, all slots wait for the next: with one worker they are where they
 * went after their last body. */
WEFT_TASK(close_with_code, struct closer)
{
    struct closer me = *arg;
    for (int i = 0; i < me.items; i++) {
        wt_eq(weft_chan_send(me.chan, &i), 0);
    }
    yield_until(&me.log->calls, me.items);
    while (atomic_load(&me.log->inside) != 0) { /* ends: bodies yield twice */
        weft_yield();
    }
    return weft_chan_close(me.chan, -EBADMSG);
}

TaskTest(foreach, the_code_that_a_channel_was_closed_with_is_the_loops_failure_once, 1)
{
    struct log log;
    log_open(&log);
    weft_chan *chan;
    weft_error errors[4] = {{0}};
    size_t failed = 99;
    wt_eq(weft_chan_new(&chan, sizeof(int), 20), 0);
    WEFT_SCOPE(s);
    struct closer closer = {chan, &log, 20};
    weft_go(&s, close_with_code, &closer);
    wt_eq(weft_foreach(yielding_body, &log, .chan = chan, .max = 5, .on_error = WEFT_COLLECT,
                       .errors = errors, .failed = &failed),
          -EBADMSG);
    wt_eq(weft_scope_end(&s), 0);
    wt_eq(atomic_load(&log.most_inside), 5, "there were five slots");
    wt_eq(failed, 0, "no body");
    wt_eq(errors[0].code, -EBADMSG);
    wt_eq(errors[1].code, 0, "each slot got the code, the loop counts it once");
    weft_chan_free(chan);
    return 0;
}

TaskTest(foreach, what_is_in_a_closed_channel_is_run_first, 2)
{
    struct log log;
    log_open(&log);
    weft_chan *chan;
    wt_eq(weft_chan_new(&chan, sizeof(int), 10), 0);
    for (int i = 0; i < 10; i++) {
        wt_eq(weft_chan_send(chan, &i), 0);
    }
    weft_chan_close(chan, -EBADMSG);
    wt_eq(weft_foreach(yielding_body, &log, .chan = chan, .max = 5, .on_error = WEFT_CONTINUE),
          -EBADMSG);
    wt_eq(atomic_load(&log.calls), 10);
    weft_chan_free(chan);
    return 0;
}

TaskTest(foreach, a_failed_body_ends_the_wait_of_the_others_for_a_channel, 1)
{
    struct log log;
    log_open(&log);
    weft_chan *chan;
    log.fail_at = 3;
    wt_eq(weft_chan_new(&chan, sizeof(int), 10), 0);
    for (int i = 0; i < 4; i++) {
        wt_eq(weft_chan_send(chan, &i), 0);
    }
    wt_eq(weft_foreach(body, &log, .chan = chan, .max = 3), -EIO);
    wt_eq(atomic_load(&log.calls), 4);
    wt_eq(weft_check(), 0);
    weft_chan_free(chan);
    return 0;
}

TaskTest(foreach, a_cancellation_ends_the_wait_for_a_channel, 2)
{
    struct log log;
    log_open(&log);
    weft_chan *chan;
    wt_eq(weft_chan_new(&chan, sizeof(int), 10), 0);
    wt_eq(weft_within(WEFT_MS(2), weft_foreach(body, &log, .chan = chan, .max = 3)), -ETIME);
    weft_chan_free(chan);
    return 0;
}

static int emit_numbers(void *arg)
{
    int *end = arg; /* below 0: fails there */
    for (int i = 0; i < (*end < 0 ? -*end : *end); i++) {
        int rc = weft_emit(&i);
        if (rc < 0) {
            return rc;
        }
        if (i % 5 == 0) {
            weft_yield();
        }
    }
    return *end < 0 ? weft_fail(-EBADMSG, "after %d items", -*end) : 0;
}

static int drain_a_generator(void *arg)
{
    (void)arg;
    struct log log;
    log_open(&log);
    weft_gen *gen;
    int end = MANY;
    wt_eq(weft_gen_new(&gen, emit_numbers, &end, sizeof(int)), 0);
    wt_eq(weft_foreach(body_that_keeps_its_item, &log, .gen = gen, .max = 6), 0);
    for (int i = 0; i < MANY; i++) {
        wt_eq(atomic_load(&log.seen[i]), 1);
    }
    wt_le(atomic_load(&log.most_inside), 6);
    return weft_gen_close(gen);
}

Test(foreach, a_generator_is_a_source_until_it_ends)
{
    for (int workers = 1; workers <= 8; workers *= 2) {
        wt_eq(weft_run(drain_a_generator, NULL, .workers = workers), 0);
    }
}

TaskTest(foreach, a_failure_of_the_generator_is_the_loops_failure_with_its_record, 2)
{
    struct log log;
    log_open(&log);
    weft_gen *gen;
    int end = -20;
    wt_eq(weft_gen_new(&gen, emit_numbers, &end, sizeof(int)), 0);
    wt_eq(weft_foreach(yielding_body, &log, .gen = gen, .max = 4), -EBADMSG);
    wt_eq(weft_last()->code, -EBADMSG);
    wt_str_eq(weft_last()->text, "after 20 items");
    wt_le(atomic_load(&log.calls), 20);
    wt_eq(weft_gen_close(gen), -EBADMSG);
    return 0;
}

static int emit_for_ever(void *arg)
{
    (void)arg;
    int rc = 0;
    for (int i = 0; rc == 0; i = (i + 1) % MANY) {
        rc = weft_emit(&i);
        if (i % 5 == 0) {
            weft_yield();
        }
    }
    return rc;
}

/* Nothing but the failure ends the loop, nor but the closing the generator. */
TaskTest(foreach, after_a_failed_body_a_generator_can_be_closed, 2)
{
    struct log log;
    log_open(&log);
    log.fail_at = 10;
    weft_gen *gen;
    wt_eq(weft_gen_new(&gen, emit_for_ever, NULL, sizeof(int)), 0);
    wt_eq(weft_foreach(body, &log, .gen = gen, .max = 4), -EIO);
    weft_gen_close(gen);
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

/* --- counting --------------------------------------------------------------------------------- */

static int body_of_an_index(void *item, void *ctx)
{
    struct log *log = ctx;
    enter(log, (int)weft_index(item));
    weft_yield();
    atomic_fetch_sub(&log->inside, 1);
    return 0;
}

static int count_alone(void *arg)
{
    (void)arg;
    for (size_t chunk = 0; chunk < 30; chunk += 7) {
        struct log log;
        log_open(&log);
        wt_eq(weft_foreach(body_of_an_index, &log, .count = MANY, .max = 5, .chunk = chunk), 0);
        for (int i = 0; i < MANY; i++) {
            wt_eq(atomic_load(&log.seen[i]), 1);
        }
    }
    return 0;
}

Test(foreach, a_count_alone_gives_the_indices)
{
    for (int workers = 1; workers <= 8; workers *= 2) {
        wt_eq(weft_run(count_alone, NULL, .workers = workers), 0);
    }
}

/* --- a state for each slot -------------------------------------------------------------------- */

struct service {
    atomic_int opened, closed, items;
    atomic_int open_fails_after; /* so many */
    int body_fails_at;           /* item; -1: none */
    weft_sem *gate;              /* bodies wait here; may be NULL */
};

/* As a connection that only one may use at a time. */
struct connection {
    struct service *service;
    atomic_int users;
    atomic_int greeted;
    weft_task helper;
};

static int open_connection(void **local, void *ctx)
{
    struct service *service = ctx;
    struct connection *connection = *local;
    wt_eq(atomic_load(&connection->greeted), 0, "zeroed");
    if (atomic_fetch_sub(&service->open_fails_after, 1) <= 0) {
        return weft_fail(-ECONNREFUSED, "too many connections");
    }
    weft_yield();
    atomic_fetch_add(&service->opened, 1);
    connection->service = service;
    weft_spawn(&connection->helper, set_flag, &connection->greeted);
    return 0;
}

static void close_connection(void *local, void *ctx)
{
    struct service *service = ctx;
    struct connection *connection = local;
    wt_true(connection->service == service);
    wt_eq(atomic_load(&connection->users), 0);
    weft_await(&connection->helper);
    wt_eq(atomic_load(&connection->greeted), 1);
    atomic_fetch_add(&service->closed, 1);
}

static int use_connection(void *item, void *ctx)
{
    struct connection *connection = ctx;
    struct service *service = connection->service;
    int rc = 0;
    wt_eq(atomic_fetch_add(&connection->users, 1), 0, "two bodies share a slot's state");
    atomic_fetch_add(&service->items, 1);
    if ((int)weft_index(item) == service->body_fails_at) {
        rc = -EIO;
    } else if (service->gate != NULL) {
        rc = weft_sem_acquire(service->gate);
    } else {
        weft_yield();
    }
    atomic_fetch_sub(&connection->users, 1);
    return rc;
}

static void service_open(struct service *service)
{
    *service = (struct service){.body_fails_at = -1, .open_fails_after = 1000};
}

#define WITH_CONNECTIONS                                                   \
    .slot_bytes = sizeof(struct connection), .slot_open = open_connection, \
    .slot_close = close_connection

static int slots_with_state(void *arg)
{
    (void)arg;
    struct service service;
    service_open(&service);
    wt_eq(weft_foreach(use_connection, &service, .count = MANY, .max = 5, WITH_CONNECTIONS), 0);
    wt_eq(atomic_load(&service.items), MANY);
    wt_ge(atomic_load(&service.opened), 1);
    wt_le(atomic_load(&service.opened), 5);
    wt_eq(atomic_load(&service.closed), atomic_load(&service.opened));
    return 0;
}

Test(foreach, each_slot_opens_its_own_state_and_no_two_bodies_share_one)
{
    for (int workers = 1; workers <= 8; workers *= 2) {
        wt_eq(weft_run(slots_with_state, NULL, .workers = workers), 0);
    }
}

/* E9 */
TaskTest(foreach, without_items_no_slot_is_opened, 1)
{
    struct service service;
    service_open(&service);
    wt_eq(weft_foreach(use_connection, &service, .count = 0, WITH_CONNECTIONS), 0);
    wt_eq(atomic_load(&service.opened), 0);
    return 0;
}

TaskTest(foreach, if_the_first_slot_cannot_be_opened_that_is_the_loops_failure, 2)
{
    struct service service;
    service_open(&service);
    atomic_store(&service.open_fails_after, 0);
    struct source source = {.end = 10, .fail_at = -1};
    size_t failed = 99;
    wt_eq(weft_foreach(use_connection, &service, .next = next_number, .source = &source,
                       .next_done = numbers_done, .max = 5, .failed = &failed, WITH_CONNECTIONS),
          -ECONNREFUSED);
    wt_str_eq(weft_last()->text, "too many connections");
    wt_eq(source.calls, 0);
    wt_eq(source.done, 1);
    wt_eq(failed, 0);
    wt_eq(atomic_load(&service.items), 0);
    wt_eq(atomic_load(&service.closed), 0);
    return 0;
}

TaskTest(foreach, if_a_later_slot_cannot_be_opened_the_others_do_the_work, 1)
{
    struct service service;
    service_open(&service);
    atomic_store(&service.open_fails_after, 2);
    wt_eq(weft_foreach(use_connection, &service, .count = MANY, .max = 10, WITH_CONNECTIONS), 0);
    wt_eq(atomic_load(&service.items), MANY);
    wt_eq(atomic_load(&service.opened), 2);
    wt_eq(atomic_load(&service.closed), 2);
    wt_eq(atomic_load(&service.open_fails_after), -1, "the fourth was not tried");
    return 0;
}

TaskTest(foreach, slots_are_closed_after_a_failure_and_after_a_cancellation, 1)
{
    struct service service;
    weft_sem never;
    weft_sem_init(&never, 0, 0);
    service_open(&service);
    service.gate = &never;
    service.body_fails_at = 3;
    wt_eq(weft_foreach(use_connection, &service, .count = MANY, .max = 4, WITH_CONNECTIONS), -EIO);
    wt_eq(atomic_load(&service.opened), 4);
    wt_eq(atomic_load(&service.closed), 4);
    service.body_fails_at = -1;
    wt_eq(weft_within(WEFT_MS(2), weft_foreach(use_connection, &service, .count = MANY, .max = 4,
                                               WITH_CONNECTIONS)),
          -ETIME);
    wt_gt(atomic_load(&service.opened), 4);
    wt_eq(atomic_load(&service.closed), atomic_load(&service.opened));
    weft_sem_fini(&never);
    return 0;
}

static int add_to_own_sum(void *item, void *ctx)
{
    size_t *sum = ctx;
    *sum += weft_index(item);
    return 0;
}

TaskTest(foreach, a_slot_may_have_zeroed_bytes_without_being_opened, 1)
{
    wt_eq(weft_foreach(add_to_own_sum, NULL, .count = 100, .slot_bytes = sizeof(size_t)), 0);
    return 0;
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
    wt_eq(weft_foreach(body, &log, .items = NULL, .count = 3, .stride = sizeof(int)), -EINVAL,
          "an array that is not there");
    weft_error errors[4];
    weft_chan *chan;
    wt_eq(weft_chan_new(&chan, 4, 4), 0);
    wt_eq(weft_foreach(body, &log, .count = 3, .on_error = WEFT_COLLECT), -EINVAL);
    wt_eq(weft_foreach(body, &log, .count = 3, .errors = errors), -EINVAL);
    wt_eq(weft_foreach(body, &log, .count = 3, .slot_bytes = WEFT_SLOT_BYTES_MAX + 1), -EINVAL);
    wt_eq(weft_foreach(body, &log, .count = 3, .slot_close = close_connection), -EINVAL);
    wt_eq(weft_foreach(body, &log, .chan = chan, .items = numbers(), .count = 3), -EINVAL);
    weft_chan_free(chan);
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
