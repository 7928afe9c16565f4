/* core.h: the structs behind the opaque types of include/weft/task.h, and what the files of src/
 * call of each other.
 *
 * *task*: what a user waits for. *scope*: owner of tasks, and node of the cancellation tree. *env*:
 * which task and which scope the running code belongs to; every stack points at one (fiber->env),
 * NULL while it runs a loop.
 *
 * Locks, in the order in which they may be taken: timer wheel, then one scope or source of
 * cancellation, then one lock of an object (semaphore, channel), or those of a select in the order
 * of their addresses. No user code runs under any of them. */
#ifndef WF_CORE_H
#define WF_CORE_H

#include "pool/base/lock.h"
#include "pool/base/sys.h"
#include "pool/pool.h"
#include "src/awaiter.h"
#include "src/call.h"
#include "src/slot.h"
#include <weft/cancel.h>
#include <weft/chan.h>
#include <weft/debug.h>
#include <weft/local.h>
#include <weft/sync.h>
#include <weft/task.h>

struct wf_task;
struct wf_scope;
struct weft_rt;

struct wf_env {
    struct wf_task *task;
    struct wf_scope *scope;
    const struct wf_binding *locals; /* the innermost; NULL: none. Immutable while anything runs */
    struct wf_slot slot;             /* what the strand that lies down under it waits for */
    /* Tasks spawned under this env and not yet awaited by their spawner, and generators made under
     * it and not closed. Atomic, because the forked sections of a task share it; nobody else
     * writes. */
    WF_ATOMIC(uint32_t) unawaited;
};

/* A value bound for what runs inside: an env of its own, so that it is of one strand and comes to
 * an end in order (locals.c). */
struct wf_binding {
    struct wf_env env; /* {task, scope} as outside, and this binding */
    struct wf_env *outer;
    const weft_key *key;
    const void *value;
};

_Static_assert(sizeof(struct wf_binding) <= sizeof(weft_binding), "weft_binding is too small");

/* --- tasks: task.c ---------------------------------------------------------------------------- */

enum wf_task_kind {
    WF_TASK_SPAWNED,  /* in its spawner's memory, awaited there */
    WF_TASK_POOLED,   /* frame from a slab, a worker's or the runtime's; argument behind the struct,
                     * owned by a scope */
    WF_TASK_CALLED,   /* in the memory of a foreign thread that waits on `called` */
    WF_TASK_PRODUCER, /* in a generator: gen.c */
    WF_TASK_FRAME,    /* a frame's identity while it is stepped: src/frame.h */
    WF_TASK_FOLLOWING, /* a continuation, in its maker's memory, owned by a scope: cont.c */
};

/* Failures in order of time, under a lock of whoever has them: the first few records, linked by
 * `next`, and the number of all. Zeroed: none. */
struct wf_failures {
    weft_error *first; /* owned */
    int first_rc;
    int total;
};

/* Locks that a task may hold for reading at once and be told if it wants one again: see
 * weft_rwlock_read. Two, because nesting deeper is rare, and 8 bytes of every task each. */
#define WF_READS_KNOWN 2

/* A task's life is its `waiters`, see awaiter.h. RUNNING or a list: queued or running; rc is not
 * valid. DONE: rc and error are valid and immutable but for the error's taking over; the finisher
 * has touched the task for the last time, its memory is the owner's again. */
struct wf_task {
    union {
        struct wf_work work; /* queued to start */
        /* once it runs: in the scope's waiters, or by itself; unless its slot is UNLISTED */
        struct wf_list in_scope;
    };
    struct wf_awaiters waiters; /* see above */
    struct wf_env env;          /* what its body starts under; env.scope is the owner */
    weft_fn *fn;
    void *arg;
    const weft_place *place; /* where it was started */
    struct weft_rt *rt;
    int rc;
    uint8_t kind;      /* enum wf_task_kind; immutable */
    uint8_t cut_short; /* valid if rc < 0: see wf_outcome */
    /* 1: something below was written that few tasks write, and that a frame which is to be used
     * again as it is must not keep: see wf_task_touch. Its strands write, and who cancels it */
    WF_ATOMIC(uint8_t) touched;
    WF_ATOMIC(uint32_t) cancel; /* WF_CANCEL_*: it alone, see wf_task_cancel */
    /* it has ever made a binding, whose env may count tasks that it spawned */
    WF_ATOMIC(uint32_t) has_bound;
    WF_ATOMIC(weft_error *) error; /* owned; any strand of the task exchanges it */
    /* kind SPAWNED: where it has to be awaited; NULL: it was, or need not be */
    WF_ATOMIC(struct wf_env *) spawner;

