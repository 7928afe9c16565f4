/* model_lie.c: a stack lies down in the wait that stays in its slot (ADR 0050), by the product's
 * own way from src/block.c through pool/suspend.c, against a cancellation (src/walk.c).
 *
 * A strand is a model thread with a fiber, a task and a worker. Written out here again, since it is
 * assembly: the switch. A suspended stack is a plain word, which stands for its saved context, and
 * a word that resumes it; "on the next stack" is the same model thread, until what the switch calls
 * there has returned. What that stack is, the way through suspend.c decides: one that is ready in
 * the worker's FIFO, or a fresh loop. model_cancel.c has more of what a cancellation does;
 * model_stack.c of what is waited for.
 *
 * Checked in every execution: a wait in a cancelled scope ends; a stack is resumed once, and only
 * when it lies; nobody touches a task after its end. */
#define WF_DEQUE_SLOTS 4
#define WF_RUNQ_SLOTS  4

#include "pool/base/atomic.h"
#include "tests/model/wloom.h"

/* As on x86: no fence, but after a read-modify-write, which is one. What a strand does last before
 * it asks is to take another stack from the FIFO, if there is one. */
static bool is_after_rmw[WLOOM_THREADS]; /* not modelled: the checker is one thread */
#undef wf_fence_after_rmw
#define wf_fence_after_rmw() (is_after_rmw[wloom_self()] ? wf_fence_seq_cst() : (void)0)

#include "pool/turn.h"

static struct wf_work *note_pop(struct wf_work *work)
{
    is_after_rmw[wloom_self()] = work != NULL;
    return work;
}

#define wf_pop_ready(worker) note_pop(wf_pop_ready(worker))
#include "pool/suspend.c"
#include "src/block.c"
#include "src/walk.c"

#include "tests/model/scopes.h"
#include <string.h>

/* --- strands ---------------------------------------------------------------------------------- */

#define STRANDS 2

struct strand {
    struct wf_fiber fiber;
    WF_PLAIN(int) context; /* saved */
    WF_ATOMIC(uint32_t) ready;
    void *back[5]; /* where it lay down, for who switches back to it */
};

static struct strand strands[STRANDS];
static struct wf_task tasks[STRANDS]; /* in root */
static struct wf_worker workers[STRANDS];
static struct wf_pool pool;
static struct wf_fiber others[STRANDS]; /* ready in a worker's FIFO, or its loop */
static struct wf_scope root;
static struct wf_lock object_lock;
static struct wf_wait *queued; /* of whom it may grant; under object_lock */
static const weft_place here = {.file = "model", .function = "model"};

static int64_t no_time(void)
{
    return 0;
}

struct wf_sys wf_sys = {.now_ns = no_time};

static void begin(void)
{
    memset(strands, 0, sizeof strands);
    memset(tasks, 0, sizeof tasks);
    memset(workers, 0, sizeof workers);
    memset(others, 0, sizeof others);
    memset(is_after_rmw, true, sizeof is_after_rmw); /* who cancels has stored the flag, seq_cst */
    memset(&object_lock, 0, sizeof object_lock);
    queued = NULL;
    begin_scope(&root, NULL);
    for (int i = 0; i < STRANDS; i++) {
        struct wf_worker *worker = &workers[i];
        worker->pool = &pool;
        worker->poll_at = UINT64_MAX;
        wf_deque_init(&worker->deque, &pool.thieves);
        wf_runq_open(&worker->runq);
        wf_store_relaxed(&worker->wheel.next_ns, INT64_MAX);
        tasks[i].env.scope = &root;
        tasks[i].env.task = &tasks[i];
        tasks[i].place = &here;
        wf_slot_set(&tasks[i].env.slot, WF_SLOT_UNLISTED);
        strands[i].fiber.env = &tasks[i].env;
        strands[i].fiber.worker = worker;
        strands[i].fiber.resume.run = wf_fiber_run_resume;
        others[i].worker = worker;
        others[i].resume.run = wf_fiber_run_resume;
    }
}

