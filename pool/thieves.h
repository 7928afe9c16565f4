/* thieves.h: who may steal from deques, so that an owner whom nobody can steal from takes its own
 * work without a fence.
 *
 * Who may call: search.c and sleep.c for their worker, deque.h for an owner, and the models.
 *
 * Terms. *thief*: a worker that has been counted, and may steal from any deque of the pool.
 * *alone*: an owner beside whom nobody is counted. It may be counted itself: a count of `own`, 0 or
 * 1, says so too.
 *
 *    An owner takes a work (deque.h)           A worker becomes a thief
 *      1. bottom -= 1                            1. count += 1                       [join]
 *      2. count == own? alone [are_alone]        2. a full fence in all threads      [join]
 *         else: full fence                       3. steals, as often as it likes: reads top, full
 *      3. reads top                                 fence, reads bottom, top += 1 by CAS
 *                                                4. count -= 1, released             [leave]
 *
 * Step 2 of the right side is, in the owner's thread, before or after step 2 of the left side.
 *   - Before: the owner sees the count, and has a fence. All is as in any deque.
 *   - After: so is step 1 of the left side before that fence. The thief, whose step 3 comes after
 *     it, sees the lower bottom, and leaves the owner's entry alone.
 * A thief that has left before the owner looks has done so with release, and the owner looks with
 * acquire: it sees each `top` which that one stored, and all that it read is read. Of those who are
 * neither, there are none: who steals is counted.
 *
 * Whoever has stolen once stays a thief until it watches quietly (watchers.h), or for ever: so the
 * fence in all threads, which takes some us, is paid once for many steals, and mostly is the one by
 * which a quiet watch ends. Not until it sleeps: with many workers that sleep and steal in turns,
 * each of them would interrupt all others each time.
 *
 * G.1  While an owner takes an entry without a fence, no thief takes the same one. (If the system
 *      refuses the fence in all threads at some time, for lack of memory, [join] naps 1 ms instead,
 *      in which the owner's store has long become visible: sys.c.)
 * G.2  No function blocks, or waits for another thread to run. */
#ifndef WF_THIEVES_H
#define WF_THIEVES_H

#include "pool/base/atomic.h"

struct wf_thieves {
    WF_ATOMIC(uint32_t) count; /* any thread; atomic */
    bool come_and_go;          /* immutable after start; false: count is above 1 for ever */
};

/* can_fence: wf_fence_heavy works; or there is but one worker, and no thief ever. */
static inline void wf_thieves_init(struct wf_thieves *thieves, bool can_fence)
{
    thieves->come_and_go = can_fence;
    wf_store_relaxed(&thieves->count, can_fence ? 0 : 2); /* relaxed: nobody else runs yet */
}

/* Owner: is nobody counted but itself, `own` times? After it has lowered its bottom. */
WF_INLINE bool wf_thieves_are_alone(struct wf_thieves *thieves, uint32_t own)
{
    /* sync(thieves.alone): in the program's order only: our bottom is stored before we look; pairs
     * sync(thieves.join) */
    wf_fence_light();
    /* sync(thieves.gone): acquire, what thieves took before they left; pairs sync(thieves.leave) */
    return wf_likely(wf_load_acquire(&thieves->count) == own);
}

/* By one who is none, and then, before it steals, has a fence in all threads
 * [sync(thieves.join)]. */
WF_INLINE void wf_thieves_enter(struct wf_thieves *thieves)
{
    (void)wf_add_relaxed(&thieves->count, 1); /* relaxed: the fence orders it */
}

/* The same, with that fence. */
static WF_UNUSED void wf_thieves_join(struct wf_thieves *thieves)
{
    if (thieves->come_and_go) {
        wf_thieves_enter(thieves);
        /* sync(thieves.join): seq_cst in all threads, we see what owners without a fence have
         * taken, and they see us from here on; pairs sync(thieves.alone) */
        wf_fence_heavy();
    }
}

/* By one who is one: it steals no more. */
static WF_UNUSED void wf_thieves_leave(struct wf_thieves *thieves)
{
    if (thieves->come_and_go) {
        /* sync(thieves.leave): release, all that we took is taken; pairs sync(thieves.gone) */
        (void)wf_sub_release(&thieves->count, 1);
    }
}

#endif
