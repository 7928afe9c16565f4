/* turn.h: what the files of a worker share: the questions that each turn asks, in line, and what
 * one of the files does for the others.
 *
 *   worker.c    the loop, and what it runs next
 *   serve.c     what cannot wait: messages, timers, the driver's turn
 *   search.c    work of others: looks for it, awake
 *   sleep.c     watches and parks; before that, the last look
 *   lookout.c   what a parked worker does for those that compute
 *   ready.c     makes works ready, from any thread, and wakes others for them
 *   suspend.c   leaves a stack: to wait, to give way
 *
 * Who may call: these, on the worker's thread. The rest of the library uses worker.h. */
#ifndef WF_TURN_H
#define WF_TURN_H

#include "pool/base/sys.h"
#include "pool/pool.h"

/* --- making ready ----------------------------------------------------------------------------- */

static inline void wf_wake(struct wf_worker *worker, int target)
{
    if (target >= 0) {
        wf_count(&worker->counters.wakes);
        worker->driver->ops->wake(worker->driver, target);
    }
}

/* If nobody searches, and this worker has not just slept. */
void wf_wake_one(struct wf_worker *worker);

/* In line, for it comes with each work. */
WF_INLINE void wf_wake_unless_watched_inline(struct wf_worker *worker)
{
    if (wf_unlikely(!wf_watchers_may_rely(&worker->pool->watchers))) {
        wf_wake_one(worker);
    }
}

/* --- the turns -------------------------------------------------------------------------------- */

/* Works run between two looks at what has no turn of its own: the driver, of which nothing said
 * that it is due, the injection queue, and the clock. 61 as in Go's runtime (a prime, so that it
 * does not beat with loops of the program). */
#define WF_TURN_POLL 61

/* Works that it has run, by which the turns are counted. */
WF_INLINE uint64_t wf_turn_of(struct wf_worker *worker)
{
    return wf_load_relaxed(&worker->counters.runs); /* relaxed: ours */
}

/* Is it time to poll the driver, though nothing says so? */
WF_INLINE bool wf_is_poll_turn(struct wf_worker *worker)
{
    return wf_turn_of(worker) >= worker->poll_at;
}

/* Works since it was polled, turns without a work included. */
WF_INLINE uint64_t wf_works_since_poll(struct wf_worker *worker)
{
    return wf_turn_of(worker) + WF_TURN_POLL - 1 - worker->poll_at;
}

/* A turn in which no work is run, nor was there any: what comes now may come in any order. */
WF_INLINE void wf_count_empty_turn(struct wf_worker *worker)
{
    worker->poll_at--;
    worker->old_at = 0;
    worker->clock_at--;
    worker->looked_at--;
}

/* A look at the clock takes 30 ns, and it waits for all loads before it: as much as a short work.
 * So while a timer is armed not each turn looks, if works are short, but one after twice as many of
 * them as came before the last look, WF_CLOCK_WORKS at most; as soon as these took WF_CLOCK_NS
 * together, the next turn does. A timer is late by about as much, or by one long work; or by
 * WF_CLOCK_WORKS of them, once, when they have just become long (docs/adr/0057). */
#define WF_CLOCK_NS    INT64_C(10000)
#define WF_CLOCK_WORKS 32

/* Is a timer armed, and is it time to look whether it is due? */
WF_INLINE bool wf_is_clock_turn(struct wf_worker *worker)
{
    return wf_wheel_next_ns(&worker->wheel) != INT64_MAX &&
           (int64_t)(wf_turn_of(worker) - worker->clock_at) >= 0;
}

/* --- what there is to do ---------------------------------------------------------------------- */

/* By the clock, which it looks at if a timer is armed. */
bool wf_is_timer_due(struct wf_worker *worker);

/* Of its own, besides what is in the FIFO. */
WF_INLINE bool wf_has_new_work(struct wf_worker *worker)
{
    return worker->pinned.first != NULL || wf_deque_has_public(&worker->deque);
}

static inline bool wf_has_own_work(struct wf_worker *worker)
{
    return wf_has_new_work(worker) || wf_runq_len(&worker->runq) != 0;
}

/* Is there nothing that cannot wait, but perhaps the driver's turn? With nothing under way the
 * driver is not asked whether it is due, which was a tenth of what a turn costs; it is polled at
 * the WF_TURN_POLL-th all the same. */
WF_INLINE bool wf_may_skip_serve(struct wf_worker *worker)
{
    return worker->under_way == 0 &&
           wf_load_relaxed(&worker->inbox) == NULL && /* relaxed: the next turn sees it */
           !wf_is_clock_turn(worker);
}

/* With more ready fibers than this their stacks no longer all fit into the first-level cache (0.7
 * KiB each, of 32): those whose turn is soon are fetched. With 30 that only costs (1.5 ns a
 * turn). */
#define WF_FETCH_READY 48

/* The oldest of the FIFO. If there are many, the stack whose turn is the one after the next is
 * fetched meanwhile: who is resumed reads a dozen lines, one after the other. As long as the turns
 * follow the order of addresses the processor fetches them by itself; in any other order, which is
 * what comes of stacks that are given back when tasks end, or stolen, 100 tasks that yield took 34
 * ns a turn instead of 20, and take 25 with this (docs/adr/0038). */
WF_INLINE struct wf_work *wf_pop_ready(struct wf_worker *worker)
{
    struct wf_work *soon = NULL;
    struct wf_work *work = wf_runq_pop_ahead(&worker->runq, WF_FETCH_READY, &soon);
    if (wf_unlikely(soon != NULL)) {
        struct wf_fiber *fiber = wf_fiber_resumed_by(soon);
        if (fiber != NULL) {
            wf_fiber_fetch(fiber);
            /* relaxed: a hint */
            if (wf_load_relaxed(&worker->runq.head) < worker->cold_end) {
                wf_fiber_fetch_rest(fiber);
            }
        }
    }
    return work;
}

/* --- serve.c ---------------------------------------------------------------------------------- */

/* What cannot wait. On a loop's stack, or a task's that yields. */
void wf_serve(struct wf_fiber *self, struct wf_worker *worker);
void wf_run_timers(struct wf_worker *worker);
void wf_poll_driver(struct wf_worker *worker);

/* --- worker.c --------------------------------------------------------------------------------- */

/* Works moved from the injection queue at once. */
#define WF_INJECT_BATCH 16

struct wf_work *wf_take_injected(struct wf_worker *worker);

/* --- search.c --------------------------------------------------------------------------------- */

struct wf_work *wf_look_awake(struct wf_worker *worker, bool may_search, int64_t began_ns,
                              bool *due);

/* --- sleep.c ---------------------------------------------------------------------------------- */

bool wf_is_there_more(void *worker) WF_HIDDEN;
void wf_sleep_until(struct wf_worker *worker, int64_t deadline_ns);
void wf_park_and_learn(struct wf_worker *worker, int64_t began_ns);
void wf_end_watch(struct wf_worker *worker);

/* It is about to run work, or to sleep until it is woken. */
WF_INLINE void wf_end_watching(struct wf_worker *worker)
{
    if (wf_unlikely(worker->watching != WF_WATCHES_NOT)) {
        wf_end_watch(worker);
    }
}

/* --- lookout.c -------------------------------------------------------------------------------- */

bool wf_is_rescue_on(const struct wf_worker *worker);
int64_t wf_rescue(struct wf_worker *worker);
void wf_post_lookout(struct wf_worker *worker);
void wf_sleep_on(struct wf_worker *worker);

#endif
