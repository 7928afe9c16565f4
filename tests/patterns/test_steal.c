/* What idle workers take from busy ones, and what they leave to them. */
#include "pattern.h"
#include <stdatomic.h>
#include <weft/fork.h>
#include <weft/par.h>
#include <weft/sync.h>

/* --- a long task below short ones ------------------------------------------------------------- */

static int set_and_wait_for_stop(void *arg)
{
    atomic_int *flags = arg;
    atomic_store(&flags[0], 1);
    while (atomic_load(&flags[1]) == 0) {
        wt_eq(weft_yield(), 0);
    }
    return 0;
}

static int nothing(void *arg)
{
    (void)arg;
    return 0;
}

/* The owner never comes to the oldest: each short one lies above it, and is awaited at once. */
static int short_ones_above_a_long_one(void *arg)
{
    (void)arg;
    atomic_int flags[2] = {0, 0};
    weft_task long_one;
    weft_spawn(&long_one, set_and_wait_for_stop, flags);
    while (atomic_load(&flags[0]) == 0) { /* ends: another worker has begun it */
        weft_task short_one;
        weft_spawn(&short_one, nothing, NULL);
        wt_eq(weft_await(&short_one), 0);
    }
    atomic_store(&flags[1], 1);
    return weft_await(&long_one);
}

Test(steal, a_long_task_below_a_stream_of_short_ones_is_run_by_an_idle_worker)
{
    for (int workers = 2; workers <= 8; workers *= 2) {
        wt_eq(weft_run(short_ones_above_a_long_one, NULL, .workers = workers), 0);
    }
}

/* --- more workers than processors ------------------------------------------------------------- */

static long fib(long n);
WEFT_FORKABLE1(long, fib, long)
static long fib(long n)
{
    if (n < 2) {
        return n;
    }
    struct fib_branch a;
    fib_fork(&a, n - 1);
    long b = fib(n - 2);
    return fib_join(&a) + b;
}

WEFT_TASK(count_one, atomic_int *)
{
    atomic_fetch_add(*arg, 1);
    return 0;
}

static int some_of_everything(void *arg)
{
    (void)arg;
    for (int round = 0; round < 10; round++) {
        wt_eq(fib(20), 6765);
        atomic_int count = 0;
        atomic_int *counted = &count;
        WEFT_SCOPE(s);
        for (int i = 0; i < 500; i++) {
            wt_eq(weft_go(&s, count_one, &counted), 0);
        }
        wt_eq(weft_scope_end(&s), 0);
        wt_eq(atomic_load(&count), 500);
        wt_eq(weft_sleep(WEFT_US(100)), 0); /* so that all of them have gone to sleep, or try to */
    }
    return 0;
}

Test(steal, sixty_four_workers_come_to_the_same_answers)
{
    wt_eq(weft_run(some_of_everything, NULL, .workers = 64), 0);
}

/* --- sections and scopes ---------------------------------------------------------------------- */

static int check(void *arg)
{
    (void)arg;
    return weft_check();
}

/* Whether the section was private at the join, public, or taken while another scope was open. */
static int scope_between_fork_and_join(void *arg)
{
    bool waits = *(bool *)arg;
    for (int i = 0; i < 200; i++) {
        weft_call_branch section;
        weft_fork(&section, check, NULL);
        WEFT_SCOPE(inner);
        if (waits) {
            wt_eq(weft_sleep(WEFT_US(1)), 0);
        }
        weft_scope_cancel(&inner, "the section is not in it");
        wt_eq(weft_check(), -ECANCELED);
        weft_scope_end(&inner);
        wt_eq(weft_join(&section), 0, "round %d", i);
        if (i % 16 == 0) {
            wt_eq(weft_sleep(WEFT_US(50)), 0);
        }
    }
    return 0;
}

Test(steal, a_section_does_not_belong_to_a_scope_opened_after_its_fork)
{
    for (int workers = 2; workers <= 8; workers += 3) {
        bool waits = false;
        wt_eq(weft_run(scope_between_fork_and_join, &waits, .workers = workers), 0);
        waits = true;
        wt_eq(weft_run(scope_between_fork_and_join, &waits, .workers = workers), 0);
    }
}
