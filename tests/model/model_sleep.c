/* model_sleep.c: workers that go to sleep, and those that make work ready beside them, by the
 * product's own code: pool/sleep.c, ready.c and park.c, with the real queues. What a worker does
 * between two sleeps (worker.c, search.c) is written out here again: it searches, and leaves light
 * work to its owner for as long as the scenario lets it. model_park.c has more scenarios of less:
 * work is a flag there.
 *
 * A sleep in the driver ends when the worker is woken; that of a watch at once.
 *
 * Checked in every execution: the works wait for each other, or their owner for them, so that work
 * which nobody comes for is a deadlock; a worker is claimed once for each sleep; nobody is counted
 * as searching or watching at the end. */
#define WF_WORKERS_MAX 3
#define WF_DEQUE_SLOTS 4
#define WF_RUNQ_SLOTS  4

#include "pool/watchers.h"
#include <stdint.h>

static uint32_t loud; /* sleeps before a watch is quiet */
#undef WF_WATCH_LOUD
#define WF_WATCH_LOUD loud

#include "pool/park.c"
#include "pool/ready.c"
#include "pool/sleep.c"

#include "tests/model/wloom.h"
#include <string.h>

#define WORKS 2

struct piece {
    struct wf_work work;
    WF_PLAIN(int) made; /* by who makes it ready */
};

static struct wf_pool pool;
static struct wf_worker worker[WF_WORKERS_MAX];
static struct piece pieces[WORKS];
static WF_ATOMIC(uint32_t) woken[WF_WORKERS_MAX];
static WF_ATOMIC(uint32_t) all_begun;
/* an observer's, not modelled: the checker is one thread */
static int works, begun, ended;
static bool together;
static int claims[WF_WORKERS_MAX]; /* since this worker slept last */
static int patience;               /* how often light work may still be left to its owner */

/* --- the driver, and what else a sleep comes to ----------------------------------------------- */

static bool is_due(struct wf_driver *driver, struct wf_worker *self)
{
    (void)driver, (void)self;
    return false;
}

static void wake(struct wf_driver *driver, int index)
{
    (void)driver;
    wloom_assert(++claims[index] == 1);
    wf_store_relaxed(&woken[index], 1);
}

static void sleep_in_driver(struct wf_driver *driver, struct wf_worker *self, int64_t deadline_ns)
{
    (void)driver;
    if (deadline_ns == INT64_MAX) {
        wloom_event_wait(&woken[self->index]);
    }
}

static const struct wf_driver_ops driver_ops = {
    .is_due = is_due, .sleep = sleep_in_driver, .wake = wake};
static struct wf_driver driver = {.ops = &driver_ops};

static int64_t no_time(void)
{
    return 0;
}

struct wf_sys wf_sys = {.now_ns = no_time};
struct wf_pool_hooks wf_pool_hooks; /* nobody asks for deadlocks */

void wf_stack_cache_trim(struct wf_stack_cache *cache, int64_t now_ns)
{
    (void)cache, (void)now_ns;
}

void wf_run_timers(struct wf_worker *self)
{
    (void)self;
}

bool wf_is_rescue_on(const struct wf_worker *self)
{
    (void)self;
    return false;
}

int64_t wf_rescue(struct wf_worker *self)
{
    (void)self;
    return INT64_MAX;
}

void wf_post_lookout(struct wf_worker *self)
{
    (void)self;
}

void wf_sleep_on(struct wf_worker *self)
{
    wf_sleep_until(self, INT64_MAX);
}

/* --- workers ---------------------------------------------------------------------------------- */

/* An observer's look: how the pool stops is no matter of this model. */
static bool stopped(void)
{
    wloom_observe(true);
    bool is_stopped = wf_load_relaxed(&pool.stopping) != 0;
    wloom_observe(false);
    return is_stopped;
}

