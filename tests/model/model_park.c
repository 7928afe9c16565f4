/* model_park.c: pool/park.c in full: workers that search, sleep and wake each other, and producers
 * from outside.
 *
 * Work is a set of flags, stored and read with no order at all, so whatever order there is comes
 * from park.c. A wake is a flag too: it may come before the sleep, and orders nothing, which is
 * less than any driver does.
 *
 * Checked in every execution.
 *   No lost wake-up (G.1): in most scenarios the works wait for each other, so that all of them
 *   must run at the same time; a worker that sleeps beside visible work is then a deadlock, even
 *   while another worker runs. At most one claim between an announcement and its retraction (G.2).
 *   The counts agree at the end (G.3; of those who watch too), and none underflows. */
#define WF_WORKERS_MAX 3
#define WF_PARK_GROUP  park_group
#define WF_PARK_GROUPS WF_WORKERS_MAX
static int park_group; /* workers that share a count of searchers */
#include "pool/park.c"
#include "pool/watchers.h"

#define WORKS 4

static struct wf_park park;
static struct wf_watchers watchers;
static int workers;
static WF_ATOMIC(uint32_t) work[WORKS];         /* 1: visible, and nobody has it */
static WF_ATOMIC(uint32_t) box[WF_WORKERS_MAX]; /* a message for this worker */
static WF_ATOMIC(uint32_t) woken[WF_WORKERS_MAX];
static WF_ATOMIC(uint32_t) stop;
static WF_ATOMIC(uint32_t) all_begun;

/* Observers' counts, not modelled: the checker is one thread. */
static int works, messages; /* to be expected */
static int begun, ended, wakes;
static int claims[WF_WORKERS_MAX]; /* since this worker's announcement */
static int returns;                /* from sleep without reason, still allowed */
static void (*run_work)(int self, int number);
static int (*leave)(int self); /* the search, for work that was found */

static void begin(int worker_count, int work_count, int message_count)
{
    memset(work, 0, sizeof work);
    memset(box, 0, sizeof box);
    memset(woken, 0, sizeof woken);
    memset(&stop, 0, sizeof stop);
    memset(&all_begun, 0, sizeof all_begun);
    memset(claims, 0, sizeof claims);
    begun = ended = wakes = returns = 0;
    workers = worker_count;
    works = work_count;
    messages = message_count;
    run_work = NULL;
    park_group = WF_WORKERS_MAX;
    wloom_assert(wf_park_init(&park, workers) == 0);
    memset(&watchers, 0, sizeof watchers);
    wf_watchers_init(&watchers, workers, true);
}

/* After begin(): in groups of so many workers. */
static void in_groups_of(int group)
{
    park_group = group;
    wloom_assert(wf_park_init(&park, workers) == 0);
}

/* --- the pool around it ----------------------------------------------------------------------- */

static void wake(int worker)
{
    if (worker >= 0) {
        wloom_assert(worker < workers && ++claims[worker] == 1);
        wakes++;
        wf_store_relaxed(&woken[worker], 1);
    }
}

static void submit(int number)
{
    wf_store_relaxed(&work[number], 1);
    wake(wf_park_pick(&park));
}

static void post(int worker)
{
    wf_store_relaxed(&box[worker], 1);
    if (wf_park_claim(&park, worker)) {
        wake(worker);
    }
}

static bool any_work(void *arg)
{
    (void)arg;
    for (int i = 0; i < works; i++) {
        if (wf_load_relaxed(&work[i]) != 0) {
            return true;
        }
    }
    return false;
}

static int take_work(void)
{
    for (int i = 0; i < works; i++) {
        uint32_t one = wf_load_relaxed(&work[i]);
        if (one == 1 && wf_cas_relaxed(&work[i], &one, 0)) {
            return i;
        }
    }
    return -1;
}

/* The end of a work: the last one stops the pool, as wf_pool_stop does, without any claim. */
static void done(void)
{
    if (++ended == works + messages) {
        wf_store_relaxed(&stop, 1);
        for (int i = 0; i < workers; i++) {
            wf_store_relaxed(&woken[i], 1);
        }
    }
}

/* Runs only when all works have begun: each needs a worker of its own. A message waits for them
 * too, but they not for it: its worker may have taken a work first. */
static void run_together(int self, int number)
{
    (void)self;
    begun += number != WORKS;
    if (begun < works) {
        wloom_event_wait(&all_begun);
    }
    wf_store_relaxed(&all_begun, 1); /* for the next one */
}

static void run(int self, int number)
{
    if (run_work != NULL) {
        run_work(self, number);
    }
    done();
}

