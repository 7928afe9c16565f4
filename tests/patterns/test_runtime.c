/* The runtime: start, stop, and the doors for foreign threads. */
#include "capture.h"
#include "pattern.h"
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <weft/debug.h>
#include <weft/io.h>
#include <weft/signal.h>
#include <weft/sync.h>

static int add_one(void *arg)
{
    atomic_fetch_add((atomic_int *)arg, 1);
    return 0;
}

static int return_it(void *arg)
{
    return (int)(intptr_t)arg;
}

static weft_rt *start(int workers)
{
    weft_rt *rt = NULL;
    wt_eq(weft_rt_start(&rt, &(weft_rt_opts){.workers = workers}), 0);
    wt_true(rt != NULL);
    return rt;
}

static void stop_and_free(weft_rt *rt)
{
    wt_eq(weft_rt_stop(rt, WEFT_SEC(30), WEFT_SEC(30)), 0);
    weft_rt_free(rt);
}

/* --- weft_run --------------------------------------------------------------------------------- */

Test(runtime, run_returns_what_the_root_task_returned)
{
    wt_eq(weft_run(return_it, (void *)42, .workers = 1), 42);
    wt_eq(weft_run(return_it, (void *)(intptr_t)-EIO, .workers = 2), -EIO);
    wt_eq(weft_run(return_it, (void *)7), 7);
}

static int use_what_has_descriptors(void *arg)
{
    (void)arg;
    weft_signal signals;
    char byte;
    wt_eq(weft_signal_open(&signals, (int[]){SIGUSR1, 0}), 0);
    wt_eq(weft_sleep(WEFT_MS(1)), 0);
    wt_eq(fcntl(STDIN_FILENO, F_GETFD), -1);
    wt_eq(weft_read(STDIN_FILENO, &byte, 1), -EBADF);
    weft_signal_close(&signals);
    return 0;
}

Test(runtime, a_program_that_was_started_without_input_reads_nothing_of_ours, .timeout = 30)
{
    (void)close(STDIN_FILENO);
    wt_eq(weft_run(use_what_has_descriptors, NULL, .workers = 2), 0);
}

static int post_and_leave(void *arg)
{
    for (int i = 0; i < 100; i++) {
        wt_eq(weft_post(weft_rt_current(), add_one, arg), 0);
    }
    return 0;
}

Test(runtime, run_waits_for_all_that_the_root_task_posted)
{
    atomic_int count = 0;
    wt_eq(weft_run(post_and_leave, &count, .workers = 2), 0);
    wt_eq(atomic_load(&count), 100);
}

static int run_inside(void *arg)
{
    return weft_run(return_it, arg, .workers = 1);
}

Test(runtime, run_inside_a_task_is_edeadlk)
{
    wt_eq(weft_run(run_inside, NULL, .workers = 1), -EDEADLK);
}

/* --- options ---------------------------------------------------------------------------------- */

Test(runtime, options_out_of_range_are_einval_and_nothing_starts)
{
    weft_rt *rt = (weft_rt *)1;
    wt_eq(weft_rt_start(&rt, &(weft_rt_opts){.workers = -1}), -EINVAL);
    wt_true(rt == NULL);
    wt_eq(weft_rt_start(&rt, &(weft_rt_opts){.workers = WEFT_WORKERS_MAX + 1}), -EINVAL);
    wt_eq(weft_rt_start(&rt, &(weft_rt_opts){.blocking_max = -1}), -EINVAL);
    wt_eq(weft_rt_start(&rt, &(weft_rt_opts){.blocking_max = WEFT_BLOCKING_MAX + 1}), -EINVAL);
    wt_eq(weft_rt_start(&rt, &(weft_rt_opts){.io = "teapot"}), -EINVAL);
    wt_true(rt == NULL);
    wt_eq(weft_run(return_it, (void *)42, .workers = -1), -EINVAL);
}

