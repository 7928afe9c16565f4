/* worker.c: the loop that every worker runs, the order in which it finds work, and how it goes to
 * sleep.
 *
 * The order, once per turn:
 *   1. what cannot wait: messages, completions and timers that are due;
 *   2. after WF_TURN_POLL works the injection queue, after WF_TURN_FIFO the FIFO, after
 *      WF_TURN_OLDEST the deque's oldest, so that none starves behind an endless supply of newer
 *      work. Such a turn falls due at a number of works: it may come late, since a task that hands
 *      over to another runs works without a turn of the loop, but it is never passed over;
 *   3. the deque's newest, the FIFO's oldest;
 *   4. nothing of its own left: poll the driver, the injection queue, steal; then sleep as park.h
 *      says.
 *
 * What it leaves to its owner although it has nothing else to do, and how it *watches* meanwhile,
 * is in light.h.
 *
 * Lookouts. What a worker has under way in its driver (operations of the kernel) is of no use to
 * anybody while it computes. So one or two that have nothing to do are *lookouts*: they sleep,
 * parked, for as long as the driver says, and ask it to do what others do not come to (driver.h,
 * rescue). When nobody has been awake they go on for LOOKOUT_LINGER rounds, so that a server with a
 * request now and then does not wake one each time, and then sleep like the others: an idle pool is
 * silent. A worker that wakes up and is about to run something, with things under way and no
 * lookout, wakes one (post_lookout); and so does one that begins to have something under way while
 * other works are queued here, which may compute (wf_exposed). lookout.h has the argument.
 *
 * A worker runs new work only while it holds a spare stack. If none is to be had (WEFT_TASKS_MAX
 * stacks suspended, or no memory) it goes on resuming fibers, which gives stacks back, and leaves
 * new work queued: see `starved`. */
#include "pool/base/check.h"
#include "pool/base/sys.h"
#include "pool/light.h"

/* Works run between two looks at what has no turn of its own: the driver, of which nothing said
 * that it is due, the injection queue, and the clock. 61 as in Go's runtime (a prime, so that it
 * does not beat with loops of the program). */
#define WF_TURN_POLL 61
/* Works between looks at the FIFO before the deque. A prime likewise, and often enough that a
 * resumed fiber waits for at most 12 new tasks. */
#define WF_TURN_FIFO 13
/* Works between looks at the deque's oldest. Else what was started first never began while newer
 * work did not cease, and the other workers had enough to do. */
#define WF_TURN_OLDEST 247
/* Works moved from the injection queue at once. */
#define WF_INJECT_BATCH 16
/* With more ready fibers than this their stacks no longer all fit into the first-level cache (0.7
 * KiB each, of 32): those whose turn is soon are fetched. With 30 that only costs (1.5 ns a
 * turn). */
#define WF_FETCH_READY 48
/* Rounds of the lookout while nobody is awake; each sleeps twice as long as the one before, from
 * LOOKOUT_LINGER_NS on: 15 ms in all. */
#define LOOKOUT_LINGER    4
#define LOOKOUT_LINGER_NS INT64_C(1000000)
/* How long a worker without a spare stack sleeps before it asks for one again. */
#define WF_STARVED_NS INT64_C(1000000)

/* --- waking others ---------------------------------------------------------------------------- */

static void wake(struct wf_worker *worker, int target)
{
    if (target >= 0) {
        wf_count(&worker->counters.wakes);
        worker->driver->ops->wake(worker->driver, target);
    }
}

void wf_wake_check(struct wf_worker *worker)
{
    if (worker->peers == 0) {
        return; /* it is awake: we are it */
    }
    wake(worker, wf_park_pick(&worker->pool->park));
}

/* --- making ready ----------------------------------------------------------------------------- */

WF_COLD void wf_ready_overflow(struct wf_worker *worker, struct wf_work *work)
{
    worker->has_spilled = true;
    wf_inject_push(&worker->pool->inject, work);
}

static WF_NOINLINE void wake_one(struct wf_worker *worker)
{
    struct wf_park *park = &worker->pool->park;
    /* one that has slept finds this as a searcher, and then wakes others if there is more */
    if (wf_park_state(park, (int)worker->index) < WF_PARK_PARKED) {
        wake(worker, wf_park_pick_fenced(park));
    }
}

/* In line, for it comes with each work. */
WF_INLINE void wake_unless_watched(struct wf_worker *worker)
{
    if (wf_unlikely(!wf_watchers_may_rely(&worker->pool->watchers))) {
        wake_one(worker);
    }
}

void wf_wake_unless_watched(struct wf_worker *worker)
{
    wake_unless_watched(worker);
}

