/* cancel.c: sources of cancellation, links between them, callbacks.
 *
 * Who may call: any thread; a source belongs to no task. A source owns nothing and waits for
 * nothing: what runs under it is a scope (weft_under), to which it holds a link.
 *
 * Terms. *link*: a registration in the list of the source that is above: to a child, to a source
 * that is linked, to a scope. *pin*: keeps a source from going away while a walk has it on its
 * list.
 *
 * Firing. Sources and links are a graph, not a tree. A walk marks a source and appends it to the
 * list of the walk (wf_walk_add), then takes the sources of that list one after another and marks
 * what their links lead to, holding one lock at a time. So depth costs no stack, a cycle ends at
 * what is marked already, and the same list is the order of the callbacks. Scopes are walked
 * through at once.
 *
 * G.1  A source fires once: the walk that finds it unmarked, under its lock, goes through its links
 *      and callbacks. Whoever registers later finds it fired under the same lock.
 * G.2  fini: it takes the source off everything above, each under that source's lock, so that
 *      nobody pins it from then on; then it waits until nobody does. A target of a link is pinned
 *      under the lock of the source above.
 * G.3  off: the callback's state is under the lock of its node. RUNNING: whoever runs it wakes
 *      those who wait for its end, after it has touched the registration for the last time.
 * G.4  A timer pins the source when it fires, and has a worker do the rest; so it runs no callback
 *      under the lock of a wheel.
 *
 * Locks: timer_lock, then a wheel's, then (in a timer's fire) none; the source's lock is not held
 * with any other. */
#include "pool/base/check.h"
#include "pool/pool.h"
#include "src/core.h"
#include "src/guard.h"
#include "src/live.h"
#include <errno.h>

struct wf_waiting;

struct wf_source {
    struct wf_lock lock;
    /* WF_CANCEL_FIRED or _EXPIRED once it has fired; written under the lock */
    WF_ATOMIC(uint32_t) cancel;
    /* under lock */
    struct wf_node node;        /* callbacks; next == NULL: zeroed memory, or ended */
    struct wf_list links;       /* wf_reg.link, down */
    struct wf_list links_fired; /* those that the walk has been through */
    struct wf_list above;       /* wf_reg.in_target: what this one is linked to */
    struct wf_waiting *ending;  /* fini waits for the last pin */
    weft_reason reason;         /* immutable once it has fired */
    const weft_place *place;    /* immutable */
    /* any thread */
    WF_ATOMIC(uint32_t) pins;  /* raised under the lock of a source above; lowered under ours */
    WF_ATOMIC(uint32_t) asked; /* by a signal */
    WF_ATOMIC(struct wf_pool *) pool; /* NULL: not yet used in a task */
    struct wf_reg up;                 /* to the parent */
    /* under timer_lock */
    struct wf_lock timer_lock;
    bool time_up; /* written by the timer, under its wheel's lock */
    bool arming;  /* `arm` is on its way to a worker */
    bool armed;
    int64_t deadline_ns;
    struct wf_timer timer;
    struct wf_work late; /* queued by the timer */
    struct wf_work arm;  /* queued by a foreign thread that sets the timer */
    struct wf_work signal;
    const weft_place *timer_place, *signal_place;
};

_Static_assert(sizeof(struct wf_source) <= sizeof(weft_cancel), "weft_cancel is too small");
_Static_assert(_Alignof(struct wf_source) <= _Alignof(weft_cancel),
               "weft_cancel is not aligned enough");

static const weft_place nowhere = {.file = "", .function = ""};
const weft_reason wf_reason_none = {WEFT_WHY_NONE, "not cancelled", &nowhere, 0};

static struct wf_source *source_of(const weft_cancel *source)
{
    return (struct wf_source *)(uintptr_t)source;
}

static struct wf_source *source_of_node(struct wf_node *node)
{
    return wf_container_of(node, struct wf_source, node);
}

