/* Once-only values: what is there costs nothing, what is not is consumed once, wherever and however
 * late the second attempt comes. */
#include "pattern.h"
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <weft/debug.h>
#include <weft/stackless.h>

static atomic_int misuses;

static void count_misuse(const char *what)
{
    (void)what;
    atomic_fetch_add(&misuses, 1);
}

static void tolerate(void)
{
    weft_on_misuse(count_misuse);
}

static uint64_t dropped(void)
{
    weft_stats stats;
    weft_stats_get(weft_rt_current(), &stats);
    return stats.values_dropped;
}

/* --- there already ---------------------------------------------------------------------------- */

Test(val, a_result_that_is_there_needs_no_runtime)
{
    weft_val val = weft_val_done(42);
    wt_eq(weft_val_ready(val), 1);
    wt_eq(weft_val_await(val), 42);
    wt_eq(weft_val_await_new(weft_val_done(-EIO)), -EIO);
}

/* The cache of the article: a hit has no asynchronous cost. */
static int cached[8] = {7, 0, 9};

static weft_val find_v(int id, weft_sem *slow)
{
    return cached[id] != 0 ? weft_val_done(cached[id]) : weft_sem_acquire_v(slow);
}

TaskTest(val, a_cache_hit_is_a_value_and_a_miss_is_a_pending_one, 1)
{
    weft_sem slow;
    weft_sem_init(&slow, 0, 0);
    weft_val hit = find_v(0, &slow);
    weft_val miss = find_v(1, &slow);
    wt_eq(weft_val_ready(hit), 1);
    wt_eq(weft_val_ready(miss), 0);
    wt_eq(weft_val_await(hit), 7);
    wt_eq(weft_sem_release(&slow, 1), 0);
    wt_eq(weft_val_ready(miss), 1);
    wt_eq(weft_val_await(miss), 0);
    weft_sem_fini(&slow);
    return 0;
}

TaskTest(val, a_failure_carries_its_text, 1)
{
    weft_val val = weft_val_fail(-EIO, "row %d", 7);
    wt_eq(weft_val_await(val), -EIO);
    wt_str_eq(weft_last()->text, "row 7");
    return 0;
}

TaskTest(val, an_operation_that_need_not_wait_is_there_at_once, 1)
{
    weft_sem sem;
    weft_sem_init(&sem, 1, 0);
    weft_val val = weft_sem_acquire_v(&sem);
    wt_eq(weft_val_ready(val), 1);
    wt_eq(weft_val_await(val), 0);
    wt_eq(weft_sem_count(&sem), 0);
    weft_sem_fini(&sem);
    return 0;
}

/* --- consumed once ---------------------------------------------------------------------------- */

/* E18 */
TaskTest(val, consumed_twice_is_stale_and_misuse, 1, .init = tolerate)
{
    weft_sem sem;
    weft_sem_init(&sem, 0, 0);
    weft_val done = weft_val_done(1);
    wt_eq(weft_val_await(done), 1);
    wt_eq(weft_val_await(done), -ESTALE);
    weft_val pending = weft_sem_acquire_v(&sem);
    weft_val copy = pending;
    weft_sem_release(&sem, 1);
    wt_eq(weft_val_await(pending), 0);
    wt_eq(weft_val_await(pending), -ESTALE);
    wt_eq(weft_val_await(copy), -ESTALE);
    wt_eq(weft_val_ready(copy), -ESTALE);
    wt_eq(atomic_load(&misuses), 3);
    weft_val never = {0};
    wt_eq(weft_val_await(never), -ESTALE);
    weft_sem_fini(&sem);
    return 0;
}

static void die_of_stale(void)
{
    weft_val val = weft_val_done(1);
    (void)weft_val_await(val);
    (void)weft_val_await(val);
}

Test(val, consumed_twice_aborts_unless_a_hook_says_otherwise, .signal = SIGABRT)
{
    die_of_stale();
}

