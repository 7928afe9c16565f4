/* model_wait.c: how a stack suspends and is resumed exactly once: src/wait.h itself, with two
 * claimers and a queue (src/waitq.h); the await of a task (src/awaiter.h); and the join of a branch
 * (src/fork.c), which is written out here again because that file needs the whole runtime.
 *
 * A fiber is a flag that resumes it and a plain word that stands for its saved context: written
 * when it suspends, read by whoever resumes it. Making a fiber ready is a hand-off with an order,
 * as the pool's queues give it.
 *
 * Checked in every execution: exactly one claim wins; nobody resumes a stack that is not saved, or
 * twice; the waiter sees what the claimer handed over; nobody touches the wait after its frame is
 * gone (but under a lock that the waiter takes on its way out); nobody waits for ever. */
#include "src/awaiter.h"
#include "src/wait.h"
#include "src/waitq.h"

#include "pool/base/lock.h"
#include <string.h>

struct wf_fiber {
    struct wf_work resume; /* only its address counts */
    WF_PLAIN(int) context; /* 1: saved */
    WF_ATOMIC(uint32_t) ready;
    int resumed; /* not modelled: the checker is one thread */
};

#define FIBERS 2

static struct wf_fiber fibers[FIBERS];

static void begin_fibers(void)
{
    memset(fibers, 0, sizeof fibers);
}

void wf_wait_resume(struct wf_work *resume)
{
    struct wf_fiber *fiber = wf_container_of(resume, struct wf_fiber, resume);
    wloom_assert(wf_plain_read(&fiber->context) == 1);
    wloom_assert(++fiber->resumed == 1);
    wloom_handoff_set(&fiber->ready);
}

/* The switch to the next stack, and `after` on it. True: another has the duty to resume, and did;
 * false: it continued at once. */
static bool suspend(struct wf_fiber *self, bool (*after)(struct wf_fiber *before, void *arg),
                    void *arg)
{
    wf_plain_write(&self->context, 1);
    if (!after(self, arg)) {
        return false;
    }
    wloom_handoff_wait(&self->ready);
    return true;
}

/* --- wait.h: a grant against a cancellation --------------------------------------------------- */

/* An object, like a semaphore, and a scope; in_queue and in_scope are under their locks. */
static struct {
    struct wf_lock object_lock, scope_lock;
    struct wf_list queue, waits;
    WF_PLAIN(bool) cancelled;   /* under scope_lock */
    WF_PLAIN(int) item[FIBERS]; /* handed over */
} s;
static struct wf_waiter places[FIBERS];
static struct wf_wait waits[FIBERS]; /* each is retired when its waiter returns */
static int grants, cancellations;    /* claims that won; not modelled */
static int outcomes[WF_WAIT_SHUT + 1];

static bool after_block(struct wf_fiber *before, void *arg)
{
    (void)before;
    return wf_wait_arm(arg);
}

static void begin_waits(void)
{
    begin_fibers();
    memset(&s, 0, sizeof s);
    memset(waits, 0, sizeof waits);
    memset(places, 0, sizeof places);
    memset(outcomes, 0, sizeof outcomes);
    wf_list_init(&s.queue);
    wf_list_init(&s.waits);
    grants = cancellations = 0;
}

