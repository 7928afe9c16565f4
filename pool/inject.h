/* inject.h: the queue through which work enters the pool from threads that are not workers, and
 * from workers whose own queues are full. First in, first out, without a bound: the works are
 * embedded in objects that exist anyway.
 *
 * Any thread may call any of it. A lock and two pointers, not a lock-free list: it is used once per
 * batch, and the lock is held for a handful of instructions. The length is readable without the
 * lock, so that workers that poll an empty queue read one shared line and write none.
 *
 * G.1  First in, first out, also across chains.
 * G.2  After a push has returned, wf_inject_has says true to everybody who is ordered after it (by
 *      the fences of park.h, say), until the work is taken. */
#ifndef WF_INJECT_H
#define WF_INJECT_H

#include "pool/base/atomic.h"
#include "pool/base/check.h"
#include "pool/base/lock.h"
#include "pool/work.h"

struct wf_inject {
    /* any thread; atomic */
    WF_ALIGNED(WF_LINE_PAIR) struct wf_lock lock;
    WF_ATOMIC(uint32_t) length; /* written under the lock */
    /* under the lock */
    /* NULL when empty; linked by `next`, the last one's is NULL */
    WF_PLAIN(struct wf_work *) first;
    WF_PLAIN(struct wf_work *) last; /* meaningless when empty */
};

WF_INLINE void wf_inject_init(struct wf_inject *q)
{
    *q = (struct wf_inject){0};
}

/* Appends `count` works from `first` to `last`, linked by `next`. */
static inline void wf_inject_push_chain(struct wf_inject *q, struct wf_work *first,
                                        struct wf_work *last, uint32_t count)
{
    last->next = NULL;
    wf_lock(&q->lock);
    if (wf_plain_read(&q->first) == NULL) {
        wf_plain_write(&q->first, first);
    } else {
        wf_plain_read(&q->last)->next = first;
    }
    wf_plain_write(&q->last, last);
    /* relaxed: G.2 leaves the order to the caller */
    wf_store_relaxed(&q->length, wf_load_relaxed(&q->length) + count);
    wf_unlock(&q->lock);
}

WF_INLINE void wf_inject_push(struct wf_inject *q, struct wf_work *work)
{
    wf_inject_push_chain(q, work, work, 1);
}

/* Any thread: racy. */
WF_INLINE bool wf_inject_has(struct wf_inject *q)
{
    /* Relaxed: the fences of sync(park.announce), sync(park.submit) order it. */
    return wf_load_relaxed(&q->length) != 0;
}

/* Racy: how many; for a worker's share of a batch, and for reports. */
WF_INLINE uint32_t wf_inject_len(struct wf_inject *q)
{
    return wf_load_relaxed(&q->length); /* relaxed: a hint */
}

/* Takes the oldest works, at most `max` of them: their number, and in *first the chain, linked by
 * `next` and ended by NULL. 0 and NULL: empty. */
static inline int wf_inject_pop_batch(struct wf_inject *q, int max, struct wf_work **first)
{
    *first = NULL;
    if (!wf_inject_has(q)) {
        return 0;
    }
    wf_lock(&q->lock);
    *first = wf_plain_read(&q->first);
    struct wf_work *last = NULL;
    struct wf_work *rest = *first;
    int count = 0;
    for (; rest != NULL && count < max; count++) {
        last = rest;
        rest = rest->next;
    }
    if (last != NULL) {
        last->next = NULL;
        wf_plain_write(&q->first, rest);
        /* relaxed: under the lock */
        wf_store_relaxed(&q->length, wf_load_relaxed(&q->length) - (uint32_t)count);
    }
    wf_unlock(&q->lock);
    return count;
}

/* Takes the oldest work; NULL when empty. */
WF_INLINE struct wf_work *wf_inject_pop(struct wf_inject *q)
{
    struct wf_work *work;
    (void)wf_inject_pop_batch(q, 1, &work);
    return work;
}

#endif