/* If they run together, only when all works have begun: each needs a worker of its own. */
static void run(struct wf_work *work)
{
    struct piece *piece = wf_container_of(work, struct piece, work);
    wloom_assert(wf_plain_read(&piece->made) == 1);
    wf_plain_write(&piece->made, 2);
    if (together && ++begun < works) {
        wloom_event_wait(&all_begun);
    }
    wf_store_relaxed(&all_begun, 1); /* for the next one */
    if (++ended == works) {
        wf_store_relaxed(&pool.stopping, 1);
        for (int i = 0; i < pool.worker_count; i++) {
            wf_store_relaxed(&woken[i], 1);
        }
    }
}

/* Leaves it to its owner, for once? */
static bool leaves(struct wf_worker *self)
{
    self->saw_light = true;
    if (patience > 0 && wloom_choose(2) == 1) {
        patience--;
        return true;
    }
    return false;
}

/* As search.c. */
static void become_thief(struct wf_worker *self)
{
    self->deque.own = 1;
    if (self->watching == WF_WATCHES_QUIETLY) {
        wf_thieves_enter(&pool.thieves);
        wf_end_watch(self);
    } else {
        wf_thieves_join(&pool.thieves);
    }
}

/* As search.c, in one round. */
static struct wf_work *search(struct wf_worker *self)
{
    struct wf_work *work = NULL;
    if (wf_inject_has(&pool.inject) &&
        (wf_load_relaxed(&pool.taker) == (int32_t)self->index || !wf_light_taker_runs(&pool) ||
         !leaves(self)) &&
        (work = wf_inject_pop(&pool.inject)) != NULL) {
        wf_store_relaxed(&pool.taker, (int32_t)self->index);
    }
    for (int i = 0; i < pool.worker_count && work == NULL; i++) {
        struct wf_worker *victim = &worker[i];
        if (victim != self && wf_deque_has_public(&victim->deque) && !leaves(self)) {
            if (self->deque.own == 0) {
                become_thief(self);
            }
            work = wf_deque_steal(&victim->deque);
        }
        if (victim != self && work == NULL && wf_runq_len(&victim->runq) != 0 && !leaves(self)) {
            work = wf_runq_steal(&victim->runq, &self->runq);
        }
    }
    if (work != NULL) {
        self->woken = false;
    }
    return work;
}

/* As in worker.c: before it runs work, or ends. */
static void leave_search(struct wf_worker *self)
{
    wf_end_watching(self);
    wf_wake(self, wf_park_found(&pool.park, (int)self->index, wf_is_there_more, self));
}

/* As serve.c. */
static void run_messages(struct wf_worker *self)
{
    /* relaxed: what is missed is seen before the next sleep */
    struct wf_work *next =
        wf_load_relaxed(&self->inbox) != NULL ? wf_xchg_acquire(&self->inbox, NULL) : NULL;
    while (next != NULL) { /* ends: the list does */
        struct wf_work *work = next;
        next = work->next;
        run(work);
    }
}

static void work_and_sleep(void *arg)
{
    struct wf_worker *self = arg;
    while (!stopped()) { /* ends: all works have run */
        run_messages(self);
        struct wf_work *work = wf_deque_pop(&self->deque);
        work = work == NULL ? wf_runq_pop(&self->runq) : work;
        if (work == NULL && wf_park_search(&pool.park, (int)self->index)) {
            work = search(self);
        }
        if (work != NULL) {
            leave_search(self);
            run(work);
        } else {
            claims[self->index] = 0;
            wf_park_and_learn(self, 0);
        }
    }
    leave_search(self);
}

/* It has watched, and slept: its sleep ends. */
static void end_sleep(struct wf_worker *self)
{
    wf_park_retract(&pool.park, (int)self->index);
}

static void wakes_up(void *arg)
{
    end_sleep(arg);
    work_and_sleep(arg);
}

/* It sleeps until it is woken. */
static void sleeps(void *arg)
{
    struct wf_worker *self = arg;
    wloom_event_wait(&woken[self->index]);
    end_sleep(self);
    work_and_sleep(self);
}

/* --- who makes ready -------------------------------------------------------------------------- */

static struct wf_work *make(int number)
{
    wf_plain_write(&pieces[number].made, 1);
    return &pieces[number].work;
}

/* Computes on until somebody has taken what it has put into its own queue. */
static void until_all_have_begun(void)
{
    wloom_event_wait(&all_begun);
    wf_store_relaxed(&all_begun, 1);
}

