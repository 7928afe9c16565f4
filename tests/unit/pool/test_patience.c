/* test_patience.c: when a worker waits for its driver awake (pool/patience.h): the rule alone; and
 * a pool of one worker whose clock and driver are the test's, so that nothing depends on how fast
 * the machine is. */
#include "pool/base/sys.h"
#include "pool/pool.h"
#include "tests/support/wt.h"

#include <semaphore.h>

#define LONG_NS  (WF_PATIENCE_OVER_NS + 1)
#define SHORT_NS INT64_C(30000)

static struct wf_patience patience;

static void begin(void)
{
    wf_patience_init(&patience, WF_PATIENCE_NS);
}

/* Times until there is patience, of idle times that are slept through and short. */
static int shorts_until_patient(void)
{
    int count = 0;
    for (; !wf_patience_has(&patience) && count < 10000; count++) {
        wf_patience_slept(&patience, SHORT_NS);
    }
    return count;
}

Test(patience, some_short_times_in_a_row_bring_it, .init = begin)
{
    wt_false(wf_patience_has(&patience));
    wt_eq(shorts_until_patient(), WF_DEBT_MIN);
    wf_patience_met(&patience);
    wt_true(wf_patience_has(&patience));
}

Test(patience, a_break_ends_it_at_once, .init = begin)
{
    for (int i = 0; i < 100; i++) {
        wf_patience_met(&patience);
    }
    wf_patience_missed(&patience);
    wt_true(wf_patience_has(&patience));
    wf_patience_slept(&patience, LONG_NS);
    wt_false(wf_patience_has(&patience));
    wt_eq(shorts_until_patient(), WF_DEBT_MIN);
}

Test(patience, long_times_never_bring_it, .init = begin)
{
    for (int i = 0; i < 100; i++) {
        wf_patience_slept(&patience,
                          i % 3 != 0 ? SHORT_NS : WF_PATIENCE_NS + WF_PATIENCE_LATE_NS + 1);
        wt_false(wf_patience_has(&patience));
    }
}

Test(patience, a_look_in_vain_now_and_then_does_not_end_it, .init = begin)
{
    shorts_until_patient();
    for (int i = 0; i < 1000; i++) {
        if (i % 3 == 2) {
            wf_patience_missed(&patience);
        } else {
            wf_patience_met(&patience);
        }
        wt_true(i < 10 || wf_patience_has(&patience));
    }
}

Test(patience, looks_that_are_always_in_vain_become_rare, .init = begin)
{
    int looks = 0;
    for (int i = 0; i < 10000; i++) { /* whoever is waited for comes as soon as we sleep */
        if (wf_patience_has(&patience)) {
            looks++;
            wf_patience_missed(&patience);
        }
        wf_patience_slept(&patience, SHORT_NS);
    }
    wt_gt(looks, 10);
    wt_lt(looks, 10000 / WF_DEBT_MAX + 10);
}

Test(patience, that_was_ruled_out_never_comes)
{
    wf_patience_init(&patience, 0);
    for (int i = 0; i < 100; i++) {
        wf_patience_slept(&patience, 1);
        wf_patience_met(&patience);
        wt_false(wf_patience_has(&patience));
    }
}

static void patient(void)
{
    begin();
    shorts_until_patient();
}

Test(patience, nobody_looks_while_it_serves_a_crowd, .init = patient)
{
    wf_patience_heard(&patience, WF_CROWD_FEW);
    wt_true(wf_patience_has(&patience));
    wf_patience_heard(&patience, WF_CROWD_FEW + 1);
    wt_false(wf_patience_has(&patience));
    wf_patience_heard(&patience, 0);
    wt_false(wf_patience_has(&patience), "one of a crowd was quick");
}

/* Idle times until there is patience again. */
static int idles_until_patient(void)
{
    int count = 0;
    for (; !wf_patience_has(&patience) && count < 10000; count++) {
        wf_patience_idle(&patience);
    }
    return count;
}