Test(runtime, the_environment_overrides_only_an_io_that_was_left_open)
{
    weft_rt *rt;
    setenv("WEFT_IO", "teapot", 1);
    wt_eq(weft_rt_start(&rt, NULL), -EINVAL);
    wt_eq(weft_rt_start(&rt, &(weft_rt_opts){.io = "auto"}), -EINVAL);
    wt_eq(weft_rt_start(&rt, &(weft_rt_opts){.workers = 1, .io = "epoll"}), 0);
    stop_and_free(rt);
    unsetenv("WEFT_IO");
}

static int report_has(void *arg)
{
    char text[256];
    wt_gt(weft_rt_report(weft_rt_current(), text, sizeof text), 0);
    return strstr(text, arg) != NULL;
}

static int report_with(weft_time patience, const char *said)
{
    return weft_run(report_has, (void *)(uintptr_t)said, .workers = 1, .patience = patience);
}

Test(runtime, waits_awake_for_as_long_as_it_was_told_and_reports_it)
{
    unsetenv("WEFT_PATIENCE_US");
    wt_eq(report_with(0, ", waits awake for 50 us,"), 1);
    wt_eq(report_with(WEFT_US(7), ", waits awake for 7 us,"), 1);
    wt_eq(report_with(-1, ", never waits awake,"), 1);
    wt_eq(report_with(WEFT_PATIENCE_MAX + 1, ""), -EINVAL);
    setenv("WEFT_PATIENCE_US", "20", 1);
    wt_eq(report_with(0, ", waits awake for 20 us,"), 1);
    wt_eq(report_with(WEFT_US(7), ", waits awake for 7 us,"), 1, "the program has said it");
    setenv("WEFT_PATIENCE_US", "0", 1);
    wt_eq(report_with(0, ", never waits awake,"), 1);
    setenv("WEFT_PATIENCE_US", "", 1);
    wt_eq(report_with(0, ", waits awake for 50 us,"), 1);
    static const char *const wrong[] = {"501", "-1", "few", "9 us", "99999999999999999999"};
    for (size_t i = 0; i < 5; i++) {
        setenv("WEFT_PATIENCE_US", wrong[i], 1);
        wt_eq(report_with(0, ""), -EINVAL, "%s", wrong[i]);
    }
    unsetenv("WEFT_PATIENCE_US");
}

Test(runtime, null_options_and_0_workers_mean_the_defaults)
{
    weft_rt *rt;
    char report[200];
    wt_eq(weft_rt_start(&rt, NULL), 0);
    wt_eq(weft_call(rt, return_it, (void *)5), 5);
    int length = weft_rt_report(rt, report, sizeof report);
    wt_eq(length, strlen(report));
    wt_true(strstr(report, " 0 workers") == NULL, "%s", report);
    stop_and_free(rt);
}

Test(runtime, many_workers_start_or_are_refused_cleanly)
{
    for (int workers = 16; workers <= WEFT_WORKERS_MAX; workers *= 4) {
        weft_rt *rt;
        int rc = weft_rt_start(&rt, &(weft_rt_opts){.workers = workers});
        if (rc < 0) {
            wt_true(rc == -ENOMEM || rc == -EAGAIN, "%d: limits of memory or threads may refuse it",
                    rc);
            wt_true(rt == NULL);
            continue;
        }
        for (int i = 0; i < 100; i++) {
            wt_eq(weft_call(rt, return_it, (void *)(intptr_t)i), i);
        }
        stop_and_free(rt);
    }
}

Test(runtime, the_report_is_cut_to_the_buffer)
{
    weft_rt *rt = start(3);
    char whole[300];
    char part[20];
    int length = weft_rt_report(rt, whole, sizeof whole);
    wt_true(strstr(whole, "3 workers") != NULL, "%s", whole);
    wt_eq(weft_rt_report(rt, part, sizeof part), length);
    wt_eq(strlen(part), sizeof part - 1);
    wt_mem_eq(part, whole, sizeof part - 1);
    stop_and_free(rt);
}

