/* chan.c: channels: a ring of items, a queue of senders and one of receivers, under one lock.
 *
 * Facts under the lock. Live receivers wait only while no item is there and no live sender waits;
 * live senders wait only while the channel is full. So with a capacity an empty channel has no live
 * sender, and without one (rendezvous, always empty and always full) a live sender and a live
 * receiver never wait at the same time, unless both belong to one weft_select. Waiters hand items
 * over directly: a sender copies into a waiting receiver's memory; a receiver that makes room moves
 * the longest-waiting sender's item into the ring, or takes it if there is no ring. So the order is
 * first in, first out for all.
 *
 * Handing over to a waiter that may be cancelled at the same moment, or served by another channel
 * of its select. Its wait is claimed under our lock; the copy must be whole when it looks, and must
 * do no harm if the claim fails.
 *   From a sender that waits here alone: its item is copied out before the claim, and counted only
 *   if the claim succeeds. Its memory is there: it takes our lock before it returns from a wait
 *   that we have not claimed. To a receiver that waits here alone: copied before the claim. Its
 *   memory is its own until it returns, so a copy before a failed claim is harmless: the item goes
 *   to the next one, and the loser reports that it took nothing. From or to a select (wait->ops ==
 *   &wf_select_ops): its cases may share the memory, so what a loser copies could spoil the
 *   winner's, or be torn by it. So it is copied after the claim; a select takes the lock of the
 *   object that was granted before it looks at the item, or returns. For the same reason a select
 *   that takes from hand to hand does not let an item into its memory before the claim
 *   (recv_by_hand).
 * What is won of a stack that lies is owed a run; it is resumed after the lock is dropped.
 *
 * Sending and receiving mirror each other. What they share is written once, for a side that the
 * caller names by a constant: enum side.
 *
 * An unbounded channel's items are in a list of chunks instead of the ring. A chunk is allocated
 * under no lock (grow), kept as the spare, and linked when it is needed; the one that has become
 * empty is the next spare. It is full only with a spare at hand: so whoever makes room in it can
 * put the next item in, since a chunk becomes empty for each that is needed. */
#include "pool/base/check.h"
#include "pool/base/sys.h"
#include "src/block.h"
#include "src/item.h"
#include "src/guard.h"
#include "src/select.h"
#include "src/value.h"
#include <string.h>

/* Of an unbounded channel: bytes of items in a chunk, about a page; and items, at least. */
#define CHUNK_BYTES     ((size_t)4000)
#define CHUNK_ITEMS_MIN ((size_t)8)

/* Found full, or without a chunk: what send_locked says beside results. */
#define FULL       (-EAGAIN)
#define NEEDS_ROOM WF_CASE_UNLOCK

/* Which of the two a call does; the other side is whom it may meet. */
enum side { SENDING, RECEIVING };

struct chunk {
    struct chunk *next;
    unsigned char items[];
};

struct weft_chan {
    struct wf_lock lock;
    /* under lock */
    bool closed;
    uint8_t full; /* enum weft_full; immutable */
    /* immutable */
    bool grows;
    uint32_t item_bytes;
    int code;                  /* of the close; under lock */
    WF_ATOMIC(uint64_t) count; /* items in it; under lock; atomic for weft_chan_len alone */
    uint64_t oldest;           /* of a ring: index of the oldest item; under lock */
    uint64_t capacity;         /* immutable */
    unsigned char *items;      /* of a ring; immutable */
    /* under lock */
    struct wf_list senders WF_ALIGNED(WF_LINE);
    struct wf_list receivers; /* wf_waiter.in_queue; its item is the caller's */
    /* of an unbounded channel, under lock: the oldest item is first->items[taken], the next goes to
     * last->items[filled]; first == NULL: no item */
    struct chunk *first, *last, *spare;
    uint64_t taken, filled;
    /* immutable */
    uint64_t chunk_items;
    void (*on_drop)(const void *item, void *ctx);
    void *ctx;
    unsigned char ring[] WF_ALIGNED(WF_LINE);
};

