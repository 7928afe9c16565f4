/* awaiter.h: who is told when a task ends: the word in the task that is its state and heads the list
 * of its awaiters.
 *
 * An *awaiter* is a record in the memory of whoever wants to know: a suspended stack, a frame, a
 * call that waits for several tasks, a continuation. The *finisher* is whoever ran the task's body.
 * Who may call: src/ only.
 *
 *      RUNNING (0) --[wf_awaiters_add]--> newest of a list of wf_awaiter --+
 *         |                                                                |
 *         +------------------[wf_awaiters_close, exchange]--> DONE (1) <---+
 *
 * RUNNING or a list: queued or running; the result is not valid. DONE: final; the finisher has
 * touched the task for the last time.
 *
 * G.1  An awaiter that was added is told exactly once, after DONE, with the finisher's result
 *      visible; one that was refused is never told, and the result is visible to the refused.
 * G.2  An awaiter is not touched after its `ended` was called.
 * G.3  Awaiters are told in the order in which they were added. */
#ifndef WF_AWAITER_H
#define WF_AWAITER_H

#include "pool/base/atomic.h"
#include "pool/base/check.h"

#define WF_TASK_RUNNING ((uintptr_t)0)
#define WF_TASK_DONE    ((uintptr_t)1)

struct wf_awaiter;

/* How a task ended. */
struct wf_outcome {
    int rc;
    bool cut_short; /* rc is -ECANCELED, as the answer to a cancellation */
};

/* On the finisher's stack, under no lock; may not suspend. The task's memory may be gone already,
 * unless the awaiter keeps it; the awaiter's may be gone when this returns. */
typedef void wf_ended_fn(struct wf_awaiter *awaiter, struct wf_outcome outcome);

struct wf_awaiter {
    struct wf_awaiter *next; /* the one added before it; the list's from add to `ended` */
    wf_ended_fn *ended;      /* immutable once added */
};

struct wf_awaiters {
    WF_ATOMIC(uintptr_t) word; /* see above */
};

WF_INLINE struct wf_awaiter *wf_awaiter_of(uintptr_t word)
{
    return (struct wf_awaiter *)word; // NOLINT(performance-no-int-to-ptr): the word is tagged
}

WF_INLINE bool wf_awaiters_closed(struct wf_awaiters *awaiters)
{
    /* sync(awaiter.look): acquire, the result and all that the task did; pairs
     * sync(awaiter.close) */
    return wf_load_acquire(&awaiters->word) == WF_TASK_DONE;
}

/* False: the task has ended, the awaiter will not be told. After true it may have been told already:
 * LAST TOUCH, unless its owner can tell. */
WF_INLINE bool wf_awaiters_add(struct wf_awaiters *awaiters, struct wf_awaiter *awaiter)
{
    uintptr_t list = wf_load_relaxed(&awaiters->word); /* a guess for the compare-and-swap */
    while (list != WF_TASK_DONE) {
        awaiter->next = wf_awaiter_of(list);
        /* sync(awaiter.add): release, the awaiter (a stack: its saved context) and the list's link;
         * acquire, those of the older ones, for the finisher who gets them from us; pairs
         * sync(awaiter.close) */
        if (wf_cas_acq_rel(&awaiters->word, &list, (uintptr_t)awaiter)) {
            return true;
        }
    }
    /* acquires the result: the guess, or the failed compare-and-swap, may only have seen DONE */
    bool closed = wf_awaiters_closed(awaiters);
    wf_check_inner(closed);
    return !closed;
}

/* The finisher, with the result in place. The awaiters, for wf_awaiters_tell. LAST TOUCH of the task:
 * an awaiter may free it from here on. */
WF_INLINE struct wf_awaiter *wf_awaiters_close(struct wf_awaiters *awaiters)
{
    /* sync(awaiter.close): release, the result and all that the task did; acquire, the awaiters;
     * pairs sync(awaiter.look), sync(awaiter.add) */
    uintptr_t list = wf_xchg_acq_rel(&awaiters->word, WF_TASK_DONE);
    wf_check_inner(list != WF_TASK_DONE);
    return wf_awaiter_of(list);
}

/* The list as it was added, oldest first. */
WF_INLINE struct wf_awaiter *wf_awaiters_reverse(struct wf_awaiter *newest)
{
    struct wf_awaiter *oldest = NULL;
    while (newest != NULL) { /* ends: the list does */
        struct wf_awaiter *next = newest->next;
        newest->next = oldest;
        oldest = newest;
        newest = next;
    }
    return oldest;
}

WF_INLINE void wf_awaiters_tell(struct wf_awaiter *newest, struct wf_outcome outcome)
{
    struct wf_awaiter *awaiter = wf_awaiters_reverse(newest);
    while (awaiter != NULL) { /* ends: the list does */
        struct wf_awaiter *next = awaiter->next;
        awaiter->ended(awaiter, outcome); /* LAST TOUCH */
        awaiter = next;
    }
}

#endif
