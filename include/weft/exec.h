/* exec.h: where a task runs: anywhere in the pool (the default), on one worker, one at a time, or
 * on a thread that is not weft's.
 *
 * An *executor* is a place that a task moves to and stays at, through all of its waits, until it
 * moves on or ends: WEFT_POOL; a *serial* executor, which runs its tasks one at a time, so that
 * what they share needs no lock between two waits; or a *loop*, which runs them on a thread of the
 * program's own, such as the one that owns a user interface.
 *
 *     weft_exec *home;
 *     weft_move_to(WEFT_POOL, &home); // leave the user interface's thread for the slow part
 *     rc = http_get(url, &page);
 *     weft_move_to(home, NULL);       // and come back to show it
 *
 * Tasks start in the pool, whoever starts them. Only the task itself moves: what it forks, spawns
 * or gives to a scope does not move with it. A forked section does not move: move before the fork
 * or after the join. */
#ifndef WEFT_EXEC_H
#define WEFT_EXEC_H

#include <weft/task.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct weft_exec weft_exec;

/* The runtime's workers, any of them. */
#define WEFT_POOL ((weft_exec *)0)

/* Moves the current task to `to`, and puts where it was into *from (if `from` is not NULL), to be
 * moved back to. Returns when the task runs there; at once if it does already. When the task ends,
 * it leaves by itself. Not a point of cancellation: a cancelled task can still come home to clean
 * up. May suspend. Task context.
 *
 * 0; -EDEADLK: `to` is the loop of a thread that waits, in weft_call, for this very task or for one
 * that cannot end before it: it would never get there (the error record names the call); the task
 * stays where it is. -EBUSY: the task is pinned. -EINVAL: an executor of another runtime. */
int weft_move_to(weft_exec *to, weft_exec **from);

/* Keeps the current task on the worker that runs it now (on = 1) until weft_pin(0) or its end, so
 * that thread-local variables, errno and libraries that know their thread keep their meaning over a
 * wait. What it forks and spawns is not kept. Its worker serves it in turn with others. Cannot
 * suspend. 0; -EBUSY: the task is on an executor. Task context. */
int weft_pin(int on);

/* A new serial executor: of the tasks that have moved to it one runs at a time, in the order in
 * which they became ready; while one waits for something, the next runs. It is of the runtime whose
 * task moves to it first. *out is the caller's, to be freed with weft_exec_free before that runtime
 * is. Any thread. 0; -ENOMEM (*out = NULL). */
int weft_exec_serial_new(weft_exec **out);

/* A new loop of `rt`: its tasks run on the thread that calls weft_exec_run, and only inside that
 * call. To embed it in an event loop, watch the descriptor and the time-out:
 *
 *     struct pollfd p = {.fd = weft_exec_fd(ui), .events = POLLIN};
 *     for (;;) {
 *         weft_time left = weft_exec_timeout(ui);
 *         poll(&p, 1, left == WEFT_FOREVER ? -1 : (int)(left / 1000000 + 1));
 *         weft_exec_run(ui);
 *     }
 *
 * *out is the caller's, to be freed with weft_exec_free before the runtime is. Foreign thread. 0;
 * -ENOMEM, -EMFILE, -ENFILE; -ESHUTDOWN: the runtime has stopped (*out = NULL after each). */
int weft_exec_loop_new(weft_exec **out, weft_rt *rt);

/* Runs what is ready on the loop, until nothing is. One foreign thread at a time, by rule always
 * the same. How many works it ran, >= 0; -EDEADLK: called inside a task; -EINVAL: not a loop. */
int weft_exec_run(weft_exec *loop);

/* Becomes readable when the loop has something to run; weft_exec_run empties it. The loop's own:
 * not to be read or closed. -EINVAL: not a loop. Any thread. */
int weft_exec_fd(const weft_exec *loop);

/* How long until weft_exec_run is to be called even if the descriptor is not readable, for a timer
 * of the loop's tasks, say; >= 0. WEFT_FOREVER: not before. The thread that runs the loop. */
weft_time weft_exec_timeout(const weft_exec *loop);

/* Frees an executor. NULL is fine. Foreign thread or task. 0; -EBUSY, and misuse: tasks are still
 * on it, nothing was freed. */
int weft_exec_free(weft_exec *exec);

#ifdef __cplusplus
}
#endif

#endif
