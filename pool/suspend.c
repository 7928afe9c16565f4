/* suspend.c: how a worker leaves a stack: to wait for something (wf_suspend), to give way
 * (wf_yield), or because it has nothing to do itself (wf_switch_to). worker.h has the guarantees.
 *
 * Where it goes: to the fiber that the loop would resume next, if that is plain without a turn of
 * the loop, so that fibers which pass work to each other pay for one switch; else to a spare stack
 * with a fresh loop on it. */
#include "pool/base/check.h"
#include "pool/turn.h"

/* --- switching -------------------------------------------------------------------------------- */

void wf_fiber_run_resume(struct wf_fiber *self, struct wf_work *work)
{
    wf_switch_to(self, wf_container_of(work, struct wf_fiber, resume));
}

void wf_fiber_run_homed(struct wf_fiber *self, struct wf_work *work)
{
    struct wf_fiber *fiber = wf_container_of(work, struct wf_fiber, resume);
    fiber->home->arrive(fiber->home, self, fiber);
}

bool wf_may_switch_to(const struct wf_fiber *self, const struct wf_fiber *target)
{
    return target->resume.run == wf_fiber_run_resume && target->worker->pool == self->worker->pool;
}

static void give_back(struct wf_fiber *now, struct wf_fiber *before, void *arg)
{
    (void)arg;
    wf_deque_leave(&now->worker->deque);
    wf_fiber_give(&now->worker->stacks, before);
}

void wf_switch_to(struct wf_fiber *self, struct wf_fiber *target)
{
    self->worker->stole_from = NULL; /* what this loop ran last has ended */
    wf_fiber_switch(self, target, give_back, NULL);
    wf_unreachable("a stack that was given back is not resumed");
}

void wf_switch_back(struct wf_fiber *now, struct wf_fiber *before)
{
    struct wf_worker *worker = now->worker;
    if (worker->direct || worker->handed != NULL || !wf_may_switch_to(now, before)) {
        /* `now` is no empty loop: it has something to do itself; or `before` has to go home */
        wf_ready(worker, &before->resume);
    } else {
        wf_switch_to(now, before);
    }
}

/* --- suspending ------------------------------------------------------------------------------- */

/* May the next work run without a turn of the loop? */
WF_INLINE bool may_go_on(struct wf_worker *worker)
{
    /* Relaxed: if it is missed now, the next turn sees it. */
    return !wf_is_poll_turn(worker) && wf_load_relaxed(&worker->inbox) == NULL &&
           !(wf_is_clock_turn(worker) && wf_is_timer_due(worker));
}

/* The same, and it need not look at the clock for that. */
WF_INLINE bool may_go_on_blindly(struct wf_worker *worker)
{
    return !wf_is_poll_turn(worker) && wf_load_relaxed(&worker->inbox) == NULL &&
           !wf_is_clock_turn(worker);
}

/* `self` is about to be left for a suspended stack without a home, which nobody else may resume. */
WF_INLINE void count_going_on(struct wf_fiber *self, struct wf_worker *worker)
{
    worker->direct = true;
    wf_count(&worker->counters.runs);
    wf_count(&worker->counters.suspends);
    self->budget = 0;
}

/* Leaves `self` for `next`, as above. */
WF_INLINE void go_on_with(struct wf_fiber *self, struct wf_fiber *next, wf_after_fn *after,
                          void *arg)
{
    count_going_on(self, self->worker);
    (void)wf_fiber_switch(self, next, after, arg);
}

/* The same, for a spare stack with a fresh loop, which begins with `work`, if any. */
static WF_NOINLINE void go_on_with_loop(struct wf_fiber *self, struct wf_work *work,
                                        wf_after_fn *after, void *arg)
{
    struct wf_worker *worker = self->worker;
    worker->direct = false;
    worker->handed = work;
    wf_count(&worker->counters.suspends);
    self->budget = 0;
    struct wf_fiber *fiber = wf_fiber_take(&worker->stacks);
    wf_check(fiber != NULL, "no stack to suspend onto: a worker ran work without a spare stack");
    wf_fiber_start(fiber, wf_worker_loop);
    fiber->resume.run = wf_fiber_run_resume;
    wf_fiber_switch(self, fiber, after, arg);
}

static void lie_down(struct wf_fiber *self, struct wf_work *next, wf_after_fn *after, void *arg)
{
    if (wf_unlikely(self->resume.run != wf_fiber_run_resume)) {
        self->home->leave(self->home, self);
    }
    if (next != NULL && next->run == wf_fiber_run_resume) {
        go_on_with(self, wf_container_of(next, struct wf_fiber, resume), after, arg);
    } else {
        go_on_with_loop(self, next, after, arg);
    }
}

