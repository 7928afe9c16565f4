/* Cancel callbacks: when they run, where, in which order, and what taking one off promises. */
#include "pattern.h"
#include <pthread.h>
#include <semaphore.h>
#include <stdio.h>
#include <weft/sync.h>

static int order[16];
static atomic_int ran;

struct mark {
    int number;
};

static void note(void *arg)
{
    order[atomic_fetch_add(&ran, 1)] = ((struct mark *)arg)->number;
}

static char reported[512];

static void keep_report(const char *what)
{
    snprintf(reported, sizeof reported, "%s", what);
}

/* --- register, run ---------------------------------------------------------------------------- */

TaskTest(callback, run_in_reverse_order_in_the_canceller, 1) /* E7 */
{
    weft_cancel c;
    weft_cancel_init(&c, NULL);
    weft_cancel_reg reg[3];
    struct mark marks[3] = {{0}, {1}, {2}};
    for (int i = 0; i < 3; i++) {
        wt_eq(weft_cancel_on(&c, &reg[i], note, &marks[i]), 0);
    }
    weft_cancel_fire(&c, NULL);
    wt_eq(atomic_load(&ran), 3); /* when fire returns */
    wt_eq(order[0], 2);
    wt_eq(order[1], 1);
    wt_eq(order[2], 0);
    for (int i = 0; i < 3; i++) {
        wt_eq(weft_cancel_off(&reg[i]), 0);
    }
    weft_cancel_fini(&c);
    return 0;
}

TaskTest(callback, registered_on_what_is_cancelled_runs_inline_and_returns_1, 1) /* E5 */
{
    weft_cancel c;
    weft_cancel_init(&c, NULL);
    weft_cancel_fire(&c, NULL);
    weft_cancel_reg reg;
    struct mark mark = {7};
    wt_eq(weft_cancel_on(&c, &reg, note, &mark), 1);
    wt_eq(atomic_load(&ran), 1);
    wt_eq(weft_cancel_off(&reg), 0);
    weft_cancel_fini(&c);
    WEFT_SCOPE(s);
    weft_scope_cancel(&s, NULL);
    wt_eq(weft_cancel_on(NULL, &reg, note, &mark), 1);
    wt_eq(atomic_load(&ran), 2);
    weft_scope_end(&s);
    return 0;
}

TaskTest(callback, taken_off_never_runs_and_off_says_1, 1) /* E6 */
{
    weft_cancel c;
    weft_cancel_init(&c, NULL);
    weft_cancel_reg reg;
    struct mark mark = {7};
    wt_eq(weft_cancel_on(&c, &reg, note, &mark), 0);
    wt_eq(weft_cancel_off(&reg), 1);
    wt_eq(weft_cancel_off(&reg), 1);
    weft_cancel_fire(&c, NULL);
    wt_eq(atomic_load(&ran), 0);
    weft_cancel_fini(&c);
    return 0;
}

/* E7: flags first, through sources, scopes below them, and the scopes' tasks. */
static weft_cancel root_source;
static weft_cancel leaf_source;
static atomic_int deep_ready, deep_saw;

static int wait_deep(void)
{
    atomic_fetch_add(&deep_ready, 1);
    int rc = weft_sleep(WEFT_SEC(3600));
    atomic_fetch_add(&deep_saw, 1);
    return rc;
}

WEFT_TASK(deep_task, int)
{
    return weft_within(WEFT_SEC(3600), weft_under(&leaf_source, wait_deep()));
}

static void all_is_visible(void *arg)
{
    (void)arg;
    wt_eq(weft_cancel_why(&root_source)->kind, WEFT_WHY_CALL);
    wt_eq(weft_cancel_why(&leaf_source)->kind, WEFT_WHY_CALL);
    wt_str_eq(weft_why()->text, "all of it");
    wt_eq(atomic_load(&deep_saw), 0); /* one worker: nobody goes on inside a cancel */
    atomic_fetch_add(&ran, 1);
}

