/* model_deque.c: pool/deque.h with 8 slots: one owner, up to three thieves; and pool/thieves.h:
 * they come and go.
 *
 * Checked in every execution: each work is taken exactly once, by whoever; the taker sees what the
 * giver wrote into it; the facts of wf_deque_check hold whenever the owner is between two calls; an
 * ask is not lost (G.5). */
#define WF_DEQUE_SLOTS        8
#define WF_DEQUE_ENV()        env_now
#define WF_DEQUE_STACK_LOW()  stack_low
#define WF_DEQUE_STACK_HIGH() stack_high
#define WF_DEQUE_STACK_LEFT() stack_left
#define WF_DEQUE_STACK_OF(at) ((at) >= stack_low && (at) < stack_high ? UINT64_C(1) : UINT64_C(2))
#include <stdint.h>
static uintptr_t env_now; /* of the running code; not modelled, as it is the owner's */
static uintptr_t stack_left, stack_low, stack_high;
#include "pool/deque.h"

#include <string.h>

#define ITEMS 12

struct item {
    union {
        struct wf_work work;
        struct wf_section section;
    };
    WF_PLAIN(int) payload;
    uintptr_t env; /* of a section; 0: it is none */
    int taken;     /* not modelled: the checker is one thread */
};

uint64_t wf_deque_secret = UINT64_C(1) << 63 | 0x123456789ab0;
bool wf_deque_hides = true;
struct wf_fiber_hooks wf_fiber_hooks;
static struct wf_thieves those;
static struct wf_deque d;
static struct item
    items[ITEMS]; /* the owner's stack: an array, so that they are forked in ascending order */

static void begin_with(bool come_and_go)
{
    memset(&d, 0, sizeof d);
    memset(items, 0, sizeof items);
    wf_thieves_init(&those, come_and_go);
    wf_deque_init(&d, &those);
    env_now = 8;
    stack_left = stack_low = (uintptr_t)items;
    stack_high = (uintptr_t)(items + ITEMS);
}

/* Thieves that are there from the start, and stay. */
static void begin(void)
{
    begin_with(false);
}

static struct wf_work *make(int i)
{
    wf_plain_write(&items[i].payload, 100 + i);
    return &items[i].work;
}

static void take(struct wf_work *work)
{
    if (work == NULL) {
        return;
    }
    struct item *item = wf_container_of(work, struct item, work);
    wloom_assert(item >= items && item < items + ITEMS);
    wloom_assert(wf_plain_read(&item->payload) == 100 + (int)(item - items));
    wloom_assert(++item->taken == 1);
    if (item->env != 0 && item->section.link != 0) { /* it was public */
        wloom_assert(item->section.link == item->env);
    }
}

/* Owner: the facts that hold between two calls. */
static void check(void)
{
    wloom_observe(true);
    wf_deque_check(&d);
    wloom_observe(false);
}

/* As a join: in place if it is still ours. A thief has it otherwise, and the end of the scenario
 * waits for that. */
static void join(int i)
{
    if (wf_section_take(&items[i].section) || wf_deque_take_if(&d, &items[i].work)) {
        take(&items[i].work);
    }
    check();
}

static bool fork_item(int i, bool is_idle)
{
    (void)make(i);
    items[i].env = env_now;
    bool became_public =
        wf_deque_fork(&d, &items[i].section, sizeof items[i], is_idle ? WF_WANT_ALL : 0);
    check();
    return became_public;
}

static void push(int i)
{
    wloom_assert(wf_deque_push(&d, make(i)));
    check();
}

static void pop(void)
{
    take(wf_deque_pop(&d));
    check();
}

/* Owner, after all thieves have ended: items [0, n) were taken once, those that are still private
 * by their joins. */
static void end(int n)
{
    wloom_join_all();
    check();
    for (struct wf_work *work; (work = wf_deque_pop(&d)) != NULL;) {
        take(work);
    }
    for (int i = n - 1; i >= 0; i--) {
        if (items[i].env != 0 && wf_section_take(&items[i].section)) {
            take(&items[i].work);
        }
        wloom_assert(items[i].taken == 1);
    }
    wloom_observe(true);
    wloom_assert(wf_load_relaxed(&d.pass) == WF_DEQUE_ASK || wf_load_relaxed(&d.asked) == 0);
    wloom_assert(!wf_deque_has_public(&d));
}

