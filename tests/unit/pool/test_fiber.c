/* test_fiber.c: stacks, guards and the switch (pool/fiber.h). Each test has a process of its own,
 * so each opens the region for itself. */
#include "pool/fiber.h"
#include "pool/overflow.h"
#include "pool/base/host.h"
#include "pool/base/sys.h"
#include "tests/support/wt.h"

#include <errno.h>
#include <execinfo.h>
#include <fenv.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#define MADV_GUARD_INSTALL_ 102

static struct wf_fiber home;
static struct wf_stack_cache cache;
static struct wf_sys real_sys;

/* Any pointer that is not NULL will do: the switch only hands it over. */
static struct wf_worker *const this_worker = (struct wf_worker *)&home;

static void open_with(size_t stacks)
{
    wt_eq(wf_stacks_open(stacks), 0);
    wf_fiber_home_init(&home);
    home.worker = this_worker;
}

static void close_all(void)
{
    wf_stack_cache_drain(&cache);
    wf_stacks_close();
}

static struct wf_fiber *take(void)
{
    struct wf_fiber *fiber = wf_fiber_take(&cache);
    wt_true(fiber);
    return fiber;
}

static char *slot_of(struct wf_fiber *fiber)
{
    return (char *)fiber - (uintptr_t)fiber % WF_STACK_BYTES;
}

static void give_before(struct wf_fiber *now, struct wf_fiber *before, void *arg)
{
    (void)now, (void)arg;
    wf_fiber_give(&cache, before);
}

/* Ends the current fiber: its stack is given back by the code that continues. */
static void finish(struct wf_fiber *self)
{
    wf_fiber_switch(self, &home, give_before, NULL);
    wt_fail("an abandoned stack continued");
}

static void go(struct wf_fiber *fiber)
{
    wf_fiber_switch(&home, fiber, NULL, NULL);
}

/* Runs `entry`, which must end with finish(), on a stack of its own. */
static void run(wf_entry_fn *entry)
{
    struct wf_fiber *fiber = take();
    wf_fiber_start(fiber, entry);
    go(fiber);
}

/* ---- the switch ---- */

static int steps;

static void note_after(struct wf_fiber *now, struct wf_fiber *before, void *arg)
{
    wt_eq(steps++, 0);
    wt_eq(wf_self(), now);
    wt_eq(before, &home);
    wt_eq(arg, &steps);
    wt_true(before->sp, "the context is saved before `after` runs");
}

static void note_entry(struct wf_fiber *self)
{
    wt_eq(steps++, 1);
    wt_eq(wf_self(), self);
    wt_eq(self->worker, this_worker);
    wt_eq((uintptr_t)wf_frame_address() % 16, 0u, "the ABI's alignment");
    finish(self);
}

Test(fiber, a_prepared_stack_runs_after_and_then_its_entry)
{
    open_with(1024);
    struct wf_fiber *fiber = take();
    wf_fiber_start(fiber, note_entry);
    wf_fiber_switch(&home, fiber, note_after, &steps);
    wt_eq(steps, 2);
    close_all();
}

/* ---- a call in which a stack lies down ---- */

static struct wf_fiber *lying[2];
static uint64_t armed[2];
static int ended;

static void arm(struct wf_fiber *now, struct wf_fiber *before, void *word)
{
    (void)now, (void)before;
    *(uint64_t *)word = 1;
}

static void is_armed(struct wf_fiber *now, struct wf_fiber *before, void *word)
{
    (void)now, (void)before, (void)word;
    wt_fail("the word was 0");
}

/* Goes on with the other stack; the last one with the program. */
static int lie(struct wf_fiber *self, void *object, void *detail)
{
    bool second = self == lying[1];
    wt_eq(object, &armed[second]);
    wt_eq((uintptr_t)wf_frame_address() % 16, 0u, "the ABI's alignment");
    armed[second] = 0;
    wf_fiber_switch_arming(self, ended == 0 ? lying[!second] : &home, arm, is_armed, object);
    wt_eq(armed[second], 1u);
    return (int)(intptr_t)detail;
}

/* Two places that a call may come from, in whatever order they lie. */
static WF_NOINLINE int lie_here(struct wf_fiber *self, int i)
{
    int rc = wf_fiber_lying(self, &armed[self == lying[1]], (void *)(intptr_t)i, lie);
    return rc + 1000;
}

static WF_NOINLINE int lie_there(struct wf_fiber *self, int i)
{
    int rc = wf_fiber_lying(self, &armed[self == lying[1]], (void *)(intptr_t)i, lie);
    return rc + 2000;
}

static void lie_often(struct wf_fiber *self)
{
    for (int i = 0; i < 100; i++) {
        /* both at the same place, both at different ones, in both orders */
        if ((i / 10 + (i / 20 % 2 == 0 && self == lying[1])) % 2 == 0) {
            wt_eq(lie_here(self, i), i + 1000);
        } else {
            wt_eq(lie_there(self, -i), 2000 - i);
        }
    }
    ended++;
    finish(self);
}

