/* The pool of what is dear to open: bounded, warm first, in line; nothing is lost when a taker is
 * cancelled. The article's HttpClient: one pool instead of a new client for each call. */
#include "sync_pattern.h"
#include <pthread.h>
#include <stdlib.h>
#include <weft/reuse.h>
#include <weft/sync.h>

struct connection {
    int number; /* in order of opening, from 1 */
    atomic_int *in_use;
};

struct server {
    atomic_int opened, closed, checked, most;
    atomic_int open_now;
    atomic_int refuse; /* so many calls of open fail */
    atomic_int bad;    /* so many checks fail */
    weft_event *slow;  /* open waits for it, if not NULL */
};

static int dial(void *item, void *ctx)
{
    struct server *server = ctx;
    struct connection *connection = item;
    if (server->slow != NULL) {
        int rc = weft_event_wait(server->slow);
        if (rc < 0) {
            return rc;
        }
    }
    if (atomic_load(&server->refuse) > 0) {
        atomic_fetch_sub(&server->refuse, 1);
        return -ECONNREFUSED;
    }
    int now = atomic_fetch_add(&server->open_now, 1) + 1;
    if (now > atomic_load(&server->most)) {
        atomic_store(&server->most, now);
    }
    connection->number = atomic_fetch_add(&server->opened, 1) + 1;
    return 0;
}

static void hang_up(void *item, void *ctx)
{
    struct server *server = ctx;
    wt_gt(((struct connection *)item)->number, 0);
    ((struct connection *)item)->number = 0;
    atomic_fetch_add(&server->closed, 1);
    atomic_fetch_sub(&server->open_now, 1);
}

static int ping(void *item, weft_time idle, void *ctx)
{
    struct server *server = ctx;
    wt_gt(((struct connection *)item)->number, 0);
    wt_ge(idle, 0);
    atomic_fetch_add(&server->checked, 1);
    if (atomic_load(&server->bad) > 0) {
        atomic_fetch_sub(&server->bad, 1);
        return -EPIPE;
    }
    return 0;
}

static weft_reuse *pool_of(struct server *server, uint32_t max, weft_time idle_max)
{
    weft_reuse *pool;
    weft_reuse_opts opts = {.max = max,
                            .item_bytes = sizeof(struct connection),
                            .ctx = server,
                            .open = dial,
                            .close = hang_up,
                            .check = ping,
                            .idle_max = idle_max};
    wt_eq(weft_reuse_new(&pool, &opts), 0);
    return pool;
}

static int number_of(const weft_lease *lease)
{
    return ((struct connection *)lease->item)->number;
}

TaskTest(reuse, what_is_given_back_is_used_again_the_warmest_first, 1)
{
    struct server server = {0};
    weft_reuse *pool = pool_of(&server, 3, 0);
    weft_lease a;
    weft_lease b;
    wt_eq(weft_reuse_take(pool, &a), 0);
    wt_eq(weft_reuse_take(pool, &b), 0);
    wt_eq(number_of(&a), 1);
    wt_eq(number_of(&b), 2);
    weft_lease_give(&b);
    weft_lease_give(&a);
    wt_true(a.item == NULL);
    weft_lease_give(&a); /* no effect */
    for (int i = 0; i < 5; i++) {
        wt_eq(weft_reuse_take(pool, &b), 0);
        wt_eq(number_of(&b), 1, "the last that was given back");
        weft_lease_give(&b);
    }
    weft_reuse_stats stats;
    weft_reuse_stats_get(pool, &stats);
    wt_eq(stats.opened, 2);
    wt_eq(stats.reused, 5);
    wt_eq(stats.idle, 2);
    wt_eq(stats.leased, 0);
    wt_eq(atomic_load(&server.checked), 5);
    weft_reuse_free(pool);
    wt_eq(atomic_load(&server.closed), 2);
    return 0;
}

static int use_in_scope(weft_reuse *pool, int rc)
{
    WEFT_LEASE(lease);
    int taken = weft_reuse_take(pool, &lease);
    if (taken < 0) {
        return taken;
    }
    return rc;
}

TaskTest(reuse, a_lease_is_given_back_by_its_block_whichever_way_that_is_left, 1)
{
    struct server server = {0};
    weft_reuse *pool = pool_of(&server, 1, 0);
    for (int i = 0; i < 10; i++) {
        wt_eq(use_in_scope(pool, i % 2 ? 0 : -EIO), i % 2 ? 0 : -EIO);
    }
    wt_eq(atomic_load(&server.opened), 1);
    weft_reuse_free(pool);
    return 0;
}

