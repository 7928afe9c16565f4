/* sem.c: the semaphore.
 *
 * Facts under the lock: the longest-waiting live waiter wants more permits than there are, or there
 * is none. So what is counted is free for a newcomer only if nobody waits; a large request at the
 * head is not overtaken by small ones, and gets its permits as soon as there are enough of them. A
 * release counts up, then serves the line in order; a claim that fails was a waiter just cancelled,
 * and its permits stay for the next. A waiter that leaves serves the line too: it may have been the
 * one that held up the others. */
#include "src/block.h"
#include "src/sync.h"
#include "src/value.h"

struct wf_sem {
    struct wf_lock lock;
    /* under lock */
    WF_ATOMIC(uint32_t) permits; /* atomic for weft_sem_count alone */
    uint32_t max;
    bool closed;
    struct wf_list waiters; /* wf_waiter.in_queue; its item is the number wanted */
};

WF_FITS(sem);

#define PERMITS_MAX ((uint32_t)INT32_MAX)

static struct wf_sem *sem_of(const weft_sem *sem)
{
    return (struct wf_sem *)(uintptr_t)sem;
}

void weft_sem_init(weft_sem *handle, uint32_t permits, uint32_t max)
{
    wf_live_begin(handle, "weft_sem");
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

/* Ends all waits, and those to come: whether any was, and in *first whether it was open. */
static bool shut_sem(struct wf_sem *sem, bool *first)
{
    wf_lock(&sem->lock);
    *first = !sem->closed;
    sem->closed = true;
    bool waited = wf_waitq_claim_all(&sem->waiters, WF_WAIT_SHUT);
    wf_unlock(&sem->lock);
    return waited;
}

void weft_sem_fini(weft_sem *handle)
{
    wf_live_end(handle);
    struct wf_sem *sem = sem_of(handle);
    bool first;
    if (!wf_sync_is_nobodys(&sem->waiters) && shut_sem(sem, &first)) {
        wf_misuse("weft_sem_fini: tasks were waiting for it");
    }
}

int weft_sem_close(weft_sem *handle)
{
    if (wf_forked) {
        return -ENOSYS;
    }
    bool first;
    (void)shut_sem(sem_of(handle), &first);
    return first ? 0 : -EALREADY;
}

/* --- under the lock; relaxed accesses to permits: written under the lock only ----------------- */

WF_INLINE int take_permits(struct wf_sem *sem, uint32_t n)
{
    if (wf_unlikely(sem->closed)) {
        return -ESHUTDOWN;
    }
    uint32_t permits = wf_load_relaxed(&sem->permits);
    if (permits < n || wf_waitq_first(&sem->waiters) != NULL) {
        return -EAGAIN;
    }
    wf_store_relaxed(&sem->permits, permits - n);
    return 0;
}

static WF_NOINLINE void serve_permits(struct wf_sem *sem)
{
    struct wf_waiter *first;
    while ((first = wf_waitq_first(&sem->waiters)) != NULL) { /* ends: each turn takes one out */
        uint32_t permits = wf_load_relaxed(&sem->permits);
        uint32_t n = (uint32_t)(uintptr_t)first->item;
        if (n > permits) {
            break;
        }
        wf_store_relaxed(&sem->permits, permits - n); /* first: the compiler may forget n */
        if (!wf_waitq_grant(first)) {
            wf_store_relaxed(&sem->permits, permits);
        }
    }
}

/* --- acquire ---------------------------------------------------------------------------------- */

static WF_NOINLINE ssize_t acquire_ended(struct wf_call *call, enum wf_wait_state outcome)
{
    if (outcome == WF_WAIT_SHUT) {
        return -ESHUTDOWN;
    }
    /* out of the queue, under the lock; a granter may look at us until then */
    struct wf_sem *sem = call->object;
    wf_lock(&sem->lock);
    wf_list_unlink(&call->place.in_queue);
    serve_permits(sem); /* S.2: those behind may have waited for us alone */
    wf_unlock(&sem->lock);
    return -ECANCELED;
}

static ssize_t acquire_finish(struct wf_call *call)
{
    enum wf_wait_state outcome = wf_wait_outcome(&call->wait);
    return outcome == WF_WAIT_GRANTED ? 0 : acquire_ended(call, outcome);
}

static void acquire_discard(struct wf_call *call, ssize_t result)
{
    if (result == 0) {
        (void)weft_sem_release(call->object, (uint32_t)(uintptr_t)call->place.item);
    }
}

static const struct wf_wait_ops acquire_ops = {.cancel = wf_wait_cancel_claim,
                                               .finish = acquire_finish,
                                               .discard = acquire_discard,
                                               .name = "weft_sem_acquire"};

/* Called with the lock, returns without it. */
WF_INLINE ssize_t acquire_queue(struct wf_sem *sem, struct wf_call *call, struct wf_work *resume,
                                void *wanted)
{
    wf_call_queue(call, resume, &acquire_ops, sem, &sem->waiters, wanted);
    wf_unlock(&sem->lock);
    return WF_PENDING;
}

static int acquire_waiting(struct wf_fiber *self, void *at, void *wanted)
{
    struct wf_sem *sem = at;
    struct wf_call *call = wf_own_call(self);
    wf_call_queue_staying(call, &self->resume, &acquire_ops, sem, &sem->waiters, wanted, self->env);
    wf_unlock(&sem->lock);
    enum wf_wait_state outcome = wf_fiber_lie(self, call, acquire_ops.name);
    return wf_likely(outcome == WF_WAIT_GRANTED) ? 0 : (int)acquire_ended(call, outcome);
}

WF_INLINE void *as_item(uint32_t n)
{
    return (void *)(uintptr_t)n; // NOLINT(performance-no-int-to-ptr): a number
}

static ssize_t acquire_begin(struct wf_sem *sem, struct wf_call *call, struct wf_work *resume,
                             uint32_t n)
{
    wf_lock(&sem->lock);
    ssize_t rc = take_permits(sem, n);
    if (rc == -EAGAIN) {
        return acquire_queue(sem, call, resume, as_item(n));
    }
    wf_unlock(&sem->lock);
    return rc;
}

/* More than there ever can be is never had: waiting for it would be a hang. */
static bool is_out_of_range(const struct wf_sem *sem, uint32_t n)
{
    return n == 0 || n > sem->max;
}

/* Entered, and with the lock; returns without it. */
WF_INLINE int acquire_locked(struct wf_fiber *self, struct wf_sem *sem, uint32_t n)
{
    ssize_t got = take_permits(sem, n);
    if (got == -EAGAIN) {
        return wf_fiber_lying(self, sem, as_item(n), acquire_waiting);
    }
    wf_unlock(&sem->lock);
    return wf_spend_and_return(self, (int)got);
}

static WF_NOINLINE int acquire_otherwise(struct wf_sem *sem, uint32_t n)
{
    int rc = 0;
    struct wf_fiber *self = wf_enter_call(&rc);
    if (self == NULL) {
        return rc;
    }
    if (is_out_of_range(sem, n)) {
        return -EINVAL;
    }
    wf_lock(&sem->lock);
    return acquire_locked(self, sem, n);
}

WF_INLINE int acquire_permits(struct wf_sem *sem, uint32_t n)
{
    struct wf_fiber *self = wf_enter_at_once();
    if (wf_unlikely(self == NULL || is_out_of_range(sem, n) || !wf_lock_at_once(&sem->lock))) {
        return acquire_otherwise(sem, n);
    }
    return acquire_locked(self, sem, n);
}

int weft_sem_acquire_n(weft_sem *handle, uint32_t n)
{
    return acquire_permits(sem_of(handle), n);
}

int weft_sem_acquire(weft_sem *handle)
{
    return acquire_permits(sem_of(handle), 1);
}

weft_val weft_sem_acquire_n_v_(weft_sem *handle, uint32_t n, const weft_place *place)
{
    struct wf_sem *sem = sem_of(handle);
    if (is_out_of_range(sem, n)) {
        return wf_val_done(wf_forked ? -ENOSYS : -EINVAL, place);
    }
    struct wf_begun b;
    return wf_v_begin(&b, WF_V_CALL, place) ? wf_v_end(&b, acquire_begin(sem, b.call, b.resume, n))
                                            : b.val;
}

int weft_sem_try_n(weft_sem *handle, uint32_t n)
{
    struct wf_sem *sem = sem_of(handle);
    if (wf_forked) {
        return -ENOSYS;
    }
    if (is_out_of_range(sem, n)) {
        return -EINVAL;
    }
    wf_lock(&sem->lock);
    int rc = take_permits(sem, n);
    wf_unlock(&sem->lock);
    return rc;
}

int weft_sem_try(weft_sem *handle)
{
    return weft_sem_try_n(handle, 1);
}

/* --- release ---------------------------------------------------------------------------------- */

/* There are more permits than the first takes. Before the others it is resumed, as it came before
 * them. */
static WF_COLD void serve_more(struct wf_sem *sem, struct wf_work **owed)
{
    if (*owed != NULL) {
        wf_wait_resume(*owed);
        *owed = NULL;
    }
    serve_permits(sem);
}

static WF_NOINLINE int release_otherwise(struct wf_sem *sem, uint32_t permits)
{
    struct wf_work *owed = NULL;
    struct wf_waiter *first = wf_waitq_first(&sem->waiters);
    uint32_t n = first != NULL ? (uint32_t)(uintptr_t)first->item : 0;
    wf_store_relaxed(&sem->permits, n <= permits ? permits - n : permits);
    if (first == NULL || n > permits) {
        /* as many as there are do for nobody */
    } else if (wf_unlikely(!wf_waitq_grant_owing(first, &owed))) {
        wf_store_relaxed(&sem->permits, permits);
        serve_permits(sem);
    } else if (wf_unlikely(permits > n)) {
        serve_more(sem, &owed);
    }
    wf_unlock(&sem->lock);
    if (wf_likely(owed != NULL)) {
        wf_wait_resume(owed);
    }
    return 0;
}

/* Called with the lock, returns without it: there are `permits` now, and there were waiters. The
 * first of them, as a rule the only one that is served, is resumed without the lock. */
static WF_NOINLINE int release_to_waiters(struct wf_sem *sem, uint32_t permits)
{
    struct wf_waiter *first = wf_container_of(sem->waiters.next, struct wf_waiter, in_queue);
    struct wf_work *owed;
    if (wf_unlikely((uint32_t)(uintptr_t)first->item != permits ||
                    !wf_waitq_grant_lying(first, &owed))) {
        return release_otherwise(sem, permits);
    }
    wf_store_relaxed(&sem->permits, 0);
    wf_unlock(&sem->lock);
    wf_wait_resume_inline(owed);
    return 0;
}

/* With the lock; returns without it. */
WF_INLINE int release_locked(struct wf_sem *sem, uint32_t n)
{
    uint32_t permits = wf_load_relaxed(&sem->permits);
    if (wf_unlikely(n > sem->max - permits)) {
        wf_unlock(&sem->lock);
        return -EOVERFLOW;
    }
    if (!wf_list_is_empty(&sem->waiters)) {
        return release_to_waiters(sem, permits + n);
    }
    wf_store_relaxed(&sem->permits, permits + n);
    wf_unlock(&sem->lock);
    return 0;
}

static WF_NOINLINE int release_contended(struct wf_sem *sem, uint32_t n)
{
    wf_lock(&sem->lock);
    return release_locked(sem, n);
}

int weft_sem_release(weft_sem *handle, uint32_t n)
{
    struct wf_sem *sem = sem_of(handle);
    if (wf_unlikely(wf_forked)) {
        return -ENOSYS;
    }
    if (wf_unlikely(n == 0)) {
        return -EINVAL;
    }
    return wf_lock_at_once(&sem->lock) ? release_locked(sem, n) : release_contended(sem, n);
}

uint32_t weft_sem_count(const weft_sem *handle)
{
    return wf_load_relaxed(&sem_of(handle)->permits); /* relaxed: a snapshot */
}
