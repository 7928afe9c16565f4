/* model_cancel.c: cancellation against what comes and goes: src/walk.c and src/cancel.c themselves.
 * What src/scope.c does in its sections under a scope's lock (open, close, pin) is written out here
 * again, because that file needs the whole runtime.
 *
 * Checked in every execution: a wait in a cancelled scope ends; a scope below one that is cancelled
 * has its flags; nobody touches a scope, wait, source or registration after its owner has let it
 * go; a callback runs once or never, as weft_cancel_off says, and has returned when it says so;
 * nobody waits for ever. */
#include "src/walk.c"

#define mark_locked mark_source_locked /* two files in one, with names of their own */
#include "src/cancel.c"

#include "src/block.h"
#include "tests/model/await.h"
#include "tests/model/scopes.h"
#include "tests/model/wloom.h"
#include <string.h>

/* --- what the two call ------------------------------------------------------------------------ */

static int futex_wait(void *word, uint32_t expected, int64_t deadline_ns)
{
    (void)deadline_ns;
    return wloom_futex_wait(word, expected);
}

static int futex_wake(void *word, int count)
{
    return wloom_futex_wake(word, count);
}

static int64_t no_time(void)
{
    return 0;
}

struct wf_sys wf_sys = {.futex_wait = futex_wait, .futex_wake = futex_wake, .now_ns = no_time};

/* Whoever is resumed: a waiter, or the owner of a scope that closes. */
struct sleeper {
    struct wf_fiber fiber;
    WF_PLAIN(int) context; /* saved, of a stack whose wait stays in the slot */
    WF_ATOMIC(uint32_t) ready;
};

#define SLEEPERS 3
static struct sleeper sleepers[SLEEPERS];

void wf_wait_resume(struct wf_work *resume)
{
    struct wf_fiber *fiber = wf_container_of(resume, struct wf_fiber, resume);
    struct sleeper *sleeper = wf_container_of(fiber, struct sleeper, fiber);
    (void)wf_plain_read(&sleeper->context);
    wloom_handoff_set(&sleeper->ready);
}

enum wf_wait_state wf_wait_block(struct wf_fiber *self, struct wf_wait *wait)
{
    (void)self;
    return wf_wait_outcome(wait);
}

void wf_post(struct wf_worker *target, struct wf_work *message)
{
    (void)target;
    (void)message;
    wloom_fail(__FILE__, __LINE__, "no worker is here");
}

void wf_timer_init(struct wf_timer *timer, void (*fire)(struct wf_timer *timer))
{
    timer->fire = fire;
}

void wf_timer_add(struct wf_wheel *wheel, struct wf_timer *timer, int64_t deadline_ns)
{
    (void)wheel;
    (void)timer;
    (void)deadline_ns;
    wloom_fail(__FILE__, __LINE__, "no wheel is here");
}

bool wf_timer_del(struct wf_timer *timer)
{
    (void)timer;
    return false;
}

/* --- scopes, as in src/scope.c ---------------------------------------------------------------- */

bool wf_scope_pin(struct wf_scope *scope)
{
    uint64_t live = wf_load_relaxed(&scope->live);
    do {
        if (live == 0 || (live & WF_SCOPE_ENDED) != 0) {
            return false;
        }
    } while (!wf_cas_relaxed(&scope->live, &live, live + WF_SCOPE_PIN));
    return true;
}

void wf_scope_unpin(struct wf_scope *scope)
{
    if (wf_sub_acq_rel(&scope->live, WF_SCOPE_PIN) == WF_SCOPE_PIN) {
        wf_wait_resume(&scope->joiner->resume);
    }
}

static const weft_place here = {.file = "model", .function = "model"};
static struct wf_scope root, below; /* below is opened in root */
static struct wf_task task;         /* runs in all of them */
static struct wf_task tasks[2];     /* in root */

