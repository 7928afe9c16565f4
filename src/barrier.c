/* barrier.c: n parties wait for each other, again and again.
 *
 * An arrival counts until the *generation* is over, which the last arrival ends by counting it up.
 * A party that is cancelled takes its arrival back if its generation is not over; if it is, the
 * party has passed. The lock decides which, not the claim of the wait: so n arrivals are always n
 * parties that pass, and a barrier that somebody left is as good as before. (The other choice, a
 * barrier that is broken for everybody, as Java has it, makes each party's cancellation a failure
 * of all others, who did nothing; who wants that shares a scope.) */
#include "src/sync.h"
#include "src/value.h"

struct wf_barrier {
    struct wf_lock lock;
    /* under lock */
    uint32_t arrived;
    uint32_t generation; /* wraps: a party waits in one of two that follow each other */
    uint32_t parties;    /* immutable */
    struct wf_list waiters;
};

WF_FITS(barrier);

static struct wf_barrier *barrier_of(const weft_barrier *barrier)
{
    return (struct wf_barrier *)(uintptr_t)barrier;
}

void weft_barrier_init(weft_barrier *handle, uint32_t parties)
{
    wf_live_begin(handle, "weft_barrier");
    struct wf_barrier *barrier = barrier_of(handle);
    if (parties == 0) {
        wf_misuse("weft_barrier_init: a barrier of 0 parties");
        parties = 1;
    }
    *barrier = (struct wf_barrier){.parties = parties};
    wf_list_init(&barrier->waiters);
}

void weft_barrier_fini(weft_barrier *handle)
{
    wf_live_end(handle);
    struct wf_barrier *barrier = barrier_of(handle);
    if (wf_sync_is_nobodys(&barrier->waiters)) {
        return;
    }
    wf_lock(&barrier->lock);
    bool waited = wf_waitq_claim_all(&barrier->waiters, WF_WAIT_SHUT);
    wf_unlock(&barrier->lock);
    if (waited) {
        wf_misuse("weft_barrier_fini: tasks were waiting at it");
    }
}

static ssize_t barrier_finish(struct wf_call *call)
{
    if (wf_wait_outcome(&call->wait) == WF_WAIT_SHUT) {
        return -ESHUTDOWN;
    }
    struct wf_barrier *barrier = call->object;
    wf_lock(&barrier->lock);
    wf_list_unlink(&call->place.in_queue);
    bool passed = barrier->generation != (uint32_t)call->detail;
    barrier->arrived -= !passed;
    wf_unlock(&barrier->lock);
    return passed ? 0 : -ECANCELED;
}

static const struct wf_wait_ops barrier_ops = {
    .cancel = wf_wait_cancel_claim, .finish = barrier_finish, .name = "weft_barrier_wait"};

static ssize_t barrier_begin(struct wf_barrier *barrier, struct wf_call *call,
                             struct wf_work *resume)
{
    wf_lock(&barrier->lock);
    bool last = ++barrier->arrived == barrier->parties;
    if (last) {
        barrier->arrived = 0;
        barrier->generation++;
        (void)wf_waitq_claim_all(&barrier->waiters, WF_WAIT_GRANTED);
    } else {
        wf_call_queue(call, resume, &barrier_ops, barrier, &barrier->waiters, NULL);
        call->detail = barrier->generation;
    }
    wf_unlock(&barrier->lock);
    return last ? 1 : WF_PENDING;
}

int weft_barrier_wait(weft_barrier *handle)
{
    int rc = 0;
    struct wf_fiber *self = wf_enter_call(&rc);
    if (wf_unlikely(self == NULL)) {
        return rc;
    }
    struct wf_call call;
    return (int)wf_call_end(self, &call, barrier_begin(barrier_of(handle), &call, &self->resume));
}

weft_val weft_barrier_wait_v_(weft_barrier *handle, const weft_place *place)
{
    struct wf_begun b;
    return wf_v_begin(&b, WF_V_CALL, place)
               ? wf_v_end(&b, barrier_begin(barrier_of(handle), b.call, b.resume))
               : b.val;
}
