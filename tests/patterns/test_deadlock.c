/* What weft says when nothing can ever go on: enum weft_deadlock of <weft/task.h>, and
 * weft_dump. */
#include "pattern.h"
#include "capture.h"
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>
#include <weft/debug.h>
#include <weft/file.h>
#include <weft/io.h>
#include <weft/stackless.h>
#include <weft/sync.h>

static int wait_for_ever(void *sem)
{
    return weft_sem_acquire(sem);
}

static int two_wait(void *arg)
{
    (void)arg;
    weft_sem sem;
    weft_sem_init(&sem, 0, 0);
    weft_task t;
    wt_eq(weft_spawn(&t, wait_for_ever, &sem), 0);
    (void)weft_yield(); /* so that it waits on a stack of its own */
    int rc = weft_await(&t);
    weft_sem_fini(&sem);
    return rc;
}

static int run_two_wait(void)
{
    return weft_run(two_wait, NULL, .workers = 2, .deadlock = WEFT_DEADLOCK_ALWAYS) != -EDEADLK;
}

Test(deadlock, a_run_whose_tasks_all_wait_ends_with_edeadlk_and_says_what_for)
{
    struct captured said;
    capture(&said, run_two_wait);
    check_exited(&said, 0);
    check_says(&said, "weft: deadlock");
    check_says(&said, "task wait_for_ever (started at");
    check_says(&said, "waits for weft_sem_acquire");
    check_says(&said, "waits for a task: task wait_for_ever");
}

static weft_sem released_outside;
static void *release_later(void *arg)
{
    (void)arg;
    usleep(20000);
    (void)weft_sem_release(&released_outside, 1);
    return NULL;
}

Test(deadlock, with_another_thread_in_the_process_nothing_is_certain)
{
    weft_sem_init(&released_outside, 0, 0);
    pthread_t thread;
    wt_eq(pthread_create(&thread, NULL, release_later, NULL), 0);
    wt_eq(weft_run(wait_for_ever, &released_outside, .workers = 2), 0);
    wt_eq(pthread_join(thread, NULL), 0);
}

static int sleep_and_sleep(void *arg)
{
    (void)arg;
    weft_sem sem;
    weft_sem_init(&sem, 0, 0);
    wt_eq(weft_within(WEFT_MS(20), weft_sem_acquire(&sem)), -ETIME);
    weft_sem_fini(&sem);
    int fds[2];
    wt_eq(pipe(fds), 0);
    char byte;
    wt_eq(weft_within(WEFT_MS(20), weft_read(fds[0], &byte, 1)), -ETIME);
    close(fds[0]);
    close(fds[1]);
    return 0;
}

static int nap(void *arg)
{
    (void)arg;
    usleep(20000);
    return 0;
}

static int block(void *arg)
{
    (void)arg;
    return weft_blocking(nap, NULL);
}

Test(deadlock, timers_operations_and_blocking_calls_are_reasons_to_wait)
{
    wt_eq(weft_run(sleep_and_sleep, NULL, .deadlock = WEFT_DEADLOCK_ALWAYS), 0);
    wt_eq(weft_run(block, NULL, .deadlock = WEFT_DEADLOCK_ALWAYS), 0);
}

static int wait_within_forever(void *arg)
{
    (void)arg;
    weft_sem sem;
    weft_sem_init(&sem, 0, 0);
    int rc = weft_within(WEFT_FOREVER, weft_sem_acquire(&sem));
    weft_sem_fini(&sem);
    return rc;
}

static int run_wait_within_forever(void)
{
    return weft_run(wait_within_forever, NULL, .workers = 1, .deadlock = WEFT_DEADLOCK_ALWAYS) !=
           -EDEADLK;
}

/* E2: a timer would be a reason to wait. */
Test(deadlock, a_deadline_of_forever_arms_no_timer)
{
    struct captured said;
    capture(&said, run_wait_within_forever);
    check_exited(&said, 0);
    check_says(&said, "weft: deadlock");
}

static int await_the_other(void *other)
{
    (void)weft_yield();
    return weft_await(*(weft_task **)other);
}