static void open_below(void)
{
    begin_scope(&below, &task);
    below.parent = &root;
    below.outer = &root.env;
    wf_lock(&root.lock);
    wf_list_push_back(&root.children, &below.sibling);
    uint32_t cancelled = wf_env_cancelled(&root.env);
    if (cancelled != 0) {
        wf_store_relaxed(&below.cancel, cancelled);
        below.reason = *wf_env_reason(&root.env);
    }
    wf_unlock(&root.lock);
}

static void close_below(struct sleeper *owner)
{
    uint64_t alone = 1;
    if (!wf_cas_acquire(&below.live, &alone, WF_SCOPE_ENDED)) {
        below.joiner = &owner->fiber;
        if (wf_sub_acq_rel(&below.live, 1) != 1) {
            wloom_handoff_wait(&owner->ready);
        }
    }
    wf_source_unlink_scope(&below);
    wf_lock(&root.lock);
    wf_list_unlink(&below.sibling);
    wf_unlock(&root.lock);
    wf_lock(&below.lock);
    below.open = 0;
    wf_unlock(&below.lock);
    wloom_retire(&below, sizeof below);
}

static struct wf_lock object_lock;
static struct wf_wait *queued; /* the wait at the object, or NULL; under object_lock */

static void begin(void)
{
    memset(sleepers, 0, sizeof sleepers);
    memset(&task, 0, sizeof task);
    begin_scope(&root, &task);
    task.env.scope = &root;
    task.env.task = &task;
    memset(tasks, 0, sizeof tasks);
    for (int i = 0; i < 2; i++) {
        tasks[i].env.scope = &root;
        tasks[i].env.task = &tasks[i];
        wf_slot_set(&tasks[i].env.slot, WF_SLOT_UNLISTED);
    }
    memset(&object_lock, 0, sizeof object_lock);
    queued = NULL;
}

/* As if the task had waited before. */
static void list_task(int i)
{
    wf_list_push_back(&root.waiters, &tasks[i].in_scope);
    wf_slot_set(&tasks[i].env.slot, WF_SLOT_FREE);
}

static uint32_t flags_of(struct wf_scope *scope)
{
    wloom_observe(true);
    uint32_t flags = wf_load_relaxed(&scope->cancel);
    wloom_observe(false);
    return flags;
}

/* --- a wait, as in src/await.c ---------------------------------------------------------------- */

static struct wf_wait waits[2];
static const struct wf_wait_ops wait_ops = {.cancel = wf_wait_cancel_claim};

/* As wf_call_block and a finish. Why it ended. */
static enum wf_wait_state lie_in(struct wf_env *env, int i)
{
    struct wf_wait *wait = &waits[i];
    bool entered = wf_wait_enter(wait, env);
    if (!entered) {
        wait->ops->cancel(wait);
    }
    if (wf_wait_outcome(wait) == WF_WAIT_SETUP && wf_wait_arm(wait)) {
        wloom_handoff_wait(&sleepers[i].ready);
    }
    if (entered) {
        wf_wait_leave(wait, env);
    }
    return wf_wait_outcome(wait);
}

static void wait_under(struct wf_env *env, int i)
{
    wf_wait_init(&waits[i], &sleepers[i].fiber.resume, &wait_ops);
    wloom_assert(lie_in(env, i) == WF_WAIT_CANCELLED);
    wloom_retire(&waits[i], sizeof waits[i]);
}

static void wait_in(struct wf_scope *scope, int i)
{
    wait_under(&scope->env, i);
}

/* At the object, where grant() may end it. */
static void wait_for_grant(struct wf_env *env, int i)
{
    struct wf_wait *wait = &waits[i];
    wf_wait_init(wait, &sleepers[i].fiber.resume, &wait_ops);
    wf_lock(&object_lock);
    queued = wait;
    wf_unlock(&object_lock);
    if (lie_in(env, i) != WF_WAIT_GRANTED) {
        wf_lock(&object_lock);
        queued = NULL;
        wf_unlock(&object_lock);
    }
    wloom_retire(wait, sizeof *wait);
}

