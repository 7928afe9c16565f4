/* Beginnings and ends of objects and of the runtime, and calls out of place. */
#include "capture.h"
#include "pattern.h"
#include <setjmp.h>
#include <string.h>
#include <weft/weft.h>

/* E41 */
Test(lifetime, every_fini_and_free_accepts_zeroed_memory_and_null)
{
    weft_sem sem;
    weft_mutex mutex;
    weft_event event;
    weft_latch latch;
    memset(&sem, 0, sizeof sem);
    memset(&mutex, 0, sizeof mutex);
    memset(&event, 0, sizeof event);
    memset(&latch, 0, sizeof latch);
    weft_sem_fini(&sem);
    weft_mutex_fini(&mutex);
    weft_event_fini(&event);
    weft_latch_fini(&latch);
    weft_chan_free(NULL);
    weft_rt_free(NULL);
}

static int return_it(void *arg)
{
    return (int)(intptr_t)arg;
}

WEFT_TASK(nothing, int)
{
    return *arg;
}

/* E44: what every new call says in the child of a fork(2), made inside a task. */
static int child_calls(void)
{
    weft_task t;
    WEFT_SCOPE(s);
    const weft_error *errors[1];
    int zero = 0;
    if (weft_detach(nothing, &zero) != -ENOSYS || weft_service("x", nothing, &zero) != -ENOSYS) {
        return 1;
    }
    if (weft_draining() != -ENOSYS || weft_drain_wait() != -ENOSYS) {
        return 2;
    }
    if (weft_errors(&s, errors, 0) != -ENOSYS) {
        return 3;
    }
    if (weft_spawn(&t, return_it, NULL) != -ENOSYS || weft_await(&t) != -ENOSYS) {
        return 4;
    }
    weft_ignore(&t);
    weft_forget();
    weft_task_name("child");
    if (weft_fail(-EIO, "kept by nobody") != -EIO || weft_last() != NULL) {
        return 5;
    }
    return 42;
}

/* E44 */
TaskTest(lifetime, in_a_forked_child_every_call_is_enosys, 1)
{
    pid_t pid = fork();
    if (pid == 0) {
        _exit(child_calls());
    }
    wt_gt(pid, 0);
    int status;
    wt_eq(waitpid(pid, &status, 0), pid);
    wt_true(WIFEXITED(status));
    wt_eq(WEXITSTATUS(status), 42, "the number of the check that failed");
    return 0;
}

/* --- E45 ------------------------------------------------------------------------------------- */

static jmp_buf out;

static int jump_out(void *arg)
{
    (void)arg;
    longjmp(out, 1);
}

static int jumped_into(void *arg)
{
    (void)arg;
    static weft_task t;
    if (setjmp(out) == 0) {
        weft_spawn(&t, jump_out, NULL);
        weft_await(&t); /* one worker: it runs on top of us */
    }
    return 0;
}

static int run_jumped_into(void)
{
    return weft_run(jumped_into, NULL, .workers = 1);
}

/* E45 */
Test(lifetime, a_body_that_is_left_by_longjmp_aborts_and_both_tasks_are_named)
{
    struct captured captured;
    capture(&captured, run_jumped_into);
    check_aborted(&captured);
    check_says(&captured, "the body of task jump_out, started at ");
    check_says(&captured, "was left by a longjmp into task jumped_into, started at ");
}

/* The body of the middle one is left as well, and nobody can tell. */
static int jumped_over(void *arg)
{
    (void)arg;
    static weft_task t;
    weft_spawn(&t, jump_out, NULL);
    return weft_await(&t);
}

static int jumped_into_over_one(void *arg)
{
    (void)arg;
    static weft_task t;
    if (setjmp(out) == 0) {
        weft_spawn(&t, jumped_over, NULL);
        weft_await(&t);
    }
    return 0;
}

static void say_and_return(const char *what)
{
    (void)fprintf(stderr, "told: %s\n", what);
}

static int run_jumped_over(void)
{
    weft_on_misuse(say_and_return);
    return weft_run(jumped_into_over_one, NULL, .workers = 1);
}

/* E45 */
Test(lifetime, a_longjmp_over_several_bodies_ends_the_process_though_the_hook_returns)
{
    struct captured captured;
    capture(&captured, run_jumped_over);
    check_aborted(&captured);
    check_says(&captured, "told: the body of task jump_out, started at ");
    check_says(&captured, "no way to go on after a longjmp out of a task's body");
}

/* --- panic ----------------------------------------------------------------------------------- */

static int panicking(void *arg)
{
    (void)arg;
    weft_task_name("the ledger");
    weft_fail(-EIO, "the last error");
    weft_panic("the books do not balance: %d", 42);
}

static int run_panicking(void)
{
    return weft_run(panicking, NULL, .workers = 1);
}

Test(lifetime, panic_says_where_in_which_task_and_after_which_error_and_aborts)
{
    struct captured captured;
    capture(&captured, run_panicking);
    check_aborted(&captured);
    check_says(&captured, "weft: panic: the books do not balance: 42\n    at panicking (");
    check_says(&captured, ", in task the ledger (started in run_panicking, ");
    check_says(&captured, "EIO: the last error");
}

static int panic_outside(void)
{
    weft_panic("%s", "nobody runs");
}

Test(lifetime, panic_outside_a_task_aborts_too)
{
    struct captured captured;
    capture(&captured, panic_outside);
    check_aborted(&captured);
    check_says(&captured, "weft: panic: nobody runs\n    at panic_outside (");
    check_says(&captured, "in no task");
}
