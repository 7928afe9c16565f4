/* test_inject.c: the injection queue (pool/inject.h): its order, its batches, and a stress with
 * producers and consumers. What interleavings can do is checked by tests/model/model_inject.c. */
#include "pool/inject.h"
#include "tests/support/wt.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

static struct wf_inject q;
static struct wf_work works[16];
static struct wf_work many[2 * WF_INJECT_SLOTS];
#define STORED 256
static struct wf_inject_stored store[STORED];

static void init(void)
{
    memset(&q, 0, sizeof q);
    wf_inject_init(&q);
}

/* The number of the work that a call returned; -1 for NULL. */
static int number(struct wf_work *work)
{
    return work == NULL ? -1 : (int)(work - works);
}

static void push(int first, int count)
{
    for (int i = first; i < first + count; i++) {
        wf_inject_push(&q, &works[i]);
    }
}

Test(inject, pop_of_an_empty_queue_is_null, .init = init)
{
    struct wf_work *taken[4];
    wt_eq(number(wf_inject_pop(&q)), -1);
    wt_eq(wf_inject_pop_batch(&q, 4, taken), 0);
    wt_false(wf_inject_has(&q));
}

Test(inject, works_come_out_in_order, .init = init)
{
    push(0, 5);
    for (int i = 0; i < 5; i++) {
        wt_true(wf_inject_has(&q));
        wt_eq(number(wf_inject_pop(&q)), i);
    }
    wt_false(wf_inject_has(&q));
    wt_eq(number(wf_inject_pop(&q)), -1);
    wt_eq(wf_inject_taken(&q), 5u);
}

Test(inject, batch_is_the_oldest_and_leaves_the_rest, .init = init)
{
    push(0, 5);
    struct wf_work *taken[3];
    wt_eq(wf_inject_pop_batch(&q, 3, taken), 3);
    for (int i = 0; i < 3; i++) {
        wt_eq(number(taken[i]), i);
    }
    wt_eq(wf_inject_pop_batch(&q, 3, taken), 2);
    wt_eq(number(taken[0]), 3);
    wt_eq(number(taken[1]), 4);
}

Test(inject, queue_that_ran_empty_works_again, .init = init)
{
    for (int round = 0; round < 3; round++) {
        push(0, 2);
        wt_eq(number(wf_inject_pop(&q)), 0);
        wt_eq(number(wf_inject_pop(&q)), 1);
        wt_eq(number(wf_inject_pop(&q)), -1);
    }
}

/* Twice as many as the ring holds, and more while the rest is not empty: in order all the same. */
static void overflow_ring(void)
{
    size_t put = 0, got = 0;
    while (put < WF_INJECT_SLOTS + WF_INJECT_SLOTS / 2) {
        wf_inject_push(&q, &many[put++]);
    }
    while (got < WF_COUNT(many)) {
        if (put < WF_COUNT(many)) {
            wf_inject_push(&q, &many[put++]);
        }
        struct wf_work *taken[3];
        int count = wf_inject_pop_batch(&q, 3, taken);
        wt_gt(count, 0);
        for (int i = 0; i < count; i++) {
            wt_true(taken[i] == &many[got++]);
        }
        wt_eq(wf_inject_has(&q), got < put);
    }
}

Test(inject, what_does_not_fit_into_the_ring_keeps_its_place, .init = init)
{
    overflow_ring();
}

Test(inject, what_does_not_fit_into_the_store_keeps_its_place, .init = init)
{
    wf_inject_give_store(&q, store, STORED);
    for (int round = 0; round < 3; round++) {
        overflow_ring();
    }
}

/* Less than the store holds, for so long that its begin comes up in the middle. */
Test(inject, a_store_begins_anew_at_its_end, .init = init)
{
    wf_inject_give_store(&q, store, STORED);
    size_t put = 0, got = 0;
    while (got < 4 * WF_COUNT(many)) {
        while (put < got + WF_INJECT_SLOTS + STORED / 2) {
            wf_inject_push(&q, &many[put++ % WF_COUNT(many)]);
        }
        struct wf_work *taken[3];
        int count = wf_inject_pop_batch(&q, 3, taken);
        wt_gt(count, 0);
        for (int i = 0; i < count; i++) {
            wt_true(taken[i] == &many[got++ % WF_COUNT(many)]);
        }
        wt_eq(wf_plain_read(&q.stored), wf_load_relaxed(&q.rest_count)); /* no list */
    }
}

/* --- stress ----------------------------------------------------------------------------------- */

enum { PRODUCERS = 3, EACH = 30000 };

struct item {
    struct wf_work work;
    int producer;
    int place; /* in its producer's order */
};

static WF_ATOMIC(uint32_t) left;

static void *produce(void *arg)
{
    struct item *items = arg;
    for (int i = 0; i < EACH; i++) {
        wf_inject_push(&q, &items[i].work);
    }
    return NULL;
}

static void *consume(void *arg)
{
    int batch = *(int *)arg;
    int last[PRODUCERS] = {-1, -1, -1};
    while (wf_load_relaxed(&left) != 0) {
        struct wf_work *taken[16];
        int count = wf_inject_pop_batch(&q, batch, taken);
        wf_sub_relaxed(&left, (uint32_t)count);
        for (int i = 0; i < count; i++) {
            struct item *item = wf_container_of(taken[i], struct item, work);
            wt_gt(item->place, last[item->producer]);
            last[item->producer] = item->place;
        }
    }
    return NULL;
}

Test(inject, each_consumer_gets_each_producers_works_in_order, .init = init)
{
    struct item *items = calloc((size_t)PRODUCERS * EACH, sizeof *items);
    wt_true(items != NULL);
    for (int i = 0; i < PRODUCERS * EACH; i++) {
        items[i].producer = i / EACH;
        items[i].place = i % EACH;
    }
    wf_store_relaxed(&left, PRODUCERS * EACH);
    int one = 1, batch = 16;
    pthread_t threads[PRODUCERS + 2];
    wt_eq(pthread_create(&threads[PRODUCERS], NULL, consume, &one), 0);
    wt_eq(pthread_create(&threads[PRODUCERS + 1], NULL, consume, &batch), 0);
    for (int i = 0; i < PRODUCERS; i++) {
        wt_eq(pthread_create(&threads[i], NULL, produce, &items[i * EACH]), 0);
    }
    for (int i = 0; i < PRODUCERS + 2; i++) {
        pthread_join(threads[i], NULL);
    }
    wt_false(wf_inject_has(&q));
    free(items);
}
