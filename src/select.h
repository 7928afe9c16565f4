/* select.h: what an object must offer to be waited at by weft_select, and how its waiters are
 * woken. select.c has the protocol.
 *
 * Who may call: src/ only; the functions of a wf_case_kind only under the object's lock. */
#ifndef WF_SELECT_H
#define WF_SELECT_H

#include "pool/base/lock.h"
#include "pool/base/sys.h"
#include "src/call.h"
#include <weft/select.h>

/* What an operation under a lock leaves to be done after it. */
struct wf_owed {
    /* The waiters of won claims, to be resumed; by work->next: a suspended stack's work is in no
     * queue. */
    struct wf_work *first, *last;
    void *garbage; /* memory to be released, or NULL */
};

/* What a try may say besides a result or WF_PENDING: let go of all locks and call `unlocked`. */
#define WF_CASE_UNLOCK ((ssize_t)INT32_MIN + 1)

struct wf_case_kind {
    struct wf_lock *(*lock)(weft_case *of);
    /* The operation, if it need not wait: its result; WF_PENDING; WF_CASE_UNLOCK. */
    ssize_t (*try_locked)(weft_case *of, struct wf_owed *owed);
    /* Into the object's queue. */
    void (*enlist_locked)(weft_case *of, struct wf_waiter *place);
    /* Its place was granted: the result. */
    ssize_t (*granted_locked)(weft_case *of);
    /* Under no lock, if a try can ask for it: the operation's result; WF_PENDING: try all again;
     * -ENOMEM: the select fails. */
    ssize_t (*unlocked)(weft_case *of);
};

extern const struct wf_case_kind wf_case_send, wf_case_recv;   /* chan.c */
extern const struct wf_case_kind wf_case_watch, wf_case_bcast; /* watch.c */
extern const struct wf_case_kind wf_case_event;                /* event.c */

/* Of a wait at several objects. Its places share memory that items go to, so an item is copied
 * after the claim; that is in time, because the waiter takes the lock before it looks. */
extern const struct wf_wait_ops wf_select_ops;

/* Under the lock: the longest-waiting place, out of the queue; or NULL. */
WF_INLINE struct wf_waiter *wf_waitq_pop(struct wf_list *queue)
{
    struct wf_list *node = wf_list_pop_front(queue);
    return node != NULL ? wf_container_of(node, struct wf_waiter, in_queue) : NULL;
}

/* The object was closed or freed: what a wait there returns is left in its place. */
WF_INLINE void wf_set_code_of_shut(struct wf_waiter *place, int code)
{
    place->item = (void *)(intptr_t)code; // NOLINT(performance-no-int-to-ptr)
}

WF_INLINE int wf_code_of_shut(const struct wf_waiter *place)
{
    return (int)(intptr_t)place->item;
}

WF_INLINE void wf_owe(struct wf_owed *owed, struct wf_work *work)
{
    work->next = NULL;
    if (owed->first == NULL) {
        owed->first = work;
    } else {
        owed->last->next = work;
    }
    owed->last = work;
}

/* Under the lock of the place's object, the place unlinked: claims its wait. False: lost. */
WF_INLINE bool wf_claim_owing(struct wf_waiter *place, enum wf_wait_state cause,
                              struct wf_owed *owed)
{
    struct wf_wait *wait = place->wait;
    enum wf_claim claim = wf_wait_take(wait, cause, place);
    if (claim == WF_CLAIM_OWED) {
        wf_owe(owed, wait->resume);
    }
    return claim != WF_CLAIM_LOST;
}

/* Under the lock of the place's object, which is being closed: takes the wait's other places there
 * out of the object's queues. */
WF_COLD void wf_select_leave_locked(struct wf_waiter *place);

/* Under the lock: ends all waits of a queue. Each finds `code` in its own place, and does not touch
 * the object again: it may be freed. Nor do we touch the waiter after the claim, so a select that
 * waits at the object in several places leaves all of them before it. Whether there was any. */
WF_INLINE bool wf_shut_owing(struct wf_list *queue, int code, struct wf_owed *owed)
{
    bool any = false;
    struct wf_waiter *place;
    while ((place = wf_waitq_pop(queue)) != NULL) { /* ends: the queue is under our lock */
        wf_set_code_of_shut(place, code);           /* harmless if the claim fails */
        if (place->wait->ops == &wf_select_ops) {
            wf_select_leave_locked(place);
        }
        any |= wf_claim_owing(place, WF_WAIT_SHUT, owed);
    }
    return any;
}

/* Under no lock. */
WF_INLINE void wf_run_owed(struct wf_owed *owed)
{
    if (wf_unlikely(owed->garbage != NULL)) {
        wf_sys.release(owed->garbage);
    }
    struct wf_work *work = owed->first;
    while (work != NULL) { /* ends: the list is ours */
        struct wf_work *next = work->next;
        wf_wait_resume(work); /* LAST TOUCH */
        work = next;
    }
}

#endif
