/* Background services: mailboxes, faults, and how they end. */
#include "capture.h"
#include "pattern.h"
#include <pthread.h>
#include <string.h>
#include <weft/chan.h>
#include <weft/service.h>
#include <weft/sync.h>

static atomic_int sent, ended, told;
static int service_rc; /* what the service's loop ended with */

static void reset(void)
{
    atomic_store(&sent, 0);
    atomic_store(&ended, 0);
    atomic_store(&told, 0);
    service_rc = -1;
}

/* --- a mailbox (seed snippet 16) -------------------------------------------------------------- */

struct email {
    int to;
};
typedef weft_chan *mailbox;

static int send_email(const struct email *email)
{
    atomic_fetch_add(&sent, email->to);
    return weft_yield();
}

WEFT_TASK(mailer, mailbox)
{
    struct email e;
    int rc;
    while ((rc = weft_chan_recv(*arg, &e)) > 0) {
        if (send_email(&e) < 0) {
            return rc;
        }
    }
    service_rc = rc;
    atomic_fetch_add(&ended, 1);
    return rc;
}

static int send_mails(void *arg)
{
    weft_chan *box = arg;
    wt_eq(weft_service("mailer", mailer, &box, .mailbox = box), 0);
    for (int i = 1; i <= 100; i++) {
        wt_eq(weft_chan_send(box, &(struct email){i}), 0);
    }
    return 3;
}

Test(service, a_mailbox_is_drained_and_its_service_gets_0_when_the_root_task_has_ended,
     .init = reset)
{
    for (int workers = 1; workers <= 4; workers++) {
        reset();
        weft_chan *box;
        wt_eq(weft_chan_new(&box, sizeof(struct email), 64), 0);
        wt_eq(weft_run(send_mails, box, .workers = workers), 3);
        wt_eq(atomic_load(&sent), 5050, "none is lost");
        wt_eq(service_rc, 0);
        wt_eq(weft_chan_close(box, 0), -EALREADY);
        weft_chan_free(box);
    }
}

Test(service, rt_stop_drains_a_mailbox_too, .init = reset)
{
    weft_chan *box;
    weft_rt *rt;
    wt_eq(weft_chan_new(&box, sizeof(struct email), 64), 0);
    wt_eq(weft_rt_start(&rt, &(weft_rt_opts){.workers = 2}), 0);
    wt_eq(weft_call(rt, send_mails, box), 3);
    wt_eq(weft_rt_stop(rt, WEFT_SEC(30), 0), 0);
    wt_eq(atomic_load(&sent), 5050);
    wt_eq(atomic_load(&ended), 1);
    wt_eq(weft_rt_fault(rt), 0);
    weft_rt_free(rt);
    weft_chan_free(box);
}

/* --- without a mailbox ------------------------------------------------------------------------ */

static atomic_int ticks;

WEFT_TASK(ticker, int)
{
    (void)arg;
    int rc;
    while ((rc = weft_sleep(WEFT_MS(1))) == 0) { /* ends: the drain begins */
        atomic_fetch_add(&ticks, 1);
    }
    service_rc = rc;
    atomic_fetch_add(&ended, 1);
    return rc;
}

static int start_ticker(void *arg)
{
    (void)arg;
    wt_eq(weft_service("ticker", ticker, &(int){0}), 0);
    yield_until(&ticks, 2);
    wt_eq(weft_draining(), 0);
    return 0;
}

Test(service, without_a_mailbox_it_is_cancelled_when_the_drain_begins_and_that_is_no_fault,
     .init = reset)
{
    wt_eq(weft_run(start_ticker, NULL, .workers = 1, .drain = WEFT_FOREVER), 0);
    wt_eq(atomic_load(&ended), 1);
    wt_eq(service_rc, -ECANCELED);
}

WEFT_TASK(drainer, int)
{
    (void)arg;
    wt_eq(weft_drain_wait(), 0);
    wt_eq(weft_draining(), 1);
    for (int i = 0; i < 10; i++) {
        wt_eq(weft_yield(), 0, "it is not cancelled");
    }
    wt_eq(weft_drain_wait(), 0, "at once, from now on");
    atomic_fetch_add(&ended, 1);
    return 0;
}

static int start_drainers(void *arg)
{
    (void)arg;
    for (int i = 0; i < 10; i++) {
        wt_eq(weft_service("drainer", drainer, &i, .drains = 1), 0);
    }
    return 0;
}

Test(service, one_that_drains_by_itself_is_told_and_not_cancelled, .init = reset)
{
    for (int workers = 1; workers <= 2; workers++) {
        reset();
        wt_eq(weft_run(start_drainers, NULL, .workers = workers, .drain = WEFT_FOREVER), 0);
        wt_eq(atomic_load(&ended), 10);
    }
}

static weft_sem never;

