/* Cancellation and deadlines: ambient, level-triggered, seen by every call that waits. */
#include "pattern.h"
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <semaphore.h>
#include <unistd.h>
#include <weft/chan.h>
#include <weft/debug.h>
#include <weft/io.h>
#include <weft/local.h>
#include <weft/sync.h>

/* A call that can only end by cancellation, for each kind of wait. */
struct waits {
    weft_sem sem;       /* no permits */
    weft_chan *empty;   /* nobody sends */
    weft_chan *full;    /* nobody receives */
    int pipe[2];        /* nobody writes */
    atomic_int waiting; /* tasks that are about to wait */
    sem_t ready;        /* the same for a foreign thread */
};

static void waits_open(struct waits *waits)
{
    weft_sem_init(&waits->sem, 0, 0);
    wt_eq(weft_chan_new(&waits->empty, sizeof(int), 1), 0);
    wt_eq(weft_chan_new(&waits->full, sizeof(int), 1), 0);
    wt_eq(weft_chan_try_send(waits->full, &(int){1}), 0);
    wt_eq(pipe2(waits->pipe, O_CLOEXEC), 0);
    atomic_store(&waits->waiting, 0);
    sem_init(&waits->ready, 0, 0);
}

static void waits_close(struct waits *waits)
{
    weft_sem_fini(&waits->sem);
    weft_chan_free(waits->empty);
    weft_chan_free(waits->full);
    close(waits->pipe[0]);
    close(waits->pipe[1]);
    sem_destroy(&waits->ready);
}

enum kind { SLEEP, SEM, RECV, SEND, READ, WAIT_FD, KINDS };
static const char *const kind_names[] = {"sleep", "semaphore", "receive",
                                         "send",  "read",      "wait_fd"};

static int wait_by(struct waits *waits, int kind)
{
    char byte;
    int item = 7;
    switch (kind) {
    case SLEEP:
        return weft_sleep(WEFT_SEC(3600));
    case SEM:
        return weft_sem_acquire(&waits->sem);
    case RECV:
        return weft_chan_recv(waits->empty, &item);
    case SEND:
        return weft_chan_send(waits->full, &item);
    case READ:
        return (int)weft_read(waits->pipe[0], &byte, 1);
    default:
        return weft_wait_fd(waits->pipe[0], POLLIN);
    }
}

struct waiter {
    struct waits *waits;
    int kind;
};

WEFT_TASK(wait_for_ever, struct waiter)
{
    struct waits *waits = arg->waits;
    int kind = arg->kind;
    atomic_fetch_add(&waits->waiting, 1);
    sem_post(&waits->ready);
    int rc = wait_by(waits, kind);
    wt_eq(rc, -ECANCELED, "%s", kind_names[kind]);
    wt_eq(weft_check(), -ECANCELED);
    return rc;
}

/* --- reaching waits --------------------------------------------------------------------------- */

TaskTest(cancel, reaches_every_kind_of_wait, 1)
{
    struct waits waits;
    waits_open(&waits);
    for (int kind = 0; kind < KINDS; kind++) {
        WEFT_SCOPE(s);
        weft_go(&s, wait_for_ever, (&(struct waiter){&waits, kind}));
        yield_until(&waits.waiting, kind + 1);
        wt_eq(weft_scope_cancel(&s, NULL), 0);
        wt_eq(weft_scope_end(&s), -ECANCELED);
    }
    waits_close(&waits);
    return 0;
}

static int cancel_many_waits(void *arg)
{
    (void)arg;
    struct waits waits;
    waits_open(&waits);
    WEFT_SCOPE(s);
    for (int i = 0; i < 500; i++) {
        weft_go(&s, wait_for_ever, (&(struct waiter){&waits, i % KINDS}));
    }
    yield_until(&waits.waiting, 500);
    wt_eq(weft_scope_cancel(&s, NULL), 0);
    wt_eq(weft_scope_end(&s), -ECANCELED);
    waits_close(&waits);
    return 0;
}

Test(cancel, reaches_many_waits_at_once)
{
    wt_eq(weft_run(cancel_many_waits, NULL, .workers = 1), 0);
    wt_eq(weft_run(cancel_many_waits, NULL, .workers = 2), 0);
    wt_eq(weft_run(cancel_many_waits, NULL, .workers = 8), 0);
}

/* Two tasks that pass a turn to each other, and so wait again and again. */
struct rally {
    weft_sem turn[2];
    atomic_int turns;
};

