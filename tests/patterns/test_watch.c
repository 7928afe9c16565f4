/* Watches: the latest value, whole, and a wait for the next change. */
#include "pattern.h"
#include <string.h>
#include <weft/weft.h>

static weft_watch *new_watch(int value)
{
    weft_watch *watch;
    wt_eq(weft_watch_new(&watch, sizeof value, &value), 0);
    return watch;
}

TaskTest(watch, a_reader_gets_the_latest_value_once_and_skips_what_it_was_too_slow_for, 1)
{
    weft_watch *watch = new_watch(10);
    uint64_t seen = 0;
    int value = -1;
    wt_eq(weft_watch_next(watch, &seen, &value), 1);
    wt_eq(value, 10);
    wt_eq(seen, 1);
    wt_eq(weft_within(0, weft_watch_next(watch, &seen, &value)), -ETIME);
    for (int i = 11; i < 15; i++) {
        wt_eq(weft_watch_set(watch, &i), 0);
    }
    wt_eq(weft_watch_next(watch, &seen, &value), 1);
    wt_eq(value, 14);
    wt_eq(seen, 5);
    value = -1;
    wt_eq(weft_watch_get(watch, &value), 5);
    wt_eq(value, 14);
    weft_watch_free(watch);
    return 0;
}

Test(watch, new_refuses_what_makes_no_sense)
{
    weft_watch *watch = (weft_watch *)1;
    wt_eq(weft_watch_new(&watch, 0, ""), -EINVAL);
    wt_true(watch == NULL);
    wt_eq(weft_watch_new(&watch, WEFT_WATCH_BYTES_MAX + 1, ""), -EINVAL);
    weft_watch_free(NULL);
    watch = new_watch(1);
    int value;
    uint64_t seen = 0;
    wt_eq(weft_watch_get(watch, &value), 1, "on any thread");
    wt_eq(weft_watch_next(watch, &seen, &value), -EPERM);
    weft_watch_free(watch);
}

struct reader {
    weft_watch *watch;
    atomic_int *waiting;
    uint64_t seen;
    int value;
    int rc;
};

static int read_next(void *arg)
{
    struct reader *me = arg;
    atomic_fetch_add(me->waiting, 1);
    me->rc = weft_watch_next(me->watch, &me->seen, &me->value);
    return 0;
}

TaskTest(watch, a_change_wakes_all_who_wait_and_close_gives_them_its_code, 1)
{
    weft_watch *watch = new_watch(1);
    for (int round = 0; round < 2; round++) {
        atomic_int waiting = 0;
        struct reader readers[5];
        weft_task tasks[5];
        for (int i = 0; i < 5; i++) {
            readers[i] = (struct reader){watch, &waiting, (uint64_t)round + 1, -1, 99};
            weft_spawn(&tasks[i], read_next, &readers[i]);
        }
        yield_until(&waiting, 5);
        if (round == 0) {
            wt_eq(weft_watch_set(watch, &(int){2}), 0);
        } else {
            wt_eq(weft_watch_close(watch, -EIO), 0);
        }
        for (int i = 0; i < 5; i++) {
            wt_eq(weft_await(&tasks[i]), 0);
            wt_eq(readers[i].rc, round == 0 ? 1 : -EIO);
            wt_eq(readers[i].value, round == 0 ? 2 : -1);
        }
    }
    wt_eq(weft_watch_set(watch, &(int){3}), -EPIPE);
    wt_eq(weft_watch_close(watch, 0), -EALREADY);
    int value;
    wt_eq(weft_watch_get(watch, &value), 2);
    wt_eq(value, 2);
    uint64_t seen = 0;
    wt_eq(weft_watch_next(watch, &seen, &value), 1, "who has not seen the latest still gets it");
    wt_eq(weft_watch_next(watch, &seen, &value), -EIO);
    weft_watch_free(watch);
    return 0;
}

TaskTest(watch, a_cancelled_reader_is_passed_over, 1)
{
    weft_watch *watch = new_watch(1);
    atomic_int waiting = 0;
    struct reader reader = {watch, &waiting, 1, -1, 99};
    WEFT_SCOPE(s);
    weft_task task;
    weft_spawn(&task, read_next, &reader);
    yield_until(&waiting, 1);
    weft_scope_cancel(&s, NULL);
    wt_eq(weft_watch_set(watch, &(int){2}), 0);
    wt_eq(weft_await(&task), 0);
    wt_eq(reader.rc, -ECANCELED);
    wt_eq(reader.value, -1);
    wt_eq(weft_scope_end(&s), 0);
    weft_watch_free(watch);
    return 0;
}

/* --- stress ----------------------------------------------------------------------------------- */

struct config {
    long words[40]; /* all the same */
};

WEFT_TASK(follow, weft_watch *)
{
    struct config config;
    uint64_t seen = 0;
    uint64_t before = 0;
    int rc;
    while ((rc = weft_watch_next(*arg, &seen, &config)) > 0) { /* ends: it is closed */
        wt_gt(seen, before);
        wt_eq(config.words[0], (long)seen);
        for (int i = 1; i < 40; i++) {
            wt_eq(config.words[i], config.words[0], "torn");
        }
        before = seen;
    }
    wt_eq(seen, 2001, "the last one is never missed");
    return rc;
}

static int run_followers(void *arg)
{
    (void)arg;
    struct config config;
    for (int i = 0; i < 40; i++) {
        config.words[i] = 1;
    }
    weft_watch *watch;
    wt_eq(weft_watch_new(&watch, sizeof config, &config), 0);
    WEFT_SCOPE(s);
    for (int i = 0; i < 6; i++) {
        weft_go(&s, follow, &watch);
    }
    for (long n = 2; n <= 2001; n++) {
        for (int i = 0; i < 40; i++) {
            config.words[i] = n;
        }
        wt_eq(weft_watch_set(watch, &config), 0);
        if (n % 16 == 0) {
            weft_yield();
        }
    }
    wt_eq(weft_watch_close(watch, 0), 0);
    wt_eq(weft_scope_end(&s), 0);
    weft_watch_free(watch);
    return 0;
}

Test(watch, no_value_is_torn_and_the_last_is_never_missed)
{
    for (int workers = 1; workers <= 8; workers *= 2) {
        wt_eq(weft_run(run_followers, NULL, .workers = workers), 0);
    }
}
