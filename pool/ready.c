/* ready.c: making works ready, from a worker or from any thread, and waking somebody for them.
 * worker.h says which verb is for what. Whether a parked worker is to be woken is park.h's to say,
 * and that of what somebody watches (light.h). */
#include "pool/light.h"
#include "pool/turn.h"

/* --- waking others ---------------------------------------------------------------------------- */

void wf_wake_check(struct wf_worker *worker)
{
    if (worker->peers == 0) {
        return; /* it is awake: we are it */
    }
    wf_wake(worker, wf_park_pick(&worker->pool->park));
}

WF_NOINLINE void wf_wake_one(struct wf_worker *worker)
{
    struct wf_park *park = &worker->pool->park;
    /* one that has slept finds this as a searcher, and then wakes others if there is more */
    if (wf_park_state(park, (int)worker->index) < WF_PARK_PARKED) {
        wf_wake(worker, wf_park_pick_fenced(park));
    }
}

/* --- making ready ----------------------------------------------------------------------------- */

WF_COLD void wf_ready_overflow(struct wf_worker *worker, struct wf_work *work)
{
    worker->has_spilled = true;
    wf_inject_push(&worker->pool->inject, work);
}

void wf_wake_unless_watched(struct wf_worker *worker)
{
    wf_wake_unless_watched_inline(worker);
}

WF_COLD void wf_ready_spill(struct wf_worker *worker, struct wf_work *work)
{
    wf_runq_close(&worker->runq);
    wf_ready_overflow(worker, work);
    wf_wake_unless_watched_inline(worker);
}

void wf_ready(struct wf_worker *worker, struct wf_work *work)
{
    wf_ready_inline(worker, work);
}

void wf_ready_fired(struct wf_worker *worker, struct wf_work *work)
{
    if (wf_unlikely(!wf_runq_push(&worker->runq, work))) {
        wf_runq_close(&worker->runq);
        wf_ready_overflow(worker, work);
    }
}

void wf_ready_cheap(struct wf_worker *worker, struct wf_work *work)
{
    if (wf_unlikely(!wf_deque_push(&worker->deque, work))) {
        wf_ready_overflow(worker, work);
    }
    wf_deque_note_cheap(&worker->deque, 0);
    wf_wake_unless_watched_inline(worker);
}

/* Once the work is pushed it may run, and be the last that the pool waits for. */
void wf_ready_foreign(struct wf_pool *pool, struct wf_work *work)
{
    wf_pool_visit(pool);
    wf_inject_push(&pool->inject, work);
    /* sync(worker.light_outside): seq_cst, the work is visible before we look for a watcher, and
     * whether the taker is awake; pairs sync(park.announce), sync(park.found) */
    wf_fence_seq_cst();
    if (wf_watchers_count(&pool->watchers) == 0 || !wf_light_taker_runs(pool) ||
        wf_crowd_is_on(&pool->crowd, wf_sys.now_ns())) { /* watches are long then */
        int target = wf_park_pick_fenced(&pool->park);
        if (target >= 0) {
            pool->driver->ops->wake(pool->driver, target);
        }
    }
    wf_pool_left(pool); /* LAST TOUCH */
}

void wf_ready_any(struct wf_pool *pool, struct wf_work *work)
{
    struct wf_worker *worker = wf_worker_current(pool);
    if (worker != NULL) {
        wf_ready(worker, work);
    } else {
        wf_ready_foreign(pool, work);
    }
}

void wf_post(struct wf_worker *target, struct wf_work *message)
{
    struct wf_work *newest = wf_load_relaxed(&target->inbox); /* a guess for the compare-and-swap */
    do {
        message->next = newest;
        /* sync(worker.post): release, the message's contents; the claim below has the fence against
         * the sleeper's look at its inbox. Pairs sync(worker.collect), sync(worker.look) */
    } while (!wf_cas_release(&target->inbox, &newest, message));
    struct wf_pool *pool = target->pool;
    if (wf_park_claim(&pool->park, (int)target->index)) {
        pool->driver->ops->wake(pool->driver, (int)target->index);
    }
}
