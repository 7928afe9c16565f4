/* test_deque.c: one worker's deque (pool/deque.h), as its owner sees it, and a stress with thieves.
 * What interleavings can do is checked by tests/model/model_deque.c; this file checks the
 * sequential rules with the production sizes. */
#define WF_DEQUE_ENV()        env_now
#define WF_DEQUE_STACK_LOW()  stack_low
#define WF_DEQUE_STACK_HIGH() stack_high
#define WF_DEQUE_STACK_LEFT() stack_left
#define WF_DEQUE_STACK_OF(at) (((at)-stacks) / stack_bytes)
#include <stdint.h>
static uintptr_t env_now = 8;                       /* of the running code */
static uintptr_t stack_left, stack_low, stack_high; /* the part of its stack that holds frames */
static uintptr_t stacks, stack_bytes;               /* how stacks are numbered */
#include "pool/base/rng.h"
#include "pool/base/sys.h"
#include "pool/deque.h"
#include "tests/support/wt.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

enum { WORKS = WF_DEQUE_SLOTS + 8 };

static struct wf_thieves those;
static struct wf_deque d;
static struct wf_section works[WORKS]; /* sections, so that each can also be forked */

static void init(void)
{
    stacks = (uintptr_t)works;
    stack_bytes = 100 * sizeof works[0];
    wf_deque_secret = WF_SECTION_KEPT | 0x123456789ab0;
    wf_deque_hides = true;
    wf_thieves_init(&those, true);
    wf_deque_init(&d, &those);
    stack_left = stack_low = (uintptr_t)works;
    stack_high = (uintptr_t)(works + WORKS);
}

/* The number of the work that a call returned; -1 for NULL. */
static int number(struct wf_work *work)
{
    return work == NULL ? -1 : (int)((struct wf_section *)(void *)work - works);
}

static struct wf_work *work_at(int i)
{
    return (struct wf_work *)(void *)&works[i];
}

/* As one of an array. True: something became public. */
static bool fork_at(int i, bool is_idle)
{
    return wf_deque_fork(&d, &works[i], sizeof works[i], is_idle ? WF_WANT_ALL : 0);
}

/* As the only one of its frame, the i-th below the oldest. */
static bool fork_in_frame(int i, bool is_idle)
{
    return wf_deque_fork(&d, &works[WORKS - 1 - 2 * i], sizeof works[i], is_idle ? WF_WANT_ALL : 0);
}

static int frame_of(struct wf_work *work)
{
    return work == NULL ? -1 : (WORKS - 1 - number(work)) / 2;
}

static bool join_at(int i)
{
    return wf_section_take(&works[i]) || wf_deque_take_if(&d, work_at(i));
}

static void push(int first, int count)
{
    for (int i = first; i < first + count; i++) {
        wt_true(wf_deque_push(&d, work_at(i)));
    }
}

static uint64_t private_count(void)
{
    uint64_t count = 0;
    if (wf_deque_has_private(&d)) {
        uintptr_t above = WF_DEQUE_STACK_HIGH();
        while ((above = (uintptr_t)wf_section_below_(stack_low, above)) != 0) {
            count++;
        }
    }
    return count;
}

/* --- general work ----------------------------------------------------------------------------- */

Test(deque, pop_of_an_empty_deque_is_null, .init = init)
{
    wt_eq(number(wf_deque_pop(&d)), -1);
    wt_eq(number(wf_deque_steal(&d)), -1);
    wt_false(wf_deque_has_public(&d));
}

Test(deque, pop_takes_the_newest_and_steal_the_oldest, .init = init)
{
    push(0, 3);
    wt_eq(number(wf_deque_steal(&d)), 0);
    wt_eq(number(wf_deque_pop(&d)), 2);
    wt_eq(number(wf_deque_steal(&d)), 1);
    wt_eq(number(wf_deque_pop(&d)), -1);
}

Test(deque, pushed_work_is_public_at_once, .init = init)
{
    push(0, 1);
    wt_true(wf_deque_has_public(&d));
    wt_eq(private_count(), 0u);
}