/* As a call of the API: enlist, block, delist, return. */
static void waiter(void *arg)
{
    int i = (int)(intptr_t)arg;
    struct wf_wait *wait = &waits[i];
    wf_store_relaxed(&wait->state, WF_WAIT_SETUP);
    wait->resume = &fibers[i].resume;
    places[i].wait = wait;
    wf_list_init(&places[i].in_queue);
    wf_list_init(&wait->in_scope);
    wf_lock(&s.scope_lock);
    bool cancelled = wf_plain_read(&s.cancelled);
    if (!cancelled) {
        wf_list_push_back(&s.waits, &wait->in_scope);
    }
    wf_unlock(&s.scope_lock);
    if (cancelled) {
        return;
    }
    wf_lock(&s.object_lock);
    wf_list_push_back(&s.queue, &places[i].in_queue);
    wf_unlock(&s.object_lock);

    enum wf_wait_state outcome = wf_wait_outcome(wait);
    if (outcome == WF_WAIT_SETUP) {
        (void)suspend(&fibers[i], after_block, wait);
        outcome = wf_wait_outcome(wait);
    }
    wloom_assert(outcome > WF_WAIT_ARMED);
    wloom_assert(fibers[i].resumed <= 1);
    outcomes[outcome]++;
    if (outcome == WF_WAIT_GRANTED) {
        wloom_assert(wf_wait_place(wait) == &places[i]);
        wloom_assert(wf_plain_read(&s.item[i]) == 42);
    }
    wf_lock(&s.object_lock);
    wf_list_unlink(&places[i].in_queue);
    wf_unlock(&s.object_lock);
    wf_lock(&s.scope_lock);
    wf_list_unlink(&wait->in_scope);
    wf_unlock(&s.scope_lock);
    wloom_retire(wait, sizeof *wait);
    wloom_retire(&places[i], sizeof places[i]);
}

/* As a release: hands an item to the first that is still waiting. */
static void granter(void *arg)
{
    (void)arg;
    wf_lock(&s.object_lock);
    if (!wf_list_is_empty(&s.queue)) {
        struct wf_waiter *first = wf_container_of(s.queue.next, struct wf_waiter, in_queue);
        wf_plain_write(&s.item[first - places], 42);
        if (s.queue.next->next != &s.queue) {
            wf_plain_write(&s.item[1 - (first - places)], 42);
        }
        grants += wf_waitq_claim_first(&s.queue, WF_WAIT_GRANTED);
    }
    wf_unlock(&s.object_lock);
}

/* As the cancellation of the scope, or its deadline. */
static void canceller(void *arg)
{
    (void)arg;
    wf_lock(&s.scope_lock);
    wf_plain_write(&s.cancelled, true);
    for (struct wf_list *node = s.waits.next; node != &s.waits; node = node->next) {
        struct wf_wait *wait = wf_container_of(node, struct wf_wait, in_scope);
        cancellations += wf_wait_claim(wait, WF_WAIT_CANCELLED);
    }
    wf_unlock(&s.scope_lock);
}

static void end_waits(int count)
{
    for (int i = 0; i < count; i++) {
        wloom_spawn(waiter, (void *)(intptr_t)i);
    }
    wloom_spawn(granter, NULL);
    canceller(NULL);
    wloom_join_all();
    wloom_assert(grants == outcomes[WF_WAIT_GRANTED]);
    wloom_assert(cancellations == outcomes[WF_WAIT_CANCELLED]);
}

static void one_wait_two_claimers(void)
{
    begin_waits();
    end_waits(1);
}

static void two_waits_two_claimers(void)
{
    begin_waits();
    end_waits(2);
}

/* --- the join of a branch, as in src/fork.c --------------------------------------------------- */

#define BRANCH_QUEUED ((uintptr_t)0)
#define BRANCH_DONE   ((uintptr_t)2)
#define BRANCH_WAITED ((uintptr_t)1)

static struct branch {
    WF_ATOMIC(uintptr_t) state;
    WF_PLAIN(int) result;
} branch;

static bool after_join(struct wf_fiber *before, void *arg)
{
    struct branch *b = arg;
    uintptr_t expected = BRANCH_QUEUED;
    /* sync(fork.wait): our saved context for the finisher, its results for us */
    return wf_cas_acq_rel_acquire(&b->state, &expected, (uintptr_t)before | BRANCH_WAITED);
}

static void joiner(void *arg)
{
    (void)arg;
    /* sync(fork.look): the section's results */
    if (wf_load_acquire(&branch.state) != BRANCH_DONE) {
        (void)suspend(&fibers[0], after_join, &branch);
    }
    wloom_assert(wf_plain_read(&branch.result) == 42);
    wloom_retire(&branch, sizeof branch);
}

