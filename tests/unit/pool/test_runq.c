/* test_runq.c: the run queue (pool/runq.h), as its owner sees it, and a stress with thieves. What
 * interleavings can do is checked by tests/model/model_runq.c. */
#include "pool/base/rng.h"
#include "pool/runq.h"
#include "tests/support/wt.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

static struct wf_runq q, own;
static struct wf_work works[2 * WF_RUNQ_SLOTS];

static void init(void)
{
    wf_runq_init(&q);
    wf_runq_init(&own);
}

/* The number of the work that a call returned; -1 for NULL. */
static int number(struct wf_work *work)
{
    return work == NULL ? -1 : (int)(work - works);
}

static void push(struct wf_runq *queue, int first, int count)
{
    for (int i = first; i < first + count; i++) {
        wt_true(wf_runq_push(queue, &works[i]));
    }
}

/* --- the queue -------------------------------------------------------------------------------- */

Test(runq, pop_is_in_the_order_of_push, .init = init)
{
    wt_eq(number(wf_runq_pop(&q)), -1);
    push(&q, 0, 3);
    wt_eq(wf_runq_len(&q), 3u);
    for (int i = 0; i < 3; i++) {
        wt_eq(number(wf_runq_pop(&q)), i);
    }
    wt_eq(number(wf_runq_pop(&q)), -1);
    wt_eq(wf_runq_len(&q), 0u);
}

Test(runq, the_place_is_that_of_the_next_push_and_none_when_full_or_closed, .init = init)
{
    push(&q, 0, 2);
    wt_eq(wf_runq_place(&q), (void *)&q.slots[2]);
    wt_eq(wf_runq_len(&q), 2u, "nothing is put there yet");
    wf_runq_close(&q);
    wt_eq(wf_runq_place(&q), NULL);
    wf_runq_open(&q);
    push(&q, 2, WF_RUNQ_SLOTS - 2);
    wt_eq(wf_runq_place(&q), NULL);
    wt_eq(number(wf_runq_pop(&q)), 0);
    wt_eq(wf_runq_place(&q), (void *)&q.slots[0]);
}

Test(runq, of_many_a_pop_names_the_one_after_the_next, .init = init)
{
    push(&q, 0, 5);
    struct wf_work *soon = NULL;
    wt_eq(number(wf_runq_pop_ahead(&q, 4, &soon)), 0);
    wt_eq(number(soon), 2);
    soon = NULL;
    wt_eq(number(wf_runq_pop_ahead(&q, 4, &soon)), 1); /* there were four, which are not more */
    wt_eq(number(soon), -1);
    wt_eq(number(wf_runq_pop_ahead(&q, 2, &soon)), 2);
    wt_eq(number(soon), 4);
    wt_eq(wf_runq_len(&q), 2u); /* it is still there */
}

Test(runq, push_refuses_when_full, .init = init)
{
    push(&q, 0, WF_RUNQ_SLOTS);
    wt_false(wf_runq_push(&q, &works[WF_RUNQ_SLOTS]));
    wt_eq(number(wf_runq_pop(&q)), 0);
    push(&q, WF_RUNQ_SLOTS, 1);
    wt_eq(wf_runq_len(&q), (uint32_t)WF_RUNQ_SLOTS);
}

Test(runq, closed_it_takes_only_what_comes_back, .init = init)
{
    push(&q, 0, 2);
    wf_runq_close(&q);
    wt_false(wf_runq_push(&q, &works[3]));
    wt_true(wf_runq_append(&q, &works[2]));
    wf_runq_open(&q);
    push(&q, 3, WF_RUNQ_SLOTS - 3);
    wt_false(wf_runq_append(&q, &works[WF_RUNQ_SLOTS]));
    for (int i = 0; i < WF_RUNQ_SLOTS; i++) {
        wt_eq(number(wf_runq_pop(&q)), i);
    }
}

Test(runq, slots_are_used_round_and_round, .init = init)
{
    for (int round = 0; round < 10 * WF_RUNQ_SLOTS; round++) {
        push(&q, 0, 2);
        wt_eq(number(wf_runq_pop(&q)), 0);
        wt_eq(number(wf_runq_pop(&q)), 1);
    }
}