static void sleep_in_driver(int self)
{
    if (returns > 0 && wloom_choose(2) == 1) {
        returns--; /* a completion, a timer: nobody claimed us */
        return;
    }
    wloom_event_wait(&woken[self]);
}

/* A submitter that counted a worker in and lost it may be counted beside that worker: hence not `<=
 * workers`. */
static void check_count(void)
{
    wloom_observe(true);
    for (int i = 0; i < workers; i++) {
        wloom_assert(wf_load_relaxed(&park.states[i].count->searching) < 100);
    }
    wloom_observe(false);
}

/* An observer's look: how the pool stops is no matter of this model. */
static bool stopped(void)
{
    wloom_observe(true);
    bool is_stopped = wf_load_relaxed(&stop) != 0;
    wloom_observe(false);
    return is_stopped;
}

static void worker(void *arg)
{
    int self = (int)(intptr_t)arg;
    while (!stopped()) {
        uint32_t message = wf_load_relaxed(&box[self]);
        if (message == 1 && wf_cas_relaxed(&box[self], &message, 0)) {
            wake(wf_park_found(&park, self, any_work, NULL));
            run(self, WORKS);
            continue;
        }
        int number = wf_park_search(&park, self) ? take_work() : -1;
        if (number >= 0) {
            wake(wf_park_found(&park, self, any_work, NULL));
            run(self, number);
            continue;
        }
        claims[self] = 0;
        wf_park_announce(&park, self);
        if (!any_work(NULL) && wf_load_relaxed(&box[self]) == 0 && !stopped()) {
            sleep_in_driver(self);
        }
        wf_park_retract(&park, self);
        check_count();
    }
    wake(wf_park_found(&park, self, any_work, NULL)); /* leaves the searchers */
}

static void start(void)
{
    for (intptr_t i = 0; i < workers; i++) {
        wloom_spawn(worker, (void *)i);
    }
}

/* A worker whose announcement is the scenario's. */
static void sleeper(void *arg)
{
    int self = (int)(intptr_t)arg;
    sleep_in_driver(self);
    wf_park_retract(&park, self);
    worker(arg);
}

/* The workers from `awake` on sleep already: with three that all fall asleep, not even one
 * preemption could be tried to the end. */
static void start_awake(int awake)
{
    for (int i = awake; i < workers; i++) {
        wf_park_announce(&park, i);
    }
    for (intptr_t i = 0; i < workers; i++) {
        wloom_spawn(i < awake ? worker : sleeper, (void *)i);
    }
}

static void end(void)
{
    wloom_join_all();
    wloom_assert(ended == works + messages);
    wloom_observe(true);
    wf_park_check(&park);
    wloom_assert(wf_watchers_count(&watchers) == 0);
    wloom_assert(wf_load_relaxed(&watchers.quiet) == (workers == 1));
    for (int i = 0; i < workers; i++) {
        wloom_assert(wf_park_state(&park, i) == WF_PARK_RUNNING);
    }
}

/* --- submitting from outside ------------------------------------------------------------------ */

static void produce(void *arg)
{
    submit((int)(intptr_t)arg);
}

static void produce_two(void *arg)
{
    (void)arg;
    submit(0);
    submit(1);
}

static void one_worker(void)
{
    begin(1, 2, 0);
    start();
    produce_two(NULL);
    end();
}

static void one_work_one_wake(void)
{
    begin(2, 1, 0);
    start();
    submit(0);
    end();
    wloom_assert(wakes <= 1);
}

static void two_works_of_one_producer(void)
{
    begin(2, 2, 0);
    run_work = run_together;
    start();
    produce_two(NULL);
    end();
}

/* In groups of so many workers. */
static void two_producers(int group)
{
    begin(2, 2, 0);
    in_groups_of(group);
    run_work = run_together;
    start();
    wloom_spawn(produce, (void *)0);
    submit(1);
    end();
}

static void two_works_of_two_producers(void)
{
    two_producers(WF_WORKERS_MAX);
}

static void three_works(int group)
{
    begin(3, 3, 0);
    in_groups_of(group);
    run_work = run_together;
    start_awake(1);
    produce_two(NULL);
    submit(2);
    end();
}

static void three_works_three_workers(void)
{
    three_works(WF_WORKERS_MAX);
}

static void sleep_that_returns_by_itself(void)
{
    begin(2, 2, 0);
    returns = 1;
    run_work = run_together;
    start();
    produce_two(NULL);
    end();
}

/* Worker 0 is parked, and returns from its sleep by itself while a submitter counts it in: the
 * submitter must start over, on behalf of the other one, which saw the count. */
