/* trial.h: which of two ways is the faster one, for what is done again and again: one is taken, and
 * the other tried now and then. For graph.c.
 *
 * Terms. *way*: 0 or 1. *tick*: so much has been done, each time the same. *epoch*: so many ticks.
 * *trial*: two epochs of the other way.
 *
 * T.1  The way that takes less is taken, way 0 if both take the same.
 * T.2  What a way takes is the less of its last two epochs in a row: one alone may have been
 *      disturbed, and the first after a change of ways is, since lines lie elsewhere.
 * T.3  After WF_TRIAL_EVERY epochs of one way there is a trial; after one that has changed nothing
 *      the next comes four times as late, WF_TRIAL_RARELY at most.
 * T.4  There is one at once if the load has changed: if the way takes more than the other did, or
 *      less than two thirds of what it took itself.
 *
 * Any thread, several at once: what one of them does to what another has just counted makes a time
 * wrong, and nothing else. */
#ifndef WF_TRIAL_H
#define WF_TRIAL_H

#include "pool/base/atomic.h"
#include <stdint.h>

#define WF_TRIAL_TICKS 8 /* of an epoch */
/* Epochs to a trial. Early, so that what was found out while all was new, or the machine disturbed,
 * does not hold for long. A trial costs as much as five epochs. */
#define WF_TRIAL_EVERY  16
#define WF_TRIAL_RARELY 1024

/* Relaxed, all: see above. All 0: two epochs, then a trial. */
struct wf_trial {
    WF_ATOMIC(int64_t) ticked_ns;  /* the last tick */
    WF_ATOMIC(int64_t) spent_ns;   /* in this epoch */
    WF_ATOMIC(int64_t) last_ns;    /* the last epoch; 0: it was of the other way */
    WF_ATOMIC(int64_t) took_ns[2]; /* T.2; 0: not known */
    WF_ATOMIC(uint32_t) ticks;     /* of this epoch */
    WF_ATOMIC(uint32_t) is_trial;  /* this epoch is of one */
    WF_ATOMIC(uint32_t) epochs;    /* since the last trial, or its end */
    WF_ATOMIC(uint32_t) wait;      /* so many are between two; 0: WF_TRIAL_EVERY */
};

/* What was done until now is not to be timed: it was something else. */
WF_INLINE void wf_trial_resume(struct wf_trial *t, int64_t now_ns)
{
    wf_store_relaxed(&t->ticked_ns, now_ns);
}

/* Nor is what is done from now on, until wf_trial_resume. */
WF_INLINE void wf_trial_pause(struct wf_trial *t, int64_t now_ns)
{
    int64_t since_ns = now_ns - wf_load_relaxed(&t->ticked_ns);
    wf_store_relaxed(&t->spent_ns, wf_load_relaxed(&t->spent_ns) + since_ns);
}

/* After a trial: how long is it to the next? */
static inline uint32_t wf_trial_wait_(uint32_t wait, bool has_changed)
{
    if (has_changed) {
        return WF_TRIAL_EVERY;
    }
    return wait < WF_TRIAL_RARELY ? 4 * wait : wait;
}

/* An epoch of `way` has ended: is the next one of the other? */
static WF_UNUSED bool wf_trial_judge_(struct wf_trial *t, uint32_t way, int64_t epoch_ns)
{
    int64_t last_ns = wf_load_relaxed(&t->last_ns);
    wf_store_relaxed(&t->last_ns, epoch_ns);
    if (last_ns == 0) {
        return false;
    }
    int64_t took_ns = last_ns < epoch_ns ? last_ns : epoch_ns;
    int64_t before_ns = wf_load_relaxed(&t->took_ns[way]);
    int64_t other_ns = wf_load_relaxed(&t->took_ns[1 - way]);
    wf_store_relaxed(&t->took_ns[way], took_ns);
    bool was_trial = wf_load_relaxed(&t->is_trial) != 0;
    uint32_t epochs = wf_load_relaxed(&t->epochs) + 1;
    uint32_t wait = wf_load_relaxed(&t->wait);
    wait = wait != 0 ? wait : WF_TRIAL_EVERY;
    bool is_slower = way == 0 ? other_ns < took_ns : other_ns <= took_ns;
    bool is_due = !was_trial && (epochs >= wait || 3 * took_ns < 2 * before_ns);
    bool changes = is_slower || is_due;
    if (was_trial) {
        wf_store_relaxed(&t->wait, wf_trial_wait_(wait, !changes));
    }
    if (changes) {
        wf_store_relaxed(&t->last_ns, 0);
    }
    wf_store_relaxed(&t->is_trial, changes && !was_trial);
    wf_store_relaxed(&t->epochs, changes || was_trial ? 0 : epochs);
    return changes;
}

/* So much has been done again, in that way. True: the next is the other. */
static WF_UNUSED bool wf_trial_tick(struct wf_trial *t, uint32_t way, int64_t now_ns)
{
    wf_trial_pause(t, now_ns);
    wf_trial_resume(t, now_ns);
    uint32_t ticks = wf_load_relaxed(&t->ticks) + 1;
    bool ends = ticks >= WF_TRIAL_TICKS;
    wf_store_relaxed(&t->ticks, ends ? 0 : ticks);
    if (!ends) {
        return false;
    }
    int64_t spent_ns = wf_load_relaxed(&t->spent_ns);
    wf_store_relaxed(&t->spent_ns, 0);
    return wf_trial_judge_(t, way, spent_ns);
}

#endif