TaskTest(callback, run_when_the_flag_is_visible_in_the_whole_tree, 1) /* E7 */
{
    weft_cancel_init(&root_source, NULL);
    weft_cancel_init(&leaf_source, &root_source);
    weft_cancel_reg on_root;
    weft_cancel_reg on_leaf;
    wt_eq(weft_cancel_on(&root_source, &on_root, all_is_visible, NULL), 0);
    wt_eq(weft_cancel_on(&leaf_source, &on_leaf, all_is_visible, NULL), 0);
    WEFT_SCOPE(s, .on_error = WEFT_CONTINUE);
    for (int i = 0; i < 3; i++) {
        weft_go(&s, deep_task, &i);
    }
    yield_until(&deep_ready, 3);
    weft_cancel_fire(&root_source, "all of it");
    wt_eq(atomic_load(&ran), 2);
    wt_eq(weft_scope_end(&s), -ECANCELED);
    wt_eq(atomic_load(&deep_saw), 3);
    wt_eq(weft_cancel_off(&on_root), 0);
    wt_eq(weft_cancel_off(&on_leaf), 0);
    weft_cancel_fini(&leaf_source);
    weft_cancel_fini(&root_source);
    return 0;
}

/* --- on the current scope --------------------------------------------------------------------- */

static atomic_int
    taken_off; /* by a task that was woken before the canceller came to its callback */

static int register_and_wait(atomic_int *ready)
{
    weft_cancel_reg reg;
    struct mark mark = {1};
    wt_eq(weft_cancel_on(NULL, &reg, note, &mark), 0);
    atomic_fetch_add(ready, 1);
    int rc = weft_sleep(WEFT_SEC(3600));
    atomic_fetch_add(&taken_off, weft_cancel_off(&reg));
    return rc;
}

WEFT_TASK(registering_task, atomic_int *)
{
    return weft_within(WEFT_SEC(3600), register_and_wait(*arg));
}

TaskTest(callback, of_the_current_scope_runs_when_an_outer_one_is_cancelled, 2)
{
    atomic_int ready = 0;
    WEFT_SCOPE(s);
    for (int i = 0; i < 4; i++) {
        weft_go(&s, registering_task, (&(atomic_int *){&ready}));
    }
    yield_until(&ready, 4);
    weft_scope_cancel(&s, NULL);
    wt_eq(weft_scope_end(&s), -ECANCELED);
    wt_eq(atomic_load(&ran) + atomic_load(&taken_off),
          4); /* each once, or told that it never will */
    return 0;
}

TaskTest(callback, of_the_current_scope_runs_at_its_deadline, 1)
{
    weft_cancel_reg reg;
    struct mark mark = {1};
    WEFT_SCOPE(s, .timeout = WEFT_MS(1));
    wt_eq(weft_cancel_on(NULL, &reg, note, &mark), 0);
    wt_eq(weft_sleep(WEFT_SEC(3600)), -ECANCELED);
    wt_eq(weft_cancel_off(&reg), 0);
    wt_eq(atomic_load(&ran), 1);
    weft_scope_end(&s);
    return 0;
}

Test(callback, outside_a_task_needs_a_source)
{
    weft_cancel_reg reg;
    wt_eq(weft_cancel_on(NULL, &reg, note, NULL), -EPERM);
    wt_eq(weft_cancel_off(&reg), 1);
}

TaskTest(callback, left_registered_at_the_end_of_its_scope_is_misuse, 1)
{
    weft_on_misuse(keep_report);
    weft_cancel_reg reg;
    WEFT_SCOPE(s);
    wt_eq(weft_cancel_on(NULL, &reg, note, NULL), 0);
    weft_scope_end(&s);
    wt_true(strstr(reported, "test_callback.c") != NULL, "%s", reported);
    return 0;
}

/* --- what a callback may not do --------------------------------------------------------------- */

static weft_sem no_permits;
static int codes[4];

static void try_to_wait(void *arg)
{
    (void)arg;
    codes[0] = weft_sem_acquire(&no_permits);
    codes[1] = weft_sleep(1);
    codes[2] = weft_yield();
    weft_task t;
    codes[3] = weft_spawn(&t, NULL, NULL);
    wt_eq(weft_check(), 0);
    wt_eq(weft_sem_release(&no_permits, 1), 0);
    wt_eq(weft_sem_try(&no_permits), 0);
    atomic_fetch_add(&ran, 1);
}

static void expect_refused(void)
{
    for (int i = 0; i < 4; i++) {
        wt_eq(codes[i], -EDEADLK, "%d", i);
        codes[i] = 0;
    }
    wt_true(strstr(reported, "cancel callback") != NULL, "%s", reported);
    reported[0] = '\0';
}

