/* What <weft/exec.h> says of executors and pinning. */
#include "pattern.h"
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <string.h>
#include <unistd.h>
#include <weft/debug.h>
#include <weft/exec.h>
#include <weft/fork.h>
#include <weft/io.h>
#include <weft/sync.h>

/* --- pinned ----------------------------------------------------------------------------------- */

/* Not pthread_self: it is declared const, so the compiler keeps its value over a wait. */
static pid_t thread_now(void)
{
    return gettid();
}

static int pinned_sleeper(void *arg)
{
    (void)arg;
    wt_eq(weft_pin(1), 0);
    wt_eq(weft_pin(1), 0);
    pid_t thread = thread_now();
    for (int i = 0; i < 50; i++) {
        wt_eq(i % 2 == 0 ? weft_yield() : weft_sleep(WEFT_US(20)), 0);
        wt_true(thread_now() == thread, "after wait %d", i);
    }
    wt_eq(weft_pin(0), 0);
    return 0;
}

TaskTest(exec, a_pinned_task_stays_on_its_thread_through_all_waits, 4)
{
    weft_task tasks[16];
    for (int i = 0; i < 16; i++) {
        wt_eq(weft_spawn(&tasks[i], pinned_sleeper, NULL), 0);
    }
    for (int i = 15; i >= 0; i--) {
        wt_eq(weft_await(&tasks[i]), 0);
    }
    return 0;
}

static int pin_and_end(void *arg)
{
    (void)arg;
    return weft_pin(1);
}

TaskTest(exec, a_pin_ends_with_its_task, 1)
{
    weft_task t;
    wt_eq(weft_spawn(&t, pin_and_end, NULL), 0);
    wt_eq(weft_await(&t), 0); /* ran in place, on this stack */
    weft_exec *serial;
    wt_eq(weft_exec_serial_new(&serial), 0);
    wt_eq(weft_move_to(serial, NULL), 0); /* -EBUSY if we were pinned now */
    wt_eq(weft_pin(1), -EBUSY);
    wt_eq(weft_move_to(WEFT_POOL, NULL), 0);
    wt_eq(weft_pin(1), 0);
    wt_eq(weft_move_to(serial, NULL), -EBUSY);
    wt_eq(weft_pin(0), 0);
    wt_eq(weft_exec_free(serial), 0);
    return 0;
}

static int hold_up(void *gate)
{
    while (!atomic_load((atomic_int *)gate)) { /* ends: the test opens it */
        (void)weft_yield();
    }
    return 0;
}

static atomic_int woken;
static int pinned_waiter(void *sem)
{
    (void)weft_pin(1);
    wt_eq(weft_sem_acquire(sem), 0);
    atomic_fetch_add(&woken, 1);
    return 0;
}

TaskTest(exec, a_pinned_task_is_woken_by_any_worker_while_its_own_is_idle, 4)
{
    weft_sem sem;
    for (int round = 0; round < 200; round++) {
        weft_sem_init(&sem, 0, 0);
        weft_task t;
        wt_eq(weft_spawn(&t, pinned_waiter, &sem), 0);
        (void)weft_sleep(WEFT_US(round % 7 * 30));
        wt_eq(weft_sem_release(&sem, 1), 0);
        wt_eq(weft_await(&t), 0);
        weft_sem_fini(&sem);
    }
    wt_eq(atomic_load(&woken), 200);
    return 0;
}

#define BESIDE_YIELDERS 8
#define BESIDE_TURNS    1000

static struct {
    weft_sem turn;
    atomic_int begun; /* the giver, on the other worker */
    atomic_int taken;
    atomic_int over;
    int missed; /* turns that were not taken within 20 s */
} beside;

static int yield_until_over(void *unused)
{
    (void)unused;
    while (atomic_load(&beside.over) == 0) { /* ends: so says the giver */
        wt_eq(weft_yield(), 0);
    }
    return 0;
}

