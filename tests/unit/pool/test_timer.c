/* test_timer.c: the timing wheel (pool/timer.h) against a model: an array that is searched. Time is
 * a variable. */
#include "pool/timer.h"
#include "pool/base/rng.h"
#include "tests/support/wt.h"

#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define TICK_NS   (INT64_C(1) << WF_TIMER_TICK_BITS)
#define SECOND_NS INT64_C(1000000000)
#define DAY_NS    (86400 * SECOND_NS)
#define YEAR_NS   (365 * DAY_NS)

struct entry {
    struct wf_timer timer;
    bool expected; /* the model: queued */
    int fired;
    int64_t tick; /* in which order */
};

static struct wf_wheel wheel;
static struct wf_crowd crowd;
static int64_t now_ns;
static int64_t last_tick; /* of the newest that fired in this advance */

static void note(struct wf_timer *timer)
{
    struct entry *entry = wf_container_of(timer, struct entry, timer);
    wt_true(entry->expected, "fired twice, or after it was deleted");
    wt_le(timer->deadline_ns, now_ns, "T.1: early");
    wt_ge(entry->tick, last_tick, "T.2: order of ticks");
    last_tick = entry->tick;
    entry->expected = false;
    entry->fired++;
}

static void begin(int64_t at_ns)
{
    now_ns = at_ns;
    memset(&crowd, 0, sizeof crowd);
    wf_wheel_init(&wheel, &crowd, now_ns);
}

static void entry_init(struct entry *entry)
{
    *entry = (struct entry){.expected = false};
    wf_timer_init(&entry->timer, note);
}

static void add(struct entry *entry, int64_t deadline_ns)
{
    wf_timer_add(&wheel, &entry->timer, deadline_ns);
    entry->expected = deadline_ns != INT64_MAX;
    entry->tick = deadline_ns / TICK_NS > wheel.tick ? deadline_ns / TICK_NS : wheel.tick;
}

/* Advances until nothing is due. */
static int advance_to(int64_t to_ns)
{
    now_ns = to_ns;
    int fired = 0;
    int calls = 0;
    last_tick = INT64_MIN;
    do {
        fired += wf_wheel_advance(&wheel, now_ns);
        wt_lt(++calls, 1000);
    } while (wf_wheel_next_ns(&wheel) <= now_ns);
    return fired;
}

Test(timer, fires_at_its_deadline_and_not_before)
{
    static const int64_t distances[] = {1,           1000,    TICK_NS - 1,  TICK_NS,
                                        TICK_NS + 1, 1000000, SECOND_NS,    60 * SECOND_NS,
                                        DAY_NS,      YEAR_NS, 200 * YEAR_NS};
    for (size_t i = 0; i < WF_COUNT(distances); i++) {
        begin(12345678901);
        struct entry entry;
        entry_init(&entry);
        int64_t deadline = now_ns + distances[i];
        add(&entry, deadline);
        wt_eq(wf_wheel_next_ns(&wheel), deadline, "the hint is exact");
        wt_eq(advance_to(deadline - 1), 0);
        wt_eq(wf_wheel_next_ns(&wheel), deadline);
        wt_eq(advance_to(deadline), 1, "distance %lld", (long long)distances[i]);
        wt_eq(wf_wheel_next_ns(&wheel), INT64_MAX);
    }
}

Test(timer, one_timer_costs_one_wake_up_however_far_it_is)
{
    begin(SECOND_NS);
    struct entry entry;
    entry_init(&entry);
    add(&entry, now_ns + DAY_NS);
    now_ns = wf_wheel_next_ns(&wheel);
    last_tick = INT64_MIN;
    wt_eq(wf_wheel_advance(&wheel, now_ns), 1);
}

Test(timer, a_past_deadline_fires_at_the_next_advance)
{
    begin(SECOND_NS);
    struct entry entries[4];
    static const int64_t deadlines[] = {0, SECOND_NS - 1, SECOND_NS, -5};
    for (int i = 0; i < 4; i++) {
        entry_init(&entries[i]);
    }
    for (int i = 0; i < 4; i++) {
        add(&entries[i], deadlines[i]);
        wt_eq(wf_wheel_next_ns(&wheel), deadlines[i]);
        wt_eq(advance_to(now_ns), 1);
    }
}

