/* known.h: what an index of a loop's body cost the last time, kept by the body's address for the
 * next loop over it.
 *
 * Who may call: for.c, on any thread; nothing is kept but for hints, and nothing waits. Not for
 * bodies that are called once: a loop cannot know what it begins with, but programs run the same
 * loops again and again.
 *
 * Terms. *cost*: log2 of the ticks of an index, in quarters, to within 2 of them; WF_COST_NONE: not
 * known. *vague*: a cost that may be too high: of a loop that was too short for the counter to
 * tell, or in which workers took lines from each other.
 *
 * G.1  What is found was remembered for the same body, on some thread, or is WF_COST_NONE.
 * G.2  A loop that costs what is known writes nothing, so that workers can run the same loop side
 *      by side.
 * G.3  A vague cost that is higher is no news, unless it is so by WF_COST_VAGUE. Else a loop that
 *      is given away, and takes longer for it, would be given away for that the next time.
 *
 * A table of the process's, as functions are, not of a runtime's. Roads not taken: to keep it by
 * the context too, which for most programs is an address on a stack; and to begin with a long piece
 * where an index is known to be cheap: if it is not, as in programs whose loops all go through one
 * function, all of that piece runs alone. (As long as is harmless then, it is: for.c.) */
#ifndef WF_KNOWN_H
#define WF_KNOWN_H

#include "pool/base/atomic.h"
#include <stdbool.h>
#include <stddef.h>

#define WF_KNOWN_BITS 6   /* 64 bodies, 512 bytes; two that share a slot drive each other out */
#define WF_COST_NONE  256 /* more than any */
/* Higher or lower by more than this is news: a factor of 1.4. */
#define WF_COST_NEWS 2
/* The same for a vague one that is higher: a factor of 8. Loops whose lines go to and fro take up
 * to four times as long. */
#define WF_COST_VAGUE 12

struct wf_known {
    /* any thread; atomic: the body's address, and below it the cost. 0: nothing */
    WF_ATOMIC(uint64_t) slots[1 << WF_KNOWN_BITS];
};

/* A body's address, moved up to make room for the cost. */
WF_INLINE uint64_t wf_known_name(uintptr_t body)
{
    return (uint64_t)body << 8;
}

/* Fibonacci hashing: functions lie side by side. */
WF_INLINE size_t wf_known_slot(uint64_t name)
{
    return (size_t)(name * UINT64_C(0x9e3779b97f4a7c15) >> (64 - WF_KNOWN_BITS));
}

WF_INLINE uint32_t wf_known_cost(struct wf_known *known, uint64_t name)
{
    uint64_t entry =
        wf_load_relaxed(&known->slots[wf_known_slot(name)]) - name; /* relaxed: a hint */
    return entry < WF_COST_NONE ? (uint32_t)entry : WF_COST_NONE;
}

/* `before`: what was known when the loop began. */
WF_INLINE void wf_known_remember(struct wf_known *known, uint64_t name, uint32_t cost,
                                 uint32_t before, bool is_vague)
{
    uint32_t more = is_vague ? WF_COST_VAGUE : WF_COST_NEWS;
    if (cost < WF_COST_NONE &&
        (before == WF_COST_NONE || cost > before + more || before > cost + WF_COST_NEWS)) {
        wf_store_relaxed(&known->slots[wf_known_slot(name)], name + cost); /* relaxed: a hint */
    }
}

/* In quarters; linear between the powers of two. */
WF_INLINE uint32_t wf_cost_log2(uint64_t n)
{
    if (n < 4) {
        return n < 2 ? 0 : n == 2 ? 4 : 6;
    }
    uint32_t log2 = 63 - (uint32_t)__builtin_clzll(n);
    return 4 * log2 + (uint32_t)(n >> (log2 - 2) & 3);
}

/* What an index cost, if `indices` took `ticks`. */
WF_INLINE uint32_t wf_cost_of(uint64_t ticks, size_t indices)
{
    uint32_t all = wf_cost_log2(ticks);
    uint32_t part = wf_cost_log2(indices);
    return all > part ? all - part : 0;
}

/* Do so many indices take more than `ticks`? `cost` is known. */
WF_INLINE bool wf_cost_exceeds(size_t indices, uint32_t cost, uint64_t ticks)
{
    return indices > 0 && wf_cost_log2(indices) + cost > wf_cost_log2(ticks);
}

/* How many indices take about so many ticks, or up to twice as many? */
WF_INLINE size_t wf_cost_indices(uint32_t cost, uint64_t ticks)
{
    return (size_t)(ticks >> cost / 4);
}

#endif
