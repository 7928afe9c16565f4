/* Scopes: owning tasks, joining them, and saying how it went. */
#include "pattern.h"
#include <string.h>
#include <weft/debug.h>
#include <weft/sync.h>

WEFT_TASK(count_up, atomic_int *)
{
    atomic_fetch_add(*arg, 1);
    return 0;
}

WEFT_TASK(return_it, int)
{
    return *arg;
}

struct wait_and_return {
    weft_sem *sem;
    atomic_int *waiting; /* may be NULL */
    int rc;
};

WEFT_TASK(wait_and_return, struct wait_and_return)
{
    if (arg->waiting != NULL) {
        atomic_fetch_add(arg->waiting, 1);
    }
    int rc = weft_sem_acquire(arg->sem);
    return rc < 0 ? rc : arg->rc;
}

TaskTest(scope, without_tasks_it_ends_with_0, 1)
{
    WEFT_SCOPE(s);
    wt_eq(weft_scope_end(&s), 0);
    return 0;
}

TaskTest(scope, end_waits_for_every_task, 2)
{
    atomic_int count = 0;
    atomic_int *pointer = &count;
    WEFT_SCOPE(s);
    for (int i = 0; i < 1000; i++) {
        wt_eq(weft_go(&s, count_up, &pointer), 0);
    }
    wt_eq(weft_scope_end(&s), 0);
    wt_eq(atomic_load(&count), 1000);
    return 0;
}

TaskTest(scope, a_second_end_is_0, 1)
{
    WEFT_SCOPE(s);
    weft_go(&s, return_it, &(int){-EIO});
    wt_eq(weft_scope_end(&s), -EIO);
    wt_eq(weft_scope_end(&s), 0);
    return 0;
}

struct big {
    unsigned char bytes[WEFT_GO_ARG_MAX];
};

WEFT_TASK(check_big, struct big)
{
    wt_eq((uintptr_t)arg % 16, 0);
    for (size_t i = 0; i < sizeof arg->bytes; i++) {
        wt_eq(arg->bytes[i], (unsigned char)(i * 7));
    }
    return 0;
}

TaskTest(scope, go_copies_an_argument_of_the_largest_size_whole, 1)
{
    struct big big;
    for (size_t i = 0; i < sizeof big.bytes; i++) {
        big.bytes[i] = (unsigned char)(i * 7);
    }
    WEFT_SCOPE(s);
    wt_eq(weft_go(&s, check_big, &big), 0);
    memset(&big, 0, sizeof big); /* it is ours again; the task has not run yet */
    return weft_scope_end(&s);
}

TaskTest(scope, go_raw_refuses_a_larger_argument, 1)
{
    static unsigned char bytes[WEFT_GO_ARG_MAX + 1];
    WEFT_SCOPE(s);
    wt_eq(weft_go_raw(&s, check_big, bytes, sizeof bytes), -E2BIG);
    wt_eq(weft_scope_count(&s), 0);
    return weft_scope_end(&s);
}

struct sized {
    size_t bytes;
    unsigned char rest[WEFT_GO_ARG_MAX - sizeof(size_t)];
};

static int check_sized(void *arg)
{
    struct sized *sized = arg;
    wt_eq((uintptr_t)arg % 16, 0);
    for (size_t i = 0; i < sized->bytes - sizeof sized->bytes; i++) {
        wt_eq(sized->rest[i], (unsigned char)(sized->bytes + i));
    }
    return 0;
}

TaskTest(scope, go_copies_arguments_of_every_size, 2)
{
    WEFT_SCOPE(s);
    for (size_t bytes = sizeof(size_t); bytes <= WEFT_GO_ARG_MAX; bytes++) {
        struct sized sized = {.bytes = bytes};
        for (size_t i = 0; i < bytes - sizeof bytes; i++) {
            sized.rest[i] = (unsigned char)(bytes + i);
        }
        wt_eq(weft_go_raw(&s, check_sized, &sized, bytes), 0);
    }
    return weft_scope_end(&s);
}

struct spreading {
    weft_scope *scope;
    atomic_int *count;
    int depth;
};

WEFT_TASK(spread, struct spreading)
{
    atomic_fetch_add(arg->count, 1);
    for (int i = 0; i < 2 && arg->depth > 0; i++) {
        struct spreading next = {arg->scope, arg->count, arg->depth - 1};
        wt_eq(weft_go(arg->scope, spread, &next), 0);
    }
    return 0;
}