WF_COLD void wf_ready_spill(struct wf_worker *worker, struct wf_work *work)
{
    wf_runq_close(&worker->runq);
    wf_ready_overflow(worker, work);
    wake_unless_watched(worker);
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
    wake_unless_watched(worker);
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

/* --- suspending ------------------------------------------------------------------------------- */

void wf_fiber_run_resume(struct wf_fiber *self, struct wf_work *work)
{
    wf_switch_to(self, wf_container_of(work, struct wf_fiber, resume));
}

void wf_fiber_run_homed(struct wf_fiber *self, struct wf_work *work)
{
    struct wf_fiber *fiber = wf_container_of(work, struct wf_fiber, resume);
    fiber->home->arrive(fiber->home, self, fiber);
}

static bool is_fiber(const struct wf_work *work)
{
    return work->run == wf_fiber_run_resume || work->run == wf_fiber_run_homed;
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

static bool is_timer_due(struct wf_worker *worker)
{
    int64_t next_ns = wf_wheel_next_ns(&worker->wheel);
    return next_ns != INT64_MAX && next_ns <= wf_sys.now_ns();
}

/* Works that it has run, by which the turns are counted. */
WF_INLINE uint64_t turn_of(struct wf_worker *worker)
{
    return wf_load_relaxed(&worker->counters.runs); /* relaxed: ours */
}

/* Is it time to poll the driver, though nothing says so? */
WF_INLINE bool is_poll_turn(struct wf_worker *worker)
{
    return turn_of(worker) >= worker->poll_at;
}

/* Works since it was polled, turns without a work included. */
WF_INLINE uint64_t works_since_poll(struct wf_worker *worker)
{
    return turn_of(worker) + WF_TURN_POLL - 1 - worker->poll_at;
}

/* A turn in which no work is run, nor was there any: what comes now may come in any order. */
WF_INLINE void count_empty_turn(struct wf_worker *worker)
{
    worker->poll_at--;
    worker->old_at = 0;
}

/* May the next work run without a turn of the loop? */
WF_INLINE bool may_go_on(struct wf_worker *worker)
{
    /* Relaxed: if it is missed now, the next turn sees it. */
    return !is_poll_turn(worker) && wf_load_relaxed(&worker->inbox) == NULL &&
           !is_timer_due(worker);
}

/* The same, and it need not look at the clock for that. */
WF_INLINE bool may_go_on_blindly(struct wf_worker *worker)
{
    return !is_poll_turn(worker) && wf_load_relaxed(&worker->inbox) == NULL &&
           wf_wheel_next_ns(&worker->wheel) == INT64_MAX;
}

/* Timers have fired: those that they make ready have slept, so nothing of their stacks is near. */
static void note_cold(struct wf_worker *worker)
{
    worker->cold_end = wf_load_relaxed(&worker->runq.tail); /* relaxed: ours */
}

/* The oldest of the FIFO. If there are many, the stack whose turn is the one after the next is
 * fetched meanwhile: who is resumed reads a dozen lines, one after the other. As long as the turns
 * follow the order of addresses the processor fetches them by itself; in any other order, which is
 * what comes of stacks that are given back when tasks end, or stolen, 100 tasks that yield took 34
 * ns a turn instead of 20, and take 25 with this (docs/adr/0038). */
WF_INLINE struct wf_work *pop_ready(struct wf_worker *worker)
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
        wake_unless_watched(worker);
    }
}

