/* Waiting for several tasks: all of them, or the first; what becomes of the others. */
#include "pattern.h"
#include <string.h>
#include <weft/debug.h>
#include <weft/fork.h>
#include <weft/local.h>
#include <weft/sync.h>

#define AS_TASKS(...) ((weft_task *const[]){__VA_ARGS__})

static int return_arg(void *arg)
{
    return (int)(intptr_t)arg;
}

/* All four, from WEFT_FAILFAST on. */
static int policy_after(int policy)
{
    return policy == WEFT_ALL ? WEFT_FIRST : policy + 1;
}

#define spawn_returning(task, rc) weft_spawn((task), return_arg, (void *)(intptr_t)(rc))

struct waits {
    weft_sem *sem;
    atomic_int *waiting; /* counted up before it waits */
    int rc;              /* returned if it was not cancelled */
    int rc_cancelled;    /* returned instead of -ECANCELED, if not 0 */
    atomic_int ended;
};

static int wait_and_return(void *arg)
{
    struct waits *waits = arg;
    if (waits->waiting != NULL) {
        atomic_fetch_add(waits->waiting, 1);
    }
    int rc = weft_sem_acquire(waits->sem);
    atomic_store(&waits->ended, 1);
    if (rc < 0) {
        return waits->rc_cancelled != 0 ? waits->rc_cancelled : rc;
    }
    return waits->rc;
}

/* --- all -------------------------------------------------------------------------------------- */

TaskTest(when, all_of_no_tasks_is_0, 1)
{
    wt_eq(weft_when(NULL, 0, WEFT_ALL, NULL), 0);
    wt_eq(weft_when(NULL, 0, WEFT_FAILFAST, NULL), 0);
    return 0;
}

TaskTest(when, the_first_of_no_tasks_is_refused_with_einval, 1)
{
    wt_eq(weft_when(NULL, 0, WEFT_FIRST, NULL), -EINVAL);
    wt_eq(weft_when(NULL, 0, WEFT_FIRST_OK, NULL), -EINVAL);
    wt_eq(weft_when(NULL, 0, WEFT_FIRST | WEFT_KEEP_LOSERS, NULL), -EINVAL);
    return 0;
}

TaskTest(when, what_is_no_policy_is_refused_and_nothing_is_awaited, 1)
{
    weft_task t;
    spawn_returning(&t, 7);
    wt_eq(weft_when(AS_TASKS(&t), 1, WEFT_COLLECT, NULL), -EINVAL);
    wt_eq(weft_when(AS_TASKS(&t), 1, 5, NULL), -EINVAL);
    wt_eq(weft_when(AS_TASKS(&t), 1, WEFT_ALL | WEFT_KEEP_LOSERS, NULL), -EINVAL);
    wt_eq(weft_when(AS_TASKS(&t), -1, WEFT_ALL, NULL), -EINVAL);
    wt_eq(weft_when(AS_TASKS(&t), WEFT_WHEN_MAX + 1, WEFT_ALL, NULL), -E2BIG);
    wt_eq(weft_status(&t), -EINPROGRESS);
    wt_eq(weft_await(&t), 7);
    return 0;
}

Test(when, outside_a_task_it_is_refused_with_eperm)
{
    wt_eq(weft_when(NULL, 0, WEFT_ALL, NULL), -EPERM);
}

static int all_results(void *arg)
{
    (void)arg;
    int which = 99;
    weft_task t[8];
    weft_task *tasks[8];
    for (int i = 0; i < 8; i++) {
        tasks[i] = &t[i];
        spawn_returning(&t[i], i);
    }
    wt_eq(weft_when(tasks, 8, WEFT_ALL, &which), 0);
    wt_eq(which, -1);
    for (int i = 0; i < 8; i++) {
        wt_eq(weft_status(&t[i]), i);
    }
    return 0;
}

Test(when, all_keeps_each_result_in_its_place)
{
    wt_eq(weft_run(all_results, NULL, .workers = 1), 0);
    wt_eq(weft_run(all_results, NULL, .workers = 4), 0);
}

static int count_up(void *arg)
{
    atomic_fetch_add((atomic_int *)arg, 1);
    return 0;
}

TaskTest(when, all_waits_for_every_task_even_if_one_failed, 2)
{
    atomic_int ended = 0;
    int which;
    weft_task t[3];
    weft_spawn(&t[0], count_up, &ended);
    spawn_returning(&t[1], -EIO);
    weft_spawn(&t[2], count_up, &ended);
    wt_eq(weft_when(AS_TASKS(&t[0], &t[1], &t[2]), 3, WEFT_ALL, &which), -EIO);
    wt_eq(which, 1);
    wt_eq(atomic_load(&ended), 2);
    return 0;
}

