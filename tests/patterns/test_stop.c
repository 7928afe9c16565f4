/* Stopping a runtime: drain, cancel, report, repeat. */
#include "capture.h"
#include "pattern.h"
#include <errno.h>
#include <pthread.h>
#include <fcntl.h>
#include <semaphore.h>
#include <string.h>
#include <unistd.h>
#include <weft/debug.h>
#include <weft/exec.h>
#include <weft/service.h>
#include <weft/sync.h>

static weft_rt *start(int workers)
{
    weft_rt *rt = NULL;
    wt_eq(weft_rt_start(&rt, &(weft_rt_opts){.workers = workers}), 0);
    return rt;
}

static atomic_int begun, ended, may_end;
static int seen;

static int wait_for_drain(void *arg)
{
    (void)arg;
    atomic_fetch_add(&begun, 1);
    wt_eq(weft_drain_wait(), 0, "it is not cancelled");
    atomic_fetch_add(&ended, 1);
    return 0;
}

static void wait_begun(int n)
{
    while (atomic_load(&begun) < n) { /* ends: they run */
        sched_yield();
    }
}

Test(stop, drain_comes_first_and_tasks_may_end_by_themselves)
{
    weft_rt *rt = start(2);
    for (int i = 0; i < 5; i++) {
        wt_eq(weft_post(rt, wait_for_drain, NULL), 0);
    }
    wait_begun(5);
    wt_eq(weft_rt_stop(rt, WEFT_FOREVER, 0), 0);
    wt_eq(atomic_load(&ended), 5);
    weft_rt_free(rt);
}

static int wait_for_ever(void *arg)
{
    weft_task_name(arg);
    weft_sem never;
    weft_sem_init(&never, 0, 0);
    atomic_fetch_add(&begun, 1);
    seen = weft_sem_acquire(&never);
    atomic_fetch_add(&ended, 1);
    return seen;
}

Test(stop, what_the_drain_leaves_is_cancelled)
{
    weft_rt *rt = start(1);
    wt_eq(weft_post(rt, wait_for_ever, "x"), 0);
    wait_begun(1);
    wt_eq(weft_rt_stop(rt, WEFT_MS(1), WEFT_FOREVER), 0);
    wt_eq(seen, -ECANCELED);
    wt_eq(atomic_load(&ended), 1);
    weft_rt_free(rt);
}

/* Does not end when it is cancelled, until the test lets it. */
static int ignore_cancellation(void *arg)
{
    weft_task_name(arg);
    WEFT_SCOPE(held);
    atomic_fetch_add(&begun, 1);
    while (atomic_load(&may_end) == 0) { /* ends: the test lets it */
        weft_yield();
        sched_yield();
    }
    atomic_fetch_add(&ended, 1);
    weft_scope_end(&held);
    return 0;
}

static int laggards(void)
{
    weft_rt *rt = start(1);
    wt_eq(weft_post(rt, ignore_cancellation, "the stubborn one"), 0);
    wait_begun(1);
    wt_eq(weft_rt_stop(rt, 0, WEFT_MS(1)), -ETIME);
    wt_eq(weft_rt_stop(rt, 0, 0), -ETIME, "and may be repeated");
    atomic_store(&may_end, 1);
    wt_eq(weft_rt_stop(rt, WEFT_FOREVER, WEFT_FOREVER), 0);
    wt_eq(weft_rt_stop(rt, 0, 0), -EALREADY);
    wt_eq(atomic_load(&ended), 1);
    weft_rt_free(rt);
    return 7;
}

Test(stop, laggards_are_named_with_etime_and_the_stop_may_be_repeated)
{
    struct captured captured;
    capture(&captured, laggards);
    check_exited(&captured, 7);
    check_says(&captured, "weft: the runtime cannot stop: of its tasks 1 have not ended\n");
    check_says(&captured, "task the stubborn one (started at ");
    check_says(&captured, "test_stop.c");
}

WEFT_TASK(stubborn_service, int)
{
    (void)arg;
    return ignore_cancellation("named twice");
}

static int start_stubborn_service(void *arg)
{
    (void)arg;
    wt_eq(weft_service("the lagging service", stubborn_service, &(int){0}), 0);
    yield_until(&begun, 1);
    return 0;
}

/* Reads what the process writes to stderr, passes it on, and lets the laggard end when it has been
 * named. */
static void *let_it_end_when_named(void *arg)
{
    int *fds = arg; /* to read from, to pass on to */
    char text[4096] = "";
    size_t used = 0;
    while (strstr(text, "the lagging service") == NULL) { /* ends: it is named */
        ssize_t n = read(fds[0], text + used, sizeof text - 1 - used);
        wt_gt(n, 0);
        used += (size_t)n;
        text[used] = 0;
    }
    wt_eq(write(fds[1], text, used), used);
    atomic_store(&may_end, 1);
    return NULL;
}

static int service_lags(void)
{
    int fds[2];
    wt_eq(pipe(fds), 0);
    int own[2] = {fds[0], dup(STDERR_FILENO)};
    dup2(fds[1], STDERR_FILENO);
    pthread_t thread;
    pthread_create(&thread, NULL, let_it_end_when_named, own);
    int rc = weft_run(start_stubborn_service, NULL, .workers = 2, .drain = WEFT_MS(1),
                      .kill = WEFT_MS(1));
    pthread_join(thread, NULL);
    return rc == 0 ? 7 : 1;
}

