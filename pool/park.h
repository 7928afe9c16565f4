/* park.h: who sleeps, who searches, and who wakes whom.
 *
 * Workers call it for themselves (`self`), and everybody who makes work visible calls wf_park_pick.
 * It knows no queue and makes no system call: it says "wake worker 3", and the caller does so
 * through the driver.
 *
 * The problem. Work is spread over a queue per worker and one for injection, and there is no cheap
 * way to ask "is all of it empty". Keep too few workers awake, and work waits beside a sleeping
 * processor. Wake too many, and they burn processors that find nothing: a wake takes 25 us to
 * arrive and costs its sender 10 us, as much as a few thousand forks. And if a worker decides to
 * sleep at the very moment at which somebody decides that it need not be woken, the work lies there
 * for ever.
 *
 * Roads not taken.
 *   1. Wake somebody at each submit. Work is mostly submitted in bursts, and mostly by workers that
 *      will run it themselves; the woken would find nothing and sleep again.
 *   2. Hand the work to the worker that is woken. It would be bound to a thread that runs 25 us
 *      later, while another finishes what it does in one; and the data are in the submitter's
 *      cache.
 *   3. Count the sleepers in a word of their own. Such counters drift from the states that they
 *      count (dotnet/runtime#128879, JDK-8330017), and then the last worker sleeps for good. Here
 *      the states themselves are looked at, through a bitmap, and the counters that are left,
 *      of those who search, are added to before anybody can subtract.
 *   4. A lock around all of it. A holder that loses its processor would stop every submitter.
 *   5. Sleep with a time-out, to be safe. It hides the bug, and an idle process is never idle.
 *   6. One count of those who search, however many workers. Each search writes it twice, so with
 *      128 workers they spend their time waiting for its line (docs/scaling.md). A bitmap of the
 *      groups that have some, beside a count for each group, is no better: few groups have more
 *      than one at a time, so each search would write it twice as well.
 *
 * Terms. *group*: WF_PARK_GROUP workers of successive numbers, with a count of their own of those
 * who search. A pool of so many or fewer is one group. "Nobody searches" means that all counts were
 * read, one after the other, and each was 0.
 *
 * The rules. A worker without work first searches: it looks everywhere, for about as long as a wake
 * would take, and no more than half of the awake workers of its group do so at once. A submitter
 * wakes one parked worker, and only if nobody searches: a searcher will find the work by itself. In
 * return, the last searcher that finds work looks whether there is more, and wakes the next. So at
 * most one worker is being woken at a time, a burst wakes its workers as a chain, and one piece of
 * work wakes one worker. The price: a claimed worker counts as searching from its claim on, so a
 * waker that loses its processor between claim and wake holds up the wakes of others for as long.
 * And a worker that is counted as searching must not sleep, or run work, before it has left the
 * count [found, announce]: nobody would be woken meanwhile.
 *
 * Submitting (any thread)                   Sleeping (a worker, about to sleep)
 *   1. make the work visible in a queue       1. state := PARKED, set the bit, leave the
 *                                                searchers [announce]
 *   2. full fence                             2. full fence [announce]
 *   3. nobody searches, and some worker       3. look at every source of work once more: is there
 *      is parked? claim one:                     any?
 *      PARKED -> NOTIFIED [pick]                 yes: [retract], and search
 *   4. wake the claimed worker                   no:  sleep in the driver until woken, then
 *                                                     [retract]
 *
 * The fences are ordered, one before the other, in every execution.
 *   - Submitter's first: the sleeper's step 3 sees the work, and does not sleep.
 *   - Sleeper's first: the submitter's step 3 sees what the sleeper did in step 1: a PARKED worker,
 *     which it claims unless another has; and a count of searchers that no longer includes the
 *     sleeper.
 * Hence, if a submitter wakes nobody, then each worker that it did not see parked looks at all work
 * before it next sleeps, and sees this. What is left is the case in which it saw searchers, in some
 * group. They find the work, or they leave one by one, each with a read-modify-write of the group's
 * count that comes after the value which the submitter read; and the one that brings it to 0 has a
 * full fence behind it, which therefore comes after the submitter's:
 *   - it leaves to sleep: step 3 of its sleep sees the work.
 *   - it leaves because it found other work [found]: after its own fence it looks whether somebody
 *     searches in another group. If nobody does, it looks whether there is more, sees this, and is
 *     then the submitter itself, from step 2 on. If somebody does, it leaves the work to that
 *     group, as a submitter would that reads the count just then; by the same argument, who brings
 *     that count to 0 has a fence after this one.
 *   - it was no worker, but a submitter that had counted a worker in and then could not claim it
 *     [pick]: it starts again at step 2, on behalf of those who saw its count.
 * So the work is handed on along fences that come one after the other, until somebody sees it, or
 * still searches. It is not handed on for ever, nor in a ring: of all those who brought a count to
 * 0 the one with the last fence saw no other count above 0, since who subtracts from that one later
 * would have a later fence. (Two that leave two groups at once: each subtracts, then has its fence,
 * then reads the other's count. The second fence's owner sees 0.) What a searcher did before it
 * left, such as moving works to its own queue, is seen by whoever looks in the end: within a group
 * by the read-modify-writes of the count [found], from group to group by the fences. That is why a
 * worker that retracts is always a searcher afterwards, whoever ended its sleep: others may have
 * left their work to its step 3, and only a searcher looks for more when it finds some.
 *
 * A message for one worker in particular (its mailbox; work that is pinned to it) is the same with
 * one candidate: put it there, full fence, claim [wf_park_claim]; the worker's step 3 includes its
 * own mailbox. Such a claim does not count the worker as a searcher: that would have to be undone
 * if the claim fails.
 *
 * Private entries of a deque are not yet work for these rules. They become so when they are
 * published, by a worker that then goes through the submitter's steps. Step 3 of a sleeper
 * therefore also asks for them (wf_deque_ask), or leaves that to one that watches (light.h, L.5).
 *
 *                      [search]                     [announce]
 *      +---------+ ---------------> +-----------+ ---------------> +--------+
 *      | RUNNING |                  | SEARCHING |                  | PARKED |
 *      +---------+ <--------------- +-----------+ <--------------- +--------+
 *           |           [found]      ^    ^    ^      [retract]      |    |  ^
 *           |                        |    |    |                     |    |  |
 *           |              [retract] |    |    | [retract]    [pick] |    |  |
 *           |                        | +----------+                  |    |  |
 *           |                        | | NOTIFIED | <----------------+    |  |
 *           |                        | +----------+                       |  |
 *           |                        | +--------+                [claim]  |  |
 *           |                        +-| CALLED | <-----------------------+  |
 *           |                          +--------+                            |
 *           +----------------------------------------------------------------+
 *                                     [announce]
 *
 * RUNNING    runs work, or looks at its own queues. Not counted, bit clear.
 * SEARCHING  counted in `searching` of its group. Bit clear.
 * PARKED     has announced that it sleeps, and may be asleep. Not counted, bit set.
 * NOTIFIED   claimed by a submitter, which wakes it, and has counted it in its group's `searching`
 *            beforehand. Bit set.
 * CALLED     claimed for a message, by a sender that wakes it. Not counted, bit set.
 *
 * RUNNING -> SEARCHING [wf_park_search], SEARCHING -> RUNNING [wf_park_found], RUNNING | SEARCHING
 * -> PARKED [wf_park_announce], PARKED | NOTIFIED | CALLED -> SEARCHING [wf_park_retract]: by the
 * worker itself. PARKED -> NOTIFIED [wf_park_pick], PARKED -> CALLED [wf_park_claim]: by anybody
 * else, by CAS. So a worker is woken at most once per sleep. The bit is only the worker's own: a
 * waker that cleared it late would hide the next sleep.
 *
 * G.1  No lost wake-up: work that was made visible, and then submitted by wf_park_pick, is never
 *      left alone with only PARKED workers (tests/model/model_park.c).
 * G.2  A worker is claimed at most once between its announce and its retract, and each claim is one
 *      driver wake. A worker that retracted by itself may find that wake at its next sleep: that
 *      sleep ends at once, for nothing.
 * G.3  A group's count is never below the number of its SEARCHING and NOTIFIED workers, and equals
 *      it when nobody is inside a function of this file.
 * G.4  No function blocks, or waits for another thread. wf_park_pick starts again only when a
 *      worker woke up by itself at that moment. */
