/* task.c: the life of a task: started, run, finished, awaited. The state word is described in
 * core.h.
 *
 * A task's body runs directly on the stack of whoever runs it: on a loop's frame, or, if the
 * awaiter finds the task still unstarted in its own deque, on top of the awaiter. That is legal
 * only because the awaiter needs this very task: nothing unrelated ever runs above a waiting
 * frame. */
#include "pool/base/check.h"
#include "pool/base/sys.h"
#include "src/core.h"
#include "src/guard.h"
#include <string.h>

/* A stack that waits for a task; on that stack. */
struct stack_awaiter {
    struct wf_awaiter awaiter;
    struct wf_fiber *fiber;
    struct wf_task *task;
};

/* Below this many bytes of stack, an awaited task is not started on top of its awaiter, but waited
 * for: enough for a task with a buffer of some pages. */
#define WF_INLINE_STACK_MIN ((size_t)64 * 1024)

/* The lines of a task that are zero when the frame of a posted one is free: see
 * wf_task_init_posted. */
WF_INLINE void init_rest(struct wf_task *task)
{
    /* they lie side by side; queuing the task publishes them */
    memset(&task->name, 0, offsetof(struct wf_task, failed_ns) - offsetof(struct wf_task, name));
}

/* --- finishing -------------------------------------------------------------------------------- */

/* A task without an awaiter failed: its scope takes the failure; of the root scope nobody will ask
 * for it. */
static void settle_failed(struct wf_task *task, int rc, weft_error *error)
{
    struct wf_scope *owner = task->env.scope;
    error = wf_error_of(task, rc, error);
    if (owner->parent != NULL) {
        wf_scope_task_failed(owner, rc, error);
    } else if (rc == -ECANCELED && wf_scope_cancelled(owner) != 0) {
        wf_error_free(error); /* cut short by the stop is no failure */
    } else {
        wf_fault_unobserved(task->rt, wf_task_name(task), task->place, rc, error, WEFT_LOG);
    }
}

static void free_posted_frame(struct wf_worker *worker, struct wf_task *task)
{
    init_rest(task); /* as wf_task_init_posted expects it */
    if (worker->pool == task->rt->pool) {
        wf_slab_give_later(&worker->given, task);
    } else {
        wf_slab_give(NULL, task); /* on a loop, which may be gone before, or stay after */
    }
}

/* As it is, for the next task: see weft_go_. */
WF_INLINE void give_frame(struct wf_worker *worker, struct wf_task *task)
{
    wf_slab_give_bare(worker->frames, WF_FRAME_CLASSES, task);
}

/* To be initialised anew. */
static void give_frame_touched(struct wf_worker *worker, struct wf_task *task)
{
    task->env.task = NULL;
    give_frame(worker, task);
}

void wf_task_free_frame(struct wf_fiber *self, struct wf_task *task)
{
    give_frame_touched(self->worker, task);
}

/* The result is final, the task not yet published. */
static WF_COLD void note_failure(struct wf_task *task, int rc)
{
    task->cut_short = rc == -ECANCELED && wf_env_cancelled(&task->env) != 0;
    /* which of several that were cut short was the first nobody asks, and the clock is 25 ns */
    task->failed_ns = task->cut_short ? 0 : wf_sys.now_ns();
}

/* Its scope keeps it until it is asked for. */
static void settle_each(struct wf_task *task, int rc)
{
    struct wf_scope *owner = task->env.scope;
    bool fire = false;
    weft_reason reason;
    task->rc = rc;
    if (rc < 0) {
        note_failure(task, rc);
        weft_error *error = wf_error_of(task, rc, wf_error_take(task));
        fire = owner->on_error == WEFT_FAILFAST && !task->cut_short;
        if (fire) {
            reason =
                wf_reason(WEFT_WHY_FAILURE, "a task failed", wf_error_place(error, task->place));
        }
        wf_error_give(task, error);
    }
    wf_each_ended(owner, task);
    if (fire) {
        (void)wf_scope_fire(owner, WF_CANCEL_FIRED, &reason);
    }
    wf_scope_leave(owner);
}

