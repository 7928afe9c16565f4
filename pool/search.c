/* search.c: a worker that has nothing of its own looks for work, awake: at the injection queue, at
 * other workers' queues, and at its driver. What it leaves to its owner although it has nothing
 * else to do is in light.h; when it gives up, it parks (sleep.c). */
#include "pool/light.h"
#include "pool/turn.h"

/* From here on owners have a fence for us. A quiet watch would end by a fence in all threads soon,
 * and it is the one that is needed here. */
static WF_NOINLINE void become_thief(struct wf_worker *worker)
{
    struct wf_thieves *thieves = &worker->pool->thieves;
    worker->deque.own = 1;
    if (worker->watching == WF_WATCHES_QUIETLY) {
        wf_thieves_enter(thieves);
        wf_end_watch(worker);
    } else {
        wf_thieves_join(thieves);
    }
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
            if (wf_unlikely(worker->deque.own == 0)) {
                become_thief(worker);
            }
            /* relaxed, all: a guess */
            uint64_t top = wf_load_relaxed(&victim->deque.top);
            bool given = top < wf_load_relaxed(&victim->deque.given);
            work = wf_deque_steal(&victim->deque);
            worker->stole_from = victim;
            if (work != NULL) {
                worker->stole_given = given ? victim : NULL;
                /* what is still there has been there for as long */
                wf_store_relaxed(&victim->giving.age.oldest,
                                 wf_deque_has_public(&victim->deque) ? top + 1 : 0);
            }
        } else if (wf_light_may_ask(worker, victim, now_ns)) {
            wf_deque_ask_if_empty(&victim->deque);
        }
        if (work == NULL && wf_light_may_steal_ready(worker, victim, now_ns)) {
            work = wf_runq_steal(&victim->runq, &worker->runq);
            worker->stole_from = NULL;
        }
        if (work != NULL) {
            wf_light_note_steal(worker, victim, now_ns);
            wf_count(&worker->counters.steals);
            worker->stole_ns = now_ns;
            worker->stole_at = wf_load_relaxed(&worker->counters.suspends); /* relaxed: ours */
            worker->woken = false;
            return work;
        }
    }
    worker->flows = false;
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
    return wf_take_injected(worker);
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
    worker->stole_given = NULL;
}

/* How long a search is at least that finds nothing. */
static int64_t search_least(struct wf_worker *worker, int64_t now_ns)
{
    if (!wf_crowd_is_on(&worker->pool->crowd, now_ns)) {
        return WF_SEARCH_MIN_NS;
    }
    return worker->peers != 0 ? WF_SEARCH_CROWD_NS : 0;
}

/* Looks for a while, without sleeping: everywhere if it `may_search` (the caller is counted as
 * searching), else at the injection queue and the driver; longer if there is patience for the
 * driver (patience.h). Work; or NULL, and *due says whether there is something to serve. */
struct wf_work *wf_look_awake(struct wf_worker *worker, bool may_search, int64_t began_ns,
                              bool *due)
{
    bool patient = wf_patience_has(&worker->patience);
    int64_t search_ns = wf_patience_is_crowded(&worker->patience) ? 0 : worker->search_ns;
    int64_t least_ns = search_least(worker, began_ns);
    int64_t give_up_ns = began_ns + (search_ns > least_ns ? search_ns : least_ns);
    int64_t bored_ns = patient ? began_ns + worker->patience.most_ns : began_ns;
    int64_t look_ns = may_search && worker->pool->worker_count > 1 ? began_ns : INT64_MAX;
    int64_t timer_ns = wf_wheel_next_ns(&worker->wheel);
    int64_t now_ns = began_ns;
    bool flows = worker->flows;
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
                if (!flows || search_ns < WF_SEARCH_MIN_NS) {
                    give_up_ns = began_ns + WF_SEARCH_MIN_NS;
                }
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
