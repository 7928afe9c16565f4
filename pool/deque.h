/* deque.h: one worker's stack of work, whose oldest end other workers may steal; and the forked
 * sections that nobody has asked for yet, which are in no queue at all.
 *
 * Called by its owner, a worker, and where it says "any thread", by thieves and sleepers. It never
 * blocks, allocates or wakes anybody: a caller that made something public does the wake check
 * (park.h) itself.
 *
 *      top                   split = bottom
 *       |  public, oldest first  |   free ... up to        private: marked, in the frames
 *       +------------------------+   top + WF_DEQUE_SLOTS  of the running stack
 *        thieves CAS top
 *
 * public    entries [top, bottom): a thief may take the oldest, the owner the newest.
 * private   sections that the running fiber forked and has not joined, and which no thread but its
 *           worker can know of. They are in no list: each lies in a frame of that stack, and its
 *           `link` is its mark. A fork writes the mark, a join that finds it takes the section by
 *           erasing it, and neither looks at anything else. Who needs them, because a thief asked
 *           or the stack is about to be left, looks for marks from the stack's newest frame to its
 *           oldest (wf_section_below_).
 * mark      the section's own address, and wf_deque_secret, and what WF_MARK_* say, added up. So
 *           nothing but a section that was forked and is not joined has it: no copy, since that
 *           lies elsewhere, and by chance or intent nothing, for 59 bits of it are random. Nor does
 *           one come back when the section is gone: marks are made, compared and erased in memory,
 *           and never in a register, of which a later call might leave a copy there. It has the top
 *           bit set.
 * signed    a private section whose env stands in its `state`; WF_MARK_SIGNED beside its mark. A
 *           fork does not sign: the env is that of the running code, until that is about to change
 *           (wf_deque_sign), or the section becomes public.
 * pass      the number of a stack: a fork of a section on that stack is done when it has written
 *           the mark. Any other goes to the slow path, since the section is elsewhere (on the heap,
 *           or the worker has changed stacks); or the pass is WF_DEQUE_ASK, by which a thief asks
 *           for something public, or WF_DEQUE_LOOK: the owner wants to look at who idles again.
 * split     the owner's copy of `bottom`.
 * thief     who is counted as one (thieves.h). While nobody is, the owner takes without a fence.
 *
 * The public part is the deque of Chase and Lev (2005) with the orderings of Le, Pop, Cohen and
 * Zappa Nardelli (2013). Indices have 64 bits and never wrap.
 *
 * G.1  No work is lost and none is handed out twice.
 * G.2  No ABA: `top` only grows, and is the only word by which a take is decided, with a CAS; or
 *      with a store, by an owner beside whom there is no thief (thieves.h). (A CAS on a
 *      packed {top, bottom} after reading the slot loses work: the owner may take the entry back
 *      and put another at the same index.)
 * G.3  A slot is written again only when the entry it held has been taken: split <= top +
 *      WF_DEQUE_SLOTS.
 * G.4  Nothing is private after wf_deque_publish. What found no slot runs at its join
 *      (WF_SECTION_KEPT). What is not on the stack was never private.
 * G.5  An ask is not lost: the owner's next fork takes the slow path, and the one after it too,
 *      with a count of those who want something that was read after the ask was seen. While that is
 *      WF_WANT_ALL, each fork leaves nothing private; while it is less, no fewer are public.
 * G.6  If the pass is a stack's, that stack is running here, and `hidden` says that something may
 *      be private and unsigned.
 *
 * Roads not taken. A list through the sections, or an array of them, whose newest end each fork and
 * join move: two stores and six instructions more for a pair, to spare a search that is seldom made
 * (docs/adr/0025). Taking back several public entries at once saves a fence per join in flat loops,
 * but hides general work behind whatever runs next. Growing needs reclamation; in a full deque
 * sections stay private instead. */
#ifndef WF_DEQUE_H
#define WF_DEQUE_H

#include "pool/base/atomic.h"
#include "pool/base/check.h"
#include "pool/fiber.h"
#include "pool/sanitizer.h"
#include "pool/thieves.h"
#include "pool/work.h"

/* The env of the running code, and the part of its stack that holds frames. Only on our stacks does
 * anything become public. Tests have their own. */
