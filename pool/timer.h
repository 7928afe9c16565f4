/* timer.h: a hierarchical timing wheel, one per worker, with intrusive timers.
 *
 * Adding and deleting cost the same however many timers there are. The wheel has its own lock, so
 * that any thread may delete a timer.
 *
 * Terms. tick: 2^16 ns (65.5 us). slot: a list of timers of one tick (level 0) or of 64^L ticks
 * (level L). Eight levels of 64 slots cover all of int64_t nanoseconds. hint: when to look next,
 * readable without the lock.
 *
 * Who may call: wf_timer_add the worker that owns the wheel; everything else any thread. It reads
 * no clock: the caller passes the time.
 *
 * States of a timer, which its wheel's lock guards: idle -> queued [wf_timer_add]; queued -> idle
 *     [wf_timer_del: true]; queued -> idle [wf_wheel_advance, then fire()]
 * The caller orders add and del of the same timer; the wheel orders both against firing.
 *
 * Guarantees:
 *   T.1 Never early: fire() runs when now_ns >= deadline_ns, by the now_ns that advance was given.
 *   T.2 On time: a caller that advances at the hint fires a timer at its deadline exactly; or, if
 *       another one of its tick has fired just before, up to WF_TIMER_SLACK_NS later: a tick with
 *       many timers is looked at a few times, not once for each of them; or, in a crowd, up to
 *       WF_TIMER_CROWD_NS later. Whoever adds a timer is kept waiting by neither, unless another
 *       look comes between. Timers fire in the order of their ticks, where one that was late when
 *       added has the tick of the wheel at that time; within a tick, in no promised order.
 *   T.3 When wf_timer_del has returned, fire() is not running and will not run, until the timer is
 *       added again.
 *   T.4 advance does not touch a timer once it called its fire(): where fire() makes the claim that
 *       wakes a waiter its own last touch, the waiter may free the timer without wf_timer_del.
 *   T.5 fire() runs under the wheel's lock. It claims a wait and pushes to queues. It must not
 *       suspend, take long, or call add, del or advance for a timer of any wheel (it would wait for
 *       the lock that it holds, or for the lock of a worker that waits for this one): development
 *       builds check its own wheel. */
#ifndef WF_TIMER_H
#define WF_TIMER_H

#include "pool/base/atomic.h"
#include "pool/base/compiler.h"
#include "pool/base/list.h"
#include "pool/base/lock.h"
#include <stdbool.h>

#define WF_TIMER_TICK_BITS 16
#define WF_WHEEL_LEVELS    8
#define WF_WHEEL_SLOTS     64

/* How much later than its deadline a timer may fire if another one of its tick has just fired. */
#define WF_TIMER_SLACK_NS 50000

/* A crowd: the wheels of a pool, together, have fired WF_TIMER_CROWD timers in WF_TIMER_CALM_NS,
 * and so again. It goes on while WF_TIMER_CROWD_LEFT are. Then a look for each tick would cost more
 * than they do, for a worker that sleeps until then and wakes up needs 10 to 26 us of processor. So
 * the next look at each wheel is when WF_TIMER_BURST of its own are due at its pace, but at most
 * WF_TIMER_CROWD_NS away: also at one that has few, whose worker would wake up for each of them, a
 * thousand times while the one that has all the others does so four hundred times. 128: eight a
 * tick, which is looked at twice; at 10 us a look, each cost more than a sleep does besides. A
 * burst of 256: then a look is a tenth of it, and it still fits into the second-level cache. */
#define WF_TIMER_CROWD      128
#define WF_TIMER_CROWD_LEFT 32
#define WF_TIMER_BURST      256
#define WF_TIMER_CROWD_NS   500000
#define WF_TIMER_CALM_NS    1000000

/* Timers that one call of advance moves or fires: bounds how long the lock is held (about 50
 * us). */
#define WF_WHEEL_BATCH 1024

/* A slot is emptied from its newest timer on. Each timer lies in memory that nobody has touched
 * since it was added, and names the one before it: so each also says which one was added so many
 * before it, which is fetched meanwhile. 8: what a processor core has under way. */
#define WF_WHEEL_AHEAD 8

struct wf_wheel;

/* What the wheels of a pool know of each other's pace. All zero: no crowd. Any of them stores,
 * without an order: what two of them mixed is a crowd noticed a moment earlier or later. */
