/* Frames: tasks without a stack. */
#include "pattern.h"
#include <stdlib.h>
#include <weft/chan.h>
#include <weft/debug.h>
#include <weft/stackless.h>
#include <weft/watch.h>

struct counter {
    weft_frame sm;
    weft_sem *sem;
    atomic_int *steps;
    int i, j, rc;
};

WEFT_STEP(count_to_three, struct counter)
{
    WEFT_BEGIN(&f->sm);
    for (f->i = 0; f->i < 3; f->i++) {
        WEFT_AWAIT(&f->sm, f->rc, weft_sem_acquire_v(f->sem));
        if (f->rc < 0) {
            return f->rc;
        }
        atomic_fetch_add(f->steps, 1);
    }
    return 0;
}

TaskTest(frame, goes_on_behind_each_await_in_a_loop, 1)
{
    weft_sem sem;
    weft_sem_init(&sem, 0, 0);
    atomic_int steps = 0;
    struct counter counter = {.sem = &sem, .steps = &steps};
    WEFT_SCOPE(s);
    wt_eq(weft_go_frame(&s, count_to_three, &counter), 0);
    for (int i = 1; i <= 3; i++) {
        weft_sem_release(&sem, 1);
        yield_until(&steps, i);
        wt_eq(atomic_load(&steps), i);
    }
    wt_eq(weft_scope_end(&s), 0);
    weft_sem_fini(&sem);
    return 0;
}

WEFT_STEP(two_on_a_line, struct counter)
{
    WEFT_BEGIN(&f->sm);
    switch (f->j) {
    case 1:
        /* clang-format off */
        WEFT_AWAIT(&f->sm, f->rc, weft_sem_acquire_v(f->sem)); f->i += 1; WEFT_AWAIT(&f->sm, f->rc, weft_sem_acquire_v(f->sem)); f->i += 10;
        /* clang-format on */
        break;
    default:
        do {
            WEFT_AWAIT(&f->sm, f->rc, weft_sleep_v(WEFT_US(10)));
            f->i += 100;
        } while (f->i < 300);
    }
    atomic_fetch_add(f->steps, 1);
    return f->rc;
}

TaskTest(frame, awaits_in_a_switch_and_twice_on_one_line, 1)
{
    weft_sem sem;
    weft_sem_init(&sem, 0, 0);
    atomic_int steps = 0;
    struct counter one = {.sem = &sem, .steps = &steps, .j = 1};
    struct counter two = {.sem = &sem, .steps = &steps, .j = 2};
    WEFT_SCOPE(s);
    wt_eq(weft_go_frame(&s, two_on_a_line, &one), 0);
    wt_eq(weft_go_frame(&s, two_on_a_line, &two), 0);
    weft_yield();
    weft_sem_release(&sem, 2);
    wt_eq(weft_scope_end(&s), 0);
    wt_eq(one.i, 11);
    wt_eq(two.i, 300);
    weft_sem_fini(&sem);
    return 0;
}

TaskTest(frame, ends_cancelled_with_its_scope, 1)
{
    weft_sem sem;
    weft_sem_init(&sem, 0, 0);
    atomic_int steps = 0;
    struct counter counters[10];
    WEFT_SCOPE(s);
    for (int i = 0; i < 10; i++) {
        counters[i] = (struct counter){.sem = &sem, .steps = &steps};
        wt_eq(weft_go_frame(&s, count_to_three, &counters[i]), 0);
    }
    weft_yield();
    weft_scope_cancel(&s, "test");
    wt_eq(weft_go_frame(&s, count_to_three, &counters[0]), -ECANCELED); /* E37 */
    wt_eq(weft_scope_end(&s), -ECANCELED);
    for (int i = 0; i < 10; i++) {
        wt_eq(counters[i].rc, -ECANCELED);
    }
    weft_sem_release(&sem, 1);
    wt_eq(weft_sem_count(&sem), 1);
    weft_sem_fini(&sem);
    return 0;
}