WEFT_TASK(ignore_the_drain, int)
{
    (void)arg;
    int rc = weft_sem_acquire(&never);
    service_rc = rc;
    atomic_fetch_add(&ended, 1);
    return rc;
}

static int start_stubborn(void *arg)
{
    (void)arg;
    weft_sem_init(&never, 0, 0);
    return weft_service("stubborn", ignore_the_drain, &(int){0}, .drains = 1);
}

Test(service, one_that_ignores_the_drain_is_cancelled_when_it_is_over, .init = reset)
{
    wt_eq(weft_run(start_stubborn, NULL, .workers = 1, .drain = WEFT_MS(1)), 0);
    wt_eq(service_rc, -ECANCELED);
    wt_eq(atomic_load(&ended), 1);
}

WEFT_TASK(hog, int)
{
    (void)arg;
    int64_t end_ns = now_ns() + WEFT_MS(50);
    while (now_ns() < end_ns) { /* ends: at end_ns */
    }
    return 0;
}

static int start_stubborn_behind_a_hog(void *arg)
{
    wt_eq(start_stubborn(arg), 0);
    return weft_detach(hog, &(int){0}); /* the newest runs first */
}

Test(service, one_that_comes_to_run_when_the_drain_is_over_is_cancelled_at_once, .init = reset,
     .timeout = 20)
{
    wt_eq(weft_run(start_stubborn_behind_a_hog, NULL, .workers = 1, .drain = WEFT_MS(1),
                   .kill = WEFT_MS(1)),
          0);
    wt_eq(service_rc, -ECANCELED);
    wt_eq(atomic_load(&ended), 1);
}

static int wait_and_be_cancelled(void *arg)
{
    (void)arg;
    WEFT_SCOPE(s);
    weft_task t;
    weft_scope_cancel(&s, NULL);
    wt_eq(weft_drain_wait(), -ECANCELED);
    wt_eq(weft_scope_end(&s), 0);
    wt_eq(weft_within(WEFT_MS(1), weft_drain_wait()), -ETIME);
    (void)t;
    return 0;
}

Test(service, waiting_for_the_drain_can_be_cancelled)
{
    wt_eq(weft_run(wait_and_be_cancelled, NULL, .workers = 1), 0);
    wt_eq(weft_drain_wait(), -EPERM);
    wt_eq(weft_draining(), 0);
}

/* --- faults ----------------------------------------------------------------------------------- */

WEFT_TASK(break_down, int)
{
    return weft_fail(*arg, "the disk is gone");
}

static int run_with_faulty(void *arg)
{
    (void)arg;
    wt_eq(weft_service("writer", break_down, &(int){-EIO}), 0);
    int rc = weft_drain_wait();
    wt_eq(rc, 0, "the fault began a drain");
    atomic_fetch_add(&ended, 1);
    return 0;
}

static int faulty(void)
{
    reset();
    int rc = weft_run(run_with_faulty, NULL, .workers = 1);
    return rc == -EIO && atomic_load(&ended) == 1 ? 7 : 1;
}

Test(service, a_fault_drains_and_run_returns_it)
{
    struct captured captured;
    capture(&captured, faulty);
    check_exited(&captured, 7);
    check_says(&captured, "weft: stopping for a failure: EIO: the disk is gone\n");
    check_says(&captured, "task writer, started in run_with_faulty (");
}

static int hang_with_faulty(void *arg)
{
    (void)arg;
    weft_sem_init(&never, 0, 0);
    wt_eq(weft_service("writer", break_down, &(int){-EIO}), 0);
    int rc = weft_sem_acquire(&never);
    wt_eq(rc, -ECANCELED, "the drain was over");
    return rc;
}

static int faulty_and_hanging(void)
{
    return weft_run(hang_with_faulty, NULL, .workers = 1, .drain = WEFT_MS(1)) == -EIO ? 7 : 1;
}

Test(service, after_the_drain_of_a_fault_the_tasks_are_cancelled)
{
    struct captured captured;
    capture(&captured, faulty_and_hanging);
    check_exited(&captured, 7);
}

static int answer;

static int hook(const weft_fault *fault, void *arg)
{
    (void)arg;
    wt_str_eq(fault->task, "writer");
    wt_eq(fault->code, -EIO);
    wt_str_eq(fault->error->text, "the disk is gone");
    atomic_fetch_add(&told, 1);
    return answer;
}

static int end_well_with_faulty(void *arg)
{
    int on_fault = *(int *)arg;
    wt_eq(weft_service("writer", break_down, &(int){-EIO}, .on_fault = on_fault), 0);
    yield_until(&told, 1);
    for (int i = 0; i < 100; i++) {
        weft_yield();
    }
    return weft_draining() ? 5 : 4;
}