/* --- new -------------------------------------------------------------------------------------- */

static bool are_valid(size_t item_bytes, const weft_chan_opts *opts)
{
    return item_bytes != 0 && item_bytes <= WEFT_CHAN_ITEM_MAX && opts->full >= WEFT_FULL_WAIT &&
           opts->full <= WEFT_FULL_DROP_WRITE;
}

int weft_chan_new_(weft_chan **out, size_t item_bytes, size_t capacity, const weft_chan_opts *opts)
{
    static const weft_chan_opts defaults;
    *out = NULL;
    if (wf_forked) {
        return -ENOSYS;
    }
    opts = opts != NULL ? opts : &defaults;
    if (!are_valid(item_bytes, opts)) {
        return -EINVAL;
    }
    bool grows = capacity == WEFT_CHAN_UNBOUNDED;
    size_t bytes;
    if (__builtin_mul_overflow(item_bytes, grows ? 0 : capacity, &bytes) ||
        __builtin_add_overflow(bytes, sizeof(weft_chan), &bytes)) {
        return -ENOMEM;
    }
    weft_chan *chan = wf_sys.alloc(WF_LINE, bytes);
    if (chan == NULL) {
        return -ENOMEM;
    }
    memset(chan, 0, sizeof *chan);
    chan->full = (uint8_t)opts->full;
    chan->grows = grows;
    chan->item_bytes = (uint32_t)item_bytes;
    chan->capacity = capacity;
    chan->items = chan->ring;
    chan->on_drop = opts->on_drop;
    chan->ctx = opts->ctx;
    if (grows) {
        chan->capacity = opts->grow_max != 0 ? opts->grow_max : WEFT_CHAN_UNBOUNDED_MAX;
        chan->chunk_items = CHUNK_BYTES / item_bytes;
        if (chan->chunk_items < CHUNK_ITEMS_MIN) {
            chan->chunk_items = CHUNK_ITEMS_MIN;
        }
    }
    wf_list_init(&chan->senders);
    wf_list_init(&chan->receivers);
    *out = chan;
    return 0;
}

weft_chan *weft_chan_check_(weft_chan *chan, size_t item_bytes, const char *name,
                            const weft_place *place)
{
    if (chan != NULL && chan->item_bytes != item_bytes) {
        wf_misuse("%s:%d: a channel with items of %u bytes is made a %s, whose items have %zu",
                  place->file, place->line, chan->item_bytes, name, item_bytes);
    }
    return chan;
}

/* --- the items, under the lock; relaxed accesses to count: written under the lock only -------- */

static uint64_t count_locked(weft_chan *chan)
{
    return wf_load_relaxed(&chan->count);
}

static void set_count_locked(weft_chan *chan, uint64_t count)
{
    wf_store_relaxed(&chan->count, count);
}

static unsigned char *slot_of(weft_chan *chan, uint64_t offset)
{
    uint64_t index = chan->oldest + offset;
    if (index >= chan->capacity) {
        index -= chan->capacity;
    }
    return chan->items + index * chan->item_bytes;
}

/* Where the next item of an unbounded channel goes; NULL: a chunk is needed and there is no
 * spare. */
static WF_NOINLINE unsigned char *chunk_slot(weft_chan *chan)
{
    if (chan->first == NULL || chan->filled == chan->chunk_items) {
        struct chunk *fresh = chan->spare;
        if (fresh == NULL) {
            return NULL;
        }
        chan->spare = NULL;
        fresh->next = NULL;
        if (chan->first == NULL) {
            chan->first = fresh;
            chan->taken = 0;
        } else {
            chan->last->next = fresh;
        }
        chan->last = fresh;
        chan->filled = 0;
    }
    return chan->last->items + chan->filled * chan->item_bytes;
}

/* The oldest item of an unbounded channel goes. Returns a chunk to be freed under no lock, or
 * NULL. */