Test(timer, the_largest_deadlines_have_a_place_and_the_very_last_is_never)
{
    begin(SECOND_NS);
    struct entry last, never;
    entry_init(&last);
    entry_init(&never);
    add(&never, INT64_MAX);
    wt_eq(wf_wheel_next_ns(&wheel), INT64_MAX);
    wt_false(wf_timer_del(&never.timer));
    add(&last, INT64_MAX - 1);
    wt_eq(wf_wheel_next_ns(&wheel), INT64_MAX - 1);
    wt_eq(advance_to(INT64_MAX - 2), 0);
    wt_eq(advance_to(INT64_MAX - 1), 1);
    wt_eq(never.fired, 0);
}

Test(timer, a_deleted_timer_does_not_fire_and_says_so_once)
{
    begin(SECOND_NS);
    struct entry entry;
    entry_init(&entry);
    wt_false(wf_timer_del(&entry.timer), "never queued");
    add(&entry, now_ns + 1000);
    wt_true(wf_timer_del(&entry.timer));
    wt_eq(wf_wheel_next_ns(&wheel), INT64_MAX);
    wt_false(wf_timer_del(&entry.timer));
    wt_eq(advance_to(now_ns + SECOND_NS), 0);
    add(&entry, now_ns + 1000);
    wt_eq(advance_to(now_ns + 1000), 1);
    wt_false(wf_timer_del(&entry.timer), "it has fired");
}

Test(timer, deleting_the_earliest_moves_the_hint_to_the_next_slot)
{
    begin(SECOND_NS);
    struct entry near, far;
    entry_init(&near);
    entry_init(&far);
    add(&far, now_ns + 60 * SECOND_NS);
    add(&near, now_ns + 1000);
    wt_eq(wf_wheel_next_ns(&wheel), near.timer.deadline_ns);
    wt_true(wf_timer_del(&near.timer));
    wt_eq(wf_wheel_next_ns(&wheel), far.timer.deadline_ns);
}

Test(timer, many_timers_of_one_tick_take_several_calls_and_none_is_forgotten)
{
    enum { N = 5 * WF_WHEEL_BATCH + 7 };
    static struct entry entries[N];
    begin(SECOND_NS);
    int64_t tick = (now_ns / TICK_NS + 5000) * TICK_NS;
    for (int i = 0; i < N; i++) {
        entry_init(&entries[i]);
        add(&entries[i], tick + i % TICK_NS);
    }
    now_ns = tick + TICK_NS;
    last_tick = INT64_MIN;
    int fired = 0, calls = 0;
    while (wf_wheel_next_ns(&wheel) <= now_ns) {
        int n = wf_wheel_advance(&wheel, now_ns);
        wt_le(n, WF_WHEEL_BATCH);
        fired += n;
        calls++;
        if (calls == 3) { /* one that waits between two calls may still be deleted */
            wt_true(entries[N - 1].expected);
            wt_true(wf_timer_del(&entries[N - 1].timer));
            entries[N - 1].expected = false;
        }
    }
    wt_eq(fired, N - 1);
    wt_le(calls, 3 * (N / WF_WHEEL_BATCH + 1), "each is moved down two levels, and fired");
}

Test(timer, a_tick_with_many_timers_is_looked_at_a_few_times)
{
    enum { N = 500 };
    static struct entry entries[N];
    begin(SECOND_NS);
    int64_t tick = (now_ns / TICK_NS + 5) * TICK_NS;
    for (int i = 0; i < N; i++) {
        entry_init(&entries[i]);
        add(&entries[i], tick + i * (TICK_NS / N));
    }
    int turns = 0;
    while (wf_wheel_next_ns(&wheel) != INT64_MAX) {
        int64_t next = wf_wheel_next_ns(&wheel);
        wt_gt(next, now_ns);
        advance_to(next);
        wt_lt(++turns, 10);
        for (int i = 0; i < N; i++) {
            wt_true(!entries[i].expected ||
                    now_ns < entries[i].timer.deadline_ns + WF_TIMER_SLACK_NS);
        }
    }
    wt_le(turns, 3); /* at the first deadline, the slack later, and at the tick's end */
    wt_eq(entries[0].fired + entries[N - 1].fired, 2);
}

Test(timer, one_that_is_added_meanwhile_is_not_kept_waiting_by_the_slack)
{
    static struct entry first, second, new;
    begin(SECOND_NS);
    int64_t tick = (now_ns / TICK_NS + 5) * TICK_NS;
    entry_init(&first);
    entry_init(&second);
    entry_init(&new);
    add(&first, tick);
    add(&second, tick + 1000);
    wt_eq(advance_to(tick), 1);
    wt_eq(wf_wheel_next_ns(&wheel), tick + WF_TIMER_SLACK_NS);
    add(&new, tick + 2000);
    wt_eq(wf_wheel_next_ns(&wheel), tick + 2000);
    wt_eq(advance_to(tick + 2000), 2); /* the other one comes along */
}

