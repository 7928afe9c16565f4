/* Breaking the rules: the hook is called, and the line names the place. */
#include "capture.h"
#include "pattern.h"
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <weft/cancel.h>
#include <weft/chan.h>
#include <weft/io.h>
#include <weft/net.h>
#include <weft/sync.h>

static char said[512]; /* by the last misuse */
static atomic_int times;

static void note(const char *what)
{
    snprintf(said, sizeof said, "%s", what);
    atomic_fetch_add(&times, 1);
}

static void hook_on(void)
{
    weft_on_misuse(note);
}

static void check_said(int expected_times, int line)
{
    char place[64];
    snprintf(place, sizeof place, "test_misuse.c:%d", line);
    wt_eq(atomic_load(&times), expected_times, "%s", said);
    wt_true(strstr(said, place) != NULL, "no %s in: %s", place, said);
}

/* --- the hook --------------------------------------------------------------------------------- */

static int open_scope_outside(void)
{
    weft_scope s;
    weft_scope_begin(&s, NULL);
    return 0;
}

Test(misuse, without_a_hook_the_line_goes_to_stderr_and_the_program_aborts)
{
    struct captured captured;
    capture(&captured, open_scope_outside);
    check_aborted(&captured);
    check_says(&captured, "weft: misuse: ");
    check_says(&captured, "test_misuse.c");
}

Test(misuse, aborts_by_default, .signal = SIGABRT)
{
    open_scope_outside();
}

Test(misuse, a_hook_of_null_is_the_default_again, .signal = SIGABRT)
{
    wt_true(weft_on_misuse(note) != note);
    wt_true(weft_on_misuse(NULL) == note);
    open_scope_outside();
}

/* --- scopes ----------------------------------------------------------------------------------- */

Test(misuse, a_scope_opened_outside_a_task_names_its_place, .init = hook_on)
{
    weft_scope s;
    int line = __LINE__ + 1;
    weft_scope_begin(&s, NULL);
    check_said(1, line);
    wt_eq(weft_scope_cancel(&s, "it is not open"), 0);
    wt_eq(weft_scope_count(&s), 0);
    wt_eq(weft_errors(&s, NULL, 0), 0);
    wt_eq(weft_scope_end(&s), 0, "it is not open");
}

static void count_cancel(void *arg)
{
    atomic_fetch_add((atomic_int *)arg, 1);
}

TaskTest(misuse, a_scope_that_ends_with_a_callback_registered_names_both_and_takes_it_off, 1,
         .init = hook_on)
{
    atomic_int count = 0;
    weft_cancel_reg reg[2];
    int line = __LINE__ + 3;
    WEFT_SCOPE(s);
    weft_cancel_on(NULL, &reg[1], count_cancel, &count);
    weft_cancel_on(NULL, &reg[0], count_cancel, &count);
    weft_cancel_off(&reg[1]);
    wt_eq(weft_scope_end(&s), 0);
    check_said(1, line);
    memset(&s, 0xff, sizeof s); /* its memory is the caller's again */
    wt_eq(weft_cancel_off(&reg[0]), 1);
    weft_scope_begin(&s, NULL);
    weft_scope_cancel(&s, NULL);
    wt_eq(weft_scope_end(&s), 0);
    wt_eq(atomic_load(&count), 0);
    return 0;
}

Test(misuse, within_outside_a_task_names_its_place_and_gives_the_value, .init = hook_on)
{
    int line = __LINE__ + 1;
    wt_eq(weft_within(WEFT_SEC(1), 7), 7);
    check_said(1, line);
}

/* E38 */
TaskTest(misuse, a_scope_closed_out_of_order_names_its_opening, 1, .init = hook_on)
{
    int line = __LINE__ + 1;
    WEFT_SCOPE(outer);
    {
        WEFT_SCOPE(inner);
        wt_eq(weft_scope_end(&outer), -EINVAL);
        check_said(1, line);
        wt_eq(weft_scope_end(&inner), 0);
    }
    wt_eq(weft_scope_end(&outer), 0, "in order it can still be closed");
    wt_eq(atomic_load(&times), 1);
    return 0;
}

static weft_scope *to_close;

static int close_it(void *arg)
{
    (void)arg;
    return weft_scope_end(to_close);
}

