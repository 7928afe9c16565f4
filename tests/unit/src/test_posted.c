/* test_posted.c: the frames of tasks that weft_post starts, of which the thread that posts writes
 * two lines only (core.h, wf_task_init_posted): the others must be as new whatever the task before
 * has done. */
#include "src/core.h"
#include "tests/support/wt.h"
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <weft/weft.h>

enum { POSTS = 600 };

static atomic_int ran, bad, again;
static const struct wf_task *seen[POSTS];
static weft_rwlock lock;

static struct wf_task *task_now(void)
{
    return wf_self()->env->task;
}

static int use_up(void *arg)
{
    struct wf_task *task = task_now();
    int number = atomic_fetch_add(&ran, 1);
    for (int i = 0; i < number; i++) {
        if (seen[i] == task) {
            atomic_fetch_add(&again, 1);
            break;
        }
    }
    seen[number] = task;
    bool clean = wf_load_relaxed(&task->name) == NULL && task->base_waits == 0 &&
                 task->base_scopes == 0 && wf_load_relaxed(&task->reads_more) == 0;
    for (int i = 0; i < WF_READS_KNOWN; i++) {
        clean = clean && wf_load_relaxed(&task->reads[i]) == NULL;
    }
    atomic_fetch_add(&bad, !clean);
    weft_task_name(arg);
    (void)weft_rwlock_read(&lock);
    WEFT_SCOPE(scope);
    (void)weft_scope_end(&scope);
    if (number % 3 != 0) {
        (void)weft_rwlock_unlock(&lock); /* the others forget it */
    }
    return 0;
}

Test(posted, a_frame_that_is_used_again_is_as_a_new_one, .timeout = 60)
{
    static char name[] = "used";
    weft_rt *rt;
    weft_rwlock_init(&lock);
    wt_eq(weft_rt_start(&rt, &(weft_rt_opts){.workers = 1}), 0);
    for (int i = 0; i < POSTS; i++) {
        wt_eq(weft_post(rt, use_up, name), 0);
        while (atomic_load(&ran) <= i) { /* ends: it runs */
            sched_yield();
        }
    }
    wt_eq(weft_rt_stop(rt, WEFT_FOREVER, WEFT_FOREVER), 0);
    weft_rt_free(rt);
    wt_eq(atomic_load(&bad), 0);
    wt_gt(atomic_load(&again), POSTS / 4, "frames are used again");
}
