/* A storm: many tasks that do random things with everything that weft has, while foreign threads
 * call, post, cancel and release; and accounts that must balance at the end.
 *
 * The seed is printed; WT_SEED=n in the environment repeats it (the threads' timing is not repeated
 * with it). Every wait has a deadline, but for joins, which only wait for what is below them: so a
 * hang is weft's. */
#include "tests/stress/dice.h"
#include "tests/support/wt.h"
#include <fcntl.h>
#include <stdint.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <unistd.h>
#include <weft/debug.h>
#include <weft/fork.h>
#include <weft/weft.h>

#define SEMS      3
#define CHANS     3
#define SCOPES    64                  /* that the foreign canceller may know at once */
#define DEPTH_MAX 5                   /* of tasks below tasks */
#define ENERGY    3000                /* tasks of a round */
#define ROUND_NS  INT64_C(1300000000) /* rounds of one number of workers go on for so long */
#define FAILURE   (-EPROTO)

static const uint32_t permits_of[SEMS] = {1, 2, 7};
static const size_t capacity_of[CHANS] = {1, 3, 50};

struct world {
    weft_sem sems[SEMS];
    atomic_int inside[SEMS];
    weft_chan *chans[CHANS];
    atomic_long sent, sent_sum, received, received_sum;
    atomic_long item;
    atomic_long energy;
    atomic_long begun, ended, promised; /* bodies of tasks */
    int quiet_pipe[2];                  /* nobody writes */

    pthread_mutex_t lock; /* of scopes: those that may be cancelled from outside */
    weft_scope *scopes[SCOPES];
    atomic_long cancelled_from_outside;
    atomic_int over;
    weft_rt *rt;
};

struct actor {
    struct world *world;
    uint64_t dice;
    int depth;
};

static weft_time patience(uint64_t *dice)
{
    return WEFT_NS(below(dice, 4) == 0 ? 0 : below(dice, 200000));
}

/* -ECANCELED is only ever said where it is so, and it stays so. */
static int checked(int rc)
{
    if (rc == -ECANCELED) {
        wt_eq(weft_check(), -ECANCELED);
    }
    return rc;
}

/* --- what a task may do ----------------------------------------------------------------------- */

static int act(struct actor *me);

static int body(void *arg)
{
    struct actor me = *(struct actor *)arg;
    struct world *world = me.world;
    atomic_fetch_add(&world->begun, 1);
    int rc = act(&me);
    atomic_fetch_add(&world->ended, 1);
    return rc;
}

WEFT_TASK(pooled_body, struct actor)
{
    return body(arg);
}

static bool may_start(struct actor *me)
{
    return me->depth < DEPTH_MAX && atomic_fetch_sub(&me->world->energy, 1) > 0;
}

static struct actor child_of(struct actor *me)
{
    return (struct actor){me->world, roll(&me->dice), me->depth + 1};
}

static int hold_a_permit(struct actor *me)
{
    unsigned i = below(&me->dice, SEMS);
    weft_sem *sem = &me->world->sems[i];
    int rc = below(&me->dice, 8) == 0
                 ? weft_sem_try(sem)
                 : checked(weft_within(patience(&me->dice), weft_sem_acquire(sem)));
    if (rc < 0) {
        wt_true(rc == -ETIME || rc == -ECANCELED || rc == -EAGAIN, "%d", rc);
        return rc == -ECANCELED ? rc : 0;
    }
    wt_le(atomic_fetch_add(&me->world->inside[i], 1) + 1, permits_of[i]);
    if (below(&me->dice, 2) == 0) {
        (void)weft_yield();
    }
    atomic_fetch_sub(&me->world->inside[i], 1);
    wt_eq(weft_sem_release(sem, 1), 0);
    return 0;
}

static int send_an_item(struct actor *me)
{
    struct world *world = me->world;
    weft_chan *chan = world->chans[below(&me->dice, CHANS)];
    long item = atomic_fetch_add(&world->item, 1);
    int rc = below(&me->dice, 8) == 0
                 ? weft_chan_try_send(chan, &item)
                 : checked(weft_within(patience(&me->dice), weft_chan_send(chan, &item)));
    if (rc == 0) {
        atomic_fetch_add(&world->sent, 1);
        atomic_fetch_add(&world->sent_sum, item);
    } else {
        wt_true(rc == -ETIME || rc == -ECANCELED || rc == -EAGAIN, "%d", rc);
    }
    return rc == -ECANCELED ? rc : 0;
}