static struct wf_scope *scope_of_node(struct wf_node *node)
{
    return wf_container_of(node, struct wf_scope, node);
}

static struct wf_reg *reg_of(weft_cancel_reg *reg)
{
    return (struct wf_reg *)(void *)reg;
}

static struct wf_lock *lock_of(struct wf_node *node)
{
    return node->is_source ? &source_of_node(node)->lock : &scope_of_node(node)->lock;
}

struct wf_lock *wf_source_lock(struct wf_node *node)
{
    return &source_of_node(node)->lock;
}

const weft_reason *wf_source_reason(struct wf_node *node)
{
    return &source_of_node(node)->reason;
}

/* Relaxed: written under the lock, which is what counts; read without it, it is a hint. */
static uint32_t fired(struct wf_source *source)
{
    return wf_load_relaxed(&source->cancel);
}

/* --- waiting for the end of something that cannot be cancelled -------------------------------- */

/* A task, or a foreign thread; on its stack. */
struct wf_waiting {
    struct wf_waiting *next;
    struct wf_wait wait;       /* of a task */
    WF_ATOMIC(uint32_t) woken; /* of a thread: futex word */
    struct wf_fiber *self;     /* NULL: a thread */
};

static const struct wf_wait_ops waiting_ops = {.name = "the end of a cancellation"};

static void prepare(struct wf_waiting *waiting)
{
    waiting->next = NULL;
    waiting->self = wf_peek_task();
    wf_store_relaxed(&waiting->woken, 0); /* relaxed: a lock publishes it */
    if (waiting->self != NULL) {
        wf_wait_init(&waiting->wait, &waiting->self->resume, &waiting_ops);
    }
}

/* Returns when wake() has been called for it. */
static void wait_for(struct wf_waiting *waiting)
{
    if (waiting->self != NULL) {
        (void)wf_wait_block(waiting->self, &waiting->wait);
        return;
    }
    /* sync(cancel.waited): acquire, what was done before the wake; pairs sync(cancel.wake) */
    while (wf_load_acquire(&waiting->woken) == 0) { /* ends: it is woken */
        (void)wf_sys.futex_wait(&waiting->woken, 0, INT64_MAX);
    }
}

static void wake(struct wf_waiting *waiting)
{
    while (waiting != NULL) {
        struct wf_waiting *next = waiting->next;
        if (waiting->self != NULL) {
            (void)wf_wait_claim(&waiting->wait, WF_WAIT_GRANTED); /* LAST TOUCH */
        } else {
            /* sync(cancel.wake): release, what was done before; pairs sync(cancel.waited). LAST
             * TOUCH but for the address, where a stray futex wake is harmless */
            wf_store_release(&waiting->woken, 1);
            (void)wf_sys.futex_wake(&waiting->woken, 1);
        }
        waiting = next;
    }
}

/* --- running callbacks ------------------------------------------------------------------------ */

/* One thread's running of callbacks; on its stack. */
struct wf_run {
    struct wf_run *outer; /* a callback that fires runs others */
    const weft_reason *reason;
    /* under the node's lock */
    struct wf_reg *reg;         /* whose callback runs; NULL: its memory may be gone */
    struct wf_waiting *waiting; /* for its end */
};

static _Thread_local struct wf_run *foreign_run; /* a foreign thread's; it changes no thread */

/* What runs on this thread. Not inlined: the address of what is thread-local must not be kept
 * across a suspension. */
static WF_NOINLINE struct wf_run *running(void)
{
    struct wf_fiber *self = wf_self();
    return self != NULL ? self->worker->callback : foreign_run;
}

static WF_NOINLINE void set_running(struct wf_run *run)
{
    struct wf_fiber *self = wf_self();
    if (self != NULL) {
        self->worker->callback = run;
    } else {
        foreign_run = run;
    }
}

bool wf_in_callback(void)
{
    return running() != NULL;
}