Test(deque, push_refuses_when_there_is_no_slot, .init = init)
{
    push(0, WF_DEQUE_SLOTS);
    wt_false(wf_deque_push(&d, work_at(WF_DEQUE_SLOTS)));
    wt_eq(number(wf_deque_steal(&d)), 0);
    push(WF_DEQUE_SLOTS, 1); /* a steal makes room */
    wt_eq(number(wf_deque_pop(&d)), (int)WF_DEQUE_SLOTS);
    for (int i = WF_DEQUE_SLOTS - 1; i > 0; i--) {
        wt_eq(number(wf_deque_pop(&d)), i);
    }
    wt_eq(number(wf_deque_pop(&d)), -1);
}

Test(deque, slots_are_used_round_and_round, .init = init)
{
    for (int round = 0; round < 3 * WF_DEQUE_SLOTS; round++) {
        push(0, 2);
        wt_eq(number(wf_deque_steal(&d)), 0);
        wt_eq(number(wf_deque_pop(&d)), 1);
    }
    wf_deque_check(&d);
}

/* --- fork and join ---------------------------------------------------------------------------- */

Test(deque, forks_stay_private_while_nobody_idles, .init = init)
{
    for (int i = 0; i < 100; i++) {
        wt_false(fork_at(i, false), "fork %d", i);
    }
    wt_false(wf_deque_has_public(&d));
    wt_eq(private_count(), 100u);
}

Test(deque, a_fork_while_somebody_idles_leaves_nothing_private, .init = init)
{
    wt_true(fork_at(0, true));
    wt_true(fork_at(1, true));
    wt_eq(private_count(), 0u);
    wt_eq(number(wf_deque_steal(&d)), 0);
    wt_eq(number(wf_deque_steal(&d)), 1);
}

Test(deque, the_first_fork_of_a_busy_time_may_be_taken_by_its_join_and_so_on, .init = init)
{
    fork_at(0, false);
    fork_at(1, false);
    wt_true(join_at(1));
    wt_false(join_at(1));
    wt_true(join_at(0));
    wt_eq(private_count(), 0u);
    fork_at(0, false);
    wt_eq(private_count(), 1u);
}

Test(deque, sections_may_be_joined_out_of_turn, .init = init)
{
    for (int i = 0; i < 4; i++) {
        fork_at(i, false);
    }
    wt_true(join_at(1));
    wt_false(join_at(1));
    wt_true(join_at(0));
    wt_eq(private_count(), 2u);
    wt_true(wf_deque_publish(&d));
    wt_true(join_at(3));
    wt_eq(number(wf_deque_steal(&d)), 2);
}

Test(deque, join_takes_back_what_became_public, .init = init)
{
    fork_at(0, true);
    fork_at(1, true);
    wt_false(join_at(0));
    wt_true(join_at(1));
    wt_true(join_at(0));
}

/* Frames: the oldest lies highest. In one frame: the first of an array lies lowest. */
Test(deque, what_becomes_public_is_in_the_order_of_age, .init = init)
{
    for (int i = 0; i < 5; i++) {
        fork_in_frame(i, false);
    }
    for (int i = 0; i < 5; i++) {
        fork_at(1000 + i, false);
    }
    wt_true(wf_deque_publish(&d));
    for (int i = 0; i < 5; i++) {
        wt_eq(frame_of(wf_deque_steal(&d)), i);
    }
    for (int i = 4; i >= 0; i--) {
        wt_true(join_at(1000 + i), "join %d", i);
    }
}

Test(deque, a_copy_of_a_mark_is_no_section, .init = init)
{
    fork_at(0, false);
    for (int i = 1; i < 100; i++) {
        works[i].link = works[0].link;
        works[i].state = works[0].link;
    }
    wt_eq(private_count(), 1u);
}

Test(deque, a_section_of_whatever_size_is_found, .init = init)
{
    for (size_t bytes = 24; bytes < 20000; bytes = bytes * 2 - 8) {
        (void)wf_deque_fork(&d, &works[7], bytes, false);
        wt_eq(private_count(), 1u, "%zu bytes", bytes);
        wt_true(join_at(7));
    }
}

static void run_call(struct wf_fiber *self, struct wf_work *work)
{
    (void)self, (void)work;
}

static void called(struct wf_fiber *self, struct wf_work *work)
{
    (void)self, (void)work;
}