TaskTest(reuse, what_is_dropped_or_fails_its_check_is_closed_and_another_opened, 1)
{
    struct server server = {0};
    weft_reuse *pool = pool_of(&server, 1, 0);
    weft_lease lease;
    wt_eq(weft_reuse_take(pool, &lease), 0);
    weft_lease_drop(&lease);
    wt_eq(atomic_load(&server.closed), 1);
    wt_eq(weft_reuse_take(pool, &lease), 0);
    wt_eq(number_of(&lease), 2);
    weft_lease_give(&lease);
    atomic_store(&server.bad, 1);
    wt_eq(weft_reuse_take(pool, &lease), 0);
    wt_eq(number_of(&lease), 3);
    wt_eq(atomic_load(&server.closed), 2);
    weft_lease_give(&lease);
    weft_reuse_free(pool);
    wt_eq(atomic_load(&server.open_now), 0);
    return 0;
}

TaskTest(reuse, an_open_that_fails_is_told_and_gives_the_place_to_the_next, 1)
{
    struct server server = {0};
    weft_reuse *pool = pool_of(&server, 1, 0);
    weft_lease lease;
    atomic_store(&server.refuse, 2);
    wt_eq(weft_reuse_take(pool, &lease), -ECONNREFUSED);
    wt_true(lease.item == NULL);
    wt_eq(weft_reuse_take(pool, &lease), -ECONNREFUSED);
    wt_eq(weft_reuse_take(pool, &lease), 0);
    weft_lease_give(&lease);
    weft_reuse_free(pool);
    return 0;
}

TaskTest(reuse, what_was_unused_for_too_long_is_not_used_again, 1)
{
    struct server server = {0};
    weft_reuse *pool = pool_of(&server, 3, WEFT_MS(20));
    weft_lease leases[3];
    for (int i = 0; i < 3; i++) {
        wt_eq(weft_reuse_take(pool, &leases[i]), 0);
    }
    for (int i = 0; i < 3; i++) {
        weft_lease_give(&leases[i]);
    }
    wt_eq(weft_sleep(WEFT_MS(25)), 0);
    wt_eq(weft_reuse_take(pool, &leases[0]), 0);
    wt_eq(number_of(&leases[0]), 4);
    wt_eq(atomic_load(&server.closed), 2, "its own, and the oldest of the others");
    weft_lease_give(&leases[0]);
    wt_eq(weft_reuse_take(pool, &leases[0]), 0);
    wt_eq(atomic_load(&server.closed), 3);
    wt_eq(number_of(&leases[0]), 4);
    weft_lease_give(&leases[0]);
    weft_reuse_free(pool);
    return 0;
}

/* --- the line --------------------------------------------------------------------------------- */

struct taker {
    weft_reuse *pool;
    atomic_int *waiting;
    int *order;
    int *served;
    int id;
};

WEFT_TASK(take_in_line, struct taker)
{
    struct taker me = *arg;
    atomic_fetch_add(me.waiting, 1);
    WEFT_LEASE(lease);
    int rc = weft_reuse_take(me.pool, &lease);
    if (rc == 0) {
        me.order[(*me.served)++] = me.id;
    }
    return rc;
}

TaskTest(reuse, those_who_wait_are_served_in_order_and_never_more_than_max_are_open, 1)
{
    struct server server = {0};
    weft_reuse *pool = pool_of(&server, 1, 0);
    atomic_int waiting = 0;
    int order[8];
    int served = 0;
    weft_lease lease;
    wt_eq(weft_reuse_take(pool, &lease), 0);
    WEFT_SCOPE(s);
    for (int i = 0; i < 8; i++) {
        weft_go(&s, take_in_line, (&(struct taker){pool, &waiting, order, &served, i}));
        yield_until(&waiting, i + 1);
    }
    wt_eq(served, 0);
    weft_lease_give(&lease);
    wt_eq(weft_scope_end(&s), 0);
    wt_eq(served, 8);
    for (int i = 0; i < 8; i++) {
        wt_eq(order[i], i);
    }
    wt_eq(atomic_load(&server.opened), 1);
    weft_reuse_free(pool);
    return 0;
}

