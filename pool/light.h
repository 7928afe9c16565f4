/* light.h: what a worker that has nothing to do leaves to its owner all the same, because it costs
 * more to move than to run. For search.c, sleep.c and ready.c, src/fork.c, whose sections L.5 is
 * about, and pool.c, where workers begin.
 *
 * Why. Four to six lines go from core to core with a work that is stolen, and both workers wait for
 * them: 0.3 us where a line takes 40 ns, 0.8 where it takes 155. A thief cannot know how long a
 * work takes, but it sees how fast its owner gets on.
 *
 * Terms. *pace*: how many works an owner has put into its queues or taken out of them. *slow*: an
 * owner who needs, for each of these, as long as a steal costs, or longer. *light*: work of an
 * owner who is not slow. *to stand still*: to put and to take nothing, in one long work. *taker*:
 * the worker that took from the injection queue last; what lies there is taken for its own.
 *
 * The policy.
 * L.1  Light work is left alone, be it in a deque, in a FIFO, or, while its taker is awake, in the
 *      injection queue.
 *      What a steal costs depends on what it moves: least for nodes, more for new tasks, most for
 *      what has a stack: a fiber that is ready, or a new task of an owner whose tasks, as a thief
 *      has found out by taking one, suspend at once. An owner who has slept a moment ago is helped
 *      with ready fibers only if they are long.
 * L.2  A slow owner is helped if the oldest of what he has would have to wait: because he has so
 *      much besides it, or stands still. What he puts to take it at once is left to him, and so are
 *      the last few of a small scope, whose end would wait for the thief.
 *      How slow an owner is, is told by times in which nobody stole from him: a thief makes him
 *      slow, and each steal would be a reason for the next.
 * L.3  But not for ever: the oldest work of a queue is taken when it has been there for
 *      WF_STEAL_OLD_NS, as it may be a long one below a stream of short ones. (The taker looks
 *      where it has taken, when it parks.)
 * L.4  Who found light work only, or somebody who has got on with new tasks, or was woken for
 *      something that had been done before it came, or parks while timers come thick and fast,
 *      *watches*: it sleeps, parked, for a while and looks again. One does so, others sleep until
 *      they are woken; but for those with such timers of their own, who are up soon anyway. While
 *      somebody watches, nobody is woken for what a worker puts into its own queues, nor, unless
 *      the watch is a long one because of timers, for what comes from outside while its taker runs.
 *      When all are parked there is no light work, and nobody watches but for timers: an idle pool
 *      is silent.
 *
 * L.4 loses nothing: the watcher's sleep is bounded, and before it runs a work, or sleeps until it
 * is woken, it ends its watch, and looks for light work that is left: watchers.h has the argument.
 * While it looks between two sleeps it is counted on, too. The taker needs no waker, since it looks
 * when it parks.
 *
 * L.5  A section that was given because a thief asked, and took less than WF_GIVEN_NS, was not
 *      worth the steal. After two in a row their owner is *short*, until one takes longer, or he
 *      does not answer. What a short owner gives is as light work until it, or what was there
 *      before it and went to thieves, has been public for WF_GIVEN_NS. While thieves are awake it
 *      shows them as many as they are, and hides the rest. If it answered, but with nothing that
 *      stayed, it is *spared* while the thief sleeps: it is not asked, and hides all that it
 *      forks.
 *      Who did not answer, and hides something, may be in something long: then he is not taken
 *      for short for WF_DOUBT_MIN_NS and longer, each time for twice as long.
 *
 * L.5 loses nothing either: who has left an owner alone watches, or searches; and who is the last
 * to search, and finds something else, asks all owners for those that sleep.
 *
 * What thieves have seen is kept with the owner, for all of them: each knows at once what another
 * has found out.
 *
 * Roads not taken. A second, higher threshold for tasks while a thief is at it, judged after a
 * trial of 5 us, an owner spared for 0.2 ms after that, and several watches for one wake in vain:
 * measured while stacks came back in any order, and since then worse or no better than none of it
 * (docs/adr/0046). */
#ifndef WF_LIGHT_H
#define WF_LIGHT_H

#include "pool/base/sys.h"
#include "pool/pool.h"

/* Slow at tasks. With two workers, and 4,000 tasks in a scope, those of 300 ns and less are as fast
 * as on one, and those of 400 gain a sixth. */
