/* serve.c: what cannot wait for a worker's queues: messages, timers that are due, and the driver's
 * turn, with which works that had spilled out of the FIFO come back. */
#include "pool/base/check.h"
#include "pool/turn.h"

/* --- messages --------------------------------------------------------------------------------- */

static WF_COLD void run_messages(struct wf_fiber *self, struct wf_worker *worker)
{
    /* sync(worker.collect): acq_rel, the messages' contents; and who finds the inbox empty finds us
     * awake. Pairs sync(worker.post), sync(worker.look) */
    struct wf_work *message = wf_xchg_acq_rel(&worker->inbox, NULL);
    worker->serving = true;
    while (message != NULL) {
        struct wf_work *next = message->next;
        message->run(self, message); /* LAST TOUCH */
        message = next;
    }
    worker->serving = false;
}

/* --- what is cold ----------------------------------------------------------------------------- */

/* Nobody has touched for long what is in the FIFO now: it has slept, or stood behind more than the
 * FIFO holds. */
static void note_cold(struct wf_worker *worker)
{
    worker->cold_end = wf_load_relaxed(&worker->runq.tail); /* relaxed: ours */
}

/* A line of each that is about to run before the next poll. Each is in a page of its own, and
 * whatever touches that first waits for its translation, 0.2 us where that comes from memory; but
 * the processor looks for several of these at a time. */
static void fetch_cold(struct wf_worker *worker)
{
    struct wf_runq *q = &worker->runq;
    uint64_t head = wf_load_relaxed(&q->head); /* relaxed, both: hints */
    for (uint64_t i = head; i < head + WF_TURN_POLL && i < worker->cold_end; i++) {
        wf_prefetch_write(wf_load_relaxed(wf_runq_slot_(q, i)));
    }
}

/* --- timers ----------------------------------------------------------------------------------- */

/* The time; and which turn looks next (WF_CLOCK_NS). */
static int64_t look_at_clock(struct wf_worker *worker)
{
    int64_t now_ns = wf_sys.now_ns();
    uint64_t turn = wf_turn_of(worker);
    uint64_t works = turn - worker->looked_at;
    works = works < WF_CLOCK_WORKS / 2 ? works : WF_CLOCK_WORKS / 2;
    bool is_short = works != 0 && now_ns - worker->looked_ns < WF_CLOCK_NS;
    worker->clock_at = turn + (is_short ? 2 * works : 1);
    worker->looked_at = turn;
    worker->looked_ns = now_ns;
    return now_ns;
}

bool wf_is_timer_due(struct wf_worker *worker)
{
    int64_t next_ns = wf_wheel_next_ns(&worker->wheel);
    if (next_ns == INT64_MAX || next_ns > look_at_clock(worker)) {
        return false;
    }
    worker->clock_at = wf_turn_of(worker); /* the turn that comes now fires it */
    return true;
}

/* Timers that are due, and the messages that they leave: a deadline's, on which the end of its
 * scope waits. */
void wf_run_timers(struct wf_worker *worker)
{
    int64_t next_ns = wf_wheel_next_ns(&worker->wheel);
    if (next_ns == INT64_MAX) {
        return;
    }
    int64_t now_ns = look_at_clock(worker);
    if (next_ns > now_ns) {
        return;
    }
    uint64_t fired = 0;
    /* ends: each call fires or moves what is due */
    while (wf_wheel_next_ns(&worker->wheel) <= now_ns) {
        fired += (uint64_t)wf_wheel_advance(&worker->wheel, now_ns);
    }
    wf_count_add(&worker->counters.timers_fired, fired);
    if (fired > 0) {
        note_cold(worker);
        /* for wf_ready_fired: a fence, and not one for each */
        wf_wake_unless_watched_inline(worker);
    }
    if (wf_load_relaxed(&worker->inbox) != NULL) { /* relaxed: run_messages acquires */
        run_messages(wf_self(), worker);
    }
}

/* --- the driver ------------------------------------------------------------------------------- */

/* The FIFO takes what is ready again. */
static void end_spill(struct wf_worker *worker)
{
    worker->has_spilled = false;
    wf_runq_open(&worker->runq);
}

/* What did not fit into the FIFO goes there as soon as there is room, and until all of it has, what
 * becomes ready goes behind it, into the injection queue: else, with more ready tasks than the FIFO
 * holds, those in it ran again and again, and the others waited for as long as there was load (echo
 * by 1000 frames: half of the requests within 3 ms, 99 % within 75, where the mean was 8). Not
 * without a spare stack: what is new would be in the way of those who may run it, and of the fibers
 * that give back stacks.
 *
 * When two workers have both spilled, all that becomes ready on either goes through the one
 * injection queue, until one of them finds it empty: the price of one order for all. With 256 slots
 * in the FIFO `yield/1000` (real-time priority, two processors) took 53 ns a yield with one worker
 * and 234 with two; with 500 tasks, which two workers held, 46 and 36 to 45. A list of each
 * worker's own would be cheaper, and its order would be that worker's only. */
static WF_COLD void take_back(struct wf_worker *worker)
{
    if (!wf_worker_has_spare(worker)) {
        wf_runq_open(&worker->runq);
        return;
    }
    struct wf_work *works[WF_INJECT_BATCH];
    int count = WF_INJECT_BATCH;
    /* ends: the FIFO is full, or nothing is left */
    while (count == WF_INJECT_BATCH &&
           wf_runq_len(&worker->runq) <= WF_RUNQ_SLOTS - WF_INJECT_BATCH) {
        count = wf_inject_pop_batch(&worker->pool->inject, WF_INJECT_BATCH, works);
        for (int i = 0; i < count; i++) {
            bool fits = wf_runq_append(&worker->runq, works[i]);
            wf_check_inner(fits);
            (void)fits;
        }
        wf_count_add(&worker->counters.injected, (uint64_t)count);
    }
    note_cold(worker);
    if (count < WF_INJECT_BATCH) {
        end_spill(worker);
    }
    wf_wake_unless_watched_inline(worker); /* between the queues they were in sight of nobody */
}

void wf_poll_driver(struct wf_worker *worker)
{
    if (wf_unlikely(worker->has_spilled)) {
        take_back(worker);
    }
    worker->poll_at = wf_turn_of(worker) + WF_TURN_POLL - 1;
    worker->look_injected = true;
    worker->driver->ops->poll(worker->driver, worker);
    wf_run_timers(worker);
    fetch_cold(worker);
}

void wf_serve(struct wf_fiber *self, struct wf_worker *worker)
{
    if (wf_unlikely(wf_load_relaxed(&worker->inbox) != NULL)) { /* relaxed: run_messages acquires */
        run_messages(self, worker);
    }
    if (wf_unlikely(wf_is_poll_turn(worker) ||
                    worker->driver->ops->is_due(worker->driver, worker))) {
        wf_poll_driver(worker);
    } else if (wf_is_clock_turn(worker) && wf_is_timer_due(worker)) {
        if (worker->driver->ops->is_blind) {
            wf_poll_driver(worker); /* what came before a deadline goes before it */
        } else {
            wf_run_timers(worker);
        }
    }
}
