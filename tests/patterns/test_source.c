/* Sources of cancellation: firing, linking, timers, work under them, their end. */
#include "pattern.h"
#include <errno.h>
#include <pthread.h>
#include <semaphore.h>
#include <signal.h>
#include <stdio.h>
#include <unistd.h>
#include <weft/sync.h>

static int sleep_long(void)
{
    return weft_sleep(WEFT_SEC(3600));
}

struct under {
    weft_cancel *source;
    atomic_int *waiting;
    int rc; /* expected */
};

WEFT_TASK(wait_under, struct under)
{
    atomic_fetch_add(arg->waiting, 1);
    wt_eq(weft_under(arg->source, sleep_long()), arg->rc);
    return 0;
}

/* --- firing ----------------------------------------------------------------------------------- */

TaskTest(source, fire_ends_what_waits_under_it_and_nothing_else, 1)
{
    weft_cancel c;
    weft_cancel_init(&c, NULL);
    atomic_int waiting = 0;
    WEFT_SCOPE(s);
    for (int i = 0; i < 200; i++) {
        wt_eq(weft_go(&s, wait_under, (&(struct under){&c, &waiting, -ECANCELED})), 0);
    }
    yield_until(&waiting, 200);
    wt_eq(weft_cancel_fire(&c, "user pressed stop"), 0);
    wt_eq(weft_check(), 0);
    wt_eq(weft_scope_end(&s), 0);
    wt_str_eq(weft_cancel_why(&c)->text, "user pressed stop");
    weft_cancel_fini(&c);
    return 0;
}

TaskTest(source, fired_twice_is_ealready_and_the_first_reason_stays, 1) /* E4 */
{
    weft_cancel c;
    weft_cancel_init(&c, NULL);
    wt_eq(weft_cancel_why(&c)->kind, WEFT_WHY_NONE);
    wt_eq(weft_cancel_fire(&c, "first"), 0);
    wt_eq(weft_cancel_fire(&c, "second"), -EALREADY);
    wt_str_eq(weft_cancel_why(&c)->text, "first");
    weft_cancel_fini(&c);
    return 0;
}

static int expect_cancelled(const char *why)
{
    wt_eq(weft_check(), -ECANCELED);
    wt_eq(weft_yield(), -ECANCELED);
    wt_str_eq(weft_why()->text, why);
    return -ECANCELED;
}

TaskTest(source, that_has_fired_refuses_work_put_under_it_later, 1) /* E1 */
{
    weft_cancel c;
    weft_cancel_init(&c, NULL);
    weft_cancel_fire(&c, "early");
    weft_sem free_permit;
    weft_sem_init(&free_permit, 1, 1);
    wt_eq(weft_under(&c, expect_cancelled("early")), -ECANCELED);
    wt_eq(weft_check(), 0); /* the source is left behind */
    wt_eq(weft_under(&c, weft_sem_acquire(&free_permit)), -ECANCELED);
    wt_eq(weft_sem_count(&free_permit), 1);
    weft_cancel_fini(&c);
    return 0;
}

TaskTest(source, fired_after_the_work_is_done_changes_nothing, 1) /* E3 */
{
    weft_cancel c;
    weft_cancel_init(&c, NULL);
    wt_eq(weft_under(&c, weft_yield() + 7), 7);
    wt_eq(weft_cancel_fire(&c, NULL), 0);
    wt_eq(weft_check(), 0);
    weft_cancel_fini(&c);
    return 0;
}

static int spawn_and_wait(void)
{
    weft_task t;
    atomic_int waiting = 0;
    weft_cancel never;
    weft_cancel_init(&never, NULL); /* cancelled through the scope outside, not by this one */
    struct under under = {&never, &waiting, -ECANCELED};
    int rc = weft_spawn(&t, wait_under, &under);
    wt_true(rc == 0 || rc == -ECANCELED); /* who fires may be faster */
    if (rc == 0) {
        (void)weft_await(&t);
    }
    weft_cancel_fini(&never);
    return weft_check();
}

WEFT_TASK(work_with_children, struct under)
{
    atomic_fetch_add(arg->waiting, 1);
    return weft_under(arg->source, spawn_and_wait()) == arg->rc ? 0 : -EIO;
}

static void *fire_from_outside(void *arg)
{
    wt_eq(weft_cancel_fire((weft_cancel *)arg, "from outside"), 0);
    return NULL;
}

