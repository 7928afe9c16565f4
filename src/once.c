/* once.c: what is done once, by whoever comes first; and what may only be done by one at a time.
 *
 * once: NEW --[once_begin]--> RUNNING --[settle_once, done]--> DONE, and all that wait go on
 *                             RUNNING --[settle_once, failed, somebody waits]--> RUNNING by him
 *                             RUNNING --[settle_once, failed, nobody waits]--> NEW
 *
 * Zeroed memory is a NEW one, whose queue is made when it is first needed.
 *
 * guard: two words. `entered` is the place of the call that is inside, NULL if none is: whoever
 * sets it is inside. `by` is for messages, and only then read by others: it may lag behind. */
#include "src/sync.h"
#include <string.h>

/* --- once ------------------------------------------------------------------------------------- */

enum { ONCE_NEW = 0, ONCE_RUNNING = 1, ONCE_DONE = 2 };

struct wf_once {
    struct wf_lock lock;
    WF_ATOMIC(uint32_t) state; /* under lock, but for reads that look for DONE */
    struct wf_task *runner;    /* under lock, while RUNNING; only compared */
    struct wf_list waiters;    /* its item is the task that waits */
};

WF_FITS(once);

static struct wf_once *once_of(weft_once *once)
{
    return (struct wf_once *)(void *)once;
}

/* What a beginning and an end say: */
#define ONCE_IS_MINE 0 /* run it, then settle */
#define ONCE_IS_OVER 1

static int once_state(struct wf_once *once)
{
    /* relaxed: written under the lock, which we hold */
    return wf_load_relaxed(&once->state) == ONCE_DONE ? ONCE_IS_OVER : ONCE_IS_MINE;
}

static ssize_t once_finish(struct wf_call *call)
{
    enum wf_wait_state outcome = wf_wait_outcome(&call->wait);
    struct wf_once *once = call->object;
    wf_lock(&once->lock);
    wf_list_unlink(&call->place.in_queue);
    /* granted: it is over, or we are the runner */
    int rc = outcome == WF_WAIT_GRANTED ? once_state(once) : -ECANCELED;
    wf_unlock(&once->lock);
    return rc;
}

static const struct wf_wait_ops once_ops = {
    .cancel = wf_wait_cancel_claim, .finish = once_finish, .name = "weft_once_call"};

static ssize_t once_begin(struct wf_once *once, struct wf_call *call, struct wf_work *resume,
                          struct wf_task *task)
{
    ssize_t rc = 0;
    wf_lock(&once->lock);
    if (wf_sync_is_zeroed(&once->waiters)) {
        wf_list_init(&once->waiters);
    }
    if (wf_load_relaxed(&once->state) != ONCE_RUNNING) { /* relaxed, and below: under the lock */
        rc = once_state(once);
        if (rc == ONCE_IS_MINE) {
            wf_store_relaxed(&once->state, ONCE_RUNNING);
            once->runner = task;
        }
    } else if (once->runner == task) {
        rc = -EDEADLK;
    } else {
        wf_call_queue(call, resume, &once_ops, once, &once->waiters, task);
        rc = WF_PENDING;
    }
    wf_unlock(&once->lock);
    return rc;
}

/* It failed: the next who waits tries. */
static void pass_once(struct wf_once *once)
{
    struct wf_waiter *first;
    while ((first = wf_waitq_first(&once->waiters)) != NULL) { /* ends: each turn takes one out */
        once->runner = first->item; /* before the claim: the waiter may be gone after it */
        if (wf_waitq_grant(first)) {
            return;
        }
    }
    once->runner = NULL;
    wf_store_relaxed(&once->state, ONCE_NEW); /* relaxed: only DONE is looked for outside */
}

static void settle_once(struct wf_once *once, bool done)
{
    wf_lock(&once->lock);
    if (done) {
        once->runner = NULL;
        /* sync(once.done): release, what the function did; pairs sync(once.look) */
        wf_store_release(&once->state, ONCE_DONE);
        (void)wf_waitq_claim_all(&once->waiters, WF_WAIT_GRANTED);
    } else {
        pass_once(once);
    }
    wf_unlock(&once->lock);
}

