/* patience.h: does it pay to wait for the driver awake, instead of asleep?
 *
 * A worker that sleeps is 20 to 30 us late for what arrives, and waking it costs the sender 8 to 10
 * us (an idle processor halts). So where a request comes soon after the last answer, it is cheaper
 * to go on looking at the driver for as long as a wake takes. Where it does not, the look burns the
 * processor for nothing, and may keep from it the very one that is waited for. So a worker
 * remembers what became of its last waits (docs/adr/0030).
 *
 * Terms. *idle time*: begins when a worker has nothing to run, and ends when the driver hands it
 * something; one that ends by other means says nothing. *short*: a look of `most_ns`
 * (WF_PATIENCE_NS, if nobody has said otherwise) would have met its end. *credit*: while it is not
 * negative, there is patience for such a look. *crowd*: how many operations were begun while
 * another was under way; of those that ended lately, the one for which it was most. So it says how
 * many are served at once, whoever else is connected and silent. (One that was silent for long and
 * then speaks counts all that was begun meanwhile: for up to WF_CROWD_MAX idle times it is taken
 * for a crowd.)
 *
 *      what became of an idle time           credit
 *      a look met its end                    +1, up to WF_CREDIT_MAX; debts become small again
 *      a look did not                        half of it; if nothing is left, -debt; debts double
 *      slept without a look, it was short    +1, up to 0
 *      slept without a look, it was long     -WF_DEBT_MIN or what it was, if that is less
 *      it was WF_PATIENCE_OVER_NS or longer  the same
 *
 * Owner: the worker; nobody else looks.
 *
 * G.1  Nobody looks at the begin of an idle time after two of WF_PATIENCE_OVER_NS, or after four
 *      that were not short. So a silent pool stays silent, and who serves a request now and then
 *      does not spin.
 * G.2  Nobody looks while it serves a crowd: each of them waits for the others, not for our waking
 *      up, and a look burns the time in which the next ones gather to be done in one go (a
 *      connection for each request, 64 at a time: 1.42 times the processor of a bare ring, 1.14
 *      without looks).
 * G.3  Where looks are in vain although the times are short, since whoever is waited for needs this
 *      processor, there is one look in WF_DEBT_MAX times in the end. */
#ifndef WF_PATIENCE_H
#define WF_PATIENCE_H

#include <stdbool.h>
#include <stdint.h>

/* What a wake costs both sides: so a look costs at most as much as the sleep that it was to
 * save. */
#define WF_PATIENCE_NS INT64_C(50000)
/* A time that was slept through is longer by the lateness of the sleeper. */
#define WF_PATIENCE_LATE_NS 25000
/* So many are few. Two operations make a request, so eight peers that take turns. */
#define WF_CROWD_FEW 16
/* How long a crowd is remembered: at each idle time it is taken for one less. 256: a peer that
 * opens 64 connections, and then closes them, is a crowd all the time. */
#define WF_CROWD_MAX 256
/* A break: what came before it says nothing about what comes after it. */
#define WF_PATIENCE_OVER_NS INT64_C(1000000)

#define WF_CREDIT_MAX 8   /* three looks in vain, among many that are not, end no patience */
#define WF_DEBT_MIN   4   /* one short time may be chance */
#define WF_DEBT_MAX   256 /* 50 us in 256 times: 0.2 us for each */

struct wf_patience {
    int32_t credit;
    int32_t debt;    /* the next */
    uint32_t crowd;  /* up to WF_CROWD_MAX */
    int64_t most_ns; /* immutable; how long a look may be. 0: there is never patience for one */
};

static inline void wf_patience_init(struct wf_patience *patience, int64_t most_ns)
{
    *patience =
        (struct wf_patience){.credit = -WF_DEBT_MIN, .debt = WF_DEBT_MIN, .most_ns = most_ns};
}

static inline bool wf_patience_is_crowded(const struct wf_patience *patience)
{
    return patience->crowd > WF_CROWD_FEW;
}

static inline bool wf_patience_has(const struct wf_patience *patience)
{
    return patience->credit >= 0 && !wf_patience_is_crowded(patience);
}

/* An operation has ended; `others` were begun meanwhile. */
static inline void wf_patience_heard(struct wf_patience *patience, uint32_t others)
{
    if (others > patience->crowd) {
        patience->crowd = others < WF_CROWD_MAX ? others : WF_CROWD_MAX;
    }
}

/* An idle time begins. */
static inline void wf_patience_idle(struct wf_patience *patience)
{
    patience->crowd -= patience->crowd > 0;
}

/* Looking, for however long, has met the end. */
static inline void wf_patience_met(struct wf_patience *patience)
{
    if (patience->most_ns == 0) {
        return;
    }
    patience->credit += patience->credit < WF_CREDIT_MAX;
    patience->debt = WF_DEBT_MIN;
}

/* Has looked for `most_ns`, in vain. Sleeps now. */
static inline void wf_patience_missed(struct wf_patience *patience)
{
    patience->credit /= 2;
    if (patience->credit == 0) {
        patience->credit = -patience->debt;
        patience->debt = patience->debt < WF_DEBT_MAX ? 2 * patience->debt : WF_DEBT_MAX;
    }
}

/* Has slept, and the idle time was so long in all. */
static inline void wf_patience_slept(struct wf_patience *patience, int64_t idle_ns)
{
    if (patience->most_ns == 0) {
        return;
    }
    bool looked = wf_patience_has(patience); /* and it was counted */
    if (idle_ns >= (looked ? WF_PATIENCE_OVER_NS : patience->most_ns + WF_PATIENCE_LATE_NS)) {
        patience->credit = patience->credit < -WF_DEBT_MIN ? patience->credit : -WF_DEBT_MIN;
    } else if (patience->credit < 0) {
        patience->credit++;
    }
}

#endif