#define WF_STEAL_TASK_NS INT64_C(450)
/* At works that are cheap to move, nodes of a graph: each of five patterns gains from 100 to 200 ns
 * a node on; with less, nodes of 15 ns are slower on two workers than on one (docs/adr/0037). */
#define WF_STEAL_CHEAP_NS INT64_C(100)
/* At what is ready in a FIFO. Longer than a hand-off between two fibers of one worker, 0.1 us,
 * whose data would have to move after them, and than a turn of 128 calls that do not wait, at 5 to
 * 30 ns each. */
#define WF_STEAL_READY_NS INT64_C(4000)
/* At what comes from outside, most of which has no stack yet. */
#define WF_STEAL_OUTSIDE_NS INT64_C(2000)
/* At what is ready in the FIFO of an owner who was asleep less than WF_RESTED_NS ago: he has time
 * for what he has, so that a steal makes nothing faster but that burst. Of a fiber that is cold it
 * costs 2 us, with what it shares with those that stay: a list, a lock (docs/adr/0045). */
#define WF_STEAL_RESTED_NS INT64_C(6000)
#define WF_RESTED_NS       INT64_C(1000000)
/* The oldest task of a slow owner is taken if those that he runs before it take so long; or if he
 * stands still for WF_PACE_NS. A scope whose tasks take less in all is not faster by a steal, for
 * its end waits for the thief (docs/adr/0051). */
#define WF_STEAL_WAIT_NS INT64_C(3500)
/* The same for a thief that has just taken one: it has the lines of the scope by now. */
#define WF_STEAL_ON_NS INT64_C(1500)
/* For so long a task that was stolen, and suspended at once, says that others of its owner do. They
 * are taken for what is ready: a stack and its timer, or what else it waits on, are on the other
 * worker then, and their end comes back. (Of 100,000 tasks that sleep each of 3,000 that were
 * stolen cost 7 us: docs/adr/0045.) */
#define WF_WAITS_NS INT64_C(1000000)
/* A pace is taken over so long at least, and holds for so long. In less, what an owner does between
 * its works looks like slow work (a graph is prepared in 1 us), and what is stolen for it makes it
 * slow indeed, so that the thief goes on. */
#define WF_PACE_NS INT64_C(3000)
/* Longer than this no pace is taken over, for the owner may have been idle, unless it was slow
 * before. */
#define WF_SIGHT_NS INT64_C(10000)
/* For so long an owner is believed to be as slow as it was, though nothing can be told meanwhile:
 * it has nothing queued at some look, as between two scopes, or a thief is at it, which makes it
 * slow. Each time that it is found to be slow makes the next belief twice as long; to be quick,
 * short. Of nodes that take less than WF_STEAL_TASK_NS nothing is believed, nor doubted: their
 * bursts are short (docs/adr/0054). */
#define WF_BELIEF_MIN_NS INT64_C(5000)
#define WF_BELIEF_MAX_NS INT64_C(1000000)
/* Longer than a full deque, or 1,000 fibers that yield, take to come round; an owner that awaits
 * each task at once never comes to the oldest (docs/adr/0054). */
#define WF_STEAL_OLD_NS INT64_C(1000000)
/* Between two looks at light work. Each takes a line from its owner, who then waits for it (0.1
 * us). */
#define WF_LOOK_NS INT64_C(1000)
/* A search that finds light work only, and the shortest of all: long enough to take a pace. What
 * comes later the watch will see. In a crowd of timers, where who parks watches in any case, one
 * that finds nothing is shorter, and who has no peers does not search. */
#define WF_SEARCH_MIN_NS   (WF_PACE_NS + WF_LOOK_NS)
#define WF_SEARCH_CROWD_NS INT64_C(1000)
/* A watch; each that comes to nothing makes the next twice as long. So late at most is light work
 * shared that becomes heavy. */
#define WF_WATCH_MIN_NS INT64_C(50000)
#define WF_WATCH_MAX_NS INT64_C(200000)
/* One while timers come thick and fast (struct wf_crowd): that is a light load every 0.5 ms, and a
 * watch costs 10 us. So late is shared, then, what a worker makes ready and computes beside. */
#define WF_WATCH_CROWD_NS INT64_C(2000000)
/* What was stolen and took this long, with what came of it, was worth to be watched for: the next
 * watch is a short one. With watches of 200 us only, the nodes of a graph that pay are a tenth to a
 * third larger. */
#define WF_LONG_NS INT64_C(5000)

/* Longer than a section of a tree of ns that comes again and again; beside 1 us that a steal and
 * the join that waits for it take. */