static void returning_worker(void *arg)
{
    wf_park_retract(&park, 0);
    worker(arg);
}

static void claim_lost(int group)
{
    begin(2, 2, 0);
    in_groups_of(group);
    run_work = run_together;
    wf_park_announce(&park, 0);
    wloom_spawn(returning_worker, (void *)0);
    wloom_spawn(worker, (void *)1);
    wloom_spawn(produce, (void *)0);
    submit(1);
    end();
}

static void claim_lost_to_a_return(void)
{
    claim_lost(WF_WORKERS_MAX);
}

/* --- submitting from a worker ----------------------------------------------------------------- */

/* Work 0 makes work 1, and needs another worker to run it. */
static void run_parent(int self, int number)
{
    if (number == 0) {
        submit(1);
    }
    run_together(self, number);
}

static void worker_submits(void)
{
    begin(2, 2, 0);
    run_work = run_parent;
    start();
    submit(0);
    end();
}

static void parent_and_producer(int group)
{
    begin(3, 3, 0);
    in_groups_of(group);
    run_work = run_parent;
    start_awake(1);
    submit(0);
    submit(2);
    end();
}

static void worker_submits_and_producer_too(void)
{
    parent_and_producer(WF_WORKERS_MAX);
}

/* --- messages --------------------------------------------------------------------------------- */

static void message_for_a_sleeper(void)
{
    begin(2, 0, 1);
    start();
    post(1);
    end();
}

/* The message occupies its worker until the work runs: on the other worker, if the message was
 * first. */
static void message_and_work(void)
{
    begin(2, 1, 1);
    run_work = run_together;
    start();
    wloom_spawn(produce, (void *)0);
    post(0);
    end();
}

static void message_and_two_works(void)
{
    begin(3, 2, 1);
    run_work = run_together;
    start_awake(1);
    wloom_spawn(produce_two, NULL);
    post(1);
    end();
}

/* --- several groups --------------------------------------------------------------------------- */

static void two_producers_two_groups(void)
{
    two_producers(1);
}

static void three_works_two_groups(void)
{
    three_works(2);
}

static void three_works_three_groups(void)
{
    parent_and_producer(1);
}

/* As claim_lost_to_a_return: who saw the count that is undone may be of another group. */
static void claim_lost_between_groups(void)
{
    claim_lost(1);
}

/* Workers 0 and 1 search, and each finds the work of its number; worker 2 sleeps. A submitter that
 * sees one of them search leaves its work to both, and each of them to the other. */
static int leave_well(int self)
{
    return wf_park_found(&park, self, any_work, NULL);
}

static void leaver(void *arg)
{
    int self = (int)(intptr_t)arg;
    uint32_t one = 1;
    if (wf_cas_relaxed(&work[self], &one, 0)) {
        wake(leave(self));
        run(self, self);
    }
    worker(arg);
}

static void two_leave(int group, int (*how)(int self))
{
    begin(3, 3, 0);
    in_groups_of(group);
    run_work = run_together;
    leave = how;
    for (int i = 0; i < 2; i++) {
        wf_store_relaxed(&work[i], 1);
        (void)wf_park_search(&park, i);
    }
    wf_park_announce(&park, 2);
    wloom_spawn(leaver, (void *)0);
    wloom_spawn(leaver, (void *)1);
    wloom_spawn(sleeper, (void *)2);
    submit(2);
    end();
}

static void two_groups_leave(void)
{
    two_leave(1, leave_well);
}

static void one_group_leaves_the_sleeper_to_another(void)
{
    two_leave(2, leave_well);
}

/* --- light work, as in pool/sleep.c ----------------------------------------------------------- */

/* A busy worker makes work ready in a queue that held little, and wakes nobody if somebody watches.
 * A watcher saw light work, left it to its owner for the moment, and sleeps for a while only.
 * Written out here again, in fewer steps than sleep.c has, for which see model_sleep.c. */
static enum wf_watching watching[WF_WORKERS_MAX]; /* the workers' own */
static bool quietly;                              /* whoever watches does so */
static int patience; /* how often light work may still be left to its owner, not modelled */

static void submit_light(int number)
{
    wf_store_relaxed(&work[number], 1);
    if (!wf_watchers_may_rely(&watchers)) {
        wake(wf_park_pick_fenced(&park));
    }
}

/* Work 0 is light, the others are not. */
static int take_work_but_light(bool *saw_light)
{
    for (int i = 0; i < works; i++) {
        uint32_t one = wf_load_relaxed(&work[i]);
        if (one == 1 && i == 0 && patience > 0 && wloom_choose(2) == 1) {
            patience--;
            *saw_light = true;
            continue;
        }
        if (one == 1 && wf_cas_relaxed(&work[i], &one, 0)) {
            return i;
        }
    }
    return -1;
}

