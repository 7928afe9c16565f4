/* load_outside.c: work that comes from a thread that is no worker: a stream of it, and one piece
 * for a pool that sleeps. Both run on the trial's main thread (TB_LOAD_OUTSIDE). */
#define _GNU_SOURCE
#include "clock.h"
#include "load.h"
#include "stats.h"
#include <sched.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

/* --- storm-ext -------------------------------------------------------------------------------- */

/* Task number i of a sample uses slot i modulo `slots_n`, and is posted only when the task before
 * it in that slot has ended: so many are in flight at most. */
struct slot {
    _Atomic uint32_t runs;
};

static int mark_slot(void *arg)
{
    struct slot *slot = arg;
    /* sync(storm_ext.ended): release, the task is done with the slot; pairs sync(storm_ext.wait).
     * Only one task uses a slot at a time, so no read-modify-write. */
    uint32_t runs = atomic_load_explicit(&slot->runs, memory_order_relaxed);
    atomic_store_explicit(&slot->runs, runs + 1, memory_order_release);
    return 0;
}

/* Ends: the tasks in flight end, or the parent kills this process for its silence (child.h). */
static void wait_for_runs(struct slot *slot, uint32_t runs)
{
    /* sync(storm_ext.wait): acquire; pairs sync(storm_ext.ended) */
    while (atomic_load_explicit(&slot->runs, memory_order_acquire) != runs) {
        sched_yield();
    }
}

static int storm_open(struct tb_trial *trial)
{
    trial->state = calloc(trial->params[0], sizeof(struct slot));
    return trial->state ? 0 : tb_skip(trial, "no memory for the slots");
}

static void storm_close(struct tb_trial *trial)
{
    free(trial->state);
}

static int storm_sample(struct tb_trial *trial, uint64_t rounds)
{
    struct slot *slots = trial->state;
    uint64_t slots_n = trial->params[0];
    memset(slots, 0, slots_n * sizeof *slots);
    for (uint64_t i = 0; i < rounds; i++) {
        struct slot *slot = &slots[i % slots_n];
        wait_for_runs(slot, (uint32_t)(i / slots_n));
        int rc = weft_post(trial->rt, mark_slot, slot);
        if (rc < 0) {
            return rc;
        }
    }
    for (uint64_t i = 0; i < slots_n; i++) {
        wait_for_runs(&slots[i], (uint32_t)((rounds + slots_n - 1 - i) / slots_n));
    }
    return 0;
}

/* A task that runs twice is seen here if it did so by now; one that is lost ends the sample as a
 * hang. */
static int storm_check(struct tb_trial *trial, uint64_t rounds)
{
    const struct slot *slots = trial->state;
    uint64_t runs = 0;
    for (uint64_t i = 0; i < trial->params[0]; i++) {
        runs += slots[i].runs;
    }
    if (runs != rounds) {
        return tb_wrong(trial, "%llu tasks were posted, %llu ran", (unsigned long long)rounds,
                        (unsigned long long)runs);
    }
    return 0;
}

/* --- wake ------------------------------------------------------------------------------------- */

#define WAKES_KEPT TB_SAMPLES_MAX /* the newest latencies of all samples, for the percentiles */

struct waking {
    _Atomic uint64_t ran_ns; /* when the task ran; 0: not yet */
    double kept_ns[WAKES_KEPT];
    uint64_t taken;               /* of all samples */
    double sample_ns[WAKES_KEPT]; /* of this sample */
    bool one_cpu;                 /* all that this process may use */
};

static int note_time(void *arg)
{
    struct waking *w = arg;
    /* sync(wake.ran): release, as the task's last access; pairs sync(wake.seen) */
    atomic_store_explicit(&w->ran_ns, tb_now_ns(), memory_order_release);
    return 0;
}

static int wake_open(struct tb_trial *trial)
{
    struct waking *w = trial->state = calloc(1, sizeof *w);
    cpu_set_t set;
    if (!w) {
        return tb_skip(trial, "no memory for the latencies");
    }
    w->one_cpu = sched_getaffinity(0, sizeof set, &set) == 0 && CPU_COUNT(&set) == 1;
    trial->ops_per_round = trial->params[0];
    return 0;
}

