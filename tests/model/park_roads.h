/* park_roads.h: how searchers of several groups might leave, and be counted, and how a watch might
 * end, and may not: part of model_park.c, in a file of its own since its orders are not under
 * test. */
#ifndef WF_PARK_ROADS_H
#define WF_PARK_ROADS_H

static bool searches_elsewhere(int self)
{
    for (int i = 0; i < workers; i++) {
        if (i != self && wf_load_relaxed(&park.states[i].count->searching) != 0) {
            return true;
        }
    }
    return false;
}

/* Of two that leave two groups each looks whether the other searches before it has left its own. */
static int leave_after_looking(int self)
{
    bool others = searches_elsewhere(self);
    wf_store_relaxed(&park.states[self].state, WF_PARK_RUNNING);
    (void)wf_sub_acq_rel(&park.states[self].count->searching, 1);
    wf_fence_seq_cst();
    return !others && any_work(NULL) ? pick_parked(&park) : -1;
}

/* It looks after it has left, but the fence comes behind both. */
static int leave_unfenced(int self)
{
    wf_store_relaxed(&park.states[self].state, WF_PARK_RUNNING);
    (void)wf_sub_acq_rel(&park.states[self].count->searching, 1);
    bool others = searches_elsewhere(self);
    wf_fence_seq_cst();
    return !others && any_work(NULL) ? pick_parked(&park) : -1;
}

/* It looks at its own group only, and leaves the rest to whoever searches: to nobody, if that one
 * has left before. What a count of one group says is not "nobody searches". */
static int leave_to_the_first_group(int self)
{
    if (self == 0) {
        return leave_well(self);
    }
    wf_store_relaxed(&park.states[self].state, WF_PARK_RUNNING);
    (void)wf_sub_acq_rel(&park.states[self].count->searching, 1);
    wf_fence_seq_cst();
    return -1;
}

/* A submitter that counts a worker in where it found one parked, and then claims one of another
 * group. */
static int pick_across(void)
{
    wf_fence_seq_cst();
    int worker = next_parked(&park, 0);
    uint32_t nobody = 0;
    if (worker < 0 || wf_park_searches(&park) ||
        !wf_cas_relaxed(&park.states[0].count->searching, &nobody, 1)) {
        return -1;
    }
    for (; worker >= 0; worker = next_parked(&park, worker + 1)) {
        if (claim(&park, worker, WF_PARK_NOTIFIED)) {
            return worker;
        }
    }
    return -1;
}

/* The end of a quiet watch with its parts in another order, or without one. */
static void end_unfenced(int self)
{
    if (watching[self] != WF_WATCHES_NOT) {
        (void)wf_sub_relaxed(&watchers.count, 1);
        (void)wf_sub_relaxed(&watchers.quiet, 1);
        watching[self] = WF_WATCHES_NOT;
    }
}

static int end_without_a_fence(int self)
{
    end_unfenced(self);
    return wf_park_found(&park, self, more, NULL);
}

static int fence_before_the_end(int self)
{
    wf_fence_heavy();
    end_unfenced(self);
    return wf_park_found(&park, self, more, NULL);
}

static int look_before_the_end(int self)
{
    int target = wf_park_found(&park, self, heavy_work, NULL);
    stop_watching(self);
    return target;
}

/* A full fence of its own only. */
static int end_with_a_fence_of_one(int self)
{
    end_unfenced(self);
    wf_fence_seq_cst();
    return wf_park_found(&park, self, more, NULL);
}

#endif
