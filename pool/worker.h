/* worker.h: a thread and its state, and the verbs with which the layers above make work ready and
 * suspend stacks.
 *
 * Terms. *ready*: queued so that some worker will run it. *suspend*: leave the current stack, to be
 * resumed by whoever makes its `resume` work ready. *foreign*: a thread, or a stack, that is no
 * worker of this pool.
 *
 * Guarantees.
 * G.1  Work made ready is run exactly once, by some worker of the pool, in bounded time as long as
 *      workers return from their works: every queue drains (own deque, own FIFO, injection),
 *      whatever the others do.
 * G.2  A stack becomes visible to others only after its context is saved: by the `after` function
 *      of wf_suspend, which runs on the next stack.
 * G.3  A loop's frame holds nothing over the run of a work: "which worker am I" is read again
 *      through the fiber.
 * G.4  Nothing here allocates except stacks; user code never runs out of a stack to suspend onto,
 *      because a worker starts new work only while it holds a spare stack (wf_worker_has_spare). */
#ifndef WF_WORKER_H
#define WF_WORKER_H

#include "pool/base/rng.h"
#include "pool/deque.h"
#include "pool/driver.h"
#include "pool/fiber.h"
#include "pool/inject.h"
#include "pool/park.h"
#include "pool/patience.h"
#include "pool/runq.h"
#include "pool/slab.h"
#include "pool/timer.h"
#include "pool/watchers.h"
#include "pool/work.h"

#define WF_FRAME_CLASSES 3 /* sizes of pooled task frames, see pool.c */
/* An error record: with its head it fills two pairs of lines. src/error.c asserts that it fits. */
#define WF_ERROR_BYTES   256
#define WF_VALUE_CLASSES 3 /* sizes of pooled completions, see pool.c */

/* Counters of one worker: it alone writes them; others read them racily for reports. */
struct wf_counters {
    WF_ATOMIC(uint64_t) runs;          /* works run from a queue */
    WF_ATOMIC(uint64_t) steals;        /* works taken from another worker */
    WF_ATOMIC(uint64_t) steal_misses;  /* rounds over all victims without finding anything */
    WF_ATOMIC(uint64_t) suspends;      /* stacks left */
    WF_ATOMIC(uint64_t) parks;         /* sleeps in the driver */
    WF_ATOMIC(uint64_t) wakes;         /* driver wakes sent to others */
    WF_ATOMIC(uint64_t) injected;      /* works taken from the injection queue */
    WF_ATOMIC(uint64_t) ups;           /* ends of being parked; a lookout's rounds are none */
    WF_ATOMIC(uint64_t) ops_submitted; /* operations given to the kernel */
    WF_ATOMIC(uint64_t) ops_completed; /* final completions seen */
    WF_ATOMIC(uint64_t) ops_handed;    /* of these, those that were handed over to their waiters */
    WF_ATOMIC(uint64_t) ops_cancelled; /* of these, cancelled */
    WF_ATOMIC(uint64_t) ops_rescued;   /* of the completed, submitted by a worker that was busy */
    WF_ATOMIC(uint64_t) kicks;         /* signals sent to such */
    WF_ATOMIC(uint64_t) driver_enters; /* system calls of the driver */
    WF_ATOMIC(uint64_t) timers_fired;
};

/* Only the owning worker counts. */
#define wf_count_add(counter, n) wf_add_owned(counter, n)
#define wf_count(counter)        wf_count_add(counter, 1)

struct wf_pool;
struct wf_worker;

/* Where a fiber has to run, if not on any worker of its pool: on the one that it is pinned to, or
 * on an executor that runs one fiber at a time. A fiber with a home has resume.run ==
 * wf_fiber_run_homed; one without has wf_fiber_run_resume, and its `home` means nothing. */
struct wf_home {
    /* On a loop's frame, which runs the fiber's resume work: switches to it (wf_switch_to), or
     * keeps it, to be made ready later. */
    void (*arrive)(struct wf_home *home, struct wf_fiber *self, struct wf_fiber *fiber);
    /* The fiber, running at home, is about to suspend or to leave for good. */
    void (*leave)(struct wf_home *home, struct wf_fiber *fiber);
};

/* What thieves have seen of a worker (light.h): how far it was with its works, and when, and how
 * long each took it before; and since when a queue's oldest has been there. Any thief stores,
 * without an order: what two of them mixed is one steal too early or too late. */
