/* rwlock.c: many readers or one writer, in the order in which they came.
 *
 * Facts under the lock: writer != NULL implies readers == 0. The longest-waiting live waiter is one
 * that has to wait: a writer while anybody is inside, or a reader while a writer is. So a reader
 * waits behind a writer that waits, and neither kind starves the other. Whoever leaves, the inside
 * or the line, serves the line: one writer, or all the readers up to the next writer.
 *
 * A reader that reads again would wait behind a writer that waits for it: for ever. Each task
 * therefore knows which locks it holds for reading (struct wf_task, `reads`), and is told -EDEADLK
 * whether a writer waits or not, so that the fault shows in the first test and not in the first
 * night. The alternatives: the lock knows its readers (no bound on them, so no place for all), or a
 * reader that comes back is let in past the writer (then one task that always comes back starves
 * it). What a task knows is bounded: further locks are only counted, and not protected so. */
#include "pool/base/sys.h"
#include "src/sync.h"

struct wf_rwlock {
    struct wf_lock lock;
    /* under lock */
    uint32_t readers;       /* inside */
    struct wf_task *writer; /* inside; only compared, as the owner in mutex.c; NULL: none */
    const weft_place *writer_place;
    struct wf_list waiters; /* its item is the task that wants to write, or NULL: to read */
};

WF_FITS(rwlock);

static struct wf_rwlock *rwlock_of(const weft_rwlock *lock)
{
    return (struct wf_rwlock *)(uintptr_t)lock;
}

void weft_rwlock_init(weft_rwlock *handle)
{
    wf_live_begin(handle, "weft_rwlock");
    struct wf_rwlock *lock = rwlock_of(handle);
    *lock = (struct wf_rwlock){.readers = 0};
    wf_list_init(&lock->waiters);
}

void weft_rwlock_fini(weft_rwlock *handle)
{
    wf_live_end(handle);
    struct wf_rwlock *lock = rwlock_of(handle);
    if (wf_sync_is_nobodys(&lock->waiters)) {
        return;
    }
    wf_lock(&lock->lock);
    uint32_t inside = lock->readers + (lock->writer != NULL);
    (void)wf_waitq_claim_all(&lock->waiters, WF_WAIT_SHUT);
    wf_unlock(&lock->lock);
    if (inside != 0) { /* nobody waits for a free one */
        wf_misuse("weft_rwlock_fini: %u tasks hold it", inside);
    }
}

/* --- what a task holds for reading ------------------------------------------------------------ */

/* Relaxed, all: only the sections of the task itself look, and each looks for what it or those
 * before its fork have noted. Two sections may note at the same time: hence the
 * compare-and-swap. */

WF_INLINE bool reads_already(struct wf_task *task, const struct wf_rwlock *lock)
{
    for (int i = 0; i < WF_READS_KNOWN; i++) {
        if (wf_load_relaxed(&task->reads[i]) == lock) {
            return true;
        }
    }
    return false;
}

WF_INLINE void note_read(struct wf_task *task, const struct wf_rwlock *lock)
{
    wf_task_touch(task);
    for (int i = 0; i < WF_READS_KNOWN; i++) {
        const void *none = NULL;
        if (wf_cas_relaxed(&task->reads[i], &none, lock)) {
            return;
        }
    }
    (void)wf_add_relaxed(&task->reads_more, 1);
}

/* Whether the task holds it for reading, as far as it knows; and it does not any more. */
WF_INLINE bool forget_read(struct wf_task *task, const struct wf_rwlock *lock)
{
    for (int i = 0; i < WF_READS_KNOWN; i++) {
        if (wf_load_relaxed(&task->reads[i]) == lock) {
            wf_store_relaxed(&task->reads[i],
                             NULL); /* that lock's lock is ours: nobody else does */
            return true;
        }
    }
    if (wf_load_relaxed(&task->reads_more) == 0) {
        return false;
    }
    (void)wf_sub_relaxed(&task->reads_more, 1);
    return true;
}

/* --- under the lock --------------------------------------------------------------------------- */

static bool somebody_waits_still(struct wf_rwlock *lock)
{
    return wf_waitq_first(&lock->waiters) != NULL;
}

WF_INLINE bool somebody_waits(struct wf_rwlock *lock)
{
    return wf_unlikely(!wf_list_is_empty(&lock->waiters)) && somebody_waits_still(lock);
}