static WF_NOINLINE struct chunk *chunk_advance(weft_chan *chan)
{
    struct chunk *first = chan->first;
    bool is_last = first == chan->last;
    if (++chan->taken < (is_last ? chan->filled : chan->chunk_items)) {
        return NULL;
    }
    chan->first = first->next;
    chan->taken = 0;
    struct chunk *surplus = chan->spare;
    chan->spare = first;
    return surplus;
}

/* Room for one more, not counted yet; or NULL: see chunk_slot. The channel is not full. */
static unsigned char *slot_for_next(weft_chan *chan)
{
    return wf_unlikely(chan->grows) ? chunk_slot(chan) : slot_of(chan, count_locked(chan));
}

static void count_one_in(weft_chan *chan)
{
    chan->filled += chan->grows;
    set_count_locked(chan, count_locked(chan) + 1);
}

static unsigned char *oldest_slot(weft_chan *chan)
{
    return wf_unlikely(chan->grows) ? chan->first->items + chan->taken * chan->item_bytes
                                    : slot_of(chan, 0);
}

static unsigned char *newest_slot(weft_chan *chan)
{
    return wf_unlikely(chan->grows) ? chan->last->items + (chan->filled - 1) * chan->item_bytes
                                    : slot_of(chan, count_locked(chan) - 1);
}

static void count_one_out(weft_chan *chan, struct wf_owed *owed)
{
    if (wf_unlikely(chan->grows)) {
        void *surplus = chunk_advance(chan);
        owed->garbage = surplus != NULL ? surplus : owed->garbage;
    } else {
        chan->oldest = chan->oldest + 1 == chan->capacity ? 0 : chan->oldest + 1;
    }
    set_count_locked(chan, count_locked(chan) - 1);
}

/* Under no lock: a spare chunk for an unbounded channel. 0 or -ENOMEM. */
static WF_COLD int grow(weft_chan *chan)
{
    struct chunk *fresh =
        wf_sys.alloc(WF_LINE, sizeof *fresh + chan->chunk_items * chan->item_bytes);
    if (fresh == NULL) {
        return -ENOMEM;
    }
    wf_lock(&chan->lock);
    struct chunk *surplus = chan->spare;
    chan->spare = fresh;
    wf_unlock(&chan->lock);
    if (surplus != NULL) {
        wf_sys.release(surplus); /* another sender grew it meanwhile */
    }
    return 0;
}

/* --- handing over, under the lock ------------------------------------------------------------- */

/* A sender's item, as what both sides share takes it: it is only read from. */
static void *read_only(const void *item)
{
    return (void *)(uintptr_t)item;
}

static struct wf_list *queue_of(weft_chan *chan, enum side side)
{
    return side == SENDING ? &chan->senders : &chan->receivers;
}

/* Meets who has waited longest on the other side: *item goes into a receiver's memory; or a
 * sender's item into *item, which is ours: a slot, or a receiver's memory. */
WF_INLINE bool meet(weft_chan *chan, enum side side, void *item, struct wf_owed *owed)
{
    struct wf_list *others = queue_of(chan, side == SENDING ? RECEIVING : SENDING);
    struct wf_waiter *place;
    while ((place = wf_waitq_pop(others)) != NULL) {    /* ends: the queue is under our lock */
        bool late = place->wait->ops == &wf_select_ops; /* see the head of this file */
        void *to = side == SENDING ? place->item : item;
        const void *from = side == SENDING ? item : place->item;
        if (!late) {
            wf_item_copy(to, from, chan->item_bytes);
        }
        if (wf_claim_owing(place, WF_WAIT_GRANTED, owed)) {
            if (late) {
                wf_item_copy(to, from, chan->item_bytes);
            }
            return true;
        }
    }
    return false;
}

WF_INLINE bool give_to_receiver(weft_chan *chan, const void *item, struct wf_owed *owed)
{
    return meet(chan, SENDING, read_only(item), owed);
}

static bool take_from_sender(weft_chan *chan, void *to, struct wf_owed *owed)
{
    return meet(chan, RECEIVING, to, owed);
}