#define WF_GIVEN_NS INT64_C(3000)
/* For so long an owner is not taken for short that hid something long. */
#define WF_DOUBT_MIN_NS INT64_C(10000000)
#define WF_DOUBT_MAX_NS INT64_C(1000000000)

/* How far an owner is. */
struct wf_pace {
    uint32_t deque;  /* works put into it, and taken out of it */
    uint32_t bottom; /* works put into it less those taken; and sections */
    uint32_t fifo;   /* works put into it, and taken out of it */
};

/* How long did the owner need for each, who has got on from `seen` to `pace` in `ns`? Between
 * *low_ns and *high_ns: many that are put, one after the other, do not tell how long they are; nor
 * does one, when the window is about as long as it. */
static inline void wf_light_measure(struct wf_sighting *seen, struct wf_pace pace, int64_t ns,
                                    int64_t *low_ns, int64_t *high_ns)
{
    /* relaxed, all: see wf_sighting */
    uint32_t moved = pace.deque - wf_load_relaxed(&seen->deque);
    int32_t more = (int32_t)(pace.bottom - wf_load_relaxed(&seen->bottom));
    /* sections are not counted, and move `bottom` when they become public, or are joined */
    more = more > (int32_t)moved ? (int32_t)moved : more < -(int32_t)moved ? -(int32_t)moved : more;
    uint32_t other = (pace.fifo - wf_load_relaxed(&seen->fifo)) / 2;
    uint32_t puts = (moved + (uint32_t)more) / 2 + other;
    uint32_t takes = (moved - (uint32_t)more) / 2 + other;
    uint32_t most = puts > takes ? puts : takes;
    *low_ns = ns / ((int64_t)most + 1); /* it has begun another */
    *high_ns = takes == 0 ? INT64_MAX : ns / takes;
}

/* A look at an owner that has done `pace` by now. How long its works take is found over WF_PACE_NS
 * or longer, and if `long_ns` is right for them. That they are slow is believed only if something
 * was queued at each look, else the owner may have done something between them; and if nobody stole
 * meanwhile. */
static inline void wf_light_look(struct wf_sighting *seen, struct wf_pace pace, bool has_queued,
                                 int64_t long_ns, int64_t now_ns)
{
    /* relaxed, all: see wf_sighting */
    if (wf_load_relaxed(&seen->last) != pace.deque + pace.fifo) {
        wf_store_relaxed(&seen->last, pace.deque + pace.fifo);
        wf_store_relaxed(&seen->still_ns, now_ns);
    }
    int64_t seen_ns = now_ns - wf_load_relaxed(&seen->since_ns);
    bool was_empty = wf_load_relaxed(&seen->was_empty);
    if (seen_ns < WF_PACE_NS) {
        if (!has_queued && !was_empty) {
            wf_store_relaxed(&seen->was_empty, true);
        }
        return;
    }
    int64_t low_ns, high_ns, each_ns = wf_load_relaxed(&seen->each_ns);
    int64_t believed_ns = wf_load_relaxed(&seen->believed_ns);
    bool is_short = long_ns < WF_STEAL_TASK_NS; /* a node: see WF_BELIEF_MIN_NS */
    bool was_helped = wf_load_relaxed(&seen->was_helped);
    wf_light_measure(seen, pace, seen_ns, &low_ns, &high_ns);
    if (low_ns == seen_ns && has_queued && seen_ns < WF_SIGHT_NS) {
        return; /* a long one: how long? */
    }
    if (high_ns < long_ns) {
        wf_store_relaxed(&seen->each_ns, high_ns);
        wf_store_relaxed(&seen->believed_ns, 0);
    } else if (low_ns >= long_ns && has_queued && !was_empty && !was_helped &&
               (low_ns == seen_ns || seen_ns < WF_SIGHT_NS || each_ns >= long_ns)) {
        /* once, it may be a pause that the machine made, or a page that is new */
        bool was_quick = each_ns > 0 && each_ns < long_ns;
        wf_store_relaxed(&seen->each_ns, was_quick && !is_short ? 0 : low_ns);
        wf_store_relaxed(&seen->slow_ns, now_ns);
        believed_ns = believed_ns < WF_BELIEF_MIN_NS / 2 ? WF_BELIEF_MIN_NS : 2 * believed_ns;
        wf_store_relaxed(&seen->believed_ns,
                         believed_ns < WF_BELIEF_MAX_NS ? believed_ns : WF_BELIEF_MAX_NS);
    } else if (each_ns < WF_STEAL_TASK_NS ||
               now_ns - wf_load_relaxed(&seen->slow_ns) >= believed_ns) {
        wf_store_relaxed(&seen->each_ns, 0);
    }
    wf_store_relaxed(&seen->deque, pace.deque);
    wf_store_relaxed(&seen->bottom, pace.bottom);
    wf_store_relaxed(&seen->fifo, pace.fifo);
    wf_store_relaxed(&seen->since_ns, now_ns);
    wf_store_relaxed(&seen->was_empty, !has_queued);
    wf_store_relaxed(&seen->was_helped, false);
}