    /* From here on a task of weft_post is zero when it is free: the thread that posts does not
     * touch these lines, which so stay with the worker (wf_task_init_posted). */
    /* whose env `spawner` is; to be compared, not followed: the spawner may be gone. Valid with
     * it */
    const struct wf_task *spawner_task;
    WF_ATOMIC(const char *) name; /* given by the program, or NULL; the task writes, reports read */
    WF_ATOMIC(uint32_t) called;   /* kind CALLED: futex word, 1 when ended */
    /* Cancelling this task alone. Under its owner scope's lock. */
    uint32_t base_waits;  /* waits in the scope's list under its own env right now */
    uint32_t base_scopes; /* scopes open directly under its own env */
    /* rwlock.c: what it holds for reading, and how many besides; its own sections only */
    WF_ATOMIC(uint32_t) reads_more;
    WF_ATOMIC(const void *) reads[WF_READS_KNOWN];
    /* when it ended, if rc < 0: which failure came first in time; cut short: 0 */
    int64_t failed_ns;
    weft_reason reason; /* valid when cancel is set, and immutable then */
} WF_ALIGNED(16);       /* a pooled task's argument follows, aligned as malloc would */

_Static_assert(sizeof(struct wf_task) <= sizeof(weft_task), "weft_task is too small");
_Static_assert(_Alignof(struct wf_task) <= _Alignof(weft_task), "weft_task is not aligned enough");
_Static_assert(offsetof(struct wf_task, spawner_task) == WF_SLAB_BUNDLE_BYTES,
               "the lines of a posted task that move, and that the slab writes");

/* Before cancel, has_bound, name, reads or reads_more are written. */
WF_INLINE void wf_task_touch(struct wf_task *task)
{
    wf_store_relaxed(&task->touched, 1); /* relaxed: looked at when the task has ended */
}

/* Does code under `env` run directly in its task's owner scope, in no scope that it opened? */
WF_INLINE bool wf_env_is_base(const struct wf_env *env)
{
    return env->task != NULL &&
           env->scope == env->task->env.scope; /* the root scope's has no task */
}

/* Private sections of `self` that are not signed belong to its env, which is about to change. */
WF_COLD void wf_env_sign(struct wf_fiber *self);

/* The code that runs on `self` goes on under another env. Everywhere but on a loop's frame, where
 * nothing is private, and when it returns to the env before: what was forked in between has been
 * joined. */
WF_INLINE void wf_env_enter(struct wf_fiber *self, struct wf_env *env)
{
    if (wf_unlikely(wf_deque_has_private(&self->worker->deque))) {
        wf_env_sign(self);
    }
    self->env = env;
}

/* The same, for code that is in no task, as a callback. Its forks are kept for their joins by their
 * slow path, where they all come (deque.h, G.6): a section that became public would make the join
 * wait, on a stack that must not be left. */
WF_INLINE void wf_env_enter_none(struct wf_fiber *self)
{
    wf_env_enter(self, NULL);
}

WF_INLINE struct wf_task *wf_task_of(const weft_task *task)
{
    return (struct wf_task *)(uintptr_t)task;
}

/* Of a task that has ended, or is just about to be published as such. */
WF_INLINE struct wf_outcome wf_task_outcome(const struct wf_task *task)
{
    return (struct wf_outcome){task->rc, task->rc < 0 && task->cut_short};
}

void wf_task_init(struct wf_task *task, struct weft_rt *rt, weft_fn *fn, void *arg,
                  struct wf_scope *owner, enum wf_task_kind kind, const weft_place *place);
/* The same for weft_post, whose frame is free, or fresh: writes nothing but its first two lines. */
void wf_task_init_posted(struct wf_task *task, struct weft_rt *rt, weft_fn *fn, void *arg,
                         const weft_place *place);

/* Instead of init: it has ended before it began, with rc < 0. */
void wf_task_refuse(struct wf_task *task, weft_fn *fn, void *arg, const weft_place *place, int rc);
/* One of kind FOLLOWING ends without having run. On a loop's frame, or by who made it. */
void wf_task_end_unrun(struct wf_task *task);
/* Of kind POOLED, in a scope with `.each`. */
void wf_task_free_frame(struct wf_fiber *self, struct wf_task *task);

WF_INLINE bool wf_task_is_done(struct wf_task *task)
{
    return wf_awaiters_closed(&task->waiters);
}

/* If the task is unstarted and in the deque of this worker, as the newest: runs it here and now, as
 * a call, and returns true. Only for a waiter that needs this very task to end before it goes
 * on. */
bool wf_task_run_in_place(struct wf_fiber *self, struct wf_task *task);
/* Takes an awaiter that was added to the task out of it: see wf_awaiters_remove. The caller keeps
 * the task and its owner scope from going away. */
bool wf_task_unwatch(struct wf_task *task, struct wf_awaiter *awaiter);
/* Of a task that has ended, and that `awaiter` has waited for: it need not be awaited again. Its
 * error record, or NULL, is the caller's now: the first who asks gets it (see wf_error_of). */
weft_error *wf_task_collect(struct wf_task *task, struct wf_task *awaiter);
/* Would the code under `env` wait for its own task, or for one that cannot end before that has? The
 * way up is looked at for so many steps, so that a deep tree of tasks does not cost its depth at
 * each await. */
#define WF_ANCESTORS_MAX 64
bool wf_task_would_deadlock(const struct wf_env *env, struct wf_task *task);

