/* test_worker.c: rules of a worker (pool/turn.h) that show from outside only by luck, for they are
 * about who is awake at a moment. A pool without threads, whose workers are put into the states
 * that a rule speaks of; a driver that writes down whom it was told to wake. */
#include "pool/pool.c"
#include "pool/lookout.c"
#include "pool/ready.c"
#include "pool/search.c"
#include "pool/serve.c"
#include "pool/sleep.c"
#include "pool/suspend.c"
#include "pool/worker.c"
#include "tests/support/wt.h"

#define WORKERS 2
#define SLOTS   WF_RUNQ_SLOTS
#define WORKS   (SLOTS + 1000)
#define NOBODY  (-1)

static struct wf_pool *pool;
static struct wf_worker *self, *other;
static struct wf_work works[WORKS];
static int woken; /* the last, until it is asked for */

/* --- the driver ------------------------------------------------------------------------------- */

static int fake_open(struct wf_driver *driver, int workers)
{
    (void)driver, (void)workers;
    return 0;
}

static void fake_close(struct wf_driver *driver)
{
    (void)driver;
}

static int asked, polled; /* how often */

static bool fake_is_due(struct wf_driver *driver, struct wf_worker *worker)
{
    (void)driver, (void)worker;
    asked++;
    return false;
}

/* What a poll hands over: so many works from `next` on. */
static struct {
    int next, count;
} arriving;

static int fake_poll(struct wf_driver *driver, struct wf_worker *worker)
{
    (void)driver;
    polled++;
    int count = arriving.count;
    for (; arriving.count > 0; arriving.count--) {
        wf_ready(worker, &works[arriving.next++]);
    }
    return count;
}

static void fake_wake(struct wf_driver *driver, int worker)
{
    (void)driver;
    woken = worker;
}

/* The last sleep: until when, and how many watched meanwhile; and whether somebody wakes it for
 * work. */
static struct {
    int64_t until_ns;
    uint32_t watchers, quiet;
    bool is_woken;
} slept;

static void fake_sleep(struct wf_driver *driver, struct wf_worker *worker, int64_t deadline_ns)
{
    (void)driver;
    slept.until_ns = deadline_ns;
    slept.watchers = wf_watchers_count(&worker->pool->watchers);
    slept.quiet = wf_load_relaxed(&worker->pool->watchers.quiet);
    if (slept.is_woken) {
        (void)wf_park_pick(&worker->pool->park);
    }
}

static const struct wf_driver_ops fake_ops = {.name = "fake",
                                              .open = fake_open,
                                              .close = fake_close,
                                              .is_due = fake_is_due,
                                              .poll = fake_poll,
                                              .sleep = fake_sleep,
                                              .wake = fake_wake};
static struct wf_driver fake = {.ops = &fake_ops};

/* --- what the tests share --------------------------------------------------------------------- */

static void begin(void)
{
    wt_eq(prepare(&pool, WORKERS, &fake, NULL), 0);
    self = &pool->workers[0];
    other = &pool->workers[1];
    woken = NOBODY;
    for (int i = 0; i < WORKERS; i++) { /* the clock of some tests begins at 0 */
        wf_store_relaxed(&pool->workers[i].up_ns, -WF_RESTED_NS);
        wf_store_relaxed(&pool->workers[i].waits_ns, -WF_WAITS_NS);
    }
    for (int i = 0; i < WORKS; i++) {
        works[i].run = wf_fiber_run_resume;
    }
}

static void end(void)
{
    release(pool);
    wf_stacks_close();
}

static int number(const struct wf_work *work)
{
    return work == NULL ? NOBODY : (int)(work - works);
}

static int who_was_woken(void)
{
    int who = woken;
    woken = NOBODY;
    return who;
}

static void push_outside(int first, int count)
{
    for (int i = first; i < first + count; i++) {
        wf_inject_push(&pool->inject, &works[i]);
    }
}

static void make_ready(int first, int count)
{
    for (int i = first; i < first + count; i++) {
        wf_ready(self, &works[i]);
    }
}

static void sleeps(struct wf_worker *worker)
{
    wf_park_announce(&pool->park, (int)worker->index);
}

static bool is_awake(struct wf_worker *worker)
{
    return wf_park_state(&pool->park, (int)worker->index) != WF_PARK_PARKED;
}

static int taker(void)
{
    return (int)wf_load_relaxed(&pool->taker);
}

static void leave_no_spare(struct wf_worker *worker)
{
    while (wf_worker_has_spare(worker)) { /* ends: the cache has few */
        (void)wf_fiber_take(&worker->stacks);
    }
}

/* --- giving way ------------------------------------------------------------------------------- */

Test(worker, a_yield_asks_the_driver_only_with_something_under_way, .init = begin, .fini = end)
{
    struct wf_fiber fiber = {.worker = self};
    wf_poll_driver(self);
    asked = polled = 0;
    for (int i = 1; i < WF_TURN_POLL; i++) {
        wf_yield(&fiber);
    }
    wt_eq(asked, 0);
    wt_eq(polled, 0);
    wf_yield(&fiber);
    wt_eq(polled, 1, "it has its turn all the same");
    wf_worker_submitted(self);
    wf_yield(&fiber);
    wt_eq(asked, 1);
    wf_worker_completed(self);
    wf_yield(&fiber);
    wt_eq(asked, 1);
    wt_eq(polled, 1);
}

/* --- turns ------------------------------------------------------------------------------------ */

/* As find_work would, but for the search. */
static struct wf_work *take(void)
{
    struct wf_work *work = take_next(self);
    if (work == NULL) {
        struct wf_fiber fiber = {.worker = self};
        wf_serve(&fiber, self);
        work = take_own(self);
    }
    wf_count(&self->counters.runs);
    return work;
}

/* How many works run before works[0], if there is always a newer one, and each hands over to so
 * many others past the loop. */
static int works_before_the_first(int handed_over)
{
    int ran = 0;
    for (int newer = 1; newer < WORKS; newer++) {
        wt_true(wf_deque_push(&self->deque, &works[newer]));
        if (number(take()) == 0) {
            break;
        }
        wf_count_add(&self->counters.runs, (uint64_t)handed_over);
        ran += 1 + handed_over;
    }
    while (wf_deque_pop(&self->deque) != NULL) { /* ends: nobody adds */
    }
    return ran;
}

#define HANDED_OVER_MAX (3 * WF_TURN_FIFO)
#define PHASES          (2 * WF_TURN_FIFO)

Test(worker, the_fifos_turn_may_be_late_but_is_not_passed_over, .init = begin, .fini = end)
{
    for (int handed_over = 0; handed_over <= HANDED_OVER_MAX; handed_over++) {
        for (int phase = 0; phase < PHASES; phase++) {
            wf_count(&self->counters.runs);
            make_ready(0, 1);
            /* the deque's oldest may have its turn before it */
            wt_le(works_before_the_first(handed_over), 2 * (WF_TURN_FIFO + handed_over));
        }
    }
}

Test(worker, the_oldests_turn_may_be_late_but_is_not_passed_over, .init = begin, .fini = end)
{
    for (int handed_over = 0; handed_over <= HANDED_OVER_MAX; handed_over++) {
        for (int phase = 0; phase < PHASES; phase++) {
            wf_count(&self->counters.runs);
            wt_true(wf_deque_push(&self->deque, &works[0]));
            wt_le(works_before_the_first(handed_over),
                  WF_TURN_OLDEST + WF_TURN_FIFO + 2 * handed_over);
        }
    }
}

/* --- the clock, while a timer is armed -------------------------------------------------------- */