static int spread_from_the_root(void *arg)
{
    (void)arg;
    atomic_int count = 0;
    WEFT_SCOPE(s);
    weft_go(&s, spread, (&(struct spreading){&s, &count, 12}));
    wt_eq(weft_scope_end(&s), 0);
    wt_eq(atomic_load(&count), (1 << 13) - 1);
    return 0;
}

Test(scope, its_tasks_may_start_tasks_in_it)
{
    wt_eq(weft_run(spread_from_the_root, NULL, .workers = 1), 0);
    wt_eq(weft_run(spread_from_the_root, NULL, .workers = 2), 0);
    wt_eq(weft_run(spread_from_the_root, NULL, .workers = 8), 0);
}

TaskTest(scope, the_first_failure_cancels_the_others_and_is_the_result, 2)
{
    weft_sem never;
    weft_sem_init(&never, 0, 0);
    WEFT_SCOPE(s);
    for (int i = 0; i < 10; i++) {
        weft_go(&s, wait_and_return, (&(struct wait_and_return){&never, NULL, 0}));
    }
    weft_go(&s, return_it, &(int){-EPROTO});
    wt_eq(weft_scope_end(&s), -EPROTO);
    weft_sem_fini(&never);
    return 0;
}

TaskTest(scope, with_continue_all_tasks_run_to_their_end, 2)
{
    atomic_int count = 0;
    atomic_int *pointer = &count;
    weft_sem late;
    weft_sem_init(&late, 0, 0);
    WEFT_SCOPE(s, .on_error = WEFT_CONTINUE);
    weft_go(&s, wait_and_return, (&(struct wait_and_return){&late, NULL, 0}));
    weft_go(&s, return_it, &(int){-EIO});
    for (int i = 0; i < 100; i++) {
        wt_eq(weft_go(&s, count_up, &pointer), 0);
    }
    while (weft_scope_count(&s) > 1) { /* ends: all but the one that waits end */
        weft_yield();
    }
    wt_eq(weft_check(), 0);
    weft_sem_release(&late, 1);
    wt_eq(weft_scope_end(&s), -EIO);
    wt_eq(atomic_load(&count), 100);
    return 0;
}

TaskTest(scope, with_continue_the_first_failure_in_time_is_the_result, 2)
{
    weft_sem late;
    weft_sem_init(&late, 0, 0);
    WEFT_SCOPE(s, .on_error = WEFT_CONTINUE);
    weft_go(&s, wait_and_return, (&(struct wait_and_return){&late, NULL, -EIO}));
    weft_go(&s, return_it, &(int){-EBADMSG});
    while (weft_scope_count(&s) > 1) { /* ends: the one that does not wait ends */
        weft_yield();
    }
    weft_sem_release(&late, 1);
    wt_eq(weft_scope_end(&s), -EBADMSG);
    return 0;
}

TaskTest(scope, ecanceled_without_a_cancellation_is_an_ordinary_failure, 1)
{
    WEFT_SCOPE(s, .on_error = WEFT_CONTINUE);
    weft_go(&s, return_it, &(int){-ECANCELED});
    while (weft_scope_count(&s) > 0) { /* ends: it has ended */
        weft_yield();
    }
    weft_go(&s, return_it, &(int){-EIO});
    wt_eq(weft_scope_end(&s), -ECANCELED, "it came before -EIO, and nobody had cancelled");
    return 0;
}

TaskTest(scope, cancelled_with_no_task_cut_short_it_ends_with_0, 2)
{
    atomic_int count = 0;
    atomic_int *pointer = &count;
    WEFT_SCOPE(s);
    weft_go(&s, count_up, &pointer);
    wt_eq(weft_scope_cancel(&s, "late"), 0);
    wt_eq(weft_scope_end(&s), 0);
    wt_eq(atomic_load(&count), 1);
    return 0;
}

TaskTest(scope, cancelled_with_a_task_cut_short_it_ends_with_ecanceled, 2)
{
    weft_sem never;
    weft_sem_init(&never, 0, 0);
    WEFT_SCOPE(s);
    weft_go(&s, wait_and_return, (&(struct wait_and_return){&never, NULL, 0}));
    weft_scope_cancel(&s, NULL);
    wt_eq(weft_scope_end(&s), -ECANCELED);
    weft_sem_fini(&never);
    return 0;
}

TaskTest(scope, a_failure_wins_over_a_cancellation, 1)
{
    weft_sem never;
    weft_sem_init(&never, 0, 0);
    WEFT_SCOPE(s, .on_error = WEFT_CONTINUE);
    weft_go(&s, wait_and_return, (&(struct wait_and_return){&never, NULL, 0}));
    weft_go(&s, return_it, &(int){-EIO});
    weft_scope_cancel(&s, NULL);
    wt_eq(weft_scope_end(&s), -EIO);
    weft_sem_fini(&never);
    return 0;
}