#define WF_DEQUE_LEFT_BYTES 16384 /* some pages, which need not have been touched */
#ifndef WF_DEQUE_ENV
#define WF_DEQUE_ENV()        ((uintptr_t)wf_self()->env)
#define WF_DEQUE_STACK_LOW()  ((uintptr_t)__builtin_frame_address(0))
#define WF_DEQUE_STACK_HIGH() wf_stack_high_()
#define WF_DEQUE_STACK_LEFT() wf_stack_left_() /* down to here for frames that were left */
#define WF_DEQUE_STACK_OF(at_) \
    ((at_) / WF_STACK_BYTES) /* the number of the stack with this address */

static WF_UNUSED uintptr_t wf_stack_high_(void)
{
    struct wf_fiber *self = wf_self();
    return self != NULL ? (uintptr_t)wf_fiber_top(self) : 0;
}

static WF_UNUSED uintptr_t wf_stack_left_(void)
{
    uintptr_t low = (uintptr_t)__builtin_frame_address(0);
    uintptr_t end = (low & ~(uintptr_t)(WF_STACK_BYTES - 1)) + WF_STACK_GUARD_BYTES;
    return low - end < WF_DEQUE_LEFT_BYTES ? end : low - WF_DEQUE_LEFT_BYTES;
}
#endif
#ifndef WF_DEQUE_SLOTS
#define WF_DEQUE_SLOTS 4096 /* a power of two; 32 KiB, half of a first-level cache. Models use 4 */
#endif
#define WF_DEQUE_MASK (WF_DEQUE_SLOTS - 1)

/* Passes that are no stack's number. From LOOK on: closed. */
#define WF_DEQUE_LOOK (UINT64_MAX - 1) /* the owner stored it */
#define WF_DEQUE_ASK  UINT64_MAX       /* a thief stored it */

#define WF_DEQUE_FIRST 2 /* the first index */

/* What a fork is told of how many want something public: all that there is. */
#define WF_WANT_ALL UINT32_MAX

/* In the mark beside address and secret: the bytes of the whole section, its arguments included, in
 * eights; 0 if they are 16 KiB or more. They tell sections of an array from those of different
 * frames. The bits between these and the lowest are those of no distance between two words of a
 * stack: a copy of a mark, for which a compiler or a signal's frame may be to blame, is none. */
#define WF_MARK_SIZE_SHIFT 20
#define WF_MARK_SIZE       (UINT64_C(2047) << WF_MARK_SIZE_SHIFT)
#define WF_MARK_SIGNED     UINT64_C(1)
#define WF_MARK_CALL       UINT64_C(2) /* a wf_call_section */
/* A link with the top bit set, as marks have it, that is no mark: nobody finds the section; it runs
 * at its join. */
#define WF_SECTION_KEPT (~(UINTPTR_MAX >> 1))

_Static_assert(WF_STACK_BYTES < UINT64_C(1) << WF_MARK_SIZE_SHIFT,
               "no distance on a stack is a size");

/* Top bit set, the next one and the lowest three clear; the rest random. One for the process: a
 * section may be private on a stack for ever, where nobody looks. fiber.c sets both before any
 * deque exists. */
extern uint64_t wf_deque_secret WF_HIDDEN;
/* May sections be private? Not under memcheck, which minds that words are read which nobody has
 * written. */
extern bool wf_deque_hides WF_HIDDEN;

/* What may be private? */
enum wf_hidden {
    WF_HIDDEN_NOTHING = 0,
    WF_HIDDEN_SIGNED, /* signed sections */
    WF_HIDDEN_ANY,
};

struct wf_deque {
    /* owner: worker. include/weft/fork.h mirrors this line: the offsets are fixed. */
    WF_ATOMIC(uint64_t) pass;   /* a stack's number, LOOK, or ASK, for which thieves exchange it */
    uint64_t secret;            /* wf_deque_secret; immutable */
    uint64_t split;             /* == bottom: the next free index */
    uint64_t full_at;           /* an old `top` + WF_DEQUE_SLOTS */
    enum wf_hidden hidden;      /* may be more than there is, never less */
    uint32_t own;               /* 1: its worker is a thief, and counted in `thieves`; else 0 */
    struct wf_thieves *thieves; /* who may steal from it; immutable after start */

