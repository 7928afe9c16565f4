/* The semaphore: strictly first in, first out; cancellation takes no permit; nothing is lost. */
#include "pattern.h"
#include <pthread.h>
#include <weft/sync.h>

/* Tasks in line at a semaphore, on one worker. */
struct line {
    weft_sem sem;
    atomic_int waiting;
    int order[12]; /* of those that got what they wanted: their numbers */
    int woken;
};

struct waiter {
    struct line *line;
    int number;
    uint32_t wanted; /* 0: one, by weft_sem_acquire */
};

WEFT_TASK(wait_in_line, struct waiter)
{
    struct line *line = arg->line;
    atomic_fetch_add(&line->waiting, 1);
    int rc = arg->wanted == 0 ? weft_sem_acquire(&line->sem)
                              : weft_sem_acquire_n(&line->sem, arg->wanted);
    if (rc == 0) {
        line->order[line->woken++] = arg->number;
    }
    return rc;
}

static void begin_line(struct line *line, uint32_t permits, uint32_t max)
{
    *line = (struct line){.woken = 0};
    weft_sem_init(&line->sem, permits, max);
}

static void end_line(struct line *line, uint32_t permits)
{
    wt_eq(weft_sem_count(&line->sem), permits);
    weft_sem_fini(&line->sem);
}

/* Returns when the new task waits. */
static void line_up(weft_scope *scope, struct line *line, int number, uint32_t wanted)
{
    int waiting = atomic_load(&line->waiting);
    wt_eq(weft_go(scope, wait_in_line, (&(struct waiter){line, number, wanted})), 0);
    yield_until(&line->waiting, waiting + 1);
}

static void let_others_run(void)
{
    for (int i = 0; i < 10; i++) {
        weft_yield();
    }
}

TaskTest(sem, acquire_takes_a_permit_that_is_there, 1)
{
    weft_sem sem;
    weft_sem_init(&sem, 2, 2);
    wt_eq(weft_sem_acquire(&sem), 0);
    wt_eq(weft_sem_acquire(&sem), 0);
    wt_eq(weft_sem_count(&sem), 0);
    wt_eq(weft_sem_release(&sem, 2), 0);
    wt_eq(weft_sem_count(&sem), 2);
    weft_sem_fini(&sem);
    return 0;
}

static void check_order(uint32_t at_once)
{
    struct line line;
    begin_line(&line, 0, 0);
    WEFT_SCOPE(s);
    for (int i = 0; i < 12; i++) {
        line_up(&s, &line, i, 0);
    }
    for (int given = 0; given < 12; given += (int)at_once) {
        wt_eq(weft_sem_release(&line.sem, at_once), 0);
    }
    wt_eq(weft_scope_end(&s), 0);
    wt_eq(line.woken, 12);
    for (int i = 0; i < 12; i++) {
        wt_eq(line.order[i], i);
    }
    end_line(&line, 0);
}

TaskTest(sem, permits_go_to_the_longest_waiting_first, 1)
{
    check_order(1);
    check_order(3);
    check_order(12);
    return 0;
}

TaskTest(sem, a_newcomer_does_not_pass_a_waiter, 1)
{
    struct line line;
    begin_line(&line, 0, 0);
    WEFT_SCOPE(s);
    line_up(&s, &line, 0, 0);
    wt_eq(weft_sem_release(&line.sem, 1), 0);
    wt_eq(weft_sem_try(&line.sem), -EAGAIN, "the permit was handed over");
    wt_eq(weft_within(0, weft_sem_acquire(&line.sem)), -ETIME);
    wt_eq(weft_scope_end(&s), 0);
    wt_eq(line.woken, 1);
    end_line(&line, 0);
    return 0;
}

/* E22 */
TaskTest(sem, release_beyond_max_is_eoverflow_and_changes_nothing, 1)
{
    weft_sem sem;
    weft_sem_init(&sem, 1, 3);
    wt_eq(weft_sem_release(&sem, 3), -EOVERFLOW);
    wt_eq(weft_sem_count(&sem), 1);
    wt_eq(weft_sem_release(&sem, UINT32_MAX), -EOVERFLOW);
    wt_eq(weft_sem_count(&sem), 1);
    wt_eq(weft_sem_release(&sem, 2), 0);
    wt_eq(weft_sem_count(&sem), 3);
    weft_sem_fini(&sem);
    return 0;
}

