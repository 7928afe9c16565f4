/* The tasks of a scope, one by one as they end. */
#include "pattern.h"
#include <weft/debug.h>
#include <weft/sync.h>

struct wait {
    weft_sem *sem;
    int rc;
    int written; /* by the task, into its own copy */
};

WEFT_TASK(wait_and_return, struct wait)
{
    int rc = weft_sem_acquire(arg->sem);
    arg->written = 10 * arg->rc;
    return rc < 0 ? rc : arg->rc;
}

WEFT_TASK(return_it, int)
{
    return *arg;
}

WEFT_TASK(fail_with_number, int)
{
    return weft_fail(*arg, "number %d", *arg);
}

/* Each task is let go by itself, in an order of its own. */
static int in_order_of_ends(void *arg)
{
    (void)arg;
    static const int order[5] = {3, 0, 4, 1, 2};
    weft_sem sems[5];
    weft_done done;
    WEFT_SCOPE(s, .each = 5);
    for (int i = 0; i < 5; i++) {
        weft_sem_init(&sems[i], 0, 0);
        wt_eq(weft_go(&s, wait_and_return, &(struct wait){&sems[i], i, 0}), 0);
    }
    for (int i = 0; i < 5; i++) {
        weft_sem_release(&sems[order[i]], 1);
        wt_eq(weft_scope_next(&s, &done), 1);
        wt_eq(done.rc, order[i]);
        wt_eq(((struct wait *)done.arg)->written, 10 * order[i]);
        wt_true(done.error == NULL);
    }
    wt_eq(weft_scope_next(&s, &done), 0);
    wt_eq(weft_scope_next(&s, &done), 0);
    wt_eq(weft_scope_end(&s), 0);
    wt_eq(weft_scope_next(&s, &done), 0);
    for (int i = 0; i < 5; i++) {
        weft_sem_fini(&sems[i]);
    }
    return 0;
}

Test(scope_next, gives_each_task_once_in_the_order_of_their_ends_and_then_0)
{
    wt_eq(weft_run(in_order_of_ends, NULL, .workers = 1), 0);
    wt_eq(weft_run(in_order_of_ends, NULL, .workers = 2), 0);
    wt_eq(weft_run(in_order_of_ends, NULL, .workers = 8), 0);
}

TaskTest(scope_next, without_tasks_is_0, 1)
{
    weft_done done;
    WEFT_SCOPE(s, .each = 1);
    wt_eq(weft_scope_next(&s, &done), 0);
    wt_eq(weft_scope_end(&s), 0);
    return 0;
}

TaskTest(scope_next, of_a_scope_that_keeps_nothing_is_refused_with_einval, 1)
{
    weft_done done;
    WEFT_SCOPE(s);
    weft_go(&s, return_it, &(int){0});
    wt_eq(weft_scope_next(&s, &done), -EINVAL);
    wt_eq(weft_scope_end(&s), 0);
    return 0;
}

WEFT_TASK(take_from, weft_scope *)
{
    weft_done done;
    return weft_scope_next(*arg, &done);
}

TaskTest(scope_next, in_another_task_is_refused_with_eperm, 1)
{
    weft_done done;
    weft_scope *pointer;
    WEFT_SCOPE(s, .each = 1);
    pointer = &s;
    weft_go(&s, take_from, &pointer);
    wt_eq(weft_scope_next(&s, &done), 1);
    wt_eq(done.rc, -EPERM);
    wt_eq(weft_scope_end(&s), 0);
    return 0;
}

/* --- failures --------------------------------------------------------------------------------- */

TaskTest(scope_next, a_failure_that_was_taken_is_not_the_scopes, 1)
{
    weft_done done;
    WEFT_SCOPE(s, .each = 2, .on_error = WEFT_CONTINUE);
    weft_go(&s, fail_with_number, &(int){-EIO});
    wt_eq(weft_scope_next(&s, &done), 1);
    wt_eq(done.rc, -EIO);
    wt_str_eq(done.error->text, "number -5");
    wt_eq(weft_check(), 0);
    weft_go(&s, return_it, &(int){4});
    wt_eq(weft_scope_next(&s, &done), 1);
    wt_eq(done.rc, 4);
    wt_eq(weft_scope_end(&s), 0);
    return 0;
}

