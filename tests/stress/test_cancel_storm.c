/* Cancellation under load: trees of scopes that open and close while walks go through them; sources
 * that are fired, linked, ended, and their callbacks taken off, from tasks and foreign threads at
 * once.
 *
 * The seed is printed; WT_SEED repeats it (not the interleaving). */
#include "tests/stress/dice.h"
#include "tests/support/wt.h"
#include <pthread.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/resource.h>
#include <weft/cancel.h>
#include <weft/sync.h>

/* StormTest(name, workers) { body of the root task, which must return 0 } */
#define StormTest(name, workers_)                                   \
    static int name##_root(void *arg);                              \
    Test(cancel_storm, name, .timeout = 120)                        \
    {                                                               \
        wt_eq(weft_run(name##_root, NULL, .workers = workers_), 0); \
    }                                                               \
    static int name##_root(void *arg __attribute__((unused)))

static void yield_until(atomic_int *counter, int value)
{
    while (atomic_load(counter) < value) { /* ends: the test's time-out */
        wt_eq(weft_yield(), 0);
    }
}

static uint64_t seed;

/* --- a million waits -------------------------------------------------------------------------- */

static weft_sem never;
static atomic_int ticks, stop_ticking;
static atomic_int sleeps; /* of the ticker's thread: it waited for somebody, say for a lock */

static int thread_sleeps(void)
{
    struct rusage usage;
    getrusage(RUSAGE_THREAD, &usage);
    return (int)usage.ru_nvcsw;
}

/* Outside the tree that is cancelled: opens scopes, and never waits; so neither must its thread.
 * (Time proves nothing on a loaded machine: the kernel takes the processor away.) */
static int tick(void *arg)
{
    (void)arg;
    int before = thread_sleeps();
    while (!atomic_load(&stop_ticking)) {
        (void)weft_within(WEFT_SEC(3600), weft_check());
        atomic_fetch_add(&ticks, 1);
        atomic_store(&sleeps, thread_sleeps() - before);
    }
    return 0;
}

static atomic_int waiting;

WEFT_TASK(wait_here, int)
{
    (void)arg;
    atomic_fetch_add(&waiting, 1);
    return weft_sem_acquire(&never);
}

static atomic_int gone;

static int leaf_scope(int tasks)
{
    WEFT_SCOPE(s);
    for (int i = 0; i < tasks; i++) {
        weft_go(&s, wait_here, &i);
    }
    int rc = weft_scope_end(&s);
    atomic_fetch_add(&gone, tasks);
    return rc;
}

WEFT_TASK(branch, int)
{
    return leaf_scope(*arg);
}

#define BRANCHES 100
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define LEAVES 2 /* a stack costs them milliseconds */
#else
#define LEAVES 200
#endif

/* The ticker takes the second worker: it must come on while the first one walks. */
StormTest(a_wide_tree_of_waits_is_cancelled_while_others_tick, 2)
{
    weft_sem_init(&never, 0, 0);
    weft_task ticking;
    weft_spawn(&ticking, tick, NULL);
    yield_until(&ticks, 1);
    WEFT_SCOPE(s, .on_error = WEFT_CONTINUE);
    for (int i = 0; i < BRANCHES; i++) {
        wt_eq(weft_go(&s, branch, &(int){LEAVES}), 0);
    }
    yield_until(&waiting, BRANCHES * LEAVES);
    int ticks_before = atomic_load(&ticks);
    int sleeps_before = atomic_load(&sleeps);
    int64_t began_ns = now_ns();
    wt_eq(weft_scope_cancel(&s, "all of you"), 0);
    int64_t took_ns = now_ns() - began_ns;
    int slept = atomic_load(&sleeps) - sleeps_before;
    int ticked = atomic_load(&ticks) - ticks_before;
    wt_eq(weft_scope_end(&s), -ECANCELED);
    atomic_store(&stop_ticking, 1);
    weft_await(&ticking);
    wt_eq(atomic_load(&gone), BRANCHES * LEAVES);
    wt_eq(slept, 0);
    printf("cancel of %d waits: %lld us; %d ticks meanwhile, %d sleeps\n", BRANCHES * LEAVES,
           (long long)took_ns / 1000, ticked, slept);
    weft_sem_fini(&never);
    return 0;
}

/* --- scopes that open and close under walks --------------------------------------------------- */

static atomic_int naps;

static int nested(uint64_t *state, int depth)
{
    atomic_fetch_add(&naps, 1);
    switch (depth == 0 ? 4 : below(state, 5)) {
    case 0:
        return weft_within(WEFT_US(below(state, 50)), nested(state, depth - 1));
    case 1:
        return weft_shield(WEFT_US(below(state, 50)), nested(state, depth - 1));
    case 2: {
        WEFT_SCOPE(s, .timeout = WEFT_US(1 + below(state, 50)));
        int rc = nested(state, depth - 1);
        if (below(state, 4) == 0) {
            weft_scope_cancel(&s, "the dice");
        }
        int rc2 = weft_scope_end(&s);
        return rc < 0 ? rc : rc2;
    }
    case 3:
        return weft_yield();
    default:
        return weft_sleep(WEFT_US(below(state, 30)));
    }
}

WEFT_TASK(nest, uint64_t)
{
    uint64_t state = *arg;
    while (weft_check() == 0) { /* ends: its scope is cancelled */
        int rc = nested(&state, 5);
        wt_true(rc == 0 || rc == -ECANCELED || rc == -ETIME, "%d", rc);
    }
    return -ECANCELED;
}

StormTest(scopes_open_and_close_while_walks_come_through, 3)
{
    seed = first_seed();
    for (int round = 0; round < 40; round++) {
        atomic_store(&naps, 0);
        WEFT_SCOPE(outer, .timeout = WEFT_MS(5));
        for (uint64_t i = 0; i < 16; i++) {
            weft_go(&outer, nest, (&(uint64_t){seed + i * 977 + (uint64_t)round}));
        }
        if (round % 2 == 0) {
            weft_sleep(WEFT_MS(1));
            weft_scope_cancel(&outer, "enough");
        }
        int rc = weft_scope_end(&outer);
        wt_true(rc == -ECANCELED || rc == -ETIME, "%d", rc);
    }
    return 0;
}

/* --- sources ---------------------------------------------------------------------------------- */

#define SHARED 4

/* Sources that all share: one generation lives until its last user is through. */
static weft_cancel shared[SHARED];
static atomic_int called, expected;

static void count_call(void *arg)
{
    atomic_fetch_add(&called, 1);
    atomic_store((atomic_int *)arg, 1);
}

static int nap_under(uint64_t *state)
{
    return below(state, 2) ? weft_yield() : weft_sleep(WEFT_US(below(state, 40)));
}

/* One use of a source of its own, linked to two shared ones. `task`: may wait under it. */
static void use_source(uint64_t *state, bool task)
{
    atomic_int ran = 0;
    weft_cancel own;
    weft_cancel_reg link;
    weft_cancel_reg on_own;
    weft_cancel_reg on_shared;
    weft_cancel_init(&own, &shared[below(state, SHARED)]);
    (void)weft_cancel_link(&own, &shared[below(state, SHARED)], &link);
    int inline_own = weft_cancel_on(&own, &on_own, count_call, &ran);
    atomic_int ran_shared = 0;
    int inline_shared =
        weft_cancel_on(&shared[below(state, SHARED)], &on_shared, count_call, &ran_shared);
    if (task) {
        int rc = weft_under(&own, nap_under(state));
        wt_true(rc == 0 || rc == -ECANCELED || rc == -ETIME, "%d", rc);
        if (below(state, 8) == 0) {
            (void)weft_cancel_after(&own, WEFT_US(below(state, 20)));
            (void)weft_under(&own, nap_under(state));
        }
    }
    if (below(state, 4) == 0) {
        (void)weft_cancel_fire(&own, "by the user");
    }
    int off_own = weft_cancel_off(&on_own);
    wt_eq(off_own, !atomic_load(&ran));
    wt_true(inline_own == 0 || off_own == 0);
    int off_shared = weft_cancel_off(&on_shared);
    wt_eq(off_shared, !atomic_load(&ran_shared));
    wt_true(inline_shared == 0 || off_shared == 0);
    atomic_fetch_add(&expected, 2 - off_own - off_shared);
    if (below(state, 2) == 0) {
        wt_eq(weft_cancel_off(&link), 1);
    }
    weft_cancel_fini(&own);
    memset(&own, 0x5a, sizeof own);
}

struct user {
    uint64_t state;
    int turns;
};

WEFT_TASK(use_sources, struct user)
{
    struct user user = *arg;
    for (int i = 0; i < user.turns; i++) {
        use_source(&user.state, true);
    }
    return 0;
}

static void *use_sources_outside(void *arg)
{
    struct user *user = arg;
    for (int i = 0; i < user->turns; i++) {
        use_source(&user->state, false);
    }
    return NULL;
}

static void *fire_shared_outside(void *arg)
{
    uint64_t state = *(uint64_t *)arg;
    for (int i = SHARED - 1; i >= 0; i--) { /* the parent last */
        for (volatile uint32_t spin = below(&state, 100000); spin > 0; spin--) {
        }
        wt_eq(weft_cancel_fire(&shared[i], "from outside"), 0);
    }
    return NULL;
}

static void one_generation(uint64_t generation)
{
    for (int i = 0; i < SHARED; i++) {
        weft_cancel_init(&shared[i], i > 0 ? &shared[0] : NULL);
    }
    struct user outside[2] = {{seed + generation, 150}, {seed * 3 + generation, 150}};
    pthread_t threads[3];
    uint64_t firing = seed ^ generation;
    wt_eq(pthread_create(&threads[0], NULL, use_sources_outside, &outside[0]), 0);
    wt_eq(pthread_create(&threads[1], NULL, use_sources_outside, &outside[1]), 0);
    WEFT_SCOPE(s);
    for (uint64_t i = 0; i < 8; i++) {
        weft_go(&s, use_sources, (&(struct user){seed + generation * 8 + i, 60}));
    }
    wt_eq(pthread_create(&threads[2], NULL, fire_shared_outside, &firing), 0);
    wt_eq(weft_scope_end(&s), 0);
    for (int i = 0; i < 3; i++) {
        pthread_join(threads[i], NULL);
    }
    for (int i = SHARED - 1; i >= 0; i--) {
        weft_cancel_fini(&shared[i]);
    }
}

StormTest(sources_are_fired_linked_and_ended_by_all_at_once, 3)
{
    seed = first_seed();
    for (uint64_t generation = 0; generation < 30; generation++) {
        one_generation(generation);
    }
    wt_eq(atomic_load(&called), atomic_load(&expected));
    return 0;
}
