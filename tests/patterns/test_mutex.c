/* The mutex: one owner, in order; cancellation leaves it alone; its rules are watched. */
#include "sync_pattern.h"
#include <stdlib.h>
#include <weft/sync.h>

struct line {
    weft_mutex mutex;
    atomic_int waiting;
    int order[16];
    int passed;
};

struct in_line {
    struct line *line;
    int id;
};

WEFT_TASK(pass_through, struct in_line)
{
    struct line *line = arg->line;
    int id = arg->id;
    atomic_fetch_add(&line->waiting, 1);
    int rc = weft_mutex_lock(&line->mutex);
    if (rc == 0) {
        line->order[line->passed++] = id;
        weft_yield();
        rc = weft_mutex_unlock(&line->mutex);
    }
    return rc;
}

static void start_line(struct line *line)
{
    *line = (struct line){0};
    weft_mutex_init(&line->mutex);
}

TaskTest(mutex, it_is_owned_from_lock_to_unlock, 1)
{
    weft_mutex mutex;
    weft_mutex_init(&mutex);
    wt_true(weft_mutex_owner(&mutex) == NULL);
    wt_eq(weft_mutex_lock(&mutex), 0);
    wt_true(weft_mutex_owner(&mutex) != NULL);
    wt_eq(weft_mutex_unlock(&mutex), 0);
    wt_true(weft_mutex_owner(&mutex) == NULL);
    wt_eq(weft_mutex_try(&mutex), 0);
    wt_eq(weft_mutex_unlock(&mutex), 0);
    weft_mutex_fini(&mutex);
    return 0;
}

TaskTest(mutex, it_goes_to_those_who_wait_in_the_order_in_which_they_came, 1)
{
    struct line line;
    start_line(&line);
    wt_eq(weft_mutex_lock(&line.mutex), 0);
    WEFT_SCOPE(s);
    for (int i = 0; i < 12; i++) {
        weft_go(&s, pass_through, (&(struct in_line){&line, i}));
        yield_until(&line.waiting, i + 1);
    }
    wt_eq(weft_mutex_unlock(&line.mutex), 0);
    wt_eq(weft_mutex_try(&line.mutex), -EAGAIN, "it was handed over");
    wt_eq(weft_scope_end(&s), 0);
    wt_eq(line.passed, 12);
    for (int i = 0; i < 12; i++) {
        wt_eq(line.order[i], i);
    }
    weft_mutex_fini(&line.mutex);
    return 0;
}

TaskTest(mutex, the_owner_is_named_by_where_it_was_started, 1)
{
    struct line line;
    start_line(&line);
    wt_eq(weft_mutex_lock(&line.mutex), 0);
    WEFT_SCOPE(s);
    int line_number = __LINE__ + 1;
    weft_go(&s, pass_through, (&(struct in_line){&line, 1}));
    yield_until(&line.waiting, 1);
    wt_eq(weft_mutex_unlock(&line.mutex), 0);
    wt_eq(weft_mutex_owner(&line.mutex)->line, line_number);
    wt_eq(weft_scope_end(&s), 0);
    weft_mutex_fini(&line.mutex);
    return 0;
}

/* --- cancellation, deadlines ------------------------------------------------------------------ */

TaskTest(mutex, a_cancelled_waiter_is_passed_over_and_the_others_keep_their_order, 1)
{
    struct line line;
    start_line(&line);
    wt_eq(weft_mutex_lock(&line.mutex), 0);
    WEFT_SCOPE(stay);
    {
        WEFT_SCOPE(go);
        weft_go(&go, pass_through, (&(struct in_line){&line, 0}));
        yield_until(&line.waiting, 1);
        weft_go(&stay, pass_through, (&(struct in_line){&line, 1}));
        yield_until(&line.waiting, 2);
        weft_go(&go, pass_through, (&(struct in_line){&line, 2}));
        yield_until(&line.waiting, 3);
        weft_go(&stay, pass_through, (&(struct in_line){&line, 3}));
        yield_until(&line.waiting, 4);
        weft_scope_cancel(&go, NULL);
        wt_eq(weft_mutex_unlock(&line.mutex), 0);
        wt_eq(weft_scope_end(&go), -ECANCELED);
    }
    wt_eq(weft_scope_end(&stay), 0);
    wt_eq(line.passed, 2);
    wt_eq(line.order[0], 1);
    wt_eq(line.order[1], 3);
    weft_mutex_fini(&line.mutex);
    return 0;
}