struct player {
    struct rally *rally;
    int side;
};

static int play(struct rally *rally, int side)
{
    int rc;
    while ((rc = weft_sem_acquire(&rally->turn[side])) == 0) { /* ends: it is cancelled */
        atomic_fetch_add(&rally->turns, 1);
        weft_sem_release(&rally->turn[!side], 1);
    }
    return rc;
}

WEFT_TASK(play_until_cancelled, struct player)
{
    return play(arg->rally, arg->side);
}

static void rally_open(struct rally *rally)
{
    weft_sem_init(&rally->turn[0], 1, 0);
    weft_sem_init(&rally->turn[1], 0, 0);
    atomic_store(&rally->turns, 0);
}

static void rally_close(struct rally *rally)
{
    weft_sem_fini(&rally->turn[0]);
    weft_sem_fini(&rally->turn[1]);
}

static int cut_rallies(void *arg)
{
    (void)arg;
    for (int i = 0; i < 100; i++) {
        struct rally rallies[3];
        WEFT_SCOPE(s);
        for (int n = 0; n < 3; n++) {
            rally_open(&rallies[n]);
            weft_go(&s, play_until_cancelled, (&(struct player){&rallies[n], 0}));
            weft_go(&s, play_until_cancelled, (&(struct player){&rallies[n], 1}));
        }
        yield_until(&rallies[i % 3].turns, i);
        wt_eq(weft_scope_cancel(&s, NULL), 0);
        wt_eq(weft_scope_end(&s), -ECANCELED);
        for (int n = 0; n < 3; n++) {
            rally_close(&rallies[n]);
        }
    }
    return 0;
}

/* A wait that begins when the cancellation comes is found, or finds it. */
Test(cancel, ends_tasks_that_wait_again_and_again)
{
    wt_eq(weft_run(cut_rallies, NULL, .workers = 1), 0);
    wt_eq(weft_run(cut_rallies, NULL, .workers = 2), 0);
    wt_eq(weft_run(cut_rallies, NULL, .workers = 4), 0);
}

static int play_as_task(void *arg)
{
    struct player *player = arg;
    return play(player->rally, player->side);
}

/* Has waited before, and waits for ever where a binding is around it. */
static int play_once_and_wait_bound(void *arg)
{
    static const weft_key key = {"player"};
    struct player *player = arg;
    weft_sem never;
    weft_sem_init(&never, 0, 0);
    wt_eq(weft_sem_acquire(&player->rally->turn[player->side]), 0);
    weft_binding binding;
    weft_bind(&binding, &key, player);
    atomic_fetch_add(&player->rally->turns, 1);
    int rc = weft_sem_acquire(&never);
    weft_unbind(&binding);
    weft_sem_fini(&never);
    return rc;
}

static int await_turns(void *arg)
{
    struct rally *rallies = arg;
    yield_until(&rallies[0].turns, 20);
    yield_until(&rallies[1].turns, 2);
    return 0;
}

/* All but the one that wins are cancelled alone. */
static int cut_players(void *arg)
{
    (void)arg;
    for (int i = 0; i < 50; i++) {
        struct rally rallies[2];
        struct player players[4];
        weft_task tasks[5];
        weft_task *all[5];
        for (int n = 0; n < 4; n++) {
            if (n % 2 == 0) {
                rally_open(&rallies[n / 2]);
            }
            players[n] = (struct player){&rallies[n / 2], n % 2};
        }
        weft_sem_release(&rallies[1].turn[1], 1);
        for (int n = 0; n < 4; n++) {
            weft_spawn(&tasks[n], n < 2 ? play_as_task : play_once_and_wait_bound, &players[n]);
        }
        weft_spawn(&tasks[4], await_turns, rallies);
        for (int n = 0; n < 5; n++) {
            all[n] = &tasks[n];
        }
        int winner = -1;
        wt_eq(weft_when(all, 5, WEFT_FIRST, &winner), 0);
        wt_eq(winner, 4);
        for (int n = 0; n < 4; n++) {
            wt_eq(weft_status(&tasks[n]), -ECANCELED, "%d", n);
        }
        wt_eq(weft_check(), 0);
        rally_close(&rallies[0]);
        rally_close(&rallies[1]);
    }
    return 0;
}

Test(cancel, ends_a_task_alone_that_has_waited_before)
{
    wt_eq(weft_run(cut_players, NULL, .workers = 1), 0);
    wt_eq(weft_run(cut_players, NULL, .workers = 2), 0);
}