TaskTest(source, fired_by_a_foreign_thread_reaches_tasks_spawned_under_it, 2)
{
    weft_cancel c;
    weft_cancel_init(&c, NULL);
    atomic_int waiting = 0;
    WEFT_SCOPE(s);
    wt_eq(weft_go(&s, work_with_children, (&(struct under){&c, &waiting, -ECANCELED})), 0);
    yield_until(&waiting, 1);
    pthread_t thread;
    wt_eq(pthread_create(&thread, NULL, fire_from_outside, &c), 0);
    wt_eq(weft_scope_end(&s), 0);
    pthread_join(thread, NULL);
    weft_cancel_fini(&c);
    return 0;
}

/* --- parents and links ------------------------------------------------------------------------ */

TaskTest(source, fires_its_children_and_what_is_linked_to_it_for_its_own_reason, 1)
{
    weft_cancel request;
    weft_cancel timeout;
    weft_cancel both;
    weft_cancel_reg reg;
    weft_cancel_init(&request, NULL);
    weft_cancel_init(&timeout, NULL);
    weft_cancel_init(&both, &request);
    wt_eq(weft_cancel_link(&both, &timeout, &reg), 0);
    wt_eq(weft_cancel_fire(&timeout, "the other parent"), 0);
    wt_str_eq(weft_cancel_why(&both)->text, "the other parent");
    wt_eq(weft_cancel_why(&both)->place->line, weft_cancel_why(&timeout)->place->line);
    wt_eq(weft_cancel_why(&request)->kind, WEFT_WHY_NONE);
    wt_eq(weft_cancel_fire(&request, "late"), 0);
    wt_str_eq(weft_cancel_why(&both)->text, "the other parent");
    weft_cancel_fini(&both);
    weft_cancel_fini(&timeout);
    weft_cancel_fini(&request);
    return 0;
}

TaskTest(source, fini_unlinks_so_that_the_others_may_fire_afterwards, 1)
{
    weft_cancel parent;
    weft_cancel other;
    weft_cancel_init(&parent, NULL);
    weft_cancel_init(&other, NULL);
    for (int i = 0; i < 3; i++) {
        weft_cancel c;
        weft_cancel_reg reg;
        weft_cancel_init(&c, &parent);
        wt_eq(weft_cancel_link(&c, &other, &reg), 0);
        weft_cancel_fini(&c);
        memset(&c, 0x55, sizeof c); /* not looked at any more */
        memset(&reg, 0x55, sizeof reg);
    }
    wt_eq(weft_cancel_fire(&other, NULL), 0);
    wt_eq(weft_cancel_fire(&parent, NULL), 0);
    weft_cancel_fini(&other);
    weft_cancel_fini(&parent);
    return 0;
}

TaskTest(source, off_takes_a_link_away, 1)
{
    weft_cancel c;
    weft_cancel other;
    weft_cancel_reg reg;
    weft_cancel_init(&c, NULL);
    weft_cancel_init(&other, NULL);
    wt_eq(weft_cancel_link(&c, &other, &reg), 0);
    wt_eq(weft_cancel_off(&reg), 1);
    wt_eq(weft_cancel_off(&reg), 1);
    weft_cancel_fire(&other, NULL);
    wt_eq(weft_cancel_why(&c)->kind, WEFT_WHY_NONE);
    weft_cancel_fini(&other);
    weft_cancel_fini(&c);
    return 0;
}

TaskTest(source, linked_to_one_that_has_fired_fires_at_once, 1)
{
    weft_cancel c;
    weft_cancel other;
    weft_cancel_reg reg;
    weft_cancel_init(&other, NULL);
    weft_cancel_fire(&other, "before");
    weft_cancel_init(&c, NULL);
    wt_eq(weft_cancel_link(&c, &other, &reg), 1);
    wt_str_eq(weft_cancel_why(&c)->text, "before");
    weft_cancel child;
    weft_cancel_init(&child, &other);
    wt_str_eq(weft_cancel_why(&child)->text, "before");
    weft_cancel_fini(&child);
    weft_cancel_fini(&c);
    weft_cancel_fini(&other);
    return 0;
}

TaskTest(source, a_cycle_of_links_is_fired_once, 1)
{
    weft_cancel a;
    weft_cancel b;
    weft_cancel_reg ab;
    weft_cancel_reg ba;
    weft_cancel_init(&a, NULL);
    weft_cancel_init(&b, NULL);
    wt_eq(weft_cancel_link(&a, &b, &ab), 0);
    wt_eq(weft_cancel_link(&b, &a, &ba), 0);
    wt_eq(weft_cancel_fire(&b, "round"), 0);
    wt_str_eq(weft_cancel_why(&a)->text, "round");
    wt_eq(weft_cancel_off(&ab), 1);
    wt_eq(weft_cancel_off(&ba), 1);
    weft_cancel_fini(&a);
    weft_cancel_fini(&b);
    return 0;
}

