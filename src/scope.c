/* scope.c: owning tasks: opening and closing a scope, its members, its deadline. How a cancellation
 * goes down is in walk.c.
 *
 * Each open scope is linked in its parent's list, so a walk from a cancelled scope reaches every
 * scope below it and every call that waits there. The flags are pushed down, so that looking
 * whether one is cancelled is one load.
 *
 * A deadline is a timer, which fires under the lock of its wheel. It only pins the scope and queues
 * a message to the worker, which then cancels: a walk may take long and runs callbacks.
 *
 * A shield is a scope that takes no flags over from its parent, and that walks pass by, until its
 * grace is over (wf_scope_lift). Inside, the outer deadlines are not before that. */
#include "pool/base/check.h"
#include "pool/base/sys.h"
#include "src/value.h"

/* --- deadline --------------------------------------------------------------------------------- */

static void expire(struct wf_scope *scope)
{
    weft_reason reason = wf_reason(WEFT_WHY_DEADLINE, "deadline", scope->place);
    (void)wf_scope_fire(scope, WF_CANCEL_EXPIRED, &reason);
}

/* The scope's own time has come. The caller pins it. */
static void time_is_up(struct wf_scope *scope)
{
    if (scope->is_shield) {
        wf_scope_lift(scope);
    } else {
        expire(scope);
    }
}

static void run_late(struct wf_fiber *self, struct wf_work *work)
{
    (void)self;
    struct wf_scope *scope = wf_container_of(work, struct wf_scope, late);
    time_is_up(scope);
    wf_scope_unpin(scope); /* LAST TOUCH */
}

static void deadline_passed(struct wf_timer *timer)
{
    struct wf_scope *scope = wf_container_of(timer, struct wf_scope, timer);
    if (wf_scope_pin(scope)) {
        wf_post(wf_self()->worker, &scope->late);
    }
}

/* --- members ---------------------------------------------------------------------------------- */

int wf_scope_enter_many(struct wf_scope *scope, uint32_t count)
{
    uint64_t live = wf_load_relaxed(&scope->live); /* a guess for the compare-and-swap */
    do {                                           /* never from 0: that scope's end is under way */
        if ((uint32_t)live == 0 || (live & WF_SCOPE_ENDED) != 0 || wf_scope_cancelled(scope) != 0) {
            return -ECANCELED;
        }
        /* Relaxed: the hold orders nothing; what the task needs is published with the task. */
    } while (!wf_cas_relaxed(&scope->live, &live, live + count));
    return 0;
}

int wf_scope_enter(struct wf_scope *scope)
{
    return wf_scope_enter_many(scope, 1);
}

void wf_scope_emptied(struct wf_scope *scope)
{
    if (scope->parent == NULL) {
        wf_runtime_quiet(scope);
    } else {
        wf_wait_resume(&scope->joiner->resume); /* LAST TOUCH */
    }
}

void wf_scope_leave(struct wf_scope *scope)
{
    wf_scope_let_go(scope, 1);
}

void wf_scope_leave_many(struct wf_scope *scope, uint32_t count)
{
    wf_scope_let_go(scope, count);
}

bool wf_scope_pin(struct wf_scope *scope)
{
    uint64_t live = wf_load_relaxed(&scope->live); /* a guess for the compare-and-swap */
    do {                                           /* never from 0: that scope's end is under way */
        if (live == 0 || (live & WF_SCOPE_ENDED) != 0) {
            return false;
        }
        /* Relaxed: the hold orders nothing; a lock does, under which the scope was found. */
    } while (!wf_cas_relaxed(&scope->live, &live, live + WF_SCOPE_PIN));
    return true;
}

void wf_scope_unpin(struct wf_scope *scope)
{
    wf_scope_let_go(scope, WF_SCOPE_PIN);
}