struct wf_sighting {
    WF_ATOMIC(uint32_t) deque, bottom, fifo; /* struct wf_pace, then */
    WF_ATOMIC(uint32_t) last;                /* deque and fifo, at the last look */
    WF_ATOMIC(int64_t) still_ns;             /* since when they have been so */
    WF_ATOMIC(int64_t) since_ns;             /* when `deque` and the others were seen */
    WF_ATOMIC(int64_t) each_ns;              /* how long each took; 0: not known */
    WF_ATOMIC(int64_t) slow_ns;              /* when it was last found to be slow */
    WF_ATOMIC(int64_t) believed_ns;          /* so long after slow_ns it is believed to be so */
    WF_ATOMIC(bool) was_empty;               /* at since_ns or later nothing was queued */
    WF_ATOMIC(bool) was_helped;              /* after since_ns somebody stole from it */
};
struct wf_age {
    WF_ATOMIC(uint64_t) oldest; /* its index in the queue; indices only grow, so this names it */
    WF_ATOMIC(int64_t) since_ns;
};

/* What thieves have seen of the sections that an owner gives because they ask: light.h. The owner
 * reads it, too. */
struct wf_giving {
    WF_ATOMIC(bool) was_short;     /* the last that was stolen */
    WF_ATOMIC(bool) is_short;      /* the owner */
    struct wf_age age;             /* of the oldest */
    WF_ATOMIC(int64_t) spared_ns;  /* until then it is not asked; 0: it may be */
    WF_ATOMIC(int64_t) doubted_ns; /* until then it is not taken for short */
    WF_ATOMIC(int64_t) doubt_ns;   /* for so long the next time; 0: WF_DOUBT_MIN_NS */
};

struct WF_ALIGNED(WF_LINE_PAIR) wf_worker {
    /* --- queues: owner and thieves, see each header --- */
    struct wf_deque deque;
    struct wf_runq runq;

    /* --- what thieves have seen of these: they alone read and write it --- */
    struct wf_sighting seen WF_ALIGNED(WF_LINE_PAIR);
    WF_ATOMIC(int64_t) waits_ns; /* when a task that was stolen from it last waited at once */
    struct wf_age age_new, age_ready;
    struct wf_giving giving;
    struct wf_sighting seen_run; /* of all that it runs: for what comes from outside */

    /* --- messages that must run on this worker: any thread pushes, owner drains --- */
    WF_ATOMIC(struct wf_work *) inbox WF_ALIGNED(WF_LINE_PAIR);
    WF_ATOMIC(int64_t) up_ns; /* when it last woke up; owner writes, thieves read */

    /* --- owner only --- */
    struct wf_pool *pool WF_ALIGNED(WF_LINE_PAIR); /* immutable after start */
    struct wf_driver *driver;                      /* immutable after start */
    void *driver_state;                            /* the driver's, per worker */
    uint32_t index;                                /* immutable after start */
    uint32_t peers;                                /* other workers of the pool; immutable */
    /* Of counters.runs, when these are due; past that they are due until they come, see take_old */
    uint64_t poll_at;   /* a poll of the driver; less the turns without a work */
    uint64_t old_at;    /* what has waited longest; poll_at at the latest */
    uint64_t oldest_at; /* of that, the deque's */
    uint64_t clock_at;  /* the clock, while a timer is armed; less the turns without a work */
    /* when the clock was last looked at for timers, likewise, and what it said */
    uint64_t looked_at;
    int64_t looked_ns;
    /* operations that it has given to the kernel and not seen the end of; those that others ended
     * for it count for ever: a hint */
    uint64_t under_way;
    uint64_t cold_end;  /* of runq.tail: up to there what is in the FIFO is cold (serve.c) */
    bool look_injected; /* it was polled: the next turn looks at the injection queue too */
    /* what wf_suspend took from the FIFO for the next loop to run */
    struct wf_work *handed;
    struct wf_home pin;     /* of fibers pinned to this worker */
    struct wf_works pinned; /* of these, ready: nobody steals them */
    bool serving;           /* inside run_messages: on a stack that may not be left */
    /* the last wf_suspend went on with a ready fiber, not a loop */
    bool direct;
    struct wf_rng rng;
    int64_t watch_ns; /* how long the next watch lasts */
    enum wf_watching watching;
    uint32_t watches;  /* in a row, as one watch to all others; up to WF_WATCH_LOUD */
    int64_t search_ns; /* how long the next search lasts; see search_least */
    bool has_spilled;  /* out of its queues into the injection queue; see take_back */
    bool flows;        /* it stole when it last looked, and there is more */
    bool saw_light;    /* it has left something to others since it last slept: light.h */
    bool woken;        /* for work, and has not taken any from others since */
    int64_t inject_ns; /* when search() looks at the injection queue again */
    int64_t stole_ns;  /* when it last stole, if it has not looked for work since; else 0 */
    struct wf_worker *stole_from; /* a new work, then: whose; else NULL */
    uint64_t stole_at;            /* of counters.suspends */
    /* whose section it stole, which was given; NULL: none, or it has ended, or this worker has
     * looked for work since */
    struct wf_worker *stole_given;
    struct wf_patience patience;
    struct wf_stack_cache stacks;
    struct wf_fiber home; /* the thread's own stack, to return to at the end */
    struct wf_slab frames[WF_FRAME_CLASSES];
    struct wf_slab_node *given; /* frames of the runtime, by wf_slab_give_later, until it stops */
    struct wf_slab errors;
    struct wf_slab values[WF_VALUE_CLASSES]; /* readable while free */
    uint64_t serial; /* src's: numbers that are never given twice by this worker */
    void *runtime;   /* src's: the runtime that this pool belongs to */
    void *callback;  /* src's: the cancel callback that runs on this thread right now */
    /* src's: something small that it does for several works at once; called, and forgotten, before
     * this worker looks for work that is not in its own queues. NULL: nothing */
    void (*put_off)(struct wf_worker *worker);
    /* src's: of how many tasks the end is put off; others read it for reports */
    WF_ATOMIC(uint32_t) left;
    WF_ATOMIC(void *) lender; /* src's, which others read: its buffers that are lent (loan.c) */