/* New work: into the deque of this worker; from a loop, which runs nothing but what moved to it, to
 * the pool. */
void wf_start_queued(struct wf_fiber *self, struct wf_work *work);
/* Calls the body, under the task's env; its result. */
int wf_task_run_body(struct wf_fiber *self, struct wf_task *task);

/* --- cancellation: walk.c --------------------------------------------------------------------- */

/* Bits of the `cancel` word of scopes and sources; they are only ever set, under its lock, and
 * pushed down the whole subtree. */
#define WF_CANCEL_FIRED   1u /* cancelled by a call, or by an ancestor: refuse before trying */
#define WF_CANCEL_EXPIRED 2u /* its deadline or an ancestor's passed: try, but do not wait */
#define WF_CANCEL_MEMBER  4u /* some task of it was cancelled alone: look at wf_task.cancel */

/* What can have callbacks: a scope, or a source (cancel.c). */
struct wf_node {
    struct wf_list callbacks; /* wf_reg.link, the newest last; under the owner's lock */
    struct wf_node *next;     /* in the walk that cancelled it, which pins it; that walk's */
    uint8_t is_source;        /* immutable */
};

struct wf_run;

/* The state of a callback's registration:
 *
 *      WAITING --[weft_cancel_off, reset]--> OFF
 *         +------[walk]--> RUNNING --[it has returned, or took itself off]--> RAN
 *
 * WAITING: in the node's list. RUNNING: in none, `run` is who runs it. Last two: the library does
 * not touch it any more. */
enum wf_reg_state {
    WF_REG_OFF = 0, /* zeroed memory too */
    WF_REG_WAITING = 1,
    WF_REG_RUNNING = 2,
    WF_REG_RAN = 3,
    WF_REG_LINK = 4, /* no callback: a link to a source, or to a scope under it */
};

struct wf_reg {
    struct wf_list link;       /* in the node's callbacks, or the source's links; under its lock */
    struct wf_node *node;      /* whose; immutable while registered */
    WF_ATOMIC(uint32_t) state; /* enum wf_reg_state; written under the owner's lock */
    uint8_t to_scope;          /* of a link: the target is a scope */
    const weft_place *place;   /* where it was registered */
    union {
        struct {
            weft_cancel_fn *fn;
            void *arg;
            struct wf_env *env; /* of a scope's: under which it was registered */
            struct wf_run *run; /* while RUNNING */
        };
        struct {
            struct wf_node *target;   /* of a link: what is cancelled with the source */
            struct wf_list in_target; /* of a link to a source: in its list; under its lock */
        };
    };
};

_Static_assert(sizeof(struct wf_reg) <= sizeof(weft_cancel_reg), "weft_cancel_reg is too small");

/* One cancellation on its way; on the canceller's stack. What has callbacks is collected while the
 * flags go down, pinned, and they run when all flags are set (E7). */
struct wf_walk {
    struct wf_node *first, **last;
    struct wf_scope *scope; /* of callbacks of one task that is cancelled alone */
    struct wf_list alone;
};

struct wf_source;

/* Takes a scope or source that has just been marked, and is pinned for it, into the walk. */
void wf_walk_add(struct wf_walk *walk, struct wf_node *node);
/* Pass two: the callbacks of all that was taken in, in order, each node's newest first; unpins. */
void wf_walk_callbacks(struct wf_walk *walk);
void wf_walk_init(struct wf_walk *walk);
/* For a source that the scope is under, and that has pinned it: cancels it and all below it; the
 * caller runs the callbacks. */
void wf_walk_scope(struct wf_walk *walk, struct wf_scope *scope, uint32_t bits,
                   const weft_reason *reason);

/* A reason with the time of now. */
weft_reason wf_reason(enum weft_why_kind kind, const char *text, const weft_place *place);

/* Cancels one task that was spawned into a scope, with all that it spawned and has open, and leaves
 * the rest of the scope alone. Any thread that keeps the task and its scope from ending: in
 * practice a member of the scope that holds the task's memory. A task that has ended: no effect.
 * Costs the same however full the scope is, as long as the task has at most one wait, no scope of
 * its own open and nothing spawned; else all that waits or is open in the scope is looked at. */
void wf_task_cancel(struct wf_task *task, const weft_reason *reason);

/* --- callbacks, sources: cancel.c ------------------------------------------------------------- */

/* Is a cancel callback running on this stack (or foreign thread)? It is not in task context. */
WF_COLD bool wf_in_callback(void);
/* Why the callback that is running was called; wf_reason_none if there is none. */
const weft_reason *wf_callback_reason(void);
extern const weft_reason wf_reason_none;
/* A link of a scope under a source, for weft_under: 0; or the bits that are set already, with the
 * reason, and nothing linked. */
uint32_t wf_source_link_scope(weft_cancel *handle, struct wf_scope *scope, weft_reason *reason);
void wf_source_unlink_scope(struct wf_scope *scope);
/* The same, and cancels the scope if the source has fired. An open scope of the caller's, that is
 * under no source. */
