/* await.c: entering a call of the API, resuming who waits in one, and the waits that belong to no
 * object: yield, sleep, a kernel operation. How a stack lies down is in
 * block.c. */
#include "io/op.h"
#include "pool/base/check.h"
#include "pool/base/sys.h"
#include "src/block.h"
#include "src/frame.h"
#include "src/uses.h"

int wf_refuse_task(void)
{
    if (wf_forked) {
        return -ENOSYS;
    }
    if (wf_in_callback()) {
        wf_misuse("a cancel callback called something that needs a task");
        return -EDEADLK;
    }
    return -EPERM;
}

struct wf_fiber *wf_peek_task(void)
{
    struct wf_fiber *self = wf_self();
    return self != NULL && self->env != NULL ? self : NULL;
}

int wf_refuse_call(struct wf_fiber *self)
{
    return (wf_env_cancelled(self->env) & WF_CANCEL_FIRED) != 0 ? -ECANCELED : 0;
}

/* --- the wait --------------------------------------------------------------------------------- */

static struct wf_pool *pool_of(struct wf_work *resume)
{
    if (resume->run == wf_fiber_run_resume || resume->run == wf_fiber_run_homed) {
        /* A suspended fiber's worker is that of its last run: of the right pool, which is all that
         * is asked of it. */
        return wf_container_of(resume, struct wf_fiber, resume)->worker->pool;
    }
    return resume->run == wf_value_run ? wf_value_pool(resume) : wf_frame_pool(resume);
}

void wf_wait_resume_elsewhere(struct wf_work *resume)
{
    wf_ready_any(pool_of(resume), resume);
}

void wf_wait_resume(struct wf_work *resume)
{
    wf_wait_resume_inline(resume);
}

/* --- yield, sleep ----------------------------------------------------------------------------- */

/* In a cancelled scope, or one with a task that was cancelled alone. 0: it is not that of
 * `self`. */
static WF_NOINLINE int refuse_yield(struct wf_fiber *self)
{
    return wf_env_cancelled(self->env) != 0 ? -ECANCELED : 0;
}

/* What a yield costs is mostly instructions: one look at the scope, and the last call is a jump. */
int weft_yield(void)
{
    int rc = 0;
    struct wf_fiber *self = wf_enter_task(&rc);
    if (wf_unlikely(self == NULL)) {
        return rc;
    }
    /* relaxed: see wf_scope_cancelled */
    if (wf_unlikely(wf_load_relaxed(&self->env->scope->cancel) != 0) &&
        (rc = refuse_yield(self)) < 0) {
        return rc;
    }
    return wf_yield_last(self);
}

int wf_give_way(struct wf_fiber *self, int rc)
{
    self->budget = 0;
    wf_yield(self);
    return rc;
}

/* On the thread of the worker whose wheel it is. What fires is one of many, maybe, and cold:
 * nothing is touched but the call, and there is one wake check for all. */
static void sleep_over(struct wf_timer *timer)
{
    struct wf_call *call = wf_container_of(timer, struct wf_call, timer);
    struct wf_worker *worker = wf_container_of(timer->wheel, struct wf_worker, wheel);
    if (wf_wait_take(&call->wait, WF_WAIT_GRANTED, NULL) != WF_CLAIM_OWED) {
        return;
    }
    struct wf_work *resume = call->wait.resume;
    struct wf_pool *pool = pool_of(resume); /* of a value, another may await it than has begun it */
    if (pool == worker->pool) {
        wf_ready_fired(worker, resume); /* LAST TOUCH */
    } else {
        wf_ready_any(pool, resume); /* LAST TOUCH */
    }
}

/* The same of a stack that sleeps itself: so its pool is the wheel's, and it need not be looked
 * at. */
static void stack_sleep_over(struct wf_timer *timer)
{
    struct wf_call *call = wf_container_of(timer, struct wf_call, timer);
    struct wf_worker *worker = wf_container_of(timer->wheel, struct wf_worker, wheel);
    if (wf_wait_take(&call->wait, WF_WAIT_GRANTED, NULL) == WF_CLAIM_OWED) {
        if (wf_likely(call->wait.env == NULL)) {
            const struct wf_task *task = call->wait.near;
            wf_prefetch_write(task);
            wf_prefetch_write((const char *)task + WF_LINE);
            wf_prefetch_write(task + 1); /* a pooled one's argument */
        }
        wf_ready_fired(worker, call->wait.resume); /* LAST TOUCH */
    }
}

static ssize_t sleep_finish(struct wf_call *call)
{
    if (wf_wait_outcome(&call->wait) == WF_WAIT_GRANTED) {
        /* its timer has fired, and touches us no more (T.4): no need for the wheel's lock */
        return 0;
    }
    /* also waits until a timer that fires right now is through with us */
    (void)wf_timer_del(&call->timer);
    return -ECANCELED;
}

static const struct wf_wait_ops sleep_ops = {
    .cancel = wf_wait_cancel_claim, .finish = sleep_finish, .name = "weft_sleep"};

