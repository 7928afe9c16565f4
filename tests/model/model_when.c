/* model_when.c: the end of a task against those who wait for it: src/when.c and src/cont.c
 * themselves, with when.h and awaiter.h, over finishers that do what src/task.c does at the end of
 * a task.
 *
 * Checked in every execution: the waiter is resumed exactly once, and sees the results of the tasks
 * that it waited for; the call says what its policy promises; losers are settled once, when all
 * watches can be found; nobody touches the call's memory, which is its stack, after it has
 * returned; an awaiter beside the call is told exactly once; a continuation runs once, or is
 * skipped, and is not touched after its scope has ended; nobody waits for ever. */
#include "src/cont.c"
#include "src/when.c"

#include <string.h>

#define TASKS  3
#define FIBERS 3

static struct wf_task tasks[TASKS];
static WF_PLAIN(int) results[TASKS]; /* what a task did: a race if it is read too early */
static struct {
    WF_ATOMIC(uint32_t) cancelled; /* event: for a task that waits for its cancellation */
    int cancels;                   /* not modelled: the checker is one thread */
} of_task[TASKS];
static struct wf_scope owner; /* of all */
static struct waiter {
    struct wf_fiber fiber;
    WF_PLAIN(int) context; /* 1: saved */
    WF_ATOMIC(uint32_t) ready;
    int resumed;
    int rc, which; /* what the call returned */
} waiters[FIBERS];
static struct waiter *entering; /* who calls weft_when now: set right before */

/* --- what when.c calls ------------------------------------------------------------------------ */

static struct waiter *waiter_of(struct wf_work *resume)
{
    return wf_container_of(resume, struct waiter, fiber.resume);
}

void wf_wait_resume(struct wf_work *resume)
{
    struct waiter *waiter = waiter_of(resume);
    wloom_assert(wf_plain_read(&waiter->context) == 1);
    wloom_assert(++waiter->resumed == 1);
    wloom_handoff_set(&waiter->ready);
}

enum wf_wait_state wf_wait_block(struct wf_fiber *self, struct wf_wait *wait)
{
    struct waiter *waiter = waiter_of(&self->resume);
    if (wf_wait_outcome(wait) == WF_WAIT_SETUP) {
        wf_plain_write(&waiter->context, 1);
        if (wf_wait_arm(wait)) {
            wloom_handoff_wait(&waiter->ready);
        }
    }
    enum wf_wait_state outcome = wf_wait_outcome(wait);
    wloom_assert(outcome == WF_WAIT_GRANTED);
    return outcome;
}

struct wf_fiber *wf_enter_task(int *rc)
{
    (void)rc;
    return &entering->fiber;
}

/* As in src/task.c. */
bool wf_task_unwatch(struct wf_task *task, struct wf_awaiter *awaiter)
{
    struct wf_awaiter *untold = NULL;
    wf_lock(&owner.lock);
    bool removed = wf_awaiters_remove(&task->waiters, awaiter, &untold);
    wf_unlock(&owner.lock);
    if (untold != NULL) {
        wf_awaiters_tell(untold, wf_task_outcome(task));
    }
    return removed;
}

void wf_task_cancel(struct wf_task *task, const weft_reason *reason)
{
    (void)reason;
    int i = (int)(task - tasks);
    wloom_assert(++of_task[i].cancels == 1);
    wloom_handoff_set(&of_task[i].cancelled);
}

weft_error *wf_task_collect(struct wf_task *task, struct wf_task *awaiter)
{
    (void)awaiter;
    int i = (int)(task - tasks);
    wloom_assert(wf_plain_read(&results[i]) == task->rc);
    return NULL;
}

bool wf_task_run_in_place(struct wf_fiber *self, struct wf_task *task)
{
    (void)self;
    (void)task;
    return false;
}

bool wf_task_would_deadlock(const struct wf_env *env, struct wf_task *task)
{
    (void)env;
    (void)task;
    return false;
}

/* --- tasks ------------------------------------------------------------------------------------ */

static void end_task(int i, int rc)
{
    struct wf_task *task = &tasks[i];
    wf_plain_write(&results[i], rc);
    task->rc = rc;
    task->failed_ns = i + 1;
    task->cut_short = rc == -ECANCELED;
    struct wf_outcome outcome = wf_task_outcome(task);
    wf_awaiters_tell(wf_awaiters_close(&task->waiters), outcome);
}

