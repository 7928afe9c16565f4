/* runq.h: one worker's queue of resumed fibers and continuations: first in, first out, half of it
 * (WF_RUNQ_STEAL_MAX at most) can be stolen.
 *
 * Called by the owner, a worker, and where it says "thief", by any other. It never blocks,
 * allocates or wakes. Work in it is public at once: after a push the caller does the wake check
 * (park.h).
 *
 *      head                      tail
 *       |  oldest  ...  newest    |   free ... up to head + WF_RUNQ_SLOTS
 *       +-------------------------+
 *        CAS by all                 owner stores
 *
 * After the run queue of Go's runtime/proc.go, with 64-bit indices instead of 32: a thief that
 * sleeps between its look and its CAS for as long as 2^32 works take would otherwise take the wrong
 * ones.
 *
 * G.1  No work is lost and none is handed out twice.
 * G.2  What one owner pushed is popped and stolen in the order of pushing.
 * G.3  A closed queue takes nothing by wf_runq_push, as if it were full: so that what did not fit,
 *      and waits elsewhere, stays before what becomes ready after it. wf_runq_append brings it
 *      back. */
#ifndef WF_RUNQ_H
#define WF_RUNQ_H

#include "pool/base/atomic.h"
#include "pool/base/check.h"
#include "pool/work.h"

/* A power of two. What does not fit takes turns through the injection queue, where all workers
 * meet: 1,000 tasks that yield need half the time with 1,024 slots that they need with 256
 * (docs/adr/0033). Models use 4. */
#ifndef WF_RUNQ_SLOTS
#define WF_RUNQ_SLOTS 1024
#endif
/* A thief copies what it takes, and if the owner takes one meanwhile, it was in vain. */
#ifndef WF_RUNQ_STEAL_MAX
#define WF_RUNQ_STEAL_MAX 128
#endif
#define WF_RUNQ_MASK (WF_RUNQ_SLOTS - 1)

struct wf_runq {
    /* any thread; atomic */
    WF_ALIGNED(WF_LINE_PAIR) WF_ATOMIC(uint64_t) head; /* owner and thieves by CAS; only grows */
    WF_ATOMIC(uint64_t) tail;                          /* owner stores; only grows */
    /* owner only; here, since who pushes has this line */
    uint64_t push_max; /* WF_RUNQ_SLOTS; closed: 0 */
    /* owner stores, thieves load */
    WF_ALIGNED(WF_LINE_PAIR) WF_ATOMIC(struct wf_work *) slots[WF_RUNQ_SLOTS];
};

_Static_assert((WF_RUNQ_SLOTS & WF_RUNQ_MASK) == 0, "indices are masked");

WF_INLINE void wf_runq_init(struct wf_runq *q)
{
    /* Relaxed: the queue is handed to other threads by starting them. */
    wf_store_relaxed(&q->head, 0);
    wf_store_relaxed(&q->tail, 0);
    q->push_max = WF_RUNQ_SLOTS;
}

/* Owner. */
WF_INLINE void wf_runq_close(struct wf_runq *q)
{
    q->push_max = 0;
}

/* Owner. */
WF_INLINE void wf_runq_open(struct wf_runq *q)
{
    q->push_max = WF_RUNQ_SLOTS;
}

/* Relaxed everywhere: `tail` publishes the slots, and `head` gives them back. */
#define wf_runq_slot_(q, index) (&(q)->slots[WF_RUNQ_MASK & (index)])

/* Any thread: racy. Also the sleeper's re-check, after the full fence of wf_park_announce. */
WF_INLINE uint32_t wf_runq_len(struct wf_runq *q)
{
    /* Relaxed: the fences of sync(park.announce), sync(park.submit) order it. */
    uint64_t head = wf_load_relaxed(&q->head);
    uint64_t tail = wf_load_relaxed(&q->tail);
    return tail > head ? (uint32_t)(tail - head) : 0; /* an old tail may be below a new head */
}

/* Any thread, for reports: racy. Compares addresses, and reads no work. */
static inline bool wf_runq_has(struct wf_runq *q, const struct wf_work *work)
{
    /* relaxed, all: an answer that may be of a moment ago */
    uint64_t head = wf_load_relaxed(&q->head);
    uint32_t len = wf_runq_len(q);
    for (uint32_t i = 0; i < len && i < WF_RUNQ_SLOTS; i++) {
        if (wf_load_relaxed(wf_runq_slot_(q, head + i)) == work) {
            return true;
        }
    }
    return false;
}

/* Where the entry with this index goes; NULL: there are as many as may be. */
WF_INLINE void *wf_runq_place_(struct wf_runq *q, uint64_t tail, uint64_t len_max)
{
    /* sync(runq.reuse): acquire, a thief has read its slots before we write them again; pairs
     * sync(runq.taken) */
    return wf_likely(tail - wf_load_acquire(&q->head) < len_max) ? wf_runq_slot_(q, tail) : NULL;
}