/* E22 */
TaskTest(sem, release_beyond_max_wakes_nobody, 1)
{
    struct line line;
    begin_line(&line, 0, 2);
    WEFT_SCOPE(s);
    line_up(&s, &line, 0, 0);
    wt_eq(weft_sem_release(&line.sem, 4), -EOVERFLOW);
    let_others_run();
    wt_eq(line.woken, 0);
    wt_eq(weft_sem_count(&line.sem), 0);
    wt_eq(weft_sem_release(&line.sem, 1), 0);
    wt_eq(weft_scope_end(&s), 0);
    end_line(&line, 0);
    return 0;
}

/* E23 */
TaskTest(sem, release_of_0_is_einval, 1)
{
    weft_sem sem;
    weft_sem_init(&sem, 1, 0);
    wt_eq(weft_sem_release(&sem, 0), -EINVAL);
    wt_eq(weft_sem_count(&sem), 1);
    weft_sem_fini(&sem);
    return 0;
}

TaskTest(sem, max_0_means_the_largest, 1)
{
    weft_sem sem;
    weft_sem_init(&sem, 0, 0);
    wt_eq(weft_sem_release(&sem, INT32_MAX), 0);
    wt_eq(weft_sem_count(&sem), INT32_MAX);
    wt_eq(weft_sem_release(&sem, 1), -EOVERFLOW);
    weft_sem_fini(&sem);
    return 0;
}

Test(sem, try_and_release_work_on_any_thread)
{
    weft_sem sem;
    weft_sem_init(&sem, 1, 2);
    wt_eq(weft_sem_try(&sem), 0);
    wt_eq(weft_sem_try(&sem), -EAGAIN);
    wt_eq(weft_sem_release(&sem, 1), 0);
    wt_eq(weft_sem_try(&sem), 0);
    wt_eq(weft_sem_acquire(&sem), -EPERM, "that needs a task");
    weft_sem_fini(&sem);
}

/* E24 */
TaskTest(sem, an_acquire_under_a_deadline_of_0_is_a_try, 1)
{
    weft_sem sem;
    weft_sem_init(&sem, 1, 0);
    wt_eq(weft_within(0, weft_sem_acquire(&sem)), 0);
    wt_eq(weft_within(0, weft_sem_acquire(&sem)), -ETIME);
    wt_eq(weft_sem_count(&sem), 0);
    wt_eq(weft_sem_release(&sem, 1), 0);
    wt_eq(weft_sem_count(&sem), 1, "nobody waits any more");
    weft_sem_fini(&sem);
    return 0;
}

/* E25 */
TaskTest(sem, a_hand_over_before_the_cancellation_wins, 1)
{
    struct line line;
    begin_line(&line, 0, 0);
    WEFT_SCOPE(s);
    line_up(&s, &line, 0, 0);
    wt_eq(weft_sem_release(&line.sem, 1), 0);
    weft_scope_cancel(&s, NULL);
    wt_eq(weft_scope_end(&s), 0);
    wt_eq(line.woken, 1);
    end_line(&line, 0);
    return 0;
}

/* E25 */
TaskTest(sem, a_cancellation_before_the_hand_over_takes_no_permit, 1)
{
    struct line line;
    begin_line(&line, 0, 0);
    WEFT_SCOPE(s);
    line_up(&s, &line, 0, 0);
    weft_scope_cancel(&s, NULL);
    wt_eq(weft_sem_release(&line.sem, 1), 0);
    wt_eq(weft_scope_end(&s), -ECANCELED);
    wt_eq(line.woken, 0);
    end_line(&line, 1);
    return 0;
}

/* E25; anyio#1145, cpython#90155: the permit that a cancelled waiter does not take goes to the
 * next. */