static void busy_with_new(void *arg)
{
    wf_ready_new(arg, make(0));
    until_all_have_begun();
}

static void busy_with_resumed(void *arg)
{
    wf_ready(arg, make(0));
    until_all_have_begun();
}

/* --- scenarios -------------------------------------------------------------------------------- */

static void begin(int worker_count, int work_count, int patience_n)
{
    memset(&pool, 0, sizeof pool);
    memset(worker, 0, sizeof worker);
    memset(pieces, 0, sizeof pieces);
    memset(woken, 0, sizeof woken);
    memset(&all_begun, 0, sizeof all_begun);
    memset(claims, 0, sizeof claims);
    begun = ended = 0;
    together = true;
    works = work_count;
    patience = patience_n;
    loud = WORKS;
    pool.workers = worker;
    pool.worker_count = worker_count;
    pool.driver = &driver;
    wf_inject_init(&pool.inject);
    wf_watchers_init(&pool.watchers, worker_count, true);
    wf_thieves_init(&pool.thieves, true);
    wloom_assert(wf_park_init(&pool.park, worker_count) == 0);
    for (int i = 0; i < worker_count; i++) {
        worker[i].pool = &pool;
        worker[i].driver = &driver;
        worker[i].index = (uint32_t)i;
        worker[i].peers = (uint32_t)worker_count - 1;
        worker[i].watch_ns = WF_WATCH_MIN_NS;
        wf_deque_init(&worker[i].deque, &pool.thieves);
        wf_runq_open(&worker[i].runq);
        wf_store_relaxed(&worker[i].wheel.next_ns, INT64_MAX);
    }
}

/* That worker sleeps, or watches and sleeps. */
static void put_to_sleep(int i)
{
    wf_park_announce(&pool.park, i);
}

static void let_watch(int i)
{
    worker[i].watching = wf_watchers_begin(&pool.watchers);
    if (loud == 0) {
        worker[i].watching = wf_watchers_quieten(&pool.watchers);
    }
    put_to_sleep(i);
}

static void end(void)
{
    wloom_join_all();
    wloom_assert(ended == works);
    wloom_observe(true);
    wf_park_check(&pool.park);
    wloom_assert(wf_watchers_count(&pool.watchers) == 0);
    wloom_assert(wf_load_relaxed(&pool.watchers.quiet) == 0);
    uint32_t thieves = 0;
    for (int i = 0; i < pool.worker_count; i++) {
        thieves += worker[i].deque.own;
    }
    wloom_assert(wf_load_relaxed(&pool.thieves.count) == thieves);
}

static void new_beside_a_searcher(void)
{
    begin(2, 1, 1);
    wloom_spawn(busy_with_new, &worker[0]);
    wloom_spawn(work_and_sleep, &worker[1]);
    end();
}

static void new_beside_a_sleeper(void)
{
    begin(2, 1, 1);
    put_to_sleep(1);
    wloom_spawn(busy_with_new, &worker[0]);
    wloom_spawn(sleeps, &worker[1]);
    end();
}

static void resumed_beside_a_searcher(void)
{
    begin(2, 1, 1);
    wloom_spawn(busy_with_resumed, &worker[0]);
    wloom_spawn(work_and_sleep, &worker[1]);
    end();
}

/* Who watches comes to its end: for other work, which comes from outside, or in sleep. */
static void watcher_and_other_work(uint32_t loud_n)
{
    begin(3, 2, 0);
    loud = loud_n;
    wf_inject_push(&pool.inject, make(1));
    let_watch(1);
    put_to_sleep(2);
    wloom_spawn(busy_with_new, &worker[0]);
    wloom_spawn(wakes_up, &worker[1]);
    wloom_spawn(sleeps, &worker[2]);
    end();
}

static void loud_watch_ends_in_other_work(void)
{
    watcher_and_other_work(WORKS);
}

static void quiet_watch_ends_in_other_work(void)
{
    watcher_and_other_work(0);
}

/* Who searches counts on the watcher, who ends its watch for other work before the searcher has
 * announced its sleep, and so leaves what is left to it. */
