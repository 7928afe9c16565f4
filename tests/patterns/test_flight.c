/* Single flight: those who want the same at the same time share one call. */
#include "sync_pattern.h"
#include <stdlib.h>
#include <weft/reuse.h>
#include <weft/sync.h>

struct answer {
    int value;
    int by; /* who asked */
};

static weft_flight flight;
static weft_event may; /* manual: each call of ask waits for it */
static atomic_int asked;

static void begin(void)
{
    weft_flight_init(&flight, sizeof(struct answer));
    weft_event_init(&may, WEFT_EVENT_MANUAL);
    atomic_store(&asked, 0);
}

struct question {
    const char *key;
    int id;
    int rc;
    struct answer answer;
};

/* The dear thing. */
static int ask(void *arg, void *result)
{
    struct question *q = arg;
    struct answer *answer = result;
    int number = atomic_fetch_add(&asked, 1) + 1;
    int rc = weft_event_wait(&may);
    if (rc < 0) {
        return rc;
    }
    *answer = (struct answer){number * 100, q->id};
    return q->rc;
}

static int look_up(void *arg)
{
    struct question *q = arg;
    return weft_flight_call(&flight, q->key, strlen(q->key), ask, q, &q->answer);
}

WEFT_TASK(look_up_pooled, struct question *)
{
    return look_up(*arg);
}

TaskTest(flight, those_who_come_while_it_runs_share_one_call, 1)
{
    begin();
    struct question q[5];
    weft_task t[5];
    for (int i = 0; i < 5; i++) {
        q[i] = (struct question){.key = "a", .id = i, .rc = 3};
        weft_spawn(&t[i], look_up, &q[i]);
    }
    settle();
    wt_eq(atomic_load(&asked), 1);
    weft_event_set(&may);
    for (int i = 0; i < 5; i++) {
        wt_eq(weft_await(&t[i]), 3);
        wt_eq(q[i].answer.value, 100);
        wt_eq(q[i].answer.by, q[0].answer.by);
    }
    wt_eq(look_up(&q[0]), 3);
    wt_eq(q[0].answer.value, 200, "it is no cache");
    weft_flight_fini(&flight);
    return 0;
}

TaskTest(flight, other_keys_have_calls_of_their_own, 1)
{
    begin();
    char keys[40][16];
    struct question q[40];
    weft_task t[40];
    for (int i = 0; i < 40; i++) { /* more than there are buckets */
        snprintf(keys[i], sizeof keys[i], "%d", i / 2);
        q[i] = (struct question){.key = keys[i], .id = i};
        weft_spawn(&t[i], look_up, &q[i]);
    }
    settle();
    wt_eq(atomic_load(&asked), 20);
    weft_event_set(&may);
    for (int i = 0; i < 40; i++) {
        wt_eq(weft_await(&t[i]), 0);
        wt_eq(q[i].answer.by / 2, i / 2);
    }
    weft_flight_fini(&flight);
    return 0;
}

TaskTest(flight, a_failure_is_shared_too, 1)
{
    begin();
    struct question q[3];
    weft_task t[3];
    for (int i = 0; i < 3; i++) {
        q[i] = (struct question){.key = "", .id = i, .rc = -EIO};
        weft_spawn(&t[i], look_up, &q[i]);
    }
    settle();
    weft_event_set(&may);
    for (int i = 0; i < 3; i++) {
        wt_eq(weft_await(&t[i]), -EIO);
    }
    wt_eq(atomic_load(&asked), 1);
    weft_flight_fini(&flight);
    return 0;
}

/* --- cancellation, deadlines ------------------------------------------------------------------ */

TaskTest(flight, a_leader_that_is_cancelled_hands_the_lead_to_one_who_waits, 1)
{
    begin();
    struct question q[4];
    for (int i = 0; i < 4; i++) {
        q[i] = (struct question){.key = "a", .id = i};
    }
    WEFT_SCOPE(stay);
    {
        WEFT_SCOPE(go);
        struct question *first = &q[0];
        weft_go(&go, look_up_pooled, &first);
        yield_until(&asked, 1);
        for (int i = 2; i < 4; i++) {
            struct question *pointer = &q[i];
            weft_go(&stay, look_up_pooled, &pointer);
        }
        settle();
        wt_eq(atomic_load(&asked), 1);
        weft_scope_cancel(&go, NULL);
        wt_eq(weft_scope_end(&go), -ECANCELED);
    }
    yield_until(&asked, 2);
    weft_event_set(&may);
    wt_eq(weft_scope_end(&stay), 0);
    wt_eq(atomic_load(&asked), 2);
    wt_eq(q[2].answer.value, 200);
    wt_eq(q[3].answer.value, 200);
    wt_eq(q[2].answer.by, q[3].answer.by);
    weft_flight_fini(&flight);
    return 0;
}