static int64_t (*real_clock)(void);
static int64_t clock_ns;
static int looks; /* at the clock */
static int fired;

static int64_t counting_clock(void)
{
    looks++;
    return clock_ns;
}

static void count_fire(struct wf_timer *timer)
{
    (void)timer;
    fired++;
}

static struct wf_timer alarm_timer;

static void begin_armed(void)
{
    begin();
    real_clock = wf_sys.now_ns;
    wf_sys.now_ns = counting_clock;
    clock_ns = INT64_C(3600000000000);
    fired = 0;
    wf_timer_init(&alarm_timer, count_fire);
    wf_timer_add(&self->wheel, &alarm_timer, clock_ns + INT64_C(1000000000));
}

static void end_armed(void)
{
    (void)wf_timer_del(&alarm_timer);
    wf_sys.now_ns = real_clock;
    end();
}

/* Runs so many works of so many ns. How often it looked at the clock meanwhile. */
static int looks_during(int count, int64_t each_ns)
{
    looks = 0;
    for (int i = 0; i < count; i++) {
        make_ready(0, 1);
        wt_eq(number(take()), 0);
        clock_ns += each_ns;
    }
    return looks;
}

Test(worker, the_clock_is_not_looked_at_for_each_short_work, .init = begin_armed, .fini = end_armed)
{
    (void)looks_during(WF_CLOCK_WORKS, 50);
    wt_le(looks_during(100 * WF_CLOCK_WORKS, 50), 200);
    wt_eq(fired, 0);
}

Test(worker, nor_beside_a_driver_that_is_polled_before_a_timer_fires, .init = begin_armed,
     .fini = end_armed)
{
    struct wf_driver_ops blind_ops = fake_ops;
    blind_ops.is_blind = true;
    fake.ops = &blind_ops;
    (void)looks_during(WF_CLOCK_WORKS, 50);
    wt_le(looks_during(100 * WF_CLOCK_WORKS, 50), 200);
    fake.ops = &fake_ops;
}

Test(worker, the_clock_is_looked_at_for_each_long_work, .init = begin_armed, .fini = end_armed)
{
    (void)looks_during(2 * WF_CLOCK_WORKS, 50);
    (void)looks_during(2 * WF_CLOCK_WORKS, WF_CLOCK_NS);
    wt_ge(looks_during(100, WF_CLOCK_NS), 100);
}

Test(worker, without_a_timer_nobody_looks_at_the_clock, .init = begin_armed, .fini = end_armed)
{
    (void)wf_timer_del(&alarm_timer);
    wt_eq(looks_during(1000, 50), 0);
}

/* However long works are, if they stay so: late by one work, or by a few short ones. */
Test(worker, a_timer_is_late_by_one_work_or_a_few_short_ones, .init = begin_armed,
     .fini = end_armed)
{
    for (int64_t each_ns = 10; each_ns < 1000000; each_ns = each_ns * 5 / 4) {
        for (int phase = 0; phase < WF_CLOCK_WORKS; phase++) {
            (void)looks_during(2 * WF_CLOCK_WORKS + phase, each_ns);
            (void)wf_timer_del(&alarm_timer);
            int64_t due_ns = clock_ns + 40 * each_ns;
            fired = 0;
            wf_timer_add(&self->wheel, &alarm_timer, due_ns);
            while (fired == 0) { /* ends: works take time */
                (void)looks_during(1, each_ns);
            }
            wt_le(clock_ns - due_ns, 2 * WF_CLOCK_NS + 2 * each_ns);
        }
    }
}

Test(worker, a_timer_is_late_by_few_works_that_have_just_become_long, .init = begin_armed,
     .fini = end_armed)
{
    for (int phase = 0; phase < WF_CLOCK_WORKS; phase++) {
        (void)looks_during(3 * WF_CLOCK_WORKS + phase, 50);
        (void)wf_timer_del(&alarm_timer);
        fired = 0;
        wf_timer_add(&self->wheel, &alarm_timer, clock_ns + 1);
        int ran = 0;
        for (; fired == 0; ran++) { /* ends: works take time */
            (void)looks_during(1, INT64_C(1000000));
        }
        wt_le(ran, WF_CLOCK_WORKS + 1);
    }
}

Test(worker, who_leaves_a_stack_leaves_a_timer_to_the_next_turn, .init = begin_armed,
     .fini = end_armed)
{
    for (int phase = 0; phase < WF_TURN_POLL; phase++) {
        (void)looks_during(3 * WF_CLOCK_WORKS + phase, 50);
        clock_ns += 100;
        (void)wf_timer_del(&alarm_timer);
        wf_timer_add(&self->wheel, &alarm_timer, clock_ns);
        fired = 0;
        int ran = 0;
        for (; may_go_on(self); ran++) { /* ends: it looks at the clock */
            wf_count(&self->counters.runs);
        }
        wt_le(ran, WF_CLOCK_WORKS);
        (void)looks_during(1, 50);
        wt_eq(fired, 1);
    }
}

Test(worker, a_task_that_yields_alone_looks_now_and_then, .init = begin_armed, .fini = end_armed)
{
    struct wf_fiber fiber = {.worker = self};
    looks = 0;
    for (int i = 0; i < 1000; i++) {
        wf_yield(&fiber);
        clock_ns += 50;
    }
    wt_gt(looks, 1000 / WF_TURN_POLL);
    wt_lt(looks, 1000 / 8);
    clock_ns = alarm_timer.deadline_ns;
    for (int i = 0; i < WF_CLOCK_WORKS; i++) {
        wf_yield(&fiber);
    }
    wt_eq(fired, 1);
}

/* --- more ready than the FIFO holds ----------------------------------------------------------- */

/* The first `count` works come in order, with a poll now and then. */
static void check_order(int count)
{
    for (int i = 0; i < count; i++) {
        if (i % WF_TURN_POLL == 0 || wf_runq_len(&self->runq) == 0) {
            wf_poll_driver(self);
        }
        wt_eq(number(wf_runq_pop(&self->runq)), i);
    }
    wt_eq(wf_runq_len(&self->runq), 0u);
    wt_false(wf_inject_has(&pool->inject));
}

Test(worker, what_becomes_ready_after_a_spill_stays_behind_it, .init = begin, .fini = end)
{
    make_ready(0, SLOTS + 400);
    wt_eq(number(wf_runq_pop(&self->runq)), 0); /* a free slot */
    make_ready(SLOTS + 400, 100);
    for (int i = 1; i < 100; i++) {
        wt_eq(number(wf_runq_pop(&self->runq)), i);
    }
    arriving.next = SLOTS + 500, arriving.count = 100;
    wf_poll_driver(self);
    for (int i = 100; i < 200; i++) {
        wt_eq(number(wf_runq_pop(&self->runq)), i);
    }
    make_ready(SLOTS + 600, 50);
    for (int i = 200; i < SLOTS + 650; i++) {
        if (i % WF_TURN_POLL == 0) {
            wf_poll_driver(self);
        }
        wt_eq(number(wf_runq_pop(&self->runq)), i);
    }
}

Test(worker, a_spill_is_over_when_all_is_back, .init = begin, .fini = end)
{
    make_ready(0, SLOTS + 150);
    check_order(SLOTS + 150);
    wf_poll_driver(self);
    make_ready(0, SLOTS);
    wt_false(wf_inject_has(&pool->inject));
    check_order(SLOTS);
}