    /* any thread; atomic. All that a failed probe touches. */
    /* thieves, and the owner for the last entry, by CAS; an owner that is alone by a store */
    WF_ALIGNED(WF_LINE_PAIR) WF_ATOMIC(uint64_t) top;
    WF_ATOMIC(uint64_t) bottom; /* owner stores */
    /* pass is ASK, probably: a hint that spares thieves the owner's line */
    WF_ATOMIC(uint32_t) asked;
    /* the number of the stack that had the pass when a thief asked; 0: none had. Thieves store */
    WF_ATOMIC(uint64_t) asked_stack;
    /* general works that the owner has put or taken: how fast it gets on, for thieves. Owner
     * stores */
    WF_ATOMIC(uint32_t) pace;
    /* what `pace` was when the owner last put, or ran, a work that is cheap to move. Owner
     * stores */
    WF_ATOMIC(uint32_t) cheap_at;
    /* up to there are sections that are public because a thief asked or somebody idles, or older
     * works; 0: what is public is on offer by itself. Owner stores */
    WF_ATOMIC(uint64_t) given;

    /* owner stores, thieves load */
    WF_ALIGNED(WF_LINE_PAIR) WF_ATOMIC(struct wf_work *) slots[WF_DEQUE_SLOTS];
};

_Static_assert((WF_DEQUE_SLOTS & WF_DEQUE_MASK) == 0, "indices are masked");
_Static_assert(offsetof(struct wf_deque, pass) == 0, "fork.h mirrors this");
_Static_assert(offsetof(struct wf_deque, secret) == 8, "fork.h mirrors this");
_Static_assert(offsetof(struct wf_deque, top) == 128, "a thief's probe stays off the owner's line");

WF_INLINE void wf_deque_init(struct wf_deque *d, struct wf_thieves *thieves)
{
    d->thieves = thieves;
    d->own = 0;
    d->hidden = WF_HIDDEN_NOTHING;
    d->secret = wf_deque_secret;
    d->split = WF_DEQUE_FIRST;
    d->full_at = WF_DEQUE_FIRST + WF_DEQUE_SLOTS;
    /* Relaxed: the deque is handed to other threads by starting them. */
    wf_store_relaxed(&d->pass, WF_DEQUE_LOOK);
    wf_store_relaxed(&d->top, WF_DEQUE_FIRST);
    wf_store_relaxed(&d->bottom, WF_DEQUE_FIRST);
    wf_store_relaxed(&d->asked, 0);
    wf_store_relaxed(&d->asked_stack, 0);
    wf_store_relaxed(&d->pace, 0);
    wf_store_relaxed(&d->cheap_at, 0U - WF_DEQUE_SLOTS); /* not of late */
    wf_store_relaxed(&d->given, 0);
}

/* Owner: one more general work has come or gone. Beside `bottom`, which has just been stored. */
WF_INLINE void wf_deque_step(struct wf_deque *d)
{
    wf_add_owned(&d->pace, 1);
}

/* Owner: `works` have been run that came from no queue: each counts as one that was put there and
 * taken. */
WF_INLINE void wf_deque_count(struct wf_deque *d, uint32_t works)
{
    if (works != 0) {
        wf_add_owned(&d->pace, 2 * works);
    }
}

/* Owner: the work that was counted last is cheap to move; and so were `uncounted` others, which
 * came from no queue. */
WF_INLINE void wf_deque_note_cheap(struct wf_deque *d, uint32_t uncounted)
{
    wf_deque_count(d, uncounted);
    wf_store_relaxed(&d->cheap_at, wf_load_relaxed(&d->pace)); /* relaxed, all: as above */
}

/* Any thread: racy. Is what the owner has in hand cheap to move? It has done `pace` works by now:
 * one more than it has told of, perhaps, since it counts a work when it takes it, and tells when it
 * runs it. */
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
    d->full_at = wf_load_acquire(&d->top) + WF_DEQUE_SLOTS;
    return d->split >= d->full_at;
}

/* --- private sections --- */

/* Of a section of so many bytes. */
WF_INLINE uint64_t wf_mark_size(size_t bytes)
{
    uint64_t size = (uint64_t)bytes / 8 << WF_MARK_SIZE_SHIFT;
    return size <= WF_MARK_SIZE ? size : 0;
}

/* What is in the section's mark beside address and secret; if it is none, anything. The mark itself
 * comes into no register: from there a copy might come back to where it was, when the section is no
 * more. (A variadic function saves whatever is in the registers of arguments, a push that is to
 * align the stack whatever is in any.) */
