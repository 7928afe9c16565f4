/* walk.c: how a cancellation goes down, through the tree of scopes and to the callbacks.
 *
 * A *walk* is one cancellation on its way: a loop on the canceller's stack, without recursion and
 * without memory of its own. Pass one sets the flags: in preorder from the scope where it begins,
 * ending the waits of each scope that it comes to. Pass two runs the callbacks of what it passed
 * (E7: only when the flags are visible everywhere). Sources (cancel.c) begin walks of their own,
 * in the scopes that are open under them.
 *
 * A walk holds at most one lock of a scope, for at most WALK_BATCH steps. What keeps a scope on its
 * path alive is a *pin*: a hold like a task's, which the owner waits for before the scope goes
 * away. A scope whose last hold is gone cannot be pinned, and need not be: nothing runs in it any
 * more.
 *
 * To visit. A walk that sets new flags in a scope moves all children into the scope's `visit` list,
 * in O(1), and takes them out one after another, back into `children`. A child that closes
 * meanwhile unlinks itself from either list under the same lock. A scope that opens meanwhile takes
 * over the flags from its parent under that lock, and need not be visited. Two walks in one scope
 * (a deadline, then a call) share the list: what is handed to a child is computed when it is taken,
 * so it has the flags of both, and a walk that sets a flag moves *all* children to `visit` again.
 *
 * G.1  When no walk is under way, each scope has all flags that its parent has, but for shields.
 * G.2  A wait whose scope has a flag has been ended: it was in the list when the flag was set, or
 *      in a slot that the walk looks into after it (slot.h), and a walk ends it there; or who
 *      began it has seen the flag. There is no third case: of the list both hold the lock, of a
 *      slot G.1 of slot.h.
 * G.3  A waiter that a walk ended does not return before the walk is through with its wait: it
 *      takes the scope's lock once in wf_wait_delist, or wf_wait_leave if the walk has not let go
 *      of it; of one that stays in its slot the memory is there anyway.
 * G.4  A scope comes from "no flag" to "some flag" once; the walk that does it runs the callbacks
 *      registered before. Later ones run at once (weft_cancel_on).
 * G.5  A walk that finds nothing new in a scope passes over what is below: the walk that set the
 *      flags there goes down, but may not have come to its end.
 *
 * Why flags are read without the lock: cancellation is level-triggered; G.2 is for who waits. */
#include "pool/base/check.h"
#include "pool/base/sys.h"
#include "src/core.h"

/* Waits ended, or children looked at, under one hold of a scope's lock: 64 take some microseconds,
 * and somebody who opens a scope there waits for no more. */
#define WALK_BATCH 64

/* --- being found ------------------------------------------------------------------------------ */

/* Under the lock of env's scope: a walk that comes later finds the wait in the scope's list. A wait
 * under the task's own env is counted in the task: see wf_task_cancel. */
static void enlist_locked(struct wf_wait *wait, struct wf_env *env)
{
    wf_list_push_back(&env->scope->waits, &wait->in_scope);
    wait->env = env;
    if (wf_env_is_base(env)) {
        env->task->base_waits++;
    }
}

static void delist_locked(struct wf_wait *wait, struct wf_env *env)
{
    wf_list_drop(&wait->in_scope); /* nobody looks at it any more */
    wait->env = NULL;
    if (wf_env_is_base(env)) {
        env->task->base_waits--;
    }
}

int wf_wait_enlist(struct wf_wait *wait, struct wf_env *env)
{
    struct wf_scope *scope = env->scope;
    wf_lock(&scope->lock);
    bool cancelled = wf_env_cancelled(env) != 0;
    if (!cancelled) {
        enlist_locked(wait, env);
    }
    wf_unlock(&scope->lock);
    return cancelled ? -ECANCELED : 0;
}

void wf_wait_delist(struct wf_wait *wait)
{
    struct wf_env *env = wait->env;
    if (env != NULL) {
        struct wf_scope *scope = env->scope;
        wf_lock(&scope->lock);
        delist_locked(wait, env);
        wf_unlock(&scope->lock);
    }
}

/* The first wait of a task, under the lock of its scope. False: another strand of it was first. */
static bool list_locked(struct wf_wait *wait, struct wf_env *env, uintptr_t stays)
{
    if (wf_load_relaxed(&env->slot.word) != WF_SLOT_UNLISTED) { /* relaxed: set under the lock */
        return false;
    }
    wf_list_push_back(&env->scope->waiters, &env->task->in_scope);
    wf_slot_set(&env->slot, (uintptr_t)wait | stays);
    return true;
}