static void settle_error(struct wf_task *task, int rc)
{
    weft_error *error = wf_error_take(task);
    if (wf_likely(rc >= 0)) {
        wf_error_free(error);
    } else {
        settle_failed(task, rc, error);
    }
}

/* The frame is as the next task wants to find it, or else `touched` says so. */
static void settle_pooled(struct wf_fiber *self, struct wf_task *task, int rc)
{
    struct wf_scope *owner = task->env.scope;
    settle_error(task, rc);
    if (wf_unlikely(wf_load_relaxed(&task->touched) != 0)) { /* relaxed: see wf_task_touch */
        give_frame_touched(self->worker, task);
    } else {
        give_frame(self->worker, task);
    }
    wf_scope_leave(owner);
}

static void settle_posted(struct wf_fiber *self, struct wf_task *task, int rc)
{
    weft_rt *rt = task->rt;
    settle_error(task, rc);
    free_posted_frame(self->worker, task);
    wf_runtime_leave_root(rt, self->worker);
}

static void settle_called(struct wf_task *task, int rc)
{
    struct wf_scope *owner = task->env.scope;
    weft_error *error = wf_error_take(task);
    if (rc < 0 && error != NULL) {
        /* the caller gets the code; the record, no task will read */
        error = wf_error_of(task, rc, error);
        wf_error_report("failed", wf_task_name(task), task->place, rc, error);
    }
    wf_error_free(error);
    /* relaxed: set before the cancellation that we answer */
    task->rc = rc == -ECANCELED && wf_load_relaxed(&task->rt->deadlocked) != 0 ? -EDEADLK : rc;
    /* Relaxed: a count, for this worker when it sleeps, or for one that sleeps after it. Not by the
     * caller: until that thread runs again it would count as one that waits for a task. */
    (void)wf_sub_relaxed(&task->rt->callers, 1);
    wf_scope_leave(owner);
    /* sync(task.called): release, the result; pairs sync(task.call_wait). LAST TOUCH but for the
     * address: the thread that waits may return and reuse the memory, where a stray futex wake is
     * harmless. */
    wf_store_release(&task->called, 1);
    (void)wf_sys.futex_wake(&task->called, 1);
}

/* Publishes the result. Returns the awaiters, to be told. LAST TOUCH of the task. */
static struct wf_awaiter *publish_done(struct wf_task *task, int rc, struct wf_outcome *outcome)
{
    task->rc = rc;
    if (wf_unlikely(rc < 0)) {
        note_failure(task, rc);
    }
    *outcome = wf_task_outcome(task);
    return wf_awaiters_close(&task->waiters);
}

/* Of a continuation. Its scope lasts until it is left, the task's memory until it is published. */
static void settle_following(struct wf_task *task, int rc)
{
    struct wf_scope *owner = task->env.scope;
    weft_error *error = wf_error_take(task);
    if (rc < 0) {
        settle_failed(task, rc, error);
    } else {
        wf_error_free(error);
    }
    struct wf_outcome outcome;
    struct wf_awaiter *awaiters = publish_done(task, rc, &outcome);
    wf_awaiters_tell(awaiters, outcome);
    wf_scope_leave(owner);
}

void wf_task_end_unrun(struct wf_task *task)
{
    struct wf_scope *owner = task->env.scope;
    task->rc = -ECANCELED;
    task->failed_ns = 0; /* as in note_failure */
    task->cut_short = 1;
    struct wf_outcome outcome = wf_task_outcome(task);
    wf_awaiters_tell(wf_awaiters_close(&task->waiters), outcome);
    wf_scope_leave(owner);
}

/* wf_awaiter.ended of a stack. */
static void stack_ended(struct wf_awaiter *awaiter, struct wf_outcome outcome)
{
    (void)outcome; /* it reads the task */
    struct wf_fiber *fiber = wf_container_of(awaiter, struct stack_awaiter, awaiter)->fiber;
    /* LAST TOUCH of the awaiter, which may be of another runtime */
    wf_wait_resume(&fiber->resume);
}

