/* task_value.c: the end of a task as a value: of one that was spawned (weft_await_v), and of any
 * function, started as a pooled task (weft_task_v): that is how what a call does on a stack, in
 * several waits, becomes one value. */
#include "src/value.h"
#include <string.h>

/* --- a task that was spawned ------------------------------------------------------------------ */

static void task_ended(struct wf_awaiter *awaiter, struct wf_outcome outcome)
{
    (void)outcome; /* the consumer reads the task */
    struct wf_call *call = wf_container_of(awaiter, struct wf_call, awaiter);
    (void)wf_wait_claim(&call->wait, WF_WAIT_GRANTED); /* LAST TOUCH */
}

/* Waiting for a task is not a point of cancellation: the task ends soon. */
static void await_cancel(struct wf_wait *wait)
{
    (void)wait;
}

/* The result of an ended task, and its record for whoever runs here. */
static ssize_t collect(struct wf_task *task)
{
    struct wf_fiber *self = wf_self();
    if (self == NULL || self->env == NULL) {
        return 0; /* dropped: the task's spawner has yet to await it, or has, and it is gone */
    }
    weft_error *error = wf_task_collect(task, self->env->task);
    if (task->rc < 0) {
        wf_error_hand_on(self->env->task, wf_error_of(task, task->rc, error), NULL);
    } else {
        wf_error_free(error);
    }
    return task->rc;
}

static ssize_t await_finish(struct wf_call *call)
{
    return collect(call->awaited);
}

static const struct wf_wait_ops await_ops = {
    .cancel = await_cancel, .finish = await_finish, .name = "a task"};

static ssize_t await_begin(struct wf_task *task, struct wf_call *call, struct wf_work *resume)
{
    wf_wait_init(&call->wait, resume, &await_ops);
    call->awaiter.ended = task_ended;
    call->awaited = task;
    return wf_awaiters_add(&task->waiters, &call->awaiter) ? WF_PENDING : collect(task);
}

weft_val weft_await_v_(weft_task *handle, const weft_place *place)
{
    struct wf_task *task = wf_task_of(handle);
    struct wf_begun b;
    int rc = 0;
    struct wf_fiber *self = wf_enter_task(&rc);
    if (self == NULL) {
        return wf_val_done(rc, place);
    }
    if (wf_task_is_done(task)) { /* also in a cancelled scope */
        return wf_val_done(collect(task), place);
    }
    if (wf_task_would_deadlock(self->env, task)) {
        return wf_val_done(-EDEADLK, place);
    }
    return wf_v_begin(&b, WF_V_CALL, place) ? wf_v_end(&b, await_begin(task, b.call, b.resume))
                                            : b.val;
}

/* --- a function that is started for it -------------------------------------------------------- */

struct started {
    weft_fn *fn;
    weft_promise promise;
    WF_ALIGNED(16) unsigned char arg[];
};

/* The body of the task: runs the function, and completes the value. */
static int run_started(void *arg)
{
    struct started *started = arg;
    int rc = started->fn(started->arg);
    struct wf_task *task = wf_self()->env->task;
    weft_error *error = wf_error_take(task);
    if (rc < 0) {
        error = wf_error_of(task, rc, error);
    } else {
        wf_error_free(error);
        error = NULL;
    }
    (void)wf_promise_set(&started->promise, rc, error);
    return 0;
}

_Static_assert(sizeof(struct started) + WEFT_TASK_V_ARG_MAX <= WEFT_GO_ARG_MAX,
               "it is started by go");

weft_val weft_task_v_(weft_fn *fn, const void *arg, size_t bytes, const weft_place *place)
{
    WF_ALIGNED(16) unsigned char copy[WEFT_GO_ARG_MAX];
    struct started *started = (struct started *)(void *)copy;
    weft_val val;
    if (bytes > WEFT_TASK_V_ARG_MAX) {
        return wf_val_done(-E2BIG, place);
    }
    if (weft_promise_new_(&started->promise, &val, place) < 0) {
        return val;
    }
    started->fn = fn;
    memcpy(started->arg, arg, bytes);
    weft_scope *scope = (weft_scope *)(void *)wf_self()->env->scope;
    int rc = weft_go_(scope, run_started, started, sizeof *started + bytes, place);
    if (rc < 0) {
        (void)wf_promise_set(&started->promise, rc, NULL);
    }
    return val;
}