/* Its task has waited before, in the wait that stays. */
static void stay(int i)
{
    wf_list_push_back(&root.waiters, &tasks[i].in_scope);
    wf_slot_set(&tasks[i].env.slot, (uintptr_t)wf_own_call(&strands[i].fiber) | WF_SLOT_STAYS);
}

/* Another stack is ready on its worker: it goes on there. */
static void make_ready(int i)
{
    wloom_assert(wf_runq_push(&workers[i].runq, &others[i].resume));
}

static struct strand *strand_of(struct wf_fiber *fiber)
{
    bool is_strand = (uintptr_t)fiber - (uintptr_t)strands < sizeof strands;
    return is_strand ? wf_container_of(fiber, struct strand, fiber) : NULL;
}

/* --- the switch ------------------------------------------------------------------------------- */

static void resume(struct wf_work *work)
{
    struct strand *strand = strand_of(wf_container_of(work, struct wf_fiber, resume));
    wloom_assert(wf_plain_read(&strand->context) == 1);
    wf_plain_write(&strand->context, 0);
    wloom_handoff_set(&strand->ready);
}

void wf_wait_resume(struct wf_work *work)
{
    resume(work);
}

void wf_ready(struct wf_worker *worker, struct wf_work *work)
{
    (void)worker;
    resume(work);
}

/* `to` is the strand that has just lain down: it goes on, in the middle of what it called. */
WF_NORETURN static void go_back(struct strand *to)
{
    wf_plain_write(&to->context, 0);
    __builtin_longjmp(to->back, 1);
}

/* The switch of builds with checks, such as models. */
int wf_fiber_switch_watched(struct wf_fiber *to, struct wf_fiber *from, void *arg,
                            wf_after_fn *after)
{
    to->worker = from->worker;
    struct strand *strand = strand_of(from);
    if (strand == NULL) { /* wf_switch_to, by what runs on the next stack */
        after(to, from, arg);
        go_back(strand_of(to));
    }
    wf_plain_write(&strand->context, 1);
    if (__builtin_setjmp(strand->back) == 0) {
        after(to, from, arg);
        wloom_handoff_wait(&strand->ready);
    }
    return 0;
}

struct wf_fiber *wf_fiber_take(struct wf_stack_cache *cache)
{
    return &others[wf_container_of(cache, struct wf_worker, stacks) - workers];
}

void wf_fiber_start(struct wf_fiber *fiber, wf_entry_fn *entry)
{
    (void)fiber, (void)entry;
}

void wf_fiber_give(struct wf_stack_cache *cache, struct wf_fiber *fiber)
{
    (void)cache, (void)fiber;
}

/* --- as in src/scope.c ------------------------------------------------------------------------ */

bool wf_scope_pin(struct wf_scope *scope)
{
    (void)wf_add_relaxed(&scope->live, WF_SCOPE_PIN);
    return true;
}

void wf_scope_unpin(struct wf_scope *scope)
{
    (void)wf_sub_relaxed(&scope->live, WF_SCOPE_PIN);
}

/* Nobody has registered one. */
void wf_callbacks_run(struct wf_list *callbacks, struct wf_lock *lock, const weft_reason *reason)
{
    (void)lock, (void)reason;
    wloom_assert(wf_list_is_empty(callbacks));
}

/* --- the object ------------------------------------------------------------------------------- */

static const struct wf_wait_ops wait_ops = {.cancel = wf_wait_cancel_claim};

/* As the calls of src/sem.c and the like. Why it ended. */
static enum wf_wait_state wait_once(int i)
{
    struct wf_fiber *self = &strands[i].fiber;
    struct wf_call *call = wf_own_call(self);
    struct wf_list queue;
    wf_list_init(&queue);
    wf_lock(&object_lock);
    wf_call_queue_staying(call, &self->resume, &wait_ops, NULL, &queue, NULL, self->env);
    queued = &call->wait;
    wf_unlock(&object_lock);
    enum wf_wait_state outcome = wf_fiber_lie(self, call, "model");
    if (outcome != WF_WAIT_GRANTED) {
        wf_lock(&object_lock);
        queued = NULL;
        wf_unlock(&object_lock);
    }
    return outcome;
}

