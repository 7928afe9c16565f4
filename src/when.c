/* when.c: weft_when: waiting for several tasks, for all of them or for the first.
 *
 * The call has a watch in each task (when.h has the protocol), one wait for the waiter, and no
 * queue. It is not a point of cancellation, as weft_await is not: the tasks are cancelled with
 * their scope, and they end.
 *
 * Where a task may run on top of the waiter: under ALL and FAILFAST, which need every one of them
 * to end anyway. Under FIRST and FIRST_OK never: the stack of a task that suspends there would lie
 * above a waiter that may have to go on before it. Under FAILFAST all watches are in place before
 * that, because a task that suspends on top of the waiter must be cancelled by another one's
 * failure while the waiter cannot run. */
#include "src/when.h"
#include "src/core.h"

_Static_assert((int)WF_WHEN_ALL == WEFT_ALL && (int)WF_WHEN_FAILFAST == WEFT_FAILFAST &&
                   (int)WF_WHEN_FIRST == WEFT_FIRST && (int)WF_WHEN_FIRST_OK == WEFT_FIRST_OK,
               "when.h");

struct when_call {
    struct wf_when when;
    /* immutable while tasks run */
    weft_task *const *tasks;
    int n;
    bool keep_losers;
    struct wf_env *env; /* of the caller */
    int *which;         /* may be NULL */
    const weft_place *place;
};

static struct wf_task *task_at(const struct when_call *call, int i)
{
    return wf_task_of(call->tasks[i]);
}

static bool is_first(int policy)
{
    return policy == WEFT_FIRST || policy == WEFT_FIRST_OK;
}

/* --- losers ----------------------------------------------------------------------------------- */

static void cancel_losers(struct when_call *call, int winner)
{
    const char *why =
        call->when.policy == WEFT_FAILFAST ? "another task failed" : "another task was first";
    weft_reason reason = wf_reason(WEFT_WHY_LOSER, why, call->place);
    for (int i = 0; i < call->n; i++) {
        struct wf_task *task = task_at(call, i);
        if (i != winner && !wf_task_is_done(task)) {
            wf_task_cancel(task, &reason);
        }
    }
}

/* The call returns without them. */
static void unwatch_losers(struct when_call *call, int winner)
{
    uint32_t removed = 0;
    for (int i = 0; i < call->n; i++) {
        if (i != winner && wf_task_unwatch(task_at(call, i), &call->when.watches[i].awaiter)) {
            removed++;
        }
    }
    /* not the last: whoever settles is counted himself */
    (void)wf_when_leave(&call->when, removed);
}

void wf_when_settle_losers(struct wf_when *when)
{
    struct when_call *call = wf_container_of(when, struct when_call, when);
    int winner = wf_when_winner(when);
    if (call->keep_losers) {
        unwatch_losers(call, winner);
    } else {
        cancel_losers(call, winner);
    }
}

/* --- the end of the call ---------------------------------------------------------------------- */

/* The first failure in time; `cut_short`: of those that were cut short by a cancellation, or of the
 * others. WF_WHEN_NOBODY: none. */
static int first_failure(const struct when_call *call, bool cut_short)
{
    int first = WF_WHEN_NOBODY;
    int64_t first_ns = INT64_MAX;
    for (int i = 0; i < call->n; i++) {
        const struct wf_task *task = task_at(call, i);
        if (task->rc < 0 && (bool)task->cut_short == cut_short && task->failed_ns < first_ns) {
            first = i;
            first_ns = task->failed_ns;
        }
    }
    return first;
}

/* The task whose end is the call's result, or WF_WHEN_NOBODY: they all succeeded. */
static int deciding_task(struct when_call *call)
{
    int winner = wf_when_winner(&call->when);
    bool first = is_first(call->when.policy);
    if (first && winner != WF_WHEN_NOBODY) {
        return winner;
    }
    /* Of ALL and FAILFAST, a failure before a cancellation. Of FIRST_OK, which nobody won: if one
     * was cut short, another outcome was still possible. */
    int failed = first_failure(call, first);
    return failed != WF_WHEN_NOBODY ? failed : first_failure(call, !first);
}

static ssize_t when_result(struct when_call *call)
{
    int decided = deciding_task(call);
    int rc = decided != WF_WHEN_NOBODY ? task_at(call, decided)->rc : 0;
    /* nobody won: all have ended, and there are no losers to keep */
    bool keep_losers = call->keep_losers && wf_when_winner(&call->when) != WF_WHEN_NOBODY;
    for (int i = 0; i < call->n; i++) {
        if (keep_losers && i != decided) {
            continue;
        }
        struct wf_task *task = task_at(call, i);
        weft_error *error = wf_task_collect(task, call->env->task);
        if (i == decided && rc < 0) {
            wf_error_hand_on(call->env->task, wf_error_of(task, rc, error), call->place);
        } else {
            wf_error_free(error);
        }
    }
    if (call->which != NULL) {
        *call->which = decided;
    }
    return rc;
}

