/* Tasks in the caller's memory: spawn, await, status. */
#include "pattern.h"
#include <weft/debug.h>
#include <weft/sync.h>

static int forty_two(void *arg)
{
    (void)arg;
    return 42;
}

static int fails(void *arg)
{
    (void)arg;
    return -EIO;
}

static int count_up(void *arg)
{
    atomic_fetch_add((atomic_int *)arg, 1);
    return 0;
}

TaskTest(spawn, await_returns_what_the_task_returned, 2)
{
    weft_task t;
    wt_eq(weft_spawn(&t, forty_two, NULL), 0);
    wt_eq(weft_await(&t), 42);
    return 0;
}

TaskTest(spawn, a_failure_is_returned_by_await_as_it_is, 2)
{
    weft_task t;
    wt_eq(weft_spawn(&t, fails, NULL), 0);
    wt_eq(weft_await(&t), -EIO);
    return 0;
}

TaskTest(spawn, a_second_await_returns_the_same_result, 2)
{
    weft_task t;
    weft_spawn(&t, forty_two, NULL);
    wt_eq(weft_await(&t), 42);
    wt_eq(weft_await(&t), 42);
    wt_eq(weft_status(&t), 42);
    return 0;
}

TaskTest(spawn, await_of_an_ended_task_does_not_suspend, 1)
{
    weft_task t;
    weft_stats before;
    weft_stats after;
    weft_spawn(&t, forty_two, NULL);
    weft_await(&t);
    weft_stats_get(weft_rt_current(), &before);
    wt_eq(weft_await(&t), 42);
    weft_stats_get(weft_rt_current(), &after);
    wt_eq(after.suspends, before.suspends);
    return 0;
}

static int acquire(void *sem)
{
    int rc = weft_sem_acquire(sem);
    return rc < 0 ? rc : 7;
}

TaskTest(spawn, status_is_einprogress_until_the_task_has_ended, 2)
{
    weft_sem go;
    weft_sem_init(&go, 0, 0);
    weft_task t;
    weft_spawn(&t, acquire, &go);
    wt_eq(weft_status(&t), -EINPROGRESS);
    weft_sem_release(&go, 1);
    wt_eq(weft_await(&t), 7);
    wt_eq(weft_status(&t), 7);
    weft_sem_fini(&go);
    return 0;
}

struct awaiter {
    weft_task task;
    weft_task *target;
    atomic_int *waiting;
};

static int await_target(void *arg)
{
    struct awaiter *awaiter = arg;
    atomic_fetch_add(awaiter->waiting, 1);
    return weft_await(awaiter->target);
}

static int many_await_one(void *arg)
{
    (void)arg;
    weft_sem go;
    weft_sem_init(&go, 0, 0);
    weft_task target;
    weft_spawn(&target, acquire, &go);
    atomic_int waiting = 0;
    struct awaiter awaiters[16];
    for (int i = 0; i < 16; i++) {
        awaiters[i].target = &target;
        awaiters[i].waiting = &waiting;
        weft_spawn(&awaiters[i].task, await_target, &awaiters[i]);
    }
    yield_until(&waiting, 16);
    weft_sem_release(&go, 1);
    for (int i = 0; i < 16; i++) {
        wt_eq(weft_await(&awaiters[i].task), 7);
    }
    wt_eq(weft_await(&target), 7);
    weft_sem_fini(&go);
    return 0;
}

Test(spawn, any_number_of_tasks_may_await_one_task)
{
    wt_eq(weft_run(many_await_one, NULL, .workers = 1), 0);
    wt_eq(weft_run(many_await_one, NULL, .workers = 2), 0);
    wt_eq(weft_run(many_await_one, NULL, .workers = 8), 0);
}

static weft_task *own_task;

static int await_self(void *arg)
{
    (void)arg;
    return weft_await(own_task);
}

TaskTest(spawn, a_task_that_awaits_itself_gets_edeadlk, 1)
{
    weft_task t;
    own_task = &t;
    weft_spawn(&t, await_self, NULL);
    wt_eq(weft_await(&t), -EDEADLK);
    return 0;
}

Test(spawn, outside_a_task_spawn_and_await_are_refused_with_eperm)
{
    weft_task t;
    atomic_int calls = 0;
    wt_eq(weft_spawn(&t, count_up, &calls), -EPERM);
    wt_eq(weft_await(&t), -EPERM);
    wt_eq(weft_status(&t), -EPERM);
    wt_eq(atomic_load(&calls), 0);
}

/* E37 */
TaskTest(spawn, in_a_cancelled_scope_the_function_is_not_called, 2)
{
    atomic_int calls = 0;
    weft_task t;
    WEFT_SCOPE(s);
    weft_scope_cancel(&s, NULL);
    wt_eq(weft_spawn(&t, count_up, &calls), -ECANCELED);
    wt_eq(weft_await(&t), -ECANCELED);
    wt_eq(weft_status(&t), -ECANCELED);
    wt_eq(weft_scope_end(&s), 0);
    wt_eq(atomic_load(&calls), 0);
    return 0;
}

static int ignores_cancellation(void *arg)
{
    atomic_int *resumed = arg;
    while (weft_check() == 0) { /* ends: the test cancels the scope */
        weft_yield();
    }
    atomic_fetch_add(resumed, 1);
    return 5;
}

TaskTest(spawn, await_is_not_a_point_of_cancellation, 1)
{
    atomic_int resumed = 0;
    weft_task t;
    WEFT_SCOPE(s);
    weft_spawn(&t, ignores_cancellation, &resumed);
    weft_scope_cancel(&s, NULL);
    wt_eq(weft_await(&t), 5);
    wt_eq(atomic_load(&resumed), 1);
    weft_scope_end(&s);
    return 0;
}