TaskTest(sem, a_cancelled_first_waiter_does_not_hold_up_those_behind_it, 1)
{
    struct line line;
    begin_line(&line, 0, 0);
    WEFT_SCOPE(stay);
    {
        WEFT_SCOPE(go);
        line_up(&go, &line, 0, 0);
        line_up(&stay, &line, 1, 0);
        line_up(&go, &line, 2, 0);
        line_up(&stay, &line, 3, 0);
        weft_scope_cancel(&go, NULL);
        wt_eq(weft_sem_release(&line.sem, 2), 0);
        wt_eq(weft_scope_end(&go), -ECANCELED);
    }
    wt_eq(weft_scope_end(&stay), 0);
    wt_eq(line.woken, 2);
    wt_eq(line.order[0], 1);
    wt_eq(line.order[1], 3);
    end_line(&line, 0);
    return 0;
}

/* --- several permits at once ------------------------------------------------------------------ */

TaskTest(sem, a_large_request_at_the_head_is_not_overtaken, 1)
{
    struct line line;
    begin_line(&line, 2, 10);
    WEFT_SCOPE(s);
    line_up(&s, &line, 5, 5);
    line_up(&s, &line, 1, 1);
    wt_eq(weft_sem_try(&line.sem), -EAGAIN, "two are there, and two wait for them");
    wt_eq(weft_sem_release(&line.sem, 2), 0);
    let_others_run();
    wt_eq(line.woken, 0);
    wt_eq(weft_sem_count(&line.sem), 4);
    wt_eq(weft_sem_release(&line.sem, 2), 0);
    wt_eq(weft_scope_end(&s), 0);
    wt_eq(line.woken, 2);
    wt_eq(line.order[0], 5);
    wt_eq(line.order[1], 1);
    end_line(&line, 0);
    return 0;
}

/* E25: the waiter is unlinked, and those behind it, which it alone held up, go on at once. */
TaskTest(sem, a_large_request_that_is_cancelled_lets_those_behind_it_through, 1)
{
    struct line line;
    begin_line(&line, 2, 10);
    WEFT_SCOPE(stay);
    {
        WEFT_SCOPE(go);
        line_up(&go, &line, 5, 5);
        line_up(&stay, &line, 1, 1);
        line_up(&stay, &line, 2, 2);
        weft_scope_cancel(&go, NULL);
        wt_eq(weft_scope_end(&go), -ECANCELED);
    }
    let_others_run();
    wt_eq(line.woken, 1, "nobody released anything");
    wt_eq(line.order[0], 1);
    wt_eq(weft_sem_release(&line.sem, 1), 0);
    wt_eq(weft_scope_end(&stay), 0);
    wt_eq(line.order[1], 2);
    end_line(&line, 0);
    return 0;
}

TaskTest(sem, several_permits_are_taken_together_or_not_at_all, 1)
{
    weft_sem sem;
    weft_sem_init(&sem, 3, 4);
    wt_eq(weft_sem_try_n(&sem, 4), -EAGAIN);
    wt_eq(weft_sem_count(&sem), 3);
    wt_eq(weft_within(0, weft_sem_acquire_n(&sem, 4)), -ETIME); /* E24 */
    wt_eq(weft_sem_count(&sem), 3);
    wt_eq(weft_within(WEFT_MS(1), weft_sem_acquire_n(&sem, 4)), -ETIME);
    wt_eq(weft_sem_count(&sem), 3);
    wt_eq(weft_sem_acquire_n(&sem, 3), 0);
    wt_eq(weft_sem_count(&sem), 0);
    weft_sem_fini(&sem);
    return 0;
}

TaskTest(sem, a_request_that_can_never_be_met_is_einval, 1)
{
    weft_sem sem;
    weft_sem_init(&sem, 2, 2);
    wt_eq(weft_sem_acquire_n(&sem, 3), -EINVAL);
    wt_eq(weft_sem_acquire_n(&sem, 0), -EINVAL);
    wt_eq(weft_sem_try_n(&sem, 3), -EINVAL);
    wt_eq(weft_sem_try_n(&sem, 0), -EINVAL);
    wt_eq(weft_sem_count(&sem), 2);
    weft_sem_fini(&sem);
    return 0;
}

/* --- close ------------------------------------------------------------------------------------ */

static int acquire_one(void *sem)
{
    return weft_sem_acquire(sem);
}

