/* test_signal.c: signals as events.
 *
 * They are sent to a thread of the test's own, which has them unblocked and sleeps, and not to the
 * process: ThreadSanitizer delivers a signal only when the thread calls something that it knows,
 * which the main thread, waiting in weft_run, does not. */
#include "file_pattern.h"
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <weft/signal.h>

/* --- a thread that gets signals --------------------------------------------------------------- */

static pthread_t catcher;
static atomic_int catcher_stops;

static void *catch_signals(void *arg)
{
    (void)arg;
    while (!atomic_load(&catcher_stops)) { /* ends: stop_catcher */
        struct timespec nap = {.tv_nsec = 1000000};
        nanosleep(&nap, NULL); /* a signal ends it */
    }
    return NULL;
}

static void start_catcher(void)
{
    wt_eq(pthread_create(&catcher, NULL, catch_signals, NULL), 0);
}

static void stop_catcher(void)
{
    atomic_store(&catcher_stops, 1);
    pthread_join(catcher, NULL);
}

static void send_signal(int number)
{
    wt_eq(pthread_kill(catcher, number), 0);
}

/* TaskTest with such a thread, which leaves no descriptor. */
#define SignalTest(name, workers_, ...)                                            \
    static void signal_##name##_body(void);                                        \
    static int signal_##name##_root(void *arg)                                     \
    {                                                                              \
        (void)arg;                                                                 \
        int descriptors = count_descriptors();                                     \
        signal_##name##_body();                                                    \
        wt_eq(count_descriptors(), descriptors);                                   \
        return 0;                                                                  \
    }                                                                              \
    Test(signal, name, .init = start_catcher, .fini = stop_catcher, ##__VA_ARGS__) \
    {                                                                              \
        wt_eq(weft_run(signal_##name##_root, NULL, .workers = workers_), 0);       \
    }                                                                              \
    static void signal_##name##_body(void)

/* --- one listener ----------------------------------------------------------------------------- */

SignalTest(one_that_comes_before_the_wait_is_kept_and_one_during_it_ends_it, 2)
{
    weft_signal signals;
    wt_eq(weft_signal_open(&signals, (int[]){SIGUSR1, SIGTERM, 0}), 0);
    send_signal(SIGTERM);
    wt_eq(weft_signal_next(&signals), SIGTERM);
    wt_eq(weft_within(WEFT_MS(2), weft_signal_next(&signals)), -ETIME);
    for (int i = 0; i < 100; i++) {
        send_signal(i % 2 == 0 ? SIGUSR1 : SIGTERM);
        wt_eq(weft_signal_next(&signals), i % 2 == 0 ? SIGUSR1 : SIGTERM);
    }
    wt_eq(weft_within(0, weft_signal_next(&signals)), -ETIME);
    weft_signal_close(&signals);
    weft_signal_close(&signals);
    wt_eq(weft_signal_next(&signals), -EINVAL);
    static weft_signal zeroed;
    weft_signal_close(&zeroed);
    wt_eq(weft_signal_next(&zeroed), -EINVAL);
}

static atomic_int handled;

static void count_it(int number)
{
    (void)number;
    atomic_fetch_add(&handled, 1);
}

/* What a handler is to have done, soon. */
static void wait_for(atomic_int *counter, int value)
{
    while (atomic_load(counter) < value) { /* ends: the signal has been sent */
        weft_sleep(WEFT_US(100));
    }
}

SignalTest(many_of_one_number_are_merged_and_several_numbers_are_not, 1)
{
    weft_signal signals, other;
    wt_eq(weft_signal_open(&signals, (int[]){SIGUSR1, SIGUSR2, SIGHUP, SIGRTMIN + 3, 0}), 0);
    wt_eq(weft_signal_open(&other, (int[]){SIGWINCH, 0}), 0);
    for (int i = 0; i < 1000; i++) {
        send_signal(SIGUSR1);
    }
    send_signal(SIGRTMIN + 3);
    send_signal(SIGUSR2);
    send_signal(SIGHUP);
    /* all have been delivered when a thread has got one that was sent after them: a lower number is
     * delivered first, so this one is asked for until it comes */
    send_signal(SIGWINCH);
    wt_eq(weft_signal_next(&other), SIGWINCH);
    while (weft_within(WEFT_SEC(30), weft_signal_next(&signals)) != SIGRTMIN + 3) {
    }
    int got = 0;
    int rc;
    while ((rc = weft_within(WEFT_MS(1), weft_signal_next(&signals))) > 0) {
        got++;
    }
    wt_eq(rc, -ETIME);
    wt_le(got, 3);
    weft_signal_close(&signals);
    weft_signal_close(&other);
}

SignalTest(a_cancelled_wait_takes_none, 1)
{
    weft_signal signals;
    wt_eq(weft_signal_open(&signals, (int[]){SIGUSR1, 0}), 0);
    WEFT_SCOPE(s);
    weft_scope_cancel(&s, "test");
    send_signal(SIGUSR1);
    wt_eq(weft_signal_next(&signals), -ECANCELED);
    (void)weft_scope_end(&s);
    wt_eq(weft_signal_next(&signals), SIGUSR1);
    weft_signal_close(&signals);
}

/* --- several ---------------------------------------------------------------------------------- */

SignalTest(each_listener_gets_each_signal, 2)
{
    weft_signal listeners[10];
    for (int i = 0; i < 10; i++) {
        wt_eq(weft_signal_open(&listeners[i], (int[]){SIGUSR1, i % 2 == 0 ? SIGUSR2 : 0, 0}), 0);
    }
    send_signal(SIGUSR1);
    for (int i = 0; i < 10; i++) {
        wt_eq(weft_signal_next(&listeners[i]), SIGUSR1);
    }
    send_signal(SIGUSR2);
    wt_eq(weft_signal_next(&listeners[0]), SIGUSR2);
    weft_signal_close(&listeners[0]);
    wt_eq(weft_signal_next(&listeners[2]), SIGUSR2);
    wt_eq(weft_within(WEFT_MS(1), weft_signal_next(&listeners[1])), -ETIME);
    for (int i = 0; i < 10; i++) {
        weft_signal_close(&listeners[i]);
    }
}

struct waiter {
    weft_signal *signals;
    atomic_int *got;
};

WEFT_TASK(take_one, struct waiter)
{
    int number = weft_signal_next(arg->signals);
    if (number > 0) {
        atomic_fetch_or(arg->got, 1 << number);
    }
    return number < 0 ? number : 0;
}

SignalTest(of_several_tasks_that_wait_one_gets_it_and_none_is_forgotten, 2)
{
    weft_signal signals;
    wt_eq(weft_signal_open(&signals, (int[]){SIGUSR1, SIGUSR2, SIGTERM, 0}), 0);
    for (int round = 0; round < 20; round++) {
        atomic_int got = 0;
        struct waiter waiter = {&signals, &got};
        WEFT_SCOPE(s);
        for (int i = 0; i < 3; i++) {
            wt_eq(weft_go(&s, take_one, &waiter), 0);
        }
        send_signal(SIGUSR1);
        send_signal(SIGUSR2);
        send_signal(SIGTERM);
        wt_eq(weft_scope_end(&s), 0);
        wt_eq(atomic_load(&got), 1 << SIGUSR1 | 1 << SIGUSR2 | 1 << SIGTERM);
    }
    weft_signal_close(&signals);
}

/* --- before and after ------------------------------------------------------------------------- */

SignalTest(the_close_of_the_last_listener_puts_back_what_was_before, 1)
{
    struct sigaction mine = {.sa_handler = count_it}, now;
    sigaction(SIGUSR1, &mine, NULL);
    weft_signal a, b;
    wt_eq(weft_signal_open(&a, (int[]){SIGUSR1, 0}), 0);
    wt_eq(weft_signal_open(&b, (int[]){SIGUSR1, SIGUSR2, 0}), 0);
    send_signal(SIGUSR1);
    wt_eq(weft_signal_next(&a), SIGUSR1);
    weft_signal_close(&a);
    sigaction(SIGUSR1, NULL, &now);
    wt_ne(now.sa_handler, count_it);
    weft_signal_close(&b);
    sigaction(SIGUSR1, NULL, &now);
    wt_true(now.sa_handler == count_it);
    sigaction(SIGUSR2, NULL, &now);
    wt_true(now.sa_handler == SIG_DFL);
    wt_eq(atomic_load(&handled), 0);
    send_signal(SIGUSR1);
    wait_for(&handled, 1);
}

SignalTest(what_cannot_be_waited_for_is_refused_and_changes_nothing, 1)
{
    weft_signal signals;
    struct sigaction before, after;
    sigaction(SIGUSR1, NULL, &before);
    wt_eq(weft_signal_open(&signals, (int[]){0}), -EINVAL);
    wt_eq(weft_signal_open(&signals, (int[]){SIGUSR1, SIGKILL, 0}), -EINVAL);
    wt_eq(weft_signal_open(&signals, (int[]){SIGSTOP, 0}), -EINVAL);
    wt_eq(weft_signal_open(&signals, (int[]){SIGSEGV, 0}), -EINVAL);
    wt_eq(weft_signal_open(&signals, (int[]){SIGABRT, 0}), -EINVAL);
    wt_eq(weft_signal_open(&signals, (int[]){65, 0}), -EINVAL);
    wt_eq(weft_signal_open(&signals, (int[]){-1, 0}), -EINVAL);
    wt_eq(weft_signal_open(&signals, (int[]){SIGUSR1, 33, 0}), -EINVAL); /* libc's own */
    sigaction(SIGUSR1, NULL, &after);
    wt_true(before.sa_handler == after.sa_handler);
    weft_signal_close(&signals);
    static weft_signal many[WEFT_SIGNAL_MAX + 1];
    for (int i = 0; i < WEFT_SIGNAL_MAX; i++) {
        wt_eq(weft_signal_open(&many[i], (int[]){SIGUSR2, 0}), 0);
    }
    wt_eq(weft_signal_open(&many[WEFT_SIGNAL_MAX], (int[]){SIGUSR2, 0}), -EAGAIN);
    weft_signal_close(&many[7]);
    wt_eq(weft_signal_open(&many[7], (int[]){SIGUSR2, 0}), 0);
    for (int i = 0; i < WEFT_SIGNAL_MAX; i++) {
        weft_signal_close(&many[i]);
    }
    struct rlimit limit, none;
    getrlimit(RLIMIT_NOFILE, &limit);
    none = limit;
    none.rlim_cur = 0;
    setrlimit(RLIMIT_NOFILE, &none);
    wt_eq(weft_signal_open(&signals, (int[]){SIGUSR2, 0}), -EMFILE);
    setrlimit(RLIMIT_NOFILE, &limit);
}

/* --- at any moment ---------------------------------------------------------------------------- */

static atomic_int storm_over;

static void *storm(void *arg)
{
    (void)arg;
    while (!atomic_load(&storm_over)) { /* ends: the test says so */
        send_signal(SIGUSR1);
        send_signal(SIGUSR2);
        sched_yield();
    }
    return NULL;
}

/* Listeners come and go while signals arrive: none is lost by one that stays, and none is touched
 * after its close (AddressSanitizer sees that). */
SignalTest(listeners_may_open_and_close_while_signals_arrive, 2)
{
    struct sigaction ignore = {.sa_handler = SIG_IGN};
    sigaction(SIGUSR1, &ignore, NULL);
    sigaction(SIGUSR2, &ignore, NULL);
    weft_signal stays;
    wt_eq(weft_signal_open(&stays, (int[]){SIGUSR2, 0}), 0);
    pthread_t thread;
    wt_eq(pthread_create(&thread, NULL, storm, NULL), 0);
    for (int i = 0; i < 200; i++) {
        weft_signal *comes = malloc(sizeof *comes);
        wt_eq(weft_signal_open(comes, (int[]){SIGUSR1, SIGUSR2, 0}), 0);
        wt_gt(weft_signal_next(i % 2 == 0 ? comes : &stays), 0);
        weft_signal_close(comes);
        free(comes);
    }
    atomic_store(&storm_over, 1);
    pthread_join(thread, NULL);
    send_signal(SIGUSR2);
    wt_eq(weft_signal_next(&stays), SIGUSR2);
    weft_signal_close(&stays);
}

/* --- as programs do --------------------------------------------------------------------------- */

#ifndef __SANITIZE_THREAD__ /* see above */

/* In a forked child a signal does again what it did before. */
SignalTest(a_forked_child_has_its_signals_back, 1)
{
    weft_signal signals;
    wt_eq(weft_signal_open(&signals, (int[]){SIGTERM, 0}), 0);
    pid_t pid = fork();
    if (pid == 0) {
        sigset_t all;
        sigfillset(&all);
        pthread_sigmask(SIG_UNBLOCK, &all, NULL);
        kill(getpid(), SIGTERM);
        for (;;) { /* ends: by the signal */
            sleep(1);
        }
    }
    int status;
    wt_eq(waitpid(pid, &status, 0), pid);
    wt_true(WIFSIGNALED(status));
    wt_eq(WTERMSIG(status), SIGTERM);
    wt_eq(weft_within(WEFT_MS(1), weft_signal_next(&signals)), -ETIME);
    weft_signal_close(&signals);
}

static int stop_by_signal(void *arg)
{
    (void)arg;
    weft_signal signals;
    wt_eq(weft_signal_open(&signals, (int[]){SIGINT, SIGTERM, 0}), 0);
    wt_eq(kill(getpid(), SIGINT), 0);
    wt_eq(weft_signal_next(&signals), SIGINT);
    weft_signal_close(&signals);
    return 0;
}

Test(signal, the_main_thread_in_weft_run_is_enough_to_get_them)
{
    wt_eq(weft_run(stop_by_signal, NULL, .workers = 2), 0);
}

#endif

Test(signal, outside_a_task_they_cannot_be_waited_for)
{
    weft_signal signals;
    wt_eq(weft_signal_open(&signals, (int[]){SIGUSR1, 0}), 0);
    wt_eq(weft_signal_next(&signals), -EPERM);
    weft_signal_close(&signals);
}
