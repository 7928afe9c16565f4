/* driver_futex.c: the driver without I/O, for pools that only compute and for the pool's own tests.
 *
 * One word per worker: 0, or 1 when a wake is pending. The wake writes 1 and calls the futex; the
 * sleeper waits while the word is 0 and takes the wake by writing 0. A wake before the sleep is
 * found in the word (driver.h, G.1). */
#include "pool/base/atomic.h"
#include "pool/base/sys.h"
#include "pool/worker.h"
#include <errno.h>

struct sleeper {
    WF_ATOMIC(uint32_t) woken WF_ALIGNED(WF_LINE_PAIR);
};

struct futex_driver {
    struct wf_driver base;
    struct sleeper *sleepers;
};

static struct futex_driver *futex_driver_of(struct wf_driver *driver)
{
    return wf_container_of(driver, struct futex_driver, base);
}

static int futex_open(struct wf_driver *driver, int workers)
{
    struct sleeper *sleepers = wf_sys.alloc(WF_LINE_PAIR, sizeof *sleepers * (size_t)workers);
    if (sleepers == NULL) {
        return -ENOMEM;
    }
    for (int i = 0; i < workers; i++) {
        wf_store_relaxed(&sleepers[i].woken, 0); /* relaxed: thread creation publishes it */
    }
    futex_driver_of(driver)->sleepers = sleepers;
    return 0;
}

static void futex_close(struct wf_driver *driver)
{
    wf_sys.release(futex_driver_of(driver)->sleepers);
}

static void futex_worker_begin(struct wf_driver *driver, struct wf_worker *worker)
{
    (void)driver, (void)worker;
}

static bool futex_is_due(struct wf_driver *driver, struct wf_worker *worker)
{
    (void)driver, (void)worker;
    return false;
}

static int futex_poll(struct wf_driver *driver, struct wf_worker *worker)
{
    (void)driver, (void)worker;
    return 0;
}

static void futex_sleep(struct wf_driver *driver, struct wf_worker *worker, int64_t deadline_ns)
{
    struct sleeper *sleeper = &futex_driver_of(driver)->sleepers[worker->index];
    /* sync(futex_driver.sleep): acquire, sees the work that the waker published; pairs
     * sync(futex_driver.wake) */
    if (wf_xchg_acquire(&sleeper->woken, 0) == 0) {
        /* woken, late or interrupted: the caller looks */
        (void)wf_sys.futex_wait(&sleeper->woken, 0, deadline_ns);
        /* sync(futex_driver.slept): acquire, as above; pairs sync(futex_driver.wake) */
        (void)wf_xchg_acquire(&sleeper->woken, 0);
    }
}

static void futex_wake(struct wf_driver *driver, int worker_index)
{
    struct sleeper *sleeper = &futex_driver_of(driver)->sleepers[worker_index];
    /* sync(futex_driver.wake): release, publishes the work that the wake is for; pairs
     * sync(futex_driver.sleep), sync(futex_driver.slept) */
    wf_store_release(&sleeper->woken, 1);
    (void)wf_sys.futex_wake(&sleeper->woken, 1);
}

static const struct wf_driver_ops futex_driver_ops = {
    .name = "futex",
    .open = futex_open,
    .close = futex_close,
    .worker_begin = futex_worker_begin,
    .worker_end = futex_worker_begin,
    .is_due = futex_is_due,
    .poll = futex_poll,
    .sleep = futex_sleep,
    .wake = futex_wake,
};

struct wf_driver *wf_driver_futex_new(void)
{
    struct futex_driver *driver = wf_sys.alloc(WF_LINE, WF_LINE);
    if (driver == NULL) {
        return NULL;
    }
    driver->base.ops = &futex_driver_ops;
    driver->sleepers = NULL;
    return &driver->base;
}

void wf_driver_futex_free(struct wf_driver *driver)
{
    if (driver != NULL) {
        wf_sys.release(futex_driver_of(driver));
    }
}
