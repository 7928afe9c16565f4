/* lender.h: the buffers of one worker that receives borrow: who has which, and who waits for one.
 * It knows no socket, and of the kernel only that it may have some.
 *
 * Terms. *buffer*: memory with a record (struct wf_borrowed). *spare*: nobody has it. *out*: a task
 * has it. *number*: of one time that it is out; odd, and never the same again. *line*: tasks that
 * wait for a buffer.
 *
 *   SPARE --[wf_lender_take, wf_lender_take_or_wait]----------> TAKEN --[wf_borrowed_out]--> OUT
 *     | ^                                                       ^  |                          |
 *     | +--[wf_lender_put]--------------------------------------|--+<--[wf_borrowed_back]-----+
 *     |                                                         |  |
 *     +--[wf_lender_take_to_lend]--> LENT --[wf_lender_chosen]--+  |
 *                                     ^                            |
 *                                     +-[wf_lender_put, its worker]+
 *
 * TAKEN: it is the taker's alone. LENT: the kernel's, until it has chosen it for data that have
 * come; on the lender's worker only (loan.c). Put, it goes straight to the first in line, TAKEN, if
 * there is one.
 *
 * Who finds that the kernel had no buffer for it may come here late: one has come back meanwhile,
 * and nobody being in line it was lent. So it does not stand in line while any is lent, but asks
 * the kernel again.
 *
 * Guarantees.
 * L.1  A buffer is with one party at a time. Of all attempts to give one time back, one succeeds;
 *      one that comes later finds another number.
 * L.2  Nobody comes into the line while a buffer is spare or lent; those in line are served in
 *      order, by each that comes back. One that was cancelled has been given none.
 * L.3  Whoever has a buffer sees all that those before did with its record.
 * (tests/model/model_lender.c) */
#ifndef WF_LENDER_H
#define WF_LENDER_H

#include "pool/base/lock.h"
#include "src/waitq.h"

struct wf_lender;
struct wf_scope;

struct wf_borrowed {
    /* the number, or the even one before it. Written by who has the buffer, but for `back`, by any
     * thread */
    WF_ATOMIC(uint64_t) life;
    /* immutable */
    struct wf_lender *lender;
    unsigned char *data;
    /* spare: under the lender's lock */
    WF_PLAIN(struct wf_borrowed *) next;
    /* out: who has it */
    struct wf_scope *scope;  /* whose end gives it back; NULL: none */
    struct wf_list in_scope; /* under the scope's lock */
};

struct wf_lender {
    struct wf_lock lock;
    /* under lock; any thread */
    WF_PLAIN(struct wf_borrowed *) spares; /* the last that was put: the warmest */
    struct wf_list line;                   /* wf_waiter.in_queue; its item: what it is given */
    uint64_t waits;                        /* times that somebody came into the line */
    WF_ATOMIC(uint32_t) spare_count;       /* read without the lock */
    WF_ATOMIC(uint32_t) lent_count;        /* grows under the lock; shrinks without it */
    WF_ATOMIC(uint32_t) out_count;         /* likewise; written without it */
};

WF_INLINE void wf_lender_init(struct wf_lender *lender)
{
    lender->lock = (struct wf_lock){0};
    wf_plain_write(&lender->spares, NULL);
    wf_list_init(&lender->line);
    lender->waits = 0;
    wf_store_relaxed(&lender->spare_count, 0); /* relaxed, all: not shared yet */
    wf_store_relaxed(&lender->lent_count, 0);
    wf_store_relaxed(&lender->out_count, 0);
}

/* --- under the lock; relaxed accesses to spare_count: written under the lock only ------------- */

WF_INLINE struct wf_borrowed *wf_lender_pop_(struct wf_lender *lender)
{
    struct wf_borrowed *buffer = wf_plain_read(&lender->spares);
    if (buffer != NULL) {
        wf_plain_write(&lender->spares, wf_plain_read(&buffer->next));
        wf_store_relaxed(&lender->spare_count, wf_load_relaxed(&lender->spare_count) - 1);
    }
    return buffer;
}

/* To the first in line. False: there is nobody. */
WF_INLINE bool wf_lender_grant_(struct wf_lender *lender, struct wf_borrowed *buffer)
{
    struct wf_waiter *place;
    while ((place = wf_waitq_first(&lender->line)) != NULL) { /* ends: each turn takes one out */
        place->item = buffer; /* if the claim fails nobody looks at it */
        if (wf_waitq_grant(place)) {
            return true;
        }
    }
    return false;
}