TaskTest(frame, ends_timed_out_with_its_scope, 1)
{
    weft_sem sem;
    weft_sem_init(&sem, 0, 0);
    atomic_int steps = 0;
    struct counter counter = {.sem = &sem, .steps = &steps};
    WEFT_SCOPE(s, .timeout = WEFT_MS(1));
    wt_eq(weft_go_frame(&s, count_to_three, &counter), 0);
    wt_eq(weft_scope_end(&s), -ETIME);
    weft_sem_fini(&sem);
    return 0;
}

struct failing {
    weft_frame sm;
    int rc;
};

WEFT_STEP(fail_after_a_sleep, struct failing)
{
    WEFT_BEGIN(&f->sm);
    WEFT_AWAIT(&f->sm, f->rc, weft_sleep_v(WEFT_US(10)));
    return weft_fail(-EIO, "after %d", f->rc);
}

TaskTest(frame, a_failure_and_its_record_go_to_the_scope, 1)
{
    struct failing failing = {0};
    WEFT_SCOPE(s);
    wt_eq(weft_go_frame(&s, fail_after_a_sleep, &failing), 0);
    wt_eq(weft_scope_end(&s), -EIO);
    wt_true(weft_last() != NULL);
    wt_str_eq(weft_last()->text, "after 0");
    return 0;
}

WEFT_STEP(free_itself, struct failing)
{
    WEFT_BEGIN(&f->sm);
    WEFT_AWAIT(&f->sm, f->rc, weft_sleep_v(WEFT_US(1)));
    int rc = f->rc;
    free(f);
    return rc;
}

TaskTest(frame, may_free_its_own_memory_as_its_last_act, 2)
{
    WEFT_SCOPE(s);
    for (int i = 0; i < 100; i++) {
        wt_eq(weft_go_frame(&s, free_itself, (struct failing *)malloc(sizeof(struct failing))), 0);
    }
    wt_eq(weft_scope_end(&s), 0);
    return 0;
}

/* --- what a frame awaits ---------------------------------------------------------------------- */

struct consumer {
    weft_frame sm;
    weft_val val;
    int64_t first, second;
};

WEFT_STEP(consume_twice, struct consumer)
{
    WEFT_BEGIN(&f->sm);
    WEFT_AWAIT(&f->sm, f->first, f->val);
    WEFT_AWAIT(&f->sm, f->second, f->val);
    return 0;
}

static atomic_int misuses;

static void count_misuse(const char *what)
{
    (void)what;
    atomic_fetch_add(&misuses, 1);
}

static void tolerate(void)
{
    weft_on_misuse(count_misuse);
}

/* E18, E20 */
TaskTest(frame, awaits_a_value_that_a_task_began_once, 1, .init = tolerate)
{
    weft_promise promise;
    struct consumer consumer = {0};
    wt_eq(weft_promise_new(&promise, &consumer.val), 0);
    WEFT_SCOPE(s);
    wt_eq(weft_go_frame(&s, consume_twice, &consumer), 0);
    weft_yield();
    wt_eq(weft_promise_set(&promise, 42), 0);
    wt_eq(weft_scope_end(&s), 0);
    wt_eq(consumer.first, 42);
    wt_eq(consumer.second, -ESTALE);
    wt_eq(atomic_load(&misuses), 1);
    return 0;
}

/* E19 */
TaskTest(frame, a_second_waiter_beside_a_frame_is_refused, 1, .init = tolerate)
{
    weft_promise promise;
    weft_val val;
    wt_eq(weft_promise_new(&promise, &val), 0);
    struct consumer consumer = {.val = val};
    WEFT_SCOPE(s, .on_error = WEFT_CONTINUE);
    wt_eq(weft_go_frame(&s, consume_twice, &consumer), 0);
    weft_yield();
    wt_eq(weft_val_await(val), -EBUSY);
    weft_scope_cancel(&s, "test");
    weft_scope_end(&s);
    wt_eq(consumer.first, -ECANCELED);
    return 0;
}