static void note_received(struct world *world, long item)
{
    atomic_fetch_add(&world->received, 1);
    atomic_fetch_add(&world->received_sum, item);
}

static int receive_an_item(struct actor *me)
{
    weft_chan *chan = me->world->chans[below(&me->dice, CHANS)];
    long item = -1;
    int rc = below(&me->dice, 8) == 0
                 ? weft_chan_try_recv(chan, &item)
                 : checked(weft_within(patience(&me->dice), weft_chan_recv(chan, &item)));
    if (rc == 1) {
        note_received(me->world, item);
    } else {
        wt_true(rc == -ETIME || rc == -ECANCELED || rc == -EAGAIN, "%d", rc);
    }
    return rc == -ECANCELED ? rc : 0;
}

static int wait_for_the_pipe(struct actor *me)
{
    char byte;
    int fd = me->world->quiet_pipe[0];
    int rc = below(&me->dice, 2) == 0
                 ? (int)checked((int)weft_within(patience(&me->dice), weft_read(fd, &byte, 1)))
                 : checked(weft_within(patience(&me->dice), weft_wait_fd(fd, POLLIN)));
    wt_true(rc == -ETIME || rc == -ECANCELED, "%d", rc);
    return rc == -ECANCELED ? rc : 0;
}

static int spawn_some(struct actor *me)
{
    weft_task tasks[4];
    struct actor actors[4];
    int count = 0;
    int rc = 0;
    while (count < 1 + (int)below(&me->dice, 4) && count < 4 && may_start(me)) { /* ends: at 4 */
        actors[count] = child_of(me);
        if (weft_spawn(&tasks[count], body, &actors[count]) == 0) {
            atomic_fetch_add(&me->world->promised, 1);
        }
        count++;
    }
    if (below(&me->dice, 2) == 0) {
        rc = weft_yield();
    }
    unsigned turn = below(&me->dice, 4);
    for (int i = 0; i < count; i++) {
        int child_rc = weft_await(&tasks[((unsigned)i + turn) % (unsigned)count]);
        wt_true(child_rc == 0 || child_rc == FAILURE || child_rc == -ECANCELED, "%d", child_rc);
        rc = rc < 0 ? rc : child_rc;
    }
    if (count == 2 && below(&me->dice, 2) == 0) {
        (void)weft_when((weft_task *const[]){&tasks[0], &tasks[1]}, 2, WEFT_ALL,
                        NULL); /* once more */
    }
    return rc == -ECANCELED && weft_check() == 0 ? 0 : rc;
}

static int announce(struct world *world, weft_scope *scope)
{
    int place = -1;
    pthread_mutex_lock(&world->lock); /* held for a moment, and never over a suspension */
    for (int i = 0; i < SCOPES && place < 0; i++) {
        if (world->scopes[i] == NULL) {
            world->scopes[i] = scope;
            place = i;
        }
    }
    pthread_mutex_unlock(&world->lock);
    return place;
}

static void retract(struct world *world, int place)
{
    if (place >= 0) {
        pthread_mutex_lock(&world->lock);
        world->scopes[place] = NULL;
        pthread_mutex_unlock(&world->lock);
    }
}

static int open_a_scope(struct actor *me)
{
    weft_time timeout = below(&me->dice, 3) == 0 ? 1 + patience(&me->dice) : 0;
    int policy = below(&me->dice, 2) == 0 ? WEFT_CONTINUE : WEFT_FAILFAST;
    WEFT_SCOPE(s, .timeout = timeout, .on_error = policy);
    int place = below(&me->dice, 3) == 0 ? announce(me->world, &s) : -1;
    for (unsigned n = below(&me->dice, 8); n > 0 && may_start(me); n--) {
        struct actor child = child_of(me);
        int rc = weft_go(&s, pooled_body, &child);
        wt_true(rc == 0 || rc == -ECANCELED, "%d", rc);
        if (rc == 0) {
            atomic_fetch_add(&me->world->promised, 1);
        }
    }
    if (below(&me->dice, 3) == 0) {
        (void)checked(weft_sleep(patience(&me->dice)));
    }
    if (below(&me->dice, 6) == 0) {
        int rc = weft_scope_cancel(&s, "the dice said so");
        wt_true(rc == 0 || rc == -EALREADY, "%d", rc);
        wt_eq(weft_check(), -ECANCELED);
        wt_ne(weft_why()->kind, WEFT_WHY_NONE);
    }
    retract(me->world, place);
    int rc = weft_scope_end(&s);
    wt_true(rc == 0 || rc == FAILURE || rc == -ECANCELED || rc == -ETIME, "%d", rc);
    wt_true(rc != -ETIME || timeout > 0);
    return weft_check() == 0 ? 0 : -ECANCELED; /* what happened inside stays inside */
}