/* Keeps its worker until the giver has begun on the other, then shares it with tasks that yield. */
static int take_pinned_turns(void *unused)
{
    (void)unused;
    weft_task yielders[BESIDE_YIELDERS];
    (void)weft_pin(1);
    while (atomic_load(&beside.begun) == 0) { /* ends: the other worker has nothing else to do */
        sched_yield();
    }
    for (int i = 0; i < BESIDE_YIELDERS; i++) {
        wt_eq(weft_spawn(&yielders[i], yield_until_over, NULL), 0);
    }
    for (int i = 0; i < BESIDE_TURNS; i++) {
        wt_eq(weft_sem_acquire(&beside.turn), 0);
        atomic_fetch_add(&beside.taken, 1);
    }
    for (int i = 0; i < BESIDE_YIELDERS; i++) {
        wt_eq(weft_await(&yielders[i]), 0);
    }
    (void)weft_pin(0);
    return 0;
}

static int give_pinned_turns(void *unused)
{
    (void)unused;
    (void)weft_pin(1);
    atomic_store(&beside.begun, 1);
    for (int i = 0; i < BESIDE_TURNS; i++) {
        wt_eq(weft_sem_release(&beside.turn, 1), 0);
        int64_t give_up_ns = now_ns() + WEFT_SEC(20);
        while (atomic_load(&beside.taken) <= i) { /* ends: when nobody yields any more */
            if (now_ns() > give_up_ns) {
                beside.missed++;
                atomic_store(&beside.over, 1);
            }
            wt_eq(weft_yield(), 0);
        }
    }
    atomic_store(&beside.over, 1);
    (void)weft_pin(0);
    return 0;
}

/* The other worker sends a message that the task is to resume. Its own may collect that while a
 * task yields, and then went from one yielding task to the next. */
TaskTest(exec, a_pinned_task_has_its_turn_beside_tasks_that_yield, 2)
{
    weft_sem_init(&beside.turn, 0, 0);
    weft_task giver;
    wt_eq(weft_spawn(&giver, give_pinned_turns, NULL), 0);
    weft_task taker;
    wt_eq(weft_spawn(&taker, take_pinned_turns, NULL), 0);
    wt_eq(weft_await(&taker), 0);
    wt_eq(weft_await(&giver), 0);
    wt_eq(beside.missed, 0, "a turn came only when nobody yielded any more");
    return 0;
}

/* --- serial ----------------------------------------------------------------------------------- */

static struct shared {
    weft_exec *serial;
    int inside; /* not atomic: that is what the executor is for */
    long turns;
} shared;

static int take_turns(void *arg)
{
    (void)arg;
    wt_eq(weft_move_to(shared.serial, NULL), 0);
    for (int i = 0; i < 200; i++) {
        wt_eq(shared.inside++, 0);
        shared.turns++;
        for (volatile int spin = 0; spin < 200; spin++) {
        }
        shared.inside--;
        wt_eq(i % 3 == 0 ? weft_sleep(WEFT_US(10)) : weft_yield(), 0);
    }
    return 0;
}

TaskTest(exec, a_serial_executor_runs_one_task_at_a_time, 8)
{
    shared = (struct shared){0};
    wt_eq(weft_exec_serial_new(&shared.serial), 0);
    weft_task tasks[32];
    for (int i = 0; i < 32; i++) {
        wt_eq(weft_spawn(&tasks[i], take_turns, NULL), 0);
    }
    for (int i = 31; i >= 0; i--) {
        wt_eq(weft_await(&tasks[i]), 0);
    }
    wt_eq(shared.turns, 32 * 200);
    wt_eq(weft_exec_free(shared.serial), 0);
    return 0;
}

static char order[8];
static int order_count;
static int note_turn(void *name)
{
    wt_eq(weft_move_to(shared.serial, NULL), 0);
    order[order_count++] = *(const char *)name;
    return 0;
}

TaskTest(exec, while_a_task_of_a_serial_executor_waits_the_next_one_runs, 1)
{
    wt_eq(weft_exec_serial_new(&shared.serial), 0);
    weft_exec *from;
    wt_eq(weft_move_to(shared.serial, &from), 0);
    wt_true(from == WEFT_POOL);
    weft_task t;
    char name = 'b';
    wt_eq(weft_spawn(&t, note_turn, &name), 0);
    order[order_count++] = 'a';
    while (order_count < 2) {
        wt_eq(weft_sleep(WEFT_US(100)), 0);
    }
    order[order_count++] = 'c';
    wt_eq(weft_await(&t), 0);
    wt_eq(weft_move_to(from, &from), 0);
    wt_true(from == shared.serial);
    wt_str_eq(order, "abc");
    wt_eq(weft_exec_free(shared.serial), 0);
    return 0;
}