/* Is the owner slow, and has the oldest of `count` works to wait for at least `wait_ns`, because of
 * those before it, or because the owner has stood still for `still_ns`? If he `is_busy`, half of
 * what he is in comes before it, too. */
static inline bool wf_light_is_slow(struct wf_sighting *seen, uint64_t count, bool is_busy,
                                    int64_t long_ns, int64_t wait_ns, int64_t still_ns,
                                    int64_t now_ns)
{
    /* relaxed, both: see wf_sighting */
    int64_t each_ns = wf_load_relaxed(&seen->each_ns);
    int64_t halves = 2 * (int64_t)(count - 1) + is_busy;
    return now_ns - wf_load_relaxed(&seen->still_ns) >= still_ns ||
           (each_ns >= long_ns && halves * each_ns >= 2 * wait_ns);
}

/* One for both queues: who resumes fibers is not slow because its deque stands still meanwhile.
 * (100 tasks that wait, and then go on: when the owner came to the next 100 it seemed to have done
 * a few works in 8 us, and of those up to a tenth was stolen.) */
static inline struct wf_pace wf_light_pace(struct wf_worker *owner)
{
    /* relaxed, all: a guess */
    return (struct wf_pace){.deque = wf_load_relaxed(&owner->deque.pace),
                            .bottom = (uint32_t)wf_load_relaxed(&owner->deque.bottom),
                            .fifo = (uint32_t)wf_load_relaxed(&owner->runq.head) +
                                    (uint32_t)wf_load_relaxed(&owner->runq.tail)};
}

/* A new task of that owner was stolen, and suspended at once. */
static inline void wf_light_note_waits(struct wf_worker *victim, int64_t now_ns)
{
    wf_store_relaxed(&victim->waits_ns, now_ns); /* relaxed: a guess */
}

/* Has the oldest work of a queue been there for too long? */
static inline bool wf_light_is_old(struct wf_age *age, uint64_t oldest, int64_t now_ns)
{
    /* relaxed, all: see wf_age */
    if (wf_load_relaxed(&age->oldest) != oldest) {
        wf_store_relaxed(&age->oldest, oldest);
        wf_store_relaxed(&age->since_ns, now_ns);
        return false;
    }
    return now_ns - wf_load_relaxed(&age->since_ns) >= WF_STEAL_OLD_NS;
}

/* --- sections --------------------------------------------------------------------------------- */

/* A section that was stolen `took_ns` ago, and had been given, has ended. */
static inline void wf_light_note_section(struct wf_worker *victim, int64_t took_ns, int64_t now_ns)
{
    struct wf_giving *giving = &victim->giving;
    /* relaxed, all: a guess */
    bool was_short = took_ns < WF_GIVEN_NS;
    bool is_short = was_short && wf_load_relaxed(&giving->was_short) &&
                    now_ns >= wf_load_relaxed(&giving->doubted_ns);
    wf_store_relaxed(&giving->was_short, was_short);
    wf_store_relaxed(&giving->is_short, is_short);
}

/* A searching thief: may it ask that owner? */
static inline bool wf_light_may_ask(struct wf_worker *thief, struct wf_worker *victim,
                                    int64_t now_ns)
{
    struct wf_giving *giving = &victim->giving;
    int64_t spared_ns = wf_load_relaxed(&giving->spared_ns); /* relaxed, all: a guess */
    if (wf_likely(spared_ns == 0)) {
        return true;
    }
    thief->saw_light = true;
    if (now_ns < spared_ns) {
        return false;
    }
    wf_store_relaxed(&giving->spared_ns, 0);
    return true;
}

/* Has that owner, who was asked and has not answered, something hidden on the stack that it was on?
 * A guess, from the frames that lie highest, as they are just now. */
