/* model_each.c: weft_scope_next against tasks that end, against its cancellation, and against the
 * end of the scope: src/each.c itself.
 *
 * Checked in every execution: each task is taken once or dropped once, with its result seen; its
 * frame is freed once, and not touched after that; a call waits only if something will come, and is
 * resumed once; the count of what may be started comes back to nothing. There are no mutants: all
 * of it is under one lock, and model_wait.c has those of the wait. */
#include "src/each.c"

#include "tests/model/await.h"
#include "tests/model/wloom.h"
#include <string.h>

#define TASKS 2

static struct wf_scope scope;
static struct frame {
    struct wf_task task;
    WF_PLAIN(int) result; /* what the task did: a race if it is read too early */
    int freed;            /* not modelled: the checker is one thread */
} frames[TASKS];
static struct {
    struct wf_fiber fiber;
    WF_PLAIN(int) context; /* 1: saved */
    WF_ATOMIC(uint32_t) ready;
    int resumed;
} owner;
static WF_ATOMIC(uint32_t) live;  /* tasks that have not left the scope, and the owner */
static WF_ATOMIC(uint32_t) ended; /* event: live has come to 0 */
static struct wf_wait *waiting;   /* enlisted for cancellation; under cancel_lock */
static struct wf_lock cancel_lock;
static int dropped;

/* --- what each.c calls ------------------------------------------------------------------------ */

void wf_wait_resume(struct wf_work *resume)
{
    wloom_assert(resume == &owner.fiber.resume);
    wloom_assert(wf_plain_read(&owner.context) == 1);
    wloom_assert(++owner.resumed == 1);
    wloom_handoff_set(&owner.ready);
}

enum wf_wait_state wf_wait_block(struct wf_fiber *self, struct wf_wait *wait)
{
    (void)self;
    if (wf_wait_outcome(wait) == WF_WAIT_SETUP) {
        wf_plain_write(&owner.context, 1);
        if (wf_wait_arm(wait)) {
            wloom_handoff_wait(&owner.ready);
        }
    }
    owner.resumed = 0;
    return wf_wait_outcome(wait);
}

/* As in src/await.c, with a scope of one wait. */
ssize_t wf_call_block(struct wf_fiber *self, struct wf_call *call)
{
    wf_lock(&cancel_lock);
    waiting = &call->wait;
    wf_unlock(&cancel_lock);
    (void)wf_wait_block(self, &call->wait);
    wf_lock(&cancel_lock);
    waiting = NULL;
    wf_unlock(&cancel_lock);
    return call->wait.ops->finish(call);
}

struct wf_fiber *wf_enter_task(int *rc)
{
    (void)rc;
    return &owner.fiber;
}

void wf_task_free_frame(struct wf_fiber *self, struct wf_task *task)
{
    (void)self;
    struct frame *frame = wf_container_of(task, struct frame, task);
    wloom_assert(++frame->freed == 1);
    wloom_retire(&frame->task, sizeof frame->task);
    wloom_retire(&frame->result, sizeof frame->result);
}

void wf_failures_add(struct wf_failures *failures, int rc, weft_error *error)
{
    (void)failures;
    (void)error;
    wloom_assert(rc == -EIO);
    dropped++;
}

/* --- the parties ------------------------------------------------------------------------------ */

static void leave(void)
{
    if (wf_sub_acq_rel(&live, 1) == 1) {
        wloom_handoff_set(&ended);
    }
}

static void task(void *arg)
{
    struct frame *frame = &frames[(intptr_t)arg];
    wf_plain_write(&frame->result, 42);
    frame->task.rc = -EIO;
    wf_each_ended(&scope, &frame->task);
    leave();
}

static void canceller(void *arg)
{
    (void)arg;
    wf_lock(&cancel_lock);
    if (waiting != NULL) {
        waiting->ops->cancel(waiting);
    }
    wf_unlock(&cancel_lock);
}

static struct wf_env inner; /* of a scope inside: calls can be cancelled */

static void begin(void)
{
    memset(&scope, 0, sizeof scope);
    memset(frames, 0, sizeof frames);
    memset(&owner, 0, sizeof owner);
    memset(&live, 0, sizeof live);
    memset(&ended, 0, sizeof ended);
    memset(&cancel_lock, 0, sizeof cancel_lock);
    waiting = NULL;
    dropped = 0;
    scope.open = 1;
    scope.env.scope = &scope;
    wf_each_init(&scope, TASKS);
    owner.fiber.env = &scope.env;
    wf_store_relaxed(&live, TASKS + 1);
    for (intptr_t i = 0; i < TASKS; i++) {
        wloom_assert(wf_each_enter(&scope) == 0);
        frames[i].task.arg = &frames[i];
    }
    wloom_assert(wf_each_enter(&scope) == -EAGAIN);
    for (intptr_t i = 0; i < TASKS; i++) {
        wloom_spawn(task, (void *)i);
    }
}

/* How many were taken; ends the scope. */
static void end(int taken)
{
    leave();
    wloom_handoff_wait(&ended);
    wf_each_close(&owner.fiber, &scope);
    wloom_join_all();
    wloom_assert(taken + dropped == TASKS);
    for (int i = 0; i < TASKS; i++) {
        wloom_assert(frames[i].freed == 1);
    }
}

static int take(void)
{
    weft_done done;
    int rc = weft_scope_next((weft_scope *)(void *)&scope, &done);
    if (rc > 0) {
        struct frame *frame = done.arg;
        wloom_assert(done.rc == -EIO);
        wloom_assert(wf_plain_read(&frame->result) == 42);
    }
    return rc;
}

static void all_are_taken(void)
{
    begin();
    for (int i = 0; i < TASKS; i++) {
        wloom_assert(take() == 1);
    }
    wloom_assert(take() == 0);
    wloom_assert(scope.each.untaken == 0);
    end(TASKS);
}

static void the_scope_ends_with_one_taken(void)
{
    begin();
    wloom_assert(take() == 1);
    end(1);
}

static void a_call_is_cancelled(void)
{
    static struct wf_scope within;
    begin();
    memset(&within, 0, sizeof within);
    inner = (struct wf_env){.scope = &within};
    owner.fiber.env = &inner;
    wloom_spawn(canceller, NULL);
    int taken = 0;
    for (int i = 0; i < TASKS; i++) {
        int rc = take();
        wloom_assert(rc == 1 || rc == -ECANCELED);
        taken += rc == 1;
    }
    end(taken);
}

static const struct wloom_scenario scenarios[] = {
    {"all are taken", all_are_taken, NULL, NULL, false},
    {"the scope ends with one taken", the_scope_ends_with_one_taken, NULL, NULL, false},
    {"a call is cancelled", a_call_is_cancelled, NULL, NULL, false},
    {NULL, NULL, NULL, NULL, false},
};

int main(int argc, char **argv)
{
    static const struct wloom_harness harness = {
        .name = "each",
        .scenarios = scenarios,
        .share = 0.5,
    };
    return wloom_main(&harness, argc, argv);
}