static char complaint[256];
static void note(const char *what)
{
    (void)strncpy(complaint, what, sizeof complaint - 1);
}

static int free_too_early(void *arg)
{
    (void)arg;
    weft_exec *serial;
    wt_eq(weft_exec_serial_new(&serial), 0);
    wt_eq(weft_move_to(serial, NULL), 0);
    wt_eq(weft_exec_free(serial), -EBUSY);
    wt_true(strstr(complaint, "still on the executor") != NULL);
    wt_eq(weft_move_to(WEFT_POOL, NULL), 0);
    wt_eq(weft_exec_free(serial), 0);
    return 0;
}

Test(exec, freeing_an_executor_with_tasks_on_it_is_misuse)
{
    (void)weft_on_misuse(note);
    wt_eq(weft_run(free_too_early, NULL, .workers = 1), 0);
}

static int visit(void *serial)
{
    int rc = weft_move_to(serial, NULL);
    wt_eq(weft_move_to(WEFT_POOL, NULL), 0);
    return rc;
}

Test(exec, a_serial_executor_is_of_the_runtime_whose_task_came_first)
{
    weft_exec *serial;
    weft_rt *one = NULL, *two = NULL;
    weft_rt_opts opts = {.workers = 1};
    wt_eq(weft_exec_serial_new(&serial), 0);
    wt_eq(weft_rt_start(&one, &opts), 0);
    wt_eq(weft_rt_start(&two, &opts), 0);
    wt_eq(weft_call(one, visit, serial), 0);
    wt_eq(weft_call(two, visit, serial), -EINVAL);
    wt_eq(weft_call(one, visit, serial), 0);
    wt_eq(weft_exec_free(serial), 0);
    wt_eq(weft_rt_stop(two, WEFT_FOREVER, WEFT_FOREVER), 0);
    wt_eq(weft_rt_stop(one, WEFT_FOREVER, WEFT_FOREVER), 0);
    weft_rt_free(two);
    weft_rt_free(one);
}

/* --- loop ------------------------------------------------------------------------------------- */

static struct ui {
    weft_rt *rt;
    weft_exec *loop;
    pid_t thread;
    atomic_int done;
} ui;

static void ui_begin(int workers)
{
    ui.rt = NULL;
    weft_rt_opts opts = {.workers = workers};
    wt_eq(weft_rt_start(&ui.rt, &opts), 0);
    wt_eq(weft_exec_loop_new(&ui.loop, ui.rt), 0);
    ui.thread = thread_now();
    atomic_store(&ui.done, 0);
}

/* An event loop, as a user interface has one. */
static void ui_loop(int until_done)
{
    struct pollfd p = {.fd = weft_exec_fd(ui.loop), .events = POLLIN};
    int64_t give_up_ns = now_ns() + PATTERN_PATIENCE_NS;
    while (atomic_load(&ui.done) < until_done) { /* ends: at give_up_ns */
        wt_lt(now_ns(), give_up_ns);
        weft_time left = weft_exec_timeout(ui.loop);
        (void)poll(&p, 1, left == WEFT_FOREVER ? 1000 : (int)(left / 1000000 + 1));
        wt_ge(weft_exec_run(ui.loop), 0);
    }
}

static void ui_end(void)
{
    wt_eq(weft_exec_free(ui.loop), 0);
    wt_eq(weft_rt_stop(ui.rt, WEFT_FOREVER, WEFT_FOREVER), 0);
    weft_rt_free(ui.rt);
}

