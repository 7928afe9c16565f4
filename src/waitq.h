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

#endif