TaskTest(scope, its_timeout_cuts_tasks_short_and_ends_it_with_etime, 2)
{
    weft_sem never;
    weft_sem_init(&never, 0, 0);
    WEFT_SCOPE(s, .timeout = WEFT_MS(5));
    weft_go(&s, wait_and_return, (&(struct wait_and_return){&never, NULL, 0}));
    wt_eq(weft_scope_end(&s), -ETIME);
    weft_sem_fini(&never);
    return 0;
}

TaskTest(scope, a_timeout_that_does_not_come_changes_nothing, 2)
{
    WEFT_SCOPE(s, .timeout = WEFT_SEC(3600));
    weft_go(&s, return_it, &(int){0});
    wt_eq(weft_scope_end(&s), 0);
    wt_eq(weft_remaining(), WEFT_FOREVER);
    return 0;
}

/* E37 */
TaskTest(scope, a_cancelled_scope_takes_no_task, 1)
{
    atomic_int count = 0;
    atomic_int *pointer = &count;
    WEFT_SCOPE(s);
    weft_scope_cancel(&s, NULL);
    wt_eq(weft_go(&s, count_up, &pointer), -ECANCELED);
    wt_eq(weft_scope_end(&s), 0);
    wt_eq(atomic_load(&count), 0);
    return 0;
}

/* E37 */
TaskTest(scope, an_ended_scope_takes_no_task, 1)
{
    atomic_int count = 0;
    atomic_int *pointer = &count;
    WEFT_SCOPE(s);
    wt_eq(weft_scope_end(&s), 0);
    wt_eq(weft_go(&s, count_up, &pointer), -ECANCELED);
    wt_eq(weft_scope_count(&s), 0);
    wt_eq(weft_yield(), 0);
    wt_eq(atomic_load(&count), 0);
    return 0;
}

static int return_early(weft_sem *never, atomic_int *waiting)
{
    WEFT_SCOPE(s);
    for (int i = 0; i < 3; i++) {
        weft_go(&s, wait_and_return, (&(struct wait_and_return){never, waiting, 0}));
    }
    yield_until(waiting, 3);
    return 9; /* skips weft_scope_end */
}

/* E39 */
TaskTest(scope, a_return_that_skips_end_cancels_and_joins, 2)
{
    weft_sem never;
    weft_sem_init(&never, 0, 0);
    atomic_int waiting = 0;
    wt_eq(return_early(&never, &waiting), 9);
    weft_sem_fini(&never); /* misuse if anybody still waited */
    wt_eq(weft_check(), 0);
    return 0;
}

TaskTest(scope, a_failure_in_an_inner_scope_leaves_the_outer_one_alone, 2)
{
    WEFT_SCOPE(outer);
    {
        WEFT_SCOPE(inner);
        weft_go(&inner, return_it, &(int){-EIO});
        wt_eq(weft_scope_end(&inner), -EIO);
    }
    wt_eq(weft_check(), 0);
    wt_eq(weft_scope_end(&outer), 0);
    return 0;
}

TaskTest(scope, cancelling_the_outer_reaches_tasks_of_the_inner, 2)
{
    weft_sem never;
    weft_sem_init(&never, 0, 0);
    atomic_int waiting = 0;
    WEFT_SCOPE(outer);
    {
        WEFT_SCOPE(inner);
        weft_go(&inner, wait_and_return, (&(struct wait_and_return){&never, &waiting, 0}));
        yield_until(&waiting, 1);
        weft_scope_cancel(&outer, NULL);
        wt_eq(weft_scope_end(&inner), -ECANCELED);
    }
    wt_eq(weft_scope_end(&outer), 0);
    weft_sem_fini(&never);
    return 0;
}

TaskTest(scope, cancelling_the_inner_leaves_the_outer_alone, 2)
{
    WEFT_SCOPE(outer);
    {
        WEFT_SCOPE(inner);
        weft_scope_cancel(&inner, NULL);
        wt_eq(weft_check(), -ECANCELED);
        wt_eq(weft_scope_end(&inner), 0);
    }
    wt_eq(weft_check(), 0);
    wt_eq(weft_scope_end(&outer), 0);
    return 0;
}

/* The rule that Trio's nurseries have too: cancellation comes from the scope, not from whoever
 * happened to start. */