TaskTest(callback, that_would_suspend_gets_edeadlk_and_is_reported, 1)
{
    weft_on_misuse(keep_report);
    weft_sem_init(&no_permits, 0, 0);
    weft_cancel_reg reg;
    weft_cancel c;
    weft_cancel_init(&c, NULL);
    wt_eq(weft_cancel_on(&c, &reg, try_to_wait, NULL), 0);
    weft_cancel_fire(&c, NULL);
    expect_refused();
    wt_eq(weft_yield(), 0); /* the canceller itself is a task as before */
    /* inline */
    wt_eq(weft_cancel_on(&c, &reg, try_to_wait, NULL), 1);
    expect_refused();
    weft_cancel_fini(&c);
    /* by a timer, on the worker's own stack */
    weft_cancel_init(&c, NULL);
    wt_eq(weft_cancel_on(&c, &reg, try_to_wait, NULL), 0);
    wt_eq(weft_cancel_after(&c, 1), 0);
    wt_eq(weft_under(&c, weft_sleep(WEFT_SEC(3600))), -ETIME);
    wt_eq(weft_cancel_off(&reg), 0);
    expect_refused();
    weft_cancel_fini(&c);
    wt_eq(atomic_load(&ran), 3);
    return 0;
}

static void *fire_outside(void *arg)
{
    weft_cancel_fire((weft_cancel *)arg, NULL);
    wt_eq(weft_yield(), -EPERM); /* a foreign thread as before */
    return NULL;
}

Test(callback, is_refused_alike_on_a_foreign_thread)
{
    weft_on_misuse(keep_report);
    weft_sem_init(&no_permits, 0, 0);
    weft_cancel_reg reg;
    weft_cancel c;
    weft_cancel_init(&c, NULL);
    wt_eq(weft_cancel_on(&c, &reg, try_to_wait, NULL), 0);
    (void)fire_outside(&c);
    expect_refused();
    weft_cancel_fini(&c);
}

/* --- callbacks and each other ----------------------------------------------------------------- */

static weft_cancel second;

static void fire_second(void *arg)
{
    (void)arg;
    wt_eq(weft_cancel_fire(&second, "by a callback"), 0);
    wt_eq(atomic_load(&ran), 1);
}

TaskTest(callback, may_fire_another_source_whose_callbacks_run_inside, 1)
{
    weft_cancel c;
    weft_cancel_init(&c, NULL);
    weft_cancel_init(&second, NULL);
    weft_cancel_reg a;
    weft_cancel_reg b;
    struct mark mark = {1};
    wt_eq(weft_cancel_on(&c, &a, fire_second, NULL), 0);
    wt_eq(weft_cancel_on(&second, &b, note, &mark), 0);
    weft_cancel_fire(&c, NULL);
    wt_eq(atomic_load(&ran), 1);
    weft_cancel_fini(&second);
    weft_cancel_fini(&c);
    return 0;
}

static weft_cancel_reg *own;

static void take_self_off(void *arg)
{
    (void)arg;
    wt_eq(weft_cancel_off(own), 0);
    memset(own, 0x55, sizeof *own); /* its memory is ours */
    atomic_fetch_add(&ran, 1);
}

TaskTest(callback, off_from_inside_returns_at_once, 1) /* E6 */
{
    weft_cancel c;
    weft_cancel_init(&c, NULL);
    weft_cancel_reg reg;
    own = &reg;
    wt_eq(weft_cancel_on(&c, &reg, take_self_off, NULL), 0);
    weft_cancel_fire(&c, NULL);
    wt_eq(atomic_load(&ran), 1);
    weft_cancel_fini(&c);
    return 0;
}

static weft_cancel_reg *older;

static void take_older_off(void *arg)
{
    (void)arg;
    wt_eq(weft_cancel_off(older), 1);
}

TaskTest(callback, may_take_off_another_that_has_not_run, 1)
{
    weft_cancel c;
    weft_cancel_init(&c, NULL);
    weft_cancel_reg a;
    weft_cancel_reg b;
    struct mark mark = {1};
    older = &a;
    wt_eq(weft_cancel_on(&c, &a, note, &mark), 0);
    wt_eq(weft_cancel_on(&c, &b, take_older_off, NULL), 0);
    weft_cancel_fire(&c, NULL);
    wt_eq(atomic_load(&ran), 0);
    weft_cancel_fini(&c);
    return 0;
}

/* A callback that is held up until the test lets it go. */
static sem_t entered, let_go;
static atomic_int returned;

static void hold(void *arg)
{
    (void)arg;
    sem_post(&entered);
    sem_wait(&let_go);
    atomic_store(&returned, 1);
}

