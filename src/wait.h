/* wait.h: one suspended call that several parties may end, and the protocol by which exactly one of
 * them does.
 *
 * Everything in weft that waits and can be cancelled waits through a wf_wait in its own memory, on
 * a stack or in a frame: semaphore, channel, sleep, kernel operation. What is resumed at the end is
 * a work: that of a suspended fiber, or that of a frame. Whoever wants to end the wait *claims* it:
 * the object that hands something over, the timer, the cancellation of the scope. The first claim
 * wins and says why; the others fail and go on looking for somebody else. Who may call: src/ only.
 *
 *                          [wf_wait_arm, on the next stack]
 *          SETUP ------------------------------------------> ARMED
 *            |                                                 |
 *            +--[wf_wait_claim: the waiter is still running,   +--[wf_wait_claim: the claimer
 *            |   it will find the claim and not suspend]       |   resumes the stack]
 *            v                                                 v
 *          GRANTED, CANCELLED or SHUT: final
 *
 * SETUP: the stack runs, and enlists the wait wherever claimers look. Its context is not saved:
 * nobody may resume it. (A weft_val may stay here for long: its wait is armed only when somebody
 * awaits it.) ARMED: saved; the claimer owns the duty to resume. Final: the waiter runs
 * or is about to, and takes the wait out of every place where it is enlisted, under the lock of
 * each, before its frame goes away; so a claimer that holds such a lock may touch any wait it finds
 * there, claimed or not. (In its scope a stack's wait is found without a lock: slot.h.)
 *
 * A wait that stays in a slot (slot.h) has its env in the state, too, while it is SETUP or ARMED.
 *
 * G.1  For one wait, exactly one wf_wait_claim returns true.
 * G.2  A claim from SETUP touches the wait last in its compare-and-swap; a claim from ARMED last
 *      when it makes the fiber ready. In neither case is the wait touched after the waiter can have
 *      returned, except under a lock that the waiter takes too. */
#ifndef WF_WAIT_H
#define WF_WAIT_H

#include "pool/base/atomic.h"
#include "pool/base/check.h"
#include "pool/base/list.h"
#include "pool/work.h"
#include <sys/types.h>
#include <weft/base.h>

struct wf_env;
struct wf_wait;
struct wf_call;

/* The low bits of wf_wait.state. */
enum wf_wait_state {
    WF_WAIT_SETUP = 0,
    WF_WAIT_ARMED = 1,
    WF_WAIT_GRANTED = 2,   /* what was waited for has happened */
    WF_WAIT_CANCELLED = 3, /* the scope was cancelled, or its deadline passed */
    WF_WAIT_SHUT = 4,      /* the object was closed or destroyed */
};
#define WF_WAIT_CAUSE ((uintptr_t)7)

/* A place in the queue of an object, for one wait. A wait at several objects (select) has one in
 * each. */
struct wf_waiter {
    struct wf_list in_queue; /* under the object's lock */
    struct wf_wait *wait;    /* immutable while enlisted */
    void *item;              /* from where, or to where, the object hands over; under its lock */
} WF_ALIGNED(8);

/* What a kind of call does; immutable. */
struct wf_wait_ops {
    /* A cancellation of the scope, under its lock; or by the waiter itself, which found the scope
     * cancelled. Claims the wait, or asks whoever will. */
    void (*cancel)(struct wf_wait *wait);
    /* The waiter, once the wait has ended, holding no lock: leaves every queue that it is in, and
     * says what the call returns. */
    ssize_t (*finish)(struct wf_call *call);
    const char *name; /* of the public call, for dumps */
    /* For dumps: where the task was started that holds the call's object; NULL: nobody does. Any
     * thread, without locks: reads through wf_sys.peek. May be NULL. */
    const weft_place *(*holder)(const void *object);
    /* For weft_val only (src/value.h), holding no lock; either may be NULL. `again`, after finish:
     * the result is none yet, and the call has been begun anew on the current worker. `discard`:
     * nobody will take the result, so what came with it goes back. */
    bool (*again)(struct wf_call *call, ssize_t result);
    void (*discard)(struct wf_call *call, ssize_t result);
    bool is_wide; /* of one with `again`: its record is of the largest class, WF_V_WIDE */
};

struct wf_wait {
    /* waiter: SETUP -> ARMED; any thread: -> final, with the place that was granted, if any */
    WF_ATOMIC(uintptr_t) state;
    struct wf_work *resume; /* makes the waiter go on; the waiter's until it arms, then immutable */
    const struct wf_wait_ops *ops; /* immutable after init */
    union {
        struct wf_list in_scope; /* the scope's waits; under the scope's lock */
        /* while it is in none (env is NULL): memory that the waiter will touch when it runs again,
         * for whoever resumes it to fetch. A hint; waiter only, before it arms; of those calls
         * alone that say so */
        const void *near;
    };
    /* under whose scope in_scope is enlisted; NULL: nowhere, or in a slot; waiter only */
    struct wf_env *env;
};