TaskTest(scope_next, what_was_not_taken_is_dropped_and_the_first_failure_of_it_is_the_scopes, 1)
{
    weft_done done;
    WEFT_SCOPE(s, .each = 10, .on_error = WEFT_CONTINUE);
    for (int i = 1; i <= 4; i++) {
        weft_go(&s, fail_with_number, &(int){-i});
        while (weft_scope_count(&s) > 0) { /* ends: it does */
            weft_yield();
        }
    }
    wt_eq(weft_scope_next(&s, &done), 1);
    wt_eq(done.rc, -1);
    wt_eq(weft_scope_end(&s), -2);
    wt_str_eq(weft_last()->text, "number -2");
    wt_eq(weft_errors(&s, NULL, 0), 3);
    return 0;
}

TaskTest(scope_next, failing_fast_cancels_the_others_whose_results_can_still_be_taken, 1)
{
    weft_sem never;
    weft_sem_init(&never, 0, 0);
    weft_done done;
    WEFT_SCOPE(s, .each = 3);
    weft_go(&s, wait_and_return, &(struct wait){&never, 1, 0});
    weft_go(&s, wait_and_return, &(struct wait){&never, 2, 0});
    weft_go(&s, return_it, &(int){-EIO});
    wt_eq(weft_scope_next(&s, &done), 1);
    wt_eq(done.rc, -EIO);
    for (int i = 0; i < 2; i++) {
        wt_eq(weft_scope_next(&s, &done), 1);
        wt_eq(done.rc, -ECANCELED);
    }
    wt_eq(weft_scope_next(&s, &done), 0);
    wt_eq(weft_scope_end(&s), 0);
    weft_sem_fini(&never);
    return 0;
}

TaskTest(scope_next, tasks_cut_short_and_not_taken_make_the_end_ecanceled, 1)
{
    weft_sem never;
    weft_sem_init(&never, 0, 0);
    WEFT_SCOPE(s, .each = 3);
    weft_go(&s, wait_and_return, &(struct wait){&never, 1, 0});
    weft_scope_cancel(&s, NULL);
    wt_eq(weft_scope_end(&s), -ECANCELED);
    weft_sem_fini(&never);
    return 0;
}

/* --- cancellation ----------------------------------------------------------------------------- */

TaskTest(scope_next, a_deadline_around_the_call_ends_it_and_takes_nothing, 2)
{
    weft_sem go;
    weft_sem_init(&go, 0, 0);
    weft_done done;
    WEFT_SCOPE(s, .each = 1);
    weft_go(&s, wait_and_return, &(struct wait){&go, 6, 0});
    wt_eq(weft_within(WEFT_MS(2), weft_scope_next(&s, &done)), -ETIME);
    wt_eq(weft_within(0, weft_scope_next(&s, &done)), -ETIME);
    weft_sem_release(&go, 1);
    wt_eq(weft_within(WEFT_SEC(100), weft_scope_next(&s, &done)), 1);
    wt_eq(done.rc, 6);
    wt_eq(weft_within(0, weft_scope_next(&s, &done)), 0);
    wt_eq(weft_scope_end(&s), 0);
    weft_sem_fini(&go);
    return 0;
}

/* --- the bound -------------------------------------------------------------------------------- */

TaskTest(scope_next, more_tasks_than_the_scope_keeps_are_refused_with_eagain, 1)
{
    weft_done done;
    WEFT_SCOPE(s, .each = 2);
    wt_eq(weft_go(&s, return_it, &(int){1}), 0);
    wt_eq(weft_go(&s, return_it, &(int){2}), 0);
    wt_eq(weft_go(&s, return_it, &(int){3}), -EAGAIN);
    wt_eq(weft_scope_next(&s, &done), 1);
    wt_eq(weft_go(&s, return_it, &(int){4}), 0);
    wt_eq(weft_go(&s, return_it, &(int){5}), -EAGAIN);
    wt_eq(weft_scope_next(&s, &done), 1);
    wt_eq(weft_scope_next(&s, &done), 1);
    wt_eq(weft_scope_next(&s, &done), 0);
    wt_eq(weft_scope_end(&s), 0);
    return 0;
}

