/* uring_rescue.c: see uring_rescue.h. */
#include "io/uring_rescue.h"
#include "io/uring.h"
#include "io/uring_kick.h"
#include "pool/base/check.h"
#include "pool/base/sys.h"
#include "pool/pool.h"
#include <errno.h>
#include <linux/time_types.h> /* which the next header forgets */
#include <liburing/io_uring.h>
#include <stdio.h>

/* So long an owner may be away before it counts as stuck, and so often its visits are looked at.
 * Looks cost the lookout some 5 us each, so 1 % of an idle processor; a request that waits for a
 * stuck owner is rescued after twice this at most. */
#define STUCK_NS INT64_C(500000)
/* How often a stuck owner is looked at. It has proved that it takes its time. */
#define STUCK_AGAIN_NS INT64_C(100000)
/* The shortest and the longest time between two kicks of one owner: twice as long each time that a
 * kick was to no avail, as when it does not get a processor. */
#define KICK_GAP_MIN_NS INT64_C(100000)
#define KICK_GAP_MAX_NS INT64_C(6400000)
/* A kick shows after 20 to 70 us, if the owner runs (ADR 0022): so long it is worth to wait
 * here. */
#define KICK_WAIT_NS INT64_C(100000)

static struct wf_uring_driver *driver_of(struct wf_driver *driver)
{
    return wf_container_of(driver, struct wf_uring_driver, io.base);
}

/* --- taking ----------------------------------------------------------------------------------- */

static void leave(struct wf_uring *u, const struct wf_ring_completion *completion)
{
    uint32_t count = wf_load_relaxed(&u->left); /* relaxed, both: we hold */
    u->leftover[count] = *completion;
    wf_store_relaxed(&u->left, count + 1);
}

/* Ops ended, or results of one that goes on: 0 or 1. */
static int take_one(struct wf_uring *u, const struct wf_ring_completion *completion,
                    struct wf_worker *by)
{
    struct wf_op *op = wf_slots_find(&u->slots, completion->user_data);
    if (op != NULL && (completion->flags & IORING_CQE_F_MORE) != 0) {
        op->more(op, completion->res);
        return 1;
    }
    if (op == NULL || !wf_op_seize(op)) {
        leave(u, completion); /* the owner's to hand over */
        return 0;
    }
    wf_slots_return(&u->slots, op->slot);
    wf_count(&by->counters.ops_completed);
    wf_count(&by->counters.ops_rescued);
    if (completion->res == -ECANCELED) {
        wf_count(&by->counters.ops_cancelled);
    }
    if (wf_unlikely((completion->flags & IORING_CQE_F_BUFFER) != 0)) {
        wf_lend_see(&u->lend);
        op->offset = 1 + (completion->flags >> IORING_CQE_BUFFER_SHIFT);
    }
    wf_op_end_seized(op, completion->res);
    wf_count(&by->counters.ops_handed); /* only now: see src/deadlock.c */
    return 1;
}

/* Completions handed over at once: as many as the owner would. */
#define TAKE_MAX 128

int wf_uring_take_from(struct wf_uring *u, struct wf_worker *by)
{
    uint32_t nobody = WF_HELD_BY_NOBODY;
    /* sync(uring.rescue): acquire, what the owner did when it held, and the rescuer before us;
     * pairs sync(uring.let_go), sync(uring.rescued) */
    if (!wf_cas_acquire(&u->holder, &nobody, WF_HELD_BY_RESCUER)) {
        return 0;
    }
    int ended = 0, taken = 0;
    struct wf_ring_completion completion;
    /* relaxed: we hold */
    while (taken < TAKE_MAX && wf_load_relaxed(&u->left) < WF_LEFT_MAX &&
           wf_ring_take(&u->ring, &completion)) {
        wf_ring_see_published(&u->ring);
        ended += take_one(u, &completion, by);
        taken++;
    }
    if (taken > 0) {
        wf_ring_give_back(&u->ring);
    }
    /* sync(uring.rescued): release, what we did; pairs sync(uring.hold), sync(uring.rescue) */
    wf_store_release(&u->holder, WF_HELD_BY_NOBODY);
    return ended;
}

/* --- looking after the others ----------------------------------------------------------------- */

/* Relaxed, all here: what is seen late is seen at the next look. */

static bool is_exposed(const struct wf_uring *u)
{
    return wf_load_relaxed(&u->thread) != 0 &&
           (wf_slots_used(&u->slots) != 0 || wf_ring_has_entries(&u->ring));
}