/* How a claimer from ARMED makes the waiter run again. In a model-checking build the harness
 * supplies it. */
void wf_wait_resume(struct wf_work *resume);

/* Has nobody ended the wait whose state this is? */
WF_INLINE bool wf_wait_is_open(uintptr_t state)
{
    return (state & WF_WAIT_CAUSE) <= WF_WAIT_ARMED;
}

/* What a claim came to, for a claimer that resumes the waiter itself. */
enum wf_claim {
    WF_CLAIM_LOST,  /* another ended the wait */
    WF_CLAIM_AWAKE, /* won; the waiter runs, and may be gone already */
    WF_CLAIM_OWED,  /* won; the waiter lies until we resume it, by wait->resume */
};

/* Any thread that may touch the wait (it holds a lock under which the wait is enlisted, or is its
 * timer). `place`: which of its places is granted, or NULL. Never resumes: for claimers that
 * collect what they owe until they have let go of their lock, or switch to the waiter. */
WF_INLINE enum wf_claim wf_wait_take(struct wf_wait *wait, enum wf_wait_state cause,
                                     const struct wf_waiter *place)
{
    uintptr_t state = wf_load_relaxed(&wait->state); /* only a guess for the compare-and-swap */
    while (wf_wait_is_open(state)) {
        /* sync(wait.claim): release, the waiter sees what we did for it (the item, the permit), and
         * acquire, we see its saved context; pairs sync(wait.arm), sync(wait.look),
         * sync(wait.claim). LAST TOUCH from SETUP: the waiter may be gone. */
        if (wf_cas_acq_rel(&wait->state, &state, (uintptr_t)place | cause)) {
            return (state & WF_WAIT_CAUSE) == WF_WAIT_ARMED ? WF_CLAIM_OWED : WF_CLAIM_AWAKE;
        }
    }
    return WF_CLAIM_LOST;
}

/* Grants a wait that is armed, which the caller then resumes; false: it is not, or not any more. */
WF_INLINE bool wf_wait_take_armed(struct wf_wait *wait, const struct wf_waiter *place)
{
    uintptr_t state = wf_load_relaxed(&wait->state); /* only a guess for the compare-and-swap */
    if (wf_unlikely((state & WF_WAIT_CAUSE) != WF_WAIT_ARMED)) {
        return false;
    }
    /* sync(wait.grant): as sync(wait.claim); pairs sync(wait.arm), sync(wait.look),
     * sync(wait.claim) */
    return wf_cas_acq_rel(&wait->state, &state, (uintptr_t)place | WF_WAIT_GRANTED);
}

/* wf_wait_take, and resumes the waiter. True: this call ended the wait, with `cause`. */
WF_INLINE bool wf_wait_claim_at(struct wf_wait *wait, enum wf_wait_state cause,
                                const struct wf_waiter *place)
{
    enum wf_claim claim = wf_wait_take(wait, cause, place);
    if (claim == WF_CLAIM_OWED) {
        wf_wait_resume(wait->resume); /* LAST TOUCH */
    }
    return claim != WF_CLAIM_LOST;
}

WF_INLINE bool wf_wait_claim(struct wf_wait *wait, enum wf_wait_state cause)
{
    return wf_wait_claim_at(wait, cause, NULL);
}

/* With the waiter's context saved: on the next stack, or by a frame that has returned. False: it
 * was claimed meanwhile, continue it at once. */
WF_INLINE bool wf_wait_arm(struct wf_wait *wait)
{
    uintptr_t state = wf_load_relaxed(&wait->state); /* relaxed: only claims change it meanwhile */
    if (wf_unlikely((state & WF_WAIT_CAUSE) != WF_WAIT_SETUP)) {
        return false;
    }
    /* sync(wait.arm): release, the claimer that resumes sees the saved context; pairs
     * sync(wait.claim) */
    return wf_cas_acq_rel(&wait->state, &state, state | WF_WAIT_ARMED);
}

/* The waiter, running: why the wait ended, or SETUP if it has not. */
WF_INLINE enum wf_wait_state wf_wait_outcome(struct wf_wait *wait)
{
    /* sync(wait.look): acquire, what the claimer did for us; pairs sync(wait.claim) */
    return (enum wf_wait_state)(wf_load_acquire(&wait->state) & WF_WAIT_CAUSE);
}

/* The waiter, after an outcome that is final: the place that was granted, or NULL. */
WF_INLINE struct wf_waiter *wf_wait_place(struct wf_wait *wait)
{
    /* relaxed: wf_wait_outcome has acquired it */
    uintptr_t place = wf_load_relaxed(&wait->state) & ~WF_WAIT_CAUSE;
    return (struct wf_waiter *)place; // NOLINT(performance-no-int-to-ptr): the word is tagged
}

#endif