static int item_of_loop(void *item, void *ctx)
{
    struct actor me = *(struct actor *)ctx;
    me.dice += (uint64_t)(uintptr_t)item;
    return below(&me.dice, 40) == 0 ? FAILURE
                                    : checked(weft_sleep(WEFT_NS(below(&me.dice, 20000))));
}

static int loop(struct actor *me)
{
    char items[20];
    int rc = weft_foreach(item_of_loop, me, .items = items, .count = below(&me->dice, 20),
                          .stride = 1, .max = (int)below(&me->dice, 5),
                          .chunk = below(&me->dice, 3), .on_error = (int)below(&me->dice, 2));
    wt_true(rc == 0 || rc == FAILURE || rc == -ECANCELED, "%d", rc);
    return weft_check() == 0 ? 0 : -ECANCELED;
}

static long forked(struct actor *me, int depth);
WEFT_FORKABLE2(long, forked, struct actor *, int)
static long forked(struct actor *me, int depth)
{
    struct actor mine = *me;
    mine.dice += (uint64_t)depth * 977;
    if (depth == 0) {
        unsigned what = below(&mine.dice, 10);
        if (what == 0) {
            (void)weft_yield();
        } else if (what == 1) {
            (void)hold_a_permit(&mine);
        } else if (what == 2) {
            (void)checked(weft_sleep(WEFT_NS(below(&mine.dice, 20000))));
        }
        return 1;
    }
    struct forked_branch left;
    forked_fork(&left, &mine, depth - 1);
    long right = forked(&mine, depth - 1);
    return forked_join(&left) + right;
}

static int block(void *arg)
{
    return (int)(intptr_t)arg;
}

static int step(struct actor *me)
{
    switch (below(&me->dice, 16)) {
    case 0:
    case 1:
        return checked(weft_yield());
    case 2:
        return checked(weft_sleep(WEFT_NS(below(&me->dice, 100000))));
    case 3:
    case 4:
        return hold_a_permit(me);
    case 5:
    case 6:
        return send_an_item(me);
    case 7:
    case 8:
        return receive_an_item(me);
    case 9:
    case 10:
        return spawn_some(me);
    case 11:
    case 12:
        return open_a_scope(me);
    case 13:
        if (below(&me->dice, 3) == 0) {
            return loop(me);
        }
        wt_eq(forked(me, 6), 64);
        return 0;
    case 14:
        return wait_for_the_pipe(me);
    default:
        if (below(&me->dice, 4) == 0) {
            int rc = weft_blocking(block, (void *)3);
            wt_true(rc == 3 || rc == -ECANCELED, "%d", rc);
            return rc < 0 ? rc : 0;
        }
        return below(&me->dice, 4) == 0 ? weft_fail(FAILURE, "at depth %d", me->depth) : 0;
    }
}

static int act(struct actor *me)
{
    int rc = 0;
    for (unsigned steps = 1 + below(&me->dice, 12); steps > 0 && rc == 0; steps--) {
        rc = step(me);
    }
    return rc;
}

/* Its failures have no reader, and would be reported on stderr. */
static int body_from_outside(void *arg)
{
    int rc = body(arg);
    wt_true(rc == 0 || rc == FAILURE, "%d", rc);
    return 0;
}

/* --- from outside ----------------------------------------------------------------------------- */

static void *meddle(void *arg)
{
    struct actor me = *(struct actor *)arg;
    struct world *world = me.world;
    while (atomic_load(&world->over) == 0) { /* ends: the round ends */
        long item = -1;
        switch (below(&me.dice, 4)) {
        case 0: {
            pthread_mutex_lock(&world->lock); /* keeps the scope's owner from ending it */
            weft_scope *scope = world->scopes[below(&me.dice, SCOPES)];
            if (scope != NULL && weft_scope_cancel(scope, "from outside") == 0) {
                atomic_fetch_add(&world->cancelled_from_outside, 1);
            }
            pthread_mutex_unlock(&world->lock);
            break;
        }
        case 1: {
            unsigned i = below(&me.dice, SEMS);
            if (weft_sem_try(&world->sems[i]) == 0) {
                wt_eq(weft_sem_release(&world->sems[i], 1), 0);
            }
            break;
        }
        case 2:
            if (weft_chan_try_recv(world->chans[below(&me.dice, CHANS)], &item) == 1) {
                note_received(world, item);
            }
            break;
        default: {
            struct actor child = {world, roll(&me.dice), DEPTH_MAX - 1};
            atomic_fetch_add(&world->promised, 1);
            wt_eq(weft_call(world->rt, body_from_outside, &child), 0);
            break;
        }
        }
    }
    return NULL;
}