static int await_each_other(void *arg)
{
    (void)arg;
    weft_task a, b;
    weft_task *of_a = &b, *of_b = &a;
    wt_eq(weft_spawn(&a, await_the_other, &of_a), 0);
    wt_eq(weft_spawn(&b, await_the_other, &of_b), 0);
    wt_eq(weft_await(&a), 0);
    return weft_await(&b);
}

static int run_await_each_other(void)
{
    return weft_run(await_each_other, NULL, .workers = 1, .deadlock = WEFT_DEADLOCK_ALWAYS);
}

Test(deadlock, tasks_that_await_each_other_end_the_process)
{
    struct captured said;
    capture(&said, run_await_each_other);
    check_aborted(&said);
    check_says(&said, "cannot be cancelled");
}

Test(deadlock, it_can_be_switched_off)
{
    weft_sem_init(&released_outside, 0, 0);
    weft_rt *rt;
    weft_rt_opts opts = {.workers = 1, .deadlock = WEFT_DEADLOCK_OFF};
    wt_eq(weft_rt_start(&rt, &opts), 0);
    wt_eq(weft_post(rt, wait_for_ever, &released_outside), 0);
    usleep(2000);
    wt_eq(weft_sem_release(&released_outside, 1), 0);
    weft_rt_free(rt);
    opts.deadlock = 3;
    wt_eq(weft_rt_start(&rt, &opts), -EINVAL);
}

/* --- dump ------------------------------------------------------------------------------------- */

static int yield_until_told(void *told)
{
    while (!atomic_load((atomic_bool *)told)) { /* ends: after the dump */
        (void)weft_yield();
    }
    return 0;
}

static int dump_some(void *stacks)
{
    weft_sem sem;
    weft_sem_init(&sem, 0, 0);
    WEFT_SCOPE(s, .timeout = WEFT_SEC(60));
    weft_task waits, yields;
    atomic_bool told = false;
    wt_eq(weft_spawn(&waits, wait_for_ever, &sem), 0);
    wt_eq(weft_spawn(&yields, yield_until_told, &told), 0);
    (void)weft_yield();
    *(int *)stacks = weft_dump(weft_rt_current(), STDERR_FILENO);
    atomic_store(&told, true);
    wt_eq(weft_sem_release(&sem, 1), 0);
    wt_eq(weft_await(&waits), 0);
    wt_eq(weft_await(&yields), 0);
    wt_eq(weft_scope_end(&s), 0);
    weft_sem_fini(&sem);
    return 0;
}

static int run_dump(void)
{
    int stacks = 0;
    int rc = weft_run(dump_some, &stacks, .workers = 1);
    return rc == 0 && stacks == 3 ? 0 : 1;
}

Test(deadlock, a_dump_names_every_stack_with_what_it_waits_for_and_its_scope)
{
    struct captured said;
    capture(&said, run_dump);
    check_exited(&said, 0);
    check_says(&said, "workers, I/O by");
    check_says(&said, "task wait_for_ever (started at");
    check_says(&said, "waits for weft_sem_acquire; scope");
    check_says(&said, " s left");
    check_says(&said, "task dump_some (started at");
    check_says(&said, "runs on worker 0");
    check_says(&said, "is ready to run");
}

/* --- locks taken in different orders ---------------------------------------------------------- */

struct two_locks {
    weft_mutex first;
    weft_rwlock second;
};

static int first_then_second(void *arg)
{
    struct two_locks *locks = arg;
    wt_eq(weft_mutex_lock(&locks->first), 0);
    (void)weft_yield();
    int rc = weft_rwlock_read(&locks->second);
    wt_eq(weft_mutex_unlock(&locks->first), 0);
    return rc;
}

static int second_then_first(void *arg)
{
    struct two_locks *locks = arg;
    wt_eq(weft_rwlock_write(&locks->second), 0);
    (void)weft_yield();
    int rc = weft_mutex_lock(&locks->first);
    wt_eq(weft_rwlock_unlock(&locks->second), 0);
    return rc;
}

static int spawned_line;

