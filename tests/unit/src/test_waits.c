/* Suspensions that are over before they began, seen from below. */
#include "pool/pool.h"
#include "src/core.h"
#include "tests/support/wt.h"
#include <stdatomic.h>

#define WORKS 100

static atomic_int ran;

static void count_run(struct wf_fiber *self, struct wf_work *work)
{
    (void)self, (void)work;
    atomic_fetch_add(&ran, 1);
}

static void go_back(struct wf_fiber *now, struct wf_fiber *before, void *arg)
{
    (void)arg;
    wf_switch_back(now, before);
}

/* What a suspension took from the FIFO for its loop to run must not be lost when it switches back
 * at once. */
static int suspend_and_come_back(void *arg)
{
    (void)arg;
    struct wf_fiber *self = wf_self();
    static struct wf_work works[WORKS];
    for (int i = 0; i < WORKS; i++) {
        works[i].run = count_run;
        wf_ready(self->worker, &works[i]);
        wf_suspend(self, go_back, NULL);
    }
    for (int i = 0; i < 10 * WORKS && atomic_load(&ran) < WORKS; i++) {
        weft_yield();
    }
    wt_eq(atomic_load(&ran), WORKS);
    return 0;
}

Test(waits, a_suspension_that_comes_back_at_once_loses_no_work)
{
    wt_eq(weft_run(suspend_and_come_back, NULL, .workers = 1), 0);
}
