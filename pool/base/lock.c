/* lock.c: the slow half of lock.h: a holder is inside.
 *
 * Spins first, because a critical section is a few dozen instructions; sleeps then, because the
 * holder may have lost its core. A sleeper leaves 2 in the word, and takes the lock with 2 when it
 * wakes, since it cannot know whether it was the last: at worst one wake-up call too many (Drepper,
 * "Futexes are tricky", mutex 2). */
#include "pool/base/lock.h"
#include "pool/base/sys.h"

/* About 1.5 us of pauses (25 ns each on Zen 4): longer than any critical section, shorter than a
 * sleep (20 us). */
#define LOCK_SPINS 64

void wf_lock_slow(struct wf_lock *lock)
{
    for (int i = 0; i < LOCK_SPINS; i++) {
        uint32_t expected = 0;
        /* relaxed: only a hint to try */
        if (wf_load_relaxed(&lock->state) == 0 &&
            /* sync(lock.spin): acquire, sees what the last holder wrote; pairs sync(lock.drop) */
            wf_cas_acquire(&lock->state, &expected, 1)) {
            return;
        }
        wf_spin_hint();
    }
    /* Ends when the lock was free at the exchange: each round sleeps until an unlock.
     * sync(lock.slow): acquire, sees what the last holder wrote; pairs sync(lock.drop) */
    while (wf_xchg_acquire(&lock->state, 2) != 0) {
        (void)wf_sys.futex_wait(&lock->state, 2, INT64_MAX); /* -EAGAIN, -EINTR: look again */
    }
}

void wf_lock_wake(struct wf_lock *lock)
{
    (void)wf_sys.futex_wake(&lock->state, 1);
}