/* E18: .NET's token of 16 bits comes round; ours does not. */
TaskTest(val, a_stale_copy_stays_stale_after_more_than_2_to_the_16_reuses, 1, .init = tolerate)
{
    enum { REUSES = (1 << 16) + 100 };
    weft_sem sem;
    weft_sem_init(&sem, 0, 0);
    weft_val first = weft_sem_acquire_v(&sem);
    weft_val stale = first;
    weft_sem_release(&sem, 1);
    wt_eq(weft_val_await(first), 0);
    int same_slot = 0;
    for (int i = 0; i < REUSES; i++) {
        weft_val val = weft_sem_acquire_v(&sem);
        same_slot += val.source_ == stale.source_;
        weft_val again = stale;
        wt_eq(weft_val_await(again), -ESTALE, "after %d reuses", i);
        wt_eq(weft_val_ready(stale), -ESTALE);
        weft_sem_release(&sem, 1);
        wt_eq(weft_val_await(val), 0);
    }
    wt_eq(same_slot, REUSES);
    weft_sem_fini(&sem);
    return 0;
}

struct handed {
    weft_val val;
    weft_sem sem;
    atomic_int at;
    int64_t result;
};

static int consume(void *arg)
{
    struct handed *handed = arg;
    atomic_fetch_add(&handed->at, 1);
    handed->result = weft_val_await(handed->val);
    return 0;
}

/* E19 */
TaskTest(val, a_second_waiter_while_one_waits_is_refused, 1, .init = tolerate)
{
    struct handed handed = {0};
    weft_sem_init(&handed.sem, 0, 0);
    handed.val = weft_sem_acquire_v(&handed.sem);
    weft_val copy = handed.val;
    weft_task t;
    weft_spawn(&t, consume, &handed);
    yield_until(&handed.at, 1);
    wt_eq(weft_val_await(copy), -EBUSY);
    wt_eq(weft_val_ready(copy), -EBUSY);
    wt_eq(weft_val_drop(copy), -EBUSY);
    weft_sem_release(&handed.sem, 1);
    wt_eq(weft_await(&t), 0);
    wt_eq(handed.result, 0);
    wt_eq(weft_val_await(copy), -ESTALE);
    weft_sem_fini(&handed.sem);
    return 0;
}

/* E20 */
TaskTest(val, another_task_than_the_one_that_began_it_may_consume_it, 2)
{
    for (int i = 0; i < 1000; i++) {
        struct handed handed = {.result = -1};
        weft_sem_init(&handed.sem, 0, 0);
        handed.val = weft_sem_acquire_v(&handed.sem);
        weft_task t;
        weft_spawn(&t, consume, &handed);
        weft_sem_release(&handed.sem, 1);
        wt_eq(weft_await(&t), 0);
        wt_eq(handed.result, 0);
        weft_sem_fini(&handed.sem);
    }
    return 0;
}

static int begin_in_a_task(void *arg)
{
    struct handed *handed = arg;
    handed->val = weft_sem_acquire_v(&handed->sem);
    return 0;
}

/* E20 */
TaskTest(val, outlives_the_task_that_began_it_inside_the_scope, 1)
{
    struct handed handed = {0};
    weft_sem_init(&handed.sem, 0, 0);
    weft_task t;
    weft_spawn(&t, begin_in_a_task, &handed);
    wt_eq(weft_await(&t), 0);
    weft_sem_release(&handed.sem, 1);
    wt_eq(weft_val_await(handed.val), 0);
    weft_sem_fini(&handed.sem);
    return 0;
}

/* --- dropped, forgotten, cancelled ------------------------------------------------------------ */