const weft_reason *wf_callback_reason(void)
{
    const struct wf_run *run = running();
    return run != NULL ? run->reason : &wf_reason_none;
}

/* Out of task context, so that it behaves alike whoever cancels. It cannot suspend, so that the
 * worker is the same after it. */
static void call_back(struct wf_run *run, weft_cancel_fn *fn, void *arg)
{
    struct wf_fiber *self = wf_self();
    struct wf_env *env = self != NULL ? self->env : NULL;
    run->outer = running();
    set_running(run);
    if (self != NULL) {
        wf_env_enter_none(self);
    }
    WF_GUARDED(fn(arg));
    if (self != NULL) {
        self->env = env;
    }
    set_running(run->outer);
}

/* Relaxed stores of a registration's state: under the node's lock, but for the one that ends the
 * library's interest in it. */
static void callback_ended_locked(struct wf_run *run)
{
    if (run->reg != NULL) {
        /* sync(cancel.ran): release, all that the callback did; pairs sync(cancel.look). LAST TOUCH
         * of the registration */
        wf_store_release(&run->reg->state, WF_REG_RAN);
    }
}

void wf_callbacks_run(struct wf_list *callbacks, struct wf_lock *lock, const weft_reason *reason)
{
    wf_lock(lock);
    while (!wf_list_is_empty(callbacks)) { /* ends: nobody registers with what has fired */
        struct wf_reg *reg = wf_container_of(callbacks->prev, struct wf_reg, link);
        wf_list_unlink(&reg->link);
        struct wf_run run = {.reason = reason, .reg = reg};
        reg->run = &run;
        weft_cancel_fn *fn = reg->fn;
        void *arg = reg->arg;
        wf_store_relaxed(&reg->state, WF_REG_RUNNING); /* relaxed: under the lock */
        wf_unlock(lock);
        call_back(&run, fn, arg);
        wf_lock(lock);
        callback_ended_locked(&run);
        struct wf_waiting *waiting = run.waiting;
        if (waiting != NULL) {
            wf_unlock(lock);
            wake(waiting);
            wf_lock(lock);
        }
    }
    wf_unlock(lock);
}

/* --- registering ------------------------------------------------------------------------------ */

static void begin_reg(struct wf_reg *reg, struct wf_node *node, const weft_place *place)
{
    *reg = (struct wf_reg){.node = node, .place = place};
    wf_list_init(&reg->link);
}

static void bind_pool(struct wf_source *source)
{
    struct wf_fiber *self = wf_peek_task();
    /* relaxed, both: a worker's pool outlives the use of it, by contract */
    if (self != NULL && wf_load_relaxed(&source->pool) == NULL) {
        wf_store_relaxed(&source->pool, self->worker->pool);
    }
}

static int run_at_once(struct wf_reg *reg, const weft_reason *reason)
{
    struct wf_run run = {.reason = reason};
    wf_store_relaxed(&reg->state, WF_REG_RAN); /* relaxed: not shared */
    call_back(&run, reg->fn, reg->arg);
    return 1;
}

int weft_cancel_on_(weft_cancel *handle, weft_cancel_reg *reg_handle, weft_cancel_fn *fn, void *arg,
                    const weft_place *place)
{
    struct wf_reg *reg = reg_of(reg_handle);
    struct wf_fiber *self = wf_peek_task();
    if (wf_forked || (handle == NULL && self == NULL)) {
        begin_reg(reg, NULL, place);
        return wf_forked ? -ENOSYS : -EPERM;
    }
    struct wf_env *env = handle == NULL ? self->env : NULL;
    struct wf_node *node = handle == NULL ? &env->scope->node : &source_of(handle)->node;
    begin_reg(reg, node, place);
    reg->fn = fn;
    reg->arg = arg;
    if (env != NULL) { /* not that of a binding, which may end before */
        reg->env = wf_env_is_base(env) ? &env->task->env : &env->scope->env;
    }
    wf_lock(lock_of(node));
    bool cancelled = env != NULL ? wf_env_cancelled(env) != 0 : fired(source_of(handle)) != 0;
    const weft_reason *reason = env != NULL ? wf_env_reason(env) : &source_of(handle)->reason;
    if (!cancelled) {
        wf_store_relaxed(&reg->state, WF_REG_WAITING); /* relaxed: under the lock */
        wf_list_push_back(&node->callbacks, &reg->link);
    }
    wf_unlock(lock_of(node));
    if (env == NULL) {
        bind_pool(source_of(handle));
    }
    return cancelled ? run_at_once(reg, reason) : 0;
}

