/* The ticker: never early, never twice, and what was missed is one wait. */
#include "sync_pattern.h"
#include <stdlib.h>
#include <weft/sync.h>

#define PERIOD WEFT_MS(2)

static void burn_until(int64_t when_ns)
{
    while (now_ns() < when_ns) { /* ends: time goes on */
    }
}

TaskTest(ticker, ticks_do_not_come_early_and_lie_on_a_grid, 1)
{
    weft_ticker ticker;
    int64_t before_ns = now_ns();
    weft_ticker_init(&ticker, PERIOD);
    int64_t ticks = 0;
    for (int i = 0; i < 5; i++) {
        int n = weft_ticker_wait(&ticker);
        wt_ge(n, 1);
        ticks += n;
        wt_ge(now_ns(), before_ns + ticks * PERIOD);
    }
    weft_ticker_fini(&ticker);
    return 0;
}

TaskTest(ticker, ticks_that_were_missed_are_one_wait_that_says_how_many, 1)
{
    weft_ticker ticker;
    int64_t begin_ns = now_ns();
    weft_ticker_init(&ticker, PERIOD);
    burn_until(begin_ns + 5 * PERIOD + PERIOD / 2);
    int n = weft_ticker_wait(&ticker);
    wt_ge(n, 5);
    int m = weft_ticker_wait(&ticker);
    wt_ge(m, 1);
    wt_le((int64_t)(n + m) * PERIOD, now_ns() - begin_ns, "none is counted twice");
    weft_ticker_fini(&ticker);
    return 0;
}

TaskTest(ticker, a_wait_that_is_cancelled_uses_up_no_tick, 1)
{
    weft_ticker ticker;
    int64_t begin_ns = now_ns();
    weft_ticker_init(&ticker, WEFT_MS(30));
    int rc = weft_within(0, weft_ticker_wait(&ticker));
    wt_true(rc == -ETIME || now_ns() >= begin_ns + WEFT_MS(30));
    if (rc == -ETIME) {
        rc = weft_within(WEFT_MS(1), weft_ticker_wait(&ticker));
        wt_true(rc == -ETIME || now_ns() >= begin_ns + WEFT_MS(30));
    }
    if (rc == -ETIME) {
        wt_ge(weft_ticker_wait(&ticker), 1);
        wt_ge(now_ns(), begin_ns + WEFT_MS(30));
    }
    burn_until(now_ns() + WEFT_MS(31)); /* however late we were: the next has come by then */
    wt_ge(weft_within(0, weft_ticker_wait(&ticker)), 1, "one is due: no need to wait");
    weft_ticker_fini(&ticker);
    return 0;
}

static int wait_on(void *ticker)
{
    return weft_ticker_wait(ticker);
}

TaskTest(ticker, a_second_waiter_is_told_ebusy, 1)
{
    weft_ticker ticker;
    weft_ticker_init(&ticker, WEFT_MS(20));
    weft_task t;
    weft_spawn(&t, wait_on, &ticker);
    weft_yield();
    int rc = weft_ticker_wait(&ticker);
    wt_true(rc == -EBUSY || weft_status(&t) >= 1, "rc %d", rc);
    wt_ge(weft_await(&t), 1);
    wt_ge(weft_ticker_wait(&ticker), 1, "and it is free again");
    weft_ticker_fini(&ticker);
    return 0;
}

struct stopped {
    weft_ticker ticker;
    weft_cancel stop;
};

static int wait_until_stopped(void *arg)
{
    struct stopped *stopped = arg;
    return (int)weft_under(&stopped->stop, weft_ticker_wait(&stopped->ticker));
}