/* wf_suspend in all cases but the most frequent. `next`: taken from the FIFO, if it was. */
static WF_NOINLINE void suspend_otherwise(struct wf_fiber *self, struct wf_work *next,
                                          wf_after_fn *after, void *arg)
{
    struct wf_worker *worker = self->worker;
    prepare_to_leave(self);
    if (next == NULL && !wf_deque_has_public(&worker->deque) && may_go_on(worker)) {
        next = pop_ready(worker);
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
        may_go_on_blindly(worker) && (*next = pop_ready(worker)) != NULL &&
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

/* --- what cannot wait ------------------------------------------------------------------------- */

static WF_COLD void run_messages(struct wf_fiber *self, struct wf_worker *worker)
{
    /* sync(worker.collect): acq_rel, the messages' contents; and who finds the inbox empty finds us
     * awake. Pairs sync(worker.post), sync(worker.look) */
    struct wf_work *message = wf_xchg_acq_rel(&worker->inbox, NULL);
    worker->serving = true;
    while (message != NULL) {
        struct wf_work *next = message->next;
        message->run(self, message); /* LAST TOUCH */
        message = next;
    }
    worker->serving = false;
}

/* --- fibers pinned to a worker ---------------------------------------------------------------- */

/* A pinned fiber's resume work may come up on any worker, since wakers put it where they are, and
 * thieves take it. On a wrong one it is posted to its own, as a message. */
void wf_arrive_pinned(struct wf_home *home, struct wf_fiber *self, struct wf_fiber *fiber)
{
    struct wf_worker *worker = wf_container_of(home, struct wf_worker, pin);
    if (self->worker != worker) {
        wf_post(worker, &fiber->resume);
        return;
    }
    if (!worker->serving) {
        wf_switch_to(self, fiber);
    }
    fiber->resume.next = NULL;
    if (worker->pinned_first == NULL) {
        worker->pinned_first = &fiber->resume;
    } else {
        worker->pinned_newest->next = &fiber->resume;
    }
    worker->pinned_newest = &fiber->resume;
}

static void leave_pinned(struct wf_home *home, struct wf_fiber *fiber)
{
    (void)home, (void)fiber;
}

static struct wf_work *take_pinned(struct wf_worker *worker)
{
    struct wf_work *work = worker->pinned_first;
    if (wf_unlikely(work != NULL)) {
        worker->pinned_first = work->next;
    }
    return work;
}

void wf_worker_init_pin(struct wf_worker *worker)
{
    worker->pin = (struct wf_home){.arrive = wf_arrive_pinned, .leave = leave_pinned};
}

/* Timers that are due, and the messages that they leave: a deadline's, on which the end of its
 * scope waits. */
static void run_timers(struct wf_worker *worker)
{
    int64_t next_ns = wf_wheel_next_ns(&worker->wheel);
    if (next_ns == INT64_MAX) {
        return;
    }
    int64_t now_ns = wf_sys.now_ns();
    if (next_ns > now_ns) {
        return;
    }
    uint64_t fired = 0;
    /* ends: each call fires or moves what is due */
    while (wf_wheel_next_ns(&worker->wheel) <= now_ns) {
        fired += (uint64_t)wf_wheel_advance(&worker->wheel, now_ns);
    }
    wf_count_add(&worker->counters.timers_fired, fired);
    if (fired > 0) {
        note_cold(worker);
        wake_unless_watched(worker); /* for wf_ready_fired: a fence, and not one for each */
    }
    if (wf_load_relaxed(&worker->inbox) != NULL) { /* relaxed: run_messages acquires */
        run_messages(wf_self(), worker);
    }
}

/* The FIFO takes what is ready again. */
static void end_spill(struct wf_worker *worker)
{
    worker->has_spilled = false;
    wf_runq_open(&worker->runq);
}

/* What did not fit into the FIFO goes there as soon as there is room, and until all of it has, what
 * becomes ready goes behind it, into the injection queue: else, with more ready tasks than the FIFO
 * holds, those in it ran again and again, and the others waited for as long as there was load (echo
 * by 1000 frames: half of the requests within 3 ms, 99 % within 75, where the mean was 8). Not
 * without a spare stack: what is new would be in the way of those who may run it, and of the fibers
 * that give back stacks.
 *
 * When two workers have both spilled, all that becomes ready on either goes through the one
 * injection queue, until one of them finds it empty: the price of one order for all. With 256 slots
 * in the FIFO `yield/1000` (real-time priority, two processors) took 53 ns a yield with one worker
 * and 234 with two; with 500 tasks, which two workers held, 46 and 36 to 45. A list of each
 * worker's own would be cheaper, and its order would be that worker's only. */
static WF_COLD void take_back(struct wf_worker *worker)
{
    if (!wf_worker_has_spare(worker)) {
        wf_runq_open(&worker->runq);
        return;
    }
    struct wf_work *works[WF_INJECT_BATCH];
    int count = WF_INJECT_BATCH;
    /* ends: the FIFO is full, or nothing is left */
    while (count == WF_INJECT_BATCH &&
           wf_runq_len(&worker->runq) <= WF_RUNQ_SLOTS - WF_INJECT_BATCH) {
        count = wf_inject_pop_batch(&worker->pool->inject, WF_INJECT_BATCH, works);
        for (int i = 0; i < count; i++) {
            bool fits = wf_runq_append(&worker->runq, works[i]);
            wf_check_inner(fits);
            (void)fits;
        }
        wf_count_add(&worker->counters.injected, (uint64_t)count);
    }
    if (count < WF_INJECT_BATCH) {
        end_spill(worker);
    }
    wake_unless_watched(worker); /* between the queues they were in sight of nobody */
}

static void poll_driver(struct wf_worker *worker)
{
    if (wf_unlikely(worker->has_spilled)) {
        take_back(worker);
    }
    worker->poll_at = turn_of(worker) + WF_TURN_POLL - 1;
    worker->look_injected = true;
    worker->driver->ops->poll(worker->driver, worker);
    run_timers(worker);
}

static void serve(struct wf_fiber *self, struct wf_worker *worker)
{
    if (wf_unlikely(wf_load_relaxed(&worker->inbox) != NULL)) { /* relaxed: run_messages acquires */
        run_messages(self, worker);
    }
    if (wf_unlikely(is_poll_turn(worker) || worker->driver->ops->is_due(worker->driver, worker))) {
        poll_driver(worker);
    } else if (wf_wheel_next_ns(&worker->wheel) != INT64_MAX) {
        run_timers(worker); /* 25 ns for the clock, so only while a timer is armed */
    }
}

/* --- giving way ------------------------------------------------------------------------------- */

static void after_yield(struct wf_fiber *now, struct wf_fiber *before, void *arg)
{
    (void)arg;
    wf_ready(now->worker, &before->resume);
}

/* Of its own, besides what is in the FIFO. */
WF_INLINE bool has_new_work(struct wf_worker *worker)
{
    return worker->pinned_first != NULL || wf_deque_has_public(&worker->deque);
}

static bool has_own_work(struct wf_worker *worker)
{
    return has_new_work(worker) || wf_runq_len(&worker->runq) != 0;
}

/* Is there nothing that cannot wait, but perhaps the driver's turn? With nothing under way the
 * driver is not asked whether it is due, which was a tenth of what a turn costs; it is polled at
 * the WF_TURN_POLL-th all the same. */
WF_INLINE bool may_skip_serve(struct wf_worker *worker)
{
    return worker->under_way == 0 &&
           wf_load_relaxed(&worker->inbox) == NULL && /* relaxed: the next turn sees it */
           wf_wheel_next_ns(&worker->wheel) == INT64_MAX;
}

/* wf_yield_last when there is more to look at than the FIFO. Served here, on the task's stack: with
 * nothing else to run it may never come to the loop. */
static WF_NOINLINE int yield_otherwise(struct wf_fiber *self)
{
    struct wf_worker *worker = self->worker;
    if (wf_unlikely(is_poll_turn(worker) || !may_skip_serve(worker))) {
        serve(self, worker);
    }
    bool injected = wf_inject_has(&worker->pool->inject);
    if (wf_unlikely((injected && worker->look_injected) || worker->pinned_first != NULL)) {
        prepare_to_leave(self);
        lie_down(self, NULL, after_yield, NULL); /* the loop alone looks there */
    } else if (injected || has_own_work(worker) || wf_deque_has_private(&worker->deque)) {
        wf_suspend(self, after_yield, NULL); /* which counts the turn */
    } else {
        count_empty_turn(worker);
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
    wake_unless_watched(now->worker);
}

/* As wf_suspend with after_yield, but the switch itself puts `self` into the FIFO, and asks whether
 * somebody watches quietly: a quarter of the instructions less. */
int wf_yield_last(struct wf_fiber *self)
{
    struct wf_worker *worker = self->worker;
    if (wf_unlikely(is_poll_turn(worker) || worker->under_way != 0 || has_new_work(worker) ||
                    wf_deque_has_private(&worker->deque) ||
                    wf_load_relaxed(&worker->inbox) != NULL || /* relaxed: the next turn sees it */
                    wf_wheel_next_ns(&worker->wheel) != INT64_MAX)) {
        return yield_otherwise(self);
    }
    struct wf_work *next = pop_ready(worker);
    if (next == NULL) {
        if (wf_unlikely(wf_inject_has(&worker->pool->inject))) {
            return yield_otherwise(self);
        }
        count_empty_turn(worker);
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

/* --- finding work ----------------------------------------------------------------------------- */

static bool ensure_spare(struct wf_worker *worker)
{
    return wf_likely(wf_worker_has_spare(worker)) || wf_stack_cache_fill(&worker->stacks);
}

/* One work to run and the rest of a batch into the FIFO, for thieves to share. After a poll that
 * one runs before what the FIFO has, so that foreign work does not wait behind all that. Of what
 * has spilled one in WF_TURN_POLL works may have a turn so much earlier by it, and then stands at
 * the end as all do: the others wait 1.6 % longer, and nobody for good (tests/patterns/test_turns.c
 * bounds the difference). */
static struct wf_work *take_injected(struct wf_worker *worker)
{
    struct wf_pool *pool = worker->pool;
    struct wf_work *works[WF_INJECT_BATCH];
    int room = 1 + WF_RUNQ_SLOTS - (int)wf_runq_len(&worker->runq);
    int count =
        wf_inject_pop_batch(&pool->inject, room < WF_INJECT_BATCH ? room : WF_INJECT_BATCH, works);
    if (count == 0) {
        return NULL;
    }
    if (wf_load_relaxed(&pool->taker) != (int32_t)worker->index) { /* relaxed, both: see pool.h */
        wf_store_relaxed(&pool->taker, (int32_t)worker->index);
    }
    wf_count_add(&worker->counters.injected, (uint64_t)count);
    worker->woken = false;
    for (int i = 1; i < count; i++) {
        wf_prefetch_write(works[i]); /* all at once: another core wrote them */
        wf_prefetch_write((char *)works[i] + WF_LINE);
    }
    for (int i = 1; i < count; i++) {
        bool fits = wf_runq_append(&worker->runq, works[i]);
        wf_check_inner(fits);
        (void)fits;
    }
    if (count == WF_INJECT_BATCH) {
        wf_inject_fetch(&pool->inject, WF_INJECT_BATCH);
    }
    if (count > 1) {
        wake_unless_watched(worker); /* between the queues they were in sight of nobody */
    }
    return works[0];
}

/* The turn of what has waited longest, in the FIFO or now and then in the deque. It is due again
 * with the driver's at the latest, of which alone the ways past the loop ask. NULL: nothing, or the
 * driver's comes first, for find_work to see. */
static WF_NOINLINE struct wf_work *take_old(struct wf_worker *worker)
{
    if (is_poll_turn(worker)) {
        return NULL;
    }
    uint64_t turn = turn_of(worker);
    uint64_t old_at = turn + WF_TURN_FIFO;
    worker->old_at = old_at < worker->poll_at ? old_at : worker->poll_at;
    struct wf_work *work = NULL;
    if (wf_unlikely(turn >= worker->oldest_at) && wf_deque_has_public(&worker->deque)) {
        worker->oldest_at = turn + WF_TURN_OLDEST;
        work = wf_deque_steal(&worker->deque);
    }
    if (work == NULL) {
        work = pop_ready(worker);
    }
    return work != NULL ? work : wf_deque_pop(&worker->deque);
}

/* Of what anybody may steal from it: the deque's newest, else the FIFO's oldest, unless it is the
 * turn of others. */
WF_INLINE struct wf_work *take_queued(struct wf_worker *worker)
{
    if (wf_unlikely(turn_of(worker) >= worker->old_at)) {
        return take_old(worker);
    }
    struct wf_work *work = wf_deque_pop(&worker->deque);
    return work != NULL ? work : pop_ready(worker);
}

static struct wf_work *take_own(struct wf_worker *worker)
{
    struct wf_work *work = worker->handed;
    if (wf_unlikely(work != NULL)) {
        worker->handed = NULL;
        return work;
    }
    if ((work = take_pinned(worker)) != NULL) {
        return work;
    }
    if (wf_unlikely(worker->look_injected)) {
        worker->look_injected = false;
        if ((work = take_injected(worker)) != NULL) {
            return work;
        }
    }
    return take_queued(worker);
}

/* The oldest of some other worker's deque, or half of its FIFO. */
static struct wf_work *steal(struct wf_worker *worker, int64_t now_ns)
{
    struct wf_pool *pool = worker->pool;
    uint32_t count = (uint32_t)pool->worker_count;
    uint32_t start = wf_rng_below(&worker->rng, count);
    for (uint32_t i = 0; i < count; i++) {
        struct wf_worker *victim = &pool->workers[(start + i) % count];
        if (victim == worker) {
            continue;
        }
        struct wf_work *work = NULL;
        worker->stole_from = NULL;
        if (wf_light_may_steal_new(worker, victim, now_ns)) {
            work = wf_deque_steal(&victim->deque);
            worker->stole_from = victim;
        } else {
            wf_deque_ask_if_empty(&victim->deque);
        }
        if (work == NULL && wf_light_may_steal_ready(worker, victim, now_ns)) {
            work = wf_runq_steal(&victim->runq, &worker->runq);
            worker->stole_from = NULL;
        }
        if (work != NULL) {
            wf_count(&worker->counters.steals);
            worker->stole_ns = now_ns;
            worker->stole_at = wf_load_relaxed(&worker->counters.suspends); /* relaxed: ours */
            worker->woken = false;
            return work;
        }
    }
    wf_count(&worker->counters.steal_misses);
    return NULL;
}

/* The injection queue, as a searcher looks at it: not all the time if another gets on with what is
 * there. */
static struct wf_work *search_injected(struct wf_worker *worker, int64_t now_ns)
{
    if (now_ns < worker->inject_ns || !wf_inject_has(&worker->pool->inject)) {
        return NULL;
    }
    if (wf_light_is_attended(worker, now_ns)) {
        worker->inject_ns = now_ns + WF_LOOK_NS;
        return NULL;
    }
    return take_injected(worker);
}

/* Has the driver something to hand over, or has handed it over just now? */
static bool has_arrived(struct wf_worker *worker, bool patient)
{
    const struct wf_driver_ops *ops = worker->driver->ops;
    return ops->is_due(worker->driver, worker) ||
           (patient && ops->is_blind && ops->poll(worker->driver, worker) > 0);
}

/* What came of the last steal: it is done. */
static void note_stolen(struct wf_worker *worker, int64_t now_ns)
{
    if (now_ns - worker->stole_ns >= WF_LONG_NS) {
        worker->watch_ns = WF_WATCH_MIN_NS;
    } else if (worker->stole_from != NULL && wf_load_relaxed(&worker->counters.suspends) !=
                                                 worker->stole_at) { /* relaxed: ours */
        wf_light_note_waits(worker->stole_from, now_ns);
    }
    worker->stole_ns = 0;
}

/* Looks for a while, without sleeping: everywhere if it `may_search` (the caller is counted as
 * searching), else at the injection queue and the driver; longer if there is patience for the
 * driver (patience.h). Work; or NULL, and *due says whether there is something to serve. */
static struct wf_work *look_awake(struct wf_worker *worker, bool may_search, int64_t began_ns,
                                  bool *due)
{
    bool patient = wf_patience_has(&worker->patience);
    int64_t search_ns = wf_patience_is_crowded(&worker->patience) ? 0 : worker->search_ns;
    int64_t give_up_ns = began_ns + (search_ns > WF_SEARCH_MIN_NS ? search_ns : WF_SEARCH_MIN_NS);
    int64_t bored_ns = patient ? began_ns + worker->patience.most_ns : began_ns;
    int64_t look_ns = may_search && worker->pool->worker_count > 1 ? began_ns : INT64_MAX;
    int64_t timer_ns = wf_wheel_next_ns(&worker->wheel);
    int64_t now_ns = began_ns;
    if (worker->stole_ns != 0) {
        note_stolen(worker, began_ns);
    }
    uint64_t taken = wf_inject_taken(&worker->pool->inject);
    for (;;) { /* ends: give_up_ns, bored_ns */
        struct wf_work *work = search_injected(worker, now_ns);
        if (work == NULL && now_ns >= look_ns) {
            work = steal(worker, now_ns);
            wf_light_note_stream(worker, wf_inject_taken(&worker->pool->inject) - taken,
                                 now_ns - began_ns);
            if (worker->saw_light) {
                look_ns = now_ns + WF_LOOK_NS;
                give_up_ns = began_ns + WF_SEARCH_MIN_NS;
            }
        }
        if (work != NULL) {
            worker->search_ns = worker->pool->spin_ns;
            return work;
        }
        if (has_arrived(worker, patient)) {
            wf_patience_met(&worker->patience);
            worker->search_ns = worker->pool->spin_ns;
            *due = true;
            return NULL;
        }
        /* Relaxed: the caller comes to serve it, and acquires. */
        if (wf_load_relaxed(&worker->inbox) != NULL || timer_ns <= now_ns) {
            *due = true;
            return NULL;
        }
        if (now_ns >= give_up_ns && now_ns >= bored_ns) {
            if (patient) {
                wf_patience_missed(&worker->patience);
            }
            worker->search_ns /= 2;
            return NULL;
        }
        wf_spin_hint();
        now_ns = wf_sys.now_ns();
    }
}

/* --- sleeping --------------------------------------------------------------------------------- */

enum sight {
    NOTHING,
    LIGHT, /* queues of workers that are awake and seem to get on with them by themselves */
    WORK,
};

static bool has_queued(struct wf_worker *worker)
{
    return wf_deque_has_public(&worker->deque) || wf_runq_len(&worker->runq) != 0;
}

/* What is queued in the pool? Its own queues count too: what it just stole half of is more work.
 * What came from outside is light if another, who took from there last, is awake: when he sleeps he
 * takes himself for the one, and looks. */
static enum sight look(struct wf_worker *worker)
{
    struct wf_pool *pool = worker->pool;
    if (has_queued(worker)) {
        return WORK;
    }
    enum sight found = worker->saw_light ? LIGHT : WORK;
    if (wf_inject_has(&pool->inject)) {
        /* relaxed: after the fence of the announcement, or of sync(park.leave) */
        bool is_ours = wf_load_relaxed(&pool->taker) == (int32_t)worker->index;
        return is_ours || !wf_light_taker_runs(pool) ? WORK : found;
    }
    for (int i = 0; i < pool->worker_count; i++) {
        if (has_queued(&pool->workers[i])) {
            return found;
        }
    }
    return NOTHING;
}

/* wf_park_found's question, with the worker as its argument. Somebody who watches finds it himself;
 * we have taken ourselves out of the count before. */
static bool is_there_more(void *arg)
{
    struct wf_worker *worker = arg;
    /* Relaxed: after the fence of sync(park.leave). Who read our count, and sleeps, was parked
     * before it. */
    bool watched = wf_watchers_count(&worker->pool->watchers) != 0;
    if (watched && worker->stole_ns == 0 && has_queued(worker)) {
        /* what it did not take from others, but has made ready by itself: as in wf_ready */
        return false;
    }
    enum sight sight = look(worker);
    return sight == WORK || (sight == LIGHT && !watched);
}

/* Every source of work that this worker could run: the sleeper's third step in park.h. A source
 * that is missing here is a lost wake-up. */
static enum sight look_before_sleep(struct wf_worker *worker)
{
    struct wf_pool *pool = worker->pool;
    /* Relaxed: after the fence of the announcement; what is found is taken with its own orders. */
    if (wf_load_relaxed(&worker->inbox) != NULL || wf_load_relaxed(&pool->stopping) != 0 ||
        worker->driver->ops->is_due(worker->driver, worker)) {
        return WORK;
    }
    for (int i = 0; i < pool->worker_count; i++) {
        if (i != (int)worker->index) {
            /* its next fork becomes public, and wakes somebody */
            wf_deque_ask(&pool->workers[i].deque);
        }
    }
    return look(worker);
}

static void sleep_until(struct wf_worker *worker, int64_t deadline_ns)
{
    /* deep stacks give back their pages, now and then */
    wf_stack_cache_trim(&worker->stacks, wf_sys.now_ns());
    int64_t timer_ns = wf_wheel_next_ns(&worker->wheel);
    wf_count(&worker->counters.parks);
    worker->driver->ops->sleep(worker->driver, worker,
                               timer_ns < deadline_ns ? timer_ns : deadline_ns);
}

/* If all workers are parked, and somebody wants to know: what is to be done about it; or NULL. A
 * worker that parks at this moment sees us parked, and is the last itself. */
static wf_stood_still_fn *stands_still(struct wf_pool *pool)
{
    /* relaxed: set before this pool started, always to the same */
    wf_stands_still_fn *ask = wf_load_relaxed(&wf_pool_hooks.stands_still);
    return ask != NULL && wf_park_all(&pool->park) ? ask(pool) : NULL;
}

/* --- the lookout ------------------------------------------------------------------------------ */

static bool is_rescue_on(const struct wf_worker *worker)
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
            wake(worker, i);
            return;
        }
    }
}

/* This worker has been parked, and is about to run something. */
static void post_lookout(struct wf_worker *worker)
{
    if (!is_rescue_on(worker)) {
        return;
    }
    if (wf_unlikely(wf_lookout_is_missing(&worker->pool->lookouts)) &&
        is_any_awake_exposed(worker)) {
        wake_lookout(worker);
    }
}

void wf_exposed(struct wf_worker *worker)
{
    if (is_rescue_on(worker) && has_own_work(worker)) {
        post_lookout(worker);
    }
}

/* The driver's question, one lookout at a time: its answer, or if another asks just now, soon. */
static int64_t rescue(struct wf_worker *worker)
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
           has_own_work(worker) || wf_load_relaxed(&worker->inbox) != NULL ||
           wf_load_relaxed(&pool->stopping) != 0 || is_timer_due(worker) ||
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
        int64_t again_ns = rescue(worker);
        if (again_ns == 0) {
            return true;
        }
        if (again_ns == INT64_MAX) {
            again_ns = LOOKOUT_LINGER_NS << idle++;
        } else {
            idle = 0;
        }
        sleep_until(worker, wf_sys.now_ns() + again_ns);
        if (is_wanted(worker) ||
            wf_load_relaxed(&worker->counters.ops_completed) != completed) { /* relaxed: ours */
            return true;
        }
    }
    return false;
}

