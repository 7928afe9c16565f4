/* slot.h: how a cancellation finds what a strand waits for, without a lock in the way of the
 * strand.
 *
 * A strand waits for one thing at a time. So what code runs under (wf_env, core.h) has one *slot*,
 * a word with the wait of the strand that lies down under it. Whoever cancels (a *walk*, walk.c)
 * looks into the slots of the scope, under the scope's lock; the strand puts its wait in and takes
 * it out by a compare-and-swap each. Which slots a scope has the walk knows from elsewhere: its
 * own, and those of its tasks that have ever waited. Who may call: src/ only.
 *
 *      FREE --[wf_slot_enter]--> wait --[wf_slot_leave]--> FREE
 *                                 |  ^
 *               [wf_slot_touch, a walk]  +--[wf_slot_let_go: the walk is through with it]
 *                                 v  |
 *                     wait, TOUCHED --[wf_slot_free, by the strand, under the scope's lock]--> FREE
 *
 * A strand that hands over waits in a wait of its own, in its stack's block, whose memory stays
 * (fiber.h). That *stays* in the slot: (wait, STAYS). FREE --[wf_slot_stay]--> (wait, STAYS), which
 * the next wait of the kind finds there (wf_slot_holds), another takes it from (wf_slot_enter), and
 * a strand that goes frees (wf_slot_go). The walk does not touch such a wait but ends it, if its
 * state says that it is one under this env (end_staying in walk.c); or passes over it.
 *
 * A walk that takes the task out of the scope's list lets go to (wait, UNLISTED), which the strand
 * makes UNLISTED. UNLISTED: no walk would find the slot: the next wait goes by the scope's lock,
 * and lists it. NONE: of an env that no walk finds at all. In both, and while another strand of the
 * env has the slot, wf_slot_enter fails, and the wait goes into a list of the scope, under its
 * lock.
 *
 * G.1  Of a walk that sets its flag and looks into the slot, and a strand that enters it and looks
 *      at the flag, at least one sees the other: all four are seq_cst.
 *      Of a wait that stays: the strand stores its state and has a full fence before it looks, the
 *      walk one before it reads the state.
 * G.2  A wait that a walk has touched is there until the walk drops the scope's lock, or lets go of
 *      it: the strand takes that lock before it returns.
 * G.3  What a slot of a live env points to is there, if it stays; and a walk ends it only under
 *      that env. */
#ifndef WF_SLOT_H
#define WF_SLOT_H

#include "src/wait.h"

struct wf_slot {
    WF_ATOMIC(uintptr_t) word; /* one of those below; or a wait, maybe TOUCHED, or STAYS */
};

#define WF_SLOT_FREE     ((uintptr_t)0)
#define WF_SLOT_TOUCHED  ((uintptr_t)1) /* with a wait */
#define WF_SLOT_UNLISTED ((uintptr_t)2)
#define WF_SLOT_NONE     ((uintptr_t)4)
#define WF_SLOT_STAYS    ((uintptr_t)4) /* with a wait */
#define WF_SLOT_BITS     ((uintptr_t)7)

_Static_assert(_Alignof(struct wf_wait) > WF_SLOT_NONE, "a word below is no wait");

/* Not shared yet, or under the scope's lock. */
WF_INLINE void wf_slot_set(struct wf_slot *slot, uintptr_t word)
{
    wf_store_relaxed(&slot->word, word);
}

/* Does the strand's own wait stay in the slot already? Relaxed: the strand has put it there, and
 * whoever takes it away has ended a wait of ours. */
WF_INLINE bool wf_slot_holds(struct wf_slot *slot, const struct wf_wait *wait)
{
    return wf_load_relaxed(&slot->word) == ((uintptr_t)wait | WF_SLOT_STAYS);
}

/* The strand, before it lies down. True: it has to look at the flag next, by wf_load_seq_cst. */
WF_INLINE bool wf_slot_enter(struct wf_slot *slot, struct wf_wait *wait, const struct wf_wait *own)
{
    uintptr_t word = wf_slot_holds(slot, own) ? (uintptr_t)own | WF_SLOT_STAYS : WF_SLOT_FREE;
    /* sync(slot.enter): seq_cst, before the look at the flag, and release, what a walk reads of the
     * wait; pairs sync(slot.look), sync(slot.touch) */
    return wf_cas_seq_cst(&slot->word, &word, (uintptr_t)wait);
}