bool wf_uring_is_exposed(struct wf_driver *driver, int worker_index)
{
    return is_exposed(&driver_of(driver)->rings[worker_index]);
}

static bool would_kick_help(const struct wf_uring *u)
{
    return wf_ring_is_pressed(&u->ring) || wf_ring_has_entries(&u->ring);
}

/* The program has taken the signal: no more kicks. What is in the queues by itself is still
 * taken. */
static WF_COLD void stop_kicking(struct wf_uring_driver *d)
{
    if (wf_xchg_relaxed(&d->signal_lost, 1) == 0) {
        (void)fprintf(stderr,
                      "weft: the program has taken over SIGURG: completions of a busy worker "
                      "are not rescued any more\n");
    }
}

/* Ops ended. */
static int kick_and_take(struct wf_uring_driver *d, struct wf_uring *u, struct wf_worker *by,
                         int64_t now_ns)
{
    if (now_ns - u->kicked_ns < u->kick_gap_ns || wf_load_relaxed(&d->signal_lost) != 0) {
        return 0;
    }
    u->kicked_ns = now_ns;
    int rc = wf_kick_send(u);
    if (rc < 0) {
        if (rc == -EBUSY) {
            stop_kicking(d);
        }
        return 0;
    }
    wf_count(&by->counters.kicks);
    int64_t until_ns = now_ns + KICK_WAIT_NS;
    while (!wf_ring_has(&u->ring) && wf_sys.now_ns() < until_ns) { /* ends: until_ns */
        wf_spin_hint();
    }
    int ended = wf_uring_take_from(u, by);
    u->kick_gap_ns = ended > 0                              ? KICK_GAP_MIN_NS
                     : 2 * u->kick_gap_ns < KICK_GAP_MAX_NS ? 2 * u->kick_gap_ns
                                                            : KICK_GAP_MAX_NS;
    return ended;
}

/* As wf_uring_rescue, of one. One that has run something since the last look and sleeps again is
 * active all the same: it may be away in a moment. One that has but slept is not, or two lookouts
 * would keep each other at it for ever. */
static int64_t look_after(struct wf_uring_driver *d, int index, struct wf_worker *by,
                          int64_t now_ns)
{
    struct wf_uring *u = &d->rings[index];
    uint32_t visits = wf_load_relaxed(&u->visits);
    uint64_t runs = wf_load_relaxed(&by->pool->workers[index].counters.runs);
    bool away = wf_park_state(&by->pool->park, index) < WF_PARK_PARKED && is_exposed(u);
    if (visits != u->seen_visits || !away || u->seen_ns == 0) {
        bool active = away || runs != u->seen_runs;
        u->seen_visits = visits;
        u->seen_runs = runs;
        u->seen_ns = away ? now_ns : 0;
        u->kick_gap_ns = KICK_GAP_MIN_NS;
        return active ? STUCK_NS : INT64_MAX;
    }
    int64_t away_ns = now_ns - u->seen_ns;
    if (away_ns < STUCK_NS) {
        return STUCK_NS - away_ns;
    }
    int ended = wf_ring_has(&u->ring) ? wf_uring_take_from(u, by) : 0;
    if (ended > 0) {
        u->kick_gap_ns = KICK_GAP_MIN_NS; /* a kick has come through, however late: it runs again */
    } else if (would_kick_help(u)) {
        ended = kick_and_take(d, u, by, now_ns);
    }
    return ended > 0 ? 0 : STUCK_AGAIN_NS;
}

int64_t wf_uring_rescue(struct wf_driver *driver, struct wf_worker *by)
{
    struct wf_uring_driver *d = driver_of(driver);
    int64_t now_ns = wf_sys.now_ns();
    int64_t again_ns = INT64_MAX;
    int first = d->look_first;
    for (int n = 0; n < d->workers; n++) {
        int i = (first + n) % d->workers;
        if (i == (int)by->index) {
            continue;
        }
        int64_t ns = look_after(d, i, by, now_ns);
        if (ns == 0) {
            /* What was made ready goes first: each further stuck owner may take KICK_WAIT_NS. They
             * are the first at the next look, by another lookout or by this one, soon. */
            d->look_first = (i + 1) % d->workers;
            return 0;
        }
        again_ns = ns < again_ns ? ns : again_ns;
    }
    return again_ns;
}
