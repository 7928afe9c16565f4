/* sampler.c: see sampler.h. */
#include "sampler.h"
#include "alloc.h"
#include "clock.h"
#include "mark.h"
#include "row.h"
#include "wire.h"
#include <inttypes.h>

#define GROWTH_MAX \
    100 /* factor between two calibration steps: the first one measured little but the clock */

/* --- one sample ------------------------------------------------------------------------------- */

static int take(struct tb_trial *trial, tb_rounds_fn *run, uint64_t rounds, uint64_t *ns)
{
    bool cpu = trial->load->flags & TB_LOAD_CPU;
    trial->elapsed_ns = 0;
    uint64_t start = cpu ? tb_cpu_ns() : tb_now_ns();
    int rc = run(trial, rounds);
    uint64_t end = cpu ? tb_cpu_ns() : tb_now_ns();
    *ns = trial->elapsed_ns ? trial->elapsed_ns : end - start;
    *ns += *ns == 0; /* a clock that did not move: as little as it can tell */
    return rc;
}

static int take_sample(struct tb_trial *trial, uint64_t rounds, uint64_t *ns)
{
    int rc = take(trial, trial->load->sample, rounds, ns);
    return rc == 0 && trial->load->check ? trial->load->check(trial, rounds) : rc;
}

/* --- calibration ------------------------------------------------------------------------------ */

static uint64_t next_rounds(uint64_t rounds, uint64_t ns)
{
    double factor = 1.2 * TB_SAMPLE_NS / (double)ns;
    factor = factor > GROWTH_MAX ? GROWTH_MAX : factor;
    uint64_t next = (uint64_t)((double)rounds * factor);
    return next > rounds ? next : rounds + 1;
}

/* Rounds that fill a sample. Ends: the rounds grow each time, and a round takes time. */
static int calibrate(struct tb_trial *trial, tb_rounds_fn *run, uint64_t *rounds)
{
    *rounds = 1;
    for (;;) {
        uint64_t ns;
        int rc = run == trial->load->sample ? take_sample(trial, *rounds, &ns)
                                            : take(trial, run, *rounds, &ns);
        if (rc < 0 || ns >= TB_SAMPLE_NS || (trial->load->flags & TB_LOAD_ONCE)) {
            return rc;
        }
        *rounds = next_rounds(*rounds, ns);
    }
}

/* --- all samples ------------------------------------------------------------------------------ */

struct rounds {
    uint64_t sample, reference;
};

static int take_pair(struct tb_trial *trial, const struct rounds *rounds)
{
    uint64_t reference_ns = 0, ns, ops = trial->ops_per_round;
    int rc = 0;
    if (trial->load->reference) {
        rc = take(trial, trial->load->reference, rounds->reference, &reference_ns);
    }
    rc = rc < 0 ? rc : take_sample(trial, rounds->sample, &ns);
    if (rc == 0) {
        tb_wire_say("sample %" PRIu64 " %" PRIu64 " %" PRIu64 " %" PRIu64, ns, rounds->sample * ops,
                    reference_ns, trial->load->reference ? rounds->reference * ops : 0);
    }
    return rc;
}

static bool enough(const struct tb_trial *trial, const struct tb_plan *plan, int taken,
                   uint64_t elapsed_ns)
{
    int max = trial->load->samples_max ? trial->load->samples_max : TB_SAMPLES_MAX;
    int least = max < TB_SAMPLES_WANTED ? max : TB_SAMPLES_WANTED;
    if (plan->samples > 0) {
        return taken >= plan->samples;
    }
    return taken >= max || (taken >= least && elapsed_ns >= plan->budget_ns);
}

static int take_all(struct tb_trial *trial, const struct tb_plan *plan, const struct rounds *rounds)
{
    uint64_t start = tb_now_ns();
    int rc = 0;
    for (int taken = 0; rc == 0 && !enough(trial, plan, taken, tb_now_ns() - start); taken++) {
        rc = take_pair(trial, rounds);
    }
    return rc;
}

/* --- counting --------------------------------------------------------------------------------- */

static void say_growth(const weft_stats *before, const weft_stats *after)
{
    weft_stats b = *before, a = *after, growth = {0};
    for (const struct tb_counter *c = tb_counters; c->name; c++) {
        *tb_counter_in(c, &growth) = *tb_counter_in(c, &a) - *tb_counter_in(c, &b);
    }
    tb_wire_counters(&growth, after);
}