WF_INLINE uint64_t wf_mark_rest_(const struct wf_section *section)
{
    uint64_t less_secret = wf_opaque(0 - wf_deque_secret); /* so that no sum is subtracted */
    return wf_sum_in_place(&section->link, less_secret - (uintptr_t)section);
}

/* WF_MARK_SIGNED and WF_MARK_CALL, if they are there: in a mark, or a sum that is to become one.
 * Of the lowest byte, which both processors have first. */
WF_INLINE volatile unsigned char *wf_mark_bits_(struct wf_section *section)
{
    return (volatile unsigned char *)&section->link;
}

WF_INLINE bool wf_mark_is_(uint64_t rest)
{
    return (rest & ~(WF_MARK_SIZE | WF_MARK_SIGNED | WF_MARK_CALL)) == 0;
}

/* Owner: the private section of its stack, in frames from `low` on, that is the highest below
 * `high`; NULL: none. It reads all words in between, whatever they are and to whatever thread they
 * belong. */
WF_NO_ASAN WF_NO_TSAN static WF_UNUSED WF_NOINLINE struct wf_section *wf_section_below_(
    uintptr_t low, uintptr_t high)
{
    const uintptr_t link = offsetof(struct wf_section, link);
    while (high > low + link) { /* ends: each turn takes a word off */
        high -= 8;
        /* NOLINTNEXTLINE(performance-no-int-to-ptr) */
        struct wf_section *section = (struct wf_section *)(high - link);
        if (wf_unlikely(wf_mark_is_(wf_mark_rest_(section)))) {
            return section;
        }
    }
    return NULL;
}

/* Any thread: racy. May sections be private without a look around? */
WF_INLINE bool wf_deque_is_open(struct wf_deque *d)
{
    return wf_load_relaxed(&d->pass) < WF_DEQUE_LOOK; /* relaxed: a hint */
}

/* Owner: forks come to their slow path from here on. */
WF_INLINE void wf_deque_close_(struct wf_deque *d)
{
    /* Relaxed: an ask that we do not see here is not overwritten; what a thief stores does the
     * same. */
    uint64_t pass = wf_load_relaxed(&d->pass);
    if (pass < WF_DEQUE_LOOK) {
        (void)wf_cas_relaxed(&d->pass, &pass, WF_DEQUE_LOOK);
    }
}

/* Owner: the env of the running code is `env`, and about to change: private sections that are not
 * signed yet belong to it. */
static WF_UNUSED WF_COLD void wf_deque_sign(struct wf_deque *d, uintptr_t env)
{
    wf_deque_close_(d);
    if (d->hidden != WF_HIDDEN_ANY) {
        return;
    }
    d->hidden = WF_HIDDEN_NOTHING;
    uintptr_t low = WF_DEQUE_STACK_LOW();
    for (struct wf_section *section = wf_section_below_(low, WF_DEQUE_STACK_HIGH());
         section != NULL; section = wf_section_below_(low, (uintptr_t)section)) {
        if ((*wf_mark_bits_(section) & WF_MARK_SIGNED) == 0) {
            section->state = env;
            *wf_mark_bits_(section) |= (unsigned char)WF_MARK_SIGNED;
        }
        d->hidden = WF_HIDDEN_SIGNED;
    }
}

WF_INLINE void wf_deque_set_bottom_(struct wf_deque *d, uint64_t bottom)
{
    d->split = bottom;
    /* sync(deque.publish): release, a thief that sees the entry sees the slot and the work in it;
     * pairs sync(deque.look) */
    wf_store_release(&d->bottom, bottom);
}

/* Owner: puts a section into a slot that is free. Thieves find the env in `link`, whatever becomes
 * of `state`. */
WF_INLINE void wf_deque_put_(struct wf_deque *d, uint64_t index, struct wf_section *section)
{
    unsigned bits = *wf_mark_bits_(section);
    if ((bits & WF_MARK_CALL) != 0) {
        wf_container_of(section, struct wf_call_section, head)->call = section->run;
        section->run = wf_load_relaxed(&wf_fiber_hooks.run_call); /* relaxed: set long ago */
    }
    uintptr_t env = (bits & WF_MARK_SIGNED) != 0 ? section->state : (uintptr_t)WF_DEQUE_ENV();
    section->state = env;
    section->link = env;
    wf_store_relaxed(wf_deque_slot_(d, index), (struct wf_work *)(void *)section);
}

