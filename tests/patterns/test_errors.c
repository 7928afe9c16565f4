/* Error records: what weft_fail keeps, and how it travels to whoever awaits. */
#include "pattern.h"
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <weft/fork.h>
#include <weft/io.h>
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

TaskTest(errors, a_text_is_said_of_the_call_that_failed_and_not_of_one_before, 1)
{
    wt_str_eq(weft_error_text(weft_fail(-EIO, "sector 7")), "sector 7");
    int rc = weft_open("/nowhere/at/all", O_RDONLY, 0);
    wt_str_eq(weft_error_text(rc), strerrordesc_np(ENOENT));
    rc = weft_within(WEFT_MS(1), weft_sleep(WEFT_SEC(60)));
    wt_str_eq(weft_error_text(rc), strerrordesc_np(ETIME));
    weft_task t;
    weft_spawn(&t, fail_without_text, NULL);
    wt_str_eq(weft_error_text(weft_await(&t)), strerrordesc_np(EBADMSG));
    weft_spawn(&t, fail_with_text, (void *)2);
    wt_str_eq(weft_error_text(weft_await(&t)), "read somewhere: short by 2 bytes");
    wt_str_eq(weft_error_text(-100000), "an unknown error");
    return 0;
}

TaskTest(errors, a_text_that_is_too_long_is_cut, 1)
{
    char text[300];
    memset(text, 'x', sizeof text - 1);
    text[sizeof text - 1] = 0;
    weft_fail(-EIO, "%s", text);
    wt_eq(strlen(weft_last()->text), WEFT_ERROR_TEXT - 1);
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
    wt_str_eq(weft_error_text(-EIO), strerrordesc_np(EIO));
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
        WEFT_SCOPE(s, .on_error = round % 2 == 0 ? WEFT_CONTINUE : WEFT_FAILFAST);
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

TaskTest(errors, when_all_hands_on_the_record_of_the_failure_that_it_returns, 2)
{
    weft_task t[8];
    for (int i = 0; i < 8; i++) {
        weft_spawn(&t[i], i % 2 == 0 ? fail_with_text : fail_without_text, NULL);
    }
    int rc = weft_when((weft_task *const[]){&t[0], &t[1], &t[2], &t[3], &t[4], &t[5], &t[6], &t[7]},
                       8, WEFT_ALL, NULL);
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

/* --- places ----------------------------------------------------------------------------------- */

static const weft_place *last_await(const weft_error *error)
{
    return error->await[(error->awaits - 1) % WEFT_ERROR_AWAITS];
}

TaskTest(errors, an_await_adds_its_place_and_the_start_of_the_task, 1)
{
    weft_task t;
    int started = __LINE__ + 1;
    weft_spawn(&t, fail_with_text, NULL);
    int awaited = __LINE__ + 1;
    wt_eq(weft_await(&t), -EIO);
    const weft_error *error = weft_last();
    wt_eq(error->awaits, 1);
    wt_eq(last_await(error)->line, awaited);
    wt_true(strstr(last_await(error)->file, "test_errors.c") != NULL);
    wt_eq(error->started->line, started);
    wt_str_eq(error->task, "fail_with_text");
    wt_str_eq(error->place->function, "fail_with_text");
    return 0;
}

TaskTest(errors, a_failure_without_weft_fail_still_has_its_places, 1)
{
    weft_task t;
    int started = __LINE__ + 1;
    weft_spawn(&t, fail_without_text, NULL);
    int awaited = __LINE__ + 1;
    wt_eq(weft_await(&t), -EBADMSG);
    const weft_error *error = weft_last();
    wt_true(error != NULL);
    wt_eq(error->code, -EBADMSG);
    wt_true(error->place == NULL);
    wt_str_eq(error->text, "");
    wt_eq(error->started->line, started);
    wt_eq(last_await(error)->line, awaited);
    wt_str_eq(error->task, "fail_without_text");
    return 0;
}

TaskTest(errors, the_last_eight_awaits_are_kept_and_all_are_counted, 2)
{
    weft_task t;
    weft_spawn(&t, pass_on, (void *)20);
    int awaited = __LINE__ + 1;
    wt_eq(weft_await(&t), -EIO);
    const weft_error *error = weft_last();
    wt_eq(error->awaits, 22);
    wt_eq(last_await(error)->line, awaited);
    for (int i = 2; i <= WEFT_ERROR_AWAITS; i++) {
        wt_str_eq(error->await[(error->awaits - i) % WEFT_ERROR_AWAITS]->function, "pass_on");
    }
    return 0;
}

TaskTest(errors, every_awaiter_of_a_task_gets_its_code_and_the_places, 1)
{
    weft_task t;
    weft_spawn(&t, fail_with_text, NULL);
    wt_eq(weft_await(&t), -EIO);
    wt_eq(weft_await(&t), -EIO, "a second await gives the same result");
    wt_eq(weft_last()->code, -EIO);
    wt_str_eq(weft_last()->task, "fail_with_text");
    wt_eq(weft_last()->awaits, 1);
    return 0;
}

static int take_a_name(void *arg)
{
    weft_task_name("loader of seven");
    return fail_with_text(arg);
}

TaskTest(errors, a_task_that_named_itself_is_called_that, 1)
{
    weft_task t;
    weft_spawn(&t, take_a_name, NULL);
    wt_eq(weft_await(&t), -EIO);
    wt_str_eq(weft_last()->task, "loader of seven");
    return 0;
}

/* --- causes ----------------------------------------------------------------------------------- */

static int fail_because(void *arg)
{
    int depth = (int)(intptr_t)arg;
    if (depth == 0) {
        return weft_fail(-EPERM, "the first of all");
    }
    weft_task t;
    weft_spawn(&t, fail_because, (void *)(intptr_t)(depth - 1));
    wt_lt(weft_await(&t), 0);
    return weft_fail(-EIO, "level %d", depth);
}

TaskTest(errors, what_was_awaited_is_the_cause_of_what_is_said_next, 1)
{
    weft_task t;
    weft_spawn(&t, fail_because, (void *)2);
    wt_eq(weft_await(&t), -EIO);
    const weft_error *error = weft_last();
    wt_str_eq(error->text, "level 2");
    wt_str_eq(error->cause->text, "level 1");
    wt_eq(error->cause->awaits, 1);
    wt_str_eq(error->cause->cause->text, "the first of all");
    wt_eq(error->cause->cause->code, -EPERM);
    wt_true(error->cause->cause->cause == NULL);
    return 0;
}

TaskTest(errors, a_chain_of_causes_has_a_bound_and_the_newest_are_kept, 1)
{
    weft_task t;
    weft_spawn(&t, fail_because, (void *)30);
    wt_eq(weft_await(&t), -EIO);
    int length = 0;
    const weft_error *error = weft_last();
    wt_str_eq(error->text, "level 30");
    while (error->cause != NULL) { /* ends: the chain has a bound */
        error = error->cause;
        length++;
    }
    wt_eq(length, WEFT_ERROR_CAUSES);
    return 0;
}

TaskTest(errors, what_was_forgotten_is_no_cause, 1)
{
    weft_task t;
    weft_spawn(&t, fail_with_text, NULL);
    wt_eq(weft_await(&t), -EIO);
    weft_forget();
    wt_true(weft_last() == NULL);
    weft_fail(-EPROTO, "something else");
    wt_true(weft_last()->cause == NULL);
    weft_forget();
    weft_forget();
    wt_true(weft_last() == NULL);
    return 0;
}

static int translate(void *arg)
{
    weft_task t;
    weft_spawn(&t, fail_with_text, arg);
    return weft_await(&t) == -EIO ? -ENOENT : 0;
}

TaskTest(errors, a_code_that_was_translated_has_the_original_as_its_cause, 1)
{
    weft_task t;
    weft_spawn(&t, translate, NULL);
    wt_eq(weft_await(&t), -ENOENT);
    wt_eq(weft_last()->code, -ENOENT);
    wt_str_eq(weft_last()->task, "translate");
    wt_eq(weft_last()->cause->code, -EIO);
    wt_str_eq(weft_last()->cause->text, "read somewhere: short by 0 bytes");
    return 0;
}

/* --- aggregates ------------------------------------------------------------------------------- */

TaskTest(errors, a_scope_keeps_its_first_four_failures_in_time_and_counts_all, 1)
{
    WEFT_SCOPE(s, .on_error = WEFT_CONTINUE);
    for (int i = 1; i <= 7; i++) {
        weft_go(&s, fail_pooled, &(int){-i});
        while (weft_scope_count(&s) > 0) { /* ends: it fails; so their order is certain */
            weft_yield();
        }
        wt_eq(weft_errors(&s, NULL, 0), i);
    }
    int ended = __LINE__ + 1;
    wt_eq(weft_scope_end(&s), -1);
    const weft_error *errors[6];
    wt_eq(weft_errors(&s, errors, 6), 7);
    for (int i = 0; i < WEFT_ERRORS_KEPT; i++) {
        wt_eq(errors[i]->code, -1 - i);
    }
    wt_true(errors[4] == NULL && errors[5] == NULL);
    wt_true(errors[0] == weft_last());
    wt_eq(weft_last()->total, 7);
    wt_eq(last_await(weft_last())->line, ended);
    weft_forget();
    wt_eq(weft_errors(&s, errors, 6), 7, "the number stays");
    wt_true(errors[0] == NULL, "the records are gone");
    return 0;
}

TaskTest(errors, a_scope_with_one_failure_has_one_record_and_none_has_none, 1)
{
    const weft_error *errors[2];
    WEFT_SCOPE(one);
    weft_go(&one, fail_pooled, &(int){-EIO});
    wt_eq(weft_scope_end(&one), -EIO);
    wt_eq(weft_errors(&one, errors, 2), 1);
    wt_true(errors[0] == weft_last() && errors[1] == NULL);
    WEFT_SCOPE(none);
    wt_eq(weft_scope_end(&none), 0);
    wt_eq(weft_errors(&none, errors, 2), 0);
    wt_true(errors[0] == NULL);
    return 0;
}

static int fail_as_a_group(void *arg)
{
    (void)arg;
    WEFT_SCOPE(s, .on_error = WEFT_CONTINUE);
    for (int i = 1; i <= 3; i++) {
        weft_go(&s, fail_pooled, &(int){-i});
    }
    return weft_scope_end(&s);
}

TaskTest(errors, the_failures_of_a_scope_travel_with_the_first, 1)
{
    weft_task t;
    weft_spawn(&t, fail_as_a_group, NULL);
    wt_lt(weft_await(&t), 0);
    wt_eq(weft_last()->total, 3);
    wt_eq(weft_last()->awaits, 2);
    wt_true(weft_last()->others != NULL);
    wt_true(weft_last()->others->next != NULL);
    wt_true(weft_last()->others->next->next == NULL);
    return 0;
}

WEFT_TASK(fail_as_a_pooled_group, int)
{
    (void)arg;
    return fail_as_a_group(NULL);
}

static int groups_of_groups(void *arg)
{
    (void)arg;
    for (int round = 0; round < 20; round++) {
        WEFT_SCOPE(s, .on_error = WEFT_CONTINUE);
        for (int i = 0; i < 6; i++) {
            weft_go(&s, fail_as_a_pooled_group, &i);
        }
        wt_lt(weft_scope_end(&s), 0);
        wt_eq(weft_last()->total, 6, "of the scope that was left last");
        if (round % 2 == 0) {
            weft_fail(-EPROTO, "round %d", round);
            wt_eq(weft_last()->cause->total, 6);
        }
    }
    return 0;
}

Test(errors, scopes_of_scopes_that_fail_lose_no_record)
{
    /* a record that is lost or given twice ends a development build when the runtime stops */
    wt_eq(weft_run(groups_of_groups, NULL, .workers = 1), 0);
    wt_eq(weft_run(groups_of_groups, NULL, .workers = 4), 0);
}

/* --- text ------------------------------------------------------------------------------------- */

static void check_has(const char *text, const char *part)
{
    wt_true(strstr(text, part) != NULL, "no \"%s\" in:\n%s", part, text);
}

TaskTest(errors, format_writes_the_whole_chain, 1)
{
    weft_task t;
    weft_spawn(&t, fail_because, (void *)1);
    int awaited = __LINE__ + 1;
    weft_await(&t);
    char text[2048], place[200];
    int length = weft_error_format(weft_last(), text, sizeof text);
    wt_eq(length, strlen(text));
    check_has(text, "EIO: level 1\n    failed in fail_because (");
    check_has(text, "  caused by EPERM: the first of all\n");
    check_has(text, "task fail_because, started in errors_format_writes_the_whole_chain_root (");
    snprintf(place, sizeof place, "awaited in errors_format_writes_the_whole_chain_root (%s:%d)\n",
             __FILE__, awaited);
    check_has(text, place);
    wt_eq(text[length - 1], '\n');
    return 0;
}

TaskTest(errors, format_names_the_others_of_a_scope_and_how_many_there_were, 1)
{
    WEFT_SCOPE(s, .on_error = WEFT_CONTINUE);
    for (int i = 0; i < 9; i++) {
        weft_go(&s, fail_pooled, &(int){-EPIPE});
    }
    weft_scope_end(&s);
    char text[4096];
    weft_error_format(weft_last(), text, sizeof text);
    check_has(text, "the first of 9 failures\n");
    check_has(text, "  and EPIPE: pooled ");
    return 0;
}

TaskTest(errors, format_is_cut_to_the_buffer_and_says_how_long_it_would_be, 1)
{
    weft_fail(-EIO, "some text");
    char whole[512], part[16] = "unchanged";
    int length = weft_error_format(weft_last(), whole, sizeof whole);
    wt_eq(weft_error_format(weft_last(), part, 0), length);
    wt_str_eq(part, "unchanged");
    wt_eq(weft_error_format(weft_last(), part, sizeof part), length);
    wt_eq(strlen(part), sizeof part - 1);
    wt_mem_eq(part, whole, sizeof part - 1);
    wt_eq(weft_error_format(NULL, part, sizeof part), 0);
    wt_str_eq(part, "");
    weft_fail(-4321, "a code without a name");
    weft_error_format(weft_last(), whole, sizeof whole);
    check_has(whole, "-4321: a code without a name");
    return 0;
}

/* --- disregard -------------------------------------------------------------------------------- */

TaskTest(errors, an_ignored_failure_leaves_the_record_as_it_was, 1)
{
    weft_fail(-EPROTO, "mine");
    weft_task t;
    weft_spawn(&t, fail_with_text, NULL);
    weft_ignore(&t);
    wt_eq(weft_status(&t), -EIO);
    wt_str_eq(weft_last()->text, "mine");
    return 0;
}

WEFT_TASK(fail_once, int)
{
    return weft_fail(*arg, "once");
}

WEFT_TASK(fail_in_a_scope, int)
{
    WEFT_SCOPE(s, .on_error = WEFT_CONTINUE);
    for (int i = 0; i < *arg; i++) {
        weft_go(&s, fail_once, &(int){-EIO});
    }
    return weft_scope_end(&s);
}

TaskTest(errors, of_a_scope_with_one_failure_that_was_itself_of_several_the_record_is_told, 1)
{
    WEFT_SCOPE(s);
    weft_go(&s, fail_in_a_scope, &(int){3});
    wt_eq(weft_scope_end(&s), -EIO);
    const weft_error *out[3];
    wt_eq(weft_errors(&s, out, 3), 1);
    wt_true(out[0] == weft_last());
    wt_true(out[1] == NULL && out[2] == NULL, "those of the inner scope are not its own");
    wt_eq(weft_last()->total, 3);
    return 0;
}
