/* mutex.c: the mutex, handed from owner to owner in the order in which they came.
 *
 *   FREE --[lock, nobody waits]--> OWNED --[unlock, nobody waits]--> FREE
 *                                  OWNED --[unlock: claims the first waiter]--> OWNED by that one
 *
 * Facts under the lock: FREE (owner NULL) means that no live wait is queued. The owner is a task,
 * and only compared: it may be gone if it ended without unlocking. What is said of it in a message
 * is its place, which is static.
 *
 * Why hand-off, although it makes convoys (each turn is a switch while anybody waits): a task that
 * unlocks and locks again in a loop would starve those that wait, which on a pool of few workers is
 * not rare but certain. */
#include "pool/base/sys.h"
#include "src/block.h"
#include "src/sync.h"

struct wf_mutex {
    struct wf_lock lock;
    /* under lock */
    struct wf_task *owner; /* NULL: free */
    const weft_place *owner_place;
    struct wf_list waiters; /* wf_waiter.in_queue; its item is the task that waits */
};

WF_FITS(mutex);

static struct wf_mutex *mutex_of(const weft_mutex *mutex)
{
    return (struct wf_mutex *)(uintptr_t)mutex;
}

void weft_mutex_init(weft_mutex *handle)
{
    wf_live_begin(handle, "weft_mutex");
    struct wf_mutex *mutex = mutex_of(handle);
    *mutex = (struct wf_mutex){.owner = NULL};
    wf_list_init(&mutex->waiters);
}

void weft_mutex_fini(weft_mutex *handle)
{
    wf_live_end(handle);
    struct wf_mutex *mutex = mutex_of(handle);
    if (wf_sync_is_nobodys(&mutex->waiters)) {
        return;
    }
    wf_lock(&mutex->lock);
    const weft_place *owner = mutex->owner != NULL ? mutex->owner_place : NULL;
    (void)wf_waitq_claim_all(&mutex->waiters, WF_WAIT_SHUT);
    wf_unlock(&mutex->lock);
    if (owner != NULL) { /* nobody waits for a free one */
        wf_misuse("weft_mutex_fini: it is locked by the task started at %s:%d", owner->file,
                  owner->line);
    }
}

/* --- under the lock --------------------------------------------------------------------------- */

static void own(struct wf_mutex *mutex, struct wf_task *task)
{
    mutex->owner = task;
    mutex->owner_place = task->place;
}

static int take_mutex(struct wf_mutex *mutex, struct wf_task *task)
{
    if (mutex->owner == NULL) {
        own(mutex, task);
        return 0;
    }
    return mutex->owner == task ? -EDEADLK : -EAGAIN;
}

/* What the caller resumes when it has let go of the lock; or NULL. */
static struct wf_work *pass_on(struct wf_mutex *mutex)
{
    struct wf_work *owed = NULL;
    struct wf_waiter *first;
    while ((first = wf_waitq_first(&mutex->waiters)) != NULL) { /* ends: each turn takes one out */
        own(mutex, first->item); /* before the claim: the waiter may be gone after it */
        if (wf_waitq_grant_owing(first, &owed)) {
            return owed;
        }
    }
    mutex->owner = NULL;
    return NULL;
}

/* --- lock, unlock ----------------------------------------------------------------------------- */

static ssize_t lock_finish(struct wf_call *call)
{
    /* What is ours we unlock, which takes the lock: no need to take it now. */
    return wf_wait_outcome(&call->wait) == WF_WAIT_GRANTED ? 0 : wf_sync_finish(call);
}

static const weft_place *mutex_holder(const void *object)
{
    struct wf_mutex mutex;
    return wf_sys.peek(&mutex, object, sizeof mutex) == 0 && mutex.owner != NULL ? mutex.owner_place
                                                                                 : NULL;
}

static const struct wf_wait_ops lock_ops = {.cancel = wf_wait_cancel_claim,
                                            .finish = lock_finish,
                                            .name = "weft_mutex_lock",
                                            .holder = mutex_holder};

static int lock_waiting(struct wf_fiber *self, void *at, void *task)
{
    struct wf_mutex *mutex = at;
    struct wf_call *call = wf_own_call(self);
    wf_call_queue_staying(call, &self->resume, &lock_ops, mutex, &mutex->waiters, task, self->env);
    wf_unlock(&mutex->lock);
    enum wf_wait_state outcome = wf_fiber_lie(self, call, lock_ops.name);
    return wf_likely(outcome == WF_WAIT_GRANTED) ? 0 : (int)lock_finish(call);
}

