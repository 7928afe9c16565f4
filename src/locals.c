/* locals.c: task-local data.
 *
 * A binding is an env: the code inside runs under it (fiber->env), and it names the same task and
 * scope as the env outside. So forked sections, which carry their env along, see it without more;
 * each strand ends its own bindings; and the order of ends is checked like that of scopes. */
#include "pool/base/check.h"
#include "src/core.h"

static struct wf_binding *binding_of(weft_binding *binding)
{
    return (struct wf_binding *)(void *)binding;
}

void weft_bind(weft_binding *handle, const weft_key *key, const void *value)
{
    struct wf_binding *binding = binding_of(handle);
    *binding = (struct wf_binding){.key = key, .value = value};
    int rc = 0;
    struct wf_fiber *self = wf_enter_task(&rc);
    if (self == NULL) {
        return;
    }
    binding->outer = self->env;
    binding->env.task = self->env->task;
    binding->env.scope = self->env->scope;
    binding->env.locals = binding;
    wf_slot_set(&binding->env.slot, WF_SLOT_NONE);
    /* relaxed: seen late it does no harm, since whoever cancels the task looks at what waits under
     * the scope's lock, and nothing spawned under this env waits there yet */
    wf_task_touch(self->env->task);
    wf_store_relaxed(&self->env->task->has_bound, 1);
    wf_env_enter(self, &binding->env);
}

void weft_unbind(weft_binding *handle)
{
    struct wf_binding *binding = binding_of(handle);
    int rc = 0;
    struct wf_fiber *self = binding->outer != NULL ? wf_enter_task(&rc) : NULL;
    if (self == NULL) {
        return; /* bound outside a task, unbound before, or in a forked child */
    }
    if (self->env != &binding->env) {
        wf_misuse("the binding of \"%s\" ends out of order, or in another task",
                  binding->key->name);
        return;
    }
    if (wf_unlikely(wf_env_has_unawaited(self, &binding->env))) {
        wf_misuse("the binding of \"%s\" ends while a task spawned in it has not been awaited",
                  binding->key->name);
    }
    self->env = binding->outer;
    binding->outer = NULL;
}

/* The binding around this one, whatever its key. */
static const struct wf_binding *next_out(const struct wf_binding *binding)
{
    return binding->outer->locals;
}

const void *weft_get(const weft_key *key)
{
    int rc = 0;
    struct wf_fiber *self = wf_enter_task(&rc);
    if (self == NULL) {
        return NULL;
    }
    const struct wf_binding *binding = self->env->locals;
    while (binding != NULL && binding->key != key) { /* ends: at the outermost */
        binding = next_out(binding);
    }
    return binding != NULL ? binding->value : NULL;
}
