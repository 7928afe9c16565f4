/* lock.h: a 4-byte lock for critical sections of a few dozen instructions that call nobody's code.
 *
 * Any thread may take it. Spins for a bounded time, then sleeps for bounded times until it is free,
 * so that a holder which lost its core does not make every other worker burn theirs (64 workers on
 * 2 cores must not convoy). Not recursive, not fair. Zeroed memory is an unlocked lock. It is never
 * held across a suspension, a system call or user code.
 *
 * States: 0 free, 1 held.  0 -> 1 [lock], 1 -> 0 [unlock].
 *
 * Unlocking is a plain store, and wakes nobody: a locked exchange that learns whether somebody
 * sleeps (the lock of three states) costs as much as taking the lock, 5 ns at each use, and the
 * call that wakes costs the holder 1 us or more; but a sleeper is there only when the holder has
 * lost its core, which takes longer than any sleep here. */
#ifndef WF_LOCK_H
#define WF_LOCK_H

#include "pool/base/atomic.h"

struct wf_lock {
    WF_ATOMIC(uint32_t) state;
};

#if WF_MODEL
#include "tests/model/wloom_lock.h"
#else
WF_COLD void wf_lock_slow(struct wf_lock *lock);

WF_INLINE void wf_lock(struct wf_lock *lock)
{
    uint32_t expected = 0;
    /* sync(lock.take): acquire, sees what the last holder wrote; pairs sync(lock.drop) */
    if (wf_unlikely(!wf_cas_acquire(&lock->state, &expected, 1))) {
        wf_lock_slow(lock);
    }
}

/* Takes it if it is free. For who has another way, with wf_lock, and so needs no register kept over
 * a call. */
WF_INLINE bool wf_lock_at_once(struct wf_lock *lock)
{
    uint32_t expected = 0;
    /* sync(lock.take_once): acquire, as sync(lock.take); pairs sync(lock.drop) */
    return wf_likely(wf_cas_acquire(&lock->state, &expected, 1));
}

WF_INLINE void wf_unlock(struct wf_lock *lock)
{
    /* sync(lock.drop): release, the next holder sees what we wrote; pairs sync(lock.take),
     * sync(lock.take_once), sync(lock.spin) */
    wf_store_release(&lock->state, 0);
}
#endif

#endif
