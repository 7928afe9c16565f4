/* task.h: the runtime, tasks, scopes.
 *
 * A *runtime* is a pool of worker threads with an I/O driver. A *task* is a function that runs on
 * it and may wait: waiting is an ordinary call (weft_await, weft_recv, weft_sleep, ...) that
 * suspends the task and never blocks a worker. A *scope* owns tasks: it ends only when they all
 * have, and cancelling it reaches them and what they wait for. After any call that may suspend, the
 * task may be on another thread: do not hold a pthread mutex over one, and read errno before it. */
#ifndef WEFT_TASK_H
#define WEFT_TASK_H

#include <weft/base.h>

#ifdef __cplusplus
extern "C" {
#endif

/* --- runtime ---------------------------------------------------------------------------------- */

typedef struct weft_rt weft_rt;

#define WEFT_WORKERS_MAX  256
#define WEFT_BLOCKING_MAX 1024
#define WEFT_TASKS_MAX \
    (1 << 20) /* suspended at once in a process; beyond it, new tasks wait to be started */

/* What is to be done about a failure that nobody looked at. 0: the default of the place. */
enum weft_verdict {
    WEFT_LOG = 1,    /* a report on stderr: name, place, and all that its record says */
    WEFT_IGNORE = 2, /* nothing */
    WEFT_STOP = 3,   /* the report, and the runtime stops: weft_run returns the failure's code */
};

/* Such a failure. All pointers are valid during the call of the hook only. */
typedef struct weft_fault {
    int code;                  /* -errno */
    const char *task;          /* name of the task that failed */
    const weft_place *started; /* where it was started */
    const weft_error *error;   /* its record; NULL: there was no memory for one */
} weft_fault;

/* Called once for each failure that nobody will see: of a task that was detached or posted, of a
 * service, and of a task in a scope that was left without weft_scope_end. Not for a task that was
 * cancelled. On the worker that ends the task or scope, outside of any task: it may not suspend,
 * and must neither throw nor longjmp. Returns an enum weft_verdict; 0: WEFT_LOG. */
typedef int weft_unobserved_fn(const weft_fault *fault, void *arg);

/* What a runtime does when all of its tasks wait for each other, and so will for ever. */
enum weft_deadlock {
    /* if it is certain, since the process has no other threads: writes to stderr what each task
     * waits for, cancels them all, and weft_call and weft_run return -EDEADLK */
    WEFT_DEADLOCK_CERTAIN = 0,
    WEFT_DEADLOCK_OFF = 1,    /* nothing: for a program whose signal handlers wake tasks */
    WEFT_DEADLOCK_ALWAYS = 2, /* the same with other threads, none of which wakes tasks */
};

/* Rescue: while a worker computes, or blocks in a call that is not weft's, an idle worker takes
 * over the operations of the kernel that have completed for it, so that the tasks that wait for
 * them go on. By io_uring only, with two workers or more. To this end a worker that has been away
 * for half a millisecond is sent SIGURG; its handler restarts what can be restarted (SA_RESTART),
 * but a call of the program's on that thread which the kernel never restarts (poll, nanosleep ...)
 * gives EINTR. A program that handles SIGURG itself, at the start or later, keeps it, and has no
 * rescue. */
enum weft_rescue {
    WEFT_RESCUE_AUTO = 0, /* if it can be had; said once on stderr if the program has the signal */
    WEFT_RESCUE_OFF = 1,  /* no signal is touched */
    WEFT_RESCUE_ON = 2,   /* the runtime does not start without: -EBUSY */
};

#define WEFT_PATIENCE_MAX WEFT_US(500)

typedef struct weft_rt_opts {
    /* threads that run tasks; 0: the CPUs this process may use, bounded by its cgroup's quota */
    int workers;
    /* threads for weft_blocking, and as many for calls on files and lookups of names; 0: 64 */
    int blocking_max;
    /* "uring", "epoll", or "auto" (also NULL): io_uring, or epoll where the kernel refuses that,
     * which is said once on stderr; the environment's WEFT_IO overrides NULL and "auto" */
    const char *io;
    weft_unobserved_fn *on_unobserved; /* NULL: all such failures are logged */
    void *on_unobserved_arg;           /* its second argument; stays the caller's */
    int deadlock;                      /* enum weft_deadlock; 0: if it is certain */
    /* How long a stop that nobody gave times for (WEFT_STOP, the end of weft_run) lets things end
     * by themselves before it cancels them, and how long it then waits before it reports what is
     * still there. 0: 10 s each. */
    weft_time drain, kill;
    /* enum weft_rescue; 0: if it can be had; the environment's WEFT_RESCUE (auto, off, on)
     * overrides 0 */
    int rescue;
    /* Buffers of each worker for weft_recv_loan: how many, 1 to WEFT_LOANS_MAX (<weft/loan.h>), and
     * the bytes of each, WEFT_LOAN_BYTES_MIN to WEFT_LOAN_BYTES_MAX, rounded up to a multiple of
     * 64. 0: 256 of 4096 bytes. They cost nothing until the first is asked for. */
    int loans, loan_bytes;
    /* How long a worker with nothing to do may go on looking for what the kernel has for it before
     * it sleeps. It does so only where that has come soon enough in the last times, and does not
     * serve more than some eight at once (of io_uring); it then answers some 20 us earlier, and
     * whoever wakes it is spared 8; but while requests come that fast its processor is busy, with
     * them or with waiting (at 20,000 a second 100 % instead of 53 %). 0: 50 us; the environment's
     * WEFT_PATIENCE_US, a number of us, 0 for never, overrides 0. Up to WEFT_PATIENCE_MAX. < 0:
     * never; then a worker looks for work of others for 2 us at most, too, instead of 20, before it
     * sleeps: for what shares its processors, or pays for their time. */
    weft_time patience;
} weft_rt_opts;

/* Starts a runtime, runs fn(arg) as its root task on it, waits for that task and all that it
 * started, stops the runtime. The whole life of most programs:
 *
 *     int main(void) { return weft_run(serve, &config, .workers = 4) < 0; }
 *
 * Options (C only) are designated initialisers of weft_rt_opts. Foreign thread; from inside a
 * task: -EDEADLK. A failure of fn that carries an error record is also written to stderr, as by
 * weft_call; a program that has told it itself calls weft_forget before fn returns. Returns fn's
 * result (fn was called); the code of the failure that stopped the runtime (WEFT_STOP), unless
 * fn had failed before it; or before fn was called: -EINVAL (workers < 0 or > WEFT_WORKERS_MAX,
 * blocking_max < 0 or > WEFT_BLOCKING_MAX, patience > WEFT_PATIENCE_MAX, unknown io), -ENOMEM,
 * -EAGAIN (no thread to be had), or, if io_uring was asked for by its name, what it said: -EPERM
 * (forbidden here), -ENOSYS (not there). A line on stderr says what was refused and the remedy. */
#define weft_run(...) weft_run_opts_(__VA_ARGS__, ) /* (fn, arg, options) */
#define weft_run_opts_(fn, arg, ...) \
    weft_run_((fn), (arg), WEFT_OPTS_(weft_rt_opts, __VA_ARGS__), WEFT_HERE_STARTS_(#fn))
int weft_run_(weft_fn *fn, void *arg, const weft_rt_opts *opts, const weft_place *place);

/* Starts a runtime; *out is the caller's, to be stopped with weft_rt_stop and freed with
 * weft_rt_free. `opts` may be NULL. Foreign thread. 0, or the errors of weft_run with *out = NULL
 * and nothing left behind. */
int weft_rt_start(weft_rt **out, const weft_rt_opts *opts);

/* Stops a runtime, in phases. *Drain*: it takes no new task from outside (-ESHUTDOWN), services are
 * asked to finish, and for up to `drain` all tasks may end by themselves. *Cancel*: those that are
 * left are cancelled, and have up to `kill`. Then what is still there is listed on stderr: name,
 * where it was started, what it waits for. 0: all tasks have ended and the threads are gone.
 * -ETIME: some are still there; the runtime stays as it is, and the call may be repeated.
 * -EALREADY: stopped before, or by another thread meanwhile. -EDEADLK: called by a task of this
 * runtime. Foreign thread. */
int weft_rt_stop(weft_rt *rt, weft_time drain, weft_time kill);

/* The code of the failure that stopped the runtime by itself (WEFT_STOP); 0: none did. Any thread,
 * between start and free. */
int weft_rt_fault(const weft_rt *rt);

/* Frees a stopped runtime (stops it first, without bound, if it was not). NULL is fine. Foreign
 * thread. */
void weft_rt_free(weft_rt *rt);

/* Runs fn(arg) as a task of `rt` and blocks this (foreign) thread until it has ended; returns its
 * result. A failure that carries an error record is also written to stderr, for no task will read
 * it. `arg` stays the caller's. From a task of the same runtime: -EDEADLK at once. After stop:
 * -ESHUTDOWN, fn not called. */
#define weft_call(rt, fn, arg) weft_call_((rt), (fn), (arg), WEFT_HERE_STARTS_(#fn))
int weft_call_(weft_rt *rt, weft_fn *fn, void *arg, const weft_place *place);

/* Starts fn(arg) as a task of `rt` and does not wait. Any thread. `arg` must stay valid until the
 * task has ended. A failure of the task goes to on_unobserved. 0, -ENOMEM, -ESHUTDOWN (fn not
 * called). */
#define weft_post(rt, fn, arg) weft_post_((rt), (fn), (arg), WEFT_HERE_STARTS_(#fn))
int weft_post_(weft_rt *rt, weft_fn *fn, void *arg, const weft_place *place);

/* The runtime that the current task belongs to; NULL outside a task. */
weft_rt *weft_rt_current(void);

/* --- tasks ------------------------------------------------------------------------------------ */

/* A task in the caller's memory. Opaque; the size is checked against the real struct when the
 * library is built. */
typedef struct weft_task {
    WEFT_ALIGNAS(16) unsigned char opaque[224];
} weft_task;

/* Starts fn(arg) as a task of its own, in *task, owned by the innermost scope of the caller.
 * Allocates nothing and cannot run out of anything. The task may run before, during or after this
 * call. `task` and `arg` stay the caller's, and must stay valid until weft_await(task) has
 * returned: await every task that you spawn, before the function that holds it returns. A task or
 * scope that ends with a spawned task unawaited is misuse; a misuse hook that returns leaves that
 * memory to the task. Task context. 0: fn will be called, also if the scope is cancelled before;
 * -ECANCELED: the scope is cancelled, fn will not be called (weft_await gives the same code).
 *
 *     weft_task t;
 *     weft_spawn(&t, load_profile, &query);
 *     rc = load_orders(&other);           // meanwhile
 *     int rc2 = weft_await(&t); */
#define weft_spawn(task, fn, arg) weft_spawn_((task), (fn), (arg), WEFT_HERE_STARTS_(#fn))
int weft_spawn_(weft_task *task, weft_fn *fn, void *arg, const weft_place *place);

/* Waits for the end of the task and returns its result; at once if it has ended. Any number of
 * tasks may await one task, any number of times, while its memory lasts; the error record goes to
 * the first, with the place of this call added to it. It is not a point of cancellation: a
 * cancelled scope cancels its tasks too, and they end soon. May suspend. Task context. -EDEADLK: a
 * task awaits itself, or one that cannot end before it: one that spawned it, or that opened a scope
 * that it is in (seen up to 64 levels up). */
#define weft_await(task) weft_await_((task), WEFT_HERE)
int weft_await_(weft_task *task, const weft_place *place);

/* Waits for the end of the task and disregards its result, on purpose: a failure is not reported,
 * and does not replace the caller's error record. May suspend. Task context. */
void weft_ignore(weft_task *task);

/* The result of an ended task; -EINPROGRESS before. Any thread that may read the memory. Cannot
 * suspend. */
int weft_status(const weft_task *task);

/* What the failure of one task, or of one item of a loop, does to the others. */
enum weft_on_error {
    WEFT_FAILFAST = 0, /* the first that fails cancels the others */
    WEFT_CONTINUE = 1, /* all run to their end; the first failure in time is the result */
    WEFT_COLLECT = 2,  /* the same; weft_foreach also copies records out, see there */
};

/* Which ends of its tasks a weft_when waits for: WEFT_FAILFAST (all of them; the first that fails
 * cancels the others), or one of these. */
enum weft_policy {
    WEFT_ALL = 1,      /* all of them, whatever becomes of them */
    WEFT_FIRST = 3,    /* the first that ends, in whatever way */
    WEFT_FIRST_OK = 4, /* the first that succeeds; if none does, all of them */
    /* with WEFT_FIRST and WEFT_FIRST_OK: the others go on, instead of being cancelled and
     * awaited */
    WEFT_KEEP_LOSERS = 8,
};

/* Tasks in one weft_when, at most. For more, use a scope. */
#define WEFT_WHEN_MAX 1024

/* Waits for n tasks of the array `tasks` together, as `policy` says (enum weft_policy; 0:
 * WEFT_FAILFAST). On return every one of them has ended and counts as awaited, and its result stays
 * in its place (weft_status) - but for WEFT_KEEP_LOSERS, which awaits the winner alone: the others
 * must still be awaited. `tasks`, the tasks and the scopes that they were spawned in stay the
 * caller's and last until the call returns. *which, if `which` is not NULL: the index of the task
 * whose result is returned, or -1.
 *
 * WEFT_ALL, WEFT_FAILFAST: the failure that came first in time; if there is none, -ECANCELED if
 * some task was cut short by a cancellation; else 0. n == 0: 0. WEFT_FIRST: the result of the task
 * that ended first; of several that have ended already, that of the lowest index. WEFT_FIRST_OK:
 * the result of the first that succeeded (>= 0). If none did: -ECANCELED if some task was cut short
 * by a cancellation, else the failure that came first in time.
 *
 * A task that the call cancels sees the cancellation like any other; what it then returns is kept
 * in its place, and is no failure of the call. The error record of the returned failure is
 * weft_last(), those of the other awaited tasks are dropped. The call is not a point of
 * cancellation: a cancelled scope cancels its tasks too, and they end soon. May suspend. Task
 * context. Other errors, nothing waited for: -EINVAL (n < 0, n == 0 with a WEFT_FIRST, no such
 * policy), -E2BIG (n > WEFT_WHEN_MAX), -EDEADLK (as for weft_await).
 *
 *     weft_spawn(&fast, ask_one, &q1);
 *     weft_spawn(&slow, ask_other, &q2);
 *     rc = weft_when((weft_task *const[]){&fast, &slow}, 2, WEFT_FIRST, &winner); */
#define weft_when(...) weft_when_(__VA_ARGS__, WEFT_HERE) /* (tasks, n, policy, which) */
int weft_when_(weft_task *const *tasks, int n, int policy, int *which, const weft_place *place);

/* Ends of a task that a continuation is for. */
enum weft_ends {
    WEFT_ON_OK = 1,     /* its result is >= 0 */
    WEFT_ON_FAULT = 2,  /* it is a failure */
    WEFT_ON_CANCEL = 4, /* it is -ECANCELED, as the answer to a cancellation */
    WEFT_ON_DONE = 7,   /* any of these */
};

/* A continuation in the caller's memory. `task` may be used like any task: awaited, continued. The
 * rest is opaque; size checked as for weft_task. */
typedef struct weft_cont {
    weft_task task;
    WEFT_ALIGNAS(16) unsigned char opaque[48];
} weft_cont;

/* Runs fn(arg) as a task of its own when `task` ends in one of the ways `ends` (WEFT_ON_*, or-ed):
 * soon after that, never inside the call that ends it; at once if it has ended already. If it ends
 * in another way fn is not called, and the result of the continuation is -ECANCELED. Several
 * continuations of one task are started in the order in which they were made, and may overlap.
 *
 * The continuation is a task of the caller's current scope, as those of weft_go are: the end of the
 * scope waits for it, its failure is the scope's, and it still runs if the scope is cancelled
 * meanwhile. It need not be awaited; weft_await(&c->task) gives its result. *c, `arg` and, until it
 * has ended, `task` stay the caller's: *c and `arg` until the continuation was awaited or its scope
 * has ended (outside of any scope of your own: await it). Cannot suspend. Task context. 0; -EINVAL:
 * `ends` is 0 or no such bits; -ECANCELED: the scope is cancelled or ended; -EDEADLK: the scope
 * would wait for a task that waits for it. After an error fn is not called, and that code is the
 * result of the continuation.
 *
 *     weft_cont c;
 *     weft_spawn(&t, load_profile, &query);
 *     weft_continue(&c, &t, drop_from_cache, &query, WEFT_ON_FAULT | WEFT_ON_CANCEL); */
#define weft_continue(c, task, fn, arg, ends) \
    weft_continue_((c), (task), (fn), (arg), (ends), WEFT_HERE_STARTS_(#fn))
int weft_continue_(weft_cont *c, weft_task *task, weft_fn *fn, void *arg, int ends,
                   const weft_place *place);

/* Names the current task for messages, dumps and error records, instead of the function that it was
 * started with. `name` is a static string, kept by pointer. Outside a task: no effect. */
void weft_task_name(const char *name);

/* --- scopes ----------------------------------------------------------------------------------- */

/* Owner of tasks and of their cancellation, in the caller's memory. Opaque; size checked as for
 * weft_task. */
typedef struct weft_scope {
    WEFT_ALIGNAS(16) unsigned char opaque[512];
} weft_scope;

typedef struct weft_scope_opts {
    int on_error;      /* enum weft_on_error; 0: WEFT_FAILFAST */
    weft_time timeout; /* after this the scope is cancelled, and ends with -ETIME; 0: none */
    /* results are kept for weft_scope_next, of at most so many tasks that were started and not yet
     * taken; 0: none are kept */
    int each;
} weft_scope_opts;

/* Declares a scope in the current block and opens it inside the current one. It must be closed by
 * weft_scope_end in the same function; a return that skips it cancels the tasks and joins them, and
 * what failed in them goes to on_unobserved.
 * Scopes nest and close in the opposite order; closing out of order is misuse. Task context
 * (elsewhere: misuse). C only; C++ calls weft_scope_begin.
 *
 *     WEFT_SCOPE(s);
 *     for (int i = 0; i < n; i++) weft_go(&s, fetch, &jobs[i]);
 *     rc = weft_scope_end(&s); */
#define WEFT_SCOPE(...) WEFT_SCOPE_OPTS_(__VA_ARGS__, ) /* (name, options) */
#define WEFT_SCOPE_OPTS_(name, ...)                                \
    weft_scope name __attribute__((cleanup(weft_scope_cleanup_))); \
    weft_scope_begin_(&name, WEFT_OPTS_(weft_scope_opts, __VA_ARGS__), WEFT_HERE)
#define weft_scope_begin(scope, opts) weft_scope_begin_((scope), (opts), WEFT_HERE)
void weft_scope_begin_(weft_scope *scope, const weft_scope_opts *opts, const weft_place *place);
void weft_scope_cleanup_(weft_scope *scope);

/* Largest argument that weft_go copies, in bytes. */
#define WEFT_GO_ARG_MAX 1024

/* Starts fn as a task owned by `scope`, with a copy of *ptr as its argument; *ptr is the caller's
 * again on return. fn must have been defined by WEFT_TASK(fn, T) with T the type of *ptr; another
 * type does not compile (nor, in C++, one that may not be copied as bytes). From the scope's owner
 * or any task inside it. When many tasks are queued already the caller yields first, so a loop of
 * any length runs in bounded memory. May suspend. Task context. 0: fn will be called, also if the
 * scope is cancelled before, so what *ptr owns is fn's to free. fn not called: -ECANCELED, the
 * scope is cancelled or ended; -ENOMEM; -EAGAIN, in a scope with `.each` as many tasks as it says
 * have not been taken. */
#ifdef __cplusplus
#define weft_go(scope, fn, ...)                                                         \
    __extension__({                                                                     \
        static_assert(__is_trivially_copyable(fn##_weft_arg), "weft_go: copies bytes"); \
        static_assert(sizeof(fn##_weft_arg) <= WEFT_GO_ARG_MAX,                         \
                      "weft_go: the argument exceeds WEFT_GO_ARG_MAX");                 \
        const fn##_weft_arg *weft_arg_ = (__VA_ARGS__);                                 \
        weft_go_((scope), (fn), weft_arg_, sizeof *weft_arg_, WEFT_HERE_STARTS_(#fn));  \
    })
#else
#define weft_go(scope, fn, ...) /* (scope, fn, ptr); a compound literal has commas of its own */  \
    __extension__({                                                                               \
        _Static_assert(__builtin_types_compatible_p(__typeof__(*(__VA_ARGS__)), fn##_weft_arg),   \
                       "weft_go: the argument is not of the type that " #fn " was defined with"); \
        _Static_assert(sizeof *(__VA_ARGS__) <= WEFT_GO_ARG_MAX,                                  \
                       "weft_go: the argument exceeds WEFT_GO_ARG_MAX");                          \
        weft_go_((scope), (fn), (__VA_ARGS__), sizeof *(__VA_ARGS__), WEFT_HERE_STARTS_(#fn));    \
    })
#endif
/* The same without types: copies `bytes` (at most WEFT_GO_ARG_MAX, else -E2BIG) from `arg`; aligned
 * to 16 bytes. */
#define weft_go_raw(scope, fn, arg, bytes) \
    weft_go_((scope), (fn), (arg), (bytes), WEFT_HERE_STARTS_(#fn))
int weft_go_(weft_scope *scope, weft_fn *fn, const void *arg, size_t bytes,
             const weft_place *place);

/* Defines a task's body with a typed argument: WEFT_TASK(fn, T) { ... `arg` is a `T *` ... return
 * rc; } */
#define WEFT_TASK(fn, T)                       \
    typedef T fn##_weft_arg;                   \
    static int fn##_weft_body(T *arg);         \
    static int fn(void *weft_arg_)             \
    {                                          \
        return fn##_weft_body((T *)weft_arg_); \
    }                                          \
    static int fn##_weft_body(T *arg __attribute__((unused)))

/* Waits for all tasks of the scope, closes it, and says how it went: the failure that came first in
 * time (its record is weft_last()); else -ETIME if the scope's own timeout cut some task short;
 * else -ECANCELED if it was cancelled and some task was cut short by that; else 0. Only in the
 * function that opened it. May suspend. A second call: 0. */
#define weft_scope_end(scope) weft_scope_end_((scope), WEFT_HERE)
int weft_scope_end_(weft_scope *scope, const weft_place *place);

/* The failures of tasks that `scope` owns (weft_go), in order of time: writes the records of the
 * first ones to out[0 .. n), at most WEFT_ERRORS_KEPT, NULL after the last, and returns how many
 * failures there were. `out` may be NULL with n = 0. In the function that opened the scope, after
 * weft_scope_end has returned one of these failures: the records are those of weft_last(), and as
 * long valid; later, and before the end, there are none and only the number is told. Tasks that
 * answer the scope's cancellation with -ECANCELED do not count. */
int weft_errors(const weft_scope *scope, const weft_error **out, int n);

/* The end of one task of weft_go, as weft_scope_next gives it. */
typedef struct weft_done {
    int rc; /* what its function returned */
    /* its argument: the task's own copy, with what it wrote there; the library's, valid until the
     * next weft_scope_next in this scope or the scope's end */
    void *arg;
    const weft_error *error; /* the record of a failure, or NULL; valid as long */
} weft_done;

/* Takes the next task of the scope that has ended, in the order of their ends, and waits for one if
 * need be. For a scope with `.each`, by the task that opened it, one call at a time. A failure that
 * was taken is not the scope's failure any more; the first one still cancels the other tasks,
 * unless `.on_error = WEFT_CONTINUE`. What is not taken is dropped at the end of the scope, with
 * failures that count as usual. In the scope itself it is no point of cancellation, so that results
 * can be taken while a cancelled scope's tasks come to their ends; in a scope or weft_within opened
 * inside it, it is. May suspend. Task context. 1: *done is filled. 0: every task that was started
 * has been taken. -ECANCELED: nothing was taken. -EINVAL: a scope without `.each`; -EPERM: another
 * task's scope; -EBUSY: another call waits.
 *
 *     WEFT_SCOPE(s, .each = 100, .on_error = WEFT_CONTINUE);
 *     for (int i = 0; i < 100; i++) weft_go(&s, fetch, &jobs[i]);
 *     weft_done done;
 *     while (weft_scope_next(&s, &done) > 0) use(((struct job *)done.arg)->page, done.rc);
 *     rc = weft_scope_end(&s); */
int weft_scope_next(weft_scope *scope, weft_done *done);

/* Cancels everything in the scope, now and later: each task of it, and what it waits for in the
 * kernel. `why` is a static string, kept by pointer, or NULL. Cancel callbacks run in this call,
 * and only after everything in the scope sees the cancellation. Any thread, while the scope's
 * memory lasts. Idempotent: -EALREADY, the first reason stays (and the first call may still be at
 * it). What is below a scope that something else has begun to cancel (its own deadline, a failure
 * in it, another call) sees it when that has come there, which may be a moment after this returns.
 * Does not wait: weft_scope_end does. Cannot suspend. */
#define weft_scope_cancel(scope, why) weft_scope_cancel_((scope), (why), WEFT_HERE)
int weft_scope_cancel_(weft_scope *scope, const char *why, const weft_place *place);

/* Tasks that the scope owns and that have not ended. A snapshot. Any thread, while the scope's
 * memory lasts. */
size_t weft_scope_count(const weft_scope *scope);

/* --- waiting, giving way ---------------------------------------------------------------------- */

/* Lets others run; comes back soon. 0; -ECANCELED, without having yielded: the scope is cancelled,
 * or its deadline has passed. May suspend. Task context. */
int weft_yield(void);

/* Waits at least `duration`. 0, or -ECANCELED as soon as the scope is cancelled. Never early, and
 * late by at most 0.1 ms plus scheduling; or 0.5 ms, in a runtime where 128 and more sleeps and
 * deadlines end in each ms. 0 or negative: as weft_yield. May suspend. Task context. */
int weft_sleep(weft_time duration);

/* Runs fn(arg) on a thread that may block, and waits for it: for calls that cannot be made
 * asynchronous. fn is not in task context. Threads are created on demand up to blocking_max; beyond
 * that the call waits its turn, and can be cancelled at once. Once fn has begun it is not
 * interruptible: a cancellation is seen after it has returned. Returns fn's result, -ECANCELED (fn
 * was not called, and will not be), or -EAGAIN if no thread at all can be had. `arg` stays the
 * caller's. May suspend. Task context. */
int weft_blocking(weft_fn *fn, void *arg);

#ifdef __cplusplus
}
#endif

#endif
