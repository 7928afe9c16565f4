/* error.c: error records, and the two ways to complain: to the misuse hook, and to stderr.
 *
 * Records come from the slab of the worker that runs when something fails; they are freed on
 * whichever worker the last owner runs. When none is to be had, the text is lost and the code is
 * kept. */
#include "src/core.h"
#include "pool/base/sys.h"
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
    misuse_hook(text);
}

void wf_error_free(weft_error *error)
{
    if (error != NULL) {
        struct wf_fiber *self = wf_self();
        wf_slab_give(self != NULL ? &self->worker->errors : NULL, error);
    }
}

weft_error *wf_error_take(struct wf_task *task)
{
    /* relaxed: whoever set it did so before what made us look */
    if (wf_load_relaxed(&task->error) == NULL) {
        return NULL;
    }
    /* sync(error.take): acq_rel, the record's contents, whichever strand of the task wrote them;
     * pairs sync(error.take), sync(error.give) */
    return wf_xchg_acq_rel(&task->error, NULL);
}

void wf_error_give(struct wf_task *task, weft_error *error)
{
    /* sync(error.give): acq_rel, as above; pairs sync(error.take), sync(error.give) */
    wf_error_free(wf_xchg_acq_rel(&task->error, error));
}

int weft_fail_(const weft_place *place, int code, const char *format, ...)
{
    int rc = 0;
    struct wf_fiber *self = wf_enter_task(&rc);
    if (self == NULL) {
        return code;
    }
    weft_error *error = wf_slab_take(&self->worker->errors);
    if (error == NULL) {
        return code;
    }
    error->code = code;
    error->place = place;
    va_list args;
    va_start(args, format);
    (void)vsnprintf(error->text, sizeof error->text, format, args);
    va_end(args);
    wf_error_give(self->env->task, error);
    return code;
}

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

void wf_error_report(const struct wf_task *task, int rc, const weft_error *error)
{
    char text[512];
    int length =
        error != NULL
            ? snprintf(text, sizeof text, "weft: task started at %s:%d failed: %s: %s (%s:%d)\n",
                       task->place->file, task->place->line, strerrorname_np(-rc), error->text,
                       error->place->file, error->place->line)
            : snprintf(text, sizeof text, "weft: task started at %s:%d failed: %s\n",
                       task->place->file, task->place->line, strerrorname_np(-rc));
    if (length > (int)sizeof text - 1) {
        length = (int)sizeof text - 1;
    }
    /* a report that cannot be made is lost */
    ssize_t ignored = write(STDERR_FILENO, text, (size_t)length);
    (void)ignored;
}