WF_INLINE int enter_read(struct wf_rwlock *lock, struct wf_task *task)
{
    if (lock->writer == task || reads_already(task, lock)) {
        return -EDEADLK;
    }
    if (lock->writer != NULL || somebody_waits(lock)) {
        return -EAGAIN;
    }
    lock->readers++;
    note_read(task, lock);
    return 0;
}

static void write_as(struct wf_rwlock *lock, struct wf_task *task)
{
    lock->writer = task;
    lock->writer_place = task->place;
}

WF_INLINE int enter_write(struct wf_rwlock *lock, struct wf_task *task)
{
    if (lock->writer == task || reads_already(task, lock)) {
        return -EDEADLK;
    }
    if (lock->writer != NULL || lock->readers != 0 || somebody_waits(lock)) {
        return -EAGAIN;
    }
    write_as(lock, task);
    return 0;
}

static void serve_rwlock(struct wf_rwlock *lock)
{
    struct wf_waiter *first;
    /* ends: each turn takes one out; or somebody is inside whom the next may not join */
    while (lock->writer == NULL && (first = wf_waitq_first(&lock->waiters)) != NULL) {
        struct wf_task *writer = first->item;
        if (writer == NULL) {
            lock->readers += wf_waitq_grant(first);
        } else if (lock->readers == 0) {
            write_as(lock, writer); /* before the claim: the waiter may be gone after it */
            if (!wf_waitq_grant(first)) {
                lock->writer = NULL;
            }
        } else {
            break;
        }
    }
}

/* --- read, write, unlock ---------------------------------------------------------------------- */

static ssize_t rwlock_finish(struct wf_call *call)
{
    struct wf_rwlock *lock = call->object;
    switch (wf_wait_outcome(&call->wait)) {
    case WF_WAIT_GRANTED:
        return 0;
    case WF_WAIT_SHUT:
        return -ESHUTDOWN;
    default:
        wf_lock(&lock->lock);
        wf_list_unlink(&call->place.in_queue);
        serve_rwlock(lock); /* S.2: readers may have waited behind a writer that leaves */
        wf_unlock(&lock->lock);
        return -ECANCELED;
    }
}

static ssize_t read_finish(struct wf_call *call)
{
    ssize_t rc = rwlock_finish(call);
    if (rc == 0) {
        note_read((struct wf_task *)(uintptr_t)call->detail, call->object);
    }
    return rc;
}

static const weft_place *rwlock_holder(const void *object)
{
    struct wf_rwlock lock;
    return wf_sys.peek(&lock, object, sizeof lock) == 0 && lock.writer != NULL ? lock.writer_place
                                                                               : NULL;
}

static const struct wf_wait_ops read_ops = {.cancel = wf_wait_cancel_claim,
                                            .finish = read_finish,
                                            .name = "weft_rwlock_read",
                                            .holder = rwlock_holder};
static const struct wf_wait_ops write_ops = {.cancel = wf_wait_cancel_claim,
                                             .finish = rwlock_finish,
                                             .name = "weft_rwlock_write",
                                             .holder = rwlock_holder};

/* Both are called with the lock, and return without it. */
static void read_queue(struct wf_rwlock *lock, struct wf_call *call, struct wf_work *resume,
                       struct wf_task *task)
{
    wf_call_queue(call, resume, &read_ops, lock, &lock->waiters, NULL);
    call->detail = (uintptr_t)task;
    wf_unlock(&lock->lock);
}

static void write_queue(struct wf_rwlock *lock, struct wf_call *call, struct wf_work *resume,
                        struct wf_task *task)
{
    wf_call_queue(call, resume, &write_ops, lock, &lock->waiters, task);
    wf_unlock(&lock->lock);
}

/* Called with the lock, returns without it. */
static WF_NOINLINE int read_waiting(struct wf_fiber *self, struct wf_rwlock *lock)
{
    struct wf_task *task = self->env->task;
    struct wf_call call;
    read_queue(lock, &call, &self->resume, task);
    return (int)wf_call_block(self, &call);
}

static WF_NOINLINE int write_waiting(struct wf_fiber *self, struct wf_rwlock *lock)
{
    struct wf_call call;
    write_queue(lock, &call, &self->resume, self->env->task);
    return (int)wf_call_block(self, &call);
}

/* Entered, and with the lock; returns without it. */
WF_INLINE int read_locked(struct wf_fiber *self, struct wf_rwlock *lock)
{
    int rc = enter_read(lock, self->env->task);
    if (rc == -EAGAIN) {
        return read_waiting(self, lock);
    }
    wf_unlock(&lock->lock);
    return wf_spend_and_return(self, rc);
}