static void succeed(void *arg)
{
    end_task((int)(intptr_t)arg, 40 + (int)(intptr_t)arg);
}

static void fail(void *arg)
{
    end_task((int)(intptr_t)arg, -EIO);
}

/* Ends by its cancellation only. */
static void be_cancelled(void *arg)
{
    int i = (int)(intptr_t)arg;
    wloom_handoff_wait(&of_task[i].cancelled);
    end_task(i, -ECANCELED);
}

/* --- waiters ---------------------------------------------------------------------------------- */

/* Far more than the frames of weft_when with a few tasks. */
#define FRAMES_BYTES 2048

static void wait_for(int waiter, int first, int n, int policy)
{
    weft_task *handles[TASKS];
    for (int i = 0; i < n; i++) {
        handles[i] = (weft_task *)(void *)&tasks[first + i];
    }
    struct waiter *self = &waiters[waiter];
    self->which = -2;
    entering = self;
    self->rc = weft_when(handles, n, policy, &self->which);
    wloom_assert(self->resumed <= 1);
    /* the call's frames: what is touched there from now on, is touched too late */
    char *here = __builtin_frame_address(0);
    char *low = (char *)handles < here ? (char *)handles : here;
    wloom_retire(low - FRAMES_BYTES, FRAMES_BYTES - 64);
}

static void all_of_two(void *arg)
{
    (void)arg;
    wait_for(0, 0, 2, WEFT_ALL);
}

static void failfast_of_two(void *arg)
{
    (void)arg;
    wait_for(0, 0, 2, WEFT_FAILFAST);
}

static void first_of_two(void *arg)
{
    (void)arg;
    wait_for(0, 0, 2, WEFT_FIRST);
}

static void first_ok_of_two(void *arg)
{
    (void)arg;
    wait_for(0, 0, 2, WEFT_FIRST_OK);
}

static void keep_of_two(void *arg)
{
    wait_for((int)(intptr_t)arg, (int)(intptr_t)arg, 2, WEFT_FIRST | WEFT_KEEP_LOSERS);
}

/* An ordinary await, in the list of the last task. */
static struct stack_awaiter {
    struct wf_awaiter awaiter;
    WF_PLAIN(int) set_up;
    int told;
} beside;

static void beside_told(struct wf_awaiter *awaiter, struct wf_outcome outcome)
{
    struct stack_awaiter *waiting = wf_container_of(awaiter, struct stack_awaiter, awaiter);
    wloom_assert(wf_plain_read(&waiting->set_up) == 1);
    wloom_assert(outcome.rc == wf_plain_read(&results[1]));
    waiting->told++;
}

static void await_beside(void *arg)
{
    (void)arg;
    beside.awaiter.ended = beside_told;
    wf_plain_write(&beside.set_up, 1);
    if (!wf_awaiters_add(&tasks[1].waiters, &beside.awaiter)) {
        wloom_assert(wf_plain_read(&results[1]) != 0);
        beside.told++;
    }
}

/* --- continuations ---------------------------------------------------------------------------- */

/* The scope and the pool, as far as a continuation knows them. */
static struct {
    WF_ATOMIC(uint32_t) live;   /* the owner's hold, and the continuation's */
    WF_ATOMIC(uint32_t) ended;  /* event: live has come to 0 */
    WF_ATOMIC(uint32_t) queued; /* event: `work` is to be run */
    WF_PLAIN(struct wf_work *) work;
    int runs; /* of the body */
} pool;
static struct wf_cont cont;

int wf_scope_enter(struct wf_scope *scope)
{
    (void)scope;
    (void)wf_add_relaxed(&pool.live, 1);
    return 0;
}

static void leave_scope(void)
{
    if (wf_sub_acq_rel(&pool.live, 1) == 1) {
        wloom_handoff_set(&pool.ended);
    }
}

void wf_task_init(struct wf_task *task, struct weft_rt *rt, weft_fn *fn, void *arg,
                  struct wf_scope *scope, enum wf_task_kind kind, const weft_place *place)
{
    static struct weft_rt runtime;
    (void)rt;
    *task = (struct wf_task){.fn = fn, .arg = arg, .place = place, .kind = (uint8_t)kind};
    task->env.scope = scope;
    task->rt = &runtime;
}