/* A wf_call_section: private, publicly put by its fork, and published. */
Test(deque, what_a_section_calls_moves_aside_when_it_becomes_public, .init = init)
{
    wf_store_relaxed(&wf_fiber_hooks.run_call, run_call);
    struct wf_call_section *calls = (struct wf_call_section *)(void *)works;
    for (int i = 0; i < 3; i++) {
        calls[i].head.run = called;
        calls[i].call = NULL;
    }
    for (int i = 0; i < 2; i++) {
        (void)wf_deque_fork(&d, &calls[i].head, sizeof calls[i], 0);
        calls[i].head.link |= WF_MARK_CALL;
    }
    wt_eq(private_count(), 2u);
    wf_deque_sign(&d, env_now); /* the next fork looks around */
    wt_true(calls[0].head.run == called && calls[1].head.run == called);
    calls[2].head.link = (uintptr_t)&calls[2] + wf_mark_size(sizeof calls[2]) + WF_MARK_CALL;
    wt_true(wf_deque_fork_slow(&d, &calls[2].head, WF_WANT_ALL));
    for (int i = 0; i < 3; i++) {
        wt_true(calls[i].head.run == run_call && calls[i].call == called, "section %d", i);
        wt_eq(calls[i].head.link, env_now);
    }
}

/* The running stack is another one: what it forks has to look around. */
Test(deque, a_pass_is_good_for_one_stack, .init = init)
{
    fork_at(0, false);
    wt_false(fork_at(1, true)); /* it does not look */
    wt_true(join_at(1) && join_at(0));
    stack_low = (uintptr_t)&works[100];
    wt_true(fork_at(100, true));
    wt_eq(private_count(), 0u);
}

/* Whoever has it next may have frames on it while our worker runs another one. */
Test(deque, a_stack_that_was_given_back_has_no_pass, .init = init)
{
    fork_at(0, false);
    wt_true(join_at(0));
    wf_deque_leave(&d);
    wf_deque_check(&d);
    wt_false(wf_deque_has_private(&d));
    stack_low = (uintptr_t)&works[100];
    wt_true(fork_at(1, false));
    wt_eq(number(wf_deque_steal(&d)), 1);
}

/* Its frame is below those that are left. */
Test(deque, a_section_that_is_never_joined_ends_a_build_with_checks, .init = init,
     .signal = SIGABRT)
{
    fork_at(0, false);
    stack_low = (uintptr_t)&works[100];
    wf_deque_check_joined(&d);
}

Test(deque, what_was_joined_leaves_nothing_behind, .init = init)
{
    for (int i = 0; i < 9; i++) {
        fork_at(i, false);
    }
    for (int i = 8; i >= 0; i--) {
        wt_true(join_at(i));
    }
    stack_low = (uintptr_t)&works[100];
    wf_deque_check_joined(&d);
}

/* On the heap, or where a tool keeps locals. */
Test(deque, a_section_outside_of_the_stack_becomes_public_at_once, .init = init)
{
    stack_low = (uintptr_t)&works[10];
    wt_true(fork_at(0, false));
    wt_true(fork_at(1, false));
    fork_at(10, false);
    wf_deque_ask(&d);
    wt_true(fork_at(2, false));
    wt_eq(number(wf_deque_steal(&d)), 0);
    wt_eq(private_count(), 1u);
}

Test(deque, where_nothing_may_hide_everything_is_public_at_once, .init = init)
{
    wf_deque_hides = false;
    wt_true(fork_at(0, false));
    wt_true(fork_at(1, false));
    wt_true(join_at(1));
    wt_eq(number(wf_deque_steal(&d)), 0);
}

Test(deque, join_of_a_stolen_entry_fails, .init = init)
{
    fork_at(0, true);
    wt_eq(number(wf_deque_steal(&d)), 0);
    wt_false(join_at(0)); /* its slot still holds the pointer */
}

Test(deque, join_below_the_work_of_others_fails, .init = init)
{
    fork_at(0, true);
    push(1, 1);
    wt_false(join_at(0));
    wt_eq(number(wf_deque_pop(&d)), 1);
    wt_true(join_at(0));
}

Test(deque, push_leaves_private_what_is, .init = init)
{
    fork_at(0, false);
    push(1, 1);
    wt_eq(number(wf_deque_steal(&d)), 1);
    wt_true(join_at(0));
}

Test(deque, publish_says_whether_it_changed_anything, .init = init)
{
    wt_false(wf_deque_publish(&d));
    fork_at(0, false);
    wt_true(wf_deque_publish(&d));
    wt_false(wf_deque_publish(&d));
    wt_eq(number(wf_deque_steal(&d)), 0);
}

