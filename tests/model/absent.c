/* absent.c: what the sources under test name and a model need not have, as weak definitions: a
 * model that has it defines it again. Linked into every harness.
 *
 * Most of it is there to be linked, and says so when it is called. The rest is what a program does
 * in which nothing fails: no error records, no budgets that end, no task that was cancelled
 * alone. */
#include "pool/turn.h"
#include "src/core.h"
#include "src/select.h"
#include "src/value.h"
#include "tests/model/wloom.h"

#define ABSENT           __attribute__((weak))
#define NOT_CALLED(name) wloom_fail(__FILE__, __LINE__, "%s: the model has none", name)

/* --- the program ------------------------------------------------------------------------------ */

ABSENT int wf_forked;
ABSENT uint64_t wf_deque_secret;              /* nobody forks sections */
ABSENT struct wf_fiber_hooks wf_fiber_hooks;  /* nor runs them */
ABSENT volatile uintptr_t wf_stack_region[2]; /* nobody is on a stack of ours */

ABSENT void wf_misuse(const char *format, ...)
{
    wloom_fail(__FILE__, __LINE__, "misuse: %s", format);
}

ABSENT void wf_error_free_all(weft_error *error)
{
    (void)error;
}

ABSENT weft_error *wf_error_take_it(struct wf_task *task)
{
    (void)task;
    return NULL;
}

ABSENT weft_error *wf_error_of(const struct wf_task *task, int rc, weft_error *error)
{
    (void)task, (void)rc;
    return error;
}

ABSENT void wf_error_hand_on(struct wf_task *awaiter, weft_error *error, const weft_place *place)
{
    (void)awaiter, (void)error, (void)place;
}

ABSENT int wf_give_way(struct wf_fiber *self, int rc)
{
    (void)self;
    return rc;
}

ABSENT void wf_yield(struct wf_fiber *self)
{
    (void)self;
}

ABSENT void wf_env_sign(struct wf_fiber *self)
{
    (void)self;
    NOT_CALLED("private sections");
}

ABSENT uint32_t wf_env_cancelled_alone(struct wf_env *env)
{
    (void)env;
    return 0;
}

ABSENT weft_reason wf_reason(enum weft_why_kind kind, const char *text, const weft_place *place)
{
    return (weft_reason){.kind = kind, .text = text, .place = place};
}

/* --- public functions, and how a stack waits -------------------------------------------------- */

ABSENT struct wf_fiber *wf_enter_call(int *rc)
{
    (void)rc;
    NOT_CALLED("wf_enter_call");
}

ABSENT struct wf_fiber *wf_enter_task(int *rc)
{
    (void)rc;
    NOT_CALLED("wf_enter_task");
}

ABSENT struct wf_fiber *wf_peek_task(void)
{
    return NULL;
}

ABSENT ssize_t wf_call_block(struct wf_fiber *self, struct wf_call *call)
{
    (void)self, (void)call;
    NOT_CALLED("wf_call_block");
}

ABSENT enum wf_wait_state wf_call_block_otherwise(struct wf_fiber *self, struct wf_call *call,
                                                  bool entered)
{
    (void)self, (void)call, (void)entered;
    NOT_CALLED("wf_call_block_otherwise");
}

ABSENT enum wf_wait_state wf_fiber_lie_first(struct wf_fiber *self, struct wf_call *call)
{
    (void)self, (void)call;
    NOT_CALLED("wf_fiber_lie_first");
}

ABSENT void wf_fiber_flagged(struct wf_fiber *self)
{
    (void)self;
    NOT_CALLED("wf_fiber_flagged");
}

ABSENT enum wf_wait_state wf_wait_block(struct wf_fiber *self, struct wf_wait *wait)
{
    (void)self, (void)wait;
    NOT_CALLED("wf_wait_block");
}

ABSENT void wf_after_block(struct wf_fiber *now, struct wf_fiber *before, void *wait)
{
    (void)now, (void)before, (void)wait;
    NOT_CALLED("wf_after_block");
}

ABSENT bool wf_wait_enter_locked(struct wf_wait *wait, struct wf_env *env)
{
    (void)wait, (void)env;
    NOT_CALLED("wf_wait_enter_locked");
}

ABSENT void wf_wait_leave_locked(struct wf_wait *wait, struct wf_env *env)
{
    (void)wait, (void)env;
    NOT_CALLED("wf_wait_leave_locked");
}

ABSENT bool wf_wait_retract(struct wf_wait *wait, struct wf_env *env)
{
    (void)wait, (void)env;
    NOT_CALLED("wf_wait_retract");
}

ABSENT bool wf_v_begin(struct wf_begun *b, enum wf_v_kind kind, const weft_place *place)
{
    (void)b, (void)kind, (void)place;
    NOT_CALLED("wf_v_begin");
}

ABSENT weft_val wf_v_end(struct wf_begun *b, ssize_t rc)
{
    (void)b, (void)rc;
    NOT_CALLED("wf_v_end");
}

ABSENT const struct wf_wait_ops wf_select_ops = {.name = "weft_select"};

ABSENT void wf_select_leave_locked(struct wf_waiter *place)
{
    (void)place;
    NOT_CALLED("wf_select_leave_locked");
}

ABSENT void wf_wait_resume(struct wf_work *resume)
{
    (void)resume;
    NOT_CALLED("wf_wait_resume");
}

