/* Shields: work that the cancellation of outer scopes reaches only after a grace. */
#include "capture.h"
#include "pattern.h"
#include <weft/sync.h>

static atomic_int waiting;

static int nap(weft_time duration)
{
    atomic_fetch_add(&waiting, 1);
    return weft_sleep(duration);
}

TaskTest(shield, work_in_a_cancelled_scope_can_wait_and_is_cancelled_again_after_it, 1)
{
    WEFT_SCOPE(s);
    weft_scope_cancel(&s, "outside");
    wt_eq(weft_sleep(1), -ECANCELED);
    wt_eq(weft_shield(WEFT_SEC(3600), nap(WEFT_MS(1))), 0);
    wt_eq(weft_shield(WEFT_SEC(3600), weft_check()), 0);
    wt_eq(weft_shield(WEFT_SEC(3600), weft_why()->kind), WEFT_WHY_NONE);
    wt_eq(weft_sleep(1), -ECANCELED);
    wt_str_eq(weft_why()->text, "outside");
    weft_scope_end(&s);
    return 0;
}

WEFT_TASK(shielded_nap, weft_time)
{
    int rc = weft_shield(WEFT_SEC(3600), nap(*arg));
    wt_eq(rc, 0);
    return weft_check();
}

TaskTest(shield, a_cancellation_during_it_waits_for_its_end, 1)
{
    WEFT_SCOPE(s);
    weft_go(&s, shielded_nap, &(weft_time){WEFT_MS(5)});
    yield_until(&waiting, 1);
    weft_scope_cancel(&s, NULL);
    wt_eq(weft_scope_end(&s), -ECANCELED);
    return 0;
}

TaskTest(shield, after_the_grace_the_cancellation_that_waited_applies, 1)
{
    WEFT_SCOPE(s);
    weft_scope_cancel(&s, "patience is over");
    int64_t began_ns = now_ns();
    wt_eq(weft_shield(WEFT_MS(5), nap(WEFT_SEC(3600))), -ECANCELED);
    wt_ge(now_ns() - began_ns, WEFT_MS(5));
    wt_str_eq(weft_why()->text, "patience is over");
    weft_scope_end(&s);
    return 0;
}

WEFT_TASK(long_after_a_short_grace, atomic_int *)
{
    (void)arg;
    return weft_shield(WEFT_MS(1), (nap(WEFT_MS(3)), nap(WEFT_SEC(3600))));
}

TaskTest(shield, after_the_grace_a_later_cancellation_comes_in_at_once, 1)
{
    WEFT_SCOPE(s);
    weft_go(&s, long_after_a_short_grace, (&(atomic_int *){NULL}));
    yield_until(&waiting, 2); /* the first nap outlasted the grace */
    weft_scope_cancel(&s, NULL);
    wt_eq(weft_scope_end(&s), -ECANCELED);
    return 0;
}

TaskTest(shield, of_no_grace_shields_nothing, 1)
{
    WEFT_SCOPE(s);
    weft_scope_cancel(&s, NULL);
    wt_eq(weft_shield(0, weft_sleep(1)), -ECANCELED);
    wt_eq(weft_shield(-1, weft_sleep(1)), -ECANCELED);
    weft_scope_end(&s);
    return 0;
}

static int remaining_is_at_least(weft_time duration)
{
    return weft_remaining() >= duration && weft_remaining() != WEFT_FOREVER;
}

TaskTest(shield, puts_an_outer_deadline_off_to_the_end_of_the_grace, 1)
{
    wt_eq(weft_within(WEFT_MS(1), weft_shield(WEFT_SEC(60), nap(WEFT_MS(5)))), 0);
    wt_eq(weft_within(WEFT_MS(1), weft_shield(WEFT_MS(3), nap(WEFT_SEC(3600)))), -ETIME);
    wt_eq(weft_within(WEFT_MS(1), weft_shield(WEFT_SEC(60), remaining_is_at_least(WEFT_SEC(30)))),
          1);
    wt_eq(weft_within(WEFT_SEC(60), weft_shield(WEFT_MS(1), remaining_is_at_least(WEFT_SEC(30)))),
          1);
    return 0;
}

static int compute_until_cancelled(void)
{
    int64_t give_up_ns = now_ns() + PATTERN_PATIENCE_NS;
    int rc = 0;
    while ((rc = weft_check()) == 0 && now_ns() < give_up_ns) { /* ends: the deadline */
    }
    return rc;
}

TaskTest(shield, check_notices_the_end_of_the_grace_without_a_timer, 1)
{
    wt_eq(weft_within(WEFT_MS(1), weft_shield(WEFT_MS(3), compute_until_cancelled())), -ETIME);
    wt_eq(weft_within(WEFT_MS(3), weft_shield(WEFT_MS(1), compute_until_cancelled())), -ETIME);
    wt_eq(weft_within(WEFT_MS(3),
                      weft_shield(WEFT_MS(1), weft_shield(WEFT_MS(2), compute_until_cancelled()))),
          -ETIME);
    return 0;
}

TaskTest(shield, what_is_inside_is_cancelled_by_what_is_inside, 1)
{
    WEFT_SCOPE(s);
    weft_scope_cancel(&s, NULL);
    wt_eq(weft_shield(WEFT_SEC(60), weft_within(WEFT_MS(1), nap(WEFT_SEC(3600)))), -ETIME);
    weft_cancel c;
    weft_cancel_init(&c, NULL);
    weft_cancel_fire(&c, "inside");
    wt_eq(weft_shield(WEFT_SEC(60), weft_under(&c, nap(1))), -ECANCELED);
    weft_cancel_fini(&c);
    weft_scope_end(&s);
    return 0;
}

static int nap_in_a_task(void *arg)
{
    (void)arg;
    return nap(WEFT_MS(1));
}

static int spawn_inside(void)
{
    weft_task t;
    int rc = weft_spawn(&t, nap_in_a_task, NULL);
    int rc2 = weft_await(&t);
    return rc < 0 ? rc : rc2;
}

TaskTest(shield, tasks_spawned_inside_are_shielded, 2)
{
    WEFT_SCOPE(s);
    weft_scope_cancel(&s, NULL);
    wt_eq(weft_shield(WEFT_SEC(60), spawn_inside()), 0);
    weft_scope_end(&s);
    return 0;
}

static int two_for_ever(void *arg)
{
    (void)arg;
    return weft_shield(WEFT_FOREVER, nap(1)) + weft_shield(WEFT_FOREVER, nap(1));
}

static int run_two_for_ever(void)
{
    return weft_run(two_for_ever, NULL, .workers = 1);
}

Test(shield, without_a_bound_is_legal_and_said_when_the_runtime_stops)
{
    struct captured captured;
    capture(&captured, run_two_for_ever);
    check_exited(&captured, 0);
    check_says(&captured, "2 times weft_shield had no time limit, the first time at");
    check_says(&captured, "test_shield.c");
}