Test(deque, fork_into_a_full_deque_is_kept_for_its_join, .init = init)
{
    push(0, WF_DEQUE_SLOTS);
    wt_false(fork_at(WF_DEQUE_SLOTS, true));
    wf_deque_check(&d);
    wt_eq(private_count(), 0u);
    wt_false(wf_deque_publish(&d));
    wt_true(join_at(WF_DEQUE_SLOTS));
    wt_eq(number(wf_deque_pop(&d)), (int)WF_DEQUE_SLOTS - 1);
}

Test(deque, publication_keeps_for_their_joins_what_finds_no_slot, .init = init)
{
    for (int i = 0; i < WF_DEQUE_SLOTS; i++) {
        wt_true(wf_deque_push(&d, work_at(WORKS - 1))); /* is never run here */
    }
    fork_in_frame(10, false);
    fork_in_frame(11, false);
    fork_in_frame(12, false);
    (void)wf_deque_steal(&d); /* makes room for one */
    wt_true(wf_deque_publish(&d));
    wf_deque_check(&d);
    wt_eq(private_count(), 0u);
    wt_eq(frame_of(wf_deque_pop(&d)), 10);
    wt_true(join_at(WORKS - 1 - 2 * 12));
    wt_true(join_at(WORKS - 1 - 2 * 11));
}

Test(deque, the_next_fork_looks_around_after_a_publication, .init = init)
{
    fork_at(0, false);
    wt_false(fork_at(1, true)); /* the fast path does not look */
    wt_true(wf_deque_publish(&d));
    wt_true(fork_at(2, true));
}

Test(deque, ending_free_forks_does_not_hide_an_ask, .init = init)
{
    fork_at(0, false);
    fork_at(1, false);
    wf_deque_ask(&d);
    wf_deque_sign(&d, env_now);
    wt_true(fork_at(2, false));
}

Test(deque, a_section_that_became_public_knows_its_env, .init = init)
{
    fork_at(0, false);
    fork_at(1, false);
    env_now = 0x1230;
    wt_true(wf_deque_publish(&d));
    wt_eq(works[0].link, 0x1230u);
    wt_eq(works[0].state, 0x1230u);
    wt_false(wf_section_take(&works[1]));
    wt_eq(number(wf_deque_steal(&d)), 0);
    fork_at(2, false);
    wt_true(join_at(2));
    wt_true(join_at(1));
}

Test(deque, a_section_keeps_the_env_that_it_was_forked_under, .init = init)
{
    env_now = 0x1000;
    fork_at(0, false);
    wf_deque_sign(&d, 0x1000);
    env_now = 0x2000;
    fork_at(1, false);
    wf_deque_sign(&d, 0x2000);
    env_now = 0x3000;
    fork_at(2, false);
    wt_true(wf_deque_publish(&d));
    for (unsigned i = 0; i < 3; i++) {
        wt_eq(works[i].link, 0x1000u * (i + 1));
        wt_eq(number(wf_deque_steal(&d)), (int)i);
    }
}

Test(deque, a_section_signed_once_is_not_signed_when_it_is_forked_again, .init = init)
{
    fork_at(0, false);
    wf_deque_sign(&d, 0x1000);
    wt_true(join_at(0));
    env_now = 0x2000;
    fork_at(0, false);
    wt_true(wf_deque_publish(&d));
    wt_eq(works[0].link, 0x2000u);
}

Test(deque, what_is_signed_is_still_private_and_becomes_public_with_the_rest, .init = init)
{
    fork_at(0, false);
    fork_at(1, false);
    wf_deque_sign(&d, 0x1000);
    wf_deque_sign(&d, 0x2000); /* nothing is left to sign */
    wt_true(wf_deque_has_private(&d));
    wt_true(join_at(1));
    wt_true(wf_deque_publish(&d));
    wt_eq(works[0].link, 0x1000u);
    wt_eq(number(wf_deque_steal(&d)), 0);
}

/* --- asking ----------------------------------------------------------------------------------- */