static bool enter_locked(struct wf_wait *wait, struct wf_env *env, uintptr_t stays)
{
    struct wf_scope *scope = env->scope;
    wf_lock(&scope->lock);
    bool cancelled = wf_env_cancelled(env) != 0;
    if (!cancelled && !list_locked(wait, env, stays)) {
        enlist_locked(wait, env);
    }
    wf_unlock(&scope->lock);
    return !cancelled;
}

bool wf_wait_enter_locked(struct wf_wait *wait, struct wf_env *env)
{
    return enter_locked(wait, env, 0);
}

bool wf_wait_enter_to_stay(struct wf_wait *wait, struct wf_env *env)
{
    return enter_locked(wait, env, WF_SLOT_STAYS);
}

/* The slot has been touched by a walk, or is not ours. */
void wf_wait_leave_locked(struct wf_wait *wait, struct wf_env *env)
{
    struct wf_scope *scope = env->scope;
    if (wf_slot_leave_unlisted(&env->slot, wait)) {
        return;
    }
    wf_lock(&scope->lock);
    if (wait->env != NULL) {
        delist_locked(wait, env);
    } else {
        wf_slot_free(&env->slot);
    }
    wf_unlock(&scope->lock);
}

/* It is in its slot, and a flag is set. True: it is cancelled, and not in the slot any more. */
bool wf_wait_retract(struct wf_wait *wait, struct wf_env *env)
{
    return wf_env_cancelled(env) != 0 && wf_slot_leave(&env->slot, wait);
}

void wf_task_unlist_locked(struct wf_task *task)
{
    struct wf_scope *owner = task->env.scope;
    wf_lock(&owner->lock);
    wf_list_drop(&task->in_scope);
    wf_slot_set(&task->env.slot, WF_SLOT_UNLISTED);
    wf_unlock(&owner->lock);
}

/* --- ending waits ----------------------------------------------------------------------------- */

/* Works to be resumed when the lock has been let go: making one ready may wake a worker, which is a
 * system call. */
struct woken {
    struct wf_work *first, **last;
};

/* A place in the scope's list of waits, or of waiters: where a walk for one task alone goes on when
 * it has the lock again. Another walk that comes across it unlinks it. */
static const struct wf_wait_ops bookmark_ops = {.cancel = wf_wait_cancel_claim};
static const weft_place bookmark_place = {.file = "", .function = ""};

static void add_woken(struct woken *woken, struct wf_work *resume)
{
    resume->next = NULL; /* ours until it is resumed */
    *woken->last = resume;
    woken->last = &resume->next;
}

/* Under the scope's lock: claims, or asks the kernel. True: it is claimed, and lies until we resume
 * it. */
static bool end_wait_locked(struct wf_wait *wait, struct woken *woken)
{
    if (wait->ops->cancel != wf_wait_cancel_claim) {
        wait->ops->cancel(wait);
        return false;
    }
    if (wf_wait_take(wait, WF_WAIT_CANCELLED, NULL) != WF_CLAIM_OWED) {
        return false;
    }
    add_woken(woken, wait->resume);
    return true;
}

/* Under the scope's lock, after the flag is set: ends a wait that stays in the slot of `env`, if it
 * is one under that env now. */
static enum wf_claim end_staying(struct wf_wait *wait, const struct wf_env *env)
{
    /* relaxed: after the fence behind the flag, so that a strand that has not seen it is seen */
    uintptr_t state = wf_load_relaxed(&wait->state);
    while ((state & ~WF_WAIT_CAUSE) == (uintptr_t)env && wf_wait_is_open(state)) {
        /* ends: a strand that sees the flag waits no more */
        /* sync(walk.end): acquire, the saved context; pairs sync(wait.arm) */
        if (wf_cas_acquire(&wait->state, &state, (uintptr_t)WF_WAIT_CANCELLED)) {
            return (state & WF_WAIT_CAUSE) == WF_WAIT_ARMED ? WF_CLAIM_OWED : WF_CLAIM_AWAKE;
        }
    }
    return WF_CLAIM_LOST;
}

/* The same of what is in a slot, if anything is that no walk has come to. `then`: FREE; or
 * UNLISTED, its task is in no list any more. */