struct span {
    int index;
    int yields;
};

WEFT_TASK(yield_some, struct span)
{
    for (int i = 0; i < arg->yields; i++) {
        weft_yield();
    }
    return arg->index;
}

#if defined(__SANITIZE_THREAD__)
#define SPANS 8000 /* there each wait takes a hundred times as long */
#else
#define SPANS 20000
#endif
#define AHEAD 50

/* As many under way as are kept: a loop of any length in bounded memory. */
static int a_long_loop(void *arg)
{
    (void)arg;
    static bool seen[SPANS];
    memset(seen, 0, sizeof seen);
    weft_done done;
    int started = 0;
    int taken = 0;
    WEFT_SCOPE(s, .each = AHEAD);
    while (taken < SPANS) { /* ends: each turn takes one */
        while (started < SPANS &&
               weft_go(&s, yield_some, &(struct span){started, started % 3}) == 0) {
            started++;
        }
        wt_eq(weft_scope_next(&s, &done), 1);
        wt_eq(((struct span *)done.arg)->index, done.rc);
        wt_false(seen[done.rc]);
        seen[done.rc] = true;
        taken++;
    }
    wt_eq(weft_scope_next(&s, &done), 0);
    wt_eq(weft_scope_end(&s), 0);
    weft_stats stats;
    weft_stats_get(weft_rt_current(), &stats);
    /* of 64 KiB; if frames, of 256 bytes, stayed, it were SPANS / 256 */
    wt_lt(stats.slab_chunks, SPANS / 333);
    return 0;
}

Test(scope_next, a_loop_of_any_length_loses_nothing_and_runs_in_bounded_memory)
{
    wt_eq(weft_run(a_long_loop, NULL, .workers = 1), 0);
    wt_eq(weft_run(a_long_loop, NULL, .workers = 2), 0);
    wt_eq(weft_run(a_long_loop, NULL, .workers = 8), 0);
}

/* E37, E40: what is refused is never called. */
TaskTest(scope_next, what_is_refused_is_never_called, 1)
{
    weft_sem go;
    weft_sem_init(&go, 0, 0);
    weft_done done;
    WEFT_SCOPE(s, .each = 1);
    weft_go(&s, wait_and_return, &(struct wait){&go, 1, 0});
    wt_eq(weft_go(&s, wait_and_return, &(struct wait){&go, 2, 0}), -EAGAIN);
    weft_sem_release(&go, 1);
    wt_eq(weft_scope_next(&s, &done), 1);
    wt_eq(done.rc, 1);
    wt_eq(weft_sem_try(&go), -EAGAIN);
    wt_eq(weft_scope_end(&s), 0);
    weft_sem_fini(&go);
    return 0;
}

WEFT_TASK(end_scope, weft_scope *)
{
    return weft_scope_end(*arg);
}

/* E36 */
TaskTest(scope_next, a_task_that_ends_the_scope_that_it_is_in_gets_edeadlk, 1)
{
    weft_done done;
    weft_scope *pointer;
    WEFT_SCOPE(s, .each = 1, .on_error = WEFT_CONTINUE);
    pointer = &s;
    weft_go(&s, end_scope, &pointer);
    wt_eq(weft_scope_next(&s, &done), 1);
    wt_eq(done.rc, -EDEADLK);
    wt_eq(weft_scope_end(&s), 0);
    return 0;
}

WEFT_TASK(deal_with_a_failure, int)
{
    (void)weft_fail(-EIO, "dealt with");
    return *arg;
}

TaskTest(scope_next, a_task_that_succeeded_after_a_failure_has_no_record, 1)
{
    WEFT_SCOPE(s, .each = 1);
    weft_go(&s, deal_with_a_failure, &(int){3});
    weft_done done;
    wt_eq(weft_scope_next(&s, &done), 1);
    wt_eq(done.rc, 3);
    wt_true(done.error == NULL);
    return weft_scope_end(&s);
}