/* The stack that is the only awaiter, and may go on here; else NULL. */
static struct wf_fiber *only_stack(struct wf_fiber *self, struct wf_awaiter *awaiter)
{
    if (wf_plain_read(&awaiter->next) != NULL || awaiter->ended != stack_ended) {
        return NULL;
    }
    struct wf_fiber *fiber = wf_container_of(awaiter, struct stack_awaiter, awaiter)->fiber;
    return wf_may_switch_to(self, fiber) ? fiber : NULL;
}

/* --- running ---------------------------------------------------------------------------------- */

/* The body of a task that ran on top of this one was never returned from. The end, whatever the
 * hook does: `above` is the topmost. Others may have been between them, and nobody knows of these
 * any more; they would stay in their scopes' lists, with nobody to end them. */
WF_NORETURN static WF_COLD void left_by_longjmp(const struct wf_task *task,
                                                const struct wf_task *above)
{
    wf_misuse(
        "the body of task %s, started at %s:%d, was left by a longjmp into task %s, started at "
        "%s:%d",
        wf_task_name(above), above->place->file, above->place->line, wf_task_name(task),
        task->place->file, task->place->line);
    wf_panic(__FILE__, __LINE__, "no way to go on after a longjmp out of a task's body");
}

/* Calls it under the task's env. In line, as what follows: each level of calls above a switch is a
 * return that the processor mispredicts, some 2 ns. */
WF_INLINE int call_body(struct wf_fiber *self, struct wf_task *task)
{
    self->env = &task->env;
    WF_GUARD(guard, task);
    int rc = task->fn(task->arg);
    guard.armed = false;
    return rc;
}

/* The body has returned. `outer`, `home`: the env that the stack was under, and its home, to go
 * back to. */
WF_INLINE void end_body(struct wf_fiber *self, struct wf_task *task, struct wf_env *outer,
                        struct wf_home *home)
{
    if (wf_unlikely(self->env != &task->env) && self->env->task != task) {
        left_by_longjmp(task, self->env->task);
    } else if (wf_unlikely(self->env != &task->env)) {
        wf_misuse("the task started at %s:%d ended with the %s at %s:%d still open",
                  task->place->file, task->place->line,
                  wf_env_is_base(self->env) ? "binding under the scope opened" : "scope opened",
                  self->env->scope->place->file, self->env->scope->place->line);
    }
    if (wf_unlikely(wf_env_has_unawaited(self, &task->env))) {
        wf_misuse("task %s (started at %s:%d) ended with a task that it spawned unawaited",
                  wf_task_name(task), task->place->file, task->place->line);
    }
    if (wf_unlikely(wf_fiber_home(self) != home)) {
        wf_exec_return(self, home);
    }
    wf_task_unlist(task);
    self->env = outer;
}

WF_INLINE int run_body(struct wf_fiber *self, struct wf_task *task, struct wf_env *outer,
                       struct wf_home *home)
{
    int rc = call_body(self, task);
    end_body(self, task, outer, home);
    return rc;
}

/* On a loop's frame, which is under no env and has no home. */
WF_INLINE int run_on_loop(struct wf_fiber *self, struct wf_task *task)
{
    wf_check_inner(self->env == NULL && wf_fiber_home(self) == NULL);
    return run_body(self, task, NULL, NULL);
}

int wf_task_run_body(struct wf_fiber *self, struct wf_task *task)
{
    return run_body(self, task, self->env, wf_fiber_home(self));
}

/* Is all at the end of a pooled task as it was at its beginning, so that end_body and settle_pooled
 * would do nothing but give back the frame and leave the scope? */
WF_INLINE bool is_as_begun(struct wf_fiber *self, struct wf_task *task, int rc)
{
    /* relaxed, all: its strands are over, but for this one; `touched`: see wf_task_touch */
    uintptr_t left = wf_load_relaxed(&task->env.unawaited) | wf_load_relaxed(&task->touched) |
                     (uintptr_t)wf_load_relaxed(&task->error); /* one branch for three */
    return self->env == &task->env && left == 0 && self->resume.run == wf_fiber_run_resume &&
           wf_load_relaxed(&task->env.slot.word) == WF_SLOT_UNLISTED && rc >= 0;
}