/* Parked: sleeps until it is wanted, as a lookout while there may be need of one. */
static void sleep_on(struct wf_worker *worker)
{
    struct wf_pool *pool = worker->pool;
    bool wanted = false;
    bool needed =
        is_rescue_on(worker) && is_any_exposed(worker, (int)worker->index, WF_PARK_CALLED + 1);
    while (needed &&
           wf_lookout_appoint(
               &pool->lookouts)) { /* ends: wanted, or nobody has been awake for a while */
        wanted = keep_lookout(worker);
        wf_lookout_resign(&pool->lookouts);
        needed = !wanted && is_any_awake_exposed(worker);
    }
    if (!wanted) {
        sleep_until(worker, INT64_MAX);
    }
}

/* Somebody who is awake has light work, or is likely to: sleep for a while, longer each time that
 * it came to nothing (light.h). As a lookout, too, unless there are enough. One such watcher is
 * enough, the others sleep until they are woken: the watcher comes to is_there_more before it
 * leaves the search for anything else. */
static void watch(struct wf_worker *worker)
{
    struct wf_pool *pool = worker->pool;
    if (worker->watches < WF_WATCH_LOUD) {
        worker->watches++;
    } else if (worker->watching == WF_WATCHES && worker->saw_light) {
        worker->watching = wf_watchers_quieten(&pool->watchers);
    }
    bool appointed = is_rescue_on(worker) && wf_lookout_appoint(&pool->lookouts);
    int64_t now_ns = wf_sys.now_ns();
    bool crowded = wf_crowd_is_on(&pool->crowd, now_ns);
    sleep_until(worker, now_ns + (crowded ? WF_WATCH_CROWD_NS : worker->watch_ns));
    if (appointed) {
        (void)rescue(worker);
        wf_lookout_resign(&pool->lookouts);
    }
    if (worker->watch_ns < WF_WATCH_MAX_NS) {
        worker->watch_ns *= 2;
    }
}