static void thief(void *arg)
{
    for (int tries = (int)(intptr_t)arg; tries > 0; tries--) {
        take(wf_deque_steal(&d));
    }
}

static void thieves(int count, int tries)
{
    for (int i = 0; i < count; i++) {
        wloom_spawn(thief, (void *)(intptr_t)tries);
    }
}

/* --- general work ----------------------------------------------------------------------------- */

static void push_pop_two_thieves(void)
{
    begin();
    thieves(2, 1);
    push(0);
    push(1);
    pop();
    pop();
    end(2);
}

static void last_entry_three_thieves(void)
{
    begin();
    push(0);
    thieves(3, 1);
    pop();
    end(1);
}

static void push_three_thief_of_two(void)
{
    begin();
    thieves(1, 2);
    push(0);
    push(1);
    push(2);
    pop();
    pop();
    end(3);
}

/* Owner: its own oldest, as a thief would take it; it alone moves `bottom`, so it may meet thieves,
 * and not itself. */
static void take_own_oldest(void)
{
    take(wf_deque_steal(&d));
    check();
}

static void owner_takes_its_oldest_beside_a_thief(void)
{
    begin();
    push(0);
    push(1);
    thieves(1, 2);
    take_own_oldest();
    push(2);
    pop();
    end(3);
}

/* The index that the owner, or a thief, has just taken is used again at once. */
static void owner_takes_its_last_as_the_oldest(void)
{
    begin();
    push(0);
    thieves(2, 1);
    take_own_oldest();
    push(1);
    take_own_oldest();
    pop();
    end(2);
}

/* The same index with one work, then another. */
static void index_used_again(void)
{
    begin();
    push(0);
    push(1);
    thieves(2, 1);
    pop();
    push(2);
    pop();
    push(3);
    pop();
    end(4);
}

/* The same slot, one round later: it may be written only when its thief has read it. */
static void slot_used_again(void)
{
    begin();
    for (int i = 0; i < WF_DEQUE_SLOTS; i++) {
        push(i);
    }
    thieves(2, 1);
    for (int i = WF_DEQUE_SLOTS; i < ITEMS - 1; i++) {
        fork_item(i, false);
        if (i % 3 == 2) {
            wf_deque_publish(&d);
            check();
        }
    }
    pop();
    end(ITEMS - 1);
}

/* --- thieves that come and go ---------------------------------------------------------------- */

static void steals(int tries)
{
    for (; tries > 0; tries--) {
        take(wf_deque_steal(&d));
    }
}

static void comes(void *arg)
{
    wf_thieves_join(&those);
    steals((int)(intptr_t)arg);
}

static void comes_and_goes(void *arg)
{
    comes(arg);
    wf_thieves_leave(&those);
}

static void comes_again(void *arg)
{
    comes_and_goes(arg);
    comes_and_goes(arg);
}

static void two_take_what_one_steals(void (*steal)(void *arg), int tries)
{
    begin_with(true);
    push(0);
    push(1);
    wloom_spawn(steal, (void *)(intptr_t)tries);
    pop();
    pop();
    end(2);
}

static void a_thief_comes(void)
{
    two_take_what_one_steals(comes, 2);
}

static void a_thief_comes_and_goes(void)
{
    two_take_what_one_steals(comes_and_goes, 1);
}

static void a_thief_comes_twice(void)
{
    two_take_what_one_steals(comes_again, 1);
}

/* The owner's last, again and again at the next index. */
static void the_last_as_a_thief_comes(void)
{
    begin_with(true);
    wloom_spawn(comes_and_goes, (void *)1);
    push(0);
    pop();
    push(1);
    pop();
    push(2);
    end(3);
}

/* The same index, taken without a fence, with one work, then another. */
static void an_index_used_again_as_a_thief_comes(void)
{
    begin_with(true);
    push(0);
    push(1);
    wloom_spawn(comes_and_goes, (void *)1);
    pop();
    push(2);
    pop();
    push(3);
    end(4);
}

static void one_comes_as_another_goes(void)
{
    begin_with(true);
    push(0);
    push(1);
    wloom_spawn(comes_and_goes, (void *)1);
    wloom_spawn(comes_and_goes, (void *)1);
    pop();
    pop();
    end(2);
}

