/* model_inject.c: pool/inject.h, with a ring of two and a store of one: producers, consumers of
 * single works and of batches, works that do not fit into the ring, or into the store.
 *
 * Checked in every execution: each work is taken exactly once; the taker sees what the giver wrote
 * into it; the works of one producer come out in its order; has() after a push that is ordered
 * before it says true (G.2). */
#define WF_INJECT_SLOTS 2
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
static struct wf_inject_stored store[1];
static WF_ATOMIC(uint32_t) asleep;
static WF_ATOMIC(uint32_t) event;

static void begin(void)
{
    memset(items, 0, sizeof items);
    memset(&asleep, 0, sizeof asleep);
    memset(&event, 0, sizeof event);
    memset(&q, 0, sizeof q);
    wf_inject_init(&q);
    wf_inject_give_store(&q, store, WF_COUNT(store));
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
    wloom_assert(!wf_inject_has(&q));
}

static void produce_two(void *arg)
{
    (void)arg;
    wf_inject_push(&q, make(0));
    wf_inject_push(&q, make(1));
}

static void produce_two_others(void *arg)
{
    (void)arg;
    wf_inject_push(&q, make(2));
    wf_inject_push(&q, make(3));
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
    struct wf_work *taken[3];
    int count = wf_inject_pop_batch(&q, 3, taken);
    int before = -1;
    for (int i = 0; i < count; i++) {
        int number = take(taken[i]);
        wloom_assert(before < 0 || number / 2 != before / 2 || number > before);
        before = number;
    }
}

static void two_producers_two_consumers(void)
{
    begin();
    wloom_spawn(produce_two, NULL);
    wloom_spawn(produce_two_others, NULL);
    wloom_spawn(consume_two, NULL);
    consume_one(NULL);
    end(4);
}

/* The ring is full when it begins, so that each producer meets it full, or with room again. */
static void full_ring_and_batches(void)
{
    begin();
    wf_inject_push(&q, make(4));
    wf_inject_push(&q, make(5));
    wloom_spawn(produce_two_others, NULL);
    wloom_spawn(consume_batch, NULL);
    consume_batch(NULL);
    items[0].taken = items[1].taken = 1; /* not part of this scenario */
    end(6);
}

/* What did not fit goes into the ring behind a consumer, and a slot is used again. */
static void rest_is_taken_in_order(void)
{
    begin();
    wf_inject_push(&q, make(4));
    wf_inject_push(&q, make(5));
    wf_inject_push(&q, make(0)); /* the rest */
    wloom_spawn(consume_two, NULL);
    wf_inject_push(&q, make(1));
    consume_one(NULL);
    items[2].taken = items[3].taken = 1; /* not part of this scenario */
    end(6);
}

/* The sleeper's last look: with the fences of park.h, one of the two sees the
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

static void work_is_seen_by_a_sleeper(void)
{
    begin();
    wloom_spawn(produce_and_wake, NULL);
    wloom_spawn(look_and_sleep, NULL);
    end(1);
}

/* The same while the last of the rest goes over into the ring: it is in neither for nobody. */
static void look_twice(void *arg)
{
    (void)arg;
    wloom_assert(wf_inject_has(&q));
    wloom_assert(wf_inject_has(&q));
}

static void work_is_seen_while_it_moves(void)
{
    begin();
    wf_inject_push(&q, make(4));
    wf_inject_push(&q, make(5));
    wf_inject_push(&q, make(0)); /* the rest */
    wloom_spawn(look_twice, NULL);
    take(wf_inject_pop(&q));
    take(wf_inject_pop(&q)); /* moves it */
    wloom_join_all();
    wloom_assert(take(wf_inject_pop(&q)) == 0);
}

static const struct wloom_scenario scenarios[] = {
    {"two_producers_two_consumers", two_producers_two_consumers, NULL, NULL, false},
    {"full_ring_and_batches", full_ring_and_batches, NULL, NULL, false},
    {"rest_is_taken_in_order", rest_is_taken_in_order, NULL, NULL, false},
    {"work_is_seen_by_a_sleeper", work_is_seen_by_a_sleeper, NULL, NULL, false},
    {"work_is_seen_while_it_moves", work_is_seen_while_it_moves, NULL, NULL, false},
    {NULL, NULL, NULL, NULL, false},
};

static const struct wloom_survivor survivors[] = {
    {"inject.taken", "relaxed", WLOOM_NO_LOAD_BUFFERING},
    {"inject.reuse", "relaxed", WLOOM_NO_LOAD_BUFFERING},
    {NULL, NULL, NULL},
};

static const char *const under_test[] = {"pool/inject.h", NULL};

int main(int argc, char **argv)
{
    static const struct wloom_harness harness = {
        .name = "inject",
        .scenarios = scenarios,
        .under_test = under_test,
        .survivors = survivors,
    };
    return wloom_main(&harness, argc, argv);
}