/* Waits until the callback has returned. Called with the node's lock, and lets go of it. */
static int wait_ran_locked(struct wf_reg *reg, struct wf_lock *lock)
{
    struct wf_run *run = reg->run;
    for (struct wf_run *mine = running(); mine != NULL; mine = mine->outer) {
        if (mine == run) { /* from inside: the memory is the caller's from here on */
            run->reg = NULL;
            wf_store_relaxed(&reg->state, WF_REG_RAN); /* relaxed: the runner is this thread */
            wf_unlock(lock);
            return 0;
        }
    }
    if (wf_in_callback()) {
        wf_unlock(lock);
        wf_misuse("a cancel callback would have to wait for the end of another, in "
                  "weft_cancel_off of what was registered at %s:%d",
                  reg->place->file, reg->place->line);
        return -EDEADLK;
    }
    struct wf_waiting waiting;
    prepare(&waiting);
    waiting.next = run->waiting;
    run->waiting = &waiting;
    wf_unlock(lock);
    wait_for(&waiting);
    return 0;
}

static int unlink_link(struct wf_reg *reg);

int weft_cancel_off(weft_cancel_reg *handle)
{
    struct wf_reg *reg = reg_of(handle);
    /* sync(cancel.look): acquire, all that the callback did; pairs sync(cancel.ran) */
    uint32_t state = wf_load_acquire(&reg->state);
    if (wf_forked || state == WF_REG_OFF) {
        return wf_forked ? -ENOSYS : 1;
    }
    if (state == WF_REG_RAN) {
        return 0; /* without touching the node, which may be gone */
    }
    if (state == WF_REG_LINK) {
        return unlink_link(reg);
    }
    struct wf_lock *lock = lock_of(reg->node);
    wf_lock(lock);
    state = wf_load_relaxed(&reg->state); /* relaxed: under the lock */
    if (state == WF_REG_RUNNING) {
        return wait_ran_locked(reg, lock);
    }
    if (state == WF_REG_WAITING) {
        wf_list_unlink(&reg->link);
        wf_store_relaxed(&reg->state, WF_REG_OFF); /* relaxed: under the lock */
    }
    wf_unlock(lock);
    return state != WF_REG_RAN;
}

/* --- links ------------------------------------------------------------------------------------ */

static void pin(struct wf_source *source)
{
    (void)wf_add_relaxed(&source->pins, 1); /* relaxed: see G.2 */
}

static void unpin(struct wf_source *source)
{
    struct wf_waiting *ending = NULL;
    wf_lock(&source->lock);
    if (wf_sub_relaxed(&source->pins, 1) == 1) { /* relaxed: under the lock */
        ending = source->ending;
        source->ending = NULL;
    }
    wf_unlock(&source->lock); /* LAST TOUCH */
    wake(ending);
}

void wf_source_unpin(struct wf_node *node)
{
    unpin(source_of_node(node));
}

/* Takes a link off the source above. */
static void unlink_above(struct wf_reg *reg)
{
    struct wf_lock *lock = lock_of(reg->node);
    wf_lock(lock);
    wf_list_unlink(&reg->link);
    wf_unlock(lock);
    wf_store_relaxed(&reg->state, WF_REG_OFF); /* relaxed: nobody else has it any more */
}

