/* A thread for blocking calls that ends while its runtime is asked for a deadlock. */
#include "pool/base/sys.h"
#include "tests/patterns/capture.h"
#include "tests/support/wt.h"
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <weft/weft.h>

static int (*real_futex_wait)(void *word, uint32_t expected, int64_t deadline_ns);

/* Whoever waits with a deadline, as threads without work do, has waited. */
static int no_patience(void *word, uint32_t expected, int64_t deadline_ns)
{
    return deadline_ns != INT64_MAX ? -ETIMEDOUT : real_futex_wait(word, expected, deadline_ns);
}

static int nothing(void *arg)
{
    (void)arg;
    return 0;
}

static int call_and_wait_for_ever(void *sem)
{
    wt_eq(weft_blocking(nothing, NULL), 0);
    return weft_sem_acquire(sem);
}

static int run_call_and_wait(void)
{
    real_futex_wait = wf_sys.futex_wait;
    wf_sys.futex_wait = no_patience;
    weft_sem sem;
    weft_sem_init(&sem, 0, 0);
    int rc = -EDEADLK;
    int rounds = is_alone() ? 50 : 0;
    for (int i = 0; i < rounds && rc == -EDEADLK; i++) {
        rc = weft_run(call_and_wait_for_ever, &sem, .workers = 1, .patience = -1);
    }
    weft_sem_fini(&sem);
    wf_sys.futex_wait = real_futex_wait;
    return rc != -EDEADLK;
}

Test(ending, a_thread_without_work_that_ends_makes_no_deadlock_uncertain, .timeout = 60)
{
    struct captured said;
    capture(&said, run_call_and_wait);
    check_exited(&said, 0);
}
