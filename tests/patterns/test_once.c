/* once: one success for all. guard: two at once are found out. */
#include "sync_pattern.h"
#include <weft/sync.h>

struct tables {
    weft_once once;
    atomic_int tries;
    int fail_first; /* so many tries */
    int loaded;     /* plain: seen by all */
    weft_event may; /* manual: each try waits for it */
};

static void new_tables(struct tables *tables, int fail_first, bool may)
{
    *tables = (struct tables){.once = WEFT_ONCE_INIT, .fail_first = fail_first};
    weft_event_init(&tables->may, WEFT_EVENT_MANUAL);
    if (may) {
        weft_event_set(&tables->may);
    }
}

static int load(void *arg)
{
    struct tables *tables = arg;
    int try = atomic_fetch_add(&tables->tries, 1);
    weft_yield();
    int rc = weft_event_wait(&tables->may);
    if (rc < 0) {
        return rc;
    }
    if (try < tables->fail_first) {
        return -EIO;
    }
    tables->loaded = 42;
    return 7;
}

static int use(void *arg)
{
    struct tables *tables = arg;
    int rc = weft_once_call(&tables->once, load, tables);
    if (rc == 0) {
        wt_eq(tables->loaded, 42);
    }
    return rc;
}

WEFT_TASK(use_pooled, struct tables *)
{
    return use(*arg);
}

TaskTest(once, of_many_that_come_at_once_one_runs_it_and_all_see_it, 2)
{
    struct tables tables;
    new_tables(&tables, 0, true);
    weft_task t[8];
    for (int i = 0; i < 8; i++) {
        weft_spawn(&t[i], use, &tables);
    }
    for (int i = 0; i < 8; i++) {
        wt_eq(weft_await(&t[i]), 0);
    }
    wt_eq(atomic_load(&tables.tries), 1);
    wt_eq(use(&tables), 0);
    wt_eq(atomic_load(&tables.tries), 1);
    return 0;
}

TaskTest(once, a_failure_is_told_to_its_caller_and_the_next_in_line_tries, 1)
{
    struct tables tables;
    new_tables(&tables, 2, true);
    weft_task t[4];
    for (int i = 0; i < 4; i++) {
        weft_spawn(&t[i], use, &tables);
    }
    int failed = 0;
    for (int i = 0; i < 4; i++) {
        int rc = weft_await(&t[i]);
        wt_true(rc == 0 || rc == -EIO);
        failed += rc == -EIO;
    }
    wt_eq(failed, 2);
    wt_eq(atomic_load(&tables.tries), 3);
    return 0;
}

TaskTest(once, a_failure_with_nobody_waiting_leaves_it_to_whoever_comes, 1)
{
    struct tables tables;
    new_tables(&tables, 1, true);
    wt_eq(use(&tables), -EIO);
    wt_eq(use(&tables), 0);
    wt_eq(use(&tables), 0);
    wt_eq(atomic_load(&tables.tries), 2);
    return 0;
}

TaskTest(once, a_runner_that_is_cancelled_hands_it_to_one_who_waits, 1)
{
    struct tables tables;
    struct tables *pointer = &tables;
    new_tables(&tables, 0, false);
    WEFT_SCOPE(stay);
    {
        WEFT_SCOPE(go);
        weft_go(&go, use_pooled, &pointer);
        yield_until(&tables.tries, 1);
        weft_go(&stay, use_pooled, &pointer);
        settle();
        wt_eq(atomic_load(&tables.tries), 1);
        weft_scope_cancel(&go, NULL);
        wt_eq(weft_scope_end(&go), -ECANCELED);
    }
    yield_until(&tables.tries, 2);
    weft_event_set(&tables.may);
    wt_eq(weft_scope_end(&stay), 0);
    wt_eq(tables.loaded, 42);
    return 0;
}

TaskTest(once, a_runner_that_is_cancelled_with_nobody_waiting_leaves_it_undone, 1)
{
    struct tables tables;
    new_tables(&tables, 0, false);
    wt_eq(weft_within(WEFT_MS(1), use(&tables)), -ETIME);
    weft_event_set(&tables.may);
    wt_eq(use(&tables), 0);
    wt_eq(atomic_load(&tables.tries), 2);
    return 0;
}