static bool is_over(struct wf_once *once)
{
    /* sync(once.look): acquire, what the function did; pairs sync(once.done) */
    return wf_load_acquire(&once->state) == ONCE_DONE;
}

int weft_once_call(weft_once *handle, weft_fn *fn, void *arg)
{
    struct wf_once *once = once_of(handle);
    int rc = 0;
    struct wf_fiber *self = wf_enter_call(&rc);
    if (wf_unlikely(self == NULL)) {
        return rc;
    }
    if (wf_likely(is_over(once))) {
        return 0;
    }
    struct wf_call call;
    rc = (int)wf_call_end(self, &call, once_begin(once, &call, &self->resume, self->env->task));
    if (rc != ONCE_IS_MINE) {
        return rc == ONCE_IS_OVER ? 0 : rc;
    }
    WF_GUARDED(rc = fn(arg));
    settle_once(once, rc >= 0);
    return rc < 0 ? rc : 0;
}

/* --- guard ------------------------------------------------------------------------------------ */

struct wf_guard_words {
    WF_ATOMIC(const weft_place *) entered;
    WF_ATOMIC(const weft_place *) by; /* where the task inside was started */
};

_Static_assert(sizeof(struct wf_guard_words) <= sizeof(weft_guard), "weft_guard is too small");

static struct wf_guard_words *guard_of(weft_guard *guard)
{
    return (struct wf_guard_words *)(void *)guard;
}

void weft_guard_init(weft_guard *handle)
{
    struct wf_guard_words *guard = guard_of(handle);
    wf_store_relaxed(&guard->entered, NULL); /* relaxed, both: not shared yet */
    wf_store_relaxed(&guard->by, NULL);
}

/* For code that is in no task. */
static const weft_place no_task = {.file = "a thread", .function = ""};

static const weft_place *place_of_self(void)
{
    int rc = 0;
    struct wf_fiber *self = wf_enter_task(&rc);
    return self != NULL ? self->env->task->place : &no_task;
}

static const char *file_name(const weft_place *place)
{
    const char *slash = strrchr(place->file, '/');
    return slash != NULL ? slash + 1 : place->file;
}

/* The record's place is that of the call that is refused. */
static WF_COLD int is_busy(struct wf_guard_words *guard, const weft_place *inside,
                           const weft_place *place)
{
    const weft_place *by = wf_load_relaxed(&guard->by); /* relaxed: for the message */
    by = by != NULL ? by : &no_task;
    const weft_place *me = place_of_self();
    return weft_fail_(place, -EBUSY, "entered at %s:%d by the task of %s:%d, and by that of %s:%d",
                      file_name(inside), inside->line, file_name(by), by->line, file_name(me),
                      me->line);
}

int weft_guard_enter_(weft_guard *handle, const weft_place *place)
{
    struct wf_guard_words *guard = guard_of(handle);
    if (wf_forked) {
        return -ENOSYS;
    }
    const weft_place *inside = NULL;
    /* sync(guard.enter): acquire, what the one before us did inside; pairs sync(guard.leave) */
    if (wf_unlikely(!wf_cas_acquire(&guard->entered, &inside, place))) {
        return is_busy(guard, inside, place);
    }
    wf_store_relaxed(&guard->by, place_of_self()); /* relaxed: for messages */
    return 0;
}

int weft_guard_leave(weft_guard *handle)
{
    struct wf_guard_words *guard = guard_of(handle);
    if (wf_forked) {
        return -ENOSYS;
    }
    /* sync(guard.leave): release, what we did inside; pairs sync(guard.enter) */
    if (wf_unlikely(wf_xchg_release(&guard->entered, NULL) == NULL)) {
        const weft_place *me = place_of_self();
        wf_misuse("weft_guard_leave: nobody is inside; called by the task started at %s:%d",
                  me->file, me->line);
        return -EINVAL;
    }
    return 0;
}