void wf_scope_task_failed(struct wf_scope *scope, int rc, weft_error *error)
{
    if (rc == -ECANCELED && wf_scope_cancelled(scope) != 0) {
        /* Relaxed, both: for the owner, when the task has left. A store for all of them, and not
         * one for each: many end at once. */
        if (wf_load_relaxed(&scope->cut_short) == 0) {
            wf_store_relaxed(&scope->cut_short, 1);
        }
        wf_error_free(error);
        return;
    }
    const weft_place *place = wf_error_place(error, scope->place);
    wf_lock(&scope->lock);
    wf_failures_add(&scope->failures, rc, error);
    bool fire = scope->on_error == WEFT_FAILFAST;
    wf_unlock(&scope->lock);
    if (fire) {
        weft_reason reason = wf_reason(WEFT_WHY_FAILURE, "a task failed", place);
        (void)wf_scope_fire(scope, WF_CANCEL_FIRED, &reason);
    }
}

/* --- open, close ------------------------------------------------------------------------------ */

/* Field by field: most of a scope is for what few scopes do, and need not be cleared (30 ns of 180
 * for a weft_within). Left as they are: `under` but for its state, and `each` but for its max. */
static void init_common(struct wf_scope *scope, const weft_place *place)
{
    scope->env.task = NULL;
    scope->env.scope = scope;
    scope->env.locals = NULL;
    wf_slot_set(&scope->env.slot, WF_SLOT_FREE);
    wf_store_relaxed(&scope->env.unawaited, 0); /* relaxed, here and below: not shared yet */
    scope->outer = NULL;
    scope->place = place;
    scope->lock = (struct wf_lock){0};
    wf_store_relaxed(&scope->cancel, 0);
    wf_list_init(&scope->children);
    wf_list_init(&scope->visit);
    wf_list_init(&scope->waiters);
    wf_list_init(&scope->waits);
    wf_list_init(&scope->ended);
    wf_list_init(&scope->loans);
    wf_list_init(&scope->sibling);
    scope->shielded = 0;
    scope->parent = NULL;
    scope->node = (struct wf_node){.next = NULL};
    wf_list_init(&scope->node.callbacks);
    scope->reason = (weft_reason){WEFT_WHY_NONE, "not cancelled", place, 0};
    scope->own_cause = 0;
    wf_store_relaxed(&scope->cut_short, 0);
    scope->on_error = 0;
    scope->open = 1;
    scope->is_shield = 0;
    scope->is_around_expression = 0;
    scope->failures = (struct wf_failures){0};
    scope->deadline_ns = INT64_MAX;
    wf_store_relaxed(&scope->live, 1);
    scope->joiner = NULL;
    wf_timer_init(&scope->timer, deadline_passed);
    scope->late = (struct wf_work){.run = run_late};
    wf_store_relaxed(&scope->under.state, WF_REG_OFF);
    scope->each.max = 0;
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
    scope->is_base = wf_env_is_base(outer);
    if (scope->is_base) { /* a sum of 0 would be stored under another lock than others' sums */
        outer->task->base_scopes++;
    }
    uint32_t cancelled = scope->shielded ? 0 : wf_env_cancelled(outer);
    if (wf_unlikely(cancelled != 0)) {
        /* Relaxed: nobody else can reach the child but under the parent's lock. */
        wf_store_relaxed(&scope->cancel, cancelled);
        scope->reason = *wf_env_reason(outer);
    }
    wf_unlock(&parent->lock);
}

static void open_inside(struct wf_fiber *self, struct wf_scope *scope)
{
    struct wf_env *outer = self->env;
    scope->outer = outer;
    scope->env.task = outer->task;
    scope->env.locals = outer->locals;
    link_to_parent(scope, outer);
    scope->deadline_ns = outer->scope->deadline_ns;
    wf_env_enter(self, &scope->env);
}