void wf_task_refuse(struct wf_task *task, weft_fn *fn, void *arg, const weft_place *place, int rc)
{
    (void)task;
    (void)fn;
    (void)arg;
    (void)place;
    (void)rc;
    wloom_assert(false);
}

static void queue(struct wf_work *work)
{
    wf_plain_write(&pool.work, work);
    wloom_handoff_set(&pool.queued);
}

void wf_ready_any(struct wf_pool *of, struct wf_work *work)
{
    (void)of;
    queue(work);
}

void wf_start_queued(struct wf_fiber *self, struct wf_work *work)
{
    (void)self;
    queue(work);
}

void wf_task_end_unrun(struct wf_task *task)
{
    wf_awaiters_tell(wf_awaiters_close(&task->waiters), (struct wf_outcome){-ECANCELED, true});
    leave_scope();
}

static void run_queued(void *arg)
{
    (void)arg;
    wloom_handoff_wait(&pool.queued);
    struct wf_work *work = wf_plain_read(&pool.work);
    struct wf_task *task = wf_container_of(work, struct wf_task, work);
    if (work->run == run_skipped) {
        work->run(NULL, work);
        return;
    }
    int rc = task->fn(task->arg);
    wf_awaiters_tell(wf_awaiters_close(&task->waiters), (struct wf_outcome){rc, false});
    leave_scope();
}

static int body(void *arg)
{
    (void)arg;
    wloom_assert(wf_plain_read(&results[0]) == 40);
    return ++pool.runs;
}

/* As a function that opens a scope, continues a task in it, and returns. */
static void continue_it(int ends)
{
    wf_store_relaxed(&pool.live, 1);
    entering = &waiters[0];
    wloom_assert(weft_continue((weft_cont *)(void *)&cont, (weft_task *)(void *)&tasks[0], body,
                               NULL, ends) == 0);
    leave_scope();
    wloom_handoff_wait(&pool.ended);
    wloom_retire(&cont, sizeof cont);
}

/* --- scenarios -------------------------------------------------------------------------------- */

static void begin(void)
{
    memset(tasks, 0, sizeof tasks);
    memset(results, 0, sizeof results);
    memset(of_task, 0, sizeof of_task);
    memset(&owner, 0, sizeof owner);
    memset(waiters, 0, sizeof waiters);
    memset(&beside, 0, sizeof beside);
    memset(&pool, 0, sizeof pool);
    memset(&cont, 0, sizeof cont);
    for (int i = 0; i < TASKS; i++) {
        tasks[i].env.scope = &owner;
    }
    for (int i = 0; i < FIBERS; i++) {
        waiters[i].fiber.env = &tasks[0].env;
    }
}

static void run3(void (*a)(void *), void (*b)(void *), void (*waiter)(void *))
{
    begin();
    wloom_spawn(a, (void *)0);
    wloom_spawn(b, (void *)1);
    waiter((void *)0);
    wloom_join_all();
}

static void two_end_at_once_under_all(void)
{
    run3(succeed, fail, all_of_two);
    wloom_assert(waiters[0].rc == -EIO && waiters[0].which == 1);
}

static void one_fails_and_cancels_the_other(void)
{
    run3(fail, be_cancelled, failfast_of_two);
    wloom_assert(waiters[0].rc == -EIO && waiters[0].which == 0);
    wloom_assert(of_task[1].cancels == 1);
}

static void two_fail_at_once_under_failfast(void)
{
    run3(fail, fail, failfast_of_two);
    wloom_assert(waiters[0].rc == -EIO && waiters[0].which == 0);
}

static void the_first_cancels_the_other(void)
{
    run3(be_cancelled, succeed, first_of_two);
    wloom_assert(waiters[0].rc == 41 && waiters[0].which == 1);
    wloom_assert(of_task[0].cancels == 1);
}

static void two_end_at_once_under_first(void)
{
    run3(succeed, fail, first_of_two);
    wloom_assert(waiters[0].which == 0 ? waiters[0].rc == 40 : waiters[0].rc == -EIO);
}

static void one_fails_and_one_succeeds_under_first_ok(void)
{
    run3(fail, succeed, first_ok_of_two);
    wloom_assert(waiters[0].rc == 41 && waiters[0].which == 1);
}

