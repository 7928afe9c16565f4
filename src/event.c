/* event.c: the event, with a reset by hand or by itself, and the latch: what a task waits for until
 * somebody says that it has happened.
 *
 * Facts under the lock: an event that is set, and a latch at 0, has no live wait queued.
 *
 * Both are often waited for by the task on whose stack they lie, and told by a thread that nobody
 * waits for: so every end of a wait takes the lock (S.3 in sync.h), and the teller has left the
 * object when the wait returns. */
#include "src/block.h"
#include "src/select.h"
#include "src/sync.h"
#include "src/value.h"

/* --- event ------------------------------------------------------------------------------------ */

struct wf_event {
    struct wf_lock lock;
    bool set;     /* under lock */
    bool is_auto; /* immutable */
    struct wf_list waiters;
};

WF_FITS(event);

static struct wf_event *event_of(const weft_event *event)
{
    return (struct wf_event *)(uintptr_t)event;
}

void weft_event_init(weft_event *handle, int mode)
{
    wf_live_begin(handle, "weft_event");
    struct wf_event *event = event_of(handle);
    *event = (struct wf_event){.is_auto = mode == WEFT_EVENT_AUTO};
    wf_list_init(&event->waiters);
}

void weft_event_fini(weft_event *handle)
{
    wf_live_end(handle);
    struct wf_event *event = event_of(handle);
    if (wf_sync_is_nobodys(&event->waiters)) {
        return;
    }
    struct wf_owed owed = {0};
    wf_lock(&event->lock);
    bool waited = wf_shut_owing(&event->waiters, -ESHUTDOWN, &owed);
    wf_unlock(&event->lock);
    wf_run_owed(&owed);
    if (waited) {
        wf_misuse("weft_event_fini: tasks were waiting for it");
    }
}

static WF_NOINLINE int set_otherwise(struct wf_event *event)
{
    struct wf_work *owed = NULL;
    struct wf_waiter *first;
    /* ends: each turn takes one out */
    while ((first = wf_waitq_first(&event->waiters)) != NULL &&
           !wf_waitq_grant_owing(first, &owed)) {
    }
    event->set = event->set || first == NULL;
    wf_unlock(&event->lock); /* LAST TOUCH: a waiter may be about to free it */
    if (wf_likely(owed != NULL)) {
        wf_wait_resume(owed);
    }
    return 0;
}

/* One that resets itself, and has waiters: the first that lives takes the signal. Called with the
 * lock, returns without it. */
static WF_NOINLINE int set_for_waiter(struct wf_event *event)
{
    struct wf_work *owed;
    if (wf_unlikely(!wf_waitq_grant_lying(
            wf_container_of(event->waiters.next, struct wf_waiter, in_queue), &owed))) {
        return set_otherwise(event);
    }
    wf_unlock(&event->lock); /* LAST TOUCH: a waiter may be about to free it */
    wf_wait_resume_inline(owed);
    return 0;
}

int weft_event_set(weft_event *handle)
{
    struct wf_event *event = event_of(handle);
    if (wf_forked) {
        return -ENOSYS;
    }
    wf_lock(&event->lock);
    if (event->is_auto && !wf_list_is_empty(&event->waiters)) {
        return set_for_waiter(event);
    }
    event->set = true;
    (void)wf_waitq_claim_all(&event->waiters, WF_WAIT_GRANTED);
    wf_unlock(&event->lock); /* LAST TOUCH: a waiter may be about to free it */
    return 0;
}

int weft_event_reset(weft_event *handle)
{
    struct wf_event *event = event_of(handle);
    if (wf_forked) {
        return -ENOSYS;
    }
    wf_lock(&event->lock);
    bool was = event->set;
    event->set = false;
    wf_unlock(&event->lock);
    return was;
}

static bool take_event(struct wf_event *event)
{
    bool set = event->set;
    if (event->is_auto) {
        event->set = false;
    }
    return set;
}

/* The object begins with its lock. */
static void event_discard(struct wf_call *call, ssize_t result)
{
    const struct wf_event *event = call->object;
    if (result == 0 && event->is_auto) {
        weft_event_set(call->object);
    }
}