/* Owner: the slots [from, to) the other way round. */
static WF_UNUSED void wf_deque_turn_(struct wf_deque *d, uint64_t from, uint64_t to)
{
    for (; from + 1 < to; from++, to--) {
        struct wf_work *work = wf_load_relaxed(wf_deque_slot_(d, from));
        wf_store_relaxed(wf_deque_slot_(d, from), wf_load_relaxed(wf_deque_slot_(d, to - 1)));
        wf_store_relaxed(wf_deque_slot_(d, to - 1), work);
    }
}

/* Owner: does an array go on below its element at `at`, each of that size? */
static WF_UNUSED bool wf_deque_goes_on_(uintptr_t low, uintptr_t at, uint64_t size)
{
    uintptr_t bytes = (uintptr_t)(size >> WF_MARK_SIZE_SHIFT) * 8;
    return size != 0 && at - low >= bytes && wf_section_below_(at - bytes, at) != NULL;
}

/* Owner: of the private sections the oldest `share` become public, or as many as there are slots
 * for; how many. Older frames lie higher; in one frame an array is forked from its first element
 * on, and joined from its last. (Where that is not so, a join finds another section on top of its
 * own, and waits for it.) So an array is published as a whole, and turned. */
static WF_UNUSED uint64_t wf_deque_release_(struct wf_deque *d, uintptr_t low, uint64_t share)
{
    uint64_t index = d->split, array = index;
    uintptr_t above = WF_DEQUE_STACK_HIGH();
    uint64_t above_size = 0;
    while (index < d->full_at &&
           (index - d->split < share || wf_deque_goes_on_(low, above, above_size))) {
        struct wf_section *section = wf_section_below_(low, above);
        if (section == NULL) {
            d->hidden = WF_HIDDEN_NOTHING;
            break;
        }
        uint64_t size = wf_mark_rest_(section) & WF_MARK_SIZE;
        if (size == 0 || size != above_size ||
            (uintptr_t)section + (size >> WF_MARK_SIZE_SHIFT) * 8 != above) {
            wf_deque_turn_(d, array, index);
            array = index;
        }
        wf_deque_put_(d, index++, section);
        above = (uintptr_t)section;
        above_size = size;
    }
    wf_deque_turn_(d, array, index);
    uint64_t released = index - d->split;
    if (released != 0) {
        wf_deque_set_bottom_(d, index);
    }
    return released;
}

/* Any thread: asks the owner for something public. A searching thief asks by failing to steal; a
 * worker that is about to sleep asks every victim, after it has announced itself, so that the
 * owner's next look at who idles is made after the announcement. */
WF_INLINE void wf_deque_ask(struct wf_deque *d)
{
    /* relaxed: published by the exchange, if the owner is to clear it */
    wf_store_relaxed(&d->asked, 1);
    /* sync(deque.ask): release, who sees the ask sees that we are idle. An exchange, so that who
     * sees a later one sees ours too; pairs sync(deque.heard) */
    uint64_t pass = wf_xchg_release(&d->pass, WF_DEQUE_ASK);
    if (pass != WF_DEQUE_ASK) {
        /* relaxed: a hint */
        wf_store_relaxed(&d->asked_stack, pass < WF_DEQUE_LOOK ? pass : 0);
    }
}

