/* lookout.h: how many parked workers look after the others (lookout.c has what they do), and who
 * is missed.
 *
 * Who may call: lookout.c, sleep.c, and the model. What a lookout does, and whom it looks after, is
 * not known here.
 *
 * Terms. *exposed*: a worker with something under way that nobody but itself, or a lookout, can
 * bring to an end. *to resign*: to be no lookout any more, and to sleep like the others.
 *
 *    A worker wakes up exposed, or becomes so       A lookout resigns
 *      1. says that it is awake, and exposed          1. count -= 1         [resign]
 *      2. full fence               [is_missing]       2. full fence         [resign]
 *      3. count == 0? wake a parked worker            3. is somebody awake and exposed? be it again
 *
 * Whoever has the second of the two fences sees what the other did. So if somebody is awake and
 * exposed for long, there is a lookout, or a worker is on its way to become one. The count must not
 * be above the number of lookouts for a moment either, or a worker that wakes up counts on one who
 * only tried.
 *
 * G.1  No worker stays awake and exposed while all others sleep for good
 *      (tests/model/model_lookout.c).
 * G.2  There are WF_LOOKOUTS_MAX lookouts at most.
 * G.3  One looks at a time, and sees what the one before has written down. */
#ifndef WF_LOOKOUT_H
#define WF_LOOKOUT_H

#include "pool/base/atomic.h"
#include <stdbool.h>

/* Two, so that one is left when the other has something to do. With one, two workers that serve a
 * connection now and then would wake each other each time. */
#ifndef WF_LOOKOUTS_MAX
#define WF_LOOKOUTS_MAX 2 /* models use 1 */
#endif

struct wf_lookouts {
    WF_ATOMIC(uint32_t) count;
    WF_ATOMIC(uint32_t) looking; /* 1: one of them looks just now */
};

/* By a parked worker. False: there are enough. */
static inline bool wf_lookout_appoint(struct wf_lookouts *lookouts)
{
    /* Relaxed, both: who is refused relies on others, who look again when they resign; and who is
     * appointed looks after that, and again and again. */
    uint32_t count = wf_load_relaxed(&lookouts->count);
    while (count < WF_LOOKOUTS_MAX) { /* ends: each turn another has come or gone */
        if (wf_cas_relaxed(&lookouts->count, &count, count + 1)) {
            return true;
        }
    }
    return false;
}

/* Before the caller asks once more whether anybody is awake and exposed. */
static inline void wf_lookout_resign(struct wf_lookouts *lookouts)
{
    (void)wf_sub_relaxed(&lookouts->count, 1); /* relaxed: the fence orders it */
    /* sync(lookout.resigned): seq_cst, who wakes up sees that we are no lookout any more, or our
     * next look sees that it is awake; pairs sync(lookout.awake) */
    wf_fence_seq_cst();
}

/* By a worker that is awake: does it see no lookout? */
static inline bool wf_lookout_is_missing(struct wf_lookouts *lookouts)
{
    /* sync(lookout.awake): seq_cst, who resigns sees that we are awake, or we see that it has;
     * pairs sync(lookout.resigned) */
    wf_fence_seq_cst();
    return wf_load_relaxed(&lookouts->count) == 0; /* relaxed: ordered by the fence */
}

/* False: another looks just now. */
static inline bool wf_lookout_begin(struct wf_lookouts *lookouts)
{
    /* sync(lookout.begin): acquire, what the last one has written down; pairs sync(lookout.end) */
    return wf_xchg_acquire(&lookouts->looking, 1) == 0;
}

static inline void wf_lookout_end(struct wf_lookouts *lookouts)
{
    /* sync(lookout.end): release, what we have written down; pairs sync(lookout.begin) */
    wf_store_release(&lookouts->looking, 0);
}

#endif
