/* worker.c: the loop that every worker runs, and the order in which it finds work. The other files
 * of a worker are listed in turn.h.
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
 * A worker runs new work only while it holds a spare stack. If none is to be had (WEFT_TASKS_MAX
 * stacks suspended, or no memory) it goes on resuming fibers, which gives stacks back, and leaves
 * new work queued: see `starved`. */
#include "pool/base/check.h"
#include "pool/turn.h"

/* Works between looks at the FIFO before the deque. A prime likewise (WF_TURN_POLL), and often
 * enough that a resumed fiber waits for at most 12 new tasks. */
#define WF_TURN_FIFO 13
/* Works between looks at the deque's oldest. Else what was started first never began while newer
 * work did not cease, and the other workers had enough to do. */
#define WF_TURN_OLDEST 247
/* How long a worker without a spare stack sleeps before it asks for one again. */
#define WF_STARVED_NS INT64_C(1000000)

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
    wf_works_push(&worker->pinned, &fiber->resume);
}

static void leave_pinned(struct wf_home *home, struct wf_fiber *fiber)
{
    (void)home, (void)fiber;
}

void wf_worker_init_pin(struct wf_worker *worker)
{
    worker->pin = (struct wf_home){.arrive = wf_arrive_pinned, .leave = leave_pinned};
}

/* --- its own queues --------------------------------------------------------------------------- */

static bool ensure_spare(struct wf_worker *worker)
{
    return wf_likely(wf_worker_has_spare(worker)) || wf_stack_cache_fill(&worker->stacks);
}

/* Of many works, all but the first, those that are stacks: they have waited behind as many. */
static WF_NOINLINE void fetch_stacks(struct wf_work *const *works, int count)
{
    for (int i = 1; i < count; i++) {
        struct wf_fiber *fiber = wf_fiber_resumed_by(works[i]);
        if (fiber != NULL) {
            wf_fiber_fetch(fiber);
            wf_fiber_fetch_rest(fiber);
        }
    }
}

/* One work to run and the rest of a batch into the FIFO, for thieves to share. After a poll that
 * one runs before what the FIFO has, so that foreign work does not wait behind all that. Of what
 * has spilled one in WF_TURN_POLL works may have a turn so much earlier by it, and then stands at
 * the end as all do: the others wait 1.6 % longer, and nobody for good (tests/patterns/test_turns.c
 * bounds the difference). */
struct wf_work *wf_take_injected(struct wf_worker *worker)
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
    if (count == WF_INJECT_BATCH) {
        fetch_stacks(works, count);
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
        wf_wake_unless_watched_inline(worker); /* between the queues they were in sight of nobody */
    }
    return works[0];
}

/* The turn of what has waited longest, in the FIFO or now and then in the deque. It is due again
 * with the driver's at the latest, of which alone the ways past the loop ask. NULL: nothing, or the
 * driver's comes first, for find_work to see. */
static WF_NOINLINE struct wf_work *take_old(struct wf_worker *worker)
{
    if (wf_is_poll_turn(worker)) {
        return NULL;
    }
    uint64_t turn = wf_turn_of(worker);
    uint64_t old_at = turn + WF_TURN_FIFO;
    worker->old_at = old_at < worker->poll_at ? old_at : worker->poll_at;
    struct wf_work *work = NULL;
    if (wf_unlikely(turn >= worker->oldest_at) && wf_deque_has_public(&worker->deque)) {
        worker->oldest_at = turn + WF_TURN_OLDEST;
        work = wf_deque_steal(&worker->deque);
    }
    if (work == NULL) {
        work = wf_pop_ready(worker);
    }
    return work != NULL ? work : wf_deque_pop(&worker->deque);
}

/* Of what anybody may steal from it: the deque's newest, else the FIFO's oldest, unless it is the
 * turn of others. */
WF_INLINE struct wf_work *take_queued(struct wf_worker *worker)
{
    if (wf_unlikely(wf_turn_of(worker) >= worker->old_at)) {
        return take_old(worker);
    }
    struct wf_work *work = wf_deque_pop(&worker->deque);
    return work != NULL ? work : wf_pop_ready(worker);
}