TaskTest(misuse, a_scope_closed_by_another_task_names_its_opening, 1, .init = hook_on)
{
    weft_task t; /* outside of the scope, or it would be -EDEADLK */
    weft_spawn(&t, close_it, NULL);
    int line = __LINE__ + 1;
    WEFT_SCOPE(s);
    to_close = &s;
    wt_eq(weft_await(&t), -EINVAL);
    check_said(1, line);
    wt_eq(weft_scope_end(&s), 0);
    return 0;
}

static weft_scope left_open; /* outlives its task, since nobody closes it */
static int left_open_line;

static int leave_it_open(void *arg)
{
    (void)arg;
    left_open_line = __LINE__ + 1;
    weft_scope_begin(&left_open, NULL);
    return 3;
}

/* E38 */
TaskTest(misuse, a_task_that_ends_with_a_scope_open_names_its_opening, 1, .init = hook_on)
{
    weft_task t;
    int spawned_line = __LINE__ + 1;
    weft_spawn(&t, leave_it_open, NULL);
    wt_eq(weft_await(&t), 3);
    check_said(1, left_open_line);
    check_said(1, spawned_line);
    return 0;
}

static int leave_it_open_and_abort(void)
{
    return weft_run(leave_it_open, NULL, .workers = 1);
}

Test(misuse, a_task_that_ends_with_a_scope_open_aborts_by_default)
{
    struct captured captured;
    capture(&captured, leave_it_open_and_abort);
    check_aborted(&captured);
    char place[64];
    snprintf(place, sizeof place, "test_misuse.c:%d", left_open_line);
    check_says(&captured, "still open");
}

/* --- tasks ------------------------------------------------------------------------------------ */

static weft_task forgotten; /* outlives its spawner, since nobody awaits it */
static weft_sem forgotten_may_end;

static int nothing(void *arg)
{
    (void)arg;
    return 0;
}

static int forget_a_task(void *arg)
{
    (void)arg;
    weft_spawn(&forgotten, nothing, NULL);
    while (weft_status(&forgotten) == -EINPROGRESS) { /* ends: it runs */
        weft_yield();
    }
    return 4;
}

TaskTest(misuse, a_task_that_leaves_a_spawned_one_unawaited_is_named, 1, .init = hook_on)
{
    weft_task t;
    int line = __LINE__ + 1;
    weft_spawn(&t, forget_a_task, NULL);
    wt_eq(weft_await(&t), 4);
    check_said(1, line);
    wt_true(strstr(said, "forget_a_task") != NULL, "%s", said);
    return 0;
}

TaskTest(misuse, a_task_that_was_never_started_is_not_awaited, 1, .init = hook_on)
{
    weft_task t = {0};
    wt_eq(weft_await(&t), -EINVAL);
    wt_eq(atomic_load(&times), 1);
    return 0;
}

TaskTest(misuse, a_failure_whose_code_is_no_failure_is_named, 1, .init = hook_on)
{
    int line = __LINE__ + 1;
    wt_eq(weft_fail(EIO, "the minus is missing"), EIO);
    check_said(1, line);
    return 0;
}

static int wait_long(void *arg)
{
    (void)arg;
    return weft_sem_acquire(&forgotten_may_end);
}

static int forget_a_task_that_waits(void *arg)
{
    (void)arg;
    weft_spawn(&forgotten, wait_long, NULL);
    return 4;
}

TaskTest(misuse, a_task_that_leaves_a_spawned_one_unawaited_is_reported_and_the_other_goes_on, 1,
         .init = hook_on)
{
    weft_sem_init(&forgotten_may_end, 0, 0);
    weft_task t;
    weft_spawn(&t, forget_a_task_that_waits, NULL);
    wt_eq(weft_await(&t), 4);
    wt_eq(atomic_load(&times), 1);
    weft_sem_release(&forgotten_may_end, 1);
    while (weft_status(&forgotten) == -EINPROGRESS) { /* ends: it has its permit */
        weft_yield();
    }
    return 0;
}