Test(stop, run_names_services_that_do_not_end_and_goes_on_waiting)
{
    struct captured captured;
    capture(&captured, service_lags);
    check_exited(&captured, 7);
    check_says(&captured,
               "weft:   service the lagging service, started in start_stubborn_service (");
}

static int return_it(void *arg)
{
    return (int)(intptr_t)arg;
}

/* E43 */
Test(stop, every_call_after_the_stop_is_eshutdown)
{
    weft_rt *rt = start(1);
    wt_eq(weft_call(rt, return_it, (void *)1), 1);
    wt_eq(weft_rt_stop(rt, WEFT_FOREVER, WEFT_FOREVER), 0);
    for (int i = 0; i < 2; i++) {
        wt_eq(weft_call(rt, return_it, (void *)1), -ESHUTDOWN);
        wt_eq(weft_post(rt, return_it, NULL), -ESHUTDOWN);
        weft_exec *loop = (weft_exec *)1;
        wt_eq(weft_exec_loop_new(&loop, rt), -ESHUTDOWN);
        wt_true(loop == NULL);
        wt_eq(weft_rt_stop(rt, 0, 0), -EALREADY);
    }
    weft_rt_free(rt);
}

static atomic_int posted, refused;

static void *post_until_refused(void *rt)
{
    int rc;
    while ((rc = weft_post(rt, return_it, NULL)) == 0) { /* ends: the runtime stops */
        atomic_fetch_add(&posted, 1);
    }
    wt_eq(rc, -ESHUTDOWN);
    atomic_fetch_add(&refused, 1);
    return NULL;
}

Test(stop, threads_that_post_while_it_stops_are_served_or_refused)
{
    for (int round = 0; round < 50; round++) {
        weft_rt *rt = start(2);
        pthread_t threads[2];
        atomic_store(&refused, 0);
        atomic_store(&posted, 0);
        for (int i = 0; i < 2; i++) {
            pthread_create(&threads[i], NULL, post_until_refused, rt);
        }
        while (atomic_load(&posted) < 10) { /* ends: they post */
            sched_yield();
        }
        wt_eq(weft_rt_stop(rt, WEFT_FOREVER, WEFT_FOREVER), 0);
        for (int i = 0; i < 2; i++) {
            pthread_join(threads[i], NULL);
        }
        wt_eq(atomic_load(&refused), 2);
        weft_rt_free(rt);
    }
}

struct stopper {
    weft_rt *rt;
    atomic_int *start;
    int rc;
};

static void *stop_with_others(void *arg)
{
    struct stopper *stopper = arg;
    atomic_fetch_sub(stopper->start, 1);
    while (atomic_load(stopper->start) > 0) { /* ends: the others come */
    }
    stopper->rc = weft_rt_stop(stopper->rt, WEFT_SEC(30), WEFT_SEC(30));
    return NULL;
}

Test(stop, of_two_threads_that_stop_it_one_does_and_the_other_learns_it_afterwards)
{
    for (int i = 0; i < 100; i++) {
        weft_rt *rt = start(2);
        atomic_int both = 2;
        struct stopper a = {rt, &both, 1}, b = {rt, &both, 1};
        pthread_t thread;
        wt_eq(pthread_create(&thread, NULL, stop_with_others, &a), 0);
        (void)stop_with_others(&b);
        pthread_join(thread, NULL);
        wt_eq(a.rc + b.rc, -EALREADY);
        wt_true(a.rc == 0 || b.rc == 0);
        weft_rt_free(rt);
    }
}

/* --- looking at one that stops ---------------------------------------------------------------- */

static int sleep_shortly(void *arg)
{
    (void)arg;
    return weft_sleep(WEFT_US(100));
}

struct looker {
    weft_rt *rt;
    int null_fd;
    atomic_int looks, may_end;
};

static void *look_on(void *arg)
{
    struct looker *it = arg;
    while (atomic_load(&it->may_end) == 0) { /* ends: the runtime has been stopped */
        weft_stats stats;
        char text[200];
        weft_stats_get(it->rt, &stats);
        (void)weft_rt_report(it->rt, text, sizeof text);
        (void)weft_dump(it->rt, it->null_fd);
        atomic_fetch_add(&it->looks, 1);
    }
    return NULL;
}

Test(stop, may_be_looked_at_from_another_thread_and_afterwards, .timeout = 60)
{
    int null_fd = open("/dev/null", O_WRONLY | O_CLOEXEC);
    wt_ge(null_fd, 0);
    for (int i = 0; i < 10; i++) {
        struct looker looker = {.rt = start(16), .null_fd = null_fd};
        pthread_t thread;
        wt_eq(pthread_create(&thread, NULL, look_on, &looker), 0);
        while (atomic_load(&looker.looks) == 0) { /* ends: it looks */
            sched_yield();
        }
        wt_eq(weft_call(looker.rt, sleep_shortly, NULL), 0);
        wt_eq(weft_rt_stop(looker.rt, WEFT_FOREVER, 0), 0);
        atomic_store(&looker.may_end, 1);
        wt_eq(pthread_join(thread, NULL), 0);
        weft_stats stats;
        weft_stats_get(looker.rt, &stats);
        wt_gt(stats.runs, 0, "what was counted is there still");
        wt_gt(stats.suspends, 0);
        weft_rt_free(looker.rt);
    }
    close(null_fd);
}
