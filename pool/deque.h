/* deque.h: one worker's stack of work, whose oldest end other workers may steal and whose newest
 * end is private.
 *
 * Called by its owner, a worker, and where it says "any thread", by thieves and sleepers. It never
 * blocks, allocates or wakes anybody: a caller that made something public does the wake check
 * (park.h) itself.
 *
 *      top                   split = bottom
 *       |  public, oldest first  |   free ... up to top + WF_DEQUE_SLOTS      newest -> ... -> oldest
 *       +------------------------+                                            private, a list
 *        thieves CAS top                                                      owner only, plain stores
 *
 * public    entries [top, bottom): a thief may take the oldest, the owner the newest.
 * private   a list, invisible to all but the owner. Only fork/join (fork.h) leaves entries here, so they
 *           are sections that the running fiber forked and has not joined. They are in no slot: a fork
 *           stores its link and `newest`, and a join looks at `newest` alone.
 * link      the address of a private section, with WF_LINK_SIGNED beside it if the section is signed.
 * signed    a private section whose env stands in its `state`. A fork does not sign: the env is that of
 *           the running code, until that is about to change (wf_deque_sign), or the section becomes
 *           public. Signed ones are older than unsigned ones.
 * split     the owner's copy of `bottom`.
 * window    the owner forks without looking left or right while the section's address is in
 *           (limit - WF_DEQUE_WINDOW, limit]. Addresses stand for their number: sections lie side by side
 *           in frames. WF_DEQUE_ASK and WF_DEQUE_LOOK are far below every address, and so send the next
 *           fork to the slow path: a thief asks for something public, or the owner wants to look at the
 *           idle hint again.
 *
 * The public part is the deque of Chase and Lev (2005) with the orderings of Le, Pop, Cohen and
 * Zappa Nardelli (2013). Indices have 64 bits and never wrap.
 *
 * G.1  No work is lost and none is handed out twice.
 * G.2  No ABA: `top` only grows, and is the only word that a take changes by CAS. (A CAS on a
 *      packed {top, bottom} after reading the slot loses work: the owner may take the entry back
 *      and put another at the same index.)
 * G.3  A slot is written again only when the entry it held has been taken: split <= top +
 *      WF_DEQUE_SLOTS.
 * G.4  At most WF_DEQUE_RESERVE entries are private, and none after wf_deque_publish or wf_deque_push.
 *      For when the window is set at most WF_DEQUE_PRIVATE are, and no two share an address. So many
 *      slots are kept free for them: making them public never fails.
 * G.5  An ask is not lost: the owner's next fork takes the slow path, and the one after it too,
 *      with an idle hint that was read after the ask was seen. While the hint says that somebody
 *      idles, each fork leaves nothing private.
 *
 * Roads not taken. Taking back several public entries at once saves a fence per join in flat loops,
 * but hides general work behind whatever runs next. A thief that looks at `newest` to see whether
 * asking pays would pull the owner's line. Growing needs reclamation; a full deque runs the fork
 * inline instead. */
#ifndef WF_DEQUE_H
#define WF_DEQUE_H

#include "pool/base/atomic.h"
#include "pool/base/check.h"
#include "pool/fiber.h"
#include "pool/work.h"

/* The env of the running code. Only on our stacks does anything become public. */
#ifndef WF_DEQUE_ENV
#define WF_DEQUE_ENV() ((uintptr_t)wf_self()->env)
#endif
#ifndef WF_DEQUE_SLOTS
#define WF_DEQUE_SLOTS 4096 /* a power of two; 32 KiB, half of a first-level cache. Models use 4 */
#endif
#ifndef WF_DEQUE_PRIVATE
#define WF_DEQUE_PRIVATE \
    16 /* 4 to 64 measured alike (fib, nqueens); smaller hides less. Models use 2 */