struct canceller {
    weft_scope *scope;
    sem_t *ready;
    int after; /* tasks that are about to wait */
};

static void *cancel_from_outside(void *arg)
{
    struct canceller *canceller = arg;
    for (int i = 0; i < canceller->after; i++) {
        sem_wait(canceller->ready);
    }
    wt_eq(weft_scope_cancel(canceller->scope, "from outside"), 0);
    return NULL;
}

TaskTest(cancel, may_come_from_a_foreign_thread, 2)
{
    struct waits waits;
    waits_open(&waits);
    for (int round = 0; round < 100; round++) {
        WEFT_SCOPE(s);
        struct canceller canceller = {&s, &waits.ready, KINDS};
        pthread_t thread;
        wt_eq(pthread_create(&thread, NULL, cancel_from_outside, &canceller), 0);
        for (int kind = 0; kind < KINDS; kind++) {
            weft_go(&s, wait_for_ever, (&(struct waiter){&waits, kind}));
        }
        wt_eq(weft_scope_end(&s), -ECANCELED);
        pthread_join(thread, NULL);
    }
    waits_close(&waits);
    return 0;
}

/* --- what a cancellation is ------------------------------------------------------------------- */

TaskTest(cancel, is_level_triggered_until_the_scope_is_left, 1)
{
    weft_sem sem;
    weft_sem_init(&sem, 5, 0);
    WEFT_SCOPE(s);
    weft_scope_cancel(&s, NULL);
    for (int i = 0; i < 3; i++) {
        wt_eq(weft_sem_acquire(&sem), -ECANCELED);
        wt_eq(weft_sleep(WEFT_MS(1)), -ECANCELED);
        wt_eq(weft_yield(), -ECANCELED);
        wt_eq(weft_check(), -ECANCELED);
    }
    weft_scope_end(&s);
    wt_eq(weft_check(), 0);
    wt_eq(weft_yield(), 0);
    wt_eq(weft_sem_acquire(&sem), 0);
    weft_sem_fini(&sem);
    return 0;
}

/* E1 */
TaskTest(cancel, refuses_before_trying_even_what_could_succeed, 1)
{
    weft_sem sem;
    weft_sem_init(&sem, 5, 0);
    weft_chan *chan;
    wt_eq(weft_chan_new(&chan, sizeof(int), 2), 0);
    weft_chan_try_send(chan, &(int){1});
    int item = 0;
    WEFT_SCOPE(s);
    weft_scope_cancel(&s, NULL);
    wt_eq(weft_sem_acquire(&sem), -ECANCELED);
    wt_eq(weft_sem_count(&sem), 5);
    wt_eq(weft_chan_send(chan, &item), -ECANCELED);
    wt_eq(weft_chan_recv(chan, &item), -ECANCELED);
    wt_eq(weft_chan_len(chan), 1);
    weft_scope_end(&s);
    weft_chan_free(chan);
    weft_sem_fini(&sem);
    return 0;
}

static int seven(void *arg)
{
    (void)arg;
    return 7;
}

/* E3 */
TaskTest(cancel, after_completion_keeps_the_result, 2)
{
    weft_task t;
    WEFT_SCOPE(s);
    weft_spawn(&t, seven, NULL);
    wt_eq(weft_await(&t), 7);
    weft_scope_cancel(&s, NULL);
    wt_eq(weft_await(&t), 7);
    wt_eq(weft_status(&t), 7);
    wt_eq(weft_scope_end(&s), 0);
    return 0;
}

/* E4 */
TaskTest(cancel, a_second_time_is_ealready_and_the_first_reason_stays, 1)
{
    WEFT_SCOPE(s);
    wt_eq(weft_scope_cancel(&s, "first"), 0);
    wt_eq(weft_scope_cancel(&s, "second"), -EALREADY);
    wt_str_eq(weft_why()->text, "first");
    weft_scope_end(&s);
    wt_eq(weft_why()->kind, WEFT_WHY_NONE);
    return 0;
}

TaskTest(cancel, of_an_inner_scope_after_the_outer_keeps_the_outer_reason, 1)
{
    WEFT_SCOPE(outer);
    {
        WEFT_SCOPE(inner);
        weft_scope_cancel(&outer, "outer");
        weft_scope_cancel(&inner, "inner");
        wt_str_eq(weft_why()->text, "outer");
        weft_scope_end(&inner);
    }
    weft_scope_end(&outer);
    return 0;
}

WEFT_TASK(fail_with, int)
{
    return *arg;
}

