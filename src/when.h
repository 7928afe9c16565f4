/* when.h: one call that waits for several tasks: who decides it, and who is the last.
 *
 * Who may call: src/when.c, and its model. It knows no scheduler: what ends the wait is a wf_wait,
 * and what is done to losers is the business of when.c.
 *
 * Terms. A *watch* is the call's awaiter in one task. The call is *decided* when its result no
 * longer depends on tasks that run: by the first task that ends (FIRST), that succeeds (FIRST_OK),
 * that fails (FAILFAST); ALL is never decided early. The *winner* is the task that decided, the
 * others are *losers*. The call is *listed* when it has a watch in every task that it waits for.
 *
 *      decision:  0 --[wf_when_decide]--> winner --+
 *                 |                                +--> winner and LISTED: losers are settled
 *                 +--[wf_when_listed]--> LISTED ---+
 *
 * Whoever makes the second of the two steps settles the losers: cancels them, or takes the watches
 * out of them again. So they are settled once, when all watches are where they can be found.
 *
 * `left` counts the waiter's own hold until it has nothing more to do before it waits, and the
 * watches that are in a task or being told. Who brings it to 0 ends the wait, or the waiter finds
 * that it need not wait. So the wait ends once; and the call's memory, and that of the tasks, lasts
 * until nobody touches them any more: losers are settled before the winner's watch is counted off.
 *
 * G.1  The wait is claimed at most once, and only if the waiter's own wf_when_leave returned false.
 * G.2  After the last wf_when_leave nobody but the waiter touches the call, its claim excepted.
 * G.3  At most one task wins. */
#ifndef WF_WHEN_H
#define WF_WHEN_H

#include "src/awaiter.h"
#include "src/wait.h"

/* As enum weft_policy; when.c compares. */
enum wf_policy { WF_WHEN_FAILFAST = 0, WF_WHEN_ALL = 1, WF_WHEN_FIRST = 3, WF_WHEN_FIRST_OK = 4 };

#define WF_WHEN_LISTED (1u << 31)
#define WF_WHEN_NOBODY (-1)

struct wf_when;

struct wf_watch {
    struct wf_awaiter awaiter;
    struct wf_when *when; /* immutable */
};

struct wf_when {
    /* immutable while tasks run */
    struct wf_wait *wait;
    struct wf_watch *watches; /* one for each task */
    int policy;               /* enum wf_policy */
    /* any thread */
    WF_ATOMIC(uint32_t) decision; /* winner's index + 1, and LISTED; 0: neither */
    WF_ATOMIC(uint32_t) left;
};

/* By whoever completed the decision: what becomes of the losers. In a model-checking build the
 * harness supplies it. */
void wf_when_settle_losers(struct wf_when *when);

WF_INLINE void wf_when_init(struct wf_when *when, struct wf_wait *wait, struct wf_watch *watches,
                            int policy)
{
    when->wait = wait;
    when->watches = watches;
    when->policy = policy;
    /* relaxed, both: not shared yet */
    wf_store_relaxed(&when->decision, 0);
    wf_store_relaxed(&when->left, 1);
}

/* Does this end of a task decide the call? */
WF_INLINE bool wf_when_decides(int policy, struct wf_outcome outcome)
{
    switch (policy) {
    case WF_WHEN_FAILFAST:
        return outcome.rc < 0 && !outcome.cut_short;
    case WF_WHEN_FIRST:
        return true;
    case WF_WHEN_FIRST_OK:
        return outcome.rc >= 0;
    default:
        return false;
    }
}

/* Task `index` wins, unless another has. True: the caller settles the losers. */
WF_INLINE bool wf_when_decide(struct wf_when *when, int index)
{
    uint32_t decision = wf_load_relaxed(&when->decision); /* a guess for the compare-and-swap */
    while ((decision & ~WF_WHEN_LISTED) == 0) {
        /* sync(when.decide): acquire, the watches that we take out of other tasks were put there
         * before; pairs sync(when.listed) */
        if (wf_cas_acquire(&when->decision, &decision, decision | (uint32_t)(index + 1))) {
            return decision == WF_WHEN_LISTED;
        }
    }
    return false;
}

/* The waiter: all watches are in place. True: it settles the losers itself. */
WF_INLINE bool wf_when_listed(struct wf_when *when)
{
    /* sync(when.listed): release, the watches are in their tasks; pairs sync(when.decide) */
    return wf_or_acq_rel(&when->decision, WF_WHEN_LISTED) != 0;
}

/* The winner, or WF_WHEN_NOBODY. Final once the wait has ended, or for whoever settles. */
WF_INLINE int wf_when_winner(struct wf_when *when)
{
    /* relaxed: the wait's end orders it, and the settler wrote or read it before */
    return (int)(wf_load_relaxed(&when->decision) & ~WF_WHEN_LISTED) - 1;
}

/* True: these were the last. */
WF_INLINE bool wf_when_leave(struct wf_when *when, uint32_t count)
{
    /* sync(when.leave): acq_rel, all that was done for the call is seen by whoever is last; pairs
     * sync(when.leave). LAST TOUCH, unless it was the last */
    return wf_sub_acq_rel(&when->left, count) == count;
}

/* The end of the task of this watch; `index` of it in the call. */
WF_INLINE void wf_when_told(struct wf_when *when, int index, struct wf_outcome outcome)
{
    if (wf_when_decides(when->policy, outcome) && wf_when_decide(when, index)) {
        wf_when_settle_losers(when);
    }
}

/* wf_awaiter.ended of a watch. */
WF_INLINE void wf_when_ended(struct wf_awaiter *awaiter, struct wf_outcome outcome)
{
    struct wf_watch *watch = wf_container_of(awaiter, struct wf_watch, awaiter);
    struct wf_when *when = watch->when;
    struct wf_wait *wait = when->wait;
    wf_when_told(when, (int)(watch - when->watches), outcome);
    if (wf_when_leave(when, 1)) {
        (void)wf_wait_claim(wait, WF_WAIT_GRANTED); /* LAST TOUCH */
    }
}

#endif
