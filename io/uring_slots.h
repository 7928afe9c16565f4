/* uring_slots.h: the ops that are in flight in one ring, by the number that the kernel carries for
 * us.
 *
 * The number (user_data) is the slot's index and, above it, the generation: a number that the table
 * gives to each use of any slot, in their order. So a completion that is late, doubled or forged,
 * or a cancellation that comes after its op's end, names a slot's earlier use and finds nothing.
 * That is checked in release builds too; a pointer could not be. And a number tells how many ops
 * were begun since (wf_slots_since).
 *
 * Used by one thread, the owner; but any thread that has the completions to itself (uring.h,
 * `holder`) may look up what they name, and give slots back to it (wf_slots_return), which it takes
 * in when it has the completions to itself (wf_slots_collect). An op and its slot's generation are
 * written before the entry is published, and not again until the slot has come back.
 *
 * Slots come in chunks that are allocated when there have never been so many
 * ops in flight, and kept; the first one by open, so there is always room for some. The bound is
 * the number of tasks that can wait at once, so it cannot be met by ops of waiting tasks. It must
 * not be less: idle connections each hold a slot for as long as they are idle, and an op that
 * waited for a slot would wait for their peers' goodwill. (A completion queue of that size is not
 * needed: see uring.c, G.2.) */
#ifndef WF_URING_SLOTS_H
#define WF_URING_SLOTS_H

#include "pool/base/atomic.h"
#include "pool/base/sys.h"
#include <stdbool.h>

#ifndef WF_SLOTS_CHUNK
#define WF_SLOTS_CHUNK 1024 /* models use 2 */
#endif
#define WF_SLOTS_CHUNKS 1024
#define WF_SLOTS_MAX    (WF_SLOTS_CHUNK * WF_SLOTS_CHUNKS) /* as WEFT_TASKS_MAX */
#define WF_SLOTS_NONE   UINT32_MAX

struct wf_op;

struct wf_slot {
    WF_PLAIN(struct wf_op *) op; /* NULL: free */
    uint32_t generation;         /* of this use, or of the last if free */
    uint32_t next_free;          /* while free or returned */
};

struct wf_slots {
    /* owner */
    WF_ATOMIC(uint32_t) used; /* returned ones included; others read it racily */
    uint32_t used_max;        /* WF_SLOTS_MAX; tests set less */
    uint32_t free;            /* the one used last: its line is the warmest */
    uint32_t uses;            /* of any slot so far, modulo 2^32: the generation of the last */
    /* who has the completions */
    WF_PLAIN(uint32_t) returned; /* the last that was returned; WF_SLOTS_NONE: none */
    /* owner; others read */
    WF_ATOMIC(uint32_t) chunks;
    struct wf_slot *chunk[WF_SLOTS_CHUNKS];
};

/* In use, also of those that were returned. Any thread; racy but for the owner. */
WF_INLINE uint32_t wf_slots_used(const struct wf_slots *slots)
{
    return wf_load_relaxed(&slots->used); /* relaxed: a hint, or ours */
}

/* relaxed: only the owner writes it, with no locked instruction */
#define wf_slots_add_used_(slots, n) \
    wf_store_relaxed(&(slots)->used, wf_load_relaxed(&(slots)->used) + (uint32_t)(n))

WF_INLINE struct wf_slot *wf_slots_at(const struct wf_slots *slots, uint32_t index)
{
    return &slots->chunk[index / WF_SLOTS_CHUNK][index % WF_SLOTS_CHUNK];
}

static WF_UNUSED WF_COLD bool wf_slots_grow(struct wf_slots *slots)
{
    uint32_t chunks = wf_load_relaxed(&slots->chunks); /* relaxed: ours */
    if (chunks == WF_SLOTS_CHUNKS) {
        return false;
    }
    struct wf_slot *chunk = wf_sys.alloc(WF_LINE, sizeof *chunk * WF_SLOTS_CHUNK);
    if (chunk == NULL) {
        return false;
    }
    uint32_t first = chunks * WF_SLOTS_CHUNK;
    for (uint32_t i = 0; i < WF_SLOTS_CHUNK; i++) {
        chunk[i] =
            (struct wf_slot){.next_free = i + 1 < WF_SLOTS_CHUNK ? first + i + 1 : slots->free};
    }
    slots->chunk[chunks] = chunk;
    /* sync(slots.grow): release, the chunk; pairs sync(slots.find) */
    wf_store_release(&slots->chunks, chunks + 1);
    slots->free = first;
    return true;
}