/* There is room for one: the longest-waiting sender's item takes it. */
static void admit_sender(weft_chan *chan, struct wf_owed *owed)
{
    if (wf_likely(wf_list_is_empty(&chan->senders))) {
        return;
    }
    if (take_from_sender(chan, slot_for_next(chan), owed)) {
        count_one_in(chan);
    }
}

/* 0; -EPIPE; FULL; NEEDS_ROOM. */
static ssize_t send_locked(weft_chan *chan, const void *item, struct wf_owed *owed)
{
    if (wf_unlikely(chan->closed)) {
        return -EPIPE;
    }
    uint64_t count = count_locked(chan);
    if (count == 0 && !wf_list_is_empty(&chan->receivers) && give_to_receiver(chan, item, owed)) {
        return 0;
    }
    if (count >= chan->capacity) {
        return wf_unlikely(chan->grows) && chan->spare == NULL ? NEEDS_ROOM : FULL;
    }
    unsigned char *slot = slot_for_next(chan);
    if (wf_unlikely(slot == NULL)) {
        return NEEDS_ROOM;
    }
    wf_item_copy(slot, item, chan->item_bytes);
    count_one_in(chan);
    return 0;
}

/* 1; -EAGAIN, also of a closed channel whose code is that; the code of a closed one. */
static ssize_t recv_locked(weft_chan *chan, void *item, struct wf_owed *owed)
{
    if (count_locked(chan) == 0) {
        if (wf_unlikely(chan->capacity == 0) && take_from_sender(chan, item, owed)) {
            return 1;
        }
        return chan->closed ? chan->code : -EAGAIN;
    }
    wf_item_copy(item, oldest_slot(chan), chan->item_bytes);
    count_one_out(chan, owed);
    admit_sender(chan, owed);
    return 1;
}

/* What happens to most items: into a ring with room, where nobody waits for it. Under the lock;
 * false: nothing was done, see send_locked. */
WF_INLINE bool send_plainly(weft_chan *chan, const void *item)
{
    uint64_t count = count_locked(chan);
    if (wf_unlikely(chan->closed || chan->grows || count >= chan->capacity ||
                    (count == 0 && !wf_list_is_empty(&chan->receivers)))) {
        return false;
    }
    wf_item_copy(slot_of(chan, count), item, chan->item_bytes);
    set_count_locked(chan, count + 1);
    return true;
}

/* The same: out of a ring for whose room nobody waits. */
WF_INLINE bool recv_plainly(weft_chan *chan, void *item)
{
    uint64_t count = count_locked(chan);
    uint64_t oldest = chan->oldest;
    if (wf_unlikely(count == 0 || chan->grows || !wf_list_is_empty(&chan->senders))) {
        return false;
    }
    wf_item_copy(item, chan->items + oldest * chan->item_bytes, chan->item_bytes);
    chan->oldest = oldest + 1 == chan->capacity ? 0 : oldest + 1;
    set_count_locked(chan, count - 1);
    return true;
}

/* --- full, and not to wait -------------------------------------------------------------------- */

/* Puts *item into a full channel by the rule it has for that; *victim is what is dropped. */
static void replace_locked(weft_chan *chan, const void *item, void *victim, struct wf_owed *owed)
{
    if (chan->full == WEFT_FULL_DROP_WRITE || chan->capacity == 0) {
        wf_item_copy(victim, item, chan->item_bytes);
        return;
    }
    if (chan->full == WEFT_FULL_DROP_NEWEST) {
        unsigned char *slot = newest_slot(chan);
        wf_item_copy(victim, slot, chan->item_bytes);
        wf_item_copy(slot, item, chan->item_bytes);
        return;
    }
    wf_item_copy(victim, oldest_slot(chan), chan->item_bytes);
    count_one_out(chan, owed);
    wf_item_copy(slot_for_next(chan), item, chan->item_bytes);
    count_one_in(chan);
}