static bool begin_to_watch(int self)
{
    if (watching[self] != WF_WATCHES_NOT) {
        return true;
    }
    if (wf_watchers_count(&watchers) != 0) {
        return false; /* one watches already */
    }
    watching[self] = wf_watchers_begin(&watchers);
    if (quietly) {
        watching[self] = wf_watchers_quieten(&watchers);
    }
    return true;
}

static void stop_watching(int self)
{
    if (watching[self] != WF_WATCHES_NOT) {
        wf_watchers_end(&watchers, watching[self]);
        watching[self] = WF_WATCHES_NOT;
    }
}

static void park_or_watch(int self, bool saw_light)
{
    claims[self] = 0;
    bool watches = saw_light && begin_to_watch(self);
    if (!watches) {
        stop_watching(self);
    }
    wf_park_announce(&park, self);
    bool other = false;
    for (int i = 1; i < works; i++) {
        other = wf_load_relaxed(&work[i]) != 0 || other;
    }
    saw_light = wf_load_relaxed(&work[0]) != 0 || saw_light;
    if (!other && !saw_light && !stopped()) {
        sleep_in_driver(self);
    } else if (!other && !stopped() && !watches && !begin_to_watch(self)) {
        sleep_in_driver(self);
    } /* else its sleep ends by itself */
    wf_park_retract(&park, self);
}

static bool heavy_work(void *arg)
{
    (void)arg;
    for (int i = 1; i < works; i++) {
        if (wf_load_relaxed(&work[i]) != 0) {
            return true;
        }
    }
    return false;
}

/* wf_is_there_more: what is light is the watcher's, if there is one. */
static bool more_than_watched(void *arg)
{
    return heavy_work(arg) || (wf_load_relaxed(&work[0]) != 0 && wf_watchers_count(&watchers) == 0);
}

static bool (*more)(void *arg);

/* It has found work. */
static int leave_the_watch(int self)
{
    stop_watching(self);
    return wf_park_found(&park, self, more, NULL);
}

static void watching_worker(void *arg)
{
    int self = (int)(intptr_t)arg;
    while (!stopped()) {
        bool saw_light = false;
        int number = wf_park_search(&park, self) ? take_work_but_light(&saw_light) : -1;
        if (number >= 0) {
            wake(leave(self));
            run(self, number);
            continue;
        }
        park_or_watch(self, saw_light);
    }
    stop_watching(self);
    wake(wf_park_found(&park, self, more, NULL));
}

/* The owner of the light work: computes on until somebody has taken it. It stands for a thread
 * outside of the pool as well, whose work the worker that took the last such would take
 * (wf_ready_foreign): nothing here relies on that one. */
static void busy_owner(void *arg)
{
    (void)arg;
    submit_light(0);
    wloom_event_wait(&all_begun);
    wf_store_relaxed(&all_begun, 1);
}

static void begin_with_watchers(void)
{
    memset(watching, 0, sizeof watching);
    quietly = false;
}

static void begin_watching(int work_count)
{
    begin(3, work_count, 0);
    begin_with_watchers();
    patience = 2;
    more = more_than_watched;
    leave = leave_the_watch;
    run_work = run_together;
}

static void light_work_of_a_busy_worker(void)
{
    begin_watching(1);
    wloom_spawn(busy_owner, NULL);
    wloom_spawn(watching_worker, (void *)1);
    wloom_spawn(watching_worker, (void *)2);
    end();
}

static void light_work_and_other_work(void)
{
    begin_watching(2);
    wloom_spawn(busy_owner, NULL);
    wloom_spawn(watching_worker, (void *)1);
    wloom_spawn(watching_worker, (void *)2);
    submit(1);
    end();
}

/* Worker 1 has just watched, and will find other work; worker 2 searches beside it, and will find
 * nothing. Each leaves the other to look after the light work. */
static void end_of_a_watch(void *arg)
{
    wf_park_retract(&park, 1);
    watching_worker(arg);
}

static void watcher_asleep(void *arg)
{
    int self = (int)(intptr_t)arg;
    sleep_in_driver(self);
    wf_park_retract(&park, self);
    watching_worker(arg);
}

static void end_of_a_search(void *arg)
{
    park_or_watch(2, false);
    watching_worker(arg);
}

static void watch_ends(void)
{
    patience = 0;
    wf_store_relaxed(&work[1], 1);
    wf_park_announce(&park, 1);
    (void)begin_to_watch(1);
    (void)wf_park_search(&park, 2);
    wloom_spawn(busy_owner, NULL);
    wloom_spawn(end_of_a_watch, (void *)1);
    wloom_spawn(end_of_a_search, (void *)2);
    end();
}

