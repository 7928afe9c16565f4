/* test_deque.c: one worker's deque (pool/deque.h), as its owner sees it, and a stress with thieves.
 * What interleavings can do is checked by tests/model/model_deque.c; this file checks the
 * sequential rules with the production sizes. */
#define WF_DEQUE_ENV() env_now
#include <stdint.h>
static uintptr_t env_now = 8; /* of the running code */
#include "pool/base/rng.h"
#include "pool/deque.h"
#include "tests/support/wt.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

enum { WORKS = WF_DEQUE_SLOTS + 8 };

static struct wf_deque d;
static struct wf_section works[WORKS]; /* sections, so that each can also be forked */

static void init(void)
{
    wf_deque_init(&d);
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

static enum wf_forked fork_at(int i, bool is_idle)
{
    return wf_deque_fork(&d, &works[i], is_idle);
}

static bool join_at(int i)
{
    return wf_deque_take_private(&d, &works[i]) ||
           ((works[i].link & WF_SECTION_PUBLIC) == 0 && wf_deque_remove(&d, &works[i])) ||
           wf_deque_take_if(&d, work_at(i));
}

static void push(int first, int count)
{
    for (int i = first; i < first + count; i++) {
        wt_true(wf_deque_push(&d, work_at(i)));
    }
}

static uint64_t private_count(void)
{
    return wf_deque_private(&d);
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

Test(deque, push_refuses_when_only_the_reserve_is_left, .init = init)
{
    push(0, WF_DEQUE_ROOM);
    wt_false(wf_deque_push(&d, work_at(WF_DEQUE_ROOM)));
    wt_eq(number(wf_deque_steal(&d)), 0);
    push(WF_DEQUE_ROOM, 1); /* a steal makes room */
    wt_eq(number(wf_deque_pop(&d)), (int)WF_DEQUE_ROOM);
    for (int i = WF_DEQUE_ROOM - 1; i > 0; i--) {
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

Test(deque, is_long_from_its_limit_on, .init = init)
{
    push(0, WF_DEQUE_LONG - 1);
    wt_false(wf_deque_is_long(&d));
    push(WF_DEQUE_LONG - 1, 1);
    wt_true(wf_deque_is_long(&d));
    wt_eq(number(wf_deque_steal(&d)), 0);
    wt_false(wf_deque_is_long(&d));
}

/* --- fork and join ---------------------------------------------------------------------------- */

/* As many forks as stay private: their addresses stand for their number. */
enum {
    IN_WINDOW = (WF_DEQUE_WINDOW / 2 + sizeof(struct wf_section) - 1) / sizeof(struct wf_section)
};
_Static_assert(IN_WINDOW > WF_DEQUE_PRIVATE, "the first slow fork publishes");

Test(deque, forks_stay_private_while_nobody_idles, .init = init)
{
    for (int i = 0; i < IN_WINDOW; i++) {
        wt_eq(fork_at(i, false), WF_FORKED_PRIVATE, "fork %d", i);
    }
    wt_false(wf_deque_has_public(&d));
    wt_eq(private_count(), (uint64_t)IN_WINDOW);
}

Test(deque, a_fork_out_of_the_window_publishes_all_but_half, .init = init)
{
    for (int i = 0; i < IN_WINDOW; i++) {
        fork_at(i, false);
    }
    wt_eq(fork_at(IN_WINDOW, false), WF_FORKED_PUBLIC);
    wt_eq(private_count(), (uint64_t)WF_DEQUE_PRIVATE / 2);
    wt_eq(wf_deque_len(&d), (uint64_t)IN_WINDOW + 1 - WF_DEQUE_PRIVATE / 2);
    for (int i = 0; i < IN_WINDOW + 1 - WF_DEQUE_PRIVATE / 2; i++) {
        wt_eq(number(wf_deque_steal(&d)), i);
    }
    for (int i = IN_WINDOW; i > IN_WINDOW - WF_DEQUE_PRIVATE / 2; i--) {
        wt_true(wf_deque_take_private(&d, &works[i]), "join %d", i);
    }
}

/* Frames grow downwards, loops over sections upwards. */
Test(deque, forks_out_of_the_window_on_both_sides_bound_what_is_private, .init = init)
{
    struct wf_rng rng;
    wf_rng_seed(&rng, 7);
    for (int i = 0; i < 2000; i++) {
        fork_at(2000 + i, false);
        fork_at(1999 - i, false);
        wf_deque_check(&d);
        wt_le(private_count(), (uint64_t)WF_DEQUE_PRIVATE + IN_WINDOW * 2);
        while (wf_deque_steal(&d) != NULL) {
        }
        wf_store_relaxed(&d.limit, WF_DEQUE_LOOK); /* an ask would publish */
        wf_store_relaxed(&d.asked, 0);
    }
}

Test(deque, sections_side_by_side_fill_a_window_and_no_more, .init = init)
{
    fork_at(2000, false);
    wt_true(join_at(2000));
    int first = 2000 - (int)(WF_DEQUE_WINDOW / 2 / sizeof(struct wf_section));
    int forked = 0;
    while (fork_at(first + forked, false) == WF_FORKED_PRIVATE) {
        forked++;
    }
    wt_le(forked, (int)WF_DEQUE_RESERVE - WF_DEQUE_PRIVATE);
    wt_true(forked >= (int)(WF_DEQUE_WINDOW / sizeof(struct wf_section)));
}

Test(deque, a_fork_while_somebody_idles_leaves_nothing_private, .init = init)
{
    wt_eq(fork_at(0, true), WF_FORKED_PUBLIC);
    wt_eq(fork_at(1, true), WF_FORKED_PUBLIC);
    wt_eq(private_count(), 0u);
}

Test(deque, join_takes_the_newest_private_entry, .init = init)
{
    fork_at(0, false);
    fork_at(1, false);
    wt_false(wf_deque_take_private(&d, &works[0]));
    wt_true(wf_deque_take_private(&d, &works[1]));
    wt_true(join_at(0));
    wt_false(wf_deque_take_private(&d, &works[0]));
}

Test(deque, join_takes_back_what_became_public, .init = init)
{
    fork_at(0, true);
    fork_at(1, true);
    wt_false(wf_deque_take_private(&d, &works[1]));
    wt_false(join_at(0));
    wt_true(join_at(1));
    wt_true(join_at(0));
}

Test(deque, join_of_a_stolen_entry_fails, .init = init)
{
    fork_at(0, true);
    wt_eq(number(wf_deque_steal(&d)), 0);
    wt_false(join_at(0)); /* its slot still holds the pointer */
}

Test(deque, join_below_the_work_of_others_fails, .init = init)
{
    fork_at(0, false);
    push(1, 1);
    wt_false(join_at(0));
    wt_eq(number(wf_deque_pop(&d)), 1);
    wt_true(join_at(0));
}

Test(deque, push_publishes_the_forks_below_it, .init = init)
{
    fork_at(0, false);
    push(1, 1);
    wt_eq(number(wf_deque_steal(&d)), 0);
}

Test(deque, publish_says_whether_it_changed_anything, .init = init)
{
    wt_false(wf_deque_publish(&d));
    fork_at(0, false);
    wt_true(wf_deque_publish(&d));
    wt_false(wf_deque_publish(&d));
    wt_eq(number(wf_deque_steal(&d)), 0);
}

Test(deque, fork_of_a_full_deque_is_refused_and_changes_nothing, .init = init)
{
    push(0, WF_DEQUE_ROOM);
    wt_eq(fork_at(WF_DEQUE_ROOM, false), WF_FORKED_FULL);
    wt_eq(fork_at(WF_DEQUE_ROOM, true), WF_FORKED_FULL);
    wf_deque_check(&d);
    wt_eq(number(wf_deque_pop(&d)), (int)WF_DEQUE_ROOM - 1);
}

/* The fast path trusts the window alone: what it lets through must have its slots. */
Test(deque, forks_up_to_the_last_slot_overwrite_nothing, .init = init)
{
    int forked = 0;
    while (fork_at(forked, false) != WF_FORKED_FULL) {
        forked++;
        wf_deque_check(&d);
    }
    wt_true(forked >= (int)WF_DEQUE_ROOM);
    wt_le(forked, WF_DEQUE_SLOTS);
    for (int i = forked - 1; i >= 0; i--) {
        wt_true(join_at(i), "join %d", i);
    }
}

/* The window is open, all but the reserve is taken, and then that. */
Test(deque, the_reserve_takes_all_that_the_window_lets_through, .init = init)
{
    fork_at(2000, false);
    wt_true(join_at(2000));
    int first = 2000 - (int)(WF_DEQUE_WINDOW / 2 / sizeof(struct wf_section));
    for (int i = 0; i < (int)WF_DEQUE_ROOM; i++) {
        wt_true(wf_deque_push(&d, work_at(0))); /* is never run here */
    }
    int forked = 0;
    while (fork_at(first + forked, false) == WF_FORKED_PRIVATE) {
        forked++;
    }
    wt_true(forked >= (int)(WF_DEQUE_WINDOW / sizeof(struct wf_section)));
    wf_deque_check(&d);
    wt_true(wf_deque_publish(&d));
    wf_deque_check(&d);
    wt_false(wf_deque_push(&d, work_at(1)));
    wt_eq(fork_at(first, false),
          WF_FORKED_FULL); /* its place is in the window, which is closed now */
    wt_eq(number(wf_deque_steal(&d)), 0);
}

Test(deque, the_next_fork_is_not_free_once_that_is_ended, .init = init)
{
    fork_at(0, false);
    wt_eq(fork_at(1, true), WF_FORKED_PRIVATE); /* free: it does not look */
    wf_deque_end_free(&d);
    wt_eq(fork_at(2, true), WF_FORKED_PUBLIC);
}

Test(deque, ending_free_forks_does_not_hide_an_ask, .init = init)
{
    fork_at(0, false);
    fork_at(1, false);
    wf_deque_ask(&d);
    wf_deque_end_free(&d);
    wt_eq(fork_at(2, false), WF_FORKED_PUBLIC);
}

Test(deque, a_section_that_became_public_is_in_no_list_and_knows_its_env, .init = init)
{
    fork_at(0, false);
    fork_at(1, false);
    env_now = 0x1230;
    wt_true(wf_deque_publish(&d));
    wt_eq(works[0].link, ~(uintptr_t)0x1230);
    wt_eq(works[0].state, 0x1230u);
    wt_false(wf_deque_take_private(&d, &works[1]));
    wt_eq(number(wf_deque_steal(&d)), 0);
    fork_at(2, false);
    wt_false(wf_deque_take_private(&d, &works[1]));
    wt_true(wf_deque_take_private(&d, &works[2]));
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
        wt_eq(~works[i].link, 0x1000u * (i + 1));
        wt_eq(number(wf_deque_steal(&d)), (int)i);
    }
}

Test(deque, a_section_signed_once_is_not_signed_when_it_is_forked_again, .init = init)
{
    fork_at(0, false);
    wf_deque_sign(&d, 0x1000);
    wt_false(wf_deque_take_private(&d, &works[0])); /* signed: by the slow path */
    wt_true(wf_deque_remove(&d, &works[0]));
    env_now = 0x2000;
    fork_at(0, false);
    wt_true(wf_deque_publish(&d));
    wt_eq(~works[0].link, 0x2000u);
}

Test(deque, sections_may_be_removed_out_of_turn, .init = init)
{
    for (int i = 0; i < 4; i++) {
        fork_at(i, false);
    }
    wf_deque_sign(&d, 0x1000);
    wt_true(wf_deque_remove(&d, &works[1]));
    wt_false(wf_deque_remove(&d, &works[1]));
    wt_false(wf_deque_take_private(&d, &works[2]));
    fork_at(4, false);
    wt_true(wf_deque_take_private(&d, &works[4]));
    wt_true(wf_deque_remove(&d, &works[3]));
    wt_true(wf_deque_publish(&d)); /* still signed */
    wt_eq(~works[2].link, 0x1000u);
    wt_eq(~works[0].link, 0x1000u);
    wt_eq(number(wf_deque_steal(&d)), 0);
    wt_eq(number(wf_deque_steal(&d)), 2);
}

/* --- asking ----------------------------------------------------------------------------------- */

Test(deque, a_failed_steal_asks_and_the_next_fork_gives_half, .init = init)
{
    for (int i = 0; i < 4; i++) {
        fork_at(i, false);
    }
    wt_eq(number(wf_deque_steal(&d)), -1);
    wt_eq(fork_at(4, false), WF_FORKED_PUBLIC);
    wt_eq(private_count(), 2u);
    wt_eq(number(wf_deque_steal(&d)), 0);
}

Test(deque, after_an_ask_forks_look_at_the_idle_hint_until_nobody_idles, .init = init)
{
    fork_at(0, false);
    wf_deque_ask(&d);
    fork_at(1, false);
    wt_eq(fork_at(2, true), WF_FORKED_PUBLIC);
    wt_eq(fork_at(3, true), WF_FORKED_PUBLIC);
    wt_eq(fork_at(4, false), WF_FORKED_PRIVATE);
    wt_eq(fork_at(5, true), WF_FORKED_PRIVATE); /* the fast path does not look */
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

static void *thief(void *arg)
{
    (void)arg;
    while (wf_load_acquire(&over) == 0) { /* sync(test.over): acquire; pairs sync(test.end) */
        take(wf_deque_steal(&d));
    }
    return NULL;
}

/* Forks and joins in random depths, mostly small ones, where owner and thieves meet; pushes, pops,
 * publications. */
static void drive(struct wf_rng *rng)
{
    int open[64]; /* forks not yet joined, newest last */
    int depth = 0;
    for (int i = 0; i < ITEMS;) {
        uint32_t dice = wf_rng_below(rng, 16);
        if (dice < 7 && depth < 64) {
            if (wf_deque_fork(&d, &items[i].section, wf_rng_below(rng, 4) != 0) != WF_FORKED_FULL) {
                open[depth++] = i;
            } else {
                take(&items[i].work);
            }
            i++;
        } else if (dice < 13 && depth > 0) {
            struct item *item = &items[open[--depth]];
            if (wf_deque_take_private(&d, &item->section) || wf_deque_take_if(&d, &item->work)) {
                take(&item->work);
            }
        } else if (dice == 13) {
            if (!wf_deque_push(&d, &items[i].work)) {
                take(&items[i].work);
            }
            i++;
        } else if (dice == 14) {
            take(wf_deque_pop(&d));
        } else {
            wf_deque_publish(&d);
        }
    }
}

Test(deque, every_work_is_taken_exactly_once_among_thieves, .init = init)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    uint64_t seed = (uint64_t)now.tv_nsec;
    fprintf(stderr, "deque stress: seed %llu\n", (unsigned long long)seed);
    struct wf_rng rng;
    wf_rng_seed(&rng, seed);
    items = calloc(ITEMS, sizeof *items);
    wt_true(items != NULL);
    pthread_t threads[THIEVES];
    for (int i = 0; i < THIEVES; i++) {
        wt_eq(pthread_create(&threads[i], NULL, thief, NULL), 0);
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