/* As many as fit, some of which suspend. */
static int as_many_as_fit(void *arg)
{
    (void)arg;
    static weft_task t[WEFT_WHEN_MAX];
    static weft_task *tasks[WEFT_WHEN_MAX];
    static struct waits waits[WEFT_WHEN_MAX];
    weft_sem sem;
    weft_sem_init(&sem, 0, 0);
    for (int policy = WEFT_FAILFAST; policy <= WEFT_ALL; policy++) {
        atomic_int waiting = 0;
        for (int i = 0; i < WEFT_WHEN_MAX; i++) {
            tasks[i] = &t[i];
            waits[i] = (struct waits){.sem = &sem, .waiting = &waiting, .rc = i};
            weft_spawn(&t[i], wait_and_return, &waits[i]);
        }
        yield_until(&waiting, WEFT_WHEN_MAX / 2);
        weft_sem_release(&sem, WEFT_WHEN_MAX);
        wt_eq(weft_when(tasks, WEFT_WHEN_MAX, policy, NULL), 0);
        for (int i = 0; i < WEFT_WHEN_MAX; i++) {
            wt_eq(weft_status(&t[i]), i);
        }
    }
    weft_sem_fini(&sem);
    return 0;
}

Test(when, it_waits_for_as_many_tasks_as_the_bound_says)
{
    wt_eq(weft_run(as_many_as_fit, NULL, .workers = 1), 0);
    wt_eq(weft_run(as_many_as_fit, NULL, .workers = 2), 0);
}

TaskTest(when, a_cancelled_scope_ends_its_tasks_and_the_result_is_ecanceled, 1)
{
    weft_sem never;
    weft_sem_init(&never, 0, 0);
    for (int policy = WEFT_FAILFAST; policy <= WEFT_FIRST_OK; policy = policy_after(policy)) {
        struct waits waits[2] = {{.sem = &never}, {.sem = &never}};
        weft_task t[2];
        WEFT_SCOPE(s);
        weft_spawn(&t[0], wait_and_return, &waits[0]);
        weft_spawn(&t[1], wait_and_return, &waits[1]);
        weft_scope_cancel(&s, NULL);
        wt_eq(weft_when(AS_TASKS(&t[0], &t[1]), 2, policy, NULL), -ECANCELED, "%d", policy);
        wt_eq(weft_status(&t[0]), -ECANCELED);
        wt_eq(weft_status(&t[1]), -ECANCELED);
        wt_eq(weft_scope_end(&s), 0);
    }
    weft_sem_fini(&never);
    return 0;
}

TaskTest(when, a_failure_counts_more_than_a_cancellation_that_came_before_it, 1)
{
    weft_sem never;
    weft_sem_init(&never, 0, 0);
    struct waits waits[2] = {{.sem = &never}, {.sem = &never, .rc_cancelled = -EIO}};
    weft_task t[2];
    int which;
    WEFT_SCOPE(s);
    weft_spawn(&t[0], wait_and_return, &waits[0]);
    weft_scope_cancel(&s, NULL);
    wt_eq(spawn_returning(&t[1], -EIO), -ECANCELED);
    wt_eq(weft_when(AS_TASKS(&t[0], &t[1]), 2, WEFT_ALL, NULL), -ECANCELED);
    wt_eq(weft_scope_end(&s), 0);

    WEFT_SCOPE(s2);
    weft_spawn(&t[0], wait_and_return, &waits[0]);
    weft_spawn(&t[1], wait_and_return, &waits[1]);
    weft_scope_cancel(&s2, NULL);
    wt_eq(weft_when(AS_TASKS(&t[0], &t[1]), 2, WEFT_ALL, &which), -EIO);
    wt_eq(which, 1);
    wt_eq(weft_scope_end(&s2), 0);
    weft_sem_fini(&never);
    return 0;
}

/* Errors 4: -ECANCELED of a task that nobody cancelled is a failure like any other. */
TaskTest(when, ecanceled_of_a_task_that_nobody_cancelled_is_an_ordinary_failure, 1)
{
    weft_sem never;
    weft_sem_init(&never, 0, 0);
    struct waits waits = {.sem = &never};
    weft_task t[2];
    int which;
    weft_spawn(&t[0], wait_and_return, &waits);
    spawn_returning(&t[1], -ECANCELED);
    wt_eq(weft_when(AS_TASKS(&t[0], &t[1]), 2, WEFT_FAILFAST, &which), -ECANCELED);
    wt_eq(which, 1, "it cancelled the other, which would have waited for ever");
    weft_sem_fini(&never);
    return 0;
}

/* --- fail fast -------------------------------------------------------------------------------- */

