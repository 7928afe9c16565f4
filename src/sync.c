/* sync.c: the semaphore.
 *
 * Facts under the lock: permits > 0 means that no live wait is queued (a release hands over before
 * it counts up), so a permit that is counted may be taken by anybody, and a newcomer never passes a
 * waiter. A release claims waiters; a claim that fails was a waiter just cancelled, and the permit
 * goes to the next. */
#include "pool/base/check.h"
#include "src/core.h"
#include "src/waitq.h"

struct wf_sem {
    struct wf_lock lock;
    /* under lock */
    WF_ATOMIC(uint32_t) permits; /* atomic for weft_sem_count alone */
    uint32_t max;
    struct wf_list waiters; /* wf_waiter.in_queue; next == NULL: zeroed memory, never initialised */
};

_Static_assert(sizeof(struct wf_sem) <= sizeof(weft_sem), "weft_sem is too small");
_Static_assert(_Alignof(struct wf_sem) <= _Alignof(weft_sem), "weft_sem is not aligned enough");

#define PERMITS_MAX ((uint32_t)INT32_MAX)

static struct wf_sem *sem_of(const weft_sem *sem)
{
    return (struct wf_sem *)(uintptr_t)sem;
}

void weft_sem_init(weft_sem *handle, uint32_t permits, uint32_t max)
{
    struct wf_sem *sem = sem_of(handle);
    max = max != 0 ? max : PERMITS_MAX;
    if (max > PERMITS_MAX || permits > max) {
        wf_misuse("weft_sem_init: %u permits of at most %u", permits, max);
        max = PERMITS_MAX;
        permits = permits < max ? permits : max;
    }
    *sem = (struct wf_sem){.max = max};
    wf_store_relaxed(&sem->permits, permits); /* relaxed: not shared yet */
    wf_list_init(&sem->waiters);
}

void weft_sem_fini(weft_sem *handle)
{
    struct wf_sem *sem = sem_of(handle);
    if (sem->waiters.next == NULL) {
        return;
    }
    wf_lock(&sem->lock);
    bool waited = false;
    while (wf_waitq_claim_first(&sem->waiters, WF_WAIT_SHUT)) { /* ends: each turn takes one out */
        waited = true;
    }
    wf_unlock(&sem->lock);
    if (waited) {
        wf_misuse("weft_sem_fini: tasks were waiting for it");
    }
}

/* Relaxed accesses to permits, here and below: written under the lock only. */
static bool take_locked(struct wf_sem *sem)
{
    uint32_t permits = wf_load_relaxed(&sem->permits);
    if (permits == 0) {
        return false;
    }
    wf_store_relaxed(&sem->permits, permits - 1);
    return true;
}

int weft_sem_try(weft_sem *handle)
{
    struct wf_sem *sem = sem_of(handle);
    if (wf_forked) {
        return -ENOSYS;
    }
    wf_lock(&sem->lock);
    bool taken = take_locked(sem);
    wf_unlock(&sem->lock);
    return taken ? 0 : -EAGAIN;
}

static ssize_t acquire_finish(struct wf_call *call)
{
    struct wf_sem *sem = call->object;
    switch (wf_wait_outcome(&call->wait)) {
    case WF_WAIT_GRANTED:
        return 0;
    case WF_WAIT_SHUT:
        return -ESHUTDOWN;
    default:
        /* out of the queue, under the lock; a granter may look at us until then */
        wf_lock(&sem->lock);
        wf_list_unlink(&call->place.in_queue);
        wf_unlock(&sem->lock);
        return -ECANCELED;
    }
}

static const struct wf_wait_ops acquire_ops = {.cancel = wf_wait_cancel_claim,
                                               .finish = acquire_finish};

static ssize_t acquire_begin(struct wf_sem *sem, struct wf_call *call, struct wf_work *resume)
{
    wf_lock(&sem->lock);
    bool taken = take_locked(sem);
    if (!taken) {
        wf_call_queue(call, resume, &acquire_ops, sem, &sem->waiters, NULL);
    }
    wf_unlock(&sem->lock);
    return taken ? 0 : WF_PENDING;
}

int weft_sem_acquire(weft_sem *handle)
{
    int rc = 0;
    struct wf_fiber *self = wf_enter_call(&rc);
    if (wf_unlikely(self == NULL)) {
        return rc;
    }
    struct wf_call call;
    return (int)wf_call_end(self, &call, acquire_begin(sem_of(handle), &call, &self->resume));
}

int weft_sem_release(weft_sem *handle, uint32_t n)
{
    struct wf_sem *sem = sem_of(handle);
    if (wf_forked) {
        return -ENOSYS;
    }
    if (n == 0) {
        return -EINVAL;
    }
    wf_lock(&sem->lock);
    uint32_t permits = wf_load_relaxed(&sem->permits);
    if (n > sem->max - permits) {
        wf_unlock(&sem->lock);
        return -EOVERFLOW;
    }
    /* ends: n, or the queue */
    while (n > 0 && wf_waitq_claim_first(&sem->waiters, WF_WAIT_GRANTED)) {
        n--;
    }
    wf_store_relaxed(&sem->permits, permits + n);
    wf_unlock(&sem->lock);
    return 0;
}

uint32_t weft_sem_count(const weft_sem *handle)
{
    return wf_load_relaxed(&sem_of(handle)->permits); /* relaxed: a snapshot */
}
