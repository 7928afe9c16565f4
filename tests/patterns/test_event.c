/* Events and latches: set once for all or for one at a time; told by any thread; gone when waited
 * for. */
#include "sync_pattern.h"
#include <pthread.h>
#include <stdlib.h>
#include <weft/sync.h>

struct hall {
    weft_event event;
    atomic_int waiting;
    int order[16];
    int passed;
};

struct guest {
    struct hall *hall;
    int id;
};

WEFT_TASK(wait_for_it, struct guest)
{
    struct guest me = *arg;
    atomic_fetch_add(&me.hall->waiting, 1);
    int rc = weft_event_wait(&me.hall->event);
    if (rc == 0) {
        me.hall->order[me.hall->passed++] = me.id;
    }
    return rc;
}

static void open_hall(struct hall *hall, int mode)
{
    *hall = (struct hall){.passed = 0};
    weft_event_init(&hall->event, mode);
}

#define ENTER(scope, hall, number)                                        \
    do {                                                                  \
        int before_ = atomic_load(&(hall)->waiting);                      \
        weft_go(scope, wait_for_it, (&(struct guest){(hall), (number)})); \
        yield_until(&(hall)->waiting, before_ + 1);                       \
    } while (0)

/* --- manual ----------------------------------------------------------------------------------- */

TaskTest(event, a_manual_one_lets_everybody_through_until_it_is_reset, 1)
{
    struct hall hall;
    open_hall(&hall, WEFT_EVENT_MANUAL);
    wt_eq(weft_event_try(&hall.event), -EAGAIN);
    WEFT_SCOPE(s);
    for (int i = 0; i < 5; i++) {
        ENTER(&s, &hall, i);
    }
    settle();
    wt_eq(hall.passed, 0);
    wt_eq(weft_event_set(&hall.event), 0);
    wt_eq(weft_scope_end(&s), 0);
    wt_eq(hall.passed, 5);
    wt_eq(weft_event_wait(&hall.event), 0, "it stays set");
    wt_eq(weft_event_try(&hall.event), 0);
    wt_eq(weft_event_reset(&hall.event), 1);
    wt_eq(weft_event_reset(&hall.event), 0);
    wt_eq(weft_event_try(&hall.event), -EAGAIN);
    weft_event_fini(&hall.event);
    return 0;
}

TaskTest(event, those_let_through_stay_so_though_it_is_reset_at_once, 1)
{
    struct hall hall;
    open_hall(&hall, WEFT_EVENT_MANUAL);
    WEFT_SCOPE(s);
    ENTER(&s, &hall, 0);
    ENTER(&s, &hall, 1);
    wt_eq(weft_event_set(&hall.event), 0);
    wt_eq(weft_event_reset(&hall.event), 1);
    wt_eq(weft_scope_end(&s), 0);
    wt_eq(hall.passed, 2);
    weft_event_fini(&hall.event);
    return 0;
}

/* --- auto ------------------------------------------------------------------------------------- */

TaskTest(event, an_auto_one_lets_one_through_each_time_in_order, 1)
{
    struct hall hall;
    open_hall(&hall, WEFT_EVENT_AUTO);
    WEFT_SCOPE(s);
    for (int i = 0; i < 4; i++) {
        ENTER(&s, &hall, i);
    }
    for (int i = 0; i < 4; i++) {
        wt_eq(weft_event_set(&hall.event), 0);
        settle();
        wt_eq(hall.passed, i + 1);
        wt_eq(hall.order[i], i);
    }
    wt_eq(weft_scope_end(&s), 0);
    wt_eq(weft_event_try(&hall.event), -EAGAIN);
    weft_event_fini(&hall.event);
    return 0;
}

TaskTest(event, an_auto_one_that_is_set_twice_lets_one_through, 1)
{
    weft_event event;
    weft_event_init(&event, WEFT_EVENT_AUTO);
    weft_event_set(&event);
    weft_event_set(&event);
    wt_eq(weft_event_wait(&event), 0);
    wt_eq(weft_event_try(&event), -EAGAIN);
    weft_event_set(&event);
    wt_eq(weft_event_reset(&event), 1);
    wt_eq(weft_event_try(&event), -EAGAIN);
    weft_event_fini(&event);
    return 0;
}

