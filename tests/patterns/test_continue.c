/* Continuations: work that is run when a task ends. */
#include "pattern.h"
#include <weft/debug.h>
#include <weft/sync.h>

static int return_arg(void *arg)
{
    return (int)(intptr_t)arg;
}

static int count_up(void *arg)
{
    return atomic_fetch_add((atomic_int *)arg, 1) + 1;
}

struct waits {
    weft_sem *sem;
    int rc;
};

static int wait_and_return(void *arg)
{
    struct waits *waits = arg;
    int rc = weft_sem_acquire(waits->sem);
    return rc < 0 ? rc : waits->rc;
}

static int after_an_end(void *arg)
{
    (void)arg;
    weft_sem go;
    weft_sem_init(&go, 0, 0);
    struct waits waits = {&go, 5};
    atomic_int count = 0;
    weft_task t;
    weft_cont c;
    WEFT_SCOPE(s);
    weft_spawn(&t, wait_and_return, &waits);
    wt_eq(weft_continue(&c, &t, count_up, &count, WEFT_ON_DONE), 0);
    wt_eq(weft_scope_count(&s), 1);
    wt_eq(weft_status(&c.task), -EINPROGRESS);
    wt_eq(atomic_load(&count), 0);
    weft_sem_release(&go, 1);
    wt_eq(weft_await(&t), 5);
    wt_eq(weft_scope_end(&s), 0);
    wt_eq(atomic_load(&count), 1);
    wt_eq(weft_status(&c.task), 1);
    weft_sem_fini(&go);
    return 0;
}

Test(cont, it_runs_when_the_task_has_ended_and_the_scope_waits_for_it)
{
    wt_eq(weft_run(after_an_end, NULL, .workers = 1), 0);
    wt_eq(weft_run(after_an_end, NULL, .workers = 2), 0);
    wt_eq(weft_run(after_an_end, NULL, .workers = 8), 0);
}

TaskTest(cont, of_a_task_that_has_ended_it_runs_at_once, 2)
{
    atomic_int count = 0;
    weft_task t;
    weft_cont c;
    weft_spawn(&t, return_arg, (void *)3);
    wt_eq(weft_await(&t), 3);
    wt_eq(weft_continue(&c, &t, count_up, &count, WEFT_ON_DONE), 0);
    wt_eq(weft_await(&c.task), 1);
    wt_eq(atomic_load(&count), 1);
    return 0;
}

/* With one worker: nobody else runs between two lines of the root. */
TaskTest(cont, it_never_runs_inside_the_call_that_makes_it, 1)
{
    atomic_int count = 0;
    weft_task t;
    weft_cont c;
    weft_spawn(&t, return_arg, (void *)3);
    weft_await(&t);
    weft_continue(&c, &t, count_up, &count, WEFT_ON_DONE);
    wt_eq(atomic_load(&count), 0);
    wt_eq(weft_await(&c.task), 1);
    return 0;
}

/* With one worker: the task is run on top of the root, whose await then goes on before anybody
 * else. */
TaskTest(cont, it_never_runs_inside_the_call_that_ends_the_task, 1)
{
    atomic_int count = 0;
    weft_task t;
    weft_cont c;
    weft_spawn(&t, return_arg, (void *)3);
    weft_continue(&c, &t, count_up, &count, WEFT_ON_DONE);
    wt_eq(weft_await(&t), 3);
    wt_eq(atomic_load(&count), 0);
    wt_eq(weft_await(&c.task), 1);
    return 0;
}

/* --- which ends ------------------------------------------------------------------------------- */

enum how { OK, FAULT, CANCEL, HOWS };

static const int end_bits[HOWS] = {WEFT_ON_OK, WEFT_ON_FAULT, WEFT_ON_CANCEL};

static int flags_decide(void *arg)
{
    bool ended_before = (bool)(intptr_t)arg;
    weft_sem never;
    weft_sem_init(&never, 0, 0);
    for (int how = 0; how < HOWS; how++) {
        for (int ends = 1; ends <= WEFT_ON_DONE; ends++) {
            struct waits waits = {&never, 0};
            atomic_int count = 0;
            weft_task t;
            weft_cont c;
            WEFT_SCOPE(outer);
            WEFT_SCOPE(s);
            if (how == CANCEL) {
                weft_spawn(&t, wait_and_return, &waits);
            } else {
                weft_spawn(&t, return_arg, (void *)(intptr_t)(how == OK ? 7 : -EIO));
            }
            if (ended_before) {
                /* of the outer scope, where nothing is cancelled; it is made after the end */
                weft_scope_cancel(&s, NULL);
                weft_await(&t);
                wt_eq(weft_scope_end(&s), 0);
                wt_eq(weft_continue(&c, &t, count_up, &count, ends), 0);
            } else {
                wt_eq(weft_continue(&c, &t, count_up, &count, ends), 0);
                weft_scope_cancel(&s, NULL);
                weft_await(&t);
            }
            wt_eq(weft_status(&t), how == OK ? 7 : how == FAULT ? -EIO : -ECANCELED);
            bool wanted = (ends & end_bits[how]) != 0;
            wt_eq(weft_await(&c.task), wanted ? 1 : -ECANCELED, "end %d, ends %d", how, ends);
            wt_eq(weft_scope_end(&s), 0, "one that did not run is no failure");
            wt_eq(weft_scope_end(&outer), 0);
            wt_eq(atomic_load(&count), wanted);
        }
    }
    weft_sem_fini(&never);
    return 0;
}