TaskTest(mutex, a_hand_over_before_the_cancellation_wins, 1)
{
    struct line line;
    start_line(&line);
    wt_eq(weft_mutex_lock(&line.mutex), 0);
    WEFT_SCOPE(s);
    weft_go(&s, pass_through, (&(struct in_line){&line, 0}));
    yield_until(&line.waiting, 1);
    wt_eq(weft_mutex_unlock(&line.mutex), 0);
    weft_scope_cancel(&s, NULL);
    wt_eq(weft_scope_end(&s), 0);
    wt_eq(line.passed, 1);
    wt_true(weft_mutex_owner(&line.mutex) == NULL, "unlocking works in a cancelled scope");
    weft_mutex_fini(&line.mutex);
    return 0;
}

static int lock_for_a_while(void *mutex)
{
    int rc = weft_within(WEFT_MS(1), weft_mutex_lock(mutex));
    wt_eq(weft_within(0, weft_mutex_lock(mutex)), -ETIME);
    return rc;
}

TaskTest(mutex, a_deadline_that_passes_leaves_it_to_its_owner, 1)
{
    weft_mutex mutex;
    weft_mutex_init(&mutex);
    wt_eq(weft_within(0, weft_mutex_lock(&mutex)), 0, "free: no need to wait");
    weft_task t;
    weft_spawn(&t, lock_for_a_while, &mutex);
    wt_eq(weft_await(&t), -ETIME);
    wt_eq(weft_mutex_unlock(&mutex), 0);
    wt_eq(weft_mutex_try(&mutex), 0);
    wt_eq(weft_mutex_unlock(&mutex), 0);
    weft_mutex_fini(&mutex);
    return 0;
}

/* E1 */
TaskTest(mutex, lock_in_a_cancelled_scope_is_refused_even_if_it_is_free, 1)
{
    weft_mutex mutex;
    weft_mutex_init(&mutex);
    WEFT_SCOPE(s);
    weft_scope_cancel(&s, NULL);
    wt_eq(weft_mutex_lock(&mutex), -ECANCELED); /* E1 */
    wt_true(weft_mutex_owner(&mutex) == NULL);
    (void)weft_scope_end(&s);
    weft_mutex_fini(&mutex);
    return 0;
}

/* --- rules ------------------------------------------------------------------------------------ */

TaskTest(mutex, locking_twice_is_edeadlk_and_not_a_hang, 1)
{
    weft_mutex mutex;
    weft_mutex_init(&mutex);
    wt_eq(weft_mutex_lock(&mutex), 0);
    wt_eq(weft_mutex_lock(&mutex), -EDEADLK);
    wt_eq(weft_mutex_try(&mutex), -EDEADLK);
    wt_eq(weft_mutex_unlock(&mutex), 0);
    weft_mutex_fini(&mutex);
    return 0;
}

static int unlock_it(void *mutex)
{
    return weft_mutex_unlock(mutex);
}

TaskTest(mutex, unlocking_what_another_task_owns_is_misuse_and_changes_nothing, 1,
         .init = misuse_noted)
{
    weft_mutex mutex;
    weft_mutex_init(&mutex);
    wt_eq(weft_mutex_lock(&mutex), 0);
    weft_task t;
    char place[64];
    snprintf(place, sizeof place, "test_mutex.c:%d", __LINE__ + 1);
    weft_spawn(&t, unlock_it, &mutex);
    wt_eq(weft_await(&t), -EINVAL);
    wt_eq(atomic_load(&misuses), 1);
    wt_true(strstr(misuse_said, place) != NULL, "%s", misuse_said);
    wt_true(weft_mutex_owner(&mutex) != NULL);
    wt_eq(weft_mutex_unlock(&mutex), 0);
    wt_eq(atomic_load(&misuses), 1);
    wt_eq(weft_mutex_unlock(&mutex), -EINVAL);
    wt_eq(atomic_load(&misuses), 2);
    weft_mutex_fini(&mutex);
    return 0;
}