/* As E25 */
TaskTest(event, an_auto_one_is_not_used_up_by_a_waiter_that_was_cancelled_before, 1)
{
    struct hall hall;
    open_hall(&hall, WEFT_EVENT_AUTO);
    WEFT_SCOPE(stay);
    {
        WEFT_SCOPE(go);
        ENTER(&go, &hall, 0);
        ENTER(&stay, &hall, 1);
        weft_scope_cancel(&go, NULL);
        weft_event_set(&hall.event);
        wt_eq(weft_scope_end(&go), -ECANCELED);
    }
    wt_eq(weft_scope_end(&stay), 0);
    wt_eq(hall.passed, 1);
    wt_eq(hall.order[0], 1);
    wt_eq(weft_event_try(&hall.event), -EAGAIN);
    weft_event_fini(&hall.event);
    return 0;
}

TaskTest(event, a_set_before_the_cancellation_wins, 1)
{
    struct hall hall;
    open_hall(&hall, WEFT_EVENT_AUTO);
    WEFT_SCOPE(s);
    ENTER(&s, &hall, 0);
    weft_event_set(&hall.event);
    weft_scope_cancel(&s, NULL);
    wt_eq(weft_scope_end(&s), 0);
    wt_eq(hall.passed, 1);
    weft_event_fini(&hall.event);
    return 0;
}

TaskTest(event, a_wait_under_a_deadline_ends_with_it, 1)
{
    weft_event event;
    weft_event_init(&event, WEFT_EVENT_AUTO);
    wt_eq(weft_within(0, weft_event_wait(&event)), -ETIME);
    wt_eq(weft_within(WEFT_MS(1), weft_event_wait(&event)), -ETIME);
    weft_event_set(&event);
    wt_eq(weft_within(0, weft_event_wait(&event)), 0);
    weft_event_fini(&event);
    return 0;
}

static int wait_on(void *event)
{
    return weft_event_wait(event);
}

TaskTest(event, its_end_with_waiters_is_misuse_and_they_get_eshutdown, 1, .init = misuse_noted)
{
    weft_event *event = malloc(sizeof *event);
    weft_event_init(event, WEFT_EVENT_MANUAL);
    weft_task t;
    weft_spawn(&t, wait_on, event);
    settle();
    weft_event_fini(event);
    wt_eq(atomic_load(&misuses), 1);
    free(event);
    wt_eq(weft_await(&t), -ESHUTDOWN);
    return 0;
}

Test(event, fini_of_zeroed_memory_is_harmless) /* E41 */
{
    weft_event event = {0};
    weft_event_fini(&event);
    weft_latch latch = {0};
    weft_latch_fini(&latch);
}

/* --- gone when waited for --------------------------------------------------------------------- */

static _Atomic(weft_event *) told_event; /* NULL: none yet */
static _Atomic(weft_latch *) told_latch;
static atomic_int over;

static void *tell(void *arg)
{
    (void)arg;
    while (!atomic_load(&over)) { /* ends: with the test */
        weft_event *event = atomic_exchange(&told_event, NULL);
        if (event != NULL) {
            weft_event_set(event);
        }
        weft_latch *latch = atomic_exchange(&told_latch, NULL);
        if (latch != NULL) {
            weft_latch_down(latch, 1);
        }
    }
    return NULL;
}

/* Under ASan and TSan this finds a teller that is still in the object. A round there is 10 ms where
 * others use the machine: two wakes from a sleep. */
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define FREE_ROUNDS 500
#else
#define FREE_ROUNDS 3000
#endif

TaskTest(event, a_waiter_may_free_it_while_a_foreign_thread_is_still_in_set, 2)
{
    pthread_t thread;
    wt_eq(pthread_create(&thread, NULL, tell, NULL), 0);
    for (int i = 0; i < FREE_ROUNDS; i++) {
        weft_event *event = malloc(sizeof *event);
        weft_event_init(event, i % 2);
        atomic_store(&told_event, event);
        wt_eq(weft_event_wait(event), 0);
        weft_event_fini(event);
        memset(event, 0x5a, sizeof *event);
        free(event);
        weft_latch *latch = malloc(sizeof *latch);
        weft_latch_init(latch, 1);
        atomic_store(&told_latch, latch);
        wt_eq(weft_latch_wait(latch), 0);
        weft_latch_fini(latch);
        memset(latch, 0x5a, sizeof *latch);
        free(latch);
    }
    atomic_store(&over, 1);
    pthread_join(thread, NULL);
    return 0;
}

/* --- latch ------------------------------------------------------------------------------------ */

static int wait_on_latch(void *latch)
{
    return weft_latch_wait(latch);
}