static void watch_ends_in_other_work(void)
{
    begin_watching(2);
    watch_ends();
}

/* The two are of two groups. */
static void watch_ends_between_groups(void)
{
    begin_watching(2);
    in_groups_of(1);
    watch_ends();
}

/* The same, with watches that end with a fence in all threads; who relies on them has none. */
static void quiet_light_work(void)
{
    begin_watching(1);
    quietly = true;
    wloom_spawn(busy_owner, NULL);
    wloom_spawn(watching_worker, (void *)1);
    wloom_spawn(watching_worker, (void *)2);
    end();
}

static void quiet_light_work_and_other_work(void)
{
    begin_watching(2);
    quietly = true;
    wloom_spawn(busy_owner, NULL);
    wloom_spawn(watching_worker, (void *)1);
    wloom_spawn(watching_worker, (void *)2);
    submit(1);
    end();
}

static void quiet_watch_ends_in_other_work(void)
{
    begin_watching(2);
    quietly = true;
    watch_ends();
}

static void quiet_watch_ends_between_groups(void)
{
    begin_watching(2);
    in_groups_of(1);
    quietly = true;
    watch_ends();
}

/* It ends in sleep, for nothing light is in sight; the other worker sleeps already. */
static void end_in_sleep(void *arg)
{
    wf_park_retract(&park, 1);
    park_or_watch(1, false);
    watching_worker(arg);
}

static void watch_ends_in_sleep(bool is_quiet)
{
    begin_watching(1);
    quietly = is_quiet;
    patience = 0;
    wf_park_announce(&park, 1);
    (void)begin_to_watch(1);
    wf_park_announce(&park, 2);
    wloom_spawn(busy_owner, NULL);
    wloom_spawn(end_in_sleep, (void *)1);
    wloom_spawn(watcher_asleep, (void *)2);
    end();
}

static void loud_watch_ends_in_sleep(void)
{
    watch_ends_in_sleep(false);
}

static void quiet_watch_ends_in_sleep(void)
{
    watch_ends_in_sleep(true);
}

/* --- the taker, as in pool/ready.c and worker.c ----------------------------------------------- */

/* What comes from outside lies in a queue of its own (`work`, as before), and is left to the worker
 * that took from there last while that one is awake. Who takes, takes all: one to run, the rest
 * into its own queue, where every worker may take it; between the two queues it is in sight of
 * nobody. */
static WF_ATOMIC(uint32_t) moved[WORKS]; /* 1: in the queue of some worker */
static WF_ATOMIC(int32_t) taker;
static bool wakes_for_the_rest, relies_on_the_taker; /* the second is a road not taken */
static bool (*may_take)(int self);

static bool is_taker_running(void)
{
    return wf_park_state(&park, wf_load_relaxed(&taker)) == WF_PARK_RUNNING;
}

static void submit_outside(int number)
{
    wf_store_relaxed(&work[number], 1);
    /* sync(worker.light_outside): the work is visible before we look for a watcher, and for the
     * taker */
    wf_fence_seq_cst();
    bool watched = wf_watchers_count(&watchers) != 0 || relies_on_the_taker;
    if (!watched || !is_taker_running()) {
        wake(wf_park_pick_fenced(&park));
    }
}

static void wake_for_the_rest(int self)
{
    if (!wakes_for_the_rest || wf_park_state(&park, self) >= WF_PARK_PARKED) {
        return;
    }
    if (!wf_watchers_may_rely(&watchers)) {
        wake(wf_park_pick_fenced(&park));
    }
}

/* wf_take_injected */
static int take_batch(int self)
{
    int first = -1, rest[WORKS], count = 0;
    for (int i = take_work(); i >= 0; i = take_work()) { /* ends: few works */
        if (first < 0) {
            first = i;
        } else {
            rest[count++] = i;
        }
    }
    if (first < 0) {
        return -1;
    }
    wf_store_relaxed(&taker, self);
    for (int i = 0; i < count; i++) {
        wf_store_relaxed(&moved[rest[i]], 1);
    }
    if (count > 0) {
        wake_for_the_rest(self);
    }
    return first;
}

static int take_moved(void)
{
    for (int i = 0; i < works; i++) {
        uint32_t one = wf_load_relaxed(&moved[i]);
        if (one == 1 && wf_cas_relaxed(&moved[i], &one, 0)) {
            return i;
        }
    }
    return -1;
}

