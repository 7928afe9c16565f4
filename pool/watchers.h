/* watchers.h: who watches light work, and who therefore need wake nobody (light.h).
 *
 * Who may call: ready.c, sleep.c, turn.h, and the model. What light work is, and how one sleeps, is
 * not known here.
 *
 * Terms. *to watch*: to be counted as one who finds what others make ready by himself, soon: asleep
 * for a bounded time, or searching. *to rely*: to make work visible and wake nobody, since somebody
 * watches. *quiet*: a watch after whose end a fence goes through all threads (wf_fence_heavy); who
 * relies on a quiet watch has no fence of his own. The others are *loud*.
 *
 *    Who makes work visible                    A worker ends its watch
 *      1. makes it visible in a queue            1. count -= 1, or quiet -= 1          [end]
 *      2. quiet != 0? relies  [may_rely]         2. if it was quiet: a full fence in all
 *      3. full fence          [may_rely]            threads, its own first and last    [end]
 *      4. count != 0? relies  [may_rely]         3. is light work left? wakes somebody, or runs it
 *
 * Step 3 of the right side has a full fence of its own in any case: sync(park.leave) if it has
 * found work, sync(park.announce) if it is about to sleep.
 *   - Who relies in step 4 read a count from before the end, so its fence comes before that of step
 *     3 on the right: if it came after, its load would have seen what was stored before. So step 3
 *     sees the work.
 *   - Who relies in step 2 read `quiet` from before the end. Its thread has a fence in step 2 on
 *     the right: after its load, since a load after that fence sees the end. So the work, which it
 *     stored before, in the order of its program, is visible to whoever is ordered after the end:
 *     to step 3.
 *   - Of two who watch quietly the one that ends later is meant: who relies reads 0 only when both
 *     have ended, and each end has a fence of its own behind it.
 * So no work is relied on for longer than somebody watches (G.1).
 *
 * Why not always quiet: the fence of the right side is a system call which interrupts each
 * processor that runs a thread of this process: 9 us for the caller and 5.5 for who is interrupted
 * (2 virtual processors; 0.6 when the other idles), against 1 to 2 ns on the left. So a watch
 * becomes quiet when it has lasted for WF_WATCH_LOUD sleeps: its end costs a fraction of what it
 * has lasted, and a steal by mistake no fences for longer than that.
 *
 * Road not taken: such a fence for each sleep, and none for any submitter. It would be a system
 * call for each sleep, and a search without a watch would need it too (ADR 0047). For the owner's
 * end of its deque see thieves.h.
 *
 * G.1  Who is told to rely on a watch does so on one whose worker looks for light work after it.
 * G.2  No function blocks but wf_watchers_end of a quiet watch, which waits for no other thread to
 *      run. */
#ifndef WF_WATCHERS_H
#define WF_WATCHERS_H

#include "pool/base/atomic.h"

/* Sleeps in a row before a watch is quiet: 0.15 to 0.4 ms, if none is cut short. */
#define WF_WATCH_LOUD 2

struct wf_watchers {
    /* any thread; atomic */
    WF_ATOMIC(uint32_t) quiet; /* those who watch quietly; in a pool of one worker 1, for ever */
    WF_ATOMIC(uint32_t) count; /* all who watch */
    bool can_be_quiet;         /* immutable after start */
};

/* A worker's own part. */
enum wf_watching {
    WF_WATCHES_NOT = 0,
    WF_WATCHES,
    WF_WATCHES_QUIETLY,
};

/* Of zeroed memory. can_be_quiet: wf_fence_heavy works. */
static inline void wf_watchers_init(struct wf_watchers *watchers, int workers, bool can_be_quiet)
{
    watchers->can_be_quiet = can_be_quiet && workers > 1;
    wf_store_relaxed(&watchers->quiet, workers == 1); /* relaxed: nobody else runs yet */
}

/* Who has made light work visible: may it rely on somebody who watches quietly? If not, the
 * question is wf_watchers_may_rely. */
WF_INLINE bool wf_watchers_is_quiet(struct wf_watchers *watchers)
{
    /* sync(watchers.rely): in the program's order only: the work is stored before we look; pairs
     * sync(watchers.end) */
    wf_fence_light();
    /* relaxed: ordered by the two fences */
    return wf_likely(wf_load_relaxed(&watchers->quiet) != 0);
}

/* The same question for a piece of assembly: it looks whether this is 0, in the program's order
 * after it has stored the work. */
WF_INLINE void *wf_watchers_quiet(struct wf_watchers *watchers)
{
    return &watchers->quiet;
}

/* The same: on anybody? In line, for it comes with each work. */
WF_INLINE bool wf_watchers_may_rely(struct wf_watchers *watchers)
{
    if (wf_watchers_is_quiet(watchers)) {
        return true;
    }
    /* sync(watchers.rely_loud): seq_cst, the work is visible before we look; pairs
     * sync(park.announce), sync(park.leave) */
    wf_fence_seq_cst();
    return wf_load_relaxed(&watchers->count) != 0; /* relaxed: ordered by the fence */
}

/* Any thread: racy, or after a full fence: does somebody watch? */
WF_INLINE uint32_t wf_watchers_count(struct wf_watchers *watchers)
{
    return wf_load_relaxed(&watchers->count); /* relaxed: the caller has a fence, or it is a hint */
}

WF_INLINE enum wf_watching wf_watchers_begin(struct wf_watchers *watchers)
{
    (void)wf_add_relaxed(&watchers->count, 1); /* relaxed: seen late, it costs a wake */
    return WF_WATCHES;
}

/* By one who watches: others may rely on it without a fence from here on, if the system can. */
WF_INLINE enum wf_watching wf_watchers_quieten(struct wf_watchers *watchers)
{
    if (!watchers->can_be_quiet) {
        return WF_WATCHES;
    }
    (void)wf_add_relaxed(&watchers->quiet, 1); /* relaxed: seen late, it costs a fence */
    return WF_WATCHES_QUIETLY;
}

/* By one who watches. It looks for light work after this, as above. */
static WF_UNUSED void wf_watchers_end(struct wf_watchers *watchers, enum wf_watching how)
{
    /* relaxed, both: ordered by the caller's fence, or this one */
    (void)wf_sub_relaxed(&watchers->count, 1);
    if (how == WF_WATCHES_QUIETLY) {
        (void)wf_sub_relaxed(&watchers->quiet, 1);
        /* sync(watchers.end): seq_cst in all threads, the work of those who relied on us is visible
         * to what we do next, and nobody relies on us from here on; pairs sync(watchers.rely) */
        wf_fence_heavy();
    }
}

#endif