static void end_slot_locked(struct wf_slot *slot, uintptr_t then, struct woken *woken)
{
    uintptr_t word = wf_slot_look(slot);
    struct wf_wait *wait = wf_slot_staying(word);
    if (wait != NULL) {
        if (end_staying(wait, wf_container_of(slot, struct wf_env, slot)) == WF_CLAIM_OWED) {
            add_woken(woken, wait->resume);
            if (then != WF_SLOT_FREE) {
                wf_slot_set(slot, then); /* the strand lies until we resume it */
            }
        }
        return;
    }
    wait = wf_slot_touch(slot, word);
    if (wait != NULL && end_wait_locked(wait, woken)) {
        wf_slot_let_go(slot, wait, then); /* and the waiter need not wait for our lock */
    }
}

static void resume_all(struct woken *woken)
{
    struct wf_work *work = woken->first;
    while (work != NULL) {
        struct wf_work *next = work->next;
        wf_wait_resume(work); /* LAST TOUCH */
        work = next;
    }
}

/* A batch of what waits in the scope, under its lock. Waits go into another list of the scope,
 * until they leave: a value that nobody has taken may never (value.h); tasks into none: they do not
 * enter a slot again, since they see the flag. True: there are more. */
static bool end_waits_locked(struct wf_scope *scope, struct woken *woken)
{
    end_slot_locked(&scope->env.slot, WF_SLOT_FREE, woken);
    for (int i = 0; i < WALK_BATCH; i++) {
        struct wf_list *node = wf_list_pop_front(&scope->waiters);
        if (node == NULL) {
            break;
        }
        struct wf_task *task = wf_container_of(node, struct wf_task, in_scope);
        if (task->place != &bookmark_place) {
            end_slot_locked(&task->env.slot, WF_SLOT_UNLISTED, woken);
        }
    }
    if (!wf_list_is_empty(&scope->waiters)) {
        return true;
    }
    for (int i = 0; i < WALK_BATCH; i++) {
        struct wf_list *node = wf_list_pop_front(&scope->waits);
        if (node == NULL) {
            return false;
        }
        struct wf_wait *wait = wf_container_of(node, struct wf_wait, in_scope);
        if (wait->ops != &bookmark_ops) {
            wf_list_push_back(&scope->ended, node);
            end_wait_locked(wait, woken);
        }
    }
    return true;
}

static void end_waits(struct wf_scope *scope)
{
    bool more = true;
    while (more) { /* ends: hardly anybody enlists in a cancelled scope */
        struct woken woken = {.last = &woken.first};
        wf_lock(&scope->lock);
        more = end_waits_locked(scope, &woken);
        wf_unlock(&scope->lock);
        resume_all(&woken);
    }
}

weft_reason wf_reason(enum weft_why_kind kind, const char *text, const weft_place *place)
{
    return (weft_reason){kind, text, place, wf_sys.now_ns()};
}

/* --- pass one --------------------------------------------------------------------------------- */

void wf_walk_init(struct wf_walk *walk)
{
    *walk = (struct wf_walk){.last = &walk->first};
    wf_list_init(&walk->alone);
}

void wf_walk_add(struct wf_walk *walk, struct wf_node *node)
{
    node->next = NULL;
    *walk->last = node;
    walk->last = &node->next;
}

/* Under the lock of a scope that the walk has pinned. */
static void mark_locked(struct wf_walk *walk, struct wf_scope *scope, uint32_t bits,
                        const weft_reason *reason)
{
    uint32_t had = wf_load_relaxed(&scope->cancel); /* relaxed: the lock orders the writers */
    /* sync(walk.marked): seq_cst, before we look into slots; pairs sync(wait.flag) */
    wf_store_seq_cst(&scope->cancel, had | bits);
    /* sync(walk.marked_fence): seq_cst, before we look at waits that stay in slots; pairs
     * sync(worker.flag), sync(worker.flag_slow) */
    wf_fence_after_rmw();
    wf_list_move_all(&scope->children, &scope->visit);
    if ((had & (WF_CANCEL_FIRED | WF_CANCEL_EXPIRED)) != 0) {
        return;
    }
    scope->reason = *reason;
    if (!wf_list_is_empty(&scope->node.callbacks)) {
        /* relaxed: besides the pin that we have */
        (void)wf_add_relaxed(&scope->live, WF_SCOPE_PIN);
        wf_walk_add(walk, &scope->node);
    }
}

