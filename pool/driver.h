/* driver.h: what an idle worker sleeps in, as the pool sees it. io/ fills the table with io_uring
 * or epoll, loop.c with a sleep that leaves the worker's stack; tests with drivers of their own.
 *
 * A driver is embedded in its own struct; the pool passes it back. "Worker" below is the index's
 * struct; all calls but `wake` come from that worker's own thread.
 *
 * G.1  A wake is never lost: after wake(i) returns, a sleep of worker i that is under way, or else
 *      its next one, returns. Several wakes may fall together. A driver may return from sleep
 *      without reason.
 * G.2  poll never blocks. It submits what is queued and hands over what has completed.
 * G.3  sleep returns at deadline_ns (absolute, CLOCK_MONOTONIC) or earlier; INT64_MAX means no
 *      deadline and no timer.
 * G.4  Completions reach the pool only through wf_ready, from poll, sleep or rescue, on the thread
 *      of the worker that was given. */
#ifndef WF_DRIVER_H
#define WF_DRIVER_H

#include <stdbool.h>
#include <stdint.h>

struct wf_worker;
struct wf_driver;

struct wf_driver_ops {
    const char *name;
    bool is_blind; /* is_due does not see what arrives in the kernel: a poll does */
    /* Everything that can fail, before any worker thread exists: 0 or -errno with nothing left
     * behind. */
    int (*open)(struct wf_driver *driver, int workers);
    /* After the last worker thread has ended. */
    void (*close)(struct wf_driver *driver);
    /* First and last call on the worker's own thread. end: nothing is in flight any more. */
    void (*worker_begin)(struct wf_driver *driver, struct wf_worker *worker);
    void (*worker_end)(struct wf_driver *driver, struct wf_worker *worker);
    /* Is a poll due now (completions waiting, enough queued)? A load or two; asked between any two
     * works. */
    bool (*is_due)(struct wf_driver *driver, struct wf_worker *worker);
    int (*poll)(struct wf_driver *driver, struct wf_worker *worker); /* completions handed over */
    void (*sleep)(struct wf_driver *driver, struct wf_worker *worker, int64_t deadline_ns);
    /* Any thread. The caller has claimed the worker (wf_park_pick, wf_park_claim), so one wake a
     * park. */
    void (*wake)(struct wf_driver *driver, int worker_index);
    /* Both NULL: what a worker has under way cannot be hurt by its being busy, or nothing can be
     * done about it. Any thread, racy: has that worker anything under way that could? */
    bool (*is_exposed)(struct wf_driver *driver, int worker_index);
    /* Looks after the other workers, in place of those that are awake but do not come to the
     * driver: what has completed is made ready on `by`, the caller's. One caller at a time. 0:
     * something was; else ns until it should be asked again, INT64_MAX: no worker is awake and
     * exposed, or has been since it was asked last. */
    int64_t (*rescue)(struct wf_driver *driver, struct wf_worker *by);
};

struct wf_driver {
    const struct wf_driver_ops *ops;
    /* set before a pool starts with it: how long an idle worker may wait for it awake (patience.h).
     * 0: WF_PATIENCE_NS; < 0: not at all */
    int64_t patience_ns;
};

#endif