static void grant(void *arg)
{
    (void)arg;
    wf_lock(&object_lock);
    struct wf_wait *wait = queued;
    if (wait != NULL && wf_wait_claim(wait, WF_WAIT_GRANTED)) { /* the waiter may be gone */
        queued = NULL;
    }
    wf_unlock(&object_lock);
}

/* --- a wait that stays in the slot, as in src/block.c ----------------------------------------- */

/* As wf_fiber_lie. Why it ended. */
static enum wf_wait_state lie_staying(struct wf_env *env, int i)
{
    struct wf_wait *wait = &wf_own_call(&sleepers[i].fiber)->wait;
    bool is_cancelled;
    if (wf_slot_holds(&env->slot, wait)) {
        is_cancelled = wf_is_flagged(&env->scope->cancel) && wf_env_cancelled(env) != 0;
    } else if (wf_slot_stay(&env->slot, wait)) {
        is_cancelled = wf_wait_is_flagged(env) && wf_env_cancelled(env) != 0;
    } else {
        is_cancelled = !wf_wait_enter_to_stay(wait, env);
    }
    if (is_cancelled) {
        wait->ops->cancel(wait);
    }
    wf_plain_write(&sleepers[i].context, 1);
    if ((wf_load_relaxed(&wait->state) & WF_WAIT_CAUSE) == WF_WAIT_SETUP && wf_wait_arm(wait)) {
        wloom_handoff_wait(&sleepers[i].ready);
    }
    wf_wait_delist(wait);
    return wf_wait_outcome(wait);
}

static struct wf_wait *begin_staying(struct wf_env *env, int i)
{
    struct wf_wait *wait = &wf_own_call(&sleepers[i].fiber)->wait;
    wf_wait_init(wait, &sleepers[i].fiber.resume, &wait_ops);
    wf_store_relaxed(&wait->state, (uintptr_t)env | WF_WAIT_SETUP);
    return wait;
}

/* It waited there before. */
static void stay_in(struct wf_env *env, int i)
{
    wf_slot_set(&env->slot, (uintptr_t)wf_own_call(&sleepers[i].fiber) | WF_SLOT_STAYS);
}

static void wait_staying(struct wf_env *env, int i)
{
    (void)begin_staying(env, i);
    wloom_assert(lie_staying(env, i) == WF_WAIT_CANCELLED);
}

static enum wf_wait_state wait_staying_for_grant(struct wf_env *env, int i)
{
    struct wf_wait *wait = begin_staying(env, i);
    wf_lock(&object_lock);
    queued = wait;
    wf_unlock(&object_lock);
    enum wf_wait_state outcome = lie_staying(env, i);
    if (outcome != WF_WAIT_GRANTED) {
        wf_lock(&object_lock);
        queued = NULL;
        wf_unlock(&object_lock);
    }
    return outcome;
}

static void end_task(int i)
{
    wf_task_unlist(&tasks[i]);
    wloom_retire(&tasks[i], sizeof tasks[i]);
}

/* --- scopes: scenarios ------------------------------------------------------------------------ */

static void cancel_root(void *arg)
{
    weft_reason reason = wf_reason(WEFT_WHY_CALL, "call", &here);
    (void)wf_scope_fire(&root, arg != NULL ? WF_CANCEL_EXPIRED : WF_CANCEL_FIRED, &reason);
}

/* A task's first wait, or its next. */
static void wait_as_task(void *arg)
{
    int i = (int)(intptr_t)arg;
    wait_under(&tasks[i].env, i);
    end_task(i);
}

/* Both by the scope's lock, for the first time. */
static void two_list_themselves_while_a_walk_comes(void)
{
    begin();
    wloom_spawn(wait_as_task, (void *)0);
    wloom_spawn(wait_as_task, (void *)1);
    cancel_root(NULL);
    wloom_join_all();
}

static void two_enter_while_a_walk_comes(void)
{
    begin();
    list_task(0);
    list_task(1);
    wloom_spawn(wait_as_task, (void *)0);
    wloom_spawn(wait_as_task, (void *)1);
    cancel_root(NULL);
    wloom_join_all();
}