Test(fiber, a_call_in_which_a_stack_lies_returns_to_where_it_came_from)
{
    open_with(1024);
    for (int i = 0; i < 2; i++) {
        lying[i] = take();
        wf_fiber_start(lying[i], lie_often);
    }
    go(lying[0]);
    wt_eq(ended, 1);
    while (ended < 2) { /* ends: each turn is a wait of the other, of which there are 100 */
        go(lying[1]);
    }
    close_all();
}

/* ---- a switch that queues ---- */

static struct wf_work *queue_slot;
static uint64_t queue_count;
static WF_ATOMIC(uint32_t) queue_is_watched;

static void look_at_queue(struct wf_fiber *now, struct wf_fiber *before, void *arg)
{
    (void)now;
    wt_eq(arg, (void *)&queue_is_watched);
    wt_eq(queue_slot, &before->resume, "it is queued before `after`");
    wt_eq(queue_count, 8u);
    wt_true(before->sp, "and its context is complete");
    errno = 77; /* as a system call of `after` may */
    steps++;
}

static void queue_itself(struct wf_fiber *self)
{
    errno = 33;
    wt_eq(wf_fiber_switch_queued(self, &home, look_at_queue, &queue_is_watched, &queue_slot,
                                 &queue_count),
          0);
    wt_eq(errno, 33);
    wt_eq(self->worker, this_worker);
    wt_eq(queue_count, 8u);
    wf_store_relaxed(&queue_is_watched, 1); /* relaxed: one thread */
    wt_eq(wf_fiber_switch_queued(self, &home, look_at_queue, &queue_is_watched, &queue_slot,
                                 &queue_count),
          0);
    steps++;
    finish(self);
}

Test(fiber, a_switch_that_queues_stores_the_stack_left_and_counts_it_before_after)
{
    if (WF_ASAN || WF_TSAN) {
        return; /* not there: see fiber.h */
    }
    open_with(1024);
    steps = 0;
    queue_count = 7;
    wf_store_relaxed(&queue_is_watched, 0); /* relaxed: one thread */
    struct wf_fiber *fiber = take();
    wf_fiber_start(fiber, queue_itself);
    fiber->worker = NULL;
    errno = 11;
    go(fiber);
    wt_eq(errno, 11, "of the stack that goes on, whatever the other and `after` left");
    wt_eq(steps, 1);
    queue_slot = NULL;
    go(fiber);
    wt_eq(queue_slot, &fiber->resume, "without `after` too");
    wt_eq(queue_count, 9u);
    go(fiber);
    wt_eq(steps, 2);
    close_all();
}

/* Never inline: the address of errno must be asked for again after each switch. */
WF_NOINLINE static void errno_set(int value)
{
    errno = value;
}

WF_NOINLINE static int errno_get(void)
{
    return errno;
}

/* The mode of x87 and of SSE, or fpcr: fegetround looks at one of them only. */
static int rounding(void)
{
    volatile double one = 1, tiny = 1e-300;
    volatile long double wide_one = 1, wide_tiny = 1e-300L;
    bool up = one + tiny > one, down = one - tiny < one;
    bool wide_up = wide_one + wide_tiny > wide_one, wide_down = wide_one - wide_tiny < wide_one;
    wt_eq(up, fegetround() == FE_UPWARD);
    wt_eq(wide_up, up);
    wt_eq(down, fegetround() == FE_DOWNWARD);
    wt_eq(wide_down, down);
    return fegetround();
}

/* As many values as there are callee-saved registers, different ones on each stack, alive over each
 * switch. */
WF_NOINLINE static uint64_t churn(struct wf_fiber *from, struct wf_fiber *to, uint64_t seed,
                                  int rounds, int mode)
{
    uint64_t a = seed, b = seed * 3, c = seed * 5, d = seed * 7;
    for (int i = 0; i < rounds; i++) {
        fesetround(mode);
        errno_set(mode);
        wf_fiber_switch(from, to, NULL, NULL);
        a = a * 31 + b, b = b * 37 + c, c = c * 41 + d, d = d * 43 + a;
        wt_eq(errno_get(), mode);
        wt_eq(rounding(), mode);
    }
    return a ^ b ^ c ^ d;
}

static uint64_t churn_alone(uint64_t seed, int rounds)
{
    uint64_t a = seed, b = seed * 3, c = seed * 5, d = seed * 7;
    for (int i = 0; i < rounds; i++) {
        a = a * 31 + b, b = b * 37 + c, c = c * 41 + d, d = d * 43 + a;
    }
    return a ^ b ^ c ^ d;
}

static void churn_on_fiber(struct wf_fiber *self)
{
    wt_eq(churn(self, &home, 1000003, 100, FE_DOWNWARD), churn_alone(1000003, 100));
    finish(self);
}

Test(fiber, a_switch_keeps_registers_rounding_mode_and_errno)
{
    open_with(1024);
    struct wf_fiber *fiber = take();
    wf_fiber_start(fiber, churn_on_fiber);
    wt_eq(churn(&home, fiber, 7, 101, FE_UPWARD), churn_alone(7, 101));
    close_all();
}

static int fresh_mode;

