/* each.c: weft_scope_next: the tasks of a scope, one by one as they end.
 *
 * In a scope with `.each` the frame of a task that has ended is kept, with its result, argument and
 * error record, until the owner takes it or the scope ends. Facts under the scope's lock:
 *
 *   - untaken = running + kept + (1 on its way to a call), at most max: weft_go refuses beyond it;
 *   - a call waits only if nothing is kept and running > 0. Then the next end is handed to it, so
 *     it need not be told when the last one has ended;
 *   - if running == 0 nothing that could be handed over will come: a call returns 0.
 *
 * The frame that was taken last is the owner's to look at until it asks again. */
#include "src/core.h"
#include "src/waitq.h"

void wf_each_init(struct wf_scope *scope, int max)
{
    scope->each = (struct wf_each){.max = (uint32_t)max};
    wf_list_init(&scope->each.calls);
}

int wf_each_enter(struct wf_scope *scope)
{
    struct wf_each *each = &scope->each;
    wf_lock(&scope->lock);
    bool full = each->untaken >= each->max;
    if (!full) {
        each->untaken++;
        each->running++;
    }
    wf_unlock(&scope->lock);
    return full ? -EAGAIN : 0;
}

/* Under the lock: to the call that waits, if it was not cancelled just now. */
static bool hand_over_locked(struct wf_each *each, struct wf_task *task)
{
    if (wf_list_is_empty(&each->calls)) {
        return false;
    }
    struct wf_waiter *place = wf_container_of(each->calls.next, struct wf_waiter, in_queue);
    place->item = task;
    wf_list_unlink(&place->in_queue); /* before the claim: the waiter may be gone after it */
    return wf_wait_claim_at(place->wait, WF_WAIT_GRANTED, place);
}

static struct wf_task *take_locked(struct wf_each *each)
{
    struct wf_work *work = wf_works_pop(&each->kept);
    return work != NULL ? wf_container_of(work, struct wf_task, work) : NULL;
}

void wf_each_ended(struct wf_scope *scope, struct wf_task *task)
{
    struct wf_each *each = &scope->each;
    wf_lock(&scope->lock);
    each->running--;
    if (!hand_over_locked(each, task)) {
        wf_works_push(&each->kept, &task->work);
    }
    wf_unlock(&scope->lock); /* LAST TOUCH of the task */
}

static void free_frame(struct wf_fiber *self, struct wf_task *task)
{
    if (task != NULL) {
        wf_error_free(wf_error_take(task));
        wf_task_free_frame(self, task);
    }
}

void wf_each_close(struct wf_fiber *self, struct wf_scope *scope)
{
    struct wf_each *each = &scope->each;
    struct wf_task *task;
    while ((task = take_locked(each)) != NULL) { /* ends: all tasks have ended */
        if (task->rc < 0 && task->cut_short) {
            wf_store_relaxed(&scope->cut_short, 1); /* relaxed: its owner */
        } else if (task->rc < 0) {
            wf_failures_add(&scope->failures, task->rc, wf_error_take(task));
        }
        free_frame(self, task);
    }
    free_frame(self, each->taken);
}

/* --- weft_scope_next -------------------------------------------------------------------------- */

/* Gives the owner the task to look at, in place of the one before. */
static int look_at(struct wf_scope *scope, struct wf_task *task, weft_done *done)
{
    struct wf_each *each = &scope->each;
    wf_lock(&scope->lock);
    each->untaken--;
    struct wf_task *before = each->taken;
    each->taken = task;
    wf_unlock(&scope->lock);
    free_frame(wf_self(), before);
    *done = (weft_done){.rc = task->rc, .arg = task->arg};
    if (task->rc < 0) { /* else it may have one of a failure that it dealt with */
        /* relaxed: the lock, under which it was handed over, orders it */
        done->error = wf_load_relaxed(&task->error);
    }
    return 1;
}

static ssize_t next_finish(struct wf_call *call)
{
    struct wf_scope *scope = call->object;
    if (wf_wait_outcome(&call->wait) == WF_WAIT_GRANTED) {
        return look_at(scope, call->place.item,
                       (weft_done *)(uintptr_t)call->detail); // NOLINT(performance-no-int-to-ptr)
    }
    wf_lock(&scope->lock);
    wf_list_unlink(&call->place.in_queue);
    wf_unlock(&scope->lock);
    return -ECANCELED;
}

static const struct wf_wait_ops next_ops = {
    .cancel = wf_wait_cancel_claim, .finish = next_finish, .name = "weft_scope_next"};

static ssize_t next_begin(struct wf_scope *scope, struct wf_call *call, struct wf_work *resume,
                          weft_done *done)
{
    struct wf_each *each = &scope->each;
    ssize_t rc = 0;
    wf_lock(&scope->lock);
    struct wf_task *task = take_locked(each);
    if (task == NULL && !wf_list_is_empty(&each->calls)) {
        rc = -EBUSY;
    } else if (task == NULL && each->running > 0) {
        wf_call_queue(call, resume, &next_ops, scope, &each->calls, NULL);
        call->detail = (uintptr_t)done;
        rc = WF_PENDING;
    }
    wf_unlock(&scope->lock);
    return task != NULL ? look_at(scope, task, done) : rc;
}

int weft_scope_next(weft_scope *handle, weft_done *done)
{
    struct wf_scope *scope = wf_scope_of(handle);
    int rc = 0;
    struct wf_fiber *self = wf_enter_task(&rc);
    if (self == NULL) {
        return rc;
    }
    if (!scope->open) {
        return 0;
    }
    if (scope->each.max == 0 || self->env->task != scope->env.task) {
        return scope->each.max == 0 ? -EINVAL : -EPERM;
    }
    bool inside = self->env->scope != scope;
    if (inside && (wf_env_cancelled(self->env) & WF_CANCEL_FIRED) != 0) {
        return -ECANCELED;
    }
    struct wf_call call;
    ssize_t result = next_begin(scope, &call, &self->resume, done);
    if (result == WF_PENDING && !inside) {
        /* no point of cancellation: who cancels the scope cancels its tasks, and one of them ends
         * soon */
        (void)wf_wait_block(self, &call.wait);
        return (int)next_finish(&call);
    }
    return (int)wf_call_end(self, &call, result);
}