void wf_scope_put_under(struct wf_scope *scope, weft_cancel *source);
struct wf_lock *wf_source_lock(struct wf_node *node);
const weft_reason *wf_source_reason(struct wf_node *node);
void wf_source_unpin(struct wf_node *node);
/* Runs the callbacks of a list, the newest first; `lock` guards it. The node is pinned. */
void wf_callbacks_run(struct wf_list *callbacks, struct wf_lock *lock, const weft_reason *reason);

/* --- scopes: scope.c -------------------------------------------------------------------------- */

/* wf_scope.live counts in its lower half: the owner's hold (1) until wf_scope_close lets go, each
 * pooled task, each foreign handle; in its upper half walks that are in the scope. The one who
 * brings the whole to 0 resumes the joiner. ENDED is set by the owner afterwards. */
#define WF_SCOPE_PIN   (UINT64_C(1) << 32)
#define WF_SCOPE_ENDED (UINT64_C(1) << 63)

/* What a scope with `.each` keeps of tasks that have ended: see each.c. Under the scope's lock. */
struct wf_each {
    uint32_t max; /* immutable; 0: it keeps nothing, and the rest is not used */
    uint32_t untaken, running;
    struct wf_works kept;  /* tasks' works, in the order of their ends */
    struct wf_list calls;  /* the weft_scope_next that waits: one at most */
    struct wf_task *taken; /* what the owner looks at; owner only */
};

struct wf_scope {
    struct wf_env env;    /* {the opening task, this scope}; the code inside runs under it */
    struct wf_env *outer; /* env to return to; NULL for a root */
    const weft_place *place;

    /* any thread, under lock */
    struct wf_lock lock;
    WF_ATOMIC(uint32_t) cancel; /* WF_CANCEL_*; read without the lock */
    struct wf_list children;    /* scopes directly below, by `sibling` */
    struct wf_list visit;       /* those of them that a walk is yet to look at */
    /* wf_task.in_scope of tasks that have ever waited, until they end or a walk takes them out */
    struct wf_list waiters;
    struct wf_list waits;    /* wf_wait.in_scope of calls that wait right now, and are in no slot */
    struct wf_list ended;    /* those of them that a walk has ended, until they leave */
    struct wf_list loans;    /* wf_borrowed.in_scope: what its end gives back */
    struct wf_list sibling;  /* in the parent's children or visit, under the parent's lock */
    struct wf_scope *parent; /* immutable while open; NULL: the root of `runtime` */
    struct wf_node node;     /* callbacks */
    weft_reason reason;      /* of the first cancel; immutable once there is one */
    /* the bits of the first cancel of this very scope; 0: only ancestors', or none */
    uint32_t own_cause;
    WF_ATOMIC(uint8_t) cut_short; /* 1: some task answered the cancellation with -ECANCELED */
    uint8_t on_error;             /* enum weft_on_error; immutable */
    uint8_t open;      /* between begin and end; the owner writes, under lock at the end */
    uint8_t is_shield; /* immutable */
    /* of a weft_within or the like: it has no loans. Immutable */
    uint8_t is_around_expression;
    uint8_t is_base;  /* counted in the base_scopes of outer->task; under the parent's lock */
    uint8_t shielded; /* the outer scopes' flags wait outside; under the parent's lock */
    struct wf_failures failures; /* of pooled tasks */

    /* immutable while open */
    int64_t deadline_ns; /* the earliest of its own and all enclosing ones; INT64_MAX: none */

    /* any thread */
    WF_ATOMIC(uint64_t) live;
    union {
        struct wf_fiber *joiner; /* written by the owner before it lets go of live */
        struct weft_rt *runtime; /* of a root */
    };
    /* armed if this scope's own deadline is the earliest, and for a shield's grace */
    struct wf_timer timer;
    struct wf_work late; /* queued by the timer, which pins the scope for it */
    struct wf_reg under; /* LINK: the scope is weft_under a source */
    struct wf_each each;
};

_Static_assert(sizeof(struct wf_scope) <= sizeof(weft_scope), "weft_scope is too small");
_Static_assert(_Alignof(struct wf_scope) <= _Alignof(weft_scope),
               "weft_scope is not aligned enough");

WF_INLINE struct weft_rt *wf_scope_runtime(const struct wf_scope *scope)
{
    return scope->parent != NULL ? scope->env.task->rt : scope->runtime;
}

WF_INLINE struct wf_scope *wf_scope_of(const weft_scope *scope)
{
    return (struct wf_scope *)(uintptr_t)scope;
}

void wf_scope_init_root(struct wf_scope *scope, const weft_place *place);
/* Opens `scope` inside the current env of `self`, with a deadline `timeout` from now (WEFT_FOREVER:
 * none). */
void wf_scope_open(struct wf_fiber *self, struct wf_scope *scope, int on_error, weft_time timeout,
                   const weft_place *place);
/* The same, out of reach of what cancels the outer scopes, for `grace`. */
void wf_scope_open_shield(struct wf_fiber *self, struct wf_scope *scope, weft_time grace,
                          const weft_place *place);
