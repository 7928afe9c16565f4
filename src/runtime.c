/* runtime.c: composition root: puts pool, driver and root scope together, and is the door for
 * foreign threads. */
#include "io/io.h"
#include "io/op.h"
#include "pool/base/sys.h"
#include "pool/blocking.h"
#include "src/value.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <weft/loan.h>

_Static_assert(WEFT_TASKS_MAX == WF_STACKS_MAX, "a suspended task is a stack");
_Static_assert(WEFT_WORKERS_MAX == WF_WORKERS_MAX, "as documented");

#define BLOCKING_DEFAULT 64
#define DRAIN_DEFAULT    WEFT_SEC(10)
/* 1 MiB for each worker: as many requests at once as there are works between two polls, four times;
 * and most requests fit into a page. */
#define LOANS_DEFAULT      256
#define LOAN_BYTES_DEFAULT 4096
/* A frame for weft_post holds a task without an argument copy: whole lines, of which only the first
 * two go from core to core. */
#define FOREIGN_FRAME_BYTES ((sizeof(struct wf_task) + WF_LINE - 1) / WF_LINE * WF_LINE)
/* So many (32 KiB) are made before one is used again. */
#define FOREIGN_FRAMES_KEPT 128

int weft_version(void)
{
    return WEFT_VERSION_MAJOR * 10000 + WEFT_VERSION_MINOR * 100 + WEFT_VERSION_PATCH;
}

weft_rt *weft_rt_current(void)
{
    struct wf_fiber *self = wf_peek_task();
    return self != NULL ? wf_runtime_of(self) : NULL;
}

/* --- what a stack is, for the message about its overflow -------------------------------------- */

static void describe(struct wf_fiber *fiber, char *text, size_t bytes)
{
    const struct wf_env *env = fiber->env;
    if (env == NULL || env->task == NULL) {
        (void)snprintf(text, bytes, "the scheduler");
        return;
    }
    (void)wf_task_describe(env->task, text, bytes);
}

/* --- start ------------------------------------------------------------------------------------ */

static int check_options(const weft_rt_opts *opts)
{
    if (opts->workers < 0 || opts->workers > WEFT_WORKERS_MAX || opts->blocking_max < 0 ||
        opts->blocking_max > WEFT_BLOCKING_MAX) {
        (void)fprintf(stderr, "weft: workers must be 0 to %d, blocking_max 0 to %d\n",
                      WEFT_WORKERS_MAX, WEFT_BLOCKING_MAX);
        return -EINVAL;
    }
    if ((opts->loans != 0 && (opts->loans < 1 || opts->loans > WEFT_LOANS_MAX)) ||
        (opts->loan_bytes != 0 &&
         (opts->loan_bytes < WEFT_LOAN_BYTES_MIN || opts->loan_bytes > WEFT_LOAN_BYTES_MAX))) {
        (void)fprintf(stderr, "weft: loans must be 0 to %d, loan_bytes 0 or %d to %d\n",
                      WEFT_LOANS_MAX, WEFT_LOAN_BYTES_MIN, WEFT_LOAN_BYTES_MAX);
        return -EINVAL;
    }
    bool known = opts->deadlock >= 0 && opts->deadlock <= WEFT_DEADLOCK_ALWAYS &&
                 opts->rescue >= 0 && opts->rescue <= WEFT_RESCUE_ON;
    return known ? 0 : -EINVAL;
}

static const char *backend_name(const weft_rt_opts *opts)
{
    const char *name = opts->io != NULL ? opts->io : "auto";
    const char *environment = getenv("WEFT_IO");
    return strcmp(name, "auto") == 0 && environment != NULL && *environment != '\0' ? environment
                                                                                    : name;
}

_Static_assert((int)WEFT_RESCUE_OFF == WF_RESCUE_OFF && (int)WEFT_RESCUE_ON == WF_RESCUE_ON,
               "one list");

/* enum wf_rescue; -EINVAL: the environment says something unknown. */
static int rescue_mode(const weft_rt_opts *opts)
{
    static const char *const names[] = {"auto", "off", "on"};
    const char *environment = getenv("WEFT_RESCUE");
    if (opts->rescue != WEFT_RESCUE_AUTO || environment == NULL || *environment == '\0') {
        return opts->rescue;
    }
    for (int i = 0; i < (int)WF_COUNT(names); i++) {
        if (strcmp(environment, names[i]) == 0) {
            return i;
        }
    }
    (void)fprintf(stderr, "weft: WEFT_RESCUE is \"%s\": it must be auto, off or on\n", environment);
    return -EINVAL;
}