/* --- a round ---------------------------------------------------------------------------------- */

static void world_open(struct world *world)
{
    *world = (struct world){.energy = ENERGY};
    pthread_mutex_init(&world->lock, NULL);
    for (int i = 0; i < SEMS; i++) {
        weft_sem_init(&world->sems[i], permits_of[i], permits_of[i]);
    }
    for (int i = 0; i < CHANS; i++) {
        wt_eq(weft_chan_new(&world->chans[i], sizeof(long), capacity_of[i]), 0);
    }
    wt_eq(pipe2(world->quiet_pipe, O_CLOEXEC), 0);
}

static void world_check_and_close(struct world *world)
{
    wt_eq(atomic_load(&world->begun), atomic_load(&world->promised));
    wt_eq(atomic_load(&world->ended), atomic_load(&world->promised));
    for (int i = 0; i < SEMS; i++) {
        wt_eq(weft_sem_count(&world->sems[i]), permits_of[i]);
        wt_eq(atomic_load(&world->inside[i]), 0);
        weft_sem_fini(&world->sems[i]);
    }
    for (int i = 0; i < CHANS; i++) {
        long item;
        while (weft_chan_try_recv(world->chans[i], &item) == 1) { /* ends: the channel is empty */
            note_received(world, item);
        }
        weft_chan_free(world->chans[i]);
    }
    wt_eq(atomic_load(&world->received), atomic_load(&world->sent));
    wt_eq(atomic_load(&world->received_sum), atomic_load(&world->sent_sum));
    close(world->quiet_pipe[0]);
    close(world->quiet_pipe[1]);
    pthread_mutex_destroy(&world->lock);
}

/* Any number of tasks at once, until the energy is used up. */
static int storm_root(void *arg)
{
    struct actor me = *(struct actor *)arg;
    WEFT_SCOPE(s, .on_error = WEFT_CONTINUE);
    while (atomic_load(&me.world->energy) > 0) { /* ends: each turn takes from it */
        me.depth = -1;
        if (may_start(&me)) {
            struct actor child = child_of(&me);
            wt_eq(weft_go(&s, pooled_body, &child), 0);
            atomic_fetch_add(&me.world->promised, 1);
        }
        if (below(&me.dice, 4) == 0) {
            weft_yield();
        }
    }
    int rc = weft_scope_end(&s);
    wt_true(rc == 0 || rc == FAILURE, "%d", rc);
    return 0;
}

static void run_round(int workers, uint64_t seed)
{
    struct world *world = malloc(sizeof *world);
    world_open(world);
    wt_eq(weft_rt_start(&world->rt, &(weft_rt_opts){.workers = workers, .blocking_max = 2}), 0);
    struct actor outsiders[2] = {{world, seed + 1, 0}, {world, seed + 2, 0}};
    pthread_t threads[2];
    for (int i = 0; i < 2; i++) {
        wt_eq(pthread_create(&threads[i], NULL, meddle, &outsiders[i]), 0);
    }
    struct actor first = {world, seed, 0};
    wt_eq(weft_call(world->rt, storm_root, &first), 0);
    atomic_store(&world->over, 1);
    for (int i = 0; i < 2; i++) {
        pthread_join(threads[i], NULL);
    }
    weft_stats stats;
    weft_stats_get(world->rt, &stats); /* all tasks have ended, so nothing is in flight */
    wt_gt(stats.ops_submitted, 0);
    wt_eq(stats.ops_submitted, stats.ops_completed);
    wt_eq(weft_rt_stop(world->rt, WEFT_SEC(30), WEFT_SEC(1)), 0);
    weft_rt_free(world->rt);
    world_check_and_close(world);
    free(world);
}

Test(storm, accounts_balance_with_one_worker, .timeout = 60)
{
    play(1, ROUND_NS, run_round);
}

Test(storm, accounts_balance_with_two_workers, .timeout = 60)
{
    play(2, ROUND_NS, run_round);
}

Test(storm, accounts_balance_with_eight_workers, .timeout = 60)
{
    play(8, ROUND_NS, run_round);
}
