/* Failures that nobody looked at: which those are, who is told, and what the answer does. */
#include "capture.h"
#include "pattern.h"
#include <pthread.h>
#include <string.h>
#include <weft/chan.h>
#include <weft/debug.h>
#include <weft/par.h>
#include <weft/service.h>
#include <weft/sync.h>

static atomic_int told;
static int answer; /* of the hook */
static int codes[16];
static char names[16][32];

static int hook(const weft_fault *fault, void *arg)
{
    (void)arg;
    int i = atomic_fetch_add(&told, 1);
    if (i < 16) {
        codes[i] = fault->code;
        snprintf(names[i], sizeof names[i], "%s", fault->task);
    }
    wt_true(fault->started != NULL);
    if (fault->error != NULL) {
        wt_eq(fault->error->code, fault->code);
    }
    wt_eq(weft_yield(), -EPERM, "a hook is outside of tasks");
    return answer;
}

static void reset(void)
{
    atomic_store(&told, 0);
    answer = WEFT_IGNORE;
}

static int run(weft_fn *fn, void *arg)
{
    return weft_run(fn, arg, .workers = 1, .on_unobserved = hook);
}

static int fail_plain(void *arg)
{
    return (int)(intptr_t)arg;
}

WEFT_TASK(fail_pooled, int)
{
    return *arg;
}

/* --- which ------------------------------------------------------------------------------------ */

static int post_failing(void *arg)
{
    return weft_post(weft_rt_current(), fail_plain, arg);
}

Test(unobserved, the_failure_of_a_posted_task_is, .init = reset)
{
    wt_eq(run(post_failing, (void *)-EIO), 0);
    wt_eq(atomic_load(&told), 1);
    wt_eq(codes[0], -EIO);
    wt_str_eq(names[0], "fail_plain");
}

static int leave_scope_early(void *arg)
{
    (void)arg;
    WEFT_SCOPE(s, .on_error = WEFT_CONTINUE);
    for (int i = 1; i <= 3; i++) {
        weft_go(&s, fail_pooled, &(int){-i});
        while (weft_scope_count(&s) > 0) { /* ends: it fails */
            weft_yield();
        }
    }
    return 0; /* E39: cancels and joins */
}

Test(unobserved, the_failures_of_a_scope_that_is_left_without_its_end_are, .init = reset)
{
    wt_eq(run(leave_scope_early, NULL), 0);
    wt_eq(atomic_load(&told), 3);
    for (int i = 0; i < 3; i++) {
        wt_eq(codes[i], -1 - i, "in order of time");
        wt_str_eq(names[i], "fail_pooled");
    }
}

static int end_scope(void *arg)
{
    (void)arg;
    WEFT_SCOPE(s, .on_error = WEFT_CONTINUE);
    for (int i = 1; i <= 3; i++) {
        weft_go(&s, fail_pooled, &(int){-i});
    }
    wt_lt(weft_scope_end(&s), 0);
    return 0;
}

Test(unobserved, the_failures_of_a_scope_that_said_how_it_ended_are_not, .init = reset)
{
    wt_eq(run(end_scope, NULL), 0);
    wt_eq(atomic_load(&told), 0);
}

static int fail_with_text(void *arg)
{
    return weft_fail((int)(intptr_t)arg, "a text");
}

static int go_under_a_source(void *arg)
{
    (void)arg;
    weft_cancel source;
    weft_scope s;
    weft_cancel_init(&source, NULL);
    weft_enter(&s, &source);
    weft_go(&s, fail_pooled, &(int){-EIO});
    wt_eq(weft_leave(&s, 7), 7);
    weft_cancel_fini(&source);
    return 0;
}

Test(unobserved, the_failures_of_a_scope_that_is_left_with_another_value_are, .init = reset)
{
    wt_eq(run(go_under_a_source, NULL), 0);
    wt_eq(atomic_load(&told), 1);
    wt_eq(codes[0], -EIO);
}

static int follow_up(weft_cont *c)
{
    weft_task t;
    weft_spawn(&t, fail_plain, NULL);
    wt_eq(weft_await(&t), 0);
    return weft_continue(c, &t, fail_with_text, (void *)-EIO, WEFT_ON_DONE);
}

static int continue_within(void *arg)
{
    (void)arg;
    weft_cont c;
    wt_eq(weft_within(WEFT_SEC(9), follow_up(&c)), 0);
    return 0;
}

static int continue_in_body(void *item, void *ctx)
{
    (void)item;
    return follow_up(ctx);
}

static int continue_in_loop(void *arg)
{
    (void)arg;
    weft_cont c;
    int items[1] = {0};
    wt_eq(weft_foreach(continue_in_body, &c, .items = items, .count = 1, .stride = sizeof items[0]),
          -EIO);
    wt_eq(weft_last()->code, -EIO);
    wt_str_eq(weft_last()->text, "a text");
    return 0;
}

Test(unobserved, the_failure_of_a_continuation_made_within_a_deadline_is, .init = reset)
{
    wt_eq(run(continue_within, NULL), 0);
    wt_eq(atomic_load(&told), 1);
    wt_eq(codes[0], -EIO);
}

