/* awaiter.h: who is told when a task ends: the word in the task that is its state and heads the
 * list of its awaiters.
 *
 * An *awaiter* is a record in the memory of whoever wants to know: a suspended stack, a frame, a
 * call that waits for several tasks, a continuation. The *finisher* is whoever ran the task's body.
 * Who may call: src/ only.
 *
 *      RUNNING (0) <--[add, remove]--> newest of a list of wf_awaiter --+
 *         |                                                             |
 *         +---------------[wf_awaiters_close, exchange]--> DONE (1) <---+
 *
 * RUNNING or a list: queued or running; the result is not valid. DONE: final; the finisher has
 * touched the task for the last time.
 *
 * G.1  An awaiter that was added is told exactly once, after DONE, with the finisher's result
 *      visible; one that was refused is never told, and the result is visible to the refused.
 *      One that was removed is not told, and not touched after wf_awaiters_remove returned true.
 * G.2  An awaiter is not touched after its `ended` was called.
 * G.3  Awaiters are told in the order in which they were added, if none was removed.
 *
 * Removal. The list is pushed to by anybody and taken as a whole by the finisher, who must not wait
 * for anyone; so nobody can unlink in the middle of it. Whoever removes takes the whole list too,
 * which leaves RUNNING, picks out his own, and puts the rest back on top of what came meanwhile. If
 * he finds DONE then, the finisher has missed the rest, and he tells them himself. Those who remove
 * from one list exclude each other by a lock: a second one would find the first one's list, and not
 * his record. Rejected: a count of records that outlive the call, in pooled memory. It would need
 * memory that can run out, and a loser that never ends would keep it. */
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
    /* the one added before it; the list's from add to `ended` */
    WF_PLAIN(struct wf_awaiter *) next;
    wf_ended_fn *ended; /* immutable once added */
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

/* False: the task has ended, the awaiter will not be told. After true it may have been told
 * already: LAST TOUCH, unless its owner can tell. */
WF_INLINE bool wf_awaiters_add(struct wf_awaiters *awaiters, struct wf_awaiter *awaiter)
{
    uintptr_t list = wf_load_relaxed(&awaiters->word); /* a guess for the compare-and-swap */
    while (list != WF_TASK_DONE) {
        wf_plain_write(&awaiter->next, wf_awaiter_of(list));
        /* sync(awaiter.add): release, the awaiter (a stack: its saved context) and the list's link;
         * acquire, those of the older ones, for the finisher who gets them from us; pairs
         * sync(awaiter.close), sync(awaiter.take) */
        if (wf_cas_acq_rel(&awaiters->word, &list, (uintptr_t)awaiter)) {
            return true;
        }
    }
    /* acquires the result: the guess, or the failed compare-and-swap, may only have seen DONE */
    bool closed = wf_awaiters_closed(awaiters);
    wf_check_inner(closed);
    return !closed;
}

/* The finisher, with the result in place. The awaiters, for wf_awaiters_tell. LAST TOUCH of the
 * task: an awaiter may free it from here on. */
WF_INLINE struct wf_awaiter *wf_awaiters_close(struct wf_awaiters *awaiters)
{
    /* sync(awaiter.close): release, the result and all that the task did; acquire, the awaiters;
     * pairs sync(awaiter.look), sync(awaiter.add), sync(awaiter.put_back) */
    uintptr_t list = wf_xchg_acq_rel(&awaiters->word, WF_TASK_DONE);
    wf_check_inner(list != WF_TASK_DONE);
    return wf_awaiter_of(list);
}

/* Picks one out of a list that is the caller's alone; *last: the oldest that is left. */
WF_INLINE struct wf_awaiter *wf_awaiters_without(struct wf_awaiter *list,
                                                 const struct wf_awaiter *one,
                                                 struct wf_awaiter **last)
{
    struct wf_awaiter *before = NULL;
    *last = NULL;
    for (struct wf_awaiter *at = list; at != NULL; at = wf_plain_read(&at->next)) {
        if (at == one) {
            before = *last;
        } else {
            *last = at;
        }
    }
    if (before == NULL) { /* it was the newest */
        return wf_plain_read(&list->next);
    }
    wf_plain_write(&before->next, wf_plain_read(&one->next));
    return list;
}

/* Takes `awaiter`, which was added, out again. The caller keeps the task's memory, and holds the
 * lock that all who remove from this list share. False: the task has ended, the awaiter is being
 * told, or was. True: it will not be told; then *untold are awaiters that the finisher has missed,
 * for the caller to tell (mostly NULL). */
WF_INLINE bool wf_awaiters_remove(struct wf_awaiters *awaiters, struct wf_awaiter *awaiter,
                                  struct wf_awaiter **untold)
{
    *untold = NULL;
    uintptr_t list = wf_load_relaxed(&awaiters->word); /* a guess for the compare-and-swap */
    do {
        if (list == WF_TASK_DONE) {
            return false;
        }
        /* sync(awaiter.take): acquire, the links of the list; pairs sync(awaiter.add),
         * sync(awaiter.put_back) */
    } while (!wf_cas_acquire(&awaiters->word, &list, WF_TASK_RUNNING));
    struct wf_awaiter *last;
    struct wf_awaiter *rest = wf_awaiters_without(wf_awaiter_of(list), awaiter, &last);
    if (rest == NULL) {
        return true;
    }
    list = wf_load_relaxed(&awaiters->word); /* a guess, as above */
    while (list != WF_TASK_DONE) {
        wf_plain_write(&last->next, wf_awaiter_of(list));
        /* sync(awaiter.put_back): as awaiter.add; pairs sync(awaiter.close), sync(awaiter.take) */
        if (wf_cas_acq_rel(&awaiters->word, &list, (uintptr_t)rest)) {
            return true;
        }
    }
    wf_plain_write(&last->next, NULL);
    bool closed = wf_awaiters_closed(awaiters); /* acquires the result, for those whom we tell */
    wf_check_inner(closed);
    (void)closed;
    *untold = rest;
    return true;
}

/* The list as it was added, oldest first. */
WF_INLINE struct wf_awaiter *wf_awaiters_reverse(struct wf_awaiter *newest)
{
    struct wf_awaiter *oldest = NULL;
    while (newest != NULL) { /* ends: the list does */
        struct wf_awaiter *next = wf_plain_read(&newest->next);
        wf_plain_write(&newest->next, oldest);
        oldest = newest;
        newest = next;
    }
    return oldest;
}

WF_INLINE void wf_awaiters_tell(struct wf_awaiter *newest, struct wf_outcome outcome)
{
    struct wf_awaiter *awaiter = wf_awaiters_reverse(newest);
    while (awaiter != NULL) { /* ends: the list does */
        struct wf_awaiter *next = wf_plain_read(&awaiter->next);
        awaiter->ended(awaiter, outcome); /* LAST TOUCH */
        awaiter = next;
    }
}

#endif
