/* lookout.c: what a parked worker does for those that compute. lookout.h has the protocol.
 *
 * What a worker has under way in its driver (operations of the kernel) is of no use to anybody
 * while it computes. So one or two that have nothing to do are *lookouts*: they sleep, parked, for
 * as long as the driver says, and ask it to do what others do not come to (driver.h, rescue). When
 * nobody has been awake they go on for LOOKOUT_LINGER rounds, so that a server with a request now
 * and then does not wake one each time, and then sleep like the others: an idle pool is silent. A
 * worker that wakes up and is about to run something, with things under way and no lookout, wakes
 * one (wf_post_lookout); and so does one that begins to have something under way while other works
 * are queued here, which may compute (wf_exposed). */
#include "pool/lookout.h"
#include "pool/turn.h"

/* Rounds of the lookout while nobody is awake; each sleeps twice as long as the one before, from
 * LOOKOUT_LINGER_NS on: 15 ms in all. */
#ifndef LOOKOUT_LINGER
#define LOOKOUT_LINGER 4 /* models use 1 */
#endif
#define LOOKOUT_LINGER_NS INT64_C(1000000)

bool wf_is_rescue_on(const struct wf_worker *worker)
{
    return worker->driver->ops->rescue != NULL && worker->pool->worker_count > 1;
}

/* Has some worker something under way which its driver cannot do without it? Of those in the given
 * states, which end before `states_end`; `but` is left out. */
static bool is_any_exposed(const struct wf_worker *worker, int but, enum wf_park_state states_end)
{
    struct wf_pool *pool = worker->pool;
    for (int i = 0; i < pool->worker_count; i++) {
        if (i != but && wf_park_state(&pool->park, i) < states_end &&
            worker->driver->ops->is_exposed(worker->driver, i)) {
            return true;
        }
    }
    return false;
}

static bool is_any_awake_exposed(const struct wf_worker *worker)
{
    return is_any_exposed(worker, -1, WF_PARK_PARKED);
}

/* The parked worker that is the last to be woken for work becomes a lookout: it is woken, finds
 * nothing to do, and parks. */
static WF_COLD void wake_lookout(struct wf_worker *worker)
{
    struct wf_park *park = &worker->pool->park;
    for (int i = worker->pool->worker_count - 1; i >= 0; i--) {
        if (wf_park_state(park, i) == WF_PARK_PARKED && wf_park_claim(park, i)) {
            wf_wake(worker, i);
            return;
        }
    }
}

/* This worker has been parked, and is about to run something. */
void wf_post_lookout(struct wf_worker *worker)
{
    if (!wf_is_rescue_on(worker)) {
        return;
    }
    if (wf_unlikely(wf_lookout_is_missing(&worker->pool->lookouts)) &&
        is_any_awake_exposed(worker)) {
        wake_lookout(worker);
    }
}

void wf_exposed(struct wf_worker *worker)
{
    if (wf_is_rescue_on(worker) && wf_has_own_work(worker)) {
        wf_post_lookout(worker);
    }
}

/* The driver's question, one lookout at a time: its answer, or if another asks just now, soon. */
int64_t wf_rescue(struct wf_worker *worker)
{
    struct wf_pool *pool = worker->pool;
    if (!wf_lookout_begin(&pool->lookouts)) {
        return LOOKOUT_LINGER_NS;
    }
    int64_t again_ns = worker->driver->ops->rescue(worker->driver, worker);
    wf_lookout_end(&pool->lookouts);
    return again_ns;
}

/* A parked worker has slept for a while: has it something better to do than to sleep on? Not for
 * light work: whoever makes that ready wakes it, since nobody watches. */
static bool is_wanted(struct wf_worker *worker)
{
    struct wf_pool *pool = worker->pool;
    /* relaxed, all: what is found is taken with its own orders */
    return wf_park_state(&pool->park, (int)worker->index) != WF_PARK_PARKED ||
           wf_has_own_work(worker) || wf_load_relaxed(&worker->inbox) != NULL ||
           wf_load_relaxed(&pool->stopping) != 0 || wf_is_timer_due(worker) ||
           worker->driver->ops->is_due(worker->driver, worker) || wf_inject_has(&pool->inject);
}

/* One term as a lookout. True: it is wanted elsewhere; or an operation has ended, and if it made
 * nothing ready it may have been the last thing under way, which only a worker that parks anew
 * notices (stands_still). */
static bool keep_lookout(struct wf_worker *worker)
{
    uint64_t completed = wf_load_relaxed(&worker->counters.ops_completed); /* relaxed: ours */
    int idle = 0;
    while (idle < LOOKOUT_LINGER) { /* ends: wanted, or nobody has been awake for so many rounds */
        int64_t again_ns = wf_rescue(worker);
        if (again_ns == 0) {
            return true;
        }
        if (again_ns == INT64_MAX) {
            again_ns = LOOKOUT_LINGER_NS << idle++;
        } else {
            idle = 0;
        }
        wf_sleep_until(worker, wf_sys.now_ns() + again_ns);
        if (is_wanted(worker) ||
            wf_load_relaxed(&worker->counters.ops_completed) != completed) { /* relaxed: ours */
            return true;
        }
    }
    return false;
}

/* Parked: sleeps until it is wanted, as a lookout while there may be need of one. */
void wf_sleep_on(struct wf_worker *worker)
{
    struct wf_pool *pool = worker->pool;
    bool wanted = false;
    bool needed =
        wf_is_rescue_on(worker) && is_any_exposed(worker, (int)worker->index, WF_PARK_CALLED + 1);
    /* ends: wanted, or nobody has been awake for a while */
    while (needed && wf_lookout_appoint(&pool->lookouts)) {
        wanted = keep_lookout(worker);
        wf_lookout_resign(&pool->lookouts);
        needed = !wanted && is_any_awake_exposed(worker);
    }
    if (!wanted) {
        wf_sleep_until(worker, INT64_MAX);
    }
}