/* Adds `count` timers, `apart_ns` from each other. */
static void add_row(struct entry *entries, int count, int64_t first_ns, int64_t apart_ns)
{
    for (int i = 0; i < count; i++) {
        entry_init(&entries[i]);
        add(&entries[i], first_ns + i * apart_ns);
    }
}

/* Looks when the hint says so until all have fired, and how often that was; none later than
 * `late_ns`. */
static int count_looks(struct entry *entries, int count, int64_t late_ns)
{
    int looks = 0;
    while (wf_wheel_next_ns(&wheel) != INT64_MAX) {
        int64_t next_ns = wf_wheel_next_ns(&wheel);
        wt_gt(next_ns, now_ns);
        looks += advance_to(next_ns) > 0;
        for (int i = 0; i < count; i++) {
            wt_true(!entries[i].expected || now_ns < entries[i].timer.deadline_ns + late_ns);
        }
    }
    return looks;
}

/* Looks that it takes to see that it is a crowd: two windows, with up to three looks a tick. */
#define BEFORE_IT_SHOWS ((int)(2 * (WF_TIMER_CALM_NS + TICK_NS) * 3 / TICK_NS))

Test(timer, a_crowd_is_looked_at_in_bursts_and_none_of_it_is_later_than_the_bound)
{
    enum { N = 20000, APART = 1500 };
    static struct entry entries[N];
    begin(SECOND_NS);
    add_row(entries, N, SECOND_NS + 5 * TICK_NS, APART);
    int looks = count_looks(entries, N, WF_TIMER_CROWD_NS + 1);
    wt_le(looks, N / WF_TIMER_BURST * 5 / 4 + BEFORE_IT_SHOWS,
          "458 ticks would be as many looks, or two for each");
    wt_ge(looks, N / 1000, "in bursts that are not much larger");
}

Test(timer, a_thin_crowd_is_looked_at_within_the_bound)
{
    enum { N = 5000, APART = 7000 }; /* 256 of them take longer than the bound */
    static struct entry entries[N];
    begin(SECOND_NS);
    add_row(entries, N, SECOND_NS + 5 * TICK_NS, APART);
    int looks = count_looks(entries, N, WF_TIMER_CROWD_NS + 1);
    wt_le(looks, N * APART / WF_TIMER_CROWD_NS + BEFORE_IT_SHOWS);
}

Test(timer, what_is_no_crowd_is_never_later_than_the_slack)
{
    enum { N = 1000, APART = 8000 }; /* 125 in a window */
    static struct entry entries[N];
    begin(SECOND_NS);
    add_row(entries, N, SECOND_NS + 5 * TICK_NS, APART);
    wt_gt(count_looks(entries, N, WF_TIMER_SLACK_NS + 1), N * APART / TICK_NS);
    wt_false(wf_crowd_is_on(&crowd, now_ns));
}

Test(timer, a_crowd_goes_on_while_a_quarter_of_it_is_left_and_no_longer)
{
    enum { CROWD = 2000, FEW = 500, NONE = 50 };
    static struct entry entries[CROWD + FEW + NONE];
    begin(SECOND_NS);
    int64_t few_ns = SECOND_NS + 5 * TICK_NS + INT64_C(4000) * CROWD;
    int64_t none_ns = few_ns + INT64_C(25000) * FEW; /* 40 in a window */
    add_row(entries, CROWD, SECOND_NS + 5 * TICK_NS, 4000);
    add_row(entries + CROWD, FEW, few_ns, 25000);
    add_row(entries + CROWD + FEW, NONE, none_ns, 70000); /* 15 */
    while (now_ns < none_ns) {
        advance_to(wf_wheel_next_ns(&wheel));
        wt_true(now_ns < few_ns || wf_crowd_is_on(&crowd, now_ns));
    }
    while (wf_wheel_next_ns(&wheel) != INT64_MAX) {
        advance_to(wf_wheel_next_ns(&wheel));
    }
    wt_false(wf_crowd_is_on(&crowd, now_ns));
}

