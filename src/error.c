/* error.c: error records, and the two ways to complain: to the misuse hook, and to stderr.
 *
 * A record belongs to the task that failed, then to whoever awaited it; a record owns its causes
 * and the others of its scope. Records come from the slab of the worker that runs when something
 * fails; they are freed on whichever worker the last owner runs. When none is to be had, the text
 * is lost and the code is kept.
 *
 * A task that succeeds never comes here. One that fails without weft_fail gets its record only when
 * somebody looks: a million tasks that fail cost a record for each that is awaited, not more. */
#include "pool/base/check.h"
#include "src/core.h"
#include "src/guard.h"
#include "src/text.h"
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static void default_misuse(const char *what)
{
    (void)fprintf(stderr, "weft: misuse: %s\n", what);
    abort();
}

static weft_misuse_fn *misuse_hook = default_misuse;

weft_misuse_fn *weft_on_misuse(weft_misuse_fn *hook)
{
    weft_misuse_fn *former = misuse_hook;
    misuse_hook = hook != NULL ? hook : default_misuse;
    return former;
}

void wf_misuse(const char *format, ...)
{
    char text[512];
    va_list args;
    va_start(args, format);
    (void)vsnprintf(text, sizeof text, format, args);
    va_end(args);
    WF_GUARDED(misuse_hook(text));
}

/* --- ownership -------------------------------------------------------------------------------- */

_Static_assert(sizeof(weft_error) <= WF_ERROR_BYTES, "the slab's objects are too small");

/* What a record points at is read-only for the program and ours to change. */
static weft_error *owned(const weft_error *error)
{
    return (weft_error *)(uintptr_t)error;
}

/* A list linked by `next`, before `rest`. */
static weft_error *join_lists(const weft_error *list, weft_error *rest)
{
    if (list == NULL) {
        return rest;
    }
    weft_error *last = owned(list);
    while (last->next != NULL) { /* ends: at most WEFT_ERRORS_KEPT */
        last = owned(last->next);
    }
    last->next = rest;
    return owned(list);
}

void wf_error_free_all(weft_error *error)
{
    struct wf_fiber *self = wf_self();
    struct wf_slab *mine = self != NULL ? &self->worker->errors : NULL;
    while (error != NULL) { /* ends: what belongs to it is a tree, taken apart from the root */
        weft_error *rest = join_lists(error->cause, owned(error->next));
        rest = join_lists(error->others, rest);
        wf_slab_give(mine, error);
        error = rest;
    }
}

weft_error *wf_error_take_it(struct wf_task *task)
{
    /* sync(error.take): acq_rel, the record's contents, whichever strand of the task wrote them;
     * pairs sync(error.take), sync(error.give) */
    return wf_xchg_acq_rel(&task->error, NULL);
}

void wf_error_give(struct wf_task *task, weft_error *error)
{
    /* sync(error.give): acq_rel, as above; pairs sync(error.take), sync(error.give) */
    wf_error_free(wf_xchg_acq_rel(&task->error, error));
}

/* --- making ----------------------------------------------------------------------------------- */

const char *wf_task_name(const struct wf_task *task)
{
    const char *name = wf_load_relaxed(&task->name); /* relaxed: a static string */
    if (name != NULL) {
        return name;
    }
    return task->place->body != NULL ? task->place->body : "(no name)";
}

/* A record without text. NULL: there is no memory, or no worker whose memory it could be. */
static weft_error *new_record(const struct wf_task *task, int code, const weft_place *place)
{
    struct wf_fiber *self = wf_self();
    weft_error *error = self != NULL ? wf_slab_take(&self->worker->errors) : NULL;
    if (error != NULL) {
        error->code = code;
        error->awaits = 0;
        error->total = 0;
        error->task = wf_task_name(task);
        error->place = place;
        error->started = task->place;
        error->cause = NULL;
        error->others = NULL;
        error->next = NULL;
        error->text[0] = '\0';
    }
    return error;
}

/* Makes `cause` (owned, may be NULL) the cause of `error`; drops what is too far back. */
static void set_cause(weft_error *error, weft_error *cause)
{
    error->cause = cause;
    for (int i = 0; i < WEFT_ERROR_CAUSES && error->cause != NULL; i++) {
        error = owned(error->cause);
    }
    wf_error_free(owned(error->cause));
    error->cause = NULL;
}