static const struct wf_wait_ops event_ops = {.cancel = wf_wait_cancel_claim,
                                             .finish = wf_sync_finish,
                                             .discard = event_discard,
                                             .name = "weft_event_wait"};

/* Called with the lock, returns without it. */
WF_INLINE ssize_t event_queue(struct wf_event *event, struct wf_call *call, struct wf_work *resume,
                              const struct wf_wait_ops *ops)
{
    wf_call_queue(call, resume, ops, &event->lock, &event->waiters, NULL);
    wf_unlock(&event->lock);
    return WF_PENDING;
}

static ssize_t begin(struct wf_event *event, struct wf_call *call, struct wf_work *resume,
                     const struct wf_wait_ops *ops)
{
    wf_lock(&event->lock);
    if (!take_event(event)) {
        return event_queue(event, call, resume, ops);
    }
    wf_unlock(&event->lock);
    return 0;
}

static int event_waiting(struct wf_fiber *self, void *at, void *none)
{
    (void)none;
    struct wf_event *event = at;
    struct wf_call *call = wf_own_call(self);
    wf_call_queue_staying(call, &self->resume, &event_ops, event, &event->waiters, NULL, self->env);
    wf_unlock(&event->lock);
    (void)wf_fiber_lie(self, call, event_ops.name);
    return (int)wf_sync_finish(call);
}

ssize_t wf_event_begin(weft_event *handle, struct wf_call *call, struct wf_work *resume,
                       const struct wf_wait_ops *ops)
{
    return begin(event_of(handle), call, resume, ops);
}

static ssize_t event_begin(struct wf_event *event, struct wf_call *call, struct wf_work *resume)
{
    return begin(event, call, resume, &event_ops);
}

/* Entered, and with the lock; returns without it. */
WF_INLINE int wait_locked(struct wf_fiber *self, struct wf_event *event)
{
    if (!take_event(event)) {
        return wf_fiber_lying(self, event, NULL, event_waiting);
    }
    wf_unlock(&event->lock);
    return wf_spend_and_return(self, 0);
}

static WF_NOINLINE int wait_otherwise(struct wf_event *event)
{
    int rc = 0;
    struct wf_fiber *self = wf_enter_call(&rc);
    if (self == NULL) {
        return rc;
    }
    wf_lock(&event->lock);
    return wait_locked(self, event);
}

int weft_event_wait(weft_event *handle)
{
    struct wf_event *event = event_of(handle);
    struct wf_fiber *self = wf_enter_at_once();
    if (wf_unlikely(self == NULL || !wf_lock_at_once(&event->lock))) {
        return wait_otherwise(event);
    }
    return wait_locked(self, event);
}

weft_val weft_event_wait_v_(weft_event *handle, const weft_place *place)
{
    struct wf_begun b;
    return wf_v_begin(&b, WF_V_CALL, place)
               ? wf_v_end(&b, event_begin(event_of(handle), b.call, b.resume))
               : b.val;
}

int weft_event_try(weft_event *handle)
{
    struct wf_event *event = event_of(handle);
    if (wf_forked) {
        return -ENOSYS;
    }
    wf_lock(&event->lock);
    bool taken = take_event(event);
    wf_unlock(&event->lock);
    return taken ? 0 : -EAGAIN;
}

/* For weft_select. */
static struct wf_lock *case_lock(weft_case *of)
{
    return &event_of(of->object)->lock;
}

static ssize_t case_try(weft_case *of, struct wf_owed *owed)
{
    (void)owed;
    return take_event(event_of(of->object)) ? 0 : WF_PENDING;
}

static void case_enlist(weft_case *of, struct wf_waiter *place)
{
    place->item = NULL;
    wf_list_push_back(&event_of(of->object)->waiters, &place->in_queue);
}

static ssize_t case_granted(weft_case *of)
{
    (void)of;
    return 0;
}

const struct wf_case_kind wf_case_event = {
    .lock = case_lock,
    .try_locked = case_try,
    .enlist_locked = case_enlist,
    .granted_locked = case_granted,
};