TaskTest(scope, a_task_belongs_to_its_scope_not_to_the_scope_of_its_starter, 2)
{
    weft_sem go;
    weft_sem_init(&go, 0, 0);
    WEFT_SCOPE(outer);
    {
        WEFT_SCOPE(inner);
        wt_eq(weft_go(&outer, wait_and_return, (&(struct wait_and_return){&go, NULL, 0})), 0);
        weft_scope_cancel(&inner, NULL);
        wt_eq(weft_scope_count(&inner), 0);
        wt_eq(weft_scope_end(&inner), 0);
    }
    wt_eq(weft_scope_count(&outer), 1);
    weft_sem_release(&go, 1);
    wt_eq(weft_scope_end(&outer), 0);
    weft_sem_fini(&go);
    return 0;
}

TaskTest(scope, count_is_the_number_of_tasks_that_have_not_ended, 1)
{
    weft_sem go;
    weft_sem_init(&go, 0, 0);
    WEFT_SCOPE(s);
    wt_eq(weft_scope_count(&s), 0);
    for (int i = 0; i < 5; i++) {
        weft_go(&s, wait_and_return, (&(struct wait_and_return){&go, NULL, 0}));
    }
    wt_eq(weft_scope_count(&s), 5);
    weft_sem_release(&go, 2);
    while (weft_scope_count(&s) > 3) { /* ends: two get a permit */
        weft_yield();
    }
    wt_eq(weft_scope_count(&s), 3);
    weft_sem_release(&go, 3);
    wt_eq(weft_scope_end(&s), 0);
    wt_eq(weft_scope_count(&s), 0);
    weft_sem_fini(&go);
    return 0;
}

static int open_by_function(void *arg)
{
    (void)arg;
    weft_scope s;
    weft_scope_begin(&s, NULL);
    weft_go(&s, return_it, &(int){-EIO});
    return weft_scope_end(&s);
}

Test(scope, begin_without_options_opens_one_that_fails_fast)
{
    wt_eq(weft_run(open_by_function, NULL, .workers = 1), -EIO);
}

Test(scope, go_outside_a_task_is_refused_with_eperm)
{
    static weft_scope s;
    wt_eq(weft_go(&s, return_it, &(int){0}), -EPERM);
}

WEFT_TASK(nothing, char)
{
    (void)arg;
    return 0;
}

#if defined(__SANITIZE_THREAD__)
#define LOOP 60000 /* there each takes a hundred times as long */
#else
#define LOOP 300000
#endif

static int loop_of_any_length(void *arg)
{
    (void)arg;
    weft_stats stats;
    WEFT_SCOPE(s);
    for (int i = 0; i < LOOP; i++) {
        wt_eq(weft_go(&s, nothing, &(char){0}), 0);
    }
    wt_eq(weft_scope_end(&s), 0);
    weft_stats_get(weft_rt_current(), &stats);
    /* 300,000 frames of 256 bytes would be 1,170 chunks of 64 KiB; 60,000 are 234. */
    wt_lt(stats.slab_chunks, 120);
    wt_lt(stats.stacks, 500);
    return 0;
}

Test(scope, a_loop_of_any_length_runs_in_bounded_memory)
{
    wt_eq(weft_run(loop_of_any_length, NULL, .workers = 1), 0);
    wt_eq(weft_run(loop_of_any_length, NULL, .workers = 2), 0);
}

struct nested {
    int depth;
    weft_sem *never;
    atomic_int *waiting;
};

WEFT_TASK(nest, struct nested)
{
    WEFT_SCOPE(s);
    if (arg->depth == 0) {
        weft_go(&s, wait_and_return, (&(struct wait_and_return){arg->never, arg->waiting, 0}));
    } else {
        for (int i = 0; i < 2; i++) {
            weft_go(&s, nest, (&(struct nested){arg->depth - 1, arg->never, arg->waiting}));
        }
    }
    return weft_scope_end(&s);
}

static int cancel_a_tree(void *arg)
{
    (void)arg;
    weft_sem never;
    weft_sem_init(&never, 0, 0);
    atomic_int waiting = 0;
    WEFT_SCOPE(s);
    weft_go(&s, nest, (&(struct nested){8, &never, &waiting}));
    yield_until(&waiting, 1 << 8);
    weft_scope_cancel(&s, "the tree falls");
    wt_eq(weft_scope_end(&s), -ECANCELED);
    weft_sem_fini(&never);
    return 0;
}

Test(scope, a_cancellation_reaches_a_tree_of_scopes)
{
    wt_eq(weft_run(cancel_a_tree, NULL, .workers = 1), 0);
    wt_eq(weft_run(cancel_a_tree, NULL, .workers = 2), 0);
    wt_eq(weft_run(cancel_a_tree, NULL, .workers = 8), 0);
}