Test(runtime, the_version_is_that_of_the_header)
{
    wt_eq(weft_version(),
          WEFT_VERSION_MAJOR * 10000 + WEFT_VERSION_MINOR * 100 + WEFT_VERSION_PATCH);
}

/* --- foreign threads -------------------------------------------------------------------------- */

struct caller {
    weft_rt *rt;
    atomic_int *count;
    int id;
};

static int yield_and_return(void *arg)
{
    weft_yield();
    weft_sleep(WEFT_US(1));
    return (int)(intptr_t)arg;
}

static void *call_often(void *arg)
{
    struct caller *caller = arg;
    wt_true(weft_rt_current() == NULL);
    for (int i = 0; i < 1000; i++) {
        int n = caller->id * 10000 + i;
        wt_eq(weft_call(caller->rt, i % 2 == 0 ? return_it : yield_and_return, (void *)(intptr_t)n),
              n);
    }
    return NULL;
}

Test(runtime, many_foreign_threads_may_call_at_once)
{
    weft_rt *rt = start(2);
    pthread_t threads[8];
    struct caller callers[8];
    for (int i = 0; i < 8; i++) {
        callers[i] = (struct caller){rt, NULL, i};
        wt_eq(pthread_create(&threads[i], NULL, call_often, &callers[i]), 0);
    }
    for (int i = 0; i < 8; i++) {
        pthread_join(threads[i], NULL);
    }
    stop_and_free(rt);
}

static void *post_often(void *arg)
{
    struct caller *caller = arg;
    for (int i = 0; i < 5000; i++) {
        wt_eq(weft_post(caller->rt, add_one, caller->count), 0);
    }
    return NULL;
}

Test(runtime, every_posted_task_runs_once)
{
    weft_rt *rt = start(2);
    atomic_int count = 0;
    pthread_t threads[4];
    struct caller caller = {rt, &count, 0};
    for (int i = 0; i < 4; i++) {
        wt_eq(pthread_create(&threads[i], NULL, post_often, &caller), 0);
    }
    for (int i = 0; i < 4; i++) {
        pthread_join(threads[i], NULL);
    }
    stop_and_free(rt);
    wt_eq(atomic_load(&count), 20000);
}

static weft_rt *own_rt;

static int call_own(void *arg)
{
    return weft_call(own_rt, return_it, arg);
}

static int call_own_from_a_spawned_task(void *arg)
{
    weft_task t;
    weft_spawn(&t, call_own, arg);
    return weft_await(&t);
}

static int stop_own(void *arg)
{
    (void)arg;
    return weft_rt_stop(own_rt, WEFT_FOREVER, WEFT_FOREVER);
}

Test(runtime, call_and_stop_by_a_task_of_the_same_runtime_are_edeadlk)
{
    own_rt = start(1);
    wt_eq(weft_call(own_rt, call_own, (void *)1), -EDEADLK);
    wt_eq(weft_call(own_rt, call_own_from_a_spawned_task, (void *)1), -EDEADLK);
    wt_eq(weft_call(own_rt, stop_own, NULL), -EDEADLK);
    wt_eq(weft_call(own_rt, return_it, (void *)6), 6, "it is as it was");
    stop_and_free(own_rt);
}

static int call_other(void *arg)
{
    return weft_call((weft_rt *)arg, return_it, (void *)9) + (weft_rt_current() != arg);
}

Test(runtime, two_runtimes_live_side_by_side)
{
    weft_rt *a = start(2);
    weft_rt *b = start(1);
    wt_eq(weft_call(a, call_other, b), 10);
    wt_eq(weft_call(b, call_other, a), 10);
    wt_eq(weft_rt_stop(a, WEFT_SEC(30), WEFT_SEC(30)), 0);
    wt_eq(weft_call(b, return_it, (void *)3), 3);
    wt_eq(weft_call(a, return_it, (void *)3), -ESHUTDOWN);
    weft_rt_free(a);
    wt_eq(weft_call(b, return_it, (void *)4), 4);
    stop_and_free(b);
}