/* E21 */
TaskTest(val, a_dropped_pending_one_completes_into_the_pool_and_is_counted, 1)
{
    weft_sem sem;
    weft_sem_init(&sem, 0, 0);
    uint64_t before = dropped();
    weft_val val = weft_sem_acquire_v(&sem);
    uintptr_t slot = val.source_;
    wt_eq(weft_val_drop(val), 0);
    wt_eq(dropped(), before + 1);
    weft_val next = weft_sem_acquire_v(&sem);
    wt_eq(next.source_, slot);
    weft_sem_release(&sem, 1); /* not to the one that was dropped */
    wt_eq(weft_val_await(next), 0);
    weft_sem_fini(&sem);
    return 0;
}

TaskTest(val, a_permit_that_comes_with_a_dropped_value_goes_back, 1)
{
    weft_sem sem;
    weft_sem_init(&sem, 0, 0);
    weft_val val = weft_sem_acquire_v(&sem);
    weft_sem_release(&sem, 1);
    wt_eq(weft_sem_count(&sem), 0);
    wt_eq(weft_val_drop(val), 0);
    wt_eq(weft_sem_count(&sem), 1);
    weft_sem_fini(&sem);
    return 0;
}

static char report[512];

static void keep_report(const char *what)
{
    atomic_fetch_add(&misuses, 1);
    strncpy(report, what, sizeof report - 1);
}

static void keep_reports(void)
{
    weft_on_misuse(keep_report);
}

TaskTest(val, one_that_its_scope_never_sees_consumed_is_reported_once_with_its_place, 1,
         .init = keep_reports)
{
    weft_sem sem;
    weft_sem_init(&sem, 0, 0);
    uint64_t before = dropped();
    WEFT_SCOPE(s);
    weft_val val = weft_sem_acquire_v(&sem);
    int line = __LINE__ - 1;
    wt_eq(weft_scope_end(&s), 0);
    wt_eq(atomic_load(&misuses), 1);
    char place[64];
    snprintf(place, sizeof place, "test_val.c:%d", line);
    wt_true(strstr(report, place) != NULL, "%s", report);
    wt_eq(dropped(), before + 1);
    wt_eq(weft_val_ready(val), -ESTALE);
    weft_sem_release(&sem, 1);
    wt_eq(weft_sem_count(&sem), 1);
    weft_sem_fini(&sem);
    return 0;
}

static int forget(void *arg)
{
    weft_val val = weft_sem_acquire_v(arg);
    weft_val sleep = weft_sleep_v(WEFT_SEC(3600));
    (void)val;
    (void)sleep;
    return 0;
}

Test(val, what_the_root_task_forgets_is_reported_when_the_runtime_stops, .init = keep_reports)
{
    weft_sem sem;
    weft_sem_init(&sem, 0, 0);
    wt_eq(weft_run(forget, &sem, .workers = 2), 0);
    wt_eq(atomic_load(&misuses), 2);
    weft_sem_fini(&sem);
}

WEFT_TASK(fails_with_a_text, int)
{
    return weft_fail(-EIO, "text %d", *arg);
}

static int forget_a_failure(void *arg)
{
    int number = 7;
    weft_val val = weft_task_v(fails_with_a_text, &number);
    (void)arg;
    while (weft_val_ready(val) == 0) { /* ends: the function ends */
        weft_yield();
    }
    return 0;
}

Test(val, so_is_a_failure_with_a_record_that_the_root_task_forgets, .init = keep_reports)
{
    wt_eq(weft_run(forget_a_failure, NULL, .workers = 1), 0);
    wt_eq(atomic_load(&misuses), 1);
}

static int fails(void *arg)
{
    (void)arg;
    return weft_fail(-EIO, "of the task");
}

TaskTest(val, a_dropped_one_leaves_no_record_and_its_task_to_be_awaited, 1)
{
    (void)weft_fail(-EINVAL, "my own");
    weft_task t;
    wt_eq(weft_spawn(&t, fails, NULL), 0);
    weft_val val = weft_await_v(&t);
    weft_yield();
    wt_eq(weft_val_ready(val), 1);
    wt_eq(weft_val_drop(val), 0);
    wt_eq(weft_last()->code, -EINVAL);
    wt_eq(weft_await(&t), -EIO);
    wt_eq(weft_last()->code, -EIO);
    return 0;
}