#endif
#ifndef WF_DEQUE_WINDOW
#define WF_DEQUE_WINDOW 4096 /* bytes: fifty frames of fib. fork.h has it too */
#endif
#ifndef WF_DEQUE_RESERVE
#define WF_DEQUE_RESERVE (WF_DEQUE_PRIVATE + 1 + WF_DEQUE_WINDOW / sizeof(struct wf_section))
#endif
#ifndef WF_DEQUE_LONG
#define WF_DEQUE_LONG 256 /* 16 KiB of tasks, half of a first-level cache */
#endif
#define WF_DEQUE_ROOM (WF_DEQUE_SLOTS - WF_DEQUE_RESERVE) /* forks and pushes stop there */
#define WF_DEQUE_MASK (WF_DEQUE_SLOTS - 1)

#define WF_DEQUE_ASK   0 /* limit: a thief stored it */
#define WF_DEQUE_LOOK  1 /* limit: the owner stored it */
#define WF_DEQUE_FIRST 2 /* the first index */

#define WF_LINK_SIGNED ((uintptr_t)1) /* beside a section's address, in a link */

struct wf_deque {
    /* owner: worker. include/weft/fork.h mirrors this line: the offsets are fixed. */
    uintptr_t newest;          /* link to the newest private section; 0: none */
    WF_ATOMIC(uint64_t) limit; /* ASK, LOOK, or the window. Thieves exchange it for ASK */
    uint64_t split;            /* == bottom: the next free index */
    uint64_t full_at;          /* an old `top` + WF_DEQUE_ROOM: `split`, while the window is open */

    /* any thread; atomic. All that a failed probe touches. */
    /* thieves, and the owner for the last entry, by CAS */
    WF_ALIGNED(WF_LINE_PAIR) WF_ATOMIC(uint64_t) top;
    WF_ATOMIC(uint64_t) bottom; /* owner stores */
    /* limit is ASK, probably: a hint that spares thieves the owner's line */
    WF_ATOMIC(uint32_t) asked;
    /* general works that the owner has put or taken: how fast it gets on, for thieves. Owner stores */
    WF_ATOMIC(uint32_t) pace;
    /* what `pace` was when the owner last put, or ran, a work that is cheap to move. Owner stores */
    WF_ATOMIC(uint32_t) cheap_at;

    /* owner stores, thieves load */
    WF_ALIGNED(WF_LINE_PAIR) WF_ATOMIC(struct wf_work *) slots[WF_DEQUE_SLOTS];
};

_Static_assert((WF_DEQUE_SLOTS & WF_DEQUE_MASK) == 0, "indices are masked");
_Static_assert(WF_DEQUE_PRIVATE >= 2, "half of the private part is kept");
_Static_assert(WF_DEQUE_RESERVE * 2 <= WF_DEQUE_SLOTS, "most slots are for what is public");
_Static_assert(offsetof(struct wf_deque, newest) == 0, "fork.h mirrors this");
_Static_assert(offsetof(struct wf_deque, limit) == 8, "fork.h mirrors this");
_Static_assert(offsetof(struct wf_deque, top) == 128, "a thief's probe stays off the owner's line");

/* What became of a fork. */
enum wf_forked {
    WF_FORKED_FULL = 0,    /* not stored: run it inline, now, and do not join it */
    WF_FORKED_PRIVATE = 1, /* stored; nobody else can see it yet */
    WF_FORKED_PUBLIC = 2,  /* stored, and something became public: do the wake check */
};

WF_INLINE void wf_deque_init(struct wf_deque *d)
{
    d->newest = 0;
    d->split = WF_DEQUE_FIRST;
    d->full_at = WF_DEQUE_FIRST + WF_DEQUE_ROOM;
    /* Relaxed: the deque is handed to other threads by starting them. */
    wf_store_relaxed(&d->limit, WF_DEQUE_LOOK);
    wf_store_relaxed(&d->top, WF_DEQUE_FIRST);
    wf_store_relaxed(&d->bottom, WF_DEQUE_FIRST);
    wf_store_relaxed(&d->asked, 0);
    wf_store_relaxed(&d->pace, 0);
    wf_store_relaxed(&d->cheap_at, 0U - WF_DEQUE_SLOTS); /* not of late */
}

/* Owner: one more general work has come or gone. Beside `bottom`, which has just been stored. */
WF_INLINE void wf_deque_step(struct wf_deque *d)
{
    /* Relaxed, and no read-modify-write: only we store it, and it is a hint. */
    wf_store_relaxed(&d->pace, wf_load_relaxed(&d->pace) + 1);
}