/* The walk comes to a scope that it has pinned and locked; and lets go of the lock. */
static void come_to_locked(struct wf_walk *walk, struct wf_scope *scope, uint32_t bits,
                           const weft_reason *reason)
{
    struct woken woken = {.last = &woken.first};
    bool more = false;
    if ((bits & ~wf_load_relaxed(&scope->cancel)) != 0) { /* relaxed: under the lock */
        mark_locked(walk, scope, bits, reason);
        more = end_waits_locked(scope, &woken);
    }
    wf_unlock(&scope->lock);
    resume_all(&woken);
    if (more) {
        end_waits(scope);
    }
}

/* What a child lacks of the flags that the code around it sees; under the lock of the scope that it
 * is in. */
static uint32_t news_for_locked(struct wf_scope *child)
{
    /* relaxed: only a walk that comes later sets more */
    return child->shielded ? 0 : wf_env_cancelled(child->outer) & ~wf_load_relaxed(&child->cancel);
}

/* The next child to come to, pinned, with what it lacks; NULL: there is none. */
static struct wf_scope *next_child(struct wf_scope *scope, uint32_t *bits, weft_reason *reason)
{
    for (;;) { /* ends: the list does, since only the first of each kind of walk fills it */
        wf_lock(&scope->lock);
        for (int i = 0; i < WALK_BATCH; i++) {
            struct wf_list *node = wf_list_pop_front(&scope->visit);
            if (node == NULL) {
                wf_unlock(&scope->lock);
                return NULL;
            }
            wf_list_push_back(&scope->children, node);
            struct wf_scope *child = wf_container_of(node, struct wf_scope, sibling);
            *bits = news_for_locked(child);
            if (*bits != 0 && wf_scope_pin(child)) {
                *reason = *wf_env_reason(child->outer);
                wf_unlock(&scope->lock);
                return child;
            }
        }
        wf_unlock(&scope->lock);
    }
}

/* All below `root`, which the caller has pinned and marked. */
static void walk_down(struct wf_walk *walk, struct wf_scope *root)
{
    struct wf_scope *scope = root;
    for (;;) { /* ends: each child is taken once for each flag */
        uint32_t bits;
        weft_reason reason;
        struct wf_scope *child = next_child(scope, &bits, &reason);
        if (child != NULL) {
            wf_lock(&child->lock);
            come_to_locked(walk, child, bits, &reason);
            scope = child;
        } else if (scope == root) {
            return;
        } else {
            struct wf_scope *parent = scope->parent;
            wf_scope_unpin(scope); /* LAST TOUCH */
            scope = parent;
        }
    }
}

void wf_walk_scope(struct wf_walk *walk, struct wf_scope *scope, uint32_t bits,
                   const weft_reason *reason)
{
    wf_lock(&scope->lock);
    if (scope->own_cause == 0) {
        scope->own_cause = bits;
    }
    come_to_locked(walk, scope, bits, reason);
    walk_down(walk, scope);
}

/* --- pass two --------------------------------------------------------------------------------- */

void wf_walk_callbacks(struct wf_walk *walk)
{
    struct wf_node *node = walk->first;
    while (node != NULL) {
        struct wf_node *next = node->next;
        if (node->is_source) {
            wf_callbacks_run(&node->callbacks, wf_source_lock(node), wf_source_reason(node));
            wf_source_unpin(node); /* LAST TOUCH */
        } else {
            struct wf_scope *scope = wf_container_of(node, struct wf_scope, node);
            wf_callbacks_run(&node->callbacks, &scope->lock, &scope->reason);
            wf_scope_unpin(scope); /* LAST TOUCH */
        }
        node = next;
    }
}

/* --- a scope ---------------------------------------------------------------------------------- */

/* Of a scope that is closing, so that nothing is in it: only what its owner reads afterwards. */
static void mark_closing_locked(struct wf_scope *scope, uint32_t bits, const weft_reason *reason)
{
    if (wf_scope_cancelled(scope) == 0) {
        scope->reason = *reason;
        /* relaxed: under the lock */
        wf_store_relaxed(&scope->cancel, wf_load_relaxed(&scope->cancel) | bits);
    }
}

