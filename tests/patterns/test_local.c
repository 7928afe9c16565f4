/* What <weft/local.h> says of task-local data. */
#include "pattern.h"
#include <string.h>
#include <weft/fork.h>
#include <weft/local.h>

static const weft_key user = {"user"};
static const weft_key trace = {"trace"};

static const char *user_now(void)
{
    const char *name = weft_get(&user);
    return name != NULL ? name : "nobody";
}

static int find_user(void *out)
{
    *(const char **)out = user_now();
    return 0;
}

TaskTest(local, nothing_is_bound_at_first, 1)
{
    wt_true(weft_get(&user) == NULL);
    return 0;
}

TaskTest(local, a_binding_holds_until_its_end, 1)
{
    weft_binding b;
    weft_bind(&b, &user, "ann");
    wt_str_eq(user_now(), "ann");
    weft_unbind(&b);
    wt_str_eq(user_now(), "nobody");
    return 0;
}

TaskTest(local, an_inner_binding_hides_the_outer_one_of_its_key_only, 1)
{
    WEFT_BIND(&user, "ann");
    WEFT_BIND(&trace, "t-1");
    {
        WEFT_BIND(&user, "bob");
        wt_str_eq(user_now(), "bob");
        wt_str_eq((const char *)weft_get(&trace), "t-1");
    }
    wt_str_eq(user_now(), "ann");
    return 0;
}

TaskTest(local, a_spawned_task_sees_what_its_spawner_bound, 2)
{
    WEFT_BIND(&user, "ann");
    const char *seen = NULL;
    weft_task t;
    wt_eq(weft_spawn(&t, find_user, &seen), 0);
    wt_eq(weft_await(&t), 0);
    wt_str_eq(seen, "ann");
    return 0;
}

static int spawn_within_spawned(void *out)
{
    WEFT_BIND(&trace, "t-2");
    weft_task t;
    (void)weft_spawn(&t, find_user, out);
    return weft_await(&t);
}

TaskTest(local, it_is_inherited_through_any_number_of_tasks, 2)
{
    WEFT_BIND(&user, "ann");
    const char *seen = NULL;
    weft_task t;
    wt_eq(weft_spawn(&t, spawn_within_spawned, &seen), 0);
    wt_eq(weft_await(&t), 0);
    wt_str_eq(seen, "ann");
    return 0;
}

WEFT_TASK(find_user_of, const char **)
{
    return find_user(*arg);
}

TaskTest(local, a_task_given_to_a_scope_sees_what_was_bound_when_the_scope_opened, 2)
{
    WEFT_BIND(&user, "ann");
    const char *seen = NULL;
    const char **out = &seen;
    WEFT_SCOPE(s);
    {
        WEFT_BIND(&user, "bob"); /* ends before the scope: its tasks cannot rely on it */
        wt_eq(weft_go(&s, find_user_of, &out), 0);
    }
    wt_eq(weft_scope_end(&s), 0);
    wt_str_eq(seen, "ann");
    return 0;
}

static int bind_in_a_section(void *out)
{
    WEFT_BIND(&user, "bob");
    (void)weft_yield();
    *(const char **)out = user_now();
    return 0;
}

TaskTest(local, sections_of_one_task_bind_without_disturbing_each_other, 4)
{
    WEFT_BIND(&user, "ann");
    for (int i = 0; i < 1000; i++) {
        const char *forked = NULL;
        weft_call_branch branch;
        weft_fork(&branch, bind_in_a_section, &forked);
        (void)weft_yield();
        wt_str_eq(user_now(), "ann");
        wt_eq(weft_join(&branch), 0);
        wt_str_eq(forked, "bob");
        wt_str_eq(user_now(), "ann");
    }
    return 0;
}

TaskTest(local, it_survives_waits_and_migration, 4)
{
    WEFT_BIND(&user, "ann");
    for (int i = 0; i < 100; i++) {
        wt_eq(weft_sleep(WEFT_US(10)), 0);
        wt_str_eq(user_now(), "ann");
    }
    return 0;
}

static int post_seen(void *out)
{
    *(const char **)out = user_now();
    return 0;
}

static const char *posted;
TaskTest(local, a_posted_task_sees_none, 1)
{
    WEFT_BIND(&user, "ann");
    wt_eq(weft_post(weft_rt_current(), post_seen, &posted), 0);
    wt_eq(weft_yield(), 0);
    wt_eq(weft_sleep(WEFT_MS(1)), 0);
    wt_str_eq(posted, "nobody");
    return 0;
}

Test(local, outside_a_task_nothing_is_bound)
{
    weft_binding b;
    weft_bind(&b, &user, "ann");
    wt_true(weft_get(&user) == NULL);
    weft_unbind(&b);
    weft_unbind(&b);
}

static char complaint[256];
static void note(const char *what)
{
    (void)strncpy(complaint, what, sizeof complaint - 1);
}

static int unbind_out_of_order(void *arg)
{
    (void)arg;
    weft_binding a, b;
    weft_bind(&a, &user, "ann");
    weft_bind(&b, &trace, "t-1");
    weft_unbind(&a);
    wt_true(strstr(complaint, "\"user\" ends out of order") != NULL, "%s", complaint);
    weft_unbind(&b);
    weft_unbind(&a);
    return 0;
}

Test(local, ending_bindings_out_of_order_is_misuse)
{
    (void)weft_on_misuse(note);
    wt_eq(weft_run(unbind_out_of_order, NULL, .workers = 1), 0);
}
