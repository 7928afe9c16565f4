/* scope.c: owning tasks, and the tree in which cancellation goes down.
 *
 * Each open scope is linked in its parent's `children`, so a walk from a cancelled scope reaches
 * every scope below it and every call that waits there. The flags are pushed down, so that looking
 * whether one is cancelled is one load. The walk locks a scope before it leaves its parent's lock:
 * a scope cannot be closed, and its memory not go away, while a walk is in it, because closing
 * takes the parent's lock.
 *
 * Why the flags are read without the lock: cancellation is level-triggered. A call that misses a
 * flag which is being set finds it under the lock in wf_wait_enlist, or has its wait found by the
 * walk; there is no third case, because both hold the scope's lock. */
#include "pool/base/check.h"
#include "pool/base/sys.h"
#include "src/value.h"

/* --- firing ----------------------------------------------------------------------------------- */

static const char *why_of(uint32_t bits, const char *why)
{
    if (why != NULL) {
        return why;
    }
    return (bits & WF_CANCEL_EXPIRED) != 0 ? "deadline" : "cancelled";
}

/* Under the scope's lock. Whether any of the bits is news. */
static bool mark_locked(struct wf_scope *scope, uint32_t bits, const char *why)
{
    uint32_t had = wf_load_relaxed(&scope->cancel); /* relaxed: the lock orders the writers */
    if ((had & bits) == bits) {
        return false;
    }
    if (scope->why == NULL) {
        scope->why = why;
    }
    wf_store_relaxed(&scope->cancel, had | bits); /* relaxed: see the head of this file */
    struct wf_list *node = scope->waits.next;
    while (node != &scope->waits) { /* ends: nobody enlists while we hold the lock */
        struct wf_wait *wait = wf_container_of(node, struct wf_wait, in_scope);
        node = node->next;
        /* claims or asks the kernel; the waiter takes the lock before it returns */
        wait->ops->cancel(wait);
    }
    return true;
}

/* Down the tree in preorder, with every scope on the path from `root` locked: no recursion, no
 * memory. */
static void push_down_locked(struct wf_scope *root, uint32_t bits)
{
    struct wf_scope *scope = root;
    struct wf_list *next = scope->children.next;
    for (;;) { /* ends: each scope is entered once, and the tree is locked on the path */
        if (next != &scope->children) {
            struct wf_scope *child = wf_container_of(next, struct wf_scope, sibling);
            wf_lock(&child->lock);
            if (mark_locked(child, bits, root->why)) {
                scope = child;
                next = child->children.next;
            } else {
                wf_unlock(&child->lock); /* it has them already, and so has all below it */
                next = next->next;
            }
        } else {
            if (scope == root) {
                return;
            }
            struct wf_scope *parent = scope->parent;
            next = scope->sibling.next;
            wf_unlock(&scope->lock);
            scope = parent;
        }
    }
}

int wf_scope_fire(struct wf_scope *scope, uint32_t bits, const char *why)
{
    wf_lock(&scope->lock);
    bool first = scope->own_cause == 0;
    if (first) {
        scope->own_cause = bits;
    }
    if (mark_locked(scope, bits, why_of(bits, why))) {
        push_down_locked(scope, bits);
    }
    wf_unlock(&scope->lock);
    return first ? 0 : -EALREADY;
}

/* --- one task alone --------------------------------------------------------------------------- */

/* The task that spawned this one, if that may have been cancelled alone too: it runs under its own
 * env, not under a scope of its own, which would have the flags. It is there until it has awaited
 * this one. */
static struct wf_task *spawner_of(struct wf_task *task)
{
    struct wf_env *env =
        wf_load_relaxed(&task->spawner); /* relaxed: set before the task was queued */
    return env != NULL && wf_env_is_base(env) ? env->task : NULL;
}