TaskTest(misuse, a_scope_that_ends_with_a_spawned_task_unawaited_names_its_opening, 1,
         .init = hook_on)
{
    weft_task t;
    int line = __LINE__ + 1;
    WEFT_SCOPE(s);
    weft_spawn(&t, nothing, NULL);
    while (weft_status(&t) == -EINPROGRESS) { /* ends: it runs */
        weft_yield();
    }
    wt_eq(weft_scope_end(&s), 0);
    check_said(1, line);
    wt_eq(weft_await(&t), 0);
    return 0;
}

static int spawn_and_forget(void)
{
    return weft_run(forget_a_task, NULL, .workers = 1);
}

Test(misuse, an_unawaited_task_aborts_by_default)
{
    struct captured captured;
    capture(&captured, spawn_and_forget);
    check_aborted(&captured);
    check_says(&captured, "unawaited");
}

/* --- objects ---------------------------------------------------------------------------------- */

Test(misuse, a_semaphore_with_more_permits_than_its_maximum, .init = hook_on)
{
    weft_sem sem;
    weft_sem_init(&sem, 3, 2);
    wt_eq(atomic_load(&times), 1);
    weft_sem_fini(&sem);
    weft_sem_init(&sem, 0, (uint32_t)INT32_MAX + 1);
    wt_eq(atomic_load(&times), 2);
}

static int acquire(void *sem)
{
    return weft_sem_acquire(sem);
}

/* Ends the object while three tasks wait at it: it is said once, and each of them is told. */
static void end_while_three_wait(void *object, weft_fn *wait, void (*end)(void *object))
{
    weft_task t[3];
    for (int i = 0; i < 3; i++) {
        weft_spawn(&t[i], wait, object);
    }
    for (int i = 0; i < 20; i++) {
        weft_yield();
    }
    end(object); /* its waiters do not touch it any more */
    wt_eq(atomic_load(&times), 1);
    for (int i = 0; i < 3; i++) {
        wt_eq(weft_await(&t[i]), -ESHUTDOWN);
    }
}

static void end_sem(void *sem)
{
    weft_sem_fini(sem);
    free(sem);
}

/* E26 */
TaskTest(misuse, a_semaphore_that_is_waited_for_ends_its_waiters_with_eshutdown, 1, .init = hook_on)
{
    weft_sem *sem = malloc(sizeof *sem);
    weft_sem_init(sem, 0, 0);
    end_while_three_wait(sem, acquire, end_sem);
    return 0;
}

static int recv_one(void *chan)
{
    int item;
    return weft_chan_recv(chan, &item);
}

static int send_one(void *chan)
{
    return weft_chan_send(chan, &(int){1});
}

static void end_chan(void *chan)
{
    weft_chan_free(chan);
}

/* E31 */
TaskTest(misuse, a_channel_that_is_received_from_ends_its_receivers_with_eshutdown, 1,
         .init = hook_on)
{
    weft_chan *chan;
    wt_eq(weft_chan_new(&chan, sizeof(int), 1), 0);
    end_while_three_wait(chan, recv_one, end_chan);
    return 0;
}

/* E31 */
TaskTest(misuse, a_channel_that_is_sent_to_ends_its_senders_with_eshutdown, 1, .init = hook_on)
{
    weft_chan *chan;
    wt_eq(weft_chan_new(&chan, sizeof(int), 1), 0);
    weft_chan_try_send(chan, &(int){1});
    end_while_three_wait(chan, send_one, end_chan);
    return 0;
}

TaskTest(misuse, a_listener_s_descriptor_is_not_closed_under_it, 1, .init = hook_on)
{
    weft_listener *listener;
    wt_eq(weft_listen(&listener, "127.0.0.1:0"), 0);
    int fd = weft_listener_fd(listener);
    wt_eq(weft_close(fd), -EBADF);
    wt_true(strstr(said, "a listener's") != NULL, "%s", said);
    wt_ge(fcntl(fd, F_GETFD), 0);
    int copy = dup(fd);
    *said = '\0';
    wt_eq(weft_close(copy), 0, "of another number for it everybody may dispose");
    int any = open("/dev/null", O_RDONLY | O_CLOEXEC);
    wt_eq(weft_listener_close(listener), 0);
    int next = fcntl(any, F_DUPFD_CLOEXEC, fd);
    close(any);
    wt_eq(next, fd);
    wt_eq(weft_close(next), 0);
    wt_str_eq(said, "");
    weft_listener_free(listener);
    return 0;
}
