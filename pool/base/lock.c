/* lock.c: the slow half of lock.h: a holder is inside.
 *
 * Spins first, because a critical section is a few dozen instructions; sleeps then, because the
 * holder may have lost its core. Nobody wakes a sleeper: it looks again when its time is over. */
#include "pool/base/lock.h"
#include "pool/base/sys.h"

/* About 1.5 us of pauses (25 ns each on Zen 4): longer than any critical section, shorter than a
 * sleep. */
#define LOCK_SPINS 64
/* The first sleep, and the longest: each is twice the one before. A thread that lost its core gets
 * it back after 1 to 4 ms (the scheduler's slice); the kernel adds 50 us to each sleep. */
#define LOCK_SLEEP_MIN_NS INT64_C(20000)
#define LOCK_SLEEP_MAX_NS INT64_C(320000)

static bool spin(struct wf_lock *lock)
{
    for (int i = 0; i < LOCK_SPINS; i++) {
        uint32_t expected = 0;
        /* relaxed: only a hint to try */
        if (wf_load_relaxed(&lock->state) == 0 &&
            /* sync(lock.spin): acquire, sees what the last holder wrote; pairs sync(lock.drop) */
            wf_cas_acquire(&lock->state, &expected, 1)) {
            return true;
        }
        wf_spin_hint();
    }
    return false;
}

void wf_lock_slow(struct wf_lock *lock)
{
    int64_t sleep_ns = LOCK_SLEEP_MIN_NS;
    while (!spin(lock)) { /* ends: each holder lets go after a few dozen instructions of its own */
        wf_sys.nap(sleep_ns);
        sleep_ns = sleep_ns < LOCK_SLEEP_MAX_NS ? 2 * sleep_ns : sleep_ns;
    }
}