#define DEPTH 100000
static weft_cancel chain[DEPTH];

TaskTest(source, a_chain_of_100000_costs_no_stack, 1)
{
    weft_cancel_init(&chain[0], NULL);
    for (int i = 1; i < DEPTH; i++) {
        weft_cancel_init(&chain[i], &chain[i - 1]);
    }
    wt_eq(weft_cancel_fire(&chain[0], "down"), 0);
    wt_str_eq(weft_cancel_why(&chain[DEPTH - 1])->text, "down");
    for (int i = DEPTH - 1; i >= 0; i--) {
        weft_cancel_fini(&chain[i]);
    }
    return 0;
}

/* --- the timer -------------------------------------------------------------------------------- */

TaskTest(source, after_gives_etime_to_the_work_under_it, 1)
{
    weft_cancel c;
    weft_cancel_init(&c, NULL);
    int64_t began_ns = now_ns();
    wt_eq(weft_cancel_after(&c, WEFT_MS(2)), 0);
    wt_eq(weft_under(&c, sleep_long()), -ETIME);
    wt_ge(now_ns() - began_ns, WEFT_MS(2), "never early");
    wt_eq(weft_cancel_why(&c)->kind, WEFT_WHY_DEADLINE);
    wt_eq(weft_cancel_after(&c, WEFT_MS(2)), -EALREADY);
    wt_eq(weft_cancel_fire(&c, NULL), -EALREADY);
    weft_cancel_fini(&c);
    return 0;
}

TaskTest(source, after_through_a_link_is_a_time_out_too, 1)
{
    weft_cancel request;
    weft_cancel timeout;
    weft_cancel c;
    weft_cancel_reg reg;
    weft_cancel_init(&request, NULL);
    weft_cancel_init(&timeout, NULL);
    weft_cancel_init(&c, &request);
    wt_eq(weft_cancel_link(&c, &timeout, &reg), 0);
    wt_eq(weft_cancel_after(&timeout, WEFT_MS(1)), 0);
    wt_eq(weft_under(&c, sleep_long()), -ETIME);
    weft_cancel_fini(&c);
    weft_cancel_fini(&timeout);
    weft_cancel_fini(&request);
    return 0;
}

TaskTest(source, after_again_replaces_the_time_and_forever_takes_it_off, 1)
{
    weft_cancel c;
    weft_cancel_init(&c, NULL);
    wt_eq(weft_cancel_after(&c, WEFT_MS(1)), 0);
    wt_eq(weft_cancel_after(&c, WEFT_SEC(3600)), 0);
    wt_eq(weft_under(&c, weft_sleep(WEFT_MS(5))), 0);
    wt_eq(weft_cancel_after(&c, WEFT_MS(1)), 0);
    wt_eq(weft_cancel_after(&c, WEFT_FOREVER), 0);
    wt_eq(weft_under(&c, weft_sleep(WEFT_MS(5))), 0);
    wt_eq(weft_cancel_after(&c, 0), 0);
    wt_eq(weft_cancel_why(&c)->kind, WEFT_WHY_DEADLINE);
    weft_cancel_fini(&c);
    weft_cancel_init(&c, NULL);
    wt_eq(weft_cancel_after(&c, INT64_MIN), 0); /* E2: negative is 0 */
    wt_eq(weft_cancel_after(&c, WEFT_SEC(1)), -EALREADY);
    weft_cancel_fini(&c);
    weft_cancel_init(&c, NULL);
    wt_eq(weft_cancel_after(&c, WEFT_FOREVER - 1), 0); /* E2: overflow saturates */
    wt_eq(weft_under(&c, weft_sleep(WEFT_MS(1))), 0);
    weft_cancel_fini(&c);
    return 0;
}

static void *after_from_outside(void *arg)
{
    wt_eq(weft_cancel_after((weft_cancel *)arg, WEFT_MS(1)), 0);
    int rc = weft_cancel_after((weft_cancel *)arg, WEFT_MS(2));
    wt_true(rc == 0 || rc == -EALREADY, "%d", rc); /* it may have fired by now */
    return NULL;
}

TaskTest(source, after_may_come_from_a_foreign_thread, 2)
{
    for (int round = 0; round < 20; round++) {
        weft_cancel c;
        weft_cancel_init(&c, NULL);
        pthread_t thread;
        wt_eq(pthread_create(&thread, NULL, after_from_outside, &c), 0);
        wt_eq(weft_under(&c, sleep_long()), -ETIME);
        pthread_join(thread, NULL);
        weft_cancel_fini(&c);
    }
    return 0;
}