TaskTest(reuse, an_item_for_a_taker_that_was_cancelled_goes_to_the_next, 1)
{
    struct server server = {0};
    weft_reuse *pool = pool_of(&server, 1, 0);
    atomic_int waiting = 0;
    int order[2];
    int served = 0;
    weft_lease lease;
    wt_eq(weft_reuse_take(pool, &lease), 0);
    WEFT_SCOPE(stay);
    {
        WEFT_SCOPE(go);
        weft_go(&go, take_in_line, (&(struct taker){pool, &waiting, order, &served, 0}));
        yield_until(&waiting, 1);
        weft_go(&stay, take_in_line, (&(struct taker){pool, &waiting, order, &served, 1}));
        yield_until(&waiting, 2);
        weft_scope_cancel(&go, NULL);
        weft_lease_give(&lease);
        wt_eq(weft_scope_end(&go), -ECANCELED);
    }
    wt_eq(weft_scope_end(&stay), 0);
    wt_eq(served, 1);
    wt_eq(order[0], 1);
    wt_eq(atomic_load(&server.opened), 1);
    weft_reuse_free(pool);
    return 0;
}

TaskTest(reuse, a_hand_over_before_the_cancellation_wins_and_is_given_back, 1)
{
    struct server server = {0};
    weft_reuse *pool = pool_of(&server, 1, 0);
    atomic_int waiting = 0;
    int order[1];
    int served = 0;
    weft_lease lease;
    wt_eq(weft_reuse_take(pool, &lease), 0);
    WEFT_SCOPE(s);
    weft_go(&s, take_in_line, (&(struct taker){pool, &waiting, order, &served, 0}));
    yield_until(&waiting, 1);
    weft_lease_give(&lease);
    weft_scope_cancel(&s, NULL);
    wt_eq(weft_scope_end(&s), 0);
    wt_eq(served, 1);
    weft_reuse_stats stats;
    weft_reuse_stats_get(pool, &stats);
    wt_eq(stats.idle, 1);
    weft_reuse_free(pool);
    return 0;
}

TaskTest(reuse, a_taker_whose_deadline_passes_while_it_opens_leaves_the_place_free, 1)
{
    struct server server = {0};
    weft_event slow;
    weft_event_init(&slow, WEFT_EVENT_MANUAL);
    server.slow = &slow;
    weft_reuse *pool = pool_of(&server, 1, 0);
    weft_lease lease;
    wt_eq(weft_within(0, weft_reuse_take(pool, &lease)), -ETIME);
    wt_eq(weft_within(WEFT_MS(1), weft_reuse_take(pool, &lease)), -ETIME);
    weft_event_set(&slow);
    wt_eq(weft_within(0, weft_reuse_take(pool, &lease)), 0);
    weft_lease other;
    wt_eq(weft_within(0, weft_reuse_take(pool, &other)), -ETIME, "all are leased");
    weft_lease_give(&lease);
    weft_reuse_free(pool);
    return 0;
}

static void *give_from_outside(void *lease)
{
    weft_lease_give(lease);
    return NULL;
}

TaskTest(reuse, a_lease_may_be_given_back_by_a_foreign_thread, 1)
{
    struct server server = {0};
    weft_reuse *pool = pool_of(&server, 1, 0);
    weft_lease lease;
    wt_eq(weft_reuse_take(pool, &lease), 0);
    pthread_t thread;
    wt_eq(pthread_create(&thread, NULL, give_from_outside, &lease), 0);
    weft_lease mine;
    wt_eq(weft_reuse_take(pool, &mine), 0);
    pthread_join(thread, NULL);
    wt_eq(number_of(&mine), 1);
    weft_lease_give(&mine);
    weft_reuse_free(pool);
    return 0;
}

/* --- the end ---------------------------------------------------------------------------------- */

static int close_it(void *pool)
{
    return weft_reuse_close(pool);
}

static int take_and_give(void *pool)
{
    WEFT_LEASE(lease);
    return weft_reuse_take(pool, &lease);
}

TaskTest(reuse, close_waits_for_the_leases_and_closes_what_they_give_back, 1)
{
    struct server server = {0};
    weft_reuse *pool = pool_of(&server, 3, 0);
    weft_lease leases[3];
    for (int i = 0; i < 3; i++) {
        wt_eq(weft_reuse_take(pool, &leases[i]), 0);
    }
    weft_task waits;
    weft_spawn(&waits, take_and_give, pool);
    settle();
    weft_lease_give(&leases[2]);
    wt_eq(weft_await(&waits), 0);
    weft_spawn(&waits, take_and_give, pool);
    wt_eq(weft_await(&waits), 0);
    weft_task t;
    weft_spawn(&t, close_it, pool);
    settle();
    wt_eq(weft_status(&t), -EINPROGRESS);
    wt_eq(atomic_load(&server.closed), 1, "the one that was there");
    weft_lease none;
    wt_eq(weft_reuse_take(pool, &none), -ESHUTDOWN);
    weft_lease_give(&leases[0]);
    settle();
    wt_eq(atomic_load(&server.closed), 2);
    weft_lease_drop(&leases[1]);
    wt_eq(weft_await(&t), 0);
    wt_eq(atomic_load(&server.open_now), 0);
    wt_eq(weft_reuse_close(pool), 0, "once more is fine");
    weft_reuse_free(pool);
    return 0;
}

