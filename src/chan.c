/* chan.c: bounded channels: a ring of items, a queue of senders and one of receivers, under one
 * lock.
 *
 * Facts under the lock: live receivers wait only while the ring is empty; live senders wait only
 * while it is full. Waiters hand items over directly: a sender copies into a waiting receiver's
 * memory, and a receiver that makes room moves the longest-waiting sender's item into the ring, so
 * that order is first in, first out for all.
 *
 * Handing over to a waiter that may be cancelled at the same moment. The item must be copied before
 * the claim, for the waiter may return after it; and the copy must not be lost if the claim fails.
 * To a receiver: its memory is its own until it returns, which takes our lock, so a copy before a
 * failed claim is harmless: the item goes to the next one, and the loser reports that it took
 * nothing. From a sender: its item is copied out, and counted only if the claim succeeds. */
#include "pool/base/check.h"
#include "pool/base/sys.h"
#include "src/value.h"
#include "src/waitq.h"
#include <string.h>

struct weft_chan {
    struct wf_lock lock;
    /* under lock */
    WF_ATOMIC(uint64_t) count; /* items in the ring; atomic for weft_chan_len alone */
    uint64_t oldest;           /* index of the oldest item, 0 to capacity - 1 */
    bool closed;
    int code;                          /* of the close */
    struct wf_list senders, receivers; /* wf_waiter.in_queue; its item is the caller's */
    /* immutable */
    size_t item_bytes;
    uint64_t capacity;
    unsigned char items[];
};

/* --- new, free -------------------------------------------------------------------------------- */

int weft_chan_new(weft_chan **out, size_t item_bytes, size_t capacity)
{
    *out = NULL;
    if (item_bytes == 0 || item_bytes > WEFT_CHAN_ITEM_MAX || capacity == 0) {
        return -EINVAL;
    }
    size_t bytes;
    if (__builtin_mul_overflow(item_bytes, capacity, &bytes) ||
        __builtin_add_overflow(bytes, sizeof(weft_chan) + WF_LINE, &bytes)) {
        return -ENOMEM;
    }
    weft_chan *chan = wf_sys.alloc(WF_LINE, bytes / WF_LINE * WF_LINE);
    if (chan == NULL) {
        return -ENOMEM;
    }
    memset(chan, 0, sizeof *chan);
    chan->item_bytes = item_bytes;
    chan->capacity = capacity;
    wf_list_init(&chan->senders);
    wf_list_init(&chan->receivers);
    *out = chan;
    return 0;
}

/* Ends all waits of a queue. Each finds `code` in its own place, and does not touch the channel
 * again: it may be freed. Whether there was any. */
static bool shut_locked(struct wf_list *queue, int code)
{
    bool any = false;
    struct wf_list *node = queue->next;
    while (node != queue) { /* ends: the queue is under our lock */
        struct wf_waiter *place = wf_container_of(node, struct wf_waiter, in_queue);
        node = node->next;
        wf_list_unlink(&place->in_queue);
        place->item = (void *)(intptr_t)
            code; // NOLINT(performance-no-int-to-ptr); harmless if the claim fails
        any |= wf_wait_claim_at(place->wait, WF_WAIT_SHUT, place);
    }
    return any;
}

static int code_of_shut(const struct wf_waiter *place)
{
    return (int)(intptr_t)place->item;
}

void weft_chan_free(weft_chan *chan)
{
    if (chan == NULL) {
        return;
    }
    wf_lock(&chan->lock);
    bool sent = shut_locked(&chan->senders, -ESHUTDOWN);
    bool received = shut_locked(&chan->receivers, -ESHUTDOWN);
    wf_unlock(&chan->lock);
    if (sent || received) {
        wf_misuse("weft_chan_free: tasks were waiting at it");
    }
    wf_sys.release(chan);
}

/* --- the ring, under the lock; relaxed accesses to count: written under the lock only --------- */

static uint64_t count_locked(weft_chan *chan)
{
    return wf_load_relaxed(&chan->count);
}

static void put_locked(weft_chan *chan, const void *item)
{
    uint64_t count = count_locked(chan);
    uint64_t index = chan->oldest + count;
    if (index >= chan->capacity) {
        index -= chan->capacity;
    }
    memcpy(chan->items + index * chan->item_bytes, item, chan->item_bytes);
    wf_store_relaxed(&chan->count, count + 1);
}

static void get_locked(weft_chan *chan, void *item)
{
    memcpy(item, chan->items + chan->oldest * chan->item_bytes, chan->item_bytes);
    chan->oldest = chan->oldest + 1 == chan->capacity ? 0 : chan->oldest + 1;
    wf_store_relaxed(&chan->count, count_locked(chan) - 1);
}

/* --- handing over, under the lock ------------------------------------------------------------- */

static bool give_to_receiver(weft_chan *chan, const void *item)
{
    struct wf_list *node = chan->receivers.next;
    while (node != &chan->receivers) { /* ends: the queue is under our lock */
        struct wf_waiter *place = wf_container_of(node, struct wf_waiter, in_queue);
        node = node->next;
        wf_list_unlink(&place->in_queue);
        memcpy(place->item, item, chan->item_bytes);
        if (wf_wait_claim_at(place->wait, WF_WAIT_GRANTED, place)) {
            return true;
        }
    }
    return false;
}

/* There is room for one: the longest-waiting sender's item takes it. */
static void admit_sender(weft_chan *chan)
{
    struct wf_list *node = chan->senders.next;
    while (node != &chan->senders) { /* ends: the queue is under our lock */
        struct wf_waiter *place = wf_container_of(node, struct wf_waiter, in_queue);
        node = node->next;
        wf_list_unlink(&place->in_queue);
        put_locked(chan, place->item);
        if (wf_wait_claim_at(place->wait, WF_WAIT_GRANTED, place)) {
            return;
        }
        /* it was cancelled: its item is not in the channel */
        wf_store_relaxed(&chan->count, count_locked(chan) - 1);
    }
}

