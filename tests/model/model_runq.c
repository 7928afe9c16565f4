/* model_runq.c: pool/runq.h with 4 slots: one owner, thieves with queues of their own.
 *
 * Checked in every execution: each work is taken exactly once; the taker sees what the giver wrote
 * into it; whoever takes several works of one giver takes them in the order of giving (G.2). */
#define WF_RUNQ_SLOTS 4
#include "pool/runq.h"

#include <string.h>

#define ITEMS   8
#define THIEVES 3

struct item {
    struct wf_work work;
    WF_PLAIN(int) payload;
    int taken; /* not modelled: the checker is one thread */
};

static struct wf_runq victim, own[THIEVES];
static struct item items[ITEMS];

static void begin(void)
{
    memset(&victim, 0, sizeof victim);
    memset(own, 0, sizeof own);
    memset(items, 0, sizeof items);
    wf_runq_init(&victim);
}

static struct wf_work *make(int i)
{
    wf_plain_write(&items[i].payload, 100 + i);
    return &items[i].work;
}

/* The item's number, -1 for NULL. */
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

static void push(int i)
{
    wloom_assert(wf_runq_push(&victim, make(i)));
}

static void push_or_take(int i)
{
    if (!wf_runq_push(&victim, make(i))) {
        take(&items[i].work);
    }
}

static int pop(struct wf_runq *q)
{
    return take(wf_runq_pop(q));
}

/* Items [0, n) were taken once. */
static void end(int n)
{
    wloom_join_all();
    while (pop(&victim) >= 0) {
    }
    for (int i = 0; i < THIEVES; i++) {
        while (pop(&own[i]) >= 0) {
        }
    }
    for (int i = 0; i < n; i++) {
        wloom_assert(items[i].taken == 1);
    }
    wloom_observe(true);
    wloom_assert(wf_runq_len(&victim) == 0);
}

/* --- the queue -------------------------------------------------------------------------------- */

static void thief(void *arg)
{
    struct wf_runq *mine = &own[(intptr_t)arg];
    int first = take(wf_runq_steal(&victim, mine));
    int second = pop(mine);
    wloom_assert(second < 0 || second > first);
}

static void thieves(int count)
{
    for (intptr_t i = 0; i < count; i++) {
        wf_runq_init(&own[i]);
        wloom_spawn(thief, (void *)i);
    }
}

static void push_pop_two_thieves(void)
{
    begin();
    thieves(2);
    push(0);
    push(1);
    int first = pop(&victim);
    int second = pop(&victim);
    wloom_assert(second < 0 || second > first);
    end(2);
}

static void last_entry_three_thieves(void)
{
    begin();
    push(0);
    thieves(3);
    pop(&victim);
    end(1);
}

static void halves_of_four(void)
{
    begin();
    for (int i = 0; i < 4; i++) {
        push(i);
    }
    thieves(2);
    int first = pop(&victim);
    wloom_assert(first >= 0);
    int second = pop(&victim);
    wloom_assert(second < 0 || second > first);
    end(4);
}

/* The same slot, one round later. */
static void slot_used_again(void)
{
    begin();
    for (int i = 0; i < 4; i++) {
        push(i);
    }
    thieves(2);
    push_or_take(4);
    push_or_take(5);
    end(6);
}

/* A thief whose own queue is being robbed, and has hardly room. */
static void robber(void *arg)
{
    (void)arg;
    take(wf_runq_steal(&own[0], &own[1]));
    take(wf_runq_steal(&own[0], &own[1]));
    pop(&own[1]);
}

static void thief_with_little_room(void *arg)
{
    (void)arg;
    take(wf_runq_steal(&victim, &own[0]));
    pop(&own[0]);
}

static void thief_is_robbed(void)
{
    begin();
    wf_runq_init(&own[0]);
    wf_runq_init(&own[1]);
    for (int i = 0; i < 4; i++) {
        push(i);
    }
    for (int i = 4; i < 7; i++) {
        wloom_assert(wf_runq_push(&own[0], make(i)));
    }
    wloom_spawn(thief_with_little_room, NULL);
    wloom_spawn(robber, NULL);
    pop(&victim);
    end(7);
}

static const struct wloom_scenario scenarios[] = {
    {"push_pop_two_thieves", push_pop_two_thieves, NULL, NULL, false},
    {"last_entry_three_thieves", last_entry_three_thieves, NULL, NULL, false},
    {"halves_of_four", halves_of_four, NULL, NULL, false},
    {"slot_used_again", slot_used_again, NULL, NULL, false},
    {"thief_is_robbed", thief_is_robbed, NULL, NULL, false},
    {NULL, NULL, NULL, NULL, false},
};

static const struct wloom_survivor survivors[] = {
    {"runq.taken", "relaxed", WLOOM_NO_LOAD_BUFFERING},
    {"runq.reuse", "relaxed", WLOOM_NO_LOAD_BUFFERING},
    {"runq.own", "relaxed", WLOOM_NO_LOAD_BUFFERING},
    {NULL, NULL, NULL},
};

static const char *const under_test[] = {"pool/runq.h", NULL};

int main(int argc, char **argv)
{
    static const struct wloom_harness harness = {
        .name = "runq",
        .scenarios = scenarios,
        .under_test = under_test,
        .survivors = survivors,
    };
    return wloom_main(&harness, argc, argv);
}
