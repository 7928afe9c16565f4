/* await.c: how a call of the API waits: enter, enlist for cancellation, suspend, delist; see wait.h
 * for the protocol. Also the waits that belong to no object: yield, sleep, a kernel operation, a
 * blocking call. */
#include "io/op.h"
#include "pool/base/check.h"
#include "pool/base/sys.h"
#include "pool/blocking.h"
#include "src/core.h"

struct wf_fiber *wf_enter_task(int *rc)
{
    struct wf_fiber *self = wf_self();
    if (wf_unlikely(self == NULL || self->env == NULL)) {
        *rc = wf_forked ? -ENOSYS : -EPERM;
        return NULL;
    }
    return self;
}

struct wf_fiber *wf_enter_call(int *rc)
{
    struct wf_fiber *self = wf_enter_task(rc);
    if (self != NULL && (wf_scope_cancelled(self->env->scope) & WF_CANCEL_FIRED) != 0) {
        *rc = -ECANCELED;
        return NULL;
    }
    return self;
}

/* --- the wait --------------------------------------------------------------------------------- */

void wf_wait_resume(struct wf_fiber *fiber)
{
    /* A suspended fiber's worker is that of its last run: of the right pool, which is all that is
     * asked of it. */
    wf_ready_any(fiber->worker->pool, &fiber->resume);
}

void wf_wait_cancel_claim(struct wf_wait *wait)
{
    (void)wf_wait_claim(wait, WF_WAIT_CANCELLED);
}

void wf_wait_init(struct wf_wait *wait, struct wf_fiber *self)
{
    /* relaxed: enlisting publishes it, under a lock */
    wf_store_relaxed(&wait->state, WF_WAIT_SETUP);
    wait->fiber = self;
    wf_list_init(&wait->in_queue);
    wf_list_init(&wait->in_scope);
    wait->scope = NULL;
    wait->cancel = wf_wait_cancel_claim;
    wait->item = NULL;
}

int wf_wait_enlist(struct wf_wait *wait, struct wf_scope *scope)
{
    wf_lock(&scope->lock);
    bool cancelled = wf_scope_cancelled(scope) != 0;
    if (!cancelled) {
        wf_list_push_back(&scope->waits, &wait->in_scope);
        wait->scope = scope;
    }
    wf_unlock(&scope->lock);
    return cancelled ? -ECANCELED : 0;
}

void wf_wait_delist(struct wf_wait *wait)
{
    struct wf_scope *scope = wait->scope;
    if (scope == NULL) {
        return;
    }
    wf_lock(&scope->lock);
    wf_list_unlink(&wait->in_scope);
    wf_unlock(&scope->lock);
    wait->scope = NULL;
}

static void after_block(struct wf_fiber *now, struct wf_fiber *before, void *arg)
{
    if (!wf_wait_arm(arg)) {
        wf_switch_back(now, before);
    }
}

enum wf_wait_state wf_wait_block(struct wf_wait *wait)
{
    enum wf_wait_state outcome = wf_wait_outcome(wait);
    if (outcome == WF_WAIT_SETUP) {
        wf_suspend(wait->fiber, after_block, wait);
        outcome = wf_wait_outcome(wait);
        wf_check_inner(outcome > WF_WAIT_ARMED);
    }
    return outcome;
}

/* --- yield, sleep ----------------------------------------------------------------------------- */

int weft_yield(void)
{
    int rc = 0;
    struct wf_fiber *self = wf_enter_call(&rc);
    if (self == NULL) {
        return rc;
    }
    if (wf_scope_cancelled(self->env->scope) != 0) {
        return -ECANCELED;
    }
    wf_yield(self);
    return 0;
}

struct sleep_wait {
    struct wf_wait wait;
    struct wf_timer timer;
};

static void sleep_over(struct wf_timer *timer)
{
    struct sleep_wait *sleep = wf_container_of(timer, struct sleep_wait, timer);
    (void)wf_wait_claim(&sleep->wait, WF_WAIT_GRANTED);
}

/* `duration` from now, without overflow. */
static int64_t deadline_after(weft_time duration)
{
    int64_t deadline_ns;
    if (__builtin_add_overflow(wf_sys.now_ns(), duration, &deadline_ns)) {
        return INT64_MAX;
    }
    return deadline_ns;
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
    struct sleep_wait sleep;
    wf_wait_init(&sleep.wait, self);
    wf_timer_init(&sleep.timer, sleep_over);
    rc = wf_wait_enlist(&sleep.wait, self->env->scope);
    if (rc < 0) {
        return rc;
    }
    wf_timer_add(&self->worker->wheel, &sleep.timer, deadline_after(duration));
    enum wf_wait_state outcome = wf_wait_block(&sleep.wait);
    /* also waits until a timer that fires right now is through with us */
    (void)wf_timer_del(&sleep.timer);
    wf_wait_delist(&sleep.wait);
    return outcome == WF_WAIT_GRANTED ? 0 : -ECANCELED;
}

/* --- a kernel operation ----------------------------------------------------------------------- */

struct op_wait {
    struct wf_wait wait;
    struct wf_op *op;
};

/* The completion claims; cancellation does not, it only asks the kernel: what counts is the op's
 * own completion. */
static void op_done(struct wf_op *op)
{
    struct op_wait *waiting = op->waiter;
    (void)wf_wait_claim(&waiting->wait, WF_WAIT_GRANTED);
}

static void op_cancel(struct wf_wait *wait)
{
    wf_io_cancel(wf_container_of(wait, struct op_wait, wait)->op);
}

ssize_t wf_await_op(struct wf_op *op)
{
    int rc = 0;
    struct wf_fiber *self = wf_enter_call(&rc);
    if (self == NULL) {
        return rc;
    }
    struct op_wait waiting;
    wf_wait_init(&waiting.wait, self);
    waiting.wait.cancel = op_cancel;
    waiting.op = op;
    op->waiter = &waiting;
    op->done = op_done;
    wf_io_submit(self->worker, op);
    if (wf_wait_enlist(&waiting.wait, self->env->scope) < 0) {
        /* an expired deadline: the kernel tries once, when it gets the entry, and lets go */
        wf_io_cancel(op);
    }
    (void)wf_wait_block(&waiting.wait);
    wf_wait_delist(&waiting.wait);
    return op->res;
}

/* --- a call that blocks a thread -------------------------------------------------------------- */

struct blocking_wait {
    struct wf_blocking_request request;
    struct wf_wait wait;
};

static void blocking_done(struct wf_blocking_request *request)
{
    struct blocking_wait *waiting = wf_container_of(request, struct blocking_wait, request);
    (void)wf_wait_claim(&waiting->wait, WF_WAIT_GRANTED);
}

int weft_blocking(weft_fn *fn, void *arg)
{
    int rc = 0;
    struct wf_fiber *self = wf_enter_call(&rc);
    if (self == NULL) {
        return rc;
    }
    if (wf_scope_cancelled(self->env->scope) != 0) {
        return -ECANCELED; /* an expired deadline: it cannot be tried without waiting */
    }
    struct blocking_wait waiting = {.request = {.call = fn, .arg = arg, .done = blocking_done}};
    wf_wait_init(&waiting.wait, self);
    rc = wf_blocking_submit(wf_runtime_of(self)->blocking, &waiting.request);
    if (rc < 0) {
        return rc;
    }
    (void)wf_wait_block(&waiting.wait);
    return waiting.request.result;
}