Test(worker, takes_nothing_back_without_a_spare_stack, .init = begin, .fini = end)
{
    make_ready(0, SLOTS + 50);
    for (int i = 0; i < 100; i++) {
        wt_eq(number(wf_runq_pop(&self->runq)), i);
    }
    leave_no_spare(self);
    wf_poll_driver(self);
    wt_eq(wf_runq_len(&self->runq), SLOTS - 100u);
    /* a fiber, which gives back a stack, does not wait behind the rest */
    make_ready(SLOTS + 50, 1);
    wt_eq(wf_runq_len(&self->runq), SLOTS - 99u);
}

Test(worker, what_is_taken_back_wakes_who_saw_it_nowhere, .init = begin, .fini = end)
{
    push_outside(0, 20);
    self->has_spilled = true;
    sleeps(other);
    take_back(self);
    wt_eq(wf_runq_len(&self->runq), 20u);
    wt_eq(who_was_woken(), 1);
}

Test(worker, what_comes_back_from_a_spill_is_cold_and_nothing_after_it, .init = begin, .fini = end)
{
    enum { BEFORE = 3, BACK = 20, AFTER = WF_FETCH_READY };
    make_ready(0, BEFORE);
    push_outside(BEFORE, BACK);
    self->has_spilled = true;
    take_back(self);
    make_ready(BEFORE + BACK, AFTER);
    wt_eq(self->cold_end, (uint64_t)BEFORE + BACK);
    for (int i = 0; i < BEFORE + BACK + AFTER; i++) {
        wt_eq(number(wf_pop_ready(self)), i);
    }
}

/* --- what comes from outside, and its taker --------------------------------------------------- */

Test(worker, the_rest_of_a_batch_wakes_who_saw_it_nowhere, .init = begin, .fini = end)
{
    push_outside(0, 3);
    sleeps(other);
    wt_eq(number(wf_take_injected(self)), 0);
    wt_eq(wf_runq_len(&self->runq), 2u);
    wt_eq(who_was_woken(), 1);
}

Test(worker, one_from_outside_wakes_nobody_but_its_taker, .init = begin, .fini = end)
{
    push_outside(0, 1);
    sleeps(other);
    wt_eq(number(wf_take_injected(self)), 0);
    wt_eq(who_was_woken(), NOBODY);
    wt_eq(taker(), 0);
}

Test(worker, a_batch_is_no_larger_than_the_room_for_its_rest, .init = begin, .fini = end)
{
    make_ready(0, WF_RUNQ_SLOTS - 2);
    push_outside(SLOTS, 10);
    wt_eq(number(wf_take_injected(self)), SLOTS);
    wt_eq(wf_runq_len(&self->runq), (uint32_t)WF_RUNQ_SLOTS);
    wt_eq(number(wf_take_injected(self)), SLOTS + 3);
    wt_eq(wf_runq_len(&self->runq), (uint32_t)WF_RUNQ_SLOTS);
}

Test(worker, leaves_outside_work_to_a_taker_who_runs, .init = begin, .fini = end)
{
    push_outside(0, 1);
    wf_store_relaxed(&pool->taker, 1);
    self->saw_light = true;
    wt_eq(look(self), LIGHT);
    sleeps(other);
    wt_eq(look(self), WORK);
}

/* It is about to run something, so nobody runs that would take the rest: a sleeper has to. */
Test(worker, the_taker_leaves_nothing_to_itself, .init = begin, .fini = end)
{
    push_outside(0, 1);
    wf_store_relaxed(&pool->taker, 0);
    self->saw_light = true;
    wf_store_relaxed(&pool->watchers.count, 1);
    wt_eq(look(self), WORK);
    wt_true(wf_is_there_more(self));
}

Test(worker, outside_work_is_left_to_the_taker_while_somebody_watches, .init = begin, .fini = end)
{
    wf_store_relaxed(&pool->taker, 0);
    wf_store_relaxed(&pool->watchers.count, 1);
    sleeps(other);
    wf_ready_foreign(pool, &works[0]);
    wt_eq(who_was_woken(), NOBODY);
}

Test(worker, outside_work_wakes_somebody_if_the_taker_sleeps, .init = begin, .fini = end)
{
    wf_store_relaxed(&pool->taker, 1);
    wf_store_relaxed(&pool->watchers.count, 1);
    sleeps(other);
    wf_ready_foreign(pool, &works[0]);
    wt_eq(who_was_woken(), 1);
}

Test(worker, outside_work_wakes_somebody_if_nobody_watches, .init = begin, .fini = end)
{
    wf_store_relaxed(&pool->taker, 0);
    sleeps(other);
    wf_ready_foreign(pool, &works[0]);
    wt_eq(who_was_woken(), 1);
}

/* --- without a spare stack -------------------------------------------------------------------- */

Test(worker, a_starved_taker_passes_on_what_it_may_not_run, .init = begin, .fini = end)
{
    push_outside(0, 1);
    wf_store_relaxed(&pool->taker, 0);
    sleeps(other);
    pass_on_injected(self);
    wt_eq(taker(), 1);
    wt_eq(who_was_woken(), 1);
    pass_on_injected(self); /* no more its own */
    wt_eq(taker(), 1);
    wt_eq(who_was_woken(), NOBODY);
}

Test(worker, the_last_worker_passes_on_to_the_first, .init = begin, .fini = end)
{
    wf_store_relaxed(&pool->taker, 1);
    sleeps(self);
    pass_on_injected(other);
    wt_eq(taker(), 0);
    wt_eq(who_was_woken(), NOBODY); /* there is nothing */
    wt_false(is_awake(self));
}

Test(worker, a_starved_worker_runs_the_first_fiber_and_puts_back_the_rest, .init = begin,
     .fini = end)
{
    push_outside(0, 3);
    works[0].run = NULL; /* new work: anything that is no fiber's */
    sleeps(other);
    wt_eq(number(take_injected_fiber(self)), 1);
    wt_eq(who_was_woken(), 1);
    wt_eq(number(wf_inject_pop(&pool->inject)), 0);
    wt_eq(number(wf_inject_pop(&pool->inject)), 2);
}

/* --- woken, and searching, in vain ------------------------------------------------------------ */

#define TICK_NS 100

static int64_t ticking_clock(void)
{
    return clock_ns += TICK_NS;
}

static void begin_ticking(void)
{
    begin();
    real_clock = wf_sys.now_ns;
    clock_ns = INT64_C(3600000000000);
    wf_sys.now_ns = ticking_clock;
    pool->spin_ns = self->search_ns = other->search_ns = WF_SPIN_NS;
    slept.is_woken = false;
}

static void end_ticking(void)
{
    wf_sys.now_ns = real_clock;
    end();
}

/* It has done nothing for so long that thieves take what it has. */
static void looks_slow(struct wf_worker *worker)
{
    struct wf_pace pace = wf_light_pace(worker);
    wf_store_relaxed(&worker->seen.last, pace.deque + pace.fifo);
    wf_store_relaxed(&worker->seen.still_ns, clock_ns - WF_STEAL_READY_NS);
}

/* How long the worker looks for something else to do, if there is nothing. */
static int64_t search(struct wf_worker *worker)
{
    bool due = false;
    int64_t began_ns = wf_sys.now_ns();
    (void)wf_park_search(&pool->park, (int)worker->index);
    wt_eq(number(wf_look_awake(worker, true, began_ns, &due)), NOBODY);
    wt_false(due);
    return clock_ns - began_ns;
}

Test(worker, a_search_in_vain_halves_the_next, .init = begin_ticking, .fini = end_ticking)
{
    wt_eq(search(other), WF_SPIN_NS);
    wt_eq(search(other), WF_SPIN_NS / 2);
    for (int i = 0; i < 10; i++) {
        (void)search(other);
    }
    wt_eq(search(other), WF_SEARCH_MIN_NS);
}

