/* sync.h: what tasks synchronise with. None of these blocks a worker; all may be shared by tasks of
 * one runtime. */
#ifndef WEFT_SYNC_H
#define WEFT_SYNC_H

#include <weft/base.h>

#ifdef __cplusplus
extern "C" {
#endif

/* --- semaphore -------------------------------------------------------------------------------- */

/* A counter of permits with a strictly first-in-first-out queue. Opaque. */
typedef struct weft_sem {
    WEFT_ALIGNAS(8) unsigned char opaque[40];
} weft_sem;

/* `permits` available at first, 0 <= permits <= max; `max` <= 2^31-1, 0 means 2^31-1. Out of range:
 * misuse. */
void weft_sem_init(weft_sem *sem, uint32_t permits, uint32_t max);

/* Ends the semaphore's life. Zeroed memory is fine. With tasks waiting: misuse; they get
 * -ESHUTDOWN. */
void weft_sem_fini(weft_sem *sem);

/* Takes a permit, waiting in turn if there is none. 0; -ECANCELED: no permit was taken (a hand-off
 * that won the race against cancellation returns 0). May suspend. Task context. */
int weft_sem_acquire(weft_sem *sem);

/* Takes a permit if one is there and nobody waits: 0, else -EAGAIN. Any thread. Cannot suspend. */
int weft_sem_try(weft_sem *sem);

/* Gives back n permits, handing them to the longest-waiting tasks first. 0; -EINVAL: n == 0;
 * -EOVERFLOW: the count would exceed max; count unchanged, nobody woken. Any thread. Cannot
 * suspend. */
int weft_sem_release(weft_sem *sem, uint32_t n);

/* Permits available. A snapshot. Any thread. */
uint32_t weft_sem_count(const weft_sem *sem);

#ifdef __cplusplus
}
#endif

#endif