static void one_enters_while_two_walks_come(void)
{
    begin();
    list_task(0);
    wloom_spawn(wait_as_task, (void *)0);
    wloom_spawn(cancel_root, &root);
    cancel_root(NULL);
    wloom_join_all();
}

/* Two strands of one code: one has the slot, the other is in the list. */
static void wait_in_root(void *arg)
{
    wait_in(&root, (int)(intptr_t)arg);
}

static void two_strands_enter_while_a_walk_comes(void)
{
    begin();
    wloom_spawn(wait_in_root, (void *)0);
    wloom_spawn(wait_in_root, (void *)1);
    cancel_root(NULL);
    wloom_join_all();
}

static void wait_twice(void *arg)
{
    (void)arg;
    wait_for_grant(&tasks[0].env, 0);
    wait_under(&tasks[0].env, 1);
    end_task(0);
}

/* The walk has what it found in the slot while the waiter goes on, and enters it again. */
static void a_grant_against_a_walk(void)
{
    begin();
    list_task(0);
    wloom_spawn(wait_twice, NULL);
    wloom_spawn(grant, NULL);
    cancel_root(NULL);
    wloom_join_all();
}

static void cancel_task(void *arg)
{
    weft_reason reason = wf_reason(WEFT_WHY_CALL, "alone", &here);
    wf_task_cancel(&tasks[(intptr_t)arg], &reason);
}

/* The task's memory is its holder's, who cancels it. */
static void wait_as_held_task(void *arg)
{
    wait_under(&tasks[(intptr_t)arg].env, (int)(intptr_t)arg);
    wf_task_unlist(&tasks[(intptr_t)arg]);
}

static void a_task_enters_and_is_cancelled_alone(void)
{
    begin();
    list_task(0);
    wloom_spawn(wait_as_held_task, (void *)0);
    cancel_task((void *)0);
    wloom_join_all();
}

/* It has something in the list, so that all that waits in the scope is looked at; a walk does the
 * same. */
static void a_task_is_cancelled_alone_in_a_scope_that_is_cancelled(void)
{
    begin();
    list_task(1);
    list_task(0);
    tasks[0].base_waits = 1;
    wloom_spawn(wait_as_held_task, (void *)0);
    wloom_spawn(cancel_root, NULL);
    cancel_task((void *)0);
    wloom_join_all();
}

static void stay_as_task(void *arg)
{
    int i = (int)(intptr_t)arg;
    wait_staying(&tasks[i].env, i);
    end_task(i);
}

static void one_stays_while_a_walk_comes(void)
{
    begin();
    list_task(0);
    stay_in(&tasks[0].env, 0);
    wloom_spawn(stay_as_task, (void *)0);
    wloom_spawn(cancel_root, &root);
    cancel_root(NULL);
    wloom_join_all();
}

/* One is listed by it, the other was before. */
static void two_begin_to_stay_while_a_walk_comes(void)
{
    begin();
    list_task(1);
    wloom_spawn(stay_as_task, (void *)0);
    wloom_spawn(stay_as_task, (void *)1);
    cancel_root(NULL);
    wloom_join_all();
}

static void stay_twice(void *arg)
{
    (void)arg;
    (void)wait_staying_for_grant(&tasks[0].env, 0);
    wait_staying(&tasks[0].env, 0);
    end_task(0);
}

static void a_grant_against_a_walk_that_finds_one_staying(void)
{
    begin();
    list_task(0);
    stay_in(&tasks[0].env, 0);
    wloom_spawn(stay_twice, NULL);
    wloom_spawn(grant, NULL);
    cancel_root(NULL);
    wloom_join_all();
}

static struct wf_scope apart; /* out of reach of what cancels the others */

/* The slot says that it may be found there, but it waits under another env. */
static void stay_elsewhere(void *arg)
{
    (void)arg;
    wloom_assert(wait_staying_for_grant(&apart.env, 0) == WF_WAIT_GRANTED);
    end_task(0);
}