/* Waits for its tasks, and for walks that are in it, and takes it out of the tree. Does not look at
 * what went wrong. */
void wf_scope_close(struct wf_fiber *self, struct wf_scope *scope);
/* A task joins the scope: 0, or -ECANCELED if it is cancelled or ended. Any thread. */
int wf_scope_enter(struct wf_scope *scope);
/* The same `count` times over, and left as often: all or none. */
int wf_scope_enter_many(struct wf_scope *scope, uint32_t count);
void wf_scope_leave_many(struct wf_scope *scope, uint32_t count);
void wf_scope_leave(struct wf_scope *scope);
/* The last hold has gone. LAST TOUCH of the scope. */
void wf_scope_emptied(struct wf_scope *scope);
/* Gives up `hold` of `live`, in line. LAST TOUCH of the scope. */
WF_INLINE void wf_scope_let_go(struct wf_scope *scope, uint64_t hold)
{
    /* sync(scope.leave): acq_rel, what members did is seen by whoever ends the scope; pairs
     * sync(scope.leave), sync(scope.let_go) */
    if (wf_unlikely(wf_sub_acq_rel(&scope->live, hold) == hold)) {
        wf_scope_emptied(scope);
    }
}
/* A walk that found the scope under its parent's lock, or the like, keeps it from going away.
 * False: it is about to, nothing runs in it any more. */
bool wf_scope_pin(struct wf_scope *scope);
void wf_scope_unpin(struct wf_scope *scope);
/* A pooled task of the scope has ended with rc < 0. Takes the record. Any thread, before
 * wf_scope_leave. */
void wf_scope_task_failed(struct wf_scope *scope, int rc, weft_error *error);
/* Cancels the scope, and runs the callbacks: 0, or -EALREADY. Any thread, while the scope's memory
 * lasts, holding no lock. */
int wf_scope_fire(struct wf_scope *scope, uint32_t bits, const weft_reason *reason);
/* The grace of a shield is over: what cancelled the outer scopes reaches it now. The caller
 * pins. */
void wf_scope_lift(struct wf_scope *scope);

WF_INLINE uint32_t wf_scope_cancelled(struct wf_scope *scope)
{
    /* Relaxed: level-triggered, and the lock orders what matters before a wait (wf_wait_enlist),
     * or the slot (wf_wait_enter). */
    return wf_load_relaxed(&scope->cancel) & (WF_CANCEL_FIRED | WF_CANCEL_EXPIRED);
}

/* The same of the running code, which may be a task that was cancelled alone. */
uint32_t wf_env_cancelled_alone(struct wf_env *env);
WF_INLINE uint32_t wf_env_cancelled(struct wf_env *env)
{
    uint32_t bits = wf_load_relaxed(&env->scope->cancel); /* relaxed: as above */
    if (wf_unlikely((bits & WF_CANCEL_MEMBER) != 0)) {
        return (bits | wf_env_cancelled_alone(env)) & ~WF_CANCEL_MEMBER;
    }
    return bits;
}

/* Why: of the scope, or of the task that was cancelled alone; kind NONE if it is not. */
const weft_reason *wf_env_reason(struct wf_env *env);

/* wf_wait_enter and wf_wait_leave when the slot does not do. */
bool wf_wait_enter_locked(struct wf_wait *wait, struct wf_env *env);
/* wf_wait_enter_locked of a wait that stays: leaves by wf_wait_delist. */
bool wf_wait_enter_to_stay(struct wf_wait *wait, struct wf_env *env);
void wf_wait_leave_locked(struct wf_wait *wait, struct wf_env *env);
WF_COLD bool wf_wait_retract(struct wf_wait *wait, struct wf_env *env);

/* Is there anything cancelled, after the wait has entered its slot? */
WF_INLINE bool wf_wait_is_flagged(struct wf_env *env)
{
    /* sync(wait.flag): seq_cst, after the wait is in its slot, and acquire, the flag of a task that
     * was cancelled alone; pairs sync(walk.marked), sync(walk.marked_alone) */
    return wf_load_seq_cst(&env->scope->cancel) != 0;
}

/* A stack, before it lies down in a wait that is its own: makes it reachable for what cancels
 * `env`, which runs. False: that is cancelled, and nobody but the caller will end the wait. */
WF_INLINE bool wf_wait_enter(struct wf_wait *wait, struct wf_env *env)
{
    if (wf_unlikely(!wf_slot_enter(&env->slot, wait, wait))) { /* no own call: none stays */
        return wf_wait_enter_locked(wait, env);
    }
    if (wf_unlikely(wf_wait_is_flagged(env))) {
        return !wf_wait_retract(wait, env);
    }
    return true;
}

/* After it, under the same env: nobody touches the wait for a cancellation any more. */
WF_INLINE void wf_wait_leave(struct wf_wait *wait, struct wf_env *env)
{
    if (wf_unlikely(!wf_slot_leave(&env->slot, wait))) {
        wf_wait_leave_locked(wait, env);
    }
}

