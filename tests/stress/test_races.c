/* Races: a hundred thousand calls of weft_when over 2 to 8 tasks on 8 workers, under every policy,
 * whose tasks wait, await each other, spawn, fail and are cancelled as the dice say; with
 * continuations beside them and scopes whose tasks are taken one by one. Nothing may be lost, and
 * nothing may grow.
 *
 * The seed is printed; WT_SEED=n in the environment repeats it (the threads' timing is not repeated
 * with it). */
#include "tests/stress/dice.h"
#include "tests/support/wt.h"
#include <stdint.h>
#include <stdatomic.h>
#include <weft/debug.h>
#include <weft/weft.h>

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define RACES 5000
#else
#define RACES 100000
#endif
#define RUNNERS_MAX 8  /* in one race */
#define LANES       16 /* races that go on at once */
#define FAILURE     (-EPROTO)

struct lane {
    weft_task task;
    uint64_t dice;
    long races;
    weft_sem sem; /* runners wait for it and release it */
    atomic_long begun, ended, continued;
    long promised, followed;
};

struct runner {
    weft_task task;
    struct lane *lane;
    struct runner *earlier; /* one that it awaits, spawned before it; or NULL */
    uint64_t dice;
    bool ended; /* written by its end alone: a race if it is read too early */
};

static int nothing(void *arg)
{
    (void)arg;
    return 0;
}

/* What a runner does before its end. */
static int act(struct runner *me)
{
    weft_task child;
    switch (below(&me->dice, 8)) {
    case 0:
        return weft_yield();
    case 1:
        return weft_sleep(WEFT_NS(below(&me->dice, 50000)));
    case 2:
        return weft_sleep(WEFT_SEC(3600)) == -ECANCELED ? -ECANCELED : 0;
    case 3: {
        int rc = weft_sem_acquire(&me->lane->sem);
        return rc < 0 ? rc : weft_sem_release(&me->lane->sem, 1);
    }
    case 4:
        weft_spawn(&child, nothing, NULL);
        return weft_await(&child);
    case 5:
        return me->earlier != NULL ? weft_await(&me->earlier->task) : 0;
    case 6:
        return FAILURE;
    default:
        return 0;
    }
}

static int run(void *arg)
{
    struct runner *me = arg;
    atomic_fetch_add(&me->lane->begun, 1);
    int rc = act(me);
    me->ended = true;
    atomic_fetch_add(&me->lane->ended, 1);
    return rc < 0 ? rc : 1;
}

static int count_continued(void *arg)
{
    atomic_fetch_add(&((struct lane *)arg)->continued, 1);
    return 0;
}

static void check_result(struct runner *runners, int n, int policy, int which, int rc)
{
    wt_ge(which, -1);
    wt_lt(which, n);
    wt_true(rc == 0 || rc == 1 || rc == FAILURE || rc == -ECANCELED, "%d", rc);
    if (which >= 0) {
        wt_true(runners[which].ended);
        wt_eq(weft_status(&runners[which].task), rc);
    } else {
        wt_eq(rc, 0);
        wt_true(policy == WEFT_ALL || policy == WEFT_FAILFAST);
    }
    if (policy == WEFT_FIRST_OK && rc < 0) {
        for (int i = 0; i < n; i++) {
            wt_lt(weft_status(&runners[i].task), 0);
        }
    }
}