Test(service, on_fault_says_what_a_fault_does_and_the_hook_has_the_last_word, .init = reset)
{
    answer = 0;
    wt_eq(weft_run(end_well_with_faulty, &(int){WEFT_IGNORE}, .workers = 1, .on_unobserved = hook),
          4);
    reset();
    answer = WEFT_IGNORE;
    wt_eq(weft_run(end_well_with_faulty, &(int){WEFT_STOP}, .workers = 1, .on_unobserved = hook),
          4);
    wt_eq(atomic_load(&told), 1);
}

static int log_faulty(void)
{
    reset();
    answer = 0;
    return weft_run(end_well_with_faulty, &(int){WEFT_LOG}, .workers = 1, .on_unobserved = hook);
}

Test(service, on_fault_log_reports_and_goes_on)
{
    struct captured captured;
    capture(&captured, log_faulty);
    check_exited(&captured, 4);
    check_says(&captured, "weft: unobserved failure: EIO: the disk is gone\n");
}

static int start_and_fail_late(void *arg)
{
    (void)arg;
    wt_eq(weft_service("writer", drainer, &(int){0}, .drains = 1), 0);
    return -EPROTO;
}

Test(service, a_root_task_that_failed_first_says_what_run_returns, .init = reset)
{
    wt_eq(weft_run(start_and_fail_late, NULL, .workers = 1), -EPROTO);
}

WEFT_TASK(fail_at_the_drain, int)
{
    wt_eq(weft_drain_wait(), 0);
    return *arg;
}

static int start_late_failure(void *arg)
{
    (void)arg;
    return weft_service("late", fail_at_the_drain, &(int){-EIO}, .drains = 1);
}

static int late_failure(void)
{
    return weft_run(start_late_failure, NULL, .workers = 1) == -EIO ? 7 : 1;
}

Test(service, a_fault_during_the_drain_is_not_hidden_by_a_root_task_that_succeeded)
{
    struct captured captured;
    capture(&captured, late_failure);
    check_exited(&captured, 7);
}

static int two_faults_in_rt(void)
{
    weft_rt *rt;
    wt_eq(weft_rt_start(&rt, &(weft_rt_opts){.workers = 1, .drain = WEFT_MS(1)}), 0);
    int rc = weft_call(rt, hang_with_faulty, NULL);
    wt_eq(weft_call(rt, hang_with_faulty, NULL), -ESHUTDOWN, "a runtime that stops takes nothing");
    wt_eq(weft_rt_fault(rt), -EIO);
    wt_eq(weft_rt_stop(rt, WEFT_FOREVER, WEFT_FOREVER), 0);
    weft_rt_free(rt);
    return rc == -ECANCELED ? 7 : 1;
}

Test(service, a_fault_stops_a_runtime_that_was_started_by_hand)
{
    struct captured captured;
    capture(&captured, two_faults_in_rt);
    check_exited(&captured, 7);
}

/* --- refusals --------------------------------------------------------------------------------- */

static int refusals(void *arg)
{
    (void)arg;
    static char large[WEFT_SERVICE_ARG_MAX + 1];
    wt_eq(weft_service_("x", drainer, large, sizeof large, NULL, WEFT_HERE), -E2BIG);
    wt_eq(weft_service("x", drainer, &(int){0}, .on_fault = 77), -EINVAL);
    wt_eq(weft_service("x", drainer, &(int){0}, .on_fault = -1), -EINVAL);
    return 0;
}

WEFT_TASK(start_at_the_drain, int)
{
    wt_eq(weft_drain_wait(), 0);
    wt_eq(weft_service("x", drainer, arg), -ESHUTDOWN);
    atomic_fetch_add(&ended, 1);
    return 0;
}

static int start_late(void *arg)
{
    (void)arg;
    return weft_detach(start_at_the_drain, &(int){0});
}

Test(service, what_cannot_be_started_is_refused, .init = reset)
{
    wt_eq(weft_run(refusals, NULL, .workers = 1), 0);
    wt_eq(weft_service("x", drainer, &(int){0}), -EPERM);
    wt_eq(weft_run(start_late, NULL, .workers = 1), 0);
    wt_eq(atomic_load(&ended), 1);
}

/* --- races ------------------------------------------------------------------------------------ */

WEFT_TASK(short_one, int)
{
    if (*arg % 2 == 0) {
        weft_yield();
    }
    atomic_fetch_add(&ended, 1);
    return 0;
}

static int start_many(void *arg)
{
    int n = *(int *)arg;
    for (int i = 0; i < n; i++) {
        weft_service("short", short_one, &i, .drains = i % 3 == 0);
    }
    return 0;
}

Test(service, services_that_start_and_end_while_the_drain_begins_are_all_there, .init = reset)
{
    for (int round = 0; round < 200; round++) {
        reset();
        wt_eq(weft_run(start_many, &(int){round % 20}, .workers = 1 + round % 3), 0);
        wt_eq(atomic_load(&ended), round % 20);
    }
}
