/* test_park.c: who is woken, and when (pool/park.h), one call after the other; and a stress with
 * real threads, real sleep and a queue. What interleavings can do is checked by
 * tests/model/model_park.c. */
#include "pool/inject.h"
#include "pool/park.h"
#include "tests/support/wt.h"

#include <errno.h>
#include <pthread.h>
#include <semaphore.h>
#include <stdlib.h>

static struct wf_park park;
static bool is_more;
static int more_asked;

static bool more(void *arg)
{
    (void)arg;
    more_asked++;
    return is_more;
}

static int found(int self)
{
    return wf_park_found(&park, self, more, NULL);
}

static void four_workers(void)
{
    wt_eq(wf_park_init(&park, 4), 0);
}

/* Puts workers [0, count) to sleep. */
static void park_workers(int count)
{
    for (int i = 0; i < count; i++) {
        wf_park_announce(&park, i);
    }
    wf_park_check(&park);
}

Test(park, init_refuses_what_does_not_fit)
{
    wt_eq(wf_park_init(&park, 0), -EINVAL);
    wt_eq(wf_park_init(&park, WF_WORKERS_MAX + 1), -EINVAL);
    wt_eq(wf_park_init(&park, WF_WORKERS_MAX), 0);
    wt_eq(wf_park_idle(&park), 0);
}

/* --- submitting ------------------------------------------------------------------------------- */

Test(park, nobody_is_woken_when_nobody_sleeps, .init = four_workers)
{
    wt_eq(wf_park_pick(&park), -1);
    wt_true(wf_park_search(&park, 2));
    wt_eq(wf_park_pick(&park), -1);
}

Test(park, one_submit_wakes_the_lowest_parked_worker, .init = four_workers)
{
    wf_park_announce(&park, 3);
    wf_park_announce(&park, 1);
    wt_eq(wf_park_pick(&park), 1);
    wt_eq(wf_park_state(&park, 1), WF_PARK_NOTIFIED);
    wf_park_check(&park);
}

Test(park, a_burst_wakes_one_worker_until_it_has_found_work, .init = four_workers)
{
    park_workers(4);
    wt_eq(wf_park_pick(&park), 0);
    wt_eq(wf_park_pick(&park), -1);
    wf_park_retract(&park, 0);
    wt_eq(wf_park_pick(&park), -1);
    is_more = true;
    wt_eq(found(0), 1); /* the chain */
    wt_eq(wf_park_pick(&park), -1);
    wf_park_check(&park);
}

Test(park, the_last_searcher_wakes_nobody_when_there_is_no_more, .init = four_workers)
{
    park_workers(4);
    wt_eq(wf_park_pick(&park), 0);
    wf_park_retract(&park, 0);
    wt_eq(found(0), -1);
    wt_eq(more_asked, 1);
    wt_eq(wf_park_pick(&park), 1); /* nobody searches now: the next submit wakes one again */
}

Test(park, only_the_last_searcher_looks_for_more, .init = four_workers)
{
    park_workers(2);
    wt_eq(wf_park_pick(&park), 0);
    wf_park_retract(&park, 0);
    wf_park_retract(&park, 1); /* by itself */
    is_more = true;
    wt_eq(found(0), -1);
    wt_eq(more_asked, 0);
    wt_eq(found(1), -1); /* it was the last, but nobody sleeps */
    wt_eq(more_asked, 0);
    wf_park_check(&park);
}

Test(park, found_is_nothing_for_a_worker_that_did_not_search, .init = four_workers)
{
    wf_park_announce(&park, 1);
    is_more = true;
    wt_eq(found(0), -1);
    wt_eq(more_asked, 0);
    wf_park_check(&park);
}

Test(park, a_worker_is_woken_once_per_sleep, .init = four_workers)
{
    park_workers(1);
    wt_eq(wf_park_pick(&park), 0);
    wt_false(wf_park_claim(&park, 0));
    wf_park_retract(&park, 0);
    wf_park_announce(&park, 0);
    wt_true(wf_park_claim(&park, 0));
    wt_eq(wf_park_pick(&park), -1);
    wf_park_check(&park);
}

Test(park, workers_beyond_the_first_word_are_found)
{
    wt_eq(wf_park_init(&park, WF_WORKERS_MAX), 0);
    for (int i = 60; i < WF_WORKERS_MAX; i += 65) {
        wf_park_announce(&park, i);
        wt_eq(wf_park_pick(&park), i);
        wf_park_retract(&park, i);
        wt_eq(found(i), -1);
    }
    wf_park_announce(&park, WF_WORKERS_MAX - 1);
    wt_eq(wf_park_pick(&park), WF_WORKERS_MAX - 1);
    wt_eq(wf_park_pick(&park), -1);
}

/* --- messages --------------------------------------------------------------------------------- */