static int there_and_back(void *arg)
{
    (void)arg;
    wt_true(thread_now() != ui.thread);
    weft_exec *from;
    wt_eq(weft_move_to(ui.loop, &from), 0);
    wt_true(thread_now() == ui.thread);
    wt_eq(weft_sleep(WEFT_US(200)), 0); /* on the loop's own timers */
    wt_true(thread_now() == ui.thread);
    wt_eq(weft_yield(), 0);
    wt_true(thread_now() == ui.thread);
    int fds[2];
    wt_eq(pipe(fds), 0);
    char byte = 'x';
    wt_eq(weft_write(fds[1], &byte, 1), 1); /* by a worker's ring */
    wt_eq(weft_read(fds[0], &byte, 1), 1);
    wt_true(thread_now() == ui.thread);
    wt_eq(weft_close(fds[0]), 0);
    wt_eq(weft_close(fds[1]), 0);
    wt_eq(weft_move_to(from, NULL), 0);
    wt_true(thread_now() != ui.thread);
    wt_eq(weft_move_to(ui.loop, NULL), 0); /* and ends there */
    atomic_fetch_add(&ui.done, 1);
    return 0;
}

Test(exec, a_task_moves_to_the_thread_that_runs_the_loop_and_back)
{
    ui_begin(2);
    for (int i = 0; i < 20; i++) {
        wt_eq(weft_post(ui.rt, there_and_back, NULL), 0);
    }
    ui_loop(20);
    ui_end();
}

static int in_time(void *arg)
{
    (void)arg;
    wt_eq(weft_move_to(ui.loop, NULL), 0);
    weft_sem never;
    weft_sem_init(&never, 0, 0);
    wt_eq(weft_within(WEFT_MS(1), weft_sem_acquire(&never)), -ETIME);
    weft_sem_fini(&never);
    weft_task t;
    wt_eq(weft_spawn(&t, pin_and_end, NULL), 0); /* in the pool */
    wt_eq(weft_await(&t), 0);
    wt_true(thread_now() == ui.thread);
    atomic_fetch_add(&ui.done, 1);
    return 0;
}

Test(exec, deadlines_and_spawned_tasks_work_on_a_loop)
{
    ui_begin(1);
    wt_eq(weft_post(ui.rt, in_time, NULL), 0);
    ui_loop(1);
    ui_end();
}

static int pipe_fds[2];
static int read_on_the_loop(void *arg)
{
    (void)arg;
    char byte;
    wt_eq(weft_move_to(ui.loop, NULL), 0);
    atomic_fetch_add(&ui.done, 1);
    wt_eq(weft_read(pipe_fds[0], &byte, 1), 1); /* by a worker of the pool */
    wt_true(thread_now() == ui.thread);
    atomic_fetch_add(&ui.done, 1);
    return 0;
}

Test(exec, a_loop_is_not_freed_while_a_task_of_it_waits_for_the_kernel)
{
    (void)weft_on_misuse(note);
    ui_begin(1);
    wt_eq(pipe(pipe_fds), 0);
    wt_eq(weft_post(ui.rt, read_on_the_loop, NULL), 0);
    ui_loop(1); /* and it has left for the read, in the same run */
    wt_eq(weft_exec_free(ui.loop), -EBUSY);
    wt_eq(write(pipe_fds[1], "x", 1), 1);
    ui_loop(2);
    wt_eq(close(pipe_fds[0]), 0);
    wt_eq(close(pipe_fds[1]), 0);
    ui_end();
}

static int needs_the_caller(void *arg)
{
    (void)arg;
    return weft_move_to(ui.loop, NULL);
}

static int needs_the_caller_deeper(void *arg)
{
    (void)arg;
    weft_task t;
    wt_eq(weft_spawn(&t, needs_the_caller, NULL), 0);
    int rc = weft_await(&t);
    wt_true(strstr(weft_last()->text, "waits in weft_call") != NULL);
    return rc;
}

/* .Result on the thread that the callee has to resume on: no hang. */
Test(exec, a_call_from_the_loops_own_thread_that_needs_the_loop_fails_at_once)
{
    ui_begin(2);
    wt_eq(weft_exec_run(ui.loop), 0); /* it is this thread's */
    wt_eq(weft_call(ui.rt, needs_the_caller, NULL), -EDEADLK);
    wt_eq(weft_call(ui.rt, needs_the_caller_deeper, NULL), -EDEADLK);
    ui_end();
}

static int independent(void *arg)
{
    (void)arg;
    wt_eq(weft_move_to(ui.loop, NULL), 0);
    atomic_fetch_add(&ui.done, 1);
    return 0;
}

