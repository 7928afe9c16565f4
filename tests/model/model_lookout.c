/* model_lookout.c: the lookouts of a pool (pool/lookout.h) with pool/park.c in full: a worker
 * that wakes up, or begins to have something under way, and others that sleep and look.
 *
 * What is modelled of lookout.c: wf_sleep_on (a lookout looks once, where the real one does so
 * four times), wf_post_lookout, and the claim by which it wakes somebody. The owner then computes,
 * until a lookout has seen it: if all sleep, that is a deadlock here too.
 *
 * Checked in every execution: the owner is seen; one looks at a time; nobody is counted at the
 * end. */
#include <stdint.h>

static uint32_t places; /* for lookouts: fewer than the real ones show more with fewer workers */

#define WF_WORKERS_MAX  3
#define WF_LOOKOUTS_MAX places
#include "pool/lookout.h"
#include "pool/park.c"

#define OWNER 0 /* of the workers; the others look */

static struct wf_park park;
static struct wf_lookouts lookouts;
static int workers;
static WF_ATOMIC(uint32_t) exposed; /* the owner has something under way */
static WF_ATOMIC(uint32_t) woken[WF_WORKERS_MAX];
static WF_ATOMIC(uint32_t) seen;   /* the owner, by a lookout */
static WF_ATOMIC(uint32_t) looked; /* a look is over */
static WF_PLAIN(int) rounds;       /* what lookouts write down */
static int over;                   /* an observer's, not modelled: the checker is one thread */
static bool (*appoint)(struct wf_lookouts *lookouts);

static bool is_awake_exposed(void)
{
    /* relaxed, both: as is_any_awake_exposed */
    return wf_park_state(&park, OWNER) < WF_PARK_PARKED && wf_load_relaxed(&exposed) != 0;
}

static void post_lookout(void)
{
    if (!wf_lookout_is_missing(&lookouts) || !is_awake_exposed()) {
        return;
    }
    for (int i = workers - 1; i >= 0; i--) {
        if (wf_park_state(&park, i) == WF_PARK_PARKED && wf_park_claim(&park, i)) {
            wf_store_relaxed(&woken[i], 1);
            return;
        }
    }
}

/* A lookout has found it: it has what it was for, and the others need not sleep on. */
static void end_all(void)
{
    over = 1;
    wf_store_relaxed(&seen, 1);
    for (int i = 0; i < workers; i++) {
        wf_store_relaxed(&woken[i], 1);
    }
}

static bool no_more(void *arg)
{
    (void)arg;
    return false;
}

/* It has slept with something under way, and its driver wakes it. */
static void wakes_up(void *arg)
{
    (void)arg;
    wf_park_retract(&park, OWNER);
    post_lookout();
    (void)wf_park_found(&park, OWNER, no_more, NULL);
    wloom_event_wait(&seen); /* computes */
}

/* It is awake, and begins to have something under way: wf_exposed. */
static void becomes_exposed(void *arg)
{
    (void)arg;
    wf_store_relaxed(&exposed, 1); /* relaxed: as the driver's count of what is in flight */
    post_lookout();
    wloom_event_wait(&seen); /* computes */
}

/* True: the owner was seen, who is awake. */
static bool look(void)
{
    while (!wf_lookout_begin(&lookouts)) { /* ends: one other looks, and is soon through */
        wloom_event_wait(&looked);         /* the real one asks again after a millisecond */
    }
    wf_plain_write(&rounds, wf_plain_read(&rounds) + 1);
    bool awake = is_awake_exposed();
    wf_lookout_end(&lookouts);
    wf_store_relaxed(&looked, 1);
    if (awake) {
        end_all();
    }
    return awake;
}

static void sleep_on(int self)
{
    bool wanted = false;
    bool needed = wf_load_relaxed(&exposed) != 0; /* relaxed: as is_any_exposed */
    while (needed && appoint(&lookouts)) {
        wanted = look();
        wf_lookout_resign(&lookouts);
        needed = !wanted && is_awake_exposed();
    }
    if (!wanted) {
        wloom_event_wait(&woken[self]);
    }
}

static void sleeps_and_looks(void *arg)
{
    int self = (int)(intptr_t)arg;
    while (over == 0) { /* ends: the owner is seen */
        wf_park_announce(&park, self);
        if (over == 0) {
            sleep_on(self);
        }
        wf_park_retract(&park, self);
        (void)wf_park_found(&park, self, no_more, NULL);
    }
}

static void start(int count, uint32_t places_n, void (*owner)(void *arg))
{
    memset(&lookouts, 0, sizeof lookouts);
    memset(woken, 0, sizeof woken);
    memset(&seen, 0, sizeof seen);
    memset(&looked, 0, sizeof looked);
    wf_plain_write(&rounds, 0);
    over = 0;
    workers = count;
    places = places_n;
    wloom_assert(wf_park_init(&park, count) == 0);
    wf_store_relaxed(&exposed, owner == wakes_up);
    if (owner == wakes_up) {
        wf_park_announce(&park, OWNER);
    }
    wloom_spawn(owner, NULL);
    for (int i = 1; i < count; i++) {
        wloom_spawn(sleeps_and_looks, (void *)(intptr_t)i);
    }
    wloom_join_all();
    wloom_assert(wf_load_relaxed(&lookouts.count) == 0);
}

static void one_that_wakes_up_is_seen(void)
{
    appoint = wf_lookout_appoint;
    start(2, 1, wakes_up);
}

static void one_that_becomes_exposed_is_seen(void)
{
    appoint = wf_lookout_appoint;
    start(2, 1, becomes_exposed);
}

static void two_for_one_place(void)
{
    appoint = wf_lookout_appoint;
    start(3, 1, wakes_up);
}

static void two_look(void)
{
    appoint = wf_lookout_appoint;
    start(3, 2, wakes_up);
}

/* Counts itself before it knows whether there is a place. */
static bool appoint_too_early(struct wf_lookouts *l)
{
    if (wf_add_relaxed(&l->count, 1) < WF_LOOKOUTS_MAX) {
        return true;
    }
    (void)wf_sub_relaxed(&l->count, 1);
    return false;
}

static void counting_before_there_is_a_place(void)
{
    appoint = appoint_too_early;
    start(3, 1, wakes_up);
}

static const struct wloom_scenario scenarios[] = {
    {"one that wakes up is seen", one_that_wakes_up_is_seen, NULL, NULL, false},
    {"one that becomes exposed is seen", one_that_becomes_exposed_is_seen, NULL, NULL, false},
    {"two for one place", two_for_one_place, NULL, NULL, false},
    {"two look", two_look, NULL, NULL, false},
    {"counting before there is a place", counting_before_there_is_a_place, "deadlock", "deadlock",
     true},
    {NULL, NULL, NULL, NULL, false},
};

static const struct wloom_survivor survivors[] = {
    {NULL, NULL, NULL},
};

static const char *const under_test[] = {"lookout.h", NULL};

int main(int argc, char **argv)
{
    static const struct wloom_harness harness = {
        .name = "lookout",
        .scenarios = scenarios,
        .under_test = under_test,
        .survivors = survivors,
        .share = 0.4,
    };
    return wloom_main(&harness, argc, argv);
}
