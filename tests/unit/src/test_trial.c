/* Two ways to do the same: the faster one is found, kept, and left when it is so no more. */
#include "src/trial.h"
#include "tests/support/wt.h"

enum { EPOCH = WF_TRIAL_TICKS };

/* What is done: how long a tick takes in each way; and what came of it. */
struct load {
    struct wf_trial trial;
    uint32_t way;
    int64_t now_ns, ns[2];
    int ticks[2]; /* done in each way */
};

static void work_on(struct load *load, int ticks)
{
    load->ticks[0] = load->ticks[1] = 0;
    for (int i = 0; i < ticks; i++) {
        load->now_ns += load->ns[load->way];
        load->ticks[load->way]++;
        if (wf_trial_tick(&load->trial, load->way, load->now_ns)) {
            load->way = 1 - load->way;
        }
    }
}

static struct load load_of(int64_t ns_0, int64_t ns_1)
{
    return (struct load){.ns = {ns_0, ns_1}};
}

Test(trial, a_faster_way_is_taken_and_the_slower_one_tried_once_more)
{
    struct load load = load_of(2000, 1000);
    work_on(&load, 60 * EPOCH);
    wt_eq(load.ticks[0], 2 * EPOCH);
}

Test(trial, a_slower_way_is_tried_for_one_epoch)
{
    struct load load = load_of(1000, 2000);
    work_on(&load, 60 * EPOCH);
    wt_eq(load.ticks[1], EPOCH);
}

Test(trial, who_is_hardly_faster_is_not_taken)
{
    struct load load = load_of(1000, 950);
    work_on(&load, 60 * EPOCH);
    wt_eq(load.ticks[1], EPOCH);
}

Test(trial, the_other_way_is_tried_now_and_then)
{
    for (int slower = 0; slower < 2; slower++) {
        struct load load = load_of(1000 + 1000 * (slower == 0), 1000 + 1000 * (slower == 1));
        work_on(&load, slower == 0 ? 4 * EPOCH : 2 * EPOCH);
        work_on(&load, 8 * (WF_TRIAL_EVERY + 1) * EPOCH);
        wt_eq(load.ticks[slower], 8 * EPOCH);
    }
}

Test(trial, another_load_is_seen_after_an_epoch)
{
    struct load load = load_of(2000, 1000);
    work_on(&load, 10 * EPOCH);
    load.ns[1] = 4000;
    work_on(&load, 20 * EPOCH);
    wt_eq(load.ticks[1], 2 * EPOCH);
}

Test(trial, a_disturbed_epoch_costs_three_of_the_slower_way)
{
    struct load load = load_of(1000, 1500);
    work_on(&load, 20 * EPOCH - 1);
    load.now_ns += 1000000;
    work_on(&load, 30 * EPOCH);
    wt_eq(load.ticks[1], 3 * EPOCH);
}

Test(trial, what_is_done_between_is_not_timed)
{
    struct load load = load_of(1000, 1500);
    for (int i = 0; i < 40 * EPOCH; i++) {
        load.now_ns += load.way == 0 ? 5000 : 0;
        wf_trial_resume(&load.trial, load.now_ns);
        load.now_ns += load.ns[load.way];
        load.ticks[load.way]++;
        if (wf_trial_tick(&load.trial, load.way, load.now_ns)) {
            load.way = 1 - load.way;
        }
    }
    wt_true(load.ticks[0] > 30 * EPOCH, "%d", load.ticks[0]);
}
