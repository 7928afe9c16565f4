/* trial.h: which of two ways is the faster one, for what is done again and again: one is taken, and
 * the other tried now and then. For graph.c.
 *
 * Terms. *way*: 0 or 1. *tick*: so much has been done, each time the same. *epoch*: so many ticks,
 * of which the first are not timed, since after a change of ways lines lie elsewhere. *trial*: an
 * epoch of the other way.
 *
 * T.1  Way 0 is taken, unless way 1 took less by WF_TRIAL_LESS.
 * T.2  After WF_TRIAL_EVERY epochs of one way there is a trial.
 * T.3  There is one at once if an epoch says that the other way is better now: the load has
 *      changed, or an epoch was disturbed. Who is taken after a trial has to show it once more: the
 *      next trial comes after one epoch.
 *
 * Any thread, several at once: what one of them does to what another has just counted makes a time
 * wrong, and nothing else. */
#ifndef WF_TRIAL_H
#define WF_TRIAL_H

#include "pool/base/atomic.h"
#include <stdint.h>

#define WF_TRIAL_TICKS 16 /* of an epoch */
#define WF_TRIAL_WARM  4  /* of these, not timed */
#define WF_TRIAL_EVERY 64 /* so many epochs is one a trial */
/* Way 1 is better if it takes less by a 16th: so much do epochs of one way differ. */
#define WF_TRIAL_LESS 16

/* Relaxed, all: see above. All 0: one epoch, then a trial. */
struct wf_trial {
    WF_ATOMIC(int64_t) ticked_ns;  /* the last tick */
    WF_ATOMIC(int64_t) spent_ns;   /* in the ticks of this epoch that are timed */
    WF_ATOMIC(int64_t) took_ns[2]; /* the last epoch of each way; 0: none yet */
    WF_ATOMIC(uint32_t) ticks;     /* of this epoch */
    WF_ATOMIC(uint32_t) is_trial;  /* this epoch is one */
    WF_ATOMIC(uint32_t) epochs;    /* since the last trial */
};

/* What was done until now is not to be timed: it was something else. */
WF_INLINE void wf_trial_resume(struct wf_trial *t, int64_t now_ns)
{
    wf_store_relaxed(&t->ticked_ns, now_ns);
}

/* An epoch of `way` has ended: is the next one of the other? */
static WF_UNUSED bool wf_trial_judge_(struct wf_trial *t, uint32_t way, int64_t took_ns)
{
    wf_store_relaxed(&t->took_ns[way], took_ns);
    int64_t took_0_ns = wf_load_relaxed(&t->took_ns[0]),
            took_1_ns = wf_load_relaxed(&t->took_ns[1]);
    uint32_t better = took_1_ns < took_0_ns - took_0_ns / WF_TRIAL_LESS;
    uint32_t epochs = wf_load_relaxed(&t->epochs) + 1;
    bool was_trial = wf_load_relaxed(&t->is_trial) != 0;
    bool changes = better != way || (!was_trial && epochs >= WF_TRIAL_EVERY);
    wf_store_relaxed(&t->is_trial, changes && !was_trial);
    if (was_trial) { /* T.3 */
        epochs = changes ? 0 : WF_TRIAL_EVERY - 1;
    }
    wf_store_relaxed(&t->epochs, epochs);
    return changes;
}

/* So much has been done again, in that way. True: the next is the other. */
static WF_UNUSED bool wf_trial_tick(struct wf_trial *t, uint32_t way, int64_t now_ns)
{
    int64_t since_ns = now_ns - wf_load_relaxed(&t->ticked_ns);
    wf_store_relaxed(&t->ticked_ns, now_ns);
    uint32_t ticks = wf_load_relaxed(&t->ticks) + 1;
    int64_t spent_ns = ticks > WF_TRIAL_WARM ? wf_load_relaxed(&t->spent_ns) + since_ns : 0;
    bool ends = ticks >= WF_TRIAL_TICKS;
    wf_store_relaxed(&t->spent_ns, spent_ns);
    wf_store_relaxed(&t->ticks, ends ? 0 : ticks);
    return ends && wf_trial_judge_(t, way, spent_ns);
}

#endif