int wf_scope_fire(struct wf_scope *scope, uint32_t bits, const weft_reason *reason)
{
    struct wf_walk walk;
    wf_walk_init(&walk);
    wf_lock(&scope->lock);
    bool first = scope->own_cause == 0;
    if (first && scope->open) { /* else its owner reads it without the lock */
        scope->own_cause = bits;
    }
    if (!wf_scope_pin(scope)) {
        if (scope->open) {
            mark_closing_locked(scope, bits, reason);
        }
        wf_unlock(&scope->lock); /* LAST TOUCH */
        return first ? 0 : -EALREADY;
    }
    come_to_locked(&walk, scope, bits, reason);
    walk_down(&walk, scope);
    wf_walk_callbacks(&walk);
    wf_scope_unpin(scope); /* LAST TOUCH */
    return first ? 0 : -EALREADY;
}

void wf_scope_lift(struct wf_scope *scope)
{
    struct wf_scope *parent = scope->parent;
    wf_lock(&parent->lock);
    scope->shielded = 0; /* whoever sets a flag in the parent from here on comes in */
    uint32_t bits = news_for_locked(scope);
    weft_reason reason = *wf_env_reason(scope->outer);
    wf_unlock(&parent->lock);
    if (bits != 0) {
        struct wf_walk walk;
        wf_walk_init(&walk);
        wf_lock(&scope->lock);
        come_to_locked(&walk, scope, bits, &reason);
        walk_down(&walk, scope);
        wf_walk_callbacks(&walk);
    }
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

const weft_reason *wf_env_reason(struct wf_env *env)
{
    const weft_reason *first = &env->scope->reason;
    /* relaxed, both: under the lock of their writers */
    bool alone = (wf_load_relaxed(&env->scope->cancel) & WF_CANCEL_MEMBER) != 0;
    if (wf_unlikely(alone) && wf_env_is_base(env)) {
        for (struct wf_task *task = env->task; task != NULL; task = spawner_of(task)) {
            if (wf_load_relaxed(&task->cancel) != 0 &&
                (first->kind == WEFT_WHY_NONE || task->reason.time_ns < first->time_ns)) {
                first = &task->reason;
            }
        }
    }
    return first;
}

/* Does what waits or is open under `env` belong to the task, or to one that it spawned? */
static bool is_of_task(struct wf_env *env, const struct wf_task *task)
{
    if (env->task == NULL || !wf_env_is_base(env)) { /* NULL: a value's, in the root scope */
        return false;
    }
    struct wf_task *of = env->task;
    while (of != NULL && of != task) { /* ends: spawners form a tree */
        of = spawner_of(of);
    }
    return of == task;
}

/* A batch, from `mark` on, which moves behind it. True: there are more. Nobody else enlists what is
 * the task's: its tasks see the flag. */
static bool end_waits_of_locked(struct wf_scope *owner, struct wf_task *task, struct wf_wait *mark,
                                struct woken *woken)
{
    struct wf_list *node = mark->in_scope.next;
    wf_list_unlink(&mark->in_scope);
    for (int i = 0; i < WALK_BATCH && node != &owner->waits; i++) {
        struct wf_wait *wait = wf_container_of(node, struct wf_wait, in_scope);
        node = node->next;
        if (wait->ops != &bookmark_ops && is_of_task(wait->env, task)) {
            (void)end_wait_locked(wait, woken);
        }
    }
    if (node == &owner->waits) {
        return false;
    }
    wf_list_push_back(node, &mark->in_scope); /* before `node` */
    return true;
}

/* The same, of what is in slots. */
static bool end_slots_of_locked(struct wf_scope *owner, struct wf_task *task, struct wf_task *mark,
                                struct woken *woken)
{
    struct wf_list *node = mark->in_scope.next;
    wf_list_unlink(&mark->in_scope);
    for (int i = 0; i < WALK_BATCH && node != &owner->waiters; i++) {
        struct wf_task *waiter = wf_container_of(node, struct wf_task, in_scope);
        node = node->next;
        if (waiter->place != &bookmark_place && is_of_task(&waiter->env, task)) {
            end_slot_locked(&waiter->env.slot, WF_SLOT_FREE, woken);
        }
    }
    if (node == &owner->waiters) {
        return false;
    }
    wf_list_push_back(node, &mark->in_scope); /* before `node` */
    return true;
}

/* All waits of a task, when it may have several, or tasks that it spawned have. */
static void end_waits_of(struct wf_scope *owner, struct wf_task *task)
{
    struct wf_wait mark;
    wf_wait_init(&mark, NULL, &bookmark_ops);
    wf_store_relaxed(&mark.state, WF_WAIT_CANCELLED); /* relaxed: not shared yet; no claim wins */
    struct wf_task waiter_mark;
    waiter_mark.place = &bookmark_place; /* of which nothing else is looked at */
    wf_lock(&owner->lock);
    wf_list_push_back(owner->waits.next, &mark.in_scope); /* before the first, both */
    wf_list_push_back(owner->waiters.next, &waiter_mark.in_scope);
    bool more = true, more_slots = true;
    while (more ||
           more_slots) { /* ends: with the lists, or when another walk has ended all waits */
        struct woken woken = {.last = &woken.first};
        more = more && end_waits_of_locked(owner, task, &mark, &woken);
        more_slots = more_slots && end_slots_of_locked(owner, task, &waiter_mark, &woken);
        wf_unlock(&owner->lock);
        resume_all(&woken);
        wf_lock(&owner->lock);
        more = more && !wf_list_is_empty(&mark.in_scope);
        more_slots = more_slots && !wf_list_is_empty(&waiter_mark.in_scope);
    }
    wf_list_unlink(&mark.in_scope);
    wf_list_unlink(&waiter_mark.in_scope);
    wf_unlock(&owner->lock);
}

/* True: that was all that can be the task's. */
static bool end_single_wait_locked(struct wf_task *task, struct woken *woken)
{
    end_slot_locked(&task->env.slot, WF_SLOT_FREE, woken);
    return task->base_waits == 0;
}

/* Has it spawned nothing, under its own env or one of its bindings, that is still to be awaited?
 * Then all that waits or is open in the owner scope on its behalf is counted by itself. */
static bool is_without_children(struct wf_task *task)
{
    /* relaxed, both: a task that it spawns meanwhile looks at the flag under the owner's lock
     * before it waits, or opens a scope */
    return wf_load_relaxed(&task->env.unawaited) == 0 && wf_load_relaxed(&task->has_bound) == 0;
}

static void take_callbacks_locked(struct wf_walk *walk, struct wf_scope *owner,
                                  struct wf_task *task)
{
    struct wf_list *node = owner->node.callbacks.next;
    while (node != &owner->node.callbacks) { /* ends: under the lock */
        struct wf_reg *reg = wf_container_of(node, struct wf_reg, link);
        node = node->next;
        if (is_of_task(reg->env, task)) {
            wf_list_unlink(&reg->link);
            wf_list_push_back(&walk->alone, &reg->link);
        }
    }
}

void wf_task_cancel(struct wf_task *task, const weft_reason *reason)
{
    struct wf_scope *owner = task->env.scope;
    struct wf_walk walk;
    wf_walk_init(&walk);
    struct woken woken = {.last = &woken.first};
    bool ended = true;
    wf_lock(&owner->lock);
    /* relaxed, all: written under this lock only */
    bool first = wf_load_relaxed(&task->cancel) == 0 && wf_scope_pin(owner);
    if (first) {
        task->reason = *reason;
        wf_task_touch(task);
        wf_store_relaxed(&task->cancel, WF_CANCEL_FIRED);
        /* sync(walk.marked_alone): seq_cst, as in mark_locked, and release, the task's flag; pairs
         * sync(wait.flag) */
        wf_store_seq_cst(&owner->cancel, wf_load_relaxed(&owner->cancel) | WF_CANCEL_MEMBER);
        /* sync(walk.alone_fence): seq_cst, as in mark_locked; pairs sync(worker.flag),
         * sync(worker.flag_slow) */
        wf_fence_after_rmw();
        bool alone = is_without_children(task);
        ended = alone && end_single_wait_locked(task, &woken);
        take_callbacks_locked(&walk, owner, task);
        if (!alone || task->base_scopes != 0) {
            wf_list_move_all(&owner->children, &owner->visit);
        }
    }
    wf_unlock(&owner->lock);
    resume_all(&woken);
    if (!first) {
        return;
    }
    if (!ended) {
        end_waits_of(owner, task);
    }
    walk_down(&walk, owner);
    wf_callbacks_run(&walk.alone, &owner->lock, &task->reason);
    wf_walk_callbacks(&walk);
    wf_scope_unpin(owner); /* LAST TOUCH */
}
