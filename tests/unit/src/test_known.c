/* What loops remember of their bodies: found again, for the right one, and not written without
 * news. */
#include "src/known.h"
#include "tests/support/wt.h"

static struct wf_known known;

enum { BODY = 0x401000 };

Test(known, nothing_is_known_of_a_body_that_was_never_run)
{
    struct wf_known empty = {0};
    wt_eq(wf_known_cost(&empty, wf_known_name(BODY)), WF_COST_NONE);
    wt_eq(wf_known_cost(&empty, wf_known_name(1)), WF_COST_NONE);
}

Test(known, what_is_remembered_is_found_for_this_body_only)
{
    uint64_t name = wf_known_name(BODY);
    for (uint32_t cost = 0; cost < WF_COST_NONE; cost++) {
        wf_known_remember(&known, name, cost, WF_COST_NONE, false);
        wt_eq(wf_known_cost(&known, name), cost);
        for (uintptr_t other = BODY - 64; other < BODY + 64; other++) {
            wt_true(other == BODY || wf_known_cost(&known, wf_known_name(other)) == WF_COST_NONE);
        }
    }
}

Test(known, a_body_in_the_same_slot_drives_the_other_out)
{
    struct wf_known two = {0};
    uint64_t name = wf_known_name(BODY);
    uintptr_t other = BODY + 1;
    while (wf_known_slot(wf_known_name(other)) != wf_known_slot(name)) { /* ends: 64 slots */
        other++;
    }
    wf_known_remember(&two, name, 5, WF_COST_NONE, false);
    wf_known_remember(&two, wf_known_name(other), 9, WF_COST_NONE, false);
    wt_eq(wf_known_cost(&two, name), WF_COST_NONE);
    wt_eq(wf_known_cost(&two, wf_known_name(other)), 9);
}

Test(known, functions_side_by_side_do_not_share_a_few_slots)
{
    bool used[1 << WF_KNOWN_BITS] = {0};
    int count = 0;
    for (uintptr_t i = 0; i < 32; i++) {
        size_t slot = wf_known_slot(wf_known_name(BODY + 16 * i));
        wt_lt(slot, (size_t)1 << WF_KNOWN_BITS);
        count += !used[slot];
        used[slot] = true;
    }
    wt_ge(count, 24);
}

static uint32_t after(uint32_t before, uint32_t cost, bool is_vague)
{
    struct wf_known one = {0};
    uint64_t name = wf_known_name(BODY);
    wf_known_remember(&one, name, before, WF_COST_NONE, is_vague);
    wf_known_remember(&one, name, cost, before, is_vague);
    return wf_known_cost(&one, name);
}

Test(known, what_is_no_news_is_not_written)
{
    wt_eq(after(10, 10 + WF_COST_NEWS, false), 10);
    wt_eq(after(10, 10 - WF_COST_NEWS, false), 10);
    wt_eq(after(10, WF_COST_NONE, false), 10);
    wt_eq(after(10, 11 + WF_COST_NEWS, false), 11 + WF_COST_NEWS);
    wt_eq(after(10, 0, false), 0);
}

Test(known, a_cost_that_may_be_too_high_is_news_if_it_is_lower_or_far_higher)
{
    wt_eq(after(20, 20 + WF_COST_VAGUE, true), 20);
    wt_eq(after(20, 21 + WF_COST_VAGUE, true), 21 + WF_COST_VAGUE);
    wt_eq(after(20, 19 - WF_COST_NEWS, true), 19 - WF_COST_NEWS);
}

Test(known, a_cost_is_right_to_within_a_factor_of_one_and_a_half)
{
    for (uint64_t ticks = 1; ticks < UINT64_C(1) << 40; ticks = ticks * 5 / 3 + 1) {
        for (size_t indices = 1; indices <= ticks; indices = indices * 7 / 3 + 1) {
            double each = (double)ticks / (double)indices;
            uint32_t cost = wf_cost_of(ticks, indices);
            double as_known = (double)(UINT64_C(1) << cost / 4) * (1 + cost % 4 / 4.0);
            wt_true(as_known < 1.5 * each && each < 1.5 * as_known, "%f ticks, taken for %f", each,
                    as_known);
        }
    }
    wt_eq(wf_cost_of(0, 1), 0);
    wt_eq(wf_cost_of(1, 1000), 0, "less than one tick");
}

Test(known, however_many_indices_their_time_is_compared_without_overflow)
{
    wt_true(wf_cost_exceeds(SIZE_MAX, 0, 1000));
    wt_true(wf_cost_exceeds(SIZE_MAX, WF_COST_NONE - 1, 1000));
    wt_true(wf_cost_exceeds(1, WF_COST_NONE - 1, UINT64_MAX / 2));
    wt_true(!wf_cost_exceeds(0, WF_COST_NONE - 1, 1000));
    wt_true(wf_cost_exceeds(1500, 0, 1000));
    wt_true(!wf_cost_exceeds(1000, 0, 1000));
    wt_true(!wf_cost_exceeds(5, 4 * 7, 1000), "640 are less than 1000");
    wt_true(wf_cost_exceeds(10, 4 * 7, 1000), "1280 are more");
    wt_eq(wf_cost_indices(0, 1000), 1000);
    wt_eq(wf_cost_indices(4 * 7 + 1, 1000), 7);
    wt_eq(wf_cost_indices(WF_COST_NONE - 1, 1000), 0);
}