static void note_mode(struct wf_fiber *self)
{
    fresh_mode = fegetround();
    finish(self);
}

Test(fiber, a_fresh_stack_does_not_inherit_the_modes_of_who_suspends)
{
    open_with(1024);
    int normal = fegetround();
    fesetround(FE_TOWARDZERO);
    errno = ENOENT;
    run(note_mode);
    wt_eq(fresh_mode, normal);
    wt_eq(fegetround(), FE_TOWARDZERO);
    wt_eq(errno, ENOENT);
    close_all();
}

/* As a failed join: `after` finds nothing to wait for and continues the stack before at once. */
static void back_again(struct wf_fiber *now, struct wf_fiber *before, void *arg)
{
    (void)arg;
    steps++;
    wf_fiber_switch(now, before, give_before, NULL);
    wt_fail("an abandoned stack continued");
}

static void never(struct wf_fiber *self)
{
    (void)self;
    wt_fail("the entry must not run");
}

static void suspend_in_vain(struct wf_fiber *self)
{
    for (int i = 0; i < 1000; i++) {
        struct wf_fiber *next = take();
        wf_fiber_start(next, never);
        wf_fiber_switch(self, next, back_again, NULL);
        wt_eq(wf_self(), self);
    }
    finish(self);
}

Test(fiber, after_may_switch_back_at_once)
{
    open_with(1024);
    run(suspend_in_vain);
    wt_eq(steps, 1000);
    struct wf_stacks_report report;
    wf_stacks_report(&report);
    wt_le(report.slots_fresh, 8u, "two stacks take turns");
    close_all();
}

Test(fiber, self_is_null_on_a_stack_that_is_not_ours)
{
    wt_false(wf_self(), "before the region exists");
    open_with(1024);
    wt_false(wf_self());
    close_all();
    wt_false(wf_self());
    wt_eq(wf_stack_region[WF_REGION_BYTES], 0u);
}

/* ---- migration ---- */

static struct {
    pthread_mutex_t mutex;
    pthread_cond_t changed;
    struct wf_fiber *ready;
    int turn; /* of which thread */
    bool done;
} hand_over = {.mutex = PTHREAD_MUTEX_INITIALIZER, .changed = PTHREAD_COND_INITIALIZER};

static void publish(struct wf_fiber *now, struct wf_fiber *before, void *arg)
{
    (void)now;
    pthread_mutex_lock(&hand_over.mutex);
    hand_over.ready = before;
    hand_over.turn = *(int *)arg;
    pthread_cond_broadcast(&hand_over.changed);
    pthread_mutex_unlock(&hand_over.mutex);
}

struct migrant {
    struct wf_fiber home; /* of the thread; first, so that it serves as the worker too */
    int turn;
};

/* Changes threads a hundred times; what it finds must be of the thread that runs it now. */
static void migrate(struct wf_fiber *self)
{
    for (int i = 0; i < 100; i++) {
        struct migrant *here = (struct migrant *)self->worker;
        int next = !here->turn;
        errno_set(1000 + i);
        wf_fiber_switch(self, &here->home, publish, &next);
        wt_eq(wf_self(), self);
        wt_eq(((struct migrant *)self->worker)->turn, next, "the worker is handed over");
        wt_eq(errno_get(), 1000 + i, "errno comes along");
    }
    pthread_mutex_lock(&hand_over.mutex);
    hand_over.done = true;
    pthread_cond_broadcast(&hand_over.changed);
    pthread_mutex_unlock(&hand_over.mutex);
    wf_fiber_switch(self, &((struct migrant *)self->worker)->home, NULL, NULL);
}

static void *migrant_thread(void *arg)
{
    struct migrant *me = arg;
    wf_fiber_home_init(&me->home);
    me->home.worker = (struct wf_worker *)me;
    pthread_mutex_lock(&hand_over.mutex);
    while (!hand_over.done) {
        if (!hand_over.ready || hand_over.turn != me->turn) {
            pthread_cond_wait(&hand_over.changed, &hand_over.mutex);
            continue;
        }
        struct wf_fiber *fiber = hand_over.ready;
        hand_over.ready = NULL;
        pthread_mutex_unlock(&hand_over.mutex);
        errno_set(me->turn);
        wf_fiber_switch(&me->home, fiber, NULL, NULL);
        wt_eq(errno_get(), me->turn);
        pthread_mutex_lock(&hand_over.mutex);
    }
    pthread_mutex_unlock(&hand_over.mutex);
    return NULL;
}

Test(fiber, a_stack_may_continue_on_another_thread)
{
    open_with(1024);
    struct wf_fiber *fiber = take();
    wf_fiber_start(fiber, migrate);
    hand_over.ready = fiber;
    struct migrant migrants[2] = {{.turn = 0}, {.turn = 1}};
    pthread_t threads[2];
    for (int i = 0; i < 2; i++) {
        wt_eq(pthread_create(&threads[i], NULL, migrant_thread, &migrants[i]), 0);
    }
    for (int i = 0; i < 2; i++) {
        pthread_join(threads[i], NULL);
    }
    wf_fiber_give(&cache, fiber);
    close_all();
}

