/* test_inject.c: the injection queue (pool/inject.h): its order, its batches, and a stress with
 * producers and consumers. What interleavings can do is checked by tests/model/model_inject.c. */
#include "pool/inject.h"
#include "tests/support/wt.h"

#include <pthread.h>
#include <stdlib.h>

static struct wf_inject q;
static struct wf_work works[16];

static void init(void)
{
    wf_inject_init(&q);
}

/* The number of the work that a call returned; -1 for NULL. */
static int number(struct wf_work *work)
{
    return work == NULL ? -1 : (int)(work - works);
}

static void push_chain(int first, int count)
{
    for (int i = first; i < first + count - 1; i++) {
        works[i].next = &works[i + 1];
    }
    works[first + count - 1].next = &works[0]; /* nonsense: the queue ends its chain itself */
    wf_inject_push_chain(&q, &works[first], &works[first + count - 1], (uint32_t)count);
}

Test(inject, pop_of_an_empty_queue_is_null, .init = init)
{
    struct wf_work *first = &works[0];
    wt_eq(number(wf_inject_pop(&q)), -1);
    wt_eq(wf_inject_pop_batch(&q, 4, &first), 0);
    wt_eq(number(first), -1);
    wt_false(wf_inject_has(&q));
}

Test(inject, order_is_kept_across_works_and_chains, .init = init)
{
    wf_inject_push(&q, &works[0]);
    push_chain(1, 3);
    wf_inject_push(&q, &works[4]);
    wt_eq(wf_inject_len(&q), 5u);
    for (int i = 0; i < 5; i++) {
        wt_true(wf_inject_has(&q));
        wt_eq(number(wf_inject_pop(&q)), i);
    }
    wt_false(wf_inject_has(&q));
    wt_eq(number(wf_inject_pop(&q)), -1);
}

Test(inject, batch_is_a_chain_that_ends_and_leaves_the_rest, .init = init)
{
    push_chain(0, 5);
    struct wf_work *first;
    wt_eq(wf_inject_pop_batch(&q, 3, &first), 3);
    for (int i = 0; i < 3; i++) {
        wt_eq(number(first), i);
        first = first->next;
    }
    wt_eq(number(first), -1);
    wt_eq(wf_inject_len(&q), 2u);
    wt_eq(wf_inject_pop_batch(&q, 3, &first), 2);
    wt_eq(number(first), 3);
    wt_eq(number(first->next), 4);
    wt_eq(number(first->next->next), -1);
}

Test(inject, queue_that_ran_empty_works_again, .init = init)
{
    for (int round = 0; round < 3; round++) {
        wf_inject_push(&q, &works[0]);
        wf_inject_push(&q, &works[1]);
        wt_eq(number(wf_inject_pop(&q)), 0);
        wt_eq(number(wf_inject_pop(&q)), 1);
        wt_eq(number(wf_inject_pop(&q)), -1);
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
    for (int i = 0; i < EACH;) {
        if (i % 3 == 0 && i + 1 < EACH) {
            items[i].work.next = &items[i + 1].work;
            wf_inject_push_chain(&q, &items[i].work, &items[i + 1].work, 2);
            i += 2;
        } else {
            wf_inject_push(&q, &items[i].work);
            i++;
        }
    }
    return NULL;
}

static void *consume(void *arg)
{
    int batch = *(int *)arg;
    int last[PRODUCERS] = {-1, -1, -1};
    while (wf_load_relaxed(&left) != 0) {
        struct wf_work *work;
        int count = wf_inject_pop_batch(&q, batch, &work);
        wf_sub_relaxed(&left, (uint32_t)count);
        for (; work != NULL; work = work->next) {
            struct item *item = wf_container_of(work, struct item, work);
            wt_gt(item->place, last[item->producer]);
            last[item->producer] = item->place;
            count--;
        }
        wt_eq(count, 0);
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
    int one = 1, many = 16;
    pthread_t threads[PRODUCERS + 2];
    wt_eq(pthread_create(&threads[PRODUCERS], NULL, consume, &one), 0);
    wt_eq(pthread_create(&threads[PRODUCERS + 1], NULL, consume, &many), 0);
    for (int i = 0; i < PRODUCERS; i++) {
        wt_eq(pthread_create(&threads[i], NULL, produce, &items[i * EACH]), 0);
    }
    for (int i = 0; i < PRODUCERS + 2; i++) {
        pthread_join(threads[i], NULL);
    }
    wt_false(wf_inject_has(&q));
    free(items);
}
