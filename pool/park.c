/* park.c: the transitions of park.h. Read its essay first; the comments here only say which step a
 * line is. */
#include "pool/park.h"

#include <errno.h>
#include <string.h>

int wf_park_init(struct wf_park *park, int workers)
{
    if (workers < 1 || workers > WF_WORKERS_MAX) {
        return -EINVAL;
    }
    memset(park, 0, sizeof *park);
    park->workers = workers;
    park->words = (workers + 63) / 64;
    park->groups = workers > WF_PARK_GROUP ? (workers + WF_PARK_GROUP - 1) / WF_PARK_GROUP : 0;
    for (int i = 0; i < workers; i++) {
        int group = i / WF_PARK_GROUP;
        struct wf_park_worker *worker = &park->states[i];
        worker->count = park->groups == 0 ? &park->all : &park->group[group].count;
        for (int j = group * WF_PARK_GROUP; j < (group + 1) * WF_PARK_GROUP && j < workers; j++) {
            worker->bits |= UINT64_C(1) << (j % 64);
        }
    }
    return 0;
}

static struct wf_park_worker *state_of(struct wf_park *park, int worker)
{
    wf_check_inner(worker >= 0 && worker < park->workers);
    return &park->states[worker];
}

/* The lowest worker >= from whose bit is set; -1 when there is none. */
static int next_bit(struct wf_park *park, int from)
{
    for (int i = from / 64; i < park->words; i++) {
        /* relaxed: ordered by the caller's fence */
        uint64_t word = wf_load_relaxed(&park->parked[i]);
        if (i == from / 64) {
            word &= ~UINT64_C(0) << (from % 64);
        }
        if (word != 0) {
            return i * 64 + __builtin_ctzll(word);
        }
    }
    return -1;
}

/* The lowest worker >= from that is PARKED; -1 when there is none. Others may have their bits set
 * and be awake soon. */
static int next_parked(struct wf_park *park, int from)
{
    for (int i = next_bit(park, from); i >= 0 && i < WF_WORKERS_MAX; i = next_bit(park, i + 1)) {
        if (wf_load_relaxed(&park->states[i].state) == WF_PARK_PARKED) { /* relaxed: as the bits */
            return i;
        }
        if (i + 1 == WF_WORKERS_MAX) {
            break;
        }
    }
    return -1;
}

static bool claim(struct wf_park *park, int worker, enum wf_park_state to)
{
    uint32_t expected = WF_PARK_PARKED;
    /* sync(park.claimed): release, the worker subtracts from the count only after we added to it;
     * pairs sync(park.retract) */
    return wf_cas_release(&park->states[worker].state, &expected, to);
}

/* Does a group search, of several? Who asks knows of his own. */
WF_INLINE bool is_left_to_others(struct wf_park *park)
{
    return park->groups != 0 && wf_park_searches(park);
}

/* Does somebody search in the group of `first`, of several? The lowest worker whose bit is set is
 * mostly the one that was woken last, or sleeps beside it: so this answers where a worker has been
 * woken and work goes on to be submitted, with one line beside the bitmap's, and without those of
 * the states. */
WF_INLINE bool is_searched_near(struct wf_park *park, int first)
{
    return park->groups != 0 &&
           wf_load_relaxed(&park->group[first / WF_PARK_GROUP].count.searching) != 0;
}

/* Step 3 of a submitter, and again step 2 when it has to start over. The bitmap comes first: when
 * nobody sleeps, the counts of other groups stay where they are. Ends: each turn but the last needs
 * a worker that was PARKED when we looked, and awake or claimed by a sender when we came to claim
 * it. */
static int pick_parked(struct wf_park *park)
{
    for (;;) {
        /* Relaxed, all of it: ordered by the fence before, sync(park.submit). */
        int worker = next_bit(park, 0);
        if (worker < 0 || is_searched_near(park, worker)) {
            return -1;
        }
        worker = next_parked(park, worker);
        if (worker < 0) {
            return -1;
        }
        struct wf_park_count *count = park->states[worker].count;
        if (wf_load_relaxed(&count->searching) != 0 || is_left_to_others(park)) {
            return -1;
        }
        uint32_t nobody = 0;
        if (!wf_cas_relaxed(&count->searching, &nobody, 1)) {
            return -1;
        }
        /* Counted in on behalf of the worker that we now claim, in its group. */
        for (; worker >= 0 && park->states[worker].count == count;
             worker = next_parked(park, worker + 1)) {
            if (claim(park, worker, WF_PARK_NOTIFIED)) {
                return worker;
            }
        }
        if (wf_sub_relaxed(&count->searching, 1) != 1) {
            return -1; /* others search by now */
        }
        /* sync(park.undo): seq_cst, as sync(park.submit), for those who saw our count; pairs
         * sync(park.announce) */
        wf_fence_seq_cst();
    }
}

int wf_park_pick_fenced(struct wf_park *park)
{
    /* relaxed: ordered by the caller's fence. Of a pool of more than one group it is 0 */
    return wf_likely(wf_load_relaxed(&park->all.searching) != 0) ? -1 : pick_parked(park);
}

