/* test_uring_rescue.c: what a rescuer takes from an owner's ring, and what it leaves: call by call,
 * the rescuer on a thread of its own, one after the other. */
#include "rig.h"
#include "io/uring_kick.h"
#include "io/uring_rescue.h"
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <string.h>
#include <unistd.h>

static struct wf_worker rescuer;

static void open_both(void)
{
    rig_open();
    memset(&rescuer, 0, sizeof rescuer);
    rescuer.pool = &rig.pool;
    rescuer.index = 1;
}

static void *take(void *arg)
{
    *(int *)arg = wf_uring_take_from(rig.uring, &rescuer);
    return NULL;
}

/* On another thread: the ops that were ended. */
static int rescue(void)
{
    int ended = -1;
    pthread_t thread;
    wt_eq(pthread_create(&thread, NULL, take, &ended), 0);
    wt_eq(pthread_join(thread, NULL), 0);
    return ended;
}

/* What is queued goes to the kernel, and what it holds back comes; nothing is taken. */
static void enter_behind_its_back(void)
{
    wt_true(wf_ring_enter(&rig.uring->ring, 0, INT64_MAX) >= 0);
}

#define rescued() wf_load_relaxed(&rescuer.counters.ops_rescued)

static const struct wf_op nop = {.kind = WF_OP_NOP};

Test(taking, ends_what_has_completed, .init = open_both, .fini = rig_close)
{
    struct rig_op ops[3] = {{.op = nop}, {.op = nop}, {.op = nop}};
    for (int i = 0; i < 3; i++) {
        rig_submit(&ops[i]);
    }
    wt_eq(rescue(), 0, "the kernel has none of them");
    enter_behind_its_back();
    wt_eq(rescue(), 3);
    for (int i = 0; i < 3; i++) {
        wt_eq(ops[i].done, 1);
        wt_eq(ops[i].op.res, 0);
    }
    wt_eq(rescued(), 3);
    wt_eq(wf_load_relaxed(&rescuer.counters.ops_completed), 3);
    wt_eq(rig_counter("completed"), 0);
    wt_eq(rescue(), 0);
    wt_eq(rig_poll(), 0);
}

Test(taking, gives_the_slots_back, .init = open_both, .fini = rig_close)
{
    rig.uring->slots.used_max = 1;
    for (int i = 0; i < 10; i++) {
        struct rig_op op = {.op = nop};
        rig_submit(&op);
        wt_eq(op.op.phase, WF_OP_PENDING);
        enter_behind_its_back();
        wt_eq(rescue(), 1);
        wt_eq(wf_slots_used(&rig.uring->slots), 1, "until the owner comes");
        wt_eq(rig_poll(), 0);
        wt_eq(wf_slots_used(&rig.uring->slots), 0);
    }
}

Test(taking, leaves_what_somebody_has_asked_to_cancel, .init = open_both, .fini = rig_close)
{
    struct rig_op op = {.op = nop}, other = {.op = nop};
    rig_submit(&op);
    rig_submit(&other);
    enter_behind_its_back();
    wf_io_cancel(&op.op); /* too late, which nobody knows yet */
    wt_eq(rescue(), 1);
    wt_eq(op.done, 0);
    wt_eq(other.done, 1);
    wt_eq(wf_load_relaxed(&rig.uring->left), 1);
    wt_true(rig_is_due());
    rig_hear();
    rig_poll();
    wt_eq(op.done, 1);
    wt_eq(op.op.res, 0);
    wt_eq(wf_load_relaxed(&rig.uring->left), 0);
    rig_poll(); /* the answer to the cancellation */
}

Test(taking, leaves_the_rings_own, .init = open_both, .fini = rig_close)
{
    rig_sleep(1); /* arms the wake */
    rig_wake();
    enter_behind_its_back();
    wt_eq(rescue(), 0);
    wt_eq(wf_load_relaxed(&rig.uring->left), 1);
    rig_sleep(RIG_FOREVER_NS); /* returns: it was woken */
    wt_eq(wf_load_relaxed(&rig.uring->left), 0);
}