static WF_NOINLINE void end_pooled(struct wf_fiber *self, struct wf_task *task, int rc)
{
    end_body(self, task, NULL, NULL);
    settle_pooled(self, task, rc);
}

/* work.run of a task of kind POOLED, on a loop's frame: apart, since most tasks of a flood are; and
 * of those in a scope with `.each`, and those of weft_post. */
static void pooled_run(struct wf_fiber *self, struct wf_work *work)
{
    struct wf_task *task = wf_container_of(work, struct wf_task, work);
    wf_check_inner(self->env == NULL && wf_fiber_home(self) == NULL);
    int rc = call_body(self, task);
    if (wf_unlikely(!is_as_begun(self, task, rc))) {
        end_pooled(self, task, rc);
        return;
    }
    struct wf_scope *owner = task->env.scope;
    self->env = NULL;
    give_frame(self->worker, task);
    wf_scope_let_go(owner, 1);
}

static void each_run(struct wf_fiber *self, struct wf_work *work)
{
    struct wf_task *task = wf_container_of(work, struct wf_task, work);
    settle_each(task, run_on_loop(self, task));
}

static void posted_run(struct wf_fiber *self, struct wf_work *work)
{
    struct wf_task *task = wf_container_of(work, struct wf_task, work);
    settle_posted(self, task, run_on_loop(self, task));
}

/* The same of the other kinds. */
static void task_run(struct wf_fiber *self, struct wf_work *work)
{
    struct wf_task *task = wf_container_of(work, struct wf_task, work);
    enum wf_task_kind kind = (enum wf_task_kind)task->kind;
    if (wf_unlikely(kind == WF_TASK_CALLED)) {
        /* Relaxed: a count, for this worker when it sleeps, or for one that sleeps after it. Not by
         * the caller: nobody would look again for a deadlock that it had held back. */
        (void)wf_sub_relaxed(&task->rt->entering, 1);
    }
    int rc = run_on_loop(self, task);
    if (kind == WF_TASK_CALLED) {
        settle_called(task, rc);
        return;
    }
    if (kind == WF_TASK_FOLLOWING) {
        settle_following(task, rc);
        return;
    }
    struct wf_outcome outcome;
    struct wf_awaiter *awaiters = publish_done(task, rc, &outcome);
    if (awaiters == NULL) {
        return;
    }
    struct wf_fiber *fiber = only_stack(self, awaiters);
    if (fiber != NULL) {
        wf_switch_to(self, fiber); /* the one that waits goes on at once, on this worker */
    }
    wf_awaiters_tell(awaiters, outcome);
}

/* Without what is only read when something else says so: failed_ns and cut_short (of a failure),
 * in_scope (env.slot), reason (cancel), called (its kind's caller sets it). */
WF_INLINE void init_front(struct wf_task *task, struct weft_rt *rt, weft_fn *fn, void *arg,
                          struct wf_scope *owner, enum wf_task_kind kind, const weft_place *place)
{
    task->work.run = task_run;
    /* Relaxed, here and below: queuing the task publishes it. */
    wf_store_relaxed(&task->waiters.word, WF_TASK_RUNNING);
    task->env.task = task;
    task->env.scope = owner;
    task->env.locals = owner != NULL ? owner->env.locals : NULL;
    wf_slot_set(&task->env.slot, WF_SLOT_UNLISTED);
    wf_store_relaxed(&task->env.unawaited, 0);
    task->fn = fn;
    task->arg = arg;
    task->place = place;
    wf_store_relaxed(&task->spawner, NULL);
    wf_store_relaxed(&task->error, NULL);
    task->rc = -EINPROGRESS;
    task->kind = (uint8_t)kind;
    wf_store_relaxed(&task->touched, 0);
    task->rt = rt;
    wf_store_relaxed(&task->cancel, 0);
    wf_store_relaxed(&task->has_bound, 0);
}