Test(deque, a_failed_steal_asks_and_the_next_fork_gives_the_oldest, .init = init)
{
    for (int i = 0; i < 4; i++) {
        fork_in_frame(i, false);
    }
    wt_eq(frame_of(wf_deque_steal(&d)), -1);
    wt_true(wf_deque_is_asked(&d));
    wt_true(fork_in_frame(4, false));
    wt_false(wf_deque_is_asked(&d));
    wt_eq(private_count(), 4u);
    wt_eq(frame_of(wf_deque_steal(&d)), 0);
    wt_eq(frame_of(wf_deque_steal(&d)), -1);
}

static bool fork_wanted(int i, uint32_t want)
{
    return wf_deque_fork(&d, &works[WORKS - 1 - 2 * i], sizeof works[i], want);
}

/* Who wants something and is awake asks again. */
Test(deque, while_as_many_are_public_as_are_wanted_the_rest_is_private, .init = init)
{
    wt_true(fork_wanted(0, 2)); /* nothing is private yet: itself */
    wt_true(fork_wanted(1, 2));
    wt_false(fork_wanted(2, 2));
    wt_true(wf_deque_is_open(&d));
    wt_false(fork_wanted(3, 2)); /* it does not look */
    wt_eq(private_count(), 2u);
    wt_eq(frame_of(wf_deque_steal(&d)), 0);
    wf_deque_ask(&d);
    wt_true(fork_wanted(4, 2)); /* one is left: one more */
    wt_eq(private_count(), 2u);
    wt_eq(frame_of(wf_deque_steal(&d)), 1);
    wt_eq(frame_of(wf_deque_steal(&d)), 2);
    wt_eq(frame_of(wf_deque_steal(&d)), -1);
}

Test(deque, what_was_given_is_told_from_what_is_on_offer, .init = init)
{
    wt_eq(wf_load_relaxed(&d.given), 0u);
    fork_in_frame(0, true);
    fork_in_frame(1, true);
    wt_eq(wf_load_relaxed(&d.given), WF_DEQUE_FIRST + 2u);
    wt_false(wf_deque_offer(&d));
    wt_eq(wf_load_relaxed(&d.given), 0u);
    wf_deque_ask(&d);
    fork_in_frame(2, true);
    wt_eq(wf_load_relaxed(&d.given), WF_DEQUE_FIRST + 3u);
    fork_in_frame(3, false);
    wt_true(wf_deque_publish(&d));
    wt_eq(wf_load_relaxed(&d.given), 0u);
}

/* So that a thief may look whether that one hides something. */
Test(deque, an_ask_tells_the_stack_that_had_the_pass, .init = init)
{
    wf_deque_ask(&d);
    wt_eq(wf_load_relaxed(&d.asked_stack), 0u);
    fork_at(0, false);
    wt_true(join_at(0));
    fork_at(0, false);
    wt_true(wf_deque_is_open(&d));
    wf_deque_ask(&d);
    uint64_t stack = wf_load_relaxed(&d.asked_stack);
    wt_eq(stack, WF_DEQUE_STACK_OF((uintptr_t)&works[0]));
    wf_deque_ask(&d);
    wt_eq(wf_load_relaxed(&d.asked_stack), stack);
}

/* So that their joins find them in the opposite order. */
Test(deque, an_array_is_given_as_a_whole, .init = init)
{
    for (int i = 0; i < 4; i++) {
        fork_at(i, false);
    }
    wt_eq(number(wf_deque_steal(&d)), -1);
    wt_true(fork_at(4, false));
    wt_eq(private_count(), 0u);
    wt_eq(number(wf_deque_steal(&d)), 0);
    for (int i = 4; i > 0; i--) {
        wt_true(join_at(i), "join %d", i);
    }
}

Test(deque, after_an_ask_forks_look_at_the_idle_hint_until_nobody_idles, .init = init)
{
    fork_at(0, false);
    wf_deque_ask(&d);
    wt_true(fork_at(1, false));
    wt_true(fork_at(2, true));
    wt_true(fork_at(3, true));
    wt_false(fork_at(4, false));
    wt_false(fork_at(5, true)); /* the fast path does not look */
}

/* --- stress ----------------------------------------------------------------------------------- */

enum { ITEMS = 500000, THIEVES = 3 };

static struct item {
    union {
        struct wf_work work;
        struct wf_section section;
    };
    WF_ATOMIC(uint32_t) taken;
} * items;
static WF_ATOMIC(uint32_t) over;