/* For wf_driver.patience_ns: 0, as nobody has said; or ns; or -1: never. -EINVAL: neither. */
static int64_t patience(const weft_rt_opts *opts)
{
    const char *environment = getenv("WEFT_PATIENCE_US");
    if (opts->patience > WEFT_PATIENCE_MAX) {
        (void)fprintf(stderr, "weft: patience must be at most %d us\n",
                      (int)(WEFT_PATIENCE_MAX / 1000));
        return -EINVAL;
    }
    if (opts->patience != 0 || environment == NULL || *environment == '\0') {
        return opts->patience < 0 ? -1 : opts->patience;
    }
    char *end;
    long us = strtol(environment, &end, 10);
    if (*end != '\0' || us < 0 || us > WEFT_PATIENCE_MAX / 1000) {
        (void)fprintf(stderr, "weft: WEFT_PATIENCE_US is \"%s\": it must be 0 to %d\n", environment,
                      (int)(WEFT_PATIENCE_MAX / 1000));
        return -EINVAL;
    }
    return us == 0 ? -1 : WEFT_US(us);
}

static void fault_drained(struct wf_timer *timer);
static void fault_cancel(struct wf_fiber *self, struct wf_work *work);

static weft_rt *allocate(const weft_place *place)
{
    weft_rt *rt = wf_sys_alloc_zeroed(WF_LINE_PAIR, sizeof *rt);
    if (rt != NULL) {
        wf_scope_init_root(&rt->root, place);
        rt->root.runtime = rt;
        wf_list_init(&rt->services);
        wf_list_init(&rt->listeners);
        wf_list_init(&rt->drain_waiters);
        wf_timer_init(&rt->fault_timer, fault_drained);
        rt->fault_message.run = fault_cancel;
        wf_slab_init(&rt->foreign_frames, FOREIGN_FRAME_BYTES, WF_SLAB_CHUNKS_NOMAX);
        wf_slab_share(&rt->foreign_frames, FOREIGN_FRAMES_KEPT);
    }
    return rt;
}

static void release(weft_rt *rt)
{
    if (rt->pool != NULL) {
        for (int i = 0; i < rt->pool->worker_count; i++) {
            wf_loans_fini(&rt->pool->workers[i]);
        }
        wf_pool_free(rt->pool);
    }
    wf_blocking_free(rt->blocking);
    wf_blocking_free(rt->own_blocking);
    wf_io_driver_free(rt->driver);
    wf_exec_release_all(rt);
    wf_slab_fini(&rt->foreign_frames);
    wf_sys.release(rt);
}

/* With a driver that does without what the first was refused, if nobody has asked for that one by
 * its name. */
static int start_pool(weft_rt *rt, const weft_rt_opts *opts)
{
    int workers = opts->workers > 0 ? opts->workers : wf_sys_cpu_count();
    int rc = wf_pool_start(&rt->pool, workers, rt->driver, rt);
    if (rc < 0 && strcmp(backend_name(opts), "auto") == 0) {
        struct wf_driver *instead = wf_io_driver_instead(rt->driver);
        if (instead != NULL) {
            instead->patience_ns = rt->driver->patience_ns;
            wf_io_driver_free(rt->driver);
            rt->driver = instead;
            rc = wf_pool_start(&rt->pool, workers, rt->driver, rt);
        }
    }
    return rc;
}

/* Once per process: the choice that nobody made, and why it is not the best one. */
static void say_backend(const struct wf_driver *driver)
{
    static WF_ATOMIC(uint32_t) said;
    char why[256];
    wf_io_driver_why(driver, why, sizeof why);
    if (why[0] != '\0' && wf_xchg_relaxed(&said, 1) == 0) { /* relaxed: guards no data */
        (void)fprintf(stderr, "weft: I/O by %s: %s\n", driver->ops->name, why);
    }
}