static struct wf_work *take_own(struct wf_worker *worker)
{
    struct wf_work *work = worker->handed;
    if (wf_unlikely(work != NULL)) {
        worker->handed = NULL;
        return work;
    }
    if (wf_unlikely(worker->pinned.first != NULL)) {
        return wf_works_pop(&worker->pinned);
    }
    if (wf_unlikely(worker->look_injected)) {
        worker->look_injected = false;
        if ((work = wf_take_injected(worker)) != NULL) {
            return work;
        }
    }
    return take_queued(worker);
}

/* --- nothing of its own ----------------------------------------------------------------------- */

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
    wf_poll_driver(worker);
    if (wf_has_own_work(worker)) {
        return NULL;
    }
    wf_patience_idle(&worker->patience);
    bool due = false;
    int64_t began_ns = wf_sys.now_ns();
    struct wf_work *work = may_search || wf_patience_has(&worker->patience)
                               ? wf_look_awake(worker, may_search, began_ns, &due)
                               : wf_take_injected(worker);
    if (work != NULL) {
        wf_post_lookout(worker);
    } else if (!due) {
        wf_park_and_learn(worker, began_ns);
    }
    return work;
}

void wf_poll_if_idle(struct wf_worker *worker)
{
    struct wf_pool *pool = worker->pool;
    /* relaxed: what is missed is seen by the loop */
    if (wf_works_since_poll(worker) > 1 || wf_has_own_work(worker) ||
        wf_load_relaxed(&worker->inbox) != NULL || wf_inject_has(&pool->inject) ||
        worker->put_off != NULL) {
        return;
    }
    if (pool->worker_count == 1) {
        wf_poll_driver(worker);
        return;
    }
    (void)wf_park_search(&pool->park, (int)worker->index); /* for the same reason as in idle() */
    wf_poll_driver(worker);
    wf_wake(worker, wf_park_found(&pool->park, (int)worker->index, wf_is_there_more, worker));
}

/* --- no spare stack --------------------------------------------------------------------------- */

static bool is_fiber(const struct wf_work *work)
{
    return work->run == wf_fiber_run_resume || work->run == wf_fiber_run_homed;
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
    struct wf_work *work = worker->handed != NULL ? worker->handed : wf_works_pop(&worker->pinned);
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
        wf_end_watching(worker);
        wf_wake(worker,
                wf_park_found(&worker->pool->park, (int)worker->index, wf_is_there_more, worker));
        worker->driver->ops->sleep(worker->driver, worker, wf_sys.now_ns() + WF_STARVED_NS);
        wf_run_timers(worker);
        wf_count_empty_turn(worker);
    }
    return work;
}

/* --- the loop --------------------------------------------------------------------------------- */

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
    if (wf_unlikely(!wf_may_skip_serve(worker) || !wf_worker_has_spare(worker) ||
                    worker->pinned.first != NULL || worker->look_injected)) {
        return NULL;
    }
    return take_queued(worker);
}

/* The next work to run; NULL: the pool stops. */
static WF_NOINLINE struct wf_work *find_work(struct wf_fiber *self)
{
    for (;;) { /* ends: work comes, or the pool stops */
        struct wf_worker *worker = self->worker;
        wf_serve(self, worker);
        struct wf_work *work;
        if (wf_unlikely(!ensure_spare(worker))) {
            work = starved(worker);
        } else if ((work = take_own(worker)) == NULL) {
            work = is_over(worker) ? wf_take_injected(worker) : idle(worker);
        }
        if (work != NULL) {
            struct wf_pool *pool = worker->pool;
            wf_end_watching(worker);
            wf_wake(worker,
                    wf_park_found(&pool->park, (int)worker->index, wf_is_there_more, worker));
            return work;
        }
        if (is_over(worker) && !wf_has_own_work(worker) && !wf_inject_has(&worker->pool->inject)) {
            wf_end_watching(worker);
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
    wf_switch_to(self, &self->worker->home);
}
