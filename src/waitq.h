/* waitq.h: first-in-first-out queue of waits at an object, under that object's lock: semaphore,
 * channel, and whatever is waited at. It orders; wait.h decides who ends a wait.
 *
 * A wait that was cancelled stays in the queue until its owner, running again, takes it out under
 * the lock; granters pass over it, because their claim fails. So those behind it keep their
 * order. */
#ifndef WF_WAITQ_H
#define WF_WAITQ_H

#include "src/wait.h"

/* Claims the longest-waiting live wait for `cause`, and takes it out of the queue. False: nobody
 * waits. */
WF_INLINE bool wf_waitq_claim_first(struct wf_list *queue, enum wf_wait_state cause)
{
    struct wf_list *node = queue->next;
    while (node != queue) { /* ends: the queue is under our lock */
        struct wf_waiter *place = wf_container_of(node, struct wf_waiter, in_queue);
        node = node->next;
        wf_list_unlink(&place->in_queue); /* before the claim: the waiter may be gone after it */
        if (wf_wait_claim_at(place->wait, cause, place)) {
            return true;
        }
    }
    return false;
}

/* Claims all that wait, for `cause`, and empties the queue: whether anybody was claimed. */
WF_INLINE bool wf_waitq_claim_all(struct wf_list *queue, enum wf_wait_state cause)
{
    bool any = false;
    while (wf_waitq_claim_first(queue, cause)) { /* ends: each turn takes one out */
        any = true;
    }
    return any;
}

/* The place of the longest-waiting live wait, still in the queue, or NULL: for granters that look
 * at what is wanted before they give it, and for newcomers that must not pass anybody. Takes the
 * ended ones before it out. A wait that is seen alive may be cancelled before it is claimed. */
WF_INLINE struct wf_waiter *wf_waitq_first(struct wf_list *queue)
{
    while (!wf_list_is_empty(queue)) { /* ends: each turn takes one out */
        struct wf_waiter *place = wf_container_of(queue->next, struct wf_waiter, in_queue);
        /* relaxed: a guess; who needs to know claims */
        if (wf_wait_is_open(wf_load_relaxed(&place->wait->state))) {
            return place;
        }
        wf_list_unlink(&place->in_queue);
    }
    return NULL;
}

/* Takes `place`, which wf_waitq_first has given, out of its queue and claims it. */
WF_INLINE bool wf_waitq_grant(struct wf_waiter *place)
{
    wf_list_unlink(&place->in_queue); /* before the claim: the waiter may be gone after it */
    return wf_wait_claim_at(place->wait, WF_WAIT_GRANTED, place);
}

/* wf_waitq_grant, and does not resume: in *owed what the caller resumes when it has let go of the
 * lock (wf_wait_resume), if anything: so that who wakes up at once does not find it held. */
WF_INLINE bool wf_waitq_grant_owing(struct wf_waiter *place, struct wf_work **owed)
{
    struct wf_wait *wait = place->wait;
    wf_list_unlink(&place->in_queue); /* before the claim: the waiter may be gone after it */
    enum wf_claim claim = wf_wait_take(wait, WF_WAIT_GRANTED, place);
    if (claim == WF_CLAIM_OWED) {
        *owed = wait->resume; /* it lies until then */
    }
    return claim != WF_CLAIM_LOST;
}

/* What happens to most waits, of one that has to be in no list afterwards: `place` is of a stack,
 * or a frame, that lies and that nobody else ends now. It is granted and taken out, and the caller
 * resumes *owed when it has let go of the lock. False: it is not so, and nothing was done. */
WF_INLINE bool wf_waitq_grant_lying(struct wf_waiter *place, struct wf_work **owed)
{
    struct wf_wait *wait = place->wait;
    if (wf_unlikely(!wf_wait_take_armed(wait, place))) {
        return false;
    }
    wf_list_drop(&place->in_queue); /* after the claim: it lies until we resume it */
    *owed = wait->resume;
    return true;
}

#endif