static int take_in_both_orders(void *arg)
{
    (void)arg;
    struct two_locks locks;
    weft_mutex_init(&locks.first);
    weft_rwlock_init(&locks.second);
    weft_task a;
    weft_task b;
    spawned_line = __LINE__ + 1;
    weft_spawn(&a, first_then_second, &locks);
    weft_spawn(&b, second_then_first, &locks);
    for (int i = 0; i < 10; i++) {
        (void)weft_yield();
    }
    int rc_a = weft_await(&a);
    int rc_b = weft_await(&b);
    wt_eq(rc_a, -ECANCELED);
    wt_eq(rc_b, -ECANCELED);
    weft_mutex_fini(&locks.first);
    weft_rwlock_fini(&locks.second);
    return rc_a;
}

static int run_take_in_both_orders(void)
{
    int rc = weft_run(take_in_both_orders, NULL, .workers = 1, .deadlock = WEFT_DEADLOCK_ALWAYS);
    fprintf(stderr, "spawned at %d\n", spawned_line);
    return rc != -EDEADLK;
}

Test(deadlock, locks_taken_in_both_orders_end_with_edeadlk_and_the_dump_names_the_holders)
{
    struct captured said;
    capture(&said, run_take_in_both_orders);
    check_exited(&said, 0);
    const char *line = strstr(said.text, "spawned at ");
    wt_true(line != NULL);
    int number = atoi(line + strlen("spawned at "));
    char part[128];
    snprintf(part, sizeof part, "test_deadlock.c:%d", number);
    check_says(&said, "waits for weft_rwlock_read, held by the task started at ");
    check_says(&said, "waits for weft_mutex_lock, held by the task started at ");
    check_says(&said, part);
    snprintf(part, sizeof part, "test_deadlock.c:%d", number + 1);
    check_says(&said, part);
}

/* --- what ends, and makes nothing ready ------------------------------------------------------- */

struct unread {
    weft_sem sem; /* nobody releases it */
    weft_val val;
    int fds[2];
    char byte;
};

static struct unread unread[2];
static atomic_int unread_begun;

/* On whatever worker; on two, mostly, since it keeps its worker until the other has begun. */
static int begin_and_wait_for_ever(void *arg)
{
    struct unread *mine = arg;
    mine->val = weft_recv_v(mine->fds[0], &mine->byte, 1, 0);
    atomic_fetch_add(&unread_begun, 1);
    int64_t give_up_ns = now_ns() + 20000000;
    while (atomic_load(&unread_begun) < 2 && now_ns() < give_up_ns) {
    }
    return weft_sem_acquire(&mine->sem);
}

static int leave_unread(void *arg)
{
    (void)arg;
    weft_task tasks[2];
    int rc = 0;
    for (int i = 0; i < 2; i++) {
        wt_eq(weft_spawn(&tasks[i], begin_and_wait_for_ever, &unread[i]), 0);
    }
    for (int i = 0; i < 2; i++) {
        rc = weft_await(&tasks[i]);
    }
    for (int i = 0; i < 2; i++) {
        weft_val_drop(unread[i].val);
    }
    return rc;
}

/* While the workers look out for each other, or later. */
static void *feed_unread(void *delay_us)
{
    while (atomic_load(&unread_begun) < 2) {
        usleep(100);
    }
    for (int i = 0; i < 2; i++) {
        usleep(*(const useconds_t *)delay_us);
        wt_eq(send(unread[i].fds[1], "x", 1, 0), 1);
    }
    return NULL;
}

static int run_leave_unread(void)
{
    for (useconds_t delay_us = 500; delay_us < 10000; delay_us += 500) {
        pthread_t thread;
        atomic_store(&unread_begun, 0);
        for (int i = 0; i < 2; i++) {
            weft_sem_init(&unread[i].sem, 0, 0);
            wt_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, unread[i].fds), 0);
        }
        wt_eq(pthread_create(&thread, NULL, feed_unread, &delay_us), 0);
        wt_eq(weft_run(leave_unread, NULL, .workers = 2, .deadlock = WEFT_DEADLOCK_ALWAYS),
              -EDEADLK);
        wt_eq(pthread_join(thread, NULL), 0);
        for (int i = 0; i < 2; i++) {
            weft_sem_fini(&unread[i].sem);
            close(unread[i].fds[0]);
            close(unread[i].fds[1]);
        }
    }
    return 0;
}

/* The last operation has ended, nobody takes its result, and so no task ever goes on: that is seen,
 * whatever the worker does that it has ended at. */