/* In src/fork.c the finisher's thread goes on as the waiter's stack: an order, too. */
static void finisher(void *arg)
{
    (void)arg;
    wf_plain_write(&branch.result, 42);
    /* sync(fork.done): our results for the joiner, its saved context for us */
    uintptr_t state = wf_xchg_acq_rel(&branch.state, BRANCH_DONE);
    if ((state & BRANCH_WAITED) != 0) {
        struct wf_fiber *fiber =
            (struct wf_fiber *)(state & ~BRANCH_WAITED); // NOLINT(performance-no-int-to-ptr)
        wf_wait_resume(&fiber->resume);
    }
}

static void join_of_a_taken_branch(void)
{
    begin_fibers();
    memset(&branch, 0, sizeof branch);
    wloom_spawn(joiner, NULL);
    finisher(NULL);
    wloom_join_all();
}

/* --- the await of a task: awaiter.h itself, as src/task.c uses it ----------------------------- */

static struct task {
    struct wf_awaiters waiters;
    WF_PLAIN(int) result;
} task;
static struct stack_awaiter {
    struct wf_awaiter awaiter;
    WF_PLAIN(int) set_up; /* what the finisher reads of an awaiter */
    struct wf_fiber *fiber;
} awaiters[FIBERS]; /* on the awaiters' stacks */

static void stack_ended(struct wf_awaiter *awaiter, struct wf_outcome outcome)
{
    struct stack_awaiter *waiting = wf_container_of(awaiter, struct stack_awaiter, awaiter);
    wloom_assert(outcome.rc == 42);
    wloom_assert(wf_plain_read(&waiting->set_up) == 1);
    wf_wait_resume(&waiting->fiber->resume);
}

static bool after_await(struct wf_fiber *before, void *arg)
{
    (void)before;
    struct stack_awaiter *waiting = arg;
    return wf_awaiters_add(&task.waiters, &waiting->awaiter);
}

static void await_task(void *arg)
{
    int i = (int)(intptr_t)arg;
    if (!wf_awaiters_closed(&task.waiters)) {
        awaiters[i].awaiter.ended = stack_ended;
        awaiters[i].fiber = &fibers[i];
        wf_plain_write(&awaiters[i].set_up, 1);
        (void)suspend(&fibers[i], after_await, &awaiters[i]);
        wloom_retire(&awaiters[i], sizeof awaiters[i]);
    }
    wloom_assert(wf_plain_read(&task.result) == 42);
}

static void finish_task(void *arg)
{
    (void)arg;
    wf_plain_write(&task.result, 42);
    wf_awaiters_tell(wf_awaiters_close(&task.waiters), (struct wf_outcome){42, false});
}

static void two_awaiters(void)
{
    begin_fibers();
    memset(&task, 0, sizeof task);
    memset(awaiters, 0, sizeof awaiters);
    wloom_spawn(await_task, (void *)0);
    wloom_spawn(await_task, (void *)1);
    finish_task(NULL);
    wloom_join_all();
}

static const struct wloom_scenario scenarios[] = {
    {"one_wait_two_claimers", one_wait_two_claimers, NULL, NULL, false},
    {"two_waits_two_claimers", two_waits_two_claimers, NULL, NULL, false},
    {"join_of_a_taken_branch", join_of_a_taken_branch, NULL, NULL, false},
    {"two_awaiters", two_awaiters, NULL, NULL, false},
    {NULL, NULL, NULL, NULL, false},
};

static const char *const under_test[] = {"src/awaiter.h", "src/wait.h", "src/waitq.h",
                                         "model_wait.c", NULL};

int main(int argc, char **argv)
{
    static const struct wloom_harness harness = {
        .name = "wait",
        .scenarios = scenarios,
        .under_test = under_test,
    };
    return wloom_main(&harness, argc, argv);
}