Test(worker, who_is_alone_in_a_crowd_of_timers_does_not_search, .init = begin_ticking,
     .fini = end_ticking)
{
    self->peers = 0;
    for (int i = 0; i < 20; i++) {
        (void)search(self);
    }
    wt_eq(search(self), WF_SEARCH_MIN_NS);
    wf_store_relaxed(&pool->crowd.until_ns, clock_ns + WF_TIMER_CALM_NS);
    wt_eq(search(self), 0);
}

Test(worker, in_a_crowd_of_timers_a_search_in_vain_is_shorter, .init = begin_ticking,
     .fini = end_ticking)
{
    for (int i = 0; i < 20; i++) {
        (void)search(other);
    }
    wf_store_relaxed(&pool->crowd.until_ns, clock_ns + WF_TIMER_CALM_NS);
    wt_eq(search(other), WF_SEARCH_CROWD_NS);
    other->saw_light = true;
    wt_eq(search(other), WF_SEARCH_MIN_NS);
}

Test(worker, a_search_that_finds_something_makes_the_next_long, .init = begin_ticking,
     .fini = end_ticking)
{
    (void)search(other);
    (void)search(other);
    bool due = false;
    push_outside(0, 1);
    wf_store_relaxed(&pool->taker, 1);
    wt_eq(number(wf_look_awake(other, true, wf_sys.now_ns(), &due)), 0);
    wt_eq(search(other), WF_SPIN_NS);
}

Test(worker, a_sleep_that_a_search_would_have_saved_makes_the_next_long, .init = begin_ticking,
     .fini = end_ticking)
{
    (void)search(other);
    wf_park_and_learn(other, clock_ns);
    wt_eq(search(other), WF_SPIN_NS);
    wf_park_and_learn(other, clock_ns - WF_SPIN_NS - WF_PATIENCE_LATE_NS);
    wt_eq(search(other), WF_SPIN_NS / 2);
}

/* Parks, and is woken for work if the test says so. How long it meant to sleep. */
static int64_t nap(struct wf_worker *worker)
{
    int64_t began_ns = clock_ns;
    park(worker);
    return slept.until_ns == INT64_MAX ? INT64_MAX : slept.until_ns - began_ns;
}

Test(worker, who_is_woken_in_vain_watches_once_with_nothing_in_sight, .init = begin_ticking,
     .fini = end_ticking)
{
    slept.is_woken = true;
    wt_eq(nap(other), INT64_MAX);
    slept.is_woken = false;
    wt_lt(nap(other), 2 * WF_WATCH_MIN_NS);
    wt_eq(slept.watchers, 1u);
    wt_eq(nap(other), INT64_MAX); /* an idle pool is silent */
    wt_eq(slept.watchers, 0u);
}

Test(worker, who_stole_something_was_not_woken_in_vain, .init = begin_ticking, .fini = end_ticking)
{
    slept.is_woken = true;
    wt_eq(nap(other), INT64_MAX);
    wf_ready_new(self, &works[0]);
    looks_slow(self);
    wt_eq(number(steal(other, clock_ns)), 0);
    other->saw_light = false;
    wt_eq(nap(other), INT64_MAX);
}

Test(worker, who_took_from_outside_was_not_woken_in_vain, .init = begin_ticking,
     .fini = end_ticking)
{
    slept.is_woken = true;
    wt_eq(nap(other), INT64_MAX);
    push_outside(0, 1);
    wt_eq(number(wf_take_injected(other)), 0);
    wt_eq(nap(other), INT64_MAX);
}

Test(worker, one_watches_and_others_sleep, .init = begin_ticking, .fini = end_ticking)
{
    wt_true(begin_watching(self, false));
    wt_false(begin_watching(other, false));
    wf_ready_new(self, &works[0]);
    other->saw_light = true;
    wt_eq(nap(other), INT64_MAX);
    wt_eq(slept.watchers, 1u);
    wf_end_watching(self);
    other->saw_light = true;
    wt_lt(nap(other), 2 * WF_WATCH_MIN_NS);
    wt_eq(slept.watchers, 1u);
    wf_end_watching(other);
    wt_eq(wf_watchers_count(&pool->watchers), 0u);
}

static void fire_nothing(struct wf_timer *timer)
{
    (void)timer;
}

static void begin_crowd(void)
{
    wf_store_relaxed(&pool->crowd.until_ns, clock_ns + 2 * WF_TIMER_CALM_NS);
}

Test(worker, a_watch_is_long_beside_a_crowd_of_timers_and_not_after_it, .init = begin_ticking,
     .fini = end_ticking)
{
    watch(other);
    wt_lt(slept.until_ns - clock_ns, WF_WATCH_MAX_NS);
    begin_crowd();
    watch(other);
    wt_gt(slept.until_ns - clock_ns, WF_WATCH_CROWD_NS - 10 * TICK_NS);
    clock_ns += 2 * WF_TIMER_CALM_NS;
    watch(other);
    wt_lt(slept.until_ns - clock_ns, WF_WATCH_MAX_NS + WF_WATCH_MIN_NS);
}

Test(worker, beside_a_crowd_of_timers_one_watches_with_nothing_in_sight, .init = begin_ticking,
     .fini = end_ticking)
{
    begin_crowd();
    wt_lt(nap(other), 2 * WF_WATCH_CROWD_NS);
    wt_eq(slept.watchers, 1u);
    wt_eq(nap(self), INT64_MAX, "one is enough");
    wt_lt(nap(other), 2 * WF_WATCH_CROWD_NS, "and goes on");
    clock_ns += 2 * WF_TIMER_CALM_NS;
    wt_eq(nap(other), INT64_MAX); /* an idle pool is silent */
    wt_eq(slept.watchers, 0u);
}

Test(worker, in_a_crowd_who_has_timers_of_its_own_counts_beside_others, .init = begin_ticking,
     .fini = end_ticking)
{
    static struct wf_timer timer;
    wf_timer_init(&timer, fire_nothing);
    begin_crowd();
    wt_lt(nap(other), 2 * WF_WATCH_CROWD_NS);
    wf_timer_add(&self->wheel, &timer, clock_ns + 3 * WF_WATCH_CROWD_NS);
    (void)nap(self);
    wt_eq(slept.watchers, 1u, "not soon enough");
    (void)wf_timer_del(&timer);
    wf_timer_add(&self->wheel, &timer, clock_ns + WF_WATCH_CROWD_NS / 2);
    wt_lt(nap(self), WF_WATCH_CROWD_NS / 2 + 1);
    wt_eq(slept.watchers, 2u);
}

/* What a timer makes ready is one of many: who watches comes to it if it takes long. */
Test(worker, what_timers_make_ready_in_a_crowd_wakes_nobody, .init = begin_ticking,
     .fini = end_ticking)
{
    static struct wf_timer timer;
    wf_timer_init(&timer, fire_nothing);
    begin_crowd();
    sleeps(other);
    (void)begin_watching(other, false);
    wf_timer_add(&self->wheel, &timer, clock_ns);
    wf_run_timers(self);
    wt_eq(who_was_woken(), NOBODY);
    wf_end_watching(other);
    wf_timer_add(&self->wheel, &timer, clock_ns);
    wf_run_timers(self);
    wt_eq(who_was_woken(), 1);
}

static struct wf_work *fired_work;

static void fire_ready(struct wf_timer *timer)
{
    (void)timer;
    wf_ready_fired(self, fired_work++);
}