/* False: somebody does, and it is not to be one beside others. From before the announcement, if it
 * saw light work by then: the owner of the light work makes some ready every few ns, and would wake
 * a worker that it sees parked and not watching (a wake in each watch of 50 us is a quarter of the
 * owner's time). */
static bool begin_watching(struct wf_worker *worker, bool beside_others)
{
    struct wf_pool *pool = worker->pool;
    if (worker->watching != WF_WATCHES_NOT) {
        return true;
    }
    /* Relaxed: if we have announced, after that fence. If the watcher that we count on has just
     * stopped, its fence [sync(park.leave)] comes after ours, and it sees us parked. */
    if (wf_watchers_count(&pool->watchers) != 0 && !beside_others) {
        return false;
    }
    worker->watching = wf_watchers_begin(&pool->watchers);
    worker->watches = 0;
    return true;
}

static WF_NOINLINE void end_watch(struct wf_worker *worker)
{
    wf_watchers_end(&worker->pool->watchers, worker->watching);
    worker->watching = WF_WATCHES_NOT;
}

/* It is about to run work, or to sleep until it is woken. */
WF_INLINE void end_watching(struct wf_worker *worker)
{
    if (wf_unlikely(worker->watching != WF_WATCHES_NOT)) {
        end_watch(worker);
    }
}