static void *run_one(void *arg)
{
    wt_eq(weft_run(return_it, (void *)5, .workers = 1), 5);
    return arg;
}

/* What they share is written by each: ThreadSanitizer would say so. */
Test(runtime, several_threads_run_one_each_at_once)
{
    pthread_t threads[3];
    for (int i = 0; i < 3; i++) {
        wt_eq(pthread_create(&threads[i], NULL, run_one, NULL), 0);
    }
    for (int i = 0; i < 3; i++) {
        wt_eq(pthread_join(threads[i], NULL), 0);
    }
}

/* --- stop ------------------------------------------------------------------------------------- */

Test(runtime, after_stop_nothing_is_taken)
{
    weft_rt *rt = start(1);
    atomic_int count = 0;
    wt_eq(weft_rt_stop(rt, 0, WEFT_SEC(30)), 0);
    wt_eq(weft_call(rt, add_one, &count), -ESHUTDOWN);
    wt_eq(weft_post(rt, add_one, &count), -ESHUTDOWN);
    wt_eq(weft_rt_stop(rt, 0, 0), -EALREADY);
    wt_eq(atomic_load(&count), 0);
    weft_rt_free(rt);
    weft_rt_free(NULL);
}

Test(runtime, free_stops_what_was_not_stopped)
{
    weft_rt *rt = start(2);
    atomic_int count = 0;
    for (int i = 0; i < 50; i++) {
        wt_eq(weft_post(rt, add_one, &count), 0);
    }
    weft_rt_free(rt);
    wt_eq(atomic_load(&count), 50);
}

static atomic_int cut_short;

static int sleep_long(void *arg)
{
    (void)arg;
    int rc = weft_sleep(WEFT_SEC(3600));
    if (rc == -ECANCELED) {
        wt_str_eq(weft_why()->text, "runtime stops");
        atomic_fetch_add(&cut_short, 1);
    }
    return rc;
}

Test(runtime, stop_cancels_what_does_not_end_by_itself)
{
    weft_rt *rt = start(2);
    atomic_store(&cut_short, 0);
    for (int i = 0; i < 20; i++) {
        wt_eq(weft_post(rt, sleep_long, NULL), 0);
    }
    wt_eq(weft_rt_stop(rt, WEFT_MS(5), WEFT_SEC(30)), 0);
    wt_eq(atomic_load(&cut_short), 20);
    weft_rt_free(rt);
}

static atomic_int laggards_may_end;

static int laggard(void *arg)
{
    while (atomic_load(&laggards_may_end) == 0) { /* ends: the test says so */
        weft_yield();                             /* refused once cancelled; it does not care */
    }
    atomic_fetch_add((atomic_int *)arg, 1);
    return 0;
}

Test(runtime, stop_is_etime_while_a_task_ignores_it_and_may_be_repeated)
{
    weft_rt *rt = start(2);
    atomic_int ended = 0;
    wt_eq(weft_post(rt, laggard, &ended), 0);
    wt_eq(weft_rt_stop(rt, WEFT_MS(2), WEFT_MS(2)), -ETIME);
    wt_eq(weft_rt_stop(rt, 0, 0), -ETIME);
    wt_eq(weft_post(rt, laggard, &ended), -ESHUTDOWN, "it takes nothing meanwhile");
    wt_eq(atomic_load(&ended), 0);
    atomic_store(&laggards_may_end, 1);
    wt_eq(weft_rt_stop(rt, WEFT_SEC(30), WEFT_SEC(30)), 0);
    wt_eq(atomic_load(&ended), 1);
    wt_eq(weft_rt_stop(rt, 0, 0), -EALREADY);
    weft_rt_free(rt);
}

struct racer {
    weft_rt *rt;
    atomic_int *ran, *accepted;
};