uint32_t wf_env_cancelled_alone(struct wf_env *env)
{
    uint32_t bits = 0;
    if (wf_env_is_base(env)) { /* else the word of a scope that it opened says all */
        for (struct wf_task *task = env->task; task != NULL; task = spawner_of(task)) {
            bits |= wf_load_relaxed(&task->cancel); /* relaxed: level-triggered, as the scope's */
        }
    }
    return bits;
}

static const char *why_alone(struct wf_env *env)
{
    for (struct wf_task *task = env->task; task != NULL; task = spawner_of(task)) {
        if (wf_load_relaxed(&task->cancel) != 0) { /* relaxed: under the lock of its writers */
            return task->why;
        }
    }
    return NULL;
}

/* Does what waits or is open under `env` belong to the task, or to one that it spawned? */
static bool is_of_task(struct wf_env *env, const struct wf_task *task)
{
    if (!wf_env_is_base(env)) {
        return false;
    }
    struct wf_task *of = env->task;
    while (of != NULL && of != task) { /* ends: spawners form a tree */
        of = spawner_of(of);
    }
    return of == task;
}

static void cancel_waits_of_locked(struct wf_scope *owner, struct wf_task *task)
{
    /* relaxed, both: a task that it spawns meanwhile looks at the flag under this lock before it
     * waits */
    if (task->base_waits == 1 && wf_load_relaxed(&task->env.unawaited) == 0 &&
        wf_load_relaxed(&task->has_bound) == 0) {
        task->base_wait->ops->cancel(task->base_wait);
        return;
    }
    struct wf_list *node = owner->waits.next;
    while (node != &owner->waits) { /* ends: nobody enlists while we hold the lock */
        struct wf_wait *wait = wf_container_of(node, struct wf_wait, in_scope);
        node = node->next;
        if (is_of_task(wait->env, task)) {
            wait->ops->cancel(wait);
        }
    }
}

/* `child` is cancelled from above, under its parent's lock. */
static void fire_child_locked(struct wf_scope *child, const char *why)
{
    wf_lock(&child->lock);
    if (mark_locked(child, WF_CANCEL_FIRED, why)) {
        push_down_locked(child, WF_CANCEL_FIRED);
    }
    wf_unlock(&child->lock);
}

void wf_task_cancel(struct wf_task *task, const char *why)
{
    struct wf_scope *owner = task->env.scope;
    wf_lock(&owner->lock);
    /* relaxed, all: written under this lock only */
    if (wf_load_relaxed(&task->cancel) == 0) {
        wf_store_relaxed(&task->cancel, WF_CANCEL_FIRED);
        task->why = why;
        wf_store_relaxed(&owner->cancel, wf_load_relaxed(&owner->cancel) | WF_CANCEL_MEMBER);
        cancel_waits_of_locked(owner, task);
        for (struct wf_list *node = owner->children.next; node != &owner->children;
             node = node->next) {
            struct wf_scope *child = wf_container_of(node, struct wf_scope, sibling);
            if (is_of_task(child->outer, task)) {
                fire_child_locked(child, why);
            }
        }
    }
    wf_unlock(&owner->lock);
}

static void deadline_passed(struct wf_timer *timer)
{
    (void)wf_scope_fire(wf_container_of(timer, struct wf_scope, timer), WF_CANCEL_EXPIRED, NULL);
}

/* --- members ---------------------------------------------------------------------------------- */

int wf_scope_enter(struct wf_scope *scope)
{
    uint32_t live = wf_load_relaxed(&scope->live); /* a guess for the compare-and-swap */
    do {                                           /* never from 0: that scope's end is under way */
        if (live == 0 || (live & WF_SCOPE_ENDED) != 0 || wf_scope_cancelled(scope) != 0) {
            return -ECANCELED;
        }
        /* Relaxed: the hold orders nothing; what the task needs is published with the task. */
    } while (!wf_cas_relaxed(&scope->live, &live, live + 1));
    return 0;
}

