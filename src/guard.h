/* guard.h: a frame that no exception may pass.
 *
 * An exception (C++), or a thread's cancellation, that leaves a task's body or a hook would unwind
 * through frames of the library that are half done: a task would never end, an awaiter would go on
 * under another task's env. With a handler further up on the same stack, where a task runs on top
 * of its awaiter, the program would not even notice. So the unwinder, when it comes to such a
 * frame, ends the process. An exception that nobody catches ends it before, where it was thrown
 * (std::terminate).
 *
 * Costs an entry in the tables of the unwinder, and nothing when nothing is thrown.
 *
 *     WF_GUARD(guard, task);
 *     rc = task->fn(task->arg);
 *     guard.armed = false;
 *
 * longjmp unwinds nothing and is not seen here: see left_by_longjmp in task.c. Who may call: src/
 * only. */
#ifndef WF_GUARD_H
#define WF_GUARD_H

#include "pool/base/compiler.h"
#include <stdbool.h>

struct wf_task;

struct wf_dead_end {
    const struct wf_task *task; /* whose body; NULL: a callback or hook */
    bool armed;
};

/* Names the task, and aborts. */
WF_NORETURN WF_COLD void wf_guard_left(const struct wf_task *task);

static inline __attribute__((always_inline)) void wf_guard_check(const struct wf_dead_end *guard)
{
    if (wf_unlikely(guard->armed) && !WF_MODEL) {
        wf_guard_left(guard->task);
    }
}

#define WF_GUARD(name, of_task) \
    struct wf_dead_end name     \
        __attribute__((cleanup(wf_guard_check))) = {.task = (of_task), .armed = true}

/* A statement that calls a function of the program's, other than a task's body. */
#define WF_GUARDED(...)            \
    do {                           \
        WF_GUARD(wf_guard_, NULL); \
        __VA_ARGS__;               \
        wf_guard_.armed = false;   \
    } while (0)

#endif