/* Owner: the work that was counted last is cheap to move; and so were `uncounted` others, which came from no
 * queue. */
WF_INLINE void wf_deque_note_cheap(struct wf_deque *d, uint32_t uncounted)
{
    uint32_t pace = wf_load_relaxed(&d->pace) + uncounted; /* relaxed, all: as above */
    if (uncounted != 0) {
        wf_store_relaxed(&d->pace, pace);
    }
    wf_store_relaxed(&d->cheap_at, pace);
}

/* Any thread: racy. Is what the owner has in hand cheap to move? It has done `pace` works by now: one more
 * than it has told of, perhaps, since it counts a work when it takes it, and tells when it runs it. */
WF_INLINE bool wf_deque_is_cheap(struct wf_deque *d, uint32_t pace)
{
    return pace - wf_load_relaxed(&d->cheap_at) <= 1; /* relaxed: a hint */
}

/* Relaxed everywhere: `bottom` publishes the slots, and `top` gives them back. */
#define wf_deque_slot_(d, index) (&(d)->slots[WF_DEQUE_MASK & (index)])

/* Owner: is there no room for more work? Looks at `top` only when the last look does not answer. */
WF_INLINE bool wf_deque_is_full_(struct wf_deque *d)
{
    if (wf_likely(d->split < d->full_at)) {
        return false;
    }
    /* sync(deque.reuse): acquire, a thief has read its slot before we write it again; pairs
     * sync(deque.taken) */
    d->full_at = wf_load_acquire(&d->top) + WF_DEQUE_ROOM;
    return d->split >= d->full_at;
}

/* Owner: are there so many entries that it should run some before it adds more? */
WF_INLINE bool wf_deque_is_long(struct wf_deque *d)
{
    if (wf_likely(d->split + WF_DEQUE_ROOM - d->full_at < WF_DEQUE_LONG)) {
        return false;
    }
    /* sync(deque.measure): acquire, as sync(deque.reuse); pairs sync(deque.taken) */
    d->full_at = wf_load_acquire(&d->top) + WF_DEQUE_ROOM;
    return d->split + WF_DEQUE_ROOM - d->full_at >= WF_DEQUE_LONG;
}

WF_INLINE struct wf_section *wf_link_section_(uintptr_t link)
{
    return (struct wf_section *)(link & ~WF_LINK_SIGNED); // NOLINT(performance-no-int-to-ptr)
}

/* Owner: how many are private. */
static WF_UNUSED uint64_t wf_deque_private(const struct wf_deque *d)
{
    uint64_t count = 0;
    for (uintptr_t link = d->newest; link != 0; link = wf_link_section_(link)->link) {
        count++;
        wf_check(count <= WF_DEQUE_RESERVE,
                 "section %p was forked twice, or is gone without a join",
                 (void *)wf_link_section_(link)); /* else G.4 */
    }
    return count;
}

/* Owner: the env of the running code is `env`, and about to change: private sections that are not
 * signed yet belong to it. */
static WF_UNUSED WF_COLD void wf_deque_sign(struct wf_deque *d, uintptr_t env)
{
    uintptr_t *link = &d->newest;
    while (*link != 0 && (*link & WF_LINK_SIGNED) == 0) { /* ends: G.4 */
        struct wf_section *section = wf_link_section_(*link);
        section->state = env;
        *link |= WF_LINK_SIGNED;
        link = &section->link;
    }
}

/* Owner: the next forks are free in the window below `limit`, unless the limit is no longer `expected`:
 * then somebody has asked. */
WF_INLINE void wf_deque_set_limit_(struct wf_deque *d, uint64_t expected, uint64_t limit)
{
    /* relaxed: an ask that we do not see here is not overwritten */
    (void)wf_cas_relaxed(&d->limit, &expected, limit);
}

/* Owner: the next fork is not free: it comes to its slow path, which looks who forks. */
WF_INLINE void wf_deque_end_free(struct wf_deque *d)
{
    /* Relaxed: as in wf_deque_set_limit_; what a thief stores meanwhile does the same. */
    uint64_t limit = wf_load_relaxed(&d->limit);
    if (limit > WF_DEQUE_LOOK) {
        wf_deque_set_limit_(d, limit, WF_DEQUE_LOOK);
    }
}