Test(patience, a_crowd_is_forgotten_after_some_idle_times, .init = patient)
{
    wf_patience_heard(&patience, 100);
    wt_eq(idles_until_patient(), 100 - WF_CROWD_FEW);
    wf_patience_heard(&patience, UINT32_MAX); /* who was silent for long, speaks */
    wt_eq(idles_until_patient(), WF_CROWD_MAX - WF_CROWD_FEW);
    for (int i = 0; i < 100; i++) {
        wf_patience_idle(&patience);
        wt_true(wf_patience_has(&patience));
    }
}

/* --- a worker --------------------------------------------------------------------------------- */

#define EVENTS  2000
#define CALL_NS INT64_C(100) /* what a look at the clock takes */
#define LATE_NS INT64_C(20000)

/* Its worker's, but for the semaphores. */
static struct {
    struct wf_driver base;
    struct wf_work work; /* what an event makes ready */
    int64_t clock_ns, next_ns, gap_ns;
    bool shy; /* events come only to who sleeps */
    int events, sleeps, looks;
    uint32_t others; /* ops begun while an event's was under way */
    int crowd_ends;  /* from this event on it is none */
    sem_t over, woken;
    struct wf_pool *pool;
} stage;

static int64_t tell_time(void)
{
    stage.looks++;
    return stage.clock_ns += CALL_NS;
}

static bool stage_is_due(struct wf_driver *driver, struct wf_worker *worker)
{
    (void)driver, (void)worker;
    return stage.next_ns <= stage.clock_ns;
}

static int stage_poll(struct wf_driver *driver, struct wf_worker *worker)
{
    if (!stage_is_due(driver, worker)) {
        return 0;
    }
    stage.next_ns = INT64_MAX;
    wf_count(&worker->counters.ops_completed);
    wf_patience_heard(&worker->patience, stage.events < stage.crowd_ends ? stage.others : 0);
    wf_ready(worker, &stage.work);
    return 1;
}

static void run_event(struct wf_fiber *self, struct wf_work *work)
{
    (void)self, (void)work;
    if (++stage.events < EVENTS) {
        stage.next_ns = stage.shy ? INT64_MAX : stage.clock_ns + stage.gap_ns;
    } else {
        (void)sem_post(&stage.over);
    }
}

static void stage_sleep(struct wf_driver *driver, struct wf_worker *worker, int64_t deadline_ns)
{
    (void)deadline_ns;
    if (stage.events == EVENTS) {
        (void)sem_wait(&stage.woken);
        return;
    }
    stage.sleeps++;
    if (stage.next_ns == INT64_MAX) {
        stage.next_ns = stage.clock_ns + stage.gap_ns;
    }
    stage.clock_ns = (stage.next_ns > stage.clock_ns ? stage.next_ns : stage.clock_ns) + LATE_NS;
    (void)stage_poll(driver, worker);
}

static void stage_wake(struct wf_driver *driver, int worker_index)
{
    (void)driver, (void)worker_index;
    (void)sem_post(&stage.woken);
}

static int stage_open(struct wf_driver *driver, int workers)
{
    (void)driver, (void)workers;
    return 0;
}

static void stage_close(struct wf_driver *driver)
{
    (void)driver;
}

static void stage_nothing(struct wf_driver *driver, struct wf_worker *worker)
{
    (void)driver, (void)worker;
}

static const struct wf_driver_ops stage_ops = {
    .name = "stage",
    .open = stage_open,
    .close = stage_close,
    .worker_begin = stage_nothing,
    .worker_end = stage_nothing,
    .is_due = stage_is_due,
    .poll = stage_poll,
    .sleep = stage_sleep,
    .wake = stage_wake,
};

