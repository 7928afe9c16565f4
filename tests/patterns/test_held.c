/* The debugging library that finds pthread mutexes held across a wait; this test is linked with
 * it. */
#include "capture.h"
#include "pattern.h"
#include <pthread.h>
#include <string.h>

static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;

static int hold_it(void *arg)
{
    (void)arg;
    for (int i = 0; i < 3; i++) {
        pthread_mutex_lock(&mutex);
        weft_sleep(WEFT_US(1));
        pthread_mutex_unlock(&mutex);
    }
    return 0;
}

static int let_go_first(void *arg)
{
    (void)arg;
    for (int i = 0; i < 3; i++) {
        pthread_mutex_lock(&mutex);
        pthread_mutex_unlock(&mutex);
        weft_sleep(WEFT_US(1));
    }
    return 0;
}

static int run_holder(void)
{
    return weft_run(hold_it, NULL, .workers = 1);
}

static int run_careful(void)
{
    return weft_run(let_go_first, NULL, .workers = 1);
}

Test(held, a_mutex_held_across_a_wait_is_reported_once_with_the_task_and_its_place)
{
    struct captured captured;
    capture(&captured, run_holder);
    check_exited(&captured, 0);
    const char *report = "weft: task hold_it (started in run_holder, ";
    check_says(&captured, report);
    check_says(&captured, "waits while its thread holds 1 pthread mutex\n");
    wt_true(strstr(strstr(captured.text, report) + 1, report) == NULL, "%s", captured.text);
}

Test(held, a_mutex_that_was_unlocked_before_the_wait_is_not)
{
    struct captured captured;
    capture(&captured, run_careful);
    check_exited(&captured, 0);
    wt_str_eq(captured.text, "");
}
