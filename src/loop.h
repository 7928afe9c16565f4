/* loop.h: what loops that compute have in common (for.c, scan.c, sort.c, graph.c): how they stop,
 * what they return, and when it is worth while to give work away.
 *
 * Who may call: those files. A *loop* is one call of the program's; several strands may run parts
 * of it, all of them sections of the same task, so they have one scope and one error record. There
 * is no scope of the loop's own: opening one costs more than a short loop.
 *
 * G.1  The loop's failure is the first in time; a strand that answers the cancellation of the scope
 *      around the loop with -ECANCELED has not failed.
 * G.2  No strand that sees `stopped` begins anything. */
#ifndef WF_LOOP_SHARED_H
#define WF_LOOP_SHARED_H

#include "pool/base/lock.h"
#include "src/core.h"
#include <weft/fork.h>

/* What a hand-over between two awake workers costs, and what it costs to wake one. */
#define WF_HOT_TICKS  (1 * WF_TICKS_US)
#define WF_COLD_TICKS (5 * WF_TICKS_US)

/* What is left of a loop, as far as is known, is given away only if it takes so long: both workers
 * pay for a hand-over, and wait for lines of what the body writes. Shared, loops of 2 to 6 us take
 * up to twice as long as alone (docs/adr/0056). */
#define WF_WORTH_TICKS (8 * WF_TICKS_US)

/* How often a deadline is looked at, since the clock costs several times as much as the counter. */
#define WF_CLOCK_TICKS (20 * WF_TICKS_US)

struct wf_loop_end {
    /* any thread */
    WF_ATOMIC(uint32_t) stopped;   /* nothing further is to be begun */
    WF_ATOMIC(uint32_t) cut_short; /* something was left out, or interrupted, by a cancellation */
    struct wf_lock lock;
    struct wf_failures failures; /* under lock */
};

/* Any strand of the loop: a body has returned rc < 0. for.c */
void wf_loop_fail(struct wf_fiber *self, struct wf_loop_end *end, int rc);
/* Any strand: something is left out because of a cancellation. */
void wf_loop_cut_short(struct wf_loop_end *end);
/* Any strand, now and then: has the scope's deadline passed? It costs a look at the clock. */
bool wf_loop_is_late(struct wf_fiber *self, struct wf_loop_end *end);
/* The caller, after all strands have been joined: what the loop returns; hands the error record
 * on. */
int wf_loop_result(struct wf_fiber *self, struct wf_loop_end *end);
/* Any strand, before it joins what it has forked and somebody may have taken: waits awake for a
 * while, if there is nothing else to do here. for.c */
void wf_loop_wait(struct wf_fiber *self, weft_branch *branch);
/* The caller, before it begins: a fiber, or NULL with *rc = -ENOSYS (a forked child) or 0 (outside
 * of a task: run alone). With a fiber *rc is 0 or -ECANCELED. */
struct wf_fiber *wf_loop_enter(struct wf_loop_end *end, int *rc);

WF_INLINE bool wf_loop_has_stopped(struct wf_loop_end *end)
{
    return wf_load_relaxed(&end->stopped) != 0; /* relaxed: who sees it late begins one more part */
}

/* Any strand, before each part: has somebody failed, or was the scope cancelled? */
WF_INLINE bool wf_loop_must_stop(struct wf_fiber *self, struct wf_loop_end *end)
{
    if (wf_loop_has_stopped(end)) {
        return true;
    }
    if (wf_unlikely(wf_env_cancelled(self->env) != 0)) {
        wf_loop_cut_short(end);
        return true;
    }
    return false;
}

/* Are `left` indices worth a hand-over, if the last `length` took `took` ticks? Doubles, since the
 * products do not fit. Yes if there was no last one. */
WF_INLINE bool wf_loop_is_worth(size_t left, size_t length, uint64_t took)
{
    return (double)left * (double)took >= (double)length * (double)WF_WORTH_TICKS;
}

#endif
