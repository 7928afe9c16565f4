/* pool.h: the workers of one runtime: start, stop, and what they share. */
#ifndef WF_POOL_H
#define WF_POOL_H

#include "pool/lookout.h"
#include "pool/watchers.h"
#include "pool/worker.h"
#include <pthread.h>

/* Stacks in the process: 256 GiB of address space. Beyond it new work waits until a suspended fiber
 * ends. */
#define WF_STACKS_MAX ((size_t)1 << 20)

struct wf_pool {
    /* immutable after start */
    struct wf_worker *workers; /* array of worker_count */
    int worker_count;
    int workers_begun;   /* threads that were started; for undoing a failed start */
    int64_t spin_ns;     /* how long an idle worker searches before it sleeps */
    int64_t patience_ns; /* how long it may wait for the driver awake (patience.h); 0: not at all */
    int surplus; /* workers beyond the processors: as many idle ones have nothing to run on */
    struct wf_driver *driver;
    pthread_t *threads;
    struct wf_inject_stored *store; /* the injection queue's */

    struct wf_inject inject WF_ALIGNED(WF_LINE_PAIR);
    WF_ATOMIC(uint32_t) stopping;
    struct wf_watchers watchers; /* workers that look after light work: see light.h */
    /* the worker that took from the injection queue last. By itself, without an order: each sees
     * its own number unless another has taken since, which is what park() asks */
    WF_ATOMIC(int32_t) taker;
    struct wf_lookouts lookouts; /* parked workers that look after the others: lookout.h */
    struct wf_thieves thieves;   /* workers that may steal from deques */
    struct wf_park park WF_ALIGNED(WF_LINE_PAIR);
    struct wf_crowd crowd WF_ALIGNED(WF_LINE_PAIR); /* of timers: the workers' wheels write it */
};

/* Asked by a worker that is about to sleep while all others of its pool do. What it returns is
 * called when the worker looks awake again, so that nobody takes it for one that sleeps meanwhile;
 * NULL: nothing is to be done. No function (the default): nobody asks. Set before a pool starts;
 * other pools may run. */
typedef void wf_stood_still_fn(struct wf_pool *pool);
typedef wf_stood_still_fn *wf_stands_still_fn(struct wf_pool *pool);
extern struct wf_pool_hooks {
    WF_ATOMIC(wf_stands_still_fn *) stands_still;
} wf_pool_hooks;

/* Starts `workers` threads (1 to WF_WORKERS_MAX) that sleep in `driver`, which stays the caller's.
 * `runtime` is what wf_worker.runtime will be. 0, or -errno (-ENOMEM, -EAGAIN, or what the driver
 * said) with nothing left behind. */
int wf_pool_start(struct wf_pool **out, int workers, struct wf_driver *driver, void *runtime);

/* Ends the threads. The caller has made sure that nothing is queued or suspended. What the workers
 * have counted may be read until the pool is freed. */
void wf_pool_stop(struct wf_pool *pool);

/* A pool of one worker without a thread, for loop.h; and its rest: no stack of it is in use any
 * more. */
int wf_pool_start_hosted(struct wf_pool **out, struct wf_driver *driver, void *runtime);
void wf_pool_rest_hosted(struct wf_pool *pool);

/* Frees a pool that was stopped, or rests: nothing that its slabs gave out is in use any more. */
void wf_pool_free(struct wf_pool *pool);

/* The worker that runs the current stack, if it is one of this pool's; else NULL. */
WF_INLINE struct wf_worker *wf_worker_current(struct wf_pool *pool)
{
    struct wf_fiber *self = wf_self();
    return self != NULL && self->worker->pool == pool ? self->worker : NULL;
}

/* wf_ready in line, for hand-overs. */
WF_INLINE void wf_ready_inline(struct wf_worker *worker, struct wf_work *work)
{
    if (wf_unlikely(!wf_runq_push(&worker->runq, work))) {
        wf_ready_spill(worker, work);
    } else if (wf_unlikely(!wf_watchers_is_quiet(&worker->pool->watchers))) {
        wf_wake_unless_watched(worker); /* which asks once more, and more */
    }
}

/* Should `worker`, running, look for searchers in all groups of the pool? If there is but one; or
 * if a thief has found nothing public here. Without that it asks its own group: if all workers of a
 * large pool read all counts at each fork, they would do nothing else (docs/scaling.md). */
WF_INLINE bool wf_pool_looks_far(const struct wf_worker *worker)
{
    /* relaxed: a hint */
    return worker->pool->park.groups == 0 || wf_load_relaxed(&worker->deque.pass) == WF_DEQUE_ASK;
}

/* self: would somebody take at once what is published now? Racy, a hint. */
WF_INLINE bool wf_pool_has_searchers(const struct wf_worker *worker)
{
    struct wf_park *park = &worker->pool->park;
    return wf_pool_looks_far(worker) ? wf_park_searches(park)
                                     : wf_park_searches_near(park, (int)worker->index);
}

/* self: how many would run what is published now? None if it is not above 0. Racy, for forks. */
WF_INLINE int wf_pool_idle(const struct wf_worker *worker)
{
    struct wf_pool *pool = worker->pool;
    return (wf_pool_looks_far(worker) ? wf_park_idle(&pool->park)
                                      : wf_park_idle_near(&pool->park, (int)worker->index)) -
           pool->surplus;
}

/* self: would somebody run what is published now? Racy, a hint. */
WF_INLINE bool wf_pool_has_idle(const struct wf_worker *worker)
{
    return wf_pool_idle(worker) > 0;
}

/* A thread that is no worker of the pool touches what may be the last that the pool waits for:
 * until wf_pool_left the pool, and what its workers' slabs gave out, stay. Counted on the line that
 * such a thread writes anyway, mostly; not beside what workers read. */
WF_INLINE void wf_pool_visit(struct wf_pool *pool)
{
    /* relaxed: what the visitor does then, and what ends the pool's wait, releases it */
    (void)wf_add_relaxed(&pool->inject.visitors, 1);
}

WF_INLINE void wf_pool_left(struct wf_pool *pool)
{
    /* sync(pool.left): release, our visit is over when the stop sees it; pairs sync(pool.empty).
     * LAST TOUCH */
    (void)wf_sub_acq_rel(&pool->inject.visitors, 1);
}

/* Body of a stack: looks for work and runs it until the pool stops. Never returns. worker.c */
WF_NORETURN void wf_worker_loop(struct wf_fiber *self);

#endif
