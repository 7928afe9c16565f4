/* The reason of a cancellation: kind, text, place and time, as the victim reads them. */
#include "pattern.h"
#include <stdlib.h>

#define is_here(place, line_) is_here_((place), (line_), __FILE__)
static void is_here_(const weft_place *place, int line, const char *file)
{
    wt_str_eq(place->file, file);
    wt_eq(place->line, line);
}

static int wait_long(void)
{
    return weft_sleep(WEFT_SEC(3600));
}

TaskTest(why, names_the_line_of_the_cancel_and_its_time, 1)
{
    int64_t before_ns = now_ns();
    WEFT_SCOPE(s);
    weft_scope_cancel(&s, "no longer wanted"); /* this line */
    int line = __LINE__ - 1;
    const weft_reason *why = weft_why();
    wt_eq(why->kind, WEFT_WHY_CALL);
    wt_str_eq(why->text, "no longer wanted");
    is_here(why->place, line);
    wt_ge(why->time_ns, before_ns);
    wt_le(why->time_ns, now_ns());
    weft_scope_end(&s);
    return 0;
}

TaskTest(why, is_never_null, 1)
{
    wt_eq(weft_why()->kind, WEFT_WHY_NONE);
    wt_str_eq(weft_why()->text, "not cancelled");
    wt_true(weft_why()->place != NULL);
    WEFT_SCOPE(s);
    weft_scope_cancel(&s, NULL);
    wt_true(weft_why()->text != NULL);
    weft_scope_end(&s);
    wt_eq(weft_why()->kind, WEFT_WHY_NONE);
    return 0;
}

Test(why, outside_a_task_says_none)
{
    wt_eq(weft_why()->kind, WEFT_WHY_NONE);
}

TaskTest(why, of_a_deadline_names_the_line_that_set_it, 1)
{
    int line = __LINE__ + 1;
    WEFT_SCOPE(s, .timeout = WEFT_MS(1));
    wt_eq(weft_within(WEFT_SEC(3600), wait_long()), -ECANCELED);
    wt_eq(weft_why()->kind, WEFT_WHY_DEADLINE);
    is_here(weft_why()->place, line);
    wt_eq(weft_scope_end(&s), 0);
    return 0;
}

static int line_of_failure;

WEFT_TASK(fail_and_tell, int)
{
    (void)arg;
    line_of_failure = __LINE__ + 1;
    return weft_fail(-EIO, "broken");
}

WEFT_TASK(fail_plainly, int)
{
    (void)arg;
    return -EIO;
}

TaskTest(why, of_a_failure_names_the_weft_fail_else_the_start_of_the_task, 1)
{
    {
        WEFT_SCOPE(s);
        weft_go(&s, fail_and_tell, &(int){0});
        wt_eq(wait_long(), -ECANCELED);
        wt_eq(weft_why()->kind, WEFT_WHY_FAILURE);
        is_here(weft_why()->place, line_of_failure);
        wt_eq(weft_scope_end(&s), -EIO);
    }
    WEFT_SCOPE(s);
    int line = __LINE__ + 1;
    weft_go(&s, fail_plainly, &(int){0});
    wt_eq(wait_long(), -ECANCELED);
    wt_eq(weft_why()->kind, WEFT_WHY_FAILURE);
    is_here(weft_why()->place, line);
    wt_eq(weft_scope_end(&s), -EIO);
    return 0;
}

static int wait_and_see(void *arg)
{
    int rc = wait_long();
    *(int *)arg = weft_why()->kind;
    return rc;
}

WEFT_TASK(see, int *)
{
    return wait_and_see(*arg);
}

static void return_without_the_end(int *kind)
{
    WEFT_SCOPE(s);
    weft_go(&s, see, &kind);
}

TaskTest(why, of_a_function_that_returned_is_that, 1)
{
    int kind = 0;
    return_without_the_end(&kind);
    /* the task may not even have begun to wait: it is cancelled all the same */
    wt_eq(kind, WEFT_WHY_RETURN);
    return 0;
}

static int see_the_stop(void *arg)
{
    return wait_and_see(arg);
}

Test(why, of_the_runtimes_stop_is_that)
{
    int kind = 0;
    weft_rt *rt;
    wt_eq(weft_rt_start(&rt, NULL), 0);
    wt_eq(weft_post(rt, see_the_stop, &kind), 0);
    wt_eq(weft_rt_stop(rt, 0, WEFT_FOREVER), 0);
    weft_rt_free(rt);
    wt_eq(kind, WEFT_WHY_STOP);
}

/* The reason is the victim's own copy: the canceller's frame, and the source, may be gone. */
static const weft_reason *keep_reason(void)
{
    wt_eq(wait_long(), -ECANCELED);
    return weft_why();
}

static int fire_and_fini(void *arg)
{
    weft_cancel *c = arg;
    wt_eq(weft_cancel_fire(c, "the source goes away"), 0);
    return 0;
}

static int read_after_the_fire(weft_cancel *c)
{
    weft_task t;
    wt_eq(weft_spawn(&t, fire_and_fini, c), 0);
    const weft_reason *why = keep_reason();
    wt_eq(weft_await(&t), 0);
    wt_str_eq(why->text, "the source goes away");
    return 0;
}

TaskTest(why, stays_readable_as_long_as_the_scope_lasts, 1)
{
    weft_cancel *c = malloc(sizeof *c);
    weft_cancel_init(c, NULL);
    WEFT_SCOPE(s);
    wt_eq(weft_under(c, read_after_the_fire(c)), 0);
    weft_cancel_fini(c);
    free(c);
    weft_scope_end(&s);
    return 0;
}

TaskTest(why, goes_down_unchanged_however_deep, 1)
{
    WEFT_SCOPE(s);
    weft_scope_cancel(&s, "from the top");
    int line = __LINE__ - 1;
    WEFT_SCOPE(inner);
    WEFT_SCOPE(innermost);
    wt_str_eq(weft_why()->text, "from the top");
    is_here(weft_why()->place, line);
    weft_scope_end(&innermost);
    weft_scope_end(&inner);
    weft_scope_end(&s);
    return 0;
}