static int failfast_cancels(void *arg)
{
    (void)arg;
    weft_sem never;
    weft_sem_init(&never, 0, 0);
    for (int fails_at = 0; fails_at < 4; fails_at++) {
        struct waits waits[4] = {{0}};
        weft_task t[4];
        weft_task *tasks[4];
        int which;
        for (int i = 0; i < 4; i++) {
            tasks[i] = &t[i];
            waits[i].sem = &never;
            if (i == fails_at) {
                spawn_returning(&t[i], -EIO);
            } else {
                weft_spawn(&t[i], wait_and_return, &waits[i]);
            }
        }
        wt_eq(weft_when(tasks, 4, WEFT_FAILFAST, &which), -EIO);
        wt_eq(which, fails_at);
        for (int i = 0; i < 4; i++) {
            wt_eq(weft_status(&t[i]), i == fails_at ? -EIO : -ECANCELED);
        }
        wt_eq(weft_check(), 0, "the caller's own scope is not cancelled");
    }
    weft_sem_fini(&never);
    return 0;
}

Test(when, under_failfast_the_first_failure_cancels_the_others_and_waits_for_them)
{
    wt_eq(weft_run(failfast_cancels, NULL, .workers = 1), 0);
    wt_eq(weft_run(failfast_cancels, NULL, .workers = 2), 0);
    wt_eq(weft_run(failfast_cancels, NULL, .workers = 8), 0);
}

static int fail_when_told(void *arg)
{
    struct waits *waits = arg;
    yield_until(waits->waiting, 1); /* the other lies on top of the waiter, or beside it */
    return -EIO;
}

/* The newest is run on top of the waiter and suspends there; the failure comes while the waiter
 * cannot run. */
TaskTest(when, under_failfast_a_failure_reaches_a_task_that_lies_on_top_of_the_waiter, 1)
{
    weft_sem never;
    weft_sem_init(&never, 0, 0);
    atomic_int waiting = 0;
    struct waits waits = {.sem = &never, .waiting = &waiting};
    weft_task t[2];
    weft_spawn(&t[0], fail_when_told, &waits);
    weft_spawn(&t[1], wait_and_return, &waits);
    wt_eq(weft_when(AS_TASKS(&t[0], &t[1]), 2, WEFT_FAILFAST, NULL), -EIO);
    wt_eq(weft_status(&t[1]), -ECANCELED);
    weft_sem_fini(&never);
    return 0;
}

TaskTest(when, under_failfast_what_a_cancelled_task_returns_is_not_the_result, 1)
{
    weft_sem never;
    weft_sem_init(&never, 0, 0);
    struct waits waits = {.sem = &never, .rc_cancelled = -EPROTO};
    weft_task t[2];
    int which;
    weft_spawn(&t[0], wait_and_return, &waits);
    spawn_returning(&t[1], -EIO);
    wt_eq(weft_when(AS_TASKS(&t[0], &t[1]), 2, WEFT_FAILFAST, &which), -EIO);
    wt_eq(which, 1);
    wt_eq(weft_status(&t[0]), -EPROTO);
    weft_sem_fini(&never);
    return 0;
}

static int sleep_in_scope(void *arg)
{
    WEFT_SCOPE(s);
    (void)weft_sem_acquire(arg);
    (void)weft_scope_end(&s);
    return weft_check();
}

TaskTest(when, a_loser_is_cancelled_with_the_scopes_that_it_opened_and_the_tasks_that_it_spawned, 1)
{
    weft_sem never;
    weft_sem_init(&never, 0, 0);
    weft_task t[2];
    weft_spawn(&t[0], sleep_in_scope, &never);
    spawn_returning(&t[1], 1);
    wt_eq(weft_when(AS_TASKS(&t[0], &t[1]), 2, WEFT_FIRST, NULL), 1);
    wt_eq(weft_status(&t[0]), -ECANCELED);
    weft_sem_fini(&never);
    return 0;
}

/* A section waits; then another of the same task, which is through before it. */
struct sections {
    weft_sem never;
    atomic_int waiting;
};

static int wait_in_a_section(void *arg)
{
    struct sections *sections = arg;
    atomic_fetch_add(&sections->waiting, 1);
    return weft_sem_acquire(&sections->never);
}

static int wait_in_two_sections(void *arg)
{
    struct sections *sections = arg;
    weft_call_branch branch;
    weft_fork(&branch, wait_in_a_section, sections);
    yield_until(&sections->waiting, 1);
    for (int i = 0; i < 4; i++) {
        weft_sleep(WEFT_MS(2)); /* the section waits before this does */
    }
    atomic_fetch_add(&sections->waiting, 1);
    return weft_join(&branch);
}

static int end_later(void *arg)
{
    struct sections *sections = arg;
    yield_until(&sections->waiting, 2);
    weft_sleep(WEFT_MS(5)); /* the loser waits for its section by now */
    return 1;
}

