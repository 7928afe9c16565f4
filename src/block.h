/* block.h: how a stack lies down in a call that waits, in line, for the calls by which tasks hand
 * over to each other: semaphore, mutex, event, channel. Everybody else calls wf_call_block
 * (block.c).
 *
 * Such a call tries in its public function, and if it has to wait *leaves* that in its last line
 * (wf_fiber_lying, or _for) for a function of its own, which lies down in the stack's own call, in
 * its block (wf_own_call, slot.h). So a call that need not wait makes no frame for it; and the
 * return to the program, which the processor would mispredict when it resumes a stack that waits
 * somewhere else, is one that it predicts. The other returns between the program and the switch,
 * which are few, it predicts where stacks wait in the same function: so both sides of a channel, or
 * of a generator, lie down in one.
 *
 * Who may call: src/ only. */
#ifndef WF_BLOCK_H
#define WF_BLOCK_H

#include "pool/base/check.h"
#include "src/core.h"
#include <weft/fork.h>

/* The `after` of a stack that lies down in `wait`: arms it. */
void wf_after_block(struct wf_fiber *now, struct wf_fiber *before, void *wait);

/* wf_call_block_inline when it is not plain: the wait has not `entered` its slot, or something is
 * cancelled. */
enum wf_wait_state wf_call_block_otherwise(struct wf_fiber *self, struct wf_call *call,
                                           bool entered);

/* The call of a stack that lies down by wf_fiber_lie: in its own block, so that it may stay in the
 * slot from one wait to the next. */
WF_INLINE struct wf_call *wf_own_call(struct wf_fiber *self)
{
    _Static_assert(sizeof(struct wf_call) <= sizeof self->call, "the block's share");
    return (struct wf_call *)(void *)self->call;
}

/* wf_fiber_lie when the own call does not stay in the slot yet. */
enum wf_wait_state wf_fiber_lie_first(struct wf_fiber *self, struct wf_call *call);

/* Something is cancelled in the scope of a stack that lies down in its own call: maybe that. */
void wf_fiber_flagged(struct wf_fiber *self);

/* wf_wait_resume of anything but a stack that has run here last. */
void wf_wait_resume_elsewhere(struct wf_work *resume);

/* wf_wait_resume in line. A stack that has run on this worker last is most likely: its pool need
 * not be looked at. Which worker that is the thread knows, by the deque that forks go to; where a
 * task has left our stacks for one of its own, too. */
WF_INLINE void wf_wait_resume_inline(struct wf_work *resume)
{
    if (!WF_MODEL && wf_likely(resume->run == wf_fiber_run_resume)) {
        struct wf_worker *worker = wf_container_of(resume, struct wf_fiber, resume)->worker;
        if (wf_likely((void *)&worker->deque == (void *)weft_deque_here_())) {
            wf_ready_inline(worker, resume);
            return;
        }
    }
    WF_MODEL ? wf_wait_resume(resume) : wf_wait_resume_elsewhere(resume);
}

/* Suspends until the wait is claimed (not at all if it is already). `name`: of the public call. */
WF_INLINE void wf_wait_lie(struct wf_fiber *self, struct wf_wait *wait, const char *name)
{
    _Static_assert(WF_WAIT_SETUP == 0 && WF_WAIT_ARMED == 1, "wf_suspend_arming");
    /* relaxed: a hint; arming decides */
    if (wf_likely((wf_load_relaxed(&wait->state) & WF_WAIT_CAUSE) == WF_WAIT_SETUP)) {
        self->waits_for = name;
        self->waits_at = wait;
        wf_suspend_arming(self, wf_after_block, &wait->state);
        self->waits_for = NULL;
    }
}

/* Suspends until a call that has been queued is claimed, within reach of what cancels `self`: how
 * the wait ended. The caller finishes it. */
WF_INLINE enum wf_wait_state wf_call_block_inline(struct wf_fiber *self, struct wf_call *call,
                                                  const char *name)
{
    struct wf_env *env = self->env;
    bool entered = wf_slot_enter(&env->slot, &call->wait, &wf_own_call(self)->wait);
    if (wf_unlikely(!entered || wf_wait_is_flagged(env))) {
        return wf_call_block_otherwise(self, call, entered);
    }
    wf_wait_lie(self, &call->wait, name);
    wf_wait_leave(&call->wait, self->env); /* the same env: it need not be kept over the switch */
    return wf_wait_outcome(&call->wait);
}

/* The same in the own call, which has been queued by wf_call_queue_staying under self's env. */
WF_INLINE enum wf_wait_state wf_fiber_lie(struct wf_fiber *self, struct wf_call *call,
                                          const char *name)
{
    struct wf_env *env = self->env;
    if (wf_unlikely(!wf_slot_holds(&env->slot, &call->wait))) {
        return wf_fiber_lie_first(self, call);
    }
    self->waits_for = name;
    self->waits_at = call;
    wf_suspend_watching(self, wf_after_block, &call->wait.state, &env->scope->cancel,
                        wf_fiber_flagged);
    self->waits_for = NULL;
    return wf_wait_outcome(&call->wait);
}

#endif