TaskTest(reuse, close_under_a_deadline_may_be_repeated, 1)
{
    struct server server = {0};
    weft_reuse *pool = pool_of(&server, 2, 0);
    weft_lease lease;
    wt_eq(weft_reuse_take(pool, &lease), 0);
    wt_eq(weft_within(0, weft_reuse_close(pool)), -ETIME);
    wt_eq(weft_within(WEFT_MS(1), weft_reuse_close(pool)), -ETIME);
    weft_lease_give(&lease);
    wt_eq(weft_within(0, weft_reuse_close(pool)), 0);
    weft_reuse_free(pool);
    wt_eq(atomic_load(&server.closed), 1);
    return 0;
}

TaskTest(reuse, those_who_wait_when_it_is_closed_get_eshutdown, 1)
{
    struct server server = {0};
    weft_reuse *pool = pool_of(&server, 1, 0);
    weft_lease lease;
    wt_eq(weft_reuse_take(pool, &lease), 0);
    weft_task t;
    weft_spawn(&t, take_and_give, pool);
    settle();
    wt_eq(weft_within(0, weft_reuse_close(pool)), -ETIME);
    wt_eq(weft_await(&t), -ESHUTDOWN);
    weft_lease_give(&lease);
    weft_reuse_free(pool);
    return 0;
}

TaskTest(reuse, its_end_with_leases_out_is_misuse_and_leaves_the_memory_to_them, 1,
         .init = misuse_noted)
{
    struct server server = {0};
    static weft_reuse *pool; /* still reachable at the end: no leak to be reported */
    pool = pool_of(&server, 1, 0);
    weft_lease lease;
    wt_eq(weft_reuse_take(pool, &lease), 0);
    weft_reuse_free(pool);
    wt_eq(atomic_load(&misuses), 1);
    wt_eq(number_of(&lease), 1);
    weft_lease_give(&lease);
    weft_reuse_free(pool);
    wt_eq(atomic_load(&misuses), 1);
    return 0;
}

Test(reuse, options_out_of_range_are_einval)
{
    weft_reuse *pool;
    struct server server = {0};
    weft_reuse_opts good = {
        .max = 1, .item_bytes = 4, .ctx = &server, .open = dial, .close = hang_up};
    weft_reuse_opts opts = good;
    opts.max = 0;
    wt_eq(weft_reuse_new(&pool, &opts), -EINVAL);
    wt_true(pool == NULL);
    opts = good;
    opts.max = WEFT_REUSE_MAX + 1;
    wt_eq(weft_reuse_new(&pool, &opts), -EINVAL);
    opts = good;
    opts.item_bytes = 0;
    wt_eq(weft_reuse_new(&pool, &opts), -EINVAL);
    opts = good;
    opts.item_bytes = WEFT_REUSE_ITEM_MAX + 1;
    wt_eq(weft_reuse_new(&pool, &opts), -EINVAL);
    opts = good;
    opts.open = NULL;
    wt_eq(weft_reuse_new(&pool, &opts), -EINVAL);
    opts = good;
    opts.idle_max = -1;
    wt_eq(weft_reuse_new(&pool, &opts), -EINVAL);
    wt_eq(weft_reuse_new(&pool, &good), 0);
    weft_lease lease;
    wt_eq(weft_reuse_take(pool, &lease), -EPERM, "that needs a task");
    weft_reuse_free(pool);
    weft_reuse_free(NULL);
}

/* --- many ------------------------------------------------------------------------------------- */

#define MAX_OPEN 3

struct crowd {
    weft_reuse *pool;
    struct server server;
    atomic_int in_use[1 << 16]; /* by number of the connection */
    atomic_int leases, taken;
};

static int random_ping(void *item, weft_time idle, void *ctx)
{
    (void)ctx;
    (void)item;
    return idle % 7 == 0 ? -EPIPE : idle % 5 == 0 ? weft_yield() : 0;
}

