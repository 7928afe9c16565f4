/* test_pooled.c: frames of tasks that are used again, of which whoever starts the next task writes
 * only a part: weft_go six words, if the task before has left the others as they were (task.c,
 * is_as_begun); the thread that calls weft_post two lines (core.h, wf_task_init_posted). The rest
 * must be as new whatever the task before has done. */
#include "src/core.h"
#include "tests/support/wt.h"
#include <errno.h>
#include <sched.h>
#include <stdatomic.h>
#include <weft/weft.h>

enum { TASKS = 1200, TRACES = 8 };

static atomic_int ran, bad, again;
static const struct wf_task *seen[TASKS];
static weft_rwlock lock;
static weft_sem never;
static const weft_key key = {.name = "key"};

/* What both kinds have in common. Relaxed, all: of this task. */
static bool is_as_new(struct wf_task *task)
{
    bool as_new =
        wf_load_relaxed(&task->name) == NULL && task->base_waits == 0 && task->base_scopes == 0 &&
        wf_load_relaxed(&task->reads_more) == 0 && wf_load_relaxed(&task->cancel) == 0 &&
        wf_load_relaxed(&task->has_bound) == 0 && wf_load_relaxed(&task->error) == NULL &&
        wf_load_relaxed(&task->touched) == 0 && wf_load_relaxed(&task->env.unawaited) == 0 &&
        wf_load_relaxed(&task->env.slot.word) == WF_SLOT_UNLISTED && task->rc == -EINPROGRESS;
    for (int i = 0; i < WF_READS_KNOWN; i++) {
        as_new = as_new && wf_load_relaxed(&task->reads[i]) == NULL;
    }
    return as_new;
}

/* A task that has begun: its number. Counts whether its frame was used before, and is as new. */
static int note_begun(struct wf_task *task)
{
    int number = atomic_fetch_add(&ran, 1);
    for (int i = 0; i < number; i++) {
        if (seen[i] == task) {
            atomic_fetch_add(&again, 1);
            break;
        }
    }
    seen[number] = task;
    atomic_fetch_add(&bad, !is_as_new(task));
    return number;
}

static void check_all(int tasks)
{
    wt_eq(atomic_load(&ran), tasks);
    wt_eq(atomic_load(&bad), 0);
    wt_gt(atomic_load(&again), tasks / 4, "frames are used again");
}

/* --- weft_go ---------------------------------------------------------------------------------- */

/* One of the things by which a task leaves something in its frame. */
static int leave_trace(int number)
{
    switch (number % TRACES) {
    case 0:
        weft_task_name("used");
        return 0;
    case 1:
        (void)weft_rwlock_read(&lock); /* and forgets it */
        return 0;
    case 2: {
        weft_binding binding;
        weft_bind(&binding, &key, &lock);
        weft_unbind(&binding);
        return 0;
    }
    case 3:
        return weft_fail(-EIO, "task %d", number);
    case 4:
        return weft_within(1, weft_sem_acquire(&never)) == -ETIME ? 0 : -EPROTO;
    case 5: {
        weft_reason reason = wf_reason(WEFT_WHY_CALL, "alone", WEFT_HERE);
        wf_task_cancel(wf_self()->env->task, &reason);
        return weft_sem_acquire(&never) == -ECANCELED ? 0 : -EPROTO;
    }
    default:
        return 0;
    }
}

static int use_up(void *arg)
{
    const struct wf_scope *owner = wf_scope_of(*(weft_scope **)arg);
    struct wf_task *task = wf_self()->env->task;
    int number = note_begun(task);
    atomic_fetch_add(&bad, task->env.scope != owner || task->env.locals != owner->env.locals ||
                               task->arg != task + 1);
    return leave_trace(number);
}

static int run_all(void *arg)
{
    (void)arg;
    for (int i = 0; i < TASKS; i += 3) { /* a few at a time, so that frames are used again */
        WEFT_SCOPE(scope, .on_error = WEFT_CONTINUE);
        weft_scope *owner = &scope;
        for (int k = 0; k < 3; k++) {
            wt_eq(weft_go_raw(&scope, use_up, &owner, sizeof owner), 0);
        }
        int rc = weft_scope_end(&scope);
        wt_true(rc == 0 || rc == -EIO, "%d", rc);
    }
    return 0;
}

Test(pooled, a_frame_that_is_used_again_is_as_a_new_one, .timeout = 60)
{
    weft_rwlock_init(&lock);
    weft_sem_init(&never, 0, 1);
    wt_eq(weft_run(run_all, NULL, .workers = 1), 0);
    check_all(TASKS);
}

/* --- weft_post -------------------------------------------------------------------------------- */

static int use_up_posted(void *name)
{
    int number = note_begun(wf_self()->env->task);
    weft_task_name(name);
    (void)weft_rwlock_read(&lock);
    WEFT_SCOPE(scope);
    (void)weft_scope_end(&scope);
    if (number % 3 != 0) {
        (void)weft_rwlock_unlock(&lock); /* the others forget it */
    }
    return 0;
}

Test(pooled, a_frame_of_a_posted_task_is_as_a_new_one, .timeout = 60)
{
    static char name[] = "used";
    weft_rt *rt;
    weft_rwlock_init(&lock);
    wt_eq(weft_rt_start(&rt, &(weft_rt_opts){.workers = 1}), 0);
    for (int i = 0; i < TASKS / 2; i++) {
        wt_eq(weft_post(rt, use_up_posted, name), 0);
        while (atomic_load(&ran) <= i) { /* ends: it runs */
            sched_yield();
        }
    }
    wt_eq(weft_rt_stop(rt, WEFT_FOREVER, WEFT_FOREVER), 0);
    weft_rt_free(rt);
    check_all(TASKS / 2);
}
