/* overflow.h: what happens when a stack hits its guard: the process ends with a line that names the
 * task. A SIGSEGV that is no overflow goes to whoever had the signal before.
 *
 * Who may call: pool/ only. */
#ifndef WF_OVERFLOW_H
#define WF_OVERFLOW_H

#include <stddef.h>

/* Installs the handler: the region is open, and the lowest `guard_bytes` of each slot are its
 * guard. Under fiber.c's mutex, as the next. */
void wf_overflow_open(size_t guard_bytes);
/* Leaves a handler alone that somebody installed after ours. */
void wf_overflow_close(void);

/* The stack that signal handlers of a worker thread run on: an overflow cannot be handled on the
 * stack that has it. */
struct wf_signal_stack {
    void *memory; /* NULL: the thread had one before (sanitizers set one), or none was to be had */
    size_t bytes;
};

/* Called by the worker's thread, on any stack. 0 or -ENOMEM: then an overflow ends the process
 * without a message. */
int wf_signal_stack_open(struct wf_signal_stack *stack);
/* By the same thread, after a failed open too. */
void wf_signal_stack_close(struct wf_signal_stack *stack);

#endif