static void grant(void *arg)
{
    (void)arg;
    wf_lock(&object_lock);
    if (queued != NULL && wf_wait_claim(queued, WF_WAIT_GRANTED)) {
        queued = NULL;
    }
    wf_unlock(&object_lock);
}

static void end_task(int i)
{
    wf_task_unlist(&tasks[i]);
    wloom_retire(&tasks[i], sizeof tasks[i]);
}

static void wait_as_task(void *arg)
{
    int i = (int)(intptr_t)arg;
    wloom_assert(wait_once(i) == WF_WAIT_CANCELLED);
    end_task(i);
}

static void wait_twice(void *arg)
{
    int i = (int)(intptr_t)arg;
    bool was_cancelled = wait_once(i) == WF_WAIT_CANCELLED; /* then the grant may come yet */
    wloom_assert(wait_once(i) == WF_WAIT_CANCELLED || was_cancelled);
    end_task(i);
}

/* Its memory is its holder's, who cancels it. */
static void wait_as_held_task(void *arg)
{
    int i = (int)(intptr_t)arg;
    wloom_assert(wait_once(i) == WF_WAIT_CANCELLED);
    wf_task_unlist(&tasks[i]);
}

static void cancel_root(void)
{
    weft_reason reason = wf_reason(WEFT_WHY_CALL, "call", &here);
    (void)wf_scope_fire(&root, WF_CANCEL_FIRED, &reason);
}

static void cancel_task(int i)
{
    weft_reason reason = wf_reason(WEFT_WHY_CALL, "alone", &here);
    wf_task_cancel(&tasks[i], &reason);
}

/* --- scenarios -------------------------------------------------------------------------------- */

static void one_lies(bool is_other_ready)
{
    begin();
    stay(0);
    if (is_other_ready) {
        make_ready(0);
    }
    wloom_spawn(wait_as_task, (void *)0);
    cancel_root();
    wloom_join_all();
}

static void one_goes_on_with_another_stack(void)
{
    one_lies(true);
}

static void one_goes_on_with_a_loop(void)
{
    one_lies(false);
}

static void one_lies_for_the_first_time(void)
{
    begin();
    wloom_spawn(wait_as_task, (void *)0);
    cancel_root();
    wloom_join_all();
}

/* The first wait may go on with another stack, the second cannot. */
static void a_grant_and_a_walk(void)
{
    begin();
    stay(0);
    make_ready(0);
    wloom_spawn(wait_twice, (void *)0);
    wloom_spawn(grant, NULL);
    cancel_root();
    wloom_join_all();
}

/* Another was cancelled alone before, so the scope has its flag: whoever lies down sees it. */
static void one_alone(bool is_other_ready)
{
    begin();
    stay(0);
    if (is_other_ready) {
        make_ready(0);
    }
    wloom_spawn(wait_as_held_task, (void *)0);
    cancel_task(1);
    cancel_task(0);
    wloom_join_all();
}

static void one_alone_goes_on_with_another_stack(void)
{
    one_alone(true);
}

static void one_alone_goes_on_with_a_loop(void)
{
    one_alone(false);
}

static const struct wloom_scenario scenarios[] = {
    {"with another stack", one_goes_on_with_another_stack, NULL, NULL, false},
    {"with a loop", one_goes_on_with_a_loop, NULL, NULL, false},
    {"for the first time", one_lies_for_the_first_time, NULL, NULL, false},
    {"a grant, a walk", a_grant_and_a_walk, NULL, NULL, false},
    {"alone, with another stack", one_alone_goes_on_with_another_stack, NULL, NULL, false},
    {"alone, with a loop", one_alone_goes_on_with_a_loop, NULL, NULL, false},
    {NULL, NULL, NULL, NULL, false},
};

static const char *const under_test[] = {"pool/suspend.c", "pool/worker.h", "src/block.c", NULL};

int main(int argc, char **argv)
{
    static const struct wloom_harness harness = {
        .name = "lie",
        .scenarios = scenarios,
        .under_test = under_test,
        .share = 0.3,
    };
    return wloom_main(&harness, argc, argv);
}
