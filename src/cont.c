/* cont.c: continuations: work that is run when a task ends.
 *
 * A continuation is a task of the scope in which it was made, in the caller's memory; what starts
 * it is an awaiter in another task, the one it follows. The finisher of that one queues it and does
 * no more: the body never runs inside of somebody else's call, and neither does what follows from
 * it, so that a chain of continuations needs no stack.
 *
 *   waits --[followed task ends, in a way that was asked for]--> queued --> runs ---> ended
 *     +-----[followed task ends in another way]--> queued --[run_skipped]-----------> -ECANCELED
 *
 * It is counted in its scope from weft_continue on, which keeps the scope, and so the memory that
 * the caller has promised, until the last touch. */
#include "src/core.h"

struct wf_cont {
    weft_task task; /* a struct wf_task */
    struct wf_awaiter awaiter;
    int ends; /* WEFT_ON_*; immutable */
};

_Static_assert(sizeof(struct wf_cont) <= sizeof(weft_cont), "weft_cont is too small");
_Static_assert(_Alignof(struct wf_cont) <= _Alignof(weft_cont), "weft_cont is not aligned enough");
_Static_assert(offsetof(struct wf_cont, task) == offsetof(weft_cont, task), "the task is public");

static bool is_wanted(const struct wf_cont *cont, struct wf_outcome outcome)
{
    int end = outcome.rc >= 0 ? WEFT_ON_OK : outcome.cut_short ? WEFT_ON_CANCEL : WEFT_ON_FAULT;
    return (cont->ends & end) != 0;
}

/* work.run of one that is not wanted. */
static void run_skipped(struct wf_fiber *self, struct wf_work *work)
{
    (void)self;
    wf_task_end_unrun(wf_container_of(work, struct wf_task, work));
}

/* wf_awaiter.ended */
static void cont_ended(struct wf_awaiter *awaiter, struct wf_outcome outcome)
{
    struct wf_cont *cont = wf_container_of(awaiter, struct wf_cont, awaiter);
    struct wf_task *task = wf_task_of(&cont->task);
    if (!is_wanted(cont, outcome)) {
        task->work.run = run_skipped;
    }
    wf_ready_any(task->rt->pool, &task->work); /* LAST TOUCH */
}

static int check_continue(struct wf_fiber *self, struct wf_task *followed, int ends)
{
    if (ends == 0 || (ends & ~WEFT_ON_DONE) != 0) {
        return -EINVAL;
    }
    if (wf_task_would_deadlock(self->env, followed)) {
        return -EDEADLK; /* the scope would wait for it, and it for the scope */
    }
    return wf_scope_enter(self->env->scope);
}

int weft_continue_(weft_cont *handle, weft_task *followed_handle, weft_fn *fn, void *arg, int ends,
                   const weft_place *place)
{
    struct wf_cont *cont = (struct wf_cont *)(void *)handle;
    struct wf_task *task = wf_task_of(&cont->task);
    struct wf_task *followed = wf_task_of(followed_handle);
    int rc = 0;
    struct wf_fiber *self = wf_enter_task(&rc);
    if (self != NULL) {
        rc = check_continue(self, followed, ends);
    }
    if (self == NULL || rc < 0) {
        wf_task_refuse(task, fn, arg, place, rc);
        return rc;
    }
    struct wf_scope *scope = self->env->scope;
    wf_task_init(task, wf_runtime_of(self), fn, arg, scope, WF_TASK_FOLLOWING, place);
    cont->awaiter.ended = cont_ended;
    cont->ends = ends;
    if (wf_awaiters_add(&followed->waiters, &cont->awaiter)) {
        return 0; /* LAST TOUCH */
    }
    if (is_wanted(cont, wf_task_outcome(followed))) {
        wf_start_queued(self, &task->work);
    } else {
        wf_task_end_unrun(task);
    }
    return 0;
}
