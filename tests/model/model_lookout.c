/* model_lookout.c: the lookouts of a pool (pool/lookout.h, lookout.c) with pool/park.c in full: a
 * worker that wakes up, or begins to have something under way, and others that sleep and look. The
 * owner then computes, until a lookout has seen it: if all sleep, that is a deadlock here too. Of a
 * lookout's sleeps, that of a term ends at once; or, if another looks just then, when that look is
 * over.
 *
 * Checked in every execution: the owner is seen; one looks at a time; nobody is counted at the
 * end. */
#include <stdint.h>

static uint32_t places; /* for lookouts: fewer than the real ones show more with fewer workers */

#define WF_WORKERS_MAX  3
#define WF_LOOKOUTS_MAX places
#include "pool/lookout.h"
#include "pool/park.c"

static bool (*appoint)(struct wf_lookouts *lookouts);

#define wf_lookout_appoint(lookouts) appoint(lookouts)
#define LOOKOUT_LINGER               1
#include "pool/lookout.c"

#define OWNER 0 /* of the workers; the others look */

static struct wf_pool pool;
static struct wf_worker worker[WF_WORKERS_MAX];
static WF_ATOMIC(uint32_t) exposed; /* the owner has something under way */
static WF_ATOMIC(uint32_t) woken[WF_WORKERS_MAX];
static WF_ATOMIC(uint32_t) seen;   /* the owner, by a lookout */
static WF_ATOMIC(uint32_t) looked; /* a look is over */
static WF_PLAIN(int) rounds;       /* what lookouts write down */
/* an observer's, not modelled: the checker is one thread */
static int over;
static bool has_looked[WF_WORKERS_MAX];

/* --- the driver ------------------------------------------------------------------------------- */

static bool is_due(struct wf_driver *driver, struct wf_worker *self)
{
    (void)driver, (void)self;
    return false;
}

static bool is_exposed(struct wf_driver *driver, int index)
{
    (void)driver;
    return index == OWNER && wf_load_relaxed(&exposed) != 0; /* relaxed: as the drivers' */
}

static void wake(struct wf_driver *driver, int index)
{
    (void)driver;
    wf_store_relaxed(&woken[index], 1);
}

/* 0: the owner was seen, who is awake. It has what it was for, and the others need not sleep on. */
static int64_t look(struct wf_driver *driver, struct wf_worker *self)
{
    wf_plain_write(&rounds, wf_plain_read(&rounds) + 1);
    has_looked[self->index] = true;
    if (!is_any_awake_exposed(self)) {
        return INT64_MAX;
    }
    over = 1;
    wf_store_relaxed(&seen, 1);
    for (int i = 0; i < pool.worker_count; i++) {
        wake(driver, i);
    }
    return 0;
}

static const struct wf_driver_ops driver_ops = {
    .is_due = is_due, .is_exposed = is_exposed, .wake = wake, .rescue = look};
static struct wf_driver driver = {.ops = &driver_ops};

static int64_t no_time(void)
{
    return 0;
}

struct wf_sys wf_sys = {.now_ns = no_time};

void wf_sleep_until(struct wf_worker *self, int64_t deadline_ns)
{
    if (deadline_ns == INT64_MAX) {
        wloom_event_wait(&woken[self->index]);
    } else if (has_looked[self->index]) {
        wf_store_relaxed(&looked, 1);
    } else {
        wloom_event_wait(&looked);
    }
    has_looked[self->index] = false;
}

/* --- workers ---------------------------------------------------------------------------------- */

static bool no_more(void *arg)
{
    (void)arg;
    return false;
}

/* It has slept with something under way, and its driver wakes it. */
static void wakes_up(void *arg)
{
    (void)arg;
    wf_park_retract(&pool.park, OWNER);
    wf_post_lookout(&worker[OWNER]);
    (void)wf_park_found(&pool.park, OWNER, no_more, NULL);
    wloom_event_wait(&seen); /* computes */
}

/* It is awake, with something to run, and begins to have something under way. */
static void becomes_exposed(void *arg)
{
    static struct wf_work work;
    (void)arg;
    worker[OWNER].pinned.first = &work;
    wf_store_relaxed(&exposed, 1); /* relaxed: as the driver's count of what is in flight */
    wf_exposed(&worker[OWNER]);
    wloom_event_wait(&seen); /* computes */
}

static void sleeps_and_looks(void *arg)
{
    struct wf_worker *self = arg;
    while (over == 0) { /* ends: the owner is seen */
        wf_park_announce(&pool.park, (int)self->index);
        if (over == 0) {
            wf_sleep_on(self);
            wf_store_relaxed(&looked, 1);
        }
        wf_park_retract(&pool.park, (int)self->index);
        (void)wf_park_found(&pool.park, (int)self->index, no_more, NULL);
    }
}

static void start(int count, uint32_t places_n, void (*owner)(void *arg))
{
    memset(&pool, 0, sizeof pool);
    memset(worker, 0, sizeof worker);
    memset(woken, 0, sizeof woken);
    memset(has_looked, 0, sizeof has_looked);
    memset(&seen, 0, sizeof seen);
    memset(&looked, 0, sizeof looked);
    wf_plain_write(&rounds, 0);
    over = 0;
    places = places_n;
    pool.workers = worker;
    pool.worker_count = count;
    for (int i = 0; i < count; i++) {
        worker[i].pool = &pool;
        worker[i].driver = &driver;
        worker[i].index = (uint32_t)i;
        wf_store_relaxed(&worker[i].wheel.next_ns, INT64_MAX);
    }
    wloom_assert(wf_park_init(&pool.park, count) == 0);
    wf_store_relaxed(&exposed, owner == wakes_up);
    if (owner == wakes_up) {
        wf_park_announce(&pool.park, OWNER);
    }
    wloom_spawn(owner, NULL);
    for (int i = 1; i < count; i++) {
        wloom_spawn(sleeps_and_looks, &worker[i]);
    }
    wloom_join_all();
    wloom_assert(wf_load_relaxed(&pool.lookouts.count) == 0);
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
