/* fork.c: the rare paths of include/weft/fork.h: a fork that has to look around, a join whose
 * section was taken, and a section as a worker runs it.
 *
 * States of a branch: see fork.h. A join that finds the section taken suspends the stack; nothing
 * else runs on top of it. The finisher of a taken section runs on a loop's frame, so it can switch
 * straight to the stack that waits. */
#include "pool/light.h"
#include "src/block.h"
#include "src/guard.h"
#include <weft/fork.h>

/* What fork.h knows of us. */
_Static_assert(offsetof(struct weft_deque_line_, pass) == offsetof(struct wf_deque, pass),
               "fork.h");
_Static_assert(WEFT_MARK_SIZE_(8) == UINT64_C(1) << WF_MARK_SIZE_SHIFT, "fork.h");
_Static_assert(WEFT_MARK_SIZE_(2047 * 8) == WF_MARK_SIZE && WEFT_MARK_SIZE_(2048 * 8) == 0,
               "fork.h");
_Static_assert(offsetof(struct weft_deque_line_, secret) == offsetof(struct wf_deque, secret),
               "fork.h");
_Static_assert(WEFT_MARK_CALL_ == WF_MARK_CALL, "fork.h");
_Static_assert(WEFT_STACK_BYTES_ == WF_STACK_BYTES, "fork.h");
/* A branch is queued as a work: its `run` is the work's, and `next` is not used in a deque. */
_Static_assert(offsetof(struct wf_section, run) == offsetof(struct wf_work, run), "work.h");
_Static_assert(offsetof(weft_branch, run) == offsetof(struct wf_section, run), "fork.h");
_Static_assert(offsetof(weft_branch, state) == offsetof(struct wf_section, state), "fork.h");
_Static_assert(offsetof(weft_branch, link) == offsetof(struct wf_section, link), "fork.h");
_Static_assert(sizeof(weft_branch) == sizeof(struct wf_section), "fork.h");
_Static_assert(offsetof(weft_call_branch, fn) == offsetof(struct wf_call_section, call), "fork.h");
_Static_assert(sizeof(weft_call_branch) == sizeof(struct wf_call_section), "fork.h");
_Static_assert(sizeof(weft_call_branch) <= 48, "a branch fits in 48 bytes");

static struct wf_section *section_of(weft_branch *branch)
{
    return (struct wf_section *)(void *)branch;
}

static const struct wf_work *work_of(const weft_branch *branch)
{
    return (const struct wf_work *)(const void *)branch;
}

/* As fork.h passes it (weft_branch_here_). */
static weft_branch *branch_at(weft_branch *here)
{
    return (weft_branch *)wf_address_of_lea((uintptr_t)here); // NOLINT(performance-no-int-to-ptr)
}

void weft_fork_slow_(weft_branch *here)
{
    weft_branch *branch = branch_at(here);
    struct wf_fiber *self = wf_self();
    if (wf_unlikely(self == NULL || self->env == NULL)) {
        branch->link = WF_SECTION_KEPT;
        return;
    }
    struct wf_worker *worker = self->worker;
    if (wf_deque_fork_slow(&worker->deque, section_of(branch), wf_light_wanted(worker))) {
        wf_wake_check(worker);
    }
}

static bool is_queued(uintptr_t state)
{
    return (state & (WEFT_BRANCH_WAITED_ | WEFT_BRANCH_DONE_)) == 0;
}

/* On the next stack: the branch gets the waiting stack, unless it is done. */
static void after_join(struct wf_fiber *now, struct wf_fiber *before, void *arg)
{
    weft_branch *branch = arg;
    uintptr_t state = branch->link; /* what it was when it became public */
    /* sync(fork.wait): acq_rel, our saved context for the finisher, its results for us; pairs
     * sync(fork.done) */
    if (!__atomic_compare_exchange_n(&branch->state, &state,
                                     (uintptr_t)before | WEFT_BRANCH_WAITED_, 0, __ATOMIC_ACQ_REL,
                                     __ATOMIC_ACQUIRE)) {
        wf_switch_back(now, before);
    }
}

static int call(weft_branch *head)
{
    weft_call_branch *branch = (weft_call_branch *)(void *)head;
    return branch->fn(branch->arg);
}

void wf_call_section_run(struct wf_fiber *self, struct wf_work *work)
{
    weft_branch_run_(self, (weft_branch *)(void *)work, call);
}

/* Was public, and is the joiner's again: what it calls stands in `run`, as while it was private. */
static int taken_back(weft_branch *branch)
{
    struct wf_section *section = section_of(branch);
    if (section->run == wf_call_section_run) {
        section->run = wf_container_of(section, struct wf_call_section, head)->call;
    }
    return 1;
}

int weft_join_slow_(weft_branch *here)
{
    weft_branch *branch = branch_at(here);
    /* sync(fork.look): acquire, the section's results; pairs sync(fork.done) */
    uintptr_t state = __atomic_load_n(&branch->state, __ATOMIC_ACQUIRE);
    if (!is_queued(state)) {
        return 0;
    }
    struct wf_fiber *self = wf_self();
    if (self == NULL) { /* a child of fork(2), where nobody ends what the parent's workers took */
        wf_check(wf_forked, "section %p is joined on another stack than its task's",
                 (void *)branch);
        return taken_back(branch);
    }
    if (wf_deque_take_if(&self->worker->deque, work_of(branch))) {
        return taken_back(branch);
    }
    self->waits_for = WF_WAITS_SECTION;
    wf_suspend(self, after_join, branch);
    self->waits_for = NULL;
    return 0;
}

void weft_branch_run_(void *fiber, weft_branch *branch, weft_branch_fn_ *body)
{
    struct wf_fiber *self = fiber;
    struct wf_env *outer = self->env;
    self->env =
        (struct wf_env *)branch->link; // NOLINT(performance-no-int-to-ptr): see struct wf_section
    int rc;
    WF_GUARDED(rc = body(branch));
    struct wf_worker *worker = self->worker; /* not that of the begin, perhaps: a guess */
    if (wf_unlikely(worker->stole_given != NULL)) {
        int64_t now_ns = wf_sys.now_ns();
        wf_light_note_section(worker->stole_given, now_ns - worker->stole_ns, now_ns);
        worker->stole_given = NULL;
    }
    if (wf_likely(self->env != NULL)) {
        wf_slot_go(&self->env->slot, &wf_own_call(self)->wait); /* for the task's own waits */
    }
    self->env = outer;
    uintptr_t done = WEFT_BRANCH_DONE_ | (uintptr_t)(uint32_t)rc << 32;
    /* sync(fork.done): acq_rel, our results for the joiner, its saved context for us; pairs
     * sync(fork.wait), sync(fork.look). LAST TOUCH: the joiner's frame may go away from here on,
     * unless it waits for us. */
    uintptr_t state = __atomic_exchange_n(&branch->state, done, __ATOMIC_ACQ_REL);
    if ((state & WEFT_BRANCH_WAITED_) != 0) {
        struct wf_fiber *waiter =
            (struct wf_fiber *)(state & ~WEFT_BRANCH_WAITED_); // NOLINT(performance-no-int-to-ptr)
        if (wf_unlikely(!wf_may_switch_to(self, waiter))) {
            wf_wait_resume(&waiter->resume);
            return;
        }
        wf_switch_to(self, waiter);
    }
}