/* is_attended: the taker runs, and gets on: for so long as `patience` says. */
static bool is_attended(int self, bool *saw_light)
{
    if (patience == 0 || wf_load_relaxed(&taker) == self || !is_taker_running()) {
        return false;
    }
    patience--;
    *saw_light = true;
    return true;
}

enum taker_sight {
    TAKER_NOTHING,
    TAKER_LIGHT,
    TAKER_WORK,
};

static enum taker_sight look_around(int self, bool saw_light)
{
    for (int i = 0; i < works; i++) {
        if (wf_load_relaxed(&moved[i]) != 0) {
            return TAKER_WORK; /* in whose queue it is makes no difference here */
        }
    }
    if (any_work(NULL)) {
        bool is_ours = wf_load_relaxed(&taker) == self;
        return is_ours || !is_taker_running() || !saw_light ? TAKER_WORK : TAKER_LIGHT;
    }
    return TAKER_NOTHING;
}

struct looker {
    int self;
    bool saw_light;
};

static bool is_there_more(void *arg)
{
    struct looker *looker = arg;
    enum taker_sight sight = look_around(looker->self, looker->saw_light);
    return sight == TAKER_WORK || (sight == TAKER_LIGHT && wf_watchers_count(&watchers) == 0);
}

static void park_beside_the_taker(struct looker *looker)
{
    claims[looker->self] = 0;
    bool watches = looker->saw_light && begin_to_watch(looker->self);
    if (!watches) {
        stop_watching(looker->self);
    }
    wf_park_announce(&park, looker->self);
    enum taker_sight sight = look_around(looker->self, looker->saw_light);
    if (sight == TAKER_NOTHING && !looker->saw_light && !stopped()) {
        sleep_in_driver(looker->self);
    } else if (sight != TAKER_WORK && !stopped() && !watches && !begin_to_watch(looker->self)) {
        sleep_in_driver(looker->self);
    } /* else its sleep ends by itself */
    looker->saw_light = false;
    wf_park_retract(&park, looker->self);
}

/* Looks at the queue from outside also while it runs: once, at the begin, as after a poll. */
static void taking_worker(void *arg)
{
    struct looker looker = {.self = (int)(intptr_t)arg};
    int number = may_take(looker.self) ? take_batch(looker.self) : -1;
    while (!stopped()) {
        if (number < 0 && wf_park_search(&park, looker.self)) {
            number = take_moved();
            if (number < 0 && any_work(NULL) && !is_attended(looker.self, &looker.saw_light)) {
                number = take_batch(looker.self);
            }
        }
        if (number >= 0) {
            stop_watching(looker.self);
            wake(wf_park_found(&park, looker.self, is_there_more, &looker));
            run(looker.self, number);
            number = -1;
            continue;
        }
        park_beside_the_taker(&looker);
    }
    stop_watching(looker.self);
    wake(wf_park_found(&park, looker.self, is_there_more, &looker));
}

static bool only_the_first(int self)
{
    return self == 0;
}

static void begin_taking(int worker_count, int work_count)
{
    begin(worker_count, work_count, 0);
    begin_with_watchers();
    memset(moved, 0, sizeof moved);
    memset(&taker, 0, sizeof taker);
    patience = 1;
    wakes_for_the_rest = true;
    relies_on_the_taker = false;
    may_take = only_the_first;
    run_work = run_together;
}

/* Two works are there when worker 0, which runs, takes both; the other worker goes to sleep
 * meanwhile. */
static void batch_of_a_running_worker(void)
{
    begin_taking(2, 2);
    wf_store_relaxed(&work[0], 1);
    wf_store_relaxed(&work[1], 1);
    wloom_spawn(taking_worker, (void *)0);
    wloom_spawn(taking_worker, (void *)1);
    end();
}

/* They come while the workers look: the second while the taker of the first runs it. */
static void stream_and_its_taker(void)
{
    begin_taking(2, 2);
    wloom_spawn(taking_worker, (void *)0);
    wloom_spawn(taking_worker, (void *)1);
    submit_outside(0);
    submit_outside(1);
    end();
}

/* --- roads not taken -------------------------------------------------------------------------- */

#include "tests/model/park_roads.h"

/* A watcher that leaves for other work forgets that others sleep because it watched. */
static void watcher_that_forgets(void)
{
    begin_watching(2);
    more = heavy_work;
    watch_ends();
}

static void quiet_watch_ends_by(int (*how)(int self))
{
    begin_watching(2);
    quietly = true;
    leave = how;
    watch_ends();
}

static void ending_without_a_fence(void)
{
    quiet_watch_ends_by(end_without_a_fence);
}

