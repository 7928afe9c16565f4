/* profit.h: is it worth while for a thief to share an owner's cheap works? It tries, and looks at what came of it.
 *
 * Works that are cheap to move (nodes of a graph) are so short that what decides is how many lines go from core to
 * core for each, which depends on what they do, and how long that takes, which on a virtual machine may be four times as
 * long an hour later. An owner's pace does not tell: where sharing makes all slower it makes the owner slow, too,
 * who then looks as if it needed help. So the thief lets the owner work alone for a moment, then takes from it for a
 * moment, and compares how many works all workers have run in each.
 *
 * Who may call: the thief, worker.c. It keeps one of these, for whoever it looks at.
 *
 *      SETTLE --[SETTLE_NS are over]--> ALONE --[ALONE_NS are over]--> TRIAL
 *      TRIAL --[TRIAL_NS are over: a sixteenth more works in a ns than alone]--> KEEP
 *      TRIAL --[not so many]--> LEAVE          KEEP, LEAVE --[HOLD_NS are over]--> SETTLE
 *      ALONE, TRIAL --[nobody looked for STALE_NS, or no work was run: there was nothing to do]--> SETTLE
 *
 * In SETTLE and ALONE the owner works alone; at first with lines that have to come back from the thief.
 *
 * G.1  Where sharing is no gain, it goes on for TRIAL_NS in each HOLD_NS.
 * G.2  Where it is, it stands still for SETTLE_NS and ALONE_NS in each HOLD_NS. */
#ifndef WF_PROFIT_H
#define WF_PROFIT_H

#include <stdbool.h>
#include <stdint.h>

#define WF_PROFIT_SETTLE_NS INT64_C(4000)
#define WF_PROFIT_ALONE_NS  INT64_C(8000)  /* 100 nodes of 80 ns */
#define WF_PROFIT_TRIAL_NS  INT64_C(20000) /* so many steals that their first misses do not count */
#define WF_PROFIT_HOLD_NS   INT64_C(1000000)
#define WF_PROFIT_STALE_NS \
    INT64_C(400000) /* longer than a watch, during which the owner works alone */

enum wf_profit_state {
    WF_PROFIT_SETTLE,
    WF_PROFIT_ALONE,
    WF_PROFIT_TRIAL,
    WF_PROFIT_KEEP,
    WF_PROFIT_LEAVE,
};

struct wf_profit {
    enum wf_profit_state state;
    int64_t since_ns; /* of the state; 0: never looked */
    uint64_t works;   /* that had been run then */
    /* of the last ALONE */
    int64_t alone_ns;
    uint64_t alone_works;
};

static inline void wf_profit_enter_(struct wf_profit *profit, enum wf_profit_state state,
                                    uint64_t works, int64_t now_ns)
{
    profit->state = state;
    profit->since_ns = now_ns;
    profit->works = works;
}

/* Does it have to know how many works have been run? That costs a line of each worker. */
static inline bool wf_profit_is_due(const struct wf_profit *profit, int64_t now_ns)
{
    static const int64_t last_ns[] = {WF_PROFIT_SETTLE_NS, WF_PROFIT_ALONE_NS, WF_PROFIT_TRIAL_NS,
                                      WF_PROFIT_HOLD_NS, WF_PROFIT_HOLD_NS};
    return profit->since_ns == 0 || now_ns - profit->since_ns >= last_ns[profit->state];
}

/* The state is over: all workers together have run `works`. */
static inline void wf_profit_step(struct wf_profit *profit, uint64_t works, int64_t now_ns)
{
    int64_t took_ns = now_ns - profit->since_ns;
    uint64_t done = works - profit->works;
    bool fresh = profit->since_ns != 0 && took_ns < WF_PROFIT_STALE_NS && done != 0;
    enum wf_profit_state next = WF_PROFIT_SETTLE;
    if (profit->state == WF_PROFIT_SETTLE && profit->since_ns != 0) {
        next = WF_PROFIT_ALONE;
    } else if (profit->state == WF_PROFIT_ALONE && fresh) {
        profit->alone_ns = took_ns;
        profit->alone_works = done;
        next = WF_PROFIT_TRIAL;
    } else if (profit->state == WF_PROFIT_TRIAL && fresh) {
        /* a sixteenth more: owners tell of up to 7 works late. No overflow: a work takes 1 ns at least */
        bool gain =
            16 * done * (uint64_t)profit->alone_ns > 17 * profit->alone_works * (uint64_t)took_ns;
        next = gain ? WF_PROFIT_KEEP : WF_PROFIT_LEAVE;
    }
    wf_profit_enter_(profit, next, works, now_ns);
}

/* Until when nobody should look at the owner: each look takes a line from him, and he is to work alone. */
static inline int64_t wf_profit_quiet_until_ns(const struct wf_profit *profit)
{
    return profit->state == WF_PROFIT_SETTLE  ? profit->since_ns + WF_PROFIT_SETTLE_NS
           : profit->state == WF_PROFIT_ALONE ? profit->since_ns + WF_PROFIT_ALONE_NS
                                              : 0;
}

static inline bool wf_profit_may_share(const struct wf_profit *profit)
{
    return profit->state == WF_PROFIT_TRIAL || profit->state == WF_PROFIT_KEEP;
}

#endif