/* --- latch ------------------------------------------------------------------------------------ */

struct wf_latch {
    struct wf_lock lock;
    WF_ATOMIC(uint32_t) left; /* under lock; atomic for weft_latch_count alone */
    struct wf_list waiters;
};

WF_FITS(latch);

static struct wf_latch *latch_of(const weft_latch *latch)
{
    return (struct wf_latch *)(uintptr_t)latch;
}

void weft_latch_init(weft_latch *handle, uint32_t count)
{
    wf_live_begin(handle, "weft_latch");
    struct wf_latch *latch = latch_of(handle);
    *latch = (struct wf_latch){0};
    wf_store_relaxed(&latch->left, count); /* relaxed: not shared yet */
    wf_list_init(&latch->waiters);
}

void weft_latch_fini(weft_latch *handle)
{
    wf_live_end(handle);
    struct wf_latch *latch = latch_of(handle);
    if (wf_sync_is_nobodys(&latch->waiters)) {
        return;
    }
    wf_lock(&latch->lock);
    bool waited = wf_waitq_claim_all(&latch->waiters, WF_WAIT_SHUT);
    wf_unlock(&latch->lock);
    if (waited) {
        wf_misuse("weft_latch_fini: tasks were waiting for it");
    }
}

/* Relaxed accesses to `left`, here and below: written under the lock only. */
int weft_latch_down(weft_latch *handle, uint32_t n)
{
    struct wf_latch *latch = latch_of(handle);
    if (wf_forked) {
        return -ENOSYS;
    }
    if (n == 0) {
        return -EINVAL;
    }
    wf_lock(&latch->lock);
    uint32_t left = wf_load_relaxed(&latch->left);
    int rc = n <= left ? n == left : -EOVERFLOW;
    if (rc >= 0) {
        wf_store_relaxed(&latch->left, left - n);
    }
    if (rc == 1) {
        (void)wf_waitq_claim_all(&latch->waiters, WF_WAIT_GRANTED);
    }
    wf_unlock(&latch->lock); /* LAST TOUCH: a waiter may be about to free it */
    return rc;
}

int weft_latch_add(weft_latch *handle, uint32_t n)
{
    struct wf_latch *latch = latch_of(handle);
    if (wf_forked) {
        return -ENOSYS;
    }
    if (n == 0) {
        return -EINVAL;
    }
    wf_lock(&latch->lock);
    uint32_t left = wf_load_relaxed(&latch->left);
    int rc = left == 0 ? -EALREADY : n > UINT32_MAX - left ? -EOVERFLOW : 0;
    if (rc == 0) {
        wf_store_relaxed(&latch->left, left + n);
    }
    wf_unlock(&latch->lock);
    return rc;
}

static const struct wf_wait_ops latch_ops = {
    .cancel = wf_wait_cancel_claim, .finish = wf_sync_finish, .name = "weft_latch_wait"};

static ssize_t latch_begin(struct wf_latch *latch, struct wf_call *call, struct wf_work *resume)
{
    wf_lock(&latch->lock);
    bool open = wf_load_relaxed(&latch->left) == 0;
    if (!open) {
        wf_call_queue(call, resume, &latch_ops, &latch->lock, &latch->waiters, NULL);
    }
    wf_unlock(&latch->lock);
    return open ? 0 : WF_PENDING;
}

int weft_latch_wait(weft_latch *handle)
{
    int rc = 0;
    struct wf_fiber *self = wf_enter_call(&rc);
    if (wf_unlikely(self == NULL)) {
        return rc;
    }
    struct wf_call call;
    return (int)wf_call_end(self, &call, latch_begin(latch_of(handle), &call, &self->resume));
}

weft_val weft_latch_wait_v_(weft_latch *handle, const weft_place *place)
{
    struct wf_begun b;
    return wf_v_begin(&b, WF_V_CALL, place)
               ? wf_v_end(&b, latch_begin(latch_of(handle), b.call, b.resume))
               : b.val;
}

uint32_t weft_latch_count(const weft_latch *handle)
{
    return wf_load_relaxed(&latch_of(handle)->left); /* relaxed: a snapshot */
}
