/* loop.h: a pool of one worker without a thread: whoever calls wf_loop_run lends it his.
 *
 * It is a pool like any other, so fibers are made ready on it, wait and resume as ever. Its
 * driver's sleep does not sleep: it leaves the loop's stack and returns to the caller of
 * wf_loop_run; the next call goes on from there. To the others the worker looks parked meanwhile,
 * and their wake writes to an eventfd that the host program watches.
 *
 * It has no I/O: an operation is for a worker with a ring (src/await.c sends its task there).
 *
 * Who may call: src/exec.c. wf_loop_run by one thread at a time, not on a fiber of ours; everything
 * else any thread. */
#ifndef WF_LOOP_H
#define WF_LOOP_H

#include "pool/pool.h"

struct wf_loop {
    struct wf_driver driver;
    struct wf_pool *pool;
    int wake_fd; /* eventfd; immutable */
    /* whoever runs the loop */
    struct wf_fiber *resting; /* the stack that left in `sleep`, or the prepared first one */
    int64_t deadline_ns;      /* until when it would have slept; INT64_MAX: until it is woken */
    bool begun;               /* it has run; before, its worker looks parked without having slept */
};

/* 0, or -ENOMEM, -EMFILE ... with nothing left behind. `runtime` as for wf_pool_start. */
int wf_loop_init(struct wf_loop *loop, void *runtime);

/* When it wants to run again although nobody woke it: the next timer, or another try of a worker
 * that had no stack for new work, and counts on nobody's wake. INT64_MAX: never. Whoever runs
 * it. */
int64_t wf_loop_next_ns(struct wf_loop *loop);

/* Nothing is queued or suspended on it. Frees its stacks; what its worker's slabs gave out stays
 * valid until wf_loop_fini. */
void wf_loop_stop(struct wf_loop *loop);
void wf_loop_fini(struct wf_loop *loop);

/* Runs until nothing is ready. How many works it ran. */
int wf_loop_run(struct wf_loop *loop);

#endif