struct late_failure {
    weft_task *after; /* fails when this one has ended */
    int rc;
};

static int fail_after(void *arg)
{
    struct late_failure *late = arg;
    if (late->after != NULL) {
        weft_await(late->after);
    }
    return late->rc;
}

TaskTest(spawn, when_all_returns_the_failure_that_came_first_in_time, 2)
{
    static const int orders[6][3] = {{0, 1, 2}, {0, 2, 1}, {1, 0, 2},
                                     {1, 2, 0}, {2, 0, 1}, {2, 1, 0}};
    for (int i = 0; i < 600; i++) {
        const int *order = orders[i % 6];
        weft_task t[3];
        struct late_failure chain[3] = {{NULL, -EBADMSG}, {&t[0], -EIO}, {&t[1], -EPROTO}};
        for (int n = 0; n < 3; n++) { /* each awaits one that has been spawned */
            weft_spawn(&t[n], fail_after, &chain[n]);
        }
        weft_task *const tasks[3] = {&t[order[0]], &t[order[1]], &t[order[2]]};
        wt_eq(weft_when(tasks, 3, WEFT_ALL, NULL), -EBADMSG);
    }
    return 0;
}

#define MANY 10000 /* more than a worker's deque holds */
static weft_task many[MANY];
static atomic_int runs_of[MANY];

static int spawn_many(void *arg)
{
    (void)arg;
    for (int i = 0; i < MANY; i++) {
        atomic_store(&runs_of[i], 0);
        wt_eq(weft_spawn(&many[i], count_up, &runs_of[i]), 0);
    }
    for (int i = 0; i < MANY; i++) { /* oldest first: the unfriendly order */
        wt_eq(weft_await(&many[i]), 0);
        wt_eq(atomic_load(&runs_of[i]), 1, "task %d", i);
    }
    return 0;
}

Test(spawn, each_of_ten_thousand_tasks_runs_exactly_once)
{
    wt_eq(weft_run(spawn_many, NULL, .workers = 1), 0);
    wt_eq(weft_run(spawn_many, NULL, .workers = 2), 0);
    wt_eq(weft_run(spawn_many, NULL, .workers = 8), 0);
}

static int tree(void *arg)
{
    int depth = (int)(intptr_t)arg;
    if (depth == 0) {
        return 1;
    }
    weft_task left;
    weft_task right;
    weft_spawn(&left, tree, (void *)(intptr_t)(depth - 1));
    weft_spawn(&right, tree, (void *)(intptr_t)(depth - 1));
    return weft_await(&left) + weft_await(&right); /* left first: it is not the newest */
}

Test(spawn, tasks_may_spawn_tasks)
{
    wt_eq(weft_run(tree, (void *)12, .workers = 1), 1 << 12);
    wt_eq(weft_run(tree, (void *)12, .workers = 2), 1 << 12);
    wt_eq(weft_run(tree, (void *)12, .workers = 8), 1 << 12);
}

static int chain(void *arg)
{
    int left = (int)(intptr_t)arg;
    if (left == 0) {
        return 0;
    }
    weft_task next;
    weft_spawn(&next, chain, (void *)(intptr_t)(left - 1));
    int rc = weft_await(&next);
    return rc < 0 ? rc : rc + 1;
}

Test(spawn, a_chain_of_ten_thousand_awaits_overflows_no_stack)
{
    wt_eq(weft_run(chain, (void *)10000, .workers = 1), 10000);
    wt_eq(weft_run(chain, (void *)10000, .workers = 2), 10000);
}

TaskTest(spawn, the_memory_of_an_awaited_task_may_be_used_again, 2)
{
    weft_task t;
    atomic_int calls = 0;
    for (int i = 0; i < 10000; i++) {
        wt_eq(weft_spawn(&t, count_up, &calls), 0);
        wt_eq(weft_await(&t), 0);
    }
    wt_eq(atomic_load(&calls), 10000);
    return 0;
}

struct pair {
    weft_sem ping, pong;
};

static int answer_pings(void *arg)
{
    struct pair *pair = arg;
    for (int i = 0; i < 1000; i++) {
        wt_eq(weft_sem_acquire(&pair->ping), 0);
        weft_sem_release(&pair->pong, 1);
    }
    return 0;
}

TaskTest(spawn, spawner_and_task_run_side_by_side, 2)
{
    struct pair pair;
    weft_sem_init(&pair.ping, 0, 0);
    weft_sem_init(&pair.pong, 0, 0);
    weft_task t;
    weft_spawn(&t, answer_pings, &pair);
    for (int i = 0; i < 1000; i++) {
        weft_sem_release(&pair.ping, 1);
        wt_eq(weft_sem_acquire(&pair.pong), 0);
    }
    int rc = weft_await(&t);
    weft_sem_fini(&pair.ping);
    weft_sem_fini(&pair.pong);
    return rc;
}

static int same_runtime(void *rt)
{
    return weft_rt_current() == rt;
}

TaskTest(spawn, a_task_belongs_to_the_runtime_of_its_spawner, 2)
{
    weft_task t;
    wt_true(weft_rt_current() != NULL);
    weft_spawn(&t, same_runtime, weft_rt_current());
    wt_eq(weft_await(&t), 1);
    return 0;
}

TaskTest(spawn, two_tasks_that_yield_take_turns, 1)
{
    atomic_int turns = 0;
    weft_task t;
    weft_spawn(&t, count_up, &turns);
    yield_until(&turns, 1);
    wt_eq(weft_await(&t), 0);
    return 0;
}
