/* Fire and forget: tasks that nobody waits for. */
#include "capture.h"
#include "pattern.h"
#include <pthread.h>
#include <string.h>
#include <weft/service.h>
#include <weft/sync.h>

static atomic_int ran, failed;
static char last_said[4096];

static int note_fault(const weft_fault *fault, void *arg)
{
    wt_true(arg == &failed);
    weft_error_format(fault->error, last_said, sizeof last_said);
    atomic_fetch_add(&failed, 1);
    return WEFT_IGNORE;
}

static int count_fault(const weft_fault *fault, void *arg)
{
    wt_eq(fault->error->code, -EIO);
    atomic_fetch_add((atomic_int *)arg, 1);
    return WEFT_IGNORE;
}

static void reset(void)
{
    atomic_store(&ran, 0);
    atomic_store(&failed, 0);
}

struct mail {
    int to;
    char text[40];
};

static atomic_int mails_sum;

WEFT_TASK(send_email, struct mail)
{
    wt_str_eq(arg->text, "the argument was copied");
    weft_yield();
    wt_str_eq(arg->text, "the argument was copied");
    atomic_fetch_add(&mails_sum, arg->to);
    atomic_fetch_add(&ran, 1);
    return 0;
}

static int send_ten(void *arg)
{
    (void)arg;
    for (int i = 0; i < 10; i++) {
        struct mail mail = {.to = i, .text = "the argument was copied"};
        wt_eq(weft_detach(send_email, &mail), 0); /* seed snippet 15 */
        memset(&mail, 0, sizeof mail);
    }
    return 0;
}

Test(detach, every_task_runs_with_its_own_copy_before_run_returns, .init = reset)
{
    for (int workers = 1; workers <= 4; workers++) {
        atomic_store(&ran, 0);
        atomic_store(&mails_sum, 0);
        wt_eq(weft_run(send_ten, NULL, .workers = workers), 0);
        wt_eq(atomic_load(&ran), 10);
        wt_eq(atomic_load(&mails_sum), 45);
    }
}

static weft_sem may_end;

WEFT_TASK(wait_for_permit, int)
{
    int rc = weft_sem_acquire(&may_end);
    wt_eq(rc, *arg);
    atomic_fetch_add(&ran, 1);
    return rc;
}

static int detach_in_scope(void *arg)
{
    (void)arg;
    WEFT_SCOPE(s);
    wt_eq(weft_detach(wait_for_permit, &(int){0}), 0);
    weft_scope_cancel(&s, "over");
    wt_eq(weft_scope_end(&s), 0, "it has no tasks");
    return 0;
}

TaskTest(detach, outlives_its_starter_and_is_not_cancelled_with_its_scope, 1, .init = reset)
{
    weft_sem_init(&may_end, 0, 0);
    weft_task t;
    weft_spawn(&t, detach_in_scope, NULL);
    wt_eq(weft_await(&t), 0);
    wt_eq(weft_yield(), 0);
    wt_eq(atomic_load(&ran), 0);
    weft_sem_release(&may_end, 1);
    yield_until(&ran, 1);
    return 0;
}

WEFT_TASK(fail_with, int)
{
    atomic_fetch_add(&ran, 1);
    return *arg < 0 ? weft_fail(*arg, "code %d", *arg) : *arg;
}

static int detach_failing(void *arg)
{
    return weft_detach(fail_with, (int *)arg);
}

Test(detach, a_failure_reaches_the_hook_once_with_its_record, .init = reset)
{
    wt_eq(weft_run(detach_failing, &(int){-EIO}, .workers = 1, .on_unobserved = note_fault,
                   .on_unobserved_arg = &failed),
          0);
    wt_eq(atomic_load(&failed), 1);
    wt_true(strstr(last_said, "EIO: code -5") != NULL, "%s", last_said);
    wt_true(strstr(last_said, "task fail_with, started in detach_failing") != NULL, "%s",
            last_said);
}

static int log_by_default(void)
{
    return weft_run(detach_failing, &(int){-EIO}, .workers = 1) != 0;
}

Test(detach, without_a_hook_a_failure_is_a_report_on_stderr)
{
    struct captured captured;
    capture(&captured, log_by_default);
    check_exited(&captured, 0);
    check_says(&captured, "weft: unobserved failure: EIO: code -5\n");
    check_says(&captured, "task fail_with, started in detach_failing (");
    check_says(&captured, "failed in fail_with_weft_body (");
}

Test(detach, outside_a_task_it_is_eperm)
{
    wt_eq(weft_detach(fail_with, &(int){0}), -EPERM);
}

TaskTest(detach, an_argument_that_is_too_large_is_e2big, 1)
{
    static char large[WEFT_GO_ARG_MAX + 1];
    wt_eq(weft_detach_raw(send_email, large, sizeof large), -E2BIG);
    return 0;
}

static atomic_int stopping;

static int detach_when_stopped(void *arg)
{
    (void)arg;
    atomic_store(&stopping, 1);
    while (weft_yield() == 0) { /* ends: the runtime stops */
    }
    int rc = weft_detach(send_email, &(struct mail){.to = 1});
    wt_eq(rc, -ESHUTDOWN);
    atomic_fetch_add(&ran, 1);
    return 0;
}

Test(detach, after_the_runtime_has_cancelled_its_tasks_it_is_eshutdown, .init = reset)
{
    weft_rt *rt;
    wt_eq(weft_rt_start(&rt, &(weft_rt_opts){.workers = 1}), 0);
    wt_eq(weft_post(rt, detach_when_stopped, NULL), 0);
    while (atomic_load(&stopping) == 0) { /* ends: it runs */
        sched_yield();
    }
    wt_eq(weft_rt_stop(rt, 0, WEFT_SEC(30)), 0);
    wt_eq(atomic_load(&ran), 1);
    weft_rt_free(rt);
}

static int detach_many(void *arg)
{
    int n = *(int *)arg;
    for (int i = 0; i < n; i++) {
        wt_eq(weft_detach(fail_with, &(int){i % 2 == 0 ? 0 : -EIO}), 0);
    }
    return 0;
}

Test(detach, a_loop_of_any_length_runs_in_bounded_memory_and_every_failure_is_told, .init = reset)
{
    wt_eq(weft_run(detach_many, &(int){100000}, .workers = 2, .on_unobserved = count_fault,
                   .on_unobserved_arg = &failed),
          0);
    wt_eq(atomic_load(&ran), 100000);
    wt_eq(atomic_load(&failed), 50000);
}