static void grant_at_last(void *arg)
{
    (void)arg;
    bool granted = false;
    while (!granted) { /* ends: it waits for it */
        wf_lock(&object_lock);
        if (queued != NULL) {
            (void)wf_wait_claim(queued, WF_WAIT_GRANTED);
            granted = true;
        }
        wf_unlock(&object_lock);
        wf_spin_hint();
    }
}

static void one_stays_under_another_env_than_is_cancelled(void)
{
    begin();
    begin_scope(&apart, &task);
    list_task(0);
    stay_in(&tasks[0].env, 0);
    wloom_spawn(stay_elsewhere, NULL);
    wloom_spawn(grant_at_last, NULL);
    cancel_root(NULL);
    wloom_join_all();
}

/* Two strands of one code, of which one has the slot, and goes. */
static void stay_and_go(void *arg)
{
    int i = (int)(intptr_t)arg;
    wait_staying(&root.env, i);
    wf_slot_go(&root.env.slot, &wf_own_call(&sleepers[i].fiber)->wait);
}

static void two_strands_stay_while_a_walk_comes(void)
{
    begin();
    wloom_spawn(stay_and_go, (void *)0);
    wloom_spawn(stay_and_go, (void *)1);
    cancel_root(NULL);
    wloom_join_all();
}

/* From a wait that stays to one that does not. */
static void stay_then_enter(void *arg)
{
    (void)arg;
    (void)wait_staying_for_grant(&tasks[0].env, 0);
    struct wf_wait *wait = &waits[1];
    wf_wait_init(wait, &sleepers[1].fiber.resume, &wait_ops);
    struct wf_env *env = &tasks[0].env;
    bool entered = wf_slot_enter(&env->slot, wait, &wf_own_call(&sleepers[0].fiber)->wait);
    bool may_lie = entered ? !wf_wait_is_flagged(env) || !wf_wait_retract(wait, env)
                           : wf_wait_enter_locked(wait, env);
    if (!may_lie) {
        wait->ops->cancel(wait);
    }
    if (wf_wait_outcome(wait) == WF_WAIT_SETUP && wf_wait_arm(wait)) {
        wloom_handoff_wait(&sleepers[1].ready);
    }
    if (may_lie) {
        wf_wait_leave(wait, env);
    }
    wloom_assert(wf_wait_outcome(wait) == WF_WAIT_CANCELLED);
    wloom_retire(wait, sizeof *wait);
    end_task(0);
}

static void one_that_stayed_enters_while_a_walk_comes(void)
{
    begin();
    list_task(0);
    stay_in(&tasks[0].env, 0);
    wloom_spawn(stay_then_enter, NULL);
    wloom_spawn(grant, NULL);
    cancel_root(NULL);
    wloom_join_all();
}

static void stay_as_held_task(void *arg)
{
    int i = (int)(intptr_t)arg;
    wait_staying(&tasks[i].env, i);
    wf_task_unlist(&tasks[i]);
}

/* Another was cancelled alone before, so the scope has its flag. */
static void a_task_stays_and_is_cancelled_alone(void)
{
    begin();
    list_task(0);
    stay_in(&tasks[0].env, 0);
    wloom_spawn(stay_as_held_task, (void *)0);
    cancel_task((void *)1);
    cancel_task((void *)0);
    wloom_join_all();
}

static void open_wait_close(void *arg)
{
    (void)arg;
    open_below();
    wait_in(&below, 0);
    wloom_assert(flags_of(&below) == WF_CANCEL_FIRED);
    close_below(&sleepers[2]);
}

static void a_scope_opens_waits_and_closes(void)
{
    begin();
    wloom_spawn(open_wait_close, NULL);
    cancel_root(NULL);
    wloom_join_all();
}

static void just_close(void *arg)
{
    (void)arg;
    close_below(&sleepers[2]);
}

static void a_scope_closes_under_two_walks(void)
{
    begin();
    open_below();
    wloom_spawn(just_close, NULL);
    wloom_spawn(cancel_root, &root);
    cancel_root(NULL);
    wloom_join_all();
    wloom_assert(flags_of(&root) == (WF_CANCEL_FIRED | WF_CANCEL_EXPIRED));
}