static void wake_close(struct tb_trial *trial)
{
    struct waking *w = trial->state;
    size_t n = w->taken < WAKES_KEPT ? (size_t)w->taken : WAKES_KEPT;
    if (n > 0) {
        tb_metric(trial, "wake_p50", "ns", tb_quantile(w->kept_ns, n, 0.5));
        tb_metric(trial, "wake_p99", "ns", tb_quantile(w->kept_ns, n, 0.99));
        tb_metric(trial, "wake_max", "ns", tb_quantile(w->kept_ns, n, 1));
    }
    free(w);
}

/* Until the task has run: spins, like a thread that goes on working after it has submitted; a
 * worker that is woken on this thread's CPU then waits for it. The only CPU has to be given up,
 * though. */
static uint64_t wait_until_ran(struct waking *w)
{
    uint64_t ran;
    /* sync(wake.seen): acquire; pairs sync(wake.ran) */
    while ((ran = atomic_load_explicit(&w->ran_ns, memory_order_acquire)) == 0) {
        if (w->one_cpu) {
            sched_yield();
        }
    }
    return ran;
}

/* A sleep lasts some 55 us longer than it should, by which time a worker that searched has gone to
 * sleep: so a short pause is spun. */
#define SLEEP_MIN_NS UINT64_C(50000)

static void rest(uint64_t ns)
{
    if (ns >= SLEEP_MIN_NS) {
        struct timespec pause = {.tv_nsec = (long)ns};
        nanosleep(&pause, NULL);
        return;
    }
    uint64_t until_ns = tb_now_ns() + ns;
    while (tb_now_ns() < until_ns) { /* ends: then */
    }
}

static int wake_once(struct tb_trial *trial, struct waking *w, uint64_t *latency_ns)
{
    rest(trial->params[1] * 1000);
    /* relaxed: weft_post publishes it */
    atomic_store_explicit(&w->ran_ns, 0, memory_order_relaxed);
    uint64_t start = tb_now_ns();
    int rc = weft_post(trial->rt, note_time, w);
    if (rc < 0) {
        return rc;
    }
    *latency_ns = wait_until_ran(w) - start;
    return 0;
}

/* The sample's time is its median latency, as often as there were wake-ups: a single wait for the
 * kernel's next tick, 4 ms, would make a mean of anything. The percentiles show those. */
static int wake_sample(struct tb_trial *trial, uint64_t rounds)
{
    (void)rounds;
    struct waking *w = trial->state;
    uint64_t wakes = trial->params[0];
    for (uint64_t i = 0; i < wakes; i++) {
        uint64_t latency_ns;
        int rc = wake_once(trial, w, &latency_ns);
        if (rc < 0) {
            return rc;
        }
        w->sample_ns[i] = (double)latency_ns;
        w->kept_ns[w->taken++ % WAKES_KEPT] = (double)latency_ns;
    }
    trial->elapsed_ns = (uint64_t)(tb_quantile(w->sample_ns, wakes, 0.5) * (double)wakes);
    return 0;
}

const struct tb_load tb_loads_outside[] = {
    {
        .name = "storm-ext",
        .group = "outside",
        .about = "weft_post of a stream of tasks from a foreign thread",
        .op = "task",
        .flags = TB_LOAD_QUICK | TB_LOAD_OUTSIDE,
        .params = {{"inflight", 1024, 1, 1 << 20, "tasks posted and not ended, at most"}},
        .open = storm_open,
        .sample = storm_sample,
        .check = storm_check,
        .close = storm_close,
    },
    {
        .name = "wake",
        .group = "outside",
        .about = "from weft_post until the task runs, in a pool that sleeps, or searches",
        .op = "wake-up",
        .flags = TB_LOAD_QUICK | TB_LOAD_OUTSIDE | TB_LOAD_ONCE,
        .params = {{"wakes", 100, 1, WAKES_KEPT, "wake-ups in a sample"},
                   {"idle_us", 300, 1, 900000, "pause before each, in us; spun if below 50"}},
        .open = wake_open,
        .sample = wake_sample,
        .close = wake_close,
    },
    {.name = NULL},
};