Test(source, of_a_foreign_thread_fires_but_has_no_timer)
{
    weft_cancel c;
    weft_cancel_init(&c, NULL);
    wt_eq(weft_cancel_after(&c, WEFT_MS(1)), -EPERM);
    wt_eq(weft_cancel_fire_sig(&c), -EPERM);
    wt_eq(weft_cancel_after(&c, WEFT_FOREVER), 0);
    wt_eq(weft_cancel_after(&c, 0), 0);
    wt_eq(weft_cancel_fire(&c, NULL), -EALREADY);
    weft_cancel_fini(&c);
}

TaskTest(source, reset_succeeds_only_if_never_fired_and_no_timer_is_on, 1) /* E8 */
{
    weft_cancel c;
    weft_cancel_init(&c, NULL);
    wt_eq(weft_cancel_reset(&c), 0);
    wt_eq(weft_cancel_after(&c, WEFT_SEC(3600)), 0);
    wt_eq(weft_cancel_reset(&c), -EBUSY);
    wt_eq(weft_cancel_after(&c, WEFT_FOREVER), 0);
    wt_eq(weft_cancel_reset(&c), 0);
    weft_cancel child;
    weft_cancel_init(&child, &c);
    wt_eq(weft_cancel_reset(&c), -EBUSY);
    weft_cancel_fini(&child);
    wt_eq(weft_cancel_reset(&c), 0);
    weft_cancel_fire(&c, NULL);
    wt_eq(weft_cancel_reset(&c), -EALREADY);
    weft_cancel_fini(&c);
    return 0;
}

/* --- precedence ------------------------------------------------------------------------------- */

static int fire_and_wait(weft_cancel *c)
{
    weft_cancel_fire(c, "inner");
    return sleep_long();
}

TaskTest(source, only_the_outermost_that_is_cancelled_converts, 1)
{
    weft_cancel c;
    weft_cancel_init(&c, NULL);
    /* c fired by hand inside a deadline that has not passed */
    wt_eq(weft_within(WEFT_SEC(3600), weft_under(&c, fire_and_wait(&c))), -ECANCELED);
    weft_cancel_fini(&c);
    /* a time-out of the source, and the outer scope cancelled too */
    weft_cancel_init(&c, NULL);
    WEFT_SCOPE(s);
    weft_cancel_after(&c, 0);
    weft_scope_cancel(&s, "outer");
    wt_eq(weft_under(&c, weft_yield()), -ECANCELED);
    weft_scope_end(&s);
    weft_cancel_fini(&c);
    return 0;
}

/* --- a signal --------------------------------------------------------------------------------- */

static weft_cancel of_signal;
static atomic_int handled;

static void on_signal(int number)
{
    (void)number;
    int before = errno;
    int rc = weft_cancel_fire_sig(&of_signal);
    if (rc == 0 && errno == before) {
        atomic_fetch_add(&handled, 1);
    }
}

TaskTest(source, fire_sig_in_a_signal_handler_has_a_worker_fire, 2)
{
    weft_cancel_init(&of_signal, NULL);
    struct sigaction action = {.sa_handler = on_signal};
    wt_eq(sigaction(SIGUSR1, &action, NULL), 0);
    atomic_int waiting = 0;
    WEFT_SCOPE(s);
    weft_go(&s, wait_under, (&(struct under){&of_signal, &waiting, -ECANCELED}));
    yield_until(&waiting, 1);
    wt_eq(kill(getpid(), SIGUSR1), 0); /* workers block signals: the main thread takes it */
    wt_eq(weft_scope_end(&s), 0);
    yield_until(&handled, 1); /* the handler may still be on its way out */
    wt_eq(weft_cancel_fire_sig(&of_signal), -EALREADY);
    wt_eq(weft_cancel_why(&of_signal)->kind, WEFT_WHY_SIGNAL);
    weft_cancel_fini(&of_signal);
    return 0;
}

/* --- the end ---------------------------------------------------------------------------------- */

Test(source, fini_takes_zeroed_memory_and_a_second_call) /* E41 */
{
    weft_cancel c = {0};
    weft_cancel_fini(&c);
    weft_cancel_init(&c, NULL);
    weft_cancel_fini(&c);
    weft_cancel_fini(&c);
    weft_cancel_reg reg = {0};
    wt_eq(weft_cancel_off(&reg), 1);
}