void wf_scope_open(struct wf_fiber *self, struct wf_scope *scope, int on_error, weft_time timeout,
                   const weft_place *place)
{
    init_common(scope, place);
    scope->on_error = (uint8_t)on_error;
    open_inside(self, scope);
    if (timeout == WEFT_FOREVER) {
        return;
    }
    int64_t deadline_ns;
    int64_t now_ns = wf_sys.now_ns();
    timeout = timeout > 0 ? timeout : 0; /* so that the time left cannot overflow either */
    if (!__builtin_add_overflow(now_ns, timeout, &deadline_ns) &&
        deadline_ns < scope->deadline_ns) {
        scope->deadline_ns = deadline_ns;
        if (timeout == 0) {
            expire(scope);
        } else {
            wf_timer_add(&self->worker->wheel, &scope->timer, deadline_ns);
        }
    }
}

void wf_scope_open_shield(struct wf_fiber *self, struct wf_scope *scope, weft_time grace,
                          const weft_place *place)
{
    init_common(scope, place);
    scope->on_error = WEFT_FAILFAST;
    scope->is_shield = 1;
    scope->is_around_expression = 1;
    scope->shielded = grace > 0;
    open_inside(self, scope);
    if (grace <= 0) {
        return;
    }
    int64_t lifted_ns;
    if (grace == WEFT_FOREVER || __builtin_add_overflow(wf_sys.now_ns(), grace, &lifted_ns)) {
        lifted_ns = INT64_MAX;
    }
    /* the outer deadline applies, but not before that */
    scope->deadline_ns = lifted_ns > scope->deadline_ns ? lifted_ns : scope->deadline_ns;
    wf_timer_add(&self->worker->wheel, &scope->timer, lifted_ns);
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

/* Misuse; they are taken off, so that weft_cancel_off does not look for a scope that is no more. */
static WF_COLD void drop_callbacks(struct wf_scope *scope)
{
    struct wf_reg *reg = wf_container_of(scope->node.callbacks.next, struct wf_reg, link);
    wf_misuse("the scope opened at %s:%d ends with the cancel callback of %s:%d registered",
              scope->place->file, scope->place->line, reg->place->file, reg->place->line);
    struct wf_list *node;
    wf_lock(&scope->lock);
    while ((node = wf_list_pop_front(&scope->node.callbacks)) != NULL) { /* ends: none is added */
        /* relaxed: under the lock */
        wf_store_relaxed(&wf_container_of(node, struct wf_reg, link)->state, WF_REG_OFF);
    }
    wf_unlock(&scope->lock);
}

void wf_scope_close(struct wf_fiber *self, struct wf_scope *scope)
{
    uint64_t alone = 1;
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
    /* What could cancel it, so far its tasks too, finds it no more; a walk that comes before cannot
     * pin it. */
    (void)wf_timer_del(&scope->timer);
    wf_source_unlink_scope(scope);
    wf_lock(&scope->parent->lock);
    wf_list_unlink(&scope->sibling);
    if (scope->is_base) {
        scope->outer->task->base_scopes--;
    }
    wf_unlock(&scope->parent->lock);
    /* No walk is inside: each holds a pin. A cancel call of this very scope may be, and have come
     * too late for one: wait for it. */
    wf_lock(&scope->lock);
    scope->open = 0;
    bool left_over = !wf_list_is_empty(&scope->waits) || !wf_list_is_empty(&scope->ended);
    bool registered = !wf_list_is_empty(&scope->node.callbacks);
    bool lent = !wf_list_is_empty(&scope->loans);
    wf_unlock(&scope->lock);
    if (wf_unlikely(left_over)) {
        wf_values_collect(self, scope);
    }
    if (wf_unlikely(lent)) {
        wf_loans_end(scope);
    }
    if (wf_unlikely(registered)) {
        drop_callbacks(scope);
    }
    /* relaxed: whoever enters late is not ordered with us anyway */
    wf_store_relaxed(&scope->live, WF_SCOPE_ENDED);
    if (wf_unlikely(scope->each.max != 0)) {
        wf_each_close(self, scope);
    }
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
    struct wf_fiber *self = enter_open(place);
    if (self == NULL) { /* it may still be asked, cancelled, ended */
        init_common(scope, place);
        scope->open = 0;
        wf_store_relaxed(&scope->live, WF_SCOPE_ENDED); /* relaxed: not shared */
        return;
    }
    opts = opts != NULL ? opts : &defaults;
    wf_scope_open(self, scope, opts->on_error, opts->timeout == 0 ? WEFT_FOREVER : opts->timeout,
                  place);
    if (opts->each > 0) {
        wf_each_init(scope, opts->each);
    }
}

static bool is_around(const struct wf_scope *scope, const struct wf_scope *inner)
{
    while (inner != NULL && inner != scope) { /* ends: at the root */
        inner = inner->parent;
    }
    return inner != NULL;
}

/* The fiber, if `scope` is the one that must be closed next by this code; else NULL and the code to
 * return. */
static struct wf_fiber *enter_close(struct wf_scope *scope, int *rc)
{
    struct wf_fiber *self = wf_enter_task(rc);
    if (self == NULL && *rc == -ENOSYS) {
        return NULL;
    }
    if (self != NULL && self->env->task != scope->env.task && is_around(scope, self->env->scope)) {
        *rc = -EDEADLK; /* the scope waits for the task that asks */
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

/* Of a closed scope: its own deadline makes the cancellation a time-out, unless the code around it
 * is cancelled too, by an outer scope or as a task alone. */
static int code_of_cancel(const struct wf_scope *scope)
{
    return scope->own_cause == WF_CANCEL_EXPIRED && wf_env_cancelled(scope->outer) == 0
               ? -ETIME
               : -ECANCELED;
}

int weft_scope_end_(weft_scope *handle, const weft_place *place)
{
    struct wf_scope *scope = wf_scope_of(handle);
    if (wf_forked) {
        return -ENOSYS;
    }
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
    return wf_load_relaxed(&scope->cut_short) != 0 ? code_of_cancel(scope) : 0;
}

void weft_scope_cleanup_(weft_scope *handle)
{
    struct wf_scope *scope = wf_scope_of(handle);
    if (scope->open && !wf_forked) {
        weft_reason reason = wf_reason(WEFT_WHY_RETURN, "its function returned", scope->place);
        (void)wf_scope_fire(scope, WF_CANCEL_FIRED, &reason);
        int rc = 0;
        struct wf_fiber *self = enter_close(scope, &rc);
        if (self != NULL) {
            wf_scope_close(self, scope);
            wf_fault_scope(wf_runtime_of(self), &scope->failures);
        }
    }
}

int weft_scope_cancel_(weft_scope *handle, const char *why, const weft_place *place)
{
    if (wf_forked) {
        return -ENOSYS;
    }
    weft_reason reason = wf_reason(WEFT_WHY_CALL, why != NULL ? why : "cancelled", place);
    return wf_scope_fire(wf_scope_of(handle), WF_CANCEL_FIRED, &reason);
}

size_t weft_scope_count(const weft_scope *handle)
{
    /* Relaxed: a snapshot. The owner's hold does not count. */
    uint64_t live = wf_load_relaxed(&wf_scope_of(handle)->live);
    uint32_t members = (uint32_t)live;
    return (live & WF_SCOPE_ENDED) != 0 || members == 0 ? 0 : members - 1;
}

void weft_within_begin_(weft_scope *handle, weft_time duration, const weft_place *place)
{
    struct wf_scope *scope = wf_scope_of(handle);
    scope->open = 0;
    struct wf_fiber *self = enter_open(place);
    if (self == NULL) {
        return;
    }
    wf_scope_open(self, scope, WEFT_FAILFAST, duration, place);
    scope->is_around_expression = 1;
}

/* The end of a macro that evaluates an expression in a scope: `value`, or the code of misuse. */
static ssize_t close_around(struct wf_scope *scope, ssize_t value)
{
    if (!scope->open) {
        return value;
    }
    int rc = 0;
    struct wf_fiber *self = enter_close(scope, &rc);
    if (self == NULL) {
        return rc;
    }
    wf_scope_close(self, scope);
    wf_fault_scope(wf_runtime_of(self), &scope->failures); /* its value is another's */
    return value == -ECANCELED ? code_of_cancel(scope) : value;
}

ssize_t weft_within_end_(weft_scope *handle, ssize_t value)
{
    return close_around(wf_scope_of(handle), value);
}

ssize_t weft_leave(weft_scope *handle, ssize_t value)
{
    return close_around(wf_scope_of(handle), value);
}

ssize_t weft_shield_end_(weft_scope *handle, ssize_t value)
{
    return close_around(wf_scope_of(handle), value);
}

void wf_scope_put_under(struct wf_scope *scope, weft_cancel *source)
{
    weft_reason reason;
    uint32_t bits = wf_source_link_scope(source, scope, &reason);
    if (bits != 0) {
        (void)wf_scope_fire(scope, bits, &reason);
    }
}

void weft_enter_(weft_scope *handle, weft_cancel *source, const weft_place *place)
{
    weft_within_begin_(handle, WEFT_FOREVER, place);
    struct wf_scope *scope = wf_scope_of(handle);
    if (scope->open) {
        wf_scope_put_under(scope, source);
    }
}

void weft_shield_begin_(weft_scope *handle, weft_time grace, const weft_place *place)
{
    struct wf_scope *scope = wf_scope_of(handle);
    scope->open = 0;
    struct wf_fiber *self = enter_open(place);
    if (self == NULL) {
        return;
    }
    wf_scope_open_shield(self, scope, grace, place);
    if (grace == WEFT_FOREVER) {
        wf_runtime_note_shield(wf_runtime_of(self), place);
    }
}

/* The scope's deadline has passed, but its timer has not fired yet: the worker that has it is busy,
 * perhaps with us. Its owner is this scope or one around it. */
static WF_COLD void expire_late(struct wf_scope *scope)
{
    /* ends: a root has no deadline */
    while (!scope->is_shield && scope->parent->deadline_ns == scope->deadline_ns) {
        scope = scope->parent;
    }
    time_is_up(scope);
    if (scope->is_shield && scope->parent->deadline_ns <= scope->deadline_ns) {
        expire_late(scope->parent); /* as deep as shields are nested */
    }
}

int weft_check(void)
{
    struct wf_fiber *self = wf_peek_task();
    if (self == NULL) {
        return wf_forked ? -ENOSYS : 0;
    }
    struct wf_scope *scope = self->env->scope;
    if (wf_env_cancelled(self->env) != 0) {
        return -ECANCELED;
    }
    if (scope->deadline_ns != INT64_MAX && wf_sys.now_ns() >= scope->deadline_ns) {
        expire_late(scope);
        return wf_env_cancelled(self->env) != 0 ? -ECANCELED : 0;
    }
    return 0;
}

const weft_reason *weft_why(void)
{
    struct wf_fiber *self = wf_peek_task();
    if (self == NULL) {
        return wf_callback_reason();
    }
    struct wf_scope *scope = self->env->scope;
    if (wf_env_cancelled(self->env) == 0) {
        return &wf_reason_none;
    }
    wf_lock(&scope->lock); /* it is immutable from here on */
    const weft_reason *reason = wf_env_reason(self->env);
    wf_unlock(&scope->lock);
    return reason;
}

weft_time weft_remaining(void)
{
    struct wf_fiber *self = wf_peek_task();
    if (self == NULL || self->env->scope->deadline_ns == INT64_MAX) {
        return WEFT_FOREVER;
    }
    int64_t left = self->env->scope->deadline_ns - wf_sys.now_ns();
    return left > 0 ? left : 0;
}