TaskTest(sem, close_ends_those_who_wait_and_those_who_come_with_eshutdown, 1)
{
    weft_sem sem;
    weft_sem_init(&sem, 0, 2);
    weft_task t[2];
    weft_spawn(&t[0], acquire_one, &sem);
    weft_spawn(&t[1], acquire_one, &sem);
    let_others_run();
    wt_eq(weft_sem_close(&sem), 0);
    wt_eq(weft_await(&t[0]), -ESHUTDOWN);
    wt_eq(weft_await(&t[1]), -ESHUTDOWN);
    wt_eq(weft_sem_release(&sem, 2), 0, "what is out may come back");
    wt_eq(weft_sem_acquire(&sem), -ESHUTDOWN);
    wt_eq(weft_sem_try(&sem), -ESHUTDOWN);
    wt_eq(weft_sem_close(&sem), -EALREADY);
    weft_sem_fini(&sem);
    return 0;
}

/* E41 */
Test(sem, fini_of_zeroed_memory_is_harmless)
{
    weft_sem sem = {0};
    weft_sem_fini(&sem);
}

#define PERMITS 3

struct mutual {
    weft_sem sem;
    atomic_int inside, most, taken;
};

/* Each round that waits is a sleep of a worker or two, which costs most under ThreadSanitizer. */
#if defined(__SANITIZE_THREAD__)
#define ROUNDS 200
#else
#define ROUNDS 2000
#endif

WEFT_TASK(use_permits, struct mutual *)
{
    struct mutual *mutual = *arg;
    unsigned state = (unsigned)(uintptr_t)arg | 1;
    for (int i = 0; i < ROUNDS; i++) {
        state = state * 1664525 + 1013904223;
        weft_time patience = WEFT_NS(state >> 16) % WEFT_US(30);
        uint32_t n = (state >> 13) % PERMITS + 1;
        int rc = weft_within(patience, weft_sem_acquire_n(&mutual->sem, n));
        if (rc == -ETIME) {
            continue;
        }
        wt_eq(rc, 0);
        int inside = atomic_fetch_add(&mutual->inside, (int)n) + (int)n;
        wt_le(inside, PERMITS);
        atomic_fetch_add(&mutual->taken, 1);
        if (i % 3 == 0) {
            weft_yield();
        }
        atomic_fetch_sub(&mutual->inside, (int)n);
        wt_eq(weft_sem_release(&mutual->sem, n), 0);
    }
    return 0;
}

static int permits_under_deadlines(void *arg)
{
    (void)arg;
    struct mutual mutual = {0};
    struct mutual *pointer = &mutual;
    weft_sem_init(&mutual.sem, PERMITS, PERMITS);
    WEFT_SCOPE(s);
    for (int i = 0; i < 16; i++) {
        weft_go(&s, use_permits, &pointer);
    }
    wt_eq(weft_scope_end(&s), 0);
    wt_eq(weft_sem_count(&mutual.sem), PERMITS);
    wt_gt(atomic_load(&mutual.taken), 0);
    weft_sem_fini(&mutual.sem);
    return 0;
}

Test(sem, permits_are_neither_lost_nor_doubled_when_deadlines_race_with_hand_overs)
{
    wt_eq(weft_run(permits_under_deadlines, NULL, .workers = 1), 0);
    wt_eq(weft_run(permits_under_deadlines, NULL, .workers = 2), 0);
    wt_eq(weft_run(permits_under_deadlines, NULL, .workers = 8), 0);
}

struct foreign {
    weft_sem *sem;
    int permits;
};

static void *release_from_outside(void *arg)
{
    struct foreign *foreign = arg;
    for (int i = 0; i < foreign->permits; i++) {
        wt_eq(weft_sem_release(foreign->sem, 1), 0);
    }
    return NULL;
}

TaskTest(sem, permits_released_by_foreign_threads_arrive, 2)
{
    weft_sem sem;
    weft_sem_init(&sem, 0, 0);
    struct foreign foreign = {&sem, 5000};
    pthread_t threads[2];
    for (int i = 0; i < 2; i++) {
        wt_eq(pthread_create(&threads[i], NULL, release_from_outside, &foreign), 0);
    }
    for (int i = 0; i < 2 * foreign.permits; i++) {
        wt_eq(weft_sem_acquire(&sem), 0);
    }
    for (int i = 0; i < 2; i++) {
        pthread_join(threads[i], NULL);
    }
    wt_eq(weft_sem_count(&sem), 0);
    weft_sem_fini(&sem);
    return 0;
}