/* Once per process, likewise. */
static void say_rescue(const struct wf_driver *driver)
{
    static WF_ATOMIC(uint32_t) said;
    /* relaxed: guards no data */
    if (wf_io_driver_rescue_refused(driver) && wf_xchg_relaxed(&said, 1) == 0) {
        (void)fprintf(stderr,
                      "weft: the program handles SIGURG: completions of a busy worker are not "
                      "rescued\n");
    }
}

static void take_options(weft_rt *rt, const weft_rt_opts *opts)
{
    rt->on_unobserved = opts->on_unobserved;
    rt->on_unobserved_arg = opts->on_unobserved_arg;
    rt->drain = opts->drain > 0 ? opts->drain : DRAIN_DEFAULT;
    rt->kill = opts->kill > 0 ? opts->kill : DRAIN_DEFAULT;
    rt->loans = opts->loans > 0 ? (uint32_t)opts->loans : LOANS_DEFAULT;
    rt->loan_bytes = opts->loan_bytes > 0
                         ? (uint32_t)(opts->loan_bytes + WF_LINE - 1) / WF_LINE * WF_LINE
                         : LOAN_BYTES_DEFAULT;
    rt->deadlock = opts->deadlock;
}

static void set_hooks(void)
{
    /* relaxed, all: the start of the workers publishes them */
    wf_store_relaxed(&wf_fiber_hooks.describe, describe);
    wf_store_relaxed(&wf_fiber_hooks.run_call, wf_call_section_run);
    wf_store_relaxed(&wf_pool_hooks.stands_still, wf_runtime_stands_still);
}

static int make_driver(weft_rt *rt, const weft_rt_opts *opts)
{
    char why[256] = "";
    int rc = wf_io_driver_new(backend_name(opts), &rt->driver, why, sizeof why);
    if (rc < 0) {
        (void)fprintf(stderr, "weft: %s\n", why);
        return rc;
    }
    rc = rescue_mode(opts);
    if (rc < 0) {
        return rc;
    }
    wf_io_driver_set_rescue(rt->driver, rc);
    rt->driver->patience_ns = patience(opts);
    return rt->driver->patience_ns == -EINVAL ? -EINVAL : 0;
}

/* What release undoes, in any state. */
static int start_parts(weft_rt *rt, const weft_rt_opts *opts)
{
    int threads_max = opts->blocking_max > 0 ? opts->blocking_max : BLOCKING_DEFAULT;
    rt->blocking = wf_blocking_new(threads_max);
    rt->own_blocking = wf_blocking_new(threads_max);
    if (rt->blocking == NULL || rt->own_blocking == NULL) {
        return -ENOMEM;
    }
    int rc = make_driver(rt, opts);
    if (rc < 0) {
        return rc;
    }
    rc = start_pool(rt, opts);
    if (rc < 0) {
        char why[256];
        wf_io_driver_why(rt->driver, why, sizeof why);
        if (why[0] != '\0') {
            (void)fprintf(stderr, "weft: %s\n", why);
        }
        return rc;
    }
    rt->patience_ns = rt->pool->patience_ns;
    return 0;
}

static int start(weft_rt **out, const weft_rt_opts *opts, const weft_place *place)
{
    static const weft_rt_opts defaults;
    *out = NULL;
    if (wf_forked) {
        return -ENOSYS;
    }
    opts = opts != NULL ? opts : &defaults;
    int rc = check_options(opts);
    if (rc < 0) {
        return rc;
    }
    weft_rt *rt = allocate(place);
    if (rt == NULL) {
        return -ENOMEM;
    }
    take_options(rt, opts);
    set_hooks();
    rc = start_parts(rt, opts);
    if (rc < 0) {
        release(rt);
        return rc;
    }
    say_backend(rt->driver);
    say_rescue(rt->driver);
    *out = rt;
    return 0;
}

int weft_rt_start(weft_rt **out, const weft_rt_opts *opts)
{
    return start(out, opts, WEFT_HERE);
}

/* --- stop ------------------------------------------------------------------------------------- */

/* The last member has left, and the runtime has let go: nobody can enter any more. */
void wf_runtime_quiet(struct wf_scope *root)
{
    weft_rt *rt = root->runtime;
    /* sync(runtime.quiet): release, whatever the tasks did; pairs sync(runtime.wait) */
    wf_store_release(&rt->quiet, 1);
    (void)wf_sys.futex_wake(&rt->quiet, INT32_MAX);
}