WF_INLINE void init(struct wf_task *task, struct weft_rt *rt, weft_fn *fn, void *arg,
                    struct wf_scope *owner, enum wf_task_kind kind, const weft_place *place)
{
    init_front(task, rt, fn, arg, owner, kind, place);
    init_rest(task);
}

void wf_task_init(struct wf_task *task, struct weft_rt *rt, weft_fn *fn, void *arg,
                  struct wf_scope *owner, enum wf_task_kind kind, const weft_place *place)
{
    init(task, rt, fn, arg, owner, kind, place);
}

void wf_task_init_posted(struct wf_task *task, struct weft_rt *rt, weft_fn *fn, void *arg,
                         const weft_place *place)
{
    init_front(task, rt, fn, arg, &rt->root, WF_TASK_POOLED, place);
    task->work.run = posted_run;
}

void wf_task_refuse(struct wf_task *task, weft_fn *fn, void *arg, const weft_place *place, int rc)
{
    wf_task_init(task, NULL, fn, arg, NULL, WF_TASK_SPAWNED, place);
    task->rc = rc;
    task->failed_ns = 0;
    task->cut_short = rc == -ECANCELED;
    wf_store_relaxed(&task->waiters.word, WF_TASK_DONE); /* relaxed: not shared */
}

WF_INLINE void start_queued(struct wf_fiber *self, struct wf_work *work)
{
    struct wf_pool *pool = wf_runtime_of(self)->pool;
    if (wf_likely(self->worker->pool == pool)) {
        wf_ready_new(self->worker, work);
    } else {
        wf_ready_foreign(pool, work);
    }
}

void wf_start_queued(struct wf_fiber *self, struct wf_work *work)
{
    start_queued(self, work);
}

/* --- spawn, await ----------------------------------------------------------------------------- */

int weft_spawn_(weft_task *handle, weft_fn *fn, void *arg, const weft_place *place)
{
    struct wf_task *task = wf_task_of(handle);
    int rc = 0;
    struct wf_fiber *self = wf_enter_task(&rc);
    if (wf_unlikely(self == NULL)) {
        wf_task_refuse(task, fn, arg, place, rc);
        return rc;
    }
    struct wf_env *env = self->env;
    if (wf_unlikely((wf_env_cancelled(env) & WF_CANCEL_FIRED) != 0)) {
        wf_task_refuse(task, fn, arg, place, -ECANCELED);
        return -ECANCELED;
    }
    init(task, wf_runtime_of(self), fn, arg, env->scope, WF_TASK_SPAWNED, place);
    task->env.locals = env->locals; /* the spawner awaits it before it unbinds */
    /* Relaxed, both: for the spawner itself and its forked sections, which the forks order. */
    wf_store_relaxed(&task->spawner, env);
    task->spawner_task = env->task;
    (void)wf_add_relaxed(&env->unawaited, 1);
    wf_start_queued(self, &task->work);
    return 0;
}

/* On the next stack: into the task's list, unless it has ended. */
static void after_await(struct wf_fiber *now, struct wf_fiber *before, void *arg)
{
    struct stack_awaiter *waiting = arg;
    if (!wf_awaiters_add(&waiting->task->waiters, &waiting->awaiter)) {
        wf_switch_back(now, before);
    } /* else LAST TOUCH of `before`: the finisher may have resumed it */
}

bool wf_task_unwatch(struct wf_task *task, struct wf_awaiter *awaiter)
{
    struct wf_awaiter *untold = NULL;
    struct wf_scope *owner = task->env.scope;
    if (wf_task_is_done(task)) {
        return false;
    }
    wf_lock(&owner->lock); /* for want of a lock in the task: removals are rare */
    bool removed = wf_awaiters_remove(&task->waiters, awaiter, &untold);
    wf_unlock(&owner->lock);
    if (untold != NULL) {
        wf_awaiters_tell(untold, wf_task_outcome(task));
    }
    return removed;
}

void wf_env_sign(struct wf_fiber *self)
{
    wf_deque_sign(&self->worker->deque, (uintptr_t)self->env);
}