/* A send that found the channel full, and does not wait; or that needs a chunk. The lock is not
 * held. 0, 1, -EPIPE, -ENOMEM; FULL: it is to wait, after all. */
static WF_COLD ssize_t send_slowly(weft_chan *chan, const void *item)
{
    unsigned char victim[WEFT_CHAN_ITEM_MAX];
    for (;;) { /* ends: a round that goes on has brought a chunk, unless others used it */
        struct wf_owed owed = {0};
        wf_lock(&chan->lock);
        ssize_t rc = send_locked(chan, item, &owed);
        if (rc == FULL && chan->full != WEFT_FULL_WAIT) {
            replace_locked(chan, item, victim, &owed);
            rc = 1;
        }
        wf_unlock(&chan->lock);
        wf_run_owed(&owed);
        if (rc == 1 && chan->on_drop != NULL) {
            WF_GUARDED(chan->on_drop(victim, chan->ctx));
        }
        if (rc != NEEDS_ROOM) {
            return rc;
        }
        int grown = grow(chan);
        if (grown < 0) {
            return grown;
        }
    }
}

/* --- closing, freeing ------------------------------------------------------------------------- */

static void drop_all(weft_chan *chan)
{
    struct wf_owed owed = {0};
    while (count_locked(chan) > 0) { /* ends: each turn takes one out */
        if (chan->on_drop != NULL) {
            WF_GUARDED(chan->on_drop(oldest_slot(chan), chan->ctx));
        }
        count_one_out(chan, &owed);
        wf_run_owed(&owed);
        owed.garbage = NULL;
    }
    if (chan->spare != NULL) {
        wf_sys.release(chan->spare);
    }
    if (chan->first != NULL) { /* linked for a sender that was cancelled; no item came into it */
        wf_sys.release(chan->first);
    }
}

void weft_chan_free(weft_chan *chan)
{
    if (chan == NULL || wf_forked) {
        return;
    }
    struct wf_owed owed = {0};
    wf_lock(&chan->lock);
    bool sent = wf_shut_owing(&chan->senders, -ESHUTDOWN, &owed);
    bool received = wf_shut_owing(&chan->receivers, -ESHUTDOWN, &owed);
    wf_unlock(&chan->lock);
    wf_run_owed(&owed);
    if (sent || received) {
        wf_misuse("weft_chan_free: tasks were waiting at it");
    }
    drop_all(chan);
    wf_sys.release(chan);
}

int weft_chan_close(weft_chan *chan, int code)
{
    if (wf_forked) {
        return -ENOSYS;
    }
    if (code > 0) {
        return -EINVAL;
    }
    struct wf_owed owed = {0};
    wf_lock(&chan->lock);
    bool first = !chan->closed;
    if (first) {
        chan->closed = true;
        chan->code = code;
        (void)wf_shut_owing(&chan->senders, -EPIPE, &owed);
        /* only an empty channel has any: there is nothing left for them */
        (void)wf_shut_owing(&chan->receivers, code, &owed);
    }
    wf_unlock(&chan->lock);
    wf_run_owed(&owed);
    return first ? 0 : -EALREADY;
}

/* --- waiting ---------------------------------------------------------------------------------- */

/* Of a wait that has ended: what wf_shut_owing left, or the claimer's `granted`. Out of the queue
 * otherwise, under the lock: whoever is about to hand over to us looks at our memory until then. */
WF_INLINE ssize_t end_wait(struct wf_call *call, enum wf_wait_state outcome, int granted)
{
    switch (outcome) {
    case WF_WAIT_GRANTED:
        return granted;
    case WF_WAIT_SHUT:
        return wf_code_of_shut(&call->place);
    default: {
        weft_chan *chan = call->object;
        wf_lock(&chan->lock);
        wf_list_unlink(&call->place.in_queue);
        wf_unlock(&chan->lock);
        return -ECANCELED;
    }
    }
}

/* What a call returns that was granted. */
#define SENT     0
#define RECEIVED 1