static int send_locked(weft_chan *chan, const void *item)
{
    if (chan->closed) {
        return -EPIPE;
    }
    if (count_locked(chan) == 0 && give_to_receiver(chan, item)) {
        return 0;
    }
    if (count_locked(chan) == chan->capacity) {
        return -EAGAIN;
    }
    put_locked(chan, item);
    return 0;
}

static int recv_locked(weft_chan *chan, void *item)
{
    if (count_locked(chan) == 0) {
        return chan->closed ? chan->code : -EAGAIN;
    }
    get_locked(chan, item);
    admit_sender(chan);
    return 1;
}

/* --- waiting ---------------------------------------------------------------------------------- */

/* Out of the queue, under the lock: whoever is about to hand over to us looks at our memory until
 * then. */
static ssize_t withdraw(struct wf_call *call)
{
    weft_chan *chan = call->object;
    wf_lock(&chan->lock);
    wf_list_unlink(&call->place.in_queue);
    wf_unlock(&chan->lock);
    return -ECANCELED;
}

static ssize_t send_finish(struct wf_call *call)
{
    switch (wf_wait_outcome(&call->wait)) {
    case WF_WAIT_GRANTED:
        return 0;
    case WF_WAIT_SHUT:
        return code_of_shut(&call->place);
    default:
        return withdraw(call);
    }
}

static ssize_t recv_finish(struct wf_call *call)
{
    switch (wf_wait_outcome(&call->wait)) {
    case WF_WAIT_GRANTED:
        return 1;
    case WF_WAIT_SHUT:
        return code_of_shut(&call->place);
    default:
        return withdraw(call);
    }
}

static const struct wf_wait_ops send_ops = {
    .cancel = wf_wait_cancel_claim, .finish = send_finish, .name = "weft_chan_send"};
static const struct wf_wait_ops recv_ops = {
    .cancel = wf_wait_cancel_claim, .finish = recv_finish, .name = "weft_chan_recv"};

static ssize_t send_begin(weft_chan *chan, struct wf_call *call, struct wf_work *resume,
                          const void *item)
{
    wf_lock(&chan->lock);
    ssize_t rc = send_locked(chan, item);
    if (rc == -EAGAIN) {
        /* the item is only read from */
        wf_call_queue(call, resume, &send_ops, chan, &chan->senders, (void *)(uintptr_t)item);
        rc = WF_PENDING;
    }
    wf_unlock(&chan->lock);
    return rc;
}

static ssize_t recv_begin(weft_chan *chan, struct wf_call *call, struct wf_work *resume, void *item)
{
    wf_lock(&chan->lock);
    ssize_t rc = recv_locked(chan, item);
    if (rc == -EAGAIN && !chan->closed) {
        wf_call_queue(call, resume, &recv_ops, chan, &chan->receivers, item);
        rc = WF_PENDING;
    }
    wf_unlock(&chan->lock);
    return rc;
}

int weft_chan_send(weft_chan *chan, const void *item)
{
    int rc = 0;
    struct wf_fiber *self = wf_enter_call(&rc);
    if (wf_unlikely(self == NULL)) {
        return rc;
    }
    struct wf_call call;
    return (int)wf_call_end(self, &call, send_begin(chan, &call, &self->resume, item));
}

int weft_chan_recv(weft_chan *chan, void *item)
{
    int rc = 0;
    struct wf_fiber *self = wf_enter_call(&rc);
    if (wf_unlikely(self == NULL)) {
        return rc;
    }
    struct wf_call call;
    return (int)wf_call_end(self, &call, recv_begin(chan, &call, &self->resume, item));
}

weft_val weft_chan_send_v_(weft_chan *chan, const void *item, const weft_place *place)
{
    struct wf_begun b;
    return wf_v_begin(&b, WF_V_CALL, place) ? wf_v_end(&b, send_begin(chan, b.call, b.resume, item))
                                            : b.val;
}

weft_val weft_chan_recv_v_(weft_chan *chan, void *item, const weft_place *place)
{
    struct wf_begun b;
    return wf_v_begin(&b, WF_V_CALL, place) ? wf_v_end(&b, recv_begin(chan, b.call, b.resume, item))
                                            : b.val;
}

int weft_chan_try_send(weft_chan *chan, const void *item)
{
    if (wf_forked) {
        return -ENOSYS;
    }
    wf_lock(&chan->lock);
    int rc = send_locked(chan, item);
    wf_unlock(&chan->lock);
    return rc;
}

int weft_chan_try_recv(weft_chan *chan, void *item)
{
    if (wf_forked) {
        return -ENOSYS;
    }
    wf_lock(&chan->lock);
    int rc = recv_locked(chan, item);
    wf_unlock(&chan->lock);
    return rc;
}

int weft_chan_close(weft_chan *chan, int code)
{
    if (wf_forked) {
        return -ENOSYS;
    }
    if (code > 0) {
        return -EINVAL;
    }
    wf_lock(&chan->lock);
    bool first = !chan->closed;
    if (first) {
        chan->closed = true;
        chan->code = code;
        (void)shut_locked(&chan->senders, -EPIPE);
        /* only an empty channel has any: there is nothing left for them */
        (void)shut_locked(&chan->receivers, code);
    }
    wf_unlock(&chan->lock);
    return first ? 0 : -EALREADY;
}

size_t weft_chan_len(const weft_chan *chan)
{
    return wf_load_relaxed(&chan->count); /* relaxed: a snapshot */
}