static inline bool wf_light_hides(struct wf_worker *owner)
{
    uint64_t stack = wf_load_relaxed(&owner->deque.asked_stack); /* relaxed: likewise */
    if (stack == 0) {
        return false;
    }
    uintptr_t high = (uintptr_t)wf_fiber_top(wf_fiber_in_slot((uintptr_t)stack * WF_STACK_BYTES));
    return wf_section_below_(high - WF_DEQUE_LEFT_BYTES, high) != NULL;
}

/* A thief that has found nothing and is about to sleep: must it ask that owner once more? If not,
 * the owner is spared, for as long as a watch lasts. */
static inline bool wf_light_must_ask(struct wf_worker *thief, struct wf_worker *victim,
                                     int64_t now_ns)
{
    struct wf_giving *giving = &victim->giving;
    /* relaxed, all: a guess */
    if (wf_load_relaxed(&giving->spared_ns) != 0) {
        return false;
    }
    int64_t doubt_ns = wf_load_relaxed(&giving->doubt_ns);
    if (wf_deque_is_asked(&victim->deque)) {
        wf_store_relaxed(&giving->is_short, false);
        if (now_ns >= wf_load_relaxed(&giving->doubted_ns) && wf_light_hides(victim)) {
            doubt_ns = doubt_ns > WF_DOUBT_MIN_NS ? doubt_ns : WF_DOUBT_MIN_NS;
            wf_store_relaxed(&giving->doubted_ns, now_ns + doubt_ns);
            doubt_ns = 2 * doubt_ns < WF_DOUBT_MAX_NS ? 2 * doubt_ns : WF_DOUBT_MAX_NS;
            wf_store_relaxed(&giving->doubt_ns, doubt_ns);
        }
        return true;
    }
    if (!thief->saw_light || !wf_load_relaxed(&giving->is_short)) {
        return true;
    }
    wf_store_relaxed(&giving->doubt_ns, doubt_ns - doubt_ns / 64);
    wf_store_relaxed(&giving->spared_ns, now_ns + thief->watch_ns);
    return false;
}

/* The owner, at a fork: how many want something public? */
static inline uint32_t wf_light_wanted(struct wf_worker *owner)
{
    struct wf_giving *giving = &owner->giving;
    int idle = wf_pool_idle(owner);
    if (idle <= 0) {
        return 0;
    }
    if (!wf_load_relaxed(&giving->is_short)) { /* relaxed, both: a guess */
        return WF_WANT_ALL;
    }
    int64_t spared_ns = wf_load_relaxed(&giving->spared_ns);
    if (spared_ns != 0 && wf_sys.now_ns() < spared_ns) {
        return 0;
    }
    return idle > wf_park_awake(&owner->pool->park) ? WF_WANT_ALL : (uint32_t)idle;
}

/* May the oldest, at `top`, be taken as far as it is a section that was given? */
static inline bool wf_light_may_steal_given(struct wf_worker *victim, uint64_t top, int64_t now_ns)
{
    struct wf_giving *giving = &victim->giving;
    struct wf_age *age = &giving->age;
    /* relaxed, all: a guess */
    if (!wf_load_relaxed(&giving->is_short) || top >= wf_load_relaxed(&victim->deque.given)) {
        return true;
    }
    if (wf_load_relaxed(&age->oldest) != top) {
        wf_store_relaxed(&age->oldest, top);
        wf_store_relaxed(&age->since_ns, now_ns);
        return false;
    }
    return now_ns - wf_load_relaxed(&age->since_ns) >= WF_GIVEN_NS;
}

/* May a thief take the oldest of the victim's deque? What an owner puts there and takes again, so
 * quickly that each look finds the deque empty, is light work too. */