static void fencing_before_the_end(void)
{
    quiet_watch_ends_by(fence_before_the_end);
}

static void looking_before_the_end(void)
{
    quiet_watch_ends_by(look_before_the_end);
}

static void ending_with_a_fence_of_one(void)
{
    quiet_watch_ends_by(end_with_a_fence_of_one);
}

/* It ends its watch only after its last look before it sleeps. */
static void end_after_the_look(void *arg)
{
    wf_park_retract(&park, 1);
    claims[1] = 0;
    wf_park_announce(&park, 1);
    bool sleeps = wf_load_relaxed(&work[0]) == 0 && !stopped();
    stop_watching(1);
    if (sleeps) {
        sleep_in_driver(1);
    }
    wf_park_retract(&park, 1);
    watching_worker(arg);
}

static void ending_after_the_look(void)
{
    begin_watching(1);
    quietly = true;
    patience = 0;
    wf_park_announce(&park, 1);
    (void)begin_to_watch(1);
    wf_park_announce(&park, 2);
    wloom_spawn(busy_owner, NULL);
    wloom_spawn(end_after_the_look, (void *)1);
    wloom_spawn(watcher_asleep, (void *)2);
    wloom_join_all();
}

/* What was moved from queue to queue is nobody's news. */
static void batch_without_a_wake(void)
{
    begin_taking(2, 2);
    wakes_for_the_rest = false;
    wf_store_relaxed(&work[0], 1);
    wf_store_relaxed(&work[1], 1);
    wloom_spawn(taking_worker, (void *)0);
    wloom_spawn(taking_worker, (void *)1);
    wloom_join_all();
}

/* The taker is relied on without a watcher: it may run for long. */
static void relying_on_the_taker(void)
{
    begin_taking(2, 2);
    relies_on_the_taker = true;
    wloom_spawn(taking_worker, (void *)0);
    wloom_spawn(taking_worker, (void *)1);
    submit_outside(0);
    submit_outside(1);
    wloom_join_all();
}

static void looking_before_leaving(void)
{
    two_leave(1, leave_after_looking);
}

static void looking_before_the_fence(void)
{
    two_leave(1, leave_unfenced);
}

static void leaving_it_to_one_group(void)
{
    two_leave(1, leave_to_the_first_group);
}

static void claiming_across_groups(void)
{
    begin(2, 1, 0);
    in_groups_of(1);
    start();
    wf_store_relaxed(&work[0], 1);
    wake(pick_across());
    end();
}

/* The last searcher that finds work does not look for more. */
static bool no_more(void *arg)
{
    (void)arg;
    return false;
}

static void worker_without_chain(void *arg)
{
    int self = (int)(intptr_t)arg;
    while (!stopped()) {
        int number = wf_park_search(&park, self) ? take_work() : -1;
        if (number >= 0) {
            wake(wf_park_found(&park, self, no_more, NULL));
            run(self, number);
            continue;
        }
        claims[self] = 0;
        wf_park_announce(&park, self);
        if (!any_work(NULL) && !stopped()) {
            sleep_in_driver(self);
        }
        wf_park_retract(&park, self);
    }
}

static void without_the_chain(void)
{
    begin(2, 2, 0);
    run_work = run_together;
    for (intptr_t i = 0; i < workers; i++) {
        wloom_spawn(worker_without_chain, (void *)i);
    }
    produce_two(NULL);
    wloom_join_all();
}

/* The sleeper looks before it announces. */
static void worker_looks_first(void *arg)
{
    int self = (int)(intptr_t)arg;
    while (!stopped()) {
        int number = take_work();
        if (number >= 0) {
            wake(wf_park_found(&park, self, any_work, NULL));
            run(self, number);
            continue;
        }
        claims[self] = 0;
        bool look = any_work(NULL);
        wf_park_announce(&park, self);
        if (!look && !stopped()) {
            sleep_in_driver(self);
        }
        wf_park_retract(&park, self);
    }
}

static void looking_before_announcing(void)
{
    begin(1, 1, 0);
    wloom_spawn(worker_looks_first, NULL);
    submit(0);
    wloom_join_all();
}

/* A waker that wakes without the fence between its work and its look. */
static void submit_without_fence(void)
{
    begin(1, 1, 0);
    start();
    wf_store_relaxed(&work[0], 1);
    wake(pick_parked(&park));
    wloom_join_all();
}

