/* debug.h: what a runtime counts and says of itself. */
#ifndef WEFT_DEBUG_H
#define WEFT_DEBUG_H

#include <weft/task.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Sums over all workers since start. Each is exact on its own; together they are a snapshot taken
 * while it runs. */
typedef struct weft_stats {
    uint64_t runs;          /* works run from a queue */
    uint64_t steals;        /* works taken from another worker */
    uint64_t suspends;      /* stacks left because something had to be waited for */
    uint64_t parks;         /* times a worker went to sleep */
    uint64_t wakes;         /* times a worker was woken by another thread */
    uint64_t injected;      /* works that came through the injection queue */
    uint64_t ops_submitted; /* operations given to the kernel */
    uint64_t ops_completed; /* final completions; equals ops_submitted when nothing is in flight */
    uint64_t ops_cancelled;
    uint64_t driver_enters; /* system calls of the I/O driver */
    uint64_t timers_fired;
    uint64_t values_dropped; /* pending values (stackless.h) that nobody consumed */
    /* 64 KiB chunks of pooled task frames and error records that were allocated */
    uint64_t slab_chunks;
    /* stacks that exist: in use or cached, over all runtimes of the process */
    uint64_t stacks;
    /* of ops_completed, those that an idle worker took over from a busy one (weft_rt_opts.rescue),
     * and the signals that this took */
    uint64_t ops_rescued, kicks;
    uint64_t loans;         /* buffers that are lent right now (loan.h) */
    uint64_t loans_awaited; /* times that a receive had to wait for one */
} weft_stats;

/* Any thread, between start and free. */
void weft_stats_get(weft_rt *rt, weft_stats *out);

/* One line about the runtime, NUL-terminated, cut to `bytes`: workers, I/O backend, stack guards,
 * limits. Any thread, between start and free. Returns the length that it would have. */
int weft_rt_report(weft_rt *rt, char *out, size_t bytes);

/* Writes to the descriptor `fd`, in lines of text, what every task of the runtime does that has a
 * stack: its name, where it was started, what it waits for (or which worker it runs on) and in
 * which scopes, and how much of its deadline is left. Needs no help of the tasks and takes no lock
 * of theirs: it may be called while they run, from any thread, and from a debugger. Of tasks that
 * run a line may be out of date. Returns the number of stacks with a task. Between start and free.
 * Blocks as write(2) does. */
int weft_dump(weft_rt *rt, int fd);

/* What messages call the current task, NUL-terminated, cut to `bytes`: "task NAME (started in
 * FUNCTION, FILE:LINE)"; outside of tasks "no task". Returns the length that it would have. Cannot
 * suspend. */
int weft_describe(char *out, size_t bytes);

/* For tests that disturb a program at each of its waits: hook(arg) is called on a task's stack each
 * time that it is about to be suspended, for whatever reason, and may do what cannot suspend:
 * cancel a scope, fire a source, release, close. NULL: no hook (the default). Set it while no
 * runtime runs. Costs a load for each suspension when there is none.
 *
 *     static void cancel_at_nth(void *scope) { if (--left == 0) weft_scope_cancel(scope, "sweep");
 *     } */
typedef void weft_suspend_fn(void *arg);
void weft_on_suspend(weft_suspend_fn *hook, void *arg);

#ifdef __cplusplus
}
#endif

#endif