void wf_scope_leave(struct wf_scope *scope)
{
    /* sync(scope.leave): acq_rel, what members did is seen by whoever ends the scope; pairs
     * sync(scope.leave), sync(scope.let_go) */
    if (wf_sub_acq_rel(&scope->live, 1) != 1) {
        return; /* LAST TOUCH */
    }
    if (scope->parent == NULL) {
        wf_runtime_quiet(scope);
    } else {
        wf_wait_resume(&scope->joiner->resume); /* LAST TOUCH */
    }
}

void wf_scope_task_failed(struct wf_scope *scope, int rc, weft_error *error)
{
    bool fire = false;
    wf_lock(&scope->lock);
    if (rc == -ECANCELED && wf_scope_cancelled(scope) != 0) {
        scope->cut_short = 1;
    } else {
        wf_failures_add(&scope->failures, rc, error);
        error = NULL;
        fire = scope->on_error == WEFT_FAIL_FAST;
    }
    wf_unlock(&scope->lock);
    wf_error_free(error);
    if (fire) {
        (void)wf_scope_fire(scope, WF_CANCEL_FIRED, "a task failed");
    }
}

/* --- open, close ------------------------------------------------------------------------------ */

static void init_common(struct wf_scope *scope, const weft_place *place)
{
    *scope = (struct wf_scope){.place = place, .deadline_ns = INT64_MAX, .open = 1};
    wf_list_init(&scope->children);
    wf_list_init(&scope->waits);
    wf_list_init(&scope->sibling);
    wf_timer_init(&scope->timer, deadline_passed);
    wf_store_relaxed(&scope->live, 1); /* relaxed: not shared yet */
    scope->env.scope = scope;
}

void wf_scope_init_root(struct wf_scope *scope, const weft_place *place)
{
    init_common(scope, place);
    scope->on_error = WEFT_CONTINUE;
}

/* The parent's flags are taken over under its lock, so that none is missed and none pushed down
 * twice. */
static void link_to_parent(struct wf_scope *scope, struct wf_env *outer)
{
    struct wf_scope *parent = outer->scope;
    scope->parent = parent;
    wf_lock(&parent->lock);
    wf_list_push_back(&parent->children, &scope->sibling);
    /* Relaxed: nobody else can reach the child but under the parent's lock. */
    wf_store_relaxed(&scope->cancel, wf_env_cancelled(outer));
    scope->why = parent->why;
    wf_unlock(&parent->lock);
}

void wf_scope_open(struct wf_fiber *self, struct wf_scope *scope, int on_error, weft_time timeout,
                   const weft_place *place)
{
    init_common(scope, place);
    struct wf_env *outer = self->env;
    scope->on_error = (uint8_t)on_error;
    scope->outer = outer;
    scope->env.task = outer->task;
    scope->env.locals = outer->locals;
    link_to_parent(scope, outer);
    scope->deadline_ns = outer->scope->deadline_ns;
    self->env = &scope->env;
    if (timeout == WEFT_FOREVER) {
        return;
    }
    int64_t deadline_ns;
    int64_t now_ns = wf_sys.now_ns();
    if (!__builtin_add_overflow(now_ns, timeout, &deadline_ns) &&
        deadline_ns < scope->deadline_ns) {
        scope->deadline_ns = deadline_ns;
        if (timeout <= 0) {
            (void)wf_scope_fire(scope, WF_CANCEL_EXPIRED, NULL);
        } else {
            wf_timer_add(&self->worker->wheel, &scope->timer, deadline_ns);
        }
    }
}

/* On the next stack: the owner lets go. If it was the last, it goes on at once. */
static void after_let_go(struct wf_fiber *now, struct wf_fiber *before, void *arg)
{
    struct wf_scope *scope = arg;
    /* sync(scope.let_go): release, the joiner's saved context, and acquire, what the members did;
     * pairs sync(scope.leave) */
    if (wf_sub_acq_rel(&scope->live, 1) == 1) {
        wf_switch_back(now, before);
    }
}