#ifndef WF_PARK_H
#define WF_PARK_H

#include "pool/base/atomic.h"
#include "pool/base/check.h"

#ifndef WF_WORKERS_MAX
#define WF_WORKERS_MAX 256 /* 32 KiB of states. Models use 3 */
#endif
#define WF_PARK_WORDS ((WF_WORKERS_MAX + 63) / 64)

/* Workers that share a count of searchers: bench/simulate, docs/scaling.md. A divisor of 64, so
 * that a group's bits are in one word. Models use 1 and 2. */
#ifndef WF_PARK_GROUP
#define WF_PARK_GROUP 16
#endif
#ifndef WF_PARK_GROUPS
#define WF_PARK_GROUPS ((WF_WORKERS_MAX + WF_PARK_GROUP - 1) / WF_PARK_GROUP)
_Static_assert(64 % WF_PARK_GROUP == 0, "a group's bits are in one word");
#endif

enum wf_park_state {
    WF_PARK_RUNNING = 0,
    WF_PARK_SEARCHING,
    WF_PARK_PARKED,
    WF_PARK_NOTIFIED,
    WF_PARK_CALLED,
};

struct wf_park_count {
    WF_ATOMIC(uint32_t) searching; /* SEARCHING + NOTIFIED workers of a group; never below */
};