static weft_val two_begun(struct consumer *f, weft_sem *sem)
{
    f->val = weft_sem_acquire_v(sem); /* in the frame itself, and left there */
    return weft_sem_acquire_v(sem);
}

static weft_sem *careless_sem;

WEFT_STEP(begin_two_await_one, struct consumer)
{
    WEFT_BEGIN(&f->sm);
    WEFT_AWAIT(&f->sm, f->first, two_begun(f, careless_sem));
    f->second = weft_val_await(f->val);
    return 0;
}

TaskTest(frame, an_operation_left_behind_in_an_await_is_misuse_and_ends, 1, .init = tolerate)
{
    weft_sem sem;
    weft_sem_init(&sem, 0, 0);
    careless_sem = &sem;
    struct consumer consumer = {0};
    WEFT_SCOPE(s);
    wt_eq(weft_go_frame(&s, begin_two_await_one, &consumer), 0);
    weft_yield();
    weft_sem_release(&sem, 1);
    wt_eq(weft_scope_end(&s), 0);
    wt_eq(consumer.first, 0);
    wt_eq(consumer.second, -ESTALE);
    wt_ge(atomic_load(&misuses), 1);
    wt_eq(weft_sem_count(&sem), 0);
    weft_sem_fini(&sem);
    return 0;
}

static weft_val begun_and_dropped(weft_sem *sem)
{
    weft_val val = weft_sem_acquire_v(sem);
    wt_eq(weft_val_ready(val), 0);
    wt_eq(weft_val_drop(val), 0);
    wt_eq(weft_val_ready(val), -ESTALE);
    return weft_val_done(7);
}

WEFT_STEP(begin_and_drop, struct consumer)
{
    WEFT_BEGIN(&f->sm);
    WEFT_AWAIT(&f->sm, f->first, begun_and_dropped(careless_sem));
    WEFT_AWAIT(&f->sm, f->second, weft_sem_acquire_v(careless_sem));
    return 0;
}

TaskTest(frame, an_operation_begun_in_an_await_may_be_dropped_there, 1)
{
    weft_sem sem;
    weft_sem_init(&sem, 0, 0);
    careless_sem = &sem;
    struct consumer consumer = {0};
    WEFT_SCOPE(s);
    wt_eq(weft_go_frame(&s, begin_and_drop, &consumer), 0);
    weft_yield();
    weft_sem_release(&sem, 1);
    wt_eq(weft_scope_end(&s), 0);
    wt_eq(consumer.first, 7);
    wt_eq(consumer.second, 0);
    weft_sem_fini(&sem);
    return 0;
}

static weft_val begun_and_forgotten(weft_sem *sem)
{
    (void)weft_sem_acquire_v(sem);
    return weft_val_done(7);
}

WEFT_STEP(begin_and_forget, struct consumer)
{
    WEFT_BEGIN(&f->sm);
    WEFT_AWAIT(&f->sm, f->first, begun_and_forgotten(careless_sem));
    return 0;
}

TaskTest(frame, one_forgotten_beside_a_result_is_misuse_and_ends_with_the_step, 1, .init = tolerate)
{
    weft_sem sem;
    weft_sem_init(&sem, 0, 0);
    careless_sem = &sem;
    struct consumer consumer = {0};
    WEFT_SCOPE(s);
    wt_eq(weft_go_frame(&s, begin_and_forget, &consumer), 0);
    wt_eq(weft_scope_end(&s), 0);
    wt_eq(consumer.first, 7);
    wt_eq(atomic_load(&misuses), 1);
    wt_eq(weft_sem_release(&sem, 1), 0);
    wt_eq(weft_sem_count(&sem), 1);
    weft_sem_fini(&sem);
    return 0;
}