/* ---- taking and giving ---- */

Test(fiber, the_newest_stack_is_taken_first_and_its_generation_grows)
{
    open_with(1024);
    struct wf_fiber *a = take(), *b = take();
    uint32_t generation = b->generation;
    wf_fiber_give(&cache, a);
    wf_fiber_give(&cache, b);
    wt_eq(take(), b);
    wt_eq(b->generation, generation + 1);
    wt_eq(take(), a);
    wt_eq(cache.taken_warm, 2u);
    wf_fiber_give(&cache, a);
    wf_fiber_give(&cache, b);
    close_all();
}

Test(fiber, what_overflows_one_cache_serves_another)
{
    open_with(1024);
    enum { N = 100 };
    struct wf_fiber *fibers[N];
    for (int i = 0; i < N; i++) {
        fibers[i] = take();
    }
    for (int i = 0; i < N; i++) {
        wf_fiber_give(&cache, fibers[i]);
    }
    struct wf_stacks_report before, report;
    wf_stacks_report(&before);
    wt_ge(before.slots_free, (size_t)N - WF_STACK_CACHE_MAX);

    struct wf_stack_cache other = {0};
    for (size_t i = 0; i < before.slots_free; i++) {
        wt_true(wf_fiber_take(&other));
    }
    wt_eq(other.taken_fresh, 0u);
    wf_stacks_report(&report);
    wt_eq(report.slots_free, 0u);
    wt_eq(report.slots_fresh, before.slots_fresh);
    close_all();
}

Test(fiber, shared_stacks_come_back_once_each_however_many_there_were)
{
    open_with(1024);
    enum { MOST = 70 };
    struct wf_fiber *fibers[MOST];
    for (uint32_t n = 1; n <= MOST; n++) {
        for (uint32_t i = 0; i < n; i++) {
            fibers[i] = take();
        }
        for (uint32_t i = 0; i < n; i++) {
            wf_fiber_give(&cache, fibers[i]);
        }
        wf_stack_cache_drain(&cache);
        struct wf_stacks_report report;
        wf_stacks_report(&report);
        wt_eq(report.slots_free, report.slots_fresh);
        wt_ge(report.slots_free, n);

        struct wf_stack_cache other = {0};
        for (uint32_t i = 0; i < n; i++) {
            fibers[i] = wf_fiber_take(&other);
            wt_eq(fibers[i]->env, NULL, "handed out twice");
            fibers[i]->env = (struct wf_env *)(void *)fibers[i];
        }
        wt_eq(other.taken_fresh, 0u);
        for (uint32_t i = 0; i < n; i++) {
            wf_fiber_give(&other, fibers[i]);
        }
        wf_stack_cache_drain(&other);
        wf_stacks_report(&report);
        wt_eq(report.slots_free, report.slots_fresh);
    }
    close_all();
}

Test(fiber, drained_caches_leave_every_slot_free)
{
    open_with(1024);
    struct wf_stack_cache caches[3] = {{0}};
    for (int i = 0; i < 3; i++) {
        wt_true(wf_stack_cache_fill(&caches[i]));
        wt_eq(caches[i].count, 1u);
    }
    for (int i = 0; i < 3; i++) {
        wf_stack_cache_drain(&caches[i]);
    }
    struct wf_stacks_report report;
    wf_stacks_report(&report);
    wt_eq(report.slots_free, report.slots_fresh);
    wf_stacks_close();
}

Test(fiber, when_all_slots_are_taken_take_returns_null_until_one_comes_back)
{
    open_with(4);
    struct wf_fiber *fibers[4];
    for (int i = 0; i < 4; i++) {
        fibers[i] = take();
    }
    wt_false(wf_fiber_take(&cache));
    wt_false(wf_stack_cache_fill(&cache));
    wf_fiber_give(&cache, fibers[2]);
    wt_true(wf_stack_cache_fill(&cache));
    wt_eq(wf_fiber_take(&cache), fibers[2]);
    close_all();
}

Test(fiber, neighbours_start_at_different_cache_sets)
{
    open_with(1024);
    struct wf_fiber *fibers[8];
    for (int i = 0; i < 8; i++) {
        fibers[i] = take();
        wf_fiber_start(fibers[i], never);
        for (int k = 0; k < i; k++) {
            wt_ne((uintptr_t)fibers[i]->sp % 4096, (uintptr_t)fibers[k]->sp % 4096);
        }
        wt_lt((uintptr_t)fibers[i] - (uintptr_t)fibers[i]->sp, 2048u,
              "half of the top page is left");
    }
    close_all();
}