static int64_t deadline_after(weft_time duration)
{
    int64_t deadline_ns;
    int64_t now_ns = wf_sys.now_ns();
    return __builtin_add_overflow(now_ns, duration > 0 ? duration : 0, &deadline_ns) ? INT64_MAX
                                                                                     : deadline_ns;
}

void wf_runtime_fault(weft_rt *rt, int rc)
{
    int32_t none = 0;
    /* relaxed: read by whoever has been told that a task has ended */
    if (wf_cas_relaxed(&rt->fault, &none, rc)) {
        struct wf_worker *worker = wf_self()->worker;
        rt->fault_worker = worker;
        wf_timer_add(&worker->wheel, &rt->fault_timer, deadline_after(rt->drain));
        wf_drain_begin(rt);
    }
}

/* The drain that a failure began is over. A timer may not cancel, since it fires under a lock. */
static void fault_drained(struct wf_timer *timer)
{
    weft_rt *rt = wf_container_of(timer, weft_rt, fault_timer);
    wf_post(rt->fault_worker, &rt->fault_message);
}

static void fault_cancel(struct wf_fiber *self, struct wf_work *work)
{
    (void)self;
    weft_rt *rt = wf_container_of(work, weft_rt, fault_message);
    weft_reason reason = wf_reason(WEFT_WHY_FAILURE, "a failure stops the runtime", rt->root.place);
    (void)wf_scope_fire(&rt->root, WF_CANCEL_FIRED, &reason);
}

int weft_rt_fault(const weft_rt *rt)
{
    /* relaxed: set by a worker before whatever told the caller to look */
    return wf_forked ? -ENOSYS : wf_load_relaxed(&rt->fault);
}

static bool wait_quiet(weft_rt *rt, weft_time duration)
{
    int64_t deadline_ns = deadline_after(duration);
    int rc = 0;
    /* sync(runtime.wait): acquire, whatever the tasks did; pairs sync(runtime.quiet) */
    /* ends: quiet, or the deadline */
    while (wf_load_acquire(&rt->quiet) == 0 && rc != -ETIMEDOUT) {
        rc = wf_sys.futex_wait(&rt->quiet, 0, deadline_ns);
    }
    /* sync(runtime.waited): as above; pairs sync(runtime.quiet) */
    return wf_load_acquire(&rt->quiet) != 0;
}

void wf_runtime_note_shield(weft_rt *rt, const weft_place *place)
{
    /* relaxed, all: read when no task is left; the first is as good as any */
    if (wf_add_relaxed(&rt->shields, 1) == 0) {
        wf_store_relaxed(&rt->first_shield, place);
    }
}

static void report_shields(weft_rt *rt)
{
    /* relaxed, both: no task is left */
    uint64_t shields = wf_load_relaxed(&rt->shields);
    if (shields != 0) {
        const weft_place *place = wf_load_relaxed(&rt->first_shield);
        (void)fprintf(stderr,
                      "weft: %llu times weft_shield had no time limit, the first time at %s:%d\n",
                      (unsigned long long)shields, place->file, place->line);
    }
}

/* The runtime's own hold on the root scope goes, once; the drain begins. */
static void let_go(weft_rt *rt)
{
    /* Relaxed: whoever still enters the root scope is waited for; the scope's count decides, not
     * this flag. */
    bool first = wf_xchg_relaxed(&rt->stopping, 1) == 0;
    wf_drain_begin(rt);
    if (first) {
        wf_lock(&rt->foreign_lock); /* who posts under it from here on sees that we stop */
        uint32_t entries =
            wf_load_relaxed(&rt->foreign_entries); /* relaxed, both: under the lock */
        wf_store_relaxed(&rt->foreign_entries, 0);
        wf_unlock(&rt->foreign_lock);
        wf_scope_leave_many(&rt->root, entries + 1);
    }
}

/* Another thread has come to the end of the same stop. */
static WF_COLD void wait_stopped(weft_rt *rt)
{
    /* sync(runtime.wait_stopped): acquire, the threads are gone; pairs sync(runtime.stopped) */
    while (wf_load_acquire(&rt->stopped) == 0) { /* ends: the other is about to finish */
        (void)wf_sys.futex_wait(&rt->stopped, 0, INT64_MAX);
    }
}