static atomic_int others;

WEFT_TASK(other_task, int)
{
    atomic_fetch_add(&others, 1);
    sem_post(&let_go);
    return 0;
}

WEFT_TASK(off_task, weft_cancel_reg *)
{
    wt_eq(weft_cancel_off(*arg), 0);
    wt_eq(atomic_load(&returned), 1);
    return 0;
}

/* With one worker: it could not run other_task, which lets the callback go, were it blocked. */
TaskTest(callback, off_waits_for_one_that_runs_elsewhere_and_suspends_only_the_task, 1) /* E6 */
{
    sem_init(&entered, 0, 0);
    sem_init(&let_go, 0, 0);
    weft_cancel c;
    weft_cancel_init(&c, NULL);
    weft_cancel_reg reg;
    wt_eq(weft_cancel_on(&c, &reg, hold, NULL), 0);
    pthread_t thread;
    wt_eq(pthread_create(&thread, NULL, fire_outside, &c), 0);
    sem_wait(&entered);
    WEFT_SCOPE(s);
    wt_eq(weft_go(&s, other_task, &(int){0}), 0);
    wt_eq(weft_go(&s, off_task, (&(weft_cancel_reg *){&reg})), 0); /* the newest: runs first */
    wt_eq(weft_scope_end(&s), 0);
    weft_cancel_fini(&c); /* waits for the walk */
    pthread_join(thread, NULL);
    return 0;
}

static void *off_outside(void *arg)
{
    wt_eq(weft_cancel_off((weft_cancel_reg *)arg), 0);
    wt_eq(atomic_load(&returned), 1);
    return NULL;
}

Test(callback, off_waits_on_a_foreign_thread_too) /* E6 */
{
    sem_init(&entered, 0, 0);
    sem_init(&let_go, 0, 0);
    weft_cancel c;
    weft_cancel_init(&c, NULL);
    weft_cancel_reg reg;
    wt_eq(weft_cancel_on(&c, &reg, hold, NULL), 0);
    pthread_t firing;
    pthread_t taking_off;
    wt_eq(pthread_create(&firing, NULL, fire_outside, &c), 0);
    sem_wait(&entered);
    wt_eq(pthread_create(&taking_off, NULL, off_outside, &reg), 0);
    sem_post(&let_go);
    pthread_join(taking_off, NULL);
    weft_cancel_fini(&c);
    wt_eq(atomic_load(&returned), 1);
    pthread_join(firing, NULL);
}

static weft_cancel_reg *elsewhere;
static int off_code;

static void off_of_elsewhere(void *arg)
{
    (void)arg;
    off_code = weft_cancel_off(elsewhere);
}

Test(callback, that_would_wait_for_another_gets_edeadlk)
{
    weft_on_misuse(keep_report);
    sem_init(&entered, 0, 0);
    sem_init(&let_go, 0, 0);
    weft_cancel a;
    weft_cancel b;
    weft_cancel_init(&a, NULL);
    weft_cancel_init(&b, NULL);
    weft_cancel_reg on_a;
    weft_cancel_reg on_b;
    elsewhere = &on_a;
    wt_eq(weft_cancel_on(&a, &on_a, hold, NULL), 0);
    wt_eq(weft_cancel_on(&b, &on_b, off_of_elsewhere, NULL), 0);
    pthread_t thread;
    wt_eq(pthread_create(&thread, NULL, fire_outside, &a), 0);
    sem_wait(&entered);
    weft_cancel_fire(&b, NULL);
    wt_eq(off_code, -EDEADLK);
    wt_true(strstr(reported, "test_callback.c") != NULL, "%s", reported);
    sem_post(&let_go);
    pthread_join(thread, NULL);
    weft_cancel_fini(&a);
    weft_cancel_fini(&b);
}

TaskTest(callback, are_dropped_by_reset, 1) /* E8 */
{
    weft_cancel c;
    weft_cancel_init(&c, NULL);
    weft_cancel_reg reg;
    struct mark mark = {1};
    wt_eq(weft_cancel_on(&c, &reg, note, &mark), 0);
    wt_eq(weft_cancel_reset(&c), 0);
    wt_eq(weft_cancel_off(&reg), 1);
    weft_cancel_fire(&c, NULL);
    wt_eq(atomic_load(&ran), 0);
    weft_cancel_fini(&c);
    return 0;
}