/* With as much as may be left the rescuer stops, and the owner finds all in order. */
Test(taking, stops_when_too_much_is_left, .init = open_both, .fini = rig_close)
{
    enum { CANCELLED = WF_LEFT_MAX + 5 };
    static struct rig_op ops[CANCELLED], last;
    for (int i = 0; i < CANCELLED; i++) {
        ops[i] = (struct rig_op){.op = nop};
        rig_submit(&ops[i]);
    }
    last = (struct rig_op){.op = nop};
    rig_submit(&last);
    enter_behind_its_back();
    for (int i = 0; i < CANCELLED; i++) {
        wf_io_cancel(&ops[i].op);
    }
    wt_eq(rescue(), 0);
    wt_eq(rescue(), 0, "and stays so");
    wt_eq(wf_load_relaxed(&rig.uring->left), WF_LEFT_MAX);
    while (rig_hear() + rig_poll() > 0) { /* ends: nothing is submitted */
    }
    for (int i = 0; i < CANCELLED; i++) {
        wt_eq(ops[i].done, 1);
    }
    wt_eq(last.done, 1);
}

/* An op that was ended elsewhere may be submitted again at once, there or here. */
Test(taking, lets_an_op_be_used_again, .init = open_both, .fini = rig_close)
{
    struct rig_op op = {.op = nop};
    for (int i = 0; i < 5; i++) {
        rig_submit(&op);
        enter_behind_its_back();
        wt_eq(rescue(), 1);
        wt_eq(op.done, 1);
        wf_io_cancel(&op.op); /* it is over: no effect */
        rig_submit(&op);
        wt_eq(rig_await(&op), 0);
    }
}

Test(holding, the_owner_does_not_wait_for_a_rescuer, .init = open_both, .fini = rig_close)
{
    struct rig_op op = {.op = nop};
    rig_submit(&op);
    enter_behind_its_back();
    wf_store_relaxed(&rig.uring->holder, WF_HELD_BY_RESCUER);
    wt_eq(rig_poll(), 0);
    rig_sleep(INT64_MAX);
    wt_eq(op.done, 0);
    wt_eq(rescue(), 0, "nor does another one");
    wf_store_relaxed(&rig.uring->holder, WF_HELD_BY_NOBODY);
    wt_eq(rig_poll(), 1);
    wt_eq(op.done, 1);
}

Test(holding, a_rescuer_keeps_away_while_the_owner_is_in_the_driver, .init = open_both,
     .fini = rig_close)
{
    struct rig_op op = {.op = nop};
    rig_submit(&op);
    enter_behind_its_back();
    wf_store_relaxed(&rig.uring->holder, WF_HELD_BY_OWNER);
    wt_eq(rescue(), 0);
    wf_store_relaxed(&rig.uring->holder, WF_HELD_BY_NOBODY);
    wt_eq(rescue(), 1);
}

static int naps;

static void count_nap(int64_t ns)
{
    wt_gt(ns, 0);
    naps++;
}

/* It may be the rescuer's processor that it burns. */
Test(holding, an_owner_who_is_kept_out_for_long_gives_way, .init = open_both, .fini = rig_close)
{
    struct rig_op op = {.op = nop};
    rig_submit(&op);
    enter_behind_its_back();
    wt_true(rig_is_due());
    struct wf_sys saved = wf_sys;
    wf_sys.nap = count_nap;
    for (int round = 1; round <= 2; round++) {
        wf_store_relaxed(&rig.uring->holder, WF_HELD_BY_RESCUER);
        wt_false(rig_is_due(), "nothing that it could get");
        rig_sleep(INT64_MAX);
        wt_eq(naps, round - 1, "a rescuer is soon through, as a rule");
        for (int i = 0; i < 10 && naps < round; i++) {
            rig_sleep(INT64_MAX);
        }
        wt_eq(naps, round);
        wf_store_relaxed(&rig.uring->holder, WF_HELD_BY_NOBODY);
        rig_sleep(1);
    }
    wf_sys = saved;
    wt_eq(op.done, 1);
    wt_eq(naps, 2);
}

/* How soon the lookout is to look again. */
static int64_t look(void)
{
    return wf_uring_rescue(rig.driver, &rescuer);
}

/* Else two lookouts, each of which sees the other's sleeps, would never come to an end. */
Test(looking, takes_one_that_only_sleeps_for_idle, .init = open_both, .fini = rig_close)
{
    wt_eq(look(), INT64_MAX);
    rig_sleep(1);
    wt_eq(look(), INT64_MAX);
    wf_count(&rig.worker.counters.runs);
    rig_sleep(1);
    wt_lt(look(), INT64_MAX, "it has run something meanwhile");
    wt_eq(look(), INT64_MAX);
}

#define OWNERS 2

static int64_t later_ns;

static int64_t clock_later(void)
{
    return later_ns;
}