TaskTest(when, a_loser_is_cancelled_in_the_section_that_waits_not_in_the_one_that_waited_last, 3,
         .timeout = 20)
{
    struct sections sections = {.waiting = 0};
    weft_sem_init(&sections.never, 0, 0);
    weft_task t[2];
    weft_spawn(&t[0], wait_in_two_sections, &sections);
    weft_spawn(&t[1], end_later, &sections);
    wt_eq(weft_when(AS_TASKS(&t[0], &t[1]), 2, WEFT_FIRST, NULL), 1);
    wt_eq(weft_status(&t[0]), -ECANCELED);
    weft_sem_fini(&sections.never);
    return 0;
}

static void count_call(void *arg)
{
    atomic_fetch_add((atomic_int *)arg, 1);
}

static const weft_key request = {"request"};

static int register_under_a_binding(void *arg)
{
    struct waits *waits = arg;
    weft_binding b;
    weft_cancel_reg reg;
    weft_bind(&b, &request, waits);
    wt_eq(weft_cancel_on(NULL, &reg, count_call, &waits->ended), 0);
    weft_unbind(&b);
    memset(&b, 0xff, sizeof b); /* its memory is the caller's again */
    atomic_fetch_add(waits->waiting, 1);
    int rc = weft_sem_acquire(waits->sem);
    wt_eq(weft_cancel_off(&reg), 0);
    return rc;
}

TaskTest(when, a_losers_callback_is_run_though_the_binding_has_ended_that_it_was_made_under, 1)
{
    weft_sem never;
    weft_sem_init(&never, 0, 0);
    atomic_int waiting = 0;
    struct waits waits = {.sem = &never, .waiting = &waiting};
    weft_task t[2];
    weft_spawn(&t[0], register_under_a_binding, &waits);
    yield_until(&waiting, 1);
    spawn_returning(&t[1], 1);
    wt_eq(weft_when(AS_TASKS(&t[0], &t[1]), 2, WEFT_FIRST, NULL), 1);
    wt_eq(weft_status(&t[0]), -ECANCELED);
    wt_eq(atomic_load(&waits.ended), 1);
    weft_sem_fini(&never);
    return 0;
}

struct loser_in {
    weft_scope *scope;
    weft_sem *never;
    atomic_int waiting;
};

static int asks_why_twice(void *arg)
{
    struct loser_in *in = arg;
    atomic_fetch_add(&in->waiting, 1);
    wt_eq(weft_sem_acquire(in->never), -ECANCELED);
    wt_eq(weft_why()->kind, WEFT_WHY_LOSER);
    wt_eq(weft_scope_cancel(in->scope, "later"), 0);
    wt_eq(weft_why()->kind, WEFT_WHY_LOSER, "the first reason stays");
    return 2;
}

TaskTest(when, a_losers_reason_stays_though_its_scope_is_cancelled_later, 1)
{
    weft_sem never;
    weft_sem_init(&never, 0, 0);
    WEFT_SCOPE(s);
    struct loser_in in = {.scope = &s, .never = &never};
    weft_task t[2];
    weft_spawn(&t[0], asks_why_twice, &in);
    yield_until(&in.waiting, 1);
    spawn_returning(&t[1], 1);
    wt_eq(weft_when(AS_TASKS(&t[0], &t[1]), 2, WEFT_FIRST, NULL), 1);
    wt_eq(weft_status(&t[0]), 2);
    wt_eq(weft_why()->kind, WEFT_WHY_CALL);
    weft_scope_end(&s);
    weft_sem_fini(&never);
    return 0;
}

static int let_go_later(void *arg)
{
    struct waits *waits = arg;
    weft_sleep(WEFT_MS(5));
    weft_sem_release(waits->sem, 1);
    return 0;
}

static int wait_behind_a_shield(struct waits *waits)
{
    atomic_fetch_add(waits->waiting, 1);
    wt_eq(weft_why()->kind, WEFT_WHY_DEADLINE);
    wt_eq(weft_shield(WEFT_SEC(30), weft_sem_acquire(waits->sem)), 0);
    return weft_check();
}

static int loses_after_a_deadline(void *arg)
{
    struct waits *waits = arg;
    return weft_within(0, wait_behind_a_shield(waits));
}

TaskTest(when, a_loser_whose_deadline_has_passed_too_gets_ecanceled_and_not_etime, 1)
{
    weft_sem sem;
    weft_sem_init(&sem, 0, 0);
    atomic_int waiting = 0;
    struct waits waits = {.sem = &sem, .waiting = &waiting};
    weft_task t[2];
    weft_spawn(&t[0], loses_after_a_deadline, &waits);
    yield_until(&waiting, 1);
    spawn_returning(&t[1], 1);
    /* the loser cannot end before it is let go, but it has been cancelled by then */
    weft_task let_go;
    weft_spawn(&let_go, let_go_later, &waits);
    wt_eq(weft_when(AS_TASKS(&t[0], &t[1]), 2, WEFT_FIRST, NULL), 1);
    wt_eq(weft_status(&t[0]), -ECANCELED);
    weft_await(&let_go);
    weft_sem_fini(&sem);
    return 0;
}