TaskTest(flight, a_waiter_that_is_cancelled_leaves_the_call_to_the_others, 1)
{
    begin();
    struct question lead = {.key = "a", .id = 1};
    weft_task t;
    weft_spawn(&t, look_up, &lead);
    yield_until(&asked, 1);
    struct question mine = {.key = "a", .id = 2};
    wt_eq(weft_within(0, look_up(&mine)), -ETIME);
    wt_eq(weft_within(WEFT_MS(1), look_up(&mine)), -ETIME);
    wt_eq(mine.answer.value, 0);
    weft_event_set(&may);
    wt_eq(weft_await(&t), 0);
    wt_eq(atomic_load(&asked), 1);
    weft_flight_fini(&flight);
    return 0;
}

/* --- rules ------------------------------------------------------------------------------------ */

static int ask_again(void *arg, void *result)
{
    int *inner_rc = arg;
    *inner_rc = weft_flight_call(&flight, "k", 1, ask_again, arg, result);
    return 0;
}

TaskTest(flight, a_call_of_itself_is_edeadlk_and_no_hang, 1)
{
    begin();
    int inner_rc = 0;
    struct answer answer;
    wt_eq(weft_flight_call(&flight, "k", 1, ask_again, &inner_rc, &answer), 0);
    wt_eq(inner_rc, -EDEADLK);
    wt_eq(weft_flight_call(&flight, "k", WEFT_FLIGHT_KEY_MAX + 1, ask_again, &inner_rc, &answer),
          -E2BIG);
    weft_flight_fini(&flight);
    return 0;
}

TaskTest(flight, its_end_with_calls_under_way_is_misuse_and_waiters_get_eshutdown, 1,
         .init = misuse_noted)
{
    begin();
    struct question q[2] = {{.key = "a"}, {.key = "a"}};
    weft_task t[2];
    weft_spawn(&t[0], look_up, &q[0]);
    weft_spawn(&t[1], look_up, &q[1]);
    settle();
    weft_flight_fini(&flight);
    wt_eq(atomic_load(&misuses), 1);
    weft_event_set(&may);
    int rc = weft_await(&t[0]);
    int rc2 = weft_await(&t[1]);
    wt_eq(rc + rc2, -ESHUTDOWN, "one had the lead, and lands");
    return 0;
}

Test(flight, fini_of_zeroed_memory_is_harmless) /* E41 */
{
    weft_flight zeroed = {0};
    weft_flight_fini(&zeroed);
}

Test(flight, results_that_are_too_large_are_misuse, .init = misuse_noted)
{
    weft_flight large;
    weft_flight_init(&large, WEFT_FLIGHT_RESULT_MAX + 1);
    wt_eq(atomic_load(&misuses), 1);
    weft_flight_fini(&large);
}

/* --- many ------------------------------------------------------------------------------------- */

static atomic_int running[3]; /* per key: never two at once */
static atomic_long ran, shared, gave_up;

struct number {
    uint32_t key;
    uint32_t square;
};

static int compute(void *arg, void *result)
{
    const uint32_t *key = arg;
    struct number *number = result;
    wt_eq(atomic_fetch_add(&running[*key], 1), 0, "two run with one key");
    int rc = weft_yield();
    atomic_fetch_sub(&running[*key], 1);
    if (rc < 0) {
        return rc;
    }
    atomic_fetch_add(&ran, 1);
    *number = (struct number){*key, (*key + 7) * (*key + 7)};
    return 0;
}

WEFT_TASK(want_numbers, int)
{
    uint32_t dice = (uint32_t)*arg * 977;
    for (int i = 0; i < 500; i++) {
        uint32_t key = roll(&dice) % 3;
        struct number number = {0, 0};
        weft_time patience = roll(&dice) % 2 ? short_patience(&dice) : WEFT_FOREVER;
        int rc = weft_within(patience,
                             weft_flight_call(&flight, &key, sizeof key, compute, &key, &number));
        if (rc == 0) {
            wt_eq(number.key, key);
            wt_eq(number.square, (key + 7) * (key + 7));
        }
        wt_true(rc == 0 || rc == -ETIME, "%d", rc);
        atomic_fetch_add(rc == 0 ? &shared : &gave_up, 1);
    }
    return 0;
}

static int many_want_numbers(void *arg)
{
    (void)arg;
    weft_flight_init(&flight, sizeof(struct number));
    WEFT_SCOPE(s);
    for (int i = 0; i < 16; i++) {
        weft_go(&s, want_numbers, &i);
    }
    wt_eq(weft_scope_end(&s), 0);
    weft_flight_fini(&flight);
    return 0;
}

Test(flight, never_two_run_with_one_key_when_deadlines_race_with_landings)
{
    wt_eq(weft_run(many_want_numbers, NULL, .workers = 1), 0);
    wt_eq(weft_run(many_want_numbers, NULL, .workers = 2), 0);
    wt_eq(weft_run(many_want_numbers, NULL, .workers = 8), 0);
    wt_eq(atomic_load(&shared) + atomic_load(&gave_up), 3 * 16 * 500);
    wt_le(atomic_load(&ran), atomic_load(&shared) + atomic_load(&gave_up));
}