static int unlink_link(struct wf_reg *reg)
{
    struct wf_source *target = source_of_node(reg->target);
    wf_lock(&target->lock);
    wf_list_unlink(&reg->in_target);
    wf_unlock(&target->lock);
    unlink_above(reg);
    return 1;
}

/* 0, linked; or the bits of `above`, which has fired. */
static uint32_t link_below(struct wf_source *above, struct wf_reg *reg)
{
    wf_lock(&above->lock);
    uint32_t bits = fired(above);
    if (bits == 0) {
        wf_store_relaxed(&reg->state, WF_REG_LINK); /* relaxed: under the lock */
        wf_list_push_back(&above->links, &reg->link);
    }
    wf_unlock(&above->lock);
    return bits;
}

static bool fire(struct wf_source *source, uint32_t bits, const weft_reason *reason);

static int link_source(struct wf_source *source, struct wf_source *above, struct wf_reg *reg,
                       const weft_place *place)
{
    begin_reg(reg, &above->node, place);
    reg->target = &source->node;
    wf_list_init(&reg->in_target);
    uint32_t bits = link_below(above, reg);
    if (bits != 0) {
        (void)fire(source, bits, &above->reason);
        return 1;
    }
    wf_lock(&source->lock);
    wf_list_push_back(&source->above, &reg->in_target);
    wf_unlock(&source->lock);
    return 0;
}

int weft_cancel_link_(weft_cancel *handle, weft_cancel *other, weft_cancel_reg *reg,
                      const weft_place *place)
{
    if (wf_forked) {
        return -ENOSYS;
    }
    return link_source(source_of(handle), source_of(other), reg_of(reg), place);
}

uint32_t wf_source_link_scope(weft_cancel *handle, struct wf_scope *scope, weft_reason *reason)
{
    struct wf_source *source = source_of(handle);
    bind_pool(source);
    begin_reg(&scope->under, &source->node, scope->place);
    scope->under.target = &scope->node;
    scope->under.to_scope = 1;
    uint32_t bits = link_below(source, &scope->under);
    *reason = bits != 0 ? source->reason : wf_reason_none;
    return bits;
}

void wf_source_unlink_scope(struct wf_scope *scope)
{
    /* relaxed: the scope's owner alone writes */
    if (wf_unlikely(wf_load_relaxed(&scope->under.state) == WF_REG_LINK)) {
        unlink_above(&scope->under);
    }
}

/* --- firing ----------------------------------------------------------------------------------- */

/* Under the source's lock, with a pin that is the walk's if it is news. */
static bool mark_locked(struct wf_walk *walk, struct wf_source *source, uint32_t bits,
                        const weft_reason *reason)
{
    if (fired(source) != 0) {
        return false;
    }
    source->reason = *reason;
    wf_store_relaxed(&source->cancel, bits); /* relaxed: under the lock */
    wf_walk_add(walk, &source->node);
    return true;
}

/* What a link leads to, which the caller has pinned. */
static void follow(struct wf_walk *walk, struct wf_node *target, uint32_t bits,
                   const weft_reason *reason)
{
    if (target->is_source) {
        struct wf_source *source = source_of_node(target);
        wf_lock(&source->lock);
        bool news = mark_locked(walk, source, bits, reason);
        wf_unlock(&source->lock);
        if (!news) {
            unpin(source);
        }
        return;
    }
    struct wf_scope *scope = scope_of_node(target);
    wf_walk_scope(walk, scope, bits, reason);
    wf_scope_unpin(scope); /* LAST TOUCH */
}

/* True: it will not go away before the pin is taken off. */
static bool pin_target(struct wf_reg *reg)
{
    if (reg->to_scope) {
        return wf_scope_pin(scope_of_node(reg->target));
    }
    pin(source_of_node(reg->target));
    return true;
}