/* Else they share the few sets of the TLB. */
Test(fiber, blocks_of_neighbours_lie_in_different_pages)
{
    open_with(1024);
    unsigned seen[16] = {0};
    for (int i = 0; i < 32; i++) {
        struct wf_fiber *fiber = take();
        uintptr_t below = WF_STACK_BYTES - (uintptr_t)fiber % WF_STACK_BYTES;
        wt_eq(below % 4096, 256u);
        wt_lt(below / 4096, 16u);
        seen[below / 4096]++;
        wt_true(wf_fiber_in_slot((uintptr_t)slot_of(fiber)) == fiber);
        wt_true(wf_fiber_in_slot((uintptr_t)slot_of(fiber) + WF_STACK_BYTES - 1) == fiber);
        wt_eq((uintptr_t)fiber->stack_low + fiber->stack_bytes, (uintptr_t)fiber);
    }
    for (int i = 0; i < 16; i++) {
        wt_eq(seen[i], 2u);
    }
    close_all();
}

static size_t resident_pages(struct wf_fiber *fiber)
{
    unsigned char pages[WF_STACK_BYTES / 4096] = {0};
    char *slot = slot_of(fiber);
    if (mincore(slot, WF_STACK_BYTES, pages) != 0) {
        wt_skip("mincore: an emulator");
    }
    size_t n = 0;
    for (size_t i = 0; i < sizeof pages; i++) {
        n += pages[i] & 1;
    }
    return n;
}

/* Writes every byte. The frames know each other, so that no compiler makes a loop of them. */
WF_NOINLINE static size_t use_stack_below(size_t bytes, char *above)
{
    char buffer[4096];
    memset(buffer, above ? above[1] + 1 : 1, sizeof buffer);
    size_t used = bytes > sizeof buffer ? use_stack_below(bytes - sizeof buffer, buffer) : 0;
    return used + (size_t)(buffer[2] != 0) * sizeof buffer;
}

static void use_stack(size_t bytes)
{
    wt_gt(use_stack_below(bytes, NULL), bytes / 2);
}

static void use_much(struct wf_fiber *self)
{
    use_stack(160 * 1024);
    finish(self);
}

Test(fiber, a_resumption_is_told_by_its_address)
{
    static struct wf_work other;
    open_with(64);
    struct wf_fiber *fiber = take();
    wt_true(wf_fiber_resumed_by(&fiber->resume) == fiber);
    wt_true(wf_fiber_resumed_by(&other) == NULL);
    wt_true(wf_fiber_resumed_by((struct wf_work *)(void *)fiber) == NULL);
    wf_fiber_fetch(fiber);
    wf_fiber_fetch_rest(fiber);
    wf_fiber_give(&cache, fiber);
    close_all();
}

Test(fiber, idle_stacks_give_back_what_few_tasks_use)
{
    if (WF_ASAN || WF_TSAN || wf_sys_page_bytes() != 4096) {
        wt_skip("frames have other sizes");
    }
    open_with(1024);
    enum { N = 40 }; /* some in the cache, some in the set of free ones */
    struct wf_fiber *fibers[N];
    for (int i = 0; i < N; i++) {
        fibers[i] = take();
        wf_fiber_start(fibers[i], use_much);
        wf_fiber_switch(&home, fibers[i], NULL, NULL);
        wt_eq(take(), fibers[i]);
    }
    for (int i = 0; i < N; i++) {
        wf_fiber_give(&cache, fibers[i]);
        wt_ge(resident_pages(fibers[i]), 40u);
    }
    wf_stack_cache_trim(&cache, INT64_C(1000000000));
    for (int i = 0; i < N; i++) {
        wt_le(resident_pages(fibers[i]), 4u, "stack %d", i);
    }
    uint64_t trims = cache.trims;
    wf_stack_cache_trim(&cache, INT64_C(1000000001));
    wt_eq(cache.trims, trims, "not twice within 100 ms");
    close_all();
}

/* ---- the region ---- */

Test(fiber, the_region_is_shared_until_its_last_close)
{
    open_with(2048);
    uintptr_t base = wf_stack_region[WF_REGION_BASE];
    wt_eq(base % WF_STACK_BYTES, 0u);
    wt_eq(wf_stack_region[WF_REGION_BYTES], 2048 * WF_STACK_BYTES);
    wt_eq(wf_stacks_open(4096), 0);
    wt_eq(wf_stack_region[WF_REGION_BYTES], 2048 * WF_STACK_BYTES);
    wf_stacks_close();
    wt_eq(wf_stack_region[WF_REGION_BASE], base);
    wf_stacks_close();
    wt_eq(wf_stack_region[WF_REGION_BYTES], 0u);
    for (int i = 0; i < 3; i++) { /* and may be opened again */
        open_with(1024);
        run(note_mode);
        close_all();
        cache = (struct wf_stack_cache){0};
    }
}

Test(fiber, closing_without_opening_is_misuse, .signal = SIGABRT)
{
    wf_stacks_close();
}

static size_t refused_above;

static void *map_refusing(size_t bytes, int prot)
{
    return bytes > refused_above ? NULL : real_sys.map(bytes, prot);
}

