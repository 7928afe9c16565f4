/* Whether sharing pays: what a thief finds out about owners of different kinds, in a time that the test makes up. */
#include "pool/profit.h"
#include "tests/support/wt.h"

struct play {
    struct wf_profit profit;
    int64_t now_ns;
    double works;             /* run so far */
    double alone, shared;     /* a us, by all workers */
    int64_t shared_ns, by_ns; /* how long sharing was allowed, of how long */
};

/* Looks every half us. */
static void play_on(struct play *play, int64_t ns)
{
    for (int64_t end_ns = play->now_ns + ns; play->now_ns < end_ns; play->now_ns += 500) {
        if (wf_profit_is_due(&play->profit, play->now_ns)) {
            wf_profit_step(&play->profit, (uint64_t)play->works, play->now_ns);
        }
        bool shares = wf_profit_may_share(&play->profit);
        play->works += (shares ? play->shared : play->alone) / 2;
        play->shared_ns += shares ? 500 : 0;
        play->by_ns += 500;
    }
}

static double part_shared(double alone, double shared)
{
    struct play play = {.now_ns = 12345, .alone = alone, .shared = shared};
    play_on(&play, 20000000);
    return (double)play.shared_ns / (double)play.by_ns;
}

Test(profit, what_makes_more_of_it_is_kept)
{
    wt_gt(part_shared(12, 24), 0.97);
    wt_gt(part_shared(12, 14), 0.97);
    wt_gt(part_shared(3, 5), 0.97);
}

Test(profit, what_does_not_is_only_tried)
{
    wt_lt(part_shared(12, 12), 0.03);
    wt_lt(part_shared(12, 6), 0.03);
    wt_lt(part_shared(50, 10), 0.03);
    wt_gt(part_shared(12, 6), 0.0, "but it is tried again and again");
}

Test(profit, works_of_another_kind_are_found_out_about_within_a_hold)
{
    struct play play = {.now_ns = 1, .alone = 12, .shared = 6};
    play_on(&play, 5000000);
    wt_true(!wf_profit_may_share(&play.profit) || play.profit.state == WF_PROFIT_TRIAL);
    play.shared = 24;
    play_on(&play, 2 * WF_PROFIT_HOLD_NS);
    wt_eq(play.profit.state, WF_PROFIT_KEEP);
    play.shared = 6;
    play_on(&play, 2 * WF_PROFIT_HOLD_NS);
    wt_eq(play.profit.state, WF_PROFIT_LEAVE);
}

Test(profit, a_pause_says_nothing)
{
    struct play play = {.now_ns = 1, .alone = 12, .shared = 24};
    while (play.profit.state != WF_PROFIT_TRIAL) { /* ends: after SETTLE and ALONE */
        play_on(&play, 500);
    }
    play.now_ns += WF_PROFIT_STALE_NS; /* nobody ran anything */
    play_on(&play, 500);
    wt_eq(play.profit.state, WF_PROFIT_SETTLE);
    play_on(&play, 100000);
    wt_eq(play.profit.state, WF_PROFIT_KEEP);
}

Test(profit, without_a_work_run_there_is_no_verdict)
{
    struct play play = {.now_ns = 1};
    play_on(&play, 10000000);
    wt_ne(play.profit.state, WF_PROFIT_KEEP);
    wt_ne(play.profit.state, WF_PROFIT_LEAVE);
}

Test(profit, the_owner_is_not_looked_at_while_he_works_alone)
{
    struct play play = {.now_ns = 1000, .alone = 12, .shared = 24};
    play_on(&play, 500);
    wt_eq(play.profit.state, WF_PROFIT_SETTLE);
    wt_eq(wf_profit_quiet_until_ns(&play.profit), 1000 + WF_PROFIT_SETTLE_NS);
    play_on(&play, WF_PROFIT_SETTLE_NS);
    wt_eq(play.profit.state, WF_PROFIT_ALONE);
    wt_gt(wf_profit_quiet_until_ns(&play.profit), play.now_ns);
    play_on(&play, WF_PROFIT_ALONE_NS);
    wt_eq(play.profit.state, WF_PROFIT_TRIAL);
    wt_le(wf_profit_quiet_until_ns(&play.profit), play.now_ns);
}
