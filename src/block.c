/* block.c: how a stack lies down in a call that waits: enter the slot, suspend, leave; see block.h,
 * and wait.h for the protocol. A file of its own so that tests/model/model_stack.c has it, too. */
#include "src/block.h"
#include "pool/base/check.h"

void wf_wait_cancel_claim(struct wf_wait *wait)
{
    (void)wf_wait_claim(wait, WF_WAIT_CANCELLED);
}

void wf_after_block(struct wf_fiber *now, struct wf_fiber *before, void *wait)
{
    if (!wf_wait_arm(wait)) {
        wf_switch_back(now, before);
    }
}

enum wf_wait_state wf_wait_block(struct wf_fiber *self, struct wf_wait *wait)
{
    wf_wait_lie(self, wait, wait->ops->name);
    enum wf_wait_state outcome = wf_wait_outcome(wait);
    wf_check_inner(outcome > WF_WAIT_ARMED);
    return outcome;
}

enum wf_wait_state wf_call_block_otherwise(struct wf_fiber *self, struct wf_call *call,
                                           bool entered)
{
    struct wf_wait *wait = &call->wait;
    struct wf_env *env = self->env;
    if (entered ? wf_wait_retract(wait, env) : !wf_wait_enter_locked(wait, env)) {
        wait->ops->cancel(wait); /* so it is cancelled, unless what it waits for came meanwhile */
        return wf_wait_block(self, wait);
    }
    wf_wait_lie(self, wait, wait->ops->name);
    wf_wait_leave(wait, self->env);
    return wf_wait_outcome(wait);
}

void wf_fiber_flagged(struct wf_fiber *self)
{
    struct wf_wait *wait = &wf_own_call(self)->wait;
    if (wf_env_cancelled(self->env) != 0) {
        wait->ops->cancel(wait); /* unless it has ended already */
    }
}

enum wf_wait_state wf_fiber_lie_first(struct wf_fiber *self, struct wf_call *call)
{
    struct wf_wait *wait = &call->wait;
    struct wf_env *env = self->env;
    if (wf_slot_stay(&env->slot, wait)) {
        if (wf_wait_is_flagged(env)) {
            wf_fiber_flagged(self);
        }
    } else if (!wf_wait_enter_to_stay(wait, env)) {
        wait->ops->cancel(wait); /* unless what it waits for came meanwhile */
    }
    wf_wait_lie(self, wait, wait->ops->name);
    wf_wait_delist(wait); /* if another strand has the slot */
    return wf_wait_outcome(wait);
}

ssize_t wf_call_block(struct wf_fiber *self, struct wf_call *call)
{
    (void)wf_call_block_inline(self, call, call->wait.ops->name);
    return call->wait.ops->finish(call);
}
