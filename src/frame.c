/* frame.c: frames: stepped, waiting, ended. Their life is drawn in frame.h; the macros that call
 * what is here are in weft/stackless.h. */
#include "src/frame.h"
#include "src/guard.h"
#include "pool/base/check.h"

static struct wf_frame *frame_of(weft_frame *frame)
{
    return (struct wf_frame *)frame;
}

struct wf_pool *wf_frame_pool(struct wf_work *work)
{
    return wf_scope_runtime(wf_frame_owner(wf_container_of(work, struct wf_frame, work)))->pool;
}

/* --- start ------------------------------------------------------------------------------------ */

/* Into `scope`, and queued. Its owner, scope or value, is set by the caller. */
static void start(struct wf_fiber *self, struct wf_frame *frame, weft_frame_run_fn_ *run)
{
    frame->work = (struct wf_work){.run = run};
    frame->at = 0;
    frame->kind = WF_FRAME_IDLE;
    frame->open = 0;
    frame->hits = 0;
    wf_start_queued(self, &frame->work);
}

/* The running task, which may enter `scope` now, and has; or NULL, and *rc says why not. */
static struct wf_fiber *enter(struct wf_scope *scope, int *rc)
{
    struct wf_fiber *self = wf_enter_task(rc);
    if (self == NULL) {
        return NULL;
    }
    if (wf_unlikely(wf_deque_is_full_(&self->worker->deque))) {
        wf_yield(self); /* as in weft_go_ */
    }
    *rc = wf_scope_enter(scope);
    return *rc < 0 ? NULL : self;
}

int weft_go_frame_(weft_scope *handle, weft_frame_run_fn_ *run, weft_frame *memory)
{
    struct wf_scope *scope = wf_scope_of(handle);
    int rc = 0;
    struct wf_fiber *self = enter(scope, &rc);
    if (wf_likely(self != NULL)) {
        struct wf_frame *frame = frame_of(memory);
        frame->scope = scope;
        frame->flags = 0;
        start(self, frame, run);
    }
    return rc;
}

weft_val weft_frame_v_(weft_frame_run_fn_ *run, weft_frame *memory, const weft_place *place)
{
    int rc = 0;
    struct wf_fiber *self = wf_enter_task(&rc);
    if (self == NULL) {
        return wf_val_done(rc, place);
    }
    struct wf_scope *scope = self->env->scope;
    self = enter(scope, &rc);
    if (self == NULL) {
        return wf_val_done(rc, place);
    }
    struct wf_frame *frame = frame_of(memory);
    weft_val val;
    frame->value = wf_value_new_pinned(scope, &val, place);
    if (frame->value == NULL) {
        wf_scope_leave(scope);
        return val;
    }
    frame->flags = WF_FRAME_VALUED;
    start(self, frame, run);
    return val;
}

/* --- stepping --------------------------------------------------------------------------------- */

static struct wf_wait *wait_of(struct wf_frame *frame)
{
    struct wf_value *value = frame->call.object;
    return frame->kind == WF_FRAME_RECORD ? &value->call.wait : &frame->call.wait;
}

/* The step has returned WEFT_PENDING. True: others have the frame now, LAST TOUCH; false: what it
 * waits for is there, step it again. */
static bool lie_down(struct wf_fiber *self, struct wf_frame *frame, int *turns)
{
    if (frame->kind == WF_FRAME_YIELD) {
        frame->kind = WF_FRAME_IDLE;
        wf_ready(self->worker, &frame->work);
        return true;
    }
    if (wf_wait_arm(wait_of(frame))) {
        return true;
    }
    if (++*turns < WF_BUDGET) {
        return false;
    }
    wf_ready(self->worker, &frame->work);
    return true;
}

void wf_frame_drop_own(struct wf_stepping *stepping)
{
    struct wf_fiber *self = stepping->fiber;
    struct wf_call *call = &stepping->frame->call;
    struct wf_scope *owner = wf_frame_owner(stepping->frame);
    stepping->token = 0;
    (void)wf_add_relaxed(&stepping->task.rt->values_dropped, 1); /* relaxed: a counter */
    wf_lock(&owner->lock);
    call->wait.ops->cancel(&call->wait);
    wf_unlock(&owner->lock);
    call->wait.resume = &self->resume;
    (void)wf_wait_block(self, &call->wait);
    wf_value_discard(call);
}

/* A step began an operation in the frame's own call, and neither awaited it nor dropped it. */
static WF_COLD void abandon(struct wf_stepping *stepping)
{
    const weft_place *place = stepping->task.place;
    wf_misuse("a step of %s (%s:%d) began an operation in WEFT_AWAIT that it does not await",
              place->function, place->file, place->line);
    wf_frame_drop_own(stepping);
}

static void check_step(struct wf_fiber *self, struct wf_stepping *stepping)
{
    const weft_place *place = stepping->task.place;
    if (wf_unlikely(stepping->token != 0)) {
        abandon(stepping);
    }
    if (wf_unlikely(self->env != &stepping->task.env)) {
        wf_misuse("a step of %s (%s:%d) returned with a scope or binding still open",
                  place->function, place->file, place->line);
    }
    /* relaxed: only its own strands write */
    if (wf_unlikely(wf_load_relaxed(&stepping->task.env.unawaited) != 0)) {
        wf_misuse("a step of %s (%s:%d) returned with a task that it spawned unawaited",
                  place->function, place->file, place->line);
    }
}

