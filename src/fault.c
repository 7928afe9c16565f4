/* fault.c: failures that nobody looked at, and detached tasks, which are the usual source of them.
 *
 * A failure is unobserved if no caller can get its code: of a task that was posted or detached, of
 * a service, and of the tasks of a scope that was left without weft_scope_end. The runtime's hook
 * hears of each one once, on the worker that ended it, and says what to do. An answer to a
 * cancellation is no failure and never comes here. */
#include "src/core.h"
#include "src/guard.h"
#include <weft/service.h>

/* The hook may not take this stack for a task that it could suspend. */
static int ask_hook(const struct weft_rt *rt, const weft_fault *fault)
{
    struct wf_fiber *self = wf_self();
    struct wf_env *env = self->env;
    wf_env_enter_none(self);
    WF_GUARD(guard, NULL);
    int verdict = rt->on_unobserved(fault, rt->on_unobserved_arg);
    guard.armed = false;
    self->env = env;
    return verdict;
}

void wf_fault_unobserved(struct weft_rt *rt, const char *name, const weft_place *started, int rc,
                         weft_error *error, int verdict)
{
    if (rt->on_unobserved != NULL) {
        const weft_fault fault = {.code = rc, .task = name, .started = started, .error = error};
        int answer = ask_hook(rt, &fault);
        verdict = answer != 0 ? answer : verdict;
    }
    if (verdict != WEFT_IGNORE) {
        wf_error_report(verdict == WEFT_STOP ? "stopping for a failure" : "unobserved failure",
                        name, started, rc, error);
    }
    wf_error_free(error);
    if (verdict == WEFT_STOP) {
        wf_runtime_fault(rt, rc);
    }
}

void wf_fault_scope(struct weft_rt *rt, struct wf_failures *failures)
{
    weft_error *error = failures->first;
    *failures = (struct wf_failures){0};
    while (error != NULL) { /* ends: at most WEFT_ERRORS_KEPT */
        weft_error *next = (weft_error *)(uintptr_t)error->next;
        error->next = NULL;
        wf_fault_unobserved(rt, error->task, error->started, error->code, error, WEFT_LOG);
        error = next;
    }
}

int weft_detach_(weft_fn *fn, const void *arg, size_t bytes, const weft_place *place)
{
    int rc = 0;
    struct wf_fiber *self = wf_enter_task(&rc);
    if (self == NULL) {
        return rc;
    }
    weft_scope *root = (weft_scope *)&wf_runtime_of(self)->root;
    rc = weft_go_(root, fn, arg, bytes, place);
    return rc == -ECANCELED ? -ESHUTDOWN : rc; /* the root is cancelled when the runtime stops */
}
