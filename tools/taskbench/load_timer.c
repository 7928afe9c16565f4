/* load_timer.c: many tasks that sleep, and deadlines that do not expire. */
#include "clock.h"
#include "load.h"
#include <stdatomic.h>
#include <stdlib.h>
#include <weft/cancel.h>
#include <weft/stackless.h>

/* --- sleep ------------------------------------------------------------------------------------ */

/* Sleeps are spread evenly over the second half of `span`: all are asleep before the first wakes,
 * if creating them takes less than half of it. */
struct night {
    uint64_t span_ns;
    _Atomic uint64_t slept;
    _Atomic uint64_t early;
    _Atomic uint64_t late_ns; /* sum */
    _Atomic uint64_t late_max_ns;
    struct dozer *dozers; /* sleep/frames alone */
};

struct sleeper {
    struct night *night;
    uint64_t duration_ns;
};

static void note_late(struct night *night, uint64_t late_ns)
{
    /* relaxed, all: sums and a maximum that order nothing; weft_scope_end orders the last look at
     * them */
    atomic_fetch_add_explicit(&night->late_ns, late_ns, memory_order_relaxed);
    uint64_t max = atomic_load_explicit(&night->late_max_ns, memory_order_relaxed);
    while (late_ns > max &&
           !atomic_compare_exchange_weak_explicit(&night->late_max_ns, &max, late_ns,
                                                  memory_order_relaxed, memory_order_relaxed)) {
    }
}

static void note_awake(const struct sleeper *sleeper, uint64_t start_ns)
{
    uint64_t elapsed_ns = tb_now_ns() - start_ns;
    struct night *night = sleeper->night;
    if (elapsed_ns < sleeper->duration_ns) {
        atomic_fetch_add_explicit(&night->early, 1, memory_order_relaxed);
    } else {
        note_late(night, elapsed_ns - sleeper->duration_ns);
    }
    atomic_fetch_add_explicit(&night->slept, 1, memory_order_relaxed);
}

WEFT_TASK(sleep_once, struct sleeper)
{
    uint64_t start_ns = tb_now_ns();
    int rc = weft_sleep(WEFT_NS(arg->duration_ns));
    note_awake(arg, start_ns);
    return rc;
}

/* The same without a stack. */
struct dozer {
    weft_frame sm;
    struct sleeper sleeper;
    uint64_t start_ns;
    int rc;
};

WEFT_STEP(doze_once, struct dozer)
{
    WEFT_BEGIN(&f->sm);
    f->start_ns = tb_now_ns();
    WEFT_AWAIT(&f->sm, f->rc, weft_sleep_v(WEFT_NS(f->sleeper.duration_ns)));
    note_awake(&f->sleeper, f->start_ns);
    return f->rc;
}

/* splitmix64: durations that a seed repeats. */
static uint64_t next_random(uint64_t *state)
{
    uint64_t z = *state += 0x9e3779b97f4a7c15;
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9;
    z = (z ^ z >> 27) * 0x94d049bb133111eb;
    return z ^ z >> 31;
}

static int sleep_open(struct tb_trial *trial)
{
    trial->ops_per_round = trial->params[0];
    trial->state = calloc(1, sizeof(struct night));
    return trial->state ? 0 : tb_skip(trial, "no memory for the results");
}

static void sleep_close(struct tb_trial *trial)
{
    const struct night *night = trial->state;
    if (night->slept > 0) {
        tb_metric(trial, "late_mean", "ns", (double)night->late_ns / (double)night->slept);
        tb_metric(trial, "late_max", "ns", (double)night->late_max_ns);
    }
    free(night->dozers);
    free(trial->state);
}

static int doze_open(struct tb_trial *trial)
{
    int rc = sleep_open(trial);
    struct night *night = trial->state;
    if (rc == 0) {
        night->dozers = calloc(trial->params[0], sizeof(struct dozer));
        rc = night->dozers != NULL ? 0 : tb_skip(trial, "no memory for the frames");
    }
    return rc;
}

static int sleep_all(struct tb_trial *trial, struct night *night)
{
    uint64_t random = trial->seed, half_ns = night->span_ns / 2;
    int rc = 0;
    WEFT_SCOPE(scope);
    for (uint64_t i = 0; i < trial->params[0] && rc == 0; i++) {
        struct sleeper sleeper = {night, half_ns + next_random(&random) % (half_ns + 1)};
        if (night->dozers != NULL) {
            night->dozers[i].sleeper = sleeper;
            rc = weft_go_frame(&scope, doze_once, &night->dozers[i]);
        } else {
            rc = weft_go(&scope, sleep_once, &sleeper);
        }
    }
    int end = weft_scope_end(&scope);
    return rc < 0 ? rc : end;
}

/* The figures on lateness are those of the last sample: the one before it warmed the stacks up. */
static int sleep_sample(struct tb_trial *trial, uint64_t rounds)
{
    (void)rounds;
    struct night *night = trial->state;
    *night = (struct night){.span_ns = trial->params[1] * 1000000, .dozers = night->dozers};
    return sleep_all(trial, night);
}

static int sleep_check(struct tb_trial *trial, uint64_t rounds)
{
    (void)rounds;
    const struct night *night = trial->state;
    if (night->slept != trial->params[0] || night->early != 0) {
        return tb_wrong(trial, "%llu tasks slept, %llu of them too short",
                        (unsigned long long)night->slept, (unsigned long long)night->early);
    }
    return 0;
}

/* --- within ----------------------------------------------------------------------------------- */

static int within_sample(struct tb_trial *trial, uint64_t rounds)
{
    uint64_t sum = 0;
    for (uint64_t i = 0; i < rounds; i++) {
        int value = (int)(i & 1023);
        int got = weft_within(WEFT_SEC(100), value);
        if (got != value) {
            return got < 0 ? got : tb_wrong(trial, "weft_within of %d gave %d", value, got);
        }
        sum += (uint64_t)got;
    }
    return sum == 0 && rounds > 1 ? tb_wrong(trial, "no value came back") : 0;
}

const struct tb_load tb_loads_timer[] = {
    {
        .name = "sleep",
        .group = "timers",
        .about = "many tasks that sleep once; CPU time of each",
        .op = "sleeper",
        .flags = TB_LOAD_QUICK | TB_LOAD_ONCE | TB_LOAD_CPU,
        .samples_max = 5,
        .params = {{"tasks", 100000, 1, 1000000, "tasks that sleep at a time"},
                   {"span_ms", 300, 2, 60000, "longest sleep; the shortest is half of it"}},
        .open = sleep_open,
        .sample = sleep_sample,
        .check = sleep_check,
        .close = sleep_close,
    },
    {
        .name = "sleep/frames",
        .group = "timers",
        .about = "the same with frames instead of stacks",
        .op = "sleeper",
        .flags = TB_LOAD_QUICK | TB_LOAD_ONCE | TB_LOAD_CPU,
        .samples_max = 5,
        .params = {{"tasks", 100000, 1, 1000000, "frames that sleep at a time"},
                   {"span_ms", 300, 2, 60000, "longest sleep; the shortest is half of it"}},
        .open = doze_open,
        .sample = sleep_sample,
        .check = sleep_check,
        .close = sleep_close,
    },
    {
        .name = "within",
        .group = "timers",
        .about = "a deadline set and taken back",
        .op = "deadline",
        .flags = TB_LOAD_QUICK | TB_LOAD_ALONE,
        .sample = within_sample,
    },
    {.name = NULL},
};