Test(worker, what_timers_made_ready_is_cold_and_nothing_after_it, .init = begin_ticking,
     .fini = end_ticking)
{
    enum { BEFORE = 3, FIRED = 10, AFTER = WF_FETCH_READY };
    static struct wf_timer timers[FIRED];
    make_ready(0, BEFORE);
    fired_work = &works[BEFORE];
    for (int i = 0; i < FIRED; i++) {
        wf_timer_init(&timers[i], fire_ready);
        wf_timer_add(&self->wheel, &timers[i], clock_ns);
    }
    wt_eq(self->cold_end, 0u);
    wf_run_timers(self);
    make_ready(BEFORE + FIRED, AFTER);
    wf_run_timers(self);
    wt_eq(self->cold_end, (uint64_t)BEFORE + FIRED);
    for (int i = 0; i < BEFORE + FIRED + AFTER; i++) {
        wt_eq(number(wf_pop_ready(self)), i);
    }
}

static int barriers, barrier_rc;
static int64_t napped_ns;

static int count_barrier(void)
{
    barriers++;
    return barrier_rc;
}

static void count_nap(int64_t ns)
{
    napped_ns += ns;
}

static struct wf_sys real_sys;

static void begin_watched(void)
{
    begin_ticking();
    real_sys = wf_sys;
    wf_sys.barrier = count_barrier;
    wf_sys.nap = count_nap;
    barriers = barrier_rc = 0;
    napped_ns = 0;
    pool->watchers.can_be_quiet = true;
    wf_thieves_init(&pool->thieves, true);
    make_ready(0, 2); /* light work of `self`, to be left to it */
}

static void end_watched(void)
{
    wf_sys.barrier = real_sys.barrier;
    wf_sys.nap = real_sys.nap;
    end_ticking();
}

/* So often in a row, with that light work in sight. */
static void watch_it(struct wf_worker *worker, int times)
{
    for (int i = 0; i < times; i++) {
        worker->saw_light = true;
        wt_lt(nap(worker), WF_WATCH_MAX_NS + WF_WATCH_MIN_NS);
        wt_eq(slept.watchers, 1u);
    }
}

Test(worker, a_watch_goes_on_while_it_looks_and_is_quiet_after_a_while, .init = begin_watched,
     .fini = end_watched)
{
    for (int i = 0; i < WF_WATCH_LOUD; i++) {
        watch_it(other, 1);
        wt_eq(slept.quiet, 0u);
        wt_eq(wf_watchers_count(&pool->watchers), 1u);
    }
    watch_it(other, 3);
    wt_eq(slept.quiet, 1u);
    wt_eq(wf_watchers_count(&pool->watchers), 1u);
    wt_eq(barriers, 0);
}

Test(worker, who_watched_quietly_sleeps_after_a_fence_of_all, .init = begin_watched,
     .fini = end_watched)
{
    watch_it(other, WF_WATCH_LOUD + 1);
    (void)wf_runq_pop(&self->runq);
    (void)wf_runq_pop(&self->runq);
    wt_eq(nap(other), INT64_MAX);
    wt_eq(slept.watchers, 0u);
    wt_eq(slept.quiet, 0u);
    wt_eq(barriers, 1);
}

Test(worker, who_watched_loudly_needs_none, .init = begin_watched, .fini = end_watched)
{
    watch_it(other, WF_WATCH_LOUD);
    wf_end_watching(other);
    wt_eq(wf_watchers_count(&pool->watchers), 0u);
    watch_it(other, WF_WATCH_LOUD); /* it begins anew */
    wt_eq(slept.quiet, 0u);
    wt_eq(barriers, 0);
}

/* A worker that has found work leaves nobody relying on it. */
Test(worker, who_watched_ends_that_before_it_runs_a_work, .init = begin_watched,
     .fini = end_watched)
{
    watch_it(other, WF_WATCH_LOUD + 1);
    wf_ready(other, &works[2]);
    wt_eq(who_was_woken(), NOBODY);
    struct wf_fiber fiber = {.worker = other};
    wt_eq(number(find_work(&fiber)), 2);
    wt_eq(wf_watchers_count(&pool->watchers), 0u);
    wt_eq(barriers, 1);
}

Test(worker, a_fence_of_all_that_is_refused_is_a_nap, .init = begin_watched, .fini = end_watched)
{
    barrier_rc = -ENOMEM;
    watch_it(other, WF_WATCH_LOUD + 1);
    wf_end_watching(other);
    wt_eq(barriers, 1);
    wt_ge(napped_ns, INT64_C(1000000));
}

Test(worker, nobody_is_quiet_where_the_system_has_no_such_fence, .init = begin_watched,
     .fini = end_watched)
{
    pool->watchers.can_be_quiet = false;
    watch_it(other, WF_WATCH_LOUD + 3);
    wt_eq(slept.quiet, 0u);
    wf_end_watching(other);
    wt_eq(barriers, 0);
}

/* A new work of `self`, whom `other` finds slow. */
static void steal_from_slow(int i)
{
    wf_ready_new(self, &works[i]);
    looks_slow(self);
    wt_eq(number(steal(other, clock_ns)), i);
}

static bool is_alone(struct wf_worker *worker)
{
    return wf_thieves_are_alone(&pool->thieves, worker->deque.own);
}

Test(worker, who_steals_is_counted_by_one_fence_of_all, .init = begin_watched, .fini = end_watched)
{
    wt_true(is_alone(self));
    for (int i = 3; i < 6; i++) {
        steal_from_slow(i);
        wt_eq(barriers, 1);
    }
    wt_false(is_alone(self));
    wt_true(is_alone(other), "nobody steals from it");
}

Test(worker, a_thief_that_watches_quietly_is_none, .init = begin_watched, .fini = end_watched)
{
    steal_from_slow(3);
    watch_it(other, WF_WATCH_LOUD);
    wt_false(is_alone(self));
    watch_it(other, 3);
    wt_true(is_alone(self));
    wt_true(is_alone(other));
    wt_eq(barriers, 1);
}

Test(worker, a_quiet_watch_ends_before_a_steal_by_the_same_fence, .init = begin_watched,
     .fini = end_watched)
{
    watch_it(other, WF_WATCH_LOUD + 1);
    steal_from_slow(3);
    wt_eq(wf_watchers_count(&pool->watchers), 0u);
    wf_end_watching(other);
    wt_eq(barriers, 1);
    wt_false(is_alone(self));
}

Test(worker, nobody_is_alone_where_the_system_has_no_such_fence, .init = begin_watched,
     .fini = end_watched)
{
    pool->watchers.can_be_quiet = false;
    wf_thieves_init(&pool->thieves, false);
    wt_false(is_alone(self));
    steal_from_slow(3);
    wt_false(is_alone(self));
    wt_false(is_alone(other));
    watch_it(other, WF_WATCH_LOUD + 1);
    wt_false(is_alone(self));
    wt_eq(barriers, 0);
}

Test(worker, a_search_beside_light_work_is_short, .init = begin_ticking, .fini = end_ticking)
{
    other->saw_light = true;
    wt_eq(search(other), WF_SEARCH_MIN_NS);
}

Test(worker, a_search_after_a_steal_is_long, .init = begin_ticking, .fini = end_ticking)
{
    wf_ready_new(self, &works[0]);
    looks_slow(self);
    wt_eq(number(steal(other, clock_ns)), 0);
    other->saw_light = true;
    wt_eq(search(other), WF_SPIN_NS);
    wt_eq(search(other), WF_SEARCH_MIN_NS);
}