TaskTest(cancel, why_says_what_happened, 1)
{
    wt_eq(weft_why()->kind, WEFT_WHY_NONE);
    {
        WEFT_SCOPE(s);
        weft_scope_cancel(&s, "no longer wanted");
        wt_str_eq(weft_why()->text, "no longer wanted");
        weft_scope_end(&s);
    }
    {
        WEFT_SCOPE(s);
        weft_scope_cancel(&s, NULL);
        wt_ne(weft_why()->kind, WEFT_WHY_NONE);
        weft_scope_end(&s);
    }
    {
        WEFT_SCOPE(s, .timeout = WEFT_MS(1));
        wt_eq(weft_sleep(WEFT_SEC(3600)), -ECANCELED);
        wt_str_eq(weft_why()->text, "deadline");
        weft_scope_end(&s);
    }
    {
        WEFT_SCOPE(s);
        weft_go(&s, fail_with, &(int){-EIO});
        wt_eq(weft_sleep(WEFT_SEC(3600)), -ECANCELED);
        wt_str_eq(weft_why()->text, "a task failed");
        wt_eq(weft_scope_end(&s), -EIO);
    }
    return 0;
}

static int check_is_cancelled(void *arg)
{
    atomic_int *calls = arg;
    atomic_fetch_add(calls, 1);
    wt_eq(weft_check(), -ECANCELED);
    wt_eq(weft_yield(), -ECANCELED);
    weft_task t;
    wt_eq(weft_spawn(&t, seven, NULL), -ECANCELED);
    return 0;
}

TaskTest(cancel, is_seen_by_a_task_that_starts_only_later, 1)
{
    atomic_int calls = 0;
    weft_task t;
    WEFT_SCOPE(s);
    wt_eq(weft_spawn(&t, check_is_cancelled, &calls), 0);
    weft_scope_cancel(&s, NULL);
    wt_eq(weft_await(&t), 0);
    wt_eq(atomic_load(&calls), 1);
    weft_scope_end(&s);
    return 0;
}

TaskTest(cancel, is_inherited_by_scopes_opened_later, 1)
{
    WEFT_SCOPE(outer);
    weft_scope_cancel(&outer, "outer");
    {
        WEFT_SCOPE(inner);
        wt_eq(weft_check(), -ECANCELED);
        wt_str_eq(weft_why()->text, "outer");
        {
            WEFT_SCOPE(innermost, .timeout = WEFT_SEC(10));
            wt_eq(weft_sleep(1), -ECANCELED);
            weft_scope_end(&innermost);
        }
        weft_scope_end(&inner);
    }
    weft_scope_end(&outer);
    return 0;
}

TaskTest(cancel, of_the_outer_reaches_a_wait_inside_within, 1)
{
    weft_sem never;
    weft_sem_init(&never, 0, 0);
    WEFT_SCOPE(s, .timeout = WEFT_MS(2));
    wt_eq(weft_within(WEFT_SEC(3600), weft_sem_acquire(&never)), -ECANCELED,
          "only the scope whose deadline passed may say -ETIME");
    weft_scope_end(&s);
    weft_sem_fini(&never);
    return 0;
}

/* --- deadlines -------------------------------------------------------------------------------- */

TaskTest(cancel, within_gives_the_value_if_it_comes_in_time, 2)
{
    wt_eq(weft_within(WEFT_SEC(3600), 7), 7);
    wt_eq(weft_within(WEFT_SEC(3600), (ssize_t)1 << 40), (ssize_t)1 << 40);
    wt_eq(weft_within(WEFT_SEC(3600), -EIO), -EIO);
    wt_eq(weft_within(WEFT_FOREVER, weft_sleep(1)), 0);
    return 0;
}

TaskTest(cancel, within_gives_etime_when_its_deadline_passes, 1)
{
    struct waits waits;
    waits_open(&waits);
    for (int kind = 0; kind < KINDS; kind++) {
        int64_t start_ns = now_ns();
        wt_eq(weft_within(WEFT_MS(3), wait_by(&waits, kind)), -ETIME, "%s", kind_names[kind]);
        wt_ge(now_ns() - start_ns, WEFT_MS(3), "%s", kind_names[kind]);
        wt_eq(weft_check(), 0);
    }
    waits_close(&waits);
    return 0;
}