/* Under ALL nobody would end those that sleep for ever: a deadline around them does. */
static int race(struct lane *lane)
{
    struct runner runners[RUNNERS_MAX];
    weft_task *tasks[RUNNERS_MAX];
    weft_cont cont;
    int n = 2 + (int)below(&lane->dice, RUNNERS_MAX - 1);
    static const int policies[] = {WEFT_FAILFAST, WEFT_ALL, WEFT_FIRST, WEFT_FIRST_OK};
    int policy = policies[below(&lane->dice, 4)];
    bool keep = policy >= WEFT_FIRST && below(&lane->dice, 2) == 0;
    int which = -2;
    WEFT_SCOPE(s, .timeout = WEFT_US(50 + below(&lane->dice, 300)), .on_error = WEFT_CONTINUE);
    for (int i = 0; i < n; i++) {
        tasks[i] = &runners[i].task;
        runners[i].lane = lane;
        runners[i].earlier = i > 0 && below(&lane->dice, 2) == 0 ? &runners[i - 1] : NULL;
        runners[i].dice = roll(&lane->dice);
        runners[i].ended = false;
        if (weft_spawn(tasks[i], run, &runners[i]) == 0) {
            lane->promised++;
        } else {
            runners[i].ended = true; /* the scope was cancelled before */
        }
    }
    if (weft_continue(&cont, tasks[0], count_continued, lane, WEFT_ON_DONE) == 0) {
        lane->followed++;
    }
    if (below(&lane->dice, 4) == 0) {
        (void)weft_yield();
    }
    int rc = weft_when(tasks, n, policy | (keep ? WEFT_KEEP_LOSERS : 0), &which);
    check_result(runners, n, policy, which, rc);
    rc = weft_when(tasks, n, WEFT_ALL, NULL); /* those that were kept, and once more the others */
    wt_true(rc <= 0, "%d", rc);
    for (int i = 0; i < n; i++) {
        wt_true(runners[i].ended);
    }
    rc = weft_scope_end(&s);
    wt_true(rc == 0 || rc == -ETIME, "%d", rc);
    wt_ne(weft_status(&cont.task), -EINPROGRESS);
    return 0;
}

WEFT_TASK(give_number, uint64_t)
{
    uint64_t dice = *arg;
    if (below(&dice, 3) == 0) {
        (void)weft_yield();
    }
    return (int)below(&dice, 100);
}

static void take_one_by_one(struct lane *lane)
{
    weft_done done;
    int started = 0;
    int taken = 0;
    WEFT_SCOPE(s, .each = 4);
    for (unsigned n = below(&lane->dice, 8); n > 0; n--) {
        started += weft_go(&s, give_number, &(uint64_t){roll(&lane->dice)}) == 0;
        if (below(&lane->dice, 2) == 0) {
            taken += weft_scope_next(&s, &done);
        }
    }
    unsigned leave = below(&lane->dice, 2);
    while (leave == 0 && weft_scope_next(&s, &done) > 0) { /* ends: all are taken */
        wt_lt(done.rc, 100);
        taken++;
    }
    wt_true(leave != 0 || taken == started);
    wt_eq(weft_scope_end(&s), 0);
}

static int run_lane(void *arg)
{
    struct lane *lane = arg;
    for (long i = 0; i < lane->races; i++) {
        (void)race(lane);
        if (i % 4 == 0) {
            take_one_by_one(lane);
        }
    }
    return 0;
}

static void run_lanes(struct lane *lanes, uint64_t *dice, long races)
{
    for (int i = 0; i < LANES; i++) {
        lanes[i].dice = roll(dice);
        lanes[i].races = races / LANES;
        weft_sem_init(&lanes[i].sem, 1, 0);
        weft_spawn(&lanes[i].task, run_lane, &lanes[i]);
    }
    for (int i = 0; i < LANES; i++) {
        wt_eq(weft_await(&lanes[i].task), 0);
        wt_eq(atomic_load(&lanes[i].begun), lanes[i].promised);
        wt_eq(atomic_load(&lanes[i].ended), lanes[i].promised);
        wt_eq(atomic_load(&lanes[i].continued), lanes[i].followed);
        wt_eq(weft_sem_count(&lanes[i].sem), 1);
        weft_sem_fini(&lanes[i].sem);
    }
}

static int run_races(void *arg)
{
    static struct lane lanes[LANES];
    uint64_t dice = *(uint64_t *)arg;
    weft_stats warm;
    weft_stats after;
    run_lanes(lanes, &dice, RACES / 4);
    weft_stats_get(weft_rt_current(), &warm);
    run_lanes(lanes, &dice, RACES);
    weft_stats_get(weft_rt_current(), &after);
    /* what leaked would have grown with the number of races: by thousands of stacks, and by
     * hundreds of chunks */
    wt_lt(after.stacks, warm.stacks + 300);
    wt_lt(after.slab_chunks, warm.slab_chunks + 60);
    wt_eq(after.ops_submitted, after.ops_completed);
    return 0;
}

Test(races, nothing_is_lost_and_nothing_leaks_in_a_hundred_thousand_races, .timeout = 300)
{
    uint64_t seed = first_seed();
    wt_eq(weft_run(run_races, &seed, .workers = 8), 0);
}