Test(fiber, a_refused_reservation_is_halved)
{
    real_sys = wf_sys;
    wf_sys.map = map_refusing;
    refused_above = 3000 * WF_STACK_BYTES;
    wt_eq(wf_stacks_open(10000), 0);
    wt_eq(wf_stack_region[WF_REGION_BYTES], 2500 * WF_STACK_BYTES);
    wf_stacks_close();
    refused_above = 100 * WF_STACK_BYTES;
    wt_eq(wf_stacks_open(10000), -ENOMEM);
    wt_eq(wf_stack_region[WF_REGION_BYTES], 0u);
    wf_sys = real_sys;
    wt_eq(wf_stacks_open(10000), 0, "and a refusal leaves nothing behind");
    wf_stacks_close();
}

static size_t unmapped;

static void *map_refusing_small(size_t bytes, int prot)
{
    return bytes < WF_STACK_BYTES ? NULL : real_sys.map(bytes, prot);
}

static int unmap_counting(void *address, size_t bytes)
{
    unmapped += bytes;
    return real_sys.unmap(address, bytes);
}

Test(fiber, without_memory_for_the_set_of_free_stacks_the_reservation_is_given_back)
{
    real_sys = wf_sys;
    wf_sys.map = map_refusing_small;
    wf_sys.unmap = unmap_counting;
    wt_eq(wf_stacks_open(1024), -ENOMEM);
    wt_eq(unmapped, (size_t)1025 * WF_STACK_BYTES);
    wt_eq(wf_stack_region[WF_REGION_BYTES], 0u);
    wf_sys = real_sys;
    wt_eq(wf_stacks_open(1024), 0, "and a refusal leaves nothing behind");
    wf_stacks_close();
}

static int protect_calls, protect_fails_from, protect_fails_until;

static int protect_failing(void *address, size_t bytes, int prot)
{
    int call = ++protect_calls;
    return call >= protect_fails_from && call < protect_fails_until
               ? -ENOMEM
               : real_sys.protect(address, bytes, prot);
}

Test(fiber, a_refused_commit_is_no_stack_and_can_be_repeated)
{
    open_with(1024);
    real_sys = wf_sys;
    wf_sys.protect = protect_failing;
    protect_fails_from = 1;
    protect_fails_until = 3; /* the generous and the modest attempt of the first take */
    wt_false(wf_fiber_take(&cache));
    wt_true(wf_fiber_take(&cache));
    wf_sys = real_sys;
    close_all();
}

/* As qemu-user, which has a record of each page. */
static int take_any_advice(void *address, size_t bytes, int advice)
{
    (void)address, (void)bytes, (void)advice;
    return 0;
}

Test(fiber, the_region_is_small_where_any_advice_is_taken)
{
    real_sys = wf_sys;
    wf_sys.advise = take_any_advice;
    wt_eq(wf_stacks_open((size_t)1 << 20), 0);
    wt_eq(wf_stack_region[WF_REGION_BYTES], 16384 * WF_STACK_BYTES);
    wf_stacks_close();
    wf_sys = real_sys;
}

/* ---- guards ---- */