    /* --- owner, and any thread under the wheel's lock --- */
    struct wf_wheel wheel;

    struct wf_counters counters;
};

/* --- operations: of the driver, on the worker's thread --- */

/* One was given to the kernel; one of its own has ended. */
WF_INLINE void wf_worker_submitted(struct wf_worker *worker)
{
    wf_count(&worker->counters.ops_submitted);
    worker->under_way++;
}

WF_INLINE void wf_worker_completed(struct wf_worker *worker)
{
    wf_count(&worker->counters.ops_completed);
    worker->under_way--;
}

/* --- make ready; each includes the wake check, but where it says so --- */

/* From a worker of the pool: at the end of its FIFO. For resumed fibers, continuations,
 * completions. */
void wf_ready(struct wf_worker *worker, struct wf_work *work);
/* From the fire() of a timer of this worker's wheel, on its thread: at the end of its FIFO. Who
 * advances the wheel does the wake check, once for all that has fired. */
void wf_ready_fired(struct wf_worker *worker, struct wf_work *work);
/* As wf_ready_new, for a work that is cheap to move to another worker: nothing but itself goes
 * there, and nothing that was made for it comes back. Who runs it says so (wf_deque_note_cheap). */
void wf_ready_cheap(struct wf_worker *worker, struct wf_work *work);
/* wf_ready of what the FIFO did not take: wf_ready_inline (pool.h). */
void wf_ready_spill(struct wf_worker *worker, struct wf_work *work);
/* From any thread: the injection queue. */
void wf_ready_foreign(struct wf_pool *pool, struct wf_work *work);
/* From any thread that knows only the pool: as wf_ready on a worker of `pool`, else as
 * wf_ready_foreign. */
void wf_ready_any(struct wf_pool *pool, struct wf_work *work);
/* From any thread: run `message` on that worker's thread, between works, before it next sleeps. It
 * may not suspend. */
void wf_post(struct wf_worker *target, struct wf_work *message);

/* From a worker, after it published work by other means: wakes somebody if nobody searches. */
void wf_wake_check(struct wf_worker *worker);
/* The same for what lies in this worker's own queues: nor if somebody watches (light.h). */
void wf_wake_unless_watched(struct wf_worker *worker);

/* From a worker: at the newest end of its deque, public at once. For new tasks. */
void wf_ready_overflow(struct wf_worker *worker, struct wf_work *work); /* when it is full */
WF_INLINE void wf_ready_new(struct wf_worker *worker, struct wf_work *work)
{
    if (wf_unlikely(!wf_deque_push(&worker->deque, work))) {
        wf_ready_overflow(worker, work);
    }
    wf_wake_unless_watched(worker);
}

/* From a task that has begun something in the driver which may be over as soon as the driver looks:
 * if there is nothing else to run, and one work at a time comes from the driver, it is polled now,
 * on the task's stack, as the worker would when the task has been suspended. */
void wf_poll_if_idle(struct wf_worker *worker);

/* From the driver, on the worker's thread: something is under way at it, as nothing was before. */
void wf_exposed(struct wf_worker *worker);

/* --- suspend --- */

/* Leaves the current stack; returns when its resume work has run, perhaps on another worker.
 * `after(now, self, arg)` runs on the next stack once self is saved, and is what makes self
 * reachable. If it finds that there is nothing to wait for any more it calls wf_switch_back.
 * Publishes the deque's private tail first. */