WEFT_TASK(use_connections, struct crowd *)
{
    struct crowd *crowd = *arg;
    uint32_t dice = (uint32_t)(uintptr_t)arg;
    for (int i = 0; i < 400; i++) {
        WEFT_LEASE(lease);
        weft_time patience = roll(&dice) % 2 ? short_patience(&dice) : WEFT_FOREVER;
        int rc = weft_within(patience, weft_reuse_take(crowd->pool, &lease));
        if (rc == -ETIME) {
            wt_true(lease.item == NULL);
            continue;
        }
        wt_eq(rc, 0);
        int number = number_of(&lease);
        wt_eq(atomic_fetch_add(&crowd->in_use[number % (1 << 16)], 1), 0, "two have one");
        wt_le(atomic_fetch_add(&crowd->leases, 1) + 1, MAX_OPEN);
        atomic_fetch_add(&crowd->taken, 1);
        if (i % 4 == 0) {
            weft_yield();
        }
        atomic_fetch_sub(&crowd->leases, 1);
        atomic_fetch_sub(&crowd->in_use[number % (1 << 16)], 1);
        if (roll(&dice) % 8 == 0) {
            weft_lease_drop(&lease);
        }
    }
    return 0;
}

static int crowd_of_16(void *arg)
{
    (void)arg;
    struct crowd *crowd = calloc(1, sizeof *crowd);
    weft_reuse_opts opts = {.max = MAX_OPEN,
                            .item_bytes = sizeof(struct connection),
                            .ctx = &crowd->server,
                            .open = dial,
                            .close = hang_up,
                            .check = random_ping,
                            .idle_max = WEFT_MS(5)};
    wt_eq(weft_reuse_new(&crowd->pool, &opts), 0);
    WEFT_SCOPE(s);
    for (int i = 0; i < 16; i++) {
        weft_go(&s, use_connections, &crowd);
    }
    wt_eq(weft_scope_end(&s), 0);
    weft_reuse_stats stats;
    weft_reuse_stats_get(crowd->pool, &stats);
    wt_eq(stats.leased, 0);
    wt_eq(stats.idle, atomic_load(&crowd->server.open_now));
    wt_eq(stats.opened, atomic_load(&crowd->server.opened));
    wt_le(atomic_load(&crowd->server.most), MAX_OPEN);
    wt_eq(weft_reuse_close(crowd->pool), 0);
    weft_reuse_free(crowd->pool);
    wt_eq(atomic_load(&crowd->server.open_now), 0, "what was opened was closed");
    wt_gt(atomic_load(&crowd->taken), 0);
    free(crowd);
    return 0;
}

Test(reuse, no_item_is_lost_or_leased_twice_when_deadlines_race_with_hand_overs)
{
    wt_eq(weft_run(crowd_of_16, NULL, .workers = 1), 0);
    wt_eq(weft_run(crowd_of_16, NULL, .workers = 2), 0);
    wt_eq(weft_run(crowd_of_16, NULL, .workers = 8), 0);
}

/* --- handed over, and found broken at once ---------------------------------------------------- */

static int fail_check(void *item, weft_time idle, void *ctx)
{
    (void)ctx, (void)item, (void)idle;
    return -EPIPE;
}

WEFT_TASK(use_broken_ones, struct crowd *)
{
    for (int i = 0; i < 300; i++) {
        WEFT_LEASE(lease);
        wt_eq(weft_reuse_take((*arg)->pool, &lease), 0);
        wt_gt(number_of(&lease), 0);
        atomic_fetch_add(&(*arg)->taken, 1);
    }
    return 0;
}

static int crowd_of_8_at_one(void *arg)
{
    (void)arg;
    struct crowd *crowd = calloc(1, sizeof *crowd);
    weft_reuse_opts opts = {.max = 1,
                            .item_bytes = sizeof(struct connection),
                            .ctx = &crowd->server,
                            .open = dial,
                            .close = hang_up,
                            .check = fail_check};
    wt_eq(weft_reuse_new(&crowd->pool, &opts), 0);
    WEFT_SCOPE(s);
    for (int i = 0; i < 8; i++) {
        weft_go(&s, use_broken_ones, &crowd);
    }
    wt_eq(weft_scope_end(&s), 0);
    weft_reuse_stats stats;
    weft_reuse_stats_get(crowd->pool, &stats);
    wt_eq(stats.opened, atomic_load(&crowd->taken));
    wt_eq(stats.reused, atomic_load(&crowd->taken) - 1, "each but the first was leased open");
    wt_eq(stats.closed, stats.reused);
    weft_reuse_free(crowd->pool);
    free(crowd);
    return 0;
}

Test(reuse, one_that_is_handed_over_is_the_takers_at_once)
{
    wt_eq(weft_run(crowd_of_8_at_one, NULL, .workers = 4), 0);
}