/* Each event comes `gap_ns` after the one before was dealt with. */
static void play_with(int64_t patience_ns, int64_t gap_ns, bool shy)
{
    stage.events = stage.sleeps = stage.looks = 0;
    stage.clock_ns = 0;
    stage.base.ops = &stage_ops;
    stage.base.patience_ns = patience_ns;
    stage.work.run = run_event;
    stage.gap_ns = gap_ns;
    stage.next_ns = shy ? INT64_MAX : gap_ns;
    stage.shy = shy;
    wt_eq(sem_init(&stage.over, 0, 0), 0);
    wt_eq(sem_init(&stage.woken, 0, 0), 0);
    struct wf_sys saved = wf_sys;
    wf_sys.now_ns = tell_time;
    wt_eq(wf_pool_start(&stage.pool, 1, &stage.base, NULL), 0);
    while (sem_wait(&stage.over) != 0) { /* ends: interrupted by signals only */
    }
    wf_pool_stop(stage.pool);
    wf_pool_free(stage.pool);
    wf_sys = saved;
    wt_eq(stage.events, EVENTS);
}

static void play(int64_t gap_ns, bool shy)
{
    play_with(0, gap_ns, shy);
}

static void play_with_crowd(uint32_t others, int crowd_ends)
{
    stage.others = others;
    stage.crowd_ends = crowd_ends;
    play(10000, false);
    stage.others = 0;
}

/* A look that is given up takes so many calls of the clock. */
#define CALLS_PATIENT ((int)(WF_PATIENCE_NS / CALL_NS))

Test(worker, waits_awake_for_what_comes_soon)
{
    play(WF_PATIENCE_NS - 5000, false);
    wt_le(stage.sleeps, WF_DEBT_MIN + 1);
}

Test(worker, sleeps_at_once_when_nothing_comes_soon)
{
    play(20 * WF_PATIENCE_NS, false);
    wt_ge(stage.sleeps, EVENTS);
    wt_lt(stage.looks, EVENTS * CALLS_PATIENT * 2 / 3); /* the usual search is shorter */
}

Test(worker, does_not_keep_its_processor_from_who_is_waited_for)
{
    play(1000, true);
    wt_ge(stage.sleeps, EVENTS);
    wt_lt(stage.looks, EVENTS * CALLS_PATIENT * 2 / 3);
}

Test(worker, that_was_told_never_to_wait_awake_sleeps_each_time)
{
    play_with(-1, 5000, false);
    wt_ge(stage.sleeps, EVENTS - 1);
    wt_lt(stage.looks, EVENTS * 5000 / CALL_NS); /* it has not seen the next event come */
}

Test(worker, waits_as_long_as_it_was_told_and_no_longer)
{
    play_with(WF_PATIENCE_NS / 2, WF_PATIENCE_NS / 2 - 5000, false);
    wt_le(stage.sleeps, WF_DEBT_MIN + 1);
    play_with(WF_PATIENCE_NS / 2, WF_PATIENCE_NS + 30000, false);
    wt_ge(stage.sleeps, EVENTS);
    wt_lt(stage.looks, EVENTS * CALLS_PATIENT / 2);
}

Test(worker, sleeps_at_once_while_it_serves_a_crowd)
{
    play_with_crowd(WF_CROWD_FEW + 2, EVENTS);
    wt_ge(stage.sleeps, EVENTS - 1);
    wt_lt(stage.looks, EVENTS * 5000 / CALL_NS); /* it has not seen the next event come */
}

Test(worker, waits_awake_for_a_few_at_once)
{
    play_with_crowd(WF_CROWD_FEW, EVENTS);
    wt_le(stage.sleeps, WF_DEBT_MIN + 1);
}

Test(worker, waits_awake_again_when_the_crowd_has_gone)
{
    play_with_crowd(UINT32_MAX, EVENTS / 2);
    wt_ge(stage.sleeps, EVENTS / 2);
    wt_le(stage.sleeps, EVENTS / 2 + WF_CROWD_MAX + WF_DEBT_MIN);
}