void wf_suspend(struct wf_fiber *self, wf_after_fn *after, void *arg);

/* The same with an `after` as wf_fiber_switch_arming has it, which arms `word` or else calls
 * wf_switch_back. */
void wf_suspend_arming(struct wf_fiber *self, wf_after_fn *after, void *word);

/* Is the flag set? After a read-modify-write, which is a full fence with this. */
WF_INLINE bool wf_is_flagged(void *flag)
{
    const WF_ATOMIC(uint32_t) *word = flag;
    /* sync(worker.flag): seq_cst, after what the caller has stored, before the look at the flag;
     * pairs sync(walk.marked_fence), sync(walk.alone_fence) */
    wf_fence_after_rmw();
    return wf_load_relaxed(word) != 0; /* relaxed: ordered by the fence */
}

/* wf_suspend_arming, which looks at a flag on its way, behind a full fence: if it is set, `flagged`
 * runs before `word` is armed, and may make it something else. Of what the caller has stored
 * before, and whoever sets the flag, has a full fence and looks for it, at least one sees the
 * other. */
typedef void wf_flagged_fn(struct wf_fiber *self);
void wf_suspend_watching(struct wf_fiber *self, wf_after_fn *after, void *word, void *flag,
                         wf_flagged_fn *flagged);

/* wf_suspend_arming, and `next` runs at once if nothing else is due: the resume work of a suspended
 * stack without a home, of this pool, which the caller alone may resume now; or new work. For two
 * stacks that pass work to each other. After WF_TURN_POLL works in a row `next` goes through the
 * FIFO, so that others have their turn. */
void wf_suspend_to(struct wf_fiber *self, struct wf_work *next, wf_after_fn *after, void *word);

/* Called by wf_suspend on the stack that is about to be left; for tests. NULL: nobody. Set while no
 * worker runs. */
extern void (*wf_on_suspend)(struct wf_fiber *self) WF_HIDDEN;

/* Only inside `after`, as its last act: there is nothing to wait for, `before` goes on: at once, or
 * soon if `now` is itself a fiber that was ready. */
void wf_switch_back(struct wf_fiber *now, struct wf_fiber *before);

/* Only as the last act of a work's run, on a loop's frame: switch to a suspended fiber and give
 * this stack back. */
WF_NORETURN void wf_switch_to(struct wf_fiber *self, struct wf_fiber *target);

/* Lets other ready work of this worker run; returns when the scheduler comes back. At once if there
 * is none. */
void wf_yield(struct wf_fiber *self);
/* The same, for a public call that ends with it: 0. */
int wf_yield_last(struct wf_fiber *self);

/* The same, for a task that finds the deque full of what it has started, most likely: it lets more
 * of it run, as long as no other fiber is ready on this worker. */
void wf_yield_full(struct wf_fiber *self);

/* May this stack call work that could suspend, instead of queuing it? Only while its worker holds a
 * spare stack for the loop to go on with. */
WF_INLINE bool wf_worker_has_spare(const struct wf_worker *worker)
{
    return worker->stacks.count > 0;
}

/* Bytes left on the current stack. */
WF_INLINE size_t wf_stack_left(const struct wf_fiber *self)
{
    return (size_t)(wf_frame_address() - (uintptr_t)self->stack_low);
}

/* --- homes --- */

/* arrive of worker->pin: tells a pinned fiber's home from others. */
void wf_arrive_pinned(struct wf_home *home, struct wf_fiber *self, struct wf_fiber *fiber);
void wf_worker_init_pin(struct wf_worker *worker);

/* resume.run of a fiber without and with a home: switches to it; lets its home do so. */
void wf_fiber_run_resume(struct wf_fiber *self, struct wf_work *work) WF_HIDDEN;
void wf_fiber_run_homed(struct wf_fiber *self, struct wf_work *work) WF_HIDDEN;

WF_INLINE struct wf_home *wf_fiber_home(const struct wf_fiber *fiber)
{
    return wf_likely(fiber->resume.run == wf_fiber_run_resume) ? NULL : fiber->home;
}

/* The strand itself, or whoever is about to make it ready. NULL: none. Does not call leave. */
WF_INLINE void wf_fiber_set_home(struct wf_fiber *fiber, struct wf_home *home)
{
    fiber->home = home;
    fiber->resume.run = home != NULL ? wf_fiber_run_homed : wf_fiber_run_resume;
}

/* May a loop of `self` switch straight to the suspended `target`, instead of making it ready? */
bool wf_may_switch_to(const struct wf_fiber *self, const struct wf_fiber *target);

#endif