WF_INLINE void wf_deque_set_bottom_(struct wf_deque *d, uint64_t bottom)
{
    d->split = bottom;
    /* sync(deque.publish): release, a thief that sees the entry sees the slot and the work in it;
     * pairs sync(deque.look) */
    wf_store_release(&d->bottom, bottom);
}

/* Owner: of `count` private sections the oldest `share`, at least one, become public. Their joins have to
 * come to us: they are in no list any more. Thieves find the env in `link`, whatever becomes of
 * `state`. */
static WF_UNUSED void wf_deque_release_(struct wf_deque *d, uint64_t count, uint64_t share)
{
    uintptr_t *oldest_kept = &d->newest;
    for (; count > share; count--) {
        oldest_kept = &wf_link_section_(*oldest_kept)->link;
    }
    uintptr_t env = WF_DEQUE_ENV();
    uintptr_t link = *oldest_kept;
    *oldest_kept = 0;
    for (uint64_t i = d->split + share; i != d->split; i--) {
        struct wf_section *section = wf_link_section_(link);
        if ((link & WF_LINK_SIGNED) == 0) {
            section->state = env;
        }
        link = section->link;
        section->link = ~section->state;
        wf_store_relaxed(wf_deque_slot_(d, i - 1), (struct wf_work *)(void *)section);
    }
    wf_deque_set_bottom_(d, d->split + share);
    if (wf_unlikely(d->split >= d->full_at)) {
        wf_deque_end_free(d); /* the reserve is used */
    }
}

/* Any thread: asks the owner for something public. A searching thief asks by failing to steal; a
 * worker that is about to sleep asks every victim, after it has announced itself, so that the
 * owner's next look at the idle hint is made after the announcement. */
WF_INLINE void wf_deque_ask(struct wf_deque *d)
{
    /* relaxed: published by the exchange, if the owner is to clear it */
    wf_store_relaxed(&d->asked, 1);
    /* sync(deque.ask): release, who sees the ask sees that we are idle. An exchange, so that who
     * sees a later one sees ours too; pairs sync(deque.heard) */
    (void)wf_xchg_release(&d->limit, WF_DEQUE_ASK);
}

/* Any thread: racy. A sleeper's re-check calls it after the full fence of wf_park_announce. */
WF_INLINE bool wf_deque_has_public(struct wf_deque *d)
{
    /* Relaxed: the fences of sync(park.announce) and sync(park.submit) order it. An entry that the
     * owner is just taking may be missed: its owner is awake. */
    uint64_t top = wf_load_relaxed(&d->top);
    return top < wf_load_relaxed(&d->bottom);
}

/* Any thread: racy, like wf_deque_has_public; how many are public. */
WF_INLINE uint64_t wf_deque_len(struct wf_deque *d)
{
    uint64_t top = wf_load_relaxed(&d->top);
    uint64_t bottom = wf_load_relaxed(&d->bottom);
    return top < bottom ? bottom - top : 0;
}

WF_INLINE bool wf_deque_has_private(const struct wf_deque *d)
{
    return d->newest != 0;
}

/* Owner: makes everything public, before a suspension. True: something became public, so do the
 * wake check. */
WF_INLINE bool wf_deque_publish(struct wf_deque *d)
{
    if (!wf_deque_has_private(d)) {
        return false;
    }
    uint64_t count = wf_deque_private(d);
    wf_deque_release_(d, count, count);
    return true;
}

/* Owner: would wf_deque_push only add its work? Then wf_deque_put may do so: nothing is private, and there is room as far as is known. */
WF_INLINE bool wf_deque_may_put(const struct wf_deque *d)
{
    return d->split < d->full_at && d->newest == 0;
}

WF_INLINE void wf_deque_put(struct wf_deque *d, struct wf_work *work)
{
    uint64_t bottom = d->split;
    wf_store_relaxed(wf_deque_slot_(d, bottom), work);
    wf_deque_set_bottom_(d, bottom + 1);
    wf_deque_step(d);
}