Test(park, claim_is_for_a_parked_worker_only, .init = four_workers)
{
    wt_false(wf_park_claim(&park, 2));
    wf_park_announce(&park, 2);
    wt_true(wf_park_claim(&park, 2));
    wt_eq(wf_park_state(&park, 2), WF_PARK_CALLED);
    wf_park_check(&park);
    wf_park_retract(&park, 2);
    wt_eq(wf_park_state(&park, 2), WF_PARK_SEARCHING);
    wf_park_check(&park);
}

Test(park, a_called_worker_does_not_keep_others_asleep, .init = four_workers)
{
    park_workers(2);
    wt_true(wf_park_claim(&park, 0));
    wt_eq(wf_park_pick(&park), 1);
}

/* --- searching -------------------------------------------------------------------------------- */

Test(park, half_of_the_awake_workers_may_search_and_always_one, .init = four_workers)
{
    wt_true(wf_park_search(&park, 0));
    wt_true(wf_park_search(&park, 0)); /* it does already */
    wt_true(wf_park_search(&park, 1));
    wt_false(wf_park_search(&park, 2));
    wf_park_announce(&park, 0);
    wf_park_announce(&park, 1);
    wf_park_announce(&park, 2);
    wt_true(wf_park_search(&park, 3)); /* the only one awake */
    wf_park_check(&park);
}

Test(park, whoever_ends_a_sleep_the_worker_searches_after_it, .init = four_workers)
{
    park_workers(3);
    wt_eq(wf_park_pick(&park), 0);
    wt_true(wf_park_claim(&park, 1));
    for (int i = 0; i < 3; i++) {
        wf_park_retract(&park, i);
        wt_eq(wf_park_state(&park, i), WF_PARK_SEARCHING);
    }
    wf_park_check(&park);
    wt_eq(wf_park_idle(&park), 3);
    for (int i = 0; i < 3; i++) {
        wf_park_announce(&park, i);
    }
    wf_park_check(&park);
    wt_eq(wf_park_idle(&park), 3);
}

/* --- several groups --------------------------------------------------------------------------- */

enum { SECOND = WF_PARK_GROUP, THIRD = 2 * WF_PARK_GROUP, BEYOND = 2 * WF_PARK_GROUP + 3 };

static void three_groups(void)
{
    wt_eq(wf_park_init(&park, BEYOND), 0);
}

Test(park, a_searcher_of_any_group_is_enough, .init = three_groups)
{
    wf_park_announce(&park, 1);
    wt_true(!wf_park_searches(&park));
    wt_true(wf_park_search(&park, THIRD));
    wt_true(wf_park_searches(&park));
    wt_eq(wf_park_pick(&park), -1);
    is_more = false;
    wt_eq(found(THIRD), -1);
    wt_eq(wf_park_pick(&park), 1);
    wf_park_check(&park);
}

Test(park, the_last_searcher_of_all_groups_looks_for_more, .init = three_groups)
{
    wf_park_announce(&park, 1);
    wt_true(wf_park_search(&park, 0));
    wt_true(wf_park_search(&park, SECOND));
    wt_true(wf_park_search(&park, THIRD));
    is_more = true;
    wt_eq(found(SECOND), -1);
    wt_eq(found(0), -1);
    wt_eq(more_asked, 0);
    wt_eq(found(THIRD), 1);
    wt_eq(more_asked, 1);
    wf_park_check(&park);
}

Test(park, a_woken_worker_is_counted_in_its_own_group, .init = three_groups)
{
    wf_park_announce(&park, BEYOND - 1);
    wt_eq(wf_park_pick(&park), BEYOND - 1);
    wf_park_check(&park);
    wf_park_announce(&park, 2);
    wt_eq(wf_park_pick(&park), -1); /* it counts as searching from its claim on */
    wf_park_retract(&park, BEYOND - 1);
    wf_park_check(&park);
    wt_eq(found(BEYOND - 1), -1);
    wt_eq(wf_park_pick(&park), 2);
    wf_park_check(&park);
}

Test(park, half_of_a_groups_awake_workers_may_search_whatever_the_others_do, .init = three_groups)
{
    for (int i = 0; i < WF_PARK_GROUP / 2; i++) {
        wt_true(wf_park_search(&park, i));
    }
    wt_false(wf_park_search(&park, SECOND - 1));
    wt_true(wf_park_search(&park, SECOND));
    wt_true(wf_park_search(&park, THIRD)); /* of three */
    wt_true(wf_park_search(&park, THIRD + 1));
    wt_false(wf_park_search(&park, THIRD + 2));
    wf_park_announce(&park, THIRD + 1);
    wf_park_announce(&park, THIRD);
    wt_true(wf_park_search(&park, THIRD + 2)); /* the only one of its group that is awake */
    wf_park_check(&park);
}