static void park(struct wf_worker *worker)
{
    struct wf_pool *pool = worker->pool;
    int self = (int)worker->index;
    wf_stood_still_fn *stood_still = NULL;
    bool light = worker->saw_light;
    int64_t now_ns = wf_sys.now_ns();
    bool crowded = worker->peers != 0 && wf_crowd_is_on(&pool->crowd, now_ns);
    /* In a crowd a worker with timers of its own is up soon anyway. If it were not counted, who has
     * fired would wake it; and the wake finds nothing, or the few works of a burst. */
    bool is_soon = crowded && wf_wheel_next_ns(&worker->wheel) - now_ns < WF_WATCH_CROWD_NS;
    bool watching = (light || worker->woken || crowded) && begin_watching(worker, is_soon);
    if (!watching) {
        end_watching(worker);
    }
    wf_park_announce(&pool->park, self);
    if (look_before_sleep(worker) != WORK) {
        watching = watching || (light && begin_watching(worker, false));
        if (watching) {
            watch(worker);
        } else if (light || (stood_still = stands_still(pool)) == NULL) {
            sleep_on(worker);
        }
    }
    worker->saw_light = false;
    worker->woken = wf_park_state(&pool->park, self) == WF_PARK_NOTIFIED;
    wf_store_relaxed(&worker->up_ns, wf_sys.now_ns()); /* relaxed: for thieves, a guess */
    wf_park_retract(&pool->park, self);
    wf_count(&worker->counters.ups);
    /* sync(worker.up): seq_cst, who finds our queues empty, because we have taken what was in them,
     * finds us awake, or has this count; pairs sync(deadlock.again), sync(deadlock.handed),
     * sync(deadlock.ups), sync(deadlock.parked) */
    wf_fence_seq_cst();
    if (wf_unlikely(stood_still != NULL)) {
        stood_still(pool);
    }
    run_timers(worker);
    if (has_own_work(worker)) {
        post_lookout(worker);
    }
}