static void take(struct wf_work *work)
{
    if (work != NULL) {
        struct item *item = wf_container_of(work, struct item, work);
        wt_eq(wf_add_relaxed(&item->taken, 1), 0u, "item %td", item - items);
    }
}

/* It comes and goes; the owner is alone now and then. */
static void *thief(void *arg)
{
    struct wf_rng rng;
    wf_rng_seed(&rng, (uintptr_t)arg);
    while (wf_load_acquire(&over) == 0) { /* sync(test.over): acquire; pairs sync(test.end) */
        wf_thieves_join(&those);
        for (uint32_t tries = 1 + wf_rng_below(&rng, 64); tries > 0; tries--) {
            take(wf_deque_steal(&d));
        }
        wf_thieves_leave(&those);
        for (uint32_t turns = wf_rng_below(&rng, 2000); turns > 0; turns--) {
            wf_spin_hint();
        }
    }
    return NULL;
}

static void end_join(struct item *item)
{
    if (wf_section_take(&item->section) || wf_deque_take_if(&d, &item->work)) {
        take(&item->work);
    }
}

/* Forks and joins in random depths, mostly small ones, where owner and thieves meet; pushes, pops,
 * publications. Items are used from the last down, as frames are. */
static void drive(struct wf_rng *rng)
{
    struct item *open[64]; /* forks not yet joined, newest last */
    int depth = 0;
    for (struct item *next = items + ITEMS; next > items;) {
        uint32_t dice = wf_rng_below(rng, 16);
        stack_low = (uintptr_t)(next - 1);
        stack_high = depth > 0 ? (uintptr_t)(open[0] + 1) : (uintptr_t)next;
        if (depth > 0 && open[0] - next > 1000) { /* the search would be long */
            end_join(open[--depth]);
        } else if (dice < 7 && depth < 64) {
            next--;
            (void)wf_deque_fork(&d, &next->section, 0, wf_rng_below(rng, 4) == 0);
            open[depth++] = next;
        } else if (dice < 13 && depth > 0) {
            end_join(open[--depth]);
        } else if (dice == 13) {
            next--;
            if (!wf_deque_push(&d, &next->work)) {
                take(&next->work);
            }
        } else if (dice == 14) {
            take(wf_deque_pop(&d));
        } else {
            wf_deque_publish(&d);
        }
    }
    while (depth > 0) {
        end_join(open[--depth]);
    }
}

/* can_fence: as wf_thieves_init's. */
static void each_is_taken_once(bool can_fence)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    uint64_t seed = (uint64_t)now.tv_nsec;
    fprintf(stderr, "deque stress: seed %llu\n", (unsigned long long)seed);
    struct wf_rng rng;
    wf_rng_seed(&rng, seed);
    items = calloc(ITEMS, sizeof *items);
    wt_true(items != NULL);
    stacks = (uintptr_t)items;
    stack_bytes = ITEMS * sizeof *items;
    wf_thieves_init(&those, can_fence);
    pthread_t threads[THIEVES];
    for (int i = 0; i < THIEVES; i++) {
        wt_eq(pthread_create(&threads[i], NULL, thief, (void *)(uintptr_t)(seed + (unsigned)i)), 0);
    }
    drive(&rng);
    for (struct wf_work *work; (work = wf_deque_pop(&d)) != NULL;) {
        take(work);
    }
    wf_store_release(&over, 1); /* sync(test.end): release; pairs sync(test.over) */
    for (int i = 0; i < THIEVES; i++) {
        pthread_join(threads[i], NULL);
    }
    for (int i = 0; i < ITEMS; i++) {
        wt_eq(wf_load_relaxed(&items[i].taken), 1u, "item %d", i);
    }
    wf_deque_check(&d);
    free(items);
}

Test(deque, every_work_is_taken_exactly_once_among_thieves, .init = init)
{
    each_is_taken_once(wf_sys_prepare_fences());
}

Test(deque, every_work_is_taken_exactly_once_where_the_system_has_no_fence_of_all, .init = init)
{
    each_is_taken_once(false);
}

static int refused(void)
{
    return -ENOMEM;
}

Test(deque, every_work_is_taken_exactly_once_where_each_fence_of_all_is_refused, .init = init)
{
    wf_sys.barrier = refused;
    each_is_taken_once(true);
}