static int lock_it(void *mutex)
{
    return weft_mutex_lock(mutex);
}

/* As E26 */
TaskTest(mutex, the_end_of_a_locked_one_is_misuse_and_its_waiters_get_eshutdown, 1,
         .init = misuse_noted)
{
    weft_mutex *mutex = malloc(sizeof *mutex);
    weft_mutex_init(mutex);
    wt_eq(weft_mutex_lock(mutex), 0);
    weft_task t[2];
    weft_spawn(&t[0], lock_it, mutex);
    weft_spawn(&t[1], lock_it, mutex);
    settle();
    weft_mutex_fini(mutex);
    wt_eq(atomic_load(&misuses), 1);
    free(mutex); /* its waiters do not touch it any more */
    wt_eq(weft_await(&t[0]), -ESHUTDOWN);
    wt_eq(weft_await(&t[1]), -ESHUTDOWN);
    return 0;
}

Test(mutex, fini_of_zeroed_memory_is_harmless) /* E41 */
{
    weft_mutex mutex = {0};
    weft_mutex_fini(&mutex);
}

Test(mutex, it_needs_a_task)
{
    weft_mutex mutex;
    weft_mutex_init(&mutex);
    wt_eq(weft_mutex_lock(&mutex), -EPERM);
    wt_eq(weft_mutex_try(&mutex), -EPERM);
    wt_eq(weft_mutex_unlock(&mutex), -EPERM);
    weft_mutex_fini(&mutex);
}

/* --- many ------------------------------------------------------------------------------------- */

struct crowd {
    weft_mutex mutex;
    atomic_int inside, passed;
    long counted; /* under the mutex, plain */
};

WEFT_TASK(crowd_in, struct crowd *)
{
    struct crowd *crowd = *arg;
    uint32_t dice = (uint32_t)(uintptr_t)arg;
    for (int i = 0; i < 500; i++) {
        int rc = roll(&dice) % 3 == 0
                     ? weft_within(short_patience(&dice), weft_mutex_lock(&crowd->mutex))
                     : weft_mutex_lock(&crowd->mutex);
        if (rc == -ETIME) {
            continue;
        }
        wt_eq(rc, 0);
        wt_eq(atomic_fetch_add(&crowd->inside, 1), 0, "somebody else is inside");
        crowd->counted++;
        if (i % 5 == 0) {
            weft_yield();
        }
        atomic_fetch_sub(&crowd->inside, 1);
        atomic_fetch_add(&crowd->passed, 1);
        wt_eq(weft_mutex_unlock(&crowd->mutex), 0);
    }
    return 0;
}

static int crowd_of_16(void *arg)
{
    (void)arg;
    struct crowd crowd = {0};
    struct crowd *pointer = &crowd;
    weft_mutex_init(&crowd.mutex);
    WEFT_SCOPE(s);
    for (int i = 0; i < 16; i++) {
        weft_go(&s, crowd_in, &pointer);
    }
    wt_eq(weft_scope_end(&s), 0);
    wt_eq(crowd.counted, atomic_load(&crowd.passed));
    wt_true(weft_mutex_owner(&crowd.mutex) == NULL);
    weft_mutex_fini(&crowd.mutex);
    return 0;
}

Test(mutex, never_two_are_inside_when_deadlines_race_with_hand_overs)
{
    wt_eq(weft_run(crowd_of_16, NULL, .workers = 1), 0);
    wt_eq(weft_run(crowd_of_16, NULL, .workers = 2), 0);
    wt_eq(weft_run(crowd_of_16, NULL, .workers = 8), 0);
}