struct wf_crowd {
    WF_ATOMIC(int64_t) since_ns; /* when the present window began: lasts WF_TIMER_CALM_NS or more */
    WF_ATOMIC(uint64_t) fired;   /* in it */
    WF_ATOMIC(bool) was_fast;    /* were so many fired in the one before that it may be a crowd? */
    WF_ATOMIC(int64_t) until_ns; /* it is a crowd until then, at least */
};

struct wf_timer {
    struct wf_list link; /* under the wheel's lock; unlinked means idle */
    /* of the last add; NULL: never queued since wf_timer_init, or added with INT64_MAX */
    struct wf_wheel *wheel;
    int64_t deadline_ns;
    void (*fire)(struct wf_timer *timer);
    /* while queued: level * 64 + slot in the lowest 16 bits; above, 48 bits of an address, a hint:
     * what to fetch when this one is taken out of its slot (WF_WHEEL_AHEAD) */
    uint64_t place;
};

struct wf_wheel_slot {
    struct wf_list timers; /* the newest last */
    /* when its turn is: at most the earliest deadline in `timers`, and in level 0, after some of
     * them have fired, the slack later; meaningless when empty */
    int64_t earliest_ns;
    uint64_t count; /* added since it was empty */
};

struct wf_wheel {
    struct wf_lock lock;
    uint32_t levels; /* bit L: used[L] != 0 */
    /* every timer of an earlier tick has fired, or is in `moving` */
    int64_t tick;
    uint64_t used[WF_WHEEL_LEVELS]; /* bit s of level L: that slot is not empty */
    /* from a slot that advance has begun: to be fired or put into a lower level */
    struct wf_list moving;
    struct wf_crowd *crowd;      /* the pool's; immutable */
    int64_t fired_ns;            /* when timers fired last */
    int64_t rest_ns;             /* in a crowd: no look before */
    WF_ATOMIC(uintptr_t) firing; /* development builds: the thread inside fire(); 0: none */
    /* counters; written under the lock, read by reports: relaxed */
    WF_ATOMIC(uint64_t) fired, added, deleted;
    struct wf_wheel_slot slots[WF_WHEEL_LEVELS * WF_WHEEL_SLOTS];
    /* per slot, the newest: number n at n % WF_WHEEL_AHEAD. Hints: a deleted timer stays here, and
     * its memory may be gone. Not touched by an empty wheel. */
    struct wf_timer *newest[WF_WHEEL_LEVELS * WF_WHEEL_SLOTS][WF_WHEEL_AHEAD];
    /* The hint. Written under the lock, read by anybody. */
    WF_ALIGNED(WF_LINE) WF_ATOMIC(int64_t) next_ns;
};

/* `crowd` is that of all wheels of a pool, and outlives them. now_ns: CLOCK_MONOTONIC, or the
 * simulator's clock. */
void wf_wheel_init(struct wf_wheel *wheel, struct wf_crowd *crowd, int64_t now_ns);

/* Makes an idle timer. Zeroed memory is not one. */
void wf_timer_init(struct wf_timer *timer, void (*fire)(struct wf_timer *timer));

/* Queues an idle timer. INT64_MAX: never fires, is not queued. A deadline that has passed fires at
 * the next advance. Owner of the wheel. */
void wf_timer_add(struct wf_wheel *wheel, struct wf_timer *timer, int64_t deadline_ns);

/* Any thread; any number of times. true: it was queued and will not fire. false: it has fired, or
 * was never queued. */
bool wf_timer_del(struct wf_timer *timer);

/* Fires what is due, in ticks' order, and returns how many. One call moves or fires at most
 * WF_WHEEL_BATCH timers: everything due has fired when wf_wheel_next_ns(wheel) > now_ns, and until
 * then call again (0 does not mean done). Costs little when nothing is due, and calling it now and
 * then keeps the wheel's tick near the present, which saves moves between levels later. Any thread;
 * calls are serialised. */
int wf_wheel_advance(struct wf_wheel *wheel, int64_t now_ns);

/* Do timers come thick and fast, or have they until a short while ago? Any thread; a hint. */
WF_INLINE bool wf_crowd_is_on(struct wf_crowd *crowd, int64_t now_ns)
{
    return now_ns < wf_load_relaxed(&crowd->until_ns); /* relaxed: a hint */
}

/* When to call advance next; INT64_MAX: no timer. One load. The owner's own add is always in it;
 * other threads (deadlock.c) may miss it for a moment. */
WF_INLINE int64_t wf_wheel_next_ns(struct wf_wheel *wheel)
{
    /* relaxed: only the owner adds, and what others do meanwhile makes it later, which costs one
     * advance for nothing */
    return wf_load_relaxed(&wheel->next_ns);
}

#endif