/* A task's body has returned: no walk looks into its slot any more. */
void wf_task_unlist_locked(struct wf_task *task);
WF_INLINE void wf_task_unlist(struct wf_task *task)
{
    /* relaxed: its strands are over, or this one */
    if (wf_unlikely(wf_load_relaxed(&task->env.slot.word) != WF_SLOT_UNLISTED)) {
        wf_task_unlist_locked(task);
    }
}

/* --- results one by one: each.c --------------------------------------------------------------- */

void wf_each_init(struct wf_scope *scope, int max);
/* A task is about to be started in the scope: 0, or -EAGAIN if it has enough. */
int wf_each_enter(struct wf_scope *scope);
/* It has ended; its result is final. Any thread, before wf_scope_leave. LAST TOUCH of the task. */
void wf_each_ended(struct wf_scope *scope, struct wf_task *task);
/* All tasks have left: what was not taken is dropped, failures become the scope's. */
void wf_each_close(struct wf_fiber *self, struct wf_scope *scope);

/* --- buffers that are lent: loan.c ------------------------------------------------------------ */

/* Gives back what is lent to tasks of a scope that nobody receives in any more: by who closes it;
 * of the root by a foreign thread, when all tasks have ended. */
WF_COLD void wf_loans_end(struct wf_scope *scope);
/* Adds what the worker has lent. Any thread. */
void wf_loans_count(struct wf_worker *worker, weft_stats *out);
/* The worker lends no more; nothing is lent. What it has counted may be read until its fini. */
void wf_loans_stop(struct wf_worker *worker);
void wf_loans_fini(struct wf_worker *worker);

/* --- calls that wait: await.c ----------------------------------------------------------------- */

/* The fiber in task context, or NULL; for calls that only look. */
struct wf_fiber *wf_peek_task(void);
/* Why the running code may not make a call of the API: it is in no task context. A code below 0. */
WF_COLD int wf_refuse_task(void);
/* In task context: -ECANCELED if it is to refuse (E1), else 0. */
WF_COLD int wf_refuse_call(struct wf_fiber *self);

#if WF_MODEL /* the harness says who runs */
struct wf_fiber *wf_enter_task(int *rc);
struct wf_fiber *wf_enter_call(int *rc);
WF_INLINE struct wf_fiber *wf_enter_at_once(void)
{
    return NULL;
}
#else
/* The start of every public call that needs task context: the fiber, or NULL with the code to
 * return in *rc (-EPERM on a foreign thread, -ENOSYS in a forked child, -EDEADLK with a report of
 * misuse in a cancel callback). Does not look at cancellation. */
WF_INLINE struct wf_fiber *wf_enter_task(int *rc)
{
    struct wf_fiber *self = wf_self();
    if (wf_unlikely(self == NULL) || wf_unlikely(self->env == NULL)) {
        *rc = wf_refuse_task();
        return NULL;
    }
    return self;
}

/* The same, and refuses with -ECANCELED inside a cancelled scope (E1). */
WF_INLINE struct wf_fiber *wf_enter_call(int *rc)
{
    struct wf_fiber *self = wf_enter_task(rc);
    /* relaxed: see wf_scope_cancelled */
    if (wf_likely(self != NULL) &&
        wf_unlikely((wf_load_relaxed(&self->env->scope->cancel) &
                     (WF_CANCEL_FIRED | WF_CANCEL_MEMBER)) != 0) &&
        (*rc = wf_refuse_call(self)) < 0) {
        return NULL;
    }
    return self;
}

/* The same for who has another way, with wf_enter_call: NULL if anything is unusual. */
WF_INLINE struct wf_fiber *wf_enter_at_once(void)
{
    struct wf_fiber *self = wf_self();
    /* relaxed: see wf_scope_cancelled */
    if (wf_unlikely(self == NULL || self->env == NULL ||
                    (wf_load_relaxed(&self->env->scope->cancel) &
                     (WF_CANCEL_FIRED | WF_CANCEL_MEMBER)) != 0)) {
        return NULL;
    }
    return self;
}
#endif

struct wf_op;
/* Submits the op; its end claims the call. In `ops` the two that follow. While its descriptor is
 * being closed it ends at once, with -EBADF (uses.h). */
ssize_t wf_op_begin(struct wf_op *op, struct wf_call *call, struct wf_work *resume,
                    struct wf_worker *worker, const struct wf_wait_ops *ops);
/* Instead of wf_op_begin: the call has ended with `result` (< 0), and nothing is tried. */
WF_COLD void wf_op_refuse(struct wf_op *op, struct wf_call *call, struct wf_worker *worker,
                          const struct wf_wait_ops *ops, int32_t result);
void wf_op_cancel(struct wf_wait *wait);
ssize_t wf_op_finish(struct wf_call *call);
/* Submits the op on the current worker and suspends until it is done. Its result: >= 0 or -errno;
 * -ECANCELED as it stands if the scope was cancelled before (not submitted) or the kernel let go of
 * it. */
ssize_t wf_await_op(struct wf_op *op);

/* --- generators: gen.c ------------------------------------------------------------------------ */