/* It has stolen elsewhere. */
static void the_owner_is_a_thief_itself(void)
{
    begin_with(true);
    wf_thieves_join(&those);
    d.own = 1;
    push(0);
    push(1);
    wloom_spawn(comes_and_goes, (void *)1);
    pop();
    wf_thieves_leave(&those);
    d.own = 0;
    pop();
    end(2);
}

/* Its slots, one round later, when the thief that has read one is gone. */
static void a_slot_used_again_when_a_thief_is_gone(void)
{
    begin_with(true);
    for (int i = 0; i < WF_DEQUE_SLOTS; i++) {
        push(i);
    }
    wloom_spawn(comes_and_goes, (void *)1);
    for (int i = 0; i < WF_DEQUE_SLOTS; i++) {
        pop();
    }
    for (int i = WF_DEQUE_SLOTS; i < ITEMS; i++) {
        push(i);
    }
    end(ITEMS);
}

/* Roads not taken. */

static void steals_uncounted(void *arg)
{
    steals((int)(intptr_t)arg);
}

static void comes_by_a_fence_of_its_own(void *arg)
{
    wf_thieves_enter(&those);
    wf_fence_seq_cst();
    steals((int)(intptr_t)arg);
}

static void comes_after_the_fence(void *arg)
{
    wf_fence_heavy();
    wf_thieves_enter(&those);
    steals((int)(intptr_t)arg);
}

static void goes_before_it_steals(void *arg)
{
    wf_thieves_join(&those);
    wf_thieves_leave(&those);
    steals((int)(intptr_t)arg);
}

static void uncounted_thief(void)
{
    two_take_what_one_steals(steals_uncounted, 1);
}

static void thief_with_a_fence_of_its_own(void)
{
    two_take_what_one_steals(comes_by_a_fence_of_its_own, 1);
}

static void thief_counted_after_the_fence(void)
{
    two_take_what_one_steals(comes_after_the_fence, 1);
}

static void thief_that_went_before_it_stole(void)
{
    two_take_what_one_steals(goes_before_it_steals, 1);
}

/* --- fork and join ---------------------------------------------------------------------------- */

static void fork_join_busy(void)
{
    begin();
    thieves(2, 1);
    fork_item(0, false);
    fork_item(1, false);
    fork_item(2, false);
    join(2);
    join(1);
    join(0);
    end(3);
}

static void fork_join_idle(void)
{
    begin();
    thieves(2, 1);
    wloom_assert(fork_item(0, true));
    wloom_assert(fork_item(1, true));
    join(1);
    join(0);
    end(2);
}

/* What finds no slot is kept for its join, and nobody finds it. */
static void publish_into_a_full_deque(void)
{
    begin();
    for (int i = 0; i < WF_DEQUE_SLOTS - 1; i++) {
        push(i);
    }
    thieves(1, 2);
    fork_item(7, false);
    fork_item(8, false);
    fork_item(9, false);
    wf_deque_publish(&d);
    check();
    wloom_assert(!wf_deque_publish(&d));
    fork_item(10, false);
    join(10);
    join(9);
    join(8);
    end(11);
}

static void publish_before_suspension(void)
{
    begin();
    fork_item(0, false);
    fork_item(1, false);
    thieves(2, 1);
    wloom_assert(wf_deque_publish(&d));
    wloom_assert(!wf_deque_publish(&d));
    fork_item(2, false);
    join(2);
    pop();
    pop();
    end(3);
}

/* Scopes are opened and closed between forks. */
static void each_section_has_its_env(void)
{
    begin();
    thieves(2, 1);
    fork_item(0, false);
    wf_deque_sign(&d, env_now);
    env_now = 16;
    fork_item(1, false);
    wf_deque_sign(&d, env_now);
    env_now = 24;
    fork_item(2, false);
    join(2);
    env_now = 16;
    join(1);
    env_now = 8;
    fork_item(3, false); /* where one was that is signed */
    wf_deque_publish(&d);
    end(4);
}

/* A road not taken: who opens a scope leaves it to the next publication to find the env. */
static void unsigned_sections_get_another_env(void)
{
    begin();
    fork_item(0, false);
    env_now = 16;
    fork_item(1, false);
    wf_deque_publish(&d);
    thieves(1, 1);
    end(2);
}

/* A road not taken: a join that leaves the mark to be written over by whatever comes. */
static void marks_that_are_not_erased_are_found(void)
{
    begin();
    fork_item(0, false);
    take(&items[0].work);
    fork_item(1, false);
    wf_deque_publish(&d);
    thieves(1, 1);
    end(2);
}