int weft_fail_(const weft_place *place, int code, const char *format, ...)
{
    if (wf_unlikely(code >= 0) && !wf_forked) {
        wf_misuse("weft_fail at %s:%d: %d is no failure: a code is < 0, as -EIO is", place->file,
                  place->line, code);
    }
    int rc = 0;
    struct wf_fiber *self = wf_enter_task(&rc);
    if (self == NULL) {
        return code;
    }
    struct wf_task *task = self->env->task;
    weft_error *error = new_record(task, code, place);
    if (error == NULL) {
        return code;
    }
    va_list args;
    va_start(args, format);
    (void)vsnprintf(error->text, sizeof error->text, format, args);
    va_end(args);
    weft_error *before = wf_error_take(task);
    if (before != NULL && before->awaits > 0) {
        set_cause(error, before);
    } else {
        wf_error_free(before);
    }
    wf_error_give(task, error);
    return code;
}

weft_error *wf_error_of(const struct wf_task *task, int rc, weft_error *error)
{
    if (error != NULL && error->code == rc) {
        return error;
    }
    if (rc == -ECANCELED) { /* ten thousand tasks may answer one cancellation */
        wf_error_free(error);
        return NULL;
    }
    weft_error *own = new_record(task, rc, NULL);
    if (own == NULL) {
        wf_error_free(error);
        return NULL;
    }
    set_cause(own, error);
    return own;
}

const weft_place *wf_error_place(const weft_error *error, const weft_place *place)
{
    if (error == NULL) {
        return place;
    }
    if (error->place != NULL) {
        return error->place;
    }
    return error->started != NULL ? error->started : place;
}

/* --- handing on ------------------------------------------------------------------------------- */

void wf_error_hand_on(struct wf_task *awaiter, weft_error *error, const weft_place *place)
{
    if (error != NULL && place != NULL) {
        error->await[error->awaits % WEFT_ERROR_AWAITS] = place;
        error->awaits++;
    }
    wf_error_give(awaiter, error);
}

void wf_failures_add(struct wf_failures *failures, int rc, weft_error *error)
{
    failures->total++;
    if (failures->first_rc == 0) {
        failures->first_rc = rc;
    }
    if (error == NULL) {
        return;
    }
    if (failures->first == NULL) {
        failures->first = error;
        return;
    }
    weft_error *last = failures->first;
    int kept = 1;
    while (last->next != NULL) { /* ends: at most WEFT_ERRORS_KEPT */
        last = owned(last->next);
        kept++;
    }
    if (kept < WEFT_ERRORS_KEPT) {
        last->next = error;
    } else {
        wf_error_free(error);
    }
}

weft_error *wf_failures_take(struct wf_failures *failures)
{
    weft_error *first = failures->first;
    if (first == NULL) {
        return NULL;
    }
    if (first->next != NULL) {
        /* those of an inner scope give way: a record has one list */
        wf_error_free(owned(first->others));
        first->others = first->next;
        first->next = NULL;
    }
    if (first->others == NULL || failures->total > 1) {
        first->total = failures->total;
    }
    return first;
}

/* --- looking ---------------------------------------------------------------------------------- */

const weft_error *weft_last(void)
{
    int rc = 0;
    struct wf_fiber *self = wf_enter_task(&rc);
    if (self == NULL) {
        return NULL;
    }
    /* sync(error.last): acquire, the record's contents; pairs sync(error.give) */
    return wf_load_acquire(&self->env->task->error);
}

const char *weft_error_text(int code)
{
    const weft_error *last = weft_last();
    if (last != NULL && last->code == code && last->text[0] != '\0') {
        return last->text;
    }
    const char *words = strerrordesc_np(-code);
    return words != NULL ? words : "an unknown error";
}

void weft_forget(void)
{
    int rc = 0;
    struct wf_fiber *self = wf_enter_task(&rc);
    if (self != NULL) {
        wf_error_free(wf_error_take(self->env->task));
    }
}

void weft_task_name(const char *name)
{
    int rc = 0;
    struct wf_fiber *self = wf_enter_task(&rc);
    if (self != NULL) {
        wf_task_touch(self->env->task);
        wf_store_relaxed(&self->env->task->name, name); /* relaxed: a static string */
    }
}

int weft_errors(const weft_scope *handle, const weft_error **out, int n)
{
    struct wf_scope *scope = wf_scope_of(handle);
    if (wf_forked) {
        return -ENOSYS;
    }
    wf_lock(&scope->lock);
    const weft_error *first = scope->open ? NULL : scope->failures.first;
    int total = scope->failures.total;
    wf_unlock(&scope->lock);
    /* The scope's pointer is a memory of what it handed on: it counts only while the task still has
     * that very record. */
    const weft_error *last = weft_last();
    bool is_it =
        first != NULL && last == first && (total == 1 ? last->total > 0 : last->total == total);
    const weft_error *error = is_it ? last : NULL;
    for (int i = 0; i < n; i++) {
        out[i] = error;
        if (error != NULL && total == 1) {
            error = NULL; /* the others that it may have are those of a scope further in */
        } else if (error != NULL) {
            error = i == 0 ? error->others : error->next;
        }
    }
    return total;
}

/* --- telling ---------------------------------------------------------------------------------- */