/* Parks, and remembers whether that was right. Idle since `began_ns`. */
static void park_and_learn(struct wf_worker *worker, int64_t began_ns)
{
    uint64_t completed = wf_load_relaxed(&worker->counters.ops_completed); /* relaxed: ours */
    uint64_t fired = wf_load_relaxed(&worker->counters.timers_fired);      /* relaxed: ours */
    park(worker);
    int64_t idle_ns = wf_sys.now_ns() - began_ns;
    if (wf_load_relaxed(&worker->counters.ops_completed) != completed) { /* relaxed: ours */
        wf_patience_slept(&worker->patience, idle_ns);
    }
    /* What a timer ends a search would not have; relaxed: ours */
    if (idle_ns < worker->pool->spin_ns + WF_PATIENCE_LATE_NS &&
        wf_load_relaxed(&worker->counters.timers_fired) == fired) {
        worker->search_ns = worker->pool->spin_ns;
    }
}

static void do_put_off(struct wf_worker *worker)
{
    void (*put_off)(struct wf_worker *) = worker->put_off;
    if (put_off != NULL) {
        worker->put_off = NULL;
        put_off(worker);
    }
}

/* Nothing of its own to do: search, then sleep. Work, or NULL to look again from the start. It
 * searches from here on, also while it polls: what it finds there it will run itself, and wakes
 * somebody when it has found more than that; a single completion wakes nobody. */
static struct wf_work *idle(struct wf_worker *worker)
{
    do_put_off(worker);
    bool may_search = wf_park_search(&worker->pool->park, (int)worker->index);
    poll_driver(worker);
    if (has_own_work(worker)) {
        return NULL;
    }
    wf_patience_idle(&worker->patience);
    bool due = false;
    int64_t began_ns = wf_sys.now_ns();
    struct wf_work *work = may_search || wf_patience_has(&worker->patience)
                               ? look_awake(worker, may_search, began_ns, &due)
                               : take_injected(worker);
    if (work != NULL) {
        post_lookout(worker);
    } else if (!due) {
        park_and_learn(worker, began_ns);
    }
    return work;
}