/* Nothing is in the root scope any more. 0, or -EALREADY: another thread has done it. */
static int finish_stop(weft_rt *rt)
{
    if (wf_xchg_relaxed(&rt->finishing, 1) != 0) { /* relaxed: decides who, orders nothing */
        wait_stopped(rt);
        return -EALREADY;
    }
    (void)wf_timer_del(&rt->fault_timer);
    wf_listeners_end(rt);
    wf_values_collect_root(rt);
    report_shields(rt);
    wf_loans_end(&rt->root);
    for (int i = 0; i < rt->pool->worker_count; i++) {
        wf_loans_stop(&rt->pool->workers[i]);
    }
    wf_pool_stop(rt->pool);
    /* sync(runtime.stopped): release, for a thread that has stopped it too; pairs
     * sync(runtime.wait_stopped). LAST TOUCH but for the address: that one may free the runtime */
    wf_store_release(&rt->stopped, 1);
    (void)wf_sys.futex_wake(&rt->stopped, INT32_MAX);
    return 0;
}

int weft_rt_stop(weft_rt *rt, weft_time drain, weft_time kill)
{
    if (wf_forked) {
        return -ENOSYS;
    }
    if (wf_load_relaxed(&rt->stopped) != 0) {
        return -EALREADY;
    }
    if (wf_worker_current(rt->pool) != NULL) {
        return -EDEADLK;
    }
    let_go(rt);
    if (!wait_quiet(rt, drain)) {
        weft_reason reason = wf_reason(WEFT_WHY_STOP, "runtime stops", rt->root.place);
        (void)wf_scope_fire(&rt->root, WF_CANCEL_FIRED, &reason);
        if (!wait_quiet(rt, kill)) {
            wf_drain_report(rt);
            return -ETIME;
        }
    }
    return finish_stop(rt);
}

/* The end of weft_run: tasks may take as long as they like, services may not. */
static void stop_after_root(weft_rt *rt)
{
    let_go(rt);
    if (!wait_quiet(rt, rt->drain)) {
        wf_drain_over(rt);
        if (!wait_quiet(rt, rt->kill) && (weft_rt_fault(rt) < 0 || wf_drain_has_services(rt))) {
            wf_drain_report(rt);
        }
        (void)wait_quiet(rt, WEFT_FOREVER);
    }
    (void)finish_stop(rt);
}

void weft_rt_free(weft_rt *rt)
{
    if (rt == NULL || wf_forked) {
        return;
    }
    if (wf_load_relaxed(&rt->stopped) == 0) {
        int rc = weft_rt_stop(rt, WEFT_FOREVER, WEFT_FOREVER);
        if (rc < 0 && rc != -EALREADY) {
            wf_misuse("weft_rt_free: called by a task of that runtime");
            return;
        }
    }
    release(rt);
}

/* --- tasks from outside ----------------------------------------------------------------------- */

/* Posted tasks enter and leave the root scope so many at a time: its count would else go from core
 * to core twice for each, between the thread that posts and the worker that runs them (150 ns of
 * 300). */
#define ENTRIES_MADE 64
#define LEAVES_MAX   32

static int enter_root(weft_rt *rt, uint32_t count)
{
    if (wf_forked) {
        return -ENOSYS;
    }
    /* Relaxed: a call that races with the stop is either refused here or waited for by it. */
    if (wf_load_relaxed(&rt->stopping) != 0 || wf_load_relaxed(&rt->draining) != 0 ||
        wf_scope_enter_many(&rt->root, count) < 0) {
        return -ESHUTDOWN;
    }
    return 0;
}

/* An entry in the root scope that stands ready, or a few are made; under foreign_lock. */
static int take_entry(weft_rt *rt)
{
    uint32_t entries =
        wf_load_relaxed(&rt->foreign_entries); /* relaxed, here and below: the lock */
    if (entries == 0 || wf_forked || wf_load_relaxed(&rt->stopping) != 0 ||
        wf_load_relaxed(&rt->draining) != 0 || wf_scope_cancelled(&rt->root) != 0) {
        int rc = enter_root(rt, ENTRIES_MADE);
        if (rc < 0) {
            return rc;
        }
        entries += ENTRIES_MADE;
    }
    wf_store_relaxed(&rt->foreign_entries, entries - 1);
    return 0;
}