Test(cont, it_runs_after_the_ends_that_it_was_made_for_and_no_others)
{
    for (intptr_t ended_before = 0; ended_before <= 1; ended_before++) {
        wt_eq(weft_run(flags_decide, (void *)ended_before, .workers = 1), 0);
        wt_eq(weft_run(flags_decide, (void *)ended_before, .workers = 4), 0);
    }
}

TaskTest(cont, for_no_end_or_for_one_that_does_not_exist_it_is_refused, 1)
{
    atomic_int count = 0;
    weft_task t;
    weft_cont c;
    weft_spawn(&t, return_arg, NULL);
    wt_eq(weft_continue(&c, &t, count_up, &count, 0), -EINVAL);
    wt_eq(weft_await(&c.task), -EINVAL);
    wt_eq(weft_continue(&c, &t, count_up, &count, 8), -EINVAL);
    wt_eq(weft_await(&t), 0);
    wt_eq(atomic_load(&count), 0);
    return 0;
}

Test(cont, outside_a_task_it_is_refused_with_eperm)
{
    static weft_task t;
    static weft_cont c;
    wt_eq(weft_continue(&c, &t, return_arg, NULL, WEFT_ON_DONE), -EPERM);
    wt_eq(weft_status(&c.task), -EPERM);
}

/* E37 */
TaskTest(cont, in_a_cancelled_scope_it_is_refused_and_the_function_is_not_called, 1)
{
    atomic_int count = 0;
    weft_task t;
    weft_cont c;
    WEFT_SCOPE(s);
    weft_spawn(&t, return_arg, NULL);
    weft_scope_cancel(&s, NULL);
    wt_eq(weft_continue(&c, &t, count_up, &count, WEFT_ON_DONE), -ECANCELED);
    wt_eq(weft_await(&c.task), -ECANCELED);
    wt_eq(weft_await(&t), 0);
    wt_eq(weft_scope_end(&s), 0);
    wt_eq(atomic_load(&count), 0);
    return 0;
}

static weft_task *target;

static int continue_target(void *arg)
{
    (void)arg;
    weft_cont c;
    return weft_continue(&c, target, return_arg, NULL, WEFT_ON_DONE);
}

/* E36 */
TaskTest(cont, of_a_task_that_waits_for_the_scope_it_is_refused_with_edeadlk, 1)
{
    weft_task t;
    target = &t;
    weft_spawn(&t, continue_target, NULL);
    wt_eq(weft_await(&t), -EDEADLK);
    return 0;
}

/* --- what it is ------------------------------------------------------------------------------- */

static int yield_and_fail(void *arg)
{
    (void)arg;
    weft_yield();
    return weft_fail(-EIO, "the clean-up failed");
}

TaskTest(cont, its_failure_is_the_failure_of_its_scope, 2)
{
    weft_task t;
    weft_cont c;
    WEFT_SCOPE(s);
    weft_spawn(&t, return_arg, NULL);
    weft_continue(&c, &t, yield_and_fail, NULL, WEFT_ON_OK);
    wt_eq(weft_await(&t), 0);
    wt_eq(weft_scope_end(&s), -EIO);
    wt_str_eq(weft_last()->text, "the clean-up failed");
    wt_eq(weft_status(&c.task), -EIO);
    return 0;
}

static int wait_for_sem(void *arg)
{
    return weft_sem_acquire(arg);
}

TaskTest(cont, it_may_wait_and_is_cancelled_with_its_scope, 1)
{
    weft_sem never;
    weft_sem_init(&never, 0, 0);
    weft_task t;
    weft_cont c;
    WEFT_SCOPE(s);
    weft_spawn(&t, return_arg, NULL);
    weft_continue(&c, &t, wait_for_sem, &never, WEFT_ON_DONE);
    weft_await(&t);
    weft_scope_cancel(&s, NULL);
    wt_eq(weft_scope_end(&s), -ECANCELED);
    wt_eq(weft_status(&c.task), -ECANCELED);
    weft_sem_fini(&never);
    return 0;
}