Test(timer, one_burst_alone_keeps_nobody_waiting)
{
    enum { N = 1000, AFTER = 40 };
    static struct entry before, burst[N], next[AFTER];
    begin(SECOND_NS);
    add_row(&before, 1, SECOND_NS + 4 * TICK_NS, 0); /* begins a window */
    wt_eq(advance_to(SECOND_NS + 4 * TICK_NS), 1);
    add_row(burst, N, SECOND_NS + 5 * TICK_NS, 0);
    add_row(next, AFTER, SECOND_NS + 7 * TICK_NS, 2 * TICK_NS);
    wt_eq(advance_to(SECOND_NS + 5 * TICK_NS), N);
    for (int i = 0; i < AFTER; i++) {
        wt_eq(wf_wheel_next_ns(&wheel), next[i].timer.deadline_ns);
        wt_false(wf_crowd_is_on(&crowd, now_ns));
        advance_to(next[i].timer.deadline_ns);
    }
}

Test(timer, bursts_now_and_then_keep_nobody_waiting)
{
    enum { N = 1000, BURSTS = 10 };
    static struct entry entries[BURSTS][N];
    begin(SECOND_NS);
    for (int i = 0; i < BURSTS; i++) {
        add_row(entries[i], N, SECOND_NS + 3 * i * WF_TIMER_CALM_NS, 0);
    }
    for (int i = 0; i < BURSTS; i++) {
        wt_eq(advance_to(SECOND_NS + 3 * i * WF_TIMER_CALM_NS), N);
        wt_false(wf_crowd_is_on(&crowd, now_ns));
    }
}

/* So far that it is a crowd, and the next look is as late as that makes it. */
static void advance_into_a_crowd(struct entry *entries, int count)
{
    add_row(entries, count, SECOND_NS + 5 * TICK_NS, 1500);
    while (!wf_crowd_is_on(&crowd, now_ns)) {
        wt_lt(wf_wheel_next_ns(&wheel), INT64_MAX);
        advance_to(wf_wheel_next_ns(&wheel));
    }
    advance_to(wf_wheel_next_ns(&wheel));
}

Test(timer, one_that_is_added_in_a_crowd_is_not_kept_waiting_by_it)
{
    enum { N = 4000 };
    static struct entry entries[N], new;
    begin(SECOND_NS);
    advance_into_a_crowd(entries, N);
    wt_gt(wf_wheel_next_ns(&wheel), now_ns + 2 * TICK_NS, "it is a crowd");
    wt_false(wf_crowd_is_on(&crowd, now_ns + 2 * WF_TIMER_CALM_NS), "no more");
    entry_init(&new);
    add(&new, now_ns + 1000);
    wt_eq(wf_wheel_next_ns(&wheel), now_ns + 1000);
}

Test(timer, a_wheel_with_few_is_in_the_crowd_of_its_pool)
{
    enum { N = 4000 };
    static struct entry entries[N], few[2];
    static struct wf_wheel beside;
    begin(SECOND_NS);
    advance_into_a_crowd(entries, N);
    wf_wheel_init(&beside, &crowd, now_ns);
    for (int i = 0; i < 2; i++) {
        entry_init(&few[i]);
        few[i].expected = true;
        wf_timer_add(&beside, &few[i].timer, now_ns + 2 * i * TICK_NS);
    }
    last_tick = INT64_MIN;
    wt_eq(wf_wheel_advance(&beside, now_ns), 1);
    wt_eq(wf_wheel_next_ns(&beside), now_ns + WF_TIMER_CROWD_NS);
}

Test(timer, two_wheels_with_half_of_a_crowd_each_know_it)
{
    enum { N = 3000, APART = 10000 }; /* 100 in a window, on each */
    static struct entry entries[2][N];
    static struct wf_wheel beside;
    begin(SECOND_NS);
    wf_wheel_init(&beside, &crowd, now_ns);
    add_row(entries[0], N, SECOND_NS + 5 * TICK_NS, APART);
    for (int i = 0; i < N; i++) {
        entry_init(&entries[1][i]);
        entries[1][i].expected = true;
        wf_timer_add(&beside, &entries[1][i].timer, SECOND_NS + 5 * TICK_NS + i * APART);
    }
    int looks = 0;
    while (wf_wheel_next_ns(&beside) != INT64_MAX) {
        now_ns = wf_wheel_next_ns(&beside);
        last_tick = INT64_MIN;
        looks += wf_wheel_advance(&beside, now_ns) > 0;
        if (wf_wheel_next_ns(&wheel) <= now_ns) {
            advance_to(now_ns);
        }
    }
    wt_le(looks, N * APART / WF_TIMER_CROWD_NS + BEFORE_IT_SHOWS);
}