TaskTest(once, a_waiter_whose_deadline_passes_leaves_it_to_the_runner, 1)
{
    struct tables tables;
    new_tables(&tables, 0, false);
    weft_task t;
    weft_spawn(&t, use, &tables);
    yield_until(&tables.tries, 1);
    wt_eq(weft_within(0, use(&tables)), -ETIME);
    wt_eq(weft_within(WEFT_MS(1), use(&tables)), -ETIME);
    weft_event_set(&tables.may);
    wt_eq(weft_await(&t), 0);
    wt_eq(atomic_load(&tables.tries), 1);
    return 0;
}

static weft_once nested;

static int call_itself(void *arg)
{
    int *inner_rc = arg;
    *inner_rc = weft_once_call(&nested, call_itself, arg);
    return 0;
}

TaskTest(once, a_function_that_calls_it_again_gets_edeadlk_and_no_hang, 1)
{
    int inner_rc = 0;
    wt_eq(weft_once_call(&nested, call_itself, &inner_rc), 0);
    wt_eq(inner_rc, -EDEADLK);
    return 0;
}

static int never_called(void *arg)
{
    (void)arg;
    wt_fail();
}

TaskTest(once, in_a_cancelled_scope_it_is_refused_even_if_done, 1)
{
    struct tables tables;
    new_tables(&tables, 0, true);
    wt_eq(use(&tables), 0);
    WEFT_SCOPE(s);
    weft_scope_cancel(&s, NULL);
    wt_eq(weft_once_call(&tables.once, never_called, NULL), -ECANCELED); /* E1 */
    (void)weft_scope_end(&s);
    return 0;
}

/* --- guard ------------------------------------------------------------------------------------ */

static weft_guard guard;

TaskTest(guard, one_after_the_other_is_fine, 1, .init = misuse_noted)
{
    weft_guard_init(&guard);
    for (int i = 0; i < 3; i++) {
        wt_eq(weft_guard_enter(&guard), 0);
        wt_eq(weft_guard_leave(&guard), 0);
    }
    wt_eq(weft_guarded(&guard, 5), 5);
    wt_eq(weft_guarded(&guard, (ssize_t)-EIO), -EIO);
    wt_eq(weft_guard_enter(&guard), 0, "it was left though the expression failed");
    wt_eq(weft_guard_leave(&guard), 0);
    wt_eq(atomic_load(&misuses), 0);
    wt_eq(weft_guard_leave(&guard), -EINVAL);
    wt_eq(atomic_load(&misuses), 1);
    return 0;
}

static int entered_line;

static int query(void *arg)
{
    (void)arg;
    entered_line = __LINE__ + 1;
    int rc = weft_guard_enter(&guard);
    if (rc < 0) {
        return rc;
    }
    rc = weft_sleep(WEFT_MS(1));
    weft_guard_leave(&guard);
    return rc;
}

/* The article's DbContext that two requests share. */
TaskTest(guard, a_second_use_meanwhile_is_ebusy_and_the_record_names_all_places, 1)
{
    weft_guard_init(&guard);
    weft_task first;
    weft_task second;
    int line = __LINE__ + 1;
    weft_spawn(&first, query, NULL);
    weft_spawn(&second, query, NULL);
    int rc1 = weft_await(&first);
    const weft_error *record = rc1 < 0 ? weft_last() : NULL;
    char text[128] = "";
    if (record != NULL) {
        snprintf(text, sizeof text, "%s", record->text);
    }
    int rc2 = weft_await(&second);
    if (rc2 < 0) {
        record = weft_last();
        wt_true(record != NULL);
        snprintf(text, sizeof text, "%s", record->text);
    }
    wt_eq(rc1 + rc2, -EBUSY, "one of them");
    char part[64];
    snprintf(part, sizeof part, "test_once.c:%d ", entered_line);
    wt_true(strstr(text, part) != NULL, "no %s in: %s", part, text);
    snprintf(part, sizeof part, "test_once.c:%d", line);
    wt_true(strstr(text, part) != NULL, "no %s in: %s", part, text);
    snprintf(part, sizeof part, "test_once.c:%d", line + 1);
    wt_true(strstr(text, part) != NULL, "no %s in: %s", part, text);
    wt_eq(weft_guard_enter(&guard), 0);
    wt_eq(weft_guard_enter(&guard), -EBUSY, "also by the same task");
    wt_eq(weft_guard_leave(&guard), 0);
    return 0;
}

Test(guard, it_needs_no_task)
{
    weft_guard_init(&guard);
    wt_eq(weft_guard_enter(&guard), 0);
    wt_eq(weft_guard_enter(&guard), -EBUSY);
    wt_eq(weft_guard_leave(&guard), 0);
}