WEFT_STEP(always_ready, struct counter)
{
    WEFT_BEGIN(&f->sm);
    while (atomic_load(f->steps) == 0) {
        WEFT_AWAIT(&f->sm, f->i, weft_val_done(f->i + 1));
    }
    return 0;
}

TaskTest(frame, one_whose_awaits_never_wait_lets_others_run, 1)
{
    atomic_int steps = 0;
    struct counter counter = {.steps = &steps};
    WEFT_SCOPE(s);
    wt_eq(weft_go_frame(&s, always_ready, &counter), 0);
    wt_eq(weft_yield(), 0);
    wt_eq(weft_yield(), 0);
    atomic_store(&steps, 1);
    wt_eq(weft_scope_end(&s), 0);
    wt_gt(counter.i, 0);
    return 0;
}

struct child {
    weft_frame sm;
    int rc, of;
};

WEFT_STEP(child_step, struct child)
{
    WEFT_BEGIN(&f->sm);
    WEFT_AWAIT(&f->sm, f->rc, weft_sleep_v(WEFT_US(10)));
    if (f->of < 0) {
        return weft_fail(f->of, "child %d", f->of);
    }
    return f->of * 2;
}

WEFT_TASK(double_on_a_stack, int)
{
    int rc = weft_sleep(WEFT_US(10));
    if (rc < 0 || *arg < 0) {
        return weft_fail(-EIO, "on a stack: %d", *arg);
    }
    return *arg * 2;
}

static int forty(void *arg)
{
    (void)arg;
    weft_sleep(WEFT_US(10));
    return 40;
}

struct parent {
    weft_frame sm;
    struct child child;
    weft_task *task;
    int a, b, c, d, e;
};

WEFT_STEP(parent_step, struct parent)
{
    WEFT_BEGIN(&f->sm);
    f->child.of = 4;
    WEFT_AWAIT(&f->sm, f->a, weft_frame_v(child_step, &f->child));
    f->child.of = -EIO;
    WEFT_AWAIT(&f->sm, f->b, weft_frame_v(child_step, &f->child));
    wt_true(weft_last() != NULL);
    wt_str_eq(weft_last()->text, "child -5");
    WEFT_AWAIT(&f->sm, f->c, weft_task_v(double_on_a_stack, &(int){21}));
    WEFT_AWAIT(&f->sm, f->d, weft_task_v(double_on_a_stack, &(int){-1}));
    wt_str_eq(weft_last()->text, "on a stack: -1");
    WEFT_AWAIT(&f->sm, f->e, weft_await_v(f->task));
    return 0;
}

TaskTest(frame, awaits_other_frames_functions_and_tasks_and_gets_their_records, 1)
{
    weft_task task;
    struct parent parent = {.task = &task};
    weft_spawn(&task, forty, NULL);
    WEFT_SCOPE(s);
    wt_eq(weft_go_frame(&s, parent_step, &parent), 0);
    wt_eq(weft_scope_end(&s), 0);
    wt_eq(parent.a, 8);
    wt_eq(parent.b, -EIO);
    wt_eq(parent.c, 42);
    wt_eq(parent.d, -EIO);
    wt_eq(parent.e, 40);
    wt_eq(weft_await(&task), 40); /* again: the same */
    return 0;
}

TaskTest(frame, a_task_awaits_frames_and_functions_as_values, 2)
{
    for (int i = 0; i < 200; i++) {
        struct child children[3] = {{.of = 1}, {.of = 2}, {.of = -EIO}};
        weft_val first = weft_frame_v(child_step, &children[0]);
        weft_val second = weft_frame_v(child_step, &children[1]);
        weft_val third = weft_frame_v(child_step, &children[2]);
        weft_task task;
        weft_spawn(&task, forty, NULL);
        weft_val fourth = weft_await_v(&task);
        wt_eq(weft_val_await(first), 2);
        wt_eq(weft_val_await(fourth), 40);
        wt_eq(weft_val_await(second), 4);
        wt_eq(weft_val_await(third), -EIO);
        wt_str_eq(weft_last()->text, "child -5");
        wt_eq(weft_val_await_new(weft_task_v(double_on_a_stack, &i)), 2 * i);
        wt_eq(weft_val_await_new(weft_await_v(&task)), 40);
    }
    return 0;
}