int wf_park_pick(struct wf_park *park)
{
    /* sync(park.submit): seq_cst, the work is visible before we look who sleeps; pairs
     * sync(park.announce), sync(park.leave) */
    wf_fence_seq_cst();
    return wf_park_pick_fenced(park);
}

bool wf_park_claim(struct wf_park *park, int worker)
{
    wf_check_inner(worker >= 0 && worker < park->workers);
    /* sync(park.send): seq_cst, the message is visible before we look whether it sleeps; pairs
     * sync(park.announce) */
    wf_fence_seq_cst();
    return claim(park, worker, WF_PARK_CALLED);
}

bool wf_park_search(struct wf_park *park, int self)
{
    struct wf_park_worker *me = state_of(park, self);
    if (wf_load_relaxed(&me->state) == WF_PARK_SEARCHING) { /* relaxed: our own state */
        return true;
    }
    wf_check_inner(wf_load_relaxed(&me->state) == WF_PARK_RUNNING);
    /* relaxed, both: a limit that a few may pass is as good */
    uint32_t searching = wf_load_relaxed(&me->count->searching);
    if (searching != 0) {
        int awake = __builtin_popcountll(me->bits & ~wf_load_relaxed(&park->parked[self / 64]));
        if (2 * (int)searching >= awake) {
            return false;
        }
    }
    /* relaxed: whoever sees it relies on what we do after leaving */
    wf_add_relaxed(&me->count->searching, 1);
    wf_store_relaxed(&me->state, WF_PARK_SEARCHING);
    return true;
}

int wf_park_found_slow(struct wf_park *park, int self, bool (*more)(void *arg), void *arg)
{
    struct wf_park_worker *me = state_of(park, self);
    wf_store_relaxed(&me->state, WF_PARK_RUNNING); /* relaxed: only we read it while not PARKED */
    /* sync(park.found): acq_rel, the last of the searchers sees what the others moved to their own
     * queues before they stopped searching; pairs sync(park.found) */
    uint32_t before = wf_sub_acq_rel(&me->count->searching, 1);
    wf_check_inner(before != 0);
    if (before != 1) {
        return -1; /* the last of the others will do it */
    }
    /* sync(park.leave): seq_cst, work of those who saw us searching is visible to `more`, and we
     * submit it, unless it is left to another group: of two that bring their counts to 0 the second
     * sees the first's; pairs sync(park.submit), sync(park.announce), sync(park.leave) */
    wf_fence_seq_cst();
    if (next_parked(park, 0) < 0 || is_left_to_others(park) || !more(arg)) {
        return -1;
    }
    return pick_parked(park);
}

void wf_park_announce(struct wf_park *park, int self)
{
    struct wf_park_worker *me = state_of(park, self);
    bool searching = wf_load_relaxed(&me->state) == WF_PARK_SEARCHING; /* relaxed: our own state */
    /* Relaxed, and in any order among themselves: step 1, ordered by the fence. */
    wf_store_relaxed(&me->state, WF_PARK_PARKED);
    wf_or_relaxed(&park->parked[self / 64], UINT64_C(1) << (self % 64));
    if (searching) {
        uint32_t before = wf_sub_relaxed(&me->count->searching, 1);
        wf_check_inner(before != 0);
        (void)before;
    }
    /* sync(park.announce): seq_cst, a submitter sees that we sleep, or our re-check sees its work;
     * pairs sync(park.submit), sync(park.send), sync(park.leave), sync(park.undo) */
    wf_fence_seq_cst();
}

void wf_park_retract(struct wf_park *park, int self)
{
    struct wf_park_worker *me = state_of(park, self);
    /* sync(park.retract): acquire, a waker's addition to the count comes before our subtraction;
     * pairs sync(park.claimed) */
    uint32_t before = wf_xchg_acquire(&me->state, WF_PARK_SEARCHING);
    wf_check_inner(before == WF_PARK_PARKED || before == WF_PARK_NOTIFIED ||
                   before == WF_PARK_CALLED);
    if (before != WF_PARK_NOTIFIED) {
        wf_add_relaxed(&me->count->searching, 1); /* relaxed: as wf_park_search */
    }
    /* Clears the bit: it is set, and nobody else changes it. Relaxed: our next announcement comes
     * after it in the same word, and a submitter that sees it set or clear too long finds us awake
     * either way. */
    wf_sub_relaxed(&park->parked[self / 64], UINT64_C(1) << (self % 64));
}

/* Of the group that begins with `first`. */
static void check_group(struct wf_park *park, int first, int end)
{
    uint32_t counted = 0;
    for (int i = first; i < end; i++) {
        uint32_t state = wf_load_relaxed(&park->states[i].state);
        bool bit = (wf_load_relaxed(&park->parked[i / 64]) >> (i % 64) & 1) != 0;
        counted += state == WF_PARK_SEARCHING || state == WF_PARK_NOTIFIED;
        wf_check_inner(bit == (state >= WF_PARK_PARKED));
    }
    wf_check_inner(counted == wf_load_relaxed(&park->states[first].count->searching));
    (void)counted;
}

void wf_park_check(struct wf_park *park)
{
    for (int first = 0; first < park->workers; first += WF_PARK_GROUP) {
        int end = first + WF_PARK_GROUP;
        check_group(park, first, end < park->workers ? end : park->workers);
    }
}