TaskTest(ticker, a_waiter_that_is_being_cancelled_still_keeps_others_out, 1)
{
    struct stopped stopped;
    weft_ticker_init(&stopped.ticker, WEFT_MS(20));
    weft_cancel_init(&stopped.stop, NULL);
    weft_task t;
    weft_spawn(&t, wait_until_stopped, &stopped);
    settle();
    weft_cancel_fire(&stopped.stop, NULL);
    int rc = weft_ticker_wait(&stopped.ticker); /* before that one has run again */
    wt_true(rc == -EBUSY || rc >= 1, "rc %d", rc);
    rc = weft_await(&t);
    wt_true(rc == -ECANCELED || rc >= 1, "rc %d", rc);
    wt_ge(weft_ticker_wait(&stopped.ticker), 1, "and it is free again");
    weft_cancel_fini(&stopped.stop);
    weft_ticker_fini(&stopped.ticker);
    return 0;
}

static int yield_and_wait_on(void *ticker)
{
    int rc = weft_yield();
    return rc < 0 ? rc : weft_ticker_wait(ticker);
}

TaskTest(ticker, a_tick_that_somebody_was_woken_for_is_nobody_elses, 1)
{
    weft_ticker ticker;
    int64_t begin_ns = now_ns();
    weft_ticker_init(&ticker, PERIOD);
    weft_task first, second;
    weft_spawn(&first, wait_on, &ticker);
    settle();
    weft_spawn(&second, yield_and_wait_on, &ticker);
    weft_yield();
    burn_until(begin_ns + 2 * PERIOD);
    weft_yield(); /* the tick wakes the first, which stands behind the second */
    int rc = weft_await(&second);
    wt_true(rc == -EBUSY || weft_status(&first) >= 1, "rc %d", rc);
    wt_ge(weft_await(&first), 1);
    weft_ticker_fini(&ticker);
    return 0;
}

TaskTest(ticker, its_end_with_a_waiter_is_misuse_and_that_gets_eshutdown, 1, .init = misuse_noted)
{
    weft_ticker *ticker = malloc(sizeof *ticker);
    weft_ticker_init(ticker, WEFT_SEC(1000));
    weft_task t;
    weft_spawn(&t, wait_on, ticker);
    settle();
    weft_ticker_fini(ticker);
    wt_eq(atomic_load(&misuses), 1);
    free(ticker);
    wt_eq(weft_await(&t), -ESHUTDOWN);
    return 0;
}

Test(ticker, a_period_of_0_is_misuse, .init = misuse_noted)
{
    weft_ticker ticker;
    weft_ticker_init(&ticker, 0);
    wt_eq(atomic_load(&misuses), 1);
    weft_ticker_fini(&ticker);
}

Test(ticker, fini_of_zeroed_memory_is_harmless) /* E41 */
{
    weft_ticker ticker = {0};
    weft_ticker_fini(&ticker);
}

/* --- many ------------------------------------------------------------------------------------- */

WEFT_TASK(tick_under_deadlines, int)
{
    weft_ticker ticker;
    uint32_t dice = (uint32_t)*arg;
    int64_t begin_ns = now_ns();
    weft_time period = WEFT_US(50) + WEFT_NS(roll(&dice) % 200000);
    weft_ticker_init(&ticker, period);
    int64_t made_ns = now_ns(); /* it began between the two */
    int64_t ticks = 0;
    for (int i = 0; i < 200; i++) {
        int n = weft_within(WEFT_NS(roll(&dice) % 300000), weft_ticker_wait(&ticker));
        wt_true(n > 0 || n == -ETIME, "%d", n);
        ticks += n > 0 ? n : 0;
    }
    int64_t end_ns = now_ns();
    wt_le(ticks * period, end_ns - begin_ns);
    int n = weft_ticker_wait(&ticker);
    wt_ge((ticks + n + 1) * period, end_ns - made_ns, "none was lost");
    weft_ticker_fini(&ticker);
    return 0;
}

static int many_tickers(void *arg)
{
    (void)arg;
    WEFT_SCOPE(s);
    for (int i = 0; i < 20; i++) {
        weft_go(&s, tick_under_deadlines, &i);
    }
    return weft_scope_end(&s);
}

Test(ticker, none_is_lost_or_counted_twice_when_deadlines_race_with_ticks)
{
    wt_eq(weft_run(many_tickers, NULL, .workers = 1), 0);
    wt_eq(weft_run(many_tickers, NULL, .workers = 8), 0);
}