static void *post_until_refused(void *arg)
{
    struct racer *racer = arg;
    int rc;
    while ((rc = weft_post(racer->rt, add_one, racer->ran)) == 0) { /* ends: the runtime stops */
        atomic_fetch_add(racer->accepted, 1);
    }
    wt_eq(rc, -ESHUTDOWN);
    while ((rc = weft_call(racer->rt, add_one, racer->ran)) == 0) { /* refused too */
        wt_fail("taken after a refusal");
    }
    wt_eq(rc, -ESHUTDOWN);
    return NULL;
}

Test(runtime, a_post_that_races_with_stop_is_refused_or_run)
{
    for (int round = 0; round < 30; round++) {
        weft_rt *rt = start(2);
        atomic_int ran = 0;
        atomic_int accepted = 0;
        struct racer racer = {rt, &ran, &accepted};
        pthread_t threads[3];
        for (int i = 0; i < 3; i++) {
            wt_eq(pthread_create(&threads[i], NULL, post_until_refused, &racer), 0);
        }
        while (atomic_load(&ran) < round * 10) { /* ends: they post */
            sched_yield();
        }
        wt_eq(weft_rt_stop(rt, WEFT_SEC(30), WEFT_SEC(30)), 0);
        for (int i = 0; i < 3; i++) {
            pthread_join(threads[i], NULL);
        }
        wt_eq(atomic_load(&ran), atomic_load(&accepted));
        weft_rt_free(rt);
    }
}

/* --- what is reported ------------------------------------------------------------------------- */

static int fail_posted(void *arg)
{
    (void)arg;
    return weft_fail(-EPROTO, "byte %d is wrong", 17);
}

static int post_a_failure(void)
{
    weft_rt *rt = start(1);
    weft_post(rt, fail_posted, NULL);
    stop_and_free(rt);
    return 0;
}

Test(runtime, the_failure_of_a_posted_task_is_reported_with_its_place_and_text)
{
    struct captured captured;
    capture(&captured, post_a_failure);
    check_exited(&captured, 0);
    check_says(&captured, "test_runtime.c");
    check_says(&captured, "EPROTO");
    check_says(&captured, "byte 17 is wrong");
}

static int post_a_sleeper(void)
{
    weft_rt *rt = start(1);
    weft_post(rt, sleep_long, NULL);
    wt_eq(weft_rt_stop(rt, 0, WEFT_SEC(30)), 0);
    weft_rt_free(rt);
    return 0;
}

Test(runtime, a_posted_task_that_the_stop_cuts_short_has_not_failed)
{
    struct captured captured;
    capture(&captured, post_a_sleeper);
    check_exited(&captured, 0);
    wt_str_eq(captured.text, "");
}

/* --- leaks ------------------------------------------------------------------------------------ */

static int count_descriptors(void)
{
    int count = 0;
    DIR *dir = opendir("/proc/self/fd");
    wt_true(dir != NULL);
    while (readdir(dir) != NULL) {
        count++;
    }
    closedir(dir);
    return count;
}

static int count_mappings(void)
{
    int count = 0;
    int c;
    FILE *maps = fopen("/proc/self/maps", "r");
    wt_true(maps != NULL);
    while ((c = getc(maps)) != EOF) {
        count += c == '\n';
    }
    fclose(maps);
    return count;
}

WEFT_TASK(work_a_little, int)
{
    weft_task t;
    weft_spawn(&t, yield_and_return, (void *)(intptr_t)*arg);
    return weft_await(&t) == *arg ? 0 : -EPROTO;
}

static int use_everything(void *arg)
{
    (void)arg;
    WEFT_SCOPE(s);
    for (int i = 0; i < 100; i++) {
        weft_go(&s, work_a_little, &i);
    }
    wt_eq(weft_blocking(return_it, (void *)8), 8);
    weft_fail(-EIO, "a record");
    return weft_scope_end(&s);
}

/* Sanitizers keep memory of their own for each thread and stack that there ever was, and are
 * slow. */
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define STARTS        30
#define MAPPINGS_MORE 10000
#else
#define STARTS        200
#define MAPPINGS_MORE 30 /* libc keeps some stacks of ended threads */
#endif