void (*wf_on_suspend)(struct wf_fiber *self);

static void prepare_to_leave(struct wf_fiber *self)
{
    if (wf_unlikely(wf_on_suspend != NULL)) {
        wf_on_suspend(self);
    }
    struct wf_worker *worker = self->worker;
    if (wf_deque_publish(&worker->deque)) {
        wf_wake_unless_watched_inline(worker);
    }
}

/* wf_suspend in all cases but the most frequent. `next`: taken from the FIFO, if it was. */
static WF_NOINLINE void suspend_otherwise(struct wf_fiber *self, struct wf_work *next,
                                          wf_after_fn *after, void *arg)
{
    struct wf_worker *worker = self->worker;
    prepare_to_leave(self);
    if (next == NULL && !wf_deque_has_public(&worker->deque) && may_go_on(worker)) {
        next = wf_pop_ready(worker);
    }
    lie_down(self, next, after, arg);
}

/* Is it nobody's business that this stack is left, but that of who goes on? */
WF_INLINE bool may_leave_quietly(struct wf_fiber *self)
{
    return wf_likely(wf_on_suspend == NULL && self->resume.run == wf_fiber_run_resume) &&
           !wf_deque_has_private(&self->worker->deque);
}

/* With nothing newer, the oldest of the FIFO is what the loop would take anyway: to go on with it
 * from here saves the loop's turn and half of the switches where fibers pass work to each other. In
 * line, and without a call, for it is most of what a hand-over costs. NULL: it is not so; *next is
 * what was taken, if anything was. */
WF_INLINE struct wf_fiber *next_at_once(struct wf_fiber *self, struct wf_work **next)
{
    struct wf_worker *worker = self->worker;
    *next = NULL;
    if (may_leave_quietly(self) && !wf_deque_has_public(&worker->deque) &&
        may_go_on_blindly(worker) && (*next = wf_pop_ready(worker)) != NULL &&
        (*next)->run == wf_fiber_run_resume) {
        return wf_container_of(*next, struct wf_fiber, resume);
    }
    return NULL;
}

void wf_suspend(struct wf_fiber *self, wf_after_fn *after, void *arg)
{
    struct wf_work *work;
    struct wf_fiber *next = next_at_once(self, &work);
    if (wf_likely(next != NULL)) {
        go_on_with(self, next, after, arg);
    } else {
        suspend_otherwise(self, work, after, arg);
    }
}

static void switch_back(struct wf_fiber *now, struct wf_fiber *before, void *arg)
{
    (void)arg;
    wf_switch_back(now, before);
}

void wf_suspend_arming(struct wf_fiber *self, wf_after_fn *after, void *word)
{
    struct wf_work *work;
    struct wf_fiber *next = next_at_once(self, &work);
    if (wf_likely(next != NULL)) {
        count_going_on(self, self->worker);
        wf_fiber_switch_arming(self, next, after, switch_back, word);
    } else {
        suspend_otherwise(self, work, after, word);
    }
}

static WF_NOINLINE void suspend_watching_otherwise(struct wf_fiber *self, struct wf_work *next,
                                                   wf_after_fn *after, void *word, void *flag,
                                                   wf_flagged_fn *flagged)
{
    /* sync(worker.flag_slow): seq_cst, as sync(worker.flag); pairs sync(walk.marked_fence) */
    wf_fence_seq_cst();
    if (wf_is_flagged(flag)) {
        flagged(self);
    }
    if (next != NULL && next->run == wf_fiber_run_resume) {
        go_on_with(self, wf_container_of(next, struct wf_fiber, resume), after, word);
    } else {
        suspend_otherwise(self, next, after, word);
    }
}

void wf_suspend_watching(struct wf_fiber *self, wf_after_fn *after, void *word, void *flag,
                         wf_flagged_fn *flagged)
{
    struct wf_work *work;
    /* sync(worker.flag_light): in the program's order only, what the caller has stored is before
     * the compare-and-swap; pairs sync(walk.marked_fence) */
    wf_fence_light();
    struct wf_fiber *next = next_at_once(self, &work);
    /* a compare-and-swap has taken `next`: as a fence it does */
    if (wf_likely(next != NULL && !wf_is_flagged(flag))) {
        count_going_on(self, self->worker);
        (void)wf_fiber_switch_arming(self, next, after, switch_back, word);
    } else {
        suspend_watching_otherwise(self, work, after, word, flag, flagged);
    }
}