/* Misuse: reports each generator that was made under `env`, which ends, and not closed, and cancels
 * its producer. */
WF_COLD void wf_gens_abandon(struct wf_fiber *self, struct wf_env *env);

/* At the end of `env`, by the code that ends it: was something that it started not awaited? Of
 * generators that were not closed it has complained itself. */
WF_INLINE bool wf_env_has_unawaited(struct wf_fiber *self, struct wf_env *env)
{
    /* relaxed, both: only its own strands write, and whoever closes a generator of theirs for
     * them */
    if (wf_likely(wf_load_relaxed(&env->unawaited) == 0)) {
        return false;
    }
    wf_gens_abandon(self, env);
    return wf_load_relaxed(&env->unawaited) != 0;
}

/* wf_fiber_hooks.run_call: fork.c */
void wf_call_section_run(struct wf_fiber *self, struct wf_work *work);

/* --- being seen: dump.c ----------------------------------------------------------------------- */

/* wf_fiber.waits_for of waits that are no wf_call; waits_at is the task, the scope, nothing. */
extern const char WF_WAITS_TASK[], WF_WAITS_SCOPE[], WF_WAITS_SECTION[];

/* wf_pool_hooks.stands_still: deadlock.c */
wf_stood_still_fn *wf_runtime_stands_still(struct wf_pool *pool);

/* Writes a line for each stack of `rt` that waits. How many. Any thread. */
int wf_dump_waits(struct weft_rt *rt, int fd);

/* --- executors: exec.c ------------------------------------------------------------------------ */

/* A body has ended elsewhere than it began: back to where its stack was. */
void wf_exec_return(struct wf_fiber *self, struct wf_home *to);
bool wf_exec_is_loop(struct wf_home *home);
/* From a loop, which has no ring, to the pool for an operation, and back. In between the loop
 * counts the strand as its own, so that it is not freed meanwhile. */
struct wf_home *wf_exec_lend(struct wf_fiber *self);
void wf_exec_take_back(struct wf_fiber *self, struct wf_home *home);
/* Around the sleep of a foreign thread in weft_call. */
void wf_exec_call_begin(struct wf_task *task);
void wf_exec_call_end(void);
void wf_exec_release_all(struct weft_rt *rt);

/* --- errors: error.c -------------------------------------------------------------------------- */

WF_COLD void wf_misuse(const char *format, ...) WF_PRINTF(1, 2);
/* A record with all that belongs to it. NULL is fine. */
WF_COLD void wf_error_free_all(weft_error *error);
WF_INLINE void wf_error_free(weft_error *error)
{
    if (wf_unlikely(error != NULL)) {
        wf_error_free_all(error);
    }
}
/* Replaces the task's record with `error` (may be NULL), which it now owns. */
void wf_error_give(struct wf_task *task, weft_error *error);
/* The task's record, now the caller's; or NULL. */
weft_error *wf_error_take_it(struct wf_task *task);
WF_INLINE weft_error *wf_error_take(struct wf_task *task)
{
    /* relaxed: whoever set it did so before what made us look */
    return wf_likely(wf_load_relaxed(&task->error) == NULL) ? NULL : wf_error_take_it(task);
}
/* The record of a task that has ended with rc < 0, given what it left behind (may be NULL; owned):
 * a new one, if that is of another failure. NULL: rc is -ECANCELED and there is nothing to say, or
 * there was no memory. */
weft_error *wf_error_of(const struct wf_task *task, int rc, weft_error *error);
/* Where a failure is from, for the reason of what it cancels: the weft_fail, else the task's start,
 * else `place`. */
const weft_place *wf_error_place(const weft_error *error, const weft_place *place);
/* wf_error_give to the task that has waited at `place` (NULL: adds no place). */
void wf_error_hand_on(struct wf_task *awaiter, weft_error *error, const weft_place *place);
/* Takes the record (may be NULL) of one more failure. */
void wf_failures_add(struct wf_failures *failures, int rc, weft_error *error);
/* When all have been added: the record of the first, with the others in it, which is the caller's
 * now. `first` stays, as a memory of it. */
weft_error *wf_failures_take(struct wf_failures *failures);
/* What messages call a task: the name that it was given, or the function that it was started
 * with. */
const char *wf_task_name(const struct wf_task *task);
/* The same, and where it was started; as snprintf. */
int wf_task_describe(const struct wf_task *task, char *out, size_t bytes);
/* On stderr: a failure that no task will ever read, after `what`. `error` may be NULL. */
void wf_error_report(const char *what, const char *name, const weft_place *started, int rc,
                     const weft_error *error);

/* --- failures that nobody looked at: fault.c -------------------------------------------------- */

/* Calls the hook of the runtime, and does what it says; `verdict` (enum weft_verdict) if there is
 * no hook, or it does not say. Takes the record (may be NULL). On a worker of the runtime, holding
 * no lock. */
void wf_fault_unobserved(struct weft_rt *rt, const char *name, const weft_place *started, int rc,
                         weft_error *error, int verdict);