static int does_not_need_the_caller(void *arg)
{
    (void)arg;
    wt_eq(weft_post(ui.rt, independent, NULL), 0); /* runs when the call is over */
    return weft_sleep(WEFT_MS(2));
}

Test(exec, a_call_from_the_loops_own_thread_that_does_not_need_it_is_fine)
{
    ui_begin(2);
    wt_eq(weft_exec_run(ui.loop), 0);
    wt_eq(weft_call(ui.rt, does_not_need_the_caller, NULL), 0);
    wt_eq(atomic_load(&ui.done), 0);
    ui_loop(1);
    ui_end();
}

static int run_inside(void *arg)
{
    (void)arg;
    wt_eq(weft_exec_run(ui.loop), -EDEADLK);
    return 0;
}

Test(exec, a_loop_is_not_run_inside_a_task)
{
    ui_begin(1);
    wt_eq(weft_call(ui.rt, run_inside, NULL), 0);
    ui_end();
}

Test(exec, what_is_no_loop_has_no_descriptor)
{
    weft_exec *serial;
    wt_eq(weft_exec_serial_new(&serial), 0);
    wt_eq(weft_exec_fd(serial), -EINVAL);
    wt_eq(weft_exec_run(serial), -EINVAL);
    wt_eq(weft_exec_timeout(serial), WEFT_FOREVER);
    wt_eq(weft_exec_free(serial), 0);
    wt_eq(weft_exec_free(NULL), 0);
    wt_eq(weft_move_to(WEFT_POOL, NULL), -EPERM);
    wt_eq(weft_pin(1), -EPERM);
}

/* A section of a task that is on an executor may be stolen; the finisher sends the task home. */
TaskTest(exec, a_join_comes_back_to_the_executor, 4)
{
    wt_eq(weft_exec_serial_new(&shared.serial), 0);
    atomic_int gate;
    for (int i = 0; i < 100; i++) {
        atomic_init(&gate, 0);
        wt_eq(weft_move_to(shared.serial, NULL), 0);
        weft_call_branch branch;
        weft_fork(&branch, hold_up, &gate);
        (void)weft_sleep(WEFT_US(50)); /* it is stolen now, or after the gate is open */
        atomic_store(&gate, 1);
        wt_eq(weft_join(&branch), 0);
        weft_exec *from;
        wt_eq(weft_move_to(WEFT_POOL, &from), 0);
        wt_true(from == shared.serial);
    }
    wt_eq(weft_exec_free(shared.serial), 0);
    return 0;
}

/* --- a loop's thread afterwards --------------------------------------------------------------- */

static atomic_int stage;

static void reach(int number)
{
    while (atomic_load(&stage) < number) { /* ends: the other thread comes to it */
        sched_yield();
    }
}

static int answers(void *arg)
{
    (void)arg;
    return 42;
}

static void *run_a_loop_and_outlive_it(void *loop)
{
    wt_eq(weft_exec_run(loop), 0);
    atomic_store(&stage, 1);
    reach(2);
    weft_rt *rt;
    wt_eq(weft_rt_start(&rt, &(weft_rt_opts){.workers = 1}), 0);
    wt_eq(weft_call(rt, answers, NULL), 42);
    wt_eq(weft_rt_stop(rt, WEFT_SEC(10), WEFT_SEC(10)), 0);
    weft_rt_free(rt);
    return NULL;
}

Test(exec, another_thread_than_the_loops_own_may_free_it)
{
    weft_rt *rt;
    weft_exec *loop;
    wt_eq(weft_rt_start(&rt, &(weft_rt_opts){.workers = 1}), 0);
    wt_eq(weft_exec_loop_new(&loop, rt), 0);
    pthread_t thread;
    wt_eq(pthread_create(&thread, NULL, run_a_loop_and_outlive_it, loop), 0);
    reach(1);
    wt_eq(weft_exec_free(loop), 0);
    wt_eq(weft_rt_stop(rt, WEFT_SEC(10), WEFT_SEC(10)), 0);
    weft_rt_free(rt);
    atomic_store(&stage, 2);
    pthread_join(thread, NULL);
}
