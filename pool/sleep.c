/* sleep.c: how a worker that has found nothing goes to sleep, and what it looks at before that; for
 * a while, if it *watches* light work (light.h), else until it is woken. park.h has the protocol,
 * watchers.h the one of watches. */
#include "pool/light.h"
#include "pool/turn.h"

/* --- what is queued --------------------------------------------------------------------------- */

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
bool wf_is_there_more(void *arg)
{
    struct wf_worker *worker = arg;
    struct wf_pool *pool = worker->pool;
    /* Relaxed: after the fence of sync(park.leave). Who read our count, and sleeps, was parked
     * before it. */
    bool watched = wf_watchers_count(&pool->watchers) != 0;
    for (int i = 0; i < pool->worker_count && !watched; i++) {
        if (i != (int)worker->index) {
            /* who hides something, since we would ask again, hears of those that sleep */
            wf_deque_ask_once(&pool->workers[i].deque);
        }
    }
    if (watched && worker->stole_ns == 0 && has_queued(worker)) {
        /* what it did not take from others, but has made ready by itself: as in wf_ready */
        return false;
    }
    enum sight sight = look(worker);
    return sight == WORK || (sight == LIGHT && !watched);
}

/* Every source of work that this worker could run: the sleeper's third step in park.h. A source
 * that is missing here is a lost wake-up. */
static enum sight look_before_sleep(struct wf_worker *worker, int64_t now_ns)
{
    struct wf_pool *pool = worker->pool;
    /* Relaxed: after the fence of the announcement; what is found is taken with its own orders. */
    if (wf_load_relaxed(&worker->inbox) != NULL || wf_load_relaxed(&pool->stopping) != 0 ||
        worker->driver->ops->is_due(worker->driver, worker)) {
        return WORK;
    }
    /* Who is spared is left to those that watch. If one stops now, its fence [sync(park.leave)]
     * comes after ours, and it sees us parked. */
    bool trusts = worker->saw_light || wf_watchers_count(&pool->watchers) != 0;
    for (int i = 0; i < pool->worker_count; i++) {
        struct wf_worker *victim = &pool->workers[i];
        if (victim != worker && (wf_light_must_ask(worker, victim, now_ns) || !trusts)) {
            /* its next fork becomes public, and wakes somebody */
            wf_deque_ask(&victim->deque);
        }
    }
    return look(worker);
}

void wf_sleep_until(struct wf_worker *worker, int64_t deadline_ns)
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

/* --- watching --------------------------------------------------------------------------------- */

/* Somebody who is awake has light work, or is likely to: sleep for a while, longer each time that
 * it came to nothing (light.h). As a lookout, too, unless there are enough. One such watcher is
 * enough, the others sleep until they are woken: the watcher comes to wf_is_there_more before it
 * leaves the search for anything else. */
static void watch(struct wf_worker *worker)
{
    struct wf_pool *pool = worker->pool;
    if (worker->watches < WF_WATCH_LOUD) {
        worker->watches++;
    } else if (worker->watching == WF_WATCHES && worker->saw_light) {
        worker->watching = wf_watchers_quieten(&pool->watchers);
        if (worker->watching == WF_WATCHES_QUIETLY && worker->deque.own != 0) {
            wf_thieves_leave(&pool->thieves);
            worker->deque.own = 0;
        }
    }
    bool appointed = wf_is_rescue_on(worker) && wf_lookout_appoint(&pool->lookouts);
    int64_t now_ns = wf_sys.now_ns();
    bool crowded = wf_crowd_is_on(&pool->crowd, now_ns);
    wf_sleep_until(worker, now_ns + (crowded ? WF_WATCH_CROWD_NS : worker->watch_ns));
    if (appointed) {
        (void)wf_rescue(worker);
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

WF_NOINLINE void wf_end_watch(struct wf_worker *worker)
{
    wf_watchers_end(&worker->pool->watchers, worker->watching);
    worker->watching = WF_WATCHES_NOT;
}

/* --- parking ---------------------------------------------------------------------------------- */

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
        wf_end_watching(worker);
    }
    wf_park_announce(&pool->park, self);
    if (look_before_sleep(worker, now_ns) != WORK) {
        /* who watched before the announcement may have stopped, counting on us as a searcher */
        watching = watching || (light && begin_watching(worker, false));
        if (watching) {
            watch(worker);
        } else if (light || (stood_still = stands_still(pool)) == NULL) {
            wf_sleep_on(worker);
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
    wf_run_timers(worker);
    if (wf_has_own_work(worker)) {
        wf_post_lookout(worker);
    }
}

/* Parks, and remembers whether that was right. Idle since `began_ns`. */
void wf_park_and_learn(struct wf_worker *worker, int64_t began_ns)
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