TaskTest(frame, a_frame_whose_value_is_dropped_goes_on_and_its_scope_waits_for_it, 2)
{
    for (int i = 0; i < 200; i++) {
        struct child child = {.of = 1};
        WEFT_SCOPE(s);
        weft_val val = weft_frame_v(child_step, &child);
        wt_eq(weft_val_drop(val), 0);
        weft_val other = weft_task_v(double_on_a_stack, &i);
        wt_eq(weft_val_drop(other), 0);
        wt_eq(weft_scope_end(&s), 0);
        wt_eq(child.rc, 0);
    }
    return 0;
}

/* --- every primitive -------------------------------------------------------------------------- */

static int three(void *arg)
{
    (void)arg;
    for (int i = 1; i <= 3; i++) {
        int rc = weft_emit(&i);
        if (rc < 0) {
            return rc;
        }
    }
    return 0;
}

struct listener {
    weft_frame sm;
    weft_event *event;
    weft_latch *latch;
    weft_barrier *barrier;
    weft_ticker *ticker;
    weft_gen *gen;
    int event_rc, latch_rc, barrier_rc, ticker_rc, gen_rc, item, sum;
};

WEFT_STEP(listen_to_all, struct listener)
{
    WEFT_BEGIN(&f->sm);
    WEFT_AWAIT(&f->sm, f->event_rc, weft_event_wait_v(f->event));
    WEFT_AWAIT(&f->sm, f->latch_rc, weft_latch_wait_v(f->latch));
    WEFT_AWAIT(&f->sm, f->barrier_rc, weft_barrier_wait_v(f->barrier));
    WEFT_AWAIT(&f->sm, f->ticker_rc, weft_ticker_wait_v(f->ticker));
    do {
        WEFT_AWAIT(&f->sm, f->gen_rc, weft_gen_next_v(f->gen, &f->item));
        f->sum += f->gen_rc == 1 ? f->item : 0;
    } while (f->gen_rc == 1);
    return f->gen_rc;
}

TaskTest(frame, waits_for_events_latches_barriers_tickers_and_generators, 1)
{
    weft_event event;
    weft_latch latch;
    weft_barrier barrier;
    weft_ticker ticker;
    weft_event_init(&event, WEFT_EVENT_AUTO);
    weft_latch_init(&latch, 1);
    weft_barrier_init(&barrier, 2);
    weft_ticker_init(&ticker, WEFT_MS(1));
    struct listener listener = {
        .event = &event, .latch = &latch, .barrier = &barrier, .ticker = &ticker};
    wt_eq(weft_gen_new(&listener.gen, three, NULL, sizeof(int)), 0);
    WEFT_SCOPE(s);
    wt_eq(weft_go_frame(&s, listen_to_all, &listener), 0);
    weft_yield();
    weft_event_set(&event);
    weft_yield();
    weft_latch_down(&latch, 1);
    weft_yield();
    wt_ge(weft_barrier_wait(&barrier), 0);
    wt_eq(weft_scope_end(&s), 0);
    wt_eq(listener.event_rc, 0);
    wt_eq(listener.latch_rc, 0);
    wt_ge(listener.barrier_rc, 0);
    wt_ge(listener.ticker_rc, 1);
    wt_eq(listener.sum, 6);
    wt_eq(weft_gen_close(listener.gen), 0);
    weft_event_fini(&event);
    weft_latch_fini(&latch);
    weft_barrier_fini(&barrier);
    weft_ticker_fini(&ticker);
    return 0;
}

