/* rig.h: one worker without a pool's threads or stacks, so that a test drives its driver by hand,
 * call by call, on the test's own thread. wf_post is the real one: messages lie in the worker's
 * inbox until rig_hear runs them. */
#ifndef RIG_H
#define RIG_H

#include "io/epoll.h"
#include "io/io.h"
#include "io/uring.h"
#include "pool/base/sys.h"
#include "pool/pool.h"
#include "tests/support/wt.h"
#include <pthread.h>
#include <stdint.h>

#define RIG_FOREVER_NS INT64_C(20000000000) /* what takes longer does not come */

struct rig {
    struct wf_pool pool;
    struct wf_worker worker;
    struct wf_driver *driver;
    struct wf_uring *uring; /* of the driver that it has */
    struct wf_epoll *epoll;
};

/* An op, and what became of it. */
struct rig_op {
    struct wf_op op;
    int done; /* times */
};

static struct rig rig;

static inline void rig_count_done(struct wf_op *op)
{
    ((struct rig_op *)op->waiter)->done++;
}

static inline void rig_open_driver(struct wf_driver *driver)
{
    rig.driver = driver;
    wt_eq(rig.driver->ops->open(rig.driver, 1), 0);
    wt_eq(wf_park_init(&rig.pool.park, 1), 0);
    rig.pool.driver = rig.driver;
    rig.pool.workers = &rig.worker;
    rig.pool.worker_count = 1;
    rig.worker.pool = &rig.pool;
    rig.worker.driver = rig.driver;
    wf_wheel_init(&rig.worker.wheel, &rig.pool.crowd, wf_sys.now_ns());
    rig.driver->ops->worker_begin(rig.driver, &rig.worker);
}

static inline void rig_open(void)
{
    rig_open_driver(wf_uring_driver_new());
    rig.uring = rig.worker.driver_state;
}

static inline void rig_open_epoll(void)
{
    rig_open_driver(wf_epoll_driver_new((struct wf_io_refusal){0}));
    rig.epoll = rig.worker.driver_state;
}

static inline void rig_close(void)
{
    rig.driver->ops->worker_end(rig.driver, &rig.worker);
    rig.driver->ops->close(rig.driver);
    wf_io_driver_free(rig.driver);
}

static inline void rig_submit(struct rig_op *op)
{
    op->op.done = rig_count_done;
    op->op.waiter = op;
    op->done = 0;
    wf_io_submit(&rig.worker, &op->op);
}

static inline int rig_poll(void)
{
    return rig.driver->ops->poll(rig.driver, &rig.worker);
}

static inline bool rig_is_due(void)
{
    return rig.driver->ops->is_due(rig.driver, &rig.worker);
}

static inline void rig_sleep(int64_t ns)
{
    rig.driver->ops->sleep(rig.driver, &rig.worker,
                           ns == INT64_MAX ? INT64_MAX : wf_sys.now_ns() + ns);
}

static inline void rig_wake(void)
{
    rig.driver->ops->wake(rig.driver, 0);
}

static inline void *rig_wake_after(void *ns)
{
    int64_t until_ns = wf_sys.now_ns() + (int64_t)(intptr_t)ns;
    while (wf_sys.now_ns() < until_ns) {
    }
    rig_wake();
    return NULL;
}

/* Somebody wakes the worker while it falls asleep: the delay sweeps over the time that this takes.
 * A wake that is lost is a hang. */
static inline void rig_wake_while_it_falls_asleep(void)
{
    for (int i = 0; i < 200; i++) {
        pthread_t thread;
        wt_eq(pthread_create(&thread, NULL, rig_wake_after, (void *)(intptr_t)(i * 1000)), 0);
        rig_sleep(INT64_MAX);
        pthread_join(thread, NULL);
        rig_poll();
    }
}

/* Runs the messages that have been posted. How many. */
static inline int rig_hear(void)
{
    int count = 0;
    struct wf_work *message = wf_xchg_acq_rel(&rig.worker.inbox, NULL);
    while (message != NULL) {
        struct wf_work *next = message->next;
        message->run(NULL, message);
        message = next;
        count++;
    }
    return count;
}

/* Sleeps as a worker does: whoever posts a message meanwhile wakes it. */
static inline void rig_park(int64_t ns)
{
    wf_park_announce(&rig.pool.park, 0);
    if (wf_load_acquire(&rig.worker.inbox) == NULL) {
        int64_t next_ns = wf_wheel_next_ns(&rig.worker.wheel);
        int64_t left_ns = next_ns != INT64_MAX ? next_ns - wf_sys.now_ns() : INT64_MAX;
        rig_sleep(left_ns < ns ? left_ns : ns);
    }
    wf_park_retract(&rig.pool.park, 0);
}

/* Until the op is done, as a worker would. */
static inline int rig_await(struct rig_op *op)
{
    int64_t give_up_ns = wf_sys.now_ns() + RIG_FOREVER_NS;
    while (op->done == 0 && wf_sys.now_ns() < give_up_ns) {
        rig_hear();
        (void)wf_wheel_advance(&rig.worker.wheel, wf_sys.now_ns());
        if (rig_poll() == 0 && op->done == 0) {
            rig_park(RIG_FOREVER_NS);
        }
    }
    wt_eq(op->done, 1);
    return op->op.res;
}

/* Submits, awaits; the result. */
static inline int rig_run(struct wf_op op)
{
    struct rig_op one = {.op = op};
    rig_submit(&one);
    return rig_await(&one);
}

static inline struct wf_op rig_read(int fd, void *buffer, size_t bytes)
{
    return (struct wf_op){.kind = WF_OP_READ,
                          .fd = fd,
                          .address = (uintptr_t)buffer,
                          .bytes = (uint32_t)bytes,
                          .offset = UINT64_MAX};
}

static inline uint64_t rig_counter(const char *name)
{
    struct wf_counters *c = &rig.worker.counters;
    if (strcmp(name, "submitted") == 0) {
        return wf_load_relaxed(&c->ops_submitted);
    }
    if (strcmp(name, "completed") == 0) {
        return wf_load_relaxed(&c->ops_completed);
    }
    if (strcmp(name, "cancelled") == 0) {
        return wf_load_relaxed(&c->ops_cancelled);
    }
    wt_str_eq(name, "enters");
    return wf_load_relaxed(&c->driver_enters);
}

#endif
