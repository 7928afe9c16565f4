/* block.h: how a stack lies down in a call that waits, in line, for the calls by which tasks hand over to each
 * other: semaphore, mutex, event, channel. Everybody else calls wf_call_block (await.c), which is made of this.
 *
 * Such a call tries in its public function, and if it has to wait *leaves* that by a call in its last line, of
 * a function of its own that is not inline and holds the wf_call. So a call that need not wait makes no frame for
 * it; and between the program and the switch there are few levels, each of which is a return that the processor
 * mispredicts when it resumes a stack that waits somewhere else.
 *
 * Who may call: src/ only. */
#ifndef WF_BLOCK_H
#define WF_BLOCK_H

#include "pool/base/check.h"
#include "src/core.h"

/* The `after` of a stack that lies down in `wait`: arms it. */
void wf_after_block(struct wf_fiber *now, struct wf_fiber *before, void *wait);

/* Cancelled before it lay down: so is the wait, unless what it waits for came meanwhile. How it ended. */
WF_COLD enum wf_wait_state wf_block_cancelled(struct wf_fiber *self, struct wf_wait *wait);

/* Suspends until the wait is claimed (not at all if it is already): how it ended. */
WF_INLINE enum wf_wait_state wf_wait_block_inline(struct wf_fiber *self, struct wf_wait *wait)
{
    enum wf_wait_state outcome = wf_wait_outcome(wait);
    if (wf_likely(outcome == WF_WAIT_SETUP)) {
        self->waits_for = wait->ops->name;
        self->waits_at = wait;
        wf_suspend(self, wf_after_block, wait);
        self->waits_for = NULL;
        outcome = wf_wait_outcome(wait);
        wf_check_inner(outcome > WF_WAIT_ARMED);
    }
    return outcome;
}

/* The same for a call that has been queued, and within reach of what cancels `self`. The caller finishes it. */
WF_INLINE enum wf_wait_state wf_call_block_inline(struct wf_fiber *self, struct wf_call *call)
{
    struct wf_env *env = self->env;
    if (wf_unlikely(!wf_wait_enter(&call->wait, env))) {
        return wf_block_cancelled(self, &call->wait);
    }
    enum wf_wait_state outcome = wf_wait_block_inline(self, &call->wait);
    wf_wait_leave(&call->wait, self->env); /* the same env: it need not be kept over the switch */
    return outcome;
}

#endif