/* Owner: adds general work, and makes it and all that is older public. False: full, nothing changed. */
WF_INLINE bool wf_deque_push(struct wf_deque *d, struct wf_work *work)
{
    if (wf_unlikely(wf_deque_is_full_(d))) {
        return false;
    }
    (void)wf_deque_publish(d); /* leaves a slot: `split` was below full_at */
    wf_deque_put(d, work);
    return true;
}

WF_INLINE void wf_deque_put_section_(struct wf_deque *d, struct wf_section *section)
{
    section->link = d->newest;
    d->newest = (uintptr_t)section;
}

/* Owner: the fork that could not be free, because the section is outside of the window: the private part
 * may be long, somebody asked, or the deque is full. Stores the record, makes some public and sets the
 * window for the forks to come. idle: somebody is parked or searching (wf_pool_has_idle), read by the
 * caller just now. */
static WF_UNUSED WF_COLD enum wf_forked wf_deque_fork_slow(struct wf_deque *d,
                                                           struct wf_section *section, bool idle)
{
    if (wf_unlikely(wf_deque_is_full_(d))) {
        return WF_FORKED_FULL;
    }
    bool asked = false;
    /* relaxed: an ask that we miss is there at the next fork */
    if (wf_load_relaxed(&d->limit) != WF_DEQUE_LOOK) {
        /* sync(deque.heard): acquire, the next look at the idle hint sees the asker; pairs
         * sync(deque.ask) */
        asked = wf_xchg_acquire(&d->limit, WF_DEQUE_LOOK) == WF_DEQUE_ASK;
        wf_store_relaxed(&d->asked, 0);
    }
    wf_deque_put_section_(d, section);
    uint64_t count = wf_deque_private(d);
    uint64_t share = 0;
    if (idle) {
        share = count; /* a long leaf may begin here: leave nothing hidden behind it */
    } else if (count > WF_DEQUE_PRIVATE) {
        share = count - WF_DEQUE_PRIVATE / 2;
    } else if (asked) {
        share = (count + 1) / 2;
    }
    if (share != 0) {
        wf_deque_release_(d, count, share);
    }
    /* otherwise the next fork looks at the idle hint again, or at `top` */
    if (!idle && !asked && d->split < d->full_at) {
        wf_deque_set_limit_(d, WF_DEQUE_LOOK, (uintptr_t)section + WF_DEQUE_WINDOW / 2 - 1);
    }
    return share != 0 ? WF_FORKED_PUBLIC : WF_FORKED_PRIVATE;
}

/* Owner: a fork. include/weft/fork.h has these lines again, inline in the user's code, with the
 * idle hint looked up on the slow path only. */
WF_INLINE enum wf_forked wf_deque_fork(struct wf_deque *d, struct wf_section *section, bool idle)
{
    /* Relaxed: the slow path has the orderings. */
    if (wf_likely(wf_load_relaxed(&d->limit) - (uintptr_t)section < WF_DEQUE_WINDOW)) {
        wf_deque_put_section_(d, section);
        return WF_FORKED_PRIVATE;
    }
    return wf_deque_fork_slow(d, section, idle);
}

/* Owner: if `section` is private, not signed, and the newest, removes it: a join's fast path, as it is in
 * fork.h. */
WF_INLINE bool wf_deque_take_private(struct wf_deque *d, const struct wf_section *section)
{
    if (d->newest != (uintptr_t)section) {
        return false;
    }
    d->newest = section->link;
    return true;
}

/* Owner: removes a private section, whether it is signed, or not the newest, since joins came in another
 * order. False: it is not in this deque. */
static WF_UNUSED WF_COLD bool wf_deque_remove(struct wf_deque *d, const struct wf_section *section)
{
    uintptr_t *link = &d->newest;
    while (*link != 0 && wf_link_section_(*link) != section) { /* ends: G.4 */
        link = &wf_link_section_(*link)->link;
    }
    if (*link == 0) {
        return false;
    }
    *link = section->link;
    return true;
}

