/* Calls that block a thread, made from tasks. */
#include "pattern.h"
#include <pthread.h>
#include <semaphore.h>
#include <sys/mman.h>
#include <unistd.h>
#include <weft/file.h>
#include <weft/io.h>
#include <weft/sync.h>

static int return_it(void *arg)
{
    return (int)(intptr_t)arg;
}

static int is_outside(void *worker)
{
    wt_true(!pthread_equal(pthread_self(), *(pthread_t *)worker));
    wt_true(weft_rt_current() == NULL);
    wt_eq(weft_yield(), -EPERM);
    wt_eq(weft_check(), 0);
    return 1;
}

TaskTest(blocking, runs_the_function_on_another_thread_outside_of_tasks, 1)
{
    pthread_t worker = pthread_self();
    wt_eq(weft_blocking(is_outside, &worker), 1);
    return 0;
}

TaskTest(blocking, returns_the_functions_result, 1)
{
    wt_eq(weft_blocking(return_it, (void *)42), 42);
    wt_eq(weft_blocking(return_it, (void *)(intptr_t)-EIO), -EIO);
    return 0;
}

Test(blocking, outside_a_task_it_is_eperm)
{
    wt_eq(weft_blocking(return_it, NULL), -EPERM);
}

static int wait_for_post(void *sem)
{
    while (sem_wait(sem) != 0) { /* ends: EINTR only */
    }
    return 3;
}

static int block(void *sem)
{
    return weft_blocking(wait_for_post, sem);
}

TaskTest(blocking, does_not_keep_the_worker_from_other_tasks, 1)
{
    sem_t sem;
    sem_init(&sem, 0, 0);
    weft_task t[10];
    for (int i = 0; i < 10; i++) {
        weft_spawn(&t[i], block, &sem);
    }
    for (int i = 0; i < 1000; i++) {
        wt_eq(weft_yield(), 0);
    }
    for (int i = 0; i < 10; i++) {
        wt_eq(weft_status(&t[i]), -EINPROGRESS);
    }
    for (int i = 0; i < 10; i++) {
        sem_post(&sem);
    }
    for (int i = 0; i < 10; i++) {
        wt_eq(weft_await(&t[i]), 3);
    }
    sem_destroy(&sem);
    return 0;
}

struct crowd {
    atomic_int inside, most, ended;
};

static int crowd_in(void *arg)
{
    struct crowd *crowd = arg;
    int inside = atomic_fetch_add(&crowd->inside, 1) + 1;
    int most = atomic_load(&crowd->most);
    while (inside > most && !atomic_compare_exchange_weak(&crowd->most, &most, inside)) {
    }
    int64_t until_ns = now_ns() + WEFT_US(300);
    while (now_ns() < until_ns) { /* ends: keeps the thread for a while */
        sched_yield();
    }
    atomic_fetch_sub(&crowd->inside, 1);
    atomic_fetch_add(&crowd->ended, 1);
    return 0;
}

WEFT_TASK(block_in_crowd, struct crowd *)
{
    return weft_blocking(crowd_in, *arg);
}

static int calls_beyond_the_cap(void *arg)
{
    struct crowd *crowd = arg;
    WEFT_SCOPE(s);
    for (int i = 0; i < 100; i++) {
        weft_go(&s, block_in_crowd, &crowd);
    }
    return weft_scope_end(&s);
}

Test(blocking, calls_beyond_the_cap_wait_their_turn)
{
    struct crowd crowd = {0};
    wt_eq(weft_run(calls_beyond_the_cap, &crowd, .workers = 2, .blocking_max = 3), 0);
    wt_eq(atomic_load(&crowd.ended), 100);
    wt_le(atomic_load(&crowd.most), 3);
    struct crowd one = {0};
    wt_eq(weft_run(calls_beyond_the_cap, &one, .workers = 2, .blocking_max = 1), 0);
    wt_eq(atomic_load(&one.ended), 100);
    wt_eq(atomic_load(&one.most), 1);
}

static int count_call(void *arg)
{
    atomic_fetch_add((atomic_int *)arg, 1);
    return 0;
}

TaskTest(blocking, in_a_cancelled_scope_the_function_is_not_called, 1)
{
    atomic_int calls = 0;
    WEFT_SCOPE(s);
    weft_scope_cancel(&s, NULL);
    wt_eq(weft_blocking(count_call, &calls), -ECANCELED);
    weft_scope_end(&s);
    wt_eq(atomic_load(&calls), 0);
    return 0;
}

TaskTest(blocking, after_the_deadline_the_function_is_not_called, 1)
{
    atomic_int calls = 0;
    wt_eq(weft_within(0, weft_blocking(count_call, &calls)), -ETIME,
          "it cannot be tried without waiting");
    wt_eq(atomic_load(&calls), 0);
    return 0;
}

struct late {
    sem_t sem;
    atomic_int begun;
};

static int begin_and_wait(void *arg)
{
    struct late *late = arg;
    atomic_store(&late->begun, 1);
    return wait_for_post(&late->sem);
}