bool wf_task_run_in_place(struct wf_fiber *self, struct wf_task *task)
{
    struct wf_worker *worker = self->worker;
    if (!wf_worker_has_spare(worker) || wf_stack_left(self) < WF_INLINE_STACK_MIN ||
        !wf_deque_take_if(&worker->deque, &task->work)) {
        return false;
    }
    wf_deque_step(&worker->deque);
    if (wf_unlikely(wf_deque_has_private(&worker->deque))) {
        wf_env_sign(self); /* its body runs under another */
    }
    int rc = run_body(self, task, self->env, wf_fiber_home(self));
    if (wf_unlikely(task->kind == WF_TASK_FOLLOWING)) {
        settle_following(task, rc);
        return true;
    }
    struct wf_outcome outcome;
    struct wf_awaiter *awaiters = publish_done(task, rc, &outcome);
    if (wf_unlikely(awaiters != NULL)) {
        wf_awaiters_tell(awaiters, outcome);
    }
    return true;
}

/* The task that cannot end before this one has: it spawned it, or opened the scope that owns it.
 * NULL: none, the owner is the root. */
static struct wf_task *parent_of(struct wf_task *task)
{
    struct wf_env *spawner = wf_load_relaxed(&task->spawner); /* relaxed: see weft_spawn_ */
    if (spawner != NULL) {
        return spawner->task;
    }
    struct wf_scope *owner = task->env.scope;
    if (owner->env.task != task) {
        return owner->env.task;
    }
    return owner->outer != NULL ? owner->outer->task : NULL; /* a producer's scope is its own */
}

bool wf_task_would_deadlock(const struct wf_env *env, struct wf_task *task)
{
    /* relaxed: only compared */
    if (wf_load_relaxed(&task->spawner) == env || wf_task_is_done(task)) {
        return false; /* mostly: what was spawned here is no ancestor */
    }
    struct wf_task *waiter = env->task;
    for (int i = 0; i < WF_ANCESTORS_MAX && waiter != NULL; i++) {
        if (waiter == task) {
            return true;
        }
        waiter = parent_of(waiter);
    }
    return false;
}

/* 0, or -EDEADLK or -EINVAL and it has not waited. What can be run in place has not begun, and is
 * nobody's ancestor. */
static int wait_done(struct wf_fiber *self, struct wf_task *task)
{
    if (wf_task_run_in_place(self, task) || wf_task_is_done(task)) {
        return 0;
    }
    if (wf_unlikely(task->place == NULL)) {
        wf_misuse("a task is awaited that was never started: its memory is zero");
        return -EINVAL;
    }
    if (wf_unlikely(wf_task_would_deadlock(self->env, task))) {
        return -EDEADLK;
    }
    struct stack_awaiter waiting = {{.ended = stack_ended}, .fiber = self, .task = task};
    self->waits_for = WF_WAITS_TASK;
    self->waits_at = task;
    wf_suspend(self, after_await, &waiting);
    self->waits_for = NULL;
    /* acquires the result, in every build: after_await may have been turned back */
    bool done = wf_task_is_done(task);
    wf_check_inner(done);
    (void)done;
    return 0;
}

/* The first await by the task that spawned it (by whichever of its strands) takes it off the
 * account. Another awaiter must not follow `spawner`: whoever spawned it may have awaited it, and
 * returned, meanwhile. */
static void settle_spawner(struct wf_task *awaiter, struct wf_task *task)
{
    struct wf_env *spawner = wf_load_relaxed(&task->spawner); /* relaxed: see weft_spawn_ */
    if (spawner != NULL && task->spawner_task == awaiter &&
        wf_cas_relaxed(&task->spawner, &spawner, NULL)) {
        (void)wf_sub_relaxed(&spawner->unawaited, 1);
    }
}

weft_error *wf_task_collect(struct wf_task *task, struct wf_task *awaiter)
{
    settle_spawner(awaiter, task);
    return wf_error_take(task);
}

/* Waits for the task. Its result, and in *error its record, which is the caller's now: the first
 * awaiter gets it. */