/* Owner, while nothing is private: the newest public entry, or NULL when a thief has it. */
static inline struct wf_work *wf_deque_take_public_(struct wf_deque *d)
{
    wf_check_inner(!wf_deque_has_private(d));
    uint64_t bottom = d->split;
    /* Relaxed, and perhaps old: an old `top` is a smaller one, so `empty` is certain. */
    if (wf_load_relaxed(&d->top) >= bottom) {
        return NULL;
    }
    bottom--;
    struct wf_work *work = wf_load_relaxed(wf_deque_slot_(d, bottom));
    /* sync(deque.retract): release, the entries below it stay readable; pairs sync(deque.look) */
    wf_store_release(&d->bottom, bottom);
    /* sync(deque.take): seq_cst, a thief sees the lower bottom or we see its higher top; pairs
     * sync(deque.steal) */
    wf_fence_seq_cst();
    uint64_t top = wf_load_relaxed(&d->top);
    if (wf_likely(top < bottom)) {
        d->split = bottom;
        return work;
    }
    /* It is the last one, and thieves may want it too; or it is gone already. Relaxed: top counts
     * takes, and our own entries are known to us. */
    if (top != bottom || !wf_cas_relaxed(&d->top, &top, top + 1)) {
        work = NULL;
    }
    /* relaxed: empty again, top == bottom; nobody reads a slot through it */
    wf_store_relaxed(&d->bottom, bottom + 1);
    return work;
}

/* Owner: if the newest entry is `work`, and public, takes it. False when it is not, or a thief was
 * first. */
WF_INLINE bool wf_deque_take_if(struct wf_deque *d, const struct wf_work *work)
{
    if (wf_deque_has_private(d) || d->split == WF_DEQUE_FIRST ||
        wf_load_relaxed(wf_deque_slot_(d, d->split - 1)) != work) {
        return false;
    }
    return wf_deque_take_public_(d) != NULL;
}

/* Owner, while nothing is private: the newest entry, or NULL: empty. */
WF_INLINE struct wf_work *wf_deque_pop_public(struct wf_deque *d)
{
    struct wf_work *work = wf_deque_take_public_(d);
    if (work != NULL) {
        wf_deque_step(d);
    }
    return work;
}

/* Owner: the same. For the loop, which finds nothing private. */
WF_INLINE struct wf_work *wf_deque_pop(struct wf_deque *d)
{
    (void)wf_deque_publish(d); /* private ones are for their joins, which would not miss them */
    return wf_deque_pop_public(d);
}

/* Any thread, and the owner while nothing is private: the oldest public entry. NULL: nothing public, and now asked for; or
 * another was faster, and there may be more. */
WF_INLINE struct wf_work *wf_deque_steal(struct wf_deque *d)
{
    uint64_t top = wf_load_relaxed(&d->top); /* relaxed: the fence below orders it */
    /* sync(deque.steal): seq_cst, we see the owner's lower bottom or it sees our higher top; pairs
     * sync(deque.take) */
    wf_fence_seq_cst();
    /* sync(deque.look): acquire, the slot and the work below bottom; pairs sync(deque.publish),
     * sync(deque.retract) */
    uint64_t bottom = wf_load_acquire(&d->bottom);
    if (top >= bottom) {
        /* relaxed: a hint; asking too often is slow, never wrong */
        if (wf_load_relaxed(&d->asked) == 0) {
            wf_deque_ask(d);
        }
        return NULL;
    }
    struct wf_work *work = wf_load_relaxed(wf_deque_slot_(d, top));
    /* sync(deque.taken): release, we have read the slot before it is written again; pairs
     * sync(deque.reuse), sync(deque.measure) */
    if (!wf_cas_release(&d->top, &top, top + 1)) {
        return NULL;
    }
    return work;
}

/* Owner: do the facts above hold? For tests and debug builds. */
WF_INLINE void wf_deque_check(struct wf_deque *d)
{
    uint64_t top = wf_load_relaxed(&d->top);
    uint64_t limit = wf_load_relaxed(&d->limit);
    wf_check_inner(wf_load_relaxed(&d->bottom) == d->split);
    wf_check_inner(top <= d->split && d->split <= top + WF_DEQUE_SLOTS);
    wf_check_inner(d->full_at <= top + WF_DEQUE_ROOM);
    wf_check_inner(limit <= WF_DEQUE_LOOK || d->split <= d->full_at);
    wf_check_inner(wf_deque_private(d) <= WF_DEQUE_RESERVE);
    (void)top, (void)limit;
}

#endif