/* --- the first -------------------------------------------------------------------------------- */

/* E33 */
TaskTest(when, the_first_of_several_that_have_ended_already_is_the_one_of_the_lowest_index, 1)
{
    int which;
    weft_task t[4];
    weft_sem never;
    weft_sem_init(&never, 0, 0);
    struct waits waits = {.sem = &never};
    weft_spawn(&t[0], wait_and_return, &waits);
    for (int i = 1; i < 4; i++) {
        spawn_returning(&t[i], 10 + i);
    }
    for (int i = 3; i > 0; i--) { /* the highest index ends first */
        wt_eq(weft_await(&t[i]), 10 + i);
    }
    weft_task *const tasks[] = {&t[0], &t[1], &t[2], &t[3]};
    wt_eq(weft_when(tasks, 4, WEFT_FIRST | WEFT_KEEP_LOSERS, &which), 11);
    wt_eq(which, 1);
    wt_eq(weft_status(&t[0]), -EINPROGRESS);
    wt_eq(weft_when(tasks, 4, WEFT_FIRST, &which), 11);
    wt_eq(which, 1);
    wt_eq(weft_status(&t[0]), -ECANCELED);
    weft_sem_fini(&never);
    return 0;
}

/* E33, of those that succeeded */
TaskTest(when, the_first_success_of_several_that_have_ended_is_the_one_of_the_lowest_index, 1)
{
    int which;
    weft_task t[4];
    for (int i = 0; i < 4; i++) {
        spawn_returning(&t[i], i < 2 ? -EIO : i);
    }
    weft_task *const tasks[] = {&t[0], &t[1], &t[2], &t[3]};
    wt_eq(weft_when(tasks, 4, WEFT_ALL, NULL), -EIO);
    wt_eq(weft_when(tasks, 4, WEFT_FIRST_OK, &which), 2);
    wt_eq(which, 2);
    return 0;
}

static int first_cancels(void *arg)
{
    (void)arg;
    weft_sem never;
    weft_sem_init(&never, 0, 0);
    for (int wins_at = 0; wins_at < 4; wins_at++) {
        for (int rc = -EIO; rc <= 7; rc += EIO + 7) {
            struct waits waits[4] = {{0}};
            weft_task t[4];
            weft_task *tasks[4];
            int which;
            for (int i = 0; i < 4; i++) {
                tasks[i] = &t[i];
                waits[i].sem = &never;
                if (i == wins_at) {
                    spawn_returning(&t[i], rc);
                } else {
                    weft_spawn(&t[i], wait_and_return, &waits[i]);
                }
            }
            wt_eq(weft_when(tasks, 4, WEFT_FIRST, &which), rc);
            wt_eq(which, wins_at);
            for (int i = 0; i < 4; i++) {
                wt_eq(weft_status(&t[i]), i == wins_at ? rc : -ECANCELED);
            }
            wt_eq(weft_check(), 0);
        }
    }
    weft_sem_fini(&never);
    return 0;
}

Test(when, the_first_that_ends_in_whatever_way_cancels_the_others_and_waits_for_them)
{
    wt_eq(weft_run(first_cancels, NULL, .workers = 1), 0);
    wt_eq(weft_run(first_cancels, NULL, .workers = 2), 0);
    wt_eq(weft_run(first_cancels, NULL, .workers = 8), 0);
}

TaskTest(when, a_failure_does_not_win_where_a_success_is_asked_for, 1)
{
    weft_sem sem;
    weft_sem_init(&sem, 0, 0);
    struct waits waits[2] = {{.sem = &sem, .rc = 5}, {.sem = &sem, .rc = 6}};
    weft_task t[3];
    int which;
    spawn_returning(&t[0], -EIO);
    weft_spawn(&t[1], wait_and_return, &waits[0]);
    weft_spawn(&t[2], wait_and_return, &waits[1]);
    wt_eq(weft_await(&t[0]), -EIO);
    weft_sem_release(&sem, 1);
    int rc = weft_when(AS_TASKS(&t[0], &t[1], &t[2]), 3, WEFT_FIRST_OK, &which);
    wt_true(which == 1 || which == 2);
    wt_eq(rc, which == 1 ? 5 : 6);
    wt_eq(weft_status(&t[3 - which]), -ECANCELED);
    weft_sem_fini(&sem);
    return 0;
}