static inline bool wf_light_may_steal_new(struct wf_worker *thief, struct wf_worker *victim,
                                          int64_t now_ns)
{
    struct wf_deque *deque = &victim->deque;
    struct wf_sighting *seen = &victim->seen;
    struct wf_pace pace = wf_light_pace(victim);
    bool cheap = wf_deque_is_cheap(deque, pace.deque);
    /* Relaxed, all: a guess; the steal has the orders. */
    bool waits = !cheap && now_ns - wf_load_relaxed(&victim->waits_ns) < WF_WAITS_NS;
    int64_t long_ns = cheap ? WF_STEAL_CHEAP_NS : waits ? WF_STEAL_READY_NS : WF_STEAL_TASK_NS;
    int64_t wait_ns = cheap ? 0 : thief->flows ? WF_STEAL_ON_NS : WF_STEAL_WAIT_NS;
    uint64_t count = wf_deque_len(deque);
    if (count != 0 || pace.deque != wf_load_relaxed(&seen->deque)) {
        thief->saw_light = true;
    }
    wf_light_look(seen, pace, count != 0 || wf_runq_len(&victim->runq) != 0, long_ns, now_ns);
    if (count == 0) {
        return false;
    }
    uint64_t top = wf_load_relaxed(&deque->top);
    bool is_old = wf_light_is_old(&victim->age_new, top, now_ns);
    return (is_old || wf_light_is_slow(seen, count, thief->flows, long_ns, wait_ns,
                                       long_ns > WF_PACE_NS ? long_ns : WF_PACE_NS, now_ns)) &&
           wf_light_may_steal_given(victim, top, now_ns);
}

/* May it take half of its FIFO? */
static inline bool wf_light_may_steal_ready(struct wf_worker *thief, struct wf_worker *victim,
                                            int64_t now_ns)
{
    uint32_t count = wf_runq_len(&victim->runq);
    if (count == 0) {
        return false;
    }
    thief->saw_light = true;
    /* relaxed, both: as above */
    bool rested = now_ns - wf_load_relaxed(&victim->up_ns) < WF_RESTED_NS;
    int64_t long_ns = rested ? WF_STEAL_RESTED_NS : WF_STEAL_READY_NS;
    wf_light_look(&victim->seen, wf_light_pace(victim), true, long_ns, now_ns);
    return wf_light_is_old(&victim->age_ready, wf_load_relaxed(&victim->runq.head), now_ns) ||
           wf_light_is_slow(&victim->seen, count, false, long_ns, 1, long_ns, now_ns);
}

/* The thief has just taken something there, which makes the owner slower for a while. Shall it look
 * for more, for longer and for less? */
static inline void wf_light_note_steal(struct wf_worker *thief, struct wf_worker *victim,
                                       int64_t now_ns)
{
    struct wf_sighting *seen = &victim->seen;
    /* relaxed, all: a guess */
    bool cheap = wf_deque_is_cheap(&victim->deque, wf_load_relaxed(&victim->deque.pace));
    if (!cheap) {
        wf_store_relaxed(&seen->was_helped, true);
    }
    thief->flows = wf_load_relaxed(&seen->each_ns) >= WF_STEAL_TASK_NS ||
                   (!cheap && now_ns - wf_load_relaxed(&seen->still_ns) >= WF_PACE_NS);
}

/* Is the taker about to come back to the injection queue? */
static inline bool wf_light_taker_runs(struct wf_pool *pool)
{
    /* relaxed: the caller's fence orders it */
    return wf_park_state(&pool->park, wf_load_relaxed(&pool->taker)) == WF_PARK_RUNNING;
}

/* Is what comes from outside another's, who gets on with it? */
static inline bool wf_light_is_attended(struct wf_worker *thief, int64_t now_ns)
{
    struct wf_pool *pool = thief->pool;
    struct wf_worker *taker = &pool->workers[wf_load_relaxed(&pool->taker)]; /* relaxed: a guess */
    if (taker == thief || !wf_light_taker_runs(pool)) {
        return false;
    }
    /* of all that it runs; relaxed: as above */
    struct wf_pace pace = {.fifo = 2 * (uint32_t)wf_load_relaxed(&taker->counters.runs)};
    wf_light_look(&taker->seen_run, pace, true, WF_STEAL_OUTSIDE_NS, now_ns);
    if (wf_light_is_slow(&taker->seen_run, 1, true, WF_STEAL_OUTSIDE_NS, 0, WF_STEAL_OUTSIDE_NS,
                         now_ns)) {
        return false;
    }
    thief->saw_light = true;
    return true;
}

/* Have others taken `count` works from the injection queue in `ns`, faster than a steal would pay?
 * Then there is light work, even if each look finds the queue empty. */
static inline void wf_light_note_stream(struct wf_worker *thief, uint64_t count, int64_t ns)
{
    struct wf_pool *pool = thief->pool;
    if (ns >= WF_PACE_NS && count * WF_STEAL_OUTSIDE_NS >= (uint64_t)ns &&
        wf_load_relaxed(&pool->taker) != (int32_t)thief->index && /* relaxed: a guess */
        wf_light_taker_runs(pool)) {
        thief->saw_light = true;
    }
}

#endif
