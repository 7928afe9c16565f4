/* Error records: what weft_fail keeps, and how it travels to whoever awaits. */
#include "pattern.h"
#include <stdio.h>
#include <string.h>
#include <weft/fork.h>
#include <weft/sync.h>

static int fail_with_text(void *arg)
{
    return weft_fail(-EIO, "read %s: short by %d bytes", "somewhere", (int)(intptr_t)arg);
}

static int fail_without_text(void *arg)
{
    (void)arg;
    return -EBADMSG;
}

WEFT_TASK(fail_pooled, int)
{
    return weft_fail(*arg, "pooled %d", *arg);
}

TaskTest(errors, weft_fail_returns_its_code_and_keeps_the_text, 1)
{
    wt_true(weft_last() == NULL);
    wt_eq(weft_fail(-EPROTO, "byte %d of %s", 5, "seven"), -EPROTO);
    const weft_error *error = weft_last();
    wt_true(error != NULL);
    wt_eq(error->code, -EPROTO);
    wt_str_eq(error->text, "byte 5 of seven");
    wt_true(strstr(error->place->file, "test_errors.c") != NULL);
    wt_gt(error->place->line, 0);
    wt_true(strstr(error->place->function, "weft_fail_returns_its_code") != NULL);
    return 0;
}

TaskTest(errors, a_text_that_is_too_long_is_cut, 1)
{
    char text[300];
    memset(text, 'x', sizeof text - 1);
    text[sizeof text - 1] = 0;
    weft_fail(-EIO, "%s", text);
    wt_eq(strlen(weft_last()->text), 103);
    return 0;
}

TaskTest(errors, the_last_failure_replaces_the_one_before, 1)
{
    for (int i = 0; i < 10000; i++) { /* and gives its record back */
        weft_fail(-EIO, "number %d", i);
    }
    wt_str_eq(weft_last()->text, "number 9999");
    return 0;
}

Test(errors, outside_a_task_only_the_code_is_kept)
{
    wt_eq(weft_fail(-EIO, "nobody keeps this"), -EIO);
    wt_true(weft_last() == NULL);
}

static int record_travels(void *arg)
{
    (void)arg;
    for (int i = 0; i < 100; i++) {
        weft_task t;
        weft_spawn(&t, fail_with_text, (void *)(intptr_t)i);
        wt_eq(weft_await(&t), -EIO);
        char expected[64];
        snprintf(expected, sizeof expected, "read somewhere: short by %d bytes", i);
        wt_true(weft_last() != NULL);
        wt_str_eq(weft_last()->text, expected);
        wt_eq(weft_last()->code, -EIO);
    }
    return 0;
}

Test(errors, the_record_of_a_task_goes_to_its_awaiter)
{
    wt_eq(weft_run(record_travels, NULL, .workers = 1), 0);
    wt_eq(weft_run(record_travels, NULL, .workers = 2), 0);
}

static int pass_on(void *arg)
{
    int depth = (int)(intptr_t)arg;
    weft_task t;
    weft_spawn(&t, depth > 0 ? pass_on : fail_with_text,
               (void *)(intptr_t)(depth > 0 ? depth - 1 : 77));
    return weft_await(&t);
}

Test(errors, the_record_travels_up_through_many_tasks)
{
    for (int workers = 1; workers <= 2; workers++) {
        wt_eq(weft_run(pass_on, (void *)20, .workers = workers), -EIO);
    }
}

TaskTest(errors, the_record_travels_up_unchanged, 2)
{
    weft_task t;
    weft_spawn(&t, pass_on, (void *)20);
    wt_eq(weft_await(&t), -EIO);
    wt_str_eq(weft_last()->text, "read somewhere: short by 77 bytes");
    wt_str_eq(weft_last()->place->function, "fail_with_text");
    return 0;
}

TaskTest(errors, a_failure_without_a_record_does_not_show_an_older_one, 1)
{
    weft_task t;
    weft_spawn(&t, fail_with_text, NULL);
    weft_await(&t);
    wt_true(weft_last() != NULL);
    weft_spawn(&t, fail_without_text, NULL);
    wt_eq(weft_await(&t), -EBADMSG);
    wt_true(weft_last() == NULL || weft_last()->code == -EBADMSG,
            "the record of -EIO is not about this failure");
    return 0;
}

static int fail_then_recover(void *arg)
{
    (void)arg;
    weft_fail(-EIO, "recovered from");
    return 3;
}

TaskTest(errors, the_record_of_a_task_that_succeeded_goes_to_nobody, 1)
{
    weft_task t;
    weft_spawn(&t, fail_then_recover, NULL);
    wt_eq(weft_await(&t), 3);
    wt_true(weft_last() == NULL);
    return 0;
}

TaskTest(errors, scope_end_hands_on_the_record_of_the_first_failure, 1)
{
    WEFT_SCOPE(s, .on_error = WEFT_CONTINUE);
    weft_go(&s, fail_pooled, &(int){-EIO});
    while (weft_scope_count(&s) > 0) { /* ends: it fails */
        weft_yield();
    }
    weft_go(&s, fail_pooled, &(int){-EPROTO});
    wt_eq(weft_scope_end(&s), -EIO);
    wt_eq(weft_last()->code, -EIO);
    char expected[64];
    snprintf(expected, sizeof expected, "pooled %d", -EIO);
    wt_str_eq(weft_last()->text, expected);
    return 0;
}

static int many_fail(void *arg)
{
    (void)arg;
    for (int round = 0; round < 50; round++) {
        WEFT_SCOPE(s, .on_error = round % 2 == 0 ? WEFT_CONTINUE : WEFT_FAIL_FAST);
        for (int i = 0; i < 100; i++) {
            weft_go(&s, fail_pooled, &(int){-1 - i}); /* may be refused once one has failed */
        }
        int rc = weft_scope_end(&s);
        wt_lt(rc, 0);
        wt_eq(weft_last()->code, rc, "result and record are of the same failure");
    }
    return 0;
}

Test(errors, result_and_record_are_of_the_same_failure)
{
    wt_eq(weft_run(many_fail, NULL, .workers = 1), 0);
    wt_eq(weft_run(many_fail, NULL, .workers = 2), 0);
    wt_eq(weft_run(many_fail, NULL, .workers = 8), 0);
}

TaskTest(errors, await_all_hands_on_the_record_of_the_failure_that_it_returns, 2)
{
    weft_task t[8];
    for (int i = 0; i < 8; i++) {
        weft_spawn(&t[i], i % 2 == 0 ? fail_with_text : fail_without_text, NULL);
    }
    int rc = weft_await_all(
        (weft_task *const[]){&t[0], &t[1], &t[2], &t[3], &t[4], &t[5], &t[6], &t[7]}, 8);
    wt_true(rc == -EIO || rc == -EBADMSG);
    if (rc == -EIO) {
        wt_true(weft_last() != NULL);
        wt_eq(weft_last()->code, -EIO);
    } else {
        wt_true(weft_last() == NULL || weft_last()->code == -EBADMSG);
    }
    return 0;
}

TaskTest(errors, a_forked_section_shares_the_record_of_its_task, 2)
{
    for (int i = 0; i < 1000; i++) {
        weft_call_branch branch;
        weft_fork(&branch, fail_with_text, (void *)(intptr_t)i);
        weft_yield();
        wt_eq(weft_join(&branch), -EIO);
        char expected[64];
        snprintf(expected, sizeof expected, "read somewhere: short by %d bytes", i);
        wt_str_eq(weft_last()->text, expected);
    }
    return 0;
}