Test(runq, steal_takes_the_older_half_rounded_up, .init = init)
{
    push(&q, 0, 5);
    wt_eq(number(wf_runq_steal(&q, &own)), 0);
    wt_eq(number(wf_runq_pop(&own)), 1);
    wt_eq(number(wf_runq_pop(&own)), 2);
    wt_eq(number(wf_runq_pop(&own)), -1);
    wt_eq(number(wf_runq_pop(&q)), 3);
    wt_eq(number(wf_runq_pop(&q)), 4);
}

Test(runq, steal_of_the_only_one_runs_it, .init = init)
{
    push(&q, 0, 1);
    wt_eq(number(wf_runq_steal(&q, &own)), 0);
    wt_eq(wf_runq_len(&own), 0u);
    wt_eq(number(wf_runq_steal(&q, &own)), -1);
}

Test(runq, steal_takes_no_more_than_there_is_room_for, .init = init)
{
    push(&q, 0, 100);
    push(&own, 100, WF_RUNQ_SLOTS - 2);
    wt_eq(number(wf_runq_steal(&q, &own)), 0); /* and two more */
    wt_eq(wf_runq_len(&own), (uint32_t)WF_RUNQ_SLOTS);
    wt_eq(wf_runq_len(&q), 97u);
    wt_eq(number(wf_runq_steal(&q, &own)), 3); /* no room: that one only */
    wt_eq(wf_runq_len(&q), 96u);
}

Test(runq, steal_takes_a_bounded_part_of_a_long_queue, .init = init)
{
    push(&q, 0, 4 * WF_RUNQ_STEAL_MAX);
    wt_eq(number(wf_runq_steal(&q, &own)), 0);
    wt_eq(wf_runq_len(&own), (uint32_t)WF_RUNQ_STEAL_MAX - 1);
    wt_eq(number(wf_runq_pop(&own)), 1);
    wt_eq(number(wf_runq_pop(&q)), WF_RUNQ_STEAL_MAX);
}

/* --- stress ----------------------------------------------------------------------------------- */

enum { ITEMS = 500000, THIEVES = 3 };

static struct item {
    struct wf_work work;
    WF_ATOMIC(uint32_t) taken;
} * items;
static struct wf_runq queues[THIEVES];
static WF_ATOMIC(uint32_t) over;

static void take(struct wf_work *work)
{
    if (work != NULL) {
        struct item *item = wf_container_of(work, struct item, work);
        wt_eq(wf_add_relaxed(&item->taken, 1), 0u, "item %td", item - items);
    }
}

/* Robs the victim and its fellow thieves. */
static void *thief(void *arg)
{
    struct wf_runq *mine = arg;
    int turn = 0;
    while (wf_load_acquire(&over) == 0) { /* sync(test.over): acquire; pairs sync(test.end) */
        struct wf_runq *victim = turn++ % 4 == 0 ? &queues[turn / 4 % THIEVES] : &q;
        if (victim != mine) {
            take(wf_runq_steal(victim, mine));
        }
        take(wf_runq_pop(mine));
    }
    for (struct wf_work *work; (work = wf_runq_pop(mine)) != NULL;) {
        take(work);
    }
    return NULL;
}

Test(runq, every_work_is_taken_exactly_once_among_thieves, .init = init)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    uint64_t seed = (uint64_t)now.tv_nsec;
    fprintf(stderr, "runq stress: seed %llu\n", (unsigned long long)seed);
    struct wf_rng rng;
    wf_rng_seed(&rng, seed);
    items = calloc(ITEMS, sizeof *items);
    wt_true(items != NULL);
    pthread_t threads[THIEVES];
    for (int i = 0; i < THIEVES; i++) {
        wf_runq_init(&queues[i]);
    }
    for (int i = 0; i < THIEVES; i++) {
        wt_eq(pthread_create(&threads[i], NULL, thief, &queues[i]), 0);
    }
    for (int i = 0; i < ITEMS; i++) {
        if (!wf_runq_push(&q, &items[i].work)) {
            take(&items[i].work);
        }
        if (wf_rng_below(&rng, 4) != 0) { /* nearly empty: owner and thieves meet */
            take(wf_runq_pop(&q));
        }
    }
    for (struct wf_work *work; (work = wf_runq_pop(&q)) != NULL;) {
        take(work);
    }
    wf_store_release(&over, 1); /* sync(test.end): release; pairs sync(test.over) */
    for (int i = 0; i < THIEVES; i++) {
        pthread_join(threads[i], NULL);
    }
    for (int i = 0; i < ITEMS; i++) {
        wt_eq(wf_load_relaxed(&items[i].taken), 1u, "item %d", i);
    }
    free(items);
}