/* E35 */
TaskTest(when, if_none_succeeds_the_result_is_the_failure_that_came_first_in_time, 1)
{
    weft_sem sem;
    weft_sem_init(&sem, 0, 0);
    struct waits waits[2] = {{.sem = &sem, .rc = -EPROTO}, {.sem = &sem, .rc = -EBADMSG}};
    weft_task t[3];
    int which;
    weft_spawn(&t[0], wait_and_return, &waits[0]);
    weft_spawn(&t[1], wait_and_return, &waits[1]);
    spawn_returning(&t[2], -EIO);
    wt_eq(weft_await(&t[2]), -EIO);
    weft_sem_release(&sem, 2);
    wt_eq(weft_when(AS_TASKS(&t[0], &t[1], &t[2]), 3, WEFT_FIRST_OK, &which), -EIO);
    wt_eq(which, 2);
    weft_sem_fini(&sem);
    return 0;
}

/* E35 */
TaskTest(when, if_none_succeeds_because_of_a_cancellation_the_result_is_ecanceled, 1)
{
    weft_sem never;
    weft_sem_init(&never, 0, 0);
    struct waits waits = {.sem = &never};
    weft_task t[2];
    WEFT_SCOPE(s);
    spawn_returning(&t[0], -EIO);
    weft_spawn(&t[1], wait_and_return, &waits);
    wt_eq(weft_await(&t[0]), -EIO);
    weft_scope_cancel(&s, NULL);
    wt_eq(weft_when(AS_TASKS(&t[0], &t[1]), 2, WEFT_FIRST_OK, NULL), -ECANCELED);
    wt_eq(weft_scope_end(&s), 0);
    weft_sem_fini(&never);
    return 0;
}

/* E34 */
TaskTest(when, a_losers_error_is_kept_in_its_place_and_is_not_unobserved, 1)
{
    weft_sem never;
    weft_sem_init(&never, 0, 0);
    struct waits waits = {.sem = &never, .rc_cancelled = -EPROTO};
    weft_task t[2];
    WEFT_SCOPE(s);
    weft_spawn(&t[0], wait_and_return, &waits);
    spawn_returning(&t[1], 3);
    wt_eq(weft_when(AS_TASKS(&t[0], &t[1]), 2, WEFT_FIRST, NULL), 3);
    wt_eq(weft_status(&t[0]), -EPROTO);
    wt_true(weft_last() == NULL);
    wt_eq(weft_scope_end(&s), 0, "neither an unawaited task nor a failure of the scope");
    weft_sem_fini(&never);
    return 0;
}

static int fail_with_text(void *arg)
{
    (void)arg;
    return weft_fail(-EIO, "the disk is on fire");
}

TaskTest(when, the_record_of_the_returned_failure_is_the_callers, 2)
{
    weft_task t[2];
    spawn_returning(&t[0], 0);
    weft_spawn(&t[1], fail_with_text, NULL);
    wt_eq(weft_when(AS_TASKS(&t[0], &t[1]), 2, WEFT_FAILFAST, NULL), -EIO);
    wt_str_eq(weft_last()->text, "the disk is on fire");
    return 0;
}

/* --- keeping losers --------------------------------------------------------------------------- */

static int keep_losers(void *arg)
{
    (void)arg;
    weft_sem sem;
    weft_sem_init(&sem, 0, 0);
    struct waits waits[3] = {{.sem = &sem, .rc = 5}, {0}, {.sem = &sem, .rc = 5}};
    weft_task t[3];
    int which;
    weft_spawn(&t[0], wait_and_return, &waits[0]);
    spawn_returning(&t[1], 1);
    weft_spawn(&t[2], wait_and_return, &waits[2]);
    wt_eq(weft_when(AS_TASKS(&t[0], &t[1], &t[2]), 3, WEFT_FIRST | WEFT_KEEP_LOSERS, &which), 1);
    wt_eq(which, 1);
    wt_eq(weft_status(&t[0]), -EINPROGRESS);
    wt_eq(weft_status(&t[2]), -EINPROGRESS);
    weft_sem_release(&sem, 2);
    wt_eq(weft_await(&t[0]), 5);
    wt_eq(weft_await(&t[2]), 5);
    weft_sem_fini(&sem);
    return 0;
}

Test(when, losers_that_are_kept_go_on_and_can_be_awaited)
{
    wt_eq(weft_run(keep_losers, NULL, .workers = 1), 0);
    wt_eq(weft_run(keep_losers, NULL, .workers = 2), 0);
}

static int in_order_of_their_ends(void *arg)
{
    (void)arg;
    weft_sem sem;
    weft_sem_init(&sem, 0, 0);
    struct waits waits[16] = {{0}};
    weft_task t[16];
    weft_task *tasks[16];
    for (int i = 0; i < 16; i++) {
        tasks[i] = &t[i];
        waits[i].sem = &sem;
        waits[i].rc = i;
        weft_spawn(&t[i], wait_and_return, &waits[i]);
    }
    bool seen[16] = {false};
    for (int n = 16; n > 0; n--) {
        int which;
        weft_sem_release(&sem, 1);
        int rc = weft_when(tasks, n, WEFT_FIRST | WEFT_KEEP_LOSERS, &which);
        wt_ge(rc, 0);
        wt_false(seen[rc]);
        seen[rc] = true;
        tasks[which] = tasks[n - 1];
    }
    weft_sem_fini(&sem);
    return 0; /* each was a winner once, so all count as awaited */
}

