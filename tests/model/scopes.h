/* scopes.h: a scope that is open, for models that include src/walk.c and not src/scope.c. */
#ifndef MODEL_SCOPES_H
#define MODEL_SCOPES_H

#include "src/core.h"
#include <string.h>

/* Its owner's hold is the only one, so it stays open. */
static inline void begin_scope(struct wf_scope *scope, struct wf_task *task)
{
    static const weft_place place = {.file = "model", .function = "model", .line = 1};
    memset(scope, 0, sizeof *scope);
    scope->place = &place;
    wf_list_init(&scope->children);
    wf_list_init(&scope->visit);
    wf_list_init(&scope->waiters);
    wf_list_init(&scope->waits);
    wf_list_init(&scope->ended);
    wf_list_init(&scope->sibling);
    wf_list_init(&scope->node.callbacks);
    wf_store_relaxed(&scope->live, 1);
    scope->open = 1;
    scope->env.scope = scope;
    scope->env.task = task;
}

#endif
