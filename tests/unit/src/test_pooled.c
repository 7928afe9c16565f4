/* test_pooled.c: the frames of tasks that weft_go starts, of which it writes six words if the task
 * before has left the others as they were (task.c, is_as_begun): they must be as new whatever that
 * one has done. */
#include "src/core.h"
#include "tests/support/wt.h"
#include <errno.h>
#include <stdatomic.h>
#include <weft/weft.h>

enum { TASKS = 1200, TRACES = 8 };

static atomic_int ran, bad, again;
static const struct wf_task *seen[TASKS];
static weft_rwlock lock;
static weft_sem never;
static const weft_key key = {.name = "key"};

/* Relaxed, all: of this task. */
static bool is_as_new(struct wf_task *task, const struct wf_scope *owner)
{
    bool as_new =
        wf_load_relaxed(&task->name) == NULL && task->base_waits == 0 && task->base_scopes == 0 &&
        wf_load_relaxed(&task->reads_more) == 0 && wf_load_relaxed(&task->cancel) == 0 &&
        wf_load_relaxed(&task->has_bound) == 0 && wf_load_relaxed(&task->error) == NULL &&
        wf_load_relaxed(&task->touched) == 0 && wf_load_relaxed(&task->env.unawaited) == 0 &&
        wf_load_relaxed(&task->env.slot.word) == WF_SLOT_UNLISTED && task->rc == -EINPROGRESS &&
        task->env.scope == owner && task->env.locals == owner->env.locals && task->arg == task + 1;
    for (int i = 0; i < WF_READS_KNOWN; i++) {
        as_new = as_new && wf_load_relaxed(&task->reads[i]) == NULL;
    }
    return as_new;
}

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
    int number = atomic_fetch_add(&ran, 1);
    for (int i = 0; i < number; i++) {
        if (seen[i] == task) {
            atomic_fetch_add(&again, 1);
            break;
        }
    }
    seen[number] = task;
    atomic_fetch_add(&bad, !is_as_new(task, owner));
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
    wt_eq(atomic_load(&ran), TASKS);
    wt_eq(atomic_load(&bad), 0);
    wt_gt(atomic_load(&again), TASKS / 4, "frames are used again");
}