/* The same for each failure that a closed scope has kept. */
void wf_fault_scope(struct weft_rt *rt, struct wf_failures *failures);

/* --- services and the drain: service.c -------------------------------------------------------- */

/* The drain begins, if it has not: services are asked to finish, those who wait for it go on. Any
 * thread, holding no lock. */
void wf_drain_begin(struct weft_rt *rt);
/* It is over: every service that is left is cancelled. Any thread, holding no lock. */
void wf_drain_over(struct weft_rt *rt);
bool wf_drain_has_services(struct weft_rt *rt);
/* On stderr: what keeps the runtime from stopping. Any thread. */
void wf_drain_report(struct weft_rt *rt);

/* --- runtime: runtime.c ----------------------------------------------------------------------- */

struct weft_rt {
    /* immutable after start */
    struct wf_pool *pool;
    struct wf_driver *driver;
    /* threads for the program's functions, which may wait for anything; and for what the library
     * itself does, which does not wait for those */
    struct wf_blocking *blocking, *own_blocking;
    weft_unobserved_fn *on_unobserved;
    void *on_unobserved_arg;
    weft_time drain, kill;
    int64_t patience_ns;        /* the pool's, which may be gone when it is reported */
    uint32_t loans, loan_bytes; /* buffers of each worker that receives borrow */
    int deadlock;               /* enum weft_deadlock */

    struct wf_scope root;

    /* tasks from outside: foreign threads */
    struct wf_lock foreign_lock; /* of the three below */
    /* in root.live for tasks that weft_post has still to start; read without the lock */
    WF_ATOMIC(uint32_t) foreign_entries;
    struct wf_slab foreign_frames; /* task frames for weft_post from foreign threads */
    struct weft_exec *loops;       /* freed executors whose slabs may still be in use */
    WF_ATOMIC(uint32_t) entering;  /* foreign threads in weft_call whose task has not begun */
    WF_ATOMIC(uint32_t) callers;   /* and those whose task has not ended */

    /* any thread: its end */
    WF_ATOMIC(uint32_t) quiet; /* futex word: 1 when root.live has come to 0 */
    WF_ATOMIC(uint32_t) stopping;
    WF_ATOMIC(uint32_t) finishing;  /* 1: some thread ends the pool, or has */
    WF_ATOMIC(uint32_t) stopped;    /* futex word: 1 when the threads are gone */
    WF_ATOMIC(uint32_t) deadlocked; /* enum stage of deadlock.c; 0: no deadlock so far */
    WF_ATOMIC(int32_t) fault;       /* code of the failure that stopped it; 0: none */
    struct wf_timer fault_timer;    /* armed by that failure: ends its drain */
    struct wf_work fault_message;   /* which that timer sends, since it may not cancel by itself */
    struct wf_worker *fault_worker; /* written before the timer is armed */

    /* any thread: counts, for reports, but for loops_open */
    WF_ATOMIC(uint32_t) loops_open;        /* deadlock.c asks */
    WF_ATOMIC(uint32_t) lookups_abandoned; /* that still run: resolve.c */
    WF_ATOMIC(uint64_t) values_dropped;
    WF_ATOMIC(uint64_t) shields; /* weft_shield(WEFT_FOREVER) so far, and where the first was */
    WF_ATOMIC(const weft_place *) first_shield;

    /* the drain: service.c */
    struct wf_lock drain_lock;    /* before the lock of a scope or an object */
    struct wf_list services;      /* that run; under drain_lock */
    struct wf_list drain_waiters; /* wf_waiter.in_queue; under drain_lock */
    /* 0; what services are asked for that start now: enum service_phase. Written under
     * drain_lock */
    WF_ATOMIC(uint32_t) draining;

    /* listeners with a lane in some worker, by in_rt: listen.c. The lock is before a listener's */
    struct wf_lock listeners_lock;
    struct wf_list listeners;
    WF_ATOMIC(uint32_t) listeners_left; /* futex word: 0 when that list is empty */
};

WF_INLINE struct weft_rt *wf_runtime_of(struct wf_fiber *self)
{
    return (struct weft_rt *)self->worker->runtime;
}
/* An unobserved failure with `rc` stops the runtime: the first one says what weft_run returns. On a
 * worker of it, holding no lock. */
void wf_runtime_fault(struct weft_rt *rt, int rc);
/* A shield without a bound was opened: said on stderr when the runtime stops. */
void wf_runtime_note_shield(struct weft_rt *rt, const weft_place *place);
/* Ends what listeners have in the kernel; no task runs any more, and none will. By a foreign
 * thread. */
void wf_listeners_end(struct weft_rt *rt);
/* Tasks of the root scope that have not ended, by root.live less what is in it for others: a
 * snapshot. */
size_t wf_runtime_count(struct weft_rt *rt);
/* A pooled task of the root scope has ended on `worker`: wf_scope_leave, together with its next
 * ones. */
void wf_runtime_leave_root(struct weft_rt *rt, struct wf_worker *worker);
/* The root scope is empty: wakes weft_rt_stop. */
void wf_runtime_quiet(struct wf_scope *root);

#endif