Test(unobserved, the_failure_of_a_continuation_made_by_a_loops_body_is_the_loops, .init = reset)
{
    wt_eq(run(continue_in_loop, NULL), 0);
    wt_eq(atomic_load(&told), 0);
}

static int await_ignore_call(void *arg)
{
    (void)arg;
    weft_task t;
    weft_spawn(&t, fail_plain, (void *)-EIO);
    wt_eq(weft_await(&t), -EIO);
    weft_spawn(&t, fail_plain, (void *)-EIO);
    weft_ignore(&t);
    return -EPROTO;
}

Test(unobserved, what_was_awaited_ignored_or_returned_to_a_caller_is_not, .init = reset)
{
    wt_eq(run(await_ignore_call, NULL), -EPROTO);
    wt_eq(atomic_load(&told), 0);
}

static weft_sem never;

WEFT_TASK(wait_forever, int)
{
    (void)arg;
    return weft_sem_acquire(&never);
}

static int cancelled_ones(void *arg)
{
    (void)arg;
    weft_sem_init(&never, 0, 0);
    WEFT_SCOPE(s);
    weft_go(&s, wait_forever, &(int){0});
    weft_yield();
    return 0;
}

static int detach_waiting(void *arg)
{
    return weft_detach(wait_forever, (int *)arg);
}

Test(unobserved, a_task_that_was_cancelled_is_not, .init = reset)
{
    wt_eq(run(cancelled_ones, NULL), 0);
    wt_eq(atomic_load(&told), 0);
    weft_rt *rt;
    wt_eq(weft_rt_start(&rt, &(weft_rt_opts){.workers = 1, .on_unobserved = hook}), 0);
    wt_eq(weft_call(rt, detach_waiting, &(int){0}), 0);
    wt_eq(weft_rt_stop(rt, 0, WEFT_FOREVER), 0);
    wt_eq(atomic_load(&told), 0);
    weft_rt_free(rt);
}

Test(unobserved, ecanceled_from_a_task_that_nobody_cancelled_is_an_ordinary_failure, .init = reset)
{
    wt_eq(run(post_failing, (void *)-ECANCELED), 0);
    wt_eq(atomic_load(&told), 1);
    wt_eq(codes[0], -ECANCELED);
}

/* --- answers ---------------------------------------------------------------------------------- */

static int stop_run(void *arg)
{
    wt_eq(weft_post(weft_rt_current(), fail_plain, arg), 0);
    weft_sem forever;
    weft_sem_init(&forever, 0, 0);
    int rc = weft_sem_acquire(&forever); /* ends: the runtime stops */
    wt_eq(rc, -ECANCELED);
    weft_sem_fini(&forever);
    return 0;
}

static int stop_and_say_what_run_returned(void)
{
    reset();
    answer = WEFT_STOP;
    int rc = weft_run(stop_run, (void *)-EPROTO, .workers = 1, .on_unobserved = hook,
                      .drain = WEFT_NS(1));
    return rc == -EPROTO ? 7 : 1;
}

Test(unobserved, stop_ends_the_runtime_and_run_returns_the_failure)
{
    struct captured captured;
    capture(&captured, stop_and_say_what_run_returned);
    check_exited(&captured, 7);
    check_says(&captured, "weft: stopping for a failure: EPROTO\n");
    check_says(&captured, "task fail_plain, started in stop_run (");
}

static int log_three(void)
{
    reset();
    answer = 0; /* the default: WEFT_LOG */
    return run(leave_scope_early, NULL) == 0 && atomic_load(&told) == 3 ? 0 : 1;
}

Test(unobserved, log_reports_each_on_stderr)
{
    struct captured captured;
    capture(&captured, log_three);
    check_exited(&captured, 0);
    check_says(&captured, "task fail_pooled, started in leave_scope_early (");
    check_says(&captured, "EPERM\n");
    check_says(&captured, "ENOENT\n");
    check_says(&captured, "ESRCH\n");
}

static int ignore_three(void)
{
    reset();
    return run(leave_scope_early, NULL) == 0 && atomic_load(&told) == 3 ? 0 : 1;
}

Test(unobserved, ignore_writes_nothing)
{
    struct captured captured;
    capture(&captured, ignore_three);
    check_exited(&captured, 0);
    wt_str_eq(captured.text, "");
}

/* --- from several threads --------------------------------------------------------------------- */

static void *post_many(void *rt)
{
    for (int i = 0; i < 1000; i++) {
        wt_eq(weft_post(rt, fail_plain, (void *)(intptr_t)-EIO), 0);
    }
    return NULL;
}

Test(unobserved, each_is_told_exactly_once_whoever_posts, .init = reset)
{
    weft_rt *rt;
    wt_eq(weft_rt_start(&rt, &(weft_rt_opts){.workers = 2, .on_unobserved = hook}), 0);
    pthread_t threads[3];
    for (int i = 0; i < 3; i++) {
        pthread_create(&threads[i], NULL, post_many, rt);
    }
    for (int i = 0; i < 3; i++) {
        pthread_join(threads[i], NULL);
    }
    wt_eq(weft_rt_stop(rt, WEFT_FOREVER, WEFT_FOREVER), 0);
    wt_eq(atomic_load(&told), 3000);
    weft_rt_free(rt);
}