struct wf_park_worker {
    WF_ALIGNED(WF_LINE_PAIR) WF_ATOMIC(uint32_t) state; /* enum wf_park_state */
    /* immutable after init: of its group */
    struct wf_park_count *count;
    uint64_t bits; /* of its workers, in the word of `parked` that has this one's */
};

struct wf_park_group {
    WF_ALIGNED(WF_LINE_PAIR) struct wf_park_count count;
};

struct wf_park {
    /* any thread; atomic: all that a submitter reads when nobody sleeps. Written at each search in
     * a pool of one group, else only by those who fall asleep or wake up */
    /* the count of the only group; 0 in a pool of more */
    WF_ALIGNED(WF_LINE_PAIR) struct wf_park_count all;
    /* immutable after init; here, on the line that is read anyway */
    int32_t groups; /* of more than one; else 0 */
    int32_t words;  /* of `parked` in use */
    /* bit i: worker i is PARKED, NOTIFIED or CALLED */
    WF_ATOMIC(uint64_t) parked[WF_PARK_WORDS];
    /* immutable after init */
    WF_ALIGNED(WF_LINE_PAIR) int workers;
    /* transitions: see the diagram */
    struct wf_park_worker states[WF_WORKERS_MAX];
    struct wf_park_group group[WF_PARK_GROUPS]; /* `groups` of them are in use */
};

/* All workers RUNNING. 0, or -EINVAL unless 1 <= workers <= WF_WORKERS_MAX. */
int wf_park_init(struct wf_park *park, int workers);

/* Submitter, after it made work visible: the worker that it has claimed and must now wake through
 * the driver, or -1: somebody searches, or nobody sleeps. Full fence inside. Prefers low indices,
 * so that a light load is served by a few workers whose caches are warm, and the others sleep
 * on. */
int wf_park_pick(struct wf_park *park);
/* The same for a caller that has had a full fence since, which then pairs with
 * sync(park.announce). */
int wf_park_pick_fenced(struct wf_park *park);

/* Sender, after it put a message for `worker` where that worker looks before it sleeps. True:
 * claimed, wake it. False: it is awake, or being woken, and will look. Full fence inside. */
bool wf_park_claim(struct wf_park *park, int worker);

/* self, RUNNING: may it search? False: enough others do; it goes straight to its announcement. True
 * also when it is SEARCHING already, as after wf_park_retract. */
bool wf_park_search(struct wf_park *park, int self);

/* The part of wf_park_found for a SEARCHING worker. */
int wf_park_found_slow(struct wf_park *park, int self, bool (*more)(void *arg), void *arg);