Test(when, tasks_can_be_taken_one_by_one_as_they_end)
{
    wt_eq(weft_run(in_order_of_their_ends, NULL, .workers = 1), 0);
    wt_eq(weft_run(in_order_of_their_ends, NULL, .workers = 2), 0);
    wt_eq(weft_run(in_order_of_their_ends, NULL, .workers = 8), 0);
}

struct shared {
    weft_task *tasks[3];
    atomic_int *waiting;
    int own; /* which of them ends first */
    int policy;
};

static int wait_for_first(void *arg)
{
    struct shared *shared = arg;
    weft_task *const tasks[2] = {shared->tasks[0], shared->tasks[1 + shared->own]};
    atomic_fetch_add(shared->waiting, 1);
    return weft_when(tasks, 2, shared->policy, NULL);
}

static int await_it(void *arg)
{
    return weft_await(arg);
}

/* Several calls watch one task, and leave it one by one; an ordinary await stays. */
static int watched_by_several(void *arg)
{
    (void)arg;
    for (int i = 0; i < 200; i++) {
        weft_sem sems[3];
        struct waits waits[3] = {{0}};
        weft_task t[3];
        weft_task callers[2];
        weft_task awaiter;
        atomic_int waiting = 0;
        struct shared shared[2];
        for (int k = 0; k < 3; k++) {
            weft_sem_init(&sems[k], 0, 0);
            waits[k].sem = &sems[k];
            waits[k].rc = k;
            weft_spawn(&t[k], wait_and_return, &waits[k]);
        }
        for (int k = 0; k < 2; k++) {
            shared[k] =
                (struct shared){{&t[0], &t[1], &t[2]}, &waiting, k, WEFT_FIRST | WEFT_KEEP_LOSERS};
            weft_spawn(&callers[k], wait_for_first, &shared[k]);
        }
        weft_spawn(&awaiter, await_it, &t[0]);
        yield_until(&waiting, 2);
        weft_sem_release(&sems[1], 1);
        weft_sem_release(&sems[2], 1);
        wt_eq(weft_await(&callers[0]), 1);
        wt_eq(weft_await(&callers[1]), 2);
        weft_sem_release(&sems[0], 1);
        wt_eq(weft_await(&awaiter), 0);
        wt_eq(weft_when(AS_TASKS(&t[0], &t[1], &t[2]), 3, WEFT_ALL, NULL), 0);
        for (int k = 0; k < 3; k++) {
            weft_sem_fini(&sems[k]);
        }
    }
    return 0;
}

Test(when, several_calls_and_awaits_may_wait_for_one_task)
{
    wt_eq(weft_run(watched_by_several, NULL, .workers = 1), 0);
    wt_eq(weft_run(watched_by_several, NULL, .workers = 2), 0);
    wt_eq(weft_run(watched_by_several, NULL, .workers = 8), 0);
}

/* --- E36 -------------------------------------------------------------------------------------- */

static weft_task *target;

#define BY_AWAIT (-1) /* instead of a policy */

static int wait_for_target(void *arg)
{
    int policy = (int)(intptr_t)arg;
    return policy == BY_AWAIT ? weft_await(target) : weft_when(AS_TASKS(target), 1, policy, NULL);
}

static int spawn_one_that_waits(void *arg)
{
    weft_task t;
    weft_spawn(&t, wait_for_target, arg);
    return weft_await(&t);
}

WEFT_TASK(wait_in_scope, int)
{
    return wait_for_target((void *)(intptr_t)*arg);
}

static int go_one_that_waits(void *arg)
{
    WEFT_SCOPE(s);
    weft_go(&s, wait_in_scope, &(int){(int)(intptr_t)arg});
    return weft_scope_end(&s);
}

static void waits_for_ancestor(weft_fn *fn)
{
    for (int policy = BY_AWAIT; policy <= WEFT_FIRST_OK; policy = policy_after(policy)) {
        weft_task t;
        target = &t;
        weft_spawn(&t, fn, (void *)(intptr_t)policy);
        wt_eq(weft_await(&t), -EDEADLK, "policy %d", policy);
    }
}

/* E36 */
TaskTest(when, a_task_that_waits_for_itself_gets_edeadlk, 2)
{
    waits_for_ancestor(wait_for_target);
    return 0;
}

/* E36 */
TaskTest(when, a_task_that_waits_for_the_one_that_spawned_it_gets_edeadlk, 2)
{
    waits_for_ancestor(spawn_one_that_waits);
    return 0;
}

/* E36 */
TaskTest(when, a_task_that_waits_for_the_owner_of_its_scope_gets_edeadlk, 2)
{
    waits_for_ancestor(go_one_that_waits);
    return 0;
}

