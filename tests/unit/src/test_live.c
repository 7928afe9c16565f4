/* A second initialisation of an object that is alive, which builds with checks find (E42). */
#include "src/live.h"
#include "tests/support/wt.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <weft/weft.h>

static char said[512];
static int times;

static void note(const char *what)
{
    snprintf(said, sizeof said, "%s", what);
    times++;
}

static void hook_on(void)
{
    weft_on_misuse(note);
}

/* Every object in the caller's memory that has an init and a fini. */
static union {
    weft_sem sem;
    weft_mutex mutex;
    weft_rwlock rwlock;
    weft_event event;
    weft_latch latch;
    weft_barrier barrier;
    weft_ticker ticker;
    weft_flight flight;
    weft_cancel cancel;
} memory;

#define OBJECTS(X)                                           \
    X(sem, weft_sem_init(&memory.sem, 1, 1))                 \
    X(mutex, weft_mutex_init(&memory.mutex))                 \
    X(rwlock, weft_rwlock_init(&memory.rwlock))              \
    X(event, weft_event_init(&memory.event, 0))              \
    X(latch, weft_latch_init(&memory.latch, 1))              \
    X(barrier, weft_barrier_init(&memory.barrier, 2))        \
    X(ticker, weft_ticker_init(&memory.ticker, WEFT_SEC(1))) \
    X(flight, weft_flight_init(&memory.flight, 8))           \
    X(cancel, weft_cancel_init(&memory.cancel, NULL))

struct object {
    const char *name;
    void (*init)(void);
    void (*fini)(void);
};

#define FUNCTIONS(noun, init_call)        \
    static void init_##noun(void)         \
    {                                     \
        init_call;                        \
    }                                     \
    static void fini_##noun(void)         \
    {                                     \
        weft_##noun##_fini(&memory.noun); \
    }
#define ROW(noun, init_call) {"weft_" #noun, init_##noun, fini_##noun},

OBJECTS(FUNCTIONS)
static const struct object objects[] = {OBJECTS(ROW)};
#define OBJECT_COUNT (sizeof objects / sizeof objects[0])

/* E42 */
Test(live, a_second_init_of_a_live_object_is_misuse_that_names_both, .init = hook_on)
{
    for (size_t i = 0; WF_CHECKS && i < OBJECT_COUNT; i++) {
        times = 0;
        objects[i].init();
        wt_eq(times, 0, "%s", said);
        objects[i].init();
        wt_eq(times, 1, "%s", objects[i].name);
        wt_true(strstr(said, objects[i].name) == said, "%s", said);
        wt_true(strstr(said, "_fini") != NULL, "%s", said);
        objects[i].fini();
    }
}

/* E42 */
Test(live, an_init_where_another_kind_of_object_is_alive_is_misuse, .init = hook_on)
{
    init_sem();
    init_event();
    wt_eq(times, WF_CHECKS ? 1 : 0);
    wt_true(!WF_CHECKS || strstr(said, "weft_sem_fini") != NULL, "%s", said);
    fini_event();
}

/* E42 */
Test(live, after_its_fini_the_memory_may_be_used_for_any_object, .init = hook_on)
{
    for (int round = 0; round < 3; round++) {
        for (size_t i = 0; i < OBJECT_COUNT; i++) {
            objects[i].init();
            objects[i].fini();
        }
    }
    wt_eq(times, 0, "%s", said);
}

/* E41 */
Test(live, every_fini_accepts_zeroed_memory, .init = hook_on)
{
    for (size_t i = 0; i < OBJECT_COUNT; i++) {
        memset(&memory, 0, sizeof memory);
        objects[i].fini();
    }
    wt_eq(times, 0, "%s", said);
}

/* E42: libuv#3266 is what comes of looking at the memory. */
Test(live, what_the_memory_holds_proves_nothing, .init = hook_on)
{
    init_sem();
    weft_sem copy;
    memcpy(&copy, &memory.sem, sizeof copy); /* looks like a live one */
    weft_sem_init(&copy, 0, 1);
    memset(&memory, 0, sizeof memory); /* looks like none */
    wt_eq(times, 0, "%s", said);
    init_sem();
    wt_eq(times, WF_CHECKS ? 1 : 0);
    fini_sem();
    weft_sem_fini(&copy);
}

Test(live, more_objects_than_the_table_holds_are_not_reported, .init = hook_on)
{
    int n = 2 * WF_LIVE_BUCKETS * WF_LIVE_SLOTS;
    weft_mutex *mutexes = malloc((size_t)n * sizeof *mutexes);
    for (int round = 0; round < 2; round++) {
        for (int i = 0; i < n; i++) {
            weft_mutex_init(&mutexes[i]);
        }
        for (int i = 0; i < n; i++) {
            weft_mutex_fini(&mutexes[i]);
        }
    }
    wt_eq(times, 0, "%s", said);
    free(mutexes);
}