/* self, holding work that it will now run: stops searching if it did; call it whatever way the work
 * was found. Returns a worker to wake through the driver, or -1. more(arg): is there any work in
 * any queue, the one now held excepted? Called at most once, and only if self was the last searcher
 * and somebody sleeps. */
WF_INLINE int wf_park_found(struct wf_park *park, int self, bool (*more)(void *arg), void *arg)
{
    /* relaxed: our own state */
    if (wf_likely(wf_load_relaxed(&park->states[self].state) != WF_PARK_SEARCHING)) {
        return -1;
    }
    return wf_park_found_slow(park, self, more, arg);
}

/* self, RUNNING or SEARCHING: sleeps soon. Full fence inside: the caller then looks at every source
 * of work, its own mailbox and completions included, and calls wf_park_retract if there is any,
 * else sleeps and calls it after. */
void wf_park_announce(struct wf_park *park, int self);

/* self, after wf_park_announce: sleeps no more, because there was work, because it was woken, or
 * for a reason of the driver's. It is SEARCHING afterwards, counted, and must search: then
 * wf_park_found or wf_park_announce. */
void wf_park_retract(struct wf_park *park, int self);

/* Any thread: does somebody search? One load in a pool of one group. */
WF_INLINE bool wf_park_searches(struct wf_park *park)
{
    /* relaxed, both: ordered by the caller's fence, or a hint */
    if (wf_load_relaxed(&park->all.searching) != 0) {
        return true;
    }
    for (int i = 0; i < park->groups; i++) {
        if (wf_load_relaxed(&park->group[i].count.searching) != 0) {
            return true;
        }
    }
    return false;
}

/* Any thread: does somebody search in the group of `worker`? Racy. */
WF_INLINE bool wf_park_searches_near(struct wf_park *park, int worker)
{
    return wf_load_relaxed(&park->states[worker].count->searching) != 0; /* relaxed: a hint */
}

/* Any thread: how many workers search or sleep, a NOTIFIED one twice; racy. */
static inline int wf_park_idle(struct wf_park *park)
{
    /* relaxed, all: a hint */
    int idle = (int)wf_load_relaxed(&park->all.searching);
    for (int i = 0; i < park->words; i++) {
        idle += __builtin_popcountll(wf_load_relaxed(&park->parked[i]));
    }
    for (int i = 0; i < park->groups; i++) {
        idle += (int)wf_load_relaxed(&park->group[i].count.searching);
    }
    return idle;
}

/* Any thread: the same, but of those who search only the ones in the group of `worker`. */
static inline int wf_park_idle_near(struct wf_park *park, int worker)
{
    /* relaxed, both: a hint */
    int idle = (int)wf_load_relaxed(&park->states[worker].count->searching);
    for (int i = 0; i < park->words; i++) {
        idle += __builtin_popcountll(wf_load_relaxed(&park->parked[i]));
    }
    return idle;
}

/* self, after its announcement: are all workers PARKED, none claimed, and nobody searching? One
 * that is claimed has a message, or work, and is about to run it. After the announcement's fence,
 * so of two that sleep at the same time at least one sees the other. */
WF_INLINE bool wf_park_all(struct wf_park *park)
{
    /* relaxed, all: see above */
    if (wf_park_searches(park)) {
        return false;
    }
    for (int i = 0; i < park->workers; i++) {
        if (wf_load_relaxed(&park->states[i].state) != WF_PARK_PARKED) {
            return false;
        }
    }
    return true;
}

/* Any thread: racy; for reports. */
WF_INLINE enum wf_park_state wf_park_state(struct wf_park *park, int worker)
{
    return (enum wf_park_state)wf_load_relaxed(&park->states[worker].state); /* relaxed: a report */
}

/* Any thread: how many search, and are not still being woken for it; racy. In a pool with groups
 * there are too many to be looked at: 0. */
static inline int wf_park_awake(struct wf_park *park)
{
    int awake = 0;
    for (int i = 0; i < park->workers && park->groups == 0; i++) {
        awake += wf_park_state(park, i) == WF_PARK_SEARCHING;
    }
    return awake;
}

/* Do the states, the bits and the counts agree (G.3)? Only while nobody is inside a function of
 * this file. */
void wf_park_check(struct wf_park *park);

#endif
