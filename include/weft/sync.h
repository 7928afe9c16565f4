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
 * get -ESHUTDOWN. Nothing here allocates. */
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
 * behind it, so it gets its turn. The errors of weft_sem_acquire; -EINVAL: n out of range. */
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

/* No permit is given out from now on: whoever waits or comes later gets -ESHUTDOWN. Permits that are
 * out may still be released. 0; -EALREADY: it was closed. Any thread. Cannot suspend. */
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

/* --- event ------------------------------------------------------------------------------------ */

/* Something that has happened or not. Opaque. Its memory may go as soon as a wait for it has
 * returned 0, even if the thread that set it is still in weft_event_set. */
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

/* Manual: sets it, and everybody who waits goes on. Auto: the one who has waited longest goes on; if
 * nobody waits, the next who comes. To set what is set has no effect. 0. Any thread. Cannot
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

/* A count of things to come, and the wait for the last of them. Opaque. Its memory may go as soon as
 * a wait for it has returned 0, even if the thread that counted to 0 is still in weft_latch_down. */
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

#ifdef __cplusplus
}
#endif

#endif