/* One more sample, with every allocation counted. Counting costs time, so its time is not used. */
static int count(struct tb_trial *trial, uint64_t rounds, const char *why_not)
{
    weft_stats before, after;
    struct tb_allocs allocs;
    uint64_t ns, ops = rounds * trial->ops_per_round;
    bool counting = !why_not && tb_alloc_start() == 0;
    weft_stats_get(trial->rt, &before);
    int rc = take_sample(trial, rounds, &ns);
    weft_stats_get(trial->rt, &after);
    if (counting) {
        tb_alloc_stop(&allocs);
        tb_wire_say("counted %" PRIu64 " %" PRIu64 " %" PRIu64 " %" PRIu64, ops, allocs.allocs,
                    allocs.frees, allocs.bytes);
    } else {
        tb_wire_say("uncounted %" PRIu64 " %s", ops, why_not ? why_not : "the hooks were refused");
    }
    say_growth(&before, &after);
    return rc;
}

/* --- exact passes ----------------------------------------------------------------------------- */

#define WARM_UPS 2 /* pools grow in the first, and what that left behind settles in the second */

static void say_sites(void)
{
    struct tb_site site;
    for (int i = 0; tb_alloc_site(i, &site); i++) {
        tb_wire_site(&site);
    }
}

static int count_hooked(struct tb_trial *trial, uint64_t rounds, const char *why_not)
{
    weft_stats before, after;
    struct tb_allocs allocs;
    uint64_t ops = rounds * trial->ops_per_round;
    if (!why_not) {
        tb_alloc_want_sites();
    }
    bool counting = !why_not && tb_alloc_start() == 0;
    weft_stats_get(trial->rt, &before);
    tb_mark_begin();
    int rc = trial->load->sample(trial, rounds);
    tb_mark_end();
    weft_stats_get(trial->rt, &after);
    if (counting) {
        tb_alloc_stop(&allocs);
        tb_wire_say("counted %" PRIu64 " %" PRIu64 " %" PRIu64 " %" PRIu64, ops, allocs.allocs,
                    allocs.frees, allocs.bytes);
        say_sites();
    } else {
        tb_wire_say("uncounted %" PRIu64 " %s", ops, why_not ? why_not : "the hooks were refused");
    }
    say_growth(&before, &after);
    return rc == 0 && trial->load->check ? trial->load->check(trial, rounds) : rc;
}

/* What the sample is that everything else is said of: the reader wants one. */
static void say_stretch(const struct tb_trial *trial, uint64_t rounds)
{
    tb_wire_say("sample 1 %" PRIu64 " 0 0", rounds * trial->ops_per_round);
}

static int count_exactly(struct tb_trial *trial, const struct tb_plan *plan)
{
    uint64_t rounds = plan->rounds, ns;
    if (rounds == 0) {
        rounds = (TB_COUNT_OPS + trial->ops_per_round - 1) / trial->ops_per_round;
    }
    rounds = trial->load->flags & TB_LOAD_ONCE ? 1 : rounds;
    int rc = 0;
    for (int i = 0; i < WARM_UPS && rc == 0; i++) {
        rc = take_sample(trial, rounds, &ns);
    }
    if (rc < 0) {
        return rc;
    }
    say_stretch(trial, rounds);
    return count_hooked(trial, rounds,
                        plan->pass == TB_PASS_CALLGRIND ? "under callgrind" : plan->uncounted);
}

static int measure(struct tb_trial *trial, const struct tb_plan *plan)
{
    struct rounds rounds = {0, 0};
    if (plan->pass != TB_PASS_TIME) {
        return count_exactly(trial, plan);
    }
    int rc = calibrate(trial, trial->load->sample, &rounds.sample);
    if (rc == 0 && trial->load->reference) {
        rc = calibrate(trial, trial->load->reference, &rounds.reference);
    }
    rc = rc < 0 ? rc : take_all(trial, plan, &rounds);
    return rc < 0 ? rc : count(trial, rounds.sample, plan->uncounted);
}

int tb_sampler_run(struct tb_trial *trial, const struct tb_plan *plan)
{
    trial->ops_per_round = 1;
    int rc = trial->load->open ? trial->load->open(trial) : 0;
    if (rc < 0) {
        return rc;
    }
    rc = measure(trial, plan);
    if (trial->load->close) {
        trial->load->close(trial);
    }
    return rc;
}

int tb_sampler_find(struct tb_trial *trial, uint64_t *rounds)
{
    return calibrate(trial, trial->load->sample, rounds);
}

int tb_sampler_once(struct tb_trial *trial, uint64_t rounds, uint64_t *ns)
{
    return take_sample(trial, rounds, ns);
}