WEFT_TASK(block_late, struct late *)
{
    int rc = weft_blocking(begin_and_wait, *arg);
    wt_eq(rc, 3, "the function's result is kept");
    wt_eq(weft_check(), -ECANCELED, "and the cancellation is seen afterwards");
    return rc;
}

static int block_late_alone(void *arg)
{
    struct late **late = arg;
    return weft_blocking(begin_and_wait, *late);
}

TaskTest(blocking, a_cancellation_is_seen_after_the_function_has_returned, 1)
{
    struct late late = {0};
    struct late *pointer = &late;
    sem_init(&late.sem, 0, 0);
    WEFT_SCOPE(s);
    weft_go(&s, block_late, &pointer);
    yield_until(&late.begun, 1);
    weft_scope_cancel(&s, NULL);
    wt_eq(weft_yield(), -ECANCELED);
    wt_eq(weft_scope_count(&s), 1);
    sem_post(&late.sem);
    wt_eq(weft_scope_end(&s), 0);
    sem_destroy(&late.sem);
    return 0;
}

WEFT_TASK(block_behind, atomic_int *)
{
    return weft_blocking(count_call, *arg);
}

/* One thread, which is busy. */
static int cancel_what_waits_its_turn(void *arg)
{
    (void)arg;
    struct late late = {0};
    struct late *pointer = &late;
    sem_init(&late.sem, 0, 0);
    weft_task busy;
    wt_eq(weft_spawn(&busy, block_late_alone, &pointer), 0);
    yield_until(&late.begun, 1);
    WEFT_SCOPE(s);
    atomic_int calls = 0;
    atomic_int *counter = &calls;
    for (int i = 0; i < 3; i++) {
        weft_go(&s, block_behind, &counter);
    }
    wt_eq(weft_yield(), 0);
    weft_scope_cancel(&s, NULL);
    wt_eq(weft_scope_end(&s), -ECANCELED);
    wt_eq(weft_within(WEFT_MS(1), weft_blocking(count_call, &calls)), -ETIME);
    wt_eq(weft_status(&busy), -EINPROGRESS);
    sem_post(&late.sem);
    wt_eq(weft_await(&busy), 3);
    wt_eq(weft_blocking(count_call, &calls), 0);
    wt_eq(atomic_load(&calls), 1, "the others were not called, and will not be");
    sem_destroy(&late.sem);
    return 0;
}

Test(blocking, a_call_that_waits_its_turn_is_cancelled_at_once, .timeout = 60)
{
    wt_eq(weft_run(cancel_what_waits_its_turn, NULL, .workers = 1, .blocking_max = 1), 0);
}

/* The only thread for functions waits for what comes after the file was written. */
static int write_meanwhile(void *arg)
{
    (void)arg;
    struct late late = {0};
    struct late *pointer = &late;
    sem_init(&late.sem, 0, 0);
    weft_task busy;
    wt_eq(weft_spawn(&busy, block_late_alone, &pointer), 0);
    yield_until(&late.begun, 1);
    int fd = memfd_create("file", MFD_CLOEXEC);
    wt_eq(weft_write(fd, "text", 4), 4);
    wt_eq(weft_ftruncate(fd, 2), 0);
    sem_post(&late.sem);
    wt_eq(weft_await(&busy), 3);
    wt_eq(weft_close(fd), 0);
    sem_destroy(&late.sem);
    return 0;
}

Test(blocking, calls_on_files_do_not_wait_for_functions, .timeout = 60)
{
    wt_eq(weft_run(write_meanwhile, NULL, .workers = 1, .blocking_max = 1), 0);
}

struct hand_off {
    weft_sem sem;
    weft_rt *rt;
};

static int release_from_thread(void *arg)
{
    struct hand_off *hand_off = arg;
    wt_eq(weft_call(hand_off->rt, return_it, (void *)5), 5,
          "a blocking thread is a foreign thread");
    return weft_sem_release(&hand_off->sem, 1);
}

static int block_and_release(void *arg)
{
    return weft_blocking(release_from_thread, arg);
}

TaskTest(blocking, the_function_may_call_back_into_the_runtime, 1)
{
    struct hand_off hand_off = {.rt = weft_rt_current()};
    weft_sem_init(&hand_off.sem, 0, 0);
    weft_task t;
    weft_spawn(&t, block_and_release, &hand_off);
    wt_eq(weft_sem_acquire(&hand_off.sem), 0);
    wt_eq(weft_await(&t), 0);
    weft_sem_fini(&hand_off.sem);
    return 0;
}

WEFT_TASK(block_often, int)
{
    for (int i = 0; i < 300; i++) {
        wt_eq(weft_blocking(return_it, (void *)(intptr_t)i), i);
    }
    return 0;
}

static int many_calls(void *arg)
{
    (void)arg;
    WEFT_SCOPE(s);
    for (int i = 0; i < 20; i++) {
        weft_go(&s, block_often, &i);
    }
    return weft_scope_end(&s);
}

Test(blocking, many_calls_come_back_once_each)
{
    wt_eq(weft_run(many_calls, NULL, .workers = 1, .blocking_max = 4), 0);
    wt_eq(weft_run(many_calls, NULL, .workers = 8, .blocking_max = 64), 0);
}