static void searcher_counts_on_watcher(uint32_t loud_n)
{
    begin(3, 2, 1);
    loud = loud_n;
    wf_inject_push(&pool.inject, make(1));
    let_watch(1);
    wloom_spawn(busy_with_new, &worker[0]);
    wloom_spawn(wakes_up, &worker[1]);
    wloom_spawn(work_and_sleep, &worker[2]);
    end();
}

static void searcher_counts_on_loud_watch(void)
{
    searcher_counts_on_watcher(WORKS);
}

static void searcher_counts_on_quiet_watch(void)
{
    searcher_counts_on_watcher(0);
}

static void watcher_and_nothing_else(uint32_t loud_n)
{
    begin(2, 1, 0);
    loud = loud_n;
    let_watch(1);
    wloom_spawn(busy_with_new, &worker[0]);
    wloom_spawn(wakes_up, &worker[1]);
    end();
}

static void loud_watch_ends_in_sleep(void)
{
    watcher_and_nothing_else(WORKS);
}

static void quiet_watch_ends_in_sleep(void)
{
    watcher_and_nothing_else(0);
}

static void from_outside_beside_a_searcher(void)
{
    begin(2, 2, 1);
    wloom_spawn(work_and_sleep, &worker[0]);
    wloom_spawn(work_and_sleep, &worker[1]);
    wf_ready_foreign(&pool, make(0));
    wf_ready_foreign(&pool, make(1));
    end();
}

static void post(void *arg)
{
    wf_post(&worker[0], make((int)(intptr_t)arg));
}

/* The owner takes it, or a thief does that is none while it watches quietly. */
static void takes_it_itself(void *arg)
{
    wf_ready_new(arg, make(0));
    work_and_sleep(arg);
}

static void a_thief_watches_quietly(void)
{
    begin(2, 1, 2);
    loud = 0;
    worker[1].deque.own = 1;
    wf_thieves_enter(&pool.thieves);
    wloom_spawn(takes_it_itself, &worker[0]);
    wloom_spawn(work_and_sleep, &worker[1]);
    end();
}

static void two_post_to_one(void)
{
    begin(2, 2, 0);
    together = false;
    put_to_sleep(1);
    wloom_spawn(work_and_sleep, &worker[0]);
    wloom_spawn(sleeps, &worker[1]);
    wloom_spawn(post, (void *)1);
    post(NULL);
    end();
}

static const struct wloom_scenario scenarios[] = {
    {"new, a searcher", new_beside_a_searcher, NULL, NULL, false},
    {"new, a sleeper", new_beside_a_sleeper, NULL, NULL, false},
    {"resumed, a searcher", resumed_beside_a_searcher, NULL, NULL, false},
    {"loud watch, other work", loud_watch_ends_in_other_work, NULL, NULL, false},
    {"quiet watch, other work", quiet_watch_ends_in_other_work, NULL, NULL, false},
    {"counts on a loud watch", searcher_counts_on_loud_watch, NULL, NULL, false},
    {"counts on a quiet watch", searcher_counts_on_quiet_watch, NULL, NULL, false},
    {"loud watch, sleep", loud_watch_ends_in_sleep, NULL, NULL, false},
    {"quiet watch, sleep", quiet_watch_ends_in_sleep, NULL, NULL, false},
    {"a thief watches quietly", a_thief_watches_quietly, NULL, NULL, false},
    {"two post to one", two_post_to_one, NULL, NULL, false},
    {"from outside", from_outside_beside_a_searcher, NULL, NULL, false},
    {NULL, NULL, NULL, NULL, false},
};

static const struct wloom_survivor survivors[] = {
    {"worker.up", "relaxed", "for src/deadlock.c, which is not here"},
    {NULL, NULL, NULL},
};

static const char *const under_test[] = {"pool/sleep.c", "pool/ready.c", NULL};

int main(int argc, char **argv)
{
    static const struct wloom_harness harness = {
        .name = "sleep",
        .scenarios = scenarios,
        .under_test = under_test,
        .survivors = survivors,
        .share = 0.07,
    };
    return wloom_main(&harness, argc, argv);
}