/* Entered, and with the lock; returns without it. */
WF_INLINE int lock_locked(struct wf_fiber *self, struct wf_mutex *mutex)
{
    struct wf_task *task = self->env->task;
    int rc = take_mutex(mutex, task);
    if (rc == -EAGAIN) {
        return wf_fiber_lying(self, mutex, task, lock_waiting);
    }
    wf_unlock(&mutex->lock);
    return wf_spend_and_return(self, rc);
}

static WF_NOINLINE int lock_otherwise(struct wf_mutex *mutex)
{
    int rc = 0;
    struct wf_fiber *self = wf_enter_call(&rc);
    if (self == NULL) {
        return rc;
    }
    wf_lock(&mutex->lock);
    return lock_locked(self, mutex);
}

int weft_mutex_lock(weft_mutex *handle)
{
    struct wf_mutex *mutex = mutex_of(handle);
    struct wf_fiber *self = wf_enter_at_once();
    if (wf_unlikely(self == NULL || !wf_lock_at_once(&mutex->lock))) {
        return lock_otherwise(mutex);
    }
    return lock_locked(self, mutex);
}

int weft_mutex_try(weft_mutex *handle)
{
    struct wf_mutex *mutex = mutex_of(handle);
    int rc = 0;
    struct wf_fiber *self = wf_enter_task(&rc);
    if (wf_unlikely(self == NULL)) {
        return rc;
    }
    wf_lock(&mutex->lock);
    rc = take_mutex(mutex, self->env->task);
    wf_unlock(&mutex->lock);
    return rc;
}

static WF_COLD int not_the_owner(const struct wf_task *task, const weft_place *owner)
{
    if (owner == NULL) {
        wf_misuse("weft_mutex_unlock: the task started at %s:%d unlocks a mutex that is not locked",
                  task->place->file, task->place->line);
    } else {
        wf_misuse("weft_mutex_unlock: the task started at %s:%d unlocks a mutex that is locked by "
                  "the one started at %s:%d",
                  task->place->file, task->place->line, owner->file, owner->line);
    }
    return -EINVAL;
}

static WF_NOINLINE int pass_on_otherwise(struct wf_mutex *mutex)
{
    struct wf_work *owed = pass_on(mutex);
    wf_unlock(&mutex->lock);
    if (owed != NULL) {
        wf_wait_resume(owed);
    }
    return 0;
}

/* Called with the lock, returns without it: somebody has come to wait. */
static WF_NOINLINE int unlock_for_waiter(struct wf_mutex *mutex)
{
    struct wf_waiter *first = wf_container_of(mutex->waiters.next, struct wf_waiter, in_queue);
    struct wf_work *owed;
    if (wf_unlikely(!wf_waitq_grant_lying(first, &owed))) {
        return pass_on_otherwise(mutex);
    }
    own(mutex, first->item);
    wf_unlock(&mutex->lock);
    wf_wait_resume_inline(owed);
    return 0;
}

/* By `task`, with the lock; returns without it. */
WF_INLINE int unlock_locked(struct wf_mutex *mutex, struct wf_task *task)
{
    if (wf_unlikely(mutex->owner != task)) {
        const weft_place *owner = mutex->owner != NULL ? mutex->owner_place : NULL;
        wf_unlock(&mutex->lock);
        return not_the_owner(task, owner);
    }
    if (!wf_list_is_empty(&mutex->waiters)) {
        return unlock_for_waiter(mutex);
    }
    mutex->owner = NULL;
    wf_unlock(&mutex->lock);
    return 0;
}

static WF_NOINLINE int unlock_contended(struct wf_mutex *mutex, struct wf_task *task)
{
    wf_lock(&mutex->lock);
    return unlock_locked(mutex, task);
}

int weft_mutex_unlock(weft_mutex *handle)
{
    struct wf_mutex *mutex = mutex_of(handle);
    int rc = 0;
    struct wf_fiber *self = wf_enter_task(&rc);
    if (wf_unlikely(self == NULL)) {
        return rc;
    }
    struct wf_task *task = self->env->task;
    return wf_lock_at_once(&mutex->lock) ? unlock_locked(mutex, task)
                                         : unlock_contended(mutex, task);
}

const weft_place *weft_mutex_owner(const weft_mutex *handle)
{
    struct wf_mutex *mutex = mutex_of(handle);
    if (wf_forked) {
        return NULL;
    }
    wf_lock(&mutex->lock);
    const weft_place *place = mutex->owner != NULL ? mutex->owner_place : NULL;
    wf_unlock(&mutex->lock);
    return place;
}