/* The strand: its own wait stays in the slot from here on. True: it has to look at the flag
 * next. */
WF_INLINE bool wf_slot_stay(struct wf_slot *slot, struct wf_wait *wait)
{
    uintptr_t word = WF_SLOT_FREE;
    /* sync(slot.stay): seq_cst, as sync(slot.enter); pairs sync(slot.look) */
    return wf_cas_seq_cst(&slot->word, &word, (uintptr_t)wait | WF_SLOT_STAYS);
}

/* The strand goes, and what is in the slot is not to be its own: another strand's turn. */
WF_INLINE void wf_slot_go(struct wf_slot *slot, const struct wf_wait *wait)
{
    if (wf_unlikely(wf_slot_holds(slot, wait))) {
        wf_slot_set(slot, WF_SLOT_FREE);
    }
}

/* The strand, running again. False: a walk has touched the wait, or it has not entered. */
WF_INLINE bool wf_slot_leave(struct wf_slot *slot, struct wf_wait *wait)
{
    uintptr_t word = (uintptr_t)wait;
    /* Relaxed: a walk that sees the slot free, or a later wait, touches nothing of ours. */
    return wf_cas_relaxed(&slot->word, &word, WF_SLOT_FREE);
}

/* The strand whose wait was touched, under the scope's lock. */
WF_INLINE void wf_slot_free(struct wf_slot *slot)
{
    wf_slot_set(slot, WF_SLOT_FREE);
}

/* A walk, under the scope's lock, after it has set the flag: what is in the slot, for the two that
 * follow. */
WF_INLINE uintptr_t wf_slot_look(struct wf_slot *slot)
{
    /* sync(slot.look): seq_cst, after the flag is set; pairs sync(slot.enter), sync(slot.stay) */
    return wf_load_seq_cst(&slot->word);
}

/* The wait that stays there, or NULL. Its strand may be gone, or wait under another env; the memory
 * stays (G.3). */
WF_INLINE struct wf_wait *wf_slot_staying(uintptr_t word)
{
    bool stays = word > WF_SLOT_NONE && (word & WF_SLOT_BITS) == WF_SLOT_STAYS;
    // NOLINTNEXTLINE(performance-no-int-to-ptr): the word is tagged
    return stays ? (struct wf_wait *)(word & ~WF_SLOT_BITS) : NULL;
}

/* The wait, which no walk has touched before; or NULL. */
WF_INLINE struct wf_wait *wf_slot_touch(struct wf_slot *slot, uintptr_t word)
{
    while (word > WF_SLOT_NONE && (word & WF_SLOT_BITS) == 0) {
        /* ends: a strand that sees the flag does not enter again */
        /* sync(slot.touch): acquire, the wait; pairs sync(slot.enter) */
        if (wf_cas_acquire(&slot->word, &word, word | WF_SLOT_TOUCHED)) {
            return (struct wf_wait *)word; // NOLINT(performance-no-int-to-ptr): the word is tagged
        }
    }
    return NULL;
}

/* The walk that has touched it, and owes the strand its resumption (WF_CLAIM_OWED), does not touch
 * it any more. `then`: FREE; or UNLISTED. */
WF_INLINE void wf_slot_let_go(struct wf_slot *slot, struct wf_wait *wait, uintptr_t then)
{
    wf_slot_set(slot, (uintptr_t)wait | then);
}

/* The strand, which could not leave: a walk has let go of the wait, and taken it off the list. */
WF_INLINE bool wf_slot_leave_unlisted(struct wf_slot *slot, const struct wf_wait *wait)
{
    /* Relaxed: if it is so, it was before we were resumed; and a walk that comes passes over it. */
    if (wf_load_relaxed(&slot->word) != ((uintptr_t)wait | WF_SLOT_UNLISTED)) {
        return false;
    }
    wf_slot_set(slot, WF_SLOT_UNLISTED);
    return true;
}

#endif