Test(deadlock, an_operation_whose_result_nobody_takes_may_have_been_the_last, .timeout = 60)
{
    struct captured said;
    capture(&said, run_leave_unread);
    check_exited(&said, 0);
    check_says(&said, "weft: deadlock");
}

/* So that whoever it makes ready runs first. */
static int give_way(void *arg)
{
    (void)arg;
    (void)sched_setscheduler(0, SCHED_IDLE, &(struct sched_param){.sched_priority = 0});
    usleep(1000);
    return 0;
}

static int call_and_wait_for_ever(void *sem)
{
    int rc = weft_blocking(give_way, NULL);
    return rc < 0 ? rc : weft_sem_acquire(sem);
}

static int run_call_and_wait(void)
{
    cpu_set_t one;
    CPU_ZERO(&one);
    CPU_SET((unsigned)sched_getcpu(), &one);
    wt_eq(sched_setaffinity(0, sizeof one, &one), 0);
    weft_sem sem;
    weft_sem_init(&sem, 0, 0);
    for (int i = 0; i < 10; i++) {
        wt_eq(weft_run(call_and_wait_for_ever, &sem, .workers = 1, .deadlock = WEFT_DEADLOCK_ALWAYS,
                       .patience = -1),
              -EDEADLK);
    }
    weft_sem_fini(&sem);
    return 0;
}

/* The thread of the call has made the task ready, and is not idle yet when the worker sleeps. */
Test(deadlock, a_blocking_call_that_has_just_returned_is_no_reason_to_wait, .timeout = 60)
{
    struct captured said;
    capture(&said, run_call_and_wait);
    check_exited(&said, 0);
    check_says(&said, "weft: deadlock");
}

/* --- what is certain -------------------------------------------------------------------------- */

static int open_and_wait_for_ever(void *sem)
{
    int fd = weft_open("/dev/null", O_RDONLY | O_CLOEXEC, 0);
    wt_ge(fd, 0);
    close(fd);
    return weft_sem_acquire(sem);
}

static int run_open_and_wait(void)
{
    weft_sem sem;
    weft_sem_init(&sem, 0, 0);
    int rc = is_alone() ? weft_run(open_and_wait_for_ever, &sem, .workers = 2) : -EDEADLK;
    weft_sem_fini(&sem);
    return rc != -EDEADLK;
}

/* By epoll a thread of ours has opened it, which then is idle, and there. */
Test(deadlock, after_a_file_was_opened_it_is_certain_still, .timeout = 60)
{
    struct captured said;
    capture(&said, run_open_and_wait);
    check_exited(&said, 0);
}

/* Whoever joins it goes on before the kernel has closed them all. */
static void *leave_descriptors(void *arg)
{
    (void)arg;
    if (unshare(CLONE_FILES) == 0) {
        while (dup(STDERR_FILENO) >= 0) { /* ends: the limit */
        }
    }
    return NULL;
}

static int join_and_wait_for_ever(void *sem)
{
    pthread_t thread;
    wt_eq(pthread_create(&thread, NULL, leave_descriptors, NULL), 0);
    wt_eq(pthread_join(thread, NULL), 0);
    return weft_sem_acquire(sem);
}

static int run_join_and_wait(void)
{
    weft_sem sem;
    weft_sem_init(&sem, 0, 0);
    struct rlimit limit;
    wt_eq(getrlimit(RLIMIT_NOFILE, &limit), 0);
    limit.rlim_cur = limit.rlim_max < 20000 ? limit.rlim_max : 20000;
    wt_eq(setrlimit(RLIMIT_NOFILE, &limit), 0);
    int rc = -EDEADLK;
    int rounds = is_alone() ? 10 : 0;
    for (int i = 0; i < rounds && rc == -EDEADLK; i++) {
        rc = weft_run(join_and_wait_for_ever, &sem, .workers = 1);
    }
    weft_sem_fini(&sem);
    return rc != -EDEADLK;
}

Test(deadlock, a_thread_that_is_ending_makes_nothing_uncertain, .timeout = 60)
{
    struct captured said;
    capture(&said, run_join_and_wait);
    check_exited(&said, 0);
}