Test(worker, what_it_made_ready_itself_is_left_to_who_watches, .init = begin, .fini = end)
{
    make_ready(0, 2);
    wt_true(wf_is_there_more(self));
    wf_store_relaxed(&pool->watchers.count, 1);
    wt_false(wf_is_there_more(self));
    self->stole_ns = 1;
    wt_true(wf_is_there_more(self));
}

/* --- what a thief takes ----------------------------------------------------------------------- */

static int64_t looked_ns;

/* An owner with works in its deque, at whom a thief has looked just now. */
static void see_owner(void (*put)(struct wf_worker *worker, struct wf_work *work))
{
    for (int i = 0; i < 100; i++) {
        put(self, &works[i]);
    }
    looked_ns = WF_SIGHT_NS;
    wt_false(wf_light_may_steal_new(other, self, looked_ns));
}

static void do_tasks(int count)
{
    for (int i = 0; i < count; i++) {
        wt_ne(number(wf_deque_pop(&self->deque)), NOBODY);
    }
}

static void do_nodes(int count)
{
    do_tasks(count);
    wf_deque_note_cheap(&self->deque, 0);
}

/* So long an owner has to need for so many works to be slow: it has begun another. */
#define SLOW_FOR(works_, each_ns_) (((works_) + 1) * (each_ns_))

static bool may_steal_after(int64_t ns)
{
    looked_ns += ns;
    return wf_light_may_steal_new(other, self, looked_ns);
}

Test(worker, an_owner_quick_at_its_tasks_is_left_alone, .init = begin, .fini = end)
{
    see_owner(wf_ready_new);
    do_tasks(10);
    wt_false(may_steal_after(SLOW_FOR(10, WF_STEAL_TASK_NS) - 1));
    wt_true(other->saw_light);
}

Test(worker, an_owner_slow_at_its_tasks_is_stolen_from, .init = begin, .fini = end)
{
    see_owner(wf_ready_new);
    do_tasks(10);
    wt_true(may_steal_after(SLOW_FOR(10, WF_STEAL_TASK_NS)));
}

Test(worker, an_owner_quick_at_its_nodes_is_left_alone, .init = begin, .fini = end)
{
    see_owner(wf_ready_cheap);
    do_nodes(50);
    wt_false(may_steal_after(SLOW_FOR(50, WF_STEAL_CHEAP_NS) - 1));
    wt_true(other->saw_light);
}

Test(worker, an_owner_slow_at_its_nodes_is_stolen_from, .init = begin, .fini = end)
{
    see_owner(wf_ready_cheap);
    do_nodes(50);
    wt_true(may_steal_after(SLOW_FOR(50, WF_STEAL_CHEAP_NS)));
}

Test(worker, an_owner_once_slow_is_so_until_it_has_been_quick_for_a_while, .init = begin,
     .fini = end)
{
    see_owner(wf_ready_new);
    do_tasks(10);
    wt_true(may_steal_after(SLOW_FOR(10, WF_STEAL_TASK_NS)));
    wt_true(may_steal_after(1));
    do_tasks(20);
    wt_true(may_steal_after(2 * WF_SIGHT_NS), "long ones, while nobody looked");
    do_tasks(20);
    wt_true(may_steal_after(WF_PACE_NS - 1));
    wt_false(may_steal_after(1));
    wt_false(may_steal_after(1));
}

Test(worker, what_a_quick_owner_did_long_ago_says_nothing, .init = begin, .fini = end)
{
    see_owner(wf_ready_new);
    do_tasks(20);
    wt_false(may_steal_after(WF_PACE_NS));
    do_tasks(2);
    wt_false(may_steal_after(WF_SIGHT_NS), "has it been idle, or slow?");
    do_tasks(2);
    wt_true(may_steal_after(WF_PACE_NS), "it has been slow");
}

/* It takes each of its works again before anybody has seen it. */
Test(worker, an_owner_that_gets_on_with_tasks_has_light_work, .init = begin, .fini = end)
{
    see_owner(wf_ready_new);
    do_tasks(100);
    other->saw_light = false;
    wt_eq(steal(other, looked_ns), NULL);
    wt_true(other->saw_light);
    wt_eq(wf_load_relaxed(&self->deque.asked), 1u, "it may have sections");
    looked_ns += WF_PACE_NS;
    wt_eq(steal(other, looked_ns), NULL);
    other->saw_light = false;
    wt_eq(steal(other, looked_ns), NULL);
    wt_false(other->saw_light, "it is over");
}

/* Its deque stands still while it does. */
Test(worker, an_owner_quick_at_what_it_resumes_is_left_alone, .init = begin, .fini = end)
{
    make_ready(200, 80);
    see_owner(wf_ready_new);
    for (int i = 200; i < 220; i++) {
        wt_eq(number(wf_pop_ready(self)), i);
    }
    wt_false(may_steal_after(SLOW_FOR(10, WF_STEAL_TASK_NS) - 1));
    wt_true(other->saw_light);
    for (int i = 220; i < 240; i++) {
        wt_eq(number(wf_pop_ready(self)), i);
    }
    wt_true(may_steal_after(SLOW_FOR(10, WF_STEAL_TASK_NS)));
}

/* So many tasks, put `each_ns` after each other, before a thief looks again. */
static bool may_steal_after_puts(int first, int count, int64_t each_ns)
{
    for (int i = first; i < first + count; i++) {
        wf_ready_new(self, &works[i]);
    }
    return may_steal_after(count * each_ns);
}

Test(worker, what_is_put_does_not_tell_how_long_it_takes, .init = begin, .fini = end)
{
    see_owner(wf_ready_new);
    do_tasks(10);
    wt_true(may_steal_after(SLOW_FOR(10, WF_STEAL_TASK_NS)));
    wt_true(may_steal_after_puts(200, 100, WF_STEAL_TASK_NS / 10), "not that they are quick");
    do_tasks(100);
    wt_false(may_steal_after(100 * WF_STEAL_TASK_NS / 10));
    wt_false(may_steal_after_puts(300, 100, WF_STEAL_TASK_NS / 10), "nor that they are slow");
}

/* What an owner does between two scopes is no task. */
Test(worker, a_pause_makes_nobody_slow, .init = begin, .fini = end)
{
    see_owner(wf_ready_new);
    do_tasks(100);
    for (int i = 0; i < 10; i++) {
        wt_false(may_steal_after(WF_LOOK_NS), "it has nothing");
    }
    wt_false(may_steal_after_puts(0, 20, WF_STEAL_TASK_NS / 10), "nor is it slow");
}

Test(worker, who_was_slow_before_a_pause_is_so_after_it, .init = begin, .fini = end)
{
    see_owner(wf_ready_new);
    wf_store_relaxed(&self->seen.believed_ns, WF_BELIEF_MAX_NS);
    do_tasks(10);
    wt_true(may_steal_after(SLOW_FOR(10, WF_STEAL_TASK_NS)));
    do_tasks(90);
    wt_false(may_steal_after(SLOW_FOR(90, WF_STEAL_TASK_NS)));
    for (int i = 0; i < 10; i++) {
        wt_false(may_steal_after(WF_PACE_NS), "it has nothing");
    }
    wt_true(may_steal_after_puts(0, 20, WF_STEAL_TASK_NS / 10));
    do_tasks(20);
    wt_false(may_steal_after(WF_BELIEF_MAX_NS));
    wt_false(may_steal_after_puts(0, 20, WF_STEAL_TASK_NS / 10), "that was long ago");
}

