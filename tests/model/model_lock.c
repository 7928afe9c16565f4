/* model_lock.c: pool/base/lock.h and lock.c, the lock that spins and then sleeps. Everywhere else
 * in the models a simpler lock stands for it (wloom_lock.h).
 *
 * Checked in every execution: mutual exclusion, and that each holder sees what the one before it
 * wrote (a data race otherwise); nobody sleeps for ever. */
#include "pool/base/atomic.h"
#include "pool/base/sys.h"

#include <string.h>

/* From here on the production lock, on the model's atomics; its spin ends after one look, so that
 * the searches come to the sleep soon. */
#undef WF_MODEL
#define WF_MODEL 0
#undef wf_spin_hint
#define wf_spin_hint() break
#include "pool/base/lock.c"

static void nap(int64_t ns)
{
    (void)ns;
    wloom_yield();
}

struct wf_sys wf_sys = {.nap = nap};

static struct wf_lock lock;
static WF_PLAIN(int) inside; /* under the lock */

static void begin(void)
{
    memset(&lock, 0, sizeof lock);
    memset(&inside, 0, sizeof inside);
}

static void add(void *arg)
{
    for (int times = (int)(intptr_t)arg; times > 0; times--) {
        wf_lock(&lock);
        wf_plain_write(&inside, wf_plain_read(&inside) + 1);
        wf_unlock(&lock);
    }
}

static void add_together(int threads, int times)
{
    begin();
    for (int i = 0; i < threads; i++) {
        wloom_spawn(add, (void *)(intptr_t)times);
    }
    wloom_join_all();
    wloom_assert(wf_plain_read(&inside) == threads * times);
    wloom_observe(true);
    wloom_assert(wf_load_relaxed(&lock.state) == 0);
}

static void two_threads_twice(void)
{
    add_together(2, 2);
}

static void three_threads(void)
{
    add_together(3, 1);
}

static const struct wloom_scenario scenarios[] = {
    {"two_threads_twice", two_threads_twice, NULL, NULL, false},
    {"three_threads", three_threads, NULL, NULL, false},
    {NULL, NULL, NULL, NULL, false},
};

static const char *const under_test[] = {"pool/base/lock.h", "pool/base/lock.c", NULL};

int main(int argc, char **argv)
{
    static const struct wloom_harness harness = {
        .name = "lock",
        .scenarios = scenarios,
        .under_test = under_test,
    };
    return wloom_main(&harness, argc, argv);
}