TaskTest(val, what_a_dropped_value_brought_is_there_for_the_next, 1)
{
    weft_event event;
    weft_event_init(&event, WEFT_EVENT_AUTO);
    weft_val val = weft_event_wait_v(&event);
    weft_event_set(&event);
    wt_eq(weft_val_drop(val), 0);
    wt_eq(weft_event_try(&event), 0);
    weft_event_fini(&event);
    weft_gen *gen;
    wt_eq(weft_gen_new(&gen, three, NULL, sizeof(int)), 0);
    int item = 0;
    weft_val next = weft_gen_next_v(gen, &item);
    wt_eq(weft_val_await(next), 1);
    wt_eq(item, 1);
    wt_eq(weft_gen_close(gen), 0);
    return 0;
}

/* --- a step is task context ------------------------------------------------------------------- */

static int add_one(void *arg)
{
    ++*(int *)arg;
    return weft_sleep(WEFT_US(10));
}

WEFT_STEP(use_the_stack, struct counter)
{
    WEFT_BEGIN(&f->sm);
    weft_task t;
    weft_spawn(&t, add_one, &f->i);
    f->rc = weft_await(&t);
    f->rc = f->rc < 0 ? f->rc : weft_within(WEFT_SEC(5), weft_sem_acquire(f->sem));
    WEFT_AWAIT(&f->sm, f->rc, weft_sem_acquire_v(f->sem));
    WEFT_SCOPE(s);
    weft_val val = weft_sleep_v(WEFT_US(10));
    f->rc = (int)weft_val_await(val);
    wt_eq(weft_scope_end(&s), 0);
    return f->rc;
}

TaskTest(frame, a_step_may_wait_on_its_stack_spawn_and_open_scopes, 1)
{
    weft_sem sem;
    weft_sem_init(&sem, 0, 0);
    struct counter counters[5];
    WEFT_SCOPE(s);
    for (int i = 0; i < 5; i++) {
        counters[i] = (struct counter){.sem = &sem};
        wt_eq(weft_go_frame(&s, use_the_stack, &counters[i]), 0);
    }
    weft_yield();
    weft_sem_release(&sem, 10);
    wt_eq(weft_scope_end(&s), 0);
    for (int i = 0; i < 5; i++) {
        wt_eq(counters[i].i, 1);
    }
    weft_sem_fini(&sem);
    return 0;
}

/* --- many ------------------------------------------------------------------------------------- */

#define MANY 20000

TaskTest(frame, many_are_woken_by_several_workers_exactly_once_each, 4)
{
    weft_sem sem;
    weft_sem_init(&sem, 0, 0);
    atomic_int steps = 0;
    struct counter *counters = calloc(MANY, sizeof *counters);
    WEFT_SCOPE(s);
    for (int i = 0; i < MANY; i++) {
        counters[i] = (struct counter){.sem = &sem, .steps = &steps};
        wt_eq(weft_go_frame(&s, count_to_three, &counters[i]), 0);
    }
    for (int i = 0; i < 3 * MANY; i++) {
        wt_eq(weft_sem_release(&sem, 1), 0);
    }
    wt_eq(weft_scope_end(&s), 0);
    wt_eq(atomic_load(&steps), 3 * MANY);
    wt_eq(weft_sem_count(&sem), 0);
    free(counters);
    weft_sem_fini(&sem);
    return 0;
}

TaskTest(frame, many_are_cancelled_while_they_are_granted_and_no_permit_is_lost, 4)
{
    weft_sem sem;
    for (int round = 0; round < 20; round++) {
        enum { N = 500 };
        weft_sem_init(&sem, 0, 0);
        atomic_int steps = 0;
        struct counter *counters = calloc(N, sizeof *counters);
        WEFT_SCOPE(s, .on_error = WEFT_CONTINUE);
        for (int i = 0; i < N; i++) {
            counters[i] = (struct counter){.sem = &sem, .steps = &steps};
            wt_eq(weft_go_frame(&s, count_to_three, &counters[i]), 0);
        }
        for (int i = 0; i < N; i++) {
            wt_eq(weft_sem_release(&sem, 1), 0);
            if (i == N / 2 + round) {
                weft_scope_cancel(&s, "test");
            }
        }
        int rc = weft_scope_end(&s);
        wt_true(rc == -ECANCELED || rc == 0);
        wt_eq((int)weft_sem_count(&sem) + atomic_load(&steps), N);
        free(counters);
        weft_sem_fini(&sem);
    }
    return 0;
}