static ssize_t send_finish(struct wf_call *call)
{
    return end_wait(call, wf_wait_outcome(&call->wait), SENT);
}

static ssize_t recv_finish(struct wf_call *call)
{
    return end_wait(call, wf_wait_outcome(&call->wait), RECEIVED);
}

static const struct wf_wait_ops ops_of[] = {
    [SENDING] = {.cancel = wf_wait_cancel_claim, .finish = send_finish, .name = "weft_chan_send"},
    [RECEIVING] = {.cancel = wf_wait_cancel_claim, .finish = recv_finish, .name = "weft_chan_recv"},
};

static bool sends_slowly(weft_chan *chan, ssize_t rc)
{
    return rc == NEEDS_ROOM || (rc == FULL && chan->full != WEFT_FULL_WAIT);
}

/* Called with the lock, returns without it. */
WF_INLINE void queue_up(weft_chan *chan, enum side side, struct wf_call *call,
                        struct wf_work *resume, void *item)
{
    wf_call_queue(call, resume, &ops_of[side], chan, queue_of(chan, side), item);
    wf_unlock(&chan->lock);
}

/* Called with the lock, returns without it. */
WF_INLINE ssize_t try_or_queue(weft_chan *chan, enum side side, struct wf_call *call,
                               struct wf_work *resume, void *item)
{
    struct wf_owed owed = {0};
    ssize_t rc = side == SENDING ? send_locked(chan, item, &owed) : recv_locked(chan, item, &owed);
    /* else: it drops an item instead; or is closed, with that code */
    bool may_wait = side == SENDING ? chan->full == WEFT_FULL_WAIT : !chan->closed;
    if (rc == -EAGAIN && may_wait) {
        queue_up(chan, side, call, resume, item);
        return WF_PENDING; /* nothing is owed: nothing was given or taken */
    }
    wf_unlock(&chan->lock);
    wf_run_owed(&owed);
    return rc;
}

static ssize_t send_or_queue(weft_chan *chan, struct wf_call *call, struct wf_work *resume,
                             void *item)
{
    return try_or_queue(chan, SENDING, call, resume, item);
}

/* Called with the lock, returns without it. */
static WF_NOINLINE ssize_t send_otherwise(weft_chan *chan, struct wf_call *call,
                                          struct wf_work *resume, void *item)
{
    ssize_t rc = send_or_queue(chan, call, resume, item);
    while (wf_unlikely(sends_slowly(chan, rc))) { /* ends: it is full, or it has room */
        rc = send_slowly(chan, item);
        if (rc == FULL) {
            wf_lock(&chan->lock);
            rc = send_or_queue(chan, call, resume, item);
        }
    }
    return rc;
}

/* Called with the lock, returns without it. */
static WF_NOINLINE ssize_t recv_otherwise(weft_chan *chan, struct wf_call *call,
                                          struct wf_work *resume, void *item)
{
    return try_or_queue(chan, RECEIVING, call, resume, item);
}

WF_INLINE ssize_t send_begin(weft_chan *chan, struct wf_call *call, struct wf_work *resume,
                             void *item)
{
    wf_lock(&chan->lock);
    if (wf_likely(send_plainly(chan, item))) {
        wf_unlock(&chan->lock);
        return SENT;
    }
    return send_otherwise(chan, call, resume, item);
}

WF_INLINE ssize_t recv_begin(weft_chan *chan, struct wf_call *call, struct wf_work *resume,
                             void *item)
{
    wf_lock(&chan->lock);
    if (wf_likely(recv_plainly(chan, item))) {
        wf_unlock(&chan->lock);
        return RECEIVED;
    }
    return recv_otherwise(chan, call, resume, item);
}

/* --- on a stack: the rest of a call that could not plainly send or receive (block.h) ---------- */

/* Is there nothing but to wait? A hint: `false` asks send_otherwise or recv_otherwise. Nobody waits
 * on the other side, or it was met in vain. */