/* --- any thread ------------------------------------------------------------------------------- */

/* A spare buffer, which is the caller's; NULL: there is none. */
WF_INLINE struct wf_borrowed *wf_lender_take(struct wf_lender *lender)
{
    wf_lock(&lender->lock);
    struct wf_borrowed *buffer = wf_lender_pop_(lender);
    wf_unlock(&lender->lock);
    return buffer;
}

/* The same, and the caller lends it to the kernel. */
WF_INLINE struct wf_borrowed *wf_lender_take_to_lend(struct wf_lender *lender)
{
    wf_lock(&lender->lock);
    struct wf_borrowed *buffer = wf_lender_pop_(lender);
    if (buffer != NULL) {
        (void)wf_add_relaxed(&lender->lent_count, 1); /* relaxed: who must not miss it locks */
    }
    wf_unlock(&lender->lock);
    return buffer;
}

/* One that was lent was chosen. */
WF_INLINE void wf_lender_chosen(struct wf_lender *lender)
{
    (void)wf_sub_relaxed(&lender->lent_count, 1); /* relaxed: seen late, somebody asks in vain */
}

enum wf_lender_answer { WF_LENDER_GOT, WF_LENDER_IN_LINE, WF_LENDER_ASK_KERNEL };

/* A spare buffer: it is the place's item; or the place, of a wait that was set up, stands in line:
 * granted, its item is the buffer; or neither. */
WF_INLINE enum wf_lender_answer wf_lender_take_or_wait(struct wf_lender *lender,
                                                       struct wf_waiter *place)
{
    enum wf_lender_answer answer = WF_LENDER_GOT;
    wf_lock(&lender->lock);
    place->item = wf_lender_pop_(lender);
    if (place->item == NULL && wf_load_relaxed(&lender->lent_count) != 0) { /* relaxed: see above */
        answer = WF_LENDER_ASK_KERNEL;
    } else if (place->item == NULL) {
        wf_list_push_back(&lender->line, &place->in_queue);
        lender->waits++;
        answer = WF_LENDER_IN_LINE;
    }
    wf_unlock(&lender->lock);
    return answer;
}

/* A waiter that was cancelled. */
WF_INLINE void wf_lender_leave(struct wf_lender *lender, struct wf_waiter *place)
{
    wf_lock(&lender->lock); /* a granter may look at us until then */
    wf_list_unlink(&place->in_queue);
    wf_unlock(&lender->lock);
}

/* wf_lender_put, under the lock: for who holds it over more than this. */
WF_INLINE bool wf_lender_put_(struct wf_lender *lender, struct wf_borrowed *buffer, bool may_lend)
{
    if (wf_lender_grant_(lender, buffer)) {
        return false;
    }
    if (may_lend) {
        (void)wf_add_relaxed(&lender->lent_count, 1); /* relaxed: see above */
    } else {
        wf_plain_write(&buffer->next, wf_plain_read(&lender->spares));
        wf_plain_write(&lender->spares, buffer);
        wf_store_relaxed(&lender->spare_count, wf_load_relaxed(&lender->spare_count) + 1);
    }
    return may_lend;
}

/* The buffer, TAKEN, is the caller's no more. True, only if `may_lend`: the caller, on the lender's
 * worker, lends it to the kernel. */
WF_INLINE bool wf_lender_put(struct wf_lender *lender, struct wf_borrowed *buffer, bool may_lend)
{
    wf_lock(&lender->lock);
    bool lend = wf_lender_put_(lender, buffer, may_lend);
    wf_unlock(&lender->lock);
    return lend;
}

/* The caller, who has the buffer, lets it out: the number of this time. */
WF_INLINE uint64_t wf_borrowed_out(struct wf_borrowed *buffer)
{
    /* Relaxed, both: it came to us with all that was done to it, by the lock or with a
     * completion. */
    uint64_t number = wf_load_relaxed(&buffer->life) + 1;
    wf_store_relaxed(&buffer->life, number);
    return number;
}

/* It comes back: the caller has it now. False: that time is over. */
WF_INLINE bool wf_borrowed_back(struct wf_borrowed *buffer, uint64_t number)
{
    /* relaxed: decides who may; what that one then reads came to it with the number, or by the
     * scope's lock */
    return wf_cas_relaxed(&buffer->life, &number, number + 1);
}

#endif
