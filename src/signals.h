/* signals.h: the part of signal.c that a signal's handler runs, and what has to agree with it;
 * without locks. What the guarantees N.1 and N.2 rest on; tests/model/model_signal.c checks it.
 *
 * Who may call: signal.c. wf_signals_note by any thread, inside a handler; wf_signals_place and
 * wf_signals_withdraw one at a time. */
#ifndef WF_SIGNALS_H
#define WF_SIGNALS_H

#include "pool/base/atomic.h"
#include "pool/base/sys.h"
#include <stddef.h>

#ifndef WF_SIGNALS_PLACES
#define WF_SIGNALS_PLACES 64 /* WEFT_SIGNAL_MAX */
#endif

/* A listener. */
struct wf_signals {
    WF_ATOMIC(uint64_t) arrived; /* bit n - 1: signal n; handlers set, tasks clear */
    WF_PLAIN(uint64_t) wanted;   /* immutable while it has a place */
    int fd;                      /* likewise; eventfd */
    uint32_t open;               /* whoever opens and closes */
};

struct wf_signals_table {
    WF_ATOMIC(struct wf_signals *) places[WF_SIGNALS_PLACES]; /* NULL: free */
    WF_ATOMIC(uint32_t) handlers;                             /* that run right now */
};

/* Wakes who waits for it. Inside a handler. */
typedef void wf_signals_ready_fn(struct wf_signals *signals);

/* A signal, as its bit, has come. */
WF_INLINE void wf_signals_note(struct wf_signals_table *table, uint64_t bit,
                               wf_signals_ready_fn *ready)
{
    /* sync(signal.enter): seq_cst, we count before we look at the places; pairs
     * sync(signal.drain) */
    (void)wf_add_seq_cst(&table->handlers, 1);
    for (int i = 0; i < WF_SIGNALS_PLACES; i++) {
        /* sync(signal.look): seq_cst, a listener that is complete, and not one whose withdrawal has
         * missed us; pairs sync(signal.place), sync(signal.close) */
        struct wf_signals *signals = wf_load_seq_cst(&table->places[i]);
        if (signals != NULL && (wf_plain_read(&signals->wanted) & bit) != 0) {
            /* sync(signal.arrive): acq_rel, what was done before the signal was sent; pairs
             * sync(signal.take) */
            (void)wf_or_acq_rel(&signals->arrived, bit);
            ready(signals);
        }
    }
    /* sync(signal.leave): acq_rel, all that we did to a listener comes before its end; pairs
     * sync(signal.drain). LAST TOUCH of all listeners. */
    (void)wf_sub_acq_rel(&table->handlers, 1);
}

/* Gives the listener a place: 0, or -1 if there is none. From here on handlers see it. */
WF_INLINE int wf_signals_place(struct wf_signals_table *table, struct wf_signals *signals)
{
    for (int i = 0; i < WF_SIGNALS_PLACES; i++) {
        if (wf_load_relaxed(&table->places[i]) == NULL) { /* relaxed: one at a time writes */
            /* sync(signal.place): release, the listener is complete; pairs sync(signal.look) */
            wf_store_release(&table->places[i], signals);
            return 0;
        }
    }
    return -1;
}

/* Takes it out of the table, and waits until no handler knows it. */
WF_INLINE void wf_signals_withdraw(struct wf_signals_table *table, struct wf_signals *signals)
{
    for (int i = 0; i < WF_SIGNALS_PLACES; i++) {
        if (wf_load_relaxed(&table->places[i]) == signals) { /* relaxed: as above */
            /* sync(signal.close): seq_cst, a handler that we do not see counted below does not see
             * the listener; pairs sync(signal.look) */
            wf_store_seq_cst(&table->places[i], NULL);
        }
    }
    /* Ends: a handler takes microseconds, and one that interrupted us has returned.
     * sync(signal.drain): seq_cst, after the withdrawal, and after what handlers did to the
     * listener; pairs sync(signal.enter), sync(signal.leave) */
    while (wf_load_seq_cst(&table->handlers) != 0) {
        wf_sys.nap(1000);
    }
}

/* The lowest signal that has arrived, as its number, or 0. If it leaves others there, `ready` is
 * called for another one who waits. */
WF_INLINE int wf_signals_take(struct wf_signals *signals, wf_signals_ready_fn *ready)
{
    for (;;) { /* ends: in each turn but the last another task takes a bit, of 64 */
        /* relaxed: that it reads the newest value is what counts, which a load need not */
        uint64_t arrived = wf_or_relaxed(&signals->arrived, 0);
        if (arrived == 0) {
            return 0;
        }
        uint64_t bit = arrived & -arrived;
        /* sync(signal.take): acq_rel, what was done before the signal was sent, also for who takes
         * the rest; pairs sync(signal.arrive), sync(signal.take) */
        uint64_t before = wf_and_acq_rel(&signals->arrived, ~bit);
        if ((before & bit) != 0) {
            if ((before & ~bit) != 0) {
                ready(signals);
            }
            return __builtin_ctzll(bit) + 1;
        }
    }
}

#endif