WF_INLINE bool is_to_wait(weft_chan *chan, enum side side)
{
    return side == SENDING ? count_locked(chan) >= chan->capacity && chan->full == WEFT_FULL_WAIT &&
                                 !chan->closed && !chan->grows
                           : count_locked(chan) == 0 && !chan->closed;
}

/* Called with the lock, returns without it. */
static WF_NOINLINE int end_otherwise(struct wf_fiber *self, weft_chan *chan, enum side side,
                                     void *item)
{
    struct wf_call call;
    ssize_t rc = side == SENDING ? send_otherwise(chan, &call, &self->resume, item)
                                 : recv_otherwise(chan, &call, &self->resume, item);
    return (int)wf_call_end(self, &call, rc);
}

/* Called with the lock, returns without it. `ops` says which side. Both come here, so that a switch
 * from one to the other returns where the processor expects it. */
static int lie_down(struct wf_fiber *self, void *at, void *item, void *ops, void *none)
{
    (void)none;
    weft_chan *chan = at;
    enum side side = ops == &ops_of[SENDING] ? SENDING : RECEIVING;
    if (wf_unlikely(!is_to_wait(chan, side))) {
        return end_otherwise(self, chan, side, item);
    }
    struct wf_call *call = wf_own_call(self);
    wf_call_queue_staying(call, &self->resume, ops, chan, queue_of(chan, side), item, self->env);
    wf_unlock(&chan->lock);
    enum wf_wait_state outcome = wf_fiber_lie(self, call, ops_of[side].name);
    return (int)end_wait(call, outcome, call->wait.ops == ops_of ? SENT : RECEIVED);
}

WF_INLINE int wait_as(struct wf_fiber *self, weft_chan *chan, enum side side, void *item)
{
    return wf_fiber_lying_for(self, chan, item, (void *)(uintptr_t)&ops_of[side], NULL, lie_down);
}

/* Called with the lock, returns without it. Who waits on the other side of an empty channel is
 * served first, as send_locked and recv_locked do; nobody waits at a closed one. */
WF_INLINE int meet_or_wait(struct wf_fiber *self, weft_chan *chan, enum side side, void *item)
{
    struct wf_owed owed = {0};
    if (count_locked(chan) != 0 || !meet(chan, side, item, &owed)) {
        return wait_as(self, chan, side, item);
    }
    wf_unlock(&chan->lock);
    wf_run_owed(&owed);
    wf_spend_budget(self);
    return side == SENDING ? SENT : RECEIVED;
}

static WF_NOINLINE int send_meeting(struct wf_fiber *self, weft_chan *chan, void *item)
{
    return meet_or_wait(self, chan, SENDING, item);
}

static WF_NOINLINE int recv_meeting(struct wf_fiber *self, weft_chan *chan, void *item)
{
    return meet_or_wait(self, chan, RECEIVING, item);
}

int weft_chan_send(weft_chan *chan, const void *item)
{
    int rc = 0;
    struct wf_fiber *self = wf_enter_call(&rc);
    if (wf_unlikely(self == NULL)) {
        return rc;
    }
    wf_lock(&chan->lock);
    if (wf_unlikely(!send_plainly(chan, item))) {
        return send_meeting(self, chan, read_only(item));
    }
    wf_unlock(&chan->lock);
    wf_spend_budget(self);
    return SENT;
}

int weft_chan_recv(weft_chan *chan, void *item)
{
    int rc = 0;
    struct wf_fiber *self = wf_enter_call(&rc);
    if (wf_unlikely(self == NULL)) {
        return rc;
    }
    wf_lock(&chan->lock);
    if (wf_unlikely(!recv_plainly(chan, item))) {
        /* a sender waits at an empty channel only if that holds nothing */
        return chan->capacity != 0 ? wait_as(self, chan, RECEIVING, item)
                                   : recv_meeting(self, chan, item);
    }
    wf_unlock(&chan->lock);
    wf_spend_budget(self);
    return RECEIVED;
}