/* Two workers, whose thread is the test's, are stuck; a third looks after them. */
Test(looking, goes_for_one_stuck_owner_at_a_time_and_for_the_other_next)
{
    static struct wf_worker workers[OWNERS + 1];
    static struct rig_op ops[OWNERS];
    struct wf_driver *driver = wf_uring_driver_new();
    wt_eq(driver->ops->open(driver, OWNERS + 1), 0);
    wt_eq(wf_park_init(&rig.pool.park, OWNERS + 1), 0);
    rig.pool.workers = workers;
    rig.pool.worker_count = OWNERS + 1;
    for (int i = 0; i <= OWNERS; i++) {
        workers[i].pool = &rig.pool;
        workers[i].driver = driver;
        workers[i].index = (uint32_t)i;
    }
    wt_eq(wf_kick_claim(), 0);
    for (int i = 0; i < OWNERS; i++) {
        driver->ops->worker_begin(driver, &workers[i]);
        struct wf_uring *u = workers[i].driver_state;
        wf_kick_begin(u);
        ops[i].op = (struct wf_op){.kind = WF_OP_NOP, .done = rig_count_done, .waiter = &ops[i]};
        wf_io_submit(&workers[i], &ops[i].op);
        wt_true(wf_ring_enter(&u->ring, 0, INT64_MAX) >= 0);
    }
    struct wf_sys saved = wf_sys;
    wf_sys.now_ns = clock_later;
    for (int look = 0; look <= OWNERS; look++) {
        later_ns += INT64_C(10000000);
        int64_t again_ns = wf_uring_rescue(driver, &workers[OWNERS]);
        wt_eq(again_ns == 0, look > 0, "at first nobody knows that they are stuck");
        wt_eq(ops[0].done + ops[1].done, look);
    }
    wf_sys = saved;
    for (int i = 0; i < OWNERS; i++) {
        wf_kick_end(workers[i].driver_state);
        driver->ops->worker_end(driver, &workers[i]);
    }
    wf_kick_drop();
    driver->ops->close(driver);
    wf_io_driver_free(driver);
}

static int64_t clock_runs(void)
{
    return later_ns += 1000;
}

/* The kicks in vain between which it waits longer and longer are those of an owner without a
 * processor. */
Test(looking, kicks_again_soon_once_a_kick_has_come_through_late)
{
    open_both();
    wt_eq(wf_kick_claim(), 0);
    wf_kick_begin(rig.uring);
    struct wf_sys saved = wf_sys;
    wf_sys.now_ns = clock_runs;
    int ends[2];
    wt_eq(pipe(ends), 0);
    char byte;
    struct rig_op op = {.op = rig_read(ends[0], &byte, 1)};
    rig_submit(&op);
    later_ns = INT64_C(10000000);
    wt_gt(look(), 0, "at first it does not know that it is stuck");
    int64_t soon_ns = rig.uring->kick_gap_ns;
    later_ns += INT64_C(10000000);
    wt_gt(look(), 0, "the kick begins the read, and nothing comes of it");
    wt_gt(rig.uring->kick_gap_ns, soon_ns);
    wt_eq(write(ends[1], "x", 1), 1);
    enter_behind_its_back(); /* as a late kick does */
    wt_eq(look(), 0);
    wt_eq(op.done, 1);
    wt_eq(rig.uring->kick_gap_ns, soon_ns);
    wf_sys = saved;
    wf_kick_end(rig.uring);
    wf_kick_drop();
    rig_close();
    close(ends[0]);
    close(ends[1]);
}

/* --- kicks ------------------------------------------------------------------------------------ */

static void open_kicked(void)
{
    open_both();
    wt_eq(wf_kick_claim(), 0);
    wf_kick_begin(rig.uring);
}

static void close_kicked(void)
{
    wf_kick_end(rig.uring);
    wf_kick_drop();
    rig_close();
}

static void *send_kick(void *arg)
{
    *(int *)arg = wf_kick_send(rig.uring);
    return NULL;
}

/* From another thread. Delivered to this one when it has come back from the join, at the latest. */
static int kick(void)
{
    int rc = 1;
    pthread_t thread;
    wt_eq(pthread_create(&thread, NULL, send_kick, &rc), 0);
    wt_eq(pthread_join(thread, NULL), 0);
    return rc;
}