static char reported[512];

static void keep_report(const char *what)
{
    snprintf(reported, sizeof reported, "%s", what);
}

Test(source, fini_with_a_live_child_is_misuse_that_names_the_childs_place)
{
    weft_on_misuse(keep_report);
    weft_cancel parent;
    weft_cancel child;
    weft_cancel_init(&parent, NULL);
    int line = __LINE__ + 1;
    weft_cancel_init(&child, &parent);
    char place[64];
    snprintf(place, sizeof place, "test_source.c:%d", line);
    weft_cancel_fini(&parent);
    wt_true(strstr(reported, place) != NULL, "%s", reported);
    wt_true(strstr(reported, "child") != NULL, "%s", reported);
    reported[0] = '\0';
    weft_cancel_fire(&parent, NULL); /* still alive, and so is the link after it has fired */
    weft_cancel_fini(&parent);
    wt_true(strstr(reported, place) != NULL, "%s", reported);
    reported[0] = '\0';
    weft_cancel_fini(&child);
    weft_cancel_fini(&parent);
    wt_str_eq(reported, "");
}

static int fini_inside(weft_cancel *c)
{
    weft_cancel_fini(c);
    return 0;
}

TaskTest(source, fini_with_work_under_it_is_misuse, 1)
{
    weft_on_misuse(keep_report);
    weft_cancel c;
    weft_cancel_init(&c, NULL);
    wt_eq(weft_under(&c, fini_inside(&c)), 0);
    wt_true(strstr(reported, "work under it") != NULL, "%s", reported);
    weft_cancel_fini(&c);
    return 0;
}

/* On one worker nobody fires before we let it: the signal's message waits. */
TaskTest(source, reset_is_refused_once_a_signal_has_asked, 1)
{
    weft_cancel c;
    weft_cancel_init(&c, NULL);
    wt_eq(weft_cancel_fire_sig(&c), 0);
    wt_eq(weft_cancel_why(&c)->kind, WEFT_WHY_NONE);
    wt_eq(weft_cancel_reset(&c), -EALREADY);
    weft_cancel_fini(&c); /* waits for the signal's message */
    return 0;
}

struct member {
    weft_cancel *source;
    weft_sem never;
    atomic_int waiting;
    int rc;
};

WEFT_TASK(wait_as_member, struct member *)
{
    atomic_fetch_add(&(*arg)->waiting, 1);
    (*arg)->rc = weft_sem_acquire(&(*arg)->never);
    return 0;
}

static int fire_later(void *arg)
{
    struct member *member = arg;
    yield_until(&member->waiting, 1);
    weft_sleep(WEFT_MS(2)); /* the owner waits for the member by now */
    return weft_cancel_fire(member->source, "late");
}

TaskTest(source, fired_while_a_scope_under_it_waits_for_its_tasks_cancels_them, 1, .timeout = 20)
{
    weft_cancel c;
    weft_cancel_init(&c, NULL);
    struct member member = {.source = &c};
    weft_sem_init(&member.never, 0, 0);
    weft_task t;
    weft_spawn(&t, fire_later, &member);
    weft_scope s;
    weft_enter(&s, &c);
    weft_go(&s, wait_as_member, &(struct member *){&member});
    wt_eq(weft_leave(&s, 5), 5);
    wt_eq(member.rc, -ECANCELED);
    wt_eq(weft_await(&t), 0);
    weft_cancel_fini(&c);
    weft_sem_fini(&member.never);
    return 0;
}

/* --- after the runtime ------------------------------------------------------------------------ */

static int time_and_take_off(void *arg)
{
    weft_cancel *sources = arg;
    wt_eq(weft_cancel_after(&sources[0], WEFT_SEC(3600)), 0);
    wt_eq(weft_cancel_after(&sources[0], WEFT_FOREVER), 0);
    wt_eq(weft_cancel_after(&sources[1], WEFT_US(100)), 0);
    wt_eq(weft_under(&sources[1], sleep_long()), -ETIME);
    wt_eq(weft_cancel_after(&sources[1], WEFT_FOREVER), -EALREADY);
    return 0;
}

Test(source, one_without_a_timer_may_outlive_the_runtime_that_timed_it)
{
    weft_cancel sources[2];
    weft_cancel_init(&sources[0], NULL);
    weft_cancel_init(&sources[1], NULL);
    wt_eq(weft_run(time_and_take_off, sources, .workers = 2), 0);
    weft_cancel_fini(&sources[0]); /* under ASan: no worker of the runtime's is looked at */
    weft_cancel_fini(&sources[1]);
}