/* --- asking ----------------------------------------------------------------------------------- */

static WF_ATOMIC(uint32_t) idle[2];
static int asks; /* that have been made; an observer's count */

static void sleeper(void *arg)
{
    wf_store_relaxed(&idle[(intptr_t)arg], 1);
    wf_deque_ask(&d);
    asks++;
}

static bool is_idle(int i)
{
    return wf_load_relaxed(&idle[i]) != 0;
}

static void begin_asking(void)
{
    begin();
    memset(idle, 0, sizeof idle);
    asks = 0;
}

/* A worker goes to sleep, and asks; it never comes back. The next fork leaves nothing private. */
static void ask_of_a_sleeper(void)
{
    begin_asking();
    int thread = wloom_spawn(sleeper, (void *)0);
    fork_item(0, is_idle(0));
    fork_item(1, is_idle(0));
    fork_item(2, is_idle(0));
    wloom_join(thread);
    wloom_assert(fork_item(3, is_idle(0)) && !wf_deque_has_private(&d));
    end(4);
}

/* Here nothing but the asks orders the owner after the sleepers. Once it has heard both, it sees
 * both idle. */
static void asks_are_heard_with_their_reasons(void)
{
    begin_asking();
    fork_item(0, false);
    wloom_spawn(sleeper, (void *)0);
    wloom_spawn(sleeper, (void *)1);
    fork_item(1, false);
    wloom_observe(true);
    bool heard = asks == 2 && wf_load_relaxed(&d.pass) == WF_DEQUE_LOOK;
    wloom_observe(false);
    if (heard) {
        wloom_assert(is_idle(0) && is_idle(1));
    }
    end(2);
}

/* As the ask comes, the owner takes the pass back, since the env is about to change. `end_free` is
 * how it does, or a road not taken. */
static void ask_as_free_forks_end(void (*end_free)(void))
{
    begin_asking();
    fork_item(0, false);
    int thread = wloom_spawn(sleeper, (void *)0);
    end_free();
    fork_item(1, is_idle(0));
    wloom_join(thread);
    wloom_assert(fork_item(2, is_idle(0)) && !wf_deque_has_private(&d));
    end(3);
}

static void end_free_as_it_is(void)
{
    wf_deque_sign(&d, env_now);
}

static void end_free_by_a_store(void)
{
    wf_store_relaxed(&d.pass, WF_DEQUE_LOOK);
}

static void end_of_free_forks_keeps_an_ask(void)
{
    ask_as_free_forks_end(end_free_as_it_is);
}

static void end_of_free_forks_by_a_store_loses_an_ask(void)
{
    ask_as_free_forks_end(end_free_by_a_store);
}

static void thieves_ask(void)
{
    begin();
    thieves(2, 1);
    fork_item(0, false);
    fork_item(1, false);
    fork_item(2, false);
    fork_item(3, false);
    end(4);
}

/* --- a road not taken ------------------------------------------------------------------------- */

/* The deque of the first prototype: {top, bottom} in one word, and the CAS after reading the slot.
 * The owner retracts an entry and puts another at its index while a thief holds the old one.
 * Testing never showed it. */
static WF_ATOMIC(uint64_t) packed;
static WF_ATOMIC(struct wf_work *) packed_slots[4];

#define PACK(top, bottom) ((uint64_t)(bottom) << 32 | (uint32_t)(top))

static void packed_push(struct wf_work *work)
{
    uint64_t word = wf_load_relaxed(&packed);
    wf_store_relaxed(&packed_slots[word >> 32 & 3], work);
    while (!wf_cas_acq_rel(&packed, &word, word + PACK(0, 1))) {
    }
}

static struct wf_work *packed_pop(void)
{
    uint64_t word = wf_load_acquire(&packed);
    while ((uint32_t)word != word >> 32) {
        if (wf_cas_acq_rel(&packed, &word, word - PACK(0, 1))) {
            return wf_load_relaxed(&packed_slots[(word >> 32 & 3) - 1]);
        }
    }
    return NULL;
}

static void packed_thief(void *arg)
{
    (void)arg;
    uint64_t word = wf_load_acquire(&packed);
    if ((uint32_t)word != word >> 32) {
        struct wf_work *work = wf_load_relaxed(&packed_slots[(uint32_t)word & 3]);
        if (wf_cas_acq_rel(&packed, &word, word + PACK(1, 0))) {
            take(work);
        }
    }
}