/* wf_worker.put_off */
static void leave_root(struct wf_worker *worker)
{
    weft_rt *rt = worker->runtime;
    uint32_t left = wf_load_relaxed(&worker->left); /* relaxed, both: ours */
    wf_store_relaxed(&worker->left, 0);
    wf_scope_leave_many(&rt->root, left); /* LAST TOUCH */
}

void wf_runtime_leave_root(weft_rt *rt, struct wf_worker *worker)
{
    if (worker->runtime != rt || worker->pool != rt->pool) {
        wf_scope_leave(&rt->root); /* a task that is on a loop, or on a loop of another runtime */
        return;
    }
    uint32_t left = wf_load_relaxed(&worker->left) + 1; /* relaxed, both: ours */
    wf_store_relaxed(&worker->left, left);
    worker->put_off = leave_root;
    if (left >= LEAVES_MAX) {
        worker->put_off = NULL;
        leave_root(worker); /* LAST TOUCH */
    }
}

size_t wf_runtime_count(weft_rt *rt)
{
    size_t count = weft_scope_count((const weft_scope *)(void *)&rt->root);
    size_t others = wf_load_relaxed(&rt->foreign_entries); /* relaxed, both: a snapshot */
    for (int i = 0; i < rt->pool->worker_count; i++) {
        others += wf_load_relaxed(&rt->pool->workers[i].left);
    }
    return count > others ? count - others : 0;
}

/* ThreadSanitizer keeps a signal back until its thread makes a call that it knows, which a thread
 * that sleeps here never does: the program's handlers, and weft_signal, would wait as long as the
 * call. So such builds make one now and then. */
#define TSAN_SLEEP_NS INT64_C(20000000)

static void sleep_until_called(struct wf_task *task)
{
    int64_t until_ns = WF_TSAN ? wf_sys.now_ns() + TSAN_SLEEP_NS : INT64_MAX;
    (void)wf_sys.futex_wait(&task->called, 0, until_ns);
    if (WF_TSAN) {
        wf_sys.nap(1);
    }
}

int weft_call_(weft_rt *rt, weft_fn *fn, void *arg, const weft_place *place)
{
    /* Relaxed: a hint. The pool is only compared, and a call that races with the stop is refused
     * below. */
    if (!wf_forked && wf_load_relaxed(&rt->stopped) == 0 && wf_worker_current(rt->pool) != NULL) {
        return -EDEADLK;
    }
    (void)wf_add_relaxed(&rt->entering, 1); /* relaxed, here and below: counts for deadlock.c */
    /* sync(deadlock.enter): seq_cst, who sees us in the scope sees that we are entering; pairs
     * sync(deadlock.look) */
    wf_fence_seq_cst();
    int rc = enter_root(rt, 1);
    if (rc < 0) {
        (void)wf_sub_relaxed(&rt->entering, 1);
        return rc;
    }
    struct wf_task task;
    wf_task_init(&task, rt, fn, arg, &rt->root, WF_TASK_CALLED, place);
    wf_store_relaxed(&task.called, 0); /* relaxed: queuing the task publishes it */
    wf_exec_call_begin(&task);
    (void)wf_add_relaxed(&rt->callers, 1); /* the task takes both off: its end, and its start */
    wf_ready_foreign(rt->pool, &task.work);
    /* sync(task.call_wait): acquire, the result and all that the task did; pairs
     * sync(task.called) */
    while (wf_load_acquire(&task.called) == 0) { /* ends: the task ends */
        sleep_until_called(&task);
    }
    /* From here on another thread may have stopped and freed the runtime. */
    wf_exec_call_end();
    return task.rc;
}

int weft_post_(weft_rt *rt, weft_fn *fn, void *arg, const weft_place *place)
{
    if (wf_forked) {
        return -ENOSYS; /* another thread of the parent may have held the lock */
    }
    wf_lock(&rt->foreign_lock);
    int rc = take_entry(rt);
    struct wf_task *task = rc < 0 ? NULL : wf_slab_take(&rt->foreign_frames);
    wf_unlock(&rt->foreign_lock);
    if (task == NULL) {
        if (rc < 0) {
            return rc;
        }
        wf_scope_leave(&rt->root);
        return -ENOMEM;
    }
    wf_task_init_posted(task, rt, fn, arg, place);
    struct wf_worker *worker = wf_worker_current(rt->pool);
    if (worker != NULL) {
        wf_ready_new(worker, &task->work);
    } else {
        wf_ready_foreign(rt->pool, &task->work);
    }
    return 0;
}