Test(timer, a_timer_names_the_one_that_was_added_eight_before_it_to_its_slot)
{
    static struct entry entries[3 * WF_WHEEL_AHEAD];
    begin(SECOND_NS);
    add_row(entries, WF_COUNT(entries), SECOND_NS + TICK_NS, 0);
    for (size_t i = 0; i < WF_COUNT(entries); i++) {
        uintptr_t ahead = (uintptr_t)(entries[i].timer.place >> 16);
        uintptr_t before = i < WF_WHEEL_AHEAD
                               ? 0
                               : (uintptr_t)&entries[i - WF_WHEEL_AHEAD].timer & (UINT64_MAX >> 16);
        wt_eq(ahead, before);
    }
    wt_eq(advance_to(SECOND_NS + TICK_NS), (int)WF_COUNT(entries));
}

/* ---- against the model ---- */

static int64_t random_distance(struct wf_rng *rng)
{
    static const int64_t scales[] = {TICK_NS / 4, TICK_NS * 10,     5000000,
                                     SECOND_NS,   3600 * SECOND_NS, YEAR_NS};
    int64_t scale = scales[wf_rng_below(rng, WF_COUNT(scales))];
    return (int64_t)(wf_rng_next(rng) % (uint64_t)scale);
}

static int64_t model_earliest(const struct entry *entries, int n)
{
    int64_t earliest = INT64_MAX;
    for (int i = 0; i < n; i++) {
        if (entries[i].expected && entries[i].timer.deadline_ns < earliest) {
            earliest = entries[i].timer.deadline_ns;
        }
    }
    return earliest;
}

/* When a timer of this deadline must have fired, by T.2, without a crowd. */
static int64_t latest(int64_t deadline_ns)
{
    if (deadline_ns == INT64_MAX) {
        return INT64_MAX;
    }
    int64_t end_ns = (deadline_ns / TICK_NS + 1) * TICK_NS - 1;
    return end_ns - deadline_ns < WF_TIMER_SLACK_NS ? end_ns : deadline_ns + WF_TIMER_SLACK_NS;
}

static void one_run(uint64_t seed, int steps)
{
    enum { N = 200 };
    static struct entry entries[N];
    struct wf_rng rng;
    wf_rng_seed(&rng, seed);
    begin((int64_t)(wf_rng_next(&rng) % (uint64_t)YEAR_NS));
    for (int i = 0; i < N; i++) {
        entry_init(&entries[i]);
    }
    for (int step = 0; step < steps; step++) {
        struct entry *entry = &entries[wf_rng_below(&rng, N)];
        uint32_t what = wf_rng_below(&rng, 100);
        if (what < 60) {
            if (!entry->expected) {
                add(entry, now_ns + random_distance(&rng) - (what < 3 ? SECOND_NS : 0));
            }
        } else if (what < 80) {
            wt_eq(wf_timer_del(&entry->timer), entry->expected, "seed %llu step %d",
                  (unsigned long long)seed, step);
            entry->expected = false;
        } else if (what < 90) {
            int64_t next = wf_wheel_next_ns(&wheel);
            if (next != INT64_MAX && next - now_ns < YEAR_NS) {
                advance_to(next > now_ns ? next : now_ns);
            }
        } else {
            advance_to(now_ns + random_distance(&rng) / 2);
        }
        int64_t earliest = model_earliest(entries, N);
        int64_t rest_ns = wheel.rest_ns;
        wt_le(rest_ns, now_ns + WF_TIMER_CROWD_NS);
        int64_t bound_ns = latest(earliest) > rest_ns ? latest(earliest) : rest_ns;
        wt_le(wf_wheel_next_ns(&wheel), bound_ns, "T.2: too late; seed %llu step %d",
              (unsigned long long)seed, step);
        wt_eq(wf_wheel_next_ns(&wheel) == INT64_MAX, earliest == INT64_MAX, "seed %llu step %d",
              (unsigned long long)seed, step);
        if (what >= 80) {
            wt_gt(latest(earliest), now_ns, "everything due has fired; seed %llu step %d",
                  (unsigned long long)seed, step);
        }
    }
}

Test(timer, random_use_agrees_with_a_sorted_list)
{
    uint64_t seed = (uint64_t)time(NULL);
    for (int run = 0; run < 100; run++) {
        one_run(seed * 1000 + (uint64_t)run, WF_X86_64 && !WF_TSAN ? 2000 : 500);
    }
}