WF_INLINE int write_locked(struct wf_fiber *self, struct wf_rwlock *lock)
{
    int rc = enter_write(lock, self->env->task);
    if (rc == -EAGAIN) {
        return write_waiting(self, lock);
    }
    wf_unlock(&lock->lock);
    return wf_spend_and_return(self, rc);
}

static WF_NOINLINE int enter_otherwise(struct wf_rwlock *lock, bool writes)
{
    int rc = 0;
    struct wf_fiber *self = wf_enter_call(&rc);
    if (self == NULL) {
        return rc;
    }
    wf_lock(&lock->lock);
    return writes ? write_locked(self, lock) : read_locked(self, lock);
}

int weft_rwlock_read(weft_rwlock *handle)
{
    struct wf_rwlock *lock = rwlock_of(handle);
    struct wf_fiber *self = wf_enter_at_once();
    if (wf_unlikely(self == NULL || !wf_lock_at_once(&lock->lock))) {
        return enter_otherwise(lock, false);
    }
    return read_locked(self, lock);
}

int weft_rwlock_write(weft_rwlock *handle)
{
    struct wf_rwlock *lock = rwlock_of(handle);
    struct wf_fiber *self = wf_enter_at_once();
    if (wf_unlikely(self == NULL || !wf_lock_at_once(&lock->lock))) {
        return enter_otherwise(lock, true);
    }
    return write_locked(self, lock);
}

static int try_rwlock(struct wf_rwlock *lock,
                      int (*enter)(struct wf_rwlock *lock, struct wf_task *task))
{
    int rc = 0;
    struct wf_fiber *self = wf_enter_task(&rc);
    if (wf_unlikely(self == NULL)) {
        return rc;
    }
    wf_lock(&lock->lock);
    rc = enter(lock, self->env->task);
    wf_unlock(&lock->lock);
    return rc;
}

int weft_rwlock_try_read(weft_rwlock *handle)
{
    return try_rwlock(rwlock_of(handle), enter_read);
}

int weft_rwlock_try_write(weft_rwlock *handle)
{
    return try_rwlock(rwlock_of(handle), enter_write);
}

/* Under the lock: whether the task was inside. The caller serves the line. */
WF_INLINE bool leave_rwlock(struct wf_rwlock *lock, struct wf_task *task)
{
    if (wf_likely(lock->readers != 0)) { /* so there is no writer */
        bool was_inside = forget_read(task, lock);
        lock->readers -= was_inside;
        return was_inside;
    }
    bool was_inside = lock->writer == task;
    if (was_inside) {
        lock->writer = NULL;
    }
    return was_inside;
}

static WF_COLD int does_not_hold(const struct wf_task *task)
{
    wf_misuse("weft_rwlock_unlock: the task started at %s:%d does not hold it", task->place->file,
              task->place->line);
    return -EINVAL;
}

/* Called with the lock, returns without it. */
static WF_NOINLINE int serve_and_unlock(struct wf_rwlock *lock)
{
    serve_rwlock(lock);
    wf_unlock(&lock->lock);
    return 0;
}

/* With the lock; returns without it. */
WF_INLINE int leave_locked(struct wf_rwlock *lock, struct wf_task *task)
{
    bool was_inside = leave_rwlock(lock, task);
    if (wf_likely(was_inside) && !wf_list_is_empty(&lock->waiters)) {
        return serve_and_unlock(lock);
    }
    wf_unlock(&lock->lock);
    return wf_likely(was_inside) ? 0 : does_not_hold(task);
}

static WF_NOINLINE int leave_contended(struct wf_rwlock *lock, struct wf_task *task)
{
    wf_lock(&lock->lock);
    return leave_locked(lock, task);
}

int weft_rwlock_unlock(weft_rwlock *handle)
{
    struct wf_rwlock *lock = rwlock_of(handle);
    int rc = 0;
    struct wf_fiber *self = wf_enter_task(&rc);
    if (wf_unlikely(self == NULL)) {
        return rc;
    }
    struct wf_task *task = self->env->task;
    return wf_lock_at_once(&lock->lock) ? leave_locked(lock, task) : leave_contended(lock, task);
}

const weft_place *weft_rwlock_writer(const weft_rwlock *handle)
{
    struct wf_rwlock *lock = rwlock_of(handle);
    if (wf_forked) {
        return NULL;
    }
    wf_lock(&lock->lock);
    const weft_place *place = lock->writer != NULL ? lock->writer_place : NULL;
    wf_unlock(&lock->lock);
    return place;
}