int weft_run_(weft_fn *fn, void *arg, const weft_rt_opts *opts, const weft_place *place)
{
    if (wf_self() != NULL) {
        return -EDEADLK;
    }
    weft_rt *rt;
    int rc = start(&rt, opts, place);
    if (rc < 0) {
        return rc;
    }
    rc = weft_call_(rt, fn, arg, place);
    if (weft_rt_fault(rt) < 0) { /* it came first: it is why the root task ended */
        rc = weft_rt_fault(rt);
    }
    stop_after_root(rt);
    if (rc >= 0) {
        rc = weft_rt_fault(rt) < 0 ? weft_rt_fault(rt) : rc;
    }
    weft_rt_free(rt);
    return rc;
}

/* --- what it says of itself ------------------------------------------------------------------- */

void weft_stats_get(weft_rt *rt, weft_stats *out)
{
    *out = (weft_stats){0};
    if (wf_forked) {
        return;
    }
    for (int i = 0; i < rt->pool->worker_count; i++) {
        struct wf_worker *worker = &rt->pool->workers[i];
        struct wf_counters *counters = &worker->counters;
        /* Relaxed, all: a snapshot of counters that others write. */
        out->runs += wf_load_relaxed(&counters->runs);
        out->steals += wf_load_relaxed(&counters->steals);
        out->suspends += wf_load_relaxed(&counters->suspends);
        out->parks += wf_load_relaxed(&counters->parks);
        out->wakes += wf_load_relaxed(&counters->wakes);
        out->injected += wf_load_relaxed(&counters->injected);
        out->ops_submitted += wf_load_relaxed(&counters->ops_submitted);
        out->ops_completed += wf_load_relaxed(&counters->ops_completed);
        out->ops_cancelled += wf_load_relaxed(&counters->ops_cancelled);
        out->ops_rescued += wf_load_relaxed(&counters->ops_rescued);
        out->kicks += wf_load_relaxed(&counters->kicks);
        out->driver_enters += wf_load_relaxed(&counters->driver_enters);
        out->timers_fired += wf_load_relaxed(&counters->timers_fired);
        wf_loans_count(worker, out);
        for (int j = 0; j < WF_FRAME_CLASSES; j++) {
            out->slab_chunks += wf_load_relaxed(&worker->frames[j].chunk_count);
        }
        out->slab_chunks += wf_load_relaxed(&worker->errors.chunk_count);
        for (int j = 0; j < WF_VALUE_CLASSES; j++) {
            out->slab_chunks += wf_load_relaxed(&worker->values[j].chunk_count);
        }
    }
    out->values_dropped = wf_load_relaxed(&rt->values_dropped); /* relaxed: a counter */
    out->slab_chunks += wf_load_relaxed(&rt->foreign_frames.chunk_count);
    struct wf_stacks_report stacks;
    wf_stacks_report(&stacks);
    out->stacks = stacks.slots_fresh;
}

int weft_rt_report(weft_rt *rt, char *out, size_t bytes)
{
    static const char *const guards[] = {"kernel markers", "guard pages", "canaries"};
    if (wf_forked) {
        return -ENOSYS;
    }
    struct wf_stacks_report stacks;
    wf_stacks_report(&stacks);
    char cause[64];
    wf_io_driver_cause(rt->driver, cause, sizeof cause);
    char awake[32] = "never waits awake";
    if (rt->patience_ns > 0) {
        (void)snprintf(awake, sizeof awake, "waits awake for %d us", (int)(rt->patience_ns / 1000));
    }
    return snprintf(
        out, bytes,
        "weft %d.%d.%d: %d workers, I/O by %s%s, rescue %s, %s, %zu stacks of %zu KiB at "
        "most, guarded by "
        "%s",
        WEFT_VERSION_MAJOR, WEFT_VERSION_MINOR, WEFT_VERSION_PATCH, rt->pool->worker_count,
        rt->driver->ops->name, cause, wf_io_driver_rescue(rt->driver), awake, stacks.slots_max,
        WF_STACK_BYTES / 1024, guards[stacks.guard]);
}