void wf_poll_if_idle(struct wf_worker *worker)
{
    struct wf_pool *pool = worker->pool;
    /* relaxed: what is missed is seen by the loop */
    if (works_since_poll(worker) > 1 || has_own_work(worker) ||
        wf_load_relaxed(&worker->inbox) != NULL || wf_inject_has(&pool->inject) ||
        worker->put_off != NULL) {
        return;
    }
    if (pool->worker_count == 1) {
        poll_driver(worker);
        return;
    }
    (void)wf_park_search(&pool->park, (int)worker->index); /* for the same reason as in idle() */
    poll_driver(worker);
    wake(worker, wf_park_found(&pool->park, (int)worker->index, is_there_more, worker));
}

/* The oldest resumed fiber among injected works; the others go back, for whoever has a stack. */
static WF_COLD struct wf_work *take_injected_fiber(struct wf_worker *worker)
{
    struct wf_inject *inject = &worker->pool->inject;
    struct wf_work *works[WF_INJECT_BATCH];
    int count = wf_inject_pop_batch(inject, WF_INJECT_BATCH, works);
    struct wf_work *fiber = NULL;
    for (int i = 0; i < count; i++) {
        if (fiber == NULL && is_fiber(works[i])) {
            fiber = works[i];
        } else {
            wf_inject_push(inject, works[i]);
        }
    }
    if (count > (fiber != NULL ? 1 : 0)) {
        wf_wake_check(worker); /* who looked meanwhile saw an empty queue, and sleeps */
    }
    return fiber;
}

/* Others leave what comes from outside to the worker that took from there last, while it gets on:
 * not to one that may not run it. */
static void pass_on_injected(struct wf_worker *worker)
{
    struct wf_pool *pool = worker->pool;
    if (worker->peers == 0 ||
        wf_load_relaxed(&pool->taker) != (int32_t)worker->index) { /* relaxed, both: see pool.h */
        return;
    }
    wf_store_relaxed(&pool->taker, (int32_t)(worker->index + 1) % pool->worker_count);
    if (wf_inject_has(&pool->inject)) {
        wf_wake_check(worker);
    }
}

/* Without a spare stack only resumed fibers may run: each gives back the stack that the loop runs
 * on. New work goes to the injection queue, to be found by whoever has a stack. */
static WF_COLD struct wf_work *starved(struct wf_worker *worker)
{
    do_put_off(worker);
    pass_on_injected(worker);
    wf_runq_open(&worker->runq); /* what gives back stacks must not wait behind what needs them */
    struct wf_work *work = worker->handed != NULL ? worker->handed : take_pinned(worker);
    worker->handed = NULL;
    if (work == NULL) {
        work = wf_runq_pop(&worker->runq);
    }
    if (work != NULL && !is_fiber(work)) {
        wf_inject_push(&worker->pool->inject, work);
        wf_wake_check(worker);
        return NULL;
    }
    if (work == NULL) {
        work = take_injected_fiber(worker);
    }
    if (work == NULL) {
        /* Not counted as searching meanwhile: nobody must rely on a worker that cannot run new
         * work. */
        end_watching(worker);
        wake(worker, wf_park_found(&worker->pool->park, (int)worker->index, is_there_more, worker));
        worker->driver->ops->sleep(worker->driver, worker, wf_sys.now_ns() + WF_STARVED_NS);
        run_timers(worker);
        count_empty_turn(worker);
    }
    return work;
}

static bool is_over(struct wf_worker *worker)
{
    /* sync(pool.look): acquire, all that was done before the stop; pairs sync(pool.stop) */
    return wf_load_acquire(&worker->pool->stopping) != 0;
}

/* A turn in which all that comes before the worker's own queues has nothing, and need not be asked;
 * or NULL, for find_work to see. A worker is not counted as searching here, since it has run a
 * work, or come from find_work, which both leave the count. */
WF_INLINE struct wf_work *take_next(struct wf_worker *worker)
{
    if (wf_unlikely(!may_skip_serve(worker) || !wf_worker_has_spare(worker) ||
                    worker->pinned_first != NULL || worker->look_injected)) {
        return NULL;
    }
    return take_queued(worker);
}

/* The next work to run; NULL: the pool stops. */
static WF_NOINLINE struct wf_work *find_work(struct wf_fiber *self)
{
    for (;;) { /* ends: work comes, or the pool stops */
        struct wf_worker *worker = self->worker;
        serve(self, worker);
        struct wf_work *work;
        if (wf_unlikely(!ensure_spare(worker))) {
            work = starved(worker);
        } else if ((work = take_own(worker)) == NULL) {
            work = is_over(worker) ? take_injected(worker) : idle(worker);
        }
        if (work != NULL) {
            struct wf_pool *pool = worker->pool;
            end_watching(worker);
            wake(worker, wf_park_found(&pool->park, (int)worker->index, is_there_more, worker));
            return work;
        }
        if (is_over(worker) && !has_own_work(worker) && !wf_inject_has(&worker->pool->inject)) {
            end_watching(worker);
            return NULL;
        }
    }
}

void wf_worker_loop(struct wf_fiber *self)
{
    /* what was handed over to it is taken there */
    struct wf_work *work = self->worker->handed != NULL ? find_work(self) : NULL;
    for (;;) { /* ends: the pool stops */
        struct wf_worker *worker = self->worker;
        if (work == NULL && (work = take_next(worker)) == NULL &&
            (work = find_work(self)) == NULL) {
            break;
        }
        wf_count(&worker->counters.runs);
        work->run(self, work);
        wf_check(!wf_forked,
                 "a forked child returned from a task into the scheduler; it must exec or _exit");
        if (WF_CHECKS) {
            wf_deque_check_joined(&self->worker->deque);
        }
        work = NULL;
    }
    struct wf_worker *worker = self->worker;
    wf_fiber_switch(self, &worker->home, give_back, NULL);
    wf_unreachable("an ended worker's stack is not resumed");
}