static const struct wloom_scenario scenarios[] = {
    {"one_worker", one_worker, NULL, NULL, false},
    {"one_work_one_wake", one_work_one_wake, NULL, NULL, false},
    {"two_works_one_producer", two_works_of_one_producer, NULL, NULL, false},
    {"two_works_two_producers", two_works_of_two_producers, NULL, NULL, false},
    {"three_works_three_workers", three_works_three_workers, NULL, NULL, false},
    {"sleep_returns_by_itself", sleep_that_returns_by_itself, NULL, NULL, false},
    {"claim_lost_to_a_return", claim_lost_to_a_return, NULL, NULL, false},
    {"worker_submits", worker_submits, NULL, NULL, false},
    {"worker_submits_producer_too", worker_submits_and_producer_too, NULL, NULL, false},
    {"message_for_a_sleeper", message_for_a_sleeper, NULL, NULL, false},
    {"message_and_work", message_and_work, NULL, NULL, false},
    {"message_and_two_works", message_and_two_works, NULL, NULL, false},
    {"two_producers_two_groups", two_producers_two_groups, NULL, NULL, false},
    {"three_works_two_groups", three_works_two_groups, NULL, NULL, false},
    {"three_works_three_groups", three_works_three_groups, NULL, NULL, false},
    {"claim_lost_between_groups", claim_lost_between_groups, NULL, NULL, false},
    {"two_groups_leave", two_groups_leave, NULL, NULL, false},
    {"left_to_another_group", one_group_leaves_the_sleeper_to_another, NULL, NULL, false},
    {"light_work", light_work_of_a_busy_worker, NULL, NULL, false},
    {"light_work_and_other_work", light_work_and_other_work, NULL, NULL, false},
    {"watch_ends_in_other_work", watch_ends_in_other_work, NULL, NULL, false},
    {"watch_ends_between_groups", watch_ends_between_groups, NULL, NULL, false},
    {"loud_watch_ends_in_sleep", loud_watch_ends_in_sleep, NULL, NULL, false},
    {"quiet_light_work", quiet_light_work, NULL, NULL, false},
    {"quiet_and_other_work", quiet_light_work_and_other_work, NULL, NULL, false},
    {"quiet_ends_in_other_work", quiet_watch_ends_in_other_work, NULL, NULL, false},
    {"quiet_ends_between_groups", quiet_watch_ends_between_groups, NULL, NULL, false},
    {"quiet_watch_ends_in_sleep", quiet_watch_ends_in_sleep, NULL, NULL, false},
    {"batch_of_a_running_worker", batch_of_a_running_worker, NULL, NULL, false},
    {"stream_and_its_taker", stream_and_its_taker, NULL, NULL, false},
    {"batch_without_a_wake", batch_without_a_wake, "lost wake-up", "lost wake-up", true},
    {"relying_on_the_taker", relying_on_the_taker, "lost wake-up", "lost wake-up", true},
    {"watcher_that_forgets", watcher_that_forgets, "lost wake-up", "lost wake-up", true},
    {"ending_without_a_fence", ending_without_a_fence, NULL, "lost wake-up", true},
    {"fencing_before_the_end", fencing_before_the_end, NULL, "lost wake-up", true},
    {"ending_with_a_fence_of_one", ending_with_a_fence_of_one, NULL, "lost wake-up", true},
    {"looking_before_the_end", looking_before_the_end, "lost wake-up", "lost wake-up", true},
    {"ending_after_the_look", ending_after_the_look, "lost wake-up", "lost wake-up", true},
    {"looking_before_leaving", looking_before_leaving, "lost wake-up", "lost wake-up", true},
    {"looking_before_the_fence", looking_before_the_fence, NULL, "lost wake-up", true},
    {"leaving_it_to_one_group", leaving_it_to_one_group, "lost wake-up", "lost wake-up", true},
    {"claiming_across_groups", claiming_across_groups, "check", "check", true},
    {"without_the_chain", without_the_chain, "lost wake-up", "lost wake-up", true},
    {"looking_before_announcing", looking_before_announcing, "lost wake-up", "lost wake-up", true},
    {"submit_without_fence", submit_without_fence, NULL, "lost wake-up", true},
    {NULL, NULL, NULL, NULL, false},
};

static const struct wloom_survivor survivors[] = {
    {"park.claimed", "relaxed", WLOOM_NO_STORE_REORDERING},
    {"park.retract", "relaxed", WLOOM_NO_STORE_REORDERING},
    {NULL, NULL, NULL},
};

static const char *const under_test[] = {"pool/park.c", "pool/park.h", "pool/watchers.h",
                                         "model_park.c", NULL};

int main(int argc, char **argv)
{
    static const struct wloom_harness harness = {
        .name = "park",
        .scenarios = scenarios,
        .under_test = under_test,
        .survivors = survivors,
        .share = 0.14,
    };
    return wloom_main(&harness, argc, argv);
}