TaskTest(val, cancelling_the_scope_cancels_what_was_begun_in_it, 1)
{
    weft_sem sem;
    weft_sem_init(&sem, 0, 0);
    WEFT_SCOPE(s);
    weft_val val = weft_sem_acquire_v(&sem);
    weft_val sleep = weft_sleep_v(WEFT_SEC(3600));
    weft_scope_cancel(&s, "test");
    wt_eq(weft_val_await(val), -ECANCELED);
    wt_eq(weft_val_await(sleep), -ECANCELED);
    wt_eq(weft_val_await_new(weft_sem_acquire_v(&sem)), -ECANCELED); /* E1: nothing is begun */
    weft_scope_end(&s);
    wt_eq(weft_sem_release(&sem, 1), 0);
    wt_eq(weft_sem_count(&sem), 1);
    weft_sem_fini(&sem);
    return 0;
}

TaskTest(val, a_result_that_came_before_the_cancellation_is_kept, 1)
{
    weft_sem sem;
    weft_sem_init(&sem, 0, 0);
    WEFT_SCOPE(s);
    weft_val val = weft_sem_acquire_v(&sem);
    weft_sem_release(&sem, 1);
    weft_scope_cancel(&s, "test");
    wt_eq(weft_val_await(val), 0);
    weft_scope_end(&s);
    weft_sem_fini(&sem);
    return 0;
}

TaskTest(val, while_it_is_awaited_it_belongs_to_the_awaiting_scope, 1)
{
    weft_sem sem;
    weft_sem_init(&sem, 0, 0);
    weft_val val = weft_sem_acquire_v(&sem);
    wt_eq(weft_within(WEFT_MS(1), weft_val_await(val)), -ETIME);
    weft_sem_fini(&sem);
    return 0;
}

/* E2 */
TaskTest(val, with_a_deadline_of_0_it_is_tried_once, 1)
{
    weft_sem sem;
    weft_sem_init(&sem, 1, 0);
    wt_eq(weft_within(0, weft_val_await_new(weft_sem_acquire_v(&sem))), 0);
    wt_eq(weft_within(0, weft_val_await_new(weft_sem_acquire_v(&sem))), -ETIME);
    weft_sem_fini(&sem);
    return 0;
}

/* --- several at once -------------------------------------------------------------------------- */

TaskTest(val, operations_that_were_begun_together_run_together, 1)
{
    enum { VALS = 500 }; /* one after the other they would take 10 s */
    int64_t before_ns = now_ns();
    static weft_val vals[VALS];
    for (int i = 0; i < VALS; i++) {
        vals[i] = weft_sleep_v(WEFT_MS(20));
    }
    for (int i = 0; i < VALS; i++) {
        wt_eq(weft_val_await(vals[i]), 0);
    }
    wt_ge(now_ns() - before_ns, WEFT_MS(20));
    wt_lt(now_ns() - before_ns, VALS * WEFT_MS(20));
    return 0;
}

TaskTest(val, a_channel_hands_items_to_values, 1)
{
    weft_chan *chan;
    wt_eq(weft_chan_new(&chan, sizeof(int), 1), 0);
    int got = 0;
    weft_val receive = weft_chan_recv_v(chan, &got);
    wt_eq(weft_val_await_new(weft_chan_send_v(chan, &(int){5})), 0);
    wt_eq(weft_val_await(receive), 1);
    wt_eq(got, 5);
    wt_eq(weft_val_await_new(weft_chan_send_v(chan, &(int){6})), 0);
    int seven = 7;
    weft_val full = weft_chan_send_v(chan, &seven);
    wt_eq(weft_val_ready(full), 0);
    wt_eq(weft_val_drop(full), 0); /* E28: not in the channel */
    wt_eq(weft_chan_close(chan, 0), 0);
    wt_eq(weft_val_await_new(weft_chan_recv_v(chan, &got)), 1);
    wt_eq(got, 6);
    wt_eq(weft_val_await_new(weft_chan_recv_v(chan, &got)), 0);
    weft_chan_free(chan);
    return 0;
}

