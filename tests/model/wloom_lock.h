/* wloom_lock.h: what pool/base/lock.h is in a model-checking build: a lock that blocks at once and
 * needs one step each way. The real algorithm has a harness of its own, model_lock.c. */
#ifndef WLOOM_LOCK_H
#define WLOOM_LOCK_H

#include "tests/model/wloom_engine.h"

WF_INLINE void wf_lock(struct wf_lock *lock)
{
    wloom_lock(&lock->state.value_);
}

WF_INLINE bool wf_lock_at_once(struct wf_lock *lock)
{
    wf_lock(lock); /* both ways at once: what follows is the same */
    return true;
}

WF_INLINE void wf_unlock(struct wf_lock *lock)
{
    wloom_unlock(&lock->state.value_);
}

#endif
