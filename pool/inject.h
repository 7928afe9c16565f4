/* inject.h: the queue through which work enters the pool from threads that are not workers, and
 * from workers whose own queues are full. First in, first out, without a bound: a ring, and behind
 * it a list of what did not fit, linked through objects that exist anyway.
 *
 * Any thread may call any of it. Those who put and those who take have a lock each, and a line
 * each: a worker that empties the queue does not hold up the threads that fill it. The ring holds
 * addresses, so that who takes sixteen works fetches them all at once; through a list it would wait
 * for each before it knew the next (16 lines of 150 ns from another core, under the lock). Whether
 * there is anything is readable without a lock, so that workers that poll an empty queue write no
 * shared line.
 *
 * Terms. *ring*: the slots [head, tail). *rest*: what came while the ring was full. While there is
 * a rest, what is put goes there; who takes moves some of it into the ring. *store*: memory for
 * most of the rest, if the queue was given any; what does not fit there either is the list, and
 * while there is a list, what is put goes there. With the list alone, 100,000 waiters that were
 * cancelled stood behind each other's lines: who moved 32 of them held both locks for as many
 * misses (ADR 0039).
 *
 * G.1  First in, first out.
 * G.2  After a push has returned, wf_inject_has says true to everybody who is ordered after it (by
 *      the fences of park.h, say), until the work is taken.
 * G.3  Neither lock is held for more than WF_INJECT_REFILL steps. */
#ifndef WF_INJECT_H
#define WF_INJECT_H

#include "pool/base/atomic.h"
#include "pool/base/check.h"
#include "pool/base/lock.h"
#include "pool/work.h"

/* A power of two: 8 KiB, at which nobody notices the list. Models use 2. */
#ifndef WF_INJECT_SLOTS
#define WF_INJECT_SLOTS 1024
#endif
/* Works moved from the rest into the ring by one who takes: more than one takes at once, so that
 * the ring stays full. */
#define WF_INJECT_REFILL 32

struct wf_inject_stored {
    WF_PLAIN(struct wf_work *) work;
};

struct wf_inject {
    /* who puts, under `entry`; the atomics are read by anybody */
    WF_ALIGNED(WF_LINE_PAIR) struct wf_lock entry;
    WF_ATOMIC(uint32_t) rest_count;
    WF_ATOMIC(uint64_t) tail;
    WF_PLAIN(uint64_t) full_at;      /* an old `head` + WF_INJECT_SLOTS: tail never passes it */
    WF_PLAIN(uint32_t) stored;       /* works in the store */
    WF_PLAIN(uint32_t) stored_first; /* index of the oldest */
    WF_PLAIN(struct wf_work *) list_first; /* linked by `next`; meaningless when there is no list */
    WF_PLAIN(struct wf_work *) list_last;  /* the same */
    /* immutable after start; what it points to: under `entry` */
    struct wf_inject_stored *store; /* array of store_slots */
    uint32_t store_slots;           /* a power of two; 0: there is none */
    /* any thread; on this line since who puts writes it anyway: see wf_pool_visit */
    WF_ATOMIC(uint32_t) visitors;

    /* who takes, under `exit`; read by anybody */
    WF_ALIGNED(WF_LINE_PAIR) struct wf_lock exit;
    WF_ATOMIC(uint64_t) head;

    WF_ALIGNED(WF_LINE_PAIR) WF_ATOMIC(struct wf_work *) slots[WF_INJECT_SLOTS];
};

_Static_assert((WF_INJECT_SLOTS & (WF_INJECT_SLOTS - 1)) == 0, "indices are masked");

/* Relaxed everywhere: `tail` publishes the slots, and `head` gives them back. */
#define wf_inject_slot_(q, index) (&(q)->slots[(WF_INJECT_SLOTS - 1) & (index)])

/* Of zeroed memory. */
WF_INLINE void wf_inject_init(struct wf_inject *q)
{
    wf_plain_write(&q->full_at, WF_INJECT_SLOTS);
}

/* Memory for `slots` (a power of two) works, the caller's until the queue is not used any more;
 * what is in it means nothing. Right after wf_inject_init. */
WF_INLINE void wf_inject_give_store(struct wf_inject *q, struct wf_inject_stored *store,
                                    uint32_t slots)
{
    q->store = store;
    q->store_slots = slots;
}

/* Under `entry`. Looks at `head` only when the last look does not answer. */
WF_INLINE bool wf_inject_has_room_(struct wf_inject *q, uint64_t tail)
{
    if (wf_likely(tail != wf_plain_read(&q->full_at))) {
        return true;
    }
    /* sync(inject.reuse): acquire, who took has read its slots before we write them again; pairs
     * sync(inject.taken) */
    wf_plain_write(&q->full_at, wf_load_acquire(&q->head) + WF_INJECT_SLOTS);
    return tail != wf_plain_read(&q->full_at);
}

static WF_UNUSED WF_COLD void wf_inject_push_rest_(struct wf_inject *q, struct wf_work *work)
{
    uint32_t count = wf_load_relaxed(&q->rest_count); /* relaxed: under the lock */
    uint32_t stored = wf_plain_read(&q->stored);
    if (count == stored && stored < q->store_slots) {
        uint32_t last = (wf_plain_read(&q->stored_first) + stored) & (q->store_slots - 1);
        wf_plain_write(&q->store[last].work, work);
        wf_plain_write(&q->stored, stored + 1);
    } else {
        work->next = NULL;
        if (count == stored) {
            wf_plain_write(&q->list_first, work);
        } else {
            wf_plain_read(&q->list_last)->next = work;
        }
        wf_plain_write(&q->list_last, work);
    }
    /* relaxed: G.2 leaves the order to the caller, the lock has the rest's */
    wf_store_relaxed(&q->rest_count, count + 1);
}