/* All links of a source that this walk has marked. */
static void follow_links(struct wf_walk *walk, struct wf_source *source)
{
    uint32_t bits = fired(source);
    wf_lock(&source->lock);
    struct wf_list *node;
    /* ends: it has fired, none comes */
    while ((node = wf_list_pop_front(&source->links)) != NULL) {
        struct wf_reg *reg = wf_container_of(node, struct wf_reg, link);
        wf_list_push_back(&source->links_fired, node);
        struct wf_node *target = reg->target;
        bool pinned = pin_target(reg);
        wf_unlock(&source->lock);
        if (pinned) {
            follow(walk, target, bits, &source->reason);
        }
        wf_lock(&source->lock);
    }
    wf_unlock(&source->lock);
}

/* From a source that has been marked: pass one, pass two. */
static void walk_sources(struct wf_walk *walk)
{
    for (struct wf_node *node = walk->first; node != NULL; node = node->next) {
        if (node->is_source) {
            follow_links(walk, source_of_node(node));
        }
    }
    wf_walk_callbacks(walk);
}

/* Any thread, holding no lock. False: it had fired. */
static bool fire(struct wf_source *source, uint32_t bits, const weft_reason *reason)
{
    struct wf_walk walk;
    wf_walk_init(&walk);
    wf_lock(&source->lock);
    bool first = mark_locked(&walk, source, bits, reason);
    if (first) {
        pin(source);
    }
    wf_unlock(&source->lock);
    if (first) {
        walk_sources(&walk);
    }
    return first;
}

int weft_cancel_fire_(weft_cancel *handle, const char *why, const weft_place *place)
{
    if (wf_forked) {
        return -ENOSYS;
    }
    weft_reason reason = wf_reason(WEFT_WHY_CALL, why != NULL ? why : "cancelled", place);
    return fire(source_of(handle), WF_CANCEL_FIRED, &reason) ? 0 : -EALREADY;
}

static void run_signal(struct wf_fiber *self, struct wf_work *work)
{
    (void)self;
    struct wf_source *source = wf_container_of(work, struct wf_source, signal);
    weft_reason reason = wf_reason(WEFT_WHY_SIGNAL, "signal", source->signal_place);
    (void)fire(source, WF_CANCEL_FIRED, &reason);
    unpin(source); /* LAST TOUCH */
}

int weft_cancel_fire_sig_(weft_cancel *handle, const weft_place *place)
{
    struct wf_source *source = source_of(handle);
    /* relaxed: set before the handler could know the source */
    struct wf_pool *pool = wf_load_relaxed(&source->pool);
    if (wf_forked || pool == NULL) {
        return wf_forked ? -ENOSYS : -EPERM;
    }
    if (wf_xchg_relaxed(&source->asked, 1) != 0) { /* relaxed: only who is first; wf_post orders */
        return -EALREADY;
    }
    int kept = errno;
    source->signal_place = place;
    pin(source);
    wf_post(&pool->workers[0], &source->signal); /* LAST TOUCH; lock-free, and write(2) */
    errno = kept;
    return 0;
}

/* --- the timer -------------------------------------------------------------------------------- */

static void run_late(struct wf_fiber *self, struct wf_work *work)
{
    (void)self;
    struct wf_source *source = wf_container_of(work, struct wf_source, late);
    weft_reason reason = wf_reason(WEFT_WHY_DEADLINE, "deadline", source->timer_place);
    (void)fire(source, WF_CANCEL_EXPIRED, &reason);
    unpin(source); /* LAST TOUCH */
}

/* Under the wheel's lock: whoever takes the timer off has us behind it. */
static void time_up(struct wf_timer *timer)
{
    struct wf_source *source = wf_container_of(timer, struct wf_source, timer);
    source->time_up = true;
    pin(source);
    wf_post(wf_self()->worker, &source->late);
}

/* On a worker's thread: a wheel's owner adds. */
static void add_timer_locked(struct wf_source *source, struct wf_worker *worker)
{
    if (source->armed) {
        wf_timer_add(&worker->wheel, &source->timer, source->deadline_ns);
    }
}