#define REPORT_BYTES 4096

static void add_code(struct wf_text *text, int code)
{
    const char *name = strerrorname_np(-code);
    if (name != NULL) {
        wf_text_add(text, "%s", name);
    } else {
        wf_text_add(text, "%d", code);
    }
}

static void add_place(struct wf_text *text, const char *what, const weft_place *place)
{
    wf_text_add(text, "    %s %s (%s:%d)\n", what, place->function, place->file, place->line);
}

/* Code and text, and the place of the weft_fail. */
static void add_failure(struct wf_text *text, const weft_error *error)
{
    add_code(text, error->code);
    if (error->text[0] != '\0') {
        wf_text_add(text, ": %s", error->text);
    }
    wf_text_add(text, "\n");
    if (error->place != NULL) {
        add_place(text, "failed in", error->place);
    }
    wf_text_add(text, "    task %s, started in %s (%s:%d)\n", error->task, error->started->function,
                error->started->file, error->started->line);
}

static void add_awaits(struct wf_text *text, const weft_error *error)
{
    int first = error->awaits > WEFT_ERROR_AWAITS ? error->awaits - WEFT_ERROR_AWAITS : 0;
    if (first > 0) {
        wf_text_add(text, "    awaited %d times, then\n", first);
    }
    for (int i = first; i < error->awaits; i++) {
        add_place(text, "awaited in", error->await[i % WEFT_ERROR_AWAITS]);
    }
}

static void add_others(struct wf_text *text, const weft_error *error)
{
    if (error->total > 1) {
        wf_text_add(text, "  the first of %d failures\n", error->total);
    }
    for (const weft_error *other = error->others; other != NULL; other = other->next) {
        wf_text_add(text, "  and ");
        add_failure(text, other);
    }
}

static void add_error(struct wf_text *text, const weft_error *error)
{
    for (; error != NULL; error = error->cause) { /* ends: at most WEFT_ERROR_CAUSES */
        add_failure(text, error);
        add_awaits(text, error);
        add_others(text, error);
        if (error->cause != NULL) {
            wf_text_add(text, "  caused by ");
        }
    }
}

int weft_error_format(const weft_error *error, char *out, size_t bytes)
{
    struct wf_text text = {.at = out, .bytes = bytes};
    if (bytes > 0) {
        out[0] = '\0';
    }
    add_error(&text, error);
    return (int)text.length;
}

void weft_error_print(const weft_error *error)
{
    char bytes[REPORT_BYTES];
    struct wf_text text = {.at = bytes, .bytes = sizeof bytes};
    add_error(&text, error);
    wf_text_write(&text, STDERR_FILENO);
}

void wf_error_report(const char *what, const char *name, const weft_place *started, int rc,
                     const weft_error *error)
{
    char bytes[REPORT_BYTES];
    struct wf_text text = {.at = bytes, .bytes = sizeof bytes};
    wf_text_add(&text, "weft: %s: ", what);
    if (error != NULL) {
        add_error(&text, error);
    } else {
        add_code(&text, rc);
        wf_text_add(&text, "\n    task %s, started in %s (%s:%d)\n", name, started->function,
                    started->file, started->line);
    }
    wf_text_write(&text, STDERR_FILENO);
}

void weft_panic_(const weft_place *place, const char *format, ...)
{
    char bytes[REPORT_BYTES], task[REPORT_BYTES / 8], what[REPORT_BYTES / 8];
    struct wf_text text = {.at = bytes, .bytes = sizeof bytes};
    va_list args;
    va_start(args, format);
    (void)vsnprintf(what, sizeof what, format, args);
    va_end(args);
    (void)weft_describe(task, sizeof task);
    wf_text_add(&text, "weft: panic: %s\n    at %s (%s:%d), in %s\n", what, place->function,
                place->file, place->line, task);
    add_error(&text, weft_last());
    wf_text_write(&text, STDERR_FILENO);
    abort();
}

int wf_task_describe(const struct wf_task *task, char *out, size_t bytes)
{
    return snprintf(out, bytes, "task %s (started in %s, %s:%d)", wf_task_name(task),
                    task->place->function, task->place->file, task->place->line);
}

int weft_describe(char *out, size_t bytes)
{
    int rc = 0;
    struct wf_fiber *self = wf_enter_task(&rc);
    if (self == NULL) {
        return snprintf(out, bytes, "no task");
    }
    return wf_task_describe(self->env->task, out, bytes);
}

void wf_guard_left(const struct wf_task *task)
{
    const char *name = task != NULL ? wf_task_name(task) : "none";
    wf_panic(task != NULL ? task->place->file : "callback", task != NULL ? task->place->line : 0,
             "an exception left %s (task %s); it cannot go further",
             task != NULL ? "the body of a task" : "a callback", name);
}