/* --- the switch ------------------------------------------------------------------------------- */

ABSENT void wf_suspend_watching(struct wf_fiber *self, wf_after_fn *after, void *word, void *flag,
                                wf_flagged_fn *flagged)
{
    (void)self, (void)after, (void)word, (void)flag, (void)flagged;
    NOT_CALLED("wf_suspend_watching");
}

ABSENT void wf_suspend_arming(struct wf_fiber *self, wf_after_fn *after, void *word)
{
    (void)self, (void)after, (void)word;
    NOT_CALLED("wf_suspend_arming");
}

ABSENT void wf_suspend_to(struct wf_fiber *self, struct wf_work *next, wf_after_fn *after,
                          void *arg)
{
    (void)self, (void)next, (void)after, (void)arg;
    NOT_CALLED("wf_suspend_to");
}

ABSENT void wf_switch_back(struct wf_fiber *now, struct wf_fiber *before)
{
    (void)now, (void)before;
    NOT_CALLED("wf_switch_back");
}

ABSENT void wf_switch_to(struct wf_fiber *self, struct wf_fiber *target)
{
    (void)self, (void)target;
    NOT_CALLED("wf_switch_to");
}

ABSENT void wf_fiber_run_resume(struct wf_fiber *self, struct wf_work *work)
{
    (void)self, (void)work;
    NOT_CALLED("wf_fiber_run_resume");
}

ABSENT void wf_start_queued(struct wf_fiber *self, struct wf_work *work)
{
    (void)self, (void)work;
    NOT_CALLED("wf_start_queued");
}

ABSENT int wf_switch_context(struct wf_fiber *to, struct wf_fiber *from, void *arg,
                             wf_after_fn *after)
{
    (void)to, (void)from, (void)arg, (void)after;
    NOT_CALLED("wf_switch_context");
}

ABSENT int wf_switch_queued(struct wf_fiber *to, struct wf_fiber *from, void *unless,
                            wf_after_fn *after, void *slot, void *count)
{
    (void)to, (void)from, (void)unless, (void)after, (void)slot, (void)count;
    NOT_CALLED("wf_switch_queued");
}

ABSENT int wf_switch_arming(struct wf_fiber *to, struct wf_fiber *from, void *word,
                            wf_after_fn *otherwise)
{
    (void)to, (void)from, (void)word, (void)otherwise;
    NOT_CALLED("wf_switch_arming");
}

ABSENT void wf_serve(struct wf_fiber *self, struct wf_worker *worker)
{
    (void)self, (void)worker;
    NOT_CALLED("wf_serve");
}

ABSENT void wf_wake_one(struct wf_worker *worker)
{
    (void)worker;
    NOT_CALLED("wf_wake_one");
}

ABSENT void wf_worker_loop(struct wf_fiber *self)
{
    (void)self;
    NOT_CALLED("wf_worker_loop");
}

/* --- timers ----------------------------------------------------------------------------------- */

ABSENT bool wf_is_timer_due(struct wf_worker *worker)
{
    (void)worker;
    return false;
}

/* --- scopes, sources, tasks ------------------------------------------------------------------- */

ABSENT void wf_scope_open(struct wf_fiber *self, struct wf_scope *s, int on_error,
                          weft_time timeout, const weft_place *place)
{
    (void)self, (void)s, (void)on_error, (void)timeout, (void)place;
    NOT_CALLED("wf_scope_open");
}

ABSENT void wf_scope_close(struct wf_fiber *self, struct wf_scope *s)
{
    (void)self, (void)s;
    NOT_CALLED("wf_scope_close");
}

ABSENT int wf_scope_enter(struct wf_scope *s)
{
    (void)s;
    NOT_CALLED("wf_scope_enter");
}

ABSENT void wf_scope_leave(struct wf_scope *s)
{
    (void)s;
    NOT_CALLED("wf_scope_leave");
}

ABSENT void wf_fault_scope(struct weft_rt *rt, struct wf_failures *failures)
{
    (void)rt, (void)failures;
    NOT_CALLED("wf_fault_scope");
}

ABSENT struct wf_lock *wf_source_lock(struct wf_node *node)
{
    (void)node;
    NOT_CALLED("wf_source_lock");
}

ABSENT const weft_reason *wf_source_reason(struct wf_node *node)
{
    (void)node;
    NOT_CALLED("wf_source_reason");
}

ABSENT void wf_source_unpin(struct wf_node *node)
{
    (void)node;
    NOT_CALLED("wf_source_unpin");
}

ABSENT void wf_callbacks_run(struct wf_list *callbacks, struct wf_lock *lock,
                             const weft_reason *reason)
{
    (void)callbacks, (void)lock, (void)reason;
    NOT_CALLED("wf_callbacks_run");
}

ABSENT void wf_task_init(struct wf_task *task, struct weft_rt *rt, weft_fn *fn, void *arg,
                         struct wf_scope *owner, enum wf_task_kind kind, const weft_place *place)
{
    (void)task, (void)rt, (void)fn, (void)arg, (void)owner, (void)kind, (void)place;
    NOT_CALLED("wf_task_init");
}

ABSENT int wf_task_run_body(struct wf_fiber *self, struct wf_task *task)
{
    (void)self, (void)task;
    NOT_CALLED("wf_task_run_body");
}