static void run_arm(struct wf_fiber *self, struct wf_work *work)
{
    struct wf_source *source = wf_container_of(work, struct wf_source, arm);
    wf_lock(&source->timer_lock);
    source->arming = false;
    add_timer_locked(source, self->worker);
    wf_unlock(&source->timer_lock);
    unpin(source); /* LAST TOUCH */
}

/* True: it was not up. */
static bool take_off_timer_locked(struct wf_source *source)
{
    (void)wf_timer_del(&source->timer);
    source->timer.wheel = NULL; /* the source may outlive the runtime, and the wheel with it */
    source->armed = false;
    return !source->time_up;
}

static void put_on_timer_locked(struct wf_source *source, struct wf_worker *worker,
                                struct wf_pool *pool)
{
    source->armed = true;
    if (source->arming) {
        return; /* the message finds the new time */
    }
    if (worker != NULL) {
        add_timer_locked(source, worker);
    } else {
        source->arming = true;
        pin(source);
        wf_post(&pool->workers[0], &source->arm);
    }
}

int weft_cancel_after_(weft_cancel *handle, weft_time duration, const weft_place *place)
{
    struct wf_source *source = source_of(handle);
    if (wf_forked) {
        return -ENOSYS;
    }
    bind_pool(source);
    struct wf_fiber *self = wf_self(); /* in a callback too */
    /* relaxed: any of the pools that it may have is right */
    struct wf_pool *pool = wf_load_relaxed(&source->pool);
    if (duration != WEFT_FOREVER && duration > 0 && self == NULL && pool == NULL) {
        return -EPERM;
    }
    int64_t deadline_ns = INT64_MAX;
    bool bounded = duration != WEFT_FOREVER &&
                   !__builtin_add_overflow(wf_sys.now_ns(), duration, &deadline_ns);
    wf_lock(&source->timer_lock);
    bool early = take_off_timer_locked(source) && fired(source) == 0;
    if (early && bounded && duration > 0) {
        source->deadline_ns = deadline_ns;
        source->timer_place = place;
        put_on_timer_locked(source, self != NULL ? self->worker : NULL, pool);
    }
    wf_unlock(&source->timer_lock);
    if (early && duration <= 0) {
        weft_reason reason = wf_reason(WEFT_WHY_DEADLINE, "deadline", place);
        early = fire(source, WF_CANCEL_EXPIRED, &reason);
    }
    return early ? 0 : -EALREADY;
}

/* --- begin, end ------------------------------------------------------------------------------- */

void weft_cancel_init_(weft_cancel *handle, weft_cancel *parent, const weft_place *place)
{
    struct wf_source *source = source_of(handle);
    wf_live_begin(handle, "weft_cancel");
    *source = (struct wf_source){.place = place, .reason = wf_reason_none};
    source->node.is_source = 1;
    wf_list_init(&source->node.callbacks);
    wf_list_init(&source->links);
    wf_list_init(&source->links_fired);
    wf_list_init(&source->above);
    wf_timer_init(&source->timer, time_up);
    source->late.run = run_late;
    source->arm.run = run_arm;
    source->signal.run = run_signal;
    bind_pool(source);
    if (parent == NULL || wf_forked) {
        return;
    }
    struct wf_source *above = source_of(parent);
    if (wf_load_relaxed(&source->pool) == NULL) { /* relaxed, all: as in bind_pool */
        wf_store_relaxed(&source->pool, wf_load_relaxed(&above->pool));
    }
    (void)link_source(source, above, &source->up, place);
}