TaskTest(cancel, of_nested_deadlines_the_earliest_counts, 1)
{
    int inner = 0;
    int outer =
        weft_within(WEFT_MS(3), inner = weft_within(WEFT_SEC(3600), weft_sleep(WEFT_SEC(3600))));
    wt_eq(inner, -ECANCELED, "not the inner one's deadline");
    wt_eq(outer, -ETIME);

    outer =
        weft_within(WEFT_SEC(3600), inner = weft_within(WEFT_MS(3), weft_sleep(WEFT_SEC(3600))));
    wt_eq(inner, -ETIME);
    wt_eq(outer, -ETIME, "an ordinary value by then");
    wt_eq(weft_check(), 0);

    outer = weft_within(WEFT_SEC(3600),
                        ((void)weft_within(WEFT_MS(1), weft_sleep(WEFT_SEC(3600))), weft_sleep(1)));
    wt_eq(outer, 0, "the inner deadline is over with its scope");
    return 0;
}

TaskTest(cancel, ecanceled_of_another_cause_passes_through_within, 1)
{
    wt_eq(weft_within(WEFT_SEC(3600), -ECANCELED), -ECANCELED);
    WEFT_SCOPE(s);
    weft_scope_cancel(&s, NULL);
    wt_eq(weft_within(WEFT_SEC(3600), weft_yield()), -ECANCELED);
    weft_scope_end(&s);
    return 0;
}

static void check_duration_without_waiting(weft_time duration)
{
    weft_sem sem;
    weft_sem_init(&sem, 1, 0);
    weft_chan *chan;
    wt_eq(weft_chan_new(&chan, sizeof(int), 1), 0);
    int item = 3;
    wt_eq(weft_within(duration, weft_sem_acquire(&sem)), 0);
    wt_eq(weft_within(duration, weft_sem_acquire(&sem)), -ETIME);
    wt_eq(weft_within(duration, weft_chan_recv(chan, &item)), -ETIME);
    wt_eq(weft_within(duration, weft_chan_send(chan, &item)), 0);
    wt_eq(weft_within(duration, weft_chan_send(chan, &item)), -ETIME);
    wt_eq(weft_within(duration, weft_chan_recv(chan, &item)), 1);
    wt_eq(weft_within(duration, weft_sleep(WEFT_SEC(3600))), -ETIME);
    wt_eq(weft_within(duration, weft_check()), -ETIME);
    wt_eq(weft_remaining(), WEFT_FOREVER);
    weft_chan_free(chan);
    weft_sem_fini(&sem);
}

/* E2 */
TaskTest(cancel, a_duration_of_0_tries_once_without_waiting, 1)
{
    check_duration_without_waiting(0);
    return 0;
}

/* E2 */
TaskTest(cancel, a_negative_duration_is_the_same_as_0, 1)
{
    check_duration_without_waiting(-1);
    check_duration_without_waiting(INT64_MIN);
    return 0;
}

/* E2 */
TaskTest(cancel, a_duration_of_0_lets_the_kernel_try_once, 1)
{
    int fds[2];
    char byte = 0;
    wt_eq(pipe2(fds, O_CLOEXEC), 0);
    wt_eq(weft_within(0, weft_read(fds[0], &byte, 1)), -ETIME);
    wt_eq(write(fds[1], "x", 1), 1);
    wt_eq(weft_within(0, weft_read(fds[0], &byte, 1)), 1);
    wt_eq(byte, 'x');
    close(fds[0]);
    close(fds[1]);
    return 0;
}

/* E2 */
TaskTest(cancel, a_huge_duration_saturates, 1)
{
    wt_eq(weft_within(INT64_MAX - 1, weft_sleep(WEFT_US(10))), 0);
    wt_eq(weft_within(INT64_MAX - 1, weft_remaining() > WEFT_SEC(3600)), 1);
    wt_eq(weft_within(WEFT_MS(2), weft_sleep(INT64_MAX - 1)), -ETIME);
    wt_eq(weft_within(WEFT_MS(2), weft_sleep(INT64_MAX)), -ETIME);
    return 0;
}

TaskTest(cancel, remaining_is_the_time_to_the_earliest_deadline, 1)
{
    wt_eq(weft_remaining(), WEFT_FOREVER);
    weft_time left = 0;
    weft_within(WEFT_SEC(100), (left = weft_remaining(), 0));
    wt_gt(left, WEFT_SEC(50));
    wt_le(left, WEFT_SEC(100));
    weft_within(WEFT_SEC(100), weft_within(WEFT_SEC(3600), (left = weft_remaining(), 0)));
    wt_le(left, WEFT_SEC(100));
    weft_within(0, (left = weft_remaining(), 0));
    wt_eq(left, 0);
    wt_eq(weft_remaining(), WEFT_FOREVER);
    return 0;
}