/* --- without a stack, and without waiting ----------------------------------------------------- */

weft_val weft_chan_send_v_(weft_chan *chan, const void *item, const weft_place *place)
{
    struct wf_begun b;
    return wf_v_begin(&b, WF_V_CALL, place)
               ? wf_v_end(&b, send_begin(chan, b.call, b.resume, read_only(item)))
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
    struct wf_owed owed = {0};
    wf_lock(&chan->lock);
    ssize_t rc = send_locked(chan, item, &owed);
    wf_unlock(&chan->lock);
    wf_run_owed(&owed);
    return (int)(sends_slowly(chan, rc) ? send_slowly(chan, item) : rc);
}

int weft_chan_try_recv(weft_chan *chan, void *item)
{
    if (wf_forked) {
        return -ENOSYS;
    }
    struct wf_owed owed = {0};
    wf_lock(&chan->lock);
    ssize_t rc = recv_locked(chan, item, &owed);
    wf_unlock(&chan->lock);
    wf_run_owed(&owed);
    return (int)rc;
}

size_t weft_chan_len(const weft_chan *chan)
{
    return wf_load_relaxed(&chan->count); /* relaxed: a snapshot */
}

size_t weft_chan_item_bytes(const weft_chan *chan)
{
    return chan->item_bytes;
}

/* --- for weft_select -------------------------------------------------------------------------- */

static struct wf_lock *case_lock(weft_case *of)
{
    weft_chan *chan = of->object;
    return &chan->lock;
}

static ssize_t case_try_send(weft_case *of, struct wf_owed *owed)
{
    weft_chan *chan = of->object;
    ssize_t rc = send_locked(chan, of->item, owed);
    if (sends_slowly(chan, rc)) {
        return WF_CASE_UNLOCK;
    }
    return rc == FULL ? WF_PENDING : rc;
}

static ssize_t case_send_unlocked(weft_case *of)
{
    ssize_t rc = send_slowly(of->object, of->item);
    return rc == FULL ? WF_PENDING : rc;
}

static void case_enlist_send(weft_case *of, struct wf_waiter *place)
{
    weft_chan *chan = of->object;
    place->item = of->item;
    wf_list_push_back(&chan->senders, &place->in_queue);
}

static ssize_t case_sent(weft_case *of)
{
    (void)of;
    return 0;
}

/* The sender whose item is copied may turn out to be cancelled: see the head of this file. */
static WF_NOINLINE ssize_t recv_by_hand(weft_chan *chan, void *item, struct wf_owed *owed)
{
    unsigned char offered[WEFT_CHAN_ITEM_MAX] WF_ALIGNED(16);
    ssize_t rc = recv_locked(chan, offered, owed);
    if (rc == 1) {
        wf_item_copy(item, offered, chan->item_bytes);
    }
    return rc;
}

static ssize_t case_try_recv(weft_case *of, struct wf_owed *owed)
{
    weft_chan *chan = of->object;
    bool by_hand = chan->capacity == 0 && !wf_list_is_empty(&chan->senders);
    ssize_t rc = by_hand ? recv_by_hand(chan, of->item, owed) : recv_locked(chan, of->item, owed);
    return rc == -EAGAIN && !chan->closed ? WF_PENDING : rc;
}

static void case_enlist_recv(weft_case *of, struct wf_waiter *place)
{
    weft_chan *chan = of->object;
    place->item = of->item;
    wf_list_push_back(&chan->receivers, &place->in_queue);
}

static ssize_t case_received(weft_case *of)
{
    (void)of;
    return 1;
}

const struct wf_case_kind wf_case_send = {
    .lock = case_lock,
    .try_locked = case_try_send,
    .enlist_locked = case_enlist_send,
    .granted_locked = case_sent,
    .unlocked = case_send_unlocked,
};

const struct wf_case_kind wf_case_recv = {
    .lock = case_lock,
    .try_locked = case_try_recv,
    .enlist_locked = case_enlist_recv,
    .granted_locked = case_received,
};