/* A far timer, then small steps: the tick passes through every level, and the hint is never behind
 * the time. */
Test(timer, advancing_in_small_steps_keeps_far_timers)
{
    begin(0);
    struct entry far[50];
    for (int i = 0; i < 50; i++) {
        entry_init(&far[i]);
        add(&far[i], (int64_t)i * i * 40000000 + 12345);
    }
    int fired = 0;
    while (fired < 50) {
        int n = advance_to(now_ns + 700000);
        fired += n;
        for (int i = 0; i < 50; i++) {
            wt_eq(far[i].expected, far[i].timer.deadline_ns > now_ns);
        }
    }
}

/* ---- other threads ---- */

enum { SHARED = 512 };
static struct shared_timer {
    struct wf_timer timer;
    WF_ATOMIC(int) ends; /* how often it fired or was deleted */
} shared_timers[SHARED];
static WF_ATOMIC(int) stop;

static void count_end(struct wf_timer *timer)
{
    wf_add_relaxed(&wf_container_of(timer, struct shared_timer, timer)->ends, 1);
}

static void *deleter(void *arg)
{
    struct wf_rng rng;
    wf_rng_seed(&rng, (uint64_t)(uintptr_t)arg);
    while (!wf_load_relaxed(&stop)) {
        struct shared_timer *shared = &shared_timers[wf_rng_below(&rng, SHARED)];
        if (wf_timer_del(&shared->timer)) {
            wf_add_relaxed(&shared->ends, 1);
        }
    }
    return NULL;
}

static void *rescuer(void *arg)
{
    WF_ATOMIC(int64_t) *clock = arg;
    while (!wf_load_relaxed(&stop)) {
        wf_wheel_advance(&wheel, wf_load_relaxed(clock));
    }
    return NULL;
}

/* Rounds: all timers are added before the deleters may start, so that add and del of one timer are
 * ordered. */
Test(timer, each_timer_fires_or_is_deleted_exactly_once_whoever_tries)
{
    static WF_ATOMIC(int64_t) clock;
    begin(0);
    for (int i = 0; i < SHARED; i++) {
        wf_timer_init(&shared_timers[i].timer, count_end);
    }
    int rounds = WF_TSAN || !WF_X86_64 ? 20 : 100;
    for (int round = 1; round <= rounds; round++) {
        int64_t start = (int64_t)round * SECOND_NS;
        wf_store_relaxed(&clock, start);
        wf_wheel_advance(&wheel, start);
        for (int i = 0; i < SHARED; i++) {
            wf_timer_add(&wheel, &shared_timers[i].timer, start + (int64_t)i * 100000);
        }
        wf_store_relaxed(&stop, 0);
        pthread_t threads[3];
        for (int i = 0; i < 2; i++) {
            wt_eq(pthread_create(&threads[i], NULL, deleter, (void *)(uintptr_t)(round * 2 + i)),
                  0);
        }
        wt_eq(pthread_create(&threads[2], NULL, rescuer, &clock), 0);
        while (wf_wheel_next_ns(&wheel) != INT64_MAX) {
            wf_store_relaxed(&clock, wf_load_relaxed(&clock) + 300000);
            wf_wheel_advance(&wheel, wf_load_relaxed(&clock));
        }
        wf_store_relaxed(&stop, 1);
        for (int i = 0; i < 3; i++) {
            pthread_join(threads[i], NULL);
        }
        for (int i = 0; i < SHARED; i++) {
            wt_eq(wf_load_relaxed(&shared_timers[i].ends), round);
        }
    }
    wt_eq(wf_load_relaxed(&wheel.added),
          wf_load_relaxed(&wheel.fired) + wf_load_relaxed(&wheel.deleted));
}

static struct wf_timer other_timer;

static void fire_and_delete(struct wf_timer *timer)
{
    (void)timer;
    wf_timer_del(&other_timer);
}

static void fire_nothing(struct wf_timer *timer)
{
    (void)timer;
}

Test(timer, calling_into_the_wheel_from_fire_is_misuse, .signal = SIGABRT)
{
    if (!WF_CHECKS) {
        abort(); /* nothing to see in a release build */
    }
    begin(0);
    struct wf_timer timer;
    wf_timer_init(&timer, fire_and_delete);
    wf_timer_init(&other_timer, fire_nothing);
    wf_timer_add(&wheel, &other_timer, SECOND_NS);
    wf_timer_add(&wheel, &timer, 1);
    wf_wheel_advance(&wheel, 2);
}