static int compute_until_cancelled(void)
{
    int64_t give_up_ns = now_ns() + WEFT_SEC(5);
    while (now_ns() < give_up_ns) { /* ends: give_up_ns */
        if (weft_check() < 0) {
            return -ECANCELED;
        }
    }
    return 0;
}

TaskTest(cancel, a_loop_that_computes_sees_its_deadline_by_check, 1)
{
    wt_eq(weft_within(WEFT_MS(5), compute_until_cancelled()), -ETIME);
    return 0;
}

static int yield_until_cancelled(void)
{
    int64_t give_up_ns = now_ns() + WEFT_SEC(5);
    while (now_ns() < give_up_ns) { /* ends: give_up_ns */
        if (weft_yield() < 0) {
            return -ECANCELED;
        }
    }
    return 0;
}

TaskTest(cancel, a_loop_that_yields_sees_its_deadline, 1)
{
    wt_eq(weft_within(WEFT_MS(5), yield_until_cancelled()), -ETIME);
    return 0;
}

static int acquire_until_cancelled(weft_sem *sem)
{
    int64_t give_up_ns = now_ns() + WEFT_SEC(5);
    while (now_ns() < give_up_ns) { /* ends: give_up_ns */
        int rc = weft_sem_acquire(sem);
        if (rc < 0) {
            return rc;
        }
        weft_sem_release(sem, 1);
    }
    return 0;
}

TaskTest(cancel, a_loop_of_calls_that_never_wait_sees_its_deadline, 1)
{
    weft_sem sem;
    weft_sem_init(&sem, 1, 0);
    /* An expired deadline still lets a call try once, so it is a later check that ends such a loop,
     * at the latest. */
    wt_eq(weft_within(WEFT_MS(5), (acquire_until_cancelled(&sem), weft_check())), -ETIME);
    weft_sem_fini(&sem);
    return 0;
}

static int nap(void *arg)
{
    atomic_int *awake = arg;
    int rc = weft_sleep(WEFT_MS(2));
    atomic_fetch_add(awake, 1);
    return rc;
}

TaskTest(cancel, a_task_that_yields_does_not_keep_a_sleeper_asleep, 1)
{
    atomic_int awake = 0;
    weft_task t;
    weft_spawn(&t, nap, &awake);
    yield_until(&awake, 1);
    return weft_await(&t);
}

TaskTest(cancel, sleep_is_never_early, 2)
{
    for (int i = 0; i < 200; i++) {
        weft_time duration = WEFT_US(13) * i;
        int64_t start_ns = now_ns();
        wt_eq(weft_sleep(duration), 0);
        wt_ge(now_ns() - start_ns, duration);
    }
    return 0;
}

Test(cancel, outside_a_task_nothing_is_cancelled)
{
    wt_eq(weft_check(), 0);
    wt_eq(weft_why()->kind, WEFT_WHY_NONE);
    wt_eq(weft_remaining(), WEFT_FOREVER);
    wt_eq(weft_yield(), -EPERM);
    wt_eq(weft_sleep(WEFT_SEC(3600)), -EPERM);
}

/* The deadline of a scope may fire at the very moment at which the scope is closed. */
static int deadlines_that_race(void *arg)
{
    (void)arg;
    int in_time = 0;
    int late = 0;
    for (int i = 0; i < 3000; i++) {
        weft_time duration = WEFT_US(50) + WEFT_US(i % 20);
        int rc = weft_within(duration, weft_sleep(WEFT_US(60)));
        wt_true(rc == 0 || rc == -ETIME, "%d", rc);
        rc == 0 ? in_time++ : late++;
        wt_eq(weft_check(), 0);
    }
    wt_eq(in_time + late, 3000);
    return 0;
}

Test(cancel, a_deadline_that_races_with_the_end_of_its_scope_does_no_harm)
{
    wt_eq(weft_run(deadlines_that_race, NULL, .workers = 1), 0);
    wt_eq(weft_run(deadlines_that_race, NULL, .workers = 2), 0);
}

TaskTest(cancel, a_duration_of_the_least_number_is_as_0, 1)
{
    wt_eq(weft_within(INT64_MIN, weft_remaining()), 0);
    wt_eq(weft_within(INT64_MIN, weft_sleep(WEFT_SEC(9))), -ETIME);
    return 0;
}
