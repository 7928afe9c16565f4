/* model_cancel.c: cancellation against what comes and goes: src/walk.c and src/cancel.c themselves. What
 * src/scope.c and src/await.c do in their sections under a scope's lock (open, close, pin, enlist,
 * delist) is written out here again, because those files need the whole runtime.
 *
 * Checked in every execution: a wait in a cancelled scope ends; a scope below one that is cancelled has
 * its flags; nobody touches a scope, wait, source or registration after its owner has let it go; a
 * callback runs once or never, as weft_cancel_off says, and has returned when it says so; nobody waits
 * for ever. */
#include "src/walk.c"

#define mark_locked mark_source_locked /* two files in one, with names of their own */
#include "src/cancel.c"

#include <string.h>

/* --- what the two call ------------------------------------------------------------------------ */

uintptr_t weft_stack_region_[2]; /* no stack of ours: all are foreign threads */
int wf_forked;

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
    WF_ATOMIC(uint32_t) ready;
};

#define SLEEPERS 3
static struct sleeper sleepers[SLEEPERS];

void wf_wait_resume(struct wf_work *resume)
{
    struct wf_fiber *fiber = wf_container_of(resume, struct wf_fiber, resume);
    wloom_handoff_set(&wf_container_of(fiber, struct sleeper, fiber)->ready);
}

void wf_misuse(const char *format, ...)
{
    wloom_fail(__FILE__, __LINE__, "misuse: %s", format);
}

struct wf_fiber *wf_peek_task(void)
{
    return NULL;
}

enum wf_wait_state wf_wait_block(struct wf_fiber *self, struct wf_wait *wait)
{
    (void)self;
    return wf_wait_outcome(wait);
}

void wf_wait_cancel_claim(struct wf_wait *wait)
{
    (void)wf_wait_claim(wait, WF_WAIT_CANCELLED);
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

static void init_scope(struct wf_scope *scope)
{
    memset(scope, 0, sizeof *scope);
    scope->place = &here;
    wf_list_init(&scope->children);
    wf_list_init(&scope->visit);
    wf_list_init(&scope->waits);
    wf_list_init(&scope->ended);
    wf_list_init(&scope->sibling);
    wf_list_init(&scope->node.callbacks);
    scope->reason = wf_reason_none;
    wf_store_relaxed(&scope->live, 1);
    scope->open = 1;
    scope->env.scope = scope;
    scope->env.task = &task;
}

static void open_below(void)
{
    init_scope(&below);
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

static void begin(void)
{
    memset(sleepers, 0, sizeof sleepers);
    memset(&task, 0, sizeof task);
    init_scope(&root);
    task.env.scope = &root;
    task.env.task = &task;
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

static void wait_in(struct wf_scope *scope, int i)
{
    struct wf_wait *wait = &waits[i];
    wf_wait_init(wait, &sleepers[i].fiber.resume, &wait_ops);
    wf_lock(&scope->lock);
    bool cancelled = wf_env_cancelled(&scope->env) != 0;
    if (!cancelled) {
        wf_list_push_back(&scope->waits, &wait->in_scope);
    }
    wf_unlock(&scope->lock);
    if (cancelled) {
        return;
    }
    if (wf_wait_outcome(wait) == WF_WAIT_SETUP && wf_wait_arm(wait)) {
        wloom_handoff_wait(&sleepers[i].ready);
    }
    wloom_assert(wf_wait_outcome(wait) == WF_WAIT_CANCELLED);
    wf_lock(&scope->lock);
    wf_list_unlink(&wait->in_scope);
    wf_unlock(&scope->lock);
    wloom_retire(wait, sizeof *wait);
}

/* --- scopes: scenarios ------------------------------------------------------------------------ */

static void cancel_root(void *arg)
{
    weft_reason reason = wf_reason(WEFT_WHY_CALL, "call", &here);
    (void)wf_scope_fire(&root, arg != NULL ? WF_CANCEL_EXPIRED : WF_CANCEL_FIRED, &reason);
}

static void wait_in_root(void *arg)
{
    wait_in(&root, (int)(intptr_t)arg);
}

static void two_enlist_while_a_walk_comes(void)
{
    begin();
    wloom_spawn(wait_in_root, (void *)0);
    wloom_spawn(wait_in_root, (void *)1);
    cancel_root(NULL);
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
    {"two enlist, a walk comes", two_enlist_while_a_walk_comes, NULL, NULL, false},
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

static const char *const under_test[] = {"src/walk.c", "src/cancel.c", NULL};

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