WF_INLINE bool wf_runq_put_(struct wf_runq *q, struct wf_work *work, uint64_t len_max)
{
    uint64_t tail = wf_load_relaxed(&q->tail); /* relaxed: ours */
    if (wf_runq_place_(q, tail, len_max) == NULL) {
        return false;
    }
    wf_store_relaxed(wf_runq_slot_(q, tail), work);
    /* sync(runq.push): release, who sees the entry sees the slot and the work in it; pairs
     * sync(runq.look) */
    wf_store_release(&q->tail, tail + 1);
    return true;
}

/* Owner: false when full or closed, and nothing changed. */
WF_INLINE bool wf_runq_push(struct wf_runq *q, struct wf_work *work)
{
    return wf_runq_put_(q, work, q->push_max);
}

/* Owner: where the next entry goes; NULL when full or closed. For wf_fiber_switch_queued, which
 * does the rest of a push: stores the work there, and then one more in `tail`, with release. */
WF_INLINE void *wf_runq_place(struct wf_runq *q)
{
    return wf_runq_place_(q, wf_load_relaxed(&q->tail), q->push_max); /* relaxed: ours */
}

/* Owner: as wf_runq_push, into a closed queue as well. */
WF_INLINE bool wf_runq_append(struct wf_runq *q, struct wf_work *work)
{
    return wf_runq_put_(q, work, WF_RUNQ_SLOTS);
}

/* Owner: the oldest; NULL when empty. *soon, if there are more than `many` (2 or more): the one
 * that will be the oldest after the next pop, unless a thief takes it; not to be touched. Else
 * unchanged. */
WF_INLINE struct wf_work *wf_runq_pop_ahead(struct wf_runq *q, uint64_t many, struct wf_work **soon)
{
    uint64_t tail = wf_load_relaxed(&q->tail); /* relaxed: ours, as are the slots */
    uint64_t head = wf_load_relaxed(&q->head);
    /* Ends: a failed CAS means that a thief took at least one, and only we add. */
    while (head != tail) {
        struct wf_work *work = wf_load_relaxed(wf_runq_slot_(q, head));
        /* relaxed: head counts takes; the slot is ours to reuse */
        if (wf_cas_relaxed(&q->head, &head, head + 1)) {
            if (wf_unlikely(tail - head > many)) {
                *soon = wf_load_relaxed(wf_runq_slot_(q, head + 2));
            }
            wf_assume(work != NULL);
            return work;
        }
    }
    return NULL;
}

/* Owner: the oldest; NULL when empty. */
WF_INLINE struct wf_work *wf_runq_pop(struct wf_runq *q)
{
    struct wf_work *soon;
    return wf_runq_pop_ahead(q, UINT64_MAX, &soon);
}

/* Thief, owner of `own`: moves the older half of `victim`, but no more than WF_RUNQ_STEAL_MAX, as
 * far as `own` has room, and returns the oldest of it to run at once. NULL: nothing there, or
 * another was faster and there may be more. */
static inline struct wf_work *wf_runq_steal(struct wf_runq *victim, struct wf_runq *own)
{
    uint64_t head = wf_load_relaxed(&victim->head); /* relaxed: a guess for the CAS */
    /* sync(runq.look): acquire, the slots and the works below tail; pairs sync(runq.push),
     * sync(runq.moved) */
    uint64_t count = wf_load_acquire(&victim->tail) - head;
    /* more than fits: we saw an old head, or a tail older than the head */
    if (count == 0 || count > WF_RUNQ_SLOTS) {
        return NULL;
    }
    uint64_t own_tail = wf_load_relaxed(&own->tail); /* relaxed: ours */
    /* sync(runq.own): acquire, as sync(runq.reuse): thieves of our own slots; pairs
     * sync(runq.taken) */
    uint64_t room = WF_RUNQ_SLOTS - (own_tail - wf_load_acquire(&own->head));
    count -= count / 2;
    if (count > WF_RUNQ_STEAL_MAX) {
        count = WF_RUNQ_STEAL_MAX;
    }
    if (count > room + 1) {
        count = room + 1;
    }
    struct wf_work *first = wf_load_relaxed(wf_runq_slot_(victim, head));
    for (uint64_t i = 1; i < count; i++) { /* beyond our tail: nobody looks there yet */
        struct wf_work *work = wf_load_relaxed(wf_runq_slot_(victim, head + i));
        wf_store_relaxed(wf_runq_slot_(own, own_tail + i - 1), work);
    }
    /* sync(runq.taken): release, we have read the slots before they are written again; pairs
     * sync(runq.reuse), sync(runq.own) */
    if (!wf_cas_release(&victim->head, &head, head + count)) {
        return NULL;
    }
    if (count > 1) {
        /* sync(runq.moved): release, as sync(runq.push); pairs sync(runq.look) */
        wf_store_release(&own->tail, own_tail + count - 1);
    }
    return first;
}

#endif
