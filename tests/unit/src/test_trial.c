/* Two ways to do the same: the faster one is found, kept, and left when it is so no more. */
#include "src/trial.h"
#include "tests/support/wt.h"

enum { EPOCH = WF_TRIAL_TICKS, TRIAL = 2 * EPOCH };

/* What is done: how long a tick takes in each way; and what came of it. */
struct load {
    struct wf_trial trial;
    uint32_t way;
    int64_t now_ns, ns[2];
    int ticks[2]; /* done in each way */
};

static void tick(struct load *load)
{
    load->now_ns += load->ns[load->way];
    load->ticks[load->way]++;
    if (wf_trial_tick(&load->trial, load->way, load->now_ns)) {
        load->way = 1 - load->way;
    }
}

static void work_on(struct load *load, int ticks)
{
    load->ticks[0] = load->ticks[1] = 0;
    for (int i = 0; i < ticks; i++) {
        tick(load);
    }
}

static struct load load_of(int64_t ns_0, int64_t ns_1)
{
    return (struct load){.ns = {ns_0, ns_1}};
}

/* Both ways have been tried, and the next trial is not due for a while. */
static struct load known_load_of(int64_t ns_0, int64_t ns_1)
{
    struct load load = load_of(ns_0, ns_1);
    work_on(&load, 2 * TRIAL);
    return load;
}

Test(trial, a_faster_way_is_taken)
{
    struct load load = load_of(1000, 990);
    work_on(&load, 10 * EPOCH);
    wt_eq(load.ticks[0], TRIAL);
}

Test(trial, a_slower_way_is_left_after_its_trial)
{
    struct load load = load_of(990, 1000);
    work_on(&load, 10 * EPOCH);
    wt_eq(load.ticks[1], TRIAL);
}

Test(trial, of_two_that_take_the_same_the_first_is_taken)
{
    struct load load = load_of(1000, 1000);
    work_on(&load, 10 * EPOCH);
    wt_eq(load.ticks[1], TRIAL);
}

Test(trial, after_a_change_the_other_way_is_tried_again_soon)
{
    struct load load = known_load_of(2000, 1000);
    work_on(&load, WF_TRIAL_EVERY * EPOCH);
    wt_eq(load.ticks[0], 0);
    work_on(&load, 5 * EPOCH);
    wt_eq(load.ticks[0], TRIAL);
}

Test(trial, one_that_changes_nothing_makes_the_next_four_times_as_late)
{
    struct load load = known_load_of(1000, 2000);
    for (int wait = 4 * WF_TRIAL_EVERY; wait <= 4 * WF_TRIAL_RARELY; wait *= 4) {
        /* the first epoch after a change is not judged */
        work_on(&load, (1 + (wait < WF_TRIAL_RARELY ? wait : WF_TRIAL_RARELY)) * EPOCH);
        wt_eq(load.ticks[1], 0);
        work_on(&load, TRIAL);
        wt_eq(load.ticks[1], TRIAL);
    }
}

Test(trial, a_load_that_grows_is_seen_after_two_epochs)
{
    struct load load = known_load_of(2000, 1000);
    load.ns[1] = 4000;
    work_on(&load, 10 * EPOCH);
    wt_eq(load.ticks[1], 2 * EPOCH);
}

Test(trial, a_load_that_shrinks_is_seen_after_one)
{
    struct load load = known_load_of(1000, 1500);
    work_on(&load, 2 * EPOCH);
    load.ns[0] = 600;
    load.ns[1] = 300;
    work_on(&load, 10 * EPOCH);
    wt_eq(load.ticks[0], EPOCH);
}

Test(trial, a_disturbed_epoch_changes_nothing)
{
    struct load load = known_load_of(1500, 1000);
    load.now_ns += 1000000;
    work_on(&load, 5 * EPOCH);
    wt_eq(load.ticks[0], 0);
}

Test(trial, a_disturbed_epoch_of_a_trial_changes_nothing)
{
    struct load load = load_of(1500, 1000);
    work_on(&load, 2 * EPOCH + 1);
    load.now_ns += 1000000;
    work_on(&load, 5 * EPOCH);
    wt_eq(load.ticks[0], 0);
}

Test(trial, what_is_done_between_is_not_timed)
{
    struct load load = load_of(1000, 1500);
    for (int i = 0; i < 10 * EPOCH; i++) {
        load.now_ns += load.way == 0 ? 5000 : 0;
        wf_trial_resume(&load.trial, load.now_ns);
        tick(&load);
        load.now_ns += 1; /* this is */
        wf_trial_pause(&load.trial, load.now_ns);
    }
    wt_eq(load.ticks[1], TRIAL);
}
