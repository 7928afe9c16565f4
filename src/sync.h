/* sync.h: what the objects of <weft/sync.h> share, each in its own file: sem.c, mutex.c, rwlock.c,
 * event.c (events, latches), barrier.c, once.c, flight.c, ticker.c, reuse.c.
 *
 * Such an object is a lock, a few words and one queue of waits (waitq.h), all under the lock. It
 * suspends in the form of call.h: a beginning that takes what is there or stands in line, and an
 * end that leaves the line. Whoever gives something away (a release, an unlock, a set) claims
 * waiters under the lock, so a queued waiter is served before any newcomer, and in order.
 *
 * S.1  The lock decides. A waiter that was granted something has it, cancelled or not (E25); one
 *      that was cancelled before has nothing, and whoever would have served it serves the next.
 * S.2  Leaving may serve: where a waiter at the head held others up (it wanted more than there is),
 *      its end looks at the line again. So a wait that is dropped from the line by somebody else,
 *      being over, must still run its end, and does: the end is the waiter's own.
 * S.3  An end that was SHUT does not touch the object: it may be gone. Every other end takes the
 *      object's lock if it says so where it stands; that makes it the last one to touch the object
 *      before its task goes on, and then the object may lie on that task's stack.
 * S.4  Zeroed memory was never initialised, and is nobody's: fini returns at once (E41). A queue
 *      that was initialised has a `next`.
 * S.5  In a forked child nobody takes a lock: a thread that the child does not have may hold it.
 *      What cannot return -ENOSYS does nothing, and says that there is nothing. */
#ifndef WF_SYNC_H
#define WF_SYNC_H

#include "pool/base/check.h"
#include "src/core.h"
#include "src/guard.h"
#include "src/live.h"
#include "src/waitq.h"

/* Beside a struct wf_NAME that is behind an opaque weft_NAME. */
#define WF_FITS(name)                                                   \
    _Static_assert(sizeof(struct wf_##name) <= sizeof(weft_##name),     \
                   "weft_" #name " is too small");                      \
    _Static_assert(_Alignof(struct wf_##name) <= _Alignof(weft_##name), \
                   "weft_" #name " is not aligned enough")

WF_INLINE bool wf_sync_is_zeroed(const struct wf_list *waiters)
{
    return waiters->next == NULL;
}

/* For fini: there is nothing to end. */
WF_INLINE bool wf_sync_is_nobodys(const struct wf_list *waiters)
{
    return wf_forked || wf_sync_is_zeroed(waiters);
}

/* The end of a wait at an object that begins with its lock, call->object, where the grant itself is
 * all that is handed over. Takes the lock, unless SHUT: S.3. */
WF_INLINE ssize_t wf_sync_finish(struct wf_call *call)
{
    enum wf_wait_state outcome = wf_wait_outcome(&call->wait);
    if (outcome == WF_WAIT_SHUT) {
        return -ESHUTDOWN;
    }
    struct wf_lock *lock = call->object;
    wf_lock(lock); /* a granter may be at the object, and look at our place, until here */
    if (outcome != WF_WAIT_GRANTED) { /* else the granter has done it */
        wf_list_unlink(&call->place.in_queue);
    }
    wf_unlock(lock);
    return outcome == WF_WAIT_GRANTED ? 0 : -ECANCELED;
}

/* The beginning of weft_event_wait, for who waits for an event in another's name: `ops` says how it
 * ends, by wf_sync_finish and what follows. The call's object is the event, which begins with its
 * lock. */
ssize_t wf_event_begin(weft_event *event, struct wf_call *call, struct wf_work *resume,
                       const struct wf_wait_ops *ops);

#endif