Test(worker, of_short_nodes_nothing_is_believed_over_a_pause, .init = begin, .fini = end)
{
    see_owner(wf_ready_cheap);
    do_nodes(50);
    wt_true(may_steal_after(SLOW_FOR(50, WF_STEAL_CHEAP_NS)));
    do_nodes(50);
    wt_false(may_steal_after(SLOW_FOR(50, WF_STEAL_CHEAP_NS)), "it has nothing");
    for (int i = 0; i < 20; i++) {
        wf_ready_cheap(self, &works[i]);
    }
    wt_false(may_steal_after(WF_LOOK_NS));
}

/* A host that took the processor away, or pages that were new: one window tells nothing against
 * the one before. */
Test(worker, who_was_quick_is_slow_only_at_the_second_time, .init = begin, .fini = end)
{
    see_owner(wf_ready_new);
    do_tasks(20);
    wt_false(may_steal_after(WF_PACE_NS), "it is quick");
    for (int i = 0; i < 2; i++) {
        do_tasks(10);
        wt_eq(may_steal_after(SLOW_FOR(10, WF_STEAL_TASK_NS)), i == 1);
    }
}

static void see_slow_owner(void)
{
    see_owner(wf_ready_new);
    do_tasks(10);
    wt_true(may_steal_after(SLOW_FOR(10, WF_STEAL_TASK_NS)));
}

/* Else each steal would be a reason for the next. */
Test(worker, what_a_thief_makes_slow_is_not_believed, .init = begin, .fini = end)
{
    see_slow_owner();
    for (int64_t ns = 0; ns < WF_BELIEF_MIN_NS; ns += WF_PACE_NS) {
        wf_light_note_steal(other, self, looked_ns);
        do_tasks(2);
        (void)may_steal_after(WF_PACE_NS);
    }
    wt_false(may_steal_after(0), "it was believed for a while");
    do_tasks(2);
    wt_true(may_steal_after(WF_PACE_NS), "left alone it is slow");
}

Test(worker, who_is_slow_again_is_believed_to_be_so_for_longer, .init = begin, .fini = end)
{
    see_slow_owner();
    do_tasks(2);
    wt_true(may_steal_after(WF_PACE_NS));
    wf_light_note_steal(other, self, looked_ns);
    do_tasks(2);
    wt_true(may_steal_after(2 * WF_BELIEF_MIN_NS - 1));
    wf_light_note_steal(other, self, looked_ns);
    do_tasks(2);
    wt_false(may_steal_after(WF_PACE_NS));
}

static bool stays_after_a_steal(void (*put)(struct wf_worker *worker, struct wf_work *work))
{
    put(self, &works[0]);
    looks_slow(self);
    wt_eq(number(steal(other, clock_ns)), 0);
    return other->flows;
}

Test(worker, who_took_a_task_stays_for_more_and_who_took_a_node_does_not, .init = begin_ticking,
     .fini = end_ticking)
{
    wt_true(stays_after_a_steal(wf_ready_new));
    wt_false(stays_after_a_steal(wf_ready_cheap));
    wf_store_relaxed(&self->seen.each_ns, WF_STEAL_TASK_NS);
    wt_true(stays_after_a_steal(wf_ready_cheap), "they are long");
}

/* So many general works were put and taken within 4 us, and `bottom` has moved by so much: with
 * them, and with sections that became public or were joined, which nobody counts. */
static int64_t took_at_most(uint32_t moved, int32_t bottom, int64_t *low_ns)
{
    struct wf_sighting seen = {0};
    struct wf_pace pace = {.deque = moved, .bottom = (uint32_t)bottom};
    int64_t high_ns;
    wf_light_measure(&seen, pace, 4000, low_ns, &high_ns);
    return high_ns;
}

Test(worker, sections_that_come_and_go_are_not_taken_for_quick_works)
{
    int64_t low_ns;
    wt_eq(took_at_most(0, 0, &low_ns), INT64_MAX);
    wt_eq(low_ns, 4000);
    wt_eq(took_at_most(0, 3, &low_ns), INT64_MAX, "three became public");
    wt_eq(low_ns, 4000);
    wt_eq(took_at_most(0, -3, &low_ns), INT64_MAX, "three were joined");
    wt_eq(low_ns, 4000);
    wt_eq(took_at_most(8, 0, &low_ns), 1000);
    wt_eq(low_ns, 800);
    wt_eq(took_at_most(8, -20, &low_ns), 500, "at most eight were taken");
}

/* The owner has run all but `count` works of a scope, and is slow. May a thief take the oldest? */
static bool may_steal_of_last(int count)
{
    see_owner(wf_ready_new);
    do_tasks(10);
    wt_true(may_steal_after(SLOW_FOR(10, WF_STEAL_TASK_NS)));
    do_tasks(90 - count);
    looked_ns += SLOW_FOR(90 - count, WF_STEAL_TASK_NS);
    return may_steal_after(0);
}

Test(worker, the_last_few_of_a_scope_are_left_to_its_owner, .init = begin, .fini = end)
{
    wt_true(may_steal_of_last(2 + WF_STEAL_WAIT_NS / WF_STEAL_TASK_NS));
    do_tasks(1);
    wt_false(may_steal_after(WF_STEAL_TASK_NS));
}

Test(worker, a_thief_that_is_at_it_takes_more_of_them, .init = begin, .fini = end)
{
    wt_false(may_steal_of_last(1 + WF_STEAL_ON_NS / WF_STEAL_TASK_NS));
    other->flows = true;
    wt_true(may_steal_after(0));
    do_tasks(1);
    wt_false(may_steal_after(WF_STEAL_TASK_NS));
}

/* Else those that are longer than a pace is taken over seem to be as long as that. */
Test(worker, how_long_a_long_one_took_is_known_at_its_end, .init = begin, .fini = end)
{
    see_owner(wf_ready_new);
    (void)may_steal_after(WF_PACE_NS);
    wt_eq(wf_load_relaxed(&self->seen.each_ns), 0);
    do_tasks(1);
    (void)may_steal_after(2 * WF_LOOK_NS);
    wt_eq(wf_load_relaxed(&self->seen.each_ns), WF_PACE_NS / 2 + WF_LOOK_NS, "and of another");
    (void)may_steal_after(WF_SIGHT_NS);
    wt_eq(wf_load_relaxed(&self->seen.each_ns), WF_SIGHT_NS, "it goes on");
}

Test(worker, the_only_one_is_taken_if_its_owner_stands_still, .init = begin, .fini = end)
{
    other->flows = true;
    wt_false(may_steal_of_last(1));
    wt_false(may_steal_after(WF_PACE_NS - 1));
    wt_true(may_steal_after(1));
    other->flows = false;
    do_tasks(1);
    wf_ready_new(self, &works[0]);
    wt_false(may_steal_after(WF_PACE_NS), "put just now, perhaps");
}

/* Sections that are published do not count as works that are put. */
Test(worker, what_an_owner_has_published_is_taken_at_once, .init = begin, .fini = end)
{
    wt_false(may_steal_of_last(0));
    wt_false(may_steal_after(WF_PACE_NS));
    wf_deque_set_bottom_(&self->deque, self->deque.split + 1);
    wt_true(may_steal_after(0));
}

/* The same for its FIFO: it has `count` works ready, and takes and puts one in turn, `turns` of
 * each before a thief looks again after `ns`. */
static bool may_steal_ready_after(int turns, int64_t ns)
{
    for (int i = 0; i < turns; i++) {
        wf_ready(self, wf_pop_ready(self));
    }
    looked_ns += ns;
    return wf_light_may_steal_ready(other, self, looked_ns);
}