TaskTest(latch, the_last_of_the_count_opens_it_for_all, 1)
{
    weft_latch latch;
    weft_latch_init(&latch, 3);
    weft_task t[4];
    for (int i = 0; i < 4; i++) {
        weft_spawn(&t[i], wait_on_latch, &latch);
    }
    settle();
    wt_eq(weft_latch_down(&latch, 1), 0);
    settle();
    wt_eq(weft_status(&t[0]), -EINPROGRESS);
    wt_eq(weft_latch_count(&latch), 2);
    wt_eq(weft_latch_down(&latch, 2), 1);
    for (int i = 0; i < 4; i++) {
        wt_eq(weft_await(&t[i]), 0);
    }
    wt_eq(weft_latch_wait(&latch), 0, "it stays open");
    weft_latch_fini(&latch);
    return 0;
}

TaskTest(latch, counting_beyond_what_is_left_is_eoverflow_and_changes_nothing, 1)
{
    weft_latch latch;
    weft_latch_init(&latch, 2);
    wt_eq(weft_latch_down(&latch, 3), -EOVERFLOW);
    wt_eq(weft_latch_count(&latch), 2);
    wt_eq(weft_latch_down(&latch, 0), -EINVAL);
    wt_eq(weft_latch_add(&latch, 0), -EINVAL);
    wt_eq(weft_latch_add(&latch, UINT32_MAX), -EOVERFLOW);
    wt_eq(weft_latch_count(&latch), 2);
    wt_eq(weft_latch_add(&latch, 1), 0);
    wt_eq(weft_latch_down(&latch, 3), 1);
    wt_eq(weft_latch_add(&latch, 1), -EALREADY, "an open latch stays open");
    wt_eq(weft_latch_down(&latch, 1), -EOVERFLOW);
    weft_latch_fini(&latch);
    return 0;
}

TaskTest(latch, one_of_0_is_open_from_the_beginning, 1)
{
    weft_latch latch;
    weft_latch_init(&latch, 0);
    wt_eq(weft_latch_wait(&latch), 0);
    weft_latch_fini(&latch);
    return 0;
}

TaskTest(latch, a_wait_that_is_cancelled_leaves_the_count_alone, 1)
{
    weft_latch latch;
    weft_latch_init(&latch, 1);
    wt_eq(weft_within(0, weft_latch_wait(&latch)), -ETIME);
    wt_eq(weft_within(WEFT_MS(1), weft_latch_wait(&latch)), -ETIME);
    wt_eq(weft_latch_count(&latch), 1);
    wt_eq(weft_latch_down(&latch, 1), 1);
    wt_eq(weft_within(0, weft_latch_wait(&latch)), 0);
    weft_latch_fini(&latch);
    return 0;
}

/* --- many ------------------------------------------------------------------------------------- */

struct relay {
    weft_event event;
    atomic_int let_through, given_up, waiting_still;
};

WEFT_TASK(take_a_token, struct relay *)
{
    struct relay *relay = *arg;
    uint32_t dice = (uint32_t)(uintptr_t)arg;
    for (int i = 0; i < 300; i++) {
        int rc = weft_within(short_patience(&dice), weft_event_wait(&relay->event));
        atomic_fetch_add(rc == 0 ? &relay->let_through : &relay->given_up, 1);
    }
    atomic_fetch_sub(&relay->waiting_still, 1);
    return 0;
}

/* A token is only put down once the last was taken, so each set lets exactly one through. */
static int relay_of_tokens(void *arg)
{
    (void)arg;
    struct relay relay = {.waiting_still = 8};
    struct relay *pointer = &relay;
    weft_event_init(&relay.event, WEFT_EVENT_AUTO);
    int set = 0;
    WEFT_SCOPE(s);
    for (int i = 0; i < 8; i++) {
        weft_go(&s, take_a_token, &pointer);
    }
    while (atomic_load(&relay.waiting_still) > 0) { /* ends: each has a number of turns */
        if (atomic_load(&relay.let_through) == set) {
            set++;
            weft_event_set(&relay.event);
        }
        weft_yield();
    }
    wt_eq(weft_scope_end(&s), 0);
    int left = weft_event_try(&relay.event) == 0;
    wt_eq(atomic_load(&relay.let_through) + left, set);
    wt_gt(set, 1);
    weft_event_fini(&relay.event);
    return 0;
}

Test(event, no_set_is_lost_or_counts_twice_when_deadlines_race_with_it)
{
    wt_eq(weft_run(relay_of_tokens, NULL, .workers = 1), 0);
    wt_eq(weft_run(relay_of_tokens, NULL, .workers = 2), 0);
    wt_eq(weft_run(relay_of_tokens, NULL, .workers = 8), 0);
}