/* What is still below the source, as the report names it; NULL: nothing. */
static const weft_place *below_locked(struct wf_source *source, const char **what)
{
    struct wf_list *node = NULL;
    if (!wf_list_is_empty(&source->node.callbacks)) {
        node = source->node.callbacks.next;
    } else if (!wf_list_is_empty(&source->links)) {
        node = source->links.next;
    } else if (!wf_list_is_empty(&source->links_fired)) {
        node = source->links_fired.next;
    }
    if (node == NULL) {
        return NULL;
    }
    struct wf_reg *reg = wf_container_of(node, struct wf_reg, link);
    /* relaxed: under the lock */
    *what = wf_load_relaxed(&reg->state) != WF_REG_LINK ? "a callback"
            : reg->to_scope                             ? "work under it"
                                                        : "a child or linked source";
    return reg->place;
}

static bool is_below_misused(struct wf_source *source)
{
    const char *what = NULL;
    wf_lock(&source->lock);
    const weft_place *place = below_locked(source, &what);
    wf_unlock(&source->lock);
    if (place != NULL) {
        wf_misuse("weft_cancel_fini of the source of %s:%d: there is still %s, from %s:%d",
                  source->place->file, source->place->line, what, place->file, place->line);
    }
    return place != NULL;
}

static void unlink_all_above(struct wf_source *source)
{
    struct wf_list *node;
    do { /* ends: with the list; nobody links a source that is being ended */
        wf_lock(&source->lock);
        node = wf_list_pop_front(&source->above);
        wf_unlock(&source->lock);
        if (node != NULL) {
            unlink_above(wf_container_of(node, struct wf_reg, in_target));
        }
    } while (node != NULL);
}

static void wait_unpinned(struct wf_source *source)
{
    struct wf_waiting waiting;
    prepare(&waiting);
    wf_lock(&source->lock);
    bool pinned = wf_load_relaxed(&source->pins) != 0; /* relaxed: see G.2 */
    if (pinned) {
        source->ending = &waiting;
    }
    wf_unlock(&source->lock);
    if (pinned) {
        wait_for(&waiting);
    }
}

void weft_cancel_fini(weft_cancel *handle)
{
    struct wf_source *source = source_of(handle);
    if (wf_forked || source->node.callbacks.next == NULL) {
        return;
    }
    if (wf_in_callback() && wf_load_relaxed(&source->pins) != 0) { /* relaxed: ours, if any */
        wf_misuse("weft_cancel_fini of the source of %s:%d in a cancel callback, while it fires",
                  source->place->file, source->place->line);
        return;
    }
    if (is_below_misused(source)) {
        return;
    }
    wf_lock(&source->timer_lock);
    (void)take_off_timer_locked(source);
    wf_unlock(&source->timer_lock);
    unlink_all_above(source);
    wait_unpinned(source);
    source->node.callbacks.next = NULL;
    wf_live_end(handle);
}

int weft_cancel_reset(weft_cancel *handle)
{
    struct wf_source *source = source_of(handle);
    if (wf_forked) {
        return -ENOSYS;
    }
    wf_lock(&source->timer_lock);
    bool timed = source->armed || source->arming || source->time_up;
    wf_unlock(&source->timer_lock);
    wf_lock(&source->lock);
    int rc = 0;
    if (fired(source) != 0 || wf_load_relaxed(&source->asked) != 0) { /* relaxed: it will fire */
        rc = -EALREADY;
    } else if (timed || !wf_list_is_empty(&source->links)) {
        rc = -EBUSY;
    }
    struct wf_list *node;
    while (rc == 0 && (node = wf_list_pop_front(&source->node.callbacks)) != NULL) {
        /* relaxed: under the lock */
        wf_store_relaxed(&wf_container_of(node, struct wf_reg, link)->state, WF_REG_OFF);
    }
    wf_unlock(&source->lock);
    return rc;
}

const weft_reason *weft_cancel_why(const weft_cancel *handle)
{
    struct wf_source *source = source_of(handle);
    if (wf_forked) { /* a thread of the parent may hold the lock for ever */
        return &wf_reason_none;
    }
    wf_lock(&source->lock); /* the reason is immutable once it has fired */
    const weft_reason *reason = fired(source) != 0 ? &source->reason : &wf_reason_none;
    wf_unlock(&source->lock);
    return reason;
}