/* The oldest of the rest, which is not empty. */
static WF_UNUSED WF_COLD struct wf_work *wf_inject_pop_rest_(struct wf_inject *q)
{
    uint32_t stored = wf_plain_read(&q->stored);
    if (stored == 0) {
        struct wf_work *work = wf_plain_read(&q->list_first);
        wf_plain_write(&q->list_first, work->next);
        return work;
    }
    uint32_t first = wf_plain_read(&q->stored_first);
    wf_plain_write(&q->stored, stored - 1);
    /* from the begin again when it is empty: so the lines of a short rest are always the same */
    wf_plain_write(&q->stored_first, stored == 1 ? 0 : (first + 1) & (q->store_slots - 1));
    return wf_plain_read(&q->store[first].work);
}

WF_INLINE void wf_inject_push(struct wf_inject *q, struct wf_work *work)
{
    wf_lock(&q->entry);
    /* relaxed, both: under the lock */
    uint64_t tail = wf_load_relaxed(&q->tail);
    if (wf_likely(wf_load_relaxed(&q->rest_count) == 0 && wf_inject_has_room_(q, tail))) {
        wf_store_relaxed(wf_inject_slot_(q, tail), work);
        /* sync(inject.put): release, who sees the entry sees the slot and the work in it; pairs
         * sync(inject.look) */
        wf_store_release(&q->tail, tail + 1);
    } else {
        wf_inject_push_rest_(q, work);
    }
    wf_unlock(&q->entry);
}

/* Any thread: racy. */
WF_INLINE bool wf_inject_has(struct wf_inject *q)
{
    /* sync(inject.rest): acquire, who sees that the rest has gone sees where to: the next line;
     * pairs sync(inject.moved) */
    return wf_load_acquire(&q->rest_count) != 0 ||
           /* relaxed, both: the fences of sync(park.announce), sync(park.submit) order it */
           wf_load_relaxed(&q->tail) != wf_load_relaxed(&q->head);
}

/* How many were taken, ever: tells whether somebody gets on with it. Racy. */
WF_INLINE uint64_t wf_inject_taken(struct wf_inject *q)
{
    return wf_load_relaxed(&q->head); /* relaxed: a hint */
}

/* Under `exit`. */
static WF_UNUSED WF_COLD void wf_inject_refill_(struct wf_inject *q)
{
    wf_lock(&q->entry);
    uint32_t count = wf_load_relaxed(&q->rest_count); /* relaxed, both: under the lock */
    uint64_t tail = wf_load_relaxed(&q->tail);
    for (int i = 0; i < WF_INJECT_REFILL && count > 0 && wf_inject_has_room_(q, tail); i++) {
        wf_store_relaxed(wf_inject_slot_(q, tail), wf_inject_pop_rest_(q));
        tail++;
        count--;
    }
    wf_store_relaxed(&q->tail, tail); /* relaxed: who takes has `exit` after us */
    /* sync(inject.moved): release, who sees that the rest has gone sees the new tail; pairs
     * sync(inject.rest) */
    wf_store_release(&q->rest_count, count);
    wf_unlock(&q->entry);
}

/* Takes the oldest works, at most `max` of them, into `works`: their number; 0: empty. */
static inline int wf_inject_pop_batch(struct wf_inject *q, int max, struct wf_work *works[])
{
    if (!wf_inject_has(q)) {
        return 0;
    }
    wf_lock(&q->exit);
    /* relaxed: at least what was seen above */
    if (wf_unlikely(wf_load_relaxed(&q->rest_count) != 0)) {
        wf_inject_refill_(q); /* into what the one before us has emptied */
    }
    uint64_t head = wf_load_relaxed(&q->head); /* relaxed: under the lock */
    /* sync(inject.look): acquire, the slots and the works below tail; pairs sync(inject.put) */
    uint64_t there = wf_load_acquire(&q->tail) - head;
    int count = there < (uint64_t)max ? (int)there : max;
    for (int i = 0; i < count; i++) {
        works[i] = wf_load_relaxed(wf_inject_slot_(q, head + (uint64_t)i));
    }
    /* sync(inject.taken): release, we have read the slots before they are written again; pairs
     * sync(inject.reuse) */
    wf_store_release(&q->head, head + (uint64_t)count);
    wf_unlock(&q->exit);
    return count;
}

/* A hint by who has just taken `max` and will come again: fetches the next so many works, two lines
 * each, and the slots after them, so that they come from other cores while those that were taken
 * run. They may be taken by another meanwhile: then it was in vain. */
static inline void wf_inject_fetch(struct wf_inject *q, int max)
{
    /* relaxed, all: nothing is read through what is found */
    uint64_t head = wf_load_relaxed(&q->head);
    uint64_t there = wf_load_relaxed(&q->tail) - head;
    int count = there < (uint64_t)max ? (int)there : max;
    for (int i = 0; i < count; i++) {
        struct wf_work *work = wf_load_relaxed(wf_inject_slot_(q, head + (uint64_t)i));
        wf_prefetch_write(work);
        wf_prefetch_write((char *)work + WF_LINE);
    }
    wf_prefetch(wf_inject_slot_(q, head + (uint64_t)max));
    wf_prefetch(wf_inject_slot_(q, head + (uint64_t)max + WF_LINE / sizeof(struct wf_work *)));
}

/* Takes the oldest work; NULL when empty. */
WF_INLINE struct wf_work *wf_inject_pop(struct wf_inject *q)
{
    struct wf_work *work;
    return wf_inject_pop_batch(q, 1, &work) == 1 ? work : NULL;
}

#endif