Test(worker, fibers_that_pass_work_to_each_other_are_left_alone, .init = begin, .fini = end)
{
    make_ready(0, 2);
    looked_ns = WF_SIGHT_NS;
    wt_false(may_steal_ready_after(0, 0));
    for (int i = 0; i < 5; i++) {
        wt_false(may_steal_ready_after(2, WF_PACE_NS));
        wt_true(other->saw_light);
    }
}

Test(worker, a_long_turn_of_short_calls_is_no_slow_work, .init = begin, .fini = end)
{
    make_ready(0, 2);
    looked_ns = WF_SIGHT_NS;
    wt_false(may_steal_ready_after(0, 0));
    wt_false(may_steal_ready_after(0, WF_STEAL_READY_NS - 1));
    wt_true(may_steal_ready_after(0, 1));
}

Test(worker, an_owner_slow_at_what_it_resumes_is_stolen_from, .init = begin, .fini = end)
{
    make_ready(0, 100);
    looked_ns = WF_SIGHT_NS;
    wt_false(may_steal_ready_after(0, 0));
    wt_false(may_steal_ready_after(1, SLOW_FOR(1, WF_STEAL_READY_NS)), "was quick to make them");
    wt_true(may_steal_ready_after(1, SLOW_FOR(1, WF_STEAL_READY_NS)));
    wt_eq(number(steal(other, looked_ns)), 2);
    wt_eq(wf_runq_len(&other->runq), 49u); /* half of them, less the one to run */
}

Test(worker, an_owner_that_has_slept_just_now_keeps_what_he_resumes, .init = begin, .fini = end)
{
    make_ready(0, 100);
    looked_ns = WF_SIGHT_NS;
    wf_store_relaxed(&self->up_ns, looked_ns);
    wt_false(may_steal_ready_after(0, 0));
    wt_false(may_steal_ready_after(1, SLOW_FOR(1, WF_STEAL_READY_NS)));
    wt_true(other->saw_light);
    looked_ns = WF_SIGHT_NS + WF_RESTED_NS;
    wt_false(may_steal_ready_after(1, 0));
    wt_true(may_steal_ready_after(1, SLOW_FOR(1, WF_STEAL_READY_NS)), "it was long ago");
}

Test(worker, who_has_slept_says_when, .init = begin_ticking, .fini = end_ticking)
{
    int64_t began_ns = clock_ns;
    (void)nap(self);
    wt_ge(wf_load_relaxed(&self->up_ns), began_ns);
    wt_le(wf_load_relaxed(&self->up_ns), clock_ns);
}

Test(worker, an_owner_that_has_slept_just_now_is_helped_with_what_is_long, .init = begin,
     .fini = end)
{
    make_ready(0, 100);
    looked_ns = WF_SIGHT_NS;
    wf_store_relaxed(&self->up_ns, looked_ns);
    wt_false(may_steal_ready_after(0, 0));
    wt_true(may_steal_ready_after(0, WF_STEAL_RESTED_NS));
}

/* Steals a new work of `self`, which takes `ns`, and suspends so often; and looks for more. */
static void steal_one(int suspends, int64_t ns)
{
    wf_ready_new(self, &works[300]);
    looks_slow(self);
    wt_eq(number(steal(other, clock_ns)), 300);
    wf_count_add(&other->counters.suspends, (uint64_t)suspends);
    clock_ns += ns;
    (void)search(other);
}

static bool is_said_to_wait(struct wf_worker *worker)
{
    return wf_load_relaxed(&worker->waits_ns) > 0;
}

Test(worker, a_stolen_task_that_waits_at_once_says_so_of_its_owner, .init = begin_ticking,
     .fini = end_ticking)
{
    steal_one(0, 1000);
    wt_false(is_said_to_wait(self), "it ended");
    steal_one(2, WF_LONG_NS);
    wt_false(is_said_to_wait(self), "it was long");
    steal_one(1, 1000);
    wt_true(is_said_to_wait(self));
    wt_false(is_said_to_wait(other));
}

Test(worker, a_stolen_fiber_that_waits_says_nothing_of_new_tasks, .init = begin_ticking,
     .fini = end_ticking)
{
    make_ready(0, 1);
    looks_slow(self);
    wt_eq(number(steal(other, clock_ns)), 0);
    wf_count(&other->counters.suspends);
    (void)search(other);
    wt_false(is_said_to_wait(self));
}

Test(worker, tasks_that_wait_at_once_are_left_alone_like_what_is_ready, .init = begin, .fini = end)
{
    wf_store_relaxed(&self->waits_ns, WF_SIGHT_NS);
    see_owner(wf_ready_new);
    do_tasks(1);
    wt_false(may_steal_after(SLOW_FOR(1, WF_STEAL_READY_NS) - 1));
    wt_true(other->saw_light);
    do_tasks(1);
    wt_true(may_steal_after(SLOW_FOR(1, WF_STEAL_READY_NS)));
}

Test(worker, what_was_seen_of_tasks_that_wait_is_forgotten, .init = begin, .fini = end)
{
    wf_store_relaxed(&self->waits_ns, WF_SIGHT_NS - WF_WAITS_NS);
    see_owner(wf_ready_new);
    do_tasks(10);
    wt_true(may_steal_after(SLOW_FOR(10, WF_STEAL_TASK_NS)));
}

/* Between a pop and the start of what was popped. */
Test(worker, a_node_is_cheap_to_move_before_it_says_so, .init = begin, .fini = end)
{
    see_owner(wf_ready_cheap);
    do_nodes(49);
    do_tasks(1);
    wt_true(may_steal_after(SLOW_FOR(50, WF_STEAL_CHEAP_NS)));
}

Test(worker, nodes_that_no_queue_has_seen_count, .init = begin, .fini = end)
{
    see_owner(wf_ready_cheap);
    wf_deque_note_cheap(&self->deque, 50);
    wt_false(may_steal_after(SLOW_FOR(50, WF_STEAL_CHEAP_NS) - 1));
    wf_deque_note_cheap(&self->deque, 50);
    wt_true(may_steal_after(SLOW_FOR(50, WF_STEAL_CHEAP_NS)));
}

Test(worker, tasks_that_follow_nodes_are_tasks, .init = begin, .fini = end)
{
    see_owner(wf_ready_cheap);
    do_nodes(10);
    do_tasks(2);
    wt_false(may_steal_after(12 * WF_STEAL_TASK_NS - 1));
}

/* Else one slow path among works of 30 ns is taken for slow works. */
Test(worker, the_pace_is_taken_over_a_while, .init = begin, .fini = end)
{
    see_owner(wf_ready_cheap);
    do_nodes(1);
    wt_false(may_steal_after(WF_PACE_NS - 1));
    wt_true(may_steal_after(1));
}

Test(worker, the_oldest_is_taken_in_the_end_however_quick_the_owner, .init = begin, .fini = end)
{
    see_owner(wf_ready_new);
    int64_t old_ns = looked_ns + WF_STEAL_OLD_NS;
    while (looked_ns + 1000 < old_ns) {
        do_tasks(1);
        wf_ready_new(self, &works[200]);
        do_tasks(1);
        wf_ready_new(self, &works[201]);
        do_tasks(1);
        wf_ready_new(self, &works[202]);
        wt_false(may_steal_after(1000));
    }
    do_tasks(10); /* quick to the last */
    wt_true(may_steal_after(1000));
}

Test(worker, what_is_cheap_to_move_wakes_a_sleeper_as_any_work, .init = begin, .fini = end)
{
    sleeps(other);
    wf_ready_cheap(self, &works[0]);
    wt_eq(who_was_woken(), 1);
}