void wf_scope_close(struct wf_fiber *self, struct wf_scope *scope)
{
    uint32_t alone = 1;
    /* sync(scope.alone): acquire, what members did before they left; pairs sync(scope.leave) */
    if (!wf_cas_acquire(&scope->live, &alone, WF_SCOPE_ENDED)) {
        scope->joiner = self;
        self->waits_for = WF_WAITS_SCOPE;
        self->waits_at = scope;
        wf_suspend(self, after_let_go, scope);
        self->waits_for = NULL;
        /* sync(scope.joined): acquire, in every build, what the members did; pairs
         * sync(scope.leave) */
        (void)wf_load_acquire(&scope->live);
    }
    (void)wf_timer_del(&scope->timer);
    wf_lock(&scope->parent->lock);
    wf_list_unlink(&scope->sibling);
    wf_unlock(&scope->parent->lock);
    /* A walk that came through the parent is over: it held the parent's lock all the time. A cancel
     * call of this very scope may still be inside: wait for it. */
    wf_lock(&scope->lock);
    scope->open = 0;
    bool left_over = !wf_list_is_empty(&scope->waits);
    wf_unlock(&scope->lock);
    if (wf_unlikely(left_over)) {
        wf_values_collect(self, scope);
    }
    /* relaxed: whoever enters late is not ordered with us anyway */
    wf_store_relaxed(&scope->live, WF_SCOPE_ENDED);
    self->env = scope->outer;
}

/* --- public ----------------------------------------------------------------------------------- */

/* NULL: no scope can be opened here, and in a forked child (where every call inside it says so)
 * that is no misuse. */
static struct wf_fiber *enter_open(const weft_place *place)
{
    int rc = 0;
    struct wf_fiber *self = wf_enter_task(&rc);
    if (self == NULL && rc != -ENOSYS) {
        wf_misuse("%s:%d: a scope or deadline opened outside a task", place->file, place->line);
    }
    return self;
}

void weft_scope_begin_(weft_scope *handle, const weft_scope_opts *opts, const weft_place *place)
{
    static const weft_scope_opts defaults;
    struct wf_scope *scope = wf_scope_of(handle);
    scope->open = 0;
    struct wf_fiber *self = enter_open(place);
    if (self == NULL) {
        return;
    }
    opts = opts != NULL ? opts : &defaults;
    wf_scope_open(self, scope, opts->on_error, opts->timeout == 0 ? WEFT_FOREVER : opts->timeout,
                  place);
}

/* The fiber, if `scope` is the one that must be closed next by this code; else NULL and the code to
 * return. */
static struct wf_fiber *enter_close(struct wf_scope *scope, int *rc)
{
    struct wf_fiber *self = wf_enter_task(rc);
    if (self == NULL && *rc == -ENOSYS) {
        return NULL;
    }
    if (self == NULL || self->env != &scope->env) {
        wf_misuse("the scope opened at %s:%d is closed out of order, or by another task",
                  scope->place->file, scope->place->line);
        *rc = -EINVAL;
        return NULL;
    }
    if (wf_unlikely(wf_env_has_unawaited(self, &scope->env))) {
        wf_misuse("the scope opened at %s:%d ends while a task spawned in it has not been awaited",
                  scope->place->file, scope->place->line);
    }
    return self;
}

/* Of a closed scope: its own deadline makes the cancellation a time-out, unless an outer scope is
 * cancelled too. */
static int code_of_cancel(const struct wf_scope *scope)
{
    return scope->own_cause == WF_CANCEL_EXPIRED && wf_scope_cancelled(scope->parent) == 0
               ? -ETIME
               : -ECANCELED;
}

int weft_scope_end_(weft_scope *handle, const weft_place *place)
{
    struct wf_scope *scope = wf_scope_of(handle);
    if (!scope->open) {
        return 0;
    }
    int rc = 0;
    struct wf_fiber *self = enter_close(scope, &rc);
    if (self == NULL) {
        return rc;
    }
    wf_scope_close(self, scope);
    if (scope->failures.first_rc < 0) {
        wf_error_hand_on(scope->env.task, wf_failures_take(&scope->failures), place);
        return scope->failures.first_rc;
    }
    return scope->cut_short ? code_of_cancel(scope) : 0;
}

