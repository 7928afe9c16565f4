/* weft_on_suspend of <weft/debug.h>, with which tests cancel a program at each of its waits. */
#include "pattern.h"
#include <weft/debug.h>
#include <weft/sync.h>

static struct sweep {
    weft_scope *scope;
    int at;   /* cancel at this suspension, counted from 1 */
    int seen; /* suspensions so far */
} sweep;

static void cancel_at(void *arg)
{
    struct sweep *s = arg;
    if (s->scope != NULL && ++s->seen == s->at) {
        wt_eq(weft_scope_cancel(s->scope, "sweep"), 0);
    }
}

static int wait_three_times(void *sem)
{
    for (int i = 0; i < 3; i++) {
        int rc = weft_sem_acquire(sem);
        if (rc < 0) {
            return rc;
        }
    }
    return 0;
}

static int under_the_sweep(void *arg)
{
    (void)arg;
    weft_sem sem;
    weft_sem_init(&sem, 0, 0);
    WEFT_SCOPE(s);
    sweep.scope = &s;
    weft_task t;
    wt_eq(weft_spawn(&t, wait_three_times, &sem), 0);
    int rc = 0;
    for (int i = 0; i < 3 && rc == 0; i++) {
        rc = weft_yield();
        wt_eq(weft_sem_release(&sem, 1), 0);
    }
    int of_task = weft_await(&t);
    sweep.scope = NULL;
    (void)weft_scope_end(&s);
    weft_sem_fini(&sem);
    return of_task < 0 ? of_task : rc;
}

Test(sweep, a_hook_can_cancel_at_each_suspension)
{
    int cancelled = 0, rc = -ECANCELED;
    for (int at = 1; rc == -ECANCELED; at++) { /* ends: at some number nothing is left to cancel */
        wt_lt(at, 100);
        sweep = (struct sweep){.at = at};
        weft_on_suspend(cancel_at, &sweep);
        rc = weft_run(under_the_sweep, NULL, .workers = 1);
        weft_on_suspend(NULL, NULL);
        cancelled += rc == -ECANCELED;
    }
    wt_eq(rc, 0);
    wt_ge(cancelled, 3);
}