static ssize_t when_finish(struct wf_call *wf_call)
{
    return when_result(wf_call->object);
}

/* Waiting is no point of cancellation: see the head of this file. */
static void when_cancel(struct wf_wait *wait)
{
    (void)wait;
}

static const struct wf_wait_ops when_ops = {
    .cancel = when_cancel, .finish = when_finish, .name = "weft_when"};

/* --- the beginning ---------------------------------------------------------------------------- */

/* The lowest one that has ended, and so has won already; else WF_WHEN_NOBODY (E33). */
static int find_winner(const struct when_call *call)
{
    for (int i = 0; i < call->n; i++) {
        struct wf_task *task = task_at(call, i);
        if (wf_task_is_done(task) && wf_when_decides(call->when.policy, wf_task_outcome(task))) {
            return i;
        }
    }
    return WF_WHEN_NOBODY;
}

/* Newest first: the newest in our deque can be taken, and then the next is the newest. */
static void run_all_in_place(struct wf_fiber *self, struct when_call *call)
{
    for (int i = call->n - 1; i >= 0; i--) {
        (void)wf_task_run_in_place(self, task_at(call, i));
    }
}

/* Puts a watch into each task that has not ended. How many have. */
static uint32_t watch_all(struct when_call *call)
{
    uint32_t ended = 0;
    wf_store_relaxed(&call->when.left, (uint32_t)call->n + 1); /* relaxed: the watches publish it */
    for (int i = call->n - 1; i >= 0; i--) {
        struct wf_task *task = task_at(call, i);
        struct wf_watch *watch = &call->when.watches[i];
        *watch = (struct wf_watch){{.ended = wf_when_ended}, &call->when};
        if (wf_task_is_done(task) || !wf_awaiters_add(&task->waiters, &watch->awaiter)) {
            ended++;
            wf_when_told(&call->when, i, wf_task_outcome(task));
        }
    }
    return ended;
}

/* `self`: the stack on top of which tasks may run; NULL: none may. */
static ssize_t when_begin(struct when_call *call, struct wf_call *wf_call, struct wf_work *resume,
                          struct wf_fiber *self)
{
    struct wf_when *when = &call->when;
    if (is_first(when->policy)) {
        int winner = find_winner(call);
        if (winner != WF_WHEN_NOBODY) {
            (void)wf_when_decide(when, winner);
            if (call->keep_losers) {
                return when_result(call);
            }
        }
    } else if (when->policy == WEFT_ALL && self != NULL) {
        run_all_in_place(self, call);
    }
    wf_wait_init(&wf_call->wait, resume, &when_ops);
    wf_call->object = call;
    uint32_t ended = watch_all(call);
    if (when->policy != WEFT_ALL && wf_when_listed(when)) {
        wf_when_settle_losers(when);
    }
    if (when->policy == WEFT_FAILFAST && self != NULL) {
        run_all_in_place(self, call);
    }
    return wf_when_leave(when, ended + 1) ? when_result(call) : WF_PENDING;
}

/* 0, or what is wrong with the arguments. */
static int check_policy(int n, int policy)
{
    int kind = policy & ~WEFT_KEEP_LOSERS;
    bool first = is_first(kind);
    if ((kind != WEFT_FAILFAST && kind != WEFT_ALL && !first) || n < 0 || (first && n == 0) ||
        (!first && (policy & WEFT_KEEP_LOSERS) != 0)) {
        return -EINVAL;
    }
    return n > WEFT_WHEN_MAX ? -E2BIG : 0;
}

int weft_when_(weft_task *const *tasks, int n, int policy, int *which, const weft_place *place)
{
    int rc = 0;
    struct wf_fiber *self = wf_enter_task(&rc);
    if (self == NULL) {
        return rc;
    }
    rc = check_policy(n, policy);
    for (int i = 0; i < n && rc == 0; i++) {
        rc = wf_task_would_deadlock(self->env, wf_task_of(tasks[i])) ? -EDEADLK : 0;
    }
    if (rc < 0) {
        return rc;
    }
    struct when_call call = {.tasks = tasks,
                             .n = n,
                             .keep_losers = (policy & WEFT_KEEP_LOSERS) != 0,
                             .env = self->env,
                             .which = which,
                             .place = place};
    struct wf_call wf_call;
    /* on the stack: 24 KiB at most, and the call needs no memory that could run out */
    struct wf_watch *watches = __builtin_alloca(sizeof(struct wf_watch) * (size_t)(n > 0 ? n : 1));
    wf_when_init(&call.when, &wf_call.wait, watches, policy & ~WEFT_KEEP_LOSERS);
    ssize_t result = when_begin(&call, &wf_call, &self->resume, self);
    if (result == WF_PENDING) {
        (void)wf_wait_block(self, &wf_call.wait);
        result = when_finish(&wf_call);
    }
    return (int)result;
}