static WF_NOINLINE void suspend_to_otherwise(struct wf_fiber *self, struct wf_work *next,
                                             wf_after_fn *after, void *arg)
{
    struct wf_worker *worker = self->worker;
    if (may_go_on(worker)) {
        prepare_to_leave(self);
        lie_down(self, next, after, arg);
    } else {
        wf_ready(worker, next);
        wf_suspend(self, after, arg);
    }
}

void wf_suspend_to(struct wf_fiber *self, struct wf_work *next, wf_after_fn *after, void *word)
{
    if (next->run == wf_fiber_run_resume && may_leave_quietly(self) &&
        may_go_on_blindly(self->worker)) {
        count_going_on(self, self->worker);
        wf_fiber_switch_arming(self, wf_container_of(next, struct wf_fiber, resume), after,
                               switch_back, word);
    } else {
        suspend_to_otherwise(self, next, after, word);
    }
}

/* --- giving way ------------------------------------------------------------------------------- */

static void after_yield(struct wf_fiber *now, struct wf_fiber *before, void *arg)
{
    (void)arg;
    wf_ready(now->worker, &before->resume);
}

/* wf_yield_last when there is more to look at than the FIFO. Served here, on the task's stack: with
 * nothing else to run it may never come to the loop. */
static WF_NOINLINE int yield_otherwise(struct wf_fiber *self)
{
    struct wf_worker *worker = self->worker;
    if (wf_unlikely(wf_is_poll_turn(worker) || !wf_may_skip_serve(worker))) {
        wf_serve(self, worker);
    }
    bool injected = wf_inject_has(&worker->pool->inject);
    if (wf_unlikely((injected && worker->look_injected) || worker->pinned.first != NULL)) {
        prepare_to_leave(self);
        lie_down(self, NULL, after_yield, NULL); /* the loop alone looks there */
    } else if (injected || wf_has_own_work(worker) || wf_deque_has_private(&worker->deque)) {
        wf_suspend(self, after_yield, NULL); /* which counts the turn */
    } else {
        wf_count_empty_turn(worker);
    }
    return 0;
}

/* `next` is of the FIFO, but no stack without a home, or `self` is none. */
static WF_NOINLINE int yield_to(struct wf_fiber *self, struct wf_work *next)
{
    suspend_otherwise(self, next, after_yield, NULL);
    return 0;
}

/* `before` is in the FIFO by now, and nobody watches quietly. */
static void after_turn(struct wf_fiber *now, struct wf_fiber *before, void *arg)
{
    (void)before, (void)arg;
    wf_wake_unless_watched_inline(now->worker);
}

/* As wf_suspend with after_yield, but the switch itself puts `self` into the FIFO, and asks whether
 * somebody watches quietly: a quarter of the instructions less. */
int wf_yield_last(struct wf_fiber *self)
{
    struct wf_worker *worker = self->worker;
    if (wf_unlikely(wf_is_poll_turn(worker) || worker->under_way != 0 || wf_has_new_work(worker) ||
                    wf_deque_has_private(&worker->deque) ||
                    wf_load_relaxed(&worker->inbox) != NULL || /* relaxed: the next turn sees it */
                    wf_is_clock_turn(worker))) {
        return yield_otherwise(self);
    }
    struct wf_work *next = wf_pop_ready(worker);
    if (next == NULL) {
        if (wf_unlikely(wf_inject_has(&worker->pool->inject))) {
            return yield_otherwise(self);
        }
        wf_count_empty_turn(worker);
        return 0;
    }
    void *place;
    if (wf_unlikely(WF_ASAN || WF_TSAN || wf_on_suspend != NULL ||
                    self->resume.run != wf_fiber_run_resume || next->run != wf_fiber_run_resume ||
                    (place = wf_runq_place(&worker->runq)) == NULL)) {
        return yield_to(self, next);
    }
    count_going_on(self, worker);
    return wf_fiber_switch_queued(self, wf_container_of(next, struct wf_fiber, resume), after_turn,
                                  wf_watchers_quiet(&worker->pool->watchers), place,
                                  &worker->runq.tail);
}

void wf_yield(struct wf_fiber *self)
{
    (void)wf_yield_last(self);
}

void wf_yield_full(struct wf_fiber *self)
{
    struct wf_worker *worker = self->worker;
    if (wf_runq_len(&worker->runq) == 0) {
        worker->old_at = worker->poll_at;
    }
    wf_yield(self);
}
