/* model_inject.c: pool/inject.h: producers of single works and chains, consumers of single works
 * and batches.
 *
 * Checked in every execution: each work is taken exactly once; the taker sees what the giver wrote
 * into it; the works of one producer come out in its order; has() after a push that is ordered
 * before it says true (G.2). */
#include "pool/inject.h"

#include <string.h>

#define ITEMS 6

struct item {
    struct wf_work work;
    WF_PLAIN(int) payload;
    int taken; /* not modelled: the checker is one thread */
};

static struct wf_inject q;
static struct item items[ITEMS];
static WF_ATOMIC(uint32_t) asleep;
static WF_ATOMIC(uint32_t) event;

static void begin(void)
{
    memset(items, 0, sizeof items);
    memset(&asleep, 0, sizeof asleep);
    memset(&event, 0, sizeof event);
    memset(&q, 0, sizeof q);
    wf_inject_init(&q);
}

static struct wf_work *make(int i)
{
    wf_plain_write(&items[i].payload, 100 + i);
    return &items[i].work;
}

static int take(struct wf_work *work)
{
    if (work == NULL) {
        return -1;
    }
    struct item *item = wf_container_of(work, struct item, work);
    int i = (int)(item - items);
    wloom_assert(i >= 0 && i < ITEMS);
    wloom_assert(wf_plain_read(&item->payload) == 100 + i);
    wloom_assert(++item->taken == 1);
    return i;
}

static void end(int n)
{
    wloom_join_all();
    while (take(wf_inject_pop(&q)) >= 0) {
    }
    for (int i = 0; i < n; i++) {
        wloom_assert(items[i].taken == 1);
    }
    wloom_observe(true);
    wloom_assert(!wf_inject_has(&q) && wf_inject_len(&q) == 0);
}

static void produce_two(void *arg)
{
    (void)arg;
    wf_inject_push(&q, make(0));
    wf_inject_push(&q, make(1));
}

static void produce_chain(void *arg)
{
    (void)arg;
    struct wf_work *first = make(2);
    struct wf_work *last = make(3);
    first->next = last;
    wf_inject_push_chain(&q, first, last, 2);
}

static void consume_one(void *arg)
{
    (void)arg;
    take(wf_inject_pop(&q));
}

static void consume_two(void *arg)
{
    (void)arg;
    int first = take(wf_inject_pop(&q));
    int second = take(wf_inject_pop(&q));
    wloom_assert(first != 1 || second != 0);
    wloom_assert(first != 3 || second != 2);
}

static void consume_batch(void *arg)
{
    (void)arg;
    struct wf_work *work;
    int count = wf_inject_pop_batch(&q, 3, &work);
    int before = -1;
    for (; work != NULL; count--) {
        struct wf_work *following = work->next;
        int i = take(work);
        wloom_assert(i / 2 != before / 2 || before < 0 || i > before);
        before = i;
        work = following;
    }
    wloom_assert(count == 0);
}

static void two_producers_two_consumers(void)
{
    begin();
    wloom_spawn(produce_two, NULL);
    wloom_spawn(produce_chain, NULL);
    wloom_spawn(consume_two, NULL);
    consume_one(NULL);
    end(4);
}

static void chains_and_batches(void)
{
    begin();
    wf_inject_push(&q, make(4));
    wloom_spawn(produce_chain, NULL);
    wloom_spawn(consume_batch, NULL);
    wloom_spawn(consume_one, NULL);
    consume_batch(NULL);
    items[0].taken = items[1].taken = 1; /* not part of this scenario */
    end(5);
}

/* The length as the sleeper's last look: with the fences of park.h, one of the two sees the
 * other. */
static void produce_and_wake(void *arg)
{
    (void)arg;
    wf_inject_push(&q, make(0));
    wf_fence_seq_cst();
    if (wf_load_relaxed(&asleep) != 0) {
        wf_store_relaxed(&event, 1);
    }
}

static void look_and_sleep(void *arg)
{
    (void)arg;
    wf_store_relaxed(&asleep, 1);
    wf_fence_seq_cst();
    if (!wf_inject_has(&q)) {
        wloom_event_wait(&event);
        wf_fence_seq_cst(); /* the next announcement: the event itself orders nothing */
    }
    wloom_assert(wf_inject_has(&q));
}

static void length_is_seen_by_a_sleeper(void)
{
    begin();
    wloom_spawn(produce_and_wake, NULL);
    wloom_spawn(look_and_sleep, NULL);
    end(1);
}

static const struct wloom_scenario scenarios[] = {
    {"two_producers_two_consumers", two_producers_two_consumers, NULL, NULL, false},
    {"chains_and_batches", chains_and_batches, NULL, NULL, false},
    {"length_is_seen_by_a_sleeper", length_is_seen_by_a_sleeper, NULL, NULL, false},
    {NULL, NULL, NULL, NULL, false},
};

int main(int argc, char **argv)
{
    static const struct wloom_harness harness = {.name = "inject", .scenarios = scenarios};
    return wloom_main(&harness, argc, argv);
}