WF_INLINE int wait_and_collect(struct wf_fiber *self, struct wf_task *task, weft_error **error)
{
    *error = NULL;
    int rc = wf_task_is_done(task) ? 0 : wait_done(self, task);
    if (wf_unlikely(rc < 0)) {
        return rc;
    }
    *error = wf_task_collect(task, self->env->task);
    if (wf_unlikely(task->rc < 0)) {
        *error = wf_error_of(task, task->rc, *error);
    }
    return task->rc;
}

int weft_await_(weft_task *handle, const weft_place *place)
{
    int rc = 0;
    struct wf_fiber *self = wf_enter_task(&rc);
    if (wf_unlikely(self == NULL)) {
        return rc;
    }
    weft_error *error;
    rc = wait_and_collect(self, wf_task_of(handle), &error);
    if (wf_likely(rc >= 0)) {
        wf_error_free(error);
    } else {
        wf_error_hand_on(self->env->task, error, place);
    }
    return rc;
}

void weft_ignore(weft_task *handle)
{
    int rc = 0;
    struct wf_fiber *self = wf_enter_task(&rc);
    if (self != NULL) {
        weft_error *error;
        (void)wait_and_collect(self, wf_task_of(handle), &error);
        wf_error_free(error);
    }
}

int weft_status(const weft_task *handle)
{
    struct wf_task *task = wf_task_of(handle);
    if (wf_unlikely(wf_forked)) {
        return -ENOSYS;
    }
    return wf_task_is_done(task) ? task->rc : -EINPROGRESS;
}

/* --- pooled tasks ----------------------------------------------------------------------------- */

/* The smallest class that holds the task and its argument. WEFT_GO_ARG_MAX fits the largest. */
WF_INLINE struct wf_slab *frames_for(struct wf_worker *worker, size_t arg_bytes)
{
    struct wf_slab *slab = worker->frames;
    while (slab->object_bytes < sizeof(struct wf_task) + arg_bytes) { /* ends: see pool.c */
        slab++;
    }
    return slab;
}

/* wf_scope_enter, tried in line. False: not entered, for whatever reason. */
WF_INLINE bool try_enter(struct wf_scope *scope)
{
    uint64_t live =
        wf_load_relaxed(&scope->live); /* relaxed, both: see there; ENDED comes with 0 */
    return wf_likely((uint32_t)live != 0 && wf_scope_cancelled(scope) == 0 &&
                     wf_cas_relaxed(&scope->live, &live, live + 1));
}

/* Is the frame as a task left it that had nothing of its own in it at its end? Fresh ones are zero.
 * Most of a task is the same for all that lie in the frame, one after the other: 6 words are
 * written instead of 26. */
WF_INLINE bool is_initialised(struct wf_task *task)
{
    return task->env.task == task;
}

/* What weft_go_ relies on. */
static void check_frame(struct wf_fiber *self, struct wf_task *task)
{
    /* relaxed, all: not shared */
    wf_check_inner(wf_load_relaxed(&task->waiters.word) == WF_TASK_RUNNING);
    wf_check_inner(wf_load_relaxed(&task->env.slot.word) == WF_SLOT_UNLISTED);
    wf_check_inner(wf_load_relaxed(&task->env.unawaited) == 0);
    wf_check_inner(task->kind == WF_TASK_POOLED && task->rc == -EINPROGRESS);
    wf_check_inner(task->arg == task + 1 && task->rt == wf_runtime_of(self));
    wf_check_inner(wf_load_relaxed(&task->touched) == 0 && wf_load_relaxed(&task->cancel) == 0);
    wf_check_inner(wf_load_relaxed(&task->has_bound) == 0 && wf_load_relaxed(&task->error) == NULL);
    wf_check_inner(wf_load_relaxed(&task->spawner) == NULL && task->spawner_task == NULL);
    wf_check_inner(wf_load_relaxed(&task->name) == NULL && wf_load_relaxed(&task->called) == 0);
    wf_check_inner(task->base_waits == 0 && task->base_scopes == 0);
    wf_check_inner(wf_load_relaxed(&task->reads_more) == 0);
    for (int i = 0; i < WF_READS_KNOWN; i++) {
        wf_check_inner(wf_load_relaxed(&task->reads[i]) == NULL);
    }
    (void)self, (void)task;
}