static bool marker_works(void)
{
    void *page = mmap(NULL, 65536, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    bool works = madvise(page, 65536, MADV_GUARD_INSTALL_) == 0 && madvise(page, 65536, 9999) != 0;
    munmap(page, 65536);
    return works;
}

static int advise_without_markers(void *address, size_t bytes, int advice)
{
    return advice == MADV_GUARD_INSTALL_ ? -EINVAL : real_sys.advise(address, bytes, advice);
}

/* Commits, and refuses guards. */
static int protect_without_none(void *address, size_t bytes, int prot)
{
    return prot == PROT_NONE ? -ENOMEM : real_sys.protect(address, bytes, prot);
}

static void allow_guard(enum wf_guard best)
{
    real_sys = wf_sys;
    if (best >= WF_GUARD_PAGE) {
        wf_sys.advise = advise_without_markers;
    }
    if (best >= WF_GUARD_CANARY) {
        wf_sys.protect = protect_without_none;
    }
}

static void describe(struct wf_fiber *fiber, char *text, size_t n)
{
    snprintf(text, n, "task %u (spawned f.c:10)", fiber->index);
}

static void overflow(struct wf_fiber *self)
{
    use_stack(1024 * 1024);
    finish(self);
}

static void overflow_a_little(struct wf_fiber *self)
{
    use_stack(WF_STACK_BYTES);
    finish(self);
}

/* What a process that overflows writes to stderr; it must end with SIGABRT. */
static void overflow_output(enum wf_guard guard, wf_entry_fn *entry, char *text, size_t n)
{
    int ends[2];
    wt_eq(pipe(ends), 0);
    pid_t child = fork(); /* before the region exists: a forked child would have none */
    if (child == 0) {
        dup2(ends[1], STDERR_FILENO);
        allow_guard(guard);
        wf_store_relaxed(&wf_fiber_hooks.describe, describe);
        open_with(1024);
        struct wf_signal_stack signal_stack;
        wt_eq(wf_signal_stack_open(&signal_stack), 0);
        (void)take(); /* the slot below: an overflow without a guard goes there */
        struct wf_fiber *fiber = take();
        wt_eq(wf_stacks_guard_mode(), guard);
        wt_eq(fiber->guard, guard);
        wf_fiber_start(fiber, entry);
        go(fiber);
        _exit(0);
    }
    close(ends[1]);
    size_t at = 0;
    ssize_t got;
    while ((got = read(ends[0], text + at, n - 1 - at)) > 0) {
        at += (size_t)got;
    }
    text[at] = 0;
    close(ends[0]);
    int status;
    wt_eq(waitpid(child, &status, 0), child);
    wt_true(WIFSIGNALED(status), "%s", text);
    wt_eq(WTERMSIG(status), SIGABRT, "%s", text);
}

/* Then the size, which depends on the slot: 180 to 240 KiB with pages of 4 KiB. */
static const char overflow_message[] = "weft: stack overflow: task 1 (spawned f.c:10) overflowed ";

static void says_overflow(const char *text)
{
    const char *message = strstr(text, overflow_message + strlen("weft: "));
    wt_true(message != NULL, "%s", text);
    char *unit;
    unsigned long kib = strtoul(message + strlen(overflow_message) - strlen("weft: "), &unit, 10);
    wt_true(kib > 100 && kib < 256 && strncmp(unit, " KiB", 4) == 0, "%s", text);
}

Test(fiber, running_into_a_guard_marker_names_the_task)
{
    if (!marker_works()) {
        wt_skip("the kernel is older than 6.13, or an emulator");
    }
    char text[4096];
    overflow_output(WF_GUARD_MARKER, overflow, text, sizeof text);
    wt_true(strstr(text, overflow_message) == text, "%s", text);
    says_overflow(text);
}

Test(fiber, running_into_a_guard_page_names_the_task)
{
    char text[4096];
    overflow_output(WF_GUARD_PAGE, overflow, text, sizeof text);
    wt_true(strstr(text, overflow_message) == text, "%s", text);
    says_overflow(text);
}

Test(fiber, without_guards_an_overflow_is_found_late)
{
    if (WF_TSAN || WF_ASAN) {
        wt_skip("frames are too large for the slot below the stack, or lie elsewhere");
    }
    char text[4096];
    overflow_output(WF_GUARD_CANARY, overflow_a_little, text, sizeof text);
    says_overflow(text);
}

Test(fiber, page_guards_stop_at_a_share_of_the_mappings_and_canaries_follow)
{
    if (WF_TSAN) {
        wt_skip("more stacks than it has fibers");
    }
    allow_guard(WF_GUARD_PAGE);
    size_t pages_max = wf_host_mappings_max() / 8;
    size_t n = pages_max + 100;
    if (n > 20000) {
        wt_skip("vm.max_map_count is large");
    }
    open_with(n);
    for (size_t i = 0; i < n; i++) {
        struct wf_fiber *fiber = take();
        wt_eq(fiber->guard, i < pages_max ? WF_GUARD_PAGE : WF_GUARD_CANARY);
    }
    struct wf_stacks_report report;
    wf_stacks_report(&report);
    wt_eq(report.guarded_pages, pages_max);
    wt_eq(report.guarded_none, n - pages_max);
    wt_eq(report.guard, WF_GUARD_CANARY);
    wf_stacks_close();
}

Test(fiber, a_broken_control_block_is_found_when_the_stack_is_given, .signal = SIGABRT)
{
    open_with(1024);
    struct wf_fiber *fiber = take();
    memset(&fiber->canary, 0, sizeof fiber->canary);
    wf_fiber_give(&cache, fiber);
}

static void suspend_once(struct wf_fiber *self)
{
    wf_fiber_switch(self, &home, NULL, NULL);
    finish(self);
}

/* More than mprotect could guard twice over. */
Test(fiber, a_hundred_thousand_stacks_are_suspended_without_guards, .timeout = 120)
{
    size_t n = WF_TSAN ? 2000 : WF_ASAN || !WF_X86_64 ? 10000 : 100000;
    if (sysconf(_SC_AVPHYS_PAGES) * sysconf(_SC_PAGESIZE) < (long)(n * 12288)) {
        wt_skip("not enough memory");
    }
    allow_guard(WF_GUARD_CANARY);
    open_with(n);
    struct wf_fiber **fibers = calloc(n, sizeof *fibers);
    for (size_t i = 0; i < n; i++) {
        fibers[i] = take();
        wf_fiber_start(fibers[i], suspend_once);
        go(fibers[i]);
    }
    for (size_t i = 0; i < n; i++) {
        go(fibers[i]);
    }
    wt_eq(cache.given, n);
    free(fibers);
    close_all();
}

/* ---- faults that are none of ours ---- */

static void exit_handler(int number, siginfo_t *info, void *context)
{
    (void)number, (void)context;
    _exit(info->si_addr == (void *)16 ? 42 : 43);
}

static void fault(struct wf_fiber *self)
{
    (void)self;
    volatile uintptr_t address = 16;
    *(volatile char *)address = 1;
}

Test(fiber, other_faults_reach_the_former_handler, .exit_code = 42)
{
    struct sigaction action = {.sa_sigaction = exit_handler, .sa_flags = SA_SIGINFO};
    sigaction(SIGSEGV, &action, NULL);
    open_with(1024);
    run(fault);
}

Test(fiber, without_a_former_handler_a_fault_ends_the_process, .signal = SIGSEGV)
{
    signal(SIGSEGV, SIG_DFL); /* a sanitizer has one */
    open_with(1024);
    run(fault);
}

Test(fiber, a_sent_segv_ends_the_process_too, .signal = SIGSEGV)
{
    signal(SIGSEGV, SIG_DFL);
    open_with(1024);
    raise(SIGSEGV);
}

static struct wf_fiber *victim;

static void touch_a_foreign_guard(struct wf_fiber *self)
{
    (void)self;
    *(volatile char *)slot_of(victim) = 1;
}

Test(fiber, a_wild_pointer_into_a_guard_is_not_called_an_overflow, .signal = SIGSEGV)
{
    signal(SIGSEGV, SIG_DFL);
    open_with(1024);
    struct wf_fiber *first = take();
    wf_fiber_give(&cache, first);
    struct wf_fiber *fibers[4];
    for (int i = 0; i < 4; i++) {
        fibers[i] = take();
    }
    victim = fibers[3];
    wf_fiber_start(fibers[0], touch_a_foreign_guard);
    go(fibers[0]);
}

static void later_handler(int number, siginfo_t *info, void *context)
{
    (void)number, (void)info, (void)context;
}

Test(fiber, close_restores_the_former_handler_but_not_over_a_later_one)
{
    struct sigaction action = {.sa_sigaction = exit_handler, .sa_flags = SA_SIGINFO}, now;
    sigaction(SIGSEGV, &action, NULL);
    open_with(1024);
    sigaction(SIGSEGV, NULL, &now);
    wt_ne(now.sa_sigaction == exit_handler, true);
    wf_stacks_close();
    sigaction(SIGSEGV, NULL, &now);
    wt_eq(now.sa_sigaction == exit_handler, true);

    open_with(1024);
    action.sa_sigaction = later_handler;
    sigaction(SIGSEGV, &action, NULL);
    wf_stacks_close();
    sigaction(SIGSEGV, NULL, &now);
    wt_eq(now.sa_sigaction == later_handler, true);
}

Test(fiber, a_signal_stack_is_set_only_where_the_thread_has_none)
{
    stack_t none = {.ss_flags = SS_DISABLE}, now;
    sigaltstack(&none, NULL);
    struct wf_signal_stack outer, inner;
    wt_eq(wf_signal_stack_open(&outer), 0);
    sigaltstack(NULL, &now);
    wt_eq(now.ss_sp, outer.memory);
    wt_eq(wf_signal_stack_open(&inner), 0);
    wt_false(inner.memory);
    wf_signal_stack_close(&inner);
    sigaltstack(NULL, &now);
    wt_eq(now.ss_sp, outer.memory);
    wf_signal_stack_close(&outer);
    sigaltstack(NULL, &now);
    wt_true(now.ss_flags & SS_DISABLE);

    real_sys = wf_sys;
    wf_sys.map = map_refusing;
    wt_eq(wf_signal_stack_open(&outer), -ENOMEM);
    wf_signal_stack_close(&outer);
    wf_sys = real_sys;
}

/* ---- fork ---- */

static void fork_here(struct wf_fiber *self)
{
    wt_eq(wf_self(), self);
    pid_t child = fork();
    if (child == 0) {
        bool right = wf_self() == NULL && wf_forked == 1 && wf_stacks_open(1024) == -ENOSYS;
        wf_stacks_close(); /* harmless */
        struct wf_stacks_report report;
        wf_stacks_report(&report);
        _exit(right && report.slots_max == 0 ? 0 : 1);
    }
    int status;
    wt_eq(waitpid(child, &status, 0), child);
    wt_eq(status, 0);
    wt_eq(wf_self(), self, "the parent is untouched");
    wt_eq(wf_forked, 0);
    finish(self);
}

Test(fiber, a_forked_child_sees_no_region)
{
    open_with(1024);
    run(fork_here);
    close_all();
}

/* ---- being seen ---- */

static int frames_from_entry, frames_from_after;

WF_NOINLINE static int count_frames(void)
{
    void *frames[64];
    int n = backtrace(frames, 64);
    return n;
}

static void count_in_entry(struct wf_fiber *self)
{
    frames_from_entry = count_frames();
    finish(self);
}

static void count_in_after(struct wf_fiber *now, struct wf_fiber *before, void *arg)
{
    (void)now, (void)before, (void)arg;
    frames_from_after = count_frames();
}

Test(fiber, a_backtrace_ends_at_the_entry)
{
    open_with(1024);
    struct wf_fiber *fiber = take();
    wf_fiber_start(fiber, count_in_entry);
    wf_fiber_switch(&home, fiber, count_in_after, NULL);
    int tool = WF_ASAN || WF_TSAN; /* whose backtrace() is a frame of its own */
    wt_eq(frames_from_entry, 3 + tool, "count_frames, count_in_entry, wf_switch_first");
    wt_eq(frames_from_after, 4 + tool + WF_ASAN,
          "count_frames, count_in_after, [arrive,] wf_switch_context, _first");
    close_all();
}
