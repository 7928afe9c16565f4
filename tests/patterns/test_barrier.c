/* The barrier: all or nobody; whoever is cancelled has not come. */
#include "sync_pattern.h"
#include <stdlib.h>
#include <weft/sync.h>

static int arrive(void *barrier)
{
    return weft_barrier_wait(barrier);
}

WEFT_TASK(arrive_pooled, weft_barrier *)
{
    return weft_barrier_wait(*arg);
}

TaskTest(barrier, the_last_to_come_gets_1_and_all_go_on, 1)
{
    weft_barrier barrier;
    weft_barrier_init(&barrier, 3);
    for (int round = 0; round < 3; round++) {
        weft_task t[2];
        weft_spawn(&t[0], arrive, &barrier);
        weft_spawn(&t[1], arrive, &barrier);
        settle();
        wt_eq(weft_status(&t[0]), -EINPROGRESS);
        wt_eq(weft_barrier_wait(&barrier), 1);
        wt_eq(weft_await(&t[0]), 0);
        wt_eq(weft_await(&t[1]), 0);
    }
    weft_barrier_fini(&barrier);
    return 0;
}

TaskTest(barrier, one_of_a_single_party_never_waits, 1)
{
    weft_barrier barrier;
    weft_barrier_init(&barrier, 1);
    wt_eq(weft_within(0, weft_barrier_wait(&barrier)), 1);
    weft_barrier_fini(&barrier);
    return 0;
}

TaskTest(barrier, a_party_that_is_cancelled_has_not_come_and_breaks_nothing, 1)
{
    weft_barrier barrier;
    weft_barrier *pointer = &barrier;
    weft_barrier_init(&barrier, 2);
    wt_eq(weft_within(0, weft_barrier_wait(&barrier)), -ETIME);
    wt_eq(weft_within(WEFT_MS(1), weft_barrier_wait(&barrier)), -ETIME);
    WEFT_SCOPE(s);
    weft_go(&s, arrive_pooled, &pointer);
    settle();
    weft_scope_cancel(&s, NULL);
    wt_eq(weft_scope_end(&s), -ECANCELED);
    weft_task t;
    weft_spawn(&t, arrive, &barrier);
    settle();
    wt_eq(weft_status(&t), -EINPROGRESS, "two who left do not make up for one");
    wt_eq(weft_barrier_wait(&barrier), 1);
    wt_eq(weft_await(&t), 0);
    weft_barrier_fini(&barrier);
    return 0;
}

struct canceller {
    weft_scope *scope;
    weft_barrier *barrier;
};

/* The cancelled party has not run yet when this one comes: its arrival still stands. */
WEFT_TASK(cancel_and_arrive, struct canceller)
{
    wt_eq(weft_scope_cancel(arg->scope, NULL), 0);
    wt_eq(weft_barrier_wait(arg->barrier), 1);
    return 0;
}

TaskTest(barrier, a_party_whose_generation_is_over_has_passed_though_it_was_cancelled_before, 1)
{
    weft_barrier barrier;
    weft_barrier *pointer = &barrier;
    weft_barrier_init(&barrier, 2);
    WEFT_SCOPE(stay);
    {
        WEFT_SCOPE(go);
        weft_go(&go, arrive_pooled, &pointer);
        settle();
        weft_go(&stay, cancel_and_arrive, (&(struct canceller){&go, &barrier}));
        wt_eq(weft_scope_end(&go), 0);
    }
    wt_eq(weft_scope_end(&stay), 0);
    weft_barrier_fini(&barrier);
    return 0;
}

TaskTest(barrier, its_end_with_waiters_is_misuse_and_they_get_eshutdown, 1, .init = misuse_noted)
{
    weft_barrier *barrier = malloc(sizeof *barrier);
    weft_barrier_init(barrier, 2);
    weft_task t;
    weft_spawn(&t, arrive, barrier);
    settle();
    weft_barrier_fini(barrier);
    wt_eq(atomic_load(&misuses), 1);
    free(barrier);
    wt_eq(weft_await(&t), -ESHUTDOWN);
    return 0;
}

Test(barrier, of_0_parties_is_misuse, .init = misuse_noted)
{
    weft_barrier barrier;
    weft_barrier_init(&barrier, 0);
    wt_eq(atomic_load(&misuses), 1);
    weft_barrier_fini(&barrier);
}

Test(barrier, fini_of_zeroed_memory_is_harmless) /* E41 */
{
    weft_barrier barrier = {0};
    weft_barrier_fini(&barrier);
}

/* --- many ------------------------------------------------------------------------------------- */

#define PARTIES 5
#define ROUNDS  200

struct race {
    weft_barrier barrier;
    atomic_int in_round[ROUNDS];
    atomic_int last;
};

/* Impatient until it has passed; so many leave and come back. */
WEFT_TASK(run_rounds, struct race *)
{
    struct race *race = *arg;
    uint32_t dice = (uint32_t)(uintptr_t)arg;
    for (int round = 0; round < ROUNDS; round++) {
        atomic_fetch_add(&race->in_round[round], 1);
        int rc;
        do { /* ends: the others come too */
            rc = weft_within(short_patience(&dice), weft_barrier_wait(&race->barrier));
            if (rc == -ETIME) {
                weft_yield();
            }
        } while (rc == -ETIME);
        wt_ge(rc, 0);
        wt_eq(atomic_load(&race->in_round[round]), PARTIES, "somebody has passed too early");
        atomic_fetch_add(&race->last, rc);
    }
    return 0;
}

static int race_of_rounds(void *arg)
{
    (void)arg;
    static struct race race;
    memset(&race, 0, sizeof race);
    struct race *pointer = &race;
    weft_barrier_init(&race.barrier, PARTIES);
    WEFT_SCOPE(s);
    for (int i = 0; i < PARTIES; i++) {
        weft_go(&s, run_rounds, &pointer);
    }
    wt_eq(weft_scope_end(&s), 0);
    wt_eq(atomic_load(&race.last), ROUNDS, "one was the last in each round");
    weft_barrier_fini(&race.barrier);
    return 0;
}

Test(barrier, nobody_passes_before_all_have_come_when_deadlines_race_with_the_last)
{
    wt_eq(weft_run(race_of_rounds, NULL, .workers = 1), 0);
    wt_eq(weft_run(race_of_rounds, NULL, .workers = 2), 0);
    wt_eq(weft_run(race_of_rounds, NULL, .workers = 8), 0);
}