/* --- completed by hand ------------------------------------------------------------------------ */

static void *answer(void *arg)
{
    weft_promise *promise = arg;
    wt_eq(weft_promise_set(promise, 42), 0);
    return NULL;
}

TaskTest(val, a_foreign_thread_completes_a_promise, 2)
{
    for (int i = 0; i < 200; i++) {
        weft_promise promise;
        weft_val val;
        wt_eq(weft_promise_new(&promise, &val), 0);
        pthread_t thread;
        wt_eq(pthread_create(&thread, NULL, answer, &promise), 0);
        wt_eq(weft_val_await(val), 42);
        pthread_join(thread, NULL);
        wt_eq(weft_promise_set(&promise, 1), -ESTALE);
    }
    return 0;
}

TaskTest(val, a_source_is_completed_once, 1)
{
    weft_promise promise;
    weft_val val;
    wt_eq(weft_promise_new(&promise, &val), 0);
    wt_eq(weft_val_ready(val), 0);
    wt_eq(weft_promise_set(&promise, 1), 0);
    wt_eq(weft_promise_set(&promise, 2), -EALREADY);
    wt_eq(weft_val_await(val), 1);
    wt_eq(weft_promise_set(&promise, 3), -ESTALE);
    return 0;
}

TaskTest(val, a_source_learns_that_its_value_was_cancelled_or_dropped, 1)
{
    weft_promise promise;
    weft_val val;
    WEFT_SCOPE(s);
    wt_eq(weft_promise_new(&promise, &val), 0);
    weft_scope_cancel(&s, "test");
    wt_eq(weft_promise_set(&promise, 1), -ECANCELED);
    wt_eq(weft_val_await(val), -ECANCELED);
    weft_scope_end(&s);
    wt_eq(weft_promise_new(&promise, &val), 0);
    wt_eq(weft_val_drop(val), 0);
    wt_eq(weft_promise_set(&promise, 1), -ESTALE);
    return 0;
}

static weft_promise *_Atomic handed;
static atomic_int over;

static void *set_what_is_handed(void *arg)
{
    (void)arg;
    while (!atomic_load(&over)) { /* ends: the test is over */
        weft_promise *promise = atomic_exchange(&handed, NULL);
        if (promise != NULL) {
            wt_eq(weft_promise_set(promise, 42), 0);
        }
    }
    return NULL;
}

static int wait_once(void *arg)
{
    static weft_promise promise;
    (void)arg;
    weft_val val;
    wt_eq(weft_promise_new(&promise, &val), 0);
    atomic_store(&handed, &promise);
    while (weft_val_ready(val) == 0) { /* ends: the thread sets it */
    }
    return (int)weft_val_await(val);
}

Test(val, the_runtime_may_end_as_soon_as_a_foreign_thread_has_completed_its_last_promise)
{
    pthread_t thread;
    wt_eq(pthread_create(&thread, NULL, set_what_is_handed, NULL), 0);
    for (int i = 0; i < 300; i++) {
        wt_eq(weft_run(wait_once, NULL, .workers = 1), 42);
    }
    atomic_store(&over, 1);
    pthread_join(thread, NULL);
}

Test(val, a_pending_one_cannot_be_made_outside_of_a_task)
{
    weft_sem sem;
    weft_sem_init(&sem, 0, 0);
    wt_eq(weft_val_await_new(weft_sem_acquire_v(&sem)), -EPERM);
    weft_promise promise;
    weft_val val;
    wt_eq(weft_promise_new(&promise, &val), -EPERM);
    wt_eq(weft_promise_set(&promise, 1), -ESTALE);
}