static int spawn_one_that_spawns(void *arg)
{
    weft_task t;
    weft_spawn(&t, go_one_that_waits, arg);
    return weft_await(&t);
}

/* E36 */
TaskTest(when, a_task_that_waits_for_one_further_up_gets_edeadlk, 2)
{
    waits_for_ancestor(spawn_one_that_spawns);
    return 0;
}

/* --- accounting ------------------------------------------------------------------------------- */

static int leaves_no_account(void *arg)
{
    for (int policy = WEFT_FAILFAST; policy <= WEFT_FIRST_OK; policy = policy_after(policy)) {
        weft_task t[2];
        spawn_returning(&t[0], 1);
        spawn_returning(&t[1], 1);
        weft_when(AS_TASKS(&t[0], &t[1]), 2, policy, NULL);
    }
    return (int)(intptr_t)arg; /* an unawaited task would be misuse here */
}

TaskTest(when, tasks_of_the_call_count_as_awaited, 1)
{
    weft_task t;
    weft_spawn(&t, leaves_no_account, (void *)3);
    wt_eq(weft_await(&t), 3);
    return 0;
}

static atomic_int misuses;

static void count_misuse(const char *what)
{
    wt_true(strstr(what, "unawaited") != NULL, "%s", what);
    atomic_fetch_add(&misuses, 1);
}

static int forgets_the_loser(void *arg)
{
    weft_task *t = arg; /* in memory that outlives this task */
    spawn_returning(&t[0], 1);
    spawn_returning(&t[1], 1);
    (void)weft_when(AS_TASKS(&t[0], &t[1]), 2, WEFT_FIRST | WEFT_KEEP_LOSERS, NULL);
    return 0;
}

TaskTest(when, a_loser_that_is_kept_and_never_awaited_is_misuse, 1)
{
    weft_task t[2];
    weft_task forgetful;
    weft_on_misuse(count_misuse);
    weft_spawn(&forgetful, forgets_the_loser, t);
    wt_eq(weft_await(&forgetful), 0);
    weft_on_misuse(NULL);
    wt_eq(atomic_load(&misuses), 1);
    wt_eq(weft_when(AS_TASKS(&t[0], &t[1]), 2, WEFT_ALL, NULL), 0);
    return 0;
}

TaskTest(when, a_call_that_need_not_wait_does_not_suspend, 1)
{
    weft_task t[2];
    weft_stats before;
    weft_stats after;
    spawn_returning(&t[0], 1);
    spawn_returning(&t[1], 1);
    weft_stats_get(weft_rt_current(), &before);
    wt_eq(weft_when(AS_TASKS(&t[0], &t[1]), 2, WEFT_FAILFAST, NULL), 0);
    wt_eq(weft_when(AS_TASKS(&t[0], &t[1]), 2, WEFT_FIRST, NULL), 1);
    weft_stats_get(weft_rt_current(), &after);
    wt_eq(after.suspends, before.suspends);
    return 0;
}

/* --- what a loser has open in a crowded scope ------------------------------------------------- */

static int wait_in_a_scope_of_its_own(void *sem)
{
    return weft_within(WEFT_SEC(3600), weft_sem_acquire(sem)) == -ECANCELED ? -ECANCELED : 0;
}

static int wait_in_a_scope_of_a_child(void *sem)
{
    weft_task child;
    (void)weft_spawn(&child, wait_in_a_scope_of_its_own, sem);
    return weft_await(&child);
}

static int succeed_at_once(void *arg)
{
    (void)arg;
    return 0;
}

/* Counted, so that nothing is looked for among the other scopes; a miscount would leave it
 * asleep. */
TaskTest(when, a_losers_wait_is_found_in_the_scopes_that_it_and_its_children_opened, 2)
{
    weft_sem never;
    weft_sem_init(&never, 0, 0);
    weft_fn *const losers[] = {wait_in_a_scope_of_its_own, wait_in_a_scope_of_a_child};
    for (int i = 0; i < 200; i++) {
        weft_task loser, winner, bystander;
        wt_eq(weft_spawn(&bystander, wait_in_a_scope_of_its_own, &never), 0);
        wt_eq(weft_spawn(&loser, losers[i % 2], &never), 0);
        (void)weft_yield();
        wt_eq(weft_spawn(&winner, succeed_at_once, NULL), 0);
        int which = -1;
        wt_eq(weft_when((weft_task *const[]){&loser, &winner}, 2, WEFT_FIRST, &which), 0);
        wt_eq(which, 1);
        wt_eq(weft_status(&loser), -ECANCELED);
        wt_eq(weft_status(&bystander), -EINPROGRESS);
        wt_eq(weft_sem_release(&never, 1), 0);
        wt_eq(weft_await(&bystander), 0);
    }
    weft_sem_fini(&never);
    return 0;
}