static void two_walks_leave_both_flags_below(void)
{
    begin();
    open_below();
    wloom_spawn(cancel_root, &root);
    cancel_root(NULL);
    wloom_join_all();
    wloom_assert(flags_of(&below) == (WF_CANCEL_FIRED | WF_CANCEL_EXPIRED));
}

/* --- sources: scenarios ----------------------------------------------------------------------- */

static weft_cancel parent, child;
static weft_cancel_reg reg;
static WF_PLAIN(int) effect; /* of the callback */
static int calls;

static void call(void *arg)
{
    (void)arg;
    calls++;
    wf_plain_write(&effect, 42);
}

static void begin_sources(void)
{
    begin();
    calls = 0;
    memset(&effect, 0, sizeof effect);
    memset(&reg, 0, sizeof reg);
    weft_cancel_init_(&parent, NULL, &here);
}

static void fire_parent(void *arg)
{
    (void)arg;
    (void)weft_cancel_fire_(&parent, "fired", &here);
}

static void register_and_take_off(void *arg)
{
    (void)arg;
    int at_once = weft_cancel_on_(&parent, &reg, call, NULL, &here);
    int never = weft_cancel_off(&reg);
    wloom_assert(calls == !never);
    wloom_assert(at_once == 0 || never == 0);
    if (calls != 0) {
        wloom_assert(wf_plain_read(&effect) == 42);
    }
    wloom_retire(&reg, sizeof reg);
}

static void on_and_off_against_fire(void)
{
    begin_sources();
    wloom_spawn(register_and_take_off, NULL);
    fire_parent(NULL);
    wloom_join_all();
    weft_cancel_fini(&parent);
}

static void take_off(void *arg)
{
    (void)arg;
    int never = weft_cancel_off(&reg);
    wloom_assert(calls == !never);
    if (calls != 0) {
        wloom_assert(wf_plain_read(&effect) == 42);
    }
}

static void two_take_off_against_fire(void)
{
    begin_sources();
    (void)weft_cancel_on_(&parent, &reg, call, NULL, &here);
    wloom_spawn(take_off, NULL);
    wloom_spawn(take_off, NULL);
    fire_parent(NULL);
    wloom_join_all();
}

static void end_child(void *arg)
{
    (void)arg;
    weft_cancel_fini(&child);
    wloom_retire(&child, sizeof child);
}

static void the_child_ends_while_the_parent_fires(void)
{
    begin_sources();
    weft_cancel_init_(&child, &parent, &here);
    wloom_spawn(end_child, NULL);
    fire_parent(NULL);
    wloom_join_all();
    weft_cancel_fini(&parent);
}

static weft_cancel other;

static void fire_other(void *arg)
{
    (void)arg;
    (void)weft_cancel_fire_(&other, "fired too", &here);
}

/* Two walks pin the child at once; one of them has the other's flag. */
static void the_child_ends_while_both_that_it_is_linked_to_fire(void)
{
    begin_sources();
    weft_cancel_init_(&other, NULL, &here);
    weft_cancel_init_(&child, &parent, &here);
    (void)weft_cancel_link_(&child, &other, &reg, &here);
    wloom_spawn(end_child, NULL);
    wloom_spawn(fire_other, NULL);
    fire_parent(NULL);
    wloom_join_all();
}

static void init_and_end_child(void *arg)
{
    (void)arg;
    weft_cancel_init_(&child, &parent, &here);
    end_child(NULL);
}

static void a_child_comes_and_goes_while_two_fire(void)
{
    begin_sources();
    wloom_spawn(init_and_end_child, NULL);
    wloom_spawn(fire_parent, NULL);
    fire_parent(NULL);
    wloom_join_all();
}

