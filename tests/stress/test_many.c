/* A hundred thousand suspended tasks at once, also on kernels without MADV_GUARD_INSTALL (before
 * 6.13), where most stacks are guarded by canaries alone. */
#include "tests/support/wt.h"
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>
#include <weft/debug.h>
#include <weft/sync.h>
#include <weft/task.h>

/* TSan knows about 8,000 fibers; ASan's shadow of a stack is 32 KiB. */
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define MANY 3000
#else
#define MANY 100000
#endif

#define GUARD_INSTALL 102 /* MADV_GUARD_INSTALL */

static bool is_old_kernel;

/* In place of libc's. */
int madvise(void *address, size_t bytes, int advice)
{
    if (is_old_kernel && advice == GUARD_INSTALL) {
        errno = EINVAL;
        return -1;
    }
    return (int)syscall(SYS_madvise, address, bytes, advice);
}

struct crowd {
    weft_sem gate;
    atomic_int waiting, passed;
};

WEFT_TASK(pass, struct crowd *)
{
    struct crowd *crowd = *arg;
    atomic_fetch_add(&crowd->waiting, 1);
    int rc = weft_sem_acquire(&crowd->gate);
    atomic_fetch_add(&crowd->passed, 1);
    return rc;
}

static int suspend_many(void *arg)
{
    (void)arg;
    struct crowd crowd = {0};
    struct crowd *pointer = &crowd;
    weft_stats stats;
    weft_sem_init(&crowd.gate, 0, 0);
    WEFT_SCOPE(s);
    for (int i = 0; i < MANY; i++) {
        wt_eq(weft_go(&s, pass, &pointer), 0);
    }
    while (atomic_load(&crowd.waiting) < MANY) { /* ends: each comes to the gate */
        wt_eq(weft_yield(), 0);
    }
    weft_stats_get(weft_rt_current(), &stats);
    wt_ge(stats.stacks, MANY);
    wt_eq(weft_sem_release(&crowd.gate, MANY), 0);
    wt_eq(weft_scope_end(&s), 0);
    wt_eq(atomic_load(&crowd.passed), MANY);
    weft_sem_fini(&crowd.gate);
    return 0;
}

static int cancel_many(void *arg)
{
    (void)arg;
    struct crowd crowd = {0};
    struct crowd *pointer = &crowd;
    weft_sem_init(&crowd.gate, 0, 0);
    WEFT_SCOPE(s);
    for (int i = 0; i < MANY; i++) {
        wt_eq(weft_go(&s, pass, &pointer), 0);
    }
    while (atomic_load(&crowd.waiting) < MANY) { /* ends: as above */
        wt_eq(weft_yield(), 0);
    }
    wt_eq(weft_scope_cancel(&s, NULL), 0);
    wt_eq(weft_scope_end(&s), -ECANCELED);
    weft_sem_fini(&crowd.gate);
    return 0;
}

static bool is_guarded_by(weft_rt *rt, const char *means)
{
    char report[300];
    weft_rt_report(rt, report, sizeof report);
    return strstr(report, means) != NULL;
}

static void run_many(const char *guard)
{
    weft_rt *rt;
    wt_eq(weft_rt_start(&rt, &(weft_rt_opts){.workers = 2}), 0);
    wt_eq(weft_call(rt, suspend_many, NULL), 0);
    wt_eq(weft_call(rt, cancel_many, NULL), 0);
    wt_true(guard == NULL || is_guarded_by(rt, guard));
    wt_eq(weft_rt_stop(rt, WEFT_SEC(30), WEFT_SEC(30)), 0);
    weft_rt_free(rt);
}

Test(many, tasks_wait_at_once_and_all_are_woken, .timeout = 120)
{
    run_many(NULL);
}

Test(many, without_guard_markers_too, .timeout = 120)
{
    is_old_kernel = true;
    run_many(MANY > 10000 ? "canaries" : "guard pages");
}