/* The frame itself may be gone already. `value`: what its end completes, or NULL. */
static void settle(struct wf_scope *owner, struct wf_value *value, struct wf_task *identity, int rc)
{
    weft_error *error = wf_error_take(identity);
    if (wf_unlikely(rc < 0)) {
        error = wf_error_of(identity, rc, error);
    } else {
        wf_error_free(error);
        error = NULL;
    }
    if (value != NULL) {
        wf_value_complete(value, rc, error);
    } else if (rc < 0) {
        wf_scope_task_failed(owner, rc, error);
    }
    wf_scope_leave(owner);
}

void weft_frame_run_(struct wf_fiber *self, struct wf_work *work, weft_step_fn_ *step,
                     const weft_place *place)
{
    struct wf_frame *frame = wf_container_of(work, struct wf_frame, work);
    struct wf_scope *owner = wf_frame_owner(frame);
    struct wf_value *value = (frame->flags & WF_FRAME_VALUED) != 0 ? frame->value : NULL;
    struct wf_stepping stepping;
    wf_task_init(&stepping.task, wf_runtime_of(self), NULL, NULL, owner, WF_TASK_FRAME, place);
    wf_slot_set(&stepping.task.env.slot, WF_SLOT_NONE); /* the next step has another */
    stepping.fiber = self;
    stepping.frame = frame;
    stepping.token = 0;
    struct wf_env *outer = self->env;
    struct wf_home *home = wf_fiber_home(self);
    int turns = 0;
    int rc;
    wf_env_enter(self, outer);
    do { /* ends: WF_BUDGET turns */
        self->env = &stepping.task.env;
        WF_GUARDED(rc = step((weft_frame *)frame));
        if (wf_unlikely(wf_on_suspend != NULL && rc == WEFT_PENDING)) {
            wf_on_suspend(self);
        }
        check_step(self, &stepping);
        if (wf_unlikely(wf_fiber_home(self) != home)) {
            wf_exec_return(self, home);
        }
        self->env = outer;
        if (wf_unlikely(rc == WEFT_PENDING && frame->kind == WF_FRAME_IDLE)) {
            wf_misuse("a step of %s (%s:%d) returned WEFT_PENDING by itself", place->function,
                      place->file, place->line);
            rc = -EINVAL;
        }
    } while (rc == WEFT_PENDING && !lie_down(self, frame, &turns));
    if (rc == WEFT_PENDING) {
        wf_error_free(wf_error_take(&stepping.task));
    } else {
        settle(owner, value, &stepping.task, rc);
    }
}

/* --- what WEFT_AWAIT calls, in a step --------------------------------------------------------- */

void weft_frame_yield_(weft_frame *handle)
{
    struct wf_frame *frame = frame_of(handle);
    frame->hits = 0;
    frame->kind = WF_FRAME_YIELD;
}

/* Out of the scope in which it was begun, into the frame's. */
static void adopt(struct wf_frame *frame, struct wf_value *value, struct wf_env *env)
{
    struct wf_wait *wait = &value->call.wait;
    wf_wait_delist(wait);
    wait->resume = &frame->work;
    wf_value_enlist(wait, wf_frame_owner(frame), env);
}

static void await_result(struct wf_frame *frame, ssize_t result)
{
    frame->kind = WF_FRAME_RESULT;
    frame->call.detail = (uint64_t)result;
}

/* 1: the step has to return, to wait; 0: weft_frame_end_ has the result. */
int weft_frame_wait_(weft_frame *handle, weft_val *val)
{
    struct wf_frame *frame = frame_of(handle);
    struct wf_fiber *self = wf_self();
    struct wf_stepping *stepping = self != NULL && self->env != NULL ? wf_stepping_of(self) : NULL;
    if (wf_unlikely(stepping == NULL || stepping->frame != frame)) {
        wf_misuse("WEFT_AWAIT in no step of its frame, or inside a scope that the step opened");
        await_result(frame, -EINVAL);
        return 0;
    }
    if (stepping->token != 0 && val->source_ == WEFT_VAL_EMBEDDED_ &&
        (uint64_t)val->word_ == stepping->token) {
        stepping->token = 0;
        frame->kind = WF_FRAME_OWN;
    } else {
        if (wf_unlikely(stepping->token != 0)) {
            abandon(stepping);
        }
        struct wf_value *value;
        int rc = wf_value_take(val, &value);
        if (rc < 0) {
            await_result(frame, rc);
            return 0;
        }
        adopt(frame, value, self->env);
        frame->call.object = value;
        frame->kind = WF_FRAME_RECORD;
    }
    val->source_ = 0;
    if (wf_wait_outcome(wait_of(frame)) != WF_WAIT_SETUP) {
        return 0;
    }
    frame->hits = 0;
    return 1;
}

/* 1: *result; 0: what it waits for was begun anew, the step has to return again. */
int weft_frame_end_(weft_frame *handle, int64_t *result)
{
    struct wf_frame *frame = frame_of(handle);
    ssize_t rc;
    if (frame->kind == WF_FRAME_OWN) {
        wf_check_inner(wf_wait_outcome(&frame->call.wait) > WF_WAIT_ARMED);
        wf_wait_delist(&frame->call.wait);
        rc = frame->call.wait.ops->finish(&frame->call);
    } else if (frame->kind == WF_FRAME_RECORD) {
        struct wf_value *value = frame->call.object;
        if (!wf_value_end(value, &rc)) {
            adopt(frame, value, wf_self()->env);
            return 0;
        }
    } else {
        rc = (ssize_t)frame->call.detail; /* of a wait it may be a timer's, which a wheel moves */
    }
    frame->kind = WF_FRAME_IDLE;
    *result = rc;
    return 1;
}