static atomic_int started;

static int note_start(void *arg)
{
    *(int *)arg = atomic_fetch_add(&started, 1);
    return 0;
}

TaskTest(cont, several_of_one_task_start_in_the_order_in_which_they_were_made, 1)
{
    weft_sem go;
    weft_sem_init(&go, 0, 0);
    struct waits waits = {&go, 0};
    weft_task t;
    weft_cont c[10];
    int order[10];
    WEFT_SCOPE(s);
    weft_spawn(&t, wait_and_return, &waits);
    for (int i = 0; i < 10; i++) {
        weft_continue(&c[i], &t, note_start, &order[i], WEFT_ON_DONE);
    }
    weft_sem_release(&go, 1);
    weft_await(&t);
    wt_eq(weft_scope_end(&s), 0);
    for (int i = 0; i < 10; i++) {
        wt_eq(order[i], i);
    }
    weft_sem_fini(&go);
    return 0;
}

#define CHAIN 10000
static weft_cont chain[CHAIN];

static int a_long_chain(void *arg)
{
    int rc = (int)(intptr_t)arg; /* of the first: all run, or all are skipped */
    weft_sem go;
    weft_sem_init(&go, 0, 0);
    struct waits waits = {&go, rc};
    atomic_int count = 0;
    weft_task t;
    WEFT_SCOPE(s);
    weft_spawn(&t, wait_and_return, &waits);
    for (int i = 0; i < CHAIN; i++) {
        weft_task *before = i == 0 ? &t : &chain[i - 1].task;
        wt_eq(weft_continue(&chain[i], before, count_up, &count, WEFT_ON_OK), 0);
    }
    weft_sem_release(&go, 1);
    wt_eq(weft_await(&t), rc);
    wt_eq(weft_scope_end(&s), 0);
    wt_eq(atomic_load(&count), rc < 0 ? 0 : CHAIN);
    wt_eq(weft_status(&chain[CHAIN - 1].task), rc < 0 ? -ECANCELED : CHAIN);
    weft_sem_fini(&go);
    return 0;
}

Test(cont, a_chain_of_ten_thousand_overflows_no_stack)
{
    wt_eq(weft_run(a_long_chain, (void *)1, .workers = 1), 0);
    wt_eq(weft_run(a_long_chain, (void *)(intptr_t)-EIO, .workers = 1), 0);
    wt_eq(weft_run(a_long_chain, (void *)1, .workers = 4), 0);
    wt_eq(weft_run(a_long_chain, (void *)(intptr_t)-EIO, .workers = 4), 0);
}

TaskTest(cont, its_task_can_take_part_in_weft_when, 2)
{
    weft_sem never;
    weft_sem_init(&never, 0, 0);
    struct waits waits = {&never, 0};
    atomic_int count = 0;
    int which;
    weft_task t[2];
    weft_cont c;
    WEFT_SCOPE(s);
    weft_spawn(&t[0], return_arg, NULL);
    weft_spawn(&t[1], wait_and_return, &waits);
    weft_continue(&c, &t[0], count_up, &count, WEFT_ON_OK);
    wt_eq(weft_when((weft_task *const[]){&t[1], &c.task}, 2, WEFT_FIRST, &which), 1);
    wt_eq(which, 1);
    wt_eq(weft_await(&t[0]), 0);
    wt_eq(weft_scope_end(&s), 0);
    weft_sem_fini(&never);
    return 0;
}

#if defined(__SANITIZE_THREAD__)
#define RACES \
    4000 /* each takes a stack, which costs TSan some system calls: 20,000 were 10 s of CPU */
#else
#define RACES 20000
#endif

static int race_ends(void *arg)
{
    (void)arg;
    for (int i = 0; i < RACES; i++) {
        atomic_int count = 0;
        weft_task t;
        weft_cont c[2];
        WEFT_SCOPE(s);
        weft_spawn(&t, return_arg, (void *)(intptr_t)(i % 2 == 0 ? 0 : -EIO));
        weft_continue(&c[0], &t, count_up, &count, WEFT_ON_OK);
        if (i % 3 == 0) {
            weft_yield();
        }
        weft_continue(&c[1], &t, count_up, &count, WEFT_ON_FAULT);
        (void)weft_await(&t);
        wt_eq(weft_scope_end(&s), 0);
        wt_eq(atomic_load(&count), 1);
        wt_eq(weft_status(&c[i % 2].task), 1);
        wt_eq(weft_status(&c[1 - i % 2].task), -ECANCELED);
    }
    return 0;
}

Test(cont, made_while_the_task_ends_it_runs_once)
{
    wt_eq(weft_run(race_ends, NULL, .workers = 2), 0);
    wt_eq(weft_run(race_ends, NULL, .workers = 8), 0);
}