/* --- select ----------------------------------------------------------------------------------- */

struct chooser {
    weft_frame sm;
    weft_chan *chan;
    weft_watch *watch;
    uint64_t seen;
    weft_case cases[2];
    int item, value, which;
    int got[2], sum;
};

WEFT_STEP(choose, struct chooser)
{
    WEFT_BEGIN(&f->sm);
    for (;;) {
        f->cases[0] = WEFT_ON_RECV(f->chan, &f->item);
        f->cases[1] = WEFT_ON_WATCH(f->watch, &f->seen, &f->value);
        WEFT_AWAIT(&f->sm, f->which, weft_select_v(f->cases, 2, 0));
        if (f->which < 0) {
            return f->which;
        }
        if (f->cases[f->which].rc <= 0) {
            return f->cases[f->which].rc;
        }
        f->got[f->which]++;
        f->sum += f->which == 0 ? f->item : f->value;
    }
}

static void chooser_new(struct chooser *chooser)
{
    int value = 1000;
    *chooser = (struct chooser){.seen = 1};
    wt_eq(weft_chan_new(&chooser->chan, sizeof(int), 1), 0);
    wt_eq(weft_watch_new(&chooser->watch, sizeof value, &value), 0);
}

static void chooser_free(struct chooser *chooser)
{
    weft_chan_free(chooser->chan);
    weft_watch_free(chooser->watch);
}

TaskTest(frame, selects_among_a_channel_and_a_watch, 2)
{
    struct chooser chooser;
    chooser_new(&chooser);
    WEFT_SCOPE(s);
    wt_eq(weft_go_frame(&s, choose, &chooser), 0);
    for (int i = 1; i <= 100; i++) {
        wt_eq(weft_chan_send(chooser.chan, &i), 0);
    }
    int value = 7;
    wt_eq(weft_watch_set(chooser.watch, &value), 0);
    wt_eq(weft_chan_close(chooser.chan, 0), 0);
    wt_eq(weft_scope_end(&s), 0);
    wt_eq(chooser.got[0], 100);
    wt_le(chooser.got[1], 1); /* the close may be chosen first */
    wt_eq(chooser.sum, 5050 + 7 * chooser.got[1]);
    chooser_free(&chooser);
    return 0;
}

TaskTest(frame, that_selects_is_cancelled_and_leaves_all_queues, 2)
{
    struct chooser chooser;
    chooser_new(&chooser);
    WEFT_SCOPE(s);
    wt_eq(weft_go_frame(&s, choose, &chooser), 0);
    weft_yield();
    weft_scope_cancel(&s, "enough");
    wt_eq(weft_scope_end(&s), -ECANCELED);
    int item = 1;
    wt_eq(weft_chan_try_send(chooser.chan, &item), 0); /* into the buffer: nobody waits */
    wt_eq(weft_chan_len(chooser.chan), 1);
    chooser_free(&chooser);
    return 0;
}

TaskTest(frame, a_select_with_bad_arguments_fails_at_once, 1)
{
    weft_case none = {.kind = 99};
    weft_val val = weft_select_v(&none, 1, 0);
    wt_eq(weft_val_ready(val), 1);
    wt_eq(weft_val_await(val), -EINVAL);
    val = weft_select_v(&none, 0, 0);
    wt_eq(weft_val_await(val), -EINVAL);
    return 0;
}