Test(park, idle_workers_of_all_groups_are_counted, .init = three_groups)
{
    wt_true(wf_park_search(&park, 0));
    wt_true(wf_park_search(&park, SECOND));
    wf_park_announce(&park, THIRD);
    wt_eq(wf_park_idle(&park), 3);
    wt_eq(wf_park_idle_near(&park, 1), 2); /* of the first group, and who sleeps */
    wt_eq(wf_park_idle_near(&park, BEYOND - 1), 1);
    wt_true(wf_park_searches_near(&park, SECOND + 1));
    wt_false(wf_park_searches_near(&park, THIRD));
}

Test(park, a_pool_of_one_group_has_its_count_beside_the_bits)
{
    wt_eq(wf_park_init(&park, WF_PARK_GROUP), 0);
    wt_true(wf_park_search(&park, WF_PARK_GROUP - 1));
    wt_eq(wf_load_relaxed(&park.all.searching), 1u);
    wt_eq(park.groups, 0);
    wt_eq(wf_park_init(&park, WF_PARK_GROUP + 1), 0);
    wt_true(wf_park_search(&park, WF_PARK_GROUP));
    wt_eq(wf_load_relaxed(&park.all.searching), 0u);
    wt_eq(park.groups, 2);
}

Test(park, all_stand_still_only_if_nobody_of_any_group_searches, .init = three_groups)
{
    park_workers(BEYOND);
    wt_true(wf_park_all(&park));
    wf_park_retract(&park, THIRD);
    wt_false(wf_park_all(&park));
    wf_park_announce(&park, THIRD);
    wt_true(wf_park_all(&park));
}

/* --- stress ----------------------------------------------------------------------------------- */

enum { WORKERS_MOST = 3 * WF_PARK_GROUP, WORKS = 20000 };

static struct wf_inject q;
static int workers;
static sem_t sleeps[WORKERS_MOST];
static WF_ATOMIC(uint32_t) done, wakes;

static bool any(void *arg)
{
    (void)arg;
    return wf_inject_has(&q);
}

static void wake(int worker)
{
    if (worker >= 0) {
        wf_add_relaxed(&wakes, 1);
        sem_post(&sleeps[worker]);
    }
}

/* A pool in thirty lines. It ends when all works are done; a lost wake-up is a time-out. */
static void *work(void *arg)
{
    int self = (int)(intptr_t)arg;
    while (wf_load_relaxed(&done) < WORKS) {
        struct wf_work *work = wf_park_search(&park, self) ? wf_inject_pop(&q) : NULL;
        if (work != NULL) {
            wake(wf_park_found(&park, self, any, NULL));
            /* sync(test.done): all see it; pairs sync(test.done) */
            if (wf_add_acq_rel(&done, 1) == WORKS - 1) {
                for (int i = 0; i < workers; i++) {
                    sem_post(&sleeps[i]);
                }
            }
            continue;
        }
        wf_park_announce(&park, self);
        if (!any(NULL) && wf_load_relaxed(&done) < WORKS) {
            while (sem_wait(&sleeps[self]) != 0) {
            }
        }
        wf_park_retract(&park, self);
    }
    return NULL;
}

static void run_works(int count)
{
    workers = count;
    wt_eq(wf_park_init(&park, workers), 0);
    wf_inject_init(&q);
    struct wf_work *works = calloc(WORKS, sizeof *works);
    wt_true(works != NULL);
    pthread_t threads[WORKERS_MOST];
    for (intptr_t i = 0; i < workers; i++) {
        sem_init(&sleeps[i], 0, 0);
        wt_eq(pthread_create(&threads[i], NULL, work, (void *)i), 0);
    }
    for (int i = 0; i < WORKS; i++) {
        wf_inject_push(&q, &works[i]);
        wake(wf_park_pick(&park));
        /* now and then: all fall asleep, and one work must wake one */
        while (i % 16 == 0 && wf_inject_has(&q)) {
            wf_cpu_relax();
        }
    }
    for (int i = 0; i < workers; i++) {
        pthread_join(threads[i], NULL);
    }
    wt_eq(wf_load_relaxed(&done), (uint32_t)WORKS);
    wt_le(wf_load_relaxed(&wakes), 2u * WORKS); /* one per submit, one per work found */
    free(works);
}

Test(park, no_work_is_left_beside_sleeping_workers)
{
    run_works(6);
}

Test(park, no_work_is_left_beside_sleeping_workers_of_three_groups)
{
    run_works(WORKERS_MOST);
}

/* --- standing still --------------------------------------------------------------------------- */

Test(park, a_worker_that_is_called_or_notified_does_not_stand_still, .init = four_workers)
{
    park_workers(3);
    wt_true(!wf_park_all(&park)); /* the fourth runs */
    wf_park_announce(&park, 3);
    wt_true(wf_park_all(&park));
    wt_true(wf_park_claim(&park, 2));
    wt_true(!wf_park_all(&park)); /* its message is under way */
    wf_park_retract(&park, 2);
    wt_true(!wf_park_all(&park));
    wf_park_announce(&park, 2);
    wt_true(wf_park_all(&park));
    wt_eq(wf_park_pick(&park), 0);
    wt_true(!wf_park_all(&park));
}