static void a_loser_ends_while_the_call_returns(void)
{
    run3(succeed, fail, keep_of_two);
    wloom_assert(waiters[0].which == 0 ? waiters[0].rc == 40 : waiters[0].rc == -EIO);
    wloom_assert(of_task[0].cancels + of_task[1].cancels == 0);
}

/* The watch is taken out of a list that holds another. */
static void a_kept_loser_has_another_awaiter(void)
{
    begin();
    wloom_spawn(succeed, (void *)0);
    wloom_spawn(succeed, (void *)1);
    wloom_spawn(await_beside, NULL);
    keep_of_two((void *)0);
    wloom_join_all();
    wloom_assert(beside.told == 1);
}

/* Calls for tasks 0 and 1, and for 1 and 2: both watch task 1, and both may leave it. */
static void two_calls_leave_one_task(void)
{
    begin();
    wloom_spawn(succeed, (void *)0);
    wloom_spawn(succeed, (void *)1);
    wloom_spawn(succeed, (void *)2);
    wloom_spawn(keep_of_two, (void *)1);
    keep_of_two((void *)0);
    wloom_join_all();
    wloom_assert(waiters[0].rc == 40 + waiters[0].which);
    wloom_assert(waiters[1].rc == 41 + waiters[1].which);
}

static void a_task_ends_while_it_is_continued(void)
{
    begin();
    wloom_spawn(succeed, (void *)0);
    wloom_spawn(run_queued, NULL);
    continue_it(WEFT_ON_OK);
    wloom_join_all();
    wloom_assert(pool.runs == 1);
}

/* One that is skipped in the call that makes it is not queued. */
static void skip_queued(void *arg)
{
    wloom_handoff_wait(&pool.queued);
    struct wf_work *work = wf_plain_read(&pool.work);
    if (work != NULL) {
        wloom_assert(work->run == run_skipped);
        work->run(arg, work);
    }
}

static void a_task_ends_in_another_way_than_asked_for(void)
{
    begin();
    wloom_spawn(succeed, (void *)0);
    wloom_spawn(skip_queued, NULL);
    continue_it(WEFT_ON_FAULT);
    if (pool.work.plain_ == NULL) {
        wloom_handoff_set(&pool.queued);
    }
    wloom_join_all();
    wloom_assert(pool.runs == 0);
}

static const struct wloom_scenario scenarios[] = {
    {"all: two end at once", two_end_at_once_under_all, NULL, NULL, false},
    {"failfast: one cancels one", one_fails_and_cancels_the_other, NULL, NULL, false},
    {"failfast: two fail at once", two_fail_at_once_under_failfast, NULL, NULL, false},
    {"first: one cancels one", the_first_cancels_the_other, NULL, NULL, false},
    {"first: two end at once", two_end_at_once_under_first, NULL, NULL, false},
    {"first_ok: one fails", one_fails_and_one_succeeds_under_first_ok, NULL, NULL, false},
    {"keep: a loser ends", a_loser_ends_while_the_call_returns, NULL, NULL, false},
    {"keep: another awaiter", a_kept_loser_has_another_awaiter, NULL, NULL, false},
    {"keep: two calls", two_calls_leave_one_task, NULL, NULL, false},
    {"continue: the task ends", a_task_ends_while_it_is_continued, NULL, NULL, false},
    {"continue: not as asked for", a_task_ends_in_another_way_than_asked_for, NULL, NULL, false},
    {NULL, NULL, NULL, NULL, false},
};

/* They order a watch, which is put into a task, before its removal by a compare-and-swap on the
 * same word. Here the order of such writes is that of execution, so what could go wrong cannot be
 * seen: that the removal comes before the watch in the word's modification order. */
#define ONE_WORD "two read-modify-writes of one word are never out of order here"

static const struct wloom_survivor survivors[] = {
    {"when.decide", "relaxed", ONE_WORD},
    {"when.listed", "relaxed", ONE_WORD},
    {NULL, NULL, NULL},
};

static const char *const under_test[] = {"src/awaiter.h", "src/when.h", "src/when.c", "src/cont.c",
                                         NULL};

int main(int argc, char **argv)
{
    static const struct wloom_harness harness = {
        .name = "when",
        .scenarios = scenarios,
        .under_test = under_test,
        .survivors = survivors,
        .share = 0.3,
    };
    return wloom_main(&harness, argc, argv);
}