Test(kick, begins_what_is_queued_and_brings_what_has_completed, .init = open_kicked,
     .fini = close_kicked)
{
    struct rig_op op = {.op = nop};
    rig_submit(&op);
    wt_eq(rig_counter("enters"), 0);
    errno = 0;
    wt_eq(kick(), 0);
    wt_true(wf_ring_has(&rig.uring->ring));
    wt_false(wf_ring_has_entries(&rig.uring->ring));
    wt_eq(op.done, 0, "a handler ends nothing");
    wt_eq(rescue(), 1);
    wt_eq(op.done, 1);
    /* the owner's own count was too large, and does no harm */
    struct rig_op next = {.op = nop};
    rig_submit(&next);
    wt_eq(rig_await(&next), 0);
}

Test(kick, ends_a_held_back_read, .init = open_kicked, .fini = close_kicked)
{
    int fds[2];
    char byte;
    wt_eq(pipe(fds), 0);
    struct rig_op op = {.op = rig_read(fds[0], &byte, 1)};
    rig_submit(&op);
    wt_eq(rig_poll(), 0);
    wt_eq(write(fds[1], "x", 1), 1);
    wt_eq(rescue(), 0, "the kernel holds it back");
    wt_true(wf_ring_is_pressed(&rig.uring->ring));
    wt_eq(kick(), 0);
    wt_eq(rescue(), 1);
    wt_eq(op.op.res, 1);
    close(fds[0]);
    close(fds[1]);
}

Test(kick, does_nothing_while_the_owner_is_in_the_driver, .init = open_kicked, .fini = close_kicked)
{
    struct rig_op op = {.op = nop};
    rig_submit(&op);
    wf_store_relaxed(&rig.uring->holder, WF_HELD_BY_OWNER);
    wt_eq(kick(), 0);
    wt_false(wf_ring_has(&rig.uring->ring));
    wf_store_relaxed(&rig.uring->holder, WF_HELD_BY_NOBODY);
    wt_eq(rig_await(&op), 0);
}

/* The completions must have room for what the owner's next enter brings. */
Test(kick, does_not_fill_the_queue, .init = open_kicked, .fini = close_kicked)
{
    enum { MANY = 2000 };
    static struct rig_op ops[MANY];
    const struct wf_ring *ring = &rig.uring->ring;
    int submitted = 0;
    for (uint32_t before = UINT32_MAX;
         submitted < MANY;) { /* ends: kicks have no effect any more */
        uint32_t there = wf_load_relaxed(&ring->completion_tail->value);
        if (there == before) {
            break;
        }
        before = there;
        for (int i = 0; i < 32; i++) {
            ops[submitted] = (struct rig_op){.op = nop};
            rig_submit(&ops[submitted++]);
        }
        wt_eq(kick(), 0);
    }
    wt_lt(submitted, MANY);
    uint32_t waiting = wf_load_relaxed(&ring->completion_tail->value) -
                       wf_load_relaxed(&ring->completion_head->value);
    wt_true(waiting + ring->entries_max + WF_DEFERRED_MAX <= ring->completions_max, "%u", waiting);
    for (int i = 0; i < submitted; i++) {
        wt_eq(rig_await(&ops[i]), 0);
    }
}

Test(kick, does_not_reach_a_thread_that_has_ended, .init = open_kicked, .fini = close_kicked)
{
    wf_kick_end(rig.uring);
    wt_eq(kick(), -ESRCH);
    wf_kick_begin(rig.uring);
}

static void foreign_handler(int number)
{
    (void)number;
}

Test(kick, is_over_when_the_program_takes_the_signal, .init = open_kicked, .fini = close_kicked)
{
    struct sigaction ours;
    wt_eq(sigaction(SIGURG, NULL, &ours), 0);
    wt_true(signal(SIGURG, foreign_handler) != SIG_ERR);
    wt_eq(kick(), -EBUSY);
    wt_eq(sigaction(SIGURG, &ours, NULL), 0);
    wt_eq(kick(), 0);
}

Test(claim, is_refused_while_the_program_handles_the_signal)
{
    wt_true(signal(SIGURG, foreign_handler) != SIG_ERR);
    wt_eq(wf_kick_claim(), -EBUSY);
    wt_true(signal(SIGURG, SIG_IGN) == foreign_handler);
    wt_eq(wf_kick_claim(), 0);
    wt_eq(wf_kick_claim(), 0, "by a second driver");
    wf_kick_drop();
    wf_kick_drop();
    wt_true(signal(SIGURG, SIG_DFL) == SIG_IGN, "put back");
}