/* Any thread: racy. Has somebody asked, and the owner not answered yet? */
WF_INLINE bool wf_deque_is_asked(struct wf_deque *d)
{
    return wf_load_relaxed(&d->pass) == WF_DEQUE_ASK; /* relaxed: a hint */
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

/* Any thread: asks, unless somebody has asked, and the owner not answered. */
WF_INLINE void wf_deque_ask_once(struct wf_deque *d)
{
    /* relaxed: a hint; asking too often is slow, never wrong */
    if (wf_load_relaxed(&d->asked) == 0) {
        wf_deque_ask(d);
    }
}

/* Any thread: as a steal that finds nothing public, for a thief that leaves the rest alone. */
WF_INLINE void wf_deque_ask_if_empty(struct wf_deque *d)
{
    if (!wf_deque_has_public(d)) {
        wf_deque_ask_once(d);
    }
}

/* Owner: may something be private? */
WF_INLINE bool wf_deque_has_private(const struct wf_deque *d)
{
    return d->hidden != WF_HIDDEN_NOTHING;
}

/* Owner: are `count` more slots free, or at least some? Looks at `top` only when the last look does
 * not answer. */
WF_INLINE bool wf_deque_has_slots_(struct wf_deque *d, uint64_t count)
{
    if (d->split + count > d->full_at) {
        /* sync(deque.reuse_many): acquire, as sync(deque.reuse); pairs sync(deque.taken) */
        d->full_at = wf_load_acquire(&d->top) + WF_DEQUE_SLOTS;
    }
    return d->split < d->full_at;
}

static WF_UNUSED WF_COLD bool wf_deque_publish_all_(struct wf_deque *d)
{
    uintptr_t low = WF_DEQUE_STACK_LOW();
    wf_deque_close_(d);
    wf_store_relaxed(&d->given, 0); /* relaxed: a hint */
    bool some =
        wf_deque_has_slots_(d, WF_DEQUE_SLOTS) && wf_deque_release_(d, low, WF_DEQUE_SLOTS) != 0;
    if (d->hidden != WF_HIDDEN_NOTHING) {
        struct wf_section *section = wf_section_below_(low, WF_DEQUE_STACK_HIGH());
        for (; section != NULL; section = wf_section_below_(low, (uintptr_t)section)) {
            section->link = WF_SECTION_KEPT;
        }
        d->hidden = WF_HIDDEN_NOTHING;
    }
    return some;
}

/* Owner: makes everything public, before a suspension: it is on offer. True: something became
 * public, so do the wake check. */
WF_INLINE bool wf_deque_publish(struct wf_deque *d)
{
    return wf_unlikely(wf_deque_has_private(d)) && wf_deque_publish_all_(d);
}

/* The same, for sections of which it is known that they are worth to be taken, public or not. */
WF_INLINE bool wf_deque_offer(struct wf_deque *d)
{
    wf_store_relaxed(&d->given, 0); /* relaxed: a hint */
    return wf_deque_publish(d);
}

static WF_UNUSED WF_COLD void wf_deque_forget_(struct wf_deque *d)
{
    wf_deque_close_(d);
    d->hidden = WF_HIDDEN_NOTHING;
}

/* Owner: its stack was given back, and with it all that was forked there was joined. Without this
 * the next one could take a section in a frame of whoever has that stack then for its own. */
WF_INLINE void wf_deque_leave(struct wf_deque *d)
{
    if (wf_unlikely(wf_deque_has_private(d))) {
        wf_deque_forget_(d);
    }
}

/* Owner: would wf_deque_push only add its work? Then wf_deque_put may do so: there is room as far
 * as is known. */
WF_INLINE bool wf_deque_may_put(const struct wf_deque *d)
{
    return d->split < d->full_at;
}

WF_INLINE void wf_deque_put(struct wf_deque *d, struct wf_work *work)
{
    uint64_t bottom = d->split;
    wf_store_relaxed(wf_deque_slot_(d, bottom), work);
    wf_deque_set_bottom_(d, bottom + 1);
    wf_deque_step(d);
}

/* Owner: adds general work. False: full, nothing changed. */
WF_INLINE bool wf_deque_push(struct wf_deque *d, struct wf_work *work)
{
    if (wf_unlikely(wf_deque_is_full_(d))) {
        return false;
    }
    wf_deque_put(d, work);
    return true;
}

/* Owner: has a thief asked since the last fork that looked? Then the next look at who idles sees
 * that one. */
WF_INLINE bool wf_deque_hear_(struct wf_deque *d)
{
    /* relaxed: an ask that we miss is there at the next fork */
    if (wf_load_relaxed(&d->pass) == WF_DEQUE_LOOK) {
        return false;
    }
    /* sync(deque.heard): acquire, the next look at who idles sees the asker; pairs
     * sync(deque.ask) */
    bool asked = wf_xchg_acquire(&d->pass, WF_DEQUE_LOOK) == WF_DEQUE_ASK;
    wf_store_relaxed(&d->asked, 0);
    return asked;
}

/* Owner: the oldest `share` of the private sections become public. True: some did. */
static WF_UNUSED bool wf_deque_give_(struct wf_deque *d, uintptr_t low, uint64_t share)
{
    share = share < WF_DEQUE_SLOTS ? share : WF_DEQUE_SLOTS;
    if (!wf_deque_has_slots_(d, share)) {
        return false;
    }
    uint64_t released = wf_deque_release_(d, low, share);
    wf_store_relaxed(&d->given, d->split); /* relaxed: a hint */
    return released != 0;
}

/* Owner: the fork that is not done with its mark, since its stack has not the pass. Somebody asked,
 * or wants something; or nobody does, and this stack gets the pass. want: so many should find
 * something public, as read by the caller just now: 0, some, of whom each will ask again when there
 * is nothing, so that this stack may get the pass meanwhile, too; or WF_WANT_ALL. Who asked may be
 * asleep by now: one more becomes public, for which he is woken. True: something became public, so
 * do the wake check.
 *
 * A section that is not on this stack, since somebody has put it on the heap or a tool keeps locals
 * elsewhere, would not be found: it becomes public alone, and opens nothing. */
static WF_UNUSED WF_COLD bool wf_deque_fork_slow(struct wf_deque *d, struct wf_section *section,
                                                 uint32_t want)
{
    bool asked = wf_deque_hear_(d);
    uintptr_t low = WF_DEQUE_STACK_LOW(), at = (uintptr_t)section;
    bool may_hide = wf_deque_hides && at >= low && at < WF_DEQUE_STACK_HIGH();
    wf_check_inner(wf_mark_is_(section->link - at));
    uint64_t have = want == 0 || want == WF_WANT_ALL ? 0 : wf_deque_len(d);
    if (may_hide && !asked && have >= want) {
        wf_add_in_place(&section->link, wf_deque_secret);
        d->hidden = WF_HIDDEN_ANY;
        uint64_t pass = WF_DEQUE_LOOK;
        /* relaxed: an ask that we do not see here is not overwritten */
        (void)wf_cas_relaxed(&d->pass, &pass, WF_DEQUE_STACK_OF(at));
        return false;
    }
    if (may_hide && d->hidden != WF_HIDDEN_NOTHING) {
        wf_add_in_place(&section->link, wf_deque_secret);
        d->hidden = WF_HIDDEN_ANY;
        /* a long leaf may begin here: if all is wanted, leave nothing hidden behind it */
        return wf_deque_give_(d, low, have < want ? want - have : 1);
    }
    if (!wf_deque_has_slots_(d, 1)) {
        section->link = WF_SECTION_KEPT;
        return false;
    }
    wf_deque_put_(d, d->split, section);
    wf_store_relaxed(&d->given, d->split + 1); /* relaxed: a hint */
    wf_deque_set_bottom_(d, d->split + 1);
    return true;
}

/* Owner: a fork. include/weft/fork.h has these lines again, inline in the user's code, with
 * `want` looked up on the slow path only. bytes: of the section and its arguments. */
WF_INLINE bool wf_deque_fork(struct wf_deque *d, struct wf_section *section, size_t bytes,
                             uint32_t want)
{
    /* Relaxed: the slow path has the orderings. */
    bool may_hide = WF_DEQUE_STACK_OF((uintptr_t)section) == wf_load_relaxed(&d->pass);
    section->link = (uintptr_t)section + wf_mark_size(bytes);
    if (wf_unlikely(!may_hide)) {
        return wf_deque_fork_slow(d, section, want);
    }
    wf_add_in_place(&section->link, d->secret);
    return false;
}

/* Owner: if `section` is private, takes it: a join's fast path, as it is in fork.h. */
WF_INLINE bool wf_section_take(struct wf_section *section)
{
    if ((section->link & WF_SECTION_KEPT) == 0) {
        return false;
    }
    section->link = 0;
    return true;
}

/* Owner: the newest public entry, or NULL when a thief has it. */
static inline struct wf_work *wf_deque_take_public_(struct wf_deque *d)
{
    uint64_t bottom = d->split;
    /* Relaxed, and perhaps old: an old `top` is a smaller one, so `empty` is certain. */
    if (wf_load_relaxed(&d->top) >= bottom) {
        return NULL;
    }
    bottom--;
    struct wf_work *work = wf_load_relaxed(wf_deque_slot_(d, bottom));
    /* sync(deque.retract): release, the entries below it stay readable; pairs sync(deque.look) */
    wf_store_release(&d->bottom, bottom);
    bool alone = wf_thieves_are_alone(d->thieves, d->own);
    if (wf_unlikely(!alone)) {
        /* sync(deque.take): seq_cst, a thief sees the lower bottom or we see its higher top; pairs
         * sync(deque.steal) */
        wf_fence_seq_cst();
    }
    uint64_t top = wf_load_relaxed(&d->top);
    if (wf_likely(top < bottom)) {
        d->split = bottom;
        wf_assume(work != NULL);
        return work;
    }
    /* It is the last one, and thieves may want it too; or it is gone already. Relaxed, both: top
     * counts takes, and our own entries are known to us. */
    if (top == bottom && alone) {
        wf_store_relaxed(&d->top, top + 1);
    } else if (top != bottom || !wf_cas_relaxed(&d->top, &top, top + 1)) {
        work = NULL;
    }
    /* sync(deque.restore): release, empty again, top == bottom: nobody reads a slot through it,
     * and whoever sees it sees that top; pairs sync(deque.look) */
    wf_store_release(&d->bottom, bottom + 1);
    return work;
}

/* Owner: if the newest public entry is `work`, takes it. False when it is not, or a thief was
 * first. */
WF_INLINE bool wf_deque_take_if(struct wf_deque *d, const struct wf_work *work)
{
    if (d->split == WF_DEQUE_FIRST || wf_load_relaxed(wf_deque_slot_(d, d->split - 1)) != work) {
        return false;
    }
    return wf_deque_take_public_(d) != NULL;
}

/* Owner: the newest public entry, or NULL: none. */
WF_INLINE struct wf_work *wf_deque_pop(struct wf_deque *d)
{
    struct wf_work *work = wf_deque_take_public_(d);
    if (work != NULL) {
        wf_deque_step(d);
    }
    return work;
}

/* A thief (thieves.h), and the owner: the oldest public entry. NULL: nothing public, and now asked
 * for; or another was faster, and there may be more. */
WF_INLINE struct wf_work *wf_deque_steal(struct wf_deque *d)
{
    uint64_t top = wf_load_relaxed(&d->top); /* relaxed: the fence below orders it */
    /* sync(deque.steal): seq_cst, we see the owner's lower bottom or it sees our higher top; pairs
     * sync(deque.take) */
    wf_fence_seq_cst();
    /* sync(deque.look): acquire, the slot and the work below bottom; pairs sync(deque.publish),
     * sync(deque.retract), sync(deque.restore) */
    uint64_t bottom = wf_load_acquire(&d->bottom);
    if (top >= bottom) {
        wf_deque_ask_once(d);
        return NULL;
    }
    struct wf_work *work = wf_load_relaxed(wf_deque_slot_(d, top));
    /* sync(deque.taken): release, we have read the slot before it is written again; pairs
     * sync(deque.reuse), sync(deque.reuse_many) */
    if (!wf_cas_release(&d->top, &top, top + 1)) {
        return NULL;
    }
    return work;
}

/* Owner, in builds with checks: what ran on this stack has ended. Has it left a section behind, in
 * frames that it returned from or that an exception or a longjmp has skipped? A search would find
 * it until its frame is written over. */
static WF_UNUSED WF_COLD void wf_deque_check_joined(struct wf_deque *d)
{
    if (d->hidden != WF_HIDDEN_NOTHING) {
        const struct wf_section *section =
            wf_section_below_(WF_DEQUE_STACK_LEFT(), WF_DEQUE_STACK_HIGH());
        wf_check(section == NULL, "the section at %p was forked and never joined",
                 (const void *)section);
    }
}

/* Owner: do the facts above hold? For tests and debug builds. */
WF_INLINE void wf_deque_check(struct wf_deque *d)
{
    uint64_t top = wf_load_relaxed(&d->top);
    uint64_t pass = wf_load_relaxed(&d->pass);
    wf_check_inner(wf_load_relaxed(&d->bottom) == d->split);
    wf_check_inner(top <= d->split && d->split <= top + WF_DEQUE_SLOTS);
    wf_check_inner(d->full_at <= top + WF_DEQUE_SLOTS);
    wf_check_inner(pass >= WF_DEQUE_LOOK || d->hidden == WF_HIDDEN_ANY); /* G.6 */
    (void)top, (void)pass;
}

#endif
