/* sync.h: what tasks synchronise with. None of these blocks a worker; all may be shared by tasks of
 * one runtime, or of several.
 *
 * *waiting in line*: every call that waits here does so strictly first in, first out: what is given
 * back goes to the task that has waited longest, and no newcomer overtakes it. A wait is a point of
 * cancellation: -ECANCELED says that nothing was taken, and a hand-over that was faster than the
 * cancellation is a success. Under a deadline of 0 (weft_within) each is a try.
 *
 * Objects lie in the caller's memory, which must last until every call on them has returned. Each
 * has an init, and a fini that accepts zeroed memory; a fini with tasks waiting is misuse, and they
 * get -ESHUTDOWN. An init of one that is alive is misuse, which a library that was built with
 * WEFT_CHECKS finds: there memory must not go, or be used for another object, before its fini.
 * Nothing here allocates. */
#ifndef WEFT_SYNC_H
#define WEFT_SYNC_H

#include <weft/base.h>

#ifdef __cplusplus
extern "C" {
#endif

/* --- semaphore -------------------------------------------------------------------------------- */

/* A counter of permits. Opaque. */
typedef struct weft_sem {
    WEFT_ALIGNAS(8) unsigned char opaque[40];
} weft_sem;

/* `permits` available at first, 0 <= permits <= max; `max` <= 2^31-1, 0 means 2^31-1. Out of range:
 * misuse. */
void weft_sem_init(weft_sem *sem, uint32_t permits, uint32_t max);

/* Ends the semaphore's life. Zeroed memory is fine. With tasks waiting: misuse; they get
 * -ESHUTDOWN. */
void weft_sem_fini(weft_sem *sem);

/* Takes a permit, waiting in line if there is none. 0; -ECANCELED: no permit was taken;
 * -ESHUTDOWN: closed. May suspend. Task context. */
int weft_sem_acquire(weft_sem *sem);

/* Takes n permits at once or none, 1 <= n <= max. A request that has to wait holds up smaller ones
 * behind it, so it gets its turn. The errors of weft_sem_acquire; -EINVAL: n out of range. May
 * suspend. Task context. */
int weft_sem_acquire_n(weft_sem *sem, uint32_t n);

/* Takes a permit if one is there and nobody waits: 0, else -EAGAIN; -ESHUTDOWN: closed. Any thread.
 * Cannot suspend. */
int weft_sem_try(weft_sem *sem);
/* The same with n permits; -EINVAL: n out of range. */
int weft_sem_try_n(weft_sem *sem, uint32_t n);

/* Gives back n permits, handing them to the longest-waiting tasks first. 0; -EINVAL: n == 0;
 * -EOVERFLOW: the count would exceed max; count unchanged, nobody woken. Any thread. Cannot
 * suspend. */
int weft_sem_release(weft_sem *sem, uint32_t n);

/* No permit is given out from now on: whoever waits or comes later gets -ESHUTDOWN. Permits that
 * are out may still be released. 0; -EALREADY: it was closed. Any thread. Cannot suspend. */
int weft_sem_close(weft_sem *sem);

/* Permits available. A snapshot. Any thread. */
uint32_t weft_sem_count(const weft_sem *sem);

/* --- mutex ------------------------------------------------------------------------------------ */

/* Mutual exclusion of tasks, which may wait for other things while they hold it. Owned by a task:
 * the forked sections of a task (fork.h) are that same task. Opaque. */
typedef struct weft_mutex {
    WEFT_ALIGNAS(8) unsigned char opaque[48];
} weft_mutex;

/* Free at first. */
void weft_mutex_init(weft_mutex *mutex);

/* Zeroed memory is fine. Locked: misuse; tasks that wait get -ESHUTDOWN. */
void weft_mutex_fini(weft_mutex *mutex);

/* Locks, waiting in line. 0; -ECANCELED: not locked; -EDEADLK: this task holds it (it is not
 * recursive). May suspend. Task context.
 *
 *     int rc = weft_mutex_lock(&cache->mutex);
 *     if (rc < 0) { return rc; }
 *     rc = refresh(cache);                    // may wait
 *     weft_mutex_unlock(&cache->mutex); */
int weft_mutex_lock(weft_mutex *mutex);

/* Locks if it is free: 0, else -EAGAIN; -EDEADLK: this task holds it. Cannot suspend. Task
 * context. */
int weft_mutex_try(weft_mutex *mutex);

/* Unlocks; the task that has waited longest is the owner from here on. 0. By a task that is not the
 * owner: misuse, -EINVAL, nothing changed. Cannot suspend, and works in a cancelled scope. Task
 * context. */
int weft_mutex_unlock(weft_mutex *mutex);

/* Where the task that holds it was started; NULL if it is free. A snapshot, for dumps and messages.
 * Any thread. */
const weft_place *weft_mutex_owner(const weft_mutex *mutex);

/* --- readers and writers ---------------------------------------------------------------------- */

/* A lock that many tasks hold for reading at once, or one for writing. Readers and writers wait in
 * one line, so neither starves: a reader that comes after a writer waits behind it. Opaque. */
typedef struct weft_rwlock {
    WEFT_ALIGNAS(8) unsigned char opaque[48];
} weft_rwlock;

/* Free at first. */
void weft_rwlock_init(weft_rwlock *lock);

/* Zeroed memory is fine. Held: misuse; tasks that wait get -ESHUTDOWN. */
void weft_rwlock_fini(weft_rwlock *lock);

/* Waits in line and holds the lock, with other readers or alone. 0; -ECANCELED: not held; -EDEADLK:
 * this task holds it already, for reading or writing. There is no upgrade, and no second read,
 * which would wait behind a writer that waits for the first. A task is told so of the locks that it
 * holds for reading only while these are two at most; a third is held like any other, but reading
 * it once more waits if a writer waits. May suspend. Task context; forked sections count as their
 * task. */
int weft_rwlock_read(weft_rwlock *lock);
int weft_rwlock_write(weft_rwlock *lock);

/* The same without waiting: 0, -EAGAIN if it is held or somebody waits, -EDEADLK. Cannot suspend.
 * Task context. */
int weft_rwlock_try_read(weft_rwlock *lock);
int weft_rwlock_try_write(weft_rwlock *lock);

/* Gives it back, whichever way the task holds it. 0. A task that does not hold it: misuse, -EINVAL,
 * nothing changed. Cannot suspend, and works in a cancelled scope. Task context. */
int weft_rwlock_unlock(weft_rwlock *lock);

/* Where the task that holds it for writing was started; NULL if none does. A snapshot. Any
 * thread. */
const weft_place *weft_rwlock_writer(const weft_rwlock *lock);

/* --- event ------------------------------------------------------------------------------------ */

/* Something that has happened or not. Opaque. Its memory may go, after weft_event_fini, as soon as
 * a wait for it has returned 0, even if the thread that set it is still in weft_event_set. */
typedef struct weft_event {
    WEFT_ALIGNAS(8) unsigned char opaque[32];
} weft_event;

enum weft_event_mode {
    WEFT_EVENT_MANUAL = 0, /* stays set, and lets everybody through, until weft_event_reset */
    WEFT_EVENT_AUTO = 1,   /* lets one through for each time that it is set, and is not set then */
};

/* Not set at first. `mode`: enum weft_event_mode. */
void weft_event_init(weft_event *event, int mode);

/* Zeroed memory is fine. With tasks waiting: misuse; they get -ESHUTDOWN. */
void weft_event_fini(weft_event *event);

/* Manual: sets it, and everybody who waits goes on. Auto: the one who has waited longest goes on;
 * if nobody waits, the next who comes. To set what is set has no effect. 0. Any thread. Cannot
 * suspend. */
int weft_event_set(weft_event *event);

/* Not set from here on. 1: it was; 0: it was not. Any thread. Cannot suspend. */
int weft_event_reset(weft_event *event);

/* Waits until it is set. 0; -ECANCELED: not waited for, and an auto event is still set for another.
 * May suspend. Task context. */
int weft_event_wait(weft_event *event);

/* The same without waiting: 0, or -EAGAIN. Any thread. Cannot suspend. */
int weft_event_try(weft_event *event);

/* --- latch ------------------------------------------------------------------------------------ */

/* A count of things to come, and the wait for the last of them. Opaque. Its memory may go, after
 * weft_latch_fini, as soon as a wait for it has returned 0, even if the thread that counted to 0 is
 * still in weft_latch_down. */
typedef struct weft_latch {
    WEFT_ALIGNAS(8) unsigned char opaque[32];
} weft_latch;

/* `count` things are to come; 0: open from the beginning. */
void weft_latch_init(weft_latch *latch, uint32_t count);

/* Zeroed memory is fine. With tasks waiting: misuse; they get -ESHUTDOWN. */
void weft_latch_fini(weft_latch *latch);

/* n of them (n >= 1) have come. 1: these were the last, whoever waits goes on; 0: more are to come;
 * -EOVERFLOW: fewer than n were left, count unchanged; -EINVAL: n == 0. Any thread. Cannot
 * suspend. */
int weft_latch_down(weft_latch *latch, uint32_t n);

/* n more are to come (n >= 1). 0; -EALREADY: it is open, and stays so; -EOVERFLOW: beyond 2^32-1,
 * count unchanged; -EINVAL: n == 0. Any thread. Cannot suspend. */
int weft_latch_add(weft_latch *latch, uint32_t n);

/* Waits until all have come. 0, -ECANCELED. May suspend. Task context. */
int weft_latch_wait(weft_latch *latch);

/* How many are to come; 0: open. A snapshot. Any thread. */
uint32_t weft_latch_count(const weft_latch *latch);

/* --- barrier ---------------------------------------------------------------------------------- */

/* Where a number of tasks wait for each other, and then go on together; any number of times.
 * Opaque. */
typedef struct weft_barrier {
    WEFT_ALIGNAS(8) unsigned char opaque[40];
} weft_barrier;

/* For `parties` tasks at a time, >= 1. 0: misuse, taken as 1. */
void weft_barrier_init(weft_barrier *barrier, uint32_t parties);

/* Zeroed memory is fine. With tasks waiting: misuse; they get -ESHUTDOWN. */
void weft_barrier_fini(weft_barrier *barrier);

/* Waits until so many have come. 1 to the one that came last; 0 to the others; -ECANCELED: this
 * task does not count as having come, the others go on waiting for another, and the barrier is as
 * good as before. May suspend. Task context. */
int weft_barrier_wait(weft_barrier *barrier);

/* --- once ------------------------------------------------------------------------------------- */

/* Something that is done once. All zero is one that has not been done: WEFT_ONCE_INIT, or static
 * memory. Needs no end. Opaque. */
typedef struct weft_once {
    WEFT_ALIGNAS(8) unsigned char opaque[40];
} weft_once;
#define WEFT_ONCE_INIT \
    {                  \
        {              \
            0          \
        }              \
    }

/* Runs fn(arg), which may wait, unless it has been run with success before; waits while another
 * task runs it. If that fails or is cancelled, the next that waits runs it with its own fn and arg.
 * 0: it has been done, and what it did is visible; fn's error, if it was this call that ran it;
 * -ECANCELED: cancelled while waiting; -EDEADLK: called by fn. May suspend. Task context.
 *
 *     static weft_once once = WEFT_ONCE_INIT;
 *     int rc = weft_once_call(&once, load_tables, &tables); */
int weft_once_call(weft_once *once, weft_fn *fn, void *arg);

/* --- ticker ----------------------------------------------------------------------------------- */

/* Instants that lie a period apart, for one task that does something at each. Opaque. */
typedef struct weft_ticker {
    WEFT_ALIGNAS(8) unsigned char opaque[104];
} weft_ticker;

/* The first tick is one `period` from now, > 0 (else misuse, taken as 1 ms); the others follow at
 * that distance, however late anybody looks. Any thread. */
void weft_ticker_init(weft_ticker *ticker, weft_time period);

/* Zeroed memory is fine. With a task waiting: misuse; it gets -ESHUTDOWN. */
void weft_ticker_fini(weft_ticker *ticker);

/* Waits for the next tick; at once, and only once, if some have passed since the last call. How
 * many ticks these were, >= 1: 1 if the task keeps up; -ECANCELED: no tick was used up; -EBUSY:
 * another task is waiting for it. Never early. May suspend. Task context.
 *
 *     weft_ticker_init(&t, WEFT_SEC(1));
 *     while ((rc = weft_ticker_wait(&t)) > 0) { report(); }     // until cancelled
 *     weft_ticker_fini(&t); */
int weft_ticker_wait(weft_ticker *ticker);

/* --- guard ------------------------------------------------------------------------------------ */

/* Finds out that two use at once what only one may use, such as a database session: it does not
 * make anybody wait. All zero is one that nobody is in. Opaque. */
typedef struct weft_guard {
    WEFT_ALIGNAS(8) unsigned char opaque[24];
} weft_guard;

/* Nobody is inside. Needs no end. */
void weft_guard_init(weft_guard *guard);

/* Before the use: 0; -EBUSY: somebody is inside, be it this task. The error record (weft_last) then
 * names where the other entered and where both tasks were started. Any thread. Cannot suspend. */
#define weft_guard_enter(guard) weft_guard_enter_((guard), WEFT_HERE)
int weft_guard_enter_(weft_guard *guard, const weft_place *place);

/* After the use: 0. If nobody is inside: misuse, -EINVAL. Any thread. Cannot suspend. */
int weft_guard_leave(weft_guard *guard);

/* Enters, evaluates `expr` (an int or ssize_t expression, which may wait), leaves: its value, or
 * -EBUSY and not evaluated. Do not return or jump out of it.
 *
 *     rc = weft_guarded(&db->guard, query(db, text, &rows)); */
#define weft_guarded(guard, expr)                                           \
    __extension__({                                                         \
        weft_guard *weft_guard_at_ = (guard);                               \
        __typeof__(expr) weft_guard_rc_ =                                   \
            (__typeof__(expr))weft_guard_enter_(weft_guard_at_, WEFT_HERE); \
        if (weft_guard_rc_ >= 0) {                                          \
            weft_guard_rc_ = (expr);                                        \
            (void)weft_guard_leave(weft_guard_at_);                         \
        }                                                                   \
        weft_guard_rc_;                                                     \
    })

#ifdef __cplusplus
}
#endif

#endif