static void enter_and_leave(void *arg)
{
    (void)arg;
    open_below();
    weft_reason reason;
    uint32_t bits = wf_source_link_scope(&parent, &below, &reason);
    if (bits != 0) {
        (void)wf_scope_fire(&below, bits, &reason);
    }
    wait_in(&below, 0);
    wloom_assert(flags_of(&below) == WF_CANCEL_FIRED);
    close_below(&sleepers[2]);
}

static void work_is_put_under_a_source_that_fires(void)
{
    begin_sources();
    wloom_spawn(enter_and_leave, NULL);
    fire_parent(NULL);
    wloom_join_all();
    weft_cancel_fini(&parent);
}

static void enter_and_leave_at_once(void *arg)
{
    (void)arg;
    open_below();
    weft_reason reason;
    (void)wf_source_link_scope(&parent, &below, &reason);
    close_below(&sleepers[2]);
}

static void work_under_a_source_that_fires_ends_by_itself(void)
{
    begin_sources();
    wloom_spawn(enter_and_leave_at_once, NULL);
    fire_parent(NULL);
    wloom_join_all();
    weft_cancel_fini(&parent);
}

static const struct wloom_scenario scenarios[] = {
    {"two list themselves, a walk comes", two_list_themselves_while_a_walk_comes, NULL, NULL,
     false},
    {"two enter, a walk comes", two_enter_while_a_walk_comes, NULL, NULL, false},
    {"one enters, two walks come", one_enters_while_two_walks_come, NULL, NULL, false},
    {"two strands enter, a walk comes", two_strands_enter_while_a_walk_comes, NULL, NULL, false},
    {"a grant against a walk", a_grant_against_a_walk, NULL, NULL, false},
    {"a task is cancelled alone", a_task_enters_and_is_cancelled_alone, NULL, NULL, false},
    {"a task alone, and its scope", a_task_is_cancelled_alone_in_a_scope_that_is_cancelled, NULL,
     NULL, false},
    {"one stays, two walks come", one_stays_while_a_walk_comes, NULL, NULL, false},
    {"two begin to stay, a walk comes", two_begin_to_stay_while_a_walk_comes, NULL, NULL, false},
    {"one stays, a grant, a walk", a_grant_against_a_walk_that_finds_one_staying, NULL, NULL,
     false},
    {"one stays under another env", one_stays_under_another_env_than_is_cancelled, NULL, NULL,
     false},
    {"two strands stay, a walk comes", two_strands_stay_while_a_walk_comes, NULL, NULL, false},
    {"one that stayed enters", one_that_stayed_enters_while_a_walk_comes, NULL, NULL, false},
    {"one stays, cancelled alone", a_task_stays_and_is_cancelled_alone, NULL, NULL, false},
    {"a scope opens, waits, closes", a_scope_opens_waits_and_closes, NULL, NULL, false},
    {"a scope closes under two walks", a_scope_closes_under_two_walks, NULL, NULL, false},
    {"two walks, both flags", two_walks_leave_both_flags_below, NULL, NULL, false},
    {"on and off against fire", on_and_off_against_fire, NULL, NULL, false},
    {"two off against fire", two_take_off_against_fire, NULL, NULL, false},
    {"fini of a child against fire", the_child_ends_while_the_parent_fires, NULL, NULL, false},
    {"fini of a child, both fire", the_child_ends_while_both_that_it_is_linked_to_fire, NULL, NULL,
     false},
    {"a child comes and goes, two fire", a_child_comes_and_goes_while_two_fire, NULL, NULL, false},
    {"under a source that fires", work_is_put_under_a_source_that_fires, NULL, NULL, false},
    {"under a source, ends by itself", work_under_a_source_that_fires_ends_by_itself, NULL, NULL,
     false},
    {NULL, NULL, NULL, NULL, false},
};

static const char *const under_test[] = {"src/walk.c", "src/cancel.c",  "src/slot.h",
                                         "src/core.h", "pool/worker.h", NULL};

int main(int argc, char **argv)
{
    static const struct wloom_harness harness = {
        .name = "cancel",
        .scenarios = scenarios,
        .under_test = under_test,
        .share = 0.3,
    };
    return wloom_main(&harness, argc, argv);
}