/* `duration` from now, without overflow. */
static int64_t deadline_after(weft_time duration)
{
    int64_t deadline_ns;
    if (__builtin_add_overflow(wf_sys.now_ns(), duration, &deadline_ns)) {
        return INT64_MAX;
    }
    return deadline_ns;
}

static ssize_t sleep_begin(struct wf_call *call, struct wf_work *resume, struct wf_worker *worker,
                           weft_time duration, void (*over)(struct wf_timer *timer))
{
    wf_wait_init(&call->wait, resume, &sleep_ops);
    wf_timer_init(&call->timer, over);
    wf_timer_add(&worker->wheel, &call->timer, deadline_after(duration));
    return WF_PENDING;
}

int weft_sleep(weft_time duration)
{
    if (duration <= 0) {
        return weft_yield();
    }
    int rc = 0;
    struct wf_fiber *self = wf_enter_call(&rc);
    if (self == NULL) {
        return rc;
    }
    struct wf_call call;
    ssize_t begun = sleep_begin(&call, &self->resume, self->worker, duration, stack_sleep_over);
    call.wait.near = self->env->task;
    return (int)wf_call_end(self, &call, begun);
}

weft_val weft_sleep_v_(weft_time duration, const weft_place *place)
{
    struct wf_begun b;
    return wf_v_begin(&b, WF_V_CALL, place)
               ? wf_v_end(&b, sleep_begin(b.call, b.resume, b.self->worker, duration, sleep_over))
               : b.val;
}

/* --- a kernel operation ----------------------------------------------------------------------- */

/* The completion claims; cancellation does not, it only asks the kernel: what counts is the op's
 * own completion. */
static void op_done(struct wf_op *op)
{
    struct wf_wait *wait = op->waiter;
    wf_use_end(wf_container_of(wait, struct wf_call, wait), op);
    (void)wf_wait_claim(wait, WF_WAIT_GRANTED);
}

static struct wf_op *op_of(struct wf_call *call)
{
    return call->object;
}

void wf_op_cancel(struct wf_wait *wait)
{
    wf_io_cancel(op_of(wf_container_of(wait, struct wf_call, wait)));
}

ssize_t wf_op_finish(struct wf_call *call)
{
    struct wf_op *op = op_of(call);
    if (wf_unlikely(wf_use_was_closed(call))) {
        op->fd = WF_FD_CLOSED;
        return op->res == -ECANCELED ? -EBADF : op->res;
    }
    return op->res;
}

static const struct wf_wait_ops op_ops = {
    .cancel = wf_op_cancel, .finish = wf_op_finish, .name = "an I/O operation"};

static void prepare(struct wf_op *op, struct wf_call *call, struct wf_work *resume,
                    struct wf_worker *worker, const struct wf_wait_ops *ops)
{
    wf_wait_init(&call->wait, resume, ops);
    call->object = op;
    op->waiter = &call->wait;
    op->done = op_done;
    wf_io_prepare(worker, op);
}

void wf_op_refuse(struct wf_op *op, struct wf_call *call, struct wf_worker *worker,
                  const struct wf_wait_ops *ops, int32_t result)
{
    prepare(op, call, NULL, worker, ops);
    call->detail = 0; /* as wf_use_begin: no closing */
    wf_io_refuse(op, result);
    (void)wf_wait_claim(&call->wait, WF_WAIT_GRANTED);
}

ssize_t wf_op_begin(struct wf_op *op, struct wf_call *call, struct wf_work *resume,
                    struct wf_worker *worker, const struct wf_wait_ops *ops)
{
    prepare(op, call, resume, worker, ops);
    if (wf_likely(wf_use_begin(call, op))) {
        wf_io_start(op);
    } else {
        wf_io_refuse(op, -EBADF);
        (void)wf_wait_claim(&call->wait, WF_WAIT_GRANTED);
    }
    return WF_PENDING;
}

/* From a loop, which has no ring: to the pool and back. */
static WF_COLD ssize_t await_op_elsewhere(struct wf_fiber *self, struct wf_op *op)
{
    struct wf_home *home = wf_exec_lend(self);
    ssize_t result = wf_await_op(op);
    wf_exec_take_back(self, home);
    return result;
}

ssize_t wf_await_op(struct wf_op *op)
{
    int rc = 0;
    struct wf_fiber *self = wf_enter_call(&rc);
    if (self == NULL) {
        return rc;
    }
    if (wf_unlikely(wf_exec_is_loop(wf_fiber_home(self)))) {
        return await_op_elsewhere(self, op);
    }
    struct wf_call call;
    /* In a scope whose deadline has expired the kernel tries once, when it gets the entry, and lets
     * go: wf_op_cancel. */
    ssize_t result = wf_op_begin(op, &call, &self->resume, self->worker, &op_ops);
    wf_poll_if_idle(self->worker);
    if (wf_wait_outcome(&call.wait) != WF_WAIT_SETUP) {
        result = wf_op_finish(&call); /* sends, as a rule: no suspension for them */
    }
    return wf_call_end(self, &call, result);
}