static WF_COLD void init_frame(struct wf_fiber *self, struct wf_task *task)
{
    init(task, wf_runtime_of(self), NULL, task + 1, NULL, WF_TASK_POOLED, NULL);
}

static void fill_frame(struct wf_task *task, struct wf_scope *scope, weft_fn *fn,
                       const weft_place *place)
{
    task->work.run = pooled_run;
    task->env.scope = scope;
    task->env.locals = scope->env.locals;
    task->fn = fn;
    task->place = place;
}

/* The scope has been entered. `task`: its frame; or NULL: one has to be had. */
static WF_NOINLINE int go_entered(weft_scope *handle, weft_fn *fn, const void *arg, size_t bytes,
                                  const weft_place *place, struct wf_task *task)
{
    struct wf_scope *scope = wf_scope_of(handle);
    struct wf_fiber *self = wf_self();
    int rc;
    if (task == NULL && (task = wf_slab_take_bare(frames_for(self->worker, bytes))) == NULL) {
        wf_scope_leave(scope);
        return -ENOMEM;
    }
    if (!is_initialised(task)) {
        init_frame(self, task);
    }
    check_frame(self, task);
    fill_frame(task, scope, fn, place);
    if (bytes != 0) { /* without one `arg` may be NULL */
        memcpy(task + 1, arg, bytes);
    }
    if (scope->each.max != 0) {
        task->work.run = each_run;
        if ((rc = wf_each_enter(scope)) < 0) {
            give_frame(self->worker, task);
            wf_scope_leave(scope);
            return rc;
        }
    }
    start_queued(self, &task->work);
    return 0;
}

/* weft_go in all cases but the most frequent. */
static WF_NOINLINE int go_otherwise(weft_scope *handle, weft_fn *fn, const void *arg, size_t bytes,
                                    const weft_place *place)
{
    int rc = 0;
    struct wf_fiber *self = wf_enter_task(&rc);
    if (self == NULL) {
        return rc;
    }
    if (bytes > WEFT_GO_ARG_MAX) {
        return -E2BIG;
    }
    if (wf_unlikely(wf_deque_is_full_(&self->worker->deque))) {
        wf_yield_full(self); /* bounds what is queued: some of it is run before we add more */
    }
    rc = wf_scope_enter(wf_scope_of(handle));
    return rc < 0 ? rc : go_entered(handle, fn, arg, bytes, place, NULL);
}

/* Straight, and without a call, if a pointer is copied, there is room, and the frame that is free
 * since just now will do. */
int weft_go_(weft_scope *handle, weft_fn *fn, const void *arg, size_t bytes,
             const weft_place *place)
{
    struct wf_scope *scope = wf_scope_of(handle);
    struct wf_fiber *self = wf_self();
    if (wf_unlikely(self == NULL || self->env == NULL || bytes != sizeof(void *))) {
        return go_otherwise(handle, fn, arg, bytes, place);
    }
    struct wf_worker *worker = self->worker;
    if (wf_unlikely(!wf_deque_may_put(&worker->deque) || scope->each.max != 0 ||
                    worker->pool != wf_runtime_of(self)->pool || !try_enter(scope))) {
        return go_otherwise(handle, fn, arg, bytes, place);
    }
    struct wf_task *task = wf_slab_take_last(&worker->frames[0]);
    if (wf_unlikely(task == NULL || !is_initialised(task))) {
        return go_entered(handle, fn, arg, bytes, place, task);
    }
    check_frame(self, task);
    fill_frame(task, scope, fn, place);
    memcpy(task + 1, arg, sizeof(void *));
    wf_deque_put(&worker->deque, &task->work);
    if (wf_unlikely(!wf_watchers_is_quiet(&worker->pool->watchers))) {
        wf_wake_unless_watched(worker); /* which asks once more, and more */
    }
    return 0;
}