void weft_scope_cleanup_(weft_scope *handle)
{
    struct wf_scope *scope = wf_scope_of(handle);
    if (scope->open && !wf_forked) {
        (void)wf_scope_fire(scope, WF_CANCEL_FIRED, "its function returned");
        int rc = 0;
        struct wf_fiber *self = enter_close(scope, &rc);
        if (self != NULL) {
            wf_scope_close(self, scope);
            wf_fault_scope(wf_runtime_of(self), &scope->failures);
        }
    }
}

int weft_scope_cancel(weft_scope *handle, const char *why)
{
    return wf_forked ? -ENOSYS : wf_scope_fire(wf_scope_of(handle), WF_CANCEL_FIRED, why);
}

size_t weft_scope_count(const weft_scope *handle)
{
    /* Relaxed: a snapshot. The owner's hold does not count. */
    uint32_t live = wf_load_relaxed(&wf_scope_of(handle)->live);
    return (live & WF_SCOPE_ENDED) != 0 || live == 0 ? 0 : live - 1;
}

void weft_within_begin_(weft_scope *handle, weft_time duration, const weft_place *place)
{
    struct wf_scope *scope = wf_scope_of(handle);
    scope->open = 0;
    struct wf_fiber *self = enter_open(place);
    if (self == NULL) {
        return;
    }
    wf_scope_open(self, scope, WEFT_FAIL_FAST, duration, place);
}

ssize_t weft_within_end_(weft_scope *handle, ssize_t value)
{
    struct wf_scope *scope = wf_scope_of(handle);
    if (!scope->open) {
        return value;
    }
    int rc = 0;
    struct wf_fiber *self = enter_close(scope, &rc);
    if (self == NULL) {
        return rc;
    }
    wf_scope_close(self, scope);
    return value == -ECANCELED ? code_of_cancel(scope) : value;
}

/* The deadline has passed, but its timer has not fired yet: the worker that has it is busy, perhaps
 * with us. */
static WF_COLD int expire_late(struct wf_scope *scope)
{
    while (scope->parent->deadline_ns == scope->deadline_ns) { /* ends: a root has no deadline */
        scope = scope->parent;
    }
    (void)wf_scope_fire(scope, WF_CANCEL_EXPIRED, NULL);
    return -ECANCELED;
}

int weft_check(void)
{
    int rc = 0;
    struct wf_fiber *self = wf_enter_task(&rc);
    if (self == NULL) {
        return rc == -ENOSYS ? rc : 0;
    }
    struct wf_scope *scope = self->env->scope;
    if (wf_env_cancelled(self->env) != 0) {
        return -ECANCELED;
    }
    if (scope->deadline_ns != INT64_MAX && wf_sys.now_ns() >= scope->deadline_ns) {
        return expire_late(scope);
    }
    return 0;
}

const char *weft_why(void)
{
    int rc = 0;
    struct wf_fiber *self = wf_enter_task(&rc);
    if (self == NULL || wf_env_cancelled(self->env) == 0) {
        return NULL;
    }
    struct wf_scope *scope = self->env->scope;
    wf_lock(&scope->lock);
    const char *why = scope->why != NULL ? scope->why : why_alone(self->env);
    wf_unlock(&scope->lock);
    return why;
}

weft_time weft_remaining(void)
{
    int rc = 0;
    struct wf_fiber *self = wf_enter_task(&rc);
    if (self == NULL || self->env->scope->deadline_ns == INT64_MAX) {
        return WEFT_FOREVER;
    }
    int64_t left = self->env->scope->deadline_ns - wf_sys.now_ns();
    return left > 0 ? left : 0;
}