Test(runtime, starting_and_stopping_often_leaks_no_descriptor_and_no_mapping)
{
    for (int i = 0; i < 10; i++) { /* libc's caches fill */
        wt_eq(weft_run(use_everything, NULL, .workers = 3), 0);
    }
    int descriptors = count_descriptors();
    int mappings = count_mappings();
    for (int i = 0; i < STARTS; i++) {
        wt_eq(weft_run(use_everything, NULL, .workers = 1 + i % 4), 0);
    }
    wt_eq(count_descriptors(), descriptors);
    wt_lt(count_mappings(), mappings + MAPPINGS_MORE);
}

Test(runtime, refused_starts_leak_nothing)
{
    int descriptors = count_descriptors();
    for (int i = 0; i < 100; i++) {
        weft_rt *rt;
        wt_eq(weft_rt_start(&rt, &(weft_rt_opts){.io = "teapot"}), -EINVAL);
    }
    wt_eq(count_descriptors(), descriptors);
}

/* --- work from outside, beside tasks that never cease ----------------------------------------- */

static atomic_int turns, called;
static weft_sem turn_of[2];

static void reset_turns(void)
{
    atomic_store(&turns, 0);
    atomic_store(&called, 0);
}

static int note_call(void *arg)
{
    (void)arg;
    atomic_store(&called, 1);
    return 0;
}

static void check_patience(int64_t give_up_ns)
{
    if (now_ns() > give_up_ns) {
        wt_die(__FILE__, __LINE__, "starved", " after %d turns the call has not run",
               atomic_load(&turns));
    }
}

static int hand_over_until_called(void *arg)
{
    int i = *(int *)arg;
    int64_t give_up_ns = now_ns() + PATTERN_PATIENCE_NS;
    while (atomic_load(&called) == 0) { /* ends: the call runs, or give_up_ns */
        atomic_fetch_add(&turns, 1);
        wt_eq(weft_sem_release(&turn_of[1 - i], 1), 0);
        wt_eq(weft_sem_acquire(&turn_of[i]), 0);
        check_patience(give_up_ns);
    }
    return weft_sem_release(&turn_of[1 - i], 1);
}

static int yield_until_called(void *arg)
{
    (void)arg;
    int64_t give_up_ns = now_ns() + PATTERN_PATIENCE_NS;
    while (atomic_load(&called) == 0) { /* ends: as above */
        atomic_fetch_add(&turns, 1);
        wt_eq(weft_yield(), 0);
        check_patience(give_up_ns);
    }
    return 0;
}

static int two_busy_tasks(void *body)
{
    weft_fn *fn = *(weft_fn **)body;
    weft_task tasks[2];
    int index[2] = {0, 1};
    for (int i = 0; i < 2; i++) {
        weft_sem_init(&turn_of[i], 0, 0);
        weft_spawn(&tasks[i], fn, &index[i]);
    }
    for (int i = 0; i < 2; i++) {
        wt_eq(weft_await(&tasks[i]), 0);
    }
    for (int i = 0; i < 2; i++) {
        weft_sem_fini(&turn_of[i]);
    }
    return 0;
}

static void call_beside(weft_fn *busy)
{
    weft_rt *rt = start(1);
    wt_eq(weft_post(rt, two_busy_tasks, &busy), 0);
    while (atomic_load(&turns) < 1000) { /* ends: they run */
        sched_yield();
    }
    wt_eq(weft_call(rt, note_call, NULL), 0);
    stop_and_free(rt);
}

Test(runtime, a_call_from_outside_runs_beside_tasks_that_hand_over_for_ever, .init = reset_turns)
{
    call_beside(hand_over_until_called);
}

Test(runtime, a_call_from_outside_runs_beside_tasks_that_yield_for_ever, .init = reset_turns)
{
    call_beside(yield_until_called);
}