/* False: no memory for the first chunk. */
static inline bool wf_slots_open(struct wf_slots *slots)
{
    wf_store_relaxed(&slots->used, 0); /* relaxed, both: nobody else is there yet */
    slots->used_max = WF_SLOTS_MAX;
    slots->free = WF_SLOTS_NONE;
    slots->uses = 0;
    wf_plain_write(&slots->returned, WF_SLOTS_NONE);
    wf_store_relaxed(&slots->chunks, 0);
    return wf_slots_grow(slots);
}

static inline void wf_slots_close(struct wf_slots *slots)
{
    /* relaxed, both: nobody else is there any more */
    for (uint32_t i = 0; i < wf_load_relaxed(&slots->chunks); i++) {
        wf_sys.release(slots->chunk[i]);
    }
    wf_store_relaxed(&slots->chunks, 0);
}

/* A slot for the op, or WF_SLOTS_NONE: as many as allowed are in use, or there is no memory for
 * more. */
static inline uint32_t wf_slots_take(struct wf_slots *slots, struct wf_op *op)
{
    if (wf_unlikely(wf_slots_used(slots) == slots->used_max ||
                    (slots->free == WF_SLOTS_NONE && !wf_slots_grow(slots)))) {
        return WF_SLOTS_NONE;
    }
    uint32_t index = slots->free;
    struct wf_slot *slot = wf_slots_at(slots, index);
    slots->free = slot->next_free;
    slot->generation = ++slots->uses;
    wf_slots_add_used_(slots, 1);
    wf_plain_write(&slot->op, op);
    return index;
}

/* What the kernel carries for the slot's present use. */
WF_INLINE uint64_t wf_slots_number(const struct wf_slots *slots, uint32_t index)
{
    return (uint64_t)wf_slots_at(slots, index)->generation << 32 | index;
}

/* The op that the number belongs to; NULL: to none in flight. */
static inline struct wf_op *wf_slots_find(const struct wf_slots *slots, uint64_t number)
{
    uint32_t index = (uint32_t)number;
    /* sync(slots.find): acquire, the chunk; pairs sync(slots.grow) */
    if (wf_unlikely(index >= wf_load_acquire(&slots->chunks) * WF_SLOTS_CHUNK)) {
        return NULL;
    }
    const struct wf_slot *slot = wf_slots_at(slots, index);
    return wf_likely(slot->generation == (uint32_t)(number >> 32)) ? wf_plain_read(&slot->op)
                                                                   : NULL;
}

/* Owner: so many slots were taken since the one with that number was. */
WF_INLINE uint32_t wf_slots_since(const struct wf_slots *slots, uint64_t number)
{
    return slots->uses - (uint32_t)(number >> 32);
}

/* A used slot: its number is invalid from now on. */
static inline void wf_slots_give(struct wf_slots *slots, uint32_t index)
{
    struct wf_slot *slot = wf_slots_at(slots, index);
    wf_plain_write(&slot->op, NULL);
    slot->next_free = slots->free;
    slots->free = index;
    wf_slots_add_used_(slots, -1);
}

/* As wf_slots_give, by who has the completions but is not the owner. */
static inline void wf_slots_return(struct wf_slots *slots, uint32_t index)
{
    struct wf_slot *slot = wf_slots_at(slots, index);
    wf_plain_write(&slot->op, NULL);
    slot->next_free = wf_plain_read(&slots->returned);
    wf_plain_write(&slots->returned, index);
}

/* Owner, who has the completions: what was returned is free. */
static inline void wf_slots_collect(struct wf_slots *slots)
{
    uint32_t index;
    /* ends: nobody adds meanwhile */
    while (wf_unlikely((index = wf_plain_read(&slots->returned)) != WF_SLOTS_NONE)) {
        struct wf_slot *slot = wf_slots_at(slots, index);
        wf_plain_write(&slots->returned, slot->next_free);
        slot->next_free = slots->free;
        slots->free = index;
        wf_slots_add_used_(slots, -1);
    }
}

#endif