static void packed_word_has_aba(void)
{
    begin();
    memset(&packed, 0, sizeof packed);
    memset(packed_slots, 0, sizeof packed_slots);
    packed_push(make(0));
    wloom_spawn(packed_thief, NULL);
    take(packed_pop());
    packed_push(make(1));
    wloom_join_all();
    take(packed_pop());
    wloom_assert(items[0].taken == 1 && items[1].taken == 1);
}

static const struct wloom_scenario scenarios[] = {
    {"push_pop_two_thieves", push_pop_two_thieves, NULL, NULL, false},
    {"last_entry_three_thieves", last_entry_three_thieves, NULL, NULL, false},
    {"push_three_thief_of_two", push_three_thief_of_two, NULL, NULL, false},
    {"owner_takes_its_oldest", owner_takes_its_oldest_beside_a_thief, NULL, NULL, false},
    {"owner_takes_its_last", owner_takes_its_last_as_the_oldest, NULL, NULL, false},
    {"index_used_again", index_used_again, NULL, NULL, false},
    {"slot_used_again", slot_used_again, NULL, NULL, false},
    {"a_thief_comes", a_thief_comes, NULL, NULL, false},
    {"a_thief_comes_and_goes", a_thief_comes_and_goes, NULL, NULL, false},
    {"a_thief_comes_twice", a_thief_comes_twice, NULL, NULL, false},
    {"the_last_as_a_thief_comes", the_last_as_a_thief_comes, NULL, NULL, false},
    {"index_again_as_one_comes", an_index_used_again_as_a_thief_comes, NULL, NULL, false},
    {"one_comes_as_another_goes", one_comes_as_another_goes, NULL, NULL, false},
    {"the_owner_is_a_thief", the_owner_is_a_thief_itself, NULL, NULL, false},
    {"slot_again_after_a_thief", a_slot_used_again_when_a_thief_is_gone, NULL, NULL, false},
    {"fork_join_busy", fork_join_busy, NULL, NULL, false},
    {"fork_join_idle", fork_join_idle, NULL, NULL, false},
    {"publish_into_a_full_deque", publish_into_a_full_deque, NULL, NULL, false},
    {"publish_before_suspension", publish_before_suspension, NULL, NULL, false},
    {"each_section_has_its_env", each_section_has_its_env, NULL, NULL, false},
    {"ask_of_a_sleeper", ask_of_a_sleeper, NULL, NULL, false},
    {"asks_are_heard", asks_are_heard_with_their_reasons, NULL, NULL, false},
    {"end_of_free_forks", end_of_free_forks_keeps_an_ask, NULL, NULL, false},
    {"thieves_ask", thieves_ask, NULL, NULL, false},
    {"unsigned_sections", unsigned_sections_get_another_env, "assertion", "assertion", true},
    {"marks_not_erased", marks_that_are_not_erased_are_found, "assertion", "assertion", true},
    {"end_by_a_store", end_of_free_forks_by_a_store_loses_an_ask, "assertion", "assertion", true},
    {"uncounted_thief", uncounted_thief, "assertion", "assertion", true},
    {"thief_with_its_own_fence", thief_with_a_fence_of_its_own, NULL, "assertion", true},
    {"thief_counted_after", thief_counted_after_the_fence, NULL, "assertion", true},
    {"thief_went_before", thief_that_went_before_it_stole, "assertion", "assertion", true},
    {"packed_word_has_aba", packed_word_has_aba, "assertion", "assertion", true},
    {NULL, NULL, NULL, NULL, false},
};

static const struct wloom_survivor survivors[] = {
    {"deque.taken", "relaxed", WLOOM_NO_LOAD_BUFFERING},
    {"deque.reuse", "relaxed", WLOOM_NO_LOAD_BUFFERING},
    {"deque.reuse_many", "relaxed", WLOOM_NO_LOAD_BUFFERING},
    {"deque.restore", "relaxed", WLOOM_NO_STORE_REORDERING},
    {NULL, NULL, NULL},
};

static const char *const under_test[] = {"pool/deque.h", "pool/thieves.h", NULL};

int main(int argc, char **argv)
{
    static const struct wloom_harness harness = {
        .name = "deque",
        .scenarios = scenarios,
        .under_test = under_test,
        .survivors = survivors,
    };
    return wloom_main(&harness, argc, argv);
}
